//! Taking one zellij session away: politely, by its server where it does not listen, and no other one.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use ao_domain::ProcessId;
use ao_domain::port::runtime::RuntimeError;
use camino::Utf8Path;
use rustix::process::Signal;

use super::place::Place;
use super::program::Program;
use crate::process;
use crate::runtimes::holder::family;
use crate::runtimes::holder::files::io_error;
use crate::runtimes::holder::watch::Watch;

/// What a server gets to end by itself; it takes a hundredth of a second.
const GRACE: Duration = Duration::from_secs(2);

/// What a killed one gets.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// Removes the session at `place`, and its directories where nobody else uses them. Fine if there is none.
///
/// Looks at files and at the kernel's list of processes only, where there is none. Cancelled, the session is there or not; called
/// again, it goes on.
pub(super) async fn remove(zellij: &Program, place: &Place, own: &Utf8Path) -> Result<(), RuntimeError> {
    let failed = |doing| io_error(doing, &place.sockets);
    let sockets = place
        .sockets_there()
        .map_err(failed("looking for the zellij session"))?;
    let servers = servers(place);
    // One that is stopped would not answer, nor would zellij come back from asking it.
    let listens = |server: &ProcessId| !family::is_stopped(server);
    if !servers.is_empty() && servers.iter().all(listens) {
        // What it answers is not looked at: it says `not found` of a session that it has just ended.
        let asked = zellij
            .ask(&["delete-session", "--force", &place.name], place, own)
            .await;
        if let Err(error) = asked {
            tracing::debug!(error = %error, session = place.name, "zellij did not end its session");
        }
    }
    for server in &servers {
        if listens(server) && has_ended(server, GRACE).await {
            continue;
        }
        family::signal_process(server, Signal::KILL);
        if !has_ended(server, LAST_GRACE).await {
            return Err(RuntimeError::NoAnswer {
                doing: "ending the zellij session",
                source: None,
            });
        }
    }
    for socket in sockets {
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("removing the zellij session's socket")(error));
            }
            _ => {}
        }
    }
    place.tidy_up();
    Ok(())
}

async fn has_ended(server: &ProcessId, patience: Duration) -> bool {
    match Watch::on(server) {
        Some(watch) => tokio::time::timeout(patience, watch.ended()).await.is_ok(),
        None => true,
    }
}

/// The servers of the session: processes of ours that were started as `zellij --server <socket>`, whose socket has exactly
/// its name and lies in its directory, also when the file is gone.
fn servers(place: &Place) -> Vec<ProcessId> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let us = rustix::process::geteuid().as_raw();
    entries
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let ours = entry.metadata().is_ok_and(|process| process.uid() == us);
            if !ours || !serves(&fs::read(entry.path().join("cmdline")).ok()?, place) {
                return None;
            }
            process::identify(pid).ok()?
        })
        .collect()
}

/// Whether a command line is that of the session's server.
fn serves(command_line: &[u8], place: &Place) -> bool {
    let words: Vec<&[u8]> = command_line.split(|byte| *byte == 0).collect();
    let [_, b"--server", socket, ..] = words.as_slice() else {
        return false;
    };
    let Ok(socket) = std::str::from_utf8(socket).map(Utf8Path::new) else {
        return false;
    };
    socket.file_name() == Some(&place.name)
        && socket.parent().and_then(Utf8Path::parent) == Some(&place.sockets)
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
        let line = |words: &[&str]| words.join("\0").into_bytes();
        let sockets = place.sockets.as_str();
        let own = format!("{sockets}/contract_version_1/web-1.1");
        assert!(serves(&line(&["/bin/zellij", "--server", &own, ""]), &place));
        for other in [
            format!("{sockets}/contract_version_1/web-1.11"),
            format!("{sockets}/contract_version_1/web-1"),
            format!("{sockets}/web-1.1"),
            format!("{sockets}0/contract_version_1/web-1.1"),
        ] {
            assert!(
                !serves(&line(&["/bin/zellij", "--server", &other, ""]), &place),
                "{other}"
            );
        }
        assert!(!serves(&line(&["/bin/zellij", "attach", &own, ""]), &place));
    }
}
