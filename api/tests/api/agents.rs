//! The agents there are, as the catalog finds them.

use serde_json::json;

use crate::support::{World, within};

#[tokio::test]
async fn every_agent_is_listed_with_what_it_can_do_and_what_is_missing() {
    let world = World::start().await;
    let list = world.get("/api/v1/agents").await.json();
    let agents = list["agents"].as_array().unwrap();
    assert_eq!(agents.len(), 3);
    let can = |verified: bool| {
        json!({
            "interactive": true, "messages": true, "queuesMessages": false, "permissionModes": ["default"],
            "model": true, "resume": true, "prompt": "argument", "hooks": true, "ownRecord": false,
            "answersDialogs": false, "verified": verified,
        })
    };
    assert_eq!(agents[0]["prompt"], json!(null));
    assert_eq!(
        (
            &agents[0]["installed"],
            &agents[0]["standing"],
            &agents[0]["capabilities"]["prompt"]
        ),
        (&json!(true), &json!(null), &json!("command"))
    );
    assert_eq!(
        agents[1],
        json!({
            "id": "claude-code", "name": "Claude Code", "installed": true, "program": "claude",
            "path": "/bin/claude", "version": "1.1.0", "verifiedVersion": "1.0.0", "standing": "newer",
            "capabilities": can(true), "findings": [{"what": "login", "said": "by its own record"}],
        })
    );
    assert_eq!(
        agents[2]["findings"],
        json!([{"what": "program", "said": "it does not start", "remedy": "install it anew"}])
    );
    let one = world.get("/api/v1/agents/claude-code").await;
    assert_eq!((one.status, &one.json()["agent"]), (200, &agents[1]));
}

#[tokio::test]
async fn an_agent_that_is_none_is_refused_with_those_there_are() {
    let world = World::start().await;
    let answer = world.get("/api/v1/agents/claude").await;
    assert_eq!(answer.refused(), (404, "AGENT_NOT_FOUND".to_owned()));
    assert_eq!(
        answer.refusal().details["known"],
        json!(["shell", "claude-code", "ghost"])
    );
}

#[tokio::test]
async fn a_program_that_hangs_delays_nobody_but_who_asked_for_it() {
    let world = World::start().await;
    world
        .catalog
        .hangs
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let others = async {
        world.catalog.asked.notified().await;
        for path in ["/api/v1/projects", "/api/v1/agents/claude-code", "/healthz"] {
            assert_eq!(world.get(path).await.status, 200, "{path}");
        }
        world.catalog.lets_go.notify_one();
    };
    let (list, ()) = within(async { tokio::join!(world.get("/api/v1/agents"), others) }).await;
    assert_eq!(list.json()["agents"][2]["standing"], "broken");
}
