//! Why an attempt of a check failed: of a job its failing step and that one's log, of anything else what its application says.

use std::time::Duration;

use ao_domain::port::forge::{Answer, Budget, Failure, Pool, Refusal};
use ao_domain::{RemoteRepo, Timestamp};
use serde_json::Value;

use crate::check::{text, time};
use crate::log::{Cut, end_of};
use crate::wire::{Answered, Wire};
use crate::{refusal, remote};

/// How long after its end a job's log may still be on its way to where it is kept.
const LOG_SETTLES: Duration = Duration::from_secs(60);

/// Why `attempt` in `repo` failed: `job:ID` of a job, `run:ID` of another check run.
pub(crate) async fn evidence(wire: &Wire, repo: &RemoteRepo, attempt: &str) -> Answer<Failure> {
    let mut asking = Asking {
        wire,
        path: String::new(),
        budget: None,
        sent_at: None,
        cost: 0,
    };
    let said = asking.about(repo, attempt).await;
    let cost = asking.cost;
    Answer {
        said,
        budget: asking.budget.map(|budget| Budget { cost, ..budget }),
        sent_at: asking.sent_at,
    }
}

/// Several questions with one account.
struct Asking<'a> {
    wire: &'a Wire,
    /// Of the repository.
    path: String,
    budget: Option<Budget>,
    sent_at: Option<Timestamp>,
    cost: u32,
}

impl Asking<'_> {
    async fn about(&mut self, repo: &RemoteRepo, attempt: &str) -> Result<Failure, Refusal> {
        let (owner, name) = remote::names(&repo.path)
            .filter(|_| repo.host == self.wire.host())
            .ok_or(Refusal::Gone)?;
        self.path = format!("/repos/{owner}/{name}");
        let odd = || Refusal::NotUnderstood("an attempt is `job:ID` or `run:ID`".to_owned());
        let (kind, id) = attempt.split_once(':').ok_or_else(odd)?;
        let id: u64 = id.parse().map_err(|_| odd())?;
        match kind {
            "job" => match self.job(id).await {
                // Actions can make check runs by hand: those have their application, and are no jobs.
                Err(Refusal::Gone) => self.run(id).await,
                said => said,
            },
            "run" => self.run(id).await,
            _ => Err(odd()),
        }
    }

    async fn ask(&mut self, path: &str) -> Result<Answered, Refusal> {
        let answered = self.wire.get(&format!("{}{path}", self.path), None).await?;
        self.cost += 1;
        self.budget = refusal::budget(&answered, Pool::Single).or(self.budget);
        self.sent_at = refusal::said_at(&answered).or(self.sent_at);
        Ok(answered)
    }

    async fn json(&mut self, path: &str) -> Result<Value, Refusal> {
        let answered = self.ask(path).await?;
        match answered.status {
            200 => answered.json(),
            _ => Err(refusal::of(&answered)),
        }
    }

    async fn job(&mut self, id: u64) -> Result<Failure, Refusal> {
        let job = self.json(&format!("/actions/jobs/{id}")).await?;
        let (step, began_at) = failed_step(&job);
        let log = match self.log(id, began_at, time(&job, "completed_at")).await {
            Ok(log) if !log.trim().is_empty() => log,
            Ok(_) | Err(Refusal::Gone) => self.annotations(id).await?,
            Err(refusal) => return Err(refusal),
        };
        Ok(Failure { step, log })
    }

    /// The failing step's part of the log; `Gone` where there is none any more.
    async fn log(
        &mut self,
        id: u64,
        began_at: Option<Timestamp>,
        ended_at: Option<Timestamp>,
    ) -> Result<String, Refusal> {
        let answered = self.ask(&format!("/actions/jobs/{id}/logs")).await?;
        let mut cut = Cut::new(began_at);
        let read = match (answered.status, answered.head("location")) {
            (302 | 303, Some(location)) => self.wire.download(location, |piece| cut.take(piece)).await,
            (200, _) => {
                cut.take(&answered.body);
                Ok(())
            }
            _ => Err(refusal::of(&answered)),
        };
        match read {
            Ok(()) => Ok(cut.end()),
            Err(Refusal::Gone)
                if ended_at.is_some_and(|ended| refusal::sent_at(&answered).since(ended) < LOG_SETTLES) =>
            {
                Err(Refusal::Late("the log is not there yet".to_owned()))
            }
            Err(refusal) => Err(refusal),
        }
    }

    async fn run(&mut self, id: u64) -> Result<Failure, Refusal> {
        let run = self.json(&format!("/check-runs/{id}")).await?;
        let output = &run["output"];
        let mut parts: Vec<String> = ["title", "summary", "text"]
            .into_iter()
            .map(|name| text(output, name).trim().to_owned())
            .collect();
        if output["annotations_count"].as_u64() != Some(0) {
            parts.push(self.annotations(id).await?);
        }
        parts.retain(|part| !part.is_empty());
        Ok(Failure {
            step: None,
            log: end_of(&parts.join("\n\n")).to_owned(),
        })
    }

    /// What stands beside lines of the change, and why a job never began; empty where there is nothing.
    async fn annotations(&mut self, id: u64) -> Result<String, Refusal> {
        match self
            .json(&format!("/check-runs/{id}/annotations?per_page=50"))
            .await
        {
            Ok(said) => Ok(end_of(&annotated(&said)).to_owned()),
            Err(Refusal::Gone | Refusal::Forbidden(_)) => Ok(String::new()),
            Err(refusal) => Err(refusal),
        }
    }
}

/// The first step of a job that failed, and when it began; else the one it was stopped in.
fn failed_step(job: &Value) -> (Option<String>, Option<Timestamp>) {
    let steps = job["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ended = |words: &[&str]| {
        steps
            .iter()
            .find(|step| words.contains(&text(step, "conclusion")))
    };
    match ended(&["failure", "timed_out"]).or_else(|| ended(&["cancelled"])) {
        Some(step) => (
            Some(text(step, "name").to_owned()).filter(|name| !name.is_empty()),
            time(step, "started_at"),
        ),
        None => (None, None),
    }
}

/// Annotations as lines: where, how bad, and what.
fn annotated(said: &Value) -> String {
    let each = said.as_array().map(Vec::as_slice).unwrap_or_default();
    let lines = each.iter().map(|one| {
        let place = match (text(one, "path"), one["start_line"].as_u64()) {
            ("" | ".github", _) => String::new(),
            (path, Some(line)) => format!("{path}:{line}: "),
            (path, None) => format!("{path}: "),
        };
        let words = ["annotation_level", "title", "message", "raw_details"]
            .into_iter()
            .map(|name| text(one, name).trim())
            .filter(|text| !text.is_empty());
        format!("{place}{}\n", words.collect::<Vec<_>>().join(": "))
    });
    lines.collect()
}

#[cfg(test)]
mod tests;
