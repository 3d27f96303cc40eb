//! The session's child over a real database, with everything outside of it played by the test.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ao_act::session::{Limits, Parts, SessionChild, Setup};
use ao_domain::port::PortFuture;
use ao_domain::port::agent::{
    Agent, AgentError, Agents, Description, HookPlace, LaunchPlan, LaunchRequest, Note, Preparation,
    PrepareError, Style, Takes,
};
use ao_domain::port::clock::Clock;
use ao_domain::port::letters::{LetterError, Letters};
use ao_domain::port::machine::Machine;
use ao_domain::port::processes::Processes;
use ao_domain::port::provision::{Furnished, PostCreate, ProvisionError, Provisioner};
use ao_domain::port::runtime::{
    Held, Launch, Look, Press, Prompt, Runtime, RuntimeError, RuntimeRef, Runtimes, Screen, Size, Stray,
    Typing, Withheld,
};
use ao_domain::port::worktrees::{Made, Owned, Removal, WorktreeError, WorktreePlan, Worktrees};
use ao_domain::{
    ActivityState, Exit, HookRecord, Message, MessageKind, MessageState, Phase, ProcessId, Repository,
    SessionId, SessionKind, Signal, Timestamp, WorktreeOwner,
};
use ao_domain::{Mergeability, PrFacts, PrRef, PrState, RemoteRepo, Review};
use ao_facts::{
    Added, Applied, AppliedSignal, NewMessage, NewProject, NewSession, Reader, Sent, Spawn, Store,
    StoreOptions, Until,
};
use ao_facts::{Answered, Moved, Wanted};
use ao_supervisor::{Budget, Restart, Root, Strategy, Supervisor, child};
use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::{Notify, watch};

const PATIENCE: Duration = Duration::from_secs(30);

/// Time as the test says it is.
struct Hands {
    now: AtomicI64,
    moved: watch::Sender<()>,
}

impl Hands {
    fn at(&self, seconds: i64) {
        self.now.store(seconds * 1_000, Ordering::SeqCst);
        self.moved.send_replace(());
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    fn reaches(&self, at: Timestamp) -> PortFuture<'_, ()> {
        let mut moved = self.moved.subscribe();
        Box::pin(async move {
            while self.now() < at {
                moved
                    .changed()
                    .await
                    .expect("the clock outlives who waits for it");
            }
        })
    }
}

/// An agent that reports, so that its silence means something.
struct Reporter {
    description: Description,
    /// Where a person says that it need not ask. It is there at first, so that a stranger's code is not started.
    trusted: Utf8PathBuf,
    /// How often it was looked whether it is.
    looks: AtomicU32,
    /// Whether a person says so right after a look, to another session of it.
    is_trusted_after_a_look: AtomicBool,
}

impl Agent for Reporter {
    fn description(&self) -> &Description {
        &self.description
    }

    fn plan(&self, _: &LaunchRequest<'_>) -> Result<LaunchPlan, AgentError> {
        Ok(LaunchPlan {
            argv: vec!["/bin/true".to_owned()],
            env: Vec::new(),
            before: vec![Preparation::NoFile {
                file: self.trusted.clone(),
            }],
        })
    }

    fn signal(&self, _: &str, _: &str, _: ao_domain::Timestamp) -> Option<Signal> {
        None
    }

    fn transcript(&self, _: &str, _: &[(String, String)]) -> Option<Utf8PathBuf> {
        None
    }

    fn note(&self, _: &str) -> Option<Note> {
        None
    }

    fn prompt(&self, _: Option<&str>) -> Option<Prompt> {
        Some(Prompt {
            mark: ">".to_owned(),
            clear: "\x15".to_owned(),
            above: String::new(),
            folded: String::new(),
            ..Prompt::default()
        })
    }
}

impl Agents for Reporter {
    fn get(&self, _: &str) -> Result<&dyn Agent, AgentError> {
        Ok(self)
    }

    fn ids(&self) -> Vec<&'static str> {
        vec![self.description.id]
    }

    fn withdraw<'a>(
        &'a self,
        _: &'a str,
        _: &'a HookPlace<'a>,
        _: &'a (dyn Fn() -> PortFuture<'a, bool> + Send + Sync),
    ) -> PortFuture<'a, Result<(), PrepareError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn prepare<'a>(&'a self, what: &'a Preparation) -> PortFuture<'a, Result<(), PrepareError>> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        let file = what.file();
        if file.exists() {
            let error = PrepareError {
                doing: "looking whether it asks",
                path: file.to_owned(),
                source: std::io::Error::other("it would not"),
            };
            return Box::pin(async { Err(error) });
        }
        if self.is_trusted_after_a_look.load(Ordering::SeqCst) {
            std::fs::write(file, "").unwrap();
        }
        Box::pin(async { Ok(()) })
    }
}

/// A runtime in which every agent lives for ever, or until right after it was looked at.
#[derive(Default)]
struct Undying {
    created: AtomicU32,
    /// Whether it ends once it was looked at, and whether it has; then those are told who waited for it at that moment.
    ends_after_a_look: AtomicBool,
    has_ended: AtomicBool,
    end: Notify,
    /// What was typed, under its name.
    typed: Mutex<Vec<(String, String)>>,
    /// What it says to the next texts, before it takes them.
    withholds: Mutex<VecDeque<Withheld>>,
    /// What a look at its screen gives, while it does not take a text.
    stands_still: Mutex<Option<Withheld>>,
}

impl Undying {
    fn held() -> Held {
        let process = |pid| ProcessId {
            pid,
            started: 1,
            boot: "boot".to_owned(),
        };
        Held {
            holder: process(2),
            agent: process(3),
            exit: None,
        }
    }
}

impl Processes for Undying {
    fn is_alive(&self, _: &ProcessId) -> Option<bool> {
        Some(true)
    }
}

impl Runtime for Undying {
    fn name(&self) -> &'static str {
        "pty"
    }

    fn create<'a>(&'a self, _: &'a Launch) -> PortFuture<'a, Result<Held, RuntimeError>> {
        self.created.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(Self::held()) })
    }

    fn look<'a>(&'a self, _: &'a RuntimeRef) -> PortFuture<'a, Result<Look, RuntimeError>> {
        if self.has_ended.load(Ordering::SeqCst) {
            let held = Held {
                exit: Some(Exit::Code(3)),
                ..Self::held()
            };
            return Box::pin(async { Ok(Look::Ended(held)) });
        }
        if self.ends_after_a_look.load(Ordering::SeqCst) {
            self.has_ended.store(true, Ordering::SeqCst);
            self.end.notify_waiters();
        }
        Box::pin(async { Ok(Look::Running(Self::held())) })
    }

    fn changed<'a>(&'a self, _: &'a RuntimeRef) -> PortFuture<'a, ()> {
        Box::pin(self.end.notified())
    }

    fn type_text<'a>(
        &'a self,
        _: &'a RuntimeRef,
        what: Typing<'a>,
    ) -> PortFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async move {
            let name = what.id.unwrap_or_default();
            self.typed
                .lock()
                .unwrap()
                .push((name.to_owned(), what.text.to_owned()));
            match self.withholds.lock().unwrap().pop_front() {
                Some(why) => Err(why.into()),
                None => Ok(()),
            }
        })
    }

    fn takes<'a>(&'a self, _: &'a RuntimeRef, _: &'a Prompt) -> PortFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async {
            match *self.stands_still.lock().unwrap() {
                Some(why) => Err(why.into()),
                None => Ok(()),
            }
        })
    }

    fn press<'a>(&'a self, at: &'a RuntimeRef, _: Press<'a>) -> PortFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async { Err(RuntimeError::Absent(at.clone())) })
    }

    fn screen<'a>(&'a self, at: &'a RuntimeRef) -> PortFuture<'a, Result<Screen, RuntimeError>> {
        Box::pin(async { Err(RuntimeError::Absent(at.clone())) })
    }

    fn tail<'a>(&'a self, at: &'a RuntimeRef, _: usize) -> PortFuture<'a, Result<Vec<String>, RuntimeError>> {
        Box::pin(async { Err(RuntimeError::Absent(at.clone())) })
    }

    fn resize<'a>(&'a self, at: &'a RuntimeRef, _: Size) -> PortFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async { Err(RuntimeError::Absent(at.clone())) })
    }

    fn stop<'a>(
        &'a self,
        _: &'a RuntimeRef,
        _: Duration,
    ) -> PortFuture<'a, Result<Option<Exit>, RuntimeError>> {
        Box::pin(async { Ok(Some(Exit::Signal(15))) })
    }

    fn destroy<'a>(&'a self, _: &'a RuntimeRef) -> PortFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async { Ok(()) })
    }

    fn list(&self) -> PortFuture<'_, Result<Vec<RuntimeRef>, RuntimeError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn strays(&self) -> PortFuture<'_, Result<Vec<Stray>, RuntimeError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// Letters that nobody reads.
struct Drawer;

impl Letters for Drawer {
    fn folder(&self, session: &SessionId) -> Utf8PathBuf {
        Utf8Path::new("/letters").join(session.as_str())
    }

    fn put<'a>(
        &'a self,
        session: &'a SessionId,
        id: u64,
        _: &'a str,
    ) -> PortFuture<'a, Result<Utf8PathBuf, LetterError>> {
        Box::pin(async move { Ok(self.folder(session).join(format!("{id}.md"))) })
    }
}

/// Worktrees that are always there and never worth keeping.
struct Obliging;

impl Worktrees for Obliging {
    fn repository<'a>(&'a self, path: &'a Utf8Path) -> PortFuture<'a, Result<Repository, WorktreeError>> {
        Box::pin(async {
            Err(WorktreeError::NoSuchPath {
                path: path.to_owned(),
            })
        })
    }

    fn fetch_pull<'a>(&'a self, _: &'a WorktreeOwner, _: u64) -> PortFuture<'a, Result<(), WorktreeError>> {
        Box::pin(async { Ok(()) })
    }

    fn create<'a>(&'a self, _: &'a WorktreePlan) -> PortFuture<'a, Result<Made, WorktreeError>> {
        Box::pin(async { Ok(Made::default()) })
    }

    fn remove<'a>(
        &'a self,
        _: &'a WorktreeOwner,
        _: bool,
        _: &'a [String],
    ) -> PortFuture<'a, Result<Removal, WorktreeError>> {
        Box::pin(async { Ok(Removal::Removed { rescue: None }) })
    }

    fn has_commit<'a>(
        &'a self,
        _: &'a Utf8Path,
        _: &'a str,
        _: &'a str,
    ) -> PortFuture<'a, Result<bool, WorktreeError>> {
        Box::pin(async { Ok(false) })
    }

    fn owned(&self) -> PortFuture<'_, Result<Vec<Owned>, WorktreeError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

impl Provisioner for Obliging {
    fn furnish<'a>(
        &'a self,
        _: &'a WorktreeOwner,
        _: &'a [String],
    ) -> PortFuture<'a, Result<Furnished, ProvisionError>> {
        Box::pin(async { Ok(Furnished::default()) })
    }

    fn command<'a>(
        &'a self,
        _: &'a WorktreeOwner,
        _: PostCreate<'a>,
    ) -> PortFuture<'a, Result<(), ProvisionError>> {
        Box::pin(async { Ok(()) })
    }

    fn log_tail<'a>(
        &'a self,
        _: &'a SessionId,
        _: usize,
    ) -> PortFuture<'a, Result<Vec<String>, ProvisionError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

impl Machine for Obliging {
    fn boot(&self) -> Option<String> {
        None
    }

    fn free_memory(&self) -> Option<u64> {
        None
    }

    fn secret(&self) -> String {
        "0".repeat(32)
    }
}

struct Stage {
    dir: tempfile::TempDir,
    store: Store,
    facts: Reader,
    clock: Arc<Hands>,
    runtime: Arc<Undying>,
    agent: Arc<Reporter>,
    parts: Parts,
}

impl Stage {
    async fn set(max_sessions: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = Utf8PathBuf::try_from(dir.path().to_owned()).unwrap();
        let store = Store::open(&data, &StoreOptions { readers: 2 }).await.unwrap();
        let clock = Arc::new(Hands {
            now: AtomicI64::new(0),
            moved: watch::Sender::new(()),
        });
        clock.at(1_000);
        let description = Description {
            id: "reporter",
            name: "Reporter",
            style: Style::Interactive,
            reports: true,
            greets: true,
            prompted: true,
            transcribes: false,
            chooses: true,
            takes: Some(Takes {
                queues: false,
                commands: &['/'],
                shields: &[],
            }),
        };
        let runtime = Arc::new(Undying::default());
        let agent = Arc::new(Reporter {
            description,
            trusted: data.join("trusted"),
            looks: AtomicU32::new(0),
            is_trusted_after_a_look: AtomicBool::new(false),
        });
        std::fs::write(&agent.trusted, "").unwrap();
        let parts = Parts {
            facts: store.reader(),
            outcomes: store.outcomes(),
            seen: store.observations(),
            worktrees: Arc::new(Obliging),
            runtimes: Runtimes::new([Arc::clone(&runtime) as Arc<dyn Runtime>]),
            provisioner: Arc::new(Obliging),
            machine: Arc::new(Obliging),
            processes: Arc::new(Undying::default()),
            agents: agent.clone(),
            letters: Arc::new(Drawer),
            clock: clock.clone(),
            setup: Arc::new(Setup {
                data_dir: data.clone(),
                bin: data.join("bin"),
                run_file: data.join("running.json"),
                env: vec![("PATH".to_owned(), "/bin".to_owned())],
                limits: Limits {
                    sessions: max_sessions,
                    launches: 0,
                    free_memory: 0,
                },
                restores: false,
            }),
        };
        let project = NewProject {
            id: "web".parse().unwrap(),
            path: "/repo".into(),
            origin: None,
            display_name: None,
            default_branch: "main".to_owned(),
            now: clock.now(),
        };
        assert!(matches!(
            store.intents().add_project(project).await.unwrap(),
            Added::Added(_)
        ));
        Self {
            dir,
            facts: store.reader(),
            store,
            clock,
            runtime,
            agent,
            parts,
        }
    }

    async fn want(&self) -> SessionId {
        self.want_with(None).await
    }

    /// A session that starts from a stranger's pull request.
    async fn want_of_a_stranger(&self) -> SessionId {
        let repo = |path| RemoteRepo::new("forge.example", path);
        let at = PrRef {
            repo: repo("acme/web"),
            number: 7,
        };
        let wanted = Wanted {
            at: at.clone(),
            takeover: false,
        };
        let id = self.want_with(Some(wanted)).await;
        let facts = PrFacts {
            at,
            url: "https://forge.example/acme/web/pull/7".to_owned(),
            title: "a change".to_owned(),
            author: "somebody".to_owned(),
            state: PrState::Open,
            head_branch: "patch".to_owned(),
            head: "a".repeat(40),
            head_repo: Some(repo("stranger/web")),
            base_branch: "main".to_owned(),
            base: "f".repeat(40),
            review: Review::None,
            mergeability: Mergeability::Unknown,
            queued_to_merge: false,
        };
        let claim = self.facts.open_claims().await.unwrap()[0];
        let (nobody, answered) = (
            ao_supervisor::Incarnation::detached(),
            Answered::Seen(Box::new(facts)),
        );
        let seen = self.store.observations();
        let written = seen.claim_answered(&nobody, claim, answered, self.clock.now());
        assert_eq!(written.await.unwrap(), Moved::Yes);
        id
    }

    async fn want_with(&self, claim: Option<Wanted>) -> SessionId {
        let wanted = NewSession {
            key: None,
            project: "web".parse().unwrap(),
            kind: SessionKind::Worker,
            issue: None,
            harness: "reporter".to_owned(),
            runtime: "pty".to_owned(),
            display_name: None,
            prompt: None,
            first_message: None,
            command: Vec::new(),
            model: None,
            permissions: ao_domain::PermissionMode::Default,
            branch: None,
            base: "main".to_owned(),
            repo: "/repo".into(),
            setup: ao_domain::SessionSetup::default(),
            claim,
            replace: false,
            secret: "5".repeat(32),
            worktree_root: Utf8Path::new("/worktrees"),
            now: self.clock.now(),
        };
        match self.store.intents().spawn(wanted).await.unwrap() {
            Spawn::Spawned { id, .. } => id,
            other => panic!("{other:?}"),
        }
    }

    async fn run(&self, sessions: &[&SessionId]) -> Root {
        let mut top = Supervisor::root("top", Strategy::OneForOne, Budget::parking());
        for id in sessions {
            let (id, parts) = ((*id).clone(), self.parts.clone());
            let spec = child(id.to_string(), move || {
                SessionChild::new(id.clone(), parts.clone())
            });
            top = top.child(spec.restart(Restart::Transient));
        }
        top.start().await.unwrap()
    }

    async fn until(
        &self,
        id: &SessionId,
        what: impl Fn(&ao_domain::Session) -> bool + Send,
    ) -> ao_domain::Session {
        match self.facts.until(id, what, PATIENCE).await.unwrap() {
            Until::Reached(session) => *session,
            other => panic!("{other:?}"),
        }
    }
}

/// A status that changes with time alone is announced like any other change: the row's revision moves.
#[tokio::test]
async fn a_status_that_only_time_changes_is_announced() {
    let stage = Stage::set(0).await;
    let id = stage.want().await;
    let root = stage.run(&[&id]).await;
    let live = stage.until(&id, |session| session.phase == Phase::Live).await;
    // A sweep keeps the evidence fresh, so that only the agent's silence is left to run out.
    stage
        .store
        .intents()
        .set_due("sessions", Timestamp::from_millis(0))
        .await
        .unwrap();
    let nobody = ao_supervisor::Incarnation::detached();
    let later = Timestamp::from_millis(1_080_000);
    stage
        .store
        .observations()
        .sweep_finished(&nobody, "sessions", later, None, later)
        .await
        .unwrap();
    let before = stage
        .until(&id, |session| session.phase == Phase::Live)
        .await
        .revision;
    assert!(before >= live.revision);
    stage
        .clock
        .at(1_000 + i64::try_from(ao_derive::NO_SIGNAL_AFTER.as_secs()).unwrap());
    stage.until(&id, |session| session.revision > before).await;
    root.stop().await;
    drop(stage.dir);
}

/// What cannot be made ready for a person's own code is no reason not to start it: it asks then. A stranger's has to be asked about.
#[tokio::test]
async fn what_cannot_be_made_ready_stops_a_stranger_s_code_alone() {
    let stage = Stage::set(0).await;
    let own = stage.want().await;
    let root = stage.run(&[&own]).await;
    stage.until(&own, |session| session.phase == Phase::Live).await;
    root.stop().await;
    assert_eq!(stage.runtime.created.load(Ordering::SeqCst), 1);
    let strange = stage.want_of_a_stranger().await;
    let root = stage.run(&[&strange]).await;
    let ended = stage
        .until(&strange, |session| session.phase == Phase::Ended)
        .await;
    assert!(ended.foreign_code);
    let why = ended.failure.unwrap();
    assert!(
        why.contains("looking whether it asks") && why.contains("it would not"),
        "{why}"
    );
    assert_eq!(stage.runtime.created.load(Ordering::SeqCst), 1, "it was started");
    root.stop().await;
}

/// While a session comes up a person may answer another one of that agent, for the whole repository: what was made ready is looked at again
/// right before a stranger's code is started.
#[tokio::test]
async fn what_a_person_says_while_a_stranger_s_code_comes_up_stops_its_start() {
    for is_said in [true, false] {
        let stage = Stage::set(0).await;
        let trusted = &stage.agent.trusted;
        std::fs::remove_file(trusted).unwrap();
        stage
            .agent
            .is_trusted_after_a_look
            .store(is_said, Ordering::SeqCst);
        let strange = stage.want_of_a_stranger().await;
        let root = stage.run(&[&strange]).await;
        let over = |session: &ao_domain::Session| matches!(session.phase, Phase::Live | Phase::Ended);
        let session = stage.until(&strange, over).await;
        assert!(session.foreign_code);
        let created = stage.runtime.created.load(Ordering::SeqCst);
        assert_eq!((created, trusted.exists()), (u32::from(!is_said), is_said));
        if is_said {
            assert_eq!(session.phase, Phase::Ended);
            let why = session.failure.unwrap();
            assert!(why.contains("looking whether it asks"), "{why}");
        }
        assert_eq!(
            stage.agent.looks.load(Ordering::SeqCst),
            2,
            "when it was made ready, and before it is started"
        );
        root.stop().await;
    }
}

/// A person's own code may be trusted at any time.
#[tokio::test]
async fn what_a_person_says_while_their_own_code_comes_up_is_no_matter() {
    let stage = Stage::set(0).await;
    std::fs::remove_file(&stage.agent.trusted).unwrap();
    stage.agent.is_trusted_after_a_look.store(true, Ordering::SeqCst);
    let own = stage.want().await;
    let root = stage.run(&[&own]).await;
    let session = stage.until(&own, |session| session.phase == Phase::Live).await;
    assert!(!session.foreign_code && stage.agent.trusted.exists());
    assert_eq!(stage.agent.looks.load(Ordering::SeqCst), 1);
    root.stop().await;
}

/// An agent may end in the very moment after it was seen alive: the child was told of that end, and does not wait for a sweep.
#[tokio::test]
async fn an_agent_that_ends_right_after_a_look_is_seen_to_have_ended() {
    let stage = Stage::set(0).await;
    stage.runtime.ends_after_a_look.store(true, Ordering::SeqCst);
    let id = stage.want().await;
    let root = stage.run(&[&id]).await;
    let ended = stage.until(&id, |session| session.phase == Phase::Finished).await;
    assert_eq!(ended.end_reason, Some(ao_domain::EndReason::Exited));
    root.stop().await;
}

/// A session beyond the limit waits, and comes up when another one has ended, although its own row did not change.
#[tokio::test]
async fn a_place_that_another_session_frees_is_taken() {
    let stage = Stage::set(1).await;
    let (first, second) = (stage.want().await, stage.want().await);
    let root = stage.run(&[&first, &second]).await;
    stage.until(&first, |session| session.phase == Phase::Live).await;
    assert_eq!(
        stage.facts.session(&second).await.unwrap().unwrap().phase,
        Phase::Queued
    );
    assert_eq!(stage.runtime.created.load(Ordering::SeqCst), 1);
    stage
        .store
        .intents()
        .stop(&first, ao_domain::EndReason::Killed, false, stage.clock.now())
        .await
        .unwrap();
    stage.until(&first, |session| session.phase == Phase::Ended).await;
    stage.until(&second, |session| session.phase == Phase::Live).await;
    root.stop().await;
}

/// A live session whose agent has said that it waits for work.
async fn heard(stage: &Stage, id: &SessionId) {
    stage.until(id, |session| session.phase == Phase::Live).await;
    say(stage, id, 1, Some(ActivityState::Idle), None).await;
}

/// One word of the agent's hooks.
async fn say(stage: &Stage, id: &SessionId, number: u64, state: Option<ActivityState>, prompt: Option<&str>) {
    let record = HookRecord {
        v: 1,
        id: format!("{number:032x}"),
        session: id.clone(),
        generation: 1,
        secret: "5".repeat(32),
        agent: "reporter".to_owned(),
        event: "word".to_owned(),
        boot: "boot".to_owned(),
        boot_ms: number,
        at: stage.clock.now(),
        payload: String::new(),
        truncated: false,
    };
    let signal = Signal {
        state,
        prompt: prompt.map(str::to_owned),
        ..Signal::default()
    };
    let nobody = ao_supervisor::Incarnation::detached();
    let applied = [AppliedSignal { record, signal }];
    let offset = stage.facts.spool_offset(id).await.unwrap();
    let seen = stage.store.observations();
    let written = seen.apply_signals(&nobody, id, offset, offset + 1, &applied, stage.clock.now());
    assert!(matches!(written.await.unwrap(), Applied::Yes { counted: 1 }));
}

async fn send(stage: &Stage, id: &SessionId, body: &str) -> u64 {
    let new = NewMessage {
        key: None,
        session: id.clone(),
        kind: MessageKind::Text,
        sender: None,
        body: body.to_owned(),
        dialog: None,
        now: stage.clock.now(),
    };
    match stage.store.intents().send(new).await.unwrap() {
        Sent::Yes(message) => message.id,
        other => panic!("{other:?}"),
    }
}

async fn until_message(
    stage: &Stage,
    id: &SessionId,
    number: u64,
    what: impl Fn(&Message) -> bool,
) -> Message {
    let mut wakeups = stage.facts.wakeups();
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let message = stage.facts.message(id, number).await.unwrap().unwrap();
        if what(&message) {
            return message;
        }
        assert!(tokio::time::Instant::now() < end, "{message:?}");
        let _ = tokio::time::timeout(Duration::from_secs(1), wakeups.changed()).await;
    }
}

impl Stage {
    fn typed(&self) -> Vec<(String, String)> {
        self.runtime.typed.lock().unwrap().clone()
    }

    /// Somebody looks at all sessions now, so that what was seen is no older than this.
    async fn sweep(&self) {
        let (nobody, now) = (ao_supervisor::Incarnation::detached(), self.clock.now());
        self.store.intents().set_due("sessions", now).await.unwrap();
        let seen = self.store.observations();
        seen.sweep_finished(&nobody, "sessions", now, None, now)
            .await
            .unwrap();
    }
}

/// Nothing ever says that a text arrived: it is typed again, with a word about that, and given up after the third time.
#[tokio::test]
async fn a_message_that_nothing_proves_is_typed_again_with_a_word_and_then_given_up() {
    let stage = Stage::set(0).await;
    let id = stage.want().await;
    let root = stage.run(&[&id]).await;
    heard(&stage, &id).await;
    let number = send(&stage, &id, "anybody there?").await;
    for times in 1..=3_u32 {
        let typed = until_message(&stage, &id, number, |message| {
            message.state == MessageState::Typed && message.typings == times
        });
        typed.await;
        stage.clock.at(1_000 + 20 * i64::from(times));
        stage.sweep().await;
    }
    let given_up = until_message(&stage, &id, number, |message| {
        message.state == MessageState::Failed
    })
    .await;
    assert!(given_up.reason.unwrap().contains("typed 3 times"));
    let typed = stage.typed();
    assert_eq!(typed.len(), 3, "{typed:?}");
    assert_eq!(typed[0], (format!("m{number}.1"), "anybody there?".to_owned()));
    for again in &typed[1..] {
        assert!(
            again.1.starts_with("(This may be a repetition") && again.1.ends_with("anybody there?"),
            "{again:?}"
        );
    }
    root.stop().await;
}

/// The time in which a message is proved begins when its agent has read it: until then it is not typed again, and then not at once.
#[tokio::test]
async fn a_message_is_not_typed_again_while_its_agent_stands_still() {
    let stage = Stage::set(0).await;
    let id = stage.want().await;
    let root = stage.run(&[&id]).await;
    heard(&stage, &id).await;
    let number = send(&stage, &id, "still there?").await;
    until_message(&stage, &id, number, |message| {
        message.state == MessageState::Typed
    })
    .await;
    let stands_still = |why| *stage.runtime.stands_still.lock().unwrap() = why;
    stands_still(Some(Withheld::NotShown));
    let mut now = 1_000;
    let mut later = async |is_unread: bool| {
        now += 20;
        stage.clock.at(now);
        stage.sweep().await;
        let message = until_message(&stage, &id, number, |message| {
            message.state_at.as_millis() == 1_000 * now || message.state != MessageState::Typed
        });
        let message = message.await;
        let says = message
            .reason
            .as_deref()
            .unwrap_or_default()
            .contains("has not read it yet");
        assert_eq!(
            (message.state, message.typings, says),
            (MessageState::Typed, 1, is_unread),
            "{message:?}"
        );
    };
    for _ in 0..5 {
        later(true).await;
    }
    // It runs again, and has a word to say.
    stands_still(None);
    later(false).await;
    assert_eq!(stage.typed().len(), 1);
    // Nothing was said: now it is a repetition.
    stage.clock.at(1_200);
    stage.sweep().await;
    until_message(&stage, &id, number, |message| message.typings == 2).await;
    assert_eq!(stage.typed().len(), 2);
    root.stop().await;
}

/// A screen that does not take it: the same words are tried again later, without a word about repetition; the next message waits.
#[tokio::test]
async fn a_message_that_is_withheld_is_tried_again_and_the_next_one_waits_for_it() {
    let stage = Stage::set(0).await;
    let id = stage.want().await;
    stage
        .runtime
        .withholds
        .lock()
        .unwrap()
        .extend([Withheld::Person, Withheld::Covered]);
    let root = stage.run(&[&id]).await;
    heard(&stage, &id).await;
    let (first, second) = (
        send(&stage, &id, "first").await,
        send(&stage, &id, "second").await,
    );
    let waits = until_message(&stage, &id, first, |message| message.try_at.is_some()).await;
    assert_eq!(
        waits.reason.as_deref(),
        Some("a person is typing in its terminal")
    );
    stage.clock.at(1_002);
    until_message(&stage, &id, first, |message| {
        message.attempts == 2 && message.try_at.is_some()
    })
    .await;
    stage.clock.at(1_010);
    until_message(&stage, &id, first, |message| message.state == MessageState::Typed).await;
    assert_eq!(
        stage.facts.message(&id, second).await.unwrap().unwrap().state,
        MessageState::Queued
    );
    say(&stage, &id, 2, Some(ActivityState::Active), Some("first")).await;
    until_message(&stage, &id, first, |message| {
        message.state == MessageState::Accepted
    })
    .await;
    // It works, and this agent takes nothing meanwhile.
    assert_eq!(
        stage.facts.message(&id, second).await.unwrap().unwrap().state,
        MessageState::Queued
    );
    say(&stage, &id, 3, Some(ActivityState::Idle), None).await;
    until_message(&stage, &id, second, |message| {
        message.state == MessageState::Typed
    })
    .await;
    let words: Vec<String> = stage.typed().into_iter().map(|(_, words)| words).collect();
    // Covered, it stood on the terminal, where a person may have sent it off.
    let perhaps = format!("{}\nfirst", Message::PERHAPS);
    assert_eq!(words, ["first", "first", &perhaps, "second"]);
    root.stop().await;
}

/// A message that waits for a minute is said to, although no row changes.
#[tokio::test]
async fn a_message_that_waits_long_is_in_the_status() {
    let stage = Stage::set(0).await;
    let id = stage.want().await;
    let root = stage.run(&[&id]).await;
    stage.until(&id, |session| session.phase == Phase::Live).await;
    send(&stage, &id, "held: nobody has heard of its agent").await;
    let before = stage.until(&id, |session| session.messages_waiting == 1).await;
    stage.clock.at(1_061);
    stage.sweep().await;
    let after = stage
        .until(&id, |session| session.revision > before.revision)
        .await;
    let habits = ao_derive::Habits::of(stage.parts.agents.get("reporter").unwrap().description());
    let watch = ao_derive::Watch {
        swept_at: Some(stage.clock.now()),
    };
    let shown = ao_derive::shown(&after, habits, watch, stage.clock.now());
    assert!(shown.reason.contains("a message waits since"), "{}", shown.reason);
    assert_eq!(stage.typed(), []);
    root.stop().await;
}
