//! Grok Build. What it does was seen of version 1.0.41.

use ao_domain::ActivityState;
use ao_domain::port::agent::{Description, LaunchRequest, Preparation, Style, Takes, Trusted};
use ao_domain::port::runtime::Place;
use serde_json::{Map, Value, json};

use super::checkup::{At, Form, Has, Kept, Login, Record, Remembered};
use super::sheet::{
    Argv, Begins, Choices, DelayRules, DialogRules, Environment, Event, Files, Keys, NameIn, Named, Own,
    ScreenRules, Sheet, Word, event, event_when,
};
use super::{Checkup, hooks, unknown_home, untrusted};

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
        pasted: None,
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
                choices: Choices::Keyed(""),
            },
            // That it is not logged in.
            DialogRules {
                foot: &["Quit     "],
                below: 3,
                begins: Begins::Line(&["error "]),
                choices: Choices::Keyed("Login with"),
            },
        ],
        delay: Some(DelayRules {
            has: "Retrying (attempt",
            waits: "... ",
            attempt: "",
            tells: false,
        }),
    }),
    checkup: Some(Checkup {
        seen: "1.0.41",
        options: &[
            // It takes --no-auto-update, too, and its help does not name it.
            "--resume",
            "--session-id",
            "--permission-mode",
            "--allow",
            "--model",
            "--rules",
        ],
        own_files: |env| KEPT.findings(env),
        remembers: Some(remembers),
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

const HOME: At = At {
    variable: Some("GROK_HOME"),
    home: ".grok",
    file: "",
};

/// Our hooks, below its folder.
const HOOKS: &str = "hooks/ao.json";

/// What it was answered about folders, below its folder.
const TRUSTED: &str = "trusted_folders.toml";

/// What it calls the conversation: a file beside that has it.
const NAMED: &str = "summary.named";

/// A file of ours beside its user's hooks; each asks its environment whose it is, and says nothing outside a session of ours.
fn before(request: &LaunchRequest<'_>) -> Vec<Preparation> {
    let Some(home) = HOME.path(request.env) else {
        return unknown_home(request);
    };
    let all: Map<String, Value> = hooks::groups(request, ID, EVENTS, hooks::Unit::Seconds)
        .into_iter()
        .map(|(event, group)| (event, Value::Array(group)))
        .collect();
    let hooks = Preparation::File {
        file: home.join(HOOKS),
        text: json!({"hooks": all}).to_string(),
    };
    let mut before = vec![hooks];
    before.extend(remembers(request.env).and_then(|remembered| untrusted(request, remembered)));
    before
}

/// What it is answered it remembers of a repository, with its worktrees.
fn remembers(env: Environment<'_>) -> Option<Remembered> {
    Some(Remembered {
        file: HOME.file(TRUSTED).path(env)?,
        said: Trusted::Tables("folders".to_owned()),
    })
}

/// Whether it asks where a project brings something to be run. What it is answered it remembers of the whole repository: so for the
/// person's own code it is not asked, and nothing is written down for it.
fn env(request: &LaunchRequest<'_>) -> Vec<(String, String)> {
    let asks = if request.trusted { "0" } else { "1" };
    vec![("GROK_FOLDER_TRUST".to_owned(), asks.to_owned())]
}

const CONFIG: At = HOME.file("config.toml");
const A_MODEL: &str = "its settings have one of a model";

const KEPT: Kept = Kept {
    folder: HOME,
    records: &[
        Record {
            what: "settings",
            at: CONFIG,
            form: Form::Toml,
            well: "",
            ill: "it does not start",
        },
        Record {
            what: "hooks",
            at: HOME.file(HOOKS),
            form: Form::Any,
            well: "ours come into {}",
            ill: "",
        },
        Record {
            what: "trust",
            at: HOME.file(TRUSTED),
            form: Form::Toml,
            well: "what it was answered is in {}",
            ill: "no session can begin with a stranger's code",
        },
    ],
    logins: &[
        Login {
            said: A_MODEL,
            has: &[Has::Some(CONFIG, Form::Toml, &["model", "*", "api_key"])],
        },
        Login {
            said: A_MODEL,
            has: &[Has::Named(CONFIG, Form::Toml, &["model", "*", "env_key"])],
        },
        Login {
            said: "by its own record",
            has: &[Has::Some(HOME.file("auth.json"), Form::Json, &[])],
        },
        Login {
            said: "by XAI_API_KEY",
            has: &[Has::Set("XAI_API_KEY")],
        },
    ],
    without: "it will ask for one at its start",
    remedy: "run `grok` and log in",
};

#[cfg(test)]
mod tests;
