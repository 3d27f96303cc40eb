//! Every refusal and failure as one type, and the one place that turns it into an answer.
//!
//! A handler returns an [`ApiError`]; it travels to [`envelope`], the outermost layer, as a part of an empty
//! response. There the request's number is known, the client's words are written and the log gets the cause,
//! so that no inner text leaks into an answer. Whatever else comes out without being a success (axum's own
//! 404 and 405, a panic) gets the same form there.

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use ao_facts::FactsError;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::Instrument;

use crate::wire::ErrorBody;

/// The header that carries a request's number. Ours only: one sent by a client is not looked at.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An answer that is not a success. What it says is for the client; `source` is for the log only.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Map<String, Value>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            details: Map::new(),
            source: None,
        }
    }

    /// 400: what was asked cannot be done as it was put.
    pub(crate) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 403: who asks may not.
    pub(crate) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    /// 404: what was asked about is not there.
    pub(crate) fn missing(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// 409: the facts stand against it.
    pub(crate) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// 500: nobody foresaw it. The cause goes into the log, not to the client.
    pub(crate) fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let message = "something went wrong inside the daemon: its log names this request and the cause";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", message).because(source)
    }

    /// 507: there is no room. Nothing was written.
    pub(crate) fn disk_full(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let message = "the disk that holds the data directory is full or failing, nothing was written: make room, then repeat this";
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "DISK_FULL", message).because(source)
    }

    /// No route has this path.
    pub(crate) fn no_route(path: &str) -> Self {
        Self::missing("ROUTE_NOT_FOUND", format!("there is nothing at `{path}`"))
    }

    /// Adds something for programs.
    #[must_use]
    pub(crate) fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub(crate) fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// What a handler may pass on with `?`: every one of these leaves the facts as they were.
impl From<FactsError> for ApiError {
    fn from(error: FactsError) -> Self {
        match error {
            FactsError::Full { .. } => Self::disk_full(error),
            FactsError::Busy { .. } => {
                let message =
                    "another program holds the database, nothing was written: repeat this in a moment";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "DATABASE_BUSY", message).because(error)
            }
            FactsError::Damaged { .. } | FactsError::Moved { .. } => {
                let message = error.to_string();
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "DATABASE_UNUSABLE", message).because(error)
            }
            other => Self::internal(other),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// A successful answer: one JSON object and a newline, so that a terminal shows it well.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Result<Response, ApiError> {
    let mut text = serde_json::to_vec(body).map_err(ApiError::internal)?;
    text.push(b'\n');
    let mut response = (status, text).into_response();
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    Ok(response)
}

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// The outermost layer: gives the request its number, catches a panic, and puts every answer that is not a
/// success into the one form.
pub(crate) async fn envelope(request: Request, next: Next) -> Response {
    let id = random_hex();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!("request", id, %method, path);
    let answered = AssertUnwindSafe(next.run(request).instrument(span.clone()))
        .catch_unwind()
        .await;
    let _entered = span.enter();
    let mut response = answered.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().copied().map(str::to_owned);
        let said = said
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        ApiError::internal(format!("the handler panicked: {said}")).into_response()
    });
    let status = response.status();
    tracing::debug!(status = status.as_u16(), "answered");
    if !status.is_success() {
        let error = response.extensions_mut().remove::<Arc<ApiError>>();
        let error = error.unwrap_or_else(|| Arc::new(unnamed(status, method.as_str(), &path)));
        if let Some(source) = &error.source {
            tracing::error!(
                error = &**source as &dyn Error,
                code = error.code,
                "request failed"
            );
        }
        let body = ErrorBody {
            error: word(status).to_owned(),
            code: error.code.to_owned(),
            message: error.message.clone(),
            request_id: id.clone(),
            details: error.details.clone(),
        };
        let mut text = serde_json::to_vec(&body).expect("texts and a map with text keys are JSON");
        text.push(b'\n');
        // Headers stay, so that a 405 keeps its `Allow`; the length is that of the new body.
        response.headers_mut().remove(axum::http::header::CONTENT_LENGTH);
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        *response.body_mut() = text.into();
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, HeaderValue::from_str(&id).expect("hex digits"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// What axum refused by itself.
fn unnamed(status: StatusCode, method: &str, path: &str) -> ApiError {
    match status {
        StatusCode::NOT_FOUND => ApiError::no_route(path),
        StatusCode::METHOD_NOT_ALLOWED => ApiError::new(
            status,
            "METHOD_NOT_ALLOWED",
            format!("`{path}` does not take {method}"),
        ),
        _ if status.is_server_error() => ApiError::internal(format!("an answer of {status} without a cause")),
        _ => ApiError::new(
            status,
            "BAD_REQUEST",
            status.canonical_reason().unwrap_or("refused"),
        ),
    }
}

/// The coarse word of the envelope.
fn word(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "bad_request",
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::REQUEST_TIMEOUT => "request_timeout",
        StatusCode::CONFLICT => "conflict",
        StatusCode::PAYLOAD_TOO_LARGE => "payload_too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
        StatusCode::UNPROCESSABLE_ENTITY => "unprocessable",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        StatusCode::INSUFFICIENT_STORAGE => "insufficient_storage",
        _ if status.is_server_error() => "internal",
        _ => "bad_request",
    }
}

/// Sixteen random bytes as 32 hex digits: hard to guess, and the same for nobody else.
pub(crate) fn random_hex() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the kernel's random numbers are there since early boot");
    bytes.iter().fold(String::with_capacity(32), |mut text, byte| {
        use std::fmt::Write;
        let _ = write!(text, "{byte:02x}");
        text
    })
}
