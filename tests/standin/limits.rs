//! Budgets run out, and other limits too.

use ao_tests::github::{Fault, Resource, Where};
use serde_json::json;

use crate::stage::{HOUR, NOW, Stage, batch, header};

#[test]
fn rest_without_points_left_is_403_until_the_window_ends() {
    let stage = Stage::new();
    stage.github.spend("t0", Resource::Core, 4_999);
    let last = stage.get("/repos/acme/web");
    assert_eq!((last.status, header(&last, "x-ratelimit-remaining")), (200, 0));
    let refused = stage.get("/repos/acme/web");
    assert_eq!(
        (refused.status, header(&refused, "x-ratelimit-remaining")),
        (403, 0)
    );
    assert!(
        refused.json()["message"]
            .as_str()
            .unwrap()
            .starts_with("API rate limit exceeded")
    );
    assert_eq!(header(&refused, "x-ratelimit-reset"), (NOW + HOUR) / 1_000);
    assert_eq!(
        stage.github.charged("t0", Resource::Core),
        1,
        "a refusal costs nothing"
    );
    // GraphQL has its own, and another token too.
    stage.github.token("t1", "hubot");
    assert_eq!(stage.get_as("t1", "/repos/acme/web", &[]).status, 200);
    stage.data("{ viewer { login } }");
    stage.pass(HOUR - 1);
    assert_eq!(stage.get("/repos/acme/web").status, 403);
    stage.pass(1);
    let again = stage.get("/repos/acme/web");
    assert_eq!(
        (again.status, header(&again, "x-ratelimit-remaining")),
        (200, 4_999)
    );
}

#[test]
fn graphql_without_points_left_is_200_with_an_error() {
    let stage = Stage::new();
    stage.open(1);
    stage.github.spend("t0", Resource::Graphql, 5_000);
    let answer = stage.try_ask(&batch([1], "number"), &json!({})).unwrap();
    assert_eq!(
        (answer.status, header(&answer, "x-ratelimit-remaining")),
        (200, 0)
    );
    let body = answer.json();
    assert_eq!(
        (&body["errors"][0]["type"], &body["data"]),
        (&json!("RATE_LIMITED"), &json!(null))
    );
    assert_eq!(stage.get("/repos/acme/web").status, 200);
    stage.pass(HOUR);
    assert_eq!(stage.data(&batch([1], "number"))["rateLimit"]["used"], 1);
}

#[test]
fn another_user_of_the_token_is_seen_in_what_remains_but_not_in_what_was_charged() {
    let stage = Stage::new();
    stage.data("{ viewer { login } }");
    stage.github.spend("t0", Resource::Graphql, 3_000);
    let data = stage.data("{ rateLimit { remaining used } }");
    assert_eq!(data["rateLimit"], json!({"remaining": 1_998, "used": 3_002}));
    assert_eq!(stage.github.charged("t0", Resource::Graphql), 2);
    assert_eq!(stage.github.stand("t0", Resource::Graphql).remaining, 1_998);
}

#[test]
fn asking_how_it_stands_is_free_and_always_answered() {
    let stage = Stage::new();
    stage.github.limit("t0", Resource::Core, 15);
    stage.github.spend("t0", Resource::Core, 15);
    for path in ["/rate_limit", "/api/v3/rate_limit"] {
        let answer = stage.get(path);
        let body = answer.json();
        assert_eq!(answer.status, 200);
        assert_eq!(
            body["resources"]["core"],
            json!({"limit": 15, "remaining": 0, "used": 15, "reset": (NOW + HOUR) / 1_000, "resource": "core"})
        );
        assert_eq!(body["resources"]["graphql"]["remaining"], 5_000);
    }
    assert_eq!(stage.github.charged("t0", Resource::Core), 0);
}

#[test]
fn secondary_limits_say_when_to_come_again_or_do_not() {
    let stage = Stage::new();
    for (status, retry_after) in [(403, Some(60)), (429, Some(7)), (403, None)] {
        stage
            .github
            .fault(Where::All, Fault::Secondary { status, retry_after }, 1);
        let answer = stage.try_ask("{ viewer { login } }", &json!({})).unwrap();
        assert_eq!(answer.status, status);
        assert_eq!(
            answer.header("retry-after"),
            retry_after.map(|seconds| seconds.to_string()).as_deref()
        );
        assert!(
            answer.json()["message"]
                .as_str()
                .unwrap()
                .contains("secondary rate limit")
        );
        assert_ne!(answer.header("x-ratelimit-remaining"), Some("0"));
    }
    assert_eq!(stage.github.charged("t0", Resource::Graphql), 0);
    stage.data("{ viewer { login } }");
}
