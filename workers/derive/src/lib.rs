//! What the facts mean: status, liveness and the next step, as pure functions.
//!
//! # Theory of operation
//! Everything here takes rows and an instant and gives an answer; the same rows and the same instant give the same
//! answer for ever, so any wrong badge can be replayed from a copy of the database. An answer that holds only for a
//! while says until when ([`Shown::valid_until`]); whoever shows it asks again then.
//!
//! # What it does not do
//! No clock, no I/O, no async, and nothing is stored: a status is worked out at every read.

mod admission;
mod completion;
mod delivery;
pub mod leftovers;
mod liveness;
mod next_step;
mod nudge;
mod role;
mod status;

pub use admission::{Admission, Limits, Load, admission};
pub use completion::is_completed;
pub use delivery::{
    Delivery, PROVED_WITHIN, TYPED_AT_MOST, delivery, goes_by_file, labelled, next_delivery, next_try,
    typed_words, why_it_waits,
};
pub use liveness::liveness;
pub use next_step::{Around, KEEP_LAST_SCREEN, Step, TAKES_OVER_AFTER, next_step};
pub use nudge::ci::{CiNudge, LOG_WITHIN, MESSAGE_MAX, SETTLES_WITHIN, TOLD_AT_MOST, ci_nudge};
pub use role::{role, role_at};
pub use status::{
    Habits, NO_SIGNAL_AFTER, SAYS_WAITING_AFTER, STALE_AFTER, Shown, Status, Watch, screen_look, shown,
};
