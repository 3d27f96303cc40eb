//! Pull requests: listed, and looked at with their checks and what agents were told of them. Answers from rows: the forge is not
//! asked.

use ao_domain::foreign_text::in_line;
use ao_domain::{Episode as EpisodeRow, EpisodeKind, Nudge, ProjectId, PullRequest as Row, SessionId};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::Api;
use crate::error::{ApiError, json};
use crate::extract::{Query, SessionPath, flag, no_session};
use crate::wire::{Check, Episode, ErrorBody, PrGot, PrList, PullRequest, SessionPrs, Told};

/// How many failed checks a headline names.
const NAMED: usize = 5;

/// Which pull requests to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Of this session only.
    session: Option<String>,
    /// Of this project's sessions only.
    project: Option<String>,
    /// Only those that are open, drafts too (true), or are not any more (false).
    #[param(value_type = Option<bool>)]
    open: Option<String>,
}

/// Pull requests: open ones first, and of these those that changed last.
#[utoipa::path(
    get, path = "/api/v1/prs", operation_id = "listPRs", tag = "prs", params(Which),
    responses(
        (status = 200, description = "Those that were asked for; none for an unknown session or project", body = PrList),
        (status = 400, description = "`INVALID_QUERY`", body = ErrorBody),
    )
)]
pub(super) async fn list(State(api): State<Api>, Query(which): Query<Which>) -> Result<Response, ApiError> {
    let open = flag("open", which.open.as_deref())?;
    let none = || json(StatusCode::OK, &PrList { prs: Vec::new() });
    // What cannot be an id is nobody's.
    let session: Option<SessionId> = match which.session.as_deref().filter(|id| !id.is_empty()) {
        None => None,
        Some(id) => match id.parse() {
            Ok(id) => Some(id),
            Err(_) => return none(),
        },
    };
    let project: Option<ProjectId> = match which.project.as_deref().filter(|id| !id.is_empty()) {
        None => None,
        Some(id) => match id.parse() {
            Ok(id) => Some(id),
            Err(_) => return none(),
        },
    };
    let rows = api.reader.pulls(session.as_ref()).await?;
    let rows = rows.into_iter().filter(|pr| {
        let of_project = project
            .as_ref()
            .is_none_or(|project| pr.session.project() == *project);
        of_project && open.is_none_or(|open| pr.facts.state.is_open() == open)
    });
    json(
        StatusCode::OK,
        &PrList {
            prs: in_order(rows.collect()),
        },
    )
}

/// The pull requests of a session; none where it has none yet.
#[utoipa::path(
    get, path = "/api/v1/sessions/{sessionId}/pr", operation_id = "listSessionPRs", tag = "prs",
    params(("sessionId" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "All of them", body = SessionPrs),
        (status = 404, description = "`SESSION_NOT_FOUND`", body = ErrorBody),
    )
)]
pub(super) async fn of_session(
    State(api): State<Api>,
    SessionPath(id): SessionPath,
) -> Result<Response, ApiError> {
    api.reader.session(&id).await?.ok_or_else(|| no_session(&id))?;
    let rows = api.reader.pulls(Some(&id)).await?;
    json(
        StatusCode::OK,
        &SessionPrs {
            session_id: id,
            prs: in_order(rows),
        },
    )
}

/// What to tell of a pull request.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct How {
    /// The ends of failed checks' logs, too.
    #[param(value_type = Option<bool>)]
    logs: Option<String>,
}

/// One pull request, with its checks and what its session's agent was told of them.
#[utoipa::path(
    get, path = "/api/v1/prs/{id}", operation_id = "getPR", tag = "prs",
    params(("id" = u64, Path, description = "The pull request, by its number here"), How),
    responses(
        (status = 200, description = "The pull request", body = PrGot),
        (status = 400, description = "`INVALID_QUERY`", body = ErrorBody),
        (status = 404, description = "`PR_NOT_FOUND`", body = ErrorBody),
    )
)]
pub(super) async fn get(
    State(api): State<Api>,
    Path(asked): Path<String>,
    Query(how): Query<How>,
) -> Result<Response, ApiError> {
    let logs = flag("logs", how.logs.as_deref())?.unwrap_or(false);
    let id: u64 = asked.parse().map_err(|_| no_pull_request(&asked))?;
    let row = api
        .reader
        .pull(id)
        .await?
        .ok_or_else(|| no_pull_request(&asked))?;
    let (checks, episodes, nudges) = tokio::try_join!(
        api.reader.checks(id),
        api.reader.episodes(id),
        api.reader.nudges(id)
    )?;
    json(
        StatusCode::OK,
        &PrGot {
            pr: PullRequest::from(&row),
            checks: checks.into_iter().map(|check| Check::new(check, logs)).collect(),
            episodes: episodes
                .into_iter()
                .map(|episode| shown(&row, episode, &nudges))
                .collect(),
        },
    )
}

fn no_pull_request(asked: &str) -> ApiError {
    let message = format!(
        "there is no pull request {}: see `ao pr ls --all`",
        in_line(asked, 40)
    );
    ApiError::missing("PR_NOT_FOUND", message)
}

/// Open ones first; within, those that changed last, as they are read.
fn in_order(mut rows: Vec<Row>) -> Vec<PullRequest> {
    rows.sort_by_key(|pr| !pr.facts.state.is_open());
    rows.iter().map(PullRequest::from).collect()
}

fn shown(pr: &Row, episode: EpisodeRow, nudges: &[Nudge]) -> Episode {
    let messages = nudges.iter().filter(|nudge| nudge.episode == episode.id);
    Episode {
        headline: headline(pr, &episode),
        messages: messages.map(Told::from).collect(),
        id: episode.id,
        kind: episode.kind,
        head: episode.head,
        opened_at: episode.opened_at,
        closed_at: episode.closed_at,
        closed_by: episode.closed_by,
    }
}

/// What an episode is about. The names of checks are known of the newest commit only.
fn headline(pr: &Row, episode: &EpisodeRow) -> String {
    let EpisodeKind::Ci = episode.kind;
    let what = format!(
        "checks failed at {}",
        in_line(&episode.head, 7).trim_end_matches('…')
    );
    if episode.closed_at.is_some() || episode.head != pr.facts.head || pr.failing.is_empty() {
        return what;
    }
    let mut names: Vec<String> = pr
        .failing
        .iter()
        .take(NAMED)
        .map(|name| in_line(name, 60))
        .collect();
    if pr.failing.len() > NAMED {
        names.push(format!("and {} more", pr.failing.len() - NAMED));
    }
    format!("{what}: {}", names.join(", "))
}
