//! The one form of every answer that is not a success.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What went wrong. `code` never changes its meaning; `message` is for people and may be reworded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// The coarse word for the HTTP status, such as `not_found`.
    pub error: String,
    /// The stable name of this error, such as `SESSION_NOT_FOUND`.
    pub code: String,
    /// What happened and what to do next.
    pub message: String,
    /// The request as the daemon's log names it; the header `x-request-id` says the same.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// More for programs, by error.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = Object)]
    pub details: serde_json::Map<String, serde_json::Value>,
}

impl ErrorBody {
    /// A text of `details`, where it has one of that name.
    pub fn detail(&self, name: &str) -> Option<&str> {
        self.details.get(name)?.as_str()
    }
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
