//! What is to be known of an agent's program and its own files before it is trusted with work: read, never written.

pub(super) use ao_domain::port::catalog::Finding;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use super::sheet::Environment;
use super::value_of;

/// How an agent's installation is looked over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checkup {
    /// The version whose behaviour was seen; empty where none was: then it is known from documents alone.
    pub(super) seen: &'static str,
    /// The options it is started with; its `--help` names them all.
    pub(super) options: &'static [&'static str],
    /// What its own files say, with the environment that agents inherit.
    pub(super) own_files: fn(Environment<'_>) -> Vec<Finding>,
}

/// Variables that log Claude Code in, and those that name a provider which does.
const LOGINS: [&str; 6] = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_USE_FOUNDRY",
];

/// Where Claude Code keeps what it knows of its user.
pub(super) fn claude_config(env: Environment<'_>) -> Option<Utf8PathBuf> {
    match value_of(env, "CLAUDE_CONFIG_DIR") {
        Some(dir) => Some(Utf8Path::new(dir).join(".claude.json")),
        None => value_of(env, "HOME").map(|home| Utf8Path::new(home).join(".claude.json")),
    }
}

pub(super) fn claude(env: Environment<'_>) -> Vec<Finding> {
    let Some(path) = claude_config(env) else {
        return vec![Finding::bad(
            "home",
            "neither HOME nor CLAUDE_CONFIG_DIR is set",
            "set HOME",
        )];
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
    let first = if config["hasCompletedOnboarding"] == true {
        Finding::good("first start", "it asks nothing at its start")
    } else {
        Finding::bad(
            "first start",
            "at its start it asks for a theme and a login",
            run_it,
        )
    };
    let may_write = std::fs::metadata(&path).is_ok_and(|found| !found.permissions().readonly());
    let trust = if may_write {
        Finding::good("trust", format!("worktrees are recorded as trusted in {path}"))
    } else {
        let said = format!("`{path}` cannot be written: it will ask whether each worktree is trusted");
        Finding::bad("trust", said, format!("set the rights of `{path}`"))
    };
    vec![first, trust, login(env, &config)]
}

fn login(env: Environment<'_>, config: &Value) -> Finding {
    if let Some(name) = LOGINS.iter().find(|name| value_of(env, name).is_some()) {
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
    use super::*;

    fn found(files: &[(&str, &str)], more: &[(&str, &str)]) -> Vec<(&'static str, bool)> {
        let home = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = home.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let mut env = vec![("HOME".to_owned(), home.path().to_str().unwrap().to_owned())];
        env.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let findings = claude(&env);
        findings
            .into_iter()
            .map(|finding| (finding.what, finding.remedy.is_none()))
            .collect()
    }

    #[test]
    fn what_claude_code_would_ask_is_known_before_it_is_started() {
        const ONBOARDED: (&str, &str) = (".claude.json", r#"{"hasCompletedOnboarding": true}"#);
        assert_eq!(found(&[], &[]), [("first start", false)]);
        assert_eq!(found(&[(".claude.json", "{")], &[]), [("trust", false)]);
        assert_eq!(
            found(&[(".claude.json", "{}")], &[]),
            [("first start", false), ("trust", true), ("login", false)]
        );
        for login in [
            found(&[ONBOARDED], &[("ANTHROPIC_API_KEY", "k")]),
            found(&[ONBOARDED, (".claude/.credentials.json", "{}")], &[]),
            found(
                &[(
                    ".claude.json",
                    r#"{"hasCompletedOnboarding": true, "oauthAccount": {"emailAddress": "a@b.c"}}"#,
                )],
                &[],
            ),
        ] {
            assert_eq!(login, [("first start", true), ("trust", true), ("login", true)]);
        }
        assert_eq!(claude(&[])[0].what, "home");
    }
}
