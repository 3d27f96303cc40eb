//! What an agent writes down itself of a conversation: a second source, for what its hooks do not tell.

use camino::Utf8Path;

use super::PortFuture;

/// A growing file could not be read. Nothing was lost: the next try reads on from the same place.
#[derive(Debug, thiserror::Error)]
#[error("reading `{path}`")]
pub struct TranscriptError {
    /// Which.
    pub path: String,
    /// The system's words.
    #[source]
    pub source: std::io::Error,
}

/// Follows files to which whole lines are added.
pub trait Transcripts: Send + Sync + 'static {
    /// Follows `file` from its beginning. It need not be there yet.
    fn follow(&self, file: &Utf8Path) -> Box<dyn Follow>;
}

/// One file that is followed. Dropping it ends that.
pub trait Follow: Send {
    /// The next whole lines, at least one, at most about 1 MiB a call; waits for them. A file that became shorter is read from
    /// its beginning. A line that is no UTF-8 is passed over.
    ///
    /// Cancel safe: lines that were not given out are given out by the next call.
    fn lines(&mut self) -> PortFuture<'_, Result<Vec<String>, TranscriptError>>;
}
