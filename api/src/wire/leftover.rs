//! What carries our names and belongs to nobody any more.

use ao_domain::SessionId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something that is left over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Leftover {
    /// What it is, in one line.
    pub what: String,
    /// Why it is named here.
    pub why: String,
    /// Whether the janitor takes it back by itself; what it does not, it never touches.
    pub goes: bool,
    /// The command that takes it back, where a session that is over still has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how_to_remove: Option<String>,
    /// The session that its name, or our record, speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub session_id: Option<SessionId>,
    /// The repository it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
}

/// What could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unread {
    /// What it is, in a few words.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeftoverList {
    /// By kind, then by name.
    pub leftovers: Vec<Leftover>,
    /// Where nothing could be found out.
    pub unread: Vec<Unread>,
}
