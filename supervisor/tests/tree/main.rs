//! The contract of the crate, one behaviour a test. Durations are played on tokio's paused clock; the few tests that block a
//! thread for real say so.

mod events;
mod hands;
mod hang;
mod kit;
mod restart;
mod roster;
mod start;
mod stop;
mod strategy;
mod threads;
