//! Reading. Each method is one query, so one moment's truth, over connections that cannot write.

mod claims;
mod log;
mod messages;
pub(crate) mod pulls;
mod sessions;
pub(crate) mod wait;

use ao_domain::{ActivityState, Project, ProjectId, SessionId, Timestamp};
use camino::Utf8Path;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QueryResult, Statement, Value,
};

use crate::entity::{projects, sweeps};
use crate::error::read;
use crate::pulse::Wakeups;
use crate::{FactsError, Store};

pub(crate) use sessions::TERMINATED;
pub use sessions::{Filter, Line};
pub use wait::Until;

/// Reads facts. Cheap to clone. All its futures are cancel safe.
#[derive(Clone, Debug)]
pub struct Reader {
    store: Store,
}

/// A hook record that counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalSeen {
    /// The callback's own number.
    pub id: String,
    /// The run of the agent it came from.
    pub generation: u32,
    /// Which agent's vocabulary `event` is in.
    pub agent: String,
    /// The agent's name for what happened.
    pub event: String,
    /// The state it stands for; `None` for a mere sign of life.
    pub state: Option<ActivityState>,
    /// Wall clock of the callback.
    pub at: Timestamp,
    /// The boot it happened in.
    pub boot: String,
    /// Milliseconds since that boot.
    pub boot_ms: u64,
    /// The tool that began to be used, or was asked for, with it.
    pub tool: Option<String>,
}

/// A round that is due at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Its name.
    pub name: String,
    /// When it is due.
    pub due_at: Timestamp,
    /// When it was last finished.
    pub finished_at: Option<Timestamp>,
    /// What it found, for people.
    pub note: Option<String>,
}

impl Reader {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// A place at the wake-ups: take it before reading, then nothing committed after that is slept through.
    pub fn wakeups(&self) -> Wakeups {
        self.store.wakeups()
    }

    /// A place at the wake-ups of those who watch pull requests: rung where a look at one is asked for.
    pub fn bells(&self) -> Wakeups {
        self.store.bell().watch()
    }

    pub(crate) fn wake_all(&self) {
        self.store.pulse().beat();
    }

    /// Every project that ever was, removed ones too, by id.
    pub async fn all_projects(&self) -> Result<Vec<Project>, FactsError> {
        let rows = projects::Entity::find()
            .order_by_asc(projects::Column::Id)
            .all(self.store.readers())
            .await
            .map_err(read("projects"))?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// The active projects, by id.
    pub async fn projects(&self) -> Result<Vec<Project>, FactsError> {
        let rows = projects::Entity::find()
            .filter(projects::Column::ArchivedAt.is_null())
            .order_by_asc(projects::Column::Id)
            .all(self.store.readers())
            .await
            .map_err(read("projects"))?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// A project by its id, archived or not.
    pub async fn project(&self, id: &ProjectId) -> Result<Option<Project>, FactsError> {
        let row = projects::Entity::find_by_id(id.as_str())
            .one(self.store.readers())
            .await;
        row.map_err(read("a project"))?.map(TryInto::try_into).transpose()
    }

    /// The active project at exactly this path.
    pub async fn project_at(&self, path: &Utf8Path) -> Result<Option<Project>, FactsError> {
        let row = projects::Entity::find()
            .filter(projects::Column::Path.eq(path.as_str()))
            .filter(projects::Column::ArchivedAt.is_null())
            .one(self.store.readers())
            .await;
        row.map_err(read("a project"))?.map(TryInto::try_into).transpose()
    }

    /// Every sweep, by name.
    pub async fn sweeps(&self) -> Result<Vec<Sweep>, FactsError> {
        let rows = sweeps::Entity::find()
            .order_by_asc(sweeps::Column::Name)
            .all(self.store.readers())
            .await;
        rows.map_err(read("sweeps"))?
            .into_iter()
            .map(TryInto::try_into)
            .collect()
    }

    /// The sweeps whose time has come, also those that were begun and never finished; longest due first.
    pub async fn due_sweeps(&self, now: Timestamp) -> Result<Vec<Sweep>, FactsError> {
        let rows = sweeps::Entity::find()
            .filter(sweeps::Column::DueAt.lte(now.to_string()))
            .order_by_asc(sweeps::Column::DueAt)
            .order_by_asc(sweeps::Column::Name)
            .all(self.store.readers())
            .await;
        rows.map_err(read("sweeps"))?
            .into_iter()
            .map(TryInto::try_into)
            .collect()
    }

    /// How far the spool of `session` is applied, in bytes.
    pub async fn spool_offset(&self, session: &SessionId) -> Result<u64, FactsError> {
        let sql = "SELECT \"offset\" FROM hook_spool WHERE session_id = ?";
        let offset: Option<i64> = self
            .one("a spool's offset", sql, [session.as_str().into()])
            .await?;
        crate::entity::number("hook_spool", session.as_str(), "offset", offset.unwrap_or(0))
    }

    async fn rows<const N: usize>(
        &self,
        what: &'static str,
        sql: &str,
        values: [Value; N],
    ) -> Result<Vec<QueryResult>, FactsError> {
        let db = self.store.readers();
        let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
        db.query_all_raw(statement).await.map_err(read(what))
    }

    /// The first column of the first row.
    async fn one<T: sea_orm::TryGetable, const N: usize>(
        &self,
        what: &'static str,
        sql: &str,
        values: [Value; N],
    ) -> Result<Option<T>, FactsError> {
        let rows = self.rows(what, sql, values).await?;
        rows.first()
            .map(|row| row.try_get_by_index(0))
            .transpose()
            .map_err(read(what))
    }
}
