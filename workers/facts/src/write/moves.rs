//! What moved as a whole: a project's repository, or the folder of all worktrees.

use ao_domain::{ProjectId, Timestamp};
use ao_supervisor::Incarnation;
use camino::Utf8Path;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::intents::IntentWriter;
use super::outcomes::{Moved, OutcomeWriter};
use crate::FactsError;
use crate::entity::{parse, projects};
use crate::error::read;

/// What became of the wish that a project follows its repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// It is wanted, durably.
    Asked,
    /// It is there already; nothing was written.
    Already,
    /// There is no active project of that id; nothing was written.
    NotFound,
    /// Another active project lies there; nothing was written.
    PathTaken {
        /// Its id.
        id: ProjectId,
    },
}

impl IntentWriter {
    /// Wants a project and its worktrees to follow its repository to `to`.
    pub async fn move_project(
        &self,
        id: &ProjectId,
        to: &Utf8Path,
        now: Timestamp,
    ) -> Result<Move, FactsError> {
        let tx = self.store.begin(None).await?;
        let active = projects::Entity::find().filter(projects::Column::ArchivedAt.is_null());
        let all = active.all(tx.connection()).await.map_err(read("projects"))?;
        if let Some(other) = all
            .iter()
            .find(|one| one.path == to.as_str() && one.id != id.as_str())
        {
            return Ok(Move::PathTaken {
                id: parse("projects", &other.id, "id", &other.id)?,
            });
        }
        let Some(project) = all.iter().find(|one| one.id == id.as_str()) else {
            return Ok(Move::NotFound);
        };
        if project.path == to.as_str() {
            return Ok(Move::Already);
        }
        tx.run(
            "projects",
            "UPDATE projects SET moves_to = ?2, move_failed = NULL, updated_at = ?3 WHERE id = ?1",
            [id.as_str().into(), to.as_str().into(), now.to_string().into()],
        )
        .await?;
        tx.commit().await?;
        Ok(Move::Asked)
    }

    /// The folder of all worktrees is at `to` now: the rows follow. For the start of a daemon, before any child; how many rows.
    pub async fn rebase_worktrees(&self, from: &Utf8Path, to: &Utf8Path) -> Result<u64, FactsError> {
        let tx = self.store.begin(None).await?;
        let done = tx
            .run(
                "sessions",
                "UPDATE sessions SET worktree = ?2 || substr(worktree, length(?1) + 1) WHERE substr(worktree, 1, length(?1) + 1) = ?1 || '/'",
                [from.as_str().into(), to.as_str().into()],
            )
            .await?;
        tx.commit().await?;
        Ok(done)
    }
}

impl OutcomeWriter {
    /// Every worktree has followed: project and sessions are at `to` now, if that is still where it was to go.
    pub async fn project_moved(
        &self,
        by: &Incarnation,
        id: &ProjectId,
        to: &Utf8Path,
        now: Timestamp,
    ) -> Result<Moved, FactsError> {
        let tx = self.store.begin(Some(by)).await?;
        let now = now.to_string();
        tx.run(
            "sessions",
            "UPDATE sessions SET repo = ?2, updated_at = ?3
             WHERE project_id = ?1 AND repo = (SELECT path FROM projects WHERE id = ?1 AND moves_to = ?2)",
            [id.as_str().into(), to.as_str().into(), now.clone().into()],
        )
        .await?;
        let done = tx
            .run(
                "projects",
                "UPDATE projects SET path = ?2, moves_to = NULL, updated_at = ?3 WHERE id = ?1 AND moves_to = ?2",
                [id.as_str().into(), to.as_str().into(), now.into()],
            )
            .await?;
        if done == 0 {
            return Ok(Moved::Overtaken);
        }
        tx.commit().await?;
        Ok(Moved::Yes)
    }

    /// Why a project does not follow: it is where it was.
    pub async fn project_not_moved(
        &self,
        by: &Incarnation,
        id: &ProjectId,
        to: &Utf8Path,
        why: &str,
        now: Timestamp,
    ) -> Result<Moved, FactsError> {
        let tx = self.store.begin(Some(by)).await?;
        let done = tx
            .run(
                "projects",
                "UPDATE projects SET moves_to = NULL, move_failed = ?3, updated_at = ?4 WHERE id = ?1 AND moves_to = ?2",
                [id.as_str().into(), to.as_str().into(), why.into(), now.to_string().into()],
            )
            .await?;
        if done == 0 {
            return Ok(Moved::Overtaken);
        }
        tx.commit().await?;
        Ok(Moved::Yes)
    }
}
