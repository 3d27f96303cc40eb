//! What is said to agents, as a client sees it: refused where it cannot go, kept where it can, and open to colleagues only.

use ao_tests::{World, settle};
use serde_json::{Value, json};

use crate::AO;

/// A session whose agent takes messages and never says a word: whatever is sent to it is held.
fn silent() -> (World, String) {
    let world = World::with_agent(AO, "/bin/true");
    // The world has its folder of programs now: another one takes the place.
    let claude = world.dir.join("bin/claude");
    std::fs::remove_file(&claude).unwrap();
    std::fs::write(&claude, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    std::fs::set_permissions(&claude, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let id = world.spawn_claude("x");
    world.until(&id, "phase", "live");
    (world, id)
}

fn refused(world: &World, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
    let answer = world.ask(method, path, body);
    (
        answer.status,
        answer.json()["code"].as_str().unwrap_or_default().to_owned(),
    )
}

#[test]
fn what_cannot_be_sent_is_refused_and_says_why() {
    let (world, id) = silent();
    let send = format!("/api/v1/sessions/{id}/send");
    for (body, code) in [
        (json!({}), "MESSAGE_REQUIRED"),
        (json!({"message": " \n\t"}), "MESSAGE_REQUIRED"),
        (json!({"message": "x".repeat(256 * 1024 + 1)}), "MESSAGE_TOO_LONG"),
        (json!({"message": 1}), "INVALID_JSON"),
        (json!({"message": "x", "session": "web-2"}), "INVALID_JSON"),
    ] {
        assert_eq!(
            refused(&world, "POST", &send, Some(&body)),
            (400, code.to_owned()),
            "{code}"
        );
    }
    let text = json!({"message": "x"});
    assert_eq!(
        refused(&world, "POST", "/api/v1/sessions/web-99/send", Some(&text)),
        (404, "SESSION_NOT_FOUND".to_owned())
    );
    assert_eq!(
        refused(
            &world,
            "POST",
            &format!("/api/v1/sessions/{id}/answer"),
            Some(&json!({"choice": "1"}))
        ),
        (409, "NO_DIALOG".to_owned())
    );
    assert_eq!(
        refused(
            &world,
            "POST",
            &format!("/api/v1/sessions/{id}/answer"),
            Some(&json!({"choice": " "}))
        ),
        (400, "CHOICE_REQUIRED".to_owned())
    );
    for (path, code) in [
        (format!("/api/v1/sessions/{id}/messages/7"), "MESSAGE_NOT_FOUND"),
        (
            format!("/api/v1/sessions/{id}/messages/first"),
            "MESSAGE_NOT_FOUND",
        ),
        (
            "/api/v1/sessions/web-99/messages/1".to_owned(),
            "MESSAGE_NOT_FOUND",
        ),
        ("/api/v1/sessions/web-99/messages".to_owned(), "SESSION_NOT_FOUND"),
    ] {
        assert_eq!(
            refused(&world, "GET", &path, None),
            (404, code.to_owned()),
            "{path}"
        );
    }
    assert_eq!(
        refused(
            &world,
            "GET",
            &format!("/api/v1/sessions/{id}/messages?limit=0"),
            None
        ),
        (400, "INVALID_QUERY".to_owned())
    );
    // A command line is no agent that reads messages: what is typed there would be a command.
    let shell = world.spawn("exec sleep 1000");
    let path = format!("/api/v1/sessions/{shell}/send");
    assert_eq!(
        refused(&world, "POST", &path, Some(&text)),
        (409, "AGENT_TAKES_NO_MESSAGES".to_owned())
    );
    assert!(
        world
            .ao(&["session", "messages", &id])
            .ok()
            .out
            .contains("nothing was said")
    );
}

#[test]
fn a_message_is_kept_shown_and_can_be_taken_back() {
    let (world, id) = silent();
    let file = world.dir.join("review.md");
    std::fs::write(&file, "from a file\nwith \u{1b}[31mcolour\n").unwrap();
    let sent = world
        .ao(&["--json", "send", &id, "--file", file.as_str()])
        .ok()
        .json();
    assert_eq!(sent["message"], "from a file\nwith ␛[31mcolour\n");
    assert_eq!(sent["sent"]["state"], "queued");
    let reason = sent["sent"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("its agent has not said yet that it is there"),
        "{reason}"
    );
    // The seed's own spelling, a text that begins with a dash, and standard input.
    let second = world
        .ao(&["send", "--session", &id, "--message", "-- a dash"])
        .ok();
    assert!(second.out.contains("it waits for message 1"), "{second:?}");
    let mut piped = world.command(world.program.as_str(), &["send", &id]);
    let mut piped = piped.stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut piped.stdin.take().unwrap(), b"from a pipe").unwrap();
    assert!(piped.wait().unwrap().success());
    let list = world.ao(&["session", "messages", &id]).ok().out;
    for part in ["[queued]", "from a file …", "-- a dash", "from a pipe"] {
        assert!(list.contains(part), "`{part}` is not in {list}");
    }
    assert_eq!(world.session(&id)["messagesWaiting"], 3);
    world.ao(&["session", "messages", &id, "--withdraw", "2"]).ok();
    let again = world.ao(&["session", "messages", &id, "--withdraw", "2"]);
    assert!(again.err.contains("message 2 is failed by now"), "{again:?}");
    let waited = world.ao(&["send", &id, "more", "--wait", "--timeout", "200ms"]);
    assert_eq!(waited.code, 1);
    assert!(
        waited
            .err
            .contains("message 4 to web-1 is queued: it waits for message 1"),
        "{waited:?}"
    );
    for (words, said) in [
        (vec!["send", &id, ""], "there is no text to send"),
        (vec!["send", &id, "--file", "/nowhere"], "/nowhere"),
        (vec!["send"], "SESSION"),
        (vec!["send", "web-99", "x"], "did you mean `web-1`?"),
    ] {
        let refused = world.ao(&words);
        assert_ne!(refused.code, 0, "{words:?}");
        assert!(refused.err.contains(said), "{refused:?}");
    }
    // Over: it is said, and what waits is still there.
    world.ao(&["kill", &id]).ok();
    let over = world.ao(&["send", &id, "x"]);
    assert!(over.err.contains("is over: bring it back first"), "{over:?}");
    let list = world.ao(&["session", "messages", &id]).ok().out;
    assert!(
        list.contains("it is delivered when the session is restored"),
        "{list}"
    );
}

/// A world with a session whose agent has met the end of its quota, in words that `prompt` makes it say.
fn at_a_wall(prompt: &str, retry: &str) -> (World, String) {
    let mut world = World::new(AO);
    world.set("AO_WALL_RETRY", retry);
    world.agent(env!("CARGO_BIN_EXE_stand-in-agent"));
    world.begin();
    let id = world.spawn_claude(prompt);
    settle("it is at the wall", || {
        world.session(&id)["wallUntil"].is_string()
    });
    (world, id)
}

#[test]
fn a_quota_that_is_used_up_is_shown_with_its_end_and_whoever_sends_is_told() {
    let (world, id) = at_a_wall("quota 5000", "15m");
    let session = world.session(&id);
    let until = session["wallUntil"].as_str().unwrap();
    assert_eq!(
        (&session["status"], &session["activity"]["doing"]),
        (&json!("idle"), &json!("waiting_for_work"))
    );
    let reason = session["reason"].as_str().unwrap();
    assert!(
        reason.starts_with(&format!("its quota is used up until {until}: rate_limit: ")),
        "{reason}"
    );
    let sent = world.ao(&["send", &id, "go on"]).ok().out;
    assert!(
        sent.contains(&format!("queued (its quota is used up until {until})")),
        "{sent}"
    );
    let shown = world.ao(&["session", "get", &id]).ok().out;
    assert!(
        shown.contains(&format!("used up until {until}: nothing is typed before")),
        "{shown}"
    );
    let status = world.ao(&["status"]).ok().out;
    assert!(
        status.contains(&format!("{id}: its quota is used up until {until}")),
        "{status}"
    );
    let status = world.ao(&["--json", "status"]).ok().json();
    assert_eq!(status["atWalls"], json!([{"id": id, "until": until}]));
    // Its next run is another agent's: nothing is known of its quota.
    world.keep_the_conversation(&id);
    world.ao(&["kill", &id]).ok();
    world.until(&id, "phase", "ended");
    assert_eq!(world.session(&id)["wallUntil"], Value::Null);
    world.ao(&["session", "restore", &id]).ok();
    world.until(&id, "lastMessage", "go on");
    assert_eq!(world.asked(), ["quota 5000", "go on"]);
}

#[test]
fn an_agent_that_does_not_say_until_when_is_asked_again_after_a_while() {
    let (world, id) = at_a_wall("quota", "3s");
    let session = world.session(&id);
    let until = session["wallUntil"].as_str().unwrap();
    let why =
        format!("its quota is used up, and it does not say until when: it is asked nothing before {until}");
    assert!(session["reason"].as_str().unwrap().starts_with(&why), "{session}");
    let sent = world.ao(&["send", &id, "go on"]).ok().out;
    assert!(sent.contains(&why), "{sent}");
    let session = world.until(&id, "lastMessage", "go on");
    assert_eq!(
        (&session["wallUntil"], &session["messagesWaiting"]),
        (&Value::Null, &json!(0))
    );
    for typed in world.typed(&id) {
        assert!(typed["at"].as_str().unwrap() >= until, "{typed} before {until}");
    }
}

#[test]
fn agents_may_write_to_their_colleagues_and_answer_nobody() {
    let (world, id) = silent();
    let ask = |from: &str, path: &str, body: &Value| {
        let host = format!("127.0.0.1:{}", world.port());
        let headers = [
            ("Host", host.as_str()),
            ("Content-Type", "application/json"),
            ("ao-session", from),
        ];
        world
            .http()
            .raw("POST", path, &headers, body.to_string().as_bytes())
            .unwrap()
    };
    let colleague = world.spawn("exec sleep 1000");
    let other = world.dir.join("other");
    world.make_repository(&other);
    world.ao(&["project", "add", other.as_str(), "--id", "api"]).ok();
    let body = json!({"projectId": "api", "harness": "shell", "command": ["sleep", "1000"]});
    let stranger = world.ask("POST", "/api/v1/sessions", Some(&body)).json();
    let stranger = stranger["session"]["id"].as_str().unwrap();
    let send = format!("/api/v1/sessions/{id}/send");
    let sent = ask(&colleague, &send, &json!({"message": "done"}));
    assert_eq!(
        (sent.status, &sent.json()["sent"]["from"]),
        (200, &json!(colleague))
    );
    for from in [stranger, "web-99", "nonsense"] {
        let refused = ask(from, &send, &json!({"message": "x"}));
        assert_eq!(
            (refused.status, &refused.json()["code"]),
            (403, &json!("INSIDE_SESSION")),
            "{from}"
        );
    }
    let answer = ask(
        &colleague,
        &format!("/api/v1/sessions/{id}/answer"),
        &json!({"choice": "1"}),
    );
    assert_eq!(answer.status, 403, "an agent approves nothing");
}
