//! Faults that the original is known for, by their numbers: what became of work in a worktree, of orchestrators, and of what a client
//! asks for in two steps.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use ao_tests::{Census, World, settle, within};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{AO, STAND_IN};

fn worktree(world: &World, id: &str) -> Utf8PathBuf {
    let session = world.until(id, "phase", "live");
    Utf8PathBuf::from(session["worktree"]["path"].as_str().unwrap())
}

/// Every file below `at`, git's own link too, with what it holds.
fn contents(at: &Utf8Path) -> BTreeMap<Utf8PathBuf, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![at.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir_utf8().unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path().to_owned());
            } else {
                found.insert(entry.path().to_owned(), fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}

/// Work of every kind that the original lost: a commit on no branch, one on a branch of its own, a rebase that is not over, and files
/// that git was told to ignore.
fn full_of_work(world: &World, id: &str) -> Utf8PathBuf {
    let at = worktree(world, id);
    let git = |words: &[&str]| world.git_in(&at, words);
    fs::write(at.join("topic"), "on a topic branch\n").unwrap();
    git(&["switch", "-q", "-c", &format!("topic/{id}")]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "topic"]);
    git(&["checkout", "-q", "--detach"]);
    fs::write(at.join("detached"), "on no branch\n").unwrap();
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "detached"]);
    let mut rebase = world.command("git", &["-c", "user.name=t", "-c", "user.email=t@example.com"]);
    rebase.args(["-C", at.as_str(), "rebase", "-q", "--exec", "false", "HEAD~1"]);
    assert!(
        !rebase.output().unwrap().status.success(),
        "the rebase stops in the middle"
    );
    fs::write(at.join(".env"), "SECRET=1\n").unwrap();
    fs::write(at.join("README.md"), "changed\n").unwrap();
    at
}

fn started() -> World {
    let world = World::started(AO);
    world.commit(&[(".gitignore", ".env\n")]);
    world
}

/// What git says of a worktree.
fn index(world: &World, at: &Utf8Path) -> String {
    world.git_in(at, &["status", "--porcelain=v2", "--branch", "--ignored"])
}

fn refs(world: &World) -> String {
    world.git(&["for-each-ref", "--format=%(refname) %(objectname)"])
}

fn kill_agent(world: &World, id: &str) {
    let pid = world.session(id)["agentPid"].as_u64().unwrap();
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
}

/// Work was saved at the shutdown and its worktree removed: not all of it, and not always to where it came back from.
#[test]
fn s_17_a_shutdown_removes_nothing_and_the_next_daemon_finds_all_as_it_was() {
    let mut world = started();
    let id = world.spawn("exec sleep 1000");
    let at = full_of_work(&world, &id);
    let (before, pid) = (
        world.until(&id, "status", "working"),
        world.session(&id)["agentPid"].clone(),
    );
    let (files, branches) = (contents(&at), refs(&world));
    let status = index(&world, &at);
    for _ in 0..2 {
        world.ao(&["stop"]).ok();
        assert_eq!(world.wait_for_the_end(), 0);
        assert_eq!(
            (contents(&at), refs(&world), index(&world, &at)),
            (files.clone(), branches.clone(), status.clone())
        );
        world.start();
        let after = world.until(&id, "status", "working");
        assert_eq!((&after["agentPid"], &after["branch"]), (&pid, &before["branch"]));
        assert_eq!(
            (contents(&at), refs(&world), index(&world, &at)),
            (files.clone(), branches.clone(), status.clone())
        );
    }
    world.ao(&["kill", &id]).ok();
    let ended = world.until(&id, "phase", "ended");
    assert_eq!(ended["worktree"]["state"], "kept");
    assert_eq!(
        (contents(&at), refs(&world), index(&world, &at)),
        (files, branches, status)
    );
}

/// One reading of "gone" at the boot, and a worktree was removed under an agent that lived; and nobody was answered meanwhile.
#[test]
fn s_18_a_boot_removes_nothing_whatever_it_reads_of_runtimes_and_serves_first() {
    let mut world = started();
    // One whose holder does not answer, one whose agent and holder are gone, one that waits to be seen.
    let ids: Vec<String> = (0..3).map(|_| world.spawn("exec sleep 1000")).collect();
    let places: Vec<Utf8PathBuf> = ids.iter().map(|id| full_of_work(&world, id)).collect();
    for id in &ids {
        world.until(id, "status", "working");
    }
    let (frozen, gone) = (holder(&world, &ids[0]), holder(&world, &ids[1]));
    let agent = world.session(&ids[0])["agentPid"].clone();
    let files: Vec<_> = places.iter().map(|at| contents(at)).collect();
    let branches = refs(&world);
    world.kill_9();
    kill_process(frozen, Signal::STOP).unwrap();
    kill_agent_of_row(&world, &ids[1]);
    kill_process(gone, Signal::KILL).unwrap();
    world.start();
    // It answers while it does not know yet.
    assert_eq!(
        world.get("/api/v1/sessions")["sessions"].as_array().map(Vec::len),
        Some(3)
    );
    let dead = world.until(&ids[1], "phase", "finished");
    assert_eq!(dead["worktree"]["state"], "active", "{dead}");
    world.until(&ids[2], "status", "working");
    world.until(&ids[0], "status", "unknown");
    let silent = world.session(&ids[0]);
    assert_eq!(
        (&silent["phase"], &silent["isTerminated"]),
        (&json!("live"), &json!(false))
    );
    for (at, files) in places.iter().zip(&files) {
        assert_eq!(&contents(at), files, "{at}");
    }
    assert_eq!(refs(&world), branches);
    kill_process(frozen, Signal::CONT).unwrap();
    let back = world.until(&ids[0], "status", "working");
    assert_eq!(back["agentPid"], agent);
}

/// It looked at one after another before it answered anybody. Here whoever does not answer is waited for by its own child alone.
#[test]
fn s_18_many_frozen_holders_hold_up_neither_the_start_nor_anybody_else() {
    const FROZEN: usize = 20;
    /// A look at one that does not answer lasts a second, so that one after another takes twice as long as this.
    const AT_ONCE: Duration = Duration::from_secs(FROZEN as u64 / 2);
    let mut world = World::with_agent(AO, STAND_IN);
    let ids: Vec<String> = (0..FROZEN).map(|_| world.spawn("exec sleep 1000")).collect();
    let [killed, dies] = [0, 1].map(|_| world.spawn("exec sleep 1000"));
    let talks = world.spawn_claude("hello");
    world.until(&talks, "status", "idle");
    for id in ids.iter().chain([&killed, &dies]) {
        world.until(id, "status", "working");
    }
    let agents: Vec<Value> = ids
        .iter()
        .map(|id| world.session(id)["agentPid"].clone())
        .collect();
    let holders: Vec<Pid> = ids.iter().map(|id| holder(&world, id)).collect();
    world.kill_9();
    for holder in &holders {
        kill_process(*holder, Signal::STOP).unwrap();
    }

    let began = Instant::now();
    world.start();
    // Everybody else is what they were, and at anybody's service.
    world.ao(&["session", "kill", &killed]).ok();
    world.until(&killed, "phase", "ended");
    kill_agent(&world, &dies);
    world.until(&dies, "phase", "finished");
    world.ao(&["send", &talks, "are you there?"]).ok();
    settle("its agent has heard it", || {
        world.asked().iter().any(|asked| asked == "are you there?")
    });
    let new = world.spawn("exec sleep 1000");
    world.until(&new, "status", "working");
    for id in &ids {
        let silent = world.until(id, "status", "unknown");
        assert_eq!(
            (&silent["phase"], &silent["isTerminated"]),
            (&json!("live"), &json!(false))
        );
    }
    let took = began.elapsed();
    assert!(took < AT_ONCE, "they were waited for one after another: {took:?}");

    for holder in &holders {
        kill_process(*holder, Signal::CONT).unwrap();
    }
    for (id, agent) in ids.iter().zip(&agents) {
        let back = world.until(id, "status", "working");
        assert_eq!(&back["agentPid"], agent);
    }
    // By those who hold them: each hears that it is to end.
    for id in &ids {
        world.ao(&["session", "kill", id]).ok();
        world.until(id, "phase", "ended");
    }
}

/// The process that holds a session's terminal.
fn holder(world: &World, id: &str) -> Pid {
    let census = world.census();
    let is_its = |line: &str| line.contains("pty-host") && line.contains(&format!("pty/{id}/"));
    let of = census.processes.iter().find(|(_, line)| is_its(line));
    let (pid, _) = of.unwrap_or_else(|| panic!("{id} has no holder: {census:?}"));
    Pid::from_raw(i32::try_from(*pid).unwrap()).unwrap()
}

fn kill_agent_of_row(world: &World, id: &str) {
    let pid = world.query(&format!(
        "SELECT CAST(json_extract(agent, '$.pid') AS TEXT) FROM session_process WHERE session_id = '{id}'"
    ));
    kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
}

fn orchestrator(world: &World, replace: bool) -> Value {
    let body =
        json!({"projectId": "web", "harness": "shell", "command": ["sleep", "1000"], "clean": replace});
    let answer = world.ask("POST", "/api/v1/orchestrators", Some(&body));
    assert!(matches!(answer.status, 200..=202), "{}", answer.json());
    answer.json()["session"].clone()
}

/// All orchestrators of a project shared one branch and one worktree: cleaning an old one took the live one's from under it.
#[test]
fn s_19_two_orchestrators_never_share_a_worktree_and_cleaning_an_old_one_touches_no_other() {
    let world = started();
    let mut old: Vec<Value> = Vec::new();
    for round in 0..3 {
        let new = orchestrator(&world, round > 0);
        let id = new["id"].as_str().unwrap();
        let at = worktree(&world, id);
        if let Some(before) = old.last() {
            // It is ended with work in its worktree, which stays.
            let ended = world.until(before["id"].as_str().unwrap(), "phase", "ended");
            assert_eq!(
                (&ended["endReason"], &ended["worktree"]["state"]),
                (&json!("replaced"), &json!("kept"))
            );
        }
        for other in &old {
            assert_ne!(other["branch"], new["branch"]);
            assert_ne!(other["worktree"]["path"], new["worktree"]["path"]);
        }
        fs::write(at.join("notes"), format!("of round {round}\n")).unwrap();
        old.push(world.session(id));
    }
    let live = old.pop().unwrap();
    let (id, at) = (
        live["id"].as_str().unwrap(),
        Utf8PathBuf::from(live["worktree"]["path"].as_str().unwrap()),
    );
    // Nothing keeps the old ones but their notes.
    for other in &old {
        let place = Utf8PathBuf::from(other["worktree"]["path"].as_str().unwrap());
        fs::remove_file(place.join("notes")).unwrap();
    }
    fs::remove_file(at.join("notes")).unwrap(); // clean: what the original took
    let cleaned = world.ask("POST", "/api/v1/sessions/cleanup", None).json();
    let ids: Vec<&Value> = old.iter().map(|session| &session["id"]).collect();
    assert_eq!(cleaned["cleaned"], json!(ids));
    for other in &ids {
        world.ao(&["kill", other.as_str().unwrap(), "--discard"]).ok();
    }
    let session = world.session(id);
    assert_eq!(
        (
            &session["status"],
            &session["agentPid"],
            &session["worktree"]["state"]
        ),
        (&json!("working"), &live["agentPid"], &json!("active"))
    );
    assert!(at.join("README.md").exists() && world.git_in(&at, &["status", "--porcelain"]).is_empty());
    // A second one that fails takes nothing along either.
    let config = json!({"config": {"postCreate": ["exit 3"]}});
    assert_eq!(
        world
            .ask("PUT", "/api/v1/projects/web/config", Some(&config))
            .status,
        200
    );
    let body = json!({"projectId": "web", "harness": "shell", "command": ["sleep", "1000"], "clean": true});
    assert_eq!(
        world.ask("POST", "/api/v1/orchestrators", Some(&body)).code(),
        "SPAWN_FAILED"
    );
    settle("only the live one is there", || {
        world.census().to_string() == Census::of_sessions(1)
    });
    assert!(at.join("README.md").exists());
    assert_eq!(world.session(id)["agentPid"], live["agentPid"]);
    world.ao(&["kill", id]).ok();
}

/// What the repository did not know was deleted: after a new clone, a prune, or an id that had been given to another path.
#[test]
fn s_20_what_git_does_not_know_is_not_deleted() {
    let world = started();
    let ids: Vec<String> = (0..3).map(|_| world.spawn("exec sleep 1000")).collect();
    let places: Vec<Utf8PathBuf> = ids.iter().map(|id| worktree(&world, id)).collect();
    for at in &places {
        fs::write(at.join("work"), "exists nowhere else\n").unwrap();
        fs::write(at.join(".env"), "SECRET=1\n").unwrap();
    }
    let files: Vec<_> = places.iter().map(|at| contents(at)).collect();
    let stays = |n: usize, what: &str| {
        assert_eq!(contents(&places[n]), files[n], "{what}");
    };

    // Pruned while it could not be seen.
    let away = world.dir.join("away");
    fs::rename(&places[0], &away).unwrap();
    world.git(&["worktree", "prune"]);
    fs::rename(&away, &places[0]).unwrap();
    world.ask("POST", &format!("/api/v1/sessions/{}/kill", ids[0]), None);
    let ended = world.until(&ids[0], "phase", "ended");
    assert_eq!(ended["worktree"]["state"], "kept", "{ended}");
    stays(0, "pruned");

    // Cloned anew where it was.
    let former = world.dir.join("former");
    fs::rename(&world.repo, &former).unwrap();
    world.git_in(&world.dir, &["clone", "-q", former.as_str(), world.repo.as_str()]);
    world.ask("POST", &format!("/api/v1/sessions/{}/kill", ids[1]), None);
    let ended = world.until(&ids[1], "phase", "ended");
    assert_eq!(ended["worktree"]["state"], "kept", "{ended}");
    stays(1, "cloned anew");
    // Not by force either: what cannot be rescued stays.
    world.ask(
        "POST",
        &format!("/api/v1/sessions/{}/kill", ids[1]),
        Some(&json!({"discard": true})),
    );
    world.until(&ids[1], "phase", "ended");
    assert_eq!(
        fs::read_to_string(places[1].join("work")).unwrap(),
        "exists nowhere else\n"
    );

    // The id of an archived project is not given to another path.
    kill_agent(&world, &ids[2]);
    world.until(&ids[2], "phase", "finished");
    assert_eq!(world.ask("DELETE", "/api/v1/projects/web", None).status, 200);
    let other = world.dir.join("other");
    world.make_repository(&other);
    let add = json!({"path": other, "projectId": "web"});
    assert_eq!(
        world.ask("POST", "/api/v1/projects", Some(&add)).code(),
        "ID_ALREADY_REGISTERED"
    );
    world.ask("POST", &format!("/api/v1/sessions/{}/kill", ids[2]), None);
    world.until(&ids[2], "phase", "ended");
    stays(2, "archived");
    let skipped = world.ask("POST", "/api/v1/sessions/cleanup", None).json();
    assert_eq!(skipped["cleaned"], json!([]), "{skipped}");
    assert_eq!(skipped["skipped"].as_array().map(Vec::len), Some(3), "{skipped}");
    for n in [0, 2] {
        stays(n, "after a cleanup");
    }
}

/// Files of ours made every worktree dirty, a kill after the archive failed half-way, and a cleanup named the same ids each time.
#[test]
fn s_21_nothing_leaks_a_cleanup_says_nothing_twice_and_an_archived_projects_sessions_can_be_killed() {
    let world = World::with_agent(AO, STAND_IN);
    let ids: Vec<String> = (0..3).map(|n| world.spawn_claude(&format!("task {n}"))).collect();
    let dirty = worktree(&world, &ids[1]).join("work");
    for id in &ids {
        world.until(id, "status", "idle");
        let at = worktree(&world, id);
        assert_eq!(
            world.git_in(&at, &["status", "--porcelain", "--ignored"]),
            "",
            "the hooks of an agent lie in its worktree"
        );
    }
    let refused = world.ask("DELETE", "/api/v1/projects/web", None);
    assert_eq!(refused.code(), "PROJECT_HAS_LIVE_SESSIONS");
    fs::write(&dirty, "work\n").unwrap();
    for id in &ids {
        kill_agent(&world, id);
        world.until(id, "phase", "finished");
    }
    assert_eq!(world.ask("DELETE", "/api/v1/projects/web", None).status, 200);
    let killed = world.ask("POST", &format!("/api/v1/sessions/{}/kill", ids[0]), None);
    assert_eq!(killed.status, 200, "{}", killed.json());
    assert_eq!(
        world.until(&ids[0], "phase", "ended")["worktree"]["state"],
        "removed"
    );
    let clean = || world.ask("POST", "/api/v1/sessions/cleanup", None).json();
    let first = clean();
    assert_eq!(first["cleaned"], json!([ids[2]]));
    assert_eq!(first["skipped"][0]["sessionId"], json!(ids[1]));
    // Whoever asks for it is told what holds the worktree, where that is, and how to have it gone all the same.
    let said = world.ao(&["session", "cleanup", "--yes"]).ok().out;
    let kept = said
        .lines()
        .find(|line| line.starts_with(&format!("  kept: {}, ", ids[1])));
    assert!(kept.is_some_and(|line| line.contains("(work)")), "{said}");
    let rest = [
        format!("    where: {}\n", dirty.parent().unwrap()),
        format!("ao kill {} --discard\n", ids[1]),
        "0 cleaned up, 1 kept\n".to_owned(),
    ];
    for line in rest {
        assert!(said.contains(&line), "{line}: {said}");
    }
    for id in [&ids[0], &ids[2]] {
        assert!(!said.contains(id.as_str()), "{id} is gone: {said}");
    }
    // What is left is said again, for it is still there; what is gone is not.
    let second = clean();
    assert_eq!(
        (&second["cleaned"], &second["skipped"]),
        (&json!([]), &first["skipped"])
    );
    fs::remove_file(&dirty).unwrap();
    assert_eq!(clean()["cleaned"], json!([ids[1]]));
    let last = clean();
    assert_eq!((&last["cleaned"], &last["skipped"]), (&json!([]), &json!([])));
    within(std::time::Duration::from_secs(10), "nothing is left", || {
        (world.census().to_string() == Census::of_sessions(0)).then_some(())
    });
    assert!(!world.git(&["worktree", "list"]).contains("web-"));
}

/// What belongs together was two calls of a client: one that lost an answer asked for a second session, and one that died between an
/// end and a beginning left no orchestrator. The fault's third case, a pull request claimed after the spawn (`--claim-pr`), does not
/// exist here.
#[test]
fn s_31_one_key_is_one_session_and_one_call_replaces_an_orchestrator() {
    let mut world = World::started(AO);
    let body = json!({"projectId": "web", "harness": "shell", "command": ["sleep", "1000"]}).to_string();
    let ask = |world: &World| {
        let host = format!("127.0.0.1:{}", world.port());
        let headers = [
            ("Host", host.as_str()),
            ("Content-Type", "application/json"),
            ("Idempotency-Key", "once"),
        ];
        let answer = world
            .http()
            .raw("POST", "/api/v1/sessions", &headers, body.as_bytes());
        answer.ok().map(|answer| answer.json()["session"]["id"].clone())
    };
    // The answer is lost with the daemon, which has written down what was asked.
    world.arm("spawn.to_live.after", "kill");
    assert_eq!(ask(&world), None);
    world.wait_for_the_end();
    assert!(world.fired());
    world.start();
    let again: Vec<Option<Value>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| ask(&world))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert!(again.iter().all(|id| *id == Some(json!("web-1"))), "{again:?}");
    assert_eq!(
        world.get("/api/v1/sessions")["sessions"].as_array().map(Vec::len),
        Some(1)
    );

    let old = orchestrator(&world, false);
    let old = old["id"].as_str().unwrap();
    world.until(old, "status", "working");
    // Whoever asked dies, and the daemon with it, as soon as the one call has arrived.
    world.arm("intent.spawn.after", "kill");
    let clean = json!({"projectId": "web", "harness": "shell", "command": ["sleep", "1000"], "clean": true});
    assert!(
        world
            .http()
            .ask("POST", "/api/v1/orchestrators", Some(&clean))
            .is_err()
    );
    world.wait_for_the_end();
    world.start();
    let ended = world.until(old, "phase", "ended");
    assert_eq!(ended["endReason"], "replaced");
    let all = world.get("/api/v1/orchestrators");
    let new = all["sessions"][1]["id"].as_str().unwrap();
    assert_eq!(world.session(new)["status"], "working");
    let told = world.query(&format!(
        "SELECT ((SELECT min(seq) FROM change_log WHERE session_id = '{new}' AND json_extract(payload, '$.phase') = 'live')
            < (SELECT min(seq) FROM change_log WHERE session_id = '{old}' AND json_extract(payload, '$.phase') = 'stopping')) || ''"
    ));
    assert_eq!(told, "1", "the new one is live before the old one is stopped");
    for id in ["web-1", new] {
        world.ao(&["kill", id]).ok();
        world.until(id, "phase", "ended");
    }
}
