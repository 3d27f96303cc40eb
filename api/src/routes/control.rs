//! Whether a daemon is there, and asking it to stop.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::DOCUMENT;
use crate::Api;
use crate::error::{ApiError, json};
use crate::wire::{ErrorBody, Health, SERVICE};

fn health(api: &Api, status: &str) -> Health {
    Health {
        status: status.to_owned(),
        service: SERVICE.to_owned(),
        pid: api.config.pid,
        version: api.config.version.clone(),
        data_dir: api.config.data_dir.to_string(),
    }
}

/// Whether the daemon lives.
#[utoipa::path(
    get, path = "/healthz", operation_id = "healthz", tag = "control",
    responses((status = 200, description = "It does", body = Health))
)]
pub(super) async fn healthz(State(api): State<Api>) -> Result<Response, ApiError> {
    json(StatusCode::OK, &health(&api, "ok"))
}

/// Whether everything is up.
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "control",
    responses(
        (status = 200, description = "It is", body = Health),
        (status = 503, description = "`STARTING`, `STOPPING`; `details` is a `Health`", body = ErrorBody),
    )
)]
pub(super) async fn readyz(State(api): State<Api>) -> Result<Response, ApiError> {
    if api.stage.is_ready() {
        return json(StatusCode::OK, &health(&api, "ready"));
    }
    let (code, status, message) = if api.stage.is_stopping() {
        ("STOPPING", "stopping", "the daemon is stopping")
    } else {
        ("STARTING", "starting", "the daemon is starting")
    };
    let health = serde_json::to_value(health(&api, status)).map_err(ApiError::internal)?;
    let fields = health.as_object().into_iter().flatten();
    let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, message);
    Err(fields.fold(error, |error, (name, value)| error.detail(name, value.clone())))
}

/// Asks the daemon to stop. Agents go on. Safe to repeat.
#[utoipa::path(
    post, path = "/shutdown", operation_id = "shutdown", tag = "control",
    responses((status = 202, description = "It is going to", body = Health))
)]
pub(super) async fn shutdown(State(api): State<Api>) -> Result<Response, ApiError> {
    api.stage.stop();
    json(StatusCode::ACCEPTED, &health(&api, "shutting_down"))
}

/// The document of this API.
pub(super) async fn document() -> Response {
    ([(CONTENT_TYPE, "application/yaml; charset=utf-8")], DOCUMENT).into_response()
}
