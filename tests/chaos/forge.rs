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
        let mut stage = Self {
            world,
            github,
            id: String::new(),
        };
        stage.id = stage.session();
        stage
    }

    /// One more session that rests and has pushed.
    fn session(&self) -> String {
        let id = self.world.spawn_claude("hello");
        self.world.until(&id, "status", "idle");
        self.push(&id);
        id
    }

    fn text(&self, id: &str, pointer: &str) -> String {
        let session = self.world.session(id);
        session.pointer(pointer).unwrap().as_str().unwrap().to_owned()
    }

    /// Another commit, made and pushed as an agent would; answers it.
    fn push(&self, id: &str) -> String {
        let worktree = self.text(id, "/worktree/path");
        let git = |words: &[&str]| self.world.git_in(worktree.as_str().into(), words);
        git(&["commit", "-q", "--allow-empty", "-m", "more"]);
        git(&["push", "-q", "origin", "HEAD"]);
        git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    fn open(&self, id: &str) -> u64 {
        let branch = self.text(id, "/branch");
        let head = self.world.git(&["rev-parse", &branch]);
        self.github.open_pr(REPO, Pull::of(&branch, head.trim()))
    }

    fn until_found(&self, id: &str, number: u64) {
        settle("its pull request is found", || {
            self.world.session(id)["prs"][0]["number"] == number
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

    /// The numbers of the pull requests of which this is so.
    fn pulls(&self, so: &str) -> String {
        let numbers = format!("SELECT number FROM pull_requests WHERE {so} ORDER BY number");
        self.world.query(&format!(
            "SELECT coalesce(group_concat(number), '') FROM ({numbers})"
        ))
    }

    /// How many messages about failing checks there are, and how many of them its agent has taken.
    fn told(&self, id: &str) -> (usize, usize) {
        let list = self.world.get(&format!("/api/v1/sessions/{id}/messages"));
        let all = list["messages"].as_array().unwrap();
        let told = all.iter().filter(|message| message["about"] == "ci");
        let taken = told.clone().filter(|message| message["state"] == "accepted");
        (told.count(), taken.count())
    }

    fn until_told(&self, point: &str, times: usize) {
        settle(&format!("{point}: it is told"), || {
            self.told(&self.id) == (times, times)
        });
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
        let number = stage.open(&stage.id);
        if is_found {
            get_over(&mut stage.world, point, "hang");
        }
        stage.until_found(&stage.id, number);
        let is_done = point.starts_with("watch.completed");
        if !is_found && !is_done {
            stage.world.arm(point, "hang");
        }
        stage.provoke(point);
        let head = stage.push(&stage.id);
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
        assert_eq!(stage.told(&stage.id), (1, 1), "{point}");
        let tracked = "SELECT CAST(count(*) AS TEXT) FROM pull_requests";
        assert_eq!(stage.world.query(tracked), "1", "{point}");
    });
}

/// Told three times of one commit it is told no more: a person is, once, wherever the one hangs who tells that.
#[test]
fn what_a_person_is_told_survives_a_hang_at_every_step() {
    at_each("hang", points(&["nudge.noticed"]), |point| {
        let mut stage = Stage::set("hang");
        let number = stage.open(&stage.id);
        stage.until_found(&stage.id, number);
        let head = stage.push(&stage.id);
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
            (stage.world.query(notices).as_str(), stage.told(&stage.id)),
            ("1", (3, 3)),
            "{point}"
        );
    });
}

/// The original's observer took one pull request after another, and could be cut off between two. Here each has a child of its own: of
/// two that both fail the one is read, or its agent's message is queued, and whoever did that is cut while the other cannot be read yet.
#[test]
fn an_observer_that_is_cut_between_two_pull_requests_tells_of_both_once() {
    for deed in ["kill", "panic", "hang"] {
        let between = ["pull.seen.after", "nudge.queued.after"].map(str::to_owned);
        at_each(deed, between.to_vec(), |point| {
            let mut stage = Stage::set(deed);
            let ids = [stage.id.clone(), stage.session()];
            let numbers = [0, 1].map(|at| stage.open(&ids[at]));
            for (id, number) in ids.iter().zip(numbers) {
                stage.until_found(id, number);
                stage.github.refuse_pr(REPO, number, Some(Refusal::Forbidden));
            }
            for id in &ids {
                let head = stage.push(id);
                stage.fails(&head, 1);
            }
            // From here on no look is under way that knows nothing of it.
            settle(&format!("{point}: neither can be read"), || {
                stage.pulls("failures > 0") == "1,2"
            });
            stage.world.arm(point, deed);
            stage.github.refuse_pr(REPO, numbers[0], None);
            settle(&format!("{point} was reached"), || stage.world.fired());
            assert_eq!(
                stage.pulls("ci = 'failing'"),
                "1",
                "{point}, {deed}: it is not between the two"
            );
            get_over(&mut stage.world, point, deed);
            stage.github.refuse_pr(REPO, numbers[1], None);
            for id in &ids {
                settle(&format!("{point}, {deed}: {id} is told"), || {
                    stage.told(id) == (1, 1)
                });
            }
            for (id, number) in ids.iter().zip(numbers) {
                stage.github.merge(REPO, number);
                stage.world.until(id, "phase", "ended");
                assert_eq!(stage.told(id), (1, 1), "{point}, {deed}");
            }
            let asked = stage.world.asked();
            assert_eq!(asked.len(), 4, "{point}, {deed}: {asked:?}");
        });
    }
}
