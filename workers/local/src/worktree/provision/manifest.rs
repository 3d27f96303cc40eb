//! What provisioning put into a worktree, so that it is known again: `<locks>/<session>/furnished`.
//!
//! A line is written before the file it is about comes to its place, so nothing of ours is ever taken for the agent's, whenever
//! we are killed. The other way round it proves nothing by itself: a file is ours and unchanged only while it is what the line
//! says, a link that leads there or a file of those bytes.
//!
//! Three fields make a line, each ended by a zero, since a path may hold anything else: what it is (`link`, `copy` or `line`),
//! the path from the top of the worktree, and where the link leads or the SHA-256 of the file. A `line` is a path that was
//! listed in the repository's exclude file.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use camino::Utf8Path;
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use super::super::disposable::Disposable;
use super::super::lock::Lock;
use super::super::settle::files_below;

/// How much of a file is read at once.
pub(super) const PIECE: usize = 256 << 10;

/// One thing that was put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// A link that leads there.
    Link(PathBuf),
    /// A file with this hash, in hexadecimal.
    Copy(String),
}

/// What is written down of a session.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    put: BTreeMap<PathBuf, Put>,
    /// Paths listed in the exclude file.
    pub(super) lines: BTreeSet<PathBuf>,
}

impl Manifest {
    /// What is written down under `lock`; nothing where nothing was.
    pub(super) fn read(lock: &Lock) -> io::Result<Self> {
        match fs::read(lock.folder().join("furnished")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            other => Ok(Self::parse(&other?)),
        }
    }

    /// Reads what it can: a line that a power cut took proves nothing.
    fn parse(bytes: &[u8]) -> Self {
        let mut manifest = Self::default();
        let fields: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
        // After the last zero comes what is no whole field.
        let (lines, _) = fields[..fields.len() - 1].as_chunks::<3>();
        for [kind, path, value] in lines {
            let (path, value) = (PathBuf::from(OsStr::from_bytes(path)), OsStr::from_bytes(value));
            match *kind {
                b"link" => drop(manifest.put.insert(path, Put::Link(value.into()))),
                b"copy" => {
                    let hash = Put::Copy(value.to_string_lossy().into_owned());
                    manifest.put.insert(path, hash);
                }
                b"line" => drop(manifest.lines.insert(path)),
                _ => {}
            }
        }
        manifest
    }

    fn print(&self) -> Vec<u8> {
        let put = self.put.iter().flat_map(|(path, put)| entry(path, put));
        let lines = self.lines.iter().flat_map(|path| line(path));
        put.chain(lines).collect()
    }

    /// Whether what lies at `path` in `tree` is what was put there.
    fn is_unchanged(&self, tree: &Path, path: &Path) -> io::Result<bool> {
        let there = tree.join(path);
        let same = match self.put.get(path) {
            None => return Ok(false),
            Some(Put::Link(to)) => fs::read_link(there).map(|leads| leads == *to),
            Some(Put::Copy(hash)) => has_hash(&there, hash),
        };
        match same {
            // No link any more, or nothing.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::NotFound
                ) =>
            {
                Ok(false)
            }
            other => other,
        }
    }

    fn has_below(&self, folder: &Path) -> bool {
        let mut from = self.put.range(folder.to_owned()..);
        from.next().is_some_and(|(path, _)| path.starts_with(folder))
    }
}

fn has_hash(path: &Path, hash: &str) -> io::Result<bool> {
    if !fs::symlink_metadata(path)?.is_file() {
        return Ok(false);
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK; // should it be something else by now
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    Ok(hash_of(file)? == hash)
}

/// The SHA-256 of what `file` has from here on.
pub(super) fn hash_of(mut file: impl io::Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hexadecimal(&hash.finalize())),
            read => hash.update(&piece[..read]),
        }
    }
}

pub(in crate::worktree) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a string does not fail
        text
    })
}

fn entry(path: &Path, put: &Put) -> Vec<u8> {
    match put {
        Put::Link(to) => fields([b"link", path.as_os_str().as_bytes(), to.as_os_str().as_bytes()]),
        Put::Copy(hash) => fields([b"copy", path.as_os_str().as_bytes(), hash.as_bytes()]),
    }
}

fn line(path: &Path) -> Vec<u8> {
    fields([b"line", path.as_os_str().as_bytes(), b""])
}

fn fields(fields: [&[u8]; 3]) -> Vec<u8> {
    fields.iter().flat_map(|field| [*field, b"\0"].concat()).collect()
}

/// The manifest while it grows. Whoever has it holds the session's lock.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    manifest: Manifest,
}

impl Journal {
    /// Goes on with what is written down, without a line that was cut short.
    pub(super) fn open(lock: &Lock) -> io::Result<Self> {
        let manifest = Manifest::read(lock)?;
        let (path, new) = (
            lock.folder().join("furnished"),
            lock.folder().join("furnished.new"),
        );
        fs::write(&new, manifest.print())?;
        fs::rename(&new, &path)?;
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Self { file, manifest })
    }

    /// Writes down that `put` is about to come to `path`.
    pub(super) fn put(&mut self, path: &Path, put: Put) -> io::Result<()> {
        if self.manifest.put.get(path) == Some(&put) {
            return Ok(());
        }
        self.file.write_all(&entry(path, &put))?;
        self.manifest.put.insert(path.to_owned(), put);
        Ok(())
    }

    /// The paths of all links.
    pub(super) fn links(&self) -> Vec<PathBuf> {
        let is_link = |put: &Put| matches!(put, Put::Link(_));
        let links = self.manifest.put.iter().filter(|(_, put)| is_link(put));
        links.map(|(path, _)| path.clone()).collect()
    }

    /// Writes down that `paths` are about to be listed in the exclude file, and returns all that are.
    pub(super) fn list(&mut self, paths: Vec<PathBuf>) -> io::Result<&BTreeSet<PathBuf>> {
        for path in paths {
            if !self.manifest.lines.contains(&path) {
                self.file.write_all(&line(&path))?;
                self.manifest.lines.insert(path);
            }
        }
        Ok(&self.manifest.lines)
    }
}

/// Of the files that a look found in `tree`, untracked ones and ignored ones that are not disposable, those that we did not put
/// there or that were changed since. A folder with something of ours in it is looked through, and what else it holds is named
/// file by file; one with nothing in it holds nothing.
pub(in super::super) fn not_ours(
    lock: &Lock,
    tree: &Utf8Path,
    disposable: &Disposable,
    untracked: Vec<PathBuf>,
    ignored: Vec<PathBuf>,
) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let manifest = Manifest::read(lock)?;
    let tree = tree.as_std_path();
    let mut rest = (Vec::new(), Vec::new());
    for path in untracked {
        if !manifest.is_unchanged(tree, &path)? {
            rest.0.push(path);
        }
    }
    for path in ignored {
        if !path.as_os_str().as_bytes().ends_with(b"/") {
            if !manifest.is_unchanged(tree, &path)? {
                rest.1.push(path);
            }
            continue;
        }
        if !manifest.has_below(&path) {
            if has_file(&tree.join(&path))? {
                rest.1.push(path);
            }
            continue;
        }
        let mut files = Vec::new();
        files_below(tree, &path, &mut files)?;
        // What is a repository of its own is named as such.
        if files.iter().any(|file| file.iter().any(|part| part == ".git")) {
            rest.1.push(path);
            continue;
        }
        files.sort_unstable();
        for file in files {
            if !disposable.covers(&file) && !manifest.is_unchanged(tree, &file)? {
                rest.1.push(file);
            }
        }
    }
    Ok(rest)
}

/// Whether there is anything but folders in `folder`, which may be one that a cut call has made.
fn has_file(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() || has_file(&entry.path())? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_read_again_but_for_a_line_cut_short() {
        let mut manifest = Manifest::default();
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        manifest
            .put
            .insert(path(b"line\nbreak \xff"), Put::Copy("ab".to_owned()));
        manifest
            .put
            .insert(path(b"node_modules"), Put::Link(path(b"/p/node_modules")));
        manifest.lines.insert(path(b"node_modules"));
        let mut bytes = manifest.print();
        assert_eq!(Manifest::parse(&bytes), manifest);
        bytes.extend(b"copy\0half");
        assert_eq!(Manifest::parse(&bytes), manifest);
        bytes.extend(b"\0");
        assert_eq!(Manifest::parse(&bytes), manifest);
    }
}
