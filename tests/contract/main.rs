//! What ao owes to whoever meets it from the outside: the door, hooks, bad input, two daemons, a git that goes on.

mod bad_input;
mod database;
mod door;
mod hooks;
mod orphans;

/// The shipped program with crash points in it.
const AO: &str = env!("CARGO_BIN_EXE_ao-with-faults");
