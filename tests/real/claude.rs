//! Claude Code, which has tests of its own beside the table of all.

pub(crate) use crate::agent::{ESC, Person, Real as Claude, said_by_it};
