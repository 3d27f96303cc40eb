use super::*;

/// A screen that a test sets.
struct Screen {
    bracketed: bool,
    written: Written,
    lines: Vec<String>,
}

impl Screen {
    fn of(written: Written) -> Self {
        Self {
            bracketed: true,
            written,
            lines: Vec::new(),
        }
    }
}

impl Look for Screen {
    fn bracketed(&self) -> bool {
        self.bracketed
    }

    fn written(&self, _: &Line) -> Written {
        self.written.clone()
    }

    fn has(&self, lines: &[String]) -> bool {
        lines.iter().all(|line| self.lines.contains(line))
    }
}

fn plain(text: &str) -> Message {
    Message {
        text: text.to_owned(),
        ..Message::default()
    }
}

fn looked_for(id: &str, text: &str) -> Message {
    Message {
        text: text.to_owned(),
        id: Some(id.to_owned()),
        prompt: Some(Line {
            mark: ">".to_owned(),
            clear: "\x15".to_owned(),
        }),
    }
}

const FREE: fn() -> Screen = || Screen::of(Written::Nothing);

/// Writes all that is ready, as a program that reads would let it.
fn drain(typing: &mut Typing) -> Vec<u8> {
    let mut written = Vec::new();
    while !typing.next().is_empty() {
        let next = typing.next().to_vec();
        typing.written_out(next.len());
        written.extend(next);
    }
    written
}

fn went(asker: Asker, how: Result<(), Withheld>) -> Option<Went> {
    Some(Went { asker, how })
}

#[test]
fn a_message_is_text_pause_enter_and_keys_come_after() {
    let mut typing = Typing::default();
    let (start, screen) = (Instant::now(), FREE());
    assert!(typing.message(1, plain("one\ntwo")));
    assert_eq!(typing.advance(start, &screen), None);
    assert_eq!(drain(&mut typing), b"\x1b[200~one\ntwo\x1b[201~");
    typing.keys(b"x", start);
    assert_eq!(typing.advance(start, &screen), None);
    assert_eq!(typing.due(), Some(start + PAUSE));
    assert_eq!(
        typing.advance(start + PAUSE - Duration::from_millis(1), &screen),
        None
    );
    assert_eq!(drain(&mut typing), b"");
    typing.advance(start + PAUSE, &screen);
    assert_eq!(drain(&mut typing), b"\r");
    assert_eq!(typing.advance(start + PAUSE, &screen), went(1, Ok(())));
    assert_eq!(drain(&mut typing), b"x");
}

#[test]
fn nothing_in_a_text_can_end_the_paste_or_press_a_key() {
    assert_eq!(
        typed("a\x1b[201~rm\r\nb\rc\x07\u{9b}1A\td", true),
        b"\x1b[200~a[201~rm\nb\nc1A\td\x1b[201~"
    );
    assert_eq!(typed("\x03", true), b"");
    assert_eq!(typed("a\nb", false), b"a\nb");
}

#[test]
fn who_leaves_is_forgotten_unless_begun() {
    let mut typing = Typing::default();
    let (now, mut screen) = (Instant::now(), FREE());
    screen.bracketed = false;
    typing.message(1, plain("first"));
    typing.message(2, plain("second"));
    typing.advance(now, &screen);
    typing.forget(1);
    typing.forget(2);
    assert_eq!(drain(&mut typing), b"first");
    typing.advance(now, &screen);
    typing.advance(now + PAUSE, &screen);
    assert_eq!(drain(&mut typing), b"\r");
    assert_eq!(typing.advance(now + PAUSE, &screen), went(1, Ok(())));
    typing.advance(now + PAUSE, &screen);
    assert_eq!(drain(&mut typing), b"");
}

#[test]
fn enter_is_pressed_only_where_the_text_stands() {
    let start = Instant::now();
    let mut typing = Typing::default();
    for (written, why) in [
        (Written::NoPlace, Withheld::NoPrompt),
        (Written::Lines(1), Withheld::Occupied),
    ] {
        typing.message(1, looked_for("m1.1", "hello"));
        assert_eq!(typing.advance(start, &Screen::of(written)), went(1, Err(why)));
        assert_eq!(drain(&mut typing), b"", "nothing was typed");
    }
    // It shows what was typed: Enter, after the pause.
    typing.message(1, looked_for("m1.2", "hello"));
    assert_eq!(typing.advance(start, &FREE()), None);
    assert_eq!(drain(&mut typing), b"\x1b[200~hello\x1b[201~");
    typing.advance(start, &FREE());
    assert_eq!(typing.advance(start + PAUSE, &FREE()), None, "not shown yet");
    assert_eq!(drain(&mut typing), b"");
    let shows = Screen::of(Written::Lines(1));
    typing.advance(start + PAUSE, &shows);
    typing.advance(start + PAUSE, &shows);
    assert_eq!(drain(&mut typing), b"\r");
    assert_eq!(typing.advance(start + PAUSE, &shows), went(1, Ok(())));
    // Enter was taken for something else, and the text stands there still: it makes room for the next one.
    typing.message(1, looked_for("m1.3", "hello"));
    typing.advance(start + PAUSE, &shows);
    assert_eq!(drain(&mut typing), b"\x15\x15\x15");
    typing.advance(start + PAUSE, &FREE());
    assert_eq!(drain(&mut typing), b"\x1b[200~hello\x1b[201~");
    typing.advance(start + PAUSE, &shows);
    typing.advance(start + PAUSE, &shows);
    typing.advance(start + 2 * PAUSE, &shows);
    assert_eq!(drain(&mut typing), b"\r");
    assert_eq!(typing.advance(start + 2 * PAUSE, &FREE()), went(1, Ok(())));
    // Under the same name it is not typed again.
    typing.message(2, looked_for("m1.2", "hello"));
    assert_eq!(typing.advance(start + PAUSE, &FREE()), went(2, Ok(())));
    assert_eq!(drain(&mut typing), b"");
}

#[test]
fn a_dialog_that_opens_between_text_and_enter_gets_no_enter() {
    let start = Instant::now();
    let mut typing = Typing::default();
    let (shows, covered) = (Screen::of(Written::Lines(1)), Screen::of(Written::NoPlace));
    typing.message(1, looked_for("m1.1", "hello"));
    typing.advance(start, &FREE());
    drain(&mut typing);
    typing.advance(start, &shows);
    typing.advance(start, &shows);
    assert_eq!(typing.due(), Some(start + PAUSE));
    assert_eq!(typing.advance(start + PAUSE, &covered), None);
    assert_eq!(drain(&mut typing), b"", "no Enter");
    assert_eq!(
        typing.advance(start + PAUSE + SHOWN, &covered),
        went(1, Err(Withheld::Covered))
    );
    // What was left there is taken away before the next try.
    typing.message(1, looked_for("m1.2", "hello"));
    assert_eq!(typing.advance(start, &shows), None);
    assert_eq!(drain(&mut typing), b"\x15\x15\x15");
    assert_eq!(typing.advance(start, &shows), None);
    assert_eq!(drain(&mut typing), b"");
    assert_eq!(typing.advance(start, &FREE()), None);
    assert_eq!(drain(&mut typing), b"\x1b[200~hello\x1b[201~");
    assert_eq!(
        typing.deeds(),
        [
            Deed::Text("m1.1".to_owned()),
            Deed::Withheld("m1.1".to_owned(), Withheld::Covered),
            Deed::Cleared("m1.2".to_owned()),
            Deed::Text("m1.2".to_owned())
        ]
    );
}

#[test]
fn a_persons_line_is_left_alone() {
    let start = Instant::now();
    let mut typing = Typing::default();
    typing.keys(b"ha", start);
    drain(&mut typing);
    // The program has not shown it yet.
    typing.message(1, looked_for("m1.1", "hello"));
    assert_eq!(typing.advance(start, &FREE()), went(1, Err(Withheld::Person)));
    let later = start + PERSON;
    typing.message(1, looked_for("m1.1", "hello"));
    let theirs = Screen::of(Written::Lines(1));
    assert_eq!(typing.advance(later, &theirs), went(1, Err(Withheld::Occupied)));
    // Not even where a text of ours was left before: what stands there is theirs by now.
    typing.message(1, looked_for("m1.1", "hello"));
    typing.advance(later, &FREE());
    drain(&mut typing);
    typing.advance(later, &FREE());
    assert_eq!(
        typing.advance(later + SHOWN, &FREE()),
        went(1, Err(Withheld::NotShown))
    );
    typing.keys(b"x", later);
    drain(&mut typing);
    typing.message(1, looked_for("m1.1", "hello"));
    assert_eq!(
        typing.advance(later + PERSON, &theirs),
        went(1, Err(Withheld::Occupied))
    );
    assert_eq!(drain(&mut typing), b"");
}

#[test]
fn keys_are_pressed_only_on_the_screen_they_are_for() {
    let now = Instant::now();
    let mut typing = Typing::default();
    let press = |id: &str| Press {
        id: id.to_owned(),
        keys: "1".to_owned(),
        showing: vec!["> 1. Yes".to_owned()],
    };
    let mut screen = Screen::of(Written::NoPlace);
    typing.press(1, press("m1.1"));
    assert_eq!(typing.advance(now, &screen), went(1, Err(Withheld::Changed)));
    screen.lines = vec!["> 1. Yes".to_owned()];
    typing.press(1, press("m1.1"));
    assert_eq!(typing.advance(now, &screen), None);
    assert_eq!(drain(&mut typing), b"1");
    assert_eq!(typing.advance(now, &screen), went(1, Ok(())));
    typing.press(1, press("m1.1"));
    assert_eq!(typing.advance(now, &screen), went(1, Ok(())));
    assert_eq!(drain(&mut typing), b"", "the same name is not pressed again");
    typing.keys(b"x", now);
    drain(&mut typing);
    typing.press(1, press("m1.2"));
    assert_eq!(typing.advance(now, &screen), went(1, Err(Withheld::Person)));
}
