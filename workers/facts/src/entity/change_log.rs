//! `change_log`: written by triggers, read here.

use sea_orm::entity::prelude::*;

use super::{json, parse, parse_opt};
use crate::{Change, FactsError};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "change_log")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub seq: i64,
    pub project_id: String,
    pub session_id: Option<String>,
    pub event_type: String,
    pub payload: String,
    pub created_at: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Change {
    type Error = FactsError;

    fn try_from(row: Model) -> Result<Self, FactsError> {
        const TABLE: &str = "change_log";
        let key = row.seq.to_string();
        Ok(Self {
            seq: row.seq,
            project: parse(TABLE, &key, "project_id", &row.project_id)?,
            session: parse_opt(TABLE, &key, "session_id", row.session_id.as_deref())?,
            payload: json(TABLE, &key, "payload", &row.payload)?,
            at: parse(TABLE, &key, "created_at", &row.created_at)?,
            event_type: row.event_type,
        })
    }
}
