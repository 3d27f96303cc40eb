//! The schema of ao's database, version by version.
//!
//! # Theory of operation
//! Each migration is one SQL file with a table and the triggers that tell of its changes. The text is frozen once it
//! is released: a later change is a later file, and no Rust word list appears in it. Every migration and the row that
//! records it are one transaction, so a process killed inside one leaves the version before it.
//!
//! # What it does not do
//! It looks at no data, makes no backup and decides nothing about a database from another version: `ao-facts` does
//! that before it lets [`Migrator`] touch a file.

use sea_orm_migration::prelude::*;

/// One migration made of the SQL text in `$file`.
///
/// The transaction is asked for: on SQLite the migrator would run each statement on its own, and a kill between two
/// of them would leave a schema that no version describes.
macro_rules! migration {
    ($file:literal) => {
        #[derive(DeriveMigrationName)]
        pub(crate) struct Migration;

        #[async_trait::async_trait]
        impl MigrationTrait for Migration {
            #[expect(
                elided_lifetimes_in_paths,
                reason = "the trait is declared so, and async_trait counts lifetimes"
            )]
            async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
                manager
                    .get_connection()
                    .execute_unprepared(include_str!($file))
                    .await
                    .map(drop)
            }

            fn use_transaction(&self) -> Option<bool> {
                Some(true)
            }
        }
    };
}
pub(crate) use migration;

mod m0001_change_log;
mod m0002_projects;
mod m0003_sessions;
mod m0004_session_process;
mod m0005_signals;
mod m0006_intents;
mod m0007_sweeps;
mod m0008_agents;
mod m0009_messages;
mod m0010_pull_requests;
mod m0011_lives;
mod m0012_claims;
mod m0013_walls;
mod m0014_signals_in_words;
mod m0015_retries;

/// The version this program writes: the number of its newest migration.
pub const VERSION: u32 = 15;

/// The version a migration's recorded name stands for, such as 3 for `m0003_sessions`; `None` for a name that is not
/// of that form.
pub fn version_of(name: &str) -> Option<u32> {
    let (number, _) = name.strip_prefix('m')?.split_once('_')?;
    (number.len() == 4).then_some(number)?.parse().ok()
}

/// Brings a database to [`VERSION`]; safe to repeat.
#[derive(Debug, Clone, Copy)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_change_log::Migration),
            Box::new(m0002_projects::Migration),
            Box::new(m0003_sessions::Migration),
            Box::new(m0004_session_process::Migration),
            Box::new(m0005_signals::Migration),
            Box::new(m0006_intents::Migration),
            Box::new(m0007_sweeps::Migration),
            Box::new(m0008_agents::Migration),
            Box::new(m0009_messages::Migration),
            Box::new(m0010_pull_requests::Migration),
            Box::new(m0011_lives::Migration),
            Box::new(m0012_claims::Migration),
            Box::new(m0013_walls::Migration),
            Box::new(m0014_signals_in_words::Migration),
            Box::new(m0015_retries::Migration),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_up_to_the_version() {
        let versions: Vec<Option<u32>> = Migrator::migrations()
            .iter()
            .map(|m| version_of(m.name()))
            .collect();
        // 12 is on its way on another branch.
        let expected: Vec<Option<u32>> = (1..=VERSION).map(Some).collect();
        assert_eq!(versions, expected);
    }

    #[test]
    fn every_migration_is_one_transaction() {
        for migration in Migrator::migrations() {
            assert_eq!(migration.use_transaction(), Some(true), "{}", migration.name());
        }
    }

    #[test]
    fn other_names_have_no_version() {
        for name in ["", "m1_x", "0001_x", "m0001", "m00a1_x"] {
            assert_eq!(version_of(name), None, "{name}");
        }
    }
}
