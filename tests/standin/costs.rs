//! Costs are those of the published formula, with the figures that the observer is planned by.

use ao_tests::github::{Check, Resource};
use serde_json::json;

use crate::stage::{HOUR, NOW, Stage, batch, header, sha};

/// What a batch of the original asks: two connections.
const SEED: &str = "number commits(last: 1) { nodes { commit { oid statusCheckRollup { state
    contexts(first: 20) { nodes { __typename } pageInfo { hasNextPage endCursor } } } } } }";
/// The light read with two connections.
const LIGHT: &str = "number updatedAt statusCheckRollup { state contexts(first: 1) { totalCount } }
    reviews(last: 1) { totalCount }";
/// Threads with their comments: one connection, and one per thread.
const THREADS: &str = "reviewThreads(last: 50) { nodes { id comments(first: 5) { nodes { id } } } }";

fn cost(document: &str) -> (i64, i64) {
    let stage = Stage::new();
    stage.open(50);
    let data = stage.data(document);
    (
        data["rateLimit"]["cost"].as_i64().unwrap(),
        data["rateLimit"]["nodeCount"].as_i64().unwrap(),
    )
}

#[test]
fn the_planned_reads_cost_what_was_planned() {
    let three = format!("{LIGHT} reviewThreads(first: 1) {{ totalCount }}");
    let detail = format!(
        "{THREADS} contexts: statusCheckRollup {{ contexts(first: 100) {{ totalCount }} }} reviews(last: 10) {{ totalCount }}"
    );
    for (what, document, points) in [
        ("25 of the original", batch(1..=25, SEED), 1),
        ("one alone", batch([1], LIGHT), 1),
        ("none", batch([], LIGHT), 1),
        ("50 with two connections", batch(1..=50, LIGHT), 1),
        ("50 with three: 1.5 is rounded up", batch(1..=50, &three), 2),
        ("49 with three: 1.47 is not", batch(1..=49, &three), 1),
        ("threads of one: 51", batch([1], THREADS), 1),
        ("detail of ten: 530", batch(1..=10, &detail), 5),
    ] {
        assert_eq!(cost(&document).0, points, "{what}");
    }
}

#[test]
fn every_connection_is_asked_once_for_each_parent_there_may_be() {
    // 1 for the threads and 50 for their comments, of which there are 250.
    assert_eq!(cost(&batch([1], THREADS)), (1, 50 + 250));
    // 10 times 51 is 510, halves are rounded up elsewhere.
    assert_eq!(cost(&batch(1..=10, THREADS)), (5, 10 * 300));
    // Fragments and variables count as what they stand for.
    let document = "query Q($n: Int = 100) { rateLimit { cost nodeCount } repository(owner: \"acme\", name: \"web\") {
        pullRequest(number: 1) { ...T } } }
        fragment T on PullRequest { reviewThreads(first: $n) { nodes { comments(last: $n) { nodes { id } } } } }";
    assert_eq!(cost(document), (1, 100 + 10_000));
}

#[test]
fn what_is_there_does_not_change_the_price() {
    let stage = Stage::new();
    stage.open(50);
    let empty = stage.data(&batch(1..=50, LIGHT));
    for number in 1..=50 {
        stage
            .github
            .check("acme/web", &format!("{number:040}"), Check::job("test"));
    }
    let full = stage.data(&batch(1..=50, LIGHT));
    assert_eq!(empty["p1"]["pullRequest"]["statusCheckRollup"], json!(null));
    assert_eq!(
        full["p1"]["pullRequest"]["statusCheckRollup"]["contexts"]["totalCount"],
        1
    );
    assert_eq!(empty["rateLimit"]["cost"], full["rateLimit"]["cost"]);
}

/// The rows of the plan for one hour, over a clock that the test moves.
#[test]
fn an_hour_costs_what_was_planned() {
    let stage = Stage::new();
    stage.open(100);
    let github = &stage.github;
    let (low, high) = (batch(1..=50, LIGHT), batch(51..=100, LIGHT));
    for tick in 0..120 {
        for document in [&low, &high] {
            let answer = stage.try_ask(document, &json!({})).unwrap();
            assert_eq!(
                header(&answer, "x-ratelimit-used"),
                answer.json()["data"]["rateLimit"]["used"]
            );
        }
        assert_eq!(github.charged("t0", Resource::Graphql), 2 * (tick + 1));
        stage.pass(30_000);
    }
    assert_eq!(
        github.charged("t0", Resource::Graphql),
        240,
        "100 pull requests, flat, every 30 s"
    );
    let before = github.charged("t0", Resource::Graphql);
    let hot = batch(1..=20, LIGHT);
    let (cold, colder) = (batch(21..=70, LIGHT), batch(71..=100, LIGHT));
    for tick in 0..120 {
        stage.data(&hot);
        if tick % 10 == 0 {
            stage.data(&cold);
            stage.data(&colder);
        }
        stage.pass(30_000);
    }
    assert_eq!(
        github.charged("t0", Resource::Graphql) - before,
        144,
        "a fifth every 30 s, the rest every 5 min"
    );
    assert_eq!(github.charged("t0", Resource::Core), 0);
}

#[test]
fn looking_at_a_list_that_does_not_change_costs_one_point_an_hour() {
    let stage = Stage::new();
    stage.open(3);
    let path = "/repos/acme/web/pulls?state=all&sort=updated&direction=desc&per_page=100";
    let first = stage.get(path);
    let etag = first.header("etag").unwrap().to_owned();
    for _ in 1..120 {
        stage.pass(30_000);
        assert_eq!(stage.get_if_not(path, &etag).status, 304);
    }
    assert_eq!(stage.github.requests().len(), 120);
    assert_eq!(stage.github.charged("t0", Resource::Core), 1);
    let costs: u64 = stage.github.requests().iter().map(|request| request.cost).sum();
    assert_eq!(costs, 1);
}

#[test]
fn too_many_nodes_and_pages_too_large_are_refused() {
    let stage = Stage::new();
    stage.open(50);
    let refused = |fields: &str| {
        let answer = stage.ask(&batch([1], fields));
        assert!(answer["data"].is_null(), "{answer:#}");
        answer["errors"][0]["type"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    // 50 times 100 × 100 and 50 × 100 more.
    let wide = "reviewThreads(first: 100) { nodes { comments(first: 100) { nodes { id } } } }";
    let answer = stage.ask(&batch(1..=50, wide));
    assert_eq!(answer["errors"][0]["type"], "MAX_NODE_LIMIT_EXCEEDED");
    assert!(
        answer["errors"][0]["message"]
            .as_str()
            .unwrap()
            .contains("505,000"),
        "{answer:#}"
    );
    // One less than half a million is not.
    assert_eq!(
        stage.data(&batch(1..=49, wide))["rateLimit"]["nodeCount"],
        49 * 10_100
    );
    assert_eq!(
        refused("reviews(first: 101) { totalCount }"),
        "EXCESSIVE_PAGINATION"
    );
    assert_eq!(
        refused("reviews(last: -1) { totalCount }"),
        "EXCESSIVE_PAGINATION"
    );
    assert_eq!(refused("reviews { totalCount }"), "MISSING_PAGINATION_BOUNDARIES");
}

#[test]
fn what_a_document_took_is_said_in_three_places() {
    let stage = Stage::new();
    stage.open(50);
    stage.github.check("acme/web", &sha('0'), Check::job("test"));
    let three = format!("{LIGHT} reviewThreads(first: 1) {{ totalCount }}");
    let answer = stage.try_ask(&batch(1..=50, &three), &json!({})).unwrap();
    let data = &answer.json()["data"]["rateLimit"];
    assert_eq!(
        *data,
        json!({"cost": 2, "nodeCount": 150, "limit": 5000, "remaining": 4998, "used": 2,
            "resetAt": "2025-06-15T16:06:40Z"})
    );
    assert_eq!(header(&answer, "x-ratelimit-limit"), 5_000);
    assert_eq!(header(&answer, "x-ratelimit-remaining"), 4_998);
    assert_eq!(header(&answer, "x-ratelimit-used"), 2);
    assert_eq!(header(&answer, "x-ratelimit-reset"), (NOW + HOUR) / 1_000);
    assert_eq!(answer.header("x-ratelimit-resource"), Some("graphql"));
    let request = stage.github.requests().pop().unwrap();
    assert_eq!(
        (request.cost, request.pulls, request.operation.as_deref()),
        (2, 50, Some("Batch"))
    );
}
