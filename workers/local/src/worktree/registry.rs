//! What git has registered: the worktrees of a repository and the files it keeps for each.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use ao_domain::WorktreeOwner;
use ao_domain::port::worktrees::WorktreeError;
use camino::{Utf8Path, Utf8PathBuf};

use super::git::Git;
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

/// Finishes the registration of `owner`'s worktree where a killed git left it without its `commondir`, for with that
/// every git that lists worktrees dies, in all of the repository. Returns whether there was anything to finish.
pub(super) async fn complete(git: &Git, owner: &WorktreeOwner) -> Result<bool, WorktreeError> {
    let common = git
        .call(&owner.repo, "rev-parse")
        .args(["--path-format=absolute", "--git-common-dir"])
        .text()
        .await?;
    let common = Path::new(OsStr::from_bytes(common.trim_ascii_end())).join("worktrees");
    let ours = resolved(&owner.path).join(".git");
    for entry in fs::read_dir(common).into_iter().flatten().flatten() {
        let gitdir = entry.path();
        let says = |file: &str| fs::read(gitdir.join(file)).unwrap_or_default();
        let link = says("gitdir");
        if Path::new(OsStr::from_bytes(link.trim_ascii_end())) == ours
            && says("locked").starts_with(b"initializing")
            && says("commondir").is_empty()
        {
            let file = gitdir.join("commondir");
            fs::write(file, "../..\n").map_err(io_error("finishing a registration", &owner.repo))?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// The entry of `owner`'s worktree among all of its repository. The main work tree is never it.
pub(super) fn of(owner: &WorktreeOwner, entries: &[Entry]) -> Option<Entry> {
    let wanted = resolved(&owner.path);
    let mut linked = entries.iter().skip(1);
    linked
        .find(|entry| entry.path == owner.path.as_std_path() || entry.path == wanted)
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
        let gitdir = linked(tree)?;
        let back = fs::read(gitdir.join("gitdir")).ok()?;
        let back = Path::new(OsStr::from_bytes(back.trim_ascii_end()));
        let back = gitdir.as_std_path().join(back);
        // Relative in repositories with `worktree.useRelativePaths`, so compared by where they lead.
        let leads = |path: &Path| {
            let folder = path.parent()?;
            Some(folder.parent()?.canonicalize().ok()?.join(folder.file_name()?))
        };
        let same = leads(&back)? == leads(&entry.path.join(".git"))?
            && common(&gitdir)? == common(&linked(&owner.repo).unwrap_or(owner.repo.join(".git")))?;
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

/// The folder that the `.git` file in `tree` points at.
fn linked(tree: &Utf8Path) -> Option<Utf8PathBuf> {
    let link = fs::read(tree.join(".git")).ok()?;
    let target = std::str::from_utf8(link.strip_prefix(b"gitdir: ")?).ok()?;
    Some(tree.join(target.trim_end_matches('\n')))
}

/// The repository that git's folder for a worktree belongs to; of the main one, itself.
fn common(gitdir: &Utf8Path) -> Option<PathBuf> {
    let text = fs::read_to_string(gitdir.join("commondir")).unwrap_or_default();
    gitdir
        .join(text.trim_end_matches('\n'))
        .as_std_path()
        .canonicalize()
        .ok()
}

#[cfg(test)]
mod tests {
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
