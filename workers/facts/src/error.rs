//! What a read or a write can fail with, and how SQLite's codes become that.

use sea_orm::{DbErr, RuntimeErr, SqlxError};

/// A read or a write did not happen. Every write is one transaction: where this comes from one, nothing of it is
/// stored.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// The caller's incarnation was given up by its supervisor. Nothing was written; a successor reads the rows as
    /// they stand, so the caller ends.
    #[error("this incarnation was given up, so it may not write any more")]
    Revoked,
    /// The disk is full, a size limit is reached, or the disk fails. Nothing was written and nothing was lost; the
    /// same write succeeds once there is room.
    #[error("the database cannot be written: the disk is full or failing")]
    Full {
        /// SQLite's words.
        #[source]
        source: DbErr,
    },
    /// Another program holds the database longer than the five seconds we wait. Nothing was written; try again.
    #[error("the database is locked by another program")]
    Busy {
        /// SQLite's words.
        #[source]
        source: DbErr,
    },
    /// The file is damaged. Nothing was written by this call; what else still reads is unknown.
    #[error("the database is damaged: stop the daemon and run `ao doctor --salvage`")]
    Damaged {
        /// SQLite's words.
        #[source]
        source: DbErr,
    },
    /// The file this store opened does not lie at its path any more. What is written now would be lost with the last
    /// handle, so nothing more should be.
    #[error("the database `{path}` was moved or removed while it was open")]
    Moved {
        /// Where it lay.
        path: camino::Utf8PathBuf,
    },
    /// A read failed otherwise. Nothing is known, nothing was changed.
    #[error("could not read {what}")]
    Read {
        /// Which facts.
        what: &'static str,
        /// The database's words.
        #[source]
        source: DbErr,
    },
    /// A write failed otherwise, such as on a constraint. Nothing was written.
    #[error("could not write {what}")]
    Write {
        /// Which facts.
        what: &'static str,
        /// The database's words.
        #[source]
        source: DbErr,
    },
    /// A row holds what this program cannot have written. The row is as it was; the others are fine.
    #[error("row `{key}` of `{table}` does not read: {said}")]
    Row {
        /// The table.
        table: &'static str,
        /// The row's key.
        key: String,
        /// Which column, and what is wrong with it.
        said: String,
    },
}

/// What SQLite means by an error, as far as a caller acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Full,
    Busy,
    Damaged,
    Other,
}

/// Sorts an error by SQLite's primary result code.
pub(crate) fn meaning(error: &DbErr) -> Meaning {
    let inner = match error {
        DbErr::Conn(RuntimeErr::SqlxError(inner))
        | DbErr::Exec(RuntimeErr::SqlxError(inner))
        | DbErr::Query(RuntimeErr::SqlxError(inner)) => inner,
        DbErr::ConnectionAcquire(_) => return Meaning::Busy,
        _ => return Meaning::Other,
    };
    let code = match &**inner {
        SqlxError::Database(database) => database.code().and_then(|code| code.parse::<i32>().ok()),
        SqlxError::PoolTimedOut => return Meaning::Busy,
        _ => None,
    };
    // The lowest byte is the primary code; the rest says which call of the operating system it was.
    match code.map(|code| code & 0xff) {
        Some(5 | 6) => Meaning::Busy,      // SQLITE_BUSY, SQLITE_LOCKED
        Some(10 | 13) => Meaning::Full,    // SQLITE_IOERR, SQLITE_FULL
        Some(11 | 26) => Meaning::Damaged, // SQLITE_CORRUPT, SQLITE_NOTADB
        _ => Meaning::Other,
    }
}

/// Turns the database's error of a read of `what` into ours.
pub(crate) fn read(what: &'static str) -> impl FnOnce(DbErr) -> FactsError {
    move |source| match meaning(&source) {
        Meaning::Damaged => FactsError::Damaged { source },
        Meaning::Busy => FactsError::Busy { source },
        Meaning::Full | Meaning::Other => FactsError::Read { what, source },
    }
}

/// Turns the database's error of a write of `what` into ours.
pub(crate) fn write(what: &'static str) -> impl FnOnce(DbErr) -> FactsError {
    move |source| match meaning(&source) {
        Meaning::Damaged => FactsError::Damaged { source },
        Meaning::Busy => FactsError::Busy { source },
        Meaning::Full => FactsError::Full { source },
        Meaning::Other => FactsError::Write { what, source },
    }
}
