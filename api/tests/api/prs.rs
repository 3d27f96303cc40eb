//! Pull requests, what agents were told of them, what a person should know, and the hosts they are read from.

use std::time::Duration;

use ao_domain::port::forge::{Budget, Pool};
use ao_domain::{
    Check, CheckStatus, EpisodeKind, Evidence, Mergeability, NoticeKind, Phase, PrFacts, PrRef, PrState,
    RemoteRepo, Review, SessionId, SessionKind, WorktreeState,
};
use ao_facts::{
    Changes, Explained, GatewaySeen, Moved, NewNotice, NewNudge, ProjectRemoval, PullFailed, PullSeen,
    RepositorySeen, TokenState,
};
use ao_supervisor::Incarnation;
use serde_json::{Value, json};

use crate::support::World;

const HEAD: &str = "0123456789abcdef0123456789abcdef01234567";

pub(crate) fn facts(number: u64, branch: &str, state: PrState) -> PrFacts {
    let repo = RemoteRepo::new("forge.example", "acme/web");
    PrFacts {
        at: PrRef {
            repo: repo.clone(),
            number,
        },
        url: format!("https://forge.example/acme/web/pull/{number}"),
        title: format!("change {number}"),
        author: "octo".to_owned(),
        state,
        head_branch: branch.to_owned(),
        head: HEAD.to_owned(),
        head_repo: Some(repo),
        base_branch: "main".to_owned(),
        base: "b".repeat(40),
        review: Review::None,
        mergeability: Mergeability::Unknown,
        queued_to_merge: false,
    }
}

fn check(name: &str, status: CheckStatus) -> Check {
    Check {
        key: format!("ci/{name}"),
        name: name.to_owned(),
        status,
        conclusion: match status {
            CheckStatus::Failed => "failure".to_owned(),
            CheckStatus::Passed => "success".to_owned(),
            _ => String::new(),
        },
        url: format!("https://forge.example/acme/web/runs/{name}"),
        attempt: Some(format!("{name}-1")),
        order: 1,
        required: name == "test",
        summary: String::new(),
        started_at: None,
        completed_at: None,
        evidence: Evidence::Unasked,
        step: None,
        log: String::new(),
    }
}

impl World {
    /// What a list of a repository's pull requests gives.
    async fn found(&self, session: &SessionId, facts: PrFacts) {
        let repo = facts.at.repo.clone();
        let seen = RepositorySeen {
            found: vec![(session.clone(), facts)],
            ..RepositorySeen::default()
        };
        let observations = self.store.observations();
        observations
            .repository_listed(&Incarnation::detached(), &repo, seen, self.now())
            .await
            .unwrap();
    }

    /// What a whole look at a pull request gives.
    async fn looked_at(&self, id: u64, facts: PrFacts, checks: Vec<Check>) {
        let seen = PullSeen {
            facts,
            checks: Some(checks),
            trouble: None,
            fingerprint: "f".to_owned(),
            began: self.now(),
        };
        let observations = self.store.observations();
        let moved = observations
            .pull_seen(&Incarnation::detached(), id, seen, self.now())
            .await
            .unwrap();
        assert_eq!(moved, Moved::Yes);
    }

    async fn prs(&self, query: &str) -> Vec<(u64, u64)> {
        let list = self.get(&format!("/api/v1/prs{query}")).await.json();
        list["prs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pr| (pr["id"].as_u64().unwrap(), pr["number"].as_u64().unwrap()))
            .collect()
    }
}

/// A live session whose only pull request, number 7, has a failed check.
async fn failing() -> (World, SessionId) {
    let world = World::start().await;
    let web = world.project("web").await;
    let id = world.session(&web, SessionKind::Worker).await;
    world.step(&id, Phase::Live, Changes::default()).await;
    let pr = facts(7, "ao/web-1", PrState::Open);
    world.found(&id, pr.clone()).await;
    let checks = vec![
        check("lint", CheckStatus::Passed),
        check("test", CheckStatus::Failed),
    ];
    world.looked_at(1, pr, checks).await;
    (world, id)
}

#[tokio::test]
async fn a_session_shows_its_pull_requests() {
    let (world, _) = failing().await;
    let now = world.now().to_string();
    let short = json!({
        "id": 1, "url": "https://forge.example/acme/web/pull/7", "number": 7, "title": "change 7", "state": "open",
        "ci": "failing", "failing": ["test"], "review": "none", "mergeability": "unknown", "headBranch": "ao/web-1",
        "baseBranch": "main", "head": HEAD, "changedAt": now,
    });
    let session = world.get("/api/v1/sessions/web-1").await.json()["session"].take();
    assert_eq!(session["prs"], json!([short]));
    let mut whole = short;
    let more = json!({
        "sessionId": "web-1", "projectId": "web", "repository": "forge.example/acme/web", "author": "octo",
        "queuedToMerge": false, "followed": true, "readAt": now, "detailedAt": now, "createdAt": now, "updatedAt": now,
    });
    whole
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    assert_eq!(
        world.get("/api/v1/sessions/web-1/pr").await.json(),
        json!({"sessionId": "web-1", "prs": [whole]})
    );
    assert_eq!(world.get("/api/v1/prs").await.json(), json!({"prs": [whole]}));
    assert_eq!(
        world.get("/api/v1/sessions/web-2/pr").await.refused(),
        (404, "SESSION_NOT_FOUND".to_owned())
    );
}

#[tokio::test]
async fn what_may_be_of_before_a_push_says_so_until_it_is_looked_at() {
    let (world, _) = failing().await;
    let outdated = async || world.get("/api/v1/prs/1").await.json()["pr"]["outdated"].take();
    assert_eq!(outdated().await, Value::Null);
    let (observations, by) = (world.store.observations(), Incarnation::detached());
    let pr = facts(7, "ao/web-1", PrState::Open);
    world.clock.pass(1);
    let pushed = world.now();
    let branch = [pr.head_branch.clone()];
    let written = observations.repository_pushed(&by, &pr.at.repo, &branch, pushed);
    written.await.unwrap();
    assert_eq!(
        outdated().await,
        format!("a look that was called for at {pushed} is still to come")
    );
    world.clock.pass(1);
    let why = PullFailed {
        why: "it is not there".to_owned(),
        is_gone: true,
        began: world.now(),
    };
    let failed = observations.pull_failed(&by, 1, why, world.now());
    failed.await.unwrap();
    assert_eq!(outdated().await, "the last look failed: it is not there");
    world.looked_at(1, pr.clone(), Vec::new()).await;
    assert_eq!(outdated().await, Value::Null);
    // What is over changes no more, whatever happened since.
    let written = observations.repository_pushed(&by, &pr.at.repo, &branch, world.now());
    written.await.unwrap();
    let seen = PullSeen {
        facts: facts(7, "ao/web-1", PrState::Merged),
        checks: Some(Vec::new()),
        trouble: None,
        fingerprint: "f".to_owned(),
        began: pushed,
    };
    let moved = observations.pull_seen(&by, 1, seen, world.now()).await;
    assert_eq!(moved.unwrap(), Moved::Yes);
    assert_eq!(outdated().await, Value::Null);
}

#[tokio::test]
async fn the_list_begins_with_what_is_open_and_is_filtered() {
    let world = World::start().await;
    let (web, app) = (world.project("web").await, world.project("app").await);
    let first = world.session(&web, SessionKind::Worker).await;
    let second = world.session(&app, SessionKind::Worker).await;
    assert_eq!(world.prs("").await, []);
    assert_eq!(
        world.get("/api/v1/sessions/web-1/pr").await.json(),
        json!({"sessionId": "web-1", "prs": []})
    );
    world.found(&first, facts(3, "ao/web-1", PrState::Open)).await;
    world.clock.pass(1);
    world.found(&second, facts(4, "ao/app-1", PrState::Draft)).await;
    world.clock.pass(1);
    world
        .found(&first, facts(5, "ao/web-1/more", PrState::Merged))
        .await;
    let (three, four, five) = ((1, 3), (2, 4), (3, 5));
    assert_eq!(world.prs("").await, [four, three, five]);
    assert_eq!(world.prs("?open=true").await, [four, three]);
    assert_eq!(world.prs("?open=false").await, [five]);
    assert_eq!(world.prs("?session=web-1").await, [three, five]);
    assert_eq!(world.prs("?project=app").await, [four]);
    assert_eq!(world.prs("?project=app&session=web-1").await, []);
    for nobody in ["?session=web-9", "?session=web", "?project=..", "?project=nobody"] {
        assert_eq!(world.prs(nobody).await, [], "{nobody}");
    }
    for query in ["?open=perhaps", "?state=open", "?open=1&open=1"] {
        let refused = world.get(&format!("/api/v1/prs{query}")).await.refused();
        assert_eq!(refused, (400, "INVALID_QUERY".to_owned()), "{query}");
    }
}

#[tokio::test]
async fn one_shows_its_checks_and_their_logs_where_they_are_wanted() {
    let (world, _) = failing().await;
    let got = world.get("/api/v1/prs/1").await.json();
    let expected = json!([
        {"name": "lint", "status": "passed", "conclusion": "success", "url": "https://forge.example/acme/web/runs/lint",
            "required": false, "summary": "", "evidence": "unasked"},
        {"name": "test", "status": "failed", "conclusion": "failure", "url": "https://forge.example/acme/web/runs/test",
            "required": true, "summary": "", "evidence": "wanted"},
    ]);
    assert_eq!(got["checks"], expected);
    let explained = |evidence, log: &str| Explained {
        key: "ci/test".to_owned(),
        attempt: Some("test-1".to_owned()),
        evidence,
        step: Some("cargo test".to_owned()),
        log: log.to_owned(),
    };
    let observations = world.store.observations();
    let by = Incarnation::detached();
    let read = explained(Evidence::Read, "it broke\u{1b}[2J\n");
    let moved = observations.check_explained(&by, 1, read, world.now()).await;
    assert_eq!(moved.unwrap(), Moved::Yes);
    let test = async |query: &str| {
        let got = world.get(&format!("/api/v1/prs/1{query}")).await;
        got.json()["checks"][1].take()
    };
    let quiet = test("").await;
    assert_eq!(
        (&quiet["evidence"], &quiet["step"], &quiet["log"]),
        (&json!("read"), &json!("cargo test"), &Value::Null)
    );
    assert_eq!(
        test("?logs=true").await["log"],
        "it broke\u{1b}[2J\n",
        "to the letter"
    );
    for (path, refused) in [
        ("2", (404, "PR_NOT_FOUND")),
        ("x", (404, "PR_NOT_FOUND")),
        ("-1", (404, "PR_NOT_FOUND")),
        ("18446744073709551615", (404, "PR_NOT_FOUND")),
        ("1?logs=yes", (400, "INVALID_QUERY")),
        ("1?log=true", (400, "INVALID_QUERY")),
    ] {
        let (status, code) = world.get(&format!("/api/v1/prs/{path}")).await.refused();
        assert_eq!((status, code.as_str()), refused, "{path}");
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_had_is_none_and_says_why() {
    let (world, _) = failing().await;
    let none = Explained {
        key: "ci/test".to_owned(),
        attempt: Some("test-1".to_owned()),
        evidence: Evidence::Unavailable,
        step: None,
        log: "the token may not see it".to_owned(),
    };
    let (observations, by) = (world.store.observations(), Incarnation::detached());
    let moved = observations.check_explained(&by, 1, none, world.now()).await;
    assert_eq!(moved.unwrap(), Moved::Yes);
    let check = world.get("/api/v1/prs/1?logs=true").await.json()["checks"][1].take();
    assert_eq!(
        (&check["evidence"], &check["log"], &check["noLog"]),
        (
            &json!("unavailable"),
            &Value::Null,
            &json!("the token may not see it")
        )
    );
}

#[tokio::test]
async fn an_episode_shows_what_was_told_of_it_and_how_it_ended() {
    let (world, id) = failing().await;
    let by = Incarnation::detached();
    let nudge = NewNudge {
        session: id.clone(),
        generation: 1,
        episode: 1,
        kind: EpisodeKind::Ci,
        round: 1,
        told: vec!["ci/test".to_owned()],
        text: "Checks failed".to_owned(),
    };
    let moved = world.outcomes.nudge(&by, nudge, world.now()).await.unwrap();
    assert_eq!(moved, Moved::Yes);
    let opened = world.now().to_string();
    let mut episode = json!({
        "id": 1, "kind": "ci", "headline": "checks failed at 0123456: test", "head": HEAD, "openedAt": opened,
        "messages": [{"messageId": 1, "generation": 1, "round": 1, "typed": false, "lost": false}],
    });
    let episodes = async || world.get("/api/v1/prs/1").await.json()["episodes"].take();
    assert_eq!(episodes().await, json!([episode]));
    let message = world.get("/api/v1/sessions/web-1/messages/1").await.json();
    assert_eq!(message["message"]["about"], "ci");
    assert_eq!(message["message"]["from"], Value::Null);
    world.clock.pass(60);
    let passing = vec![
        check("lint", CheckStatus::Passed),
        check("test", CheckStatus::Passed),
    ];
    world
        .looked_at(1, facts(7, "ao/web-1", PrState::Open), passing)
        .await;
    episode["headline"] = json!("checks failed at 0123456");
    episode["closedAt"] = json!(world.now().to_string());
    episode["closedBy"] = json!("all checks pass");
    episode["messages"][0]["lost"] = json!(true);
    assert_eq!(episodes().await, json!([episode]));
}

#[tokio::test]
async fn a_notice_is_listed_as_long_as_it_holds() {
    let (world, id) = failing().await;
    assert_eq!(world.get("/api/v1/notices").await.json(), json!({"notices": []}));
    let notice = NewNotice {
        session: id,
        kind: NoticeKind::CiStuck,
        pr: 1,
        head: HEAD.to_owned(),
        url: "https://forge.example/acme/web/pull/7".to_owned(),
        text: "it still fails".to_owned(),
    };
    let by = Incarnation::detached();
    let moved = world.outcomes.notice(&by, notice, world.now()).await.unwrap();
    assert_eq!(moved, Moved::Yes);
    let expected = json!({"notices": [{
        "id": 1, "sessionId": "web-1", "kind": "ci_stuck", "url": "https://forge.example/acme/web/pull/7",
        "text": "it still fails", "createdAt": world.now().to_string(),
    }]});
    assert_eq!(world.get("/api/v1/notices").await.json(), expected);
    let passing = vec![check("test", CheckStatus::Passed)];
    world
        .looked_at(1, facts(7, "ao/web-1", PrState::Open), passing)
        .await;
    assert_eq!(world.get("/api/v1/notices").await.json(), json!({"notices": []}));
}

#[tokio::test]
async fn a_session_whose_work_was_merged_leaves_its_worktree_and_says_how_to_take_it_back() {
    let (world, id) = failing().await;
    let active = Changes {
        worktree_state: Some(WorktreeState::Active),
        ..Changes::default()
    };
    world
        .looked_at(1, facts(7, "ao/web-1", PrState::Merged), Vec::new())
        .await;
    let by = Incarnation::detached();
    let completed = world.outcomes.complete(&by, &id, 1, world.now()).await.unwrap();
    assert_eq!(completed, Moved::Yes);
    let worktree = async || {
        let session = world.get("/api/v1/sessions/web-1").await.json()["session"].take();
        session["worktree"]["howToRemove"].clone()
    };
    world.step(&id, Phase::Stopping, active).await;
    assert_eq!(worktree().await, Value::Null, "it is not over yet");
    world.step(&id, Phase::Freeing, Changes::default()).await;
    world.step(&id, Phase::Ended, Changes::default()).await;
    assert_eq!(worktree().await, "ao kill web-1");
    let session = world.get("/api/v1/sessions/web-1").await.json()["session"].take();
    assert_eq!(
        (
            &session["status"],
            &session["endReason"],
            &session["worktree"]["state"]
        ),
        (&json!("merged"), &json!("completed"), &json!("active"))
    );
    assert_eq!(session["reason"], "#7 was merged; its work is done");
    assert_eq!(session["prs"][0]["state"], "merged");
}

#[tokio::test]
async fn a_host_says_who_spent_what_and_until_when_to_wait() {
    let world = World::start().await;
    let web = world
        .project_of("web", Some("https://forge.example/acme/web"))
        .await;
    world.session(&web, SessionKind::Worker).await;
    assert_eq!(
        world.get("/api/v1/gateways").await.json(),
        json!({"gateways": []})
    );
    let by = Incarnation::detached();
    let observations = world.store.observations();
    let now = world.now();
    let resets_at = now.plus(Duration::from_secs(600));
    let seen = GatewaySeen {
        source: Some("gh auth token".to_owned()),
        token: Some(TokenState::Accepted),
        budgets: vec![Budget {
            pool: Pool::Batch,
            cost: 700,
            limit: 5_000,
            remaining: 2_400,
            resets_at,
        }],
        cool_until: Some(Some(now.plus(Duration::from_secs(60)))),
        trouble: Some(Some("secondary rate limit".to_owned())),
        answered_at: Some(now),
    };
    observations
        .gateway_seen(&by, "forge.example", seen, now)
        .await
        .unwrap();
    let unasked = json!({"limit": 0, "left": 0, "ours": 0, "others": 0, "warns": false});
    let mut gateway = json!({
        "host": "forge.example", "token": "accepted", "source": "gh auth token",
        "budgets": {
            "batch": {"limit": 5_000, "left": 2_400, "ours": 700, "others": 1_900, "resetsAt": resets_at.to_string(), "warns": true},
            "single": unasked,
        },
        "coolUntil": now.plus(Duration::from_secs(60)).to_string(), "trouble": "secondary rate limit",
        "answeredAt": now.to_string(),
    });
    assert_eq!(
        world.get("/api/v1/gateways").await.json(),
        json!({"gateways": [gateway]})
    );
    // The wait is over, and later the window.
    world.clock.pass(60);
    gateway.as_object_mut().unwrap().remove("coolUntil");
    assert_eq!(
        world.get("/api/v1/gateways").await.json(),
        json!({"gateways": [gateway]})
    );
    world.clock.pass(540);
    gateway["budgets"]["batch"] =
        json!({"limit": 5_000, "left": 5_000, "ours": 0, "others": 0, "warns": false});
    assert_eq!(
        world.get("/api/v1/gateways").await.json(),
        json!({"gateways": [gateway]})
    );
}

#[tokio::test]
async fn only_hosts_where_something_is_watched_now_are_shown_and_what_is_known_of_others_is_kept() {
    let world = World::start().await;
    let web = world
        .project_of("web", Some("https://forge.example/acme/web"))
        .await;
    let observations = world.store.observations();
    let resets_at = world.now().plus(Duration::from_secs(3_600));
    let seen = GatewaySeen {
        token: Some(TokenState::Refused),
        trouble: Some(Some("the token was refused".to_owned())),
        budgets: vec![Budget {
            pool: Pool::Batch,
            cost: 700,
            limit: 5_000,
            remaining: 2_400,
            resets_at,
        }],
        ..GatewaySeen::default()
    };
    for host in ["forge.example", "elsewhere.example"] {
        let by = Incarnation::detached();
        let written = observations.gateway_seen(&by, host, seen.clone(), world.now());
        written.await.unwrap();
    }
    let shown = async || {
        let list = world.get("/api/v1/gateways").await.json();
        let gateways = list["gateways"].as_array().unwrap().clone();
        gateways
            .iter()
            .map(|gateway| {
                (
                    gateway["host"].clone(),
                    gateway["budgets"]["batch"]["ours"].clone(),
                )
            })
            .collect::<Vec<_>>()
    };
    let watched = vec![(json!("forge.example"), json!(700))];
    assert_eq!(shown().await, [], "it has no session");
    let id = world.session(&web, SessionKind::Worker).await;
    assert_eq!(shown().await, watched);
    world.step(&id, Phase::Live, Changes::default()).await;
    world.found(&id, facts(7, "ao/web-1", PrState::Open)).await;
    for phase in [Phase::Finished, Phase::Stopping, Phase::Freeing, Phase::Ended] {
        world.step(&id, phase, Changes::default()).await;
    }
    world.clock.pass(1_800);
    assert_eq!(shown().await, watched, "its pull request is followed");
    let removed = world.store.intents().remove_project(&web, world.now()).await;
    assert_eq!(removed.unwrap(), ProjectRemoval::Removed);
    assert_eq!(shown().await, [], "nobody asks for what is of no project");
    world
        .project_of("web", Some("https://forge.example/acme/web"))
        .await;
    assert_eq!(
        shown().await,
        watched,
        "within its window it goes on where it was"
    );
}
