//! The used-up quota that a session waits for.

use sea_orm_migration::prelude::*;

crate::migration!("m0013_walls.sql");
