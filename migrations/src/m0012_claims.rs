//! Claims: that a session is to have a pull request which is there already, and whose code it works on.

use sea_orm_migration::prelude::*;

crate::migration!("m0012_claims.sql");
