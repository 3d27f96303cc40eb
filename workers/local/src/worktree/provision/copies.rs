//! Copies of ignored files into a worktree.
//!
//! A file is copied beside the worktree, under a name of ours, written down, and then moved to its place in one step: nothing
//! half-copied is ever seen there, and nothing that is there is replaced. Where the file system can share blocks it does
//! (`FICLONE`: btrfs, XFS, bcachefs and others); elsewhere the bytes are copied. `std::fs::copy` is not used: it asks for
//! `copy_file_range`, which may or may not share, and does not say. A copy has its original's permissions and its time, by which
//! build tools know what is up to date.

use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use ao_domain::WorktreeOwner;
use ao_domain::port::provision::{Furnished, ProvisionError, WhyLeftOut};
use camino::Utf8PathBuf;
use rustix::fs::FileType;
use sha2::{Digest as _, Sha256};

use super::super::disposable::Disposable;
use super::super::record::io_error;
use super::Bounds;
use super::beneath::{Folder, NotReached, Side};
use super::manifest::{Journal, PIECE, Put, hash_of, hexadecimal};

/// Where a file is while it is being copied: beside the worktree, so on the same file system and in nobody's sight.
pub(in super::super) fn draft(owner: &WorktreeOwner) -> Utf8PathBuf {
    owner.path.with_file_name(format!(".copying-{}", owner.session))
}

/// Deletes what a cut copy left.
pub(in super::super) fn clear(owner: &WorktreeOwner) -> io::Result<()> {
    match fs::remove_file(draft(owner)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Which of `paths` there is still to copy: not what the worktree has already, nor what is below a link of ours.
///
/// # Errors
/// When they are more than `bounds` allow.
pub(super) fn wanted(
    owner: &WorktreeOwner,
    tree: &Folder,
    linked: &[PathBuf],
    paths: Vec<PathBuf>,
    bounds: Bounds,
    furnished: &mut Furnished,
) -> Result<Vec<PathBuf>, ProvisionError> {
    let (mut wanted, mut files, mut bytes) = (Vec::new(), 0, 0_u64);
    for path in paths {
        if linked.iter().any(|link| path.starts_with(link)) {
            continue;
        }
        match tree.look(&path) {
            Ok(None) | Err(NotReached::Missing | NotReached::Io(_)) => {}
            Ok(Some(_)) => continue,
            Err(NotReached::NoFolder) => {
                furnished.leave_out(lossy(&path), WhyLeftOut::NoFolder);
                continue;
            }
        }
        if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            furnished.leave_out(lossy(&path), WhyLeftOut::OwnRepository);
            continue;
        }
        let Ok(meta) = fs::symlink_metadata(owner.repo.as_std_path().join(&path)) else {
            continue; // it went away
        };
        if meta.is_file() {
            bytes = bytes.saturating_add(meta.len());
        }
        files += 1;
        wanted.push(path);
    }
    if files > bounds.files || bytes > bounds.bytes {
        return Err(ProvisionError::TooMuch {
            files,
            bytes,
            files_max: bounds.files,
            bytes_max: bounds.bytes,
        });
    }
    Ok(wanted)
}

/// Copies one path after the other, until `cut` is set.
pub(super) struct Copier<'a> {
    pub(super) owner: &'a WorktreeOwner,
    pub(super) checkout: &'a Folder,
    pub(super) tree: &'a Folder,
    pub(super) disposable: &'a Disposable,
    pub(super) cut: &'a AtomicBool,
}

impl Copier<'_> {
    /// Copies `path`, or says in `furnished` why it did not.
    pub(super) fn copy(
        &self,
        journal: &mut Journal,
        path: &Path,
        furnished: &mut Furnished,
    ) -> Result<(), ProvisionError> {
        let io = |error| {
            let path = self.owner.path.join(lossy(path));
            ProvisionError::from(io_error("copying into the worktree", &path)(error))
        };
        let (from, to, name) = match self.checkout.ways_to(self.tree, path) {
            Ok(ways) => ways,
            Err((_, NotReached::NoFolder)) => {
                furnished.leave_out(lossy(path), WhyLeftOut::NoFolder);
                return Ok(());
            }
            Err((Side::From, _)) => {
                furnished.leave_out(lossy(path), WhyLeftOut::Unreadable);
                return Ok(());
            }
            Err((Side::To, NotReached::Io(error))) => return Err(io(error)),
            Err((Side::To, NotReached::Missing)) => return Err(io(io::ErrorKind::NotFound.into())),
        };
        match from.stat(&name).map_err(io)? {
            Some(FileType::RegularFile) => match from.file(&name) {
                Ok(file) => self.file(journal, &to, path, file, furnished).map_err(io)?,
                Err(_) => furnished.leave_out(lossy(path), WhyLeftOut::Unreadable),
            },
            Some(FileType::Symlink) => {
                let leads = from.leads(&name).map_err(io)?;
                if self.stays_inside(path, &leads) {
                    journal.put(path, Put::Link(leads.clone())).map_err(io)?;
                    furnished.copied.files += usize::from(to.link(&name, &leads).map_err(io)?);
                } else {
                    furnished.leave_out(lossy(path), WhyLeftOut::LeadsOut);
                }
            }
            Some(_) => furnished.leave_out(lossy(path), WhyLeftOut::Special),
            None => furnished.leave_out(lossy(path), WhyLeftOut::Unreadable),
        }
        Ok(())
    }

    fn file(
        &self,
        journal: &mut Journal,
        to: &Folder,
        path: &Path,
        mut from: File,
        furnished: &mut Furnished,
    ) -> io::Result<()> {
        let meta = from.metadata()?;
        if !meta.is_file() {
            furnished.leave_out(lossy(path), WhyLeftOut::Special); // it became that in this instant
            return Ok(());
        }
        clear(self.owner)?;
        let draft = draft(self.owner);
        let mut copy = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        // What a build makes again is not weighed either.
        let counts = !self.disposable.covers(path);
        let cloned = clone(&copy, &from);
        let (bytes, hash) = match cloned {
            Ok(()) => {
                let length = copy.metadata()?.len();
                (length, counts.then(|| hash_of(&copy)).transpose()?)
            }
            Err(_) => self.bytes(&mut from, &mut copy, counts)?,
        };
        copy.set_permissions(Permissions::from_mode(meta.permissions().mode() & 0o777))?;
        if let Ok(modified) = meta.modified() {
            copy.set_times(FileTimes::new().set_modified(modified))?;
        }
        if let Some(hash) = hash {
            journal.put(path, Put::Copy(hash))?;
        }
        let name = PathBuf::from(path.file_name().unwrap_or_default());
        if to.take(draft.as_std_path(), &name)? {
            let copied = &mut furnished.copied;
            copied.files += 1;
            copied.bytes += bytes;
            match cloned {
                Ok(()) => copied.cloned += 1,
                Err(error) => copied.not_cloned = Some(io::Error::from(error).to_string()),
            }
        }
        clear(self.owner)
    }

    /// Copies what `from` has, and its hash if that is wanted.
    fn bytes(&self, from: &mut File, to: &mut File, hashed: bool) -> io::Result<(u64, Option<String>)> {
        let (mut hash, mut piece, mut bytes) = (Sha256::new(), vec![0; PIECE], 0);
        loop {
            if self.cut.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let read = from.read(&mut piece)?;
            if read == 0 {
                break;
            }
            to.write_all(&piece[..read])?;
            if hashed {
                hash.update(&piece[..read]);
            }
            bytes += read as u64;
        }
        Ok((bytes, hashed.then(|| hexadecimal(&hash.finalize()))))
    }

    /// Whether a link at `path` that says `leads` stays within the tree: by its words, and, as far as there is something, by
    /// where it leads in the checkout, since another link may stand on the way.
    fn stays_inside(&self, path: &Path, leads: &Path) -> bool {
        let mut depth = path.components().count().saturating_sub(1);
        for part in leads.components() {
            match part {
                Component::Normal(name) if name != ".git" => depth += 1,
                Component::CurDir => {}
                Component::ParentDir if depth > 0 => depth -= 1,
                _ => return false,
            }
        }
        let repo = self.owner.repo.as_std_path();
        match (repo.canonicalize(), repo.join(path).canonicalize()) {
            (Ok(top), Ok(real)) => real.starts_with(top),
            (_, Err(error)) => error.kind() == io::ErrorKind::NotFound,
            (Err(_), _) => false,
        }
    }
}

/// Lets `to` share the blocks of `from`.
#[cfg(target_os = "linux")]
fn clone(to: &File, from: &File) -> rustix::io::Result<()> {
    rustix::fs::ioctl_ficlone(to, from)
}

/// Elsewhere only whole paths can be cloned, which follows what stands at them by then.
#[cfg(not(target_os = "linux"))]
fn clone(_: &File, _: &File) -> rustix::io::Result<()> {
    Err(rustix::io::Errno::NOTSUP)
}

pub(super) fn lossy(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
