//! Runtimes: what holds an agent's terminal.

pub mod pty;
