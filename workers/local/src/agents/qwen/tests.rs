use ao_domain::Timestamp;
use ao_domain::port::agent::Agents as _;

use super::super::Registry;
use super::super::checkup::tests::{found, logs_in};
use super::*;

#[test]
fn what_logs_it_in_is_found_and_what_does_not_read_is_told() {
    let look = SHEET.checkup.unwrap().own_files;
    assert_eq!(found(look, &[], &[]), [("trust", true), ("login", false)]);
    let auth = |text: &str| format!(r#"{{"security": {{"auth": {{{text}}}}}}} // mine"#);
    for (text, variables, is_one) in [
        (auth(r#""selectedType": "openai", "apiKey": "k""#), vec![], true),
        (auth(r#""selectedType": "openai""#), vec!["OPENAI_API_KEY"], true),
        (auth(r#""selectedType": "openai""#), vec![], false),
        (auth(r#""apiKey": "k""#), vec![], false),
        (
            auth(r#""selectedType": "qwen-oauth""#),
            vec!["OPENAI_API_KEY"],
            false,
        ),
        (
            r#"{"security": {"auth": {"selectedType": "openai"}}, "env": {"MINE": "k"}}"#.to_owned(),
            vec![],
            true,
        ),
        (r#"{"ui": {"theme": "x"}}"#.to_owned(), vec![], false),
    ] {
        let files = [(".qwen/settings.json", text.as_str())];
        assert_eq!(logs_in(look, &files, &variables), is_one, "{text} {variables:?}");
    }
    let oauth = (".qwen/oauth_creds.json", r#"{"access_token": "a"}"#);
    let chosen = auth(r#""selectedType": "qwen-oauth""#);
    assert!(logs_in(look, &[oauth, (".qwen/settings.json", &chosen)], &[]));
    assert!(!logs_in(look, &[oauth], &[]), "it asks all the same");
    assert!(!logs_in(look, &[], &["OPENAI_API_KEY"]), "it asks all the same");
    let three = ["OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"];
    assert!(logs_in(look, &[], &three));
    let settings = found(look, &[(".qwen/settings.json", "{ not json")], &[]);
    assert_eq!(settings, [("settings", false), ("trust", true), ("login", false)]);
    let trust = found(look, &[(".qwen/trustedFolders.json", "{ not json")], &[]);
    assert_eq!(trust, [("trust", false), ("login", false)]);
    assert_eq!(look(&[])[0].what, "home");
}

/// As it tells it: what is used up until a time is a matter of money to it.
#[test]
fn a_quota_has_the_time_that_it_says() {
    let at: Timestamp = "2026-11-30T03:14:52.931Z".parse().unwrap();
    let failed = |error: &str, details: &str| {
        let payload = json!({"error": error, "error_details": details}).to_string();
        Registry::new("".as_ref())
            .get(ID)
            .unwrap()
            .signal("StopFailure", &payload, at)
            .unwrap()
    };
    let details = "Quota exhausted: Quota exceeded for this model. It will reset at 2026-11-30T04:00:00Z\nPlease retry after the reset time.";
    let wall = failed("billing_error", details).wall.unwrap();
    assert_eq!(
        (wall.until.to_string().as_str(), wall.is_told),
        ("2026-11-30T04:00:00.000Z", true)
    );
    let spent = failed("billing_error", "402 payment required");
    assert_eq!(
        spent.trouble.as_deref(),
        Some("billing_error: 402 payment required")
    );
    assert_eq!(spent.wall, None);
}
