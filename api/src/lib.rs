//! The HTTP API: who may call, what they may ask, and what the facts answer.
//!
//! # Theory of operation [`router`] is a function of its [`Deps`]. Every request goes inwards through two
//! layers: the error layer, which gives it a number and puts whatever is not a success into one form, and the
//! door (`door.rs`), which decides whether the caller may come in at all. A handler owns nothing that must
//! finish, because hyper drops it when its client leaves: it writes an intent, which is durable from then on,
//! and then only waits for the facts to get there. A client that left loses the answer and nothing else.
//!
//! Reads answer from rows, with a status worked out at that moment. The event stream is the change log read
//! by pages, from the client's cursor on; between daemon and client there is no queue that could overflow.
//!
//! The daemon binds the listener and makes [`Connections`] before its tree starts; the tree runs the
//! [`acceptors`]. So a crashed or hung acceptor delays no client and cuts none off.
//!
//! # What it does not do
//! It starts no agent, touches no worktree, holds no handle to any child and no copy of any fact.

mod door;
mod error;
mod events;
mod extract;
pub mod peer;
mod routes;
mod server;
mod stage;
pub mod wire;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use ao_domain::RemoteRepo;
use ao_domain::port::agent::Agents;
use ao_domain::port::catalog::Catalog;
use ao_domain::port::clock::Clock;
use ao_domain::port::processes::Processes;
use ao_domain::port::provision::Provisioner;
use ao_domain::port::runtime::Runtimes;
use ao_domain::port::spool::HookSpool;
use ao_domain::port::upkeep::Upkeep;
use ao_domain::port::worktrees::Worktrees;
use ao_facts::{Feed, IntentWriter, Reader};
use ao_supervisor::Tree;
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use camino::Utf8PathBuf;

pub use door::{SESSION_HEADER, TOKEN_COOKIE};
pub use server::{Connections, Limits, UidOf, acceptors};
pub use stage::Stage;

/// Which repository a remote names, where a forge knows it. Nobody is asked.
pub type RepositoryOf = Arc<dyn Fn(&str) -> Option<RemoteRepo> + Send + Sync>;

/// What the API answers from and writes to.
pub struct Deps {
    /// Reads facts.
    pub reader: Reader,
    /// Writes what somebody wants.
    pub intents: IntentWriter,
    /// The change log's tail.
    pub feed: Feed,
    /// Where reports of activity go, like those of hooks.
    pub spool: Arc<dyn HookSpool>,
    /// Looks at repositories before they are registered or worked on.
    pub worktrees: Arc<dyn Worktrees>,
    /// Looks for what is left over.
    pub upkeep: Arc<dyn Upkeep>,
    /// Looks at terminals.
    pub runtimes: Runtimes,
    /// Looks at processes.
    pub processes: Arc<dyn Processes>,
    /// Reads what post-create commands print.
    pub provisioner: Arc<dyn Provisioner>,
    /// The agents there are.
    pub agents: Arc<dyn Agents>,
    /// Looks over the agents on this machine.
    pub catalog: Arc<dyn Catalog>,
    /// Which repository a remote names.
    pub repository_of: RepositoryOf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The machine's boot and the time since.
    pub boot: Arc<dyn Fn() -> Boot + Send + Sync>,
    /// The tree, to show it and to help parked children.
    pub tree: Tree,
    /// How far the daemon is.
    pub stage: Stage,
    /// What does not change while it runs.
    pub config: Config,
}

/// A moment since the machine was started: orders hook records when the wall clock was set back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Which boot of the machine.
    pub id: String,
    /// Milliseconds since it, suspended time included.
    pub millis: u64,
}

/// What does not change while the daemon runs.
#[derive(Clone)]
pub struct Config {
    /// The port it is bound to; part of its name in `Host` and `Origin`.
    pub port: u16,
    /// How long a request waits for the facts to get where it wants them (`AO_REQUEST_TIMEOUT`).
    pub patience: Duration,
    /// Whether children may be crashed and hung by hand (`AO_CHAOS`).
    pub chaos: bool,
    /// The stable path of `ao`, as agents call it.
    pub ao: Utf8PathBuf,
    /// The daemon's own environment, which agents inherit.
    pub env: Vec<(String, String)>,
    /// The agent where a spawn names none (`AO_AGENT`).
    pub default_agent: String,
    /// The runtime where a spawn names none (`AO_RUNTIME`).
    pub default_runtime: String,
    /// The runtimes there are.
    pub runtimes: Vec<String>,
    /// The sweep that looks at every session; its last end counts as a look at each.
    pub sweep: String,
    /// Where everything durable lies.
    pub data_dir: Utf8PathBuf,
    /// The folder that all worktrees lie in.
    pub worktree_root: Utf8PathBuf,
    /// The secret of this start of the daemon, as in the run file.
    pub token: String,
    /// Our process.
    pub pid: u32,
    /// Our user.
    pub uid: u32,
    /// Our version.
    pub version: String,
}

/// Without the token and the environment, which must not reach a log.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("port", &self.port)
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}

/// [`Deps`] as every handler gets them.
#[derive(Clone)]
pub(crate) struct Api(Arc<Deps>);

impl Deref for Api {
    type Target = Deps;

    fn deref(&self) -> &Deps {
        &self.0
    }
}

/// All routes behind the door.
///
/// The server puts into each request whose process sent it. A request without that, as one made in the same
/// process, has to bring the token.
pub fn router(deps: Deps) -> Router {
    let api = Api(Arc::new(deps));
    let (router, _) = routes::all(api.config.chaos).split_for_parts();
    // The layer named last is the outermost.
    router
        .layer(from_fn_with_state(api.clone(), door::door))
        .layer(from_fn(error::envelope))
        .with_state(api)
}
