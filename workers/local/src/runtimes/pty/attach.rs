//! A person's terminal on a run: what the agent shows goes out, keys go in, until they leave or it is over.
//!
//! Blocking, for a program that does nothing else. The terminal is put back on every way out: leaving, the holder's
//! end, errors, panics and the signals that ask this process to end.

use std::fmt;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::str::FromStr;
use std::time::Duration;

use ao_domain::Exit;
use ao_domain::port::runtime::{RuntimeError, RuntimeRef};
use camino::Utf8Path;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::termios::{OptionalActions, Termios};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

use super::files::{LockState, RunDir, io_error};
use super::host::DEFAULTS;
use super::wire::{Attach, Cells, Decoder, Frame, Hello, MAX_FROM_HOLDER, Scrollback};

/// Within what the holder greets: a stopped one never does.
const GREETING: Duration = Duration::from_secs(2);

/// How long the line that says how to leave stays before the agent's screen takes its place; any key shortens it.
const READING: Duration = Duration::from_millis(800);

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
    fn find(self, keys: &[u8]) -> Option<usize> {
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
    let stream = connect(&dir).map_err(|source| RuntimeError::NoAnswer {
        doing: "attaching",
        source: Some(source),
    })?;
    let signals = signals().map_err(io_error("listening to signals", dir.path()))?;
    println!("[ao] {detach} leaves; the agent runs on");
    let raw = Raw::enter().map_err(io_error("setting up the terminal", dir.path()))?;
    let session = Session {
        stream,
        signals,
        detach,
        decoder: Decoder::new(MAX_FROM_HOLDER),
        exit: None,
    };
    let (end, signal) = session.run();
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

fn connect(dir: &RunDir) -> io::Result<UnixStream> {
    let (held_open, path) = dir.socket()?;
    let mut stream = UnixStream::connect(&path)?;
    drop(held_open); // the path goes through it
    stream.set_read_timeout(Some(GREETING))?;
    stream.write_all(&Frame::Hello(Hello::ours()).encode())?;
    let mut decoder = Decoder::new(MAX_FROM_HOLDER);
    let mut buffer = [0; 1024];
    loop {
        if let Some(frame) = decoder.next_frame().map_err(io::Error::other)? {
            return match frame {
                Frame::Welcome(_) => {
                    stream.set_read_timeout(None)?;
                    Ok(stream)
                }
                other => Err(io::Error::other(format!("no welcome but {other:?}"))),
            };
        }
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => decoder.push(&buffer[..count]),
        }
    }
}

fn signals() -> io::Result<SignalDelivery<UnixStream, SignalOnly>> {
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    write.set_nonblocking(true)?;
    SignalDelivery::with_pipe(
        read,
        write,
        SignalOnly,
        [SIGWINCH, SIGHUP, SIGINT, SIGQUIT, SIGTERM],
    )
}

/// The person's terminal, given over to the agent; given back when dropped.
struct Raw {
    before: Termios,
}

impl Raw {
    fn enter() -> io::Result<Self> {
        let before = rustix::termios::tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let mut out = io::stdout();
        // The agent's modes, then its screen, then a fresh line below everything; a terminal that is gone takes
        // nothing, and there is nobody to tell.
        let _ = out.write_all(b"\x1b[?1049l");
        let _ = out.write_all(DEFAULTS);
        let _ = out.write_all(b"\x1b[999;1H\r\n");
        let _ = out.flush();
        let _ = rustix::termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

struct Session {
    stream: UnixStream,
    signals: SignalDelivery<UnixStream, SignalOnly>,
    detach: DetachKey,
    decoder: Decoder,
    exit: Option<Exit>,
}

impl Session {
    /// Until the end; with the signal that was the reason, where one was.
    fn run(mut self) -> (AttachEnd, Option<i32>) {
        self.wait(Some(READING));
        let (cols, rows) = size();
        let attach = Frame::Attach(Attach {
            cols,
            rows,
            scrollback: Scrollback::Append,
        });
        if self.stream.write_all(&attach.encode()).is_err() {
            return (AttachEnd::Gone, None);
        }
        loop {
            let Some([input, output, signalled]) = self.wait(None) else {
                return (self.left(), None);
            };
            if signalled {
                let came: Vec<i32> = self.signals.pending().collect();
                for signal in came {
                    if signal != SIGWINCH {
                        return (self.left(), Some(signal));
                    }
                    let (cols, rows) = size();
                    let resize = Frame::Resize(Cells { cols, rows });
                    if self.stream.write_all(&resize.encode()).is_err() {
                        return (self.gone(), None);
                    }
                }
            }
            if output && !self.show() {
                return (self.gone(), None);
            }
            if input && let Some(end) = self.keys() {
                return (end, None);
            }
        }
    }

    /// Waits for keys, the holder and signals, in this order; gives which came. `None` when it cannot be waited.
    fn wait(&self, patience: Option<Duration>) -> Option<[bool; 3]> {
        let stdin = io::stdin();
        let mut fds = [
            PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN),
            PollFd::new(&self.stream, PollFlags::IN),
            PollFd::new(self.signals.get_read(), PollFlags::IN),
        ];
        let timeout = patience.map(|patience| Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(patience.subsec_nanos()),
        });
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Some(fds.map(|fd| !fd.revents().is_empty())),
            Err(_) => None,
        }
    }

    /// What the holder sends goes to the terminal; `false` when it is gone.
    fn show(&mut self) -> bool {
        let mut buffer = [0; 32 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(count) => self.decoder.push(&buffer[..count]),
            Err(error) => return error.kind() == io::ErrorKind::Interrupted,
        }
        let mut out = io::stdout().lock();
        loop {
            match self.decoder.next_frame() {
                Ok(Some(Frame::Snapshot(bytes) | Frame::Output(bytes))) => {
                    if out.write_all(&bytes).is_err() {
                        return false; // the person's terminal is gone; the signal says so too
                    }
                }
                Ok(Some(Frame::Ended(exit))) => self.exit = Some(exit),
                Ok(Some(_)) => {}
                Ok(None) => return out.flush().is_ok(),
                Err(_) => return false,
            }
        }
    }

    /// What the person types goes to the holder, up to the key that leaves.
    fn keys(&mut self) -> Option<AttachEnd> {
        let mut buffer = [0; 4096];
        let count = match rustix::io::read(io::stdin(), &mut buffer) {
            Ok(0) => return Some(self.left()), // the terminal was closed
            Ok(count) => count,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return None,
            Err(_) => return Some(self.left()),
        };
        let keys = &buffer[..count];
        let leaves = self.detach.find(keys);
        let keys = &keys[..leaves.unwrap_or(count)];
        if !keys.is_empty()
            && self
                .stream
                .write_all(&Frame::Input(keys.to_vec()).encode())
                .is_err()
        {
            return Some(self.gone());
        }
        leaves.map(|_| self.left())
    }

    fn left(&self) -> AttachEnd {
        self.exit.map_or(AttachEnd::Detached, AttachEnd::Ended)
    }

    fn gone(&self) -> AttachEnd {
        self.exit.map_or(AttachEnd::Gone, AttachEnd::Ended)
    }
}

/// The terminal's columns and rows; a usual size where it does not tell.
fn size() -> (u16, u16) {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => (80, 24),
    }
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
