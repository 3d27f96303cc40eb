use ao_domain::PermissionMode;
use ao_domain::port::agent::Agents as _;

use super::super::Registry;
use super::super::checkup::tests::{found, logs_in};
use super::super::tests::{name, named, request};
use super::*;

/// The values behind `-c` that a launch has, by name.
fn settings_of(request: &LaunchRequest<'_>) -> Vec<(String, Value)> {
    let all = settings(request);
    let parsed = all.iter().map(|setting| {
        let (name, value) = setting.split_once('=').unwrap();
        (name.to_owned(), value.parse().unwrap())
    });
    parsed.collect()
}

#[test]
fn what_stands_behind_its_option_reads_whatever_is_in_it() {
    let mut asked = request(&[]);
    asked.ao = "/data/it's \"here\"/bin/ao".into();
    asked.worktree = "/w/t 'x'.y".into();
    asked.role = Some("say \"no\"\nand \\ '''");
    let settings = settings_of(&asked);
    let value = |name: &str| &settings.iter().find(|(known, _)| known == name).unwrap().1;
    assert_eq!(value("developer_instructions").as_str(), asked.role);
    let trust = value("projects").as_inline_table().unwrap();
    let trusted = trust.get("/w/t 'x'.y").unwrap().as_inline_table().unwrap();
    assert_eq!(trusted.get("trust_level").unwrap().as_str(), Some("trusted"));
    let told: Vec<&str> = EVENTS
        .iter()
        .map(|event| event.name)
        .filter(|name| !name.contains('.'))
        .collect();
    assert_eq!(told.len(), 7);
    for name in told {
        let first = |value: &Value| {
            value
                .as_array()
                .unwrap()
                .get(0)
                .unwrap()
                .as_inline_table()
                .unwrap()
                .clone()
        };
        let hook = first(first(value(&format!("hooks.{name}"))).get("hooks").unwrap());
        let command = hook.get("command").unwrap().as_str().unwrap();
        assert_eq!(
            command,
            format!("'/data/it'\\''s \"here\"/bin/ao' hooks codex {name}")
        );
    }
}

#[test]
fn a_conversation_goes_on_by_its_own_command() {
    let home = tempfile::tempdir().unwrap();
    let day = home.path().join(".codex/sessions/2026/11/29");
    std::fs::create_dir_all(&day).unwrap();
    let program = home.path().join(".local/bin/codex");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    std::fs::write(&program, "").unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let env = vec![("HOME".to_owned(), home.path().to_str().unwrap().to_owned())];
    let registry = Registry::new("".as_ref());
    let plan = |native: Option<&str>| {
        let asked = LaunchRequest {
            env: &env,
            prompt: Some("-rf"),
            native_id: native,
            permissions: PermissionMode::AcceptEdits,
            ..request(&[])
        };
        registry.get(ID).unwrap().plan(&asked).unwrap().argv
    };
    let fresh = plan(None);
    assert_eq!(fresh[1], "--no-daemon");
    assert_eq!(fresh[fresh.len() - 2..], ["--", "-rf"]);
    assert!(
        fresh
            .windows(2)
            .any(|two| two == ["--sandbox", "workspace-write"])
    );
    // Known, and its file is there, but nobody said a word in it.
    let file = day.join("rollout-2026-11-29T17-43-39-abc.jsonl");
    std::fs::write(&file, "{\"type\":\"session_meta\"}\n").unwrap();
    assert_eq!(plan(Some("abc"))[1], "--no-daemon");
    std::fs::write(&file, "{\"item\":{\"type\":\"UserMessage\"}}\n").unwrap();
    let on = plan(Some("abc"));
    assert_eq!(on[1..3], ["resume", "abc"]);
    assert!(!on.contains(&"-rf".to_owned()));
}

#[test]
fn its_record_tells_of_interrupts_and_of_errors() {
    let agents = Registry::new("".as_ref());
    let codex = agents.get(ID).unwrap();
    let line = |payload: &str| {
        codex.note(&format!(
            r#"{{"timestamp":"2026-11-29T17:43:44.815Z","type":"event_msg","payload":{payload}}}"#
        ))
    };
    let trouble = |payload: &str| {
        let note = line(payload).unwrap();
        assert_eq!(note.at.unwrap().to_string(), "2026-11-29T17:43:44.815Z");
        let signal = codex.signal(note.event, &note.payload, note.at.unwrap()).unwrap();
        assert_eq!(signal.state, Some(ActivityState::Idle));
        signal.trouble
    };
    assert_eq!(trouble(r#"{"type":"turn_aborted","reason":"interrupted"}"#), None);
    let failed = r#"{"type":"task_complete","last_agent_message":null,"error":{"message":"at 9","codex_error_info":"usage_limit_exceeded"}}"#;
    assert_eq!(trouble(failed).as_deref(), Some("usage_limit_exceeded: at 9"));
    let nested = r#"{"type":"task_complete","error":{"message":"status 429","codex_error_info":{"x":{"http_status_code":429}}}}"#;
    assert_eq!(trouble(nested).as_deref(), Some("status 429"));
    assert_eq!(
        line(r#"{"type":"task_complete","last_agent_message":"done"}"#),
        None
    );
    assert_eq!(
        line(r#"{"type":"agent_message","message":"\"turn_aborted\""}"#),
        None
    );
    // A line is named by what it says: told of twice, it counts once.
    assert_eq!(line(failed).unwrap().id, line(failed).unwrap().id);
    assert_ne!(line(failed).unwrap().id, line(nested).unwrap().id);
}

/// What is in the index for a conversation.
fn indexed(native: &str, name: &str, second: u32) -> String {
    let at = format!("2026-11-30T01:22:{second:02}.155223617Z");
    format!(
        "{}\n",
        serde_json::json!({"id": native, "thread_name": name, "updated_at": at})
    )
}

#[test]
fn its_index_of_all_conversations_names_each_by_its_last_entry() {
    const INDEX: &str = ".codex/session_index.jsonl";
    let (first, renamed) = (indexed("abc", "Mend it", 1), indexed("abc", "Mend\nthe door", 2));
    let other = indexed("def", "Of abc: \"id\":\"abc\"", 3);
    let index = |entries: &[&str]| name(ID, "abc", &[(INDEX, &entries.concat())]);
    assert_eq!(index(&[&first]).as_deref(), Some("Mend it"));
    assert_eq!(index(&[&first, &renamed]).as_deref(), Some("Mend the door"));
    // What others are called is not its name, also where they speak of it.
    assert_eq!(index(&[&first, &other]).as_deref(), Some("Mend it"));
    assert_eq!(index(&[&other]), None);
    // The last line may be half written, or not be one of these at all.
    for end in [&renamed[..renamed.len() / 2], "abc", "{\"id\":\"abc\"}\n", "\n\n"] {
        assert_eq!(index(&[&first, end]).as_deref(), Some("Mend it"), "{end}");
    }
    assert_eq!(index(&[&first[..30]]), None);
    assert_eq!(index(&[]), None);
    assert_eq!(name(ID, "abc", &[]), None);
    // It is told of once, and again when it comes back.
    let told = |entries: &[&str]| named(ID, "abc", &[(INDEX, &entries.concat())]).unwrap().1;
    assert_eq!(told(&[&first]), told(&[&first, &other]));
    assert_ne!(
        told(&[&first]),
        told(&[&first, &renamed, &indexed("abc", "Mend it", 4)])
    );
}

#[test]
fn of_an_index_that_is_long_its_end_is_read() {
    const INDEX: &str = ".codex/session_index.jsonl";
    let ours = indexed("abc", "Mend it", 1);
    let others: String = (0..40_000)
        .map(|at| indexed("def", "\u{20ac}", at % 60))
        .collect();
    assert!(others.len() > 2_000_000);
    let index = |entries: &[&str]| name(ID, "abc", &[(INDEX, &entries.concat())]);
    assert_eq!(index(&[&others, &ours]).as_deref(), Some("Mend it"));
    // What is called nothing among its last two thousand is not looked for further back, at every look.
    assert_eq!(index(&[&ours, &others]), None);
    // Where the piece that is read begins within a line, or a letter, that line is no harm.
    let letters = "\u{20ac}".repeat(300_000);
    for shift in ["", "x", "xx"] {
        let long = indexed("abc", &format!("{letters}{shift}"), 2);
        assert_eq!(index(&[&long, &ours]).as_deref(), Some("Mend it"));
    }
}

#[test]
fn a_login_that_is_missing_and_settings_that_do_not_read_are_found() {
    let look = SHEET.checkup.unwrap().own_files;
    let config = |text| (".codex/config.toml", text);
    assert_eq!(found(look, &[], &[]), [("trust", true), ("login", false)]);
    assert_eq!(found(look, &[config("= 3")], &[])[0], ("trust", false));
    for (auth, is_one) in [
        (r#"{"OPENAI_API_KEY": "k"}"#, true),
        (r#"{"tokens": {"access_token": "t"}}"#, true),
        (r#"{"OPENAI_API_KEY": null}"#, false),
        ("{", false),
    ] {
        assert_eq!(
            logs_in(look, &[(".codex/auth.json", auth)], &[]),
            is_one,
            "{auth}"
        );
    }
    for (text, is_one) in [
        ("model_provider = \"mine\"", true),
        ("model_provider = \"openai\"", false),
        ("# model_provider = \"mine\"", false),
    ] {
        assert_eq!(logs_in(look, &[config(text)], &[]), is_one, "{text}");
    }
    assert_eq!(look(&[])[0].what, "home");
}
