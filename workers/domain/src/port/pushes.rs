//! What git itself writes down of a push.

use camino::Utf8Path;

use super::PortFuture;

/// Notices when a repository's record of its remotes' branches changes: after a push, or a fetch.
pub trait Pushes: Send + Sync + 'static {
    /// Watches the repository at `repo`. One that is not there is watched for, slowly.
    fn watch(&self, repo: &Utf8Path) -> Box<dyn PushWatch>;
}

/// One repository that is watched. Dropping it ends that.
pub trait PushWatch: Send + Sync {
    /// Resolves once the record has changed since this was made, or since the last call; answers which branches changed, and with each
    /// stand all below it. Empty where that is not known: then any may have. Several changes may be one. Cancel safe.
    fn pushed(&mut self) -> PortFuture<'_, Vec<String>>;
}
