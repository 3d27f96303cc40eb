//! The program as its callers see it: what it prints, where, and with which exit status.

mod commands;
mod hooks;
mod lifecycle;
mod prs;
mod support;
