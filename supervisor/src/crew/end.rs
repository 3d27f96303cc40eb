//! What a crew does when a child is over: notes why, and says what that was.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Crew, Happening};
use crate::board::{Role, Then, Why};
use crate::child::{Restart, Shutdown};
use crate::event::What;
use crate::reason::{Class, Exit, Outcome, Reason};
use crate::snapshot::State;
use crate::tree::millis;

pub(crate) struct Fallen {
    pub(crate) slot: u32,
    pub(crate) id: Arc<str>,
    /// Where it stood in the start order.
    pub(crate) place: u32,
    /// It is off the board: its slot may be somebody else's.
    pub(crate) forgotten: bool,
    /// What was wanted of it once it has stopped.
    pub(crate) then: Then,
    pub(crate) how: How,
    /// Whether its restart type calls for another incarnation.
    pub(crate) wanted: bool,
    pub(crate) reason: Reason,
    pub(crate) uptime: Duration,
}

impl Fallen {
    /// A person wants it down, however it ended.
    pub(crate) fn is_to_be_parked(&self) -> bool {
        self.then == Then::Park
    }

    /// A person had it stopped, to be started again. One that ended in another way is started again, or not, for that.
    pub(crate) fn is_to_start_again(&self) -> bool {
        self.then == Then::StartAgain && self.how == How::Stopped
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// It had been asked to.
    Stopped,
    Ignored,
    StartFailed,
    /// By itself, in the normal class.
    Ended,
    Crashed,
    /// A supervisor that spent its restarts.
    GaveUp,
    /// It had been stuck; what was to be done about its end was done then.
    Late,
}

impl Crew {
    /// A child's task is gone, something it owned is not yet.
    pub(super) fn draining(&mut self, slot: u32, number: u64, hopeless: bool) -> Option<Happening> {
        let board = self.board.clone();
        let mut book = board.book();
        let entry = book.get(slot)?;
        if entry.life.as_ref()?.number() != number {
            return None;
        }
        match entry.state {
            State::Starting | State::Running => {
                entry.why = Some(Why::Draining);
                entry.state = State::Stopping;
            }
            State::Stopping => {}
            _ => return None,
        }
        if !entry.aborted {
            self.abort(slot, entry);
        }
        drop(book);
        // Who is below and does not end has been waited for already.
        if hopeless {
            self.declare_stuck(slot, false)
        } else {
            None
        }
    }

    /// An incarnation is over and everything it owned is gone.
    pub(super) fn exit(&mut self, slot: u32, number: u64, outcome: Outcome) -> Option<Fallen> {
        let now = Instant::now();
        let board = self.board.clone();
        let ((path, how, killed_as_told), fallen, (life, forgotten)) = {
            let mut book = board.book();
            let entry = book.get(slot)?;
            if entry.life.as_ref()?.number() != number {
                return None;
            }
            entry.abort = None;
            let was_ready = entry.ready.is_some();
            let uptime = entry
                .ready
                .map_or(Duration::ZERO, |ready| now.saturating_duration_since(ready));
            let late = entry.state == State::Stuck;
            let (mut how, reason) = judge(entry.why.take(), was_ready, outcome);
            entry.last_exit = Some(Arc::new(Exit {
                class: reason.class(),
                reason: reason.clone(),
                incarnation: number,
                at: self.life.tree.age_at(now),
                uptime,
                span: entry.life.as_ref().and_then(|life| life.span()),
            }));
            let wanted = match (how, entry.traits.restart) {
                _ if late => false,
                (How::StartFailed | How::Crashed, restart) => restart != Restart::Temporary,
                (How::Ended | How::GaveUp, restart) => restart == Restart::Permanent,
                (How::Stopped | How::Ignored | How::Late, _) => false,
            };
            let life = entry.life.take();
            if late {
                self.stuck -= 1;
                entry.state = if entry.is_parked() {
                    State::Parked
                } else if entry.deadline.is_some() {
                    // It was waited for: go on at once.
                    self.set_deadline(slot, entry, now);
                    State::Backoff
                } else {
                    State::Terminated
                };
            } else {
                self.alive -= 1;
                self.clear_deadline(slot, entry);
                entry.state = match how {
                    _ if wanted => State::Backoff,
                    How::Ignored => State::Ignored,
                    How::Ended => State::Completed,
                    How::GaveUp => State::GaveUp,
                    _ => State::Terminated,
                };
            }
            let killed_as_told =
                entry.traits.shutdown == Shutdown::BrutalKill && matches!(reason, Reason::Killed);
            let told = (entry.path.clone(), how, killed_as_told);
            if late {
                how = How::Late;
            }
            // A supervisor's temporary child is forgotten, unless something is still to be decided about it.
            let forget = entry.traits.restart == Restart::Temporary && !wanted && how != How::StartFailed;
            let then = std::mem::replace(&mut entry.then, Then::Nothing);
            let (id, place) = (entry.traits.id.clone(), entry.place);
            let forgotten = (forget && book.role == Role::Supervisor).then(|| book.remove(slot));
            (
                told,
                Fallen {
                    slot,
                    id,
                    place,
                    forgotten: forgotten.is_some(),
                    then,
                    how,
                    wanted,
                    reason,
                    uptime,
                },
                (life, forgotten),
            )
        };
        let reason = || fallen.reason.clone();
        let emit = |what: &dyn Fn() -> What| self.tree().emit(&path, Some(number), what);
        match how {
            How::Stopped => {
                if !killed_as_told && fallen.reason.class() == Class::Abnormal {
                    emit(&|| What::ShutdownError { reason: reason() });
                }
                emit(&|| What::Stopped);
            }
            How::Ignored => emit(&|| What::Ignored),
            How::StartFailed => emit(&|| What::StartFailed { reason: reason() }),
            How::Ended | How::Crashed | How::GaveUp | How::Late => emit(&|| What::Exited {
                reason: reason(),
                class: fallen.reason.class(),
                uptime_ms: millis(fallen.uptime),
            }),
        }
        if let Some(life) = &life {
            self.unwatch(life);
        }
        if fallen.how == How::Late {
            // Its last hold may have gone before it was listed.
            self.tree().unstick(number);
        }
        // Foreign values (an error, what the start had captured) are dropped here, without the lock.
        drop(life);
        if forgotten.is_some() {
            self.tree().emit(&path, None, || What::ChildRemoved);
        }
        Some(fallen)
    }

    /// Takes a child out for good.
    pub(crate) fn forget(&mut self, slot: u32) {
        let board = self.board.clone();
        let entry = {
            let mut book = board.book();
            if let Some(entry) = book.get(slot) {
                self.clear_deadline(slot, entry);
            }
            book.remove(slot)
        };
        if let Some(entry) = entry {
            self.tree().emit(&entry.path, None, || What::ChildRemoved);
        }
    }

    /// Whether a person wants it parked as soon as it ends.
    pub(crate) fn is_to_be_parked(&self, slot: u32) -> bool {
        self.board
            .book()
            .get(slot)
            .is_some_and(|entry| entry.then == Then::Park)
    }

    /// Whether a child that has failed is one to be started again.
    pub(crate) fn comes_back(&self, slot: u32) -> bool {
        self.board
            .book()
            .get(slot)
            .is_some_and(|entry| entry.traits.restart != Restart::Temporary)
    }
}

/// What an end was, seen from the supervisor.
fn judge(why: Option<Why>, was_ready: bool, outcome: Outcome) -> (How, Reason) {
    match (why, outcome) {
        (Some(Why::Asked), Outcome::Done | Outcome::Ignored) => (How::Stopped, Reason::Shutdown),
        (Some(Why::Asked), outcome) => (How::Stopped, outcome.into_reason()),
        (Some(Why::Hung(silent_for)), _) => (
            if was_ready { How::Crashed } else { How::StartFailed },
            Reason::Hung { silent_for },
        ),
        (Some(Why::StartTimeout(limit)), _) => (How::StartFailed, Reason::StartTimeout(limit)),
        (_, Outcome::Ignored) if !was_ready => (How::Ignored, Reason::Normal),
        (_, Outcome::Done | Outcome::Term(_)) if !was_ready => (How::StartFailed, Reason::NeverReady),
        (_, outcome) if !was_ready => (How::StartFailed, outcome.into_reason()),
        (_, outcome @ (Outcome::Done | Outcome::Term(_) | Outcome::Ignored)) => {
            (How::Ended, outcome.into_reason())
        }
        (_, outcome @ Outcome::GaveUp { .. }) => (How::GaveUp, outcome.into_reason()),
        (_, outcome) => (How::Crashed, outcome.into_reason()),
    }
}
