//! Worktrees made, weighed and taken back, with the git of this machine on repositories of their own.

mod attach;
mod create;
mod discard;
mod janitor;
mod killed;
mod moved;
mod readonly;
mod real_filters;
mod real_layouts;
mod real_names;
mod real_submodules;
mod recovery;
mod refusals;
mod remove;
mod weigh;
mod world;
