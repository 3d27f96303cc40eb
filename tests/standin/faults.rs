//! Each fault, for as many requests as it was set for and for those it was set for.

use std::io::ErrorKind;
use std::time::Duration;

use ao_tests::Http;
use ao_tests::github::{Fault, Resource, Side, Where};
use serde_json::json;

use crate::stage::{PATIENCE, Stage, batch};

const WHO: &str = "{ viewer { login } }";

#[test]
fn a_fault_ends_after_its_requests_and_leaves_others_alone() {
    let stage = Stage::new();
    stage.github.fault(Where::Graphql, Fault::Status(500), 2);
    assert_eq!(stage.get("/user").status, 200);
    for status in [500, 500, 200] {
        assert_eq!(stage.try_ask(WHO, &json!({})).unwrap().status, status);
    }
    stage
        .github
        .fault(Where::Path("/web".to_owned()), Fault::Status(503), 1);
    assert_eq!(stage.get("/user").status, 200);
    assert_eq!(stage.get("/repos/acme/web").status, 503);
    assert_eq!(stage.get("/repos/acme/web").status, 200);
    let statuses: Vec<_> = stage
        .github
        .take_requests()
        .iter()
        .map(|request| request.status)
        .collect();
    assert_eq!(statuses, [200, 500, 500, 200, 200, 503, 200].map(Some));
    assert!(stage.github.requests().is_empty());
}

#[test]
fn a_fault_that_is_on_stays_until_it_is_taken_back() {
    let stage = Stage::new();
    stage.github.fault_on(Where::Rest, Fault::Status(502));
    for _ in 0..5 {
        let answer = stage.get("/user");
        assert_eq!(answer.status, 502);
        assert!(answer.header("content-type").unwrap().starts_with("text/html"));
    }
    assert_eq!(
        stage.try_ask(WHO, &json!({})).unwrap().status,
        200,
        "that is the other interface"
    );
    stage.github.clear_faults();
    assert_eq!(stage.get("/user").status, 200);
    assert_eq!(
        stage.github.charged("t0", Resource::Core),
        1,
        "what failed costs nothing"
    );
}

#[test]
fn one_that_hangs_is_charged_and_never_answered() {
    let stage = Stage::new();
    stage.github.fault(Where::All, Fault::Hang, 1);
    let mut waiting = Http::connect(stage.port(), Duration::from_millis(50)).unwrap();
    let authorization = ("Authorization", "Bearer t0");
    let error = waiting.raw("GET", "/user", &[authorization], b"").unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{error}"
    );
    assert!(stage.github.until(PATIENCE, |requests| requests.len() == 1));
    // The others are answered meanwhile.
    assert_eq!(stage.get("/user").status, 200);
    let requests = stage.github.requests();
    assert_eq!((requests[0].status, requests[0].cost), (None, 1));
    assert_eq!((requests[1].status, requests[1].beside), (Some(200), 1));
}

#[test]
fn one_that_is_held_is_answered_when_it_is_let_go() {
    let stage = Stage::new();
    stage.github.fault(Where::All, Fault::Hold, 1);
    std::thread::scope(|scope| {
        let late = scope.spawn(|| stage.get("/user"));
        assert!(stage.github.until(PATIENCE, |requests| requests.len() == 1));
        assert_eq!(stage.get("/rate_limit").json()["rate"]["used"], 1);
        assert!(!late.is_finished());
        stage.github.release();
        assert_eq!(late.join().unwrap().status, 200);
    });
    assert!(!stage.github.until(Duration::ZERO, |requests| requests.len() == 3));
}

#[test]
fn a_connection_that_is_cut_ends_before_the_answer_or_within_it() {
    let stage = Stage::new();
    stage.github.fault(Where::Rest, Fault::Cut, 1);
    stage.github.fault(Where::Rest, Fault::CutInBody, 1);
    let bearer = [("Authorization", "Bearer t0")];
    for _ in 0..2 {
        let error = stage.send("GET", "/user", &bearer, b"").unwrap_err();
        let ends = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
        assert!(ends.contains(&error.kind()), "{error}");
    }
    let requests = stage.github.requests();
    assert_eq!((requests[0].status, requests[1].status), (None, Some(200)));
    assert_eq!(stage.github.charged("t0", Resource::Core), 2);
    // The head of the second one came through, with more promised than was sent.
    stage.github.fault(Where::Rest, Fault::CutInBody, 1);
    let mut raw = Http::connect(stage.port(), PATIENCE).unwrap();
    assert_eq!(raw.stream("/user").unwrap(), 401);
    let body = raw.line().unwrap().unwrap();
    assert!(body.starts_with('{') && !body.ends_with('}'), "{body}");
}

#[test]
fn a_body_can_be_no_json_or_too_much_of_it() {
    let stage = Stage::new();
    stage.github.fault(Where::All, Fault::Garbage, 1);
    let answer = stage.get("/user");
    assert_eq!(answer.status, 200);
    assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_err());
    stage.github.fault(Where::All, Fault::Huge(3_000_000), 1);
    let answer = stage.try_ask(WHO, &json!({})).unwrap();
    assert!(answer.body.len() >= 3_000_000);
    assert!(
        answer.json()["data"]["filler"].is_string(),
        "it is JSON all the same"
    );
}

#[test]
fn any_answer_can_be_put_in_place_of_the_real_one() {
    let stage = Stage::new();
    let body = json!({"message": "Server Error: no logs any more"}).to_string();
    let headers = vec![("x-github-request-id", "1:2".to_owned())];
    stage
        .github
        .fault(Where::Rest, Fault::Answer(410, headers, body.clone()), 1);
    let answer = stage.get("/user");
    assert_eq!((answer.status, answer.body), (410, body.into_bytes()));
}

#[test]
fn a_document_that_asks_for_too_much_is_given_up_and_costs_all_the_same() {
    let stage = Stage::new();
    stage.open(30);
    for status in [502, 504] {
        stage.github.gives_up_above(Some(20), status);
        let large = stage.try_ask(&batch(1..=21, "number"), &json!({})).unwrap();
        assert_eq!(large.status, status);
        assert!(large.json()["message"].as_str().unwrap().contains("in time"));
        assert_eq!(
            stage
                .try_ask(&batch(1..=20, "number"), &json!({}))
                .unwrap()
                .status,
            200
        );
    }
    assert_eq!(stage.github.charged("t0", Resource::Graphql), 4);
    stage.github.gives_up_above(None, 502);
    stage.data(&batch(1..=30, "number"));
    // Aliases within one repository are as many.
    stage.github.gives_up_above(Some(1), 502);
    let two = "{ repository(owner: \"acme\", name: \"web\") { a: pullRequest(number: 1) { number }
        b: pullRequest(number: 2) { number } } }";
    assert_eq!(stage.try_ask(two, &json!({})).unwrap().status, 502);
    stage.github.fault(Where::Graphql, Fault::Timeout(504), 1);
    assert_eq!(stage.try_ask(WHO, &json!({})).unwrap().status, 504);
    assert_eq!(stage.github.charged("t0", Resource::Graphql), 7);
}

#[test]
fn requests_are_written_down_as_they_came() {
    let stage = Stage::new();
    stage.pass(5);
    stage.send("GET", "/api/v3/user", &[], b"").unwrap();
    let variables = json!({"n": "web"});
    let document = "query Who($n: String!) { repository(owner: \"acme\", name: $n) { id } }";
    stage.try_ask(document, &variables).unwrap();
    stage.get_if_not("/user?a=b", "\"x\"");
    let requests = stage.github.requests();
    let [nobody, who, conditional] = requests.as_slice() else {
        panic!("{requests:#?}");
    };
    assert_eq!(
        (nobody.side, nobody.authorized, nobody.token.as_deref()),
        (Side::Rest, false, None)
    );
    assert_eq!(
        (nobody.path(), nobody.status, nobody.at_ms),
        ("/user", Some(401), crate::stage::NOW + 5)
    );
    assert_eq!(
        (who.side, who.method.as_str(), who.token.as_deref()),
        (Side::Graphql, "POST", Some("t0"))
    );
    assert_eq!(
        (who.operation.as_deref(), who.document.as_deref()),
        (Some("Who"), Some(document))
    );
    assert_eq!(who.variables, variables);
    assert_eq!(
        (conditional.path(), conditional.target.as_str()),
        ("/user", "/user?a=b")
    );
    assert_eq!(conditional.if_none_match.as_deref(), Some("\"x\""));
}
