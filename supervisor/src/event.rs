//! What happened in a tree, in order, each with the next number.
//!
//! Sending never waits for a reader. A reader that is too slow is told how many events it missed; a snapshot taken then
//! carries the number from which to go on.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::broadcast;
use tracing::level_filters::LevelFilter;

use crate::reason::{Class, Reason};

/// How many events a slow reader may be behind. A crash of a hundred children makes about four hundred.
const BACKLOG: usize = 1024;

/// One thing that happened to one node of the tree. Times are milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Counts from 1 without a gap over the whole tree.
    pub seq: u64,
    /// When, counted from the tree's start.
    pub at_ms: u64,
    /// Whom it happened to.
    pub path: Arc<str>,
    /// Which incarnation it happened to, if it happened to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What can happen to a child. For one incarnation `Starting` comes before `Ready` before the end.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A task was made.
    Starting,
    /// It said that it is up.
    Ready {
        /// How long that took.
        after_ms: u64,
    },
    /// It said that there is nothing to do.
    Ignored,
    /// It ended, or was given up, before it was ready.
    StartFailed {
        /// Why.
        reason: Reason,
    },
    /// It ended without having been asked to.
    Exited {
        /// Why.
        reason: Reason,
        /// Normal or not.
        class: Class,
        /// How long it had been ready.
        uptime_ms: u64,
    },
    /// It will be started again after a pause.
    Backoff {
        /// The pause.
        delay_ms: u64,
        /// The how-manieth restart in a row this will be, from 1.
        n: u32,
    },
    /// It is started again now.
    Restarting {
        /// The how-manieth restart it is, from 1.
        count: u64,
    },
    /// It is past its own budget and stays down.
    Parked {
        /// What ended it the last time.
        reason: Reason,
        /// When it is tried again without being asked; `None` is never.
        retry_in_ms: Option<u64>,
    },
    /// The restart of a child would be one too many; told of the supervisor.
    IntensityReached {
        /// The child.
        child: Arc<str>,
        /// How it had ended.
        reason: Reason,
    },
    /// It is asked to stop, or aborted if that is its way.
    Terminating,
    /// It ended after it was asked to.
    Stopped,
    /// It ended after it was asked to, but not well. Never a cause for a restart.
    ShutdownError {
        /// How.
        reason: Reason,
    },
    /// It was aborted and goes on running. Its incarnation is revoked.
    Stuck,
    /// It missed its heartbeat.
    Hung {
        /// How long it had been silent.
        silent_ms: u64,
    },
    /// A supervisor has spent its restarts and stopped its children.
    GaveUp {
        /// Its last child's story.
        reason: Reason,
    },
    /// A supervisor has started all its children.
    SupervisorStarted,
    /// A supervisor has stopped all its children.
    SupervisorStopped,
    /// A child was added to a running supervisor.
    ChildAdded,
    /// A child was taken from a running supervisor.
    ChildRemoved,
}

impl What {
    /// The word used when serialised.
    pub fn as_str(&self) -> &'static str {
        match self {
            What::Starting => "starting",
            What::Ready { .. } => "ready",
            What::Ignored => "ignored",
            What::StartFailed { .. } => "start_failed",
            What::Exited { .. } => "exited",
            What::Backoff { .. } => "backoff",
            What::Restarting { .. } => "restarting",
            What::Parked { .. } => "parked",
            What::IntensityReached { .. } => "intensity_reached",
            What::Terminating => "terminating",
            What::Stopped => "stopped",
            What::ShutdownError { .. } => "shutdown_error",
            What::Stuck => "stuck",
            What::Hung { .. } => "hung",
            What::GaveUp { .. } => "gave_up",
            What::SupervisorStarted => "supervisor_started",
            What::SupervisorStopped => "supervisor_stopped",
            What::ChildAdded => "child_added",
            What::ChildRemoved => "child_removed",
        }
    }

    /// Why it happened, where there is a reason.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            What::StartFailed { reason }
            | What::Exited { reason, .. }
            | What::Parked { reason, .. }
            | What::IntensityReached { reason, .. }
            | What::ShutdownError { reason }
            | What::GaveUp { reason } => Some(reason),
            _ => None,
        }
    }

    /// In how many milliseconds the child is tried again, where that is known.
    pub fn retry_in_ms(&self) -> Option<u64> {
        match self {
            What::Backoff { delay_ms, .. } => Some(*delay_ms),
            What::Parked { retry_in_ms, .. } => *retry_in_ms,
            _ => None,
        }
    }
}

/// A reader of events.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Event>);

/// What a reader of events hears.
#[derive(Clone, Debug)]
pub enum Heard {
    /// The next event.
    Event(Event),
    /// This many events were missed. Take a snapshot and go on from its number; what this reader hears next may be older.
    Lagged(u64),
}

impl Events {
    /// The next event, or how many were missed. `None` once the tree has ended.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.0.recv().await {
            Ok(event) => Some(Heard::Event(event)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Heard::Lagged(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// Numbers and hands out the events of one tree.
pub(crate) struct Bus(Mutex<Line>);

struct Line {
    seq: u64,
    /// Made when the first reader comes: a tree nobody listens to keeps no backlog.
    readers: Option<broadcast::Sender<Event>>,
    over: bool,
}

impl Bus {
    pub(crate) fn new() -> Bus {
        Bus(Mutex::new(Line {
            seq: 0,
            readers: None,
            over: false,
        }))
    }

    fn line(&self) -> std::sync::MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an event; words are found for it only if somebody listens. Returns its number.
    pub(crate) fn send(
        &self,
        at_ms: impl FnOnce() -> u64,
        path: &Arc<str>,
        incarnation: Option<u64>,
        what: impl FnOnce() -> What,
    ) -> u64 {
        let logged = LevelFilter::current() != LevelFilter::OFF;
        let mut line = self.line();
        line.seq += 1;
        let seq = line.seq;
        let readers = line
            .readers
            .as_ref()
            .filter(|readers| readers.receiver_count() > 0);
        if readers.is_none() && !logged {
            return seq;
        }
        let event = Event {
            seq,
            at_ms: at_ms(),
            path: path.clone(),
            incarnation,
            what: what(),
        };
        match readers {
            // Under the lock, so that numbers arrive in order. Sending to a broadcast channel never waits.
            Some(readers) if !logged => {
                let _ = readers.send(event);
            }
            Some(readers) => {
                let _ = readers.send(event.clone());
                drop(line);
                event.log();
            }
            None => {
                drop(line);
                event.log();
            }
        }
        seq
    }

    pub(crate) fn seq(&self) -> u64 {
        self.line().seq
    }

    pub(crate) fn subscribe(&self) -> Events {
        let mut line = self.line();
        if line.over {
            return Events(broadcast::channel(1).1);
        }
        Events(
            line.readers
                .get_or_insert_with(|| broadcast::channel(BACKLOG).0)
                .subscribe(),
        )
    }

    /// The tree has ended: readers hear what is left and then the end.
    pub(crate) fn close(&self) {
        let mut line = self.line();
        line.over = true;
        line.readers = None;
    }
}

impl Event {
    fn log(&self) {
        let Event {
            seq,
            path,
            incarnation,
            what,
            ..
        } = self;
        let path = &**path;
        macro_rules! line {
            ($level:ident, $($rest:tt)+) => { tracing::$level!(seq, path, incarnation, $($rest)+) };
        }
        let error = |reason: &Reason| -> Box<dyn std::error::Error + 'static> { Box::new(reason.clone()) };
        match what {
            What::Starting => line!(debug, "starting"),
            What::Ready { after_ms } => line!(debug, after_ms, "ready"),
            What::Ignored => line!(debug, "nothing to do"),
            What::StartFailed { reason } => line!(warn, error = &*error(reason), "did not start"),
            What::Exited {
                reason,
                class: Class::Normal,
                uptime_ms,
            } => {
                line!(debug, %reason, uptime_ms, "ended");
            }
            What::Exited {
                reason, uptime_ms, ..
            } => line!(warn, error = &*error(reason), uptime_ms, "crashed"),
            What::Backoff { delay_ms, n } => line!(debug, delay_ms, n, "will be started again"),
            What::Restarting { count } => line!(info, count, "started again"),
            What::Parked { reason, retry_in_ms } => {
                line!(error, error = &*error(reason), retry_in_ms, "parked");
            }
            What::IntensityReached { child, reason } => {
                line!(
                    error,
                    child = &**child,
                    error = &*error(reason),
                    "out of restarts"
                );
            }
            What::Terminating => line!(debug, "stopping"),
            What::Stopped => line!(debug, "stopped"),
            What::ShutdownError { reason } => line!(warn, error = &*error(reason), "did not stop well"),
            What::Stuck => line!(error, "stuck: aborted, but still running"),
            What::Hung { silent_ms } => line!(warn, silent_ms, "hung"),
            What::GaveUp { reason } => line!(error, error = &*error(reason), "gave up"),
            What::SupervisorStarted => line!(debug, "all children started"),
            What::SupervisorStopped => line!(debug, "all children stopped"),
            What::ChildAdded => line!(debug, "added"),
            What::ChildRemoved => line!(debug, "removed"),
        }
    }
}
