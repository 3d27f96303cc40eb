//! What a session is made with, the line it waits in, and who takes whose place.

use sea_orm_migration::prelude::*;

crate::migration!("m0011_lives.sql");
