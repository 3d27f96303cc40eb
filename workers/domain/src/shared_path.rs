//! Which paths of a project may be linked into its worktrees.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

/// Why a path may not be linked into worktrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSharedPath {
    /// It names nothing below the project's top.
    #[error("name a file or folder of the project")]
    Empty,
    /// It does not start at the project's top.
    #[error("the path must be relative to the project")]
    Absolute,
    /// It may lead out of the project.
    #[error("the path may not contain `..`")]
    Upwards,
    /// It is git's.
    #[error("`.git` belongs to git")]
    Git,
    /// It holds a line break or another control character, which no exclude file can name.
    #[error("the path may not contain control characters")]
    Control,
}

/// The path from the top of a project that `text` means, without `.` and doubled slashes.
///
/// # Errors
/// What is wrong with it. Whether the path is there, and where it leads, is not asked.
pub fn shared_path(text: &str) -> Result<Utf8PathBuf, InvalidSharedPath> {
    if text.chars().any(char::is_control) {
        return Err(InvalidSharedPath::Control);
    }
    let mut path = Utf8PathBuf::new();
    for part in Utf8Path::new(text).components() {
        match part {
            Utf8Component::CurDir => {}
            Utf8Component::ParentDir => return Err(InvalidSharedPath::Upwards),
            Utf8Component::RootDir | Utf8Component::Prefix(_) => return Err(InvalidSharedPath::Absolute),
            // However it is written: some file systems take `.GIT` for the same.
            Utf8Component::Normal(name) if name.eq_ignore_ascii_case(".git") => {
                return Err(InvalidSharedPath::Git);
            }
            Utf8Component::Normal(name) => path.push(name),
        }
    }
    if path.as_str().is_empty() {
        return Err(InvalidSharedPath::Empty);
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_from_the_top_and_cleaned() {
        for (text, path) in [
            ("node_modules", "node_modules"),
            ("./packages//web/./node_modules/", "packages/web/node_modules"),
            ("..hidden/a..b", "..hidden/a..b"),
            (".gitignore", ".gitignore"),
            (" ", " "),
        ] {
            assert_eq!(shared_path(text).unwrap(), path, "{text}");
        }
    }

    #[test]
    fn what_leads_out_or_belongs_to_git_is_refused() {
        for (text, why) in [
            ("", InvalidSharedPath::Empty),
            (".", InvalidSharedPath::Empty),
            ("././/", InvalidSharedPath::Empty),
            ("/etc/passwd", InvalidSharedPath::Absolute),
            ("..", InvalidSharedPath::Upwards),
            ("a/../b", InvalidSharedPath::Upwards),
            (".git", InvalidSharedPath::Git),
            ("vendor/.GIT/config", InvalidSharedPath::Git),
            ("a\nb", InvalidSharedPath::Control),
            ("a\rb", InvalidSharedPath::Control),
        ] {
            assert_eq!(shared_path(text), Err(why), "{text:?}");
        }
    }
}
