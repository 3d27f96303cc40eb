//! What every supervisor does with its children, whatever its strategy: starts one, stops one, takes note of its end, and minds
//! its deadlines. Who is started again, and together with whom, is decided in `supervise` and `roster`.
//!
//! One task, one queue. A child has at most one deadline at a time (to be ready, to beat, to end, to die, to be tried again),
//! kept in one ordered set with one timer over it. Nothing in here sleeps, and a restart without a pause
//! touches no timer.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::board::{Board, Book, Entry, Park, Role, Why};
use crate::budget::park_pause;
use crate::child::{Restart, Shutdown};
use crate::context::Context;
use crate::event::What;
use crate::life::{Birth, Hold, Life, Message};
use crate::reason::{Exit, Outcome, Reason};
use crate::roster::Read;
use crate::snapshot::State;
use crate::tree::{Shared, millis};

/// How long an aborted child may take to end before it counts as stuck. An abort needs one await; a second without one is
/// a loop, a lock or a blocking call.
pub(crate) const ABORT_GRACE: Duration = Duration::from_secs(1);

/// Something a strategy must answer.
pub(crate) enum Happening {
    /// The supervisor is to stop.
    Stop,
    Ready(u32),
    /// A child's incarnation is over and gone.
    Fallen(Fallen),
    /// A child's incarnation is over and not gone.
    Stuck {
        slot: u32,
        reason: Reason,
    },
    /// A pause is over.
    Retry(u32),
    /// A person wants a parked child tried again.
    Resume(u32),
    /// The set of a roster was read.
    Keys(Read),
}

pub(crate) struct Fallen {
    pub(crate) slot: u32,
    pub(crate) how: How,
    /// Whether its restart type calls for another incarnation.
    pub(crate) wanted: bool,
    pub(crate) reason: Reason,
    pub(crate) uptime: Duration,
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
        {
            let mut book = board.book();
            fill(&mut book);
            book.inbox = Some(sender.clone());
        }
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
                    Some(slot) => {
                        if let Some(happening) = self.due(slot) {
                            return happening;
                        }
                    }
                    None => self.rang = false,
                }
            }
            let happening = match self.wake().await {
                Wake::Alarm => None,
                Wake::Message(Message::Stop) => Some(Happening::Stop),
                Wake::Message(Message::Ready { slot, number }) => self.ready(slot, number),
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
                Wake::Message(Message::Resume { slot }) => {
                    self.resumable(slot).then_some(Happening::Resume(slot))
                }
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
            .map(|heartbeat| Instant::now() + heartbeat / 2);
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

    fn pop_due(&mut self) -> Option<u32> {
        let (at, slot) = *self.deadlines.first()?;
        if at > Instant::now() {
            return None;
        }
        self.deadlines.pop_first();
        if let Some(entry) = self.board.book().get(slot) {
            entry.deadline = None;
        }
        Some(slot)
    }

    /// A child's deadline has passed.
    fn due(&mut self, slot: u32) -> Option<Happening> {
        let board = self.board.clone();
        let mut book = board.book();
        let entry = book.get(slot)?;
        match entry.state {
            State::Starting | State::Running if minds_heartbeat(entry) => {
                self.check_heartbeat(&board, book, slot);
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

    fn check_heartbeat(&mut self, board: &Board, mut book: std::sync::MutexGuard<'_, Book>, slot: u32) {
        let Some(entry) = book.get(slot) else { return };
        let (Some(life), Some(heartbeat)) = (entry.life.clone(), entry.traits.heartbeat) else {
            return;
        };
        let limit = millis(heartbeat);
        let silent = self.tree().now_ms().saturating_sub(life.heard());
        if silent <= limit {
            let at = self.tree().instant(life.heard().saturating_add(limit + 1));
            self.set_deadline(slot, entry, at);
            return;
        }
        entry.why = Some(Why::Hung(Duration::from_millis(silent)));
        entry.state = State::Stopping;
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
            self.set_deadline(slot, entry, Instant::now() + grace);
        }
        drop(book);
        self.emit_for(board, slot, || What::Hung { silent_ms: silent });
    }

    /// Starts the next incarnation of a child.
    pub(crate) fn launch(&mut self, slot: u32) -> Begun {
        let now = Instant::now();
        let board = self.board.clone();
        let (path, number, restarts) = {
            let mut book = board.book();
            let Some(entry) = book.get(slot) else {
                return Begun::Nobody;
            };
            if entry.life.is_some() {
                return Begun::StillThere;
            }
            let id = entry.traits.id.clone();
            let chaos = book.disarm(&id);
            let temporary_in_roster = book.role == Role::Roster;
            let Some(entry) = book.get(slot) else {
                return Begun::Nobody;
            };
            let temporary_in_roster = temporary_in_roster && entry.traits.restart == Restart::Temporary;
            // Many short children must not pin what they were started with; a roster can make the start again.
            let start = if temporary_in_roster {
                entry.start.take()
            } else {
                entry.start.clone()
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
            if minds_heartbeat(entry) {
                let at = life.heard() + millis(entry.traits.heartbeat.unwrap_or_default()) + 1;
                self.set_deadline(slot, entry, self.life.tree.instant(at));
            } else if let Some(limit) = entry.traits.start_timeout {
                self.set_deadline(slot, entry, now + limit);
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

    fn ready(&mut self, slot: u32, number: u64) -> Option<Happening> {
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
            let heard = entry.life.as_ref()?.heard();
            match entry.traits.heartbeat {
                Some(heartbeat) => {
                    let at = self.tree().instant(heard.saturating_add(millis(heartbeat) + 1));
                    self.set_deadline(slot, entry, at);
                }
                None => self.clear_deadline(slot, entry),
            }
            entry
                .started
                .map_or(Duration::ZERO, |started| now.saturating_duration_since(started))
        };
        self.emit_for(&board, slot, || What::Ready {
            after_ms: millis(after),
        });
        Some(Happening::Ready(slot))
    }

    /// Asks a child to end, by its own `shutdown`. True when there is an end to wait for.
    pub(crate) fn stop(&mut self, slot: u32) -> bool {
        let board = self.board.clone();
        let inner = {
            let mut book = board.book();
            let Some(entry) = book.get(slot) else { return false };
            match entry.state {
                State::Starting | State::Running => {}
                State::Stopping => return true,
                State::Stuck => {
                    self.clear_deadline(slot, entry);
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

    fn abort(&mut self, slot: u32, entry: &mut Entry) {
        entry.aborted = true;
        if let Some(life) = &entry.life {
            life.incarnation.revoke();
        }
        if let Some(task) = &entry.abort {
            task.abort();
        }
        self.set_deadline(slot, entry, Instant::now() + ABORT_GRACE);
    }

    /// A child's task is gone, something it owned is not yet.
    fn draining(&mut self, slot: u32, number: u64, hopeless: bool) -> Option<Happening> {
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

    fn declare_stuck(&mut self, slot: u32, listed: bool) -> Option<Happening> {
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

    /// An incarnation is over and everything it owned is gone.
    fn exit(&mut self, slot: u32, number: u64, outcome: Outcome) -> Option<Fallen> {
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
            let forgotten = (forget && book.role == Role::Supervisor).then(|| book.remove(slot));
            (
                told,
                Fallen {
                    slot,
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
                if !killed_as_told && !matches!(fallen.reason, Reason::Shutdown) {
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
            if spent_own(entry, now, uptime) {
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
                let retry_in_ms = millis(pause);
                (
                    path,
                    Some(What::Parked {
                        reason: reason.clone(),
                        retry_in_ms,
                    }),
                    Ruling::Parked,
                )
            } else if counted.is_some_and(|window| !window.allows(now)) {
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

    fn resumable(&self, slot: u32) -> bool {
        self.board
            .book()
            .get(slot)
            .is_some_and(|entry| entry.state == State::Parked)
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

    /// Whether a child waits for a pause to be over.
    pub(crate) fn waits(&self, slot: u32) -> bool {
        self.board
            .book()
            .get(slot)
            .is_some_and(|entry| entry.deadline.is_some())
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

    /// Whether a child that has failed is one to be started again.
    pub(crate) fn comes_back(&self, slot: u32) -> bool {
        self.board
            .book()
            .get(slot)
            .is_some_and(|entry| entry.traits.restart != Restart::Temporary)
    }

    pub(crate) fn path_of(&self, slot: u32) -> Arc<str> {
        self.board
            .book()
            .get(slot)
            .map_or_else(|| self.life.path.clone(), |entry| entry.path.clone())
    }

    pub(crate) fn set_deadline(&mut self, slot: u32, entry: &mut Entry, at: Instant) {
        self.clear_deadline(slot, entry);
        entry.deadline = Some(at);
        self.deadlines.insert((at, slot));
    }

    pub(crate) fn clear_deadline(&mut self, slot: u32, entry: &mut Entry) {
        if let Some(at) = entry.deadline.take() {
            self.deadlines.remove(&(at, slot));
        }
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
            if book.role == Role::Roster {
                removed.append(&mut book.entries);
                book.fill(Vec::new());
            }
        }
        // What the children were started with is foreign, so it is dropped without the lock.
        drop(removed);
    }
}

/// A supervisor's loop beats from its first moment on; a worker's heartbeat counts from ready, before that it has
/// its `start_timeout`.
fn minds_heartbeat(entry: &Entry) -> bool {
    entry.traits.heartbeat.is_some() && (entry.state == State::Running || entry.traits.role != Role::Worker)
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
        (_, Outcome::Done) if !was_ready => (How::StartFailed, Reason::NeverReady),
        (_, outcome) if !was_ready => (How::StartFailed, outcome.into_reason()),
        (_, outcome @ (Outcome::Done | Outcome::Ignored)) => (How::Ended, outcome.into_reason()),
        (_, outcome @ Outcome::GaveUp { .. }) => (How::GaveUp, outcome.into_reason()),
        (_, outcome) => (How::Crashed, outcome.into_reason()),
    }
}
