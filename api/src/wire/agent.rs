//! The agents there are to work with.

use ao_domain::PermissionMode;
use ao_domain::port::catalog::{self, Entry, PromptBy, Standing};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;

/// What can be done with an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Whether it lives on after a turn.
    pub interactive: bool,
    /// Whether messages are delivered to it.
    pub messages: bool,
    /// Whether one that comes while it works waits inside it for its turn; else it is typed when the work is done.
    pub queues_messages: bool,
    /// What it can be allowed to do without asking.
    #[schema(value_type = Vec<words::PermissionMode>)]
    pub permission_modes: Vec<PermissionMode>,
    /// Whether a model can be chosen.
    pub model: bool,
    /// Whether a restored session goes on with its conversation.
    pub resume: bool,
    /// How it is told what to do.
    #[schema(value_type = words::PromptBy)]
    pub prompt: PromptBy,
    /// Whether its hooks report what it does; if not, a running process is all that is known.
    pub hooks: bool,
    /// Whether its own record is a second source, for what its hooks do not tell.
    pub own_record: bool,
    /// Whether its dialogs are read from its screen and can be answered.
    pub answers_dialogs: bool,
    /// Whether all this was seen of the real program; else it is known from documents alone.
    pub verified: bool,
}

/// One thing that was found of an agent's program and its own files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// What was looked at: `program`, `options`, `settings`, `trust`, `login` and others.
    pub what: String,
    /// What is so.
    pub said: String,
    /// What to do about it; absent where all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl From<catalog::Finding> for Finding {
    fn from(finding: catalog::Finding) -> Self {
        Self {
            what: finding.what.to_owned(),
            said: finding.said,
            remedy: finding.remedy,
        }
    }
}

/// An agent, as it is found on the daemon's machine with the daemon's environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// Its id, as `harness` names it elsewhere.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Whether its program is there; `true` of an agent that has none of its own.
    pub installed: bool,
    /// The name of its program; absent of an agent that has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Where that was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The version that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The version whose behaviour was seen; absent where it is known from documents alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_version: Option<String>,
    /// How the two stand to each other; absent of an agent without a program of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<words::Standing>)]
    pub standing: Option<Standing>,
    /// What can be done with it.
    pub capabilities: Capabilities,
    /// What was found, good or not: what has a remedy is missing.
    pub findings: Vec<Finding>,
}

impl From<Entry> for Agent {
    fn from(entry: Entry) -> Self {
        let abilities = entry.abilities;
        let found = entry.installation;
        Self {
            id: entry.id.to_owned(),
            name: entry.name.to_owned(),
            installed: found.as_ref().is_none_or(|found| found.path.is_some()),
            program: found.as_ref().map(|found| found.program.to_owned()),
            path: found
                .as_ref()
                .and_then(|found| found.path.as_ref())
                .map(ToString::to_string),
            version: found.as_ref().and_then(|found| found.version.clone()),
            verified_version: found.as_ref().and_then(|found| found.verified).map(str::to_owned),
            standing: found.as_ref().map(|found| found.standing),
            capabilities: Capabilities {
                interactive: abilities.interactive,
                messages: abilities.takes_messages,
                queues_messages: abilities.queues_messages,
                permission_modes: abilities.permission_modes,
                model: abilities.model,
                resume: abilities.resume,
                prompt: abilities.prompt,
                hooks: abilities.reports,
                own_record: abilities.own_record,
                answers_dialogs: abilities.answers_dialogs,
                verified: found.as_ref().is_none_or(|found| found.verified.is_some()),
            },
            findings: found.map_or_else(Vec::new, |found| {
                found.findings.into_iter().map(Into::into).collect()
            }),
        }
    }
}

/// All agents there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentList {
    /// In the order to show them.
    pub agents: Vec<Agent>,
}

/// One agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentAnswer {
    /// It.
    pub agent: Agent,
}
