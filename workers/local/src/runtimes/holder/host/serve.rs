//! The loop: waits for signals, terminal, socket and clients at once, and never for one of them.

mod clients;
mod end;

use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ao_domain::port::runtime::Size;
use ao_domain::{Exit, ProcessId};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::Mode;
use rustix::process::Pid;
use signal_hook::consts::{SIGCHLD, SIGINT, SIGQUIT, SIGTERM, SIGUSR1};

use super::agent::{self, Started};
use super::connection::Connection;
use super::engine::{self, Engine};
use super::input_log::InputLog;
use super::prompt::{self, Seen};
use super::socket::Socket;
use super::stop::Stop;
use super::typing::{Asker, Typing, Went};
use super::{FIRST_SIZE, Signals, log};
use crate::runtimes::holder::files::{ExitRecord, LaunchFile, RunDir};
use crate::runtimes::holder::wire::{Cells, Frame, Refusal};

/// How long a holder stays after its agent's end when nobody tells it to go: over a working day.
const STAYS: Duration = Duration::from_secs(12 * 3_600);

/// How often the socket and the directory are looked at.
const SLOW_LOOK: Duration = Duration::from_secs(60);

/// How often an exit record that could not be written (a full disk) is tried again.
const EXIT_RETRY: Duration = Duration::from_secs(2);

/// What an agent gets when the holder itself is told to end, as at a logout.
const LOGOUT_GRACE: Duration = Duration::from_secs(2);

/// One portion of the terminal's output, and how many are taken before clients get their turn.
const PORTION: usize = 16 * 1024;
const PORTIONS: usize = 16;

/// What a terminal can still hold when its program has ended.
const LAST_PORTIONS: usize = 1_024;

/// What the loop is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) dir: RunDir,
    pub(super) dir_fd: OwnedFd,
    pub(super) lock: OwnedFd,
    pub(super) socket: Socket,
    pub(super) signals: Signals,
    pub(super) launch: LaunchFile,
    pub(super) env: Vec<(String, String)>,
    pub(super) umask: Mode,
    pub(super) holder: ProcessId,
    pub(super) agent: ProcessId,
    pub(super) started: Started,
}

enum Phase {
    /// The agent runs.
    Running,
    /// It has ended, but is being stopped: the record is written when nothing of it is left.
    Reaped(ExitRecord),
    /// It has ended, and everybody may know.
    Ended {
        exit: Exit,
        /// Since when nothing has run in the terminal.
        since: Instant,
        /// A shell that a person asked for.
        shell: Option<Pid>,
        /// The record, where it could not be written yet.
        unwritten: Option<ExitRecord>,
    },
}

/// The holder at work.
pub(super) struct Host {
    dir: RunDir,
    dir_fd: OwnedFd,
    _lock: OwnedFd,
    socket: Socket,
    signals: Signals,
    launch: LaunchFile,
    env: Vec<(String, String)>,
    umask: Mode,
    holder: ProcessId,
    agent: ProcessId,
    agent_pid: Pid,
    terminal: Option<(OwnedFd, OwnedFd)>,
    engine: Engine,
    typing: Typing,
    input_log: InputLog,
    connections: Vec<Connection>,
    next_asker: Asker,
    phase: Phase,
    stop: Option<Stop>,
    /// When somebody last pressed a key.
    last_key: Instant,
    /// Bytes the programs have written.
    seq: u64,
    slow_look: Instant,
    /// Set once the holder is to end: when, at the latest.
    leaving: Option<Instant>,
    buffer: Vec<u8>,
    /// Whether the program may have written more than was read in this turn.
    unread: bool,
}

impl Host {
    pub(super) fn new(parts: Parts) -> Self {
        let input_log = InputLog::in_run(&parts.dir);
        Self {
            dir: parts.dir,
            dir_fd: parts.dir_fd,
            _lock: parts.lock,
            socket: parts.socket,
            signals: parts.signals,
            launch: parts.launch,
            env: parts.env,
            umask: parts.umask,
            holder: parts.holder,
            agent: parts.agent,
            agent_pid: parts.started.pid,
            terminal: Some((parts.started.controller, parts.started.user)),
            engine: Engine::new(FIRST_SIZE),
            typing: Typing::default(),
            input_log,
            connections: Vec::new(),
            next_asker: 1,
            phase: Phase::Running,
            stop: None,
            last_key: Instant::now(),
            seq: 0,
            slow_look: Instant::now() + SLOW_LOOK,
            leaving: None,
            buffer: vec![0; PORTION],
            unread: false,
        }
    }

    pub(super) fn holder(&self) -> &ProcessId {
        &self.holder
    }

    pub(super) fn agent(&self) -> &ProcessId {
        &self.agent
    }

    /// Works until it is over.
    pub(super) fn serve(mut self) {
        self.reap(); // an agent that ended before the first turn
        loop {
            self.wait();
            self.signals();
            self.read_terminal(PORTIONS);
            self.look_at_reading();
            self.accept();
            for at in 0..self.connections.len() {
                self.listen_to(at);
            }
            self.timers();
            self.advance_stop();
            self.type_on();
            self.send();
            if let Some(until) = self.leaving
                && (Instant::now() >= until || !self.connections.iter().any(Connection::wants_to_write))
            {
                return;
            }
        }
    }

    /// Sleeps until something is to be done.
    fn wait(&mut self) {
        let now = Instant::now();
        let timeout = self
            .due()
            .saturating_duration_since(now)
            .saturating_add(Duration::from_micros(500)); // rounded up, or the last part of a millisecond is spun through
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let mut fds = vec![
            PollFd::new(self.signals.get_read(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.socket.fd(), PollFlags::IN),
        ];
        if let Some((controller, _)) = &self.terminal {
            let mut wants = PollFlags::IN;
            wants.set(PollFlags::OUT, !self.typing.next().is_empty());
            fds.push(PollFd::new(controller, wants));
        }
        for connection in &self.connections {
            let mut wants = PollFlags::IN;
            wants.set(PollFlags::OUT, connection.wants_to_write());
            fds.push(PollFd::from_borrowed_fd(connection.fd(), wants));
        }
        // Everything is non-blocking, so who is ready is found by trying; an error is a signal that came.
        let _ = rustix::event::poll(&mut fds, Some(&timeout));
    }

    fn due(&self) -> Instant {
        let over = match &self.phase {
            Phase::Ended {
                since, shell: None, ..
            } => Some(*since + STAYS),
            _ => None,
        };
        [
            Some(self.slow_look),
            over,
            self.leaving,
            self.typing.due(),
            self.engine.curtain(),
            self.stop.as_ref().and_then(Stop::due),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(self.slow_look)
    }

    fn signals(&mut self) {
        let came: Vec<i32> = self.signals.pending().collect();
        for signal in came {
            match signal {
                SIGCHLD => self.reap(),
                SIGTERM | SIGINT | SIGQUIT => self.begin_stop(None, LOGOUT_GRACE, true),
                SIGUSR1 => self.look_at_socket(),
                _ => {}
            }
        }
    }

    fn timers(&mut self) {
        let now = Instant::now();
        if self.engine.curtain().is_some_and(|due| now >= due) {
            let answers = self.engine.open_curtain();
            self.typing.answer(&answers, now);
        }
        if now >= self.slow_look {
            self.slow_look = now + SLOW_LOOK;
            self.look_at_socket();
            if let Phase::Ended { unwritten, .. } = &mut self.phase
                && let Some(record) = unwritten.take()
            {
                *unwritten = written_or_back(&self.dir, record);
                if unwritten.is_some() {
                    self.slow_look = now + EXIT_RETRY;
                }
            }
        }
        if let Phase::Ended {
            since, shell: None, ..
        } = self.phase
            && now >= since + STAYS
        {
            self.begin_stop(None, Duration::ZERO, true);
        }
    }

    /// Makes the socket again when it is gone. When the whole directory is gone nobody can ever find this run again:
    /// it ends.
    fn look_at_socket(&mut self) {
        if rustix::fs::fstat(&self.dir_fd).is_ok_and(|dir| dir.st_nlink == 0) {
            log("the run's directory is gone");
            self.begin_stop(None, LOGOUT_GRACE, true);
        } else if !self.socket.is_there(&self.dir_fd, self.dir.path()) {
            match Socket::bind(&self.dir_fd, self.dir.path()) {
                Ok(socket) => self.socket = socket,
                Err(error) => log(&format!("the socket could not be made again: {error}")),
            }
        }
    }

    fn read_terminal(&mut self, portions: usize) {
        self.unread = false;
        for _ in 0..portions {
            let Some((controller, _)) = &self.terminal else {
                return;
            };
            let mut buffer = std::mem::take(&mut self.buffer);
            let read = rustix::io::read(controller, &mut buffer[..]);
            match read {
                Ok(count @ 1..) => self.show(&buffer[..count]),
                Ok(_) => self.terminal = None,
                Err(rustix::io::Errno::AGAIN) => {
                    self.buffer = buffer;
                    return;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => self.terminal = None, // hung up: the end of its session, seen before the signal
            }
            self.buffer = buffer;
        }
        self.unread = self.terminal.is_some();
    }

    /// Finds out whether the program has read what was typed, where that matters.
    fn look_at_reading(&mut self) {
        if !self.unread
            && self.typing.asks_for_reading()
            && let Some((_, user)) = &self.terminal
        {
            self.typing
                .reading(prompt::has_read(user.as_fd()), Instant::now());
        }
    }

    /// Shows bytes on the terminal: on ours and on those of all that watch.
    fn show(&mut self, bytes: &[u8]) {
        let (answers, now) = (self.engine.feed(bytes), Instant::now());
        self.typing.answer(&answers, now);
        self.typing.output(now);
        self.seq += bytes.len() as u64;
        if self.connections.iter().any(Connection::is_viewer) {
            let frame: Rc<[u8]> = Frame::Output(bytes.to_vec()).encode().into();
            for connection in &mut self.connections {
                connection.output(&frame);
            }
        }
    }

    fn resize(&mut self, cells: Cells) {
        let size = engine::sane(Size {
            cols: cells.cols,
            rows: cells.rows,
        });
        self.engine.resize(size);
        if let Some((controller, _)) = &self.terminal {
            // An unchanged size raises no signal in the program; then it has nothing to redraw either.
            if let Err(error) = rustix::termios::tcsetwinsize(controller, agent::winsize(size)) {
                log(&format!("the terminal kept its size: {error}"));
            }
        }
    }

    /// Types what waits, as far as the program reads.
    fn type_on(&mut self) {
        loop {
            let seen = Seen {
                engine: &self.engine,
                unread: self.unread,
                user: self.terminal.as_ref().map(|(_, user)| user.as_fd()),
            };
            let went = self.typing.advance(Instant::now(), &seen);
            for deed in self.typing.deeds() {
                self.input_log.write(&deed, &mut self.engine);
            }
            if let Some(Went { asker, how }) = went {
                let answer = how.map_or_else(|why| Frame::Refused(why.into()), |()| Frame::Done);
                self.answer(asker, &answer);
            }
            let next = self.typing.next();
            if next.is_empty() {
                if went.is_some() {
                    continue; // the next message may begin
                }
                return;
            }
            let Some((controller, _)) = &self.terminal else {
                return;
            };
            match rustix::io::write(controller, next) {
                Ok(count) => self.typing.written_out(count),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return, // full: `poll` says when; hung up: the signal comes
            }
        }
    }
}

fn refused_ended(exit: Exit) -> Frame {
    Frame::Refused(Refusal {
        code: "ended".to_owned(),
        text: format!("the agent has ended ({exit})"),
        exit: Some(exit),
    })
}

/// Writes the record; gives it back when that failed, to be tried again.
fn written_or_back(dir: &RunDir, record: ExitRecord) -> Option<ExitRecord> {
    match dir.write_exit(&record) {
        Ok(()) => None,
        Err(error) => {
            log(&format!("the exit record could not be written: {error}"));
            Some(record)
        }
    }
}

/// The last lines that fit into so many bytes.
fn bounded(lines: Vec<String>, bytes: usize) -> Vec<String> {
    let mut left = bytes;
    let keep = lines
        .iter()
        .rev()
        .take_while(|line| {
            let fits = line.len() < left;
            left = left.saturating_sub(line.len() + 1);
            fits
        })
        .count();
    let first = lines.len() - keep;
    lines.into_iter().skip(first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept() {
        let lines = || vec!["one".to_owned(), "two".to_owned(), "three".to_owned()];
        assert_eq!(bounded(lines(), 100), lines());
        assert_eq!(bounded(lines(), 10), ["two", "three"]);
        assert_eq!(bounded(lines(), 3), Vec::<String>::new());
    }
}
