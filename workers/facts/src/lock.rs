//! One daemon per data directory: a lock that the kernel takes back when its holder dies.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// Who holds a data directory, as it wrote itself down. For messages only: the lock decides, not this text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process number.
    pub pid: u32,
    /// When it was started, in clock ticks since boot; `None` where the system does not say.
    pub started: Option<u64>,
}

/// The data directory is not ours. Nothing in it was touched.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process works on it.
    #[error("another ao daemon{} works on `{dir}`: `ao status` shows it, `ao stop` ends it",
        .holder.as_ref().map(|h| format!(" (pid {})", h.pid)).unwrap_or_default())]
    Held {
        /// Which directory.
        dir: Utf8PathBuf,
        /// Who, where it says so.
        holder: Option<Holder>,
    },
    /// The directory or the lock file cannot be used.
    #[error("{doing} failed at `{path}`")]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// Where.
        path: Utf8PathBuf,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
}

/// The exclusive right to a data directory, until it is dropped or the process ends, in whatever way.
///
/// The file is opened close-on-exec, so no holder of a terminal and no git that outlives the daemon keeps the lock.
#[derive(Debug)]
pub struct DirLock {
    dir: Utf8PathBuf,
    _file: File,
}

impl DirLock {
    /// The lock's file, inside the data directory. It is never removed: a second file of that name would be a second
    /// lock.
    pub const FILE: &'static str = "lock";

    /// Takes `data_dir`, made with mode 0700 where it is missing and closed to others where it was open to them.
    ///
    /// Does not wait for a holder to leave, but for the shadow of a dead one: a daemon that was killed between fork and
    /// exec of a child leaves its descriptor to that child for the moment until the exec closes it. And for one that has just
    /// taken it to write itself down: whoever started us looks for its name there. At most `SHADOW`, on the calling thread.
    pub fn take(data_dir: &Utf8Path) -> Result<Self, LockError> {
        let failed = |doing, path: &Utf8Path| {
            let path = path.to_owned();
            move |source| LockError::Io { doing, path, source }
        };
        private_dir(data_dir).map_err(failed("making the data directory", data_dir))?;
        let path = data_dir.join(Self::FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false) // the holder's words are in there
            .mode(0o600)
            .open(&path)
            .map_err(failed("opening the lock", &path))?;
        let began = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let holder = read_holder(&mut file);
                    if began.elapsed() < SHADOW && holder.as_ref().is_none_or(is_dead) {
                        std::thread::park_timeout(LOOK_AGAIN);
                        continue;
                    }
                    return Err(LockError::Held {
                        dir: data_dir.to_owned(),
                        holder,
                    });
                }
                Err(errno) => return Err(failed("locking", &path)(errno.into())),
            }
        }
        write_holder(&mut file).map_err(failed("writing the lock", &path))?;
        Ok(Self {
            dir: data_dir.to_owned(),
            _file: file,
        })
    }

    /// The directory it is about.
    pub fn dir(&self) -> &Utf8Path {
        &self.dir
    }
}

/// How long a dead holder's lock may be held by what it left between fork and exec: microseconds, unless the machine
/// swaps.
const SHADOW: Duration = Duration::from_secs(5);

/// No event tells that a lock is free without taking it, so it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A holder that is just about to write itself down has no name yet.
fn read_holder(file: &mut File) -> Option<Holder> {
    let mut words = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut words).ok()?;
    serde_json::from_str(&words).ok()
}

/// Whether the process that wrote itself down is gone. A number that is used again counts as alive: then the lock's
/// word stands.
fn is_dead(holder: &Holder) -> bool {
    let pid = i32::try_from(holder.pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

/// Makes `dir` if it is missing, and takes every right of group and others away from it.
fn private_dir(dir: &Utf8Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mode = std::fs::metadata(dir)?.mode();
    if mode & 0o077 != 0 {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode & 0o7700))?;
    }
    Ok(())
}

fn write_holder(file: &mut File) -> std::io::Result<()> {
    let holder = Holder {
        pid: std::process::id(),
        started: own_start(),
    };
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(crate::entity::text_of(&holder).as_bytes())
}

/// Field 22 of our own `stat`; the name before it is in parentheses and may hold anything.
fn own_start() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lock is taken and the name is written, one after the other: who comes in between is told the name all the same.
    #[test]
    fn a_holder_that_writes_itself_down_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8PathBuf::try_from(dir.path().to_owned()).unwrap().join("data");
        private_dir(&dir).unwrap();
        let path = dir.join(DirLock::FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .unwrap();
        flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        let taken = dir.clone();
        let second = std::thread::spawn(move || DirLock::take(&taken));
        std::thread::park_timeout(Duration::from_millis(50)); // long enough to find it held and nameless
        write_holder(&mut file).unwrap();
        let Err(LockError::Held { holder, .. }) = second.join().unwrap() else {
            panic!("two hold it")
        };
        assert_eq!(holder.expect("its name").pid, std::process::id());
    }
}
