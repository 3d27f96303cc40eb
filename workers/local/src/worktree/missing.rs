//! A worktree whose directory somebody deleted. What git still keeps for it is all that is left of it, so nothing of that
//! goes before it is saved: the commit of a detached `HEAD`, what was staged, commits of an unfinished operation.

use ao_domain::port::worktrees::WorktreeError;
use ao_domain::{Holding, WorktreeOwner};
use camino::{Utf8Path, Utf8PathBuf};

use super::GitWorktrees;
use super::link;
use super::lock::Lock;
use super::record::Record;
use super::registry::{Entry, Place};
use super::rescue::{self, line};
use super::submodules::modules;

impl GitWorktrees {
    /// What forbids that git forgets the worktree: somebody's lock, for its disk may be absent; the only commits of a submodule,
    /// which git keeps in the folder that goes with it.
    pub(super) async fn held_of_missing(
        &self,
        owner: &WorktreeOwner,
        entry: &Entry,
    ) -> Result<Vec<Holding>, WorktreeError> {
        let mut holdings = Vec::new();
        if let (Some(reason), false) = (&entry.locked, entry.is_half_made()) {
            let reason = reason.clone();
            holdings.push(Holding::Locked { reason });
        }
        if let Some(place) = kept(owner) {
            let gitdir = place.gitdir.as_std_path();
            for module in modules(gitdir) {
                let history = gitdir.join("modules").join(&module);
                if !self.history_is_elsewhere(&place.tree, &history).await? {
                    let path = module.to_string_lossy().into_owned();
                    holdings.push(Holding::Submodule { path });
                }
            }
        }
        Ok(holdings)
    }

    /// Makes git forget a worktree whose directory somebody else has deleted. Returns the rescue ref of what it kept for it and
    /// nothing else holds.
    ///
    /// # Errors
    /// `StillKept`, and nothing was done, for what [`Self::held_of_missing`] names.
    pub(super) async fn unregister_missing(
        &self,
        lock: &Lock,
        owner: &WorktreeOwner,
        entry: &Entry,
    ) -> Result<Option<String>, WorktreeError> {
        if let Some(held) = self.held_of_missing(owner, entry).await?.first() {
            let hint = match held {
                Holding::Locked { .. } => {
                    let path = ao_domain::shell_word(owner.path.as_str());
                    format!(
                        "if it is gone for good, run `git worktree unlock {path}` in the repository and try again"
                    )
                }
                _ => "push what is in it from git's folder for the worktree, then try again".to_owned(),
            };
            return Err(WorktreeError::StillKept {
                path: owner.path.clone(),
                what: held.to_string(),
                hint,
            });
        }
        let rescue = self.save_missing(lock, owner, entry).await?;
        if let Some(rescue) = &rescue {
            tracing::warn!(session = %owner.session, rescue, "worktree was deleted by somebody: what git kept for it was saved");
            if let Some(mut record) = Record::of(lock, owner)? {
                record.saved = Some(rescue.clone()); // whoever comes after a kill has to learn of it
                record.save(lock).await?;
            }
        }
        self.unregister(lock, owner, entry).await?;
        Ok(rescue)
    }

    /// One commit under a rescue ref: its tree is what was staged, its first parent `HEAD`, the rest what an unfinished operation
    /// names. `None` where refs hold all of it.
    async fn save_missing(
        &self,
        lock: &Lock,
        owner: &WorktreeOwner,
        entry: &Entry,
    ) -> Result<Option<String>, WorktreeError> {
        let Some(place) = kept(owner) else {
            return Ok(None);
        };
        let head = match &entry.head {
            Some(head) => Some(head.clone()),
            None => self.last_commit(owner).await?,
        };
        let Some(head) = head else {
            return Ok(None);
        };
        let mut loose = Vec::new();
        for commit in self.loose_commits(&place).await? {
            if !self.is_held(&owner.repo, &commit).await? && !loose.contains(&commit) && commit != head {
                loose.push(commit);
            }
        }
        let mut staged = Vec::new();
        if place.gitdir.join("index").exists() {
            staged = self.staged(lock, &place, &[]).await?;
        }
        let of_head = self.git.call(&owner.repo, "rev-parse");
        let of_head = line(&of_head.arg(format!("{head}^{{tree}}")).text().await?);
        staged.retain(|tree| *tree != of_head);
        if staged.is_empty() && loose.is_empty() && self.is_held(&owner.repo, &head).await? {
            return Ok(None);
        }
        let mut parents = vec![head.clone()];
        // Where files are in conflict there are two.
        for other in staged.iter().skip(1) {
            let parent = std::slice::from_ref(&head);
            parents.push(
                self.commit(lock, &place, other, parent, "what was staged")
                    .await?,
            );
        }
        parents.append(&mut loose);
        let tree = staged.first().unwrap_or(&of_head);
        let words = format!(
            "what git kept for the worktree of {} when its directory was gone",
            owner.session
        );
        // A predecessor was killed after it had saved the same.
        if let Some(saved) = Record::of(lock, owner)?.and_then(|record| record.saved) {
            let known = self.git.call(&owner.repo, "log");
            let known = known.args(["-1", "--format=%T %P", &saved, "--"]).text().await;
            if known.is_ok_and(|known| line(&known) == format!("{tree} {}", parents.join(" "))) {
                return Ok(Some(saved));
            }
        }
        let commit = self.commit(lock, &place, tree, &parents, &words).await?;
        rescue::name(&self.git, owner, &commit, lock).await.map(Some)
    }

    /// Whether some ref holds `commit`.
    async fn is_held(&self, repo: &Utf8Path, commit: &str) -> Result<bool, WorktreeError> {
        let holders = self.git.call(repo, "for-each-ref");
        let holders = holders.args(["--count=1", "--contains", commit]).text().await?;
        Ok(!holders.is_empty())
    }
}

/// What git keeps for the worktree, with the repository in the place of the directory that is not there: no file is looked at.
fn kept(owner: &WorktreeOwner) -> Option<Place> {
    let gitdir: Utf8PathBuf = link::kept_for(&owner.repo, &owner.path)?;
    let tree = owner.repo.clone();
    Some(Place { tree, gitdir })
}
