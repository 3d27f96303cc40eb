//! Which adapter serves which port, and which writer each child gets.

use std::ffi::OsString;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use ao_act::janitor;
use ao_act::session::{Limits, Parts, Setup};
use ao_domain::SESSION_SWEEP;
use ao_domain::port::agent::Agents;
use ao_domain::port::catalog::Catalog;
use ao_domain::port::clock::Clock;
use ao_domain::port::forge::Forge;
use ao_domain::port::letters::Letters;
use ao_domain::port::machine::Machine;
use ao_domain::port::processes::Processes;
use ao_domain::port::provision::Provisioner;
use ao_domain::port::pushes::Pushes;
use ao_domain::port::runtime::{Runtime, Runtimes};
use ao_domain::port::spool::HookSpool;
use ao_domain::port::transcript::Transcripts;
use ao_domain::port::upkeep::Upkeep;
use ao_domain::port::worktrees::Worktrees;
use ao_facts::{Feed, IntentWriter, ObservationWriter, OutcomeWriter, Reader, Store, StoreOptions};
use ao_github::GitHub;
use ao_local::agents::{AgentCatalog, Registry};
use ao_local::clock::SystemClock;
use ao_local::letters::LetterFiles;
use ao_local::logout;
use ao_local::machine::ThisMachine;
use ao_local::process::SystemProcesses;
use ao_local::pushes::GitPushes;
use ao_local::runtimes::pty::{self, PtyConfig};
use ao_local::runtimes::zellij::{self, ZellijConfig};
use ao_local::spool::{self, FileSpool};
use ao_local::transcripts::FileTranscripts;
use ao_local::worktree::{Bounds, GitConfig, GitWorktrees, WorktreeProvisioner};
use ao_observe::cadence::Tempo;
use ao_observe::exchange::Exchange;
use ao_observe::{claim, pull_request, repository};
use camino::{Utf8Path, Utf8PathBuf};

use crate::moved::{follow, known_name};
use crate::salvage::salvage;

/// One `git` call; a checkout is given longer by the adapter itself.
const GIT_DEADLINE: Duration = Duration::from_secs(60);

/// Reads that may go on at once. Each has a thread and a page cache; a list of a thousand sessions takes milliseconds.
const READERS: u32 = 4;

/// What the daemon was told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data directory; it is there and ours, and its lock is held.
    pub data_dir: Utf8PathBuf,
    /// The run file.
    pub run_file: Utf8PathBuf,
    /// Our own program, where it lies; the stable link points there.
    pub program: Utf8PathBuf,
    /// What makes our program a session's holder: its leading arguments.
    pub holder: Vec<String>,
    /// What makes it what a multiplexer's pane runs.
    pub launcher: Vec<String>,
    /// Patterns of ignored files that a worktree may be removed with (`AO_DISPOSABLE`).
    pub disposable: Vec<String>,
    /// How many sessions there may be at once, and how many may come up.
    pub limits: Limits,
    /// Whether sessions come back by themselves that a restart of the machine ended.
    pub restores: bool,
    /// How often forges are looked at where much is to be expected (`AO_FORGE_TICK`).
    pub tick: Duration,
    /// For how long an agent is asked nothing whose quota is used up and that does not say until when (`AO_WALL_RETRY`).
    pub wall_retry: Duration,
    /// The daemon's environment, for sessions.
    pub env: Vec<(String, String)>,
}

/// The daemon cannot run on this data directory. Nothing was changed but what the message says.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database was refused; see its own words.
    #[error("the database cannot be opened")]
    Store(#[source] ao_facts::OpenError),
    /// It was opened, but its first reads or writes failed.
    #[error("the database cannot be used")]
    Facts(#[source] ao_facts::FactsError),
    /// Another folder of worktrees is named in the rows, and it is still there: this data directory is a copy. Nothing was touched.
    #[error(
        "this data directory is a copy: its sessions' worktrees are in `{first}`, which is still there. Start ao on that one \
         (AO_DATA_DIR), or move it away and start again"
    )]
    Copy {
        /// Where the worktrees are.
        first: Utf8PathBuf,
    },
    /// A forge is described in a way that is not understood.
    #[error("the environment is not understood")]
    Forge(#[source] ao_github::BadHosts),
    /// A folder or link of ours could not be made.
    #[error("{doing} failed in `{path}`")]
    Folder {
        /// What was attempted.
        doing: &'static str,
        /// Where.
        path: Utf8PathBuf,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
}

/// Everything that outlives the children, and is shared by them.
#[derive(Clone)]
pub struct Wiring {
    /// The database.
    pub store: Store,
    /// Reads it.
    pub reader: Reader,
    /// What somebody wants: for the API.
    pub intents: IntentWriter,
    /// What was seen: for observe, and for a session's child about its own process.
    pub seen: ObservationWriter,
    /// What we did: for act.
    pub outcomes: OutcomeWriter,
    /// The tail of the change log.
    pub feed: Feed,
    /// What hooks leave.
    pub spool: Arc<dyn HookSpool>,
    /// What agents write down themselves.
    pub transcripts: Arc<dyn Transcripts>,
    /// The agents.
    pub agents: Arc<dyn Agents>,
    /// What is to be found of them on this machine.
    pub catalog: Arc<dyn Catalog>,
    /// Messages too long to be typed.
    pub letters: Arc<dyn Letters>,
    /// Git.
    pub worktrees: Arc<dyn Worktrees>,
    /// Terminals.
    pub runtimes: Runtimes,
    /// Links, copies and post-create commands.
    pub provisioner: Arc<dyn Provisioner>,
    /// The machine's boot and memory.
    pub machine: Arc<dyn Machine>,
    /// What moved and what is left over.
    pub upkeep: Arc<dyn Upkeep>,
    /// Processes.
    pub processes: Arc<dyn Processes>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where pull requests live.
    pub forge: Arc<dyn Forge>,
    /// Where questions to forges are asked and answered.
    pub(crate) exchange: Exchange,
    pushes: Arc<dyn Pushes>,
    pub(crate) tempo: Tempo,
    pub(crate) wall_retry: Duration,
    of_machine: u64,
    /// Where worktrees lie.
    pub worktree_root: Utf8PathBuf,
    setup: Arc<Setup>,
}

impl Wiring {
    /// Opens the database and makes the folders. The data directory's lock is held by the caller.
    ///
    /// # Errors
    /// When the database is refused or a folder cannot be made.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let data = &config.data_dir;
        let store = Store::open(data, &StoreOptions { readers: READERS })
            .await
            .map_err(OpenError::Store)?;
        let folder = |doing, path: Utf8PathBuf| move |source| OpenError::Folder { doing, path, source };
        let spool_root = data.join(spool::FOLDER);
        let spool =
            FileSpool::open(spool_root.clone()).map_err(folder("opening the hook spool", spool_root))?;
        let bin = data.join("bin");
        ao_local::link::stable(&bin, &config.program)
            .map_err(folder("making the stable link", bin.clone()))?;
        let path: OsString = config
            .env
            .iter()
            .find(|(name, _)| name == "PATH")
            .map(|(_, path)| path.into())
            .unwrap_or_default();
        let variable = |name: &str| {
            let found = config.env.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str())
        };
        let (_, scope) = logout::here(|name| variable(name).map(str::to_owned));
        let pty = pty::runtime(PtyConfig {
            root: data.join(pty::NAME),
            executable: own_image(&config.program),
            leading_args: config.holder.clone(),
            scope: scope.clone(),
        });
        let zellij = zellij::runtime(ZellijConfig {
            root: data.join(zellij::NAME),
            sockets: zellij::sockets(),
            others: zellij::sockets_of_user(variable),
            zellij: "zellij".into(),
            path: path.clone(),
            launcher: bin.join("ao"),
            leading_args: config.launcher.clone(),
            scope,
        });
        let worktree_root = known_name(&store.reader(), data.join("worktrees")).await?;
        let git = GitWorktrees::new(GitConfig {
            root: worktree_root.clone(),
            locks: data.join("work"),
            disposable: config.disposable.clone(),
            deadline: ao_supervisor::fault::at_most("AO_FAULT_GIT", GIT_DEADLINE),
            path: path.clone(),
        });
        let provisioner = WorktreeProvisioner::new(git.clone(), data.join("provision"), Bounds::default());
        let forge = GitHub::new(config.env.clone()).map_err(OpenError::Forge)?;
        let (reader, intents) = (store.reader(), store.intents());
        let clock = SystemClock;
        if reader.sweeps().await.map_err(OpenError::Facts)?.is_empty() {
            intents
                .set_due(SESSION_SWEEP, clock.now())
                .await
                .map_err(OpenError::Facts)?;
        }
        let runtimes = Runtimes::new([Arc::new(pty) as Arc<dyn Runtime>, Arc::new(zellij)]);
        follow(&git, &reader, &intents, &worktree_root).await?;
        salvage(&reader, &git, &runtimes, &intents, &clock)
            .await
            .map_err(OpenError::Facts)?;
        Ok(Self {
            reader,
            intents,
            seen: store.observations(),
            outcomes: store.outcomes(),
            feed: Feed::new(store.reader()),
            spool: Arc::new(spool),
            transcripts: Arc::new(FileTranscripts::default()),
            agents: Arc::new(Registry::new(&path)),
            catalog: Arc::new(AgentCatalog::new(&path, &config.env)),
            letters: Arc::new(LetterFiles::new(data.join("messages"))),
            worktrees: Arc::new(git.clone()),
            runtimes,
            provisioner: Arc::new(provisioner),
            upkeep: Arc::new(git),
            machine: Arc::new(ThisMachine),
            processes: Arc::new(SystemProcesses),
            clock: Arc::new(clock),
            forge: Arc::new(forge),
            exchange: Exchange::default(),
            pushes: Arc::new(GitPushes),
            tempo: Tempo { tick: config.tick },
            wall_retry: config.wall_retry,
            of_machine: RandomState::new().hash_one(data),
            worktree_root,
            setup: Arc::new(Setup {
                data_dir: config.data_dir,
                bin,
                run_file: config.run_file,
                env: config.env,
                limits: config.limits,
                restores: config.restores,
            }),
            store,
        })
    }

    /// The stable path of `ao`, as agents call it.
    pub fn ao(&self) -> Utf8PathBuf {
        self.setup.bin.join("ao")
    }

    /// The daemon's own environment, which agents inherit.
    pub fn env(&self) -> &[(String, String)] {
        &self.setup.env
    }

    /// What each watched repository's child works with.
    pub(crate) fn repository_parts(&self) -> repository::Parts {
        repository::Parts {
            facts: self.reader.clone(),
            writer: self.seen.clone(),
            forge: Arc::clone(&self.forge),
            exchange: self.exchange.clone(),
            worktrees: Arc::clone(&self.worktrees),
            pushes: Arc::clone(&self.pushes),
            clock: Arc::clone(&self.clock),
            tempo: self.tempo,
        }
    }

    /// What each followed pull request's child works with.
    pub(crate) fn pull_parts(&self) -> pull_request::Parts {
        pull_request::Parts {
            facts: self.reader.clone(),
            writer: self.seen.clone(),
            exchange: self.exchange.clone(),
            clock: Arc::clone(&self.clock),
            tempo: self.tempo,
            machine: self.of_machine,
        }
    }

    /// What each claim's child works with.
    pub(crate) fn claim_parts(&self) -> claim::Parts {
        claim::Parts {
            facts: self.reader.clone(),
            writer: self.seen.clone(),
            exchange: self.exchange.clone(),
            clock: Arc::clone(&self.clock),
        }
    }

    /// What the janitor works with.
    pub(crate) fn janitor_parts(&self) -> janitor::Parts {
        janitor::Parts {
            facts: self.reader.clone(),
            outcomes: self.outcomes.clone(),
            upkeep: Arc::clone(&self.upkeep),
            runtimes: self.runtimes.clone(),
            processes: Arc::clone(&self.processes),
            agents: Arc::clone(&self.agents),
            setup: Arc::clone(&self.setup),
            clock: Arc::clone(&self.clock),
        }
    }

    /// What each session's child works with.
    pub(crate) fn session_parts(&self) -> Parts {
        Parts {
            facts: self.reader.clone(),
            outcomes: self.outcomes.clone(),
            seen: self.seen.clone(),
            worktrees: Arc::clone(&self.worktrees),
            runtimes: self.runtimes.clone(),
            provisioner: Arc::clone(&self.provisioner),
            machine: Arc::clone(&self.machine),
            processes: Arc::clone(&self.processes),
            agents: Arc::clone(&self.agents),
            letters: Arc::clone(&self.letters),
            clock: Arc::clone(&self.clock),
            setup: Arc::clone(&self.setup),
        }
    }
}

/// The image this process runs, also after its file was replaced by an upgrade; elsewhere the file itself.
fn own_image(program: &Utf8Path) -> Utf8PathBuf {
    if cfg!(target_os = "linux") {
        "/proc/self/exe".into()
    } else {
        program.to_owned()
    }
}
