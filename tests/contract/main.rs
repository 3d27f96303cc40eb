//! What ao owes to whoever meets it from the outside: the door, hooks, bad input, two daemons, a git that goes on,
//! the line that brings discarded work back, and the tree that a person steers.

mod agents;
mod bad_input;
mod claims;
mod config;
mod database;
mod doctor;
mod door;
mod faults;
mod faults_processes;
mod faults_sessions;
mod faults_worktrees;
mod forges;
mod hooks;
mod hooks_at_home;
mod limits;
mod messages;
mod orchestrators;
mod orphans;
mod provisioning;
mod recovery;
mod rescue;
mod tree;
mod watching;
mod zellij;

/// The shipped program with crash points in it.
const AO: &str = env!("CARGO_BIN_EXE_ao-with-faults");

/// Stands in for Claude Code.
const STAND_IN: &str = env!("CARGO_BIN_EXE_stand-in-agent");
