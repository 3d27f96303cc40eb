//! Sessions: listed, looked at, ended, and what an agent reports of itself.

use std::time::Duration;

use ao_derive::{Habits, Watch, shown};
use ao_domain::{ActivityState, EndReason, HookRecord, Phase, SessionId, SessionKind};
use ao_facts::{Filter, Stop, Until};
use ao_supervisor::step;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::Api;
use crate::error::{ApiError, json, random_hex};
use crate::extract::{JsonBody, OptionalBody, Query, SessionPath, flag, no_session};
use crate::wire::{
    ActivitySet, Claimed, ErrorBody, KillSession, Killed, Session, SessionAnswer, SessionList, SetActivity,
};

/// Which sessions to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Of this project only.
    project: Option<String>,
    /// Only those whose agent is not over (true) or is (false).
    #[param(value_type = Option<bool>)]
    active: Option<String>,
    /// Orchestrators only.
    #[param(value_type = Option<bool>)]
    orchestrator_only: Option<String>,
    /// The same as `active=true`.
    #[param(value_type = Option<bool>)]
    fresh: Option<String>,
}

/// Sessions, by project and number.
#[utoipa::path(
    get, path = "/api/v1/sessions", operation_id = "listSessions", tag = "sessions", params(Which),
    responses(
        (status = 200, description = "Those that were asked for; none for an unknown project", body = SessionList),
        (status = 400, description = "`INVALID_QUERY`", body = ErrorBody),
    )
)]
pub(super) async fn list(State(api): State<Api>, Query(which): Query<Which>) -> Result<Response, ApiError> {
    let active = flag("active", which.active.as_deref())?;
    let orchestrators = flag("orchestratorOnly", which.orchestrator_only.as_deref())?;
    let fresh = flag("fresh", which.fresh.as_deref())?;
    let project = match which
        .project
        .as_deref()
        .filter(|id| !id.is_empty())
        .map(str::parse)
    {
        None => None,
        Some(Ok(id)) => Some(id),
        // What cannot be a project's id is no project's.
        Some(Err(_)) => return json(StatusCode::OK, &SessionList { sessions: Vec::new() }),
    };
    let filter = Filter {
        project,
        kind: orchestrators
            .unwrap_or(false)
            .then_some(SessionKind::Orchestrator),
        terminated: if fresh == Some(true) {
            Some(false)
        } else {
            active.map(|active| !active)
        },
    };
    json(StatusCode::OK, &shown_list(&api, &filter).await?)
}

/// The sessions that pass `filter`, as they stand. A constant number of queries.
pub(super) async fn shown_list(api: &Api, filter: &Filter) -> Result<SessionList, ApiError> {
    let lens = Lens::new(api).await?;
    let sessions = api.reader.sessions(filter).await?;
    Ok(SessionList {
        sessions: sessions.iter().map(|session| lens.show(session)).collect(),
    })
}

/// One session.
#[utoipa::path(
    get, path = "/api/v1/sessions/{sessionId}", operation_id = "getSession", tag = "sessions",
    params(("sessionId" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "The session", body = SessionAnswer),
        (status = 404, description = "`SESSION_NOT_FOUND`", body = ErrorBody),
    )
)]
pub(super) async fn get(State(api): State<Api>, SessionPath(id): SessionPath) -> Result<Response, ApiError> {
    let session = api.reader.session(&id).await?.ok_or_else(|| no_session(&id))?;
    answer(&api, StatusCode::OK, &session).await
}

/// Stops a session and takes its worktree back. A worktree that holds work which exists nowhere else is kept.
///
/// From the first answer on, or from the loss of the connection, it is written down that the session is to
/// end. Safe to repeat; of one that has ended, a kept worktree is looked at again.
#[utoipa::path(
    post, path = "/api/v1/sessions/{sessionId}/kill", operation_id = "killSession", tag = "sessions",
    params(("sessionId" = String, Path, description = "The session")),
    request_body(content = Option<KillSession>, description = "May be left out"),
    responses(
        (status = 200, description = "It has ended", body = Killed),
        (status = 202, description = "It is going to end; the wait was over first", body = Killed),
        (status = 400, description = "`INVALID_JSON`", body = ErrorBody),
        (status = 404, description = "`SESSION_NOT_FOUND`", body = ErrorBody),
    )
)]
pub(super) async fn kill(
    State(api): State<Api>,
    SessionPath(id): SessionPath,
    OptionalBody(asked): OptionalBody<KillSession>,
) -> Result<Response, ApiError> {
    let now = api.clock.now();
    let stop = api.intents.stop(&id, EndReason::Killed, asked.discard, now);
    if step!("intent.stop", stop)? == Stop::NotFound {
        return Err(no_session(&id));
    }
    wake(&api, &id);
    let (session, ended) = wait(&api, &id, |session| session.phase == Phase::Ended).await?;
    let status = if ended {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    json(status, &Killed::from(&session))
}

/// Reports what an agent does, where its hooks cannot. Goes the way of a hook: into the session's spool.
#[utoipa::path(
    post, path = "/api/v1/sessions/{sessionId}/activity", operation_id = "setSessionActivity", tag = "sessions",
    params(("sessionId" = String, Path, description = "The session")),
    request_body = SetActivity,
    responses(
        (status = 200, description = "It is stored, and applied in its turn; about a session that is over, it changes nothing",
            body = ActivitySet),
        (status = 400, description = "`INVALID_JSON`, `INVALID_ACTIVITY_STATE`", body = ErrorBody),
        (status = 404, description = "`SESSION_NOT_FOUND`", body = ErrorBody),
    )
)]
pub(super) async fn activity(
    State(api): State<Api>,
    SessionPath(id): SessionPath,
    JsonBody(asked): JsonBody<SetActivity>,
) -> Result<Response, ApiError> {
    let state: ActivityState = asked.state.parse().map_err(|error: ao_domain::UnknownWord| {
        ApiError::bad("INVALID_ACTIVITY_STATE", error.to_string())
    })?;
    let session = api.reader.session(&id).await?.ok_or_else(|| no_session(&id))?;
    let boot = (api.boot)();
    let record = HookRecord {
        v: 1,
        id: random_hex(),
        session: id.clone(),
        generation: session.generation,
        secret: session.secret,
        agent: session.harness,
        event: format!("api:{state}"),
        boot: boot.id,
        boot_ms: boot.millis,
        at: api.clock.now(),
        payload: String::new(),
        truncated: false,
    };
    step!("intent.activity", api.spool.append(&record)).map_err(|error| {
        if error.source.kind() == std::io::ErrorKind::StorageFull {
            ApiError::disk_full(error)
        } else {
            ApiError::internal(error)
        }
    })?;
    json(
        StatusCode::OK,
        &ActivitySet {
            ok: true,
            session_id: id,
            state,
        },
    )
}

/// A session's child may be parked or in back-off: what is wanted now is a reason to try at once. Any other is awake.
pub(super) fn wake(api: &Api, id: &SessionId) {
    let _ = api.tree.resume(&format!("ao/act/sessions/{id}"));
}

/// Waits until `wanted` holds for the session, for as long as a request may take and the daemon is not
/// stopping. Answers how the session stands then, and whether it got there.
pub(super) async fn wait(
    api: &Api,
    id: &SessionId,
    wanted: impl Fn(&ao_domain::Session) -> bool + Send + Sync,
) -> Result<(ao_domain::Session, bool), ApiError> {
    wait_for(api, id, api.config.patience, wanted).await
}

/// [`wait`], for so long.
pub(super) async fn wait_for(
    api: &Api,
    id: &SessionId,
    patience: Duration,
    wanted: impl Fn(&ao_domain::Session) -> bool + Send + Sync,
) -> Result<(ao_domain::Session, bool), ApiError> {
    let until = tokio::select! {
        biased;
        () = api.stage.stopping() => None,
        until = api.reader.until(id, &wanted, patience) => Some(until?),
    };
    match until {
        Some(Until::Reached(session)) => Ok((*session, true)),
        Some(Until::StillAt(session)) => Ok((*session, false)),
        Some(Until::NotFound) => Err(no_session(id)),
        None => {
            let session = api.reader.session(id).await?.ok_or_else(|| no_session(id))?;
            let there = wanted(&session);
            Ok((session, there))
        }
    }
}

/// One session as an answer.
pub(super) async fn answer(
    api: &Api,
    status: StatusCode,
    session: &ao_domain::Session,
) -> Result<Response, ApiError> {
    let mut shown = Lens::new(api).await?.show(session);
    if let Some(progress) = shown
        .provisioning
        .as_mut()
        .filter(|progress| progress.doing.is_some())
        && session.phase == Phase::Provision
    {
        // That its log cannot be read takes nothing from the rest.
        let tail = api.provisioner.log_tail(&session.id, 1).await;
        progress.last_line = tail.ok().and_then(|mut lines| lines.pop());
    }
    let claim = api.reader.claim_to_start_from(&session.id).await?;
    json(
        status,
        &SessionAnswer {
            session: shown,
            claim: claim.as_ref().map(Claimed::from),
        },
    )
}

/// All that a status is worked out from beside the session's own rows, read once for any number of sessions.
pub(super) struct Lens<'a> {
    api: &'a Api,
    pub(super) watch: Watch,
    pub(super) now: ao_domain::Timestamp,
    queue: Vec<SessionId>,
}

impl<'a> Lens<'a> {
    pub(super) async fn new(api: &'a Api) -> Result<Self, ApiError> {
        let sweeps = api.reader.sweeps().await?;
        let sweep = sweeps.into_iter().find(|sweep| sweep.name == api.config.sweep);
        let watch = Watch {
            swept_at: sweep.and_then(|sweep| sweep.finished_at),
        };
        Ok(Self {
            api,
            watch,
            now: api.clock.now(),
            queue: api.reader.queue().await?,
        })
    }

    pub(super) fn habits(&self, session: &ao_domain::Session) -> Habits {
        let agent = self.api.agents.get(&session.harness);
        agent.map_or(Habits::NONE, |agent| Habits::of(agent.description()))
    }

    pub(super) fn show(&self, session: &ao_domain::Session) -> Session {
        Session::new(
            session,
            &shown(session, self.habits(session), self.watch, self.now),
            &self.queue,
        )
    }
}
