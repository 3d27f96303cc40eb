//! One incarnation from the inside: what the task, its context and its supervisor share, and the promise that its end is
//! reported exactly once, after everything it owned is gone.
//!
//! The task holds a [`Tenure`], each sub-task and each child of a supervisor a [`Hold`]. The exit is sent by whoever drops the
//! last of them, so it never overtakes a destructor, a sub-task or a grandchild. If the task itself is gone and others are
//! not, a `Draining` notice goes ahead of the exit, so that the supervisor can start to count.

use std::future::{Future, pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::task::AtomicWaker;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{AbortHandle, JoinHandle};
use tracing::Instrument;

use crate::child::Done;
use crate::context::Context;
use crate::reason::{Crash, Exit, Outcome, caught};
use crate::tree::{Shared, millis};

/// Everything a supervisor is told, in one queue: exits and commands form one sequence.
#[derive(Debug)]
pub(crate) enum Message {
    /// The supervisor itself is to stop.
    Stop,
    Ready {
        slot: u32,
        number: u64,
        value: Option<crate::orders::Value>,
    },
    /// The task ended, something it owned did not yet. `hopeless`: nor will it, as far as is known.
    Draining { slot: u32, number: u64, hopeless: bool },
    Exit {
        slot: u32,
        number: u64,
        outcome: Outcome,
    },
    /// From the watchdog: a child has not been heard of in time.
    Silent { slot: u32, number: u64 },
    /// Somebody asks to try a parked child again.
    Resume { slot: u32 },
    /// From the supervisor to itself, behind everything that waits in its queue: the next attempt of a group.
    Again { slot: u32 },
    /// Somebody wants something changed.
    Order(crate::orders::Order),
    /// For rosters: the set as it was read.
    Keys(crate::roster::Read),
}

/// One run of a child: its number, and whether its supervisor still stands by it.
///
/// The number never repeats in a tree. The incarnation is revoked, at once and for ever, when its supervisor gives it up
/// (aborted, hung, stuck) or when it has ended in whatever way. Work that outlives the task (a blocking write, a leaked clone)
/// asks [`Incarnation::is_revoked`] before it changes anything. A child that was asked to stop and is within its
/// grace is not revoked.
#[derive(Clone, Debug)]
pub struct Incarnation {
    number: u64,
    standing: Arc<Standing>,
}

#[derive(Debug)]
struct Standing {
    revoked: AtomicBool,
    tree: Weak<Shared>,
}

impl Incarnation {
    pub(crate) fn new(number: u64, tree: Weak<Shared>) -> Incarnation {
        Incarnation {
            number,
            standing: Arc::new(Standing {
                revoked: AtomicBool::new(false),
                tree,
            }),
        }
    }

    /// An incarnation that belongs to no tree and is never revoked, for tests and command lines. Its number is 0, which no
    /// child ever has.
    pub fn detached() -> Incarnation {
        Incarnation::new(0, Weak::new())
    }

    pub(crate) fn is(&self, other: &Incarnation) -> bool {
        Arc::ptr_eq(&self.standing, &other.standing)
    }

    /// The number, unique within the tree. Later incarnations have higher numbers.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether the supervisor has given this incarnation up. One atomic load.
    pub fn is_revoked(&self) -> bool {
        self.standing.revoked.load(Ordering::Acquire)
    }

    /// [`Incarnation::is_revoked`], for whoever is about to refuse a write on its behalf: one that is refused is counted, and
    /// the tree's snapshot says how many were.
    pub fn refuses(&self) -> bool {
        let revoked = self.is_revoked();
        if revoked && let Some(tree) = self.standing.tree.upgrade() {
            tree.refused();
        }
        revoked
    }

    pub(crate) fn revoke(&self) {
        self.standing.revoked.store(true, Ordering::Release);
    }
}

/// Trouble made on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chaos {
    Crash,
    Hang,
    /// Keeps its thread, until it is given up and for [`SPINS_ON`] besides.
    Spin,
}

/// Longer than an aborted child is waited for: it is found stuck.
const SPINS_ON: Duration = Duration::from_secs(3);

impl Chaos {
    fn number(self) -> u8 {
        match self {
            Chaos::Crash => CRASH,
            Chaos::Hang => HANG,
            Chaos::Spin => SPIN,
        }
    }
}

const STOPPING: u8 = 1;
const READY: u8 = 2;
const IGNORED: u8 = 4;
const LEAVES_STUCK: u8 = 8;

const CALM: u8 = 0;
const CRASH: u8 = 1;
const HANG: u8 = 2;
const SPIN: u8 = 3;

pub(crate) struct Life {
    pub(crate) tree: Arc<Shared>,
    pub(crate) path: Arc<str>,
    pub(crate) kind: &'static str,
    pub(crate) incarnation: Incarnation,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) restarts: u64,
    pub(crate) last_exit: Option<Arc<Exit>>,
    slot: u32,
    inbox: UnboundedSender<Message>,
    flags: AtomicU8,
    stop: Notify,
    chaos: AtomicU8,
    waker: AtomicWaker,
    /// Milliseconds since the tree's start.
    beat: AtomicU64,
    /// Until when silence is allowed, same unit; 0 for not at all.
    suspended: AtomicU64,
    /// When the watchdog looks next, same unit; 0 for never. Changed under its lock only.
    watched_until: AtomicU64,
    /// The span in which it runs; 0 for none.
    span: AtomicU64,
    holders: AtomicUsize,
    end: Mutex<End>,
}

/// What is needed once, at the end. No snapshot ever takes this lock.
struct End {
    outcome: Option<Outcome>,
    /// Keeps the supervisor's own exit back until this child's has been sent.
    above: Option<Hold>,
    tasks: Vec<AbortHandle>,
    closed: bool,
}

/// What a supervisor knows about an incarnation before it exists.
pub(crate) struct Birth {
    pub(crate) tree: Arc<Shared>,
    pub(crate) path: Arc<str>,
    pub(crate) kind: &'static str,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) restarts: u64,
    pub(crate) last_exit: Option<Arc<Exit>>,
    pub(crate) slot: u32,
    pub(crate) inbox: UnboundedSender<Message>,
    pub(crate) above: Option<Hold>,
    pub(crate) chaos: Option<Chaos>,
}

impl Life {
    pub(crate) fn new(birth: Birth) -> Arc<Life> {
        Arc::new(Life {
            incarnation: Incarnation::new(birth.tree.next_incarnation(), Arc::downgrade(&birth.tree)),
            tree: birth.tree,
            path: birth.path,
            kind: birth.kind,
            heartbeat: birth.heartbeat,
            restarts: birth.restarts,
            last_exit: birth.last_exit,
            slot: birth.slot,
            inbox: birth.inbox,
            flags: AtomicU8::new(0),
            stop: Notify::new(),
            chaos: AtomicU8::new(birth.chaos.map_or(CALM, Chaos::number)),
            waker: AtomicWaker::new(),
            beat: AtomicU64::new(0),
            suspended: AtomicU64::new(0),
            watched_until: AtomicU64::new(0),
            span: AtomicU64::new(0),
            holders: AtomicUsize::new(0),
            end: Mutex::new(End {
                outcome: None,
                above: birth.above,
                tasks: Vec::new(),
                closed: false,
            }),
        })
    }

    pub(crate) fn number(&self) -> u64 {
        self.incarnation.number()
    }

    /// The span in which it runs, if somebody collects them.
    pub(crate) fn span(&self) -> Option<tracing::Id> {
        let id = std::num::NonZeroU64::new(self.span.load(Ordering::Relaxed))?;
        Some(tracing::Id::from_non_zero_u64(id))
    }

    fn raise(&self, flag: u8) -> bool {
        self.flags.fetch_or(flag, Ordering::AcqRel) & flag == 0
    }

    fn has(&self, flag: u8) -> bool {
        self.flags.load(Ordering::Acquire) & flag != 0
    }

    /// Asks the task to end. What it does about it is its own affair.
    pub(crate) fn ask_to_stop(&self) {
        if self.raise(STOPPING) {
            self.stop.notify_waiters();
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.has(STOPPING)
    }

    pub(crate) async fn stopping(&self) {
        // Registered before the flag is read: a request between the two is not lost.
        let asked = self.stop.notified();
        if !self.is_stopping() {
            asked.await;
        }
    }

    pub(crate) fn ready(&self, value: Option<crate::orders::Value>) {
        if self.raise(READY) {
            self.beat();
            // A closed inbox means that the supervisor is gone and has aborted us.
            let _ = self.inbox.send(Message::Ready {
                slot: self.slot,
                number: self.number(),
                value,
            });
        }
    }

    pub(crate) fn ignore(&self) {
        self.raise(IGNORED);
    }

    pub(crate) fn is_ignored(&self) -> bool {
        self.has(IGNORED)
    }

    /// The ending supervisor knows that something below it does not end.
    pub(crate) fn leaves_stuck(&self) {
        self.raise(LEAVES_STUCK);
    }

    pub(crate) fn beat(&self) {
        self.beat.store(self.tree.now_ms(), Ordering::Relaxed);
    }

    /// Silence is allowed until this instant, in milliseconds since the tree's start; returns what was said before.
    pub(crate) fn suspend(&self, until: u64) -> u64 {
        self.suspended.fetch_max(until, Ordering::Relaxed)
    }

    /// Takes a suspension back, unless a longer one was declared meanwhile.
    pub(crate) fn unsuspend(&self, until: u64, former: u64) {
        let _ = self
            .suspended
            .compare_exchange(until, former, Ordering::Relaxed, Ordering::Relaxed);
        self.beat();
    }

    /// When it was last heard of, in milliseconds since the tree's start. A declared suspension counts as being heard.
    pub(crate) fn heard(&self) -> u64 {
        self.beat
            .load(Ordering::Relaxed)
            .max(self.suspended.load(Ordering::Relaxed))
    }

    /// The watchdog looks at `due` next; returns when it would have.
    pub(crate) fn watched_until(&self, due: u64) -> u64 {
        self.watched_until.swap(due, Ordering::Relaxed)
    }

    /// The same, unless somebody else has said otherwise since `now`: never, or later.
    pub(crate) fn is_watched_until(&self, due: u64, now: u64) -> bool {
        let former = self.watched_until.load(Ordering::Relaxed);
        let stands = former != 0 && former <= now;
        if stands {
            self.watched_until.store(due, Ordering::Relaxed);
        }
        stands
    }

    /// Whether the watchdog is to look at it no more.
    pub(crate) fn is_unwatched(&self) -> bool {
        self.watched_until.load(Ordering::Relaxed) == 0
    }

    /// Tells the supervisor that it is late.
    pub(crate) fn report_silence(&self) {
        let _ = self.inbox.send(Message::Silent {
            slot: self.slot,
            number: self.number(),
        });
    }

    pub(crate) fn trouble(&self, chaos: Chaos) {
        self.chaos.store(chaos.number(), Ordering::Release);
        self.waker.wake();
    }

    /// Panics or stays pending when trouble was ordered.
    fn gate(&self, task: &TaskContext<'_>) -> Poll<()> {
        self.waker.register(task.waker());
        match self.chaos.load(Ordering::Acquire) {
            CALM => Poll::Ready(()),
            CRASH => panic!("crashed on request"),
            SPIN => {
                self.spin();
                Poll::Pending
            }
            _ => Poll::Pending,
        }
    }

    /// What no abort can end: a child that does not yield. It ends by itself, or a test could never go on.
    fn spin(&self) {
        while !self.incarnation.is_revoked() {
            std::hint::spin_loop();
        }
        let since = self.tree.now_ms();
        while self.tree.now_ms() < since + millis(SPINS_ON) {
            std::hint::spin_loop();
        }
    }

    pub(crate) fn hold(self: &Arc<Self>) -> Hold {
        self.holders.fetch_add(1, Ordering::Relaxed);
        Hold(self.clone())
    }

    fn end(&self) -> std::sync::MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the child will be done.
    pub(crate) fn done_because(&self, term: Arc<str>) {
        self.end().outcome = Some(Outcome::Term(term));
    }

    /// How the task ended, while its exit is kept back by something else.
    pub(crate) fn take_outcome(&self) -> Option<Outcome> {
        self.end().outcome.take()
    }

    /// Runs `future` as a part of this child. See [`Context::spawn`].
    pub(crate) fn spawn<F>(self: &Arc<Self>, on: &Handle, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let mut end = self.end();
        if end.closed {
            drop(end);
            let never = put(on, pending());
            never.abort();
            return never;
        }
        let future = CURRENT.scope(self.clone(), future);
        let task = put(on, owned((future, self.hold())).in_current_span());
        if end.tasks.len() == end.tasks.capacity() {
            end.tasks.retain(|task| !task.is_finished());
        }
        end.tasks.push(task.abort_handle());
        task
    }
}

/// Makes a task: the only place that does.
#[expect(
    clippy::disallowed_methods,
    reason = "every task of a tree comes from here, with a tenure or a hold in it"
)]
fn put<F>(on: &Handle, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    on.spawn(future)
}

tokio::task_local! {
    /// The incarnation that the running task is, or is a part of.
    static CURRENT: Arc<Life>;
}

/// The incarnation that asks, if a child of a tree does.
pub(crate) fn current() -> Option<Arc<Life>> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Starts the task of one incarnation.
pub(crate) fn begin<M, F>(on: &Handle, life: &Arc<Life>, make: M) -> AbortHandle
where
    M: FnOnce(Context) -> F + Send + 'static,
    F: Future + Send + 'static,
    F::Output: Into<Outcome> + Send,
{
    put(on, incarnation((make, Tenure(life.hold())))).abort_handle()
}

/// A part of the child. One tuple, so that a task dropped before its first poll loses the future before the hold.
async fn owned<F: Future>(parts: (F, Hold)) -> F::Output {
    let (future, hold) = parts;
    let output = match AssertUnwindSafe(future).catch_unwind().await {
        Ok(output) => output,
        Err(payload) => {
            let panic = caught(&*payload);
            let place = panic.location.as_deref();
            tracing::warn!(
                path = &*hold.0.path,
                place,
                message = panic.message,
                "a sub-task panicked"
            );
            std::panic::resume_unwind(payload)
        }
    };
    drop(hold);
    output
}

/// Keeps the exit of an incarnation from being reported.
pub(crate) struct Hold(Arc<Life>);

impl Clone for Hold {
    fn clone(&self) -> Hold {
        self.0.hold()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let life = &self.0;
        if life.holders.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let (outcome, above) = {
            let mut end = life.end();
            (end.outcome.take().unwrap_or(Outcome::Killed), end.above.take())
        };
        life.tree.unstick(life.number());
        let _ = life.inbox.send(Message::Exit {
            slot: life.slot,
            number: life.number(),
            outcome,
        });
        drop(above);
    }
}

/// The task's own hold. When it goes, by end or by abort, the child is over: revoked, its sub-tasks aborted.
struct Tenure(Hold);

impl Tenure {
    fn life(&self) -> &Arc<Life> {
        &self.0.0
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        let life = self.life();
        life.incarnation.revoke();
        let tasks = {
            let mut end = life.end();
            end.closed = true;
            std::mem::take(&mut end.tasks)
        };
        for task in tasks {
            task.abort();
        }
        if life.holders.load(Ordering::Acquire) > 1 {
            let hopeless = life.has(LEAVES_STUCK);
            let _ = life.inbox.send(Message::Draining {
                slot: life.slot,
                number: life.number(),
                hopeless,
            });
        }
    }
}

/// Runs `work` on a blocking thread, as a part of the child that no abort takes away. How it ended is told even when the task
/// that waits here was aborted.
pub(crate) async fn on_its_own_thread<W>(ctx: Context, work: Arc<W>) -> Outcome
where
    W: Fn(&Context) -> Result<Done, Crash> + Send + Sync + 'static,
{
    let life = ctx.life().clone();
    let (part, hold) = (life.clone(), life.hold());
    let thread = tokio::task::spawn_blocking(move || {
        let worked = AssertUnwindSafe(|| CURRENT.sync_scope(part.clone(), || work(&ctx)));
        let outcome = match std::panic::catch_unwind(worked) {
            Ok(result) => result.into(),
            Err(payload) => Outcome::Panic(caught(&*payload)),
        };
        // What it had captured goes before the end is told.
        drop((work, ctx));
        let mut end = part.end();
        // Perhaps it has said what for.
        let said = end.outcome.take().filter(|_| matches!(outcome, Outcome::Done));
        end.outcome = Some(said.unwrap_or(outcome));
        drop(end);
        drop(hold);
    });
    match thread.await {
        Ok(()) => life.take_outcome().unwrap_or(Outcome::Done),
        Err(_) => Outcome::Killed, // its runtime is being shut down
    }
}

/// The task of one incarnation. `make` is called within it, so that its panic is the child's. One tuple for the same
/// reason as in [`owned`].
async fn incarnation<M, F>(parts: (M, Tenure))
where
    M: FnOnce(Context) -> F,
    F: Future,
    F::Output: Into<Outcome>,
{
    let (make, tenure) = parts;
    let life = tenure.life().clone();
    let span = tracing::info_span!(
        parent: None,
        "child",
        kind = life.kind,
        path = &*life.path,
        incarnation = life.number(),
        restart_count = life.restarts
    );
    if let Some(former) = life.last_exit.as_ref().and_then(|exit| exit.span.as_ref()) {
        span.follows_from(former);
    }
    if let Some(id) = span.id() {
        life.span.store(id.into_u64(), Ordering::Relaxed);
    }
    let body = async {
        let mut body = pin!(async { make(Context::new(life.clone())).await });
        poll_fn(|task| match life.gate(task) {
            Poll::Ready(()) => CURRENT.sync_scope(life.clone(), || body.as_mut().poll(task)),
            Poll::Pending => Poll::Pending,
        })
        .await
    };
    let outcome: Outcome = match AssertUnwindSafe(body).catch_unwind().instrument(span).await {
        Ok(output) => match output.into() {
            Outcome::Done if life.has(IGNORED) => Outcome::Ignored,
            // Perhaps it has said what for.
            Outcome::Done => life.take_outcome().unwrap_or(Outcome::Done),
            outcome => outcome,
        },
        Err(payload) => Outcome::Panic(caught(&*payload)),
    };
    life.end().outcome = Some(outcome);
    drop(tenure);
}
