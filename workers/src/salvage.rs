//! What is left of the facts when the database is lost: worktrees with their owners' records, and terminals whose
//! holders live on. They become rows again, once, when a new database is begun beside them.

use ao_domain::port::clock::Clock;
use ao_domain::port::runtime::{Look, RuntimeRef, Runtimes};
use ao_domain::port::worktrees::Worktrees;
use ao_domain::{SessionId, chain};
use ao_facts::{FactsError, Found, FoundRun, IntentWriter};

/// Fills an empty database from the disk. What cannot be read is left where it is, and said.
pub(crate) async fn salvage(
    worktrees: &dyn Worktrees,
    runtimes: &Runtimes,
    intents: &IntentWriter,
    clock: &dyn Clock,
) -> Result<(), FactsError> {
    let owned = match worktrees.owned().await {
        Ok(owned) => owned,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "worktrees of an earlier database cannot be read");
            return Ok(());
        }
    };
    let mut found = Vec::new();
    for one in owned {
        let held = held_run(runtimes, &one.owner.session).await;
        found.push(Found {
            owner: one.owner,
            base: one.start,
            branch_given: one.branch_given,
            held,
        });
    }
    let count = intents.salvage(&found, clock.now()).await?;
    if count > 0 {
        tracing::warn!(
            count,
            "sessions were found on the disk and taken in again, after the database was lost"
        );
    }
    Ok(())
}

/// The latest run of `session` whose agent is there. Who it is stands in its own environment.
async fn held_run(runtimes: &Runtimes, session: &SessionId) -> Option<FoundRun> {
    for name in runtimes.names() {
        let runtime = runtimes.get(name)?;
        let mut runs: Vec<RuntimeRef> = match runtime.list().await {
            Ok(runs) => runs.into_iter().filter(|run| run.session == *session).collect(),
            Err(error) => {
                tracing::warn!(error = %chain(&error), runtime = name, "terminals of an earlier database cannot be listed");
                continue;
            }
        };
        runs.sort_by_key(|run| std::cmp::Reverse(run.generation));
        for run in runs {
            if let Ok(
                Look::Running(held)
                | Look::Gone {
                    held: Some(held),
                    agent_alive: true,
                },
            ) = runtime.look(&run).await
            {
                let variable = |name| ao_local::process::variable(&held.agent, name).ok().flatten();
                return Some(FoundRun {
                    runtime: name.to_owned(),
                    generation: run.generation,
                    harness: variable("AO_HARNESS").unwrap_or_else(|| "unknown".to_owned()),
                    secret: variable("AO_LAUNCH_SECRET").unwrap_or_else(|| "0".repeat(32)),
                });
            }
        }
    }
    None
}
