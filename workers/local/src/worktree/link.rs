//! The two files by which a worktree and its repository find each other: `.git` in the worktree names the folder that git
//! keeps for it, and `gitdir` in that folder names the `.git` back.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use ao_domain::port::worktrees::WorktreeError;
use camino::{Utf8Path, Utf8PathBuf};

use super::record::io_error;
use super::registry::resolved;

/// What the `.git` of a worktree says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// It is not there, or empty as a write that was cut left it.
    Missing,
    /// It names a folder that is there.
    Leads(Utf8PathBuf),
    /// It names a folder that is not.
    Dangling(Utf8PathBuf),
    /// It is no file of git's: a repository of its own, or something else.
    Other,
}

impl Link {
    pub(super) fn of(tree: &Utf8Path) -> Self {
        let path = tree.join(".git");
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::Missing,
            Ok(meta) if meta.is_file() && meta.len() == 0 => return Self::Missing,
            Ok(meta) if meta.is_file() => {}
            _ => return Self::Other,
        }
        match linked(tree) {
            Some(gitdir) if gitdir.is_dir() => Self::Leads(gitdir),
            Some(gitdir) => Self::Dangling(gitdir),
            None => Self::Other,
        }
    }
}

/// The folder that the `.git` file in `tree` points at, be it there or not.
pub(super) fn linked(tree: &Utf8Path) -> Option<Utf8PathBuf> {
    let link = fs::read(tree.join(".git")).ok()?;
    let target = std::str::from_utf8(link.strip_prefix(b"gitdir: ")?).ok()?;
    Some(tree.join(target.trim_end_matches('\n')))
}

/// The repository that git's folder for a worktree belongs to; of the main one, itself.
pub(super) fn common(gitdir: &Utf8Path) -> Option<PathBuf> {
    let text = fs::read_to_string(gitdir.join("commondir")).unwrap_or_default();
    gitdir
        .join(text.trim_end_matches('\n'))
        .as_std_path()
        .canonicalize()
        .ok()
}

/// Where the repository with a work tree at `repo` keeps what all its worktrees share. `None` where no repository is.
pub(super) fn repository(repo: &Utf8Path) -> Option<PathBuf> {
    let common = common(&linked(repo).unwrap_or_else(|| repo.join(".git")))?;
    fs::symlink_metadata(common.join("HEAD"))
        .is_ok()
        .then_some(common)
}

/// The `.git` that the folder `gitdir` names back.
pub(super) fn back(gitdir: &Utf8Path) -> Option<PathBuf> {
    let back = fs::read(gitdir.join("gitdir")).ok()?;
    let back = Path::new(OsStr::from_bytes(back.trim_ascii_end()));
    // Relative in repositories with `worktree.useRelativePaths`.
    (!back.as_os_str().is_empty()).then(|| gitdir.as_std_path().join(back))
}

/// Whether `gitdir` speaks of the worktree at `path`, compared by where the paths lead: the worktree itself need not be there.
pub(super) fn names(gitdir: &Utf8Path, path: &Path) -> Option<bool> {
    let leads = |path: &Path| {
        let folder = path.parent()?;
        Some(folder.parent()?.canonicalize().ok()?.join(folder.file_name()?))
    };
    let back = back(gitdir)?;
    let wanted = path.join(".git");
    Some(plain(&back) == wanted || leads(&back)? == leads(&wanted)?)
}

/// `path` without its `..`, as if no part of it were a symlink: of what is not there no more can be known.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = plain.pop(),
            part => plain.push(part),
        }
    }
    plain
}

/// The folders that git keeps for the worktrees of the repository at `repo`.
pub(super) fn kept(repo: &Utf8Path) -> Vec<Utf8PathBuf> {
    let Some(common) = repository(repo) else {
        return Vec::new();
    };
    let entries = fs::read_dir(common.join("worktrees")).into_iter().flatten();
    entries
        .flatten()
        .filter_map(|entry| Utf8PathBuf::try_from(entry.path()).ok())
        .collect()
}

/// The folder that git keeps for the worktree at `path`, which need not be there.
pub(super) fn kept_for(repo: &Utf8Path, path: &Utf8Path) -> Option<Utf8PathBuf> {
    kept(repo)
        .into_iter()
        .find(|gitdir| names(gitdir, path.as_std_path()) == Some(true))
}

/// Has the worktree at `tree` name `gitdir`. Cut in the middle it leaves an empty file, which counts as missing.
pub(super) fn point(tree: &Utf8Path, gitdir: &Utf8Path) -> Result<(), WorktreeError> {
    let path = tree.join(".git");
    fs::write(&path, format!("gitdir: {gitdir}\n"))
        .map_err(io_error("writing the worktree's link to git", &path))
}

/// Has `gitdir` name the worktree at `tree`, whole or not at all: with a half of it git would forget the worktree.
pub(super) fn point_back(gitdir: &Utf8Path, tree: &Utf8Path) -> Result<(), WorktreeError> {
    let (path, new) = (gitdir.join("gitdir"), gitdir.join("gitdir.ao-new"));
    let mut link = resolved(tree).join(".git").into_os_string().as_bytes().to_vec();
    link.push(b'\n');
    fs::write(&new, link)
        .and_then(|()| fs::File::open(&new)?.sync_all())
        .and_then(|()| fs::rename(&new, &path))
        .map_err(io_error("writing git's link to the worktree", &path))
}

/// Says so where git failed because its folders in the repository at `repo` may not be written to: its own words do not always.
pub(super) fn explained(repo: &Utf8Path, error: WorktreeError) -> WorktreeError {
    let common = repository(repo).and_then(|common| Utf8PathBuf::try_from(common).ok());
    let (WorktreeError::Git { .. }, Some(common)) = (&error, common) else {
        return error;
    };
    let parts = ["refs", "refs/heads", "objects", "worktrees"].map(|part| common.join(part));
    let closed = std::iter::once(common).chain(parts).find(|path| {
        path.exists() && rustix::fs::access(path.as_std_path(), rustix::fs::Access::WRITE_OK).is_err()
    });
    match closed {
        Some(path) => WorktreeError::ReadOnly { path },
        None => error,
    }
}
