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

/// A size of the viewer's terminal that says nothing about what a person sees, since none is there.
pub(in crate::runtimes) type NobodyLooks = fn((u16, u16)) -> bool;

/// Whose terminal it is.
#[derive(Clone, Copy)]
enum Whose {
    /// A person's, who leaves by this key.
    Persons(DetachKey),
    /// A pane of a multiplexer, which lasts as long as the run. The program keeps its size until somebody looks.
    Pane { nobody: NobodyLooks, looked_at: bool },
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
        if self.stream.set_read_timeout(None).is_err() {
            return (AttachEnd::Gone, None);
        }
        self.wait(Some(READING));
        let (cols, rows) = size();
        if !self.attach((cols, rows), Scrollback::Append) {
            return (AttachEnd::Gone, None);
        }
        self.run(Whose::Persons(detach))
    }

    /// In a pane until the holder or the pane is gone.
    pub(in crate::runtimes) fn in_pane(mut self, nobody: NobodyLooks) {
        let looked_at = !nobody(size());
        let first = if looked_at {
            Ok(size())
        } else {
            self.size_of_program()
        };
        let scrollback = Scrollback::Replace;
        if first.is_ok_and(|first| self.attach(first, scrollback))
            && self.stream.set_read_timeout(None).is_ok()
        {
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

    fn size_of_program(&mut self) -> io::Result<(u16, u16)> {
        self.stream.write_all(&Frame::Screen.encode())?;
        match answer(&mut self.stream, &mut self.decoder)? {
            Frame::ScreenIs(shown) => Ok(shown.size),
            other => Err(io::Error::other(format!("no screen but {other:?}"))),
        }
    }

    fn run(mut self, mut whose: Whose) -> (AttachEnd, Option<i32>) {
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
                    if !self.resized(&mut whose) {
                        return (self.gone(), None);
                    }
                }
            }
            if output && !self.show() {
                return (self.gone(), None);
            }
            if input && let Some(end) = self.keys(whose) {
                return (end, None);
            }
        }
    }

    /// Tells the holder of the terminal's new size; `false` when it is gone.
    fn resized(&mut self, whose: &mut Whose) -> bool {
        let (cols, rows) = size();
        match whose {
            Whose::Persons(_) => {
                let resize = Frame::Resize(Cells { cols, rows });
                self.stream.write_all(&resize.encode()).is_ok()
            }
            Whose::Pane { nobody, .. } if nobody((cols, rows)) => true,
            // What was shown while nobody looked was folded to another size: somebody who comes gets it anew.
            Whose::Pane { looked_at, .. } => {
                let scrollback = if std::mem::replace(looked_at, true) {
                    Scrollback::Leave
                } else {
                    Scrollback::Replace
                };
                self.attach((cols, rows), scrollback)
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
    fn keys(&mut self, whose: Whose) -> Option<AttachEnd> {
        let mut buffer = [0; 4096];
        let count = match rustix::io::read(io::stdin(), &mut buffer) {
            Ok(0) => return Some(self.left()), // the terminal was closed
            Ok(count) => count,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return None,
            Err(_) => return Some(self.left()),
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
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => (80, 24),
    }
}
