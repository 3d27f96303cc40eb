//! Commands against a stand-in for the daemon, and without one.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Asked, Reply, StandIn, World, run_file};
use serde_json::{Value, json};

/// A session as the daemon answers it, on its way up at `step`.
fn session(step: usize) -> Value {
    let (phase, status, reason) = [
        ("queued", "queued", "waiting for a place"),
        ("worktree", "queued", "making the worktree"),
        ("prepare", "queued", "preparing the launch"),
        ("launch", "queued", "starting the agent"),
        ("live", "working", "its process runs"),
    ][step.min(4)];
    json!({
        "id": "web-1", "projectId": "web", "kind": "worker", "harness": "shell", "runtime": "pty",
        "status": status, "reason": reason, "since": "2026-06-24T12:00:00.000Z", "evidence": "phase",
        "activity": {"state": "idle", "lastActivityAt": "2026-06-24T12:00:00.000Z", "doing": "none"},
        "phase": phase, "desired": "run", "generation": 1, "isTerminated": false,
        "branch": "ao/web-1", "base": "main",
        "worktree": {"path": "/data/worktrees/web/web-1", "state": "active", "holdings": []},
        "prs": [], "revision": step,
        "createdAt": "2026-06-24T12:00:00.000Z", "updatedAt": "2026-06-24T12:00:00.000Z",
    })
}

fn refusal(status: u16, code: &str, message: &str, details: &Value) -> Reply {
    let body =
        json!({"error": "refused", "code": code, "message": message, "requestId": "r1", "details": details});
    Reply::Json(status, body)
}

/// A daemon whose spawn takes one step each time the session is looked at.
fn spawning(with_events: bool) -> impl Fn(&Asked) -> Reply + Send + Sync {
    let step = AtomicUsize::new(0);
    move |asked| match asked.line.split(' ').take(2).collect::<Vec<_>>()[..] {
        ["POST", "/api/v1/sessions"] => Reply::Json(202, json!({"session": session(0)})),
        ["GET", "/api/v1/sessions/web-1"] => Reply::Json(
            200,
            json!({"session": session(step.fetch_add(1, Ordering::SeqCst) + 1)}),
        ),
        ["GET", "/api/v1/events?after=5"] if with_events => Reply::Stream,
        ["GET", path] if with_events && path.starts_with("/api/v1/events") => {
            refusal(400, "INVALID_AFTER", "too far", &json!({"head": 5}))
        }
        _ => refusal(404, "ROUTE_NOT_FOUND", "no such route", &json!({})),
    }
}

const STEPS: &str = "web-1: waiting for a place\nweb-1: making the worktree\nweb-1: preparing the launch\n\
    web-1: starting the agent\nweb-1: working: its process runs\n";

#[test]
fn a_spawn_shows_every_step_as_it_is_announced() {
    let world = World::new().with("AO_SESSION_ID", "web-7");
    let daemon = StandIn::serve(&world, spawning(true));
    let begun = Instant::now();
    let said = world.ao(&["spawn", "--project", "web", "--", "make", "test all"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.err, STEPS);
    assert_eq!(
        said.out,
        "spawned session web-1 (working)\n  worktree: /data/worktrees/web/web-1\n  branch: ao/web-1 (from main)\n\
         attach with: ao attach web-1\n"
    );
    // Four steps, looked at once a second where nobody announces them.
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "it waited instead of listening"
    );

    let asked = daemon.until_asked("POST /api/v1/sessions ");
    assert_eq!(asked.headers["host"], format!("127.0.0.1:{}", daemon.port));
    assert_eq!(asked.headers["authorization"], "Bearer the-token");
    assert_eq!(asked.headers["content-type"], "application/json");
    assert_eq!(asked.headers["ao-session"], "web-7");
    assert_eq!(asked.headers["prefer"], "respond-async");
    assert_eq!(asked.headers["idempotency-key"].len(), 32);
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(
        body,
        json!({"projectId": "web", "harness": "shell", "command": ["make", "test all"]})
    );
}

#[test]
fn a_spawn_shows_every_step_when_nobody_announces_any() {
    let world = World::new();
    let _daemon = StandIn::serve(&world, spawning(false));
    let said = world.ao(&["spawn", "--project", "web", "--", "true"]);
    assert_eq!((said.code, said.err.as_str()), (0, STEPS), "{said:?}");
    let said = world.ao(&["spawn", "--project", "web", "--detach", "--json", "--", "true"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    let printed: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(printed["session"]["phase"], "queued");
}

#[test]
fn a_spawn_that_fails_says_why() {
    let world = World::new();
    let _daemon = StandIn::serve(&world, |asked| {
        let mut failed = session(0);
        if asked.line.starts_with("GET") {
            failed["phase"] = json!("ended");
            failed["status"] = json!("failed");
            failed["reason"] = json!("no space left");
            failed["endReason"] = json!("spawn_failed");
            failed["failure"] = json!("no space left");
        }
        Reply::Json(202, json!({"session": failed}))
    });
    let said = world.ao(&["spawn", "--project", "web", "--", "true"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert!(
        said.err.ends_with(
            "session web-1 could not be started: no space left\neverything about it: ao session get web-1\n"
        ),
        "{said:?}"
    );
}

#[test]
fn a_mistyped_id_is_answered_with_the_nearest() {
    let world = World::new();
    let _daemon = StandIn::serve(&world, |asked| match asked.line.as_str() {
        "GET /api/v1/sessions HTTP/1.1" => Reply::Json(200, json!({"sessions": [session(4)]})),
        _ => refusal(
            404,
            "SESSION_NOT_FOUND",
            "there is no session `wbe-1`",
            &json!({}),
        ),
    });
    let said = world.ao(&["kill", "wbe-1"]);
    assert_eq!(said.code, 1);
    assert_eq!(
        said.err,
        "there is no session `wbe-1` (SESSION_NOT_FOUND) [request r1]\ndid you mean `web-1`? all of them: ao session ls\n"
    );
    let said = world.ao(&["session", "get", "wbe-1", "--json"]);
    let printed: Value = serde_json::from_str(&said.err).unwrap();
    assert_eq!(
        (said.code, &printed["code"]),
        (1, &json!("SESSION_NOT_FOUND")),
        "{said:?}"
    );
}

#[test]
fn without_a_daemon_every_command_names_the_one_that_starts_it() {
    let world = World::new();
    let commands: [&[&str]; 8] = [
        &[],
        &["project", "ls"],
        &["project", "add", "/"],
        &["spawn", "--project", "web", "--", "true"],
        &["session", "ls"],
        &["kill", "web-1"],
        &["tree"],
        &["tree", "resume", "ao/act"],
    ];
    for command in commands {
        let said = world.ao(command);
        assert_eq!(said.code, 1, "{command:?}");
        assert_eq!(
            said.err, "no daemon is running: start it with `ao start`\n",
            "{command:?}"
        );
        assert_eq!(said.out, "", "{command:?}");
    }
    let said = world.ao(&["session", "ls", "--json"]);
    let printed: Value = serde_json::from_str(&said.err).unwrap();
    assert_eq!(printed["code"], "NO_DAEMON");
    let said = world.ao(&["status", "--json"]);
    let printed: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, &printed["state"]), (0, &json!("stopped")));
    assert_eq!(world.ao(&["stop"]).code, 0);
}

#[test]
fn nothing_is_sent_where_the_run_file_leads_to_a_stranger() {
    let world = World::new();
    let stranger = StandIn::serve(&world, |_| refusal(500, "X", "x", &json!({})));
    let mut reused = run_file(stranger.port);
    reused.started += 1;
    reused.write(&world.run_file()).unwrap();
    let said = world.ao(&["session", "ls"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("its number belongs to another program now"),
        "{said:?}"
    );
    assert!(said.err.contains("ao start"), "{said:?}");

    run_file(stranger.port).write(&world.run_file()).unwrap();
    std::fs::set_permissions(world.run_file(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = world.ao(&["session", "ls"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("others can read it"), "{said:?}");
    assert!(stranger.asked().is_empty(), "{:?}", stranger.asked());
}

#[test]
fn a_daemon_that_does_not_serve_is_told_from_one_that_is_gone() {
    let world = World::new();
    let nobody = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    run_file(nobody).write(&world.run_file()).unwrap();
    let said = world.ao(&["session", "ls"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("does not answer on port"), "{said:?}");
    let said = world.ao(&["status"]);
    assert!(said.out.starts_with("AO daemon: unhealthy\n"), "{said:?}");
    // Somebody else of ours who answers there is not the daemon either.
    let _other = StandIn::serve(&world, |_| {
        Reply::Json(
            200,
            json!({"status": "ok", "service": "something else", "pid": 1}),
        )
    });
    let said = world.ao(&["status"]);
    assert!(
        said.out.contains("was answered by `something else`, process 1"),
        "{said:?}"
    );
}

#[test]
fn misuse_exits_with_two_and_says_so_on_standard_error_alone() {
    let world = World::new();
    let misused: [&[&str]; 10] = [
        &["bogus"],
        &["session", "bogus"],
        &["kill"],
        &["kill", ""],
        &["kill", "../x-1"],
        &["kill", "web-1", "more"],
        &["kill", "web-1", "--project", "api"],
        &["start", "--timeout", "0s"],
        &["--bogus"],
        &["project", "get", "a/b"],
    ];
    for words in misused {
        let said = world.ao(words);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{words:?}: {said:?}");
        assert!(
            !said.err.contains("Usage:") && !said.err.is_empty(),
            "{words:?}: {said:?}"
        );
        let json: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
        let said = world.ao(&json);
        let printed: Value =
            serde_json::from_str(&said.err).unwrap_or_else(|_| panic!("{words:?}: {said:?}"));
        assert_eq!((said.code, &printed["error"]), (2, &json!("misuse")), "{words:?}");
    }
}

#[test]
fn help_and_version_need_nothing() {
    let world = World::new().with("AO_PORT", "notaport").with("AO_DATA_DIR", "~");
    for words in [
        &["--help"][..],
        &["help", "spawn"],
        &["session"],
        &["project"],
        &["tree", "--help"],
    ] {
        let said = world.ao(words);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{words:?}");
        assert!(said.out.contains("Examples:"), "{words:?}");
        assert!(
            !said.out.contains("\n  crash ") && !said.out.contains("\n  daemon "),
            "{words:?}: {}",
            said.out
        );
    }
    let chaos = world.with("AO_CHAOS", "1");
    let said = chaos.ao(&["tree", "--help"]);
    assert!(
        said.out.contains("\n  crash ") && said.out.contains("\n  hang "),
        "{said:?}"
    );
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(chaos.ao(&["version"]).out, format!("{version}\n"));
    assert_eq!(chaos.ao(&["--version"]).out, format!("ao version {version}\n"));
    let printed: Value = serde_json::from_str(&chaos.ao(&["version", "--json"]).out).unwrap();
    assert_eq!(printed, json!({"version": version}));
}

#[test]
fn all_bad_variables_are_named_before_anything_starts() {
    let world = World::new()
        .with("AO_PORT", "notaport")
        .with("AO_SHUTDOWN_TIMEOUT", "0s");
    for words in [&["start"][..], &["status"], &["daemon"]] {
        let said = world.ao(words);
        assert_eq!(said.code, 1, "{words:?}");
        assert!(
            said.err.contains("AO_PORT is `notaport`") && said.err.contains("AO_SHUTDOWN_TIMEOUT is `0s`"),
            "{words:?}: {said:?}"
        );
    }
    assert!(!world.data().exists());
    // Who does not use them is not held up.
    assert_eq!(world.ao(&["stop"]).code, 0);
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let world = World::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = world.command(&["status"]).stdout(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
}
