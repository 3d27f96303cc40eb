use super::super::checkup::tests::{found, logs_in};
use super::super::tests::name;
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

#[test]
fn its_summary_of_a_conversation_names_it() {
    const SUMMARY: &str = ".grok/sessions/%2Fw%2Ft/abc/summary.json";
    let summary = |title: &str| {
        format!(
            "{{\n  \"info\": {{\"id\": \"abc\"}},\n  \"session_summary\": \"as asked\",\n  \"generated_title\": {title}\n}}"
        )
    };
    let good = summary("\"Mend it\"");
    assert_eq!(name(ID, "abc", &[(SUMMARY, &good)]).as_deref(), Some("Mend it"));
    let lines = summary("\"Mend\\n  the door\"");
    assert_eq!(
        name(ID, "abc", &[(SUMMARY, &lines)]).as_deref(),
        Some("Mend the door")
    );
    // Each conversation has its own; that of another, in the same folder or one that is newer, names this one nothing.
    let other = summary("\"Of abc\"");
    let others = [
        (".grok/sessions/%2Fw%2Ft/def/summary.json", other.as_str()),
        (".grok/sessions/%2Fx/abcd/summary.json", other.as_str()),
    ];
    assert_eq!(name(ID, "abc", &others), None);
    let all = [others[0], (SUMMARY, &good), others[1]];
    assert_eq!(name(ID, "abc", &all).as_deref(), Some("Mend it"));
    assert_eq!(name(ID, "../%2Fw%2Ft/abc", &all), None);
    // Half written, none yet, of another kind, empty, or not there.
    for text in [
        &good[..good.len() - 1],
        &good[..40],
        &summary("null"),
        &summary("7"),
        &summary("\" \""),
        "{}",
        "[]",
        "",
    ] {
        assert_eq!(name(ID, "abc", &[(SUMMARY, text)]), None, "{text}");
    }
    assert_eq!(name(ID, "abc", &[]), None);
    // A long name is shown by its beginning; of a file that is too long to be one of these nothing is guessed.
    let long = name(
        ID,
        "abc",
        &[(SUMMARY, &summary(&format!("\"{}\"", "x".repeat(200_000))))],
    );
    assert_eq!(long, Some("x".repeat(120)));
    let endless = format!("{{\"x\": \"{}\", {}", "x".repeat(3_000_000), &good[1..]);
    assert_eq!(name(ID, "abc", &[(SUMMARY, &endless)]), None);
}
