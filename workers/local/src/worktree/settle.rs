//! Finishing or undoing what a killed predecessor left, before anything else is done.
//!
//! A worktree leaves in four steps: its directory is renamed aside, weighed there once more, renamed to what may be
//! deleted, deleted. So there are three names, and which one is found says what to do:
//!
//! | Found | Then |
//! |---|---|
//! | `.leaving-<session>` | it was not weighed to the end: back to its place |
//! | `.gone-<session>` | it was: delete it, forget its registration, drop its branch if that has nothing of its own |
//! | its own name, record says *making* | if git did not finish: cleared, but only of files of the commit being checked out |

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ao_domain::WorktreeOwner;
use ao_domain::port::worktrees::WorktreeError;
use camino::{Utf8Path, Utf8PathBuf};

use super::create::not_ours;
use super::link;
use super::lock::Lock;
use super::record::{Record, Stage, blocking, io_error};
use super::refs;
use super::registry::{self, Entry};
use super::{GitWorktrees, is_empty, is_there};

/// Where a worktree stands while it is weighed for the last time.
pub(super) fn aside(owner: &WorktreeOwner) -> Utf8PathBuf {
    owner.path.with_file_name(format!(".leaving-{}", owner.session))
}

/// Where it stands when it may be deleted. Nobody else has a reason to write there.
pub(super) fn gone(owner: &WorktreeOwner) -> Utf8PathBuf {
    owner.path.with_file_name(format!(".gone-{}", owner.session))
}

impl GitWorktrees {
    /// Brings the session's worktree into a state a living caller could have left. Without an interrupted predecessor
    /// this reads one file and starts no git.
    pub(super) async fn settle(&self, lock: &Lock, owner: &WorktreeOwner) -> Result<(), WorktreeError> {
        let Some(mut record) = Record::of(lock, owner)? else {
            return Ok(());
        };
        let (aside, gone) = (aside(owner), gone(owner));
        if is_there(&aside)? {
            put_back(&aside, owner)?; // without git, so that it is there to be seen also while the repository is away
        }
        if link::repository(&owner.repo).is_none() {
            return Ok(()); // nobody can be asked; the caller says so where it matters
        }
        self.clear_beside(lock, owner).await?;
        match record.stage {
            Stage::Leaving if is_empty(&owner.path)? || is_there(&gone)? => {
                self.vanish(lock, owner, record).await
            }
            Stage::Leaving => {
                record.rescue = None; // that ref stays, but what stands here now is not what it saved
                record.at(Stage::Made).save(lock).await
            }
            Stage::Making => {
                delete(lock, &gone).await?;
                self.clear_half_made(lock, owner, &record).await
            }
            Stage::Made | Stage::Gone => Ok(()),
        }
    }

    /// The last step of leaving, from wherever it was interrupted: nothing is left but what has a reason to stay.
    /// Files that cannot be deleted are one: git forgets the worktree all the same, and the record stays as it is, so
    /// that the next call tries again.
    pub(super) async fn vanish(
        &self,
        lock: &Lock,
        owner: &WorktreeOwner,
        record: Record,
    ) -> Result<(), WorktreeError> {
        let deleted = delete(lock, &gone(owner)).await;
        let entries = registry::list(&self.git, &owner.repo).await?;
        if let Some(entry) = registry::of(owner, &entries) {
            self.unregister(lock, owner, &entry).await?;
        }
        let branch_stays = if registry::elsewhere(owner, &entries).is_some() {
            record.made_at.is_some()
        } else {
            self.drop_branch(lock, owner, &record).await?
        };
        if let Err(error) = deleted {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(session = %owner.session, path = %gone(owner), error, "files of a removed worktree stay");
            return Ok(());
        }
        self.unfurnish(lock, owner).await?;
        if branch_stays || record.rescue.is_some() {
            return record.at(Stage::Gone).save(lock).await;
        }
        Record::delete(lock)
    }

    /// Removes the directory that a killed `git worktree add` left, and its registration.
    async fn clear_half_made(
        &self,
        lock: &Lock,
        owner: &WorktreeOwner,
        record: &Record,
    ) -> Result<(), WorktreeError> {
        let entry = match registry::find(&self.git, owner).await {
            Err(WorktreeError::Git { .. }) if registry::complete(&owner.repo, &owner.path)? => {
                registry::find(&self.git, owner).await?
            }
            other => other?,
        };
        if entry.as_ref().is_some_and(|entry| !entry.is_half_made()) {
            return Ok(()); // complete, or somebody deleted its directory: the caller sees which
        }
        if !is_empty(&owner.path)? {
            // What git no longer knows may have been complete, and worked in, before a power cut took that note.
            if entry.is_none() && !record.is_of_this_boot() {
                return Err(not_ours(owner));
            }
            let known = self
                .git
                .call(&owner.repo, "ls-tree")
                .args(["-r", "-z", "--name-only", "--end-of-options", &record.start])
                .text()
                .await?;
            let path = owner.path.clone();
            let held = lock.clone();
            let ours = blocking("looking through a half-made worktree", &owner.path, move || {
                let _held = held;
                let known: BTreeSet<&[u8]> = known.split(|byte| *byte == 0).collect();
                let mut files = Vec::new();
                files_below(path.as_std_path(), Path::new(""), &mut files)?;
                let expected = |file: &PathBuf| known.contains(file.as_os_str().as_bytes());
                Ok(files
                    .iter()
                    .all(|file| file == OsStr::new(".git") || expected(file)))
            })
            .await?;
            if !ours {
                return Err(not_ours(owner));
            }
            let gone = gone(owner);
            fs::rename(&owner.path, &gone).map_err(io_error("renaming", &owner.path))?;
            delete(lock, &gone).await?;
        }
        match entry {
            Some(entry) => self.unregister(lock, owner, &entry).await,
            None => Ok(()),
        }
    }

    /// Makes git forget a worktree whose directory is gone, by its own path: `git worktree prune` would also forget
    /// others that only lie on a disk that is absent now.
    pub(super) async fn unregister(
        &self,
        lock: &Lock,
        owner: &WorktreeOwner,
        entry: &Entry,
    ) -> Result<(), WorktreeError> {
        match fs::remove_dir(&owner.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("removing an empty directory", &owner.path)(error));
            }
            _ => {}
        }
        let call = self.git.call(&owner.repo, "worktree").arg("remove");
        let call = match entry.locked {
            Some(_) => call.args(["--force", "--force"]),
            None => call,
        };
        call.arg("--").arg(&entry.path).act(lock).await
    }

    /// Removes the session's own branch, which no worktree has checked out, if it says nothing that the commit it was
    /// made at does not. Returns whether a branch of ours stays.
    async fn drop_branch(
        &self,
        lock: &Lock,
        owner: &WorktreeOwner,
        record: &Record,
    ) -> Result<bool, WorktreeError> {
        let Some(made_at) = &record.made_at else {
            return Ok(false);
        };
        let branch = format!("refs/heads/{}", owner.branch);
        let Some(tip) = refs::commit(&self.git, &owner.repo, &branch).await? else {
            return Ok(false);
        };
        if tip != *made_at {
            let ancestor = self
                .git
                .call(&owner.repo, "merge-base")
                .args(["--is-ancestor", &tip, made_at])
                .ask()
                .await?;
            if !ancestor.status.success() {
                return Ok(true); // commits of its own, or nobody knows
            }
        }
        // Only if it still stands where it was looked at: a commit made in between keeps it.
        let deleted = self
            .git
            .call(&owner.repo, "update-ref")
            .args(["-d", &branch, &tip])
            .act(lock)
            .await;
        match deleted {
            Err(WorktreeError::Git { said, .. }) => {
                tracing::warn!(branch, said, "branch not removed");
                Ok(true)
            }
            other => other.map(|()| false),
        }
    }
}

/// Undoes the first step of leaving.
pub(super) fn put_back(aside: &Utf8Path, owner: &WorktreeOwner) -> Result<(), WorktreeError> {
    if !is_empty(&owner.path)? {
        // Somebody made something in its place. Both stay; a person has to choose.
        return Err(WorktreeError::NotOurs {
            path: owner.path.clone(),
        });
    }
    // `rename` replaces an empty directory.
    fs::rename(aside, &owner.path).map_err(io_error("putting the worktree back", aside))
}

/// Deletes what was renamed to `gone`; goes on when the caller goes away, under the lock.
pub(super) async fn delete(lock: &Lock, gone: &Utf8Path) -> Result<(), WorktreeError> {
    if !is_there(gone)? {
        return Ok(());
    }
    let (held, path) = (lock.clone(), gone.to_owned());
    blocking("deleting a worktree", gone, move || {
        let _held = held;
        match fs::remove_dir_all(&path) {
            // A cache of Go modules, for one, takes its own write permission away.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                open_up(path.as_std_path())?;
                fs::remove_dir_all(&path)
            }
            other => other,
        }
    })
    .await
}

/// Lets the owner list and change `folder` and every directory below it. Nothing is followed.
fn open_up(folder: &Path) -> io::Result<()> {
    const ALL: u32 = 0o700;
    let mode = fs::symlink_metadata(folder)?.permissions().mode();
    if mode & ALL != ALL {
        fs::set_permissions(folder, fs::Permissions::from_mode(mode | ALL))?;
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

/// Every file below `root`, relative to it. Symlinks are files; nothing is followed.
pub(super) fn files_below(root: &Path, below: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            files_below(root, &path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}
