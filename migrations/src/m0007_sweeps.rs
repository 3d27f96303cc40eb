//! When each sweep is due.

use sea_orm_migration::prelude::*;

crate::migration!("m0007_sweeps.sql");
