//! Submodules of a worktree: each has a history of its own, which git keeps in the worktree's folder and deletes with it. No
//! commit of ours can hold that, so a worktree goes only when all of it is elsewhere.

use std::fs;
use std::path::{Path, PathBuf};

use ao_domain::port::worktrees::WorktreeError;
use camino::Utf8Path;

use super::GitWorktrees;
use super::link;
use super::lock::Lock;
use super::record::blocking;
use super::registry::Place;
use super::rescue::line;
use super::settle::files_below;
use super::status::{STATUS, Status};

impl GitWorktrees {
    /// Whether nothing of the submodule at `path` in the worktree is lost with it: each of its commits and of those inside it is on
    /// one of its remotes, and none has a file that git does not know, but for build output.
    pub(super) async fn is_elsewhere(&self, place: &Place, path: &Path) -> Result<bool, WorktreeError> {
        let tree = place.tree.as_std_path().join(path);
        let module = if tree.join(".git").exists() {
            gitdir(&tree.join(".git"))
        } else {
            module(place, path)
        };
        if !self.history_is_elsewhere(&place.tree, &module).await? {
            return Ok(false);
        }
        let inside = blocking("looking for submodules", &place.tree, move || {
            let mut files = Vec::new();
            if tree.is_dir() {
                files_below(&tree, Path::new(""), &mut files)?;
            }
            let is_link = |file: &PathBuf| file.file_name().is_some_and(|name| name == ".git");
            let links = files.into_iter().filter(is_link);
            Ok(links.map(|file| tree.join(file)).collect::<Vec<_>>())
        });
        for link in inside.await? {
            if !self.has_only_known_files(&place.tree, &link).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether every commit that a ref of the repository at `module` names, and of those inside it, is on one of its remotes.
    pub(super) async fn history_is_elsewhere(
        &self,
        dir: &Utf8Path,
        module: &Path,
    ) -> Result<bool, WorktreeError> {
        let inside = modules(module)
            .into_iter()
            .map(|name| module.join("modules").join(name));
        for module in std::iter::once(module.to_owned()).chain(inside) {
            let count = self.git.call(dir, "rev-list");
            // Its own work tree, which its settings name, may be gone.
            let count = count.env("GIT_DIR", &module).env("GIT_WORK_TREE", &module);
            let count = count.args(["--count", "--all", "HEAD", "--not", "--remotes", "--"]);
            let said = count.ask().await?;
            if !said.status.success() || line(&said.out) != "0" {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn has_only_known_files(&self, dir: &Utf8Path, link: &Path) -> Result<bool, WorktreeError> {
        let Some(tree) = link.parent() else {
            return Ok(false);
        };
        let status = self.git.call(dir, "status").args(STATUS);
        let status = status.env("GIT_DIR", gitdir(link)).env("GIT_WORK_TREE", tree);
        let status = Status::parse(&status.text().await?);
        let known = status.modified.is_empty() && status.untracked.is_empty();
        Ok(known && status.ignored.iter().all(|path| self.disposable.covers(path)))
    }
}

/// A worktree with the folder that git keeps for it, as a whole at one place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home<'a> {
    pub(super) tree: &'a Utf8Path,
    pub(super) gitdir: &'a Utf8Path,
}

impl GitWorktrees {
    /// Has every submodule of a worktree that was at `was` and is `now` find its history again, and be found by it: the links of
    /// submodules are relative, and lead nowhere once either end has moved. To be called before the worktree's own link is put right,
    /// so that a call that is cut is repeated.
    pub(super) async fn move_submodules(
        &self,
        lock: &Lock,
        was: Home<'_>,
        now: Home<'_>,
    ) -> Result<(), WorktreeError> {
        if modules(now.gitdir.as_std_path()).is_empty() {
            return Ok(());
        }
        let tree = now.tree.to_owned();
        let files = blocking("looking for submodules", now.tree, move || {
            let mut files = Vec::new();
            files_below(tree.as_std_path(), Path::new(""), &mut files)?;
            Ok(files)
        });
        for file in files.await? {
            let Some(sub) = file
                .parent()
                .filter(|_| file.ends_with(".git") && file != Path::new(".git"))
            else {
                continue;
            };
            let link = now.tree.as_std_path().join(&file);
            let text = fs::read_to_string(&link).unwrap_or_default();
            let Some(target) = text.strip_prefix("gitdir: ").map(str::trim_end) else {
                continue;
            };
            let target = link::plain(&was.tree.as_std_path().join(sub).join(target));
            let Ok(below) = target.strip_prefix(was.gitdir) else {
                continue; // it leads there already, or is nothing of this worktree
            };
            let module = now.gitdir.as_std_path().join(below);
            let tree = now.tree.as_std_path().join(sub);
            let (Some(module), Some(tree)) = (module.to_str(), tree.to_str()) else {
                continue; // no name that git could write down either
            };
            // From where no link is broken.
            let known = self.git.call(lock.folder(), "config");
            let known = known.args(["--file", &format!("{module}/config"), "core.worktree", tree]);
            known.act(lock).await?;
            let path = Utf8Path::new(tree);
            link::point(path, Utf8Path::new(module))?;
        }
        Ok(())
    }
}

/// The histories of submodules in `gitdir`, and of those inside them, by name: a name may have several parts.
pub(super) fn modules(gitdir: &Path) -> Vec<PathBuf> {
    fn look(folder: &Path, name: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), name.join(entry.file_name()));
            if !path.is_dir() {
            } else if path.join("HEAD").exists() {
                look(&path.join("modules"), &name.join("modules"), found);
                found.push(name);
            } else {
                look(&path, &name, found);
            }
        }
    }
    let mut found = Vec::new();
    look(&gitdir.join("modules"), Path::new(""), &mut found);
    found.sort_unstable();
    found
}

/// Of these those, by name, that no submodule at one of `paths` in the worktree has: git keeps them when `git submodule deinit` or
/// another commit takes the files away.
pub(super) fn left_modules(place: &Place, paths: &[PathBuf]) -> Vec<PathBuf> {
    // A submodule may have another name than its path, so it is told by where its link leads.
    let of_submodule = |path: &PathBuf| gitdir(&place.tree.as_std_path().join(path).join(".git"));
    let used = paths
        .iter()
        .filter_map(|path| of_submodule(path).canonicalize().ok());
    let used: Vec<PathBuf> = used.collect();
    let is_left = |name: &PathBuf| {
        let module = module(place, name);
        let module = module.canonicalize().unwrap_or(module);
        !used.iter().any(|used| module.starts_with(used))
    };
    let mut names = modules(place.gitdir.as_std_path());
    names.retain(is_left);
    names
}

/// The history of that name.
pub(super) fn module(place: &Place, name: &Path) -> PathBuf {
    place.gitdir.as_std_path().join("modules").join(name)
}

/// The folder behind a `.git`, which is a file in every submodule that git made.
fn gitdir(link: &Path) -> PathBuf {
    let text = fs::read_to_string(link).unwrap_or_default();
    match (text.strip_prefix("gitdir: "), link.parent()) {
        (Some(target), Some(folder)) => folder.join(target.trim_end_matches('\n')),
        _ => link.to_owned(),
    }
}
