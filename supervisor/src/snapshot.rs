//! The tree at one moment, ready to be serialised. All times are milliseconds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use tokio::time::Instant;

use crate::board::{Board, Entry, Role};
use crate::budget::Window;
use crate::child::Restart;
use crate::reason::{Class, Exit, Reason};
use crate::strategy::Strategy;
use crate::tree::{Shared, millis};

/// What a child is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its turn has not come yet.
    NotStarted,
    /// It runs and has not said that it is ready.
    Starting,
    /// It runs and is ready.
    Running,
    /// It is ending: asked to, aborted, or given up.
    Stopping,
    /// It was aborted and does not end.
    Stuck,
    /// It ended and will be started again.
    Backoff,
    /// It is past its own budget and stays down until it is tried again.
    Parked,
    /// It was done, and is not started again.
    Completed,
    /// It had nothing to do.
    Ignored,
    /// It was stopped.
    Terminated,
    /// A supervisor that has spent its restarts, and is not started again.
    GaveUp,
}

impl State {
    /// Whether it runs, or its supervisor means to start it again.
    pub(crate) fn is_live(self) -> bool {
        matches!(
            self,
            State::Starting | State::Running | State::Stopping | State::Backoff | State::Parked
        )
    }

    /// The word used when serialised.
    pub fn as_str(self) -> &'static str {
        match self {
            State::NotStarted => "not_started",
            State::Starting => "starting",
            State::Running => "running",
            State::Stopping => "stopping",
            State::Stuck => "stuck",
            State::Backoff => "backoff",
            State::Parked => "parked",
            State::Completed => "completed",
            State::Ignored => "ignored",
            State::Terminated => "terminated",
            State::GaveUp => "gave_up",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A tree at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Every event up to this number is in it; go on from here.
    pub seq: u64,
    /// When it was taken, counted from the tree's start.
    pub at_ms: u64,
    /// How many writes on behalf of revoked incarnations were refused: see [`crate::Incarnation::refuses`].
    pub refused_writes: u64,
    /// The root.
    pub root: Node,
}

/// One node of the tree.
#[derive(Clone, Debug, Serialize)]
pub struct Node {
    /// The ids from the root down, joined by `/`.
    pub path: Arc<str>,
    /// Its name within its supervisor.
    pub id: Arc<str>,
    /// Worker, supervisor or roster.
    #[serde(rename = "type")]
    pub role: Role,
    /// What kind of child it is, as its specification says.
    pub kind: &'static str,
    /// What its specification says about it besides, for people.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub meta: BTreeMap<&'static str, Arc<str>>,
    /// When it is started again.
    pub restart: Restart,
    /// What it is up to.
    pub state: State,
    /// The incarnation that runs or may still run.
    pub incarnation: Option<u64>,
    /// How often it was started again.
    pub restarts: Restarts,
    /// How the incarnation before ended.
    pub last_exit: Option<LastExit>,
    /// When its last incarnation was started, counted from the tree's start.
    pub started_at_ms: Option<u64>,
    /// How long ago that was.
    pub started_age_ms: Option<u64>,
    /// When it became ready, counted from the tree's start. `None` while it is not.
    pub ready_at_ms: Option<u64>,
    /// How long ago that was.
    pub ready_age_ms: Option<u64>,
    /// Its heartbeat, while it runs and has one.
    pub beat: Option<Beat>,
    /// In how long it is started again, while it waits for that.
    pub retry_in_ms: Option<u64>,
    /// Why it is parked, while it is.
    pub parked: Option<Parked>,
    /// For supervisors: the number of the last event before their children were looked at, which was all in one moment.
    pub seq: Option<u64>,
    /// For supervisors: who goes down with whom.
    pub strategy: Option<Strategy>,
    /// For supervisors that count: the restarts of their children against their limit.
    pub budget: Option<Restarts>,
    /// For supervisors that count, below others that do: how many restarts in a row it takes until the root gives up, since limits
    /// multiply down the levels. `None` where one above never gives up.
    pub attempts: Option<u64>,
    /// For supervisors: their children, in start order; a roster's by key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Node>,
}

/// Restarts, counted.
#[derive(Clone, Debug, Serialize)]
pub struct Restarts {
    /// Since the supervisor that counts them was started.
    pub total: u64,
    /// Those in the window that ends now, if there is a limit.
    pub in_window: Option<u32>,
    /// How many the window may hold.
    pub limit: Option<u32>,
    /// How long the window is.
    pub per_ms: Option<u64>,
}

impl Restarts {
    fn new(total: u64, window: Option<&Window>, now: Instant) -> Restarts {
        Restarts {
            total,
            in_window: window.map(|window| window.used(now)),
            limit: window.map(Window::limit),
            per_ms: window.map(|window| millis(window.per())),
        }
    }
}

/// The end of an incarnation.
#[derive(Clone, Debug, Serialize)]
pub struct LastExit {
    /// Why it ended, down to the root cause.
    pub reason: Reason,
    /// Normal or not.
    pub class: Class,
    /// Which incarnation it was.
    pub incarnation: u64,
    /// When it ended, counted from the tree's start.
    pub at_ms: u64,
    /// How long it had been ready.
    pub uptime_ms: u64,
}

impl From<&Exit> for LastExit {
    fn from(exit: &Exit) -> LastExit {
        LastExit {
            reason: exit.reason.clone(),
            class: exit.class,
            incarnation: exit.incarnation,
            at_ms: millis(exit.at),
            uptime_ms: millis(exit.uptime),
        }
    }
}

/// A heartbeat.
#[derive(Clone, Debug, Serialize)]
pub struct Beat {
    /// How long ago the child was last heard of. Zero also while it has declared that it will be silent.
    pub age_ms: u64,
    /// How long it may be silent.
    pub deadline_ms: u64,
}

/// A parked child.
#[derive(Clone, Debug, Serialize)]
pub struct Parked {
    /// What ended it the last time.
    pub reason: Reason,
    /// How often in a row it was parked.
    pub times: u32,
    /// In how long it is tried again without being asked.
    pub retry_in_ms: Option<u64>,
}

impl Snapshot {
    pub(crate) fn take(shared: &Shared) -> Snapshot {
        // The number first: whatever is counted in it has been on its board before it was counted.
        let seq = shared.seq();
        let now = Instant::now();
        let mut root = nodes(&shared.roof, shared, now)
            .1
            .pop()
            .expect("the roof always holds the root");
        multiply(&mut root, Some(1));
        Snapshot {
            seq,
            at_ms: millis(shared.age_at(now)),
            refused_writes: shared.all_refused(),
            root,
        }
    }

    /// The node with this path.
    pub fn find(&self, path: &str) -> Option<&Node> {
        self.nodes().find(|node| &*node.path == path)
    }

    /// All nodes, each before its children.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        let mut ahead = vec![&self.root];
        std::iter::from_fn(move || {
            let node = ahead.pop()?;
            ahead.extend(node.children.iter().rev());
            Some(node)
        })
    }
}

/// What a node says about a board it owns: copied under the board's lock.
struct Face {
    seq: u64,
    strategy: Strategy,
    budget: Option<Restarts>,
}

/// Limits r1, r2 on two levels allow (r1 + 1) * (r2 + 1) attempts, the last of which is the end.
fn multiply(node: &mut Node, above: Option<u64>) {
    let own = node.budget.as_ref().and_then(|budget| budget.limit);
    let product = above
        .zip(own)
        .map(|(above, own)| above.saturating_mul(u64::from(own) + 1));
    if node.role != Role::Worker {
        node.attempts = product;
        for child in &mut node.children {
            multiply(child, product);
        }
    }
}

/// Sorts by place, which costs nothing where all stand in order already.
fn in_order<T>(copied: Vec<T>, places: &[u32]) -> Vec<T> {
    if places.is_sorted() {
        return copied;
    }
    let mut placed: Vec<_> = copied.into_iter().zip(places).collect();
    placed.sort_by_key(|(_, place)| **place);
    placed.into_iter().map(|(one, _)| one).collect()
}

/// Copies one board, then, its lock given back, the boards below.
fn nodes(board: &Board, shared: &Shared, now: Instant) -> (Face, Vec<Node>) {
    let (face, role, copied) = {
        let book = board.book();
        let total = book.entries.iter().flatten().map(Entry::restarts).sum();
        let face = Face {
            seq: shared.seq(),
            strategy: book.strategy,
            budget: book
                .window
                .as_ref()
                .map(|window| Restarts::new(total, Some(window), now)),
        };
        let copied: Vec<_> = book
            .entries
            .iter()
            .flatten()
            .map(|entry| {
                (
                    node(entry, face.budget.as_ref(), shared, now),
                    entry.traits.board.clone(),
                )
            })
            .collect();
        // Slots that were used again stand out of order.
        let places: Vec<u32> = book.entries.iter().flatten().map(|entry| entry.place).collect();
        (face, book.role, in_order(copied, &places))
    };
    let mut nodes = Vec::with_capacity(copied.len());
    for (mut node, inner) in copied {
        if let Some(inner) = inner {
            let (face, children) = self::nodes(&inner, shared, now);
            node.seq = Some(face.seq);
            node.strategy = Some(face.strategy);
            node.budget = face.budget;
            node.children = children;
        }
        nodes.push(node);
    }
    if role.is_unordered() {
        nodes.sort_by(|one, other| one.id.cmp(&other.id));
    }
    (face, nodes)
}

fn node(entry: &Entry, counted: Option<&Restarts>, shared: &Shared, now: Instant) -> Node {
    let traits = &entry.traits;
    let age = |at: Instant| millis(now.saturating_duration_since(at));
    let at = |at: Instant| millis(shared.age_at(at));
    let ready = entry.ready.filter(|_| entry.state == State::Running);
    let running = entry.life.as_ref().filter(|_| entry.state == State::Running);
    let retry_in_ms = entry
        .deadline
        .filter(|_| matches!(entry.state, State::Backoff | State::Parked | State::Stuck))
        .map(|deadline| millis(deadline.saturating_duration_since(now)));
    let restarts = match (&entry.window, counted) {
        (None, Some(counted)) => Restarts {
            total: entry.restarts(),
            ..counted.clone()
        },
        (own, _) => Restarts::new(entry.restarts(), own.as_deref(), now),
    };
    Node {
        path: entry.path.clone(),
        id: traits.id.clone(),
        role: traits.role,
        kind: traits.kind,
        meta: traits.meta.iter().cloned().collect(),
        restart: traits.restart,
        state: entry.state,
        incarnation: entry.life.as_ref().map(|life| life.number()),
        restarts,
        last_exit: entry.last_exit.as_deref().map(LastExit::from),
        started_at_ms: entry.started.map(at),
        started_age_ms: entry.started.map(age),
        ready_at_ms: ready.map(at),
        ready_age_ms: ready.map(age),
        beat: running.and_then(|life| {
            let deadline_ms = millis(life.heartbeat?);
            Some(Beat {
                age_ms: millis(shared.age_at(now)).saturating_sub(life.heard()),
                deadline_ms,
            })
        }),
        retry_in_ms,
        parked: entry
            .park
            .as_ref()
            .filter(|park| !park.on_trial)
            .map(|park| Parked {
                reason: park.reason.clone(),
                times: park.times,
                retry_in_ms,
            }),
        seq: None,
        strategy: None,
        budget: None,
        attempts: None,
        children: Vec::new(),
    }
}
