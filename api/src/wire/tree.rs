//! The supervision tree as the daemon shows it. All durations are whole milliseconds.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The whole tree at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tree {
    /// How many events of the tree are in this picture.
    pub seq: u64,
    /// How many writes of runs that were given up have been refused since the daemon was started.
    #[serde(default)]
    pub refused_writes: u64,
    /// Every supervisor and child: each before its children, siblings in start order.
    pub nodes: Vec<Node>,
}

/// What a node of the tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeType {
    /// Does the work.
    Worker,
    /// Has a fixed list of children.
    Supervisor,
    /// Has children that are added and taken away while it runs.
    Dynamic,
    /// Has one child per key of a set.
    Roster,
}

impl From<&ao_supervisor::Snapshot> for Tree {
    fn from(snapshot: &ao_supervisor::Snapshot) -> Self {
        let mut nodes = Vec::new();
        flatten(&snapshot.root, 0, snapshot.at_ms, &mut nodes);
        Self {
            seq: snapshot.seq,
            refused_writes: snapshot.refused_writes,
            nodes,
        }
    }
}

fn flatten(node: &ao_supervisor::Node, depth: u32, now_ms: u64, into: &mut Vec<Node>) {
    into.push(Node {
        path: node.path.to_string(),
        id: node.id.to_string(),
        depth,
        role: match node.role {
            ao_supervisor::Role::Worker => NodeType::Worker,
            ao_supervisor::Role::Supervisor => NodeType::Supervisor,
            ao_supervisor::Role::Dynamic => NodeType::Dynamic,
            ao_supervisor::Role::Roster => NodeType::Roster,
        },
        kind: node.kind.to_owned(),
        strategy: node.strategy.map(|strategy| strategy.as_str().to_owned()),
        state: node.state.to_string(),
        incarnation: node.incarnation,
        restarts: Restarts::from(&node.restarts),
        budget: node.budget.as_ref().map(Restarts::from),
        attempts: node.attempts,
        last_exit: node.last_exit.as_ref().map(|exit| LastExit {
            incarnation: exit.incarnation,
            reason: exit.reason.text(),
            class: match exit.class {
                ao_supervisor::Class::Normal => "normal".to_owned(),
                ao_supervisor::Class::Abnormal => "abnormal".to_owned(),
            },
            ago_ms: now_ms.saturating_sub(exit.at_ms),
            uptime_ms: exit.uptime_ms,
        }),
        age_ms: node.started_age_ms,
        ready_age_ms: node.ready_age_ms,
        beat: node.beat.as_ref().map(|beat| Beat {
            age_ms: beat.age_ms,
            deadline_ms: beat.deadline_ms,
        }),
        retry_in_ms: node.retry_in_ms,
        parked: node.parked.as_ref().map(|parked| Parked {
            reason: parked.reason.text(),
            times: parked.times,
            retry_in_ms: parked.retry_in_ms,
        }),
    });
    for child in &node.children {
        flatten(child, depth + 1, now_ms, into);
    }
}

impl From<&ao_supervisor::Restarts> for Restarts {
    fn from(restarts: &ao_supervisor::Restarts) -> Self {
        Self {
            total: restarts.total,
            in_window: restarts.in_window,
            limit: restarts.limit,
            per_ms: restarts.per_ms,
        }
    }
}

/// One supervisor or child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Where it stands: the ids from the root on, joined by `/`.
    pub path: String,
    /// Its id among its siblings.
    pub id: String,
    /// How many steps below the root it stands.
    pub depth: u32,
    /// Worker, supervisor or roster.
    #[serde(rename = "type")]
    pub role: NodeType,
    /// What kind of child it is, such as `session`.
    pub kind: String,
    /// Of a supervisor: who goes down with a crashed child.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// What it does: `running`, `parked` and so on.
    pub state: String,
    /// The number of its present run; never used twice by one daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// How often it was started again.
    pub restarts: Restarts,
    /// Of a supervisor that counts them: its children's restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Restarts>,
    /// Of a supervisor that counts, below others that do: how many attempts in a row there are before the daemon gives up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u64>,
    /// How its last run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<LastExit>,
    /// How long ago its present run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// How long it has been ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_age_ms: Option<u64>,
    /// When it last gave a sign of life, if it has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beat: Option<Beat>,
    /// In how long it is started again, while it waits for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
    /// Why nobody starts it at present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<Parked>,
}

/// Restarts, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restarts {
    /// Since the supervisor that counts them was started.
    pub total: u64,
    /// Within the span that a budget counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_window: Option<u32>,
    /// How many of those are allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// How long that span is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_ms: Option<u64>,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastExit {
    /// Which run it was.
    pub incarnation: u64,
    /// What was said, with everything behind it.
    pub reason: String,
    /// `normal` or `abnormal`.
    pub class: String,
    /// How long ago.
    pub ago_ms: u64,
    /// How long that run had been ready.
    pub uptime_ms: u64,
}

/// A child's sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Beat {
    /// How long ago the last was.
    pub age_ms: u64,
    /// Past which age it counts as hung.
    pub deadline_ms: u64,
}

/// A child that crashed too often and rests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Parked {
    /// What ended it the last time.
    pub reason: String,
    /// How often in a row it was parked.
    pub times: u32,
    /// In how long it is tried again without being asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
}

/// Names a child of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TreePath {
    /// Its path as the tree shows it.
    pub path: String,
}

/// What was asked of a child was passed on to its supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TreeDone {
    /// Always true.
    pub ok: bool,
    /// Which child.
    pub path: String,
}

/// Something that happened in the tree. It is not kept: who comes later looks at the tree itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TreeEvent {
    /// Counts from 1 without a gap over this daemon's life. A `Tree` has every event up to its own `seq` in it.
    pub seq: u64,
    /// Whom it happened to.
    pub path: String,
    /// Which run of it, if one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// What: `ready`, `exited`, `parked` and so on.
    pub event: String,
    /// Why, down to the root cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// In how long it is started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
}

impl From<&ao_supervisor::Event> for TreeEvent {
    fn from(event: &ao_supervisor::Event) -> Self {
        Self {
            seq: event.seq,
            path: event.path.to_string(),
            incarnation: event.incarnation,
            event: event.what.as_str().to_owned(),
            reason: event.what.reason().map(ao_supervisor::Reason::text),
            retry_in_ms: event.what.retry_in_ms(),
        }
    }
}

/// A reader of the tree's events was too slow: it is to look at the tree anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TreeLagged {
    /// How many events it missed.
    pub missed: u64,
}
