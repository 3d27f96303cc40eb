//! Whether a daemon is there, how it ends, and the one form of every refusal.

use std::time::Duration;

use ao_domain::SessionKind;
use serde_json::json;

use crate::support::{Options, Stream, World, request, within};

#[tokio::test]
async fn health_names_the_daemon() {
    let world = World::start().await;
    let expected = |status: &str| {
        json!({
            "status": status, "service": "agent-orchestrator-daemon", "pid": std::process::id(),
            "version": "1.2.3", "dataDir": world.data_dir(),
        })
    };
    assert_eq!(world.get("/healthz").await.json(), expected("ok"));
    assert_eq!(world.get("/readyz").await.json(), expected("ready"));
    world.stage.stop();
    let stopping = world.get("/readyz").await;
    assert_eq!(stopping.refused(), (503, "STOPPING".to_owned()));
    assert_eq!(
        serde_json::Value::from(stopping.refusal().details),
        expected("stopping")
    );
    assert_eq!(world.get("/healthz").await.status, 200, "it answers to the end");
}

#[tokio::test]
async fn shutdown_is_heard_once_and_may_be_said_twice() {
    let world = World::start().await;
    for _ in 0..2 {
        let answer = request("POST", "/shutdown").send(world.port).await;
        assert_eq!(answer.status, 202);
        assert_eq!(answer.json()["status"], "shutting_down");
        within(world.stage.stopping()).await;
    }
}

#[tokio::test]
async fn a_stopping_daemon_reads_on_refuses_writes_and_lets_nobody_wait() {
    let world = World::start().await;
    let web = world.project("web").await;
    let id = world.session(&web, SessionKind::Worker).await;
    let mut stream = Stream::open(world.port, "", &[]).await;
    let kill = format!("/api/v1/sessions/{id}/kill");
    let (killed, ()) = tokio::join!(world.post(&kill, "{}"), async {
        let reader = world.store.reader();
        let stopped = |session: &ao_domain::Session| session.desired == ao_domain::Desired::Stop;
        reader.until(&id, stopped, Duration::from_secs(20)).await.unwrap();
        world.stage.stop();
    });
    assert_eq!(killed.status, 202, "{killed:?}");
    for (method, path) in [
        ("POST", "/api/v1/projects"),
        ("POST", "/api/v1/sessions"),
        ("DELETE", "/api/v1/projects/web"),
    ] {
        let answer = request(method, path).json("{}").send(world.port).await;
        assert_eq!(answer.refused(), (503, "STOPPING".to_owned()), "{method} {path}");
    }
    assert_eq!(
        world.get("/api/v1/sessions").await.json()["sessions"][0]["desired"],
        "stop"
    );
    let mut last = None;
    while let Some(frame) = stream.next().await {
        last = Some(frame);
    }
    let last = last.unwrap();
    assert_eq!(
        (last.event.as_str(), last.json()),
        ("bye", json!({"reason": "stopping"}))
    );
}

#[tokio::test]
async fn what_is_refused_has_one_form() {
    let world = World::start().await;
    let answer = request("GET", "/nowhere")
        .header("x-request-id", "mine")
        .send(world.port)
        .await;
    let refusal = answer.refusal();
    assert_eq!(
        (refusal.error.as_str(), refusal.code.as_str()),
        ("not_found", "ROUTE_NOT_FOUND")
    );
    assert_ne!(refusal.request_id, "mine");
    assert_eq!(
        world.get("/api/v1/projects/").await.refused().1,
        "ROUTE_NOT_FOUND",
        "no slash is passed over"
    );
    let wrong = request("PUT", "/api/v1/sessions")
        .json("{}")
        .send(world.port)
        .await;
    assert_eq!(wrong.refused(), (405, "METHOD_NOT_ALLOWED".to_owned()));
    assert_eq!(wrong.header("allow"), Some("GET,HEAD,POST"));
    let panicked = world
        .post("/api/v1/projects", r#"{"path":"/repos/cursed"}"#)
        .await;
    let refusal = panicked.refusal();
    assert_eq!(
        (panicked.status, refusal.error.as_str(), refusal.code.as_str()),
        (500, "internal", "INTERNAL_ERROR")
    );
    assert!(
        !panicked.body.contains("cursed"),
        "the cause is for the log: {panicked:?}"
    );
    assert_eq!(world.get("/healthz").await.status, 200);
    assert_eq!(
        world.get("/healthz").await.header("x-content-type-options"),
        Some("nosniff")
    );
}

#[tokio::test]
async fn bodies_are_json_and_nothing_but() {
    let world = World::start().await;
    let add = |body: &'static str| world.post("/api/v1/projects", body);
    for (body, said) in [
        ("", "not a JSON object"),
        ("{", "EOF"),
        (r#"["/repos/web"]"#, "not a JSON object"),
        ("[]", "not a JSON object"),
        ("null", "not a JSON object"),
        (r#"{"path":7}"#, "integer `7`"),
        (r#"{"path":"/repos/web"} x"#, "trailing"),
        (
            r#"{"path":"/repos/web","path":"/repos/x"}"#,
            "duplicate field `path`",
        ),
        (
            r#"{"path":"/repos/web","asWorkspace":true}"#,
            "unknown field `asWorkspace`",
        ),
    ] {
        let refusal = add(body).await.refusal();
        assert_eq!(refusal.code, "INVALID_JSON", "{body}");
        assert!(refusal.message.contains(said), "{body}: {}", refusal.message);
    }
    let huge = format!(r#"{{"path":"{}"}}"#, "x".repeat(1024 * 1024));
    let answer = request("POST", "/api/v1/projects")
        .json(&huge)
        .send(world.port)
        .await;
    assert_eq!(answer.refused(), (413, "BODY_TOO_LARGE".to_owned()));
    // The same without saying so first.
    let mut line = crate::support::Line::connect(world.port).await;
    let chunked = request("POST", "/api/v1/projects")
        .header("content-type", "application/json")
        .header("transfer-encoding", "chunked");
    line.say(&chunked).await;
    let answer = line.pour(2 * 1024 * 1024).await;
    assert_eq!(answer.refused(), (413, "BODY_TOO_LARGE".to_owned()));
}

#[tokio::test]
async fn the_tree_is_shown_and_a_child_that_is_not_parked_is_not_resumed() {
    let world = World::with(Options::default()).await;
    let tree = world.get("/api/v1/tree").await.json();
    let nodes = tree["nodes"].as_array().unwrap();
    let paths: Vec<_> = nodes
        .iter()
        .map(|node| (node["path"].as_str().unwrap(), node["depth"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        paths,
        [("ao", 0), ("ao/feed", 1), ("ao/api 1", 1), ("ao/api 2", 1)]
    );
    assert_eq!(
        (&nodes[0]["type"], &nodes[2]["type"]),
        (&json!("supervisor"), &json!("worker"))
    );
    assert_eq!(
        (&nodes[0]["strategy"], &nodes[2]["kind"]),
        (&json!("one_for_one"), &json!("api"))
    );
    assert_eq!(nodes[2]["state"], "running");
    assert_eq!(nodes[2]["beat"]["deadlineMs"], 2_000);
    let nobody = world.post("/api/v1/tree/resume", r#"{"path":"ao/nobody"}"#).await;
    assert_eq!(nobody.refused(), (404, "CHILD_NOT_FOUND".to_owned()));
    let running = world.post("/api/v1/tree/resume", r#"{"path":"ao/feed"}"#).await;
    assert_eq!(running.refused(), (409, "CHILD_NOT_PARKED".to_owned()));
    assert_eq!(running.refusal().detail("state"), Some("running"));
    let root = world.post("/api/v1/tree/crash", r#"{"path":"ao"}"#).await;
    assert_eq!(root.refused(), (409, "CHILD_IS_ROOT".to_owned()));
}
