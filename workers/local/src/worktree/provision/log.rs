//! The log of a session's provisioning: one file that a person can read, and that no command can make large.
//!
//! `<logs>/<session>.log` is begun anew by each `furnish`, and outlives the worktree, so that a spawn that failed can be looked
//! into. Its first 256 KiB and at least its last 384 KiB stay; what lay between them is said. The logs of the sessions
//! provisioned last are kept, older ones go when a new one is begun.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::time::SystemTime;

use ao_domain::{SessionId, printed};
use camino::{Utf8Path, Utf8PathBuf};

const HEAD: usize = 256 << 10;
const TAIL: usize = 384 << 10;

/// The most a log takes on the disk.
const MAX: usize = 1 << 20;

/// How many logs are kept.
const KEPT: usize = 50;

/// How much of a log's end is read for its last lines, and how long a line may be there, in characters.
pub(super) const END: usize = 64 << 10;
const LINE: usize = 400;

/// How a gap is marked; between them stands how many bytes it has.
const GAP: (&str, &str) = ("\nao: ", " bytes left out here\n");

/// The log of `session` among the others in `logs`.
pub(super) fn path(logs: &Utf8Path, session: &SessionId) -> Utf8PathBuf {
    logs.join(format!("{session}.log"))
}

/// A log that is written to. Whoever has it holds the session's lock.
#[derive(Debug)]
pub(super) struct Log {
    path: Utf8PathBuf,
    file: File,
    length: usize,
}

impl Log {
    /// Begins it anew, and deletes logs that are not kept any more.
    pub(super) fn begin(logs: &Utf8Path, session: &SessionId) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(logs)?;
        let path = path(logs, session);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        prune(logs)?;
        Self::open(logs, session)
    }

    /// Goes on with it.
    pub(super) fn open(logs: &Utf8Path, session: &SessionId) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(logs)?;
        let path = path(logs, session);
        let file = appended(&path, false)?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        Ok(Self { path, file, length })
    }

    /// Adds `bytes`; where that makes it too large, what lies between its ends goes.
    pub(super) fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(TAIL) {
            if self.length.saturating_add(piece.len()) > MAX {
                self.shorten()?;
            }
            self.file.write_all(piece)?;
            self.length += piece.len();
        }
        Ok(())
    }

    fn shorten(&mut self) -> io::Result<()> {
        let old = fs::read(&self.path)?;
        let (head, rest) = old.split_at(HEAD.min(old.len()));
        let (gone, rest) = gap(rest).unwrap_or((0, rest));
        let (out, tail) = rest.split_at(rest.len().saturating_sub(TAIL));
        let new = self.path.with_extension("new");
        let mut file = appended(&new, true)?;
        let words = format!("{}{}{}", GAP.0, gone + out.len(), GAP.1);
        file.write_all(&[head, words.as_bytes(), tail].concat())?;
        fs::rename(&new, &self.path)?;
        self.length = head.len() + words.len() + tail.len();
        self.file = file;
        Ok(())
    }
}

fn appended(path: &Utf8Path, anew: bool) -> io::Result<File> {
    if anew {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

/// How many bytes were left out before `rest`, which begins with the mark of that, and what follows the mark.
fn gap(rest: &[u8]) -> Option<(usize, &[u8])> {
    let rest = rest.strip_prefix(GAP.0.as_bytes())?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let count = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    Some((count, rest[digits..].strip_prefix(GAP.1.as_bytes())?))
}

/// Deletes the oldest logs, so that with one more there are [`KEPT`].
fn prune(logs: &Utf8Path) -> io::Result<()> {
    let mut all: Vec<(SystemTime, Utf8PathBuf)> = Vec::new();
    for entry in logs.read_dir_utf8()?.filter_map(Result::ok) {
        if entry.file_name().ends_with(".log")
            && let Ok(modified) = entry.metadata().and_then(|meta| meta.modified())
        {
            all.push((modified, entry.path().to_owned()));
        }
    }
    all.sort_unstable();
    let excess = (all.len() + 1).saturating_sub(KEPT);
    for (_, path) in all.into_iter().take(excess) {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The last `lines` lines of a log; none when there is no log.
pub(super) fn tail(path: &Utf8Path, lines: usize) -> io::Result<Vec<String>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let length = file.metadata()?.len();
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(END as u64)))?;
    file.take(END as u64).read_to_end(&mut end)?;
    Ok(last_lines(&end, lines))
}

/// The last `lines` lines of what was printed, safe to show.
pub(super) fn last_lines(printed: &[u8], lines: usize) -> Vec<String> {
    printed::last_lines(printed, lines, LINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> (tempfile::TempDir, Utf8PathBuf, SessionId) {
        let dir = tempfile::tempdir().unwrap();
        let logs = Utf8PathBuf::try_from(dir.path().join("logs")).unwrap();
        (dir, logs, "web-1".parse().unwrap())
    }

    #[test]
    fn both_ends_of_a_long_log_stay_and_what_was_between_them_is_counted() {
        let (_dir, logs, session) = world();
        let mut all = Vec::new();
        let mut log = Log::begin(&logs, &session).unwrap();
        for n in 0..300_000 {
            let line = format!("line {n}\n");
            all.extend(line.bytes());
            if n == 150_000 {
                log = Log::open(&logs, &session).unwrap(); // the next command
            }
            log.add(line.as_bytes()).unwrap();
        }
        let kept = fs::read(path(&logs, &session)).unwrap();
        assert!(kept.len() <= MAX, "{}", kept.len());
        assert_eq!(kept[..HEAD], all[..HEAD]);
        let (gone, tail) = gap(&kept[HEAD..]).expect("a gap");
        assert_eq!(HEAD + gone + tail.len(), all.len());
        assert!(tail.len() >= TAIL && all.ends_with(tail));
        assert_eq!(super::tail(&path(&logs, &session), 1).unwrap(), ["line 299999"]);
    }

    #[test]
    fn the_oldest_logs_go() {
        let (_dir, logs, session) = world();
        for n in 0..60_u64 {
            let mut log = Log::begin(&logs, &format!("web-{}", n + 2).parse().unwrap()).unwrap();
            log.add(b"x").unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(n);
            log.file.set_modified(time).unwrap();
        }
        Log::begin(&logs, &session).unwrap();
        assert_eq!(fs::read_dir(&logs).unwrap().count(), KEPT);
        let there = |name: &str| logs.join(name).exists();
        assert!(there("web-1.log") && there("web-61.log") && !there("web-2.log"));
    }
}
