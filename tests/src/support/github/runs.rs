//! What a test makes and changes: checks, with what is known of them, and statuses.

use super::GitHub;
use super::check::{Annotation, Check, CheckRun, Log, Status, Step};
use super::schema::SCHEMA;

impl GitHub {
    /// Adds a check run to a commit, queued, and returns its id: a job's, where the app is `github-actions`.
    pub fn check(&self, name: &str, sha: &str, check: Check) -> u64 {
        self.shared.lock().state.check(name, sha, check)
    }

    /// It runs from now on.
    pub fn begin(&self, id: u64) {
        let now = self.shared.now();
        self.of_run(id, |run| {
            run.status = "IN_PROGRESS".to_owned();
            run.started_ms = Some(now);
        });
    }

    /// It has ended so: `SUCCESS`, `FAILURE`, …
    pub fn finish(&self, id: u64, conclusion: &str) {
        SCHEMA.insist("CheckConclusionState", conclusion);
        let now = self.shared.now();
        self.of_run(id, |run| {
            run.status = "COMPLETED".to_owned();
            run.conclusion = Some(conclusion.to_owned());
            run.started_ms = run.started_ms.or(Some(now));
            run.completed_ms = Some(now);
        });
    }

    /// It waits in this way: `QUEUED`, `WAITING`, `PENDING` or `REQUESTED`.
    pub fn waits(&self, id: u64, status: &str) {
        SCHEMA.insist("CheckStatusState", status);
        self.of_run(id, |run| status.clone_into(&mut run.status));
    }

    /// Starts another attempt, queued, and returns its id. The one before is not in the rollup any more, but is still there by
    /// its own id.
    pub fn rerun(&self, id: u64) -> u64 {
        let mut inner = self.shared.lock();
        inner.state.rerun(id)
    }

    /// What it says of itself.
    pub fn output(&self, id: u64, title: Option<&str>, summary: Option<&str>, text: Option<&str>) {
        self.of_run(id, |run| {
            run.check.title = title.map(str::to_owned);
            run.check.summary = summary.map(str::to_owned);
            run.check.text = text.map(str::to_owned);
        });
    }

    /// The steps of a job.
    pub fn steps(&self, id: u64, steps: &[Step]) {
        self.of_run(id, |run| {
            assert!(run.is_job(), "only jobs of {} have steps", super::check::ACTIONS);
            run.steps = steps.to_vec();
        });
    }

    /// The log of a job.
    pub fn log(&self, id: u64, log: Log) {
        self.of_run(id, |run| {
            assert!(run.is_job(), "only jobs of {} have logs", super::check::ACTIONS);
            run.log = Some(log);
        });
    }

    /// Adds a remark of a check run.
    pub fn annotate(&self, id: u64, annotation: Annotation) {
        SCHEMA.insist("CheckAnnotationLevel", &annotation.level.to_uppercase());
        self.of_run(id, |run| run.annotations.push(annotation));
    }

    /// Sets a commit status: `SUCCESS`, `PENDING`, `FAILURE` or `ERROR`. The newest of a context counts.
    pub fn status(&self, name: &str, sha: &str, context: &str, state: &str, description: &str) {
        SCHEMA.insist("StatusState", state);
        let now = self.shared.now();
        let mut inner = self.shared.lock();
        let id = inner.state.id();
        let statuses = &mut inner.state.repository(name).statuses;
        statuses.retain(|status| (status.sha.as_str(), status.context.as_str()) != (sha, context));
        statuses.push(Status {
            id,
            sha: sha.to_owned(),
            context: context.to_owned(),
            state: state.to_owned(),
            description: Some(description.to_owned()),
            target_url: Some(format!("https://ci.example/{id}")),
            created_ms: now,
        });
    }

    /// Names of checks that have to succeed before a merge.
    pub fn require(&self, name: &str, checks: &[&str]) {
        let required = checks.iter().map(|check| (*check).to_owned()).collect();
        self.shared.lock().state.repository(name).required = required;
    }

    fn of_run(&self, id: u64, change: impl FnOnce(&mut CheckRun)) {
        change(self.shared.lock().state.run(id));
    }
}
