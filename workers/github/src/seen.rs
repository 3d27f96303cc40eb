//! A pull request as GraphQL tells of it, in our words.

use ao_domain::port::forge::{Detail, Light, Refusal};
use ao_domain::{Mergeability, PrFacts, PrRef, PrState, RemoteRepo, Review};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::batch::Unread;
use crate::check;

/// Who has opened what nobody's is any more: GitHub shows this name there.
pub(crate) const NOBODY: &str = "ghost";

/// What both looks ask for. A state that is missing is not guessed: then the answer is not understood.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    state: String,
    is_draft: bool,
    title: String,
    head_ref_oid: String,
    base_ref_name: String,
    base_ref_oid: String,
    review_decision: Option<String>,
    mergeable: Option<String>,
    merge_state_status: Option<String>,
    is_in_merge_queue: Option<bool>,
    status_check_rollup: Option<Rollup>,
}

#[derive(Deserialize)]
struct Rollup {
    state: Option<String>,
    contexts: Contexts,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Contexts {
    total_count: u64,
    check_run_counts_by_state: Option<Vec<Count>>,
    status_context_counts_by_state: Option<Vec<Count>>,
    nodes: Option<Vec<Value>>,
    page_info: Option<PageInfo>,
}

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Count {
    state: String,
    count: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Whole {
    #[serde(flatten)]
    seen: Seen,
    url: String,
    author: Option<Author>,
    head_ref_name: String,
    head_repository: Option<HeadRepository>,
}

#[derive(Deserialize)]
struct Author {
    login: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadRepository {
    name_with_owner: String,
}

/// A light look, from what GraphQL says of a pull request.
pub(crate) fn light(said: Value) -> Result<Light, Refusal> {
    let mut seen: Seen = understood(said)?;
    Ok(Light {
        mergeability: seen.mergeability()?,
        fingerprint: seen.fingerprint(),
    })
}

/// A whole look at `at`, from what GraphQL says of it, and what of it could not be read.
pub(crate) fn detail(at: &PrRef, said: Value, unread: Option<Unread>) -> Result<Detail, Refusal> {
    let Whole {
        mut seen,
        url,
        author,
        head_ref_name,
        head_repository,
    } = understood(said)?;
    let (state, mergeability, fingerprint) = (seen.state()?, seen.mergeability()?, seen.fingerprint());
    let contexts = seen.status_check_rollup.map(|rollup| rollup.contexts);
    let (nodes, page) = contexts.map_or((None, None), |contexts| (contexts.nodes, contexts.page_info));
    let nodes = nodes.unwrap_or_default();
    let checks_are_read = unread.as_ref().is_none_or(|unread| !unread.is_of_checks);
    Ok(Detail {
        facts: PrFacts {
            at: at.clone(),
            url,
            title: seen.title,
            author: author.map_or_else(|| NOBODY.to_owned(), |author| author.login),
            state,
            head_branch: head_ref_name,
            head: seen.head_ref_oid,
            head_repo: head_repository.map(|repo| RemoteRepo::new(&at.repo.host, &repo.name_with_owner)),
            base_branch: seen.base_ref_name,
            base: seen.base_ref_oid,
            review: review(seen.review_decision.as_deref()),
            mergeability,
            queued_to_merge: seen.is_in_merge_queue.unwrap_or_default(),
        },
        checks: checks_are_read.then(|| nodes.iter().filter_map(check::read).collect()),
        next: page
            .filter(|page| page.has_next_page)
            .and_then(|page| page.end_cursor)
            .filter(|_| checks_are_read),
        fingerprint,
        trouble: unread.map(|unread| unread.why),
    })
}

fn understood<T: serde::de::DeserializeOwned>(said: Value) -> Result<T, Refusal> {
    serde_json::from_value(said).map_err(|error| Refusal::NotUnderstood(error.to_string()))
}

impl Seen {
    fn state(&self) -> Result<PrState, Refusal> {
        match self.state.as_str() {
            "MERGED" => Ok(PrState::Merged),
            "CLOSED" => Ok(PrState::Closed),
            "OPEN" if self.is_draft => Ok(PrState::Draft),
            "OPEN" => Ok(PrState::Open),
            other => Err(Refusal::NotUnderstood(format!(
                "`{other}` is no state of a pull request"
            ))),
        }
    }

    fn mergeability(&self) -> Result<Mergeability, Refusal> {
        let rollup = self.status_check_rollup.as_ref();
        Ok(mergeability(&Standing {
            state: self.state()?,
            mergeable: self.mergeable.as_deref().unwrap_or_default(),
            status: self.merge_state_status.as_deref().unwrap_or_default(),
            checks: rollup
                .and_then(|rollup| rollup.state.as_deref())
                .unwrap_or_default(),
            review: review(self.review_decision.as_deref()),
        }))
    }

    /// Everything that was seen but its mergeability, in one order. What a comment changes is not in it.
    fn fingerprint(&mut self) -> String {
        let counts = |counts: &mut Option<Vec<Count>>| -> Vec<Value> {
            let counts = counts.get_or_insert_default();
            counts.retain(|count| count.count > 0);
            counts.sort();
            counts
                .iter()
                .map(|count| json!([count.state, count.count]))
                .collect()
        };
        let checks = self.status_check_rollup.as_mut().map(|rollup| {
            json!([
                rollup.state,
                rollup.contexts.total_count,
                counts(&mut rollup.contexts.check_run_counts_by_state),
                counts(&mut rollup.contexts.status_context_counts_by_state),
            ])
        });
        json!([
            self.state,
            self.is_draft,
            self.title,
            self.head_ref_oid,
            self.base_ref_name,
            self.base_ref_oid,
            self.review_decision,
            self.is_in_merge_queue,
            checks,
        ])
        .to_string()
    }
}

/// What reviewers have decided, from GitHub's word.
fn review(word: Option<&str>) -> Review {
    match word {
        Some("APPROVED") => Review::Approved,
        Some("CHANGES_REQUESTED") => Review::ChangesRequested,
        Some("REVIEW_REQUIRED") => Review::Required,
        _ => Review::None,
    }
}

/// What mergeability follows from, in GitHub's words where they are not ours.
struct Standing<'a> {
    state: PrState,
    mergeable: &'a str,
    status: &'a str,
    checks: &'a str,
    review: Review,
}

fn mergeability(standing: &Standing<'_>) -> Mergeability {
    let is_computed = !matches!(
        (standing.mergeable, standing.status),
        ("UNKNOWN" | "", "UNKNOWN" | "")
    );
    if !standing.state.is_open() || !is_computed {
        // That checks have failed says nothing about its lines: a conflict that was known would be lost until GitHub has worked
        // it out again.
        return Mergeability::Unknown;
    }
    if standing.status == "DIRTY" || standing.mergeable == "CONFLICTING" {
        return Mergeability::Conflicting;
    }
    let is_blocked = standing.status == "BLOCKED"
        || standing.state == PrState::Draft
        || matches!(standing.checks, "FAILURE" | "ERROR")
        || matches!(standing.review, Review::ChangesRequested | Review::Required);
    match (standing.mergeable, standing.status) {
        _ if is_blocked => Mergeability::Blocked,
        (_, "UNSTABLE") => Mergeability::Unstable,
        ("MERGEABLE", "CLEAN" | "HAS_HOOKS" | "") => Mergeability::Mergeable,
        _ => Mergeability::Unknown,
    }
}

#[cfg(test)]
mod tests;
