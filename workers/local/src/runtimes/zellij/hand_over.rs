//! How a creator hands a run to the launcher that zellij has started: the run's lock and the holder's outputs, as open
//! descriptors over a socket in the run's directory.
//!
//! zellij starts its pane's command from a daemon of its own, so nothing can be inherited. Handed over, the lock is
//! held without a gap, and a launcher that no creator waits for any more has nothing it could start.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use camino::Utf8PathBuf;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use tokio::net::UnixListener;

use crate::runtimes::holder::Start;
use crate::runtimes::holder::files::RunDir;

/// Lock, outputs.
const DESCRIPTORS: usize = 3;

/// A socket on which one launcher is waited for. Dropped, it is gone.
#[derive(Debug)]
pub(super) struct Offer {
    listener: UnixListener,
    path: Utf8PathBuf,
    /// The directory, through which the path goes.
    _dir: OwnedFd,
    /// What the launcher has to know: a launcher of an earlier attempt does not.
    pub(super) name: String,
}

impl Offer {
    pub(super) fn make(dir: &RunDir) -> io::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name = format!("start-{:016x}", u64::from_ne_bytes(random));
        let (held_open, path) = dir.socket_named(&name)?;
        Ok(Self {
            listener: UnixListener::bind(&path)?,
            path,
            _dir: held_open,
            name,
        })
    }

    /// Waits for the launcher and gives it all there is. Cancel safe until it has come.
    pub(super) async fn hand_over(&self, with: Start) -> io::Result<()> {
        let launcher = loop {
            let (stream, _) = self.listener.accept().await?;
            if stream.peer_cred()?.uid() == rustix::process::geteuid().as_raw() {
                break stream.into_std()?;
            }
        };
        let fds = [with.lock.as_fd(), with.said.as_fd(), with.log.as_fd()];
        send(&launcher, fds)
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path); // gone with its directory, perhaps
    }
}

/// Takes what a creator offers under this name.
pub(super) fn take(dir: &RunDir, name: &str) -> io::Result<Start> {
    let (held_open, path) = dir.socket_named(name)?;
    let creator = UnixStream::connect(&path)?;
    drop(held_open); // the path goes through it
    let [lock, said, log] = receive(&creator)?;
    Ok(Start { lock, said, log })
}

fn send(to: &UnixStream, fds: [BorrowedFd<'_>; DESCRIPTORS]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    // A byte goes with them: nothing at all would be no message.
    rustix::net::sendmsg(to, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(from: &UnixStream) -> io::Result<[OwnedFd; DESCRIPTORS]> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    rustix::net::recvmsg(
        from,
        &mut [IoSliceMut::new(&mut byte)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let fds: Vec<OwnedFd> = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    fds.try_into()
        .map_err(|_| io::Error::other("the creator has gone"))
}
