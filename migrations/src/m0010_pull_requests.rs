//! Pull requests, what agents were told about them, and what a person should know.

use sea_orm_migration::prelude::*;

crate::migration!("m0010_pull_requests.sql");
