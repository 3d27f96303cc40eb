//! Answers a document out of the state, field by field.

use serde_json::{Map, Value, json};

use super::budget::Stand;
use super::check::Context;
use super::cost::Cost;
use super::document::{Asked, Chosen};
use super::fields::{contexts, rollup, status_field};
use super::pull::{Entry, ReviewThread};
use super::refusal::Refusal;
use super::state::{Repository, State, time};

/// The answer's body. An alias that cannot be answered is null and has an entry in `errors`; the others are answered.
pub(super) fn answer(state: &State, token: &str, asked: &Asked, cost: Cost, stand: Stand) -> Value {
    let mut answer = Answer {
        state,
        token,
        cost,
        stand,
        errors: Vec::new(),
    };
    let data = answer.object(&Node::Query, &asked.chosen, &mut Vec::new());
    if answer.errors.is_empty() {
        json!({"data": data})
    } else {
        json!({"data": data, "errors": answer.errors})
    }
}

/// What a field's value can be.
pub(super) enum Node<'a> {
    Query,
    Repository(&'a Repository),
    Pull(&'a Repository, &'a Entry),
    /// The head: the stand-in knows no other commit of a pull request.
    PullCommit(&'a Repository, &'a str),
    Commit(&'a Repository, &'a str),
    Rollup(&'a Repository, &'a str),
    Thread(&'a Repository, &'a Entry, &'a ReviewThread),
    Context(&'a Repository, Context<'a>),
    /// A page of a connection, and what else the connection has.
    Page(Page<'a>),
    /// Something small, ready to be picked from, with its `__typename`.
    Ready(Value),
}

pub(super) struct Page<'a> {
    nodes: Vec<Node<'a>>,
    of: String,
    extra: Value,
}

/// What a field comes to.
pub(super) enum Found<'a> {
    Value(Value),
    One(Node<'a>),
    Many(Vec<Node<'a>>),
    /// Null, with an error: its type and its message.
    Refused(Refusal, String),
}

impl From<Value> for Found<'_> {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

impl<'a> Found<'a> {
    pub(super) fn perhaps(node: Option<Node<'a>>) -> Self {
        node.map_or(Self::Value(Value::Null), Self::One)
    }
}

impl Node<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Query => "Query",
            Self::Repository(_) => "Repository",
            Self::Pull(..) => "PullRequest",
            Self::PullCommit(..) => "PullRequestCommit",
            Self::Commit(..) => "Commit",
            Self::Rollup(..) => "StatusCheckRollup",
            Self::Thread(..) => "PullRequestReviewThread",
            Self::Context(_, Context::Run(_)) => "CheckRun",
            Self::Context(_, Context::Status(_)) => "StatusContext",
            Self::Page(page) => &page.of,
            Self::Ready(value) => value["__typename"].as_str().unwrap_or_default(),
        }
    }
}

pub(super) struct Answer<'a> {
    pub(super) state: &'a State,
    token: &'a str,
    cost: Cost,
    stand: Stand,
    errors: Vec<Value>,
}

impl<'a> Answer<'a> {
    fn object(&mut self, node: &Node<'a>, chosen: &[Chosen], path: &mut Vec<Value>) -> Value {
        let mut object = Map::new();
        for field in chosen {
            if field.only.as_deref().is_some_and(|only| only != node.name()) {
                continue;
            }
            path.push(json!(field.key));
            let found = if field.name == "__typename" {
                Found::Value(json!(node.name()))
            } else {
                self.find(node, field)
            };
            let value = match found {
                Found::Value(value) => value,
                Found::One(Node::Ready(Value::Null)) => Value::Null,
                Found::One(node) => self.object(&node, &field.chosen, path),
                Found::Many(nodes) => {
                    let mut all = Vec::new();
                    for (at, node) in nodes.iter().enumerate() {
                        path.push(json!(at));
                        all.push(match node {
                            Node::Context(
                                Repository {
                                    checks_refused: Some(refusal),
                                    ..
                                },
                                _,
                            ) => {
                                let (at, message) = (field.locations(), refusal.message());
                                self.errors.push(refusal.error(path, &at, message));
                                Value::Null
                            }
                            node => self.object(node, &field.chosen, path),
                        });
                        path.pop();
                    }
                    Value::Array(all)
                }
                Found::Refused(refusal, message) => {
                    self.errors
                        .push(refusal.error(path, &field.locations(), &message));
                    Value::Null
                }
            };
            // The same place for several types of a union: only one of them is there.
            match (object.get_mut(&field.key), value) {
                (Some(Value::Object(known)), Value::Object(more)) => known.extend(more),
                (_, value) => {
                    object.insert(field.key.clone(), value);
                }
            }
            path.pop();
        }
        Value::Object(object)
    }

    fn find(&self, node: &Node<'a>, field: &Chosen) -> Found<'a> {
        match node {
            Node::Query => self.query(field),
            Node::Repository(repository) => self.repository(repository, field),
            Node::Pull(repository, entry) => self.pull(repository, entry, field),
            Node::PullCommit(repository, sha) => match field.name.as_str() {
                "commit" => Found::One(Node::Commit(repository, sha)),
                _ => json!(format!("PURC_{}_{sha}", repository.id)).into(),
            },
            Node::Commit(repository, sha) => match field.name.as_str() {
                "oid" => json!(sha).into(),
                "statusCheckRollup" => rollup(repository, sha),
                _ => json!(format!("C_{}_{sha}", repository.id)).into(),
            },
            Node::Rollup(repository, sha) => match field.name.as_str() {
                "state" => {
                    let outcome = repository
                        .rollup(sha)
                        .expect("without contexts there is no rollup");
                    json!(outcome.state()).into()
                }
                "contexts" => contexts(repository, sha, field),
                _ => json!(format!("SCR_{}_{sha}", repository.id)).into(),
            },
            Node::Thread(repository, entry, thread) => self.thread(repository, entry, thread, field),
            Node::Context(repository, Context::Run(run)) => self.run(repository, run, field),
            Node::Context(repository, Context::Status(status)) => status_field(repository, status, field),
            Node::Page(page) => match field.name.as_str() {
                // The nodes are taken once per field that asks for them: an alias of `nodes` is rare enough to copy.
                "nodes" => Found::Many(page.nodes.iter().map(Node::again).collect()),
                name => ready(&page.extra[name]),
            },
            Node::Ready(value) => ready(&value[field.name.as_str()]),
        }
    }

    fn query(&self, field: &Chosen) -> Found<'a> {
        let text = |name: &str| {
            field
                .arguments
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        match field.name.as_str() {
            "rateLimit" => Found::One(Node::Ready(json!({
                "__typename": "RateLimit", "cost": self.cost.points, "nodeCount": self.cost.nodes,
                "limit": self.stand.limit, "remaining": self.stand.remaining, "used": self.stand.used,
                "resetAt": time(self.stand.reset_ms),
            }))),
            "viewer" => {
                let login = self
                    .state
                    .tokens
                    .get(self.token)
                    .map(|token| token.login.as_str());
                Found::One(Node::Ready(self.actor(login.unwrap_or_default())))
            }
            _ => {
                let name = format!("{}/{}", text("owner"), text("name"));
                match self.state.sight(self.token, &name) {
                    Ok(repository) => Found::One(Node::Repository(repository)),
                    Err(refusal) => refusal.found("Repository", &format!("the name '{name}'")),
                }
            }
        }
    }

    fn repository(&self, repository: &'a Repository, field: &Chosen) -> Found<'a> {
        match field.name.as_str() {
            "pullRequest" => {
                let number = field
                    .arguments
                    .get("number")
                    .and_then(Value::as_u64)
                    .unwrap_or_default();
                let whose = format!("the number of {number}");
                match repository.pulls.get(&number) {
                    None => Refusal::NotFound.found("PullRequest", &whose),
                    Some(Entry {
                        refused: Some(refusal),
                        ..
                    }) => refusal.found("PullRequest", &whose),
                    Some(entry) => Found::One(Node::Pull(repository, entry)),
                }
            }
            "nameWithOwner" => json!(repository.name).into(),
            _ => json!(format!("R_{}", repository.id)).into(),
        }
    }
}

impl<'a> Node<'a> {
    fn again(&self) -> Self {
        match self {
            Self::Query => Self::Query,
            Self::Repository(repository) => Self::Repository(repository),
            Self::Pull(repository, entry) => Self::Pull(repository, entry),
            Self::PullCommit(repository, sha) => Self::PullCommit(repository, sha),
            Self::Commit(repository, sha) => Self::Commit(repository, sha),
            Self::Rollup(repository, sha) => Self::Rollup(repository, sha),
            Self::Thread(repository, entry, thread) => Self::Thread(repository, entry, thread),
            Self::Context(repository, context) => Self::Context(repository, *context),
            Self::Page(page) => Self::Page(Page {
                nodes: page.nodes.iter().map(Node::again).collect(),
                of: page.of.clone(),
                extra: page.extra.clone(),
            }),
            Self::Ready(value) => Self::Ready(value.clone()),
        }
    }
}

/// A part of something ready: an object is picked from in turn.
pub(super) fn ready<'a>(value: &Value) -> Found<'a> {
    match value {
        Value::Object(_) => Found::One(Node::Ready(value.clone())),
        Value::Array(all) => Found::Many(all.iter().cloned().map(Node::Ready).collect()),
        _ => value.clone().into(),
    }
}

/// The page of a connection that its arguments mean. A cursor is a place, which clients must not read.
pub(super) fn page<'a>(field: &Chosen, mut nodes: Vec<Node<'a>>, mut extra: Value) -> Found<'a> {
    let total = nodes.len();
    let argument = |name: &str| field.arguments.get(name);
    let place = |name: &str| -> Result<Option<usize>, Found<'a>> {
        let Some(cursor) = argument(name).and_then(Value::as_str) else {
            return Ok(None);
        };
        let place = cursor
            .strip_prefix(CURSOR)
            .and_then(|digits| usize::from_str_radix(digits, 16).ok());
        place.map(Some).ok_or_else(|| {
            let message = format!("`{cursor}` does not appear to be a valid cursor.");
            Found::Refused(Refusal::InvalidCursor, message)
        })
    };
    let (after, before) = match (place("after"), place("before")) {
        (Ok(after), Ok(before)) => (after, before),
        (Err(refused), _) | (_, Err(refused)) => return refused,
    };
    let mut start = after.map_or(0, |at| at + 1).min(total);
    let mut end = before.unwrap_or(total).clamp(start, total);
    let size = |name: &str| {
        let size = argument(name).and_then(Value::as_u64);
        size.and_then(|size| usize::try_from(size).ok())
    };
    if let Some(first) = size("first") {
        end = end.min(start + first);
    }
    if let Some(last) = size("last") {
        start = start.max(end.saturating_sub(last));
    }
    nodes.truncate(end);
    nodes.drain(..start);
    let cursor = |at: usize| (start < end).then(|| format!("{CURSOR}{at:x}"));
    extra["totalCount"] = json!(total);
    extra["pageInfo"] = json!({
        "__typename": "PageInfo", "hasNextPage": end < total, "hasPreviousPage": start > 0,
        "startCursor": cursor(start), "endCursor": cursor(end.saturating_sub(1)),
    });
    Found::One(Node::Page(Page {
        nodes,
        of: field.of.clone(),
        extra,
    }))
}

/// What every cursor begins with.
const CURSOR: &str = "Y3Vyc29yOnYyOpK0";
