//! Finding what a worktree holds that exists nowhere else.
//!
//! What provisioning put there and nobody changed is none of it.
//!
//! Four looks at the same time: the status with everything spelled out, the index for files git was told not to watch
//! and for submodules, the commits of `HEAD` and of the session's branch, and git's own files for what is unfinished.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ao_domain::port::worktrees::WorktreeError;
use ao_domain::{Holding, WorktreeOwner};
use camino::Utf8PathBuf;

use super::GitWorktrees;
use super::git::Call;
use super::lock::Lock;
use super::provision::not_ours;
use super::record::{blocking, io_error};
use super::registry::{Entry, Place};
use super::rescue::forget_copy;
use super::status::{Index, STATUS, Status};
use super::submodules::left_modules;

/// How many paths of a kind are named; the count tells the rest.
const NAMED: usize = 5;

/// Paths on one command line: 4 kB each, and the whole stays far below the 2 MB the system allows.
pub(super) const ARGS_MAX: usize = 200;

/// Files in git's folder for a worktree that say what is not finished. The first that is found names it: a rebase also
/// leaves the marks of the cherry-pick it is made of.
const OPERATIONS: [(&str, &str); 8] = [
    ("rebase-merge", "rebase"),
    ("rebase-apply", "rebase"),
    ("MERGE_HEAD", "merge"),
    ("CHERRY_PICK_HEAD", "cherry-pick"),
    ("REVERT_HEAD", "revert"),
    ("sequencer", "cherry-pick"),
    ("BISECT_LOG", "bisect"),
    ("MERGE_AUTOSTASH", "merge"),
];

/// Everything one look found.
#[derive(Debug)]
pub(super) struct Weighed {
    pub(super) head: Option<String>,
    pub(super) modified: Vec<PathBuf>,
    pub(super) untracked: Vec<PathBuf>,
    /// Those that are not disposable; with a slash at the end, a whole directory.
    pub(super) ignored: Vec<PathBuf>,
    pub(super) unwatched: Vec<PathBuf>,
    /// Submodules with changes.
    pub(super) changed_submodules: Vec<PathBuf>,
    /// Submodules with files in this worktree, changed or not.
    pub(super) submodules: Vec<PathBuf>,
    /// The histories, by name, that git keeps for this worktree of submodules which have no files here.
    pub(super) histories: Vec<PathBuf>,
    commits: Vec<(usize, String)>,
    operation: Option<&'static str>,
    pub(super) locked: Option<String>,
}

impl Weighed {
    /// In the words of the domain; empty when it may go.
    pub(super) fn holdings(&self) -> Vec<Holding> {
        let mut holdings = Vec::new();
        if let Some((count, paths)) = named(&self.modified) {
            holdings.push(Holding::Modified { count, paths });
        }
        if let Some((count, paths)) = named(&self.untracked) {
            holdings.push(Holding::Untracked { count, paths });
        }
        if let Some((count, paths)) = named(&self.ignored) {
            holdings.push(Holding::Ignored { count, paths });
        }
        let submodule = |path: &PathBuf| Holding::Submodule { path: lossy(path) };
        holdings.extend(self.submodules.iter().map(submodule));
        let named = |name: &&PathBuf| !self.submodules.contains(name);
        holdings.extend(self.histories.iter().filter(named).map(submodule));
        let commits = self.commits.iter().cloned();
        holdings.extend(commits.map(|(count, branch)| Holding::Commits { count, branch }));
        holdings.extend(self.operation.map(|name| Holding::Operation {
            name: name.to_owned(),
        }));
        let lock = self.locked.iter().cloned();
        holdings.extend(lock.map(|reason| Holding::Locked { reason }));
        holdings
    }
}

/// How many, and the first few as text.
pub(super) fn named(paths: &[PathBuf]) -> Option<(usize, Vec<String>)> {
    let shown = paths.iter().take(NAMED).map(|path| lossy(path)).collect();
    (!paths.is_empty()).then_some((paths.len(), shown))
}

pub(super) fn lossy(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl GitWorktrees {
    /// What the worktree at `place` holds, as it stands now.
    pub(super) async fn weigh_at(
        &self,
        lock: &Lock,
        owner: &WorktreeOwner,
        entry: &Entry,
        place: &Place,
    ) -> Result<Weighed, WorktreeError> {
        let listing = place.call(&self.git, "ls-files").args(["-v", "-s", "-z"]).text();
        let (first, index, commits) = tokio::try_join!(
            self.status(place).text(),
            listing,
            self.commits(owner, entry, place)
        )?;
        let mut status = Status::parse(&first);
        let mut index = Index::parse(&index);
        let exists = |path: &PathBuf| fs::symlink_metadata(place.tree.as_std_path().join(path)).is_ok();
        index.unwatched.retain(exists);
        if !index.unwatched.is_empty() {
            let copy = self.watching(lock, place, &index.unwatched).await?;
            let second = self.status(place).env("GIT_INDEX_FILE", &copy).text().await?;
            status = Status::parse(&second);
            forget_copy(&copy)?;
        }
        let mut submodules = status.submodules.clone();
        // Also files that somebody put in the place of one that is not initialised: git looks at none of them.
        let has_files = |path: &PathBuf| {
            let mut entries = fs::read_dir(place.tree.as_std_path().join(path))
                .into_iter()
                .flatten();
            entries.next().is_some()
        };
        submodules.extend(index.submodules.into_iter().filter(has_files));
        submodules.sort_unstable();
        submodules.dedup();
        let histories = left_modules(place, &submodules);
        status.ignored.retain(|path| !self.disposable.covers(path));
        let (held, tree, disposable) = (lock.clone(), place.tree.clone(), self.disposable.clone());
        let (untracked, ignored) = blocking("looking for what was put there", &place.tree, move || {
            not_ours(&held, &tree, &disposable, status.untracked, status.ignored)
        })
        .await?;
        Ok(Weighed {
            head: status.head,
            modified: status.modified,
            untracked,
            ignored,
            unwatched: index.unwatched,
            changed_submodules: status.submodules,
            submodules,
            histories,
            commits,
            operation: OPERATIONS
                .iter()
                .find(|(file, _)| place.gitdir.join(file).exists())
                .map(|(_, name)| *name),
            locked: entry.locked.clone(),
        })
    }

    fn status(&self, place: &Place) -> Call {
        // A file is compared by all that the system tells of it, whatever the repository finds enough; and a new one is not
        // hidden by one whose name differs in case alone.
        place
            .call(&self.git, "status")
            .settings(&[
                ("core.trustctime", "true"),
                ("core.checkStat", "default"),
                ("core.ignorecase", "false"),
                ("core.untrackedCache", "false"),
            ])
            .args(STATUS)
    }

    /// A copy of the index in the session's folder, in which the files `unwatched` are watched again; where the worktree
    /// has no index, the place for one. Two at once would spoil each other's, so all that write it hold the lock.
    pub(super) async fn watching(
        &self,
        lock: &Lock,
        place: &Place,
        unwatched: &[PathBuf],
    ) -> Result<Utf8PathBuf, WorktreeError> {
        let (index, copy) = (place.gitdir.join("index"), lock.folder().join("index"));
        let fresh = || {
            for stale in [copy.with_extension("lock"), copy.clone()] {
                match fs::remove_file(stale) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            match fs::copy(&index, &copy) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
                other => other,
            }
        };
        fresh().map_err(io_error("copying the index", &index))?;
        for flag in ["--no-assume-unchanged", "--no-skip-worktree"] {
            for some in unwatched.chunks(ARGS_MAX) {
                let update = place.call(&self.git, "update-index").env("GIT_INDEX_FILE", &copy);
                update.args([flag, "--"]).args(some).text_under(lock).await?;
            }
        }
        Ok(copy)
    }

    /// Commits on no remote, no tag and no other branch: of `HEAD`, and of the session's branch where that is another.
    async fn commits(
        &self,
        owner: &WorktreeOwner,
        entry: &Entry,
        place: &Place,
    ) -> Result<Vec<(usize, String)>, WorktreeError> {
        let mine = format!("refs/heads/{}", owner.branch);
        let mut tips = Vec::new();
        if entry.head.is_some() {
            let name = entry.branch.clone().unwrap_or_else(|| "HEAD".to_owned());
            tips.push(("HEAD".to_owned(), name));
        } else if let (Some(last), Some(branch)) = (self.last_commit(owner).await?, &entry.branch) {
            tips.push((last, branch.clone())); // that branch was deleted under it, or has no commit yet
        }
        if entry.branch.as_ref() != Some(&owner.branch) {
            tips.push((mine, owner.branch.clone()));
        }
        let mut found = Vec::new();
        for (tip, name) in tips {
            let mut count = place
                .call(&self.git, "rev-list")
                .args([
                    "--ignore-missing",
                    "--count",
                    &tip,
                    "--not",
                    "--remotes",
                    "--tags",
                ])
                .arg(format!("--exclude={}", owner.branch));
            if let Some(branch) = &entry.branch {
                count = count.arg(format!("--exclude={branch}"));
            }
            let out = count.args(["--branches", "--"]).text().await?;
            let text = String::from_utf8_lossy(&out);
            let count = text.trim().parse().map_err(|_| WorktreeError::Git {
                verb: "rev-list",
                path: place.tree.clone(),
                said: text.trim().to_owned(),
            })?;
            if count > 0 {
                found.push((count, name));
            }
        }
        Ok(found)
    }
}
