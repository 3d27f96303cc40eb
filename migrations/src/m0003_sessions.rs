//! Sessions and their events.

use sea_orm_migration::prelude::*;

crate::migration!("m0003_sessions.sql");
