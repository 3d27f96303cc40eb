//! Bad input: each a clear message with the next step, and nothing left behind.

use std::fs;
use std::process::Stdio;

use ao_tests::{Ao, Census, World};

use crate::AO;

/// It failed with one of our messages, and nothing came of it.
fn refused(world: &World, said: &Ao, words: &[&str]) {
    assert_eq!(said.code, 1, "{said:?}");
    for word in words {
        assert!(said.err.contains(word), "`{word}` is not said: {said:?}");
    }
    assert!(
        !said.err.contains("panicked") && !said.err.contains("Error {"),
        "{said:?}"
    );
    let census = world.census();
    assert_eq!(census.to_string(), Census::of_sessions(0), "{said:?}");
}

#[test]
fn what_is_no_project_is_refused_and_says_what_to_do() {
    let world = World::started(AO);
    let add = |path: &str| world.ao(&["project", "add", path]);
    let make = |name: &str| {
        let path = world.dir.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    refused(
        &world,
        &add(make("plain").as_str()),
        &["not a git repository", "git init"],
    );
    refused(
        &world,
        &add(world.dir.join("nowhere").as_str()),
        &["is not there"],
    );
    let empty = make("unborn");
    world.git_in(&empty, &["init", "-q", "-b", "main"]);
    refused(&world, &add(empty.as_str()), &["no commits"]);
    let bare = make("bare");
    world.git_in(&bare, &["init", "-q", "--bare"]);
    refused(&world, &add(bare.as_str()), &["is a bare repository"]);
    let inner = world.repo.join("inner");
    fs::create_dir_all(&inner).unwrap();
    refused(&world, &add(inner.as_str()), &["inside the repository"]);
    refused(&world, &add(world.repo.as_str()), &["registered"]);
    assert_eq!(
        world.ao(&["project", "ls", "--json"]).ok().json()["projects"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn what_cannot_be_spawned_is_refused_and_leaves_nothing() {
    let world = World::started(AO);
    let spawn = |arguments: &[&str]| world.ao(&[&["spawn", "--project", "web"], arguments].concat());
    refused(
        &world,
        &spawn(&["--agent", "shel", "--", "true"]),
        &["shel", "shell"],
    );
    refused(
        &world,
        &spawn(&["--agent", "shell", "--", "no-such-program-here"]),
        &["no-such-program-here", "not found"],
    );
    refused(&world, &spawn(&["--agent", "shell"]), &["needs a command"]);
    refused(
        &world,
        &spawn(&["--agent", "shell", "--branch", "a..b", "--", "true"]),
        &["a..b"],
    );
    refused(
        &world,
        &world.ao(&["spawn", "--project", "wbe", "--agent", "shell", "--", "true"]),
        &["wbe"],
    );
    let outside = world.dir.join("other");
    world.make_repository(&outside);
    let said = world.ao_in(&outside, &["spawn", "--agent", "shell", "--", "true"]);
    refused(&world, &said, &["ao project add"]);
    let aside = world.dir.join("aside");
    fs::rename(&world.repo, &aside).unwrap();
    let said = spawn(&["--agent", "shell", "--", "true"]);
    assert!(said.code == 1 && said.err.contains("is not there"), "{said:?}");
    fs::rename(&aside, &world.repo).unwrap();
    refused(&world, &said, &[]);
    assert_eq!(
        world.get("/api/v1/sessions")["sessions"],
        serde_json::json!([]),
        "refused before a row was written"
    );
    // Only git knows this one: the session says why it failed, and takes back what it made.
    refused(
        &world,
        &spawn(&["--agent", "shell", "--branch", "main", "--", "true"]),
        &["main", "checked out"],
    );
    // Inside a registered repository nobody has to be named.
    let said = world
        .ao_in(
            &world.repo,
            &["spawn", "--agent", "shell", "--json", "--", "sleep", "1000"],
        )
        .ok();
    assert!(said.out.contains("web-"), "{said:?}");
}

/// An answer that is empty because there is no such project would hide a slip of the finger.
#[test]
fn a_project_that_is_none_is_refused_by_every_command_and_the_nearest_is_named() {
    let world = World::started(AO);
    let id = world.spawn("exec sleep 1000");
    let id = id.as_str();
    let other = world.dir.join("other");
    world.make_repository(&other);
    let moved = other.as_str();
    let commands: [&[&str]; 15] = [
        &["spawn", "--project", "wbe", "--", "true"],
        &["orchestrator", "start", "--project", "wbe", "--", "true"],
        &["orchestrator", "ls", "--project", "wbe"],
        &["session", "ls", "--project", "wbe"],
        &["session", "get", id, "--project", "wbe"],
        &["session", "restore", "--all", "--project", "wbe"],
        &["session", "cleanup", "--project", "wbe", "--yes"],
        &["kill", id, "--project", "wbe"],
        &["events", "--project", "wbe"],
        &["pr", "ls", "--project", "wbe"],
        &["project", "get", "wbe"],
        &["project", "set-config", "wbe", "--reclaim-on-merge", "on"],
        &["project", "move", "wbe", moved],
        &["project", "rm", "wbe"],
        &["project", "rm", "wbe", "--yes"],
    ];
    for words in commands {
        let said = world.ao(words);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{words:?}: {said:?}");
        for part in [
            "there is no project `wbe`",
            "(PROJECT_NOT_FOUND)",
            "did you mean `web`? all of them: ao project ls",
        ] {
            assert!(said.err.contains(part), "{words:?}: {said:?}");
        }
    }
    // One that is there is answered as ever, also where that is nothing.
    let none = world.ao(&["orchestrator", "ls", "--project", "web"]).ok();
    assert!(none.out.contains("(no orchestrators)"), "{none:?}");
    // A session of another project is none of the one that is named, and nothing is done to it.
    world.ao(&["project", "add", moved, "--id", "api"]).ok();
    for command in [&["kill"][..], &["session", "get"]] {
        let said = world.ao(&[command, &[id, "--project", "api"]].concat());
        assert_eq!(said.code, 2, "{said:?}");
        let belongs = format!("session {id} does not belong to project api");
        assert!(said.err.contains(&belongs), "{said:?}");
    }
    assert_eq!(world.session(id)["desired"], "run");
    // What was removed may be named for what its sessions left.
    world.ao(&["kill", id]).ok();
    world.until(id, "phase", "ended");
    world.ao(&["project", "rm", "web", "--yes"]).ok();
    let left = world
        .ao(&["session", "ls", "--project", "web", "--include-terminated"])
        .ok();
    assert!(left.out.contains(id), "{left:?}");
    let none = world.ao(&["pr", "ls", "--project", "web"]).ok();
    assert!(none.out.contains("(no pull requests)"), "{none:?}");
}

#[test]
fn a_mistyped_command_is_misuse_and_a_missing_daemon_is_named() {
    let world = World::new(AO);
    for arguments in [
        &["spwan"][..],
        &["session", "bogus"],
        &["session", "get"],
        &["tree", "--bogus"],
        &["project", "add", "a", "b"],
    ] {
        let said = world.ao(arguments);
        assert_eq!(said.code, 2, "{arguments:?}: {said:?}");
        assert!(
            !said.err.is_empty() && said.out.is_empty(),
            "{arguments:?}: {said:?}"
        );
    }
    for arguments in [
        &["session", "ls"][..],
        &["tree"],
        &["project", "ls"],
        &["session", "kill", "web-1"],
    ] {
        let said = world.ao(arguments);
        assert_eq!(said.code, 1, "{arguments:?}: {said:?}");
        assert!(said.err.contains("ao start"), "{arguments:?}: {said:?}");
    }
    let said = world
        .command(AO, &["start"])
        .env("AO_PORT", "no")
        .env("AO_REQUEST_TIMEOUT", "soon")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(
        text.contains("AO_PORT") && text.contains("AO_REQUEST_TIMEOUT"),
        "{text}"
    );
    assert!(!world.dir.join("running.json").exists());
}

#[test]
fn an_unknown_session_is_a_404_and_says_which_there_are() {
    let world = World::started(AO);
    for (method, path) in [
        ("GET", "/api/v1/sessions/web-9"),
        ("POST", "/api/v1/sessions/web-9/kill"),
    ] {
        let answer = world.ask(method, path, None);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "SESSION_NOT_FOUND")
        );
    }
    let said = world.ao(&["session", "kill", "web-9"]);
    assert!(said.code == 1 && said.err.contains("web-9"), "{said:?}");
    for body in [
        "",
        "{",
        "[]",
        "{\"projectId\":7}",
        "{\"projectId\":\"web\",\"command\":[\"true\"],\"bogus\":1}",
        "{\"projectId\":\"web\",\"command\":[\"true\"]} {}",
    ] {
        let host = format!("127.0.0.1:{}", world.port());
        let headers = [("Host", host.as_str()), ("Content-Type", "application/json")];
        let answer = world
            .http()
            .raw("POST", "/api/v1/sessions", &headers, body.as_bytes())
            .unwrap();
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "INVALID_JSON"),
            "{body}: {}",
            String::from_utf8_lossy(&answer.body)
        );
    }
}

#[test]
fn a_port_taken_by_a_stranger_is_named() {
    let mut world = World::new(AO);
    let stranger = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = stranger.local_addr().unwrap().port().to_string();
    world.set("AO_PORT", &port);
    let said = world.ao(&["start"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.err.contains(&port) && said.err.contains("AO_PORT"),
        "{said:?}"
    );
    assert!(!world.dir.join("running.json").exists());
    assert!(world.census().processes.is_empty(), "{:?}", world.census());
}

#[test]
fn a_run_file_whose_pid_was_used_again_is_stale() {
    let mut world = World::started(AO);
    let run_file = world.dir.join("running.json");
    let text = fs::read_to_string(&run_file).unwrap();
    world.kill_9();
    // The number lives again, as this test's process: it is another process by its start time.
    let pid = std::process::id();
    let mut run: serde_json::Value = serde_json::from_str(&text).unwrap();
    run["pid"] = pid.into();
    fs::write(&run_file, run.to_string()).unwrap();
    let status = world.ao(&["status", "--json"]).ok().json();
    assert_eq!(status["state"], "stale", "{status}");
    let stop = world.ao(&["stop"]);
    assert_eq!(stop.code, 0, "nothing runs: {stop:?}");
    world.start();
    assert_eq!(world.ao(&["status", "--json"]).ok().json()["state"], "ready");
}

#[test]
fn of_two_starts_at_once_one_wins_and_the_other_reports_it() {
    // Which of them is ahead, and by how much, is chance: several pairs, so that some are really at once.
    for _ in 0..5 {
        two_starts_at_once();
    }
}

fn two_starts_at_once() {
    let world = World::new(AO);
    let start = || {
        let mut command = world.command(AO, &["start", "--json"]);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ao can be started")
    };
    let both = [start(), start()].map(|child| child.wait_with_output().unwrap());
    let pids: Vec<serde_json::Value> = both
        .iter()
        .map(|output| {
            assert!(output.status.success(), "{output:?}");
            serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("JSON")["pid"].clone()
        })
        .collect();
    assert_eq!(pids[0], pids[1]);
    assert_eq!(world.census().running(" daemon").len(), 1, "{:?}", world.census());
    world.ao(&["stop"]).ok();
    assert!(world.census().processes.is_empty(), "{:?}", world.census());
}
