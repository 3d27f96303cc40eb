//! Links from a worktree into the project's checkout, for what a project shares: a cache, a folder of installed packages.

use std::io;
use std::path::PathBuf;

use ao_domain::WorktreeOwner;
use ao_domain::port::provision::{Furnished, ProvisionError, WhyLeftOut};
use ao_domain::shared_path;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::FileType;

use super::super::lock::Lock;
use super::super::record::io_error;
use super::beneath::{Folder, NotReached};
use super::copies::{clear, draft};
use super::ignored::Tracked;
use super::manifest::{Journal, Put};

/// A link that is to be in the worktree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// From the top of the worktree, and of the checkout.
    pub(super) path: Utf8PathBuf,
    /// Where it leads, absolute.
    pub(super) to: PathBuf,
}

/// The paths in `texts`, each once.
///
/// # Errors
/// When one may not be linked.
pub(super) fn paths(texts: &[String]) -> Result<Vec<Utf8PathBuf>, ProvisionError> {
    let mut paths = Vec::new();
    for text in texts {
        let path = shared_path(text).map_err(|source| ProvisionError::InvalidLink {
            path: text.clone(),
            source,
        })?;
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// Which of `paths` the worktree at `tree` gets a link for, or has one already. Touches nothing.
///
/// # Errors
/// When one leads out of the checkout, or would be made outside of the worktree.
pub(super) fn wanted(
    owner: &WorktreeOwner,
    tree: &Folder,
    tracked: &Tracked,
    paths: Vec<Utf8PathBuf>,
    furnished: &mut Furnished,
) -> Result<Vec<Link>, ProvisionError> {
    let mut links = Vec::new();
    for path in paths {
        let Some(to) = source(&owner.repo, &path)? else {
            furnished.leave_out(path.into(), WhyLeftOut::Missing);
            continue;
        };
        if tracked.touches(path.as_std_path()) {
            furnished.leave_out(path.into(), WhyLeftOut::Tracked);
            continue;
        }
        let link = Link { path, to };
        match tree.look(link.path.as_std_path()) {
            Ok(None) | Err(NotReached::Missing) => links.push(link),
            Ok(Some(_)) if is_made(owner, &link) => links.push(link),
            Ok(Some(_)) => furnished.leave_out(link.path.into(), WhyLeftOut::Exists),
            Err(why) => return Err(not_made(link.path, why)),
        }
    }
    // Of a folder and something in it, the folder is enough.
    let all = links.clone();
    links.retain(|link| {
        !all.iter()
            .any(|other| other.path != link.path && link.path.starts_with(&other.path))
    });
    Ok(links)
}

/// Makes `links` where they are not made yet.
pub(super) fn make(
    owner: &WorktreeOwner,
    tree: &Folder,
    journal: &mut Journal,
    links: Vec<Link>,
    furnished: &mut Furnished,
) -> Result<(), ProvisionError> {
    for link in links {
        let io = |error| io_error("linking into the worktree", &owner.path.join(&link.path))(error);
        let path = link.path.as_std_path();
        journal.put(path, Put::Link(link.to.clone())).map_err(io)?;
        let (folder, name) = tree
            .way_to(path)
            .map_err(|why| not_made(link.path.clone(), why))?;
        if folder.link(&name, &link.to).map_err(io)? || is_made(owner, &link) {
            furnished.linked.push(link.path);
        } else {
            furnished.leave_out(link.path.into(), WhyLeftOut::Exists);
        }
    }
    Ok(())
}

/// Has the links of ours in the worktree of `owner` that still lead into its checkout lead into the one at `repo`. May be cut and
/// repeated: a link is known by where it leads.
pub(in super::super) fn follow(lock: &Lock, owner: &WorktreeOwner, repo: &Utf8Path) -> io::Result<()> {
    let mut journal = Journal::open(lock)?;
    let tree = Folder::open(owner.path.as_std_path())?;
    for path in journal.links() {
        let [was, now] = [&*owner.repo, repo].map(|repo| repo.as_std_path().join(&path));
        if !matches!(tree.look(&path), Ok(Some(FileType::Symlink))) {
            continue; // somebody else's by now
        }
        let Ok((folder, name)) = tree.way_to(&path) else {
            continue;
        };
        if folder.leads(&name)? == was {
            journal.put(&path, Put::Link(now.clone()))?;
            clear(owner)?;
            std::os::unix::fs::symlink(&now, draft(owner))?;
            folder.replace(draft(owner).as_std_path(), &name)?;
        }
    }
    Ok(())
}

fn is_made(owner: &WorktreeOwner, link: &Link) -> bool {
    owner
        .path
        .join(&link.path)
        .as_std_path()
        .read_link()
        .is_ok_and(|to| to == link.to)
}

/// Where a link for `path` leads; `None` when the checkout has nothing there.
fn source(repo: &Utf8Path, path: &Utf8Path) -> Result<Option<PathBuf>, ProvisionError> {
    let io = |error| ProvisionError::from(io_error("looking", &repo.join(path))(error));
    let top = repo.as_std_path().canonicalize().map_err(io)?;
    let there = repo.join(path);
    let real = match there.as_std_path().canonicalize() {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        other => other.map_err(io)?,
    };
    let inside = real
        .strip_prefix(&top)
        .is_ok_and(|below| below.iter().next().is_some_and(|first| first != ".git"));
    if inside {
        Ok(Some(there.into()))
    } else {
        Err(ProvisionError::LeadsOut {
            path: path.to_owned(),
            to: real.to_string_lossy().into_owned().into(),
        })
    }
}

fn not_made(path: Utf8PathBuf, why: NotReached) -> ProvisionError {
    match why {
        NotReached::Io(error) => io_error("linking into the worktree", &path)(error).into(),
        NotReached::NoFolder | NotReached::Missing => ProvisionError::NoFolder { path },
    }
}
