//! Codex. What it does was seen of version 0.169.0.

use ao_domain::ActivityState;
use ao_domain::port::agent::{Description, LaunchRequest, Style, Takes};
use ao_domain::port::runtime::Place;
use toml_edit::{Array, InlineTable, Value};

use super::checkup::{At, Form, Has, Kept, Login, Record};
use super::sheet::{
    Argv, Begins, Choices, DelayRules, DialogRules, Event, Files, Is, Keys, NameIn, Named, NoteRules, Own,
    ScreenRules, Sheet, Stands, Word, event, no_env, nothing_before,
};
use super::{Checkup, folders, hooks};

const ID: &str = "codex";

pub(super) const SHEET: Sheet = Sheet {
    description: Description {
        id: ID,
        name: "Codex",
        style: Style::Interactive,
        reports: true,
        greets: false,
        prompted: true,
        transcribes: true,
        chooses: true,
        takes: Some(Takes {
            // What is typed while it works goes into the turn that runs.
            queues: false,
            commands: &['/'],
            shields: &['!'],
        }),
    },
    argv: Argv::Made {
        program: "codex",
        places: &[".local/bin/codex", ".npm/bin/codex", ".cargo/bin/codex"],
        words: &[
            Word::Resumed("resume"),
            Word::Always(&[
                // Without it, a server of its own stays behind when its terminal is gone, and runs our hooks for another session.
                "--no-daemon",
                // What a hook of ours runs is on this command line; whether it is trusted is no question for a person.
                "--dangerously-bypass-hook-trust",
                "-c",
                "check_for_update_on_startup=false",
                "-c",
                "notice.hide_rate_limit_model_nudge=true",
            ]),
            Word::Mode([
                Some(&["--ask-for-approval", "on-request", "--sandbox", "read-only"]),
                Some(&["--ask-for-approval", "on-request", "--sandbox", "workspace-write"]),
                Some(&["--approve-for-me"]),
                Some(&["--dangerously-bypass-approvals-and-sandbox"]),
            ]),
            Word::Model("--model"),
            Word::Settings("-c", settings),
            Word::Prompt("--"),
        ],
        env: no_env,
        before: nothing_before,
    },
    events: EVENTS,
    keys: Keys {
        native_id: Some("session_id"),
        title: Some("prompt"),
        last_message: Some("last_assistant_message"),
        prompt: Some("prompt"),
        tool: Some("tool_name"),
        pasted: None,
        summary: Some("summary"),
        trouble: Some("error"),
        said: Some("said"),
        walls: &["usage_limit_exceeded", "usage limit", "429 Too Many Requests"],
        until: None,
    },
    own: Some(Own {
        spoke: "\"type\":\"UserMessage\"",
        file: Files {
            home: ".codex",
            variable: Some("CODEX_HOME"),
            path: &["sessions", "*", "*", "*", "rollout-*-{}.jsonl"],
        },
        notes: NOTES,
        named: Some(Named {
            event: NAMED,
            file: Files {
                home: ".codex",
                variable: Some("CODEX_HOME"),
                // Of all conversations.
                path: &["session_index.jsonl"],
            },
            name: NameIn::Lines("id", "thread_name"),
        }),
    }),
    screen: Some(ScreenRules {
        place: Place::Open,
        mark: "\u{203a}",
        clear: "\u{15}\u{7f}",
        above: "",
        folded: "[Pasted Content",
        hints: &[],
        modes: &[],
        // Where it had not begun to answer yet.
        gives_back: true,
        dialogs: &[
            DialogRules {
                foot: &["enter to confirm"],
                below: 0,
                begins: Begins::Margin,
                choices: Choices::Numbered(&['\u{203a}']),
            },
            // Whether a folder is trusted: its numbers are no keys.
            DialogRules {
                foot: &["enter continue"],
                below: 0,
                begins: Begins::Line(&["Folder access"]),
                choices: Choices::Listed {
                    mark: "\u{203a}",
                    explained: false,
                    stands: Stands::Above,
                },
            },
            // How to log in, and a key to do so with.
            DialogRules {
                foot: &["Press enter to continue"],
                below: 1,
                begins: Begins::Line(&["Welcome to Codex"]),
                choices: Choices::Numbered(&['>']),
            },
            DialogRules {
                foot: &["  Press enter to save"],
                below: 2,
                begins: Begins::Line(&["> "]),
                choices: Choices::Typed,
            },
        ],
        delay: Some(DelayRules {
            has: "Reconnecting...",
            waits: " (",
            attempt: "",
            tells: false,
        }),
    }),
    checkup: Some(Checkup {
        seen: "0.169.0",
        options: &[
            "--no-daemon",
            "--dangerously-bypass-hook-trust",
            "--ask-for-approval",
            "--sandbox",
            "--approve-for-me",
            "--dangerously-bypass-approvals-and-sandbox",
            "--model",
            "--config",
        ],
        own_files: |env| KEPT.findings(env),
        remembers: None,
    }),
};

/// The first comes with the first prompt, not at its start. An interrupt, and a turn that an error has ended, are told by none:
/// its own record has them.
const EVENTS: &[Event] = &[
    event("SessionStart", None),
    event("UserPromptSubmit", Some(ActivityState::Active)),
    event("PreToolUse", Some(ActivityState::Active)).begins_tool(),
    event("PostToolUse", Some(ActivityState::Active)).ends_tool(),
    event("PermissionRequest", Some(ActivityState::WaitingInput)).begins_tool(),
    event("Stop", Some(ActivityState::Idle)),
    event("SessionEnd", Some(ActivityState::Exited)),
    event(ABORTED, Some(ActivityState::Idle)).says_why("reason"),
    event(FAILED, Some(ActivityState::Idle)),
    event(NAMED, None),
];

const ABORTED: &str = "rollout.aborted";
const FAILED: &str = "rollout.failed";
const NAMED: &str = "index.named";

const NOTES: &[NoteRules] = &[
    NoteRules {
        event: ABORTED,
        has: "\"turn_aborted\"",
        of: &[
            ("/type", Is::Text("event_msg")),
            ("/payload/type", Is::Text("turn_aborted")),
        ],
        payload: &[("reason", "/payload/reason")],
        ..LINE
    },
    NoteRules {
        event: FAILED,
        has: "\"task_complete\"",
        of: &[
            ("/type", Is::Text("event_msg")),
            ("/payload/type", Is::Text("task_complete")),
            ("/payload/error", Is::Some),
        ],
        payload: &[
            ("error", "/payload/error/codex_error_info"),
            ("said", "/payload/error/message"),
        ],
        ..LINE
    },
];

const LINE: NoteRules = NoteRules {
    event: "",
    has: "",
    of: &[],
    id: None,
    at: Some("/timestamp"),
    payload: &[],
};

/// Our hooks, that the worktree is trusted, and what it is told beside its prompt: `name=value` each, the value as TOML.
fn settings(request: &LaunchRequest<'_>) -> Vec<String> {
    let mut all: Vec<String> = hooks::told(EVENTS).map(|event| hook(request, event)).collect();
    // For this run alone: its own file stays as it is. Of a stranger's code it asks then whether to open it without what that brings,
    // also where a person trusts the repository; what it could be told to trust otherwise would be the whole repository.
    let level = if request.trusted { "trusted" } else { "untrusted" };
    let mut projects = InlineTable::new();
    for folder in folders(request.worktree) {
        let mut project = InlineTable::new();
        project.insert("trust_level", level.into());
        projects.insert(folder.as_str(), project.into());
    }
    all.push(format!("projects={}", Value::from(projects)));
    let role = request
        .role
        .map(|role| format!("developer_instructions={}", Value::from(role)));
    all.extend(role);
    all
}

fn hook(request: &LaunchRequest<'_>, name: &str) -> String {
    let mut handler = InlineTable::new();
    handler.insert("type", "command".into());
    handler.insert("command", hooks::command(request, ID, name).into());
    handler.insert("timeout", i64::from(hooks::Unit::Seconds.timeout()).into());
    let mut group = InlineTable::new();
    group.insert("hooks", Value::Array(Array::from_iter([handler])));
    format!("hooks.{name}={}", Value::Array(Array::from_iter([group])))
}

const HOME: At = At {
    variable: Some("CODEX_HOME"),
    home: ".codex",
    file: "",
};
const CONFIG: At = HOME.file("config.toml");

const KEPT: Kept = Kept {
    folder: HOME,
    records: &[Record {
        what: "trust",
        at: CONFIG,
        form: Form::Toml,
        well: "worktrees are trusted on its command line",
        ill: "it does not start",
    }],
    logins: &[
        Login {
            said: "by its own record",
            has: &[Has::Some(HOME.file("auth.json"), Form::Json, &[])],
        },
        Login {
            said: "its settings name a provider, which has its own",
            has: &[Has::Other(CONFIG, Form::Toml, &["model_provider"], "openai")],
        },
    ],
    without: "it will ask for one at its start",
    remedy: "run `codex login`",
};

#[cfg(test)]
mod tests;
