//! Faults that the original is known for, by the numbers of the list they stand in: each test is what becomes of it here.

use std::fs;
use std::process::Stdio;

use ao_tests::{Census, World, settle};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{AO, STAND_IN};

/// Runs `ao hooks shell EVENT` as an agent of that run would.
fn hook(world: &World, id: &str, generation: u64, secret: &str, event: &str) {
    let mut command = world.command(world.program.as_str(), &["hooks", "shell", event]);
    command
        .env("AO_SESSION_ID", id)
        .env("AO_GENERATION", generation.to_string())
        .env("AO_LAUNCH_SECRET", secret)
        .stdin(Stdio::null());
    assert!(command.status().unwrap().success());
}

fn secret(world: &World, id: &str) -> String {
    world.query(&format!("SELECT secret FROM sessions WHERE id = '{id}'"))
}

fn events(world: &World, id: &str) -> String {
    world.query(&format!(
        "SELECT coalesce(group_concat(event, ' '), '') FROM (SELECT event FROM signals WHERE session_id = '{id}' ORDER BY seq)"
    ))
}

fn kill_agent(session: &Value) {
    let pid = i32::try_from(session["agentPid"].as_u64().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

/// Spawn-completed reset the activity although the agent already ran: its first word was erased.
#[test]
fn s_09_what_an_agent_says_before_its_spawn_is_complete_stays_said() {
    let world = World::started(AO);
    // Whoever starts it is cut off right after; until the next one comes, the agent has spoken.
    world.arm("spawn.runtime.after", "panic");
    let id = world.spawn("ao hooks shell needs-decision </dev/null; exec sleep 1000");
    assert!(world.fired());
    let session = world.until(&id, "status", "needs_input");
    assert_eq!(session["phase"], "live");
    assert_eq!(events(&world, &id), "needs-decision");
    world.ao(&["kill", &id]).ok();
}

/// Signals carried no run: a late one of an earlier run ended the present one.
#[test]
fn s_10_a_signal_of_another_run_or_without_its_secret_changes_nothing() {
    let world = World::started(AO);
    let ends = world.dir.join("ends");
    fs::write(&ends, "").unwrap();
    let id = world.spawn(&format!(
        "[ -e {ends} ] || {{ ao hooks shell working </dev/null; exec sleep 1000; }}"
    ));
    world.until(&id, "phase", "finished");
    let first = secret(&world, &id);
    fs::remove_file(&ends).unwrap();
    world.ao(&["session", "restore", &id, "--start-over"]).ok();
    world.until(&id, "status", "working");
    settle("its own word is heard", || events(&world, &id) == "working");
    let second = secret(&world, &id);
    assert_ne!(first, second);
    hook(&world, &id, 1, &first, "ended");
    hook(&world, &id, 2, &first, "ended");
    hook(&world, &id, 1, &second, "ended");
    // A word that counts comes after them, so they are read.
    hook(&world, &id, 2, &second, "needs-decision");
    let session = world.until(&id, "status", "needs_input");
    assert_eq!(events(&world, &id), "working needs-decision");
    // Even its own `ended` ends nothing while its process runs: it is looked at.
    hook(&world, &id, 2, &second, "ended");
    let said = world.until(&id, "status", "unknown");
    assert_eq!(
        (&said["agentPid"], &said["isTerminated"]),
        (&session["agentPid"], &json!(false))
    );
    hook(&world, &id, 2, &second, "working");
    world.until(&id, "status", "working");
    world.ao(&["kill", &id]).ok();
}

/// Hooks were lost while the daemon was down, came in any order, and were never heard of projects with a dot.
#[test]
fn s_11_hooks_are_kept_while_the_daemon_is_down_and_applied_in_order_for_every_legal_id() {
    let mut world = World::started(AO);
    let other = world.dir.join("other");
    world.make_repository(&other);
    world
        .ao(&["project", "add", other.as_str(), "--id", "my.app-2_x"])
        .ok();
    let body = json!({"projectId": "my.app-2_x", "harness": "shell", "command": ["sleep", "1000"]});
    let answer = world.ask("POST", "/api/v1/sessions", Some(&body)).json();
    let id = answer["session"]["id"].as_str().unwrap().to_owned();
    world.until(&id, "status", "working");
    let secret = secret(&world, &id);
    world.kill_9();
    for event in ["working", "needs-decision", "working", "waiting-for-work"] {
        hook(&world, &id, 1, &secret, event);
    }
    world.start();
    world.until(&id, "status", "idle");
    assert_eq!(
        events(&world, &id),
        "working needs-decision working waiting-for-work"
    );
    world.ao(&["kill", &id]).ok();
}

/// What was shown as over still ran, and what was gone was shown as waiting for ever.
#[test]
fn s_12_over_is_over_and_an_agent_that_is_gone_is_not_waited_for() {
    let world = World::started(AO);
    // Gone without a word, with a dialog open.
    let asks = world.spawn("ao hooks shell needs-decision </dev/null; sleep 1000 & exec sleep 1000");
    let session = world.until(&asks, "status", "needs_input");
    kill_agent(&session);
    world.until(&asks, "status", "terminated");
    let ended = world.until(&asks, "phase", "finished");
    assert_eq!(
        (&ended["exit"], &ended["endReason"]),
        (&json!({"signal": 9}), &json!("exited"))
    );
    // Ended by a person: everything that it started is gone with it.
    let works = world.spawn("sleep 1000 & setsid sleep 1000 & exec sleep 1000");
    world.until(&works, "status", "working");
    for id in [&asks, &works] {
        world.ao(&["kill", id]).ok();
        world.until(id, "phase", "ended");
    }
    settle("nothing is left of either", || {
        world.census().to_string() == Census::of_sessions(0)
    });
}

/// A whole row was written back: a rename that came in between was undone.
#[test]
fn s_13_a_rename_is_not_undone_by_what_an_agent_says_meanwhile() {
    let world = World::started(AO);
    let id = world.spawn("exec sleep 1000");
    world.until(&id, "status", "working");
    let (path, activity) = (
        format!("/api/v1/sessions/{id}"),
        format!("/api/v1/sessions/{id}/activity"),
    );
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..60 {
                let state = if n % 2 == 0 { "active" } else { "idle" };
                assert_eq!(
                    world
                        .ask("POST", &activity, Some(&json!({"state": state})))
                        .status,
                    200
                );
            }
        });
        for n in 0..60 {
            let name = format!("name {n}");
            let answer = world.ask("PATCH", &path, Some(&json!({"displayName": name})));
            assert_eq!(answer.json()["session"]["displayName"], json!(name));
        }
    });
    assert_eq!(
        world
            .ask("POST", &activity, Some(&json!({"state": "waiting_input"})))
            .status,
        200
    );
    world.until(&id, "status", "needs_input");
    assert_eq!(
        events(&world, &id).split(' ').count(),
        61,
        "all that was said is applied"
    );
    assert_eq!(world.session(&id)["displayName"], "name 59");
    world.ao(&["kill", &id]).ok();
}

/// Sent first, remembered later: a crash in between sent it again, on top of what was left of the first.
#[test]
fn s_22_a_crash_right_after_the_typing_does_not_type_again() {
    let mut world = World::with_agent(AO, STAND_IN);
    let id = world.spawn_claude("hello");
    world.until(&id, "status", "idle");
    world.arm("outbox.type.after", "kill");
    let send = json!({"message": "only once"});
    assert_eq!(
        world
            .ask("POST", &format!("/api/v1/sessions/{id}/send"), Some(&send))
            .status,
        200
    );
    settle("the daemon is dead", || world.has_ended());
    assert!(world.fired());
    world.wait_for_the_end();
    world.start();
    world.until(&id, "lastMessage", "only once");
    settle("it is accepted", || world.session(&id)["messagesWaiting"] == 0);
    assert_eq!(world.asked(), ["hello", "only once"]);
    world.ao(&["kill", &id]).ok();
}

/// What came while a dialog was open counted as told, and was never told.
#[test]
fn s_23_what_is_held_while_a_dialog_is_open_is_told_afterwards() {
    let world = World::with_agent(AO, STAND_IN);
    let id = world.spawn_claude("open a dialog");
    settle("the dialog is shown", || world.session(&id)["dialog"].is_object());
    let send = format!("/api/v1/sessions/{id}/send");
    for text in ["first", "second"] {
        let sent = world.ask("POST", &send, Some(&json!({"message": text})));
        assert_eq!(sent.json()["sent"]["state"], "queued");
    }
    // An answer goes before them; and an Enter of ours would have said yes.
    world.ao(&["session", "answer", &id, "2"]).ok();
    world.until(&id, "lastMessage", "second");
    assert_eq!(world.asked(), ["open a dialog", "first", "second"]);
    assert!(
        world
            .query("SELECT group_concat(state, ' ') FROM messages")
            .split(' ')
            .all(|state| state == "accepted")
    );
    world.ao(&["kill", &id]).ok();
}

/// Sending was typing: into whatever was there, a shell after the agent's end too.
#[test]
fn s_25_nothing_is_typed_where_the_agent_has_ended() {
    let world = World::with_agent(AO, STAND_IN);
    let id = world.spawn_claude("open a dialog");
    settle("the dialog is shown", || world.session(&id)["dialog"].is_object());
    let send = format!("/api/v1/sessions/{id}/send");
    assert_eq!(
        world
            .ask("POST", &send, Some(&json!({"message": "touch typed"})))
            .status,
        200
    );
    kill_agent(&world.session(&id));
    world.until(&id, "status", "terminated");
    let refused = world.ask("POST", &send, Some(&json!({"message": "more"})));
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (409, &json!("SESSION_TERMINATED"))
    );
    let messages = world.get(&format!("/api/v1/sessions/{id}/messages"))["messages"].clone();
    assert_eq!(
        (&messages[0]["state"], &messages[0]["typed"]),
        (&json!("queued"), &json!(0))
    );
    // What its holder typed for us: nothing.
    assert!(!world.data.join(format!("pty/{id}/1/input.log")).exists());
    // Brought back, it is delivered: the message was kept.
    world.ao(&["session", "restore", &id, "--start-over"]).ok();
    settle("the dialog is shown again", || {
        world.session(&id)["dialog"].is_object()
    });
    world.ao(&["session", "answer", &id, "1"]).ok();
    // Where its dialog came up over the text, that was typed without an Enter, and comes again with a word about it.
    settle("it has heard it", || {
        let said = world.session(&id)["lastMessage"].clone();
        said.as_str().is_some_and(|said| said.ends_with("touch typed"))
    });
    world.ao(&["kill", &id]).ok();
}

/// The agent was chosen anew at each restore, and one that could not go on was given its first prompt again.
#[test]
fn s_33_a_restore_keeps_the_agent_and_starts_over_only_when_asked() {
    let mut world = World::started(AO);
    let starts = world.dir.join("starts");
    let id = world.spawn(&format!("echo started >> {starts}; exit 0"));
    let before = world.until(&id, "phase", "finished");
    world.kill_9();
    world.set("AO_AGENT", "claude-code");
    world.start();
    let refused = world.ask("POST", &format!("/api/v1/sessions/{id}/restore"), None);
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (409, &json!("NOTHING_TO_RESUME"))
    );
    assert_eq!(fs::read_to_string(&starts).unwrap(), "started\n");
    world.ao(&["session", "restore", &id, "--start-over"]).ok();
    let after = world.until(&id, "phase", "finished");
    assert_eq!(
        (&after["harness"], &after["command"]),
        (&before["harness"], &before["command"])
    );
    assert_eq!(
        (&before["generation"], &after["generation"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(fs::read_to_string(&starts).unwrap(), "started\nstarted\n");
    world.ao(&["kill", &id]).ok();
}
