//! A supervisor whose children are added while it runs, all after one template.

use std::future::Future;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::mpsc::UnboundedSender;

use crate::board::{Board, Role};
use crate::budget::{Backoff, Budget};
use crate::child::{ChildSpec, Restart};
use crate::context::Context;
use crate::handle::Post;
use crate::life::Message;
use crate::orders::{ChildError, ChildRef, Order, Started, Whom};
use crate::pool::{Pool, Source};
use crate::reason::{Crash, Reason, caught};
use crate::roster::described;
use crate::strategy::Strategy;
use crate::{ChildInfo, Counts};

/// Any number of children of one kind, described: OTP's `simple_one_for_one`, Elixir's `DynamicSupervisor`.
///
/// It has no children when it starts, unless [`Dynamic::reload`] says which are to be there. `A` is what tells them apart besides
/// their key. Give it to [`crate::Supervisor::child`]; give orders by [`Dynamic::handle`].
///
/// A child that has ended for good, or had nothing to do, is forgotten. When the supervisor is started again its children are
/// gone but for those that `reload` names.
///
/// ```
/// use ao_supervisor::{Budget, ChildSpec, Done, Dynamic, Restart, Strategy, Supervisor};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let budget = Budget::restarts(3).per(Duration::from_secs(5));
/// let jobs = Dynamic::new("jobs", budget, |key: &str, seconds: u64| {
///     ChildSpec::new(key, move |ctx| async move {
///         ctx.ready_with(seconds * 2);
///         ctx.stopping().await;
///         Ok(Done)
///     })
///     .restart(Restart::Transient)
/// });
/// let orders = jobs.handle();
/// let root = Supervisor::root("ao", Strategy::OneForOne, budget).child(jobs).start().await?;
///
/// let started = orders.start_child("one", 21).await?;
/// assert_eq!(*started.value.unwrap().downcast::<u64>().unwrap(), 42);
/// assert_eq!(orders.count_children()?.active, 1);
/// orders.terminate_child("one").await?;
/// assert_eq!(orders.count_children()?.workers, 0);
/// # root.stop().await;
/// # Ok(())
/// # }
/// ```
pub struct Dynamic<A> {
    id: Arc<str>,
    budget: Budget,
    backoff: Option<Backoff>,
    restart: Restart,
    max_children: Option<usize>,
    template: Arc<Template<A>>,
    reload: Option<Arc<dyn Reload>>,
    board: Arc<Board>,
}

type Template<A> = dyn Fn(&str, A) -> ChildSpec + Send + Sync;
pub(crate) type Feeder = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts, at each start of the pool, the children that are to be there again.
pub(crate) trait Reload: Send + Sync {
    fn feed(self: Arc<Self>, ctx: Context, to: UnboundedSender<Message>) -> Feeder;
}

struct Again<A, F> {
    keys: F,
    template: Arc<Template<A>>,
}

impl<A, F, T> Reload for Again<A, F>
where
    A: Send + 'static,
    F: Fn() -> T + Send + Sync + 'static,
    T: Future<Output = Result<Vec<(String, A)>, Crash>> + Send + 'static,
{
    fn feed(self: Arc<Self>, ctx: Context, to: UnboundedSender<Message>) -> Feeder {
        Box::pin(async move {
            let mut failures = 0;
            let found = loop {
                let reading = AssertUnwindSafe((self.keys)()).catch_unwind();
                let reason = match reading.await {
                    Ok(Ok(found)) => break found,
                    Ok(Err(crash)) => Reason::Error(Arc::new(crash)),
                    Err(payload) => Reason::Panic(Arc::new(caught(&*payload))),
                };
                crate::roster::cannot_read(&ctx, &reason, &mut failures).await;
            };
            for (key, args) in found {
                // Nobody waits for these: one that fails is started again like any other, or parked.
                let spec = described(&key, || named(&self.template, &key, args));
                let spec = Box::new(spec);
                let _ = to.send(Message::Order(Order::Revive { spec }));
            }
        })
    }
}

fn named<A>(template: &Arc<Template<A>>, key: &str, args: A) -> ChildSpec {
    let mut spec = template(key, args);
    spec.traits.id = key.into();
    spec
}

impl<A: Send + 'static> Dynamic<A> {
    /// A supervisor of children that `template` describes by key and `A`. A child's id is its key, whatever the template says.
    /// With [`Budget::parking`] each child has a budget of its own; else `budget` is over all of them, as in OTP, and past it
    /// the supervisor gives up.
    pub fn new(
        id: impl Into<Arc<str>>,
        budget: Budget,
        template: impl Fn(&str, A) -> ChildSpec + Send + Sync + 'static,
    ) -> Dynamic<A> {
        Dynamic {
            id: id.into(),
            budget,
            backoff: None,
            restart: Restart::Permanent,
            max_children: None,
            template: Arc::new(template),
            reload: None,
            board: Board::new(Role::Dynamic, Strategy::OneForOne),
        }
    }

    /// How many children there may be at once, those that wait to be started again included. Any number unless said.
    #[must_use]
    pub fn max_children(mut self, most: usize) -> Dynamic<A> {
        self.max_children = Some(most);
        self
    }

    /// Which children are to be there after each start of this supervisor, read from the facts. One of them that cannot start
    /// does not keep the others: it is started again by its budget. A read that fails is tried again, each time a little later.
    #[must_use]
    pub fn reload<F, T>(mut self, keys: F) -> Dynamic<A>
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<Vec<(String, A)>, Crash>> + Send + 'static,
    {
        self.reload = Some(Arc::new(Again {
            keys,
            template: self.template.clone(),
        }));
        self
    }

    /// As somebody's child: pauses between its own restarts.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Dynamic<A> {
        self.backoff = Some(backoff);
        self
    }

    /// As somebody's child: when it is itself started again; [`Restart::Permanent`] unless said.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Dynamic<A> {
        self.restart = restart;
        self
    }

    /// For orders. Valid at once; while the supervisor does not run every order is answered [`ChildError::NoSupervisor`]. It
    /// follows the supervisor's restarts.
    pub fn handle(&self) -> DynamicRef<A> {
        DynamicRef {
            post: Post::to(self.board.clone(), self.id.clone()),
            template: self.template.clone(),
            args: PhantomData,
        }
    }
}

impl<A: Send + 'static> From<Dynamic<A>> for ChildSpec {
    fn from(dynamic: Dynamic<A>) -> ChildSpec {
        let pool = Pool {
            budget: dynamic.budget,
            max_children: dynamic.max_children,
            source: Source::Orders(dynamic.reload),
        };
        let mut spec = pool.spec(dynamic.id, "dynamic", Role::Dynamic, dynamic.board);
        spec.traits.backoff = dynamic.backoff;
        spec.traits.restart = dynamic.restart;
        spec
    }
}

/// Gives orders to a [`Dynamic`] supervisor. Cheap to clone.
///
/// Orders that change something are carried out one at a time, in the order of their arrival. Dropping the future of one does
/// not take it back. What only looks is answered at once, whatever the supervisor is in the middle of.
pub struct DynamicRef<A> {
    post: Post,
    template: Arc<Template<A>>,
    args: PhantomData<fn(A)>,
}

impl<A> Clone for DynamicRef<A> {
    fn clone(&self) -> DynamicRef<A> {
        DynamicRef {
            post: self.post.clone(),
            template: self.template.clone(),
            args: PhantomData,
        }
    }
}

impl<A: Send + 'static> DynamicRef<A> {
    /// Starts a child. Resolves when it is ready; nothing is kept of one that does not come up or has nothing to do.
    ///
    /// # Errors
    ///
    /// [`ChildError::AlreadyStarted`], [`ChildError::AlreadyPresent`] (it waits to be started again, or is parked),
    /// [`ChildError::MaxChildren`], [`ChildError::Spec`], [`ChildError::NotStarted`], [`ChildError::NoSupervisor`].
    pub async fn start_child(&self, key: &str, args: A) -> Result<Started, ChildError> {
        let spec = Box::new(named(&self.template, key, args));
        self.post.order(|reply| Order::Start { spec, reply }).await
    }

    /// Stops a child by its own `shutdown`, or keeps one from being started again. Resolves when it has ended. No crash: it
    /// counts nowhere.
    ///
    /// # Errors
    ///
    /// [`ChildError::NotFound`], [`ChildError::Stuck`], [`ChildError::WouldDeadlock`], [`ChildError::NoSupervisor`].
    pub async fn terminate_child(&self, key: &str) -> Result<(), ChildError> {
        self.post.terminate(Whom::Id(key.into())).await
    }

    /// The same for exactly this incarnation, also while its child waits to be started again. One that is over is a success.
    ///
    /// # Errors
    ///
    /// As [`DynamicRef::terminate_child`]; [`ChildError::NotFound`] is a child of somebody else's, which is not touched.
    pub async fn terminate(&self, child: &ChildRef) -> Result<(), ChildError> {
        self.post.terminate(Whom::Exactly(child.clone())).await
    }

    /// Its children, by key.
    ///
    /// # Errors
    ///
    /// [`ChildError::NoSupervisor`].
    pub fn which_children(&self) -> Result<Vec<ChildInfo>, ChildError> {
        self.post.which_children()
    }

    /// How many there are. `specs` is 1: the template.
    ///
    /// # Errors
    ///
    /// [`ChildError::NoSupervisor`].
    pub fn count_children(&self) -> Result<Counts, ChildError> {
        self.post.count_children()
    }

    /// What was specified about a child, by its handle.
    ///
    /// # Errors
    ///
    /// [`ChildError::NotFound`] also for a handle of somebody else's; [`ChildError::NoSupervisor`].
    pub fn childspec(&self, child: &ChildRef) -> Result<crate::SpecView, ChildError> {
        let there = self.which_children()?;
        if there.iter().any(|info| info.child.as_ref() == Some(child)) {
            self.post.childspec(child.id())
        } else {
            Err(ChildError::NotFound {
                id: child.id().to_owned(),
            })
        }
    }
}
