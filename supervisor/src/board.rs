//! What a supervisor knows about its children, where others may look without asking it.
//!
//! A board outlives the incarnations of its supervisor. Its lock is taken by the supervisor's loop and by readers of
//! the tree, for as long as it takes to copy or change a few fields, and never while foreign code runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::budget::Window;
use crate::child::{Launch, Seat, Traits};
use crate::life::{Chaos, Life, Message};
use crate::reason::{Exit, Reason};
use crate::snapshot::State;
use crate::strategy::Strategy;

/// What a node of the tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Does the work.
    Worker,
    /// Has a fixed list of children.
    Supervisor,
    /// Has one child per key of a set.
    Roster,
}

pub(crate) struct Board(Mutex<Book>);

pub(crate) struct Book {
    pub(crate) role: Role,
    pub(crate) strategy: Strategy,
    /// In start order for a supervisor, in no order for a roster. `None` is a slot that can be used again.
    pub(crate) entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    keys: HashMap<Arc<str>, u32>,
    /// The supervisor's own restart budget; a parking one has none.
    pub(crate) window: Option<Window>,
    /// Trouble ordered for children that were not running.
    armed: Vec<(Arc<str>, Chaos)>,
    /// The running incarnation's queue.
    pub(crate) inbox: Option<UnboundedSender<Message>>,
}

/// Why a child is being ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Why {
    Asked,
    Hung(Duration),
    StartTimeout(Duration),
    /// Nobody ended it: its task is gone, something it owned is not.
    Draining,
}

pub(crate) struct Entry {
    pub(crate) traits: Arc<Traits>,
    /// Gone for a temporary child of a roster that has been started.
    pub(crate) start: Option<Arc<dyn Launch>>,
    pub(crate) path: Arc<str>,
    pub(crate) state: State,
    /// The incarnation that runs or may still run.
    pub(crate) life: Option<Arc<Life>>,
    pub(crate) abort: Option<AbortHandle>,
    pub(crate) why: Option<Why>,
    pub(crate) aborted: bool,
    /// For a roster: its key is gone, it goes too.
    pub(crate) doomed: bool,
    /// When the supervisor must look at it again, whatever its state calls for.
    pub(crate) deadline: Option<Instant>,
    pub(crate) started: Option<Instant>,
    pub(crate) ready: Option<Instant>,
    pub(crate) starts: u64,
    /// Restarts in a row, for the back-off.
    pub(crate) tries: u32,
    pub(crate) window: Option<Box<Window>>,
    pub(crate) last_exit: Option<Arc<Exit>>,
    pub(crate) park: Option<Box<Park>>,
    /// For a roster: how many wake-ups its set had had when this child ended for good.
    pub(crate) ended_at_wake: u64,
}

pub(crate) struct Park {
    pub(crate) reason: Reason,
    /// How often in a row.
    pub(crate) times: u32,
    /// Tried again without having been resumed: the next crash parks it at once.
    pub(crate) on_trial: bool,
}

impl Entry {
    /// A child below the supervisor whose path is `above`.
    pub(crate) fn new(seat: &Seat, above: &str) -> Entry {
        let path = format!("{above}/{}", seat.traits.id).into();
        Entry::at(path, seat.traits.clone(), Some(seat.start.clone()))
    }

    pub(crate) fn at(path: Arc<str>, traits: Arc<Traits>, start: Option<Arc<dyn Launch>>) -> Entry {
        Entry {
            path,
            window: traits
                .budget
                .and_then(crate::budget::Budget::window)
                .map(Box::new),
            start,
            traits,
            state: State::NotStarted,
            life: None,
            abort: None,
            why: None,
            aborted: false,
            doomed: false,
            deadline: None,
            started: None,
            ready: None,
            starts: 0,
            tries: 0,
            last_exit: None,
            park: None,
            ended_at_wake: 0,
        }
    }

    pub(crate) fn is_parked(&self) -> bool {
        self.park.as_ref().is_some_and(|park| !park.on_trial)
    }

    /// How often it was started again.
    pub(crate) fn restarts(&self) -> u64 {
        self.starts.saturating_sub(1)
    }
}

impl Board {
    pub(crate) fn new(role: Role, strategy: Strategy) -> Arc<Board> {
        Arc::new(Board(Mutex::new(Book {
            role,
            strategy,
            entries: Vec::new(),
            free: Vec::new(),
            keys: HashMap::new(),
            window: None,
            armed: Vec::new(),
            inbox: None,
        })))
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message into the queue of the incarnation that runs, if one does.
    pub(crate) fn send(&self, message: Message) {
        if let Some(inbox) = &self.book().inbox {
            let _ = inbox.send(message);
        }
    }
}

impl Book {
    pub(crate) fn get(&mut self, slot: u32) -> Option<&mut Entry> {
        self.entries.get_mut(slot as usize)?.as_mut()
    }

    /// The entry of a slot and the supervisor's own window, both to be changed.
    pub(crate) fn get_with_window(&mut self, slot: u32) -> Option<(&mut Entry, Option<&mut Window>)> {
        let entry = self.entries.get_mut(slot as usize)?.as_mut()?;
        Some((entry, self.window.as_mut()))
    }

    /// Starts over with these children, in this order.
    pub(crate) fn fill(&mut self, entries: Vec<Option<Entry>>) {
        self.entries = entries;
        self.free.clear();
        self.keys.clear();
    }

    /// Adds a roster's child under its id.
    pub(crate) fn insert(&mut self, entry: Entry) -> u32 {
        let key = entry.traits.id.clone();
        let slot = match self.free.pop() {
            Some(slot) => {
                self.entries[slot as usize] = Some(entry);
                slot
            }
            None => {
                self.entries.push(Some(entry));
                u32::try_from(self.entries.len() - 1)
                    .expect("no machine holds four thousand million children")
            }
        };
        self.keys.insert(key, slot);
        slot
    }

    /// Takes a child out. A roster's slot may be used again; a supervisor's stays empty, since its order counts.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Entry> {
        let entry = self.entries.get_mut(slot as usize)?.take()?;
        if self.keys.remove(&entry.traits.id).is_some() {
            self.free.push(slot);
        }
        Some(entry)
    }

    pub(crate) fn slot_of(&self, key: &str) -> Option<u32> {
        self.keys.get(key).copied()
    }

    pub(crate) fn arm(&mut self, id: Arc<str>, chaos: Chaos) {
        self.armed.retain(|(armed, _)| *armed != id);
        self.armed.push((id, chaos));
    }

    /// Takes the trouble that was ordered for the next incarnation of this child. None is waiting for one that runs.
    pub(crate) fn disarm(&mut self, slot: u32) -> Option<Chaos> {
        if self.armed.is_empty() {
            return None;
        }
        let entry = self.get(slot).filter(|entry| entry.life.is_none())?;
        let id = entry.traits.id.clone();
        let at = self.armed.iter().position(|(armed, _)| *armed == id)?;
        Some(self.armed.swap_remove(at).1)
    }
}
