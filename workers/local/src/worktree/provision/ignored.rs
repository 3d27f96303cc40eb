//! What git itself says about paths: which ones it tracks, which ones the person's rules ignore, which ones `.worktreeinclude`
//! names. Only git reads git's patterns exactly.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ao_domain::port::worktrees::WorktreeError;
use camino::Utf8Path;

use super::super::git::{Call, Git};
use super::super::lock::Lock;
use super::super::record::io_error;
use super::super::run::refused;
use super::exclude;

/// The file in the project's checkout that names what is copied, as other tools have it too: of the checkout, tracked or not,
/// since it speaks of files that only the checkout has.
const INCLUDE: &str = ".worktreeinclude";

/// The most bytes that are read of it: git would read any number.
const INCLUDE_MAX: u64 = 1 << 20;

/// How many times the usual deadline the look for them may take: it goes through everything that is ignored, too.
const LOOK: u32 = 5;

/// Before each path that `git check-ignore` is asked about: it takes one that begins with a colon for a pattern, and cannot be
/// told not to.
const HERE: &[u8] = b"./";

/// Paths in an index.
#[derive(Debug, Default)]
pub(super) struct Tracked(BTreeSet<PathBuf>);

impl Tracked {
    /// What `git ls-files`, put together by `call`, lists.
    pub(super) async fn of(call: Call) -> Result<Self, WorktreeError> {
        let out = call.args(["-z", "--cached"]).text().await?;
        Ok(Self(paths(&out).collect()))
    }

    /// Whether git tracks `path`, something above it, such as a submodule, or something below it.
    pub(super) fn touches(&self, path: &Path) -> bool {
        let above = path.ancestors().any(|above| self.0.contains(above));
        let mut after = self.0.range::<Path, _>((Bound::Included(path), Bound::Unbounded));
        above || after.next().is_some_and(|next| next.starts_with(path))
    }
}

/// Files of the checkout at `repo` that its `.worktreeinclude` names and that git ignores there; with a slash at the end, a
/// repository of its own. What git tracks is never among them.
pub(super) async fn included(git: &Git, lock: &Lock, repo: &Utf8Path) -> Result<Vec<PathBuf>, WorktreeError> {
    let file = repo.join(INCLUDE);
    match fs::metadata(&file) {
        Ok(meta) if meta.is_file() && meta.len() <= INCLUDE_MAX => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Ok(_) => {
            let words = format!("it is no file of at most {INCLUDE_MAX} bytes");
            return Err(io_error("reading .worktreeinclude", &file)(io::Error::other(
                words,
            )));
        }
        Err(error) => return Err(io_error("reading .worktreeinclude", &file)(error)),
    }
    let named = git
        .call(repo, "ls-files")
        .args(["-z", "--others", "--ignored"])
        .arg(format!("--exclude-from={file}"))
        .patient(LOOK)
        .text()
        .await?;
    let named: Vec<PathBuf> = paths(&named).collect();
    let ignored = ignored(git.call(repo, "check-ignore"), lock, &named).await?;
    Ok(named.into_iter().filter(|path| ignored.contains(path)).collect())
}

/// Which of `paths` are ignored where `call`, a `git check-ignore`, looks, our own lines in the exclude file aside.
pub(super) async fn ignored(
    call: Call,
    lock: &Lock,
    paths: &[PathBuf],
) -> Result<HashSet<PathBuf>, WorktreeError> {
    if paths.is_empty() {
        return Ok(HashSet::new());
    }
    let (verb, dir) = (call.verb, call.dir.clone());
    let list = lock.folder().join("paths");
    let input = listed(&list, paths).map_err(io_error("writing a list of files", &list))?;
    let said = call
        .args(["-z", "--stdin", "--verbose"])
        .ask_with(input.into())
        .await?;
    fs::remove_file(&list).map_err(io_error("deleting a list of files", &list))?;
    if !matches!(said.status.code(), Some(0 | 1)) {
        return Err(refused(verb, &dir, &said)); // 1 says that none is
    }
    let fields: Vec<&[u8]> = said.out.split(|byte| *byte == 0).collect();
    let (lines, _) = fields.as_chunks::<4>();
    let found = lines.iter().filter_map(|[stands, _, rule, path]| {
        let path = Path::new(OsStr::from_bytes(path.strip_prefix(HERE).unwrap_or(path)));
        let is_ours =
            stands.ends_with(b"info/exclude") && exclude::pattern(path).is_some_and(|ours| ours == *rule);
        (!rule.starts_with(b"!") && !is_ours).then(|| path.to_owned())
    });
    Ok(found.collect())
}

fn paths(out: &[u8]) -> impl Iterator<Item = PathBuf> {
    out.split(|byte| *byte == 0)
        .filter(|path| !path.is_empty())
        .map(|path| PathBuf::from(OsStr::from_bytes(path)))
}

fn listed(list: &Utf8Path, paths: &[PathBuf]) -> io::Result<File> {
    let mut bytes = Vec::new();
    for path in paths {
        bytes.extend_from_slice(HERE);
        bytes.extend_from_slice(path.as_os_str().as_bytes());
        bytes.push(0);
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(list)?;
    file.write_all(&bytes)?;
    File::open(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_or_below_something_tracked_is_touched() {
        let tracked = Tracked(["a/b", "a-b", "sub"].map(PathBuf::from).into());
        for path in ["a/b", "a", "sub", "sub/x/y"] {
            assert!(tracked.touches(Path::new(path)), "{path}");
        }
        for path in ["a/c", "b", "a/bc", "su"] {
            assert!(!tracked.touches(Path::new(path)), "{path}");
        }
    }
}
