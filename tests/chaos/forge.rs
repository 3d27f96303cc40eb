//! Whoever talks to the forge, looks after a pull request or tells of it hangs at each point of that: its agent is told once of what
//! fails, and the merge completes its session. (That the same is so where it panics or the daemon is killed is shown with a real
//! agent: `tests/real`.)

use ao_tests::github::{Check, Fault, GitHub, Log, Pull, Refusal, Step, Where};
use ao_tests::{World, settle};
use serde_json::json;

use crate::cut::{at_each, get_over, points, world_for};

const REPO: &str = "acme/web";

/// A forge, a session whose agent takes messages and whose branch is pushed, and a daemon that looks often.
struct Stage {
    world: World,
    github: GitHub,
    id: String,
    branch: String,
}

impl Stage {
    fn set(deed: &str) -> Self {
        let github = GitHub::now();
        github.token("t0", "octocat").repository(REPO);
        let mut world = world_for(deed);
        let bare = world.dir.join("remote.git");
        world.git(&["init", "-q", "--bare", bare.as_str()]);
        world.git(&["remote", "add", "origin", "https://github.com/acme/web.git"]);
        world.git(&["config", "remote.origin.pushurl", bare.as_str()]);
        world.git(&["push", "-q", "origin", "main"]);
        world.set("AO_GITHUB_API", &github.url());
        world.set("GITHUB_TOKEN", "t0");
        world.set("AO_FORGE_TICK", "200ms");
        if deed == "hang" {
            world.set("AO_FAULT_QUESTION", "3000");
        }
        world.agent(env!("CARGO_BIN_EXE_stand-in-agent"));
        github.follow(REPO, &bare);
        world.begin();
        let id = world.spawn_claude("hello");
        let session = world.until(&id, "status", "idle");
        let branch = session["branch"].as_str().unwrap().to_owned();
        let stage = Self {
            world,
            github,
            id,
            branch,
        };
        stage.push();
        stage
    }

    /// Another commit, made and pushed as an agent would; answers it.
    fn push(&self) -> String {
        let worktree = self.world.session(&self.id)["worktree"]["path"]
            .as_str()
            .unwrap()
            .to_owned();
        let git = |words: &[&str]| self.world.git_in(worktree.as_str().into(), words);
        git(&["commit", "-q", "--allow-empty", "-m", "more"]);
        git(&["push", "-q", "origin", "HEAD"]);
        git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    fn open(&self) -> u64 {
        let head = self.world.git(&["rev-parse", &self.branch]);
        self.github.open_pr(REPO, Pull::of(&self.branch, head.trim()))
    }

    fn until_found(&self, number: u64) {
        settle("its pull request is found", || {
            self.world.session(&self.id)["prs"][0]["number"] == number
        });
    }

    /// Another job of this commit fails.
    fn fails(&self, head: &str, number: u32) {
        let job = self
            .github
            .check(REPO, head, Check::job(&format!("test {number}")));
        // Else it is waited for: a log comes a while after its job.
        let steps = [
            Step::new("Set up job", "SUCCESS"),
            Step::new("Run tests", "FAILURE"),
        ];
        self.github.steps(job, &steps);
        let log = "##[group]Run tests\nassertion failed\n##[error]Process completed with exit code 1.\n";
        self.github.log(job, Log::text(log));
        self.github.finish(job, "FAILURE");
    }

    /// How many messages about failing checks there are, and how many of them its agent has taken.
    fn told(&self) -> (usize, usize) {
        let list = self.world.get(&format!("/api/v1/sessions/{}/messages", self.id));
        let all = list["messages"].as_array().unwrap();
        let told = all.iter().filter(|message| message["about"] == "ci");
        let taken = told.clone().filter(|message| message["state"] == "accepted");
        (told.count(), taken.count())
    }

    fn until_told(&self, point: &str, times: usize) {
        settle(&format!("{point}: it is told"), || self.told() == (times, times));
        let prompts = self.world.asked().len();
        assert_eq!(prompts, 1 + times, "{point}: {:?}", self.world.asked());
    }

    /// Makes happen what does not come by itself.
    fn provoke(&self, point: &str) {
        match point.rsplit_once('.').unwrap().0 {
            "gateway.line" => {
                let path = "ao/observe/gateways/github.com";
                assert_eq!(self.world.break_child("crash", path).status, 200);
            }
            "pull.failed" => self.github.refuse_pr(REPO, 1, Some(Refusal::NotFound)),
            "repository.failed" => {
                let gone = Fault::Answer(404, Vec::new(), "{}".to_owned());
                self.github.fault(Where::Path("/pulls?".to_owned()), gone, 1);
            }
            _ => {}
        }
    }
}

#[test]
fn the_loop_with_a_forge_survives_a_hang_at_every_step() {
    let names = [
        "gateway.",
        "pull.",
        "repository.",
        "nudge.queued",
        "watch.completed",
    ];
    at_each("hang", points(&names), |point| {
        let mut stage = Stage::set("hang");
        let is_found = point.starts_with("repository.commit") || point.starts_with("repository.listed");
        if is_found {
            stage.world.arm(point, "hang");
        }
        let number = stage.open();
        if is_found {
            get_over(&mut stage.world, point, "hang");
        }
        stage.until_found(number);
        let is_done = point.starts_with("watch.completed");
        if !is_found && !is_done {
            stage.world.arm(point, "hang");
        }
        stage.provoke(point);
        let head = stage.push();
        stage.fails(&head, 1);
        if !is_found && !is_done {
            get_over(&mut stage.world, point, "hang");
        }
        stage.github.refuse_pr(REPO, 1, None);
        stage.until_told(point, 1);
        if is_done {
            stage.world.arm(point, "hang");
        }
        stage.github.merge(REPO, number);
        if is_done {
            get_over(&mut stage.world, point, "hang");
        }
        let done = stage.world.until(&stage.id, "phase", "ended");
        assert_eq!(done["endReason"], json!("completed"), "{point}");
        assert_eq!(stage.told(), (1, 1), "{point}");
        let tracked = "SELECT CAST(count(*) AS TEXT) FROM pull_requests";
        assert_eq!(stage.world.query(tracked), "1", "{point}");
    });
}

/// Told three times of one commit it is told no more: a person is, once, wherever the one hangs who tells that.
#[test]
fn what_a_person_is_told_survives_a_hang_at_every_step() {
    at_each("hang", points(&["nudge.noticed"]), |point| {
        let mut stage = Stage::set("hang");
        let number = stage.open();
        stage.until_found(number);
        let head = stage.push();
        for times in 1..=3 {
            stage.fails(&head, times);
            stage.until_told(point, usize::try_from(times).unwrap());
        }
        stage.world.arm(point, "hang");
        stage.fails(&head, 4);
        get_over(&mut stage.world, point, "hang");
        let notices = "SELECT CAST(count(*) AS TEXT) FROM notices";
        settle(&format!("{point}: a person is told"), || {
            stage.world.query(notices) == "1"
        });
        stage.github.merge(REPO, number);
        let done = stage.world.until(&stage.id, "phase", "ended");
        assert_eq!(done["endReason"], json!("completed"), "{point}");
        assert_eq!(
            (stage.world.query(notices).as_str(), stage.told()),
            ("1", (3, 3)),
            "{point}"
        );
    });
}
