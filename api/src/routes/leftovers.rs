//! What carries our names and belongs to nobody any more. Looked for when it is asked.

use ao_derive::leftovers;
use ao_domain::port::runtime::{Look, Runtime, RuntimeError};
use ao_domain::port::upkeep;
use ao_domain::{ProcessId, Session};
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
            how_to_remove: one.how,
            session_id: one.of.session.clone(),
            repo: one.of.repo.as_ref().map(ToString::to_string),
        })
        .collect();
    let mut unread: Vec<Unread> = traces
        .unread
        .iter()
        .map(|(repo, error)| Unread {
            what: format!("repository {repo}"),
            why: ao_domain::chain(error).to_string(),
        })
        .collect();
    for name in api.runtimes.names() {
        let Some(runtime) = api.runtimes.get(name) else {
            continue;
        };
        match tokio::time::timeout(api.config.patience, of_runtime(&api, runtime, &sessions)).await {
            Ok(Ok(more)) => found.extend(more),
            Ok(Err(error)) => unread.push(Unread {
                what: format!("terminals ({name})"),
                why: ao_domain::chain(&error).to_string(),
            }),
            Err(_) => unread.push(Unread {
                what: format!("terminals ({name})"),
                why: "looking at them took too long".to_owned(),
            }),
        }
    }
    let list = LeftoverList {
        leftovers: found,
        unread,
    };
    json(StatusCode::OK, &list)
}

/// What a runtime holds for nobody, and what only looks as if it did.
async fn of_runtime(
    api: &Api,
    runtime: &dyn Runtime,
    sessions: &[Session],
) -> Result<Vec<Leftover>, RuntimeError> {
    let mut runs = Vec::new();
    for run in runtime.list().await? {
        // Who cannot be looked at is not gone.
        let look = runtime.look(&run).await.unwrap_or(Look::Silent);
        runs.push((run, look));
    }
    let strays = runtime.strays().await?;
    let is_alive = |process: &ProcessId| api.processes.is_alive(process) != Some(false);
    let runs = leftovers::runs(&runs, sessions, is_alive)
        .into_iter()
        .map(|one| Leftover {
            what: format!("{} ({})", one.what, runtime.name()),
            why: one.why.to_owned(),
            goes: one.may_go,
            how_to_remove: one.how,
            session_id: Some(one.of.session.clone()),
            repo: None,
        });
    let strays = leftovers::strays(&strays).into_iter().map(|one| Leftover {
        what: one.what,
        why: one.why.to_owned(),
        goes: one.may_go,
        how_to_remove: one.how,
        session_id: one.of.session.clone(),
        repo: None,
    });
    Ok(runs.chain(strays).collect())
}
