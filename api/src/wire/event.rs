//! One entry of the change log as the event stream sends it.

use ao_domain::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something that changed, written in the transaction of the change itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Its place in the log; also the SSE `id`, to go on from.
    pub seq: i64,
    /// The project it is about.
    pub project_id: String,
    /// The session it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// What happened, such as `session_updated`; also the SSE `event`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The changed row in short.
    #[schema(value_type = Object)]
    pub payload: serde_json::Value,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}
