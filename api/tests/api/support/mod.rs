//! A daemon of which only the API is real, and a client that says exactly what a test wants it to say.

mod client;
mod fakes;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ao_api::{Boot, Config, Connections, Deps, Limits, Stage, acceptors, router};
use ao_domain::port::runtime::Runtimes;
use ao_domain::{
    Looked, Phase, ProjectId, RemoteRepo, Seen, Session, SessionId, SessionKind, SessionSetup, Timestamp,
};
use ao_facts::{
    Added, Changes, Feed, Moved, NewProject, NewSession, OutcomeWriter, Sighting, Spawn, Stand, Store,
    StoreOptions,
};
use ao_supervisor::{Budget, ChildSpec, Crash, Incarnation, Root, Strategy, Supervisor};
use camino::Utf8PathBuf;
use tokio::net::TcpListener;

pub(crate) use client::{Answer, Line, Stream, request};
pub(crate) use fakes::{
    FakeAgents, FakeCatalog, FakeClock, FakeProvisioner, FakeSpool, FakeWorktrees, NoProcesses,
};

/// The token of every daemon here.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// How long anything may take that should happen: far longer than it does.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What differs from the usual.
pub(crate) struct Options {
    pub(crate) patience: Duration,
    pub(crate) chaos: bool,
    pub(crate) uid_of: fn(SocketAddr, SocketAddr) -> io::Result<Option<u32>>,
    pub(crate) limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            patience: SOON,
            chaos: true,
            uid_of: ao_api::peer::uid_of,
            limits: Limits::usual(),
        }
    }
}

pub(crate) struct World {
    pub(crate) port: u16,
    pub(crate) store: Store,
    pub(crate) outcomes: OutcomeWriter,
    pub(crate) stage: Stage,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) spool: Arc<FakeSpool>,
    pub(crate) catalog: Arc<FakeCatalog>,
    pub(crate) connections: Connections,
    pub(crate) root: Root,
    dir: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let dir = TempDir::new();
        let store = Store::open(&dir.0, &StoreOptions { readers: 2 }).await.unwrap();
        let listener = Arc::new(TcpListener::bind(("127.0.0.1", 0)).await.unwrap());
        let port = listener.local_addr().unwrap().port();
        let uid = rustix::process::getuid().as_raw();
        let feed = Feed::new(store.reader());
        let stage = Stage::new();
        let (clock, spool) = (Arc::new(FakeClock::new()), Arc::new(FakeSpool::default()));
        let catalog = Arc::new(FakeCatalog::default());
        let connections = Connections::new(uid, options.uid_of, options.limits);
        let supervisor = Supervisor::root("ao", Strategy::OneForOne, Budget::restarts(10_000).per(SOON));
        let router = router(Deps {
            reader: store.reader(),
            intents: store.intents(),
            feed: feed.clone(),
            spool: spool.clone(),
            worktrees: Arc::new(FakeWorktrees),
            upkeep: Arc::new(FakeWorktrees),
            runtimes: Runtimes::new([]),
            processes: Arc::new(NoProcesses),
            provisioner: Arc::new(FakeProvisioner),
            agents: Arc::new(FakeAgents::default()),
            catalog: catalog.clone(),
            repository_of: Arc::new(|remote| {
                let (host, path) = remote.strip_prefix("https://")?.split_once('/')?;
                Some(RemoteRepo::new(host, path))
            }),
            clock: clock.clone(),
            boot: Arc::new(|| Boot {
                id: "this-boot".to_owned(),
                millis: 5_000,
            }),
            tree: supervisor.handle(),
            stage: stage.clone(),
            config: Config {
                port,
                patience: options.patience,
                chaos: options.chaos,
                ao: dir.0.join("bin/ao"),
                env: Vec::new(),
                default_agent: "shell".to_owned(),
                default_runtime: "pty".to_owned(),
                runtimes: vec!["pty".to_owned()],
                sweep: "sessions".to_owned(),
                data_dir: dir.0.clone(),
                worktree_root: dir.0.join("worktrees"),
                token: TOKEN.to_owned(),
                pid: std::process::id(),
                uid,
                version: "1.2.3".to_owned(),
            },
        });
        let mut supervisor = supervisor.child(tail(feed));
        for acceptor in acceptors(&listener, &router, &connections, 2) {
            supervisor = supervisor.child(acceptor);
        }
        let root = supervisor.start().await.unwrap();
        stage.ready();
        Self {
            port,
            outcomes: store.outcomes(),
            store,
            stage,
            clock,
            spool,
            catalog,
            connections,
            root,
            dir,
        }
    }

    pub(crate) fn data_dir(&self) -> &Utf8PathBuf {
        &self.dir.0
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        request("GET", path).send(self.port).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        request("POST", path).json(body).send(self.port).await
    }

    /// A project with this id, whose repository is fine.
    pub(crate) async fn project(&self, id: &str) -> ProjectId {
        self.project_of(id, None).await
    }

    /// The same, with this remote.
    pub(crate) async fn project_of(&self, id: &str, origin: Option<&str>) -> ProjectId {
        let new = NewProject {
            id: id.parse().unwrap(),
            path: format!("/repos/{id}").into(),
            origin: origin.map(str::to_owned),
            display_name: None,
            default_branch: "main".to_owned(),
            now: self.now(),
        };
        let Added::Added(project) = self.store.intents().add_project(new).await.unwrap() else {
            panic!("not added")
        };
        project.id
    }

    /// A queued session with everything that must never leave the daemon.
    pub(crate) async fn session(&self, project: &ProjectId, kind: SessionKind) -> SessionId {
        let root = self.dir.0.join("worktrees");
        let new = NewSession {
            key: None,
            project: project.clone(),
            kind,
            issue: Some("12".to_owned()),
            harness: "shell".to_owned(),
            runtime: "pty".to_owned(),
            display_name: Some("tidy up".to_owned()),
            prompt: Some("the-prompt".to_owned()),
            first_message: None,
            command: vec!["make".to_owned()],
            model: None,
            permissions: ao_domain::PermissionMode::Default,
            branch: None,
            base: "main".to_owned(),
            repo: format!("/repos/{project}").into(),
            setup: SessionSetup::default(),
            claim: None,
            replace: false,
            secret: "5ec4e75ec4e75ec4e75ec4e75ec4e700".to_owned(),
            worktree_root: &root,
            now: self.now(),
        };
        match self.store.intents().spawn(new).await.unwrap() {
            Spawn::Spawned { id, fresh: true } => id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn row(&self, id: &SessionId) -> Session {
        self.store.reader().session(id).await.unwrap().unwrap()
    }

    /// What a session's child does: one step.
    pub(crate) async fn step(&self, id: &SessionId, to: Phase, changes: Changes) {
        let stand = Stand::of(&self.row(id).await);
        let by = Incarnation::detached();
        let moved = self
            .outcomes
            .advance(&by, id, stand, to, changes, self.now())
            .await
            .unwrap();
        assert_eq!(moved, Moved::Yes, "{id} to {to}");
    }

    /// One change that the event stream shows.
    pub(crate) async fn bump(&self, id: &SessionId) {
        let moved = self
            .outcomes
            .bump(&Incarnation::detached(), id, self.now())
            .await
            .unwrap();
        assert_eq!(moved, Moved::Yes);
    }

    /// As many changes, all in one transaction.
    pub(crate) async fn burst(&self, id: &SessionId, changes: usize) {
        let sighting = |number: usize| Sighting {
            session: id.clone(),
            generation: 1,
            seen: Seen {
                looked: [Looked::Alive, Looked::Failed][number % 2],
                holder: None,
                agent: None,
                exit: None,
                note: None,
            },
            at: self.now(),
        };
        let seen: Vec<Sighting> = (0..changes).map(sighting).collect();
        self.store
            .observations()
            .looked(&Incarnation::detached(), &seen)
            .await
            .unwrap();
    }

    /// Waits until a session of that project is wanted, as its child would.
    pub(crate) async fn appears(&self, id: &str) -> SessionId {
        let id: SessionId = id.parse().unwrap();
        let mut wakeups = self.store.wakeups();
        within(async {
            while self.store.reader().session(&id).await.unwrap().is_none() {
                wakeups.changed().await;
            }
        })
        .await;
        id
    }

    pub(crate) fn now(&self) -> Timestamp {
        use ao_domain::port::clock::Clock;
        self.clock.now()
    }

    /// Waits until that many connections are open.
    pub(crate) async fn has_open(&self, connections: usize) {
        within(async {
            while self.connections.open() != connections {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    pub(crate) async fn head(&self) -> i64 {
        self.store.reader().head_seq().await.unwrap()
    }
}

fn tail(feed: Feed) -> ChildSpec {
    ChildSpec::new("feed", move |ctx| {
        let feed = feed.clone();
        async move {
            tokio::select! {
                ended = feed.tail(|_| ctx.ready()) => match ended {
                    Ok(never) => match never {},
                    Err(error) => Err(Crash::from(error)),
                },
                () = ctx.stopping() => Ok(ao_supervisor::Done),
            }
        }
    })
}

/// Fails a test that waits for what does not come.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("it happens soon")
}

struct TempDir(Utf8PathBuf);

impl TempDir {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "ao-api-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = Utf8PathBuf::try_from(std::env::temp_dir()).unwrap().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
