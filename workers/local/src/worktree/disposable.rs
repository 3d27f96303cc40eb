//! Which ignored files may go without a question: what a build makes again, and what the person said.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Folders that hold nothing but what a tool makes again from what is tracked. Only folders, only where the project
/// ignores them, and only names that are used for nothing else: `bin`, `vendor` and `out` may hold somebody's work.
const BUILD_FOLDERS: [&str; 23] = [
    ".dart_tool",
    ".eggs",
    ".gradle",
    ".mypy_cache",
    ".next",
    ".nuxt",
    ".nyc_output",
    ".parcel-cache",
    ".pytest_cache",
    ".ruff_cache",
    ".svelte-kit",
    ".tox",
    ".turbo",
    ".venv",
    ".zig-cache",
    "DerivedData",
    "__pycache__",
    "_build",
    "build",
    "dist",
    "node_modules",
    "target",
    "zig-out",
];

/// The patterns of `AO_DISPOSABLE` and the build folders.
///
/// A pattern without a slash matches a file or folder of that name anywhere; one with a slash matches from the top of
/// the worktree. `*` stands for any characters but a slash, `?` for one. What lies in a folder that matches goes with it.
#[derive(Clone, Debug)]
pub(super) struct Disposable {
    patterns: Vec<String>,
}

impl Disposable {
    pub(super) fn new(patterns: &[String]) -> Self {
        let clean = |pattern: &String| pattern.trim().trim_end_matches('/').to_owned();
        Self {
            patterns: patterns
                .iter()
                .map(clean)
                .filter(|pattern| !pattern.is_empty())
                .collect(),
        }
    }

    /// These patterns too.
    pub(super) fn with(&self, patterns: &[String]) -> Self {
        let mut more = Self::new(patterns);
        more.patterns.extend(self.patterns.iter().cloned());
        more
    }

    /// Whether the ignored `path`, relative to the worktree and with a slash at its end if it is a folder, may go.
    pub(super) fn covers(&self, path: &Path) -> bool {
        let bytes = path.as_os_str().as_bytes();
        let ends = (0..bytes.len()).filter(|at| bytes[*at] == b'/');
        ends.chain([bytes.len()])
            .filter(|end| *end > 0 && bytes[end - 1] != b'/')
            .any(|end| {
                let so_far = &bytes[..end];
                let name = so_far.rsplit(|byte| *byte == b'/').next().unwrap_or(so_far);
                let is_folder = end < bytes.len();
                (is_folder && BUILD_FOLDERS.iter().any(|folder| folder.as_bytes() == name))
                    || self
                        .patterns
                        .iter()
                        .any(|pattern| match pattern.strip_prefix('/') {
                            Some(rooted) => matches(rooted.as_bytes(), so_far),
                            None if pattern.contains('/') => matches(pattern.as_bytes(), so_far),
                            None => matches(pattern.as_bytes(), name),
                        })
            })
    }
}

/// Whether `text` is what `pattern` stands for. Goes back to the last star only, so it is never slow.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(b'?') if text[t] != b'/' => {}
            Some(byte) if *byte == text[t] => {}
            _ => {
                let Some((after, from)) = star.filter(|(_, from)| text[*from] != b'/') else {
                    return false;
                };
                star = Some((after, from + 1));
                (p, t) = (after, from + 1);
                continue;
            }
        }
        p += 1;
        t += 1;
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(patterns: &[&str], path: &str) -> bool {
        let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        Disposable::new(&patterns).covers(Path::new(path))
    }

    #[test]
    fn build_folders_go_and_files_of_their_names_stay() {
        for path in [
            "target/",
            "a/node_modules/",
            "node_modules/x/.env",
            "x/__pycache__/y.pyc",
        ] {
            assert!(covers(&[], path), "{path}");
        }
        for path in ["target", ".env", "targets/", "my-target/", "logs/a", "a/build"] {
            assert!(!covers(&[], path), "{path}");
        }
    }

    #[test]
    fn patterns_match_names_anywhere_and_paths_from_the_top() {
        for (pattern, path) in [
            ("*.log", "a/b/x.log"),
            ("cache", "cache"),
            ("cache/", "a/cache/b"),
            ("/tmp", "tmp/x"),
            ("a/*/c", "a/b/c/d"),
            ("?.o", "x.o"),
            ("a*b*c", "aXbYbZc"),
            ("*", ".env"),
        ] {
            assert!(covers(&[pattern], path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("*.log", "x.logs"),
            ("/tmp", "a/tmp"),
            ("a/*/c", "a/b/d/c"),
            ("?.o", "xy.o"),
            ("", ".env"),
            ("/", ".env"),
            ("**", ""),
            ("a*b*c", "aXbY"),
        ] {
            assert!(!covers(&[pattern], path), "{pattern} {path}");
        }
    }
}
