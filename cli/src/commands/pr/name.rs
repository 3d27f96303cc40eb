//! How a person names a pull request, and which one that is.

use std::str::FromStr;

use ao_api::wire::{PrList, PullRequest, SessionPrs};
use ao_domain::SessionId;

use crate::client::{Ask, Daemon, encoded};
use crate::commands::{project, session};
use crate::error::CliError;
use crate::render::nearest;

/// What a person calls a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PrName {
    /// By its number here.
    Id(u64),
    /// By its number on its forge, and its repository where that is said too.
    Number { repository: Option<String>, number: u64 },
    /// By where a person reads it.
    Url(String),
    /// As the only one of a session.
    Session(SessionId),
}

/// A text that names no pull request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no pull request: write its id (3), '#7', owner/name#7, its URL, or its session (web-1)")]
pub(super) struct NoPrName(String);

impl FromStr for PrName {
    type Err = NoPrName;

    fn from_str(text: &str) -> Result<Self, NoPrName> {
        let no = || NoPrName(text.to_owned());
        if text.contains("://") {
            return Ok(Self::Url(text.to_owned()));
        }
        if let Some((repository, number)) = text.rsplit_once('#') {
            let number = number.parse().ok().filter(|number| *number > 0).ok_or_else(no)?;
            let repository = match repository {
                "" => None,
                path if path.contains('/') && !path.starts_with('/') => Some(path.to_lowercase()),
                _ => return Err(no()),
            };
            return Ok(Self::Number { repository, number });
        }
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        text.parse().map(Self::Session).map_err(|_| no())
    }
}

impl PrName {
    fn fits(&self, pr: &PullRequest) -> bool {
        match self {
            Self::Id(id) => pr.short.id == *id,
            Self::Number { repository, number } => {
                let of_repository = repository.as_ref().is_none_or(|asked| {
                    let rest = pr.repository.strip_suffix(asked.as_str());
                    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
                });
                pr.short.number == *number && of_repository
            }
            // Its pages, such as `…/7/files`, are its own.
            Self::Url(url) => {
                let (url, own) = (url.to_lowercase(), pr.short.url.to_lowercase());
                let rest = url.strip_prefix(own.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
            }
            Self::Session(session) => pr.session_id == *session,
        }
    }

    /// The one of `known` that is meant.
    fn find(&self, known: &[PullRequest]) -> Result<u64, CliError> {
        let found: Vec<&PullRequest> = known.iter().filter(|pr| self.fits(pr)).collect();
        match found[..] {
            [pr] => Ok(pr.short.id),
            [] => Err(CliError::NoPullRequest {
                what: match self {
                    Self::Id(id) => format!("there is no pull request {id}"),
                    Self::Session(session) => format!("{session} has no pull request that is known"),
                    Self::Number { .. } | Self::Url(_) => {
                        format!("no pull request is known as `{}`", self.text())
                    }
                },
                instead: self.instead(known),
            }),
            _ => Err(CliError::SeveralPullRequests {
                what: match self {
                    Self::Session(session) => format!("{session} has {} pull requests", found.len()),
                    _ => format!("`{}` is the name of {} pull requests", self.text(), found.len()),
                },
                which: found
                    .iter()
                    .map(|pr| format!("{} ({}, {})", pr.short.id, on_forge(pr), pr.short.state))
                    .collect::<Vec<_>>()
                    .join(", "),
            }),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Id(id) => id.to_string(),
            Self::Number { repository, number } => {
                format!("{}#{number}", repository.as_deref().unwrap_or_default())
            }
            Self::Url(url) => url.clone(),
            Self::Session(session) => session.to_string(),
        }
    }

    /// What may have been meant by a name that fits none.
    fn instead(&self, known: &[PullRequest]) -> String {
        let names: Vec<String> = match self {
            Self::Number {
                repository: Some(_), ..
            } => known.iter().map(on_forge).collect(),
            Self::Url(_) => known.iter().map(|pr| pr.short.url.clone()).collect(),
            Self::Id(_) | Self::Number { .. } | Self::Session(_) => Vec::new(),
        };
        let near = match self {
            // A number on the forge is not the number here.
            Self::Id(id) => known
                .iter()
                .find(|pr| pr.short.number == *id)
                .map(|pr| format!("{} ({})", pr.short.id, on_forge(pr))),
            _ => nearest(&self.text(), names.iter().map(String::as_str)).map(str::to_owned),
        };
        match near {
            Some(near) => format!("did you mean {near}? all of them: ao pr ls --all"),
            None => "see which there are: ao pr ls --all".to_owned(),
        }
    }
}

/// Its name on its forge: `acme/web#7`.
pub(super) fn on_forge(pr: &PullRequest) -> String {
    let path = pr.repository.split_once('/').map_or("", |(_, path)| path);
    format!("{path}#{}", pr.short.number)
}

/// The number here of the pull request that is meant.
///
/// # Errors
/// When the daemon cannot be asked, or the name fits none or several.
pub(super) async fn resolve(daemon: &Daemon, name: &PrName) -> Result<u64, CliError> {
    let known = match name {
        PrName::Session(id) => {
            let path = format!("/api/v1/sessions/{}/pr", encoded(id.as_str()));
            match daemon.fetch::<SessionPrs>(Ask::get(path)).await {
                Ok(of_session) => of_session.prs,
                Err(error) => return Err(session::with_nearest(daemon, error, id.as_str()).await),
            }
        }
        PrName::Id(_) | PrName::Number { .. } | PrName::Url(_) => list(daemon, None).await?,
    };
    name.find(&known)
}

/// Pull requests, of one project or of all.
///
/// # Errors
/// When the daemon cannot be asked.
pub(super) async fn list(
    daemon: &Daemon,
    project: Option<&ao_domain::ProjectId>,
) -> Result<Vec<PullRequest>, CliError> {
    let query = project
        .map(|id| format!("?project={}", encoded(id.as_str())))
        .unwrap_or_default();
    let list: PrList = daemon.fetch(Ask::get(format!("/api/v1/prs{query}"))).await?;
    if let (Some(project), []) = (project, list.prs.as_slice()) {
        project::must_be(daemon, project).await?;
    }
    Ok(list.prs)
}

#[cfg(test)]
mod tests {
    use super::super::tests::pr;
    use super::*;

    fn found(text: &str) -> String {
        let known = [
            pr(3, 7, &serde_json::json!({})),
            pr(4, 8, &serde_json::json!({"sessionId": "web-2"})),
            pr(
                5,
                7,
                &serde_json::json!({"repository": "forge.example/acme/api", "state": "merged",
                    "url": "https://forge.example/acme/api/pull/7", "sessionId": "web-2"}),
            ),
        ];
        match text.parse::<PrName>().unwrap().find(&known) {
            Ok(id) => id.to_string(),
            Err(error) => error.for_people(),
        }
    }

    #[test]
    fn a_pull_request_has_many_names() {
        for (name, id) in [
            ("3", "3"),
            ("#8", "4"),
            ("acme/web#7", "3"),
            ("Acme/API#7", "5"),
            ("forge.example/acme/api#7", "5"),
            ("https://forge.example/acme/web/pull/7", "3"),
            ("https://Forge.example/acme/web/pull/7/files?w=1", "3"),
            ("web-1", "3"),
        ] {
            assert_eq!(found(name), id, "{name}");
        }
        for text in ["", "#", "#0", "#x", "web#7", "/web#7", "-1", "web", "a b"] {
            assert!(text.parse::<PrName>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_that_fits_none_or_several_says_which_there_are() {
        let said: Vec<String> = [
            "9",
            "8",
            "#9",
            "acme/wbe#7",
            "https://forge.example/acme/web/pull/70",
            "#7",
            "web-2",
            "web-3",
        ]
        .iter()
        .map(|name| format!("{name} -> {}", found(name)))
        .collect();
        expect_test::expect![[r#"
            9 -> there is no pull request 9
            see which there are: ao pr ls --all
            8 -> there is no pull request 8
            did you mean 4 (acme/web#8)? all of them: ao pr ls --all
            #9 -> no pull request is known as `#9`
            see which there are: ao pr ls --all
            acme/wbe#7 -> no pull request is known as `acme/wbe#7`
            did you mean acme/web#7? all of them: ao pr ls --all
            https://forge.example/acme/web/pull/70 -> no pull request is known as `https://forge.example/acme/web/pull/70`
            did you mean https://forge.example/acme/web/pull/7? all of them: ao pr ls --all
            #7 -> `#7` is the name of 2 pull requests
            name one by its id: 3 (acme/web#7, open), 5 (acme/api#7, merged)
            web-2 -> web-2 has 2 pull requests
            name one by its id: 4 (acme/web#8, open), 5 (acme/api#7, merged)
            web-3 -> web-3 has no pull request that is known
            see which there are: ao pr ls --all"#]].assert_eq(&said.join("\n"));
    }
}
