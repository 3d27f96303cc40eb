//! `ao hooks AGENT EVENT`: an agent's callback. Appends one record to its session's spool and is gone.
//!
//! It runs at every tool call of every agent, so it makes no connection, parses no command line and waits for nothing
//! but the rest of its standard input, and that not for long. Whatever happens, it prints nothing and exits with 0:
//! a callback must never disturb its agent. What went wrong is in `hooks.log` in the data directory.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ao_domain::HookRecord;
use ao_local::spool::{self, HookEnv};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::env::{Env, Inside};

/// How long the agent may take to write its payload. It has it at hand when it calls us; one that keeps the pipe open
/// without writing must not be kept waiting.
const PATIENCE: Duration = Duration::from_secs(1);

/// How large the log of failures may become in bytes before it is moved aside, where one older one is kept.
const LOG_MAX: u64 = 1024 * 1024;

/// A callback was not recorded.
#[derive(Debug, thiserror::Error)]
enum HookError {
    /// Not called as `ao hooks AGENT EVENT`.
    #[error("wanted are an agent and an event, but there are {0} words")]
    Words(usize),
    /// A variable that every session has is missing or is not what `ao` set.
    #[error("{0} is missing or malformed")]
    Variable(&'static str),
    /// The spool could not be written.
    #[error("the spool could not be written")]
    Spool(#[source] io::Error),
}

/// Called before anything else is set up; `words` are those after `hooks`.
pub(crate) fn main(words: &[OsString]) -> ExitCode {
    let env = Env::of_process();
    // Outside a session of ours, an agent with our hooks is none of our business.
    let (Some(inside), Ok(places)) = (env.inside(), env.places()) else {
        return ExitCode::SUCCESS;
    };
    if let Err(error) = record(words, &inside, &places.data_dir) {
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        let cause = ao_domain::chain(&error);
        let line = format!(
            "{} session={} ao hooks {}: {cause}",
            ao_local::clock::now(),
            inside.session,
            words.join(" ")
        );
        // There is nobody left to tell when this fails too.
        let _ = log(&places.data_dir, &line);
    }
    ExitCode::SUCCESS
}

fn record(words: &[OsString], inside: &Inside, data_dir: &Utf8Path) -> Result<(), HookError> {
    // Before anything can go wrong: the agent writes it, and must not find the pipe broken.
    let payload = payload();
    let [agent, event] = words else {
        return Err(HookError::Words(words.len()));
    };
    let session = inside
        .session
        .parse()
        .map_err(|_| HookError::Variable("AO_SESSION_ID"))?;
    let generation = inside
        .generation
        .as_deref()
        .and_then(|text| text.parse().ok())
        .ok_or(HookError::Variable("AO_GENERATION"))?;
    let secret = inside
        .secret
        .clone()
        .ok_or(HookError::Variable("AO_LAUNCH_SECRET"))?;
    let record = spool::record(
        HookEnv {
            session,
            generation,
            secret,
        },
        agent.to_string_lossy().into_owned(),
        event.to_string_lossy().into_owned(),
        &payload,
    )
    .map_err(HookError::Spool)?;
    spool::append_blocking(&data_dir.join(spool::FOLDER), &record).map_err(HookError::Spool)
}

/// What the agent writes on standard input, at most one byte more than is kept, so that the record knows of a cut. A
/// terminal is not read: it belongs to a person. The rest of a long payload is read and forgotten, so that its writer
/// does not find the pipe broken.
fn payload() -> Vec<u8> {
    let stdin = io::stdin();
    if rustix::termios::isatty(&stdin) {
        return Vec::new();
    }
    let mut kept = Vec::new();
    let mut piece = [0_u8; 16 * 1024];
    let end = Instant::now() + PATIENCE;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(left.min(Duration::from_millis(999)).subsec_nanos()),
        };
        let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut ready, Some(&wait)) {
            Ok(0) | Err(_) if left.is_zero() => return kept,
            Ok(0) | Err(_) => continue,
            Ok(_) => {}
        }
        match rustix::io::read(&stdin, &mut piece) {
            Ok(0) => return kept,
            Ok(length) => {
                let room = (HookRecord::PAYLOAD_MAX + 1).saturating_sub(kept.len());
                kept.extend_from_slice(&piece[..length.min(room)]);
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(_) => return kept,
        }
    }
}

fn log(data_dir: &Utf8Path, line: &str) -> io::Result<()> {
    let path = data_dir.join("hooks.log");
    if std::fs::metadata(&path).is_ok_and(|meta| meta.len() > LOG_MAX) {
        std::fs::rename(&path, older(&path))?;
    }
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)?;
    let line: String = line
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    file.write_all(format!("{line}\n").as_bytes())
}

fn older(path: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{path}.1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn the_log_of_failures_is_capped_and_keeps_the_older_half() {
        let dir = Scratch::new();
        let path = dir.path().join("hooks.log");
        std::fs::write(&path, vec![b'x'; usize::try_from(LOG_MAX).unwrap() + 1]).unwrap();
        log(dir.path(), "a\nb").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a b\n");
        assert_eq!(std::fs::metadata(older(&path)).unwrap().len(), LOG_MAX + 1);
    }
}
