//! What hosts of forges say about us: whose credentials they take, and what is left of their budgets.

use ao_domain::Timestamp;
use ao_domain::port::forge::{Budget, Pool};
use ao_supervisor::Incarnation;

use super::observations::ObservationWriter;
use crate::FactsError;
use crate::read::pulls::TokenState;

/// What was seen of a host. `None` leaves what is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewaySeen {
    /// Where the credentials come from.
    pub source: Option<String>,
    /// Whether they are taken.
    pub token: Option<TokenState>,
    /// What is left of budgets, and what we spent of each since the last time.
    pub budgets: Vec<Budget>,
    /// Nothing is asked before then; `Some(None)`: from now on again.
    pub cool_until: Option<Option<Timestamp>>,
    /// What is wrong; `Some(None)`: nothing any more.
    pub trouble: Option<Option<String>>,
    /// When it answered last.
    pub answered_at: Option<Timestamp>,
}

impl ObservationWriter {
    /// Writes down what was seen of `host`. What we spent is summed up over a budget's window.
    pub async fn gateway_seen(
        &self,
        by: &Incarnation,
        host: &str,
        seen: GatewaySeen,
        now: Timestamp,
    ) -> Result<(), FactsError> {
        let tx = self.store.begin(Some(by)).await?;
        let now = now.to_string();
        tx.run(
            "gateways",
            "INSERT INTO gateways (host, updated_at) VALUES (?1, ?2) ON CONFLICT (host) DO NOTHING",
            [host.into(), now.clone().into()],
        )
        .await?;
        let (cools, cool_until) = (seen.cool_until.is_some(), seen.cool_until.flatten());
        let (told, trouble) = (seen.trouble.is_some(), seen.trouble.flatten());
        tx.run(
            "gateways",
            "UPDATE gateways SET source = coalesce(?2, source), token = coalesce(?3, token), answered_at = coalesce(?4, answered_at),
                cool_until = iif(?5, ?6, cool_until), trouble = iif(?7, ?8, trouble), updated_at = ?9 WHERE host = ?1",
            [
                host.into(),
                seen.source.into(),
                seen.token.map(TokenState::as_str).into(),
                seen.answered_at.map(|at| at.to_string()).into(),
                cools.into(),
                cool_until.map(|at| at.to_string()).into(),
                told.into(),
                trouble.into(),
                now.clone().into(),
            ],
        )
        .await?;
        for budget in &seen.budgets {
            // Hosts give the end of a window to the second, and now and then one second off: a new one is far away.
            let sql = match budget.pool {
                Pool::Batch => {
                    "UPDATE gateways SET batch_ours = ?5 + iif(?4 > strftime('%Y-%m-%dT%H:%M:%fZ', batch_resets_at, '+1 minute')
                        OR batch_resets_at IS NULL, 0, batch_ours),
                     batch_limit = ?2, batch_left = ?3, batch_resets_at = ?4 WHERE host = ?1"
                }
                Pool::Single => {
                    "UPDATE gateways SET single_ours = ?5 + iif(?4 > strftime('%Y-%m-%dT%H:%M:%fZ', single_resets_at, '+1 minute')
                        OR single_resets_at IS NULL, 0, single_ours),
                     single_limit = ?2, single_left = ?3, single_resets_at = ?4 WHERE host = ?1"
                }
            };
            tx.run(
                "gateways",
                sql,
                [
                    host.into(),
                    budget.limit.into(),
                    budget.remaining.into(),
                    budget.resets_at.to_string().into(),
                    budget.cost.into(),
                ],
            )
            .await?;
        }
        // Whoever waits for a host looks at the clock: what it costs is no news to anybody.
        if cools || told || seen.token.is_some() {
            tx.commit().await
        } else {
            tx.commit_quietly().await
        }
    }
}
