//! Deaths and full disks of real processes: each test runs itself again as a child.

use std::process::{Command, ExitStatus, Stdio};

use crate::support::*;
use ao_domain::Phase;
use ao_facts::{Changes, FactsError, Moved, Stand, Store, StoreOptions, version};
use ao_migrations::Migrator;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};
use sea_orm::{ConnectOptions, ConnectionTrait, Database};
use sea_orm_migration::MigratorTrait;
use std::os::unix::process::ExitStatusExt;

const DIR: &str = "AO_FACTS_TEST_DIR";

/// The directory a parent gave us, if we are the child.
#[expect(
    clippy::disallowed_methods,
    reason = "how a test tells itself apart from its child"
)]
fn given() -> Option<Utf8PathBuf> {
    std::env::var(DIR).ok().map(Utf8PathBuf::from)
}

/// Runs the test `name` of this file as a child for `dir`. A file size limit is an error for it, not a signal: what
/// is ignored stays ignored over exec.
#[expect(
    clippy::disallowed_methods,
    reason = "the child is this test program, and is waited for"
)]
fn again(name: &str, dir: &Utf8Path) -> (ExitStatus, String) {
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    (child.status, said)
}

fn die() -> ! {
    let me: Pid = getpid();
    kill_process(me, Signal::KILL).unwrap();
    unreachable!("SIGKILL is not survived")
}

/// A connection with a collation that kills the process when it compares anything.
async fn deadly(path: &Utf8Path) -> sea_orm::DatabaseConnection {
    let path = path.to_owned();
    let mut options = ConnectOptions::new("sqlite::memory:");
    options
        .max_connections(1)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |sqlite| {
            let sqlite = sqlite.in_memory(false).shared_cache(false).filename(&path);
            sqlite.collation("deadly", |_: &str, _: &str| die())
        });
    Database::connect(options).await.unwrap()
}

#[tokio::test]
async fn a_kill_inside_each_migration_leaves_the_version_before_it() {
    if let Some(dir) = given() {
        let db = deadly(&dir.join(ao_facts::DATABASE)).await;
        Migrator::up(&db, None).await.unwrap();
        panic!("the migration ended without being killed");
    }
    for from in 0..u32::try_from(Migrator::migrations().len()).unwrap() {
        let place = Place::new();
        let db = raw(&place.database()).await;
        db.execute_unprepared("PRAGMA journal_mode = WAL").await.unwrap();
        Migrator::up(&db, Some(from)).await.unwrap();
        // The record of the migration is the last thing written in its transaction: killed while writing it.
        let trap = "CREATE TRIGGER trap BEFORE INSERT ON seaql_migrations
            WHEN NEW.version COLLATE deadly > 'm' BEGIN SELECT 1; END";
        db.execute_unprepared(trap).await.unwrap();
        db.close().await.unwrap();
        let (status, said) = again(
            "crash::a_kill_inside_each_migration_leaves_the_version_before_it",
            &place.dir,
        );
        assert_eq!(status.signal(), Some(9), "{said}");
        let db = raw(&place.database()).await;
        db.execute_unprepared("DROP TRIGGER trap").await.unwrap();
        db.close().await.unwrap();
        assert_eq!(version(&place.dir).await.unwrap(), Some(from));
        let store = place.store().await;
        add_project(&store, "web").await;
        spawn(&store, "web").await;
    }
}

#[tokio::test]
async fn a_killed_writer_leaves_what_it_committed_and_nothing_else() {
    if let Some(dir) = given() {
        let store = Store::open(&dir, &StoreOptions { readers: 1 }).await.unwrap();
        let id = spawn(&store, "web").await;
        put(&store, &id, Phase::Worktree).await;
        let db = raw(&dir.join(ao_facts::DATABASE)).await;
        db.execute_unprepared("BEGIN IMMEDIATE; UPDATE sessions SET phase = 'live', revision = 99")
            .await
            .unwrap();
        die();
    }
    let place = Place::new();
    let store = place.store().await;
    add_project(&store, "web").await;
    store.close().await.unwrap();
    let (status, said) = again(
        "crash::a_killed_writer_leaves_what_it_committed_and_nothing_else",
        &place.dir,
    );
    assert_eq!(status.signal(), Some(9), "{said}");
    let store = place.store().await;
    let session = get(&store, &session("web-1")).await;
    assert_eq!((session.phase, session.revision), (Phase::Worktree, 1));
}

#[tokio::test]
async fn a_full_disk_is_named_and_loses_nothing() {
    if let Some(dir) = given() {
        fill(&dir).await;
        return;
    }
    let place = Place::new();
    let store = place.store().await;
    add_project(&store, "web").await;
    store.close().await.unwrap();
    let (status, said) = again("crash::a_full_disk_is_named_and_loses_nothing", &place.dir);
    assert!(status.success(), "{said}");
    let made = said.lines().filter(|line| line.contains("made web-")).count();
    assert!(made > 2, "{said}");
    let store = place.store().await;
    assert_eq!(
        store.reader().sessions(&Default::default()).await.unwrap().len(),
        made
    );
}

/// Writes until files may not grow any more, then once more after they may.
async fn fill(dir: &Utf8Path) {
    let store = Store::open(dir, &StoreOptions { readers: 1 }).await.unwrap();
    let was = getrlimit(Resource::Fsize);
    setrlimit(
        Resource::Fsize,
        Rlimit {
            current: Some(400_000),
            ..was
        },
    )
    .unwrap();
    let mut last = None;
    let error = loop {
        let big = ao_facts::NewSession {
            prompt: Some("x".repeat(50_000)),
            ..new_session("web")
        };
        match store.intents().spawn(big).await {
            Ok(ao_facts::Spawn::Spawned { id, .. }) => {
                println!("made {id}");
                last = Some(id);
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, FactsError::Full { .. }), "{error:?}");
    // Reading goes on, and the write that failed left nothing half done.
    let last = get(&store, &last.unwrap()).await;
    assert_eq!(
        store.reader().unfinished_sessions().await.unwrap().len(),
        last.num as usize
    );
    // Once there is room the same store writes again.
    setrlimit(Resource::Fsize, was).unwrap();
    let step = store.outcomes();
    let moved = step
        .advance(
            &me(),
            &last.id,
            Stand::of(&last),
            Phase::Worktree,
            Changes::default(),
            at(5),
        )
        .await;
    assert_eq!(moved.unwrap(), Moved::Yes);
    println!("made {}", spawn(&store, "web").await);
    waits_for_its_turn(dir, &store, &last.id).await;
}
