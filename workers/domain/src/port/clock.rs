//! The only source of time outside the supervision crate.

use super::PortFuture;
use crate::Timestamp;

/// Tells the time and waits for it.
pub trait Clock: Send + Sync + 'static {
    /// Now, by the wall clock.
    fn now(&self) -> Timestamp;

    /// Resolves once `at` is reached; at once when it lies in the past. Resolves too when the clock was set back meanwhile: what was
    /// worked out before that may be a day away, so whoever waits works it out again. Cancel safe.
    fn reaches(&self, at: Timestamp) -> PortFuture<'_, ()>;
}
