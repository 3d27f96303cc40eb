//! What handlers take out of a request, each refused in our own words.

use std::str::FromStr;
use std::time::Duration;

use ao_domain::{ProjectId, SessionId};
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::door::{BODY_MAX, too_large};
use crate::error::ApiError;

/// How long a body may take to arrive: a megabyte over loopback takes milliseconds.
const BODY_TIME: Duration = Duration::from_secs(10);

/// A body that has to be one JSON object of this form, with nothing after it.
pub(crate) struct JsonBody<T>(pub(crate) T);

/// The same, or no body at all.
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        parse(&read(request.into_body()).await?).map(Self)
    }
}

impl<S: Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let body = read(request.into_body()).await?;
        if body.is_empty() {
            Ok(Self(T::default()))
        } else {
            parse(&body).map(Self)
        }
    }
}

async fn read(body: Body) -> Result<Bytes, ApiError> {
    let read = Limited::new(body, BODY_MAX).collect();
    match tokio::time::timeout(BODY_TIME, read).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(ApiError::bad("INVALID_JSON", "the body broke off")),
        Err(_) => {
            let message = format!("the body did not arrive within {} s", BODY_TIME.as_secs());
            Err(ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "BODY_TIMEOUT",
                message,
            ))
        }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // Said before serde is asked: it would take a list for an object with its fields in order.
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(ApiError::bad("INVALID_JSON", "the body is not a JSON object"));
    }
    // serde's words name an unknown or doubled key, and the place; they hold nothing but what the client sent.
    serde_json::from_slice(body)
        .map_err(|error| ApiError::bad("INVALID_JSON", format!("the body does not read: {error}")))
}

/// The session a path names. What cannot be a session's id is not there.
pub(crate) struct SessionPath(pub(crate) SessionId);

impl<S: Send + Sync> FromRequestParts<S> for SessionPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = segment(parts, state).await;
        SessionId::from_str(&text)
            .map(Self)
            .map_err(|_| no_session(&text))
    }
}

pub(crate) fn no_session(id: impl std::fmt::Display) -> ApiError {
    ApiError::missing(
        "SESSION_NOT_FOUND",
        format!("there is no session `{id}`: see `ao session ls`"),
    )
}

/// The project a path names.
pub(crate) struct ProjectPath(pub(crate) ProjectId);

impl<S: Send + Sync> FromRequestParts<S> for ProjectPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = segment(parts, state).await;
        text.parse()
            .map(Self)
            .map_err(|error: ao_domain::InvalidId| ApiError::bad("INVALID_PROJECT_ID", error.to_string()))
    }
}

pub(crate) fn no_project(id: &ProjectId) -> ApiError {
    ApiError::missing(
        "PROJECT_NOT_FOUND",
        format!("there is no project `{id}`: see `ao project ls`"),
    )
}

/// The one parameter of the path; empty when it is not text.
async fn segment<S: Send + Sync>(parts: &mut Parts, state: &S) -> String {
    Path::<String>::from_request_parts(parts, state)
        .await
        .map(|Path(text)| text)
        .unwrap_or_default()
}

/// What stands behind the question mark. Unknown and doubled names are refused.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let read = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        read.map(|query| Self(query.0)).map_err(|error| {
            use std::error::Error;
            let said = error
                .source()
                .map_or_else(|| error.to_string(), ToString::to_string);
            ApiError::bad("INVALID_QUERY", format!("the query does not read: {said}"))
        })
    }
}

/// A yes or no in a query, in any of the spellings that have always been taken.
pub(crate) fn flag(name: &str, text: Option<&str>) -> Result<Option<bool>, ApiError> {
    match text {
        None => Ok(None),
        Some("1" | "t" | "T" | "TRUE" | "true" | "True") => Ok(Some(true)),
        Some("0" | "f" | "F" | "FALSE" | "false" | "False") => Ok(Some(false)),
        Some(other) => Err(ApiError::bad(
            "INVALID_QUERY",
            format!("`{name}` is true or false, not `{other}`"),
        )),
    }
}
