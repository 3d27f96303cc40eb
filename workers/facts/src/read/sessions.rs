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

/// What stands before a queued session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// How many came to the line before it and still wait.
    pub earlier: u32,
    /// How many of the machine's places are taken by others.
    pub taken: u32,
    /// How many others are between the line and a running agent.
    pub coming_up: u32,
}

fn phases(which: impl Fn(Phase) -> bool) -> String {
    let words = Phase::ALL.iter().filter(|phase| which(**phase));
    words
        .map(|phase| format!("'{phase}'"))
        .collect::<Vec<_>>()
        .join(", ")
}

impl Reader {
    /// A session by its id.
    pub async fn session(&self, id: &SessionId) -> Result<Option<Session>, FactsError> {
        let row = sessions::Entity::find_by_id(id.as_str())
            .find_also_related(entity::session_process::Entity)
            .one(self.store.readers())
            .await;
        row.map_err(read("a session"))?.map(sessions::record).transpose()
    }

    /// Whether there is any session, also one that has ended.
    pub async fn knows_sessions(&self) -> Result<bool, FactsError> {
        let any = self.one::<i64, 0>("sessions", "SELECT EXISTS (SELECT 1 FROM sessions)", []);
        Ok(any.await? == Some(1))
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
        self.ids("unfinished sessions", sql).await
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

    /// What stands before a queued session: those in front of it in the line, and what the sessions that were let in take.
    pub async fn line_before(&self, id: &SessionId) -> Result<Line, FactsError> {
        // Whose place a replacement takes does not keep it from coming up.
        let sql = format!(
            "SELECT count(*) FILTER (WHERE other.phase = 'queued' AND other.desired = 'run' AND other.ticket < mine.ticket) AS earlier,
                count(*) FILTER (WHERE other.phase IN ({}) AND other.id IS NOT mine.replaces) AS taken,
                count(*) FILTER (WHERE other.phase IN ({})) AS coming_up
             FROM sessions AS other, sessions AS mine
             WHERE mine.id = ? AND other.id <> mine.id AND other.phase <> 'ended'",
            phases(Phase::takes_a_place),
            phases(Phase::is_coming_up),
        );
        let rows = self.rows("the line", &sql, [id.as_str().into()]).await?;
        let count = |column: &str| {
            let count = rows.first().map(|row| row.try_get::<i64>("", column));
            let count = count.transpose().map_err(read("the line"))?.unwrap_or(0);
            entity::number("sessions", id.as_str(), "line", count)
        };
        Ok(Line {
            earlier: count("earlier")?,
            taken: count("taken")?,
            coming_up: count("coming_up")?,
        })
    }

    /// The sessions that wait to be let in, first come first.
    pub async fn queue(&self) -> Result<Vec<SessionId>, FactsError> {
        let sql = "SELECT id FROM sessions WHERE phase = 'queued' AND desired = 'run' ORDER BY ticket";
        self.ids("the queue", sql).await
    }

    async fn ids(&self, what: &'static str, sql: &str) -> Result<Vec<SessionId>, FactsError> {
        let rows = self.rows(what, sql, []).await?;
        let ids = rows
            .iter()
            .map(|row| row.try_get_by_index::<String>(0).map_err(read(what)));
        ids.map(|id| id.and_then(|id| entity::parse("sessions", &id, "id", &id)))
            .collect()
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
