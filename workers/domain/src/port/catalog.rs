//! Which agents there are to work with here: what each can do, and what is missing to use it.

use std::fmt;
use std::str::FromStr;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::PortFuture;
use crate::session::words;
use crate::{PermissionMode, UnknownWord};

/// An agent as it is found on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id on the command line and in rows.
    pub id: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// What can be done with it.
    pub abilities: Abilities,
    /// Its program; `None` of an agent that has none of its own.
    pub installation: Option<Installation>,
}

/// What can be done with an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Whether it lives on after a turn.
    pub interactive: bool,
    /// Whether messages can be delivered to it.
    pub takes_messages: bool,
    /// Whether one that comes while it works waits inside it for its turn.
    pub queues_messages: bool,
    /// What it can be allowed to do without asking; always at least the default.
    pub permission_modes: Vec<PermissionMode>,
    /// Whether a model can be chosen.
    pub model: bool,
    /// Whether a conversation can go on in a run after the one it was begun in.
    pub resume: bool,
    /// How it is told what to do.
    pub prompt: PromptBy,
    /// Whether its hooks report what it does; if not, a running process is all that is known.
    pub reports: bool,
    /// Whether its own record is a second source, for what its hooks do not tell.
    pub own_record: bool,
    /// Whether its dialogs are read from its screen and can be answered.
    pub answers_dialogs: bool,
}

words! {
    /// How an agent is told what to do at its start.
    PromptBy, "way of a prompt" {
        /// As one word of its command line.
        Argument = "argument",
        /// As its first message.
        FirstMessage = "first-message",
        /// Not at all: the command line that a person gives is what it does.
        Command = "command",
    }
}

/// An agent's program on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// Its name on PATH.
    pub program: &'static str,
    /// Where it was found.
    pub path: Option<Utf8PathBuf>,
    /// The version that it names.
    pub version: Option<String>,
    /// The version whose behaviour was seen; `None` where it is known from documents alone.
    pub verified: Option<&'static str>,
    /// How the two stand to each other.
    pub standing: Standing,
    /// What was found, good or not.
    pub findings: Vec<Finding>,
}

words! {
    /// How the version that was found stands to the one whose behaviour was seen.
    Standing, "standing of a version" {
        /// There is no program.
        Missing = "missing",
        /// It does not start.
        Broken = "broken",
        /// It names no version.
        Unknown = "unknown",
        /// Nobody has seen what any version of it does.
        Unverified = "unverified",
        /// It is older.
        Older = "older",
        /// They are the same.
        Verified = "verified",
        /// It is newer.
        Newer = "newer",
    }
}

/// One thing that was found, good or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in a word or two: `trust`, `login`.
    pub what: &'static str,
    /// What is so.
    pub said: String,
    /// What to do about it; `None` where all is well.
    pub remedy: Option<String>,
}

impl Finding {
    /// All is well with it.
    pub fn good(what: &'static str, said: impl Into<String>) -> Self {
        Self {
            what,
            said: said.into(),
            remedy: None,
        }
    }

    /// Something is missing.
    pub fn bad(what: &'static str, said: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what,
            said: said.into(),
            remedy: Some(remedy.into()),
        }
    }
}

/// Looks over the agents there are. Each look ends within some seconds, whatever the programs do, and changes nothing; cancelled,
/// it leaves no process behind.
pub trait Catalog: Send + Sync + 'static {
    /// Every agent, in the order to show them.
    fn all(&self) -> PortFuture<'_, Vec<Entry>>;

    /// The agent of this id; `None` where there is no such.
    fn one<'a>(&'a self, id: &'a str) -> PortFuture<'a, Option<Entry>>;
}
