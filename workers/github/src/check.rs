//! A check of a head commit as GraphQL tells of it: a check run of an application, or a commit status.

use ao_domain::{Check, CheckStatus, Evidence, Timestamp};
use serde_json::Value;

/// GitHub's own application: its check runs are jobs, which have steps and logs.
const ACTIONS: &str = "github-actions";

/// How much of what a check says itself is kept, in bytes.
const SUMMARY_MAX: usize = 500;

/// The check that `node` is; `None` where it is none, or has no name. What else is missing in it is left empty.
pub(crate) fn read(node: &Value) -> Option<Check> {
    match text(node, "__typename") {
        "CheckRun" => run(node),
        "StatusContext" => status(node),
        _ => None,
    }
}

fn run(node: &Value) -> Option<Check> {
    let name = named(node, "name")?;
    let suite = &node["checkSuite"];
    let app = text(&suite["app"], "slug");
    let workflow = text(&suite["workflowRun"]["workflow"], "name");
    let event = text(&suite["workflowRun"], "event");
    let id = id(node);
    let status = run_status(text(node, "status"), text(node, "conclusion"));
    let attempt = id.map(|id| match app {
        ACTIONS => format!("job:{id}"),
        _ => format!("run:{id}"),
    });
    let title = [text(node, "title"), text(node, "summary")]
        .into_iter()
        .find(|text| !text.trim().is_empty());
    let in_workflow = |name: &str| match workflow {
        "" => name.to_owned(),
        workflow => format!("{workflow} / {name}"),
    };
    Some(Check {
        // One commit can have the same job for a push and for a pull request: neither stands for the other.
        key: match event {
            "" => format!("{app} / {}", in_workflow(name)),
            event => format!("{app} / {} ({event})", in_workflow(name)),
        },
        name: in_workflow(name),
        status,
        conclusion: text(node, "conclusion").to_lowercase(),
        url: either(node, ["detailsUrl", "url"]),
        evidence: Evidence::Unasked,
        attempt,
        order: id.unwrap_or_default(),
        required: is_required(node),
        summary: short(title.unwrap_or_default()),
        started_at: time(node, "startedAt"),
        completed_at: time(node, "completedAt"),
        step: None,
        log: String::new(),
    })
}

fn status(node: &Value) -> Option<Check> {
    let name = named(node, "context")?;
    let state = text(node, "state");
    let status = match state {
        "SUCCESS" => CheckStatus::Passed,
        "FAILURE" | "ERROR" => CheckStatus::Failed,
        "PENDING" => CheckStatus::InProgress,
        "EXPECTED" => CheckStatus::Queued,
        _ => CheckStatus::Unknown,
    };
    let created_at = time(node, "createdAt");
    let is_over = matches!(status, CheckStatus::Passed | CheckStatus::Failed);
    Some(Check {
        // No application's name has a blank in it.
        key: format!("commit status / {name}"),
        name: name.to_owned(),
        status,
        conclusion: state.to_lowercase(),
        url: text(node, "targetUrl").to_owned(),
        attempt: None,
        order: created_at.map_or(0, |at| at.as_millis().unsigned_abs()),
        required: is_required(node),
        summary: short(text(node, "description")),
        started_at: created_at.filter(|_| !is_over),
        completed_at: created_at.filter(|_| is_over),
        evidence: Evidence::Unasked,
        step: None,
        log: String::new(),
    })
}

/// How a check run stands, from its status and, where it has ended, its conclusion.
fn run_status(status: &str, conclusion: &str) -> CheckStatus {
    match conclusion {
        "SUCCESS" | "NEUTRAL" => CheckStatus::Passed,
        "FAILURE" | "TIMED_OUT" | "ACTION_REQUIRED" | "STARTUP_FAILURE" => CheckStatus::Failed,
        "CANCELLED" => CheckStatus::Cancelled,
        "SKIPPED" | "STALE" => CheckStatus::Skipped,
        "" => match status {
            "QUEUED" | "PENDING" | "REQUESTED" | "WAITING" => CheckStatus::Queued,
            "IN_PROGRESS" => CheckStatus::InProgress,
            _ => CheckStatus::Unknown,
        },
        _ => CheckStatus::Unknown,
    }
}

/// The number of a check run; a newer attempt has a larger one. GraphQL's own numbers may be too small for it, then it is at the
/// end of an address.
fn id(node: &Value) -> Option<u64> {
    let said = &node["databaseId"];
    let said = said.as_u64().or_else(|| said.as_str()?.parse().ok());
    let in_address = |name: &str| {
        let (_, run) = text(node, name).split_once("/actions/runs/")?;
        let (_, job) = run.split_once("/job/")?;
        let digits = job.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    };
    said.or_else(|| in_address("detailsUrl"))
        .or_else(|| in_address("url"))
        .filter(|id| *id > 0)
}

fn is_required(node: &Value) -> bool {
    node["isRequired"].as_bool().unwrap_or_default()
}

/// A text, empty where there is none.
pub(crate) fn text<'a>(node: &'a Value, name: &str) -> &'a str {
    node[name].as_str().unwrap_or_default()
}

/// An instant, where there is one.
pub(crate) fn time(node: &Value, name: &str) -> Option<Timestamp> {
    text(node, name).parse().ok()
}

fn named<'a>(node: &'a Value, name: &str) -> Option<&'a str> {
    Some(text(node, name)).filter(|name| !name.trim().is_empty())
}

fn either(node: &Value, names: [&str; 2]) -> String {
    let found = names
        .into_iter()
        .map(|name| text(node, name))
        .find(|text| !text.is_empty());
    found.unwrap_or_default().to_owned()
}

fn short(text: &str) -> String {
    let text = text.trim();
    text[..text.floor_char_boundary(SUMMARY_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::testing::any_json;

    fn job() -> Value {
        json!({
            "__typename": "CheckRun", "databaseId": 41_000_000_001_u64, "name": "test (stable)", "status": "COMPLETED",
            "conclusion": "FAILURE", "detailsUrl": "https://github.com/a/b/actions/runs/5/job/41000000001", "url": "https://u",
            "startedAt": "2026-06-24T12:00:00Z", "completedAt": "2026-06-24T12:05:00Z", "title": null, "summary": null,
            "isRequired": true,
            "checkSuite": {"app": {"slug": "github-actions"}, "workflowRun": {"databaseId": 5, "event": "push", "workflow": {"name": "ci"}}},
        })
    }

    #[test]
    fn a_job_and_a_run_and_a_status_are_told_apart() {
        let check = read(&job()).unwrap();
        assert_eq!(check.key, "github-actions / ci / test (stable) (push)");
        assert_eq!(check.name, "ci / test (stable)");
        assert_eq!(
            (check.status, check.conclusion.as_str()),
            (CheckStatus::Failed, "failure")
        );
        assert_eq!(check.attempt.as_deref(), Some("job:41000000001"));
        assert_eq!((check.order, check.required), (41_000_000_001, true));
        assert_eq!(
            check.completed_at.unwrap().to_string(),
            "2026-06-24T12:05:00.000Z"
        );

        let mut run = job();
        run["checkSuite"] = json!({"app": {"slug": "codecov"}, "workflowRun": null});
        run["title"] = json!("70 % of the lines");
        let check = read(&run).unwrap();
        assert_eq!(
            (check.key.as_str(), check.name.as_str()),
            ("codecov / test (stable)", "test (stable)")
        );
        assert_eq!(check.attempt.as_deref(), Some("run:41000000001"));
        assert_eq!(check.summary, "70 % of the lines");

        let check = read(&json!({
            "__typename": "StatusContext", "id": "SC_1", "context": "jenkins", "state": "ERROR", "description": "it broke",
            "targetUrl": "https://t", "createdAt": "2026-06-24T12:00:00Z", "isRequired": false,
        }))
        .unwrap();
        assert_eq!(
            (check.key.as_str(), check.name.as_str()),
            ("commit status / jenkins", "jenkins")
        );
        assert_eq!(
            (check.status, check.conclusion.as_str()),
            (CheckStatus::Failed, "error")
        );
        assert_eq!((check.attempt, check.summary.as_str()), (None, "it broke"));
        assert_eq!(
            (check.order, check.url.as_str()),
            (1_782_302_400_000, "https://t")
        );
    }

    #[test]
    fn the_number_is_found_where_graphql_cannot_hold_it() {
        let mut large = job();
        for unheld in [Value::Null, json!("41000000001")] {
            large["databaseId"] = unheld;
            assert_eq!(read(&large).unwrap().attempt.as_deref(), Some("job:41000000001"));
        }
        large["databaseId"] = Value::Null;
        large["detailsUrl"] = json!("https://ci.example/job/5");
        let check = read(&large).unwrap();
        assert_eq!(check.attempt, None);
    }

    #[test]
    fn every_word_has_its_status() {
        use CheckStatus::{Cancelled, Failed, InProgress, Passed, Queued, Skipped, Unknown};
        for (words, wanted) in [
            ("SUCCESS NEUTRAL", Passed),
            ("FAILURE TIMED_OUT ACTION_REQUIRED STARTUP_FAILURE", Failed),
            ("CANCELLED", Cancelled),
            ("SKIPPED STALE", Skipped),
            ("LATER", Unknown),
        ] {
            for word in words.split(' ') {
                assert_eq!(run_status("COMPLETED", word), wanted, "{word}");
            }
        }
        for (words, wanted) in [
            ("QUEUED PENDING REQUESTED WAITING", Queued),
            ("IN_PROGRESS", InProgress),
            ("COMPLETED LATER", Unknown),
        ] {
            for word in words.split(' ') {
                assert_eq!(run_status(word, ""), wanted, "{word}");
            }
        }
        for (word, wanted) in [
            ("SUCCESS", Passed),
            ("FAILURE", Failed),
            ("ERROR", Failed),
            ("PENDING", InProgress),
            ("EXPECTED", Queued),
            ("LATER", Unknown),
        ] {
            let node = json!({"__typename": "StatusContext", "context": "x", "state": word});
            assert_eq!(read(&node).unwrap().status, wanted, "{word}");
        }
    }

    #[test]
    fn what_has_no_name_is_none() {
        for node in [
            Value::Null,
            json!({"__typename": "CheckRun", "name": " "}),
            json!({"__typename": "StatusContext"}),
            json!({"__typename": "Later", "name": "x"}),
        ] {
            assert_eq!(read(&node), None, "{node}");
        }
    }

    proptest! {
        #[test]
        fn no_check_is_too_odd(odd in any_json("name|slug|app|workflow|workflowRun"), field in 0..12_usize) {
            let mut node = job();
            let name = node.as_object().unwrap().keys().nth(field).unwrap().clone();
            node[&name] = odd.clone();
            let _ = read(&node);
            let _ = read(&odd);
        }
    }
}
