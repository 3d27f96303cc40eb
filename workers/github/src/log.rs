//! The part of a job's log that says why it failed.
//!
//! A job's log is that of all its steps, one after the other, and its end is mostly clean-up. A step that runs something begins
//! with `##[group]Run …`, and what went wrong is marked `##[error]`; every line has an instant before it. The log is read as it
//! comes, and no more is held than may be handed out.

use ao_domain::Timestamp;
use ao_domain::port::forge::Failure;

/// How much of a line is kept, in bytes: what is longer is data, not words.
const LINE_MAX: usize = 8 * 1024;

/// How many lines after the last error still belong to it.
const AFTER: usize = 10;

/// What stands after the last step of a job.
const CLEANUP: &[&str] = &["Post job cleanup.", "Cleaning up orphan processes"];

/// Takes a log in piece by piece, and has the failing step's part at the end.
pub(crate) struct Cut {
    /// When the failing step began, where that is known. An error before it stopped nothing.
    began_at: Option<Timestamp>,
    line: Vec<u8>,
    /// The step that is read, up to a little after its last error.
    section: Tail,
    section_failed: bool,
    /// Lines since that error.
    since: usize,
    /// What came later: part of the step's failure if there is another error.
    later: Tail,
    /// The failing step, once its end was read.
    found: Option<String>,
    /// The end of everything, for a log that says of no error.
    all: Tail,
}

impl Cut {
    pub(crate) fn new(began_at: Option<Timestamp>) -> Self {
        Self {
            began_at,
            line: Vec::new(),
            section: Tail::default(),
            section_failed: false,
            since: 0,
            later: Tail::default(),
            found: None,
            all: Tail::default(),
        }
    }

    /// Takes in a piece, which may end anywhere.
    pub(crate) fn take(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_MAX.saturating_sub(self.line.len());
            let (text, is_end) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if is_end {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        if self.found.is_some() {
            return;
        }
        let (at, text) = without_instant(line.trim_end_matches('\r'));
        let text = without_colours(text);
        self.all.push(&text);
        if text.starts_with("##[group]Run ") || CLEANUP.contains(&text.as_str()) {
            self.end_section();
        }
        self.since += 1;
        if text.starts_with("##[error]") && at.zip(self.began_at).is_none_or(|(at, began)| at >= began) {
            self.section.push_all(&std::mem::take(&mut self.later));
            self.section_failed = true;
            self.since = 0;
        }
        if self.section_failed && self.since > AFTER {
            self.later.push(&text);
        } else {
            self.section.push(&text);
        }
        if self.section_failed && text.starts_with("##[error]Process completed with exit code") {
            self.end_section();
        }
    }

    fn end_section(&mut self) {
        let section = std::mem::take(&mut self.section);
        self.later = Tail::default();
        if std::mem::take(&mut self.section_failed) && self.found.is_none() {
            self.found = Some(section.end());
        }
    }

    /// The failing step's part; the log's end where no step is known to have failed.
    pub(crate) fn end(mut self) -> String {
        if !self.line.is_empty() {
            self.end_line();
        }
        self.end_section();
        self.found.unwrap_or_else(|| self.all.end())
    }
}

/// The last lines of a text, as many as may be handed out.
#[derive(Default)]
struct Tail(String);

impl Tail {
    fn push(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
        self.bound();
    }

    fn push_all(&mut self, other: &Self) {
        self.0.push_str(&other.0);
        self.bound();
    }

    fn bound(&mut self) {
        if self.0.len() > 2 * Failure::LOG_MAX {
            self.0 = end_of(&self.0).to_owned();
        }
    }

    fn end(self) -> String {
        end_of(&self.0).to_owned()
    }
}

/// The end of `text`: as many whole lines as may be handed out, at least a part of the last.
pub(crate) fn end_of(text: &str) -> &str {
    if text.len() <= Failure::LOG_MAX {
        return text;
    }
    let end = &text[text.ceil_char_boundary(text.len() - Failure::LOG_MAX)..];
    match end.split_once('\n') {
        Some((_, lines)) if !lines.is_empty() => lines,
        _ => end,
    }
}

/// A line without the instant that GitHub puts before it, and that.
fn without_instant(line: &str) -> (Option<Timestamp>, &str) {
    let line = line.trim_start_matches('\u{feff}');
    let stamp = line.split_once(' ').unwrap_or((line, ""));
    let looks_like_one = stamp.0.len() >= "2026-06-24T12:00:00Z".len() && stamp.0.ends_with('Z');
    match stamp.0.parse() {
        Ok(at) if looks_like_one => (Some(at), stamp.1),
        _ => (None, line),
    }
}

/// A line without what a terminal would take for colours: `ESC [ … m`.
fn without_colours(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        match rest.strip_prefix('m') {
            Some(text) => out.push_str(text),
            None => {
                out.push_str("\u{1b}[");
                out.push_str(part);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(log: &str, began_at: Option<&str>) -> String {
        let mut cut = Cut::new(began_at.map(|at| at.parse().unwrap()));
        cut.take(log.as_bytes());
        cut.end()
    }

    const LOG: &str = "\u{feff}2026-06-24T12:00:00.0000000Z Current runner version: '2'\r\n\
        2026-06-24T12:00:01.1234567Z ##[group]Run actions/checkout@v4\r\n\
        2026-06-24T12:00:01.2000000Z ##[error]not this: the job went on\r\n\
        2026-06-24T12:00:02.0000000Z ##[group]Run cargo test\r\n\
        2026-06-24T12:00:02.1000000Z \u{1b}[36;1mcargo test\u{1b}[0m\r\n\
        2026-06-24T12:00:02.2000000Z ##[endgroup]\r\n\
        2026-06-24T12:00:03.0000000Z ##[error]src/lib.rs:1: it is wrong\r\n\
        2026-06-24T12:00:03.1000000Z test it ... FAILED\r\n\
        2026-06-24T12:00:03.2000000Z ##[error]Process completed with exit code 101.\r\n\
        2026-06-24T12:00:04.0000000Z ##[group]Run actions/upload-artifact@v4\r\n\
        2026-06-24T12:00:04.1000000Z ##[error]nothing to upload\r\n\
        2026-06-24T12:00:05.0000000Z Post job cleanup.\r\n\
        2026-06-24T12:00:05.1000000Z [command]/usr/bin/git version\r\n";

    #[test]
    fn the_failing_steps_part_is_kept_and_no_other() {
        expect_lines(
            &cut(LOG, Some("2026-06-24T12:00:02Z")),
            &[
                "##[group]Run cargo test",
                "cargo test",
                "##[endgroup]",
                "##[error]src/lib.rs:1: it is wrong",
                "test it ... FAILED",
                "##[error]Process completed with exit code 101.",
            ],
        );
        expect_lines(
            &cut(LOG, None),
            &[
                "##[group]Run actions/checkout@v4",
                "##[error]not this: the job went on",
            ],
        );
        expect_lines(
            &cut(LOG, Some("2026-06-24T12:00:04Z")),
            &[
                "##[group]Run actions/upload-artifact@v4",
                "##[error]nothing to upload",
            ],
        );
    }

    fn expect_lines(cut: &str, lines: &[&str]) {
        assert_eq!(cut.lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn a_log_without_an_error_has_its_end_kept() {
        assert_eq!(cut("one\ntwo", None), "one\ntwo\n");
        assert_eq!(cut("", None), "");
        let after: String = (0..30).map(|number| format!("{number}\n")).collect();
        let noisy = cut(&format!("##[error]oh\n{after}"), None);
        assert_eq!(noisy.lines().count(), 1 + AFTER);
        let twice = cut(
            &format!("##[error]oh\n{after}##[error]Process completed with exit code 1.\n{after}"),
            None,
        );
        assert_eq!(twice.lines().count(), 1 + 30 + 1);
    }

    #[test]
    fn a_huge_log_and_a_huge_line_are_bounded() {
        let mut cut = Cut::new(None);
        cut.take(b"##[error]oh\n");
        for number in 0..200_000 {
            cut.take(format!("line {number}\n").as_bytes());
            assert!(cut.all.0.len() <= 2 * Failure::LOG_MAX && cut.later.0.len() <= 2 * Failure::LOG_MAX);
        }
        for _ in 0..1000 {
            cut.take(&[b'x'; 10_000]);
        }
        cut.take(b"\n##[error]the end\n");
        let log = cut.end();
        assert!(log.len() <= Failure::LOG_MAX, "{}", log.len());
        assert!(
            log.ends_with("\n##[error]the end\n") && log.starts_with("line "),
            "{}",
            &log[..50]
        );
    }

    proptest! {
        #[test]
        fn where_pieces_end_changes_nothing_and_no_log_is_too_odd(
            log in "(##\\[error\\]|##\\[group\\]Run |Post job cleanup\\.|2026-06-24T12:00:00Z |\r|\n|\u{1b}\\[0?|m|\\PC){0,60}",
            at in 0..200_usize,
        ) {
            let bytes = log.as_bytes();
            let (one, two) = bytes.split_at(at.min(bytes.len()));
            let mut pieces = Cut::new(None);
            pieces.take(one);
            pieces.take(two);
            prop_assert_eq!(pieces.end(), cut(&log, None));
            let mut odd = Cut::new(None);
            odd.take(&bytes.iter().map(|byte| byte.wrapping_mul(7)).collect::<Vec<_>>());
            prop_assert!(odd.end().len() <= Failure::LOG_MAX);
        }
    }
}
