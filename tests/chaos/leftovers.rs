//! What random lives once found left over, each as a story of its own.

use std::fs;

use ao_tests::{Census, World, settle};
use serde_json::json;

use crate::AO;

/// A world with room for `places`, and a session in it that has ended by itself, with its last screen still held.
fn with_one_that_has_ended(places: &str) -> (World, String) {
    let mut world = World::new(AO);
    world.set("AO_MAX_SESSIONS", places);
    world.set("AO_REQUEST_TIMEOUT", "1s");
    world.start();
    world
        .ao(&["project", "add", world.repo.as_str(), "--id", "web"])
        .ok();
    let id = world.spawn("[ \"$AO_GENERATION\" = 1 ] || exec sleep 1000");
    world.until(&id, "phase", "finished");
    assert_eq!(world.census().running("pty-host").len(), 1);
    (world, id)
}

fn restore(world: &World, id: &str) {
    let path = format!("/api/v1/sessions/{id}/restore");
    let asked = json!({"startOver": true});
    let answer = world
        .try_http()
        .and_then(|mut http| http.ask("POST", &path, Some(&asked)).ok());
    // The daemon may die under it.
    assert!(answer.is_none_or(|answer| answer.status == 202));
}

/// Nothing is there but the daemon and `sessions` of which each has one process.
fn nothing_else_is_left(world: &World, sessions: usize) {
    settle("nothing else is left", || {
        world.census().to_string() == Census::of_sessions(sessions)
    });
}

/// (Random life 1229.)
#[test]
fn a_restored_session_that_is_killed_in_line_leaves_nothing() {
    let (world, id) = with_one_that_has_ended("1");
    let other = world.spawn("exec sleep 1000");
    world.until(&other, "status", "working");
    restore(&world, &id);
    world.until(&id, "phase", "queued");
    world.ao(&["kill", &id]).ok();
    let ended = world.until(&id, "phase", "ended");
    assert_eq!(ended["worktree"]["state"], "removed", "{ended}");
    nothing_else_is_left(&world, 1);
}

/// The same where the kill comes later, and the daemon dies before the run before has made room.
#[test]
fn a_restored_session_that_is_killed_before_its_agent_is_started_leaves_nothing() {
    let (mut world, id) = with_one_that_has_ended("0");
    world.arm("restore.former.before", "kill");
    restore(&world, &id);
    settle("the daemon is dead", || world.has_ended());
    world.wait_for_the_end();
    world.sql(&format!("UPDATE sessions SET desired = 'stop' WHERE id = '{id}'"));
    world.start();
    let ended = world.until(&id, "phase", "ended");
    assert_eq!(ended["generation"], 2);
    assert_eq!(ended["worktree"]["state"], "removed", "{ended}");
    assert!(!fs::exists(world.data.join("pty").join(&id)).unwrap());
    nothing_else_is_left(&world, 0);
}
