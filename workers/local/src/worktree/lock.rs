//! One at a time per session: the lock that every change of a worktree is made under.
//!
//! `<locks>/<session>/work.lock` is `flock`ed by the caller and shared with the git it runs, as that git's standard
//! input: a descriptor handed over that way needs no unsafe code, and reaches no other process that happens to be
//! started in the same moment. The kernel lets go of the lock when the last of them has ended. So whoever gets it knows
//! that no git of a killed predecessor is still writing.
//!
//! | File | What it says |
//! |---|---|
//! | `work.lock` | nothing; it is locked while somebody works |
//! | `work.json` | which git works, or worked last, and until when it may |
//! | `work.err` | what that git complained about |
//! | `owner.json` | see `record` |
//! | `furnished`, `command.json` | see `provision`: what was put into the worktree, and what its commands are known by |
//! | `index`, `paths` | a copy of git's index, and names of files, while a worktree is weighed or rescued |

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::sync::Arc;
use std::time::Duration;

use ao_domain::port::worktrees::WorktreeError;
use ao_domain::{ProcessId, SessionId};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal, getpgrp, kill_process_group};
use serde::{Deserialize, Serialize};

use super::run::GRACE;
use crate::{clock, process};

/// How often a held lock is tried again: `flock` offers no event, and a waiting thread could not be cancelled.
const RETRY: Duration = Duration::from_millis(20);

/// The files of a session's folder, the lock last: once it is unlinked the folder may be somebody else's.
const FILES: [&str; 13] = [
    "owner.json",
    "owner.new",
    "furnished",
    "furnished.new",
    "command.json",
    "command.new",
    "work.json",
    "work.new",
    "work.err",
    "index",
    "index.lock",
    "paths",
    "work.lock",
];

/// Which git holds the lock. Kept after its end; whether it still runs is asked of the kernel.
#[derive(Debug, Serialize, Deserialize)]
struct Work {
    v: u32,
    git: ProcessId,
    verb: String,
    /// Milliseconds since boot at which its own caller would have ended it.
    until: u64,
}

/// A session's lock, held until the last clone is dropped and the last git that shares it has ended.
#[derive(Clone, Debug)]
pub(super) struct Lock {
    file: Arc<File>,
    folder: Utf8PathBuf,
}

impl Lock {
    /// Takes the lock of `session`. Waits for who holds it as long as that one may work, or `patience` where nobody
    /// says; then ends the git that holds it. May be dropped at any time.
    ///
    /// # Errors
    /// `Busy` when it stays held; `Io` when the folder cannot be made.
    pub(super) async fn take(
        locks: &Utf8Path,
        session: &SessionId,
        patience: Duration,
    ) -> Result<Self, WorktreeError> {
        let folder = locks.join(session.as_str());
        let io = |source| WorktreeError::Io {
            doing: "taking the session's lock",
            path: folder.clone(),
            source,
        };
        if let Some(lock) = attempt(&folder).map_err(io)? {
            return Ok(lock);
        }
        if let Some(lock) = wait(&folder, allowance(&folder).unwrap_or(patience))
            .await
            .map_err(io)?
        {
            return Ok(lock);
        }
        for signal in [Signal::TERM, Signal::KILL] {
            let ended = end_holders(&folder, signal).map_err(io)?;
            tracing::warn!(%session, ended, signal = signal.as_raw(), "a git past its deadline was ended");
            if let Some(lock) = wait(&folder, GRACE).await.map_err(io)? {
                return Ok(lock);
            }
        }
        Err(WorktreeError::Busy {
            session: session.to_string(),
        })
    }

    /// The lock of `session` if nobody holds it.
    pub(super) fn take_free(locks: &Utf8Path, session: &SessionId) -> Result<Option<Self>, WorktreeError> {
        let folder = locks.join(session.as_str());
        attempt(&folder).map_err(|source| WorktreeError::Io {
            doing: "taking the session's lock",
            path: folder.clone(),
            source,
        })
    }

    /// Whether every file in a session's folder is one that we write there.
    pub(super) fn has_only_ours(folder: &Utf8Path) -> io::Result<bool> {
        let names: Vec<_> = fs::read_dir(folder)?.collect::<io::Result<_>>()?;
        let ours = |name: std::ffi::OsString| FILES.iter().any(|file| name == *file);
        Ok(names.into_iter().all(|entry| ours(entry.file_name())))
    }

    /// Where the session's files lie.
    pub(super) fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    /// The lock for another process, to be its standard input.
    pub(super) fn share(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// An empty file for a git's complaints.
    pub(super) fn words(&self) -> io::Result<File> {
        let path = self.folder.join("work.err");
        // Not truncated in place: an earlier git's last child may still write into that one.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
    }

    /// Writes down that the group of `pid` works under this lock for at most `limit`.
    ///
    /// Best effort: whoever needs the holder finds it by the lock it holds, too.
    pub(super) fn record(&self, pid: u32, verb: &str, limit: Duration) {
        let Ok(Some(git)) = process::identify(pid) else {
            return;
        };
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let work = Work {
            v: 1,
            git,
            verb: verb.to_owned(),
            until: clock::boot_millis().saturating_add(limit),
        };
        if let Err(error) = write(&self.folder.join("work.json"), &work) {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the running git is not recorded");
        }
    }

    /// Deletes the session's files: nothing is left to remember.
    pub(super) fn forget(self) -> io::Result<()> {
        for name in FILES {
            match fs::remove_file(self.folder.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        match fs::remove_dir(&self.folder) {
            // Somebody waited for the lock and has made the next one.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Writes `value` whole or not at all; not durably, since it means nothing after a reboot.
fn write(path: &Utf8Path, value: &Work) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    fs::rename(&new, path)
}

async fn wait(folder: &Utf8Path, patience: Duration) -> io::Result<Option<Lock>> {
    let over = tokio::time::Instant::now() + patience;
    loop {
        if let Some(lock) = attempt(folder)? {
            return Ok(Some(lock));
        }
        if tokio::time::Instant::now() >= over {
            return Ok(None);
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Takes the lock if it is free.
fn attempt(folder: &Utf8Path) -> io::Result<Option<Lock>> {
    let path = folder.join("work.lock");
    loop {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let file = match opened {
            // The folder was forgotten in this instant.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        // A lock on a file that is no longer there excludes nobody.
        if fs::metadata(&path).is_ok_and(|now| file.metadata().is_ok_and(|mine| same(&now, &mine))) {
            // Only under the lock is anything written, so these are what a killed one left half-written.
            for half in ["owner.new", "work.new", "furnished.new", "command.new"] {
                match fs::remove_file(folder.join(half)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            return Ok(Some(Lock {
                file: Arc::new(file),
                folder: folder.to_owned(),
            }));
        }
    }
}

fn same(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

fn recorded(folder: &Utf8Path) -> Option<Work> {
    let work: Work = serde_json::from_slice(&fs::read(folder.join("work.json")).ok()?).ok()?;
    process::is_alive(&work.git).ok()?.then_some(work)
}

/// How long the recorded git may still work, and be ended by its own caller after that. `None` when it does not run.
fn allowance(folder: &Utf8Path) -> Option<Duration> {
    let left = recorded(folder)?.until.saturating_sub(clock::boot_millis());
    Some(Duration::from_millis(left) + GRACE)
}

/// Signals the recorded group, if it is still that one, and every other group that has the lock as its standard
/// input: a daemon killed between starting a git and recording it left one like that. Returns how many.
fn end_holders(folder: &Utf8Path, signal: Signal) -> io::Result<usize> {
    let lock = fs::metadata(folder.join("work.lock"))?;
    let mut groups: Vec<Pid> = Vec::new();
    groups.extend(recorded(folder).and_then(|work| Pid::from_raw(work.git.pid.cast_signed())));
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name
            .to_str()
            .and_then(|name| name.parse().ok())
            .and_then(Pid::from_raw)
        else {
            continue;
        };
        let stdin = fs::metadata(format!("/proc/{}/fd/0", pid.as_raw_pid()));
        if stdin.is_ok_and(|stdin| same(&stdin, &lock)) {
            groups.extend(rustix::process::getpgid(Some(pid)).ok());
        }
    }
    groups.sort_unstable_by_key(|group| group.as_raw_pid());
    groups.dedup();
    // Between fork and exec a git of ours is in our own group; never end that.
    groups.retain(|group| *group != getpgrp());
    // One that ended in this instant needs no signal.
    Ok(groups
        .into_iter()
        .filter(|group| kill_process_group(*group, signal).is_ok())
        .count())
}
