//! Worktrees of sessions that are over are taken back, and a spawn that somebody regrets is.

use ao_domain::{EndReason, Phase, ProjectId, Session, WorktreeState};
use ao_facts::{Filter, Stop};
use ao_supervisor::step;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::IntoParams;

use super::sessions::{wait, wait_for, wake};
use crate::Api;
use crate::error::{ApiError, json};
use crate::extract::{Query, SessionPath, no_session};
use crate::wire::{CleanedUp, ErrorBody, RolledBack, Saved, Skipped};

/// Whose sessions to clean up.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Whose {
    /// Of this project only.
    project: Option<String>,
}

/// Takes back the worktrees of sessions that are over. One that holds work which exists nowhere else is kept, and named; and so is
/// one whose session waits to be restored.
///
/// Safe to repeat; one that was taken back is not named again.
#[utoipa::path(
    post, path = "/api/v1/sessions/cleanup", operation_id = "cleanupSessions", tag = "sessions", params(Whose),
    responses(
        (status = 200, description = "What became of each", body = CleanedUp),
        (status = 400, description = "`INVALID_QUERY`", body = ErrorBody),
    )
)]
pub(super) async fn cleanup(
    State(api): State<Api>,
    Query(whose): Query<Whose>,
) -> Result<Response, ApiError> {
    let project: Option<ProjectId> = match whose.project.as_deref().filter(|id| !id.is_empty()) {
        None => None,
        Some(id) => match id.parse() {
            Ok(id) => Some(id),
            // What cannot be a project's id is no project's.
            Err(_) => {
                return json(
                    StatusCode::OK,
                    &CleanedUp {
                        ok: true,
                        ..CleanedUp::default()
                    },
                );
            }
        },
    };
    let filter = Filter {
        project,
        terminated: Some(true),
        ..Filter::default()
    };
    let left = |session: &Session| {
        let over = matches!(session.phase, Phase::Finished | Phase::Ended);
        over && matches!(
            session.worktree_state,
            WorktreeState::Active | WorktreeState::Kept
        )
    };
    let sessions = api.reader.sessions(&filter).await?;
    let (lost, sessions): (Vec<Session>, Vec<Session>) =
        sessions.into_iter().filter(left).partition(Session::is_lost);
    for session in &sessions {
        let reason = session.end_reason.unwrap_or(EndReason::Killed);
        let stop = api
            .intents
            .stop_if_over(&session.id, session.generation, reason, api.clock.now());
        if step!("intent.cleanup", stop)? == Stop::Stopping {
            wake(&api, &session.id);
        }
    }
    let until = Instant::now() + api.config.patience;
    let mut answer = CleanedUp {
        ok: true,
        ..CleanedUp::default()
    };
    for session in sessions {
        let (id, known) = (&session.id, &session.rescue_ref);
        let rest = until.saturating_duration_since(Instant::now());
        // One that was restored meanwhile does not end for this.
        let settled = |session: &Session| session.phase == Phase::Ended || !session.is_terminated();
        let (session, _) = wait_for(&api, id, rest, settled).await?;
        if session.phase == Phase::Ended && session.worktree_state == WorktreeState::Removed {
            if session.rescue_ref != *known {
                answer.saved.push(Saved {
                    worktree: (&session).into(),
                    session_id: session.id.clone(),
                });
            }
            answer.cleaned.push(session.id);
        } else {
            answer.skipped.push(Skipped {
                reason: why_it_stays(&session),
                worktree: (&session).into(),
                session_id: session.id,
            });
        }
    }
    let waits = lost.into_iter().map(|session| Skipped {
        reason: format!(
            "it waits for `ao session restore {0}`, or for `ao kill {0}`",
            session.id
        ),
        worktree: (&session).into(),
        session_id: session.id,
    });
    answer.skipped.extend(waits);
    json(StatusCode::OK, &answer)
}

fn why_it_stays(session: &Session) -> String {
    if !session.is_terminated() {
        return "it was restored meanwhile".to_owned();
    }
    if session.phase != Phase::Ended {
        return "it is still being looked at".to_owned();
    }
    if session.holdings.is_empty() {
        let failed = session.failure.clone();
        return failed.unwrap_or_else(|| "it was not looked at".to_owned());
    }
    let held: Vec<String> = session.holdings.iter().map(ToString::to_string).collect();
    format!("it holds {}", held.join(", "))
}

/// Takes a spawn back: what was made for it by now is ended and taken back, as by a kill.
///
/// For a client whose own next step failed, such as the claim of a pull request. Safe to repeat.
#[utoipa::path(
    post, path = "/api/v1/sessions/{sessionId}/rollback", operation_id = "rollbackSession", tag = "sessions",
    params(("sessionId" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "It has ended", body = RolledBack),
        (status = 202, description = "It is going to end; the wait was over first", body = RolledBack),
        (status = 404, description = "`SESSION_NOT_FOUND`", body = ErrorBody),
    )
)]
pub(super) async fn rollback(
    State(api): State<Api>,
    SessionPath(id): SessionPath,
) -> Result<Response, ApiError> {
    let stop = api.intents.stop(&id, EndReason::Killed, false, api.clock.now());
    if step!("intent.rollback", stop)? == Stop::NotFound {
        return Err(no_session(&id));
    }
    wake(&api, &id);
    let (session, ended) = wait(&api, &id, |session| session.phase == Phase::Ended).await?;
    let nothing = session.process.is_none() && session.worktree_state == WorktreeState::None;
    let body = RolledBack {
        ok: true,
        deleted: ended && nothing,
        killed: ended && session.worktree_state == WorktreeState::Removed,
        session_id: session.id,
    };
    let status = if ended {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    json(status, &body)
}
