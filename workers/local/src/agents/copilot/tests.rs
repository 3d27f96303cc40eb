use ao_domain::Timestamp;
use ao_domain::port::agent::Agents as _;

use super::super::Registry;
use super::super::checkup::tests::{found, logs_in};
use super::super::tests::name;
use super::*;

#[test]
fn what_logs_it_in_is_found_and_what_does_not_read_is_told() {
    let look = SHEET.checkup.unwrap().own_files;
    assert_eq!(found(look, &[], &[]), [("trust", true), ("login", false)]);
    for (text, is_well, is_one) in [
        (
            "// Its own.\n{\"loggedInUsers\": [{\"host\": \"h\", \"login\": \"me\"}]}",
            true,
            true,
        ),
        (
            r#"{"lastLoggedInUser": {"host": "h", "login": "me"}}"#,
            true,
            true,
        ),
        (r#"{"loggedInUsers": []}"#, true, false),
        (r#"{"note": "no \"loggedInUsers\""}"#, true, false),
        (r#"{"trustedFolders": ["/w"]}"#, true, false),
        // These make a session for a stranger's code fail.
        ("{ not json", false, false),
        (r#"{"trustedFolders": "/w"}"#, false, false),
        ("{} // behind", false, false),
        ("", false, false),
    ] {
        let said = found(look, &[(".copilot/config.json", text)], &[]);
        assert_eq!(said, [("trust", is_well), ("login", is_one)], "{text}");
    }
    for variable in [
        "COPILOT_GITHUB_TOKEN",
        "GH_TOKEN",
        "GITHUB_TOKEN",
        "COPILOT_PROVIDER_BASE_URL",
    ] {
        assert!(logs_in(look, &[], &[variable]), "{variable}");
    }
    assert_eq!(look(&[])[0].what, "home");
}

#[test]
fn its_workspace_of_a_conversation_names_it() {
    const WORKSPACE: &str = ".copilot/session-state/abc/workspace.yaml";
    let workspace = |name: &str| {
        format!(
            "id: abc\ncwd: /w/t\nclient_name: github/cli\n{name}\nuser_named: false\nsummary_count: 0\nupdated_at: 2026-11-30\n"
        )
    };
    let called = |it: &str| name(ID, "abc", &[(WORKSPACE, &workspace(it))]);
    for (it, is) in [
        ("name: Mend it", "Mend it"),
        ("name: \"Mend: \\\"it\\\"\"", "Mend: \"it\""),
        ("name: '- it''s: mended'", "- it's: mended"),
        ("name: |-\n  Mend it\n  at last", "Mend it at last"),
        (
            "name: |-\n  Mend it\n\n    user_named: true\n  name: another\n",
            "Mend it user_named: true name: another",
        ),
        ("name: |2-\n    indented\n  less", "indented less"),
        ("name: >-\n  Mend it\n  at last", "Mend it at last"),
        ("names: none\nname: Mend it\nname_of: none", "Mend it"),
    ] {
        assert_eq!(called(it).as_deref(), Some(is), "{it}");
    }
    for it in [
        "name:",
        "name: \"\"",
        "name: |-",
        "name: \"half",
        "named: it",
        "  name: it",
        "x: y",
    ] {
        assert_eq!(called(it), None, "{it}");
    }
    // Half written, it is called by what is there; or nothing, and the next look finds it.
    let whole = workspace("name: |-\n  Mend it\n  at last");
    let cut = |behind: &str| {
        let end = whole.find(behind).unwrap() + behind.len();
        name(ID, "abc", &[(WORKSPACE, &whole[..end])])
    };
    assert_eq!(cut("at l").as_deref(), Some("Mend it at l"));
    assert_eq!((cut("name: |"), cut("cwd"), cut("")), (None, None, None));
    // Each conversation has its own.
    let other = (".copilot/session-state/def/workspace.yaml", whole.as_str());
    assert_eq!(name(ID, "abc", &[other]), None);
    let both = [other, (WORKSPACE, &workspace("name: Mine"))];
    assert_eq!(name(ID, "abc", &both).as_deref(), Some("Mine"));
    assert_eq!(name(ID, "abc", &[]), None);
    // Its name is its first prompt at first, which may be long; of a file that is longer than any prompt nothing is guessed.
    let asked = |lines: usize| format!("name: |-\n{}", "  a line that is asked\n".repeat(lines));
    let long = called(&asked(8_000)).unwrap();
    assert!(
        long.starts_with("a line that is asked a line") && long.len() == 120,
        "{long}"
    );
    assert_eq!(called(&asked(100_000)), None);
}

/// Each error is told of by a hook, with the same words: most are tried again.
#[test]
fn an_error_that_ends_a_turn_is_the_one_in_its_record() {
    let agents = Registry::new("".as_ref());
    let copilot = agents.get(ID).unwrap();
    let at: Timestamp = "2026-11-30T01:42:46.119Z".parse().unwrap();
    let hook = r#"{"errorContext":"model_call","recoverable":true,"error":{"name":"Error","message":"{\"code\":529}"}}"#;
    let told = copilot.signal("errorOccurred", hook, at).unwrap();
    assert_eq!((told.state, told.wall), (None, None));
    let failed = |message: &str| {
        let line = serde_json::json!({"type": "session.error", "id": "x", "timestamp": at.to_string(),
            "data": {"errorType": "query", "message": message, "statusCode": 529, "originatingMessageId": "m"}});
        let note = copilot.note(&line.to_string()).unwrap();
        assert_eq!(note.at, Some(at));
        copilot.signal(note.event, &note.payload, at).unwrap()
    };
    let ended = failed("retried 5 times\nLast error: 529 overloaded");
    assert_eq!(ended.state, Some(ActivityState::Idle));
    assert_eq!(
        (ended.trouble.as_deref(), ended.wall),
        (Some("retried 5 times Last error: 529 overloaded"), None)
    );
    assert!(failed("Last error: 429 slow down").wall.is_some());
    for other in [
        r#"{"type":"hook.start","id":"y","timestamp":"2026-11-30T01:42:46.119Z","data":{"x":{"type":"session.error"},"originatingMessageId":"m"}}"#,
        // A command that failed, and what a helper of its own met.
        r#"{"type":"session.error","id":"y","timestamp":"2026-11-30T01:42:46.119Z","data":{"message":"Failed to run /x"}}"#,
        r#"{"type":"session.error","id":"y","timestamp":"2026-11-30T01:42:46.119Z","agentId":"a","data":{"message":"529","originatingMessageId":"m"}}"#,
    ] {
        assert_eq!(copilot.note(other), None, "{other}");
    }
}
