//! Looks at the outside world and writes down what it saw.
//!
//! # Theory of operation
//! [`hook_spool::SpoolReader`] takes the records that agents' hooks left in files and applies each once;
//! [`reaper_sweep::Sweep`] is a short-lived child that looks at every agent's process and writes down where that
//! differs from the rows. [`transcript::Transcript`] follows what an agent writes down itself, and puts what no hook told into
//! the spool.
//!
//! Pull requests take three kinds of children. A [`repository::Repository`] lists what changed in one repository and says which
//! pull request is which session's; a [`pull_request::Pull`] looks at one of them, often or seldom as [`cadence`] has it; both ask
//! through the [`exchange`], where the one [`gateway::Gateway`] of their host puts their questions together and is the only one
//! who talks to it. A [`claim::ClaimChild`] asks once about one that a session is to have. All begin by reading the facts and can be cut off anywhere.
//!
//! # What it does not do
//! It concludes nothing (`ao-derive` judges rows) and changes nothing outside.

mod batches;
pub mod cadence;
pub mod claim;
pub mod exchange;
pub mod gateway;
pub mod hook_spool;
pub mod pull_request;
pub mod reaper_sweep;
pub mod repository;
pub mod transcript;
