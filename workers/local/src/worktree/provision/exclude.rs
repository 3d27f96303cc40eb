//! Our lines in the repository's shared `info/exclude`, for what git would show in a worktree although it is ours.
//!
//! git reads no exclude file of a worktree alone, so the lines go where all of the repository's worktrees see them. Each worktree
//! that needs some has a block of its own, at the top of the file, between two comments that name it:
//!
//! ```text
//! # ao begin /data/worktrees/web/web-1 (links and copies of ours; goes with this worktree)
//! /node_modules
//! # ao end /data/worktrees/web/web-1
//! ```
//!
//! So nobody counts who needs what: taking a block away takes nothing from another worktree, whichever daemon made that. What
//! stands outside of blocks is the person's and stays byte for byte. The file is replaced whole, under a lock on its folder, and
//! not when somebody else has changed it meanwhile.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ao_domain::WorktreeOwner;
use ao_domain::port::worktrees::WorktreeError;
use camino::{Utf8Path, Utf8PathBuf};

use super::super::git::Git;
use super::super::record::{blocking, io_error};
use super::super::settle::aside;

const BEGIN: &str = "# ao begin ";
const END: &str = "# ao end ";
const WORDS: &str = " (links and copies of ours; goes with this worktree)";

/// Some editors put it at the start of a file, where git skips it; so it stays there.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How often another's lock on the folder is tried again: `flock` offers no event, and a waiting thread could not be cancelled.
const RETRY: Duration = Duration::from_millis(20);

/// How often it is tried again when the file was changed in between.
const TRIES: u32 = 10;

/// The line that names exactly `path` in an exclude file; `None` when none can.
pub(super) fn pattern(path: &Path) -> Option<Vec<u8>> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() || bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0)) {
        return None;
    }
    let mut line = vec![b'/'];
    let last = bytes
        .iter()
        .rposition(|byte| *byte != b' ')
        .map_or(0, |at| at + 1);
    for (at, byte) in bytes.iter().enumerate() {
        if b"*?[\\".contains(byte) || at >= last {
            line.push(b'\\');
        }
        line.push(*byte);
    }
    Some(line)
}

/// Makes the block of `owner`'s worktree name `paths`, and nobody else's; with none, there is no block. May be dropped at any time.
///
/// # Errors
/// When the file cannot be read or written, or stays locked by another for as long as git may take.
pub(super) async fn set(
    git: &Git,
    root: &Utf8Path,
    owner: &WorktreeOwner,
    paths: &BTreeSet<PathBuf>,
) -> Result<(), WorktreeError> {
    let common = git
        .call(&owner.repo, "rev-parse")
        .args(["--path-format=absolute", "--git-common-dir"])
        .text()
        .await?;
    let info = Path::new(OsStr::from_bytes(common.strip_suffix(b"\n").unwrap_or(&common))).join("info");
    let lock = locked(&info, &owner.repo, git.deadline).await?;
    let lines: Vec<Vec<u8>> = paths.iter().filter_map(|path| pattern(path)).collect();
    let (owner, root) = (owner.clone(), root.to_owned());
    let repo = owner.repo.clone();
    blocking("changing the exclude file", &repo, move || {
        let _lock = lock;
        let keeps = |name: &str| name != owner.path && !is_left(name, &root);
        replace(&info.join("exclude"), |old| {
            edited(old, owner.path.as_str(), &lines, keeps)
        })
    })
    .await
}

/// Whether a block is of a worktree of ours that is not there any more, as after a power cut in the last instant of a removal.
fn is_left(name: &str, root: &Utf8Path) -> bool {
    let path = Utf8Path::new(name);
    let moved = path
        .file_name()
        .and_then(|name| name.parse().ok())
        .map(|session| {
            aside(&WorktreeOwner {
                session,
                repo: Utf8PathBuf::new(),
                path: path.to_owned(),
                branch: String::new(),
            })
        });
    let gone = |path: &Utf8Path| {
        fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    path.starts_with(root) && gone(path) && moved.is_some_and(|moved| gone(&moved))
}

/// The lock on git's `info` folder, which is made where it is missing.
async fn locked(info: &Path, repo: &Utf8Path, patience: Duration) -> Result<File, WorktreeError> {
    let io = |error| io_error("locking the exclude file", repo)(error);
    fs::create_dir_all(info).map_err(io)?;
    let folder = File::open(info).map_err(io)?;
    let over = tokio::time::Instant::now() + patience;
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(folder),
            Err(fs::TryLockError::WouldBlock) if tokio::time::Instant::now() < over => {
                tokio::time::sleep(RETRY).await;
            }
            Err(error) => return Err(io(error.into())),
        }
    }
}

/// Replaces the file with what `change` makes of it, unless that is the same.
fn replace(path: &Path, change: impl Fn(&[u8]) -> Vec<u8>) -> io::Result<()> {
    // Of a link to a file that the person keeps elsewhere, that file.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let missing = |error: io::Error| {
        (error.kind() == io::ErrorKind::NotFound)
            .then_some(())
            .ok_or(error)
    };
    for _ in 0..TRIES {
        let before = stamp(&path)?;
        let old = fs::read(&path).or_else(|error| missing(error).map(|()| Vec::new()))?;
        let new = change(&old);
        if new == old {
            return Ok(());
        }
        if new.is_empty() {
            return fs::remove_file(&path); // it had nothing but our lines
        }
        let draft = path.with_file_name("exclude.ao-new");
        let mode = fs::metadata(&path).map_or(0o644, |meta| meta.permissions().mode() & 0o777);
        fs::remove_file(&draft).or_else(missing)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&draft)?;
        file.write_all(&new)?;
        file.sync_all()?; // a power cut must not leave the person an empty file
        if stamp(&path)? == before {
            return fs::rename(&draft, &path);
        }
        fs::remove_file(&draft)?;
    }
    Err(io::Error::other("somebody else keeps changing it"))
}

/// What tells one state of a file from the next.
fn stamp(path: &Path) -> io::Result<Option<(u64, u64, i64, i64)>> {
    match fs::metadata(path) {
        Ok(meta) => Ok(Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// `old` with a block for `name` that has `lines`, and of the blocks in it those that `keeps` wants.
fn edited(old: &[u8], name: &str, lines: &[Vec<u8>], keeps: impl Fn(&str) -> bool) -> Vec<u8> {
    let (mark, rest) = match old.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => (BYTE_ORDER_MARK, rest),
        None => (&b""[..], old),
    };
    let mut new = mark.to_vec();
    if !lines.is_empty() {
        let name = in_line(name);
        new.extend(format!("{BEGIN}{name}{WORDS}\n").bytes());
        for line in lines {
            new.extend(line);
            new.push(b'\n');
        }
        new.extend(format!("{END}{name}\n").bytes());
    }
    let rest: Vec<&[u8]> = rest.split_inclusive(|byte| *byte == b'\n').collect();
    let mut at = 0;
    while let Some(line) = rest.get(at) {
        at += match block(&rest[at..]) {
            Some((name, length)) if !keeps(&name) => length,
            _ => {
                new.extend(*line);
                1
            }
        };
    }
    new
}

/// The worktree that the block at the start of `lines` is for, and how many lines it has. `None` where there is no whole block.
fn block(lines: &[&[u8]]) -> Option<(String, usize)> {
    let text = |line: &[u8]| {
        String::from_utf8_lossy(line)
            .trim_end_matches(['\n', '\r'])
            .to_owned()
    };
    let first = text(lines.first()?);
    let name = first.strip_prefix(BEGIN)?.strip_suffix(WORDS)?;
    let end = format!("{END}{name}");
    let length = 1 + lines[1..]
        .iter()
        .take_while(|line| line.starts_with(b"/"))
        .count();
    (text(lines.get(length)?) == end).then(|| (name.to_owned(), length + 1))
}

/// A path that holds a line break must not become two lines.
fn in_line(name: &str) -> String {
    name.replace(['\n', '\r'], "?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(old: &[u8], name: &str, lines: &[&str]) -> Vec<u8> {
        let lines: Vec<Vec<u8>> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
        edited(old, name, &lines, |other| other != name)
    }

    #[test]
    fn what_the_person_wrote_stays_byte_for_byte() {
        for theirs in [
            &b""[..],
            b"*.log\n",
            b"no line feed at its end",
            b"\xef\xbb\xbf*.log\r\n\n\xff\n# ao end /other\n",
            b"# ao begin /w/1 (links and copies of ours; goes with this worktree)\n/not ended\n",
        ] {
            let one = set(theirs, "/w/1", &["/a", "/b"]);
            assert!(one.ends_with(theirs.strip_prefix(BYTE_ORDER_MARK).unwrap_or(theirs)));
            let two = set(&one, "/w/2", &["/a"]);
            let again = set(&two, "/w/1", &["/a", "/b"]);
            assert_eq!(again.len(), two.len());
            assert_eq!(set(&set(&again, "/w/1", &[]), "/w/2", &[]), theirs);
        }
    }

    #[test]
    fn a_block_is_replaced_and_others_stay() {
        let two = set(&set(b"mine\n", "/w/1", &["/a"]), "/w/2", &["/b"]);
        let changed = String::from_utf8(set(&two, "/w/1", &["/c"])).unwrap();
        let lines: Vec<&str> = changed.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines, ["/c", "/b", "mine"]);
        assert_eq!(set(changed.as_bytes(), "/w/3", &[]), changed.as_bytes());
    }

    #[test]
    fn a_line_that_somebody_put_into_a_block_ends_our_claim_to_it() {
        let block = String::from_utf8(set(b"", "/w/1", &["/a"])).unwrap();
        let theirs = block.replace("/a\n", "/a\n*.mine\n");
        assert_eq!(set(theirs.as_bytes(), "/w/1", &[]), theirs.as_bytes());
    }

    #[test]
    fn every_name_has_the_pattern_that_names_only_it() {
        for (path, line) in [
            ("node_modules", "/node_modules"),
            ("#a", "/#a"),
            ("!a", "/!a"),
            ("a*b?c[d]\\e", "/a\\*b\\?c\\[d]\\\\e"),
            ("a b  ", "/a b\\ \\ "),
            ("  ", "/\\ \\ "),
        ] {
            assert_eq!(pattern(Path::new(path)).unwrap(), line.as_bytes(), "{path:?}");
        }
        for path in ["a\nb", "a\r", ""] {
            assert_eq!(pattern(Path::new(path)), None, "{path:?}");
        }
    }
}
