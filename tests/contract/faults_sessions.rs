//! Faults that the original is known for, by their numbers: what became of a session between two steps of its life.

use std::fs;
use std::time::{Duration, Instant};

use ao_tests::github::GitHub;
use ao_tests::{Census, World, not_tested, settle};
use serde_json::{Value, json};

use crate::{AO, STAND_IN};

fn ask(world: &World, method: &str, path: &str) -> (u16, Value) {
    let answer = world.ask(method, path, None);
    (answer.status, answer.json())
}

fn shell(command: &[&str]) -> Value {
    json!({"projectId": "web", "harness": "shell", "command": command})
}

fn nothing_is_left(world: &World) {
    settle("nothing is left", || {
        world.census().to_string() == Census::of_sessions(0)
    });
}

/// Runs a command before the agent that waits until the file `go` is there.
fn gated(world: &World) {
    let wait = format!("until [ -e {} ]; do sleep 0.02; done", world.dir.join("go"));
    let config = json!({"config": {"postCreate": [wait]}});
    let answer = world.ask("PUT", "/api/v1/projects/web/config", Some(&config));
    assert_eq!(answer.status, 200);
}

/// Sends a request and leaves when `reached` holds.
fn ask_and_leave(world: &World, path: &str, body: &Value, reached: impl Fn() -> bool) {
    let mut http = world.http();
    let (host, body) = (format!("127.0.0.1:{}", world.port()), body.to_string());
    let headers = [("Host", host.as_str()), ("Content-Type", "application/json")];
    http.send("POST", path, &headers, body.as_bytes()).unwrap();
    settle("it is under way", reached);
    drop(http);
}

/// The daemon was killed between two steps: a row that no kill, restore or cleanup would touch, for ever.
#[test]
fn s_06_a_spawn_that_a_kill_cut_short_goes_on_and_can_be_killed() {
    for point in [
        "intent.spawn.after",
        "spawn.to_worktree.after",
        "spawn.worktree.after",
        "spawn.runtime.after",
    ] {
        let mut world = World::started(AO);
        for (id, is_killed) in [("web-1", false), ("web-2", true)] {
            world.arm(point, "kill");
            let _ = world
                .http()
                .ask("POST", "/api/v1/sessions", Some(&shell(&["sleep", "1000"])));
            world.wait_for_the_end();
            assert!(world.fired(), "{point}");
            world.start();
            if is_killed {
                let (status, said) = ask(&world, "POST", &format!("/api/v1/sessions/{id}/kill"));
                assert!(matches!(status, 200 | 202), "{point}: {said}");
                world.until(id, "phase", "ended");
            } else {
                world.until(id, "status", "working");
            }
        }
        settle("one of two is there", || {
            world.census().to_string() == Census::of_sessions(1)
        });
        world.ao(&["kill", "web-1"]).ok();
        world.until("web-1", "phase", "ended");
        nothing_is_left(&world);
    }
}

/// The client's leaving cancelled what it had asked for half-way, and the taking back of it as well.
#[test]
fn s_07_a_client_that_leaves_in_the_middle_changes_nothing() {
    let mut world = World::new(AO);
    world.set("AO_REQUEST_TIMEOUT", "500ms");
    world.begin();
    gated(&world);
    // One leaves, of one the time is over, and one whose spawn is going to fail leaves as well.
    ask_and_leave(&world, "/api/v1/sessions", &shell(&["sleep", "1000"]), || {
        world.get("/api/v1/sessions")["sessions"][0]["phase"] == "provision"
    });
    let late = world.ask("POST", "/api/v1/sessions", Some(&shell(&["sleep", "1000"])));
    assert_eq!(late.status, 202);
    let fails = json!({"config": {"postCreate": [format!("until [ -e {} ]; do sleep 0.02; done; exit 3", world.dir.join("go"))]}});
    assert_eq!(
        world
            .ask("PUT", "/api/v1/projects/web/config", Some(&fails))
            .status,
        200
    );
    ask_and_leave(&world, "/api/v1/sessions", &shell(&["sleep", "1000"]), || {
        world.get("/api/v1/sessions")["sessions"][2]["phase"] == "provision"
    });
    fs::write(world.dir.join("go"), "").unwrap();
    for id in ["web-1", "web-2"] {
        world.until(id, "status", "working");
    }
    let failed = world.until("web-3", "phase", "ended");
    assert_eq!(
        (&failed["status"], &failed["worktree"]["state"]),
        (&json!("failed"), &json!("removed"))
    );
    settle("two are there", || {
        world.census().to_string() == Census::of_sessions(2)
    });
    // A kill whose client leaves is a kill.
    for id in ["web-1", "web-2"] {
        ask_and_leave(&world, &format!("/api/v1/sessions/{id}/kill"), &json!({}), || {
            world.session(id)["desired"] == "stop"
        });
        world.until(id, "phase", "ended");
    }
    nothing_is_left(&world);
}

/// A kill during a spawn was lost, two restores raced for one name, and a cleanup took what had been restored meanwhile.
#[test]
fn s_08_a_kill_during_a_spawn_wins_one_of_two_restores_does_and_a_cleanup_takes_nothing_restored() {
    let world = World::started(AO);
    gated(&world);
    let starts = world.dir.join("starts");
    let script = format!(
        "echo $AO_SESSION_ID $AO_GENERATION >> {starts}; [ -e {}/ends ] || exec sleep 1000",
        world.dir
    );
    let command = ["/bin/sh", "-c", script.as_str()];
    std::thread::scope(|scope| {
        scope.spawn(|| world.ask("POST", "/api/v1/sessions", Some(&shell(&command))));
        settle("it is coming up", || {
            world.get("/api/v1/sessions")["sessions"][0]["phase"] == "provision"
        });
        let (status, _) = ask(&world, "POST", "/api/v1/sessions/web-1/kill");
        assert!(matches!(status, 200 | 202));
        fs::write(world.dir.join("go"), "").unwrap();
    });
    let killed = world.until("web-1", "phase", "ended");
    assert_eq!(
        (&killed["status"], &killed["endReason"]),
        (&json!("terminated"), &json!("killed"))
    );
    assert!(
        !starts.exists(),
        "an agent was started that nobody wanted any more"
    );
    nothing_is_left(&world);

    fs::write(world.dir.join("ends"), "").unwrap();
    let id = world.spawn(&script);
    world.until(&id, "phase", "finished");
    for generation in 2..9 {
        // In the first round nobody cleans up: one of the two is taken, whatever else.
        let cleans = generation > 2;
        fs::remove_file(world.dir.join("ends")).unwrap();
        let body = json!({"startOver": true});
        let path = format!("/api/v1/sessions/{id}/restore");
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let restores: Vec<_> = (0..2)
                .map(|_| scope.spawn(|| world.ask("POST", &path, Some(&body)).status))
                .collect();
            // A cleanup that saw it over comes in between. It waits for nobody who was faster.
            if cleans {
                scope.spawn(|| {
                    let began = Instant::now();
                    assert_eq!(ask(&world, "POST", "/api/v1/sessions/cleanup").0, 200);
                    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
                });
            }
            restores
                .into_iter()
                .map(|restore| restore.join().unwrap())
                .collect()
        });
        let won = statuses.iter().filter(|status| **status != 409).count();
        assert!(
            statuses.iter().all(|status| matches!(status, 200 | 202 | 409)),
            "{statuses:?}"
        );
        // Two are refused where the cleanup was first: then it is being ended.
        assert!(won == 1 || (cleans && won == 0), "{statuses:?}");
        if won == 1 {
            let session = world.until(&id, "status", "working");
            assert_eq!(session["worktree"]["state"], "active");
            assert!(
                fs::metadata(session["worktree"]["path"].as_str().unwrap()).is_ok(),
                "it was taken"
            );
            settle("one of everything", || {
                world.census().to_string() == Census::of_sessions(1)
            });
        } else {
            world.until(&id, "phase", "ended");
            world.ao(&["session", "restore", &id, "--start-over"]).ok();
        }
        let session = world.until(&id, "status", "working");
        assert_eq!(session["generation"], generation);
        let mark = format!("{id} {generation}");
        let count = || {
            fs::read_to_string(&starts)
                .unwrap()
                .lines()
                .filter(|line| *line == mark)
                .count()
        };
        settle("its agent was started", || count() > 0);
        assert_eq!(count(), 1, "two of one run");
        fs::write(world.dir.join("ends"), "").unwrap();
        let pid = i32::try_from(session["agentPid"].as_u64().unwrap()).unwrap();
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(pid).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
        world.until(&id, "phase", "finished");
    }
    world.ao(&["kill", &id]).ok();
    world.until(&id, "phase", "ended");
    nothing_is_left(&world);
}

/// What was seen of a repository was written over a whole row: a config of before came back, and an archived project. Here that is
/// absent by construction, for observers never write `projects`; what is shown is that it stays so.
#[test]
fn s_14_what_observers_write_leaves_a_projects_config_and_its_archive_alone() {
    let github = GitHub::now();
    github.token("t0", "octocat").repository("acme/web");
    let mut world = World::new(AO);
    world.git(&["remote", "add", "origin", "https://github.com/acme/web.git"]);
    world.set("AO_GITHUB_API", &github.url());
    world.set("GITHUB_TOKEN", "t0");
    world.set("AO_FORGE_TICK", "200ms");
    world.start_with_a_pull_request(&github, "acme/web");
    let listed = || world.query("SELECT coalesce(max(listed_at), '') FROM repositories");
    let until_listed_again = || {
        let before = listed();
        settle("the repository is listed again", || listed() != before);
    };
    settle("it is listed", || !listed().is_empty());
    let origin = world.get("/api/v1/projects/web")["project"]["repo"].clone();
    for n in 0..20 {
        let body = json!({"config": {"rules": format!("rule {n}"), "reclaimOnMerge": n % 2 == 0}});
        assert_eq!(
            world
                .ask("PUT", "/api/v1/projects/web/config", Some(&body))
                .status,
            200
        );
        if n % 4 == 0 {
            until_listed_again();
        }
        let project = world.get("/api/v1/projects/web")["project"].clone();
        assert_eq!(project["config"]["rules"], format!("rule {n}"));
        assert_eq!(project["config"]["reclaimOnMerge"] == true, n % 2 == 0);
        assert_eq!(project["repo"], origin);
    }
    world.ao(&["kill", "web-1"]).ok();
    world.until("web-1", "phase", "ended");
    until_listed_again(); // of one that is over a pull request is followed on
    world.ao(&["project", "rm", "web", "--yes"]).ok();
    // Whoever was about to write something has written it by then.
    settle("nobody looks at it any more", || {
        let tree = world.tree();
        [
            "ao/observe/pulls/1",
            "ao/observe/repositories/github.com/acme/web",
        ]
        .iter()
        .all(|path| tree.node(path).is_none())
    });
    assert_eq!(
        world.get("/api/v1/projects")["projects"],
        json!([]),
        "it came back"
    );
    let kept =
        world.query("SELECT json_extract(config, '$.rules') FROM projects WHERE archived_at IS NOT NULL");
    assert_eq!(kept, "rule 19");
}

/// `kill -9` in the middle of a kill left the agent, its runtime and its worktree, and nobody came back for them.
#[test]
fn s_15_a_kill_that_the_daemon_did_not_survive_is_finished_by_the_next_one() {
    for point in [
        "intent.stop.after",
        "stop.to_stopping.after",
        "stop.agent.after",
        "stop.runtime.after",
        "stop.to_freeing.after",
    ] {
        let mut world = World::started(AO);
        let id = world.spawn("sleep 1000 & (setsid sleep 1000 &); exec sleep 1000");
        world.until(&id, "status", "working");
        world.arm(point, "kill");
        let _ = world
            .http()
            .ask("POST", &format!("/api/v1/sessions/{id}/kill"), None);
        world.wait_for_the_end();
        assert!(world.fired(), "{point}");
        // Nobody asks for anything more.
        world.start();
        let ended = world.until(&id, "phase", "ended");
        assert_eq!(
            (&ended["endReason"], &ended["worktree"]["state"]),
            (&json!("killed"), &json!("removed")),
            "{point}"
        );
        nothing_is_left(&world);
    }
}

/// A mark that was never taken away: what a restart had brought back once was started again at each later one, killed or not.
#[test]
fn s_16_what_came_back_once_and_was_killed_stays_killed_at_every_later_start() {
    if !rustix::process::getuid().is_root() {
        not_tested(
            "s_16_what_came_back_once_and_was_killed_stays_killed_at_every_later_start",
            "only root may mount a file over the boot id",
        );
        return;
    }
    let mut world = World::new(AO);
    world.agent(STAND_IN);
    world.set("AO_AUTORESTORE", "1");
    world.begin();
    let (killed, goes_on) = (world.spawn_claude("one"), world.spawn_claude("two"));
    for id in [&killed, &goes_on] {
        world.keep_the_conversation(id);
    }
    settle("both were asked", || world.asked().len() == 2);
    let back = |world: &World, id: &str, generation: u64| {
        settle(&format!("{id} is back"), || {
            let session = world.session(id);
            session["phase"] == "live" && session["generation"] == generation
        });
    };
    world.reboot();
    world.start();
    back(&world, &killed, 2);
    back(&world, &goes_on, 2);
    world.ao(&["kill", &killed]).ok();
    let over = world.until(&killed, "phase", "ended");
    assert_eq!(over["endReason"], "killed");
    for boot in 3..6 {
        world.reboot();
        world.start();
        back(&world, &goes_on, boot);
        let now = world.session(&killed);
        assert_eq!(
            (&now["phase"], &now["generation"], &now["endReason"]),
            (&json!("ended"), &json!(2), &json!("killed"))
        );
        settle("one of everything", || {
            world.census().to_string() == Census::of_sessions(1)
        });
        // And a start without a restart of the machine finds what runs.
        let pid = world.session(&goes_on)["agentPid"].clone();
        world.kill_9();
        world.start();
        assert_eq!(world.session(&goes_on)["agentPid"], pid);
    }
    let mut asked = world.asked();
    asked.sort();
    assert_eq!(asked, ["one", "two"], "nothing is asked again");
    world.ao(&["kill", &goes_on]).ok();
    world.until(&goes_on, "phase", "ended");
}
