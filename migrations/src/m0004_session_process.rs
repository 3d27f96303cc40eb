//! What was seen of the agents' processes.

use sea_orm_migration::prelude::*;

crate::migration!("m0004_session_process.sql");
