//! Saving everything a worktree holds in one commit under a numbered ref, before it is discarded.
//!
//! The commit's tree is the work tree with its untracked and its small ignored files; its first parent is `HEAD`; what
//! was staged and differs from both is a parent of its own, and so is every commit that only an unfinished operation
//! still names. [`undo_line`](ao_domain::undo_line) brings it all back as it was: changes as changes, ignored files ignored.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use ao_domain::WorktreeOwner;
use ao_domain::port::worktrees::WorktreeError;
use camino::Utf8Path;

use super::GitWorktrees;
use super::git::{Call, Git};
use super::lock::Lock;
use super::record::{blocking, io_error};
use super::registry::Place;
use super::settle::files_below;
use super::status::Conflicts;
use super::submodules::module;
use super::weigh::{ARGS_MAX, Weighed};

/// How often the next number is tried when somebody else took it first.
const TRIES: u32 = 5;

/// Ignored files saved, in bytes, smallest first: keys and settings are small, and what is large can be made again.
const IGNORED_MAX: u64 = 10 << 20;

/// Where an unfinished operation keeps commits that no ref names, such as what `rebase --autostash` put away.
const LOOSE_COMMITS: [&str; 9] = [
    "MERGE_HEAD",
    "MERGE_AUTOSTASH",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "ORIG_HEAD",
    "rebase-merge/autostash",
    "rebase-merge/orig-head",
    "rebase-apply/autostash",
    "rebase-apply/orig-head",
];

impl GitWorktrees {
    /// Saves what `weighed` found at `place` and returns the name of the ref.
    pub(super) async fn rescue(
        &self,
        lock: &Lock,
        owner: &WorktreeOwner,
        place: &Place,
        weighed: &Weighed,
    ) -> Result<String, WorktreeError> {
        let staged = self.staged(lock, place, &weighed.unwatched).await?;
        let index = self.watching(lock, place, &weighed.unwatched).await?;
        let call = |verb| durable(place.call(&self.git, verb)).env("GIT_INDEX_FILE", &index);
        let add = || call("add").args(["--sparse"]).patient(5);
        add().args(["--all", "--", "."]).text_under(lock).await?;
        let ignored = small_enough(place, weighed.ignored.clone()).await?;
        if !ignored.is_empty() {
            let paths = lock.folder().join("paths");
            list(&paths, &ignored).map_err(io_error("writing a list of files", &paths))?;
            add()
                .env("GIT_LITERAL_PATHSPECS", "1")
                .args(["--force", "--pathspec-file-nul"])
                .arg(format!("--pathspec-from-file={paths}"))
                .text_under(lock)
                .await?;
            fs::remove_file(&paths).map_err(io_error("deleting a list of files", &paths))?;
        }
        let tree = line(&call("write-tree").text_under(lock).await?);
        forget_copy(&index)?;
        let words = format!(
            "everything in the worktree of {} when it was discarded",
            owner.session
        );
        let head = match &weighed.head {
            Some(head) => head.clone(),
            // So that the first parent is always the state before the changes.
            None => {
                let empty = line(&call("mktree").text_under(lock).await?);
                self.commit(lock, place, &empty, &[], "nothing").await?
            }
        };
        let mut parents = vec![head.clone()];
        for staged in staged.iter().filter(|staged| **staged != tree) {
            let parent = std::slice::from_ref(&head);
            parents.push(
                self.commit(lock, place, staged, parent, "what was staged")
                    .await?,
            );
        }
        let mut loose = self.loose_commits(place).await?;
        if weighed.head.is_none() {
            // Its branch may have been deleted under it; then nothing but git's log of `HEAD` names what was on it.
            loose.extend(self.last_commit(owner).await?);
        }
        for commit in loose {
            if !parents.contains(&commit) {
                parents.push(commit);
            }
        }
        let commit = self.commit(lock, place, &tree, &parents, &words).await?;
        name(&self.git, owner, &commit, lock).await
    }

    /// The trees of what is staged. Git writes none while files are in conflict, and what is staged beside those may be in no file
    /// and in no commit: then there are two, each with one side of every conflict.
    pub(super) async fn staged(
        &self,
        lock: &Lock,
        place: &Place,
        unwatched: &[PathBuf],
    ) -> Result<Vec<String>, WorktreeError> {
        let listing = place
            .call(&self.git, "ls-files")
            .args(["-u", "-z"])
            .text()
            .await?;
        let conflicts = Conflicts::parse(&listing);
        let sides = if conflicts.paths.is_empty() {
            vec![None]
        } else {
            conflicts.sides.iter().map(Some).collect()
        };
        let mut trees = Vec::new();
        for side in sides {
            let index = self.watching(lock, place, unwatched).await?;
            let call = |verb| durable(place.call(&self.git, verb)).env("GIT_INDEX_FILE", &index);
            if let Some(side) = side {
                for some in conflicts.paths.chunks(ARGS_MAX) {
                    let forget = call("update-index").args(["--force-remove", "--"]);
                    forget.args(some).text_under(lock).await?;
                }
                for some in side.chunks(ARGS_MAX) {
                    let entries = some.iter().flat_map(|entry| [OsStr::new("--cacheinfo"), entry]);
                    let take = call("update-index").arg("--add").args(entries);
                    take.text_under(lock).await?;
                }
            }
            let written = call("write-tree").text_under(lock).await;
            forget_copy(&index)?;
            match written {
                Err(WorktreeError::Git { .. }) => {} // it names what is there no more
                other => trees.push(line(&other?)),
            }
        }
        trees.dedup();
        Ok(trees)
    }

    pub(super) async fn commit(
        &self,
        lock: &Lock,
        place: &Place,
        tree: &str,
        parents: &[String],
        words: &str,
    ) -> Result<String, WorktreeError> {
        // Made by us, and where git knows no identity of the person it must be made all the same.
        let call = durable(place.call(&self.git, "commit-tree"))
            .env("GIT_AUTHOR_NAME", "ao")
            .env("GIT_AUTHOR_EMAIL", "ao@localhost")
            .env("GIT_COMMITTER_NAME", "ao")
            .env("GIT_COMMITTER_EMAIL", "ao@localhost")
            .args(["--no-gpg-sign", "-m", words]);
        let call = parents
            .iter()
            .fold(call, |call, parent| call.args(["-p", parent]));
        Ok(line(&call.arg(tree).text_under(lock).await?))
    }

    /// The commits in the files of [`LOOSE_COMMITS`], as far as they are there.
    pub(super) async fn loose_commits(&self, place: &Place) -> Result<Vec<String>, WorktreeError> {
        let mut commits = Vec::new();
        for file in LOOSE_COMMITS {
            let text = fs::read_to_string(place.gitdir.join(file)).unwrap_or_default();
            for id in text.lines() {
                let call =
                    place
                        .call(&self.git, "rev-parse")
                        .args(["--verify", "--quiet", "--end-of-options"]);
                let said = call.arg(format!("{id}^{{commit}}")).ask().await?;
                if said.status.success() {
                    commits.push(line(&said.out));
                }
            }
        }
        Ok(commits)
    }

    /// What no commit can hold, so that it stays even when the person discards: repositories inside this one that git
    /// does not know as submodules, submodules with work of their own, and what is left of one that has no files any more.
    pub(super) async fn unsavable(
        &self,
        place: &Place,
        weighed: &Weighed,
    ) -> Result<Vec<PathBuf>, WorktreeError> {
        let mut found = weighed.changed_submodules.clone();
        let folders = weighed.untracked.iter().filter(|path| is_folder(path));
        found.extend(folders.cloned());
        let (tree, ignored) = (place.tree.clone(), weighed.ignored.clone());
        found.extend(
            blocking("looking for repositories", &place.tree, move || {
                let mut nested = Vec::new();
                for folder in ignored.into_iter().filter(|path| is_folder(path)) {
                    let mut files = Vec::new();
                    files_below(tree.as_std_path(), &folder, &mut files)?;
                    let inside = |file: &PathBuf| file.components().any(|part| part.as_os_str() == ".git");
                    if files.iter().any(inside) {
                        nested.push(folder);
                    }
                }
                Ok(nested)
            })
            .await?,
        );
        for submodule in &weighed.submodules {
            if !found.contains(submodule) && !self.is_elsewhere(place, submodule).await? {
                found.push(submodule.clone());
            }
        }
        for name in &weighed.histories {
            let elsewhere = self
                .history_is_elsewhere(&place.tree, &module(place, name))
                .await?;
            if !elsewhere && !found.contains(name) {
                found.push(name.clone());
            }
        }
        Ok(found)
    }
}

/// Deletes a copy of the index, if one was made.
pub(super) fn forget_copy(index: &Utf8Path) -> Result<(), WorktreeError> {
    match fs::remove_file(index) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("deleting a copy of the index", index)(error))
        }
        _ => Ok(()),
    }
}

fn is_folder(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

fn list(to: &Utf8Path, paths: &[PathBuf]) -> io::Result<()> {
    let mut bytes = Vec::new();
    for path in paths {
        bytes.extend_from_slice(path.as_os_str().as_bytes());
        bytes.push(0);
    }
    fs::write(to, bytes)
}

/// The ignored files that are saved: all below `ignored`, smallest first, up to [`IGNORED_MAX`] bytes.
async fn small_enough(place: &Place, ignored: Vec<PathBuf>) -> Result<Vec<PathBuf>, WorktreeError> {
    let tree = place.tree.clone();
    blocking("looking through ignored files", &place.tree, move || {
        let mut files = Vec::new();
        for path in ignored {
            if is_folder(&path) {
                files_below(tree.as_std_path(), &path, &mut files)?;
            } else {
                files.push(path);
            }
        }
        let mut sized = Vec::new();
        for file in files {
            let meta = fs::symlink_metadata(tree.as_std_path().join(&file))?;
            // Sockets and pipes hold nothing, and git saves none.
            if meta.is_file() || meta.is_symlink() {
                sized.push((meta.len(), file));
            }
        }
        sized.sort_unstable();
        let (mut total, count) = (0, sized.len());
        let saved = sized.into_iter().take_while(|(size, _)| {
            total += size;
            total <= IGNORED_MAX
        });
        let saved: Vec<PathBuf> = saved.map(|(_, file)| file).collect();
        if saved.len() < count {
            tracing::warn!(%tree, left = count - saved.len(), "ignored files beyond 10 MB are not saved");
        }
        Ok(saved)
    })
    .await
}

/// Everything git writes here must be on the disk before the files are deleted. Line endings are saved as they are; and names
/// that differ in case alone are two, as they are here, whatever the repository was told of another machine's disk.
pub(super) fn durable(call: Call) -> Call {
    call.settings(&[
        ("core.fsync", "all"),
        ("core.fsyncMethod", "batch"),
        ("core.safecrlf", "false"),
        ("core.autocrlf", "false"),
        ("core.ignorecase", "false"),
    ])
}

pub(super) fn line(out: &[u8]) -> String {
    String::from_utf8_lossy(out).trim().to_owned()
}

/// Points the next free `refs/ao/rescue/<session>/<n>` at `commit`, durably. A ref that exists is never moved.
pub(super) async fn name(
    git: &Git,
    owner: &WorktreeOwner,
    commit: &str,
    lock: &Lock,
) -> Result<String, WorktreeError> {
    let folder = format!("refs/ao/rescue/{}/", owner.session);
    let mut tries = 0;
    loop {
        let taken = git
            .call(&owner.repo, "for-each-ref")
            .args(["--format=%(refname)", &folder])
            .text()
            .await?;
        let last = String::from_utf8_lossy(&taken)
            .lines()
            .filter_map(|name| name.strip_prefix(&folder)?.parse::<u64>().ok())
            .max()
            .unwrap_or(0);
        let name = format!("{folder}{}", last + 1);
        let made = durable(git.call(&owner.repo, "update-ref"))
            // All zeros: it must not exist yet.
            .args([&name, commit, &"0".repeat(commit.len())])
            .act(lock)
            .await;
        tries += 1;
        match made {
            Err(WorktreeError::Git { .. }) if tries < TRIES => {}
            other => return other.map(|()| name),
        }
    }
}
