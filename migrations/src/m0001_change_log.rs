//! The change feed's table.

use sea_orm_migration::prelude::*;

crate::migration!("m0001_change_log.sql");
