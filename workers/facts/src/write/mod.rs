//! Writing: one transaction, fenced by the caller's incarnation, and the three writers made of it.

pub(crate) mod claims;
pub(crate) mod gateways;
pub(crate) mod intents;
pub(crate) mod messages;
pub(crate) mod moves;
pub(crate) mod nudges;
pub(crate) mod observations;
pub(crate) mod outcomes;
pub(crate) mod pulls;
mod restore;
pub(crate) mod salvage;

use ao_domain::{ProjectId, SessionId};
use ao_supervisor::Incarnation;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter as _,
    QueryResult, Statement, Value,
};

use crate::FactsError;
use crate::entity::{projects, sessions};
use crate::error::{read, write};
use crate::pulse::Pulse;

/// A write under way: SQLite's write lock and our only writing connection. Dropping it takes everything back.
///
/// Whoever holds one awaits nothing but its SQL, or every other write waits for that too.
pub(crate) struct WriteTx {
    tx: DatabaseTransaction,
    by: Option<Incarnation>,
    pulse: Pulse,
    bell: Pulse,
    rings: bool,
}

impl WriteTx {
    pub(crate) fn new(
        tx: DatabaseTransaction,
        by: Option<Incarnation>,
        pulse: Pulse,
        bell: Pulse,
    ) -> Result<Self, FactsError> {
        let new = Self {
            tx,
            by,
            pulse,
            bell,
            rings: false,
        };
        new.fence()?; // it may have waited for its turn for longer than its incarnation lasted
        Ok(new)
    }

    fn fence(&self) -> Result<(), FactsError> {
        match &self.by {
            Some(by) if by.refuses() => Err(FactsError::Revoked),
            _ => Ok(()),
        }
    }

    /// This write asks for a look at a pull request.
    pub(crate) fn ring(&mut self) {
        self.rings = true;
    }

    pub(crate) fn connection(&self) -> &DatabaseTransaction {
        &self.tx
    }

    /// Makes it durable, if the incarnation still stands, and wakes everybody who waits for a change.
    ///
    /// Dropping this future leaves all of the write or nothing of it.
    pub(crate) async fn commit(self) -> Result<(), FactsError> {
        let _rings = self.rings.then(|| OnDrop(self.bell.clone()));
        let _wakes = OnDrop(self.pulse.clone()); // also when we are dropped while SQLite goes on committing
        self.commit_quietly().await
    }

    /// [`WriteTx::commit`] for what nobody waits for.
    pub(crate) async fn commit_quietly(self) -> Result<(), FactsError> {
        self.fence()?;
        self.tx.commit().await.map_err(write("a transaction"))
    }

    /// Runs one statement and answers how many rows it changed.
    pub(crate) async fn run<const N: usize>(
        &self,
        what: &'static str,
        sql: &str,
        values: [Value; N],
    ) -> Result<u64, FactsError> {
        let statement = Statement::from_sql_and_values(self.tx.get_database_backend(), sql, values);
        Ok(self
            .tx
            .execute_raw(statement)
            .await
            .map_err(write(what))?
            .rows_affected())
    }

    /// The first row of a query, read inside the transaction: nobody can change it before we commit.
    pub(crate) async fn row<const N: usize>(
        &self,
        what: &'static str,
        sql: &str,
        values: [Value; N],
    ) -> Result<Option<QueryResult>, FactsError> {
        let statement = Statement::from_sql_and_values(self.tx.get_database_backend(), sql, values);
        self.tx.query_one_raw(statement).await.map_err(read(what))
    }

    /// The session's own row, without its process.
    /// Whether there is a project of that name which was not removed.
    pub(crate) async fn has_project(&self, id: &ProjectId) -> Result<bool, FactsError> {
        let found = projects::Entity::find_by_id(id.as_str())
            .filter(projects::Column::ArchivedAt.is_null())
            .one(&self.tx)
            .await;
        Ok(found.map_err(read("projects"))?.is_some())
    }

    pub(crate) async fn session(&self, id: &SessionId) -> Result<Option<sessions::Model>, FactsError> {
        sessions::Entity::find_by_id(id.as_str())
            .one(&self.tx)
            .await
            .map_err(read("a session"))
    }
}

struct OnDrop(Pulse);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.beat();
    }
}

/// One column of a row, by its name in the query.
pub(crate) fn get<T: sea_orm::TryGetable>(row: &QueryResult, column: &'static str) -> Result<T, FactsError> {
    row.try_get("", column)
        .map_err(|source: DbErr| FactsError::Read { what: column, source })
}

#[cfg(test)]
mod tests {
    use ao_supervisor::{Budget, ChildSpec, Done, Strategy, Supervisor};
    use camino::Utf8PathBuf;

    use super::*;
    use crate::{Store, StoreOptions};

    #[tokio::test]
    async fn a_child_revoked_between_its_statements_and_its_commit_writes_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Utf8PathBuf::try_from(temp.path().to_owned()).unwrap();
        let store = Store::open(&dir, &StoreOptions { readers: 1 }).await.unwrap();
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let child = ChildSpec::new("writer", move |ctx| {
            let told = told.clone();
            async move {
                told.send(ctx.incarnation().clone()).unwrap();
                ctx.ready();
                ctx.stopping().await;
                Ok(Done)
            }
        });
        let budget = Budget::restarts(0).per(std::time::Duration::from_secs(1));
        let root = Supervisor::root("test", Strategy::OneForOne, budget)
            .child(child)
            .start()
            .await
            .unwrap();
        let by = heard.recv().await.unwrap();

        let insert = "INSERT INTO sweeps (name, due_at) VALUES (?, '2026-01-01T00:00:00.000Z')";
        let tx = store.begin(Some(&by)).await.unwrap();
        tx.run("sweeps", insert, ["kept".into()]).await.unwrap();
        tx.commit().await.unwrap();
        let tx = store.begin(Some(&by)).await.unwrap();
        tx.run("sweeps", insert, ["late".into()]).await.unwrap();
        root.stop().await;
        assert!(matches!(tx.commit().await, Err(FactsError::Revoked)));
        assert!(
            matches!(store.begin(Some(&by)).await, Err(FactsError::Revoked)),
            "nor does it begin again"
        );

        let sweeps = store.reader().sweeps().await.unwrap();
        assert_eq!(
            sweeps.iter().map(|sweep| sweep.name.as_str()).collect::<Vec<_>>(),
            ["kept"]
        );
        store.begin(None).await.unwrap(); // and the writer is free again
    }
}
