//! Codex. What it does was seen of version 0.169.0.

use std::io;

use ao_domain::ActivityState;
use ao_domain::port::agent::{Description, LaunchRequest, Style, Takes};
use ao_domain::port::runtime::Place;
use camino::{Utf8Path, Utf8PathBuf};
use toml_edit::{Array, DocumentMut, InlineTable, Value};

use super::checkup::Finding;
use super::sheet::{
    Argv, Begins, Choices, DialogRules, Environment, Event, Files, Is, Keys, NameIn, Named, NoteRules, Own,
    ScreenRules, Sheet, Word, event, no_env, nothing_before,
};
use super::{Checkup, folders, hooks, value_of};

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
                },
            },
        ],
        delay: None,
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
        own_files,
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

/// What its own files say: whether they read, and whether it will ask for a login.
fn own_files(env: Environment<'_>) -> Vec<Finding> {
    let folder = match value_of(env, "CODEX_HOME") {
        Some(folder) => Utf8PathBuf::from(folder),
        None => match value_of(env, "HOME") {
            Some(home) => Utf8Path::new(home).join(".codex"),
            None => {
                return vec![Finding::bad(
                    "home",
                    "neither HOME nor CODEX_HOME is set",
                    "set HOME",
                )];
            }
        },
    };
    let config = folder.join("config.toml");
    let text = match std::fs::read_to_string(&config) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            let said = format!("`{config}` cannot be read ({error}): it does not start");
            return vec![Finding::bad(
                "settings",
                said,
                format!("set the rights of `{config}`"),
            )];
        }
    };
    let settings = match text.parse::<DocumentMut>() {
        Ok(settings) => settings,
        Err(error) => {
            let said = format!(
                "`{config}` does not read ({}): it does not start",
                error.message()
            );
            return vec![Finding::bad("settings", said, format!("set `{config}` right"))];
        }
    };
    let provider = settings.get("model_provider").and_then(|name| name.as_str());
    let login = if folder.join("auth.json").is_file() {
        Finding::good("login", "by its own record")
    } else if let Some(provider) = provider.filter(|name| *name != "openai") {
        Finding::good("login", format!("its provider `{provider}` has its own"))
    } else {
        let said = "no login is found: it will ask for one at its start";
        Finding::bad("login", said, "run `codex login`")
    };
    vec![
        Finding::good("trust", "worktrees are trusted on its command line"),
        login,
    ]
}

#[cfg(test)]
mod tests;
