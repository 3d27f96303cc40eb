//! Provisioning: what a fresh worktree gets beside what git checks out, and the commands that make it ready.

use std::fmt;
use std::time::Duration;

use camino::Utf8PathBuf;

use super::PortFuture;
use super::worktrees::WorktreeError;
use crate::{Exit, InvalidSharedPath, SessionId, WorktreeOwner};

/// What came into a worktree, and what did not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Furnished {
    /// Paths that are links into the project's checkout now, those that were so before among them.
    pub linked: Vec<Utf8PathBuf>,
    /// What was copied in this call.
    pub copied: Copied,
    /// The first [`Furnished::NAMED`] of what was left out, in the order it was met.
    pub left_out: Vec<LeftOut>,
    /// How many more were left out.
    pub more_left_out: usize,
}

impl Furnished {
    /// How many are named of what was left out.
    pub const NAMED: usize = 50;

    /// Names one more that was left out, or counts it.
    pub fn leave_out(&mut self, path: String, why: WhyLeftOut) {
        if self.left_out.len() < Self::NAMED {
            self.left_out.push(LeftOut { path, why });
        } else {
            self.more_left_out += 1;
        }
    }
}

/// Files that were copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// How many, links among them.
    pub files: usize,
    /// What they hold together, in bytes.
    pub bytes: u64,
    /// How many of them share their blocks with the original until one of the two is written to.
    pub cloned: usize,
    /// Why the file system would not clone one, in its words; each file is tried. `None` when it cloned them all.
    pub not_cloned: Option<String>,
}

/// A path that was to come into the worktree and did not. The worktree is as it was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Relative to the project; bytes that are no UTF-8 are replaced.
    pub path: String,
    /// Why.
    pub why: WhyLeftOut,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            WhyLeftOut::Missing => "it is not in the project",
            WhyLeftOut::Exists => "the worktree has something there already",
            WhyLeftOut::Tracked => "git tracks it",
            WhyLeftOut::LeadsOut => "a link that leads out of the project",
            WhyLeftOut::NoFolder => "its folder is a link, or no folder",
            WhyLeftOut::Special => "neither a file nor a link",
            WhyLeftOut::OwnRepository => "a repository of its own",
            WhyLeftOut::Shown => "git would show it in the worktree, and it cannot be excluded",
            WhyLeftOut::Unreadable => "it cannot be read",
        };
        write!(f, "{}: {why}", self.path)
    }
}

/// Why a path was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyLeftOut {
    /// The project's checkout has nothing there, or a link that leads nowhere.
    Missing,
    /// The worktree has something else there, which stays.
    Exists,
    /// git tracks it, or something above or below it.
    Tracked,
    /// A link that is absolute or leads out of the project.
    LeadsOut,
    /// Something above it is a link, or no folder: nothing is read or written through that.
    NoFolder,
    /// A socket, a pipe or a device. git does not list these, so one is met only when it has just become that.
    Special,
    /// A repository inside the project, which git does not look into.
    OwnRepository,
    /// git does not ignore it in this worktree, and no line of an exclude file can name it, or too many would be needed.
    Shown,
    /// The system does not let us read it, or it went away meanwhile.
    Unreadable,
}

/// One of the commands that make a worktree ready.
#[derive(Clone, Copy, Debug)]
pub struct PostCreate<'a> {
    /// Which one, from 1.
    pub number: usize,
    /// Of how many.
    pub of: usize,
    /// What `sh -c` is given.
    pub line: &'a str,
    /// All of its environment, `PATH` included, but for one variable by which its processes are known.
    pub env: &'a [(String, String)],
    /// How long it may take.
    pub limit: Duration,
}

/// How a command ended that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandEnd {
    /// By itself, or by a signal.
    Exit(Exit),
    /// It still ran after this time and was ended.
    Limit(Duration),
}

impl fmt::Display for CommandEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(exit) => exit.fmt(f),
            Self::Limit(limit) => write!(f, "it still ran after {limit:?} and was ended"),
        }
    }
}

/// A worktree was not made ready. What has come into it stays, is known as ours, and goes when it is removed.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// A path to be linked is none that may be. Nothing was done.
    #[error("`{path}` cannot be linked into a worktree")]
    InvalidLink {
        /// As it was given.
        path: String,
        /// What is wrong with it.
        #[source]
        source: InvalidSharedPath,
    },
    /// What was to be linked leads out of the project's checkout, or into git's own files. Nothing was done.
    #[error("`{path}` cannot be linked into a worktree: it leads to `{to}`, which is not of the project")]
    LeadsOut {
        /// As it was given.
        path: Utf8PathBuf,
        /// Where it leads.
        to: Utf8PathBuf,
    },
    /// A folder in the worktree through which a link would be made is a link itself, or a file. Nothing was made there.
    #[error("`{path}` cannot be linked into the worktree: a folder above it is a link there, or a file")]
    NoFolder {
        /// As it was given.
        path: Utf8PathBuf,
    },
    /// `.worktreeinclude` names more than is copied. Nothing was copied.
    #[error(
        "`.worktreeinclude` names {files} files of {bytes} bytes, more than the {files_max} files or {bytes_max} bytes that are copied: \
         name fewer, or link their folder"
    )]
    TooMuch {
        /// How many it names.
        files: usize,
        /// What they hold.
        bytes: u64,
        /// How many may be copied.
        files_max: usize,
        /// How many bytes.
        bytes_max: u64,
    },
    /// A command did not succeed. Nothing that it or one before it started runs any more.
    #[error("post-create command {number} of {of} failed, `{line}`: {end}")]
    Command {
        /// Which one, from 1.
        number: usize,
        /// Of how many.
        of: usize,
        /// Its beginning, in one line.
        line: String,
        /// How it ended.
        end: CommandEnd,
        /// The last lines it printed, safe to show; at most 40.
        tail: Vec<String>,
    },
    /// The worktree could not be looked at or locked.
    #[error(transparent)]
    Worktree(#[from] WorktreeError),
}

/// The one who makes worktrees ready. Works under the session's lock, like [`Worktrees`](super::worktrees::Worktrees).
pub trait Provisioner: Send + Sync + 'static {
    /// Links what the project shares and copies what its `.worktreeinclude` names, and begins the session's log anew.
    ///
    /// Safe to repeat: what is there stays. Dropped, it stops after the piece of a file it is at; what it had finished stays,
    /// and nothing half-copied is ever seen in the worktree.
    fn furnish<'a>(
        &'a self,
        owner: &'a WorktreeOwner,
        links: &'a [String],
    ) -> PortFuture<'a, Result<Furnished, ProvisionError>>;

    /// Runs one command in the worktree, after ending what a killed daemon left of an earlier one. Its output goes to the
    /// session's log.
    ///
    /// When it fails, runs past its limit or is dropped, everything that was started by the commands of this session is ended.
    /// When it succeeds, what it left running goes on until the worktree is removed; nobody reads its output any more.
    fn command<'a>(
        &'a self,
        owner: &'a WorktreeOwner,
        command: PostCreate<'a>,
    ) -> PortFuture<'a, Result<(), ProvisionError>>;

    /// The last `lines` lines of the session's log, safe to show on a terminal; none when there is no log. It may be asked for
    /// while a command runs. Of the sessions provisioned last the log is kept, also when the worktree is gone.
    fn log_tail<'a>(
        &'a self,
        session: &'a SessionId,
        lines: usize,
    ) -> PortFuture<'a, Result<Vec<String>, ProvisionError>>;
}
