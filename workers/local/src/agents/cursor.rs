//! Cursor's agent for the terminal, from its documents alone: nobody has seen a version of it do anything here.
//!
//! It reads hooks from `.cursor/hooks.json` in its user's home and in the folder it works in, all of them. Ours come into the first,
//! in lists that its user's own stand in too. Only events that its documents name are asked for: an event it does not know is said to
//! void the whole file without a word. Those before a command or a tool want an answer, and say nothing of whether a person is asked:
//! they are not among ours. The one before a prompt may answer, and lets it pass where it says nothing and ends well.
//!
//! Whether a folder is trusted it asks a person at its first start there. The option that answers it is documented for runs without a
//! terminal alone, and where it keeps the answer nowhere: so nothing answers for them, whosever code it is. Where it takes a text, and
//! how a dialog of it looks, is in no document, so no message is typed to it and no dialog is read.

use ao_domain::ActivityState;
use ao_domain::port::agent::{Description, LaunchRequest, Preparation, Style};
use camino::Utf8PathBuf;
use serde_json::json;

use super::checkup::Finding;
use super::sheet::{Argv, Environment, Event, Keys, Sheet, Word, event, event_when, no_env};
use super::{Checkup, hooks, own_folder, value_of};

const ID: &str = "cursor";

pub(super) const SHEET: Sheet = Sheet {
    description: Description {
        id: ID,
        name: "Cursor (unverified)",
        style: Style::Interactive,
        reports: true,
        // Its first hook is about a conversation, and a conversation begins with what it is asked.
        greets: false,
        prompted: true,
        transcribes: false,
        chooses: true,
        takes: None,
    },
    argv: Argv::Made {
        program: "cursor-agent",
        places: &[".local/bin/cursor-agent"],
        words: &[
            Word::Resumed("--resume="),
            Word::Model("--model"),
            // It allows every command but those that its user forbade; nothing is documented between that and asking.
            Word::Mode([Some(&[]), None, None, Some(&["--force"])]),
            // It has no option for what it is told beside its prompt.
            Word::PromptWithRole("--"),
        ],
        env: no_env,
        before,
    },
    events: EVENTS,
    keys: Keys {
        native_id: Some("conversation_id"),
        title: Some("prompt"),
        last_message: Some("text"),
        prompt: Some("prompt"),
        ..Keys::NONE
    },
    own: None,
    screen: None,
    checkup: Some(Checkup {
        seen: "",
        options: &["--resume", "--model", "--force"],
        own_files,
        remembers: None,
    }),
};

const EVENTS: &[Event] = &[
    event("sessionStart", None),
    event("beforeSubmitPrompt", Some(ActivityState::Active)),
    // What it says, also in the middle of a turn.
    event("afterAgentResponse", None),
    // It is `completed`, `aborted` by its user, or `error`, of which it says no more.
    Event {
        trouble: Some("error"),
        ..event_when("stop", "status", &["error"], Some(ActivityState::Idle))
    },
    event("stop", Some(ActivityState::Idle)),
    // The other reasons tell how a conversation ended: the program may go on with another one.
    event_when(
        "sessionEnd",
        "reason",
        &["window_close", "user_close"],
        Some(ActivityState::Exited),
    ),
    event("sessionEnd", None),
];

fn home(env: Environment<'_>) -> Option<Utf8PathBuf> {
    own_folder(env, None, ".cursor")
}

/// Hooks beside its user's own; each asks its environment whose it is, and says nothing outside a session of ours.
fn before(request: &LaunchRequest<'_>) -> Vec<Preparation> {
    let elements = hooks::told(EVENTS).map(|event| {
        let hook = json!({"command": hooks::command(request, ID, event)});
        (event.to_owned(), hook.to_string())
    });
    let hooks = home(request.env).map(|home| Preparation::Entries {
        file: home.join("hooks.json"),
        beside: ("version".to_owned(), "1".to_owned()),
        member: "hooks".to_owned(),
        elements: elements.collect(),
    });
    hooks.into_iter().collect()
}

/// What its own files say: whether ours can come into them, and how it will log in, as far as that is documented: it keeps a login
/// where no document says.
fn own_files(env: Environment<'_>) -> Vec<Finding> {
    let Some(home) = home(env) else {
        return vec![Finding::bad("home", "HOME is not set", "set HOME")];
    };
    let file = home.join("hooks.json");
    let hooks = match std::fs::read_to_string(&file) {
        Ok(text) if serde_json::from_str::<serde_json::Map<_, _>>(&text).is_err() => {
            let said = format!("`{file}` does not read: ours cannot come into it, and it tells nothing");
            Finding::bad("hooks", said, format!("set `{file}` right"))
        }
        _ => Finding::good("hooks", format!("ours come into {file}")),
    };
    let login = if value_of(env, "CURSOR_API_KEY").is_some() {
        Finding::good("login", "by CURSOR_API_KEY")
    } else if home.join("cli-config.json").exists() {
        Finding::good(
            "login",
            "it was run here before; whether it is logged in is not known",
        )
    } else {
        Finding::bad(
            "login",
            "it was never run here: it will ask for a login at its start",
            "run `cursor-agent login`",
        )
    };
    // Whether it asks about a folder, and where it would remember that, is in no document.
    vec![
        hooks,
        Finding::good(
            "trust",
            "nothing is recorded for it; whether it asks is not known",
        ),
        login,
    ]
}

#[cfg(test)]
mod tests;
