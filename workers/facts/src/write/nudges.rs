//! What agents are told about their pull requests, what persons are, and the end of a session whose work was merged.

use ao_domain::{
    Desired, EndReason, EpisodeKind, MessageKind, MessageState, NoticeKind, Phase, SessionId, Timestamp,
};
use ao_supervisor::Incarnation;
use sea_orm::ActiveModelTrait;
use sea_orm::ActiveValue::Set;

use super::get;
use super::outcomes::{Moved, OutcomeWriter};
use crate::FactsError;
use crate::entity::{messages, text_of};
use crate::error::write;

/// A message about an episode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNudge {
    /// Whose agent is told.
    pub session: SessionId,
    /// The run of the agent that it is for.
    pub generation: u32,
    /// The episode.
    pub episode: u64,
    /// In which way its pull request is bad.
    pub kind: EpisodeKind,
    /// Which one of this episode and run.
    pub round: u32,
    /// What it tells of: keys of checks.
    pub told: Vec<String>,
    /// The words.
    pub text: String,
}

/// Something a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNotice {
    /// What it is about.
    pub session: SessionId,
    /// What kind.
    pub kind: NoticeKind,
    /// The pull request's number here.
    pub pr: u64,
    /// The commit it is about.
    pub head: String,
    /// Where a person reads more.
    pub url: String,
    /// In words.
    pub text: String,
}

impl OutcomeWriter {
    /// Queues a message about an episode, once: with the message stands what it told of. `Overtaken`: it was queued before, the
    /// episode is over, or another run of the agent is on; nothing was written.
    pub async fn nudge(&self, by: &Incarnation, new: NewNudge, now: Timestamp) -> Result<Moved, FactsError> {
        let tx = self.store.begin(Some(by)).await?;
        let episode = i64::try_from(new.episode).unwrap_or(i64::MAX);
        let may = tx
            .row(
                "episodes",
                "SELECT count(*) AS may FROM episodes AS e JOIN pull_requests AS p ON p.id = e.pr
                 JOIN sessions AS s ON s.id = p.session_id
                 WHERE e.id = ?1 AND e.closed_at IS NULL AND s.id = ?2 AND s.generation = ?3 AND s.phase = ?4 AND s.desired = ?5
                   AND NOT EXISTS (SELECT 1 FROM nudges AS n
                       WHERE n.session_id = ?2 AND n.generation = ?3 AND n.episode = ?1 AND n.round >= ?6)",
                [
                    episode.into(),
                    new.session.as_str().into(),
                    new.generation.into(),
                    Phase::Live.as_str().into(),
                    Desired::Run.as_str().into(),
                    new.round.into(),
                ],
            )
            .await?
            .expect("an aggregate has one row");
        if get::<i64>(&may, "may")? != 1 {
            return Ok(Moved::Overtaken);
        }
        let now = now.to_string();
        let row = messages::ActiveModel {
            session_id: Set(new.session.to_string()),
            kind: Set(MessageKind::Text.to_string()),
            about: Set(Some(new.kind.to_string())),
            body: Set(new.text),
            state: Set(MessageState::Queued.to_string()),
            attempts: Set(0),
            typings: Set(0),
            perhaps: Set(false),
            begun: Set(false),
            queued_at: Set(now.clone()),
            state_at: Set(now),
            ..Default::default()
        };
        let row = row.insert(tx.connection()).await.map_err(write("messages"))?;
        tx.run(
            "nudges",
            "INSERT INTO nudges (session_id, generation, episode, round, told, message) VALUES (?, ?, ?, ?, ?, ?)",
            [
                new.session.as_str().into(),
                new.generation.into(),
                episode.into(),
                new.round.into(),
                text_of(&new.told).into(),
                row.id.into(),
            ],
        )
        .await?;
        tx.commit().await?;
        Ok(Moved::Yes)
    }

    /// Writes down what a person should know, once for each commit; one that was over is so again. `Overtaken`: it stands already.
    pub async fn notice(
        &self,
        by: &Incarnation,
        new: NewNotice,
        now: Timestamp,
    ) -> Result<Moved, FactsError> {
        let tx = self.store.begin(Some(by)).await?;
        let done = tx
            .run(
                "notices",
                "INSERT INTO notices (session_id, kind, subject, url, text, created_at) VALUES (?, ?, ?, ?, ?, ?)
                 ON CONFLICT (session_id, kind, subject) DO UPDATE
                    SET closed_at = NULL, url = excluded.url, text = excluded.text, created_at = excluded.created_at
                    WHERE closed_at IS NOT NULL",
                [
                    new.session.as_str().into(),
                    new.kind.as_str().into(),
                    format!("{}@{}", new.pr, new.head).into(),
                    new.url.into(),
                    new.text.into(),
                    now.to_string().into(),
                ],
            )
            .await?;
        if done == 0 {
            return Ok(Moved::Overtaken);
        }
        tx.commit().await?;
        Ok(Moved::Yes)
    }

    /// Ends a session whose work was merged, if it still runs as the caller saw it. Its worktree stays as it is, but where its
    /// project asks for it back; then it is weighed as after any other end.
    pub async fn complete(
        &self,
        by: &Incarnation,
        session: &SessionId,
        generation: u32,
        now: Timestamp,
    ) -> Result<Moved, FactsError> {
        let tx = self.store.begin(Some(by)).await?;
        let done = tx
            .run(
                "sessions",
                "UPDATE sessions SET desired = ?3, end_reason = coalesce(end_reason, ?4), ended_at = coalesce(ended_at, ?5), updated_at = ?5,
                    spares_worktree = (SELECT ifnull(json_extract(config, '$.reclaimOnMerge'), 0) = 0 FROM projects WHERE projects.id = project_id)
                 WHERE id = ?1 AND generation = ?2 AND desired = ?6 AND phase IN (?7, ?8)",
                [
                    session.as_str().into(),
                    generation.into(),
                    Desired::Stop.as_str().into(),
                    EndReason::Completed.as_str().into(),
                    now.to_string().into(),
                    Desired::Run.as_str().into(),
                    Phase::Live.as_str().into(),
                    Phase::Finished.as_str().into(),
                ],
            )
            .await?;
        if done == 0 {
            return Ok(Moved::Overtaken);
        }
        tx.commit().await?;
        Ok(Moved::Yes)
    }
}
