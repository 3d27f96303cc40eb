//! What is left over of sessions, as the daemon finds it.

use std::time::Duration;

use ao_api::wire::{Leftover, LeftoverList};
use ao_domain::shell_word;

use super::{Check, Level};
use crate::client::{Ask, Daemon};
use crate::error::CliError;

/// How long the daemon may look through all repositories.
const LOOK: Duration = Duration::from_secs(30);

/// How many are named.
const NAMED: usize = 10;

pub(super) async fn check(daemon: &Daemon) -> Check {
    let ask = Ask::get("/api/v1/leftovers").within(LOOK);
    found(daemon.fetch::<LeftoverList>(ask).await)
}

fn found(asked: Result<LeftoverList, CliError>) -> Check {
    let check = |level, message: String| Check::new(level, "Sessions", "leftovers", message);
    let list = match asked {
        Ok(list) => list,
        Err(error) => return check(Level::Warn, format!("what is left over cannot be told: {error}")),
    };
    let (goes, stays): (Vec<&Leftover>, Vec<&Leftover>) = list.leftovers.iter().partition(|one| one.goes);
    if stays.is_empty() && list.unread.is_empty() {
        return check(
            Level::Pass,
            match goes.len() {
                0 => "nothing is left over".to_owned(),
                count => format!("{count} that the daemon takes back by itself"),
            },
        );
    }
    let mut said = Vec::new();
    let mut remedies = Vec::new();
    // By hand it would lose what git still keeps of it.
    let (held, foreign): (Vec<&Leftover>, Vec<&Leftover>) =
        stays.iter().copied().partition(|one| one.how_to_remove.is_some());
    for (list, what, remedy) in [
        (
            held,
            "of sessions that are over",
            "take them back with ao session cleanup, or ao kill ID",
        ),
        (
            foreign,
            "that ao does not touch",
            "look at each; what you do not need, remove by hand",
        ),
    ] {
        if list.is_empty() {
            continue;
        }
        let named: Vec<String> = list.iter().take(NAMED).map(|one| in_words(one)).collect();
        let more = match list.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more: ao doctor --json"),
        };
        said.push(format!("{} {what}: {}{more}", list.len(), named.join("; ")));
        remedies.push(remedy);
    }
    if let Some(first) = list.unread.first() {
        said.push(format!(
            "{} cannot be looked at, such as {}: {}",
            list.unread.len(),
            first.what,
            first.why
        ));
        remedies.push("where a repository has moved: ao project move PROJECT PATH");
    }
    let details = stays.iter().map(|one| in_words(one));
    let unread = list
        .unread
        .iter()
        .map(|one| format!("{} cannot be looked at: {}", one.what, one.why));
    Check {
        details: details.chain(unread).collect(),
        ..check(Level::Warn, said.join("; ")).with(remedies.join("; "))
    }
}

fn in_words(one: &Leftover) -> String {
    match &one.repo {
        Some(repo) => format!("{} in {} ({})", one.what, shell_word(repo), one.why),
        None => format!("{} ({})", one.what, one.why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(leftovers: &serde_json::Value) -> LeftoverList {
        serde_json::from_value(serde_json::json!({"leftovers": leftovers, "unread": []})).unwrap()
    }

    #[test]
    fn what_goes_by_itself_is_no_warning_and_the_rest_is_named() {
        let none = found(Ok(list(&serde_json::json!([]))));
        assert_eq!(
            (none.level, none.message.as_str()),
            (Level::Pass, "nothing is left over")
        );
        let goes = found(Ok(list(
            &serde_json::json!([{"what": "branch ao/web-1", "why": "w", "goes": true}]),
        )));
        assert_eq!(goes.level, Level::Pass);
        let foreign =
            serde_json::json!([{"what": "branch ao/x-1", "why": "no record", "goes": false, "repo": "/a b"}]);
        let foreign = found(Ok(list(&foreign)));
        assert_eq!(
            (foreign.level, foreign.message.as_str()),
            (
                Level::Warn,
                "1 that ao does not touch: branch ao/x-1 in '/a b' (no record)"
            )
        );
        let held = serde_json::json!([
            {"what": "record of /w", "why": "its session still has it", "goes": false, "howToRemove": "ao kill web-1"},
            {"what": "branch ao/x-1", "why": "no record", "goes": false},
        ]);
        let held = found(Ok(list(&held)));
        assert_eq!(
            held.message,
            "1 of sessions that are over: record of /w (its session still has it); \
             1 that ao does not touch: branch ao/x-1 (no record)"
        );
        let remedy = held.remedy.unwrap();
        assert!(
            remedy.starts_with("take them back with ao session cleanup"),
            "{remedy}"
        );
    }
}
