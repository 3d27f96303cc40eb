//! What moved: a repository to another place, or the folder of all worktrees. Git's word comes first: the folder that it keeps
//! for the worktree is what proves that this is the same repository, and the same worktree.
//!
//! In both cases git's files are put right before our record, so that a call that was cut is made good by the next one: as
//! long as the record names the old place, there is something to do.

use std::path::Path;

use ao_domain::WorktreeOwner;
use ao_domain::port::upkeep::Rebased;
use ao_domain::port::worktrees::WorktreeError;
use camino::{Utf8Path, Utf8PathBuf};

use super::create::{not_ours, repository_gone};
use super::link::{self, Link};
use super::lock::Lock;
use super::provision::links;
use super::record::{Record, blocking};
use super::submodules::Home;
use super::{GitWorktrees, close, is_empty};

impl GitWorktrees {
    pub(super) async fn relocate_under(
        &self,
        lock: &Lock,
        owner: &WorktreeOwner,
        repo: &Utf8Path,
    ) -> Result<WorktreeOwner, WorktreeError> {
        let now = WorktreeOwner {
            repo: repo.to_owned(),
            ..owner.clone()
        };
        let Some(common) = link::repository(repo) else {
            let path = repo.to_owned();
            return Err(WorktreeError::NotARepository { path });
        };
        let record = match Record::of(lock, owner)? {
            Some(record) => Some(record),
            None => Record::of(lock, &now)?, // a predecessor came this far
        };
        if !is_empty(&owner.path)?
            && let Some(kept) = relink(owner, &now, &common, record.is_some())?
        {
            let was = match Link::of(&owner.path) {
                Link::Dangling(gitdir) => gitdir,
                _ => owner
                    .repo
                    .join(".git/worktrees")
                    .join(kept.file_name().unwrap_or_default()),
            };
            let tree = &*owner.path;
            let [was, now] = [&was, &kept].map(|gitdir| Home { tree, gitdir });
            self.move_submodules(lock, was, now).await?;
            link::point(tree, &kept)?;
        }
        if !is_empty(&owner.path)? {
            let (held, was, repo) = (lock.clone(), owner.clone(), repo.to_owned());
            blocking("re-pointing links", &owner.path, move || {
                links::follow(&held, &was, &repo)
            })
            .await?;
        }
        if let Some(mut record) = record.filter(|record| record.repo != now.repo) {
            record.repo.clone_from(&now.repo);
            record.save(lock).await?;
        }
        Ok(now)
    }

    pub(super) async fn rebase_all(&self, from: &Utf8Path) -> Result<Vec<Rebased>, WorktreeError> {
        let locks = self.locks.clone();
        let records = blocking("reading the ownership records", &self.locks, move || {
            Record::every(&locks)
        })
        .await?;
        let mut rebased = Vec::new();
        for record in records {
            let was = record.owned().owner;
            let Ok(rest) = was.path.strip_prefix(from) else {
                continue;
            };
            let path = self.root.join(rest);
            if path == was.path {
                continue;
            }
            let owner = WorktreeOwner { path, ..was.clone() };
            let failed = self.rebase_one(&was, &owner).await.err();
            if let Some(error) = &failed {
                let error: &dyn std::error::Error = error;
                tracing::warn!(session = %owner.session, error, "git still knows a worktree by its old path");
            }
            rebased.push(Rebased { owner, failed });
        }
        Ok(rebased)
    }

    async fn rebase_one(&self, was: &WorktreeOwner, owner: &WorktreeOwner) -> Result<(), WorktreeError> {
        let lock = self.lock(owner).await?;
        let done = self.rebase_under(&lock, was, owner).await;
        close(lock);
        done
    }
}

impl GitWorktrees {
    /// The worktree of `was` lies at the place of `owner` now.
    async fn rebase_under(
        &self,
        lock: &Lock,
        was: &WorktreeOwner,
        owner: &WorktreeOwner,
    ) -> Result<(), WorktreeError> {
        let Some(mut record) = Record::of(lock, was)? else {
            return Ok(()); // somebody was faster
        };
        let linked = match self.follow(lock, was, owner).await {
            Ok(()) => self.move_lines(lock, was, owner).await,
            other => other,
        };
        if matches!(linked, Err(WorktreeError::Copied { .. })) {
            return linked;
        }
        // Where git could not be told, the next use of the worktree finds it by its own link.
        record.path.clone_from(&owner.path);
        record.save(lock).await?;
        linked
    }

    /// Has git know the worktree by its new path.
    async fn follow(
        &self,
        lock: &Lock,
        was: &WorktreeOwner,
        owner: &WorktreeOwner,
    ) -> Result<(), WorktreeError> {
        let Some(common) = link::repository(&owner.repo) else {
            return if is_empty(&owner.path)? {
                Ok(())
            } else {
                Err(repository_gone(owner))
            };
        };
        let link = Link::of(&owner.path);
        let kept = match &link {
            Link::Leads(gitdir) if link::common(gitdir).as_ref() == Some(&common) => Some(gitdir.clone()),
            _ => link::kept_for(&owner.repo, &was.path),
        };
        let Some(gitdir) = kept else {
            return Ok(()); // git knows nothing of it, and whoever uses it says so
        };
        if link::names(&gitdir, owner.path.as_std_path()) != Some(true) {
            if let Some(first) = still_there(&gitdir) {
                let path = owner.path.clone();
                return Err(WorktreeError::Copied { path, first });
            }
            let [was, now] = [&was.path, &owner.path].map(|tree| Home {
                tree,
                gitdir: &gitdir,
            });
            self.move_submodules(lock, was, now).await?;
            link::point_back(&gitdir, &owner.path)?;
        }
        match link {
            Link::Dangling(_) => link::point(&owner.path, &gitdir), // it was relative
            _ => Ok(()),
        }
    }

    /// Has git know the worktree by the path it has now, where it names its folder in the right repository and lies where our
    /// record says, but that folder names a place where nothing is: the folder of all worktrees was moved while the repository was
    /// absent. Returns whether that was so.
    pub(super) async fn mend_back(
        &self,
        lock: &Lock,
        owner: &WorktreeOwner,
        record: Option<&Record>,
    ) -> Result<bool, WorktreeError> {
        match (record, Link::of(&owner.path)) {
            (Some(_), Link::Leads(gitdir))
                if link::common(&gitdir) == link::repository(&owner.repo)
                    && link::back(&gitdir).is_some()
                    && still_there(&gitdir).is_none() =>
            {
                tracing::warn!(session = %owner.session, path = %owner.path, "git is told where the worktree is now");
                if let Some(path) = named(&gitdir) {
                    let was = WorktreeOwner {
                        path,
                        ..owner.clone()
                    };
                    self.move_lines(lock, &was, owner).await?;
                }
                link::point_back(&gitdir, &owner.path)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

/// The folder in the repository as it is `now` that the worktree does not name yet.
fn relink(
    owner: &WorktreeOwner,
    now: &WorktreeOwner,
    common: &Path,
    recorded: bool,
) -> Result<Option<Utf8PathBuf>, WorktreeError> {
    let not_moved = |common: &Path| WorktreeError::NotMoved {
        path: owner.path.clone(),
        repo: common.parent().map_or_else(
            || owner.repo.clone(),
            |top| top.to_string_lossy().into_owned().into(),
        ),
    };
    let link = Link::of(&owner.path);
    match &link {
        Link::Other => return Err(not_ours(owner)),
        Link::Leads(gitdir) => match link::common(gitdir) {
            Some(theirs) if theirs != *common => return Err(not_moved(&theirs)),
            _ => {}
        },
        Link::Missing | Link::Dangling(_) => {}
    }
    // A copy of the repository also knows the worktree, but what was committed since is in the first one.
    match link::repository(&owner.repo) {
        Some(old) if old != *common && link::kept_for(&owner.repo, &owner.path).is_some() => {
            return Err(not_moved(&old));
        }
        _ => {}
    }
    match (link::kept_for(&now.repo, &owner.path), link) {
        (None, _) => Err(WorktreeError::OtherRepository {
            repo: now.repo.clone(),
            path: owner.path.clone(),
            was: owner.repo.clone(),
        }),
        (Some(kept), Link::Leads(gitdir)) if kept.canonicalize().ok() == gitdir.canonicalize().ok() => {
            Ok(None)
        }
        (Some(_), _) if !recorded => Err(not_ours(owner)),
        (Some(kept), _) => Ok(Some(kept)),
    }
}

/// The worktree that `gitdir` names, be it there or not.
fn named(gitdir: &Utf8Path) -> Option<Utf8PathBuf> {
    let back = link::plain(&link::back(gitdir)?);
    Utf8PathBuf::try_from(back.parent()?.to_owned()).ok()
}

/// The same, if something lies there.
fn still_there(gitdir: &Utf8Path) -> Option<Utf8PathBuf> {
    named(gitdir).filter(|first| first.join(".git").symlink_metadata().is_ok())
}
