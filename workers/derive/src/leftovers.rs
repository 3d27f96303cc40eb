//! What carries our names and belongs to nobody any more: what of it may go, and what a person should know of.

use ao_domain::port::runtime::{Look, RuntimeRef, Stray};
use ao_domain::port::upkeep::{Standing, Thing, Trace};
use ao_domain::{Phase, ProcessId, Session, SessionId, WorktreeState};

/// Something that was found, and what is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover<T> {
    /// What was found.
    pub of: T,
    /// Whether it may go: by our own record, by git's word where it is git's, and by our rows.
    pub may_go: bool,
    /// The command that takes it back, where that is for a person to say.
    pub how: Option<String>,
    /// What it is, for a person, in one line.
    pub what: String,
    /// Why it stands here, in one line.
    pub why: &'static str,
}

/// What of `traces` is of no session, or of one that is over for good. What a session that is there still has is its own affair.
pub fn traces<'a>(traces: &'a [Trace], sessions: &[Session]) -> Vec<Leftover<&'a Trace>> {
    let session = |id: &Option<SessionId>| {
        let id = id.as_ref()?;
        sessions.iter().find(|session| session.id == *id)
    };
    let judge = |trace: &'a Trace| {
        let known = session(&trace.session);
        let (may_go, why) = match (trace.standing, known) {
            (Standing::Foreign, _) => (false, "it has a name of ours, and no record of ours speaks of it"),
            (Standing::Leftover, Some(session)) if session.phase != Phase::Ended => return None,
            // The row has to learn what becomes of it, and where what git still held of it is saved.
            (Standing::Leftover, Some(session)) if has_it(session) => (false, "its session still has it"),
            (Standing::Leftover, _) => (true, "nobody needs it any more"),
            (Standing::InUse | Standing::Keeps, Some(_)) => return None,
            (Standing::InUse, None) => (false, "it is a session's, but no such session is known"),
            (Standing::Keeps, None) => (
                false,
                "it holds what is nowhere else, of a session that is not known",
            ),
        };
        Some(Leftover {
            of: trace,
            how: known
                .filter(|_| trace.standing == Standing::Leftover && !may_go)
                .map(|session| format!("ao kill {}", session.id)),
            may_go,
            what: in_words(&trace.thing),
            why,
        })
    };
    traces.iter().filter_map(judge).collect()
}

/// What of the runs that a runtime holds or has left is of no session that could need it. `Silent` says nothing, so it stays; and so
/// does one whose holder is there, for a person may work in its shell. `is_alive` tells of a process.
pub fn runs<'a>(
    runs: &'a [(RuntimeRef, Look)],
    sessions: &[Session],
    is_alive: impl Fn(&ProcessId) -> bool,
) -> Vec<Leftover<&'a RuntimeRef>> {
    let judge = |(run, look): &'a (RuntimeRef, Look)| {
        let known = sessions.iter().find(|session| session.id == run.session);
        let alive = match look {
            Look::Running(_) | Look::Silent => true,
            Look::Gone { agent_alive, .. } => *agent_alive,
            Look::Ended(held) => is_alive(&held.holder),
            Look::Absent => false,
        };
        let (may_go, why) = match known {
            // Its child ends an earlier run before it starts the next, and the last one when it is told to.
            Some(session) if session.phase != Phase::Ended => return None,
            Some(_) if !alive => (true, "its session has ended"),
            Some(_) => (false, "its session has ended, but something of it runs"),
            None if alive => (false, "something runs in it, and no such session is known"),
            None => (false, "no such session is known"),
        };
        Some(Leftover {
            of: run,
            how: None,
            may_go,
            what: format!("terminal of {}, run {}", run.session, run.generation),
            why,
        })
    };
    runs.iter().filter_map(judge).collect()
}

/// What only looks like a run. Nothing of it is ours, so all of it stays.
pub fn strays(strays: &[Stray]) -> Vec<Leftover<&Stray>> {
    let found = strays.iter().map(|stray| Leftover {
        of: stray,
        how: None,
        may_go: false,
        what: stray.what.clone(),
        why: "it has a name of ours, and is no run of ours",
    });
    found.collect()
}

fn has_it(session: &Session) -> bool {
    matches!(
        session.worktree_state,
        WorktreeState::Active | WorktreeState::Kept
    )
}

fn in_words(thing: &Thing) -> String {
    match thing {
        Thing::Directory { path } => format!("directory {path}"),
        Thing::Record { path, .. } => format!("record of the worktree {path}"),
        Thing::LockFolder { path } => format!("lock folder {path}"),
        Thing::Registration { path } => format!("git's record of the worktree {path}"),
        Thing::Branch {
            name, own_commits, ..
        } => match own_commits {
            0 => format!("branch {name}"),
            1 => format!("branch {name} with a commit of its own"),
            more => format!("branch {name} with {more} commits of its own"),
        },
        Thing::Rescue { name, .. } => format!("rescue ref {name}"),
    }
}

#[cfg(test)]
mod tests {
    use ao_domain::Exit;
    use ao_domain::port::runtime::Held;

    use super::*;
    use crate::status::tests::live;

    fn trace(session: &str, standing: Standing) -> Trace {
        Trace {
            thing: Thing::Branch {
                name: format!("ao/{session}"),
                tip: "0".repeat(40),
                own_commits: 0,
                checked_out: None,
            },
            repo: Some("/repo".into()),
            session: Some(session.parse().unwrap()),
            record: None,
            changed_at: None,
            standing,
        }
    }

    fn at(phase: Phase, worktree_state: WorktreeState) -> Session {
        Session {
            phase,
            worktree_state,
            ..live()
        }
    }

    #[test]
    fn only_what_is_ours_and_of_a_session_that_is_over_may_go() {
        let living = [live()];
        let over = [at(Phase::Ended, WorktreeState::Removed)];
        let kept = [at(Phase::Ended, WorktreeState::Kept)];
        let left = [at(Phase::Ended, WorktreeState::Active)]; // twelve hours after its agent ended by itself
        let finished = [at(Phase::Finished, WorktreeState::Active)];
        for (standing, sessions, expected) in [
            (Standing::Leftover, &living[..], None),
            (Standing::Leftover, &finished[..], None),
            (Standing::Leftover, &over[..], Some(true)),
            (Standing::Leftover, &kept[..], Some(false)),
            (Standing::Leftover, &left[..], Some(false)),
            (Standing::Leftover, &[][..], Some(true)),
            (Standing::InUse, &over[..], None),
            (Standing::InUse, &[][..], Some(false)),
            (Standing::Keeps, &over[..], None),
            (Standing::Keeps, &[][..], Some(false)),
            (Standing::Foreign, &living[..], Some(false)),
        ] {
            let found = [trace("web-1", standing)];
            let judged = traces(&found, sessions);
            assert_eq!(
                judged.first().map(|one| one.may_go),
                expected,
                "{standing:?} {}",
                sessions.len()
            );
        }
    }

    #[test]
    fn a_run_goes_once_its_session_has_ended_and_nothing_of_it_lives() {
        let run = |look| {
            (
                RuntimeRef {
                    session: live().id,
                    generation: 1,
                },
                look,
            )
        };
        let gone = |agent_alive| Look::Gone {
            held: None,
            agent_alive,
        };
        let process = |pid| ProcessId {
            pid,
            started: 1,
            boot: "this".to_owned(),
        };
        let ended = |holder| {
            Look::Ended(Held {
                holder: process(holder),
                agent: process(9),
                exit: Some(Exit::Code(0)),
            })
        };
        let (living, over) = ([live()], [at(Phase::Ended, WorktreeState::Kept)]);
        for (look, sessions, expected) in [
            (ended(7), &over[..], Some(true)),
            (ended(8), &over[..], Some(false)),
            (gone(false), &living[..], None),
            (gone(false), &over[..], Some(true)),
            (gone(true), &over[..], Some(false)),
            (Look::Silent, &over[..], Some(false)),
            (Look::Absent, &over[..], Some(true)),
            (gone(false), &[][..], Some(false)),
        ] {
            let found = [run(look.clone())];
            let judged = runs(&found, sessions, |process| process.pid == 8);
            assert_eq!(
                judged.first().map(|one| one.may_go),
                expected,
                "{look:?} {}",
                sessions.len()
            );
        }
    }
}
