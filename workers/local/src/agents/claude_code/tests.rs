use std::os::unix::fs::PermissionsExt as _;

use ao_domain::Wall;
use ao_domain::port::agent::{Agents as _, LaunchPlan};

use super::super::Registry;
use super::super::tests::{at, request};
use ao_domain::Timestamp;

use super::*;

/// A home with a program `claude` on the PATH.
struct Home {
    dir: tempfile::TempDir,
    env: Vec<(String, String)>,
}

impl Home {
    fn new() -> Home {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join(".local/bin/claude");
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let home = dir.path().to_str().unwrap().to_owned();
        Home {
            env: vec![("HOME".to_owned(), home)],
            dir,
        }
    }

    fn plan<'a>(&'a self, change: impl FnOnce(&mut LaunchRequest<'a>)) -> LaunchPlan {
        let mut asked = request(&[]);
        asked.env = &self.env;
        change(&mut asked);
        // Found where its own installer puts it, although no PATH has it.
        Registry::new("".as_ref()).get(ID).unwrap().plan(&asked).unwrap()
    }
}

/// What follows `option` on the command line.
fn after<'a>(plan: &'a LaunchPlan, option: &str) -> Option<&'a str> {
    let at = plan.argv.iter().position(|word| word == option)?;
    Some(plan.argv[at + 1].as_str())
}

#[test]
fn a_prompt_is_the_last_word_whatever_it_begins_with() {
    let home = Home::new();
    for prompt in ["fix it", "-rf", "--help", "a\nb\nc", "--"] {
        let plan = home.plan(|asked| asked.prompt = Some(prompt));
        let [.., dashes, last] = plan.argv.as_slice() else {
            panic!("{plan:?}")
        };
        assert_eq!((dashes.as_str(), last.as_str()), ("--", prompt));
    }
    let plan = home.plan(|_| {});
    assert!(!plan.argv.contains(&"--".to_owned()));
    assert!(plan.argv[0].ends_with("/.local/bin/claude"), "{plan:?}");
}

#[test]
fn each_mode_is_named_for_none_is_one_of_its_own_choice() {
    let home = Home::new();
    for (mode, word) in [
        (PermissionMode::Default, "default"),
        (PermissionMode::AcceptEdits, "acceptEdits"),
        (PermissionMode::Auto, "auto"),
        (PermissionMode::BypassPermissions, "bypassPermissions"),
    ] {
        let plan = home.plan(|asked| asked.permissions = mode);
        assert_eq!(after(&plan, "--permission-mode"), Some(word));
        let settings: Value = serde_json::from_str(after(&plan, "--settings").unwrap()).unwrap();
        let skips = settings["skipDangerousModePermissionPrompt"] == true;
        assert_eq!(skips, mode == PermissionMode::BypassPermissions);
    }
    assert_eq!(
        after(&home.plan(|asked| asked.model = Some("opus")), "--model"),
        Some("opus")
    );
    assert_eq!(after(&home.plan(|_| {}), "--model"), None);
}

#[test]
fn every_event_calls_ao_by_its_stable_path() {
    let home = Home::new();
    let plan = home.plan(|asked| asked.ao = "/data/it's here/bin/ao".into());
    let settings: Value = serde_json::from_str(after(&plan, "--settings").unwrap()).unwrap();
    let hooks = settings["hooks"].as_object().unwrap();
    let told = EVENTS.iter().filter(|event| !event.name.contains('.'));
    assert_eq!(hooks.len(), 12, "{hooks:?}");
    for Event { name, .. } in told {
        let hook = &hooks[*name][0]["hooks"][0];
        let command = format!("'/data/it'\\''s here/bin/ao' hooks claude-code {name}");
        assert_eq!(
            (hook["type"].as_str(), hook["command"].as_str()),
            (Some("command"), Some(&*command))
        );
    }
}

#[test]
fn a_conversation_goes_on_where_there_is_one() {
    let fresh = Home::new().plan(|_| {});
    let id = after(&fresh, "--session-id").unwrap().to_owned();
    let home = Home::new(); // borrows the id, so it comes after it
    assert_eq!(id.len(), 36);
    assert!(!id.replace('-', "").contains("00112233"), "the secret stays one");
    // Known, but nothing was ever said in it, whether its file is there or not: it is begun, by this launch's own name.
    let own = "ffffffffffffffffffffffffffffffff";
    let begun = |home: &Home| {
        let plan = home.plan(|asked| {
            asked.native_id = Some(&id);
            asked.secret = own;
            asked.prompt = Some("do it");
        });
        assert_eq!(
            (after(&plan, "--resume"), after(&plan, "--")),
            (None, Some("do it"))
        );
        after(&plan, "--session-id").unwrap().to_owned()
    };
    assert_ne!(begun(&home), id);
    let folder = home.dir.path().join(".claude/projects/-w");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{id}.jsonl"));
    std::fs::write(&file, "{\"type\":\"mode\"}\n").unwrap();
    assert_ne!(begun(&home), id);
    std::fs::write(&file, "{\"type\":\"mode\"}\n{\"type\":\"user\"}\n").unwrap();
    let on = home.plan(|asked| {
        asked.native_id = Some(&id);
        asked.prompt = Some("do it");
    });
    assert!(!on.argv.contains(&"do it".to_owned()), "it was asked already");
    assert_eq!(
        (after(&on, "--resume"), after(&on, "--session-id")),
        (Some(&*id), None)
    );
    let another = home.plan(|asked| asked.secret = "ffffffffffffffffffffffffffffffff");
    assert_ne!(after(&another, "--session-id"), Some(&*id));
    let odd = home.plan(|asked| asked.native_id = Some("../x"));
    assert_eq!(after(&odd, "--resume"), None);
}

#[test]
fn the_worktree_is_trusted_where_its_settings_lie() {
    let mut home = Home::new();
    let folder = home.dir.path().join("cfg");
    let config = |home: &Home| match home.plan(|_| {}).before.as_slice() {
        [Preparation::Member { file, path, .. }] => {
            assert_eq!(path.join(" "), "projects / hasTrustDialogAccepted");
            file.clone()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(
        config(&home),
        home.dir.path().join(".claude.json").to_str().unwrap()
    );
    let folder = folder.to_str().unwrap().to_owned();
    home.env.push(("CLAUDE_CONFIG_DIR".to_owned(), folder.clone()));
    assert_eq!(config(&home), format!("{folder}/.claude.json"));
}

/// Where no login is, a person has to give it one and sees what it shows then; whether code is trusted is another question.
#[test]
fn it_was_run_before_where_a_login_is_in_its_environment() {
    let says = |home: &Home, trusted: bool| -> Vec<String> {
        let plan = home.plan(|asked| asked.trusted = trusted);
        let members = plan.before.iter().map(|what| match what {
            Preparation::Member { path, value, .. } => format!("{} {value}", path.join(" ")),
            other => panic!("{other:?}"),
        });
        members.collect()
    };
    let (trusts, was_run) = (
        "projects / hasTrustDialogAccepted true",
        "hasCompletedOnboarding true",
    );
    let mut home = Home::new();
    assert_eq!(
        (says(&home, true), says(&home, false)),
        (vec![trusts.to_owned()], vec![])
    );
    home.env.push(("ANTHROPIC_AUTH_TOKEN".to_owned(), String::new()));
    assert_eq!(says(&home, false), Vec::<String>::new(), "an empty one is none");
    home.env.push(("ANTHROPIC_API_KEY".to_owned(), "k".to_owned()));
    assert_eq!(says(&home, true), [was_run, trusts]);
    assert_eq!(says(&home, false), [was_run]);
}

#[test]
fn what_it_says_becomes_facts() {
    let registry = Registry::new("".as_ref());
    let claude = registry.get(ID).unwrap();
    let said = claude
        .signal(
            "UserPromptSubmit",
            r#"{"session_id":"n-1","prompt":"fix\nit"}"#,
            at(),
        )
        .unwrap();
    assert_eq!(said.state, Some(ActivityState::Active));
    assert_eq!(
        (said.native_id.as_deref(), said.title.as_deref()),
        (Some("n-1"), Some("fix it"))
    );
    let said = claude
        .signal(
            "Stop",
            r#"{"session_id":"n-1","last_assistant_message":"done\nall"}"#,
            at(),
        )
        .unwrap();
    assert_eq!((said.state, said.title), (Some(ActivityState::Idle), None));
    assert_eq!(said.last_message.as_deref(), Some("done\nall"));
    let state = |event: &str, payload: &str| claude.signal(event, payload, at()).unwrap().state;
    assert_eq!(state("SessionEnd", r#"{"reason":"clear"}"#), None);
    assert_eq!(
        state("SessionEnd", r#"{"reason":"other"}"#),
        Some(ActivityState::Exited)
    );
    assert_eq!(
        state("Notification", r#"{"notification_type":"auth_success"}"#),
        None
    );
}

#[test]
fn its_transcript_tells_of_interrupts_and_of_turns() {
    let user = |more: &str| {
        format!(
            r#"{{"type":"user","uuid":"21c68c1b-cb35-464e-8cec-ae2472522e62","timestamp":"2026-11-28T10:49:45.389Z",{more}}}"#
        )
    };
    let note = |line: &str| super::super::notes::note(NOTES, line);
    let event = |more: &str| note(&user(more)).map(|note| note.event);
    for text in [
        "[Request interrupted by user]",
        "[Request interrupted by user for tool use]",
    ] {
        let line = format!(r#""message":{{"content":[{{"type":"text","text":"{text}"}}]}}"#);
        assert_eq!(event(&line), Some(INTERRUPTED));
    }
    assert_eq!(
        event(r#""promptSource":"queued","message":{"content":"go on"}"#),
        Some(TURN_BEGAN)
    );
    let noted = note(&user(r#""promptSource":"typed","message":{"content":"x"}"#)).unwrap();
    assert_eq!(noted.id, "21c68c1bcb35464e8cecae2472522e62");
    assert_eq!(noted.at.unwrap().to_string(), "2026-11-28T10:49:45.389Z");
    // Results of tools, what a sub-agent is told, and everything else says nothing.
    assert_eq!(
        event(r#""message":{"content":[{"type":"tool_result","content":"[Request interrupted by user]"}]}"#),
        None
    );
    assert_eq!(
        event(r#""isSidechain":true,"promptSource":"typed","message":{"content":"x"}"#),
        None
    );
    assert_eq!(note("{"), None);
    assert_eq!(note(r#"{"type":"assistant"}"#), None);
}

/// Found by the fuzzer: the kind of error is a text like any other.
#[test]
fn what_ended_a_turn_is_one_line() {
    let registry = Registry::new("".as_ref());
    let agent = registry.get("claude-code").unwrap();
    let trouble = |payload: &str| agent.signal("StopFailure", payload, at()).unwrap().trouble;
    let said = trouble(r#"{"error": "rate\nlimit", "last_assistant_message": "API Error:\n429"}"#);
    assert_eq!(said.as_deref(), Some("rate limit: API Error: 429"));
    assert_eq!(
        trouble(r#"{"error": "rate_limit"}"#).as_deref(),
        Some("rate_limit")
    );
    assert_eq!(trouble(r#"{"last_assistant_message": "fine"}"#), None);
}

/// As version 2.1.330 wrote them. The words have cut off the seconds, the transcript has them.
#[test]
fn a_used_up_quota_is_a_wall_with_an_end() {
    let registry = Registry::new("".as_ref());
    let agent = registry.get(ID).unwrap();
    let wall = |event: &str, payload: &str| agent.signal(event, payload, at()).unwrap().wall;
    let said = |error: &str, said: &str| {
        wall(
            "StopFailure",
            &json!({"error": error, "last_assistant_message": said}).to_string(),
        )
    };
    let time = |text: &str| Some(text.parse::<Timestamp>().unwrap());
    let subscribed = "You've hit your 5-hour limit \u{b7} resets 8:49pm (UTC)";
    assert_eq!(
        said("rate_limit", subscribed),
        Some(Wall::met(at(), time("2026-11-29T20:50:00.000Z")))
    );
    let by_key = "API Error: Request rejected (429) \u{b7} This request would exceed your account's rate limit. Please try again later.";
    assert_eq!(said("rate_limit", by_key), Some(Wall::met(at(), None)));
    assert_eq!(
        said(
            "server_error",
            "API Error: 529 Overloaded. Try again in 5 minutes."
        ),
        None
    );
    assert_eq!(
        wall("Stop", &json!({"last_assistant_message": subscribed}).to_string()),
        None
    );
    let line = json!({"type": "assistant", "uuid": "546d8609-c8c4-4593-b626-6cd15699412d", "timestamp": "2026-11-29T17:49:13.793Z",
        "message": {"content": [{"type": "text", "text": subscribed}]}, "error": "rate_limit", "isSidechain": false,
        "quotaLimits": {"status": "rejected", "resetsAt": 1_795_985_353, "rateLimitType": "five_hour"}, "isApiErrorMessage": true});
    let noted = super::super::notes::note(NOTES, &line.to_string()).unwrap();
    let signal = agent.signal(noted.event, &noted.payload, at()).unwrap();
    assert_eq!((noted.at, signal.state), (Some(at()), None));
    assert_eq!(
        signal.wall,
        Some(Wall::met(at(), time("2026-11-29T20:49:13.000Z")))
    );
    for (key, value) in [
        ("isSidechain", json!(true)),
        ("type", json!("user")),
        ("quotaLimits", json!({})),
        ("isApiErrorMessage", json!(false)),
    ] {
        let mut other = line.clone();
        other[key] = value;
        assert_eq!(
            super::super::notes::note(NOTES, &other.to_string()),
            None,
            "{key}"
        );
    }
}
