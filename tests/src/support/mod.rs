//! The parts of a test's world.

pub(crate) mod census;
pub mod github;
pub(crate) mod http;
pub(crate) mod makers;
pub mod matrix;
pub(crate) mod model;
pub(crate) mod offline;
pub(crate) mod rows;
pub(crate) mod seed;
pub(crate) mod skip;
pub(crate) mod tree;
pub(crate) mod watcher;
pub(crate) mod world;
