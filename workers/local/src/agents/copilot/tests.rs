use super::super::checkup::tests::{found, logs_in};
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
