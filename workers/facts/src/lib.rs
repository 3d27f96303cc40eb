//! Everything durable: the database, its three writers and its change feed.
//!
//! # Theory of operation
//! One SQLite file in the data directory holds all that survives a crash. Whoever works on it first takes the
//! directory's [`DirLock`], then opens the [`Store`]; a file from a newer ao, a foreign or a damaged one is refused
//! untouched. Reading goes through [`Reader`], over several connections that cannot write. Writing goes through one
//! connection and one of three writers, and which one a crate gets says what it may do: [`IntentWriter`] what
//! somebody wants, [`ObservationWriter`] what was seen, [`OutcomeWriter`] what we did.
//!
//! Each write is one immediate transaction: begin, see that the caller's incarnation is not revoked, change only the
//! columns that are meant and only where the row still stands as the caller read it, see again, commit. A lost race is
//! a value, not an error. Nothing but SQL is awaited in between, and dropping a write's future leaves all of it or
//! nothing.
//!
//! Triggers log every change that the API shows, in the transaction of the change. After a commit a wake-up without
//! data goes round ([`Wakeups`]); [`Feed::tail`] turns it into the newest number of the log, and a [`Subscription`]
//! reads on from any number without gap or duplicate.
//!
//! # What it does not do
//! It looks at nothing outside its files, derives no status and decides nothing: whether three failed looks are a
//! death is not known here. It has no clock; times come in.

mod entity;
mod error;
mod feed;
mod file;
pub mod keeper;
mod lock;
mod pulse;
mod read;
mod store;
mod write;

pub use error::FactsError;
pub use feed::{Change, Feed, Page, Subscription};
pub use file::{DATABASE, OpenError, go_original, salvage, version};
pub use lock::{DirLock, Holder, LockError};
pub use pulse::Wakeups;
pub use read::pulls::{GatewayState, OpenEpisode, PullWork, Purse, RECENT, RepositoryState, TokenState};
pub use read::{Filter, Line, Reader, SignalSeen, Sweep, Until};
pub use store::{Store, StoreOptions};
pub use write::claims::{Answered, Claiming, Wanted};
pub use write::gateways::GatewaySeen;
pub use write::intents::{
    Added, Configured, IntentWriter, NewProject, NewRun, NewSession, ProjectRemoval, Restored, Spawn, Stop,
};
pub use write::messages::{NewMessage, Reached, ScreenSeen, Sent, Step};
pub use write::moves::Move;
pub use write::nudges::{NewNotice, NewNudge};
pub use write::observations::{Applied, AppliedSignal, ObservationWriter, Recorded, Sighting};
pub use write::outcomes::{Changes, Moved, OutcomeWriter, Stand};
pub use write::pulls::{Explained, GONE_AFTER, PullFailed, PullSeen, RepositorySeen, SETTLES};
pub use write::salvage::{Found, FoundRun};
