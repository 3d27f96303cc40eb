//! Ids, records and ports of ao, and their own laws.
//!
//! # What it is
//! The words every other crate speaks: what a session is ([`Session`]), where it stands ([`Phase`]), who is meant
//! ([`SessionId`], [`ProcessId`]), what is wanted ([`Desired`]) and what was seen ([`Look`]). The traits under
//! [`port`] name what ao needs from the outside; adapters in other crates serve them.
//!
//! # What it does not do
//! Nothing here reads a file, a clock or a database, spawns a task or decides anything: rules over several facts
//! live in `ao-derive`, deeds in `ao-act`.

mod claim;
mod error;
pub mod foreign_text;
mod id;
mod message;
pub mod port;
pub mod printed;
mod process;
mod project;
mod project_config;
mod pull_request;
mod seen;
mod session;
mod shared_path;
mod signal;
mod time;
mod worktree;

pub use claim::{Claim, ClaimRefusal, ClaimState};
pub use error::{Chain, chain};
pub use id::{InvalidId, ProjectId, SessionId};
pub use message::{
    Choice, Dialog, Menu, Message, MessageKind, MessageState, PROMPT_MAX, same_words, with_role,
};
pub use process::{Exit, ProcessId};
pub use project::Project;
pub use project_config::{AgentConfig, BadConfig, ProjectConfig, Reviewer, RoleConfig};
pub use pull_request::{
    Check, CheckStatus, Ci, Episode, EpisodeKind, Evidence, Mergeability, NoRepo, Notice, NoticeKind, Nudge,
    PrFacts, PrRef, PrState, PrSummary, PullRequest, RemoteRepo, Review, ci_of, newest,
};
pub use seen::{SESSION_SWEEP, Seen};
pub use session::{
    Activity, ActivityState, Desired, EndReason, Liveness, Looked, PermissionMode, Phase, ProcessFacts,
    Provisioning, QueuedFor, Session, SessionKind, SessionSetup, UnknownWord, WorktreeState, later_wins,
};
pub use shared_path::{InvalidSharedPath, shared_path};
pub use signal::{Delay, HookRecord, Signal, ToolUse, Wall};
pub use time::{InvalidTime, Timestamp};
pub use worktree::{Holding, Repository, WorktreeOwner, shell_word, undo_line};

pub use port::runtime::Look;
