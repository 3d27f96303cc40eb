//! Git worktrees: made, weighed, and taken back only when nothing is lost.

use camino::{Utf8Path, Utf8PathBuf};

use super::PortFuture;
#[cfg(doc)]
use crate::Claim;
use crate::{Holding, Repository, WorktreeOwner};

/// A worktree to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorktreePlan {
    /// Whose it is, where it goes, on which branch.
    pub owner: WorktreeOwner,
    /// What a new branch starts from, such as `origin/main` or `main`.
    pub base: String,
    /// Whether the branch may exist already (the person named it); else an existing one that is not this session's
    /// own is refused.
    pub branch_given: bool,
}

/// A worktree that stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// By which making: another one than before says that what was put into it is gone. `None` where no record tells.
    pub making: Option<String>,
    /// The rescue ref of what git still kept for the one before this, whose directory somebody had deleted.
    pub rescue: Option<String>,
}

/// What became of a worktree that was to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone; with `rescue`, everything it held is in that commit.
    Removed {
        /// The numbered rescue ref, when it was discarded and held something.
        rescue: Option<String>,
    },
    /// It holds work that exists nowhere else and stays as it is.
    Kept(Vec<Holding>),
    /// It was not there.
    Absent,
}

/// A worktree that a record on disk says is a session's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Whose it is, where it lies, on which branch.
    pub owner: WorktreeOwner,
    /// The commit it started from.
    pub start: String,
    /// Whether the branch was there before.
    pub branch_given: bool,
}

/// git or the file system did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum WorktreeError {
    /// The path is not there. Nothing was done.
    #[error("`{path}` is not there")]
    NoSuchPath {
        /// Which.
        path: Utf8PathBuf,
    },
    /// Not the top level of a git work tree. Nothing was done.
    #[error("`{path}` is not a git repository: run `git init` there, or name the right directory")]
    NotARepository {
        /// Which.
        path: Utf8PathBuf,
    },
    /// Inside a repository, but not its top.
    #[error("`{path}` lies inside the repository `{top}`: register that one")]
    NotTheTop {
        /// Which.
        path: Utf8PathBuf,
        /// The top.
        top: Utf8PathBuf,
    },
    /// A bare repository has no files to work on. Nothing was done.
    #[error("`{path}` is a bare repository: clone it and register the clone")]
    Bare {
        /// Which.
        path: Utf8PathBuf,
    },
    /// No commit to start from. Nothing was done.
    #[error("`{path}` has no commits yet: make the first one, then try again")]
    NoCommits {
        /// Which.
        path: Utf8PathBuf,
    },
    /// Not a legal branch name. Nothing was done.
    #[error("`{branch}` is not a legal branch name")]
    InvalidBranch {
        /// Which.
        branch: String,
    },
    /// The base is neither a branch nor a commit here. Nothing was done.
    #[error("`{base}` is not in the repository: fetch it, or name another base")]
    BaseNotFound {
        /// Which.
        base: String,
    },
    /// Another worktree has that branch. Nothing was done.
    #[error("branch `{branch}` is checked out in `{elsewhere}`: name another branch")]
    CheckedOutElsewhere {
        /// Which branch.
        branch: String,
        /// Where.
        elsewhere: Utf8PathBuf,
    },
    /// A branch of that name exists and is not this session's. Nothing was done.
    #[error("branch `{branch}` exists already: name it with --branch to work on it")]
    BranchExists {
        /// Which.
        branch: String,
    },
    /// Something that git does not confirm as ours lies there. It was not touched.
    #[error("`{path}` is not a worktree of this session: it was left alone")]
    NotOurs {
        /// Where.
        path: Utf8PathBuf,
    },
    /// The repository is not where it was, or is none any more. Nothing was done.
    #[error(
        "the repository `{repo}` is not there any more, so `{path}` was left alone: say where it is now with `ao project move`"
    )]
    RepositoryGone {
        /// Where it was.
        repo: Utf8PathBuf,
        /// The worktree.
        path: Utf8PathBuf,
    },
    /// The worktree's files are there, but git's own record of it is gone: the repository was cloned anew, or pruned while the
    /// worktree's disk was absent. Nothing was touched; making it again attaches it.
    #[error(
        "git in `{repo}` does not know `{path}` any more, so it was left alone: restoring its session attaches it again; or save what it holds and delete it by hand"
    )]
    Unregistered {
        /// The repository.
        repo: Utf8PathBuf,
        /// The worktree.
        path: Utf8PathBuf,
    },
    /// The same, and it cannot be attached to the repository again. Nothing was touched.
    #[error(
        "git in `{repo}` does not know `{path}` any more, and {why}: its files were left alone, save what you need of them, then delete it by hand"
    )]
    Unattachable {
        /// The repository.
        repo: Utf8PathBuf,
        /// The worktree.
        path: Utf8PathBuf,
        /// What stands against it.
        why: &'static str,
    },
    /// The branch checked out in the worktree is gone and nothing says where it stood. Nothing was touched.
    #[error(
        "branch `{branch}` of `{path}` is gone, and git has no note of where it stood: make it again with `git branch {branch} <commit>`, then try again"
    )]
    BranchGone {
        /// Which branch.
        branch: String,
        /// The worktree.
        path: Utf8PathBuf,
    },
    /// The worktree is not there, but git was told to expect it back, or keeps something of it that is nowhere else. Nothing was
    /// touched.
    #[error("`{path}` is not there, but git still keeps {what} for it, so it was left alone: {hint}")]
    StillKept {
        /// The worktree.
        path: Utf8PathBuf,
        /// What is kept.
        what: String,
        /// What a person can do.
        hint: String,
    },
    /// What is said to have moved is still where it was. Nothing was touched.
    #[error("`{path}` belongs to the repository `{repo}`, and that is still there: nothing was changed")]
    NotMoved {
        /// The worktree.
        path: Utf8PathBuf,
        /// Its repository.
        repo: Utf8PathBuf,
    },
    /// A copy of a worktree, while the first one is still there. Nothing was touched.
    #[error(
        "`{path}` is a copy of the worktree `{first}`, which is still there: delete one of them by hand, then try again"
    )]
    Copied {
        /// The copy.
        path: Utf8PathBuf,
        /// The one git knows.
        first: Utf8PathBuf,
    },
    /// The repository is not the one that the worktree was made in, such as a new clone. Nothing was touched.
    #[error(
        "git in `{repo}` has never known `{path}`, so it is not the repository that was at `{was}`: put that one there, or a new clone at `{was}`, and try again"
    )]
    OtherRepository {
        /// The one that was named.
        repo: Utf8PathBuf,
        /// The worktree.
        path: Utf8PathBuf,
        /// Where its own was.
        was: Utf8PathBuf,
    },
    /// Another process still works on this session and could not be ended. Nothing was done.
    #[error("another git still works on session `{session}`")]
    Busy {
        /// Whose.
        session: String,
    },
    /// The repository may not be written to, so git failed. What it had begun is finished or undone by the next call.
    #[error("`{path}` may not be written to: make it writable, then try again")]
    ReadOnly {
        /// The folder of git's.
        path: Utf8PathBuf,
    },
    /// git did not finish, or failed. Says nothing about the worktree: look again before concluding.
    #[error("`git {verb}` failed in `{path}`: {said}")]
    Git {
        /// The subcommand.
        verb: &'static str,
        /// Where.
        path: Utf8PathBuf,
        /// Its last words, at most about a kilobyte; `timed out` past the deadline.
        said: String,
    },
    /// The system refused. Look again before concluding.
    #[error("{doing} failed at `{path}`")]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// Where.
        path: Utf8PathBuf,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
}

/// The one who talks to git. Works on one session at a time: a second call for the same session waits for the first,
/// also for one that a killed daemon left running, and past a deadline ends that one.
pub trait Worktrees: Send + Sync + 'static {
    /// What lies at `path`. Refuses what cannot be worked on.
    fn repository<'a>(&'a self, path: &'a Utf8Path) -> PortFuture<'a, Result<Repository, WorktreeError>>;

    /// Fetches the head of the pull request `number` from the remote `origin`, as [`Claim::base_of`] names it: under the remotes,
    /// as what it is. Safe to repeat: what it stands at then is the newest.
    fn fetch_pull<'a>(
        &'a self,
        owner: &'a WorktreeOwner,
        number: u64,
    ) -> PortFuture<'a, Result<(), WorktreeError>>;

    /// Makes the worktree and its branch. Safe to repeat: where it stands already, it is left as it is; what a killed
    /// predecessor left half-made is finished or made anew.
    fn create<'a>(&'a self, plan: &'a WorktreePlan) -> PortFuture<'a, Result<Made, WorktreeError>>;

    /// Removes it if it holds nothing; with `discard`, whatever it holds, after writing a rescue ref. A branch that a
    /// removed worktree leaves without a commit of its own is removed too. `build_folders` names ignored folders that hold nothing,
    /// beyond the usual ones. Safe to repeat.
    fn remove<'a>(
        &'a self,
        owner: &'a WorktreeOwner,
        discard: bool,
        build_folders: &'a [String],
    ) -> PortFuture<'a, Result<Removal, WorktreeError>>;

    /// Whether `commit` is on `branch` of the repository at `repo`, or was when that branch was last pushed or fetched, be it gone
    /// here since. A commit that is not known here is not.
    fn has_commit<'a>(
        &'a self,
        repo: &'a Utf8Path,
        branch: &'a str,
        commit: &'a str,
    ) -> PortFuture<'a, Result<bool, WorktreeError>>;

    /// Every worktree that a record of ours says is there, by its session's name. What is left of the facts when the
    /// database is lost.
    fn owned(&self) -> PortFuture<'_, Result<Vec<Owned>, WorktreeError>>;
}
