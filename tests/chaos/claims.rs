//! A claim is cut at each of its steps: the pull request changes hands once, its session starts from its head, and nothing is doubled.

use std::time::Duration;

use ao_tests::github::{GitHub, Home, Pull};
use ao_tests::{World, settle, within};
use camino::Utf8Path;
use serde_json::{Value, json};

use crate::cut::{Request, assert_census, at_each, counted, end, get_over, points, starts, world_for};

const REPO: &str = "acme/web";
const ORIGIN: &str = "https://github.com/acme/web.git";

struct Stage {
    world: World,
    _github: GitHub,
    /// The pull request, and its head.
    number: u64,
    head: String,
    /// The session that has it.
    first: String,
}

impl Stage {
    /// A living session has the pull request.
    fn set(deed: &str) -> Self {
        let github = GitHub::now();
        github.token("t0", "octocat").repository(REPO);
        let mut world = world_for(deed);
        let bare = world.dir.join("remote.git");
        world.git(&["init", "-q", "--bare", bare.as_str()]);
        world.git(&["remote", "add", "origin", ORIGIN]);
        world.git(&["config", &format!("url.{bare}.insteadOf"), ORIGIN]);
        world.git(&["push", "-q", "origin", "main"]);
        world.set("AO_GITHUB_API", &github.url());
        world.set("GITHUB_TOKEN", "t0");
        world.set("AO_FORGE_TICK", "200ms");
        let elsewhere = world.dir.join("elsewhere");
        world.git(&["clone", "-q", bare.as_str(), elsewhere.as_str()]);
        let git = |words: &[&str]| world.git_in(&elsewhere, words);
        git(&["commit", "-q", "--allow-empty", "-m", "of a stranger"]);
        let head = git(&["rev-parse", "HEAD"]).trim().to_owned();
        let mut pull = Pull::of("patch", &head);
        pull.home = Home::Fork("stranger/web".to_owned());
        let number = github.open_pr(REPO, pull);
        git(&["push", "-q", "origin", &format!("HEAD:refs/pull/{number}/head")]);
        world.begin();
        let first = world.spawn("exec sleep 1000");
        world.until(&first, "phase", "live");
        let stage = Self {
            world,
            _github: github,
            number,
            head,
            first,
        };
        let (status, answer) = stage.claim(&stage.first).ask(&stage.world);
        assert_eq!(status, 200, "{answer}");
        stage
    }

    fn claim(&self, id: &str) -> Request<'static> {
        let path: &'static str = Box::leak(format!("/api/v1/sessions/{id}/pr/claim").into_boxed_str());
        Request::new("POST", path, Some(json!({"pr": self.number.to_string()})))
    }

    fn spawn(&self, script: &str) -> Request<'static> {
        let body = json!({"projectId": "web", "harness": "shell", "command": ["/bin/sh", "-c", script],
            "claimPr": self.number.to_string()});
        Request::new("POST", "/api/v1/sessions", Some(body)).keyed("the-key")
    }

    /// Asserts that the pull request is this session's alone, taken from the first one by one claim.
    fn assert_taken(&self, point: &str, id: &str) {
        let has = |id: &str| self.world.session(id)["prs"][0]["number"] == self.number;
        settle(&format!("{point}: it has changed hands"), || {
            has(id) && !has(&self.first)
        });
        let taken = format!(
            "SELECT group_concat(owner) FROM claims WHERE session_id = '{id}' AND state = 'made' AND owner IS NOT NULL"
        );
        assert_eq!(self.world.query(&taken), self.first, "{point}");
        let rows = "SELECT CAST(count(*) AS TEXT) FROM pull_requests";
        assert_eq!(self.world.query(rows), "1", "{point}");
        let open = "SELECT CAST(count(*) AS TEXT) FROM claims WHERE state = 'asked'";
        assert_eq!(self.world.query(open), "0", "{point}");
    }
}

fn cut_a_spawn_with_a_claim(deed: &str) {
    at_each(deed, points(&["intent.spawn", "claim."]), |point| {
        let mut stage = Stage::set(deed);
        let script = counted(&stage.world);
        stage.world.arm(point, deed);
        let _waits = stage.spawn(&script).to_be_cut(&stage.world, point, deed);
        get_over(&mut stage.world, point, deed);
        // Whoever lost the answer asks again under the same key.
        let (status, answer): (u16, Value) = stage.spawn(&script).ask(&stage.world);
        assert!(matches!(status, 201 | 202), "{point}: {answer}");
        let id = answer["session"]["id"].as_str().unwrap().to_owned();
        let session = stage.world.until(&id, "status", "working");
        assert_eq!(id, "web-2", "{point}: one session was asked for");
        stage.assert_taken(point, &id);
        assert_eq!(session["foreignCode"], true, "{point}");
        let path = Utf8Path::new(session["worktree"]["path"].as_str().unwrap());
        let head = stage.world.git_in(path, &["rev-parse", "HEAD"]);
        assert_eq!(head.trim(), stage.head, "{point}");
        within(Duration::from_secs(10), "the agent has left its line", || {
            (starts(&stage.world) > 0).then_some(())
        });
        assert_eq!(
            starts(&stage.world),
            1,
            "{point}: the agent was started more than once"
        );
        assert_census(&stage.world, point, 2);
        stage.world.ao(&["session", "kill", &stage.first]).ok();
        end(&stage.world, point, &id);
    });
}

fn cut_a_claim(deed: &str) {
    at_each(
        deed,
        points(&["intent.claim", "claim.asked", "claim.answered"]),
        |point| {
            let mut stage = Stage::set(deed);
            let id = stage.world.spawn("exec sleep 1000");
            stage.world.until(&id, "phase", "live");
            stage.world.arm(point, deed);
            let _waits = stage.claim(&id).to_be_cut(&stage.world, point, deed);
            get_over(&mut stage.world, point, deed);
            let (status, answer) = stage.claim(&id).ask(&stage.world);
            assert_eq!(status, 200, "{point}: {answer}");
            stage.assert_taken(point, &id);
        },
    );
}

#[test]
fn a_spawn_with_a_claim_survives_a_kill_at_every_step() {
    cut_a_spawn_with_a_claim("kill");
}

#[test]
fn a_spawn_with_a_claim_survives_a_panic_at_every_step() {
    cut_a_spawn_with_a_claim("panic");
}

#[test]
fn a_spawn_with_a_claim_survives_a_hang_at_every_step() {
    cut_a_spawn_with_a_claim("hang");
}

#[test]
fn a_claim_survives_a_kill_at_every_step() {
    cut_a_claim("kill");
}

#[test]
fn a_claim_survives_a_panic_at_every_step() {
    cut_a_claim("panic");
}

#[test]
fn a_claim_survives_a_hang_at_every_step() {
    cut_a_claim("hang");
}
