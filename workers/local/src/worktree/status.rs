//! What `git status` and `git ls-files` say, read byte by byte: a path may hold anything but a zero.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

/// What differs in a work tree from its last commit.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// The commit checked out; `None` on a branch without one.
    pub(super) head: Option<String>,
    /// The branch checked out; `None` when detached.
    pub(super) branch: Option<String>,
    pub(super) modified: Vec<PathBuf>,
    /// With a slash at the end: a repository of its own.
    pub(super) untracked: Vec<PathBuf>,
    /// With a slash at the end: a whole directory.
    pub(super) ignored: Vec<PathBuf>,
    pub(super) submodules: Vec<PathBuf>,
}

/// How to ask: every line named here, so that no setting of the person's hides one.
pub(super) const STATUS: [&str; 7] = [
    "--porcelain=v2",
    "--branch",
    "-z",
    "--untracked-files=all",
    "--ignored=matching",
    "--ignore-submodules=none",
    "--no-renames",
];

impl Status {
    /// Reads the output of `git status` with the options of [`STATUS`].
    pub(super) fn parse(out: &[u8]) -> Self {
        let mut status = Self::default();
        let mut lines = out.split(|byte| *byte == 0);
        while let Some(line) = lines.next() {
            let Some((kind, rest)) = line.split_first() else {
                continue;
            };
            let rest = rest.strip_prefix(b" ").unwrap_or(rest);
            match kind {
                b'#' => status.header(&String::from_utf8_lossy(rest)),
                b'?' => status.untracked.push(path(rest)),
                b'!' => status.ignored.push(path(rest)),
                b'1' => status.change(rest, 7),
                b'u' => status.change(rest, 9),
                b'2' => {
                    status.change(rest, 8);
                    lines.next(); // the name it had before
                }
                _ => {}
            }
        }
        status
    }

    fn header(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("branch.oid", oid)) if oid != "(initial)" => self.head = Some(oid.to_owned()),
            Some(("branch.head", name)) if name != "(detached)" => self.branch = Some(name.to_owned()),
            _ => {}
        }
    }

    /// A line whose path stands after `fields` other fields, the second of which tells a submodule.
    fn change(&mut self, line: &[u8], fields: usize) {
        let mut parts = line.splitn(fields + 1, |byte| *byte == b' ');
        let submodule = parts.nth(1).is_some_and(|field| field.starts_with(b"S"));
        if let Some(name) = parts.last() {
            let paths = if submodule {
                &mut self.submodules
            } else {
                &mut self.modified
            };
            paths.push(path(name));
        }
    }
}

/// What the index says beyond the status.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    /// Files that git was told not to look at.
    pub(super) unwatched: Vec<PathBuf>,
    pub(super) submodules: Vec<PathBuf>,
}

impl Index {
    /// Reads the output of `git ls-files -v -s -z`.
    pub(super) fn parse(out: &[u8]) -> Self {
        let mut index = Self::default();
        for line in out.split(|byte| *byte == 0) {
            let Some(tab) = line.iter().position(|byte| *byte == b'\t') else {
                continue;
            };
            let (tag, name) = (line[0], path(&line[tab + 1..]));
            if line[..tab]
                .get(2..)
                .is_some_and(|mode| mode.starts_with(b"160000"))
            {
                index.submodules.push(name);
            } else if tag == b'S' || tag.is_ascii_lowercase() {
                index.unwatched.push(name);
            }
        }
        index
    }
}

/// The files that are in conflict.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Conflicts {
    pub(super) paths: Vec<PathBuf>,
    /// Ours and theirs: what `git update-index --cacheinfo` takes for each file that this side has.
    pub(super) sides: [Vec<OsString>; 2],
}

impl Conflicts {
    /// Reads the output of `git ls-files -u -z`.
    pub(super) fn parse(out: &[u8]) -> Self {
        let mut conflicts = Self::default();
        for line in out.split(|byte| *byte == 0) {
            let Some(tab) = line.iter().position(|byte| *byte == b'\t') else {
                continue;
            };
            let (fields, name) = (&line[..tab], &line[tab + 1..]);
            let mut fields = fields.split(|byte| *byte == b' ');
            if let (Some(mode), Some(object), Some(stage)) = (fields.next(), fields.next(), fields.next()) {
                if conflicts.paths.last() != Some(&path(name)) {
                    conflicts.paths.push(path(name));
                }
                let entry = [mode, object, name].join(&b","[..]);
                let side = match stage {
                    b"2" => &mut conflicts.sides[0],
                    b"3" => &mut conflicts.sides[1],
                    _ => continue, // what both come from
                };
                side.push(OsString::from_vec(entry));
            }
        }
        conflicts
    }
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn every_kind_of_line_is_read() {
        let out = b"# branch.oid 12ab\0# branch.head ao/w-1/root\0# branch.ab +1 -0\0\
            1 .M N... 100644 100644 100644 a a a b c\nd\0\
            2 R. N... 100644 100644 100644 a a R100 new name\0old name\0\
            1 .M SC.. 160000 160000 160000 a a sub\0\
            u UU N... 100644 100644 100644 100644 a b c both\0\
            ? nested/\0! target/\0";
        let status = Status::parse(out);
        assert_eq!(status.head.as_deref(), Some("12ab"));
        assert_eq!(status.branch.as_deref(), Some("ao/w-1/root"));
        assert_eq!(status.modified, paths(&["a b c\nd", "new name", "both"]));
        assert_eq!(status.submodules, paths(&["sub"]));
        assert_eq!(status.untracked, paths(&["nested/"]));
        assert_eq!(status.ignored, paths(&["target/"]));
    }

    #[test]
    fn neither_branch_nor_commit_is_no_error() {
        let status = Status::parse(b"# branch.oid (initial)\0# branch.head (detached)\0");
        assert_eq!(status, Status::default());
    }

    #[test]
    fn each_side_of_a_conflict_is_read() {
        let out = b"100644 aa 1\ta\x00100644 bb 2\ta\x00100755 cc 3\ta\x00100644 dd 3\tb,\tc\0";
        let conflicts = Conflicts::parse(out);
        assert_eq!(conflicts.paths, paths(&["a", "b,\tc"]));
        assert_eq!(
            conflicts.sides,
            [vec!["100644,bb,a"], vec!["100755,cc,a", "100644,dd,b,\tc"]]
        );
    }

    #[test]
    fn files_told_not_to_be_watched_are_found() {
        let out =
            b"H 100644 ab 0\ta\0h 100644 ab 0\tb\0S 100644 ab 0\tc d\0s 100644 ab 0\te\0H 160000 ab 0\tsub\0";
        let index = Index::parse(out);
        assert_eq!(index.unwatched, paths(&["b", "c d", "e"]));
        assert_eq!(index.submodules, paths(&["sub"]));
    }
}
