//! The one judge of whether an agent lives. Observers write what they saw; nobody else concludes.

use ao_domain::{Liveness, Looked, ProcessFacts};

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

#[cfg(test)]
mod tests {
    use super::*;
    use ao_domain::{Exit, Timestamp};

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
}
