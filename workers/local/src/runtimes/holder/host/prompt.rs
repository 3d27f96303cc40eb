//! Where a program takes a text, read off its screen.

use std::ops::Range;
use std::os::fd::BorrowedFd;

use alacritty_terminal::grid::{Dimensions as _, Grid};
use alacritty_terminal::index::Column;
use alacritty_terminal::term::cell::{Cell, Flags};
use ao_domain::port::runtime::Place;
use rustix::event::{PollFd, PollFlags, Timespec};

use super::engine::{Engine, between, line_at, lit, text};
use super::typing::{Look, Written, bare};
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

    /// What stands where it takes a text, if the first line there begins with the mark, or what is above it says that it is out of
    /// sight.
    fn written(&self, line: &Line) -> Written {
        let Some(area) = self.area(line) else {
            return Written::NoPlace;
        };
        if line.modes.iter().any(|mode| area.called.contains(mode)) {
            return Written::Command;
        }
        let grid = self.engine.grid();
        let first = between(grid, line_at(area.rows.start), area.columns.clone());
        let first = first.trim_start();
        let is_marked = first.starts_with(line.mark.as_str());
        let is_cut = !line.above.is_empty() && area.above.contains(line.above.as_str());
        if !is_marked && !is_cut {
            return Written::NoPlace;
        }
        let mut letters: String = area
            .rows
            .clone()
            .map(|row| {
                let marked = is_marked && row == area.rows.start;
                letters(
                    grid,
                    row,
                    &area.columns,
                    if marked { line.mark.as_str() } else { "" },
                )
            })
            .collect();
        if line
            .hints
            .iter()
            .any(|hint| letters.starts_with(&without_blanks(hint)))
        {
            letters.clear();
        }
        if letters.is_empty() {
            Written::Nothing
        } else if is_cut {
            Written::End(letters)
        } else {
            Written::Letters(letters)
        }
    }

    fn takes_letters(&self, line: &Line) -> bool {
        let is_elsewhere = || {
            let row = self.engine.cursor_line();
            let area = self.area(line);
            line.place == Place::Frame && area.is_some_and(|area| !area.rows.contains(&row))
        };
        self.written(line) != Written::NoPlace && !is_elsewhere()
    }

    fn has(&self, lines: &[String]) -> bool {
        let grid = self.engine.grid();
        let mut rows = (0..grid.screen_lines()).map(|row| bare(&text(grid, line_at(row))));
        lines.iter().all(|wanted| {
            let wanted = bare(wanted);
            rows.any(|row| row == wanted)
        })
    }

    fn is_at(&self, mark: &str, label: &str) -> bool {
        let grid = self.engine.grid();
        let label = bare(label);
        let all = grid.screen_lines();
        if mark.is_empty() {
            return (0..all).any(|row| lit(grid, row).iter().any(|(_, piece)| bare(piece) == label));
        }
        let shown = |row: usize| text(grid, line_at(row));
        let is_beside = |c: char| c.is_whitespace() || SIDES.contains(&c);
        // Where the words begin, behind the mark as without one.
        let column = |row: usize| {
            let shown = shown(row);
            let inside = shown.trim_start_matches(is_beside);
            let words = inside.strip_prefix(mark).unwrap_or(inside);
            let words = words.trim_start_matches(|c: char| c.is_whitespace() || c == TICK);
            shown.chars().count() - words.chars().count()
        };
        (0..all)
            .filter(|row| shown(*row).trim_start_matches(is_beside).starts_with(mark))
            .any(|first| {
                // In a narrow window a choice goes on below, farther in than the next one begins.
                let goes_on = |row: &usize| !bare(&shown(*row)).is_empty() && column(*row) > column(first);
                let rest = (first + 1..all).take_while(goes_on);
                let said: String = std::iter::once(first)
                    .chain(rest)
                    .map(|row| bare(&shown(row)))
                    .collect();
                said == label
            })
    }
}

/// What stands left and right of a text that is in a frame or behind a bar.
const SIDES: [char; 2] = ['\u{2502}', BAR];
const BAR: char = '\u{2503}';

/// What stands before what is taken now, in a list.
const TICK: char = '\u{2714}';

/// Where a program takes a text.
struct Area {
    rows: Range<usize>,
    columns: Range<usize>,
    /// The row above it.
    above: String,
    /// What the program calls it.
    called: Vec<String>,
}

impl Seen<'_> {
    fn area(&self, line: &Line) -> Option<Area> {
        let grid = self.engine.grid();
        let area = match line.place {
            Place::Rules => between_rules(grid),
            Place::Frame => in_frame(grid),
            Place::Bar => behind_bar(grid, true),
            Place::Block => behind_bar(grid, false),
            Place::Open => in_the_open(grid, self.engine.cursor_row()?, &line.mark),
        };
        area.filter(|area| !area.rows.is_empty())
    }
}

/// Between the last two rules.
fn between_rules(grid: &Grid<Cell>) -> Option<Area> {
    let mut rules = (0..grid.screen_lines()).rev().filter(|row| is_rule(grid, *row));
    let (end, begin) = (rules.next()?, rules.next()?);
    Some(Area {
        rows: begin + 1..end,
        columns: 0..grid.columns(),
        above: text(grid, line_at(begin)),
        called: Vec::new(),
    })
}

/// The first and the last column of a row in which something is.
fn ends(grid: &Grid<Cell>, row: usize) -> Option<(usize, usize)> {
    let cells = &grid[line_at(row)];
    let mut drawn = (0..grid.columns()).filter(|column| !cells[Column(*column)].c.is_whitespace());
    let first = drawn.next()?;
    Some((first, drawn.next_back().unwrap_or(first)))
}

/// In the last frame.
fn in_frame(grid: &Grid<Cell>) -> Option<Area> {
    let is = |row: usize, (left, right): (usize, usize), corners: (char, char)| {
        let cells = &grid[line_at(row)];
        (cells[Column(left)].c, cells[Column(right)].c) == corners
    };
    let (foot, sides) = (0..grid.screen_lines()).rev().find_map(|row| {
        let sides = ends(grid, row)?;
        is(row, sides, ('\u{2570}', '\u{256f}')).then_some((row, sides))
    })?;
    let head = (0..foot)
        .rev()
        .find(|row| !is(*row, sides, ('\u{2502}', '\u{2502}')))?;
    is(head, sides, ('\u{256d}', '\u{256e}')).then(|| Area {
        rows: head + 1..foot,
        columns: sides.0 + 1..sides.1,
        above: text(grid, line_at(head)),
        called: Vec::new(),
    })
}

/// Behind the last bar with a foot; where that has no head, the lowest line there is the program's own.
fn behind_bar(grid: &Grid<Cell>, is_open: bool) -> Option<Area> {
    let at = |row: usize, column: usize| grid[line_at(row)][Column(column)].c;
    let (foot, left) = (0..grid.screen_lines()).rev().find_map(|row| {
        let (left, _) = ends(grid, row)?;
        (at(row, left) == '\u{2579}').then_some((row, left))
    })?;
    let above = (0..foot).rev().find(|row| at(*row, left) != BAR);
    let has_head = above.is_some_and(|row| at(row, left) == '\u{257b}');
    // Beside it a program may show something else.
    let right = (left + 1..grid.columns()).find(|column| at(foot, *column) != '\u{2580}');
    let columns = left + 1..right.unwrap_or(grid.columns());
    let own = if is_open {
        vec![between(grid, line_at(foot.checked_sub(1)?), columns.clone())]
    } else {
        let below: Vec<String> = (foot + 1..grid.screen_lines())
            .map(|row| text(grid, line_at(row)))
            .collect();
        below.join(" ").split('\u{b7}').map(str::to_owned).collect()
    };
    (has_head != is_open).then(|| Area {
        rows: above.map_or(0, |row| row + 1)..foot - usize::from(is_open),
        columns,
        above: String::new(),
        called: own.iter().map(|words| words.trim().to_owned()).collect(),
    })
}

/// From the last line that begins with the mark, above the cursor, to the last empty line.
fn in_the_open(grid: &Grid<Cell>, cursor: usize, mark: &str) -> Option<Area> {
    let shown = |row: usize| text(grid, line_at(row));
    let begin = (0..=cursor)
        .rev()
        .find(|row| !shown(*row).starts_with("  ") && !shown(*row).is_empty())?;
    if !shown(begin).starts_with(mark) {
        return None;
    }
    let last = (cursor..grid.screen_lines())
        .rev()
        .find(|row| !shown(*row).is_empty())?;
    // What stands below the last empty line is the program's own; there is none where nothing stands below the text.
    let end = (cursor + 1..=last).rev().find(|row| shown(*row).is_empty());
    Some(Area {
        rows: begin..end.unwrap_or(last + 1),
        columns: 0..grid.columns(),
        above: String::new(),
        called: Vec::new(),
    })
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

fn without_blanks(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// The letters somebody wrote into this row, between two columns and behind a mark. A program's own hint is dim or slanted, but for
/// the letter under its cursor.
fn letters(grid: &Grid<Cell>, row: usize, columns: &Range<usize>, mark: &str) -> String {
    let cells = &grid[line_at(row)];
    let (mut letters, mut hint, mut only_under_cursor) = (String::new(), false, true);
    let mut mark = mark.chars().peekable();
    for column in columns.clone() {
        let cell = &cells[Column(column)];
        if is_blank(cell.c)
            || cell
                .flags
                .intersects(Flags::WIDE_CHAR_SPACER | Flags::LEADING_WIDE_CHAR_SPACER)
        {
            continue;
        }
        if mark.next_if_eq(&cell.c).is_some() {
            continue;
        }
        if cell.flags.intersects(Flags::DIM | Flags::ITALIC) {
            hint = true;
        } else {
            only_under_cursor &= cell.flags.contains(Flags::INVERSE) && letters.is_empty();
            letters.push(cell.c);
            letters.extend(
                cell.zerowidth()
                    .unwrap_or_default()
                    .iter()
                    .filter(|c| !is_blank(**c)),
            );
        }
    }
    if hint && only_under_cursor {
        letters.clear();
    }
    letters
}

/// Whether nothing is seen of it: a blank, or what a program puts under its cursor at the end of a line.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{200b}'
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

    fn line(place: Place, mark: &str, hints: &[&str]) -> Line {
        Line {
            mark: mark.to_owned(),
            clear: String::new(),
            above: "\u{2191} ".to_owned(),
            folded: String::new(),
            place,
            hints: hints.iter().map(|hint| (*hint).to_owned()).collect(),
            modes: vec!["Shell".to_owned()],
            given_back: None,
        }
    }

    fn written(rows: &[&str]) -> Written {
        seen(&screen(rows)).written(&line(Place::Rules, "\u{276f}", &[]))
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

    /// As Qwen Code draws it: its hint differs from a text by its colour, and its cursor is a blank without width.
    #[test]
    fn words_of_its_own_are_told_by_how_they_begin() {
        let qwen = |row: &str| {
            let engine = screen(&["----", row, "----", "  wt"]);
            seen(&engine).written(&line(Place::Rules, ">", &["Type your message or @path/to/file"]))
        };
        assert_eq!(
            qwen("> \x1b[48;5;8m \x1b[0m Type your message or @path/to/file"),
            Written::Nothing
        );
        assert_eq!(qwen("> one\u{200b}"), letters("one"));
        assert_eq!(qwen("> Type"), letters("Type"));
    }

    /// As Kimi Code and Grok Build draw it.
    #[test]
    fn a_text_in_a_frame_is_that_of_the_last_one() {
        let written = |rows: &[&str], mark: &str| {
            let rows: Vec<String> = rows
                .iter()
                .map(|row| match row.split_once('|') {
                    Some((left, rest)) => {
                        let inner = rest.strip_suffix('|').unwrap_or(rest);
                        let shown = inner.replace("\x1b[3m", "").replace("\x1b[0m", "");
                        let blanks = 36_usize.saturating_sub(shown.chars().count());
                        format!("{left}\u{2502}{inner}{}\u{2502}", " ".repeat(blanks))
                    }
                    None => row
                        .replace("+-", &format!("\u{256d}{}\u{256e}", "\u{2500}".repeat(36)))
                        .replace("=-", &format!("\u{2570}{}\u{256f}", "\u{2500}".repeat(36))),
                })
                .collect();
            let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
            seen(&screen(&rows)).written(&line(Place::Frame, mark, &[]))
        };
        let welcome = ["+-", "| > hello|", "=-"];
        assert_eq!(written(&["+-", "| >|", "=-", " model"], ">"), Written::Nothing);
        assert_eq!(
            written(
                &[&welcome[..], &[" +-", " | > one|", " |   two|", " =-", " model"]].concat(),
                ">"
            ),
            letters("onetwo")
        );
        // What it suggests is slanted.
        assert_eq!(
            written(&["+-", "| \u{276f} \x1b[3mDone.\x1b[0m|", "=-"], "\u{276f}"),
            Written::Nothing
        );
        // Only the last one, and only behind its mark.
        assert_eq!(
            written(&[&welcome[..], &["+-", "|  Quit|", "=-"]].concat(), ">"),
            Written::NoPlace
        );
        assert_eq!(written(&["+-", "| > x|", "  1. Yes"], ">"), Written::NoPlace);
    }

    /// As Grok Build draws it that is not logged in: its list has the cursor.
    #[test]
    fn a_key_is_no_letter_of_a_text_while_something_else_has_the_cursor() {
        let rows = [
            "   Login    l",
            "   Quit     q",
            "\u{256d}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\u{256e}",
            "\u{2502} \u{276f}   \u{2502}",
            "\u{2570}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\u{256f}",
        ];
        let takes_letters = |place, go: &str| {
            let mut engine = screen(&rows);
            engine.feed(go.as_bytes());
            seen(&engine).takes_letters(&line(place, "\u{276f}", &[]))
        };
        for hidden in ["", "\x1b[?25l"] {
            assert!(
                takes_letters(Place::Frame, &format!("\x1b[4;4H{hidden}")),
                "{hidden:?}"
            );
            assert!(
                !takes_letters(Place::Frame, &format!("\x1b[1;4H{hidden}")),
                "{hidden:?}"
            );
        }
        // No place of another kind.
        assert!(!takes_letters(Place::Bar, "\x1b[4;4H"));
        // Others leave the cursor anywhere while they take a text.
        let mut engine = screen(&["----", "\u{276f} one", "----", "status"]);
        engine.feed(b"\x1b[4;1H");
        assert!(seen(&engine).takes_letters(&line(Place::Rules, "\u{276f}", &[])));
    }

    /// In a list in which one is ticked the others begin behind the tick.
    #[test]
    fn a_tick_is_no_part_of_where_a_choice_begins() {
        let engine = screen(&[
            " \u{276f} \u{2714} Auto",
            "     Dark mode",
            "     Light mode",
            "",
            " sample",
        ]);
        assert!(seen(&engine).is_at("\u{276f}", "\u{2714} Auto"));
        let engine = screen(&["   \u{2714} Auto", " \u{276f}   Dark mode", "     Light mode"]);
        assert!(seen(&engine).is_at("\u{276f}", "Dark mode"));
        assert!(!seen(&engine).is_at("\u{276f}", "\u{2714} Auto"));
    }

    /// As opencode draws it.
    #[test]
    fn a_text_behind_a_bar_is_above_its_foot() {
        let written = |rows: &[&str]| {
            let bars = |row: &&str| {
                row.replace('|', "\u{2503}")
                    .replace("=-", &format!("\u{2579}{}", "\u{2580}".repeat(36)))
            };
            let rows: Vec<String> = rows.iter().map(bars).collect();
            let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
            seen(&screen(&rows)).written(&line(Place::Bar, "", &["Ask anything\u{2026}"]))
        };
        let own = "  |  Build \u{b7} Stub";
        assert_eq!(
            written(&["  |", "  |", "  |", own, "  =-", "   /w"]),
            Written::Nothing
        );
        assert_eq!(
            written(&[
                "  |",
                "  |  asked before",
                "  |",
                "",
                "  |",
                "  |  one",
                "  |  two",
                "  |",
                own,
                "  =-"
            ]),
            letters("onetwo")
        );
        assert_eq!(
            written(&[
                "    |",
                "    |  Ask anything\u{2026} \"Fix it\"",
                "    |",
                own,
                "    =-"
            ]),
            Written::NoPlace
        );
        assert_eq!(
            written(&["  |", "  |  Ask anything\u{2026} \"Fix it\"", "  |", own, "  =-"]),
            Written::Nothing
        );
        // What stands there would be run; and an agent of somebody's has that name.
        assert_eq!(
            written(&["  |", "  |  one", "  |", "  |  Shell", "  =-"]),
            Written::Command
        );
        assert_eq!(
            written(&["  |", "  |  one", "  |", "  |  Shell \u{b7} Stub", "  =-"]),
            letters("one")
        );
        // Beside it stands something else.
        assert_eq!(
            written(&["  |  one            sidebar", "  |", own, "  =-"]),
            letters("onesidebar")
        );
        let narrow = "  \u{2579}\u{2580}\u{2580}\u{2580}\u{2580}\u{2580}\u{2580}\u{2580}";
        assert_eq!(
            written(&["  |  one            sidebar", "  |", own, narrow]),
            letters("one")
        );
        // A dialog has no foot.
        assert_eq!(
            written(&[
                "  |",
                "  |  Permission required",
                "  |  Allow once   Reject",
                "  |"
            ]),
            Written::NoPlace
        );
    }

    /// As Copilot draws it on a terminal that tells it its colours.
    #[test]
    fn a_text_behind_a_bar_with_a_head_is_all_there_is() {
        let written = |rows: &[&str]| {
            let drawn = |row: &&str| {
                row.replace("+-", "\u{257b}\u{2584}\u{2584}")
                    .replace('|', "\u{2503}")
                    .replace("=-", &format!("\u{2579}{}", "\u{2580}".repeat(20)))
            };
            let rows: Vec<String> = rows.iter().map(drawn).collect();
            let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
            seen(&screen(&rows)).written(&line(Place::Block, "", &[]))
        };
        assert_eq!(written(&["+-", "|", "=-", " / commands"]), Written::Nothing);
        assert_eq!(written(&["+-", "| one", "|", "| two", "=-"]), letters("onetwo"));
        assert_eq!(written(&["", "| one", "=-"]), Written::NoPlace);
        let run = " \u{2190} open sidebar \u{b7} Shell \u{b7} Manual Approval";
        assert_eq!(written(&["+-", "| one", "=-", run]), Written::Command);
        // In a narrow window, where that line is wrapped.
        let wrapped = ["+-", "| one", "=-", " \u{2190} open sidebar", " \u{b7} Shell"];
        assert_eq!(written(&wrapped), Written::Command);
    }

    /// As Codex draws it.
    #[test]
    fn a_text_in_the_open_is_where_the_cursor_is() {
        let written = |rows: &[&str], cursor: &str| {
            let mut engine = screen(rows);
            engine.feed(cursor.as_bytes());
            seen(&engine).written(&line(Place::Open, "\u{203a}", &[]))
        };
        let below = ["", "  model \u{b7} /w", "  ? for shortcuts"];
        let with = |rows: &[&'static str]| [rows, &below[..]].concat();
        let at = |row: usize| format!("\x1b[{row};3H");
        let hint = "\x1b[1m\u{203a}\x1b[0m \x1b[2mAsk Codex to do anything\x1b[0m";
        assert_eq!(
            written(&with(&["\u{2022} Done.", "", hint]), &at(3)),
            Written::Nothing
        );
        assert_eq!(
            written(
                &with(&["\u{203a} asked before", "", "\u{203a} one", "", "  two"]),
                &at(5)
            ),
            letters("onetwo")
        );
        // What stands below the cursor belongs to it.
        assert_eq!(
            written(&with(&["\u{203a} one", "  two"]), &at(1)),
            letters("onetwo")
        );
        // In a dialog the cursor is hidden; and a cursor elsewhere is in no text.
        assert_eq!(
            written(
                &with(&["\u{203a} 1. Yes", "  2. No"]),
                &format!("{}\x1b[?25l", at(1))
            ),
            Written::NoPlace
        );
        assert_eq!(
            written(&with(&["\u{2022} Working", "  on it"]), &at(2)),
            Written::NoPlace
        );
    }

    #[test]
    fn what_stands_out_is_told_and_a_cursor_is_found() {
        let engine = screen(&[
            "  \x1b[48;5;3m Allow once \x1b[0m   Allow always   Reject",
            "  \u{276f} One",
            "    Two",
        ]);
        let grid = engine.grid();
        assert_eq!(lit(grid, 0), [(0, "Allow once".to_owned())]);
        let seen = seen(&engine);
        assert!(seen.is_at("", "Allow once") && !seen.is_at("", "Reject"));
        assert!(seen.is_at("\u{276f}", "One") && !seen.is_at("\u{276f}", "Two"));
        // In a narrow window.
        let engine = screen(&[
            "\u{2502} \u{276f} Yes, and          \u{2502}",
            "\u{2502}     remember it      \u{2502}",
            "\u{2502}   Yes                \u{2502}",
            "\u{2502}   Yes, and not       \u{2502}",
        ]);
        let seen = self::seen(&engine);
        assert!(seen.is_at("\u{276f}", "Yes, and remember it"));
        for other in ["Yes", "Yes, and", "Yes, and remember", "Yes, and not"] {
            assert!(!seen.is_at("\u{276f}", other), "{other}");
        }
    }

    #[test]
    fn lines_are_found_in_their_order() {
        let engine = screen(&["a question?", " \u{276f} 1. Yes", "   2. No"]);
        let has = |lines: &[&str]| {
            let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            seen(&engine).has(&lines)
        };
        assert!(has(&["a question?", "1. Yes", "2. No"]));
        assert!(!has(&["2. No", "a question?"]) && !has(&["a question? 2"]) && !has(&["1. No"]));
    }
}
