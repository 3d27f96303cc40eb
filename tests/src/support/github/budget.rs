//! Who asks, and what they may still spend.

use std::collections::BTreeMap;

use super::refusal::Refusal;

/// A budget's window.
const HOUR_MS: i64 = 3_600_000;

/// Points of one resource. The window begins with the first request after the last one ended.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    pub(super) limit: u64,
    used: u64,
    reset_ms: i64,
    /// What requests took, in all windows; not what `spend` took.
    pub(super) charged: u64,
}

impl Budget {
    pub(super) fn of(limit: u64) -> Self {
        Self {
            limit,
            used: 0,
            reset_ms: 0,
            charged: 0,
        }
    }

    fn roll(&mut self, now: i64) {
        if now >= self.reset_ms {
            self.used = 0;
            // On a whole second, as the header says it.
            self.reset_ms = now - now.rem_euclid(1_000) + HOUR_MS;
        }
    }

    /// Takes points. GitHub lets the request that crosses the limit through and refuses the next.
    pub(super) fn charge(&mut self, now: i64, points: u64) {
        self.spend(now, points);
        self.charged += points;
    }

    /// Takes points for somebody else.
    pub(super) fn spend(&mut self, now: i64, points: u64) {
        self.roll(now);
        self.used += points;
    }

    /// How it stands.
    pub(super) fn stand(&mut self, now: i64) -> Stand {
        self.roll(now);
        Stand {
            limit: self.limit,
            used: self.used,
            remaining: self.limit.saturating_sub(self.used),
            reset_ms: self.reset_ms,
        }
    }
}

/// How a budget stands at an instant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stand {
    /// Points of one window.
    pub limit: u64,
    /// What was taken in this one.
    pub used: u64,
    /// What is left.
    pub remaining: u64,
    /// When the next window begins, in unix milliseconds.
    pub reset_ms: i64,
}

/// What has a budget of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Resource {
    /// REST.
    Core,
    /// GraphQL.
    Graphql,
}

/// One token.
pub(super) struct Token {
    pub(super) login: String,
    pub(super) graphql: Budget,
    pub(super) core: Budget,
    /// Repositories that it is not shown, by name in lower case, and why.
    pub(super) refused: BTreeMap<String, Refusal>,
}

impl Token {
    pub(super) fn of(login: &str) -> Self {
        Self {
            login: login.to_owned(),
            graphql: Budget::of(5_000),
            core: Budget::of(5_000),
            refused: BTreeMap::new(),
        }
    }
    pub(super) fn budget(&mut self, resource: Resource) -> &mut Budget {
        match resource {
            Resource::Core => &mut self.core,
            Resource::Graphql => &mut self.graphql,
        }
    }
}
