//! The daemon itself, started, stopped, frozen and refused by the commands.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use serde_json::{Value, json};

use crate::support::{PATIENCE, Said, World, run_file};

/// The process that the run file names.
fn daemon_of(world: &World) -> Option<rustix::process::Pid> {
    let run: Value = serde_json::from_str(&std::fs::read_to_string(world.run_file()).ok()?).ok()?;
    rustix::process::Pid::from_raw(i32::try_from(run["pid"].as_i64()?).ok()?)
}

/// Stops the daemon of a world whatever the test came to, so that none is left.
struct Stopped<'a>(&'a World);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        let said = self.0.ao(&["stop"]);
        if let (true, Some(pid)) = (said.code != 0, daemon_of(self.0)) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        if !std::thread::panicking() {
            assert_eq!(said.code, 0, "{said:?}");
        }
    }
}

#[test]
fn a_daemon_that_does_not_come_up_says_why_at_once() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let world = World::new().with("AO_PORT", &port.to_string());
    let begun = Instant::now();
    let said = world.ao(&["start", "--timeout", "30s"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.starts_with(&format!(
            "the daemon did not start: port {port} on 127.0.0.1 is taken"
        )),
        "{said:?}"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "it waited for its time-out"
    );
    assert_eq!(
        world.ao(&["status"]).out.lines().next(),
        Some("AO daemon: stopped")
    );
}

#[test]
fn starts_at_once_give_one_daemon_and_all_report_it() {
    let world = World::new();
    let _stopped = Stopped(&world);
    let starts: Vec<_> = (0..4)
        .map(|_| {
            world
                .command(&["start", "--json", "--timeout", "30s"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut pids = Vec::new();
    for start in starts {
        let output = start.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(printed["state"], "ready");
        pids.push(printed["pid"].as_u64().unwrap());
    }
    pids.dedup();
    assert_eq!(pids.len(), 1, "{pids:?}");
    let pid = u32::try_from(pids[0]).unwrap();
    let daemon = ao_local::process::identify(pid).unwrap().expect("it runs");
    let said = world.ao(&["start"]);
    assert!(
        said.out.contains(&format!("pid {pid}")),
        "a fifth start finds the same: {said:?}"
    );

    let said = world.ao(&["stop"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (0, "AO daemon stopped\n"),
        "{said:?}"
    );
    assert!(
        !ao_local::process::is_alive(&daemon).unwrap(),
        "it has ended when `ao stop` returns"
    );
    assert!(!world.run_file().exists());
}

#[test]
fn an_agent_inside_a_session_cannot_stop_the_daemon() {
    let world = World::new();
    let _stopped = Stopped(&world);
    assert_eq!(world.ao(&["start", "--timeout", "30s"]).code, 0);
    let pid = daemon_of(&world).unwrap();
    let output = world
        .command(&["stop", "--timeout", "30s"])
        .env("AO_SESSION_ID", "web-1")
        .output()
        .unwrap();
    let said = Said::from(output);
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert!(
        said.err.contains("INSIDE_SESSION") && !said.err.contains("signal"),
        "{said:?}"
    );
    assert_eq!(daemon_of(&world), Some(pid), "its run file is as it was");
    let said = world.ao(&["status"]);
    assert!(said.out.starts_with("AO daemon: ready\n"), "{said:?}");
}

/// Stops every thread of a process; the signal alone is only on its way when `kill` returns.
fn freeze(pid: rustix::process::Pid) {
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let stands = |task: std::io::Result<std::fs::DirEntry>| {
        let stat = task.and_then(|task| std::fs::read_to_string(task.path().join("stat")));
        // The state follows the name, which stands in brackets; a thread that has just ended has none.
        stat.map_or(true, |stat| {
            stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T"))
        })
    };
    let end = Instant::now() + PATIENCE;
    let tasks = format!("/proc/{}/task", pid.as_raw_nonzero());
    while !std::fs::read_dir(&tasks).unwrap().all(stands) {
        assert!(Instant::now() < end, "it does not stop");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

#[test]
fn a_daemon_that_is_frozen_is_seen_and_ended_by_its_own_number_only() {
    let world = World::new();
    let _stopped = Stopped(&world);
    assert_eq!(world.ao(&["start", "--timeout", "30s"]).code, 0);
    let pid = daemon_of(&world).unwrap();
    freeze(pid);
    let said = world.ao(&["status"]);
    assert!(
        said.out.starts_with("AO daemon: unhealthy\n") && said.out.contains("it does not accept connections"),
        "{said:?}"
    );
    let said = world.ao(&["stop", "--timeout", "200ms"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.err.contains("sending it a signal") && said.err.contains("still runs after 200ms"),
        "{said:?}"
    );
    // It had been told: once it goes on, it ends.
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    let end = Instant::now() + PATIENCE;
    while world.run_file().exists() {
        assert!(Instant::now() < end, "it did not end");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

#[test]
fn doctor_works_without_a_daemon_and_salvages_only_what_is_damaged() {
    let world = World::new().with("AO_AGENT", "shell");
    let said = world.ao(&["doctor", "--json"]);
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, &report["ok"]), (0, &json!(true)), "{said:?}");
    {
        let _stopped = Stopped(&world);
        assert_eq!(world.ao(&["start", "--timeout", "30s"]).code, 0);
        let said = world.ao(&["doctor", "--salvage"]);
        assert_eq!(said.code, 1);
        assert!(said.err.contains("a daemon uses the data directory"), "{said:?}");
    }
    let database = world.data().join("ao.sqlite3");
    let sound = std::fs::read(&database).unwrap();
    let said = world.ao(&["doctor", "--salvage"]);
    assert!(
        said.code == 1 && said.err.contains("is not damaged: nothing was moved"),
        "{said:?}"
    );
    assert_eq!(std::fs::read(&database).unwrap(), sound);

    let mut damaged = sound;
    damaged[4096..8192].fill(0xa5);
    std::fs::write(&database, &damaged).unwrap();
    let said = world.ao(&["start"]);
    assert!(
        said.code == 1 && said.err.contains("ao doctor --salvage"),
        "{said:?}"
    );
    let said = world.ao(&["doctor"]);
    assert!(said.code == 1 && said.out.contains("FAIL database:"), "{said:?}");
    let said = world.ao(&["doctor", "--salvage"]);
    assert_eq!(said.code, 0, "{said:?}");
    let aside = said.out.lines().next().unwrap().rsplit(' ').next().unwrap();
    assert_eq!(std::fs::read(aside).unwrap(), damaged, "moved, not changed");
    let _stopped = Stopped(&world);
    assert_eq!(world.ao(&["start", "--timeout", "30s"]).code, 0);
}

#[test]
fn the_originals_daemon_is_named_and_left_alone() {
    let world = World::new();
    // Its run file, and a living process that is not ours to end: this one.
    run_file(3001).write(&world.run_file()).unwrap();
    let text =
        json!({"pid": std::process::id(), "port": 3001, "startedAt": "2026-06-24T12:00:00.123456789Z"});
    std::fs::write(world.run_file(), text.to_string()).unwrap();
    for words in [&["start"][..], &["stop"], &["session", "ls"]] {
        let said = world.ao(words);
        assert_eq!(said.code, 1, "{words:?}");
        assert!(
            said.err.starts_with("the original ao's daemon"),
            "{words:?}: {said:?}"
        );
    }
    assert_eq!(
        std::fs::read_to_string(world.run_file()).unwrap(),
        text.to_string()
    );
    assert!(!world.dir().join("daemon.log").exists(), "no daemon was tried");
}

/// Runs `line` in a shell of `world`'s environment, in `folder`, with the program under test called `ao`.
fn typed(world: &World, folder: &Utf8Path, line: &str) -> Said {
    #[expect(clippy::disallowed_methods, reason = "a test types what the help says")]
    let mut shell = Command::new("sh");
    let known = world.command(&[]);
    let env = known.get_envs().filter_map(|(name, value)| Some((name, value?)));
    shell
        .args(["-c", line])
        .env_clear()
        .envs(env)
        .current_dir(folder)
        .stdin(Stdio::null());
    shell.output().expect("every system has a shell").into()
}

#[test]
fn the_examples_of_spawn_work_as_printed() {
    let world = World::new();
    let bin = world.dir().join("bin");
    let world = world.with("PATH", &format!("{bin}:/usr/local/bin:/usr/bin:/bin"));
    let web = world.dir().join("web");
    let script = |path: &Utf8Path| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    };
    script(&bin.join("make"));
    script(&bin.join("claude"));
    script(&web.join("long-job.sh"));
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ao"), bin.join("ao")).unwrap();
    let _stopped = Stopped(&world);
    let made = typed(
        &world,
        &web,
        "git init -q && git add -A && git -c user.name=a -c user.email=a@b commit -qm one && \
         ao start --timeout 30s && ao project add . --id web",
    );
    assert_eq!(made.code, 0, "{made:?}");
    let help = world.ao(&["spawn", "--help"]).out;
    let (_, examples) = help.split_once("Examples:\n").unwrap();
    let mut tried = 0;
    for line in examples.lines() {
        let said = typed(&world, &web, line);
        if line.contains("--claim-pr") {
            // This repository is at no forge.
            assert!(said.err.contains("INVALID_PR_REF"), "{line}: {said:?}");
            continue;
        }
        assert_eq!(said.code, 0, "{line}: {said:?}");
        tried += 1;
        let id = format!("web-{tried}");
        let said = world.ao(&["kill", &id, "--discard"]);
        assert_eq!(said.code, 0, "{line}: {said:?}");
    }
    assert!(tried > 1, "{help}");
}
