//! The tail of the change log, and readers that follow it from any number.

use std::convert::Infallible;

use ao_domain::{ProjectId, SessionId, Timestamp};
use tokio::sync::watch;

use crate::pulse::SLOW_LOOK;
use crate::{FactsError, Reader};

/// One row of the change log.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its number: from 1, without holes, never used twice.
    pub seq: i64,
    /// The project it is about.
    pub project: ProjectId,
    /// The session it is about; `None` for a project's own.
    pub session: Option<SessionId>,
    /// What happened, such as `session_updated`.
    pub event_type: String,
    /// The fields a client needs to know whether to ask.
    pub payload: serde_json::Value,
    /// When.
    pub at: Timestamp,
}

/// The newest number of the log, kept up to date by [`Feed::tail`] and followed by any number of [`Subscription`]s.
/// Cheap to clone; it outlives the incarnations of the child that runs the tail.
#[derive(Clone, Debug)]
pub struct Feed {
    reader: Reader,
    head: watch::Sender<i64>,
}

impl Feed {
    /// A feed that has not looked yet.
    pub fn new(reader: Reader) -> Self {
        Self {
            reader,
            head: watch::Sender::new(0),
        }
    }

    /// The newest number seen by the tail.
    pub fn head(&self) -> i64 {
        *self.head.borrow()
    }

    /// Follows the log until a read fails, calling `looked` with the newest number after every look: the first says
    /// that the feed is up, each that it lives. Woken by our commits, and by a slow look once a second otherwise.
    ///
    /// Holds nothing of its own: a tail begun anew reads the log and goes on. Cancel safe.
    pub async fn tail(&self, mut looked: impl FnMut(i64) + Send) -> Result<Infallible, FactsError> {
        let mut wakeups = self.reader.wakeups();
        let mut woken = true;
        loop {
            let head = self.reader.head_seq().await?;
            let news = self
                .head
                .send_if_modified(|known| std::mem::replace(known, head) != head);
            if news && !woken {
                // Somebody else's commit, or one whose writer was dropped on the way: the waiters were not told.
                self.reader.wake_all();
            }
            looked(head);
            woken = wakeups.changed_within(SLOW_LOOK).await;
        }
    }

    /// Follows the log from just after number `after`; 0 is the beginning.
    pub fn subscribe(&self, after: i64) -> Subscription {
        Subscription {
            reader: self.reader.clone(),
            head: self.head.subscribe(),
            cursor: after,
        }
    }
}

/// What a subscription gets next.
#[derive(Clone, Debug, PartialEq)]
pub enum Page {
    /// The next changes, in order; never empty.
    Changes(Vec<Change>),
    /// The log does not reach back that far, or never was that far: whatever the client knows is to be read anew. The
    /// subscription goes on after number `head`.
    Reset {
        /// The newest number at this moment.
        head: i64,
    },
}

/// One reader of the log. It holds a number and no rows: a slow one costs nothing, and nothing is thinned for it.
#[derive(Debug)]
pub struct Subscription {
    reader: Reader,
    head: watch::Receiver<i64>,
    cursor: i64,
}

impl Subscription {
    /// Most changes in one page.
    pub const PAGE: u32 = 512;

    /// The number of the last change given out.
    pub fn cursor(&self) -> i64 {
        self.cursor
    }

    /// The next page, as soon as there is one. Every change after the cursor comes once and in order. Cancel safe: a
    /// page that was not given out is read again.
    pub async fn next(&mut self) -> Result<Page, FactsError> {
        loop {
            self.head.mark_unchanged();
            let changes = self.reader.changes_after(self.cursor, Self::PAGE).await?;
            match (changes.first(), changes.last()) {
                // Numbers have no holes, so one that is missing was pruned.
                (Some(first), Some(last)) if first.seq == self.cursor + 1 => {
                    self.cursor = last.seq;
                    return Ok(Page::Changes(changes));
                }
                (Some(_), _) => return self.reset().await,
                (None, _) if self.cursor > self.reader.head_seq().await? => return self.reset().await,
                (None, _) => {}
            }
            // The tail's child may be down for a moment; then a slow look has to do.
            let _ = tokio::time::timeout(SLOW_LOOK, self.head.changed()).await;
        }
    }

    async fn reset(&mut self) -> Result<Page, FactsError> {
        let head = self.reader.head_seq().await?;
        self.cursor = head;
        Ok(Page::Reset { head })
    }
}
