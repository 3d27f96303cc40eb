//! Claude Code. What it does was seen of version 2.1.330.

use ao_domain::port::agent::{Description, LaunchRequest, Preparation, Style, Takes};
use ao_domain::port::runtime::Place;
use ao_domain::{ActivityState, PermissionMode};
use serde_json::{Map, Value, json};

use super::sheet::{
    Argv, Begins, Choices, DelayRules, DialogRules, Event, Files, Is, Keys, NoteRules, Own, ScreenRules,
    Sheet, Stands, Word, event, event_when,
};
use super::{Checkup, folders, hooks};

mod own_files;

const ID: &str = "claude-code";

pub(super) const SHEET: Sheet = Sheet {
    description: Description {
        id: ID,
        name: "Claude Code",
        style: Style::Interactive,
        reports: true,
        greets: true,
        prompted: true,
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
                Some(&["--permission-mode", "default"]),
                Some(&["--permission-mode", "acceptEdits"]),
                Some(&["--permission-mode", "auto"]),
                Some(&["--permission-mode", "bypassPermissions"]),
            ]),
            Word::Model("--model"),
            // Said at every start: it is no part of the conversation.
            Word::Role("--append-system-prompt"),
            Word::Prompt("--"),
        ],
        env: wary,
        before,
    },
    events: EVENTS,
    keys: Keys {
        pasted: Some("pasted_content"),
        native_id: Some("session_id"),
        title: Some("prompt"),
        last_message: Some("last_assistant_message"),
        prompt: Some("prompt"),
        tool: Some("tool_name"),
        summary: Some("summary"),
        trouble: Some("error"),
        // Its words have the time to the minute, its transcript to the second; of a key that is paid for by use neither has any.
        walls: &["rate_limit"],
        until: Some("resets_at"),
        ..Keys::NONE
    },
    own: Some(Own {
        spoke: "\"type\":\"user\"",
        file: Files {
            home: ".claude",
            variable: Some("CLAUDE_CONFIG_DIR"),
            // Below whatever folder it was begun in.
            path: &["projects", "*", "{}.jsonl"],
        },
        notes: NOTES,
        named: None,
    }),
    screen: Some(ScreenRules {
        place: Place::Rules,
        mark: "\u{276f}",
        clear: "\u{15}",
        above: "\u{2191} ",
        folded: "[Pasted text",
        hints: &[],
        modes: &[],
        gives_back: false,
        dialogs: &[
            DialogRules {
                foot: &["Esc to cancel", "Enter to"],
                below: 0,
                begins: Begins::Line(&[]),
                choices: Choices::Numbered(&['\u{276f}']),
            },
            // Whether a folder is trusted.
            DialogRules {
                foot: &["Enter to confirm"],
                below: 0,
                begins: Begins::Line(&[]),
                choices: Choices::Listed {
                    mark: "\u{276f}",
                    explained: false,
                    stands: Stands::Above,
                },
            },
            // At its first start: its colours, with a sample of them below, and what to mind.
            DialogRules {
                foot: &["Syntax theme:"],
                below: 0,
                begins: Begins::Line(&["Choose the text style"]),
                choices: Choices::Listed {
                    mark: "\u{276f}",
                    explained: false,
                    stands: Stands::Apart,
                },
            },
            DialogRules {
                foot: &["Press Enter to continue"],
                below: 0,
                begins: Begins::Line(&["Security notes"]),
                choices: Choices::Enter,
            },
            // How to log in, which is asked where the servers of its maker answer: the last choice is the foot.
            DialogRules {
                foot: &["3. 3rd-party platform"],
                below: 0,
                begins: Begins::Only(&["Select login method:"]),
                choices: Choices::Numbered(&['\u{276f}']),
            },
            DialogRules {
                foot: &["3. Go back", "4. Go back"],
                below: 1,
                begins: Begins::Only(&["Anthropic Console account", "Using 3rd-party platforms"]),
                choices: Choices::Numbered(&['\u{276f}']),
            },
            // Where, and what comes back from there.
            DialogRules {
                foot: &[" Esc to go back", " Esc to clear", " Esc to continue without"],
                below: 0,
                begins: Begins::Only(&["Browser didn't open?"]),
                choices: Choices::Typed,
            },
        ],
        delay: Some(DelayRules {
            has: "",
            waits: " \u{b7} retrying in ",
            attempt: "attempt ",
            tells: true,
        }),
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
        own_files: own_files::own_files,
        remembers: None,
    }),
};

/// An interrupt, and Esc on a dialog, are told by none of these: the transcript has them.
const EVENTS: &[Event] = &[
    event("SessionStart", None),
    event("UserPromptSubmit", Some(ActivityState::Active)),
    event("PreToolUse", Some(ActivityState::Active)).begins_tool(),
    // As the dialog opens. The notification about it comes six seconds later, if it is still open.
    event("PermissionRequest", Some(ActivityState::WaitingInput)).begins_tool(),
    event("Elicitation", Some(ActivityState::WaitingInput)),
    event("ElicitationResult", Some(ActivityState::Active)),
    event("PostToolUse", Some(ActivityState::Active)).ends_tool(),
    event("PostToolUseFailure", Some(ActivityState::Active)).ends_tool(),
    event_when(
        "Notification",
        "notification_type",
        &["permission_prompt"],
        Some(ActivityState::WaitingInput),
    )
    .says_why("message"),
    // A minute after a turn nobody has answered: it waits for work.
    event_when(
        "Notification",
        "notification_type",
        &["idle_prompt"],
        Some(ActivityState::Idle),
    ),
    event("Notification", None),
    event("Stop", Some(ActivityState::Idle)),
    // A turn that an error of the API has ended; no Stop follows.
    event("StopFailure", Some(ActivityState::Idle)),
    // The process goes on with another conversation.
    event_when("SessionEnd", "reason", &["clear", "resume"], None),
    event("SessionEnd", Some(ActivityState::Exited)).says_why("reason"),
    event(INTERRUPTED, Some(ActivityState::Idle)).says_why("interrupted"),
    event(NAMED, None),
    event(REFUSED, None),
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

/// What it calls the conversation by itself. (What a person calls it is in other lines.)
const NAMED: &str = "transcript.named";

/// Why a turn is going to end, and to the second until when there is no other.
const REFUSED: &str = "transcript.refused";

/// Interrupts, and the beginnings of turns. What is asked of a turn says how a message that waited inside it is known to have begun.
const NOTES: &[NoteRules] = &[
    NoteRules {
        of: &[
            ("/type", Is::Text("user")),
            ("/isSidechain", Is::NotTrue),
            (
                "/message/content/*/text",
                Is::Begins("[Request interrupted by user"),
            ),
        ],
        event: INTERRUPTED,
        payload: &[("interrupted", "/message/content/*/text")],
        ..USERS_LINE
    },
    NoteRules {
        of: &[
            ("/type", Is::Text("user")),
            ("/isSidechain", Is::NotTrue),
            ("/promptSource", Is::AnyText),
        ],
        event: TURN_BEGAN,
        ..USERS_LINE
    },
    // Without a time: it is written again whenever the file has grown a lot.
    NoteRules {
        event: NAMED,
        has: "\"ai-title\"",
        of: &[("/type", Is::Text("ai-title"))],
        id: None,
        at: None,
        payload: &[("summary", "/aiTitle")],
    },
    // When a used-up quota is full again.
    NoteRules {
        event: REFUSED,
        has: "\"quotaLimits\"",
        of: &[
            ("/type", Is::Text("assistant")),
            ("/isSidechain", Is::NotTrue),
            ("/isApiErrorMessage", Is::True),
            ("/quotaLimits/resetsAt", Is::Some),
        ],
        payload: &[("error", "/error"), ("resets_at", "/quotaLimits/resetsAt")],
        ..USERS_LINE
    },
];

const USERS_LINE: NoteRules = NoteRules {
    event: "",
    has: "\"type\":\"user\"",
    of: &[],
    id: Some("/uuid"),
    at: Some("/timestamp"),
    payload: &[("prompt", "/message/content")],
};

/// Of a stranger's code it is to ask: else a worktree is as trusted as the repository it belongs to, and everything where the second
/// variable says something.
fn wary(request: &LaunchRequest<'_>) -> Vec<(String, String)> {
    let variables = [
        ("CLAUDE_CODE_IGNORE_PERSISTED_TRUST", "1"),
        ("CLAUDE_CODE_SANDBOXED", ""),
    ];
    let wary = variables.into_iter().filter(|_| !request.trusted);
    wary.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Its own record that the worktree is trusted: without it a fresh worktree begins with a question whose first answer is "No, exit". And
/// that it was run before, where a login is in its environment: whoever put it there is not to be shown colours and notes, on a
/// screen that nobody reads. What is not there yet is all that it would ask then; whether a key is to be used it asks all the same.
fn before(request: &LaunchRequest<'_>) -> Vec<Preparation> {
    let Some(file) = own_files::config_file(request.env) else {
        return Vec::new();
    };
    let seed = |path: &[&str]| Preparation::Member {
        file: file.clone(),
        path: path.iter().map(|name| (*name).to_owned()).collect(),
        value: "true".to_owned(),
        // It writes the file as a whole while it holds a lock beside it.
        locked: true,
    };
    let was_run = own_files::login_set(request.env).map(|_| seed(&[own_files::WAS_RUN]));
    let trusted = request.trusted.then(|| folders(request.worktree));
    let trusts = trusted.into_iter().flatten();
    let trusts = trusts.map(|folder| seed(&["projects", folder.as_str(), "hasTrustDialogAccepted"]));
    was_run.into_iter().chain(trusts).collect()
}

/// Our hooks, on the command line: nothing is written into the worktree or beside the user's own settings, which stay in force.
fn settings(request: &LaunchRequest<'_>) -> Vec<String> {
    let hooks: Map<String, Value> = hooks::groups(request, ID, EVENTS, hooks::Unit::Seconds)
        .into_iter()
        .map(|(event, group)| (event, Value::Array(group)))
        .collect();
    // What is too long to be typed lies in a file of ours: reading it is no decision.
    let read = format!("Read(/{}/**)", request.messages);
    let mut settings = json!({"hooks": hooks, "permissions": {"allow": [read]}});
    if request.permissions == PermissionMode::BypassPermissions {
        // A person asked for it by name; the dialog would ask once more, where nobody sits.
        settings["skipDangerousModePermissionPrompt"] = json!(true);
    }
    vec![settings.to_string()]
}

#[cfg(test)]
mod tests;
