//! How an incarnation ended, in words that keep the root cause.

use std::any::Any;
use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Once};
use std::time::Duration;

use serde::{Serialize, Serializer};

/// The error a child ended with. Any error turns into one by `?`; its source chain is kept.
pub struct Crash(Box<dyn Error + Send + Sync>);

impl Crash {
    /// A crash without an error behind it.
    pub fn message(text: impl Into<String>) -> Crash {
        Crash(text.into().into())
    }

    /// The error itself, with its sources.
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Crash {
    fn from(error: E) -> Crash {
        Crash(Box::new(error))
    }
}

/// The error and its sources, outermost first, joined by `: `.
impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(&*self.0))
    }
}

impl fmt::Debug for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crash({self})")
    }
}

/// A panic caught at a child's boundary.
#[derive(Debug)]
pub struct Panic {
    /// What it said.
    pub message: String,
    /// `file:line:column`, where the panic hook could learn it.
    pub location: Option<String>,
}

/// Why an incarnation ended.
///
/// As an error it prints its own level and names what is below as its source; [`Reason::text`] prints all of it.
#[derive(Clone, Debug)]
pub enum Reason {
    /// It was done and said so.
    Normal,
    /// It ended because its supervisor asked it to.
    Shutdown,
    /// It was done, for a reason of its own: see [`crate::Context::done_because`].
    Term(Arc<str>),
    /// It returned an error.
    Error(Arc<Crash>),
    /// It panicked.
    Panic(Arc<Panic>),
    /// It was cut off at an await: aborted after its grace, or by somebody else.
    Killed,
    /// It missed its heartbeat.
    Hung {
        /// How long it had not been heard of.
        silent_for: Duration,
    },
    /// It was aborted and did not end: it may still be running.
    Stuck,
    /// It ended before it had said that it was ready.
    NeverReady,
    /// It was not ready in time.
    StartTimeout(Duration),
    /// Nothing was wrong with it: a person wants it down.
    ParkedByHand,
    /// A supervisor that could not start one of its children, and has stopped the others.
    ChildNotStarted {
        /// The child's path.
        path: Arc<str>,
        /// Why it did not start.
        reason: Arc<Reason>,
    },
    /// A supervisor that has spent its restarts, and has stopped all its children.
    GaveUp {
        /// The path of the child whose restart was one too many.
        path: Arc<str>,
        /// How that child had ended.
        reason: Arc<Reason>,
    },
}

impl Reason {
    /// Whether a transient child that ended so is left alone. A supervisor that gave up is of the normal class, as in OTP.
    pub fn class(&self) -> Class {
        match self {
            Reason::Normal
            | Reason::Shutdown
            | Reason::Term(_)
            | Reason::ParkedByHand
            | Reason::GaveUp { .. } => Class::Normal,
            _ => Class::Abnormal,
        }
    }

    /// The whole story on one line, down to the root cause: message and place of a panic, an error with all its sources,
    /// the reasons of the children that made a supervisor give up.
    pub fn text(&self) -> String {
        chain(self)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Normal => f.write_str("done"),
            Reason::Shutdown => f.write_str("stopped"),
            Reason::Term(term) => write!(f, "done: {term}"),
            Reason::Error(crash) => write!(f, "{}", crash.error()),
            Reason::Panic(panic) => match &panic.location {
                Some(place) => write!(f, "panicked at {place}: {}", panic.message),
                None => write!(f, "panicked: {}", panic.message),
            },
            Reason::Killed => f.write_str("killed"),
            Reason::Hung { silent_for } => write!(f, "hung, silent for {silent_for:?}"),
            Reason::Stuck => f.write_str("stuck, does not end although aborted"),
            Reason::NeverReady => f.write_str("ended before it was ready"),
            Reason::StartTimeout(limit) => write!(f, "not ready within {limit:?}"),
            Reason::ParkedByHand => f.write_str("parked by hand"),
            Reason::ChildNotStarted { path, .. } => write!(f, "child `{path}` did not start"),
            Reason::GaveUp { path, .. } => write!(f, "gave up on `{path}`"),
        }
    }
}

impl Error for Reason {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Reason::Error(crash) => crash.error().source(),
            Reason::ChildNotStarted { reason, .. } | Reason::GaveUp { reason, .. } => Some(&**reason),
            _ => None,
        }
    }
}

/// Serialised as its [`Reason::text`].
impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

/// Whether an end calls for a restart of a transient child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Done, stopped, or gave up in order.
    Normal,
    /// Everything else, being killed from outside included.
    Abnormal,
}

/// The end of one incarnation, as its successor and the snapshot see it.
#[derive(Clone, Debug)]
pub struct Exit {
    /// Why it ended.
    pub reason: Reason,
    /// The reason's class.
    pub class: Class,
    /// Which incarnation it was.
    pub incarnation: u64,
    /// When it ended, counted from the tree's start.
    pub at: Duration,
    /// How long it had been ready; zero if it never was.
    pub uptime: Duration,
    /// The span in which it ran, if somebody collected them.
    pub span: Option<tracing::Id>,
}

/// What a task reports when it is gone.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done,
    Term(Arc<str>),
    Ignored,
    Error(Crash),
    Panic(Panic),
    Killed,
    ChildNotStarted { path: Arc<str>, reason: Reason },
    GaveUp { path: Arc<str>, reason: Reason },
}

impl Outcome {
    /// The reason for whoever asks nothing about stops and handshakes.
    pub(crate) fn into_reason(self) -> Reason {
        match self {
            Outcome::Done | Outcome::Ignored => Reason::Normal,
            Outcome::Term(term) => Reason::Term(term),
            Outcome::Error(crash) => Reason::Error(Arc::new(crash)),
            Outcome::Panic(panic) => Reason::Panic(Arc::new(panic)),
            Outcome::Killed => Reason::Killed,
            Outcome::ChildNotStarted { path, reason } => Reason::ChildNotStarted {
                path,
                reason: Arc::new(reason),
            },
            Outcome::GaveUp { path, reason } => Reason::GaveUp {
                path,
                reason: Arc::new(reason),
            },
        }
    }
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}

thread_local! {
    /// Where the last panic of this thread happened. `catch_unwind` hands over the message only.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Makes panics leave their place behind. The hook that was there is called as before. Once a process.
pub(crate) fn remember_places() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let former = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string);
            // Fails only while the thread is being torn down, when nobody is left to ask.
            let _ = PLACE.try_with(|last| *last.borrow_mut() = place);
            former(info);
        }));
    });
}

/// Puts a caught panic into words.
pub(crate) fn caught(payload: &(dyn Any + Send)) -> Panic {
    let message = if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a value that is not text".to_owned()
    };
    Panic {
        message,
        location: PLACE.with_borrow_mut(Option::take),
    }
}
