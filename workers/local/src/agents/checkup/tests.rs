use super::*;

/// What is found in a home with these files and these variables: what each finding is about, and whether it is good.
pub(in super::super) fn found(
    look: fn(Environment<'_>) -> Vec<Finding>,
    files: &[(&str, &str)],
    variables: &[&str],
) -> Vec<(&'static str, bool)> {
    let home = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let mut env = vec![("HOME".to_owned(), home.path().to_str().unwrap().to_owned())];
    env.extend(variables.iter().map(|name| {
        let (name, value) = name.split_once('=').unwrap_or((name, "k"));
        (name.to_owned(), value.to_owned())
    }));
    let findings = look(&env);
    for finding in &findings {
        // Each says where, what follows, and what to do.
        let named = finding.remedy.as_deref().unwrap_or("no remedy is wanted");
        assert!(!finding.said.is_empty() && !named.is_empty(), "{finding:?}");
    }
    findings
        .into_iter()
        .map(|finding| (finding.what, finding.remedy.is_none()))
        .collect()
}

/// Whether a login is found there.
pub(in super::super) fn logs_in(
    look: fn(Environment<'_>) -> Vec<Finding>,
    files: &[(&str, &str)],
    variables: &[&str],
) -> bool {
    let login = |(what, good): &(&str, bool)| *what == "login" && *good;
    found(look, files, variables).iter().any(login)
}

#[test]
fn comments_are_no_part_of_what_a_file_says() {
    for (text, plain) in [
        ("{\"a\": 1}", "{\"a\": 1}"),
        ("// one\n{\"a\": 1, // two\n}", "\n{\"a\": 1}"),
        ("{/* , } */\"a\": [1, 2,],}", "{\"a\": [1, 2]}"),
        (r#"{"a": "//, } \" /*"}"#, r#"{"a": "//, } \" /*"}"#),
        ("{\"a", "{\"a"),
        ("/* open", ""),
    ] {
        assert_eq!(uncommented(text), plain, "{text}");
    }
}

#[test]
fn what_is_empty_says_nothing() {
    for nothing in ["null", "\"\"", "[]", "{}", "false", r#"{"a": {"b": [null, ""]}}"#] {
        assert!(
            !says_something(&serde_json::from_str(nothing).unwrap()),
            "{nothing}"
        );
    }
    assert!(says_something(
        &serde_json::from_str(r#"{"a": {"b": [null, "k"]}}"#).unwrap()
    ));
}
