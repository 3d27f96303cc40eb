//! What lies in the data directory when a daemon starts, and what it does about it.

use std::os::unix::fs::PermissionsExt;

use crate::support::*;
use ao_domain::Phase;
use ao_facts::{
    DATABASE, DirLock, FactsError, LockError, OpenError, Store, StoreOptions, go_original, salvage, version,
};
use ao_migrations::{Migrator, VERSION};
use camino::Utf8Path;
use sea_orm::{ConnectionTrait, DatabaseConnection};
use sea_orm_migration::MigratorTrait;

async fn open(place: &Place) -> Result<Store, OpenError> {
    Store::open(&place.dir, &StoreOptions { readers: 1 }).await
}

fn mode(path: &Utf8Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Copies the database and its log to `to` while `db` is open: what a `kill -9` leaves.
fn as_after_a_kill(from: &Utf8Path, to: &Utf8Path) {
    for suffix in ["", "-wal"] {
        std::fs::copy(format!("{from}{suffix}"), format!("{to}{suffix}")).unwrap();
    }
}

async fn run(db: &DatabaseConnection, sql: &str) {
    db.execute_unprepared(sql).await.unwrap();
}

#[tokio::test]
async fn everything_is_closed_to_others() {
    let (place, _store) = world().await;
    assert_eq!(mode(&place.dir), 0o700);
    for file in ["ao.sqlite3", "ao.sqlite3-wal", "ao.sqlite3-shm", "lock"] {
        assert_eq!(mode(&place.dir.join(file)), 0o600, "{file}");
    }
}

#[tokio::test]
async fn an_open_directory_and_an_open_file_are_closed() {
    let place = Place::new();
    place.store().await.close().await.unwrap();
    std::fs::set_permissions(&place.dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(place.database(), std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(DirLock::take(&place.dir).unwrap());
    let _store = place.store().await;
    assert_eq!((mode(&place.dir), mode(&place.database())), (0o700, 0o600));
}

#[tokio::test]
async fn what_was_written_is_there_after_a_clean_end_and_after_a_kill() {
    let (place, store) = world().await;
    let id = spawn(&store, "web").await;
    let killed = Place::new();
    as_after_a_kill(&place.database(), &killed.database());
    let after_kill = killed.store().await;
    assert_eq!(get(&after_kill, &id).await, get(&store, &id).await);
    store.close().await.unwrap();
    assert!(!place.dir.join("ao.sqlite3-wal").exists());
    assert_eq!(get(&place.store().await, &id).await.id, id);
    assert!(!killed.dir.join("ao.sqlite3.looking").exists());
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_told_who_the_first_is() {
    let place = Place::new();
    let first = DirLock::take(&place.dir).unwrap();
    match DirLock::take(&place.dir) {
        Err(LockError::Held {
            dir,
            holder: Some(holder),
        }) => {
            assert_eq!(dir, place.dir);
            assert_eq!(holder.pid, std::process::id());
            assert!(holder.started.is_some_and(|ticks| ticks > 0));
        }
        other => panic!("{other:?}"),
    }
    drop(first);
    let again = DirLock::take(&place.dir).unwrap();
    assert_eq!(again.dir(), place.dir);
}

#[tokio::test]
async fn a_newer_database_is_refused_to_the_byte() {
    let place = Place::new();
    place.store().await.close().await.unwrap();
    let db = raw(&place.database()).await;
    run(
        &db,
        "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m0099_future', 0)",
    )
    .await;
    db.close().await.unwrap();
    let before = place.files();
    match open(&place).await {
        Err(OpenError::Newer {
            path,
            found: 99,
            known,
        }) => {
            assert_eq!((path, known), (place.database(), VERSION));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(place.files(), before);
}

#[tokio::test]
async fn a_newer_database_that_was_killed_is_refused_to_the_byte() {
    let place = Place::new();
    let store = place.store().await;
    let db = raw(&place.database()).await;
    let next = VERSION + 1;
    let newer = format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m{next:04}_next', 0)");
    run(&db, &newer).await;
    let killed = Place::new();
    as_after_a_kill(&place.database(), &killed.database());
    let before = killed.files();
    match open(&killed).await {
        Err(OpenError::Newer { found, .. }) => assert_eq!(found, next),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        killed.files(),
        before,
        "the version lay in the log only, and nothing was touched"
    );
    drop((store, db));
}

#[tokio::test]
async fn what_is_no_database_of_ours_is_refused_and_left() {
    let text = Place::new();
    std::fs::write(
        text.database(),
        "this is not a database, but somebody may want it",
    )
    .unwrap();

    let foreign = Place::new();
    let db = raw(&foreign.database()).await;
    run(&db, "CREATE TABLE songs (title TEXT)").await;
    db.close().await.unwrap();

    let broken = Place::new();
    let store = broken.store().await;
    add_project(&store, "web").await;
    for _ in 0..50 {
        spawn(&store, "web").await;
    }
    store.close().await.unwrap();
    let mut bytes = std::fs::read(broken.database()).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 8192].fill(0x5a);
    std::fs::write(broken.database(), bytes).unwrap();

    let cut = Place::new();
    cut.store().await.close().await.unwrap();
    let bytes = std::fs::read(cut.database()).unwrap();
    std::fs::write(cut.database(), &bytes[..5000]).unwrap();

    for (place, words) in [
        (text, "not an SQLite database"),
        (foreign, "not ao's"),
        (broken, ""),
        (cut, ""),
    ] {
        let before = place.files();
        match open(&place).await {
            Err(error @ OpenError::Damaged { .. }) => {
                let message = error.to_string();
                assert!(
                    message.contains("ao doctor --salvage") && message.contains(words),
                    "{message}"
                );
            }
            other => panic!("{words}: {other:?}"),
        }
        assert_eq!(place.files(), before, "{words}");
    }
}

#[tokio::test]
async fn a_crash_in_the_first_moment_leaves_what_opens() {
    let place = Place::new();
    std::fs::write(place.database(), "").unwrap();
    assert_eq!(version(&place.dir).await.unwrap(), None);
    place.store().await.close().await.unwrap();

    let begun = Place::new();
    let db = raw(&begun.database()).await;
    run(&db, "PRAGMA journal_mode = WAL").await;
    Migrator::up(&db, Some(0)).await.unwrap(); // the migrator's own table and nothing else
    db.close().await.unwrap();
    assert_eq!(version(&begun.dir).await.unwrap(), Some(0));
    let store = begun.store().await;
    add_project(&store, "web").await;
    assert!(
        !begun.dir.join("ao.sqlite3.v0.bak").exists(),
        "there was nothing to back up"
    );
}

#[tokio::test]
async fn an_older_database_is_backed_up_and_brought_forward() {
    let place = Place::new();
    let db = raw(&place.database()).await;
    Migrator::up(&db, Some(2)).await.unwrap();
    run(
        &db,
        "INSERT INTO projects VALUES
         ('old', '/repos/old', NULL, 'old', 'main', '2026-01-01T00:00:00.000Z', NULL, '2026-01-01T00:00:00.000Z')",
    )
    .await;
    db.close().await.unwrap();
    let store = place.store().await;
    assert_eq!(store.reader().projects().await.unwrap().len(), 1);
    spawn(&store, "old").await;
    let backup = place.dir.join("ao.sqlite3.v2.bak");
    assert_eq!(mode(&backup), 0o600);
    let copied = Place::new();
    std::fs::copy(&backup, copied.database()).unwrap();
    assert_eq!(version(&copied.dir).await.unwrap(), Some(2));
    assert_eq!(copied.store().await.reader().projects().await.unwrap().len(), 1);
    assert!(!place.files().iter().any(|(name, _)| name.ends_with(".half")));
}

#[tokio::test]
async fn a_failed_migration_leaves_the_version_before_it() {
    for from in 0..u32::try_from(Migrator::migrations().len()).unwrap() {
        let place = Place::new();
        let db = raw(&place.database()).await;
        Migrator::up(&db, Some(from)).await.unwrap();
        let schema = schema_of(&db).await;
        // The last statement of the next migration's transaction fails.
        run(
            &db,
            "CREATE TRIGGER refuse BEFORE INSERT ON seaql_migrations BEGIN SELECT raise(FAIL, 'full'); END",
        )
        .await;
        db.close().await.unwrap();
        match open(&place).await {
            Err(OpenError::Migrate {
                from: seen,
                known: VERSION,
                ..
            }) => assert_eq!(seen, from),
            other => panic!("{other:?}"),
        }
        let db = raw(&place.database()).await;
        run(&db, "DROP TRIGGER refuse").await;
        assert_eq!(schema_of(&db).await, schema, "migration {}", from + 1);
        db.close().await.unwrap();
        assert_eq!(version(&place.dir).await.unwrap(), Some(from));
        add_project(&place.store().await, "web").await;
    }
}

async fn schema_of(db: &DatabaseConnection) -> Vec<String> {
    let sql = "SELECT type || ' ' || name FROM sqlite_schema ORDER BY 1";
    let rows = db
        .query_all_raw(sea_orm::Statement::from_string(db.get_database_backend(), sql))
        .await
        .unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

#[tokio::test]
async fn salvage_moves_the_whole_database_aside() {
    let (place, store) = world().await;
    let damaged = Place::new();
    as_after_a_kill(&place.database(), &damaged.database());
    let aside = salvage(&damaged.dir, at(0)).unwrap().unwrap();
    assert_eq!(
        aside.file_name(),
        Some("ao.sqlite3.damaged-2025-06-15T15:06:40.000Z")
    );
    assert_eq!(version(&damaged.dir).await.unwrap(), None);
    assert!(
        damaged
            .store()
            .await
            .reader()
            .projects()
            .await
            .unwrap()
            .is_empty()
    );
    let rescued = Place::new();
    as_after_a_kill(&aside, &rescued.database());
    assert_eq!(
        rescued.store().await.reader().projects().await.unwrap().len(),
        1,
        "the log went along"
    );
    assert_eq!(salvage(&Place::new().dir, at(0)).unwrap(), None);
    drop(store);
}

#[tokio::test]
async fn the_originals_database_is_known_and_left() {
    let place = Place::new();
    assert_eq!(go_original(&place.dir), None);
    let theirs = place.dir.join("ao.db");
    let db = raw(&theirs).await;
    run(&db, "CREATE TABLE notes (text TEXT)").await;
    assert_eq!(go_original(&place.dir), None, "some other program's");
    run(&db, "PRAGMA journal_mode = WAL").await;
    run(
        &db,
        "CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY, version_id INTEGER NOT NULL)",
    )
    .await;
    let before = place.files();
    assert_eq!(
        go_original(&place.dir),
        Some(theirs.clone()),
        "while it runs: the table lies in its log"
    );
    assert_eq!(place.files(), before);
    db.close().await.unwrap();
    assert_eq!(go_original(&place.dir), Some(theirs));
    place.store().await; // beside it, in our own file
    assert!(place.dir.join(DATABASE).exists());
}

#[tokio::test]
async fn a_file_that_was_taken_away_is_noticed() {
    let (place, store) = world().await;
    store.check().await.unwrap();
    std::fs::rename(place.database(), place.dir.join("elsewhere")).unwrap();
    assert!(matches!(store.check().await, Err(FactsError::Moved { .. })));
    place.store().await; // another file at the same path is not ours either
    assert!(matches!(store.check().await, Err(FactsError::Moved { .. })));
}

#[tokio::test]
async fn a_checkpoint_empties_the_log_and_the_file_has_everything() {
    let (place, store) = world().await;
    let id = spawn(&store, "web").await;
    put(&store, &id, Phase::Worktree).await;
    let wal = place.dir.join("ao.sqlite3-wal");
    assert!(std::fs::metadata(&wal).unwrap().len() > 0);
    store.checkpoint().await.unwrap();
    assert_eq!(std::fs::metadata(&wal).unwrap().len(), 0);
    let copied = Place::new();
    std::fs::copy(place.database(), copied.database()).unwrap();
    assert_eq!(get(&copied.store().await, &id).await, get(&store, &id).await);
}

#[tokio::test]
async fn readers_cannot_write_and_a_closed_store_says_so() {
    let (_place, store) = world().await;
    store.close().await.unwrap();
    assert!(store.reader().projects().await.is_err());
    assert!(store.intents().set_due("round", at(0)).await.is_err());
}
