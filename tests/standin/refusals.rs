//! Who may not see something is told so, and everybody else sees it.

use ao_tests::github::Refusal;
use serde_json::{Value, json};

use crate::stage::{Stage, batch};

/// The errors with their type and path.
fn errors(answer: &Value) -> Vec<(&str, &Value)> {
    let all = answer["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter()
        .map(|error| (error["type"].as_str().unwrap(), &error["path"]))
        .collect()
}

#[test]
fn a_pull_request_that_is_refused_is_null_and_the_others_are_there() {
    let stage = Stage::new();
    stage.open(4);
    for (refusal, word, status) in [
        (Refusal::NotFound, "NOT_FOUND", 404),
        (Refusal::Forbidden, "FORBIDDEN", 403),
        (Refusal::InsufficientScopes, "INSUFFICIENT_SCOPES", 403),
    ] {
        stage.github.refuse_pr("acme/web", 2, Some(refusal));
        let answer = stage.ask(&batch(1..=4, "number"));
        assert_eq!(errors(&answer), [(word, &json!(["p2", "pullRequest"]))]);
        assert_eq!(answer["data"]["p2"], json!({"pullRequest": null}));
        for number in [1, 3, 4] {
            assert_eq!(
                answer["data"][format!("p{number}")]["pullRequest"]["number"],
                number
            );
        }
        assert_eq!(stage.get("/repos/acme/web/pulls/2").status, status);
    }
    stage.github.refuse_pr("acme/web", 2, None);
    stage.data(&batch(1..=4, "number"));
    assert_eq!(stage.get("/repos/acme/web/pulls/2").json()["number"], 2);
}

#[test]
fn one_that_never_was_is_not_found() {
    let stage = Stage::new();
    stage.open(1);
    let answer = stage.ask(&batch([1, 7], "number"));
    assert_eq!(errors(&answer), [("NOT_FOUND", &json!(["p7", "pullRequest"]))]);
    let error = &answer["errors"][0];
    assert_eq!(
        error["message"],
        "Could not resolve to a PullRequest with the number of 7."
    );
    assert_eq!(error["locations"], json!([{"line": 3, "column": 46}]));
    assert_eq!(stage.get("/repos/acme/web/pulls/7").status, 404);
}

#[test]
fn a_deleted_repository_is_null_under_its_alias() {
    let stage = Stage::new();
    stage.open(1);
    stage.github.repository("acme/api");
    let document = "{ a: repository(owner: \"acme\", name: \"web\") { pullRequest(number: 1) { number } }
        b: repository(owner: \"Acme\", name: \"API\") { nameWithOwner } }";
    assert_eq!(stage.data(document)["b"]["nameWithOwner"], "acme/api");
    stage.github.delete_repository("acme/web");
    let answer = stage.ask(document);
    assert_eq!(errors(&answer), [("NOT_FOUND", &json!(["a"]))]);
    assert_eq!(
        answer["data"],
        json!({"a": null, "b": {"nameWithOwner": "acme/api"}})
    );
    for path in [
        "/repos/acme/web",
        "/repos/acme/web/pulls",
        "/repos/acme/web/pulls/1",
    ] {
        assert_eq!(stage.get(path).status, 404, "{path}");
    }
    assert_eq!(stage.get("/repos/ACME/api").json()["full_name"], "acme/api");
}

#[test]
fn a_token_that_lost_its_permission_is_told_so_and_others_are_not() {
    let stage = Stage::new();
    stage.open(1);
    stage.github.token("t1", "hubot");
    let path = "/repos/acme/web/pulls";
    for (refusal, word, status) in [
        (Refusal::NotFound, "NOT_FOUND", 404),
        (Refusal::Forbidden, "FORBIDDEN", 403),
        (Refusal::InsufficientScopes, "INSUFFICIENT_SCOPES", 403),
    ] {
        stage.github.refuse("t0", "acme/web", refusal);
        assert_eq!(stage.get(path).status, status);
        let answer = stage.ask(&batch([1], "number"));
        assert_eq!(errors(&answer), [(word, &json!(["p1"]))]);
        assert_eq!(answer["data"]["p1"], json!(null));
        assert_eq!(stage.get_as("t1", path, &[]).status, 200);
        // This 403 is none of a limit.
        assert_ne!(stage.get(path).header("x-ratelimit-remaining"), Some("0"));
    }
    stage.github.allow("t0", "acme/web");
    assert_eq!(stage.get(path).status, 200);
}

#[test]
fn a_bad_token_and_none_are_401_on_both_sides() {
    let stage = Stage::new();
    stage.data("{ viewer { login } }");
    stage.github.revoke("t0");
    let answer = stage.try_ask("{ viewer { login } }", &json!({})).unwrap();
    assert_eq!(
        (answer.status, answer.json()["message"].as_str()),
        (401, Some("Bad credentials"))
    );
    let answer = stage.get("/user");
    assert_eq!(
        (answer.status, answer.json()["message"].as_str()),
        (401, Some("Bad credentials"))
    );
    for (method, path) in [("GET", "/repos/acme/web"), ("POST", "/graphql")] {
        let answer = stage
            .send(method, path, &[], b"{\"query\":\"{ viewer { login } }\"}")
            .unwrap();
        assert_eq!(answer.status, 401);
        assert_eq!(answer.json()["message"], "Requires authentication");
    }
    stage.github.token("t0", "hubot");
    assert_eq!(stage.get("/user").json()["login"], "hubot");
    assert_eq!(
        stage
            .send("GET", "/user", &[("Authorization", "token t0")], b"")
            .unwrap()
            .status,
        200
    );
}
