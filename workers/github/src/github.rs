//! GitHub as a forge: which repositories are its, and lines to its hosts.

use std::hash::{BuildHasher as _, RandomState};

use ao_domain::port::PortFuture;
use ao_domain::port::forge::{Answer, Detail, Failure, Forge, Light, Line, Listed, NoLine, Refusal};
use ao_domain::{PrRef, RemoteRepo};

use crate::batch::{Unread, answers};
use crate::evidence::evidence;
use crate::host::{BadHosts, Hosts};
use crate::list::list;
use crate::query::{Look, Question};
use crate::wire::{Patience, Wire};
use crate::{Source, Token, login, remote, seen};

/// GitHub: `github.com`, the tenants of `ghe.com`, and the hosts that `AO_GITHUB_HOSTS` names.
#[derive(Clone)]
pub struct GitHub {
    hosts: Hosts,
    env: Vec<(String, String)>,
    /// Tokens are told apart by what they come to with it, which nobody outside can work out.
    key: RandomState,
    patience: Patience,
}

impl GitHub {
    /// GitHub as the variables of `env` have it. Looks at nothing outside.
    ///
    /// # Errors
    /// When `AO_GITHUB_HOSTS` names a host in a way that is not understood.
    pub fn new(env: Vec<(String, String)>) -> Result<Self, BadHosts> {
        Ok(Self {
            hosts: Hosts::read(&env)?,
            env,
            key: RandomState::new(),
            patience: Patience::USUAL,
        })
    }

    /// The same, with another patience: its lines wait for so long.
    #[must_use]
    pub fn patient(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }
}

impl Forge for GitHub {
    fn repository(&self, remote: &str) -> Option<RemoteRepo> {
        let (host, path) = remote::parse(remote)?;
        Some(RemoteRepo::new(&self.hosts.get(host)?.name, &path))
    }

    fn line<'a>(&'a self, host: &'a str) -> PortFuture<'a, Result<Box<dyn Line>, NoLine>> {
        Box::pin(async move {
            let known = self.hosts.get(host).ok_or_else(|| {
                NoLine::Refused(format!("`{host}` is not known: name it in AO_GITHUB_HOSTS"))
            })?;
            let name = known.name.clone();
            let token = Token::find(&name, &self.env).await.ok_or_else(|| {
                NoLine::NoToken(format!(
                    "no token for {name}: set {} or run `{}`",
                    Source::usual(&name),
                    login(&name)
                ))
            })?;
            let wire = Wire::new(known, &token, self.patience).map_err(NoLine::Refused)?;
            Ok(Box::new(GitHubLine {
                wire,
                source: token.source().to_string(),
                credentials: self.key.hash_one(token.reveal()),
            }) as Box<dyn Line>)
        })
    }
}

/// A host of GitHub's, and a token.
struct GitHubLine {
    wire: Wire,
    source: String,
    credentials: u64,
}

impl GitHubLine {
    async fn ask<T>(
        &self,
        question: &Question,
        read: impl Fn(usize, serde_json::Value, Option<Unread>) -> Result<T, Refusal>,
    ) -> Answer<Vec<Result<T, Refusal>>> {
        if question.is_empty() {
            return Answer {
                said: Ok(question.places.iter().map(|_| Err(Refusal::Gone)).collect()),
                budget: None,
                sent_at: None,
            };
        }
        answers(self.wire.post(&question.json).await, question, read)
    }
}

impl Line for GitHubLine {
    fn source(&self) -> String {
        self.source.clone()
    }

    fn credentials(&self) -> u64 {
        self.credentials
    }

    fn list<'a>(
        &'a self,
        repo: &'a RemoteRepo,
        page: u32,
        validator: Option<&'a str>,
    ) -> PortFuture<'a, Answer<Listed>> {
        Box::pin(list(&self.wire, repo, page, validator))
    }

    fn light<'a>(&'a self, prs: &'a [PrRef]) -> PortFuture<'a, Answer<Vec<Result<Light, Refusal>>>> {
        Box::pin(async move {
            let question = Question::new(self.wire.host(), Look::Light, prs.iter().map(|pr| (pr, None)));
            self.ask(&question, |_, said, _| seen::light(said)).await
        })
    }

    fn detail<'a>(
        &'a self,
        asked: &'a [(PrRef, Option<String>)],
    ) -> PortFuture<'a, Answer<Vec<Result<Detail, Refusal>>>> {
        Box::pin(async move {
            let prs = asked.iter().map(|(pr, after)| (pr, after.as_deref()));
            let question = Question::new(self.wire.host(), Look::Detail, prs);
            self.ask(&question, |index, said, unread| {
                seen::detail(&asked[index].0, said, unread)
            })
            .await
        })
    }

    fn evidence<'a>(&'a self, repo: &'a RemoteRepo, attempt: &'a str) -> PortFuture<'a, Answer<Failure>> {
        Box::pin(evidence(&self.wire, repo, attempt))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{answer, env, line, saying};

    #[tokio::test]
    async fn a_line_says_whose_token_it_has_or_what_to_do() {
        let github = GitHub::new(vec![
            ("AO_GITHUB_HOSTS".to_owned(), "ghe.corp.example".to_owned()),
            ("GITHUB_TOKEN".to_owned(), "t0ken".to_owned()),
            ("PATH".to_owned(), "/nowhere".to_owned()),
        ])
        .unwrap();
        assert_eq!(
            github.line("github.com").await.ok().unwrap().source(),
            "GITHUB_TOKEN"
        );
        assert_eq!(
            github.line("ghe.corp.example").await.err().unwrap(),
            NoLine::NoToken(
                "no token for ghe.corp.example: set GH_ENTERPRISE_TOKEN or run `gh auth login --hostname ghe.corp.example`"
                    .to_owned()
            )
        );
        let unknown = github.line("gitlab.com").await.err().unwrap();
        assert!(matches!(unknown, NoLine::Refused(_)), "{unknown:?}");
    }

    #[test]
    fn a_repository_is_ours_where_its_host_is_known() {
        let github = GitHub::new(vec![]).unwrap();
        let known = |remote: &str| github.repository(remote).map(|repo| repo.to_string());
        assert_eq!(
            known("ssh://git@ssh.github.com:443/Acme/Web.git").as_deref(),
            Some("github.com/acme/web")
        );
        assert_eq!(known("git@Acme.ghe.com:x/y").as_deref(), Some("acme.ghe.com/x/y"));
        assert_eq!(known("git@ghe.corp.example:x/y"), None);
        assert!(GitHub::new(env("ftp://x")).is_err());
    }

    #[tokio::test]
    async fn a_question_about_many_is_one() {
        let seen = json!({
            "state": "OPEN", "isDraft": false, "title": "t", "headRefOid": "a", "baseRefName": "main", "baseRefOid": "b",
            "mergeable": "MERGEABLE", "mergeStateStatus": "CLEAN", "isInMergeQueue": false,
        });
        let mut whole = seen.clone();
        whole["url"] = json!("https://u");
        whole["headRefName"] = json!("x");
        let body = |seen| json!({"data": {"r0": {"p0": seen, "p1": null}}}).to_string();
        let (at, asked) = saying(vec![
            answer(200, "", &body(seen)),
            answer(200, "", &body(whole)),
            answer(502, "", ""),
        ]);
        let line = line(&at).await;
        let pr = |number| PrRef {
            repo: RemoteRepo::new("github.com", "acme/web"),
            number,
        };
        let light = line.light(&[pr(1), pr(2)]).await.said.unwrap();
        assert_eq!(light[1], Err(Refusal::Gone));
        let detail = line
            .detail(&[(pr(1), None), (pr(2), Some("c".to_owned()))])
            .await
            .said
            .unwrap();
        assert_eq!(
            light[0].as_ref().unwrap().fingerprint,
            detail[0].as_ref().unwrap().fingerprint
        );
        assert_eq!(detail[0].as_ref().unwrap().facts.at, pr(1));
        assert!(matches!(line.light(&[pr(1)]).await.said, Err(Refusal::Late(_))));
        assert_eq!(line.light(&[]).await.said, Ok(vec![]));
        let asked = asked.join().unwrap();
        assert!(
            asked[1].starts_with("POST /graphql ") && asked[1].contains("\"c1\":\"c\""),
            "{}",
            asked[1]
        );
    }
}
