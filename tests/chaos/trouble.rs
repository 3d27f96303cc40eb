//! A step that does not succeed says why, and is tried again until it does; also when the daemon dies while it says so.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ao_tests::settle;
use serde_json::json;

use crate::cut::{Request, at_each, get_over, points, world_for};

#[test]
fn a_step_that_fails_says_why_and_survives_a_kill_while_it_says_so() {
    cut_a_trouble("kill");
}

#[test]
fn a_step_that_fails_says_why_and_survives_a_panic_while_it_says_so() {
    cut_a_trouble("panic");
}

#[test]
fn a_step_that_fails_says_why_and_survives_a_hang_while_it_says_so() {
    cut_a_trouble("hang");
}

fn cut_a_trouble(deed: &str) {
    at_each(deed, points(&["trouble."]), |point| {
        let mut world = world_for(deed);
        world.set("AO_REQUEST_TIMEOUT", "1s");
        world.begin();
        // Where terminals should lie there is a file: no run can be made.
        let runs = world.data.join("pty");
        let _ = fs::remove_dir_all(&runs);
        fs::write(&runs, "in the way").unwrap();
        fs::set_permissions(&runs, fs::Permissions::from_mode(0o600)).unwrap();
        world.arm(point, deed);
        let body = json!({"projectId": "web", "harness": "shell", "command": ["sleep", "1000"]});
        let _ = Request::new("POST", "/api/v1/sessions", Some(body)).quietly(&world);
        get_over(&mut world, point, deed);
        settle("it says why", || {
            let session = world.session("web-1");
            session["status"] == "queued"
                && session["reason"]
                    .as_str()
                    .is_some_and(|why| why.starts_with("trying again: "))
        });
        fs::remove_file(&runs).unwrap();
        settle("it is tried again and comes up", || {
            let _ = world.ao(&["tree", "resume", "ao/act/sessions/web-1"]);
            world.session("web-1")["status"] == "working"
        });
        assert!(
            world.session("web-1")["failure"].is_null(),
            "{point}: the trouble is over"
        );
    });
}
