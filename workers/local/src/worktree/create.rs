//! Making a worktree and its branch, once, however often it is begun.
//!
//! The order is: settle what an interrupted predecessor left, look, write down whose it will be, let git make it, write
//! down that it was made. Killed anywhere, the next call finds by git's registry and the record which step it was.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;

use ao_domain::WorktreeOwner;
use ao_domain::port::worktrees::{Made, WorktreeError, WorktreePlan};

use super::lock::Lock;
use super::record::{Record, Stage, io_error};
use super::refs::{self, Names};
use super::registry::{self, Entry, Place};
use super::run::Meetings;
use super::{GitWorktrees, is_empty, is_there};

/// How many times the usual deadline a checkout may take: the one thing here that grows with the repository.
const CHECKOUT: u32 = 5;

impl GitWorktrees {
    pub(super) async fn create_under(&self, lock: &Lock, plan: &WorktreePlan) -> Result<Made, WorktreeError> {
        let mut meetings = Meetings::default();
        loop {
            match self.create_once(lock, plan).await {
                // The branch may have been made already, so all is looked at anew.
                Err(error) if meetings.again(&error).await => {}
                other => return other,
            }
        }
    }

    async fn create_once(&self, lock: &Lock, plan: &WorktreePlan) -> Result<Made, WorktreeError> {
        let owner = &plan.owner;
        self.settle(lock, owner).await?;
        let record = Record::of(lock, owner)?;
        let mut saved = None;
        // Nothing there and nothing remembered, as in every first spawn: what git has registered is then not worth a
        // process. Should it be a worktree without a directory, git says so below.
        let fresh = record.is_none() && !is_there(&owner.path)?;
        let (names, entries) = if fresh {
            (refs::names(&self.git, plan).await?, None)
        } else {
            let list = registry::list(&self.git, &owner.repo);
            let (names, entries) = tokio::try_join!(refs::names(&self.git, plan), list)?;
            match registry::of(owner, &entries) {
                Some(entry) if !is_empty(&owner.path)? => {
                    Self::mend_link(owner, &entry, record.as_ref())?;
                    if Place::confirm(&owner.path, owner, &entry).is_some() {
                        self.mend_branch(lock, owner, &entry).await?;
                    }
                    return self.adopt(lock, owner, &entry, record).await;
                }
                Some(entry) => {
                    if let Ok(Some(_)) = self.mend_branch(lock, owner, &entry).await {
                        return Box::pin(self.create_once(lock, plan)).await; // with its branch now
                    }
                    saved = self.unregister_missing(lock, owner, &entry).await?;
                    self.unfurnish(lock, owner).await?; // of what was put into it nothing is there
                }
                None if !is_empty(&owner.path)? => {
                    if !self.mend_back(lock, owner, record.as_ref()).await? {
                        self.attach(lock, plan, record.as_ref(), &entries).await?;
                    }
                    return Box::pin(self.create_once(lock, plan)).await; // it is taken over
                }
                None => {}
            }
            (names, Some(entries))
        };
        let mut registered = false;
        if names.branch.is_some() {
            let entries = match entries {
                Some(entries) => entries,
                None => registry::list(&self.git, &owner.repo).await?,
            };
            free(owner, &entries)?;
            registered = registry::of(owner, &entries)
                .is_some_and(|entry| entry.branch.as_ref() == Some(&owner.branch));
        }
        let (start, made_at) = choose(plan, &names, record.as_ref(), registered)?;
        if let Some(folder) = owner.path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(io_error("making the worktree's folder", folder))?;
        }
        let record = Record::making(owner, start.clone(), made_at, record.as_ref(), saved)?;
        record.note(lock).await?;
        let add = self
            .git
            .call(&owner.repo, "worktree")
            .args(["add", "--quiet"])
            .patient(CHECKOUT);
        let mut add = match names.branch {
            Some(_) => add.arg("--").arg(&owner.path).arg(&owner.branch),
            // Without an upstream: a bare `git push` must never reach the default branch.
            None => add
                .args(["--no-track", "-b", &owner.branch, "--"])
                .arg(&owner.path)
                .arg(&start),
        };
        // The record is there before git begins, for whoever comes after a kill. That it also outlasts a power cut may
        // take as long as the checkout, so both go on at once; cut before it does, a half-made directory is left that
        // is taken for nobody's and kept.
        let (added, flushed) = tokio::join!(add.act_once(lock), Record::flush(lock));
        flushed?;
        match added {
            Err(WorktreeError::Git { .. })
                if fresh
                    && registry::find(&self.git, owner)
                        .await?
                        .is_some_and(|entry| !entry.is_half_made()) =>
            {
                Box::pin(self.create_once(lock, plan)).await // with a record now, so it looks
            }
            other => {
                other?;
                let record = record.at(Stage::Made);
                record.note(lock).await?;
                Ok(record.made())
            }
        }
    }

    /// Takes the worktree that stands there for the one that was to be made, and leaves it as it is.
    async fn adopt(
        &self,
        lock: &Lock,
        owner: &WorktreeOwner,
        entry: &Entry,
        record: Option<Record>,
    ) -> Result<Made, WorktreeError> {
        let on_branch = entry.branch.as_ref() == Some(&owner.branch);
        let handed_over = record.as_ref().is_some_and(|record| record.stage == Stage::Made);
        // Once it was handed over, which branch is checked out there is the agent's business.
        let confirmed = Place::confirm(&owner.path, owner, entry).is_some() && !entry.is_half_made();
        if !confirmed || !(on_branch || handed_over) {
            return Err(not_ours(owner));
        }
        let start = entry.head.clone().unwrap_or_default();
        let record = record
            .unwrap_or_else(|| Record::new(owner, start, None, Stage::Made))
            .at(Stage::Made);
        if !handed_over {
            record.save(lock).await?;
        }
        Ok(record.made())
    }
}

/// Refuses a branch that another worktree has checked out.
pub(super) fn free(owner: &WorktreeOwner, entries: &[Entry]) -> Result<(), WorktreeError> {
    match registry::elsewhere(owner, entries) {
        None => Ok(()),
        Some(entry) => Err(WorktreeError::CheckedOutElsewhere {
            branch: owner.branch.clone(),
            elsewhere: entry.path.to_string_lossy().into_owned().into(),
        }),
    }
}

/// What is checked out, and where our branch was made if it is ours. `registered` says that git knew our worktree on it.
fn choose(
    plan: &WorktreePlan,
    names: &Names,
    record: Option<&Record>,
    registered: bool,
) -> Result<(String, Option<String>), WorktreeError> {
    let owner = &plan.owner;
    let Some(tip) = &names.branch else {
        let start = names.start.clone().ok_or_else(|| WorktreeError::BaseNotFound {
            base: plan.base.clone(),
        })?;
        // A session that comes back is given the branch it had; where that went with its worktree, it is made anew.
        let ours = !plan.branch_given || owner.branch == owner.session.own_branch();
        return Ok((start.clone(), ours.then_some(start)));
    };
    // Ours by the record; or, where that was lost, by git's, as far as it says nothing that the base does not. A name is no proof.
    let made_at = record
        .and_then(|record| record.made_at.clone())
        .or_else(|| names.start.clone().filter(|base| registered && base == tip));
    if made_at.is_some() || plan.branch_given || registered {
        return Ok((tip.clone(), made_at));
    }
    Err(WorktreeError::BranchExists {
        branch: owner.branch.clone(),
    })
}

pub(super) fn not_ours(owner: &WorktreeOwner) -> WorktreeError {
    WorktreeError::NotOurs {
        path: owner.path.clone(),
    }
}

pub(super) fn repository_gone(owner: &WorktreeOwner) -> WorktreeError {
    WorktreeError::RepositoryGone {
        repo: owner.repo.clone(),
        path: owner.path.clone(),
    }
}
