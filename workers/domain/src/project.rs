//! A registered repository.

use camino::Utf8PathBuf;

use crate::{ProjectConfig, ProjectId, Timestamp};

/// A repository that somebody registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its name, chosen once and never pointed at another path while it has sessions.
    pub id: ProjectId,
    /// Top level of its work tree, absolute and with symlinks resolved.
    pub path: Utf8PathBuf,
    /// URL of the remote `origin`, where there is one.
    pub origin: Option<String>,
    /// What people call it.
    pub display_name: String,
    /// Where new worktrees start from: `origin/HEAD` as it was at registration, else the branch then checked out.
    pub default_branch: String,
    /// What a person set for it.
    pub config: ProjectConfig,
    /// Where somebody says that its repository is now, until every worktree has followed.
    pub moves_to: Option<Utf8PathBuf>,
    /// Why the last move did not come about; everything is where it was.
    pub move_failed: Option<String>,
    /// When it was registered first.
    pub registered_at: Timestamp,
    /// When it was removed; `None` while it is active.
    pub archived_at: Option<Timestamp>,
}

impl Project {
    /// What stands before a session's number where people read it.
    pub fn session_prefix(&self) -> &str {
        let set = self.config.session_prefix.as_deref();
        set.unwrap_or_else(|| self.id.prefix())
    }
}
