//! A git that a killed daemon left running is waited for or ended; never are two at work on one session.

use std::fs;
use std::time::{Duration, Instant};

use ao_tests::{World, settle};
use serde_json::json;

use crate::AO;

/// Processes of this world that add a worktree, as `git` itself (its filters are children of it).
fn adding(world: &World) -> Vec<u32> {
    let census = world.census();
    let adds = |line: &str| {
        line.contains("worktree add") && line.split(' ').next().is_some_and(|name| name.ends_with("git"))
    };
    census
        .processes
        .iter()
        .filter(|(_, line)| adds(line))
        .map(|(pid, _)| *pid)
        .collect()
}

#[test]
fn a_git_left_running_by_a_killed_daemon_is_never_joined_by_a_second() {
    let mut world = World::started(AO);
    // Each file takes a while to be checked out, so that the daemon dies in the middle of it.
    for number in 0..8 {
        fs::write(world.repo.join(format!("file-{number}.slow")), "content\n").unwrap();
    }
    fs::write(world.repo.join(".gitattributes"), "*.slow filter=slow\n").unwrap();
    world.git(&["add", "."]);
    world.git(&["commit", "-q", "-m", "slow files"]);
    world.git(&["config", "filter.slow.smudge", "sleep 0.3; cat"]);

    let body = json!({"projectId": "web", "harness": "shell", "command": ["sleep", "1000"]}).to_string();
    let host = format!("127.0.0.1:{}", world.port());
    let headers = [
        ("Host", host.as_str()),
        ("Content-Type", "application/json"),
        ("Prefer", "respond-async"),
    ];
    let answer = world
        .http()
        .raw("POST", "/api/v1/sessions", &headers, body.as_bytes())
        .unwrap();
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    let id = answer.json()["session"]["id"].as_str().unwrap().to_owned();

    for _ in 0..2 {
        settle("git adds the worktree", || {
            !adding(&world).is_empty() || world.session(&id)["phase"] == "live"
        });
        world.kill_9();
        let left = adding(&world);
        assert!(left.len() <= 1, "{left:?}");
        world.start();
    }
    let began = Instant::now();
    loop {
        let now = adding(&world);
        assert!(now.len() <= 1, "two at work on one session: {now:?}");
        if world.session(&id)["status"] == "working" {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{}",
            world.session(&id)
        );
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let worktree = world.session(&id)["worktree"]["path"]
        .as_str()
        .unwrap()
        .to_owned();
    for number in 0..8 {
        assert_eq!(
            fs::read_to_string(format!("{worktree}/file-{number}.slow")).unwrap(),
            "content\n"
        );
    }
    assert_eq!(world.census().worktrees.len(), 1);
    world.ao(&["session", "kill", &id]).ok();
    assert_eq!(world.until(&id, "phase", "ended")["worktree"]["state"], "removed");
}
