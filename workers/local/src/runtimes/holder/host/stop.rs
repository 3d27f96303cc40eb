//! The agent's end on demand: asked, told, killed; then everything it left behind.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::typing::Asker;
use crate::runtimes::holder::family::LAST_GRACE;

/// What is left of the family gets this between being told and being killed.
const SWEEP_GRACE: Duration = Duration::from_millis(200);

/// How often the family is looked at while it is swept.
const SWEEP_LOOK: Duration = Duration::from_millis(20);

/// Processes that do not end even when killed hang in the kernel; after this they are given up.
const SWEEP_LIMIT: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    HungUp { until: Instant },
    Terminated { until: Instant },
    Killed,
    Sweeping { since: Instant, next: Instant },
}

/// What the loop has to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Nothing,
    /// Send this to the agent and its process group.
    Signal(Signal),
    /// Send this to every descendant; if there is none, the stop is over.
    Sweep(Signal),
}

/// A stop under way.
#[derive(Debug)]
pub(super) struct Stop {
    step: Step,
    /// Who waits for its end.
    pub(super) askers: Vec<Asker>,
    /// Whether the holder ends with it.
    pub(super) then_leave: bool,
}

impl Stop {
    /// Begins: the agent, if it still runs, is hung up on by the caller.
    pub(super) fn begin(now: Instant, grace: Duration, agent_runs: bool) -> Self {
        Self {
            step: if agent_runs {
                Step::HungUp { until: now + grace }
            } else {
                Step::Sweeping {
                    since: now,
                    next: now,
                }
            },
            askers: Vec::new(),
            then_leave: false,
        }
    }

    /// Somebody else wants it over sooner.
    pub(super) fn hurry(&mut self, now: Instant, grace: Duration) {
        if let Step::HungUp { until } = &mut self.step {
            *until = (*until).min(now + grace);
        }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        match self.step {
            Step::HungUp { until } | Step::Terminated { until } => Some(until),
            Step::Killed => None, // its end is a signal
            Step::Sweeping { next, .. } => Some(next),
        }
    }

    /// The next deed, given whether the agent still runs.
    pub(super) fn advance(&mut self, now: Instant, agent_runs: bool) -> Deed {
        match self.step {
            Step::HungUp { .. } | Step::Terminated { .. } | Step::Killed if !agent_runs => {
                self.step = Step::Sweeping {
                    since: now,
                    next: now + SWEEP_LOOK,
                };
                Deed::Sweep(Signal::TERM)
            }
            Step::HungUp { until } if now >= until => {
                self.step = Step::Terminated {
                    until: now + LAST_GRACE,
                };
                Deed::Signal(Signal::TERM)
            }
            Step::Terminated { until } if now >= until => {
                self.step = Step::Killed;
                Deed::Signal(Signal::KILL)
            }
            Step::Sweeping { since, next } if now >= next => {
                self.step = Step::Sweeping {
                    since,
                    next: now + SWEEP_LOOK,
                };
                Deed::Sweep(if now >= since + SWEEP_GRACE {
                    Signal::KILL
                } else {
                    Signal::TERM
                })
            }
            Step::HungUp { .. } | Step::Terminated { .. } | Step::Killed | Step::Sweeping { .. } => {
                Deed::Nothing
            }
        }
    }

    /// Whether what is left cannot be ended by anybody.
    pub(super) fn is_hopeless(&self, now: Instant) -> bool {
        matches!(self.step, Step::Sweeping { since, .. } if now >= since + SWEEP_LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_hears_nothing_is_asked_told_killed_and_swept() {
        let start = Instant::now();
        let grace = Duration::from_secs(2);
        let mut stop = Stop::begin(start, grace, true);
        assert_eq!(stop.advance(start, true), Deed::Nothing);
        let told = start + grace;
        assert_eq!(stop.due(), Some(told));
        assert_eq!(stop.advance(told, true), Deed::Signal(Signal::TERM));
        assert_eq!(stop.advance(told, true), Deed::Nothing);
        let killed = told + LAST_GRACE;
        assert_eq!(stop.advance(killed, true), Deed::Signal(Signal::KILL));
        assert_eq!(stop.advance(killed, true), Deed::Nothing);
        assert_eq!(stop.advance(killed, false), Deed::Sweep(Signal::TERM));
        assert_eq!(stop.advance(killed, false), Deed::Nothing);
        assert_eq!(
            stop.advance(killed + SWEEP_GRACE, false),
            Deed::Sweep(Signal::KILL)
        );
        assert!(!stop.is_hopeless(killed + SWEEP_GRACE));
        assert!(stop.is_hopeless(killed + SWEEP_LIMIT));
    }

    #[test]
    fn an_agent_that_listens_is_only_asked() {
        let start = Instant::now();
        let mut stop = Stop::begin(start, Duration::from_secs(60), true);
        assert_eq!(stop.advance(start, false), Deed::Sweep(Signal::TERM));
        let mut over = Stop::begin(start, Duration::ZERO, false);
        assert_eq!(over.advance(start, false), Deed::Sweep(Signal::TERM));
    }
}
