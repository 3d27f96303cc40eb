//! Hook records on disk: one append-only file per session.
//!
//! A record is one line of JSON, written by one `O_APPEND` write, with a line feed before it as well as after it: a
//! line that a full disk or a power cut tore stays alone, and the record after it is whole. Nothing here is ever
//! rewritten; the reader keeps its place in the database.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::sync::Arc;
use std::time::Duration;

use ao_domain::port::PortFuture;
use ao_domain::port::spool::{HookSpool, SpoolError, Spooled};
use ao_domain::{HookRecord, SessionId};
use camino::{Utf8Path, Utf8PathBuf};
use notify::Watcher as _;
use tokio::sync::Notify;

use crate::lines::{self, Lines};
use crate::{clock, process};

/// The folder of the spools in the data directory.
pub const FOLDER: &str = "spool";

/// How much one read takes in: about what the database applies in one transaction without being felt.
const PIECE: u64 = 1024 * 1024;

/// How often to look when nothing was heard: file notifications can be lost (queue overflow, network file systems).
const SLOW_POLL: Duration = Duration::from_secs(5);

/// What a session's environment tells its hooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookEnv {
    /// `AO_SESSION_ID`.
    pub session: SessionId,
    /// `AO_GENERATION`.
    pub generation: u32,
    /// `AO_LAUNCH_SECRET`.
    pub secret: String,
}

/// Makes the record of one callback, stamped with this boot and the present time.
///
/// # Errors
/// When the kernel gives no randomness or no boot id.
pub fn record(env: HookEnv, agent: String, event: String, payload: &[u8]) -> io::Result<HookRecord> {
    let mut id = [0_u8; 16];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    let kept = &payload[..payload.len().min(HookRecord::PAYLOAD_MAX)];
    Ok(HookRecord {
        v: 1,
        id: id.iter().map(|byte| format!("{byte:02x}")).collect(),
        session: env.session,
        generation: env.generation,
        secret: env.secret,
        agent,
        event,
        boot: process::boot_id()?,
        boot_ms: clock::boot_millis(),
        at: clock::now(),
        payload: String::from_utf8_lossy(kept).into_owned(),
        truncated: kept.len() < payload.len(),
    })
}

/// Appends `record` to its session's spool under `root` by one write, and makes folder (0700) and file (0600) where
/// they are missing.
///
/// # Errors
/// When the file cannot be made or the disk is full; a torn line is passed over by the reader.
pub fn append_blocking(root: &Utf8Path, record: &HookRecord) -> io::Result<()> {
    let mut line = vec![b'\n'];
    serde_json::to_writer(&mut line, record)?;
    line.push(b'\n');
    let path = path(root, &record.session);
    let open = || {
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
    };
    let mut file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(root)?;
            open()?
        }
        other => other?,
    };
    let written = file.write(&line)?;
    if written < line.len() {
        return Err(io::Error::new(
            io::ErrorKind::StorageFull,
            "only a part of the record could be written",
        ));
    }
    Ok(())
}

fn path(root: &Utf8Path, session: &SessionId) -> Utf8PathBuf {
    root.join(format!("{session}.jsonl"))
}

/// The spools under one folder.
pub struct FileSpool {
    root: Utf8PathBuf,
    grown: Arc<Notify>,
    // Dropping it ends the watch. `None` where the system gave none: then the slow poll alone remains.
    _watcher: Option<notify::RecommendedWatcher>,
}

impl FileSpool {
    /// Opens the folder `root` (made with mode 0700 where it is missing) and watches it.
    ///
    /// # Errors
    /// When the folder cannot be made. That the system gives no watch is no error: the slow poll serves.
    pub fn open(root: Utf8PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
        let grown = Arc::new(Notify::new());
        let pulse = Arc::clone(&grown);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_err() || event.is_ok_and(|event| !event.kind.is_access()) {
                pulse.notify_one(); // keeps one permit when nobody waits: no wake-up is lost
            }
        })
        .and_then(|mut watcher| {
            watcher.watch(root.as_std_path(), notify::RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        let watcher = match watcher {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(
                    error,
                    "hook spool is not watched, looking every {} s instead",
                    SLOW_POLL.as_secs()
                );
                None
            }
        };
        Ok(Self {
            root,
            grown,
            _watcher: watcher,
        })
    }

    async fn blocking<T: Send + 'static>(
        session: String,
        doing: &'static str,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let result = tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        result.map_err(|source| SpoolError {
            session,
            doing,
            source,
        })
    }
}

impl HookSpool for FileSpool {
    fn append<'a>(&'a self, record: &'a HookRecord) -> PortFuture<'a, Result<(), SpoolError>> {
        let (root, record) = (self.root.clone(), record.clone());
        Box::pin(Self::blocking(
            record.session.to_string(),
            "appending a record",
            move || append_blocking(&root, &record),
        ))
    }

    fn append_seen<'a>(&'a self, record: &'a HookRecord) -> PortFuture<'a, Result<(), SpoolError>> {
        let (root, mut record) = (self.root.clone(), record.clone());
        Box::pin(Self::blocking(
            record.session.to_string(),
            "appending what was seen",
            move || {
                record.boot = process::boot_id()?;
                let ago = u64::try_from(clock::now().since(record.at).as_millis()).unwrap_or(u64::MAX);
                record.boot_ms = clock::boot_millis().saturating_sub(ago);
                append_blocking(&root, &record)
            },
        ))
    }

    fn read<'a>(
        &'a self,
        session: &'a SessionId,
        offset: u64,
    ) -> PortFuture<'a, Result<Spooled, SpoolError>> {
        let path = path(&self.root, session);
        Box::pin(Self::blocking(
            session.to_string(),
            "reading records",
            move || read_piece(&path, offset),
        ))
    }

    fn sessions(&self) -> PortFuture<'_, Result<Vec<SessionId>, SpoolError>> {
        let root = self.root.clone();
        Box::pin(Self::blocking("*".to_owned(), "listing", move || {
            let mut found = Vec::new();
            for entry in fs::read_dir(&root)? {
                let name = entry?.file_name();
                let id = name
                    .to_str()
                    .and_then(|name| name.strip_suffix(".jsonl"))
                    .and_then(|id| id.parse().ok());
                found.extend(id);
            }
            found.sort();
            Ok(found)
        }))
    }

    fn changed(&self) -> PortFuture<'_, ()> {
        Box::pin(async {
            // The answer is the same either way: look.
            let _ = tokio::time::timeout(SLOW_POLL, self.grown.notified()).await;
        })
    }
}

fn read_piece(path: &Utf8Path, offset: u64) -> io::Result<Spooled> {
    // A line longer than a whole piece is none of ours.
    let Some(Lines { lines, next }) = lines::read(path, offset, PIECE, PIECE)? else {
        let records = Vec::new();
        return Ok(Spooled {
            records,
            next: offset,
        });
    };
    let records = lines
        .iter()
        .map(|line| {
            let record: HookRecord = serde_json::from_slice(line).map_err(|error| error.to_string())?;
            let is_id = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !is_id(&record.id) {
                return Err("its id is not 32 hex digits".to_owned());
            }
            if record.v == 1 {
                Ok(record)
            } else {
                Err(format!("record of version {}, known is 1", record.v))
            }
        })
        .collect();
    Ok(Spooled { records, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(name: &str) -> Utf8PathBuf {
        let dir = std::env::temp_dir().join(format!("ao-spool-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        Utf8PathBuf::try_from(dir).unwrap()
    }

    fn some(event: &str) -> HookRecord {
        let env = HookEnv {
            session: "web-1".parse().unwrap(),
            generation: 1,
            secret: "5".repeat(32),
        };
        record(env, "shell".to_owned(), event.to_owned(), b"{}").unwrap()
    }

    #[test]
    fn a_torn_line_costs_only_itself() {
        let root = root("torn");
        append_blocking(&root, &some("working")).unwrap();
        let file = path(&root, &"web-1".parse().unwrap());
        OpenOptions::new()
            .append(true)
            .open(&file)
            .unwrap()
            .write_all(b"\n{\"v\":1,\"id\":\"x")
            .unwrap();
        let first = read_piece(&file, 0).unwrap();
        assert_eq!(first.records.len(), 1, "the torn line may still be being written");
        append_blocking(&root, &some("ended")).unwrap();
        let rest = read_piece(&file, first.next).unwrap();
        assert!(rest.records[0].is_err());
        assert_eq!(rest.records[1].as_ref().unwrap().event, "ended");
        assert_eq!(
            read_piece(&file, rest.next).unwrap(),
            Spooled {
                records: Vec::new(),
                next: rest.next
            }
        );
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_payload_is_cut_and_says_so() {
        let env = HookEnv {
            session: "web-1".parse().unwrap(),
            generation: 1,
            secret: String::new(),
        };
        let long = vec![b'x'; HookRecord::PAYLOAD_MAX + 1];
        let cut = record(env, "a".to_owned(), "b".to_owned(), &long).unwrap();
        assert!(cut.truncated);
        assert_eq!(cut.payload.len(), HookRecord::PAYLOAD_MAX);
    }

    /// The bytes of version 1, so that records written by an older release are read for ever.
    #[test]
    fn version_one_stays_readable() {
        let line = include_str!("../tests/fixtures/hook-record-v1.jsonl");
        let record: HookRecord = serde_json::from_str(line.trim()).unwrap();
        assert_eq!(
            (record.v, record.event.as_str(), record.boot_ms),
            (1, "working", 4711)
        );
    }

    #[tokio::test]
    async fn a_write_wakes_the_reader() {
        let root = root("wake");
        let spool = FileSpool::open(root.clone()).unwrap();
        let record = some("working");
        let began = tokio::time::Instant::now();
        let (written, ()) = tokio::join!(spool.append(&record), spool.changed());
        written.unwrap();
        assert!(began.elapsed() < SLOW_POLL, "it was the poll that saw it");
        assert_eq!(spool.sessions().await.unwrap(), vec![record.session.clone()]);
        let read = spool.read(&record.session, 0).await.unwrap();
        assert_eq!(read.records, vec![Ok(record)]);
        fs::remove_dir_all(root).unwrap();
    }
}
