//! A crashed child is restarted from its facts while the API reads derived status.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ao_tests::github::GitHub;
use ao_tests::{Http, TreeView, Watcher, World, settle, within};
use serde_json::Value;

use crate::AO;
use crate::rows::with_a_pull_request;

/// The longest a hung child may go unnoticed and be back again: the longest heartbeat, a grace, a back-off.
pub(crate) const BACK: Duration = Duration::from_secs(45);

/// A world with one agent that works, one that waits for a decision, and one that is over.
pub(crate) fn world() -> (World, BTreeMap<String, &'static str>) {
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

/// Between two questions of a client while a child is broken. A crashed one is back within milliseconds; a hung one is away for ten
/// seconds and more, and clients that asked all that time without a pause would be all that the machine does.
fn pause(how: &str) -> Duration {
    Duration::from_millis(if how == "hang" { 50 } else { 10 })
}

/// Worlds at a time: of a hang most is waiting for the silence to be believed.
fn at_once(how: &str) -> usize {
    if how == "hang" { 12 } else { 4 }
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

/// What a broken child stands in: sessions and what they are shown as, and in one of two the forge with the pull request of the first.
struct Place {
    world: World,
    expected: BTreeMap<String, &'static str>,
    forge: Option<GitHub>,
}

impl Place {
    fn plain() -> Self {
        let (world, expected) = world();
        Self {
            world,
            expected,
            forge: None,
        }
    }

    /// Where somebody talks to a forge, looks after a repository and a pull request, and reads a transcript.
    fn with_a_forge() -> Self {
        let (world, github) = with_a_pull_request();
        let works = world.until("web-1", "status", "working")["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let rests = world.spawn_claude("hello");
        // It is idle before its first turn, too.
        let heard = format!("SELECT CAST(count(*) AS TEXT) FROM signals WHERE session_id = '{rests}'");
        settle("its first turn is over", || world.query(&heard) == "3");
        world.until(&rests, "status", "idle");
        Self {
            world,
            expected: BTreeMap::from([(works, "working"), (rests, "idle")]),
            forge: Some(github),
        }
    }

    /// What is wrong with an answer to `GET /api/v1/sessions`, if anything is, whatever is broken.
    fn judge(&self) -> impl Fn(&Value) -> Option<String> + Send + Sync + 'static {
        let (expected, has_pull) = (self.expected.clone(), self.forge.is_some());
        move |sessions| {
            let pull = pull_of(sessions)["state"].as_str();
            let gone = has_pull && !matches!(pull, Some("open" | "draft"));
            statuses_wrong(&expected, sessions)
                .or_else(|| gone.then(|| format!("its pull request: {sessions}")))
        }
    }
}

/// The pull request of the first session, as a list of sessions shows it.
fn pull_of(sessions: &Value) -> &Value {
    let all = sessions["sessions"].as_array();
    let first = all.and_then(|all| all.iter().find(|session| session["id"] == "web-1"));
    first.map_or(&Value::Null, |session| &session["prs"][0])
}

/// What becomes of one kind of child and of everybody else when it is broken in one way.
fn break_one(how: &str, kind: &str, path: &str, place: &Place) {
    let Place {
        world,
        expected,
        forge,
    } = place;
    let what = format!("{how} {kind} ({path})");
    let began = Instant::now();
    let mut before = world.tree();
    let (pids, pid) = (agents(world), world.pid());
    let watcher = Watcher::start(world, pause(how), late(how, kind), place.judge());

    loop {
        let answer = world.break_child(how, path);
        assert_eq!(
            answer.status,
            200,
            "{what}: {}",
            String::from_utf8_lossy(&answer.body)
        );
        if how == "crash" || forge.is_none() || can_be_written_to(world) {
            break;
        }
        println!("{what}: met in a write after {:?}", began.elapsed());
        // It was met in the middle of a write, where only the database itself can hang: nobody writes until it is found out, and that is
        // another case. Those of a forge write often.
        within(BACK, &format!("{what}: it is back from a write"), || {
            let tree = world.tree();
            let is_back = tree.incarnation(path) > before.incarnation(path) && tree.state(path) == "running";
            is_back.then_some(())
        });
        let again = |path: &String| before.state(path) != "running" || world.tree().state(path) == "running";
        settle(&format!("{what}: everything runs again"), || {
            before.paths().iter().all(again)
        });
        before = world.tree();
    }
    let swept = swept_at(world);
    if kind == "sweep" {
        // It lives for milliseconds, and only when it is due: it was armed, now it is due.
        make_due(world);
    }
    if let Some(github) = forge {
        github.edit("acme/web", 1, |pull| pull.draft = true);
    }
    within(BACK, &format!("{what}: it is back"), || {
        let tree = world.tree();
        let is_back = match kind {
            "sweep" => swept_at(world) != swept,
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

    if forge.is_some() {
        settle(&format!("{what}: what its forge says now is shown"), || {
            pull_of(&world.get("/api/v1/sessions"))["state"] == "draft"
        });
    }

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
    assert_eq!(pids, agents(world), "{what}: an agent is another process");
    assert_eq!(
        statuses_wrong(expected, &world.get("/api/v1/sessions")),
        None,
        "{what}"
    );
    println!("{what}: {:?}", began.elapsed());
}

/// Whether a write is answered.
fn can_be_written_to(world: &World) -> bool {
    let body = serde_json::json!({ "displayName": "written" });
    let http = Http::connect(world.port(), Duration::from_secs(5));
    let answer = http.and_then(|mut http| http.ask("PATCH", "/api/v1/sessions/web-1", Some(&body)));
    answer.is_ok_and(|answer| answer.status == 200)
}

/// Sweeps come and go by themselves.
fn is_passing(tree: &TreeView, path: &str) -> bool {
    tree.node(path)
        .is_some_and(|node| node["kind"] == "sweep" && node["type"] == "worker")
}

/// When the sweep last came to its end.
pub(crate) fn swept_at(world: &World) -> String {
    world.query("SELECT coalesce(finished_at, '') FROM sweeps")
}

/// The list is the tree's own: a new kind of child is a new case. Those that have anything to do where there is a forge alone are
/// broken there, and so are the rosters that have children there alone.
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
    let mut with_a_forge = Place::with_a_forge().world.tree().kinds();
    let busy: BTreeSet<String> = with_a_forge
        .iter()
        .filter(|(kind, _)| !kinds.contains_key(*kind))
        .filter_map(|(_, path)| {
            path.match_indices('/')
                .nth(2)
                .map(|(at, _)| path[..at].to_owned())
        })
        .collect();
    println!("{how}: {kinds:?}, with a forge {with_a_forge:?}, of which {busy:?}");
    with_a_forge.retain(|kind, path| {
        !kinds.contains_key(kind)
            || busy
                .iter()
                .any(|roster| path == roster || path.starts_with(&format!("{roster}/")))
    });
    assert!(
        kinds.len() >= 10 && with_a_forge.len() >= 8,
        "{kinds:?}, {with_a_forge:?}"
    );
    // Those with a forge take the longest: they begin.
    let with_a_forge = with_a_forge.into_iter().map(|(kind, path)| (kind, path, true));
    let plain = kinds.into_iter().map(|(kind, path)| (kind, path, false));
    let next = Mutex::new(with_a_forge.chain(plain));
    std::thread::scope(|scope| {
        for _ in 0..at_once(how) {
            scope.spawn(|| {
                while let Some((kind, path, has_forge)) = { next.lock().unwrap().next() } {
                    let place = if has_forge {
                        Place::with_a_forge()
                    } else {
                        Place::plain()
                    };
                    break_one(how, &kind, &path, &place);
                }
            });
        }
    });
}

#[test]
fn every_kind_of_child_that_panics_comes_back_from_its_facts() {
    every_kind("crash");
}

#[test]
fn every_kind_of_child_that_hangs_comes_back_from_its_facts() {
    every_kind("hang");
}

/// Who is told to stop while one of its supervisors hangs does not wait for that one for ever; agents run on, and the next daemon
/// finds all as it was.
#[test]
fn a_daemon_of_which_a_part_hangs_stops_all_the_same() {
    let stops = |path: &str| {
        let (mut world, expected) = world();
        let id = expected
            .iter()
            .find(|(_, status)| **status == "working")
            .unwrap()
            .0;
        let pid = world.session(id)["agentPid"].clone();
        assert_eq!(world.break_child("hang", path).status, 200);
        let mut http = world.http();
        assert_eq!(http.ask("POST", "/shutdown", None).unwrap().status, 202, "{path}");
        assert_eq!(world.wait_for_the_end(), 0, "{path}");
        world.start();
        assert_eq!(world.session(id)["agentPid"], pid, "{path}");
        for (id, status) in expected {
            world.until(&id, "status", status);
        }
    };
    std::thread::scope(|scope| {
        for path in ["ao/observe", "ao/act", "ao/serving"] {
            scope.spawn(move || stops(path));
        }
    });
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
    assert_eq!(
        crash_until_parked(&world, &path),
        10,
        "the tenth in a row is one too many"
    );

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
    // Parked, it would be tried again by itself after half a minute: it is the resume that is seen here.
    within(Duration::from_secs(10), "the child is back", || {
        (world.tree().state(&path) == "running").then_some(())
    });
    let twice = world.ao(&["tree", "resume", &path]);
    assert_eq!(twice.code, 1, "{twice:?}");
    world.ao(&["session", "kill", &id]).ok();
    world.until(&id, "phase", "ended");
}

/// How many crashes it took.
pub(crate) fn crash_until_parked(world: &World, path: &str) -> u32 {
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
        crash_often(&world, &path, CRASHES);
        settle(&format!("{path} is itself again"), || {
            order(&world, "resume", &path);
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
        // What parks it is told of twice, without a number the second time.
        let (log, mark) = (world.log(), format!("path=\"{path}\" incarnation="));
        let panics = log.lines().filter(|line| line.contains("panicked"));
        let told: BTreeSet<&str> = panics
            .filter_map(|line| line.split(&mark).nth(1)?.split_whitespace().next())
            .collect();
        let told = told.len() as u64;
        assert!(told >= CRASHES, "{path}: the log tells of {told} crashes only");
        println!("{path}: {told} crashes");
    }
    assert_eq!(statuses_wrong(&expected, &world.get("/api/v1/sessions")), None);
}

/// Gives an order about a child and tells what was answered.
fn order(world: &World, how: &str, path: &str) -> u16 {
    world.break_child(how, path).status
}

/// Makes `path` crash until `crashes` ends of its were seen in the tree, each of another incarnation.
///
/// A child that runs is crashed where it stands. A sweep is hardly ever met while it runs: the first is armed before it is
/// due, and from then on the row stays due, so that it goes from its back-off straight into the next armed crash.
fn crash_often(world: &World, path: &str, crashes: u64) {
    let is_sweep = path.contains("/sweeps/");
    let (mut seen, mut last, mut struck) = (0, world.tree().last_crash(path), 0);
    let began = std::time::Instant::now();
    while seen < crashes {
        assert!(
            began.elapsed() < Duration::from_secs(240),
            "{path}: only {seen} crashes"
        );
        let tree = world.tree();
        let newest = tree.last_crash(path);
        if newest > last {
            (seen, last) = (seen + 1, newest);
        }
        match tree.state(path).as_str() {
            "running" if tree.incarnation(path) > struck => {
                struck = tree.incarnation(path);
                assert_eq!(order(world, "crash", path), 200, "{path}");
            }
            "backoff" | "parked" => {
                if is_sweep {
                    assert_eq!(order(world, "crash", path), 200, "{path}");
                }
                order(world, "resume", path); // it may be running by now: then there is nothing to hurry
            }
            "running" | "starting" | "stopping" => {}
            _ => {
                assert!(is_sweep, "{path} is gone: {tree:?}");
                assert_eq!(order(world, "crash", path), 200, "{path}");
                make_due(world);
                let armed_at = tree.incarnation(path);
                within(BACK, &format!("{path} is due and crashes"), || {
                    let tree = world.tree();
                    let moved = tree.last_crash(path) > last || tree.incarnation(path) > armed_at;
                    moved.then_some(())
                });
            }
        }
    }
}

/// Makes the sweep due. The number of its row's session moves too: that is what the daemon hears of within a second.
pub(crate) fn make_due(world: &World) {
    world.sql(
        "UPDATE sweeps SET due_at = '2000-01-01T00:00:00.000Z'; UPDATE sessions SET revision = revision + 1",
    );
}
