//! Looking after worktrees beyond one session's life: what moved is found again, and what was left over is named and,
//! where that is safe, taken back.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use super::PortFuture;
use super::worktrees::{Owned, WorktreeError};
use crate::{Project, Session, SessionId, Timestamp, WorktreeOwner};

/// Something outside our database that carries a name of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// What it is.
    pub thing: Thing,
    /// The repository it was found in, or that our record names; `None` where neither says.
    pub repo: Option<Utf8PathBuf>,
    /// The session that its name, or our record, speaks of. A name alone proves nothing.
    pub session: Option<SessionId>,
    /// Our own record of it. `None` makes it foreign: it is told and never touched.
    pub record: Option<Owned>,
    /// When it was last changed, as far as that can be told.
    pub changed_at: Option<Timestamp>,
    /// Whether [`Upkeep::reclaim`] would take it, if it were asked now.
    pub standing: Standing,
}

/// The kinds of things that carry our names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A directory where only worktrees of ours lie.
    Directory {
        /// Where.
        path: Utf8PathBuf,
    },
    /// Our record of a worktree that is not there.
    Record {
        /// Where the worktree was.
        path: Utf8PathBuf,
        /// On which branch.
        branch: String,
    },
    /// A session's folder of locks and records that holds no record.
    LockFolder {
        /// Where.
        path: Utf8PathBuf,
    },
    /// What git keeps of a worktree where only ours lie, and whose directory is not there.
    Registration {
        /// The directory it speaks of.
        path: Utf8PathBuf,
    },
    /// A branch whose name begins with `ao/`.
    Branch {
        /// Its name, without `refs/heads/`.
        name: String,
        /// Its commit.
        tip: String,
        /// How many of its commits are on no other branch, no remote's branch but its own copy, and no tag.
        own_commits: usize,
        /// The worktree that has it checked out.
        checked_out: Option<Utf8PathBuf>,
    },
    /// A ref that keeps what a discarded worktree held.
    Rescue {
        /// Its name, `refs/ao/rescue/<session>/<number>`.
        name: String,
        /// Its commit.
        commit: String,
    },
}

/// What is known of a trace without our database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is as a living session leaves it.
    InUse,
    /// It is of no use to anybody, by our record and by git's word: it may go.
    Leftover,
    /// It is ours, but holds what is nowhere else, or might.
    Keeps,
    /// No record of ours speaks of it.
    Foreign,
}

/// What was found, and where nothing could be found out.
#[derive(Debug, Default)]
pub struct Traces {
    /// By kind, then by name.
    pub found: Vec<Trace>,
    /// Repositories that could not be asked.
    pub unread: Vec<(Utf8PathBuf, WorktreeError)>,
}

/// What became of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reclaimed {
    /// It is gone, or was already.
    Gone {
        /// The ref under which was saved what git still kept of it and nothing else held.
        rescued: Option<String>,
    },
    /// It stays: looked at again, it is not, or no longer, a leftover.
    Stays,
}

/// A worktree that our record placed under another root.
#[derive(Debug)]
pub struct Rebased {
    /// Whose it is, with its path as it is now (or would be, where that failed).
    pub owner: WorktreeOwner,
    /// Why git still knows it by its old path. Repeating is safe.
    pub failed: Option<WorktreeError>,
}

/// The one who finds what moved and what is left over. Every method is safe to repeat and may be cut anywhere.
pub trait Upkeep: Send + Sync + 'static {
    /// The repository of `owner` is at `repo` now: git's record of the worktree and the worktree find each other again, and our
    /// record says so. Answers the owner as he is from now on. Refuses a repository that has no record of the worktree, and one that
    /// did not move. Where there is no worktree, only our record changes.
    fn relocate<'a>(
        &'a self,
        owner: &'a WorktreeOwner,
        repo: &'a Utf8Path,
    ) -> PortFuture<'a, Result<WorktreeOwner, WorktreeError>>;

    /// The folder of all worktrees was at `from` and is where it is now: every record of a worktree under `from`, ours and git's,
    /// follows. Call it before anything else works on worktrees. One that fails holds up no other.
    fn rebase<'a>(&'a self, from: &'a Utf8Path) -> PortFuture<'a, Result<Vec<Rebased>, WorktreeError>>;

    /// Everything with a name of ours in the folders of worktrees and locks, and in `repos`. Changes nothing.
    fn traces<'a>(&'a self, repos: &'a [Utf8PathBuf]) -> PortFuture<'a, Result<Traces, WorktreeError>>;

    /// Takes `trace` back if it is a leftover now, looked at again under its session's lock. Whether a session that still runs needs
    /// it is for the caller to know.
    fn reclaim<'a>(&'a self, trace: &'a Trace) -> PortFuture<'a, Result<Reclaimed, WorktreeError>>;
}

/// Where anything of ours may be: every project's repository, and those that sessions were made in.
pub fn repositories(projects: &[Project], sessions: &[Session]) -> Vec<Utf8PathBuf> {
    let of_projects = projects.iter().map(|project| project.path.clone());
    let of_sessions = sessions.iter().map(|session| session.repo.clone());
    let all: BTreeSet<Utf8PathBuf> = of_projects.chain(of_sessions).collect();
    all.into_iter().collect()
}
