//! Taking back what is left over: only what our record and git both say is ours, and what holds nothing. The trace that is
//! handed in says what was found once; all of it is looked at again, under the session's lock. A lock that somebody holds is
//! not waited for: who works on a session now leaves nothing over.

use ao_domain::port::upkeep::{Reclaimed, Thing, Trace};
use ao_domain::port::worktrees::{Removal, WorktreeError};
use camino::Utf8Path;

use super::create::repository_gone;
use super::link;
use super::lock::Lock;
use super::record::{Record, Stage};
use super::registry;
use super::traces::{ASIDE, forget_folder};
use super::{GitWorktrees, close, is_empty, is_there, refs};

/// With nothing to save.
const GONE: Reclaimed = Reclaimed::Gone { rescued: None };

impl GitWorktrees {
    pub(super) async fn reclaim_one(&self, trace: &Trace) -> Result<Reclaimed, WorktreeError> {
        if let (Thing::LockFolder { .. }, Some(session)) = (&trace.thing, &trace.session) {
            let gone = forget_folder(&self.locks, session)?;
            return Ok(if gone { GONE } else { Reclaimed::Stays });
        }
        let Some(owned) = &trace.record else {
            return Ok(Reclaimed::Stays);
        };
        if !is_there(&self.locks.join(owned.owner.session.as_str()))? {
            return Ok(Reclaimed::Stays); // its record is gone, and with it the proof
        }
        let Some(lock) = Lock::take_free(&self.locks, &owned.owner.session)? else {
            return Ok(Reclaimed::Stays);
        };
        let done = match Record::of(&lock, &owned.owner)? {
            Some(record) if record.path.starts_with(&self.root) => {
                self.reclaim_under(&lock, record, trace).await
            }
            _ => Ok(Reclaimed::Stays),
        };
        close(lock);
        done
    }

    async fn reclaim_under(
        &self,
        lock: &Lock,
        record: Record,
        trace: &Trace,
    ) -> Result<Reclaimed, WorktreeError> {
        let owner = record.owned().owner;
        if link::repository(&owner.repo).is_none() {
            return Err(repository_gone(&owner));
        }
        match &trace.thing {
            Thing::Directory { path } if is_aside(path) => {
                self.settle(lock, &owner).await?;
                Ok(if is_there(path)? { Reclaimed::Stays } else { GONE })
            }
            Thing::Record { .. } if record.stage == Stage::Gone => {
                if self.is_needed(&record).await? {
                    return Ok(Reclaimed::Stays);
                }
                Record::delete(lock)?;
                Ok(GONE)
            }
            Thing::Record { .. } if is_empty(&owner.path)? => {
                let removed = self.remove_under(lock, &owner, false).await?;
                Ok(match removed {
                    Removal::Kept(_) => Reclaimed::Stays,
                    Removal::Absent => GONE,
                    Removal::Removed { rescue } => Reclaimed::Gone { rescued: rescue },
                })
            }
            Thing::Branch { name, .. } if *name == owner.branch && record.stage == Stage::Gone => {
                self.reclaim_branch(lock, record).await
            }
            _ => Ok(Reclaimed::Stays),
        }
    }

    /// The branch of a removed worktree, which we made, that no worktree has checked out and that holds no commit alone.
    async fn reclaim_branch(&self, lock: &Lock, record: Record) -> Result<Reclaimed, WorktreeError> {
        let owner = record.owned().owner;
        let branch = format!("refs/heads/{}", owner.branch);
        let Some(tip) = refs::commit(&self.git, &owner.repo, &branch).await? else {
            return Ok(GONE);
        };
        let entries = registry::list(&self.git, &owner.repo).await?;
        let checked_out = entries
            .iter()
            .any(|entry| entry.branch.as_ref() == Some(&owner.branch));
        if record.made_at.is_none()
            || checked_out
            || self.own_commits(&owner.repo, &owner.branch, &tip).await? > 0
        {
            return Ok(Reclaimed::Stays);
        }
        // Only if it still stands where it was looked at.
        let call = self.git.call(&owner.repo, "update-ref");
        call.args(["-d", &branch, &tip]).act(lock).await?;
        if !self.is_needed(&record).await? {
            Record::delete(lock)?;
        }
        Ok(GONE)
    }
}

/// Whether a directory has a name that only a worktree has that leaves for good or is being attached.
fn is_aside(path: &Utf8Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    ASIDE[1..].iter().any(|aside| name.starts_with(aside))
}
