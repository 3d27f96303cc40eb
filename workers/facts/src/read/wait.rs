//! Waiting for a session's facts to get somewhere.

use std::collections::HashMap;
use std::time::Duration;

use ao_domain::{Session, SessionId};
use tokio::time::Instant;

use super::Reader;
use crate::FactsError;
use crate::pulse::SLOW_LOOK;
use crate::write::get;

/// Longer than the feed's own slow look, which wakes everybody when it finds something: many sessions wait for a change of theirs.
const SELDOM: Duration = Duration::from_secs(30);

/// The revisions of all sessions that have not ended, as they stood when the pulse had beaten so often.
#[derive(Debug)]
pub(crate) struct Revisions {
    beaten: u64,
    read_at: Instant,
    of: HashMap<String, i64>,
}

/// How a wait ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// It got there.
    Reached(Box<Session>),
    /// Patience ran out; this is where it stands.
    StillAt(Box<Session>),
    /// There is no such session.
    NotFound,
}

impl Reader {
    /// Waits until `wanted` holds for the session, at most `patience`. Looks at once, after every commit that others
    /// may see, and once a second besides. Changes nothing, so dropping it loses only the answer. Cancel safe.
    pub async fn until(
        &self,
        id: &SessionId,
        wanted: impl Fn(&Session) -> bool + Send,
        patience: Duration,
    ) -> Result<Until, FactsError> {
        let deadline = tokio::time::Instant::now() + patience;
        let mut wakeups = self.wakeups();
        loop {
            let Some(session) = self.session(id).await? else {
                return Ok(Until::NotFound);
            };
            if wanted(&session) {
                return Ok(Until::Reached(Box::new(session)));
            }
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() {
                return Ok(Until::StillAt(Box::new(session)));
            }
            wakeups.changed_within(left.min(SLOW_LOOK)).await;
        }
    }

    /// Resolves once the session's revision is another than `revision`, or the session is not there. A read that
    /// fails resolves it too: the caller's own read says what is wrong. Cancel safe.
    pub async fn changed_since(&self, id: &SessionId, revision: u64) {
        let mut wakeups = self.wakeups();
        let was = i64::try_from(revision).ok();
        loop {
            match self.revision(id, was).await {
                Ok(Some(now)) if Some(now) == was => {}
                _ => return,
            }
            wakeups.changed_within(SELDOM).await;
        }
    }

    /// The session's revision, for somebody who has read `was`. All are read once for each commit, for all who were woken by it: one
    /// question for each would make every commit as dear as there are sessions.
    async fn revision(&self, id: &SessionId, was: Option<i64>) -> Result<Option<i64>, FactsError> {
        let beaten = self.store.pulse().count(); // taken before the rows, so that they are no older than it says
        let mut known = self.store.revisions().lock().await;
        let serves = |known: &Revisions| known.beaten == beaten && known.read_at.elapsed() < SELDOM;
        if !known.as_ref().is_some_and(serves) {
            let sql = "SELECT id, revision FROM sessions WHERE phase <> 'ended'";
            let rows = self.rows("revisions", sql, []).await?;
            let of = rows
                .iter()
                .map(|row| Ok((get(row, "id")?, get(row, "revision")?)));
            *known = Some(Revisions {
                beaten,
                read_at: Instant::now(),
                of: of.collect::<Result<_, FactsError>>()?,
            });
        }
        let found = known
            .as_ref()
            .and_then(|known| known.of.get(id.as_str()))
            .copied();
        drop(known);
        if found >= was && found.is_some() {
            return Ok(found);
        }
        // It has ended; or the caller has read a row that was committed since, before anybody was woken for it.
        let sql = "SELECT revision FROM sessions WHERE id = ?";
        self.one("a revision", sql, [id.as_str().into()]).await
    }
}
