//! Hooks: nothing is lost, doubled or reordered, whoever dies meanwhile; and nobody else's word counts.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use ao_tests::{World, settle};
use serde_json::{Value, json};

use crate::AO;

/// A callback as an agent of `session` makes it.
fn hook(world: &World, session: &str, secret: &str, generation: &str, event: &str, payload: &str) -> i32 {
    hook_of(world, "shell", session, secret, generation, event, payload)
}

fn hook_of(
    world: &World,
    agent: &str,
    session: &str,
    secret: &str,
    generation: &str,
    event: &str,
    payload: &str,
) -> i32 {
    let mut command = world.command(world.program.as_str(), &["hooks", agent, event]);
    command
        .env("AO_SESSION_ID", session)
        .env("AO_GENERATION", generation)
        .env("AO_LAUNCH_SECRET", secret);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ao can be started");
    let _ = child.stdin.take().unwrap().write_all(payload.as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(output.stdout.is_empty(), "agents read what their hooks print");
    output.status.code().unwrap_or(-1)
}

/// The secret number of a session's launch, as its agent has it.
fn secret(world: &World, session: &Value) -> String {
    let pid = session["agentPid"].as_u64().unwrap();
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let found = environment
        .split('\0')
        .find_map(|variable| variable.strip_prefix("AO_LAUNCH_SECRET="));
    let found = found.expect("the agent has its secret").to_owned();
    assert_eq!(found.len(), 32);
    assert!(
        !world.get("/api/v1/sessions").to_string().contains(&found),
        "the API tells the secret"
    );
    found
}

fn live(world: &World) -> (String, String) {
    let id = world.spawn("exec sleep 1000");
    let session = world.until(&id, "status", "working");
    let secret = secret(world, &session);
    (id, secret)
}

fn rows(world: &World, id: &str) -> (Vec<(String, Value)>, Value) {
    let signals = world.query(&format!(
        "SELECT json_group_array(json_array(event, state)) FROM (SELECT event, state FROM signals WHERE session_id = '{id}' ORDER BY rowid)"
    ));
    let signals: Vec<(String, Value)> = serde_json::from_str(&signals).unwrap();
    (signals, world.session(id)["activity"]["state"].clone())
}

/// The whole records in a session's spool, in their order there.
fn spooled(world: &World, id: &str) -> Vec<Value> {
    let spool = fs::read_to_string(world.data.join(format!("spool/{id}.jsonl"))).unwrap_or_default();
    spool
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// A callback as one is made while the wall clock stands an hour back: a copy of a record that was made here, under a number
/// of its own, at the machine's present time since boot.
fn hook_an_hour_back(world: &World, made: &Value, number: usize, event: &str) {
    let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let mut record = made.clone();
    record["id"] = json!(format!("{number:032x}"));
    record["event"] = json!(event);
    record["boot_ms"] = json!(since_boot.tv_sec * 1_000 + since_boot.tv_nsec / 1_000_000);
    record["at"] = json!(world.query("SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 hour')"));
    let spool = world
        .data
        .join(format!("spool/{}.jsonl", made["session"].as_str().unwrap()));
    let mut spool = fs::OpenOptions::new().append(true).open(spool).unwrap();
    spool.write_all(format!("\n{record}\n").as_bytes()).unwrap();
}

#[test]
fn two_hundred_concurrent_callbacks_survive_two_kills_and_a_clock_that_is_set_back() {
    const CALLBACKS: usize = 200;
    let run = |disturbed: bool| {
        let mut world = World::started(AO);
        let (id, secret) = live(&world);
        let events = ["working", "started", "waiting-for-work"];
        // Before the second part the clock is set back, before the third it is put right.
        for (part, is_back, kill) in [
            (0..80, false, true),
            (80..140, true, true),
            (140..CALLBACKS, false, false),
        ] {
            let cut_at = (part.start + part.end) / 2;
            let made = spooled(&world, &id).into_iter().next();
            std::thread::scope(|scope| {
                for number in part {
                    let (world, id, secret, made) = (&world, &id, &secret, &made);
                    scope.spawn(move || {
                        let event = events[number % 3];
                        match made.as_ref().filter(|_| disturbed && is_back) {
                            Some(made) => hook_an_hour_back(world, made, number, event),
                            None => {
                                let payload =
                                    json!({"n": number, "title": format!("turn {number}")}).to_string();
                                assert_eq!(hook(world, id, secret, "1", event, &payload), 0);
                            }
                        }
                    });
                }
                if disturbed && kill {
                    // In the middle of them: some are written and perhaps applied, some are still to come.
                    settle("half of the callbacks have written", || {
                        spooled(&world, &id).len() >= cut_at
                    });
                    world.kill_now();
                }
            });
            if disturbed && kill {
                world.wait_for_the_end();
                world.start();
            }
        }
        let made = spooled(&world, &id).swap_remove(0);
        if disturbed {
            hook_an_hour_back(&world, &made, CALLBACKS, "needs-decision");
        } else {
            assert_eq!(hook(&world, &id, &secret, "1", "needs-decision", "{}"), 0);
        }
        settle("the last one is applied", || {
            world.session(&id)["status"] == "needs_input"
        });
        // Each once, and in the order in which they were written.
        let applied = world.query(&format!(
            "SELECT json_group_array(event_id) FROM (SELECT event_id FROM signals WHERE session_id = '{id}' ORDER BY seq)"
        ));
        let applied: Vec<Value> = serde_json::from_str(&applied).unwrap();
        let written: Vec<Value> = spooled(&world, &id)
            .iter()
            .map(|record| record["id"].clone())
            .collect();
        assert_eq!(written.len(), CALLBACKS + 1);
        assert_eq!(applied, written);
        let bytes = fs::metadata(world.data.join(format!("spool/{id}.jsonl")))
            .unwrap()
            .len();
        let offset = world.query(&format!(
            "SELECT CAST(\"offset\" AS TEXT) FROM hook_spool WHERE session_id = '{id}'"
        ));
        assert_eq!(offset, bytes.to_string(), "something is left unread");
        // Which of two concurrent callbacks writes first is chance; all else is not.
        let (mut signals, state) = rows(&world, &id);
        signals.sort_by(|a, b| a.0.cmp(&b.0));
        (signals, state)
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn a_record_with_another_launchs_number_changes_nothing() {
    let world = World::started(AO);
    let (id, secret) = live(&world);
    let before = world.session(&id);
    let wrong = "0".repeat(32);
    for (session, secret, generation) in [
        (id.as_str(), wrong.as_str(), "1"),
        (&id, &secret, "2"),
        (&id, "", "1"),
        ("web-99", &secret, "1"),
        ("../../etc/passwd", &secret, "1"),
        ("", &secret, "1"),
        (&id, &secret, "x"),
    ] {
        assert_eq!(
            hook(&world, session, secret, generation, "needs-decision", "{}"),
            0
        );
    }
    // What is not a record at all is passed over, too.
    let spool = world.data.join(format!("spool/{id}.jsonl"));
    let mut spool = fs::OpenOptions::new().append(true).open(spool).unwrap();
    spool
        .write_all(b"\n{\"v\":1}\nnot json\n\xff\xfe\n{\"v\":99}\n")
        .unwrap();
    // The one that counts comes last: when it is applied, all before it have been looked at.
    assert_eq!(hook(&world, &id, &secret, "1", "working", "{}"), 0);
    settle("the right one is applied", || {
        world.session(&id)["evidence"] == "hook"
    });
    let after = world.session(&id);
    assert_eq!(
        (&after["status"], &before["status"]),
        (&json!("working"), &json!("working"))
    );
    let (signals, _) = rows(&world, &id);
    assert_eq!(signals, vec![("working".to_owned(), json!("active"))]);
}

/// Some agents run the hooks that a person has set up for another one.
#[test]
fn what_another_agent_says_in_a_session_is_a_mere_sign_of_life() {
    let world = World::started(AO);
    let (id, secret) = live(&world);
    let said = [
        ("shell", "needs-decision"),
        ("claude-code", "Stop"),
        ("shell", "gone-elsewhere"),
    ];
    for (agent, event) in said {
        let done = hook_of(
            &world,
            agent,
            &id,
            &secret,
            "1",
            event,
            "{\"session_id\":\"theirs\"}",
        );
        assert_eq!(done, 0, "{agent}");
    }
    settle("all are applied", || rows(&world, &id).0.len() == said.len());
    let (signals, state) = rows(&world, &id);
    assert_eq!(signals[1], ("Stop".to_owned(), Value::Null));
    assert_eq!(state, "waiting_input", "nobody else has answered");
    assert!(world.session(&id)["nativeId"].is_null());
}

/// Beside its state: which tool it uses, why it waits, and, in its own record, what it calls the conversation.
#[test]
fn what_an_agent_says_beside_its_state_is_shown_with_it() {
    let mut world = World::with_agent(AO, env!("CARGO_BIN_EXE_stand-in-agent"));
    let id = world.spawn_claude("hello");
    world.keep_the_conversation(&id);
    let session = world.session(&id);
    let native = session["nativeId"].as_str().unwrap().to_owned();
    let secret = secret(&world, &session);
    let says = |world: &World, event: &str, payload: &str| {
        let payload = format!("{{\"session_id\":\"{native}\",{payload}");
        assert_eq!(
            hook_of(world, "claude-code", &id, &secret, "1", event, &payload),
            0
        );
    };
    // What it is given is longer than what is kept of a payload.
    let given = "x".repeat(20_000);
    says(
        &world,
        "PreToolUse",
        &format!(r#""tool_name":"Bash","tool_input":{{"command":"{given}"}}}}"#),
    );
    let works = world.until(&id, "tool", "Bash");
    assert_eq!(works["reason"], "it says that it works: it uses Bash");
    says(&world, "PermissionRequest", r#""tool_name":"Write"}"#);
    let asks = world.until(&id, "tool", "Write");
    assert_eq!(
        (&asks["status"], &asks["reason"]),
        (
            &json!("needs_input"),
            &json!("a person has to decide: it wants to use Write")
        )
    );
    says(&world, "PostToolUse", r#""tool_name":"Write"}"#);
    assert_eq!(world.until(&id, "status", "working")["tool"], Value::Null);
    says(&world, "PreToolUse", r#""tool_name":"Bash"}"#);
    world.until(&id, "tool", "Bash");
    says(&world, "Stop", r#""last_assistant_message":"done"}"#);
    assert_eq!(world.until(&id, "status", "idle")["tool"], Value::Null);
    says(&world, "PreToolUse", r#""tool_name":"Bash"}"#);
    world.until(&id, "tool", "Bash");

    let folder = world.dir.join("home/.claude/projects/web");
    let file = folder.join(format!("{native}.jsonl"));
    let write = |lines: &[Value]| {
        let mut open = fs::OpenOptions::new().append(true).open(&file).unwrap();
        for line in lines {
            writeln!(open, "{line}").unwrap();
        }
    };
    let called = |title: &str| json!({"type": "ai-title", "aiTitle": title, "sessionId": native});
    write(&[called("A greeting")]);
    world.until(&id, "summary", "A greeting");
    let got = world.ao(&["session", "get", &id]).ok().out;
    for row in ["summary", "A greeting", "tool", "Bash"] {
        assert!(got.contains(row), "{row}: {got}");
    }
    // Nobody reads while it goes on: what it was called last counts then, and so does what it did last.
    world.kill_9();
    let now = world.query("SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')");
    let interrupted = json!({"type": "user", "uuid": "21c68c1b-cb35-464e-8cec-ae2472522e62", "timestamp": now.trim(),
        "message": {"content": [{"type": "text", "text": "[Request interrupted by user]"}]}});
    write(&[called("Another greeting"), interrupted, called("Three greetings")]);
    world.start();
    world.until(&id, "summary", "Three greetings");
    let waits = world.until(&id, "status", "idle");
    assert_eq!(
        (&waits["reason"], &waits["tool"]),
        (
            &json!("it says that it waits for work ([Request interrupted by user])"),
            &Value::Null
        )
    );

    says(&world, "SessionEnd", r#""reason":"prompt_input_exit"}"#);
    let ended = world.until(&id, "status", "unknown");
    assert_eq!(
        ended["reason"],
        "it says that it ended (prompt_input_exit), but its process runs"
    );
    // What one used that is gone is used no more.
    says(&world, "PreToolUse", r#""tool_name":"Bash"}"#);
    world.until(&id, "tool", "Bash");
    let pid = ended["agentPid"].as_u64().unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert_eq!(world.until(&id, "status", "terminated")["tool"], Value::Null);
}

#[test]
fn a_hook_disturbs_no_agent_whatever_happens() {
    let world = World::new(AO);
    let missing = world.dir.join("not/there");
    let run = |data: &str, arguments: &[&str]| {
        let mut command = world.command(world.program.as_str(), arguments);
        command
            .env("AO_DATA_DIR", data)
            .env("AO_SESSION_ID", "web-1")
            .env("AO_GENERATION", "1");
        let output = command
            .env("AO_LAUNCH_SECRET", "0".repeat(32))
            .env("AO_PORT", "not a port")
            .output()
            .unwrap();
        assert!(output.stdout.is_empty());
        output.status.code()
    };
    assert_eq!(run(missing.as_str(), &["hooks", "shell", "working"]), Some(0));
    assert_eq!(run("/proc/nothing", &["hooks", "shell", "working"]), Some(0));
    for arguments in [
        &["hooks"][..],
        &["hooks", "a"],
        &["hooks", "a", "b", "c"],
        &["hooks", "--help"],
    ] {
        assert_eq!(run(world.data.as_str(), arguments), Some(0), "{arguments:?}");
    }
}
