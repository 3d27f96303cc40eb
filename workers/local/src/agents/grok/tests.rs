use super::super::checkup::tests::{found, logs_in};
use super::*;

#[test]
fn what_logs_it_in_is_found_and_what_does_not_read_is_told() {
    let look = SHEET.checkup.unwrap().own_files;
    let well = [("hooks", true), ("trust", true), ("login", false)];
    assert_eq!(found(look, &[], &[]), well);
    let model = |line: &str| format!("[model.mine]\nname = \"x\"\n{line}\n");
    for (text, variables, is_one) in [
        (model("api_key = \"k\""), vec![], true),
        (model("api_key = \"\""), vec![], false),
        (model("# api_key = \"k\""), vec![], false),
        ("[other]\napi_key = \"k\"\n".to_owned(), vec![], false),
        (model("env_key = \"MINE\""), vec!["MINE"], true),
        (model("env_key = [\"ITS\", \"MINE\"]"), vec!["MINE"], true),
        (model("env_key = \"MINE\""), vec![], false),
    ] {
        let files = [(".grok/config.toml", text.as_str())];
        assert_eq!(logs_in(look, &files, &variables), is_one, "{text}");
    }
    for (text, is_one) in [(r#"{"x": {"key": "k"}}"#, true), ("{}", false), ("{", false)] {
        assert_eq!(logs_in(look, &[(".grok/auth.json", text)], &[]), is_one, "{text}");
    }
    assert!(logs_in(look, &[], &["XAI_API_KEY"]));
    let config = found(look, &[(".grok/config.toml", "= 3")], &[]);
    assert_eq!(config[0], ("settings", false));
    // It makes a session for a stranger's code fail.
    let trust = found(look, &[(".grok/trusted_folders.toml", "[folders")], &[]);
    assert_eq!(trust, [("hooks", true), ("trust", false), ("login", false)]);
    let trust = found(
        look,
        &[(".grok/trusted_folders.toml", "[folders.\"/w\"]\ntrusted = true")],
        &[],
    );
    assert_eq!(trust, well);
    assert_eq!(look(&[])[0].what, "home");
}
