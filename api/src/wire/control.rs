//! Whether a daemon is there, and which.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What every daemon calls itself, so that a stranger on its port is told from it.
pub const SERVICE: &str = "agent-orchestrator-daemon";

/// The answer of `/healthz`, `/readyz` and `/shutdown`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// `ok` from `/healthz`; `ready`, `starting` or `stopping` from `/readyz`; `shutting_down` from
    /// `/shutdown`.
    pub status: String,
    /// Always [`SERVICE`].
    pub service: String,
    /// The daemon's process.
    pub pid: u32,
    /// The daemon's version; absent in those that did not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Where the daemon keeps its data; absent in those that did not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub data_dir: String,
}
