//! The hosts that the daemon reads pull requests from, in words: how the token stands, who spent what, and what to do about it.

use ao_api::wire::{Budget, Gateway, GatewayList, Notice, NoticeList, TokenState};
use ao_domain::Timestamp;
use ao_domain::foreign_text::in_line;
use ao_github::{Source, login};
use serde::de::DeserializeOwned;

use crate::client::{Ask, Daemon};
use crate::duration;
use crate::error::CliError;

/// How much of what a host said stands in a line, in characters.
const LINE: usize = 300;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grade {
    /// As it should be.
    Fine,
    /// Pull requests are not looked at, or not for long.
    Odd,
    /// Pull requests are not looked at until a person does something.
    Broken,
}

/// How a host stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// How bad that is.
    pub(crate) grade: Grade,
    /// In one line, with its name before it.
    pub(crate) line: String,
    /// What to do about it, where something can be done or has to be known.
    pub(crate) remedy: Option<String>,
}

/// How `gateway` stands at `now`.
pub(crate) fn standing(gateway: &Gateway, now: Timestamp) -> Standing {
    let mut parts = vec![token(gateway)];
    let budgets = [
        ("points", &gateway.budgets.batch),
        ("requests", &gateway.budgets.single),
    ];
    let spent = budgets
        .iter()
        .filter(|(_, budget)| budget.limit > 0)
        .map(|(what, budget)| spending(what, budget, now));
    parts.extend(spent);
    if let Some(until) = gateway.cool_until {
        let wait = duration::age(until.since(now));
        parts.push(format!("nothing is asked until {until} (for {wait})"));
    }
    let is_token = matches!(gateway.token, TokenState::Missing | TokenState::Refused);
    if let Some(trouble) = gateway.trouble.as_ref().filter(|_| !is_token) {
        parts.push(in_line(trouble, LINE));
    }
    let host = gateway.host.as_str();
    let half = budgets.iter().find(|(_, budget)| budget.warns);
    let (grade, remedy) = match gateway.token {
        TokenState::Missing => (Grade::Odd, Some(for_a_token(host, None))),
        TokenState::Refused => (Grade::Broken, Some(for_a_token(host, variable(gateway)))),
        TokenState::Unknown | TokenState::Accepted => {
            if gateway.cool_until.is_some() {
                (
                    Grade::Odd,
                    Some("it goes on by itself; others with the same token have to wait as well".to_owned()),
                )
            } else if gateway.trouble.is_some() {
                // One that may not be asked at all says itself what is missing.
                let remedy = "it tries again by itself: see that the network is there";
                let is_asked = gateway.token == TokenState::Accepted
                    || (gateway.source.is_some() && gateway.answered_at.is_none());
                (Grade::Odd, is_asked.then(|| remedy.to_owned()))
            } else if let Some((_, budget)) = half {
                let shared = budget.others > budget.ours;
                let remedy = format!(
                    "others spend most of it: give ao a token of another account, {} for the daemon",
                    Source::first(host)
                );
                (Grade::Odd, shared.then_some(remedy))
            } else {
                (Grade::Fine, None)
            }
        }
    };
    Standing {
        grade,
        line: format!("{}: {}", gateway.host, parts.join("; ")),
        remedy,
    }
}

/// What a person has to do at once, if anything: why, and what to type.
pub(crate) fn wants(gateway: &Gateway) -> Option<(String, String)> {
    let why = format!("{}: pull requests are not watched", token(gateway));
    match (gateway.token, variable(gateway)) {
        (TokenState::Unknown | TokenState::Accepted, _) => None,
        // It comes before what `gh` has, and only whoever starts the daemon can set it.
        (TokenState::Refused, Some(_)) => Some((why, "ao doctor".to_owned())),
        (TokenState::Missing | TokenState::Refused, _) => Some((why, login(&gateway.host))),
    }
}

/// The variable that the token is in, where it is in one.
fn variable(gateway: &Gateway) -> Option<&str> {
    let source = gateway.source.as_deref();
    source.filter(|source| *source != Source::Gh.to_string())
}

/// What to do so that `host` takes a token; `refused` is the variable of one that it does not take.
pub(crate) fn for_a_token(host: &str, refused: Option<&str>) -> String {
    match refused {
        Some(variable) => format!(
            "set another {} for the daemon, and start it again",
            in_line(variable, LINE)
        ),
        None => format!(
            "{}, or set {} for the daemon, and start it again",
            login(host),
            Source::usual(host)
        ),
    }
}

fn token(gateway: &Gateway) -> String {
    let source = gateway
        .source
        .as_ref()
        .map_or_else(String::new, |source| format!(" ({})", in_line(source, LINE)));
    match gateway.token {
        TokenState::Unknown => format!("token not tried yet{source}"),
        TokenState::Missing => "no token was found".to_owned(),
        TokenState::Refused => format!("the token was refused{source}"),
        TokenState::Accepted => format!("token accepted{source}"),
    }
}

fn spending(what: &str, budget: &Budget, now: Timestamp) -> String {
    let Some(resets_at) = budget.resets_at else {
        return format!("{what}: none spent of {}", budget.limit);
    };
    let half = if budget.warns {
        ", more than half is spent"
    } else {
        ""
    };
    format!(
        "{what}: {} by us and {} by others of {}, anew in {}{half}",
        budget.ours,
        budget.others,
        budget.limit,
        duration::age(resets_at.since(now))
    )
}

/// The hosts where something is watched now.
///
/// # Errors
/// When the daemon cannot be asked.
pub(crate) async fn fetch(daemon: &Daemon) -> Result<Vec<Gateway>, CliError> {
    let list: Option<GatewayList> = if_known(daemon, "/api/v1/gateways").await?;
    Ok(list.map(|list| list.gateways).unwrap_or_default())
}

/// What a person should look at.
///
/// # Errors
/// When the daemon cannot be asked.
pub(crate) async fn notices(daemon: &Daemon) -> Result<Vec<Notice>, CliError> {
    let list: Option<NoticeList> = if_known(daemon, "/api/v1/notices").await?;
    Ok(list.map(|list| list.notices).unwrap_or_default())
}

/// A daemon of an earlier version knows nothing of these, and is no less there for it.
async fn if_known<T: DeserializeOwned>(daemon: &Daemon, path: &str) -> Result<Option<T>, CliError> {
    match daemon.fetch(Ask::get(path)).await {
        Ok(list) => Ok(Some(list)),
        Err(CliError::Refused { body, .. }) if body.code == "ROUTE_NOT_FOUND" => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A host as the daemon would answer it, with `change` made to its JSON.
    pub(crate) fn gateway(change: &Value) -> Gateway {
        let mut text = json!({
            "host": "forge.example", "token": "accepted", "source": "gh auth token",
            "budgets": {
                "batch": {"limit": 5_000, "left": 4_700, "ours": 120, "others": 180, "resetsAt": "2026-06-24T12:30:00.000Z",
                    "warns": false},
                "single": {"limit": 0, "left": 0, "ours": 0, "others": 0, "warns": false},
            },
            "answeredAt": "2026-06-24T12:00:00.000Z",
        });
        for (key, value) in change.as_object().unwrap() {
            text[key] = value.clone();
        }
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn a_host_says_how_it_stands_and_what_to_do() {
        let now = "2026-06-24T12:05:00.000Z".parse().unwrap();
        let spent = |ours: u32, others: u32| {
            json!({
                "batch": {"limit": 5_000, "left": 2_000, "ours": ours, "others": others,
                    "resetsAt": "2026-06-24T12:30:00.000Z", "warns": true},
                "single": {"limit": 5_000, "left": 5_000, "ours": 0, "others": 0, "warns": false},
            })
        };
        let said: Vec<String> = [
            json!({}),
            json!({"token": "unknown", "source": null}),
            json!({"budgets": spent(2_900, 100)}),
            json!({"budgets": spent(100, 2_900)}),
            json!({"coolUntil": "2026-06-24T12:06:00.000Z", "trouble": "secondary rate limit\u{1b}[2J"}),
            json!({"trouble": "the forge cannot be asked: no route to host"}),
            json!({"token": "missing", "source": null, "trouble": "no token was found"}),
            json!({"token": "refused", "trouble": "the token was refused"}),
            json!({"token": "refused", "host": "github.com"}),
            json!({"token": "refused", "host": "github.com", "source": "AO_GITHUB_TOKEN"}),
            json!({"token": "missing", "host": "acme.ghe.com", "source": null}),
            json!({"budgets": spent(100, 2_900), "host": "acme.ghe.com"}),
        ]
        .iter()
        .map(|change| {
            let gateway = gateway(change);
            let stands = standing(&gateway, now);
            let wants =
                wants(&gateway).map_or_else(String::new, |(why, command)| format!("\n  {why}: {command}"));
            let remedy = stands
                .remedy
                .map_or_else(String::new, |remedy| format!("\n  {remedy}"));
            format!("{:?} {}{remedy}{wants}", stands.grade, stands.line)
        })
        .collect();
        expect_test::expect![[r#"
            Fine forge.example: token accepted (gh auth token); points: 120 by us and 180 by others of 5000, anew in 25m
            Fine forge.example: token not tried yet; points: 120 by us and 180 by others of 5000, anew in 25m
            Odd forge.example: token accepted (gh auth token); points: 2900 by us and 100 by others of 5000, anew in 25m, more than half is spent; requests: none spent of 5000
            Odd forge.example: token accepted (gh auth token); points: 100 by us and 2900 by others of 5000, anew in 25m, more than half is spent; requests: none spent of 5000
              others spend most of it: give ao a token of another account, GH_ENTERPRISE_TOKEN for the daemon
            Odd forge.example: token accepted (gh auth token); points: 120 by us and 180 by others of 5000, anew in 25m; nothing is asked until 2026-06-24T12:06:00.000Z (for 1m); secondary rate limit␛[2J
              it goes on by itself; others with the same token have to wait as well
            Odd forge.example: token accepted (gh auth token); points: 120 by us and 180 by others of 5000, anew in 25m; the forge cannot be asked: no route to host
              it tries again by itself: see that the network is there
            Odd forge.example: no token was found; points: 120 by us and 180 by others of 5000, anew in 25m
              gh auth login --hostname forge.example, or set GH_ENTERPRISE_TOKEN for the daemon, and start it again
              no token was found: pull requests are not watched: gh auth login --hostname forge.example
            Broken forge.example: the token was refused (gh auth token); points: 120 by us and 180 by others of 5000, anew in 25m
              gh auth login --hostname forge.example, or set GH_ENTERPRISE_TOKEN for the daemon, and start it again
              the token was refused (gh auth token): pull requests are not watched: gh auth login --hostname forge.example
            Broken github.com: the token was refused (gh auth token); points: 120 by us and 180 by others of 5000, anew in 25m
              gh auth login, or set GITHUB_TOKEN for the daemon, and start it again
              the token was refused (gh auth token): pull requests are not watched: gh auth login
            Broken github.com: the token was refused (AO_GITHUB_TOKEN); points: 120 by us and 180 by others of 5000, anew in 25m
              set another AO_GITHUB_TOKEN for the daemon, and start it again
              the token was refused (AO_GITHUB_TOKEN): pull requests are not watched: ao doctor
            Odd acme.ghe.com: no token was found; points: 120 by us and 180 by others of 5000, anew in 25m
              gh auth login --hostname acme.ghe.com, or set GITHUB_TOKEN for the daemon, and start it again
              no token was found: pull requests are not watched: gh auth login --hostname acme.ghe.com
            Odd acme.ghe.com: token accepted (gh auth token); points: 100 by us and 2900 by others of 5000, anew in 25m, more than half is spent; requests: none spent of 5000
              others spend most of it: give ao a token of another account, AO_GITHUB_TOKEN for the daemon"#]].assert_eq(&said.join("\n"));
    }
}
