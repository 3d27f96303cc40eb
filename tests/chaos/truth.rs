//! The truth table: each status is brought about by what really happens, and ended by what really happens, as
//! `ao session get --json` shows it, with its evidence.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ao_tests::{World, not_tested};
use camino::Utf8PathBuf;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::AO;

/// What the command shows of a session.
fn shown(world: &World, id: &str) -> Value {
    world.ao(&["session", "get", id, "--json"]).ok().json()["session"].clone()
}

/// Waits until `ao session get --json` shows this status with this evidence for a reason that has `reason` in it.
fn until(world: &World, id: &str, status: &str, evidence: &str, reason: &str) -> Value {
    let mut last = Value::Null;
    let mut is_so = || {
        last = shown(world, id);
        last["status"] == status
            && last["evidence"] == evidence
            && last["reason"].as_str().is_some_and(|why| why.contains(reason))
    };
    let there = (0..2_000).any(|_| {
        let there = is_so();
        if !there {
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
        there
    });
    assert!(there, "not {status} by {evidence} because `{reason}`: {last}");
    last
}

/// The way from one status to the next is a step in time.
fn assert_later(before: &Value, after: &Value) {
    let since = |shown: &Value| shown["since"].as_str().unwrap().to_owned();
    assert!(since(before) < since(after), "{before}\n{after}");
}

/// A session of a command line that does `steps` one after the other, each when [`Gates::open`] has opened its gate.
struct Gates {
    world: World,
    id: String,
}

impl Gates {
    fn through(steps: &[&str]) -> Self {
        let world = World::started(AO);
        let id = world.spawn(&gated(&world, steps));
        Self { world, id }
    }

    fn open(&self, gate: usize) {
        open(&self.world, gate);
    }

    fn until(&self, status: &str, evidence: &str, reason: &str) -> Value {
        until(&self.world, &self.id, status, evidence, reason)
    }
}

fn open(world: &World, gate: usize) {
    fs::write(world.dir.join(format!("gate-{gate}")), "").unwrap();
}

/// A script that waits for gate 0 before its first step, and so on, and then for ever.
fn gated(world: &World, steps: &[&str]) -> String {
    let gate = |at: usize| format!("while [ ! -e {}/gate-{at} ]; do sleep 0.02; done\n", world.dir);
    let steps = steps.iter().enumerate();
    let script: String = steps.map(|(at, step)| format!("{}{step}\n", gate(at))).collect();
    script + "exec sleep 1000"
}

/// A world in which a script of these steps stands in the place of Claude Code's program.
fn claude_through(steps: &[&str]) -> World {
    claude_in(World::new(AO), steps)
}

fn claude_in(mut world: World, steps: &[&str]) -> World {
    let bin = world.dir.join("bin");
    fs::create_dir_all(&bin).unwrap();
    let script = format!("#!/bin/sh\n{}\n", gated(&world, steps));
    fs::write(bin.join("claude"), script).unwrap();
    fs::set_permissions(bin.join("claude"), fs::Permissions::from_mode(0o755)).unwrap();
    world.set("PATH", &format!("{bin}:/usr/local/bin:/usr/bin:/bin"));
    world.start();
    world
        .ao(&["project", "add", world.repo.as_str(), "--id", "web"])
        .ok();
    world
}

#[test]
fn truth_working() {
    let gates = Gates::through(&[
        "ao hooks shell waiting-for-work </dev/null",
        "ao hooks shell working </dev/null",
        "ao hooks shell waiting-for-work </dev/null",
        "exit 0",
    ]);
    // One that never says anything works for as long as it runs.
    let runs = gates.until("working", "process", "its process runs");
    assert_eq!(runs["activity"]["doing"], "working");
    gates.open(0);
    let waits = gates.until("idle", "hook", "it says that it waits for work");
    gates.open(1);
    let works = gates.until("working", "hook", "it says that it works");
    assert_later(&waits, &works);
    assert_eq!(works["activity"]["doing"], "working");
    assert_eq!(works["agentPid"], runs["agentPid"]);
    gates.open(2);
    assert_later(
        &works,
        &gates.until("idle", "hook", "it says that it waits for work"),
    );
    gates.open(3);
    gates.until("terminated", "exit", "the agent ended with exit status 0");
}

#[test]
fn truth_needs_a_decision() {
    let world = World::with_agent(AO, env!("CARGO_BIN_EXE_stand-in-agent"));
    let id = world.spawn_claude("hello");
    let before = until(&world, &id, "idle", "hook", "it says that it waits for work");
    world.ao(&["send", &id, "open a dialog"]).ok();
    let asks = until(
        &world,
        &id,
        "needs_input",
        "hook",
        "a person has to decide: Do you want to go on?",
    );
    assert_eq!(asks["activity"]["doing"], "needs_decision");
    assert_eq!(asks["dialog"]["choices"][1]["label"], "No", "{asks}");
    assert_later(&before, &asks);
    world.ao(&["session", "answer", &id, "2"]).ok();
    let after = until(&world, &id, "idle", "hook", "it says that it waits for work");
    assert_later(&asks, &after);
    assert!(after["dialog"].is_null(), "{after}");
    assert_eq!(after["lastMessage"], "no to open a dialog");
}

/// A dialog at the start, of which no hook tells: the screen is the evidence, for its coming and for its going.
#[test]
fn truth_needs_a_decision_that_only_the_screen_shows() {
    let rule = "\u{2500}".repeat(80);
    let dialog = format!(
        "printf '\\033[2J\\033[H{rule}\\r\\n Do you trust this folder?\\r\\n \u{276f} 1. Yes\\r\\n   2. No\\r\\n\\r\\n Esc to cancel'"
    );
    let line = format!("printf '\\033[2J\\033[H{rule}\\r\\n\u{276f}\u{a0}\\r\\n{rule}'");
    let world = claude_through(&[&dialog, &line]);
    let id = world.spawn_claude("hello");
    let before = until(&world, &id, "idle", "process", "started, nothing heard of it yet");
    open(&world, 0);
    let asks = until(
        &world,
        &id,
        "needs_input",
        "screen",
        "its screen shows a dialog: Do you trust this folder?",
    );
    assert_eq!(asks["activity"]["doing"], "needs_decision");
    assert_later(&before, &asks);
    open(&world, 1);
    let after = until(&world, &id, "idle", "process", "started, nothing heard of it yet");
    assert!(after["dialog"].is_null(), "{after}");
}

#[test]
fn truth_waiting_for_work() {
    let world = World::with_agent(AO, env!("CARGO_BIN_EXE_stand-in-agent"));
    let id = world.spawn_claude("a dialog first");
    let asks = until(
        &world,
        &id,
        "needs_input",
        "hook",
        "a person has to decide: Do you want to go on?",
    );
    world.ao(&["session", "answer", &id, "1"]).ok();
    let waits = until(&world, &id, "idle", "hook", "it says that it waits for work");
    assert_eq!(waits["activity"]["doing"], "waiting_for_work");
    assert_later(&asks, &waits);
    world.ao(&["send", &id, "a dialog again"]).ok();
    let asks = until(&world, &id, "needs_input", "hook", "a person has to decide");
    assert_later(&waits, &asks);
    assert_eq!(asks["agentPid"], waits["agentPid"]);
}

#[test]
fn truth_no_signal() {
    let mut world = World::new(AO);
    if !world.own_clock() {
        not_tested(
            "truth_no_signal",
            "there is no libfaketime: tests/run installs it",
        );
        return;
    }
    let world = claude_in(world, &["ao hooks claude-code UserPromptSubmit </dev/null"]);
    let id = world.spawn_claude("hello");
    let before = until(&world, &id, "idle", "process", "started, nothing heard of it yet");
    assert_eq!(before["activity"]["doing"], "none");
    // Ninety seconds go by for everybody who looks at the clock, and it says nothing.
    world.set_clock(100);
    let silent = until(
        &world,
        &id,
        "unknown",
        "hook",
        "it runs, but has not reported within 90 s",
    );
    assert_eq!(silent["activity"]["doing"], "none");
    assert_eq!(silent["agentPid"], before["agentPid"]);
    open(&world, 0);
    let works = until(&world, &id, "working", "hook", "it says that it works");
    assert_later(&silent, &works);
}

#[test]
fn truth_queued() {
    let mut world = World::new(AO);
    world.set("AO_MAX_SESSIONS", "1");
    world.set("AO_REQUEST_TIMEOUT", "1s");
    world.start();
    world
        .ao(&["project", "add", world.repo.as_str(), "--id", "web"])
        .ok();
    let first = world.spawn("exec sleep 1000");
    until(&world, &first, "working", "process", "its process runs");
    let second = world.spawn("exec sleep 1000");
    let waits = until(
        &world,
        &second,
        "queued",
        "phase",
        "waiting for a place: as many sessions run as may at once",
    );
    assert_eq!(waits["queue"], json!({"place": 1, "of": 1, "waitsFor": "place"}));
    assert!(waits["agentPid"].is_null(), "{waits}");
    world.ao(&["kill", &first]).ok();
    let works = until(&world, &second, "working", "process", "its process runs");
    assert_later(&waits, &works);
    assert!(works["queue"].is_null(), "{works}");
}

#[test]
fn truth_ended() {
    let gates = Gates::through(&["[ -e \"$HOME/once\" ] || { touch \"$HOME/once\"; exit 3; }"]);
    let before = gates.until("working", "process", "its process runs");
    gates.open(0);
    let ended = gates.until("terminated", "exit", "the agent ended with exit status 3");
    assert_eq!(
        (
            &ended["exit"],
            &ended["isTerminated"],
            &ended["activity"]["doing"]
        ),
        (&json!({"code": 3}), &json!(true), &json!("none"))
    );
    assert_later(&before, &ended);
    gates
        .world
        .ao(&["session", "restore", &gates.id, "--start-over"])
        .ok();
    let again = gates.until("working", "process", "its process runs");
    assert_later(&ended, &again);
    assert_eq!(again["generation"], 2);
    gates.world.ao(&["kill", &gates.id]).ok();
    assert_later(&again, &gates.until("terminated", "exit", "killed"));
}

/// A program that was there when the session was asked for, and is not when it is started.
#[test]
fn truth_failed() {
    let mut world = World::new(AO);
    world.set("AO_MAX_SESSIONS", "1");
    world.set("AO_REQUEST_TIMEOUT", "1s");
    world.start();
    world
        .ao(&["project", "add", world.repo.as_str(), "--id", "web"])
        .ok();
    let first = world.spawn("exec sleep 1000");
    let program = world.dir.join("agent");
    let put = || {
        fs::write(&program, "#!/bin/sh\nexec sleep 1000\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    };
    put();
    let words = ["spawn", "--project", "web", "--detach", "--", program.as_str()];
    world.ao(&words).ok();
    let waits = until(&world, "web-2", "queued", "phase", "waiting for a place");
    fs::remove_file(&program).unwrap();
    world.ao(&["kill", &first]).ok();
    let failed = until(&world, "web-2", "failed", "phase", program.as_str());
    assert_later(&waits, &failed);
    assert_eq!(failed["endReason"], "spawn_failed");
    assert_eq!(failed["activity"]["doing"], "none");
    put();
    world.until("web-2", "phase", "ended");
    world.ao(&["session", "restore", "web-2", "--start-over"]).ok();
    let works = until(&world, "web-2", "working", "process", "its process runs");
    assert_later(&failed, &works);
    assert!(
        works["failure"].is_null() && works["endReason"].is_null(),
        "{works}"
    );
}

#[test]
fn truth_unknown() {
    let world = World::started(AO);
    let id = world.spawn("exec sleep 1000");
    let before = until(&world, &id, "working", "process", "its process runs");
    send(&before["holderPid"], Signal::STOP);
    let silent = until(
        &world,
        &id,
        "unknown",
        "process",
        "nobody knows whether the agent runs: its terminal does not answer",
    );
    assert_later(&before, &silent);
    assert_eq!(silent["activity"]["doing"], "none");
    let agent = Utf8PathBuf::from(format!("/proc/{}", before["agentPid"]));
    assert!(agent.exists(), "nothing has happened to it");
    send(&before["holderPid"], Signal::CONT);
    let known = until(&world, &id, "working", "process", "its process runs");
    assert_eq!(known["agentPid"], before["agentPid"]);
    send(&before["agentPid"], Signal::KILL);
    until(&world, &id, "terminated", "exit", "signal 9");
}

/// Sends a signal to a process that is known to live.
fn send(pid: &Value, signal: Signal) {
    let pid = i32::try_from(pid.as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}
