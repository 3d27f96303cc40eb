//! Where a token comes from.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

/// How long `gh` may take: it reads a file or a keyring.
const GH: Duration = Duration::from_secs(2);

/// Where a token was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Our own variable.
    AoGithubToken,
    /// The usual variable.
    GithubToken,
    /// GitHub's own command line.
    Gh,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AoGithubToken => "AO_GITHUB_TOKEN",
            Self::GithubToken => "GITHUB_TOKEN",
            Self::Gh => "gh auth token",
        })
    }
}

/// A token. Its text is in no `Debug` and no `Display`.
#[derive(Clone)]
pub struct Token {
    text: String,
    source: Source,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.source)
    }
}

impl Token {
    /// The first of `AO_GITHUB_TOKEN`, `GITHUB_TOKEN` and what `gh auth token` says within two seconds, with the variables of `env`.
    /// `None` where there is none. Cancel safe: a `gh` under way is ended.
    pub async fn find(env: &[(String, String)]) -> Option<Self> {
        let value = |name: &str| {
            let found = env.iter().find(|(known, _)| known == name)?;
            let text = found.1.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let named = [
            ("AO_GITHUB_TOKEN", Source::AoGithubToken),
            ("GITHUB_TOKEN", Source::GithubToken),
        ];
        if let Some((text, source)) = named
            .into_iter()
            .find_map(|(name, source)| Some((value(name)?, source)))
        {
            return Some(Self { text, source });
        }
        let text = ask_gh(env).await?;
        Some(Self {
            text,
            source: Source::Gh,
        })
    }

    /// Where it was found.
    pub fn source(&self) -> Source {
        self.source
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.text
    }
}

async fn ask_gh(env: &[(String, String)]) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "asks gh for its token and nothing else, with a deadline"
    )]
    let mut gh = tokio::process::Command::new("gh");
    gh.args(["auth", "token"])
        .env_clear()
        .envs(env.iter().cloned())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let said = tokio::time::timeout(GH, gh.output()).await.ok()?.ok()?;
    let text = String::from_utf8(said.stdout).ok()?;
    let text = text.trim();
    (said.status.success() && !text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[tokio::test]
    async fn our_own_variable_comes_first_and_empty_ones_do_not_count() {
        let found = async |pairs: &[(&str, &str)]| {
            let token = Token::find(&env(pairs)).await;
            token.map(|token| (token.source(), token.reveal().to_owned()))
        };
        assert_eq!(
            found(&[("GITHUB_TOKEN", "b"), ("AO_GITHUB_TOKEN", " a\n")]).await,
            Some((Source::AoGithubToken, "a".to_owned()))
        );
        assert_eq!(
            found(&[("GITHUB_TOKEN", "b"), ("AO_GITHUB_TOKEN", " ")]).await,
            Some((Source::GithubToken, "b".to_owned()))
        );
        assert_eq!(found(&[("PATH", "/nowhere")]).await, None);
    }

    #[tokio::test]
    async fn gh_is_asked_last_and_not_for_long() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let gh = dir.path().join("gh");
        let path = format!("{}:/usr/bin:/bin", dir.path().display());
        let put = |script: &str| {
            std::fs::write(&gh, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&gh, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        put("[ \"$1 $2\" = 'auth token' ] && echo from-gh");
        let token = Token::find(&env(&[("PATH", &path)])).await.unwrap();
        assert_eq!((token.source(), token.reveal()), (Source::Gh, "from-gh"));
        assert_eq!(format!("{token:?}"), "Token(gh auth token)");
        put("echo not logged in >&2; exit 1");
        assert!(Token::find(&env(&[("PATH", &path)])).await.is_none());
        put("exec sleep 1000");
        assert!(Token::find(&env(&[("PATH", &path)])).await.is_none());
    }
}
