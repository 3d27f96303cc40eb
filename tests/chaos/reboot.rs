//! The machine is started again: nothing of ours runs any more and its boot has another number. Sessions come back once, wherever the
//! one is cut off who brings them back.

use ao_tests::{not_tested, settle};
use serde_json::json;

use crate::cut::{assert_census, at_each, end, get_over, points, world_for};

fn cut_a_return(name: &str, deed: &str) {
    if !rustix::process::getuid().is_root() {
        not_tested(name, "only root may mount a file over the boot id");
        return;
    }
    at_each(deed, points(&["reboot."]), |point| {
        let mut world = world_for(deed);
        world.agent(env!("CARGO_BIN_EXE_stand-in-agent"));
        world.set("AO_AUTORESTORE", "1");
        world.begin();
        let id = world.spawn_claude("hello");
        world.keep_the_conversation(&id);
        let before = world.session(&id);
        // One that was over when the machine went down stays over.
        let over = world.spawn("exit 3");
        world.until(&over, "phase", "finished");
        world.reboot();
        world.arm(point, deed);
        if deed == "kill" {
            let _ = world.try_start(); // it may be dead before it is ready
        } else {
            world.start();
        }
        get_over(&mut world, point, deed);
        settle(&format!("{point}: it is back"), || {
            let session = world.session(&id);
            session["phase"] == "live" && session["generation"] == 2
        });
        let after = world.session(&id);
        assert_eq!(after["nativeId"], before["nativeId"], "{point}: its conversation");
        assert_eq!(after["worktree"]["path"], before["worktree"]["path"], "{point}");
        assert_ne!(after["agentPid"], before["agentPid"], "{point}");
        assert_eq!(world.asked(), ["hello"], "{point}: nothing is asked again");
        assert_eq!(
            (
                &world.session(&over)["phase"],
                &world.session(&over)["generation"]
            ),
            (&json!("finished"), &json!(1)),
            "{point}"
        );
        world.ao(&["session", "kill", &over]).ok();
        world.until(&over, "phase", "ended");
        assert_census(&world, point, 1);
        // Back it is spoken to as before.
        let send = json!({"message": "go on"});
        let path = format!("/api/v1/sessions/{id}/send");
        assert_eq!(world.ask("POST", &path, Some(&send)).status, 200, "{point}");
        settle(&format!("{point}: it was asked"), || {
            world.asked() == ["hello", "go on"]
        });
        end(&world, point, &id);
    });
}

#[test]
fn a_return_after_a_reboot_survives_a_kill_at_every_step() {
    cut_a_return("a_return_after_a_reboot_survives_a_kill_at_every_step", "kill");
}

#[test]
fn a_return_after_a_reboot_survives_a_panic_at_every_step() {
    cut_a_return("a_return_after_a_reboot_survives_a_panic_at_every_step", "panic");
}

#[test]
fn a_return_after_a_reboot_survives_a_hang_at_every_step() {
    cut_a_return("a_return_after_a_reboot_survives_a_hang_at_every_step", "hang");
}
