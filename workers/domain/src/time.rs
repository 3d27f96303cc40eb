//! One form of time: UTC text of one width, so that text order is time order.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An instant in UTC with millisecond resolution, written `2026-06-24T12:00:00.000Z` everywhere: rows, JSON, files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Timestamp(i64);

/// A text that is not a time in the one form we write.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a UTC time like 2026-06-24T12:00:00.000Z")]
pub struct InvalidTime(String);

impl Timestamp {
    /// From milliseconds since 1970 (UTC). Values outside the years 1970 to 9998 are clamped into them, so that the
    /// text keeps its width.
    pub fn from_millis(millis: i64) -> Self {
        const LAST: i64 = 253_370_764_799_999; // the end of 9998: jiff does not reach the end of 9999
        Self(millis.clamp(0, LAST))
    }

    /// Milliseconds since 1970 (UTC).
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// This instant moved forward; stays within the last representable year.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self::from_millis(
            self.0
                .saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// This instant moved back; stays within the first representable year.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Self::from_millis(
            self.0
                .saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// How long ago `earlier` was; zero when it lies in the future (a clock may be set back).
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at =
            jiff::Timestamp::from_millisecond(self.0).expect("the constructor clamps to years jiff can hold");
        write!(f, "{at:.3}")
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let at: jiff::Timestamp = text.parse().map_err(|_| InvalidTime(text.to_owned()))?;
        Ok(Self::from_millis(at.as_millisecond()))
    }
}

impl From<Timestamp> for String {
    fn from(at: Timestamp) -> Self {
        at.to_string()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = InvalidTime;

    fn try_from(text: String) -> Result<Self, InvalidTime> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_one_width_and_sorts_like_time() {
        let times = [
            0,
            1,
            999,
            1_000,
            1_750_000_000_000,
            1_750_000_000_100,
            253_402_300_799_999,
            i64::MAX,
            -5,
        ];
        let mut at: Vec<Timestamp> = times.into_iter().map(Timestamp::from_millis).collect();
        at.sort();
        let texts: Vec<String> = at.iter().map(ToString::to_string).collect();
        let mut sorted = texts.clone();
        sorted.sort();
        assert_eq!(texts, sorted);
        assert!(
            texts
                .iter()
                .all(|text| text.len() == "2026-06-24T12:00:00.000Z".len()),
            "{texts:?}"
        );
        for (at, text) in at.iter().zip(&texts) {
            assert_eq!(text.parse::<Timestamp>().unwrap(), *at);
        }
    }

    #[test]
    fn a_clock_set_back_gives_no_negative_age() {
        let later = Timestamp::from_millis(5_000);
        assert_eq!(Timestamp::from_millis(1_000).since(later), Duration::ZERO);
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
