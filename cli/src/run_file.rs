//! The run file: how the daemon says where it is, and who it is.
//!
//! A pid and a port alone name nobody: pids are used again and ports are taken by others. So the file also holds the
//! start time and the boot of its process, and the token of this start; it is 0600, and one that others could read or
//! that somebody else wrote is not believed.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};

use ao_domain::{ProcessId, Timestamp};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

/// Longest run file that is read, in bytes: ours has some hundred.
const LONGEST: u64 = 64 * 1024;

/// A text that must not be printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// Wraps the text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the one header it belongs in.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What the daemon writes about itself once it listens. The first three keys are the original's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunFile {
    /// Its process number.
    pub pid: u32,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    /// When it was started.
    pub started_at: Timestamp,
    /// When its process was started, in clock ticks since boot.
    pub started: u64,
    /// The boot it belongs to.
    pub boot: String,
    /// What proves to it that a caller could read this file.
    pub token: Token,
    /// Its data directory.
    pub data_dir: Utf8PathBuf,
    /// Its version.
    pub version: String,
}

/// What lies where the run file should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A run file of ours. Whether its daemon still runs is another question.
    Ours(RunFile),
    /// The Go original's: the same place, without what we add.
    Original {
        /// The process it names.
        pid: u32,
        /// The port it names.
        port: u16,
    },
    /// A file that holds something else, such as half a write of a full disk; the parser's words.
    Malformed(String),
}

/// The run file could not be used. It was not touched.
#[derive(Debug, thiserror::Error)]
pub enum RunFileError {
    /// The system refused.
    #[error("{doing} failed at `{path}`")]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// Where.
        path: Utf8PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// Somebody else wrote it, so it may lead anywhere.
    #[error("the run file `{path}` belongs to user {uid}, not to you: it is not believed")]
    NotOurs {
        /// Where.
        path: Utf8PathBuf,
        /// Whose.
        uid: u32,
    },
    /// Others may read or write it, so its token is no secret.
    #[error("the run file `{path}` has mode {mode:03o}: others can read it, so it is not believed")]
    OpenToOthers {
        /// Where.
        path: Utf8PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A link, directory or device.
    #[error("`{path}` is not a plain file: it is not believed")]
    NotAFile {
        /// Where.
        path: Utf8PathBuf,
    },
}

/// The keys that both we and the original write.
#[derive(Deserialize)]
struct Common {
    pid: i64,
    port: u16,
    token: Option<serde_json::Value>,
}

impl RunFile {
    /// The process it speaks of.
    pub fn process(&self) -> ProcessId {
        ProcessId {
            pid: self.pid,
            started: self.started,
            boot: self.boot.clone(),
        }
    }

    /// Reads what lies at `path`. A missing file is [`Found::Nothing`].
    ///
    /// # Errors
    /// When the file is not to be believed or cannot be read.
    pub fn read(path: &Utf8Path) -> Result<Found, RunFileError> {
        let io = |doing| {
            move |source| RunFileError::Io {
                doing,
                path: path.to_owned(),
                source,
            }
        };
        let no_follow = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let opened = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(no_follow.bits().cast_signed())
            .open(path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                return Err(RunFileError::NotAFile {
                    path: path.to_owned(),
                });
            }
            Err(error) => return Err(io("opening the run file")(error)),
        };
        let meta = file.metadata().map_err(io("reading the run file"))?;
        if !meta.is_file() {
            return Err(RunFileError::NotAFile {
                path: path.to_owned(),
            });
        }
        if meta.uid() != rustix::process::geteuid().as_raw() {
            return Err(RunFileError::NotOurs {
                path: path.to_owned(),
                uid: meta.uid(),
            });
        }
        if meta.mode() & 0o077 != 0 {
            return Err(RunFileError::OpenToOthers {
                path: path.to_owned(),
                mode: meta.mode() & 0o777,
            });
        }
        let mut text = String::new();
        match file.take(LONGEST).read_to_string(&mut text) {
            Ok(_) => Ok(understand(&text)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Ok(Found::Malformed(error.to_string()))
            }
            Err(error) => Err(io("reading the run file")(error)),
        }
    }

    /// Writes the file in one step: whoever reads sees the old one or the new one, also after a power cut.
    ///
    /// # Errors
    /// When the system refuses; then the old file, if any, is still there.
    pub fn write(&self, path: &Utf8Path) -> Result<(), RunFileError> {
        let io = |doing| {
            move |source| RunFileError::Io {
                doing,
                path: path.to_owned(),
                source,
            }
        };
        let dir = path.parent().unwrap_or(Utf8Path::new("/"));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(io("making the directory of the run file"))?;
        clear_drafts(dir);
        let draft = dir.join(format!(".running-{}.json", self.pid));
        match std::fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io("removing an old draft of the run file")(error));
            }
            _ => {}
        }
        let mut text = serde_json::to_string_pretty(self)
            .map_err(io::Error::from)
            .map_err(io("writing the run file"))?;
        text.push('\n');
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| std::fs::rename(&draft, path))
            .and_then(|()| std::fs::File::open(dir)?.sync_all());
        if written.is_err() {
            // The draft is of no use to anybody; a second failure would only hide the first.
            let _ = std::fs::remove_file(&draft);
        }
        written.map_err(io("writing the run file"))
    }

    /// Removes the file if it still speaks of `process`, so that a successor's file survives. Says whether it did.
    /// Safe to repeat.
    ///
    /// # Errors
    /// When the file cannot be read or removed.
    pub fn remove_if_of(path: &Utf8Path, process: &ProcessId) -> Result<bool, RunFileError> {
        match Self::read(path)? {
            Found::Ours(run) if run.process() == *process => match std::fs::remove_file(path) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(source) => Err(RunFileError::Io {
                    doing: "removing the run file",
                    path: path.to_owned(),
                    source,
                }),
            },
            _ => Ok(false),
        }
    }
}

/// Removes what daemons that were killed in the middle of a write left beside the run file. A draft of a living process
/// is its own; one that cannot be removed harms nobody.
fn clear_drafts(dir: &Utf8Path) {
    for entry in dir.read_dir_utf8().into_iter().flatten().filter_map(Result::ok) {
        let pid = entry
            .file_name()
            .strip_prefix(".running-")
            .and_then(|rest| rest.strip_suffix(".json"));
        let Some(pid) = pid.and_then(|pid| pid.parse::<u32>().ok()) else {
            continue;
        };
        if matches!(ao_local::process::identify(pid), Ok(None)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn understand(text: &str) -> Found {
    match serde_json::from_str::<RunFile>(text) {
        Ok(run) if run.pid > 0 => Found::Ours(run),
        Ok(_) => Found::Malformed("it names no process".to_owned()),
        Err(error) => match serde_json::from_str::<Common>(text) {
            Ok(Common {
                pid,
                port,
                token: None,
            }) => match u32::try_from(pid) {
                Ok(pid) if pid > 0 => Found::Original { pid, port },
                _ => Found::Malformed("it names no process".to_owned()),
            },
            _ => Found::Malformed(error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::scratch::Scratch;

    fn run() -> RunFile {
        RunFile {
            pid: 77,
            port: 3001,
            started_at: Timestamp::from_millis(1_750_000_000_000),
            started: 4242,
            boot: "b".to_owned(),
            token: Token::new("secret".to_owned()),
            data_dir: "/data".into(),
            version: "0.1.0".to_owned(),
        }
    }

    #[test]
    fn a_draft_of_a_killed_daemon_goes_and_one_of_a_living_one_stays() {
        let dir = Utf8PathBuf::try_from(std::env::temp_dir())
            .unwrap()
            .join(format!("ao-drafts-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let living = dir.join(format!(".running-{}.json", std::process::id()));
        // Beyond the largest number a process can have.
        let (dead, other) = (dir.join(".running-4194305.json"), dir.join(".running-x.json"));
        for file in [&living, &dead, &other] {
            std::fs::write(file, "").unwrap();
        }
        clear_drafts(&dir);
        assert_eq!(
            [living.exists(), dead.exists(), other.exists()],
            [true, false, true]
        );
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_is_written_is_read_and_nobody_else_may() {
        let dir = Scratch::new();
        let path = dir.path().join("deep/er/running.json");
        assert_eq!(RunFile::read(&path).unwrap(), Found::Nothing);
        run().write(&path).unwrap();
        assert_eq!(RunFile::read(&path).unwrap(), Found::Ours(run()));
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(
            std::fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777,
            0o700
        );
        let names: Vec<_> = std::fs::read_dir(path.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["running.json"], "no draft is left");
        assert!(!format!("{:?}", run()).contains("secret"));
    }

    #[test]
    fn only_its_own_process_removes_it() {
        let dir = Scratch::new();
        let path = dir.path().join("running.json");
        run().write(&path).unwrap();
        let namesake = ProcessId {
            started: 1,
            ..run().process()
        };
        assert!(!RunFile::remove_if_of(&path, &namesake).unwrap());
        assert!(RunFile::remove_if_of(&path, &run().process()).unwrap());
        assert!(!RunFile::remove_if_of(&path, &run().process()).unwrap());
    }

    #[test]
    fn malformed_and_original_files_are_told_apart() {
        assert_eq!(
            understand(r#"{"pid":12,"port":3001,"startedAt":"2026-06-24T12:00:00.123456789Z"}"#),
            Found::Original { pid: 12, port: 3001 }
        );
        for bad in [
            "",
            "{",
            "[]",
            r#"{"pid":0,"port":3001}"#,
            r#"{"pid":1}"#,
            r#"{"pid":1,"port":1,"token":"x"}"#,
        ] {
            assert!(matches!(understand(bad), Found::Malformed(_)), "{bad}");
        }
    }

    #[test]
    fn a_file_that_is_open_to_others_or_a_link_is_not_believed() {
        let dir = Scratch::new();
        let path = dir.path().join("running.json");
        run().write(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = RunFile::read(&path).unwrap_err();
        assert!(
            matches!(error, RunFileError::OpenToOthers { mode: 0o644, .. }),
            "{error}"
        );
        let link = dir.path().join("link.json");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(RunFile::read(&link), Err(RunFileError::NotAFile { .. })));
        assert!(matches!(
            RunFile::read(dir.path()),
            Err(RunFileError::NotAFile { .. })
        ));
    }
}
