//! What reached the stand-in.

use serde_json::Value;

/// Where a request went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// REST.
    Rest,
    /// GraphQL.
    Graphql,
    /// The other host that logs are downloaded from.
    Logs,
}

/// A request, as it was understood.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where it went.
    pub side: Side,
    /// `GET`, `POST`, …
    pub method: String,
    /// The path with its query.
    pub target: String,
    /// Whether it had an `Authorization` header.
    pub authorized: bool,
    /// The token in that header.
    pub token: Option<String>,
    /// Its `If-None-Match` header.
    pub if_none_match: Option<String>,
    /// The name of the document's operation.
    pub operation: Option<String>,
    /// The document, as it was sent.
    pub document: Option<String>,
    /// Its variables.
    pub variables: Value,
    /// How many pull requests the document asks for, each under an alias of its own.
    pub pulls: usize,
    /// What it took from its token's budget.
    pub cost: u64,
    /// The status that it was answered with; `None` where nothing was.
    pub status: Option<u16>,
    /// When it came, in unix milliseconds of the stand-in's clock.
    pub at_ms: i64,
    /// How many others were under way when it came.
    pub beside: usize,
}

impl Request {
    /// The path without its query, and without `/api/v3`.
    pub fn path(&self) -> &str {
        let path = self.target.split('?').next().unwrap_or_default();
        path.strip_prefix("/api/v3").unwrap_or(path)
    }
}
