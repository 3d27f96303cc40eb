//! Where there is room for one, the next one waits and says what for, whoever is cut off while it says so.

use ao_tests::settle;
use serde_json::json;

use crate::cut::{Request, assert_census, at_each, counted, end, get_over, points, starts, world_for};

fn cut_a_wait(deed: &str) {
    at_each(deed, points(&["queue."]), |point| {
        let mut world = world_for(deed);
        world.set("AO_MAX_SESSIONS", "1");
        world.set("AO_REQUEST_TIMEOUT", "1s");
        world.begin();
        let script = counted(&world);
        let first = world.spawn(&script);
        let before = world.until(&first, "status", "working");
        world.arm(point, deed);
        let _ = Request::session(&world, &script, "second").quietly(&world);
        get_over(&mut world, point, deed);
        // Whoever lost the answer asks again under the same key; and a third one comes.
        let second = Request::session(&world, &script, "second").ask(&world).1;
        let third = Request::session(&world, &script, "third").ask(&world).1;
        let id = |answer: &serde_json::Value| answer["session"]["id"].as_str().unwrap().to_owned();
        let (second, third) = (id(&second), id(&third));
        settle(
            &format!("{point}: the first of the line says what it waits for"),
            || {
                let session = world.session(&second);
                session["status"] == "queued" && session["queue"]["waitsFor"] == "place"
            },
        );
        let place = |id: &str| world.session(id)["queue"]["place"].clone();
        assert_eq!((place(&second), place(&third)), (json!(1), json!(2)), "{point}");
        assert_eq!(world.session(&first)["agentPid"], before["agentPid"], "{point}");
        assert_eq!(starts(&world), 1, "{point}");
        for (over, next) in [(&first, Some(&second)), (&second, Some(&third)), (&third, None)] {
            if let Some(next) = next {
                world.ao(&["session", "kill", over]).ok();
                world.until(next, "status", "working");
                world.until(over, "phase", "ended");
                assert_census(&world, point, 1);
            } else {
                end(&world, point, over);
            }
        }
        settle("each has left its line", || starts(&world) == 3);
    });
}

#[test]
fn a_place_in_the_line_survives_a_kill_at_every_step() {
    cut_a_wait("kill");
}

#[test]
fn a_place_in_the_line_survives_a_panic_at_every_step() {
    cut_a_wait("panic");
}

#[test]
fn a_place_in_the_line_survives_a_hang_at_every_step() {
    cut_a_wait("hang");
}
