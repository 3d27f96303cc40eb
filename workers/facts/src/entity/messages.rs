//! `messages`.

use ao_domain::Message;
use sea_orm::entity::prelude::*;

use super::{json_opt, number, parse, parse_opt};
use crate::FactsError;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "messages")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub session_id: String,
    pub key: Option<String>,
    pub kind: String,
    pub sender: Option<String>,
    pub body: String,
    pub dialog: Option<String>,
    pub state: String,
    pub attempts: i64,
    pub typings: i64,
    pub perhaps: bool,
    pub begun: bool,
    pub generation: Option<i64>,
    pub typed: Option<String>,
    pub file: Option<String>,
    pub reason: Option<String>,
    pub try_at: Option<String>,
    pub queued_at: String,
    pub state_at: String,
    pub about: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Message {
    type Error = FactsError;

    fn try_from(row: Model) -> Result<Self, FactsError> {
        const TABLE: &str = "messages";
        let key = row.id.to_string();
        let key = key.as_str();
        let generation = row.generation.map(|n| number(TABLE, key, "generation", n));
        Ok(Self {
            id: number(TABLE, key, "id", row.id)?,
            session: parse(TABLE, key, "session_id", &row.session_id)?,
            kind: parse(TABLE, key, "kind", &row.kind)?,
            sender: parse_opt(TABLE, key, "sender", row.sender.as_deref())?,
            dialog: json_opt(TABLE, key, "dialog", row.dialog.as_deref())?,
            state: parse(TABLE, key, "state", &row.state)?,
            attempts: number(TABLE, key, "attempts", row.attempts)?,
            typings: number(TABLE, key, "typings", row.typings)?,
            generation: generation.transpose()?,
            try_at: parse_opt(TABLE, key, "try_at", row.try_at.as_deref())?,
            queued_at: parse(TABLE, key, "queued_at", &row.queued_at)?,
            state_at: parse(TABLE, key, "state_at", &row.state_at)?,
            about: parse_opt(TABLE, key, "about", row.about.as_deref())?,
            perhaps: row.perhaps,
            body: row.body,
            typed: row.typed,
            file: row.file.map(Into::into),
            reason: row.reason,
        })
    }
}
