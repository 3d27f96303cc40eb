//! Real agents, pinned and offline: the programs people have, against a model server of ours on loopback.
//!
//! `tests/run` installs them and says where by `AO_REAL_AGENTS`. Where one is not there its tests are named as not run, and in
//! CI that fails the run.

/// All kinds of real agents, for a macro that makes something of each: its name for tests, and the constant in `kinds.rs`.
macro_rules! each_kind {
    ($call:ident $($with:tt)*) => {
        $call! {
            [claude CLAUDE codex CODEX opencode OPENCODE grok GROK qwen QWEN copilot COPILOT kimi KIMI] $($with)*
        }
    };
}

mod agent;
mod catalog;
mod claude;
mod claude_code;
mod first_start;
mod foreign_code;
mod kinds;
mod messages;
mod offline;
mod pull_requests;
mod table;

/// The shipped program with crash points in it.
const AO: &str = env!("CARGO_BIN_EXE_ao-with-faults");
