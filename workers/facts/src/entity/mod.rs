//! The tables as rows, for this crate only: what leaves it are the records of `ao-domain`.

pub(crate) mod change_log;
pub(crate) mod checks;
pub(crate) mod messages;
pub(crate) mod projects;
pub(crate) mod pull_requests;
pub(crate) mod session_process;
pub(crate) mod sessions;
pub(crate) mod signals;
pub(crate) mod sweeps;

use std::fmt::Display;

use serde::de::DeserializeOwned;

use crate::FactsError;

/// Reads one column's text as the domain's type for it; a text that is none names its row.
pub(crate) fn parse<T>(
    table: &'static str,
    key: &str,
    column: &'static str,
    text: &str,
) -> Result<T, FactsError>
where
    T: std::str::FromStr<Err: Display>,
{
    text.parse().map_err(|why: T::Err| FactsError::Row {
        table,
        key: key.to_owned(),
        said: format!("{column}: {why}"),
    })
}

/// [`parse`] for a column that may be NULL.
pub(crate) fn parse_opt<T>(
    table: &'static str,
    key: &str,
    column: &'static str,
    text: Option<&str>,
) -> Result<Option<T>, FactsError>
where
    T: std::str::FromStr<Err: Display>,
{
    text.map(|text| parse(table, key, column, text)).transpose()
}

/// Reads one column of JSON text.
pub(crate) fn json<T: DeserializeOwned>(
    table: &'static str,
    key: &str,
    column: &'static str,
    text: &str,
) -> Result<T, FactsError> {
    serde_json::from_str(text).map_err(|why| FactsError::Row {
        table,
        key: key.to_owned(),
        said: format!("{column}: {why}"),
    })
}

/// [`json`] for a column that may be NULL.
pub(crate) fn json_opt<T: DeserializeOwned>(
    table: &'static str,
    key: &str,
    column: &'static str,
    text: Option<&str>,
) -> Result<Option<T>, FactsError> {
    text.map(|text| json(table, key, column, text)).transpose()
}

/// Reads one whole number that has to fit into `T`.
pub(crate) fn number<T: TryFrom<i64, Error: Display>>(
    table: &'static str,
    key: &str,
    column: &'static str,
    number: i64,
) -> Result<T, FactsError> {
    T::try_from(number).map_err(|why| FactsError::Row {
        table,
        key: key.to_owned(),
        said: format!("{column} {number}: {why}"),
    })
}

/// The JSON text of a value made of lists, numbers and text only.
pub(crate) fn text_of<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our records have text keys and no failing serializer")
}
