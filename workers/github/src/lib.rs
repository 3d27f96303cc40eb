//! GitHub, on octocrab.
//!
//! # What it is
//! So far the token: where it comes from ([`Token::find`]) and whose it is ([`who`]). Reading pull requests comes to stand beside it.
//!
//! # What it does not do
//! It keeps no token, writes none down, and sends one nowhere but to the API it was told, over TLS or to this machine.

mod token;
mod who;

pub use token::{Source, Token};
pub use who::{API, Who, WhoError, who};
