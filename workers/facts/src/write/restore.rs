//! A session's next run: one rule for whoever asks for it.

use ao_domain::{ActivityState, Desired, Phase, ProjectId, SessionId, SessionKind, WorktreeState};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::WriteTx;
use super::intents::{NewRun, Orchestrators, Restored, next_ticket, orchestrators};
use crate::FactsError;
use crate::entity::{parse, sessions};
use crate::error::write;

/// Wants a session back whose agent is over, as its next run. Commits nothing.
pub(super) async fn restore_in(tx: &WriteTx, id: &SessionId, new: NewRun) -> Result<Restored, FactsError> {
    use sessions::Column;
    let Some(row) = tx.session(id).await? else {
        return Ok(Restored::NotFound);
    };
    let phase: Phase = parse("sessions", &row.id, "phase", &row.phase)?;
    if !matches!(phase, Phase::Finished | Phase::Ended) {
        return Ok(Restored::NotOver(phase));
    }
    if row.native_id.is_none() && !new.start_over {
        return Ok(Restored::NothingToResume);
    }
    let project: ProjectId = parse("sessions", &row.id, "project_id", &row.project_id)?;
    if !tx.has_project(&project).await? {
        return Ok(Restored::NoProject(project));
    }
    if row.kind == SessionKind::Orchestrator.as_str()
        && let Orchestrators { now, next } = orchestrators(tx, &project).await?
        && let Some(other) = now.or(next)
    {
        return Ok(Restored::OrchestratorLives(other));
    }
    let ticket = next_ticket(tx).await?;
    let now = new.now.to_string();
    let merged = super::pulls::merged_of(tx, id).await?;
    let nothing = || Expr::value(Option::<String>::None);
    let mut update = sessions::Entity::update_many()
        .col_expr(Column::Generation, Expr::value(row.generation + 1))
        .col_expr(Column::Secret, Expr::value(new.secret))
        .col_expr(Column::Desired, Expr::value(Desired::Run.as_str()))
        .col_expr(Column::Discard, Expr::value(false))
        .col_expr(Column::SparesWorktree, Expr::value(false))
        .col_expr(Column::MergedBefore, Expr::value(merged))
        .col_expr(Column::Phase, Expr::value(Phase::Queued.as_str()))
        .col_expr(Column::PhaseAt, Expr::value(now.clone()))
        .col_expr(Column::Ticket, Expr::value(ticket))
        .col_expr(Column::Replaces, nothing())
        .col_expr(Column::ActivityState, Expr::value(ActivityState::Idle.as_str()))
        .col_expr(Column::ActivitySince, Expr::value(now.clone()))
        .col_expr(Column::FirstSignalAt, nothing())
        .col_expr(Column::EndReason, nothing())
        .col_expr(Column::EndedAt, nothing())
        .col_expr(Column::Failure, nothing())
        .col_expr(Column::Dialog, nothing())
        .col_expr(Column::Delay, nothing())
        .col_expr(Column::DelayUntil, nothing())
        .col_expr(Column::Trouble, nothing())
        .col_expr(Column::WallAt, nothing())
        .col_expr(Column::WallUntil, nothing())
        .col_expr(Column::WallTold, Expr::value(false))
        .col_expr(Column::Tool, nothing())
        .col_expr(Column::SaidWhy, nothing())
        .col_expr(Column::UpdatedAt, Expr::value(now))
        .filter(Column::Id.eq(id.as_str()));
    if new.start_over {
        update = update
            .col_expr(Column::NativeId, nothing())
            .col_expr(Column::Summary, nothing());
    }
    // A worktree that was taken back is made again, from its branch where that is still there. Whose branch that is by now the record
    // of the worktree tells; without a record it is somebody's, checked out and never removed as ours.
    if row.worktree_state == WorktreeState::Removed.as_str() {
        update = update
            .col_expr(Column::BranchGiven, Expr::value(true))
            .col_expr(Column::Provisioning, nothing())
            .col_expr(Column::WorktreeState, Expr::value(WorktreeState::None.as_str()));
    }
    update.exec(tx.connection()).await.map_err(write("sessions"))?;
    super::messages::requeue_unbegun(tx, id, row.generation, &new.now.to_string()).await?;
    super::pulls::follow_open(tx, id).await?;
    Ok(Restored::Yes)
}
