//! Rows made anew from what the disk and the processes still say, after a database was lost.

use ao_domain::{
    ActivityState, Desired, EndReason, PermissionMode, Phase, SessionId, SessionKind, Timestamp,
    WorktreeOwner, WorktreeState,
};
use sea_orm::ActiveModelTrait as _;
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};

use super::intents::IntentWriter;
use crate::FactsError;
use crate::entity::{projects, sessions};
use crate::error::{read, write};

/// A session that is found without a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its worktree.
    pub owner: WorktreeOwner,
    /// What its branch started from.
    pub base: String,
    /// Whether the branch was there before.
    pub branch_given: bool,
    /// Which runtime holds it, or would have.
    pub runtime: String,
    /// The run of its agent that a runtime holds; `None` when only the worktree is left.
    pub held: Option<FoundRun>,
}

/// A run of an agent that is found without a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRun {
    /// The run.
    pub generation: u32,
    /// The agent, as its own environment names it.
    pub harness: String,
    /// The launch's secret number, as its environment has it: 32 hex digits.
    pub secret: String,
}

impl IntentWriter {
    /// Makes projects and sessions of what was found, if there is no session at all: only a database that was lost is
    /// filled from the disk. Answers how many sessions were made. A held run is watched from then on; a worktree
    /// without one is kept.
    pub async fn salvage(&self, found: &[Found], now: Timestamp) -> Result<usize, FactsError> {
        let tx = self.store.begin(None).await?;
        let known = sessions::Entity::find()
            .count(tx.connection())
            .await
            .map_err(read("sessions"))?;
        if known > 0 || found.is_empty() {
            return Ok(0);
        }
        for one in found {
            let project = one.owner.session.project();
            let is_known = projects::Entity::find_by_id(project.as_str())
                .one(tx.connection())
                .await;
            if is_known.map_err(read("projects"))?.is_none() {
                // One path is active under one id only. Where it had two in its life, the one found first stays.
                let taken = projects::Entity::find()
                    .filter(projects::Column::Path.eq(one.owner.repo.as_str()))
                    .filter(projects::Column::ArchivedAt.is_null())
                    .count(tx.connection())
                    .await
                    .map_err(read("projects"))?;
                let row = projects::ActiveModel {
                    id: Set(project.to_string()),
                    path: Set(one.owner.repo.to_string()),
                    origin: Set(None),
                    display_name: Set(project.to_string()),
                    default_branch: Set(one.base.clone()),
                    registered_at: Set(now.to_string()),
                    archived_at: Set((taken > 0).then(|| now.to_string())),
                    updated_at: Set(now.to_string()),
                    config: Set("{}".to_owned()),
                    moves_to: Set(None),
                    move_failed: Set(None),
                };
                row.insert(tx.connection()).await.map_err(write("projects"))?;
            }
            let ticket = super::intents::next_ticket(&tx).await?;
            row_of(one, ticket, &now.to_string())
                .insert(tx.connection())
                .await
                .map_err(write("sessions"))?;
        }
        tx.commit().await?;
        Ok(found.len())
    }
}

fn row_of(found: &Found, ticket: i64, now: &str) -> sessions::ActiveModel {
    let (id, held) = (&found.owner.session, found.held.as_ref());
    let over = held.is_none();
    sessions::ActiveModel {
        id: Set(id.to_string()),
        project_id: Set(id.project().to_string()),
        num: Set(number_of(id)),
        kind: Set(SessionKind::Worker.to_string()),
        issue: Set(None),
        harness: Set(held.map_or("unknown", |run| &run.harness).to_owned()),
        runtime: Set(found.runtime.clone()),
        display_name: Set(None),
        prompt: Set(None),
        command: Set("[]".to_owned()),
        desired: Set(Desired::Run.to_string()),
        discard: Set(false),
        phase: Set(if over { Phase::Ended } else { Phase::Live }.to_string()),
        phase_at: Set(now.to_owned()),
        generation: Set(held.map_or(1, |run| run.generation.into())),
        secret: Set(held.map_or_else(|| "0".repeat(32), |run| run.secret.clone())),
        repo: Set(found.owner.repo.to_string()),
        base: Set(found.base.clone()),
        branch: Set(found.owner.branch.clone()),
        branch_given: Set(found.branch_given),
        worktree: Set(found.owner.path.to_string()),
        worktree_state: Set(if over {
            WorktreeState::Kept
        } else {
            WorktreeState::Active
        }
        .to_string()),
        holdings: Set("[]".to_owned()),
        rescue_ref: Set(None),
        activity_state: Set(ActivityState::Idle.to_string()),
        activity_since: Set(now.to_owned()),
        first_signal_at: Set(None),
        native_id: Set(None),
        title: Set(None),
        last_message: Set(None),
        dialog: Set(None),
        delay: Set(None),
        delay_until: Set(None),
        trouble: Set(None),
        wall_at: Set(None),
        wall_until: Set(None),
        wall_told: Set(false),
        tool: Set(None),
        said_why: Set(None),
        summary: Set(None),
        messages_waiting: Set(0),
        waiting_since: Set(None),
        prs: Set("[]".to_owned()),
        spares_worktree: Set(false),
        merged_before: Set(0),
        setup: Set("{}".to_owned()),
        provisioning: Set(None),
        ticket: Set(ticket),
        queued_for: Set(None),
        replaces: Set(None),
        // It may have been: whoever says so is asked once more.
        foreign_code: Set(true),
        model: Set(None),
        permissions: Set(PermissionMode::Default.to_string()),
        end_reason: Set(over.then(|| EndReason::RuntimeDead.to_string())),
        ended_at: Set(over.then(|| now.to_owned())),
        failure: Set(None),
        revision: Set(0),
        created_at: Set(now.to_owned()),
        updated_at: Set(now.to_owned()),
    }
}

/// The number at an id's end; ids are checked to have one.
fn number_of(id: &SessionId) -> i64 {
    id.as_str()
        .rsplit_once('-')
        .and_then(|(_, number)| number.parse().ok())
        .unwrap_or(0)
}
