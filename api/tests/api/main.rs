//! The API over real connections, with a real database and stand-ins for what lies outside.

mod agents;
mod claims;
mod control;
mod door;
mod events;
mod projects;
mod prs;
mod server;
mod sessions;
mod spawn;
mod support;
