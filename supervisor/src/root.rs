//! A running tree as its owner holds it: waiting for its end, and stopping it in order.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{Mutex, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::board::{Board, Entry};
use crate::child::Seat;
use crate::crew::ABORT_GRACE;
use crate::event::What;
use crate::life::{Birth, Life, Message};
use crate::reason::{Outcome, Reason};
use crate::snapshot::State;
use crate::supervisor::StartError;
use crate::tree::{Shared, Tree, millis};

/// A running tree. Dropping it aborts all its tasks, in no order; [`Root::stop`] is the orderly way.
#[must_use = "dropping the root aborts the tree"]
pub struct Root {
    task: AbortHandle,
    shared: Arc<Shared>,
    life: Arc<Life>,
    path: Arc<str>,
    told: Mutex<Told>,
    ended: OnceLock<Reason>,
    /// Its drop ends the supervisors' thread.
    _thread: Option<oneshot::Sender<()>>,
}

/// What the root's task tells.
struct Told {
    inbox: UnboundedReceiver<Message>,
    /// The task is gone; until then we wait for what it owned.
    patience: Option<Instant>,
}

/// How a tree ended by itself.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The root, then the child it gave up on, and so on down to the one that could not be kept alive.
    pub path: Vec<Link>,
}

/// One node on the way down to a root cause.
#[derive(Clone, Debug)]
pub struct Link {
    /// The node's path.
    pub path: String,
    /// How it ended.
    pub reason: Reason,
}

/// The way down, outermost first: `` `ao`: gave up on `ao/feed`; `ao/feed`: panicked at … ``.
impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, link) in self.path.iter().enumerate() {
            let between = if at == 0 { "" } else { "; " };
            let reason = match &link.reason {
                // Told by the next link.
                reason @ (Reason::GaveUp { .. } | Reason::ChildNotStarted { .. }) => reason.to_string(),
                reason => reason.text(),
            };
            write!(f, "{between}`{}`: {reason}", link.path)?;
        }
        Ok(())
    }
}

/// What an orderly stop could not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The paths of children that were aborted and still run. Only the end of the process ends them.
    pub stuck: Vec<String>,
}

impl Root {
    /// Starts the root's task. Dropping what this returns ends it again.
    pub(crate) fn launch(
        shared: Arc<Shared>,
        path: Arc<str>,
        seat: &Seat,
        thread: Option<oneshot::Sender<()>>,
    ) -> Root {
        let (inbox, told) = unbounded_channel();
        let life = Life::new(Birth {
            tree: shared.clone(),
            path: path.clone(),
            kind: seat.traits.kind,
            // Nobody is there to miss it.
            heartbeat: None,
            restarts: 0,
            last_exit: None,
            slot: 0,
            inbox,
            above: None,
            chaos: None,
        });
        let mut entry = Entry::at(path.clone(), seat.traits.clone(), None);
        entry.state = State::Starting;
        entry.starts = 1;
        entry.started = Some(Instant::now());
        entry.life = Some(life.clone());
        shared.roof.book().fill(vec![Some(entry)]);
        Root {
            task: seat.start.clone().launch(&life),
            shared,
            life,
            path,
            told: Mutex::new(Told {
                inbox: told,
                patience: None,
            }),
            ended: OnceLock::new(),
            _thread: thread,
        }
    }

    /// Waits until all children are ready, or the start has failed and all is stopped again.
    pub(crate) async fn started(self) -> Result<Root, StartError> {
        match self.hear().await {
            None => {
                self.roof(|entry| {
                    entry.state = State::Running;
                    entry.ready = Some(Instant::now());
                });
                Ok(self)
            }
            Some(_) if self.life.is_ignored() => Err(StartError::Ignored),
            Some(Reason::ChildNotStarted { path, reason }) => Err(StartError::Child {
                path: path.to_string(),
                reason: (*reason).clone(),
            }),
            Some(reason) => Err(StartError::Child {
                path: self.path.to_string(),
                reason,
            }),
        }
    }

    /// A view of the tree.
    pub fn tree(&self) -> Tree {
        Tree::new(self.shared.clone())
    }

    /// Stops all children, last one first, each given the time its specification names, and waits for all of them. A child that
    /// does not even end when aborted is waited for one second and reported.
    pub async fn stop(self) -> Report {
        self.life.ask_to_stop();
        if let Some(inner) = self.inner() {
            inner.send(Message::Stop);
        }
        self.end().await;
        Report {
            stuck: self.shared.all_stuck(),
        }
    }

    /// Waits until the tree has ended by itself. With every child's reason down to the root cause.
    ///
    /// Cancel safe; may be called by several tasks and again.
    pub async fn wait(&self) -> Ended {
        let mut path = Vec::new();
        let mut at = self.path.to_string();
        let mut reason = self.end().await;
        loop {
            let next = match &reason {
                Reason::GaveUp { path, reason } | Reason::ChildNotStarted { path, reason } => {
                    Some((path.to_string(), (**reason).clone()))
                }
                _ => None,
            };
            path.push(Link { path: at, reason });
            match next {
                Some((below, why)) => (at, reason) = (below, why),
                None => return Ended { path },
            }
        }
    }

    async fn end(&self) -> Reason {
        loop {
            if let Some(reason) = self.hear().await {
                return reason;
            }
        }
    }

    /// `None` when the tree is ready, the reason when it has ended. One of those who wait hears it and tells the others.
    async fn hear(&self) -> Option<Reason> {
        let mut told = self.told.lock().await;
        let outcome = loop {
            if let Some(reason) = self.ended.get() {
                return Some(reason.clone());
            }
            let message = match told.patience {
                None => told.inbox.recv().await,
                Some(until) => tokio::time::timeout_at(until, told.inbox.recv())
                    .await
                    .ok()
                    .flatten(),
            };
            match message {
                Some(Message::Ready { .. }) => return None,
                Some(Message::Exit { outcome, .. }) => break outcome,
                Some(Message::Draining { hopeless: false, .. }) => {
                    told.patience = Some(Instant::now() + ABORT_GRACE);
                }
                // Over, but something below does not end.
                _ => break self.life.take_outcome().unwrap_or(Outcome::Killed),
            }
        };
        let reason = match outcome.into_reason() {
            Reason::Normal if self.life.is_stopping() => Reason::Shutdown,
            reason => reason,
        };
        Some(self.ended.get_or_init(|| self.write_end(reason)).clone())
    }

    fn write_end(&self, reason: Reason) -> Reason {
        let mut uptime = Duration::ZERO;
        self.roof(|entry| {
            entry.state = if matches!(reason, Reason::GaveUp { .. }) {
                State::GaveUp
            } else {
                State::Terminated
            };
            entry.life = None;
            uptime = entry.ready.map_or(Duration::ZERO, |ready| ready.elapsed());
        });
        self.shared
            .emit(&self.path, Some(self.life.number()), || What::Exited {
                class: reason.class(),
                reason: reason.clone(),
                uptime_ms: millis(uptime),
            });
        self.shared.over();
        reason
    }

    fn roof(&self, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.shared.roof.book().get(0) {
            change(entry);
        }
    }

    fn inner(&self) -> Option<Arc<Board>> {
        self.shared.roof.book().get(0)?.traits.board.clone()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        self.life.incarnation.revoke();
        self.task.abort();
        self.shared.over();
    }
}
