//! Kimi Code. What it does was seen of version 2.1.0.

use std::fmt::Write as _;

use ao_domain::ActivityState;
use ao_domain::port::agent::{Description, LaunchRequest, Preparation, Style, Takes};
use ao_domain::port::runtime::Place;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use toml_edit::Value;

use super::checkup::{At, Form, Has, Kept, Login, Record};
use super::sheet::{
    Argv, Begins, Choices, DelayRules, DialogRules, Event, Files, Is, Keys, NoteRules, Own, ScreenRules,
    Sheet, Stands, Word, event, event_when,
};
use super::{Checkup, folders, hooks, unknown_home};

const ID: &str = "kimi";

/// Whether it looks for something newer: it would ask about that before it takes anything, and at a moment of its own choice.
const NO_UPDATE: &str = "KIMI_CODE_NO_AUTO_UPDATE";

pub(super) const SHEET: Sheet = Sheet {
    description: Description {
        id: ID,
        name: "Kimi Code",
        style: Style::Interactive,
        reports: true,
        greets: false,
        // Its command line has no word for one that is asked where somebody can answer.
        prompted: false,
        transcribes: true,
        chooses: true,
        takes: Some(Takes {
            queues: false,
            commands: &['/'],
            shields: &['!', '#'],
        }),
    },
    argv: Argv::Made {
        program: "kimi",
        places: &[".local/bin/kimi", ".npm/bin/kimi"],
        words: &[
            Word::Resumed("--session"),
            Word::Settings("--add-dir", |request| vec![request.messages.to_string()]),
            // It writes files unasked in each of them.
            Word::Mode([Some(&[]), Some(&[]), Some(&["--yolo"]), Some(&["--auto"])]),
            Word::Model("--model"),
        ],
        env,
        before,
    },
    events: EVENTS,
    keys: Keys {
        native_id: Some("session_id"),
        // A list of parts. (That a turn has started is told by a hook it does not wait for: it may come after the end of the turn.)
        title: Some("/prompt/0/text"),
        last_message: Some("message"),
        prompt: Some("/prompt/0/text"),
        tool: Some("tool_name"),
        // Its first prompt, until it has found another word for it.
        pasted: None,
        summary: Some("session_title"),
        trouble: Some("error_type"),
        said: Some("error_message"),
        walls: &[
            "APIProviderRateLimitError",
            "APIProviderQuotaExhaustedError",
            "429",
        ],
        until: None,
    },
    own: Some(Own {
        spoke: "\"type\":\"turn.prompt\"",
        file: Files {
            home: ".kimi-code",
            variable: Some("KIMI_CODE_HOME"),
            path: &["sessions", "*", "{}", "agents", "main", "wire.jsonl"],
        },
        notes: &[NoteRules {
            event: SAID,
            has: "\"agent.message.appended\"",
            of: &[
                ("/type", Is::Text("agent.message.appended")),
                ("/message/message/role", Is::Text("assistant")),
                ("/message/message/toolCalls", Is::Empty),
            ],
            id: None,
            at: Some("/time"),
            payload: &[("message", "/message/message/content/*/text")],
        }],
        named: None,
    }),
    screen: Some(ScreenRules {
        place: Place::Frame,
        mark: ">",
        clear: "\u{15}\u{7f}",
        above: "\u{2191}",
        folded: "[paste #",
        hints: &[],
        modes: &[],
        gives_back: false,
        dialogs: &[
            DialogRules {
                foot: &["choose"],
                below: 2,
                begins: Begins::Line(&["\u{25b6} ", "question"]),
                choices: Choices::Numbered(&['\u{25b6}', '\u{2192}']),
            },
            // Whether a folder is trusted.
            DialogRules {
                foot: &["Enter select"],
                below: 12,
                begins: Begins::Line(&[]),
                choices: Choices::Listed {
                    mark: "\u{276f}",
                    explained: true,
                    stands: Stands::Below,
                },
            },
            // That it is not logged in: it takes texts all the same, and does nothing with them.
            DialogRules {
                foot: &[
                    "  \u{2590}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{258c}  Run /login or /provider to get started.",
                ],
                below: 60,
                begins: Begins::Foot,
                choices: Choices::Typed,
            },
        ],
        delay: Some(DelayRules {
            has: "Retrying (",
            waits: " \u{b7} in ",
            attempt: "",
            tells: true,
        }),
    }),
    checkup: Some(Checkup {
        seen: "2.1.0",
        options: &["--session", "--add-dir", "--yolo", "--auto", "--model"],
        own_files: |env| KEPT.findings(env),
        remembers: None,
    }),
};

const EVENTS: &[Event] = &[
    event("SessionStart", None),
    event("UserPromptSubmit", Some(ActivityState::Active)),
    // Its question comes as a tool, and nothing else tells of it.
    event_when(
        "PreToolUse",
        "tool_name",
        &["AskUserQuestion"],
        Some(ActivityState::WaitingInput),
    )
    .begins_tool(),
    event("PreToolUse", Some(ActivityState::Active)).begins_tool(),
    event("PostToolUse", Some(ActivityState::Active)).ends_tool(),
    event("PostToolUseFailure", Some(ActivityState::Active)).ends_tool(),
    event("PermissionRequest", Some(ActivityState::WaitingInput)).begins_tool(),
    event("PermissionResult", Some(ActivityState::Active)),
    event("Stop", Some(ActivityState::Idle)),
    event("StopFailure", Some(ActivityState::Idle)),
    event("Interrupt", Some(ActivityState::Idle)).says_why("reason"),
    event("SessionEnd", Some(ActivityState::Exited)).says_why("reason"),
    event(SAID, None),
];

/// What it said at the end of a turn: its own record has it.
const SAID: &str = "wire.said";

const HOME: At = At {
    variable: Some("KIMI_CODE_HOME"),
    home: ".kimi-code",
    file: "",
};

/// Its own record of what is trusted, below its folder: a file for each.
const TRUSTED: &str = "workspace-trust";

fn env(_: &LaunchRequest<'_>) -> Vec<(String, String)> {
    vec![(NO_UPDATE.to_owned(), "1".to_owned())]
}

/// Hooks are set up in its own settings alone; each asks its environment whose it is, and says nothing outside a session of ours.
fn before(request: &LaunchRequest<'_>) -> Vec<Preparation> {
    let Some(home) = HOME.path(request.env) else {
        return unknown_home(request);
    };
    let mut text = String::new();
    for event in hooks::told(EVENTS) {
        let command = Value::from(hooks::command(request, ID, event));
        let timeout = hooks::Unit::Seconds.timeout();
        let _ = write!(
            text,
            "[[hooks]]\nevent = \"{event}\"\ncommand = {command}\ntimeout = {timeout}\n"
        );
    }
    let mut before = vec![Preparation::Block {
        file: home.join("config.toml"),
        name: "hooks".to_owned(),
        text,
    }];
    // It refuses to begin a conversation with one that is not there.
    before.push(Preparation::Folder {
        file: request.messages.to_owned(),
    });
    before.extend(folders(request.worktree).iter().map(|folder| {
        let file = trust_file(&home, folder);
        if request.trusted {
            // When, in milliseconds: always the same, so that it is not written again.
            let text = json!({"root": folder, "trustedAt": 1}).to_string();
            Preparation::File { file, text }
        } else {
            Preparation::NoFile { file }
        }
    }));
    before
}

/// Its own record that a folder is trusted.
fn trust_file(home: &Utf8Path, folder: &Utf8Path) -> Utf8PathBuf {
    let digest = Sha256::digest(folder.as_str().as_bytes());
    let hash: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let name = slug(folder.file_name().unwrap_or_default());
    home.join(TRUSTED).join(format!("wd_{name}_{hash}"))
}

/// How it writes a folder's name in such a file's: in small letters, `-` for every run of others, and not too long.
fn slug(name: &str) -> String {
    const LONGEST: usize = 40;
    let is_kept = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let mut slug = String::new();
    let mut was_kept = true;
    for c in name.to_lowercase().chars() {
        if is_kept(c) {
            slug.push(c);
        } else if was_kept {
            slug.push('-');
        }
        was_kept = is_kept(c);
    }
    let cut: String = slug.trim_matches('-').chars().take(LONGEST).collect();
    match cut.trim_matches('-') {
        "" | "." | ".." => "workspace".to_owned(),
        slug => slug.to_owned(),
    }
}

const CONFIG: At = HOME.file("config.toml");
const A_PROVIDER: &str = "its settings have one of a provider";

const KEPT: Kept = Kept {
    folder: HOME,
    records: &[
        Record {
            what: "hooks",
            at: CONFIG,
            form: Form::Toml,
            well: "ours come into {}",
            ill: "it does not start, and tells nothing",
        },
        Record {
            what: "trust",
            at: HOME.file(TRUSTED),
            form: Form::Folder,
            well: "worktrees are recorded as trusted in {}",
            ill: "it will ask whether each worktree is trusted",
        },
    ],
    logins: &[
        Login {
            said: "by KIMI_MODEL_API_KEY",
            has: &[Has::Set("KIMI_MODEL_NAME"), Has::Set("KIMI_MODEL_API_KEY")],
        },
        Login {
            said: A_PROVIDER,
            has: &[Has::Some(CONFIG, Form::Toml, &["providers", "*", "api_key"])],
        },
        Login {
            said: A_PROVIDER,
            has: &[Has::Named(CONFIG, Form::Toml, &["providers", "*", "api_key_env"])],
        },
        Login {
            said: "by its own record",
            has: &[Has::Ends(HOME.file("credentials"), ".json")],
        },
    ],
    without: "it will not answer",
    remedy: "run `kimi login`",
};

#[cfg(test)]
mod tests;
