//! Where messages lie that are too long to be typed.

use camino::{Utf8Path, Utf8PathBuf};

use super::PortFuture;
use crate::SessionId;

/// A message could not be written. Nothing was typed.
#[derive(Debug, thiserror::Error)]
#[error("writing the message to `{path}`")]
pub struct LetterError {
    /// Where.
    pub path: Utf8PathBuf,
    /// The system's words.
    #[source]
    pub source: std::io::Error,
}

/// A file for each long message, which its agent may read and nobody else.
pub trait Letters: Send + Sync + 'static {
    /// The folder of a session's messages, whether it is there or not.
    fn folder(&self, session: &SessionId) -> Utf8PathBuf;

    /// Writes message `id` and says where it lies. Safe to repeat; a reader finds the whole of it or nothing.
    fn put<'a>(
        &'a self,
        session: &'a SessionId,
        id: u64,
        text: &'a str,
    ) -> PortFuture<'a, Result<Utf8PathBuf, LetterError>>;
}

/// The file of message `id` in its session's folder.
pub fn letter(folder: &Utf8Path, id: u64) -> Utf8PathBuf {
    folder.join(format!("{id}.md"))
}
