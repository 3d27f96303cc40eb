//! Making a worktree ready: links into the project's checkout, copies of ignored files, and commands.
//!
//! # Theory of operation
//! [`furnish`](Provisioner::furnish) asks git which files are meant (`ignored`), judges links (`links`) and copies (`copies`)
//! before it touches anything, lists in the repository's exclude file what git would show (`exclude`), and then makes them. What
//! it makes is written down before it comes to its place (`manifest`), so that weighing the worktree tells it from the agent's
//! work, and removing it leaves nothing behind. Nothing that is there is ever replaced, and no link is followed on the way:
//! folders are opened one by one (`beneath`).
//!
//! [`command`](Provisioner::command) runs one command with a limit (`command`), writes down by what its processes are known
//! (`company`) and keeps both ends of what it prints (`log`). A half-run command of a killed daemon is not waited for, unlike a
//! git: whoever takes the session's lock next ends it first.
//!
//! All of it goes on under the session's lock, like everything that is done with a worktree.

mod beneath;
mod command;
pub(super) mod company;
mod copies;
mod exclude;
mod ignored;
pub(super) mod links;
mod log;
mod manifest;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ao_domain::port::PortFuture;
use ao_domain::port::provision::{Furnished, PostCreate, ProvisionError, Provisioner, WhyLeftOut};
use ao_domain::port::worktrees::WorktreeError;
use ao_domain::{SessionId, WorktreeOwner};
use camino::Utf8PathBuf;

use super::GitWorktrees;
use super::link;
use super::lock::Lock;
use super::record::{blocking, io_error};
use super::registry::Place;
use beneath::Folder;
pub(super) use copies::draft;
use copies::{Copier, lossy};
use ignored::Tracked;
use links::Link;
use manifest::{Journal, Manifest};
pub(super) use manifest::{hexadecimal, not_ours};

/// How many copies may need a line in the exclude file: it is read by every git in the repository.
const LINES_MAX: usize = 1_000;

/// How much is copied into one worktree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many files.
    pub files: usize,
    /// How many bytes they hold together, also where the file system would share them.
    pub bytes: u64,
}

impl Default for Bounds {
    /// 100,000 files of 4 GiB: more than the packages of a large project, less than a small disk.
    fn default() -> Self {
        Self {
            files: 100_000,
            bytes: 4 << 30,
        }
    }
}

/// Makes the worktrees of [`GitWorktrees`] ready.
#[derive(Clone, Debug)]
pub struct WorktreeProvisioner {
    trees: GitWorktrees,
    logs: Utf8PathBuf,
    bounds: Bounds,
}

impl WorktreeProvisioner {
    /// Keeps its logs in the folder `logs`. Touches nothing yet.
    pub fn new(trees: GitWorktrees, logs: Utf8PathBuf, bounds: Bounds) -> Self {
        Self { trees, logs, bounds }
    }

    /// The worktree, which must be there and be the session's.
    async fn place(&self, lock: &Lock, owner: &WorktreeOwner) -> Result<Place, WorktreeError> {
        self.trees.settle(lock, owner).await?;
        let standing = self.trees.standing(lock, owner).await?;
        let (_, place) = standing.ok_or_else(|| WorktreeError::NoSuchPath {
            path: owner.path.clone(),
        })?;
        Ok(place)
    }

    async fn furnish_under(
        &self,
        lock: &Lock,
        owner: &WorktreeOwner,
        paths: Vec<Utf8PathBuf>,
    ) -> Result<Furnished, ProvisionError> {
        let git = &self.trees.git;
        let mut furnished = Furnished::default();
        let named = ignored::included(git, lock, &owner.repo).await?;
        if paths.is_empty() && named.is_empty() {
            return Ok(furnished); // and no git was asked whose the worktree is: most projects share nothing
        }
        let place = self.place(lock, owner).await?;
        let io = |error| io_error("opening the worktree", &owner.path)(error);
        let tree = Folder::open(owner.path.as_std_path()).map_err(io)?;
        let tracked = Tracked::of(place.call(git, "ls-files")).await?;
        let links = links::wanted(owner, &tree, &tracked, paths, &mut furnished)?;
        let linked: Vec<PathBuf> = links.iter().map(|link| link.path.clone().into()).collect();
        let mut files = copies::wanted(owner, &tree, &linked, named, self.bounds, &mut furnished)?;
        files.retain(|path| {
            let stays = !tracked.touches(path);
            if !stays {
                furnished.leave_out(lossy(path), WhyLeftOut::Tracked);
            }
            stays
        });

        // What git would show there.
        let all: Vec<PathBuf> = linked.iter().chain(&files).cloned().collect();
        let ignored = ignored::ignored(place.call(git, "check-ignore"), lock, &all).await?;
        let mut lines = linked;
        lines.retain(|path| !ignored.contains(path));
        let links_shown = lines.len();
        files.retain(|path| {
            let stays = ignored.contains(path)
                || (exclude::pattern(path).is_some() && lines.len() - links_shown < LINES_MAX);
            if !stays {
                furnished.leave_out(lossy(path), WhyLeftOut::Shown);
            } else if !ignored.contains(path) {
                lines.push(path.clone());
            }
            stays
        });
        self.exclude(lock, owner, lines).await?;
        self.fill(lock, owner, tree, links, files, furnished).await
    }

    /// Lists `lines` in the exclude file beside those that are.
    async fn exclude(
        &self,
        lock: &Lock,
        owner: &WorktreeOwner,
        lines: Vec<PathBuf>,
    ) -> Result<(), ProvisionError> {
        if lines.is_empty() {
            return Ok(());
        }
        let io = |error| io_error("writing down what is excluded", lock.folder())(error);
        let mut journal = Journal::open(lock).map_err(io)?;
        let all = journal.list(lines).map_err(io)?;
        Ok(exclude::set(&self.trees.git, &self.trees.root, owner, all).await?)
    }

    /// Makes the links and copies the files, where it may block; stops soon after the caller has gone.
    async fn fill(
        &self,
        lock: &Lock,
        owner: &WorktreeOwner,
        tree: Folder,
        links: Vec<Link>,
        files: Vec<PathBuf>,
        mut furnished: Furnished,
    ) -> Result<Furnished, ProvisionError> {
        let cut = Cut::default();
        let (flag, held, whose) = (Arc::clone(&cut.0), lock.clone(), owner.clone());
        let disposable = self.trees.disposable.clone();
        let filled = tokio::task::spawn_blocking(move || {
            let io = |error| io_error("copying into the worktree", &whose.path)(error);
            let mut journal = Journal::open(&held).map_err(io)?;
            links::make(&whose, &tree, &mut journal, links, &mut furnished)?;
            let checkout = Folder::open(whose.repo.as_std_path()).map_err(io)?;
            let copier = Copier {
                owner: &whose,
                checkout: &checkout,
                tree: &tree,
                disposable: &disposable,
                cut: &flag,
            };
            copies::clear(&whose).map_err(io)?;
            for path in files {
                if flag.load(Ordering::Relaxed) {
                    break; // nobody waits for the answer any more
                }
                copier.copy(&mut journal, &path, &mut furnished)?;
            }
            Ok(furnished)
        });
        let filled = filled.await;
        drop(cut);
        filled.unwrap_or_else(|error| {
            Err(io_error("copying into the worktree", &owner.path)(std::io::Error::other(error)).into())
        })
    }

    /// Begins the log anew with what came into the worktree and what did not.
    async fn tell(&self, owner: &WorktreeOwner, furnished: &Furnished) {
        let mut text = String::new();
        let mut say = |line: String| text.push_str(&format!("ao: {line}\n"));
        for path in &furnished.linked {
            say(format!("linked {path}"));
        }
        let copied = &furnished.copied;
        if copied.files > 0 {
            say(format!("copied {} files, {} bytes", copied.files, copied.bytes));
        }
        for left in &furnished.left_out {
            let line = ao_domain::foreign_text::in_line(&left.to_string(), 400);
            say(format!("left out {line}"));
        }
        if furnished.more_left_out > 0 {
            say(format!("left out {} more", furnished.more_left_out));
        }
        let (logs, session) = (self.logs.clone(), owner.session.clone());
        let written = blocking("beginning the log", &self.logs, move || {
            log::Log::begin(&logs, &session)?.add(text.as_bytes())
        });
        if let Err(error) = written.await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(session = %owner.session, error, "provisioning has no log");
        }
    }
}

/// Set when it is dropped.
#[derive(Debug, Default)]
struct Cut(Arc<AtomicBool>);

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Provisioner for WorktreeProvisioner {
    fn furnish<'a>(
        &'a self,
        owner: &'a WorktreeOwner,
        links: &'a [String],
    ) -> PortFuture<'a, Result<Furnished, ProvisionError>> {
        Box::pin(async move {
            let paths = links::paths(links)?;
            let lock = self.trees.lock(owner).await?;
            let furnished = self.furnish_under(&lock, owner, paths).await;
            if let Ok(furnished) = &furnished {
                self.tell(owner, furnished).await;
            }
            super::close(lock);
            furnished
        })
    }

    fn command<'a>(
        &'a self,
        owner: &'a WorktreeOwner,
        command: PostCreate<'a>,
    ) -> PortFuture<'a, Result<(), ProvisionError>> {
        Box::pin(async move {
            let lock = self.trees.lock(owner).await?;
            let ran = match self.place(&lock, owner).await {
                Ok(_) => command::run(&lock, owner, command, &self.logs).await,
                Err(error) => Err(error.into()),
            };
            super::close(lock);
            ran
        })
    }

    fn log_tail<'a>(
        &'a self,
        session: &'a SessionId,
        lines: usize,
    ) -> PortFuture<'a, Result<Vec<String>, ProvisionError>> {
        let path = log::path(&self.logs, session);
        Box::pin(async move {
            let log = path.clone();
            Ok(blocking("reading the log", &path, move || log::tail(&log, lines)).await?)
        })
    }
}

impl GitWorktrees {
    /// Has the lines of the worktree that was at the path of `was` stand under the path that it has now.
    pub(super) async fn move_lines(
        &self,
        lock: &Lock,
        was: &WorktreeOwner,
        owner: &WorktreeOwner,
    ) -> Result<(), WorktreeError> {
        let io = |error| io_error("reading what was put into a worktree", lock.folder())(error);
        let lines = Manifest::read(lock).map_err(io)?.lines;
        if lines.is_empty() || link::repository(&owner.repo).is_none() {
            return Ok(());
        }
        exclude::set(&self.git, &self.root, owner, &lines).await?;
        exclude::set(&self.git, &self.root, was, &std::collections::BTreeSet::new()).await
    }

    /// Takes back what provisioning left outside of a worktree that is gone: its lines in the exclude file, what it knew of it,
    /// a file that was being copied.
    pub(super) async fn unfurnish(&self, lock: &Lock, owner: &WorktreeOwner) -> Result<(), WorktreeError> {
        let io = |error| io_error("forgetting what was put into a worktree", lock.folder())(error);
        copies::clear(owner).map_err(io)?;
        if !Manifest::read(lock).map_err(io)?.lines.is_empty() {
            exclude::set(&self.git, &self.root, owner, &std::collections::BTreeSet::new()).await?;
        }
        match std::fs::remove_file(lock.folder().join("furnished")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(error)),
            _ => Ok(()),
        }
    }
}
