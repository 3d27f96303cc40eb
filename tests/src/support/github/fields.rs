//! What a pull request, a thread and a check have, field by field.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::check::{CheckRun, Context, Status};
use super::document::Chosen;
use super::graphql::{Answer, Found, Node, page};
use super::pull::{Comment, Entry, GHOST, Home, ReviewThread};
use super::refusal::Refusal;
use super::state::{Repository, digits, time};

impl<'a> Answer<'a> {
    pub(super) fn pull(&self, repository: &'a Repository, entry: &'a Entry, field: &Chosen) -> Found<'a> {
        let pull = &entry.pull;
        let name = field.name.as_str();
        if let Some(value) = entry.malformed(name) {
            return value.into();
        }
        let value = match name {
            "statusCheckRollup" => return rollup(repository, &pull.sha),
            "mergeCommit" => {
                let sha = entry
                    .is_merged()
                    .then(|| digits((&repository.name, entry.number)));
                let commit = |oid| json!({"__typename": "Commit", "oid": oid, "id": format!("C_{oid}")});
                return Found::One(Node::Ready(sha.map_or(Value::Null, commit)));
            }
            "author" => return Found::One(Node::Ready(self.author(&pull.author))),
            "headRepository" => {
                let head = pull.home.name(&repository.name).map(|name| {
                    json!({"__typename": "Repository", "nameWithOwner": name, "id": format!("R_{}", digits(name))})
                });
                return Found::One(Node::Ready(head.unwrap_or_default()));
            }
            "headRepositoryOwner" => {
                let owner = pull
                    .home
                    .name(&repository.name)
                    .and_then(|name| name.split('/').next());
                let owner = owner.map(|owner| self.actor(owner));
                return Found::One(Node::Ready(owner.unwrap_or_default()));
            }
            "mergeQueueEntry" => {
                let entry = pull.in_merge_queue.then(|| {
                    json!({"__typename": "MergeQueueEntry", "id": format!("MQE_{}", entry.number), "position": 1,
                        "state": "QUEUED", "enqueuedAt": time(entry.updated_ms)})
                });
                return Found::One(Node::Ready(entry.unwrap_or_default()));
            }
            "commits" => {
                let newest = Node::PullCommit(repository, &pull.sha);
                return page(field, vec![newest], json!({}));
            }
            "reviewThreads" => {
                let threads = entry.threads.iter();
                let threads = threads
                    .map(|thread| Node::Thread(repository, entry, thread))
                    .collect();
                return page(field, threads, json!({}));
            }
            "reviews" => {
                let reviews = entry.reviews.iter().map(|review| {
                    Node::Ready(json!({
                        "__typename": "PullRequestReview", "id": format!("PRR_{}", review.id),
                        "author": self.author(&review.author), "state": review.state, "body": review.body,
                        "submittedAt": time(review.submitted_ms),
                        "url": format!("{}#pullrequestreview-{}", self.url(repository, entry), review.id),
                    }))
                });
                return page(field, reviews.collect(), json!({}));
            }
            "id" => json!(format!("PR_{}_{}", repository.id, entry.number)),
            "number" => json!(entry.number),
            "title" => json!(pull.title),
            "url" => json!(self.url(repository, entry)),
            "state" if entry.is_merged() => json!("MERGED"),
            "state" if entry.is_open() => json!("OPEN"),
            "state" => json!("CLOSED"),
            "isDraft" => json!(pull.draft),
            "merged" => json!(entry.is_merged()),
            "closed" => json!(!entry.is_open()),
            "mergeable" if !entry.is_open() => json!("UNKNOWN"),
            "mergeable" => json!(pull.mergeable),
            "mergeStateStatus" => json!(repository.merge_state(entry)),
            "reviewDecision" => json!(entry.review_decision()),
            "headRefName" => json!(pull.head),
            "headRefOid" => json!(pull.sha),
            "baseRefName" => json!(pull.base),
            "baseRefOid" => json!(pull.base_sha),
            "createdAt" => json!(time(entry.created_ms)),
            "updatedAt" => json!(time(entry.updated_ms)),
            "mergedAt" => json!(entry.merged_ms().map(time)),
            "closedAt" => json!(entry.closed_ms().map(time)),
            "additions" => json!(pull.additions),
            "deletions" => json!(pull.deletions),
            "changedFiles" => json!(pull.changed_files),
            "isInMergeQueue" => json!(pull.in_merge_queue),
            "isCrossRepository" => json!(pull.home != Home::Same),
            other => unreachable!("the schema has a field `{other}` that nobody answers"),
        };
        value.into()
    }

    pub(super) fn thread(
        &self,
        repository: &'a Repository,
        entry: &'a Entry,
        thread: &'a ReviewThread,
        field: &Chosen,
    ) -> Found<'a> {
        match field.name.as_str() {
            "comments" => {
                let comments = thread.comments.iter();
                let comments = comments.map(|comment| Node::Ready(self.comment(repository, entry, comment)));
                page(field, comments.collect(), json!({}))
            }
            "isResolved" => json!(thread.is_resolved).into(),
            "isOutdated" => json!(thread.line.is_none()).into(),
            "path" => json!(thread.path).into(),
            "line" => json!(thread.line).into(),
            _ => json!(format!("PRRT_{}", thread.id)).into(),
        }
    }

    fn comment(&self, repository: &Repository, entry: &Entry, comment: &Comment) -> Value {
        json!({
            "__typename": "PullRequestReviewComment", "id": format!("PRRC_{}", comment.id),
            "author": self.author(&comment.author), "body": comment.body,
            "createdAt": time(comment.created_ms),
            "url": format!("{}#discussion_r{}", self.url(repository, entry), comment.id),
        })
    }

    pub(super) fn run(&self, repository: &Repository, run: &CheckRun, field: &Chosen) -> Found<'a> {
        let check = &run.check;
        let value = match field.name.as_str() {
            "checkSuite" => {
                let workflow_run = check.workflow.as_ref().map(|workflow| {
                    json!({
                        "__typename": "WorkflowRun", "databaseId": run.suite, "runNumber": check.run, "event": check.event,
                        "url": format!("{}/{}/actions/runs/{}", self.state.web, repository.name, run.suite),
                        "workflow": {"__typename": "Workflow", "name": workflow},
                    })
                });
                return Found::One(Node::Ready(json!({
                    "__typename": "CheckSuite", "id": format!("CS_{}", run.suite), "databaseId": run.suite,
                    "app": {"__typename": "App", "slug": check.app, "name": check.app_name(), "databaseId": check.app_id()},
                    "workflowRun": workflow_run,
                })));
            }
            "id" => json!(format!("CR_{}", run.id)),
            "databaseId" => json!(run.id),
            "name" => json!(check.name),
            "status" => json!(run.status),
            "conclusion" => json!(run.conclusion),
            "detailsUrl" => json!(run.details_url(&self.state.web, &repository.name)),
            "url" => json!(format!("{}/{}/runs/{}", self.state.web, repository.name, run.id)),
            "title" => json!(check.title),
            "summary" => json!(check.summary),
            "text" => json!(check.text),
            "startedAt" => json!(run.started_ms.map(time)),
            "completedAt" => json!(run.completed_ms.map(time)),
            "isRequired" => return required(repository, &check.name, field),
            "annotations" => {
                let all = run
                    .annotations
                    .iter()
                    .map(|annotation| Node::Ready(annotation.node()));
                return page(field, all.collect(), json!({}));
            }
            other => unreachable!("the schema has a field `{other}` that nobody answers"),
        };
        value.into()
    }

    fn url(&self, repository: &Repository, entry: &Entry) -> String {
        format!("{}/{}/pull/{}", self.state.web, repository.name, entry.number)
    }

    /// Whose account is gone is null.
    fn author(&self, login: &str) -> Value {
        if login == GHOST {
            Value::Null
        } else {
            self.actor(login)
        }
    }

    /// Who did something. GraphQL calls a bot by its name without the brackets.
    pub(super) fn actor(&self, login: &str) -> Value {
        let (of, login) = match login.strip_suffix("[bot]") {
            Some(login) => ("Bot", login),
            None => ("User", login),
        };
        json!({"__typename": of, "login": login, "url": format!("{}/{login}", self.state.web)})
    }
}

pub(super) fn rollup<'a>(repository: &'a Repository, sha: &'a str) -> Found<'a> {
    let rollup = repository.rollup(sha).map(|_| Node::Rollup(repository, sha));
    Found::perhaps(rollup)
}

pub(super) fn contexts<'a>(repository: &'a Repository, sha: &str, field: &Chosen) -> Found<'a> {
    let all = repository.contexts(sha);
    let (mut runs, mut statuses) = (BTreeMap::new(), BTreeMap::new());
    for context in &all {
        match context {
            Context::Run(run) => *runs.entry(run.state()).or_insert(0_u64) += 1,
            Context::Status(status) => *statuses.entry(status.state.as_str()).or_insert(0_u64) += 1,
        }
    }
    let counts = |of: &str, counts: &BTreeMap<&str, u64>| -> Value {
        let one = |(state, count)| json!({"__typename": of, "state": state, "count": count});
        counts.iter().map(one).collect()
    };
    let extra = json!({
        "checkRunCount": runs.values().sum::<u64>(),
        "checkRunCountsByState": counts("CheckRunStateCount", &runs),
        "statusContextCount": statuses.values().sum::<u64>(),
        "statusContextCountsByState": counts("StatusContextStateCount", &statuses),
    });
    let nodes = all.into_iter().map(|context| Node::Context(repository, context));
    page(field, nodes.collect(), extra)
}

pub(super) fn status_field<'a>(repository: &Repository, status: &Status, field: &Chosen) -> Found<'a> {
    let value = match field.name.as_str() {
        "id" => json!(format!("SC_{}", status.id)),
        "context" => json!(status.context),
        "state" => json!(status.state),
        "description" => json!(status.description),
        "targetUrl" => json!(status.target_url),
        "createdAt" => json!(time(status.created_ms)),
        "isRequired" => return required(repository, &status.context, field),
        other => unreachable!("the schema has a field `{other}` that nobody answers"),
    };
    value.into()
}

/// Whether a check has to succeed before a merge. Which pull request's base is meant has to be said.
fn required<'a>(repository: &Repository, name: &str, field: &Chosen) -> Found<'a> {
    if field.arguments.is_empty() {
        let message = "Either pullRequestId or pullRequestNumber has to be given".to_owned();
        return Found::Refused(Refusal::Unprocessable, message);
    }
    json!(repository.required.contains(name)).into()
}
