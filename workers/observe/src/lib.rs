//! Looks at the outside world and writes down what it saw.
//!
//! # Theory of operation
//! [`hook_spool::SpoolReader`] takes the records that agents' hooks left in files and applies each once;
//! [`reaper_sweep::Sweep`] is a short-lived child that looks at every agent's process and writes down where that
//! differs from the rows. [`transcript::Transcript`] follows what an agent writes down itself, and puts what no hook told into
//! the spool. All begin by reading the facts and can be cut off anywhere.
//!
//! # What it does not do
//! It concludes nothing (`ao-derive` judges rows) and changes nothing outside.

pub mod hook_spool;
pub mod reaper_sweep;
pub mod transcript;
