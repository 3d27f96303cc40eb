//! The only source of time outside the supervision crate.

use std::time::Duration;

use super::PortFuture;
use crate::Timestamp;

/// Tells the time and waits for it.
pub trait Clock: Send + Sync + 'static {
    /// Now, by the wall clock.
    fn now(&self) -> Timestamp;

    /// How long something has been going on that nobody can set, such as the machine's boot. A clock without one goes by [`Self::now`],
    /// as if that were never set.
    fn steady(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.now().as_millis()).unwrap_or(0))
    }

    /// Resolves once `at` is reached; at once when it lies in the past. Resolves too when the clock was set back meanwhile: what was
    /// worked out before that may be a day away, so whoever waits works it out again. Cancel safe.
    fn reaches(&self, at: Timestamp) -> PortFuture<'_, ()>;
}
