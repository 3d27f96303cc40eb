//! `ao stop`: asks the daemon to end and waits until its process is gone. Agents go on.

use std::time::{Duration, Instant};

use ao_api::wire::Health;
use ao_domain::ProcessId;

use super::status::StatusView;
use crate::client::{Ask, Daemon};
use crate::duration;
use crate::env::{Env, Places};
use crate::error::CliError;
use crate::presence::{self, PROBE, Trace};
use crate::render::Out;
use crate::run_file::RunFile;

/// Stop the daemon; agents go on
///
/// Returns once its process has ended. A daemon that does not answer is asked by a signal; one that
/// refuses, as it does to an agent inside a session, is left alone.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ao stop\n  ao stop --timeout 1m")]
pub(crate) struct StopArgs {
    /// How long to wait until it has ended
    // Twice the time that open connections get by default: the daemon's own deadlines come first.
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration::parse)]
    timeout: Duration,
}

pub(crate) async fn run(args: &StopArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let places = env.places()?;
    match presence::trace(&places.run_file)? {
        Trace::None => return report(&places, "no daemon is running", out),
        Trace::Cold { why, process } => {
            if let Some(process) = process {
                RunFile::remove_if_of(&places.run_file, &process)?;
            }
            return report(&places, &format!("no daemon is running: {why}"), out);
        }
        Trace::Original { pid, port } => {
            return Err(CliError::Original {
                pid,
                port,
                run_file: places.run_file,
            });
        }
        Trace::Warm(run) => {
            let process = run.process();
            let end = End::of(&process)?;
            let daemon = Daemon::of(run, env.session());
            match daemon.fetch::<Health>(Ask::post("/shutdown").within(PROBE)).await {
                Ok(_) => {}
                // It heard and said no, as it does to an agent inside a session: a signal would go behind its back.
                Err(
                    refused @ CliError::Refused {
                        status: 401 | 403, ..
                    },
                ) => return Err(refused),
                Err(error) => {
                    out.note(format!("{}: sending it a signal", ao_domain::chain(&error)))?;
                    end.ask();
                }
            }
            if !end.comes_within(args.timeout)? {
                return Err(CliError::NotStopped {
                    pid: process.pid,
                    within: args.timeout,
                });
            }
            // It removes the file itself; one that was killed on the way down does not.
            RunFile::remove_if_of(&places.run_file, &process)?;
        }
    }
    report(&places, "AO daemon stopped", out)
}

fn report(places: &Places, text: &str, out: &mut Out) -> Result<(), CliError> {
    if out.is_json() {
        out.object(&StatusView::stopped(places))
    } else {
        out.line(text)
    }
}

/// Waits for the end of exactly one process, and can ask it to.
#[cfg(target_os = "linux")]
struct End(Option<rustix::fd::OwnedFd>);

#[cfg(target_os = "linux")]
impl End {
    /// Holds on to `process`: from here on its number may be used again without harm.
    fn of(process: &ProcessId) -> Result<Self, CliError> {
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        let failed = |source| CliError::Io {
            doing: "watching the daemon's process",
            path: format!("/proc/{}", process.pid).into(),
            source,
        };
        let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else {
            return Ok(Self(None));
        };
        let held = match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(held) => held,
            Err(rustix::io::Errno::SRCH) => return Ok(Self(None)),
            Err(error) => return Err(failed(error.into())),
        };
        // Looked at again now that it is held: the one checked before may have made room for another.
        if !ao_local::process::is_alive(process).map_err(failed)? {
            return Ok(Self(None));
        }
        Ok(Self(Some(held)))
    }

    fn ask(&self) {
        if let Some(held) = &self.0 {
            // The only failure is that it has ended, which is what was wanted.
            let _ = rustix::process::pidfd_send_signal(held, rustix::process::Signal::TERM);
        }
    }

    /// Waits without giving way: this command has nothing else to do.
    fn comes_within(&self, limit: Duration) -> Result<bool, CliError> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let Some(held) = &self.0 else {
            return Ok(true);
        };
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let wait = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            match poll(&mut [PollFd::new(held, PollFlags::IN)], Some(&wait)) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    return Err(CliError::Io {
                        doing: "waiting for the daemon",
                        path: "its process".into(),
                        source: error.into(),
                    });
                }
            }
        }
    }
}

/// Where the kernel gives no handle on a process, it is looked at again and again.
#[cfg(not(target_os = "linux"))]
struct End(ProcessId);

#[cfg(not(target_os = "linux"))]
impl End {
    fn of(process: &ProcessId) -> Result<Self, CliError> {
        Ok(Self(process.clone()))
    }

    fn ask(&self) {
        if let (Ok(true), Some(pid)) = (
            ao_local::process::is_alive(&self.0),
            i32::try_from(self.0.pid)
                .ok()
                .and_then(rustix::process::Pid::from_raw),
        ) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }

    fn comes_within(&self, limit: Duration) -> Result<bool, CliError> {
        let until = Instant::now() + limit;
        while ao_local::process::is_alive(&self.0).unwrap_or(true) {
            if Instant::now() >= until {
                return Ok(false);
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        Ok(true)
    }
}
