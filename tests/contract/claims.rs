//! A pull request that is there already comes to be a session's: with a session that starts from its head, or with one that runs.

use ao_tests::github::{Check, Fault, GitHub, Home, Pull, Where};
use ao_tests::{World, settle};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use crate::AO;

const REPO: &str = "acme/web";
const ORIGIN: &str = "https://github.com/acme/web.git";

/// A daemon and its project, whose remote is at a forge and lies in a folder, as that of every pull request does.
struct Stage {
    world: World,
    github: GitHub,
    bare: Utf8PathBuf,
}

impl Stage {
    fn set() -> Self {
        Self::set_with(|_| {})
    }

    fn set_with(ready: impl FnOnce(&mut World)) -> Self {
        let github = GitHub::now();
        github.token("t0", "octocat").repository(REPO);
        let mut world = World::new(AO);
        let bare = world.dir.join("remote.git");
        world.git(&["init", "-q", "--bare", bare.as_str()]);
        world.git(&["remote", "add", "origin", ORIGIN]);
        world.git(&["config", &format!("url.{bare}.insteadOf"), ORIGIN]);
        world.git(&["push", "-q", "origin", "main"]);
        world.set("AO_GITHUB_API", &github.url());
        world.set("GITHUB_TOKEN", "t0");
        world.set("AO_FORGE_TICK", "200ms");
        ready(&mut world);
        world.begin();
        Self { world, github, bare }
    }

    /// A commit that is nowhere but at the remote, and the number of the pull request it is the head of.
    fn pull(&self, branch: &str, home: Home) -> (u64, String) {
        let is_here = home == Home::Same;
        let elsewhere = self.world.dir.join(format!("of-{}", branch.replace('/', "-")));
        self.world
            .git(&["clone", "-q", self.bare.as_str(), elsewhere.as_str()]);
        let git = |words: &[&str]| self.world.git_in(&elsewhere, words);
        std::fs::write(elsewhere.join("change.txt"), branch).unwrap();
        git(&["add", "change.txt"]);
        git(&["commit", "-qm", branch]);
        let head = git(&["rev-parse", "HEAD"]).trim().to_owned();
        let mut pull = Pull::of(branch, &head);
        pull.home = home;
        let number = self.github.open_pr(REPO, pull);
        git(&["push", "-q", "origin", &format!("HEAD:refs/pull/{number}/head")]);
        if is_here {
            git(&["push", "-q", "origin", &format!("HEAD:refs/heads/{branch}")]);
        }
        (number, head)
    }

    fn fork() -> Home {
        Home::Fork("stranger/web".to_owned())
    }

    /// `ao spawn --claim-pr` with `more`, that is to succeed.
    fn spawn(&self, pr: &str, more: &[&str]) -> Value {
        let words = [
            &["--json", "spawn", "--project", "web", "--claim-pr", pr],
            more,
            &["--", "sh", "-c", "exec sleep 1000"],
        ];
        self.world.ao(&words.concat()).ok().json()
    }

    fn claim(&self, id: &str, body: &Value) -> (u16, Value) {
        let answer = self
            .world
            .ask("POST", &format!("/api/v1/sessions/{id}/pr/claim"), Some(body));
        (answer.status, answer.json())
    }

    /// Asserts that a claim is refused so, and that nothing has changed hands by it.
    fn assert_refused(&self, id: &str, body: &Value, status: u16, code: &str) -> Value {
        let owners =
            "SELECT coalesce(group_concat(number || session_id), '') FROM pull_requests ORDER BY number";
        let before = self.world.query(owners);
        let (found, answer) = self.claim(id, body);
        assert_eq!((found, &answer["code"]), (status, &json!(code)), "{answer}");
        assert_eq!(self.world.query(owners), before);
        answer
    }

    fn head_of(&self, session: &Value) -> String {
        let path = session["worktree"]["path"].as_str().unwrap();
        self.world
            .git_in(Utf8Path::new(path), &["rev-parse", "HEAD"])
            .trim()
            .to_owned()
    }
}

#[test]
fn a_session_that_is_spawned_with_a_pull_request_starts_from_its_head_and_has_it() {
    let stage = Stage::set();
    let (number, head) = stage.pull("feature", Home::Same);
    let said = stage
        .world
        .ao(&[
            "spawn",
            "--project",
            "web",
            "--claim-pr",
            &format!("#{number}"),
            "--",
            "sh",
            "-c",
            "exec sleep 1000",
        ])
        .ok()
        .out;
    assert!(
        said.contains(&format!("claimed: https://github.com/acme/web/pull/{number}"))
            && said.contains("push to it with: git push origin HEAD:feature"),
        "{said}"
    );
    let session = stage.world.until("web-1", "phase", "live");
    assert_eq!(stage.head_of(&session), head);
    assert_eq!(session["branch"], "ao/web-1");
    assert_eq!(session["prs"][0]["number"], number);
    assert_eq!(session["foreignCode"], false);
    let shown = stage.world.ao(&["session", "get", "web-1"]).ok().out;
    assert!(!shown.contains("foreign code"), "{shown}");
    // A worktree that holds nothing but what the pull request has may go.
    let ended = stage.world.ao(&["kill", "web-1"]).ok().out;
    let session = stage.world.until("web-1", "phase", "ended");
    assert_eq!(session["worktree"]["state"], "removed", "{ended}");
}

#[test]
fn the_code_of_a_fork_and_of_one_that_is_gone_is_known_as_a_stranger_s() {
    let stage = Stage::set();
    for (at, home) in [Stage::fork(), Home::Deleted].into_iter().enumerate() {
        let (number, head) = stage.pull(&format!("patch-{at}"), home);
        let url = format!("https://github.com/acme/web/pull/{number}");
        let answer = stage.spawn(&url, &[]);
        let session = &answer["session"];
        assert_eq!(session["foreignCode"], true, "{answer}");
        assert_eq!(stage.head_of(session), head);
        assert_eq!(answer["claim"]["state"], "made");
        let id = session["id"].as_str().unwrap();
        let shown = stage.world.ao(&["session", "get", id]).ok().out;
        assert!(shown.contains("foreign code: yes"), "{shown}");
    }
}

#[test]
fn no_command_of_the_project_is_run_in_a_stranger_s_code() {
    let stage = Stage::set();
    stage
        .world
        .ao(&["project", "set-config", "web", "--post-create", "touch was-run"])
        .ok();
    let (own, _) = stage.pull("feature", Home::Same);
    let (strange, _) = stage.pull("patch", Stage::fork());
    for (number, is_run) in [(own, true), (strange, false)] {
        let answer = stage.spawn(&number.to_string(), &[]);
        let path = answer["session"]["worktree"]["path"].as_str().unwrap();
        assert_eq!(Utf8Path::new(path).join("was-run").exists(), is_run, "{answer}");
        let skipped = answer["session"]["provisioning"]["skipped"].to_string();
        assert_eq!(skipped.contains("stranger"), !is_run, "{skipped}");
    }
}

#[test]
fn a_spawn_whose_claim_is_refused_ends_and_says_why_by_its_code() {
    let stage = Stage::set();
    let (draft, _) = stage.pull("draft", Home::Same);
    stage.github.edit(REPO, draft, |pull| pull.draft = true);
    let (closed, _) = stage.pull("closed", Home::Same);
    stage.github.close(REPO, closed);
    for (pr, status, code) in [
        (99, 404, "PR_NOT_FOUND"),
        (draft, 409, "PR_NOT_OPEN"),
        (closed, 409, "PR_NOT_OPEN"),
    ] {
        let body = json!({"projectId": "web", "harness": "shell", "command": ["sleep", "1000"], "claimPr": pr.to_string()});
        let answer = stage.world.ask("POST", "/api/v1/sessions", Some(&body));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{}",
            answer.json()
        );
        let id = answer.json()["details"]["sessionId"].as_str().unwrap().to_owned();
        let session = stage.world.until(&id, "phase", "ended");
        assert_eq!(session["endReason"], "spawn_failed");
        assert!(session["prs"].as_array().unwrap().is_empty());
        // Brought back, it is refused as before, whatever lies here under that name.
        stage
            .world
            .git(&["update-ref", &format!("refs/remotes/ao/pull/{pr}"), "main"]);
        let said = stage.world.ao(&["session", "restore", &id, "--start-over"]);
        assert_eq!(said.code, 1);
        assert!(said.err.contains(code), "{}", said.err);
    }
    let said = stage.world.ao(&[
        "spawn",
        "--project",
        "web",
        "--claim-pr",
        "99",
        "--",
        "sleep",
        "1000",
    ]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("acme/web#99 was not claimed") && said.err.contains("PR_NOT_FOUND"),
        "{}",
        said.err
    );
}

#[test]
fn what_cannot_be_a_claim_is_refused_before_a_session_is_made() {
    let stage = Stage::set();
    let (number, _) = stage.pull("feature", Home::Same);
    let ask = |change: Value| {
        let mut body = json!({"projectId": "web", "harness": "shell", "command": ["sleep", "1000"], "claimPr": number.to_string()});
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let answer = stage.world.ask("POST", "/api/v1/sessions", Some(&body));
        (answer.status, answer.code())
    };
    for (change, status, code) in [
        (json!({"claimPr": " "}), 400, "PR_REQUIRED"),
        (json!({"claimPr": "seven"}), 400, "INVALID_PR_REF"),
        (json!({"claimPr": "#0"}), 400, "INVALID_PR_REF"),
        (
            json!({"claimPr": "https://github.com/acme/web/pull/1/files"}),
            400,
            "INVALID_PR_REF",
        ),
        (
            json!({"claimPr": "https://unknown.example/acme/web/pull/1"}),
            400,
            "INVALID_PR_REF",
        ),
        (
            json!({"claimPr": "https://github.com/other/web/pull/1"}),
            422,
            "PR_PROJECT_MISMATCH",
        ),
        (json!({"kind": "orchestrator"}), 422, "SESSION_NOT_CLAIMABLE"),
        (json!({"branch": "mine"}), 400, "INVALID_BRANCH"),
        (json!({"base": "main"}), 400, "INVALID_BASE"),
    ] {
        assert_eq!(ask(change.clone()), (status, code.to_owned()), "{change}");
    }
    for misuse in [
        &["spawn", "--project", "web", "--no-takeover", "--", "true"] as &[&str],
        &[
            "spawn",
            "--project",
            "web",
            "--claim-pr",
            "1",
            "--base",
            "main",
            "--",
            "true",
        ],
        &[
            "spawn",
            "--project",
            "web",
            "--claim-pr",
            "1",
            "--branch",
            "mine",
            "--",
            "true",
        ],
    ] {
        assert_eq!(stage.world.ao(misuse).code, 2, "{misuse:?}");
    }
    assert_eq!(stage.world.get("/api/v1/sessions")["sessions"], json!([]));
    // Names are not told apart by their case.
    assert_eq!(
        ask(json!({"claimPr": format!("https://github.com/ACME/Web/pull/{number}")})).0,
        201
    );
}

#[test]
fn a_running_session_is_given_a_pull_request_and_nothing_is_checked_out() {
    let stage = Stage::set();
    let id = stage.world.spawn("exec sleep 1000");
    let session = stage.world.until(&id, "phase", "live");
    let before = stage.head_of(&session);
    let (number, _) = stage.pull("feature", Home::Same);
    let (status, answer) = stage.claim(&id, &json!({"pr": number.to_string()}));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["branchChanged"], false);
    assert_eq!(answer["takenOverFrom"], json!([]));
    assert_eq!(
        (&answer["prs"][0]["number"], &answer["foreignCode"]),
        (&json!(number), &json!(false))
    );
    assert_eq!(stage.head_of(&session), before);
    assert_eq!(stage.world.session(&id)["foreignCode"], false);
    // To repeat it changes nothing.
    let (status, again) = stage.claim(&id, &json!({"pr": format!("#{number}")}));
    assert_eq!((status, &again["takenOverFrom"]), (200, &json!([])));
    // The claimed one is named first, and a fork's marks the session.
    let (strange, _) = stage.pull("patch", Stage::fork());
    let said = stage
        .world
        .ao(&["session", "claim-pr", &id, &strange.to_string()])
        .ok()
        .out;
    assert!(
        said.contains(&format!("session {id} claimed PR #{strange}"))
            && said.contains("nothing was checked out")
            && said.contains(&format!("ao spawn --claim-pr {strange}"))
            && !said.contains("git fetch")
            && said.contains("a stranger's"),
        "{said}"
    );
    let session = stage.world.session(&id);
    assert_eq!(session["foreignCode"], true);
    assert_eq!(session["prs"].as_array().unwrap().len(), 2);
    let (_, answer) = stage.claim(&id, &json!({"pr": strange.to_string()}));
    assert_eq!(answer["prs"][0]["number"], strange);
}

#[test]
fn a_claim_of_a_running_session_is_refused_with_the_reason_s_own_code() {
    let stage = Stage::set();
    let id = stage.world.spawn("exec sleep 1000");
    stage.world.until(&id, "phase", "live");
    let (draft, _) = stage.pull("draft", Home::Same);
    stage.github.edit(REPO, draft, |pull| pull.draft = true);
    let (merged, _) = stage.pull("merged", Home::Same);
    stage.github.merge(REPO, merged);
    let pr = |pr: &str| json!({"pr": pr});
    stage.assert_refused(&id, &json!({}), 400, "PR_REQUIRED");
    stage.assert_refused(&id, &pr("x"), 400, "INVALID_PR_REF");
    stage.assert_refused(
        &id,
        &pr("https://github.com/other/web/pull/1"),
        422,
        "PR_PROJECT_MISMATCH",
    );
    stage.assert_refused(&id, &pr("99"), 404, "PR_NOT_FOUND");
    stage.assert_refused("web-9", &pr("1"), 404, "SESSION_NOT_FOUND");
    let said = stage.assert_refused(&id, &pr(&draft.to_string()), 409, "PR_NOT_OPEN");
    assert!(
        said["message"].as_str().unwrap().contains("it is a draft"),
        "{said}"
    );
    let said = stage.assert_refused(&id, &pr(&merged.to_string()), 409, "PR_NOT_OPEN");
    assert!(
        said["message"].as_str().unwrap().contains("it is merged"),
        "{said}"
    );
    let order =
        json!({"projectId": "web", "kind": "orchestrator", "harness": "shell", "command": ["sleep", "1000"]});
    let answer = stage.world.ask("POST", "/api/v1/sessions", Some(&order)).json();
    let orchestrator = answer["session"]["id"].as_str().unwrap();
    stage.assert_refused(orchestrator, &pr("1"), 422, "SESSION_NOT_CLAIMABLE");
    stage.world.ao(&["kill", &id]).ok();
    stage.assert_refused(&id, &pr("1"), 409, "SESSION_TERMINATED");
}

#[test]
fn a_pull_request_is_taken_from_a_living_session_where_that_is_allowed_and_from_a_dead_one_always() {
    let stage = Stage::set();
    let (number, head) = stage.pull("feature", Home::Same);
    let pr = number.to_string();
    let first = stage.spawn(&pr, &[])["session"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let job = stage.github.check(REPO, &head, Check::job("test"));
    stage.github.finish(job, "FAILURE");
    let open = "SELECT coalesce(group_concat(e.id), '') FROM episodes AS e WHERE closed_at IS NULL";
    settle("its checks are known to have failed", || {
        !stage.world.query(open).is_empty()
    });
    let episode = stage.world.query(open);
    let second = stage.world.spawn("exec sleep 1000");
    stage.world.until(&second, "phase", "live");
    let said = stage.assert_refused(
        &second,
        &json!({"pr": pr, "allowTakeover": false}),
        409,
        "PR_CLAIMED_BY_ACTIVE_SESSION",
    );
    assert_eq!(said["details"]["ownerSessionId"], first);
    let told = stage
        .world
        .ao(&["session", "claim-pr", &second, &pr, "--no-takeover"]);
    assert_eq!(told.code, 1);
    assert!(told.err.contains("PR_CLAIMED_BY_ACTIVE_SESSION"), "{}", told.err);
    let told = stage.world.ao(&[
        "spawn",
        "--project",
        "web",
        "--claim-pr",
        &pr,
        "--no-takeover",
        "--",
        "sleep",
        "1000",
    ]);
    assert_eq!(told.code, 1);
    assert!(
        told.err.contains("PR_CLAIMED_BY_ACTIVE_SESSION") && told.err.contains(&first),
        "{}",
        told.err
    );
    // Allowed, it changes hands at once, and what was open of it is its new owner's affair.
    let (status, answer) = stage.claim(&second, &json!({"pr": pr}));
    assert_eq!(
        (status, &answer["takenOverFrom"]),
        (200, &json!([first])),
        "{answer}"
    );
    assert_eq!(stage.world.session(&first)["prs"], json!([]));
    assert_eq!(stage.world.session(&second)["prs"][0]["number"], number);
    settle("an episode of the new owner's is open", || {
        let now = stage.world.query(open);
        !now.is_empty() && now != episode
    });
    // The dead are not asked.
    stage.world.ao(&["kill", &second]).ok();
    let answer = stage.spawn(&pr, &["--no-takeover"]);
    assert_eq!(answer["claim"]["takenOverFrom"], json!([second]), "{answer}");
}

#[test]
fn a_session_that_does_not_come_up_gives_back_what_it_took() {
    let stage = Stage::set();
    let (number, _) = stage.pull("feature", Home::Same);
    let first = stage.spawn(&number.to_string(), &[])["session"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    // The remote has lost it: nothing can be fetched.
    stage.world.git_in(
        &stage.bare,
        &["update-ref", "-d", &format!("refs/pull/{number}/head")],
    );
    let said = stage.world.ao(&[
        "spawn",
        "--project",
        "web",
        "--claim-pr",
        &number.to_string(),
        "--",
        "sleep",
        "1000",
    ]);
    assert_eq!(said.code, 1);
    assert!(
        said.err
            .contains(&format!("acme/web#{number} could not be fetched")),
        "{}",
        said.err
    );
    settle("its former owner has it again", || {
        stage.world.session(&first)["prs"][0]["number"] == number
    });
    assert_eq!(stage.world.session("web-2")["prs"], json!([]));
}

#[test]
fn a_forge_that_cannot_be_asked_refuses_the_claim_for_good() {
    let stage = Stage::set();
    let id = stage.world.spawn("exec sleep 1000");
    stage.world.until(&id, "phase", "live");
    let (number, _) = stage.pull("feature", Home::Same);
    stage
        .github
        .fault_on(Where::All, Fault::Answer(502, Vec::new(), "down".to_owned()));
    let pr = json!({"pr": number.to_string()});
    stage.assert_refused(&id, &pr, 503, "SCM_UNAVAILABLE");
    stage.github.clear_faults();
    // It is not done behind anybody's back later: only when it is asked for again.
    assert_eq!(
        stage
            .world
            .query("SELECT CAST(count(*) AS TEXT) FROM claims WHERE state = 'asked'"),
        "0"
    );
    settle("it can be claimed again", || stage.claim(&id, &pr).0 == 200);
}

#[test]
fn a_forge_without_a_token_refuses_the_claim() {
    let stage = Stage::set_with(|world| {
        world.set("GITHUB_TOKEN", "");
        world.set("PATH", "/usr/local/bin:/usr/bin:/bin");
    });
    let id = stage.world.spawn("exec sleep 1000");
    stage.world.until(&id, "phase", "live");
    stage.assert_refused(&id, &json!({"pr": "1"}), 503, "SCM_UNAVAILABLE");
}
