//! Starting a holder: intent on disk, lock taken, process started by whoever does that here, its one line awaited.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use ao_domain::port::runtime::{Held, Launch, RuntimeError, RuntimeRef};
use rustix::pipe::PipeFlags;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::time::Instant;

use super::client::{self, Trouble};
use super::family;
use super::files::{self, LOG_LIMIT, LaunchFile, Record, Report, RunDir, io_error};
use super::{ASK, Runs, Start, held};

/// What a creator waits for a holder's line, and for another creator of the same run.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a lock that another creator holds is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// What an agent gets whose holder was killed, before its run is started anew.
const LEFTOVER_GRACE: Duration = Duration::from_millis(500);

/// Longer than any line a holder writes.
const LONGEST_LINE: u64 = 64 * 1024;

/// Starts the run, or answers it as it stands. Dropped half-way, the holder is either not started or goes on by
/// itself; the next create finds it.
pub(super) async fn create(runs: &Runs, launch: &Launch) -> Result<Held, RuntimeError> {
    if !launch.cwd.is_dir() {
        return Err(RuntimeError::NoDirectory {
            path: launch.cwd.clone(),
        });
    }
    let dir = runs.dir(&launch.at);
    let until = Instant::now() + PATIENCE;
    let lock = loop {
        dir.make()
            .map_err(io_error("making the run's directory", dir.path()))?;
        if let Some(lock) = dir
            .take_lock()
            .map_err(io_error("taking the run's lock", dir.path()))?
        {
            break lock;
        }
        // A holder, another creator that is about to start one, or a look that is over by the next round.
        match client::status(&dir, ASK).await {
            Ok(status) => {
                warn_if_another(&dir, launch);
                return Ok(held(status));
            }
            Err(Trouble::Gone) => {}
            Err(trouble) if Instant::now() >= until => return Err(trouble.into_error("starting")),
            Err(_) => tokio::time::sleep(TRY_AGAIN).await,
        }
    };
    if let Some(exit) = dir
        .exit()
        .map_err(io_error("reading the exit record", dir.path()))?
    {
        return Ok(exit.held());
    }
    let kin = dir.kin().map_err(io_error("reading the record", dir.path()))?;
    family::end_without_holder(&kin, LEFTOVER_GRACE).await;
    start(runs, &dir, &lock, launch).await
}

/// The run is held for other words than these: it is answered all the same, since a run is its name.
fn warn_if_another(dir: &RunDir, launch: &Launch) {
    if let Ok(Some(record)) = dir.record()
        && record.argv_hash != files::argv_hash(launch)
    {
        tracing::warn!(
            session = %launch.at.session,
            generation = launch.at.generation,
            "the run is held already, for another command line"
        );
    }
}

/// Starts the holder; whoever calls has the lock, and the holder inherits it.
async fn start(runs: &Runs, dir: &RunDir, lock: &OwnedFd, launch: &Launch) -> Result<Held, RuntimeError> {
    write_intent(dir, launch).map_err(io_error("writing the launch", dir.path()))?;
    let report = match line_of(runs, &launch.at, dir, lock).await {
        Ok(report) => report,
        Err(error @ RuntimeError::NoAnswer { .. }) => return Err(error), // it may still come up: left as it is
        Err(error) => {
            discard(runs, &launch.at, dir).await;
            return Err(error);
        }
    };
    let error = match report {
        Report::Ready { holder, agent } => {
            return Ok(Held {
                holder,
                agent,
                exit: None,
            });
        }
        Report::NoDirectory { path } => RuntimeError::NoDirectory { path },
        Report::NotStarted { program, reason } => RuntimeError::NotStarted { program, reason },
        Report::Broken { doing, reason } => RuntimeError::NotStarted {
            program: runs.around.program(),
            reason: format!("{doing}: {reason}"),
        },
    };
    discard(runs, &launch.at, dir).await;
    Err(error)
}

fn write_intent(dir: &RunDir, launch: &Launch) -> io::Result<()> {
    for stale in ["agent", "sock", "record.json", "launch"] {
        match fs::remove_file(dir.file(stale)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    dir.write_launch(&LaunchFile {
        argv: launch.argv.clone(),
        env: launch.env.clone(),
        cwd: launch.cwd.clone(),
    })?;
    dir.write_record(&Record {
        version: files::VERSION,
        session: launch.at.session.clone(),
        generation: launch.at.generation,
        argv_hash: files::argv_hash(launch),
        env_keys: launch.env.iter().map(|(name, _)| name.clone()).collect(),
        created_at: crate::clock::now(),
        wire: 0,
        build: String::new(),
        holder: None,
        agent: None,
        mark: family::mark_of(|name| {
            let mut env = launch.env.iter();
            env.find(|(known, _)| known == name)
                .map(|(_, value)| value.as_str())
        }),
    })
}

/// Has the holder started and waits for its line.
async fn line_of(runs: &Runs, at: &RuntimeRef, dir: &RunDir, lock: &OwnedFd) -> Result<Report, RuntimeError> {
    let log_path = dir.file("log");
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&log_path)
        .and_then(|log| {
            if log.metadata()?.len() >= LOG_LIMIT {
                log.set_len(0)?; // of an earlier holder of this run
            }
            Ok(log)
        })
        .map_err(io_error("opening the holder's log", &log_path))?;
    let piped = io_error("making the holder's pipe", dir.path());
    let (heard, said) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
        .map_err(io::Error::from)
        .and_then(|(heard, said)| {
            rustix::io::ioctl_fionbio(&heard, true)?;
            Ok((pipe::Receiver::from_owned_fd(heard)?, said))
        })
        .map_err(piped)?;
    let lock = lock
        .try_clone()
        .map_err(io_error("handing the lock on", dir.path()))?;
    let not_started = |error: io::Error| RuntimeError::NotStarted {
        program: runs.around.program(),
        reason: error.to_string(),
    };
    let start = Start {
        lock,
        said,
        log: log.into(),
    };
    runs.around.start(at, dir, start).await?;
    let mut line = String::new();
    let mut reader = BufReader::new(heard.take(LONGEST_LINE));
    let read = tokio::time::timeout(PATIENCE, reader.read_line(&mut line)).await;
    match read {
        Ok(Ok(1..)) => serde_json::from_str(&line)
            .map_err(|error| RuntimeError::Protocol(format!("the holder's first line: {error}"))),
        // Its log is removed with the rest of a run that did not start: the last of it is told here.
        Ok(Ok(_)) => Err(not_started(io::Error::other(format!(
            "it ended without a word: {}",
            fs::read_to_string(&log_path)
                .unwrap_or_default()
                .lines()
                .next_back()
                .unwrap_or("nothing in its log")
        )))),
        Ok(Err(source)) => Err(RuntimeError::NoAnswer {
            doing: "starting",
            source: Some(source),
        }),
        Err(_) => Err(RuntimeError::NoAnswer {
            doing: "starting",
            source: None,
        }),
    }
}

/// Removes what was made for a run that did not start. The lock is still held, so nobody else is in there. A holder
/// that was killed in the middle of its start may have left an agent, which nobody could find without these files.
async fn discard(runs: &Runs, at: &RuntimeRef, dir: &RunDir) {
    if let Ok(kin) = dir.kin() {
        family::end_without_holder(&kin, LEFTOVER_GRACE).await;
    }
    if let Err(error) = runs.around.clear(at).await {
        // Its record stays, so that a later destroy finds it.
        tracing::warn!(path = %dir.path(), error = &error as &dyn std::error::Error, "what stands around a failed start");
        return;
    }
    if let Err(error) = fs::remove_dir_all(dir.path()) {
        tracing::warn!(path = %dir.path(), error = &error as &dyn std::error::Error, "leftovers of a failed start");
    }
    if let Some(session) = dir.path().parent()
        && session != runs.root
    {
        let _ = fs::remove_dir(session); // holds other runs: then it stays
    }
}
