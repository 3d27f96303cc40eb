//! Orchestrators: sessions that coordinate the workers of a project, one a project.

use ao_domain::{ProjectId, SessionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::session::Session;
use super::words;

/// Starts a project's orchestrator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StartOrchestrator {
    /// The project.
    #[serde(default)]
    #[schema(required)]
    pub project_id: String,
    /// Where it has one already: starts another, which takes the place of that one as soon as it is live. The old one is ended then,
    /// and its worktree taken back where nothing is lost by that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clean: bool,
    /// What it should do; without it, it waits for a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The agent; the project's own for orchestrators when absent, then the daemon's `AO_AGENT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harness: Option<String>,
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it may do without asking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<words::PermissionMode>)]
    pub permissions: Option<String>,
    /// The command line of a `shell` agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// What holds the terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// Which session is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrchestratorRef {
    /// The session.
    #[schema(value_type = String)]
    pub id: SessionId,
    /// Its project.
    #[schema(value_type = String)]
    pub project_id: ProjectId,
}

/// A project's orchestrator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OrchestratorAnswer {
    /// Which session it is.
    pub orchestrator: OrchestratorRef,
    /// How it stands.
    pub session: Session,
}
