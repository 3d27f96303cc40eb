//! `ao` on the command line: everything a person types, and the small processes that `ao` starts of itself.
//!
//! # Theory of operation
//! A command turns its arguments into one call of the daemon and the answer into lines or JSON (`commands`, one file
//! each). The daemon is found by its run file ([`run_file`]) and checked to be ours before anything is sent
//! (`client`). The environment is read once, in `env`.
//!
//! `ao hooks`, `ao pty-host` and `ao run-agent` are told from the rest before the command line is parsed and before any
//! runtime is made: the first runs at every tool call of every agent, the others live as long as their session. `ao
//! demo-agent` is one of the demo's agents and as plain.
//!
//! # What it does not do
//! No command opens the database or works on a worktree. What is not in the answer of the daemon is not shown, but for
//! `ao attach`, which talks to the session's holder, and `ao doctor`, which looks at files: both work without a daemon.

mod client;
mod commands;
mod duration;
pub mod env;
mod error;
mod gateways;
mod presence;
mod render;
pub mod run_file;
#[cfg(test)]
mod scratch;

use std::ffi::OsString;
use std::process::ExitCode;

pub use error::CliError;

/// Runs the command line of this process and gives its exit status: 0 done, 1 failed, 2 called wrongly; `ao pr checks`
/// gives 8 for what is not known yet, and `ao hooks` 0 whatever happens, so that no agent is disturbed.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match arguments.get(1).and_then(|word| word.to_str()) {
        Some("hooks") => commands::hooks::main(&arguments[2..]),
        Some("pty-host") => commands::pty_host::main(&arguments[2..]),
        Some("run-agent") => commands::run_agent::main(&arguments[2..]),
        Some("demo-agent") => commands::demo::agent::main(&arguments[2..]),
        _ => commands::run(&arguments),
    }
}
