//! Qwen Code. What it does was seen of version 0.24.4.

use ao_domain::ActivityState;
use ao_domain::port::agent::{Description, LaunchRequest, Preparation, Style, Takes};
use ao_domain::port::runtime::Place;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use super::checkup::{At, Form, Has, Kept, Login, Record};
use super::sheet::{
    Argv, Begins, Choices, DelayRules, DialogRules, Environment, Event, Files, Is, Keys, NoteRules, Own,
    ScreenRules, Sheet, Stands, Word, event, event_when,
};
use super::{Checkup, hooks, value_of};

const ID: &str = "qwen";

/// Where it looks for settings that every other place overrides. Ours lie there for its run: nothing of its user's is touched.
const DEFAULTS: &str = "QWEN_CODE_SYSTEM_DEFAULTS_PATH";

/// Where it looks for settings that override every other place.
const OVERRIDING: &str = "QWEN_CODE_SYSTEM_SETTINGS_PATH";

/// Where it keeps what it was answered about folders.
const ANSWERS: &str = "QWEN_CODE_TRUSTED_FOLDERS_PATH";

pub(super) const SHEET: Sheet = Sheet {
    description: Description {
        id: ID,
        name: "Qwen Code",
        style: Style::Interactive,
        reports: true,
        greets: true,
        prompted: true,
        transcribes: true,
        chooses: true,
        takes: Some(Takes {
            // What is typed while it works goes into the turn that runs, and nothing says that it did.
            queues: false,
            commands: &['/'],
            shields: &['!', '?'],
        }),
    },
    argv: Argv::Made {
        program: "qwen",
        places: &[".local/bin/qwen", ".npm/bin/qwen"],
        words: &[
            Word::Resumed("--resume"),
            Word::Begun("--session-id"),
            // What is too long to be typed lies there: reading it is no decision.
            Word::Settings("--add-dir", |request| vec![request.messages.to_string()]),
            // With none it starts in a mode of its own choice.
            Word::Mode([
                Some(&["--approval-mode", "default"]),
                Some(&["--approval-mode", "auto-edit"]),
                Some(&["--approval-mode", "auto"]),
                Some(&["--approval-mode", "yolo"]),
            ]),
            Word::Model("--model"),
            Word::Role("--append-system-prompt="),
            // One word: a prompt that begins with a dash would be an option.
            Word::Prompt("--prompt-interactive="),
        ],
        env,
        before,
    },
    events: EVENTS,
    keys: Keys {
        native_id: Some("session_id"),
        title: Some("prompt"),
        last_message: Some("last_assistant_message"),
        prompt: Some("prompt"),
        tool: Some("tool_name"),
        summary: Some("summary"),
        trouble: Some("error"),
        said: Some("error_details"),
        // A quota that is used up until a time is a matter of money to it.
        walls: &[
            "rate_limit",
            "rate_limit_exceeded",
            "quota_exceeded",
            "Quota exhausted",
        ],
        ..Keys::NONE
    },
    own: Some(Own {
        spoke: "\"type\":\"user\"",
        file: Files {
            home: ".qwen",
            variable: None,
            path: &["projects", "*", "chats", "{}.jsonl"],
        },
        notes: &[NoteRules {
            event: NAMED,
            has: "\"custom_title\"",
            of: &[
                ("/type", Is::Text("system")),
                ("/subtype", Is::Text("custom_title")),
            ],
            id: Some("/uuid"),
            at: Some("/timestamp"),
            payload: &[("summary", "/systemPayload/customTitle")],
        }],
        named: None,
    }),
    screen: Some(ScreenRules {
        place: Place::Rules,
        mark: ">",
        clear: "\u{15}\u{7f}",
        above: "\u{2191} ",
        folded: "[Pasted Content",
        hints: &["Type your message or @path/to/file"],
        modes: &[],
        gives_back: true,
        dialogs: &[
            DialogRules {
                foot: &["Enter: Select"],
                below: 1,
                begins: Begins::Line(&["? "]),
                choices: Choices::Numbered(&['\u{276f}', '\u{203a}']),
            },
            DialogRules {
                foot: &["Waiting for user confirmation"],
                below: 0,
                begins: Begins::Line(&["? "]),
                choices: Choices::Numbered(&['\u{276f}', '\u{203a}']),
            },
            // Whether a folder is trusted.
            DialogRules {
                foot: &["Don't trust (esc)"],
                below: 0,
                begins: Begins::Line(&["Do you trust"]),
                choices: Choices::Numbered(&['\u{276f}', '\u{203a}', '\u{25cf}']),
            },
            // What to log in to, and how.
            DialogRules {
                foot: &["Terms of Services and Privacy Notice:"],
                below: 1,
                begins: Begins::Line(&["Connect a Provider"]),
                choices: Choices::Listed {
                    mark: "\u{203a}",
                    explained: true,
                    stands: Stands::Apart,
                },
            },
            DialogRules {
                foot: &[" Enter to submit, Esc to go back"],
                below: 0,
                begins: Begins::Foot,
                choices: Choices::Typed,
            },
            DialogRules {
                foot: &["Enter to select, \u{2191}\u{2193} to navigate, Esc to go back"],
                below: 0,
                begins: Begins::Line(&["Custom Provider"]),
                choices: Choices::Listed {
                    mark: "\u{203a}",
                    explained: true,
                    stands: Stands::Apart,
                },
            },
        ],
        // Of its longer waits; before them it tries again without a word.
        delay: Some(DelayRules {
            has: "\u{21bb} Retrying",
            waits: " in ",
            attempt: "attempt ",
            tells: true,
        }),
    }),
    checkup: Some(Checkup {
        seen: "0.24.4",
        options: &[
            "--resume",
            "--session-id",
            "--approval-mode",
            "--model",
            "--append-system-prompt",
            "--add-dir",
            "--prompt-interactive",
        ],
        own_files: |env| KEPT.findings(env),
        remembers: None,
    }),
};

const EVENTS: &[Event] = &[
    event("SessionStart", None),
    // Once more after each result of a tool, with an empty prompt.
    event("UserPromptSubmit", Some(ActivityState::Active)),
    // After the dialog, if there was one.
    event("PreToolUse", Some(ActivityState::Active)).begins_tool(),
    event("PermissionRequest", Some(ActivityState::WaitingInput)).begins_tool(),
    event("PostToolUse", Some(ActivityState::Active)).ends_tool(),
    event("PostToolUseFailure", Some(ActivityState::Active)).ends_tool(),
    event_when(
        "Notification",
        "notification_type",
        &["permission_prompt"],
        Some(ActivityState::WaitingInput),
    )
    .says_why("message"),
    // Within half a second of every end of a turn, also where it was interrupted.
    event_when(
        "Notification",
        "notification_type",
        &["idle_prompt"],
        Some(ActivityState::Idle),
    ),
    event("Notification", None),
    event("Stop", Some(ActivityState::Idle)),
    event("StopFailure", Some(ActivityState::Idle)),
    event_when("SessionEnd", "reason", &["clear", "resume"], None),
    event("SessionEnd", Some(ActivityState::Exited)).says_why("reason"),
    event(NAMED, None),
];

/// What it calls the conversation: its record has it. It finds a name only where it was told of a fast model.
const NAMED: &str = "chat.named";

fn defaults(request: &LaunchRequest<'_>) -> Utf8PathBuf {
    request.files.join("defaults.json")
}

/// What it was answered about folders, in a run of a stranger's code: it asks each time, whatever it was told of what that lies in.
fn answers(request: &LaunchRequest<'_>) -> Utf8PathBuf {
    request.files.join(format!("{}-answers.json", request.session))
}

/// Settings that override everything else, those of a repository too: where its code is a stranger's, it is asked about.
fn overriding(request: &LaunchRequest<'_>) -> Utf8PathBuf {
    request.files.join(format!("{}-foreign.json", request.session))
}

fn env(request: &LaunchRequest<'_>) -> Vec<(String, String)> {
    let mut env = vec![(DEFAULTS.to_owned(), defaults(request).into_string())];
    if !request.trusted {
        env.push((OVERRIDING.to_owned(), overriding(request).into_string()));
        env.push((ANSWERS.to_owned(), answers(request).into_string()));
    }
    env
}

/// The settings of this machine, where there are some, with our hooks; code of strangers is asked about.
fn before(request: &LaunchRequest<'_>) -> Vec<Preparation> {
    let mut settings = machines(request.env, DEFAULTS, "/etc/qwen-code/system-defaults.json");
    let all = object(&mut settings, "hooks");
    for (event, group) in hooks::groups(request, ID, EVENTS, hooks::Unit::Milliseconds) {
        match &mut all[event.as_str()] {
            Value::Array(known) => known.extend(group),
            none => *none = Value::Array(group),
        }
    }
    let mut before = vec![
        Preparation::File {
            file: defaults(request),
            text: settings.to_string(),
        },
        Preparation::Folder {
            file: request.messages.to_owned(),
        },
    ];
    if !request.trusted {
        let mut settings = machines(request.env, OVERRIDING, "/etc/qwen-code/settings.json");
        let trust = object(object(&mut settings, "security"), "folderTrust");
        trust["enabled"] = json!(true);
        before.push(Preparation::NoFile {
            file: answers(request),
        });
        before.push(Preparation::File {
            file: overriding(request),
            text: settings.to_string(),
        });
    }
    before
}

/// What this machine's own settings say, in the file that the variable names or in the usual one; nothing where they do not read.
fn machines(env: Environment<'_>, variable: &str, usual: &str) -> Value {
    let file = value_of(env, variable).unwrap_or(usual);
    let text = std::fs::read_to_string(Utf8Path::new(file)).unwrap_or_default();
    serde_json::from_str(&text)
        .ok()
        .filter(Value::is_object)
        .unwrap_or_else(|| json!({}))
}

/// The object that is a member of another; made where something else is there.
fn object<'a>(of: &'a mut Value, name: &str) -> &'a mut Value {
    if !of[name].is_object() {
        of[name] = json!({});
    }
    &mut of[name]
}

/// Where it keeps what it knows of its user.
const HOME: At = At {
    variable: Some("QWEN_HOME"),
    home: ".qwen",
    file: "",
};
const SETTINGS: At = HOME.file("settings.json");
const SELECTED: &[&str] = &["security", "auth", "selectedType"];
const BY_OAUTH: &str = "qwen-oauth";
const BY_KEY: Has = Has::Other(SETTINGS, Form::Json, SELECTED, BY_OAUTH);
const ITS_SETTINGS: &str = "its settings have one";

/// A key alone logs it in nowhere: it asks for the kind of login, until its settings or three variables say which.
const KEPT: Kept = Kept {
    folder: HOME,
    records: &[
        Record {
            what: "settings",
            at: SETTINGS,
            form: Form::Json,
            well: "",
            ill: "it does not start",
        },
        Record {
            what: "trust",
            at: HOME.file("trustedFolders.json"),
            form: Form::Json,
            well: "what it was answered is in {}",
            ill: "where its settings have it ask, it does not start",
        },
    ],
    logins: &[
        Login {
            said: "by OPENAI_API_KEY",
            has: &[
                Has::Set("OPENAI_API_KEY"),
                Has::Set("OPENAI_BASE_URL"),
                Has::Set("OPENAI_MODEL"),
            ],
        },
        Login {
            said: "by OPENAI_API_KEY",
            has: &[Has::Set("OPENAI_API_KEY"), BY_KEY],
        },
        Login {
            said: ITS_SETTINGS,
            has: &[
                BY_KEY,
                Has::Some(SETTINGS, Form::Json, &["security", "auth", "apiKey"]),
            ],
        },
        Login {
            said: ITS_SETTINGS,
            has: &[BY_KEY, Has::Some(SETTINGS, Form::Json, &["env", "*"])],
        },
        Login {
            said: "by its own record",
            has: &[
                Has::Text(SETTINGS, Form::Json, SELECTED, BY_OAUTH),
                Has::Some(HOME.file("oauth_creds.json"), Form::Json, &[]),
            ],
        },
    ],
    without: "it will ask for one at its start",
    remedy: "run `qwen` once, or set OPENAI_API_KEY, OPENAI_BASE_URL and OPENAI_MODEL for the daemon",
};

#[cfg(test)]
mod tests;
