//! `ao pty-host DIR`: the holder of one session's terminal. Started by the daemon, never by a person.

use std::ffi::OsString;
use std::process::ExitCode;

use camino::Utf8PathBuf;

use crate::error::MISUSE;

/// Called before anything else is set up; `words` are those after `pty-host`.
pub(crate) fn main(words: &[OsString]) -> ExitCode {
    match words {
        [dir] => match Utf8PathBuf::try_from(std::path::PathBuf::from(dir)) {
            Ok(dir) => ao_local::runtimes::holder::host::main(&dir),
            Err(_) => ExitCode::from(MISUSE),
        },
        _ => ExitCode::from(MISUSE),
    }
}
