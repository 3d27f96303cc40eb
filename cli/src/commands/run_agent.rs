//! `ao run-agent DIR OFFER`: what runs in a multiplexer's pane and starts the holder of one session's terminal. Started by
//! the multiplexer, never by a person.

use std::ffi::OsString;
use std::process::ExitCode;

use camino::Utf8PathBuf;

use crate::error::MISUSE;

/// Called before anything else is set up; `words` are those after `run-agent`.
pub(crate) fn main(words: &[OsString]) -> ExitCode {
    let [dir, offer] = words else {
        return ExitCode::from(MISUSE);
    };
    match (
        Utf8PathBuf::try_from(std::path::PathBuf::from(dir)),
        offer.to_str(),
    ) {
        (Ok(dir), Some(offer)) => ao_local::runtimes::zellij::launcher::main(&dir, offer, &["pty-host"]),
        _ => ExitCode::from(MISUSE),
    }
}
