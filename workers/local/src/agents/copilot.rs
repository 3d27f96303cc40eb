//! GitHub Copilot CLI. What it does was seen of version 1.0.102.

use ao_domain::ActivityState;
use ao_domain::port::agent::{Description, LaunchRequest, Preparation, Style, Takes, Trusted};
use ao_domain::port::runtime::Place;
use camino::Utf8PathBuf;
use serde_json::{Map, Value, json};

use super::checkup::{At, Form, Has, Kept, Login, Record, Remembered};
use super::sheet::{
    Argv, Begins, Choices, DialogRules, Environment, Event, Files, Is, Keys, NameIn, Named, NoteRules, Own,
    ScreenRules, Sheet, Stands, Word, event, event_when,
};
use super::{Checkup, folders, hooks, unknown_home, untrusted, value_of};

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
        env,
        before,
    },
    events: EVENTS,
    keys: Keys {
        native_id: Some("sessionId"),
        title: Some("prompt"),
        last_message: Some("message"),
        prompt: Some("prompt"),
        tool: Some("toolName"),
        pasted: None,
        summary: Some("summary"),
        trouble: None,
        said: Some("said"),
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
        named: Some(Named {
            event: NAMED,
            file: Files {
                home: ".copilot",
                variable: Some("COPILOT_HOME"),
                path: &["session-state", "{}", "workspace.yaml"],
            },
            // Its first prompt, until it has found another word for it.
            name: NameIn::Mapping("name"),
        }),
    }),
    screen: Some(ScreenRules {
        // Between rules where a terminal does not tell it its colours: ours does.
        place: Place::Block,
        mark: "",
        clear: "\u{15}\u{7f}",
        above: "\u{2191} ",
        folded: "[Paste #",
        hints: &[],
        modes: &["Shell"],
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
                    stands: Stands::Above,
                },
            },
            // That it is not logged in: it takes texts all the same, and does nothing with them.
            DialogRules {
                foot: &[
                    "Please use /login to sign in to use Copilot",
                    "Use /login to re-authenticate.",
                ],
                below: 8,
                begins: Begins::Foot,
                choices: Choices::Typed,
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
        own_files: |env| KEPT.findings(env),
        remembers: Some(remembers),
    }),
};

/// What it may do is asked of every tool: only a notification says that a person has to decide. An interrupt, and what it said, are
/// told by none: its own record has them.
const EVENTS: &[Event] = &[
    event("sessionStart", None),
    event("userPromptSubmitted", Some(ActivityState::Active)),
    event("preToolUse", Some(ActivityState::Active)).begins_tool(),
    event("postToolUse", Some(ActivityState::Active)).ends_tool(),
    event("postToolUseFailure", Some(ActivityState::Active)).ends_tool(),
    event_when(
        "notification",
        "notification_type",
        &["permission_prompt", "elicitation_dialog"],
        Some(ActivityState::WaitingInput),
    )
    .says_why("message"),
    event("notification", None),
    event("agentStop", Some(ActivityState::Idle)),
    // It says of each that it can go on after it, and does after most: its record has the one that ends a turn.
    event("errorOccurred", None),
    event("sessionEnd", Some(ActivityState::Exited)).says_why("reason"),
    event(ABORTED, Some(ActivityState::Idle)).says_why("reason"),
    event(FAILED, Some(ActivityState::Idle)),
    event(SAID, None),
    event(NAMED, None),
];

const ABORTED: &str = "events.abort";
const FAILED: &str = "events.failed";
const SAID: &str = "events.said";
const NAMED: &str = "workspace.named";

const NOTES: &[NoteRules] = &[
    NoteRules {
        event: ABORTED,
        has: "\"type\":\"abort\"",
        of: &[("/type", Is::Text("abort"))],
        payload: &[("reason", "/data/reason")],
        ..LINE
    },
    NoteRules {
        event: FAILED,
        has: "\"type\":\"session.error\"",
        // Others are its helpers', or of no turn: of a command, of a login.
        of: &[
            ("/type", Is::Text("session.error")),
            ("/data/originatingMessageId", Is::AnyText),
            ("/agentId", Is::Missing),
        ],
        payload: &[("said", "/data/message")],
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
    at: Some("/timestamp"),
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
    let Some(remembered) = remembers(request.env) else {
        before.extend(unknown_home(request));
        return before;
    };
    if request.trusted {
        let trusts = folders(request.worktree)
            .into_iter()
            .map(|worktree| Preparation::Element {
                file: remembered.file.clone(),
                path: vec![TRUSTED.to_owned()],
                value: Value::from(worktree.into_string()).to_string(),
            });
        before.extend(trusts);
    }
    before.extend(untrusted(request, remembered));
    before
}

/// A folder it was told to trust is trusted with all that lies below it, and with all worktrees of what does.
fn remembers(env: Environment<'_>) -> Option<Remembered> {
    Some(Remembered {
        file: CONFIG.path(env)?,
        said: Trusted::List(TRUSTED.to_owned()),
    })
}

/// The list of folders it does not ask about.
const TRUSTED: &str = "trustedFolders";

/// That it may use every tool is said so too; spelt `true` it would mean that a stranger's code is not asked about.
fn env(request: &LaunchRequest<'_>) -> Vec<(String, String)> {
    const ALLOW_ALL: &str = "COPILOT_ALLOW_ALL";
    let is_said = !request.trusted && value_of(request.env, ALLOW_ALL) == Some("true");
    let same = (ALLOW_ALL.to_owned(), "1".to_owned());
    is_said.then_some(same).into_iter().collect()
}

const HOME: At = At {
    variable: Some("COPILOT_HOME"),
    home: ".copilot",
    file: "",
};
const CONFIG: At = HOME.file("config.json");

const KEPT: Kept = Kept {
    folder: HOME,
    records: &[Record {
        what: "trust",
        at: CONFIG,
        // Its own as it is read before a session.
        form: Form::List(TRUSTED),
        well: "worktrees are recorded as trusted in {}",
        ill: "it will ask about each worktree, and no session can begin with a stranger's code",
    }],
    logins: &[
        Login {
            said: "by COPILOT_GITHUB_TOKEN",
            has: &[Has::Set("COPILOT_GITHUB_TOKEN")],
        },
        Login {
            said: "by GH_TOKEN",
            has: &[Has::Set("GH_TOKEN")],
        },
        Login {
            said: "by GITHUB_TOKEN",
            has: &[Has::Set("GITHUB_TOKEN")],
        },
        Login {
            said: "by COPILOT_PROVIDER_BASE_URL",
            has: &[Has::Set("COPILOT_PROVIDER_BASE_URL")],
        },
        Login {
            said: "by its own record",
            has: &[Has::Some(CONFIG, Form::List(TRUSTED), &["loggedInUsers"])],
        },
        Login {
            said: "by its own record",
            has: &[Has::Some(
                CONFIG,
                Form::List(TRUSTED),
                &["lastLoggedInUser", "login"],
            )],
        },
    ],
    without: "it will ask for one",
    remedy: "run `copilot` and log in, or set GH_TOKEN for the daemon",
};

#[cfg(test)]
mod tests;
