//! Calls of the program `zellij`: with an environment and files of ours, a deadline, and in a group of their own.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use ao_domain::port::runtime::RuntimeError;
use camino::Utf8PathBuf;
use rustix::pipe::PipeFlags;
use rustix::process::Signal;
use tokio::process::Command;

use super::place::Place;
use crate::logout::Scope;

/// The oldest zellij that behaves as found.
const OLDEST: (u32, u32, u32) = (0, 44, 3);

/// Within what a call is over; it takes a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much of what it says is looked at. It blocks when its pipe is full, and is killed then.
const LONGEST_WORD: usize = 4 * 1024;

/// The program, and what every call of it is given.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// Its name on `path`, or where it is.
    pub(super) name: Utf8PathBuf,
    /// `PATH`.
    pub(super) path: OsString,
    /// The folder of everything that it writes: the user's own zellij keeps its settings, its cache and its log to itself.
    pub(super) own: Utf8PathBuf,
    /// What starts it where the end of a login does not reach it.
    pub(super) scope: Scope,
}

/// Where in that folder what would lie in the user's directories otherwise.
pub(super) const FOLDERS: [(&str, &str); 5] = [
    ("HOME", "home"),
    ("XDG_CONFIG_HOME", "config"),
    ("XDG_CACHE_HOME", "cache"),
    ("XDG_DATA_HOME", "data"),
    ("TMPDIR", "tmp"),
];

/// What a call gave.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) status: ExitStatus,
    /// Both its outputs, the beginning of them.
    pub(super) text: String,
}

impl Program {
    /// What to tell of a zellij that does not do what is needed.
    pub(super) fn not_started(&self, reason: impl Into<String>) -> RuntimeError {
        RuntimeError::NotStarted {
            program: self.name.to_string(),
            reason: reason.into(),
        }
    }

    /// Whether it is there and new enough.
    ///
    /// # Errors
    /// With what to do about it.
    pub(super) async fn check(&self) -> Result<(), RuntimeError> {
        let (major, minor, patch) = OLDEST;
        let remedy = format!(
            "install zellij {major}.{minor}.{patch} or newer where the daemon's PATH has it, or use the runtime that \
             needs none (--runtime pty, AO_RUNTIME=pty)"
        );
        let said = match self.call(&["--version"], None).await {
            Ok(said) => said,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.not_started(format!("there is no such program: {remedy}")));
            }
            Err(error) => return Err(self.not_started(format!("{error}: {remedy}"))),
        };
        let text = said.text.trim();
        match version(text) {
            Some(version) if version >= OLDEST => Ok(()),
            Some(_) => Err(self.not_started(format!("`{text}` is too old: {remedy}"))),
            None => Err(self.not_started(format!("`{text}` names no version: {remedy}"))),
        }
    }

    /// Calls it, about the session at `place`.
    ///
    /// # Errors
    /// When it cannot be started or is not over in time: then it was killed, and nobody knows what it did.
    pub(super) async fn call(&self, arguments: &[&str], place: Option<&Place>) -> io::Result<Said> {
        self.call_by(&Scope::default(), arguments, place).await
    }

    /// The same where a server is made, which is to outlive the login.
    pub(super) async fn call_in_scope(&self, arguments: &[&str], place: &Place) -> io::Result<Said> {
        self.call_by(&self.scope, arguments, Some(place)).await
    }

    async fn call_by(&self, scope: &Scope, arguments: &[&str], place: Option<&Place>) -> io::Result<Said> {
        let (heard, said) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&heard, true)?;
        #[expect(
            clippy::disallowed_methods,
            reason = "zellij is called here, with a deadline and a group of its own"
        )]
        let mut command = match scope.words.split_first() {
            None => Command::new(&self.name),
            Some((first, words)) => {
                let mut command = Command::new(first);
                command.args(words).arg(&self.name);
                command
            }
        };
        command
            .args(arguments)
            .env_clear()
            .envs(scope.env.iter().map(|(name, value)| (name, value)))
            .env("PATH", &self.path)
            .env("TERM", "xterm-256color")
            .env("COLORTERM", "truecolor")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::from(said.try_clone()?))
            .stderr(Stdio::from(said))
            .process_group(0)
            .kill_on_drop(true);
        for (variable, folder) in FOLDERS {
            command.env(variable, self.own.join(folder));
        }
        if let Some(place) = place {
            command.env("ZELLIJ_SOCKET_DIR", &place.sockets);
        }
        let mut child = command.spawn()?;
        drop(command); // it holds our copies of the pipe
        let group = child
            .id()
            .and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
        match tokio::time::timeout(PATIENCE, child.wait()).await {
            Ok(status) => Ok(Said {
                status: status?,
                text: read_all(&heard),
            }),
            Err(_) => {
                if let Some(group) = group {
                    let _ = rustix::process::kill_process_group(group, Signal::KILL); // gone is what was wanted
                }
                let said = read_all(&heard);
                let message = format!("it was not over within {} s: {}", PATIENCE.as_secs(), said.trim());
                Err(io::Error::new(io::ErrorKind::TimedOut, message))
            }
        }
    }
}

/// What is in the pipe now, the beginning of it. Whoever else has its other end is not waited for.
fn read_all(pipe: &OwnedFd) -> String {
    let mut buffer = [0; LONGEST_WORD];
    let mut length = 0;
    while let Some(room) = buffer.get_mut(length..).filter(|room| !room.is_empty()) {
        match rustix::io::read(pipe, room) {
            Ok(count @ 1..) => length += count,
            _ => break,
        }
    }
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

/// `zellij 0.45.1`, `zellij v0.45.1-dev`.
fn version(said: &str) -> Option<(u32, u32, u32)> {
    let word = said.split_whitespace().last()?;
    let mut parts = word.trim_start_matches('v').split('.').map(|part| {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part[..end].parse().ok()
    });
    let mut part = || parts.next().flatten();
    Some((part()?, part()?, part()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("zellij 0.45.1\n"), Some((0, 45, 1)));
        assert_eq!(version("zellij v0.44.3-dev"), Some((0, 44, 3)));
        for other in ["", "zellij", "zellij 1.2", "no such option"] {
            assert_eq!(version(other), None, "{other}");
        }
        assert!(version("0.44.2") < Some(OLDEST) && version("0.100.0") > Some(OLDEST));
    }
}
