//! Claude Code. What it does was seen of version 2.1.330.

use ao_domain::port::agent::{Description, LaunchRequest, Note, Preparation, Style, Takes};
use ao_domain::{ActivityState, PermissionMode, Timestamp, shell_word};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use super::{
    Argv, Checkup, Event, Keys, Own, ScreenRules, Sheet, Word, checkup, claude_screen, event, value_of,
};

const ID: &str = "claude-code";

/// How long one of our hooks may take, in seconds. It takes milliseconds; a machine that stands still must not stop an agent for
/// long.
const HOOK_TIMEOUT: u32 = 10;

pub(super) const SHEET: Sheet = Sheet {
    description: Description {
        id: ID,
        name: "Claude Code",
        style: Style::Interactive,
        reports: true,
        transcribes: true,
        chooses: true,
        takes: Some(Takes {
            queues: true,
            commands: &['/'],
            shields: &['!', '#'],
        }),
    },
    argv: Argv::Made {
        program: "claude",
        places: &[".local/bin/claude", ".npm/bin/claude", ".claude/local/claude"],
        words: &[
            Word::Resumed("--resume"),
            Word::Begun("--session-id"),
            Word::Settings("--settings", settings),
            // With none it starts in a mode of its own choice, not in the one that asks.
            Word::Mode([
                &["--permission-mode", "default"],
                &["--permission-mode", "acceptEdits"],
                &["--permission-mode", "auto"],
                &["--permission-mode", "bypassPermissions"],
            ]),
            Word::Model("--model"),
            // Else a worktree is as trusted as the repository it belongs to.
            Word::Wary("CLAUDE_CODE_IGNORE_PERSISTED_TRUST"),
            // Said at every start: it is no part of the conversation.
            Word::Role("--append-system-prompt"),
            Word::Prompt("--"),
        ],
        before: trust,
    },
    events: EVENTS,
    keys: Keys {
        native_id: Some("session_id"),
        title: Some("prompt"),
        last_message: Some("last_assistant_message"),
        prompt: Some("prompt"),
        trouble: Some("error"),
    },
    own: Some(Own {
        spoke: "\"type\":\"user\"",
        file: transcript,
        note,
    }),
    screen: Some(ScreenRules {
        mark: "\u{276f}",
        clear: "\u{15}",
        above: "\u{2191} ",
        folded: "[Pasted text",
        shows: claude_screen::shows,
    }),
    checkup: Some(Checkup {
        seen: "2.1.330",
        options: &[
            "--session-id",
            "--resume",
            "--settings",
            "--permission-mode",
            "--model",
            "--append-system-prompt",
        ],
        own_files: checkup::claude,
    }),
};

/// An interrupt, and Esc on a dialog, are told by none of these: the transcript has them.
const EVENTS: &[Event] = &[
    event("SessionStart", None),
    event("UserPromptSubmit", Some(ActivityState::Active)),
    event("PreToolUse", Some(ActivityState::Active)),
    // As the dialog opens. The notification about it comes six seconds later, if it is still open.
    event("PermissionRequest", Some(ActivityState::WaitingInput)),
    event("Elicitation", Some(ActivityState::WaitingInput)),
    event("ElicitationResult", Some(ActivityState::Active)),
    event("PostToolUse", Some(ActivityState::Active)),
    event("PostToolUseFailure", Some(ActivityState::Active)),
    Event {
        name: "Notification",
        when: Some(("notification_type", &["permission_prompt"])),
        state: Some(ActivityState::WaitingInput),
        begins: false,
    },
    // A minute after a turn nobody has answered: it waits for work.
    Event {
        name: "Notification",
        when: Some(("notification_type", &["idle_prompt"])),
        state: Some(ActivityState::Idle),
        begins: false,
    },
    event("Notification", None),
    event("Stop", Some(ActivityState::Idle)),
    // A turn that an error of the API has ended; no Stop follows.
    event("StopFailure", Some(ActivityState::Idle)),
    // The process goes on with another conversation.
    Event {
        name: "SessionEnd",
        when: Some(("reason", &["clear", "resume"])),
        state: None,
        begins: false,
    },
    event("SessionEnd", Some(ActivityState::Exited)),
    event(INTERRUPTED, Some(ActivityState::Idle)),
    Event {
        begins: true,
        ..event(TURN_BEGAN, Some(ActivityState::Active))
    },
];

/// Not its own words: what its transcript says. Esc ends a turn, or closes a dialog, and no hook tells.
const INTERRUPTED: &str = "transcript.interrupted";

/// A message that was typed while it worked is told of when it is queued. When its turn begins, after the Stop of the one before,
/// only the transcript says so.
const TURN_BEGAN: &str = "transcript.turn";

/// Its own record that the worktree is trusted. Of a stranger's code it is left to ask a person.
fn trust(request: &LaunchRequest<'_>) -> Vec<Preparation> {
    if !request.trusted {
        return Vec::new();
    }
    let config = checkup::claude_config(request.env);
    let trust = config.map(|config| Preparation::ClaudeTrust {
        config,
        folder: request.worktree.to_owned(),
    });
    trust.into_iter().collect()
}

/// Our hooks, on the command line: nothing is written into the worktree or beside the user's own settings, which stay in force.
fn settings(request: &LaunchRequest<'_>) -> String {
    let mut hooks = serde_json::Map::new();
    for Event { name, .. } in EVENTS {
        if name.contains('.') {
            continue;
        }
        let command = format!("{} hooks {ID} {name}", shell_word(request.ao.as_str()));
        let hook = json!([{"hooks": [{"type": "command", "command": command, "timeout": HOOK_TIMEOUT}]}]);
        hooks.insert((*name).to_owned(), hook);
    }
    // What is too long to be typed lies in a file of ours: reading it is no decision.
    let read = format!("Read(/{}/**)", request.messages);
    let mut settings = json!({"hooks": hooks, "permissions": {"allow": [read]}});
    if request.permissions == PermissionMode::BypassPermissions {
        // A person asked for it by name; the dialog would ask once more, where nobody sits.
        settings["skipDangerousModePermissionPrompt"] = json!(true);
    }
    settings.to_string()
}

/// Where its conversations lie.
fn config_folder(env: &[(String, String)]) -> Option<Utf8PathBuf> {
    match value_of(env, "CLAUDE_CONFIG_DIR") {
        Some(dir) => Some(dir.into()),
        None => Some(Utf8Path::new(value_of(env, "HOME")?).join(".claude")),
    }
}

/// The file of a conversation, below whatever folder it was begun in.
fn transcript(id: &str, env: &[(String, String)]) -> Option<Utf8PathBuf> {
    // An id of theirs is a file name; what is none names no conversation.
    if id.contains('/') {
        return None;
    }
    let projects = config_folder(env)?.join("projects").read_dir_utf8().ok()?;
    let files = projects.filter_map(Result::ok);
    files
        .map(|project| project.path().join(format!("{id}.jsonl")))
        .find(|file| file.is_file())
}

/// Interrupts, and the beginnings of turns.
fn note(line: &str) -> Option<Note> {
    // Most lines are long and none of these: they are not taken apart.
    if !line.contains("\"type\":\"user\"") {
        return None;
    }
    let line: Value = serde_json::from_str(line).ok()?;
    if line["type"] != "user" || line["isSidechain"] == true {
        return None;
    }
    let texts = line["message"]["content"].as_array();
    let was_interrupted = texts.into_iter().flatten().any(|part| {
        part["text"]
            .as_str()
            .is_some_and(|text| text.starts_with("[Request interrupted by user"))
    });
    let event = if was_interrupted {
        INTERRUPTED
    } else if line["promptSource"].is_string() {
        TURN_BEGAN
    } else {
        return None;
    };
    let id: String = line["uuid"]
        .as_str()?
        .chars()
        .filter(char::is_ascii_hexdigit)
        .collect();
    let at: Timestamp = line["timestamp"].as_str()?.parse().ok()?;
    // What it is asked now: that is how a message which waited inside it is known to have begun.
    let prompt = line["message"]["content"]
        .as_str()
        .map(|prompt| json!({"prompt": prompt}).to_string());
    (id.len() == 32).then(|| Note {
        id,
        event,
        at,
        payload: prompt.unwrap_or_else(|| "{}".to_owned()),
    })
}

#[cfg(test)]
mod tests;
