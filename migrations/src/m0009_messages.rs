//! Messages to agents, and what their screens show.

use sea_orm_migration::prelude::*;

crate::migration!("m0009_messages.sql");
