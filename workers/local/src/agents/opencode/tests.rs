use super::super::checkup::tests::{found, logs_in};
use super::*;

#[test]
fn what_logs_it_in_is_found_and_what_does_not_read_is_told() {
    let look = SHEET.checkup.unwrap().own_files;
    assert_eq!(found(look, &[], &[]), [("trust", true), ("login", false)]);
    let auth = |text| [(".local/share/opencode/auth.json", text)];
    for (text, is_one) in [
        (r#"{"anthropic": {"type": "api", "key": "k"}}"#, true),
        ("{}", false),
        ("{", false),
    ] {
        assert_eq!(logs_in(look, &auth(text), &[]), is_one, "{text}");
    }
    for name in ["opencode.json", "opencode.jsonc"] {
        let file = format!(".config/opencode/{name}");
        for (text, is_one) in [
            (r#"{"provider": {"mine": {"npm": "x"}}} // mine"#, true),
            (r#"{"provider": {}}"#, false),
            (r#"{"instructions": ["the \"provider\" is mine"]}"#, false),
            (r#"{/* "provider": {"mine": {"npm": "x"}} */}"#, false),
        ] {
            assert_eq!(logs_in(look, &[(&file, text)], &[]), is_one, "{text}");
        }
        let broken = found(look, &[(&file, "{ not json")], &[]);
        assert_eq!(broken, [("trust", true), ("settings", false), ("login", false)]);
    }
    for variable in ["ANTHROPIC_API_KEY", "OPENAI_API_KEY"] {
        assert!(logs_in(look, &[], &[variable]), "{variable}");
    }
    assert_eq!(look(&[])[0].what, "home");
}
