//! The one judge of whether an agent lives (design D10). Observers write what they saw; nobody else concludes.

use std::time::Duration;

use ao_domain::{Liveness, Looked, ProcessFacts, Timestamp};

/// How many agreeing looks anything destructive needs …
const AGREEING_LOOKS: u32 = 3;
/// … and over how long: long enough that a stalled machine or a swapped-out holder has come back.
const OVER: Duration = Duration::from_secs(15);

/// Whether the agent of run `generation` lives, by what was written down about its process.
///
/// Facts about another run say nothing. An exit record outranks every look.
pub fn liveness(process: Option<&ProcessFacts>, generation: u32) -> Liveness {
    let Some(process) = process.filter(|process| process.generation == generation) else {
        return Liveness::NotYet;
    };
    if process.exit.is_some() {
        return Liveness::Dead;
    }
    match process.looked {
        Looked::Alive => Liveness::Alive,
        Looked::Dead => Liveness::Dead,
        Looked::Failed => Liveness::Unknown,
    }
}

/// Whether something may be taken away because the agent is dead, when nobody asked for it: an exit record, or three
/// agreeing looks over at least fifteen seconds.
pub fn may_destroy(process: Option<&ProcessFacts>, generation: u32, now: Timestamp) -> bool {
    let Some(process) = process.filter(|process| process.generation == generation) else {
        return false;
    };
    process.exit.is_some()
        || (process.looked == Looked::Dead
            && process.looks >= AGREEING_LOOKS
            && now.since(process.since) >= OVER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ao_domain::Exit;

    fn seen(looked: Looked, looks: u32, since_s: i64) -> ProcessFacts {
        ProcessFacts {
            generation: 1,
            holder: None,
            agent: None,
            looked,
            looked_at: Timestamp::from_millis(100_000),
            since: Timestamp::from_millis(100_000 - since_s * 1_000),
            looks,
            exit: None,
            note: None,
        }
    }

    #[test]
    fn a_failed_look_is_unknown_and_another_runs_facts_say_nothing() {
        assert_eq!(liveness(None, 1), Liveness::NotYet);
        assert_eq!(liveness(Some(&seen(Looked::Failed, 9, 90)), 1), Liveness::Unknown);
        assert_eq!(liveness(Some(&seen(Looked::Alive, 1, 0)), 1), Liveness::Alive);
        assert_eq!(liveness(Some(&seen(Looked::Dead, 1, 0)), 1), Liveness::Dead);
        assert_eq!(liveness(Some(&seen(Looked::Dead, 1, 0)), 2), Liveness::NotYet);
        let exited = ProcessFacts {
            exit: Some(Exit::Code(0)),
            ..seen(Looked::Failed, 1, 0)
        };
        assert_eq!(liveness(Some(&exited), 1), Liveness::Dead);
    }

    #[test]
    fn destruction_needs_an_exit_record_or_three_looks_over_fifteen_seconds() {
        let now = Timestamp::from_millis(100_000);
        let may = |facts: &ProcessFacts| may_destroy(Some(facts), 1, now);
        assert!(!may(&seen(Looked::Dead, 2, 60)));
        assert!(!may(&seen(Looked::Dead, 3, 14)));
        assert!(may(&seen(Looked::Dead, 3, 15)));
        assert!(!may(&seen(Looked::Failed, 30, 600)));
        assert!(!may(&seen(Looked::Alive, 30, 600)));
        assert!(may(&ProcessFacts {
            exit: Some(Exit::Signal(9)),
            ..seen(Looked::Failed, 1, 0)
        }));
        assert!(!may_destroy(Some(&seen(Looked::Dead, 3, 60)), 2, now));
    }
}
