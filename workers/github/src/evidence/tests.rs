use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing::{answer, any_json, saying, wire};

const LEFT: &str = "x-ratelimit-limit: 5000\r\nx-ratelimit-remaining: 9\r\nx-ratelimit-reset: 1\r\n";

fn job() -> String {
    json!({
        "id": 7, "status": "completed", "conclusion": "failure", "completed_at": "2026-06-24T12:00:09Z",
        "steps": [
            {"name": "Set up job", "number": 1, "conclusion": "success", "started_at": "2026-06-24T12:00:00Z"},
            {"name": "Run tests", "number": 2, "conclusion": "failure", "started_at": "2026-06-24T12:00:02Z"},
            {"name": "Upload", "number": 3, "conclusion": "failure", "started_at": "2026-06-24T12:00:04Z"},
        ],
    })
    .to_string()
}

fn repo() -> RemoteRepo {
    RemoteRepo::new("github.com", "acme/web")
}

#[tokio::test]
async fn a_jobs_failing_step_and_its_log_are_read_without_the_token() {
    let log = "2026-06-24T12:00:02.1Z ##[group]Run cargo test\n2026-06-24T12:00:03.0Z ##[error]Process completed with exit code 1.\n\
               2026-06-24T12:00:05.0Z Post job cleanup.\n";
    let (store, stored) = saying(vec![answer(200, "", log)]);
    let (at, asked) = saying(vec![
        answer(200, LEFT, &job()),
        answer(302, &format!("{LEFT}location: {store}/blob?sig=x\r\n"), ""),
    ]);
    let answer = evidence(&wire(&at).await, &repo(), "job:7").await;
    assert_eq!(answer.budget.unwrap().cost, 2);
    assert_eq!(
        answer.said.unwrap(),
        Failure {
            step: Some("Run tests".to_owned()),
            log: "##[group]Run cargo test\n##[error]Process completed with exit code 1.\n".to_owned(),
        }
    );
    let asked = asked.join().unwrap();
    assert!(asked[0].starts_with("GET /repos/acme/web/actions/jobs/7 "));
    assert!(asked[1].starts_with("GET /repos/acme/web/actions/jobs/7/logs "));
    assert!(
        asked
            .iter()
            .all(|asked| asked.contains("authorization: Bearer t0ken"))
    );
    let stored = &stored.join().unwrap()[0];
    assert!(
        stored.starts_with("GET /blob?sig=x ") && !stored.to_lowercase().contains("authorization"),
        "{stored}"
    );
}

#[tokio::test]
async fn what_is_annotated_stands_in_for_a_log_that_is_gone() {
    let annotations = json!([
        {"path": ".github", "start_line": 1, "annotation_level": "failure", "message": "The job was not started: billing"},
        {"path": "src/lib.rs", "start_line": 3, "annotation_level": "warning", "title": "odd", "message": "it is odd"},
    ]);
    let (at, asked) = saying(vec![
        answer(200, "", &job()),
        answer(410, "date: Wed, 24 Jun 2026 13:00:00 GMT\r\n", ""),
        answer(200, "", &annotations.to_string()),
    ]);
    let said = evidence(&wire(&at).await, &repo(), "job:7").await.said.unwrap();
    assert_eq!(
        said.log,
        "failure: The job was not started: billing\nsrc/lib.rs:3: warning: odd: it is odd\n"
    );
    assert!(
        asked.join().unwrap()[2].starts_with("GET /repos/acme/web/check-runs/7/annotations?per_page=50 ")
    );

    let (at, _) = saying(vec![
        answer(200, "", &job()),
        answer(404, "date: Wed, 24 Jun 2026 13:00:00 GMT\r\n", ""),
        answer(404, "", ""),
    ]);
    let said = evidence(&wire(&at).await, &repo(), "job:7").await.said.unwrap();
    assert_eq!((said.step.as_deref(), said.log.as_str()), (Some("Run tests"), ""));
}

#[tokio::test]
async fn a_log_that_is_on_its_way_is_waited_for() {
    let (at, _) = saying(vec![
        answer(200, "", &job()),
        answer(404, "date: Wed, 24 Jun 2026 12:00:20 GMT\r\n", ""),
    ]);
    let said = evidence(&wire(&at).await, &repo(), "job:7").await.said;
    assert!(matches!(said, Err(Refusal::Late(_))), "{said:?}");
}

#[tokio::test]
async fn another_application_says_it_in_its_own_words() {
    let run = json!({"output": {"title": "70 %", "summary": "too few lines", "text": null, "annotations_count": 0}});
    let (at, asked) = saying(vec![answer(404, "", ""), answer(200, "", &run.to_string())]);
    let said = evidence(&wire(&at).await, &repo(), "job:7").await.said.unwrap();
    assert_eq!((said.step, said.log.as_str()), (None, "70 %\n\ntoo few lines"));
    assert!(asked.join().unwrap()[1].starts_with("GET /repos/acme/web/check-runs/7 "));

    let (at, _) = saying(vec![answer(404, LEFT, "")]);
    let answer = evidence(&wire(&at).await, &repo(), "run:7").await;
    assert_eq!(
        (answer.said, answer.budget.unwrap().cost),
        (Err(Refusal::Gone), 1)
    );
}

#[tokio::test]
async fn a_limit_stays_a_limit_and_an_odd_attempt_is_not_asked_about() {
    let (at, _) = saying(vec![
        answer(200, "", &job()),
        answer(429, "retry-after: 5\r\n", ""),
    ]);
    let said = evidence(&wire(&at).await, &repo(), "job:7").await.said;
    assert!(matches!(said, Err(Refusal::Limited { .. })), "{said:?}");
    let nobody = wire("http://127.0.0.1:1").await;
    for attempt in ["", "7", "job:", "job:x", "job:-1", "suite:7", "job:7/logs"] {
        let said = evidence(&nobody, &repo(), attempt).await.said;
        assert!(
            matches!(said, Err(Refusal::NotUnderstood(_))),
            "{attempt}: {said:?}"
        );
    }
}

proptest! {
    #[test]
    fn nothing_said_is_too_odd(odd in any_json("steps|name|conclusion|started_at|path|start_line|message")) {
        let _ = failed_step(&odd);
        let _ = failed_step(&json!({"steps": [odd.clone()]}));
        let _ = annotated(&odd);
        let _ = annotated(&json!([odd]));
    }
}
