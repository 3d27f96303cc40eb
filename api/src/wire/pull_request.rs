//! Pull requests, as their forge told of them when they were looked at last.

use ao_domain::{
    CheckStatus, Ci, ClaimState, EpisodeKind, Evidence, Mergeability, PrState, ProjectId, Review, SessionId,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;

/// A pull request in short, as its session shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrSummary {
    /// Its number here, which no other has: those of forges are each repository's own.
    pub id: u64,
    /// Where a person reads it.
    pub url: String,
    /// Its number on its forge.
    pub number: u64,
    /// What its author called it.
    pub title: String,
    /// Where it stands.
    #[schema(value_type = words::PrState)]
    pub state: PrState,
    /// What its checks say together.
    #[schema(value_type = words::Ci)]
    pub ci: Ci,
    /// The names of the checks that have failed.
    pub failing: Vec<String>,
    /// What its reviewers have decided.
    #[schema(value_type = words::Review)]
    pub review: Review,
    /// Whether it could be merged.
    #[schema(value_type = words::Mergeability)]
    pub mergeability: Mergeability,
    /// Its branch.
    pub head_branch: String,
    /// The branch it wants to be merged into.
    pub base_branch: String,
    /// The commit its branch stands at.
    pub head: String,
    /// When anything was seen to be another than before.
    #[schema(value_type = String, format = DateTime)]
    pub changed_at: Timestamp,
    /// What went wrong at the last look; what it could not read is shown as it was known before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl From<&ao_domain::PrSummary> for PrSummary {
    fn from(pr: &ao_domain::PrSummary) -> Self {
        Self {
            id: pr.id,
            url: pr.url.clone(),
            number: pr.number,
            title: pr.title.clone(),
            state: pr.state,
            ci: pr.ci,
            failing: pr.failing.clone(),
            review: pr.review,
            mergeability: pr.mergeability,
            head_branch: pr.head_branch.clone(),
            base_branch: pr.base_branch.clone(),
            head: pr.head.clone(),
            changed_at: pr.changed_at,
            trouble: pr.trouble.clone(),
        }
    }
}

impl From<&ao_domain::PullRequest> for PrSummary {
    fn from(pr: &ao_domain::PullRequest) -> Self {
        let facts = &pr.facts;
        Self {
            id: pr.id,
            url: facts.url.clone(),
            number: facts.at.number,
            title: facts.title.clone(),
            state: facts.state,
            ci: pr.ci,
            failing: pr.failing.clone(),
            review: facts.review,
            mergeability: facts.mergeability,
            head_branch: facts.head_branch.clone(),
            base_branch: facts.base_branch.clone(),
            head: facts.head.clone(),
            changed_at: pr.changed_at,
            trouble: pr.trouble.clone(),
        }
    }
}

/// Asks for a pull request that is there to be a session's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimPr {
    /// Its number, as `7` or `#7`, or its address, as `https://HOST/OWNER/NAME/pull/7`.
    #[serde(default)]
    #[schema(required)]
    pub pr: String,
    /// Whether it may be taken from another session whose agent is not over.
    #[serde(default = "yes")]
    pub allow_takeover: bool,
}

fn yes() -> bool {
    true
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrClaimed {
    /// Whether it is the session's now; false while the forge has not answered.
    pub ok: bool,
    /// The session.
    #[schema(value_type = String)]
    pub session_id: SessionId,
    /// The pull request's number on its forge.
    pub number: u64,
    /// All pull requests of the session, the claimed one first.
    pub prs: Vec<PullRequest>,
    /// Whether anything was checked out: never. What lies in the worktree is what lay there.
    pub branch_changed: bool,
    /// The session it was taken from, if it was another's.
    #[schema(value_type = Vec<String>)]
    pub taken_over_from: Vec<SessionId>,
    /// Whether its branch lies in another repository, or in one that is gone; absent while the forge has not answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_code: Option<bool>,
}

/// The pull request that a session was spawned with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Claimed {
    /// Its repository: `host/owner/name`.
    pub repository: String,
    /// Its number there.
    pub number: u64,
    /// How far the claim is.
    #[schema(value_type = words::ClaimState)]
    pub state: ClaimState,
    /// The session it was taken from, if it was another's.
    #[schema(value_type = Vec<String>)]
    pub taken_over_from: Vec<SessionId>,
    /// Its branch, once the forge was asked; a push to it reaches the pull request where it lies in the project's own repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_branch: Option<String>,
}

impl From<&ao_domain::Claim> for Claimed {
    fn from(claim: &ao_domain::Claim) -> Self {
        let owner = claim.owner.clone().filter(|_| claim.state == ClaimState::Made);
        Self {
            repository: claim.at.repo.to_string(),
            number: claim.at.number,
            state: claim.state,
            taken_over_from: owner.into_iter().collect(),
            head_branch: claim.head_branch.clone(),
        }
    }
}

/// A pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullRequest {
    /// What its session shows of it.
    #[serde(flatten)]
    pub short: PrSummary,
    /// Whose it is.
    #[schema(value_type = String)]
    pub session_id: SessionId,
    /// That session's project.
    #[schema(value_type = String)]
    pub project_id: ProjectId,
    /// Its repository: `host/owner/name`.
    pub repository: String,
    /// Who opened it.
    pub author: String,
    /// Whether it waits in a merge queue.
    pub queued_to_merge: bool,
    /// Whether it is still looked at; not any more once its end was seen, or once it was gone for long and its session over.
    pub followed: bool,
    /// Why all this may be of before, such as of the commit before a push; absent where it was looked at since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outdated: Option<String>,
    /// When it was looked at last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub read_at: Option<Timestamp>,
    /// When everything of it was read last; absent before the first time: nothing is known of its checks then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub detailed_at: Option<Timestamp>,
    /// When it was found.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When anything was written of it last.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl From<&ao_domain::PullRequest> for PullRequest {
    fn from(pr: &ao_domain::PullRequest) -> Self {
        Self {
            short: PrSummary::from(pr),
            session_id: pr.session.clone(),
            project_id: pr.session.project(),
            repository: pr.facts.at.repo.to_string(),
            author: pr.facts.author.clone(),
            queued_to_merge: pr.facts.queued_to_merge,
            followed: pr.followed,
            outdated: pr.outdated(),
            read_at: pr.read_at,
            detailed_at: pr.detailed_at,
            created_at: pr.created_at,
            updated_at: pr.updated_at,
        }
    }
}

/// Pull requests: open ones first, and of these those that changed last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrList {
    /// Those that were asked for.
    pub prs: Vec<PullRequest>,
}

/// The pull requests of one session: open ones first, and of these those that changed last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionPrs {
    /// Whose.
    #[schema(value_type = String)]
    pub session_id: SessionId,
    /// All of them.
    pub prs: Vec<PullRequest>,
}

/// One pull request, with its checks and what was told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrGot {
    /// The pull request.
    pub pr: PullRequest,
    /// The newest attempt of each check of its head, by name.
    pub checks: Vec<Check>,
    /// When it was bad, oldest first.
    pub episodes: Vec<Episode>,
}

/// One check of a pull request's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Its name as people see it: `ci / test`.
    pub name: String,
    /// How it stands.
    #[schema(value_type = words::CheckStatus)]
    pub status: CheckStatus,
    /// The forge's own word for its end; empty before.
    pub conclusion: String,
    /// Where a person reads about it.
    pub url: String,
    /// Whether a merge needs it.
    pub required: bool,
    /// The step that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What the check says itself, in short.
    pub summary: String,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub completed_at: Option<Timestamp>,
    /// What is known of why it failed.
    #[schema(value_type = words::Evidence)]
    pub evidence: Evidence,
    /// The end of the failed step's log, to the letter; only where logs were asked for and this one was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Why its log cannot be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_log: Option<String>,
}

impl Check {
    /// A check, with its log if that is wanted.
    pub(crate) fn new(check: ao_domain::Check, with_log: bool) -> Self {
        let (log, no_log) = match check.evidence {
            Evidence::Read => (with_log.then_some(check.log), None),
            Evidence::Unavailable => (None, Some(check.log).filter(|why| !why.is_empty())),
            Evidence::Wanted | Evidence::Unasked => (None, None),
        };
        Self {
            name: check.name,
            status: check.status,
            conclusion: check.conclusion,
            url: check.url,
            required: check.required,
            step: check.step,
            summary: check.summary,
            started_at: check.started_at,
            completed_at: check.completed_at,
            evidence: check.evidence,
            log,
            no_log,
        }
    }
}

/// From the moment a pull request turns bad in one way to the moment it is good again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Episode {
    /// Its number, which no other has.
    pub id: u64,
    /// In which way.
    #[schema(value_type = words::EpisodeKind)]
    pub kind: EpisodeKind,
    /// What it is about, in a few words.
    pub headline: String,
    /// The commit it is about.
    pub head: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: Timestamp,
    /// When it ended; absent while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed_at: Option<Timestamp>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<String>,
    /// What the session's agent was told of it, oldest first.
    pub messages: Vec<Told>,
}

/// A message about an episode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// The message, by its number.
    pub message_id: u64,
    /// The run of the agent it was meant for.
    pub generation: u32,
    /// Which one of its episode and run: 1 is the first.
    pub round: u32,
    /// Whether it was typed.
    pub typed: bool,
    /// Whether nobody will be told by it: it was taken back or given up.
    pub lost: bool,
}

impl From<&ao_domain::Nudge> for Told {
    fn from(nudge: &ao_domain::Nudge) -> Self {
        Self {
            message_id: nudge.message,
            generation: nudge.generation,
            round: nudge.round,
            typed: nudge.typed_in.is_some(),
            lost: nudge.lost,
        }
    }
}
