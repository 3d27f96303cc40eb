//! Model, permissions and last message of a session.

use sea_orm_migration::prelude::*;

crate::migration!("m0008_agents.sql");
