//! Going down a tree one folder at a time, by descriptor, so that no link leads anywhere else.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// For a folder that is made without one to take the mode from; the person's umask narrows it.
const MODE: Mode = Mode::from_bits_truncate(0o777);

/// A folder that was reached without following a link below the one it was reached from.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

/// Why a folder was not reached.
#[derive(Debug)]
pub(super) enum NotReached {
    /// It is not there.
    Missing,
    /// Something on the way is a link, or no folder.
    NoFolder,
    /// The system refused.
    Io(io::Error),
}

impl NotReached {
    fn of(error: Errno) -> Self {
        match error {
            Errno::NOENT => Self::Missing,
            Errno::NOTDIR | Errno::LOOP => Self::NoFolder,
            other => Self::Io(other.into()),
        }
    }
}

impl Folder {
    /// The folder at `path`, which may be reached by links.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY.bits().cast_signed();
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        Ok(Self(file.into()))
    }

    fn again(&self) -> Result<Self, NotReached> {
        self.0.try_clone().map(Self).map_err(NotReached::Io)
    }

    fn folder(&self, name: &Path) -> Result<Self, NotReached> {
        let opened = rustix::fs::openat(&self.0, name, FOLDER, Mode::empty());
        opened.map(Self).map_err(NotReached::of)
    }

    /// The same, made where it is not there.
    fn folder_made(&self, name: &Path, mode: Mode) -> Result<Self, NotReached> {
        match rustix::fs::mkdirat(&self.0, name, mode) {
            Ok(()) | Err(Errno::EXIST) => self.folder(name),
            Err(error) => Err(NotReached::of(error)),
        }
    }

    /// What lies at `path` below, and the folder it would lie in. `Missing` when a folder on the way is not there.
    pub(super) fn look(&self, path: &Path) -> Result<Option<FileType>, NotReached> {
        let mut folder = self.again()?;
        let (parents, name) = split(path);
        for part in parents {
            folder = folder.folder(&part)?;
        }
        folder.stat(&name).map_err(NotReached::Io)
    }

    /// The folder that `path` lies in, and its name there. Folders on the way are made.
    pub(super) fn way_to(&self, path: &Path) -> Result<(Self, PathBuf), NotReached> {
        let mut folder = self.again()?;
        let (parents, name) = split(path);
        for part in parents {
            folder = folder.folder_made(&part, MODE)?;
        }
        Ok((folder, name))
    }

    /// The same in two trees at once: in `self` the folders must be there, in `to` they are made as they are here.
    pub(super) fn ways_to(
        &self,
        to: &Self,
        path: &Path,
    ) -> Result<(Self, Self, PathBuf), (Side, NotReached)> {
        let (from, to) = (self, to);
        let mut here = from.again().map_err(|why| (Side::From, why))?;
        let mut there = to.again().map_err(|why| (Side::To, why))?;
        let (parents, name) = split(path);
        for part in parents {
            here = here.folder(&part).map_err(|why| (Side::From, why))?;
            let mode = rustix::fs::fstat(&here.0)
                .map_err(|error| (Side::From, NotReached::of(error)))?
                .st_mode;
            let mode = Mode::from_raw_mode(mode & 0o777) | Mode::RWXU; // we must be able to write into it
            there = there.folder_made(&part, mode).map_err(|why| (Side::To, why))?;
        }
        Ok((here, there, name))
    }

    /// What lies at `name` here, not followed.
    pub(super) fn stat(&self, name: &Path) -> io::Result<Option<FileType>> {
        match rustix::fs::statat(&self.0, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the file `name` here for reading; never a link, and it never waits.
    pub(super) fn file(&self, name: &Path) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.0, name, flags, Mode::empty())?.into())
    }

    /// Makes a link here. Whether it did: what is there stays.
    pub(super) fn link(&self, name: &Path, to: &Path) -> io::Result<bool> {
        made(rustix::fs::symlinkat(to, &self.0, name))
    }

    /// Moves the file at `from` here under `name`, in the place of what is there.
    pub(super) fn replace(&self, from: &Path, name: &Path) -> io::Result<()> {
        Ok(rustix::fs::renameat(rustix::fs::CWD, from, &self.0, name)?)
    }

    /// Where the link `name` here leads.
    pub(super) fn leads(&self, name: &Path) -> io::Result<PathBuf> {
        use std::os::unix::ffi::OsStringExt as _;
        let to = rustix::fs::readlinkat(&self.0, name, Vec::new())?;
        Ok(std::ffi::OsString::from_vec(to.into_bytes()).into())
    }

    /// Moves the file at `from` here under `name`. Whether it did: what is there stays.
    pub(super) fn take(&self, from: &Path, name: &Path) -> io::Result<bool> {
        use rustix::fs::{AtFlags, CWD, RenameFlags, linkat, renameat_with};
        match renameat_with(CWD, from, &self.0, name, RenameFlags::NOREPLACE) {
            // Some file systems, NFS among them, cannot do it in one; there is no link that replaces anything either.
            Err(Errno::INVAL | Errno::NOSYS) => {
                let linked = made(linkat(CWD, from, &self.0, name, AtFlags::empty()))?;
                std::fs::remove_file(from)?;
                Ok(linked)
            }
            other => made(other),
        }
    }
}

/// In which of two trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Where it is read.
    From,
    /// Where it is written.
    To,
}

fn made(done: rustix::io::Result<()>) -> io::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The folders on the way to a relative path, and its last name. What is no name is no way: git gives none such, and
/// `shared_path` takes none.
fn split(path: &Path) -> (Vec<PathBuf>, PathBuf) {
    let mut parts: Vec<PathBuf> = path
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .map(|part| PathBuf::from(part.as_os_str()))
        .collect();
    let name = parts.pop().unwrap_or_default();
    (parts, name)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn no_link_is_followed_and_nothing_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("top/real")).unwrap();
        fs::create_dir(at("outside")).unwrap();
        fs::write(at("outside/there"), "theirs").unwrap();
        fs::write(at("top/file"), "theirs").unwrap();
        std::os::unix::fs::symlink(at("outside"), at("top/link")).unwrap();
        std::os::unix::fs::symlink("file", at("top/name")).unwrap();
        let top = Folder::open(&at("top")).unwrap();
        for path in ["link/there", "link/new/x", "file/x"] {
            let path = Path::new(path);
            assert!(matches!(top.look(path), Err(NotReached::NoFolder)), "{path:?}");
            assert!(matches!(top.way_to(path), Err(NotReached::NoFolder)), "{path:?}");
            let ways = top.ways_to(&Folder::open(&at("outside")).unwrap(), path);
            assert!(
                matches!(ways, Err((Side::From, NotReached::NoFolder))),
                "{path:?}"
            );
        }
        assert!(top.file(Path::new("name")).is_err());
        assert!(top.file(Path::new("file")).is_ok());

        fs::write(at("draft"), "ours").unwrap();
        let (folder, name) = top.way_to(Path::new("real/new/x")).unwrap();
        assert!(folder.take(&at("draft"), &name).unwrap());
        assert_eq!(fs::read_to_string(at("top/real/new/x")).unwrap(), "ours");
        fs::write(at("draft"), "ours").unwrap();
        let (folder, name) = top.way_to(Path::new("file")).unwrap();
        assert!(!folder.take(&at("draft"), &name).unwrap());
        assert!(!folder.link(&name, Path::new("elsewhere")).unwrap());
        assert_eq!(fs::read_to_string(at("top/file")).unwrap(), "theirs");
    }
}
