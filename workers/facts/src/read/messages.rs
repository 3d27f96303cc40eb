//! Messages to agents.

use std::time::Duration;

use ao_domain::{Message, MessageState, SessionId};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::Reader;
use crate::FactsError;
use crate::entity::messages::{Column, Entity};
use crate::error::read;
use crate::pulse::SLOW_LOOK;

impl Reader {
    /// The newest `limit` messages to `session`, oldest first.
    pub async fn messages(&self, session: &SessionId, limit: u32) -> Result<Vec<Message>, FactsError> {
        let rows = Entity::find()
            .filter(Column::SessionId.eq(session.as_str()))
            .order_by_desc(Column::Id)
            .limit(u64::from(limit))
            .all(self.store.readers())
            .await;
        rows.map_err(read("messages"))?
            .into_iter()
            .rev()
            .map(TryInto::try_into)
            .collect()
    }

    /// One message to `session`.
    pub async fn message(&self, session: &SessionId, id: u64) -> Result<Option<Message>, FactsError> {
        let row = Entity::find_by_id(i64::try_from(id).unwrap_or(i64::MAX))
            .filter(Column::SessionId.eq(session.as_str()))
            .one(self.store.readers())
            .await;
        row.map_err(read("a message"))?.map(TryInto::try_into).transpose()
    }

    /// The message that was sent with this idempotency key.
    pub async fn message_of_key(&self, key: &str) -> Result<Option<Message>, FactsError> {
        let row = Entity::find()
            .filter(Column::Key.eq(key))
            .one(self.store.readers())
            .await;
        row.map_err(read("a message"))?.map(TryInto::try_into).transpose()
    }

    /// What waits to be delivered to `session`, in the order it was sent.
    pub async fn waiting_messages(&self, session: &SessionId) -> Result<Vec<Message>, FactsError> {
        let waiting = MessageState::ALL.iter().filter(|state| !state.is_final());
        let rows = Entity::find()
            .filter(Column::SessionId.eq(session.as_str()))
            .filter(Column::State.is_in(waiting.map(|state| state.as_str())))
            .order_by_asc(Column::Id)
            .all(self.store.readers())
            .await;
        rows.map_err(read("messages"))?
            .into_iter()
            .map(TryInto::try_into)
            .collect()
    }

    /// Waits until nothing more happens to a message, at most `patience`, and answers how it stands then. Cancel safe.
    pub async fn settled_message(
        &self,
        session: &SessionId,
        id: u64,
        patience: Duration,
    ) -> Result<Option<Message>, FactsError> {
        let deadline = tokio::time::Instant::now() + patience;
        let mut wakeups = self.wakeups();
        loop {
            let Some(message) = self.message(session, id).await? else {
                return Ok(None);
            };
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if message.state.is_final() || left.is_zero() {
                return Ok(Some(message));
            }
            wakeups.changed_within(left.min(SLOW_LOOK)).await;
        }
    }
}
