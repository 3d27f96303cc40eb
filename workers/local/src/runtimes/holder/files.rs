//! The files of one run: `<root>/<session>/<generation>/`, readable by their owner only.
//!
//! | File | Written by | What it says |
//! |---|---|---|
//! | `lock` | creator, then holder | `flock`ed from before the holder is started until its end: proof that it lives, also while it is frozen |
//! | `record.json` | creator, completed by the holder | what was to be started, who holds it, who the agent is |
//! | `launch` | creator, deleted by the holder | argv, environment and directory; never on a command line |
//! | `agent` | the agent's own process just before it becomes the agent | its line of `/proc/self/stat`, so that it can be found even if the holder dies in that instant |
//! | `sock` | holder | where it is asked |
//! | `exit.json` | holder, durably | how the agent ended and what its terminal showed last |
//! | `log` | holder | its own complaints, at most [`LOG_LIMIT`] bytes |

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};

use ao_domain::port::runtime::{Held, Launch, RuntimeError, RuntimeRef, Stray};
use ao_domain::{Exit, ProcessId, SessionId, Timestamp};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{FlockOperation, Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::family::{self, Kin};
use super::wire::Shown;

/// The form of the files; readers accept every version and ignore what they do not know.
pub(super) const VERSION: u32 = 1;

/// Holders say little; what is said beyond this would be the same line again.
pub(super) const LOG_LIMIT: u64 = 64 * 1024;

/// What was to be started, and who holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) version: u32,
    pub(super) session: SessionId,
    pub(super) generation: u32,
    /// Hash of argv: tells two launches apart without telling what they say.
    pub(super) argv_hash: String,
    pub(super) env_keys: Vec<String>,
    pub(super) created_at: Timestamp,
    /// The version of the wire the holder speaks; 0 until it has started.
    #[serde(default)]
    pub(super) wire: u32,
    #[serde(default)]
    pub(super) build: String,
    #[serde(default)]
    pub(super) holder: Option<ProcessId>,
    #[serde(default)]
    pub(super) agent: Option<ProcessId>,
    /// What its processes are told by once the holder is gone; see [`family::mark_of`].
    #[serde(default)]
    pub(super) mark: Option<String>,
}

/// What the holder starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LaunchFile {
    pub(super) argv: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) cwd: Utf8PathBuf,
}

/// How it ended. Complete in itself: the record beside it is not needed to read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ExitRecord {
    pub(super) version: u32,
    pub(super) exit: Exit,
    pub(super) at: Timestamp,
    pub(super) holder: ProcessId,
    pub(super) agent: ProcessId,
    /// What the terminal showed last.
    #[serde(default)]
    pub(super) screen: Shown,
    /// The last lines of scrollback and screen.
    #[serde(default)]
    pub(super) tail: Vec<String>,
}

impl ExitRecord {
    pub(super) fn held(&self) -> Held {
        Held {
            holder: self.holder.clone(),
            agent: self.agent.clone(),
            exit: Some(self.exit),
        }
    }
}

/// What a holder tells its creator, as one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    Ready { holder: ProcessId, agent: ProcessId },
    NoDirectory { path: Utf8PathBuf },
    NotStarted { program: String, reason: String },
    Broken { doing: String, reason: String },
}

/// Whether somebody has the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockState {
    Held,
    Free,
}

/// The directory of one run.
#[derive(Clone, Debug)]
pub(in crate::runtimes) struct RunDir {
    path: Utf8PathBuf,
}

impl RunDir {
    pub(in crate::runtimes) fn of(root: &Utf8Path, at: &RuntimeRef) -> Self {
        Self {
            path: root.join(at.session.as_str()).join(at.generation.to_string()),
        }
    }

    pub(in crate::runtimes) fn at(path: &Utf8Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    pub(in crate::runtimes) fn path(&self) -> &Utf8Path {
        &self.path
    }

    pub(in crate::runtimes) fn file(&self, name: &str) -> Utf8PathBuf {
        self.path.join(name)
    }

    pub(super) fn exists(&self) -> io::Result<bool> {
        self.path.try_exists()
    }

    /// Makes the directory and those above it that are missing, for the owner only.
    pub(super) fn make(&self) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
    }

    /// The run's lock, made if needed. `None`: somebody else has it, or the directory was taken away meanwhile.
    pub(super) fn take_lock(&self) -> io::Result<Option<OwnedFd>> {
        let path = self.file("lock");
        let file = match OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
        {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // A lock on a file that was moved aside between the two calls protects nothing.
        match fs::metadata(&path) {
            Ok(now) if now.ino() == file.metadata()?.ino() => Ok(Some(file.into())),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the lock is held, asked with a shared lock so that two that ask do not see each other.
    pub(super) fn lock_state(&self) -> io::Result<LockState> {
        let file = match File::open(self.file("lock")) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LockState::Free),
            Err(error) => return Err(error),
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(LockState::Free),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(LockState::Held),
            Err(error) => Err(error.into()),
        }
    }

    /// The record; `None` when there is none that can be read.
    pub(super) fn record(&self) -> io::Result<Option<Record>> {
        self.read_json("record.json")
    }

    pub(super) fn write_record(&self, record: &Record) -> io::Result<()> {
        // Not synced: what it says is about processes, and a machine that crashed has none of them any more.
        self.write_json("record.json", record, Durable::No)
    }

    pub(super) fn exit(&self) -> io::Result<Option<ExitRecord>> {
        self.read_json("exit.json")
    }

    pub(super) fn write_exit(&self, exit: &ExitRecord) -> io::Result<()> {
        self.write_json("exit.json", exit, Durable::Yes)
    }

    pub(super) fn write_launch(&self, launch: &LaunchFile) -> io::Result<()> {
        self.write_json("launch", launch, Durable::No)
    }

    /// Reads the launch and deletes it: from then on it is in the holder's memory only.
    pub(super) fn take_launch(&self) -> io::Result<LaunchFile> {
        let path = self.file("launch");
        let bytes = fs::read(&path)?;
        fs::remove_file(&path)?;
        serde_json::from_slice(&bytes).map_err(io::Error::other)
    }

    /// Who the agent is, from the note its process left just before it became the agent.
    pub(super) fn agent_note(&self) -> io::Result<Option<ProcessId>> {
        match fs::read(self.file("agent")) {
            Ok(stat) => family::named_by_stat(&stat),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Holder and agent, as far as the files name them.
    pub(super) fn named(&self) -> io::Result<(Option<ProcessId>, Option<ProcessId>)> {
        let Some(record) = self.record()? else {
            return Ok((None, None));
        };
        let agent = match record.agent {
            Some(agent) => Some(agent),
            None => self.agent_note()?,
        };
        Ok((record.holder, agent))
    }

    /// What tells the processes of this run from strangers once its holder is gone.
    pub(super) fn kin(&self) -> io::Result<Kin> {
        // Hours may lie between the agent's end and now, and its number may be somebody else's.
        let agent = match self.exit()? {
            Some(_) => None,
            None => self.named()?.1,
        };
        let mark = self.record()?.and_then(|record| record.mark);
        Ok(Kin { agent, mark })
    }

    /// A short path to the socket, whatever the length of the directory's, valid while the returned descriptor is
    /// open.
    pub(super) fn socket(&self) -> io::Result<(OwnedFd, Utf8PathBuf)> {
        self.socket_named("sock")
    }

    /// The same for another socket in the directory.
    pub(in crate::runtimes) fn socket_named(&self, name: &str) -> io::Result<(OwnedFd, Utf8PathBuf)> {
        let dir = rustix::fs::open(
            self.path.as_std_path(),
            OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let path = short_path(&dir, &self.path, name);
        Ok((dir, path))
    }

    fn read_json<T: for<'de> Deserialize<'de>>(&self, name: &str) -> io::Result<Option<T>> {
        match fs::read(self.file(name)) {
            // A file that a crash of the machine left half-written says nothing.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write_json<T: Serialize>(&self, name: &str, value: &T, durable: Durable) -> io::Result<()> {
        let aside = self.file(&format!("{name}.new"));
        let bytes = serde_json::to_vec(value).map_err(io::Error::other)?;
        let written = (|| {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&aside)?;
            file.write_all(&bytes)?;
            if durable == Durable::Yes {
                file.sync_all()?;
            }
            fs::rename(&aside, self.file(name))?;
            if durable == Durable::Yes {
                File::open(&self.path)?.sync_all()?;
            }
            Ok(())
        })();
        if written.is_err() {
            let _ = fs::remove_file(&aside); // a full disk gets its bytes back; the error itself is what is told
        }
        written
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Durable {
    Yes,
    No,
}

/// The socket's path by way of its directory's descriptor.
pub(super) fn short_socket(dir: &impl AsFd, path: &Utf8Path) -> Utf8PathBuf {
    short_path(dir, path, "sock")
}

/// The path of a socket in an opened directory: a unix socket's path holds about a hundred bytes.
pub(in crate::runtimes) fn short_path(dir: &impl AsFd, path: &Utf8Path, name: &str) -> Utf8PathBuf {
    if cfg!(target_os = "linux") {
        Utf8PathBuf::from(format!("/proc/self/fd/{}/{name}", dir.as_fd().as_raw_fd()))
    } else {
        path.join(name)
    }
}

/// Where a directory waits between being given up and being removed.
pub(super) fn aside(root: &Utf8Path, at: &RuntimeRef) -> Utf8PathBuf {
    root.join(at.session.as_str())
        .join(format!("{ASIDE_PREFIX}{}", at.generation))
}

const ASIDE_PREFIX: &str = ".gone-";

/// Every run that has a directory, those given up but not yet removed included.
pub(super) fn list(root: &Utf8Path) -> io::Result<Vec<RuntimeRef>> {
    let mut runs = Vec::new();
    for session in names(root)? {
        let Ok(id) = session.parse::<SessionId>() else {
            continue;
        };
        for name in names(&root.join(&session))? {
            if let Some(generation) = generation(&name) {
                runs.push(RuntimeRef {
                    session: id.clone(),
                    generation,
                });
            }
        }
    }
    runs.sort_by(|a, b| (&a.session, a.generation).cmp(&(&b.session, b.generation)));
    runs.dedup();
    Ok(runs)
}

/// What lies where only runs do and is none.
pub(super) fn strays(root: &Utf8Path) -> io::Result<Vec<Stray>> {
    let mut found = Vec::new();
    for name in names(root)? {
        let path = root.join(&name);
        let session = name.parse::<SessionId>().ok();
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|file| file.is_dir());
        if session.is_none() || !is_folder {
            found.push(stray(&path, session));
            continue;
        }
        for name in names(&path)? {
            if generation(&name).is_none() {
                found.push(stray(&path.join(name), session.clone()));
            }
        }
    }
    found.sort_by(|a, b| a.what.cmp(&b.what));
    Ok(found)
}

/// The stray at `path`, in words.
pub(in crate::runtimes) fn stray(path: &Utf8Path, session: Option<SessionId>) -> Stray {
    let kind = match fs::symlink_metadata(path).map(|file| file.file_type()) {
        Ok(kind) if kind.is_socket() => "socket",
        Ok(kind) if kind.is_dir() => "directory",
        _ => "file",
    };
    Stray {
        what: format!("{kind} {path}"),
        session,
    }
}

fn generation(name: &str) -> Option<u32> {
    name.strip_prefix(ASIDE_PREFIX).unwrap_or(name).parse().ok()
}

fn names(dir: &Utf8Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

/// Tells launches apart.
pub(super) fn argv_hash(launch: &Launch) -> String {
    hash(launch.argv.iter().map(String::as_str))
}

/// FNV-1a over the words and their lengths: nobody is kept from guessing by it, and it never changes with a version of
/// the compiler.
pub(in crate::runtimes) fn hash<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for word in words {
        for byte in (word.len() as u64).to_le_bytes().into_iter().chain(word.bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

/// Turns an error of the file system into the port's.
pub(in crate::runtimes) fn io_error(
    doing: &'static str,
    path: &Utf8Path,
) -> impl FnOnce(io::Error) -> RuntimeError {
    let path = path.to_owned();
    move |source| RuntimeError::Io { doing, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> (tempfile::TempDir, RunDir, RuntimeRef) {
        let temp = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(temp.path().to_owned()).unwrap();
        let at = RuntimeRef {
            session: "web-7".parse().unwrap(),
            generation: 2,
        };
        (temp, RunDir::of(&root, &at), at)
    }

    #[test]
    fn once_the_end_is_on_record_the_agents_number_means_nobody() {
        let (_temp, dir, at) = run();
        dir.make().unwrap();
        let agent = crate::process::identify(std::process::id()).unwrap().unwrap();
        let record = Record {
            version: VERSION,
            session: at.session.clone(),
            generation: at.generation,
            argv_hash: String::new(),
            env_keys: Vec::new(),
            created_at: crate::clock::now(),
            wire: 0,
            build: String::new(),
            holder: None,
            agent: Some(agent.clone()),
            mark: Some("of this run".to_owned()),
        };
        dir.write_record(&record).unwrap();
        let kin = Kin {
            agent: Some(agent.clone()),
            mark: record.mark,
        };
        assert_eq!(dir.kin().unwrap(), kin);
        let exit = ExitRecord {
            version: VERSION,
            exit: Exit::Code(0),
            at: crate::clock::now(),
            holder: agent.clone(),
            agent,
            screen: Shown::default(),
            tail: Vec::new(),
        };
        dir.write_exit(&exit).unwrap();
        assert_eq!(dir.kin().unwrap(), Kin { agent: None, ..kin });
    }

    #[test]
    fn a_lock_is_seen_and_a_look_does_not_disturb() {
        let (_temp, dir, _) = run();
        assert!(dir.take_lock().unwrap().is_none(), "there is no directory yet");
        dir.make().unwrap();
        assert_eq!(dir.lock_state().unwrap(), LockState::Free);
        let lock = dir.take_lock().unwrap().expect("nobody has it");
        assert_eq!(dir.lock_state().unwrap(), LockState::Held);
        assert!(dir.take_lock().unwrap().is_none());
        drop(lock);
        assert_eq!(dir.lock_state().unwrap(), LockState::Free);
    }

    #[test]
    fn a_lock_that_was_moved_aside_is_not_taken_for_the_new_one() {
        let (temp, dir, at) = run();
        let root = Utf8Path::from_path(temp.path()).unwrap();
        dir.make().unwrap();
        let old = dir.take_lock().unwrap().expect("nobody has it");
        fs::rename(dir.path(), aside(root, &at)).unwrap();
        dir.make().unwrap();
        assert!(dir.take_lock().unwrap().is_some());
        drop(old);
        assert_eq!(list(root).unwrap(), [at], "both directories are the same run");
    }

    #[test]
    fn what_lies_among_runs_and_is_none_is_told() {
        let (temp, dir, at) = run();
        let root = Utf8Path::from_path(temp.path()).unwrap();
        dir.make().unwrap();
        fs::rename(dir.path(), aside(root, &at)).unwrap();
        assert_eq!(strays(root).unwrap(), [], "a run, and one that is being removed");
        let _socket = std::os::unix::net::UnixListener::bind(root.join("web-8")).unwrap();
        fs::create_dir(root.join("Notes")).unwrap();
        fs::write(root.join("web-7/notes"), "mine").unwrap();
        let told: Vec<_> = strays(root)
            .unwrap()
            .into_iter()
            .map(|stray| {
                (
                    stray.what.replace(root.as_str(), ""),
                    stray.session.map(|id| id.to_string()),
                )
            })
            .collect();
        let told: Vec<(&str, Option<&str>)> = told
            .iter()
            .map(|(what, id)| (what.as_str(), id.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                ("directory /Notes", None),
                ("file /web-7/notes", Some("web-7")),
                ("socket /web-8", Some("web-8")),
            ]
        );
    }

    #[test]
    fn a_half_written_record_says_nothing() {
        let (_temp, dir, _) = run();
        dir.make().unwrap();
        fs::write(dir.file("record.json"), b"{\"version\":1,\"ses").unwrap();
        assert_eq!(dir.record().unwrap(), None);
    }

    #[test]
    fn the_hash_of_argv_depends_on_where_words_end() {
        let launch = |argv: &[&str]| Launch {
            at: RuntimeRef {
                session: "web-7".parse().unwrap(),
                generation: 1,
            },
            argv: argv.iter().map(ToString::to_string).collect(),
            env: Vec::new(),
            cwd: "/".into(),
        };
        assert_ne!(argv_hash(&launch(&["ab", "c"])), argv_hash(&launch(&["a", "bc"])));
        assert_eq!(argv_hash(&launch(&["ab"])), argv_hash(&launch(&["ab"])));
    }
}
