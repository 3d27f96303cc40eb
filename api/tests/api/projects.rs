//! Projects: what can be registered, under which name, and when one can go.

use ao_domain::{Phase, SessionKind};
use ao_facts::Changes;
use serde_json::json;

use crate::support::{World, request};

#[tokio::test]
async fn a_repository_is_registered_listed_looked_at_and_removed() {
    let world = World::start().await;
    assert_eq!(
        world.get("/api/v1/projects").await.json(),
        json!({"projects": []})
    );
    let added = world
        .post(
            "/api/v1/projects",
            r#"{"path":"  /repos/My App  ","projectId":null,"name":" "}"#,
        )
        .await;
    assert_eq!(added.status, 201);
    let project = json!({
        "id": "my-app", "name": "my-app", "path": "/repos/My App", "kind": "single_repo",
        "repo": "git@example.org:x.git", "defaultBranch": "origin/main", "config": {},
    });
    assert_eq!(added.json(), json!({"project": project}));
    assert_eq!(
        world.get("/api/v1/projects/my-app").await.json(),
        json!({"status": "ok", "project": project})
    );
    let listed = json!({
        "id": "my-app", "name": "my-app", "sessionPrefix": "my-app", "path": "/repos/My App", "kind": "single_repo",
    });
    assert_eq!(
        world.get("/api/v1/projects").await.json(),
        json!({"projects": [listed]})
    );
    let remove = request("DELETE", "/api/v1/projects/my-app");
    let removed = remove.send(world.port).await.json();
    assert_eq!(
        removed,
        json!({"projectId": "my-app", "removedStorageDir": false})
    );
    assert_eq!(
        remove.send(world.port).await.refused(),
        (404, "PROJECT_NOT_FOUND".to_owned())
    );
    assert_eq!(
        world.get("/api/v1/projects/my-app").await.refused(),
        (404, "PROJECT_NOT_FOUND".to_owned())
    );
    assert_eq!(
        world.get("/api/v1/projects").await.json(),
        json!({"projects": []})
    );
}

#[tokio::test]
async fn what_cannot_be_worked_on_is_refused_with_the_next_step() {
    let world = World::start().await;
    let inside = format!("{}/worktrees/web/web-1", world.data_dir());
    for (path, status, code, said) in [
        ("", 400, "PATH_REQUIRED", "absolute path"),
        ("   ", 400, "PATH_REQUIRED", "absolute path"),
        ("repos/web", 400, "INVALID_PATH", "starts with `/`"),
        (".", 400, "INVALID_PATH", "starts with `/`"),
        ("~/web", 400, "INVALID_PATH", "starts with `/`"),
        ("/repos/gone", 400, "INVALID_PATH", "`/repos/gone` is not there"),
        (&inside, 400, "INVALID_PATH", "a session's worktree"),
        ("/repos/plain", 400, "NOT_A_GIT_REPO", "git init"),
        ("/repos/inside", 400, "NOT_A_GIT_REPO", "register that one"),
        ("/repos/bare", 400, "BARE_REPOSITORY", "clone it"),
        ("/repos/fresh", 400, "NO_COMMITS", "make the first one"),
        ("/repos/stuck", 500, "GIT_FAILED", "timed out"),
        ("/repos/...", 400, "INVALID_PROJECT_ID", "--id"),
    ] {
        let answer = world
            .post("/api/v1/projects", &json!({"path": path}).to_string())
            .await;
        let refusal = answer.refusal();
        assert_eq!((answer.status, refusal.code.as_str()), (status, code), "{path}");
        assert!(refusal.message.contains(said), "{path}: {}", refusal.message);
    }
    for id in ["a/b", "..", "-x", "ä"] {
        let body = json!({"path": "/repos/web", "projectId": id}).to_string();
        assert_eq!(
            world.post("/api/v1/projects", &body).await.refused(),
            (400, "INVALID_PROJECT_ID".to_owned())
        );
        let path = format!(
            "/api/v1/projects/{}",
            id.replace('/', "%2F").replace('ä', "%C3%A4")
        );
        assert_eq!(
            world.get(&path).await.refused(),
            (400, "INVALID_PROJECT_ID".to_owned()),
            "{path}"
        );
    }
    assert_eq!(world.head().await, 0, "nothing was written");
}

#[tokio::test]
async fn a_path_and_a_name_are_taken_once() {
    let world = World::start().await;
    world.project("web").await;
    let again = world
        .post("/api/v1/projects", r#"{"path":"/repos/web","projectId":"other"}"#)
        .await;
    assert_eq!(again.refused(), (409, "PATH_ALREADY_REGISTERED".to_owned()));
    assert_eq!(again.refusal().detail("existingProjectId"), Some("web"));
    let named = world
        .post("/api/v1/projects", r#"{"path":"/elsewhere/web"}"#)
        .await;
    assert_eq!(named.refused(), (409, "ID_ALREADY_REGISTERED".to_owned()));
    assert_eq!(named.refusal().detail("existingProjectId"), Some("web"));
    assert_eq!(named.refusal().detail("suggestedProjectId"), Some("web1"));
    assert!(named.refusal().message.contains("--id web1"));
}

#[tokio::test]
async fn what_is_given_of_a_project_is_set_and_nothing_else() {
    let world = World::start().await;
    world.project("web").await;
    let path = "/api/v1/projects/web/config";
    let put = async |path: &str, body: &str| request("PUT", path).json(body).send(world.port).await;
    let config = async || world.get("/api/v1/projects/web").await.json()["project"]["config"].take();
    let set = put(
        path,
        r#"{"config":{"reclaimOnMerge":true,"env":{"A":"1","B":"2"},"symlinks":["x"]}}"#,
    )
    .await;
    let all = json!({"reclaimOnMerge": true, "env": {"A": "1", "B": "2"}, "symlinks": ["x"]});
    assert_eq!((set.status, &set.json()["project"]["config"]), (200, &all));
    for (patch, then) in [
        (r#"{"config":{}}"#, all.clone()),
        (
            r#"{"config":{"env":{"B":null},"postCreate":["make"]}}"#,
            json!({"reclaimOnMerge": true, "env": {"A": "1"}, "symlinks": ["x"], "postCreate": ["make"]}),
        ),
        (
            r#"{"config":{"reclaimOnMerge":true},"clear":true}"#,
            json!({"reclaimOnMerge": true}),
        ),
    ] {
        let kept = put(path, patch).await;
        assert_eq!((kept.status, config().await), (200, then), "{patch}");
    }
    let before = world.head().await;
    for (slip, code) in [
        (r#"{"config":{"reclaimonmerge":false}}"#, "INVALID_PROJECT_CONFIG"),
        (r#"{"reclaimOnMerge":false}"#, "INVALID_JSON"),
        (r#"{"config":{"reclaimOnMerge":"off"}}"#, "INVALID_PROJECT_CONFIG"),
        (r#"{"config":{"symlinks":["../x"]}}"#, "INVALID_PROJECT_CONFIG"),
        (r#"{"config":{"runtime":"screen"}}"#, "INVALID_PROJECT_CONFIG"),
        (
            r#"{"config":{"worker":{"agent":"nobody"}}}"#,
            "INVALID_PROJECT_CONFIG",
        ),
        (
            r#"{"config":{"reviewers":[{"harness":"nobody"}]}}"#,
            "INVALID_PROJECT_CONFIG",
        ),
        ("{}", "INVALID_JSON"),
    ] {
        let refused = put(path, slip).await.refused();
        assert_eq!(refused, (400, code.to_owned()), "{slip}");
    }
    let off = r#"{"config":{"reclaimOnMerge":false}}"#;
    let inside = request("PUT", path).json(off).header("ao-session", "web-1");
    assert_eq!(
        inside.send(world.port).await.refused(),
        (403, "INSIDE_SESSION".to_owned())
    );
    assert_eq!(
        (config().await, world.head().await),
        (json!({"reclaimOnMerge": true}), before)
    );
    for body in [off, r#"{"config":{}}"#] {
        assert_eq!(
            put("/api/v1/projects/nobody/config", body).await.refused(),
            (404, "PROJECT_NOT_FOUND".to_owned())
        );
    }
    put(path, off).await;
    assert_eq!(config().await, json!({}));
    assert!(world.head().await > before, "the feed tells of it");
}

#[tokio::test]
async fn a_vanished_repository_is_degraded_and_says_why() {
    let world = World::start().await;
    world.project("gone").await;
    let got = world.get("/api/v1/projects/gone").await.json();
    assert_eq!(got["status"], "degraded");
    assert_eq!(got["project"]["resolveError"], "`/repos/gone` is not there");
}

#[tokio::test]
async fn a_project_that_is_worked_on_stays() {
    let world = World::start().await;
    let web = world.project("web").await;
    let id = world.session(&web, SessionKind::Worker).await;
    let remove = request("DELETE", "/api/v1/projects/web");
    let refused = remove.send(world.port).await;
    assert_eq!(refused.refused(), (409, "PROJECT_HAS_LIVE_SESSIONS".to_owned()));
    assert_eq!(refused.refusal().details["sessionIds"], json!(["web-1"]));
    world.step(&id, Phase::Ended, Changes::default()).await;
    assert_eq!(remove.send(world.port).await.status, 200);
    let session = world.get("/api/v1/sessions/web-1").await.json();
    assert_eq!(session["session"]["phase"], "ended", "its history stays");
}
