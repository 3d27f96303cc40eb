//! A session that is over is brought back, or called by another name.

use ao_domain::Phase;
use ao_facts::{NewRun, Restored};
use ao_supervisor::step;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::sessions::{answer, wake};
use super::spawn::{line, orchestrator_lives, up};
use crate::Api;
use crate::error::{ApiError, random_hex};
use crate::extract::{JsonBody, OptionalBody, SessionPath, no_session};
use crate::wire::{ErrorBody, RenameSession, RestoreSession, SessionAnswer};

/// Brings a session back whose agent is over.
///
/// The same agent, in the same worktree, as its next run, in the conversation it had; with `startOver` in a new one, with the
/// session's prompt. Waits until the agent runs, for as long as a request may take.
#[utoipa::path(
    post, path = "/api/v1/sessions/{sessionId}/restore", operation_id = "restoreSession", tag = "sessions",
    params(
        ("sessionId" = String, Path, description = "The session"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`: answer at once"),
    ),
    request_body(content = Option<RestoreSession>, description = "May be left out"),
    responses(
        (status = 200, description = "Its agent runs, or ran and has ended", body = SessionAnswer),
        (status = 202, description = "It is on its way", body = SessionAnswer),
        (status = 400, description = "`INVALID_JSON`", body = ErrorBody),
        (status = 404, description = "`SESSION_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`SESSION_NOT_RESTORABLE` with `phase`, `NOTHING_TO_RESUME`, `ORCHESTRATOR_EXISTS` with \
            `sessionId`, `SPAWN_FAILED` or `SESSION_TERMINATED` with `sessionId`", body = ErrorBody),
    )
)]
pub(super) async fn restore(
    State(api): State<Api>,
    SessionPath(id): SessionPath,
    headers: HeaderMap,
    OptionalBody(asked): OptionalBody<RestoreSession>,
) -> Result<Response, ApiError> {
    let new = NewRun {
        start_over: asked.start_over,
        secret: random_hex(),
        now: api.clock.now(),
    };
    match step!("intent.restore", api.intents.restore(&id, new))? {
        Restored::Yes => {}
        Restored::NotFound => return Err(no_session(&id)),
        Restored::NotOver(phase) => {
            let message = match phase {
                Phase::Stopping | Phase::Freeing => {
                    format!("`{id}` is being ended: restore it when it has ended")
                }
                _ => format!("`{id}` is not over (it is {phase}): nothing is to be restored"),
            };
            return Err(ApiError::conflict("SESSION_NOT_RESTORABLE", message).detail("phase", phase.as_str()));
        }
        Restored::NothingToResume => {
            let message = format!(
                "the agent of `{id}` has no conversation that could go on: \
                 begin anew, with the same prompt or command: ao session restore {id} --start-over"
            );
            return Err(ApiError::conflict("NOTHING_TO_RESUME", message));
        }
        Restored::OrchestratorLives(other) => return Err(orchestrator_lives(&id.project(), &other)),
        Restored::NoProject(project) => {
            let message = format!(
                "the project of `{id}` was removed: register it again, with its id, then restore: ao project add PATH --id {project}"
            );
            return Err(ApiError::conflict("PROJECT_REMOVED", message).detail("projectId", project.as_str()));
        }
    }
    wake(&api, &id);
    up(&api, &headers, &id, StatusCode::OK).await
}

/// Calls a session by another name.
#[utoipa::path(
    patch, path = "/api/v1/sessions/{sessionId}", operation_id = "renameSession", tag = "sessions",
    params(("sessionId" = String, Path, description = "The session")),
    request_body = RenameSession,
    responses(
        (status = 200, description = "It is called so", body = SessionAnswer),
        (status = 400, description = "`INVALID_JSON`, `INVALID_TEXT`, `TEXT_TOO_LONG`", body = ErrorBody),
        (status = 404, description = "`SESSION_NOT_FOUND`", body = ErrorBody),
    )
)]
pub(super) async fn rename(
    State(api): State<Api>,
    SessionPath(id): SessionPath,
    JsonBody(asked): JsonBody<RenameSession>,
) -> Result<Response, ApiError> {
    let name = line("displayName", asked.display_name.as_deref())?;
    let now = api.clock.now();
    let renamed = api.intents.rename(&id, name.as_deref(), now);
    if !step!("intent.rename", renamed)? {
        return Err(no_session(&id));
    }
    let session = api.reader.session(&id).await?.ok_or_else(|| no_session(&id))?;
    answer(&api, StatusCode::OK, &session).await
}
