//! The tree from the outside: looking at it, listening to it, and the few things a person may ask of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::board::{Board, Role, Then};
use crate::child::Restart;
use crate::event::{Bus, Events, What};
use crate::handle::{Post, SupervisorRef};
use crate::life::{Chaos, Message};
use crate::orders::Order;
use crate::snapshot::{Snapshot, State};
use crate::strategy::Strategy;
use crate::watchdog::Watchdog;

/// What all nodes of one tree share.
pub(crate) struct Shared {
    epoch: OnceLock<Instant>,
    runtimes: OnceLock<Runtimes>,
    watchdog: OnceLock<Arc<Watchdog>>,
    bus: Bus,
    incarnations: AtomicU64,
    dice: AtomicU64,
    /// Writes of revoked incarnations that were refused.
    refused: AtomicU64,
    /// Incarnations that were aborted and did not end.
    stuck: Mutex<BTreeMap<u64, Arc<str>>>,
    /// A board with the root as its only entry, so that the root is a node like any other.
    pub(crate) roof: Arc<Board>,
}

struct Runtimes {
    supervisors: Handle,
    children: Handle,
}

impl Shared {
    pub(crate) fn new() -> Arc<Shared> {
        Arc::new(Shared {
            epoch: OnceLock::new(),
            runtimes: OnceLock::new(),
            watchdog: OnceLock::new(),
            bus: Bus::new(),
            incarnations: AtomicU64::new(0),
            dice: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            stuck: Mutex::new(BTreeMap::new()),
            roof: Board::new(Role::Supervisor, Strategy::OneForOne),
        })
    }

    /// The tree begins. `seed` decides all jitter.
    pub(crate) fn begin(&self, supervisors: Handle, children: Handle, seed: u64) {
        self.epoch.get_or_init(Instant::now);
        self.dice.store(seed, Ordering::Relaxed);
        self.runtimes.get_or_init(|| Runtimes {
            supervisors,
            children,
        });
    }

    fn runtimes(&self) -> &Runtimes {
        self.runtimes.get().expect("no incarnation exists before `begin`")
    }

    pub(crate) fn supervisors(&self) -> &Handle {
        &self.runtimes().supervisors
    }

    pub(crate) fn children(&self) -> &Handle {
        &self.runtimes().children
    }

    pub(crate) fn next_incarnation(&self) -> u64 {
        self.incarnations.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A number in `[0, 1)` (splitmix64): nothing here must be hard to guess, only spread.
    pub(crate) fn roll(&self) -> f64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.dice.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// How long after the tree's start an instant lies.
    pub(crate) fn age_at(&self, instant: Instant) -> Duration {
        self.epoch
            .get()
            .map_or(Duration::ZERO, |epoch| instant.saturating_duration_since(*epoch))
    }

    pub(crate) fn now_ms(&self) -> u64 {
        millis(self.age_at(Instant::now()))
    }

    /// The instant `ms` milliseconds after the tree's start.
    pub(crate) fn instant(&self, ms: u64) -> Instant {
        let epoch = self.epoch.get().copied().unwrap_or_else(Instant::now);
        // What does not fit lies beyond every life of a process.
        epoch
            .checked_add(Duration::from_millis(ms))
            .unwrap_or(epoch + Duration::from_secs(3_153_600_000))
    }

    /// When to beat next, at most half of the heartbeat from now. All who have the same heartbeat beat at the same instants, counted
    /// from the tree's start: a process in which nothing happens is woken once for all of them.
    pub(crate) fn next_beat(&self, heartbeat: Duration) -> Instant {
        let half = heartbeat / 2;
        match self.now_ms().checked_div(millis(half)) {
            Some(beats) => self.instant((beats + 1).saturating_mul(millis(half))),
            None => Instant::now() + half,
        }
    }

    pub(crate) fn emit(&self, path: &Arc<str>, incarnation: Option<u64>, what: impl FnOnce() -> What) {
        self.bus.send(|| self.now_ms(), path, incarnation, what);
    }

    pub(crate) fn seq(&self) -> u64 {
        self.bus.seq()
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn all_refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Heartbeats are checked by this from now on.
    pub(crate) fn watch_by(&self, watchdog: Arc<Watchdog>) {
        self.watchdog.get_or_init(|| watchdog);
    }

    pub(crate) fn watchdog(&self) -> Option<&Arc<Watchdog>> {
        self.watchdog.get()
    }

    pub(crate) fn over(&self) {
        if let Some(watchdog) = self.watchdog.get() {
            watchdog.end();
        }
        self.bus.close();
    }

    fn stuck(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<str>>> {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stick(&self, number: u64, path: Arc<str>) {
        self.stuck().insert(number, path);
    }

    pub(crate) fn unstick(&self, number: u64) {
        self.stuck().remove(&number);
    }

    pub(crate) fn all_stuck(&self) -> Vec<String> {
        self.stuck().values().map(ToString::to_string).collect()
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

/// A view of a tree, from before its start until after its end. Cheap to clone; may be given to a child of the tree itself.
///
/// Nothing here waits for a child or for a supervisor, so everything works during starts, stops and hangs.
#[derive(Clone)]
pub struct Tree(Arc<Shared>);

/// Why a tree did not do what it was asked to. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// No node has this path, and none that could get it has its parent's.
    #[error("there is no child `{path}`")]
    NotFound {
        /// What was asked for.
        path: String,
    },
    /// Only a parked child can be resumed. One that is stuck must end first.
    #[error("`{path}` is not parked, it is {state}")]
    NotParked {
        /// What was asked for.
        path: String,
        /// What it is instead.
        state: State,
    },
    /// It was aborted and does not end; nothing can be started in its place.
    #[error("`{path}` is stuck: it was aborted and does not end")]
    Stuck {
        /// What was asked for.
        path: String,
    },
    /// It is parked already.
    #[error("`{path}` is parked already")]
    Parked {
        /// What was asked for.
        path: String,
    },
    /// Its siblings rest on it, so it may not stay down alone.
    #[error("`{path}` cannot be parked: the children beside it rest on it")]
    CarriesOthers {
        /// What was asked for.
        path: String,
    },
    /// It has no restart budget of its own: its supervisor counts on it, so it may be started again and not stay down.
    #[error("`{path}` cannot be parked: its supervisor counts on it")]
    Relied {
        /// What was asked for.
        path: String,
    },
    /// A temporary child is never started again.
    #[error("`{path}` is temporary: once it is stopped nothing starts it again")]
    Temporary {
        /// What was asked for.
        path: String,
    },
    /// Its supervisor does not run: it is being started again itself, or the tree has ended.
    #[error("the supervisor of `{path}` does not run at this moment")]
    Unsupervised {
        /// What was asked for.
        path: String,
    },
    /// The root is nobody's child: nobody would start it again.
    #[error("`{path}` is the root, which nothing would start again")]
    Root {
        /// What was asked for.
        path: String,
    },
}

/// Where a path leads.
enum Place {
    Child {
        board: Arc<Board>,
        slot: u32,
    },
    /// The parent is known, the child is not.
    Under {
        board: Arc<Board>,
        id: Arc<str>,
    },
    Nowhere,
}

impl Tree {
    pub(crate) fn new(shared: Arc<Shared>) -> Tree {
        Tree(shared)
    }

    /// The tree as it stands. Each supervisor's part is consistent in itself; parts of different supervisors may be moments
    /// apart. Holds every event up to [`Snapshot::seq`] and perhaps some later ones.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.0)
    }

    /// All events from now on.
    pub fn events(&self) -> Events {
        self.0.bus.subscribe()
    }

    /// Tries a child again now: a parked one with a fresh budget, one in back-off (under a budget of its own) without
    /// waiting for the rest of its pause. Answers when the order stands in its supervisor's queue.
    ///
    /// # Errors
    ///
    /// [`TreeError::NotFound`], [`TreeError::NotParked`] when it is anything else, or [`TreeError::Unsupervised`].
    pub fn resume(&self, path: &str) -> Result<(), TreeError> {
        let Place::Child { board, slot } = self.find(path) else {
            return Err(TreeError::NotFound {
                path: path.to_owned(),
            });
        };
        let mut book = board.book();
        let state = book.get(slot).map(|entry| (entry.state, entry.window.is_some()));
        match state {
            Some((State::Parked, _) | (State::Backoff, true)) => {
                let sent = book
                    .inbox
                    .as_ref()
                    .is_some_and(|inbox| inbox.send(Message::Resume { slot }).is_ok());
                if sent {
                    Ok(())
                } else {
                    Err(TreeError::Unsupervised {
                        path: path.to_owned(),
                    })
                }
            }
            Some((state, _)) => Err(TreeError::NotParked {
                path: path.to_owned(),
                state,
            }),
            None => Err(TreeError::NotFound {
                path: path.to_owned(),
            }),
        }
    }

    /// Makes the running incarnation of a child panic at its next poll. If it is not running right now, its next incarnation
    /// will; a roster takes orders for children it does not have yet.
    ///
    /// # Errors
    ///
    /// [`TreeError::NotFound`], or [`TreeError::Root`].
    pub fn crash(&self, path: &str) -> Result<(), TreeError> {
        self.trouble(path, Chaos::Crash)
    }

    /// Makes the running incarnation of a child hang: it is never polled again. If it is not running right now, its next
    /// incarnation will not be polled at all; a roster takes orders for children it does not have yet.
    ///
    /// # Errors
    ///
    /// [`TreeError::NotFound`], or [`TreeError::Root`].
    pub fn hang(&self, path: &str) -> Result<(), TreeError> {
        self.trouble(path, Chaos::Hang)
    }

    /// The supervisor at `path`, for orders. `None` when there is none, or its children are added in another way (a
    /// [`crate::Dynamic`] has a handle of its own, a [`crate::Roster`]'s are those of its set).
    pub fn supervisor(&self, path: &str) -> Option<SupervisorRef> {
        let Place::Child { board, slot } = self.find(path) else {
            return None;
        };
        let mut book = board.book();
        let traits = book.get(slot)?.traits.clone();
        let inner = traits.board.clone().filter(|_| traits.role == Role::Supervisor)?;
        Some(SupervisorRef::new(Post::to(inner, path.into())))
    }

    /// The supervisor of the child at `path`.
    pub(crate) fn supervisor_of(&self, path: &str) -> Option<SupervisorRef> {
        let Place::Child { board, slot } = self.find(path) else {
            return None;
        };
        let above = {
            let mut book = board.book();
            let id = book.get(slot)?.traits.id.clone();
            (book.role == Role::Supervisor)
                .then(|| path.strip_suffix(&*id).map(|p| p.trim_end_matches('/').into()))?
        };
        Some(SupervisorRef::new(Post::to(board, above?)))
    }

    /// Stops a child in good order and starts it again, whatever it was up to; under a group strategy with all that go down
    /// with it. A person's deed: no crash, it counts nowhere. A parked child gets a fresh budget. One that is ending already, by
    /// itself or because it hung, is started again, or not, for that. Answers when the order stands in its supervisor's queue.
    ///
    /// # Errors
    ///
    /// [`TreeError::NotFound`], [`TreeError::Root`], [`TreeError::Stuck`], [`TreeError::Temporary`], [`TreeError::Unsupervised`].
    pub fn restart(&self, path: &str) -> Result<(), TreeError> {
        self.stop_and(path, Then::StartAgain)
    }

    /// Stops a child in good order and keeps it down, parked, until it is resumed, however it ends; one that is stuck is parked
    /// when it does. Answers when the order stands in its supervisor's queue.
    ///
    /// # Errors
    ///
    /// [`TreeError::NotFound`], [`TreeError::Root`], [`TreeError::Parked`] when it is already, [`TreeError::CarriesOthers`] where
    /// its siblings rest on it, [`TreeError::Relied`] where it has no budget of its own, [`TreeError::Temporary`],
    /// [`TreeError::Unsupervised`].
    pub fn park(&self, path: &str) -> Result<(), TreeError> {
        self.stop_and(path, Then::Park)
    }

    fn stop_and(&self, path: &str, then: Then) -> Result<(), TreeError> {
        let path_ = || path.to_owned();
        let Place::Child { board, slot } = self.find(path) else {
            return Err(TreeError::NotFound { path: path_() });
        };
        if Arc::ptr_eq(&board, &self.0.roof) {
            return Err(TreeError::Root { path: path_() });
        }
        let mut book = board.book();
        let strategy = book.strategy;
        let Some(entry) = book.get(slot) else {
            return Err(TreeError::NotFound { path: path_() });
        };
        match (entry.state, then) {
            _ if entry.traits.restart == Restart::Temporary => {
                return Err(TreeError::Temporary { path: path_() });
            }
            (State::Stuck, Then::StartAgain) => return Err(TreeError::Stuck { path: path_() }),
            (State::Parked, Then::Park) => return Err(TreeError::Parked { path: path_() }),
            (_, Then::Park) if strategy != Strategy::OneForOne => {
                return Err(TreeError::CarriesOthers { path: path_() });
            }
            (_, Then::Park) if entry.window.is_none() || entry.traits.escalates => {
                return Err(TreeError::Relied { path: path_() });
            }
            _ => {}
        }
        let id = entry.traits.id.clone();
        let order = Message::Order(Order::Stop { id, then });
        match &book.inbox {
            Some(inbox) if inbox.send(order).is_ok() => Ok(()),
            _ => Err(TreeError::Unsupervised { path: path_() }),
        }
    }

    /// Makes the running incarnation of a child keep its thread: it does not yield until three seconds after it was given up, so
    /// that it is found stuck. As [`Tree::hang`] else. Its heartbeat is what finds it; without one it spins until it is stopped.
    ///
    /// # Errors
    ///
    /// [`TreeError::NotFound`], or [`TreeError::Root`].
    pub fn spin(&self, path: &str) -> Result<(), TreeError> {
        self.trouble(path, Chaos::Spin)
    }

    fn trouble(&self, path: &str, chaos: Chaos) -> Result<(), TreeError> {
        match self.find(path) {
            Place::Child { board, .. } if Arc::ptr_eq(&board, &self.0.roof) => Err(TreeError::Root {
                path: path.to_owned(),
            }),
            Place::Child { board, slot } => {
                let mut book = board.book();
                let Some(entry) = book.get(slot) else {
                    return Err(TreeError::NotFound {
                        path: path.to_owned(),
                    });
                };
                match (&entry.life, entry.state) {
                    (Some(life), State::Starting | State::Running) => life.clone().trouble(chaos),
                    _ => {
                        let id = entry.traits.id.clone();
                        book.arm(id, chaos);
                    }
                }
                Ok(())
            }
            Place::Under { board, id } => {
                board.book().arm(id, chaos);
                Ok(())
            }
            Place::Nowhere => Err(TreeError::NotFound {
                path: path.to_owned(),
            }),
        }
    }

    /// Follows a path down. Ids may hold slashes themselves, so the longest id that fits is taken at each level.
    fn find(&self, path: &str) -> Place {
        let mut board = self.0.roof.clone();
        let mut rest = path;
        loop {
            let below = {
                let book = board.book();
                let mut below: Option<(usize, Arc<Board>)> = None;
                for (slot, entry) in book.entries.iter().enumerate() {
                    let Some(entry) = entry else { continue };
                    let id = &*entry.traits.id;
                    if id == rest {
                        let slot = u32::try_from(slot).expect("slots are counted in 32 bits");
                        return Place::Child {
                            board: board.clone(),
                            slot,
                        };
                    }
                    let Some(inner) = &entry.traits.board else {
                        continue;
                    };
                    let inside = rest.strip_prefix(id).is_some_and(|rest| rest.starts_with('/'));
                    if inside && below.as_ref().is_none_or(|(longest, _)| *longest < id.len()) {
                        below = Some((id.len(), inner.clone()));
                    }
                }
                if below.is_none() && book.role.is_unordered() {
                    return Place::Under {
                        board: board.clone(),
                        id: rest.into(),
                    };
                }
                below
            };
            let Some((len, inner)) = below else {
                return Place::Nowhere;
            };
            rest = &rest[len + 1..];
            board = inner;
        }
    }
}
