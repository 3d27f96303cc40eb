//! Wake-ups without data: "something was committed, look again".

use std::time::Duration;

use tokio::sync::watch;

/// How long a waiter goes without a look when no wake-up comes. A commit by another program, or one whose caller was
/// dropped while it was under way, gives none.
pub(crate) const SLOW_LOOK: Duration = Duration::from_secs(1);

/// Where wake-ups come from: every commit of ours that somebody may wait for.
#[derive(Clone, Debug)]
pub(crate) struct Pulse(watch::Sender<u64>);

impl Pulse {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    pub(crate) fn beat(&self) {
        self.0.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// How often it has beaten.
    pub(crate) fn count(&self) -> u64 {
        *self.0.borrow()
    }

    pub(crate) fn watch(&self) -> Wakeups {
        Wakeups(self.0.subscribe())
    }
}

/// One waiter's place at the pulse. Take it before reading, then nothing committed after that read is slept through.
#[derive(Debug)]
pub struct Wakeups(watch::Receiver<u64>);

impl Wakeups {
    /// Resolves once something was committed since the last call, or since this was made; at once if it was already.
    /// Many commits may be one wake-up. Never resolves after the store is gone. Cancel safe.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// [`Wakeups::changed`], but no later than after `patience`. Tells whether it was woken. Cancel safe.
    pub(crate) async fn changed_within(&mut self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.changed()).await.is_ok()
    }
}
