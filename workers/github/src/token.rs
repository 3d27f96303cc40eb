//! Where a token comes from.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use crate::host::{GITHUB, is_enterprise};

/// How long `gh` may take: it reads a file or a keyring.
const GH: Duration = Duration::from_secs(2);

/// Where a token was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Our own variable.
    AoGithubToken,
    /// The usual variable.
    GithubToken,
    /// The one of GitHub's own command line.
    GhToken,
    /// That one's for an enterprise's own server.
    GhEnterpriseToken,
    /// The usual one for such a server.
    GithubEnterpriseToken,
    /// GitHub's own command line.
    Gh,
}

impl Source {
    /// Those that are looked at for GitHub itself, in order.
    const GITHUB: &[Self] = &[Self::AoGithubToken, Self::GithubToken, Self::GhToken];

    /// Those for an enterprise's own server: it is never sent a token that was meant for GitHub.
    const ENTERPRISE: &[Self] = &[Self::GhEnterpriseToken, Self::GithubEnterpriseToken];

    fn of(host: &str) -> &'static [Self] {
        if is_enterprise(host) {
            Self::ENTERPRISE
        } else {
            Self::GITHUB
        }
    }

    /// The variable that is looked at first for `host`.
    pub fn first(host: &str) -> Self {
        Self::of(host)[0]
    }

    /// The variable that people set for `host`, and not for us alone.
    pub fn usual(host: &str) -> Self {
        if is_enterprise(host) {
            Self::GhEnterpriseToken
        } else {
            Self::GithubToken
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::AoGithubToken => "AO_GITHUB_TOKEN",
            Self::GithubToken => "GITHUB_TOKEN",
            Self::GhToken => "GH_TOKEN",
            Self::GhEnterpriseToken => "GH_ENTERPRISE_TOKEN",
            Self::GithubEnterpriseToken => "GITHUB_ENTERPRISE_TOKEN",
            Self::Gh => "gh auth token",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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
    /// The token for `host`, by the variables of `env`: the first of `AO_GITHUB_TOKEN`, `GITHUB_TOKEN` and `GH_TOKEN`, for an
    /// enterprise's own server of `GH_ENTERPRISE_TOKEN` and `GITHUB_ENTERPRISE_TOKEN`, else what `gh auth token` says within two
    /// seconds. What no header could carry counts as none. `None` where there is none. Cancel safe: a `gh` under way is ended.
    pub async fn find(host: &str, env: &[(String, String)]) -> Option<Self> {
        let in_env = Source::of(host).iter().find_map(|source| {
            let (_, value) = env.iter().find(|(name, _)| name == source.name())?;
            Self::of(value, *source)
        });
        match in_env {
            Some(token) => Some(token),
            None => Self::of(&ask_gh(host, env).await?, Source::Gh),
        }
    }

    fn of(text: &str, source: Source) -> Option<Self> {
        let text = text.trim();
        let is_token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_token.then(|| Self {
            text: text.to_owned(),
            source,
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

/// What to type so that `gh` has a token for `host`.
pub fn login(host: &str) -> String {
    if host == GITHUB {
        "gh auth login".to_owned()
    } else {
        format!("gh auth login --hostname {host}")
    }
}

async fn ask_gh(host: &str, env: &[(String, String)]) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "asks gh for its token and nothing else, with a deadline"
    )]
    let mut gh = tokio::process::Command::new("gh");
    gh.args(["auth", "token", "--hostname", host])
        .env_clear()
        .envs(env.iter().cloned())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let said = tokio::time::timeout(GH, gh.output()).await.ok()?.ok()?;
    said.status
        .success()
        .then(|| String::from_utf8(said.stdout).ok())?
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
            let token = Token::find("github.com", &env(pairs)).await;
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
        assert_eq!(
            found(&[("GITHUB_TOKEN", "b\nc"), ("GH_TOKEN", "d")]).await,
            Some((Source::GhToken, "d".to_owned()))
        );
        assert_eq!(found(&[("PATH", "/nowhere")]).await, None);
    }

    #[tokio::test]
    async fn an_enterprises_server_gets_its_own_token_only() {
        let found = async |host: &str, pairs: &[(&str, &str)]| {
            let token = Token::find(host, &env(pairs)).await;
            token.map(|token| token.reveal().to_owned())
        };
        let all = [
            ("AO_GITHUB_TOKEN", "a"),
            ("GITHUB_TOKEN", "b"),
            ("GH_TOKEN", "c"),
            ("GITHUB_ENTERPRISE_TOKEN", "e"),
            ("GH_ENTERPRISE_TOKEN", "d"),
            ("PATH", "/nowhere"),
        ];
        assert_eq!(found("ghe.corp.example", &all).await.as_deref(), Some("d"));
        assert_eq!(found("ghe.corp.example", &all[..4]).await.as_deref(), Some("e"));
        assert_eq!(found("ghe.corp.example", &all[..3]).await, None);
        assert_eq!(found("acme.ghe.com", &all).await.as_deref(), Some("a"));
        assert_eq!(found("github.com", &all[3..]).await, None);
    }

    #[tokio::test]
    async fn what_people_are_told_to_set_is_what_is_read() {
        for (host, first, usual, command) in [
            ("github.com", "AO_GITHUB_TOKEN", "GITHUB_TOKEN", "gh auth login"),
            (
                "acme.ghe.com",
                "AO_GITHUB_TOKEN",
                "GITHUB_TOKEN",
                "gh auth login --hostname acme.ghe.com",
            ),
            (
                "ghe.corp.example",
                "GH_ENTERPRISE_TOKEN",
                "GH_ENTERPRISE_TOKEN",
                "gh auth login --hostname ghe.corp.example",
            ),
        ] {
            let told = (
                Source::first(host).to_string(),
                Source::usual(host).to_string(),
                login(host),
            );
            assert_eq!(told, (first.to_owned(), usual.to_owned(), command.to_owned()));
            for variable in [first, usual] {
                let env = env(&[(variable, "t"), ("PATH", "/nowhere")]);
                assert!(Token::find(host, &env).await.is_some(), "{variable} for {host}");
            }
        }
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
        put("[ \"$*\" = 'auth token --hostname github.com' ] && echo from-gh");
        let token = Token::find("github.com", &env(&[("PATH", &path)])).await.unwrap();
        assert_eq!((token.source(), token.reveal()), (Source::Gh, "from-gh"));
        assert_eq!(format!("{token:?}"), "Token(gh auth token)");
        put("echo not logged in >&2; exit 1");
        assert!(
            Token::find("github.com", &env(&[("PATH", &path)]))
                .await
                .is_none()
        );
        put("exec sleep 1000");
        assert!(
            Token::find("github.com", &env(&[("PATH", &path)]))
                .await
                .is_none()
        );
    }
}
