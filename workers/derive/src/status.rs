//! The one table of what a session's status is, printed into `docs/status.md` by a test.

mod pull_requests;

use std::fmt;
use std::time::Duration;

use ao_domain::port::agent::{Description, Style, Takes};
use ao_domain::{ActivityState, EndReason, Liveness, Phase, Session, Timestamp};

use crate::liveness;

/// How long an agent that reports may be silent after its start before nobody knows what it does: the slowest start
/// seen of a real one took a minute.
pub const NO_SIGNAL_AFTER: Duration = Duration::from_secs(90);

/// How old the newest look may be before it is no evidence any more: eight sweeps.
pub const STALE_AFTER: Duration = Duration::from_secs(120);

/// The badge of a session. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It is on its way up: waiting for a place, or being set up.
    Queued,
    /// The agent works.
    Working,
    /// A dialog is open: a person has to decide.
    NeedsInput,
    /// The agent waits for work.
    Idle,
    /// Nobody knows; the reason says why.
    Unknown,
    /// It never came up; the reason says why.
    Failed,
    /// The agent is over.
    Terminated,
    /// Its work was merged.
    Merged,
    /// Checks of its pull request have failed.
    CiFailed,
    /// A reviewer asks for changes.
    ChangesRequested,
    /// Its pull request is a draft.
    Draft,
    /// Its pull request waits for a reviewer.
    ReviewPending,
    /// Its pull request is open, and there is nothing else to say of it.
    PrOpen,
    /// Its pull request was approved.
    Approved,
    /// Its pull request can be merged.
    Mergeable,
}

impl Status {
    /// Every status there is.
    pub const ALL: &'static [Self] = &[
        Self::Queued,
        Self::Working,
        Self::NeedsInput,
        Self::Idle,
        Self::Unknown,
        Self::Failed,
        Self::Terminated,
        Self::Merged,
        Self::CiFailed,
        Self::ChangesRequested,
        Self::Draft,
        Self::ReviewPending,
        Self::PrOpen,
        Self::Approved,
        Self::Mergeable,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Working => "working",
            Self::NeedsInput => "needs_input",
            Self::Idle => "idle",
            Self::Unknown => "unknown",
            Self::Failed => "failed",
            Self::Terminated => "terminated",
            Self::Merged => "merged",
            Self::CiFailed => "ci_failed",
            Self::ChangesRequested => "changes_requested",
            Self::Draft => "draft",
            Self::ReviewPending => "review_pending",
            Self::PrOpen => "pr_open",
            Self::Approved => "approved",
            Self::Mergeable => "mergeable",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the session's agent is known to do, from its description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// Whether its hooks report what it does.
    pub reports: bool,
    /// Whether it ends when its work is done, so that a running one works.
    pub one_shot: bool,
    /// How it takes messages, if it does.
    pub takes: Option<Takes>,
}

impl Habits {
    /// Of an agent that this program does not know any more: nothing to count on.
    pub const NONE: Self = Self {
        reports: false,
        one_shot: false,
        takes: None,
    };

    /// As its description has them.
    pub fn of(agent: &Description) -> Self {
        Self {
            reports: agent.reports,
            one_shot: agent.style == Style::OneShot,
            takes: agent.takes,
        }
    }
}

/// What is known of those who look, beside the session's own rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// When a sweep last looked at every session and found no disagreement.
    pub swept_at: Option<Timestamp>,
}

/// A status with what stands behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The badge.
    pub status: Status,
    /// The same without what its pull requests add: what its agent does. Never one of their words.
    pub agent: Status,
    /// Why, for a person, in a few words.
    pub reason: String,
    /// Since when it has been so.
    pub since: Timestamp,
    /// What it was worked out from: `process`, `exit`, `hook`, `screen`, `phase` or `forge`.
    pub evidence: &'static str,
    /// The judge's word about the process.
    pub liveness: Liveness,
    /// When the answer has to be worked out again, although no row will have changed.
    pub valid_until: Option<Timestamp>,
}

/// How long a message may wait before the status says so.
pub const SAYS_WAITING_AFTER: Duration = Duration::from_secs(60);

/// How long after its start, or after a state was entered, an agent's dialog may not be painted yet and is looked for often.
const PAINTING: Duration = Duration::from_secs(10);

/// How soon to look at an agent's screen again for what its hooks do not tell; `None` where nothing is to be expected: it has said
/// a while ago that it waits for work, no dialog was there, and nothing waits for it.
pub fn screen_look(session: &Session, now: Timestamp) -> Option<Duration> {
    let is_new = |since: Timestamp| now < since.plus(PAINTING);
    let recent = is_new(session.activity.since);
    let pause = match session.activity.state {
        // It may be gone with what was said since.
        _ if session.dialog.is_some() && recent => 200,
        _ if session.dialog.is_some() => 1_000,
        ActivityState::WaitingInput if recent => 200,
        ActivityState::WaitingInput => 1_000,
        ActivityState::Active => 2_000,
        // What it asks before it says anything, after a turn, or when a person calls for it.
        ActivityState::Idle if session.first_signal_at.is_none() && is_new(session.phase_at) => 500,
        ActivityState::Idle if session.first_signal_at.is_none() => 5_000,
        ActivityState::Idle if recent || session.messages_waiting > 0 => 1_000,
        ActivityState::Idle | ActivityState::Exited => return None,
    };
    Some(Duration::from_millis(pause))
}

/// A session's status at `now`. The first rule that fits decides; their order is the table of `docs/status.md`.
pub fn shown(session: &Session, habits: Habits, watch: Watch, now: Timestamp) -> Shown {
    let mut shown = pull_requests::added(session, without_prs(session, habits, watch, now));
    let is_over = session.is_terminated() || matches!(shown.status, Status::Terminated | Status::Failed);
    if let Some(since) = session.waiting_since.filter(|_| !is_over) {
        let due = since.plus(SAYS_WAITING_AFTER);
        if now >= due {
            let count = session.messages_waiting;
            let messages = if count == 1 {
                "a message waits".to_owned()
            } else {
                format!("{count} messages wait")
            };
            shown.reason = format!("{}; {messages} since {since}", shown.reason);
        } else {
            shown.valid_until = Some(shown.valid_until.map_or(due, |until| until.min(due)));
        }
    }
    shown
}

fn without_prs(session: &Session, habits: Habits, watch: Watch, now: Timestamp) -> Shown {
    let alive = liveness(session.process.as_ref(), session.generation);
    let answer = |status, reason: String, since, evidence| Shown {
        status,
        agent: status,
        reason,
        since,
        evidence,
        liveness: alive,
        valid_until: None,
    };
    let ended = session.ended_at.unwrap_or(session.phase_at);

    if session.end_reason == Some(EndReason::SpawnFailed) {
        let why = session
            .failure
            .clone()
            .unwrap_or_else(|| "it could not be started".to_owned());
        return answer(Status::Failed, why, ended, "phase");
    }
    if session.is_terminated() {
        return answer(Status::Terminated, end_in_words(session), ended, "exit");
    }
    if session.phase != Phase::Live {
        let reason = match (&session.failure, session.phase) {
            (Some(failure), _) => format!("trying again: {failure}"),
            (None, Phase::Queued) => "waiting for a place".to_owned(),
            (None, Phase::Worktree) => "making the worktree".to_owned(),
            (None, Phase::Prepare) => "preparing the launch".to_owned(),
            (None, _) => "starting the agent".to_owned(),
        };
        return answer(Status::Queued, reason, session.phase_at, "phase");
    }
    if alive == Liveness::Dead {
        let process = session.process.as_ref();
        let since = process.map_or(session.phase_at, |process| process.since);
        return answer(Status::Terminated, end_in_words(session), since, "process");
    }
    if alive == Liveness::NotYet {
        return answer(
            Status::Unknown,
            "nobody has looked at the agent yet".to_owned(),
            session.phase_at,
            "phase",
        );
    }
    if let (Liveness::Unknown, Some(process)) = (alive, &session.process) {
        let why = process.note.as_deref().unwrap_or("the holder does not answer");
        return answer(
            Status::Unknown,
            format!("nobody knows whether the agent runs: {why}"),
            process.since,
            "process",
        );
    }
    // A look later than now was made before the clock was set back: nobody knows how long ago that is.
    let looks = [
        session.process.as_ref().map(|process| process.looked_at),
        watch.swept_at,
    ];
    let looked = looks.into_iter().flatten().filter(|at| *at <= now).max();
    let fresh_until = looked.map_or(now, |at| at.plus(STALE_AFTER));
    if now >= fresh_until {
        let reason = format!("nobody has looked at the agent for {} s", STALE_AFTER.as_secs());
        return answer(Status::Unknown, reason, fresh_until, "process");
    }
    let note = session
        .process
        .as_ref()
        .and_then(|process| process.note.as_deref());
    let until = |shown: Shown, at: Timestamp| Shown {
        valid_until: Some(at.min(fresh_until)),
        // What a person should know about a look that found it alive, such as that its terminal is gone.
        reason: note.map_or_else(
            || shown.reason.clone(),
            |note| format!("{}; {note}", shown.reason),
        ),
        ..shown
    };
    // Its hooks may come later than its dialog, or not at all.
    if let Some(dialog) = &session.dialog
        && session.activity.state != ActivityState::WaitingInput
    {
        let asked = dialog.text.last().map_or("", String::as_str);
        let reason = format!("its screen shows a dialog: {asked}");
        let shown = answer(Status::NeedsInput, reason, session.updated_at, "screen");
        return until(shown, fresh_until);
    }
    if session.first_signal_at.is_none() {
        if habits.one_shot {
            let shown = answer(
                Status::Working,
                "its process runs".to_owned(),
                session.phase_at,
                "process",
            );
            return until(shown, fresh_until);
        }
        let silent_at = session.phase_at.plus(NO_SIGNAL_AFTER);
        if habits.reports && now >= silent_at {
            let reason = format!(
                "it runs, but has not reported within {} s",
                NO_SIGNAL_AFTER.as_secs()
            );
            return until(answer(Status::Unknown, reason, silent_at, "hook"), fresh_until);
        }
        let shown = answer(
            Status::Idle,
            "started, nothing heard of it yet".to_owned(),
            session.phase_at,
            "process",
        );
        return until(shown, if habits.reports { silent_at } else { fresh_until });
    }
    let (status, reason) = match session.activity.state {
        ActivityState::WaitingInput => (
            Status::NeedsInput,
            match session.dialog.as_ref().and_then(|dialog| dialog.text.last()) {
                Some(question) => format!("a person has to decide: {question}"),
                None => "a person has to decide".to_owned(),
            },
        ),
        ActivityState::Active => (
            Status::Working,
            match &session.delay {
                Some(delay) => format!("it waits to try again: {delay}"),
                None => "it says that it works".to_owned(),
            },
        ),
        ActivityState::Idle => (
            Status::Idle,
            match &session.trouble {
                Some(trouble) => format!("an error ended its last turn, and it waits: {trouble}"),
                None => "it says that it waits for work".to_owned(),
            },
        ),
        ActivityState::Exited => (
            Status::Unknown,
            "it says that it ended, but its process runs".to_owned(),
        ),
    };
    until(
        answer(status, reason, session.activity.since, "hook"),
        fresh_until,
    )
}

fn end_in_words(session: &Session) -> String {
    let exit = session.process.as_ref().and_then(|process| process.exit);
    match (session.end_reason, exit) {
        (Some(EndReason::Killed), _) => "killed".to_owned(),
        (Some(EndReason::Completed), _) => "its work is done".to_owned(),
        (_, Some(exit)) => format!("the agent ended with {exit}"),
        (Some(EndReason::RuntimeDead), None) => "its process is gone without an exit record".to_owned(),
        (_, None) => "its process is gone".to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ao_domain::{
        Activity, Ci, Desired, Exit, Looked, Mergeability, PrState, PrSummary, ProcessFacts, ProjectId,
        Review, SessionId, SessionKind, WorktreeState,
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
            dialog: None,
            delay: None,
            trouble: None,
            messages_waiting: 0,
            waiting_since: None,
            prs: Vec::new(),
            merged_before: 0,
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
        one_shot: false,
        takes: None,
    };
    const ONE_SHOT: Habits = Habits {
        reports: true,
        one_shot: true,
        takes: None,
    };
    const REPORTS: Habits = Habits {
        reports: true,
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
                    phase: Phase::Stopping,
                    end_reason: Some(EndReason::Killed),
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
                "it says that it waits",
                heard(ActivityState::Idle),
                REPORTS,
                at(1_020),
            ),
            (
                "it works, and its screen says that it waits for another try",
                Session {
                    delay: Some("529 Overloaded, attempt 3/10".to_owned()),
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
                    }),
                    ..live()
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
        expect_file!["../../../docs/status.md"].assert_eq(&table);
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
}
