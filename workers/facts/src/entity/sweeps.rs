//! `sweeps`: rounds that are due at a time.

use sea_orm::entity::prelude::*;

use super::{parse, parse_opt};
use crate::{FactsError, Sweep};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sweeps")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    pub due_at: String,
    pub finished_at: Option<String>,
    pub note: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Sweep {
    type Error = FactsError;

    fn try_from(row: Model) -> Result<Self, FactsError> {
        const TABLE: &str = "sweeps";
        Ok(Self {
            due_at: parse(TABLE, &row.name, "due_at", &row.due_at)?,
            finished_at: parse_opt(TABLE, &row.name, "finished_at", row.finished_at.as_deref())?,
            name: row.name,
            note: row.note,
        })
    }
}
