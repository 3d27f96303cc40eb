//! A session: one agent, one worktree, one terminal.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::{Delay, Dialog, Exit, Holding, PrSummary, ProcessId, ProjectId, SessionId, Timestamp, Wall};

/// A word that is not in the closed list it was read for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not a {what}: one of {known}")]
pub struct UnknownWord {
    /// What was expected.
    pub what: &'static str,
    /// What was found.
    pub word: String,
    /// The whole list.
    pub known: String,
}

/// A closed list of words: the same text in rows, JSON and on the command line.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant,)+ }
        impl $name {
            /// Every word of the list, in its order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The word as it is stored and shown.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
        }
        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word).ok_or_else(|| UnknownWord {
                    what: $what,
                    word: word.to_owned(),
                    known: Self::ALL.iter().map(|w| w.as_str()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}

pub(crate) use words;

words! {
    /// What the session is for.
    SessionKind, "session kind" {
        /// Does work in its own worktree.
        Worker = "worker",
        /// Coordinates workers.
        Orchestrator = "orchestrator",
    }
}

words! {
    /// What somebody wants of the session; durable, so a kill is never lost.
    Desired, "wish" {
        /// It should run.
        Run = "run",
        /// It should end, and its worktree be taken back where nothing is lost by that.
        Stop = "stop",
    }
}

words! {
    /// Where a session stands. Each is written before the external step it names is begun.
    Phase, "phase" {
        /// The row exists; nothing outside does yet.
        Queued = "queued",
        /// The worktree is being made.
        Worktree = "worktree",
        /// What the project shares is linked and copied into the worktree, and its post-create commands are run.
        Provision = "provision",
        /// The launch is being prepared: what the agent needs lies beside the worktree.
        Prepare = "prepare",
        /// The runtime and the agent in it are being started.
        Launch = "launch",
        /// The agent was started and is watched.
        Live = "live",
        /// The agent has ended by itself; its last screen and its worktree are still there.
        Finished = "finished",
        /// The agent and its runtime are being ended.
        Stopping = "stopping",
        /// The worktree is being taken back, or found to be worth keeping.
        Freeing = "freeing",
        /// Nothing more is going to happen by itself.
        Ended = "ended",
    }
}

impl Phase {
    /// Whether a waiting spawn may be answered: it runs, or it will not.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Live | Self::Finished | Self::Ended)
    }

    /// Whether the session takes one of the machine's places (`AO_MAX_SESSIONS`).
    pub fn takes_a_place(self) -> bool {
        matches!(
            self,
            Self::Worktree | Self::Provision | Self::Prepare | Self::Launch | Self::Live | Self::Stopping
        )
    }

    /// Whether the session is between the line and a running agent: a few at a time may be.
    pub fn is_coming_up(self) -> bool {
        matches!(
            self,
            Self::Worktree | Self::Provision | Self::Prepare | Self::Launch
        )
    }
}

words! {
    /// Why a session ended; decides who may bring it back.
    EndReason, "end reason" {
        /// A person or an orchestrator said so.
        Killed = "killed",
        /// The agent ended by itself.
        Exited = "exited",
        /// The agent's process was seen to be gone, without an exit record.
        RuntimeDead = "runtime_dead",
        /// It never came up.
        SpawnFailed = "spawn_failed",
        /// Its work was merged, and it was done with it.
        Completed = "completed",
        /// The machine was restarted under it.
        Rebooted = "rebooted",
        /// Another orchestrator took its place.
        Replaced = "replaced",
    }
}

impl EndReason {
    /// Whether nobody wanted this end and the agent had no part in it: such a session waits to be restored.
    pub fn is_loss(self) -> bool {
        matches!(self, Self::RuntimeDead | Self::Rebooted)
    }
}

words! {
    /// What the first of the line waits for.
    QueuedFor, "reason to wait" {
        /// As many sessions as may run at once do (`AO_MAX_SESSIONS`).
        Place = "place",
        /// The machine has less free memory than a session is let in with (`AO_MIN_FREE_MEMORY`).
        Memory = "memory",
        /// As many sessions as may come up at once do (`AO_MAX_LAUNCHES`).
        Turn = "turn",
    }
}

/// What a session is made with beyond its agent: its project's config as it was when the session was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionSetup {
    /// Variables of its agent and of post-create commands.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Paths of the checkout that the worktree has a link to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub symlinks: Vec<String>,
    /// Commands that are run in the worktree before the agent starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub post_create: Vec<String>,
    /// How long each of them may take, in seconds; 0 where there are none.
    pub post_create_timeout: u32,
    /// Ignored folders that the worktree may be taken back with, beyond the usual ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub build_folders: Vec<String>,
    /// What the agent is told before its prompt: its role, and the project's rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// How far a worktree is furnished. Written before each step, so that the next incarnation goes on from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provisioning {
    /// How many post-create commands have ended well.
    pub done: u32,
    /// How many there are.
    pub of: u32,
    /// The one that runs; `None` while links and copies are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doing: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// What was left out of links and copies, and why, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
    /// Whether links and copies are still to be made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub linking: bool,
    /// Which making of the worktree this is about; one that is made again is furnished again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub making: Option<String>,
}

words! {
    /// What an agent may do without asking; each agent has its own words for these.
    PermissionMode, "permission mode" {
        /// It asks before it changes something.
        Default = "default",
        /// It edits files without asking.
        AcceptEdits = "accept-edits",
        /// It decides by itself when to ask.
        Auto = "auto",
        /// It never asks.
        BypassPermissions = "bypass-permissions",
    }
}

/// What asks most.
impl Default for PermissionMode {
    fn default() -> Self {
        Self::Default
    }
}

words! {
    /// What the agent says it is doing. The words are those of the wire, as the original has them; ours are
    /// working, waiting for work, needs a decision and none.
    ActivityState, "activity state" {
        /// Working.
        Active = "active",
        /// Waiting for work.
        Idle = "idle",
        /// A dialog is open: a person has to decide.
        WaitingInput = "waiting_input",
        /// It says that it ended.
        Exited = "exited",
    }
}

/// An agent's last word about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// The state.
    pub state: ActivityState,
    /// When this state was entered; repeats do not move it.
    pub since: Timestamp,
}

words! {
    /// What became of the session's worktree.
    WorktreeState, "worktree state" {
        /// Not made yet.
        None = "none",
        /// It is there, and the session's own.
        Active = "active",
        /// The session is over; it stays because it holds work that exists nowhere else.
        Kept = "kept",
        /// Taken back.
        Removed = "removed",
    }
}

words! {
    /// What one look at a runtime gave. A failed look says nothing about the agent.
    Looked, "look" {
        /// The agent's process runs.
        Alive = "alive",
        /// The agent's process has ended, by its exit record or its identity.
        Dead = "dead",
        /// The look itself failed, or the holder does not answer.
        Failed = "failed",
    }
}

/// What is known of the agent's process, from looks and from its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessFacts {
    /// The run of the agent these are about.
    pub generation: u32,
    /// The process that holds the terminal.
    pub holder: Option<ProcessId>,
    /// The agent itself.
    pub agent: Option<ProcessId>,
    /// What the last look gave.
    pub looked: Looked,
    /// When that was.
    pub looked_at: Timestamp,
    /// The first of an unbroken row of looks with that answer.
    pub since: Timestamp,
    /// How many looks that row has.
    pub looks: u32,
    /// How the agent ended, where an exit record says so.
    pub exit: Option<Exit>,
    /// Why the last look failed, for people.
    pub note: Option<String>,
}

/// What the facts say about the agent's process; judged by `ao-derive` only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Liveness {
    /// Not started yet.
    NotYet,
    /// It runs.
    Alive,
    /// It has ended.
    Dead,
    /// Nobody knows: looks fail.
    Unknown,
}

/// A session as its rows say it is. Status is not here: it is derived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// `<project>-<num>`.
    pub id: SessionId,
    /// Its project.
    pub project: ProjectId,
    /// Number within the project, from 1.
    pub num: u32,
    /// Worker or orchestrator.
    pub kind: SessionKind,
    /// The issue it is about, where one was named.
    pub issue: Option<String>,
    /// The agent, resolved when the session was made and never again.
    pub harness: String,
    /// The runtime, resolved likewise.
    pub runtime: String,
    /// What people call it.
    pub display_name: Option<String>,
    /// What the agent was asked to do.
    pub prompt: Option<String>,
    /// The command line of a `shell` agent; empty for the others.
    pub command: Vec<String>,
    /// What somebody wants.
    pub desired: Desired,
    /// Whether a person said that the worktree may go with everything in it.
    pub discard: bool,
    /// Where it stands.
    pub phase: Phase,
    /// When it entered that phase.
    pub phase_at: Timestamp,
    /// The run of the agent: 1 for the first, one more for every restore.
    pub generation: u32,
    /// The launch's secret number, 32 hex digits; a hook that does not know it is not this run's.
    pub secret: String,
    /// The repository, as its project had it when the session was made.
    pub repo: Utf8PathBuf,
    /// What the branch starts from.
    pub base: String,
    /// The session's branch.
    pub branch: String,
    /// Whether that branch was there before and is only checked out.
    pub branch_given: bool,
    /// Where the worktree lies or will lie.
    pub worktree: Utf8PathBuf,
    /// What became of it.
    pub worktree_state: WorktreeState,
    /// What it held when it was last weighed; empty when nothing.
    pub holdings: Vec<Holding>,
    /// The commit that has everything a discarded worktree held, or what git still kept of one whose directory somebody deleted.
    pub rescue_ref: Option<String>,
    /// What the agent last said.
    pub activity: Activity,
    /// When this generation was first heard of through its hooks.
    pub first_signal_at: Option<Timestamp>,
    /// What is known of the process; `None` before its first launch.
    pub process: Option<ProcessFacts>,
    /// The agent's own session id.
    pub native_id: Option<String>,
    /// What it works on, in the agent's words: its newest prompt, in one line.
    pub title: Option<String>,
    /// What the agent said last, at the end of a turn.
    pub last_message: Option<String>,
    /// What it calls the conversation by itself.
    pub summary: Option<String>,
    /// The tool that it uses, or wants to use once a person has decided.
    pub tool: Option<String>,
    /// Why it is in the state that it last said, in its own words.
    pub said_why: Option<String>,
    /// What its screen asks, while a dialog is open.
    pub dialog: Option<Dialog>,
    /// What it waits for in the middle of its work: another try after an error.
    pub delay: Option<Delay>,
    /// What ended its last turn, where that was an error.
    pub trouble: Option<String>,
    /// The used-up quota that it was refused for last, and has not worked since.
    pub wall: Option<Wall>,
    /// How many messages to it are neither delivered nor given up.
    pub messages_waiting: u32,
    /// Since when the oldest of them waits.
    pub waiting_since: Option<Timestamp>,
    /// Its pull requests, oldest first.
    pub prs: Vec<PrSummary>,
    /// How many of them had been merged when it was restored last: only a merge after that completes it.
    pub merged_before: u32,
    /// Whether its worktree stays as it is, until somebody wants it gone.
    pub spares_worktree: bool,
    /// What it is made with beyond its agent.
    pub setup: SessionSetup,
    /// How far its worktree is furnished.
    pub provisioning: Option<Provisioning>,
    /// Its place in the line: the lower goes first. No two are alike, and none comes twice.
    pub ticket: u64,
    /// What it waits for, while it is the first of the line and cannot go on.
    pub queued_for: Option<QueuedFor>,
    /// The orchestrator that is ended once this one is live.
    pub replaces: Option<SessionId>,
    /// Whether the code in its worktree is, or may be, that of somebody who may not write to the repository.
    pub foreign_code: bool,
    /// The model it was asked for; `None` is the agent's own choice.
    pub model: Option<String>,
    /// What it may do without asking.
    pub permissions: PermissionMode,
    /// Why it ended.
    pub end_reason: Option<EndReason>,
    /// When the agent ended, or the session failed.
    pub ended_at: Option<Timestamp>,
    /// What went wrong last, in one line with its cause; kept until the step succeeds.
    pub failure: Option<String>,
    /// Counts every change that the API shows, and every status that changed with time alone.
    pub revision: u64,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Variables; of a name that is there twice, the last value.
pub fn later_wins(all: impl IntoIterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = Vec::new();
    for (name, value) in all {
        env.retain(|(known, _)| *known != name);
        env.push((name, value));
    }
    env
}

impl Session {
    /// What its agent inherits: the daemon's environment with its project's variables.
    pub fn environment(&self, daemons: &[(String, String)]) -> Vec<(String, String)> {
        later_wins(daemons.iter().cloned().chain(self.setup.env.clone()))
    }

    /// The commands that are run in its worktree once that is made. In a stranger's code they would be the stranger's, and nobody was
    /// asked yet: none is run there.
    pub fn post_create(&self) -> &[String] {
        if self.foreign_code {
            &[]
        } else {
            &self.setup.post_create
        }
    }

    /// Who may remove the worktree.
    pub fn owner(&self) -> crate::WorktreeOwner {
        crate::WorktreeOwner {
            session: self.id.clone(),
            repo: self.repo.clone(),
            path: self.worktree.clone(),
            branch: self.branch.clone(),
        }
    }

    /// Whether the agent is over, for good or until somebody restores it, or is being ended.
    pub fn is_terminated(&self) -> bool {
        matches!(
            self.phase,
            Phase::Finished | Phase::Stopping | Phase::Freeing | Phase::Ended
        )
    }

    /// The wall that it waits at, at `now`.
    pub fn wall_at(&self, now: Timestamp) -> Option<Wall> {
        self.wall
            .filter(|wall| self.activity.state == ActivityState::Idle && wall.stands(now))
    }

    /// Whether it ended without anybody's will, and nothing has been done about it since: it waits to be restored.
    pub fn is_lost(&self) -> bool {
        matches!(self.phase, Phase::Finished | Phase::Ended)
            && self.desired == Desired::Run
            && self.worktree_state == WorktreeState::Active
            && self.end_reason.is_some_and(EndReason::is_loss)
    }
}
