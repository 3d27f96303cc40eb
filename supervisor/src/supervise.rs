//! The loop of a supervisor with a fixed list of children: who is started when, and who goes down with whom.
//!
//! Nothing here waits for a child: every step asks for something, and the loop goes on when the queue says that it has happened.
//! So a stop is served between any two steps, in the middle of a start or of a group restart as well.

use std::sync::Arc;
use std::time::Duration;

use crate::board::{Board, Entry};
use crate::budget::{Budget, Limit};
use crate::child::Seat;
use crate::context::Context;
use crate::crew::{ABORT_GRACE, Begun, Crew, Fallen, Happening, How, Ruling};
use crate::event::What;
use crate::reason::{Outcome, Reason};
use crate::strategy::Strategy;

/// What is fixed about a supervisor; shared by all its incarnations.
pub(crate) struct Plan {
    pub(crate) strategy: Strategy,
    pub(crate) budget: Budget,
    pub(crate) seats: Vec<Seat>,
    pub(crate) board: Arc<Board>,
}

/// What the supervisor is in the middle of. Restarts of single children under `OneForOne` are not in here: each is on its own.
#[derive(Clone, Copy)]
enum Course {
    Steady,
    /// Children are started in order. `waiting`: `next` was launched and has not said ready.
    Launching {
        next: u32,
        waiting: bool,
    },
    /// A group restart: children after `from` are stopped, last one first; those from `next` on are down already.
    Felling {
        from: u32,
        next: u32,
    },
    /// The group is down and `from` waits for its pause to be over.
    Pausing {
        from: u32,
    },
    /// All are stopped, last one first; those from `next` on are down already.
    Ending {
        next: u32,
    },
}

struct Supervise {
    crew: Crew,
    ctx: Context,
    strategy: Strategy,
    parking: bool,
    len: u32,
    course: Course,
    /// The first start is not over: a child that cannot start makes the supervisor fail.
    initial: bool,
    outcome: Outcome,
}

/// Runs one incarnation of a supervisor until it is stopped, cannot start, or gives up.
pub(crate) async fn supervise(plan: Arc<Plan>, ctx: Context) -> Outcome {
    let crew = Crew::open(&ctx, plan.board.clone(), |book| {
        book.window = plan.budget.window();
        book.fill(
            plan.seats
                .iter()
                .map(|seat| Some(Entry::new(seat, ctx.path())))
                .collect(),
        );
    });
    let mut supervise = Supervise {
        crew,
        ctx,
        strategy: plan.strategy,
        parking: plan.budget.0 == Limit::Parking,
        len: u32::try_from(plan.seats.len()).expect("no machine holds four thousand million children"),
        course: Course::Launching {
            next: 0,
            waiting: false,
        },
        initial: true,
        outcome: Outcome::Done,
    };
    drop(plan);
    while supervise.advance() {
        let happening = supervise.crew.next().await;
        supervise.answer(happening);
    }
    supervise.close()
}

impl Supervise {
    /// Takes the next steps that need no waiting. False when all is over.
    fn advance(&mut self) -> bool {
        loop {
            match self.course {
                Course::Steady | Course::Pausing { .. } | Course::Launching { waiting: true, .. } => {
                    return true;
                }
                Course::Launching { next, .. } if next == self.len => {
                    self.course = Course::Steady;
                    if self.initial {
                        self.initial = false;
                        self.ctx.ready();
                        self.emit(|| What::SupervisorStarted);
                    }
                }
                Course::Launching { next, .. } => match self.crew.launch(next) {
                    Begun::Launched => self.course = Course::Launching { next, waiting: true },
                    Begun::Nobody => {
                        self.course = Course::Launching {
                            next: next + 1,
                            waiting: false,
                        }
                    }
                    Begun::StillThere => self.restart(next, &Reason::Stuck, Duration::ZERO, ABORT_GRACE),
                },
                Course::Felling { from, next } if next <= from + 1 => {
                    self.course = if self.crew.waits(from) {
                        Course::Pausing { from }
                    } else {
                        Course::Launching {
                            next: from,
                            waiting: false,
                        }
                    };
                }
                Course::Felling { from, next } => {
                    if self.crew.stop(next - 1) {
                        return true;
                    }
                    self.course = Course::Felling { from, next: next - 1 };
                }
                Course::Ending { next: 0 } => return false,
                Course::Ending { next } => {
                    if self.crew.stop(next - 1) {
                        return true;
                    }
                    self.course = Course::Ending { next: next - 1 };
                }
            }
        }
    }

    fn answer(&mut self, happening: Happening) {
        if let Course::Ending { .. } = self.course {
            // Whatever it is, `advance` looks at the child it waits for; a late stop changes nothing.
            return;
        }
        match happening {
            Happening::Stop => self.end(Outcome::Done),
            Happening::Ready(slot) => self.launched(slot),
            Happening::Fallen(fallen) => self.fallen(&fallen),
            Happening::Stuck { slot, reason } => self.stuck(slot, &reason),
            Happening::Retry(slot) => match (self.strategy, self.course) {
                (Strategy::OneForOne, _) => self.relaunch(slot),
                (Strategy::RestForOne, Course::Pausing { from }) if from == slot => {
                    self.course = Course::Launching {
                        next: from,
                        waiting: false,
                    };
                }
                // The group it belongs to is still being stopped, and is started when that is done.
                (Strategy::RestForOne, _) => {}
            },
            Happening::Resume(slot) => {
                self.crew.pardon(slot);
                self.relaunch(slot);
            }
            Happening::Keys(_) => {}
        }
    }

    /// If the ordered start waits for this child, it goes on with the next one.
    fn launched(&mut self, slot: u32) {
        if self.awaits(slot) {
            self.course = Course::Launching {
                next: slot + 1,
                waiting: false,
            };
        }
    }

    fn awaits(&self, slot: u32) -> bool {
        matches!(self.course, Course::Launching { next, waiting: true } if next == slot)
    }

    /// Whether the child goes down with a group anyway, so that its own end changes nothing.
    fn is_felled(&self, slot: u32) -> bool {
        matches!(self.course, Course::Felling { from, .. } if slot > from)
    }

    fn fallen(&mut self, fallen: &Fallen) {
        let slot = fallen.slot;
        if self.is_felled(slot) {
            self.crew.rest(slot);
            return;
        }
        if self.awaits(slot) && fallen.how == How::StartFailed {
            if self.initial && !self.parking {
                self.cannot_start(slot, fallen.reason.clone());
                return;
            }
            if !fallen.wanted {
                self.crew.forget(slot);
            }
        }
        let awaited = self.awaits(slot);
        if fallen.wanted {
            self.restart(slot, &fallen.reason, fallen.uptime, Duration::ZERO);
        }
        // A child that is started again on its own does not hold up those after it.
        if awaited && (!fallen.wanted || self.strategy == Strategy::OneForOne) {
            self.launched(slot);
        }
    }

    fn stuck(&mut self, slot: u32, reason: &Reason) {
        if self.is_felled(slot) {
            return;
        }
        let awaited = self.awaits(slot);
        if awaited && self.initial && !self.parking {
            self.cannot_start(slot, reason.clone());
            return;
        }
        if self.crew.comes_back(slot) {
            self.restart(slot, reason, Duration::ZERO, ABORT_GRACE);
        }
        if awaited && self.strategy == Strategy::OneForOne {
            self.launched(slot);
        }
    }

    /// A child is wanted back. Decides whether it may, and who comes with it.
    fn restart(&mut self, slot: u32, reason: &Reason, uptime: Duration, least: Duration) {
        match (self.crew.rule(slot, reason, uptime, least), self.strategy) {
            (Ruling::GiveUp, _) => {
                self.end(Outcome::GaveUp {
                    path: self.crew.path_of(slot),
                    reason: reason.clone(),
                });
            }
            (Ruling::Now, Strategy::OneForOne) => self.relaunch(slot),
            (Ruling::Later | Ruling::Parked, Strategy::OneForOne)
            | (Ruling::Parked, Strategy::RestForOne) => {}
            (Ruling::Now | Ruling::Later, Strategy::RestForOne) => {
                // Two groups become one, from the lower index, and the later of their pauses holds.
                if let Course::Pausing { from } | Course::Felling { from, .. } = self.course
                    && from != slot
                    && let Some(until) = self.crew.rest(from)
                {
                    self.crew.wait_until(slot, until);
                }
                self.course = Course::Felling {
                    from: slot,
                    next: self.len,
                };
            }
        }
    }

    /// Starts a child on its own.
    fn relaunch(&mut self, slot: u32) {
        if self.crew.launch(slot) == Begun::StillThere && self.crew.comes_back(slot) {
            self.restart(slot, &Reason::Stuck, Duration::ZERO, ABORT_GRACE);
        }
    }

    fn cannot_start(&mut self, slot: u32, reason: Reason) {
        self.end(Outcome::ChildNotStarted {
            path: self.crew.path_of(slot),
            reason,
        });
    }

    fn end(&mut self, outcome: Outcome) {
        self.outcome = outcome;
        self.course = Course::Ending { next: self.len };
    }

    fn close(self) -> Outcome {
        if self.crew.has_stuck() {
            self.crew.life.leaves_stuck();
        }
        self.emit(|| What::SupervisorStopped);
        if let Outcome::GaveUp { reason, .. } = &self.outcome {
            self.emit(|| What::GaveUp {
                reason: reason.clone(),
            });
        }
        self.outcome
    }

    fn emit(&self, what: impl FnOnce() -> What) {
        let life = &self.crew.life;
        life.tree.emit(&life.path, Some(life.number()), what);
    }
}
