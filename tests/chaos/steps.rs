//! Every step can be cut: the daemon is killed at each crash point, started again, and nothing is lost, doubled or left
//! over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use ao_tests::{Census, Seed, World, settle, within};
use serde_json::{Value, json};

use crate::AO;
use crate::children::swept_at;

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

/// Runs one scenario at each point, a few worlds at a time.
pub(crate) fn at_each(points: Vec<String>, scenario: impl Fn(&str) + Sync) {
    println!("{} points", points.len());
    let next = std::sync::Mutex::new(points.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(point) = { next.lock().unwrap().next() } {
                    scenario(&point);
                }
            });
        }
    });
}

/// A shell agent that leaves a line with its pid and its session each time one is started, then waits.
fn counted(world: &World) -> String {
    format!(
        "echo $$ $AO_SESSION_ID >> {}; exec sleep 1000",
        world.dir.join("starts")
    )
}

fn starts(world: &World) -> usize {
    fs::read_to_string(world.dir.join("starts"))
        .unwrap_or_default()
        .lines()
        .count()
}

/// A world whose agent is one that something has to be made ready for: `script` in the place of Claude Code's program.
fn with_a_program(script: impl FnOnce(&World) -> String) -> World {
    let mut world = World::new(AO);
    let bin = world.dir.join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join("claude"), format!("#!/bin/sh\n{}\n", script(&world))).unwrap();
    fs::set_permissions(bin.join("claude"), fs::Permissions::from_mode(0o755)).unwrap();
    world.set("PATH", &format!("{bin}:/usr/local/bin:/usr/bin:/bin"));
    world.start();
    world
        .ao(&["project", "add", world.repo.as_str(), "--id", "web"])
        .ok();
    world
}

/// One that says that it works, and leaves its line.
pub(crate) fn with_a_made_agent() -> World {
    with_a_program(|world| {
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

/// Asks for a session under an idempotency key; the connection may break, because the daemon dies under it.
pub(crate) fn ask_for_session(world: &World, script: &str, key: &str) -> Option<Value> {
    let body = wanted(world, script).to_string();
    let host = format!("127.0.0.1:{}", world.port());
    let headers = [
        ("Host", host.as_str()),
        ("Content-Type", "application/json"),
        ("Idempotency-Key", key),
    ];
    let answer = world
        .http()
        .raw("POST", "/api/v1/sessions", &headers, body.as_bytes())
        .ok()?;
    assert!(
        matches!(answer.status, 201 | 202),
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    Some(answer.json()["session"].clone())
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

/// One of everything, or nothing of anything.
fn assert_census(world: &World, point: &str, sessions: usize) {
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

/// Waits until what was armed has struck and the daemon is there again; it never goes away where only a task of its is cut.
pub(crate) fn get_over(world: &mut World, point: &str, deed: &str) {
    if deed == "kill" {
        return restart_after_the_kill(world, point);
    }
    settle(&format!("{point} was reached"), || world.fired());
}

fn cut_a_spawn(deed: &str) {
    at_each(points(&["intent.spawn", "spawn."]), |point| {
        let mut world = if point.starts_with("spawn.ready") {
            with_a_made_agent()
        } else {
            World::started(AO)
        };
        let script = counted(&world);
        world.arm(point, deed);
        let _ = ask_quietly(&world, &script, "the-key");
        get_over(&mut world, point, deed);
        // Whoever lost the answer asks again under the same key.
        let session = ask_for_session(&world, &script, "the-key").expect("the daemon answers");
        let id = session["id"].as_str().unwrap().to_owned();
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
        world.ao(&["session", "kill", &id]).ok();
        world.until(&id, "phase", "ended");
        assert_census(&world, point, 0);
    });
}

/// Restored under a cut at each step: one agent, of the next run, in the same worktree.
fn cut_a_restore(deed: &str) {
    at_each(points(&["intent.restore", "restore."]), |point| {
        let mut world = World::started(AO);
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
        let restore = |world: &World| {
            let path = format!("/api/v1/sessions/{id}/restore");
            let body = json!({"startOver": true});
            world
                .try_http()
                .and_then(|mut http| http.ask("POST", &path, Some(&body)).ok())
        };
        let _ = restore(&world);
        get_over(&mut world, point, deed);
        // Whoever lost the answer asks again; where it was written down already, that is refused.
        let again = restore(&world).expect("the daemon answers");
        assert!(
            matches!(again.status, 200 | 202 | 409),
            "{point}: {}",
            again.status
        );
        let after = world.until(&id, "status", "working");
        assert_eq!(after["generation"], 2, "{point}");
        assert_eq!(after["worktree"]["path"], before["worktree"]["path"]);
        settle("the agent has left its line", || starts(&world) > 1);
        assert_eq!(starts(&world), 2, "{point}: an agent was started more than once");
        assert_census(&world, point, 1);
        world.ao(&["session", "kill", &id]).ok();
        world.until(&id, "phase", "ended");
        assert_census(&world, point, 0);
    });
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
fn a_rename_is_there_or_is_not_after_a_kill() {
    at_each(points(&["intent.rename"]), |point| {
        let mut world = World::started(AO);
        let id = world.spawn("exec sleep 1000");
        world.arm(point, "kill");
        let rename = |world: &World| {
            let path = format!("/api/v1/sessions/{id}");
            let body = json!({"displayName": "login"});
            world
                .try_http()
                .and_then(|mut http| http.ask("PATCH", &path, Some(&body)).ok())
        };
        let _ = rename(&world);
        restart_after_the_kill(&mut world, point);
        let name = &world.session(&id)["displayName"];
        let wanted = if point.ends_with("after") {
            json!("login")
        } else {
            Value::Null
        };
        assert_eq!(*name, wanted, "{point}");
        assert_eq!(rename(&world).expect("the daemon answers").status, 200, "{point}");
        world.ao(&["session", "kill", &id]).ok();
    });
}

#[test]
fn a_projects_setting_is_there_or_is_not_after_a_kill() {
    at_each(points(&["intent.configure_project"]), |point| {
        let mut world = World::started(AO);
        world.arm(point, "kill");
        let set = |world: &World| {
            let body = json!({"config": {"reclaimOnMerge": true}});
            world
                .try_http()
                .and_then(|mut http| http.ask("PUT", "/api/v1/projects/web/config", Some(&body)).ok())
        };
        let _ = set(&world);
        restart_after_the_kill(&mut world, point);
        let project = &world.get("/api/v1/projects/web")["project"];
        assert_eq!(
            project["config"]["reclaimOnMerge"] == true,
            point.ends_with("after"),
            "{point}"
        );
        assert_eq!(set(&world).expect("the daemon answers").status, 200, "{point}");
    });
}

/// What only the agent's own record of the conversation tells reaches the status, wherever it is cut.
fn cut_a_transcript(deed: &str) {
    at_each(points(&["transcript."]), |point| {
        // Its hook says that it works; that a person has interrupted it stands in its own file alone.
        let script = r#"echo '{"session_id":"'"$2"'"}' | ao hooks claude-code UserPromptSubmit
while [ ! -e "$HOME/now" ]; do sleep 0.05; done
mkdir -p "$HOME/.claude/projects/web"
printf '{"type":"user","uuid":"%s","timestamp":"%s","message":{"content":[{"text":"[Request interrupted by user]"}]}}\n' \
    "$(cat /proc/sys/kernel/random/uuid)" "$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)" >"$HOME/.claude/projects/web/$2.jsonl"
while [ ! -e "$HOME/next" ]; do sleep 0.05; done
printf '{"type":"user","uuid":"%s","timestamp":"%s","promptSource":"typed","message":{"content":"on"}}\n' \
    "$(cat /proc/sys/kernel/random/uuid)" "$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)" >>"$HOME/.claude/projects/web/$2.jsonl"
exec sleep 1000
"#;
        let mut world = with_a_program(|_| script.to_owned());
        let session = ask_for_session(&world, "", "the-key").expect("the daemon answers");
        let id = session["id"].as_str().unwrap().to_owned();
        let before = world.until(&id, "status", "working");
        world.arm(point, deed);
        fs::write(world.dir.join("home/now"), "").unwrap();
        get_over(&mut world, point, deed);
        let after = world.until(&id, "status", "idle");
        assert_eq!(after["agentPid"], before["agentPid"], "{point}");
        // The next word of the file comes through, so all before it was read, by whoever reads now, too.
        fs::write(world.dir.join("home/next"), "").unwrap();
        world.until(&id, "status", "working");
        let counted =
            world.query("SELECT CAST(count(*) AS TEXT) FROM signals WHERE event = 'transcript.interrupted'");
        assert_eq!(counted.trim(), "1", "{point}");
        world.ao(&["session", "kill", &id]).ok();
        world.until(&id, "phase", "ended");
        assert_census(&world, point, 0);
    });
}

#[test]
fn what_a_transcript_tells_survives_a_kill_at_every_step() {
    cut_a_transcript("kill");
}

#[test]
fn what_a_transcript_tells_survives_a_panic_at_every_step() {
    cut_a_transcript("panic");
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
fn a_stop_survives_a_kill_at_every_step() {
    cut_a_stop("kill");
}

#[test]
fn a_stop_survives_a_panic_at_every_step() {
    cut_a_stop("panic");
}

fn cut_a_stop(deed: &str) {
    at_each(points(&["intent.stop", "stop."]), |point| {
        let mut world = World::started(AO);
        let id = world.spawn(&counted(&world));
        world.until(&id, "status", "working");
        world.arm(point, deed);
        let _ = world
            .http()
            .ask("POST", &format!("/api/v1/sessions/{id}/kill"), None);
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
    at_each(points(&["stop."]), |point| {
        let mut world = World::started(AO);
        let id = world.spawn("echo precious > notes.txt; exec sleep 1000");
        let worktree = world.until(&id, "status", "working")["worktree"]["path"]
            .as_str()
            .unwrap()
            .to_owned();
        settle("the agent has written", || {
            fs::metadata(format!("{worktree}/notes.txt")).is_ok_and(|m| m.len() > 0)
        });
        world.arm(point, "kill");
        let _ = world
            .http()
            .ask("POST", &format!("/api/v1/sessions/{id}/kill"), None);
        restart_after_the_kill(&mut world, point);
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

fn cut_an_end(deed: &str) {
    at_each(points(&["end.", "watch.look", "watch.seen"]), |point| {
        let mut world = World::started(AO);
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
        world.ao(&["session", "kill", &id]).ok();
        world.until(&id, "phase", "ended");
        assert_census(&world, point, 0);
    });
}

#[test]
fn a_hook_survives_a_kill_at_every_step() {
    cut_a_hook("kill");
}

#[test]
fn a_hook_survives_a_panic_at_every_step() {
    cut_a_hook("panic");
}

fn cut_a_hook(deed: &str) {
    at_each(points(&["hooks."]), |point| {
        let mut world = World::started(AO);
        let gate = world.dir.join("gate");
        let script = format!(
            "while [ ! -e {gate} ]; do sleep 0.05; done; ao hooks shell needs-decision </dev/null; exec sleep 1000"
        );
        let id = world.spawn(&script);
        world.until(&id, "status", "working");
        world.arm(point, deed);
        fs::write(&gate, "").unwrap();
        get_over(&mut world, point, deed);
        let session = world.until(&id, "status", "needs_input");
        assert_eq!(session["activity"]["state"], "waiting_input", "{point}");
    });
}

#[test]
fn a_sweep_survives_a_kill_at_every_step() {
    at_each(points(&["sweep."]), |point| {
        let mut world = World::started(AO);
        let id = world.spawn("exec sleep 1000");
        world.until(&id, "status", "working");
        settle("the first sweep is over", || !swept_at(&world).is_empty());
        // The session's own child would set the row right before the sweep is due: it is down.
        assert_eq!(
            world.break_child("hang", &format!("ao/act/sessions/{id}")).status,
            200,
            "{point}"
        );
        world.arm(point, "kill");
        let before = swept_at(&world);
        // A row that is wrong, so that the sweep has something to write.
        world.sql("UPDATE session_process SET note = 'stale'; UPDATE sweeps SET due_at = '2000-01-01T00:00:00.000Z'");
        within(Duration::from_secs(60), &format!("{point} was reached"), || {
            world.has_ended().then_some(())
        });
        let cut = swept_at(&world);
        restart_after_the_kill(&mut world, point);
        if point == "sweep.done.after" {
            assert_ne!(cut, before, "{point}: it was over and is not on record");
        } else {
            assert_eq!(cut, before, "{point}: it is on record as over and was cut short");
            within(
                Duration::from_secs(10),
                &format!("{point}: it is made again"),
                || (swept_at(&world) != cut).then_some(()),
            );
            settle(&format!("{point}: the wrong row is set right"), || {
                world.query("SELECT coalesce(max(note), '') FROM session_process") != "stale"
            });
        }
        let session = world.until(&id, "status", "working");
        assert!(session["agentPid"].is_u64(), "{point}");
        assert_census(&world, point, 1);
    });
}

/// What a person or a script asked for is there or is not, and asking again is fine.
#[test]
fn a_project_and_an_activity_survive_a_kill_at_every_step() {
    at_each(
        points(&["intent.add_project", "intent.remove_project"]),
        |point| {
            let mut world = World::started(AO);
            let other = world.dir.join("other");
            world.make_repository(&other);
            let add = json!({"path": other, "projectId": "other"});
            if point.starts_with("intent.remove_project") {
                assert_eq!(world.ask("POST", "/api/v1/projects", Some(&add)).status, 201);
            }
            world.arm(point, "kill");
            let _ = if point.starts_with("intent.add_project") {
                world.http().ask("POST", "/api/v1/projects", Some(&add))
            } else {
                world.http().ask("DELETE", "/api/v1/projects/other", None)
            };
            restart_after_the_kill(&mut world, point);
            let there = world.get("/api/v1/projects").to_string().contains("\"other\"");
            let done = point.ends_with(".after");
            assert_eq!(there, point.starts_with("intent.add_project") == done, "{point}");
            let again = if point.starts_with("intent.add_project") {
                world.ask("POST", "/api/v1/projects", Some(&add)).status
            } else {
                world.ask("DELETE", "/api/v1/projects/other", None).status
            };
            let wanted = match (point.starts_with("intent.add_project"), done) {
                (true, true) => 409,
                (true, false) => 201,
                (false, true) => 404,
                (false, false) => 200,
            };
            assert_eq!(again, wanted, "{point}");
        },
    );
    at_each(points(&["intent.activity"]), |point| {
        let mut world = World::started(AO);
        let id = world.spawn("exec sleep 1000");
        world.until(&id, "status", "working");
        world.arm(point, "kill");
        let (path, idle) = (
            format!("/api/v1/sessions/{id}/activity"),
            json!({"state": "idle"}),
        );
        let _ = world.http().ask("POST", &path, Some(&idle));
        restart_after_the_kill(&mut world, point);
        if point.ends_with(".before") {
            assert_eq!(world.session(&id)["status"], "working", "{point}");
            assert_eq!(world.ask("POST", &path, Some(&idle)).status, 200, "{point}");
        }
        world.until(&id, "status", "idle");
    });
}

/// A status that only time has changed is announced once the daemon is back.
#[test]
fn an_announcement_survives_a_kill_at_every_step() {
    at_each(points(&["watch.revision"]), |point| {
        let mut world = World::started(AO);
        let id = world.spawn("exec sleep 1000");
        let before = world.until(&id, "status", "working");
        world.kill_9();
        // As if it had last been shown when nobody had looked for long: another status than now.
        world.sql("UPDATE sessions SET updated_at = '2099-01-01T00:00:00.000Z'");
        world.arm(point, "kill");
        let _ = world.try_start(); // it may be dead before it is ready
        restart_after_the_kill(&mut world, point);
        settle("it is announced", || {
            world.session(&id)["revision"].as_u64() > before["revision"].as_u64()
        });
        assert_eq!(world.session(&id)["agentPid"], before["agentPid"], "{point}");
        assert_census(&world, point, 1);
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
                (0 | 1, _) | (_, None) => drop(ask_quietly(shared, script, key)),
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
        let answer = ask_quietly(&world, &counted(&world), key).expect("the daemon answers");
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

fn ask_quietly(world: &World, script: &str, key: &str) -> Option<Value> {
    let body = wanted(world, script).to_string();
    let host = format!("127.0.0.1:{}", world.port());
    let headers = [
        ("Host", host.as_str()),
        ("Content-Type", "application/json"),
        ("Idempotency-Key", key),
    ];
    let mut http = world.try_http()?;
    http.raw("POST", "/api/v1/sessions", &headers, body.as_bytes())
        .ok()
        .map(|answer| answer.json())
}

fn id_of(session: &Value) -> String {
    session["id"].as_str().unwrap().to_owned()
}
