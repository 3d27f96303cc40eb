//! How what runs under the holder ends: by itself, or because it is told to.

use std::time::{Duration, Instant};

use ao_domain::Exit;
use rustix::process::{Signal, WaitOptions, WaitStatus};

use super::{EXIT_RETRY, Host, LAST_PORTIONS, Phase, bounded, refused_ended, written_or_back};
use crate::runtimes::holder::family;
use crate::runtimes::holder::files::{self, ExitRecord};
use crate::runtimes::holder::host::agent::{self, Start};
use crate::runtimes::holder::host::stop::{Deed, Stop};
use crate::runtimes::holder::host::typing::Asker;
use crate::runtimes::holder::host::{DEFAULTS, log};
use crate::runtimes::holder::wire::Frame;

/// Lines and bytes of the last output that an exit record keeps.
const KEPT_LINES: usize = 500;
const KEPT_BYTES: usize = 256 * 1024;

/// What is still written to clients when the holder ends.
const FAREWELL: Duration = Duration::from_millis(500);

impl Host {
    /// Everything that has ended under the holder.
    pub(super) fn reap(&mut self) {
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
    pub(super) fn notice(&mut self, what: &str) {
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

    pub(super) fn start_shell(&mut self) {
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

    pub(super) fn begin_stop(&mut self, asker: Option<Asker>, grace: Duration, then_leave: bool) {
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

    pub(super) fn advance_stop(&mut self) {
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
}

fn exit_of(status: WaitStatus) -> Option<Exit> {
    status
        .exit_status()
        .map(Exit::Code)
        .or_else(|| status.terminating_signal().map(Exit::Signal))
}
