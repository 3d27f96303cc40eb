//! Where the holder is asked: a socket in the run's directory, made again when it is gone.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};

use camino::Utf8Path;

use super::log;
use crate::runtimes::holder::files::short_socket;

/// The listening socket and which file it is.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    inode: u64,
}

impl Socket {
    /// Binds `sock` in the opened directory, in place of whatever has that name.
    pub(super) fn bind(dir: &OwnedFd, path: &Utf8Path) -> io::Result<Self> {
        let at = short_socket(dir, path);
        match fs::remove_file(&at) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(&at)?; // under our umask: nobody else's from the first moment
        fs::set_permissions(&at, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        let inode = fs::symlink_metadata(&at)?.ino();
        Ok(Self { listener, inode })
    }

    /// Whether the file in the directory is still this socket.
    pub(super) fn is_there(&self, dir: &OwnedFd, path: &Utf8Path) -> bool {
        fs::symlink_metadata(short_socket(dir, path)).is_ok_and(|file| file.ino() == self.inode)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// The next client that is waiting, if it is the same user's.
    pub(super) fn accept(&self) -> Option<UnixStream> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) if is_ours(&stream) && stream.set_nonblocking(true).is_ok() => {
                    return Some(stream);
                }
                Ok(_) => log("a client of another user was turned away"),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }
}

/// The directory keeps others out already; this holds even if somebody opened it to them.
#[cfg(target_os = "linux")]
fn is_ours(stream: &UnixStream) -> bool {
    rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| peer.uid == rustix::process::geteuid())
}

#[cfg(not(target_os = "linux"))]
fn is_ours(_stream: &UnixStream) -> bool {
    true // the directory's permissions alone
}
