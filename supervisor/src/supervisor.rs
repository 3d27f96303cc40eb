//! Describing a tree, and starting it.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::board::{Board, Entry, Role};
use crate::budget::{Backoff, Budget, Limit};
use crate::child::{ChildSpec, Launch, Restart, Seat, SpecError};
use crate::context::Context;
use crate::crew::ABORT_GRACE;
use crate::life::{Life, begin};
use crate::reason::{Crash, Reason, remember_places};
use crate::root::Root;
use crate::strategy::Strategy;
use crate::supervise::{Plan, Source, supervise};
use crate::tree::{Shared, Tree};
use crate::watchdog::{Unheard, Watchdog};

/// OTP's period. See [`Budget::default`].
const DEFAULT_PERIOD: Duration = Duration::from_secs(5);

/// A supervisor and its children, described. Becomes a running tree by [`Supervisor::start`], or a part of a greater one by being
/// given to [`Supervisor::child`].
pub struct Supervisor {
    id: Arc<str>,
    kind: &'static str,
    strategy: Strategy,
    budget: Budget,
    backoff: Option<Backoff>,
    seats: Vec<Seat>,
    making: Option<Arc<Making>>,
    ids: HashSet<Arc<str>>,
    fault: Option<SpecError>,
    board: Arc<Board>,
    tree: Arc<Shared>,
    seed: Option<u64>,
    unheard: Unheard,
}

/// Makes the incarnations of a supervisor, on the supervisors' runtime.
struct Chief {
    source: Source,
    board: Arc<Board>,
}

impl Launch for Chief {
    fn launch(self: Arc<Self>, life: &Arc<Life>) -> AbortHandle {
        let (source, board) = (self.source.clone(), self.board.clone());
        let make = move |ctx: Context| supervise(source, board, ctx);
        begin(life.tree.supervisors(), life, make)
    }
}

/// What a supervisor that is made anew at each start is to be this time. See [`Supervisor::from_init`].
pub enum Setup {
    /// This strategy, budget and these children. Its id is not looked at.
    Run(Box<Supervisor>),
    /// Nothing: it does not run, and that is no failure.
    Ignore,
}

impl From<Supervisor> for Setup {
    fn from(supervisor: Supervisor) -> Setup {
        Setup::Run(Box::new(supervisor))
    }
}

/// A [`Supervisor::from_init`]'s closure with its types forgotten.
pub(crate) type Making = dyn Fn() -> Pin<Box<dyn Future<Output = Result<Setup, Crash>> + Send>> + Send + Sync;

impl Supervisor {
    /// The supervisor at the top of a tree.
    pub fn root(id: impl Into<Arc<str>>, strategy: Strategy, budget: Budget) -> Supervisor {
        Supervisor::new(id, strategy, budget)
    }

    /// A supervisor without children yet. As somebody's child it is permanent, takes whatever time its children take to start
    /// and to stop, and is given up as hung when its loop is not heard of for 10 s.
    pub fn new(id: impl Into<Arc<str>>, strategy: Strategy, budget: Budget) -> Supervisor {
        let id = id.into();
        let board = Board::new(Role::Supervisor, strategy);
        board.book().window = budget.window();
        let parks_groups = budget.0 == Limit::Parking && strategy != Strategy::OneForOne;
        let fault = if parks_groups {
            Some(SpecError::ParkingInGroup { id: id.to_string() })
        } else {
            budget.fault(&id)
        };
        Supervisor {
            id,
            kind: "supervisor",
            strategy,
            budget,
            backoff: None,
            seats: Vec::new(),
            making: None,
            ids: HashSet::new(),
            fault,
            board,
            tree: Shared::new(),
            seed: None,
            unheard: Unheard::Log,
        }
    }

    /// A supervisor whose strategy, budget and children are what `init` says, asked anew at each of its starts: after a restart it
    /// is built from present configuration, not from a copy. Children that were added while it ran are gone then.
    ///
    /// `init` runs where children run. Its error or panic is a failed start; [`Setup::Ignore`] is none. It is dropped when the
    /// supervisor is asked to stop meanwhile.
    pub fn from_init<I, F>(id: impl Into<Arc<str>>, init: I) -> Supervisor
    where
        I: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<Setup, Crash>> + Send + 'static,
    {
        // Its own words are `init`'s; until then it has no children to count.
        let mut supervisor =
            Supervisor::new(id, Strategy::OneForOne, Budget::restarts(1).per(DEFAULT_PERIOD));
        supervisor.making = Some(Arc::new(move || Box::pin(init())));
        supervisor
    }

    /// What one incarnation needs to know; or what is wrong with it.
    pub(crate) fn into_plan(self) -> Result<Plan, SpecError> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(Plan {
                strategy: self.strategy,
                budget: self.budget,
                seats: self.seats,
            }),
        }
    }

    /// Adds a child: a [`ChildSpec`], a `Supervisor` or a [`crate::Roster`]. Children are started in the order in which they are
    /// added and stopped in reverse.
    #[must_use]
    pub fn child(mut self, child: impl Into<ChildSpec>) -> Supervisor {
        let child: ChildSpec = child.into();
        let fault = child.fault_under(self.strategy, self.budget);
        self.fault = self.fault.or(fault);
        if child.traits.role != Role::Worker && child.traits.restart == Restart::Transient {
            let id = child.id();
            tracing::warn!(
                id,
                "a transient supervisor that gives up is not started again: its end counts as normal"
            );
        }
        if !self.ids.insert(child.traits.id.clone()) {
            let (supervisor, id) = (self.id.to_string(), child.id().to_owned());
            self.fault = self.fault.or(Some(SpecError::DuplicateId { supervisor, id }));
        }
        self.seats.push(child.under(self.budget));
        self
    }

    /// As somebody's child: pauses between its restarts.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Supervisor {
        self.backoff = Some(backoff);
        self
    }

    /// What kind of supervisor it is, for people; `"supervisor"` unless said.
    #[must_use]
    pub fn kind(mut self, kind: &'static str) -> Supervisor {
        self.kind = kind;
        self
    }

    /// As the root, started by [`Supervisor::start_apart`]: what the watchdog does when a supervisor does not act on its report,
    /// because the supervisors' own thread is held up; [`Unheard::Log`] unless said.
    #[must_use]
    pub fn unheard(mut self, unheard: Unheard) -> Supervisor {
        self.unheard = unheard;
        self
    }

    /// As the root: what all jitter of the tree is made from. By chance unless said.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Supervisor {
        self.seed = Some(seed);
        self
    }

    /// A view of the tree of which this is the root. Valid at once; before the start it shows the root alone.
    pub fn handle(&self) -> Tree {
        let traits = ChildSpec::from_parts(self).traits;
        let mut roof = self.tree.roof.book();
        roof.fill(vec![Some(Entry::at(self.id.clone(), Arc::new(traits), None))]);
        drop(roof);
        Tree::new(self.tree.clone())
    }

    /// Starts the tree on the current runtime, children and supervisors alike. Returns when all children have said ready.
    ///
    /// For tests, and for programs whose children never block their thread: one that does can hold its supervisor. See
    /// [`Supervisor::start_apart`].
    ///
    /// Dropping the future aborts what was started.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing is left running.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn start(self) -> Result<Root, StartError> {
        let here = Handle::current();
        self.start_on(here.clone(), here, None).await
    }

    /// Starts the tree with all supervisors on a runtime of their own, one thread, and all other children on `children`: so no
    /// child, whatever it does to its thread, keeps a supervisor from seeing to the others. The thread ends with the
    /// [`Root`].
    ///
    /// Dropping the future aborts what was started.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing is left running.
    pub async fn start_apart(self, children: Handle) -> Result<Root, StartError> {
        let (told, learns) = oneshot::channel();
        let (keep, kept) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("supervisors".to_owned())
            .spawn(move || {
                let runtime = match tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build()
                {
                    Ok(runtime) => runtime,
                    Err(source) => {
                        let _ = told.send(Err(source));
                        return;
                    }
                };
                let _ = told.send(Ok(runtime.handle().clone()));
                // Ends when the other side is dropped.
                let _ = runtime.block_on(kept);
            })
            .map_err(|source| StartError::Runtime { source })?;
        let supervisors = match learns.await {
            Ok(Ok(handle)) => handle,
            Ok(Err(source)) => return Err(StartError::Runtime { source }),
            Err(_) => {
                return Err(StartError::Runtime {
                    source: std::io::Error::other("the thread ended at once"),
                });
            }
        };
        self.start_on(supervisors, children, Some(keep)).await
    }

    async fn start_on(
        self,
        supervisors: Handle,
        children: Handle,
        thread: Option<oneshot::Sender<()>>,
    ) -> Result<Root, StartError> {
        if let Some(fault) = self.fault {
            return Err(StartError::Spec(fault));
        }
        remember_places();
        let shared = self.tree.clone();
        let seed = self.seed.unwrap_or_else(by_chance);
        shared.begin(supervisors, children, seed);
        if thread.is_some() {
            let watchdog =
                Watchdog::start(&shared, self.unheard).map_err(|source| StartError::Runtime { source })?;
            shared.watch_by(watchdog);
        }
        let path = self.id.clone();
        // Whatever budget is named here, nobody counts the root's restarts.
        let seat = ChildSpec::from(self).under(Budget::restarts(0).per(ABORT_GRACE));
        Root::launch(shared, path, &seat, thread).started().await
    }
}

impl ChildSpec {
    /// The specification of a supervisor without its children: enough to show it.
    fn from_parts(of: &Supervisor) -> ChildSpec {
        let plan = Plan {
            strategy: of.strategy,
            budget: of.budget,
            seats: Vec::new(),
        };
        let start = Arc::new(Chief {
            source: Source::Fixed(Arc::new(plan)),
            board: of.board.clone(),
        });
        ChildSpec::supervisor(
            of.id.clone(),
            of.kind,
            Role::Supervisor,
            of.board.clone(),
            start,
            None,
        )
    }
}

impl From<Supervisor> for ChildSpec {
    fn from(supervisor: Supervisor) -> ChildSpec {
        let Supervisor {
            id,
            kind,
            strategy,
            budget,
            backoff,
            seats,
            making,
            fault,
            board,
            ..
        } = supervisor;
        let source = match making {
            Some(making) => Source::Made(making),
            None => Source::Fixed(Arc::new(Plan {
                strategy,
                budget,
                seats,
            })),
        };
        let start = Arc::new(Chief {
            source,
            board: board.clone(),
        });
        let mut spec = ChildSpec::supervisor(id, kind, Role::Supervisor, board, start, fault);
        spec.traits.backoff = backoff;
        spec
    }
}

fn by_chance() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one("jitter")
}

/// A tree did not start. Nothing of it is left running, except what [`Reason::Stuck`] may name.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The tree cannot work as described. Nothing was started.
    #[error("the tree is not well formed")]
    Spec(#[source] SpecError),
    /// The root had nothing to do, and is not running.
    #[error("the tree has nothing to do")]
    Ignored,
    /// A child did not start. Those before it were stopped again, in reverse order.
    #[error("child `{path}` did not start")]
    Child {
        /// The child; the innermost cause is in the reason's sources.
        path: String,
        /// Why.
        #[source]
        reason: Reason,
    },
    /// The supervisors' own runtime could not be made. Nothing was started.
    #[error("no runtime for the supervisors")]
    Runtime {
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}
