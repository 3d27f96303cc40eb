//! Stand-ins for what lies outside the daemon. What they do depends on what they are asked, so that a test
//! reads alone.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use ao_domain::port::PortFuture;
use ao_domain::port::agent::{
    Agent, AgentError, Agents, Description, HookPlace, LaunchPlan, LaunchRequest, Note, Preparation,
    PrepareError, Style, Takes,
};
use ao_domain::port::catalog::{self, Abilities, Catalog, Entry, Finding, Installation, PromptBy};
use ao_domain::port::clock::Clock;
use ao_domain::port::processes::Processes;
use ao_domain::port::provision::{Furnished, PostCreate, ProvisionError, Provisioner};
use ao_domain::port::spool::{HookSpool, SpoolError, Spooled};
use ao_domain::port::upkeep::{Rebased, Reclaimed, Standing, Thing, Trace, Traces, Upkeep};
use ao_domain::port::worktrees::{Made, Owned, Removal, WorktreeError, WorktreePlan, Worktrees};
use ao_domain::{
    HookRecord, PermissionMode, ProcessId, Repository, SessionId, Signal, Timestamp, WorktreeOwner,
};
use camino::{Utf8Path, Utf8PathBuf};

/// Nobody runs.
pub(crate) struct NoProcesses;

impl Processes for NoProcesses {
    fn is_alive(&self, _: &ProcessId) -> Option<bool> {
        Some(false)
    }
}

/// A clock that stands until it is moved.
pub(crate) struct FakeClock(AtomicI64);

impl FakeClock {
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(1_750_000_000_000))
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn reaches(&self, _: Timestamp) -> PortFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// Keeps what was appended. `full` makes the disk full.
#[derive(Default)]
pub(crate) struct FakeSpool {
    pub(crate) records: Mutex<Vec<HookRecord>>,
    pub(crate) full: std::sync::atomic::AtomicBool,
}

impl HookSpool for FakeSpool {
    fn append<'a>(&'a self, record: &'a HookRecord) -> PortFuture<'a, Result<(), SpoolError>> {
        Box::pin(async move {
            if self.full.load(Ordering::SeqCst) {
                return Err(SpoolError {
                    session: record.session.to_string(),
                    doing: "append",
                    source: std::io::ErrorKind::StorageFull.into(),
                });
            }
            self.records.lock().unwrap().push(record.clone());
            Ok(())
        })
    }

    fn append_seen<'a>(&'a self, _: &'a HookRecord) -> PortFuture<'a, Result<(), SpoolError>> {
        unreachable!("the API saw nothing itself")
    }

    fn read<'a>(&'a self, _: &'a SessionId, _: u64) -> PortFuture<'a, Result<Spooled, SpoolError>> {
        unreachable!("the API only appends")
    }

    fn sessions(&self) -> PortFuture<'_, Result<Vec<SessionId>, SpoolError>> {
        unreachable!("the API only appends")
    }

    fn changed(&self) -> PortFuture<'_, ()> {
        unreachable!("the API only appends")
    }
}

/// Repositories by their names: `/repos/<anything>` is a good one, and the names below are not.
pub(crate) struct FakeWorktrees;

impl Worktrees for FakeWorktrees {
    fn repository<'a>(&'a self, path: &'a Utf8Path) -> PortFuture<'a, Result<Repository, WorktreeError>> {
        Box::pin(async move {
            let path = path.to_owned();
            Err(match path.file_name().unwrap_or_default() {
                "gone" => WorktreeError::NoSuchPath { path },
                "plain" => WorktreeError::NotARepository { path },
                "inside" => WorktreeError::NotTheTop {
                    path,
                    top: "/repos/top".into(),
                },
                "bare" => WorktreeError::Bare { path },
                "fresh" => WorktreeError::NoCommits { path },
                "stuck" => WorktreeError::Git {
                    verb: "rev-parse",
                    path,
                    said: "timed out".to_owned(),
                },
                "cursed" => panic!("this repository is cursed"),
                _ => {
                    return Ok(Repository {
                        top: path,
                        origin: Some("git@example.org:x.git".to_owned()),
                        default_branch: "origin/main".to_owned(),
                    });
                }
            })
        })
    }

    fn fetch_pull<'a>(&'a self, _: &'a WorktreeOwner, _: u64) -> PortFuture<'a, Result<(), WorktreeError>> {
        unreachable!("handlers fetch nothing")
    }

    fn create<'a>(&'a self, _: &'a WorktreePlan) -> PortFuture<'a, Result<Made, WorktreeError>> {
        unreachable!("the API makes no worktree")
    }

    fn remove<'a>(
        &'a self,
        _: &'a WorktreeOwner,
        _: bool,
        _: &'a [String],
    ) -> PortFuture<'a, Result<Removal, WorktreeError>> {
        unreachable!("the API removes no worktree")
    }

    fn has_commit<'a>(
        &'a self,
        _: &'a Utf8Path,
        _: &'a str,
        _: &'a str,
    ) -> PortFuture<'a, Result<bool, WorktreeError>> {
        unreachable!("the API asks for no commit")
    }

    fn owned(&self) -> PortFuture<'_, Result<Vec<Owned>, WorktreeError>> {
        unreachable!("the API owns no worktree")
    }
}

/// `shell` takes a command, `claude-code` a prompt, and the program of `ghost` is not installed.
pub(crate) struct FakeAgents(Vec<FakeAgent>);

struct FakeAgent(Description);

impl Default for FakeAgents {
    fn default() -> Self {
        let agent = |id, style, reports| {
            FakeAgent(Description {
                id,
                name: id,
                style,
                reports,
                greets: true,
                prompted: true,
                transcribes: false,
                chooses: true,
                takes: reports.then_some(Takes {
                    queues: true,
                    commands: &[],
                    shields: &[],
                }),
            })
        };
        Self(vec![
            agent("shell", Style::OneShot, false),
            agent("claude-code", Style::Interactive, true),
            agent("ghost", Style::Interactive, true),
        ])
    }
}

impl Agents for FakeAgents {
    fn get(&self, id: &str) -> Result<&dyn Agent, AgentError> {
        let agent = self.0.iter().find(|agent| agent.0.id == id);
        agent
            .map(|agent| agent as &dyn Agent)
            .ok_or_else(|| AgentError::Unknown {
                name: id.to_owned(),
                known: self.ids().join(", "),
            })
    }

    fn ids(&self) -> Vec<&'static str> {
        self.0.iter().map(|agent| agent.0.id).collect()
    }

    fn withdraw<'a>(
        &'a self,
        _: &'a str,
        _: &'a HookPlace<'a>,
        _: &'a (dyn Fn() -> PortFuture<'a, bool> + Send + Sync),
    ) -> PortFuture<'a, Result<(), PrepareError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn prepare<'a>(&'a self, _: &'a Preparation) -> PortFuture<'a, Result<(), PrepareError>> {
        Box::pin(async { Ok(()) })
    }
}

impl Agent for FakeAgent {
    fn description(&self) -> &Description {
        &self.0
    }

    fn plan(&self, request: &LaunchRequest<'_>) -> Result<LaunchPlan, AgentError> {
        let agent = self.0.id.to_owned();
        match (self.0.id, request.command.is_empty()) {
            ("shell", true) => Err(AgentError::CommandRequired { agent }),
            ("claude-code", false) => Err(AgentError::CommandNotTaken { agent }),
            ("ghost", _) => Err(AgentError::BinaryNotFound { program: agent }),
            _ => Ok(LaunchPlan {
                argv: vec!["/bin/true".to_owned()],
                env: Vec::new(),
                before: Vec::new(),
            }),
        }
    }

    fn signal(&self, _: &str, _: &str, _: Timestamp) -> Option<Signal> {
        None
    }

    fn transcript(&self, _: &str, _: &[(String, String)]) -> Option<camino::Utf8PathBuf> {
        None
    }

    fn note(&self, _: &str) -> Option<Note> {
        None
    }
}

/// `shell` has no program, that of `claude-code` is newer than the one that was seen, and that of `ghost` does not start, or hangs until it is let go.
#[derive(Default)]
pub(crate) struct FakeCatalog {
    /// Whether `ghost` hangs when it is asked.
    pub(crate) hangs: std::sync::atomic::AtomicBool,
    /// Told when it does.
    pub(crate) asked: tokio::sync::Notify,
    /// Lets go of `ghost`.
    pub(crate) lets_go: tokio::sync::Notify,
}

impl FakeCatalog {
    async fn look(&self, id: &str) -> Option<Entry> {
        let abilities = Abilities {
            interactive: id != "shell",
            takes_messages: id != "shell",
            queues_messages: false,
            permission_modes: vec![PermissionMode::Default],
            model: id != "shell",
            resume: id != "shell",
            prompt: if id == "shell" {
                PromptBy::Command
            } else {
                PromptBy::Argument
            },
            reports: id != "shell",
            own_record: false,
            answers_dialogs: false,
        };
        let installation = |program, path: &str, version: Option<&str>, standing, finding| {
            Some(Installation {
                program,
                path: Some(path.into()),
                version: version.map(str::to_owned),
                verified: Some("1.0.0"),
                standing,
                findings: vec![finding],
            })
        };
        let (id, name, installation) = match id {
            "shell" => ("shell", "Command line", None),
            "claude-code" => (
                "claude-code",
                "Claude Code",
                installation(
                    "claude",
                    "/bin/claude",
                    Some("1.1.0"),
                    catalog::Standing::Newer,
                    Finding::good("login", "by its own record"),
                ),
            ),
            "ghost" => {
                if self.hangs.load(Ordering::SeqCst) {
                    self.asked.notify_one();
                    self.lets_go.notified().await;
                }
                let finding = Finding::bad("program", "it does not start", "install it anew");
                (
                    "ghost",
                    "Ghost",
                    installation("ghost", "/bin/ghost", None, catalog::Standing::Broken, finding),
                )
            }
            _ => return None,
        };
        Some(Entry {
            id,
            name,
            abilities,
            installation,
        })
    }
}

impl Catalog for FakeCatalog {
    fn all(&self) -> PortFuture<'_, Vec<Entry>> {
        Box::pin(async move {
            let mut all = Vec::new();
            for id in ["shell", "claude-code", "ghost"] {
                all.extend(self.look(id).await);
            }
            all
        })
    }

    fn one<'a>(&'a self, id: &'a str) -> PortFuture<'a, Option<Entry>> {
        Box::pin(self.look(id))
    }
}

/// One branch with a name of ours that nobody knows lies in every repository.
impl Upkeep for FakeWorktrees {
    fn relocate<'a>(
        &'a self,
        _: &'a WorktreeOwner,
        _: &'a Utf8Path,
    ) -> PortFuture<'a, Result<WorktreeOwner, WorktreeError>> {
        unreachable!("the API moves nothing")
    }

    fn rebase<'a>(&'a self, _: &'a Utf8Path) -> PortFuture<'a, Result<Vec<Rebased>, WorktreeError>> {
        unreachable!("the API moves nothing")
    }

    fn traces<'a>(&'a self, repos: &'a [Utf8PathBuf]) -> PortFuture<'a, Result<Traces, WorktreeError>> {
        let found = repos.iter().map(|repo| Trace {
            thing: Thing::Branch {
                name: "ao/other-1".to_owned(),
                tip: "0".repeat(40),
                own_commits: 2,
                checked_out: None,
            },
            repo: Some(repo.clone()),
            session: "other-1".parse().ok(),
            record: None,
            changed_at: None,
            standing: Standing::Foreign,
        });
        let traces = Traces {
            found: found.collect(),
            unread: Vec::new(),
        };
        Box::pin(async move { Ok(traces) })
    }

    fn reclaim<'a>(&'a self, _: &'a Trace) -> PortFuture<'a, Result<Reclaimed, WorktreeError>> {
        unreachable!("the API takes nothing back")
    }
}

/// Has printed one line for every session.
pub(crate) struct FakeProvisioner;

impl Provisioner for FakeProvisioner {
    fn furnish<'a>(
        &'a self,
        _: &'a WorktreeOwner,
        _: &'a [String],
    ) -> PortFuture<'a, Result<Furnished, ProvisionError>> {
        unreachable!("the API furnishes nothing")
    }

    fn command<'a>(
        &'a self,
        _: &'a WorktreeOwner,
        _: PostCreate<'a>,
    ) -> PortFuture<'a, Result<(), ProvisionError>> {
        unreachable!("the API runs nothing")
    }

    fn log_tail<'a>(
        &'a self,
        session: &'a SessionId,
        _: usize,
    ) -> PortFuture<'a, Result<Vec<String>, ProvisionError>> {
        Box::pin(async move { Ok(vec![format!("adding packages for {session}")]) })
    }
}
