//! Ending a session: the agent, its runtime, its worktree; each step is finished by the next incarnation if need be.

use std::time::Duration;

use ao_domain::port::worktrees::Removal;
use ao_domain::{EndReason, Phase, Seen, Session, WorktreeState, chain};
use ao_facts::{Changes, Sighting};
use ao_supervisor::{Context, Crash, step};

use super::{SessionChild, SessionError, at};

/// How long an agent may take to say good-bye before it is told more firmly: real ones save their conversation.
const GRACE: Duration = Duration::from_secs(2);

/// Hang-up, terminate and kill with their graces, and a walk over what the agent left.
const STOP: Duration = Duration::from_secs(30);

/// Weighing and removing a very large worktree on a slow disk.
const REMOVE: Duration = Duration::from_secs(10 * 60);

impl SessionChild {
    pub(super) async fn stop_agent(&self, ctx: &Context, session: &Session) -> Result<(), Crash> {
        let runtime = self.runtime(session)?;
        let name = at(session);
        let stopped = step!("stop.agent", ctx.within(STOP, runtime.stop(&name, GRACE)));
        let exit = stopped.map_err(|_| SessionError::Overdue("ending the agent"))?;
        let now = self.parts.clock.now();
        if let Ok(Some(exit)) = exit {
            let seen = Seen::exited(exit);
            let sighting = [Sighting {
                session: self.id.clone(),
                generation: session.generation,
                seen,
                at: now,
            }];
            step!("stop.seen", self.parts.seen.looked(ctx.incarnation(), &sighting))?;
        } else if let Err(error) = &exit {
            // `destroy` is the sure way; what `stop` had to say is only worth a line.
            let error: &dyn std::error::Error = error;
            tracing::debug!(error, session = %self.id, "agent not stopped, destroying its runtime");
        }
        self.end_former(ctx, session, runtime).await?;
        let gone = step!("stop.runtime", ctx.within(STOP, runtime.destroy(&name)));
        gone.map_err(|_| SessionError::Overdue("ending the runtime"))??;
        let ended_at = session.ended_at.or(Some(now));
        let end_reason = session.end_reason.or(Some(EndReason::Killed));
        self.enter(
            ctx,
            session,
            Phase::Freeing,
            Changes {
                ended_at,
                end_reason,
                ..Changes::default()
            },
        )
        .await
    }

    pub(super) async fn free_worktree(&self, ctx: &Context, session: &Session) -> Result<(), Crash> {
        if session.spares_worktree {
            // Its work was merged, and nobody asked for the place: it is not even weighed.
            let kept = Changes {
                worktree_state: (session.worktree_state != WorktreeState::None)
                    .then_some(WorktreeState::Kept),
                holdings: Some(Vec::new()),
                ..Changes::default()
            };
            return self.enter(ctx, session, Phase::Ended, kept).await;
        }
        let owner = session.owner();
        let removed = step!(
            "stop.worktree",
            ctx.within(
                REMOVE,
                self.parts
                    .worktrees
                    .remove(&owner, session.discard, &session.setup.build_folders)
            )
        );
        let changes = match removed.map_err(|_| SessionError::Overdue("taking the worktree back"))? {
            Ok(Removal::Removed { rescue }) => Changes {
                worktree_state: Some(WorktreeState::Removed),
                holdings: Some(Vec::new()),
                rescue_ref: rescue,
                ..Changes::default()
            },
            Ok(Removal::Absent) => {
                let never = session.worktree_state == WorktreeState::None;
                let state = if never {
                    WorktreeState::None
                } else {
                    WorktreeState::Removed
                };
                Changes {
                    worktree_state: Some(state),
                    holdings: Some(Vec::new()),
                    ..Changes::default()
                }
            }
            Ok(Removal::Kept(holdings)) => Changes {
                worktree_state: Some(WorktreeState::Kept),
                holdings: Some(holdings),
                ..Changes::default()
            },
            // A way out that cannot fail: the worktree stays, the row says why, and another kill tries again.
            Err(error) => {
                let why: &dyn std::error::Error = &error;
                tracing::warn!(error = why, session = %self.id, "worktree not taken back");
                let failure = chain(&error).to_string();
                let failure = match (&session.failure, session.end_reason) {
                    (Some(spawn), Some(EndReason::SpawnFailed)) => {
                        format!("{spawn}; its worktree stayed: {failure}")
                    }
                    _ => failure,
                };
                Changes {
                    worktree_state: Some(WorktreeState::Kept),
                    holdings: Some(Vec::new()), // what was weighed before says nothing about this
                    failure: Some(failure),
                    ..Changes::default()
                }
            }
        };
        self.enter(ctx, session, Phase::Ended, changes).await
    }
}
