//! The HTTP API: who may call, what they may ask, and what the facts answer.

pub mod wire;
