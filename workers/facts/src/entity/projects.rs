//! `projects`.

use ao_domain::{Project, ProjectConfig};
use sea_orm::entity::prelude::*;

use super::{json, parse, parse_opt};
use crate::FactsError;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "projects")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub path: String,
    pub origin: Option<String>,
    pub display_name: String,
    pub default_branch: String,
    pub registered_at: String,
    pub archived_at: Option<String>,
    pub updated_at: String,
    pub config: String,
    pub moves_to: Option<String>,
    pub move_failed: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Project {
    type Error = FactsError;

    fn try_from(row: Model) -> Result<Self, FactsError> {
        const TABLE: &str = "projects";
        let config: ProjectConfig = json(TABLE, &row.id, "config", &row.config)?;
        Ok(Self {
            registered_at: parse(TABLE, &row.id, "registered_at", &row.registered_at)?,
            archived_at: parse_opt(TABLE, &row.id, "archived_at", row.archived_at.as_deref())?,
            id: parse(TABLE, &row.id, "id", &row.id)?,
            path: row.path.into(),
            origin: row.origin,
            display_name: row.display_name,
            default_branch: row.default_branch,
            config,
            moves_to: row.moves_to.map(Into::into),
            move_failed: row.move_failed,
        })
    }
}
