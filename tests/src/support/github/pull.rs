//! Pull requests, and what people say on them.

use serde_json::{Value, json};

use super::refusal::Refusal;
use super::schema::SCHEMA;

/// Who everything belongs to whose account is gone.
pub const GHOST: &str = "ghost";

/// The repository of a pull request's head.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Home {
    /// The one that it is opened in.
    Same,
    /// Another one, `owner/name`.
    Fork(String),
    /// One that is not there any more.
    Deleted,
}

impl Home {
    /// Its name; `None` when it is gone.
    pub(super) fn name<'a>(&'a self, same: &'a str) -> Option<&'a str> {
        match self {
            Self::Same => Some(same),
            Self::Fork(name) => Some(name),
            Self::Deleted => None,
        }
    }
}

/// A pull request, as a test makes and edits it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pull {
    /// The head's branch.
    pub head: String,
    /// The head's commit.
    pub sha: String,
    /// Where the head's branch is.
    pub home: Home,
    /// The branch it is to go into.
    pub base: String,
    /// That branch's commit.
    pub base_sha: String,
    /// Who opened it; [`GHOST`] where that account is gone. A login that ends in `[bot]` is a bot's, here and everywhere.
    pub author: String,
    /// Its title.
    pub title: String,
    /// Whether it is a draft.
    pub draft: bool,
    /// `MERGEABLE`, `CONFLICTING` or `UNKNOWN`.
    pub mergeable: String,
    /// GitHub's `mergeStateStatus`; worked out from the rest when `None`.
    pub merge_state: Option<String>,
    /// GitHub's `reviewDecision`; worked out from the reviews when `None`.
    pub review_decision: Option<String>,
    /// Whether it waits in a merge queue.
    pub in_merge_queue: bool,
    /// Lines added.
    pub additions: u64,
    /// Lines taken away.
    pub deletions: u64,
    /// Files changed.
    pub changed_files: u64,
    /// Its fields have types that the schema forbids: a number as text, a head that is null.
    pub malformed: bool,
}

impl Pull {
    /// A pull request into `main` that can be merged.
    pub fn of(head: &str, sha: &str) -> Self {
        Self {
            head: head.to_owned(),
            sha: sha.to_owned(),
            home: Home::Same,
            base: "main".to_owned(),
            base_sha: "ba5e".repeat(10),
            author: "octocat".to_owned(),
            title: format!("Work of {head}"),
            draft: false,
            mergeable: "MERGEABLE".to_owned(),
            merge_state: None,
            review_decision: None,
            in_merge_queue: false,
            additions: 12,
            deletions: 3,
            changed_files: 2,
            malformed: false,
        }
    }

    /// Panics where a word is none of GitHub's.
    pub(super) fn insist(&self) {
        SCHEMA.insist("MergeableState", &self.mergeable);
        if let Some(state) = &self.merge_state {
            SCHEMA.insist("MergeStateStatus", state);
        }
        if let Some(decision) = &self.review_decision {
            SCHEMA.insist("PullRequestReviewDecision", decision);
        }
    }

    /// Whether the change from that one is activity, which moves `updated_at`. Whether it can be merged is none.
    pub(super) fn is_activity(&self, before: &Self) -> bool {
        let parts = |pull: &Self| {
            let texts = [&pull.head, &pull.sha, &pull.base, &pull.title].map(String::clone);
            (texts, pull.draft, pull.review_decision.clone())
        };
        parts(self) != parts(before)
    }
}

/// How a pull request stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    Open,
    Closed { at_ms: i64 },
    Merged { at_ms: i64 },
}

/// A pull request with all that happened to it.
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) pull: Pull,
    pub(super) standing: Standing,
    pub(super) created_ms: i64,
    pub(super) updated_ms: i64,
    pub(super) reviews: Vec<Review>,
    pub(super) threads: Vec<ReviewThread>,
    /// What everybody is told who asks for it by its number.
    pub(super) refused: Option<Refusal>,
}

impl Entry {
    pub(super) fn thread(&mut self, id: u64) -> &mut ReviewThread {
        let found = self.threads.iter_mut().find(|thread| thread.id == id);
        found.unwrap_or_else(|| panic!("no thread {id} was made"))
    }

    /// A branch moved: perhaps it is its head, perhaps its base. Only the former is activity.
    pub(super) fn move_branch(&mut self, branch: &str, sha: &str, now: i64) {
        let pull = &mut self.pull;
        if pull.base == branch {
            sha.clone_into(&mut pull.base_sha);
        }
        if pull.head == branch && pull.home == Home::Same && pull.sha != sha {
            sha.clone_into(&mut pull.sha);
            self.updated_ms = now;
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.standing == Standing::Open
    }

    pub(super) fn is_merged(&self) -> bool {
        matches!(self.standing, Standing::Merged { .. })
    }

    pub(super) fn merged_ms(&self) -> Option<i64> {
        match self.standing {
            Standing::Merged { at_ms } => Some(at_ms),
            _ => None,
        }
    }

    pub(super) fn closed_ms(&self) -> Option<i64> {
        match self.standing {
            Standing::Open => None,
            Standing::Closed { at_ms } | Standing::Merged { at_ms } => Some(at_ms),
        }
    }

    /// What a malformed pull request has in a field, by its name in either interface.
    pub(super) fn malformed(&self, name: &str) -> Option<Value> {
        let wrong = match name {
            "number" => json!(self.number.to_string()),
            "headRefOid" | "head" => Value::Null,
            "state" => json!(7),
            "isDraft" | "draft" => json!("no"),
            "title" => json!(["a", "list"]),
            "updatedAt" | "updated_at" => json!(0),
            "mergeable" => json!({"state": "MERGEABLE"}),
            _ => return None,
        };
        self.pull.malformed.then_some(wrong)
    }

    /// The decision: the newest that each reviewer took counts, and one that wants changes outweighs the rest.
    pub(super) fn review_decision(&self) -> Option<&str> {
        if let Some(decision) = &self.pull.review_decision {
            return Some(decision);
        }
        let newest = |review: &&Review| {
            let later = self.reviews.iter().filter(|other| other.id > review.id);
            let mut later = later.filter(|other| other.author == review.author && other.state != "COMMENTED");
            later.next().is_none()
        };
        let states: Vec<&str> = self
            .reviews
            .iter()
            .filter(newest)
            .map(|review| review.state.as_str())
            .collect();
        ["CHANGES_REQUESTED", "APPROVED"]
            .into_iter()
            .find(|word| states.contains(word))
    }
}

/// A review.
pub(super) struct Review {
    pub(super) id: u64,
    pub(super) author: String,
    pub(super) state: String,
    pub(super) body: String,
    pub(super) submitted_ms: i64,
}

/// A conversation about a place in the code.
pub(super) struct ReviewThread {
    pub(super) id: u64,
    pub(super) path: String,
    pub(super) line: Option<u64>,
    pub(super) is_resolved: bool,
    pub(super) comments: Vec<Comment>,
}

/// What somebody said in it.
pub(super) struct Comment {
    pub(super) id: u64,
    pub(super) author: String,
    pub(super) body: String,
    pub(super) created_ms: i64,
}
