//! A repository that is followed to its new place, and what is left over, each cut at every step.

use std::fs;

use ao_tests::{World, settle};
use camino::Utf8PathBuf;
use serde_json::json;

use crate::cut::{Request, at_each, get_over, points, started_for};

/// A session that is over, whose worktree holds a file that nobody has committed.
fn over(world: &World) -> (String, Utf8PathBuf) {
    let id = world.spawn("echo work > notes");
    let session = world.until(&id, "phase", "finished");
    (id, session["worktree"]["path"].as_str().unwrap().into())
}

fn cut_a_move(deed: &str) {
    let names = ["intent.move_project", "move.worktree", "move.done"];
    at_each(deed, points(&names), |point| {
        let mut world = started_for(deed);
        let (_, worktree) = over(&world);
        let to = world.dir.join("elsewhere");
        fs::rename(&world.repo, &to).unwrap();
        world.arm(point, deed);
        let asked = Request::new("POST", "/api/v1/projects/web/move", Some(json!({"path": to})));
        let waits = asked.to_be_cut(&world, point, deed);
        get_over(&mut world, point, deed);
        drop(waits);
        let (status, answer) = asked.ask(&world);
        assert_eq!(status, 200, "{point}: {answer}");
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
    });
}

/// One that cannot be: everything is where it was, whenever it was cut.
fn cut_a_move_that_fails(deed: &str) {
    at_each(deed, points(&["move.failed"]), |point| {
        let mut world = started_for(deed);
        let (_, worktree) = over(&world);
        let other = world.dir.join("other");
        world.make_repository(&other);
        world.arm(point, deed);
        let asked = Request::new("POST", "/api/v1/projects/web/move", Some(json!({"path": other})));
        let _ = asked.quietly(&world);
        get_over(&mut world, point, deed);
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

fn cut_a_clean_up(deed: &str) {
    at_each(deed, points(&["janitor."]), |point| {
        let mut world = started_for(deed);
        let (id, worktree) = over(&world);
        let record = world.data.join(format!("work/{id}/owner.json"));
        let before = fs::read(&record).unwrap();
        world.ao(&["kill", &id, "--discard"]).ok();
        assert_eq!(world.session(&id)["worktree"]["state"], "removed");
        // As a power cut leaves it that took what a kill had done; and a holder that was killed left its folder.
        world.git(&[
            "worktree",
            "add",
            "-q",
            "-b",
            &format!("ao/{id}"),
            worktree.as_str(),
        ]);
        fs::remove_dir_all(&worktree).unwrap();
        fs::write(&record, before).unwrap();
        let run = world.data.join(format!("pty/{id}/1"));
        fs::create_dir_all(&run).unwrap();
        world.arm(point, deed);
        let janitor = json!({"path": "ao/act/janitor"});
        let _ = Request::new("POST", "/api/v1/tree/crash", Some(janitor)).quietly(&world);
        get_over(&mut world, point, deed);
        settle("nothing is left over", || !run.exists() && !record.exists());
    });
}

#[test]
fn a_move_survives_a_kill_at_every_step() {
    cut_a_move("kill");
}

#[test]
fn a_move_survives_a_panic_at_every_step() {
    cut_a_move("panic");
}

#[test]
fn a_move_survives_a_hang_at_every_step() {
    cut_a_move("hang");
}

#[test]
fn a_move_that_fails_survives_a_kill_at_every_step() {
    cut_a_move_that_fails("kill");
}

#[test]
fn a_move_that_fails_survives_a_panic_at_every_step() {
    cut_a_move_that_fails("panic");
}

#[test]
fn a_move_that_fails_survives_a_hang_at_every_step() {
    cut_a_move_that_fails("hang");
}

#[test]
fn a_clean_up_of_what_is_left_over_survives_a_kill_at_every_step() {
    cut_a_clean_up("kill");
}

#[test]
fn a_clean_up_of_what_is_left_over_survives_a_panic_at_every_step() {
    cut_a_clean_up("panic");
}

#[test]
fn a_clean_up_of_what_is_left_over_survives_a_hang_at_every_step() {
    cut_a_clean_up("hang");
}
