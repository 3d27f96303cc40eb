//! A session whose terminal is in zellij: from its spawn to its end, over a daemon's death and a database's loss.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ao_tests::{World, not_tested, settle};
use camino::Utf8Path;

use crate::AO;

/// The folder of the real program.
fn installed() -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever runs the tests says where the program is"
    )]
    let program = std::env::var("AO_ZELLIJ").ok()?;
    Utf8Path::new(&program).parent().map(ToString::to_string)
}

/// Processes of this world with these words in their command line.
fn running(world: &World, words: &str) -> usize {
    let census = world.census();
    census
        .processes
        .iter()
        .filter(|(_, line)| line.contains(words))
        .count()
}

#[test]
fn a_session_in_zellij_lives_and_ends_as_any_other() {
    let Some(bin) = installed() else {
        not_tested(
            "a_session_in_zellij_lives_and_ends_as_any_other",
            "AO_ZELLIJ does not say where zellij is: tests/run installs it",
        );
        return;
    };
    let mut world = World::new(AO);
    world.set("PATH", &format!("{bin}:/usr/local/bin:/usr/bin:/bin"));
    world.set("AO_RUNTIME", "zellij");
    world.start();
    world
        .ao(&["project", "add", world.repo.as_str(), "--id", "web"])
        .ok();
    let id = world.spawn("echo hello from the pane; exec cat");
    let built_in = world
        .ao(&[
            "spawn",
            "--project",
            "web",
            "--runtime",
            "pty",
            "--json",
            "--",
            "/bin/sh",
            "-c",
            "echo hello from the other; exec cat",
        ])
        .ok()
        .json();
    let other = built_in["session"]["id"]
        .as_str()
        .unwrap_or_else(|| panic!("{built_in}"))
        .to_owned();
    let before = world.until(&id, "status", "working");
    assert_eq!(before["runtime"], "zellij");
    assert_eq!(world.session(&other)["runtime"], "pty");
    assert_eq!(
        (running(&world, " --server "), running(&world, " run-agent ")),
        (1, 1)
    );
    assert_eq!(running(&world, "pty-host"), 2);
    // Found by those who ask no daemon, whatever runtime it has.
    for (id, said) in [(&id, "hello from the pane"), (&other, "hello from the other")] {
        settle("the session's terminal is shown", || {
            world.ao(&["logs", id]).out.contains(said)
        });
    }
    world.kill_9();
    world.start();
    let after = world.until(&id, "status", "working");
    assert_eq!(
        (&after["agentPid"], &after["generation"]),
        (&before["agentPid"], &before["generation"])
    );
    // Known again from what is on the disk, when nothing else is left of it.
    world.kill_9();
    for file in ["ao.sqlite3", "ao.sqlite3-wal", "ao.sqlite3-shm"] {
        let _ = fs::remove_file(world.data.join(file)); // a journal may not be there
    }
    world.start();
    let salvaged = world.until(&id, "status", "working");
    assert_eq!(
        (&salvaged["runtime"], &salvaged["agentPid"]),
        (&before["runtime"], &before["agentPid"])
    );
    for id in [&id, &other] {
        world.ao(&["session", "kill", id]).ok();
        assert_eq!(world.until(id, "phase", "ended")["worktree"]["state"], "removed");
    }
    let left = world.census();
    assert_eq!(left.strays, Vec::<String>::new());
    assert_eq!(left.processes.len(), 1, "the daemon: {left:?}");
}

/// A zellij session, and sockets, that have names of ours and were made by somebody else.
#[test]
fn a_session_and_sockets_that_only_look_like_ours_are_told_and_stay() {
    let Some(bin) = installed() else {
        not_tested(
            "a_session_and_sockets_that_only_look_like_ours_are_told_and_stay",
            "AO_ZELLIJ does not say where zellij is: tests/run installs it",
        );
        return;
    };
    let mut world = World::new(AO);
    let theirs = world.dir.join("theirs");
    world.set("ZELLIJ_SOCKET_DIR", theirs.as_str());
    world.start();
    world
        .ao(&["project", "add", world.repo.as_str(), "--id", "web"])
        .ok();
    let id = world.spawn("exec sleep 1000");
    world.until(&id, "status", "working");
    let zellij = |words: &[&str]| {
        let mut call = world.command(&format!("{bin}/zellij"), words);
        call.env("TMPDIR", &world.dir); // or its log lies in the machine's
        call.output().unwrap()
    };
    // As ours are called, for a session that we have and for one that we never had.
    let names = [format!("{id}.1"), "web-99.1".to_owned()];
    let ending = Ending(|| {
        for name in &names {
            zellij(&["delete-session", "--force", name]);
        }
    });
    for name in &names {
        let made = zellij(&["attach", "--create-background", name]);
        assert!(made.status.success(), "{made:?}");
    }
    let among_runs = world.data.join("pty/web-98");
    let _socket = std::os::unix::net::UnixListener::bind(&among_runs).unwrap();
    // The janitor's first act is to look at everything, and it has looked once it waits.
    assert_eq!(world.break_child("crash", "ao/act/janitor").status, 200);
    settle("the janitor is back", || {
        world.tree().incarnation("ao/act/janitor") > 1
    });
    let found = world.get("/api/v1/leftovers");
    let told = |part: &str| {
        let is_it = |one: &&serde_json::Value| one["what"].as_str().unwrap().contains(part);
        let one = found["leftovers"].as_array().unwrap().iter().find(is_it);
        one.unwrap_or_else(|| panic!("{part} is not in {found}"))["goes"].clone()
    };
    for name in [names[0].as_str(), &names[1], among_runs.as_str()] {
        assert_eq!(told(name), false);
    }
    world.ao(&["kill", &id]).ok();
    world.until(&id, "phase", "ended");
    let still = String::from_utf8(zellij(&["list-sessions", "--short"]).stdout).unwrap();
    let mut still: Vec<&str> = still.lines().collect();
    still.sort_unstable();
    assert_eq!(still, names);
    assert!(among_runs.exists());
    drop(ending);
}

/// Does it when it goes, however that comes about.
struct Ending<F: Fn()>(F);

impl<F: Fn()> Drop for Ending<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn without_a_zellij_that_will_do_nothing_is_started() {
    let mut world = World::new(AO);
    let bin = world.dir.join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join("zellij"), "#!/bin/sh\necho zellij 0.44.2\n").unwrap();
    fs::set_permissions(bin.join("zellij"), fs::Permissions::from_mode(0o755)).unwrap();
    world.set("PATH", &format!("{bin}:/usr/local/bin:/usr/bin:/bin"));
    world.start();
    world
        .ao(&["project", "add", world.repo.as_str(), "--id", "web"])
        .ok();
    let spawned = world.ao(&[
        "spawn",
        "--project",
        "web",
        "--runtime",
        "zellij",
        "--",
        "sleep",
        "1000",
    ]);
    assert_eq!(spawned.code, 1, "{}", spawned.err);
    for part in [
        "zellij 0.44.2",
        "too old",
        "install zellij 0.44.3 or newer",
        "--runtime pty",
    ] {
        assert!(spawned.err.contains(part), "`{part}` is not in {}", spawned.err);
    }
    settle("nothing is left of it", || {
        let left = world.census();
        left.worktrees.is_empty()
            && left.strays.is_empty()
            && left.branches.is_empty()
            && left.processes.len() == 1
    });
}
