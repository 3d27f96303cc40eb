//! Pull requests on the command line, against a stand-in for the daemon.

use serde_json::{Value, json};

use crate::support::{Asked, Reply, Said, StandIn, World};

fn pr(id: u64, number: u64, session: &str, ci: &str) -> Value {
    json!({
        "id": id, "url": format!("https://forge.example/acme/web/pull/{number}"), "number": number, "title": "Tidy up",
        "state": "open", "ci": ci, "failing": [], "review": "none", "mergeability": "unknown", "headBranch": "ao/web-1",
        "baseBranch": "main", "head": "0123456789abcdef", "changedAt": "2026-06-24T12:00:00.000Z", "sessionId": session,
        "projectId": "web", "repository": "forge.example/acme/web", "author": "octo", "queuedToMerge": false,
        "followed": true, "detailedAt": "2026-06-24T12:00:00.000Z", "createdAt": "2026-06-24T11:00:00.000Z",
        "updatedAt": "2026-06-24T12:00:00.000Z",
    })
}

/// Four pull requests of three sessions, one for each way in which checks can stand, and one that was pushed to since.
fn daemon(asked: &Asked) -> Reply {
    let known = [
        pr(1, 7, "web-1", "passing"),
        pr(2, 8, "web-2", "failing"),
        pr(3, 9, "web-2", "pending"),
        {
            let mut pushed = pr(4, 10, "web-4", "passing");
            pushed["outdated"] = json!("a look is still to come");
            pushed
        },
    ];
    let path = asked.line.split(' ').nth(1).unwrap_or_default();
    let of = |session: &str| {
        let prs: Vec<&Value> = known.iter().filter(|pr| pr["sessionId"] == session).collect();
        Reply::Json(200, json!({"sessionId": session, "prs": prs}))
    };
    let refuse = |code: &str, message: &str| {
        let body = json!({"error": "not_found", "code": code, "message": message, "requestId": "r1"});
        Reply::Json(404, body)
    };
    match path.split('?').next().unwrap_or_default() {
        "/api/v1/prs" => Reply::Json(200, json!({"prs": known})),
        "/api/v1/sessions" => Reply::Json(200, json!({"sessions": []})),
        "/api/v1/sessions/web-1/pr" => of("web-1"),
        "/api/v1/sessions/web-2/pr" => of("web-2"),
        "/api/v1/sessions/web-3/pr" => of("web-3"),
        "/api/v1/sessions/web-4/pr" => of("web-4"),
        "/api/v1/projects/web/config" => {
            let body: Value = serde_json::from_str(&asked.body).expect("JSON is sent");
            let project = json!({"id": "web", "name": "web", "path": "/src/web", "kind": "single_repo", "repo": "",
                "defaultBranch": "main", "config": body["config"]});
            Reply::Json(200, json!({"project": project}))
        }
        path => match path
            .strip_prefix("/api/v1/prs/")
            .and_then(|id| id.parse::<usize>().ok())
        {
            Some(id @ 1..=4) => {
                let check = json!({"name": "test", "status": "failed", "conclusion": "failure", "url": "", "required": true,
                    "summary": "", "evidence": "read", "log": asked.line.contains("logs=true").then_some("it broke")});
                let checks = if id == 2 { vec![check] } else { Vec::new() };
                Reply::Json(
                    200,
                    json!({"pr": known[id - 1], "checks": checks, "episodes": []}),
                )
            }
            _ => refuse("SESSION_NOT_FOUND", "there is no such session"),
        },
    }
}

fn outcome(said: &Said) -> String {
    format!("{}\n{}{}", said.code, said.out, said.err)
}

#[test]
fn the_exit_status_of_checks_is_their_verdict() {
    let world = World::new();
    let _daemon = StandIn::serve(&world, daemon);
    let passing = world.ao(&["pr", "checks", "web-1"]);
    assert_eq!(
        outcome(&passing),
        "0\nacme/web#7 Tidy up: checks passing at 0123456\n"
    );
    let failing = world.ao(&["pr", "checks", "#8", "--logs"]);
    assert_eq!(
        outcome(&failing),
        "1\nacme/web#8 Tidy up: checks failing at 0123456\n  [failed]  test  required\n\ntest:\n  | it broke\n\
         1 of the 1 checks of #8 failed\n"
    );
    let pending = world.ao(&["pr", "checks", "https://forge.example/acme/web/pull/9", "--json"]);
    let (printed, error): (Value, Value) = (
        serde_json::from_str(&pending.out).unwrap(),
        serde_json::from_str(&pending.err).unwrap(),
    );
    assert_eq!(
        (pending.code, &printed["pr"]["ci"], &error["code"]),
        (8, &json!("pending"), &json!("CHECKS_PENDING"))
    );
}

#[test]
fn the_verdict_of_the_commit_before_a_push_is_none() {
    let world = World::new();
    let _daemon = StandIn::serve(&world, daemon);
    let why = "how the checks of #10 stand now is not known: a look is still to come";
    let pushed = world.ao(&["pr", "checks", "web-4"]);
    assert_eq!(
        outcome(&pushed),
        format!("8\nacme/web#10 Tidy up: checks passing at 0123456\na look is still to come\n{why}\n")
    );
    let pushed = world.ao(&["pr", "checks", "web-4", "--json"]);
    let (printed, error): (Value, Value) = (
        serde_json::from_str(&pushed.out).unwrap(),
        serde_json::from_str(&pushed.err).unwrap(),
    );
    assert_eq!(
        (
            pushed.code,
            &printed["pr"]["outdated"],
            &error["code"],
            &error["message"]
        ),
        (
            8,
            &json!("a look is still to come"),
            &json!("CHECKS_PENDING"),
            &json!(why)
        )
    );
}

#[test]
fn a_name_that_is_not_one_pull_requests_is_refused_with_those_there_are() {
    let world = World::new();
    let _daemon = StandIn::serve(&world, daemon);
    let several = world.ao(&["pr", "get", "web-2"]);
    assert_eq!(
        outcome(&several),
        "1\nweb-2 has 2 pull requests\nname one by its id: 2 (acme/web#8, open), 3 (acme/web#9, open)\n"
    );
    let none = world.ao(&["pr", "get", "web-3"]);
    assert_eq!(
        outcome(&none),
        "1\nweb-3 has no pull request that is known\nsee which there are: ao pr ls --all\n"
    );
    let of_forge = world.ao(&["pr", "get", "8"]);
    assert_eq!(
        outcome(&of_forge),
        "1\nthere is no pull request 8\ndid you mean 2 (acme/web#8)? all of them: ao pr ls --all\n"
    );
    let misnamed = world.ao(&["pr", "get", "web"]);
    assert_eq!((misnamed.code, misnamed.out.as_str()), (2, ""), "{misnamed:?}");
    assert!(misnamed.err.contains("see: ao pr get --help"), "{misnamed:?}");
    let gone = world.ao(&["pr", "ls", "--session", "web-9"]);
    assert!(
        gone.code == 1 && gone.err.contains("SESSION_NOT_FOUND"),
        "{gone:?}"
    );
}

#[test]
fn a_projects_setting_is_sent_alone() {
    let world = World::new();
    let daemon = StandIn::serve(&world, daemon);
    let said = world.ao(&["project", "set-config", "web", "--reclaim-on-merge", "on"]);
    assert_eq!(
        outcome(&said),
        "0\nupdated config for project web\n  reclaimOnMerge: true\n"
    );
    let asked = daemon.until_asked("PUT /api/v1/projects/web/config ");
    assert_eq!(asked.body, r#"{"config":{"reclaimOnMerge":true}}"#);
    for wrong in [
        &["web"][..],
        &["web", "--env", "A"],
        &["web", "--config-json", "[]"],
        &["web", "--reclaim-on-merge", "perhaps"],
        &["web", "--reclaim-on-merge"],
    ] {
        let words: Vec<&str> = ["project", "set-config"].iter().chain(wrong).copied().collect();
        assert_eq!(world.ao(&words).code, 2, "{wrong:?}");
    }
}
