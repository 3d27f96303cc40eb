//! What a crew does when a child is late: each child has at most one deadline, and its state says what for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Crew, Happening};
use crate::board::{Entry, Role, Why};
use crate::child::Shutdown;
use crate::event::What;
use crate::life::Life;
use crate::reason::Reason;
use crate::snapshot::State;
use crate::tree::millis;
use crate::watchdog::LATE;

/// How long an aborted child may take to end before it counts as stuck. An abort needs one await; a second without one is
/// a loop, a lock or a blocking call.
pub(crate) const ABORT_GRACE: Duration = Duration::from_secs(1);

/// What beats are counted in. One tick past its heartbeat a child is late, exactly at it it is not.
const TICK: Duration = Duration::from_millis(1);

impl Crew {
    pub(super) fn pop_due(&mut self) -> Option<(Instant, u32)> {
        let (at, slot) = *self.deadlines.first()?;
        if at > Instant::now() {
            return None;
        }
        self.deadlines.pop_first();
        if let Some(entry) = self.board.book().get(slot) {
            entry.deadline = None;
        }
        Some((at, slot))
    }

    /// A child's deadline has passed.
    pub(super) fn due(&mut self, at: Instant, slot: u32) -> Option<Happening> {
        let board = self.board.clone();
        let mut book = board.book();
        let entry = book.get(slot)?;
        match entry.state {
            _ if owes_beats(entry) && start_due(entry).is_none_or(|due| due > at) => {
                drop(book);
                self.check_heartbeat(at, slot);
                None
            }
            State::Starting => {
                entry.why = entry.traits.start_timeout.map(Why::StartTimeout);
                entry.state = State::Stopping;
                self.abort(slot, entry);
                None
            }
            State::Stopping if entry.aborted => {
                drop(book);
                self.declare_stuck(slot, true)
            }
            State::Stopping => {
                self.abort(slot, entry);
                None
            }
            State::Backoff | State::Parked | State::Stuck => Some(Happening::Retry(slot)),
            _ => None,
        }
    }

    /// The watchdog has not heard of a child. It may have beaten since.
    pub(super) fn silent(&mut self, slot: u32, number: u64) {
        let is_it = self.board.book().get(slot).is_some_and(|entry| {
            owes_beats(entry) && entry.life.as_ref().is_some_and(|life| life.number() == number)
        });
        if is_it {
            self.check_heartbeat(Instant::now(), slot);
        }
    }

    /// Whether a child has been heard of in time. A check that comes late itself (the machine slept, the process was
    /// stopped) proves nothing: the child gets a new period, for it could not beat either.
    fn check_heartbeat(&mut self, at: Instant, slot: u32) {
        let now = Instant::now();
        let board = self.board.clone();
        let silent = {
            let mut book = board.book();
            let Some(entry) = book.get(slot) else { return };
            let (Some(life), Some(heartbeat)) = (entry.life.clone(), entry.traits.heartbeat) else {
                return;
            };
            let heard = self.life.tree.instant(life.heard());
            let silent = now.saturating_duration_since(heard);
            let late = now.saturating_duration_since(at) > LATE.max(heartbeat / 4);
            if silent <= heartbeat || late {
                if late {
                    self.expect_by(slot, entry, &life, now + heartbeat + TICK);
                } else {
                    self.expect_beat(slot, entry, &life);
                }
                return;
            }
            if entry.state != State::Stopping {
                entry.why = Some(Why::Hung(silent));
                entry.state = State::Stopping;
            }
            life.incarnation.revoke();
            life.ask_to_stop();
            // It is already late, so it gets no more than an abort would. A supervisor does nothing but answer: if it hangs,
            // asking is of no use.
            let grace = match (entry.traits.role, entry.traits.shutdown) {
                (Role::Worker, Shutdown::After(grace)) => grace.min(ABORT_GRACE),
                (Role::Worker, Shutdown::Infinity) => ABORT_GRACE,
                _ => Duration::ZERO,
            };
            if grace.is_zero() {
                self.abort(slot, entry);
            } else {
                self.set_deadline(slot, entry, now + grace);
            }
            silent
        };
        self.emit_for(&board, slot, || What::Hung {
            silent_ms: millis(silent),
        });
    }

    /// Sets a child's deadline to when it must have been heard of again.
    pub(super) fn expect_beat(&mut self, slot: u32, entry: &mut Entry, life: &Arc<Life>) {
        if let Some(heartbeat) = entry.traits.heartbeat {
            // A silence that is allowed for long may be over at any time, and nobody tells.
            let heard = self.life.tree.instant(life.heard()).min(Instant::now());
            self.expect_by(slot, entry, life, heard + heartbeat + TICK);
        }
    }

    /// By the watchdog, where there is one; by this loop's own timer else. That by when it must have started is this loop's.
    fn expect_by(&mut self, slot: u32, entry: &mut Entry, life: &Arc<Life>, due: Instant) {
        let own = match self.life.tree.watchdog().cloned() {
            Some(watchdog) => {
                watchdog.expect(life, millis(self.life.tree.age_at(due)));
                None
            }
            None => Some(due),
        };
        match own.into_iter().chain(start_due(entry)).min() {
            Some(due) => self.set_deadline(slot, entry, due),
            None => self.clear_deadline(slot, entry),
        }
    }

    pub(super) fn abort(&mut self, slot: u32, entry: &mut Entry) {
        entry.aborted = true;
        if let Some(life) = &entry.life {
            life.incarnation.revoke();
        }
        if let Some(task) = &entry.abort {
            task.abort();
        }
        self.set_deadline(slot, entry, Instant::now() + ABORT_GRACE);
    }

    pub(super) fn declare_stuck(&mut self, slot: u32, listed: bool) -> Option<Happening> {
        let board = self.board.clone();
        let reason = {
            let mut book = board.book();
            let entry = book.get(slot)?;
            self.clear_deadline(slot, entry);
            entry.state = State::Stuck;
            if listed && let Some(life) = &entry.life {
                self.tree().stick(life.number(), entry.path.clone());
            }
            match entry.why {
                Some(Why::Hung(silent_for)) => Reason::Hung { silent_for },
                Some(Why::StartTimeout(limit)) => Reason::StartTimeout(limit),
                _ => Reason::Stuck,
            }
        };
        self.alive -= 1;
        self.stuck += 1;
        self.emit_for(&board, slot, || What::Stuck);
        Some(Happening::Stuck { slot, reason })
    }

    /// Whether a child waits for a pause to be over.
    pub(crate) fn waits(&self, slot: u32) -> bool {
        self.board
            .book()
            .get(slot)
            .is_some_and(|entry| entry.deadline.is_some())
    }

    /// Whether a child stays down until it is tried again.
    pub(crate) fn is_parked(&self, slot: u32) -> bool {
        self.board
            .book()
            .get(slot)
            .is_some_and(|entry| entry.state == State::Parked)
    }

    /// Takes back a child's pause: it is down together with its group. Returns when it would have been over.
    pub(crate) fn rest(&mut self, slot: u32) -> Option<Instant> {
        let board = self.board.clone();
        let mut book = board.book();
        let entry = book.get(slot)?;
        let until = entry.deadline;
        self.clear_deadline(slot, entry);
        if entry.state == State::Backoff {
            entry.state = State::Terminated;
        }
        until
    }

    /// Lets a child's pause last at least until then.
    pub(crate) fn wait_until(&mut self, slot: u32, until: Instant) {
        let board = self.board.clone();
        let mut book = board.book();
        if let Some(entry) = book.get(slot) {
            let until = entry.deadline.map_or(until, |at| at.max(until));
            self.set_deadline(slot, entry, until);
        }
    }

    pub(super) fn set_deadline(&mut self, slot: u32, entry: &mut Entry, at: Instant) {
        self.clear_deadline(slot, entry);
        entry.deadline = Some(at);
        self.deadlines.insert((at, slot));
    }

    pub(super) fn clear_deadline(&mut self, slot: u32, entry: &mut Entry) {
        if let Some(at) = entry.deadline.take() {
            self.deadlines.remove(&(at, slot));
        }
    }
}

/// By when a child that starts must be ready.
pub(super) fn start_due(entry: &Entry) -> Option<Instant> {
    let limit = entry.traits.start_timeout?;
    let started = entry.started.filter(|_| entry.state == State::Starting)?;
    // What does not fit is no limit.
    started.checked_add(limit)
}

/// Whether a child's silence says that it has hung. A worker that was asked to end may be silent until its grace is over; a supervisor's
/// loop beats until it has ended.
pub(super) fn owes_beats(entry: &Entry) -> bool {
    let waits = || entry.traits.role != Role::Worker && entry.traits.shutdown == Shutdown::Infinity;
    minds_heartbeat(entry)
        && match entry.state {
            State::Starting | State::Running => true,
            State::Stopping => waits() && !entry.aborted,
            _ => false,
        }
}

/// A supervisor's loop beats from its first moment on; a worker's heartbeat counts from ready, before that it has
/// its `start_timeout`.
pub(super) fn minds_heartbeat(entry: &Entry) -> bool {
    entry.traits.heartbeat.is_some() && (entry.state == State::Running || entry.traits.role != Role::Worker)
}
