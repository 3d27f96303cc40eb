//! Claims: that a session is to have a pull request which is there already.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::session::words;
use crate::{PrRef, SessionId, Timestamp, UnknownWord};

words! {
    /// How far a claim is.
    ClaimState, "state of a claim" {
        /// Its forge is still to be asked.
        Asked = "asked",
        /// The pull request is the session's.
        Made = "made",
        /// Nothing was changed.
        Refused = "refused",
    }
}

words! {
    /// Why a claim was refused.
    ClaimRefusal, "refusal of a claim" {
        /// Its forge knows no such pull request, or does not show it.
        NotFound = "not_found",
        /// It is a draft, or over.
        NotOpen = "not_open",
        /// It is another living session's, and was not to be taken over.
        Owned = "owned",
        /// Its forge could not be asked.
        Unavailable = "unavailable",
        /// The session was over first.
        Over = "over",
    }
}

impl ClaimRefusal {
    /// The word by which clients know it.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotFound => "PR_NOT_FOUND",
            Self::NotOpen => "PR_NOT_OPEN",
            Self::Owned => "PR_CLAIMED_BY_ACTIVE_SESSION",
            Self::Unavailable => "SCM_UNAVAILABLE",
            Self::Over => "SESSION_TERMINATED",
        }
    }
}

/// A claim as its row says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its number, which no other has.
    pub id: u64,
    /// Who is to have it.
    pub session: SessionId,
    /// What.
    pub at: PrRef,
    /// Whether the session's worktree is made from it.
    pub starts: bool,
    /// Whether it may be taken from another living session.
    pub takeover: bool,
    /// How far it is.
    pub state: ClaimState,
    /// Why it was refused.
    pub refusal: Option<ClaimRefusal>,
    /// The same in words.
    pub said: Option<String>,
    /// Whom it was taken from; where it was refused for that, whose it is.
    pub owner: Option<SessionId>,
    /// The pull request's branch, once its forge was asked.
    pub head_branch: Option<String>,
    /// Whether that branch lies in another repository, or in one that is gone; `None` before its forge was asked.
    pub is_foreign: Option<bool>,
    /// When it was asked for.
    pub created_at: Timestamp,
}

impl Claim {
    /// The name that a start from the pull request `number` has in the repository: under the remotes, where no remote of a person's
    /// is, so that its commits are known to be elsewhere too.
    pub fn base_of(number: u64) -> String {
        format!("ao/pull/{number}")
    }

    /// Why it was refused, with the word that clients know.
    pub fn why(&self) -> String {
        let said = self.said.as_deref().unwrap_or("no reason was given");
        let code = self.refusal.map_or("REFUSED", ClaimRefusal::code);
        format!("{} was not claimed: {said} ({code})", self.at)
    }
}
