//! Keeps tasks alive by starting them again: an Erlang/OTP supervision tree on tokio.
//!
//! # Theory of operation
//!
//! A [`Supervisor`] starts its children left to right, each after the one before has called [`Context::ready`], and stops them
//! right to left, waiting for each. A child that returns an error, panics, or misses its heartbeat has *crashed*; the panic is
//! caught at the child's own task. [`Restart`] says which ends bring it back, [`Strategy`] who goes down with it, [`Budget`]
//! when to give up. A supervisor that has spent its budget stops all its children and ends itself, which is its parent's affair,
//! up to [`Root::wait`]. Under a *parking* budget it never does: there each child has a budget of its own and is parked past it,
//! while its siblings live on.
//!
//! Children are listed when the tree is described, made anew at each start ([`Supervisor::from_init`]), added one by one
//! ([`SupervisorRef`], [`Dynamic`]), or are those of a set that is read again and again ([`Roster`]). An order to a running
//! supervisor has its turn in the one queue of exits, ready reports and orders; what only looks is answered from a board that no
//! child can hold.
//!
//! Every run of a child is an [`Incarnation`] with a number that never repeats. It is handed nothing from the one before; it begins
//! by reading its facts. As soon as its supervisor gives it up, or it has ended, it is *revoked*, and whoever writes on its
//! behalf is to refuse ([`Incarnation::refuses`]).
//!
//! Each supervisor is one task, and no answer of its waits for a child. An exit is put into the queue after everything that the
//! child owned is gone: its destructors, its sub-tasks, its own children. What supervisors know lies on boards that
//! [`Tree::snapshot`] reads without asking anybody; what they do is told as numbered [`Event`]s, and as log lines.
//!
//! [`Supervisor::start_apart`] puts the supervisors on a runtime of their own, and the check of heartbeats on a thread of its own.
//! tokio cannot take a thread from a task that does not yield, and the task such a child has just woken may be bound to that
//! thread: on one shared runtime that could be its supervisor. A watchdog whose report is not acted upon says so, and ends the
//! process if it was told to ([`Unheard`]).
//!
//! # What it does not do
//!
//! It knows no sessions and no SQL. It does not kill: a task that never awaits runs on after its abort, is reported *stuck* and
//! revoked, and no second incarnation is started beside it; if that spends the budget it escalates, up to the end of the
//! process, which is the only cure. It watches over no operating-system processes: an aborted child's destructors do that.
//! It does not watch the root's own loop. A destructor that panics while a panic is unwinding ends the process. Significant
//! children, names and partitions of OTP and Elixir are not there.
//!
//! # Cancel safety
//!
//! A call that gives an order may be dropped at any time: the order stays given. What waits ([`Root::wait`], [`Context::stopping`],
//! [`Events::next`]) loses nothing when it is dropped and called again. A child's own future may be dropped at any await; its
//! destructors are its clean-up.
//!
//! # Example
//!
//! ```
//! use ao_supervisor::{Budget, ChildSpec, Crash, Done, Strategy, Supervisor};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), ao_supervisor::StartError> {
//! let greeter = ChildSpec::new("greeter", |ctx| async move {
//!     ctx.ready();
//!     if ctx.restart_count() == 0 {
//!         return Err(Crash::message("slipped"));
//!     }
//!     ctx.stopping().await;
//!     Ok(Done)
//! });
//! let supervisor = Supervisor::root("ao", Strategy::OneForOne, Budget::restarts(3).per(Duration::from_secs(5)));
//! let root = supervisor.child(greeter).start().await?;
//! let mut events = root.tree().events();
//! while root.tree().snapshot().find("ao/greeter").is_none_or(|greeter| greeter.incarnation != Some(3)) {
//!     events.next().await;
//! }
//! assert!(root.stop().await.stuck.is_empty());
//! # Ok(())
//! # }
//! ```

#![doc = include_str!("../COSTS.md")]

#[cfg(panic = "abort")]
compile_error!("a panic is caught at the child's boundary, so this crate needs panic = \"unwind\"");

mod board;
mod budget;
mod child;
mod context;
mod crew;
mod dynamic;
mod event;
pub mod fault;
mod handle;
mod life;
mod orders;
mod pool;
mod reason;
mod root;
mod roster;
mod snapshot;
mod strategy;
mod supervise;
mod supervisor;
#[cfg(feature = "testing")]
pub mod testing;
mod tree;
mod watchdog;

pub use board::Role;
pub use budget::{Backoff, Budget, Restarts as RestartCount};
pub use child::{Child, ChildSpec, Done, Init, Restart, Shutdown, SpecError, child};
pub use context::{Context, Elapsed};
pub use dynamic::{Dynamic, DynamicRef};
pub use event::{Event, Events, Heard, What};
pub use handle::{ChildInfo, Counts, SpecView, SupervisorRef};
pub use life::Incarnation;
pub use orders::{ChildError, ChildRef, Started, Value};
pub use reason::{Class, Crash, Exit, Panic, Reason};
pub use root::{Ended, Link, Report, Root};
pub use roster::{Keys, Roster};
pub use snapshot::{Beat, LastExit, Node, Parked, Restarts, Snapshot, State};
pub use strategy::Strategy;
pub use supervisor::{Setup, StartError, Supervisor};
pub use tree::{Tree, TreeError};
pub use watchdog::Unheard;
