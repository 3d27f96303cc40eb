//! What a session's child does next: one pure function of its rows.

use std::time::Duration;

use ao_domain::{Desired, EndReason, Liveness, Phase, Session, Timestamp};

use crate::liveness;

/// How long a session whose agent ended by itself keeps a child. Its holder leaves by itself about then, later where a
/// person works in its shell; it is not ours to end unasked.
pub const KEEP_LAST_SCREEN: Duration = Duration::from_secs(12 * 60 * 60);

/// One thing to do. After it the child reads its rows again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write that this phase is entered; nothing outside changes.
    Enter(Phase),
    /// Write that the agent is over, and why; nothing outside changes.
    Conclude(EndReason),
    /// Wait until a place is free (`AO_MAX_SESSIONS`).
    WaitForPlace,
    /// Make the worktree, or find that it stands.
    MakeWorktree,
    /// Work out the launch and see that it can be done.
    Prepare,
    /// Start the runtime and the agent in it, or find that they run.
    Launch,
    /// Look at the runtime, then wait until something changes, at the latest until then.
    Watch {
        /// When to look again without having been told to.
        until: Option<Timestamp>,
    },
    /// End the agent, everything it started, and its runtime.
    StopAgent,
    /// Take the worktree back, or find that it is worth keeping.
    FreeWorktree,
    /// Nothing: the session is over.
    Rest,
}

/// What to do next about `session`. `place` says whether the machine has a place for it.
pub fn next_step(session: &Session, place: bool, now: Timestamp) -> Step {
    let wanted = session.desired == Desired::Run && session.end_reason.is_none();
    match session.phase {
        Phase::Queued if !wanted => Step::Enter(Phase::Ended),
        Phase::Queued if place => Step::Enter(Phase::Worktree),
        Phase::Queued => Step::WaitForPlace,
        Phase::Worktree | Phase::Prepare | Phase::Launch if !wanted => Step::Enter(Phase::Stopping),
        Phase::Worktree => Step::MakeWorktree,
        Phase::Prepare => Step::Prepare,
        Phase::Launch => Step::Launch,
        Phase::Live if session.desired == Desired::Stop => Step::Enter(Phase::Stopping),
        Phase::Live if liveness(session.process.as_ref(), session.generation) == Liveness::Dead => {
            let recorded = session
                .process
                .as_ref()
                .is_some_and(|process| process.exit.is_some());
            Step::Conclude(if recorded {
                EndReason::Exited
            } else {
                EndReason::RuntimeDead
            })
        }
        Phase::Live => Step::Watch { until: None },
        Phase::Finished if session.desired == Desired::Stop => Step::Enter(Phase::Stopping),
        Phase::Finished => {
            let until = session
                .ended_at
                .unwrap_or(session.phase_at)
                .plus(KEEP_LAST_SCREEN);
            if now >= until {
                Step::Enter(Phase::Ended)
            } else {
                Step::Watch { until: Some(until) }
            }
        }
        Phase::Stopping => Step::StopAgent,
        Phase::Freeing => Step::FreeWorktree,
        Phase::Ended => Step::Rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::{at, live, process};
    use ao_domain::{Exit, Looked, ProcessFacts};
    use expect_test::expect;

    /// The whole machine on one page: every phase under every wish and every word about the process.
    #[test]
    fn the_transition_table() {
        let mut table = String::new();
        for phase in Phase::ALL {
            for desired in Desired::ALL {
                let step = |looked, exit, place, end_reason| {
                    let process = Some(ProcessFacts {
                        exit,
                        ..process(looked)
                    });
                    let session = Session {
                        phase: *phase,
                        desired: *desired,
                        process,
                        end_reason,
                        ..live()
                    };
                    format!("{:?}", next_step(&session, place, at(1_020)))
                };
                let usual = step(Looked::Alive, None, true, None);
                let mut line = format!("{phase:<9} {desired:<4} {usual}");
                for (name, other) in [
                    ("no place", step(Looked::Alive, None, false, None)),
                    ("no answer", step(Looked::Failed, None, true, None)),
                    ("gone", step(Looked::Dead, None, true, None)),
                    ("exited", step(Looked::Dead, Some(Exit::Code(0)), true, None)),
                    (
                        "failed",
                        step(Looked::Alive, None, true, Some(EndReason::SpawnFailed)),
                    ),
                ] {
                    if other != usual {
                        line += &format!("; {name}: {other}");
                    }
                }
                table += &line;
                table.push('\n');
            }
        }
        expect![[r#"
            queued run Enter(Worktree); no place: WaitForPlace; failed: Enter(Ended)
            queued stop Enter(Ended)
            worktree run MakeWorktree; failed: Enter(Stopping)
            worktree stop Enter(Stopping)
            prepare run Prepare; failed: Enter(Stopping)
            prepare stop Enter(Stopping)
            launch run Launch; failed: Enter(Stopping)
            launch stop Enter(Stopping)
            live run Watch { until: None }; gone: Conclude(RuntimeDead); exited: Conclude(Exited)
            live stop Enter(Stopping)
            finished run Watch { until: Some(Timestamp(44200000)) }
            finished stop Enter(Stopping)
            stopping run StopAgent
            stopping stop StopAgent
            freeing run FreeWorktree
            freeing stop FreeWorktree
            ended run Rest
            ended stop Rest
        "#]]
        .assert_eq(&table);
    }

    #[test]
    fn the_last_screen_stays_for_twelve_hours() {
        let session = Session {
            phase: Phase::Finished,
            ended_at: Some(at(2_000)),
            ..live()
        };
        let until = at(2_000).plus(KEEP_LAST_SCREEN);
        assert_eq!(
            next_step(&session, true, at(2_001)),
            Step::Watch { until: Some(until) }
        );
        assert_eq!(next_step(&session, true, until), Step::Enter(Phase::Ended));
    }
}
