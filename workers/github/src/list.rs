//! A repository's pull requests by the REST API, those that changed last first.

use ao_domain::port::forge::{Answer, Entry, Listed, Pool, Refusal};
use ao_domain::{Mergeability, PrFacts, PrRef, PrState, RemoteRepo, Review, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use crate::wire::{Answered, Wire};
use crate::{refusal, remote, seen};

/// How many are asked for at once. Mostly nothing has changed, or a few have.
const PER_PAGE: u32 = 50;

#[derive(Deserialize)]
struct Listing {
    number: u64,
    html_url: String,
    title: String,
    user: Option<User>,
    state: String,
    draft: Option<bool>,
    merged_at: Option<String>,
    updated_at: Timestamp,
    head: End,
    base: End,
}

#[derive(Deserialize)]
struct User {
    login: String,
}

#[derive(Deserialize)]
struct End {
    #[serde(rename = "ref")]
    branch: String,
    sha: String,
    repo: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    full_name: String,
}

/// A page of the pull requests of `repo`, from 1; of the first only what has changed since `validator`.
pub(crate) async fn list(
    wire: &Wire,
    repo: &RemoteRepo,
    page: u32,
    validator: Option<&str>,
) -> Answer<Listed> {
    let nothing = |refusal| Answer {
        said: Err(refusal),
        budget: None,
        sent_at: None,
    };
    let Some((owner, name)) = remote::names(&repo.path).filter(|_| repo.host == wire.host()) else {
        return nothing(Refusal::Gone);
    };
    let path = format!(
        "/repos/{owner}/{name}/pulls?state=all&sort=updated&direction=desc&per_page={PER_PAGE}&page={page}"
    );
    match wire.get(&path, validator.filter(|_| page == 1)).await {
        Ok(answered) => Answer {
            said: read(&answered, repo),
            budget: refusal::budget(&answered, Pool::Single),
            sent_at: refusal::said_at(&answered),
        },
        Err(refusal) => nothing(refusal),
    }
}

fn read(answered: &Answered, repo: &RemoteRepo) -> Result<Listed, Refusal> {
    match answered.status {
        304 => return Ok(Listed::Unchanged),
        200 => {}
        _ => return Err(refusal::of(answered)),
    }
    let Value::Array(listed) = answered.json()? else {
        return Err(Refusal::NotUnderstood("it is no list".to_owned()));
    };
    let count = listed.len();
    let entries: Vec<Entry> = listed
        .into_iter()
        .filter_map(|listing| entry(repo, serde_json::from_value(listing).ok()?))
        .collect();
    Ok(Listed::Page {
        validator: answered.head("etag").map(str::to_owned),
        skipped: count - entries.len(),
        entries,
        more: answered
            .head("link")
            .is_some_and(|links| links.contains("rel=\"next\"")),
    })
}

/// What the list says of one. A state that is not known makes it none.
fn entry(repo: &RemoteRepo, listing: Listing) -> Option<Entry> {
    // A repository that was renamed answers under its old name with its new one: what lies in it lies in it.
    let base_repo = listing
        .base
        .repo
        .as_ref()
        .map(|repo| repo.full_name.to_lowercase());
    let state = match listing.state.as_str() {
        _ if listing.merged_at.is_some() => PrState::Merged,
        "closed" => PrState::Closed,
        "open" if listing.draft.unwrap_or_default() => PrState::Draft,
        "open" => PrState::Open,
        _ => return None,
    };
    Some(Entry {
        updated_at: listing.updated_at,
        facts: PrFacts {
            at: PrRef {
                repo: repo.clone(),
                number: listing.number,
            },
            url: listing.html_url,
            title: listing.title,
            author: listing
                .user
                .map_or_else(|| seen::NOBODY.to_owned(), |user| user.login),
            state,
            head_branch: listing.head.branch,
            head: listing.head.sha,
            head_repo: listing.head.repo.map(|head| match head.full_name.to_lowercase() {
                name if Some(&name) == base_repo.as_ref() => repo.clone(),
                name => RemoteRepo::new(&repo.host, &name),
            }),
            base_branch: listing.base.branch,
            base: listing.base.sha,
            review: Review::None,
            mergeability: Mergeability::Unknown,
            queued_to_merge: false,
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::testing::{answer, any_json, saying, wire};

    fn listing(number: u64) -> Value {
        json!({
            "number": number, "html_url": format!("https://github.com/acme/web/pull/{number}"), "title": "A title",
            "user": {"login": "me"}, "state": "open", "draft": false, "merged_at": null, "updated_at": "2026-06-24T12:00:00Z",
            "head": {"ref": "ao/web-1", "sha": "aaa", "repo": {"full_name": "Me/Web"}},
            "base": {"ref": "main", "sha": "bbb", "repo": {"full_name": "acme/web"}},
        })
    }

    fn repo() -> RemoteRepo {
        RemoteRepo::new("github.com", "acme/web")
    }

    #[tokio::test]
    async fn a_page_is_read_and_asked_for_again_only_if_it_changed() {
        const LEFT: &str = "x-ratelimit-limit: 5000\r\nx-ratelimit-remaining: 9\r\nx-ratelimit-reset: 1\r\n";
        let body = json!([listing(2), {"number": "?"}, listing(1)]).to_string();
        let heads =
            format!("{LEFT}etag: W/\"v1\"\r\nlink: <https://x>; rel=\"prev\", <https://y>; rel=\"next\"\r\n");
        let unchanged = format!("HTTP/1.1 304 X\r\nconnection: close\r\n{LEFT}\r\n");
        let (at, asked) = saying(vec![answer(200, &heads, &body), unchanged, answer(200, "", "[]")]);
        let wire = wire(&at).await;
        let first = list(&wire, &repo(), 1, None).await;
        assert_eq!(first.budget.unwrap().cost, 1);
        let Listed::Page {
            validator,
            entries,
            more,
            skipped,
        } = first.said.unwrap()
        else {
            panic!("a page is wanted")
        };
        assert_eq!((validator.as_deref(), more, skipped), (Some("W/\"v1\""), true, 1));
        let numbers: Vec<u64> = entries.iter().map(|entry| entry.facts.at.number).collect();
        assert_eq!(numbers, [2, 1]);
        assert_eq!(
            entries[0].facts.head_repo,
            Some(RemoteRepo::new("github.com", "me/web"))
        );
        let again = list(&wire, &repo(), 1, validator.as_deref()).await;
        assert_eq!(
            (again.said.unwrap(), again.budget.unwrap().cost),
            (Listed::Unchanged, 0)
        );
        let second = list(&wire, &repo(), 2, validator.as_deref()).await;
        assert!(matches!(
            second.said.unwrap(),
            Listed::Page {
                more: false,
                validator: None,
                ..
            }
        ));
        let asked = asked.join().unwrap();
        let path = "/repos/acme/web/pulls?state=all&sort=updated&direction=desc&per_page=50&page=";
        assert!(asked[0].starts_with(&format!("GET {path}1 ")) && !asked[0].contains("if-none-match"));
        assert!(asked[1].contains("if-none-match: W/\"v1\""), "{}", asked[1]);
        assert!(asked[2].starts_with(&format!("GET {path}2 ")) && !asked[2].contains("if-none-match"));
    }

    #[test]
    fn each_end_of_a_pull_request_is_told() {
        let state = |change: Value| {
            let mut other = listing(1);
            for (name, value) in change.as_object().unwrap() {
                other[name] = value.clone();
            }
            entry(&repo(), serde_json::from_value(other).ok()?).map(|entry| entry.facts)
        };
        assert_eq!(state(json!({"draft": true})).unwrap().state, PrState::Draft);
        assert_eq!(state(json!({"state": "closed"})).unwrap().state, PrState::Closed);
        let merged = json!({"state": "closed", "merged_at": "2026-06-24T12:00:00Z"});
        assert_eq!(state(merged).unwrap().state, PrState::Merged);
        assert!(state(json!({"state": "?"})).is_none());
        let gone = json!({"user": null, "head": {"ref": "x", "sha": "y", "repo": null}});
        let gone = state(gone).unwrap();
        assert_eq!((gone.author.as_str(), gone.head_repo), ("ghost", None));
    }

    #[tokio::test]
    async fn nothing_is_asked_about_what_is_not_of_this_host() {
        let wire = wire("http://127.0.0.1:1").await;
        for elsewhere in ["other.example/a/b", "github.com/a/b/c", "github.com/a/b?c"] {
            let answer = list(&wire, &elsewhere.parse().unwrap(), 1, None).await;
            assert_eq!(answer.said, Err(Refusal::Gone), "{elsewhere}");
        }
    }

    proptest! {
        #[test]
        fn no_list_is_too_odd(odd in any_json("number|state|head|base|x")) {
            let answered = Answered {
                status: 200,
                heads: hyper::HeaderMap::default(),
                body: odd.to_string().into_bytes(),
            };
            let _ = read(&answered, &repo());
        }
    }
}
