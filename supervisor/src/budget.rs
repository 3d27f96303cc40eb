//! How often and how fast children are started again: budgets, back-off and the exact counting rule.
//!
//! Counting: a restart is *wanted* when the supervisor handles the exit, before any back-off. Instants older than the
//! period are forgotten, one exactly a period old still counts, and when more than the limit remain the supervisor gives
//! up. A ring of the last `limit` instants is enough to decide that in constant time.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// What a supervisor, or a single child, may spend on restarts.
///
/// As a supervisor's budget: [`Budget::restarts`] escalates when it is passed (all children are stopped and the supervisor
/// itself ends), [`Budget::parking`] never does. As a child's own budget ([`crate::ChildSpec::budget`]) only the first form
/// makes sense; a child past it is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget(pub(crate) Limit);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Counted { restarts: u32, per: Duration },
    Unlimited,
    Parking,
}

/// OTP's: one restart in five seconds.
impl Default for Budget {
    fn default() -> Budget {
        Budget::restarts(1).per(Duration::from_secs(5))
    }
}

impl Budget {
    /// `n` restarts are allowed in any window of the period named by [`Restarts::per`]; the next one is too many. With
    /// `n = 0` the first crash is.
    pub const fn restarts(n: u32) -> Restarts {
        Restarts(n)
    }

    /// Never escalates. Every child has a budget of its own (nine restarts a minute unless it names another) and a back-off;
    /// past it the child is parked: not running, visible with its reason, tried again after a growing delay and by hand.
    /// Needs [`crate::Strategy::OneForOne`], because a parked child has no say over its siblings.
    pub const fn parking() -> Budget {
        Budget(Limit::Parking)
    }

    /// Every restart is allowed, for ever. Each child needs a back-off then, or one that cannot live would burn the machine.
    pub const fn unlimited() -> Budget {
        Budget(Limit::Unlimited)
    }

    pub(crate) fn window(self) -> Option<Window> {
        match self.0 {
            Limit::Counted { restarts, per } => Some(Window::new(restarts, per)),
            Limit::Unlimited | Limit::Parking => None,
        }
    }
}

/// A number of restarts that still lacks its period.
#[derive(Clone, Copy, Debug)]
#[must_use = "a number of restarts means nothing without `.per(..)`"]
pub struct Restarts(u32);

impl Restarts {
    /// The sliding window in which the restarts are counted. A zero period is refused when the tree is started.
    pub const fn per(self, per: Duration) -> Budget {
        Budget(Limit::Counted {
            restarts: self.0,
            per,
        })
    }
}

/// What a child under a parking supervisor may spend when it names no budget: the tenth crash in a row parks it.
pub(crate) const CHILD_BUDGET: Budget = Budget::restarts(9).per(Duration::from_secs(60));

/// How a child under a parking supervisor is slowed down when it names no back-off. Ten crashes in a row take about seven
/// seconds: long enough to outlive a hiccup of the disk, short enough that a person sees the parking happen.
pub(crate) const CHILD_BACKOFF: Backoff = Backoff::between(Duration::from_millis(50), Duration::from_secs(2));

/// First and longest pause before a parked child is tried again without anybody asking. The first is long against the back-off
/// that led here, the longest short enough that a repaired machine is itself again within a coffee break.
const PARK_FIRST: Duration = Duration::from_secs(30);
const PARK_LONGEST: Duration = Duration::from_secs(15 * 60);

/// The pause after a child was parked for the `times`-th time in a row (1 is the first), before jitter.
pub(crate) fn park_pause(times: u32) -> Duration {
    let doubled = PARK_FIRST.saturating_mul(1_u32.checked_shl(times.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(PARK_LONGEST)
}

/// Pauses between restarts of one child.
///
/// The first `immediate` restarts are at once. From then on, counting n from 0, the pause is
/// `min(max, min * factor^n) * (1 - jitter * U)` with U uniform in `[0, 1)`: never longer than `max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// How many restarts in a row are at once.
    pub immediate: u32,
    /// The first pause.
    pub min: Duration,
    /// The longest pause; at least `min`.
    pub max: Duration,
    /// Growth from one pause to the next; at least 1.
    pub factor: f64,
    /// Which share of a pause chance may take away, from 0 (none) to 1 (all). Keeps children that fell of one cause from
    /// coming back in one instant.
    pub jitter: f64,
    /// An incarnation that had been ready for this long starts the count anew when it ends.
    pub reset_after: Duration,
}

impl Backoff {
    /// Doubling pauses from `min` to `max`, the first restart at once, a fifth of jitter, reset after `max` of being ready.
    /// Name the other fields to differ: `Backoff { jitter: 0.0, ..Backoff::between(a, b) }`.
    pub const fn between(min: Duration, max: Duration) -> Backoff {
        Backoff {
            immediate: 1,
            min,
            max,
            factor: 2.0,
            jitter: 0.2,
            reset_after: max,
        }
    }

    /// The pause before the restart that follows `tries` earlier ones in a row; `chance` is U.
    pub(crate) fn pause(&self, tries: u32, chance: f64) -> Duration {
        if tries < self.immediate {
            return Duration::ZERO;
        }
        let grown = self.min.as_secs_f64() * self.factor.powi((tries - self.immediate).min(1_000) as i32);
        let capped = grown.min(self.max.as_secs_f64());
        let pause = Duration::try_from_secs_f64(capped * (1.0 - self.jitter * chance));
        pause.unwrap_or(self.max).min(self.max)
    }

    /// Why these values cannot work, if they cannot.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        if self.min > self.max {
            Some("its shortest pause is longer than its longest")
        } else if !(0.0..=1.0).contains(&self.jitter) {
            Some("its jitter is outside 0..=1")
        } else if !self.factor.is_finite() || self.factor < 1.0 {
            Some("its factor is below 1 or not a number")
        } else {
            None
        }
    }

    /// Whether a child that always crashes at once can pass `restarts` in `per` at all. A limit that cannot be reached would
    /// let it crash for ever.
    pub(crate) fn reaches(&self, restarts: u32, per: Duration) -> bool {
        let mut spent = Duration::ZERO;
        for tries in 0..restarts {
            let pause = self.pause(tries, 1.0);
            spent = spent.saturating_add(pause);
            if spent > per {
                return false;
            }
            if pause >= self.pause(u32::MAX, 1.0) {
                // Grown out: what is left is a product, not a sum.
                return spent.saturating_add(pause.saturating_mul(restarts - tries - 1)) <= per;
            }
        }
        true
    }
}

/// The sliding window of restarts: a ring of the last `limit` instants.
#[derive(Debug)]
pub(crate) struct Window {
    limit: u32,
    per: Duration,
    ring: VecDeque<Instant>,
}

impl Window {
    pub(crate) fn new(limit: u32, per: Duration) -> Window {
        Window {
            limit,
            per,
            ring: VecDeque::new(),
        }
    }

    /// Notes that a restart is wanted at `now`. False when it is one too many.
    pub(crate) fn allows(&mut self, now: Instant) -> bool {
        // Each is put in once and taken out once, so this is constant over time; and what is kept is what counts.
        while self
            .ring
            .front()
            .is_some_and(|oldest| now.saturating_duration_since(*oldest) > self.per)
        {
            self.ring.pop_front();
        }
        if self.ring.len() == self.limit as usize {
            return false; // full, or a limit of zero
        }
        self.ring.push_back(now);
        true
    }

    /// How many restarts lie within the period that ends at `now`.
    pub(crate) fn used(&self, now: Instant) -> u32 {
        let young = self
            .ring
            .iter()
            .rev()
            .take_while(|at| now.saturating_duration_since(**at) <= self.per);
        u32::try_from(young.count()).unwrap_or(u32::MAX)
    }

    pub(crate) fn clear(&mut self) {
        self.ring.clear();
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    pub(crate) fn per(&self) -> Duration {
        self.per
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_restart_exactly_a_period_old_still_counts() {
        let start = Instant::now();
        let mut window = Window::new(1, 1_000 * MS);
        assert!(window.allows(start));
        assert!(
            !window.allows(start + 1_000 * MS),
            "two restarts lie in a window that includes both its ends"
        );
        assert!(window.allows(start + 1_001 * MS));
    }

    #[test]
    fn a_limit_of_zero_allows_nothing() {
        let mut window = Window::new(0, 1_000 * MS);
        assert!(!window.allows(Instant::now()));
    }

    #[test]
    fn the_window_slides_and_never_holds_more_than_the_limit() {
        // Three in 300 ms, one crash each 200 ms: no window ever holds more than two, so this goes on for ever.
        let start = Instant::now();
        let mut window = Window::new(3, 300 * MS);
        for n in 0..1_000 {
            assert!(window.allows(start + n * 200 * MS), "crash {n}");
            assert!(window.ring.len() <= 3);
        }
        assert_eq!(window.used(start + 999 * 200 * MS), 2);
    }

    #[test]
    fn pauses_grow_to_the_longest_and_jitter_only_shortens() {
        let exact = Backoff {
            jitter: 0.0,
            ..Backoff::between(100 * MS, 1_000 * MS)
        };
        let pauses: Vec<_> = (0..7).map(|tries| exact.pause(tries, 0.9).as_millis()).collect();
        assert_eq!(pauses, [0, 100, 200, 400, 800, 1_000, 1_000]);

        let full = Backoff { jitter: 1.0, ..exact };
        for chance in [0.0, 0.3, 0.999] {
            assert!(full.pause(3, chance) <= 400 * MS);
        }
        assert!(full.pause(3, 0.999) < MS);
    }

    #[test]
    fn a_limit_no_crash_loop_can_reach_is_seen() {
        let slow = Backoff {
            jitter: 0.0,
            ..Backoff::between(60 * MS, 60 * MS)
        };
        assert!(
            !slow.reaches(3, 100 * MS),
            "0 + 60 + 60 ms are longer than 100 ms"
        );
        assert!(slow.reaches(3, 120 * MS));
        assert!(slow.reaches(u32::MAX, Duration::from_secs(u64::MAX / 2)));
        assert!(CHILD_BACKOFF.reaches(9, Duration::from_secs(60)));
    }

    #[test]
    fn a_parked_child_waits_longer_each_time() {
        let pauses: Vec<_> = (1..8).map(|times| park_pause(times).as_secs()).collect();
        assert_eq!(pauses, [30, 60, 120, 240, 480, 900, 900]);
        assert_eq!(park_pause(u32::MAX), PARK_LONGEST);
    }
}
