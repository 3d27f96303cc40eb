//! Orchestrators: listed, looked at, started. A project has one, or one and its replacement that is not live yet.

use ao_domain::{SessionId, SessionKind};
use ao_facts::{Filter, Spawn};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::sessions::{Lens, shown_list};
use super::spawn::{Order, settled_up, spawn_row};
use crate::Api;
use crate::error::{ApiError, json};
use crate::extract::{JsonBody, SessionPath, no_project, no_session};
use crate::wire::{
    ErrorBody, OrchestratorAnswer, OrchestratorRef, SessionAnswer, SessionList, SpawnSession,
    StartOrchestrator,
};

/// Every orchestrator there is or was, by project and number.
#[utoipa::path(
    get, path = "/api/v1/orchestrators", operation_id = "listOrchestrators", tag = "orchestrators",
    responses((status = 200, description = "All of them, those that are over too", body = SessionList))
)]
pub(super) async fn list(State(api): State<Api>) -> Result<Response, ApiError> {
    let filter = Filter {
        kind: Some(SessionKind::Orchestrator),
        ..Filter::default()
    };
    json(StatusCode::OK, &shown_list(&api, &filter).await?)
}

/// One orchestrator.
#[utoipa::path(
    get, path = "/api/v1/orchestrators/{sessionId}", operation_id = "getOrchestrator", tag = "orchestrators",
    params(("sessionId" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "The session", body = SessionAnswer),
        (status = 404, description = "`SESSION_NOT_FOUND`, also for a worker", body = ErrorBody),
    )
)]
pub(super) async fn get(State(api): State<Api>, SessionPath(id): SessionPath) -> Result<Response, ApiError> {
    let session = api.reader.session(&id).await?;
    let session = session.filter(|session| session.kind == SessionKind::Orchestrator);
    let session = session.ok_or_else(|| no_session(&id))?;
    super::sessions::answer(&api, StatusCode::OK, &session).await
}

/// Starts a project's orchestrator, or says which one it has.
///
/// With `clean`, a new one takes the place of the one there is as soon as it is live: at no instant has the project none. Of several
/// such requests at once one starts a session, and all are answered with it.
#[utoipa::path(
    post, path = "/api/v1/orchestrators", operation_id = "spawnOrchestrator", tag = "orchestrators",
    request_body = StartOrchestrator,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Any text that the caller never uses for another spawn"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`: answer at once"),
    ),
    responses(
        (status = 200, description = "The one it has, or the one that is about to take its place", body = OrchestratorAnswer),
        (status = 201, description = "It was started, and runs or ran and has ended", body = OrchestratorAnswer),
        (status = 202, description = "It was started, and is on its way", body = OrchestratorAnswer),
        (status = 400, description = "As for `spawnSession`", body = ErrorBody),
        (status = 404, description = "`PROJECT_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`SPAWN_FAILED` or `SESSION_TERMINATED` with `sessionId`; one that was to be replaced is still there",
            body = ErrorBody),
        (status = 500, description = "`GIT_FAILED`", body = ErrorBody),
    )
)]
pub(super) async fn start(
    State(api): State<Api>,
    headers: HeaderMap,
    JsonBody(asked): JsonBody<StartOrchestrator>,
) -> Result<Response, ApiError> {
    let spawn = SpawnSession {
        project_id: asked.project_id,
        kind: Some(SessionKind::Orchestrator.to_string()),
        harness: asked.harness,
        model: asked.model,
        permissions: asked.permissions,
        prompt: asked.prompt,
        command: asked.command,
        runtime: asked.runtime,
        display_name: asked.display_name,
        ..SpawnSession::default()
    };
    let order = Order::check(&api, &spawn).await?;
    let project = order.id.clone();
    match spawn_row(&api, &headers, order, asked.clean).await? {
        Spawn::Spawned { id, .. } => {
            let (status, session) = settled_up(&api, &headers, &id, StatusCode::CREATED).await?;
            answer(&api, status, &session).await
        }
        Spawn::OrchestratorLives(id) => {
            let session = api.reader.session(&id).await?.ok_or_else(|| no_session(&id))?;
            answer(&api, StatusCode::OK, &session).await
        }
        Spawn::NoProject => Err(no_project(&project)),
    }
}

async fn answer(api: &Api, status: StatusCode, session: &ao_domain::Session) -> Result<Response, ApiError> {
    let id: SessionId = session.id.clone();
    json(
        status,
        &OrchestratorAnswer {
            orchestrator: OrchestratorRef {
                id,
                project_id: session.project.clone(),
            },
            session: Lens::new(api).await?.show(session),
        },
    )
}
