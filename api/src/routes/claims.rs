//! Claims: a pull request that is there already comes to be a session's. The forge is asked by the claim's own child; here it is
//! written down what is wanted, and waited for the answer.

use ao_domain::{
    Claim, ClaimRefusal, ClaimState, PrRef, Project, RemoteRepo, SessionId, SessionKind, WorktreeState,
};
use ao_facts::{Claiming, Wanted};
use ao_supervisor::step;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::projects::active;
use super::sessions::wait_for;
use crate::Api;
use crate::error::{ApiError, json};
use crate::extract::{JsonBody, SessionPath, no_session};
use crate::wire::{ClaimPr, ErrorBody, PrClaimed, PullRequest};

/// Makes a pull request that is there a session's. Nothing is checked out by that.
///
/// Asks the forge, and waits for its answer for as long as a request may take. It may be taken from its earlier session; that one
/// is told nothing more of it. Safe to repeat.
#[utoipa::path(
    post, path = "/api/v1/sessions/{sessionId}/pr/claim", operation_id = "claimSessionPR", tag = "prs",
    params(("sessionId" = String, Path, description = "The session")),
    request_body = ClaimPr,
    responses(
        (status = 200, description = "It is the session's", body = PrClaimed),
        (status = 202, description = "The forge has not answered yet; the wait was over first", body = PrClaimed),
        (status = 400, description = "`INVALID_JSON`, `PR_REQUIRED`, `INVALID_PR_REF`, `PROJECT_NOT_RESOLVABLE`", body = ErrorBody),
        (status = 404, description = "`SESSION_NOT_FOUND`, `PR_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`SESSION_TERMINATED`, `PR_NOT_OPEN`, `PR_CLAIMED_BY_ACTIVE_SESSION` with `ownerSessionId`", body = ErrorBody),
        (status = 422, description = "`SESSION_NOT_CLAIMABLE`, `SESSION_NO_WORKSPACE`, `PR_PROJECT_MISMATCH`", body = ErrorBody),
        (status = 503, description = "`SCM_UNAVAILABLE`", body = ErrorBody),
    )
)]
pub(super) async fn claim(
    State(api): State<Api>,
    SessionPath(id): SessionPath,
    JsonBody(asked): JsonBody<ClaimPr>,
) -> Result<Response, ApiError> {
    let session = api.reader.session(&id).await?.ok_or_else(|| no_session(&id))?;
    if session.is_terminated() {
        return Err(over(&id));
    }
    if session.kind == SessionKind::Orchestrator {
        return Err(not_claimable(&id));
    }
    if session.worktree_state == WorktreeState::None {
        let message = format!(
            "`{id}` has no worktree yet, so it cannot work on a pull request: try again when it runs"
        );
        return Err(unprocessable("SESSION_NO_WORKSPACE", message));
    }
    let project = active(&api, &session.project).await.map_err(|_| {
        let message = format!("the project of `{id}` is not registered any more");
        ApiError::bad("PROJECT_NOT_RESOLVABLE", message)
    })?;
    let wanted = wanted(&api, &project, &asked.pr, asked.allow_takeover)?;
    let written = api.intents.claim(&id, &wanted, api.clock.now());
    let number = match step!("intent.claim", written)? {
        Claiming::Asked(number) => number,
        Claiming::NotFound => return Err(no_session(&id)),
        Claiming::Over => return Err(over(&id)),
    };
    let claim = answered(&api, &id, number).await?;
    if claim.state == ClaimState::Refused {
        return Err(refused(&claim));
    }
    let mut prs: Vec<PullRequest> = api
        .reader
        .pulls(Some(&id))
        .await?
        .iter()
        .map(PullRequest::from)
        .collect();
    let repository = claim.at.repo.to_string();
    prs.sort_by_key(|pr| pr.short.number != claim.at.number || pr.repository != repository);
    let (ok, status) = match claim.state {
        ClaimState::Made => (true, StatusCode::OK),
        _ => (false, StatusCode::ACCEPTED),
    };
    json(
        status,
        &PrClaimed {
            ok,
            session_id: id,
            number: claim.at.number,
            prs,
            branch_changed: false,
            taken_over_from: claim.owner.into_iter().collect(),
            foreign_code: claim.is_foreign,
        },
    )
}

/// The claim once it has its answer, or as it stands when the wait is over. Each answer changes its session's row.
async fn answered(api: &Api, id: &SessionId, number: u64) -> Result<Claim, ApiError> {
    let deadline = tokio::time::Instant::now() + api.config.patience;
    loop {
        let session = api.reader.session(id).await?.ok_or_else(|| no_session(id))?;
        let claim = api.reader.claim(number).await?.ok_or_else(|| {
            ApiError::internal(std::io::Error::other("a claim is gone that was written down"))
        })?;
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        if claim.state != ClaimState::Asked || left.is_zero() {
            return Ok(claim);
        }
        let seen = session.revision;
        let (_, changed) = wait_for(api, id, left, |now| now.revision != seen).await?;
        if !changed {
            return api.reader.claim(number).await?.ok_or_else(|| no_session(id));
        }
    }
}

/// What `text` names in the project's own repository.
pub(super) fn wanted(api: &Api, project: &Project, text: &str, takeover: bool) -> Result<Wanted, ApiError> {
    let text = text.trim();
    if text.is_empty() {
        let message = "name the pull request: its number, or its address";
        return Err(ApiError::bad("PR_REQUIRED", message));
    }
    let origin = project.origin.as_deref();
    let origin = origin.and_then(|origin| (api.repository_of)(origin));
    let invalid = |why: &str| {
        let message = format!("`{}` names no pull request: {why}", text.escape_debug());
        ApiError::bad("INVALID_PR_REF", message)
    };
    let at = match address(text) {
        Some((remote, number)) => PrRef {
            repo: (api.repository_of)(&remote)
                .ok_or_else(|| invalid("its host is no forge that is known here"))?,
            number: whole(number).ok_or_else(|| invalid("its number is none"))?,
        },
        None => PrRef {
            number: whole(text.strip_prefix('#').unwrap_or(text)).ok_or_else(|| {
                invalid("a number is wanted, or an address such as https://HOST/OWNER/NAME/pull/7")
            })?,
            repo: origin.clone().ok_or_else(|| {
                invalid("the project's repository has no origin at a forge that is known here")
            })?,
        },
    };
    if origin.as_ref() != Some(&at.repo) {
        let own = origin.as_ref().map_or_else(
            || "at no forge that is known here".to_owned(),
            RemoteRepo::to_string,
        );
        let message = format!(
            "{} is a pull request of {}, and the project `{}` is {own}",
            at, at.repo, project.id
        );
        return Err(unprocessable("PR_PROJECT_MISMATCH", message));
    }
    Ok(Wanted { at, takeover })
}

/// The repository's address and the number, of the address of a pull request.
fn address(text: &str) -> Option<(String, &str)> {
    let parts: Vec<&str> = text.strip_prefix("https://")?.split('/').collect();
    let [host, owner, name, "pull", number] = parts.as_slice() else {
        return None;
    };
    Some((format!("https://{host}/{owner}/{name}"), number))
}

/// A number as a person writes it: digits alone, and not zero.
fn whole(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse::<u64>().ok())??;
    (number > 0 && i64::try_from(number).is_ok()).then_some(number)
}

/// Why a claim came to nothing.
pub(super) fn refused(claim: &Claim) -> ApiError {
    let refusal = claim.refusal.unwrap_or(ClaimRefusal::Unavailable);
    let status = match refusal {
        ClaimRefusal::NotFound => StatusCode::NOT_FOUND,
        ClaimRefusal::NotOpen | ClaimRefusal::Owned | ClaimRefusal::Over => StatusCode::CONFLICT,
        ClaimRefusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    let error = ApiError::new(status, refusal.code(), claim.why());
    match (&claim.owner, refusal) {
        (Some(owner), ClaimRefusal::Owned) => error.detail("ownerSessionId", owner.as_str()),
        _ => error,
    }
}

pub(super) fn not_claimable(id: impl std::fmt::Display) -> ApiError {
    let message = format!("`{id}` is an orchestrator: pull requests are for workers");
    unprocessable("SESSION_NOT_CLAIMABLE", message)
}

fn over(id: &SessionId) -> ApiError {
    let message = format!("the agent of `{id}` is over: bring it back first (ao session restore {id})");
    ApiError::conflict("SESSION_TERMINATED", message)
}

fn unprocessable(code: &'static str, message: String) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_whole_or_not_at_all() {
        let of = |text| address(text).and_then(|(remote, number)| Some((remote, whole(number)?)));
        let good = Some(("https://forge.example/acme/web".to_owned(), 7));
        assert_eq!(of("https://forge.example/acme/web/pull/7"), good);
        for bad in [
            "http://forge.example/acme/web/pull/7",
            "https://forge.example/acme/web/pull/7/",
            "https://forge.example/acme/web/pull/7/files",
            "https://forge.example/acme/web/pull/",
            "https://forge.example/acme/web/pulls/7",
            "https://forge.example/web/pull/7",
            "forge.example/acme/web/pull/7",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
        for (text, number) in [
            ("7", Some(7)),
            ("007", Some(7)),
            ("0", None),
            ("", None),
            ("+7", None),
            ("7 ", None),
            ("-1", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(whole(text), number, "{text}");
        }
    }
}
