//! Idempotency keys.

use sea_orm_migration::prelude::*;

crate::migration!("m0006_intents.sql");
