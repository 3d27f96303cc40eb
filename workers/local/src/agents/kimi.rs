//! Kimi Code. What it does was seen of version 2.1.0.

use std::fmt::Write as _;

use ao_domain::ActivityState;
use ao_domain::port::agent::{Description, LaunchRequest, Preparation, Style, Takes};
use ao_domain::port::runtime::Place;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use toml_edit::Value;

use super::checkup::Finding;
use super::sheet::{
    Argv, Begins, Choices, DelayRules, DialogRules, Environment, Event, Files, Is, Keys, NoteRules, Own,
    ScreenRules, Sheet, Word, event, event_when, no_env,
};
use super::{Checkup, folders, hooks, own_folder, value_of};

const ID: &str = "kimi";

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
        env: no_env,
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
                },
            },
        ],
        delay: Some(DelayRules {
            has: "Retrying (",
            waits: " \u{b7} in ",
            attempt: "",
        }),
    }),
    checkup: Some(Checkup {
        seen: "2.1.0",
        options: &["--session", "--add-dir", "--yolo", "--auto", "--model"],
        own_files,
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

fn home(env: Environment<'_>) -> Option<Utf8PathBuf> {
    own_folder(env, Some("KIMI_CODE_HOME"), ".kimi-code")
}

/// Hooks are set up in its own settings alone; each asks its environment whose it is, and says nothing outside a session of ours.
fn before(request: &LaunchRequest<'_>) -> Vec<Preparation> {
    let Some(home) = home(request.env) else {
        return Vec::new();
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
    let name = folder.file_name().unwrap_or_default();
    home.join("workspace-trust").join(format!("wd_{name}_{hash}"))
}

/// What its own files say: whether they read, and how it will log in.
fn own_files(env: Environment<'_>) -> Vec<Finding> {
    let Some(home) = home(env) else {
        return vec![Finding::bad(
            "home",
            "neither HOME nor KIMI_CODE_HOME is set",
            "set HOME",
        )];
    };
    let config = home.join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap_or_default();
    if let Err(error) = text.parse::<toml_edit::DocumentMut>() {
        let said = format!(
            "`{config}` does not read ({}): it does not start, and tells nothing",
            error.message()
        );
        return vec![Finding::bad("settings", said, format!("set `{config}` right"))];
    }
    let login = if value_of(env, "KIMI_MODEL_API_KEY").is_some() {
        Finding::good("login", "by KIMI_MODEL_API_KEY")
    } else if text.contains("api_key") || home.join("credentials").exists() {
        Finding::good("login", "by its own record")
    } else {
        Finding::bad(
            "login",
            "no login is found: it will not answer",
            "run `kimi login`",
        )
    };
    vec![Finding::good("hooks", format!("ours come into {config}")), login]
}
