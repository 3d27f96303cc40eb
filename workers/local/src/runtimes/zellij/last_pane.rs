//! The end of a session whose last pane has gone.
//!
//! # Theory of operation
//! zellij takes a tab that has no pane left away when it draws next, and its session with the last one. A pane's end draws
//! nothing by itself: where the program's last output was drawn before zellij noticed its end, which a busy machine makes
//! likely, the session stays for ever and is empty (0.45.1: `ScreenInstruction::ClosePane` asks for no drawing). So the
//! launcher leaves a process behind that waits for the server's end, and ends it where it does not come.
//!
//! # What it does not do
//! It ends no session that has anything to show: a person may have opened a pane beside ours, and what is in it is theirs, also
//! where its command is over. So zellij is asked first. One that does not answer is ended only where no process is left in it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::process::{ExitCode, Stdio};
use std::str::FromStr;

use ao_domain::ProcessId;
use rustix::process::Signal;

use super::launcher::own_image;
use super::place::Place;
use super::program::Program;
use super::session::{GRACE, LAST_GRACE, has_ended, socket_served};
use super::{FOLDERS, Own};
use crate::logout::Scope;
use crate::process;
use crate::runtimes::holder::family;
use crate::runtimes::holder::files::RunDir;

/// Makes a launcher this; the server follows. The run's directory stands before it, as in any launcher's command line,
/// so that whoever removes the run's session waits for it too.
pub(super) const WORD: &str = "--after";

/// A process of this boot, as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pid: u32,
    started: u64,
}

impl FromStr for Server {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        let (pid, started) = word.split_once('.').ok_or(())?;
        Ok(Self {
            pid: pid.parse().map_err(drop)?,
            started: started.parse().map_err(drop)?,
        })
    }
}

/// Leaves somebody behind who sees to the end of the session in which this process is the run's launcher. `launcher` makes
/// this program a launcher. Nothing happens in a session that is not the run's own.
pub(super) fn leave(dir: &RunDir, launcher: &[&str]) {
    use std::os::unix::process::CommandExt as _;
    let Some(server) = server_above(dir) else {
        return;
    };
    let Ok(image) = own_image() else { return };
    #[expect(
        clippy::disallowed_methods,
        reason = "it outlives its launcher by design, for no longer than its deadlines"
    )]
    let mut command = std::process::Command::new(image);
    command
        .arg0("ao")
        .args(launcher)
        .args([dir.path().as_str(), WORD])
        .arg(format!("{}.{}", server.pid, server.started))
        .env_clear()
        .process_group(0) // whom the pane's end reaches is its foreground group
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _ = command.spawn(); // who removes the run's session does without
}

/// The server of the run's own session, where it started this process.
fn server_above(dir: &RunDir) -> Option<ProcessId> {
    let parent = rustix::process::getppid()?.as_raw_nonzero().get().unsigned_abs();
    let server = process::identify(parent).ok()??;
    let (variable, folder) = FOLDERS.first()?;
    let home = process::variable(&server, variable).ok()??;
    (socket_of(&server).is_some() && home == Own::of(dir).0.join(folder)).then_some(server)
}

fn socket_of(server: &ProcessId) -> Option<Place> {
    let line = fs::read(format!("/proc/{}/cmdline", server.pid)).ok()?;
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    Place::with(socket_served(&words)?)
}

/// Waits for the server's end, and sees to it.
pub(super) fn main(server: Server) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else {
        return ExitCode::FAILURE;
    };
    match runtime.block_on(end(server)) {
        Some(()) => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    }
}

async fn end(server: Server) -> Option<()> {
    let now = process::identify(server.pid).ok()?;
    let Some(server) = now.filter(|now| now.started == server.started) else {
        return Some(()); // it has ended
    };
    let place = socket_of(&server)?;
    if has_ended(&server, GRACE).await || !is_empty(&server, &place).await? {
        return Some(());
    }
    family::signal_process(&server, Signal::KILL);
    if !has_ended(&server, LAST_GRACE).await {
        return None;
    }
    place.remove().ok()
}

/// Whether there is nothing in the session; `None` where nobody can tell.
async fn is_empty(server: &ProcessId, place: &Place) -> Option<bool> {
    if !family::is_stopped(server) {
        let own = Own(place.scratch());
        own.make().ok()?;
        let zellij = Program {
            name: format!("/proc/{}/exe", server.pid).into(), // its very program, also where another is installed by now
            path: OsString::new(),
            own: own.0,
            scope: Scope::default(),
        };
        let words = ["--session", &place.name, "action", "list-panes"];
        let said = zellij.call(&words, Some(place)).await;
        let _ = fs::remove_dir_all(place.scratch()); // what stays goes with the session
        match said {
            Ok(said) if said.status.success() => return has_no_panes(&said.text),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            _ => return None,
        }
    }
    family::has_children(server.pid).map(|has| !has)
}

/// Out of a table with a head.
fn has_no_panes(said: &str) -> Option<bool> {
    let mut lines = said.lines().filter(|line| !line.trim().is_empty());
    lines
        .next()?
        .starts_with("PANE_ID")
        .then(|| lines.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_told_by_number_and_start() {
        let server = Server {
            pid: 12,
            started: 345,
        };
        assert_eq!("12.345".parse(), Ok(server));
        for other in ["", "12", "12.", ".345", "-1.2", "12.345.6"] {
            assert_eq!(other.parse::<Server>(), Err(()), "{other}");
        }
    }

    #[test]
    fn panes_are_counted_where_they_are_told() {
        let head = "PANE_ID  TYPE  TITLE\n";
        assert_eq!(has_no_panes(head), Some(true));
        assert_eq!(
            has_no_panes(&format!("{head}terminal_0  terminal  sh\n")),
            Some(false)
        );
        for other in ["", "\n", "There is no active session!\n"] {
            assert_eq!(has_no_panes(other), None, "{other}");
        }
    }
}
