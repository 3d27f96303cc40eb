//! Attaching a worktree to its repository again, after git forgot it: the repository was cloned anew at the same place, or
//! pruned while the worktree's disk was absent. Not one file of the worktree is touched but its `.git`.
//!
//! Git makes an empty worktree beside it, on the session's branch and without a checkout; then git's folder for that one is
//! made to speak of ours. What the branch does not say of the files shows as changes. Which branch was checked out and what
//! was staged went with git's record.
//!
//! | Cut after | Found | Then |
//! |---|---|---|
//! | the empty one was made | `.attaching-<session>`, which git knows | it is removed and made again |
//! | git's folder speaks of ours | a `.git` that leads nowhere, or already there | `mend` |

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;

use ao_domain::WorktreeOwner;
use ao_domain::port::worktrees::{WorktreeError, WorktreePlan};
use camino::Utf8PathBuf;

use super::create::free;
use super::link;
use super::lock::Lock;
use super::mend::stray;
use super::record::{Record, io_error};
use super::registry::{self, Entry};
use super::{GitWorktrees, is_there, refs};

/// Where the empty one is made: named as the session, so that git's folder for it is, too.
fn beside(owner: &WorktreeOwner) -> Utf8PathBuf {
    let folder = owner.path.with_file_name(format!(".attaching-{}", owner.session));
    folder.join(owner.path.file_name().unwrap_or("worktree"))
}

impl GitWorktrees {
    /// Attaches what lies at the place of `plan`, which is none of `entries`.
    ///
    /// # Errors
    /// `NotOurs`, `Unattachable`, `CheckedOutElsewhere`: nothing was done.
    pub(super) async fn attach(
        &self,
        lock: &Lock,
        plan: &WorktreePlan,
        record: Option<&Record>,
        entries: &[Entry],
    ) -> Result<(), WorktreeError> {
        let owner = &plan.owner;
        let (WorktreeError::Unregistered { repo, path }, Some(record)) = (stray(owner, record), record)
        else {
            return Err(stray(owner, record));
        };
        free(owner, entries)?;
        let tip = self.tip(owner, record).await?;
        let Some((tip, is_branch)) = tip else {
            let why = "neither its branch nor the commit it started from is there";
            return Err(WorktreeError::Unattachable { repo, path, why });
        };
        let beside = beside(owner);
        let folder = beside.parent().unwrap_or(&owner.path); // it always has one
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(io_error("making a folder beside the worktree", folder))?;
        let add = self.git.call(&owner.repo, "worktree");
        let add = add.args(["add", "--quiet", "--no-checkout"]);
        let mut add = if is_branch {
            add.arg("--").arg(&beside).arg(&owner.branch)
        } else {
            add.args(["--no-track", "-b", &owner.branch, "--"])
                .arg(&beside)
                .arg(&tip)
        };
        add.act_once(lock).await?;
        let Some(gitdir) = link::kept_for(&owner.repo, &beside) else {
            return Err(stray(owner, Some(record))); // somebody pruned in this instant; the next call tries again
        };
        let call = self.git.call(&beside, "read-tree");
        let call = call.env("GIT_DIR", &gitdir).env("GIT_WORK_TREE", &beside);
        call.arg("HEAD").patient(5).act(lock).await?;
        link::point_back(&gitdir, &owner.path)?;
        link::point(&owner.path, &gitdir)?;
        tracing::warn!(session = %owner.session, path = %owner.path, commit = tip, "git did not know the worktree any more: it is attached again");
        self.clear_beside(lock, owner).await
    }

    /// What the worktree is attached to: the session's branch, and whether it is there; else what `origin` has of it, else what
    /// it started from.
    async fn tip(
        &self,
        owner: &WorktreeOwner,
        record: &Record,
    ) -> Result<Option<(String, bool)>, WorktreeError> {
        let kinds = ["refs/heads/", "refs/remotes/origin/"];
        for kind in kinds {
            let name = format!("{kind}{}", owner.branch);
            if let Some(commit) = refs::commit(&self.git, &owner.repo, &name).await? {
                return Ok(Some((commit, kind == kinds[0])));
            }
        }
        if !refs::is_commit_id(&record.start) {
            return Ok(None);
        }
        let start = refs::commit(&self.git, &owner.repo, &record.start).await?;
        Ok(start.map(|start| (start, false)))
    }

    /// Removes what a killed predecessor left beside the worktree: a directory without a file but its `.git`.
    pub(super) async fn clear_beside(&self, lock: &Lock, owner: &WorktreeOwner) -> Result<(), WorktreeError> {
        let beside = beside(owner);
        let folder = beside.parent().unwrap_or(&owner.path);
        if !is_there(folder)? {
            return Ok(());
        }
        let entries = match registry::list(&self.git, &owner.repo).await {
            Err(WorktreeError::Git { .. }) if registry::complete(&owner.repo, &beside)? => {
                registry::list(&self.git, &owner.repo).await?
            }
            other => other?,
        };
        let gone = |doing, path: &camino::Utf8Path, done: io::Result<()>| match done {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(doing, path)(error)),
            _ => Ok(()),
        };
        gone(
            "removing a link of git's",
            &beside,
            fs::remove_file(beside.join(".git")),
        )?;
        gone("removing an empty directory", &beside, fs::remove_dir(&beside))?;
        if let Some(entry) = registry::at(&beside, &entries) {
            let forget = self.git.call(&owner.repo, "worktree");
            let forget = forget.args(["remove", "--force", "--force", "--"]);
            forget.arg(&entry.path).act(lock).await?;
        }
        gone("removing an empty directory", folder, fs::remove_dir(folder))
    }
}
