//! Grok Build. What it does was seen of version 1.0.41.

use ao_domain::ActivityState;
use ao_domain::port::agent::{Description, LaunchRequest, Preparation, Style, Takes, Trusted};
use ao_domain::port::runtime::Place;
use camino::Utf8PathBuf;
use serde_json::{Map, Value, json};

use super::checkup::Finding;
use super::sheet::{
    Argv, Begins, Choices, DelayRules, DialogRules, Environment, Event, Files, Keys, NameIn, Named, Own,
    ScreenRules, Sheet, Word, event, event_when,
};
use super::{Checkup, folders, hooks, own_folder, value_of};

const ID: &str = "grok";

pub(super) const SHEET: Sheet = Sheet {
    description: Description {
        id: ID,
        name: "Grok Build",
        style: Style::Interactive,
        reports: true,
        greets: true,
        prompted: true,
        transcribes: true,
        chooses: true,
        takes: Some(Takes {
            queues: false,
            commands: &['/'],
            shields: &['!', '#', '?'],
        }),
    },
    argv: Argv::Made {
        program: "grok",
        places: &[".local/bin/grok", ".npm/bin/grok", ".grok/bin/grok"],
        words: &[
            Word::Always(&["--no-auto-update"]),
            Word::Resumed("--resume"),
            Word::Begun("--session-id"),
            Word::Mode([
                Some(&["--permission-mode", "default"]),
                // Its own word for it asks before the first edit all the same.
                Some(&[
                    "--permission-mode",
                    "default",
                    "--allow",
                    "Write",
                    "--allow",
                    "Edit",
                ]),
                Some(&["--permission-mode", "auto"]),
                Some(&["--permission-mode", "bypassPermissions"]),
            ]),
            Word::Model("--model"),
            Word::Role("--rules="),
            Word::Prompt("--"),
        ],
        env,
        before,
    },
    events: EVENTS,
    keys: Keys {
        native_id: Some("session_id"),
        title: Some("prompt"),
        last_message: Some("lastAssistantMessage"),
        prompt: Some("prompt"),
        tool: Some("tool_name"),
        summary: Some("summary"),
        trouble: Some("error"),
        said: None,
        walls: &["rate_limit", "429"],
        until: None,
    },
    own: Some(Own {
        spoke: "<user_query>",
        file: Files {
            home: ".grok",
            variable: Some("GROK_HOME"),
            path: &["sessions", "*", "{}", "chat_history.jsonl"],
        },
        notes: &[],
        named: Some(Named {
            event: NAMED,
            file: Files {
                home: ".grok",
                variable: Some("GROK_HOME"),
                path: &["sessions", "*", "{}", "summary.json"],
            },
            name: NameIn::Object("generated_title"),
        }),
    }),
    screen: Some(ScreenRules {
        place: Place::Frame,
        mark: "\u{276f}",
        clear: "\u{15}\u{7f}",
        above: "\u{2191}",
        folded: "[Pasted:",
        hints: &[],
        modes: &[],
        gives_back: false,
        dialogs: &[
            DialogRules {
                foot: &[":select  "],
                below: 0,
                begins: Begins::Bar,
                choices: Choices::Numbered(&[]),
            },
            DialogRules {
                foot: &["Enter:submit"],
                below: 1,
                begins: Begins::Bar,
                choices: Choices::Numbered(&[]),
            },
            // Whether a folder is trusted.
            DialogRules {
                foot: &["No, quit"],
                below: 1,
                begins: Begins::Line(&["Do you trust"]),
                choices: Choices::Keyed,
            },
        ],
        delay: Some(DelayRules {
            has: "Retrying (attempt",
            waits: "... ",
            attempt: "",
        }),
    }),
    checkup: Some(Checkup {
        seen: "1.0.41",
        options: &[
            "--no-auto-update",
            "--resume",
            "--session-id",
            "--permission-mode",
            "--allow",
            "--model",
            "--rules",
        ],
        own_files,
    }),
};

const EVENTS: &[Event] = &[
    event("SessionStart", None),
    event("UserPromptSubmit", Some(ActivityState::Active)),
    event("PreToolUse", Some(ActivityState::Active)).begins_tool(),
    event("PostToolUse", Some(ActivityState::Active)).ends_tool(),
    event("PostToolUseFailure", Some(ActivityState::Active)).ends_tool(),
    event_when(
        "Notification",
        "notificationType",
        &["permission_prompt", "elicitation_dialog"],
        Some(ActivityState::WaitingInput),
    )
    .says_why("message"),
    event("Notification", None),
    // The last of all says so too: it is no end of a turn.
    event_when("Stop", "reason", &["shutdown"], Some(ActivityState::Exited)),
    event("Stop", Some(ActivityState::Idle)),
    event("StopCancelled", Some(ActivityState::Idle)).says_why("reason"),
    event("StopFailure", Some(ActivityState::Idle)),
    event("SessionEnd", Some(ActivityState::Exited)),
    event(NAMED, None),
];

/// What it calls the conversation: a file beside that has it.
const NAMED: &str = "summary.named";

fn home(env: Environment<'_>) -> Option<Utf8PathBuf> {
    own_folder(env, Some("GROK_HOME"), ".grok")
}

/// A file of ours beside its user's hooks; each asks its environment whose it is, and says nothing outside a session of ours.
fn before(request: &LaunchRequest<'_>) -> Vec<Preparation> {
    let Some(home) = home(request.env) else {
        return Vec::new();
    };
    let all: Map<String, Value> = hooks::groups(request, ID, EVENTS, hooks::Unit::Seconds)
        .into_iter()
        .map(|(event, group)| (event, Value::Array(group)))
        .collect();
    let hooks = Preparation::File {
        file: home.join("hooks/ao.json"),
        text: json!({"hooks": all}).to_string(),
    };
    let mut before = vec![hooks];
    if !request.trusted {
        before.push(Preparation::Untrusted {
            file: home.join("trusted_folders.toml"),
            said: Trusted::Tables("folders".to_owned()),
            own: folders(request.worktree),
            repo: request.repo.to_owned(),
        });
    }
    before
}

/// Whether it asks where a project brings something to be run. What it is answered it remembers of the whole repository: so for the
/// person's own code it is not asked, and nothing is written down for it.
fn env(request: &LaunchRequest<'_>) -> Vec<(String, String)> {
    let asks = if request.trusted { "0" } else { "1" };
    vec![("GROK_FOLDER_TRUST".to_owned(), asks.to_owned())]
}

/// What its own files say: whether they read, and how it will log in.
fn own_files(env: Environment<'_>) -> Vec<Finding> {
    let Some(home) = home(env) else {
        return vec![Finding::bad(
            "home",
            "neither HOME nor GROK_HOME is set",
            "set HOME",
        )];
    };
    let config = home.join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap_or_default();
    if let Err(error) = text.parse::<toml_edit::DocumentMut>() {
        let said = format!(
            "`{config}` does not read ({}): it does not start",
            error.message()
        );
        return vec![Finding::bad("settings", said, format!("set `{config}` right"))];
    }
    let login = if value_of(env, "XAI_API_KEY").is_some() {
        Finding::good("login", "by XAI_API_KEY")
    } else if text.contains("api_key") || home.join("auth.json").exists() {
        Finding::good("login", "by its own record")
    } else {
        Finding::bad(
            "login",
            "no login is found: it will ask for one at its start",
            "run `grok` and log in",
        )
    };
    vec![
        Finding::good("hooks", format!("ours are {}", home.join("hooks/ao.json"))),
        login,
    ]
}
