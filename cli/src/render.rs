//! What commands print, and nothing else of them: lines, tables, JSON.
//!
//! Titles, reasons and error texts come from agents and repositories. Everything passes [`safe`] on its way out, so
//! that none of them can move the cursor, set the window's title or answer in the person's name.

use std::io::{self, IsTerminal as _, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::error::CliError;

/// A colour with a meaning, so that commands name the meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// A person should look.
    Warn,
    /// Broken.
    Bad,
    /// Beside the point.
    Dim,
    /// A heading.
    Strong,
}

impl Tone {
    fn sgr(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
            Self::Dim => "2",
            Self::Strong => "1",
        }
    }
}

/// Where a command prints.
pub(crate) struct Out {
    results: Box<dyn Write>,
    notes: Box<dyn Write>,
    json: bool,
    /// Whether results go to one.
    terminal: bool,
    colour: bool,
    width: Option<u16>,
}

impl Out {
    /// Standard output and standard error. Colours only where standard output is a terminal and nobody minds.
    pub(crate) fn of_process(json: bool, no_color: bool) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let width = rustix::termios::tcgetwinsize(&stdout)
            .ok()
            .map(|size| size.ws_col)
            .filter(|cols| *cols > 0);
        Self {
            results: Box::new(stdout),
            notes: Box::new(io::stderr()),
            json,
            terminal,
            colour: terminal && !no_color && !json,
            width,
        }
    }

    /// Whether JSON was asked for.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// One line of the result.
    ///
    /// # Errors
    /// When it cannot be written, as all the others.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> Result<(), CliError> {
        writeln!(self.results, "{}", safe(text.as_ref()))
            .and_then(|()| self.results.flush())
            .map_err(CliError::Print)
    }

    /// A text for another program, as it is.
    pub(crate) fn verbatim(&mut self, text: &str) -> Result<(), CliError> {
        self.results
            .write_all(text.as_bytes())
            .and_then(|()| self.results.flush())
            .map_err(CliError::Print)
    }

    /// One line beside the result, on standard error: progress and remarks. Not printed where JSON was asked for.
    pub(crate) fn note(&mut self, text: impl AsRef<str>) -> Result<(), CliError> {
        if self.json {
            return Ok(());
        }
        writeln!(self.notes, "{}", safe(text.as_ref()))
            .and_then(|()| self.notes.flush())
            .map_err(CliError::Print)
    }

    /// All of `lines` in place of what was there, where it is a terminal; else below it, after an empty line.
    pub(crate) fn screen(&mut self, lines: &[String]) -> Result<(), CliError> {
        let mut text = if self.terminal {
            "\x1b[H\x1b[2J".to_owned()
        } else {
            String::new()
        };
        for line in lines {
            text.push_str(&safe(line));
            text.push('\n');
        }
        if !self.terminal {
            text.push('\n');
        }
        self.results
            .write_all(text.as_bytes())
            .and_then(|()| self.results.flush())
            .map_err(CliError::Print)
    }

    /// One of many results for programs, on a line of its own.
    pub(crate) fn json_line(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string(value).map_err(|error| CliError::Print(io::Error::from(error)))?;
        writeln!(self.results, "{text}")
            .and_then(|()| self.results.flush())
            .map_err(CliError::Print)
    }

    /// The result for programs: one object, indented.
    pub(crate) fn object(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        let text =
            serde_json::to_string_pretty(value).map_err(|error| CliError::Print(io::Error::from(error)))?;
        writeln!(self.results, "{text}")
            .and_then(|()| self.results.flush())
            .map_err(CliError::Print)
    }

    /// A question on standard error; the answer is the caller's to read.
    pub(crate) fn ask(&mut self, question: &str) -> Result<(), CliError> {
        write!(self.notes, "{}", safe(question))
            .and_then(|()| self.notes.flush())
            .map_err(CliError::Print)
    }

    /// `text` in the colour of `tone`, where colours are on.
    pub(crate) fn paint(&self, tone: Tone, text: impl AsRef<str>) -> String {
        let text = text.as_ref();
        if self.colour && !text.is_empty() {
            format!("\x1b[{}m{text}\x1b[0m", tone.sgr())
        } else {
            text.to_owned()
        }
    }

    /// A table with a heading. On a terminal it is wrapped to fit.
    pub(crate) fn table(&mut self, head: &[&str], rows: Vec<Vec<String>>) -> Result<(), CliError> {
        let head = head.iter().map(|cell| self.paint(Tone::Strong, cell)).collect();
        self.columns(Some(head), rows)
    }

    /// Rows whose columns stand below each other, without a heading.
    pub(crate) fn rows(&mut self, rows: Vec<Vec<String>>) -> Result<(), CliError> {
        self.columns(None, rows)
    }

    fn columns(&mut self, head: Option<Vec<String>>, rows: Vec<Vec<String>>) -> Result<(), CliError> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Disabled);
        if let Some(width) = self.width {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(width);
        }
        if let Some(head) = head {
            table.set_header(head);
        }
        for row in rows {
            table.add_row(row.iter().map(|cell| safe(cell)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for line in table.lines() {
            self.line(line.trim_end())?;
        }
        Ok(())
    }
}

/// `text` without anything that a terminal obeys, but for colours. Line ends and tabs stay.
pub(crate) fn safe(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(length) = colour_at(rest) {
            clean.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        }
        if c == '\n' || c == '\t' || !is_obeyed(c) {
            clean.push(c);
        }
        rest = &rest[c.len_utf8()..];
    }
    clean
}

/// Control characters of both sets, and those that reorder text on the screen.
fn is_obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The length of a colour sequence (`ESC [ digits and ; m`) that `text` begins with.
fn colour_at(text: &str) -> Option<usize> {
    let inner = text.strip_prefix("\x1b[")?;
    let end = inner.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    inner[end..].starts_with('m').then_some(end + 3)
}

/// The one of `known` that `typed` is most likely to have meant; `None` when none comes near.
pub(crate) fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may be wrong: beyond that a guess is no help.
    let allowed = typed.chars().count().max(3) / 3;
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(typed, word), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, word)| word)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    /// Keeps what is printed.
    #[derive(Clone, Default)]
    pub(crate) struct Kept(Rc<RefCell<Vec<u8>>>);

    impl Kept {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.borrow().clone()).unwrap()
        }
    }

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Prints into memory: results and notes.
    pub(crate) fn kept(json: bool, colour: bool, width: Option<u16>) -> (Out, Kept, Kept) {
        let (results, notes) = (Kept::default(), Kept::default());
        let out = Out {
            results: Box::new(results.clone()),
            notes: Box::new(notes.clone()),
            json,
            terminal: false,
            colour,
            width,
        };
        (out, results, notes)
    }

    #[test]
    fn nothing_that_a_terminal_obeys_comes_out() {
        assert_eq!(safe("a\x1b]0;owned\x07b"), "a]0;ownedb");
        assert_eq!(safe("\x1b[2Jx\x1b[31mred\x1b[0m"), "[2Jx\x1b[31mred\x1b[0m");
        assert_eq!(safe("a\tb\nc\rd\u{9b}e\u{202e}f"), "a\tb\ncdef");
        assert_eq!(safe("grüße ✓"), "grüße ✓");
    }

    #[test]
    fn tables_align_and_stay_plain_without_a_terminal() {
        let (mut out, results, _) = kept(false, false, None);
        let rows = vec![
            vec!["web".to_owned(), "ok".to_owned()],
            vec!["a-long-name".to_owned(), "degraded: gone".to_owned()],
        ];
        out.table(&["ID", "STATUS"], rows).unwrap();
        expect_test::expect![[r#"
            ID           STATUS
            web          ok
            a-long-name  degraded: gone
        "#]]
        .assert_eq(&results.text());
    }

    #[test]
    fn colours_come_only_when_they_are_on() {
        let (out, ..) = kept(false, true, None);
        assert_eq!(out.paint(Tone::Bad, "x"), "\x1b[31mx\x1b[0m");
        let (out, ..) = kept(false, false, None);
        assert_eq!(out.paint(Tone::Bad, "x"), "x");
    }

    #[test]
    fn notes_do_not_disturb_programs() {
        let (mut out, results, notes) = kept(true, false, None);
        out.note("busy").unwrap();
        out.object(&serde_json::json!({"ok": true})).unwrap();
        assert_eq!(
            (results.text().as_str(), notes.text().as_str()),
            ("{\n  \"ok\": true\n}\n", "")
        );
    }

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        let known = ["web-1", "web-2", "api-1"];
        assert_eq!(nearest("wbe-1", known), Some("web-1"));
        assert_eq!(nearest("apu-1", known), Some("api-1"));
        assert_eq!(nearest("something", known), None);
    }
}
