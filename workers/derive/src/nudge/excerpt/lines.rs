//! A log as lines of plain text: no time before each, no escape sequence, nothing that was written over, no line too long,
//! repeated ones folded.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

/// Longest line in bytes. More of a minified file or a dumped response tells nothing and costs the room of ten others.
const LINE_MOST: usize = 400;

/// A line, and how often it came in a row.
#[derive(Debug)]
pub(super) struct Line {
    /// Plain text without an end of line.
    pub(super) text: String,
    /// At least once.
    pub(super) times: usize,
}

impl Line {
    /// What [`Line::write`] writes, in bytes.
    pub(super) fn cost(&self) -> usize {
        let (whole, mark) = self.shape();
        whole * (self.text.len() + 1) + mark.map_or(0, |mark| mark.len() + 1)
    }

    /// Writes it, and how often it was repeated.
    pub(super) fn write(&self, out: &mut String) {
        let (whole, mark) = self.shape();
        for text in std::iter::repeat_n(self.text.as_str(), whole).chain(mark.as_deref()) {
            out.push_str(text);
            out.push('\n');
        }
    }

    /// How often it is written, and what stands for the rest. Of blank lines one is enough, and nobody wants to know how many
    /// there were; a short line is repeated where the mark would be longer.
    fn shape(&self) -> (usize, Option<String>) {
        if self.times == 1 || self.text.is_empty() {
            return (1, None);
        }
        let mark = format!("… {} times more …", self.times - 1);
        if (self.times - 1).saturating_mul(self.text.len() + 1) <= mark.len() + 1 {
            (self.times, None)
        } else {
            (1, Some(mark))
        }
    }
}

/// The lines of `log`, none longer than `most` or [`LINE_MOST`]; no blank one at either end.
pub(super) fn of(log: &str, most: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for raw in log.strip_prefix('\u{feff}').unwrap_or(log).split('\n') {
        let plain = plain(without_time(raw));
        let shown = plain.rsplit('\r').find(|state| !state.trim().is_empty());
        let text = cut(shown.unwrap_or_default().trim_end(), most.min(LINE_MOST));
        match lines.last_mut() {
            _ if text == "##[endgroup]" => {}
            Some(last) if last.text == text => last.times += 1,
            None if text.is_empty() => {}
            _ => lines.push(Line { text, times: 1 }),
        }
    }
    lines.pop_if(|last| last.text.is_empty());
    lines
}

/// `line` without the time that a runner writes before each (`2026-01-31T23:59:59.1234567Z `). Its seven digits tell it from what
/// a program logs.
fn without_time(line: &str) -> &str {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00.0000000Z";
    let is_time = line.len() >= SHAPE.len()
        && line.bytes().zip(SHAPE).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            _ => byte == *shape,
        });
    if !is_time {
        return line;
    }
    let rest = &line[SHAPE.len()..];
    rest.strip_prefix(' ').unwrap_or(rest)
}

/// `line` without escape sequences and control characters, but for tabs and carriage returns.
fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => escape(&mut chars),
            '\u{9b}' => control_sequence(&mut chars),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => string(&mut chars),
            '\t' | '\r' => out.push(c),
            _ if c.is_control() => {}
            _ => out.push(c),
        }
    }
    out
}

/// What follows an escape character.
fn escape(chars: &mut Peekable<Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            control_sequence(chars);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            chars.next();
            string(chars);
        }
        _ => {
            while chars.next_if(|c| matches!(c, ' '..='/')).is_some() {}
            chars.next_if(|c| matches!(c, '0'..='~'));
        }
    }
}

/// Parameters and the letter that ends them: a colour, a move of the cursor.
fn control_sequence(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| matches!(c, ' '..='?')).is_some() {}
    chars.next_if(|c| matches!(c, '@'..='~'));
}

/// A title, a link, a picture. One that nothing ends is over where its line is: no line may hide those after it.
fn string(chars: &mut Peekable<Chars<'_>>) {
    while chars
        .next_if(|c| !matches!(c, '\u{7}' | '\u{18}' | '\u{1a}' | '\u{1b}' | '\u{9c}' | '\r'))
        .is_some()
    {}
    // An escape character and a carriage return also say what comes next; a backslash after the former goes with it.
    chars.next_if(|c| !matches!(c, '\u{1b}' | '\r'));
}

/// `line` in at most `most` bytes: of a longer one the beginning and the end, and how much lies between.
fn cut(line: &str, most: usize) -> String {
    if line.len() <= most {
        return line.to_owned();
    }
    let mut mark = String::new();
    let _ = write!(mark, "[… {} bytes …]", line.len()); // never shorter than with the number it gets
    let room = most.saturating_sub(mark.len());
    let head = &line[..line.floor_char_boundary(room * 2 / 3)];
    let tail = &line[line.ceil_char_boundary(line.len() - room / 3)..];
    if head.is_empty() {
        return line[..line.floor_char_boundary(most)].to_owned();
    }
    let left_out = line.len() - head.len() - tail.len();
    format!("{head}[… {left_out} bytes …]{tail}")
}
