//! What Claude Code's own files say of it.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use super::super::checkup::{Finding, no_home};
use super::super::sheet::Environment;
use super::super::value_of;

/// The variable with a key that it asks about once.
const KEY: &str = "ANTHROPIC_API_KEY";

/// How much of the end of a key it remembers with the answer.
const KEY_END: usize = 20;

/// Variables that log Claude Code in, and those that name a provider which does.
const LOGINS: [&str; 6] = [
    "ANTHROPIC_AUTH_TOKEN",
    KEY,
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_USE_FOUNDRY",
];

/// What says in its file that it was run before.
pub(super) const WAS_RUN: &str = "hasCompletedOnboarding";

/// The variable that logs it in, of those that are set.
pub(super) fn login_set(env: Environment<'_>) -> Option<&'static str> {
    LOGINS.into_iter().find(|name| value_of(env, name).is_some())
}

/// Where Claude Code keeps what it knows of its user.
pub(super) fn config_file(env: Environment<'_>) -> Option<Utf8PathBuf> {
    match value_of(env, "CLAUDE_CONFIG_DIR") {
        Some(dir) => Some(Utf8Path::new(dir).join(".claude.json")),
        None => value_of(env, "HOME").map(|home| Utf8Path::new(home).join(".claude.json")),
    }
}

pub(super) fn own_files(env: Environment<'_>) -> Vec<Finding> {
    let Some(path) = config_file(env) else {
        return vec![no_home(Some("CLAUDE_CONFIG_DIR"))];
    };
    let run_it = "run `claude` once in a terminal";
    let config: Value = match std::fs::read(&path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(config) => config,
            Err(error) => {
                let said = format!("`{path}` is not JSON ({error}): no worktree can be recorded as trusted");
                return vec![Finding::bad(
                    "trust",
                    said,
                    format!("set `{path}` right, or move it away and {run_it}"),
                )];
            }
        },
        // It comes to be with the first session.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && login_set(env).is_some() => json!({}),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let said = format!(
                "it was never run here (`{path}` is not there): at its start it asks for a theme and a login"
            );
            return vec![Finding::bad("first start", said, run_it)];
        }
        Err(error) => {
            let said =
                format!("`{path}` cannot be read ({error}): it will ask whether each worktree is trusted");
            return vec![Finding::bad("trust", said, format!("set the rights of `{path}`"))];
        }
    };
    let first = if config[WAS_RUN] != true && login_set(env).is_none() {
        let said = "at its start it asks for a theme and a login";
        Finding::bad("first start", said, run_it)
    } else if answer(env, &config) == Some(Answer::None) {
        let said = format!("at its start it asks whether {KEY} is to be used, where No is the first choice");
        let remedy = format!("{run_it}, with {KEY} set, and say Yes");
        Finding::bad("first start", said, remedy)
    } else {
        Finding::good("first start", "it asks nothing at its start")
    };
    let may_write = match std::fs::metadata(&path) {
        Ok(found) => !found.permissions().readonly(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    let trust = if may_write {
        Finding::good("trust", format!("worktrees are recorded as trusted in {path}"))
    } else {
        let said = format!("`{path}` cannot be written: it will ask whether each worktree is trusted");
        Finding::bad("trust", said, format!("set the rights of `{path}`"))
    };
    vec![first, trust, login(env, &config)]
}

/// What was said of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Nothing yet.
    None,
    Yes,
    No,
}

/// What its user has said of the key in the environment; `None` where there is none.
fn answer(env: Environment<'_>, config: &Value) -> Option<Answer> {
    let key = value_of(env, KEY)?;
    let before_end = key.char_indices().rev().nth(KEY_END - 1);
    let end = &key[before_end.map_or(0, |(at, _)| at)..];
    let has = |list: &str| {
        let known = config["customApiKeyResponses"][list].as_array();
        known.is_some_and(|all| all.iter().any(|known| known == end))
    };
    Some(if has("approved") {
        Answer::Yes
    } else if has("rejected") {
        Answer::No
    } else {
        Answer::None
    })
}

fn login(env: Environment<'_>, config: &Value) -> Finding {
    // A key that was refused is not used.
    let is_refused = |name: &str| name == KEY && answer(env, config) == Some(Answer::No);
    let mut set = LOGINS.iter().filter(|name| value_of(env, name).is_some());
    if let Some(name) = set.find(|name| !is_refused(name)) {
        return Finding::good("login", format!("by {name}"));
    }
    let account = &config["oauthAccount"]["emailAddress"];
    if account.is_string() || config["primaryApiKey"].is_string() {
        return Finding::good("login", "by its own record");
    }
    let folder = match value_of(env, "CLAUDE_CONFIG_DIR") {
        Some(dir) => Some(Utf8PathBuf::from(dir)),
        None => value_of(env, "HOME").map(|home| Utf8Path::new(home).join(".claude")),
    };
    if folder.is_some_and(|folder| folder.join(".credentials.json").is_file()) {
        return Finding::good("login", "by its own credentials");
    }
    Finding::bad(
        "login",
        "no login is found: it will ask for one at its start",
        "run `claude` and log in, or set ANTHROPIC_API_KEY for the daemon",
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::checkup::tests::{found, logs_in};
    use super::*;

    #[test]
    fn what_claude_code_would_ask_is_known_before_it_is_started() {
        const ONBOARDED: (&str, &str) = (".claude.json", r#"{"hasCompletedOnboarding": true}"#);
        assert_eq!(found(own_files, &[], &[]), [("first start", false)]);
        assert_eq!(
            found(own_files, &[(".claude.json", "{")], &[]),
            [("trust", false)]
        );
        assert_eq!(
            found(own_files, &[(".claude.json", "{}")], &[]),
            [("first start", false), ("trust", true), ("login", false)]
        );
        // Where a login is in its environment its first session is told that it was run before; but for a key.
        let well = [("first start", true), ("trust", true), ("login", true)];
        for files in [&[] as &[(&str, &str)], &[(".claude.json", "{}")]] {
            assert_eq!(found(own_files, files, &["ANTHROPIC_AUTH_TOKEN"]), well);
            let with_a_key = found(own_files, files, &["ANTHROPIC_API_KEY"]);
            assert_eq!(
                with_a_key,
                [("first start", false), ("trust", true), ("login", true)]
            );
        }
        for login in [
            found(own_files, &[ONBOARDED], &["ANTHROPIC_AUTH_TOKEN"]),
            found(own_files, &[ONBOARDED, (".claude/.credentials.json", "{}")], &[]),
            found(
                own_files,
                &[(
                    ".claude.json",
                    r#"{"hasCompletedOnboarding": true, "oauthAccount": {"emailAddress": "a@b.c"}}"#,
                )],
                &[],
            ),
        ] {
            assert_eq!(login, [("first start", true), ("trust", true), ("login", true)]);
        }
        assert_eq!(own_files(&[])[0].what, "home");
    }

    /// It remembers the end of a key with what was said of it.
    #[test]
    fn a_key_that_nobody_has_approved_is_asked_about() {
        let said = |list: &str, end: &str| {
            format!(r#"{{"hasCompletedOnboarding": true, "customApiKeyResponses": {{"{list}": ["{end}"]}}}}"#)
        };
        let key = "ANTHROPIC_API_KEY=sk-ant-0123-abcdefghijklmnopqrst";
        let end = "abcdefghijklmnopqrst";
        let first = |text: &str, key: &str| found(own_files, &[(".claude.json", text)], &[key])[0];
        for (list, end, is_well) in [
            ("approved", end, true),
            ("rejected", end, true),
            ("approved", &end[1..], false),
            ("approved", "sk-ant-0123-abcdefghijklmnopqrst", false),
        ] {
            assert_eq!(
                first(&said(list, end), key),
                ("first start", is_well),
                "{list} {end}"
            );
        }
        // One that is shorter is remembered whole.
        assert_eq!(
            first(&said("approved", "k"), "ANTHROPIC_API_KEY=k"),
            ("first start", true)
        );
        let logs = |list: &str| logs_in(own_files, &[(".claude.json", &said(list, end))], &[key]);
        assert!(logs("approved") && !logs("rejected"));
    }
}
