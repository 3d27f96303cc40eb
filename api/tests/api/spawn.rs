//! Spawning: what is refused before anything is written, and how the answer waits.

use std::time::Duration;

use ao_domain::{EndReason, Phase, SessionKind};
use ao_facts::{Changes, Filter};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Line, Options, World, request, within};

fn order(more: &Value) -> String {
    let mut order = json!({"projectId": "web", "command": ["make", "test"]});
    order
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    order.to_string()
}

async fn sessions(world: &World) -> usize {
    world
        .store
        .reader()
        .sessions(&Filter::default())
        .await
        .unwrap()
        .len()
}

#[tokio::test]
async fn what_cannot_come_up_is_refused_before_a_row_is_written() {
    let world = World::start().await;
    world.project("web").await;
    for name in ["gone", "plain", "bare", "fresh", "stuck"] {
        world.project(name).await;
    }
    let head = world.head().await;
    let claude = json!({"harness": "claude-code", "command": null});
    let too_long = json!({"harness": "claude-code", "command": null, "prompt": "x".repeat(100 * 1024 + 1)});
    for (more, status, code, said) in [
        (json!({"projectId": ""}), 400, "PROJECT_ID_REQUIRED", "projectId"),
        (json!({"projectId": "a/b"}), 400, "INVALID_PROJECT_ID", "a/b"),
        (
            json!({"projectId": "nobody"}),
            404,
            "PROJECT_NOT_FOUND",
            "ao project ls",
        ),
        (
            json!({"projectId": "gone"}),
            400,
            "PROJECT_NOT_RESOLVABLE",
            "`/repos/gone` is not there",
        ),
        (
            json!({"projectId": "plain"}),
            400,
            "PROJECT_NOT_RESOLVABLE",
            "git init",
        ),
        (json!({"projectId": "bare"}), 400, "BARE_REPOSITORY", "clone it"),
        (
            json!({"projectId": "fresh"}),
            400,
            "NO_COMMITS",
            "make the first one",
        ),
        (json!({"projectId": "stuck"}), 500, "GIT_FAILED", "timed out"),
        (
            json!({"kind": "boss"}),
            400,
            "INVALID_KIND",
            "worker, orchestrator",
        ),
        (
            json!({"harness": "clippy"}),
            400,
            "UNKNOWN_HARNESS",
            "shell, claude-code, ghost",
        ),
        (
            json!({"harness": "ghost"}),
            400,
            "AGENT_BINARY_NOT_FOUND",
            "install it",
        ),
        (json!({"command": null}), 400, "COMMAND_REQUIRED", "-- make test"),
        (json!({"command": []}), 400, "COMMAND_REQUIRED", "-- make test"),
        (json!({"command": [""]}), 400, "INVALID_COMMAND", "a program"),
        (json!({"command": ["a\u{0}b"]}), 400, "INVALID_COMMAND", "NUL"),
        (
            json!({"harness": "claude-code"}),
            400,
            "COMMAND_NOT_TAKEN",
            "a prompt",
        ),
        (
            json!({"runtime": "tmux"}),
            400,
            "UNKNOWN_RUNTIME",
            "known are pty",
        ),
        (json!({"branch": "a..b"}), 400, "INVALID_BRANCH", "a..b"),
        (json!({"branch": "--force"}), 400, "INVALID_BRANCH", "--force"),
        (json!({"base": "--force"}), 400, "INVALID_BASE", "--force"),
        (
            json!({"prompt": "hi"}),
            400,
            "PROMPT_NOT_TAKEN",
            "agent `shell` takes a command, not a prompt",
        ),
        (
            json!({"displayName": "two\nlines"}),
            400,
            "INVALID_TEXT",
            "displayName",
        ),
        (
            json!({"issueId": "9".repeat(201)}),
            400,
            "TEXT_TOO_LONG",
            "issueId",
        ),
        (too_long, 400, "PROMPT_TOO_LONG", "102401 bytes"),
        (
            json!({"colour": "red"}),
            400,
            "INVALID_JSON",
            "unknown field `colour`",
        ),
    ] {
        let answer = world.post("/api/v1/sessions", &order(&more)).await;
        let refusal = answer.refusal();
        assert_eq!((answer.status, refusal.code.as_str()), (status, code), "{more}");
        assert!(refusal.message.contains(said), "{more}: {}", refusal.message);
    }
    let unknown = world
        .post("/api/v1/sessions", &order(&json!({"harness": "clippy"})))
        .await;
    assert_eq!(
        unknown.refusal().details["known"],
        json!(["shell", "claude-code", "ghost"])
    );
    assert_eq!(world.head().await, head, "nothing was written");
    let fine = request("POST", "/api/v1/sessions")
        .header("prefer", "respond-async")
        .json(&order(&claude));
    assert_eq!(fine.send(world.port).await.status, 202);
}

#[tokio::test]
async fn the_answer_waits_until_the_agent_runs() {
    let world = World::start().await;
    world.project("web").await;
    let more = json!({"issueId": "7", "displayName": " tidy ", "branch": "feature/x", "kind": "worker"});
    let body = order(&more);
    let (answer, ()) = tokio::join!(world.post("/api/v1/sessions", &body), async {
        let id = world.appears("web-1").await;
        world.step(&id, Phase::Worktree, Changes::default()).await;
        world.step(&id, Phase::Live, Changes::default()).await;
    });
    assert_eq!(answer.status, 201, "{answer:?}");
    let session = answer.json()["session"].take();
    assert_eq!(
        (&session["phase"], &session["issueId"]),
        (&json!("live"), &json!("7"))
    );
    assert_eq!(
        (&session["branch"], &session["base"]),
        (&json!("feature/x"), &json!("origin/main"))
    );
    assert_eq!(session["displayName"], "tidy");
    let row = world.row(&"web-1".parse().unwrap()).await;
    assert_eq!(
        (row.secret.len(), row.branch_given, row.repo.as_str()),
        (32, true, "/repos/web")
    );
    assert_eq!(row.worktree, world.data_dir().join("worktrees/web/web-1"));
}

#[tokio::test]
async fn who_prefers_not_to_wait_gets_the_session_as_it_stands() {
    let world = World::start().await;
    world.project("web").await;
    let spawn = request("POST", "/api/v1/sessions")
        .header("prefer", "respond-async")
        .json(&order(&json!({})));
    let answer = spawn.send(world.port).await;
    assert_eq!(
        (answer.status, &answer.json()["session"]["phase"]),
        (202, &json!("queued"))
    );
}

#[tokio::test]
async fn patience_ends_with_the_session_on_its_way() {
    let world = World::with(Options {
        patience: Duration::from_millis(30),
        ..Options::default()
    })
    .await;
    world.project("web").await;
    let answer = world.post("/api/v1/sessions", &order(&json!({}))).await;
    assert_eq!(
        (answer.status, &answer.json()["session"]["status"]),
        (202, &json!("queued"))
    );
}

#[tokio::test]
async fn a_spawn_that_failed_says_why_and_which_session_it_was() {
    let world = World::start().await;
    world.project("web").await;
    let failed = Changes {
        end_reason: Some(EndReason::SpawnFailed),
        failure: Some("branch `x` is checked out in `/elsewhere`".to_owned()),
        ..Changes::default()
    };
    let body = order(&json!({}));
    let (answer, ()) = tokio::join!(world.post("/api/v1/sessions", &body), async {
        let id = world.appears("web-1").await;
        world.step(&id, Phase::Ended, failed).await;
    });
    assert_eq!(answer.refused(), (409, "SPAWN_FAILED".to_owned()));
    assert_eq!(
        answer.refusal().message,
        "branch `x` is checked out in `/elsewhere`"
    );
    assert_eq!(answer.refusal().detail("sessionId"), Some("web-1"));
    let shown = world.get("/api/v1/sessions/web-1").await.json();
    assert_eq!(shown["session"]["status"], "failed");
    let (answer, ()) = tokio::join!(world.post("/api/v1/sessions", &body), async {
        let id = world.appears("web-2").await;
        let killed = Changes {
            end_reason: Some(EndReason::Killed),
            ..Changes::default()
        };
        world.step(&id, Phase::Ended, killed).await;
    });
    assert_eq!(answer.refused(), (409, "SESSION_TERMINATED".to_owned()));
}

#[tokio::test]
async fn the_same_key_gives_the_same_session() {
    let world = World::start().await;
    world.project("web").await;
    let spawn = |key: &str| {
        let request = request("POST", "/api/v1/sessions").header("prefer", "respond-async");
        request.header("idempotency-key", key).json(&order(&json!({})))
    };
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let (request, port) = (spawn("one"), world.port);
        tasks.spawn(async move { request.send(port).await });
    }
    for answer in within(tasks.join_all()).await {
        assert_eq!(
            (answer.status, &answer.json()["session"]["id"]),
            (202, &json!("web-1"))
        );
    }
    assert_eq!(sessions(&world).await, 1);
    assert_eq!(
        spawn("two").send(world.port).await.json()["session"]["id"],
        "web-2"
    );
    for bad in ["", &"k".repeat(201)] {
        let answer = spawn(bad).send(world.port).await;
        assert_eq!(answer.refused(), (400, "INVALID_IDEMPOTENCY_KEY".to_owned()));
    }
}

#[tokio::test]
async fn a_client_that_leaves_loses_the_answer_only() {
    let world = World::start().await;
    world.project("web").await;
    let mut line = Line::connect(world.port).await;
    line.say(&request("POST", "/api/v1/sessions").json(&order(&json!({}))))
        .await;
    world.appears("web-1").await;
    drop(line);
    let killed = request("POST", "/api/v1/sessions/web-1/kill");
    let mut line = Line::connect(world.port).await;
    line.say(&killed).await;
    let id = "web-1".parse().unwrap();
    let wanted = |session: &ao_domain::Session| session.desired == ao_domain::Desired::Stop;
    world
        .store
        .reader()
        .until(&id, wanted, crate::support::SOON)
        .await
        .unwrap();
    drop(line);
    assert_eq!(world.row(&id).await.desired, ao_domain::Desired::Stop);
    assert_eq!(world.row(&id).await.phase, Phase::Queued);
}

#[tokio::test]
async fn a_project_has_one_orchestrator() {
    let world = World::start().await;
    let web = world.project("web").await;
    let first = world.session(&web, SessionKind::Orchestrator).await;
    let answer = world
        .post("/api/v1/sessions", &order(&json!({"kind": "orchestrator"})))
        .await;
    assert_eq!(answer.refused(), (409, "ORCHESTRATOR_EXISTS".to_owned()));
    assert_eq!(answer.refusal().detail("sessionId"), Some(first.as_str()));
}
