//! The facts crate against real files: each test has a database of its own in a temporary directory.

mod claims;
mod crash;
mod feed;
mod intents;
mod keeper;
mod messages;
mod observations;
mod opening;
mod outcomes;
mod pulls;
mod reading;
mod salvage;
mod support;
mod triggers;
