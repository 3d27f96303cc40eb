//! What shows that ao does what it promises: a world of its own per test, seen from the outside.
//!
//! A [`World`] has a directory, a home, a repository, a port and a daemon that nobody else has. It speaks to the daemon as
//! anybody would: by its commands and by HTTP. The daemon is the shipped program with crash points compiled in.

mod support;

pub use support::census::Census;
pub use support::github;
pub use support::http::{Answer, Http};
pub use support::makers::Makers;
pub use support::matrix;
pub use support::model::{Asked, Model};
pub use support::offline::go_offline;
pub use support::rows::Rows;
pub use support::seed::Seed;
pub use support::skip::not_tested;
pub use support::tree::TreeView;
pub use support::watcher::Watcher;
pub use support::world::{Ao, World, look_rarely, query_file, settle, within};
