//! Adapters to this machine: agents, runtimes, git worktrees, processes and the hook spool.
//!
//! Each module serves one port of `ao-domain`. Nothing here reads the database, spawns a task of its own or decides
//! anything; deadlines come in or are constants with their reason beside them.

pub mod agents;
pub mod clock;
pub mod letters;
mod lines;
pub mod link;
pub mod logout;
pub mod machine;
pub mod process;
pub mod pushes;
pub mod runtimes;
pub mod spool;
pub mod transcripts;
pub mod worktree;
