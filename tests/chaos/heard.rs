//! What an agent says of itself, and what is seen of it, counts once, wherever the one who hears or looks is cut off.

use std::fs;

use ao_tests::{World, settle, within};

use crate::AO;
use crate::children::{BACK, make_due, swept_at};
use crate::cut::{
    ask_for_session, assert_census, at_each, end, get_over, id_of, points, started_for, with_a_program,
};

/// What only the agent's own record of the conversation tells reaches the status, wherever it is cut.
fn cut_a_transcript(deed: &str) {
    at_each(deed, points(&["transcript."]), |point| {
        // Its hook says that it works; that a person has interrupted it stands in its own file alone.
        let script = r#"echo '{"session_id":"'"$2"'"}' | ao hooks claude-code UserPromptSubmit
while [ ! -e "$HOME/now" ]; do sleep 0.05; done
mkdir -p "$HOME/.claude/projects/web"
printf '{"type":"user","uuid":"%s","timestamp":"%s","message":{"content":[{"text":"[Request interrupted by user]"}]}}\n' \
    "$(cat /proc/sys/kernel/random/uuid)" "$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)" >"$HOME/.claude/projects/web/$2.jsonl"
while [ ! -e "$HOME/next" ]; do sleep 0.05; done
printf '{"type":"user","uuid":"%s","timestamp":"%s","promptSource":"typed","message":{"content":"on"}}\n' \
    "$(cat /proc/sys/kernel/random/uuid)" "$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)" >>"$HOME/.claude/projects/web/$2.jsonl"
exec sleep 1000
"#;
        let mut world = with_a_program(deed, |_| script.to_owned());
        let id = id_of(&ask_for_session(&world, "", "the-key"));
        let before = world.until(&id, "status", "working");
        let path = format!("ao/observe/transcripts/{id}");
        let cut = world.tree().incarnation(&path);
        world.arm(point, deed);
        fs::write(world.dir.join("home/now"), "").unwrap();
        get_over(&mut world, point, deed);
        if deed == "hang" {
            // The next one begins with the file as it is now.
            settle("it is replaced", || world.tree().incarnation(&path) > cut);
        }
        let after = world.until(&id, "status", "idle");
        assert_eq!(after["agentPid"], before["agentPid"], "{point}");
        // The next word of the file comes through, so all before it was read, by whoever reads now, too.
        fs::write(world.dir.join("home/next"), "").unwrap();
        world.until(&id, "status", "working");
        let counted =
            world.query("SELECT CAST(count(*) AS TEXT) FROM signals WHERE event = 'transcript.interrupted'");
        assert_eq!(counted.trim(), "1", "{point}");
        end(&world, point, &id);
    });
}

#[test]
fn what_a_transcript_tells_survives_a_kill_at_every_step() {
    cut_a_transcript("kill");
}

#[test]
fn what_a_transcript_tells_survives_a_panic_at_every_step() {
    cut_a_transcript("panic");
}

#[test]
fn what_a_transcript_tells_survives_a_hang_at_every_step() {
    cut_a_transcript("hang");
}

#[test]
fn a_hook_survives_a_kill_at_every_step() {
    cut_a_hook("kill");
}

#[test]
fn a_hook_survives_a_panic_at_every_step() {
    cut_a_hook("panic");
}

#[test]
fn a_hook_survives_a_hang_at_every_step() {
    cut_a_hook("hang");
}

fn cut_a_hook(deed: &str) {
    at_each(deed, points(&["hooks."]), |point| {
        let mut world = started_for(deed);
        let gate = world.dir.join("gate");
        let script = format!(
            "while [ ! -e {gate} ]; do sleep 0.05; done; ao hooks shell needs-decision </dev/null; exec sleep 1000"
        );
        let id = world.spawn(&script);
        world.until(&id, "status", "working");
        world.arm(point, deed);
        fs::write(&gate, "").unwrap();
        get_over(&mut world, point, deed);
        let session = world.until(&id, "status", "needs_input");
        assert_eq!(session["activity"]["state"], "waiting_input", "{point}");
    });
}

#[test]
fn a_sweep_survives_a_kill_at_every_step() {
    cut_a_sweep("kill");
}

#[test]
fn a_sweep_survives_a_panic_at_every_step() {
    cut_a_sweep("panic");
}

#[test]
fn a_sweep_survives_a_hang_at_every_step() {
    cut_a_sweep("hang");
}

fn cut_a_sweep(deed: &str) {
    at_each(deed, points(&["sweep."]), |point| {
        // The heartbeat is not cut down here: a session's own child that is made to hang is to stay away for longer than the sweep is.
        let mut world = World::started(AO);
        let ids = [(); 2].map(|()| world.spawn("exec sleep 1000"));
        for id in &ids {
            world.until(id, "status", "working");
        }
        settle("the first sweep is over", || !swept_at(&world).is_empty());
        // Each session's own child would set its row right before the sweep is due: both are down.
        for id in &ids {
            let hung = world.break_child("hang", &format!("ao/act/sessions/{id}"));
            assert_eq!(hung.status, 200, "{point}");
        }
        let stale = |world: &World| {
            world.query("SELECT CAST(count(*) AS TEXT) FROM session_process WHERE note = 'stale'")
        };
        world.arm(point, deed);
        let before = swept_at(&world);
        // Rows that are wrong, so that the sweep has something to write.
        world.sql("UPDATE session_process SET note = 'stale'");
        make_due(&world);
        settle(&format!("{point} was reached"), || world.fired());
        // A kill and a hang leave what was done by then where it is; after a panic it is tried again at once.
        let cut = (deed != "panic").then(|| swept_at(&world));
        if cut.is_some() && point == "sweep.look.after" {
            assert_eq!(
                stale(&world),
                "2",
                "{point}: one was looked at, neither is put right"
            );
        }
        get_over(&mut world, point, deed);
        if point == "sweep.done.after" {
            settle(&format!("{point}: it was over"), || swept_at(&world) != before);
        } else if let Some(cut) = cut {
            assert_eq!(cut, before, "{point}: it is on record as over and was cut short");
            within(BACK, &format!("{point}: it is made again"), || {
                (swept_at(&world) != cut).then_some(())
            });
        } else {
            settle(&format!("{point}: it is made again"), || {
                swept_at(&world) != before
            });
        }
        // Whoever has made the sweep has put both right: their own children are away for longer than that.
        if point == "sweep.done.after" {
            settle(&format!("{point}: the wrong rows are set right"), || {
                stale(&world) == "0"
            });
        } else {
            assert_eq!(stale(&world), "0", "{point}: the wrong rows are set right");
        }
        for id in &ids {
            let session = world.until(id, "status", "working");
            assert!(session["agentPid"].is_u64(), "{point}");
        }
        assert_census(&world, point, 2);
    });
}

/// A status that only time has changed is announced by whoever comes next.
fn cut_an_announcement(deed: &str) {
    at_each(deed, points(&["watch.revision"]), |point| {
        let mut world = started_for(deed);
        let id = world.spawn("exec sleep 1000");
        let before = world.until(&id, "status", "working");
        world.kill_9();
        // As if it had last been shown when nobody had looked for long: another status than now.
        world.sql("UPDATE sessions SET updated_at = '2099-01-01T00:00:00.000Z'");
        world.arm(point, deed);
        if deed == "kill" {
            let _ = world.try_start(); // it may be dead before it is ready
        } else {
            world.start();
        }
        get_over(&mut world, point, deed);
        settle("it is announced", || {
            world.session(&id)["revision"].as_u64() > before["revision"].as_u64()
        });
        assert_eq!(world.session(&id)["agentPid"], before["agentPid"], "{point}");
        assert_census(&world, point, 1);
    });
}

#[test]
fn an_announcement_survives_a_kill_at_every_step() {
    cut_an_announcement("kill");
}

#[test]
fn an_announcement_survives_a_panic_at_every_step() {
    cut_an_announcement("panic");
}

#[test]
fn an_announcement_survives_a_hang_at_every_step() {
    cut_an_announcement("hang");
}
