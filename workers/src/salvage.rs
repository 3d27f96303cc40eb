//! What is left of the facts when the database is lost: worktrees with their owners' records, and terminals whose
//! holders live on. They become rows again, once, when a new database is begun beside them.

use ao_domain::port::clock::Clock;
use ao_domain::port::runtime::{Look, RuntimeError, RuntimeRef, Runtimes};
use ao_domain::port::worktrees::Worktrees;
use ao_domain::{SessionId, chain};
use ao_facts::{FactsError, Found, FoundRun, IntentWriter, Reader};

/// Fills an empty database from the disk. What cannot be read is left where it is, and said. One that knows a session is full: then
/// nobody is asked for anything, for nobody is served before this is over, and a holder that does not answer takes seconds to say so.
pub(crate) async fn salvage(
    reader: &Reader,
    worktrees: &dyn Worktrees,
    runtimes: &Runtimes,
    intents: &IntentWriter,
    clock: &dyn Clock,
) -> Result<(), FactsError> {
    if reader.knows_sessions().await? {
        return Ok(());
    }
    let owned = match worktrees.owned().await {
        Ok(owned) => owned,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "worktrees of an earlier database cannot be read");
            return Ok(());
        }
    };
    let mut found = Vec::new();
    for one in owned {
        let (runtime, held) = match held_run(runtimes, &one.owner.session).await {
            Ok(Some((runtime, run))) => (runtime, Some(run)),
            Ok(None) => (default_runtime(runtimes), None),
            // Who cannot be looked for is not dead. Nothing is taken in; the next start tries again.
            Err(error) => {
                tracing::warn!(error = %chain(&error), "terminals of an earlier database cannot be listed");
                return Ok(());
            }
        };
        // What a new worktree would start from today; where the repository does not say, what this one started from.
        let base = worktrees
            .repository(&one.owner.repo)
            .await
            .map_or(one.start, |repository| repository.default_branch);
        found.push(Found {
            owner: one.owner,
            base,
            branch_given: one.branch_given,
            runtime,
            held,
        });
    }
    found.sort_by_key(|one| one.held.is_none()); // the project of a live agent stays the active one of its path
    let count = intents.salvage(&found, clock.now()).await?;
    if count > 0 {
        tracing::warn!(
            count,
            "sessions were found on the disk and taken in again, after the database was lost"
        );
    }
    Ok(())
}

fn default_runtime(runtimes: &Runtimes) -> String {
    runtimes.names().first().copied().unwrap_or_default().to_owned()
}

/// How often a holder that does not answer is asked again before it is taken in without knowing whose agent it holds: its
/// hooks are not believed then.
const PATIENT_LOOKS: u32 = 5;

/// The latest run of `session` that anything is held for or left of; whether its agent lives is for the session's child to
/// conclude. Who the agent is stands in its own environment.
async fn held_run(
    runtimes: &Runtimes,
    session: &SessionId,
) -> Result<Option<(String, FoundRun)>, RuntimeError> {
    for name in runtimes.names() {
        let Some(runtime) = runtimes.get(name) else {
            continue;
        };
        let mut runs: Vec<RuntimeRef> = runtime.list().await?;
        runs.retain(|run| run.session == *session);
        runs.sort_by_key(|run| std::cmp::Reverse(run.generation));
        for run in runs {
            let mut look = runtime.look(&run).await;
            for _ in 0..PATIENT_LOOKS {
                if !matches!(look, Ok(Look::Silent) | Err(_)) {
                    break;
                }
                look = runtime.look(&run).await; // each waits for an answer, for about a second
            }
            let held = match look {
                Ok(Look::Absent) => continue,
                Ok(Look::Running(held) | Look::Ended(held)) => Some(held),
                Ok(Look::Gone { held, .. }) => held,
                // Its holder is there, and that is all that is known: the session's child goes on looking.
                Ok(Look::Silent) | Err(_) => None,
            };
            let variable = |name| {
                let agent = &held.as_ref()?.agent;
                ao_local::process::variable(agent, name).ok().flatten()
            };
            let run = FoundRun {
                generation: run.generation,
                harness: variable("AO_HARNESS").unwrap_or_else(|| "unknown".to_owned()),
                secret: variable("AO_LAUNCH_SECRET").unwrap_or_else(|| "0".repeat(32)),
            };
            return Ok(Some((name.to_owned(), run)));
        }
    }
    Ok(None)
}
