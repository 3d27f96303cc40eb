//! `pull_requests`.

use ao_domain::{PrFacts, PrRef, PullRequest};
use sea_orm::entity::prelude::*;

use super::{json, number, parse, parse_opt};
use crate::FactsError;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "pull_requests")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub session_id: String,
    pub repository: String,
    pub number: i64,
    pub url: String,
    pub title: String,
    pub author: String,
    pub state: String,
    pub head_branch: String,
    pub head: String,
    pub head_repo: Option<String>,
    pub base_branch: String,
    pub base: String,
    pub review: String,
    pub mergeability: String,
    pub queued_to_merge: bool,
    pub ci: String,
    pub failing: String,
    pub fingerprint: String,
    pub detailed_at: Option<String>,
    pub read_at: Option<String>,
    pub changed_at: String,
    pub wake_at: Option<String>,
    pub followed: bool,
    pub trouble: Option<String>,
    pub failures: i64,
    pub created_at: String,
    pub updated_at: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for PullRequest {
    type Error = FactsError;

    fn try_from(row: Model) -> Result<Self, FactsError> {
        const TABLE: &str = "pull_requests";
        let key = row.url.as_str();
        Ok(Self {
            id: number(TABLE, key, "id", row.id)?,
            session: parse(TABLE, key, "session_id", &row.session_id)?,
            ci: parse(TABLE, key, "ci", &row.ci)?,
            failing: json(TABLE, key, "failing", &row.failing)?,
            detailed_at: parse_opt(TABLE, key, "detailed_at", row.detailed_at.as_deref())?,
            read_at: parse_opt(TABLE, key, "read_at", row.read_at.as_deref())?,
            changed_at: parse(TABLE, key, "changed_at", &row.changed_at)?,
            wake_at: parse_opt(TABLE, key, "wake_at", row.wake_at.as_deref())?,
            failures: number(TABLE, key, "failures", row.failures)?,
            created_at: parse(TABLE, key, "created_at", &row.created_at)?,
            updated_at: parse(TABLE, key, "updated_at", &row.updated_at)?,
            facts: PrFacts {
                at: PrRef {
                    repo: parse(TABLE, key, "repository", &row.repository)?,
                    number: number(TABLE, key, "number", row.number)?,
                },
                state: parse(TABLE, key, "state", &row.state)?,
                head_repo: parse_opt(TABLE, key, "head_repo", row.head_repo.as_deref())?,
                review: parse(TABLE, key, "review", &row.review)?,
                mergeability: parse(TABLE, key, "mergeability", &row.mergeability)?,
                queued_to_merge: row.queued_to_merge,
                url: row.url,
                title: row.title,
                author: row.author,
                head_branch: row.head_branch,
                head: row.head,
                base_branch: row.base_branch,
                base: row.base,
            },
            fingerprint: row.fingerprint,
            followed: row.followed,
            trouble: row.trouble,
        })
    }
}
