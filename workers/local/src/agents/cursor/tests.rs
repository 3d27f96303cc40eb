use ao_domain::port::agent::{AgentError, Agents as _, HookPlace};
use ao_domain::{ActivityState, PermissionMode, Signal};
use serde_json::Value;

use super::super::tests::{at, request};
use super::super::{PortFuture, Registry};
use super::*;

/// The command line for `ask`, with its program where its installer puts it.
fn planned(ask: impl FnOnce(&mut LaunchRequest<'_>)) -> Result<Vec<String>, AgentError> {
    let home = tempfile::tempdir().unwrap();
    let program = home.path().join(".local/bin/cursor-agent");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    std::fs::write(&program, "").unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let env = [("HOME".to_owned(), home.path().to_str().unwrap().to_owned())];
    let mut asked = LaunchRequest {
        env: &env,
        ..request(&[])
    };
    ask(&mut asked);
    let registry = Registry::new("".as_ref());
    let plan = registry.get("cursor").unwrap().plan(&asked)?;
    assert_eq!(plan.argv[0], program.to_str().unwrap());
    assert!(
        matches!(plan.before[..], [Preparation::Entries { .. }]) && plan.env.is_empty(),
        "{plan:?}"
    );
    Ok(plan.argv[1..].to_vec())
}

/// `cursor-agent [--resume=ID] [--model M] [--force] -- PROMPT`, as its documents have it.
#[test]
fn its_command_line_is_the_documented_one() {
    let prompt = "-fix \"this\"\n$(touch x) it's \\";
    assert_eq!(planned(|ask| ask.prompt = Some(prompt)).unwrap(), ["--", prompt]);
    let allowed = planned(|ask| {
        ask.prompt = Some(prompt);
        ask.model = Some("gpt-5");
        ask.permissions = PermissionMode::BypassPermissions;
    });
    assert_eq!(allowed.unwrap(), ["--model", "gpt-5", "--force", "--", prompt]);
    let told = planned(|ask| {
        ask.prompt = Some("go");
        ask.role = Some("You are one of many.");
    });
    let told = told.unwrap();
    assert_eq!(told[0], "--");
    assert!(
        told[1].starts_with("You are one of many.") && told[1].ends_with("go"),
        "{told:?}"
    );
}

#[test]
fn a_conversation_that_goes_on_is_not_asked_again() {
    let goes_on = planned(|ask| {
        ask.prompt = Some("go");
        ask.native_id = Some("c0ffee");
    });
    assert_eq!(goes_on.unwrap(), ["--resume=c0ffee"]);
}

#[test]
fn what_no_document_says_is_not_offered() {
    for mode in [PermissionMode::AcceptEdits, PermissionMode::Auto] {
        let refused = planned(|ask| ask.permissions = mode).unwrap_err();
        assert!(matches!(refused, AgentError::NotOffered { .. }), "{refused:?}");
    }
    let description = &SHEET.description;
    assert!(description.takes.is_none() && SHEET.screen.is_none() && SHEET.own.is_none());
    assert_eq!(SHEET.checkup.as_ref().unwrap().seen, "");
    // No hook that it waits for the answer of before it uses a tool.
    let told: Vec<&str> = hooks::told(EVENTS).collect();
    let documented = [
        "sessionStart",
        "beforeSubmitPrompt",
        "afterAgentResponse",
        "stop",
        "sessionEnd",
    ];
    assert_eq!(told, documented);
}

/// What a hook is given on its standard input: what is common to all, and what is its own.
fn told(event: &str, own: &Value) -> Signal {
    let mut payload = json!({
        "conversation_id": "668320d2-2fd8-4888-b33c-2a466fec86e7",
        "generation_id": "490b90b7-a2ce-4c2c-bb76-cb77b125df2f",
        "model": "claude-sonnet-4-20250514",
        "hook_event_name": event,
        "cursor_version": "1.7.2",
        "workspace_roots": ["/data/worktrees/web-1"],
        "user_email": null,
        "transcript_path": null,
    });
    let own = own.as_object().unwrap().clone();
    payload.as_object_mut().unwrap().extend(own);
    let registry = Registry::new("".as_ref());
    let agent = registry.get("cursor").unwrap();
    agent.signal(event, &payload.to_string(), at()).unwrap()
}

#[test]
fn its_events_say_what_is_documented_of_them() {
    let id = "668320d2-2fd8-4888-b33c-2a466fec86e7";
    let begun = json!({"session_id": id, "is_background_agent": false, "composer_mode": "agent"});
    let begun = told("sessionStart", &begun);
    assert_eq!((begun.state, begun.native_id.as_deref()), (None, Some(id)));

    let asked = told(
        "beforeSubmitPrompt",
        &json!({"prompt": "fix it\nand test it", "attachments": []}),
    );
    assert_eq!(asked.state, Some(ActivityState::Active));
    assert_eq!(asked.title.as_deref(), Some("fix it and test it"));
    assert_eq!(asked.prompt.as_deref(), Some("fix it\nand test it"));

    let said = told("afterAgentResponse", &json!({"text": "It is done."}));
    assert_eq!(
        (said.state, said.last_message.as_deref()),
        (None, Some("It is done."))
    );

    for (status, trouble) in [("completed", None), ("aborted", None), ("error", Some("error"))] {
        let ended = told("stop", &json!({"status": status, "loop_count": 0}));
        assert_eq!(ended.state, Some(ActivityState::Idle), "{status}");
        assert_eq!(ended.trouble.as_deref(), trouble, "{status}");
        assert_eq!(ended.native_id.as_deref(), Some(id));
    }
    for (reason, state) in [
        ("completed", None),
        ("aborted", None),
        ("error", None),
        ("window_close", Some(ActivityState::Exited)),
        ("user_close", Some(ActivityState::Exited)),
    ] {
        let over = json!({"session_id": id, "reason": reason, "duration_ms": 45_000, "final_status": reason});
        assert_eq!(told("sessionEnd", &over).state, state, "{reason}");
    }
}

/// With none there, with its user's own, and with one that does not read.
#[tokio::test]
async fn its_hooks_come_into_its_user_s_file_in_the_documented_form() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".cursor/hooks.json");
    let env = [("HOME".to_owned(), home.path().to_str().unwrap().to_owned())];
    let asked = LaunchRequest {
        ao: "/data dir/bin/ao".into(),
        env: &env,
        ..request(&[])
    };
    let hooks = before(&asked);
    let registry = Registry::new("".as_ref());
    let withdraw = async || {
        let place = HookPlace {
            ao: asked.ao,
            files: asked.files,
            env: &env,
        };
        let is_wanted = || -> PortFuture<'_, bool> { Box::pin(async { false }) };
        registry.withdraw("cursor", &place, &is_wanted).await.unwrap();
    };
    let read = || -> Value { serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap() };
    let ours = |event: &str| json!({"command": format!("'/data dir/bin/ao' hooks cursor {event}")});
    for _ in 0..2 {
        registry.prepare(&hooks[0]).await.unwrap();
    }
    assert_eq!(
        read(),
        json!({
            "version": 1,
            "hooks": {
                "sessionStart": [ours("sessionStart")],
                "beforeSubmitPrompt": [ours("beforeSubmitPrompt")],
                "afterAgentResponse": [ours("afterAgentResponse")],
                "stop": [ours("stop")],
                "sessionEnd": [ours("sessionEnd")],
            },
        })
    );
    withdraw().await;
    assert!(!file.exists());

    let mine = json!({"command": "./hooks/mine.sh", "timeout": 30});
    let theirs =
        format!("{{\n  \"hooks\": {{\"stop\": [{mine}], \"preToolUse\": [{mine}]}}, \"version\": 1\n}}\n");
    std::fs::write(&file, &theirs).unwrap();
    registry.prepare(&hooks[0]).await.unwrap();
    assert_eq!(read()["hooks"]["stop"], json!([ours("stop"), mine]));
    assert_eq!(read()["hooks"]["preToolUse"], json!([mine]));
    assert_eq!(read()["hooks"]["sessionEnd"], json!([ours("sessionEnd")]));
    withdraw().await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), theirs);

    for broken in ["", "{\"hooks\": []}", "\0"] {
        std::fs::write(&file, broken).unwrap();
        registry.prepare(&hooks[0]).await.unwrap_err();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), broken);
    }
}
