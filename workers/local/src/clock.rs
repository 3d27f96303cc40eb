//! The machine's clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ao_domain::Timestamp;
use ao_domain::port::PortFuture;
use ao_domain::port::clock::Clock;

/// The wall clock of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// How often a wait looks at the wall clock again: it may be set, and a machine may sleep, without tokio's timer
/// noticing. For so long a status may say after it that nobody has looked.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// The wall clock, for processes of ours that have no daemon around them.
#[expect(
    clippy::disallowed_methods,
    reason = "this is what the port `Clock` is served by"
)]
pub fn now() -> Timestamp {
    // By the C library and not by the kernel itself: there a program's clock can be set for it alone (faketime(1)).
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp::from_millis(since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
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

    fn steady(&self) -> Duration {
        Duration::from_millis(boot_millis())
    }

    fn reaches(&self, at: Timestamp) -> PortFuture<'_, ()> {
        Box::pin(async move {
            let mut last = now();
            while let Some(left) = left(at, last, now()) {
                last = now();
                tokio::time::sleep(left.min(LOOK_AGAIN)).await;
            }
        })
    }
}

/// How long is still to be waited for `at`; `None` when it is reached, or when the clock was set back since it showed `last`.
fn left(at: Timestamp, last: Timestamp, now: Timestamp) -> Option<Duration> {
    (last <= now && now < at).then(|| at.since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_its_instant_and_when_the_clock_is_set_back() {
        let at = Timestamp::from_millis;
        assert_eq!(left(at(50), at(10), at(20)), Some(Duration::from_millis(30)));
        assert_eq!(left(at(50), at(20), at(20)), Some(Duration::from_millis(30)));
        assert_eq!(left(at(50), at(20), at(50)), None);
        assert_eq!(left(at(50), at(20), at(19)), None, "set back");
    }
}
