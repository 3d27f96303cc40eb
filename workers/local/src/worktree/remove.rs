//! Taking a worktree back, without ever deleting a file that was not weighed.
//!
//! Between weighing and deleting somebody may write a file, and an ignored one would be gone without a word. So the
//! directory is weighed where it stands, renamed aside, where nobody finds it by its path any more, and weighed there
//! once more; only then is it deleted, by us. Git is only told to forget it. What remains is a program that has the
//! directory itself open and writes into it in the last instant; the agent and its children have ended by then.
//! A worktree with submodules goes only when it is discarded, and is then rescued where it stands: a submodule's git
//! finds its files by a path that would lead nowhere.

use std::fs;
use std::path::PathBuf;

use ao_domain::port::worktrees::{Removal, WorktreeError};
use ao_domain::{Holding, WorktreeOwner};

use super::create::{not_ours, repository_gone};
use super::link;
use super::lock::Lock;
use super::mend::stray;
use super::provision::company;
use super::record::{Record, Stage, io_error};
use super::registry::{self, Entry, Place};
use super::settle::{aside, gone, put_back};
use super::traces::asides;
use super::weigh::{Weighed, named};
use super::{GitWorktrees, is_empty, is_there};

impl GitWorktrees {
    /// The worktree as git and the record confirm it; `None` when it is not there.
    pub(super) async fn standing(
        &self,
        lock: &Lock,
        owner: &WorktreeOwner,
    ) -> Result<Option<(Entry, Place)>, WorktreeError> {
        if is_empty(&owner.path)? {
            return Ok(None);
        }
        if link::repository(&owner.repo).is_none() {
            return Err(repository_gone(owner));
        }
        let record = Record::of(lock, owner)?;
        let mut found = registry::find(&self.git, owner).await?;
        if found.is_none() && self.mend_back(lock, owner, record.as_ref()).await? {
            found = registry::find(&self.git, owner).await?;
        }
        let mut entry = found.ok_or_else(|| stray(owner, record.as_ref()))?;
        Self::mend_link(owner, &entry, record.as_ref())?;
        let place = Place::confirm(&owner.path, owner, &entry).ok_or_else(|| not_ours(owner))?;
        match self.mend_branch(lock, owner, &entry).await {
            Ok(None) => {}
            Ok(mended) => entry.head = mended,
            // Then all its files are changes, and whatever its log names keeps it.
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(session = %owner.session, error, "the branch of a worktree is gone");
            }
        }
        if record.is_some() || entry.branch.as_ref() == Some(&owner.branch) {
            Ok(Some((entry, place)))
        } else {
            Err(not_ours(owner))
        }
    }

    pub(super) async fn weigh_under(
        &self,
        lock: &Lock,
        owner: &WorktreeOwner,
    ) -> Result<Option<Vec<Holding>>, WorktreeError> {
        self.settle(lock, owner).await?;
        let Some((entry, place)) = self.standing(lock, owner).await? else {
            return Ok(None);
        };
        let weighed = self.weigh_at(lock, owner, &entry, &place).await?;
        Ok(Some(weighed.holdings()))
    }

    pub(super) async fn remove_under(
        &self,
        lock: &Lock,
        owner: &WorktreeOwner,
        discard: bool,
    ) -> Result<Removal, WorktreeError> {
        self.settle(lock, owner).await?;
        let Some((entry, place)) = self.standing(lock, owner).await? else {
            return self.absent(lock, owner).await;
        };
        let weighed = self.weigh_at(lock, owner, &entry, &place).await?;
        if let Some(holdings) = self.stays(&place, &weighed, discard).await? {
            return Ok(Removal::Kept(holdings));
        }
        company::leave(lock, owner).await?;
        if Record::of(lock, owner)?.is_none() {
            // Without one nobody would look for what is moved aside, should we be killed.
            let start = weighed.head.unwrap_or_default();
            Record::new(owner, start, None, Stage::Made).save(lock).await?;
        }
        let aside = aside(owner);
        let mut there = place;
        if weighed.submodules.is_empty() {
            fs::rename(&owner.path, &aside).map_err(io_error("moving the worktree aside", &owner.path))?;
            there.tree.clone_from(&aside);
        }
        let left = self.leave(lock, owner, &entry, &there, discard).await;
        if !matches!(left, Ok(Removal::Removed { .. })) && is_there(&aside)? {
            put_back(&aside, owner)?;
        }
        left
    }

    /// From aside to gone.
    async fn leave(
        &self,
        lock: &Lock,
        owner: &WorktreeOwner,
        entry: &Entry,
        place: &Place,
        discard: bool,
    ) -> Result<Removal, WorktreeError> {
        let weighed = self.weigh_at(lock, owner, entry, place).await?;
        if let Some(holdings) = self.stays(place, &weighed, discard).await? {
            return Ok(Removal::Kept(holdings));
        }
        let mut record = Record::of(lock, owner)?.ok_or_else(|| not_ours(owner))?;
        let rescue = if weighed.holdings().is_empty() {
            record.saved.clone()
        } else {
            Some(self.rescue(lock, owner, place, &weighed).await?)
        };
        record.rescue.clone_from(&rescue);
        let record = record.at(Stage::Leaving);
        record.save(lock).await?;
        let gone = gone(owner);
        fs::rename(&place.tree, &gone).map_err(io_error("moving the worktree aside", &place.tree))?;
        // It is saved, and nobody finds it any more: what is left to do is housekeeping, done by the next call if not
        // now. The caller has to learn the ref either way.
        if let Err(error) = self.vanish(lock, owner, record).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(session = %owner.session, error, "a removed worktree left something behind");
        }
        Ok(Removal::Removed { rescue })
    }

    /// What it stays for; `None` when it may go.
    async fn stays(
        &self,
        place: &Place,
        weighed: &Weighed,
        discard: bool,
    ) -> Result<Option<Vec<Holding>>, WorktreeError> {
        let holdings = if discard {
            let unsavable = self.unsavable(place, weighed).await?;
            let (submodules, nested): (Vec<PathBuf>, Vec<PathBuf>) = unsavable
                .into_iter()
                .partition(|path| weighed.submodules.contains(path) || weighed.histories.contains(path));
            let mut holdings: Vec<Holding> = submodules
                .iter()
                .filter_map(|path| named(std::slice::from_ref(path))?.1.pop())
                .map(|path| Holding::Submodule { path })
                .collect();
            let nested = named(&nested);
            holdings.extend(nested.map(|(count, paths)| Holding::Untracked { count, paths }));
            // Whoever locked it said that it stays; git's own single `--force` obeys that, too.
            let lock = weighed.locked.clone();
            holdings.extend(lock.map(|reason| Holding::Locked { reason }));
            holdings
        } else {
            weighed.holdings()
        };
        Ok((!holdings.is_empty()).then_some(holdings))
    }

    /// It is not there: what is left of it elsewhere goes too.
    async fn absent(&self, lock: &Lock, owner: &WorktreeOwner) -> Result<Removal, WorktreeError> {
        company::leave(lock, owner).await?;
        let record = Record::of(lock, owner)?;
        let mut rescue = record.as_ref().and_then(Record::told);
        if rescue.is_some() && record.as_ref().is_some_and(|record| record.stage == Stage::Gone) {
            return Ok(Removal::Removed { rescue });
        }
        if link::repository(&owner.repo).is_none() {
            for aside in asides(owner) {
                if is_there(&aside)? {
                    return Err(repository_gone(owner)); // without the record it would be nobody's
                }
            }
            if rescue.is_some() {
                return Ok(Removal::Removed { rescue }); // the record is kept, as long as that ref is there
            }
            Record::delete(lock)?;
            return Ok(Removal::Absent);
        }
        if let Some(entry) = registry::find(&self.git, owner).await? {
            let held = self.held_of_missing(owner, &entry).await?;
            if !held.is_empty() {
                return Ok(Removal::Kept(held));
            }
            rescue = self.unregister_missing(lock, owner, &entry).await?.or(rescue);
        }
        match record {
            Some(mut record) => {
                record.rescue.clone_from(&rescue);
                self.vanish(lock, owner, record).await?;
            }
            None => self.unfurnish(lock, owner).await?,
        }
        Ok(match rescue {
            Some(_) => Removal::Removed { rescue },
            None => Removal::Absent,
        })
    }
}
