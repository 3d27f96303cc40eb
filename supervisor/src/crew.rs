//! What every supervisor does with its children, whatever its strategy: starts one, stops one, takes note of its end, and minds
//! its deadlines. Who is started again, and together with whom, is decided in `supervise` and `roster`.
//!
//! One task, one queue. A child has at most one deadline at a time (to be ready, to beat, to end, to die, to be tried again),
//! kept in one ordered set with one timer over it. Nothing in here sleeps, and a restart without a pause
//! touches no timer.

mod deadline;
mod end;
mod ruling;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::board::{Board, Book, Entry, Then, Why};
use crate::child::{Restart, Seat, Shutdown};
use crate::context::Context;
use crate::event::What;
use crate::life::{Birth, Hold, Life, Message};
use crate::orders::{ChildRef, Order, Value};
use crate::reason::Reason;
use crate::roster::Read;
use crate::snapshot::State;
use crate::tree::{Shared, millis};

pub(crate) use deadline::ABORT_GRACE;
pub(crate) use end::{Fallen, How};
pub(crate) use ruling::Ruling;

/// Something a strategy must answer.
pub(crate) enum Happening {
    /// The supervisor is to stop.
    Stop,
    Ready(u32, Option<Value>),
    /// A child's incarnation is over and gone.
    Fallen(Fallen),
    /// A child's incarnation is over and not gone.
    Stuck {
        slot: u32,
        reason: Reason,
    },
    /// A pause is over, or it is a group's turn again.
    Retry(u32),
    /// A person wants a parked child tried again.
    Resume(u32),
    /// Somebody wants something changed.
    Order(Order),
    /// The set of a roster was read.
    Keys(Read),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    Launched,
    /// There is nobody in this slot any more.
    Nobody,
    /// The former incarnation is stuck, so there is no next one yet.
    StillThere,
}

enum Wake {
    Message(Message),
    Alarm,
}

pub(crate) struct Crew {
    pub(crate) life: Arc<Life>,
    /// Handed to every child, so that the supervisor's own exit is reported after theirs.
    hold: Hold,
    board: Arc<Board>,
    inbox: UnboundedReceiver<Message>,
    sender: UnboundedSender<Message>,
    deadlines: BTreeSet<(Instant, u32)>,
    alarm: Pin<Box<Sleep>>,
    /// What the alarm is set to; `None` once it rang.
    alarm_at: Option<Instant>,
    rang: bool,
    /// Children that run or are ending and not stuck.
    alive: usize,
    stuck: usize,
}

impl Crew {
    /// Takes over the board for this incarnation of the supervisor; `fill` puts the children on it.
    pub(crate) fn open(ctx: &Context, board: Arc<Board>, fill: impl FnOnce(&mut Book)) -> Crew {
        let life = ctx.life().clone();
        let (sender, inbox) = unbounded_channel();
        let former = {
            let mut book = board.book();
            let former = std::mem::take(&mut book.entries);
            fill(&mut book);
            book.inbox = Some(sender.clone());
            former
        };
        // What they were started with is foreign, so it is dropped without the lock.
        drop(former);
        if life.is_stopping() {
            // Asked before the queue was there to be asked through.
            let _ = sender.send(Message::Stop);
        }
        let now = Instant::now();
        Crew {
            hold: life.hold(),
            life,
            board,
            inbox,
            sender,
            deadlines: BTreeSet::new(),
            alarm: Box::pin(sleep_until(now)),
            alarm_at: None,
            rang: false,
            alive: 0,
            stuck: 0,
        }
    }

    pub(crate) fn tree(&self) -> &Shared {
        &self.life.tree
    }

    pub(crate) fn board(&self) -> &Board {
        &self.board
    }

    pub(crate) fn sender(&self) -> &UnboundedSender<Message> {
        &self.sender
    }

    /// How many children run or are ending, the stuck ones aside.
    pub(crate) fn alive(&self) -> usize {
        self.alive
    }

    pub(crate) fn has_stuck(&self) -> bool {
        self.stuck > 0
    }

    /// The next thing a strategy must answer. Everything else is dealt with on the way.
    pub(crate) async fn next(&mut self) -> Happening {
        loop {
            while self.rang {
                match self.pop_due() {
                    Some((at, slot)) => {
                        if let Some(happening) = self.due(at, slot) {
                            return happening;
                        }
                    }
                    None => self.rang = false,
                }
            }
            let happening = match self.wake().await {
                Wake::Alarm => None,
                Wake::Message(Message::Stop) => Some(Happening::Stop),
                Wake::Message(Message::Ready { slot, number, value }) => self.ready(slot, number, value),
                Wake::Message(Message::Draining {
                    slot,
                    number,
                    hopeless,
                }) => self.draining(slot, number, hopeless),
                Wake::Message(Message::Exit {
                    slot,
                    number,
                    outcome,
                }) => self.exit(slot, number, outcome).map(Happening::Fallen),
                Wake::Message(Message::Silent { slot, number }) => {
                    self.silent(slot, number);
                    None
                }
                Wake::Message(Message::Resume { slot }) => self.resumed(slot),
                Wake::Message(Message::Again { slot }) => Some(Happening::Retry(slot)),
                Wake::Message(Message::Order(order)) => Some(Happening::Order(order)),
                Wake::Message(Message::Keys(read)) => Some(Happening::Keys(read)),
            };
            if let Some(happening) = happening {
                return happening;
            }
        }
    }

    async fn wake(&mut self) -> Wake {
        self.life.beat();
        let own = self
            .life
            .heartbeat
            .map(|heartbeat| self.life.tree.next_beat(heartbeat));
        let next = self.deadlines.first().map(|(at, _)| *at);
        let next = next.into_iter().chain(own).min();
        if let Some(next) = next
            && self.alarm_at.is_none_or(|set| next < set)
        {
            // An alarm that is set too early costs one look; setting it anew for every child would cost more.
            self.alarm.as_mut().reset(next);
            self.alarm_at = Some(next);
        }
        tokio::select! {
            biased; // or a flood of exits would keep the deadlines waiting
            () = self.alarm.as_mut(), if self.alarm_at.is_some() => {
                self.alarm_at = None;
                self.rang = true;
                Wake::Alarm
            }
            message = self.inbox.recv() => Wake::Message(message.expect("the crew holds a sender itself")),
        }
    }

    /// Starts the next incarnation of a child.
    pub(crate) fn launch(&mut self, slot: u32) -> Begun {
        let now = Instant::now();
        let board = self.board.clone();
        let (path, number, restarts) = {
            let mut book = board.book();
            let chaos = book.disarm(slot);
            let Some(entry) = book.get(slot) else {
                return Begun::Nobody;
            };
            if entry.life.is_some() {
                return Begun::StillThere;
            }
            // Many short children must not pin what they were started with.
            let start = match entry.traits.restart {
                Restart::Temporary => entry.start.take(),
                Restart::Permanent | Restart::Transient => entry.start.clone(),
            };
            let Some(start) = start else { return Begun::Nobody };
            self.clear_deadline(slot, entry);
            if let Some(park) = &mut entry.park {
                park.on_trial = true;
            }
            entry.starts += 1;
            entry.state = State::Starting;
            entry.started = Some(now);
            entry.ready = None;
            entry.why = None;
            entry.aborted = false;
            let life = Life::new(Birth {
                tree: self.life.tree.clone(),
                path: entry.path.clone(),
                kind: entry.traits.kind,
                heartbeat: entry.traits.heartbeat,
                restarts: entry.restarts(),
                last_exit: entry.last_exit.clone(),
                slot,
                inbox: self.sender.clone(),
                above: Some(self.hold.clone()),
                chaos,
            });
            life.beat();
            if deadline::minds_heartbeat(entry) {
                self.expect_beat(slot, entry, &life);
            } else if let Some(due) = deadline::start_due(entry) {
                self.set_deadline(slot, entry, due);
            }
            let at = (entry.path.clone(), life.number(), entry.restarts());
            entry.abort = Some(start.launch(&life));
            entry.life = Some(life);
            self.alive += 1;
            at
        };
        if restarts > 0 {
            self.tree()
                .emit(&path, Some(number), || What::Restarting { count: restarts });
        }
        self.tree().emit(&path, Some(number), || What::Starting);
        Begun::Launched
    }

    fn ready(&mut self, slot: u32, number: u64, value: Option<Value>) -> Option<Happening> {
        let now = Instant::now();
        let board = self.board.clone();
        let after = {
            let mut book = board.book();
            let entry = book.get(slot)?;
            if entry.state != State::Starting || entry.life.as_ref()?.number() != number {
                return None;
            }
            entry.state = State::Running;
            entry.ready = Some(now);
            let life = entry.life.clone()?;
            if entry.traits.heartbeat.is_some() {
                self.expect_beat(slot, entry, &life);
            } else {
                self.clear_deadline(slot, entry);
            }
            entry
                .started
                .map_or(Duration::ZERO, |started| now.saturating_duration_since(started))
        };
        self.emit_for(&board, slot, || What::Ready {
            after_ms: millis(after),
        });
        Some(Happening::Ready(slot, value))
    }

    /// Whether there is an incarnation that runs or is ending in good order.
    pub(crate) fn is_up(&self, slot: u32) -> bool {
        self.board
            .book()
            .get(slot)
            .is_some_and(|entry| matches!(entry.state, State::Starting | State::Running | State::Stopping))
    }

    /// The incarnation that runs.
    pub(crate) fn child(&self, slot: u32) -> Option<ChildRef> {
        ChildRef::of(self.board.book().get(slot)?)
    }

    /// Its id; empty for nobody.
    pub(crate) fn id(&self, slot: u32) -> Arc<str> {
        self.board
            .book()
            .get(slot)
            .map_or_else(|| "".into(), |entry| entry.traits.id.clone())
    }

    /// Whether `child` is the incarnation that runs, or the one after which this child waits to come up again.
    pub(crate) fn was_last(&self, slot: u32, child: &ChildRef) -> bool {
        self.board.book().get(slot).is_some_and(|entry| {
            let runs = entry
                .life
                .as_ref()
                .is_some_and(|life| child.is(&life.incarnation));
            let ended = entry.last_exit.as_ref().map(|exit| exit.incarnation);
            runs || (entry.state != State::Running && child.is_over() && ended == Some(child.incarnation()))
        })
    }

    /// Writes down where everybody stands.
    pub(crate) fn number(&self, line: &[u32]) {
        let mut book = self.board.book();
        for (slot, place) in line.iter().zip(0..) {
            if let Some(entry) = book.get(*slot) {
                entry.place = place;
            }
        }
    }

    /// [`Crew::stop`], and notes what is wanted of the child when it has stopped.
    pub(crate) fn stop_and(&mut self, slot: u32, then: Then) -> bool {
        if !self.stop(slot) {
            return false;
        }
        if let Some(entry) = self.board.book().get(slot) {
            entry.then = then;
        }
        true
    }

    /// Where a child stands in the start order.
    pub(crate) fn place(&self, slot: u32) -> u32 {
        self.board.book().get(slot).map_or(0, |entry| entry.place)
    }

    /// The child of this id and what it is up to.
    pub(crate) fn find(&self, id: &str) -> Option<(u32, State)> {
        let mut book = self.board.book();
        let slot = book.slot_of(id)?;
        book.get(slot).map(|entry| (slot, entry.state))
    }

    /// Puts a new child on the board.
    pub(crate) fn add(&mut self, seat: &Seat, place: u32) -> u32 {
        let mut entry = Entry::new(seat, &self.life.path);
        entry.place = place;
        let path = entry.path.clone();
        let slot = self.board.book().insert(entry);
        self.tree().emit(&path, None, || What::ChildAdded);
        slot
    }

    /// Asks a child to end, by its own `shutdown`. True when there is an end to wait for.
    pub(crate) fn stop(&mut self, slot: u32) -> bool {
        let board = self.board.clone();
        let inner = {
            let mut book = board.book();
            let Some(entry) = book.get(slot) else { return false };
            // Whoever asks last decides what comes then.
            entry.then = Then::Nothing;
            match entry.state {
                State::Starting | State::Running => {}
                State::Stopping => return true,
                State::Stuck => {
                    self.clear_deadline(slot, entry);
                    entry.park = None;
                    return false;
                }
                State::Backoff | State::Parked | State::NotStarted => {
                    self.clear_deadline(slot, entry);
                    entry.state = State::Terminated;
                    return false;
                }
                _ => return false,
            }
            let Some(life) = entry.life.clone() else {
                return false;
            };
            entry.why = Some(Why::Asked);
            entry.state = State::Stopping;
            // From now on it has its grace, and owes no sign of life; but a supervisor, which waits for as long as it has to, does.
            self.unwatch(&life);
            match entry.traits.shutdown {
                Shutdown::BrutalKill => self.abort(slot, entry),
                Shutdown::After(grace) if grace.is_zero() => {
                    life.ask_to_stop();
                    self.abort(slot, entry);
                }
                Shutdown::After(grace) => {
                    life.ask_to_stop();
                    self.set_deadline(slot, entry, Instant::now() + grace);
                }
                Shutdown::Infinity => {
                    life.ask_to_stop();
                    self.clear_deadline(slot, entry);
                    if deadline::owes_beats(entry) {
                        self.expect_beat(slot, entry, &life);
                    }
                }
            }
            entry.traits.board.clone()
        };
        if let Some(inner) = inner {
            inner.send(Message::Stop);
        }
        self.emit_for(&board, slot, || What::Terminating);
        true
    }

    /// The watchdog looks at this incarnation no more.
    fn unwatch(&self, life: &Life) {
        if let Some(watchdog) = self.tree().watchdog()
            && life.heartbeat.is_some()
        {
            watchdog.forget(life);
        }
    }

    pub(crate) fn path_of(&self, slot: u32) -> Arc<str> {
        self.board
            .book()
            .get(slot)
            .map_or_else(|| self.life.path.clone(), |entry| entry.path.clone())
    }

    fn emit_for(&self, board: &Board, slot: u32, what: impl FnOnce() -> What) {
        let about = {
            let mut book = board.book();
            book.get(slot)
                .map(|entry| (entry.path.clone(), entry.life.as_ref().map(|life| life.number())))
        };
        if let Some((path, number)) = about {
            self.tree().emit(&path, number, what);
        }
    }
}

/// However the supervisor's loop ends, by return, panic or abort: no child stays. Those that are still there are aborted,
/// and their holds keep this supervisor's own exit back until they are gone.
impl Drop for Crew {
    fn drop(&mut self) {
        let mut removed = Vec::new();
        {
            let mut book = self.board.book();
            book.inbox = None;
            for entry in book.entries.iter_mut().flatten() {
                if let Some(life) = entry.life.take() {
                    life.incarnation.revoke();
                }
                if let Some(task) = entry.abort.take() {
                    task.abort();
                }
                entry.deadline = None;
                if entry.state.is_live() {
                    entry.state = State::Terminated;
                }
            }
            if book.role.is_unordered() {
                removed.append(&mut book.entries);
                book.fill(Vec::new());
            }
        }
        // What the children were started with is foreign, so it is dropped without the lock.
        drop(removed);
    }
}
