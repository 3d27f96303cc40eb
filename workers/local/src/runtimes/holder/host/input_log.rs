//! What this holder typed for its clients, and what the screen showed when it did: the proof of what an Enter met.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use ao_domain::Timestamp;
use camino::Utf8PathBuf;
use serde::Serialize;

use super::engine::Engine;
use super::log;
use super::typing::Deed;
use crate::runtimes::holder::files::RunDir;

/// A file so long is put aside and a new one begun; the one before that goes.
const LIMIT: u64 = 512 * 1024;

/// The log of one run.
#[derive(Debug)]
pub(super) struct InputLog {
    file: Utf8PathBuf,
}

/// One line of it. Fields are only added.
#[derive(Serialize)]
struct Entry<'a> {
    at: Timestamp,
    id: &'a str,
    did: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    screen: Vec<String>,
}

impl InputLog {
    pub(super) fn in_run(dir: &RunDir) -> Self {
        Self {
            file: dir.path().join("input.log"),
        }
    }

    /// Writes down what is about to be typed. A log that cannot be written (a full disk) holds nothing up.
    pub(super) fn write(&self, deed: &Deed, engine: &mut Engine) {
        let (id, did, keys, why) = match deed {
            Deed::Text(id) => (id, "text", None, None),
            Deed::Enter(id) => (id, "enter", None, None),
            Deed::Keys(id, keys) => (id, "keys", Some(keys.as_str()), None),
            Deed::Cleared(id) => (id, "cleared", None, None),
            Deed::Withheld(id, why) => (id, "withheld", None, Some(why.to_string())),
        };
        let mut screen = engine.shown().lines;
        let end = screen
            .iter()
            .rposition(|line| !line.is_empty())
            .map_or(0, |last| last + 1);
        screen.truncate(end);
        let entry = Entry {
            at: crate::clock::now(),
            id,
            did,
            keys,
            why,
            screen,
        };
        if let Err(error) = self.append(&entry) {
            log(&format!("what was typed could not be logged: {error}"));
        }
    }

    fn append(&self, entry: &Entry<'_>) -> io::Result<()> {
        if fs::metadata(&self.file).is_ok_and(|found| found.len() > LIMIT) {
            fs::rename(&self.file, self.file.with_extension("log.1"))?;
        }
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let mut options = OpenOptions::new();
        options
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.file)?
            .write_all(&line)
    }
}
