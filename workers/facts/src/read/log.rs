//! The change log.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::Reader;
use crate::entity::change_log;
use crate::error::read;
use crate::{Change, FactsError};

impl Reader {
    /// Up to `limit` changes after number `seq`, in order. A first one that is not `seq + 1` means that those between
    /// were pruned.
    pub async fn changes_after(&self, seq: i64, limit: u32) -> Result<Vec<Change>, FactsError> {
        let rows = change_log::Entity::find()
            .filter(change_log::Column::Seq.gt(seq))
            .order_by_asc(change_log::Column::Seq)
            .limit(u64::from(limit))
            .all(self.store.readers())
            .await;
        rows.map_err(read("the change log"))?
            .into_iter()
            .map(TryInto::try_into)
            .collect()
    }

    /// The newest number of the log; 0 before the first change.
    pub async fn head_seq(&self) -> Result<i64, FactsError> {
        let head = self
            .one::<Option<i64>, 0>("the change log", "SELECT max(seq) FROM change_log", [])
            .await?;
        Ok(head.flatten().unwrap_or(0))
    }

    /// The oldest number from which the log can still be followed without a gap; 0 while nothing was pruned.
    pub async fn floor_seq(&self) -> Result<i64, FactsError> {
        let first = self
            .one::<Option<i64>, 0>("the change log", "SELECT min(seq) FROM change_log", [])
            .await?;
        Ok(first.flatten().map_or(0, |first| first - 1))
    }
}
