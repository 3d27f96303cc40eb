//! Reads out of an agent's words until when its quota is used up.
//!
//! What is not understood is `None`, never a guess: whoever asks waits for a time of their own then. A time of day or a date without its
//! seconds stands for that whole minute, because agents cut the seconds off: before its end nobody knows that the time has come.

use ao_domain::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan as _};

/// A quota that is full again only after this long is none that anybody waits for: it was misread.
const FARTHEST: SignedDuration = SignedDuration::from_hours(366 * 24);

/// What stands before a time.
const BEFORE: &[&str] = &["try again", "retry", "resets", "reset", "available again"];

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// The end of the wall that `words` name, later than `now`; a time of day is one of `zone` where they name no zone.
pub(super) fn until(words: &str, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let now = jiff::Timestamp::from_millisecond(now.as_millis()).ok()?;
    let found = unix(words)
        .or_else(|| rfc3339(words))
        .or_else(|| in_words(words, now, zone))?;
    is_ahead(found, now).then(|| Timestamp::from_millis(found.as_millisecond()))
}

/// The same of a field that has nothing but the time: Unix seconds, or RFC 3339.
pub(super) fn field(value: &serde_json::Value, now: Timestamp) -> Option<Timestamp> {
    let now = jiff::Timestamp::from_millisecond(now.as_millis()).ok()?;
    let found = match value {
        serde_json::Value::Number(seconds) => jiff::Timestamp::from_second(seconds.as_i64()?).ok()?,
        serde_json::Value::String(text) => rfc3339(text)?,
        _ => return None,
    };
    is_ahead(found, now).then(|| Timestamp::from_millis(found.as_millisecond()))
}

fn is_ahead(at: jiff::Timestamp, now: jiff::Timestamp) -> bool {
    now < at && at.duration_since(now) <= FARTHEST
}

/// `|1795974222`: behind a bar, ten digits and no more.
fn unix(words: &str) -> Option<jiff::Timestamp> {
    words.split('|').skip(1).find_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let seconds = (end == 10).then(|| rest[..end].parse().ok())??;
        jiff::Timestamp::from_second(seconds).ok()
    })
}

fn rfc3339(words: &str) -> Option<jiff::Timestamp> {
    let words = words.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')' | '"' | '\''));
    words
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| word.len() >= "2026-11-30T16:45Z".len())
        .find_map(|word| word.parse().ok())
}

fn in_words(words: &str, now: jiff::Timestamp, zone: &TimeZone) -> Option<jiff::Timestamp> {
    // Of one length with the words themselves: only ASCII letters are made small.
    let small = words.to_ascii_lowercase();
    let mut places: Vec<usize> = BEFORE
        .iter()
        .flat_map(|before| small.match_indices(before).map(|(at, word)| at + word.len()))
        .collect();
    places.sort_unstable();
    places.into_iter().find_map(|at| {
        let mut words = Words::new(&words[at..]);
        if words.takes("in") || words.takes("after") {
            return words.duration().and_then(|after| now.checked_add(after).ok());
        }
        let _ = words.takes("at") || words.takes("on");
        words.moment(now, zone)
    })
}

/// The time that `words` begin with, each number with its unit: `2 hr 5 min`, `6m0s`, `20.5s`.
pub(super) fn duration(words: &str) -> Option<std::time::Duration> {
    Words::new(words).duration()?.try_into().ok()
}

/// A word, a number, or a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'a> {
    Word(&'a str),
    Number(&'a str),
    Sign(char),
}

/// What is left of a text, piece by piece.
struct Words<'a> {
    pieces: Vec<Piece<'a>>,
    at: usize,
}

impl<'a> Words<'a> {
    /// More than any time takes; the rest is about something else.
    const MOST: usize = 32;

    fn new(text: &'a str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next().filter(|_| pieces.len() < Self::MOST) {
            let run = |is: fn(&char) -> bool| rest.find(|c: char| !is(&c)).unwrap_or(rest.len());
            let (piece, length) = if first.is_ascii_digit() {
                let length = run(char::is_ascii_digit);
                (Piece::Number(&rest[..length]), length)
            } else if first.is_ascii_alphabetic() {
                let length = run(char::is_ascii_alphabetic);
                (Piece::Word(&rest[..length]), length)
            } else {
                (Piece::Sign(first), first.len_utf8())
            };
            pieces.push(piece);
            rest = rest[length..].trim_start();
        }
        Self { pieces, at: 0 }
    }

    fn peek(&self) -> Option<Piece<'a>> {
        self.pieces.get(self.at).copied()
    }

    fn takes(&mut self, word: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Piece::Word(next)) if next.eq_ignore_ascii_case(word));
        self.at += usize::from(is_it);
        is_it
    }

    fn takes_sign(&mut self, sign: char) -> bool {
        let is_it = self.peek() == Some(Piece::Sign(sign));
        self.at += usize::from(is_it);
        is_it
    }

    fn number(&mut self) -> Option<&'a str> {
        let Some(Piece::Number(digits)) = self.peek() else {
            return None;
        };
        self.at += 1;
        Some(digits)
    }

    /// `2 hr 5 min`, `2 hours and 5 minutes`, `6m0s`, `20.5s`: each number with its unit.
    fn duration(&mut self) -> Option<SignedDuration> {
        let mut millis: Option<f64> = None;
        while let Some(digits) = self.number() {
            let mut number = digits.to_owned();
            if self.takes_sign('.') {
                number = format!("{number}.{}", self.number()?);
            }
            let Some(Piece::Word(unit)) = self.peek() else {
                return None;
            };
            self.at += 1;
            let unit = match unit.to_ascii_lowercase().as_str() {
                "d" | "day" | "days" => 86_400_000.0,
                "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000.0,
                "m" | "min" | "mins" | "minute" | "minutes" => 60_000.0,
                "s" | "sec" | "secs" | "second" | "seconds" => 1_000.0,
                "ms" => 1.0,
                _ => return None,
            };
            let number: f64 = number.parse().ok()?;
            millis = Some(millis.unwrap_or_default() + number * unit);
            let _ = self.takes_sign(',');
            let _ = self.takes("and");
        }
        SignedDuration::try_from_secs_f64(millis? / 1_000.0).ok()
    }

    /// `4:45 PM`, `15:00`, `Dec 3, 9am`, `Nov 30th, 2026 4:45 PM`, each with `(Europe/Berlin)` or `UTC` behind it.
    fn moment(&mut self, now: jiff::Timestamp, zone: &TimeZone) -> Option<jiff::Timestamp> {
        let day = match self.peek() {
            Some(Piece::Word(_)) => Some(self.day()?),
            _ => None,
        };
        let (time, is_exact) = self.time()?;
        let zone = self.zone(zone)?;
        let whole = if is_exact { 0.seconds() } else { 1.minute() };
        let end = |date: Date| {
            let at = date.to_datetime(time).to_zoned(zone.clone()).ok()?.timestamp();
            at.checked_add(whole).ok()
        };
        let today = now.to_zoned(zone.clone()).date();
        match day {
            None => [today, today.tomorrow().ok()?]
                .into_iter()
                .filter_map(end)
                .find(|at| *at > now),
            Some((month, day, Some(year))) => end(Date::new(year, month, day).ok()?),
            Some((month, day, None)) => [today.year(), today.year() + 1]
                .into_iter()
                .filter_map(|year| end(Date::new(year, month, day).ok()?))
                .find(|at| *at > now),
        }
    }

    /// `Dec 3,` or `Nov 30th, 2026`.
    fn day(&mut self) -> Option<(i8, i8, Option<i16>)> {
        let Some(Piece::Word(name)) = self.peek() else {
            return None;
        };
        let name = name.to_ascii_lowercase();
        let month = MONTHS
            .iter()
            .position(|month| *month == name || (name.len() == 3 && month.starts_with(&name)))?;
        self.at += 1;
        let _ = self.takes_sign('.');
        let day = self.number()?.parse().ok()?;
        for ending in ["st", "nd", "rd", "th"] {
            let _ = self.takes(ending);
        }
        let _ = self.takes_sign(',');
        let mut year = None;
        if let Some(Piece::Number(digits)) = self
            .peek()
            .filter(|piece| matches!(piece, Piece::Number(n) if n.len() == 4))
        {
            self.at += 1;
            year = Some(digits.parse().ok()?);
            let _ = self.takes_sign(',');
        }
        let _ = self.takes("at");
        Some((i8::try_from(month).ok()? + 1, day, year))
    }

    /// A time of day, and whether it has its seconds.
    fn time(&mut self) -> Option<(Time, bool)> {
        let hour = self.number()?;
        let mut parts = [None; 2];
        for part in &mut parts {
            if !self.takes_sign(':') {
                break;
            }
            let digits = self.number().filter(|digits| digits.len() == 2)?;
            *part = Some(digits.parse::<i8>().ok()?);
        }
        let [minute, second] = parts;
        let hour = hour.parse::<i8>().ok()?;
        let hour = match (self.half(), hour) {
            (Some(after_noon), 1..=12) => hour % 12 + if after_noon { 12 } else { 0 },
            (None, 0..=23) if minute.is_some() => hour,
            _ => return None,
        };
        let time = Time::new(hour, minute.unwrap_or(0), second.unwrap_or(0), 0).ok()?;
        Some((time, second.is_some()))
    }

    /// `am` or `p.m.`: whether it is after noon.
    fn half(&mut self) -> Option<bool> {
        for (word, letter, is_after) in [("am", "a", false), ("pm", "p", true)] {
            if self.takes(word) {
                return Some(is_after);
            }
            let begun = self.at;
            if self.takes(letter) && self.takes_sign('.') && self.takes("m") {
                let _ = self.takes_sign('.');
                return Some(is_after);
            }
            self.at = begun;
        }
        None
    }

    /// The zone that is named, else `otherwise`. One that nobody here knows makes the time nobody knows.
    fn zone(&mut self, otherwise: &TimeZone) -> Option<TimeZone> {
        if self.takes_sign('(') {
            let mut name = String::new();
            while !self.takes_sign(')') {
                match self.peek()? {
                    Piece::Word(part) | Piece::Number(part) => name.push_str(part),
                    Piece::Sign(sign @ ('/' | '_' | '-' | '+')) => name.push(sign),
                    Piece::Sign(_) => return None,
                }
                self.at += 1;
            }
            return named(&name);
        }
        match self.peek() {
            Some(Piece::Word(name)) if name.len() >= 2 && name.chars().all(|c| c.is_ascii_uppercase()) => {
                named(name)
            }
            // What does not end here was no such time.
            Some(Piece::Sign('/' | ':' | '-' | '+') | Piece::Number(_)) => None,
            _ => Some(otherwise.clone()),
        }
    }
}

fn named(zone: &str) -> Option<TimeZone> {
    if ["UTC", "GMT"].contains(&zone) {
        return Some(TimeZone::UTC);
    }
    // A name of letters alone is one of many zones' abbreviation.
    zone.contains('/').then(|| TimeZone::get(zone).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").expect("the machine has its zones")
    }

    /// 2026-11-29 is a Sunday; Berlin is an hour ahead.
    #[test]
    fn what_agents_say_is_understood_and_the_rest_is_no_guess() {
        const NOW: &str = "2026-11-29T14:20:05.000Z";
        let tomorrow_at_3 = Some("2026-11-30T14:01:00.000Z");
        for (words, end) in [
            // Codex.
            (
                "You've hit your usage limit. Upgrade to Pro, or try again at 4:45 PM.",
                Some("2026-11-29T15:46:00.000Z"),
            ),
            (
                "try again at Nov 30th, 2026 4:45 PM.",
                Some("2026-11-30T15:46:00.000Z"),
            ),
            (
                "You've hit your usage limit. Try again in 2 hours 5 minutes.",
                Some("2026-11-29T16:25:05.000Z"),
            ),
            (
                "try again in 3 days 1 hour 20 minutes",
                Some("2026-12-02T15:40:05.000Z"),
            ),
            // Claude Code.
            ("You've hit your 5-hour limit \u{b7} resets 3pm", tomorrow_at_3),
            (
                "You've hit your 5-hour limit \u{b7} resets 3:30pm (Europe/Berlin)",
                Some("2026-11-29T14:31:00.000Z"),
            ),
            (
                "You've hit your 5-hour limit \u{b7} resets 8:49pm (UTC)",
                Some("2026-11-29T20:50:00.000Z"),
            ),
            (
                "You've hit your weekly limit \u{b7} resets Dec 3, 9am (America/New_York)",
                Some("2026-12-03T14:01:00.000Z"),
            ),
            ("resets Dec 3 at 9:30am", Some("2026-12-03T08:31:00.000Z")),
            ("resets Jan 2, 9am", Some("2027-01-02T08:01:00.000Z")),
            (
                "Claude AI usage limit reached|1795974222",
                Some("2026-11-29T17:43:42.000Z"),
            ),
            // Within the minute that it is.
            ("resets 2:20pm (UTC)", Some("2026-11-29T14:21:00.000Z")),
            ("resets 2:19pm (UTC)", Some("2026-11-30T14:20:00.000Z")),
            ("resets 12am", Some("2026-11-29T23:01:00.000Z")),
            ("resets 12pm", Some("2026-11-30T11:01:00.000Z")),
            ("resets 3 p.m.", tomorrow_at_3),
            // Others.
            ("The limit resets at 15:00", tomorrow_at_3),
            ("resets at 15:00:30", Some("2026-11-30T14:00:30.000Z")),
            ("resets at 15:00 UTC", Some("2026-11-29T15:01:00.000Z")),
            ("Resets in 2 hr 5 min", Some("2026-11-29T16:25:05.000Z")),
            ("Please try again in 20s.", Some("2026-11-29T14:20:25.000Z")),
            ("Please try again in 6m0s.", Some("2026-11-29T14:26:05.000Z")),
            ("Please try again in 1.5s", Some("2026-11-29T14:20:06.500Z")),
            ("please retry after 30 seconds", Some("2026-11-29T14:20:35.000Z")),
            (
                "your quota resets after 1h, 2m and 3s",
                Some("2026-11-29T15:22:08.000Z"),
            ),
            (
                "try again later; available again at 2026-11-30T09:00:00+01:00.",
                Some("2026-11-30T08:00:00.000Z"),
            ),
            (
                "limit reached (2026-11-29T18:00:00Z)",
                Some("2026-11-29T18:00:00.000Z"),
            ),
            // None of these is a time that anybody knows.
            (
                "This would exceed your account's rate limit. Please try again later.",
                None,
            ),
            ("", None),
            ("resets 3", None),
            ("resets 13pm", None),
            ("resets 25:00", None),
            ("resets 3:5pm", None),
            ("resets 3pm (Middle/Earth)", None),
            ("resets 3pm PST", None),
            ("resets 3pm (PST)", None),
            ("resets tomorrow at 3pm", None),
            ("resets Mon 9am", None),
            ("resets Dec 3", None),
            ("resets Feb 30, 9am", None),
            ("resets 3/12", None),
            ("try again in a while", None),
            ("try again in 20", None),
            ("try again in 2 fortnights", None),
            ("try again at Nov 28th, 2026 4:45 PM", None),
            ("resets at 2026-11-29T14:00:00Z", None),
            ("try again in 400 days", None),
            ("usage limit reached|17959742221", None),
            ("attempt 3|2", None),
            ("it is 3pm", None),
        ] {
            let found = until(words, NOW.parse().unwrap(), &berlin()).map(|at| at.to_string());
            assert_eq!(found.as_deref(), end, "{words}");
        }
    }

    #[test]
    fn a_field_has_seconds_or_a_time_and_nothing_that_is_past() {
        let now: Timestamp = "2026-11-29T14:20:05.000Z".parse().unwrap();
        for (value, end) in [
            (serde_json::json!(1_795_974_222), Some("2026-11-29T17:43:42.000Z")),
            (
                serde_json::json!("2026-11-29T18:00:00Z"),
                Some("2026-11-29T18:00:00.000Z"),
            ),
            (serde_json::json!(1_700_000_000), None),
            (serde_json::json!(i64::MAX), None),
            (serde_json::json!(1.5), None),
            (serde_json::json!("soon"), None),
            (serde_json::json!(null), None),
        ] {
            assert_eq!(
                field(&value, now).map(|at| at.to_string()).as_deref(),
                end,
                "{value}"
            );
        }
    }

    /// The night in which clocks go back has an hour twice, the one in which they go forward has none of it: both end.
    #[test]
    fn nights_with_an_hour_more_or_less_have_their_times() {
        for (now, words, end) in [
            (
                "2026-10-24T23:30:00.000Z",
                "resets 2:30am",
                "2026-10-25T00:31:00.000Z",
            ),
            (
                "2027-03-27T23:30:00.000Z",
                "resets 2:30am",
                "2027-03-28T01:31:00.000Z",
            ),
        ] {
            let found = until(words, now.parse().unwrap(), &berlin()).map(|at| at.to_string());
            assert_eq!(found.as_deref(), Some(end), "{words}");
        }
    }

    #[test]
    fn nonsense_ends() {
        let now = Timestamp::from_millis(1_795_974_222_000);
        for words in [
            "resets ",
            "resets in 99999999999999999999999 h",
            "retry \u{e4}\u{2603}",
            "resets 3pm (",
            "reset|",
            "resets -1:00",
        ] {
            assert_eq!(until(words, now, &TimeZone::UTC), None, "{words}");
        }
        let many = "resets ".repeat(10_000) + "3pm";
        assert!(until(&many, now, &TimeZone::UTC).is_some());
    }
}
