//! Whatever somebody wrote, cleaned and fenced it stays text: a real terminal emulator keeps its modes, has nothing to tell, and goes on
//! where it was.
#![no_main]

use std::cell::Cell;
use std::rc::Rc;

use alacritty_terminal::event::{Event, EventListener};
use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::term::{Config, Term, TermMode};
use alacritty_terminal::vte::ansi::Processor;
use ao_domain::foreign_text::{clean, fenced};
use libfuzzer_sys::fuzz_target;

/// Counts what a terminal would tell its owner.
#[derive(Clone, Default)]
struct Told(Rc<Cell<usize>>);

impl EventListener for Told {
    fn send_event(&self, _: Event) {
        self.0.set(self.0.get() + 1);
    }
}

struct Size;

impl Dimensions for Size {
    fn total_lines(&self) -> usize {
        24
    }

    fn screen_lines(&self) -> usize {
        24
    }

    fn columns(&self) -> usize {
        80
    }
}

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let cleaned = clean(&text);
    assert_eq!(clean(&cleaned), cleaned, "it is not clean the first time");
    assert!(cleaned.len() <= 10 * text.len().max(1));
    assert!(cleaned.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control()));

    let told = Told::default();
    let mut term = Term::new(Config::default(), &Size, told.clone());
    let mut parser: Processor = Processor::new();
    parser.advance(&mut term, b"\x1b[?2004h");
    let modes: TermMode = *term.mode();
    let before = told.0.get();
    parser.advance(&mut term, cleaned.as_bytes());
    parser.advance(&mut term, b"\r\nX");
    assert_eq!(*term.mode(), modes, "its modes are others");
    assert_eq!(told.0.get(), before, "it has something to tell");
    let cursor = term.grid().cursor.point;
    assert_eq!(term.grid()[cursor.line][cursor.column - 1].c, 'X', "what comes after is swallowed");

    let quoted = fenced("review comment", &text, &text, 4_096);
    let lines: Vec<&str> = quoted.lines().collect();
    assert!(lines[1..lines.len() - 1].iter().all(|line| line.starts_with("| ")), "a line has left its fence");
});
