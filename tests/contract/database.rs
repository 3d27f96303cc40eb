//! The database and the disk under it: refused, named, salvaged; never half-changed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ao_tests::{World, not_tested, settle};
use serde_json::Value;

use crate::AO;

fn start_refused(world: &World, words: &[&str]) {
    let said = world.ao(&["start"]);
    assert_eq!(said.code, 1, "{said:?}");
    for word in words {
        assert!(said.err.contains(word), "`{word}` is not said: {said:?}");
    }
}

fn files(world: &World) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(&world.data)
        .unwrap()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("ao."))
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    found.sort();
    found
}

#[test]
fn a_database_from_a_newer_version_is_refused_and_left_to_the_byte() {
    let mut world = World::started(AO);
    world.ao(&["stop"]).ok();
    world.wait_for_the_end();
    world.sql("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_from_the_future', 0)");
    let before = files(&world);
    start_refused(&world, &["newer", "ao.sqlite3"]);
    assert!(before == files(&world), "the database was touched");
}

#[test]
fn a_damaged_database_is_refused_salvaged_and_live_agents_are_adopted_again() {
    let mut world = World::started(AO);
    let id = world.spawn("exec sleep 1000");
    let session = world.until(&id, "status", "working");
    world.kill_9();
    let database = world.data.join("ao.sqlite3");
    for journal in ["ao.sqlite3-wal", "ao.sqlite3-shm"] {
        let _ = fs::remove_file(world.data.join(journal));
    }
    fs::write(&database, b"this was a database once").unwrap();
    start_refused(&world, &["ao.sqlite3", "ao doctor --salvage"]);
    assert_eq!(fs::read(&database).unwrap(), b"this was a database once");
    let doctor = world.ao(&["doctor"]);
    assert_eq!(doctor.code, 1, "{doctor:?}");
    let salvage = world.ao(&["doctor", "--salvage"]);
    assert!(
        salvage.out.contains("damaged") || salvage.out.contains("aside"),
        "{salvage:?}"
    );
    let kept = files(&world)
        .into_iter()
        .any(|(name, bytes)| name != "ao.sqlite3" && bytes == b"this was a database once");
    assert!(kept, "the damaged file is gone");
    world.start();
    let again = world.until(&id, "status", "working");
    for same in ["id", "agentPid", "branch", "generation", "projectId"] {
        assert_eq!(again[same], session[same], "{same}");
    }
    assert_eq!(again["worktree"]["path"], session["worktree"]["path"]);
    world.ao(&["session", "kill", &id]).ok();
    assert_eq!(world.until(&id, "phase", "ended")["worktree"]["state"], "removed");
}

#[test]
fn the_originals_database_and_daemon_are_named_and_left_alone() {
    let mut world = World::new(AO);
    fs::create_dir_all(&world.data).unwrap();
    world.sql_in(
        "ao.db",
        "CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY, version_id INTEGER NOT NULL)",
    );
    let originals = fs::read(world.data.join("ao.db")).unwrap();
    let run_file = world.dir.join("running.json");
    // Its run file: no token, no start time. Its process is alive: this one.
    let original = format!(
        "{{\n  \"pid\": {},\n  \"port\": 3001,\n  \"startedAt\": \"2026-06-07T10:00:00.123456Z\"\n}}\n",
        std::process::id()
    );
    fs::write(&run_file, &original).unwrap();
    fs::set_permissions(&run_file, fs::Permissions::from_mode(0o600)).unwrap();
    let said = world.ao(&["start"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.err.contains("original") && said.err.contains(&std::process::id().to_string()),
        "{said:?}"
    );
    assert_eq!(fs::read_to_string(&run_file).unwrap(), original);
    let stop = world.ao(&["stop"]);
    assert_eq!(stop.code, 1, "it is not ours to stop: {stop:?}");
    let doctor = world.ao(&["doctor", "--json"]);
    let checks: Value = doctor.json();
    assert!(checks.to_string().contains("ao.db"), "{checks}");
    fs::remove_file(&run_file).unwrap();
    world.start();
    assert!(
        fs::read(world.data.join("ao.db")).unwrap() == originals,
        "the original's database was touched"
    );
}

#[test]
fn a_full_disk_is_an_error_and_nothing_that_was_there_is_lost() {
    let mut world = World::new(AO);
    world.set("AO_REQUEST_TIMEOUT", "2s"); // a spawn that cannot go on is answered as it stands
    world.start();
    world
        .ao(&["project", "add", world.repo.as_str(), "--id", "web"])
        .ok();
    let id = world.spawn("exec sleep 1000");
    let before = world.until(&id, "status", "working");
    world.kill_9();
    // No file may grow past what the database has now: every commit of a new page fails as on a full disk.
    let size = fs::metadata(world.data.join("ao.sqlite3")).unwrap().len().max(1);
    world.limit_files(size);
    let refused = world.try_start();
    if refused.is_none() {
        let body = serde_json::json!({"projectId": "web", "harness": "shell", "command": ["true", "x".repeat(60_000)]});
        let mut failed = false;
        for _ in 0..50 {
            let answer = world.ask("POST", "/api/v1/sessions", Some(&body));
            if answer.status >= 500 {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                assert!(
                    text.to_lowercase().contains("full") || text.to_lowercase().contains("space"),
                    "{text}"
                );
                failed = true;
                break;
            }
        }
        assert!(failed, "the disk was never full");
        assert_eq!(
            world.session(&id)["agentPid"],
            before["agentPid"],
            "what was there is still shown"
        );
        world.kill_9();
    }
    world.no_limit();
    world.start();
    let after = world.until(&id, "status", "working");
    assert_eq!(after["agentPid"], before["agentPid"]);
    settle("new sessions can be spawned again", || {
        world.session(&world.spawn("exec sleep 1000"))["status"] == "working"
    });
}

/// The same with a disk that is really full: a small one of its own under the data directory, in a mount namespace.
#[test]
fn a_really_full_disk_is_an_error_and_nothing_that_was_there_is_lost() {
    if !rustix::process::getuid().is_root() {
        not_tested(
            "a_really_full_disk_is_an_error_and_nothing_that_was_there_is_lost",
            "only root may mount; the file size limit is tested everywhere",
        );
        return;
    }
    let mut world = World::new(AO);
    world.set("AO_REQUEST_TIMEOUT", "2s");
    world.on_a_disk_of(3 * 1024 * 1024);
    world.start();
    world
        .ao(&["project", "add", world.repo.as_str(), "--id", "web"])
        .ok();
    let body = serde_json::json!({"projectId": "web", "harness": "shell", "command": ["/bin/true", "x".repeat(60_000)]});
    let (mut refused, mut made) = (None, 0);
    for _ in 0..200 {
        let answer = world.ask("POST", "/api/v1/sessions", Some(&body));
        if answer.status >= 500 {
            refused = Some(answer);
            break;
        }
        made += 1;
    }
    let refused = refused.expect("the disk was never full");
    let text = String::from_utf8_lossy(&refused.body).to_lowercase();
    assert!(text.contains("full") || text.contains("space"), "{text}");
    assert!(text.contains("make room, then repeat this"), "{text}");
    let sessions = world.get("/api/v1/sessions");
    assert_eq!(
        sessions["sessions"].as_array().unwrap().len(),
        made,
        "what was answered is there, and nothing else"
    );
    assert_eq!(world.get("/healthz")["pid"], world.pid());
}
