//! Notices: what a person should look at.

use ao_domain::{NoticeKind, SessionId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;

/// Something a person should know. It goes by itself when it is no longer so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// Its number, which no other has.
    pub id: u64,
    /// What it is about.
    #[schema(value_type = String)]
    pub session_id: SessionId,
    /// What kind.
    #[schema(value_type = words::NoticeKind)]
    pub kind: NoticeKind,
    /// Where a person reads more.
    pub url: String,
    /// In words.
    pub text: String,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl From<ao_domain::Notice> for Notice {
    fn from(notice: ao_domain::Notice) -> Self {
        Self {
            id: notice.id,
            session_id: notice.session,
            kind: notice.kind,
            url: notice.url,
            text: notice.text,
            created_at: notice.created_at,
        }
    }
}

/// What a person should look at, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoticeList {
    /// All that still hold.
    pub notices: Vec<Notice>,
}
