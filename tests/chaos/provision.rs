//! A worktree is furnished, and its post-create commands are run, wherever the one is cut off who does it: in their order, each to its
//! end, and never two at once.

use std::fs;

use ao_tests::{Census, World, settle};
use camino::Utf8PathBuf;
use serde_json::{Value, json};

use crate::cut::{
    Request, ask_for_session, assert_census, at_each, counted, end, get_over, id_of, points, started_for,
    starts,
};

/// A world whose project shares a folder and a file and has these post-create commands.
fn shared(deed: &str, commands: &Value) -> World {
    let world = started_for(deed);
    world.commit(&[
        (".gitignore", "node_modules\n.env\n"),
        (".worktreeinclude", ".env\n"),
    ]);
    fs::create_dir_all(world.repo.join("node_modules/left-pad")).unwrap();
    fs::write(world.repo.join("node_modules/left-pad/index.js"), "shared").unwrap();
    fs::write(world.repo.join(".env"), "KEY=1").unwrap();
    let config = json!({"config": {"symlinks": ["node_modules"], "postCreate": commands}});
    let answer = world.ask("PUT", "/api/v1/projects/web/config", Some(&config));
    assert_eq!(answer.status, 200);
    world
}

fn lines(world: &World, name: &str) -> Vec<String> {
    let text = fs::read_to_string(world.dir.join("home").join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The session is up: its agent was started once, in a worktree that has everything.
fn assert_up(world: &World, point: &str, id: &str) {
    world.until(id, "status", "working");
    settle("the agent has left its line", || starts(world) > 0);
    assert_eq!(starts(world), 1, "{point}: the agent was started more than once");
    let worktree = Utf8PathBuf::from(world.session(id)["worktree"]["path"].as_str().unwrap());
    let read = |name: &str| fs::read_to_string(worktree.join(name)).unwrap_or_default();
    assert_eq!(
        (read("node_modules/left-pad/index.js"), read(".env")),
        ("shared".to_owned(), "KEY=1".to_owned()),
        "{point}"
    );
    assert!(worktree.join("node_modules").is_symlink(), "{point}");
    assert_eq!(
        world.git_in(&worktree, &["status", "--porcelain"]),
        "",
        "{point}: git sees nothing of ours"
    );
    let provisioning = world.session(id)["provisioning"].clone();
    assert_eq!(
        (&provisioning["done"], &provisioning["of"]),
        (&json!(2), &json!(2)),
        "{point}"
    );
}

/// Each place is a point and at which of its hits: its phase is entered anew after each command.
fn cut_a_provision(deed: &str) {
    let names = [
        ("provision.furnish", 1),
        ("provision.command", 2),
        ("spawn.to_provision", 4),
    ];
    let places = names.iter().flat_map(|(name, times)| {
        let both = points(&[name]).into_iter();
        both.flat_map(move |point| (1..=*times).map(move |n| format!("{point} {n}")))
    });
    at_each(deed, places.collect(), |place| {
        let commands = json!(["echo one >> \"$HOME/ran\"", "cat .env; echo two >> \"$HOME/ran\""]);
        let mut world = shared(deed, &commands);
        let script = counted(&world);
        world.arm(place, deed);
        let _ = Request::session(&world, &script, "the-key").quietly(&world);
        get_over(&mut world, place, deed);
        let id = id_of(&ask_for_session(&world, &script, "the-key"));
        assert_up(&world, place, &id);
        // One that had ended, which nobody had written down yet, is run again; everything else is run once.
        let wanted: &[&str] = match place {
            "provision.command.after 1" | "spawn.to_provision.before 3" => &["one", "one", "two"],
            "provision.command.after 2" | "spawn.to_provision.before 4" => &["one", "two", "two"],
            _ => &["one", "two"],
        };
        assert_eq!(lines(&world, "ran"), wanted, "{place}");
        assert_census(&world, place, 1);
        end(&world, place, &id);
    });
}

#[test]
fn a_provision_survives_a_kill_at_every_step() {
    cut_a_provision("kill");
}

#[test]
fn a_provision_survives_a_panic_at_every_step() {
    cut_a_provision("panic");
}

#[test]
fn a_provision_survives_a_hang_at_every_step() {
    cut_a_provision("hang");
}

/// The processes of the command that waits for its gate.
fn of_the_command(world: &World) -> Vec<u32> {
    let census: Census = world.census();
    let sleeps = census.processes.iter().filter(|(_, line)| line == "sleep 1001");
    sleeps.map(|(pid, _)| *pid).collect()
}

/// While a command runs the daemon is killed, or who runs it panics: what it started is ended before it is begun again.
#[test]
fn a_command_that_runs_when_somebody_is_cut_off_is_ended_before_it_is_run_again() {
    at_each("kill", ["kill".to_owned(), "panic".to_owned()].into(), |deed| {
        let waits = "echo begun >> \"$HOME/ran\"; \
             [ -e \"$HOME/go\" ] || { (setsid sleep 1001 &); sleep 1001 & sleep 1001; }; echo ended >> \"$HOME/ran\"";
        let mut world = shared(deed, &json!([waits, "echo two >> \"$HOME/ran\""]));
        let script = counted(&world);
        let waits = std::thread::scope(|scope| {
            let asked = scope.spawn(|| Request::session(&world, &script, "the-key").quietly(&world));
            settle("the command runs", || of_the_command(&world).len() == 3);
            let before = of_the_command(&world);
            if deed == "kill" {
                world.kill_now();
                drop(asked.join());
                return before;
            }
            assert_eq!(world.break_child("crash", "ao/act/sessions/web-1").status, 200);
            settle("others run", || {
                let now = of_the_command(&world);
                assert!(now.len() <= 3, "two of the command at once: {now:?}");
                now.len() == 3 && now.iter().all(|pid| !before.contains(pid))
            });
            fs::write(world.dir.join("home/go"), "").unwrap();
            for pid in of_the_command(&world) {
                end_process(pid);
            }
            drop(asked.join());
            before
        });
        if deed == "kill" {
            world.wait_for_the_end();
            fs::write(world.dir.join("home/go"), "").unwrap();
            world.start();
        }
        let id = id_of(&ask_for_session(&world, &script, "the-key"));
        assert_up(&world, deed, &id);
        let left = of_the_command(&world);
        assert!(left.is_empty(), "{deed}: {left:?} of {waits:?} run on");
        let ran = lines(&world, "ran");
        assert_eq!(
            (ran[0].as_str(), ran[ran.len() - 1].as_str()),
            ("begun", "two"),
            "{ran:?}"
        );
        assert_eq!(ran.iter().filter(|line| *line == "begun").count(), 2, "{ran:?}");
        assert_eq!(ran.iter().filter(|line| *line == "ended").count(), 1, "{ran:?}");
        assert_census(&world, deed, 1);
        end(&world, deed, &id);
    });
}

fn end_process(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}
