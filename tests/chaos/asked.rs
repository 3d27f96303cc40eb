//! What a person or a script asked for is there or is not, whatever becomes of the daemon and of who answers; and asking again is fine.

use ao_tests::World;
use serde_json::{Value, json};

use crate::cut::{Request, assert_census, at_each, get_over, points, started_for, world_for};

fn cut_a_rename(deed: &str) {
    at_each(deed, points(&["intent.rename"]), |point| {
        let mut world = started_for(deed);
        let id = world.spawn("exec sleep 1000");
        world.arm(point, deed);
        let path = format!("/api/v1/sessions/{id}");
        let rename = Request::new("PATCH", &path, Some(json!({"displayName": "login"})));
        let _waits = rename.to_be_cut(&world, point, deed);
        get_over(&mut world, point, deed);
        let name = &world.session(&id)["displayName"];
        let wanted = if point.ends_with("after") {
            json!("login")
        } else {
            Value::Null
        };
        assert_eq!(*name, wanted, "{point}");
        assert_eq!(rename.ask(&world).0, 200, "{point}");
        assert_eq!(world.session(&id)["displayName"], "login", "{point}");
        world.ao(&["session", "kill", &id]).ok();
    });
}

#[test]
fn a_rename_is_there_or_is_not_after_a_kill() {
    cut_a_rename("kill");
}

#[test]
fn a_rename_is_there_or_is_not_after_a_panic() {
    cut_a_rename("panic");
}

#[test]
fn a_rename_is_there_or_is_not_while_one_hangs() {
    cut_a_rename("hang");
}

fn cut_a_setting(deed: &str) {
    at_each(deed, points(&["intent.configure_project"]), |point| {
        let mut world = started_for(deed);
        world.arm(point, deed);
        let body = json!({"config": {"reclaimOnMerge": true}});
        let set = Request::new("PUT", "/api/v1/projects/web/config", Some(body));
        let _waits = set.to_be_cut(&world, point, deed);
        get_over(&mut world, point, deed);
        let project = &world.get("/api/v1/projects/web")["project"];
        assert_eq!(
            project["config"]["reclaimOnMerge"] == true,
            point.ends_with("after"),
            "{point}"
        );
        assert_eq!(set.ask(&world).0, 200, "{point}");
    });
}

#[test]
fn a_projects_setting_is_there_or_is_not_after_a_kill() {
    cut_a_setting("kill");
}

#[test]
fn a_projects_setting_is_there_or_is_not_after_a_panic() {
    cut_a_setting("panic");
}

#[test]
fn a_projects_setting_is_there_or_is_not_while_one_hangs() {
    cut_a_setting("hang");
}

fn cut_a_project(deed: &str) {
    let names = ["intent.add_project", "intent.remove_project"];
    at_each(deed, points(&names), |point| {
        let mut world = started_for(deed);
        let other = world.dir.join("other");
        world.make_repository(&other);
        let body = json!({"path": other, "projectId": "other"});
        let is_added = point.starts_with("intent.add_project");
        let add = Request::new("POST", "/api/v1/projects", Some(body));
        let request = if is_added {
            add
        } else {
            assert_eq!(add.ask(&world).0, 201, "{point}");
            Request::new("DELETE", "/api/v1/projects/other", None)
        };
        world.arm(point, deed);
        let _waits = request.to_be_cut(&world, point, deed);
        get_over(&mut world, point, deed);
        let there = world.get("/api/v1/projects").to_string().contains("\"other\"");
        let done = point.ends_with(".after");
        assert_eq!(there, is_added == done, "{point}");
        let wanted = match (is_added, done) {
            (true, true) => 409,
            (true, false) => 201,
            (false, true) => 404,
            (false, false) => 200,
        };
        assert_eq!(request.ask(&world).0, wanted, "{point}");
    });
}

fn cut_an_activity(deed: &str) {
    at_each(deed, points(&["intent.activity"]), |point| {
        let mut world = started_for(deed);
        let id = world.spawn("exec sleep 1000");
        world.until(&id, "status", "working");
        world.arm(point, deed);
        let path = format!("/api/v1/sessions/{id}/activity");
        let tell = Request::new("POST", &path, Some(json!({"state": "idle"})));
        let _waits = tell.to_be_cut(&world, point, deed);
        get_over(&mut world, point, deed);
        if point.ends_with(".before") {
            assert_eq!(world.session(&id)["status"], "working", "{point}");
            assert_eq!(tell.ask(&world).0, 200, "{point}");
        }
        world.until(&id, "status", "idle");
    });
}

#[test]
fn a_project_and_an_activity_survive_a_kill_at_every_step() {
    cut_a_project("kill");
    cut_an_activity("kill");
}

#[test]
fn a_project_and_an_activity_survive_a_panic_at_every_step() {
    cut_a_project("panic");
    cut_an_activity("panic");
}

#[test]
fn a_project_and_an_activity_survive_a_hang_at_every_step() {
    cut_a_project("hang");
    cut_an_activity("hang");
}

/// A session that is over and whose worktree is there.
fn over(world: &World) -> String {
    let id = world.spawn("exit 3");
    world.until(&id, "phase", "finished");
    id
}

/// Of two sessions that are over the first or both are cleaned up, never half of one; and whoever asks again is told of the rest.
fn cut_a_cleanup(deed: &str) {
    let both = points(&["intent.cleanup"]);
    // The second of two: a cleanup that was begun is gone on with by nobody but who asks again.
    let twice = both
        .iter()
        .flat_map(|point| [format!("{point} 1"), format!("{point} 2")]);
    at_each(deed, twice.collect(), |place| {
        let mut world = started_for(deed);
        let ids = [over(&world), over(&world)];
        world.arm(place, deed);
        let clean = Request::new("POST", "/api/v1/sessions/cleanup", None);
        let _waits = clean.to_be_cut(&world, place, deed);
        get_over(&mut world, place, deed);
        let begun = match place.rsplit_once(' ').unwrap() {
            (point, "1") => usize::from(point.ends_with(".after")),
            (point, _) => 1 + usize::from(point.ends_with(".after")),
        };
        // What was written down is finished by itself, without anybody who asks.
        for id in &ids[..begun] {
            let ended = world.until(id, "phase", "ended");
            assert_eq!(ended["worktree"]["state"], "removed", "{place}");
        }
        for id in &ids[begun..] {
            let session = world.session(id);
            assert_eq!(
                (&session["phase"], &session["worktree"]["state"]),
                (&json!("finished"), &json!("active")),
                "{place}"
            );
        }
        let (status, again) = clean.ask(&world);
        assert_eq!(
            (status, &again["cleaned"], &again["skipped"]),
            (200, &json!(ids[begun..]), &json!([])),
            "{place}"
        );
        for id in &ids {
            assert_eq!(world.session(id)["endReason"], "exited", "{place}");
        }
        assert_census(&world, place, 0);
    });
}

#[test]
fn a_cleanup_is_done_or_is_not_after_a_kill() {
    cut_a_cleanup("kill");
}

#[test]
fn a_cleanup_is_done_or_is_not_after_a_panic() {
    cut_a_cleanup("panic");
}

#[test]
fn a_cleanup_is_done_or_is_not_while_one_hangs() {
    cut_a_cleanup("hang");
}

/// A spawn that somebody takes back while it waits for a place, or when it runs.
fn cut_a_rollback(deed: &str) {
    for runs in [true, false] {
        at_each(deed, points(&["intent.rollback"]), |point| {
            let mut world = world_for(deed);
            world.set("AO_MAX_SESSIONS", "1");
            world.set("AO_REQUEST_TIMEOUT", "1s");
            world.begin();
            let first = world.spawn("exec sleep 1000");
            world.until(&first, "status", "working");
            let id = if runs {
                first.clone()
            } else {
                world.spawn("exec sleep 1000")
            };
            let before = world.session(&id);
            world.arm(point, deed);
            let path = format!("/api/v1/sessions/{id}/rollback");
            let take_back = Request::new("POST", &path, None);
            let _waits = take_back.to_be_cut(&world, point, deed);
            get_over(&mut world, point, deed);
            if point.ends_with(".before") {
                let session = world.session(&id);
                assert_eq!(session["desired"], "run", "{point}: nothing was wanted yet");
                assert_eq!(session["agentPid"], before["agentPid"], "{point}");
                let (status, said) = take_back.ask(&world);
                assert!(matches!(status, 200 | 202), "{point}: {said}");
            }
            let ended = world.until(&id, "phase", "ended");
            let state = if runs { "removed" } else { "none" };
            assert_eq!(ended["worktree"]["state"], state, "{point}");
            let (status, said) = take_back.ask(&world);
            assert_eq!(
                (status, said["deleted"] == true, said["killed"] == true),
                (200, !runs, runs),
                "{point}: {said}"
            );
            assert_census(&world, point, usize::from(!runs));
        });
    }
}

#[test]
fn a_rollback_is_done_or_is_not_after_a_kill() {
    cut_a_rollback("kill");
}

#[test]
fn a_rollback_is_done_or_is_not_after_a_panic() {
    cut_a_rollback("panic");
}

#[test]
fn a_rollback_is_done_or_is_not_while_one_hangs() {
    cut_a_rollback("hang");
}
