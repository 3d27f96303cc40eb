//! Mending what somebody else broke between a worktree and its repository, before it is used or weighed. No file of the
//! worktree is touched but its `.git`, and only what is gone is made anew.
//!
//! | Found | Then |
//! |---|---|
//! | git knows the worktree, whose `.git` is gone or leads nowhere | `.git` is written anew |
//! | its branch is gone | made again at the last commit that git noted for this worktree's `HEAD` |
//! | git does not know it any more, `.git` names the folder git had for it | see `attach` |

use std::fs;

use ao_domain::WorktreeOwner;
use ao_domain::port::worktrees::WorktreeError;
use camino::Utf8Path;

use super::GitWorktrees;
use super::create::not_ours;
use super::link::{self, Link};
use super::lock::Lock;
use super::record::Record;
use super::refs;
use super::registry::Entry;

impl GitWorktrees {
    /// Writes the worktree's `.git` anew where it is gone, or leads nowhere although git knows the worktree. A worktree that has
    /// neither a record nor our branch is left as it is.
    pub(super) fn mend_link(
        owner: &WorktreeOwner,
        entry: &Entry,
        record: Option<&Record>,
    ) -> Result<(), WorktreeError> {
        let ours = match Link::of(&owner.path) {
            Link::Missing => record.is_some() || entry.branch.as_ref() == Some(&owner.branch),
            Link::Dangling(_) => record.is_some(),
            Link::Leads(_) | Link::Other => false,
        };
        match link::kept_for(&owner.repo, &owner.path) {
            Some(gitdir) if ours && !entry.is_half_made() => {
                tracing::warn!(session = %owner.session, path = %owner.path, "the worktree's link to git was gone and is written anew");
                link::point(&owner.path, &gitdir)
            }
            _ => Ok(()),
        }
    }

    /// Makes the session's branch again where somebody deleted it under the worktree that `entry` speaks of. Returns its commit;
    /// `None` where it is not gone.
    ///
    /// # Errors
    /// `BranchGone` when git has no note of where it stood.
    pub(super) async fn mend_branch(
        &self,
        lock: &Lock,
        owner: &WorktreeOwner,
        entry: &Entry,
    ) -> Result<Option<String>, WorktreeError> {
        if entry.head.is_some() || entry.branch.as_ref() != Some(&owner.branch) || entry.is_half_made() {
            return Ok(None);
        }
        let name = format!("refs/heads/{}", owner.branch);
        if refs::commit(&self.git, &owner.repo, &name).await?.is_some() {
            return Ok(None); // made between two looks
        }
        let gone = || WorktreeError::BranchGone {
            branch: owner.branch.clone(),
            path: owner.path.clone(),
        };
        let last = self.last_commit(owner).await?.ok_or_else(gone)?;
        let none = "0".repeat(last.len()); // it must not exist yet
        let call = self.git.call(&owner.repo, "update-ref");
        let call = call.args(["-m", "ao: made again, it was gone under its worktree"]);
        call.args([&name, &last, &none]).act(lock).await?;
        tracing::warn!(session = %owner.session, branch = owner.branch, commit = last, "the branch was gone and is made again");
        Ok(Some(last))
    }

    /// The last commit that git noted for the `HEAD` of the worktree, if it is still there.
    pub(super) async fn last_commit(&self, owner: &WorktreeOwner) -> Result<Option<String>, WorktreeError> {
        let noted = link::kept_for(&owner.repo, &owner.path).and_then(|gitdir| last_noted(&gitdir));
        match noted {
            Some(noted) => refs::commit(&self.git, &owner.repo, &noted).await,
            None => Ok(None),
        }
    }
}

/// The last commit in the log of `HEAD` that git keeps in `gitdir`; the entry of a deletion has none.
fn last_noted(gitdir: &Utf8Path) -> Option<String> {
    let log = fs::read(gitdir.join("logs/HEAD")).ok()?;
    let real = |id: &&str| id.bytes().any(|byte| byte != b'0') && refs::is_commit_id(id);
    let lines = log.split(|byte| *byte == b'\n').rev();
    lines.filter(|line| !line.is_empty()).find_map(|line| {
        let head = std::str::from_utf8(line.get(..line.len().min(129))?)
            .or_else(|error| std::str::from_utf8(&line[..error.valid_up_to()]))
            .ok()?;
        let new = head.split(' ').nth(1)?;
        real(&new).then(|| new.to_owned())
    })
}

/// Why git does not know what lies at `owner`'s place.
pub(super) fn stray(owner: &WorktreeOwner, record: Option<&Record>) -> WorktreeError {
    let (repo, path) = (owner.repo.clone(), owner.path.clone());
    let unattachable = |why| WorktreeError::Unattachable {
        repo: owner.repo.clone(),
        path: owner.path.clone(),
        why,
    };
    match (record, Link::of(&owner.path)) {
        (None, _) | (_, Link::Leads(_) | Link::Other) => not_ours(owner),
        (_, Link::Missing) => unattachable("its .git file is gone too"),
        (_, Link::Dangling(gitdir)) => {
            // Git removes the folder between them with its last worktree.
            let common = gitdir.parent().and_then(Utf8Path::parent);
            let common = common.and_then(|common| common.as_std_path().canonicalize().ok());
            if common.is_some() && common == link::repository(&owner.repo) {
                WorktreeError::Unregistered { repo, path }
            } else {
                unattachable("its .git file leads to another repository")
            }
        }
    }
}
