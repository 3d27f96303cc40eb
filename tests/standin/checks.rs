//! Checks as both interfaces show them, and the logs of jobs.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ao_tests::github::{Annotation, Check, Fault, Log, Pull, Resource, Side, Step, Where};
use ao_tests::{Answer, Http};
use expect_test::expect;
use serde_json::{Value, json};

use crate::stage::{PATIENCE, Stage, sha};

/// One open pull request with everything on it, and a merged one.
pub(crate) fn full(stage: &Stage) -> u64 {
    let github = &stage.github;
    let mut pull = Pull::of("ao/web-1", &sha('a'));
    pull.in_merge_queue = true;
    github.open_pr("acme/web", pull);
    github.open_pr("acme/web", Pull::of("ao/web-2", &sha('b')));
    github.merge("acme/web", 2);
    let check = github.check("acme/web", &sha('a'), Check::job("test"));
    github.output(check, Some("title"), Some("summary"), Some("text"));
    let mut annotation = Annotation::failure("src/lib.rs", 7, "expected `;`");
    annotation.title = Some("error".to_owned());
    github.annotate(check, annotation);
    github.finish(check, "FAILURE");
    github.status("acme/web", &sha('a'), "deploy", "PENDING", "on its way");
    github.review("acme/web", 1, "hubot", "CHANGES_REQUESTED", "No.");
    let thread = github.thread("acme/web", 1, "src/lib.rs", Some(7));
    github.comment("acme/web", 1, thread, "review[bot]", "Why?");
    check
}

/// The state of the whole, and each context as `name state`.
fn rollup(stage: &Stage) -> String {
    let rollup = &stage.pull(
        "statusCheckRollup { state contexts(first: 100) {
            totalCount checkRunCount statusContextCount
            checkRunCountsByState { state count } statusContextCountsByState { state count }
            nodes { __typename ... on CheckRun { name status conclusion } ... on StatusContext { context state } } } }",
    )["statusCheckRollup"];
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let contexts = &rollup["contexts"];
    let mut text = format!(
        "{}: {} = {} + {}\n",
        word(&rollup["state"]),
        contexts["totalCount"],
        contexts["checkRunCount"],
        contexts["statusContextCount"]
    );
    for kind in ["checkRunCountsByState", "statusContextCountsByState"] {
        for count in contexts[kind].as_array().unwrap() {
            text += &format!("{} {}, ", count["count"], word(&count["state"]));
        }
    }
    for node in contexts["nodes"].as_array().unwrap() {
        text += &match node["__typename"].as_str().unwrap() {
            "CheckRun" => {
                let [name, status, conclusion] = ["name", "status", "conclusion"].map(|key| word(&node[key]));
                format!("\n{name} {status} {conclusion}")
            }
            kind => format!("\n{kind} {} {}", word(&node["context"]), word(&node["state"])),
        };
    }
    text
}

#[test]
fn a_rollup_follows_its_checks() {
    let stage = Stage::new();
    let github = &stage.github;
    github.open_pr("acme/web", Pull::of("ao/web-1", &sha('a')));
    assert_eq!(
        stage.pull("statusCheckRollup { state }"),
        json!({"statusCheckRollup": null})
    );
    let test = github.check("acme/web", &sha('a'), Check::job("test"));
    let lint = github.check("acme/web", &sha('a'), Check::by("linter", "lint"));
    github.status("acme/web", &sha('a'), "deploy", "PENDING", "");
    github.begin(test);
    expect![[r#"
        PENDING: 3 = 2 + 1
        1 IN_PROGRESS, 1 QUEUED, 1 PENDING, 
        test IN_PROGRESS -
        lint QUEUED -
        StatusContext deploy PENDING"#]]
    .assert_eq(&rollup(&stage));
    github.finish(test, "FAILURE");
    github.finish(lint, "NEUTRAL");
    github.status("acme/web", &sha('a'), "deploy", "SUCCESS", "");
    expect![[r#"
        FAILURE: 3 = 2 + 1
        1 FAILURE, 1 NEUTRAL, 1 SUCCESS, 
        test COMPLETED FAILURE
        lint COMPLETED NEUTRAL
        StatusContext deploy SUCCESS"#]]
    .assert_eq(&rollup(&stage));
    let again = github.rerun(test);
    github.finish(again, "SUCCESS");
    expect![[r#"
        SUCCESS: 3 = 2 + 1
        1 NEUTRAL, 1 SUCCESS, 1 SUCCESS, 
        lint COMPLETED NEUTRAL
        test COMPLETED SUCCESS
        StatusContext deploy SUCCESS"#]]
    .assert_eq(&rollup(&stage));
    // Another commit has none of it.
    github.push("acme/web", "ao/web-1", &sha('c'));
    assert_eq!(
        stage.pull("statusCheckRollup { state }"),
        json!({"statusCheckRollup": null})
    );
}

#[test]
fn another_run_of_a_workflow_leaves_the_one_before_it_in_the_list() {
    let stage = Stage::new();
    stage.github.open_pr("acme/web", Pull::of("ao/web-1", &sha('a')));
    let mut ids = Vec::new();
    for (run, conclusion) in [(1, "CANCELLED"), (2, "SUCCESS")] {
        let check = Check {
            run,
            ..Check::job("test")
        };
        let id = stage.github.check("acme/web", &sha('a'), check);
        stage.github.finish(id, conclusion);
        ids.push(id);
    }
    let pull = stage.pull(
        "statusCheckRollup { state contexts(first: 9) { nodes { ... on CheckRun { databaseId conclusion checkSuite {
            app { slug databaseId } workflowRun { databaseId runNumber event workflow { name } } } } } } }",
    );
    let nodes = &pull["statusCheckRollup"]["contexts"]["nodes"];
    assert_eq!(pull["statusCheckRollup"]["state"], "FAILURE");
    for (at, run) in [(0, 1), (1, 2)] {
        let suite = &nodes[at]["checkSuite"];
        assert_eq!(nodes[at]["databaseId"], ids[at]);
        assert_eq!(
            suite["app"],
            json!({"slug": "github-actions", "databaseId": 15368})
        );
        assert_eq!(suite["workflowRun"]["runNumber"], run);
        assert_eq!(suite["workflowRun"]["workflow"]["name"], "CI");
        assert_eq!(suite["workflowRun"]["event"], "pull_request");
    }
    let runs = [0, 1].map(|at: usize| &nodes[at]["checkSuite"]["workflowRun"]["databaseId"]);
    assert_ne!(runs[0], runs[1]);
}

#[test]
fn an_attempt_that_was_replaced_is_still_there_by_its_id() {
    let stage = Stage::new();
    let first = stage.github.check("acme/web", &sha('a'), Check::job("test"));
    stage.github.finish(first, "FAILURE");
    let second = stage.github.rerun(first);
    let job = |id: u64| stage.get(&format!("/repos/acme/web/actions/jobs/{id}")).json();
    assert_eq!(
        (
            job(first)["run_attempt"].clone(),
            job(first)["conclusion"].clone()
        ),
        (json!(1), json!("failure"))
    );
    assert_eq!(
        (job(second)["run_attempt"].clone(), job(second)["status"].clone()),
        (json!(2), json!("queued"))
    );
    assert_eq!(job(first)["run_id"], job(second)["run_id"]);
}

#[test]
fn a_required_check_is_one_and_holds_up_the_merge() {
    let stage = Stage::new();
    let github = &stage.github;
    github.open_pr("acme/web", Pull::of("ao/web-1", &sha('a')));
    github.require("acme/web", &["test"]);
    let test = github.check("acme/web", &sha('a'), Check::job("test"));
    let lint = github.check("acme/web", &sha('a'), Check::job("lint"));
    github.finish(lint, "FAILURE");
    let fields = "mergeStateStatus statusCheckRollup { contexts(first: 9) { nodes { ... on CheckRun {
        isRequired(pullRequestNumber: 1) } } } }";
    let pull = stage.pull(fields);
    let nodes = &pull["statusCheckRollup"]["contexts"]["nodes"];
    assert_eq!(*nodes, json!([{"isRequired": true}, {"isRequired": false}]));
    assert_eq!(pull["mergeStateStatus"], "BLOCKED");
    // For whose base is not said.
    let answer = stage.ask(
        "{ repository(owner: \"acme\", name: \"web\") { pullRequest(number: 1) { statusCheckRollup {
            contexts(first: 1) { nodes { ... on CheckRun { isRequired } } } } } } }",
    );
    assert_eq!(answer["errors"][0]["type"], "UNPROCESSABLE");
    github.finish(test, "SUCCESS");
    assert_eq!(stage.pull("mergeStateStatus")["mergeStateStatus"], "UNSTABLE");
    github.finish(lint, "SUCCESS");
    assert_eq!(stage.pull("mergeStateStatus")["mergeStateStatus"], "CLEAN");
}

#[test]
fn a_job_has_steps_and_a_check_run_has_output_and_annotations() {
    let stage = Stage::new();
    let check = full(&stage);
    let mut running = Step::new("test", "FAILURE");
    running.conclusion = None;
    stage
        .github
        .steps(check, &[Step::new("set up", "SUCCESS"), running]);
    let job = stage
        .get(&format!("/api/v3/repos/acme/web/actions/jobs/{check}"))
        .json();
    assert_eq!(
        (&job["id"], &job["name"], &job["workflow_name"]),
        (&json!(check), &json!("test"), &json!("CI"))
    );
    assert_eq!(
        (&job["steps"][0]["number"], &job["steps"][0]["conclusion"]),
        (&json!(1), &json!("success"))
    );
    assert_eq!(
        (&job["steps"][1]["status"], &job["steps"][1]["conclusion"]),
        (&json!("in_progress"), &json!(null))
    );
    let run = stage.get(&format!("/repos/acme/web/check-runs/{check}")).json();
    assert_eq!(
        (&run["status"], &run["conclusion"]),
        (&json!("completed"), &json!("failure"))
    );
    assert_eq!(run["output"]["summary"], "summary");
    assert_eq!(run["output"]["annotations_count"], 1);
    let annotations = run["output"]["annotations_url"].as_str().unwrap();
    let annotations = stage
        .get(annotations.strip_prefix(&stage.github.url()).unwrap())
        .json();
    assert_eq!(annotations[0]["message"], "expected `;`");
    assert_eq!(
        (&annotations[0]["start_line"], &annotations[0]["annotation_level"]),
        (&json!(7), &json!("failure"))
    );
    // A check run of another app is no job.
    let other = stage
        .github
        .check("acme/web", &sha('a'), Check::by("linter", "lint"));
    assert_eq!(
        stage.get(&format!("/repos/acme/web/check-runs/{other}")).json()["app"]["slug"],
        "linter"
    );
    for path in ["", "/logs"] {
        assert_eq!(
            stage
                .get(&format!("/repos/acme/web/actions/jobs/{other}{path}"))
                .status,
            404
        );
    }
}

/// Follows the redirect of a job's log, with these headers.
fn download(stage: &Stage, check: u64, headers: &[(&str, &str)]) -> Answer {
    let redirect = stage.get(&format!("/repos/acme/web/actions/jobs/{check}/logs"));
    assert_eq!(redirect.status, 302);
    let location = redirect.header("location").unwrap().to_owned();
    let (host, path) = location.strip_prefix("http://").unwrap().split_once('/').unwrap();
    assert_ne!(host, stage.github.host(), "it is another host");
    let port = host.split(':').next_back().unwrap().parse().unwrap();
    Http::connect(port, PATIENCE)
        .unwrap()
        .raw("GET", &format!("/{path}"), headers, b"")
        .unwrap()
}

#[test]
fn a_log_is_at_another_host_that_wants_no_token() {
    let stage = Stage::new();
    let check = stage.github.check("acme/web", &sha('a'), Check::job("test"));
    let path = format!("/repos/acme/web/actions/jobs/{check}/logs");
    assert_eq!(stage.get(&path).status, 404, "there is none yet");
    stage.github.log(check, Log::text("line 1\r\nline 2\n"));
    let log = download(&stage, check, &[]);
    assert_eq!(
        (log.status, log.body.as_slice()),
        (200, "line 1\r\nline 2\n".as_bytes())
    );
    assert!(log.header("content-type").unwrap().starts_with("text/plain"));
    assert_eq!(
        stage.github.charged("t0", Resource::Core),
        2,
        "the 404 and the redirect, not the download"
    );
    let request = stage.github.requests().pop().unwrap();
    assert_eq!(
        (request.side, request.authorized, request.cost),
        (Side::Logs, false, 0)
    );
    assert!(stage.github.leaks().is_empty());
    // Only who was sent there gets it.
    let logs = stage.get(&path).header("location").unwrap().to_owned();
    let port = logs.split([':', '/']).nth(4).unwrap().parse().unwrap();
    let unsigned = Http::connect(port, PATIENCE)
        .unwrap()
        .raw("GET", &format!("/logs/{check}"), &[], b"")
        .unwrap();
    assert_eq!(unsigned.status, 403);
}

#[test]
fn a_token_at_the_host_of_the_logs_fails_the_test() {
    let stage = Stage::new();
    let check = stage.github.check("acme/web", &sha('a'), Check::job("test"));
    stage.github.log(check, Log::text("x"));
    let authorization = [("Authorization", "Bearer t0")];
    assert_eq!(download(&stage, check, &authorization).status, 400);
    let leaks = stage.github.leaks();
    assert_eq!((leaks.len(), leaks[0].token.as_deref()), (1, Some("t0")));
    download(&stage, check, &authorization);
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(stage)));
    assert!(dropped.is_err(), "nobody took the second one");
}

#[test]
fn a_long_log_is_made_as_it_is_sent_and_can_break_off() {
    let stage = Stage::new();
    let check = stage.github.check("acme/web", &sha('a'), Check::job("test"));
    stage
        .github
        .log(check, Log::long("compiling\n", 5_000_000, "error: no\n"));
    let log = download(&stage, check, &[]).body;
    assert_eq!(log.len(), 5_000_010);
    assert!(log.starts_with(b"compiling\n") && log.ends_with(b"compiling\nerror: no\n"));
    stage
        .github
        .fault(Where::Path("/logs/".to_owned()), Fault::Status(503), 1);
    assert_eq!(download(&stage, check, &[]).status, 503);
}
