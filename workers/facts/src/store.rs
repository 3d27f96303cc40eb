//! The open database: one connection that writes, several that read, and the wake-ups between them.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use ao_migrations::{Migrator, VERSION};
use ao_supervisor::Incarnation;
use camino::{Utf8Path, Utf8PathBuf};
use sea_orm::sqlx::Connection;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;
use tokio::sync::Mutex;

use crate::file::{self, DATABASE, OpenError, io};
use crate::pulse::{Pulse, Wakeups};
use crate::read::pulls::Owed;
use crate::read::wait::Revisions;
use crate::write::WriteTx;
use crate::{FactsError, IntentWriter, ObservationWriter, OutcomeWriter, Reader, error};

/// How long SQLite waits for a lock that another program holds.
const BUSY: Duration = Duration::from_secs(5);

/// How the store is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// How many reads may go on at once; each is a thread and a connection while it is used. At least 1.
    pub readers: u32,
}

/// The open database. Cheap to clone; the last clone to go closes it.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: Utf8PathBuf,
    /// Device and inode of the file that is open, whatever lies at its path later.
    identity: (u64, u64),
    writer: DatabaseConnection,
    readers: DatabaseConnection,
    pulse: Pulse,
    bell: Pulse,
    /// What the bells rang for last, where anybody has looked.
    owed: Mutex<Option<Owed>>,
    /// What the pulse beat for last, where anybody has looked.
    revisions: Mutex<Option<Revisions>>,
}

impl Store {
    /// Opens the database in `dir`, makes it where there is none, and brings an older one to our version after a
    /// backup. The caller holds the directory's [`crate::DirLock`].
    ///
    /// A newer, foreign or damaged file is refused before anything is opened for writing, and left to the byte as it
    /// is. Dropping the future leaves a database of some version up to ours, which opens again.
    pub async fn open(dir: &Utf8Path, options: &StoreOptions) -> Result<Self, OpenError> {
        let path = dir.join(DATABASE);
        let found = file::version(dir).await?;
        file::private_file(&path)?;
        let writer = connect(&path, 1, false)
            .await
            .map_err(|source| opening(&path, source))?;
        let from = found.unwrap_or(0);
        if from < VERSION {
            if from > 0 {
                file::copy_into(&writer, &dir.join(format!("{DATABASE}.v{from}.bak"))).await?;
            }
            Migrator::up(&writer, None)
                .await
                .map_err(|source| OpenError::Migrate {
                    path: path.clone(),
                    from,
                    known: VERSION,
                    source,
                })?;
        }
        let readers = connect(&path, options.readers.max(1), true)
            .await
            .map_err(|source| opening(&path, source))?;
        let meta = std::fs::metadata(&path).map_err(io("reading the identity", &path))?;
        Ok(Self(Arc::new(Inner {
            path,
            identity: (meta.dev(), meta.ino()),
            writer,
            readers,
            pulse: Pulse::new(),
            bell: Pulse::new(),
            owed: Mutex::default(),
            revisions: Mutex::default(),
        })))
    }

    /// Where it lies.
    pub fn path(&self) -> &Utf8Path {
        &self.0.path
    }

    /// Reads facts.
    pub fn reader(&self) -> Reader {
        Reader::new(self.clone())
    }

    /// Writes what somebody wants; for the API.
    pub fn intents(&self) -> IntentWriter {
        IntentWriter::new(self.clone())
    }

    /// Writes what was seen; for observers, and for a session child about its own process.
    pub fn observations(&self) -> ObservationWriter {
        ObservationWriter::new(self.clone())
    }

    /// Writes what we did; for session children.
    pub fn outcomes(&self) -> OutcomeWriter {
        OutcomeWriter::new(self.clone())
    }

    /// A place at the wake-ups: take it before reading.
    pub fn wakeups(&self) -> Wakeups {
        self.0.pulse.watch()
    }

    /// Rung, with the pulse, by commits that ask for a look at a pull request. Those are few, and whoever watches pull requests is
    /// many: each commit would wake them all.
    pub(crate) fn bell(&self) -> &Pulse {
        &self.0.bell
    }

    pub(crate) fn owed(&self) -> &Mutex<Option<Owed>> {
        &self.0.owed
    }

    pub(crate) fn revisions(&self) -> &Mutex<Option<Revisions>> {
        &self.0.revisions
    }

    pub(crate) fn pulse(&self) -> &Pulse {
        &self.0.pulse
    }

    pub(crate) fn readers(&self) -> &DatabaseConnection {
        &self.0.readers
    }

    /// A short look at the store's health: the file is still the one we opened, and a row comes from it.
    pub async fn check(&self) -> Result<(), FactsError> {
        let there = std::fs::metadata(&self.0.path).map(|meta| (meta.dev(), meta.ino()));
        if there.ok() != Some(self.0.identity) {
            return Err(FactsError::Moved {
                path: self.0.path.clone(),
            });
        }
        self.reader().head_seq().await.map(drop)
    }

    /// Writes everything into the database's own file and empties its log. Readers may keep a part of the log for a
    /// while; that is no error, the next time takes the rest.
    pub async fn checkpoint(&self) -> Result<(), FactsError> {
        let db = &self.0.writer;
        db.execute_raw(Statement::from_string(
            db.get_database_backend(),
            "PRAGMA wal_checkpoint(TRUNCATE)",
        ))
        .await
        .map(drop)
        .map_err(error::write("the log into the database"))
    }

    /// Forgets all but the newest `keep` changes (at least one stays, so that the log knows how far it once was) and
    /// answers how many went. Clients that stand before those are told to read everything anew.
    pub async fn prune_change_log(&self, by: &Incarnation, keep: u32) -> Result<u64, FactsError> {
        let tx = self.begin(Some(by)).await?;
        let gone = tx
            .run(
                "change_log",
                "DELETE FROM change_log WHERE seq <= (SELECT max(seq) FROM change_log) - ?",
                [i64::from(keep.max(1)).into()],
            )
            .await?;
        tx.commit_quietly().await?;
        Ok(gone)
    }

    /// Closes every connection once its work is done; the last one writes the log into the database. Later calls of
    /// any clone fail without having done anything.
    pub async fn close(&self) -> Result<(), FactsError> {
        self.0
            .readers
            .close_by_ref()
            .await
            .map_err(error::read("the end of reading"))?;
        self.0
            .writer
            .close_by_ref()
            .await
            .map_err(error::write("the end of writing"))
    }

    /// The one way to write: waits for the only writing connection, takes SQLite's write lock, and makes sure that
    /// `by` has not been given up meanwhile.
    pub(crate) async fn begin(&self, by: Option<&Incarnation>) -> Result<WriteTx, FactsError> {
        let options = TransactionOptions {
            // A transaction that begins as a reader and then writes is refused without waiting when somebody wrote
            // in between; this one takes its place at once.
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..Default::default()
        };
        let tx = self
            .0
            .writer
            .begin_with_options(options)
            .await
            .map_err(error::write("a transaction's begin"))?;
        WriteTx::new(tx, by.cloned(), self.0.pulse.clone(), self.0.bell.clone())
    }
}

fn opening(path: &Utf8Path, source: DbErr) -> OpenError {
    OpenError::Database {
        doing: "opening",
        path: path.to_owned(),
        source,
    }
}

/// A pool on `path`. The writer's has one connection for good.
async fn connect(path: &Utf8Path, connections: u32, read_only: bool) -> Result<DatabaseConnection, DbErr> {
    let path = path.to_owned();
    let mut options = ConnectOptions::new("sqlite::memory:");
    options
        .max_connections(connections)
        .min_connections(u32::from(!read_only))
        .sqlx_logging(false)
        // No network lies between us and the file: a connection does not go bad from age or idleness.
        .test_before_acquire(false)
        .max_lifetime(None)
        .map_sqlx_sqlite_opts(move |sqlite| settings(sqlite.filename(&path), read_only))
        .map_sqlx_sqlite_pool_opts(|pool| {
            // When the disk is full SQLite ends the transaction itself, and sqlx goes on counting it as open: every
            // later one would be a savepoint inside it, so never again an immediate one. That connection is replaced.
            pool.before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        });
    Database::connect(options).await
}

fn settings(sqlite: SqliteConnectOptions, read_only: bool) -> SqliteConnectOptions {
    let sqlite = sqlite
        .in_memory(false)
        .shared_cache(false)
        .busy_timeout(BUSY)
        .foreign_keys(true);
    if read_only {
        sqlite.read_only(true)
    } else {
        // FULL: with NORMAL a power cut takes back commits that were answered for.
        sqlite
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
    }
}
