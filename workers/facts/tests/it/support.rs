//! A store in a directory of its own, and the shortest words for what tests put into it.

use ao_domain::{
    EndReason, HookRecord, Looked, Phase, ProcessId, ProjectId, Seen, Session, SessionId, SessionKind,
    Signal, Timestamp,
};
use ao_facts::{
    Added, AppliedSignal, Change, Changes, DirLock, Moved, NewProject, NewSession, Sighting, Spawn, Stand,
    Stop, Store, StoreOptions,
};
use ao_supervisor::{Budget, ChildSpec, Done, Incarnation, Root, Strategy, Supervisor};
use camino::{Utf8Path, Utf8PathBuf};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

pub(crate) struct Place {
    _temp: tempfile::TempDir,
    pub(crate) dir: Utf8PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let dir = Utf8PathBuf::try_from(temp.path().join("data")).unwrap();
        drop(DirLock::take(&dir).unwrap()); // makes it as the daemon does
        Self { _temp: temp, dir }
    }

    pub(crate) fn database(&self) -> Utf8PathBuf {
        self.dir.join(ao_facts::DATABASE)
    }

    pub(crate) async fn store(&self) -> Store {
        Store::open(&self.dir, &StoreOptions { readers: 4 })
            .await
            .unwrap()
    }

    /// Every file of the directory with its bytes.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = self
            .dir
            .read_dir_utf8()
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                (
                    entry.file_name().to_owned(),
                    std::fs::read(entry.path()).unwrap_or_default(),
                )
            })
            .collect();
        files.sort();
        files
    }
}

/// A store with the project `web`.
pub(crate) async fn world() -> (Place, Store) {
    let place = Place::new();
    let store = place.store().await;
    add_project(&store, "web").await;
    (place, store)
}

/// A plain connection to a database file, as any other program has it.
pub(crate) async fn raw(path: &Utf8Path) -> DatabaseConnection {
    let path = path.to_owned();
    let mut options = ConnectOptions::new("sqlite::memory:");
    options
        .max_connections(1)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |sqlite| {
            sqlite
                .in_memory(false)
                .shared_cache(false)
                .filename(&path)
                .create_if_missing(true)
        });
    Database::connect(options).await.unwrap()
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_750_000_000_000 + seconds * 1000)
}

pub(crate) fn project(id: &str) -> ProjectId {
    id.parse().unwrap()
}

pub(crate) fn session(id: &str) -> SessionId {
    id.parse().unwrap()
}

pub(crate) fn new_project(id: &str, path: &str) -> NewProject {
    NewProject {
        id: project(id),
        path: path.into(),
        origin: None,
        display_name: None,
        default_branch: "main".to_owned(),
        now: at(0),
    }
}

pub(crate) async fn add_project(store: &Store, id: &str) {
    let added = store
        .intents()
        .add_project(new_project(id, &format!("/repos/{id}")))
        .await
        .unwrap();
    assert!(matches!(added, Added::Added(_)), "{added:?}");
}

pub(crate) fn new_session(of: &str) -> NewSession<'static> {
    NewSession {
        key: None,
        project: project(of),
        kind: SessionKind::Worker,
        issue: None,
        harness: "shell".to_owned(),
        runtime: "pty".to_owned(),
        display_name: None,
        prompt: None,
        first_message: None,
        command: vec!["make".to_owned(), "test".to_owned()],
        model: None,
        permissions: ao_domain::PermissionMode::Default,
        branch: None,
        base: "main".to_owned(),
        repo: format!("/repos/{of}").into(),
        setup: ao_domain::SessionSetup::default(),
        claim: None,
        replace: false,
        secret: SECRET.to_owned(),
        worktree_root: Utf8Path::new("/worktrees"),
        now: at(1),
    }
}

pub(crate) async fn spawn(store: &Store, of: &str) -> SessionId {
    match store.intents().spawn(new_session(of)).await.unwrap() {
        Spawn::Spawned { id, fresh: true } => id,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn get(store: &Store, id: &SessionId) -> Session {
    store.reader().session(id).await.unwrap().unwrap()
}

/// Moves `id` to `phase` from wherever it is.
pub(crate) async fn put(store: &Store, id: &SessionId, phase: Phase) {
    put_with(store, id, phase, Changes::default()).await;
}

pub(crate) async fn put_with(store: &Store, id: &SessionId, phase: Phase, changes: Changes) {
    let seen = Stand::of(&get(store, id).await);
    let moved = store
        .outcomes()
        .advance(&me(), id, seen, phase, changes, at(2))
        .await
        .unwrap();
    assert_eq!(moved, Moved::Yes);
}

/// A write that reads first, begun while another program holds the database: it has to wait for its turn and then
/// succeed. One that began as a reader would be refused, because the other wrote after it read.
pub(crate) async fn waits_for_its_turn(place: &Utf8Path, store: &Store, id: &SessionId) {
    let other = raw(&place.join(ao_facts::DATABASE)).await;
    other
        .execute_unprepared("BEGIN IMMEDIATE; UPDATE projects SET display_name = display_name || 'x'")
        .await
        .unwrap();
    let intents = store.intents();
    let (stopped, ()) = tokio::join!(intents.stop(id, EndReason::Killed, false, at(9)), async {
        for _ in 0..200 {
            head(store).await; // long enough for the other to come as far as it can
        }
        other.execute_unprepared("COMMIT").await.unwrap();
    });
    assert_eq!(stopped.unwrap(), Stop::Stopping);
}

pub(crate) async fn bump(store: &Store, id: &SessionId, second: i64) {
    assert_eq!(
        store.outcomes().bump(&me(), id, at(second)).await.unwrap(),
        Moved::Yes
    );
}

pub(crate) fn me() -> Incarnation {
    Incarnation::detached()
}

/// The incarnation of a child that runs until its tree is stopped, and then is revoked.
pub(crate) async fn revocable() -> (Incarnation, Root) {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let writer = ChildSpec::new("writer", move |ctx| {
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
        .child(writer)
        .start()
        .await
        .unwrap();
    (heard.recv().await.unwrap(), root)
}

pub(crate) async fn revoked() -> Incarnation {
    let (incarnation, root) = revocable().await;
    root.stop().await;
    assert!(incarnation.is_revoked());
    incarnation
}

pub(crate) fn process(pid: u32) -> ProcessId {
    ProcessId {
        pid,
        started: 7,
        boot: "boot-1".to_owned(),
    }
}

pub(crate) fn alive() -> Seen {
    Seen {
        looked: Looked::Alive,
        holder: Some(process(10)),
        agent: Some(process(11)),
        exit: None,
        note: None,
    }
}

pub(crate) fn failed(note: &str) -> Seen {
    Seen {
        looked: Looked::Failed,
        holder: None,
        agent: None,
        exit: None,
        note: Some(note.to_owned()),
    }
}

pub(crate) fn sighting(id: &SessionId, seen: Seen, second: i64) -> Sighting {
    Sighting {
        session: id.clone(),
        generation: 1,
        seen,
        at: at(second),
    }
}

pub(crate) fn hook(id: &SessionId, number: u64, state: Option<ao_domain::ActivityState>) -> AppliedSignal {
    AppliedSignal {
        record: HookRecord {
            v: 1,
            id: format!("{id}-{number:032x}"),
            session: id.clone(),
            generation: 1,
            secret: SECRET.to_owned(),
            agent: "shell".to_owned(),
            event: "did".to_owned(),
            boot: "boot-1".to_owned(),
            boot_ms: number,
            at: at(10 + i64::try_from(number).unwrap()),
            payload: String::new(),
            truncated: false,
        },
        signal: Signal {
            state,
            ..Signal::default()
        },
    }
}

pub(crate) async fn head(store: &Store) -> i64 {
    store.reader().head_seq().await.unwrap()
}

pub(crate) async fn changes(store: &Store, after: i64) -> Vec<Change> {
    store.reader().changes_after(after, 10_000).await.unwrap()
}

/// The types of the events after number `after`.
pub(crate) async fn types(store: &Store, after: i64) -> Vec<String> {
    changes(store, after)
        .await
        .into_iter()
        .map(|change| change.event_type)
        .collect()
}
