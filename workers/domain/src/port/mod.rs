//! What ao needs from the outside, as traits. Adapters serve them; `workers/src/wiring.rs` says which.

pub mod agent;
pub mod catalog;
pub mod clock;
pub mod forge;
pub mod letters;
pub mod machine;
pub mod processes;
pub mod provision;
pub mod pushes;
pub mod runtime;
pub mod spool;
pub mod transcript;
pub mod upkeep;
pub mod worktrees;

use std::pin::Pin;

/// What an asynchronous port answers with: boxed, so that a port can be a trait object.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
