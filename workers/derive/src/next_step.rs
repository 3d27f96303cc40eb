//! What a session's child does next: one pure function of its rows.

use std::time::Duration;

use ao_domain::{Desired, EndReason, Liveness, Phase, QueuedFor, Session, Timestamp};

use crate::{Admission, liveness};

/// How long a session whose agent ended by itself keeps a child. Its holder leaves by itself about then, later where a
/// person works in its shell; it is not ours to end unasked.
pub const KEEP_LAST_SCREEN: Duration = Duration::from_secs(12 * 60 * 60);

/// How long a replacement has to live before it takes its predecessor's place, where it does not speak up before: one that cannot
/// even start leaves the old one where it is.
pub const TAKES_OVER_AFTER: Duration = Duration::from_secs(3);

/// What of the world outside the rows decides a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around<'a> {
    /// Whether the line lets this session in; of no meaning once it has left it.
    pub admission: Admission,
    /// The number of this boot of the machine; `None` when it is not known.
    pub boot: Option<&'a str>,
    /// Whether sessions come back by themselves that a restart of the machine ended (`AO_AUTORESTORE`).
    pub restores: bool,
    /// Now.
    pub now: Timestamp,
}

/// One thing to do. After it the child reads its rows again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write that this phase is entered; nothing outside changes.
    Enter(Phase),
    /// Write that the agent is over, and why; nothing outside changes.
    Conclude(EndReason),
    /// Wait to be let in; for what, where it is the first of the line.
    WaitInLine(Option<QueuedFor>),
    /// Make the worktree, or find that it stands.
    MakeWorktree,
    /// Link and copy what the project shares into the worktree.
    Furnish,
    /// Run this post-create command, counted from 0.
    PostCreate(usize),
    /// Work out the launch and see that it can be done.
    Prepare,
    /// Start the runtime and the agent in it, or find that they run.
    Launch,
    /// Look at the runtime, then wait until something changes, at the latest until then.
    Watch {
        /// When to look again without having been told to.
        until: Option<Timestamp>,
    },
    /// Take the place of the orchestrator that this one replaces.
    TakeOver,
    /// Bring it back, as its agent's next run.
    ComeBack,
    /// End the agent, everything it started, and its runtime.
    StopAgent,
    /// Take the worktree back, or find that it is worth keeping.
    FreeWorktree,
    /// Nothing: the session is over.
    Rest,
}

/// What to do next about `session`.
pub fn next_step(session: &Session, around: Around<'_>) -> Step {
    let wanted = session.desired == Desired::Run && session.end_reason.is_none();
    match session.phase {
        // One that had run before has a worktree, and perhaps its last screen; of any other there is nothing.
        Phase::Queued if !wanted && session.generation > 1 => Step::Enter(Phase::Stopping),
        Phase::Queued if !wanted => Step::Enter(Phase::Ended),
        Phase::Queued => match around.admission {
            Admission::Granted => Step::Enter(Phase::Worktree),
            Admission::Behind => Step::WaitInLine(None),
            Admission::Held(what) => Step::WaitInLine(Some(what)),
        },
        phase if phase.is_coming_up() && !wanted => Step::Enter(Phase::Stopping),
        Phase::Worktree => Step::MakeWorktree,
        Phase::Provision => provision(session),
        Phase::Prepare => Step::Prepare,
        Phase::Launch => Step::Launch,
        Phase::Live if session.desired == Desired::Stop => Step::Enter(Phase::Stopping),
        Phase::Live => live(session, around),
        Phase::Finished if session.desired == Desired::Stop => Step::Enter(Phase::Stopping),
        Phase::Finished => finished(session, around),
        Phase::Stopping => Step::StopAgent,
        Phase::Freeing => Step::FreeWorktree,
        Phase::Ended => Step::Rest,
    }
}

/// A worktree is furnished once: one that is still there at a restore is as it was left, one that is made again is not.
fn provision(session: &Session) -> Step {
    let Some(progress) = session.provisioning.as_ref().filter(|progress| !progress.linking) else {
        return Step::Furnish;
    };
    let done = usize::try_from(progress.done).unwrap_or(usize::MAX);
    if done < session.post_create().len() {
        Step::PostCreate(done)
    } else {
        Step::Enter(Phase::Prepare)
    }
}

fn live(session: &Session, around: Around<'_>) -> Step {
    let alive = liveness(session.process.as_ref(), session.generation);
    if alive == Liveness::Dead {
        return Step::Conclude(why_dead(session, around.boot));
    }
    if session.replaces.is_none() {
        return Step::Watch { until: None };
    }
    let proven_at = session.phase_at.plus(TAKES_OVER_AFTER);
    if alive == Liveness::Alive && (session.first_signal_at.is_some() || around.now >= proven_at) {
        Step::TakeOver
    } else {
        Step::Watch {
            until: Some(proven_at).filter(|at| *at > around.now),
        }
    }
}

/// Why an agent is gone: by its exit record, else by whether it was of another boot of the machine.
fn why_dead(session: &Session, boot: Option<&str>) -> EndReason {
    let process = session.process.as_ref();
    if process.is_some_and(|process| process.exit.is_some()) {
        return EndReason::Exited;
    }
    let known = process.and_then(|process| process.agent.as_ref().or(process.holder.as_ref()));
    match (known, boot) {
        (Some(process), Some(boot)) if process.boot != boot => EndReason::Rebooted,
        _ => EndReason::RuntimeDead,
    }
}

fn finished(session: &Session, around: Around<'_>) -> Step {
    let until = session
        .ended_at
        .unwrap_or(session.phase_at)
        .plus(KEEP_LAST_SCREEN);
    let can_go_on = session.native_id.is_some() && session.end_reason == Some(EndReason::Rebooted);
    if around.now >= until {
        Step::Enter(Phase::Ended)
    } else if around.restores && can_go_on {
        Step::ComeBack
    } else {
        Step::Watch { until: Some(until) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::{at, live, process};
    use Admission::Granted;
    use ao_domain::{Exit, Looked, ProcessFacts, ProcessId, Provisioning, SessionSetup};
    use expect_test::expect;

    fn around(admission: Admission, now: i64) -> Around<'static> {
        Around {
            admission,
            boot: Some("this"),
            restores: false,
            now: at(now),
        }
    }

    /// The whole machine on one page: every phase under every wish and every word about the process.
    #[test]
    fn the_transition_table() {
        let mut table = String::new();
        for phase in Phase::ALL {
            for desired in Desired::ALL {
                let step = |looked, exit, admission, end_reason| {
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
                    format!("{:?}", next_step(&session, around(admission, 1_020)))
                };
                let usual = step(Looked::Alive, None, Granted, None);
                let mut line = format!("{phase:<9} {desired:<4} {usual}");
                for (name, other) in [
                    ("behind", step(Looked::Alive, None, Admission::Behind, None)),
                    (
                        "no place",
                        step(Looked::Alive, None, Admission::Held(QueuedFor::Place), None),
                    ),
                    ("no answer", step(Looked::Failed, None, Granted, None)),
                    ("gone", step(Looked::Dead, None, Granted, None)),
                    ("exited", step(Looked::Dead, Some(Exit::Code(0)), Granted, None)),
                    (
                        "failed",
                        step(Looked::Alive, None, Granted, Some(EndReason::SpawnFailed)),
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
            queued run Enter(Worktree); behind: WaitInLine(None); no place: WaitInLine(Some(Place)); failed: Enter(Ended)
            queued stop Enter(Ended)
            worktree run MakeWorktree; failed: Enter(Stopping)
            worktree stop Enter(Stopping)
            provision run Furnish; failed: Enter(Stopping)
            provision stop Enter(Stopping)
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

    /// One that ran before has a worktree and perhaps a holder: it is ended like any other.
    #[test]
    fn a_restored_one_that_is_killed_in_line_is_ended_like_any_other() {
        let session = Session {
            phase: Phase::Queued,
            desired: Desired::Stop,
            generation: 2,
            ..live()
        };
        let step = next_step(&session, around(Admission::Behind, 1_020));
        assert_eq!(step, Step::Enter(Phase::Stopping));
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
            next_step(&session, around(Granted, 2_001)),
            Step::Watch { until: Some(until) }
        );
        let then = Around {
            now: until,
            ..around(Granted, 0)
        };
        assert_eq!(next_step(&session, then), Step::Enter(Phase::Ended));
    }

    #[test]
    fn a_worktree_is_furnished_once_and_each_command_run_in_its_turn() {
        let mut session = Session {
            phase: Phase::Provision,
            setup: SessionSetup {
                post_create: vec!["one".to_owned(), "two".to_owned()],
                ..SessionSetup::default()
            },
            ..live()
        };
        let step = |session: &Session| next_step(session, around(Granted, 1_020));
        assert_eq!(step(&session), Step::Furnish);
        for (linking, done, expected) in [
            (true, 0, Step::Furnish),
            (false, 0, Step::PostCreate(0)),
            (false, 1, Step::PostCreate(1)),
            (false, 2, Step::Enter(Phase::Prepare)),
        ] {
            session.provisioning = Some(Provisioning {
                done,
                of: 2,
                doing: None,
                since: at(1_000),
                skipped: Vec::new(),
                linking,
                making: None,
            });
            assert_eq!(step(&session), expected);
        }
    }

    #[test]
    fn a_replacement_takes_over_once_it_has_spoken_or_lived_for_a_while() {
        let mut session = Session {
            replaces: Some("web-1".parse().unwrap()),
            first_signal_at: None,
            phase_at: at(1_000),
            process: Some(process(Looked::Alive)),
            ..live()
        };
        let until = Some(at(1_000).plus(TAKES_OVER_AFTER));
        assert_eq!(next_step(&session, around(Granted, 1_001)), Step::Watch { until });
        assert_eq!(next_step(&session, around(Granted, 1_003)), Step::TakeOver);
        session.first_signal_at = Some(at(1_001));
        assert_eq!(next_step(&session, around(Granted, 1_001)), Step::TakeOver);
        session.process = Some(process(Looked::Failed));
        assert_eq!(
            next_step(&session, around(Granted, 1_009)),
            Step::Watch { until: None },
            "nobody knows whether it lives"
        );
        session.process = Some(process(Looked::Dead));
        assert_eq!(
            next_step(&session, around(Granted, 1_009)),
            Step::Conclude(EndReason::RuntimeDead)
        );
    }

    #[test]
    fn what_a_restart_of_the_machine_ended_is_named_and_comes_back_where_that_is_wanted() {
        let of = |boot: &str| Session {
            process: Some(ProcessFacts {
                agent: Some(ProcessId {
                    pid: 7,
                    started: 1,
                    boot: boot.to_owned(),
                }),
                ..process(Looked::Dead)
            }),
            ..live()
        };
        let step = |session: &Session| next_step(session, around(Granted, 1_020));
        assert_eq!(step(&of("this")), Step::Conclude(EndReason::RuntimeDead));
        assert_eq!(step(&of("before")), Step::Conclude(EndReason::Rebooted));
        let untold = Around {
            boot: None,
            ..around(Granted, 1_020)
        };
        assert_eq!(
            next_step(&of("before"), untold),
            Step::Conclude(EndReason::RuntimeDead)
        );
        let over = |end_reason, native_id: Option<&str>| Session {
            phase: Phase::Finished,
            end_reason: Some(end_reason),
            native_id: native_id.map(str::to_owned),
            ..of("before")
        };
        let restores = Around {
            restores: true,
            ..around(Granted, 1_020)
        };
        for (session, comes_back) in [
            (over(EndReason::Rebooted, Some("n")), true),
            (over(EndReason::Rebooted, None), false),
            (over(EndReason::RuntimeDead, Some("n")), false),
            (over(EndReason::Exited, Some("n")), false),
        ] {
            assert_eq!(
                next_step(&session, restores) == Step::ComeBack,
                comes_back,
                "{:?}",
                session.end_reason
            );
            assert_ne!(step(&session), Step::ComeBack, "nobody wants that");
        }
        let lost = over(EndReason::Rebooted, Some("n"));
        let late = Around {
            now: lost.ended_at.unwrap_or(lost.phase_at).plus(KEEP_LAST_SCREEN),
            ..restores
        };
        assert_eq!(
            next_step(&lost, late),
            Step::Enter(Phase::Ended),
            "one that could not come back for so long does not do so weeks later"
        );
    }
}
