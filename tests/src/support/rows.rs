//! The rows of a world, read from the outside for as long as one looks, whether a daemon runs or not.

use camino::Utf8Path;
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, Statement};
use tokio::runtime::Runtime;

/// One connection to a database that is kept open: for samples that are taken all the time.
pub struct Rows {
    runtime: Runtime,
    rows: DatabaseConnection,
}

impl Rows {
    /// Opens the database of the data directory `data` for reading.
    pub fn open(data: &Utf8Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let url = format!("sqlite://{}?mode=ro", data.join("ao.sqlite3"));
        let rows = runtime
            .block_on(Database::connect(url))
            .expect("the database can be opened");
        Self { runtime, rows }
    }

    /// The first column of the first row, as text; one statement, so one state of the database. `None` while it cannot be read:
    /// a daemon that comes up may hold it for an instant.
    pub fn text(&self, question: &str) -> Option<String> {
        let question = Statement::from_string(self.rows.get_database_backend(), question);
        let row = self.runtime.block_on(self.rows.query_one_raw(question)).ok()??;
        row.try_get_by_index(0).ok()
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        let rows = self.rows.clone();
        let _ = self.runtime.block_on(rows.close());
    }
}
