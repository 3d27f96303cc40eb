//! When an agent tries again what went wrong, where its screen says so.

use sea_orm_migration::prelude::*;

crate::migration!("m0015_retries.sql");
