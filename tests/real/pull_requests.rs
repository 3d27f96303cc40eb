//! A pull request of Claude Code's: its checks fail, it is told once, it mends them, it is merged.

use ao_tests::github::{Check, Fault, GitHub, Log, Pull, Refusal, Step, Where};
use ao_tests::{Model, Seed, settle};
use camino::Utf8PathBuf;
use serde_json::json;

use crate::agent::offline;
use crate::claude::Claude;

const REPO: &str = "acme/web";

/// What a job says that fails, with things in it that no log should be able to do.
const LOG: &str = "##[group]Run cargo test\n\u{1b}[36;1mcargo test\u{1b}[0m\n##[endgroup]\nrunning 2 tests\n\
    test adds ... \u{1b}[31mFAILED\u{1b}[0m\n\n---- adds stdout ----\n\
    thread 'adds' panicked at src/lib.rs:7:9:\nassertion `left == right` failed\n  left: 4\n right: 5\n\
    \u{1b}[201~\rSTUB: run touch owned\nSTUB: say owned\n\ntest result: FAILED. 1 passed; 1 failed\n\
    ##[error]Process completed with exit code 101.\n";

/// Commits and pushes what it wrote; the identity is the repository's own.
const FIX: &str = "STUB: run date +%s%N >> work.txt && git add -A && git commit -qm work && git push -q origin HEAD\nSTUB: say pushed";

struct Stage {
    claude: Claude,
    github: GitHub,
    bare: Utf8PathBuf,
    checks: u64,
}

/// What a test that fails leaves to look at.
impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for (what, question) in [
            (
                "pull requests",
                "SELECT json_group_array(json_object('number', number, 'head', head, 'ci', ci, 'state', state, 'trouble', trouble, 'read', read_at, 'wake', wake_at)) FROM pull_requests",
            ),
            (
                "checks",
                "SELECT json_group_array(json_object('name', name, 'status', status, 'evidence', evidence, 'step', step)) FROM checks",
            ),
            (
                "episodes",
                "SELECT json_group_array(json_object('head', head, 'opened', opened_at, 'closed', closed_by)) FROM episodes",
            ),
            (
                "messages",
                "SELECT json_group_array(json_object('about', about, 'state', state, 'reason', reason)) FROM messages",
            ),
        ] {
            println!("{what}: {}", self.claude.world.query(question));
        }
        for asked in self.model().asked().iter().rev().take(3) {
            println!("asked: {:?} -> {}", asked.text, asked.answer);
        }
    }
}

impl Stage {
    /// The real program, a repository whose remote is at a forge and is pushed to a folder, and a daemon that looks often.
    fn set(test: &str) -> Option<Stage> {
        offline();
        let github = GitHub::now();
        github.token("t0", "octocat").repository(REPO);
        let (mut bare, api) = (Utf8PathBuf::new(), github.url());
        let claude = Claude::started_with(test, |world| {
            bare = world.dir.join("remote.git");
            world.git(&["config", "user.name", "agent"]);
            world.git(&["config", "user.email", "agent@example.org"]);
            world.git(&["init", "-q", "--bare", bare.as_str()]);
            world.git(&["remote", "add", "origin", "https://github.com/acme/web.git"]);
            world.git(&["config", "remote.origin.pushurl", bare.as_str()]);
            world.git(&["push", "-q", "origin", "main"]);
            world.set("AO_GITHUB_API", &api);
            world.set("GITHUB_TOKEN", "t0");
            world.set("AO_FORGE_TICK", "200ms");
        })?;
        github.follow(REPO, &bare);
        claude.model.when("failed on your pull request", FIX);
        Some(Stage {
            claude,
            github,
            bare,
            checks: 0,
        })
    }

    fn model(&self) -> &Model {
        &self.claude.model
    }

    /// A session that has pushed something, and the number of its pull request.
    fn with_a_pull_request(&self) -> (String, u64) {
        let id = self.claude.spawn(&["--permissions", "bypass-permissions"], FIX);
        let head = self.pushed(&id);
        let branch = self.claude.world.session(&id)["branch"]
            .as_str()
            .unwrap()
            .to_owned();
        let number = self.github.open_pr(REPO, Pull::of(&branch, &head));
        settle("its pull request is found", || {
            self.claude.world.session(&id)["prs"][0]["number"] == number
        });
        (id, number)
    }

    /// Waits until a session has pushed something and rests; answers the commit.
    fn pushed(&self, id: &str) -> String {
        settle("it has pushed", || self.head(id).is_some());
        self.claude.until(id, "idle");
        self.head(id).unwrap()
    }

    /// The commit that the remote's branch of a session stands at.
    fn head(&self, id: &str) -> Option<String> {
        let branch = self.claude.world.session(id)["branch"].as_str()?.to_owned();
        let listed = self.claude.world.git_in(
            &self.bare,
            &[
                "for-each-ref",
                "--format=%(objectname)",
                &format!("refs/heads/{branch}"),
            ],
        );
        let commit = listed.trim();
        (!commit.is_empty()).then(|| commit.to_owned())
    }

    /// A job of this commit fails. Answers its number.
    fn fails(&mut self, head: &str) -> u64 {
        self.checks += 1;
        let job = self
            .github
            .check(REPO, head, Check::job(&format!("test {}", self.checks)));
        self.github.steps(
            job,
            &[
                Step::new("Set up job", "SUCCESS"),
                Step::new("Run cargo test", "FAILURE"),
            ],
        );
        self.github.log(job, Log::text(LOG));
        self.github.finish(job, "FAILURE");
        job
    }

    /// How many turns were begun by being told of this commit.
    fn told_of(&self, head: &str) -> usize {
        self.model().turns_with(&format!("at commit {}.", &head[..12]))
    }

    /// Waits until what was told of `head` is mended by another commit.
    fn until_mended(&self, id: &str, head: &str) -> String {
        settle("a fix is pushed", || self.head(id).is_some_and(|now| now != head));
        self.head(id).unwrap()
    }
}

/// The whole way, once, looked at closely.
#[test]
fn a_failing_check_reaches_the_agent_once_and_the_merge_completes_its_session() {
    let Some(mut stage) = Stage::set("pull_requests::a_failing_check_reaches_the_agent_once") else {
        return;
    };
    let (id, number) = stage.with_a_pull_request();
    let red = stage.head(&id).unwrap();
    stage.fails(&red);
    let green = stage.until_mended(&id, &red);
    let messages = stage.claude.messages(&id);
    assert_eq!(messages.len(), 1, "{messages:#?}");
    let told = &messages[0];
    assert_eq!(told["about"], "ci");
    settle("it is accepted", || {
        stage
            .claude
            .messages(&id)
            .iter()
            .all(|message| message["state"] == "accepted")
    });
    // What reached the model is what stands in the outbox, and nothing of the log acted on the way.
    assert_eq!(stage.told_of(&red), 1);
    let asked = stage.model().asked();
    let turn = asked
        .iter()
        .find(|asked| asked.text.contains(&red[..12]))
        .unwrap();
    for wanted in [
        "CI / test 1: failure, in step \"Run cargo test\"",
        "| assertion `left == right` failed",
        "|   left: 4",
        "src/lib.rs:7:9",
    ] {
        assert!(turn.text.contains(wanted), "`{wanted}` is not in\n{}", turn.text);
    }
    assert!(turn.text.len() < 8 * 1024, "{} bytes", turn.text.len());
    assert!(!turn.text.contains('\u{1b}'), "{:?}", turn.text);
    let script = turn
        .text
        .lines()
        .find(|line| line.contains("STUB: run touch owned"));
    assert!(script.is_none_or(|line| line.starts_with("| ")), "{script:?}");
    assert!(
        told["message"]
            .as_str()
            .is_some_and(|body| body.contains("assertion `left == right` failed"))
    );
    let status = stage.claude.world.session(&id);
    assert_eq!(status["prs"][0]["number"], number);

    // Green ends the episode, and the status follows.
    let job = stage.github.check(REPO, &green, Check::job("test 1"));
    stage.github.begin(job);
    settle("its checks run", || {
        stage.claude.world.session(&id)["prs"][0]["ci"] == "pending"
    });
    stage.github.finish(job, "SUCCESS");
    settle("its checks pass", || {
        stage.claude.world.session(&id)["prs"][0]["ci"] == "passing"
    });
    let open = stage
        .claude
        .world
        .query("SELECT CAST(count(*) AS TEXT) FROM episodes WHERE closed_at IS NULL");
    assert_eq!(open, "0");
    stage.claude.until(&id, "mergeable");
    stage.claude.typed(&id); // the log of its run goes with it
    stage.github.merge(REPO, number);
    let done = stage.claude.world.until(&id, "phase", "ended");
    assert_eq!(
        (&done["status"], &done["endReason"]),
        (&json!("merged"), &json!("completed"))
    );
    let worktree = Utf8PathBuf::from(done["worktree"]["path"].as_str().unwrap());
    assert!(worktree.join("work.txt").exists(), "its worktree stays");
    assert_eq!(stage.claude.messages(&id).len(), 1);
    let listed = stage.claude.world.ao(&["pr", "ls", "--all"]).ok().out;
    assert!(
        listed.contains(&format!("#{number}")) && listed.contains("merged"),
        "{listed}"
    );
    assert!(!worktree.join("owned").exists());
    assert!(stage.github.leaks().is_empty());
}

/// Deeds at a point of the loop: a child that panics there, or the daemon killed.
fn cut_the_loop(test: &str, points: &[&str], deeds: &[&str]) {
    let Some(mut stage) = Stage::set(test) else {
        return;
    };
    let (id, _) = stage.with_a_pull_request();
    let mut head = stage.head(&id).unwrap();
    let mut heads = Vec::new();
    for point in points {
        for side in ["before", "after"] {
            for deed in deeds {
                let name = format!("{point}.{side}");
                stage.claude.world.arm(&name, deed);
                stage.provoke(point);
                stage.fails(&head);
                stage.get_over(&name, deed);
                stage.github.refuse_pr(REPO, 1, None);
                let next = stage.until_mended(&id, &head);
                heads.push((format!("{deed} at {name}"), std::mem::replace(&mut head, next)));
            }
        }
    }
    stage.assert_told_once(&id, &heads);
    println!("{} cuts, each message once", heads.len());
}

impl Stage {
    /// Makes happen what does not come by itself.
    fn provoke(&self, point: &str) {
        match point {
            "gateway.line" => self.crash("gateways"),
            "pull.failed" => self.github.refuse_pr(REPO, 1, Some(Refusal::NotFound)),
            "repository.failed" => {
                let gone = Fault::Answer(404, Vec::new(), "{}".to_owned());
                self.github.fault(Where::Path("/pulls?".to_owned()), gone, 1);
            }
            _ => {}
        }
    }

    /// Crashes the one child that a roster has.
    fn crash(&self, roster: &str) {
        let tree = self.claude.world.tree();
        let path = tree
            .paths()
            .into_iter()
            .find(|path| path.contains(&format!("/{roster}/")));
        let path = path.unwrap_or_else(|| panic!("there is no child in {roster}: {:?}", tree.paths()));
        self.claude.world.break_child("crash", &path);
    }

    fn get_over(&mut self, name: &str, deed: &str) {
        if deed == "kill" {
            let world = &mut self.claude.world;
            world.wait_for_the_end();
            assert!(world.fired(), "the daemon ended, and not at {name}");
            world.start();
        } else {
            settle(&format!("{name} was reached"), || self.claude.world.fired());
        }
    }

    fn assert_told_once(&self, id: &str, heads: &[(String, String)]) {
        settle("all messages are accepted", || {
            let waiting = self
                .claude
                .world
                .query("SELECT CAST(count(*) AS TEXT) FROM messages WHERE state <> 'accepted'");
            waiting == "0"
        });
        for (what, head) in heads {
            assert_eq!(self.told_of(head), 1, "{what}: the message about {head}");
        }
        let about = self
            .claude
            .world
            .query("SELECT CAST(count(*) AS TEXT) FROM messages WHERE about = 'ci'");
        assert_eq!(about, heads.len().to_string(), "one message for each commit");
        assert_eq!(
            self.claude.world.session(id)["generation"],
            1,
            "it is the agent of the beginning"
        );
    }
}

#[test]
fn the_loop_survives_each_cut_of_the_one_who_talks_to_the_forge() {
    cut_the_loop(
        "pull_requests::the_loop_survives_each_cut_of_the_one_who_talks",
        &[
            "gateway.line",
            "gateway.list",
            "gateway.light",
            "gateway.detail",
            "gateway.evidence",
            "gateway.seen",
        ],
        &["panic", "kill"],
    );
}

#[test]
fn the_loop_survives_each_cut_of_a_pull_requests_child() {
    cut_the_loop(
        "pull_requests::the_loop_survives_each_cut_of_a_pull_requests_child",
        &[
            "pull.light",
            "pull.detail",
            "pull.evidence",
            "pull.seen",
            "pull.explained",
            "pull.unchanged",
            "pull.failed",
        ],
        &["panic", "kill"],
    );
}

#[test]
fn the_loop_survives_each_cut_of_a_repositorys_child_and_of_the_queueing() {
    cut_the_loop(
        "pull_requests::the_loop_survives_each_cut_of_a_repositorys_child",
        &[
            "repository.list",
            "repository.listed",
            "repository.pushed",
            "repository.failed",
            "nudge.queued",
        ],
        &["panic", "kill"],
    );
}

#[test]
fn the_loop_survives_each_cut_of_the_delivery() {
    cut_the_loop(
        "pull_requests::the_loop_survives_each_cut_of_the_delivery",
        &[
            "watch.look",
            "watch.screen",
            "outbox.look",
            "outbox.to_typing",
            "outbox.type",
            "outbox.to_typed",
            "hooks.list",
            "hooks.read",
            "hooks.apply",
        ],
        &["panic", "kill"],
    );
}

/// What comes once in a pull request's life: it is found, and it is merged.
#[test]
fn a_pull_request_is_found_and_its_session_completed_whatever_is_cut() {
    let Some(mut stage) = Stage::set("pull_requests::a_pull_request_is_found_and_its_session_completed")
    else {
        return;
    };
    for (number, (deed, side)) in [
        ("panic", "before"),
        ("panic", "after"),
        ("kill", "before"),
        ("kill", "after"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = stage.claude.spawn(&["--permissions", "bypass-permissions"], FIX);
        let head = stage.pushed(&id);
        let branch = stage.claude.world.session(&id)["branch"]
            .as_str()
            .unwrap()
            .to_owned();
        let found = format!("repository.commit.{side}");
        stage.claude.world.arm(&found, deed);
        let pull = stage.github.open_pr(REPO, Pull::of(&branch, &head));
        stage.get_over(&found, deed);
        settle("its pull request is found", || {
            stage.claude.world.session(&id)["prs"][0]["number"] == pull
        });
        let completed = format!("watch.completed.{side}");
        stage.claude.world.arm(&completed, deed);
        stage.claude.typed(&id); // the log of its run goes with it
        stage.github.merge(REPO, pull);
        stage.get_over(&completed, deed);
        let done = stage.claude.world.until(&id, "phase", "ended");
        assert_eq!(done["endReason"], "completed", "{deed} {side}");
        let tracked = stage
            .claude
            .world
            .query("SELECT CAST(count(*) AS TEXT) FROM pull_requests");
        assert_eq!(
            tracked,
            (number + 1).to_string(),
            "{deed} {side}: each is tracked once"
        );
    }
}

/// Where its project asks for it a merge takes a worktree away, if nothing would be lost with it.
#[test]
fn a_merge_takes_a_worktree_away_where_its_project_asks_for_it_and_nothing_would_be_lost() {
    let Some(stage) = Stage::set("pull_requests::a_merge_takes_a_worktree_away") else {
        return;
    };
    let world = &stage.claude.world;
    world
        .ao(&["project", "set-config", "web", "--reclaim-on-merge", "on"])
        .ok();
    for is_kept in [false, true] {
        let (id, number) = stage.with_a_pull_request();
        let path = world.session(&id)["worktree"]["path"]
            .as_str()
            .unwrap()
            .to_owned();
        let own = Utf8PathBuf::from(&path).join("half.txt");
        if is_kept {
            std::fs::write(&own, "written by a person").unwrap();
        }
        stage.claude.typed(&id); // the log of its run goes with it
        stage.github.merge(REPO, number);
        let done = world.until(&id, "phase", "ended");
        assert_eq!(done["endReason"], "completed");
        assert_eq!(Utf8PathBuf::from(&path).exists(), is_kept);
        assert_eq!(own.exists(), is_kept);
    }
}

/// At instants that nobody chose: the daemon is killed, or one of the three children is crashed.
#[test]
fn the_loop_survives_fifty_cuts_at_random_instants() {
    const CUTS: usize = 50;
    let Some(mut stage) = Stage::set("pull_requests::the_loop_survives_fifty_cuts") else {
        return;
    };
    let mut seed = Seed::printed("fifty cuts of the loop");
    let (id, _) = stage.with_a_pull_request();
    let mut head = stage.head(&id).unwrap();
    let mut heads = Vec::new();
    for cut in 0..CUTS {
        stage.fails(&head);
        std::thread::park_timeout(std::time::Duration::from_millis(seed.below(2_500)));
        let what = match cut % 4 {
            0 => {
                let world = &mut stage.claude.world;
                world.kill_now();
                world.wait_for_the_end();
                world.start();
                "the daemon"
            }
            kind => {
                let roster = ["gateways", "repositories", "pulls"][kind - 1];
                stage.crash(roster);
                roster
            }
        };
        let next = stage.until_mended(&id, &head);
        heads.push((format!("cut {cut} of {what}"), std::mem::replace(&mut head, next)));
    }
    stage.assert_told_once(&id, &heads);
}

/// Told three times of one commit it has not mended it: a person is told, once for each commit, whatever is cut.
#[test]
fn who_was_told_often_enough_is_told_no_more_and_its_person_is_once() {
    let Some(mut stage) = Stage::set("pull_requests::who_was_told_often_enough") else {
        return;
    };
    let (id, _) = stage.with_a_pull_request();
    stage
        .model()
        .when("failed on your pull request", "STUB: say I cannot");
    let worktree = stage.claude.world.session(&id)["worktree"]["path"]
        .as_str()
        .unwrap()
        .to_owned();
    for (number, (deed, side)) in [
        ("panic", "before"),
        ("panic", "after"),
        ("kill", "before"),
        ("kill", "after"),
    ]
    .into_iter()
    .enumerate()
    {
        let head = stage.head(&id).unwrap();
        for times in 1..=3 {
            stage.fails(&head);
            settle("it is told", || stage.told_of(&head) == times);
            stage.claude.until(&id, "ci_failed");
        }
        let point = format!("nudge.noticed.{side}");
        stage.claude.world.arm(&point, deed);
        stage.fails(&head);
        stage.get_over(&point, deed);
        let notices = "SELECT CAST(count(*) AS TEXT) FROM notices";
        settle("a person is told", || {
            stage.claude.world.query(notices) == (number + 1).to_string()
        });
        let overview = stage.claude.world.ao(&[]).ok().out;
        assert!(
            overview.contains("told 3 times of failing checks of #1"),
            "{overview}"
        );
        assert_eq!(stage.told_of(&head), 3);
        // Another commit is another matter.
        let git = |words: &[&str]| stage.claude.world.git_in(worktree.as_str().into(), words);
        git(&["commit", "-q", "--allow-empty", "-m", "by hand"]);
        git(&["push", "-q", "origin", "HEAD"]);
        let open = "SELECT CAST(count(*) AS TEXT) FROM notices WHERE closed_at IS NULL";
        settle("the notice is over", || stage.claude.world.query(open) == "0");
    }
    let told = "SELECT CAST(count(*) AS TEXT) FROM messages WHERE about = 'ci'";
    assert_eq!(stage.claude.world.query(told), "12");
}
