//! Whose a worktree is, written down before git makes it: `<locks>/<session>/owner.json`.
//!
//! A directory is taken for ours only on the word of git and of this record together; what a killed predecessor left
//! half-made is known by it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use ao_domain::port::worktrees::{Made, Owned, WorktreeError};
use ao_domain::{SessionId, WorktreeOwner};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::lock::Lock;
use super::provision::hexadecimal;
use crate::process;

/// How far the worktree has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// git is making it, or was killed while it did. Nobody has worked in it.
    Making,
    /// It was handed over.
    Made,
    /// It was weighed, and rescued where it was discarded: it may be deleted.
    Leaving,
    /// It is gone; its branch, which has commits of its own, stays.
    Gone,
}

/// What is remembered of a session's worktree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    v: u32,
    pub(super) session: SessionId,
    pub(super) repo: Utf8PathBuf,
    pub(super) path: Utf8PathBuf,
    pub(super) branch: String,
    /// The commit that was checked out when it was made.
    pub(super) start: String,
    /// The commit the branch was made at, where the branch is ours to remove: we made it and no person named it.
    pub(super) made_at: Option<String>,
    pub(super) stage: Stage,
    /// Where everything it held was saved, once it leaves discarded.
    #[serde(default)]
    pub(super) rescue: Option<String>,
    /// The making of it: no two are alike. Records of earlier versions have none.
    #[serde(default)]
    making: Option<String>,
    /// The rescue ref of what git still kept when somebody had deleted the directory; it is said until the worktree is gone, for
    /// nobody here knows whether the session's row has it.
    #[serde(default)]
    pub(super) saved: Option<String>,
    /// The boot it was written in.
    boot: String,
}

impl Record {
    pub(super) fn new(owner: &WorktreeOwner, start: String, made_at: Option<String>, stage: Stage) -> Self {
        Self {
            v: 1,
            session: owner.session.clone(),
            repo: owner.repo.clone(),
            path: owner.path.clone(),
            branch: owner.branch.clone(),
            start,
            made_at,
            stage,
            rescue: None,
            making: None,
            saved: None,
            boot: process::boot_id().unwrap_or_default(),
        }
    }

    /// One that is about to be made, in the place of what `last` tells of. `saved` is the rescue ref of what git still kept there.
    pub(super) fn making(
        owner: &WorktreeOwner,
        start: String,
        made_at: Option<String>,
        last: Option<&Self>,
        saved: Option<String>,
    ) -> Result<Self, WorktreeError> {
        let mut making = [0; 8];
        getrandom::fill(&mut making).map_err(|error| {
            io_error("naming the making of a worktree", &owner.path)(io::Error::other(error))
        })?;
        // Whoever removed one that is gone was told.
        let last = last.filter(|last| last.stage != Stage::Gone);
        Ok(Self {
            making: Some(hexadecimal(&making)),
            saved: saved.or_else(|| last?.saved.clone()),
            ..Self::new(owner, start, made_at, Stage::Making)
        })
    }

    /// Where what went with the worktree was saved, as far as its session's row may not know it yet.
    pub(super) fn told(&self) -> Option<String> {
        let discarded = matches!(self.stage, Stage::Leaving | Stage::Gone);
        let rescue = self.rescue.clone().filter(|_| discarded);
        rescue.or_else(|| self.saved.clone())
    }

    /// What is said of the worktree that stands.
    pub(super) fn made(&self) -> Made {
        Made {
            making: self.making.clone(),
            rescue: self.saved.clone(),
        }
    }

    /// The record under `lock`, if it is about this very worktree.
    pub(super) fn of(lock: &Lock, owner: &WorktreeOwner) -> Result<Option<Self>, WorktreeError> {
        let path = lock.folder().join("owner.json");
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(io_error("reading the ownership record", &path))?,
        };
        // What does not parse is of a later version, or a note that a power cut took. It proves nothing.
        let record = serde_json::from_slice::<Self>(&bytes).ok();
        Ok(record.filter(|record| {
            record.session == owner.session
                && record.repo == owner.repo
                && record.path == owner.path
                && record.branch == owner.branch
        }))
    }

    /// The record in a session's folder, whatever it is about. One that cannot be read proves nothing.
    pub(super) fn read(folder: &Utf8Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join("owner.json")).ok()?).ok()
    }

    /// Every record under `locks`, by its session's name. One that cannot be read is passed over.
    pub(super) fn every(locks: &Utf8Path) -> io::Result<Vec<Self>> {
        let folders = sessions_in(locks)?;
        let mut found: Vec<Self> = folders.iter().filter_map(|folder| Self::read(folder)).collect();
        found.sort_by(|a, b| a.session.cmp(&b.session));
        Ok(found)
    }

    /// Every record under `locks` that speaks of a worktree which is there, by its session's name.
    pub(super) fn all(locks: &Utf8Path) -> io::Result<Vec<Owned>> {
        let there = Self::every(locks)?
            .into_iter()
            .filter(|record| record.stage != Stage::Gone);
        Ok(there.map(|record| record.owned()).collect())
    }

    /// In the words of the domain.
    pub(super) fn owned(&self) -> Owned {
        Owned {
            owner: WorktreeOwner {
                session: self.session.clone(),
                repo: self.repo.clone(),
                path: self.path.clone(),
                branch: self.branch.clone(),
            },
            start: self.start.clone(),
            branch_given: self.made_at.is_none(),
        }
    }

    /// The same worktree, at `stage`.
    pub(super) fn at(mut self, stage: Stage) -> Self {
        self.stage = stage;
        self.boot = process::boot_id().unwrap_or_default();
        self
    }

    /// Whether no later [`Record::note`] can have been lost.
    pub(super) fn is_of_this_boot(&self) -> bool {
        process::boot_id().is_ok_and(|boot| boot == self.boot)
    }

    /// Deletes whatever record lies under `lock`.
    pub(super) fn delete(lock: &Lock) -> Result<(), WorktreeError> {
        let path = lock.folder().join("owner.json");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("deleting the ownership record", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Writes it durably: a power cut leaves this record or the one before it, and after this returns this one.
    pub(super) async fn save(&self, lock: &Lock) -> Result<(), WorktreeError> {
        self.write(lock, true).await?;
        Self::flush(lock).await
    }

    /// Writes it so that the death of any process leaves it whole. A power cut may take it, and spares a spawn the wait
    /// for the disk.
    pub(super) async fn note(&self, lock: &Lock) -> Result<(), WorktreeError> {
        self.write(lock, false).await
    }

    async fn write(&self, lock: &Lock, durably: bool) -> Result<(), WorktreeError> {
        let (record, held) = (self.clone(), lock.clone());
        blocking("writing the ownership record", lock.folder(), move || {
            let new = held.folder().join("owner.new");
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(&serde_json::to_vec(&record)?)?;
            if durably {
                file.sync_all()?;
            }
            fs::rename(&new, held.folder().join("owner.json"))
        })
        .await
    }

    /// Makes what was noted durable.
    pub(super) async fn flush(lock: &Lock) -> Result<(), WorktreeError> {
        let held = lock.clone();
        blocking("flushing the ownership record", lock.folder(), move || {
            File::open(held.folder().join("owner.json"))?.sync_all()?;
            File::open(held.folder())?.sync_all()
        })
        .await
    }
}

/// Names a failed system call.
pub(super) fn io_error(doing: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> WorktreeError {
    let path = path.to_owned();
    move |source| WorktreeError::Io { doing, path, source }
}

/// Runs `work` where it may block. It is finished even when the caller goes away, so it owns the lock it needs.
pub(super) async fn blocking<T: Send + 'static>(
    doing: &'static str,
    path: &Utf8Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, WorktreeError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(io_error(doing, path))
}

/// The folders in `path` that are named by a session; none where there is no such path.
pub(super) fn sessions_in(path: &Utf8Path) -> io::Result<Vec<Utf8PathBuf>> {
    let entries = match path.read_dir_utf8() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries.filter_map(Result::ok) {
        if entry.file_type()?.is_dir() && entry.file_name().parse::<SessionId>().is_ok() {
            found.push(entry.path().to_owned());
        }
    }
    Ok(found)
}
