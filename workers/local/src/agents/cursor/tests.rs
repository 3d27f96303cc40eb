use ao_domain::PermissionMode;
use ao_domain::port::agent::{AgentError, Agents as _};

use super::super::tests::request;
use super::super::{LaunchRequest, Registry};
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
    assert!(plan.before.is_empty() && plan.env.is_empty(), "{plan:?}");
    Ok(plan.argv[1..].to_vec())
}

/// `cursor-agent [--resume ID] [--model M] [--force] -- PROMPT`, as its documents have it.
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
    assert_eq!(goes_on.unwrap(), ["--resume", "c0ffee"]);
}

#[test]
fn what_no_document_says_is_not_offered() {
    for mode in [PermissionMode::AcceptEdits, PermissionMode::Auto] {
        let refused = planned(|ask| ask.permissions = mode).unwrap_err();
        assert!(matches!(refused, AgentError::NotOffered { .. }), "{refused:?}");
    }
    let description = &SHEET.description;
    assert!(!description.reports && description.takes.is_none() && SHEET.screen.is_none());
    assert!(SHEET.events.is_empty());
}
