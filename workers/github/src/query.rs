//! The documents that GraphQL is asked with. Whatever comes from outside is a variable of theirs, never a part.

use std::fmt::Write as _;

use ao_domain::PrRef;
use serde_json::{Map, Value, json};

use crate::remote;

/// What a light look is about, and the part of a whole one that is compared with it.
const SEEN: &str = "fragment seen on PullRequest{state isDraft title headRefOid baseRefName baseRefOid reviewDecision mergeable \
                    mergeStateStatus isInMergeQueue}";

/// How many checks there are in which state: all of them, whatever page is asked for.
const COUNTS: &str = "fragment counts on StatusCheckRollupContextConnection{totalCount checkRunCountsByState{state count} \
                      statusContextCountsByState{state count}}";

/// What only a whole look asks for.
const WHOLE: &str = "fragment whole on PullRequest{...seen number url author{login} headRefName headRepository{nameWithOwner}}";

/// A check run.
const RUN: &str = "fragment run on CheckRun{databaseId name status conclusion detailsUrl url startedAt completedAt title summary \
                   checkSuite{app{slug} workflowRun{databaseId event workflow{name}}}}";

/// A commit status.
const STATUS: &str = "fragment status on StatusContext{id context state description targetUrl createdAt}";

/// What it costs, said with every answer.
const BUDGET: &str = "rateLimit{cost limit remaining resetAt used}";

/// Which look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// What has changed.
    Light,
    /// Everything.
    Detail,
}

/// A question about several pull requests.
pub(crate) struct Question {
    /// What is sent.
    pub(crate) json: Value,
    /// Where the answer about each stands: the repository's name in it, then its own. `None` for one that nobody could be asked
    /// about: it is not of this host, or its name or number cannot be one.
    pub(crate) places: Vec<Option<(String, String)>>,
}

impl Question {
    /// About `prs` at `host`, each with where its page of checks begins.
    pub(crate) fn new<'a>(
        host: &str,
        look: Look,
        prs: impl IntoIterator<Item = (&'a PrRef, Option<&'a str>)>,
    ) -> Self {
        let (mut repos, mut places) = (Vec::<(&str, String)>::new(), Vec::new());
        let (mut declared, mut variables) = (String::new(), Map::new());
        for (index, (pr, after)) in prs.into_iter().enumerate() {
            // A number that GraphQL cannot hold would spoil the question for all.
            let number = i32::try_from(pr.number).ok().filter(|_| pr.repo.host == host);
            let (Some(number), Some((owner, name))) = (number, remote::names(&pr.repo.path)) else {
                places.push(None);
                continue;
            };
            let known = repos.iter().position(|(path, _)| *path == pr.repo.path);
            let repo = known.unwrap_or_else(|| {
                let repo = repos.len();
                let _ = write!(declared, "$o{repo}:String!,$n{repo}:String!,"); // writing to a string does not fail
                variables.insert(format!("o{repo}"), json!(owner));
                variables.insert(format!("n{repo}"), json!(name));
                repos.push((&pr.repo.path, String::new()));
                repo
            });
            let _ = write!(declared, "$x{index}:Int!,");
            variables.insert(format!("x{index}"), json!(number));
            if look == Look::Detail {
                let _ = write!(declared, "$c{index}:String,");
                variables.insert(format!("c{index}"), json!(after));
            }
            repos[repo].1 += &part(look, index);
            places.push(Some((format!("r{repo}"), format!("p{index}"))));
        }
        let mut text = format!("query({}){{{BUDGET}", declared.trim_end_matches(','));
        for (repo, (_, parts)) in repos.iter().enumerate() {
            let _ = write!(
                text,
                " r{repo}:repository(owner:$o{repo},name:$n{repo}){{{parts}}}"
            );
        }
        text += "} ";
        text += &match look {
            Look::Light => [SEEN, COUNTS].join(" "),
            Look::Detail => [SEEN, COUNTS, WHOLE, RUN, STATUS].join(" "),
        };
        Self {
            json: json!({"query": text, "variables": variables}),
            places,
        }
    }

    /// Whether there is anything to ask.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.iter().all(Option::is_none)
    }
}

/// What is asked about one pull request.
fn part(look: Look, index: usize) -> String {
    match look {
        Look::Light => format!(
            "p{index}:pullRequest(number:$x{index}){{...seen statusCheckRollup{{state contexts(first:1){{...counts}}}}}}"
        ),
        Look::Detail => format!(
            "p{index}:pullRequest(number:$x{index}){{...whole statusCheckRollup{{state contexts(first:100,after:$c{index}){{...counts \
             nodes{{__typename ...run ...status ...on CheckRun{{isRequired(pullRequestNumber:$x{index})}} \
             ...on StatusContext{{isRequired(pullRequestNumber:$x{index})}}}} pageInfo{{hasNextPage endCursor}}}}}}}}"
        ),
    }
}

/// Every document that can be sent, for few and for many pull requests of several repositories, by a name of its own.
///
/// For those who compare them with GitHub's schema: `tests/schema/validate.mjs`.
pub fn documents() -> Vec<(&'static str, String)> {
    let text = |look, count: u64| {
        let prs: Vec<PrRef> = (0..count)
            .map(|number| PrRef {
                repo: ao_domain::RemoteRepo::new(crate::host::GITHUB, &format!("acme/web-{}", number % 3)),
                number,
            })
            .collect();
        let question = Question::new(crate::host::GITHUB, look, prs.iter().map(|pr| (pr, None)));
        question.json["query"].as_str().unwrap_or_default().to_owned()
    };
    vec![
        ("light of 1", text(Look::Light, 1)),
        ("light of 50", text(Look::Light, 50)),
        ("detail of 1", text(Look::Detail, 1)),
        ("detail of 20", text(Look::Detail, 20)),
    ]
}

#[cfg(test)]
mod tests {
    use ao_domain::RemoteRepo;

    use super::*;

    fn pr(repo: &str, number: u64) -> PrRef {
        PrRef {
            repo: repo.parse::<RemoteRepo>().unwrap(),
            number,
        }
    }

    #[test]
    fn pull_requests_stand_with_their_repository_and_all_values_aside() {
        let prs = [
            pr("github.com/a/b", 1),
            pr("github.com/c/d", 2),
            pr("github.com/a/b", 3),
        ];
        let question = Question::new(
            "github.com",
            Look::Detail,
            prs.iter().map(|pr| (pr, Some("x\"}"))),
        );
        let places: Vec<_> = question.places.iter().flatten().collect();
        let place = |repo: &str, pr: &str| (repo.to_owned(), pr.to_owned());
        assert_eq!(
            places,
            [&place("r0", "p0"), &place("r1", "p1"), &place("r0", "p2")]
        );
        let text = question.json["query"].as_str().unwrap();
        assert!(
            text.starts_with(
                "query($o0:String!,$n0:String!,$x0:Int!,$c0:String,$o1:String!,$n1:String!,$x1:Int!,$c1:String,$x2:Int!,$c2:String)"
            ),
            "{text}"
        );
        assert_eq!(
            question.json["variables"],
            json!({"o0": "a", "n0": "b", "o1": "c", "n1": "d", "x0": 1, "x1": 2, "x2": 3,
                   "c0": "x\"}", "c1": "x\"}", "c2": "x\"}"})
        );
    }

    #[test]
    fn what_cannot_be_one_spoils_nothing() {
        let prs = [
            pr("github.com/a/b", u64::MAX),
            pr("elsewhere.example/a/b", 1),
            pr("github.com/a/b/c", 1),
            pr("github.com/a/%22", 1),
        ];
        let question = Question::new("github.com", Look::Light, prs.iter().map(|pr| (pr, None)));
        assert!(question.is_empty());
        assert_eq!(question.places, [None, None, None, None]);
    }

    #[test]
    fn braces_are_closed_in_every_document() {
        for (name, text) in documents() {
            let count = |c| text.chars().filter(|other| *other == c).count();
            assert_eq!(count('{'), count('}'), "{name}");
            assert_eq!(count('('), count(')'), "{name}");
        }
    }
}
