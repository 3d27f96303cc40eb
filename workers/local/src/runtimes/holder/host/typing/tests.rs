use ao_domain::port::runtime::Place;

use super::*;
use crate::runtimes::holder::wire::Moves;

/// A screen that a test sets.
struct Screen {
    bracketed: bool,
    is_whole: bool,
    has_read: bool,
    written: Written,
    lines: Vec<String>,
}

impl Screen {
    fn of(written: Written) -> Self {
        Self {
            bracketed: true,
            is_whole: true,
            has_read: true,
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

    fn takes_letters(&self, _: &Line) -> bool {
        self.written != Written::NoPlace
    }

    fn columns(&self) -> usize {
        80
    }

    fn is_whole(&self) -> bool {
        self.is_whole
    }

    fn has_read(&self) -> bool {
        self.has_read
    }

    fn has(&self, lines: &[String]) -> bool {
        lines.iter().all(|line| self.lines.contains(line))
    }

    fn is_at(&self, mark: &str, label: &str) -> bool {
        self.lines.contains(&format!("{mark}{label}"))
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
            above: String::new(),
            folded: "[Pasted".to_owned(),
            place: Place::Rules,
            hints: Vec::new(),
            modes: Vec::new(),
            given_back: None,
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

fn letters(letters: &str) -> Screen {
    Screen::of(Written::Letters(letters.to_owned()))
}

#[test]
fn enter_is_pressed_only_where_the_text_stands() {
    let start = Instant::now();
    let mut typing = Typing::default();
    for (written, why) in [
        (Written::NoPlace, Withheld::NoPrompt),
        (Written::Letters("half".to_owned()), Withheld::Occupied),
    ] {
        typing.message(1, looked_for("m1.1", "hello"));
        assert_eq!(typing.advance(start, &Screen::of(written)), went(1, Err(why)));
        assert_eq!(drain(&mut typing), b"", "nothing was typed");
    }
    // It shows what was typed: Enter, after the pause. Not while half of the screen is read, or something else stands there.
    typing.message(1, looked_for("m1.2", "hello"));
    let half = Screen {
        is_whole: false,
        ..FREE()
    };
    assert_eq!(typing.advance(start, &half), None);
    assert_eq!(drain(&mut typing), b"");
    assert_eq!(typing.advance(start, &FREE()), None);
    assert_eq!(drain(&mut typing), b"\x1b[200~hello\x1b[201~");
    typing.advance(start, &FREE());
    for not_yet in [FREE(), letters("hellohello"), letters("hel")] {
        assert_eq!(typing.advance(start + PAUSE, &not_yet), None);
        assert_eq!(drain(&mut typing), b"");
    }
    typing.advance(start + PAUSE, &letters("hello"));
    let shows = Screen {
        is_whole: false,
        ..letters("hello")
    };
    typing.advance(start + PAUSE, &shows);
    assert_eq!(drain(&mut typing), b"", "there is more to read");
    let reads = Screen {
        has_read: false,
        ..letters("hello")
    };
    for _ in 0..3 {
        typing.advance(start + PAUSE, &reads);
        assert_eq!(drain(&mut typing), b"", "it has more to read");
    }
    typing.advance(start + PAUSE, &letters("hello"));
    typing.advance(start + PAUSE, &letters("hello"));
    assert_eq!(drain(&mut typing), b"\r");
    assert_eq!(typing.advance(start + PAUSE, &letters("hello")), went(1, Ok(())));
    // Enter was taken for something else, and the text stands there still: it makes room for the next one.
    typing.output(start + PAUSE);
    typing.reading(true, start + PAUSE);
    typing.message(1, looked_for("m1.3", "hello"));
    let mut now = start + PAUSE + SHOWN;
    typing.advance(now, &letters("hello"));
    for _ in 0..2 {
        typing.advance(now, &letters("hello"));
        assert_eq!(drain(&mut typing), b"\x15", "one key at a time");
        typing.advance(now, &letters("hello"));
        assert_eq!(drain(&mut typing), b"");
        now += KEYS;
        assert_eq!(typing.due(), Some(now));
    }
    typing.advance(now, &FREE());
    assert_eq!(drain(&mut typing), b"\x1b[200~hello\x1b[201~");
    typing.advance(start + PAUSE, &letters("hello"));
    typing.advance(start + PAUSE, &letters("hello"));
    typing.advance(start + 2 * PAUSE, &letters("hello"));
    assert_eq!(drain(&mut typing), b"\r");
    assert_eq!(typing.advance(start + 2 * PAUSE, &FREE()), went(1, Ok(())));
    // Under the same name it is not typed again.
    typing.message(2, looked_for("m1.2", "hello"));
    assert_eq!(typing.advance(start + PAUSE, &FREE()), went(2, Ok(())));
    assert_eq!(drain(&mut typing), b"");
    // It was sent off: nothing is to be taken away before the next one.
    typing.message(1, looked_for("m2.1", "bye"));
    typing.advance(start + PAUSE, &FREE());
    assert_eq!(drain(&mut typing), b"\x1b[200~bye\x1b[201~");
}

#[test]
fn a_dialog_that_opens_between_text_and_enter_gets_no_enter() {
    let start = Instant::now();
    let mut typing = Typing::default();
    let covered = Screen::of(Written::NoPlace);
    typing.message(1, looked_for("m1.1", "hello"));
    typing.advance(start, &FREE());
    drain(&mut typing);
    typing.advance(start, &letters("hello"));
    typing.advance(start, &letters("hello"));
    assert_eq!(typing.due(), Some(start + PAUSE));
    assert_eq!(typing.advance(start + PAUSE, &covered), None);
    assert_eq!(drain(&mut typing), b"", "no Enter");
    assert_eq!(
        typing.advance(start + PAUSE + SHOWN, &covered),
        went(1, Err(Withheld::Covered))
    );
    // What is left there is taken away before the next try.
    typing.message(1, looked_for("m1.2", "hello"));
    assert_eq!(typing.advance(start, &letters("hello")), None);
    assert_eq!(typing.advance(start, &letters("hello")), None);
    assert_eq!(drain(&mut typing), b"\x15");
    assert_eq!(typing.advance(start + KEYS, &FREE()), None);
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

/// Types `hello` as `m1.1` to a program that stands still: it shows nothing of it, and the asker is told so.
fn typed_and_not_shown(typing: &mut Typing, start: Instant) {
    typing.message(1, looked_for("m1.1", "hello"));
    typing.advance(start, &FREE());
    assert_eq!(drain(typing), b"\x1b[200~hello\x1b[201~");
    typing.reading(false, start);
    typing.advance(start, &FREE());
    assert_eq!(
        typing.advance(start + SHOWN, &FREE()),
        went(1, Err(Withheld::NotShown))
    );
}

/// Whether the same text would be typed again, and what was typed for that.
fn again(typing: &mut Typing, screen: &Screen, now: Instant) -> (Option<Went>, Vec<u8>) {
    typing.message(1, looked_for("m1.2", "hello"));
    let went = typing.advance(now, screen);
    (went, drain(typing))
}

#[test]
fn a_text_that_was_not_read_yet_is_not_typed_again() {
    let start = Instant::now();
    let mut typing = Typing::default();
    typed_and_not_shown(&mut typing, start);
    let not_yet = (went(1, Err(Withheld::NotShown)), Vec::new());
    let mut now = start + 100 * SHOWN;
    assert_eq!(again(&mut typing, &FREE(), now), not_yet);
    // It runs again, and writes something that was due before it reads.
    typing.output(now);
    typing.reading(false, now);
    assert_eq!(again(&mut typing, &FREE(), now), not_yet);
    // It has read it, and has not come to show it.
    now += SHOWN;
    typing.reading(true, now);
    assert_eq!(again(&mut typing, &FREE(), now + 2 * SHOWN), not_yet);
    typing.output(now);
    assert_eq!(again(&mut typing, &FREE(), now + SHOWN / 2), not_yet);
    // It has read it, has drawn since, and does not show it: it has thrown it away.
    let (went, keys) = again(&mut typing, &FREE(), now + SHOWN);
    assert_eq!((went, &keys[..]), (None, &b"\x1b[200~hello\x1b[201~"[..]));
}

/// A text that the program shows, and Enter behind it; when that began.
fn typed_and_entered() -> (Typing, Screen, Instant) {
    let start = Instant::now();
    let mut typing = Typing::default();
    let stands = letters("hello");
    typing.message(1, looked_for("m1.1", "hello"));
    typing.advance(start, &FREE());
    drain(&mut typing);
    typing.output(start);
    typing.reading(true, start);
    typing.advance(start, &stands);
    typing.advance(start, &stands);
    typing.advance(start + PAUSE, &stands);
    assert_eq!(drain(&mut typing), b"\r");
    assert_eq!(typing.advance(start + PAUSE, &stands), went(1, Ok(())));
    (typing, stands, start)
}

#[test]
fn a_text_whose_enter_was_not_read_yet_is_not_typed_again() {
    let (mut typing, stands, start) = typed_and_entered();
    // It stands still with Enter before it: neither is the text taken away nor another one put behind it.
    let not_yet = (went(1, Err(Withheld::NotShown)), Vec::new());
    let now = start + 100 * SHOWN;
    assert_eq!(again(&mut typing, &stands, now), not_yet);
    typing.output(now);
    typing.reading(false, now);
    assert_eq!(again(&mut typing, &stands, now + SHOWN), not_yet);
    typing.reading(true, now);
    typing.output(now);
    assert_eq!(again(&mut typing, &stands, now), not_yet);
    // Where nothing stands any more it was sent off.
    let (went, keys) = again(&mut typing, &FREE(), now);
    assert_eq!((went, &keys[..]), (None, &b"\x1b[200~hello\x1b[201~"[..]));
}

#[test]
fn an_enter_that_was_read_and_never_answered_holds_up_nothing_for_ever() {
    let (mut typing, stands, start) = typed_and_entered();
    typing.reading(true, start + PAUSE);
    let not_yet = (went(1, Err(Withheld::NotShown)), Vec::new());
    assert_eq!(again(&mut typing, &stands, start + QUIET), not_yet);
    // It is taken away first.
    let (went, _) = again(&mut typing, &stands, start + PAUSE + QUIET);
    assert_eq!(went, None);
}

#[test]
fn the_end_of_a_text_that_stands_there_for_another_one_gets_no_enter() {
    let start = Instant::now();
    let mut typing = Typing::default();
    // With a word before it, and in the place of the words that were typed before it stands the same text without.
    typing.message(1, looked_for("m1.2", "again:\nhello"));
    typing.advance(start, &FREE());
    drain(&mut typing);
    for not_it in [letters("hello"), letters("helloagain:hello")] {
        typing.advance(start, &not_it);
        typing.advance(start + PAUSE, &not_it);
        typing.advance(start + 2 * PAUSE, &not_it);
        assert_eq!(drain(&mut typing), b"");
    }
    let end = Screen::of(Written::End("hello".to_owned()));
    typing.advance(start + PAUSE, &end);
    typing.advance(start + 2 * PAUSE, &end);
    assert_eq!(drain(&mut typing), b"\r", "its beginning is out of sight");
}

#[test]
fn a_long_text_is_shown_by_its_end_or_by_a_sign_for_all_of_it() {
    let text = "one\n two three";
    for (shown, is_it) in [
        ("onetwothree", true),
        ("three", false),
        ("[Pastedtext#1+120lines]", true),
        ("[Pastedtext#1+120lines][Pastedtext#2+120lines]", false),
        ("onetwothreeonetwothree", false),
        ("two", false),
        ("four", false),
        ("halfonetwothree", false),
    ] {
        assert_eq!(shows(shown, text, "[Pasted"), is_it, "{shown}");
    }
    for (end, is_it) in [
        ("three", true),
        ("onetwothree", true),
        ("two", false),
        ("onetwothreeonetwothree", false),
        ("", false),
    ] {
        assert_eq!(shows_end(end, text), is_it, "{end}");
    }
    assert_eq!(presses("one", 80), 3);
    assert_eq!(presses("one\ntwo", 80), 5);
    assert_eq!(presses(&"x".repeat(700), 80), 21);
}

#[test]
fn what_a_terminal_tells_by_itself_is_no_person() {
    for told in ["", "\x1b[I", "\x1b[O\x1b[I", "\x1b[<0;10;5M\x1b[<0;10;5m"] {
        assert!(!is_a_persons(told.as_bytes()), "{told:?}");
    }
    for key in [
        "x",
        "\x1b",
        "\x1b[A",
        "\x1b[Ix",
        "\x1b[<nonsense",
        "\x1b[<x;1M",
        "\r",
    ] {
        assert!(is_a_persons(key.as_bytes()), "{key:?}");
    }
    let now = Instant::now();
    let mut typing = Typing::default();
    typing.keys(b"\x1b[I", now);
    drain(&mut typing);
    typing.message(1, looked_for("m1.1", "hello"));
    assert_eq!(typing.advance(now, &FREE()), None, "nobody is typing");
    assert_eq!(drain(&mut typing), b"\x1b[200~hello\x1b[201~");
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
    assert_eq!(
        typing.advance(later, &letters("ha")),
        went(1, Err(Withheld::Occupied))
    );
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
        typing.advance(later + PERSON, &letters("hellox")),
        went(1, Err(Withheld::Occupied))
    );
    assert_eq!(drain(&mut typing), b"");
}

#[test]
fn a_look_types_nothing() {
    let now = Instant::now();
    let mut typing = Typing::default();
    let line = looked_for("", "").prompt.unwrap();
    for (screen, how) in [
        (FREE(), Ok(())),
        (letters("x"), Err(Withheld::Occupied)),
        (Screen::of(Written::NoPlace), Err(Withheld::NoPrompt)),
    ] {
        typing.look(1, line.clone());
        assert_eq!(typing.advance(now, &screen), went(1, how));
        assert_eq!(drain(&mut typing), b"");
    }
    assert_eq!(typing.deeds(), []);
}

/// A program that puts back what it was asked when it is interrupted: nobody typed that.
#[test]
fn what_a_program_gave_back_is_taken_away_and_a_person_s_text_is_not() {
    let now = Instant::now();
    let begun = |stands: &str, given_back: Option<&str>| {
        let mut typing = Typing::default();
        let mut message = looked_for("m1.1", "next");
        if let Some(line) = &mut message.prompt {
            line.given_back = given_back.map(str::to_owned);
        }
        typing.message(1, message);
        let went = typing.advance(now, &letters(stands));
        (
            went,
            typing.advance(now, &letters(stands)),
            typing.next().to_vec(),
        )
    };
    let occupied = went(1, Err(Withheld::Occupied));
    assert_eq!(begun("fixthetests", None).0, occupied);
    let (went, _, keys) = begun("fixthetests", Some("fix the tests"));
    assert_eq!((went, keys.as_slice()), (None, b"\x15".as_slice()));
    assert_eq!(begun("fixthetestsnow", Some("fix the tests")).0, occupied);
    // A long one is kept cut.
    let long = "word ".repeat(24);
    assert_eq!(
        begun(&format!("{}more", long.replace(' ', "")), Some(&long)).0,
        None
    );
}

/// Escape and what stands right behind it are one key to a program: an answer of the terminal's is kept from that.
#[test]
fn an_answer_is_no_part_of_a_person_s_escape() {
    let now = Instant::now();
    let mut typing = Typing::default();
    let screen = Screen::of(Written::NoPlace);
    let written = |typing: &mut Typing, now: Instant| {
        let _ = typing.advance(now, &screen);
        let bytes = typing.next().to_vec();
        typing.written_out(bytes.len());
        bytes
    };
    typing.answer(b"\x1b[1;1R", now);
    assert_eq!(written(&mut typing, now), b"\x1b[1;1R");
    typing.keys(b"\x1b", now);
    typing.answer(b"\x1b[2;2R", now);
    assert_eq!(written(&mut typing, now), b"\x1b");
    assert_eq!(typing.due(), Some(now + ESCAPE));
    // In their order, also what comes while some wait.
    typing.answer(b"\x1b[3;3R", now + ESCAPE);
    assert_eq!(written(&mut typing, now + ESCAPE), b"\x1b[2;2R\x1b[3;3R");
    typing.keys(b"\x1b[A", now);
    typing.answer(b"\x1b[4;4R", now);
    assert_eq!(written(&mut typing, now), b"\x1b[A\x1b[4;4R");
}

/// A list without keys: the cursor is moved, looked at again, and only then Enter takes what is under it.
#[test]
fn a_choice_in_a_list_is_taken_once_the_cursor_is_there() {
    let mut now = Instant::now();
    let mut typing = Typing::default();
    let press = |id: &str| Press {
        id: id.to_owned(),
        keys: "\x1b[B\x1b[B".to_owned(),
        showing: vec!["One".to_owned()],
        prompt: looked_for("", "").prompt,
        moves: Some(Moves {
            mark: ">".to_owned(),
            from: "One".to_owned(),
            to: "Three".to_owned(),
        }),
    };
    let mut screen = Screen::of(Written::NoPlace);
    let keys = |typing: &mut Typing, screen: &Screen, now: Instant| {
        let went = typing.advance(now, screen);
        let keys = typing.next().to_vec();
        typing.written_out(keys.len());
        (String::from_utf8(keys).unwrap(), went)
    };
    // The cursor is elsewhere by now.
    screen.lines = vec!["One".to_owned(), ">Two".to_owned()];
    typing.press(1, press("m1.1"));
    assert_eq!(
        keys(&mut typing, &screen, now),
        (String::new(), went(1, Err(Withheld::Changed)))
    );
    screen.lines = vec!["One".to_owned(), ">One".to_owned()];
    typing.press(1, press("m1.1"));
    assert_eq!(keys(&mut typing, &screen, now).0, "");
    for _ in 0..2 {
        assert_eq!(keys(&mut typing, &screen, now).0, "\x1b[B");
        assert_eq!(keys(&mut typing, &screen, now).0, "", "one key at a time");
        assert_eq!(typing.due(), Some(now + PAUSE));
        now += PAUSE;
    }
    assert_eq!(
        keys(&mut typing, &screen, now),
        (String::new(), None),
        "it is not there yet"
    );
    assert_eq!(typing.due(), Some(now + SHOWN));
    let (on_its_way, there) = (screen.lines.clone(), vec!["One".to_owned(), ">Three".to_owned()]);
    screen.lines.clone_from(&there);
    assert_eq!(keys(&mut typing, &screen, now).0, "", "it was painted just now");
    assert_eq!(typing.due(), Some(now + PAUSE));
    // It has gone on: it is looked for once more.
    now += PAUSE;
    screen.lines = on_its_way;
    assert_eq!(keys(&mut typing, &screen, now).0, "");
    assert_eq!(typing.due(), Some(now + SHOWN));
    screen.lines = there;
    assert_eq!(keys(&mut typing, &screen, now).0, "");
    now += PAUSE;
    assert_eq!(keys(&mut typing, &screen, now).0, "\r");
    assert_eq!(keys(&mut typing, &screen, now).1, went(1, Ok(())));
    // It never comes there: nothing is taken.
    screen.lines = vec!["One".to_owned(), ">One".to_owned()];
    typing.press(1, press("m1.2"));
    for _ in 0..3 {
        let _ = keys(&mut typing, &screen, now);
        let _ = keys(&mut typing, &screen, now);
        now += PAUSE;
    }
    assert_eq!(
        keys(&mut typing, &screen, now + SHOWN - PAUSE),
        (String::new(), went(1, Err(Withheld::Changed)))
    );
}

#[test]
fn keys_are_pressed_only_on_the_screen_they_are_for() {
    let now = Instant::now();
    let mut typing = Typing::default();
    let press = |id: &str| Press {
        id: id.to_owned(),
        keys: "1".to_owned(),
        showing: vec!["> 1. Yes".to_owned()],
        prompt: looked_for("", "").prompt,
        moves: None,
    };
    let mut screen = Screen::of(Written::NoPlace);
    typing.press(1, press("m1.1"));
    assert_eq!(typing.advance(now, &screen), went(1, Err(Withheld::Changed)));
    screen.lines = vec!["> 1. Yes".to_owned()];
    // Where it takes a text, a dialog is only quoted; and nothing at all is no dialog.
    screen.written = Written::Nothing;
    typing.press(1, press("m1.1"));
    assert_eq!(typing.advance(now, &screen), went(1, Err(Withheld::Changed)));
    screen.written = Written::NoPlace;
    typing.press(
        1,
        Press {
            showing: Vec::new(),
            ..press("m1.1")
        },
    );
    assert_eq!(typing.advance(now, &screen), went(1, Err(Withheld::Changed)));
    typing.press(1, press("m1.1"));
    assert_eq!(typing.advance(now, &screen), None);
    assert_eq!(drain(&mut typing), b"1");
    assert_eq!(typing.advance(now, &screen), went(1, Ok(())));
    typing.press(1, press("m1.1"));
    assert_eq!(typing.advance(now, &screen), went(1, Ok(())));
    assert_eq!(drain(&mut typing), b"", "the same name is not pressed again");
    // Not while it draws: a dialog that is on its way to the screen takes no key yet.
    typing.output(now);
    typing.press(1, press("m1.3"));
    assert_eq!(typing.advance(now, &screen), None);
    assert_eq!(drain(&mut typing), b"");
    assert_eq!(typing.due(), Some(now + DRAWN));
    assert_eq!(typing.advance(now + DRAWN, &screen), None);
    assert_eq!(drain(&mut typing), b"1");
    assert_eq!(typing.advance(now + DRAWN, &screen), went(1, Ok(())));
    let now = now + DRAWN;
    typing.keys(b"x", now);
    drain(&mut typing);
    typing.press(1, press("m1.2"));
    assert_eq!(typing.advance(now, &screen), went(1, Err(Withheld::Person)));
}
