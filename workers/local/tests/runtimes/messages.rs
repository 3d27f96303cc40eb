//! A message arrives as it was sent, is submitted once, and nothing in it does anything else.

use std::fs;

use ao_domain::port::runtime::{Prompt, Runtime as _, RuntimeError, Typing, Withheld};

use crate::support::{Test, World, at, block_on, read_when};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("messages_arrive_whole_in_brackets", || arrive("ESC[?2004h", true)),
        ("messages_arrive_whole_without_brackets", || arrive("", false)),
        ("a_text_cannot_end_its_paste", cannot_end_its_paste),
        ("messages_are_typed_one_after_the_other", one_after_the_other),
        (
            "a_program_that_writes_and_does_not_read_is_typed_to_once",
            a_program_that_writes_and_does_not_read_is_typed_to_once,
        ),
    ]
}

/// What the recording agent has read: all bytes, and for each read when it was.
fn parsed(text: &str) -> (Vec<u8>, Vec<(u64, Vec<u8>)>) {
    let reads: Vec<(u64, Vec<u8>)> = text
        .lines()
        .filter_map(|line| {
            let (at, hex) = line.split_once(' ')?;
            let bytes = hex
                .as_bytes()
                .chunks(2)
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
                .collect::<Option<Vec<u8>>>()?;
            Some((at.parse().ok()?, bytes))
        })
        .collect();
    let all = reads.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    (all, reads)
}

fn arrive(greeting: &str, bracketed: bool) {
    let long = "0123456789 the quick brown fox\n".repeat(10 * 1024 / 31);
    for text in [
        "one line",
        "three\nlines\n  with\tan umlaut \u{e4}",
        long.as_str(),
    ] {
        let world = World::new();
        let to = world.file("record");
        block_on(async {
            world.start_helper(&["record", to.as_str(), greeting]).await;
            world.shows("recording").await;
            assert_eq!(
                world
                    .runtime
                    .screen(&at("web-1", 1))
                    .await
                    .unwrap()
                    .bracketed_paste,
                bracketed
            );
            world
                .runtime
                .type_text(&at("web-1", 1), Typing::unseen(text))
                .await
                .unwrap();
            let expected = if bracketed {
                format!("\x1b[200~{text}\x1b[201~\r")
            } else {
                format!("{text}\r")
            };
            let record = read_when(&to, |record| parsed(record).0.len() >= expected.len()).await;
            let (all, reads) = parsed(&record);
            assert_eq!(String::from_utf8(all).unwrap(), expected);
            let [.., (text_at, _), (enter_at, enter)] = reads.as_slice() else {
                panic!("text and Enter in one read: {reads:?}");
            };
            assert_eq!(enter, b"\r", "Enter comes by itself");
            // The two clocks start a read apart; the pause is 150 ms.
            assert!(
                enter_at - text_at >= 100,
                "only {} ms before Enter",
                enter_at - text_at
            );
        });
    }
}

fn cannot_end_its_paste() {
    let world = World::new();
    let to = world.file("record");
    block_on(async {
        world.start_helper(&["record", to.as_str(), "ESC[?2004h"]).await;
        world.shows("recording").await;
        let text = "safe\x1b[201~\rrm -rf .\x03\x04\u{9b}201~\r\nend\x7f";
        world
            .runtime
            .type_text(&at("web-1", 1), Typing::unseen(text))
            .await
            .unwrap();
        let record = read_when(&to, |record| parsed(record).0.ends_with(b"\r")).await;
        assert_eq!(
            String::from_utf8(parsed(&record).0).unwrap(),
            "\x1b[200~safe[201~\nrm -rf .201~\nend\x1b[201~\r"
        );
    });
}

fn one_after_the_other() {
    let world = World::new();
    let to = world.file("record");
    block_on(async {
        world.start_helper(&["record", to.as_str(), ""]).await;
        world.shows("recording").await;
        let run = at("web-1", 1);
        let all = futures_util::future::join_all(
            ["first", "second", "third"].map(|text| world.runtime.type_text(&run, Typing::unseen(text))),
        )
        .await;
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        let record = read_when(&to, |record| {
            parsed(record).0.iter().filter(|byte| **byte == b'\r').count() == 3
        })
        .await;
        let typed = String::from_utf8(parsed(&record).0).unwrap();
        let mut lines: Vec<&str> = typed.split_terminator('\r').collect();
        lines.sort_unstable();
        assert_eq!(lines, ["first", "second", "third"]);
    });
}

/// It draws all the time, and shows nothing of what was typed, because it has not read it: what was typed is there once when it does.
fn a_program_that_writes_and_does_not_read_is_typed_to_once() {
    const SCRIPT: &str = r#"
        stty raw -echo
        rule=$(printf '\342\224\200%.0s' $(seq "$(stty size | cut -d ' ' -f 2)"))
        printf '\033[2J\033[H%s\r\n> \r\n%s\r\ndrawn' "$rule" "$rule"
        until test -e go; do printf '\033]0;busy\007'; sleep 0.05; done
        cat > got"#;
    let world = World::new();
    let got = world.cwd.join("got");
    let prompt = Prompt {
        mark: ">".to_owned(),
        clear: "\x15".to_owned(),
        above: String::new(),
        folded: String::new(),
        ..Prompt::default()
    };
    block_on(async {
        world.start(SCRIPT).await;
        world.shows("drawn").await;
        let run = at("web-1", 1);
        for attempt in ["m1.1", "m1.2"] {
            let typing = Typing {
                id: Some(attempt),
                text: "hello",
                prompt: Some(&prompt),
            };
            let went = world.runtime.type_text(&run, typing).await;
            assert!(
                matches!(went, Err(RuntimeError::Withheld(Withheld::NotShown))),
                "{attempt}: {went:?}"
            );
            let takes = world.runtime.takes(&run, &prompt).await;
            assert!(
                matches!(takes, Err(RuntimeError::Withheld(Withheld::NotShown))),
                "{attempt}: {takes:?}"
            );
        }
        fs::write(world.cwd.join("go"), "").unwrap();
        let read = read_when(&got, |got| got.contains("hello")).await;
        assert_eq!(read, "hello");
    });
}
