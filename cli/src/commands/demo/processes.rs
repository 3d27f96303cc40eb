//! Which processes belong to a demo, looked at from the outside, and how they are ended.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use ao_domain::ProcessId;
use ao_local::process;
use camino::Utf8Path;
use rustix::process::{Pid, Signal, kill_process};

/// Set for everything that a demo starts, and inherited by whatever that starts: its value is the demo's directory.
/// Nobody else sets it, so that a person's own shell with the demo's AO_DATA_DIR in it is none of ours.
pub(super) const MARK: &str = "AO_DEMO";

/// Within what killed processes are gone; the kernel needs milliseconds unless one hangs in a write to a dead disk.
const ENDED: Duration = Duration::from_secs(10);

/// How often to look whether they are: nobody tells us of the end of processes that are not our children.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A process of a demo.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Which.
    pub(super) process: ProcessId,
    /// Its command line.
    pub(super) words: Vec<String>,
}

impl Member {
    /// The directory of the run that it holds, if it is a holder.
    pub(super) fn held_run(&self) -> Option<&str> {
        match self.words.as_slice() {
            [_, word, dir] if word == "pty-host" => Some(dir),
            _ => None,
        }
    }
}

/// Every living process of the demo in `dir`, but for the one that asks: those that carry its mark, its holders (which
/// carry no environment at all), and a daemon that somebody started again by hand in its data directory.
///
/// # Errors
/// When the system does not tell which processes there are.
pub(super) fn members(dir: &Utf8Path) -> io::Result<Vec<Member>> {
    let mark = format!("{MARK}={dir}");
    let data = format!("AO_DATA_DIR={}", dir.join(super::place::DATA));
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if pid == std::process::id() {
            continue;
        }
        // What cannot be read is gone by now or another user's.
        let (Ok(words), Ok(environment)) = (strings(pid, "cmdline"), strings(pid, "environ")) else {
            continue;
        };
        let member = Member {
            process: ProcessId {
                pid,
                started: 0,
                boot: String::new(),
            },
            words,
        };
        let is_holder = member
            .held_run()
            .is_some_and(|run| Utf8Path::new(run).starts_with(dir));
        let is_daemon =
            member.words.get(1).is_some_and(|word| word == "daemon") && environment.contains(&data);
        if !(is_holder || is_daemon || environment.contains(&mark)) {
            continue;
        }
        if let Some(process) = process::identify(pid)? {
            found.push(Member { process, ..member });
        }
    }
    Ok(found)
}

fn strings(pid: u32, file: &str) -> io::Result<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/{file}"))?;
    Ok(bytes
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect())
}

/// Sends SIGKILL to exactly this process. Fine if it has ended.
///
/// # Errors
/// When the system does not tell who it is, or refuses.
pub(super) fn kill(process: &ProcessId) -> io::Result<()> {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    let (Some(pid), true) = (pid, process::is_alive(process)?) else {
        return Ok(());
    };
    match kill_process(pid, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Ends every process of the demo in `dir`, also those that appear meanwhile, and returns how many there were. Blocks
/// until they are gone.
///
/// # Errors
/// When the system does not tell, or some are still there after [`ENDED`].
pub(super) fn end_all(dir: &Utf8Path) -> io::Result<usize> {
    let until = Instant::now() + ENDED;
    let mut ended = BTreeSet::new();
    loop {
        let mut left = members(dir)?;
        if left.is_empty() {
            return Ok(ended.len());
        }
        if Instant::now() >= until {
            let pids: Vec<String> = left.iter().map(|left| left.process.pid.to_string()).collect();
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("still there: process {}", pids.join(", ")),
            ));
        }
        // The daemon first: it would take the end of the others for news.
        left.sort_by_key(|member| member.words.get(1).is_none_or(|word| word != "daemon"));
        for member in left {
            kill(&member.process)?;
            ended.insert(member.process.pid);
        }
        std::thread::park_timeout(LOOK_AGAIN);
    }
}
