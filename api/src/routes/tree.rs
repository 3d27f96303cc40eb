//! The supervision tree: shown, a child started again, parked, or tried again when it is, and with `AO_CHAOS=1` a child made to fail.

use ao_supervisor::TreeError;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::Api;
use crate::error::{ApiError, json};
use crate::extract::JsonBody;
use crate::wire::{ErrorBody, Tree, TreeDone, TreePath};

/// The tree as it stands.
#[utoipa::path(
    get, path = "/api/v1/tree", operation_id = "getTree", tag = "tree",
    responses((status = 200, description = "The tree", body = Tree))
)]
pub(super) async fn show(State(api): State<Api>) -> Result<Response, ApiError> {
    json(StatusCode::OK, &Tree::from(&api.tree.snapshot()))
}

/// Orders that a parked child be tried again now, with a fresh budget.
#[utoipa::path(
    post, path = "/api/v1/tree/resume", operation_id = "resumeChild", tag = "tree", request_body = TreePath,
    responses(
        (status = 202, description = "The order stands in its supervisor's queue", body = TreeDone),
        (status = 400, description = "`INVALID_JSON`", body = ErrorBody),
        (status = 404, description = "`CHILD_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`CHILD_NOT_PARKED` with `state`", body = ErrorBody),
        (status = 503, description = "`CHILD_UNSUPERVISED`", body = ErrorBody),
    )
)]
pub(super) async fn resume(
    State(api): State<Api>,
    JsonBody(asked): JsonBody<TreePath>,
) -> Result<Response, ApiError> {
    let done = api.tree.resume(&asked.path);
    answer(StatusCode::ACCEPTED, done, asked.path)
}

/// Orders that a child be stopped in good order and started again, whatever it is up to. Counts as nobody's crash.
#[utoipa::path(
    post, path = "/api/v1/tree/restart", operation_id = "restartChild", tag = "tree", request_body = TreePath,
    responses(
        (status = 202, description = "The order stands in its supervisor's queue", body = TreeDone),
        (status = 400, description = "`INVALID_JSON`", body = ErrorBody),
        (status = 404, description = "`CHILD_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`CHILD_IS_ROOT`, `CHILD_IS_STUCK`, `CHILD_IS_TEMPORARY`", body = ErrorBody),
        (status = 503, description = "`CHILD_UNSUPERVISED`", body = ErrorBody),
    )
)]
pub(super) async fn restart(
    State(api): State<Api>,
    JsonBody(asked): JsonBody<TreePath>,
) -> Result<Response, ApiError> {
    let done = api.tree.restart(&asked.path);
    answer(StatusCode::ACCEPTED, done, asked.path)
}

/// Orders that a child be stopped in good order and kept down until it is resumed. One that is stuck is parked when it ends.
#[utoipa::path(
    post, path = "/api/v1/tree/park", operation_id = "parkChild", tag = "tree", request_body = TreePath,
    responses(
        (status = 202, description = "The order stands in its supervisor's queue", body = TreeDone),
        (status = 400, description = "`INVALID_JSON`", body = ErrorBody),
        (status = 404, description = "`CHILD_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`CHILD_IS_ROOT`, `CHILD_IS_PARKED`, `CHILD_CARRIES_OTHERS`, `CHILD_IS_RELIED_ON`, `CHILD_IS_TEMPORARY`", body = ErrorBody),
        (status = 503, description = "`CHILD_UNSUPERVISED`", body = ErrorBody),
    )
)]
pub(super) async fn park(
    State(api): State<Api>,
    JsonBody(asked): JsonBody<TreePath>,
) -> Result<Response, ApiError> {
    let done = api.tree.park(&asked.path);
    answer(StatusCode::ACCEPTED, done, asked.path)
}

/// Makes a child panic. Only with `AO_CHAOS=1`, else 404 `ROUTE_NOT_FOUND`.
#[utoipa::path(
    post, path = "/api/v1/tree/crash", operation_id = "crashChild", tag = "tree", request_body = TreePath,
    responses(
        (status = 200, description = "It panics when it is next polled", body = TreeDone),
        (status = 400, description = "`INVALID_JSON`", body = ErrorBody),
        (status = 404, description = "`CHILD_NOT_FOUND`, `ROUTE_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`CHILD_IS_ROOT`", body = ErrorBody),
    )
)]
pub(super) async fn crash(
    State(api): State<Api>,
    JsonBody(asked): JsonBody<TreePath>,
) -> Result<Response, ApiError> {
    let done = api.tree.crash(&asked.path);
    answer(StatusCode::OK, done, asked.path)
}

/// Makes a child hang. Only with `AO_CHAOS=1`, else 404 `ROUTE_NOT_FOUND`.
#[utoipa::path(
    post, path = "/api/v1/tree/hang", operation_id = "hangChild", tag = "tree", request_body = TreePath,
    responses(
        (status = 200, description = "It is not polled any more", body = TreeDone),
        (status = 400, description = "`INVALID_JSON`", body = ErrorBody),
        (status = 404, description = "`CHILD_NOT_FOUND`, `ROUTE_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`CHILD_IS_ROOT`", body = ErrorBody),
    )
)]
pub(super) async fn hang(
    State(api): State<Api>,
    JsonBody(asked): JsonBody<TreePath>,
) -> Result<Response, ApiError> {
    let done = api.tree.hang(&asked.path);
    answer(StatusCode::OK, done, asked.path)
}

/// Makes a child keep its thread until three seconds after it was given up. Only with `AO_CHAOS=1`, else 404 `ROUTE_NOT_FOUND`.
#[utoipa::path(
    post, path = "/api/v1/tree/spin", operation_id = "spinChild", tag = "tree", request_body = TreePath,
    responses(
        (status = 200, description = "It does not yield when it is next polled", body = TreeDone),
        (status = 400, description = "`INVALID_JSON`", body = ErrorBody),
        (status = 404, description = "`CHILD_NOT_FOUND`, `ROUTE_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`CHILD_IS_ROOT`", body = ErrorBody),
    )
)]
pub(super) async fn spin(
    State(api): State<Api>,
    JsonBody(asked): JsonBody<TreePath>,
) -> Result<Response, ApiError> {
    let done = api.tree.spin(&asked.path);
    answer(StatusCode::OK, done, asked.path)
}

fn answer(status: StatusCode, done: Result<(), TreeError>, path: String) -> Result<Response, ApiError> {
    let Err(error) = done else {
        return json(status, &TreeDone { ok: true, path });
    };
    let message = format!("{error}: see `ao tree`");
    Err(match error {
        TreeError::NotFound { .. } => ApiError::missing("CHILD_NOT_FOUND", message),
        TreeError::NotParked { state, .. } => {
            ApiError::conflict("CHILD_NOT_PARKED", message).detail("state", state.as_str())
        }
        TreeError::Root { .. } => ApiError::conflict("CHILD_IS_ROOT", message),
        TreeError::Stuck { .. } => ApiError::conflict("CHILD_IS_STUCK", message),
        TreeError::Parked { .. } => ApiError::conflict("CHILD_IS_PARKED", message),
        TreeError::CarriesOthers { .. } => ApiError::conflict("CHILD_CARRIES_OTHERS", message),
        TreeError::Relied { .. } => ApiError::conflict("CHILD_IS_RELIED_ON", message),
        TreeError::Temporary { .. } => ApiError::conflict("CHILD_IS_TEMPORARY", message),
        TreeError::Unsupervised { .. } => {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "CHILD_UNSUPERVISED", message)
        }
    })
}
