//! GitHub Copilot CLI. What it does was seen of version 1.0.102.

use ao_domain::ActivityState;
use ao_domain::port::agent::{Description, LaunchRequest, Preparation, Style, Takes};
use ao_domain::port::runtime::Place;
use camino::Utf8PathBuf;
use serde_json::{Map, Value, json};

use super::checkup::Finding;
use super::sheet::{
    Argv, Begins, Choices, DialogRules, Environment, Event, Files, Is, Keys, NoteRules, Own, ScreenRules,
    Sheet, Word, event, event_when, no_env,
};
use super::{Checkup, folders, hooks, own_folder, value_of};

const ID: &str = "copilot";

pub(super) const SHEET: Sheet = Sheet {
    description: Description {
        id: ID,
        name: "GitHub Copilot CLI",
        style: Style::Interactive,
        reports: true,
        // It says that it is there when it is asked something.
        greets: false,
        prompted: true,
        transcribes: true,
        chooses: true,
        takes: Some(Takes {
            // It puts together what waits inside it.
            queues: false,
            commands: &['/'],
            shields: &['!', '#', '?', '&'],
        }),
    },
    argv: Argv::Made {
        program: "copilot",
        places: &[".local/bin/copilot", ".npm/bin/copilot"],
        words: &[
            Word::Resumed("--resume="),
            Word::Begun("--session-id="),
            Word::Settings("--plugin-dir", |request| vec![plugin(request).into_string()]),
            // What is too long to be typed lies there: reading it is no decision.
            Word::Settings("--add-dir", |request| vec![request.messages.to_string()]),
            Word::Mode([
                Some(&[]),
                Some(&["--allow-tool=write"]),
                None,
                Some(&["--allow-all"]),
            ]),
            Word::Model("--model"),
            Word::PromptWithRole("--interactive="),
        ],
        env: no_env,
        before,
    },
    events: EVENTS,
    keys: Keys {
        native_id: Some("sessionId"),
        title: Some("prompt"),
        last_message: Some("message"),
        prompt: Some("prompt"),
        trouble: Some("/error/name"),
        said: Some("/error/message"),
        walls: &["429", "rate limit", "quota"],
        until: None,
    },
    own: Some(Own {
        spoke: "\"type\":\"user.message\"",
        file: Files {
            home: ".copilot",
            variable: Some("COPILOT_HOME"),
            path: &["session-state", "{}", "events.jsonl"],
        },
        notes: NOTES,
    }),
    screen: Some(ScreenRules {
        // Between rules where a terminal does not tell it its colours: ours does.
        place: Place::Block,
        mark: "",
        clear: "\u{15}\u{7f}",
        above: "\u{2191} ",
        folded: "[Paste #",
        hints: &[],
        gives_back: false,
        dialogs: &[
            DialogRules {
                foot: &["enter to select"],
                below: 0,
                begins: Begins::Line(&[]),
                choices: Choices::Numbered(&['\u{276f}']),
            },
            DialogRules {
                foot: &["enter accept"],
                below: 0,
                begins: Begins::Line(&[]),
                choices: Choices::Listed {
                    mark: "\u{276f}",
                    explained: false,
                },
            },
        ],
        delay: None,
    }),
    checkup: Some(Checkup {
        seen: "1.0.102",
        options: &[
            "--resume",
            "--session-id",
            "--plugin-dir",
            "--add-dir",
            "--allow-tool",
            "--allow-all",
            "--model",
            "--interactive",
        ],
        own_files,
    }),
};

/// What it may do is asked of every tool: only a notification says that a person has to decide. An interrupt, and what it said, are
/// told by none: its own record has them.
const EVENTS: &[Event] = &[
    event("sessionStart", None),
    event("userPromptSubmitted", Some(ActivityState::Active)),
    event("preToolUse", Some(ActivityState::Active)),
    event("postToolUse", Some(ActivityState::Active)),
    event("postToolUseFailure", Some(ActivityState::Active)),
    event_when(
        "notification",
        "notification_type",
        &["permission_prompt", "elicitation_dialog"],
        Some(ActivityState::WaitingInput),
    ),
    event("notification", None),
    event("agentStop", Some(ActivityState::Idle)),
    event("errorOccurred", Some(ActivityState::Idle)),
    event("sessionEnd", Some(ActivityState::Exited)),
    event(ABORTED, Some(ActivityState::Idle)),
    event(SAID, None),
];

const ABORTED: &str = "events.abort";
const SAID: &str = "events.said";

const NOTES: &[NoteRules] = &[
    NoteRules {
        event: ABORTED,
        has: "\"type\":\"abort\"",
        of: &[("/type", Is::Text("abort"))],
        payload: &[],
        ..LINE
    },
    NoteRules {
        event: SAID,
        has: "\"type\":\"assistant.message\"",
        of: &[
            ("/type", Is::Text("assistant.message")),
            ("/data/toolRequests", Is::Empty),
        ],
        payload: &[("message", "/data/content")],
        ..LINE
    },
];

const LINE: NoteRules = NoteRules {
    event: "",
    has: "",
    of: &[],
    id: Some("/id"),
    at: "/timestamp",
    payload: &[],
};

/// The folder of a plugin of ours, which has our hooks. It is named on the command line: its user's plugins stay as they are.
fn plugin(request: &LaunchRequest<'_>) -> Utf8PathBuf {
    request.files.join("plugin")
}

fn before(request: &LaunchRequest<'_>) -> Vec<Preparation> {
    let mut all = Map::new();
    for event in hooks::told(EVENTS) {
        let hook = json!({
            "type": "command",
            "bash": hooks::command(request, ID, event),
            "timeoutSec": hooks::Unit::Seconds.timeout(),
        });
        all.insert(event.to_owned(), json!([hook]));
    }
    let file = |name: &str, text: Value| Preparation::File {
        file: plugin(request).join(name),
        text: text.to_string(),
    };
    let mut before = vec![
        file(
            "plugin.json",
            json!({"name": "ao", "version": "1.0.0", "description": "Tells ao what this agent does.", "hooks": "hooks.json"}),
        ),
        file("hooks.json", json!({"version": 1, "hooks": all})),
    ];
    // It refuses to start with one that is not there.
    before.push(Preparation::Folder {
        file: request.messages.to_owned(),
    });
    if let Some(folder) = folder(request.env).filter(|_| request.trusted) {
        before.extend(
            folders(request.worktree)
                .into_iter()
                .map(|worktree| Preparation::Element {
                    file: folder.join("config.json"),
                    path: vec!["trustedFolders".to_owned()],
                    value: Value::from(worktree.into_string()).to_string(),
                }),
        );
    }
    before
}

fn folder(env: Environment<'_>) -> Option<Utf8PathBuf> {
    own_folder(env, Some("COPILOT_HOME"), ".copilot")
}

/// What its own files say: how it will log in.
fn own_files(env: Environment<'_>) -> Vec<Finding> {
    const LOGINS: [&str; 4] = [
        "COPILOT_GITHUB_TOKEN",
        "GH_TOKEN",
        "GITHUB_TOKEN",
        "COPILOT_PROVIDER_BASE_URL",
    ];
    let Some(folder) = folder(env) else {
        return vec![Finding::bad(
            "home",
            "neither HOME nor COPILOT_HOME is set",
            "set HOME",
        )];
    };
    let config = std::fs::read_to_string(folder.join("config.json")).unwrap_or_default();
    let login = if let Some(name) = LOGINS.iter().find(|name| value_of(env, name).is_some()) {
        Finding::good("login", format!("by {name}"))
    } else if config.contains("\"lastLoggedInUser\"") || config.contains("\"loggedInUsers\"") {
        Finding::good("login", "by its own record")
    } else {
        let said = "no login is found: it will ask for one";
        Finding::bad(
            "login",
            said,
            "run `copilot` and log in, or set GH_TOKEN for the daemon",
        )
    };
    vec![login]
}
