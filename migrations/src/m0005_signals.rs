//! Applied hook records, and how far each spool is read.

use sea_orm_migration::prelude::*;

crate::migration!("m0005_signals.sql");
