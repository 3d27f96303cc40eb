//! Sessions: listed, looked at, killed, and what agents report.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ao_domain::{
    Desired, EndReason, Exit, Holding, Looked, Phase, ProcessId, Seen, SessionId, SessionKind, WorktreeState,
};
use ao_facts::Changes;
use serde_json::{Value, json};

use crate::support::{Options, World, request};

fn process(pid: u32) -> ProcessId {
    ProcessId {
        pid,
        started: 1,
        boot: "this-boot".to_owned(),
    }
}

fn alive() -> Changes {
    alive_with(None)
}

fn alive_with(note: Option<&str>) -> Changes {
    Changes {
        worktree_state: Some(WorktreeState::Active),
        seen: Some(Seen {
            looked: Looked::Alive,
            holder: Some(process(41)),
            agent: Some(process(42)),
            exit: None,
            note: note.map(str::to_owned),
        }),
        ..Changes::default()
    }
}

async fn live(world: &World, id: &SessionId) {
    world.step(id, Phase::Live, alive()).await;
}

async fn ids(world: &World, query: &str) -> Vec<String> {
    let list = world.get(&format!("/api/v1/sessions{query}")).await.json();
    list["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|session| session["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_list_is_sorted_and_filtered() {
    let world = World::start().await;
    let (web, app) = (world.project("web").await, world.project("app").await);
    assert_eq!(
        world.get("/api/v1/sessions").await.json(),
        json!({"sessions": []})
    );
    let first = world.session(&web, SessionKind::Worker).await;
    world.session(&web, SessionKind::Orchestrator).await;
    world.session(&app, SessionKind::Worker).await;
    world.step(&first, Phase::Ended, Changes::default()).await;
    assert_eq!(ids(&world, "").await, ["app-1", "web-1", "web-2"]);
    assert_eq!(ids(&world, "?project=web").await, ["web-1", "web-2"]);
    assert_eq!(ids(&world, "?project=nobody").await, [""; 0]);
    assert_eq!(ids(&world, "?project=..%2F").await, [""; 0]);
    assert_eq!(ids(&world, "?active=true").await, ["app-1", "web-2"]);
    assert_eq!(ids(&world, "?active=F&project=web").await, ["web-1"]);
    assert_eq!(ids(&world, "?fresh=1").await, ["app-1", "web-2"]);
    assert_eq!(ids(&world, "?orchestratorOnly=t").await, ["web-2"]);
    assert_eq!(
        ids(&world, "?orchestratorOnly=false").await,
        ["app-1", "web-1", "web-2"]
    );
    for (query, said) in [
        ("?active=yes", "`active` is true or false"),
        ("?active=true&active=true", "duplicate field"),
        ("?fresh=", "`fresh`"),
        ("?colour=red", "unknown field `colour`"),
    ] {
        let refusal = world.get(&format!("/api/v1/sessions{query}")).await.refusal();
        assert_eq!(refusal.code, "INVALID_QUERY", "{query}");
        assert!(refusal.message.contains(said), "{query}: {}", refusal.message);
    }
}

#[tokio::test]
async fn a_session_shows_its_facts_and_its_status_and_no_secret() {
    let world = World::start().await;
    let web = world.project("web").await;
    let id = world.session(&web, SessionKind::Worker).await;
    let queued = world.get("/api/v1/sessions/web-1").await.json();
    assert_eq!(
        (&queued["session"]["status"], &queued["session"]["phase"]),
        (&json!("queued"), &json!("queued"))
    );
    assert_eq!(queued["session"]["agentPid"], Value::Null);
    live(&world, &id).await;
    let answer = world.get("/api/v1/sessions/web-1").await;
    for hidden in ["the-prompt", "5ec4e7", "native", "secret", "prompt"] {
        assert!(!answer.body.contains(hidden), "{hidden} in {}", answer.body);
    }
    let now = world.now().to_string();
    let mut session = answer.json()["session"].take();
    assert!(session["revision"].as_u64().unwrap() > queued["session"]["revision"].as_u64().unwrap());
    session.as_object_mut().unwrap().remove("revision");
    let expected = json!({
        "id": "web-1", "projectId": "web", "issueId": "12", "kind": "worker", "harness": "shell", "runtime": "pty",
        "displayName": "tidy up", "messagesWaiting": 0, "permissions": "default", "command": ["make"], "status": "working", "reason": "its process runs", "since": now,
        "evidence": "process", "activity": {"state": "idle", "lastActivityAt": now, "doing": "working"},
        "phase": "live", "foreignCode": false, "desired": "run", "generation": 1, "isTerminated": false, "agentPid": 42, "holderPid": 41,
        "terminalHandleId": "web-1", "branch": "ao/web-1", "base": "main",
        "worktree": {
            "path": format!("{}/worktrees/web/web-1", world.data_dir()), "state": "active", "holdings": [],
        },
        "prs": [], "createdAt": now, "updatedAt": now,
    });
    assert_eq!(session, expected);
    let listed = world.get("/api/v1/sessions").await.json()["sessions"][0].take();
    assert_eq!(listed["status"], "working");
}

#[tokio::test]
async fn an_agent_that_lost_its_terminal_offers_none() {
    let world = World::start().await;
    let web = world.project("web").await;
    let id = world.session(&web, SessionKind::Worker).await;
    world
        .step(&id, Phase::Live, alive_with(Some("its terminal is gone")))
        .await;
    let session = world.get("/api/v1/sessions/web-1").await.json()["session"].take();
    assert_eq!(session["agentPid"], 42, "it lives");
    assert_eq!(session["terminalHandleId"], Value::Null);
}

#[tokio::test]
async fn a_status_grows_old_unless_the_sweep_has_looked() {
    let world = World::start().await;
    let web = world.project("web").await;
    let id = world.session(&web, SessionKind::Worker).await;
    live(&world, &id).await;
    world.clock.pass(1_000);
    let status = async || world.get("/api/v1/sessions/web-1").await.json()["session"]["status"].take();
    assert_eq!(
        status().await,
        "unknown",
        "nobody has looked for a thousand seconds"
    );
    let by = ao_supervisor::Incarnation::detached();
    world
        .store
        .intents()
        .set_due("sessions", world.now())
        .await
        .unwrap();
    let next = world.now().plus(Duration::from_secs(15));
    world
        .store
        .observations()
        .sweep_finished(&by, "sessions", next, None, world.now())
        .await
        .unwrap();
    assert_eq!(status().await, "working");
}

#[tokio::test]
async fn what_is_not_a_session_is_not_found() {
    let world = World::start().await;
    world.project("web").await;
    for id in ["web-1", "web", "web-0", "..%2F..", "%FF", "web-01"] {
        for (method, path) in [("GET", ""), ("POST", "/kill")] {
            let path = format!("/api/v1/sessions/{id}{path}");
            let answer = request(method, &path).send(world.port).await;
            assert_eq!(answer.refused(), (404, "SESSION_NOT_FOUND".to_owned()), "{path}");
        }
        let activity = world
            .post(&format!("/api/v1/sessions/{id}/activity"), r#"{"state":"idle"}"#)
            .await;
        assert_eq!(activity.refused(), (404, "SESSION_NOT_FOUND".to_owned()));
    }
}

#[tokio::test]
async fn a_kill_waits_for_the_end_and_says_what_was_kept() {
    let world = World::start().await;
    let web = world.project("web").await;
    let id = world.session(&web, SessionKind::Worker).await;
    live(&world, &id).await;
    let held = Holding::Untracked {
        count: 1,
        paths: vec!["notes.txt".to_owned()],
    };
    let kept = Changes {
        worktree_state: Some(WorktreeState::Kept),
        holdings: Some(vec![held]),
        ended_at: Some(world.now()),
        ..Changes::default()
    };
    let wanted = |session: &ao_domain::Session| session.desired == Desired::Stop;
    let reader = world.store.reader();
    let kill = request("POST", "/api/v1/sessions/web-1/kill");
    let (killed, ()) = tokio::join!(kill.send(world.port), async {
        reader.until(&id, wanted, Duration::from_secs(20)).await.unwrap();
        world.step(&id, Phase::Stopping, Changes::default()).await;
        world.step(&id, Phase::Freeing, Changes::default()).await;
        world.step(&id, Phase::Ended, kept).await;
    });
    assert_eq!(killed.status, 200, "{killed:?}");
    let path = format!("{}/worktrees/web/web-1", world.data_dir());
    assert_eq!(
        killed.json(),
        json!({
            "ok": true, "sessionId": "web-1", "phase": "ended", "freed": false, "repo": "/repos/web",
            "worktree": {
                "path": path, "state": "kept", "howToRemove": "ao kill web-1 --discard",
                "holdings": [{
                    "kind": "untracked", "count": 1, "paths": ["notes.txt"], "text": "1 untracked file (notes.txt)",
                }],
            },
        })
    );
    assert_eq!(world.row(&id).await.end_reason, Some(EndReason::Killed));
    // Again, and git fails now.
    let failed = Changes {
        worktree_state: Some(WorktreeState::Kept),
        holdings: Some(Vec::new()),
        failure: Some("`/repos/web` is not there".to_owned()),
        ..Changes::default()
    };
    let revision = world.row(&id).await.revision;
    let (stuck, ()) = tokio::join!(kill.send(world.port), async {
        reader
            .until(
                &id,
                |session| session.revision > revision,
                Duration::from_secs(20),
            )
            .await
            .unwrap();
        world.step(&id, Phase::Ended, failed).await;
    });
    let stuck = stuck.json();
    assert_eq!(stuck["failure"], "`/repos/web` is not there", "{stuck}");
    assert_eq!(
        stuck["worktree"]["howToRemove"],
        Value::Null,
        "to discard would fail as well: {stuck}"
    );
    // Now with everything.
    let removed = Changes {
        worktree_state: Some(WorktreeState::Removed),
        rescue_ref: Some("refs/ao/rescue/web-1/1".to_owned()),
        ..Changes::default()
    };
    let (discarded, ()) = tokio::join!(
        world.post("/api/v1/sessions/web-1/kill", r#"{"discard":true}"#),
        async {
            reader
                .until(&id, |session| session.discard, Duration::from_secs(20))
                .await
                .unwrap();
            world.step(&id, Phase::Ended, removed).await;
        }
    );
    let discarded = discarded.json();
    assert_eq!(
        (&discarded["freed"], &discarded["phase"]),
        (&json!(true), &json!("ended"))
    );
    assert_eq!(discarded["worktree"]["rescueRef"], "refs/ao/rescue/web-1/1");
    let again = request("POST", "/api/v1/sessions/web-1/kill")
        .send(world.port)
        .await;
    assert_eq!(
        (again.status, &again.json()["freed"]),
        (200, &json!(true)),
        "killed twice is killed"
    );
    let strict = world
        .post("/api/v1/sessions/web-1/kill", r#"{"force":true}"#)
        .await;
    assert_eq!(strict.refused(), (400, "INVALID_JSON".to_owned()));
}

#[tokio::test]
async fn a_kill_that_takes_long_is_answered_as_it_stands_and_is_not_lost() {
    let world = World::with(Options {
        patience: Duration::from_millis(30),
        ..Options::default()
    })
    .await;
    let web = world.project("web").await;
    let id = world.session(&web, SessionKind::Worker).await;
    let killed = request("POST", "/api/v1/sessions/web-1/kill")
        .send(world.port)
        .await;
    assert_eq!((killed.status, &killed.json()["phase"]), (202, &json!("queued")));
    assert_eq!(world.row(&id).await.desired, Desired::Stop);
}

#[tokio::test]
async fn an_end_is_shown_with_its_exit() {
    let world = World::start().await;
    let web = world.project("web").await;
    let id = world.session(&web, SessionKind::Worker).await;
    live(&world, &id).await;
    let over = Changes {
        seen: Some(Seen::exited(Exit::Code(2))),
        end_reason: Some(EndReason::Exited),
        ended_at: Some(world.now()),
        ..Changes::default()
    };
    world.step(&id, Phase::Finished, over).await;
    let session = world.get("/api/v1/sessions/web-1").await.json()["session"].take();
    assert_eq!(session["exit"], json!({"code": 2}));
    assert_eq!(
        (&session["status"], &session["endReason"]),
        (&json!("terminated"), &json!("exited"))
    );
    assert_eq!(session["activity"]["doing"], "none");
    assert_eq!(session["reason"], "the agent ended with exit status 2");
}

#[tokio::test]
async fn a_report_goes_the_way_of_a_hook() {
    let world = World::start().await;
    let web = world.project("web").await;
    let id = world.session(&web, SessionKind::Worker).await;
    let path = "/api/v1/sessions/web-1/activity";
    let answer = world.post(path, r#"{"state":"waiting_input"}"#).await;
    assert_eq!(
        answer.json(),
        json!({"ok": true, "sessionId": "web-1", "state": "waiting_input"})
    );
    let record = world.spool.records.lock().unwrap().pop().unwrap();
    assert_eq!((record.v, record.session, record.generation), (1, id, 1));
    assert_eq!(
        (record.secret.as_str(), record.agent.as_str()),
        ("5ec4e75ec4e75ec4e75ec4e75ec4e700", "shell")
    );
    assert_eq!(
        (record.event.as_str(), record.boot.as_str(), record.boot_ms),
        ("api:waiting_input", "this-boot", 5_000)
    );
    assert_eq!((record.at, record.id.len()), (world.now(), 32));
    for body in [r#"{"state":"sleepy"}"#, r#"{"state":""}"#, "{}"] {
        assert_eq!(
            world.post(path, body).await.refused(),
            (400, "INVALID_ACTIVITY_STATE".to_owned()),
            "{body}"
        );
    }
    world.spool.full.store(true, Ordering::SeqCst);
    let full = world.post(path, r#"{"state":"idle"}"#).await;
    assert_eq!(full.refused(), (507, "DISK_FULL".to_owned()));
    assert!(world.spool.records.lock().unwrap().is_empty());
}
