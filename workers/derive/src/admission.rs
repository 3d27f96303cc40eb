//! Who of the line is let in, and what the first one waits for.

use ao_domain::QueuedFor;

/// What stands before a queued session, and what the machine has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// How many came before it and still wait.
    pub earlier: u32,
    /// How many places others hold.
    pub taken: u32,
    /// How many others are between the line and a running agent.
    pub coming_up: u32,
    /// Free memory in MiB; `None` when the machine does not tell.
    pub free_memory: Option<u64>,
}

/// How much there may be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions with a place (`AO_MAX_SESSIONS`); 0 is any number.
    pub sessions: u32,
    /// Sessions that come up at the same time (`AO_MAX_LAUNCHES`); 0 is any number.
    pub launches: u32,
    /// The memory in MiB that has to be free before another is let in (`AO_MIN_FREE_MEMORY`); 0 asks for none.
    pub free_memory: u64,
}

/// Whether a queued session may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Granted,
    /// Others came before it.
    Behind,
    /// It is the first, and waits for this.
    Held(QueuedFor),
}

/// Whether a session with this before it may go on. Only the first of the line ever may: that keeps the order, and the limits, for
/// two that look at the same instant are never both the first.
///
/// What is not told of the memory holds nobody up. Where nothing runs at all, one is let in however little is free: nothing of
/// ours would free more.
pub fn admission(load: Load, limits: Limits) -> Admission {
    let full = |limit: u32, count: u32| limit > 0 && count >= limit;
    if load.earlier > 0 {
        Admission::Behind
    } else if full(limits.sessions, load.taken) {
        Admission::Held(QueuedFor::Place)
    } else if full(limits.launches, load.coming_up) {
        Admission::Held(QueuedFor::Turn)
    } else if load.taken > 0 && load.free_memory.is_some_and(|free| free < limits.free_memory) {
        Admission::Held(QueuedFor::Memory)
    } else {
        Admission::Granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        sessions: 2,
        launches: 1,
        free_memory: 512,
    };

    fn load(earlier: u32, taken: u32, coming_up: u32, free: u64) -> Load {
        Load {
            earlier,
            taken,
            coming_up,
            free_memory: Some(free),
        }
    }

    #[test]
    fn only_the_first_of_the_line_is_let_in_and_only_within_the_limits() {
        use Admission::{Behind, Granted, Held};
        for (load, expected) in [
            (load(0, 0, 0, 4_096), Granted),
            (load(1, 0, 0, 4_096), Behind),
            (load(0, 1, 0, 512), Granted),
            (load(0, 2, 0, 4_096), Held(QueuedFor::Place)),
            (load(0, 1, 1, 4_096), Held(QueuedFor::Turn)),
            (load(0, 1, 0, 511), Held(QueuedFor::Memory)),
            (load(0, 0, 0, 1), Granted), // nothing of ours would free more
        ] {
            assert_eq!(admission(load, LIMITS), expected, "{load:?}");
        }
        let untold = Load {
            free_memory: None,
            ..load(0, 1, 0, 0)
        };
        assert_eq!(admission(untold, LIMITS), Granted);
        let unlimited = Limits {
            sessions: 0,
            launches: 0,
            free_memory: 0,
        };
        assert_eq!(admission(load(0, 900, 900, 0), unlimited), Granted);
    }
}
