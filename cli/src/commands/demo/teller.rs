//! How the demo is told: acts, lines with the time in front, commands with what they print, and what was checked.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::CliError;
use crate::render::{Out, Tone};

/// A promise, whether it held, and what that is seen by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    promise: &'static str,
    held: bool,
    facts: String,
}

impl Check {
    pub(super) fn new(promise: &'static str, held: bool, facts: impl Into<String>) -> Self {
        Self {
            promise,
            held,
            facts: facts.into(),
        }
    }

    pub(super) fn held(&self) -> bool {
        self.held
    }
}

/// Tells, unless only a summary for programs was asked for; and keeps what was checked.
pub(super) struct Teller<'a> {
    out: &'a mut Out,
    began: Instant,
    checks: Vec<Check>,
}

/// What stands under a line with a time begins below its text.
const MARGIN: &str = "         ";

impl<'a> Teller<'a> {
    pub(super) fn new(out: &'a mut Out) -> Self {
        Self {
            out,
            began: Instant::now(),
            checks: Vec::new(),
        }
    }

    /// How long it has been telling.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Everything that was checked so far.
    pub(super) fn checks(&self) -> &[Check] {
        &self.checks
    }

    pub(super) fn paint(&self, tone: Tone, text: impl AsRef<str>) -> String {
        self.out.paint(tone, text)
    }

    /// A line without a time.
    ///
    /// # Errors
    /// When it cannot be printed, as all the others.
    pub(super) fn plain(&mut self, text: impl AsRef<str>) -> Result<(), CliError> {
        if self.out.is_json() {
            return Ok(());
        }
        self.out.line(text)
    }

    /// The heading of an act.
    pub(super) fn act(&mut self, text: &str) -> Result<(), CliError> {
        let text = self.paint(Tone::Strong, text);
        self.plain("")?;
        self.plain(text)
    }

    /// Something that happened just now.
    pub(super) fn say(&mut self, text: impl AsRef<str>) -> Result<(), CliError> {
        let time = format!("{:>6.1}s", self.began.elapsed().as_secs_f64());
        let time = self.paint(Tone::Dim, time);
        self.plain(format!("{time}  {}", text.as_ref()))
    }

    /// A command that was just run, and what it printed.
    pub(super) fn command(&mut self, line: &str, printed: &str) -> Result<(), CliError> {
        let line = self.paint(Tone::Strong, format!("$ {line}"));
        self.say(line)?;
        for line in printed.lines() {
            let line = self.paint(Tone::Dim, line);
            self.plain(format!("{MARGIN}{line}"))?;
        }
        Ok(())
    }

    /// Rows under a heading, the cells of the column `toned` in a colour each.
    pub(super) fn table<const N: usize>(
        &mut self,
        head: [&str; N],
        rows: &[[String; N]],
        toned: usize,
        tones: &[Tone],
    ) -> Result<(), CliError> {
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([head[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: [usize; N] = std::array::from_fn(width);
        let heading: Vec<String> = (0..N).map(|c| format!("{:<1$}", head[c], widths[c])).collect();
        let heading = self.paint(Tone::Dim, heading.join("  ").trim_end());
        self.plain("")?;
        self.plain(format!("{MARGIN}{heading}"))?;
        for (row, tone) in rows.iter().zip(tones) {
            let mut cells: Vec<String> = (0..N).map(|c| format!("{:<1$}", row[c], widths[c])).collect();
            if let Some(last) = cells.last_mut() {
                last.truncate(last.trim_end().len());
            }
            cells[toned] = self.paint(*tone, &cells[toned]);
            self.plain(format!("{MARGIN}{}", cells.join("  ")))?;
        }
        Ok(())
    }

    /// What was just checked.
    pub(super) fn check(&mut self, check: Check) -> Result<(), CliError> {
        let mark = if check.held {
            self.paint(Tone::Good, "✓")
        } else {
            self.paint(Tone::Bad, "✗")
        };
        let facts = self.paint(Tone::Dim, &check.facts);
        self.say(format!("{mark} {}", check.promise))?;
        self.plain(format!("{MARGIN}  {facts}"))?;
        self.checks.push(check);
        Ok(())
    }

    /// The result for programs, where that was asked for.
    pub(super) fn object(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        if self.out.is_json() {
            self.out.object(value)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::kept;

    #[test]
    fn a_table_stands_under_the_lines() {
        let (mut out, results, _) = kept(false, false, None);
        let mut teller = Teller::new(&mut out);
        let rows = [
            ["web-1".to_owned(), "idle".to_owned()],
            ["web-12".to_owned(), "grün".to_owned()],
        ];
        let tones = [Tone::Dim, Tone::Good];
        teller.table(["ID", "STATUS"], &rows, 1, &tones).unwrap();
        let told = "
         ID      STATUS
         web-1   idle
         web-12  grün
";
        assert_eq!(results.text(), told);
    }

    #[test]
    fn programs_are_told_nothing_but_the_result() {
        let (mut out, results, _) = kept(true, false, None);
        let mut teller = Teller::new(&mut out);
        teller.act("1. x").unwrap();
        teller.command("ao x", "y").unwrap();
        teller.check(Check::new("it holds", false, "0 of 1")).unwrap();
        assert_eq!(results.text(), "");
        assert_eq!(
            serde_json::to_value(teller.checks()).unwrap(),
            serde_json::json!([{"promise": "it holds", "held": false, "facts": "0 of 1"}])
        );
    }
}
