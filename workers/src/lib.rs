//! The tree, drawn once, and what serves which port.
//!
//! # Theory of operation
//! [`Wiring::open`] opens what outlives every child: the database's pools, the spool's watch, the adapters. [`tree`]
//! draws everything that runs over them. The daemon starts the tree and waits for its end; nothing else runs.
//!
//! # What it does not do
//! No rules, no SQL and no HTTP: the API comes in as child specifications.

mod moved;
mod salvage;
mod tree;
mod wiring;

pub use ao_act::session::Limits;
pub use ao_facts::{DirLock, LockError, go_original, salvage};
pub use tree::{GAVE_UP, tree};
pub use wiring::{Config, OpenError, Wiring};
