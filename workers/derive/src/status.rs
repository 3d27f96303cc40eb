//! The one table of what a session's status is, printed into `docs/status.md` by a test.

mod pull_requests;

use std::fmt;
use std::time::Duration;

use ao_domain::foreign_text::first_line;
use ao_domain::port::agent::{Description, Style, Takes};
use ao_domain::{
    ActivityState, Dialog, EndReason, Liveness, Phase, Provisioning, QueuedFor, Session, Timestamp, Wall,
};

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
    /// Whether they do as soon as it has started, and not only when it is asked something.
    pub greets: bool,
    /// Whether it is asked its prompt by its command line.
    pub prompted: bool,
    /// Whether it ends when its work is done, so that a running one works.
    pub one_shot: bool,
    /// How it takes messages, if it does.
    pub takes: Option<Takes>,
}

impl Habits {
    /// Of an agent that this program does not know any more: nothing to count on.
    pub const NONE: Self = Self {
        reports: false,
        greets: false,
        prompted: false,
        one_shot: false,
        takes: None,
    };

    /// As its description has them.
    pub fn of(agent: &Description) -> Self {
        Self {
            reports: agent.reports,
            greets: agent.greets,
            prompted: agent.prompted,
            one_shot: agent.style == Style::OneShot,
            takes: agent.takes,
        }
    }

    /// Whether an agent that has just started is going to say something by itself: an agent that greets nobody speaks when it is
    /// asked, and what is restored is not asked its prompt again.
    pub(crate) fn speaks_first(self, session: &Session) -> bool {
        let is_asked = self.prompted && session.prompt.is_some() && session.generation == 1;
        self.reports && (self.greets || is_asked)
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
    /// Until when its agent can do nothing, because its quota is used up.
    pub wall_until: Option<Timestamp>,
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
        // That it is there says nothing of what it asks then: on a slow machine that is painted later.
        ActivityState::Idle if session.activity.since <= session.phase_at => 5_000,
        // What waits for a quota may wait for days.
        ActivityState::Idle if recent => 1_000,
        ActivityState::Idle if session.messages_waiting > 0 && session.wall_at(now).is_none() => 1_000,
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
        wall_until: None,
    };
    let ended = session.ended_at.unwrap_or(session.phase_at);

    if session.end_reason == Some(EndReason::SpawnFailed) {
        let why = session
            .failure
            .as_deref()
            .map_or("it could not be started", first_line);
        return answer(Status::Failed, why.to_owned(), ended, "phase");
    }
    // That it is to end says nothing about whether it has: an agent may take all the time that it is given to say good-bye.
    let is_ending = session.phase == Phase::Stopping && session.ended_at.is_none() && alive != Liveness::Dead;
    if session.is_terminated() && !is_ending {
        return answer(Status::Terminated, end_in_words(session), ended, "exit");
    }
    if session.phase != Phase::Live && !is_ending {
        let reason = match (&session.failure, session.phase) {
            (Some(failure), _) => format!("trying again: {}", first_line(failure)),
            (None, Phase::Queued) => waits_for(session).to_owned(),
            (None, Phase::Worktree) => "making the worktree".to_owned(),
            (None, Phase::Provision) => furnishing(session),
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
    if alive == Liveness::NotYet && is_ending {
        return answer(
            Status::Unknown,
            "it is being ended, and nobody has looked whether its agent was started".to_owned(),
            session.phase_at,
            "phase",
        );
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
    let until = |shown: Shown, at: Timestamp| {
        let ending = if is_ending { "it is being ended; " } else { "" };
        // What a person should know about a look that found it alive, such as that its terminal is gone.
        let note = note.map_or_else(String::new, |note| format!("; {note}"));
        Shown {
            valid_until: Some(at.min(fresh_until)),
            reason: format!("{ending}{}{note}", shown.reason),
            ..shown
        }
    };
    // Its hooks may come later than its dialog, or not at all.
    if let Some(dialog) = &session.dialog
        && session.activity.state != ActivityState::WaitingInput
    {
        let asked = question(dialog).unwrap_or_default();
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
        if !habits.reports {
            let reason = "it runs, and tells nobody what it does".to_owned();
            let shown = answer(Status::Unknown, reason, session.phase_at, "process");
            return until(shown, fresh_until);
        }
        let silent_at = session.phase_at.plus(NO_SIGNAL_AFTER);
        let speaks_first = habits.speaks_first(session);
        if speaks_first && now >= silent_at {
            let reason = format!(
                "it runs, but has not reported within {} s",
                NO_SIGNAL_AFTER.as_secs()
            );
            return until(answer(Status::Unknown, reason, silent_at, "hook"), fresh_until);
        }
        let shown = answer(
            Status::Idle,
            if !speaks_first {
                "started; it says nothing until it is asked something".to_owned()
            } else {
                "started, nothing heard of it yet".to_owned()
            },
            session.phase_at,
            "process",
        );
        return until(shown, if speaks_first { silent_at } else { fresh_until });
    }
    if let Some(wall) = session.wall_at(now) {
        let why = session
            .trouble
            .as_deref()
            .map_or_else(String::new, |trouble| format!(": {trouble}"));
        let reason = format!("{}{why}", at_the_wall(wall));
        let shown = Shown {
            wall_until: Some(wall.until),
            ..answer(Status::Idle, reason, session.activity.since, "hook")
        };
        return until(shown, wall.until);
    }
    let (status, reason) = match session.activity.state {
        ActivityState::WaitingInput => (
            Status::NeedsInput,
            match decision(session) {
                Some(decision) => format!("a person has to decide: {decision}"),
                None => "a person has to decide".to_owned(),
            },
        ),
        ActivityState::Active => (
            Status::Working,
            match (&session.delay, &session.tool) {
                (Some(delay), _) => format!("it {}: {}", delay.waits(), delay.said),
                (None, Some(tool)) => format!("it says that it works: it uses {tool}"),
                (None, None) => "it says that it works".to_owned(),
            },
        ),
        ActivityState::Idle => (
            Status::Idle,
            match &session.trouble {
                Some(trouble) => format!("an error ended its last turn, and it waits: {trouble}"),
                None => format!("it says that it waits for work{}", in_its_words(session)),
            },
        ),
        ActivityState::Exited => (
            Status::Unknown,
            format!(
                "it says that it ended{}, but its process runs",
                in_its_words(session)
            ),
        ),
    };
    until(
        answer(status, reason, session.activity.since, "hook"),
        fresh_until,
    )
}

/// What a dialog asks, in one line: its last question, or its last line where it puts none.
fn question(dialog: &Dialog) -> Option<&str> {
    let asked = |line: &'_ String| -> Option<usize> {
        let mut ends = line.match_indices('?').map(|(at, _)| at + 1);
        ends.rfind(|end| line[*end..].chars().next().is_none_or(char::is_whitespace))
    };
    let questions = dialog.text.iter().rev().find_map(|line| line.get(..asked(line)?));
    questions.or(dialog.text.last().map(String::as_str))
}

/// That its quota is used up, and until when.
pub(crate) fn at_the_wall(wall: Wall) -> String {
    if wall.is_told {
        format!("its quota is used up until {}", wall.until)
    } else {
        format!(
            "its quota is used up, and it does not say until when: it is asked nothing before {}",
            wall.until
        )
    }
}

/// What a person has to decide: the question on its screen, else the tool its hook names, else why it says that it waits.
fn decision(session: &Session) -> Option<String> {
    let question = session.dialog.as_ref().and_then(question);
    let tool = || {
        session
            .tool
            .as_ref()
            .map(|tool| format!("it wants to use {tool}"))
    };
    question
        .map(str::to_owned)
        .or_else(tool)
        .or_else(|| session.said_why.clone())
}

/// Why it is in its state, in brackets, where it says so.
fn in_its_words(session: &Session) -> String {
    let why = session.said_why.as_ref();
    why.map(|why| format!(" ({why})")).unwrap_or_default()
}

fn waits_for(session: &Session) -> &'static str {
    match session.queued_for {
        None => "waiting in line",
        Some(QueuedFor::Place) => "waiting for a place: as many sessions run as may at once",
        Some(QueuedFor::Memory) => "waiting for memory: the machine has too little that is free",
        Some(QueuedFor::Turn) => "waiting for its turn: others are being started",
    }
}

fn furnishing(session: &Session) -> String {
    match &session.provisioning {
        Some(Provisioning {
            doing: Some(doing),
            done,
            of,
            ..
        }) => format!("setting up, command {} of {of}: {doing}", done + 1),
        _ => "linking and copying what the project shares".to_owned(),
    }
}

fn end_in_words(session: &Session) -> String {
    let exit = session.process.as_ref().and_then(|process| process.exit);
    match (session.end_reason, exit) {
        (Some(EndReason::Killed), _) => "killed".to_owned(),
        (Some(EndReason::Completed), _) => "its work is done".to_owned(),
        (Some(EndReason::Replaced), _) => "another orchestrator took its place".to_owned(),
        (Some(EndReason::Rebooted), _) => {
            let anew = if session.native_id.is_some() {
                ""
            } else {
                " --start-over"
            };
            format!(
                "the machine was restarted under it: ao session restore {}{anew}",
                session.id
            )
        }
        (_, Some(exit)) if session.activity.state == ActivityState::Exited => {
            format!("the agent ended with {exit}{}", in_its_words(session))
        }
        (_, Some(exit)) => format!("the agent ended with {exit}"),
        (Some(EndReason::RuntimeDead), None) => "its process is gone without an exit record".to_owned(),
        (_, None) => "its process is gone".to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
