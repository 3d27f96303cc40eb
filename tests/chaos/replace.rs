//! One orchestrator takes another's place, cut at every point of the one's beginning and of the other's end: at no sample has the
//! project no live orchestrator, by its rows or by its processes.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ao_tests::{Rows, World, settle, within};
use camino::Utf8Path;
use serde_json::{Value, json};

use crate::cut::{
    Request, assert_census, at_each, end, get_over, id_of, points, started_for, starts, with_a_program,
};

/// Those that the rows show as live, and that nobody has asked to stop; marked whoever has the place.
const LIVE: &str = "SELECT coalesce(group_concat(id || CASE WHEN replaces IS NULL THEN '*' ELSE '' END, ' '), '') FROM sessions \
    WHERE kind = 'orchestrator' AND phase = 'live' AND desired = 'run'";

/// Looks at rows and processes all the time, whether a daemon runs or not.
struct Sampler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u64, Vec<String>)>,
}

impl Sampler {
    fn start(world: &World) -> Self {
        let (stop, data, file) = (
            Arc::new(AtomicBool::new(false)),
            world.data.clone(),
            world.dir.join("starts"),
        );
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (rows, mut samples, mut faults) = (Rows::open(&data), 0, Vec::new());
            while !seen.load(Ordering::Relaxed) {
                // A database that is being opened by the next daemon cannot be asked for an instant: that is no sample.
                if let Some(live) = rows.text(LIVE) {
                    samples += 1;
                    // Until the new one has proved itself there are two; it takes the place in one instant.
                    let placed = live.split_whitespace().filter(|id| id.ends_with('*')).count();
                    if !matches!(live.split_whitespace().count(), 1 | 2) || placed != 1 {
                        faults.push(format!("sample {samples}: live by their rows: `{live}`"));
                    }
                }
                let running = running(&file);
                if !matches!(running.len(), 1 | 2) {
                    faults.push(format!("sample {samples}: running: {running:?}"));
                }
                std::thread::park_timeout(Duration::from_millis(2));
            }
            (samples, faults)
        });
        Self { stop, thread }
    }

    /// Ends the samples, of which there are enough and none is wrong.
    fn assert_clean(self, what: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let (samples, faults) = self.thread.join().expect("who samples does not panic");
        assert!(samples > 10, "{what}: only {samples} samples");
        assert!(
            faults.is_empty(),
            "{what}: {} of {samples}: {}",
            faults.len(),
            faults[0]
        );
    }
}

/// The agents that left a line and run, by their sessions.
fn running(file: &Utf8Path) -> BTreeMap<String, String> {
    let lines = fs::read_to_string(file).unwrap_or_default();
    let runs = |line: &str| {
        let (pid, id) = line.trim_end().split_once(' ')?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let state = stat.rsplit(") ").next()?.chars().next()?;
        (!matches!(state, 'Z' | 'X')).then(|| (id.to_owned(), pid.to_owned()))
    };
    lines.lines().filter_map(runs).collect()
}

/// It leaves its line before it speaks up, so that nobody takes a place who is not known to run; and it speaks up, so that nobody waits
/// for it to have lived for a while.
fn speaks(world: &World, hook: &str) -> String {
    let starts = world.dir.join("starts");
    format!("echo $$ $AO_SESSION_ID >> {starts}; ao hooks {hook} </dev/null; exec sleep 1000")
}

fn cut_a_replacement(deed: &str) {
    let names = [
        "intent.spawn",
        "spawn.",
        "provision.furnish",
        "hooks.",
        "watch.look",
        "replace.",
        "stop.",
    ];
    at_each(deed, points(&names), |point| {
        let mut world = if point.starts_with("spawn.ready") {
            with_a_program(deed, |world| speaks(world, "claude-code UserPromptSubmit"))
        } else {
            started_for(deed)
        };
        let harness = if world.dir.join("bin/claude").exists() {
            json!({"projectId": "web", "harness": "claude-code"})
        } else {
            let script = speaks(&world, "shell working");
            json!({"projectId": "web", "harness": "shell", "command": ["/bin/sh", "-c", script]})
        };
        let start = |clean: bool| {
            let mut body = harness.clone();
            body["clean"] = Value::from(clean);
            let key = if clean { "the new" } else { "the old" };
            Request::new("POST", "/api/v1/orchestrators", Some(body)).keyed(key)
        };
        let old = id_of(&start(false).ask(&world).1["session"]);
        world.until(&old, "status", "working");
        settle("the old one has left its line", || starts(&world) == 1);
        let sampler = Sampler::start(&world);
        world.arm(point, deed);
        let _waits = start(true).to_be_cut(&world, point, deed);
        get_over(&mut world, point, deed);
        // Whoever lost the answer asks again under the same key: it is the same replacement.
        let new = id_of(&start(true).ask(&world).1["session"]);
        assert_ne!(new, old, "{point}");
        let ended = world.until(&old, "phase", "ended");
        assert_eq!(ended["endReason"], "replaced", "{point}");
        world.until(&new, "status", "working");
        sampler.assert_clean(point);
        let all = world.get("/api/v1/orchestrators");
        assert_eq!(
            all["sessions"].as_array().map(Vec::len),
            Some(2),
            "{point}: {all}"
        );
        assert_eq!(starts(&world), 2, "{point}: an agent was started more than once");
        assert_census(&world, point, 1);
        end(&world, point, &new);
    });
}

#[test]
fn a_replacement_survives_a_kill_at_every_step_and_there_is_always_one() {
    cut_a_replacement("kill");
}

#[test]
fn a_replacement_survives_a_panic_at_every_step_and_there_is_always_one() {
    cut_a_replacement("panic");
}

#[test]
fn a_replacement_survives_a_hang_at_every_step_and_there_is_always_one() {
    cut_a_replacement("hang");
}

/// How a challenger comes to its end before it has taken the place.
#[derive(Clone, Copy, Debug)]
enum Ended {
    /// A person kills it while its worktree is furnished.
    AtFurnishing,
    /// A person kills it when it is about to take the place.
    AtTheTakeOver,
    /// Its agent is killed before it has spoken.
    Unheard,
    /// Its agent is killed when it is about to take the place.
    GoneAtTheTakeOver,
}

/// Whoever challenges and does not come up has changed nothing: the old one keeps its place, at every sample.
fn end_a_challenger(how: Ended) {
    let world = started_for("hang");
    let orchestrator = |script: &str, clean: bool| {
        let body = json!({"projectId": "web", "harness": "shell", "command": ["/bin/sh", "-c", script], "clean": clean});
        Request::new("POST", "/api/v1/orchestrators", Some(body))
    };
    let speaks = speaks(&world, "shell working");
    let old = id_of(&orchestrator(&speaks, false).ask(&world).1["session"]);
    let before = world.until(&old, "status", "working");
    settle("the old one has left its line", || starts(&world) == 1);
    let mut script = speaks;
    match how {
        Ended::AtFurnishing => {
            let waits = ["project", "set-config", "web", "--post-create", "exec sleep 1000"];
            world.ao(&waits).ok();
        }
        Ended::AtTheTakeOver | Ended::GoneAtTheTakeOver => {
            world.arm("replace.take_over.before", "hang");
        }
        Ended::Unheard => {
            script = format!(
                "echo $$ $AO_SESSION_ID >> {}; kill -KILL $$",
                world.dir.join("starts")
            );
        }
    }
    let sampler = Sampler::start(&world);
    let new = std::thread::scope(|scope| {
        scope.spawn(|| orchestrator(&script, true).quietly(&world));
        let new = within(Duration::from_secs(60), "there is a challenger", || {
            let all = world.get("/api/v1/orchestrators");
            all["sessions"][1]["id"].as_str().map(str::to_owned)
        });
        assert_eq!(world.session(&new)["replaces"], old.as_str());
        match how {
            Ended::AtFurnishing => {
                world.until(&new, "phase", "provision");
                world.ao(&["kill", &new]).ok();
            }
            Ended::AtTheTakeOver => {
                settle("it is about to take the place", || world.fired());
                world.ao(&["kill", &new]).ok();
            }
            Ended::GoneAtTheTakeOver => {
                settle("it is about to take the place", || world.fired());
                let lines = fs::read_to_string(world.dir.join("starts")).unwrap();
                let last = lines.lines().last().unwrap().split_once(' ').unwrap();
                assert_eq!(last.1, new);
                let agent = rustix::process::Pid::from_raw(last.0.parse().unwrap()).unwrap();
                rustix::process::kill_process(agent, rustix::process::Signal::KILL).unwrap();
                settle("its agent is seen to be gone", || {
                    matches!(world.session(&new)["phase"].as_str(), Some("finished" | "ended"))
                });
                world.ao(&["kill", &new]).ok();
            }
            Ended::Unheard => {
                settle("its agent is seen to be gone", || {
                    matches!(world.session(&new)["phase"].as_str(), Some("finished" | "ended"))
                });
                world.ao(&["kill", &new]).ok();
            }
        }
        new
    });
    world.until(&new, "phase", "ended");
    let after = world.session(&old);
    for fact in ["agentPid", "generation"] {
        assert_eq!(after[fact], before[fact], "{how:?}: {after}");
    }
    assert_eq!(
        (&after["phase"], &after["desired"]),
        (&json!("live"), &json!("run")),
        "{how:?}"
    );
    assert_census(&world, &format!("{how:?}"), 1);
    sampler.assert_clean(&format!("{how:?}"));
    end(&world, &format!("{how:?}"), &old);
}

#[test]
fn a_challenger_that_a_person_kills_before_it_runs_leaves_the_old_one_its_place() {
    end_a_challenger(Ended::AtFurnishing);
}

#[test]
fn a_challenger_that_a_person_kills_before_it_takes_over_leaves_the_old_one_its_place() {
    end_a_challenger(Ended::AtTheTakeOver);
}

#[test]
fn a_challenger_whose_agent_is_killed_before_it_speaks_leaves_the_old_one_its_place() {
    end_a_challenger(Ended::Unheard);
}

#[test]
fn a_challenger_whose_agent_is_killed_before_it_takes_over_leaves_the_old_one_its_place() {
    end_a_challenger(Ended::GoneAtTheTakeOver);
}
