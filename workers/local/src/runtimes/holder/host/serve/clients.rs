//! What clients ask, and what they get.

use std::time::{Duration, Instant};

use ao_domain::Exit;

use super::{Host, Phase, bounded, refused_ended};
use crate::runtimes::holder::host::connection::Connection;
use crate::runtimes::holder::host::log;
use crate::runtimes::holder::host::typing::Asker;
use crate::runtimes::holder::wire::{self, Attach, Cells, Frame, Hello, Refusal, Status};

/// More clients than any number of windows; the next ones are turned away.
const MOST_CLIENTS: usize = 64;

/// More than anybody waits; keeps the sum with a time representable.
const LONGEST_GRACE: Duration = Duration::from_secs(24 * 3_600);

/// The key that starts a shell counts only after this long without any: somebody who goes on typing to an agent that
/// has just ended does not mean it, and what they type next would be commands.
const QUIET: Duration = Duration::from_millis(500);

impl Host {
    pub(super) fn accept(&mut self) {
        while let Some(stream) = self.socket.accept() {
            if self.connections.len() < MOST_CLIENTS {
                self.connections.push(Connection::new(self.next_asker, stream));
                self.next_asker += 1;
            }
        }
    }

    pub(super) fn listen_to(&mut self, at: usize) {
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
                if (attach.cols, attach.rows) != Attach::NO_SIZE {
                    self.resize(Cells {
                        cols: attach.cols,
                        rows: attach.rows,
                    });
                }
                self.connections[at].wants_snapshot(attach.scrollback);
                return;
            }
            Frame::Input(bytes) => {
                let keys = self.connections[at].answers.drop_from(&bytes);
                self.keys(&keys);
                return;
            }
            Frame::Message(message) => match self.exit() {
                Some(exit) => refused_ended(exit),
                None if self.typing.message(asker, *message) => return,
                None => full(),
            },
            Frame::Press(press) => match self.exit() {
                Some(exit) => refused_ended(exit),
                None if self.typing.press(asker, *press) => return,
                None => full(),
            },
            Frame::Takes(line) => match self.exit() {
                Some(exit) => refused_ended(exit),
                None if self.typing.look(asker, *line) => return,
                None => full(),
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
            Phase::Running | Phase::Ended { shell: Some(_), .. } => self.typing.keys(keys, now),
            Phase::Ended { shell: None, .. } if keys == b"s" && quiet => self.start_shell(),
            Phase::Ended { .. } | Phase::Reaped(_) => {}
        }
    }

    pub(super) fn exit(&self) -> Option<Exit> {
        match self.phase {
            Phase::Ended { exit, .. } => Some(exit),
            Phase::Running | Phase::Reaped(_) => None,
        }
    }

    pub(super) fn answer(&mut self, asker: Asker, frame: &Frame) {
        if let Some(connection) = self.connections.iter_mut().find(|c| c.id == asker) {
            connection.answer(frame);
        }
    }

    pub(super) fn send(&mut self) {
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

fn full() -> Frame {
    Frame::Refused(Refusal {
        code: "full".to_owned(),
        text: "too many messages are waiting to be typed".to_owned(),
        exit: None,
    })
}
