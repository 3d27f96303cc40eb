//! A person's terminal on a run: what the agent shows goes out, keys go in, until they leave or it is over.
//!
//! Blocking, for a program that does nothing else. The terminal is put back on every way out: leaving, the holder's
//! end, errors, panics and the signals that ask this process to end.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::str::FromStr;

use ao_domain::Exit;
use ao_domain::port::runtime::{RuntimeError, RuntimeRef};
use camino::Utf8Path;

use super::files::{LockState, RunDir, io_error};
use super::viewer::{self, Raw, Viewer};

/// How an attachment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachEnd {
    /// The person left; the agent runs on.
    Detached,
    /// The agent has ended, before or while the person was there.
    Ended(Exit),
    /// The holder went without saying how the agent ended.
    Gone,
}

/// The key that leaves: Ctrl with a letter or one of `@ [ \ ] ^ _`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetachKey(u8);

impl Default for DetachKey {
    /// Ctrl-\, which agents leave alone and which is easy to find again on most keyboards.
    fn default() -> Self {
        Self(0x1c)
    }
}

impl fmt::Display for DetachKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ctrl-{}", char::from(self.0 | 0x40))
    }
}

/// A text that names no key one can leave with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a key to leave with: one of `ctrl-a` to `ctrl-z`, `ctrl-\\`, `ctrl-]`, `ctrl-^`, `ctrl-_`"
)]
pub struct InvalidKey(String);

impl FromStr for DetachKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let invalid = || InvalidKey(text.to_owned());
        let lower = text.to_ascii_lowercase();
        let key = lower
            .strip_prefix("ctrl-")
            .or_else(|| lower.strip_prefix('^'))
            .ok_or_else(invalid)?;
        match key.as_bytes() {
            // Tab, Enter and Escape are the same bytes as these three.
            [b'i' | b'j' | b'm' | b'['] => Err(invalid()),
            [letter @ (b'a'..=b'z' | b'\\' | b']' | b'^' | b'_')] => Ok(Self(letter & 0x1f)),
            _ => Err(invalid()),
        }
    }
}

impl DetachKey {
    /// Where in `keys` it stands: as a plain control byte, or as a terminal writes it that tells all keys apart.
    pub(super) fn find(self, keys: &[u8]) -> Option<usize> {
        let plain = keys.iter().position(|byte| *byte == self.0);
        let code = (self.0 | 0x40).to_ascii_lowercase();
        let spelled = [
            format!("\x1b[{code};5u"),
            format!("\x1b[{code};5:1u"),
            format!("\x1b[27;5;{code}~"),
        ]
        .iter()
        .filter_map(|spelling| {
            keys.windows(spelling.len())
                .position(|window| window == spelling.as_bytes())
        })
        .min();
        plain.into_iter().chain(spelled).min()
    }
}

/// Shows the run on this process's terminal until the person leaves or the holder is gone.
///
/// # Errors
/// [`RuntimeError::Io`] when standard input and output are no terminal, [`RuntimeError::Absent`] when nothing of that
/// name was started, [`RuntimeError::NoAnswer`] when the holder is stopped. The agent is untouched by all of them.
pub fn run(root: &Utf8Path, at: &RuntimeRef, detach: DetachKey) -> Result<AttachEnd, RuntimeError> {
    let dir = RunDir::of(root, at);
    if !dir
        .exists()
        .map_err(io_error("looking for the run", dir.path()))?
    {
        return Err(RuntimeError::Absent(at.clone()));
    }
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(RuntimeError::Io {
            doing: "attaching (standard input and output have to be a terminal)",
            path: dir.path().to_owned(),
            source: io::Error::from(io::ErrorKind::Unsupported),
        });
    }
    let state = dir
        .lock_state()
        .map_err(io_error("looking at the run's lock", dir.path()))?;
    if state == LockState::Free {
        return show_the_end(&dir);
    }
    let signals = viewer::signals().map_err(io_error("listening to signals", dir.path()))?;
    let viewer = Viewer::connect(&dir, signals).map_err(|(source, _)| RuntimeError::NoAnswer {
        doing: "attaching",
        source: Some(source),
    })?;
    println!("[ao] {detach} leaves; the agent runs on");
    let raw = Raw::enter().map_err(io_error("setting up the terminal", dir.path()))?;
    let (end, signal) = viewer.persons(detach);
    drop(raw);
    println!(
        "[ao] {}",
        match end {
            AttachEnd::Detached => "left; the agent runs on".to_owned(),
            AttachEnd::Ended(exit) => format!("the agent ended ({exit})"),
            AttachEnd::Gone => "the holder is gone".to_owned(),
        }
    );
    if let Some(signal) = signal {
        // The terminal is in order: end as whoever sent it expects. Only a signal that cannot be raised comes back.
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    }
    Ok(match end {
        AttachEnd::Gone => match dir.exit() {
            Ok(Some(record)) => AttachEnd::Ended(record.exit),
            _ => AttachEnd::Gone,
        },
        end => end,
    })
}

/// The last output of a run that nobody holds any more.
fn show_the_end(dir: &RunDir) -> Result<AttachEnd, RuntimeError> {
    let record = dir
        .exit()
        .map_err(io_error("reading the exit record", dir.path()))?;
    let Some(record) = record else {
        return Ok(AttachEnd::Gone);
    };
    for line in &record.tail {
        println!("{line}");
    }
    println!("[ao] the agent ended ({})", record.exit);
    Ok(AttachEnd::Ended(record.exit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_names() {
        assert_eq!(DetachKey::default().to_string(), "Ctrl-\\");
        assert_eq!("ctrl-\\".parse(), Ok(DetachKey::default()));
        assert_eq!("Ctrl-B".parse::<DetachKey>().unwrap().to_string(), "Ctrl-B");
        assert_eq!("^]".parse::<DetachKey>().unwrap().to_string(), "Ctrl-]");
        for bad in ["", "b", "ctrl-", "ctrl-[", "ctrl-m", "ctrl-ab", "alt-x", "ctrl-1"] {
            assert!(bad.parse::<DetachKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_key_is_found_however_the_terminal_writes_it() {
        let key = DetachKey::default();
        assert_eq!(key.find(b"ab\x1cd"), Some(2));
        assert_eq!(key.find(b"ab\x1b[92;5u"), Some(2));
        assert_eq!(key.find(b"\x1b[92;5:1u"), Some(0));
        assert_eq!(key.find(b"x\x1b[27;5;92~"), Some(1));
        assert_eq!(key.find(b"\\ \x1b[A"), None);
    }
}
