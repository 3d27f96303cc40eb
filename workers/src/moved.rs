//! A data directory that was moved: its worktrees, git's records of them and the rows find each other again.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;

use ao_domain::port::upkeep::Upkeep;
use ao_domain::{Session, chain};
use ao_facts::{Filter, IntentWriter, Reader};
use camino::{Utf8Path, Utf8PathBuf};

use crate::OpenError;

/// Lets everything follow to `root` that the rows place elsewhere. Records first, rows last: cut in between, the next start does it
/// again.
///
/// # Errors
/// When worktrees are still where the rows say, so that this is a copy: two daemons would work on them.
pub(crate) async fn follow(
    upkeep: &dyn Upkeep,
    reader: &Reader,
    intents: &IntentWriter,
    root: &Utf8Path,
) -> Result<(), OpenError> {
    let sessions = reader
        .sessions(&Filter::default())
        .await
        .map_err(OpenError::Facts)?;
    let elsewhere: BTreeSet<Utf8PathBuf> = sessions
        .iter()
        .filter(|session| !session.worktree.starts_with(root))
        .filter_map(root_of)
        .collect();
    for from in elsewhere {
        let of = |session: &&Session| session.worktree.starts_with(&from);
        let still_there = sessions
            .iter()
            .filter(of)
            .any(|session| session.worktree.exists());
        if still_there {
            return Err(OpenError::Copy { first: from });
        }
        match upkeep.rebase(&from).await {
            Ok(rebased) => {
                for one in rebased {
                    if let Some(error) = one.failed {
                        tracing::warn!(error = %chain(&error), session = %one.owner.session, "a worktree has not followed yet");
                    }
                }
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), %from, "the records of worktrees cannot be read");
                continue;
            }
        }
        let rows = intents
            .rebase_worktrees(&from, root)
            .await
            .map_err(OpenError::Facts)?;
        tracing::warn!(%from, to = %root, rows, "the data directory was moved: its sessions have followed");
    }
    Ok(())
}

/// The folder of all worktrees by the name that rows and git have for it, where it is reached by another one now.
pub(crate) async fn known_name(reader: &Reader, root: Utf8PathBuf) -> Result<Utf8PathBuf, OpenError> {
    let sessions = reader
        .sessions(&Filter::default())
        .await
        .map_err(OpenError::Facts)?;
    let known = sessions
        .iter()
        .filter_map(root_of)
        .find(|known| *known != root && is_the_same(known, &root));
    Ok(known.unwrap_or(root))
}

/// Whether both are one directory, as where a link leads to it.
fn is_the_same(one: &Utf8Path, other: &Utf8Path) -> bool {
    let identity = |path: &Utf8Path| {
        std::fs::metadata(path)
            .map(|found| (found.dev(), found.ino()))
            .ok()
    };
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

/// `<root>/<project>/<session>`: the root.
fn root_of(session: &Session) -> Option<Utf8PathBuf> {
    let mut above = session.worktree.ancestors().skip(2);
    above.next().map(Utf8Path::to_owned)
}
