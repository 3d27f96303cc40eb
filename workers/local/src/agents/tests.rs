use ao_domain::ActivityState;

use super::*;

pub(crate) fn registry() -> Registry {
    Registry::new(OsStr::new("/usr/bin:/bin"))
}

pub(crate) fn request(command: &[String]) -> LaunchRequest<'_> {
    // The id lives for the whole test run: a request borrows what its caller keeps.
    static SESSION: std::sync::LazyLock<ao_domain::SessionId> =
        std::sync::LazyLock::new(|| "web-1".parse().unwrap());
    LaunchRequest {
        session: &SESSION,
        prompt: None,
        command,
        worktree: "/".into(),
        repo: "/".into(),
        secret: "00112233445566778899aabbccddeeff",
        native_id: None,
        model: None,
        permissions: PermissionMode::Default,
        role: None,
        ao: "/data/bin/ao".into(),
        messages: "/data/messages/web-1".into(),
        files: "/data/agents/any".into(),
        trusted: true,
        env: &[],
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// What every agent owes, asked of every agent in the registry.
/// When everything in these tests is told.
pub(crate) fn at() -> Timestamp {
    "2026-11-29T17:49:13.793Z".parse().unwrap()
}

#[test]
fn conformance() {
    let registry = registry();
    for id in registry.ids() {
        let agent = registry.get(id).unwrap();
        assert_eq!(agent.description().id, id);
        assert!(!agent.description().name.is_empty());
        assert_eq!(agent.signal("no such event", "{}", at()), None, "{id}");
        let sheet = SHEETS.iter().find(|sheet| sheet.description.id == id).unwrap();
        for event in sheet.events {
            let always = sheet
                .events
                .iter()
                .find(|known| known.name == event.name && known.when.is_none());
            for payload in ["", "{}", "not json", "[1]", "{\"title\":7}"] {
                let signal = agent.signal(event.name, payload, at()).unwrap();
                assert_eq!(
                    signal.state,
                    always.and_then(|known| known.state),
                    "{id} {} {payload}",
                    event.name
                );
            }
            if let Some((key, words)) = event.when {
                for word in words {
                    let payload = serde_json::json!({ key: word }).to_string();
                    assert_eq!(
                        agent.signal(event.name, &payload, at()).unwrap().state,
                        event.state
                    );
                }
            }
        }
    }
    let unknown = registry.get("cluade").err().unwrap().to_string();
    assert!(
        unknown.contains("cluade") && unknown.contains(&registry.ids().join(", ")),
        "{unknown}"
    );
}

#[test]
fn a_command_line_is_passed_on_as_it_is() {
    let command = words(&["sh", "-c", "echo \"a b\"; $X", "-", "\u{a0}"]);
    let plan = registry().get("shell").unwrap().plan(&request(&command)).unwrap();
    assert!(plan.argv[0].ends_with("/sh") && plan.argv[0].starts_with('/'));
    assert_eq!(plan.argv[1..], command[1..]);
}

#[test]
fn what_cannot_start_is_refused_before_anything_happens() {
    let registry = registry();
    let plan = |command: &[&str]| registry.get("shell").unwrap().plan(&request(&words(command)));
    assert!(matches!(plan(&[]), Err(AgentError::CommandRequired { .. })));
    assert!(matches!(
        plan(&["no-such-program-here"]),
        Err(AgentError::BinaryNotFound { .. })
    ));
    assert!(
        matches!(plan(&["./etc/passwd"]), Err(AgentError::BinaryNotFound { .. })),
        "not executable"
    );
    assert_eq!(plan(&["./bin/sh"]).unwrap().argv, words(&["./bin/sh"]));
    let command = words(&["true"]);
    let with = |model, permissions| {
        let request = LaunchRequest {
            model,
            permissions,
            ..request(&command)
        };
        registry
            .get("shell")
            .unwrap()
            .plan(&request)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        with(Some("m"), PermissionMode::Default),
        "agent `shell` has no model to choose"
    );
    assert_eq!(
        with(None, PermissionMode::Auto),
        "agent `shell` has no permission mode to choose"
    );
    let claude = registry.get("claude-code").unwrap().plan(&request(&command));
    assert!(matches!(claude, Err(AgentError::CommandNotTaken { .. })));
}

#[test]
fn a_word_that_is_too_long_for_a_program_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let env = [("HOME".to_owned(), home.path().to_str().unwrap().to_owned())];
    let program = home.path().join(".local/bin/claude");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    std::fs::write(&program, "").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let registry = Registry::new("".as_ref());
    let plan = |bytes: usize| {
        let prompt = "x".repeat(bytes);
        let asked = LaunchRequest {
            prompt: Some(&prompt),
            env: &env,
            ..request(&[])
        };
        registry.get("claude-code").unwrap().plan(&asked)
    };
    assert!(plan(launch::WORD_MAX).is_ok());
    let refused = plan(launch::WORD_MAX + 1).unwrap_err();
    assert_eq!(
        refused,
        AgentError::TooLong {
            bytes: 128 * 1024,
            most: 128 * 1024 - 1
        }
    );
}

/// Of every agent with a program of its own: a prompt is one word of its command line, whatever is in it, and no shell sees it.
#[test]
fn a_hostile_prompt_is_one_word_and_arrives_whole() {
    let home = tempfile::tempdir().unwrap();
    let env = [("HOME".to_owned(), home.path().to_str().unwrap().to_owned())];
    let registry = Registry::new("".as_ref());
    let long = "long $(touch x) `touch y` ".repeat(4_000);
    let mut made = 0;
    for sheet in SHEETS {
        let Argv::Made { places, .. } = &sheet.argv else {
            continue;
        };
        made += 1;
        let program = home.path().join(places[0]);
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::fs::write(&program, "").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let agent = registry.get(sheet.description.id).unwrap();
        let plan = |prompt: Option<&str>| {
            let asked = LaunchRequest {
                prompt,
                env: &env,
                ..request(&[])
            };
            agent.plan(&asked)
        };
        let without = plan(None).unwrap().argv;
        for prompt in [
            "it's \"quoted\" \\",
            "two\nlines\r\n\tand a third",
            "$(touch x) `touch y` ${HOME} ; touch z & | > < * ~",
            "--help",
            "-rf",
            "\u{1b}[31m\u{7f}\u{202e}",
            &long,
        ] {
            let with = plan(Some(prompt)).unwrap().argv;
            let added: Vec<&String> = with.iter().filter(|word| !without.contains(word)).collect();
            // Where no command line can ask it, it is the first message: that is no word of this.
            let expected = usize::from(sheet.description.prompted);
            let holders = added.iter().filter(|word| word.ends_with(prompt));
            assert_eq!(holders.count(), expected, "{} {with:?}", sheet.description.id);
        }
        let refused = plan(Some("a\0b")).unwrap_err();
        assert_eq!(refused, AgentError::NotText { what: "prompt" });
    }
    assert!(made > 0);
    let command = words(&["echo", "a\0b"]);
    let refused = registry
        .get("shell")
        .unwrap()
        .plan(&request(&command))
        .unwrap_err();
    assert_eq!(refused, AgentError::NotText { what: "command" });
}

#[test]
fn a_script_may_say_what_it_does() {
    let registry = registry();
    let shell = registry.get("shell").unwrap();
    let said = shell
        .signal(
            "needs-decision",
            "{\"title\":\"deploy?\",\"message\":\" \"}",
            at(),
        )
        .unwrap();
    assert_eq!(said.state, Some(ActivityState::WaitingInput));
    assert_eq!(said.title.as_deref(), Some("deploy?"));
    assert_eq!(said.last_message, None);
}

#[test]
fn a_prompt_becomes_one_line() {
    let title = |prompt: &str| in_one_line(prompt);
    assert_eq!(
        title("fix\n\n  the\ttests\u{1b}[31m").as_deref(),
        Some("fix the tests[31m")
    );
    let pasted = "<pasted_content id=\"1\">\na\nb\n</pasted_content id=\"1\">";
    assert_eq!(title(pasted).as_deref(), Some("a b"));
    assert_eq!(title(" \n "), None);
    assert_eq!(title(&"ä".repeat(500)).unwrap().chars().count(), TITLE_MAX);
    assert_eq!(cut("aä", 2), "a");
}

/// Nothing is said of it to an agent for a person, and one that remembers its repository is told to ask all the same.
#[test]
fn a_stranger_s_code_is_trusted_by_nobody_but_a_person() {
    let home = tempfile::tempdir().unwrap();
    let env = [("HOME".to_owned(), home.path().to_str().unwrap().to_owned())];
    let program = home.path().join(".local/bin/claude");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    std::fs::write(&program, "").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let registry = Registry::new("".as_ref());
    let plan = |trusted| {
        let asked = LaunchRequest {
            trusted,
            env: &env,
            ..request(&[])
        };
        registry.get("claude-code").unwrap().plan(&asked).unwrap()
    };
    let (own, strange) = (plan(true), plan(false));
    assert!(matches!(own.before[..], [Preparation::Member { .. }]), "{own:?}");
    assert_eq!(own.env, []);
    assert_eq!(strange.before, []);
    let wary = ("CLAUDE_CODE_IGNORE_PERSISTED_TRUST".to_owned(), "1".to_owned());
    assert_eq!(strange.env, [wary]);
    assert_eq!(own.argv, strange.argv);
}
