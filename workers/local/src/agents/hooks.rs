//! The calls of ours that an agent makes, in the form that most of them share.

use ao_domain::port::agent::LaunchRequest;
use ao_domain::shell_word;
use serde_json::{Value, json};

use super::sheet::Event;

/// How long one of our hooks may take. It takes milliseconds; a machine that stands still must not stop an agent for long.
const TIMEOUT_S: u32 = 10;

/// In what an agent counts how long a hook may take.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
}

impl Unit {
    pub(super) fn timeout(self) -> u32 {
        match self {
            Self::Seconds => TIMEOUT_S,
            Self::Milliseconds => TIMEOUT_S * 1_000,
        }
    }
}

/// The names of the events that hooks tell of, each once: one with a dot is told by something else.
pub(super) fn told(events: &'static [Event]) -> impl Iterator<Item = &'static str> {
    let mut last = "";
    events
        .iter()
        .map(|event| event.name)
        .filter(move |name| !name.contains('.') && std::mem::replace(&mut last, name) != *name)
}

/// The command that tells of an event.
pub(super) fn command(request: &LaunchRequest<'_>, agent: &str, event: &str) -> String {
    format!("{} hooks {agent} {event}", shell_word(request.ao.as_str()))
}

/// For each event the groups of hooks, as Claude Code has them and others after it.
pub(super) fn groups(
    request: &LaunchRequest<'_>,
    agent: &str,
    events: &'static [Event],
    unit: Unit,
) -> Vec<(String, Vec<Value>)> {
    told(events)
        .map(|event| {
            let hook = json!({
                "type": "command",
                "command": command(request, agent, event),
                "timeout": unit.timeout(),
            });
            (event.to_owned(), vec![json!({"hooks": [hook]})])
        })
        .collect()
}
