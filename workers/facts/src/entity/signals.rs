//! `signals`: hook records that counted.

use sea_orm::entity::prelude::*;

use super::{number, parse, parse_opt};
use crate::{FactsError, SignalSeen};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "signals")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub seq: i64,
    pub event_id: String,
    pub session_id: String,
    pub generation: i64,
    pub agent: String,
    pub event: String,
    pub state: Option<String>,
    pub at: String,
    pub boot: String,
    pub boot_ms: i64,
    pub tool: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for SignalSeen {
    type Error = FactsError;

    fn try_from(row: Model) -> Result<Self, FactsError> {
        const TABLE: &str = "signals";
        let key = row.event_id.as_str();
        Ok(Self {
            generation: number(TABLE, key, "generation", row.generation)?,
            state: parse_opt(TABLE, key, "state", row.state.as_deref())?,
            at: parse(TABLE, key, "at", &row.at)?,
            boot_ms: number(TABLE, key, "boot_ms", row.boot_ms)?,
            id: row.event_id,
            agent: row.agent,
            event: row.event,
            boot: row.boot,
            tool: row.tool,
        })
    }
}
