//! Giving orders to a supervisor, and looking at its children, from anywhere.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::board::{Board, Entry, Role};
use crate::child::{ChildSpec, Restart, Shutdown};
use crate::life::{Message, current};
use crate::orders::{ChildError, ChildRef, Order, Reply, Started, Whom};
use crate::snapshot::State;

/// A child as its supervisor lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildInfo {
    /// Its id.
    pub id: String,
    /// The incarnation that runs, if one does.
    pub child: Option<ChildRef>,
    /// Whether it waits to be started again, or is being started again.
    pub restarting: bool,
    /// Worker or some kind of supervisor.
    pub role: Role,
}

/// How many children a supervisor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Specified children, dead or alive; 1 for a dynamic supervisor.
    pub specs: usize,
    /// Those that run, without those that are being restarted.
    pub active: usize,
    /// Supervisors among them, dead or alive.
    pub supervisors: usize,
    /// Workers among them, dead or alive.
    pub workers: usize,
}

/// What was specified about a child, as far as it can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecView {
    /// Its id.
    pub id: String,
    /// When it is started again.
    pub restart: Restart,
    /// How it is stopped.
    pub shutdown: Shutdown,
    /// Worker or some kind of supervisor.
    pub role: Role,
    /// How long it may take to be ready.
    pub start_timeout: Option<Duration>,
    /// How long it may be silent.
    pub heartbeat: Option<Duration>,
}

/// The way to one supervisor's queue.
#[derive(Clone)]
pub(crate) struct Post {
    board: Arc<Board>,
    name: Arc<str>,
}

impl Post {
    pub(crate) fn to(board: Arc<Board>, name: Arc<str>) -> Post {
        Post { board, name }
    }

    fn gone(&self) -> ChildError {
        ChildError::NoSupervisor {
            path: self.name.to_string(),
        }
    }

    /// Puts an order into the queue and waits for its answer. Cancel safe; the order stays given.
    pub(crate) async fn order<T>(&self, order: impl FnOnce(Reply<T>) -> Order) -> Result<T, ChildError> {
        let (reply, answer) = oneshot::channel();
        self.board
            .try_send(Message::Order(order(reply)))
            .map_err(|()| self.gone())?;
        // Dropped unanswered: the supervisor ended first.
        answer.await.unwrap_or_else(|_| Err(self.gone()))
    }

    pub(crate) async fn terminate(&self, whom: Whom) -> Result<(), ChildError> {
        if let Some(caller) = current()
            && let Some(path) = self.path_of(whom.id())
            && (*caller.path == *path || caller.path.starts_with(&format!("{path}/")))
        {
            return Err(ChildError::WouldDeadlock {
                path: caller.path.to_string(),
            });
        }
        self.order(|reply| Order::Terminate { whom, reply }).await
    }

    fn path_of(&self, id: &str) -> Option<Arc<str>> {
        let mut book = self.board.book();
        let slot = book.slot_of(id)?;
        book.get(slot).map(|entry| entry.path.clone())
    }

    fn look<T>(&self, at: impl FnOnce(&mut crate::board::Book) -> T) -> Result<T, ChildError> {
        let mut book = self.board.book();
        if book.inbox.is_none() {
            return Err(self.gone());
        }
        Ok(at(&mut book))
    }

    pub(crate) fn which_children(&self) -> Result<Vec<ChildInfo>, ChildError> {
        self.look(|book| {
            let mut placed: Vec<_> = book
                .entries
                .iter()
                .flatten()
                .map(|entry| (entry.place, info(entry)))
                .collect();
            if book.role.is_unordered() {
                placed.sort_by(|(_, one), (_, other)| one.id.cmp(&other.id));
            } else {
                placed.sort_by_key(|(place, _)| *place);
            }
            placed.into_iter().map(|(_, info)| info).collect()
        })
    }

    pub(crate) fn count_children(&self) -> Result<Counts, ChildError> {
        self.look(|book| {
            let entries = || book.entries.iter().flatten();
            let workers = entries()
                .filter(|entry| entry.traits.role == Role::Worker)
                .count();
            let all = entries().count();
            Counts {
                specs: if book.role.is_unordered() { 1 } else { all },
                active: entries().filter(|entry| is_active(entry)).count(),
                supervisors: all - workers,
                workers,
            }
        })
    }

    pub(crate) fn childspec(&self, id: &str) -> Result<SpecView, ChildError> {
        self.look(|book| {
            let slot = book.slot_of(id)?;
            book.get(slot).map(|entry| SpecView {
                id: entry.traits.id.to_string(),
                restart: entry.traits.restart,
                shutdown: entry.traits.shutdown,
                role: entry.traits.role,
                start_timeout: entry.traits.start_timeout,
                heartbeat: entry.traits.heartbeat,
            })
        })?
        .ok_or_else(|| ChildError::NotFound { id: id.to_owned() })
    }
}

fn is_active(entry: &Entry) -> bool {
    entry.life.is_some() && matches!(entry.state, State::Running | State::Stopping)
}

fn info(entry: &Entry) -> ChildInfo {
    let restarting = matches!(entry.state, State::Starting | State::Backoff | State::Stuck);
    ChildInfo {
        id: entry.traits.id.to_string(),
        child: ChildRef::of(entry).filter(|_| is_active(entry)),
        restarting,
        role: entry.traits.role,
    }
}

/// Gives orders to a supervisor with a list of children. Cheap to clone; it follows the supervisor's restarts.
///
/// Orders that change something are carried out one at a time, in the order of their arrival, behind everything that happened
/// before them; dropping the future of one does not take it back. What only looks is answered at once, whatever the supervisor
/// is in the middle of.
///
/// ```
/// use ao_supervisor::{Budget, ChildError, ChildSpec, Done, Strategy, Supervisor};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let budget = Budget::restarts(3).per(Duration::from_secs(5));
/// let root = Supervisor::root("ao", Strategy::RestForOne, budget).start().await?;
/// let ao = root.tree().supervisor("ao").unwrap();
/// let serves = |id: &str| {
///     ChildSpec::new(id, |ctx| async move {
///         ctx.ready();
///         ctx.stopping().await;
///         Ok(Done)
///     })
/// };
/// ao.start_child(serves("store")).await?;
/// assert!(matches!(ao.start_child(serves("store")).await, Err(ChildError::AlreadyStarted(_))));
/// ao.terminate_child("store").await?;
/// assert_eq!(ao.count_children()?.active, 0);
/// ao.restart_child("store").await?;
/// # root.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SupervisorRef(Post);

impl SupervisorRef {
    pub(crate) fn new(post: Post) -> SupervisorRef {
        SupervisorRef(post)
    }

    /// Adds a child behind all others and starts it. Resolves when it is ready, with what it handed over; or when it has
    /// nothing to do: then it stays specified, unless it is temporary.
    ///
    /// # Errors
    ///
    /// [`ChildError::AlreadyStarted`], [`ChildError::AlreadyPresent`], [`ChildError::Spec`], [`ChildError::NotStarted`] (it is
    /// forgotten again), [`ChildError::NoSupervisor`].
    pub async fn start_child(&self, spec: impl Into<ChildSpec>) -> Result<Started, ChildError> {
        let spec = Box::new(spec.into());
        self.0.order(|reply| Order::Start { spec, reply }).await
    }

    /// Stops a child by its own `shutdown`, or keeps one from being started again. Resolves when it has ended; it stays
    /// specified, unless it is temporary. No crash: it counts nowhere. A child that does not run is a success.
    ///
    /// # Errors
    ///
    /// [`ChildError::NotFound`], [`ChildError::Stuck`], [`ChildError::NoSupervisor`], and [`ChildError::WouldDeadlock`] when
    /// the child itself, or one below it, asks: it would wait for its own end.
    pub async fn terminate_child(&self, id: &str) -> Result<(), ChildError> {
        self.0.terminate(Whom::Id(id.into())).await
    }

    /// Starts a specified child that does not run. Resolves when it is ready, as [`SupervisorRef::start_child`]. No restart: it
    /// counts nowhere.
    ///
    /// # Errors
    ///
    /// [`ChildError::Running`], [`ChildError::Restarting`], [`ChildError::NotFound`], [`ChildError::NotStarted`] (it stays
    /// specified), [`ChildError::NoSupervisor`].
    pub async fn restart_child(&self, id: &str) -> Result<Started, ChildError> {
        let id = id.into();
        self.0.order(|reply| Order::Restart { id, reply }).await
    }

    /// Forgets a specified child that does not run.
    ///
    /// # Errors
    ///
    /// [`ChildError::Running`], [`ChildError::Restarting`], [`ChildError::NotFound`], [`ChildError::NoSupervisor`].
    pub async fn delete_child(&self, id: &str) -> Result<(), ChildError> {
        let id = id.into();
        self.0.order(|reply| Order::Delete { id, reply }).await
    }

    /// What was specified about a child.
    ///
    /// # Errors
    ///
    /// [`ChildError::NotFound`], [`ChildError::NoSupervisor`].
    pub fn childspec(&self, id: &str) -> Result<SpecView, ChildError> {
        self.0.childspec(id)
    }

    /// Its children in start order.
    ///
    /// # Errors
    ///
    /// [`ChildError::NoSupervisor`].
    pub fn which_children(&self) -> Result<Vec<ChildInfo>, ChildError> {
        self.0.which_children()
    }

    /// How many there are.
    ///
    /// # Errors
    ///
    /// [`ChildError::NoSupervisor`].
    pub fn count_children(&self) -> Result<Counts, ChildError> {
        self.0.count_children()
    }
}
