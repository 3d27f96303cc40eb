//! When an agent is told something about its pull request, and in which words.

pub(crate) mod ci;
pub(crate) mod excerpt;
