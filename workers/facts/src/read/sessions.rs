//! Sessions, each with its process row in the same query.

use ao_domain::{Phase, ProjectId, Session, SessionId, SessionKind};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{Reader, SignalSeen};
use crate::FactsError;
use crate::entity::{self, sessions, signals};
use crate::error::read;

/// Which sessions to list; `None` leaves that aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this project only.
    pub project: Option<ProjectId>,
    /// Of this kind only.
    pub kind: Option<SessionKind>,
    /// Only those whose agent is over (`true`) or is not (`false`).
    pub terminated: Option<bool>,
}

/// The phases in which a session's agent is over, as `Session::is_terminated` has them; `tests/reading.rs` compares.
pub(crate) const TERMINATED: [Phase; 4] = [Phase::Finished, Phase::Stopping, Phase::Freeing, Phase::Ended];

impl Reader {
    /// A session by its id.
    pub async fn session(&self, id: &SessionId) -> Result<Option<Session>, FactsError> {
        let row = sessions::Entity::find_by_id(id.as_str())
            .find_also_related(entity::session_process::Entity)
            .one(self.store.readers())
            .await;
        row.map_err(read("a session"))?.map(sessions::record).transpose()
    }

    /// The sessions that pass `filter`, by project and number. One query, however many there are.
    pub async fn sessions(&self, filter: &Filter) -> Result<Vec<Session>, FactsError> {
        let mut query = sessions::Entity::find();
        if let Some(project) = &filter.project {
            query = query.filter(sessions::Column::ProjectId.eq(project.as_str()));
        }
        if let Some(kind) = filter.kind {
            query = query.filter(sessions::Column::Kind.eq(kind.as_str()));
        }
        let over = TERMINATED.map(Phase::as_str);
        query = match filter.terminated {
            Some(true) => query.filter(sessions::Column::Phase.is_in(over)),
            Some(false) => query.filter(sessions::Column::Phase.is_not_in(over)),
            None => query,
        };
        let rows = query
            .find_also_related(entity::session_process::Entity)
            .order_by_asc(sessions::Column::ProjectId)
            .order_by_asc(sessions::Column::Num)
            .all(self.store.readers())
            .await;
        rows.map_err(read("sessions"))?
            .into_iter()
            .map(sessions::record)
            .collect()
    }

    /// The sessions that still need somebody: all but the ended ones, in the order they were made.
    pub async fn unfinished_sessions(&self) -> Result<Vec<SessionId>, FactsError> {
        let sql = "SELECT id FROM sessions WHERE phase <> 'ended' ORDER BY rowid";
        let rows = self.rows("unfinished sessions", sql, []).await?;
        let ids = rows.iter().map(|row| {
            row.try_get_by_index::<String>(0)
                .map_err(read("unfinished sessions"))
        });
        ids.map(|id| id.and_then(|id| entity::parse("sessions", &id, "id", &id)))
            .collect()
    }

    /// The sessions of these agents that are not over, in the order they were made.
    pub async fn living_sessions_of(&self, harnesses: &[&str]) -> Result<Vec<SessionId>, FactsError> {
        let ids: Vec<String> = sessions::Entity::find()
            .select_only()
            .column(sessions::Column::Id)
            .filter(sessions::Column::Harness.is_in(harnesses.iter().copied()))
            .filter(sessions::Column::Phase.is_not_in(TERMINATED.map(Phase::as_str)))
            .order_by_asc(sessions::Column::ProjectId)
            .order_by_asc(sessions::Column::Num)
            .into_tuple()
            .all(self.store.readers())
            .await
            .map_err(read("living sessions"))?;
        ids.iter()
            .map(|id| entity::parse("sessions", id, "id", id))
            .collect()
    }

    /// How many of the machine's places are taken before `id` gets its own: by sessions that hold one now, and by
    /// those that were queued earlier and are still wanted.
    pub async fn places_before(&self, id: &SessionId) -> Result<u32, FactsError> {
        let holds: Vec<String> = Phase::ALL
            .iter()
            .filter(|phase| phase.takes_a_place())
            .map(|phase| format!("'{phase}'"))
            .collect();
        let sql = format!(
            "SELECT count(*) FROM sessions AS other, sessions AS mine
             WHERE mine.id = ? AND other.id <> mine.id AND other.phase <> 'ended' AND (other.phase IN ({})
                OR (other.phase = 'queued' AND other.desired = 'run' AND other.rowid < mine.rowid))",
            holds.join(", ")
        );
        let count: Option<i64> = self.one("places", &sql, [id.as_str().into()]).await?;
        entity::number("sessions", id.as_str(), "places", count.unwrap_or(0))
    }

    /// The newest `limit` hook records of `session` that counted, newest first.
    pub async fn signals(&self, session: &SessionId, limit: u32) -> Result<Vec<SignalSeen>, FactsError> {
        let rows = signals::Entity::find()
            .filter(signals::Column::SessionId.eq(session.as_str()))
            .order_by_desc(signals::Column::Seq)
            .limit(u64::from(limit))
            .all(self.store.readers())
            .await;
        rows.map_err(read("signals"))?
            .into_iter()
            .map(TryInto::try_into)
            .collect()
    }
}
