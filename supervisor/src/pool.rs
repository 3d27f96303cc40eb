//! The loop of a supervisor whose children come and go: they have no order and do not rest on one another.
//!
//! Children are added by orders ([`crate::Dynamic`]), or are those of a set that is read again and again ([`crate::Roster`]). A
//! pool with a counted budget gives up like any supervisor; a parking one never does.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::board::{Board, Entry, Role, Then};
use crate::budget::Budget;
use crate::child::{ChildSpec, Launch};
use crate::context::Context;
use crate::crew::{ABORT_GRACE, Begun, Crew, Fallen, Happening, How, Ruling};
use crate::dynamic::Reload;
use crate::event::What;
use crate::life::{Life, begin};
use crate::orders::{Awaited, ChildError, Desk, Order, Reply, Started, Whom};
use crate::reason::{Outcome, Reason};
use crate::roster::{Read, Reads, Roster};
use crate::snapshot::State;
use crate::strategy::Strategy;
use crate::supervise::refuse;

/// What is fixed about a pool; shared by all its incarnations.
pub(crate) struct Pool {
    pub(crate) budget: Budget,
    /// How many children there may be, those that wait to be started again included.
    pub(crate) max_children: Option<usize>,
    pub(crate) source: Source,
}

/// Where the children come from.
pub(crate) enum Source {
    /// From orders; and, at each start of the pool, from what is to be there again.
    Orders(Option<Arc<dyn Reload>>),
    /// From a set.
    Set(Roster),
}

impl Pool {
    /// The pool as somebody's child.
    pub(crate) fn spec(self, id: Arc<str>, kind: &'static str, role: Role, board: Arc<Board>) -> ChildSpec {
        board.book().window = self.budget.window();
        let fault = self.budget.fault(&id);
        let start = Arc::new(Keeper {
            pool: Arc::new(self),
            board: board.clone(),
        });
        ChildSpec::supervisor(id, kind, role, board, start, fault)
    }
}

/// Makes the incarnations of a pool, on the supervisors' runtime.
struct Keeper {
    pool: Arc<Pool>,
    board: Arc<Board>,
}

impl Launch for Keeper {
    fn launch(self: Arc<Self>, life: &Arc<Life>) -> AbortHandle {
        let (pool, board) = (self.pool.clone(), self.board.clone());
        let make = move |ctx: Context| keep(pool, board, ctx);
        begin(life.tree.supervisors(), life, make)
    }
}

struct Keep {
    crew: Crew,
    ctx: Context,
    pool: Arc<Pool>,
    desk: Desk,
    wakes: Arc<AtomicU64>,
    /// The set as it was last read.
    wanted: HashSet<String>,
    ending: bool,
    outcome: Outcome,
}

/// Runs one incarnation of a pool until it is stopped or gives up.
async fn keep(pool: Arc<Pool>, board: Arc<Board>, ctx: Context) -> Outcome {
    let crew = Crew::open(&ctx, board, |book| {
        book.window = pool.budget.window();
        book.fill(Vec::new());
    });
    let wakes = Arc::new(AtomicU64::new(0));
    let feeder = match &pool.source {
        Source::Orders(None) => None,
        Source::Orders(Some(reload)) => Some(reload.clone().feed(ctx.clone(), crew.sender().clone())),
        Source::Set(roster) => Some(roster.reader(Reads {
            ctx: ctx.clone(),
            wakes: wakes.clone(),
            to: crew.sender().clone(),
        })),
    };
    let feeder = feeder.map(|feeder| ctx.life().spawn(ctx.life().tree.children(), feeder));
    let mut keep = Keep {
        crew,
        ctx,
        pool,
        desk: Desk::default(),
        wakes,
        wanted: HashSet::new(),
        ending: false,
        outcome: Outcome::Done,
    };
    keep.ctx.ready();
    keep.emit(|| What::SupervisorStarted);
    loop {
        if !keep.ending && keep.serve() {
            continue;
        }
        if keep.ending && keep.crew.alive() == 0 {
            break;
        }
        match keep.crew.next().await {
            Happening::Stop => keep.end(),
            happening => keep.answer(happening),
        }
        if keep.ending
            && let Some(feeder) = &feeder
        {
            feeder.abort();
        }
    }
    if keep.crew.has_stuck() {
        keep.crew.life.leaves_stuck();
    }
    keep.emit(|| What::SupervisorStopped);
    if let Outcome::GaveUp { reason, .. } = &keep.outcome {
        keep.emit(|| What::GaveUp {
            reason: reason.clone(),
        });
    }
    keep.outcome
}

impl Keep {
    /// All children at once, in no order: they do not rest on one another.
    fn end(&mut self) {
        self.ending = true;
        self.desk = Desk::default(); // who waits is told that the supervisor is gone
        for slot in self.slots(|_| true) {
            self.crew.stop(slot);
        }
    }

    /// Whether a child that is over for good stays on the board, to be seen, and so that the same set does not start it again.
    fn keeps_the_dead(&self) -> bool {
        matches!(self.pool.source, Source::Set(_))
    }

    fn answer(&mut self, happening: Happening) {
        match happening {
            Happening::Ready(slot, value) if self.desk.is_starting(slot) => {
                let child = self.crew.child(slot);
                self.desk.ready(slot, child, value);
            }
            Happening::Stop | Happening::Ready(..) => {}
            _ if self.ending => {}
            Happening::Fallen(fallen) => self.fallen(&fallen),
            Happening::Stuck { slot, reason } => {
                let id = self.crew.id(slot);
                if self.desk.stuck(slot, &id, reason.clone()) != Awaited::No || self.is_doomed(slot) {
                    return;
                }
                if self.crew.is_to_be_parked(slot) {
                    self.crew.park_by_hand(slot);
                } else if self.crew.comes_back(slot) {
                    self.restart(slot, &reason, Duration::ZERO, ABORT_GRACE);
                }
            }
            Happening::Retry(slot) => self.relaunch(slot),
            Happening::Resume(slot) => {
                self.crew.pardon(slot);
                self.relaunch(slot);
            }
            Happening::Order(order) => self.desk.put(order),
            Happening::Keys(read) => self.reconcile(read),
        }
    }

    fn fallen(&mut self, fallen: &Fallen) {
        let slot = fallen.slot;
        let failed = (fallen.how != How::Ignored).then(|| fallen.reason.clone());
        let (awaited, answer) = self.desk.over(slot, &fallen.id, failed);
        if awaited != Awaited::No {
            // Nothing is kept of one that did not come up, nor of one that was taken away.
            self.crew.forget(slot);
            answer.send();
        } else if self.is_doomed(slot) {
            self.crew.forget(slot);
            if self.wanted.contains(&*fallen.id) {
                self.add(&fallen.id);
            }
        } else if fallen.is_to_be_parked() {
            self.crew.park_by_hand(slot);
        } else if fallen.is_to_start_again() {
            self.relaunch(slot);
        } else if fallen.wanted {
            self.restart(slot, &fallen.reason, fallen.uptime, Duration::ZERO);
        } else if fallen.how == How::Late && (self.crew.waits(slot) || self.crew.is_parked(slot)) {
            // It goes on by itself, or when a person says so.
        } else if self.keeps_the_dead() {
            if let Some(entry) = self.crew.board().book().get(slot) {
                entry.ended_at_wake = self.wakes.load(Ordering::Acquire);
            }
        } else {
            self.crew.forget(slot);
        }
    }

    fn restart(&mut self, slot: u32, reason: &Reason, uptime: Duration, least: Duration) {
        match self.crew.rule(slot, reason, uptime, least) {
            Ruling::Now => self.relaunch(slot),
            Ruling::Later | Ruling::Parked => {}
            Ruling::GiveUp => {
                self.outcome = Outcome::GaveUp {
                    path: self.crew.path_of(slot),
                    reason: reason.clone(),
                };
                self.end();
            }
        }
    }

    fn relaunch(&mut self, slot: u32) {
        if self.crew.launch(slot) == Begun::StillThere {
            self.restart(slot, &Reason::Stuck, Duration::ZERO, ABORT_GRACE);
        }
    }

    /// Carries out what was asked for. True when something was done.
    fn serve(&mut self) -> bool {
        let Some(order) = self.desk.next() else {
            return false;
        };
        match order {
            Order::Start { spec, reply } => self.begin(*spec, reply),
            Order::Revive { spec } => self.revive(*spec),
            Order::Terminate { whom, reply } => self.terminate(&whom, reply),
            // Its children are not specified apart from their being there.
            Order::Restart { id, reply } => refuse(reply, ChildError::NotFound { id: id.to_string() }),
            Order::Delete { id, reply } => refuse(reply, ChildError::NotFound { id: id.to_string() }),
            Order::Stop { id, then } => self.stop_and(&id, then),
        }
        true
    }

    fn begin(&mut self, spec: ChildSpec, reply: Reply<Started>) {
        let id = spec.traits.id.clone();
        if let Some(fault) = spec.fault_under(Strategy::OneForOne, self.pool.budget) {
            return refuse(reply, ChildError::Spec(fault));
        }
        if let Some((slot, state)) = self.crew.find(&id) {
            let why = match (state, self.crew.child(slot)) {
                (State::Running | State::Stopping, Some(child)) => ChildError::AlreadyStarted(child),
                _ => ChildError::AlreadyPresent { id: id.to_string() },
            };
            return refuse(reply, why);
        }
        if let Some(most) = self.pool.max_children
            && self.crew.board().book().count() >= most
        {
            return refuse(reply, ChildError::MaxChildren { most });
        }
        let slot = self.crew.add(&spec.under(self.pool.budget), 0);
        match self.crew.launch(slot) {
            Begun::Launched => self.desk.awaits_start(slot, true, reply),
            Begun::Nobody | Begun::StillThere => {
                let id = id.to_string();
                refuse(reply, ChildError::Stuck { id });
            }
        }
    }

    fn revive(&mut self, spec: ChildSpec) {
        let path = format!("{}/{}", self.ctx.path(), spec.id());
        if let Some(fault) = spec.fault_under(Strategy::OneForOne, self.pool.budget) {
            tracing::error!(
                path,
                error = &fault as &dyn std::error::Error,
                "the child cannot be added"
            );
        } else if self.crew.find(spec.id()).is_none() {
            let slot = self.crew.add(&spec.under(self.pool.budget), 0);
            self.relaunch(slot);
        }
    }

    fn terminate(&mut self, whom: &Whom, reply: Reply<()>) {
        let id = whom.id();
        let found = self.crew.find(id).filter(|(slot, _)| match whom {
            Whom::Id(_) => true,
            // The incarnation that runs, or the one after which the child waits to be started again.
            Whom::Exactly(child) => self.crew.was_last(*slot, child),
        });
        let Some((slot, state)) = found else {
            return match whom {
                Whom::Exactly(child) if child.is_over() => {
                    let _ = reply.send(Ok(()));
                }
                _ => refuse(reply, ChildError::NotFound { id: id.to_string() }),
            };
        };
        if self.crew.stop(slot) {
            return self.desk.awaits_end(slot, reply);
        }
        if state == State::Stuck {
            return refuse(reply, ChildError::Stuck { id: id.to_string() });
        }
        if !self.keeps_the_dead() {
            self.crew.forget(slot);
        }
        let _ = reply.send(Ok(()));
    }

    fn stop_and(&mut self, id: &str, then: Then) {
        let Some((slot, _)) = self.crew.find(id) else {
            return;
        };
        if self.is_doomed(slot) || self.crew.stop_and(slot, then) {
            return; // it goes for good, or its end will come
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

    /// Makes the children be those of the set.
    fn reconcile(&mut self, read: Read) {
        let gone = self.slots(|entry| !read.keys.contains(&*entry.traits.id));
        for slot in gone {
            if let Some(entry) = self.crew.board().book().get(slot) {
                entry.doomed = true;
            }
            if !self.crew.stop(slot) && !self.is_there(slot) {
                self.crew.forget(slot);
            }
        }
        // Ended for good, yet still wanted by those who have spoken since.
        let again = self.slots(|entry| {
            matches!(
                entry.state,
                State::Completed | State::Ignored | State::Terminated | State::GaveUp
            ) && entry.life.is_none()
                && read.wakes > entry.ended_at_wake
        });
        for slot in again {
            self.crew.forget(slot);
        }
        for key in &read.keys {
            if self.crew.find(key).is_none() {
                self.add(key);
            }
        }
        self.wanted = read.keys;
    }

    fn add(&mut self, key: &str) {
        let Source::Set(roster) = &self.pool.source else {
            return;
        };
        let seat = roster.spec(key).under(self.pool.budget);
        let slot = self.crew.add(&seat, 0);
        self.relaunch(slot);
    }

    fn slots(&self, which: impl Fn(&Entry) -> bool) -> Vec<u32> {
        let book = self.crew.board().book();
        let slots = book.entries.iter().zip(0..);
        slots
            .filter_map(|(entry, slot)| entry.as_ref().filter(|entry| which(entry)).map(|_| slot))
            .collect()
    }

    fn is_doomed(&self, slot: u32) -> bool {
        self.crew
            .board()
            .book()
            .get(slot)
            .is_some_and(|entry| entry.doomed)
    }

    fn is_there(&self, slot: u32) -> bool {
        self.crew
            .board()
            .book()
            .get(slot)
            .is_some_and(|entry| entry.life.is_some())
    }

    fn emit(&self, what: impl FnOnce() -> What) {
        let life = &self.crew.life;
        life.tree.emit(&life.path, Some(life.number()), what);
    }
}
