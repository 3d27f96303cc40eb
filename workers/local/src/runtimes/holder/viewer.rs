//! A terminal on a run: what the agent shows goes out, keys go in. The terminal is this process's standard input and
//! output: a person's own, or a pane of a multiplexer in which somebody looks now and then.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ao_domain::Exit;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::termios::{OptionalActions, Termios};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

use super::attach::{AttachEnd, DetachKey};
use super::files::RunDir;
use super::host::DEFAULTS;
use super::wire::{Attach, Cells, Decoder, Frame, Hello, MAX_FROM_HOLDER, Scrollback};

/// Within what the holder greets: a stopped one never does.
const GREETING: Duration = Duration::from_secs(2);

/// How long the line that says how to leave stays before the agent's screen takes its place; any key shortens it.
const READING: Duration = Duration::from_millis(800);

/// Signals as bytes in a pipe, for `poll`.
pub(in crate::runtimes) type Signals = SignalDelivery<UnixStream, SignalOnly>;

/// What a viewer hears: a new size, and that it is to end.
pub(in crate::runtimes) fn signals() -> io::Result<Signals> {
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
pub(in crate::runtimes) struct Raw {
    before: Termios,
}

impl Raw {
    pub(in crate::runtimes) fn enter() -> io::Result<Self> {
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

/// Whether a terminal of this size is one that nobody looks at.
pub(in crate::runtimes) type NobodyLooks = fn((u16, u16)) -> bool;

/// Whose terminal it is.
#[derive(Clone, Copy)]
enum Whose {
    /// A person's, who leaves by this key.
    Persons(DetachKey),
    /// A pane of a multiplexer, which lasts as long as the run. The program keeps its size until somebody looks.
    Pane { nobody: NobodyLooks, looked_at: bool },
}

/// Why there is nothing more to show.
enum End {
    /// The holder has gone.
    Holder,
    /// The terminal has: its person left, or this process was told to end by the signal.
    Terminal(Option<i32>),
}

/// A connection to a holder, and this process's terminal.
pub(in crate::runtimes) struct Viewer {
    stream: UnixStream,
    signals: Signals,
    decoder: Decoder,
    exit: Option<Exit>,
}

impl Viewer {
    /// Reaches the holder of the run and greets it.
    pub(in crate::runtimes) fn connect(dir: &RunDir, signals: Signals) -> Result<Self, (io::Error, Signals)> {
        let greeted = (|| {
            let (held_open, path) = dir.socket()?;
            let mut stream = UnixStream::connect(&path)?;
            drop(held_open); // the path goes through it
            stream.set_read_timeout(Some(GREETING))?;
            let mut decoder = Decoder::new(MAX_FROM_HOLDER);
            stream.write_all(&Frame::Hello(Hello::ours()).encode())?;
            match answer(&mut stream, &mut decoder)? {
                Frame::Welcome(_) => {}
                other => return Err(io::Error::other(format!("no welcome but {other:?}"))),
            }
            Ok((stream, decoder))
        })();
        match greeted {
            Ok((stream, decoder)) => Ok(Self {
                stream,
                signals,
                decoder,
                exit: None,
            }),
            Err(error) => Err((error, signals)),
        }
    }

    /// On a person's terminal until they leave or the holder is gone; with the signal that was the reason, where one
    /// was.
    pub(super) fn persons(mut self, detach: DetachKey) -> (AttachEnd, Option<i32>) {
        self.wait(Some(READING));
        let begun = self.stream.set_read_timeout(None).is_ok() && self.attach(size(), Scrollback::Append);
        let over = if begun {
            self.run(Whose::Persons(detach))
        } else {
            End::Holder
        };
        let ended = self.exit.map(AttachEnd::Ended);
        match over {
            End::Holder => (ended.unwrap_or(AttachEnd::Gone), None),
            End::Terminal(signal) => (ended.unwrap_or(AttachEnd::Detached), signal),
        }
    }

    /// In a pane until the holder or the pane is gone.
    pub(in crate::runtimes) fn in_pane(mut self, nobody: NobodyLooks) {
        let seen = told_size().filter(|size| !nobody(*size));
        let looked_at = seen.is_some();
        let first = seen.unwrap_or(Attach::NO_SIZE);
        let begun = self.stream.set_read_timeout(None).is_ok() && self.attach(first, Scrollback::Replace);
        if begun {
            self.run(Whose::Pane { nobody, looked_at });
        }
    }

    fn attach(&mut self, (cols, rows): (u16, u16), scrollback: Scrollback) -> bool {
        let attach = Frame::Attach(Attach {
            cols,
            rows,
            scrollback,
        });
        self.stream.write_all(&attach.encode()).is_ok()
    }

    fn run(&mut self, mut whose: Whose) -> End {
        loop {
            let Some([input, output, signalled]) = self.wait(None) else {
                return End::Terminal(None);
            };
            if signalled {
                let came: Vec<i32> = self.signals.pending().collect();
                for signal in came {
                    if signal != SIGWINCH {
                        return End::Terminal(Some(signal));
                    }
                    if !self.resized(&mut whose) {
                        return End::Holder;
                    }
                }
            }
            if output && let Some(over) = self.show() {
                return over;
            }
            if input && let Some(over) = self.keys(whose) {
                return over;
            }
        }
    }

    /// Tells the holder of the terminal's new size; `false` when it is gone.
    fn resized(&mut self, whose: &mut Whose) -> bool {
        match whose {
            Whose::Persons(_) => {
                let (cols, rows) = size();
                let resize = Frame::Resize(Cells { cols, rows });
                self.stream.write_all(&resize.encode()).is_ok()
            }
            Whose::Pane { nobody, looked_at } => {
                let Some(size) = told_size().filter(|size| !nobody(*size)) else {
                    return true;
                };
                // What was shown while nobody looked was folded to another size: somebody who comes gets it anew.
                let scrollback = if std::mem::replace(looked_at, true) {
                    Scrollback::Leave
                } else {
                    Scrollback::Replace
                };
                self.attach(size, scrollback)
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

    /// What the holder sends goes to the terminal.
    fn show(&mut self) -> Option<End> {
        let mut buffer = [0; 32 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(count @ 1..) => self.decoder.push(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return None,
            _ => return Some(End::Holder),
        }
        let mut out = io::stdout().lock();
        loop {
            match self.decoder.next_frame() {
                Ok(Some(Frame::Snapshot(bytes) | Frame::Output(bytes))) => {
                    if out.write_all(&bytes).is_err() {
                        return Some(End::Terminal(None)); // a signal says so too
                    }
                }
                Ok(Some(Frame::Ended(exit))) => self.exit = Some(exit),
                Ok(Some(_)) => {}
                Ok(None) => return out.flush().is_err().then_some(End::Terminal(None)),
                Err(_) => return Some(End::Holder),
            }
        }
    }

    /// What the person types goes to the holder, up to the key that leaves.
    fn keys(&mut self, whose: Whose) -> Option<End> {
        let mut buffer = [0; 4096];
        let count = match rustix::io::read(io::stdin(), &mut buffer) {
            Ok(count @ 1..) => count,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return None,
            _ => return Some(End::Terminal(None)), // closed
        };
        let keys = &buffer[..count];
        let leaves = match whose {
            Whose::Persons(detach) => detach.find(keys),
            Whose::Pane { .. } => None,
        };
        let keys = &keys[..leaves.unwrap_or(count)];
        if !keys.is_empty()
            && self
                .stream
                .write_all(&Frame::Input(keys.to_vec()).encode())
                .is_err()
        {
            return Some(End::Holder);
        }
        leaves.map(|_| End::Terminal(None))
    }
}

/// The next frame of a holder that was asked something.
fn answer(stream: &mut UnixStream, decoder: &mut Decoder) -> io::Result<Frame> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(frame) = decoder.next_frame().map_err(io::Error::other)? {
            return Ok(frame);
        }
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => decoder.push(&buffer[..count]),
        }
    }
}

/// The terminal's columns and rows; a usual size where it does not tell.
fn size() -> (u16, u16) {
    told_size().unwrap_or((80, 24))
}

/// Whether this process's terminal has a size.
pub(in crate::runtimes) fn has_size() -> io::Result<bool> {
    Ok(size_of_terminal()?.is_some())
}

/// The size of this process's terminal; `None` while it has none.
fn told_size() -> Option<(u16, u16)> {
    size_of_terminal().ok().flatten()
}

fn size_of_terminal() -> io::Result<Option<(u16, u16)>> {
    let size = rustix::termios::tcgetwinsize(io::stdout())?;
    Ok((size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row)))
}
