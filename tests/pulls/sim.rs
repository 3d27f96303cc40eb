//! A forge, a database and the three kinds of children, on a clock that moves when all of them wait.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ao_domain::port::PortFuture;
use ao_domain::port::clock::Clock;
use ao_domain::port::forge::{Answer, Detail, Failure, Forge, Light, Line, Listed, NoLine, Refusal};
use ao_domain::port::pushes::{PushWatch, Pushes};
use ao_domain::port::worktrees::{Made, Owned, Removal, WorktreeError, WorktreePlan, Worktrees};
use ao_domain::{
    ActivityState, PermissionMode, Phase, PrRef, RemoteRepo, Repository, SessionId, SessionKind, Timestamp,
    WorktreeOwner,
};
use ao_facts::{
    Added, Changes, DirLock, Moved, NewProject, NewSession, Reader, Spawn, Stand, Store, StoreOptions,
    Wakeups,
};
use ao_github::{GitHub as Adapter, Patience};
use ao_observe::cadence::Tempo;
use ao_observe::exchange::Exchange;
use ao_observe::gateway::Gateway;
use ao_observe::{pull_request, repository};
use ao_supervisor::{
    Budget, ChildSpec, Crash, Incarnation, Keys, Restart, Root, Roster, Strategy, Supervisor, child,
};
use ao_tests::github::{GitHub, Pull};
use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::{mpsc, watch};

pub(crate) const TOKEN: &str = "t0";
pub(crate) const TICK: Duration = Duration::from_secs(30);
const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// When the world begins: the beginning of an hour.
const BEGIN: i64 = 1_750_003_200_000;
/// The longest a test waits in real time for the children to come to rest.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time as the test has it, and who waits for which instant of it.
pub(crate) struct SimClock {
    now: Mutex<i64>,
    waiters: Mutex<BTreeMap<u64, i64>>,
    ids: AtomicU64,
    moved: watch::Sender<()>,
}

struct Waiter<'a>(&'a SimClock, u64);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiters.lock().unwrap().remove(&self.1);
    }
}

impl SimClock {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            now: Mutex::new(BEGIN),
            waiters: Mutex::default(),
            ids: AtomicU64::new(0),
            moved: watch::Sender::new(()),
        })
    }

    pub(crate) fn millis(&self) -> i64 {
        *self.now.lock().unwrap()
    }

    /// How many wait for an instant that has not come, and the next of those instants.
    fn waiting(&self) -> (usize, Option<i64>) {
        let now = self.millis();
        let waiters = self.waiters.lock().unwrap();
        let later = waiters.values().filter(|at| **at > now);
        (later.clone().count(), later.min().copied())
    }

    fn set(&self, millis: i64) {
        *self.now.lock().unwrap() = millis;
        self.moved.send_replace(());
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis())
    }

    fn reaches(&self, at: Timestamp) -> PortFuture<'_, ()> {
        let mut moved = self.moved.subscribe();
        Box::pin(async move {
            let id = self.ids.fetch_add(1, Ordering::SeqCst);
            self.waiters.lock().unwrap().insert(id, at.as_millis());
            let _waiter = Waiter(self, id);
            let begun = self.now();
            while begun <= self.now() && self.now() < at {
                moved
                    .changed()
                    .await
                    .expect("the clock outlives who waits for it");
            }
        })
    }
}

/// A repository that has every commit but those of strangers.
struct Commits;

impl Worktrees for Commits {
    fn repository<'a>(&'a self, _: &'a Utf8Path) -> PortFuture<'a, Result<Repository, WorktreeError>> {
        unreachable!("nothing is registered here")
    }

    fn fetch_pull<'a>(&'a self, _: &'a WorktreeOwner, _: u64) -> PortFuture<'a, Result<(), WorktreeError>> {
        unreachable!("nothing is fetched here")
    }

    fn create<'a>(&'a self, _: &'a WorktreePlan) -> PortFuture<'a, Result<Made, WorktreeError>> {
        unreachable!("no worktree is made here")
    }

    fn remove<'a>(
        &'a self,
        _: &'a WorktreeOwner,
        _: bool,
        _: &'a [String],
    ) -> PortFuture<'a, Result<Removal, WorktreeError>> {
        unreachable!("no worktree is removed here")
    }

    fn has_commit<'a>(
        &'a self,
        _: &'a Utf8Path,
        _: &'a str,
        commit: &'a str,
    ) -> PortFuture<'a, Result<bool, WorktreeError>> {
        Box::pin(async move { Ok(!commit.starts_with("eeee")) })
    }

    fn owned(&self) -> PortFuture<'_, Result<Vec<Owned>, WorktreeError>> {
        unreachable!("nobody asks")
    }
}

/// Who is to hear of pushes, and from which clone.
#[derive(Default)]
struct Pushed(Mutex<Vec<(Utf8PathBuf, mpsc::UnboundedSender<Vec<String>>)>>);

struct Heard(mpsc::UnboundedReceiver<Vec<String>>);

impl Pushes for Pushed {
    fn watch(&self, clone: &Utf8Path) -> Box<dyn PushWatch> {
        let (tell, heard) = mpsc::unbounded_channel();
        self.0.lock().unwrap().push((clone.to_owned(), tell));
        Box::new(Heard(heard))
    }
}

impl PushWatch for Heard {
    fn pushed(&mut self) -> PortFuture<'_, Vec<String>> {
        Box::pin(async { self.0.recv().await.expect("the test outlives who watches") })
    }
}

/// The forge as the children have it; counts the questions it has yet to answer.
struct Counted(Arc<Adapter>, Arc<AtomicUsize>);

struct CountedLine(Box<dyn Line>, Arc<AtomicUsize>);

/// One question that is under way.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Forge for Counted {
    fn repository(&self, remote: &str) -> Option<RemoteRepo> {
        self.0.repository(remote)
    }

    fn line<'a>(&'a self, host: &'a str) -> PortFuture<'a, Result<Box<dyn Line>, NoLine>> {
        Box::pin(async move {
            let _under_way = UnderWay::new(&self.1);
            let line = self.0.line(host).await?;
            Ok(Box::new(CountedLine(line, self.1.clone())) as Box<dyn Line>)
        })
    }
}

impl Line for CountedLine {
    fn source(&self) -> String {
        self.0.source()
    }

    fn credentials(&self) -> u64 {
        self.0.credentials()
    }

    fn list<'a>(
        &'a self,
        repo: &'a RemoteRepo,
        page: u32,
        validator: Option<&'a str>,
    ) -> PortFuture<'a, Answer<Listed>> {
        let under_way = UnderWay::new(&self.1);
        let answer = self.0.list(repo, page, validator);
        Box::pin(async move { (answer.await, under_way).0 })
    }

    fn light<'a>(&'a self, prs: &'a [PrRef]) -> PortFuture<'a, Answer<Vec<Result<Light, Refusal>>>> {
        let under_way = UnderWay::new(&self.1);
        let answer = self.0.light(prs);
        Box::pin(async move { (answer.await, under_way).0 })
    }

    fn detail<'a>(
        &'a self,
        asked: &'a [(PrRef, Option<String>)],
    ) -> PortFuture<'a, Answer<Vec<Result<Detail, Refusal>>>> {
        let under_way = UnderWay::new(&self.1);
        let answer = self.0.detail(asked);
        Box::pin(async move { (answer.await, under_way).0 })
    }

    fn evidence<'a>(&'a self, repo: &'a RemoteRepo, attempt: &'a str) -> PortFuture<'a, Answer<Failure>> {
        let under_way = UnderWay::new(&self.1);
        let answer = self.0.evidence(repo, attempt);
        Box::pin(async move { (answer.await, under_way).0 })
    }
}

enum Kind {
    Hosts,
    Repositories,
    Pulls,
}

struct Set {
    kind: Kind,
    reader: Reader,
    forge: Arc<Counted>,
    clock: Arc<SimClock>,
    wakeups: tokio::sync::Mutex<Wakeups>,
}

impl Keys for Set {
    async fn keys(&self) -> Result<Vec<String>, Crash> {
        let (known, now) = (|remote: &str| self.forge.repository(remote), self.clock.now());
        Ok(match self.kind {
            Kind::Hosts => self.reader.watched_hosts(known, now).await?.into_iter().collect(),
            Kind::Repositories => {
                let watched = self.reader.watched_repositories(known, now).await?;
                watched.iter().map(ToString::to_string).collect()
            }
            Kind::Pulls => {
                let ids = self.reader.followed_pulls().await?;
                ids.iter().map(ToString::to_string).collect()
            }
        })
    }

    async fn changed(&self) {
        self.wakeups.lock().await.changed().await;
    }
}

/// Everything together. Dropping it leaves the children to the runtime's end.
pub(crate) struct Sim {
    pub(crate) github: GitHub,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) store: Store,
    /// What the adapter is told of its surroundings.
    pub(crate) env: Vec<(String, String)>,
    /// How long it waits for an answer, by the clock of this machine: the test's stands still meanwhile.
    pub(crate) patience: Patience,
    exchange: Exchange,
    pushed: Arc<Pushed>,
    /// Questions that the forge has yet to answer.
    under_way: Arc<AtomicUsize>,
    root: Option<Root>,
    /// How many children there were when they were counted last.
    counted: AtomicUsize,
    dir: tempfile::TempDir,
}

impl Sim {
    /// A forge with `repositories` and a database in which each is a project; nothing runs yet.
    pub(crate) async fn new(repositories: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = Utf8PathBuf::try_from(dir.path().join("data")).unwrap();
        drop(DirLock::take(&data).unwrap()); // makes it as the daemon does
        let store = Store::open(&data, &StoreOptions { readers: 4 }).await.unwrap();
        let clock = SimClock::new();
        let told = clock.clone();
        let github = GitHub::start(move || told.millis());
        github.token(TOKEN, "octocat");
        for number in 0..repositories {
            github.repository(&repo(number));
            let project = NewProject {
                id: project(number),
                path: format!("/repos/web{number}").into(),
                origin: Some(format!("https://github.com/{}.git", repo(number))),
                display_name: None,
                default_branch: "main".to_owned(),
                now: clock.now(),
            };
            let added = store.intents().add_project(project).await.unwrap();
            assert!(matches!(added, Added::Added(_)), "{added:?}");
        }
        let env = vec![
            ("AO_GITHUB_API".to_owned(), github.url()),
            ("GITHUB_TOKEN".to_owned(), TOKEN.to_owned()),
        ];
        Self {
            github,
            clock,
            store,
            env,
            patience: Patience::USUAL,
            exchange: Exchange::default(),
            pushed: Arc::default(),
            under_way: Arc::default(),
            root: None,
            counted: AtomicUsize::new(0),
            dir,
        }
    }

    /// From now on the token is what the program `gh` says, which is what [`logged_in`](Self::logged_in) said last.
    pub(crate) fn asks_gh(&mut self) {
        let bin = self.dir.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        let script = format!(
            "#!/bin/sh\necho asked >> {0}/asked\nread -r token < {0}/token && echo \"$token\"\n",
            self.dir.path().display()
        );
        std::fs::write(bin.join("gh"), script).unwrap();
        std::fs::set_permissions(bin.join("gh"), std::fs::Permissions::from_mode(0o755)).unwrap();
        self.env.retain(|(name, _)| name != "GITHUB_TOKEN");
        self.env.push(("PATH".to_owned(), bin.display().to_string()));
    }

    pub(crate) fn logged_in(&self, token: &str) {
        std::fs::write(self.dir.path().join("token"), format!("{token}\n")).unwrap();
    }

    /// How often `gh` was asked so far.
    pub(crate) fn lookups(&self) -> usize {
        let asked = std::fs::read_to_string(self.dir.path().join("asked")).unwrap_or_default();
        asked.lines().count()
    }

    pub(crate) fn reader(&self) -> Reader {
        self.store.reader()
    }

    /// A live session in the `number`th repository.
    pub(crate) async fn session(&self, number: usize) -> SessionId {
        let new = NewSession {
            key: None,
            project: project(number),
            kind: SessionKind::Worker,
            issue: None,
            harness: "claude-code".to_owned(),
            runtime: "pty".to_owned(),
            display_name: None,
            prompt: None,
            first_message: None,
            command: Vec::new(),
            model: None,
            permissions: PermissionMode::Default,
            branch: None,
            base: "main".to_owned(),
            repo: format!("/repos/web{number}").into(),
            setup: ao_domain::SessionSetup::default(),
            claim: None,
            replace: false,
            secret: SECRET.to_owned(),
            worktree_root: Utf8Path::new("/worktrees"),
            now: self.clock.now(),
        };
        let Spawn::Spawned { id, fresh: true } = self.store.intents().spawn(new).await.unwrap() else {
            panic!("it is new");
        };
        self.put(&id, Phase::Live).await;
        id
    }

    pub(crate) async fn put(&self, id: &SessionId, phase: Phase) {
        let seen = Stand::of(&self.reader().session(id).await.unwrap().unwrap());
        let moved = self
            .store
            .outcomes()
            .advance(
                &Incarnation::detached(),
                id,
                seen,
                phase,
                Changes::default(),
                self.clock.now(),
            )
            .await;
        assert_eq!(moved.unwrap(), Moved::Yes);
    }

    /// A session in the `number`th repository with a pull request on the forge; answers the number of that.
    pub(crate) async fn pull(&self, number: usize) -> (SessionId, u64) {
        let id = self.session(number).await;
        let branch = self.reader().session(&id).await.unwrap().unwrap().branch;
        let count = self.clock.ids.fetch_add(1, Ordering::SeqCst);
        (
            id,
            self.github
                .open_pr(&repo(number), Pull::of(&branch, &commit(count))),
        )
    }

    /// Starts the three kinds of children.
    pub(crate) async fn start(&mut self) {
        let adapter = Adapter::new(self.env.clone()).unwrap().patient(self.patience);
        let forge = Arc::new(Counted(Arc::new(adapter), self.under_way.clone()));
        let set = |kind| Set {
            kind,
            reader: self.reader(),
            forge: forge.clone(),
            clock: self.clock.clone(),
            wakeups: tokio::sync::Mutex::new(self.reader().wakeups()),
        };
        let tempo = Tempo { tick: TICK };
        let (store, clock, exchange) = (self.store.clone(), self.clock.clone(), self.exchange.clone());
        let (to_ask, port) = (exchange.clone(), forge.clone());
        let gateway = move |host: String| -> ChildSpec {
            let (store, clock, exchange, forge) =
                (store.clone(), clock.clone(), to_ask.clone(), port.clone());
            child(host.clone(), move || {
                Gateway::new(
                    host.clone(),
                    store.reader(),
                    store.observations(),
                    forge.clone(),
                    exchange.clone(),
                    clock.clone(),
                    tempo,
                )
            })
        };
        let parts = repository::Parts {
            facts: self.reader(),
            writer: self.store.observations(),
            forge: forge.clone(),
            exchange: exchange.clone(),
            worktrees: Arc::new(Commits),
            pushes: self.pushed.clone(),
            clock: self.clock.clone(),
            tempo,
        };
        let repositories = move |key: String| {
            let (parts, repo) = (parts.clone(), key.parse::<RemoteRepo>().unwrap());
            child(key, move || {
                repository::Repository::new(repo.clone(), parts.clone())
            })
        };
        let parts = pull_request::Parts {
            facts: self.reader(),
            writer: self.store.observations(),
            exchange,
            clock: self.clock.clone(),
            tempo,
            machine: 7,
        };
        let pulls = move |key: String| {
            let (parts, id) = (parts.clone(), key.parse::<u64>().unwrap());
            child(key, move || pull_request::Pull::new(id, parts.clone())).restart(Restart::Transient)
        };
        let budget = Budget::restarts(10_000).per(Duration::from_secs(1));
        let root = Supervisor::root("sim", Strategy::OneForOne, budget)
            .child(Roster::new("gateways", "gateway", set(Kind::Hosts), gateway))
            .child(Roster::new(
                "repositories",
                "repository",
                set(Kind::Repositories),
                repositories,
            ))
            .child(Roster::new("pulls", "pull", set(Kind::Pulls), pulls));
        self.root = Some(root.start().await.unwrap());
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(root) = self.root.take() {
            root.stop().await;
        }
    }

    /// How many children there are that wait for the clock, or for an answer, when nothing is to be done.
    async fn children(&self) -> usize {
        let reader = self.reader();
        let watched = reader.watched_remotes(self.clock.now()).await.unwrap().len();
        reader.followed_pulls().await.unwrap().len() + watched + usize::from(watched > 0)
    }

    /// Waits until no child can do anything before the clock moves; answers when it is to be moved to.
    async fn rest(&self) -> i64 {
        let end = Instant::now() + PATIENCE;
        let mut looks = 0_u32;
        loop {
            // Whoever was woken comes first.
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
            let (open, (waiting, next)) = (self.exchange.open(), self.clock.waiting());
            let is_answered = self.under_way.load(Ordering::SeqCst) == 0;
            // They are counted where all that were there the last time are at rest, and now and then: that takes two queries.
            let is_late = Instant::now() > end;
            looks += 1;
            let may_rest = waiting + open >= self.counted.load(Ordering::SeqCst) || looks.is_multiple_of(50);
            if let Some(next) = next
                && is_answered
                && (may_rest || is_late)
            {
                let children = self.children().await;
                self.counted.store(children, Ordering::SeqCst);
                let is_same = self.clock.waiting() == (waiting, Some(next)) && self.exchange.open() == open;
                if waiting + open == children && is_same && self.under_way.load(Ordering::SeqCst) == 0 {
                    return next;
                }
                assert!(
                    !is_late,
                    "{waiting} of {children} children wait for the clock and {open} for an answer: the others do not come to rest"
                );
            }
            tokio::time::sleep(Duration::from_micros(200)).await; // what is under way is on other threads
        }
    }

    /// Lets time pass, and calls `each` whenever the clock has moved; it answers by when it wants to be called again, at the latest.
    pub(crate) async fn pass_with(&self, time: Duration, mut each: impl AsyncFnMut(i64) -> i64) {
        let end = self.clock.millis() + i64::try_from(time.as_millis()).unwrap();
        let mut wanted = self.clock.millis();
        loop {
            let next = self.rest().await.min(wanted);
            if next >= end {
                self.clock.set(end);
                each(end).await;
                self.rest().await;
                return;
            }
            self.clock.set(next);
            wanted = each(next).await;
        }
    }

    /// The branch of the `number`th repository is pushed to the forge from its clone here.
    pub(crate) fn push(&self, number: usize, branch: &str, commit: &str) {
        self.github.push(&repo(number), branch, commit);
        let path = Utf8PathBuf::from(format!("/repos/web{number}"));
        for (clone, tell) in self.pushed.0.lock().unwrap().iter() {
            if *clone == path {
                let _ = tell.send(vec![branch.to_owned()]); // an earlier incarnation's ear is deaf
            }
        }
    }

    /// The clock is set back, as by a time server.
    pub(crate) async fn set_back(&self, time: Duration) {
        self.rest().await;
        self.clock
            .set(self.clock.millis() - i64::try_from(time.as_millis()).unwrap());
    }

    /// Time passes at once, as for a machine that sleeps.
    pub(crate) async fn sleep(&self, time: Duration) {
        self.rest().await;
        self.clock
            .set(self.clock.millis() + i64::try_from(time.as_millis()).unwrap());
        self.rest().await;
    }

    pub(crate) async fn pass(&self, time: Duration) {
        self.pass_with(time, async |_| i64::MAX).await;
    }

    /// The agent of a session begins or ends a turn.
    pub(crate) async fn activity(&self, id: &SessionId, number: u64, state: ActivityState) {
        let heard = ao_facts::AppliedSignal {
            record: ao_domain::HookRecord {
                v: 1,
                id: format!("{id}-{number:032x}"),
                session: id.clone(),
                generation: 1,
                secret: SECRET.to_owned(),
                agent: "claude-code".to_owned(),
                event: "did".to_owned(),
                boot: "boot-1".to_owned(),
                boot_ms: number,
                at: self.clock.now(),
                payload: String::new(),
                truncated: false,
            },
            signal: ao_domain::Signal {
                state: Some(state),
                ..ao_domain::Signal::default()
            },
        };
        let applied = self
            .store
            .observations()
            .apply_signals(
                &Incarnation::detached(),
                id,
                number - 1,
                number,
                &[heard],
                self.clock.now(),
            )
            .await;
        applied.unwrap();
    }
}

pub(crate) fn repo(number: usize) -> String {
    format!("acme/web{number}")
}

fn project(number: usize) -> ao_domain::ProjectId {
    format!("web{number}").parse().unwrap()
}

/// A commit's name, which differs from number to number.
pub(crate) fn commit(number: u64) -> String {
    format!("{:040x}", number + 0x1000)
}
