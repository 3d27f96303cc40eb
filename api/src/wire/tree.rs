//! The supervision tree as the daemon shows it. All durations are whole milliseconds.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The whole tree at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tree {
    /// How many events the tree had seen then.
    pub seq: u64,
    /// Every supervisor and child, parents before their children and siblings in start order.
    pub nodes: Vec<Node>,
}

/// One supervisor or child.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Where it stands: the ids from the root on, joined by `/`.
    pub path: String,
    /// Its id among its siblings.
    pub id: String,
    /// How many steps below the root it stands.
    pub depth: u32,
    /// Whether it is a supervisor.
    pub supervisor: bool,
    /// What kind of child it is, such as `session`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Of a supervisor: who goes down with a crashed child.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub strategy: String,
    /// What it does: `running`, `parked` and so on.
    pub state: String,
    /// The number of its present run; never used twice by one daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// How often it was started again.
    pub restarts: Restarts,
    /// How its last run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<LastExit>,
    /// How long ago its present run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// When it last gave a sign of life, if it has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beat: Option<Beat>,
    /// Why nobody starts it at present, and when somebody will.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<Parked>,
}

/// Restarts of one child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restarts {
    /// Since the tree's start.
    pub total: u64,
    /// Within the span its budget counts.
    pub in_window: u32,
    /// How many of those are allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastExit {
    /// What was said, with everything behind it.
    pub reason: String,
    /// What sort of end it was, such as `panic`.
    pub class: String,
    /// How long ago.
    pub ago_ms: u64,
    /// How long that run had lasted.
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
    /// Why.
    pub reason: String,
    /// When it is tried again.
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
