//! Claims, as their rows say they are.

use ao_domain::{Claim, ClaimState, SessionId};
use sea_orm::QueryResult;

use super::Reader;
use crate::FactsError;
use crate::entity::{number, parse, parse_opt};
use crate::write::get;

impl Reader {
    /// The claims that have no answer yet, oldest first.
    pub async fn open_claims(&self) -> Result<Vec<u64>, FactsError> {
        let sql = "SELECT id FROM claims WHERE state = 'asked' ORDER BY id";
        let rows = self.rows("claims", sql, []).await?;
        rows.iter()
            .map(|row| number("claims", "", "id", get(row, "id")?))
            .collect()
    }

    /// A claim by its number.
    pub async fn claim(&self, id: u64) -> Result<Option<Claim>, FactsError> {
        let id = i64::try_from(id).unwrap_or(i64::MAX);
        let rows = self
            .rows("a claim", "SELECT * FROM claims WHERE id = ?", [id.into()])
            .await?;
        rows.first().map(claim).transpose()
    }

    /// The claim that a session was spawned with.
    pub async fn claim_to_start_from(&self, session: &SessionId) -> Result<Option<Claim>, FactsError> {
        let sql = "SELECT * FROM claims WHERE session_id = ? AND starts = 1";
        let rows = self.rows("a claim", sql, [session.as_str().into()]).await?;
        rows.first().map(claim).transpose()
    }
}

fn claim(row: &QueryResult) -> Result<Claim, FactsError> {
    const TABLE: &str = "claims";
    let id: i64 = get(row, "id")?;
    let key = id.to_string();
    let text = |column| get::<String>(row, column);
    let state: ClaimState = parse(TABLE, &key, "state", &text("state")?)?;
    Ok(Claim {
        id: number(TABLE, &key, "id", id)?,
        session: parse(TABLE, &key, "session_id", &text("session_id")?)?,
        at: ao_domain::PrRef {
            repo: parse(TABLE, &key, "repository", &text("repository")?)?,
            number: number(TABLE, &key, "number", get(row, "number")?)?,
        },
        starts: get(row, "starts")?,
        takeover: get(row, "takeover")?,
        state,
        refusal: parse_opt(
            TABLE,
            &key,
            "refusal",
            get::<Option<String>>(row, "refusal")?.as_deref(),
        )?,
        said: get(row, "said")?,
        owner: parse_opt(
            TABLE,
            &key,
            "owner",
            get::<Option<String>>(row, "owner")?.as_deref(),
        )?,
        head_branch: get(row, "head_branch")?,
        is_foreign: get(row, "is_foreign")?,
        created_at: parse(TABLE, &key, "created_at", &text("created_at")?)?,
    })
}
