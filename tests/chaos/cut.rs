//! One scenario at every crash point that it passes, each of three ways: the daemon is killed there, whoever takes the step panics there,
//! whoever takes it hangs there for ever.
//!
//! The supervisor finds a child that hangs by its heartbeat. In these worlds that is three seconds and not fifteen, so that a hundred of
//! them can be found; who answers a client has none, and that client alone waits.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use ao_tests::{Census, Http, World, settle, within};
use serde_json::{Value, json};

use crate::AO;

/// The longest heartbeat in a world where children are made to hang, in milliseconds: far beyond what a write takes on a slow disk.
const HEARTBEAT: &str = "3000";

/// Every point of `docs/crash-points.md` that begins with one of `prefixes`, both sides.
pub(crate) fn points(prefixes: &[&str]) -> Vec<String> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/crash-points.md")).unwrap();
    let names: BTreeSet<String> = page
        .split('`')
        .filter(|word| word.ends_with(".before") || word.ends_with(".after"))
        .filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix)))
        .map(str::to_owned)
        .collect();
    assert!(!names.is_empty(), "{prefixes:?}");
    names.into_iter().collect()
}

/// Runs one scenario at each point, a few worlds at a time: twice as many where most of the time is spent waiting for a heartbeat.
pub(crate) fn at_each(deed: &str, points: Vec<String>, scenario: impl Fn(&str) + Sync) {
    let (began, count) = (std::time::Instant::now(), points.len());
    let next = std::sync::Mutex::new(points.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..if deed == "hang" { 6 } else { 3 } {
            scope.spawn(|| {
                while let Some(point) = { next.lock().unwrap().next() } {
                    let named = Named(&point, deed);
                    scenario(&point);
                    drop(named);
                }
            });
        }
    });
    println!("{count} points, {deed}: {:?}", began.elapsed());
}

/// Says at which point it was that a scenario failed.
struct Named<'a>(&'a str, &'a str);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- failed: {} at {}", self.1, self.0);
        }
    }
}

/// A world without a daemon in which `deed` is going to be done.
pub(crate) fn world_for(deed: &str) -> World {
    let mut world = World::new(AO);
    if deed == "hang" {
        world.set("AO_FAULT_HEARTBEAT", HEARTBEAT);
    }
    world
}

/// The same with a daemon and its project.
pub(crate) fn started_for(deed: &str) -> World {
    let mut world = world_for(deed);
    world.begin();
    world
}

/// A shell agent that leaves a line with its pid and its session each time one is started, then waits.
pub(crate) fn counted(world: &World) -> String {
    format!(
        "echo $$ $AO_SESSION_ID >> {}; exec sleep 1000",
        world.dir.join("starts")
    )
}

/// How often an agent was started.
pub(crate) fn starts(world: &World) -> usize {
    fs::read_to_string(world.dir.join("starts"))
        .unwrap_or_default()
        .lines()
        .count()
}

/// A world whose agent is one that something has to be made ready for: `script` in the place of Claude Code's program.
pub(crate) fn with_a_program(deed: &str, script: impl FnOnce(&World) -> String) -> World {
    let mut world = world_for(deed);
    let program = world.dir.join("agent");
    fs::write(&program, format!("#!/bin/sh\n{}\n", script(&world))).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    world.agent(program.as_str());
    world.begin();
    world
}

/// One that says that it works, and leaves its line.
pub(crate) fn with_a_made_agent(deed: &str) -> World {
    with_a_program(deed, |world| {
        format!(
            "ao hooks claude-code UserPromptSubmit </dev/null\n{}",
            counted(world)
        )
    })
}

/// What a session is asked for with.
fn wanted(world: &World, script: &str) -> Value {
    if world.dir.join("bin/claude").exists() {
        json!({"projectId": "web", "harness": "claude-code"})
    } else {
        json!({"projectId": "web", "harness": "shell", "command": ["/bin/sh", "-c", script]})
    }
}

/// One request, with a key where it is one that may be asked twice.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) body: Option<Value>,
    pub(crate) key: Option<&'a str>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(method: &'a str, path: &'a str, body: Option<Value>) -> Self {
        Self {
            method,
            path,
            body,
            key: None,
        }
    }

    pub(crate) fn keyed(mut self, key: &'a str) -> Self {
        self.key = Some(key);
        self
    }

    /// For a session under an idempotency key.
    pub(crate) fn session(world: &World, script: &str, key: &'a str) -> Self {
        Self::new("POST", "/api/v1/sessions", Some(wanted(world, script))).keyed(key)
    }

    fn with<T>(&self, world: &World, go: impl FnOnce(&[(&str, &str)], &[u8]) -> T) -> T {
        let host = format!("127.0.0.1:{}", world.port());
        let mut headers = vec![("Host", host.as_str())];
        let body = self.body.as_ref().map(Value::to_string).unwrap_or_default();
        if !body.is_empty() {
            headers.push(("Content-Type", "application/json"));
        }
        headers.extend(self.key.map(|key| ("Idempotency-Key", key)));
        go(&headers, body.as_bytes())
    }

    /// Asks; the connection may break, because the daemon dies under it, or its handler panics.
    pub(crate) fn quietly(&self, world: &World) -> Option<(u16, Value)> {
        let mut http = world.try_http()?;
        let answer = self.with(world, |headers, body| {
            http.raw(self.method, self.path, headers, body).ok()
        })?;
        Some((answer.status, answer.json()))
    }

    /// Asks a daemon that answers.
    pub(crate) fn ask(&self, world: &World) -> (u16, Value) {
        self.quietly(world).expect("the daemon answers")
    }

    /// Asks where `point` is armed. Where the one hangs there who answers, its client waits for as long as what this gives is kept,
    /// and nobody else does.
    pub(crate) fn to_be_cut(&self, world: &World, point: &str, deed: &str) -> Option<Http> {
        if deed != "hang" || !point.starts_with("intent.") {
            let _ = self.quietly(world);
            return None;
        }
        let mut http = world.http();
        let sent = self.with(world, |headers, body| {
            http.send(self.method, self.path, headers, body)
        });
        sent.expect("the daemon listens");
        Some(http)
    }
}

/// Asks a daemon that answers for a session under an idempotency key.
pub(crate) fn ask_for_session(world: &World, script: &str, key: &str) -> Value {
    let (status, answer) = Request::session(world, script, key).ask(world);
    assert!(matches!(status, 201 | 202), "{answer}");
    answer["session"].clone()
}

pub(crate) fn id_of(session: &Value) -> String {
    session["id"].as_str().unwrap().to_owned()
}

pub(crate) fn restart_after_the_kill(world: &mut World, point: &str) {
    within(
        Duration::from_secs(60),
        &format!("{point} was reached and the daemon is dead"),
        || world.has_ended().then_some(()),
    );
    assert!(world.fired(), "{point}: the daemon ended, but not there");
    world.wait_for_the_end();
    world.start();
}

/// Waits until what was armed has struck and the daemon is there again; it never goes away where only a task of its is cut.
pub(crate) fn get_over(world: &mut World, point: &str, deed: &str) {
    if deed == "kill" {
        return restart_after_the_kill(world, point);
    }
    settle(&format!("{point} was reached"), || world.fired());
}

/// One of everything, or nothing of anything.
pub(crate) fn assert_census(world: &World, point: &str, sessions: usize) {
    let mut last = String::new();
    let wanted = Census::of_sessions(sessions);
    let same = (0..400).any(|_| {
        let census = world.census();
        last = census.to_string();
        let same = last == wanted;
        if !same {
            std::thread::park_timeout(Duration::from_millis(25)); // leftovers are seen to go, within ten seconds
        }
        same
    });
    assert!(same, "{point}: {last}, wanted {wanted}\n{:?}", world.census());
}

/// Kills the session, which then leaves nothing.
pub(crate) fn end(world: &World, point: &str, id: &str) {
    world.ao(&["session", "kill", id]).ok();
    world.until(id, "phase", "ended");
    assert_census(world, point, 0);
}
