//! The agents there are to work with: what each can do, and what is missing to use it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use crate::Api;
use crate::error::{ApiError, json};
use crate::wire::{AgentAnswer, AgentList, ErrorBody};

/// Every agent, with its program as it is found on this machine.
///
/// Each program is asked for its version and its help, at most for some seconds; what it said holds while its file is the same.
#[utoipa::path(
    get, path = "/api/v1/agents", operation_id = "listAgents", tag = "agents",
    responses((status = 200, description = "All of them, those that are not installed too", body = AgentList))
)]
pub(super) async fn list(State(api): State<Api>) -> Result<Response, ApiError> {
    let agents = api.catalog.all().await;
    json(
        StatusCode::OK,
        &AgentList {
            agents: agents.into_iter().map(Into::into).collect(),
        },
    )
}

/// One agent.
#[utoipa::path(
    get, path = "/api/v1/agents/{agentId}", operation_id = "getAgent", tag = "agents",
    params(("agentId" = String, Path, description = "The agent")),
    responses(
        (status = 200, description = "The agent", body = AgentAnswer),
        (status = 404, description = "`AGENT_NOT_FOUND` with `known`", body = ErrorBody),
    )
)]
pub(super) async fn get(State(api): State<Api>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let agent = api.catalog.one(&id).await.ok_or_else(|| {
        let message = format!("there is no agent `{id}`: see `ao agent ls`");
        ApiError::missing("AGENT_NOT_FOUND", message).detail("known", api.agents.ids())
    })?;
    json(StatusCode::OK, &AgentAnswer { agent: agent.into() })
}
