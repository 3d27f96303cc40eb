//! The change log as a stream of server-sent events.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::Api;
use crate::error::ApiError;
use crate::extract::Query;
use crate::wire::{ErrorBody, Event};

/// From where on.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct From {
    /// The number of the last event that is known; 0 for none.
    #[param(value_type = Option<i64>, minimum = 0)]
    after: Option<String>,
    /// `false` leaves out what happens in the supervision tree.
    #[param(value_type = Option<bool>)]
    tree: Option<String>,
}

/// Everything that changes, once and in order.
///
/// Begins just after `after`, else after the header `Last-Event-ID`, else with the oldest event that is kept.
/// Each event has its `seq` as SSE id, its `type` as SSE event and an `Event` as data. Two more kinds have no
/// `type` of the log: `reset`, when the log does not reach back to the cursor (its data has `floor` and
/// `head`; read everything anew, then go on after `head`), and `bye`, with a `reason`. After either the
/// stream ends. A comment comes every 15 s. Who takes nothing for some time is cut off and may come back with
/// the cursor.
///
/// Between them come `tree` events, each a `TreeEvent` without an SSE id: what happens in the supervision tree from now on. They
/// are not kept. Whoever is too slow for them gets one `tree_lagged` with the number of those `missed`, and is to look at
/// `/api/v1/tree`, whose `seq` says which events are in it.
#[utoipa::path(
    get, path = "/api/v1/events", operation_id = "streamEvents", tag = "events",
    params(From, ("Last-Event-ID" = Option<i64>, Header, description = "As `after`, sent by browsers that come back")),
    responses(
        (status = 200, description = "The stream", body = Event, content_type = "text/event-stream"),
        (status = 400, description = "`INVALID_AFTER`, `INVALID_QUERY`", body = ErrorBody),
    )
)]
pub(super) async fn events(
    State(api): State<Api>,
    headers: HeaderMap,
    Query(from): Query<From>,
) -> Result<Response, ApiError> {
    let invalid = || ApiError::bad("INVALID_AFTER", "the cursor is the number of an event, or 0");
    let cursor = match (from.after, headers.get("last-event-id")) {
        (Some(after), _) => Some(after),
        (None, Some(last)) => Some(last.to_str().map_err(|_| invalid())?.to_owned()),
        (None, None) => None,
    };
    let tree = match from.tree.as_deref() {
        None | Some("true") => true,
        Some("false") => false,
        Some(_) => {
            return Err(ApiError::bad("INVALID_QUERY", "`tree` is true or false"));
        }
    };
    let head = api.reader.head_seq().await?;
    let floor = api.reader.floor_seq().await?;
    let after = match cursor {
        Some(text) => text
            .parse::<i64>()
            .ok()
            .filter(|after| *after >= 0)
            .ok_or_else(invalid)?,
        None => floor,
    };
    if after > head {
        let message =
            format!("the newest event is {head}, so {after} is not of this log: read everything anew");
        return Err(ApiError::bad("INVALID_AFTER", message).detail("head", head));
    }
    Ok(crate::events::stream(&api, after, tree))
}
