//! What the demo's agents write down about their own deeds, so that the demo can show that none was lost.
//!
//! It is the agents' own word, kept beside the daemon's data and unknown to it: a check of `ao` by what `ao` itself
//! says would prove nothing.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

/// One deed, written down after it was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "deed", rename_all = "snake_case")]
pub(super) enum Deed {
    /// Reported by `ao hooks shell EVENT`.
    Said {
        /// The event.
        event: String,
        /// What it does, in words.
        title: String,
    },
    /// Committed one more line of a file.
    Committed {
        /// The commit.
        commit: String,
        /// What it is about.
        subject: String,
        /// The file, relative to the worktree.
        file: String,
        /// The line, without its end.
        line: String,
    },
    /// Wrote a file and did not commit it.
    Wrote {
        /// The file, relative to the worktree.
        file: String,
        /// All of it.
        text: String,
    },
}

/// Adds `deed` to the journal at `path` by one write.
///
/// # Errors
/// When the journal cannot be written.
pub(super) fn append(path: &Utf8Path, deed: &Deed) -> io::Result<()> {
    let mut line = serde_json::to_vec(deed)?;
    line.push(b'\n');
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?
        .write_all(&line)
}

/// Every deed in the journal at `path`; none while there is no journal. A line that is still being written is left out.
///
/// # Errors
/// When the journal cannot be read, or holds what is no deed.
pub(super) fn read(path: &Utf8Path) -> io::Result<Vec<Deed>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).map_err(io::Error::from))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn deeds_are_read_in_order_and_half_a_line_is_left_out() {
        let dir = Scratch::new();
        let path = dir.path().join("fixer.jsonl");
        assert_eq!(read(&path).unwrap(), []);
        let deeds = [
            Deed::Said {
                event: "working".to_owned(),
                title: "a\nb".to_owned(),
            },
            Deed::Wrote {
                file: "NOTES.md".to_owned(),
                text: "one\ntwo\n".to_owned(),
            },
        ];
        for deed in &deeds {
            append(&path, deed).unwrap();
        }
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"deed\":\"sa").unwrap();
        assert_eq!(read(&path).unwrap(), deeds);
        file.write_all(b"\n").unwrap();
        assert!(read(&path).is_err());
    }
}
