//! Every step of a session's life can be cut: the daemon is killed at each crash point, or who takes the step panics or hangs there, and
//! nothing is lost, doubled or left over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use ao_tests::{Census, Seed, World, settle};
use camino::Utf8PathBuf;
use serde_json::json;

use crate::AO;
use crate::cut::{
    Request, ask_for_session, assert_census, at_each, counted, end, get_over, id_of, points, started_for,
    starts, with_a_made_agent,
};

fn cut_a_spawn(deed: &str) {
    at_each(deed, points(&["intent.spawn", "spawn."]), |point| {
        let mut world = if point.starts_with("spawn.ready") {
            with_a_made_agent(deed)
        } else {
            started_for(deed)
        };
        let script = counted(&world);
        world.arm(point, deed);
        let _waits = Request::session(&world, &script, "the-key").to_be_cut(&world, point, deed);
        get_over(&mut world, point, deed);
        // Whoever lost the answer asks again under the same key.
        let id = id_of(&ask_for_session(&world, &script, "the-key"));
        world.until(&id, "status", "working");
        assert_eq!(
            world.get("/api/v1/sessions")["sessions"]
                .as_array()
                .unwrap()
                .len(),
            1,
            "{point}"
        );
        assert_census(&world, point, 1);
        settle("the agent has left its line", || starts(&world) > 0);
        assert_eq!(starts(&world), 1, "{point}: the agent was started more than once");
        let pid = world.session(&id)["agentPid"].as_u64().unwrap();
        assert!(
            fs::read_to_string(world.dir.join("starts"))
                .unwrap()
                .contains(&pid.to_string()),
            "{point}"
        );
        end(&world, point, &id);
    });
}

/// Restored under a cut at each step: one agent, of the next run, in the same worktree.
fn cut_a_restore(deed: &str) {
    at_each(
        deed,
        points(&[
            "intent.restore",
            "restore.",
            "spawn.to_worktree",
            "spawn.to_launch",
            "spawn.runtime",
            "spawn.to_live",
        ]),
        |point| {
            let mut world = started_for(deed);
            let ends = world.dir.join("ends");
            fs::write(&ends, "").unwrap();
            let script = format!(
                "echo $$ $AO_SESSION_ID >> {}; [ -e {ends} ] || exec sleep 1000",
                world.dir.join("starts")
            );
            let id = world.spawn(&script);
            let before = world.until(&id, "phase", "finished");
            fs::remove_file(&ends).unwrap();
            world.arm(point, deed);
            let path = format!("/api/v1/sessions/{id}/restore");
            let restore = Request::new("POST", &path, Some(json!({"startOver": true})));
            let _waits = restore.to_be_cut(&world, point, deed);
            get_over(&mut world, point, deed);
            // Whoever lost the answer asks again; where it was written down already, that is refused.
            let (status, again) = restore.ask(&world);
            assert!(matches!(status, 200 | 202 | 409), "{point}: {again}");
            let after = world.until(&id, "status", "working");
            assert_eq!(after["generation"], 2, "{point}");
            assert_eq!(after["worktree"]["path"], before["worktree"]["path"]);
            settle("the agent has left its line", || starts(&world) > 1);
            assert_eq!(starts(&world), 2, "{point}: an agent was started more than once");
            assert_census(&world, point, 1);
            end(&world, point, &id);
        },
    );
}

#[test]
fn a_restore_survives_a_kill_at_every_step() {
    cut_a_restore("kill");
}

#[test]
fn a_restore_survives_a_panic_at_every_step() {
    cut_a_restore("panic");
}

#[test]
fn a_restore_survives_a_hang_at_every_step() {
    cut_a_restore("hang");
}

/// Its directory was deleted: it is made again, with all that its project shares, and what git still had of it is told of.
fn cut_a_restore_into_a_deleted_worktree(deed: &str) {
    let names = [
        "spawn.worktree",
        "spawn.to_provision",
        "provision.",
        "spawn.to_prepare",
    ];
    at_each(deed, points(&names), |point| {
        let mut world = started_for(deed);
        world.commit(&[(".gitignore", "shared\nmade\n")]);
        fs::create_dir(world.repo.join("shared")).unwrap();
        let set = ["project", "set-config", "web", "--symlink", "shared"];
        world
            .ao(&[&set[..], &["--post-create", "echo made > made"]].concat())
            .ok();
        let id = world.spawn("cat made && ls shared/");
        let session = world.until(&id, "phase", "finished");
        assert_eq!(session["exit"], json!({"code": 0}));
        let worktree = Utf8PathBuf::from(session["worktree"]["path"].as_str().unwrap());
        fs::write(worktree.join("README.md"), "staged\n").unwrap();
        world.git_in(&worktree, &["add", "README.md"]);
        fs::remove_dir_all(&worktree).unwrap();
        world.arm(point, deed);
        let path = format!("/api/v1/sessions/{id}/restore");
        let restore = Request::new("POST", &path, Some(json!({"startOver": true})));
        let _waits = restore.to_be_cut(&world, point, deed);
        get_over(&mut world, point, deed);
        settle("its agent has run again", || {
            let session = world.session(&id);
            session["generation"] == 2 && session["phase"] == "finished"
        });
        let after = world.session(&id);
        assert_eq!(after["exit"], json!({"code": 0}), "{point}: {after}");
        let rescue = after["worktree"]["rescueRef"].as_str();
        let rescue = rescue.unwrap_or_else(|| panic!("{point}: nobody learns of it: {after}"));
        assert_eq!(
            world.git(&["show", &format!("{rescue}:README.md")]),
            "staged\n",
            "{point}"
        );
        assert_eq!(world.git_in(&worktree, &["status", "--porcelain"]), "", "{point}");
    });
}

#[test]
fn a_restore_into_a_deleted_worktree_survives_a_kill_at_every_step() {
    cut_a_restore_into_a_deleted_worktree("kill");
}

#[test]
fn a_restore_into_a_deleted_worktree_survives_a_panic_at_every_step() {
    cut_a_restore_into_a_deleted_worktree("panic");
}

#[test]
fn a_restore_into_a_deleted_worktree_survives_a_hang_at_every_step() {
    cut_a_restore_into_a_deleted_worktree("hang");
}

#[test]
fn a_spawn_survives_a_kill_at_every_step() {
    cut_a_spawn("kill");
}

/// The same for a panic of whoever does the step: the daemon lives, the child comes back, and looks.
#[test]
fn a_spawn_survives_a_panic_at_every_step() {
    cut_a_spawn("panic");
}

#[test]
fn a_spawn_survives_a_hang_at_every_step() {
    cut_a_spawn("hang");
}

#[test]
fn a_stop_survives_a_kill_at_every_step() {
    cut_a_stop("kill");
}

#[test]
fn a_stop_survives_a_panic_at_every_step() {
    cut_a_stop("panic");
}

#[test]
fn a_stop_survives_a_hang_at_every_step() {
    cut_a_stop("hang");
}

fn cut_a_stop(deed: &str) {
    at_each(deed, points(&["intent.stop", "stop."]), |point| {
        let mut world = started_for(deed);
        let id = world.spawn(&counted(&world));
        world.until(&id, "status", "working");
        world.arm(point, deed);
        let path = format!("/api/v1/sessions/{id}/kill");
        let _waits = Request::new("POST", &path, None).to_be_cut(&world, point, deed);
        get_over(&mut world, point, deed);
        if point == "intent.stop.before" {
            assert_eq!(
                world.session(&id)["status"],
                "working",
                "{point}: nothing was wanted yet"
            );
            world.ao(&["session", "kill", &id]).ok();
        }
        let ended = world.until(&id, "phase", "ended");
        assert_eq!(
            (&ended["status"], &ended["endReason"]),
            (&json!("terminated"), &json!("killed")),
            "{point}"
        );
        assert_eq!(ended["worktree"]["state"], "removed", "{point}");
        assert_census(&world, point, 0);
        assert_eq!(starts(&world), 1, "{point}");
    });
}

#[test]
fn work_in_a_worktree_survives_a_kill_at_every_step_of_a_stop() {
    keep_what_a_worktree_holds("kill");
}

#[test]
fn work_in_a_worktree_survives_a_panic_at_every_step_of_a_stop() {
    keep_what_a_worktree_holds("panic");
}

#[test]
fn work_in_a_worktree_survives_a_hang_at_every_step_of_a_stop() {
    keep_what_a_worktree_holds("hang");
}

fn keep_what_a_worktree_holds(deed: &str) {
    at_each(deed, points(&["stop."]), |point| {
        let mut world = started_for(deed);
        let id = world.spawn("echo precious > notes.txt; exec sleep 1000");
        let worktree = world.until(&id, "status", "working")["worktree"]["path"]
            .as_str()
            .unwrap()
            .to_owned();
        settle("the agent has written", || {
            fs::metadata(format!("{worktree}/notes.txt")).is_ok_and(|m| m.len() > 0)
        });
        world.arm(point, deed);
        let path = format!("/api/v1/sessions/{id}/kill");
        let _ = Request::new("POST", &path, None).quietly(&world);
        get_over(&mut world, point, deed);
        let ended = world.until(&id, "phase", "ended");
        assert_eq!(ended["worktree"]["state"], "kept", "{point}: {ended}");
        assert_eq!(
            fs::read_to_string(format!("{worktree}/notes.txt")).unwrap(),
            "precious\n",
            "{point}"
        );
    });
}

#[test]
fn an_end_of_its_own_survives_a_kill_at_every_step() {
    cut_an_end("kill");
}

#[test]
fn an_end_of_its_own_survives_a_panic_at_every_step() {
    cut_an_end("panic");
}

#[test]
fn an_end_of_its_own_survives_a_hang_at_every_step() {
    cut_an_end("hang");
}

fn cut_an_end(deed: &str) {
    at_each(deed, points(&["end.", "watch.look", "watch.seen"]), |point| {
        let mut world = started_for(deed);
        let gate = world.dir.join("gate");
        let id = world.spawn(&format!("while [ ! -e {gate} ]; do sleep 0.05; done; exit 7"));
        world.until(&id, "status", "working");
        world.arm(point, deed);
        fs::write(&gate, "").unwrap();
        get_over(&mut world, point, deed);
        let ended = world.until(&id, "status", "terminated");
        let ended = if ended["phase"] == "finished" {
            ended
        } else {
            world.until(&id, "phase", "finished")
        };
        assert_eq!(
            (&ended["exit"]["code"], &ended["endReason"]),
            (&json!(7), &json!("exited")),
            "{point}: {ended}"
        );
        end(&world, point, &id);
    });
}

/// Kills at moments that nobody chose.
#[test]
fn fifty_kills_at_random_instants_lose_and_double_nothing() {
    let mut seed = Seed::printed("fifty kills");
    let mut world = World::started(AO);
    let mut keys: Vec<String> = Vec::new();
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    for kill in 0..50 {
        let act = seed.below(3);
        let script = counted(&world);
        let port_is_up = world.port();
        assert!(port_is_up > 0);
        let key = format!("key-{kill}");
        let victim = wanted
            .iter()
            .nth(seed.below(wanted.len().max(1) as u64) as usize)
            .cloned();
        let delay = Duration::from_micros(seed.below(60_000));
        std::thread::scope(|scope| {
            let (shared, key, script, victim) = (&world, &key, &script, &victim);
            scope.spawn(move || match (act, victim) {
                (0 | 1, _) | (_, None) => drop(Request::session(shared, script, key).quietly(shared)),
                (_, Some(victim)) => {
                    drop(
                        shared
                            .http()
                            .ask("POST", &format!("/api/v1/sessions/{victim}/kill"), None),
                    );
                }
            });
            std::thread::park_timeout(delay);
            world.kill_now();
        });
        world.wait_for_the_end();
        world.start();
        if act < 2 || victim.is_none() {
            keys.push(key);
        }
        let sessions = world.get("/api/v1/sessions");
        wanted = sessions["sessions"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|s| s["desired"] == "run")
            .map(id_of)
            .collect();
    }
    // Everybody who lost an answer asks again; then each key is one session, and each session that is wanted runs once.
    let mut answered: BTreeSet<String> = BTreeSet::new();
    for key in &keys {
        let (_, answer) = Request::session(&world, &counted(&world), key).ask(&world);
        // One that was killed before its agent was started is a refusal that names the session.
        let id = answer["session"]["id"]
            .as_str()
            .or_else(|| answer["details"]["sessionId"].as_str());
        let id = id.unwrap_or_else(|| panic!("{key}: {answer}")).to_owned();
        assert!(answered.insert(id), "{key} was given to somebody else's session");
    }
    settle("every session is settled", || {
        let sessions = world.get("/api/v1/sessions");
        sessions["sessions"].as_array().unwrap().iter().all(|session| {
            let wanted = session["desired"] == "run";
            let status = if wanted { "working" } else { "terminated" };
            session["status"] == status && (wanted || session["phase"] == "ended")
        })
    });
    let sessions = world.get("/api/v1/sessions")["sessions"]
        .as_array()
        .unwrap()
        .clone();
    let running = sessions
        .iter()
        .filter(|session| session["status"] == "working")
        .count();
    println!("{} sessions, {running} of them wanted", sessions.len());
    assert_eq!(sessions.len(), keys.len());
    assert_census(&world, "fifty kills", running);
    let census: Census = world.census();
    assert_eq!(census.running("sleep 1000").len(), running, "{census:?}");
    // Each agent that runs was started once, and none was ever started twice: a second start would be a second agent at
    // work in the same worktree, if only until the first is found.
    let lines = fs::read_to_string(world.dir.join("starts")).unwrap_or_default();
    let mut started: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in lines.lines() {
        let (pid, id) = line.split_once(' ').unwrap();
        started.entry(id).or_default().push(pid);
    }
    for session in &sessions {
        let id = session["id"].as_str().unwrap();
        let starts = started.get(id).map_or(0, Vec::len);
        assert!(starts <= 1, "{id} was started {starts} times:\n{lines}{session}");
        assert!(
            session["status"] != "working" || starts == 1,
            "{id} runs and was never started"
        );
    }
}
