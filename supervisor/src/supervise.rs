//! The loop of a supervisor with a list of children in order: who is started when, and who goes down with whom.
//!
//! Nothing here waits for a child: every step asks for something, and the loop goes on when the queue says that it has happened.
//! So a stop is served between any two steps, in the middle of a start or of a group restart as well.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use crate::board::{Board, Entry, Then};
use crate::budget::{Budget, Limit};
use crate::child::{ChildSpec, Seat};
use crate::context::Context;
use crate::crew::{ABORT_GRACE, Begun, Crew, Fallen, Happening, How, Ruling};
use crate::event::What;
use crate::orders::{Awaited, ChildError, Desk, Order, Reply, Started, Whom, obstacle};
use crate::reason::{Crash, Outcome, Reason, caught};
use crate::snapshot::State;
use crate::strategy::Strategy;
use crate::supervisor::{Making, Setup};

/// What is fixed about a supervisor; shared by all its incarnations.
pub(crate) struct Plan {
    pub(crate) strategy: Strategy,
    pub(crate) budget: Budget,
    pub(crate) seats: Vec<Seat>,
}

/// Where the plan of an incarnation comes from.
#[derive(Clone)]
pub(crate) enum Source {
    Fixed(Arc<Plan>),
    /// Made anew for each incarnation.
    Made(Arc<Making>),
}

/// What the supervisor is in the middle of, by places in the start order. Restarts of single children under `OneForOne` are
/// not in here: each is on its own.
#[derive(Clone, Copy)]
enum Course {
    Steady,
    /// Children are started in order. `waiting`: `next` was launched and has not said ready.
    Launching {
        next: u32,
        waiting: bool,
    },
    /// A group restart: the culprit's group is stopped, last one first; those from `next` on are down already.
    Felling {
        culprit: u32,
        next: u32,
    },
    /// The group is down and the culprit waits for its pause to be over, or for its turn in the queue.
    Pausing {
        culprit: u32,
    },
    /// All are stopped, last one first; those from `next` on are down already.
    Ending {
        next: u32,
    },
}

/// A place whose child was taken away.
const HOLE: u32 = u32::MAX;

/// Fewer holes than this are not worth moving anybody.
const MANY_HOLES: usize = 64;

struct Supervise {
    crew: Crew,
    ctx: Context,
    strategy: Strategy,
    budget: Budget,
    /// The slots in start order.
    line: Vec<u32>,
    holes: usize,
    course: Course,
    /// A group's next attempt is due without a pause: what waits in the queue comes first.
    yields: bool,
    desk: Desk,
    /// Ends that would fell a group while an order is being carried out: they come after it, as they would in one mailbox.
    put_off: VecDeque<Happening>,
    /// The first start is not over: a child that cannot start makes the supervisor fail.
    initial: bool,
    outcome: Outcome,
}

/// Runs one incarnation of a supervisor until it is stopped, cannot start, or gives up.
pub(crate) async fn supervise(source: Source, board: Arc<Board>, ctx: Context) -> Outcome {
    let plan = match source {
        Source::Fixed(plan) => plan,
        Source::Made(making) => match make(&making, &ctx).await {
            Ok(plan) => Arc::new(plan),
            Err(outcome) => return outcome,
        },
    };
    let crew = Crew::open(&ctx, board, |book| {
        book.strategy = plan.strategy;
        book.window = plan.budget.window();
        book.fill(
            plan.seats
                .iter()
                .map(|seat| Some(Entry::new(seat, ctx.path())))
                .collect(),
        );
    });
    let len = u32::try_from(plan.seats.len()).expect("no machine holds four thousand million children");
    let mut supervise = Supervise {
        crew,
        ctx,
        strategy: plan.strategy,
        budget: plan.budget,
        line: (0..len).collect(),
        holes: 0,
        course: Course::Launching {
            next: 0,
            waiting: false,
        },
        yields: false,
        desk: Desk::default(),
        put_off: VecDeque::new(),
        initial: true,
        outcome: Outcome::Done,
    };
    drop(plan);
    while supervise.advance() {
        if supervise.desk.is_idle()
            && let Some(happening) = supervise.put_off.pop_front()
        {
            supervise.answer(happening);
            continue;
        }
        if supervise.serve() {
            continue;
        }
        let happening = supervise.crew.next().await;
        supervise.answer(happening);
    }
    supervise.close()
}

/// Asks what this incarnation is to look like. Runs where children run: whatever it waits for holds up no other supervisor.
async fn make(making: &Arc<Making>, ctx: &Context) -> Result<Plan, Outcome> {
    let making = making.clone();
    let made = async move { AssertUnwindSafe((making)()).catch_unwind().await };
    let made = ctx.life().spawn(ctx.life().tree.children(), made);
    // It may take its time: this loop, which is what is watched, is not held up by it.
    let made = ctx.beating(async {
        tokio::select! {
            biased;
            made = made => Some(made),
            () = ctx.stopping() => None,
        }
    });
    let Some(made) = made.await else {
        return Err(Outcome::Done);
    };
    match made {
        Ok(Ok(Ok(Setup::Run(supervisor)))) => supervisor
            .into_plan()
            .map_err(|fault| Outcome::Error(Crash::from(fault))),
        Ok(Ok(Ok(Setup::Ignore))) => {
            ctx.ignore();
            Err(Outcome::Done)
        }
        Ok(Ok(Err(crash))) => Err(Outcome::Error(crash)),
        Ok(Err(payload)) => Err(Outcome::Panic(caught(&*payload))),
        Err(_) => Err(Outcome::Killed), // its runtime is being shut down
    }
}

impl Supervise {
    fn len(&self) -> u32 {
        u32::try_from(self.line.len()).expect("no machine holds four thousand million children")
    }

    fn at(&self, place: u32) -> u32 {
        self.line[place as usize]
    }

    fn is_parking(&self) -> bool {
        self.budget.0 == Limit::Parking
    }

    fn is_group(&self) -> bool {
        self.strategy != Strategy::OneForOne
    }

    /// Takes the next steps that need no waiting. False when all is over.
    fn advance(&mut self) -> bool {
        loop {
            match self.course {
                Course::Steady => {
                    self.close_up();
                    return true;
                }
                Course::Pausing { .. } | Course::Launching { waiting: true, .. } => return true,
                Course::Launching { next, .. } if next == self.len() => {
                    self.course = Course::Steady;
                    if self.initial {
                        self.initial = false;
                        self.ctx.ready();
                        self.emit(|| What::SupervisorStarted);
                    }
                }
                Course::Launching { next, .. } => self.launch(next),
                Course::Felling { culprit, next } if next <= self.strategy.first(culprit) => {
                    self.felled(culprit);
                }
                Course::Felling { culprit, next } => {
                    let (place, slot) = (next - 1, self.at(next - 1));
                    // The culprit is down, unless it is the one that a person wants started anew.
                    let stands = slot != HOLE && (place != culprit || self.crew.is_up(slot));
                    if stands && self.crew.stop(slot) {
                        return true;
                    }
                    self.course = Course::Felling { culprit, next: place };
                }
                Course::Ending { next: 0 } => return false,
                Course::Ending { next } => {
                    let slot = self.at(next - 1);
                    if slot != HOLE && self.crew.stop(slot) {
                        return true;
                    }
                    self.course = Course::Ending { next: next - 1 };
                }
            }
        }
    }

    fn launch(&mut self, place: u32) {
        let slot = self.at(place);
        let begun = if slot == HOLE {
            Begun::Nobody
        } else {
            self.crew.launch(slot)
        };
        match begun {
            Begun::Launched => {
                self.course = Course::Launching {
                    next: place,
                    waiting: true,
                }
            }
            Begun::Nobody => {
                self.course = Course::Launching {
                    next: place + 1,
                    waiting: false,
                }
            }
            Begun::StillThere => self.restart(slot, &Reason::Stuck, Duration::ZERO, ABORT_GRACE),
        }
    }

    /// A group is down.
    fn felled(&mut self, culprit: u32) {
        let slot = self.at(culprit);
        let waits = slot != HOLE && self.crew.waits(slot);
        if waits || self.yields {
            self.course = Course::Pausing { culprit };
            if std::mem::take(&mut self.yields) && !waits {
                let _ = self.crew.sender().send(crate::life::Message::Again { slot });
            }
        } else {
            self.course = Course::Launching {
                next: self.strategy.first(culprit),
                waiting: false,
            };
        }
    }

    fn answer(&mut self, happening: Happening) {
        if let Course::Ending { .. } = self.course {
            // Whatever it is, `advance` looks at the child it waits for; a late stop changes nothing, and an order that is
            // dropped is answered by that.
            return;
        }
        let over = match &happening {
            Happening::Fallen(fallen) => Some(fallen.slot),
            Happening::Stuck { slot, .. } => Some(*slot),
            _ => None,
        };
        if self.is_group() && over.is_some_and(|slot| self.desk.is_busy_elsewhere(slot)) {
            self.put_off.push_back(happening);
            return;
        }
        match happening {
            Happening::Stop => self.end(Outcome::Done),
            Happening::Ready(slot, value) => {
                if self.desk.is_starting(slot) {
                    let child = self.crew.child(slot);
                    self.desk.ready(slot, child, value);
                }
                self.launched(self.crew.place(slot));
            }
            Happening::Fallen(fallen) => self.fallen(&fallen),
            Happening::Stuck { slot, reason } => self.stuck(slot, &reason),
            Happening::Retry(slot) if self.is_group() => {
                let place = self.crew.place(slot);
                // Else the group it belongs to is still being stopped, and is started when that is done.
                if matches!(self.course, Course::Pausing { culprit } if culprit == place) {
                    // Whoever was added meanwhile belongs to the group.
                    self.course = Course::Felling {
                        culprit: place,
                        next: self.len(),
                    };
                }
            }
            Happening::Retry(slot) => self.relaunch(slot),
            Happening::Resume(slot) => {
                self.crew.pardon(slot);
                self.relaunch(slot);
            }
            Happening::Order(order) => self.desk.put(order),
            Happening::Keys(_) => {}
        }
    }

    /// If the ordered start waits for the child at this place, it goes on with the next one.
    fn launched(&mut self, place: u32) {
        if self.awaits(place) {
            self.course = Course::Launching {
                next: place + 1,
                waiting: false,
            };
        }
    }

    fn awaits(&self, place: u32) -> bool {
        matches!(self.course, Course::Launching { next, waiting: true } if next == place)
    }

    /// Whether a child goes down with a group anyway, so that its own end changes nothing.
    fn is_felled(&self, place: u32, asked: bool) -> bool {
        match self.course {
            Course::Felling { culprit, .. } => {
                place >= self.strategy.first(culprit) && (place != culprit || asked)
            }
            _ => false,
        }
    }

    fn fallen(&mut self, fallen: &Fallen) {
        let slot = fallen.slot;
        if fallen.forgotten {
            self.vacate(fallen.place);
        }
        let failed = (fallen.how != How::Ignored).then(|| fallen.reason.clone());
        let (awaited, answer) = self.desk.over(slot, &fallen.id, failed);
        if awaited != Awaited::No {
            // Who asked is told; that a start failed counts for nobody.
            if !fallen.forgotten {
                self.crew.rest(slot);
                if awaited == Awaited::Discarded {
                    self.crew.forget(slot);
                    self.vacate(fallen.place);
                }
            }
            answer.send();
            return;
        }
        if self.is_felled(fallen.place, fallen.how == How::Stopped) {
            self.crew.rest(slot);
            return;
        }
        if fallen.is_to_start_again() {
            self.relaunch(slot);
            return;
        }
        let awaited = self.awaits(fallen.place);
        if awaited && fallen.how == How::StartFailed {
            if self.initial && !self.is_parking() {
                self.cannot_start(slot, fallen.reason.clone());
                return;
            }
            if !fallen.wanted {
                self.crew.forget(slot);
                self.vacate(fallen.place);
            }
            self.yields = true;
        }
        // Before the order to go on is changed by a restart.
        if !fallen.wanted || !self.is_group() {
            self.launched(fallen.place);
        }
        if fallen.is_to_be_parked() {
            self.crew.park_by_hand(slot);
        } else if fallen.wanted {
            self.restart(slot, &fallen.reason, fallen.uptime, Duration::ZERO);
        }
    }

    fn stuck(&mut self, slot: u32, reason: &Reason) {
        let place = self.crew.place(slot);
        let id = self.crew.id(slot);
        if self.desk.stuck(slot, &id, reason.clone()) != Awaited::No || self.is_felled(place, true) {
            return;
        }
        let awaited = self.awaits(place);
        if awaited && self.initial && !self.is_parking() {
            self.cannot_start(slot, reason.clone());
            return;
        }
        if !self.is_group() {
            self.launched(place);
        }
        if self.crew.is_to_be_parked(slot) {
            self.crew.park_by_hand(slot);
        } else if self.crew.comes_back(slot) {
            self.restart(slot, reason, Duration::ZERO, ABORT_GRACE);
        }
    }

    /// A child is wanted back. Decides whether it may, and who comes with it.
    fn restart(&mut self, slot: u32, reason: &Reason, uptime: Duration, least: Duration) {
        let ruling = self.crew.rule(slot, reason, uptime, least);
        match ruling {
            Ruling::GiveUp => {
                self.end(Outcome::GaveUp {
                    path: self.crew.path_of(slot),
                    reason: reason.clone(),
                });
            }
            Ruling::Now if !self.is_group() => self.relaunch(slot),
            Ruling::Parked => {}
            Ruling::Later if !self.is_group() => {}
            Ruling::Now | Ruling::Later => {
                let place = self.crew.place(slot);
                // Two groups become one, from the lower place, and the later of their pauses holds.
                if let Course::Pausing { culprit } | Course::Felling { culprit, .. } = self.course
                    && culprit != place
                    && let Some(until) = self.crew.rest(self.at(culprit))
                {
                    self.crew.wait_until(slot, until);
                }
                self.course = Course::Felling {
                    culprit: place,
                    next: self.len(),
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

    /// Carries out what was asked for, if it is the time for that. True when something was done.
    fn serve(&mut self) -> bool {
        if !matches!(self.course, Course::Steady | Course::Pausing { .. }) {
            return false;
        }
        let Some(order) = self.desk.next() else {
            return false;
        };
        match order {
            Order::Start { spec, reply } => self.add(*spec, reply),
            Order::Revive { .. } => {} // for pools
            Order::Restart { id, reply } => match self.crew.find(&id) {
                None => refuse(reply, ChildError::NotFound { id: id.to_string() }),
                Some((slot, state)) => match obstacle(&id, state) {
                    Some(why) => refuse(reply, why),
                    None => {
                        self.crew.pardon(slot);
                        self.begin(slot, false, reply);
                    }
                },
            },
            Order::Terminate { whom, reply } => self.terminate(&whom, reply),
            Order::Delete { id, reply } => match self.crew.find(&id) {
                None => refuse(reply, ChildError::NotFound { id: id.to_string() }),
                Some((slot, state)) => match obstacle(&id, state) {
                    Some(why) => refuse(reply, why),
                    None => {
                        let place = self.crew.place(slot);
                        self.crew.forget(slot);
                        self.vacate(place);
                        let _ = reply.send(Ok(()));
                    }
                },
            },
            Order::Stop { id, then } => self.stop_and(&id, then),
        }
        true
    }

    fn add(&mut self, spec: ChildSpec, reply: Reply<Started>) {
        let id = spec.traits.id.clone();
        if let Some(fault) = spec.fault_under(self.strategy, self.budget) {
            return refuse(reply, ChildError::Spec(fault));
        }
        if let Some((slot, state)) = self.crew.find(&id) {
            let why = match (state, self.crew.child(slot)) {
                (State::Running | State::Stopping, Some(child)) => ChildError::AlreadyStarted(child),
                _ => ChildError::AlreadyPresent { id: id.to_string() },
            };
            return refuse(reply, why);
        }
        let place = self.len();
        let slot = self.crew.add(&spec.under(self.budget), place);
        self.line.push(slot);
        self.begin(slot, true, reply);
    }

    fn begin(&mut self, slot: u32, added: bool, reply: Reply<Started>) {
        match self.crew.launch(slot) {
            Begun::Launched => self.desk.awaits_start(slot, added, reply),
            Begun::Nobody | Begun::StillThere => {
                let id = self.crew.id(slot).to_string();
                refuse(reply, ChildError::Stuck { id });
            }
        }
    }

    fn terminate(&mut self, whom: &Whom, reply: Reply<()>) {
        let id = whom.id();
        let Some((slot, state)) = self.crew.find(id) else {
            return refuse(reply, ChildError::NotFound { id: id.to_string() });
        };
        let place = self.crew.place(slot);
        if self.crew.stop(slot) {
            return self.desk.awaits_end(slot, reply);
        }
        // It was waiting to be started again, and its group with it: nobody will be.
        if matches!(self.course, Course::Pausing { culprit } if culprit == place) {
            self.course = Course::Steady;
        }
        if state == State::Stuck {
            return refuse(reply, ChildError::Stuck { id: id.to_string() });
        }
        let _ = reply.send(Ok(()));
    }

    /// A person's restart or parking of one child.
    fn stop_and(&mut self, id: &str, then: Then) {
        let Some((slot, _)) = self.crew.find(id) else {
            return;
        };
        let place = self.crew.place(slot);
        if self.is_group() {
            if then == Then::StartAgain {
                self.restart_group(place);
            }
            return;
        }
        if self.crew.stop_and(slot, then) {
            return; // its end will come
        }
        match then {
            Then::Park => self.crew.park_by_hand(slot),
            Then::StartAgain => {
                self.crew.pardon(slot);
                self.relaunch(slot);
            }
            Then::Nothing => {}
        }
    }

    /// A person's restart of a group, from this place on. A group that is down and waits to be started again is part of it, and
    /// waits no longer.
    fn restart_group(&mut self, place: u32) {
        let mut from = place;
        if let Course::Pausing { culprit } = self.course {
            from = from.min(culprit);
            if self.at(culprit) != HOLE {
                self.crew.rest(self.at(culprit));
            }
        }
        self.course = Course::Felling {
            culprit: from,
            next: self.len(),
        };
    }

    fn vacate(&mut self, place: u32) {
        self.line[place as usize] = HOLE;
        self.holes += 1;
    }

    /// Moves the children together where many have gone. Only while nothing is counted in places; an end that was put off is.
    fn close_up(&mut self) {
        if self.holes < MANY_HOLES || self.holes * 2 < self.line.len() || !self.put_off.is_empty() {
            return;
        }
        self.line.retain(|slot| *slot != HOLE);
        self.holes = 0;
        self.crew.number(&self.line);
    }

    fn cannot_start(&mut self, slot: u32, reason: Reason) {
        self.end(Outcome::ChildNotStarted {
            path: self.crew.path_of(slot),
            reason,
        });
    }

    fn end(&mut self, outcome: Outcome) {
        self.outcome = outcome;
        self.course = Course::Ending { next: self.len() };
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

/// Tells whoever asked that it cannot be. One who has gone away needs no answer.
pub(crate) fn refuse<T>(reply: Reply<T>, why: ChildError) {
    let _ = reply.send(Err(why));
}
