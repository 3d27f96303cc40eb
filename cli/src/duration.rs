//! Spans of time as Go writes them: `1h30m`, `1.5s`, `250ms`.

use std::fmt::Write as _;
use std::time::Duration;

/// A text that is no span of time above zero.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidDuration {
    /// Not a row of numbers with units.
    #[error("`{0}` is not a time: write it like 1m30s, 1.5s or 250ms")]
    Malformed(String),
    /// Zero or negative, which would mean "do not wait at all".
    #[error("`{0}` is not above zero")]
    NotPositive(String),
    /// More than about 292 years.
    #[error("`{0}` is too long")]
    TooLong(String),
}

/// Units in the order in which they have to be tried, with their nanoseconds: `m` is the beginning of `ms`.
const UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a span above zero.
///
/// # Errors
/// For everything else; the text is in the error.
pub(crate) fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let malformed = || InvalidDuration::Malformed(text.to_owned());
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Err(InvalidDuration::NotPositive(text.to_owned()));
    }
    if rest.is_empty() {
        return Err(malformed());
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let whole = digits(rest);
        rest = &rest[whole.len()..];
        let fraction = match rest.strip_prefix('.') {
            Some(after) => {
                let fraction = digits(after);
                rest = &after[fraction.len()..];
                fraction
            }
            None => "",
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(malformed());
        }
        let &(unit, scale) = UNITS
            .iter()
            .find(|(unit, _)| rest.starts_with(unit))
            .ok_or_else(malformed)?;
        rest = &rest[unit.len()..];
        let scale = u128::from(scale);
        let too_long = || InvalidDuration::TooLong(text.to_owned());
        if !whole.is_empty() {
            let whole: u128 = whole.parse().map_err(|_| too_long())?;
            let part = whole.checked_mul(scale).ok_or_else(too_long)?;
            nanos = nanos.checked_add(part).ok_or_else(too_long)?;
        }
        // Digits beyond the thirteenth are below a nanosecond even of an hour.
        let fraction = &fraction[..fraction.len().min(13)];
        if !fraction.is_empty() {
            let value: u128 = fraction.parse().map_err(|_| malformed())?;
            nanos += value * scale / 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| malformed())?);
        }
    }
    if negative || nanos == 0 {
        return Err(InvalidDuration::NotPositive(text.to_owned()));
    }
    i64::try_from(nanos)
        .map(|nanos| Duration::from_nanos(nanos.unsigned_abs()))
        .map_err(|_| InvalidDuration::TooLong(text.to_owned()))
}

fn digits(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    &text[..end]
}

/// Writes a span in whole seconds as Go would: `1h2m3s`, `45s`, `0s`.
pub(crate) fn in_seconds(span: Duration) -> String {
    let seconds = (span + Duration::from_millis(500)).as_secs();
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let mut text = String::new();
    if hours > 0 {
        let _ = write!(text, "{hours}h");
    }
    if hours > 0 || minutes > 0 {
        let _ = write!(text, "{minutes}m");
    }
    let _ = write!(text, "{}s", seconds % 60);
    text
}

/// How long ago something was, with one unit: `12s`, `5m`, `3h`, `2d`.
pub(crate) fn age(span: Duration) -> String {
    match span.as_secs() {
        seconds @ ..60 => format!("{seconds}s"),
        seconds @ ..3_600 => format!("{}m", seconds / 60),
        seconds @ ..86_400 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_go_reads_them() {
        let table: &[(&str, u64)] = &[
            ("1h30m", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            ("250ms", 250_000_000),
            ("+5s", 5_000_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("10us", 10_000),
            ("10\u{b5}s", 10_000),
            ("10\u{3bc}s", 10_000),
            ("3ns", 3),
            ("1m1m", 120_000_000_000),
            ("0h1s", 1_000_000_000),
            ("1.00000000000001s", 1_000_000_000),
        ];
        for (text, nanos) in table {
            assert_eq!(parse(text), Ok(Duration::from_nanos(*nanos)), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        for text in [
            "", "+", "-", "soon", "5", "1d", "1 s", " 1s", "1s ", ".s", "1h30", "s", "--1s", "1S",
        ] {
            assert_eq!(
                parse(text),
                Err(InvalidDuration::Malformed(text.to_owned())),
                "{text:?}"
            );
        }
        for text in ["0", "-0", "0s", "-1s", "0h0m"] {
            assert_eq!(
                parse(text),
                Err(InvalidDuration::NotPositive(text.to_owned())),
                "{text:?}"
            );
        }
        for text in ["2562048h", "99999999999999999999999999999999999999999h"] {
            assert_eq!(
                parse(text),
                Err(InvalidDuration::TooLong(text.to_owned())),
                "{text:?}"
            );
        }
    }

    #[test]
    fn spans_are_written_for_people() {
        let seconds = |n| in_seconds(Duration::from_secs(n));
        assert_eq!(
            [seconds(0), seconds(45), seconds(60), seconds(3_723)],
            ["0s", "45s", "1m0s", "1h2m3s"]
        );
        let age = |n| age(Duration::from_secs(n));
        assert_eq!(
            [age(59), age(60), age(7_200), age(200_000)],
            ["59s", "1m", "2h", "2d"]
        );
    }
}
