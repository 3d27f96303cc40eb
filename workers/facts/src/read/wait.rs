//! Waiting for a session's facts to get somewhere.

use std::time::Duration;

use ao_domain::{Session, SessionId};

use super::Reader;
use crate::FactsError;
use crate::pulse::SLOW_LOOK;

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
        /// Longer than the feed's own slow look, which wakes us when it finds something: many sessions wait here.
        const SELDOM: Duration = Duration::from_secs(10);
        let mut wakeups = self.wakeups();
        let was = i64::try_from(revision).ok();
        loop {
            let sql = "SELECT revision FROM sessions WHERE id = ?";
            match self.one::<i64, 1>("a revision", sql, [id.as_str().into()]).await {
                Ok(Some(now)) if Some(now) == was => {}
                _ => return,
            }
            wakeups.changed_within(SELDOM).await;
        }
    }
}
