//! Whether the daemon is there: what the run file says, checked against the process it names and against its answers.

use std::time::Duration;

use ao_api::wire::{Health, SERVICE};
use ao_domain::ProcessId;
use camino::Utf8Path;
use serde::Serialize;

use crate::client::{Ask, Daemon};
use crate::env::Places;
use crate::error::CliError;
use crate::run_file::{Found, RunFile};

/// How long a probe may take: the daemon answers these without looking at anything.
pub(crate) const PROBE: Duration = Duration::from_secs(2);

/// How the daemon stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// There is no run file.
    Stopped,
    /// There is one, but its process is gone.
    Stale,
    /// Its process runs, but does not answer as it should.
    Unhealthy,
    /// It answers, but is still on its way up, or on its way down.
    NotReady,
    /// It serves.
    Ready,
}

impl State {
    /// The word as it is shown.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Stale => "stale",
            Self::Unhealthy => "unhealthy",
            Self::NotReady => "not_ready",
            Self::Ready => "ready",
        }
    }
}

/// What the run file and its process say, without a word to the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trace {
    /// No run file.
    None,
    /// A run file without its process, or one that is none; why, in words.
    Cold {
        /// In words.
        why: String,
        /// The process that is gone, where the file names one.
        process: Option<ProcessId>,
    },
    /// A run file whose process runs.
    Warm(RunFile),
    /// The Go original's, and its process runs.
    Original {
        /// Its process.
        pid: u32,
        /// Its port.
        port: u16,
    },
}

/// Reads the run file and checks its process by number, start time and boot.
///
/// # Errors
/// When the run file is not to be believed or cannot be read.
pub(crate) fn trace(run_file: &Utf8Path) -> Result<Trace, CliError> {
    Ok(match RunFile::read(run_file)? {
        Found::Nothing => Trace::None,
        Found::Malformed(said) => Trace::Cold {
            why: format!("its run file holds something else: {said}"),
            process: None,
        },
        Found::Original { pid, port } => match ao_local::process::identify(pid) {
            Ok(None) => Trace::Cold {
                why: format!("process {pid} of the original's run file is gone"),
                process: None,
            },
            _ => Trace::Original { pid, port },
        },
        Found::Ours(run) => match gone(&run.process()) {
            Some(why) => Trace::Cold {
                why,
                process: Some(run.process()),
            },
            None => Trace::Warm(run),
        },
    })
}

/// Why that process does not run any more; `None` when it does, or when the system does not tell.
fn gone(process: &ProcessId) -> Option<String> {
    let pid = process.pid;
    if ao_local::process::boot_id().is_ok_and(|boot| boot != process.boot) {
        return Some(format!(
            "its run file is from before the machine was started: process {pid} is gone"
        ));
    }
    match ao_local::process::identify(pid) {
        Ok(None) => Some(format!("process {pid} of its run file is gone")),
        Ok(Some(now)) if now.started != process.started => Some(format!(
            "process {pid} of its run file is gone, and its number belongs to another program now"
        )),
        _ => None,
    }
}

/// How the daemon stands, with everything that was seen on the way.
#[derive(Clone, Debug)]
pub(crate) struct Presence {
    /// The verdict.
    pub(crate) state: State,
    /// The run file, while its process runs.
    pub(crate) run: Option<RunFile>,
    /// What `/healthz` said.
    pub(crate) health: Option<String>,
    /// What `/readyz` said.
    pub(crate) ready: Option<String>,
    /// What is wrong, in words.
    pub(crate) error: Option<String>,
}

/// Looks at the run file, the process and, where both are there, asks the daemon itself.
///
/// # Errors
/// When the run file is not to be believed, or the original's daemon has its place.
pub(crate) async fn look(places: &Places, session: Option<String>) -> Result<Presence, CliError> {
    let bare = |state, error| Presence {
        state,
        run: None,
        health: None,
        ready: None,
        error,
    };
    let run = match trace(&places.run_file)? {
        Trace::None => return Ok(bare(State::Stopped, None)),
        Trace::Cold { why, .. } => return Ok(bare(State::Stale, Some(why))),
        Trace::Original { pid, port } => {
            return Err(CliError::Original {
                pid,
                port,
                run_file: places.run_file.clone(),
            });
        }
        Trace::Warm(run) => run,
    };
    let mut presence = Presence {
        run: Some(run.clone()),
        ..bare(State::Unhealthy, None)
    };
    let daemon = Daemon::of(run, session);
    match probe(&daemon, "/healthz").await {
        Ok(health) if health.status == "ok" => presence.health = Some(health.status),
        Ok(health) => {
            presence.error = Some(format!("/healthz says `{}`", health.status));
            presence.health = Some(health.status);
            return Ok(presence);
        }
        Err(why) => {
            presence.error = Some(why);
            return Ok(presence);
        }
    }
    presence.state = State::NotReady;
    match probe(&daemon, "/readyz").await {
        Ok(health) => {
            if health.status == "ready" {
                presence.state = State::Ready;
            } else {
                presence.error = Some(format!("it is {}", health.status));
            }
            presence.ready = Some(health.status);
        }
        Err(why) => presence.error = Some(why),
    }
    Ok(presence)
}

/// Asks one of the two health routes; the answer counts only if it is this daemon's. `/readyz` says `starting` with
/// a status that is no success, and still in this form.
async fn probe(daemon: &Daemon, path: &str) -> Result<Health, String> {
    let answer = daemon
        .ask(Ask::get(path).within(PROBE))
        .await
        .map_err(|error| ao_domain::chain(&error).to_string())?;
    let health: Health = serde_json::from_slice(&answer.body)
        .map_err(|error| format!("{path} answered {} with something else: {error}", answer.status))?;
    if health.service != SERVICE || health.pid != daemon.run().pid {
        return Err(format!(
            "{path} was answered by `{}`, process {}",
            health.service, health.pid
        ));
    }
    Ok(health)
}

#[cfg(test)]
mod tests {
    use ao_domain::Timestamp;

    use super::*;
    use crate::run_file::Token;
    use crate::scratch::Scratch;

    fn run(process: ProcessId) -> RunFile {
        RunFile {
            pid: process.pid,
            port: 1,
            started_at: Timestamp::from_millis(0),
            started: process.started,
            boot: process.boot,
            token: Token::new("t".to_owned()),
            data_dir: "/d".into(),
            version: "0".to_owned(),
        }
    }

    #[test]
    fn a_run_file_is_warm_only_while_exactly_its_process_runs() {
        let dir = Scratch::new();
        let path = dir.path().join("running.json");
        let me = ao_local::process::identify(std::process::id()).unwrap().unwrap();
        let trace_of = |process: ProcessId| {
            run(process).write(&path).unwrap();
            trace(&path).unwrap()
        };
        assert_eq!(trace(&path).unwrap(), Trace::None);
        assert!(matches!(trace_of(me.clone()), Trace::Warm(_)));
        let why = |trace: Trace| match trace {
            Trace::Cold { why, .. } => why,
            other => panic!("{other:?}"),
        };
        let reused = ProcessId {
            started: me.started + 1,
            ..me.clone()
        };
        assert!(why(trace_of(reused)).contains("belongs to another program now"));
        let rebooted = ProcessId {
            boot: "another".to_owned(),
            ..me.clone()
        };
        assert!(why(trace_of(rebooted)).contains("before the machine was started"));
        let none = ProcessId {
            pid: 4_194_305, // above the kernel's largest
            ..me
        };
        assert!(why(trace_of(none)).ends_with("is gone"));
    }

    #[test]
    fn files_that_are_none_of_ours_are_named() {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let dir = Scratch::new();
        let path = dir.path().join("running.json");
        let write = |text: &str| {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&path)
                .unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        write("{\"pid\":");
        assert!(matches!(trace(&path).unwrap(), Trace::Cold { process: None, .. }));
        write(&format!(
            r#"{{"pid":{},"port":3001,"startedAt":"2026-06-24T12:00:00Z"}}"#,
            std::process::id()
        ));
        assert!(matches!(
            trace(&path).unwrap(),
            Trace::Original { port: 3001, .. }
        ));
        write(r#"{"pid":4194305,"port":3001,"startedAt":"2026-06-24T12:00:00Z"}"#);
        assert!(matches!(trace(&path).unwrap(), Trace::Cold { .. }));
    }
}
