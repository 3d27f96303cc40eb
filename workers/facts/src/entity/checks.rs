//! `checks`.

use ao_domain::Check;
use sea_orm::entity::prelude::*;

use super::{number, parse, parse_opt};
use crate::FactsError;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "checks")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub pr: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    pub name: String,
    pub status: String,
    pub conclusion: String,
    pub url: String,
    pub attempt: Option<String>,
    pub position: i64,
    pub required: bool,
    pub summary: String,
    pub started_at: Option<String>,
    pub completed_at: Option<String>,
    pub evidence: String,
    pub step: Option<String>,
    pub log: String,
    pub updated_at: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Check {
    type Error = FactsError;

    fn try_from(row: Model) -> Result<Self, FactsError> {
        const TABLE: &str = "checks";
        let key = row.key.as_str();
        Ok(Self {
            status: parse(TABLE, key, "status", &row.status)?,
            order: number(TABLE, key, "position", row.position)?,
            started_at: parse_opt(TABLE, key, "started_at", row.started_at.as_deref())?,
            completed_at: parse_opt(TABLE, key, "completed_at", row.completed_at.as_deref())?,
            evidence: parse(TABLE, key, "evidence", &row.evidence)?,
            required: row.required,
            name: row.name,
            conclusion: row.conclusion,
            url: row.url,
            attempt: row.attempt,
            summary: row.summary,
            step: row.step,
            log: row.log,
            key: row.key,
        })
    }
}
