//! The machine's clocks.

use std::time::Duration;

use ao_domain::Timestamp;
use ao_domain::port::PortFuture;
use ao_domain::port::clock::Clock;

/// The wall clock of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// How often a wait looks at the wall clock again: it may be set, and a machine may sleep, without tokio's timer
/// noticing.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// The wall clock, for processes of ours that have no daemon around them.
pub fn now() -> Timestamp {
    let at = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    Timestamp::from_millis(at.tv_sec * 1_000 + at.tv_nsec / 1_000_000)
}

/// Milliseconds since boot, time asleep included; never set back.
pub fn boot_millis() -> u64 {
    #[cfg(target_os = "linux")]
    let id = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let id = rustix::time::ClockId::Monotonic;
    let at = rustix::time::clock_gettime(id);
    u64::try_from(at.tv_sec * 1_000 + at.tv_nsec / 1_000_000).unwrap_or(0)
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        now()
    }

    fn reaches(&self, at: Timestamp) -> PortFuture<'_, ()> {
        Box::pin(async move {
            loop {
                let left = at.since(now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(LOOK_AGAIN)).await;
            }
        })
    }
}
