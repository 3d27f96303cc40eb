//! GitHub as a forge, on octocrab's transport.
//!
//! # What it is
//! [`GitHub`] serves the port `Forge`. A *line* is a host and a token; each of its questions is one request, but that about a
//! failed check, which is a few. Lists and logs come from the REST API, looks at many pull requests at once from GraphQL, where
//! each one's part of the answer is read by itself: a bad part harms no other. What comes back is in our words or a `Refusal`; no
//! answer, however odd, is a panic.
//!
//! # What it does not do
//! It asks nothing twice, waits for no limit to pass and keeps no answers: its caller does. It keeps no token but a line's own,
//! writes none down, and sends one nowhere but to the API of the host it is for, over TLS or to this machine. Logs are fetched
//! without one.

mod batch;
mod check;
mod evidence;
mod github;
mod host;
mod list;
mod log;
mod query;
mod refusal;
mod remote;
mod seen;
#[cfg(test)]
mod testing;
mod token;
mod who;
mod wire;

pub use github::GitHub;
pub use host::BadHosts;
pub use query::documents;
pub use token::{Source, Token, login};
pub use who::{API, Who, WhoError, who};
pub use wire::Patience;
