//! Where hooks leave their records until they are applied.

use super::PortFuture;
use crate::{HookRecord, SessionId};

/// The spool could not be read, written or watched. Nothing was lost: records stay where they are.
#[derive(Debug, thiserror::Error)]
#[error("hook spool of `{session}`: {doing}")]
pub struct SpoolError {
    /// Whose spool.
    pub session: String,
    /// What was attempted.
    pub doing: &'static str,
    /// Why it failed.
    #[source]
    pub source: std::io::Error,
}

/// A piece of a spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spooled {
    /// Whole records in the order they were written. `Err` holds the reason why a line is none; it is passed over.
    pub records: Vec<Result<HookRecord, String>>,
    /// Offset in bytes just past the last whole line read: where the next read begins.
    pub next: u64,
}

/// One file of hook records per session.
pub trait HookSpool: Send + Sync + 'static {
    /// Appends one record by a single write. Returns once it is in the file.
    fn append<'a>(&'a self, record: &'a HookRecord) -> PortFuture<'a, Result<(), SpoolError>>;

    /// The same for what somebody else saw happen at `record.at`: its time since boot is worked out from that.
    fn append_seen<'a>(&'a self, record: &'a HookRecord) -> PortFuture<'a, Result<(), SpoolError>>;

    /// Reads whole lines from `offset` on, at most about 1 MiB a call. A spool that is not there is empty. A partial
    /// last line is left for the next read.
    fn read<'a>(&'a self, session: &'a SessionId, offset: u64)
    -> PortFuture<'a, Result<Spooled, SpoolError>>;

    /// The sessions that have a spool.
    fn sessions(&self) -> PortFuture<'_, Result<Vec<SessionId>, SpoolError>>;

    /// Resolves when any spool may have grown since the last call; also after a slow poll, should watching fail.
    /// Cancel safe.
    fn changed(&self) -> PortFuture<'_, ()>;
}
