//! Names of projects and sessions, and what is a legal one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is not a legal id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Not `[A-Za-z0-9][A-Za-z0-9._-]*`, or with `..` in it.
    #[error(
        "`{0}` is not a project id: it starts with a letter or digit and holds only letters, digits, `.`, `_` and `-`, without `..`"
    )]
    Project(String),
    /// Not `<project id>-<number>`.
    #[error("`{0}` is not a session id: it looks like `web-7`")]
    Session(String),
    /// Longer than a file name may be.
    #[error("an id of {0} bytes is too long: at most {max} are allowed", max = ProjectId::MAX)]
    TooLong(usize),
}

/// A project's name: `^[A-Za-z0-9][A-Za-z0-9._-]*$`, without `..`, at most [`ProjectId::MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ProjectId(String);

impl ProjectId {
    /// The longest id in bytes: a session id is a file name, and 20 digits and a dash still have to fit into 255.
    pub const MAX: usize = 200;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id a repository gets when its owner names none: its last path component in lower case, every other
    /// character than those allowed turned into `-`.
    pub fn from_directory(name: &str) -> Result<Self, InvalidId> {
        let lower = name.trim().to_lowercase();
        let clean: String = lower
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "._-".contains(c) {
                    c
                } else {
                    '-'
                }
            })
            .collect();
        clean
            .trim_start_matches(['.', '_', '-'])
            .replace("..", ".")
            .parse()
            .map_err(|_| InvalidId::Project(name.to_owned()))
    }

    /// What the id looks like on a branch of an orchestrator: its first twelve characters.
    pub fn prefix(&self) -> &str {
        &self.0[..self.0.len().min(12)]
    }
}

impl FromStr for ProjectId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.len() > Self::MAX {
            return Err(InvalidId::TooLong(text.len()));
        }
        let mut chars = text.chars();
        let legal = chars.next().is_some_and(|c| c.is_ascii_alphanumeric())
            && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
            && !text.contains("..");
        if legal {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId::Project(text.to_owned()))
        }
    }
}

/// A session's name: `<project id>-<num>`, with `num` from 1, never used twice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SessionId(String);

impl SessionId {
    /// The `num`th session of `project`.
    pub fn new(project: &ProjectId, num: u32) -> Self {
        Self(format!("{project}-{num}"))
    }

    /// The id as text. Safe as a file name and as part of a branch name's last component.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The branch that a session gets where nobody named another.
    pub fn own_branch(&self) -> String {
        format!("ao/{}", self.0)
    }

    /// The project this session belongs to.
    pub fn project(&self) -> ProjectId {
        let (project, _) = self.0.rsplit_once('-').expect("checked when the id was made");
        ProjectId(project.to_owned())
    }
}

impl FromStr for SessionId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let bad = || InvalidId::Session(text.to_owned());
        let (project, num) = text.rsplit_once('-').ok_or_else(bad)?;
        project.parse::<ProjectId>().map_err(|_| bad())?;
        let canonical = num.parse::<u32>().is_ok_and(|n| n > 0 && n.to_string() == num);
        if canonical {
            Ok(Self(text.to_owned()))
        } else {
            Err(bad())
        }
    }
}

macro_rules! text_id {
    ($id:ty) => {
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl From<$id> for String {
            fn from(id: $id) -> Self {
                id.0
            }
        }
        impl TryFrom<String> for $id {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }
    };
}
text_id!(ProjectId);
text_id!(SessionId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_ids_are_file_names_and_nothing_else() {
        for good in ["web", "my.app", "A_1-b", "9", "x".repeat(200).as_str()] {
            assert!(good.parse::<ProjectId>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a..b",
            "-a",
            "a/b",
            "a\\b",
            "a b",
            "ä",
            "a\n",
            "x".repeat(201).as_str(),
        ] {
            assert!(bad.parse::<ProjectId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn session_ids_name_their_project() {
        let id: SessionId = "my.app-12".parse().unwrap();
        assert_eq!(id.project().as_str(), "my.app");
        assert_eq!(SessionId::new(&id.project(), 12), id);
        for bad in [
            "web",
            "web-",
            "web-0",
            "web-01",
            "web-x",
            "-1",
            "../x-1",
            "web-4294967296",
        ] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_directory_gives_an_id() {
        let id = |name| ProjectId::from_directory(name).map(|id| id.to_string());
        assert_eq!(id("My Repo").unwrap(), "my-repo");
        assert_eq!(id(".dotfiles").unwrap(), "dotfiles");
        assert_eq!(id("a..b").unwrap(), "a.b");
        assert!(id("...").is_err());
    }
}
