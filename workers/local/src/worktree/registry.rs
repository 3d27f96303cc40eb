//! What git has registered: the worktrees of a repository and the files it keeps for each.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use ao_domain::WorktreeOwner;
use ao_domain::port::worktrees::WorktreeError;
use camino::{Utf8Path, Utf8PathBuf};

use super::git::Git;
use super::link;
use super::record::io_error;

/// One linked worktree as `git worktree list` knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    /// The commit checked out; `None` on a branch without commits.
    pub(super) head: Option<String>,
    /// The branch checked out, without `refs/heads/`; `None` when detached.
    pub(super) branch: Option<String>,
    /// Why it is locked, in the words of who did it.
    pub(super) locked: Option<String>,
}

impl Entry {
    /// Whether the `git worktree add` that began it never ended.
    pub(super) fn is_half_made(&self) -> bool {
        self.locked.as_deref() == Some("initializing")
    }
}

/// All worktrees of the repository at `repo`, its main one first.
pub(super) async fn list(git: &Git, repo: &Utf8Path) -> Result<Vec<Entry>, WorktreeError> {
    let list = git.call(repo, "worktree").args(["list", "--porcelain", "-z"]);
    Ok(parse(&list.text().await?))
}

/// The entry of `owner`'s worktree, if its repository has one.
pub(super) async fn find(git: &Git, owner: &WorktreeOwner) -> Result<Option<Entry>, WorktreeError> {
    Ok(of(owner, &list(git, &owner.repo).await?))
}

/// The worktree other than `owner`'s that has the same branch checked out.
pub(super) fn elsewhere<'a>(owner: &WorktreeOwner, entries: &'a [Entry]) -> Option<&'a Entry> {
    let ours = resolved(&owner.path);
    let mut others = entries.iter().filter(|entry| entry.path != ours);
    others.find(|entry| entry.branch.as_ref() == Some(&owner.branch))
}

/// Finishes the registration of the worktree at `path` where a killed git left it without its `commondir`, for with that
/// every git that lists worktrees dies, in all of the repository. Returns whether there was anything to finish.
pub(super) fn complete(repo: &Utf8Path, path: &Utf8Path) -> Result<bool, WorktreeError> {
    let Some(gitdir) = link::kept_for(repo, path) else {
        return Ok(false);
    };
    let says = |file: &str| fs::read(gitdir.join(file)).unwrap_or_default();
    if !says("locked").starts_with(b"initializing") || !says("commondir").is_empty() {
        return Ok(false);
    }
    let file = gitdir.join("commondir");
    fs::write(file, "../..\n").map_err(io_error("finishing a registration", repo))?;
    Ok(true)
}

/// The entry of `owner`'s worktree among all of its repository. The main work tree is never it.
pub(super) fn of(owner: &WorktreeOwner, entries: &[Entry]) -> Option<Entry> {
    at(&owner.path, entries)
}

/// The entry of the linked worktree at `path`.
pub(super) fn at(path: &Utf8Path, entries: &[Entry]) -> Option<Entry> {
    let wanted = resolved(path);
    let mut linked = entries.iter().skip(1);
    linked
        .find(|entry| entry.path == path.as_std_path() || entry.path == wanted)
        .cloned()
}

fn parse(out: &[u8]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in out.split(|byte| *byte == 0) {
        let space = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (word, rest) = (&line[..space], line.get(space + 1..).unwrap_or_default());
        if word == b"worktree" {
            entries.push(Entry {
                path: PathBuf::from(OsStr::from_bytes(rest)),
                ..Entry::default()
            });
        }
        let Some(entry) = entries.last_mut() else { continue };
        let text = || String::from_utf8_lossy(rest).into_owned();
        match word {
            // All zeros stand for a branch that has no commit yet.
            b"HEAD" if rest.iter().any(|byte| *byte != b'0') => entry.head = Some(text()),
            b"branch" => entry.branch = Some(text().trim_start_matches("refs/heads/").to_owned()),
            b"locked" => entry.locked = Some(text()),
            _ => {}
        }
    }
    entries
}

/// `path` with the symlinks of its folder resolved, as git writes it down; the last component may be missing.
pub(super) fn resolved(path: &Utf8Path) -> PathBuf {
    match (path.parent().map(Utf8Path::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => path.as_std_path().to_owned(),
    }
}

/// A work tree together with the folder git keeps for it. All looks name both, so that they hold wherever the work
/// tree is moved, and git corrects no path behind our back.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) tree: Utf8PathBuf,
    pub(super) gitdir: Utf8PathBuf,
}

impl Place {
    /// The work tree at `tree`, which the repository of `owner` has registered as `entry`. `None` when its `.git` file
    /// and git's own do not point at each other, or belong to another repository.
    pub(super) fn confirm(tree: &Utf8Path, owner: &WorktreeOwner, entry: &Entry) -> Option<Self> {
        let gitdir = link::linked(tree)?;
        let same =
            link::names(&gitdir, &entry.path)? && link::common(&gitdir)? == link::repository(&owner.repo)?;
        same.then(|| Self {
            tree: tree.to_owned(),
            gitdir,
        })
    }

    /// `git <verb>` about this work tree.
    pub(super) fn call(&self, git: &Git, verb: &'static str) -> super::git::Call {
        git.call(&self.tree, verb)
            .env("GIT_DIR", &self.gitdir)
            .env("GIT_WORK_TREE", &self.tree)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_listing_is_read_with_all_its_oddities() {
        let out = b"worktree /r\0HEAD 0000000000000000000000000000000000000000\0branch refs/heads/main\0\0\
            worktree /w/a\nb\0HEAD 12ab\0detached\0locked by me\0\0\
            worktree /w/c\0HEAD 12ab\0branch refs/heads/ao/w-1/root\0locked\0prunable gone\0\0";
        let entries = parse(out);
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[0].head, None);
        assert_eq!(entries[1].path, Path::new("/w/a\nb"));
        assert_eq!(
            (entries[1].branch.as_deref(), entries[1].locked.as_deref()),
            (None, Some("by me"))
        );
        assert_eq!(entries[2].branch.as_deref(), Some("ao/w-1/root"));
        assert_eq!(entries[2].locked.as_deref(), Some(""));
    }
}
