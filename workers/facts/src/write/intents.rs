//! What somebody wants: projects registered and removed, sessions spawned and stopped, sweeps asked for.

use ao_domain::{
    ActivityState, BadConfig, Desired, EndReason, MessageKind, PermissionMode, Phase, Project, ProjectConfig,
    ProjectId, SessionId, SessionKind, SessionSetup, Timestamp, WorktreeState,
};
use camino::{Utf8Path, Utf8PathBuf};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder};

use super::claims::Wanted;
use super::messages::queued;
use super::{WriteTx, get};
use crate::entity::{number, parse, projects, sessions, text_of};
use crate::error::{read, write};
use crate::{FactsError, Store};

/// Writes wishes. For the API's handlers, which no supervisor fences: a wish is durable once the call returns, and a
/// client that left loses nothing. Cheap to clone. Dropping a call's future leaves all of it or nothing.
#[derive(Clone, Debug)]
pub struct IntentWriter {
    pub(super) store: Store,
}

/// A repository to be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewProject {
    /// The name it is to have.
    pub id: ProjectId,
    /// Top level of its work tree, absolute and with symlinks resolved.
    pub path: Utf8PathBuf,
    /// URL of the remote `origin`.
    pub origin: Option<String>,
    /// What people call it; its id where nobody says.
    pub display_name: Option<String>,
    /// Where new worktrees start from.
    pub default_branch: String,
    /// Now.
    pub now: Timestamp,
}

/// What became of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is registered.
    Added(Box<Project>),
    /// An active project lies at that path already; nothing was written.
    PathTaken {
        /// Its id.
        id: ProjectId,
    },
    /// The id is, or once was, another path's; sessions still name it, so nothing was written.
    IdTaken {
        /// An id that nobody ever had.
        suggested: ProjectId,
    },
}

/// What became of a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectRemoval {
    /// It is archived: no longer listed, its ended sessions still are.
    Removed,
    /// There is no active project of that id.
    NotFound,
    /// These sessions of it still run or are being ended; nothing was written.
    HasLiveSessions(Vec<SessionId>),
}

/// What became of a change of a project's config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Configured {
    /// It is as it is now.
    Yes(Box<Project>),
    /// There is no active project of that id; nothing was written.
    NotFound,
    /// The outcome would break a rule; nothing was written.
    Refused(BadConfig),
}

/// A session to be spawned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession<'a> {
    /// The client's idempotency key: asked again with it, the first session is the answer.
    pub key: Option<String>,
    /// Its project.
    pub project: ProjectId,
    /// Worker or orchestrator.
    pub kind: SessionKind,
    /// The issue it is about.
    pub issue: Option<String>,
    /// The agent, resolved.
    pub harness: String,
    /// The runtime, resolved.
    pub runtime: String,
    /// What people call it.
    pub display_name: Option<String>,
    /// What the agent should do.
    pub prompt: Option<String>,
    /// The first message to it: its prompt, where no command line can ask it.
    pub first_message: Option<String>,
    /// The command line of an agent that is one.
    pub command: Vec<String>,
    /// The model; `None` is the agent's own choice.
    pub model: Option<String>,
    /// What the agent may do without asking.
    pub permissions: PermissionMode,
    /// A branch that may be there already; `None` makes `ao/<session id>`.
    pub branch: Option<String>,
    /// What the branch starts from.
    pub base: String,
    /// The repository.
    pub repo: Utf8PathBuf,
    /// What it is made with beyond its agent.
    pub setup: SessionSetup,
    /// Whether an orchestrator takes the place of the one that the project has, which is ended once this one is live.
    pub replace: bool,
    /// The pull request that it starts from and is to have.
    pub claim: Option<Wanted>,
    /// The launch's secret number, 32 lower-case hex digits.
    pub secret: String,
    /// The folder that all worktrees lie in; this one comes to `<root>/<project>/<session>`.
    pub worktree_root: &'a Utf8Path,
    /// Now.
    pub now: Timestamp,
}

/// What became of a spawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spawn {
    /// There is a session for it.
    Spawned {
        /// Which.
        id: SessionId,
        /// Whether this call made it; else an earlier one with the same key did, and nothing was written.
        fresh: bool,
    },
    /// There is no active project of that id; nothing was written.
    NoProject,
    /// The project has an orchestrator that is wanted, or one that is about to take its place; nothing was written.
    OrchestratorLives(SessionId),
}

/// What became of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is wanted stopped, durably; the session's child does it.
    Stopping,
    /// It has ended and left nothing to take back.
    AlreadyEnded,
    /// There is no such session.
    NotFound,
}

/// A restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRun {
    /// Whether the agent begins a new conversation with the session's prompt; else the one it had goes on.
    pub start_over: bool,
    /// The launch's secret number, 32 lower-case hex digits.
    pub secret: String,
    /// Now.
    pub now: Timestamp,
}

/// What became of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It is wanted again, durably; the session's child brings it up as its agent's next run.
    Yes,
    /// There is no such session.
    NotFound,
    /// Its agent is not over, or is being ended; nothing was written.
    NotOver(Phase),
    /// Its agent never told of a conversation that could go on; nothing was written.
    NothingToResume,
    /// The project has another orchestrator that is wanted; nothing was written.
    OrchestratorLives(SessionId),
    /// Its project was removed; nothing was written.
    NoProject(ProjectId),
}

impl IntentWriter {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Wants a session back whose agent is over: the same agent in the same worktree, as its next run. Signals and looks of the
    /// run before count no more from here on. Of two at once one wins; the other finds it not over.
    pub async fn restore(&self, id: &SessionId, new: NewRun) -> Result<Restored, FactsError> {
        let tx = self.store.begin(None).await?;
        let restored = super::restore::restore_in(&tx, id, new).await?;
        if restored == Restored::Yes {
            tx.commit().await?;
        }
        Ok(restored)
    }

    /// Calls a session by another name; `None` takes its name away. `false`: there is no such session.
    pub async fn rename(
        &self,
        id: &SessionId,
        name: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, FactsError> {
        use sessions::Column;
        let tx = self.store.begin(None).await?;
        let done = sessions::Entity::update_many()
            .col_expr(Column::DisplayName, Expr::value(name.map(str::to_owned)))
            .col_expr(Column::UpdatedAt, Expr::value(now.to_string()))
            .filter(Column::Id.eq(id.as_str()))
            .exec(tx.connection())
            .await
            .map_err(write("sessions"))?;
        tx.commit().await?;
        Ok(done.rows_affected == 1)
    }

    /// Registers a repository. An archived project comes back when id and path are both its own.
    pub async fn add_project(&self, new: NewProject) -> Result<Added, FactsError> {
        let tx = self.store.begin(None).await?;
        let at_path = projects::Entity::find()
            .filter(projects::Column::Path.eq(new.path.as_str()))
            .filter(projects::Column::ArchivedAt.is_null())
            .one(tx.connection())
            .await
            .map_err(read("projects"))?;
        if let Some(other) = at_path {
            return Ok(Added::PathTaken {
                id: parse("projects", &other.id, "id", &other.id)?,
            });
        }
        let namesake = projects::Entity::find_by_id(new.id.as_str())
            .one(tx.connection())
            .await;
        let now = new.now.to_string();
        let mut row = match namesake.map_err(read("projects"))? {
            // Worktrees of its old sessions were made from the old path: pointed elsewhere, git would not know them
            // there, and what it does not know looks as if it may be deleted.
            Some(old) if old.path != new.path => {
                return Ok(Added::IdTaken {
                    suggested: unused_id(&tx, &new.id).await?,
                });
            }
            Some(old) => projects::ActiveModel::from(old),
            None => projects::ActiveModel {
                registered_at: Set(now.clone()),
                ..Default::default()
            },
        };
        let is_new = row.id.is_not_set();
        row.id = Set(new.id.to_string());
        row.path = Set(new.path.into_string());
        row.origin = Set(new.origin);
        row.display_name = Set(new.display_name.unwrap_or_else(|| new.id.to_string()));
        row.default_branch = Set(new.default_branch);
        row.archived_at = Set(None);
        row.updated_at = Set(now);
        let row = if is_new {
            row.insert(tx.connection()).await
        } else {
            row.update(tx.connection()).await
        };
        let project = row.map_err(write("projects"))?.try_into()?;
        tx.commit().await?;
        Ok(Added::Added(Box::new(project)))
    }

    /// Sets what is given of a project's config and leaves the rest: `patch` is a JSON merge patch; `clear` takes everything away
    /// before it.
    pub async fn configure_project(
        &self,
        id: &ProjectId,
        clear: bool,
        patch: &serde_json::Value,
        now: Timestamp,
    ) -> Result<Configured, FactsError> {
        let tx = self.store.begin(None).await?;
        let row = projects::Entity::find_by_id(id.as_str())
            .filter(projects::Column::ArchivedAt.is_null())
            .one(tx.connection())
            .await
            .map_err(read("projects"))?;
        let Some(row) = row else {
            return Ok(Configured::NotFound);
        };
        let mut project: Project = row.try_into()?;
        let before = if clear {
            ProjectConfig::default()
        } else {
            project.config
        };
        project.config = match before.merged(patch) {
            Ok(config) => config,
            Err(why) => return Ok(Configured::Refused(why)),
        };
        tx.run(
            "projects",
            "UPDATE projects SET config = ?2, updated_at = ?3 WHERE id = ?1",
            [
                id.as_str().into(),
                text_of(&project.config).into(),
                now.to_string().into(),
            ],
        )
        .await?;
        tx.commit().await?;
        Ok(Configured::Yes(Box::new(project)))
    }

    /// Archives a project that has no session under way. Its rows stay.
    pub async fn remove_project(&self, id: &ProjectId, now: Timestamp) -> Result<ProjectRemoval, FactsError> {
        let tx = self.store.begin(None).await?;
        let live = sessions::Entity::find()
            .filter(sessions::Column::ProjectId.eq(id.as_str()))
            .filter(sessions::Column::Phase.is_not_in([Phase::Finished.as_str(), Phase::Ended.as_str()]))
            .order_by_asc(sessions::Column::Num)
            .all(tx.connection())
            .await
            .map_err(read("sessions"))?;
        if !live.is_empty() {
            let ids: Result<_, _> = live
                .iter()
                .map(|row| parse("sessions", &row.id, "id", &row.id))
                .collect();
            return Ok(ProjectRemoval::HasLiveSessions(ids?));
        }
        let gone = tx
            .run(
                "projects",
                "UPDATE projects SET archived_at = ?1, updated_at = ?1 WHERE id = ?2 AND archived_at IS NULL",
                [now.to_string().into(), id.as_str().into()],
            )
            .await?;
        if gone == 0 {
            return Ok(ProjectRemoval::NotFound);
        }
        tx.commit().await?;
        Ok(ProjectRemoval::Removed)
    }

    /// Makes the row of a new session, wanted running and queued. Number, id, branch and place are chosen in the same
    /// transaction, so that no two are alike.
    pub async fn spawn(&self, new: NewSession<'_>) -> Result<Spawn, FactsError> {
        let tx = self.store.begin(None).await?;
        if let Some(key) = &new.key
            && let Some(earlier) = tx
                .row(
                    "intents",
                    "SELECT session_id FROM intents WHERE key = ?",
                    [key.as_str().into()],
                )
                .await?
        {
            let id: String = get(&earlier, "session_id")?;
            return Ok(Spawn::Spawned {
                id: parse("intents", key, "session_id", &id)?,
                fresh: false,
            });
        }
        if !tx.has_project(&new.project).await? {
            return Ok(Spawn::NoProject);
        }
        let mut replaces = None;
        if new.kind == SessionKind::Orchestrator {
            match orchestrators(&tx, &new.project).await? {
                Orchestrators { next: Some(next), .. } => return Ok(Spawn::OrchestratorLives(next)),
                Orchestrators { now: Some(lives), .. } if !new.replace => {
                    return Ok(Spawn::OrchestratorLives(lives));
                }
                Orchestrators { now, .. } => replaces = now,
            }
        }
        let ticket = next_ticket(&tx).await?;
        let num = next_num(&tx, &new.project).await?;
        let id = SessionId::new(&new.project, num);
        let now = new.now.to_string();
        row_of(&new, &id, num, ticket, replaces.as_ref(), &now)
            .insert(tx.connection())
            .await
            .map_err(write("sessions"))?;
        if let Some(body) = new.first_message.clone() {
            let message = queued(&id, MessageKind::Text, body, &now);
            message.insert(tx.connection()).await.map_err(write("messages"))?;
        }
        if let Some(wanted) = &new.claim {
            super::claims::ask(&tx, &id, wanted, true, &now).await?;
        }
        if let Some(key) = &new.key {
            tx.run(
                "intents",
                "INSERT INTO intents (key, kind, session_id, created_at) VALUES (?, 'spawn', ?, ?)",
                [key.as_str().into(), id.as_str().into(), now.into()],
            )
            .await?;
        }
        tx.commit().await?;
        Ok(Spawn::Spawned { id, fresh: true })
    }

    /// Wants a session stopped and its worktree taken back; with `discard`, whatever the worktree holds. Safe to
    /// repeat; a later `discard` adds to an earlier stop. Of one that ended and left its worktree, that is looked at
    /// again. The first reason stays.
    pub async fn stop(
        &self,
        id: &SessionId,
        reason: EndReason,
        discard: bool,
        now: Timestamp,
    ) -> Result<Stop, FactsError> {
        let tx = self.store.begin(None).await?;
        let Some(row) = tx.session(id).await? else {
            return Ok(Stop::NotFound);
        };
        self.stop_in(tx, row, reason, discard, now).await
    }

    async fn stop_in(
        &self,
        tx: WriteTx,
        row: sessions::Model,
        reason: EndReason,
        discard: bool,
        now: Timestamp,
    ) -> Result<Stop, FactsError> {
        let ended = row.phase == Phase::Ended.as_str();
        // Only of a stop that is under way it stays wanted; one that is over was about what was there then.
        let discards = row.discard && !ended && row.phase != Phase::Finished.as_str();
        let left = [WorktreeState::Kept, WorktreeState::Active]
            .iter()
            .any(|state| row.worktree_state == state.as_str());
        if ended && !left {
            return Ok(Stop::AlreadyEnded);
        }
        let now = now.to_string();
        let mut update = sessions::Entity::update_many()
            .col_expr(sessions::Column::Desired, Expr::value(Desired::Stop.as_str()))
            .col_expr(sessions::Column::Discard, Expr::value(discard || discards))
            .col_expr(sessions::Column::SparesWorktree, Expr::value(false))
            .col_expr(
                sessions::Column::EndReason,
                Expr::col(sessions::Column::EndReason).if_null(Expr::value(reason.as_str())),
            )
            .col_expr(sessions::Column::UpdatedAt, Expr::value(now.clone()))
            .filter(sessions::Column::Id.eq(row.id.as_str()));
        if ended {
            update = update
                .col_expr(sessions::Column::Phase, Expr::value(Phase::Stopping.as_str()))
                .col_expr(sessions::Column::PhaseAt, Expr::value(now));
        }
        update.exec(tx.connection()).await.map_err(write("sessions"))?;
        tx.commit().await?;
        Ok(Stop::Stopping)
    }

    /// [`Self::stop`] of a session whose agent is over, if it still is that run of it: one that somebody restored meanwhile is left
    /// alone, as [`Stop::AlreadyEnded`].
    pub async fn stop_if_over(
        &self,
        id: &SessionId,
        generation: u32,
        reason: EndReason,
        now: Timestamp,
    ) -> Result<Stop, FactsError> {
        let tx = self.store.begin(None).await?;
        let Some(row) = tx.session(id).await? else {
            return Ok(Stop::NotFound);
        };
        let over = [Phase::Finished, Phase::Ended]
            .iter()
            .any(|phase| row.phase == phase.as_str());
        if !over || row.generation != i64::from(generation) {
            return Ok(Stop::AlreadyEnded);
        }
        self.stop_in(tx, row, reason, false, now).await
    }

    /// Makes a sweep due at `at`, whether it was known or not.
    pub async fn set_due(&self, sweep: &str, at: Timestamp) -> Result<(), FactsError> {
        let tx = self.store.begin(None).await?;
        tx.run(
            "sweeps",
            "INSERT INTO sweeps (name, due_at) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET due_at = ?2",
            [sweep.into(), at.to_string().into()],
        )
        .await?;
        tx.commit().await
    }
}

/// The first of `<id>1`, `<id>2`, … that no project ever had.
async fn unused_id(tx: &WriteTx, id: &ProjectId) -> Result<ProjectId, FactsError> {
    // Room for the number: ids have a longest form.
    let stem = &id.as_str()[..id.as_str().len().min(ProjectId::MAX - 10)];
    for n in 1_u32.. {
        let Ok(candidate) = format!("{stem}{n}").parse::<ProjectId>() else {
            continue;
        };
        let taken = projects::Entity::find_by_id(candidate.as_str())
            .one(tx.connection())
            .await;
        if taken.map_err(read("projects"))?.is_none() {
            return Ok(candidate);
        }
    }
    unreachable!("fewer than four thousand million projects")
}

/// The orchestrators of a project that are wanted.
pub(super) struct Orchestrators {
    /// The one it has.
    pub(super) now: Option<SessionId>,
    /// The one that takes its place once it is live.
    pub(super) next: Option<SessionId>,
}

pub(super) async fn orchestrators(tx: &WriteTx, project: &ProjectId) -> Result<Orchestrators, FactsError> {
    let rows = sessions::Entity::find()
        .filter(sessions::Column::ProjectId.eq(project.as_str()))
        .filter(sessions::Column::Kind.eq(SessionKind::Orchestrator.as_str()))
        .filter(sessions::Column::Desired.eq(Desired::Run.as_str()))
        .filter(sessions::Column::Phase.is_not_in(crate::read::TERMINATED.map(Phase::as_str)))
        .all(tx.connection())
        .await
        .map_err(read("sessions"))?;
    let of = |next: bool| {
        let row = rows.iter().find(|row| row.replaces.is_some() == next);
        row.map(|row| parse("sessions", &row.id, "id", &row.id))
            .transpose()
    };
    Ok(Orchestrators {
        now: of(false)?,
        next: of(true)?,
    })
}

/// The next place in the line, handed out in the transaction that takes it.
pub(super) async fn next_ticket(tx: &WriteTx) -> Result<i64, FactsError> {
    let sql = "SELECT ifnull(max(ticket), 0) + 1 AS ticket FROM sessions";
    let row = tx.row("sessions", sql, []).await?;
    get(&row.expect("an aggregate has one row"), "ticket")
}

async fn next_num(tx: &WriteTx, project: &ProjectId) -> Result<u32, FactsError> {
    let sql = "SELECT ifnull(max(num), 0) + 1 AS num FROM sessions WHERE project_id = ?";
    let row = tx
        .row("sessions", sql, [project.as_str().into()])
        .await?
        .expect("an aggregate has one row");
    number("sessions", project.as_str(), "num", get(&row, "num")?)
}

fn row_of(
    new: &NewSession<'_>,
    id: &SessionId,
    num: u32,
    ticket: i64,
    replaces: Option<&SessionId>,
    now: &str,
) -> sessions::ActiveModel {
    sessions::ActiveModel {
        id: Set(id.to_string()),
        project_id: Set(new.project.to_string()),
        num: Set(num.into()),
        kind: Set(new.kind.to_string()),
        issue: Set(new.issue.clone()),
        harness: Set(new.harness.clone()),
        runtime: Set(new.runtime.clone()),
        display_name: Set(new.display_name.clone()),
        prompt: Set(new.prompt.clone()),
        command: Set(text_of(&new.command)),
        desired: Set(Desired::Run.to_string()),
        discard: Set(false),
        phase: Set(Phase::Queued.to_string()),
        phase_at: Set(now.to_owned()),
        generation: Set(1),
        secret: Set(new.secret.clone()),
        repo: Set(new.repo.to_string()),
        base: Set(new.base.clone()),
        branch: Set(new.branch.clone().unwrap_or_else(|| id.own_branch())),
        branch_given: Set(new.branch.is_some()),
        worktree: Set(new
            .worktree_root
            .join(new.project.as_str())
            .join(id.as_str())
            .into_string()),
        worktree_state: Set(WorktreeState::None.to_string()),
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
        setup: Set(text_of(&new.setup)),
        provisioning: Set(None),
        ticket: Set(ticket),
        queued_for: Set(None),
        replaces: Set(replaces.map(ToString::to_string)),
        foreign_code: Set(false),
        model: Set(new.model.clone()),
        permissions: Set(new.permissions.to_string()),
        end_reason: Set(None),
        ended_at: Set(None),
        failure: Set(None),
        revision: Set(0),
        created_at: Set(now.to_owned()),
        updated_at: Set(now.to_owned()),
    }
}
