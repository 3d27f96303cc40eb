//! The terminal as the program sees it: bytes in, screen state and answers to its questions out.
//!
//! The engine is somebody else's code fed with anything a program may write, so every call into it may panic; then it
//! is built anew, empty, and says that the screen is incomplete. The agent notices nothing.

use std::cell::RefCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Instant;

use alacritty_terminal::event::{Event, EventListener, WindowSize};
use alacritty_terminal::grid::{Dimensions, Grid};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::term::{Config, Osc52, Term, TermMode};
use alacritty_terminal::vte::ansi::{Color, Processor, Rgb};
use ao_domain::port::runtime::Size;

use super::edge::Edge;
use super::snapshot::{self, Part};
use crate::runtimes::holder::wire::{Scrollback, Shown};

/// Lines kept above the screen: about 6 MB when full at 220 columns.
pub(super) const HISTORY: usize = 1_000;

/// The engine counts cells times cells; a client that asks for more than this is mistaken.
const LARGEST: u16 = 1_000;

/// What is answered to a program that asks for a colour it did not set: light on dark.
const FOREGROUND: Rgb = Rgb {
    r: 0xd8,
    g: 0xd8,
    b: 0xd8,
};
const BACKGROUND: Rgb = Rgb {
    r: 0x18,
    g: 0x18,
    b: 0x18,
};

/// No window shows more of a title than this.
const LONGEST_TITLE: usize = 256;

/// A size the engine can work with: it panics on empty grids.
pub(super) fn sane(size: Size) -> Size {
    Size {
        cols: size.cols.clamp(2, LARGEST),
        rows: size.rows.clamp(2, LARGEST),
    }
}

/// What the engine says while it is fed; read after each feeding.
#[derive(Clone, Debug, Default)]
pub(super) struct Said(Rc<RefCell<Vec<Event>>>);

impl EventListener for Said {
    fn send_event(&self, event: Event) {
        if !matches!(event, Event::MouseCursorDirty | Event::Wakeup) {
            self.0.borrow_mut().push(event);
        }
    }
}

struct Cells(Size);

impl Dimensions for Cells {
    fn total_lines(&self) -> usize {
        self.screen_lines()
    }

    fn screen_lines(&self) -> usize {
        usize::from(self.0.rows)
    }

    fn columns(&self) -> usize {
        usize::from(self.0.cols)
    }
}

/// A parsed terminal.
pub(super) struct Engine {
    term: Term<Said>,
    parser: Processor,
    said: Said,
    edge: Edge,
    title: Option<String>,
    size: Size,
    incomplete: bool,
    /// Whether the alternate screen has its cells. Most programs never ask for it, and it is half of what an idle
    /// holder would have in memory.
    alternate: bool,
}

impl Engine {
    pub(super) fn new(size: Size) -> Self {
        let mut engine = Self::whole(size);
        engine.leave_out_alternate();
        engine
    }

    /// With the cells of both screens.
    fn whole(size: Size) -> Self {
        let size = sane(size);
        let said = Said::default();
        let config = Config {
            scrolling_history: HISTORY,
            kitty_keyboard: true,
            // A program's way to the clipboard is the viewer's terminal; it gets the bytes as they are.
            osc52: Osc52::Disabled,
            ..Config::default()
        };
        Self {
            term: Term::new(config, &Cells(size), said.clone()),
            parser: Processor::new(),
            said,
            edge: Edge::new(),
            title: None,
            size,
            incomplete: false,
            alternate: true,
        }
    }

    pub(super) fn size(&self) -> Size {
        self.size
    }

    /// Whether a part of what was written is missing on the screen.
    pub(super) fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// Takes what the program wrote; gives what the terminal answers to its questions.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let alternate = self.edge.feed(bytes);
        self.guarded(|engine| {
            if alternate && !engine.alternate {
                engine.make_alternate();
            }
            engine.parser.advance(&mut engine.term, bytes);
        });
        self.answers()
    }

    /// Gives the alternate screen its cells, before a program enters it.
    fn make_alternate(&mut self) {
        let size = Cells(self.size);
        self.put_alternate(Grid::new(size.screen_lines(), size.columns(), 0));
        self.alternate = true;
    }

    /// Takes the cells of an alternate screen that no program has entered, and gives their memory back.
    fn leave_out_alternate(&mut self) {
        self.put_alternate(Grid::new(1, 1, 0));
        self.alternate = false;
        give_memory_back();
    }

    /// The screen that is not shown is reached by showing it. A program's own step onto it changes the saved cursor and
    /// the keyboard in the same way, but that step may come later: what is drawn behind a curtain waits.
    fn put_alternate(&mut self, grid: Grid<Cell>) {
        let saved = self.term.grid().saved_cursor.clone();
        let flags = snapshot::keyboard_flags(*self.term.mode());
        self.term.swap_alt();
        *self.term.grid_mut() = grid;
        self.term.swap_alt();
        self.term.grid_mut().saved_cursor = saved;
        snapshot::set_keyboard_flags(&mut self.term, flags);
    }

    /// When a program that draws behind a curtain (mode 2026) has to be shown even without its word.
    pub(super) fn curtain(&self) -> Option<Instant> {
        self.parser.sync_timeout().sync_timeout()
    }

    /// Shows what was drawn behind the curtain.
    pub(super) fn open_curtain(&mut self) -> Vec<u8> {
        self.guarded(|engine| engine.parser.stop_sync(&mut engine.term));
        self.answers()
    }

    pub(super) fn resize(&mut self, size: Size) {
        let size = sane(size);
        if size != self.size {
            self.size = size;
            self.edge.resized();
            self.guarded(|engine| {
                engine.term.resize(Cells(size));
                if !engine.alternate {
                    engine.leave_out_alternate();
                }
            });
        }
    }

    pub(super) fn bracketed_paste(&self) -> bool {
        self.term.mode().contains(TermMode::BRACKETED_PASTE)
    }

    pub(super) fn alternate_screen(&self) -> bool {
        self.term.mode().contains(TermMode::ALT_SCREEN)
    }

    /// The bytes that make another terminal of this size show the same.
    pub(super) fn snapshot(&mut self, scrollback: Scrollback) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.curtain().is_some() {
            self.open_curtain();
        }
        self.guarded(|engine| {
            bytes = snapshot::write(
                &mut engine.term,
                &engine.edge,
                engine.title.as_deref(),
                scrollback,
            );
        });
        bytes.extend_from_slice(self.edge.unfinished());
        bytes
    }

    pub(super) fn shown(&mut self) -> Shown {
        let mut shown = Shown::default();
        self.guarded(|engine| {
            let grid = engine.term.grid();
            let cursor = grid.cursor.point;
            shown = Shown {
                lines: (0..grid.screen_lines())
                    .map(|line| text(grid, line_at(line)))
                    .collect(),
                cursor: (
                    u16::try_from(cursor.column.0).unwrap_or(0),
                    u16::try_from(cursor.line.0).unwrap_or(0),
                ),
                size: (engine.size.cols, engine.size.rows),
                bracketed_paste: engine.bracketed_paste(),
                title: engine.title.clone(),
                lit: (0..grid.screen_lines()).flat_map(|row| lit(grid, row)).collect(),
            };
        });
        shown
    }

    /// The last `lines` lines of scrollback and screen. What the terminal wrapped is one line again; the empty rest
    /// of the screen does not count.
    pub(super) fn tail(&mut self, lines: usize) -> Vec<String> {
        let mut tail = Vec::new();
        self.guarded(|engine| {
            let grid = engine.term.grid();
            let mut line = grid.bottommost_line();
            while line >= grid.topmost_line() && tail.len() < lines {
                let mut first = line;
                while first > grid.topmost_line() && snapshot::wraps(grid, first - 1_i32) {
                    first -= 1_i32;
                }
                let mut whole = String::new();
                let mut part = first;
                while part < line {
                    whole.push_str(&untrimmed(grid, part));
                    part += 1_i32;
                }
                whole.push_str(&text(grid, line));
                if !tail.is_empty() || !whole.is_empty() {
                    tail.push(whole);
                }
                line = first - 1_i32;
            }
        });
        tail.reverse();
        tail
    }

    /// The row the cursor stands in; `None` while it is hidden.
    pub(super) fn cursor_row(&self) -> Option<usize> {
        let is_shown = self.term.mode().contains(TermMode::SHOW_CURSOR);
        let row = usize::try_from(self.term.grid().cursor.point.line.0);
        row.ok().filter(|_| is_shown)
    }

    /// The row the cursor stands in, shown or hidden: what an agent has its cursor in gets the keys.
    pub(super) fn cursor_line(&self) -> usize {
        usize::try_from(self.term.grid().cursor.point.line.0).unwrap_or_default()
    }

    /// The grid as it stands now.
    pub(super) fn grid(&self) -> &Grid<Cell> {
        self.term.grid()
    }

    fn answers(&mut self) -> Vec<u8> {
        let mut answers = Vec::new();
        let said = std::mem::take(&mut *self.said.0.borrow_mut());
        for event in said {
            match event {
                Event::PtyWrite(text) => answers.extend_from_slice(text.as_bytes()),
                Event::Title(title) => self.title = Some(title.chars().take(LONGEST_TITLE).collect()),
                Event::ResetTitle => self.title = None,
                Event::ColorRequest(index, answer) => {
                    let set = self.term.colors()[index];
                    let colour = set.unwrap_or(if index == BACKGROUND_INDEX {
                        BACKGROUND
                    } else {
                        FOREGROUND
                    });
                    answers.extend_from_slice(answer(colour).as_bytes());
                }
                Event::TextAreaSizeRequest(answer) => {
                    let size = WindowSize {
                        num_lines: self.size.rows,
                        num_cols: self.size.cols,
                        cell_width: 8,
                        cell_height: 16,
                    };
                    answers.extend_from_slice(answer(size).as_bytes());
                }
                _ => {}
            }
        }
        answers
    }

    /// Runs `work` on the engine. If that panics the engine is replaced by an empty one: its state is not to be
    /// trusted any more.
    fn guarded(&mut self, work: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            let title = self.title.take();
            *self = Self::new(self.size);
            self.title = title;
            self.incomplete = true;
            let notice = b"[ao: the screen is incomplete, a part of the output could not be shown]\r\n";
            self.edge.feed(notice);
            self.parser.advance(&mut self.term, notice);
        }
    }
}

/// Cells are many small pieces, among which others lie: the allocator keeps the pages of those that are free.
fn give_memory_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[expect(unsafe_code, reason = "a call of the C library that no crate wraps")]
        // SAFETY: it takes a number and touches free memory alone; it may be called at any time, from any thread.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}

/// Where the background's colour stands in the engine's palette.
pub(super) const BACKGROUND_INDEX: usize = 257;

pub(super) fn line_at(index: usize) -> Line {
    Line(i32::try_from(index).expect("grids have few lines"))
}

pub(super) fn text(grid: &Grid<Cell>, line: Line) -> String {
    let mut text = untrimmed(grid, line);
    text.truncate(text.trim_end_matches(' ').len());
    text
}

fn untrimmed(grid: &Grid<Cell>, line: Line) -> String {
    between(grid, line, 0..grid.columns())
}

/// What stands in these columns of a line.
pub(super) fn between(grid: &Grid<Cell>, line: Line, columns: Range<usize>) -> String {
    let mut text = String::new();
    for column in columns {
        match snapshot::part(grid, line, column) {
            Part::Whole => {
                let cell = &grid[line][Column(column)];
                text.push(if cell.c == '\t' { ' ' } else { cell.c });
                text.extend(cell.zerowidth().unwrap_or_default());
            }
            Part::Covered => {}
            Part::Orphan => text.push(' '),
        }
    }
    text
}

/// The pieces of a row whose background is another than most of the row has, with a letter or a digit in them.
pub(super) fn lit(grid: &Grid<Cell>, row: usize) -> Vec<(u16, String)> {
    let cells = &grid[line_at(row)];
    let ground = |column: usize| {
        let cell = &cells[Column(column)];
        if cell.flags.contains(Flags::INVERSE) {
            cell.fg
        } else {
            cell.bg
        }
    };
    let columns = grid.columns();
    let mut grounds: Vec<(Color, usize)> = Vec::new();
    for column in 0..columns {
        match grounds.iter_mut().find(|(known, _)| *known == ground(column)) {
            Some((_, count)) => *count += 1,
            None => grounds.push((ground(column), 1)),
        }
    }
    let Some(usual) = grounds
        .iter()
        .max_by_key(|(_, count)| *count)
        .map(|(ground, _)| *ground)
    else {
        return Vec::new();
    };
    let (mut pieces, mut column) = (Vec::new(), 0);
    while column < columns {
        let begin = column;
        while column < columns && ground(column) == ground(begin) {
            column += 1;
        }
        if ground(begin) == usual {
            continue;
        }
        let piece = between(grid, line_at(row), begin..column);
        if piece.contains(char::is_alphanumeric) {
            pieces.push((u16::try_from(row).unwrap_or(u16::MAX), piece.trim().to_owned()));
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whether both screens have cells from the start or the second gets them when it is entered: a program and
        /// a viewer see the same.
        #[test]
        fn an_alternate_screen_that_is_made_late_is_no_other(steps in prop::collection::vec(step(), 1..40)) {
            let (mut late, mut whole) = (Engine::new(SIZE), Engine::whole(SIZE));
            for step in steps {
                match step {
                    Step::Written(bytes) => prop_assert_eq!(late.feed(&bytes), whole.feed(&bytes)),
                    Step::Resized(size) => {
                        late.resize(size);
                        whole.resize(size);
                    }
                    Step::Seen => prop_assert_eq!(late.snapshot(Scrollback::Replace), whole.snapshot(Scrollback::Replace)),
                }
                prop_assert!(!late.is_incomplete());
                prop_assert_eq!(late.shown(), whole.shown());
                prop_assert_eq!(late.term.mode(), whole.term.mode());
            }
            prop_assert_eq!(late.snapshot(Scrollback::Replace), whole.snapshot(Scrollback::Replace));
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Written(Vec<u8>),
        Resized(Size),
        Seen,
    }

    /// Whole sequences, and pieces of them, which are put together across feedings.
    fn step() -> impl Strategy<Value = Step> {
        let pieces = prop::sample::select(vec![
            "text\r\n",
            "\x1b[?1049h",
            "\x1b[?1049l",
            "\x1b[?25;1049h",
            "\x1b[?10",
            "49h",
            "\x1b",
            "[?1049",
            "h",
            "l",
            "\x1b[?2026h",
            "\x1b[?2026l",
            "\x1b7",
            "\x1b8",
            "\x1bc",
            "\x1b[2;4r",
            "\x1b[3;9H",
            "\x1b[31m",
            "\x1b[=1u",
            "\x1b[>3u",
            "\x1b[<u",
            "\x1b[?u",
            "\x1b[6n",
            "\x1b[2J",
            "\x07",
            "\x1b#8",
            "\x1b[?6h",
            "\x1b[?7l",
            "0123456789",
        ]);
        let written = prop::collection::vec(pieces, 1..6)
            .prop_map(|pieces| Step::Written(pieces.concat().into_bytes()));
        let resized = (2..30_u16, 2..9_u16).prop_map(|(cols, rows)| Step::Resized(Size { cols, rows }));
        prop_oneof![8 => written, 1 => resized, 1 => Just(Step::Seen)]
    }

    const SIZE: Size = Size { cols: 20, rows: 5 };

    fn fed(bytes: &[u8]) -> Engine {
        let mut engine = Engine::new(SIZE);
        engine.feed(bytes);
        engine
    }

    #[test]
    fn questions_are_answered() {
        let mut engine = Engine::new(SIZE);
        let mut answer = |question: &[u8]| String::from_utf8(engine.feed(question)).unwrap();
        assert_eq!(answer(b"ab\x1b[6n"), "\x1b[1;3R");
        assert_eq!(answer(b"\x1b[5n"), "\x1b[0n");
        assert_eq!(answer(b"\x1b[c"), "\x1b[?6c");
        assert_eq!(answer(b"\x1b[?u"), "\x1b[?0u");
        assert_eq!(answer(b"\x1b]11;?\x07"), "\x1b]11;rgb:1818/1818/1818\x07");
        assert_eq!(
            answer(b"\x1b]10;#102030\x07\x1b]10;?\x07"),
            "\x1b]10;rgb:1010/2020/3030\x07"
        );
        assert_eq!(answer(b"\x1b[18t"), "\x1b[8;5;20t");
    }

    #[test]
    fn the_tail_joins_what_the_terminal_wrapped() {
        let mut engine = fed(b"one\r\n0123456789012345678901234\r\n\r\nlast\r\n");
        assert_eq!(engine.tail(10), ["one", "0123456789012345678901234", "", "last"]);
        assert_eq!(engine.tail(1), ["last"]);
        let lines: String = (0..1_500).map(|n| format!("line {n}\r\n")).collect();
        let mut engine = fed(lines.as_bytes());
        let tail = engine.tail(2_000);
        assert_eq!(tail.last().unwrap(), "line 1499");
        assert_eq!(tail.len(), HISTORY + usize::from(SIZE.rows) - 1);
    }

    #[test]
    fn a_panic_in_the_engine_leaves_a_new_one_that_says_so() {
        let mut engine = fed(b"\x1b]2;title\x07before");
        engine.guarded(|_| panic!("a fault of the engine"));
        assert!(engine.is_incomplete());
        engine.feed(b"after");
        let shown = engine.shown();
        assert!(shown.lines[0].contains("[ao: the screen is"), "{shown:?}");
        assert!(shown.lines.iter().any(|line| line == "after"), "{shown:?}");
        assert_eq!(shown.title.as_deref(), Some("title"));
    }

    #[test]
    fn a_curtain_is_opened_for_a_snapshot() {
        let mut engine = fed(b"\x1b[?2026hhidden");
        assert!(engine.curtain().is_some());
        assert_eq!(engine.shown().lines[0], "");
        let snapshot = engine.snapshot(Scrollback::Leave);
        assert_eq!(fed(&snapshot).shown().lines[0], "hidden");
    }

    #[test]
    fn sizes_are_kept_within_what_the_engine_can_do() {
        let mut engine = fed(b"text");
        for (cols, rows) in [(0, 0), (1, 1), (u16::MAX, u16::MAX), (2, 2)] {
            engine.resize(Size { cols, rows });
            engine.feed("wide \u{6f22}\u{6f22}\u{6f22}\r\n".as_bytes());
        }
        assert!(!engine.is_incomplete());
        assert_eq!(engine.size(), Size { cols: 2, rows: 2 });
    }
}
