//! THE TREE: every child, its strategy and its budget, in start order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ao_act::janitor::{self, Janitor};
use ao_act::session::{self, SessionChild};
use ao_domain::{RemoteRepo, SessionId};
use ao_facts::{Wakeups, keeper};
use ao_observe::claim::{self, ClaimChild};
use ao_observe::gateway::{self, Gateway};
use ao_observe::hook_spool::{self, SpoolReader};
use ao_observe::pull_request::{self, Pull};
use ao_observe::reaper_sweep::{self, Sweep};
use ao_observe::repository::{self, Repository};
use ao_observe::transcript::{self, Transcript};
use ao_supervisor::{
    Budget, ChildSpec, Crash, Keys, Restart, Roster, Shutdown, Strategy, Supervisor, Tree, Unheard, child,
};
use tokio::sync::Mutex;

use crate::Wiring;

const MINUTE: Duration = Duration::from_secs(60);

/// The exit status of a daemon that can do no more for itself: its root gave up, or its supervisors are held up. What is
/// outside (systemd, a container) is to start it again (`EX_SOFTWARE`).
pub const GAVE_UP: u8 = 70;

/// How long a child of a roster may take to read its row: SQLite's busy timeout is 5 s.
const UP: Duration = Duration::from_secs(10);

/// How long a session's child may take to put down what it is doing: the write it is in, not the git it waits for. That
/// one goes on and is waited for by the next incarnation.
const PUT_DOWN: Duration = Duration::from_secs(2);

/// Everything that runs. A task that is not drawn here does not exist, but for these: hyper's connections (owned by the
/// daemon's `Connections`, served for the API's children), threads of sqlx and of notify.
pub fn tree(w: &Wiring, api: impl FnOnce(Tree) -> Vec<ChildSpec>) -> Supervisor {
    let root = Supervisor::root("ao", Strategy::RestForOne, Budget::restarts(3).per(5 * MINUTE))
        // Nothing in here can free the supervisors' own thread. Agents outlive the daemon, and the next one adopts them.
        .unheard(Unheard::Exit(GAVE_UP));
    let api = api(root.handle()); // it shows the tree that it stands in
    // Infrastructure: the end of one of these reaches the root. What stands later needs what stands before.
    let mut serving =
        Supervisor::new("serving", Strategy::OneForOne, Budget::restarts(5).per(MINUTE)).child(feed(w));
    for acceptor in api {
        serving = serving.child(acceptor);
    }
    root.child(store(w))
        .child(serving)
        // Parking: each child has its own budget and never takes a sibling along.
        .child(
            Supervisor::new("observe", Strategy::OneForOne, Budget::parking())
                .child(Roster::new("sweeps", "sweep", w.due_sweeps(), sweep(w))) // one short-lived child per due sweep
                .child(hook_spool(w))
                // One per living session whose agent writes down what its hooks do not tell.
                .child(Roster::new(
                    "transcripts",
                    "transcript",
                    w.transcribed_sessions(),
                    transcript(w),
                ))
                .child(Roster::new("gateways", "gateway", w.hosts(), gateway(w))) // one per host of a forge
                .child(Roster::new(
                    "repositories",
                    "repository",
                    w.watched_repositories(),
                    repository(w),
                ))
                .child(Roster::new("pulls", "pull", w.followed_pulls(), pull(w))) // one per open pull request
                .child(Roster::new("claims", "claim", w.open_claims(), claim(w))), // one per claim without an answer
        )
        .child(
            Supervisor::new("act", Strategy::OneForOne, Budget::parking())
                .child(Roster::new(
                    "sessions",
                    "session",
                    w.unfinished_sessions(),
                    session(w),
                )) // one per session
                .child(janitor(w)),
        )
}

fn store(w: &Wiring) -> ChildSpec {
    keeper::store(w.store.clone(), w.clock.clone())
}

fn feed(w: &Wiring) -> ChildSpec {
    keeper::feed(w.feed.clone())
}

fn hook_spool(w: &Wiring) -> ChildSpec {
    let w = w.clone();
    let fresh = move || {
        SpoolReader::new(
            w.reader.clone(),
            w.seen.clone(),
            w.spool.clone(),
            w.agents.clone(),
            w.clock.clone(),
            w.wall_retry,
        )
    };
    child("hooks", fresh)
        .kind("hooks")
        .heartbeat(hook_spool::HEARTBEAT)
}

fn janitor(w: &Wiring) -> ChildSpec {
    let w = w.clone();
    child("janitor", move || Janitor::new(w.janitor_parts()))
        .kind("janitor")
        .heartbeat(janitor::HEARTBEAT)
}

fn sweep(w: &Wiring) -> impl Fn(String) -> ChildSpec + Send + Sync + 'static {
    let w = w.clone();
    move |name| {
        let (w, key) = (w.clone(), name.clone());
        let fresh = move || {
            Sweep::new(
                key.clone(),
                w.reader.clone(),
                w.seen.clone(),
                w.runtimes.clone(),
                w.processes.clone(),
                w.clock.clone(),
            )
        };
        child(name, fresh)
            .start_timeout(Some(UP))
            .kind("sweep")
            .restart(Restart::Transient)
            .heartbeat(reaper_sweep::HEARTBEAT)
    }
}

fn transcript(w: &Wiring) -> impl Fn(String) -> ChildSpec + Send + Sync + 'static {
    let w = w.clone();
    let env: Arc<[(String, String)]> = w.env().into();
    move |key| {
        let (w, env) = (w.clone(), env.clone());
        let id: Result<SessionId, _> = key.parse();
        let spec = match id {
            Ok(id) => child(key, move || {
                Transcript::new(
                    id.clone(),
                    w.reader.clone(),
                    w.agents.clone(),
                    w.transcripts.clone(),
                    w.spool.clone(),
                    w.clock.clone(),
                    env.clone(),
                )
            }),
            Err(error) => not_a_key(key, error),
        };
        spec.kind("transcript")
            .restart(Restart::Transient)
            .heartbeat(transcript::HEARTBEAT)
    }
}

/// Keys come from rows that were checked on their way in; one that is none is seen, not hidden.
fn not_a_key<E: std::error::Error + Clone + Send + Sync + 'static>(key: String, error: E) -> ChildSpec {
    ChildSpec::new(key, move |_| {
        let error = error.clone();
        async move { Err(Crash::from(error)) }
    })
}

fn gateway(w: &Wiring) -> impl Fn(String) -> ChildSpec + Send + Sync + 'static {
    let w = w.clone();
    move |host| {
        let (w, key) = (w.clone(), host.clone());
        let fresh = move || {
            Gateway::new(
                key.clone(),
                w.reader.clone(),
                w.seen.clone(),
                w.forge.clone(),
                w.exchange.clone(),
                w.clock.clone(),
                w.tempo,
            )
        };
        child(host, fresh)
            .start_timeout(Some(UP))
            .kind("gateway")
            .heartbeat(gateway::HEARTBEAT)
    }
}

fn repository(w: &Wiring) -> impl Fn(String) -> ChildSpec + Send + Sync + 'static {
    let parts = w.repository_parts();
    move |key| {
        let parts = parts.clone();
        let repo: Result<RemoteRepo, _> = key.parse();
        let spec = match repo {
            Ok(repo) => child(key, move || Repository::new(repo.clone(), parts.clone())),
            Err(error) => not_a_key(key, error),
        };
        spec.kind("repository").heartbeat(repository::HEARTBEAT)
    }
}

fn pull(w: &Wiring) -> impl Fn(String) -> ChildSpec + Send + Sync + 'static {
    let parts = w.pull_parts();
    move |key| {
        let parts = parts.clone();
        let id: Result<u64, _> = key.parse();
        let spec = match id {
            Ok(id) => child(key, move || Pull::new(id, parts.clone())),
            Err(error) => not_a_key(key, error),
        };
        spec.kind("pull")
            .restart(Restart::Transient)
            .heartbeat(pull_request::HEARTBEAT)
    }
}

fn claim(w: &Wiring) -> impl Fn(String) -> ChildSpec + Send + Sync + 'static {
    let parts = w.claim_parts();
    move |key| {
        let parts = parts.clone();
        let id: Result<u64, _> = key.parse();
        let spec = match id {
            Ok(id) => child(key, move || ClaimChild::new(id, parts.clone())),
            Err(error) => not_a_key(key, error),
        };
        spec.kind("claim")
            .restart(Restart::Transient)
            .heartbeat(claim::HEARTBEAT)
    }
}

fn session(w: &Wiring) -> impl Fn(String) -> ChildSpec + Send + Sync + 'static {
    let w = w.clone();
    move |key| {
        let parts = w.session_parts();
        let id: Result<SessionId, _> = key.parse();
        let spec = match id {
            Ok(id) => child(key, move || SessionChild::new(id.clone(), parts.clone())),
            Err(error) => not_a_key(key, error),
        };
        spec.start_timeout(Some(UP))
            .kind("session")
            .restart(Restart::Transient)
            .shutdown(Shutdown::After(PUT_DOWN))
            .heartbeat(session::HEARTBEAT)
    }
}

impl Wiring {
    fn unfinished_sessions(&self) -> impl Keys {
        Sessions::new(self, None)
    }

    fn transcribed_sessions(&self) -> impl Keys {
        let transcribes = |id: &&str| {
            self.agents
                .get(id)
                .is_ok_and(|agent| agent.description().transcribes)
        };
        let harnesses = self.agents.ids().into_iter().filter(transcribes).collect();
        Sessions::new(self, Some(harnesses))
    }

    fn hosts(&self) -> impl Keys {
        Pulls::new(self, Kind::Hosts)
    }

    fn watched_repositories(&self) -> impl Keys {
        Pulls::new(self, Kind::Repositories)
    }

    fn followed_pulls(&self) -> impl Keys {
        Pulls::new(self, Kind::Pulls)
    }

    fn open_claims(&self) -> impl Keys {
        Pulls::new(self, Kind::Claims)
    }

    fn due_sweeps(&self) -> impl Keys {
        Due {
            w: self.clone(),
            wakeups: Mutex::new(self.reader.wakeups()),
        }
    }
}

/// A set of sessions. Its place at the wake-ups is kept from call to call, so that a commit while nobody waits is answered by the
/// next wait.
struct Sessions {
    w: Wiring,
    wakeups: Mutex<Wakeups>,
    /// The living ones of these agents; `None`: all that something may still have to be done about.
    living_of: Option<Vec<&'static str>>,
}

impl Sessions {
    fn new(w: &Wiring, living_of: Option<Vec<&'static str>>) -> Self {
        Self {
            w: w.clone(),
            wakeups: Mutex::new(w.reader.wakeups()),
            living_of,
        }
    }
}

impl Keys for Sessions {
    async fn keys(&self) -> Result<Vec<String>, Crash> {
        let ids = match &self.living_of {
            None => self.w.reader.unfinished_sessions().await?,
            Some(harnesses) => self.w.reader.living_sessions_of(harnesses).await?,
        };
        Ok(ids.iter().map(ToString::to_string).collect())
    }

    async fn changed(&self) {
        self.wakeups.lock().await.changed().await;
    }
}

/// What of pull requests has a child.
enum Kind {
    Hosts,
    Repositories,
    Pulls,
    Claims,
}

struct Pulls {
    w: Wiring,
    wakeups: Mutex<Wakeups>,
    kind: Kind,
}

impl Pulls {
    fn new(w: &Wiring, kind: Kind) -> Self {
        Self {
            w: w.clone(),
            wakeups: Mutex::new(w.reader.wakeups()),
            kind,
        }
    }

    /// The repositories whose remotes a forge knows, where a session's pull request may come up.
    async fn watched(&self) -> Result<BTreeSet<RemoteRepo>, Crash> {
        let known = |remote: &str| self.w.forge.repository(remote);
        Ok(self
            .w
            .reader
            .watched_repositories(known, self.w.clock.now())
            .await?)
    }
}

impl Keys for Pulls {
    async fn keys(&self) -> Result<Vec<String>, Crash> {
        Ok(match self.kind {
            Kind::Hosts => {
                let known = |remote: &str| self.w.forge.repository(remote);
                let hosts = self.w.reader.watched_hosts(known, self.w.clock.now()).await?;
                hosts.into_iter().collect()
            }
            Kind::Repositories => self.watched().await?.iter().map(ToString::to_string).collect(),
            Kind::Pulls => {
                let ids = self.w.reader.followed_pulls().await?;
                ids.iter().map(ToString::to_string).collect()
            }
            Kind::Claims => {
                let ids = self.w.reader.open_claims().await?;
                ids.iter().map(ToString::to_string).collect()
            }
        })
    }

    async fn changed(&self) {
        self.wakeups.lock().await.changed().await;
    }
}

/// The sweeps whose time has come.
struct Due {
    w: Wiring,
    wakeups: Mutex<Wakeups>,
}

impl Keys for Due {
    async fn keys(&self) -> Result<Vec<String>, Crash> {
        let (sweeps, now) = (self.w.reader.sweeps().await?, self.w.clock.now());
        let due = sweeps
            .into_iter()
            .filter(|sweep| reaper_sweep::is_due(sweep, now));
        Ok(due.map(|sweep| sweep.name).collect())
    }

    async fn changed(&self) {
        let now = self.w.clock.now();
        let next = match self.w.reader.sweeps().await {
            Ok(sweeps) => sweeps
                .into_iter()
                .map(|sweep| sweep.due_at)
                .filter(|due| *due > now)
                .min(),
            Err(_) => None, // `keys` meets the same error and says so
        };
        let mut wakeups = self.wakeups.lock().await;
        let due = async {
            match next {
                Some(due) => self.w.clock.reaches(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = wakeups.changed() => {}
        }
    }
}
