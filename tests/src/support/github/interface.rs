//! Which of the interfaces a request is for, and what that one answers and charges.

use serde_json::{Value, json};

use super::budget::{Budget, Stand};
use super::cost::cost;
use super::document::{self, Asked, Chosen};
use super::fault::Fault;
use super::record::Side;
use super::rest;
use super::serve::{Inner, Shared};
use super::state::{State, digits};
use super::wire::{Body, Heard, Reply};
use super::{graphql, wire};

/// What a request asks for.
pub(super) struct Asking<'a> {
    pub(super) side: Side,
    heard: &'a Heard,
    /// The path without the prefix of an enterprise server.
    path: &'a str,
    /// Where this interface is, with that prefix.
    here: String,
    /// Where the logs are.
    logs: String,
    /// The document of a request to GraphQL.
    pub(super) document: Option<String>,
    pub(super) variables: Value,
    /// The same, read.
    asked: Option<Result<Asked, Vec<Value>>>,
}

impl<'a> Asking<'a> {
    pub(super) fn of(heard: &'a Heard, logs: bool, shared: &Shared) -> Self {
        let whole = heard.path();
        let (prefix, path) = match whole.strip_prefix("/api/v3") {
            Some(path) => ("/api/v3", path),
            None => ("", whole),
        };
        let side = match whole {
            _ if logs => Side::Logs,
            "/graphql" | "/api/graphql" => Side::Graphql,
            _ => Side::Rest,
        };
        let mut asking = Self {
            side,
            heard,
            path,
            here: format!("http://127.0.0.1:{}{prefix}", shared.port),
            logs: format!("http://127.0.0.1:{}", shared.logs),
            document: None,
            variables: Value::Null,
            asked: None,
        };
        if side == Side::Graphql
            && let Ok(body) = serde_json::from_slice::<Value>(&heard.body)
            && let Some(query) = body["query"].as_str()
        {
            asking.variables = body["variables"].clone();
            asking.asked = Some(document::read(
                query,
                &asking.variables,
                body["operationName"].as_str(),
            ));
            asking.document = Some(query.to_owned());
        }
        asking
    }

    fn read(&self) -> Option<&Asked> {
        self.asked.as_ref().and_then(|asked| asked.as_ref().ok())
    }

    pub(super) fn operation(&self) -> Option<String> {
        self.read().and_then(|asked| asked.operation.clone())
    }

    /// The numbers of the pull requests that are asked for.
    pub(super) fn pulls(&self) -> Vec<u64> {
        let asked = self.read().into_iter();
        asked
            .flat_map(|asked| asked.chosen.iter().flat_map(Chosen::pulls))
            .collect()
    }

    /// The answer, and what it took from the token's budget.
    pub(super) fn answer(&self, inner: &mut Inner, now: i64) -> (Reply, u64) {
        if self.side == Side::Logs {
            return (self.log(&mut inner.state), 0);
        }
        let Some(token) = self.heard.token() else {
            return (Reply::refusal(401, "Requires authentication"), 0);
        };
        if !inner.state.tokens.contains_key(token) {
            return (Reply::refusal(401, "Bad credentials"), 0);
        }
        match self.side {
            Side::Graphql => self.graphql(inner, token, now),
            _ => self.rest(&mut inner.state, token, now),
        }
    }

    fn rest(&self, state: &mut State, token: &str, now: i64) -> (Reply, u64) {
        if self.path == "/rate_limit" {
            let known = state.token(token);
            let (core, graphql) = (known.core.stand(now), known.graphql.stand(now));
            let value = json!({
                "resources": {"core": limits("core", core), "graphql": limits("graphql", graphql)},
                "rate": limits("core", core),
            });
            return (headed(Reply::json(200, &value), "core", core), 0);
        }
        if let Some(refused) = exhausted(&mut state.token(token).core, now) {
            let reply = Reply::refusal(403, &refused);
            return (headed(reply, "core", state.token(token).core.stand(now)), 0);
        }
        let mut reply = rest::answer(state, token, self.heard, self.path, &self.here, &self.logs);
        if reply.status == 200 {
            let etag = etag(&reply, token);
            let known = self.heard.header("if-none-match").unwrap_or_default();
            if known.split(',').any(|one| weak(one.trim()) == weak(&etag)) {
                reply = Reply::of(304, "application/json; charset=utf-8", Body::Bytes(Vec::new()));
            }
            reply = reply.with("etag", &etag);
        }
        // A 304 costs nothing; everything else does, also what is not there.
        let points = u64::from(reply.status != 304);
        let budget = &mut state.token(token).core;
        budget.charge(now, points);
        (headed(reply, "core", budget.stand(now)), points)
    }

    fn graphql(&self, inner: &mut Inner, token: &str, now: i64) -> (Reply, u64) {
        if self.heard.method != "POST" {
            return (Reply::refusal(404, "Not Found"), 0);
        }
        let Some(asked) = &self.asked else {
            return (Reply::refusal(400, "Problems parsing JSON"), 0);
        };
        let budget = &mut inner.state.token(token).graphql;
        if let Some(refused) = exhausted(budget, now) {
            let errors = json!({"errors": [{"type": "RATE_LIMITED", "message": refused}]});
            return (headed(Reply::json(200, &errors), "graphql", budget.stand(now)), 0);
        }
        let priced = match asked {
            Ok(asked) => cost(asked).map(|cost| (asked, cost)),
            Err(errors) => Err(errors.clone()),
        };
        let (asked, cost) = match priced {
            Ok(priced) => priced,
            Err(errors) => {
                budget.charge(now, 1);
                let reply = Reply::json(200, &json!({"errors": errors}));
                return (headed(reply, "graphql", budget.stand(now)), 1);
            }
        };
        budget.charge(now, cost.points);
        let stand = budget.stand(now);
        if let Some((most, status)) = inner.gateway
            && self.pulls().len() > most
        {
            let reply = Fault::Timeout(status).reply();
            return (reply.expect("a time-out is an answer"), cost.points);
        }
        let value = graphql::answer(&inner.state, token, asked, cost, stand);
        (headed(Reply::json(200, &value), "graphql", stand), cost.points)
    }

    /// A download. Whoever brings a token along has shown it to somebody else, and is refused as the real host does.
    fn log(&self, state: &mut State) -> Reply {
        let text = |status, text: &str| {
            Reply::of(
                status,
                "text/plain; charset=utf-8",
                Body::Bytes(text.as_bytes().to_vec()),
            )
        };
        if self.heard.header("authorization").is_some() {
            return text(400, "InvalidAuthenticationInfo");
        }
        let id = self
            .path
            .strip_prefix("/logs/")
            .and_then(|id| id.parse().ok())
            .unwrap_or_default();
        if self.heard.query("sig") != Some(rest::signature(id)) {
            return text(403, "AuthenticationFailed");
        }
        let mut runs = state
            .repositories
            .values()
            .flat_map(|repository| &repository.runs);
        match runs.find(|run| run.id == id).and_then(|run| run.log.clone()) {
            Some(log) => Reply::of(200, "text/plain; charset=utf-8", wire::Body::Log(log)),
            None => text(404, "BlobNotFound"),
        }
    }
}

/// What is said where nothing is left.
fn exhausted(budget: &mut Budget, now: i64) -> Option<String> {
    let is_empty = budget.stand(now).remaining == 0;
    is_empty.then(|| "API rate limit exceeded for user ID 583231.".to_owned())
}

fn limits(resource: &str, stand: Stand) -> Value {
    json!({
        "limit": stand.limit, "remaining": stand.remaining, "used": stand.used,
        "reset": stand.reset_ms / 1_000, "resource": resource,
    })
}

fn headed(reply: Reply, resource: &str, stand: Stand) -> Reply {
    reply
        .with("x-ratelimit-limit", &stand.limit)
        .with("x-ratelimit-remaining", &stand.remaining)
        .with("x-ratelimit-used", &stand.used)
        .with("x-ratelimit-reset", &(stand.reset_ms / 1_000))
        .with("x-ratelimit-resource", &resource)
}

/// Another token has another one for the same thing, as on GitHub.
fn etag(reply: &Reply, token: &str) -> String {
    let Body::Bytes(bytes) = &reply.body else {
        return String::new();
    };
    format!("W/\"{}\"", digits((bytes, &reply.headers, token)))
}

fn weak(etag: &str) -> &str {
    etag.strip_prefix("W/").unwrap_or(etag)
}
