//! Takes back what is left of sessions that are over, and lets worktrees follow a repository that moved.
//!
//! Facts     reads `projects` and all `sessions`; writes that a project's move came about, or why not.
//! Messages  none. Wakes on a change of the facts, and once an hour.
//! Acts      through the ports `Upkeep`, `Runtime` and `Agents`, each call with a crash point before and after it.
//! Crash     what was taken back is gone, what was not is found again; a worktree that has followed follows once more.
//! Ends      never by itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ao_derive::leftovers;
use ao_domain::port::PortFuture;
use ao_domain::port::agent::{Agents, HookPlace};
use ao_domain::port::clock::Clock;
use ao_domain::port::processes::Processes;
use ao_domain::port::runtime::{Look, RuntimeRef, Runtimes};
use ao_domain::port::upkeep::{self, Reclaimed, Upkeep};
use ao_domain::{Phase, ProcessId, Project, Timestamp, chain};
use ao_facts::{FactsError, Filter, OutcomeWriter, Reader};
use ao_supervisor::{Child, Context, Crash, Done, Init, step};
use camino::Utf8Path;

use crate::session::Setup;

/// How often everything is looked at. Nothing is in a hurry: what is left over only takes up room.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// One look at all repositories, or one worktree that follows: some gits.
const GITS: Duration = Duration::from_secs(5 * 60);

/// One look at a holder.
const LOOK: Duration = Duration::from_secs(5);

/// The heartbeat: a read or a write; gits say how long they take.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// What the janitor works with; cloned into each incarnation.
#[derive(Clone)]
pub struct Parts {
    /// Reads the facts.
    pub facts: Reader,
    /// Writes what was done.
    pub outcomes: OutcomeWriter,
    /// Finds what moved and what is left over.
    pub upkeep: Arc<dyn Upkeep>,
    /// The runtimes.
    pub runtimes: Runtimes,
    /// Whether a holder is there.
    pub processes: Arc<dyn Processes>,
    /// The kinds of agents, in whose settings our hooks are.
    pub agents: Arc<dyn Agents>,
    /// What they are started with.
    pub setup: Arc<Setup>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// The child.
pub struct Janitor(Parts);

/// A look did not end in time. What was done by then is done.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` did not end within its deadline")]
struct Overdue(&'static str);

impl Janitor {
    /// The child.
    pub fn new(parts: Parts) -> Self {
        Self(parts)
    }

    /// Every worktree of the project follows, then its rows. One that cannot leaves the rows as they are; those that followed
    /// follow again at the next try, from whichever place.
    async fn follow(&self, ctx: &Context, project: &Project, to: &Utf8Path) -> Result<(), Crash> {
        let Parts {
            facts,
            outcomes,
            upkeep,
            clock,
            ..
        } = &self.0;
        let filter = Filter {
            project: Some(project.id.clone()),
            ..Filter::default()
        };
        let sessions = facts.sessions(&filter).await?;
        let mut why = None;
        for session in sessions.iter().filter(|session| session.repo == project.path) {
            let owner = session.owner();
            let moved = step!("move.worktree", ctx.within(GITS, upkeep.relocate(&owner, to)));
            if let Err(error) = moved.map_err(|_| Overdue("letting a worktree follow"))? {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, session = %session.id, "a worktree does not follow its repository");
                why = Some(chain(error).to_string());
                break;
            }
        }
        let now = clock.now();
        let _ = match &why {
            None => step!(
                "move.done",
                outcomes.project_moved(ctx.incarnation(), &project.id, to, now)
            )?,
            Some(why) => step!(
                "move.failed",
                outcomes.project_not_moved(ctx.incarnation(), &project.id, to, why, now)
            )?,
        };
        Ok(())
    }

    /// Looks at everything once, and takes back what may go.
    async fn tidy(&self, ctx: &Context) -> Result<(), Crash> {
        let sessions = self.0.facts.sessions(&Filter::default()).await?;
        let repos = upkeep::repositories(&self.0.facts.all_projects().await?, &sessions);
        let traces = step!("janitor.traces", ctx.within(GITS, self.0.upkeep.traces(&repos)));
        match traces.map_err(|_| Overdue("looking for what is left over"))? {
            Ok(traces) => {
                let left = leftovers::traces(&traces.found, &sessions);
                for one in left.iter().filter(|one| one.may_go) {
                    let gone = step!("janitor.reclaim", ctx.within(GITS, self.0.upkeep.reclaim(one.of)));
                    told(
                        gone.map_err(|_| Overdue("taking back what is left over"))?,
                        &one.what,
                    );
                }
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "what is left over of worktrees cannot be looked for");
            }
        }
        for name in self.0.runtimes.names() {
            let Some(runtime) = self.0.runtimes.get(name) else {
                continue;
            };
            let runs = self.runs(ctx, name).await?;
            let is_alive = |process: &ProcessId| self.0.processes.is_alive(process) != Some(false);
            for one in leftovers::runs(&runs, &sessions, is_alive) {
                if one.may_go {
                    let gone = step!("janitor.run", ctx.within(GITS, runtime.destroy(one.of)));
                    told(
                        gone.map_err(|_| Overdue("taking back a terminal"))?
                            .map(|()| Reclaimed::Gone { rescued: None }),
                        &one.what,
                    );
                }
            }
        }
        Ok(())
    }

    /// Takes our hooks out of the settings of agents that no session has any more.
    async fn unhook(&self, ctx: &Context) -> Result<(), Crash> {
        let Parts {
            facts, agents, setup, ..
        } = &self.0;
        let ao = setup.ao();
        let sessions = facts.sessions(&Filter::default()).await?;
        for id in agents.ids() {
            let files = setup.files(id);
            // A project may have said another home.
            let theirs = sessions.iter().filter(|one| one.harness == id);
            let envs: BTreeSet<_> = theirs
                .map(|one| one.environment(&setup.env))
                .chain([setup.env.clone()])
                .collect();
            for env in &envs {
                let place = HookPlace {
                    ao: &ao,
                    files: &files,
                    env,
                };
                // Facts that do not answer want everything to stay.
                let is_wanted = || -> PortFuture<'_, bool> {
                    Box::pin(async move {
                        let sessions = facts.sessions(&Filter::default()).await;
                        !sessions.is_ok_and(|all| {
                            all.iter()
                                .all(|one| one.harness != id || one.phase == Phase::Ended)
                        })
                    })
                };
                let gone = step!(
                    "janitor.unhook",
                    ctx.within(LOOK, agents.withdraw(id, &place, &is_wanted))
                );
                if let Err(error) = gone.map_err(|_| Overdue("taking our hooks back"))? {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, agent = id, "our hooks stay in its settings");
                }
            }
        }
        Ok(())
    }

    async fn runs(&self, ctx: &Context, name: &str) -> Result<Vec<(RuntimeRef, Look)>, Crash> {
        let Some(runtime) = self.0.runtimes.get(name) else {
            return Ok(Vec::new());
        };
        let listed = step!("janitor.list", ctx.within(LOOK, runtime.list()));
        let listed = match listed.map_err(|_| Overdue("listing terminals"))? {
            Ok(listed) => listed,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, runtime = name, "terminals cannot be listed");
                return Ok(Vec::new());
            }
        };
        let mut runs = Vec::new();
        for run in listed {
            let look = step!("janitor.look", ctx.within(LOOK, runtime.look(&run)));
            // Who cannot be looked at is not gone.
            runs.push((run, look.ok().and_then(Result::ok).unwrap_or(Look::Silent)));
        }
        Ok(runs)
    }
}

fn told<E: std::error::Error + 'static>(gone: Result<Reclaimed, E>, what: &str) {
    match gone {
        Ok(Reclaimed::Gone {
            rescued: Some(rescued),
        }) => tracing::warn!(what, rescued, "taken back; what was still kept of it is saved"),
        Ok(Reclaimed::Gone { rescued: None }) => tracing::info!(what, "taken back: it was left over"),
        Ok(Reclaimed::Stays) => tracing::debug!(what, "looked at again, it is not left over"),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, what, "left over, and not taken back");
        }
    }
}

impl Child for Janitor {
    async fn init(&mut self, _ctx: &Context) -> Result<Init, Crash> {
        Ok(Init::Ready)
    }

    async fn run(&mut self, ctx: &Context) -> Result<Done, Crash> {
        let mut due: Option<Timestamp> = None;
        let mut wakeups = self.0.facts.wakeups();
        while !ctx.is_stopping() {
            ctx.beat();
            for project in moving(&self.0.facts).await? {
                if let Some(to) = &project.moves_to {
                    self.follow(ctx, &project, to).await?;
                }
            }
            let now = self.0.clock.now();
            // Also where the clock was set back since.
            if due.is_none_or(|due| now >= due || due > now.plus(EVERY)) {
                self.tidy(ctx).await?;
                self.unhook(ctx).await?;
                due = Some(self.0.clock.now().plus(EVERY));
            }
            let next = due.unwrap_or(now);
            let waiting = async {
                tokio::select! {
                    biased;
                    () = ctx.stopping() => {}
                    () = wakeups.changed() => {}
                    () = self.0.clock.reaches(next) => {}
                }
            };
            ctx.beating(waiting).await;
        }
        Ok(Done)
    }
}

async fn moving(facts: &Reader) -> Result<Vec<Project>, FactsError> {
    let mut projects = facts.projects().await?;
    projects.retain(|project| project.moves_to.is_some());
    Ok(projects)
}
