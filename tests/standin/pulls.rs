//! Pull requests as both interfaces show them, and what moves them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ao_tests::World;
use ao_tests::github::{GHOST, Home, Pull, Refusal};
use serde_json::{Value, json};

use crate::stage::{Stage, sha};

const FIELDS: &str =
    "number title url state isDraft merged closed mergeable mergeStateStatus reviewDecision headRefName
    headRefOid baseRefName baseRefOid updatedAt author { login } headRepository { nameWithOwner }
    headRepositoryOwner { login } isInMergeQueue mergeQueueEntry { position } isCrossRepository";

#[test]
fn a_pull_request_is_the_same_in_both_interfaces() {
    let stage = Stage::new();
    let pull = Pull {
        draft: true,
        title: "Mend it".to_owned(),
        ..Pull::of("ao/web-1", &sha('a'))
    };
    stage.github.open_pr("acme/web", pull);
    assert_eq!(
        stage.pull(FIELDS),
        json!({
            "number": 1, "title": "Mend it", "url": "https://github.com/acme/web/pull/1", "state": "OPEN",
            "isDraft": true, "merged": false, "closed": false, "mergeable": "MERGEABLE", "mergeStateStatus": "DRAFT",
            "reviewDecision": null, "headRefName": "ao/web-1", "headRefOid": sha('a'), "baseRefName": "main",
            "baseRefOid": "ba5e".repeat(10), "updatedAt": "2025-06-15T15:06:40Z", "author": {"login": "octocat"},
            "headRepository": {"nameWithOwner": "acme/web"}, "headRepositoryOwner": {"login": "acme"},
            "isInMergeQueue": false, "mergeQueueEntry": null, "isCrossRepository": false,
        })
    );
    for rest in [
        stage.get("/repos/acme/web/pulls/1").json(),
        stage.get("/repos/acme/web/pulls").json()[0].clone(),
    ] {
        assert_eq!(
            (&rest["number"], &rest["title"], &rest["draft"]),
            (&json!(1), &json!("Mend it"), &json!(true))
        );
        assert_eq!(rest["html_url"], "https://github.com/acme/web/pull/1");
        assert_eq!(rest["head"]["label"], "acme:ao/web-1");
        assert_eq!(
            (&rest["head"]["sha"], &rest["base"]["ref"]),
            (&json!(sha('a')), &json!("main"))
        );
        assert_eq!(
            (&rest["state"], &rest["merged_at"]),
            (&json!("open"), &json!(null))
        );
        assert_eq!(rest["updated_at"], "2025-06-15T15:06:40Z");
    }
    stage.github.web("http://forge.example");
    assert_eq!(stage.pull("url")["url"], "http://forge.example/acme/web/pull/1");
}

#[test]
fn what_happens_to_it_is_seen() {
    let stage = Stage::new();
    stage.open(1);
    let github = &stage.github;
    let standing = || {
        let pull = stage.pull("state merged closed mergeStateStatus reviewDecision updatedAt");
        let word = |key: &str| pull[key].as_str().unwrap_or("-").to_owned();
        [
            word("state"),
            word("mergeStateStatus"),
            word("reviewDecision"),
            word("updatedAt"),
        ]
        .join(" ")
    };
    let expect = |line: &str| {
        assert_eq!(standing(), line);
        stage.pass(1_000);
    };
    expect("OPEN CLEAN - 2025-06-15T15:06:40Z");
    github.edit("acme/web", 1, |pull| pull.mergeable = "CONFLICTING".to_owned());
    expect("OPEN DIRTY - 2025-06-15T15:06:40Z");
    github.edit("acme/web", 1, |pull| pull.mergeable = "UNKNOWN".to_owned());
    expect("OPEN UNKNOWN - 2025-06-15T15:06:40Z");
    github.edit("acme/web", 1, |pull| {
        pull.mergeable = "MERGEABLE".to_owned();
        pull.title = "News".to_owned();
    });
    expect("OPEN CLEAN - 2025-06-15T15:06:43Z");
    github.review("acme/web", 1, "hubot", "CHANGES_REQUESTED", "No.");
    expect("OPEN BLOCKED CHANGES_REQUESTED 2025-06-15T15:06:44Z");
    github.review("acme/web", 1, "other", "APPROVED", "");
    github.review("acme/web", 1, "hubot", "COMMENTED", "Still not.");
    expect("OPEN BLOCKED CHANGES_REQUESTED 2025-06-15T15:06:45Z");
    github.review("acme/web", 1, "hubot", "APPROVED", "");
    expect("OPEN CLEAN APPROVED 2025-06-15T15:06:46Z");
    github.push("acme/web", "main", &sha('e'));
    expect("OPEN CLEAN APPROVED 2025-06-15T15:06:46Z");
    assert_eq!(stage.pull("baseRefOid")["baseRefOid"], sha('e'));
    github.close("acme/web", 1);
    expect("CLOSED UNKNOWN APPROVED 2025-06-15T15:06:48Z");
    assert_eq!(
        stage.get("/repos/acme/web/pulls/1").json()["closed_at"],
        "2025-06-15T15:06:48Z"
    );
    github.push("acme/web", "ao/web-1", &sha('f'));
    assert_ne!(
        stage.pull("headRefOid")["headRefOid"],
        sha('f'),
        "a closed one stays where it is"
    );
    github.reopen("acme/web", 1);
    github.push("acme/web", "ao/web-1", &sha('f'));
    assert_eq!(stage.pull("headRefOid")["headRefOid"], sha('f'));
    github.merge("acme/web", 1);
    expect("MERGED UNKNOWN APPROVED 2025-06-15T15:06:49Z");
    let merged = stage.get("/repos/acme/web/pulls/1").json();
    assert_eq!(
        (&merged["state"], &merged["merged"]),
        (&json!("closed"), &json!(true))
    );
    assert_eq!(merged["merged_at"], "2025-06-15T15:06:49Z");
}

#[test]
fn the_head_can_be_in_a_fork_or_nowhere_any_more() {
    let stage = Stage::new();
    stage.github.repository("hubot/web");
    let pull = Pull {
        home: Home::Fork("hubot/web".to_owned()),
        ..Pull::of("patch", &sha('a'))
    };
    stage.github.open_pr("acme/web", pull);
    let head = "headRepository { nameWithOwner } headRepositoryOwner { login } isCrossRepository";
    assert_eq!(
        stage.pull(head),
        json!({"headRepository": {"nameWithOwner": "hubot/web"}, "headRepositoryOwner": {"login": "hubot"},
            "isCrossRepository": true})
    );
    let listed = || stage.get("/repos/acme/web/pulls").json()[0]["head"].clone();
    assert_eq!(
        (&listed()["label"], &listed()["repo"]["full_name"]),
        (&json!("hubot:patch"), &json!("hubot/web"))
    );
    stage.github.push("acme/web", "patch", &sha('b'));
    assert_eq!(
        listed()["sha"],
        sha('a'),
        "a branch of that name elsewhere is another one"
    );
    stage.github.delete_repository("hubot/web");
    let gone = json!({"headRepository": null, "headRepositoryOwner": null, "isCrossRepository": true});
    assert_eq!(stage.pull(head), gone);
    assert_eq!(
        (&listed()["repo"], &listed()["user"], &listed()["ref"]),
        (&json!(null), &json!(null), &json!("patch"))
    );
    stage
        .github
        .edit("acme/web", 1, |pull| pull.author = GHOST.to_owned());
    assert_eq!(stage.pull("author { login }")["author"], json!(null));
}

#[test]
fn conversations_are_shown_with_who_said_what() {
    let stage = Stage::new();
    stage.open(1);
    let github = &stage.github;
    let thread = github.thread("acme/web", 1, "src/lib.rs", Some(7));
    github.comment("acme/web", 1, thread, "review[bot]", "Why?");
    github.comment("acme/web", 1, thread, "octocat", "Because.");
    github.thread("acme/web", 1, "src/old.rs", None);
    github.resolve("acme/web", 1, thread, true);
    let pull = stage.pull(
        "reviewThreads(first: 9) { totalCount nodes { isResolved isOutdated path line
            comments(first: 9) { nodes { body author { login __typename } } } } }",
    );
    assert_eq!(
        pull["reviewThreads"],
        json!({"totalCount": 2, "nodes": [
            {"isResolved": true, "isOutdated": false, "path": "src/lib.rs", "line": 7, "comments": {"nodes": [
                {"body": "Why?", "author": {"login": "review", "__typename": "Bot"}},
                {"body": "Because.", "author": {"login": "octocat", "__typename": "User"}}]}},
            {"isResolved": false, "isOutdated": true, "path": "src/old.rs", "line": null, "comments": {"nodes": []}}]})
    );
}

#[test]
fn heads_are_those_of_a_bare_repository_that_is_followed() {
    let stage = Stage::new();
    let world = World::new("true");
    let bare = world.dir.join("forge.git");
    let git = |arguments: &[&str]| world.git_in(&world.dir, arguments).trim().to_owned();
    git(&[
        "init",
        "--quiet",
        "--bare",
        "--initial-branch=main",
        bare.as_str(),
    ]);
    let here = format!("--git-dir={bare}");
    let tree = git(&[&here, "hash-object", "-t", "tree", "-w", "/dev/null"]);
    let commit = |text: &str| git(&[&here, "commit-tree", &tree, "-m", text]);
    let (first, second) = (commit("first"), commit("second"));
    git(&[&here, "update-ref", "refs/heads/main", &first]);
    git(&[&here, "update-ref", "refs/heads/ao/web-1", &first]);
    stage.open(2);
    stage.github.follow("acme/web", &bare);
    let heads = || {
        let pull = stage.pull("headRefOid baseRefOid updatedAt");
        ["headRefOid", "baseRefOid", "updatedAt"].map(|key| pull[key].as_str().unwrap().to_owned())
    };
    assert_eq!(heads()[..2], [first.clone(), first.clone()]);
    let etag = stage
        .get("/repos/acme/web/pulls")
        .header("etag")
        .unwrap()
        .to_owned();
    stage.pass(1_000);
    assert_eq!(stage.get_if_not("/repos/acme/web/pulls", &etag).status, 304);
    git(&[&here, "update-ref", "refs/heads/ao/web-1", &second]);
    assert_eq!(stage.get_if_not("/repos/acme/web/pulls", &etag).status, 200);
    assert_eq!(
        heads(),
        [second.clone(), first, "2025-06-15T15:06:41Z".to_owned()]
    );
    // The one whose branch is not there stays where it was.
    assert_eq!(
        stage.get("/repos/acme/web/pulls/2").json()["head"]["sha"],
        format!("{:040}", 2)
    );
    stage.github.merge("acme/web", 1);
    git(&[&here, "update-ref", "-d", "refs/heads/ao/web-1"]);
    assert_eq!(heads()[0], second);
}

#[test]
fn types_that_the_schema_forbids_can_be_had_of_one_pull_request() {
    let stage = Stage::new();
    stage.open(2);
    stage.github.edit("acme/web", 1, |pull| pull.malformed = true);
    let wrong = stage.pull("number headRefOid state");
    assert_eq!(wrong, json!({"number": "1", "headRefOid": null, "state": 7}));
    let listed = stage.get("/repos/acme/web/pulls").json();
    assert_eq!(
        (&listed[0]["number"], &listed[1]["number"]),
        (&json!(2), &json!("1"))
    );
}

#[test]
fn a_test_that_is_wrong_is_told_so() {
    let panics = |deed: &dyn Fn(&Stage)| catch_unwind(AssertUnwindSafe(|| deed(&Stage::new()))).is_err();
    assert!(panics(&|stage| stage.github.edit("acme/web", 1, |_| ())));
    assert!(panics(&|stage| stage.github.refuse(
        "t9",
        "acme/web",
        Refusal::NotFound
    )));
    assert!(panics(&|stage| stage.github.push("acme/none", "main", &sha('a'))));
    assert!(panics(&|stage| stage.github.finish(7, "SUCCESS")));
    assert!(panics(&|stage| {
        stage.open(1);
        stage
            .github
            .edit("acme/web", 1, |pull| pull.mergeable = "YES".to_owned());
    }));
    assert!(!panics(&|stage| stage.open(1)));
}

#[test]
fn a_repository_and_its_user_are_described() {
    let stage = Stage::new();
    for prefix in ["", "/api/v3"] {
        let about = stage.get(&format!("{prefix}/repos/acme/web")).json();
        assert_eq!(
            (&about["full_name"], &about["default_branch"]),
            (&json!("acme/web"), &json!("main"))
        );
        let id = about["id"].as_u64().unwrap();
        assert_eq!(
            stage.get(&format!("{prefix}/repositories/{id}")).json()["name"],
            "web"
        );
        let user: Value = stage.get(&format!("{prefix}/user")).json();
        assert_eq!(
            (&user["login"], &user["type"]),
            (&json!("octocat"), &json!("User"))
        );
    }
    assert_eq!(stage.get("/repos/acme/none").status, 404);
}
