//! Finds out who is silent, on a thread of its own with a clock of its own.
//!
//! It only reports: the supervisor looks again and acts. A supervisor that does not do so within a second deadline is itself
//! held up, which nobody but this thread would notice; it says so, and ends the process if it was told to. A check that comes
//! late itself (the machine slept, the process was stopped) proves nothing: whoever was to be heard of could not beat either.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::life::Life;
use crate::tree::{Shared, millis};

/// What the watchdog does about a supervisor that does not take a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unheard {
    /// Says so in the log.
    Log,
    /// Says so in the log and ends the process with this status: whatever is outside starts it again.
    Exit(u8),
}

/// How long a supervisor may take to act on a report. It does nothing but read its queue.
const ACT: Duration = Duration::from_secs(2);

/// How late a check may come and still count.
pub(crate) const LATE: Duration = Duration::from_millis(50);

pub(crate) struct Watchdog {
    watched: Mutex<Watched>,
    changed: Condvar,
    unheard: Unheard,
}

#[derive(Default)]
struct Watched {
    /// By when each is looked at, in milliseconds since the tree's start, and its incarnation.
    due: BTreeMap<(u64, u64), Watch>,
    over: bool,
}

struct Watch {
    life: Weak<Life>,
    /// Its supervisor was told.
    reported: bool,
}

impl Watchdog {
    /// Starts the thread. It ends with [`Watchdog::end`].
    ///
    /// # Errors
    ///
    /// When the system has no thread for it.
    pub(crate) fn start(shared: &Arc<Shared>, unheard: Unheard) -> std::io::Result<Arc<Watchdog>> {
        let watchdog = Arc::new(Watchdog {
            watched: Mutex::default(),
            changed: Condvar::new(),
            unheard,
        });
        let (dog, tree) = (watchdog.clone(), Arc::downgrade(shared));
        std::thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || dog.watch(&tree))?;
        Ok(watchdog)
    }

    pub(crate) fn end(&self) {
        self.watched().over = true;
        self.changed.notify_one();
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `life` is to be heard of by `due`.
    pub(crate) fn expect(&self, life: &Arc<Life>, due: u64) {
        let mut watched = self.watched();
        let former = life.watched_until(due);
        watched.due.remove(&(former, life.number()));
        let is_next = watched
            .due
            .first_key_value()
            .is_none_or(|((next, _), _)| due < *next);
        let watch = Watch {
            life: Arc::downgrade(life),
            reported: false,
        };
        watched.due.insert((due, life.number()), watch);
        drop(watched);
        if is_next {
            self.changed.notify_one();
        }
    }

    /// `life` is over.
    pub(crate) fn forget(&self, life: &Life) {
        let mut watched = self.watched();
        let former = life.watched_until(0);
        watched.due.remove(&(former, life.number()));
    }

    fn watch(&self, tree: &Weak<Shared>) {
        let mut watched = self.watched();
        loop {
            if watched.over {
                return;
            }
            let Some(shared) = tree.upgrade() else { return };
            let now = shared.now_ms();
            let next = watched.due.first_key_value().map(|((due, _), _)| *due);
            match next {
                Some(due) if due <= now => {
                    let Some(((_, number), watch)) = watched.due.pop_first() else {
                        continue;
                    };
                    if let Some(life) = watch.life.upgrade() {
                        drop(watched);
                        let again = self.look(&life, watch.reported, due, now);
                        watched = self.watched();
                        // Unless it was watched anew, or is over, meanwhile.
                        if let Some((due, reported)) = again
                            && life.is_watched_until(due, now)
                        {
                            let life = Arc::downgrade(&life);
                            watched.due.insert((due, number), Watch { life, reported });
                        }
                    }
                }
                _ => {
                    drop(shared);
                    let pause = next.map(|due| Duration::from_millis(due - now));
                    watched = match pause {
                        Some(pause) => {
                            let waited = self.changed.wait_timeout(watched, pause);
                            waited.unwrap_or_else(PoisonError::into_inner).0
                        }
                        None => self.changed.wait(watched).unwrap_or_else(PoisonError::into_inner),
                    };
                }
            }
        }
    }

    /// When to look again, and whether it stands reported by then.
    fn look(&self, life: &Life, reported: bool, due: u64, now: u64) -> Option<(u64, bool)> {
        let heartbeat = millis(life.heartbeat?);
        let late = now - due > millis(LATE).max(heartbeat / 4);
        // A silence may be allowed for ever.
        let until = life.heard().saturating_add(heartbeat);
        if reported {
            if life.is_unwatched() || life.incarnation.is_revoked() || until > now {
                return None; // its supervisor has acted, or sees to it when it looks
            }
            if !late {
                self.unheard(life);
            }
            return Some((now + millis(ACT), true));
        }
        if late {
            return Some((now + heartbeat + 1, false));
        }
        if until >= now {
            // A silence that is allowed for long may be over at any time, and nobody tells.
            let next = until.min(now.saturating_add(heartbeat));
            return Some((next.saturating_add(1), false));
        }
        life.report_silence();
        Some((now + millis(ACT), true))
    }

    fn unheard(&self, life: &Life) {
        tracing::error!(
            path = &*life.path,
            incarnation = life.number(),
            "its supervisor does not act on its silence: the supervisors' thread is held up"
        );
        if let Unheard::Exit(status) = self.unheard {
            std::process::exit(i32::from(status));
        }
    }
}
