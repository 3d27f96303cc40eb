//! When a session's work is done.

use ao_domain::{ActivityState, Desired, Phase, PrState, Session, SessionKind};

use crate::{Shown, Status};

/// Whether nothing is left to do for `session`: something of it was merged since it was restored last, none of its pull requests is
/// open, and its agent is not in the middle of something. A pure function of rows, so a merge that was seen while nobody acted
/// on it is acted on later.
pub fn is_completed(session: &Session, shown: &Shown) -> bool {
    let merged = session
        .prs
        .iter()
        .filter(|pr| pr.state == PrState::Merged)
        .count();
    let rests = match session.phase {
        // One that was not heard of yet has only just begun; one that asks or has messages is not done.
        Phase::Live => {
            matches!(shown.status, Status::Merged)
                && session.first_signal_at.is_some()
                && session.activity.state == ActivityState::Idle
                && session.messages_waiting == 0
        }
        Phase::Finished => true,
        _ => false,
    };
    session.kind == SessionKind::Worker
        && session.desired == Desired::Run
        && rests
        && merged > usize::try_from(session.merged_before).unwrap_or(usize::MAX)
        && session.prs.iter().all(|pr| !pr.state.is_open())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::{at, live, pr};
    use crate::{Habits, Watch, shown};
    use ao_domain::{Activity, PrSummary};

    const REPORTS: Habits = Habits {
        reports: true,
        ..Habits::NONE
    };

    fn merged() -> Session {
        Session {
            first_signal_at: Some(at(1_010)),
            activity: Activity {
                state: ActivityState::Idle,
                since: at(1_010),
            },
            prs: vec![PrSummary {
                state: PrState::Merged,
                ..pr(7)
            }],
            ..live()
        }
    }

    fn is(session: &Session) -> bool {
        let shown = shown(session, REPORTS, Watch::default(), at(1_020));
        is_completed(session, &shown)
    }

    #[test]
    fn a_merge_completes_a_session_that_has_nothing_else_to_do() {
        assert!(is(&merged()));
        let with = |change: fn(&mut Session)| {
            let mut session = merged();
            change(&mut session);
            is(&session)
        };
        assert!(!with(|session| session.prs.push(pr(8))), "another is open");
        assert!(
            !with(|session| session.prs[0].state = PrState::Closed),
            "nothing was merged"
        );
        assert!(
            !with(|session| session.activity.state = ActivityState::Active),
            "it works"
        );
        assert!(
            !with(|session| session.activity.state = ActivityState::WaitingInput),
            "it asks"
        );
        assert!(
            !with(|session| session.messages_waiting = 1),
            "it is about to be told something"
        );
        assert!(
            !with(|session| session.merged_before = 1),
            "it was restored after that merge"
        );
        assert!(
            !with(|session| session.kind = SessionKind::Orchestrator),
            "no worker"
        );
        assert!(
            !with(|session| session.desired = Desired::Stop),
            "it ends already"
        );
        assert!(
            with(|session| session.phase = Phase::Finished),
            "its agent ended by itself"
        );
        assert!(with(|session| {
            session.merged_before = 1;
            session.prs.push(PrSummary {
                state: PrState::Merged,
                ..pr(8)
            });
        }));
    }
}
