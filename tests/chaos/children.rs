//! A crashed child is restarted from its facts while the API reads derived status.

use std::collections::BTreeMap;
use std::time::Duration;

use ao_tests::{TreeView, Watcher, World, settle, within};
use serde_json::Value;

use crate::AO;

/// The longest a hung child may go unnoticed and be back again: the longest heartbeat, a grace, a back-off.
const BACK: Duration = Duration::from_secs(45);

/// A world with one agent that works, one that waits for a decision, and one that is over.
fn world() -> (World, BTreeMap<String, &'static str>) {
    let world = World::started(AO);
    let works = world.spawn("exec sleep 1000");
    let asks = world.spawn("ao hooks shell needs-decision </dev/null; exec sleep 1000");
    let ended = world.spawn("exit 3");
    world.until(&asks, "status", "needs_input");
    world.until(&ended, "status", "terminated");
    world.until(&works, "status", "working");
    (
        world,
        BTreeMap::from([(works, "working"), (asks, "needs_input"), (ended, "terminated")]),
    )
}

/// A little less than the child is away: a hung acceptor is found out after two seconds, all others after ten or more.
/// After a crash it is back at once; then nobody has anything to wait for.
fn late(how: &str, kind: &str) -> Duration {
    match (how, kind) {
        ("hang", "api") => Duration::from_millis(1_900),
        _ => Duration::from_secs(8),
    }
}

fn agents(world: &World) -> Vec<Value> {
    let sessions = world.get("/api/v1/sessions");
    sessions["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|session| session["agentPid"].clone())
        .collect()
}

fn statuses_wrong(expected: &BTreeMap<String, &'static str>, sessions: &Value) -> Option<String> {
    let all = sessions["sessions"].as_array()?;
    let wrong = expected.iter().find(|(id, status)| {
        !all.iter()
            .any(|session| session["id"] == id.as_str() && session["status"] == **status)
    });
    wrong.map(|(id, status)| format!("{id} is not shown as {status}: {sessions}"))
}

/// What becomes of one kind of child and of everybody else when it is broken in one way.
fn break_one(how: &str, kind: &str, path: &str) {
    let (world, expected) = world();
    let what = format!("{how} {kind} ({path})");
    let before = world.tree();
    let (pids, pid) = (agents(&world), world.pid());
    let right = expected.clone();
    let watcher = Watcher::start(&world, late(how, kind), move |sessions| {
        statuses_wrong(&right, sessions)
    });

    let answer = world.break_child(how, path);
    assert_eq!(
        answer.status,
        200,
        "{what}: {}",
        String::from_utf8_lossy(&answer.body)
    );
    let swept = swept_at(&world);
    if kind == "sweep" {
        // It lives for milliseconds, and only when it is due: it was armed, now it is due.
        world.sql("UPDATE sweeps SET due_at = '2000-01-01T00:00:00.000Z'");
    }
    within(BACK, &format!("{what}: it is back"), || {
        let tree = world.tree();
        let is_back = match kind {
            "sweep" => swept_at(&world) != swept,
            _ => tree.incarnation(path) > before.incarnation(path) && tree.state(path) == "running",
        };
        is_back.then_some(())
    });
    // What its restart takes along has to be back as well before it can be compared.
    let touched = before.touched_by(path);
    settle(&format!("{what}: everything runs"), || {
        let tree = world.tree();
        before
            .paths()
            .iter()
            .filter(|path| before.state(path) == "running")
            .all(|path| tree.state(path) == "running")
    });

    // A sweep is armed before it is up, so its hang is a start that takes too long.
    let words: &[&str] = if how == "crash" {
        &["panicked"]
    } else {
        &["hung", "not ready within"]
    };
    let told = |line: &str| line.contains(path) && words.iter().any(|word| line.contains(word));
    assert!(world.log().lines().any(told), "{what}: nobody noticed");

    let faults = watcher.faults();
    assert!(
        faults.is_empty(),
        "{what}: {} faults, the first: {}",
        faults.len(),
        faults[0]
    );
    assert!(
        !world.get("/healthz")["pid"].is_null() && world.pid() == pid,
        "{what}: the daemon is another"
    );
    let untouched =
        |path: &str| !touched.contains(path) && before.node(path).is_some() && !is_passing(&before, path);
    assert_eq!(
        before.incarnations(untouched),
        world.tree().incarnations(untouched),
        "{what}: a sibling moved"
    );
    assert_eq!(pids, agents(&world), "{what}: an agent is another process");
    assert_eq!(
        statuses_wrong(&expected, &world.get("/api/v1/sessions")),
        None,
        "{what}"
    );
}

/// Sweeps come and go by themselves.
fn is_passing(tree: &TreeView, path: &str) -> bool {
    tree.node(path)
        .is_some_and(|node| node["kind"] == "sweep" && node["type"] == "worker")
}

/// When the sweep last came to its end.
fn swept_at(world: &World) -> String {
    world.query("SELECT coalesce(finished_at, '') FROM sweeps")
}

/// The list is the tree's own: a new kind of child is a new case.
fn every_kind(how: &'static str) {
    let kinds = {
        let (world, _) = world();
        // A sweep is there only while it is due.
        within(Duration::from_secs(60), "every kind was seen", || {
            world.sql("UPDATE sweeps SET due_at = '2000-01-01T00:00:00.000Z'");
            let kinds = world.tree().kinds();
            kinds.contains_key("sweep").then_some(kinds)
        })
    };
    println!("{how}: {kinds:?}");
    assert!(kinds.len() >= 10, "{kinds:?}");
    for chunk in kinds.into_iter().collect::<Vec<_>>().chunks(4) {
        std::thread::scope(|scope| {
            for (kind, path) in chunk {
                scope.spawn(move || break_one(how, kind, path));
            }
        });
    }
}

#[test]
fn every_kind_of_child_that_panics_comes_back_from_its_facts() {
    every_kind("crash");
}

#[test]
fn every_kind_of_child_that_hangs_comes_back_from_its_facts() {
    every_kind("hang");
}

/// Rows were changed behind a child's back while it was down: it acts on the changed ones.
#[test]
fn a_child_acts_on_rows_that_changed_while_it_was_down() {
    let (world, expected) = world();
    let id = expected
        .iter()
        .find(|(_, status)| **status == "working")
        .unwrap()
        .0
        .clone();
    let path = format!("ao/act/sessions/{id}");
    let before = world.tree().incarnation(&path);
    assert_eq!(world.break_child("hang", &path).status, 200);
    world.sql(&format!("UPDATE sessions SET desired = 'stop' WHERE id = '{id}'"));
    let ended = world.until(&id, "phase", "ended");
    assert_eq!(ended["status"], "terminated");
    assert_eq!(ended["worktree"]["state"], "removed");
    let node = world.tree();
    assert!(
        node.incarnation(&path) == 0 || node.incarnation(&path) > before,
        "the hung one cannot have done it"
    );

    // Hooks that came in while the reader was down are applied by the next one.
    let asks = expected
        .iter()
        .find(|(_, status)| **status == "needs_input")
        .unwrap()
        .0
        .clone();
    assert_eq!(world.break_child("hang", "ao/observe/hooks").status, 200);
    let state = serde_json::json!({"state": "idle"});
    assert_eq!(
        world
            .ask("POST", &format!("/api/v1/sessions/{asks}/activity"), Some(&state))
            .status,
        200
    );
    world.until(&asks, "status", "idle");

    // A change that was written while the feed was down reaches a client that waits.
    let mut events = world.http();
    assert_eq!(events.stream("/api/v1/events?after=0").unwrap(), 200);
    assert_eq!(world.break_child("hang", "ao/serving/feed").status, 200);
    let fresh = world.spawn("exec sleep 1000");
    let is_it =
        |line: &str| line.starts_with("data:") && line.contains(&fresh) && line.contains("session_created");
    while !events.line().unwrap().is_some_and(|line| is_it(&line)) {}
}

#[test]
fn ten_crashes_in_a_row_park_a_child_and_resume_brings_it_back() {
    let (world, expected) = world();
    let id = expected
        .iter()
        .find(|(_, status)| **status == "working")
        .unwrap()
        .0
        .clone();
    let path = format!("ao/act/sessions/{id}");
    let siblings = |path: &str| !path.ends_with(&id) && path.contains("/act/");
    let before = world.tree().incarnations(siblings);
    crash_until_parked(&world, &path);

    let drawn = world.ao(&["tree"]).ok().out;
    let line = drawn
        .lines()
        .find(|line| line.contains(&id))
        .unwrap_or_else(|| panic!("{drawn}"));
    assert!(line.contains("parked") && drawn.contains("panic"), "{drawn}");
    assert!(drawn.contains("again in"), "when it is tried again:\n{drawn}");
    assert_eq!(before, world.tree().incarnations(siblings));
    assert_eq!(world.session(&id)["status"], "working", "its agent runs on");

    world.ao(&["tree", "resume", &path]).ok();
    settle("the child is back", || world.tree().state(&path) == "running");
    let twice = world.ao(&["tree", "resume", &path]);
    assert_eq!(twice.code, 1, "{twice:?}");
    world.ao(&["session", "kill", &id]).ok();
    world.until(&id, "phase", "ended");
}

fn crash_until_parked(world: &World, path: &str) -> u32 {
    let mut crashes = 0;
    loop {
        let state = within(
            Duration::from_secs(60),
            &format!("{path} runs or is parked"),
            || {
                let state = world.tree().state(path);
                matches!(state.as_str(), "running" | "parked").then_some(state)
            },
        );
        if state == "parked" {
            return crashes;
        }
        let was = world.tree().incarnation(path);
        assert_eq!(world.break_child("crash", path).status, 200);
        crashes += 1;
        within(Duration::from_secs(60), &format!("{path} has crashed"), || {
            let tree = world.tree();
            (tree.incarnation(path) != was || tree.state(path) != "running").then_some(())
        });
    }
}

/// A thousand crashes of one child are that child's business alone.
#[test]
fn a_thousand_crashes_of_each_child_that_is_no_infrastructure_move_nobody_else() {
    const CRASHES: u64 = 1_000;
    let (world, expected) = world();
    let working = expected
        .iter()
        .find(|(_, status)| **status == "working")
        .unwrap()
        .0
        .clone();
    let pid = world.pid();
    for path in [
        format!("ao/act/sessions/{working}"),
        "ao/observe/hooks".to_owned(),
        "ao/observe/sweeps/sessions".to_owned(),
    ] {
        let others = |other: &str| other != path && !other.contains("/sweeps/");
        let before = world.tree().incarnations(others);
        let mut http = world.http();
        let mut post = |how: &str| {
            let body = serde_json::json!({ "path": path });
            http.ask("POST", &format!("/api/v1/tree/{how}"), Some(&body))
                .unwrap()
                .status
        };
        let (mut crashes, mut last) = (0, world.tree().incarnation(&path));
        let began = std::time::Instant::now();
        while crashes < CRASHES {
            assert!(
                began.elapsed() < Duration::from_secs(240),
                "{path}: only {crashes} crashes"
            );
            let tree = world.tree();
            match tree.state(&path).as_str() {
                "running" if tree.incarnation(&path) > last || crashes == 0 => {
                    last = tree.incarnation(&path);
                    assert_eq!(post("crash"), 200, "{path}");
                    crashes += 1;
                }
                "backoff" | "parked" => {
                    post("resume"); // it may be running by now: then there is nothing to hurry
                }
                "running" | "starting" | "stopping" => {}
                // A sweep is armed, and there when it is due.
                _ => {
                    assert_eq!(post("crash"), 200, "{path}");
                    world.sql("UPDATE sweeps SET due_at = '2000-01-01T00:00:00.000Z'");
                    last = tree.incarnation(&path);
                    crashes += 1;
                }
            }
        }
        settle(&format!("{path} is itself again"), || {
            post("resume");
            let state = world.tree().state(&path);
            state == "running"
                || (path.contains("/sweeps/") && !matches!(state.as_str(), "backoff" | "parked"))
        });
        assert_eq!(
            before,
            world.tree().incarnations(others),
            "{path}: somebody else moved"
        );
        assert_eq!(world.get("/healthz")["pid"], pid);
        println!("{path}: {crashes} crashes");
    }
    assert_eq!(statuses_wrong(&expected, &world.get("/api/v1/sessions")), None);
}
