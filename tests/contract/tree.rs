//! The tree seen and steered by a person: drawn, followed, one child started again, kept down, brought back.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use ao_tests::{World, settle, within};
use serde_json::Value;

use crate::AO;

#[test]
fn a_child_is_started_again_kept_down_and_brought_back_by_hand() {
    let world = World::started(AO);
    let id = world.spawn("exec sleep 1000");
    let before = world.until(&id, "status", "working");
    let path = format!("ao/act/sessions/{id}");
    let incarnation = world.tree().incarnation(&path);

    world.ao(&["tree", "restart", &path]).ok();
    settle("it is another run", || {
        world.tree().incarnation(&path) > incarnation && world.tree().state(&path) == "running"
    });
    // A person's deed counts as nobody's crash.
    let tree = world.get("/api/v1/tree");
    let mut nodes = tree["nodes"].as_array().unwrap().iter();
    let node = nodes.find(|node| node["path"] == path.as_str()).unwrap();
    assert_eq!(node["restarts"]["inWindow"], 0, "{node}");
    world.ao(&["tree", "park", &path]).ok();
    settle("it is parked", || world.tree().state(&path) == "parked");
    let drawn = world.ao(&["tree"]).ok().out;
    assert!(
        drawn.contains("parked by hand") && drawn.contains("not tried again by itself"),
        "{drawn}"
    );
    let again = world.ao(&["tree", "park", &path]);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.err.contains("parked already"), "{again:?}");
    // Nobody watches it, and nothing was taken from it.
    assert_eq!(world.session(&id)["agentPid"], before["agentPid"]);
    world.ao(&["tree", "resume", &path]).ok();
    settle("it is back", || world.tree().state(&path) == "running");
    assert_eq!(world.session(&id)["status"], "working");
    assert_eq!(world.session(&id)["agentPid"], before["agentPid"]);
}

#[test]
fn what_cannot_be_done_to_a_child_is_refused_with_the_reason() {
    let world = World::started(AO);
    for (arguments, said) in [
        (["tree", "park", "ao/store"], "the children beside it rest on it"),
        (["tree", "park", "ao"], "is the root"),
        // Whoever parked the last of those could not ask for anything any more.
        (
            ["tree", "park", "ao/serving/api 1"],
            "its supervisor counts on it",
        ),
        (["tree", "park", "ao/serving/feed"], "its supervisor counts on it"),
        (["tree", "restart", "ao"], "is the root"),
        (
            ["tree", "restart", "ao/serving/fed"],
            "did you mean `ao/serving/feed`",
        ),
        (["tree", "resume", "ao/observe/hooks"], "is not parked"),
    ] {
        let answer = world.ao(&arguments);
        assert_eq!(answer.code, 1, "{arguments:?}: {answer:?}");
        assert!(answer.err.contains(said), "{arguments:?}: {answer:?}");
    }
    assert_eq!(world.ao(&["tree", "--watch", "park", "ao/act"]).code, 2);
}

#[test]
fn what_rests_on_a_restarted_child_is_restarted_with_it_and_no_agent_is() {
    let world = World::started(AO);
    let id = world.spawn("exec sleep 1000");
    let before = world.until(&id, "status", "working");
    let tree = world.tree();
    world.ao(&["tree", "restart", "ao/store"]).ok();
    settle("everything that came after it is another run", || {
        let now = world.tree();
        [
            "ao/store",
            "ao/serving/feed",
            "ao/observe/hooks",
            &format!("ao/act/sessions/{id}"),
        ]
        .iter()
        .all(|path| now.state(path) == "running" && now.incarnation(path) > tree.incarnation(path))
    });
    assert_eq!(world.session(&id)["agentPid"], before["agentPid"]);
    assert_eq!(world.session(&id)["status"], "working");
}

#[test]
fn what_happens_in_the_tree_is_on_the_event_stream() {
    let world = World::started(AO);
    let head = || {
        let text = world.query("SELECT CAST(coalesce(max(seq), 0) AS TEXT) FROM change_log");
        text.parse::<i64>().unwrap()
    };
    let mut events = world.http();
    assert_eq!(
        events
            .stream(&format!("/api/v1/events?after={}", head()))
            .unwrap(),
        200
    );
    let mut quiet = world.http();
    let path = format!("/api/v1/events?tree=false&after={}", head());
    assert_eq!(quiet.stream(&path).unwrap(), 200);
    assert_eq!(world.ask("GET", "/api/v1/events?tree=perhaps", None).status, 400);

    world.ao(&["tree", "restart", "ao/observe/hooks"]).ok();
    let mut told: Vec<(u64, String)> = Vec::new();
    let (mut kind, mut named) = (String::new(), false);
    while told.last().is_none_or(|(_, event)| event != "ready") {
        let line = events.line().unwrap().expect("the stream goes on");
        if line.is_empty() {
            (kind, named) = (String::new(), false);
        } else if let Some(name) = line.strip_prefix("event: ") {
            name.clone_into(&mut kind);
        } else if line.starts_with("id: ") {
            named = true;
        } else if let Some(data) = line.strip_prefix("data: ")
            && kind == "tree"
        {
            assert!(!named, "it has no place in the log: {line}");
            let event: Value = serde_json::from_str(data).unwrap();
            if event["path"] == "ao/observe/hooks" {
                told.push((
                    event["seq"].as_u64().unwrap(),
                    event["event"].as_str().unwrap().to_owned(),
                ));
            }
        }
    }
    let names: Vec<&str> = told.iter().map(|(_, event)| event.as_str()).collect();
    assert_eq!(
        names,
        ["terminating", "stopped", "restarting", "starting", "ready"]
    );
    assert!(told.windows(2).all(|pair| pair[0].0 < pair[1].0), "{told:?}");
    let seq = world.get("/api/v1/tree")["seq"].as_u64().unwrap();
    assert!(seq >= told.last().unwrap().0, "the picture has them in it");

    // The quiet one hears of a project, and of nothing before it.
    let other = world.dir.join("other");
    world.make_repository(&other);
    world
        .ao(&["project", "add", other.as_str(), "--id", "other"])
        .ok();
    loop {
        let line = quiet.line().unwrap().expect("the stream goes on");
        assert_ne!(line, "event: tree");
        if line.starts_with("data:") && line.contains("other") {
            break;
        }
    }
}

#[test]
fn a_watched_tree_is_drawn_anew_when_something_happens() {
    let world = World::started(AO);
    let mut watch = world
        .command(AO, &["--json", "tree", "--watch"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut trees = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&trees.next().unwrap().unwrap()).unwrap() };
    let hooks = |tree: &Value| {
        let nodes = tree["nodes"].as_array().unwrap();
        let node = nodes
            .iter()
            .find(|node| node["path"] == "ao/observe/hooks")
            .unwrap();
        node["incarnation"].as_u64()
    };
    let first = hooks(&next()).unwrap();
    world.ao(&["tree", "restart", "ao/observe/hooks"]).ok();
    within(Duration::from_secs(60), "it is drawn with the next run", || {
        hooks(&next()).is_some_and(|now| now > first).then_some(())
    });
    // It ends with the daemon, in good order.
    world.ao(&["stop"]).ok();
    let ended = within(Duration::from_secs(60), "the watcher has ended", || {
        watch.try_wait().unwrap()
    });
    assert_eq!(ended.code(), Some(0));
}

/// One of the daemon's two workers is kept for seconds. Not polled any more is one thing, never giving the thread back another:
/// no abort ends that.
#[test]
fn a_child_that_keeps_its_thread_delays_no_health_check_and_is_found_stuck() {
    /// Less than the child keeps its thread, and more than any answer takes that does not wait for it.
    const LATE: Duration = Duration::from_secs(2);
    let world = World::started(AO);
    let id = world.spawn("exec sleep 1000");
    let before = world.until(&id, "status", "working");
    let path = "ao/serving/api 1";
    let incarnation = world.tree().incarnation(path);
    assert_eq!(world.break_child("spin", path).status, 200);
    let mut asked = 0;
    within(Duration::from_secs(60), "it is another run", || {
        let began = std::time::Instant::now();
        assert_eq!(world.ask("GET", "/healthz", None).status, 200);
        assert!(began.elapsed() < LATE, "it took {:?}", began.elapsed());
        asked += 1;
        let tree = world.tree();
        (tree.incarnation(path) > incarnation && tree.state(path) == "running").then_some(())
    });
    assert!(asked > 10, "asked {asked} times only");
    let log = world.log();
    let told = |word: &str| log.lines().any(|line| line.contains(path) && line.contains(word));
    assert!(told("hung") && told("stuck"), "nobody noticed");
    assert_eq!(world.session(&id)["agentPid"], before["agentPid"]);
    assert_eq!(world.session(&id)["status"], "working");
}
