//! What a repository is and what a worktree may hold that exists nowhere else.

use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::SessionId;

/// A repository as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// Top level of its work tree, absolute, symlinks resolved.
    pub top: Utf8PathBuf,
    /// URL of the remote `origin`, where there is one.
    pub origin: Option<String>,
    /// `origin/HEAD`'s branch as `origin/main`, else the branch checked out, as `main`.
    pub default_branch: String,
}

/// Who may remove a worktree: this session and no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorktreeOwner {
    /// The session it was made for.
    pub session: SessionId,
    /// The repository it belongs to, as stored when it was made.
    pub repo: Utf8PathBuf,
    /// Where it lies, absolute and inside the managed folder.
    pub path: Utf8PathBuf,
    /// The branch it was made on.
    pub branch: String,
}

/// Something in a worktree that exists nowhere else, so that removing it would lose work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Holding {
    /// Files changed or staged against the last commit.
    Modified {
        /// How many.
        count: usize,
        /// The first few, relative to the worktree.
        paths: Vec<String>,
    },
    /// Files git does not know.
    Untracked {
        /// How many.
        count: usize,
        /// The first few.
        paths: Vec<String>,
    },
    /// Ignored files that are neither build output nor ours.
    Ignored {
        /// How many.
        count: usize,
        /// The first few.
        paths: Vec<String>,
    },
    /// A submodule with changes, or one with a work tree of its own.
    Submodule {
        /// Its path.
        path: String,
    },
    /// Commits that are on no remote and on no other branch.
    Commits {
        /// How many.
        count: usize,
        /// The branch they are on; `HEAD` when detached.
        branch: String,
    },
    /// A merge, rebase, cherry-pick, revert or bisect that is not finished.
    Operation {
        /// Which.
        name: String,
    },
    /// Somebody locked the worktree.
    Locked {
        /// Their words.
        reason: String,
    },
}

impl fmt::Display for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = |f: &mut fmt::Formatter<'_>, what: &str, count: usize, paths: &[String]| {
            let noun = if count == 1 { "file" } else { "files" };
            write!(f, "{count} {what} {noun} ({}", paths.join(", "))?;
            if count > paths.len() {
                write!(f, ", …)")
            } else {
                write!(f, ")")
            }
        };
        match self {
            Self::Modified { count, paths } => files(f, "modified", *count, paths),
            Self::Untracked { count, paths } => files(f, "untracked", *count, paths),
            Self::Ignored { count, paths } => files(f, "ignored", *count, paths),
            Self::Submodule { path } => write!(f, "changed submodule {path}"),
            Self::Commits { count, branch } => {
                let noun = if *count == 1 { "commit" } else { "commits" };
                write!(f, "{count} {noun} only on {branch}")
            }
            Self::Operation { name } => write!(f, "a {name} in progress"),
            Self::Locked { reason } if reason.is_empty() => f.write_str("a lock"),
            Self::Locked { reason } => write!(f, "a lock ({reason})"),
        }
    }
}

/// The line that brings a discarded worktree back, for a person to paste into a shell: beside `repo`, on a new branch
/// named after `branch`, with every file that `rescue_ref` (`refs/ao/rescue/<session>/<number>`) saved. The files come
/// back uncommitted and unstaged, ignored ones ignored, so that nothing ignored is ever pushed.
///
/// Pure text: nobody looks whether the ref is there. Pasted twice, git refuses the second time and changes nothing.
pub fn undo_line(repo: &Utf8Path, rescue_ref: &str, branch: &str) -> String {
    let number = rescue_ref.rsplit('/').next().unwrap_or("1");
    let session = rescue_ref.rsplit('/').nth(1).unwrap_or("session");
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let path = quoted(&format!("{repo}.{session}-rescued-{number}"));
    format!(
        "git -C {repo} worktree add --no-track -b {branch} {path} {rescue} && git -C {path} reset -q HEAD^",
        repo = quoted(repo.as_str()),
        branch = quoted(&format!("{branch}-rescued-{number}")),
        rescue = quoted(rescue_ref),
    )
}

/// One word of a shell's command line: as it is where that is safe, quoted else.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,~".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_a_shell() {
        assert_eq!(shell_word("/a/b-c.d"), "/a/b-c.d");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word(""), "''");
    }
}
