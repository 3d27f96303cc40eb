use super::*;
use ao_domain::{
    Activity, Ci, Delay, Desired, Exit, Looked, Mergeability, PrState, PrSummary, ProcessFacts, ProjectId,
    Review, SessionId, SessionKind, Wall, WorktreeState,
};
use expect_test::expect_file;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

/// A session that runs and whose process was just seen alive.
pub(crate) fn live() -> Session {
    let project: ProjectId = "web".parse().unwrap();
    Session {
        id: SessionId::new(&project, 1),
        project,
        num: 1,
        kind: SessionKind::Worker,
        issue: None,
        harness: "shell".to_owned(),
        runtime: "pty".to_owned(),
        display_name: None,
        prompt: None,
        command: vec!["make".to_owned()],
        desired: Desired::Run,
        discard: false,
        phase: Phase::Live,
        phase_at: at(1_000),
        generation: 1,
        secret: "0".repeat(32),
        repo: "/repo".into(),
        base: "main".to_owned(),
        branch: "ao/web-1".to_owned(),
        branch_given: false,
        worktree: "/data/worktrees/web/web-1".into(),
        worktree_state: WorktreeState::Active,
        holdings: Vec::new(),
        rescue_ref: None,
        activity: Activity {
            state: ActivityState::Idle,
            since: at(1_000),
        },
        first_signal_at: None,
        process: Some(process(Looked::Alive)),
        native_id: None,
        title: None,
        last_message: None,
        summary: None,
        tool: None,
        said_why: None,
        dialog: None,
        delay: None,
        trouble: None,
        wall: None,
        messages_waiting: 0,
        waiting_since: None,
        prs: Vec::new(),
        merged_before: 0,
        foreign_code: false,
        setup: Default::default(),
        provisioning: None,
        ticket: 1,
        queued_for: None,
        replaces: None,
        spares_worktree: false,
        model: None,
        permissions: ao_domain::PermissionMode::Default,
        end_reason: None,
        ended_at: None,
        failure: None,
        revision: 1,
        created_at: at(990),
        updated_at: at(1_000),
    }
}

pub(crate) fn process(looked: Looked) -> ProcessFacts {
    ProcessFacts {
        generation: 1,
        holder: None,
        agent: None,
        looked,
        looked_at: at(1_000),
        since: at(1_000),
        looks: 1,
        exit: None,
        note: None,
    }
}

/// An open pull request of which nothing bad is known.
pub(crate) fn pr(id: u64) -> PrSummary {
    PrSummary {
        id,
        url: format!("https://forge.example/acme/web/pull/{id}"),
        number: id,
        title: "a change".to_owned(),
        state: PrState::Open,
        ci: Ci::Unknown,
        failing: Vec::new(),
        review: Review::None,
        mergeability: Mergeability::Unknown,
        head_branch: format!("ao/web-1/{id}"),
        base_branch: "main".to_owned(),
        head: "1".repeat(40),
        changed_at: at(1_015),
        trouble: None,
    }
}

fn red(id: u64) -> PrSummary {
    PrSummary {
        ci: Ci::Failing,
        failing: vec!["ci / build".to_owned(), "ci / test".to_owned()],
        ..pr(id)
    }
}

const SILENT: Habits = Habits {
    reports: false,
    greets: false,
    prompted: true,
    one_shot: false,
    takes: None,
};
const ONE_SHOT: Habits = Habits {
    reports: true,
    greets: true,
    prompted: true,
    one_shot: true,
    takes: None,
};
const REPORTS: Habits = Habits {
    reports: true,
    greets: true,
    prompted: true,
    one_shot: false,
    takes: None,
};

/// Each row of the table: what is so, and the session that has it.
fn rows() -> Vec<(&'static str, Session, Habits, Timestamp)> {
    let heard = |state| Session {
        first_signal_at: Some(at(1_010)),
        activity: Activity {
            state,
            since: at(1_010),
        },
        ..live()
    };
    let in_phase = |phase| Session {
        phase,
        process: None,
        ..live()
    };
    vec![
        (
            "it never came up",
            Session {
                phase: Phase::Ended,
                end_reason: Some(EndReason::SpawnFailed),
                failure: Some("`/repo` is not there".to_owned()),
                ..live()
            },
            REPORTS,
            at(1_020),
        ),
        (
            "somebody killed it",
            Session {
                phase: Phase::Freeing,
                end_reason: Some(EndReason::Killed),
                ended_at: Some(at(1_015)),
                ..live()
            },
            REPORTS,
            at(1_020),
        ),
        (
            "somebody kills it, and its agent takes its time",
            Session {
                phase: Phase::Stopping,
                end_reason: Some(EndReason::Killed),
                ..heard(ActivityState::Active)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "somebody kills it while its agent is started",
            Session {
                end_reason: Some(EndReason::Killed),
                ..in_phase(Phase::Stopping)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "it was killed, and is killed again for its worktree",
            Session {
                phase: Phase::Stopping,
                end_reason: Some(EndReason::Killed),
                ended_at: Some(at(1_015)),
                ..live()
            },
            REPORTS,
            at(1_020),
        ),
        (
            "the agent ended by itself",
            Session {
                phase: Phase::Finished,
                end_reason: Some(EndReason::Exited),
                process: Some(ProcessFacts {
                    exit: Some(Exit::Code(2)),
                    ..process(Looked::Dead)
                }),
                ..live()
            },
            REPORTS,
            at(1_020),
        ),
        (
            "the agent ended by itself, and said why",
            Session {
                phase: Phase::Finished,
                end_reason: Some(EndReason::Exited),
                process: Some(ProcessFacts {
                    exit: Some(Exit::Code(0)),
                    ..process(Looked::Dead)
                }),
                said_why: Some("prompt_input_exit".to_owned()),
                ..heard(ActivityState::Exited)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "it waits for a place",
            in_phase(Phase::Queued),
            REPORTS,
            at(1_020),
        ),
        (
            "its worktree is being made",
            in_phase(Phase::Worktree),
            REPORTS,
            at(1_020),
        ),
        (
            "its launch is being prepared",
            in_phase(Phase::Prepare),
            REPORTS,
            at(1_020),
        ),
        (
            "its agent is being started",
            in_phase(Phase::Launch),
            REPORTS,
            at(1_020),
        ),
        (
            "a step failed and is tried again",
            Session {
                failure: Some("no space left".to_owned()),
                ..in_phase(Phase::Launch)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "its process was seen to be gone, the child has not acted yet",
            Session {
                process: Some(process(Looked::Dead)),
                ..live()
            },
            REPORTS,
            at(1_020),
        ),
        (
            "it was found again, and nobody has looked at its process yet",
            Session {
                process: None,
                ..heard(ActivityState::Active)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "its holder does not answer, and its last word was `working`",
            Session {
                process: Some(process(Looked::Failed)),
                ..heard(ActivityState::Active)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "nobody looked for two minutes",
            heard(ActivityState::Active),
            REPORTS,
            at(1_120),
        ),
        ("it runs and ends when done", live(), ONE_SHOT, at(1_020)),
        ("it runs and has not reported yet", live(), REPORTS, at(1_020)),
        (
            "it runs, and says nothing until it is asked something",
            live(),
            Habits {
                greets: false,
                ..REPORTS
            },
            at(1_020),
        ),
        (
            "it runs and has not reported for 90 s",
            live(),
            REPORTS,
            at(1_090),
        ),
        ("it runs and never reports", live(), SILENT, at(1_020)),
        (
            "it says that it works",
            heard(ActivityState::Active),
            REPORTS,
            at(1_020),
        ),
        (
            "it says which tool it uses",
            Session {
                tool: Some("Bash".to_owned()),
                ..heard(ActivityState::Active)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "it says that it waits",
            heard(ActivityState::Idle),
            REPORTS,
            at(1_020),
        ),
        (
            "it says that it waits, and why",
            Session {
                said_why: Some("user_interrupt".to_owned()),
                ..heard(ActivityState::Idle)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "it works, and its screen says that it waits for another try",
            Session {
                delay: Some(Delay {
                    said: "529 Overloaded, attempt 3/10".to_owned(),
                    until: None,
                }),
                ..heard(ActivityState::Active)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "it works, and its screen says that it waits for another try, and until when",
            Session {
                delay: Some(Delay {
                    said: "529 Overloaded, attempt 3/10".to_owned(),
                    until: Some(at(1_033)),
                }),
                ..heard(ActivityState::Active)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "it waits after a turn that an error has ended",
            Session {
                trouble: Some("rate_limit: API Error: Request rejected (429)".to_owned()),
                ..heard(ActivityState::Idle)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "it waits for its quota, and says until when",
            Session {
                trouble: Some(
                    "rate_limit: You've hit your 5-hour limit \u{b7} resets 12:20am (UTC)".to_owned(),
                ),
                wall: Some(Wall::met(at(1_010), Some(at(1_260)))),
                ..heard(ActivityState::Idle)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "the same, for less long than anybody has looked",
            Session {
                trouble: Some(
                    "rate_limit: You've hit your 5-hour limit \u{b7} resets 12:18am (UTC)".to_owned(),
                ),
                wall: Some(Wall::met(at(1_010), Some(at(1_080)))),
                ..heard(ActivityState::Idle)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "the same, after that time",
            Session {
                trouble: Some(
                    "rate_limit: You've hit your 5-hour limit \u{b7} resets 12:18am (UTC)".to_owned(),
                ),
                wall: Some(Wall::met(at(1_010), Some(at(1_080)))),
                ..heard(ActivityState::Idle)
            },
            REPORTS,
            at(1_080),
        ),
        (
            "it waits for its quota, and does not say until when",
            Session {
                trouble: Some("rate_limit: API Error: Request rejected (429)".to_owned()),
                wall: Some(Wall::met(at(1_010), None).or_for(Duration::from_secs(900))),
                ..heard(ActivityState::Idle)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "the same, and its clock was set back by a day",
            Session {
                trouble: Some("rate_limit: API Error: Request rejected (429)".to_owned()),
                wall: Some(Wall::met(at(90_000), None).or_for(Duration::from_secs(900))),
                ..heard(ActivityState::Idle)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "it waits, and a message has waited for a minute",
            Session {
                messages_waiting: 1,
                waiting_since: Some(at(1_000)),
                ..heard(ActivityState::Idle)
            },
            REPORTS,
            at(1_060),
        ),
        (
            "its screen shows which dialog is open",
            Session {
                dialog: Some(ao_domain::Dialog {
                    text: vec![
                        "Create file".to_owned(),
                        "Do you want to create a.txt?".to_owned(),
                    ],
                    choices: Vec::new(),
                    lines: Vec::new(),
                    menu: None,
                }),
                ..heard(ActivityState::WaitingInput)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "its screen shows a dialog, and no hook has told of one",
            Session {
                dialog: Some(ao_domain::Dialog {
                    text: vec!["Do you trust the files in this folder?".to_owned()],
                    choices: Vec::new(),
                    lines: Vec::new(),
                    menu: None,
                }),
                ..live()
            },
            REPORTS,
            at(1_020),
        ),
        (
            "it has a dialog open, says for which tool, and its screen is not read yet",
            Session {
                tool: Some("Bash".to_owned()),
                said_why: Some("Tool permission requested".to_owned()),
                ..heard(ActivityState::WaitingInput)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "it has a dialog open, and says why",
            Session {
                said_why: Some("User question requested".to_owned()),
                ..heard(ActivityState::WaitingInput)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "it has a dialog open",
            heard(ActivityState::WaitingInput),
            REPORTS,
            at(1_020),
        ),
        (
            "it waits, and checks of its pull request have failed",
            Session {
                prs: vec![pr(6), red(7)],
                ..heard(ActivityState::Idle)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "it works, and checks of its pull request have failed",
            Session {
                prs: vec![red(7)],
                ..heard(ActivityState::Active)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "it waits, and a reviewer asks for changes",
            Session {
                prs: vec![PrSummary {
                    review: Review::ChangesRequested,
                    mergeability: Mergeability::Mergeable,
                    ..pr(7)
                }],
                ..heard(ActivityState::Idle)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "it waits, and its pull request is a draft",
            Session {
                prs: vec![PrSummary {
                    state: PrState::Draft,
                    ..pr(7)
                }],
                ..heard(ActivityState::Idle)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "it waits for a reviewer",
            Session {
                prs: vec![PrSummary {
                    review: Review::Required,
                    ..pr(7)
                }],
                ..heard(ActivityState::Idle)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "it waits, and checks of its pull request run",
            Session {
                prs: vec![PrSummary {
                    ci: Ci::Pending,
                    ..pr(7)
                }],
                ..heard(ActivityState::Idle)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "it waits, and its pull request cannot be read",
            Session {
                prs: vec![PrSummary {
                    trouble: Some("it is not there, or the token may not see it".to_owned()),
                    ..pr(7)
                }],
                ..heard(ActivityState::Idle)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "its pull request is approved",
            Session {
                prs: vec![PrSummary {
                    review: Review::Approved,
                    ..pr(7)
                }],
                ..heard(ActivityState::Idle)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "its pull request can be merged; another waits for it",
            Session {
                prs: vec![
                    PrSummary {
                        mergeability: Mergeability::Mergeable,
                        ..pr(7)
                    },
                    PrSummary {
                        base_branch: "ao/web-1/7".to_owned(),
                        ..pr(8)
                    },
                ],
                ..heard(ActivityState::Idle)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "its pull request was merged",
            Session {
                prs: vec![PrSummary {
                    state: PrState::Merged,
                    ..pr(7)
                }],
                ..heard(ActivityState::Idle)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "it was merged, and is over",
            Session {
                phase: Phase::Ended,
                end_reason: Some(EndReason::Completed),
                prs: vec![PrSummary {
                    state: PrState::Merged,
                    ..pr(7)
                }],
                ..heard(ActivityState::Idle)
            },
            REPORTS,
            at(1_020),
        ),
        (
            "it says that it ended, its process runs",
            heard(ActivityState::Exited),
            REPORTS,
            at(1_020),
        ),
    ]
}

#[test]
fn the_table_is_the_one_in_the_docs() {
    let mut table = "# Status\n\nWorked out at every read by `workers/derive/src/status.rs`, which prints this page (`just gen`). The first rule \
         that\nfits decides, in this order.\n\n| What is so | status | reason | evidence | worked out again after |\n|---|---|---|---|---|\n"
        .to_owned();
    for (what, session, habits, now) in rows() {
        let shown = shown(&session, habits, Watch::default(), now);
        let again = shown.valid_until.map_or("–".to_owned(), |until| {
            format!("{} s", until.since(now).as_secs())
        });
        table += &format!(
            "| {what} | `{}` | {} | {} | {again} |\n",
            shown.status, shown.reason, shown.evidence
        );
    }
    expect_file!["../../../../docs/status.md"].assert_eq(&table);
}

#[test]
fn every_status_has_a_row_and_a_word_of_its_own() {
    for status in Status::ALL {
        assert!(
            rows()
                .iter()
                .any(|(_, s, h, now)| shown(s, *h, Watch::default(), *now).status == *status),
            "{status} is never shown"
        );
    }
    let words: std::collections::BTreeSet<_> = Status::ALL.iter().map(|s| s.as_str()).collect();
    assert_eq!(words.len(), Status::ALL.len());
}

#[test]
fn a_sweep_keeps_the_evidence_fresh() {
    let session = Session {
        first_signal_at: Some(at(1_010)),
        activity: Activity {
            state: ActivityState::Active,
            since: at(1_010),
        },
        ..live()
    };
    let status =
        |swept: Option<Timestamp>, now| shown(&session, REPORTS, Watch { swept_at: swept }, now).status;
    assert_eq!(status(None, at(1_119)), Status::Working);
    assert_eq!(status(None, at(1_120)), Status::Unknown);
    assert_eq!(status(Some(at(1_100)), at(1_219)), Status::Working);
}

#[test]
fn a_look_from_before_the_clock_was_set_back_is_no_evidence() {
    let session = Session {
        phase_at: at(5_000),
        ..live()
    };
    let looked = |at| {
        Some(ProcessFacts {
            looked_at: at,
            ..process(Looked::Alive)
        })
    };
    let status = |process, swept_at, now| {
        shown(
            &Session {
                process,
                ..session.clone()
            },
            ONE_SHOT,
            Watch { swept_at },
            now,
        )
        .status
    };
    assert_eq!(status(looked(at(4_600)), None, at(1_000)), Status::Unknown);
    assert_eq!(
        status(looked(at(4_600)), Some(at(4_600)), at(1_000)),
        Status::Unknown
    );
    assert_eq!(
        status(looked(at(4_600)), Some(at(990)), at(1_000)),
        Status::Working,
        "a look since then counts"
    );
    assert_eq!(status(looked(at(1_000)), None, at(1_000)), Status::Working);
}

#[test]
fn a_terminal_that_is_gone_is_told() {
    let process = ProcessFacts {
        note: Some("its terminal is gone".to_owned()),
        ..process(Looked::Alive)
    };
    let session = Session {
        process: Some(process),
        ..live()
    };
    let shown = shown(&session, ONE_SHOT, Watch::default(), at(1_020));
    assert_eq!(
        (shown.status, shown.reason.as_str()),
        (Status::Working, "its process runs; its terminal is gone")
    );
}

/// A reason stands in a line of a list; what a command printed before it failed does not.
#[test]
fn of_a_failure_the_first_line_is_the_reason() {
    let failure = Some("post-create command 1 of 1 failed, `make`: exit status 4\nline 1\nline 2".to_owned());
    let first = "post-create command 1 of 1 failed, `make`: exit status 4";
    let tried = Session {
        phase: Phase::Provision,
        failure: failure.clone(),
        ..live()
    };
    let reason = |session: &Session| shown(session, REPORTS, Watch::default(), at(1_020)).reason;
    assert_eq!(reason(&tried), format!("trying again: {first}"));
    let failed = Session {
        failure,
        phase: Phase::Ended,
        end_reason: Some(EndReason::SpawnFailed),
        ..live()
    };
    assert_eq!(reason(&failed), first);
}

/// No facts whatever may make it panic or show a dead agent as working.
#[test]
fn a_dead_process_is_never_shown_as_working() {
    for state in ActivityState::ALL {
        for phase in Phase::ALL {
            for looked in Looked::ALL {
                let session = Session {
                    phase: *phase,
                    process: Some(process(*looked)),
                    first_signal_at: Some(at(1_010)),
                    activity: Activity {
                        state: *state,
                        since: at(1_010),
                    },
                    ..live()
                };
                let shown = shown(&session, REPORTS, Watch::default(), at(1_020));
                if *looked != Looked::Alive {
                    assert!(
                        !matches!(shown.status, Status::Working | Status::Idle | Status::NeedsInput),
                        "{shown:?}"
                    );
                }
            }
        }
    }
}

/// An agent that has said that it is there, and has not yet been asked anything, may still paint a question: on a slow machine that
/// takes its time. One that waits for work after a turn is left alone.
#[test]
fn a_question_that_is_painted_late_is_looked_for() {
    let started = live().phase_at;
    let greeted = Session {
        first_signal_at: Some(started.plus(Duration::from_secs(1))),
        activity: Activity {
            state: ActivityState::Idle,
            since: started,
        },
        ..live()
    };
    let later = started.plus(Duration::from_secs(600));
    assert_eq!(screen_look(&greeted, later), Some(Duration::from_secs(5)));
    let worked = Session {
        activity: Activity {
            state: ActivityState::Idle,
            since: started.plus(Duration::from_secs(2)),
        },
        ..greeted
    };
    assert_eq!(screen_look(&worked, later), None);
}
