//! What one look at an agent's process saw, in the words of the facts.

use crate::port::processes::Processes;
use crate::port::runtime::{Held, Look, RuntimeError};
use crate::{Exit, Looked, ProcessFacts, ProcessId, chain};

/// The sweep that looks at every session's process; its row says when it is due and when it last finished.
pub const SESSION_SWEEP: &str = "sessions";

/// One look, ready to be written down. Only an exit record or a process that is gone says that the agent is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Alive, dead, or no answer.
    pub looked: Looked,
    /// The process that holds the terminal, where the look named it.
    pub holder: Option<ProcessId>,
    /// The agent, where the look named it.
    pub agent: Option<ProcessId>,
    /// How it ended, where an exit record says so.
    pub exit: Option<Exit>,
    /// What a person should know about the look.
    pub note: Option<String>,
}

impl Seen {
    /// Puts the answer of a runtime into the words of the facts. Where the runtime has no record of the run any more (a
    /// power cut took it, or somebody did), the agent that the row of run `generation` names is asked for by its identity.
    pub fn of(
        look: Result<Look, RuntimeError>,
        known: Option<&ProcessFacts>,
        generation: u32,
        processes: &dyn Processes,
    ) -> Self {
        let agent = known
            .filter(|known| known.generation == generation)
            .and_then(|known| known.agent.as_ref());
        let alive = match &look {
            Ok(Look::Absent) => agent.and_then(|agent| processes.is_alive(agent)),
            _ => None,
        };
        let seen = Self::by(look);
        match alive {
            None => seen,
            Some(true) => Self {
                looked: Looked::Alive,
                note: Some("no record of its terminal is left, its process still runs".to_owned()),
                ..seen
            },
            Some(false) => Self {
                looked: Looked::Dead,
                note: Some("no record of its terminal is left, and its process is gone".to_owned()),
                ..seen
            },
        }
    }

    /// Puts the answer of a runtime alone into the words of the facts.
    pub fn by(look: Result<Look, RuntimeError>) -> Self {
        let seen = |looked, held: Option<Held>, note: Option<String>| {
            let (holder, agent, exit) = match held {
                Some(held) => (Some(held.holder), Some(held.agent), held.exit),
                None => (None, None, None),
            };
            Self {
                looked,
                holder,
                agent,
                exit,
                note,
            }
        };
        let words = |text: &str| Some(text.to_owned());
        match look {
            Ok(Look::Running(held)) => seen(Looked::Alive, Some(held), None),
            Ok(Look::Ended(held)) => seen(Looked::Dead, Some(held), None),
            Ok(Look::Silent) => seen(Looked::Failed, None, words("its terminal does not answer")),
            Ok(Look::Gone {
                held,
                agent_alive: true,
            }) => seen(
                Looked::Alive,
                held,
                words("its terminal is gone, its process still runs"),
            ),
            Ok(Look::Gone {
                held,
                agent_alive: false,
            }) => seen(Looked::Dead, held, words("its terminal is gone")),
            Ok(Look::Absent) => seen(Looked::Failed, None, words("no record of its terminal is left")),
            Err(error) => seen(Looked::Failed, None, Some(chain(&error).to_string())),
        }
    }

    /// That the agent's end was seen by its exit record.
    pub fn exited(exit: Exit) -> Self {
        Self {
            looked: Looked::Dead,
            holder: None,
            agent: None,
            exit: Some(exit),
            note: None,
        }
    }

    /// Whether this says anything that the row about run `generation` does not say yet.
    pub fn is_news(&self, known: Option<&ProcessFacts>, generation: u32) -> bool {
        let Some(known) = known.filter(|known| known.generation == generation) else {
            return true;
        };
        known.looked != self.looked
            || (self.exit.is_some() && known.exit != self.exit)
            || (self.agent.is_some() && known.agent != self.agent)
            || known.note != self.note
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::port::runtime::RuntimeRef;

    fn held(exit: Option<Exit>) -> Held {
        let process = |pid| ProcessId {
            pid,
            started: 1,
            boot: "b".to_owned(),
        };
        Held {
            holder: process(2),
            agent: process(3),
            exit,
        }
    }

    #[test]
    fn only_proof_says_dead() {
        let at = RuntimeRef {
            session: "web-1".parse().unwrap(),
            generation: 1,
        };
        let dead = |look| Seen::by(look).looked == Looked::Dead;
        assert!(dead(Ok(Look::Ended(held(Some(Exit::Code(0)))))));
        assert!(dead(Ok(Look::Gone {
            held: None,
            agent_alive: false
        })));
        assert!(!dead(Ok(Look::Gone {
            held: None,
            agent_alive: true
        })));
        assert!(!dead(Ok(Look::Silent)));
        assert!(!dead(Ok(Look::Absent)));
        assert!(!dead(Ok(Look::Running(held(None)))));
        assert!(!dead(Err(RuntimeError::Absent(at))));
    }

    #[test]
    fn without_a_record_the_process_itself_is_asked() {
        struct All(Option<bool>);
        impl Processes for All {
            fn is_alive(&self, _: &ProcessId) -> Option<bool> {
                self.0
            }
        }
        let facts = |generation| ProcessFacts {
            generation,
            holder: None,
            agent: Some(held(None).agent),
            looked: Looked::Alive,
            looked_at: Timestamp::from_millis(0),
            since: Timestamp::from_millis(0),
            looks: 1,
            exit: None,
            note: None,
        };
        let looked =
            |look, known: &ProcessFacts, alive| Seen::of(Ok(look), Some(known), 2, &All(alive)).looked;
        assert_eq!(looked(Look::Absent, &facts(2), Some(false)), Looked::Dead);
        assert_eq!(looked(Look::Absent, &facts(2), Some(true)), Looked::Alive);
        assert_eq!(looked(Look::Absent, &facts(2), None), Looked::Failed);
        assert_eq!(
            looked(Look::Absent, &facts(1), Some(false)),
            Looked::Failed,
            "another run's process says nothing"
        );
        assert_eq!(
            looked(Look::Silent, &facts(2), Some(false)),
            Looked::Failed,
            "the holder is there: it is asked again"
        );
        assert_eq!(
            Seen::of(Ok(Look::Absent), None, 2, &All(Some(false))).looked,
            Looked::Failed
        );
    }

    #[test]
    fn an_equal_look_is_no_news() {
        let seen = Seen::by(Ok(Look::Running(held(None))));
        let known = ProcessFacts {
            generation: 1,
            holder: seen.holder.clone(),
            agent: seen.agent.clone(),
            looked: Looked::Alive,
            looked_at: Timestamp::from_millis(0),
            since: Timestamp::from_millis(0),
            looks: 1,
            exit: None,
            note: None,
        };
        assert!(!seen.is_news(Some(&known), 1));
        assert!(seen.is_news(Some(&known), 2));
        assert!(seen.is_news(None, 1));
        assert!(Seen::exited(Exit::Code(1)).is_news(Some(&known), 1));
        assert!(Seen::by(Ok(Look::Silent)).is_news(Some(&known), 1));
    }
}
