//! A project has one orchestrator; its replacement is live before the old one is ended.

use std::collections::BTreeSet;

use ao_tests::{World, settle};
use serde_json::{Value, json};

use crate::AO;

const RUN: [&str; 2] = ["sleep", "1000"];

fn start(world: &World, replace: bool) -> Value {
    let mut words = vec!["orchestrator", "start", "--project", "web", "--json"];
    if replace {
        words.push("--replace");
    }
    let said = world.ao(&[&words[..], &["--"], &RUN].concat()).ok().json();
    // Whether one was started or was there: the same form.
    let session = &said["session"];
    assert_eq!(
        said["orchestrator"],
        json!({"id": session["id"], "projectId": session["projectId"]})
    );
    session.clone()
}

fn id_of(session: &Value) -> String {
    session["id"].as_str().unwrap().to_owned()
}

#[test]
fn of_two_starts_at_once_one_makes_a_session_and_both_are_told_of_it() {
    let world = World::started(AO);
    let ids: BTreeSet<String> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| id_of(&start(&world, false))))
            .collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert_eq!(ids.len(), 1, "{ids:?}");
    let id = ids.first().unwrap();
    let session = world.until(id, "phase", "live");
    assert_eq!(
        (session["kind"].as_str(), session["generation"].as_u64()),
        (Some("orchestrator"), Some(1))
    );
    assert_eq!(
        world.get("/api/v1/orchestrators")["sessions"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    let again = world
        .ao(&[&["orchestrator", "start", "--project", "web", "--"][..], &RUN].concat())
        .ok();
    assert!(
        again
            .out
            .contains(&format!("{id} is the orchestrator of web already")),
        "{again:?}"
    );
    assert!(
        again
            .out
            .contains("ao orchestrator start --project web --replace"),
        "{again:?}"
    );
    let listed = world.ao(&["orchestrator", "ls"]).ok().out;
    assert!(
        listed.contains(id.as_str()) && listed.contains("[working]"),
        "{listed}"
    );
    let worker = world.spawn("exec sleep 1000");
    let refused = world.ask("GET", &format!("/api/v1/orchestrators/{worker}"), None);
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (404, Some("SESSION_NOT_FOUND"))
    );
}

#[test]
fn a_replacement_is_live_before_the_old_one_is_ended() {
    let world = World::started(AO);
    let old = id_of(&start(&world, false));
    world.until(&old, "phase", "live");
    let new = start(&world, true);
    let id = id_of(&new);
    assert_ne!(id, old);
    let ended = world.until(&old, "phase", "ended");
    assert_eq!(ended["endReason"], "replaced");
    assert_eq!(ended["worktree"]["state"], "removed");
    let now = world.until(&id, "phase", "live");
    assert_eq!(now.get("replaces"), None);
    // The change log has the order: the new one's agent runs, and only then is the old one wanted no more.
    let told = world.query(&format!(
        "SELECT ((SELECT min(seq) FROM change_log WHERE session_id = '{id}' AND json_extract(payload, '$.phase') = 'live')
            < (SELECT min(seq) FROM change_log WHERE session_id = '{old}' AND json_extract(payload, '$.phase') = 'stopping')) || ''"
    ));
    assert_eq!(told, "1");
}

/// One that cannot come up leaves the old one where it is.
#[test]
fn a_replacement_that_fails_leaves_the_old_one_where_it_is() {
    let world = World::started(AO);
    let old = id_of(&start(&world, false));
    world.until(&old, "phase", "live");
    let config = json!({"config": {"postCreate": ["exit 3"]}});
    assert_eq!(
        world
            .ask("PUT", "/api/v1/projects/web/config", Some(&config))
            .status,
        200
    );
    let failed = world.ao(&[
        &["orchestrator", "start", "--project", "web", "--replace", "--"][..],
        &RUN,
    ]
    .concat());
    assert_eq!(failed.code, 1, "{failed:?}");
    settle("it has failed", || {
        world.get("/api/v1/orchestrators")["sessions"][1]["phase"] == "ended"
    });
    let session = world.session(&old);
    assert_eq!(
        (session["phase"].as_str(), session["desired"].as_str()),
        (Some("live"), Some("run"))
    );
    // And the next one can be asked for.
    assert_eq!(
        world
            .ask(
                "PUT",
                "/api/v1/projects/web/config",
                Some(&json!({"config": {}, "clear": true}))
            )
            .status,
        200
    );
    let next = id_of(&start(&world, true));
    world.until(&old, "phase", "ended");
    world.until(&next, "phase", "live");
}

/// Where all places are taken, one that takes another's place is not kept waiting for it.
#[test]
fn a_replacement_needs_no_place_of_its_own() {
    let mut world = World::new(AO);
    world.set("AO_MAX_SESSIONS", "1");
    world.start();
    world
        .ao(&["project", "add", world.repo.as_str(), "--id", "web"])
        .ok();
    let old = id_of(&start(&world, false));
    world.until(&old, "phase", "live");
    let new = id_of(&start(&world, true));
    world.until(&old, "phase", "ended");
    world.until(&new, "phase", "live");
}

/// Workers are told whom to ask, and both kinds what the project's rules are.
#[test]
fn an_agent_is_told_its_part_and_the_rules() {
    let mut world = World::new(AO);
    let bin = world.dir.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    // In the place of Claude Code: writes down what it was started with.
    let script = "#!/bin/sh\nfor word; do printf '%s\\n' \"$word\" >> \"$HOME/$AO_SESSION_ID\"; done\nexec sleep 1000\n";
    std::fs::write(bin.join("claude"), script).unwrap();
    std::fs::set_permissions(
        bin.join("claude"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    world.set("PATH", &format!("{bin}:/usr/local/bin:/usr/bin:/bin"));
    world.start();
    world
        .ao(&["project", "add", world.repo.as_str(), "--id", "web"])
        .ok();
    world
        .ao(&[
            "project",
            "set-config",
            "web",
            "--rules",
            "be brief",
            "--orchestrator-agent",
            "claude-code",
            "--worker-agent",
            "claude-code",
            "--model",
            "small",
            "--permissions",
            "accept-edits",
        ])
        .ok();
    let read = |id: &str| {
        let file = world.dir.join("home").join(id);
        settle("it was started", || {
            std::fs::read_to_string(&file).is_ok_and(|said| said.contains("--permission-mode"))
        });
        std::fs::read_to_string(&file).unwrap()
    };
    let said = world
        .ao(&["orchestrator", "start", "--project", "web", "--json"])
        .ok()
        .json();
    let orchestrator = id_of(&said["session"]);
    let told = read(&orchestrator);
    assert!(
        told.contains("You are the orchestrator of the project `web`"),
        "{told}"
    );
    assert!(
        told.contains("be brief") && told.contains("--model\nsmall") && told.contains("acceptEdits"),
        "{told}"
    );
    let worker = world
        .ao(&[
            "spawn",
            "--project",
            "web",
            "--model",
            "large",
            "--json",
            "--prompt",
            "work",
        ])
        .ok()
        .json();
    let told = read(&id_of(&worker["session"]));
    assert!(
        told.contains(&format!("ao send {orchestrator} ")) && told.contains("be brief"),
        "{told}"
    );
    assert!(
        told.contains("--model\nlarge"),
        "what was asked for by name goes first: {told}"
    );
    // A command has no model to choose: what the config says of one is for others.
    let shell = world.spawn("exec sleep 1000");
    assert_eq!(world.session(&shell).get("model"), None);
}
