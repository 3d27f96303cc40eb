//! A supervisor with one child per key of a set that is read from the facts.
//!
//! The set is read at the roster's start, whenever it has changed, and every period besides, by a task of its own: a read that
//! hangs or fails leaves the children alone and the roster answering. What is read is compared with who is there. A new key is
//! started, a key that is gone is terminated, all others are left alone.

use std::collections::HashSet;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::AbortHandle;

use crate::board::{Board, Entry, Role};
use crate::budget::{Backoff, Budget};
use crate::child::{ChildSpec, Launch};
use crate::context::Context;
use crate::crew::{ABORT_GRACE, Begun, Crew, Fallen, Happening, How, Ruling};
use crate::event::What;
use crate::life::{Life, Message, begin};
use crate::reason::{Crash, Outcome, Reason, caught};
use crate::snapshot::State;
use crate::strategy::Strategy;

/// The set a roster follows.
pub trait Keys: Send + Sync + 'static {
    /// Reads the whole set. Order and repetition mean nothing. Given up after 30 s; may be dropped at any await.
    ///
    /// # Errors
    ///
    /// The set could not be read. The children are left alone and the read is tried again, each time a little later.
    fn keys(&self) -> impl Future<Output = Result<Vec<String>, Crash>> + Send;

    /// Resolves when the set may have changed since it was last read; only "look again", no data. Must be cancel safe: a change
    /// while nobody waits is answered by the next call.
    fn changed(&self) -> impl Future<Output = ()> + Send;
}

/// How long one read may take. The facts are on this machine; what takes longer hangs.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// Pauses between reads that fail, from the first to the longest.
const READ_AGAIN: Backoff = Backoff {
    immediate: 0,
    ..Backoff::between(Duration::from_millis(100), Duration::from_secs(10))
};

/// How often the set is read although nobody said that it changed: a lost wake-up costs this much time and no truth.
const PERIOD: Duration = Duration::from_secs(5);

/// One child per key, described. Give it to [`crate::Supervisor::child`].
///
/// The roster never gives up: each child has its own budget and back-off (see [`Budget::parking`]) and is parked past it. It is
/// ready at once, before the first read, so that a set that cannot be read holds up nobody.
///
/// A child that has ended for good (a transient one that was done, a temporary one, one that had nothing to do) is started
/// again when its key was gone from the set and came back, or when the set still holds the key in a read that began after
/// [`Keys::changed`] had fired after the child's end. A periodic read alone does not wake it.
pub struct Roster {
    id: Arc<str>,
    period: Duration,
    backoff: Option<Backoff>,
    make: Arc<Make>,
    keys: Arc<dyn Reading>,
}

type Make = dyn Fn(String) -> ChildSpec + Send + Sync;
type Reader = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A [`Keys`] whose type is forgotten: makes the task that reads it.
trait Reading: Send + Sync {
    fn read(self: Arc<Self>, to: Reads) -> Reader;
}

struct Set<K>(K);

impl<K: Keys> Reading for Set<K> {
    fn read(self: Arc<Self>, to: Reads) -> Reader {
        Box::pin(async move { read_on(&self.0, to).await })
    }
}

impl Roster {
    /// A roster over the set `keys`, in which `make` says what the child of a key is. The child's id is its key, its kind is
    /// `kind` unless `make` names another.
    pub fn new<K: Keys>(
        id: impl Into<Arc<str>>,
        kind: &'static str,
        keys: K,
        make: impl Fn(String) -> ChildSpec + Send + Sync + 'static,
    ) -> Roster {
        let make = move |key: String| {
            let spec = make(key);
            if spec.traits.kind == "worker" {
                spec.kind(kind)
            } else {
                spec
            }
        };
        Roster {
            id: id.into(),
            period: PERIOD,
            backoff: None,
            make: Arc::new(make),
            keys: Arc::new(Set(keys)),
        }
    }

    /// How often the set is read although nobody said that it changed; 5 s unless said.
    #[must_use]
    pub fn period(mut self, period: Duration) -> Roster {
        self.period = period;
        self
    }

    /// As somebody's child: pauses between the roster's own restarts.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Roster {
        self.backoff = Some(backoff);
        self
    }
}

impl From<Roster> for ChildSpec {
    fn from(roster: Roster) -> ChildSpec {
        let board = Board::new(Role::Roster, Strategy::OneForOne);
        let (id, backoff) = (roster.id.clone(), roster.backoff);
        let start = Arc::new(Keeper(Arc::new(roster), board.clone()));
        let mut spec = ChildSpec::supervisor(id, "roster", Role::Roster, board, start, None);
        spec.traits.backoff = backoff;
        spec
    }
}

/// Makes the incarnations of a roster, on the supervisors' runtime.
struct Keeper(Arc<Roster>, Arc<Board>);

impl Launch for Keeper {
    fn launch(self: Arc<Self>, life: &Arc<Life>) -> AbortHandle {
        let (roster, board) = (self.0.clone(), self.1.clone());
        let make = move |ctx: Context| keep(roster, board, ctx);
        begin(life.tree.supervisors(), life, make)
    }
}

/// The set as it was read.
#[derive(Debug)]
pub(crate) struct Read {
    keys: HashSet<String>,
    /// How many wake-ups there had been when the read began.
    wakes: u64,
}

/// Where the reader puts what it read.
struct Reads {
    ctx: Context,
    period: Duration,
    wakes: Arc<AtomicU64>,
    to: tokio::sync::mpsc::UnboundedSender<Message>,
}

async fn read_on<K: Keys>(set: &K, reads: Reads) {
    let mut failures = 0;
    loop {
        let wakes = reads.wakes.load(Ordering::Acquire);
        let reading = AssertUnwindSafe(set.keys()).catch_unwind();
        let failure = match tokio::time::timeout(READ_LIMIT, reading).await {
            Ok(Ok(Ok(keys))) => {
                failures = 0;
                let keys = keys.into_iter().collect();
                let _ = reads.to.send(Message::Keys(Read { keys, wakes }));
                None
            }
            Ok(Ok(Err(crash))) => Some(Reason::Error(Arc::new(crash))),
            Ok(Err(payload)) => Some(Reason::Panic(Arc::new(caught(&*payload)))),
            Err(_) => Some(Reason::Hung {
                silent_for: READ_LIMIT,
            }),
        };
        match failure {
            None => {
                tokio::select! {
                    () = set.changed() => {
                        reads.wakes.fetch_add(1, Ordering::AcqRel);
                    }
                    () = tokio::time::sleep(reads.period) => {}
                }
            }
            Some(reason) => {
                let pause = READ_AGAIN.pause(failures, reads.ctx.life().tree.roll());
                failures = failures.saturating_add(1);
                tracing::warn!(
                    path = reads.ctx.path(),
                    error = &reason as &dyn std::error::Error,
                    failures,
                    ?pause,
                    "the set cannot be read, its children are left alone"
                );
                tokio::time::sleep(pause).await;
            }
        }
    }
}

struct Keep {
    crew: Crew,
    ctx: Context,
    roster: Arc<Roster>,
    wakes: Arc<AtomicU64>,
    /// The set as it was last read.
    wanted: HashSet<String>,
    ending: bool,
}

/// Runs one incarnation of a roster until it is stopped.
async fn keep(roster: Arc<Roster>, board: Arc<Board>, ctx: Context) -> Outcome {
    let crew = Crew::open(&ctx, board, |book| book.fill(Vec::new()));
    let wakes = Arc::new(AtomicU64::new(0));
    let reads = Reads {
        ctx: ctx.clone(),
        period: roster.period,
        wakes: wakes.clone(),
        to: crew.sender().clone(),
    };
    let reader = ctx
        .life()
        .spawn(ctx.life().tree.children(), roster.keys.clone().read(reads));
    let mut keep = Keep {
        crew,
        ctx,
        roster,
        wakes,
        wanted: HashSet::new(),
        ending: false,
    };
    keep.ctx.ready();
    keep.emit(|| What::SupervisorStarted);
    loop {
        match keep.crew.next().await {
            Happening::Stop => {
                reader.abort();
                keep.end();
            }
            happening => keep.answer(happening),
        }
        if keep.ending && keep.crew.alive() == 0 {
            break;
        }
    }
    if keep.crew.has_stuck() {
        keep.crew.life.leaves_stuck();
    }
    keep.emit(|| What::SupervisorStopped);
    Outcome::Done
}

impl Keep {
    /// All children at once, in no order: they do not rest on one another.
    fn end(&mut self) {
        self.ending = true;
        for slot in self.slots(|_| true) {
            self.crew.stop(slot);
        }
    }

    fn answer(&mut self, happening: Happening) {
        match happening {
            Happening::Stop | Happening::Ready(_) => {}
            _ if self.ending => {}
            Happening::Fallen(fallen) => self.fallen(&fallen),
            Happening::Stuck { slot, reason } => {
                if !self.is_doomed(slot) && self.crew.comes_back(slot) {
                    self.restart(slot, &reason, Duration::ZERO, ABORT_GRACE);
                }
            }
            Happening::Retry(slot) => self.relaunch(slot),
            Happening::Resume(slot) => {
                self.crew.pardon(slot);
                self.relaunch(slot);
            }
            Happening::Keys(read) => self.reconcile(read),
        }
    }

    fn fallen(&mut self, fallen: &Fallen) {
        let slot = fallen.slot;
        if self.is_doomed(slot) {
            let key = self.key(slot);
            self.crew.forget(slot);
            if let Some(key) = key.filter(|key| self.wanted.contains(&**key)) {
                self.add(&key);
            }
        } else if fallen.wanted {
            self.restart(slot, &fallen.reason, fallen.uptime, Duration::ZERO);
        } else if fallen.how != How::Late || !self.crew.waits(slot) {
            // It stays to be seen, and so that the same set does not start it again.
            if let Some(entry) = self.crew.board().book().get(slot) {
                entry.ended_at_wake = self.wakes.load(Ordering::Acquire);
            }
        }
    }

    fn restart(&mut self, slot: u32, reason: &Reason, uptime: Duration, least: Duration) {
        if self.crew.rule(slot, reason, uptime, least) == Ruling::Now {
            self.relaunch(slot);
        }
    }

    fn relaunch(&mut self, slot: u32) {
        if self.crew.launch(slot) == Begun::StillThere {
            self.restart(slot, &Reason::Stuck, Duration::ZERO, ABORT_GRACE);
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
            if self.crew.board().book().slot_of(key).is_none() {
                self.add(key);
            }
        }
        self.wanted = read.keys;
    }

    fn add(&mut self, key: &str) {
        let made = catch_unwind(AssertUnwindSafe(|| (self.roster.make)(key.to_owned())));
        let budget = Budget::parking();
        let named = made.map(|mut spec| {
            spec.traits.id = key.into();
            spec
        });
        let spec = match named {
            Ok(spec) => match spec.fault_under(Strategy::OneForOne, budget) {
                None => spec,
                Some(fault) => cannot(key, move || Crash::from(fault.clone())),
            },
            Err(payload) => {
                let reason = Reason::Panic(Arc::new(caught(&*payload)));
                cannot(key, move || Crash::from(reason.clone()))
            }
        };
        let entry = Entry::new(&spec.under(budget), self.ctx.path());
        let path = entry.path.clone();
        let slot = self.crew.board().book().insert(entry);
        self.crew.tree().emit(&path, None, || What::ChildAdded);
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

    fn key(&self, slot: u32) -> Option<Arc<str>> {
        self.crew
            .board()
            .book()
            .get(slot)
            .map(|entry| entry.traits.id.clone())
    }

    fn emit(&self, what: impl FnOnce() -> What) {
        let life = &self.crew.life;
        life.tree.emit(&life.path, Some(life.number()), what);
    }
}

/// Stands in for a child that cannot even be described: fails to start, so that it is seen, and parked, like any other.
fn cannot(key: &str, why: impl Fn() -> Crash + Send + Sync + 'static) -> ChildSpec {
    ChildSpec::new(key, move |_| {
        let crash = why();
        async move { Err(crash) }
    })
}
