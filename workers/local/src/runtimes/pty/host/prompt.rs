//! Where a program takes a text, read off its screen.

use alacritty_terminal::grid::{Dimensions as _, Grid};
use alacritty_terminal::index::Column;
use alacritty_terminal::term::cell::{Cell, Flags};

use super::engine::{Engine, line_at, text};
use super::typing::{Look, Written};
use crate::runtimes::pty::wire::Line;

/// A row is a rule when it begins and ends with it; what a program writes into its middle is a heading.
const RULE: char = '\u{2500}';
const RULE_BEGINS: usize = 10;

impl Look for Engine {
    fn bracketed(&self) -> bool {
        self.bracketed_paste()
    }

    /// What stands between the last two rules, if the first line there begins with the mark.
    fn written(&self, line: &Line) -> Written {
        let grid = self.grid();
        let mut rules = (0..grid.screen_lines()).rev().filter(|row| is_rule(grid, *row));
        let (Some(end), Some(begin)) = (rules.next(), rules.next()) else {
            return Written::NoPlace;
        };
        let Some(first) = (begin + 1..end).next() else {
            return Written::NoPlace;
        };
        if !text(grid, line_at(first)).starts_with(line.mark.as_str()) {
            return Written::NoPlace;
        }
        let marked = line.mark.chars().count();
        let is_written = (first..end).any(|row| has_text(grid, row, if row == first { marked } else { 0 }));
        if is_written {
            Written::Lines(end - first)
        } else {
            Written::Nothing
        }
    }

    fn has(&self, lines: &[String]) -> bool {
        let grid = self.grid();
        let mut rows = 0..grid.screen_lines();
        lines
            .iter()
            .all(|wanted| rows.any(|row| text(grid, line_at(row)).trim() == wanted.trim()))
    }
}

fn is_rule(grid: &Grid<Cell>, row: usize) -> bool {
    let cells = &grid[line_at(row)];
    let last = grid.columns() - 1;
    let is_ruled = |column: usize| cells[Column(column)].c == RULE;
    (0..RULE_BEGINS.min(last)).all(is_ruled) && is_ruled(last)
}

/// Whether somebody wrote something into this row. A program's own hint is dim, but for the letter under its cursor.
fn has_text(grid: &Grid<Cell>, row: usize, from: usize) -> bool {
    let cells = &grid[line_at(row)];
    let (mut plain, mut dim, mut under_cursor) = (0, 0, 0);
    for column in from..grid.columns() {
        let cell = &cells[Column(column)];
        if cell.c.is_whitespace() {
            continue;
        }
        if cell.flags.contains(Flags::DIM) {
            dim += 1;
        } else if cell.flags.contains(Flags::INVERSE) {
            under_cursor += 1;
        } else {
            plain += 1;
        }
    }
    plain > 0 || under_cursor > 1 || (under_cursor == 1 && dim == 0)
}

#[cfg(test)]
mod tests {
    use ao_domain::port::runtime::Size;

    use super::*;

    fn screen(rows: &[&str]) -> Engine {
        let mut engine = Engine::new(Size { cols: 40, rows: 12 });
        let rule = "\u{2500}".repeat(40);
        let text = rows.join("\r\n").replace("----", &rule);
        engine.feed(text.as_bytes());
        engine
    }

    fn written(rows: &[&str]) -> Written {
        screen(rows).written(&Line {
            mark: "\u{276f}".to_owned(),
            clear: String::new(),
        })
    }

    #[test]
    fn a_free_line_is_told_from_one_with_a_text() {
        assert_eq!(
            written(&[
                "----",
                "\u{276f}\u{a0}\x1b[7m \x1b[0m",
                "----",
                "  manual mode on"
            ]),
            Written::Nothing
        );
        assert_eq!(
            written(&["----", "\u{276f} half a li\x1b[7m \x1b[0m", "----"]),
            Written::Lines(1)
        );
        assert_eq!(
            written(&["----", "\u{276f} one", "  two", "", "----"]),
            Written::Lines(3)
        );
        assert_eq!(
            written(&["----", "\u{276f} ", "  second line only", "----"]),
            Written::Lines(2)
        );
        // A hint of the program's own: dim, but for what is under its cursor.
        let hint = "\u{276f} \x1b[7mP\x1b[0;2mress up to edit\x1b[0m";
        assert_eq!(written(&["----", hint, "----"]), Written::Nothing);
        assert_eq!(
            written(&["----", "\u{276f} \x1b[7mx\x1b[0m", "----"]),
            Written::Lines(1)
        );
        // A heading in the upper rule.
        let heading = format!("{} plan {}", "\u{2500}".repeat(24), "\u{2500}".repeat(10));
        assert_eq!(written(&[&heading, "\u{276f} x", "----"]), Written::Lines(1));
    }

    #[test]
    fn a_dialog_or_anything_else_is_no_place_for_a_text() {
        for rows in [
            &[
                "----",
                " Do you want to create a.txt?",
                " \u{276f} 1. Yes",
                "   2. No",
                " Esc to cancel",
            ][..],
            &[
                "----",
                " which colour?",
                "\u{276f} 1. One",
                "  2. Two",
                "----",
                "  3. Chat",
                "Esc to cancel",
            ],
            &[
                "----",
                "\u{276f} old line",
                "----",
                "some menu",
                "----",
                "  1. Yes",
                "----",
            ],
            &["----", "! ls", "----"],
            &["  ----", "  \u{276f} quoted by the program", "  \u{2500}\u{2500}"],
            &["----", "----"],
            &["$ "],
            &[],
        ] {
            assert_eq!(written(rows), Written::NoPlace, "{rows:?}");
        }
    }

    #[test]
    fn lines_are_found_in_their_order() {
        let screen = screen(&["a question?", " \u{276f} 1. Yes", "   2. No"]);
        let has =
            |lines: &[&str]| screen.has(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
        assert!(has(&["a question?", "2. No"]) && has(&[]));
        assert!(!has(&["2. No", "a question?"]) && !has(&["a question? 2"]));
    }
}
