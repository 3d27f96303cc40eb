//! Whether a child that should be started again may be: budgets, pauses, parking.

use std::time::Duration;

use tokio::time::Instant;

use super::{Crew, Happening};
use crate::board::{Entry, Park};
use crate::budget::park_pause;
use crate::event::What;
use crate::reason::Reason;
use crate::snapshot::State;
use crate::tree::millis;

/// What becomes of a child that should be started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    Now,
    /// `Happening::Retry` will come.
    Later,
    Parked,
    /// The supervisor has spent its restarts.
    GiveUp,
}

impl Crew {
    /// Decides about a wanted restart: counts it, before any pause, against the child's own budget and then the supervisor's.
    /// The pause is at least `least`.
    pub(crate) fn rule(&mut self, slot: u32, reason: &Reason, uptime: Duration, least: Duration) -> Ruling {
        let now = Instant::now();
        let chance = self.tree().roll();
        let board = self.board.clone();
        let (path, told, ruling) = {
            let mut book = board.book();
            let Some((entry, counted)) = book.get_with_window(slot) else {
                return Ruling::Parked;
            };
            let path = entry.path.clone();
            let spent = spent_own(entry, now, uptime);
            if spent && !entry.traits.escalates {
                let times = entry.park.as_ref().map_or(0, |park| park.times) + 1;
                let backoff = entry.traits.backoff;
                let jitter = backoff.map_or(0.0, |backoff| backoff.jitter) * chance;
                let pause = park_pause(times).mul_f64(1.0 - jitter);
                entry.park = Some(Box::new(Park {
                    reason: reason.clone(),
                    times,
                    on_trial: false,
                }));
                if entry.life.is_none() {
                    entry.state = State::Parked;
                }
                self.set_deadline(slot, entry, now + pause);
                let retry_in_ms = Some(millis(pause));
                (
                    path,
                    Some(What::Parked {
                        reason: reason.clone(),
                        retry_in_ms,
                    }),
                    Ruling::Parked,
                )
            } else if spent || counted.is_some_and(|window| !window.allows(now)) {
                if entry.life.is_none() {
                    entry.state = State::Terminated;
                }
                let child = path.clone();
                let what = What::IntensityReached {
                    child,
                    reason: reason.clone(),
                };
                (self.life.path.clone(), Some(what), Ruling::GiveUp)
            } else {
                let mut pause = least;
                if let Some(backoff) = entry.traits.backoff {
                    if uptime >= backoff.reset_after {
                        entry.tries = 0;
                    }
                    pause = pause.max(backoff.pause(entry.tries, chance));
                }
                entry.tries = entry.tries.saturating_add(1);
                if entry.life.is_none() {
                    entry.state = State::Backoff;
                }
                if pause.is_zero() {
                    (path, None, Ruling::Now)
                } else {
                    self.set_deadline(slot, entry, now + pause);
                    (
                        path,
                        Some(What::Backoff {
                            delay_ms: millis(pause),
                            n: entry.tries,
                        }),
                        Ruling::Later,
                    )
                }
            }
        };
        if let Some(what) = told {
            self.tree().emit(&path, None, || what);
        }
        ruling
    }

    /// Parks a child until a person wants it back. One that is stuck is parked when it ends.
    pub(crate) fn park_by_hand(&mut self, slot: u32) {
        let board = self.board.clone();
        let path = {
            let mut book = board.book();
            let Some(entry) = book.get(slot) else { return };
            self.clear_deadline(slot, entry);
            entry.park = Some(Box::new(Park {
                reason: Reason::ParkedByHand,
                times: 1,
                on_trial: false,
            }));
            if entry.life.is_some() {
                return;
            }
            entry.state = State::Parked;
            entry.path.clone()
        };
        self.tree().emit(&path, None, || What::Parked {
            reason: Reason::ParkedByHand,
            retry_in_ms: None,
        });
    }

    /// What a person's "now" comes to: a parked child gets a fresh budget, one in back-off only its next attempt, which
    /// counts like any other.
    pub(super) fn resumed(&self, slot: u32) -> Option<Happening> {
        let mut book = self.board.book();
        let entry = book.get(slot)?;
        match entry.state {
            State::Parked => Some(Happening::Resume(slot)),
            State::Backoff if entry.window.is_some() => Some(Happening::Retry(slot)),
            _ => None,
        }
    }

    /// Starts a parked child as if it had never crashed.
    pub(crate) fn pardon(&self, slot: u32) {
        if let Some(entry) = self.board.book().get(slot) {
            entry.park = None;
            entry.tries = 0;
            if let Some(window) = &mut entry.window {
                window.clear();
            }
        }
    }
}

/// Whether a child's own budget refuses another restart. One on trial has healed if it was ready for a whole period.
fn spent_own(entry: &mut Entry, now: Instant, uptime: Duration) -> bool {
    let Some(window) = &mut entry.window else {
        return false;
    };
    if entry.park.is_some() {
        if uptime < window.per() {
            return true;
        }
        entry.park = None;
        window.clear();
    }
    !window.allows(now)
}
