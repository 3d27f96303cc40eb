//! One run's zellij session: who belongs to it, and taking it away. Politely; by its processes where it does not listen; and
//! no other one.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use ao_domain::ProcessId;
use ao_domain::port::runtime::RuntimeError;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::Signal;
use tokio::time::Instant;

use super::place::Place;
use super::program::Program;
use crate::process;
use crate::runtimes::holder::family;
use crate::runtimes::holder::files::io_error;
use crate::runtimes::holder::watch::Watch;

/// What a server gets to end by itself, and the launcher in its pane; it takes a hundredth of a second.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// What a killed process gets.
pub(super) const LAST_GRACE: Duration = Duration::from_secs(1);

/// Within what nothing of the session is left.
const PATIENCE: Duration = Duration::from_secs(10);

/// The session of one run.
#[derive(Debug)]
pub(super) struct Session<'a> {
    pub(super) zellij: &'a Program,
    pub(super) place: &'a Place,
    /// Words of the launcher's command line that no other run's has.
    pub(super) launcher: &'a [&'a str],
}

impl Session<'_> {
    /// Removes the session, and its directories where nobody else uses them. Fine if there is none.
    ///
    /// Where there is none it looks at files and at the kernel's list of processes only. Cancelled, the session is there
    /// or not; called again, it goes on.
    pub(super) async fn remove(&self) -> Result<(), RuntimeError> {
        let until = Instant::now() + PATIENCE;
        loop {
            // Those first that would make it anew: a creator may have died while its zellij went on.
            let makers = ours(|words| self.is_made_by(words));
            end_all(&makers, Duration::ZERO).await?;
            let servers = ours(|words| serves(words, self.place));
            if !servers.is_empty() {
                let grace = if self.is_told_to_end(&servers).await? {
                    GRACE
                } else {
                    Duration::ZERO
                };
                end_all(&servers, grace).await?;
            }
            // Its pane's end reaches the launcher; whom it does not reach has nothing to show any more.
            let launchers = ours(|words| has(words, self.launcher));
            end_all(&launchers, GRACE).await?;
            if makers.is_empty() && servers.is_empty() && launchers.is_empty() {
                break;
            }
            if Instant::now() >= until {
                return Err(no_answer());
            }
        }
        self.place.remove().map_err(io_error(
            "removing the zellij session's socket",
            &self.place.sockets,
        ))
    }

    /// Asks for the session's end, where somebody listens.
    async fn is_told_to_end(&self, servers: &[ProcessId]) -> Result<bool, RuntimeError> {
        // A server that is stopped would not answer, nor would zellij come back from asking it; one that begins has no
        // socket yet.
        if self.sockets()?.is_empty() || servers.iter().any(family::is_stopped) {
            return Ok(false);
        }
        let name = &self.place.name;
        // What it answers is not looked at: it says `not found` of a session that it has just ended.
        let asked = self
            .zellij
            .call(&["delete-session", "--force", name], Some(self.place))
            .await;
        if let Err(error) = &asked {
            tracing::debug!(error = error as &dyn std::error::Error, session = %name, "zellij did not end its session");
        }
        Ok(asked.is_ok())
    }

    fn sockets(&self) -> Result<Vec<Utf8PathBuf>, RuntimeError> {
        self.place
            .sockets_there()
            .map_err(io_error("looking for the zellij session", &self.place.sockets))
    }

    /// Whether it is a call of ours that makes the session: no other has these words together with the run's own folder.
    fn is_made_by(&self, words: &[&[u8]]) -> bool {
        let config = self.zellij.own.join("config");
        let wanted = [
            "--config-dir",
            config.as_str(),
            "attach",
            "--create-background",
            &self.place.name,
        ];
        has(words, &wanted)
    }
}

/// Whether these words stand side by side in a command line.
fn has(words: &[&[u8]], wanted: &[&str]) -> bool {
    words.windows(wanted.len()).any(|window| {
        window
            .iter()
            .zip(wanted)
            .all(|(word, wanted)| *word == wanted.as_bytes())
    })
}

/// Waits for them to end; kills those that do not.
async fn end_all(processes: &[ProcessId], grace: Duration) -> Result<(), RuntimeError> {
    for process in processes {
        if has_ended(process, grace).await {
            continue;
        }
        family::signal_process(process, Signal::KILL);
        if !has_ended(process, LAST_GRACE).await {
            return Err(no_answer());
        }
    }
    Ok(())
}

fn no_answer() -> RuntimeError {
    RuntimeError::NoAnswer {
        doing: "ending the zellij session",
        source: None,
    }
}

pub(super) async fn has_ended(process: &ProcessId, patience: Duration) -> bool {
    match Watch::on(process) {
        Some(watch) => tokio::time::timeout(patience, watch.ended()).await.is_ok(),
        None => true,
    }
}

/// Processes of this user with such a command line.
fn ours(such: impl Fn(&[&[u8]]) -> bool) -> Vec<ProcessId> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let us = rustix::process::geteuid().as_raw();
    entries
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            if entry.metadata().ok()?.uid() != us {
                return None;
            }
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            such(&words).then(|| process::identify(pid).ok().flatten())?
        })
        .collect()
}

/// Whether it is the session's server: its socket has exactly the session's name and lies in its directory, also when the
/// file is gone.
fn serves(words: &[&[u8]], place: &Place) -> bool {
    socket_served(words).is_some_and(|socket| {
        socket.file_name() == Some(&place.name)
            && socket.parent().and_then(Utf8Path::parent) == Some(&place.sockets)
    })
}

/// The socket of a server with this command line; none when it is another program's.
pub(super) fn socket_served<'a>(words: &[&'a [u8]]) -> Option<&'a Utf8Path> {
    match words {
        [_, b"--server", socket, ..] => Some(Utf8Path::new(std::str::from_utf8(socket).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_told_by_its_whole_socket() {
        let at = ao_domain::port::runtime::RuntimeRef {
            session: "web-1".parse().unwrap(),
            generation: 1,
        };
        let place = Place::of(Utf8Path::new("/tmp/b"), Utf8Path::new("/d"), &at);
        let is = |words: [&str; 4]| serves(&words.map(str::as_bytes), &place);
        let sockets = place.sockets.as_str();
        let own = format!("{sockets}/contract_version_1/web-1.1");
        assert!(is(["/bin/zellij", "--server", &own, ""]));
        for other in [
            format!("{sockets}/contract_version_1/web-1.11"),
            format!("{sockets}/contract_version_1/web-1"),
            format!("{sockets}/web-1.1"),
            format!("{sockets}0/contract_version_1/web-1.1"),
        ] {
            assert!(!is(["/bin/zellij", "--server", &other, ""]), "{other}");
        }
        assert!(!is(["/bin/zellij", "attach", &own, ""]));
    }
}
