//! Registered repositories and their events.

use sea_orm_migration::prelude::*;

crate::migration!("m0002_projects.sql");
