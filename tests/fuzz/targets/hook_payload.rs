//! Whatever an agent's hook, its transcript or its screen says, reading it ends, and what is kept of it stays within its bounds.
#![no_main]

use ao_domain::{HookRecord, Timestamp};
use ao_domain::port::agent::Agents as _;
use ao_domain::port::runtime::{Screen, Size};
use ao_local::agents::Registry;
use libfuzzer_sys::fuzz_target;

const EVENTS: [&str; 8] = [
    "SessionStart",
    "UserPromptSubmit",
    "PermissionRequest",
    "Notification",
    "Stop",
    "StopFailure",
    "SessionEnd",
    "waiting-for-work",
];

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let now = Timestamp::from_millis(1_795_974_222_000);
    let registry = Registry::new("".as_ref());
    for id in registry.ids() {
        let agent = registry.get(id).expect("it is in the list");
        for event in EVENTS {
            let Some(signal) = agent.signal(event, &text, now) else { continue };
            if let Some(title) = signal.title {
                assert!(!title.is_empty() && title.chars().count() <= 120 && !title.contains('\n'));
            }
            assert!(signal.wall.is_none_or(|wall| wall.at == now && (wall.is_told == (wall.until > now))));
            assert!(signal.last_message.is_none_or(|message| message.len() <= 4 * 1024));
            for line in [signal.summary, signal.why, signal.tool.and_then(|tool| tool.begun().map(str::to_owned))].into_iter().flatten() {
                assert!(!line.is_empty() && line.chars().count() <= 120 && !line.contains('\n'));
            }
            assert!(signal.prompt.is_none_or(|prompt| prompt.len() <= text.len() * 3));
            assert!(signal.trouble.is_none_or(|trouble| !trouble.is_empty() && trouble.chars().count() <= 250 && !trouble.contains('\n')));
        }
        for line in text.lines() {
            if let Some(note) = agent.note(line) {
                assert!(note.id.len() == 32 && note.id.bytes().all(|byte| byte.is_ascii_hexdigit()));
            }
        }
        let screen = Screen {
            lines: text.lines().map(str::to_owned).collect(),
            cursor: (0, 0),
            size: Size { cols: 80, rows: 24 },
            bracketed_paste: false,
            title: None,
            lit: Vec::new(),
        };
        if let Some(dialog) = agent.shows(&screen).dialog {
            // None where several can be ticked; and a key is pressed only where something has to be on the screen.
            assert!(dialog.choices.len() < 10 && !dialog.lines.is_empty());
            assert!(dialog.choices.iter().all(|choice| choice.key.len() == 1));
        }
    }
    // A line of a spool: either it is a record, which is written as it was read, or it is none.
    if let Ok(record) = serde_json::from_slice::<HookRecord>(bytes) {
        let written = serde_json::to_vec(&record).expect("a record can be written");
        assert_eq!(serde_json::from_slice::<HookRecord>(&written).expect("and read again"), record);
    }
});
