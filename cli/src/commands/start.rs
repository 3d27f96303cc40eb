//! `ao start`: starts a daemon that outlives the terminal, and waits until it is ready.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use ao_facts::{DirLock, Holder};
use camino::{Utf8Path, Utf8PathBuf};
use tokio::process::Child;
use tokio::time::Instant;

use super::status::StatusView;
use crate::duration;
use crate::env::{Config, Env, Places};
use crate::error::CliError;
use crate::presence::{self, Presence, State};
use crate::render::Out;

/// How often to look whether the daemon is ready: it takes about a tenth of a second to come up.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How large the log may be in bytes before a start moves it aside; one older one is kept.
const LOG_MAX: u64 = 10 * 1024 * 1024;

/// How much of the log is shown when a daemon does not come up, in lines.
const LAST_WORDS: usize = 8;

/// Start the daemon, unless it runs already
///
/// Returns once it is ready. It outlives this terminal; its output goes to `daemon.log` beside the run file. Two
/// starts at once give one daemon, and both report it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ao start
  ao start --timeout 30s
  AO_PORT=3002 AO_DATA_DIR=~/ao-two AO_RUN_FILE=~/ao-two/running.json ao start")]
pub(crate) struct StartArgs {
    /// How long to wait until it is ready
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    timeout: Duration,

    /// Where its output goes
    #[arg(long, value_name = "FILE")]
    log_file: Option<Utf8PathBuf>,
}

pub(crate) async fn run(args: &StartArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    // The daemon reads the same environment: what it would refuse is refused here, with all of it at once.
    let config = env.config()?;
    let places = env.places()?;
    let log = match &args.log_file {
        Some(file) => env
            .absolute(file)
            .ok_or_else(|| CliError::misuse(format!("`{file}` cannot be made an absolute path")))?,
        None => places.log_file(),
    };
    let presence = bring_up(&places, env, &log, args.timeout).await?;
    for remark in disagreements(&presence, &config) {
        out.note(remark)?;
    }
    if out.is_json() {
        return out.object(&StatusView::new(&presence, &places));
    }
    let (pid, port) = presence.run.as_ref().map_or((0, 0), |run| (run.pid, run.port));
    out.line(format!("AO daemon ready (pid {pid}, port {port})"))
}

/// Starts a daemon where none is, and waits until one is ready.
///
/// # Errors
/// When it ends before that (with its last words), or is not ready in time (it goes on then).
async fn bring_up(
    places: &Places,
    env: &Env,
    log: &Utf8Path,
    within: Duration,
) -> Result<Presence, CliError> {
    let end = Instant::now() + within;
    let session = env.session();
    let mut presence = presence::look(places, session.clone()).await?;
    let mut ours = None;
    if matches!(presence.state, State::Stopped | State::Stale) {
        ours = Some(Started::spawn(log)?);
    }
    while presence.state != State::Ready {
        let over = Instant::now() >= end;
        if let Some(started) = ours.as_mut().filter(|ours| ours.ended.is_some()) {
            // It has ended, and this was looked at after its end: one that lost the race for the data directory
            // leaves its winner there, which may not have written its run file yet.
            if presence.run.is_none() && (over || !is_held(&places.data_dir)) {
                return Err(started.not_started());
            }
        }
        if over {
            return Err(CliError::NotReady {
                pid: presence
                    .run
                    .as_ref()
                    .map(|run| run.pid)
                    .or_else(|| ours.as_ref().and_then(|ours| ours.child.id()))
                    .unwrap_or_default(),
                within,
                state: presence
                    .error
                    .unwrap_or_else(|| "it has not written its run file yet".to_owned()),
                log: log.to_owned(),
            });
        }
        match &mut ours {
            Some(started) if started.ended.is_none() => {
                tokio::select! {
                    ended = started.child.wait() => {
                        started.ended = Some(ended.map_err(|source| CliError::Io {
                            doing: "waiting for the daemon",
                            path: log.to_owned(),
                            source,
                        })?);
                    }
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                }
            }
            _ => tokio::time::sleep(LOOK_AGAIN).await,
        }
        presence = presence::look(places, session.clone()).await?;
    }
    Ok(presence)
}

/// Whether a living process has written itself down as the holder of the data directory.
fn is_held(data_dir: &Utf8Path) -> bool {
    // Read only: taking the lock to see whether it is free would keep a daemon from it that is just about to.
    std::fs::read_to_string(data_dir.join(DirLock::FILE))
        .ok()
        .and_then(|words| serde_json::from_str::<Holder>(&words).ok())
        .and_then(|holder| Some((ao_local::process::identify(holder.pid).ok()??, holder)))
        .is_some_and(|(now, holder)| holder.started.is_none_or(|started| started == now.started))
}

/// A daemon that this command started.
struct Started {
    child: Child,
    ended: Option<ExitStatus>,
    log: Utf8PathBuf,
    /// How long the log was before: what follows is this daemon's.
    log_from: u64,
}

impl Started {
    /// Starts `ao daemon` with this environment and working directory, its output appended to `log`. It makes a
    /// session of its own, so that neither the terminal's end nor Ctrl-C reaches it.
    fn spawn(log: &Utf8Path) -> Result<Self, CliError> {
        let failed = |doing| {
            move |source| CliError::Io {
                doing,
                path: log.to_owned(),
                source,
            }
        };
        let file = open_log(log).map_err(failed("opening the daemon's log"))?;
        let log_from = file.metadata().map(|meta| meta.len()).unwrap_or_default();
        let program = std::env::current_exe().map_err(failed("finding this program"))?;
        #[expect(
            clippy::disallowed_methods,
            reason = "this command is what starts the daemon; everything else is started by it"
        )]
        let mut command = tokio::process::Command::new(program);
        let child = command
            .args(["daemon", "--detached"])
            .stdin(Stdio::null())
            .stdout(file.try_clone().map_err(failed("opening the daemon's log"))?)
            .stderr(file)
            .spawn()
            .map_err(failed("starting the daemon"))?;
        Ok(Self {
            child,
            ended: None,
            log: log.to_owned(),
            log_from,
        })
    }

    fn not_started(&mut self) -> CliError {
        let said = last_words(&self.log, self.log_from).unwrap_or_default();
        let how = self.ended.map(|status| status.to_string()).unwrap_or_default();
        CliError::NotStarted {
            said: if said.is_empty() { how } else { said },
            log: self.log.clone(),
        }
    }
}

fn open_log(log: &Utf8Path) -> io::Result<std::fs::File> {
    if let Some(dir) = log.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)?;
    }
    if std::fs::metadata(log).is_ok_and(|meta| meta.len() > LOG_MAX) {
        std::fs::rename(log, format!("{log}.1"))?;
    }
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(log)
}

/// The last lines that were written to `log` from `from` on.
fn last_words(log: &Utf8Path, from: u64) -> io::Result<String> {
    const ENOUGH: u64 = 16 * 1024;
    let mut file = std::fs::File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(from.max(length.saturating_sub(ENOUGH))))?;
    let mut bytes = Vec::new();
    file.take(ENOUGH).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // What it ended of is its last word, without a date before it; without one, the last lines have to do.
    if let Some((_, word)) = format!("\n{text}").rsplit_once("\nao: ") {
        return Ok(word.trim_end().to_owned());
    }
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    Ok(lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n"))
}

/// Where the running daemon is another than this environment asks for: it was started with other values.
pub(crate) fn disagreements(presence: &Presence, config: &Config) -> Vec<String> {
    let Some(run) = &presence.run else {
        return Vec::new();
    };
    let mut remarks = Vec::new();
    let mut compare = |name: &str, runs: &str, asked: &str| {
        if runs != asked {
            remarks.push(format!(
                "note: the running daemon has {name} `{runs}`, this environment says `{asked}`; it counts at the next start"
            ));
        }
    };
    compare(
        "the data directory",
        run.data_dir.as_str(),
        config.data_dir.as_str(),
    );
    if config.port != 0 {
        compare("port", &run.port.to_string(), &config.port.to_string());
    }
    compare("version", &run.version, env!("CARGO_PKG_VERSION"));
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_long_log_is_moved_aside_once() {
        let dir = Scratch::new();
        let log = dir.path().join("sub/daemon.log");
        drop(open_log(&log).unwrap());
        let file = std::fs::OpenOptions::new().write(true).open(&log).unwrap();
        file.set_len(LOG_MAX + 1).unwrap();
        drop(open_log(&log).unwrap());
        assert_eq!(std::fs::metadata(&log).unwrap().len(), 0);
        assert_eq!(std::fs::metadata(format!("{log}.1")).unwrap().len(), LOG_MAX + 1);
    }

    #[test]
    fn only_a_living_holder_is_waited_for() {
        let dir = Scratch::new();
        let me = ao_local::process::identify(std::process::id()).unwrap().unwrap();
        assert!(!is_held(dir.path()));
        let write = |started: u64| {
            let words = format!(r#"{{"pid":{},"started":{started}}}"#, me.pid);
            std::fs::write(dir.path().join(DirLock::FILE), words).unwrap();
        };
        write(me.started);
        assert!(is_held(dir.path()));
        write(me.started + 1);
        assert!(!is_held(dir.path()), "the number was used again");
    }

    #[test]
    fn last_words_are_those_of_this_start() {
        let dir = Scratch::new();
        let log = dir.path().join("daemon.log");
        std::fs::write(&log, "old trouble\n").unwrap();
        let from = std::fs::metadata(&log).unwrap().len();
        assert_eq!(last_words(&log, from).unwrap(), "");
        let new: String = (1..=20).map(|n| format!("line {n}\n\n")).collect();
        std::fs::write(&log, format!("old trouble\n{new}")).unwrap();
        let words = last_words(&log, from).unwrap();
        assert!(
            words.starts_with("line 13\n") && words.ends_with("line 20"),
            "{words}"
        );
    }
}
