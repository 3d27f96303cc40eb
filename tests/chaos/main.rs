//! Children that panic and hang, steps that are cut, daemons that are killed: what is there afterwards is what was there.

mod asked;
mod children;
mod claims;
mod cut;
mod forge;
mod heard;
mod leftovers;
mod moves;
mod outbox;
mod provision;
mod queue;
mod random;
mod reboot;
mod replace;
mod rows;
mod steps;
mod trouble;
mod truth;

/// The shipped program with crash points in it.
const AO: &str = env!("CARGO_BIN_EXE_ao-with-faults");
