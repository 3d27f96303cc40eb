//! `session_process`: one row a session, about its newest generation.

use ao_domain::ProcessFacts;
use sea_orm::entity::prelude::*;

use super::{json, number, parse};
use crate::FactsError;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "session_process")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub session_id: String,
    pub generation: i64,
    pub holder: Option<String>,
    pub agent: Option<String>,
    pub looked: String,
    pub looked_at: String,
    pub since: String,
    pub looks: i64,
    pub exit: Option<String>,
    pub note: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    #[sea_orm(
        belongs_to = "super::sessions::Entity",
        from = "Column::SessionId",
        to = "super::sessions::Column::Id"
    )]
    Session,
}

impl Related<super::sessions::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Session.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for ProcessFacts {
    type Error = FactsError;

    fn try_from(row: Model) -> Result<Self, FactsError> {
        const TABLE: &str = "session_process";
        let key = row.session_id.as_str();
        let json_opt = |column, text: &Option<String>| {
            text.as_deref()
                .map(|text| json(TABLE, key, column, text))
                .transpose()
        };
        Ok(Self {
            generation: number(TABLE, key, "generation", row.generation)?,
            holder: json_opt("holder", &row.holder)?,
            agent: json_opt("agent", &row.agent)?,
            looked: parse(TABLE, key, "looked", &row.looked)?,
            looked_at: parse(TABLE, key, "looked_at", &row.looked_at)?,
            since: parse(TABLE, key, "since", &row.since)?,
            looks: number(TABLE, key, "looks", row.looks)?,
            exit: row
                .exit
                .as_deref()
                .map(|text| json(TABLE, key, "exit", text))
                .transpose()?,
            note: row.note,
        })
    }
}
