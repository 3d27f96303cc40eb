//! A supervisor with one child per key of a set that is read from the facts: the loop is `pool`'s.
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
use tokio::sync::mpsc::UnboundedSender;

use crate::board::{Board, Role};
use crate::budget::{Backoff, Budget};
use crate::child::ChildSpec;
use crate::context::Context;
use crate::life::Message;
use crate::pool::{Pool, Source};
use crate::reason::{Crash, Reason, caught};
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
pub(crate) type Reader = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A [`Keys`] whose type is forgotten: makes the task that reads it.
trait Reading: Send + Sync {
    fn read(self: Arc<Self>, period: Duration, to: Reads) -> Reader;
}

struct Set<K>(K);

impl<K: Keys> Reading for Set<K> {
    fn read(self: Arc<Self>, period: Duration, to: Reads) -> Reader {
        Box::pin(async move { read_on(&self.0, period, to).await })
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
        let (id, backoff) = (roster.id.clone(), roster.backoff);
        let pool = Pool {
            budget: Budget::parking(),
            max_children: None,
            source: Source::Set(roster),
        };
        let mut spec = pool.spec(
            id,
            "roster",
            Role::Roster,
            Board::new(Role::Roster, Strategy::OneForOne),
        );
        spec.traits.backoff = backoff;
        spec
    }
}

/// The set as it was read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) keys: HashSet<String>,
    /// How many wake-ups there had been when the read began.
    pub(crate) wakes: u64,
}

/// Where the reader puts what it read.
pub(crate) struct Reads {
    pub(crate) ctx: Context,
    pub(crate) wakes: Arc<AtomicU64>,
    pub(crate) to: UnboundedSender<Message>,
}

impl Roster {
    /// The child of a key, whatever `make` says or does.
    pub(crate) fn spec(&self, key: &str) -> ChildSpec {
        let mut spec = described(key, || (self.make)(key.to_owned()));
        spec.traits.id = key.into();
        match spec.fault_under(Strategy::OneForOne, Budget::parking()) {
            None => spec,
            Some(fault) => cannot(key, move || Crash::from(fault.clone())),
        }
    }

    /// The task that reads the set.
    pub(crate) fn reader(&self, to: Reads) -> Reader {
        self.keys.clone().read(self.period, to)
    }
}

async fn read_on<K: Keys>(set: &K, period: Duration, reads: Reads) {
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
                    () = tokio::time::sleep(period) => {}
                }
            }
            Some(reason) => cannot_read(&reads.ctx, &reason, &mut failures).await,
        }
    }
}

/// Tells of a read that failed and waits before the next one, each time a little longer.
pub(crate) async fn cannot_read(ctx: &Context, reason: &Reason, failures: &mut u32) {
    let pause = READ_AGAIN.pause(*failures, ctx.life().tree.roll());
    *failures = failures.saturating_add(1);
    tracing::warn!(
        path = ctx.path(),
        error = reason as &dyn std::error::Error,
        failures,
        ?pause,
        "the set cannot be read, its children are left alone"
    );
    tokio::time::sleep(pause).await;
}

/// What `make` says about a child; one that cannot start where it panics.
pub(crate) fn described(key: &str, make: impl FnOnce() -> ChildSpec) -> ChildSpec {
    catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|payload| {
        let reason = Reason::Panic(Arc::new(caught(&*payload)));
        cannot(key, move || Crash::from(reason.clone()))
    })
}

/// Stands in for a child that cannot even be described: fails to start, so that it is seen, and parked, like any other.
fn cannot(key: &str, why: impl Fn() -> Crash + Send + Sync + 'static) -> ChildSpec {
    ChildSpec::new(key, move |_| {
        let crash = why();
        async move { Err(crash) }
    })
}
