//! What may be asked of a running supervisor, and who waits for the answer.
//!
//! An order that changes something goes into the supervisor's own queue, behind everything that has happened before, and is
//! served when its turn comes: one at a time, in the order of their arrival, and never while children are being started or
//! stopped as a group. Between two attempts of a group that cannot come up there is always a turn, so that a stop of the
//! child or of the supervisor ends a loop without end.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::board::{Entry, Then};
use crate::child::{ChildSpec, SpecError};
use crate::life::Incarnation;
use crate::reason::Reason;
use crate::snapshot::State;

/// Why an order was not carried out. Nothing was changed, unless the variant says otherwise.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChildError {
    /// A child of that id is specified and does not run, or waits to be started again.
    #[error("there is a child `{id}` already, which does not run")]
    AlreadyPresent {
        /// The id.
        id: String,
    },
    /// A child of that id runs.
    #[error("there is a child `{}` already", .0.id())]
    AlreadyStarted(ChildRef),
    /// It runs, which the order does not allow.
    #[error("`{id}` runs")]
    Running {
        /// The child.
        id: String,
    },
    /// It waits to be started again, or is being started again.
    #[error("`{id}` is being restarted")]
    Restarting {
        /// The child.
        id: String,
    },
    /// The supervisor has no such child.
    #[error("there is no child `{id}`")]
    NotFound {
        /// What was asked for.
        id: String,
    },
    /// The supervisor is not there, has ended, or ended before it came to the order.
    #[error("there is no supervisor `{path}`")]
    NoSupervisor {
        /// Its path.
        path: String,
    },
    /// The child that gave the order would wait for its own end.
    #[error("`{path}` would wait for its own end")]
    WouldDeadlock {
        /// The child.
        path: String,
    },
    /// A dynamic supervisor has as many children as it may.
    #[error("there are {most} children already, which is all there may be")]
    MaxChildren {
        /// Its limit.
        most: usize,
    },
    /// The specification does not work under this supervisor.
    #[error("the child cannot be added")]
    Spec(#[source] SpecError),
    /// It did not start. An added one is forgotten again, a restarted one stays specified and does not run.
    #[error("`{id}` did not start")]
    NotStarted {
        /// The child.
        id: String,
        /// Why.
        #[source]
        reason: Reason,
    },
    /// It was aborted and does not end. It will not be started again.
    #[error("`{id}` was aborted and does not end")]
    Stuck {
        /// The child.
        id: String,
    },
}

/// One incarnation of a child. It does not follow restarts: it is the one that was started, or none.
#[derive(Clone, Debug)]
pub struct ChildRef {
    path: Arc<str>,
    id: Arc<str>,
    incarnation: Incarnation,
}

impl ChildRef {
    /// The incarnation that runs in `entry`.
    pub(crate) fn of(entry: &Entry) -> Option<ChildRef> {
        let life = entry.life.as_ref()?;
        Some(ChildRef {
            path: entry.path.clone(),
            id: entry.traits.id.clone(),
            incarnation: life.incarnation.clone(),
        })
    }

    /// The child's id within its supervisor.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it stands in the tree.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its number.
    pub fn incarnation(&self) -> u64 {
        self.incarnation.number()
    }

    /// Whether it is this incarnation.
    pub(crate) fn is(&self, incarnation: &Incarnation) -> bool {
        self.incarnation.is(incarnation)
    }

    /// Whether it has ended or was given up. While it is stopping in good order it has not.
    pub fn is_over(&self) -> bool {
        self.incarnation.is_revoked()
    }
}

/// The same incarnation of the same tree.
impl PartialEq for ChildRef {
    fn eq(&self, other: &ChildRef) -> bool {
        self.incarnation.is(&other.incarnation)
    }
}

impl Eq for ChildRef {}

/// The answer to an order that starts a child.
#[derive(Debug)]
pub struct Started {
    /// The child; `None` when it had nothing to do.
    pub child: Option<ChildRef>,
    /// What it handed to [`crate::Context::ready_with`].
    pub value: Option<Value>,
}

/// What a child hands over when it says that it is ready: anything.
pub type Value = Box<dyn Any + Send>;

/// Who is meant.
#[derive(Debug)]
pub(crate) enum Whom {
    Id(Arc<str>),
    Exactly(ChildRef),
}

impl Whom {
    pub(crate) fn id(&self) -> &Arc<str> {
        match self {
            Whom::Id(id) => id,
            Whom::Exactly(child) => &child.id,
        }
    }
}

pub(crate) type Reply<T> = oneshot::Sender<Result<T, ChildError>>;

pub(crate) enum Order {
    Start {
        spec: Box<ChildSpec>,
        reply: Reply<Started>,
    },
    /// As `Start`, but one that does not come up is started again.
    Revive {
        spec: Box<ChildSpec>,
    },
    Restart {
        id: Arc<str>,
        reply: Reply<Started>,
    },
    Terminate {
        whom: Whom,
        reply: Reply<()>,
    },
    Delete {
        id: Arc<str>,
        reply: Reply<()>,
    },
    /// A person's: stops the child in good order, then does something with it.
    Stop {
        id: Arc<str>,
        then: Then,
    },
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, id) = match self {
            Order::Start { spec, .. } => ("start", spec.id()),
            Order::Revive { spec } => ("revive", spec.id()),
            Order::Restart { id, .. } => ("restart", &**id),
            Order::Terminate { whom, .. } => ("terminate", &**whom.id()),
            Order::Delete { id, .. } => ("delete", &**id),
            Order::Stop { id, .. } => ("stop", &**id),
        };
        write!(f, "Order({verb} {id})")
    }
}

/// The order that is being carried out: which child it waits for, and who waits for it.
enum Waiting {
    /// For a child to be ready.
    Start {
        /// It is forgotten if it does not come up.
        added: bool,
        reply: Reply<Started>,
    },
    /// For a child to be gone.
    End { reply: Reply<()> },
}

/// The orders that have not been carried out yet. Dropped, everybody is told that the supervisor is gone.
#[derive(Default)]
pub(crate) struct Desk {
    queue: VecDeque<Order>,
    current: Option<(u32, Waiting)>,
}

/// What the end of an awaited child means for its supervisor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// Nobody waited for it.
    No,
    /// Somebody waited, and its specification stays.
    Kept,
    /// It was added and did not come up: its specification goes.
    Discarded,
}

/// What whoever waited is told.
pub(crate) enum Answer {
    Nobody,
    Ended(Reply<()>),
    Started(Reply<Started>, Result<Started, ChildError>),
}

impl Answer {
    /// One who has gone away needs no answer.
    pub(crate) fn send(self) {
        match self {
            Answer::Nobody => {}
            Answer::Ended(reply) => drop(reply.send(Ok(()))),
            Answer::Started(reply, answer) => drop(reply.send(answer)),
        }
    }
}

impl Desk {
    pub(crate) fn put(&mut self, order: Order) {
        self.queue.push_back(order);
    }

    /// The next order, if none is being carried out.
    pub(crate) fn next(&mut self) -> Option<Order> {
        match self.current {
            None => self.queue.pop_front(),
            Some(_) => None,
        }
    }

    pub(crate) fn awaits_start(&mut self, slot: u32, added: bool, reply: Reply<Started>) {
        self.current = Some((slot, Waiting::Start { added, reply }));
    }

    pub(crate) fn awaits_end(&mut self, slot: u32, reply: Reply<()>) {
        self.current = Some((slot, Waiting::End { reply }));
    }

    /// Whether an order is being carried out, on another child than this one.
    pub(crate) fn is_busy_elsewhere(&self, slot: u32) -> bool {
        self.current.as_ref().is_some_and(|(at, _)| *at != slot)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.current.is_none()
    }

    /// Whether an order waits for this child to come up.
    pub(crate) fn is_starting(&self, slot: u32) -> bool {
        matches!(&self.current, Some((at, Waiting::Start { .. })) if *at == slot)
    }

    fn take(&mut self, slot: u32) -> Option<Waiting> {
        match self.current.take() {
            Some((at, waiting)) if at == slot => Some(waiting),
            other => {
                self.current = other;
                None
            }
        }
    }

    /// The child in `slot` is ready. A caller that has gone away meanwhile is no fault: the child stays.
    pub(crate) fn ready(&mut self, slot: u32, child: Option<ChildRef>, value: Option<Value>) {
        if !self.is_starting(slot) {
            return;
        }
        if let Some(Waiting::Start { reply, .. }) = self.take(slot) {
            let _ = reply.send(Ok(Started { child, value }));
        }
    }

    /// The child in `slot` is over; `failed` is why, if it did not come up for another reason than having nothing to do. The
    /// answer is for whoever waits, to be sent when the board shows what it says.
    pub(crate) fn over(&mut self, slot: u32, id: &str, failed: Option<Reason>) -> (Awaited, Answer) {
        match self.take(slot) {
            None => (Awaited::No, Answer::Nobody),
            Some(Waiting::End { reply }) => (Awaited::Kept, Answer::Ended(reply)),
            Some(Waiting::Start { reply, added }) => {
                let answer = match failed {
                    None => Ok(Started {
                        child: None,
                        value: None,
                    }),
                    Some(reason) => Err(ChildError::NotStarted {
                        id: id.to_owned(),
                        reason,
                    }),
                };
                let awaited = if added && answer.is_err() {
                    Awaited::Discarded
                } else {
                    Awaited::Kept
                };
                (awaited, Answer::Started(reply, answer))
            }
        }
    }

    /// The child in `slot` was aborted and does not end.
    pub(crate) fn stuck(&mut self, slot: u32, id: &str, reason: Reason) -> Awaited {
        match self.take(slot) {
            None => Awaited::No,
            Some(Waiting::End { reply }) => {
                let _ = reply.send(Err(ChildError::Stuck { id: id.to_owned() }));
                Awaited::Kept
            }
            Some(Waiting::Start { reply, .. }) => {
                let id = id.to_owned();
                let _ = reply.send(Err(ChildError::NotStarted { id, reason }));
                Awaited::Kept
            }
        }
    }
}

/// What keeps an order from being carried out on a child that is in this state.
pub(crate) fn obstacle(id: &str, state: State) -> Option<ChildError> {
    let id = id.to_owned();
    match state {
        State::Running | State::Stopping => Some(ChildError::Running { id }),
        State::Starting | State::Backoff | State::Stuck => Some(ChildError::Restarting { id }),
        State::NotStarted
        | State::Parked
        | State::Completed
        | State::Ignored
        | State::Terminated
        | State::GaveUp => None,
    }
}
