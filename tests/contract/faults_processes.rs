//! Faults that the original is known for, by their numbers: what became of its loops and its one process.

use std::fs;
use std::time::{Duration, Instant};

use ao_tests::{Census, World, settle};
use serde_json::json;

use crate::AO;

/// A panic in the background ended the whole daemon, and what agents said was lost.
#[test]
fn s_01_a_panic_of_any_child_leaves_the_daemon_and_everybody_else_where_they_are() {
    let world = World::started(AO);
    let gate = world.dir.join("gate");
    let id = world.spawn(&format!(
        "while [ ! -e {gate} ]; do sleep 0.05; done; ao hooks shell needs-decision </dev/null; exec sleep 1000"
    ));
    let before = world.until(&id, "status", "working");
    let pid = world.pid();
    let own = format!("ao/act/sessions/{id}");
    for path in [
        "ao/observe/hooks",
        own.as_str(),
        "ao/act/sessions",
        "ao/observe/sweeps",
    ] {
        let others = |other: &str| !other.starts_with(path) && !other.contains("/sweeps/");
        let tree = world.tree();
        assert_eq!(world.break_child("crash", path).status, 200, "{path}");
        settle(&format!("{path} is back"), || {
            assert_eq!(world.get("/healthz")["pid"], pid, "{path}: it is another daemon");
            let now = world.tree();
            now.incarnation(path) > tree.incarnation(path) && now.state(path) == "running"
        });
        let own_again = |other: &str| others(other) && !other.starts_with("ao/act/sessions/");
        assert_eq!(
            tree.incarnations(own_again),
            world.tree().incarnations(own_again),
            "{path}: somebody else moved"
        );
        assert_eq!(world.session(&id)["agentPid"], before["agentPid"], "{path}");
    }
    // The child that hears hooks goes down in the instant in which one comes: it is heard.
    world.arm("hooks.apply.before", "panic");
    fs::write(&gate, "").unwrap();
    world.until(&id, "status", "needs_input");
    assert!(world.fired());
    assert_eq!(world.get("/healthz")["pid"], pid);
    world.ao(&["kill", &id]).ok();
}

/// A loop hung for ever and nothing noticed; a git that hung held up whoever had called it.
#[test]
fn s_02_a_git_that_hangs_is_ended_with_its_group_and_a_child_that_hangs_is_replaced() {
    let mut world = World::new(AO);
    world.set("AO_FAULT_HEARTBEAT", "3000");
    world.set("AO_FAULT_GIT", "500"); // a checkout may take five times that
    world.begin();
    fs::write(world.repo.join("a.slow"), "content\n").unwrap();
    fs::write(world.repo.join(".gitattributes"), "*.slow filter=slow\n").unwrap();
    world.git(&["add", "."]);
    world.git(&["commit", "-q", "-m", "slow"]);
    let fine = world.spawn("exec sleep 1000");
    world.until(&fine, "status", "working");
    world.git(&["config", "filter.slow.smudge", "sleep 1001 & sleep 1001"]);

    let began = Instant::now();
    let body = json!({"projectId": "web", "harness": "shell", "command": ["sleep", "1000"]});
    let answer = world.ask("POST", "/api/v1/sessions", Some(&body));
    assert_eq!(answer.code(), "SPAWN_FAILED", "{}", answer.json());
    let why = answer.json()["message"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains("git worktree"), "which git it was is said: {why}");
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    let id = answer.json()["details"]["sessionId"].as_str().unwrap().to_owned();
    world.until(&id, "phase", "ended");
    settle("nothing of it is left", || {
        let census = world.census();
        census.running("sleep 1001").is_empty() && census.to_string() == Census::of_sessions(1)
    });

    let path = format!("ao/act/sessions/{fine}");
    let silent = world.tree().incarnation(&path);
    let shown = world.tree().node(&path).unwrap()["beat"].clone();
    assert!(shown["ageMs"].is_u64() && shown["deadlineMs"].is_u64(), "{shown}");
    assert_eq!(world.break_child("hang", &path).status, 200);
    settle("it is replaced", || world.tree().incarnation(&path) > silent);
    assert!(
        world
            .log()
            .lines()
            .any(|line| line.contains(&path) && line.contains("hung")),
        "nobody noticed"
    );
    world.ao(&["kill", &fine]).ok();
    world.until(&fine, "phase", "ended");
}

/// Two daemons on one store: looked for by a number in a file that another process may have by now, and only after work had begun.
#[test]
fn s_05_one_daemon_has_the_data_directory_whatever_port_and_run_file_a_second_has() {
    let mut world = World::started(AO);
    let id = world.spawn("exec sleep 1000");
    let before = world.until(&id, "status", "working");
    let (pid, run_file) = (
        world.pid(),
        fs::read_to_string(world.dir.join("running.json")).unwrap(),
    );
    let changes = "SELECT CAST(max(seq) AS TEXT) FROM change_log";
    settle("it is at rest", || {
        !world
            .query("SELECT coalesce(finished_at, '') FROM sweeps")
            .is_empty()
    });
    let at = world.query(changes);
    for other in ["running.json", "another.json"] {
        let mut second = world.command(AO, &["daemon"]);
        second
            .env("AO_RUN_FILE", world.dir.join(other))
            .env("AO_PORT", "0");
        let second = second.output().unwrap();
        assert_eq!(second.status.code(), Some(1), "{second:?}");
        let said = String::from_utf8_lossy(&second.stderr).into_owned();
        assert!(said.contains("the data directory is taken"), "{said}");
        assert!(!world.dir.join("another.json").exists());
    }
    assert_eq!(
        fs::read_to_string(world.dir.join("running.json")).unwrap(),
        run_file
    );
    assert_eq!(world.query(changes), at, "the second did something");
    assert_eq!(world.get("/healthz")["pid"], pid);

    // A number that another process has now does not keep the next one from starting.
    world.kill_9();
    let mut stale: serde_json::Value = serde_json::from_str(&run_file).unwrap();
    stale["pid"] = json!(std::process::id());
    fs::write(world.dir.join("running.json"), stale.to_string()).unwrap();
    world.start();
    assert_eq!(world.session(&id)["agentPid"], before["agentPid"]);

    // Said to be stopped, it has let go of everything: the next one starts at once, and nobody reconciles beside it.
    world.ao(&["stop"]).ok();
    assert!(!world.dir.join("running.json").exists());
    assert!(world.has_ended(), "it was said to be stopped and runs");
    world.wait_for_the_end();
    world.start();
    let after = world.until(&id, "status", "working");
    assert_eq!(after["agentPid"], before["agentPid"]);
    world.ao(&["kill", &id]).ok();
}
