//! The loop: waits for signals, terminal, socket and clients at once, and never for one of them.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ao_domain::port::runtime::Size;
use ao_domain::{Exit, ProcessId};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::Mode;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use signal_hook::consts::{SIGCHLD, SIGINT, SIGQUIT, SIGTERM, SIGUSR1};

use super::agent::{self, Start, Started};
use super::connection::Connection;
use super::engine::{self, Engine};
use super::socket::Socket;
use super::stop::{Deed, Stop};
use super::typing::{Asker, Typing};
use super::{DEFAULTS, FIRST_SIZE, Signals, log};
use crate::runtimes::pty::family;
use crate::runtimes::pty::files::{self, ExitRecord, LaunchFile, RunDir};
use crate::runtimes::pty::wire::{self, Cells, Frame, Hello, Refusal, Status};

/// How long a holder stays after its agent's end when nobody tells it to go: over a working day.
const STAYS: Duration = Duration::from_secs(12 * 3_600);

/// How often the socket and the directory are looked at.
const SLOW_LOOK: Duration = Duration::from_secs(60);

/// How often an exit record that could not be written (a full disk) is tried again.
const EXIT_RETRY: Duration = Duration::from_secs(2);

/// What an agent gets when the holder itself is told to end, as at a logout.
const LOGOUT_GRACE: Duration = Duration::from_secs(2);

/// More than anybody waits; keeps the sum with a time representable.
const LONGEST_GRACE: Duration = Duration::from_secs(24 * 3_600);

/// What is still written to clients when the holder ends.
const FAREWELL: Duration = Duration::from_millis(500);

/// More clients than any number of windows; the next ones are turned away.
const MOST_CLIENTS: usize = 64;

/// The key that starts a shell counts only after this long without any: somebody who goes on typing to an agent that
/// has just ended does not mean it, and what they type next would be commands.
const QUIET: Duration = Duration::from_millis(500);

/// Lines and bytes of the last output that an exit record keeps.
const KEPT_LINES: usize = 500;
const KEPT_BYTES: usize = 256 * 1024;

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
}

impl Host {
    pub(super) fn new(parts: Parts) -> Self {
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
            connections: Vec::new(),
            next_asker: 1,
            phase: Phase::Running,
            stop: None,
            last_key: Instant::now(),
            seq: 0,
            slow_look: Instant::now() + SLOW_LOOK,
            leaving: None,
            buffer: vec![0; PORTION],
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
            self.typing.answer(&answers);
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

    // ---- the terminal

    fn read_terminal(&mut self, portions: usize) {
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
    }

    /// Shows bytes on the terminal: on ours and on those of all that watch.
    fn show(&mut self, bytes: &[u8]) {
        let answers = self.engine.feed(bytes);
        self.typing.answer(&answers);
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
            let engine = &self.engine;
            let done = self.typing.advance(Instant::now(), || engine.bracketed_paste());
            if let Some(asker) = done {
                self.answer(asker, &Frame::Done);
            }
            let next = self.typing.next();
            if next.is_empty() {
                if done.is_some() {
                    continue; // the next message may begin
                }
                return;
            }
            let Some((controller, _)) = &self.terminal else {
                return;
            };
            match rustix::io::write(controller, next) {
                Ok(count) => self.typing.written(count),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return, // full: `poll` says when; hung up: the signal comes
            }
        }
    }

    // ---- processes

    /// Everything that has ended under the holder.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let Some(exit) = exit_of(status) else { continue };
            if pid == self.agent_pid && matches!(self.phase, Phase::Running) {
                self.agent_ended(exit);
            } else if let Phase::Ended { shell, since, .. } = &mut self.phase
                && *shell == Some(pid)
            {
                *shell = None;
                *since = Instant::now();
                self.read_terminal(LAST_PORTIONS);
                self.terminal = None;
                self.typing.clear();
                self.notice(&format!("the shell ended ({exit})"));
            }
        }
    }

    fn agent_ended(&mut self, exit: Exit) {
        // The kernel has hung the terminal up; what was written before is still in it.
        self.read_terminal(LAST_PORTIONS);
        self.terminal = None;
        for asker in self.typing.clear() {
            self.answer(asker, &refused_ended(exit));
        }
        if self.engine.curtain().is_some() {
            self.engine.open_curtain();
        }
        let record = ExitRecord {
            version: files::VERSION,
            exit,
            at: crate::clock::now(),
            holder: self.holder.clone(),
            agent: self.agent.clone(),
            screen: self.engine.shown(),
            tail: bounded(self.engine.tail(KEPT_LINES), KEPT_BYTES),
        };
        if self.stop.is_some() {
            self.phase = Phase::Reaped(record);
        } else {
            self.finish(record);
        }
    }

    /// Writes the end down, then says it.
    fn finish(&mut self, record: ExitRecord) {
        let exit = record.exit;
        let unwritten = written_or_back(&self.dir, record);
        if unwritten.is_some() {
            self.slow_look = Instant::now() + EXIT_RETRY;
        }
        self.phase = Phase::Ended {
            exit,
            since: Instant::now(),
            shell: None,
            unwritten,
        };
        self.notice(&format!("the agent ended ({exit})"));
        for connection in self.connections.iter_mut().filter(|c| c.is_viewer()) {
            connection.answer(&Frame::Ended(exit));
        }
    }

    /// One line on the terminal, and the modes of the program that is gone taken back.
    fn notice(&mut self, what: &str) {
        let rows = self.engine.size().rows;
        let (_, row) = self.engine.shown().cursor;
        let mut bytes = DEFAULTS.to_vec();
        let line = format!("[ao] {what}; press s for a shell in its directory");
        if self.engine.alternate_screen() {
            // The last screen of a full-screen program stays; the line takes its last row.
            bytes.extend_from_slice(format!("\x1b[{rows};1H\x1b[2K{line}").as_bytes());
        } else {
            bytes.extend_from_slice(format!("\x1b[{};1H\r\n{line}\r\n", row + 1).as_bytes());
        }
        self.show(&bytes);
    }

    fn start_shell(&mut self) {
        let Phase::Ended { shell: None, .. } = self.phase else {
            return;
        };
        if self.stop.is_some() {
            return;
        }
        let program = self
            .env
            .iter()
            .find(|(name, _)| name == "SHELL")
            .map_or("/bin/sh", |(_, value)| value.as_str())
            .to_owned();
        let started = agent::directory(&self.launch.cwd).and_then(|cwd| {
            agent::start(Start {
                argv: std::slice::from_ref(&program),
                env: &self.env,
                cwd,
                size: self.engine.size(),
                umask: self.umask,
                note: None,
            })
        });
        match started {
            Ok(started) => {
                let primary = if self.engine.alternate_screen() {
                    "\x1b[?1049l\r\n"
                } else {
                    ""
                };
                self.show(format!("{primary}[ao] {program} in {}\r\n", self.launch.cwd).as_bytes());
                self.terminal = Some((started.controller, started.user));
                if let Phase::Ended { shell, .. } = &mut self.phase {
                    *shell = Some(started.pid);
                }
            }
            Err(error) => self.notice(&format!("no shell: {error}")),
        }
    }

    // ---- the end on demand

    fn begin_stop(&mut self, asker: Option<Asker>, grace: Duration, then_leave: bool) {
        let now = Instant::now();
        let agent_runs = matches!(self.phase, Phase::Running);
        if let Some(stop) = &mut self.stop {
            stop.hurry(now, grace);
        } else {
            self.stop = Some(Stop::begin(now, grace, agent_runs));
            if agent_runs {
                self.signal_agent(Signal::HUP);
            }
        }
        if let Some(stop) = &mut self.stop {
            stop.askers.extend(asker);
            stop.then_leave |= then_leave;
        }
    }

    fn advance_stop(&mut self) {
        let now = Instant::now();
        let agent_runs = matches!(self.phase, Phase::Running);
        let Some(stop) = &mut self.stop else { return };
        match stop.advance(now, agent_runs) {
            Deed::Nothing => {}
            Deed::Signal(signal) => self.signal_agent(signal),
            Deed::Sweep(signal) => {
                let hopeless = stop.is_hopeless(now);
                let left = family::descendants(self.holder.pid);
                for stat in &left {
                    family::signal(stat, signal);
                    family::signal(stat, Signal::CONT); // a stopped process takes nothing but a kill before that
                }
                if hopeless {
                    log(&format!("{} processes cannot be ended", left.len()));
                }
                if left.is_empty() || hopeless {
                    self.end_stop();
                }
            }
        }
    }

    fn end_stop(&mut self) {
        let Some(stop) = self.stop.take() else { return };
        self.reap();
        if let Phase::Reaped(_) = self.phase
            && let Phase::Reaped(record) = std::mem::replace(&mut self.phase, Phase::Running)
        {
            self.finish(record);
        }
        if let Phase::Ended { exit, .. } = self.phase {
            for asker in stop.askers {
                self.answer(asker, &Frame::Ended(exit));
            }
        }
        if stop.then_leave {
            self.leaving = Some(Instant::now() + FAREWELL);
        }
    }

    /// To the agent's process group, and to the one that has the terminal where that is another.
    fn signal_agent(&self, signal: Signal) {
        let foreground = self
            .terminal
            .as_ref()
            .and_then(|(controller, _)| rustix::termios::tcgetpgrp(controller).ok())
            .filter(|group| *group != self.agent_pid);
        for group in [Some(self.agent_pid), foreground].into_iter().flatten() {
            let _ = rustix::process::kill_process_group(group, signal); // empty is what was wanted
            let _ = rustix::process::kill_process_group(group, Signal::CONT);
        }
    }

    // ---- clients

    fn accept(&mut self) {
        while let Some(stream) = self.socket.accept() {
            if self.connections.len() < MOST_CLIENTS {
                self.connections.push(Connection::new(self.next_asker, stream));
                self.next_asker += 1;
            }
        }
    }

    fn listen_to(&mut self, at: usize) {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.connections[at].read(&mut buffer);
        self.buffer = buffer;
        loop {
            match self.connections[at].next_frame() {
                Ok(Some(frame)) => self.handle(at, frame),
                Ok(None) => return,
                Err(error) => {
                    log(&format!("a client was not understood: {error}"));
                    self.connections[at].close();
                    return;
                }
            }
        }
    }

    fn handle(&mut self, at: usize, frame: Frame) {
        let asker = self.connections[at].id;
        if !self.connections[at].greeted {
            match frame {
                Frame::Hello(_) => {
                    self.connections[at].greeted = true;
                    self.connections[at].answer(&Frame::Welcome(Hello::ours()));
                }
                _ => self.connections[at].close(),
            }
            return;
        }
        let answer = match frame {
            Frame::Status => Frame::StatusIs(Status {
                holder: self.holder.clone(),
                agent: self.agent.clone(),
                exit: self.exit(),
                viewers: u32::try_from(self.connections.iter().filter(|c| c.is_viewer()).count())
                    .unwrap_or(u32::MAX),
                incomplete: self.engine.is_incomplete(),
            }),
            Frame::Attach(attach) => {
                self.resize(Cells {
                    cols: attach.cols,
                    rows: attach.rows,
                });
                self.connections[at].wants_snapshot(attach.scrollback);
                return;
            }
            Frame::Input(bytes) => {
                let keys = self.connections[at].answers.drop_from(&bytes);
                self.keys(&keys);
                return;
            }
            Frame::Message(text) => match self.exit() {
                Some(exit) => refused_ended(exit),
                None if self.typing.message(asker, text) => return,
                None => Frame::Refused(Refusal {
                    code: "full".to_owned(),
                    text: "too many messages are waiting to be typed".to_owned(),
                    exit: None,
                }),
            },
            Frame::Screen => Frame::ScreenIs(self.engine.shown()),
            Frame::Tail(lines) => {
                let lines = usize::try_from(lines).unwrap_or(usize::MAX);
                Frame::TailIs(bounded(self.engine.tail(lines), wire::MAX_FROM_HOLDER / 8))
            }
            Frame::Resize(cells) => {
                self.resize(cells);
                Frame::Done
            }
            Frame::Kill(grace_ms) => {
                self.begin_stop(
                    Some(asker),
                    Duration::from_millis(grace_ms).min(LONGEST_GRACE),
                    false,
                );
                return;
            }
            Frame::Bye => {
                if matches!(self.phase, Phase::Ended { .. }) {
                    self.begin_stop(None, Duration::ZERO, true); // a shell or leftovers go with it
                    Frame::Done
                } else {
                    Frame::Refused(Refusal {
                        code: "running".to_owned(),
                        text: "the agent is still running".to_owned(),
                        exit: None,
                    })
                }
            }
            // A second hello, or something only a holder says: nothing to answer.
            _ => return,
        };
        self.connections[at].answer(&answer);
    }

    /// Keys of a person: to what runs in the terminal, or the one key that is offered when nothing does.
    fn keys(&mut self, keys: &[u8]) {
        let now = Instant::now();
        let quiet = now.duration_since(self.last_key) >= QUIET;
        if !keys.is_empty() {
            self.last_key = now;
        }
        match self.phase {
            Phase::Running | Phase::Ended { shell: Some(_), .. } => self.typing.keys(keys),
            Phase::Ended { shell: None, .. } if keys == b"s" && quiet => self.start_shell(),
            Phase::Ended { .. } | Phase::Reaped(_) => {}
        }
    }

    fn exit(&self) -> Option<Exit> {
        match self.phase {
            Phase::Ended { exit, .. } => Some(exit),
            Phase::Running | Phase::Reaped(_) => None,
        }
    }

    fn answer(&mut self, asker: Asker, frame: &Frame) {
        if let Some(connection) = self.connections.iter_mut().find(|c| c.id == asker) {
            connection.answer(frame);
        }
    }

    fn send(&mut self) {
        let exit = self.exit();
        for connection in &mut self.connections {
            connection.write();
            if let Some(scrollback) = connection.snapshot_due() {
                let size = self.engine.size();
                let bytes = self.engine.snapshot(scrollback);
                connection.snapshot(
                    std::iter::once(Frame::Attached(Cells {
                        cols: size.cols,
                        rows: size.rows,
                    }))
                    .chain(
                        bytes
                            .chunks(wire::CHUNK)
                            .map(|chunk| Frame::Snapshot(chunk.to_vec())),
                    )
                    .chain([Frame::Live(self.seq)]),
                );
                if let Some(exit) = exit {
                    connection.answer(&Frame::Ended(exit)); // who comes later hears of it too
                }
                connection.write();
            }
        }
        let typing = &mut self.typing;
        self.connections.retain(|connection| {
            if connection.is_over() {
                typing.forget(connection.id);
            }
            !connection.is_over()
        });
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

fn exit_of(status: WaitStatus) -> Option<Exit> {
    status
        .exit_status()
        .map(Exit::Code)
        .or_else(|| status.terminating_signal().map(Exit::Signal))
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
