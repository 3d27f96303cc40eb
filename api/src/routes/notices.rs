//! Notices: what a person should look at, as long as it is so.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::Api;
use crate::error::{ApiError, json};
use crate::wire::{Notice, NoticeList};

/// What a person should look at.
#[utoipa::path(
    get, path = "/api/v1/notices", operation_id = "listNotices", tag = "prs",
    responses((status = 200, description = "All that still hold, newest first", body = NoticeList))
)]
pub(super) async fn list(State(api): State<Api>) -> Result<Response, ApiError> {
    let notices = api.reader.open_notices().await?.into_iter();
    json(
        StatusCode::OK,
        &NoticeList {
            notices: notices.map(Notice::from).collect(),
        },
    )
}
