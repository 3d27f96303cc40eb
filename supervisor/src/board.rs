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
    /// Has children that are added and taken away while it runs.
    Dynamic,
    /// Has one child per key of a set.
    Roster,
}

impl Role {
    /// Whether its children have no order among them.
    pub(crate) fn is_unordered(self) -> bool {
        matches!(self, Role::Dynamic | Role::Roster)
    }
}

pub(crate) struct Board(Mutex<Book>);

pub(crate) struct Book {
    pub(crate) role: Role,
    pub(crate) strategy: Strategy,
    /// `None` is a slot that can be used again. The order in which a supervisor starts them is their [`Entry::place`].
    pub(crate) entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    /// Slots by id. Of a supervisor with a fixed list made only when somebody asks for a child by its id: most never do.
    keys: Option<HashMap<Arc<str>, u32>>,
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
    /// Gone for a temporary child that has been started.
    pub(crate) start: Option<Arc<dyn Launch>>,
    /// Where it stands in the start order of its supervisor.
    pub(crate) place: u32,
    pub(crate) path: Arc<str>,
    pub(crate) state: State,
    /// The incarnation that runs or may still run.
    pub(crate) life: Option<Arc<Life>>,
    pub(crate) abort: Option<AbortHandle>,
    pub(crate) why: Option<Why>,
    pub(crate) aborted: bool,
    /// For a roster: its key is gone, it goes too.
    pub(crate) doomed: bool,
    /// What a person wants done with it once it has stopped.
    pub(crate) then: Then,
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

/// What becomes of a child that was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Nothing,
    StartAgain,
    Park,
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
            place: 0,
            aborted: false,
            doomed: false,
            then: Then::Nothing,
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
            keys: None,
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
        let _ = self.try_send(message); // nobody there: nothing to tell
    }

    /// The same, and tells whether one does.
    pub(crate) fn try_send(&self, message: Message) -> Result<(), ()> {
        match &self.book().inbox {
            Some(inbox) => inbox.send(message).map_err(drop),
            None => Err(()),
        }
    }
}

impl Book {
    /// How many children there are, whatever they are up to.
    pub(crate) fn count(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(crate) fn get(&mut self, slot: u32) -> Option<&mut Entry> {
        self.entries.get_mut(slot as usize)?.as_mut()
    }

    /// The entry of a slot and the supervisor's own window, both to be changed.
    pub(crate) fn get_with_window(&mut self, slot: u32) -> Option<(&mut Entry, Option<&mut Window>)> {
        let entry = self.entries.get_mut(slot as usize)?.as_mut()?;
        Some((entry, self.window.as_mut()))
    }

    /// Starts over with these children, in this order.
    pub(crate) fn fill(&mut self, mut entries: Vec<Option<Entry>>) {
        for (entry, place) in entries.iter_mut().zip(0..) {
            if let Some(entry) = entry {
                entry.place = place;
            }
        }
        self.entries = entries;
        self.free.clear();
        self.keys = None;
    }

    fn keys(&mut self) -> &mut HashMap<Arc<str>, u32> {
        let entries = &self.entries;
        self.keys.get_or_insert_with(|| {
            let known = entries.iter().zip(0..);
            known
                .filter_map(|(entry, slot)| Some((entry.as_ref()?.traits.id.clone(), slot)))
                .collect()
        })
    }

    /// Adds a child under its id.
    pub(crate) fn insert(&mut self, entry: Entry) -> u32 {
        self.keys();
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
        self.keys().insert(key, slot);
        slot
    }

    /// Takes a child out; its slot may be used again.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Entry> {
        let entry = self.entries.get_mut(slot as usize)?.take()?;
        if let Some(keys) = &mut self.keys {
            keys.remove(&entry.traits.id);
        }
        self.free.push(slot);
        Some(entry)
    }

    pub(crate) fn slot_of(&mut self, id: &str) -> Option<u32> {
        self.keys().get(id).copied()
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
