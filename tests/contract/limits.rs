//! Who is let in when there is not room for all: in order, visible, and over restarts.

use std::fs;

use ao_tests::{World, settle};
use serde_json::{Value, json};

use crate::AO;

/// A world with room for two.
fn room_for_two() -> World {
    let mut world = World::new(AO);
    world.set("AO_MAX_SESSIONS", "2");
    world.start();
    world
        .ao(&["project", "add", world.repo.as_str(), "--id", "web"])
        .ok();
    world
}

/// Asks for a session that runs until it is killed, and does not wait for it.
fn ask(world: &World) -> String {
    let spawned = world.ao(&[
        "spawn",
        "--project",
        "web",
        "--detach",
        "--json",
        "--",
        "sleep",
        "1000",
    ]);
    spawned.ok().json()["session"]["id"].as_str().unwrap().to_owned()
}

/// The sessions that wait, as each says of itself: id, place and number of those that wait.
fn line(world: &World) -> Vec<(String, u64, u64)> {
    let sessions = world.get("/api/v1/sessions");
    let mut line: Vec<(String, u64, u64)> = sessions["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|session| {
            let queue = session.get("queue")?;
            let id = session["id"].as_str()?.to_owned();
            Some((id, queue["place"].as_u64()?, queue["of"].as_u64()?))
        })
        .collect();
    line.sort_by_key(|(_, place, _)| *place);
    line
}

fn ids(line: &[(String, u64, u64)]) -> Vec<&str> {
    line.iter().map(|(id, ..)| id.as_str()).collect()
}

fn live(world: &World) -> Vec<String> {
    let sessions = world.get("/api/v1/sessions");
    let sessions = sessions["sessions"].as_array().unwrap();
    let live = sessions.iter().filter(|session| session["phase"] == "live");
    live.map(|session| session["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn six_spawns_of_six_clients_are_two_that_run_and_four_in_line() {
    let mut world = room_for_two();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| ask(&world));
        }
    });
    settle("two run and four wait", || {
        live(&world).len() == 2 && line(&world).len() == 4
    });
    let before = line(&world);
    let places: Vec<(u64, u64)> = before.iter().map(|(_, place, of)| (*place, *of)).collect();
    assert_eq!(places, [(1, 4), (2, 4), (3, 4), (4, 4)]);
    settle("the first says what it waits for", || {
        let first = world.session(&before[0].0);
        first["queue"]["waitsFor"] == "place" && first["status"] == "queued"
    });
    let shown = world.ao(&["session", "get", &before[1].0]).ok().out;
    assert!(shown.contains("in line: 2 of 4"), "{shown}");
    let listed = world.ao(&["session", "ls"]).ok().out;
    for (id, place, of) in &before {
        let row = listed.lines().find(|row| row.contains(&format!("  {id} ")));
        let place = format!("({place} of {of} that wait)");
        assert!(row.is_some_and(|row| row.ends_with(&place)), "{id}: {listed}");
    }
    // There is nothing to see of one that waits, and no other is meant.
    for words in [["attach", &before[1].0], ["logs", &before[1].0]] {
        let said = world.ao(&words);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
        assert!(
            said.err.contains("it waits in line") && said.err.contains("(2 of 4 that wait)"),
            "{said:?}"
        );
        assert!(!said.err.contains("did you mean"), "{said:?}");
    }
    let fifth = world
        .ao(&["spawn", "--project", "web", "--detach", "--", "sleep", "1000"])
        .ok()
        .out;
    assert!(
        fifth.contains("(5 of 5 that wait)") && fifth.contains("see how it stands: ao session get web-7"),
        "{fifth}"
    );
    assert!(
        !fifth.contains("worktree:") && !fifth.contains("attach with"),
        "{fifth}"
    );
    world.ao(&["kill", "web-7"]).ok();
    world.until("web-7", "phase", "ended");

    world.kill_9();
    world.start();
    assert_eq!(line(&world), before, "a restart changes nobody's place");

    world.ao(&["kill", &before[1].0]).ok();
    let after = world.until(&before[1].0, "phase", "ended");
    assert_eq!(after["worktree"]["state"], "none", "it was never let in");
    assert_eq!(ids(&line(&world)), [&before[0].0, &before[2].0, &before[3].0]);

    let runs = live(&world);
    world.ao(&["kill", &runs[0]]).ok();
    world.until(&before[0].0, "phase", "live");
    settle("two wait", || line(&world).len() == 2);
    assert_eq!(ids(&line(&world)), [&before[2].0, &before[3].0]);
    assert_eq!(live(&world).len(), 2);
}

/// The clock goes an hour back between two that queue up: who came first goes first all the same.
#[test]
fn a_clock_that_was_set_back_lets_nobody_past() {
    let mut world = room_for_two();
    let running = [ask(&world), ask(&world)];
    for id in &running {
        world.until(id, "phase", "live");
    }
    let first = ask(&world);
    settle("the first waits", || line(&world).len() == 1);
    world.kill_9();
    // As a clock that is an hour ahead would have written it.
    world.sql(&format!(
        "UPDATE sessions SET phase_at = '2099-01-01T00:00:00.000Z', created_at = '2099-01-01T00:00:00.000Z' WHERE id = '{first}'"
    ));
    world.start();
    let second = ask(&world);
    assert_eq!(ids(&line(&world)), [&first, &second]);
    world.ao(&["kill", &running[0]]).ok();
    world.until(&first, "phase", "live");
    assert_eq!(ids(&line(&world)), [&second]);
}

/// More than the machine has is asked to be free: nobody but the first comes in, and it is said why.
#[test]
fn where_memory_is_short_one_runs_and_the_others_wait() {
    let mut world = World::new(AO);
    world.set("AO_MIN_FREE_MEMORY", "1000000000");
    world.start();
    world
        .ao(&["project", "add", world.repo.as_str(), "--id", "web"])
        .ok();
    let first = ask(&world);
    world.until(&first, "phase", "live"); // nothing of ours would free more
    let second = ask(&world);
    settle("the second says what it waits for", || {
        world.session(&second)["queue"]["waitsFor"] == "memory"
    });
    let reason = world.session(&second)["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("memory"), "{reason}");
    world.kill_9();
    world.set("AO_MIN_FREE_MEMORY", "1");
    world.start();
    world.until(&second, "phase", "live");
}

/// One that is being set up keeps the next one waiting where one may come up at a time.
#[test]
fn one_comes_up_at_a_time_where_that_is_wanted() {
    let mut world = World::new(AO);
    world.set("AO_MAX_LAUNCHES", "1");
    world.start();
    world
        .ao(&["project", "add", world.repo.as_str(), "--id", "web"])
        .ok();
    let go = world.dir.join("go");
    let wait = format!("until [ -e {go} ]; do sleep 0.02; done");
    let config = json!({"config": {"postCreate": [wait]}});
    assert_eq!(
        world
            .ask("PUT", "/api/v1/projects/web/config", Some(&config))
            .status,
        200
    );
    let first = ask(&world);
    world.until(&first, "phase", "provision");
    let second = ask(&world);
    settle("the second waits for its turn", || {
        world.session(&second)["queue"]["waitsFor"] == "turn"
    });
    fs::write(&go, "").unwrap();
    world.until(&first, "phase", "live");
    let session: Value = world.until(&second, "phase", "live");
    assert_eq!(session.get("queue"), None);
}

/// By the command, from wherever it stands: in line, and when it runs; once more changes nothing.
#[test]
fn a_spawn_is_taken_back_by_a_command_however_far_it_has_come() {
    let mut world = World::new(AO);
    world.set("AO_MAX_SESSIONS", "1");
    world.begin();
    let runs = world.spawn("exec sleep 1000");
    world.until(&runs, "status", "working");
    let waits = ask(&world);
    let back = |id: &str| world.ao(&["session", "rollback", id]);
    let nothing = format!("spawn of {waits} taken back: nothing was made for it yet\n");
    assert_eq!(back(&waits).ok().out, nothing);
    let ended = format!("spawn of {runs} taken back: agent ended, worktree removed\n");
    assert_eq!(back(&runs).ok().out, ended);
    assert_eq!(back(&runs).ok().out, ended, "once more");
    let json = world.ao(&["session", "rollback", &waits, "--json"]).ok().json();
    assert_eq!(json["deleted"], true, "{json}");
    let unknown = back("web-9");
    assert!(unknown.code != 0 && unknown.err.contains("web-9"), "{unknown:?}");
    let census = world.census();
    assert_eq!(
        census.to_string(),
        "daemons 1, holders 0, other processes 0, worktrees 0, branches 0, sockets 0, strays []",
        "{census:?}"
    );
}
