//! What runs on a commit: check runs with their jobs, and statuses.

use serde_json::{Value, json};

use super::state::digits;

/// The app whose check runs are jobs.
pub(super) const ACTIONS: &str = "github-actions";

/// A check run, as a test makes it. It is queued until [`begin`](super::GitHub::begin) or [`finish`](super::GitHub::finish).
#[derive(Clone, Debug)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// The app's slug. Only check runs of `github-actions` are jobs with logs.
    pub app: String,
    /// The workflow's name; none for other apps.
    pub workflow: Option<String>,
    /// Which run of its workflow on this head. Another number is another suite: a run that was superseded stays listed.
    pub run: u64,
    /// What its workflow ran for.
    pub event: String,
    /// The title of its output.
    pub title: Option<String>,
    /// The summary of its output.
    pub summary: Option<String>,
    /// The text of its output.
    pub text: Option<String>,
    /// Where its details are; by default the job's page, or a page of the app's.
    pub details_url: Option<String>,
}

impl Check {
    /// A job of the workflow `CI`.
    pub fn job(name: &str) -> Self {
        Self {
            workflow: Some("CI".to_owned()),
            ..Self::by(ACTIONS, name)
        }
    }

    /// A check run of another app.
    pub fn by(app: &str, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            app: app.to_owned(),
            workflow: None,
            run: 1,
            event: "pull_request".to_owned(),
            title: None,
            summary: None,
            text: None,
            details_url: None,
        }
    }

    /// The app's number: that of Actions is GitHub's, the others follow from their names.
    pub(super) fn app_id(&self) -> u64 {
        match self.app.as_str() {
            ACTIONS => 15_368,
            other => 100_000 + u64::from(u16::from_str_radix(&digits(other)[..4], 16).unwrap_or_default()),
        }
    }

    pub(super) fn app_name(&self) -> &str {
        match self.app.as_str() {
            ACTIONS => "GitHub Actions",
            other => other,
        }
    }
}

/// A step of a job.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// How it ended, in capitals; `None` while it is under way.
    pub conclusion: Option<String>,
    /// When it began, in unix milliseconds; by default when its job did.
    pub started_ms: Option<i64>,
    /// When it ended; by default when its job did.
    pub completed_ms: Option<i64>,
}

impl Step {
    /// A step that ended so.
    pub fn new(name: &str, conclusion: &str) -> Self {
        Self {
            name: name.to_owned(),
            conclusion: Some(conclusion.to_owned()),
            started_ms: None,
            completed_ms: None,
        }
    }
}

/// A job's log. Its middle is made as it is sent, so that a long one needs no memory.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// How it begins.
    pub head: String,
    /// What comes again and again.
    pub filler: String,
    /// How often.
    pub times: u64,
    /// How it ends.
    pub tail: String,
}

impl Log {
    /// A log that is this text.
    pub fn text(text: &str) -> Self {
        Self {
            head: text.to_owned(),
            ..Self::default()
        }
    }

    /// At least so many bytes of a line, then the tail.
    pub fn long(line: &str, bytes: u64, tail: &str) -> Self {
        Self {
            head: String::new(),
            filler: line.to_owned(),
            times: bytes.div_ceil(line.len().max(1) as u64),
            tail: tail.to_owned(),
        }
    }

    pub(super) fn len(&self) -> u64 {
        let ends = self.head.len() + self.tail.len();
        ends as u64 + self.filler.len() as u64 * self.times
    }
}

/// A remark of a check run on a file.
#[derive(Clone, Debug)]
pub struct Annotation {
    /// The file; `.github` where the remark is on the run as a whole.
    pub path: String,
    /// Its first line.
    pub start_line: u64,
    /// Its last line.
    pub end_line: u64,
    /// `notice`, `warning` or `failure`.
    pub level: String,
    /// What it says.
    pub message: String,
    /// Its title.
    pub title: Option<String>,
}

impl Annotation {
    /// A failure on one line.
    pub fn failure(path: &str, line: u64, message: &str) -> Self {
        Self {
            path: path.to_owned(),
            start_line: line,
            end_line: line,
            level: "failure".to_owned(),
            message: message.to_owned(),
            title: None,
        }
    }

    /// As GraphQL has it.
    pub(super) fn node(&self) -> Value {
        let point =
            |line: u64| json!({"__typename": "CheckAnnotationPosition", "line": line, "column": null});
        json!({
            "__typename": "CheckAnnotation", "path": self.path, "title": self.title, "message": self.message,
            "annotationLevel": self.level.to_uppercase(), "rawDetails": null,
            "location": {"__typename": "CheckAnnotationSpan", "start": point(self.start_line),
                "end": point(self.end_line)},
        })
    }

    /// As REST has it.
    pub(super) fn json(&self) -> Value {
        json!({
            "path": self.path, "start_line": self.start_line, "end_line": self.end_line, "start_column": null,
            "end_column": null, "annotation_level": self.level, "title": self.title, "message": self.message,
            "raw_details": null,
        })
    }
}

/// A check run, as it stands.
#[derive(Clone, Debug)]
pub(super) struct CheckRun {
    pub(super) id: u64,
    pub(super) sha: String,
    pub(super) check: Check,
    /// The suite it is in: one per app, and per workflow run.
    pub(super) suite: u64,
    /// `QUEUED`, `IN_PROGRESS`, …
    pub(super) status: String,
    pub(super) conclusion: Option<String>,
    pub(super) started_ms: Option<i64>,
    pub(super) completed_ms: Option<i64>,
    /// Which attempt it is: one more with each rerun.
    pub(super) attempt: u64,
    /// A newer run of the same name in the same suite took its place.
    pub(super) is_replaced: bool,
    pub(super) steps: Vec<Step>,
    pub(super) log: Option<Log>,
    pub(super) annotations: Vec<Annotation>,
}

impl CheckRun {
    pub(super) fn queued(id: u64, sha: &str, check: Check, suite: u64, attempt: u64) -> Self {
        Self {
            id,
            sha: sha.to_owned(),
            check,
            suite,
            status: "QUEUED".to_owned(),
            conclusion: None,
            started_ms: None,
            completed_ms: None,
            attempt,
            is_replaced: false,
            steps: Vec::new(),
            log: None,
            annotations: Vec::new(),
        }
    }

    /// What GitHub counts it as: how it ended, else how it stands.
    pub(super) fn state(&self) -> &str {
        self.conclusion.as_deref().unwrap_or(&self.status)
    }

    pub(super) fn details_url(&self, web: &str, repository: &str) -> String {
        match &self.check.details_url {
            Some(url) => url.clone(),
            None if self.is_job() => {
                format!("{web}/{repository}/actions/runs/{}/job/{}", self.suite, self.id)
            }
            None => format!("https://{}.example/{}", self.check.app, self.id),
        }
    }

    pub(super) fn is_job(&self) -> bool {
        self.check.app == ACTIONS
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self.conclusion.as_deref() {
            Some("SUCCESS" | "NEUTRAL" | "SKIPPED") => Outcome::Good,
            Some("STALE") | None => Outcome::UnderWay,
            Some(_) => Outcome::Bad,
        }
    }
}

/// A commit status.
#[derive(Clone, Debug)]
pub(super) struct Status {
    pub(super) id: u64,
    pub(super) sha: String,
    pub(super) context: String,
    pub(super) state: String,
    pub(super) description: Option<String>,
    pub(super) target_url: Option<String>,
    pub(super) created_ms: i64,
}

impl Status {
    pub(super) fn outcome(&self) -> Outcome {
        match self.state.as_str() {
            "SUCCESS" => Outcome::Good,
            "PENDING" | "EXPECTED" => Outcome::UnderWay,
            _ => Outcome::Bad,
        }
    }
}

/// What a context means for the whole.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Outcome {
    Good,
    UnderWay,
    /// One of these decides.
    Bad,
}

impl Outcome {
    pub(super) fn state(self) -> &'static str {
        match self {
            Self::Good => "SUCCESS",
            Self::UnderWay => "PENDING",
            Self::Bad => "FAILURE",
        }
    }
}

/// One entry of a rollup.
#[derive(Clone, Copy)]
pub(super) enum Context<'a> {
    Run(&'a CheckRun),
    Status(&'a Status),
}

impl Context<'_> {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Run(run) => run.outcome(),
            Self::Status(status) => status.outcome(),
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Run(run) => &run.check.name,
            Self::Status(status) => &status.context,
        }
    }
}
