//! Git worktrees: made once, weighed, and taken back only when nothing is lost.
//!
//! # Theory of operation
//! A session has one worktree, at `<root>/<project>/<session>`, and one lock, under which everything here is done
//! (`lock`). Before git makes the worktree a record says whose it will be (`record`); git's registry and that record
//! together tell any later call how far a killed predecessor came, and the first thing every call does is to finish or
//! undo that (`settle`). Nothing is remembered in memory.
//!
//! A git that only looks dies with its caller. A git that writes holds the lock itself and goes on when its caller is
//! dropped or the daemon killed; the next call waits for it, and past its deadline ends it. So never two work on one
//! session, and every method may be dropped at any `.await`.
//!
//! What somebody else broke between a worktree and its repository is mended before the worktree is used or weighed (`mend`,
//! `attach`), and what git keeps for a directory that is gone is saved before it goes (`missing`). What moved as a whole is
//! followed when the caller says so (`moved`); what was left over is listed and taken back (`traces`, `reclaim`).
//!
//! # What it does not do
//! It runs no hook, fetches nothing and prunes nothing. It has git delete no file, and deletes no directory itself that
//! git and the record do not confirm and that was not weighed. What it puts into a worktree beside git's checkout is said in
//! `provision`, which also knows it again.
//!
//! Needs git 2.36 or later (`worktree list -z`).

mod attach;
mod create;
mod disposable;
mod git;
mod link;
mod lock;
mod mend;
mod missing;
mod moved;
mod provision;
mod reclaim;
mod record;
mod refs;
mod registry;
mod remove;
mod rescue;
mod run;
mod settle;
mod status;
mod submodules;
mod traces;
mod weigh;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::time::Duration;

use ao_domain::port::PortFuture;
use ao_domain::port::upkeep::{Rebased, Reclaimed, Trace, Traces, Upkeep};
use ao_domain::port::worktrees::{Made, Owned, Removal, WorktreeError, WorktreePlan, Worktrees};
use ao_domain::{Holding, Repository, WorktreeOwner};
use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use create::not_ours;
use disposable::Disposable;
use git::Git;
use lock::Lock;

pub use provision::{Bounds, WorktreeProvisioner};

/// The work tree of the repository that `repo` belongs to: itself, or what it is a worktree of. `None` where there is none.
pub(crate) fn main_checkout(repo: &Utf8Path) -> Option<Utf8PathBuf> {
    let common = Utf8PathBuf::from_path_buf(link::repository(repo)?).ok()?;
    (common.file_name() == Some(".git")).then(|| common.parent().map(Utf8Path::to_owned))?
}

/// Where things lie and how long git may take.
#[derive(Clone, Debug)]
pub struct GitConfig {
    /// The managed folder: a worktree outside it is never touched.
    pub root: Utf8PathBuf,
    /// A folder per session for its lock and its record.
    pub locks: Utf8PathBuf,
    /// Ignored files that may go without a question, beyond the folders of builds: names such as `*.log`, or paths from
    /// the top of a worktree such as `data/cache`.
    pub disposable: Vec<String>,
    /// How long one git may take; a checkout may take five times that. Also how long a session's lock is waited for
    /// when its holder does not say how long it works.
    pub deadline: Duration,
    /// `PATH` for git and what it starts, such as filters.
    pub path: OsString,
}

/// The worktrees of all sessions on this machine.
#[derive(Clone, Debug)]
pub struct GitWorktrees {
    git: Git,
    root: Utf8PathBuf,
    locks: Utf8PathBuf,
    disposable: Disposable,
}

impl GitWorktrees {
    /// Touches nothing yet.
    pub fn new(config: GitConfig) -> Self {
        Self {
            git: Git::on(config.path, config.deadline),
            root: config.root,
            locks: config.locks,
            disposable: Disposable::new(&config.disposable),
        }
    }

    /// Gives every git this variable beyond what this process has, such as another `HOME`.
    pub fn with_env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.git.env.push((name.into(), value.into()));
        self
    }

    /// What the worktree holds that exists nowhere else, as [`Worktrees::remove`] weighs it; empty when it may go. `None`
    /// when it is not there.
    ///
    /// # Errors
    ///
    /// What kept git from looking; nothing was touched.
    pub async fn weigh(&self, owner: &WorktreeOwner) -> Result<Option<Vec<Holding>>, WorktreeError> {
        let lock = self.lock(owner).await?;
        let weighed = self.weigh_under(&lock, owner).await;
        close(lock);
        weighed
    }

    /// The session's lock, once the worktree is known to lie where only ours lie.
    async fn lock(&self, owner: &WorktreeOwner) -> Result<Lock, WorktreeError> {
        let inside = owner.path.strip_prefix(&self.root).ok().is_some_and(|path| {
            path.components().count() > 1
                && path
                    .components()
                    .all(|part| matches!(part, Utf8Component::Normal(_)))
        });
        if !inside {
            return Err(not_ours(owner));
        }
        let lock = Lock::take(&self.locks, &owner.session, self.git.deadline).await?;
        provision::company::settle(&lock, owner.session.as_str()).await?;
        Ok(lock)
    }
}

/// Leaves no folder behind that has nothing to remember.
fn close(lock: Lock) {
    if !lock.folder().join("owner.json").exists()
        && let Err(error) = lock.forget()
    {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "the session's lock folder stays");
    }
}

impl Worktrees for GitWorktrees {
    fn repository<'a>(&'a self, path: &'a Utf8Path) -> PortFuture<'a, Result<Repository, WorktreeError>> {
        Box::pin(refs::repository(&self.git, path))
    }

    fn fetch_pull<'a>(
        &'a self,
        owner: &'a WorktreeOwner,
        number: u64,
    ) -> PortFuture<'a, Result<(), WorktreeError>> {
        Box::pin(async move {
            if link::repository(&owner.repo).is_none() {
                return Err(create::repository_gone(owner));
            }
            let lock = self.lock(owner).await?;
            let fetched = refs::fetch_pull(&self.git, &lock, owner, number).await;
            close(lock);
            fetched.map_err(|error| link::explained(&owner.repo, error))
        })
    }

    fn create<'a>(&'a self, plan: &'a WorktreePlan) -> PortFuture<'a, Result<Made, WorktreeError>> {
        Box::pin(async move {
            if !refs::is_branch_name(&plan.owner.branch) {
                return Err(WorktreeError::InvalidBranch {
                    branch: plan.owner.branch.clone(),
                });
            }
            if link::repository(&plan.owner.repo).is_none() {
                return Err(create::repository_gone(&plan.owner));
            }
            let lock = self.lock(&plan.owner).await?;
            let made = self.create_under(&lock, plan).await;
            close(lock);
            made.map_err(|error| link::explained(&plan.owner.repo, error))
        })
    }

    fn remove<'a>(
        &'a self,
        owner: &'a WorktreeOwner,
        discard: bool,
        build_folders: &'a [String],
    ) -> PortFuture<'a, Result<Removal, WorktreeError>> {
        Box::pin(async move {
            let lock = self.lock(owner).await?;
            let trees = Self {
                disposable: self.disposable.with(build_folders),
                ..self.clone()
            };
            let removed = trees.remove_under(&lock, owner, discard).await;
            close(lock);
            removed.map_err(|error| link::explained(&owner.repo, error))
        })
    }

    fn has_commit<'a>(
        &'a self,
        repo: &'a Utf8Path,
        branch: &'a str,
        commit: &'a str,
    ) -> PortFuture<'a, Result<bool, WorktreeError>> {
        Box::pin(refs::has_commit(&self.git, repo, branch, commit))
    }

    fn owned(&self) -> PortFuture<'_, Result<Vec<Owned>, WorktreeError>> {
        let locks = self.locks.clone();
        Box::pin(async move {
            let path = locks.clone();
            record::blocking("reading the ownership records", &path, move || {
                record::Record::all(&locks)
            })
            .await
        })
    }
}

impl Upkeep for GitWorktrees {
    fn relocate<'a>(
        &'a self,
        owner: &'a WorktreeOwner,
        repo: &'a Utf8Path,
    ) -> PortFuture<'a, Result<WorktreeOwner, WorktreeError>> {
        Box::pin(async move {
            let lock = self.lock(owner).await?;
            let moved = self.relocate_under(&lock, owner, repo).await;
            close(lock);
            moved
        })
    }

    fn rebase<'a>(&'a self, from: &'a Utf8Path) -> PortFuture<'a, Result<Vec<Rebased>, WorktreeError>> {
        Box::pin(self.rebase_all(from))
    }

    fn traces<'a>(&'a self, repos: &'a [Utf8PathBuf]) -> PortFuture<'a, Result<Traces, WorktreeError>> {
        Box::pin(self.all_traces(repos))
    }

    fn reclaim<'a>(&'a self, trace: &'a Trace) -> PortFuture<'a, Result<Reclaimed, WorktreeError>> {
        Box::pin(self.reclaim_one(trace))
    }
}

/// Whether something lies at `path`, be it a link that leads nowhere.
fn is_there(path: &Utf8Path) -> Result<bool, WorktreeError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(record::io_error("looking", path)(error)),
    }
}

/// Whether nothing lies at `path`, or an empty directory.
fn is_empty(path: &Utf8Path) -> Result<bool, WorktreeError> {
    if !is_there(path)? {
        return Ok(true);
    }
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(record::io_error("looking", path)(error)),
    }
}
