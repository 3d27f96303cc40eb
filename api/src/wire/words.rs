//! The closed lists of words in the API's own document: the lists themselves live in `ao-domain` and
//! `ao-derive`.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Gives a list of words a schema under a name. The type stands in for the list in `#[schema(value_type =
/// …)]` only: neither the list nor the trait is this crate's.
macro_rules! word_schema {
    ($($name:ident = $list:path, $about:literal;)+) => {$(
        #[doc = $about]
        pub(super) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let words = <$list>::ALL.iter().map(|word| word.as_str());
                ObjectBuilder::new().schema_type(Type::String).description(Some($about)).enum_values(Some(words)).into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )+};
}

word_schema! {
    SessionKind = ao_domain::SessionKind, "What the session is for.";
    Phase = ao_domain::Phase, "Where the session stands.";
    Desired = ao_domain::Desired, "What somebody wants of the session.";
    QueuedFor = ao_domain::QueuedFor, "What the first of the line waits for.";
    EndReason = ao_domain::EndReason, "Why the session ended.";
    ActivityState = ao_domain::ActivityState, "What the agent last said about itself.";
    WorktreeState = ao_domain::WorktreeState, "What became of the session's worktree.";
    MessageState = ao_domain::MessageState, "How far a message has come.";
    MessageKind = ao_domain::MessageKind, "What is said to an agent.";
    ClaimState = ao_domain::ClaimState, "How far the claim of a pull request is.";
    PrState = ao_domain::PrState, "Where a pull request stands.";
    Ci = ao_domain::Ci, "What the checks of a pull request say together.";
    Review = ao_domain::Review, "What a pull request's reviewers have decided.";
    Mergeability = ao_domain::Mergeability, "Whether a pull request could be merged.";
    CheckStatus = ao_domain::CheckStatus, "How a check stands.";
    Evidence = ao_domain::Evidence, "What is known of why a check failed.";
    EpisodeKind = ao_domain::EpisodeKind, "In which way a pull request is bad.";
    NoticeKind = ao_domain::NoticeKind, "What a person should look at.";
    PermissionMode = ao_domain::PermissionMode, "What the agent may do without asking.";
    PromptBy = ao_domain::port::catalog::PromptBy, "How an agent is told what to do at its start.";
    Standing = ao_domain::port::catalog::Standing, "How the version that was found stands to the one whose behaviour was seen.";
}

/// The badge of a session, worked out when it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is on its way up: waiting for a place, or being set up.
    Queued,
    /// The agent works.
    Working,
    /// A dialog is open: a person has to decide.
    NeedsInput,
    /// The agent waits for work.
    Idle,
    /// Nobody knows; `reason` says why.
    Unknown,
    /// It never came up; `reason` says why.
    Failed,
    /// The agent is over.
    Terminated,
    /// Its work was merged.
    Merged,
    /// Checks of its pull request have failed.
    CiFailed,
    /// A reviewer asks for changes.
    ChangesRequested,
    /// Its pull request is a draft.
    Draft,
    /// Its pull request waits for a reviewer.
    ReviewPending,
    /// Its pull request is open, and there is nothing else to say of it.
    PrOpen,
    /// Its pull request was approved.
    Approved,
    /// Its pull request can be merged.
    Mergeable,
}

impl From<ao_derive::Status> for Status {
    fn from(status: ao_derive::Status) -> Self {
        match status {
            ao_derive::Status::Queued => Self::Queued,
            ao_derive::Status::Working => Self::Working,
            ao_derive::Status::NeedsInput => Self::NeedsInput,
            ao_derive::Status::Idle => Self::Idle,
            ao_derive::Status::Unknown => Self::Unknown,
            ao_derive::Status::Failed => Self::Failed,
            ao_derive::Status::Terminated => Self::Terminated,
            ao_derive::Status::Merged => Self::Merged,
            ao_derive::Status::CiFailed => Self::CiFailed,
            ao_derive::Status::ChangesRequested => Self::ChangesRequested,
            ao_derive::Status::Draft => Self::Draft,
            ao_derive::Status::ReviewPending => Self::ReviewPending,
            ao_derive::Status::PrOpen => Self::PrOpen,
            ao_derive::Status::Approved => Self::Approved,
            ao_derive::Status::Mergeable => Self::Mergeable,
        }
    }
}

impl Status {
    /// The word as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Working => "working",
            Self::NeedsInput => "needs_input",
            Self::Idle => "idle",
            Self::Unknown => "unknown",
            Self::Failed => "failed",
            Self::Terminated => "terminated",
            Self::Merged => "merged",
            Self::CiFailed => "ci_failed",
            Self::ChangesRequested => "changes_requested",
            Self::Draft => "draft",
            Self::ReviewPending => "review_pending",
            Self::PrOpen => "pr_open",
            Self::Approved => "approved",
            Self::Mergeable => "mergeable",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_written_as_it_is_derived() {
        for status in ao_derive::Status::ALL {
            let wire = Status::from(*status);
            assert_eq!(wire.as_str(), status.as_str());
            assert_eq!(serde_json::to_value(wire).unwrap(), status.as_str());
        }
    }
}
