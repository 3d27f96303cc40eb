//! A snapshot fed to a second engine gives the first one's screen, at every byte of every stream.

use ao_domain::port::runtime::Size;

use super::super::engine::Engine;
use crate::runtimes::holder::wire::Scrollback;

const SIZE: Size = Size { cols: 24, rows: 6 };

/// What programs write, by what is hard about it.
fn streams() -> Vec<(&'static str, Vec<u8>)> {
    let scrolled: String = (0..40)
        .map(|n| {
            format!(
                "\x1b[3{}mline {n}\x1b[0m of forty, long enough to wrap\r\n",
                n % 8
            )
        })
        .collect();
    vec![
        ("plain", b"hello\r\nworld\r\n$ ".to_vec()),
        ("scrolled and wrapped", scrolled.into_bytes()),
        (
            "colours",
            b"\x1b[1;31mbold red\x1b[0m \x1b[38;5;208mindexed\x1b[48;2;1;2;3mtrue\x1b[7minv\x1b[0m\r\n\
              \x1b[4:3;58:2::9:8:7mcurl\x1b[0m\x1b[21;9mdouble struck\x1b[0m\x1b[97;100mbright\x1b[m\x1b[2;3;8mx"
                .to_vec(),
        ),
        (
            "coloured blanks",
            b"\x1b[44m\x1b[2J\x1b[3;5H\x1b[0mx\x1b[41m\x1b[K\x1b[5;1H\x1b[42m\x1b[2K".to_vec(),
        ),
        (
            "wide and combining",
            "漢字かな交じり文で折り返す行のための長い文字列\r\ne\u{301}a\u{308} 😀👩\u{200d}💻\r\nx漢".into(),
        ),
        ("a wide character that did not fit", "12345678901234567890123漢字\r\n".into()),
        ("behind the last column", b"123456789012345678901234".to_vec()),
        ("behind the last column, wide", "1234567890123456789012漢".into()),
        (
            "alternate screen",
            b"first\r\n\x1b[32msecond\x1b[0m\r\n\x1b[?1049h\x1b[2J\x1b[H\x1b[44mtop bar                 \x1b[0m\
              \x1b[4;3Hbody\x1b[6;1H\x1b[7mstatus\x1b[0m\x1b[2;2H\x1b[?25l"
                .to_vec(),
        ),
        (
            "in and out of the alternate screen",
            b"before\r\n\x1b[?1049hinside\x1b[?1049lafter\r\n".to_vec(),
        ),
        (
            "modes",
            b"\x1b[?1h\x1b=\x1b[?1002h\x1b[?1006h\x1b[?1004h\x1b[?2004h\x1b]2;the title\x07\x1b[5 q".to_vec(),
        ),
        ("keyboard flags", b"\x1b[>5u\x1b[?1049h\x1b[>1u\x1b[=3;1u".to_vec()),
        (
            "scroll region and origin",
            b"head\x1b[2;4r\x1b[?6h\x1b[1;1Ha\r\nb\r\nc\r\nd\r\ne\x1b[2;3H".to_vec(),
        ),
        (
            "scroll region below the top",
            b"a\r\nb\r\nc\x1b[3r\x1b[6;1Hx\r\ny\r\nz".to_vec(),
        ),
        ("insert and no wrap", b"abcdef\x1b[1;3H\x1b[4hXY\x1b[?7l\x1b[2;20Hlong tail".to_vec()),
        ("line drawing", b"\x1b(0lqqk\x1b(B ok \x1b)0\x0exx\x0f \x0eq".to_vec()),
        (
            "saved cursor",
            b"\x1b[3;4H\x1b[1;35m\x1b7\x1b[0m\x1b[1;1Hhome\x1b[?1049h\x1b[2;2H\x1b7\x1b[5;5H".to_vec(),
        ),
        ("tabs", b"a\tb\tc\r\n\tx\r\n".to_vec()),
        (
            "links",
            b"\x1b]8;id=1;https://example.org/a\x07here\x1b]8;;\x07 there \x1b]8;;https://example.org/b\x1b\\open".to_vec(),
        ),
        ("palette", b"\x1b]4;1;rgb:10/20/30\x07\x1b]11;#000000\x07x".to_vec()),
        ("erased wrap", b"1234567890123456789012345678\x1b[2K\r\nnext".to_vec()),
        ("deleted and inserted lines", b"1\r\n2\r\n3\r\n4\r\n5\x1b[2;1H\x1b[2M\x1b[1L\x1b[@@".to_vec()),
    ]
}

/// What happens next on both terminals: text, wrapping, scrolling, restored cursor, erasing with the pen.
const NEXT: &[u8] = b"next\r\nand \x1b[Kmore\n\x1b8restored\n\n\n\x1b[1;1Hhome\x1b[?1049lunder\r\n";

fn fed(bytes: &[u8]) -> Engine {
    let mut engine = Engine::new(SIZE);
    engine.feed(bytes);
    engine
}

/// Everything a viewer can tell: the screen, its scrollback, and a second snapshot (attributes, modes, cursor).
fn seen(engine: &mut Engine) -> (String, Vec<String>, String) {
    let screen = format!("{:?}", engine.shown());
    let tail = engine.tail(2_000);
    let state = String::from_utf8_lossy(&engine.snapshot(Scrollback::Replace)).replace('\x1b', "\n\\e");
    (screen, tail, state)
}

#[test]
fn a_second_engine_shows_what_the_first_does() {
    for (name, stream) in streams() {
        for end in 1..=stream.len() {
            let mut first = fed(&stream[..end]);
            let mut second = fed(&first.snapshot(Scrollback::Replace));
            assert_eq!(seen(&mut first), seen(&mut second), "{name}, after {end} bytes");
        }
    }
}

#[test]
fn both_go_on_in_the_same_way() {
    for (name, stream) in streams() {
        for end in [stream.len() / 3, stream.len() / 2, stream.len()] {
            let mut first = fed(&stream[..end]);
            let mut second = fed(&first.snapshot(Scrollback::Replace));
            let rest = [&stream[end..], NEXT].concat();
            first.feed(&rest);
            second.feed(&rest);
            assert_eq!(first.shown(), second.shown(), "{name}, cut at {end}");
        }
    }
}

#[test]
fn the_engine_itself_is_as_before() {
    for (name, stream) in streams() {
        let mut looked_at = fed(&stream);
        let mut undisturbed = fed(&stream);
        looked_at.snapshot(Scrollback::Replace);
        looked_at.feed(NEXT);
        undisturbed.feed(NEXT);
        assert_eq!(seen(&mut looked_at), seen(&mut undisturbed), "{name}");
    }
}

#[test]
fn modes_that_were_on_at_the_viewer_are_off_again() {
    let mut quiet = fed(b"$ ");
    let mut viewer =
        fed(b"\x1b[?1049h\x1b[?1h\x1b=\x1b[?1003h\x1b[?1006h\x1b[?2004h\x1b[4h\x1b[2;3r\x1b[?25l\x1b[>1u");
    viewer.feed(&quiet.snapshot(Scrollback::Replace));
    assert_eq!(seen(&mut quiet), seen(&mut viewer));
}

#[test]
fn a_repaint_leaves_the_viewers_scrollback_alone() {
    let lines: String = (0..20).map(|n| format!("{n}\r\n")).collect();
    let mut busy = fed(lines.as_bytes());
    let mut viewer = fed(b"mine\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n");
    viewer.feed(&busy.snapshot(Scrollback::Leave));
    let tail = viewer.tail(100);
    assert!(tail.contains(&"mine".to_owned()), "{tail:?}");
    assert!(!tail.contains(&"3".to_owned()), "{tail:?}");
}

/// What random programs are made of.
const PIECES: [&str; 48] = [
    "word ",
    "\r\n",
    "\n",
    "\r",
    "\t",
    "\x08",
    "漢字",
    "e\u{301}",
    "a line that is long enough to wrap ",
    "😀",
    "\x1b[1m",
    "\x1b[0m",
    "\x1b[31m",
    "\x1b[44m",
    "\x1b[38;5;99m",
    "\x1b[48;2;9;8;7m",
    "\x1b[7m",
    "\x1b[4m",
    "\x1b[9;2m",
    "\x1b[A",
    "\x1b[3B",
    "\x1b[5C",
    "\x1b[2D",
    "\x1b[2;7H",
    "\x1b[6;24H",
    "\x1b[H",
    "\x1b[K",
    "\x1b[1K",
    "\x1b[2K",
    "\x1b[J",
    "\x1b[2J",
    "\x1b[1J",
    "\x1b[L",
    "\x1b[2M",
    "\x1b[3P",
    "\x1b[2@",
    "\x1b[4X",
    "\x1b[2S",
    "\x1b[T",
    "\x1bM",
    "\x1b7",
    "\x1b8",
    "\x1b[2;5r",
    "\x1b[r",
    "\x1b[?1049h",
    "\x1b[?1049l",
    "\x1b[?7l",
    "\x1b[?7h",
];

#[test]
fn a_person_who_attaches_keeps_what_was_on_the_screen() {
    let lines: String = (0..20).map(|n| format!("{n}\r\n")).collect();
    let mut busy = fed(lines.as_bytes());
    let mut person = fed(b"$ mine\r\n[ao] how to leave\r\n");
    person.feed(&busy.snapshot(Scrollback::Append));
    let tail = person.tail(100);
    let at = |line: &str| tail.iter().position(|have| have == line);
    assert!(
        at("$ mine").is_some() && at("[ao] how to leave") < at("0"),
        "{tail:?}"
    );
    assert_eq!(person.shown(), busy.shown());
}

#[test]
fn random_programs_are_no_different() {
    for seed in 1..=1_000_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).expect("a small number")
        };
        let mut first = Engine::new(SIZE);
        for _ in 0..80 {
            first.feed(PIECES[next(PIECES.len())].as_bytes());
        }
        let mut second = fed(&first.snapshot(Scrollback::Replace));
        assert_eq!(seen(&mut first), seen(&mut second), "seed {seed}");
    }
}
