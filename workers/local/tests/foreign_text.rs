//! Other people's text against a real terminal emulator: whatever they write, the terminal stays as it was, the paste that it is
//! typed in ends where we end it, and nothing in it presses Enter.

use std::sync::{Arc, Mutex};

use alacritty_terminal::event::{Event, EventListener};
use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::term::{Config, Term};
use alacritty_terminal::vte::ansi::Processor;
use ao_domain::foreign_text::{clean, fenced};
use proptest::prelude::*;

/// Whatever the terminal would tell its owner: an answer to a question, a title, a bell, the clipboard.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl EventListener for Told {
    fn send_event(&self, event: Event) {
        self.0.lock().unwrap().push(format!("{event:?}"));
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

/// The terminal's modes before and after, and what it told.
fn shown(text: &str) -> (String, String, Vec<String>) {
    let told = Told::default();
    let mut term = Term::new(Config::default(), &Size, told.clone());
    let mut parser: Processor = Processor::new();
    let before = format!("{:?}", term.mode());
    parser.advance(&mut term, text.as_bytes());
    // A sequence that the text had begun would swallow what comes after it.
    parser.advance(&mut term, b"\r\nX");
    let cursor = term.grid().cursor.point;
    let last = term.grid()[cursor.line][cursor.column - 1].c;
    assert_eq!(last, 'X', "{text:?} goes on in what is typed after it");
    let told = told.0.lock().unwrap().clone();
    (before, format!("{:?}", term.mode()), told)
}

fn texts() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        any::<char>().prop_map(String::from),
        "[ -~]{0,12}",
        prop::sample::select(vec![
            "\u{1b}[",
            "\u{1b}]0;",
            "\u{1b}P",
            "\u{1b}[201~",
            "\u{1b}[200~",
            "\u{1b}[?1049h",
            "\u{1b}[?2004l",
            "\u{1b}c",
            "\u{1b}\\",
            "\u{7}",
            "\r",
            "\n",
            "\r\n",
            "\t",
            "\u{8}",
            "\u{9b}",
            "\u{9d}",
            "\u{90}",
            "\u{9c}",
            "\u{85}",
            "\u{2028}",
            "\u{202e}",
            "\u{2066}",
            "\u{200b}",
            "\u{200d}",
            "\u{feff}",
            "\u{e0041}",
            "\u{fe0f}",
            "6n",
            "c",
            "\u{5}",
            "\u{e}",
            "\u{f}",
            "\u{18}",
            "\u{1a}",
            "| ",
            "\n| x",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_changes_a_terminal_ends_a_paste_or_presses_enter(text in texts()) {
        let safe = clean(&text);
        let (before, after, told) = shown(&safe.replace('\n', "\r\n"));
        prop_assert_eq!(before, after);
        prop_assert!(told.is_empty(), "{:?}", told);
        let typed = format!("\u{1b}[200~{safe}\u{1b}[201~");
        prop_assert_eq!(typed.find("\u{1b}[201~"), Some(typed.len() - 6));
        prop_assert!(!safe.contains('\r'));
        prop_assert!(safe.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control()));
        prop_assert_eq!(clean(&safe), safe);
    }

    #[test]
    fn no_text_leaves_its_fence(text in texts(), author in texts(), most in 0_usize..200) {
        let quoted = fenced("review", &author, &text, most);
        let lines: Vec<&str> = quoted.lines().collect();
        prop_assert!(lines[0].starts_with("review by "));
        prop_assert!(lines[lines.len() - 1].starts_with("end of the review by "));
        for line in &lines[1..lines.len() - 1] {
            prop_assert!(line.starts_with("| "), "{:?}", line);
        }
        prop_assert!(quoted.len() <= 10 * most + 10 * 4 * 80 + 400, "{}", quoted.len());
    }
}

/// What the property would have to find, seen found: a text that is not cleaned does all of it.
#[test]
fn a_text_that_is_not_cleaned_does_change_the_terminal() {
    let (before, after, _) = shown("\u{1b}[?2004h");
    assert_ne!(before, after);
    let (.., told) = shown("\u{1b}[6n\u{7}");
    assert_eq!(told.len(), 2, "{told:?}");
}
