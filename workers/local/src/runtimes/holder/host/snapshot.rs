//! The state of a terminal as the bytes that bring another one into it.
//!
//! Nothing is reset: a reset clears what belongs to the person (palette, title, scrollback) and some terminals answer
//! it with a flash. What matters is set explicitly instead, each mode on or off.

use std::io::Write as _;

use alacritty_terminal::grid::{Cursor, Dimensions, Grid};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::{Cell, Flags, Hyperlink};
use alacritty_terminal::term::{Term, TermMode};
use alacritty_terminal::vte::ansi::{
    CharsetIndex, Color, CursorShape, CursorStyle, Handler as _, KeyboardModes, KeyboardModesApplyBehavior,
    NamedColor, StandardCharset,
};

use super::edge::Edge;
use super::engine::{BACKGROUND_INDEX, Said};
use crate::runtimes::holder::wire::Scrollback;

/// Modes that are set by `CSI ? n h` and cleared by `CSI ? n l`. Drawing is over when these are written.
const PRIVATE_MODES: [(TermMode, u16); 9] = [
    (TermMode::APP_CURSOR, 1),
    (TermMode::LINE_WRAP, 7),
    (TermMode::MOUSE_REPORT_CLICK, 1000),
    (TermMode::MOUSE_DRAG, 1002),
    (TermMode::MOUSE_MOTION, 1003),
    (TermMode::FOCUS_IN_OUT, 1004),
    (TermMode::UTF8_MOUSE, 1005),
    (TermMode::SGR_MOUSE, 1006),
    (TermMode::BRACKETED_PASTE, 2004),
];

/// How the engine ends the ids it makes up.
const ENGINES_LINK: &str = "_alacritty";

/// Neutral ground for drawing: no attributes, primary screen, no origin, no margins, no insertion, wrapping, ASCII.
const NEUTRAL: &[u8] = b"\x1b[0m\x1b[?1049l\x1b[?6l\x1b[r\x1b[4l\x1b[20l\x1b[?7h\x1b(B\x1b)B\x0f\x1b[?25l";

/// What takes the modes of a program out of a terminal again; the cursor stays where it is.
pub(in crate::runtimes::holder) const DEFAULTS: &[u8] = b"\x1b[0m\x1b7\x1b[?6l\x1b[r\x1b8\x1b[?6l\x1b[?1l\x1b>\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\
\x1b[?1005l\x1b[?1006l\x1b[?2004l\x1b[?2026l\x1b[=0;1u\x1b[4l\x1b[20l\x1b[?7h\x1b(B\x0f\x1b[0 q\x1b[?25h\x1b[0m";

/// Writes the state of `term`. It is as before afterwards: for the primary screen under an alternate one it has to be
/// turned over and back.
pub(super) fn write(
    term: &mut Term<Said>,
    edge: &Edge,
    title: Option<&str>,
    scrollback: Scrollback,
) -> Vec<u8> {
    let mut out = Out::default();
    out.raw(NEUTRAL);
    if scrollback == Scrollback::Append {
        // What the person had on the screen goes up to the rest of their scrollback, not away.
        let rows = term.screen_lines();
        out.print(format_args!("\x1b[{rows};1H{}", "\n".repeat(rows)));
    }
    out.raw(b"\x1b[H\x1b[2J");
    if scrollback == Scrollback::Replace {
        out.raw(b"\x1b[3J");
    }
    for index in 0..=BACKGROUND_INDEX + 1 {
        if let Some(colour) = term.colors()[index] {
            let name = match index {
                0..=255 => format!("4;{index}"),
                _ => (index - 246).to_string(), // 256, 257 and 258 are OSC 10, 11 and 12
            };
            out.print(format_args!(
                "\x1b]{name};rgb:{:02x}/{:02x}/{:02x}\x1b\\",
                colour.r, colour.g, colour.b
            ));
        }
    }
    if let Some(title) = title {
        let title: String = title.chars().filter(|c| !c.is_control()).collect();
        out.print(format_args!("\x1b]2;{title}\x1b\\"));
    }
    if term.mode().contains(TermMode::ALT_SCREEN) {
        let flags = keyboard_flags(*term.mode());
        let alternate = term.grid().clone();
        term.swap_alt();
        out.primary(term.grid(), scrollback);
        // Going to the alternate screen saves this cursor, in place of whatever was saved before.
        out.cursor(term.grid(), 0);
        term.swap_alt();
        *term.grid_mut() = alternate;
        set_keyboard_flags(term, flags);
        out.raw(b"\x1b[?1049h\x1b(B\x1b)B");
        out.plain();
        out.raw(b"\x1b[2J"); // it came filled with the primary screen's background
        out.alternate(term.grid());
    } else {
        out.primary(term.grid(), scrollback);
    }
    out.state(term, edge);
    out.bytes
}

/// The attributes of a cell that are written as SGR.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Style {
    fg: Color,
    bg: Color,
    flags: Flags,
    underline: Option<Color>,
}

impl Style {
    fn of(cell: &Cell) -> Self {
        Self {
            fg: cell.fg,
            bg: cell.bg,
            flags: cell.flags & drawn(),
            underline: cell.underline_color(),
        }
    }

    fn plain() -> Self {
        Self::of(&Cell::default())
    }
}

fn drawn() -> Flags {
    Flags::INVERSE
        | Flags::BOLD_ITALIC
        | Flags::DIM
        | Flags::HIDDEN
        | Flags::STRIKEOUT
        | Flags::ALL_UNDERLINES
}

/// Whether nothing needs to be written for this cell.
fn is_blank(grid: &Grid<Cell>, line: Line, column: usize) -> bool {
    let cell = &grid[line][Column(column)];
    let style = Style::of(cell);
    if style.bg != Color::Named(NamedColor::Background) || !style.flags.is_empty() {
        return false;
    }
    match part(grid, line, column) {
        Part::Whole => matches!(cell.c, ' ' | '\t') && cell.zerowidth().is_none(),
        Part::Covered => false,
        Part::Orphan => true,
    }
}

struct Out {
    bytes: Vec<u8>,
    style: Style,
    link: Option<Hyperlink>,
}

impl Default for Out {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            style: Style::plain(),
            link: None,
        }
    }
}

impl Out {
    fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn print(&mut self, text: std::fmt::Arguments<'_>) {
        self.bytes.write_fmt(text).expect("memory takes every byte");
    }

    fn on_off(&mut self, mode: &str, on: bool) {
        self.print(format_args!("\x1b[{mode}{}", if on { 'h' } else { 'l' }));
    }

    /// Scrollback and screen, written line after line as a program would have, so that wrapped lines are wrapped.
    fn primary(&mut self, grid: &Grid<Cell>, scrollback: Scrollback) {
        let mut line = if scrollback == Scrollback::Leave {
            Line(0)
        } else {
            grid.topmost_line()
        };
        let mut follows = false;
        while line <= grid.bottommost_line() {
            let wraps = wraps(grid, line);
            let count = if wraps { grid.columns() } else { used(grid, line) };
            self.cells(grid, line, count);
            if !wraps {
                self.plain();
                if follows && count < grid.columns() {
                    self.raw(b"\x1b[K"); // wrapping at the bottom filled the new line with the background in use
                }
                if line < grid.bottommost_line() {
                    self.raw(b"\r\n");
                }
            }
            follows = wraps;
            line += 1_i32;
        }
        self.plain();
    }

    /// The alternate screen, each row put where it is unless the one above wraps into it.
    fn alternate(&mut self, grid: &Grid<Cell>) {
        let mut follows = false;
        for row in 0..grid.screen_lines() {
            let line = Line(i32::try_from(row).expect("grids have few lines"));
            let wraps = wraps(grid, line);
            let count = if wraps { grid.columns() } else { used(grid, line) };
            if count > 0 {
                if !follows {
                    self.print(format_args!("\x1b[{};1H", row + 1));
                }
                self.cells(grid, line, count);
            }
            follows = wraps;
        }
        self.plain();
    }

    fn cells(&mut self, grid: &Grid<Cell>, line: Line, count: usize) {
        for column in 0..count {
            let cell = &grid[line][Column(column)];
            match part(grid, line, column) {
                Part::Whole => self.cell(cell),
                Part::Covered => {} // written by the terminal itself, with the wide character
                Part::Orphan => {
                    self.style(&Style::of(cell));
                    self.raw(b" ");
                }
            }
        }
    }

    fn cell(&mut self, cell: &Cell) {
        self.style(&Style::of(cell));
        self.link(cell.hyperlink());
        let mut utf8 = [0; 4];
        let c = if cell.c == '\t' { ' ' } else { cell.c };
        self.raw(c.encode_utf8(&mut utf8).as_bytes());
        for c in cell.zerowidth().unwrap_or_default() {
            self.raw(c.encode_utf8(&mut utf8).as_bytes());
        }
    }

    fn plain(&mut self) {
        self.style(&Style::plain());
        self.link(None);
    }

    fn link(&mut self, link: Option<Hyperlink>) {
        if link != self.link {
            match &link {
                Some(link) => {
                    let id = link.id();
                    // The engine numbers links whose program gave them no id; those numbers are its own affair.
                    let id = if id.ends_with(ENGINES_LINK) { "" } else { id };
                    match id {
                        "" => self.print(format_args!("\x1b]8;;{}\x1b\\", link.uri())),
                        id => self.print(format_args!("\x1b]8;id={id};{}\x1b\\", link.uri())),
                    }
                }
                None => self.raw(b"\x1b]8;;\x1b\\"),
            }
            self.link = link;
        }
    }

    fn style(&mut self, style: &Style) {
        if *style == self.style {
            return;
        }
        self.raw(b"\x1b[0");
        for (flag, code) in [
            (Flags::BOLD, "1"),
            (Flags::DIM, "2"),
            (Flags::ITALIC, "3"),
            (Flags::UNDERLINE, "4"),
            (Flags::INVERSE, "7"),
            (Flags::HIDDEN, "8"),
            (Flags::STRIKEOUT, "9"),
            (Flags::DOUBLE_UNDERLINE, "4:2"),
            (Flags::UNDERCURL, "4:3"),
            (Flags::DOTTED_UNDERLINE, "4:4"),
            (Flags::DASHED_UNDERLINE, "4:5"),
        ] {
            if style.flags.contains(flag) {
                self.print(format_args!(";{code}"));
            }
        }
        self.colour(style.fg, 30);
        self.colour(style.bg, 40);
        // With colons: a terminal that does not know 58 would read its parameters as other attributes.
        match style.underline {
            Some(Color::Spec(rgb)) => self.print(format_args!(";58:2::{}:{}:{}", rgb.r, rgb.g, rgb.b)),
            Some(Color::Indexed(index)) => self.print(format_args!(";58:5:{index}")),
            Some(Color::Named(name)) if (name as usize) < 16 => {
                self.print(format_args!(";58:5:{}", name as usize));
            }
            Some(Color::Named(_)) | None => {}
        }
        self.raw(b"m");
        self.style = style.clone();
    }

    /// `base` is 30 for the foreground and 40 for the background; the default colour is what SGR 0 left.
    fn colour(&mut self, colour: Color, base: usize) {
        match colour {
            Color::Named(name) => match name as usize {
                index @ 0..8 => self.print(format_args!(";{}", base + index)),
                index @ 8..16 => self.print(format_args!(";{}", base + 52 + index)),
                _ => {}
            },
            Color::Indexed(index) => self.print(format_args!(";{};5;{index}", base + 8)),
            Color::Spec(rgb) => self.print(format_args!(";{};2;{};{};{}", base + 8, rgb.r, rgb.g, rgb.b)),
        }
    }

    fn move_to(&mut self, cursor: &Cursor<Cell>) {
        let point = cursor.point;
        self.print(format_args!("\x1b[{};{}H", point.line.0 + 1, point.column.0 + 1));
    }

    /// The cursor's place, counted from the row `above`, and its attributes and character sets.
    fn cursor(&mut self, grid: &Grid<Cell>, above: i32) {
        let cursor = &grid.cursor;
        let row = cursor.point.line.0 - above + 1;
        let mut column = cursor.point.column.0;
        if cursor.input_needs_wrap {
            // The only way to stand behind the last column is to write into it.
            if grid[cursor.point].flags.contains(Flags::WIDE_CHAR_SPACER) {
                column = column.saturating_sub(1);
            }
            self.print(format_args!("\x1b[{row};{}H", column + 1));
            self.cell(&grid[cursor.point.line][Column(column)]);
            self.link(None);
        } else {
            self.print(format_args!("\x1b[{row};{}H", column + 1));
        }
        self.style(&Style::of(&cursor.template));
        self.link(cursor.template.hyperlink());
        self.charsets(cursor);
    }

    /// What ESC 8 would bring back: place, attributes and character sets.
    fn saved_cursor(&mut self, saved: &Cursor<Cell>) {
        if *saved == Cursor::default() {
            return;
        }
        self.charsets(saved);
        self.move_to(saved);
        self.style(&Style::of(&saved.template));
        self.raw(b"\x1b7\x1b(B\x1b)B");
        self.plain();
    }

    fn charsets(&mut self, cursor: &Cursor<Cell>) {
        for (index, name) in [(CharsetIndex::G0, '('), (CharsetIndex::G1, ')')] {
            if cursor.charsets[index] == StandardCharset::SpecialCharacterAndLineDrawing {
                self.print(format_args!("\x1b{name}0"));
            }
        }
    }

    /// Everything that is not a cell: cursor, margins, modes.
    fn state(&mut self, term: &Term<Said>, edge: &Edge) {
        let mode = *term.mode();
        let grid = term.grid();
        self.saved_cursor(&grid.saved_cursor);
        let mut top = 0;
        if let Some((first, last)) = edge.region() {
            match last {
                Some(last) => self.print(format_args!("\x1b[{first};{last}r")),
                None => self.print(format_args!("\x1b[{first}r")),
            }
            top = i32::from(first) - 1;
        }
        self.on_off("?6", mode.contains(TermMode::ORIGIN));
        self.cursor(grid, if mode.contains(TermMode::ORIGIN) { top } else { 0 });
        if edge.is_shifted() {
            self.raw(b"\x0e");
        }
        for (flag, number) in PRIVATE_MODES {
            if !mode.contains(flag) {
                self.print(format_args!("\x1b[?{number}l"));
            }
        }
        for (flag, number) in PRIVATE_MODES {
            if mode.contains(flag) {
                self.print(format_args!("\x1b[?{number}h"));
            }
        }
        self.on_off("4", mode.contains(TermMode::INSERT));
        self.on_off("20", mode.contains(TermMode::LINE_FEED_NEW_LINE));
        self.raw(if mode.contains(TermMode::APP_KEYPAD) {
            b"\x1b="
        } else {
            b"\x1b>"
        });
        self.print(format_args!("\x1b[={};1u", keyboard_flags(mode)));
        let style = term.cursor_style();
        let number = if style == CursorStyle::default() {
            0
        } else {
            let steady = u8::from(!style.blinking);
            match style.shape {
                CursorShape::Underline => 3 + steady,
                CursorShape::Beam => 5 + steady,
                CursorShape::Block | CursorShape::HollowBlock | CursorShape::Hidden => 1 + steady,
            }
        };
        self.print(format_args!("\x1b[{number} q"));
        self.on_off("?25", mode.contains(TermMode::SHOW_CURSOR));
    }
}

/// Whether the next line continues this one. A mark of the terminal that what was wrapped there is gone does not count.
pub(super) fn wraps(grid: &Grid<Cell>, line: Line) -> bool {
    grid[line][grid.last_column()].flags.contains(Flags::WRAPLINE)
        && line < grid.bottommost_line()
        && used(grid, line + 1_i32) > 0
}

/// What a cell is to a wide character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A character of its own.
    Whole,
    /// The room that a wide character takes, here or at the beginning of the next line.
    Covered,
    /// One of the two without the other, after something was written or deleted in between: it shows nothing.
    Orphan,
}

/// What the cell is to a wide character.
pub(super) fn part(grid: &Grid<Cell>, line: Line, column: usize) -> Part {
    let has = |line: Line, column: usize, flag: Flags| grid[line][Column(column)].flags.contains(flag);
    let last = grid.columns() - 1;
    if has(line, column, Flags::WIDE_CHAR_SPACER) {
        return match column.checked_sub(1) {
            Some(before) if has(line, before, Flags::WIDE_CHAR) => Part::Covered,
            _ => Part::Orphan,
        };
    }
    if has(line, column, Flags::LEADING_WIDE_CHAR_SPACER) {
        let continues = column == last && has(line, last, Flags::WRAPLINE) && line < grid.bottommost_line();
        let follows = continues
            && has(line + 1_i32, 0, Flags::WIDE_CHAR)
            && has(line + 1_i32, 1, Flags::WIDE_CHAR_SPACER);
        return if follows { Part::Covered } else { Part::Orphan };
    }
    let is_wide = has(line, column, Flags::WIDE_CHAR);
    if is_wide && (column == last || !has(line, column + 1, Flags::WIDE_CHAR_SPACER)) {
        return Part::Orphan;
    }
    Part::Whole
}

/// Columns of the line up to its last cell that shows something.
fn used(grid: &Grid<Cell>, line: Line) -> usize {
    (0..grid.columns())
        .rev()
        .find(|column| !is_blank(grid, line, *column))
        .map_or(0, |column| column + 1)
}

/// Turning the screens over applies the stacked keyboard flags, not the present ones: this brings those back.
pub(super) fn set_keyboard_flags(term: &mut Term<Said>, flags: u8) {
    let modes = KeyboardModes::from_bits_truncate(flags);
    term.set_keyboard_mode(modes, KeyboardModesApplyBehavior::Replace);
}

/// The flags of the kitty keyboard protocol that are on.
pub(super) fn keyboard_flags(mode: TermMode) -> u8 {
    [
        TermMode::DISAMBIGUATE_ESC_CODES,
        TermMode::REPORT_EVENT_TYPES,
        TermMode::REPORT_ALTERNATE_KEYS,
        TermMode::REPORT_ALL_KEYS_AS_ESC,
        TermMode::REPORT_ASSOCIATED_TEXT,
    ]
    .iter()
    .enumerate()
    .map(|(bit, flag)| u8::from(mode.contains(*flag)) << bit)
    .sum()
}

#[cfg(test)]
mod tests;
