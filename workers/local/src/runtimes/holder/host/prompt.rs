//! Where a program takes a text, read off its screen.

use std::os::fd::BorrowedFd;

use alacritty_terminal::grid::{Dimensions as _, Grid};
use alacritty_terminal::index::Column;
use alacritty_terminal::term::cell::{Cell, Flags};
use rustix::event::{PollFd, PollFlags, Timespec};

use super::engine::{Engine, line_at, text};
use super::typing::{Look, Written};
use crate::runtimes::holder::wire::Line;

/// A row is a rule when it begins and ends with it and is half of it; what a program writes into it besides is a heading.
const RULE: char = '\u{2500}';
const RULE_ENDS: usize = 3;

/// An engine, whether there is output that it was not fed yet, and the program's end of the terminal.
pub(super) struct Seen<'a> {
    pub(super) engine: &'a Engine,
    pub(super) unread: bool,
    pub(super) user: Option<BorrowedFd<'a>>,
}

impl Look for Seen<'_> {
    fn bracketed(&self) -> bool {
        self.engine.bracketed_paste()
    }

    fn columns(&self) -> usize {
        self.engine.grid().columns()
    }

    fn is_whole(&self) -> bool {
        !self.unread && self.engine.curtain().is_none()
    }

    fn has_read(&self) -> bool {
        self.user.is_none_or(has_read)
    }

    /// What stands between the last two rules, if the first line there begins with the mark, or the rule above says that it is out
    /// of sight.
    fn written(&self, line: &Line) -> Written {
        let grid = self.engine.grid();
        let mut rules = (0..grid.screen_lines()).rev().filter(|row| is_rule(grid, *row));
        let (Some(end), Some(begin)) = (rules.next(), rules.next()) else {
            return Written::NoPlace;
        };
        if begin + 1 == end {
            return Written::NoPlace;
        }
        let is_marked = text(grid, line_at(begin + 1)).starts_with(line.mark.as_str());
        let is_cut = !line.above.is_empty() && text(grid, line_at(begin)).contains(line.above.as_str());
        if !is_marked && !is_cut {
            return Written::NoPlace;
        }
        let marked = if is_marked { line.mark.chars().count() } else { 0 };
        let letters: String = (begin + 1..end)
            .map(|row| letters(grid, row, if row == begin + 1 { marked } else { 0 }))
            .collect();
        if letters.is_empty() {
            Written::Nothing
        } else if is_cut {
            Written::End(letters)
        } else {
            Written::Letters(letters)
        }
    }

    fn has(&self, lines: &[String], mark: &str) -> bool {
        let grid = self.engine.grid();
        let bare = |line: &str| line.trim().strip_prefix(mark).unwrap_or(line).trim().to_owned();
        let mut rows = 0..grid.screen_lines();
        lines
            .iter()
            .all(|wanted| rows.any(|row| bare(&text(grid, line_at(row))) == bare(wanted)))
    }
}

/// Whether nothing waits at the program's end of a terminal: it has read all that was typed, or its terminal is gone.
pub(super) fn has_read(user: BorrowedFd<'_>) -> bool {
    // Asked by `poll`: it hands on first what the kernel still holds between the two ends.
    let mut fds = [PollFd::from_borrowed_fd(user, PollFlags::IN)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    match rustix::event::poll(&mut fds, Some(&at_once)) {
        Ok(_) => !fds[0].revents().contains(PollFlags::IN),
        Err(_) => false, // not known: asked again at the next turn
    }
}

fn is_rule(grid: &Grid<Cell>, row: usize) -> bool {
    let cells = &grid[line_at(row)];
    let columns = grid.columns();
    let is_ruled = |column: usize| cells[Column(column)].c == RULE;
    let ends = RULE_ENDS.min(columns / 2);
    (0..ends).all(is_ruled)
        && (columns - ends..columns).all(is_ruled)
        && (0..columns).filter(|column| is_ruled(*column)).count() * 2 >= columns
}

/// The letters somebody wrote into this row, from a column on. A program's own hint is dim, but for the letter under its cursor.
fn letters(grid: &Grid<Cell>, row: usize, from: usize) -> String {
    let cells = &grid[line_at(row)];
    let (mut letters, mut dim, mut only_under_cursor) = (String::new(), false, true);
    for column in from..grid.columns() {
        let cell = &cells[Column(column)];
        if cell.c.is_whitespace()
            || cell
                .flags
                .intersects(Flags::WIDE_CHAR_SPACER | Flags::LEADING_WIDE_CHAR_SPACER)
        {
            continue;
        }
        if cell.flags.contains(Flags::DIM) {
            dim = true;
        } else {
            only_under_cursor &= cell.flags.contains(Flags::INVERSE) && letters.is_empty();
            letters.push(cell.c);
            letters.extend(cell.zerowidth().unwrap_or_default());
        }
    }
    if dim && only_under_cursor {
        letters.clear();
    }
    letters
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

    fn seen(engine: &Engine) -> Seen<'_> {
        Seen {
            engine,
            unread: false,
            user: None,
        }
    }

    fn written(rows: &[&str]) -> Written {
        seen(&screen(rows)).written(&Line {
            mark: "\u{276f}".to_owned(),
            clear: String::new(),
            above: "\u{2191} ".to_owned(),
            folded: String::new(),
        })
    }

    fn letters(letters: &str) -> Written {
        Written::Letters(letters.to_owned())
    }

    #[test]
    fn a_free_line_is_told_from_one_with_a_text() {
        let free = "\u{276f}\u{a0}\x1b[7m \x1b[0m";
        assert_eq!(
            written(&["----", free, "----", "  manual mode on"]),
            Written::Nothing
        );
        assert_eq!(
            written(&["----", "\u{276f} half a li\x1b[7m \x1b[0m", "----"]),
            letters("halfali")
        );
        assert_eq!(
            written(&["----", "\u{276f} one", "  two", "", "----"]),
            letters("onetwo")
        );
        assert_eq!(
            written(&["----", "\u{276f} ", "  second line only", "----"]),
            letters("secondlineonly")
        );
        // A hint of the program's own: dim, but for what is under its cursor.
        let hint = "\u{276f} \x1b[7mP\x1b[0;2mress up to edit\x1b[0m";
        assert_eq!(written(&["----", hint, "----"]), Written::Nothing);
        assert_eq!(
            written(&["----", "\u{276f} \x1b[7mx\x1b[0m", "----"]),
            letters("x")
        );
        // A heading in the upper rule; and one that says that the beginning is out of sight.
        let rule = "\u{2500}".repeat(10);
        let heading = format!("{rule}{rule} plan {rule}{}", "\u{2500}".repeat(4));
        assert_eq!(written(&[&heading, "\u{276f} x", "----"]), letters("x"));
        let cut = format!(
            "\u{2500}\u{2500}\u{2500} \u{2191} 4 more {rule}{rule}{}",
            "\u{2500}".repeat(7)
        );
        assert_eq!(
            written(&[&cut, "  the end of it", "----"]),
            Written::End("theendofit".to_owned())
        );
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
        let engine = screen(&["a question?", " \u{276f} 1. Yes", "   2. No"]);
        let has = |lines: &[&str]| {
            let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            seen(&engine).has(&lines, "\u{276f}")
        };
        assert!(has(&["a question?", "1. Yes", "2. No"]));
        assert!(!has(&["2. No", "a question?"]) && !has(&["a question? 2"]) && !has(&["1. No"]));
    }
}
