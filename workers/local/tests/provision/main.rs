//! Worktrees made ready, with the git and the shell of this machine on repositories of their own.

mod commands;
mod copies;
mod excluded;
mod held;
mod killed;
mod links;
mod ready;
#[allow(dead_code, reason = "the tests of worktrees use more of it")]
#[path = "../worktree/world.rs"]
mod world;
