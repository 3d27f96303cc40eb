//! `ao run-agent DIR OFFER`: what runs in a multiplexer's pane and starts the holder of one session's terminal. Started by
//! the multiplexer, never by a person.

use std::ffi::OsString;
use std::process::ExitCode;

use ao_local::runtimes::zellij::launcher::{self, Words};

use crate::error::MISUSE;

/// What makes `ao` what it is beside a command for people.
const WORDS: Words<'_> = Words {
    launcher: &["run-agent"],
    holder: &["pty-host"],
};

/// Called before anything else is set up; `words` are those after `run-agent`.
pub(crate) fn main(words: &[OsString]) -> ExitCode {
    let words: Option<Vec<&str>> = words.iter().map(|word| word.to_str()).collect();
    words
        .and_then(|words| launcher::main(&words, WORDS))
        .unwrap_or(ExitCode::from(MISUSE))
}
