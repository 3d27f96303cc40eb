//! Hosts of forges: whether they take our credentials, and what is left of what may be asked of them.

use ao_domain::Timestamp;
use ao_facts::Purse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether a host takes our credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    /// Nobody has asked yet.
    Unknown,
    /// There are none.
    Missing,
    /// They were refused.
    Refused,
    /// They were taken.
    Accepted,
}

impl From<ao_facts::TokenState> for TokenState {
    fn from(state: ao_facts::TokenState) -> Self {
        match state {
            ao_facts::TokenState::Unknown => Self::Unknown,
            ao_facts::TokenState::Missing => Self::Missing,
            ao_facts::TokenState::Refused => Self::Refused,
            ao_facts::TokenState::Accepted => Self::Accepted,
        }
    }
}

/// What may be asked within a window, and who has spent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// What there is in a window; 0 before the first answer.
    pub limit: u32,
    /// What is left in this one.
    pub left: u32,
    /// What ao has spent of it.
    pub ours: u32,
    /// What others have spent with the same credentials.
    pub others: u32,
    /// When the next window begins; absent before anything was asked in this one: all of it is left, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub resets_at: Option<Timestamp>,
    /// Whether less than half is left.
    pub warns: bool,
}

impl Budget {
    fn new(purse: &Purse, now: Timestamp) -> Self {
        let resets_at = purse.resets_at.filter(|at| now < *at);
        // What was spent in a window that is over says nothing about this one.
        let (left, ours, others) = match resets_at {
            Some(_) => (purse.left, purse.ours, purse.others()),
            None => (purse.limit, 0, 0),
        };
        Self {
            limit: purse.limit,
            left,
            ours,
            others,
            resets_at,
            warns: purse.left_percent(now) < 50,
        }
    }
}

/// The budgets of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Budgets {
    /// What looks at many pull requests at once are paid from.
    pub batch: Budget,
    /// What lists and logs are paid from.
    pub single: Budget,
}

/// A host that is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// Which.
    pub host: String,
    /// Whether it takes our credentials.
    pub token: TokenState,
    /// Where these come from: never the credentials themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What is left of what may be asked.
    pub budgets: Budgets,
    /// Nothing is asked before then; absent where nothing has to be waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub cool_until: Option<Timestamp>,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// When it answered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub answered_at: Option<Timestamp>,
}

impl Gateway {
    /// A host as it stands at `now`.
    pub(crate) fn new(gateway: ao_facts::GatewayState, now: Timestamp) -> Self {
        Self {
            token: gateway.token.into(),
            source: gateway.source,
            budgets: Budgets {
                batch: Budget::new(&gateway.batch, now),
                single: Budget::new(&gateway.single, now),
            },
            cool_until: gateway.cool_until.filter(|until| now < *until),
            trouble: gateway.trouble,
            answered_at: gateway.answered_at,
            host: gateway.host,
        }
    }
}

/// The hosts where something is watched now; of one that was not spoken to yet nothing is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GatewayList {
    /// By name.
    pub gateways: Vec<Gateway>,
}
