//! The database's files: what lies there is looked at, and put aside, before anything opens it for writing.

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr, Statement};

use ao_domain::Timestamp;

use crate::error::{Meaning, meaning};

/// The database's name in the data directory.
pub const DATABASE: &str = "ao.sqlite3";

/// Where a database with a write-ahead log is linked to be looked at.
const LOOKING: &str = "ao.sqlite3.looking";

/// What every SQLite file begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The store cannot be opened. The database is as it was, to the byte, unless a variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It was written by a newer ao.
    #[error(
        "`{path}` is of version {found}, this ao knows up to {known}: use the newer ao again, or another data directory"
    )]
    Newer {
        /// The file.
        path: Utf8PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// It is no database, no database of ours, or a broken one.
    #[error(
        "`{path}` is damaged ({said}): `ao doctor --salvage` moves it aside and starts anew from the live agents"
    )]
    Damaged {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong, in SQLite's words or ours.
        said: String,
    },
    /// Moving it to our version failed. Each migration is one transaction: it stands at the last one that succeeded
    /// and opens again; a backup of what it was before lies beside it.
    #[error("`{path}` could not be brought from version {from} to {known}")]
    Migrate {
        /// The file.
        path: Utf8PathBuf,
        /// The version it had.
        from: u32,
        /// Ours.
        known: u32,
        /// The database's words.
        #[source]
        source: DbErr,
    },
    /// SQLite could not open or copy it.
    #[error("{doing} failed for `{path}`")]
    Database {
        /// What was attempted.
        doing: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// The database's words.
        #[source]
        source: DbErr,
    },
    /// A file or directory could not be used.
    #[error("{doing} failed at `{path}`")]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// Where.
        path: Utf8PathBuf,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
}

pub(crate) fn io(doing: &'static str, path: &Utf8Path) -> impl FnOnce(std::io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { doing, path, source }
}

/// The version of the database in `dir`; `None` when there is none yet. A database that only a crash in its first
/// moments left has version 0. Refuses newer and damaged ones.
///
/// Leaves every byte as it is and no file behind. Only for the one who holds the directory's [`crate::DirLock`].
pub async fn version(dir: &Utf8Path) -> Result<Option<u32>, OpenError> {
    let path = dir.join(DATABASE);
    match header(&path).map_err(io("reading", &path))? {
        Header::Absent | Header::Empty => return Ok(None),
        Header::Other => {
            return Err(OpenError::Damaged {
                path,
                said: "not an SQLite database".to_owned(),
            });
        }
        Header::Sqlite => {}
    }
    let side = dir.join(LOOKING);
    clear(&side).map_err(io("clearing", &side))?;
    let wal = with_suffix(&path, "-wal");
    let found = if fs::metadata(&wal).is_ok_and(|wal| wal.len() > 0) {
        // A crash left a log, and SQLite makes an index file beside any log it reads. So it reads both through links
        // in a folder of their own, where that file harms nobody.
        let made = link_beside(&side, &path, &wal).map_err(io("linking into", &side));
        let found = match made {
            Ok(linked) => examine(&path, &linked, false).await,
            Err(error) => Err(error),
        };
        clear(&side).map_err(io("clearing", &side))?;
        found?
    } else {
        examine(&path, &path, true).await?
    };
    match found {
        found if found > ao_migrations::VERSION => Err(OpenError::Newer {
            path,
            found,
            known: ao_migrations::VERSION,
        }),
        found => Ok(Some(found)),
    }
}

enum Header {
    Absent,
    Empty,
    Sqlite,
    Other,
}

fn header(path: &Utf8Path) -> std::io::Result<Header> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Header::Absent),
        Err(error) => return Err(error),
    };
    let mut begin = Vec::with_capacity(MAGIC.len());
    file.take(MAGIC.len() as u64).read_to_end(&mut begin)?;
    Ok(match begin.as_slice() {
        [] => Header::Empty,
        begin if begin == MAGIC => Header::Sqlite,
        _ => Header::Other,
    })
}

/// Links (or copies, where the file system has no links) a database and its log into `side`; the new path.
fn link_beside(side: &Utf8Path, path: &Utf8Path, wal: &Utf8Path) -> std::io::Result<Utf8PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(side)?;
    let linked = side.join(DATABASE);
    for (from, to) in [(path, &linked), (wal, &with_suffix(&linked, "-wal"))] {
        fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop))?;
    }
    Ok(linked)
}

fn clear(side: &Utf8Path) -> std::io::Result<()> {
    match fs::remove_dir_all(side) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Checks the database at `at` (called `path` in messages) without writing: its pages, and which migrations it had.
async fn examine(path: &Utf8Path, at: &Utf8Path, alone: bool) -> Result<u32, OpenError> {
    let damaged = |said: String| OpenError::Damaged {
        path: path.to_owned(),
        said,
    };
    // Only SQLite's own word makes it damaged. A full disk, a lock or missing rights say nothing about what is in it, and
    // to move it aside for that would lose it.
    let failed = |source: DbErr| match meaning(&source) {
        Meaning::Damaged => damaged(ao_domain::chain(&source).to_string()),
        Meaning::Full | Meaning::Busy | Meaning::Other => OpenError::Database {
            doing: "looking into the database (is the disk full, or the file not ours to read?)",
            path: path.to_owned(),
            source,
        },
    };
    let db = look_only(at, alone).await.map_err(failed)?;
    let found = async {
        let said = texts(&db, "PRAGMA quick_check(1)").await?;
        if said != ["ok"] {
            return Ok(Err(said.join("; ")));
        }
        let tables = texts(
            &db,
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlite_*'",
        )
        .await?;
        if tables.is_empty() {
            return Ok(Ok(0));
        }
        if !tables.iter().any(|name| name == "seaql_migrations") {
            return Ok(Err("an SQLite database, but not ao's".to_owned()));
        }
        let applied = texts(&db, "SELECT version FROM seaql_migrations").await?;
        // A name in no form we know can only be a later form.
        let versions = applied
            .iter()
            .map(|name| ao_migrations::version_of(name).unwrap_or(u32::MAX));
        Ok::<_, DbErr>(Ok(versions.max().unwrap_or(0)))
    }
    .await;
    let closed = db.close().await;
    match found {
        Ok(Ok(version)) => closed.map(|()| version).map_err(failed),
        Ok(Err(said)) => Err(damaged(said)),
        Err(error) => Err(failed(error)),
    }
}

/// A connection that cannot write. `alone`: no log lies beside the file, so SQLite need not look for one nor lock.
async fn look_only(at: &Utf8Path, alone: bool) -> Result<DatabaseConnection, DbErr> {
    let at = at.to_owned();
    let mut options = ConnectOptions::new("sqlite::memory:");
    options
        .max_connections(1)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |sqlite| {
            sqlite
                .in_memory(false)
                .shared_cache(false)
                .filename(&at)
                .read_only(true)
                .immutable(alone)
        });
    Database::connect(options).await
}

/// The first column of every row, as text.
pub(crate) async fn texts(db: &impl ConnectionTrait, sql: &str) -> Result<Vec<String>, DbErr> {
    let rows = db
        .query_all_raw(Statement::from_string(db.get_database_backend(), sql))
        .await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// Writes a copy of everything `db` holds to `to`, whole or not at all; mode 0600.
pub(crate) async fn copy_into(db: &impl ConnectionTrait, to: &Utf8Path) -> Result<(), OpenError> {
    let half = with_suffix(to, ".half");
    // SQLite writes into an empty file that is there, and with it into the mode we gave it.
    let file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&half);
    let file = file.map_err(io("making the backup", &half))?;
    let copied = db
        .execute_raw(Statement::from_sql_and_values(
            db.get_database_backend(),
            "VACUUM INTO ?",
            [half.as_str().into()],
        ))
        .await;
    if let Err(source) = copied {
        let _ = fs::remove_file(&half); // what was wrong is said by `source`; an empty file left over harms nobody
        return Err(OpenError::Database {
            doing: "making a backup",
            path: to.to_owned(),
            source,
        });
    }
    file.sync_all()
        .and_then(|()| fs::rename(&half, to))
        .map_err(io("putting the backup in place", to))?;
    sync_dir(to)
}

/// Makes a rename or a new file beside `path` survive a power cut.
fn sync_dir(path: &Utf8Path) -> Result<(), OpenError> {
    let dir = path.parent().expect("a file in the data directory has a parent");
    fs::File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(io("syncing", dir))
}

/// Makes an empty 0600 file at `path` if there is none, and closes one that others may read. SQLite gives its log and
/// index the same mode.
pub(crate) fn private_file(path: &Utf8Path) -> Result<(), OpenError> {
    let made = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    let file = made.map_err(io("opening", path))?;
    let mode = file
        .metadata()
        .map_err(io("reading the mode", path))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600))
            .map_err(io("closing to others", path))?;
    }
    Ok(())
}

/// Moves the database in `dir` aside, log and all, so that the next start makes a new one. Answers where it lies now,
/// or `None` when there was none. Only for the one who holds the directory's [`crate::DirLock`].
pub fn salvage(dir: &Utf8Path, now: Timestamp) -> Result<Option<Utf8PathBuf>, OpenError> {
    let path = dir.join(DATABASE);
    let aside = dir.join(format!("{DATABASE}.damaged-{now}"));
    // The log first: one that stayed behind would be replayed into the next database.
    for suffix in ["-wal", "-shm", ""] {
        match fs::rename(with_suffix(&path, suffix), with_suffix(&aside, suffix)) {
            Ok(()) if suffix.is_empty() => {
                sync_dir(&aside)?;
                return Ok(Some(aside));
            }
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(io("moving aside", &path)(error));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// The database of the program that ao follows, where one lies in `dir`: told by a table of its migrator. Only read.
pub fn go_original(dir: &Utf8Path) -> Option<Utf8PathBuf> {
    // The schema lies near the beginning; while that program runs, maybe only in its log.
    const ENOUGH: u64 = 4 << 20;
    const TABLE: &[u8] = b"goose_db_version";
    let path = dir.join("ao.db");
    if !matches!(header(&path), Ok(Header::Sqlite | Header::Empty)) {
        return None;
    }
    let names_it = |file: Utf8PathBuf| {
        let mut begin = Vec::new();
        let read = fs::File::open(file).and_then(|file| file.take(ENOUGH).read_to_end(&mut begin));
        read.is_ok() && begin.windows(TABLE.len()).any(|window| window == TABLE)
    };
    (names_it(path.clone()) || names_it(with_suffix(&path, "-wal"))).then_some(path)
}

pub(crate) fn with_suffix(path: &Utf8Path, suffix: &str) -> Utf8PathBuf {
    format!("{path}{suffix}").into()
}
