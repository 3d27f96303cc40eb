//! What we did: a session's steps, its failures, and the passing of time where it shows.

use ao_domain::{
    Desired, EndReason, Holding, Phase, Provisioning, QueuedFor, Seen, Session, SessionId, Timestamp,
    WorktreeState,
};
use ao_supervisor::Incarnation;
use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::{ColumnTrait, EntityTrait, ExprTrait, QueryFilter, UpdateMany};

use super::intents::{NewRun, Restored};
use super::observations::{Sighting, record_sighting};
use super::restore::restore_in;
use crate::entity::{sessions, text_of};
use crate::error::write;
use crate::{FactsError, Store};

/// Writes outcomes. Every call names the incarnation it is made in; a revoked one writes nothing. Cheap to clone.
/// Dropping a call's future leaves all of it or nothing.
#[derive(Clone, Debug)]
pub struct OutcomeWriter {
    pub(super) store: Store,
}

/// Where the caller saw a session stand: the condition of its write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stand {
    /// The run of the agent.
    pub generation: u32,
    /// The phase.
    pub phase: Phase,
    /// What was wanted: a kill that came in between overtakes the write.
    pub desired: Desired,
    /// Whether the worktree was to go with everything in it.
    pub discard: bool,
}

impl Stand {
    /// Where `session` stands, wish included.
    pub fn of(session: &Session) -> Self {
        Self {
            generation: session.generation,
            phase: session.phase,
            desired: session.desired,
            discard: session.discard,
        }
    }
}

/// What else became of a session in a step; `None` leaves a fact as it is, except for `failure`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What became of the worktree.
    pub worktree_state: Option<WorktreeState>,
    /// What the worktree holds.
    pub holdings: Option<Vec<Holding>>,
    /// The commit with everything a discarded worktree held, or what git still kept of one whose directory somebody deleted.
    pub rescue_ref: Option<String>,
    /// What the step saw of the agent's process; counts as a look at it.
    pub seen: Option<Seen>,
    /// Why it ended; the first reason stays.
    pub end_reason: Option<EndReason>,
    /// When it ended; the first time stays.
    pub ended_at: Option<Timestamp>,
    /// That the worktree may go with everything in it: no agent ever worked there.
    pub discard: bool,
    /// How far the worktree is furnished.
    pub provisioning: Option<Provisioning>,
    /// What went wrong. `None` says that this step went well and takes an earlier failure away.
    pub failure: Option<String>,
}

/// Whether a conditional write found the session where the caller saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an overtaken write changed nothing: read again"]
pub enum Moved {
    /// It did, and is written.
    Yes,
    /// It stands elsewhere by now, or is not there: nothing was written.
    Overtaken,
}

impl OutcomeWriter {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Moves a session to the phase `to` (which may be the one it is in), with what became of it, if it still stands
    /// where the caller saw it.
    pub async fn advance(
        &self,
        by: &Incarnation,
        id: &SessionId,
        seen: Stand,
        to: Phase,
        changes: Changes,
        now: Timestamp,
    ) -> Result<Moved, FactsError> {
        use sessions::Column;
        let mut tx = self.store.begin(Some(by)).await?;
        if seen.phase == Phase::Live && to != Phase::Live {
            tx.ring(); // the agent is over: its pull requests are looked at once more
        }
        let mut update = standing(id, seen)
            .col_expr(Column::Phase, Expr::value(to.as_str()))
            .col_expr(Column::Failure, Expr::value(changes.failure))
            .col_expr(Column::UpdatedAt, Expr::value(now.to_string()));
        if matches!(to, Phase::Finished | Phase::Stopping) {
            // Its screen shows the end by now.
            update = update
                .col_expr(Column::Dialog, Expr::value(Option::<String>::None))
                .col_expr(Column::Delay, Expr::value(Option::<String>::None))
                .col_expr(Column::DelayUntil, Expr::value(Option::<String>::None));
        }
        if changes.discard {
            update = update.col_expr(Column::Discard, Expr::value(true));
        }
        if let Some(provisioning) = &changes.provisioning {
            update = update.col_expr(Column::Provisioning, Expr::value(text_of(provisioning)));
        }
        if to != seen.phase {
            if seen.phase == Phase::Queued {
                update = update.col_expr(Column::QueuedFor, Expr::value(Option::<String>::None));
            }
            update = update.col_expr(Column::PhaseAt, Expr::value(now.to_string()));
        }
        if let Some(state) = changes.worktree_state {
            update = update.col_expr(Column::WorktreeState, Expr::value(state.as_str()));
        }
        if let Some(holdings) = &changes.holdings {
            update = update.col_expr(Column::Holdings, Expr::value(text_of(holdings)));
        }
        if let Some(rescue) = changes.rescue_ref {
            update = update.col_expr(Column::RescueRef, Expr::value(rescue));
        }
        if let Some(reason) = changes.end_reason {
            update = update.col_expr(
                Column::EndReason,
                first(Column::EndReason, reason.as_str().to_owned()),
            );
        }
        if let Some(at) = changes.ended_at {
            update = update.col_expr(Column::EndedAt, first(Column::EndedAt, at.to_string()));
        }
        let done = update.exec(tx.connection()).await.map_err(write("sessions"))?;
        if done.rows_affected == 0 {
            return Ok(Moved::Overtaken);
        }
        if let Some(saw) = changes.seen {
            let sighting = Sighting {
                session: id.clone(),
                generation: seen.generation,
                seen: saw,
                at: now,
            };
            record_sighting(&tx, &sighting).await?;
        }
        let comes_up = seen.phase == Phase::Queued || seen.phase.is_coming_up();
        if seen.generation == 1 && comes_up && matches!(to, Phase::Stopping | Phase::Ended) {
            super::claims::give_back(&mut tx, id, now).await?;
        }
        tx.commit().await?;
        Ok(Moved::Yes)
    }

    /// Says what went wrong in the step the session is at; it stays there, and a later step that goes well takes the
    /// message away.
    pub async fn failed(
        &self,
        by: &Incarnation,
        id: &SessionId,
        seen: Stand,
        message: &str,
        now: Timestamp,
    ) -> Result<Moved, FactsError> {
        let tx = self.store.begin(Some(by)).await?;
        let done = standing(id, seen)
            .col_expr(sessions::Column::Failure, Expr::value(message))
            .col_expr(sessions::Column::UpdatedAt, Expr::value(now.to_string()))
            .exec(tx.connection())
            .await
            .map_err(write("sessions"))?;
        if done.rows_affected == 0 {
            return Ok(Moved::Overtaken);
        }
        tx.commit().await?;
        Ok(Moved::Yes)
    }

    /// Says what the first of the line waits for; `None`: somebody stands before it.
    pub async fn waits_for(
        &self,
        by: &Incarnation,
        id: &SessionId,
        seen: Stand,
        what: Option<QueuedFor>,
        now: Timestamp,
    ) -> Result<Moved, FactsError> {
        let tx = self.store.begin(Some(by)).await?;
        let done = standing(id, seen)
            .col_expr(
                sessions::Column::QueuedFor,
                Expr::value(what.map(QueuedFor::as_str)),
            )
            .col_expr(sessions::Column::UpdatedAt, Expr::value(now.to_string()))
            .exec(tx.connection())
            .await
            .map_err(write("sessions"))?;
        if done.rows_affected == 0 {
            return Ok(Moved::Overtaken);
        }
        tx.commit().await?;
        Ok(Moved::Yes)
    }

    /// Gives a live orchestrator the place of the one it replaces, which is wanted stopped from the same instant on: at none is
    /// there no orchestrator, and at none are there two.
    pub async fn take_over(
        &self,
        by: &Incarnation,
        id: &SessionId,
        seen: Stand,
        now: Timestamp,
    ) -> Result<Moved, FactsError> {
        let tx = self.store.begin(Some(by)).await?;
        let now = now.to_string();
        // One that is over already is left as it is.
        tx.run(
            "sessions",
            "UPDATE sessions SET desired = 'stop', end_reason = coalesce(end_reason, ?2), spares_worktree = 0, updated_at = ?3
             WHERE id = (SELECT replaces FROM sessions WHERE id = ?1) AND phase NOT IN ('finished', 'stopping', 'freeing', 'ended')",
            [id.as_str().into(), EndReason::Replaced.as_str().into(), now.clone().into()],
        )
        .await?;
        let done = standing(id, seen)
            .filter(sessions::Column::Replaces.is_not_null())
            .col_expr(sessions::Column::Replaces, Expr::value(Option::<String>::None))
            .col_expr(sessions::Column::UpdatedAt, Expr::value(now))
            .exec(tx.connection())
            .await
            .map_err(write("sessions"))?;
        if done.rows_affected == 0 {
            return Ok(Moved::Overtaken);
        }
        tx.commit().await?;
        Ok(Moved::Yes)
    }

    /// Brings a session back that a restart of the machine ended, as [`crate::IntentWriter::restore`] does for a person. Reads the
    /// row itself: whoever else restored it meanwhile has it.
    pub async fn come_back(
        &self,
        by: &Incarnation,
        id: &SessionId,
        secret: String,
        now: Timestamp,
    ) -> Result<Restored, FactsError> {
        let tx = self.store.begin(Some(by)).await?;
        let new = NewRun {
            start_over: false,
            secret,
            now,
        };
        let restored = restore_in(&tx, id, new).await?;
        if restored == Restored::Yes {
            tx.commit().await?;
        }
        Ok(restored)
    }

    /// Counts the session's revision up, because what it looks like changed with time alone.
    pub async fn bump(&self, by: &Incarnation, id: &SessionId, now: Timestamp) -> Result<Moved, FactsError> {
        let tx = self.store.begin(Some(by)).await?;
        let sql = "UPDATE sessions SET revision = revision + 1, updated_at = ?2 WHERE id = ?1";
        let done = tx
            .run("sessions", sql, [id.as_str().into(), now.to_string().into()])
            .await?;
        if done == 0 {
            return Ok(Moved::Overtaken);
        }
        tx.commit().await?;
        Ok(Moved::Yes)
    }
}

/// An update of the session that only finds it where it was seen.
fn standing(id: &SessionId, seen: Stand) -> UpdateMany<sessions::Entity> {
    use sessions::Column;
    sessions::Entity::update_many()
        .filter(Column::Id.eq(id.as_str()))
        .filter(Column::Generation.eq(seen.generation))
        .filter(Column::Phase.eq(seen.phase.as_str()))
        .filter(Column::Desired.eq(seen.desired.as_str()))
        .filter(Column::Discard.eq(seen.discard))
}

/// What stands in `column`, or `value` where nothing does.
fn first(column: sessions::Column, value: String) -> SimpleExpr {
    Expr::col(column).if_null(Expr::value(value))
}
