//! One child per watched repository of a forge: lists what changed there, and says which pull request is which session's.
//!
//! Facts     reads `projects`, `sessions` and `pull_requests` of its repository; writes its row of `repositories`, and new rows of
//!           `pull_requests`.
//! Messages  asks through the exchange. Wakes on the clock, and on pushes that git wrote down.
//! Acts      never; it asks the ports `Worktrees` and `Pushes`.
//! Crash     the next incarnation reads when it was listed last and with which validator, and goes on from there.
//! Ends      with its key: when no session's pull requests may matter there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ao_domain::port::clock::Clock;
use ao_domain::port::forge::{Entry, Forge, Listed};
use ao_domain::port::pushes::{PushWatch, Pushes};
use ao_domain::port::worktrees::Worktrees;
use ao_domain::{Project, PullRequest, RemoteRepo, Session, SessionKind, Timestamp, chain};
use ao_facts::{Filter, ObservationWriter, RECENT, Reader, RepositorySeen, RepositoryState};
use ao_supervisor::{Child, Context, Crash, Done, Init, step};
use camino::Utf8PathBuf;

use crate::cadence::{Tempo, list_due, sensible};
use crate::exchange::{Exchange, NoAnswer};
use crate::pull_request::is_of_host;

/// The longest time a read or write of the facts may take before the child is held to hang; git and the forge have deadlines of
/// their own.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// Pages that are read at once, at the most: beyond them nothing is as young as a session of ours.
const PAGES: u32 = 20;

/// How long a pull request that looks like a session's by its branch may take to show a commit that is known here.
const KNOWN_WITHIN: Duration = Duration::from_secs(10 * 60);

/// How far the host's clock may lag behind ours when a repository is listed for the first time.
const CLOCKS_APART: Duration = Duration::from_secs(24 * 60 * 60);

/// How soon a question that was cut off is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// What the children of repositories work with; cloned into each incarnation.
#[derive(Clone)]
pub struct Parts {
    /// Reads the facts.
    pub facts: Reader,
    /// Writes what was seen.
    pub writer: ObservationWriter,
    /// Knows which repository a remote names.
    pub forge: Arc<dyn Forge>,
    /// Where questions are asked.
    pub exchange: Exchange,
    /// Git.
    pub worktrees: Arc<dyn Worktrees>,
    /// What git writes down of pushes.
    pub pushes: Arc<dyn Pushes>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How often.
    pub tempo: Tempo,
}

/// The child. A fresh value every incarnation.
pub struct Repository {
    repo: RemoteRepo,
    parts: Parts,
    watches: BTreeMap<Utf8PathBuf, Box<dyn PushWatch>>,
    /// Nothing is asked before then.
    rests: Option<Timestamp>,
}

impl Repository {
    /// The child of `repo`.
    pub fn new(repo: RemoteRepo, parts: Parts) -> Self {
        Self {
            repo,
            parts,
            watches: BTreeMap::new(),
            rests: None,
        }
    }

    /// The projects that have this repository for their origin.
    async fn projects(&self) -> Result<Vec<Project>, Crash> {
        let mut projects = self.parts.facts.projects().await?;
        projects.retain(|project| {
            let origin = project.origin.as_deref();
            origin
                .and_then(|origin| self.parts.forge.repository(origin))
                .as_ref()
                == Some(&self.repo)
        });
        Ok(projects)
    }

    async fn sessions(&self, projects: &[Project], terminated: Option<bool>) -> Result<Vec<Session>, Crash> {
        let mut sessions = Vec::new();
        for project in projects {
            let filter = Filter {
                project: Some(project.id.clone()),
                kind: Some(SessionKind::Worker),
                terminated,
            };
            sessions.extend(self.parts.facts.sessions(&filter).await?);
        }
        Ok(sessions)
    }

    fn watch(&mut self, projects: &[Project]) {
        self.watches
            .retain(|path, _| projects.iter().any(|project| project.path == *path));
        for project in projects {
            if !self.watches.contains_key(&project.path) {
                let watch = self.parts.pushes.watch(&project.path);
                self.watches.insert(project.path.clone(), watch);
            }
        }
    }

    /// Lists what changed since the last time, and writes down what of it is ours.
    async fn list(
        &mut self,
        ctx: &Context,
        known: &RepositoryState,
        projects: &[Project],
    ) -> Result<(), Crash> {
        let now = self.parts.clock.now();
        let sessions = self.sessions(projects, None).await?;
        let tracked = self.parts.facts.pulls_in(&self.repo).await?;
        let oldest = sessions
            .iter()
            .filter(|session| !session.is_terminated() || session.phase_at.plus(RECENT) > now)
            .map(|session| session.created_at)
            .min();
        // The host's clock and ours need not go together.
        let until = known
            .seen_to
            .or(oldest.map(|at| at.before(CLOCKS_APART)))
            .unwrap_or(now);
        let mut seen = RepositorySeen::default();
        let mut is_complete = true;
        for page in 1..=PAGES {
            let validator = known.validator.clone().filter(|_| page == 1);
            let asked = self.parts.exchange.list(&self.repo, page, validator);
            let listed = match step!("repository.list", ctx.beating(asked)) {
                Ok(listed) => listed,
                Err(error) => return self.failed(ctx, error).await,
            };
            let Listed::Page {
                validator,
                entries,
                more,
                skipped,
            } = listed
            else {
                seen.validator.clone_from(&known.validator);
                break;
            };
            if skipped > 0 {
                tracing::warn!(repository = %self.repo, skipped, "pull requests in a list are not understood");
            }
            if page == 1 {
                seen.validator = validator;
                seen.seen_to = entries.first().map(|entry| entry.updated_at);
            }
            for entry in entries.iter().filter(|entry| entry.updated_at >= until) {
                is_complete &= self
                    .sort(ctx, entry, &tracked, projects, &sessions, &mut seen)
                    .await?;
            }
            let is_far_enough = entries.last().is_none_or(|entry| entry.updated_at < until);
            if is_far_enough || !more {
                break;
            }
        }
        if !is_complete {
            (seen.validator, seen.seen_to) = (None, None); // the same list again, until its commit is known or it is too old
        }
        self.parts.write_listed(ctx, &self.repo, seen).await
    }

    /// Puts an entry where it belongs. Answers whether that is known.
    async fn sort(
        &self,
        ctx: &Context,
        entry: &Entry,
        tracked: &[PullRequest],
        projects: &[Project],
        sessions: &[Session],
        seen: &mut RepositorySeen,
    ) -> Result<bool, Crash> {
        let facts = &entry.facts;
        if tracked.iter().any(|known| known.facts.at == facts.at) {
            seen.tracked.push(facts.clone());
            return Ok(true);
        }
        let candidates = facts.candidates(&self.repo, sessions);
        for session in &candidates {
            let Some(project) = projects.iter().find(|project| project.id == session.project) else {
                continue;
            };
            let asked = self
                .parts
                .worktrees
                .has_commit(&project.path, &facts.head_branch, &facts.head);
            match step!("repository.commit", ctx.beating(asked)) {
                Ok(true) => {
                    tracing::info!(session = %session.id, pr = %facts.at, "a pull request of a session was found");
                    seen.found.push((session.id.clone(), facts.clone()));
                    return Ok(true);
                }
                Ok(false) => {}
                // Another look may do better; what is known is not held up by it.
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, pr = %facts.at, "not seen whether its commit is known");
                }
            }
        }
        let is_fresh = self.parts.clock.now() < entry.updated_at.plus(KNOWN_WITHIN);
        Ok(candidates.is_empty() || !is_fresh)
    }

    async fn failed(&mut self, ctx: &Context, error: NoAnswer) -> Result<(), Crash> {
        let now = self.parts.clock.now();
        match error {
            NoAnswer::Wait { until, .. } => self.rests = Some(until),
            NoAnswer::CutOff => self.rests = Some(now.plus(AGAIN)),
            NoAnswer::Refused(refusal) if is_of_host(&refusal) => self.rests = Some(now.plus(AGAIN)),
            NoAnswer::Refused(refusal) => {
                let why = chain(&refusal).to_string();
                tracing::debug!(repository = %self.repo, why, "pull requests not listed");
                ctx.beat();
                let written = self
                    .parts
                    .writer
                    .repository_failed(ctx.incarnation(), &self.repo, &why, now);
                step!("repository.failed", written)?;
            }
        }
        Ok(())
    }
}

impl Parts {
    async fn write_listed(
        &self,
        ctx: &Context,
        repo: &RemoteRepo,
        seen: RepositorySeen,
    ) -> Result<(), Crash> {
        ctx.beat();
        let written = self
            .writer
            .repository_listed(ctx.incarnation(), repo, seen, self.clock.now());
        step!("repository.listed", written)?;
        Ok(())
    }
}

/// Resolves once something was pushed from any of them.
async fn pushed(watches: &mut BTreeMap<Utf8PathBuf, Box<dyn PushWatch>>) -> Vec<String> {
    let any: Vec<_> = watches.values_mut().map(|watch| watch.pushed()).collect();
    if any.is_empty() {
        return std::future::pending().await;
    }
    futures_util::future::select_all(any).await.0
}

impl Child for Repository {
    async fn init(&mut self, _ctx: &Context) -> Result<Init, Crash> {
        Ok(Init::Ready)
    }

    async fn run(&mut self, ctx: &Context) -> Result<Done, Crash> {
        loop {
            ctx.beat();
            let projects = self.projects().await?;
            self.watch(&projects);
            let known = self.parts.facts.repository(&self.repo).await?.unwrap_or_default();
            let lives = !self.sessions(&projects, Some(false)).await?.is_empty();
            let now = self.parts.clock.now();
            let due = list_due(&known, lives, self.parts.tempo, now).unwrap_or(now);
            self.rests = self
                .rests
                .filter(|until| *until > now && sensible(*until, now).is_some());
            let due = self.rests.map_or(due, |rests| due.max(rests));
            if now >= due {
                self.list(ctx, &known, &projects).await?;
                continue;
            }
            let was_pushed = async {
                tokio::select! { // arms only wait, and only on cancel-safe things
                    biased;
                    () = ctx.stopping() => None,
                    branches = pushed(&mut self.watches) => Some(Some(branches)),
                    () = self.parts.clock.reaches(due) => Some(None),
                }
            };
            match ctx.beating(was_pushed).await {
                None => return Ok(Done),
                Some(None) => {}
                Some(Some(branches)) => {
                    let now = self.parts.clock.now();
                    let written =
                        self.parts
                            .writer
                            .repository_pushed(ctx.incarnation(), &self.repo, &branches, now);
                    step!("repository.pushed", written)?;
                }
            }
        }
    }
}
