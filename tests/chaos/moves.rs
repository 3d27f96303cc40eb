//! A repository that is followed to its new place, and what is left over, each cut at every step.

use std::fs;

use ao_tests::{World, settle};
use camino::Utf8PathBuf;
use serde_json::json;

use crate::AO;
use crate::steps::{at_each, points, restart_after_the_kill};

/// A session that is over, whose worktree holds a file that nobody has committed.
fn over(world: &World) -> (String, Utf8PathBuf) {
    let id = world.spawn("echo work > notes");
    let session = world.until(&id, "phase", "finished");
    (id, session["worktree"]["path"].as_str().unwrap().into())
}

#[test]
fn a_move_survives_a_kill_at_every_step() {
    at_each(
        points(&["intent.move_project", "move.worktree", "move.done"]),
        |point| {
            let mut world = World::started(AO);
            let (_, worktree) = over(&world);
            let to = world.dir.join("elsewhere");
            fs::rename(&world.repo, &to).unwrap();
            world.arm(point, "kill");
            let body = json!({"path": to});
            let ask = |world: &World| {
                let http = world.try_http();
                http.and_then(|mut http| http.ask("POST", "/api/v1/projects/web/move", Some(&body)).ok())
            };
            let _ = ask(&world);
            restart_after_the_kill(&mut world, point);
            let again = ask(&world).expect("the daemon answers");
            assert_eq!(
                again.status,
                200,
                "{point}: {}",
                String::from_utf8_lossy(&again.body)
            );
            assert_eq!(
                world.get("/api/v1/projects/web")["project"]["path"],
                to.as_str(),
                "{point}"
            );
            assert_eq!(
                world.git_in(&worktree, &["status", "--porcelain"]),
                "?? notes\n",
                "{point}"
            );
            assert!(
                world
                    .git_in(&to, &["worktree", "list"])
                    .contains(worktree.as_str()),
                "{point}"
            );
        },
    );
}

/// One that cannot be: everything is where it was, whenever the daemon died.
#[test]
fn a_move_that_fails_survives_a_kill_at_every_step() {
    at_each(points(&["move.failed"]), |point| {
        let mut world = World::started(AO);
        let (_, worktree) = over(&world);
        let other = world.dir.join("other");
        world.make_repository(&other);
        world.arm(point, "kill");
        let http = world.try_http();
        let body = json!({"path": other});
        let _ = http.and_then(|mut http| http.ask("POST", "/api/v1/projects/web/move", Some(&body)).ok());
        restart_after_the_kill(&mut world, point);
        settle("it is said that it did not move", || {
            world.get("/api/v1/projects/web")["project"]
                .get("movesTo")
                .is_none()
        });
        let project = &world.get("/api/v1/projects/web")["project"];
        assert_eq!(project["path"], world.repo.as_str(), "{point}");
        assert_eq!(
            world.git_in(&worktree, &["status", "--porcelain"]),
            "?? notes\n",
            "{point}"
        );
    });
}

#[test]
fn a_clean_up_of_what_is_left_over_survives_a_kill_at_every_step() {
    at_each(points(&["janitor."]), |point| {
        let mut world = World::started(AO);
        let (id, worktree) = over(&world);
        world.ao(&["kill", &id]).ok();
        assert_eq!(world.session(&id)["worktree"]["state"], "kept");
        // A person did away with it, and a holder that was killed left its folder.
        fs::remove_dir_all(&worktree).unwrap();
        let run = world.data.join(format!("pty/{id}/1"));
        fs::create_dir_all(&run).unwrap();
        world.arm(point, "kill");
        let _ = world.try_http().and_then(|mut http| {
            let path = json!({"path": "ao/act/janitor"});
            http.ask("POST", "/api/v1/tree/crash", Some(&path)).ok()
        });
        restart_after_the_kill(&mut world, point);
        settle("nothing is left over", || {
            !run.exists() && !world.git(&["worktree", "list"]).contains(id.as_str())
        });
        assert_eq!(world.session(&id)["phase"], "ended", "{point}");
    });
}
