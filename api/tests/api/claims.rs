//! Claims of pull requests, as far as no forge has to be asked.

use std::time::Duration;

use ao_domain::{ClaimState, Phase, PrState, SessionKind, WorktreeState};
use ao_facts::{Answered, Changes, Moved};
use ao_supervisor::Incarnation;
use serde_json::json;

use crate::prs::facts;
use crate::support::{Options, World, request};

const ORIGIN: &str = "https://forge.example/acme/web";

#[tokio::test]
async fn a_claim_needs_a_session_with_a_worktree_and_a_pull_request_of_its_repository() {
    let world = World::start().await;
    let web = world.project_of("web", Some(ORIGIN)).await;
    let id = world.session(&web, SessionKind::Worker).await;
    let claim = async |body: &str| {
        world
            .post("/api/v1/sessions/web-1/pr/claim", body)
            .await
            .refused()
    };
    let refused = |status, code: &str| (status, code.to_owned());
    assert_eq!(claim(r#"{"pr":"7"}"#).await, refused(422, "SESSION_NO_WORKSPACE"));
    let made = Changes {
        worktree_state: Some(WorktreeState::Active),
        ..Changes::default()
    };
    world.step(&id, Phase::Live, made).await;
    assert_eq!(claim("{}").await, refused(400, "PR_REQUIRED"));
    assert_eq!(
        claim(r#"{"pr":"7","force":true}"#).await,
        refused(400, "INVALID_JSON")
    );
    assert_eq!(claim(r#"{"pr":"-7"}"#).await, refused(400, "INVALID_PR_REF"));
    assert_eq!(
        claim(r#"{"pr":"https://forge.example/acme/api/pull/7"}"#).await,
        refused(422, "PR_PROJECT_MISMATCH")
    );
    // Of a project that is at no forge nothing can be claimed.
    let plain = world.project("plain").await;
    let other = world.session(&plain, SessionKind::Worker).await;
    let made = Changes {
        worktree_state: Some(WorktreeState::Active),
        ..Changes::default()
    };
    world.step(&other, Phase::Live, made).await;
    for (pr, status, code) in [
        ("7", 400, "INVALID_PR_REF"),
        (
            "https://forge.example/acme/web/pull/7",
            422,
            "PR_PROJECT_MISMATCH",
        ),
    ] {
        let body = json!({ "pr": pr }).to_string();
        let answer = world.post("/api/v1/sessions/plain-1/pr/claim", &body).await;
        assert_eq!(answer.refused(), refused(status, code));
    }
    // Who is inside a session takes nothing over.
    let inside = request("POST", "/api/v1/sessions/web-1/pr/claim")
        .header("ao-session", "web-1")
        .json(r#"{"pr":"7"}"#)
        .send(world.port)
        .await;
    assert_eq!(inside.refused(), refused(403, "INSIDE_SESSION"));
    assert!(world.store.reader().open_claims().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_claim_that_has_no_answer_yet_is_said_to_have_none_and_is_the_same_when_it_is_asked_again() {
    let options = Options {
        patience: Duration::from_millis(200),
        ..Options::default()
    };
    let world = World::with(options).await;
    let web = world.project_of("web", Some(ORIGIN)).await;
    let id = world.session(&web, SessionKind::Worker).await;
    let made = Changes {
        worktree_state: Some(WorktreeState::Active),
        ..Changes::default()
    };
    world.step(&id, Phase::Live, made).await;
    for _ in 0..2 {
        let answer = world
            .post("/api/v1/sessions/web-1/pr/claim", r#"{"pr":"7"}"#)
            .await;
        assert_eq!((answer.status, &answer.json()["ok"]), (202, &json!(false)));
    }
    let open = world.store.reader().open_claims().await.unwrap();
    assert_eq!(open.len(), 1);
    let seen = Answered::Seen(Box::new(facts(7, "feature", PrState::Open)));
    let observations = world.store.observations();
    let moved = observations
        .claim_answered(&Incarnation::detached(), open[0], seen, world.now())
        .await;
    assert_eq!(moved.unwrap(), Moved::Yes);
    assert_eq!(world.row(&id).await.prs.len(), 1);
}

#[tokio::test]
async fn a_spawn_with_a_claim_is_one_request_under_its_key() {
    let options = Options {
        patience: Duration::from_millis(200),
        ..Options::default()
    };
    let world = World::with(options).await;
    world.project_of("web", Some(ORIGIN)).await;
    let body = r##"{"projectId":"web","command":["make"],"claimPr":"#7","allowTakeover":false}"##;
    for _ in 0..2 {
        let answer = request("POST", "/api/v1/sessions")
            .header("idempotency-key", "the-key")
            .json(body)
            .send(world.port)
            .await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        let answer = answer.json();
        assert_eq!(answer["session"]["base"], "ao/pull/7");
        assert_eq!(
            answer["claim"],
            json!({"repository": "forge.example/acme/web", "number": 7, "state": "asked", "takenOverFrom": []})
        );
    }
    let open = world.store.reader().open_claims().await.unwrap();
    assert_eq!(open.len(), 1);
    let claim = world.store.reader().claim(open[0]).await.unwrap().unwrap();
    assert_eq!(
        (claim.state, claim.takeover, claim.starts),
        (ClaimState::Asked, false, true)
    );
}
