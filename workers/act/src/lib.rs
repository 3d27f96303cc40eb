//! Changes the outside world, one session at a time.
//!
//! # Theory of operation
//! One supervised child per session ([`session::SessionChild`]) reads its rows, asks `ao_derive::next_step` what is
//! next, does that one thing and writes down what came of it; then it reads again. The phase in the row is written
//! before the deed it names, and every deed is safe to do twice, so a child that dies at any `.await` is continued by
//! the next incarnation from the rows alone. First start, restart and wake-up are one code path.
//!
//! # What it does not do
//! It never reads SQL, never answers a client, and writes observations about its own session's process only.

pub mod janitor;
mod nudges;
mod outbox;
pub mod session;
