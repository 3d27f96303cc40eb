//! Who may call: every request passes here before any handler, whatever its path.
//!
//! A loopback port is open to every user of the machine and to every page in a browser. So, in this order:
//!
//! 1. **User.** The process at the other end must be of our own user. Another user is refused, and learns
//!    nothing else; where nobody can tell (not Linux, the question failed), the caller must know the token.
//! 2. **Name.** `Host` must be this server's own, so that a page whose name was rebound to 127.0.0.1 is
//!    refused.
//! 3. **Page.** `Origin`, where there is one, must be our own, and `Sec-Fetch-Site` must not say that another
//!    site asks. Any of these headers means a browser, and a browser must know the token as well: in a
//!    header, or in a cookie that no page can read and no other site can make it send.
//! 4. **Form.** A write is JSON or empty, so that no form and no `text/plain` of a page can be one.
//! 5. **Inside.** A request from inside a session, which its `ao` says of itself, may read. It may report its
//!    own activity, and spawn and kill where it is an orchestrator. This guards against accidents, not
//!    against a hostile process of our user, which could do everything without us.

use std::str::FromStr;

use ao_domain::{SessionId, SessionKind};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, ORIGIN, TRANSFER_ENCODING,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;
use crate::{Api, Config};

/// The header by which `ao` says that it runs inside a session.
pub const SESSION_HEADER: &str = "ao-session";

/// The cookie that carries the token for browsers.
pub const TOKEN_COOKIE: &str = "ao_token";

/// Longest body taken, in bytes.
pub(crate) const BODY_MAX: usize = 1024 * 1024;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whose process is at the other end of the connection; put into every request by the server. `None`: nobody
/// can tell. A request without it counts as that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerUid(pub(crate) Option<u32>);

/// The layer around all routes and around what is no route.
pub(crate) async fn door(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match may_enter(&api, &head).await {
        Ok(()) => next.run(Request::from_parts(head, body)).await,
        Err(refused) => refused.into_response(),
    }
}

async fn may_enter(api: &Api, request: &Parts) -> Result<(), ApiError> {
    let headers = &request.headers;
    let peer = request.extensions.get::<PeerUid>().and_then(|peer| peer.0);
    let known = user(peer, &api.config)?;
    name(request, &api.config)?;
    let browser = page(headers, &api.config)?;
    token(headers, &api.config, browser || !known)?;
    let writes = !matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS);
    size(headers)?;
    if !writes {
        return Ok(());
    }
    form(headers)?;
    if api.stage.is_stopping() && request.uri.path() != "/shutdown" {
        let message = "the daemon is stopping: start it again with `ao start`, then repeat this";
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "STOPPING",
            message,
        ));
    }
    inside(api, request).await
}

/// Whether the peer is known to be our own user.
fn user(peer: Option<u32>, config: &Config) -> Result<bool, ApiError> {
    match peer {
        Some(uid) if uid == config.uid => Ok(true),
        None => Ok(false),
        Some(_) => Err(ApiError::forbidden(
            "FOREIGN_USER",
            "this daemon belongs to another user of this machine: start your own",
        )),
    }
}

/// The only header of that name; `None` when there is none, `Err` when there are several or it is not text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

fn name(request: &Parts, config: &Config) -> Result<(), ApiError> {
    let own = |name: &str| {
        let port = config.port;
        name == format!("127.0.0.1:{port}") || name.eq_ignore_ascii_case(&format!("localhost:{port}"))
    };
    let host = only(&request.headers, &HOST);
    // A request line may name a host of its own (the form meant for proxies); it must be ours too.
    let line = request.uri.authority();
    if matches!(host, Ok(Some(host)) if own(host)) && line.is_none_or(|line| own(line.as_str())) {
        return Ok(());
    }
    let message = format!(
        "ask for 127.0.0.1:{0} or localhost:{0} by exactly that name",
        config.port
    );
    Err(ApiError::forbidden("HOST_FORBIDDEN", message))
}

/// Whether a browser asks, after refusing one that another page has sent.
fn page(headers: &HeaderMap, config: &Config) -> Result<bool, ApiError> {
    let origin = only(headers, &ORIGIN);
    let port = config.port;
    let own = |origin: &str| {
        origin == format!("http://127.0.0.1:{port}") || origin == format!("http://localhost:{port}")
    };
    if !matches!(origin, Ok(None)) && !matches!(origin, Ok(Some(origin)) if own(origin)) {
        let message = "this page's origin may not call the daemon: only its own pages may";
        return Err(ApiError::forbidden("ORIGIN_FORBIDDEN", message));
    }
    if !matches!(
        only(headers, &FETCH_SITE),
        Ok(None | Some("same-origin" | "none"))
    ) {
        let message = "a page of another site may not call the daemon";
        return Err(ApiError::forbidden("CROSS_SITE_FORBIDDEN", message));
    }
    let fetched = headers.keys().any(|name| name.as_str().starts_with("sec-fetch-"));
    Ok(fetched || headers.contains_key(ORIGIN))
}

/// A token that is sent as a header must be right even where none is needed: it was meant for another daemon.
fn token(headers: &HeaderMap, config: &Config, needed: bool) -> Result<(), ApiError> {
    let refused = |message: &str| Err(ApiError::new(StatusCode::UNAUTHORIZED, "TOKEN_REQUIRED", message));
    if headers.contains_key(AUTHORIZATION) {
        let sent = only(headers, &AUTHORIZATION).ok().flatten().and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        if sent.is_some_and(|sent| same(sent, &config.token)) {
            return Ok(());
        }
        return refused("this token is not this daemon's: read it from the run file again");
    }
    if !needed || cookies(headers).any(|sent| same(sent, &config.token)) {
        return Ok(());
    }
    refused("send the token of the run file as `Authorization: Bearer …`")
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix(TOKEN_COOKIE)?.strip_prefix('='))
}

/// Compares without saying by its time how much of a guess was right. An empty token is nobody's.
fn same(sent: &str, token: &str) -> bool {
    let differ = sent
        .bytes()
        .zip(token.bytes())
        .fold(0, |differ, (a, b)| differ | (a ^ b));
    !token.is_empty() && sent.len() == token.len() && std::hint::black_box(differ) == 0
}

fn size(headers: &HeaderMap) -> Result<(), ApiError> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > BODY_MAX as u64) {
        Err(too_large())
    } else {
        Ok(())
    }
}

pub(crate) fn too_large() -> ApiError {
    let message = format!("a request may hold at most {} KiB", BODY_MAX / 1024);
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", message)
}

/// JSON, or no body and no word about one.
fn form(headers: &HeaderMap) -> Result<(), ApiError> {
    let length = headers.get(CONTENT_LENGTH).map(HeaderValue::as_bytes);
    let empty = !headers.contains_key(TRANSFER_ENCODING) && matches!(length, None | Some(b"0"));
    let json = match only(headers, &CONTENT_TYPE) {
        Ok(None) => empty,
        Ok(Some(kind)) => {
            let mut parts = kind.split(';').map(str::trim);
            let essence = parts.next().unwrap_or_default();
            essence.eq_ignore_ascii_case("application/json")
                && parts.all(|part| {
                    let (name, value) = part.split_once('=').unwrap_or((part, ""));
                    name.eq_ignore_ascii_case("charset")
                        && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
                })
        }
        Err(()) => false,
    };
    if json {
        return Ok(());
    }
    let message = "send JSON, with `content-type: application/json`";
    Err(ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "JSON_REQUIRED",
        message,
    ))
}

/// Refuses a write from inside a session, unless it is one of those allowed there.
async fn inside(api: &Api, request: &Parts) -> Result<(), ApiError> {
    let Some(claimed) = request.headers.get(SESSION_HEADER) else {
        return Ok(());
    };
    let claimed = claimed.to_str().ok().and_then(|id| SessionId::from_str(id).ok());
    let session = match &claimed {
        Some(id) => api.reader.session(id).await?,
        None => None,
    };
    let route = request.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    let allowed = match (session, route) {
        // What is no route is answered as such.
        (_, None) => true,
        (Some(session), Some("/api/v1/sessions/{sessionId}/activity")) => {
            request.uri.path() == format!("/api/v1/sessions/{}/activity", session.id)
        }
        // To its colleagues, and to itself.
        (Some(session), Some("/api/v1/sessions/{sessionId}/send")) => {
            let to = request.uri.path().split('/').nth(4);
            to.and_then(|to| SessionId::from_str(to).ok())
                .is_some_and(|to| to.project() == session.project)
        }
        (Some(session), Some("/api/v1/sessions" | "/api/v1/sessions/{sessionId}/kill")) => {
            session.kind == SessionKind::Orchestrator
        }
        _ => false,
    };
    if allowed {
        return Ok(());
    }
    let message = "this is not for the agent inside a session: only an orchestrator may spawn and kill sessions, messages go to \
                   sessions of the same project, and all else is for a person at a terminal of their own";
    Err(ApiError::forbidden("INSIDE_SESSION", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_compared_whole() {
        assert!(same("abc", "abc"));
        for wrong in ["", "ab", "abd", "abcd"] {
            assert!(!same(wrong, "abc"), "{wrong}");
        }
        assert!(!same("", ""));
    }

    #[test]
    fn the_token_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "a=b; ao_token=one; ao_tokens=two".parse().unwrap());
        headers.append(COOKIE, "ao_token=three".parse().unwrap());
        assert_eq!(cookies(&headers).collect::<Vec<_>>(), ["one", "three"]);
    }

    #[test]
    fn a_write_is_json_or_empty() {
        let form = |lines: &[(&HeaderName, &str)]| {
            let headers = lines
                .iter()
                .map(|(name, value)| ((*name).clone(), value.parse().unwrap()));
            super::form(&headers.collect()).is_ok()
        };
        assert!(form(&[]));
        assert!(form(&[(&CONTENT_LENGTH, "0")]));
        assert!(form(&[
            (&CONTENT_LENGTH, "2"),
            (&CONTENT_TYPE, "Application/JSON; charset=\"UTF-8\"")
        ]));
        assert!(!form(&[(&CONTENT_LENGTH, "2")]));
        assert!(!form(&[(&TRANSFER_ENCODING, "chunked")]));
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json; a=b",
            "application/jsonx",
            "",
        ] {
            assert!(!form(&[(&CONTENT_TYPE, kind)]), "{kind}");
        }
    }
}
