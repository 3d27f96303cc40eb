//! What a child sees of its supervisor.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::child::Done;
use crate::handle::SupervisorRef;
use crate::life::{Incarnation, Life};
use crate::reason::Exit;
use crate::tree::Tree;

/// One incarnation's line to its supervisor. Cheap to clone; clones that outlive the child do nothing.
#[derive(Clone)]
pub struct Context(Arc<Life>);

impl Context {
    pub(crate) fn new(life: Arc<Life>) -> Context {
        Context(life)
    }

    pub(crate) fn life(&self) -> &Arc<Life> {
        &self.0
    }

    /// Says that this child is up: the next sibling may start. The second call and all later ones do nothing.
    pub fn ready(&self) {
        self.0.ready(None);
    }

    /// [`Context::ready`], with something for whoever gave the order to start this child: it comes back unchanged in
    /// [`crate::Started::value`]. Where nobody waits for it, it is dropped.
    pub fn ready_with<T: Any + Send>(&self, value: T) {
        self.0.ready(Some(Box::new(value)));
    }

    /// Says, before being ready, that there is nothing to do. The child must then return `Ok(Done)`; it counts as ignored,
    /// which is neither a crash nor a failed start.
    pub fn ignore(&self) {
        self.0.ignore();
    }

    /// A normal end with a reason of its own, for the tree and its readers to show: `return Ok(ctx.done_because("merged"))`. It
    /// counts as [`Done`] in every way.
    pub fn done_because(&self, term: impl Into<Arc<str>>) -> Done {
        self.0.done_because(term.into());
        Done
    }

    /// Resolves when the supervisor has asked this child to stop, at once if it already has.
    ///
    /// Cancel safe: a request is never lost, however often this future is dropped and made again.
    pub async fn stopping(&self) {
        self.0.stopping().await;
    }

    /// Whether the supervisor has asked this child to stop.
    pub fn is_stopping(&self) -> bool {
        self.0.is_stopping()
    }

    /// The tree the child stands in.
    pub fn tree(&self) -> Tree {
        Tree::new(self.0.tree.clone())
    }

    /// The child's own supervisor, for orders. `None` where children are added in another way: see [`Tree::supervisor`].
    pub fn supervisor(&self) -> Option<SupervisorRef> {
        self.tree().supervisor_of(&self.0.path)
    }

    /// This run of the child; hand it to whoever writes on its behalf.
    pub fn incarnation(&self) -> &Incarnation {
        &self.0.incarnation
    }

    /// Where the child stands in the tree: the ids from the root down, joined by `/`.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// Says that the child is alive. One atomic store. Due within the child's heartbeat, counted from ready; twice as often is
    /// good advice.
    pub fn beat(&self) {
        self.0.beat();
    }

    /// Awaits `future` and beats meanwhile, at least every half of the heartbeat. Does not beat for code that does not yield.
    ///
    /// As cancel safe as `future`.
    pub async fn beating<F: Future>(&self, future: F) -> F::Output {
        let Some(heartbeat) = self.0.heartbeat else {
            return future.await;
        };
        let mut future = pin!(future);
        loop {
            self.beat();
            let next = self.0.tree.next_beat(heartbeat);
            if let Ok(output) = tokio::time::timeout_at(next, future.as_mut()).await {
                self.beat();
                return output;
            }
        }
    }

    /// Awaits `future` for at most `limit`, and allows itself to be silent for as long. The heartbeat runs on as soon as this
    /// returns or is dropped.
    ///
    /// As cancel safe as `future`.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] when the time is over; `future` has been dropped, how far it came is unknown.
    pub async fn within<F: Future>(&self, limit: Duration, future: F) -> Result<F::Output, Elapsed> {
        let _silence = Silence::begin(&self.0, limit);
        tokio::time::timeout(limit, future)
            .await
            .map_err(|_| Elapsed { limit })
    }

    /// Runs `future` beside the child as a part of it: it is aborted when the child ends in whatever way, and the child's exit
    /// is reported only when it is gone. Its panic is logged and seen by whoever awaits the handle; it does not end the
    /// child. After the child's end nothing is run and the handle answers cancelled.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.0.spawn(&tokio::runtime::Handle::current(), future)
    }

    /// How the incarnation before this one ended. `None` for the first, and for the first under a supervisor that was itself
    /// started again.
    pub fn last_exit(&self) -> Option<&Exit> {
        self.0.last_exit.as_deref()
    }

    /// How often this child had been started again when this incarnation began. Starts from 0 when its supervisor does.
    pub fn restart_count(&self) -> u64 {
        self.0.restarts
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({} #{})", self.path(), self.0.number())
    }
}

/// A wait was cut off by [`Context::within`]. Says nothing about what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not done within {limit:?}")]
pub struct Elapsed {
    /// How long was waited.
    pub limit: Duration,
}

/// A declared silence. Ends when dropped, so also when the child's wait is cancelled.
struct Silence<'a> {
    life: &'a Life,
    until: u64,
    former: u64,
}

impl<'a> Silence<'a> {
    fn begin(life: &'a Life, limit: Duration) -> Silence<'a> {
        let until = life
            .tree
            .now_ms()
            .saturating_add(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        Silence {
            life,
            until,
            former: life.suspend(until),
        }
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        self.life.unsuspend(self.until, self.former);
    }
}
