//! What a supervisor must know about a child: how to start it, when to bring it back, how to stop it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::task::AbortHandle;

use crate::board::{Board, Role};
use crate::budget::{Backoff, Budget, Limit};
use crate::context::Context;
use crate::fault;
use crate::life::{Life, begin, on_its_own_thread};
use crate::reason::{Crash, Outcome};
use crate::strategy::Strategy;

/// The child ended because it was done, or because it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done;

/// When an ended child is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// Always, also when it was done.
    Permanent,
    /// When it crashed. Done is done.
    Transient,
    /// Never; once ended it is forgotten. A group restart does not bring it back.
    Temporary,
}

/// How a child is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Aborted at once, at its next await.
    BrutalKill,
    /// Asked, and aborted after this long. Zero means asked and aborted in one breath.
    After(Duration),
    /// Asked, and awaited for ever. For supervisors, whose children have deadlines of their own: one is awaited for as long as it
    /// beats, for its loop does so until it has ended.
    Infinity,
}

/// OTP's default for a worker.
const GRACE: Duration = Duration::from_secs(5);

/// Longer than any start we want to wait for, short enough that a hanging one is seen. OTP waits for ever.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A supervisor's loop does nothing but read its queue, so this is generous; it is what finds one that hangs.
const SUPERVISOR_HEARTBEAT: Duration = Duration::from_secs(10);

/// What is fixed about a child, its start aside. Shared by all its incarnations.
#[derive(Clone)]
pub(crate) struct Traits {
    pub(crate) id: Arc<str>,
    pub(crate) kind: &'static str,
    pub(crate) role: Role,
    pub(crate) restart: Restart,
    pub(crate) shutdown: Shutdown,
    pub(crate) start_timeout: Option<Duration>,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) budget: Option<Budget>,
    /// Past its own budget its supervisor gives up.
    pub(crate) escalates: bool,
    /// It runs on a thread that cannot be taken from it.
    pub(crate) blocks: bool,
    pub(crate) meta: Vec<(&'static str, Arc<str>)>,
    /// The children of a supervisor.
    pub(crate) board: Option<Arc<Board>>,
}

/// Puts one incarnation on its runtime.
pub(crate) trait Launch: Send + Sync {
    fn launch(self: Arc<Self>, life: &Arc<Life>) -> AbortHandle;
}

/// A worker's start: runs on the children's runtime. The future's own type is kept, so an incarnation is one allocation.
struct Start<F>(F);

impl<F, T> Launch for Start<F>
where
    F: Fn(Context) -> T + Send + Sync + 'static,
    T: Future + Send + 'static,
    T::Output: Into<Outcome> + Send,
{
    fn launch(self: Arc<Self>, life: &Arc<Life>) -> AbortHandle {
        let make = move |ctx: Context| (self.0)(ctx);
        begin(life.tree.children(), life, make)
    }
}

impl From<Result<Done, Crash>> for Outcome {
    fn from(result: Result<Done, Crash>) -> Outcome {
        match result {
            Ok(Done) => Outcome::Done,
            Err(crash) => Outcome::Error(crash),
        }
    }
}

/// Everything a supervisor must know about one child. Made with [`ChildSpec::new`], [`child`], or from a
/// [`crate::Supervisor`] or [`crate::Roster`].
#[derive(Clone)]
pub struct ChildSpec {
    pub(crate) traits: Traits,
    pub(crate) start: Arc<dyn Launch>,
    /// What is wrong with this specification or one below it; told when the tree is started.
    pub(crate) fault: Option<SpecError>,
}

impl ChildSpec {
    /// A permanent worker. `start` makes the future of one incarnation and is called anew for each, within the child's task: its
    /// panic is a failed start. The future must call [`Context::ready`] once it is up; an end before that is a failed start
    /// too.
    ///
    /// Without further words the child has 30 s to become ready, 5 s to stop, no heartbeat, no back-off, no budget of its own.
    /// Under a parking supervisor the last two have the defaults told at [`Budget::parking`].
    pub fn new<F, T>(id: impl Into<Arc<str>>, start: F) -> ChildSpec
    where
        F: Fn(Context) -> T + Send + Sync + 'static,
        T: Future<Output = Result<Done, Crash>> + Send + 'static,
    {
        ChildSpec::worker(id.into(), start)
    }

    fn worker<F, T>(id: Arc<str>, start: F) -> ChildSpec
    where
        F: Fn(Context) -> T + Send + Sync + 'static,
        T: Future + Send + 'static,
        T::Output: Into<Outcome> + Send,
    {
        ChildSpec {
            traits: Traits {
                id,
                kind: "worker",
                role: Role::Worker,
                restart: Restart::Permanent,
                shutdown: Shutdown::After(GRACE),
                start_timeout: Some(START_TIMEOUT),
                heartbeat: None,
                backoff: None,
                budget: None,
                escalates: false,
                blocks: false,
                meta: Vec::new(),
                board: None,
            },
            start: Arc::new(Start(start)),
            fault: None,
        }
    }

    /// A worker without a start to speak of: it is ready as soon as its task runs. `start` need not say so.
    pub fn simple<F, T>(id: impl Into<Arc<str>>, start: F) -> ChildSpec
    where
        F: Fn(Context) -> T + Send + Sync + 'static,
        T: Future<Output = Result<Done, Crash>> + Send + 'static,
    {
        ChildSpec::new(id, move |ctx| {
            ctx.ready();
            start(ctx)
        })
    }

    /// A worker that blocks its thread: it runs on one of tokio's blocking threads, and may call [`Context::ready`],
    /// [`Context::beat`] and [`Context::is_stopping`], which it has to look at. It cannot be aborted: one that does not end
    /// when it is asked is stuck, and nothing is started in its place until it ends. [`Shutdown::BrutalKill`] is refused.
    pub fn blocking<F>(id: impl Into<Arc<str>>, work: F) -> ChildSpec
    where
        F: Fn(&Context) -> Result<Done, Crash> + Send + Sync + 'static,
    {
        let work = Arc::new(work);
        let mut spec = ChildSpec::worker(id.into(), move |ctx| on_its_own_thread(ctx, work.clone()));
        spec.traits.blocks = true;
        spec
    }

    /// A supervisor as somebody's child: waits for its children however long they take, and is found out if its loop hangs.
    pub(crate) fn supervisor(
        id: Arc<str>,
        kind: &'static str,
        role: Role,
        board: Arc<Board>,
        start: Arc<dyn Launch>,
        fault: Option<SpecError>,
    ) -> ChildSpec {
        ChildSpec {
            traits: Traits {
                id,
                kind,
                role,
                restart: Restart::Permanent,
                shutdown: Shutdown::Infinity,
                start_timeout: None,
                heartbeat: Some(SUPERVISOR_HEARTBEAT),
                backoff: None,
                budget: None,
                escalates: false,
                blocks: false,
                meta: Vec::new(),
                board: Some(board),
            },
            start,
            fault,
        }
    }

    /// When it is started again; [`Restart::Permanent`] unless said.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> ChildSpec {
        self.traits.restart = restart;
        self
    }

    /// How it is stopped; [`Shutdown::After`] 5 s unless said.
    #[must_use]
    pub fn shutdown(mut self, shutdown: Shutdown) -> ChildSpec {
        self.traits.shutdown = shutdown;
        self
    }

    /// How long it may take to become ready; `None` is for ever. Past it the start has failed and the child is aborted.
    #[must_use]
    pub fn start_timeout(mut self, limit: Option<Duration>) -> ChildSpec {
        self.traits.start_timeout = limit;
        self
    }

    /// Pauses between its restarts.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> ChildSpec {
        self.traits.backoff = Some(backoff);
        self
    }

    /// A restart budget of its own. Past it the child is parked and its siblings live on, whatever budget the supervisor has;
    /// restarts up to then count for the supervisor too. Needs a `OneForOne` supervisor.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> ChildSpec {
        self.traits.budget = Some(budget);
        self
    }

    /// Past its own budget it is not parked: its supervisor gives up, as it does past its own.
    #[must_use]
    pub fn escalates(mut self) -> ChildSpec {
        self.traits.escalates = true;
        self
    }

    /// How long it may be silent while it runs. A child that misses it is given up as hung, asked, aborted and restarted as
    /// after a crash.
    #[must_use]
    pub fn heartbeat(mut self, deadline: Duration) -> ChildSpec {
        self.traits.heartbeat = Some(fault::at_most("AO_FAULT_HEARTBEAT", deadline));
        self
    }

    /// Something to know about it, for people and programs that look at the tree. The last word on a name stands.
    #[must_use]
    pub fn meta(mut self, name: &'static str, value: impl Into<Arc<str>>) -> ChildSpec {
        self.traits.meta.retain(|(known, _)| *known != name);
        self.traits.meta.push((name, value.into()));
        self
    }

    /// What kind of child it is, for people and for spans: `"session"`, `"feed"`.
    #[must_use]
    pub fn kind(mut self, kind: &'static str) -> ChildSpec {
        self.traits.kind = kind;
        self
    }

    /// Its id, unique within its supervisor.
    pub fn id(&self) -> &str {
        &self.traits.id
    }

    /// What a supervisor of this strategy and budget has against this child.
    pub(crate) fn fault_under(&self, strategy: Strategy, budget: Budget) -> Option<SpecError> {
        let traits = &self.traits;
        let id = || traits.id.to_string();
        if let Some(fault) = &self.fault {
            return Some(fault.clone());
        }
        if traits.id.is_empty() {
            return Some(SpecError::EmptyId);
        }
        if traits.heartbeat.is_some_and(|deadline| deadline.is_zero()) {
            return Some(SpecError::ZeroHeartbeat { id: id() });
        }
        if traits.blocks && traits.shutdown == Shutdown::BrutalKill {
            return Some(SpecError::BlockingKill { id: id() });
        }
        if let Some(why) = traits.backoff.as_ref().and_then(Backoff::fault) {
            return Some(SpecError::BadBackoff { id: id(), why });
        }
        if traits.budget.is_some() && !traits.escalates && strategy != Strategy::OneForOne {
            return Some(SpecError::ParkingInGroup { id: id() });
        }
        let backoff = self.effective_backoff(budget);
        let may_restart = traits.restart != Restart::Temporary;
        if budget.0 == Limit::Unlimited && may_restart && backoff.is_none() {
            return Some(SpecError::UnlimitedWithoutBackoff { id: id() });
        }
        for limit in [Some(budget), self.effective_budget(budget)]
            .into_iter()
            .flatten()
        {
            let Limit::Counted { restarts, per } = limit.0 else {
                continue;
            };
            if backoff.is_some_and(|backoff| !backoff.reaches(restarts, per)) {
                return Some(SpecError::UnreachableLimit {
                    id: id(),
                    restarts,
                    per,
                });
            }
        }
        match traits.budget {
            Some(Budget(Limit::Parking | Limit::Unlimited)) => Some(SpecError::ParkingChild { id: id() }),
            Some(own) => own.fault(&traits.id),
            None => None,
        }
    }

    /// Its own budget under a supervisor with `budget`, defaults applied.
    pub(crate) fn effective_budget(&self, budget: Budget) -> Option<Budget> {
        self.traits
            .budget
            .or((budget.0 == Limit::Parking).then_some(crate::budget::CHILD_BUDGET))
    }

    fn effective_backoff(&self, budget: Budget) -> Option<Backoff> {
        self.traits
            .backoff
            .or((budget.0 == Limit::Parking).then_some(crate::budget::CHILD_BACKOFF))
    }

    /// The child as it will stand under a supervisor with `budget`: what was left open is filled in.
    pub(crate) fn under(mut self, budget: Budget) -> Seat {
        self.traits.budget = self.effective_budget(budget);
        self.traits.backoff = self.effective_backoff(budget);
        Seat {
            traits: Arc::new(self.traits),
            start: self.start,
        }
    }
}

impl Budget {
    pub(crate) fn fault(self, id: &str) -> Option<SpecError> {
        match self.0 {
            Limit::Counted { per, .. } if per.is_zero() => Some(SpecError::ZeroPeriod { id: id.to_owned() }),
            _ => None,
        }
    }
}

/// A finished specification, as supervisors keep it.
#[derive(Clone)]
pub(crate) struct Seat {
    pub(crate) traits: Arc<Traits>,
    pub(crate) start: Arc<dyn Launch>,
}

/// What an incarnation says after it has read its facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// It is up.
    Ready,
    /// There is nothing for it to do. It does not run, and that is no failure.
    Ignore,
}

/// A child in two steps. Every incarnation is a fresh value, so nothing is carried over from the one before.
pub trait Child: Send + 'static {
    /// Reads what it must know and repairs what is wrong. Siblings after it wait for this.
    ///
    /// # Errors
    ///
    /// Whatever kept it from coming up: a failed start.
    fn init(&mut self, ctx: &Context) -> impl Future<Output = Result<Init, Crash>> + Send;

    /// All that follows. May be dropped at any await.
    ///
    /// # Errors
    ///
    /// Whatever it could not cope with: a crash.
    fn run(&mut self, ctx: &Context) -> impl Future<Output = Result<Done, Crash>> + Send;
}

/// The specification of a [`Child`]: `fresh` makes the value of each incarnation, within the child's task. The readiness is
/// reported between its two steps.
pub fn child<C: Child>(id: impl Into<Arc<str>>, fresh: impl Fn() -> C + Send + Sync + 'static) -> ChildSpec {
    ChildSpec::new(id, move |ctx| {
        let mut child = fresh();
        async move {
            match child.init(&ctx).await? {
                Init::Ready => {
                    ctx.ready();
                    child.run(&ctx).await
                }
                Init::Ignore => {
                    ctx.ignore();
                    Ok(Done)
                }
            }
        }
    })
}

/// A tree that cannot work as it was described. Found before anything is started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Ids name children within their supervisor.
    #[error("supervisor `{supervisor}` has two children named `{id}`")]
    DuplicateId {
        /// The supervisor.
        supervisor: String,
        /// The id that is there twice.
        id: String,
    },
    /// A path with an empty link names nothing.
    #[error("a child has an empty id")]
    EmptyId,
    /// No window of zero length holds a restart.
    #[error("the restart budget of `{id}` has a period of zero")]
    ZeroPeriod {
        /// Whose budget it is.
        id: String,
    },
    /// No child beats that often.
    #[error("`{id}` has a heartbeat of zero")]
    ZeroHeartbeat {
        /// The child.
        id: String,
    },
    /// The back-off contradicts itself.
    #[error("the back-off of `{id}` cannot work: {why}")]
    BadBackoff {
        /// The child.
        id: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The child could crash for ever: its pauses are so long that the limit is never passed.
    #[error("`{id}` pauses too long to ever pass {restarts} restarts in {per:?}")]
    UnreachableLimit {
        /// The child.
        id: String,
        /// The limit's number.
        restarts: u32,
        /// The limit's period.
        per: Duration,
    },
    /// It could crash and be started again without end and without pause.
    #[error("`{id}` may be restarted without limit and has no back-off")]
    UnlimitedWithoutBackoff {
        /// The child.
        id: String,
    },
    /// Blocking code cannot be aborted; it can only be asked.
    #[error("`{id}` blocks its thread, so it cannot be killed at once")]
    BlockingKill {
        /// The child.
        id: String,
    },
    /// Under `RestForOne` and `OneForAll` children rest on one another, and a parked child carries nobody.
    #[error("`{id}` would be parked, which only `OneForOne` allows")]
    ParkingInGroup {
        /// The child or supervisor.
        id: String,
    },
    /// A single child has nothing to park but itself; its budget must be a number.
    #[error("the own budget of `{id}` must be a number of restarts")]
    ParkingChild {
        /// The child.
        id: String,
    },
}
