//! What goes over the wire, both ways: the CLI reads and writes these same types.
//!
//! A type that is asked with refuses keys it does not know, so that a slip of the pen is not passed over in
//! silence. A type that is answered with may grow: a client that reads it ignores what it does not know.
//!
//! Launch secrets have no place in any of these types and so never leave the daemon.

mod agent;
mod control;
mod error;
mod event;
mod gateway;
mod leftover;
mod message;
mod notice;
mod orchestrator;
mod project;
mod pull_request;
mod session;
mod tree;
mod words;

pub use agent::{Agent, AgentAnswer, AgentList, Capabilities, Finding};
pub use control::{Health, SERVICE};
pub use error::ErrorBody;
pub use event::Event;
pub use gateway::{Budget, Budgets, Gateway, GatewayList, TokenState};
pub use leftover::{Leftover, LeftoverList, Unread};
pub use message::{
    AnswerDialog, By, Choice, Dialog, Message, MessageAnswer, MessageList, MessageSent, SendMessage,
};
pub use notice::{Notice, NoticeList};
pub use orchestrator::{OrchestratorAnswer, OrchestratorRef, StartOrchestrator};
pub use project::{
    AddProject, MoveProject, Project, ProjectAnswer, ProjectGot, ProjectHealth, ProjectKind, ProjectList,
    ProjectRemoved, ProjectSummary, SetProjectConfig,
};
pub use pull_request::{
    Check, ClaimPr, Claimed, Episode, PrClaimed, PrGot, PrList, PrSummary, PullRequest, SessionPrs, Told,
};
pub use session::{
    Activity, ActivitySet, CleanedUp, Doing, Exit, Holding, KillSession, Killed, Provisioning, Queue,
    RenameSession, RestoreSession, RolledBack, Saved, Session, SessionAnswer, SessionList, SetActivity,
    Skipped, SpawnSession, Worktree,
};
pub use tree::{
    Beat, LastExit, Node, NodeType, Parked, Restarts, Tree, TreeDone, TreeEvent, TreeLagged, TreePath,
};
pub use words::Status;
