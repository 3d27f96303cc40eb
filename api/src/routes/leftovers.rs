//! What carries our names and belongs to nobody any more. Looked for when it is asked.

use ao_derive::leftovers;
use ao_domain::port::runtime::Look;
use ao_domain::port::upkeep;
use ao_facts::Filter;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::Api;
use crate::error::{ApiError, json};
use crate::wire::{ErrorBody, Leftover, LeftoverList, Unread};

/// What is left over: worktrees, branches, rescue refs, records, terminals and sockets with names of ours that no session needs.
///
/// The janitor takes back what is provably ours and holds nothing; the rest is only told.
#[utoipa::path(
    get, path = "/api/v1/leftovers", operation_id = "listLeftovers", tag = "control",
    responses(
        (status = 200, description = "What was found now", body = LeftoverList),
        (status = 500, description = "`GIT_FAILED`: it could not be looked for", body = ErrorBody),
    )
)]
pub(super) async fn list(State(api): State<Api>) -> Result<Response, ApiError> {
    let sessions = api.reader.sessions(&Filter::default()).await?;
    let projects = api.reader.all_projects().await?;
    let repos = upkeep::repositories(&projects, &sessions);
    let traces = tokio::time::timeout(api.config.patience, api.upkeep.traces(&repos)).await;
    let failed = |why: String| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "GIT_FAILED", why);
    let traces = traces
        .map_err(|_| failed("looking for what is left over took too long".to_owned()))?
        .map_err(|error| failed(ao_domain::chain(&error).to_string()))?;
    let mut found: Vec<Leftover> = leftovers::traces(&traces.found, &sessions)
        .into_iter()
        .map(|one| Leftover {
            what: one.what,
            why: one.why.to_owned(),
            goes: one.may_go,
            session_id: one.of.session.clone(),
            repo: one.of.repo.as_ref().map(ToString::to_string),
        })
        .collect();
    for name in api.runtimes.names() {
        let Some(runtime) = api.runtimes.get(name) else {
            continue;
        };
        let mut runs = Vec::new();
        for run in runtime.list().await.unwrap_or_default() {
            // Who cannot be looked at is not gone.
            let look = runtime.look(&run).await.unwrap_or(Look::Silent);
            runs.push((run, look));
        }
        found.extend(leftovers::runs(&runs, &sessions).into_iter().map(|one| Leftover {
            what: format!("{} ({name})", one.what),
            why: one.why.to_owned(),
            goes: one.may_go,
            session_id: Some(one.of.session.clone()),
            repo: None,
        }));
        let strays = runtime.strays().await.unwrap_or_default();
        found.extend(leftovers::strays(&strays).into_iter().map(|one| Leftover {
            what: one.what,
            why: one.why.to_owned(),
            goes: one.may_go,
            session_id: one.of.session.clone(),
            repo: None,
        }));
    }
    let unread = traces.unread.iter().map(|(repo, error)| Unread {
        repo: repo.to_string(),
        why: ao_domain::chain(error).to_string(),
    });
    let list = LeftoverList {
        leftovers: found,
        unread: unread.collect(),
    };
    json(StatusCode::OK, &list)
}
