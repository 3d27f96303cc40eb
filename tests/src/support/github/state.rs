//! Everything that is on the stand-in: tokens, repositories, pull requests, checks.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::process::Command;

use camino::Utf8PathBuf;

use super::budget::Token;
use super::check::{Check, CheckRun, Context, Outcome, Status};
use super::pull::Entry;
use super::refusal::Refusal;

/// The first id of everything that is counted: GitHub's do not fit into 32 bits.
const FIRST_ID: u64 = 21_000_000_000;

pub(super) struct State {
    pub(super) tokens: BTreeMap<String, Token>,
    /// By name in lower case: GitHub does not tell the two apart.
    pub(super) repositories: BTreeMap<String, Repository>,
    /// Those that were deleted, likewise.
    pub(super) deleted: BTreeMap<String, Repository>,
    /// Where people would look at things, without a slash at the end.
    pub(super) web: String,
    last_id: u64,
}

/// A repository.
pub(super) struct Repository {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) pulls: BTreeMap<u64, Entry>,
    pub(super) runs: Vec<CheckRun>,
    pub(super) statuses: Vec<Status>,
    /// Names of checks that have to succeed before a merge.
    pub(super) required: BTreeSet<String>,
    /// What everybody is told of each check who asks for a pull request's.
    pub(super) checks_refused: Option<Refusal>,
    /// The bare repository whose branches decide about heads and bases.
    follows: Option<Utf8PathBuf>,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            tokens: BTreeMap::new(),
            repositories: BTreeMap::new(),
            deleted: BTreeMap::new(),
            web: "https://github.com".to_owned(),
            last_id: FIRST_ID,
        }
    }

    pub(super) fn id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn token(&mut self, token: &str) -> &mut Token {
        let found = self.tokens.get_mut(token);
        found.unwrap_or_else(|| panic!("no token `{token}` was made"))
    }

    pub(super) fn repository(&mut self, name: &str) -> &mut Repository {
        let found = self.repositories.get_mut(&name.to_lowercase());
        found.unwrap_or_else(|| panic!("no repository `{name}` was made"))
    }

    pub(super) fn make(&mut self, name: &str) {
        let repository = Repository {
            id: self.id(),
            name: name.to_owned(),
            pulls: BTreeMap::new(),
            runs: Vec::new(),
            statuses: Vec::new(),
            required: BTreeSet::new(),
            checks_refused: None,
            follows: None,
        };
        self.repositories.insert(name.to_lowercase(), repository);
    }

    /// What a token sees under a name.
    pub(super) fn sight(&self, token: &str, name: &str) -> Result<&Repository, Refusal> {
        let name = name.to_lowercase();
        let refused = self.tokens.get(token).and_then(|token| token.refused.get(&name));
        match (refused, self.repositories.get(&name)) {
            (Some(refusal), _) => Err(*refusal),
            (None, found) => found.ok_or(Refusal::NotFound),
        }
    }

    /// The check run with that id, wherever it is.
    pub(super) fn run(&mut self, id: u64) -> &mut CheckRun {
        let mut runs = self
            .repositories
            .values_mut()
            .flat_map(|repository| &mut repository.runs);
        runs.find(|run| run.id == id)
            .unwrap_or_else(|| panic!("no check run {id} was made"))
    }

    /// Adds a check run to the suite of its app, workflow and run.
    pub(super) fn check(&mut self, name: &str, sha: &str, check: Check) -> u64 {
        let (id, fresh) = (self.id(), self.id());
        let repository = self.repository(name);
        let same = |run: &&CheckRun| {
            let other = &run.check;
            run.sha == sha
                && (&other.app, &other.workflow, other.run) == (&check.app, &check.workflow, check.run)
        };
        let suite = repository.runs.iter().find(same).map_or(fresh, |run| run.suite);
        repository.runs.push(CheckRun::queued(id, sha, check, suite, 1));
        id
    }

    /// Another attempt of a check run, in the place of the one before.
    pub(super) fn rerun(&mut self, id: u64) -> u64 {
        let fresh = self.id();
        let is_in = |repository: &&mut Repository| repository.runs.iter().any(|run| run.id == id);
        let mut repositories = self.repositories.values_mut();
        let found = repositories.find(is_in);
        let repository = found.unwrap_or_else(|| panic!("no check run {id} was made"));
        let mut again = None;
        for run in repository.runs.iter_mut().filter(|run| run.id == id) {
            run.is_replaced = true;
            again = Some(CheckRun::queued(
                fresh,
                &run.sha,
                run.check.clone(),
                run.suite,
                run.attempt + 1,
            ));
        }
        repository.runs.extend(again);
        fresh
    }

    /// Reads heads and bases of the repositories that follow one on disk.
    pub(super) fn look(&mut self, now: i64) {
        for repository in self.repositories.values_mut() {
            repository.look(now);
        }
    }
}

impl Repository {
    pub(super) fn entry(&mut self, number: u64) -> &mut Entry {
        let name = &self.name;
        let found = self.pulls.get_mut(&number);
        found.unwrap_or_else(|| panic!("no pull request {number} was made in `{name}`"))
    }

    /// Moves a branch.
    pub(super) fn push(&mut self, branch: &str, sha: &str, now: i64) {
        for entry in self.pulls.values_mut().filter(|entry| entry.is_open()) {
            entry.move_branch(branch, sha, now);
        }
    }

    pub(super) fn follow(&mut self, path: Utf8PathBuf) {
        self.follows = Some(path);
    }

    /// What is on a commit, oldest first, check runs before statuses.
    pub(super) fn contexts(&self, sha: &str) -> Vec<Context<'_>> {
        let runs = self.runs.iter().filter(|run| run.sha == sha && !run.is_replaced);
        let statuses = self.statuses.iter().filter(|status| status.sha == sha);
        runs.map(Context::Run)
            .chain(statuses.map(Context::Status))
            .collect()
    }

    /// What they come to; `None` when there is nothing.
    pub(super) fn rollup(&self, sha: &str) -> Option<Outcome> {
        self.contexts(sha).iter().map(Context::outcome).max()
    }

    /// GitHub's `mergeStateStatus`.
    pub(super) fn merge_state<'a>(&self, entry: &'a Entry) -> &'a str {
        let pull = &entry.pull;
        if let Some(state) = &pull.merge_state {
            return state;
        }
        let contexts = self.contexts(&pull.sha);
        let worst = contexts
            .iter()
            .map(Context::outcome)
            .max()
            .unwrap_or(Outcome::Good);
        let is_good = |name: &String| {
            let mut same = contexts.iter().filter(|context| context.name() == name);
            same.any(|context| context.outcome() == Outcome::Good)
        };
        match (pull.mergeable.as_str(), entry.review_decision()) {
            _ if !entry.is_open() => "UNKNOWN",
            ("CONFLICTING", _) => "DIRTY",
            ("UNKNOWN", _) => "UNKNOWN",
            _ if pull.draft => "DRAFT",
            (_, Some("CHANGES_REQUESTED" | "REVIEW_REQUIRED")) => "BLOCKED",
            _ if !self.required.iter().all(is_good) => "BLOCKED",
            _ if worst != Outcome::Good => "UNSTABLE",
            _ => "CLEAN",
        }
    }

    /// Heads and bases as they are in the bare repository that it follows.
    fn look(&mut self, now: i64) {
        let Some(path) = &self.follows else {
            return;
        };
        for (branch, sha) in branches(path) {
            self.push(&branch, &sha, now);
        }
    }
}

/// The branches of a bare repository, with their commits. One that cannot be read has none.
#[expect(
    clippy::disallowed_methods,
    reason = "the stand-in is outside of the daemon's tree, and git ends by itself"
)]
fn branches(path: &Utf8PathBuf) -> BTreeMap<String, String> {
    let mut git = Command::new("git");
    git.arg(format!("--git-dir={path}"));
    git.args([
        "for-each-ref",
        "--format=%(objectname) %(refname:lstrip=2)",
        "refs/heads",
    ]);
    let out = git.output().map(|out| out.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&out).into_owned();
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs
        .map(|(sha, name)| (name.to_owned(), sha.to_owned()))
        .collect()
}

/// Forty digits that only what was given decides.
pub(super) fn digits(of: impl std::hash::Hash) -> String {
    let mut text = String::new();
    for part in 0..3_u8 {
        let mut hasher = DefaultHasher::new();
        (part, &of).hash(&mut hasher);
        text += &format!("{:016x}", hasher.finish());
    }
    text.truncate(40);
    text
}

/// A time as GitHub writes it: to the second, in UTC.
pub(super) fn time(at_ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(at_ms).expect("a clock of this age");
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
