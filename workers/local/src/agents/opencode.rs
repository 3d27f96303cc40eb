//! opencode. What it does was seen of version 1.18.33.

use ao_domain::port::agent::{Description, LaunchRequest, Preparation, Style, Takes};
use ao_domain::port::runtime::Place;
use ao_domain::{ActivityState, PermissionMode};
use camino::Utf8PathBuf;
use serde_json::{Value, json};

use super::checkup::{At, Form, Has, Kept, Login, Record};
use super::sheet::{
    Argv, Begins, Choices, DelayRules, DialogRules, Event, Keys, ScreenRules, Sheet, Word, event,
};
use super::{Checkup, value_of};

const ID: &str = "opencode";

/// Settings by a variable: they come to its user's, which stay as they are.
const CONFIG: &str = "OPENCODE_CONFIG_CONTENT";

/// What runs inside it and calls our hooks.
const PLUGIN: &str = include_str!("opencode/plugin.js");

pub(super) const SHEET: Sheet = Sheet {
    description: Description {
        id: ID,
        name: "opencode",
        style: Style::Interactive,
        reports: true,
        // With its first conversation, which begins with its first prompt.
        greets: false,
        prompted: true,
        transcribes: false,
        chooses: true,
        takes: Some(Takes {
            queues: true,
            commands: &['/'],
            shields: &['!'],
        }),
    },
    argv: Argv::Made {
        program: "opencode",
        places: &[
            ".opencode/bin/opencode",
            ".local/bin/opencode",
            ".npm/bin/opencode",
        ],
        words: &[
            Word::Resumed("--session="),
            // What it asks about is said by its settings.
            Word::Mode([Some(&[]), Some(&[]), None, Some(&["--auto"])]),
            Word::Model("--model="),
            // One word: a prompt that begins with a dash would be an option.
            Word::Prompt("--prompt="),
        ],
        env,
        before,
    },
    events: EVENTS,
    keys: Keys {
        native_id: Some("session_id"),
        title: Some("prompt"),
        last_message: Some("message"),
        prompt: Some("prompt"),
        tool: Some("tool"),
        pasted: None,
        summary: Some("summary"),
        trouble: Some("error"),
        said: Some("said"),
        walls: &["wall"],
        until: Some("next"),
    },
    own: None,
    screen: Some(ScreenRules {
        place: Place::Bar,
        mark: "",
        clear: "\u{15}\u{7f}",
        above: "",
        folded: "[Pasted ~",
        hints: &["Ask anything\u{2026}"],
        modes: &["Shell"],
        gives_back: false,
        dialogs: &[
            DialogRules {
                foot: &["enter confirm"],
                below: 0,
                begins: Begins::Bar,
                choices: Choices::Buttons,
            },
            DialogRules {
                foot: &["enter submit"],
                below: 0,
                begins: Begins::Bar,
                choices: Choices::Numbered(&[]),
            },
        ],
        delay: Some(DelayRules {
            has: "]",
            waits: " [retrying in ",
            attempt: "attempt ",
            tells: true,
        }),
    }),
    checkup: Some(Checkup {
        seen: "1.18.33",
        options: &["--session", "--auto", "--model", "--prompt"],
        own_files: |env| KEPT.findings(env),
        remembers: None,
    }),
};

/// Not its own words, but those of what runs inside it.
const EVENTS: &[Event] = &[
    event("created", None),
    event("message", Some(ActivityState::Active)),
    event("named", None),
    event("busy", Some(ActivityState::Active)),
    event("tool", Some(ActivityState::Active)).begins_tool(),
    event("tool-over", Some(ActivityState::Active)).ends_tool(),
    event("retry", Some(ActivityState::Active)),
    // It goes on by itself then; until then it does nothing.
    event("wall", Some(ActivityState::Idle)),
    event("asked", Some(ActivityState::WaitingInput)).begins_tool(),
    event("answered", Some(ActivityState::Active)),
    event("error", Some(ActivityState::Idle)),
    event("idle", Some(ActivityState::Idle)),
];

fn plugin(request: &LaunchRequest<'_>) -> Utf8PathBuf {
    request.files.join("ao.js")
}

/// The file that has what it is told beside its prompt.
fn role(request: &LaunchRequest<'_>) -> Utf8PathBuf {
    request.files.join(format!("{}.md", request.session))
}

/// Whether it looks for something newer: it would ask about that over everything else, at a moment of its own choice. (Its settings
/// say so, too, but only those of its user's home.)
const NO_UPDATE: &str = "OPENCODE_DISABLE_AUTOUPDATE";

fn env(request: &LaunchRequest<'_>) -> Vec<(String, String)> {
    let mut settings: Value = value_of(request.env, CONFIG)
        .and_then(|text| serde_json::from_str(text).ok())
        .filter(Value::is_object)
        .unwrap_or_else(|| json!({}));
    let mut add = |list: &str, value: String| match &mut settings[list] {
        Value::Array(known) => known.push(value.into()),
        none => *none = json!([value]),
    };
    add("plugin", format!("file://{}", plugin(request)));
    if request.role.is_some() {
        add("instructions", role(request).into_string());
    }
    let asks = match request.permissions {
        PermissionMode::Default => Some("ask"),
        PermissionMode::AcceptEdits => Some("allow"),
        PermissionMode::Auto | PermissionMode::BypassPermissions => None,
    };
    if let Some(edit) = asks {
        if !settings["permission"].is_object() {
            settings["permission"] = json!({});
        }
        let messages = format!("{}/*", request.messages);
        settings["permission"]["edit"] = json!(edit);
        settings["permission"]["bash"] = json!("ask");
        // What is too long to be typed lies there: reading it is no decision.
        settings["permission"]["external_directory"] = json!({"*": "ask", messages: "allow"});
    }
    let mut env = vec![
        (CONFIG.to_owned(), settings.to_string()),
        (NO_UPDATE.to_owned(), "1".to_owned()),
    ];
    if !request.trusted {
        // It asks nobody whether code of strangers may tell it what to run: what they bring is left out.
        env.push(("OPENCODE_DISABLE_PROJECT_CONFIG".to_owned(), "1".to_owned()));
    }
    env
}

fn before(request: &LaunchRequest<'_>) -> Vec<Preparation> {
    let path = Value::from(request.ao.as_str()).to_string();
    let mut before = vec![Preparation::File {
        file: plugin(request),
        text: PLUGIN.replace("\"@AO@\"", &path),
    }];
    before.extend(request.role.map(|text| Preparation::File {
        file: role(request),
        text: text.to_owned(),
    }));
    before
}

const DATA: At = At {
    variable: Some("XDG_DATA_HOME"),
    home: ".local/share",
    file: "opencode/auth.json",
};
const PLAIN: At = At {
    variable: Some("XDG_CONFIG_HOME"),
    home: ".config",
    file: "opencode/opencode.json",
};
const COMMENTED: At = PLAIN.file("opencode/opencode.jsonc");
const A_PROVIDER: &str = "its settings name a provider";

const KEPT: Kept = Kept {
    folder: At {
        variable: None,
        home: "",
        file: "",
    },
    records: &[
        Record {
            what: "trust",
            at: DATA,
            form: Form::Any,
            well: "it asks nobody: of a stranger's code, what that brings for it is left out",
            ill: "",
        },
        Record {
            what: "settings",
            at: PLAIN,
            form: Form::Json,
            well: "",
            ill: "it does not start",
        },
        Record {
            what: "settings",
            at: COMMENTED,
            form: Form::Json,
            well: "",
            ill: "it does not start",
        },
    ],
    logins: &[
        Login {
            said: "by its own record",
            has: &[Has::Some(DATA, Form::Json, &[])],
        },
        Login {
            said: A_PROVIDER,
            has: &[Has::Some(PLAIN, Form::Json, &["provider", "*"])],
        },
        Login {
            said: A_PROVIDER,
            has: &[Has::Some(COMMENTED, Form::Json, &["provider", "*"])],
        },
        // Of the many variables of its providers these were seen.
        Login {
            said: "by ANTHROPIC_API_KEY",
            has: &[Has::Set("ANTHROPIC_API_KEY")],
        },
        Login {
            said: "by OPENAI_API_KEY",
            has: &[Has::Set("OPENAI_API_KEY")],
        },
    ],
    without: "it has no model to ask",
    remedy: "run `opencode auth login`",
};

#[cfg(test)]
mod tests;
