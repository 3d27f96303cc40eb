//! Sessions: one agent, one worktree, one terminal each.

use ao_derive::Shown;
use ao_domain::foreign_text::in_line;
use ao_domain::{
    ActivityState, Desired, EndReason, Looked, PermissionMode, Phase, ProjectId, QueuedFor, SessionId,
    SessionKind, Timestamp, WorktreeState, undo_line,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::message::Dialog;
use super::pull_request::{Claimed, PrSummary};
use super::words::{self, Status};

/// Longest reason, in characters. Names of checks and errors stand in it, which are others' words.
const REASON: usize = 1_000;

/// What a living agent does, as far as anybody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// It works.
    Working,
    /// A dialog is open: a person has to decide.
    NeedsDecision,
    /// It waits for work.
    WaitingForWork,
    /// It is not alive, has not said anything yet, or nobody knows.
    None,
}

/// What the agent last said about itself, and what it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Activity {
    /// Its last word.
    #[schema(value_type = words::ActivityState)]
    pub state: ActivityState,
    /// When it entered that state; repeats do not move it.
    #[schema(value_type = String, format = DateTime)]
    pub last_activity_at: Timestamp,
    /// What it does now.
    pub doing: Doing,
}

/// How the agent's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It called exit with this status.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl From<ao_domain::Exit> for Exit {
    fn from(exit: ao_domain::Exit) -> Self {
        match exit {
            ao_domain::Exit::Code(code) => Self::Code(code),
            ao_domain::Exit::Signal(signal) => Self::Signal(signal),
        }
    }
}

/// Something in a worktree that exists nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Holding {
    /// `modified`, `untracked`, `ignored`, `submodule`, `commits`, `operation` or `locked`.
    pub kind: String,
    /// In words, for a person.
    pub text: String,
    /// How many files or commits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The first few files, or the submodule, relative to the worktree.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Which branch, operation or lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl From<&ao_domain::Holding> for Holding {
    fn from(holding: &ao_domain::Holding) -> Self {
        use ao_domain::Holding as Held;
        let (kind, count, paths, name) = match holding {
            Held::Modified { count, paths } => ("modified", Some(*count), paths.clone(), None),
            Held::Untracked { count, paths } => ("untracked", Some(*count), paths.clone(), None),
            Held::Ignored { count, paths } => ("ignored", Some(*count), paths.clone(), None),
            Held::Submodule { path } => ("submodule", None, vec![path.clone()], None),
            Held::Commits { count, branch } => ("commits", Some(*count), Vec::new(), Some(branch.clone())),
            Held::Operation { name } => ("operation", None, Vec::new(), Some(name.clone())),
            Held::Locked { reason } => ("locked", None, Vec::new(), Some(reason.clone())),
        };
        Self {
            kind: kind.to_owned(),
            text: holding.to_string(),
            count: count.map(|count| count as u64),
            paths,
            name,
        }
    }
}

/// Where the session's files are, and what became of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Worktree {
    /// Where it lies, lay or will lie.
    pub path: String,
    /// What became of it.
    #[schema(value_type = words::WorktreeState)]
    pub state: WorktreeState,
    /// What it held that exists nowhere else, when it was last weighed.
    pub holdings: Vec<Holding>,
    /// The commit that has everything a discarded worktree held, or what git still had of one whose directory somebody deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rescue_ref: Option<String>,
    /// The line for a shell that brings back what the rescue ref has, beside the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how_to_bring_back: Option<String>,
    /// The line that removes one that is still there after its session's end; absent where it was kept because taking it back failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how_to_remove: Option<String>,
}

impl From<&ao_domain::Session> for Worktree {
    fn from(session: &ao_domain::Session) -> Self {
        // Where git failed and nothing is known to be held, discarding would fail in the same way.
        let held = session.worktree_state == WorktreeState::Kept && !session.holdings.is_empty();
        // One whose work was merged leaves its worktree as it is, unless its project wants it back.
        let left = session.worktree_state == WorktreeState::Active && session.phase == Phase::Ended;
        Self {
            path: session.worktree.to_string(),
            state: session.worktree_state,
            holdings: session.holdings.iter().map(Holding::from).collect(),
            rescue_ref: session.rescue_ref.clone(),
            how_to_bring_back: session
                .rescue_ref
                .as_ref()
                .map(|rescue| undo_line(&session.repo, rescue, &session.branch)),
            how_to_remove: if held {
                Some(format!("ao kill {} --discard", session.id))
            } else {
                left.then(|| format!("ao kill {}", session.id))
            },
        }
    }
}

/// A session's place in the line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// Counted from 1: the first is let in next.
    pub place: usize,
    /// How many wait.
    pub of: usize,
    /// What the first of them waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<words::QueuedFor>)]
    pub waits_for: Option<QueuedFor>,
}

/// How far a worktree is furnished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Provisioning {
    /// How many post-create commands have ended well.
    pub done: u32,
    /// How many there are.
    pub of: u32,
    /// The one that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doing: Option<String>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// The last line that was printed; only where one session is asked for, while a command runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_line: Option<String>,
    /// What was left out of links and copies, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
}

impl From<&ao_domain::Provisioning> for Provisioning {
    fn from(progress: &ao_domain::Provisioning) -> Self {
        Self {
            done: progress.done,
            of: progress.of,
            doing: progress.doing.as_ref().map(|line| in_line(line, REASON)),
            since: progress.since,
            last_line: None,
            skipped: progress.skipped.clone(),
        }
    }
}

/// A session as it stood when it was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// `<project>-<number>`.
    #[schema(value_type = String)]
    pub id: SessionId,
    /// Its project.
    #[schema(value_type = String)]
    pub project_id: ProjectId,
    /// The issue it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue_id: Option<String>,
    /// What it is for.
    #[schema(value_type = words::SessionKind)]
    pub kind: SessionKind,
    /// Its agent.
    pub harness: String,
    /// What holds its terminal.
    pub runtime: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What it works on, in the agent's words: its newest prompt, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What the agent said at the end of its last turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_message: Option<String>,
    /// What the agent calls the conversation by itself; absent where it calls it nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The tool that it uses, or wants to use once a person has decided; absent where it uses none, or does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The dialog that it has open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialog: Option<Dialog>,
    /// What ended its last turn, where that was an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Until when nothing is typed, because its agent's quota is used up; absent where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub wall_until: Option<Timestamp>,
    /// How many messages to it are neither delivered nor given up.
    #[serde(default)]
    pub messages_waiting: u32,
    /// The agent's own id of the conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native_id: Option<String>,
    /// The model it was asked for; absent where the agent chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it may do without asking.
    #[serde(default)]
    #[schema(value_type = words::PermissionMode, required)]
    pub permissions: PermissionMode,
    /// The command line of a `shell` agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The badge.
    pub status: Status,
    /// Why it is so, in one line.
    pub reason: String,
    /// Since when it is so.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// What the status was worked out from: `process`, `exit`, `hook`, `screen`, `phase` or `forge`.
    pub evidence: String,
    /// What the agent last said and does.
    pub activity: Activity,
    /// Where the session stands.
    #[schema(value_type = words::Phase)]
    pub phase: Phase,
    /// Its place in the line, while it waits to be let in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
    /// How far its worktree is furnished, while that is done and after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning: Option<Provisioning>,
    /// The orchestrator that is ended once this one is live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub replaces: Option<SessionId>,
    /// Whether the code in its worktree is, or may be, that of somebody who may not write to the repository: it was given a pull request
    /// of a fork.
    #[serde(default)]
    #[schema(required)]
    pub foreign_code: bool,
    /// What somebody wants of it.
    #[schema(value_type = words::Desired)]
    pub desired: Desired,
    /// The run of its agent: 1 for the first.
    pub generation: u32,
    /// Whether the agent is over, or is being ended.
    pub is_terminated: bool,
    /// The agent's process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_pid: Option<u32>,
    /// The process that holds its terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder_pid: Option<u32>,
    /// The terminal to attach to, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal_handle_id: Option<String>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<words::EndReason>)]
    pub end_reason: Option<EndReason>,
    /// How the agent's process ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Its branch.
    pub branch: String,
    /// What the branch started from.
    pub base: String,
    /// Its files.
    pub worktree: Worktree,
    /// Its pull requests, oldest first.
    pub prs: Vec<PrSummary>,
    /// Counts every change that is shown here.
    pub revision: u64,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl Session {
    /// The rows of a session and the status worked out from them, as one answer.
    pub(crate) fn new(session: &ao_domain::Session, shown: &Shown, queue: &[SessionId]) -> Self {
        let heard = session.first_signal_at.is_some();
        let doing = match shown.agent {
            ao_derive::Status::Working => Doing::Working,
            ao_derive::Status::NeedsInput => Doing::NeedsDecision,
            ao_derive::Status::Idle if heard => Doing::WaitingForWork,
            _ => Doing::None,
        };
        let process = session
            .process
            .as_ref()
            .filter(|process| process.generation == session.generation);
        // A terminal is there from the agent's start until its session is stopped: the last screen can be
        // looked at. An agent that lives with something to note about it lives without its terminal.
        let held = matches!(session.phase, Phase::Live | Phase::Finished)
            && process.is_some_and(|process| process.looked != Looked::Alive || process.note.is_none());
        Self {
            id: session.id.clone(),
            project_id: session.project.clone(),
            issue_id: session.issue.clone(),
            kind: session.kind,
            harness: session.harness.clone(),
            runtime: session.runtime.clone(),
            display_name: session.display_name.clone(),
            title: session.title.clone(),
            last_message: session.last_message.clone(),
            summary: session.summary.clone(),
            // What one used that is gone is used no more.
            tool: session
                .tool
                .clone()
                .filter(|_| matches!(doing, Doing::Working | Doing::NeedsDecision)),
            dialog: session.dialog.as_ref().map(Dialog::from),
            trouble: session.trouble.clone(),
            wall_until: shown.wall_until,
            messages_waiting: session.messages_waiting,
            native_id: session.native_id.clone(),
            model: session.model.clone(),
            permissions: session.permissions,
            command: session.command.clone(),
            status: shown.status.into(),
            reason: in_line(&shown.reason, REASON),
            since: shown.since,
            evidence: shown.evidence.to_owned(),
            activity: Activity {
                state: session.activity.state,
                last_activity_at: session.activity.since,
                doing,
            },
            phase: session.phase,
            queue: queue.iter().position(|id| *id == session.id).map(|before| Queue {
                place: before + 1,
                of: queue.len(),
                waits_for: session.queued_for,
            }),
            provisioning: session.provisioning.as_ref().map(Provisioning::from),
            replaces: session.replaces.clone(),
            foreign_code: session.foreign_code,
            desired: session.desired,
            generation: session.generation,
            // Its process may be known to be gone before its row has moved on.
            is_terminated: session.is_terminated() || shown.agent == ao_derive::Status::Terminated,
            agent_pid: process.and_then(|process| Some(process.agent.as_ref()?.pid)),
            holder_pid: process.and_then(|process| Some(process.holder.as_ref()?.pid)),
            terminal_handle_id: held.then(|| session.id.to_string()),
            end_reason: session.end_reason,
            exit: process.and_then(|process| process.exit).map(Exit::from),
            failure: session.failure.clone(),
            branch: session.branch.clone(),
            base: session.base.clone(),
            worktree: Worktree::from(session),
            prs: session.prs.iter().map(PrSummary::from).collect(),
            revision: session.revision,
            created_at: session.created_at,
            updated_at: session.updated_at,
        }
    }
}

/// Sessions, by project and number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionList {
    /// Those that were asked for.
    pub sessions: Vec<Session>,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionAnswer {
    /// The session.
    pub session: Session,
    /// The pull request that it was spawned with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claimed>,
}

/// Asks for a new session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SpawnSession {
    /// The project to work on.
    #[serde(default)]
    #[schema(required)]
    pub project_id: String,
    /// The issue it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue_id: Option<String>,
    /// `worker` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<words::SessionKind>)]
    pub kind: Option<String>,
    /// The agent; the daemon's `AO_AGENT` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harness: Option<String>,
    /// The model; the agent's own choice when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the agent may do without asking; `default` when absent: it asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<words::PermissionMode>)]
    pub permissions: Option<String>,
    /// The branch; `ao/<session id>` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// What a new branch starts from; the repository's default branch when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The pull request to work on, by its number or its address: the branch starts from its head, and it is the session's from then
    /// on. Goes with neither `branch` nor `base`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_pr: Option<String>,
    /// Whether that may be taken from another session whose agent is not over; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_takeover: Option<bool>,
    /// What the agent should do; at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The command line of a `shell` agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// What holds the terminal; the daemon's `AO_RUNTIME` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// Asks for the end of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KillSession {
    /// Removes the worktree even if it holds work that exists nowhere else; a rescue ref is written first.
    #[serde(default)]
    pub discard: bool,
}

/// Brings a session back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoreSession {
    /// Begins a new conversation with the session's prompt, or runs its command again.
    #[serde(default)]
    pub start_over: bool,
}

/// Calls a session by another name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenameSession {
    /// The name, one line; empty takes it away.
    #[serde(default)]
    #[schema(required)]
    pub display_name: Option<String>,
}

/// What became of a session that was to end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Killed {
    /// Always true: it is written down that the session is to end.
    pub ok: bool,
    /// Which session.
    #[schema(value_type = String)]
    pub session_id: SessionId,
    /// Where it stands; `ended` unless the time to wait ran out first.
    #[schema(value_type = words::Phase)]
    pub phase: Phase,
    /// Whether the worktree was taken back.
    pub freed: bool,
    /// The worktree.
    pub worktree: Worktree,
    /// The repository it belongs to: where a rescue ref is to be found.
    pub repo: String,
    /// What went wrong: of a worktree that was kept and holds nothing, why it was not taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl From<&ao_domain::Session> for Killed {
    fn from(session: &ao_domain::Session) -> Self {
        Self {
            ok: true,
            session_id: session.id.clone(),
            phase: session.phase,
            freed: session.worktree_state == WorktreeState::Removed,
            worktree: Worktree::from(session),
            repo: session.repo.to_string(),
            failure: session.failure.clone(),
        }
    }
}

/// What became of the sessions that were to be cleaned up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CleanedUp {
    /// Always true: it is written down which are to be cleaned up.
    pub ok: bool,
    /// Those whose worktrees were taken back.
    #[schema(value_type = Vec<String>)]
    pub cleaned: Vec<SessionId>,
    /// Those of them of which git still had something, after somebody had deleted the directory: it is saved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub saved: Vec<Saved>,
    /// Those whose worktrees stay.
    pub skipped: Vec<Skipped>,
}

/// A session of whose worktree something was saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Saved {
    /// Which.
    #[schema(value_type = String)]
    pub session_id: SessionId,
    /// Its worktree: where what was saved is, and how it comes back.
    pub worktree: Worktree,
}

/// A session whose worktree stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    /// Which.
    #[schema(value_type = String)]
    pub session_id: SessionId,
    /// Why, in one line.
    pub reason: String,
    /// Its worktree.
    pub worktree: Worktree,
}

/// What became of a spawn that was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolledBack {
    /// Always true: it is written down that the session is to end.
    pub ok: bool,
    /// Which session.
    #[schema(value_type = String)]
    pub session_id: SessionId,
    /// Whether nothing was made for it yet: there is no worktree and never was an agent. Its row stays, and so its number.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// Whether what was made for it was ended and taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub killed: bool,
}

/// Reports what an agent does, for agents without hooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetActivity {
    /// The state it is in.
    #[serde(default)]
    #[schema(value_type = words::ActivityState, required)]
    pub state: String,
}

/// The report lies in the session's spool and will be applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActivitySet {
    /// Always true.
    pub ok: bool,
    /// Which session.
    #[schema(value_type = String)]
    pub session_id: SessionId,
    /// What was reported.
    #[schema(value_type = words::ActivityState)]
    pub state: ActivityState,
}
