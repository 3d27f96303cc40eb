//! What an agent's hooks and its own record say beside its state: the tool it uses, why, and what it calls the conversation.

use sea_orm_migration::prelude::*;

crate::migration!("m0014_signals_in_words.sql");
