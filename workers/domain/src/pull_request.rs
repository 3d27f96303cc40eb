//! Pull requests as forges tell of them: the records, and what follows from each by itself.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::session::words;
use crate::{Session, SessionId, SessionKind, Timestamp, UnknownWord};

/// A repository on a forge. Forges do not tell names apart by their case, so neither do we: all is lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteRepo {
    /// Where the forge is, such as `forge.example`.
    pub host: String,
    /// Owner and name, such as `acme/web`.
    pub path: String,
}

impl RemoteRepo {
    /// The repository `path` at `host`.
    pub fn new(host: &str, path: &str) -> Self {
        Self {
            host: host.to_lowercase(),
            path: path.to_lowercase(),
        }
    }
}

impl fmt::Display for RemoteRepo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

/// No repository: host, owner and name are wanted, with `/` between them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` does not name a repository as `host/owner/name`")]
pub struct NoRepo(String);

impl FromStr for RemoteRepo {
    type Err = NoRepo;

    fn from_str(text: &str) -> Result<Self, NoRepo> {
        match text.split_once('/') {
            Some((host, path)) if !host.is_empty() && path.contains('/') => Ok(Self::new(host, path)),
            _ => Err(NoRepo(text.to_owned())),
        }
    }
}

/// A pull request's name on its forge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrRef {
    /// Where.
    pub repo: RemoteRepo,
    /// Its number there.
    pub number: u64,
}

impl fmt::Display for PrRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.repo.path, self.number)
    }
}

words! {
    /// Where a pull request stands.
    PrState, "state of a pull request" {
        /// It is not to be merged yet, its author says.
        Draft = "draft",
        /// It may be merged.
        Open = "open",
        /// It was merged.
        Merged = "merged",
        /// It was closed without a merge.
        Closed = "closed",
    }
}

impl PrState {
    /// Whether it can still change by a push.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Draft | Self::Open)
    }
}

words! {
    /// What its checks say together.
    Ci, "state of checks" {
        /// There is no check, or none was read.
        Unknown = "unknown",
        /// None has failed, and some are not done.
        Pending = "pending",
        /// All are done, and none has failed.
        Passing = "passing",
        /// One or more have failed.
        Failing = "failing",
    }
}

words! {
    /// What its reviewers have decided.
    Review, "review decision" {
        /// Nothing, and nothing is asked for.
        None = "none",
        /// It is good.
        Approved = "approved",
        /// Something has to change.
        ChangesRequested = "changes_requested",
        /// Somebody has to look at it.
        Required = "review_required",
    }
}

words! {
    /// Whether it could be merged.
    Mergeability, "mergeability" {
        /// The forge has not worked it out.
        Unknown = "unknown",
        /// It can.
        Mergeable = "mergeable",
        /// Its base has changed the same lines.
        Conflicting = "conflicting",
        /// A rule of its repository stands against it.
        Blocked = "blocked",
        /// It can, but something that is not asked for has failed.
        Unstable = "unstable",
    }
}

words! {
    /// How one check stands.
    CheckStatus, "status of a check" {
        /// A word that is not known here.
        Unknown = "unknown",
        /// It has not begun.
        Queued = "queued",
        /// It runs.
        InProgress = "in_progress",
        /// It went well.
        Passed = "passed",
        /// It went wrong.
        Failed = "failed",
        /// It was not to run.
        Skipped = "skipped",
        /// It was taken back: by a person, or because a newer one of its kind began.
        Cancelled = "cancelled",
    }
}

words! {
    /// What is known of why a check failed.
    Evidence, "evidence" {
        /// It has not failed: there is nothing to ask.
        Unasked = "unasked",
        /// It has failed, and its log is still to be read.
        Wanted = "wanted",
        /// It was read.
        Read = "read",
        /// It cannot be had.
        Unavailable = "unavailable",
    }
}

/// One check of a head commit: the newest attempt of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What tells it from the other checks of the same commit: application, workflow and name.
    pub key: String,
    /// Its name as people see it: `ci / test`.
    pub name: String,
    /// How it stands.
    pub status: CheckStatus,
    /// The forge's own word for its end.
    pub conclusion: String,
    /// Where a person reads about it.
    pub url: String,
    /// The forge's name for this attempt, by which its log is asked for; `None` where it has none.
    pub attempt: Option<String>,
    /// Orders attempts of one key: of two, the larger is newer.
    pub order: u64,
    /// Whether a merge needs it.
    pub required: bool,
    /// What the check says itself, in short.
    pub summary: String,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// What is known of why it failed.
    pub evidence: Evidence,
    /// The step that failed.
    pub step: Option<String>,
    /// The end of that step's log, or why there is none.
    pub log: String,
}

impl Check {
    /// What stands for this attempt among what was told: a check that is run again and fails again is news.
    pub fn told_as(&self) -> String {
        format!("{}@{}", self.key, self.order)
    }
}

/// Of several attempts of the same check the newest, in the order of their names: what was superseded or run again counts no more.
pub fn newest(checks: Vec<Check>) -> Vec<Check> {
    let mut by_key: BTreeMap<String, Check> = BTreeMap::new();
    for check in checks {
        match by_key.get(&check.key) {
            Some(known) if known.order > check.order => {}
            _ => {
                by_key.insert(check.key.clone(), check);
            }
        }
    }
    let mut newest: Vec<Check> = by_key.into_values().collect();
    newest.sort_by(|one, other| (&one.name, &one.key).cmp(&(&other.name, &other.key)));
    newest
}

/// What checks say together. One that was cancelled or skipped says nothing, so a commit that has only such is not judged; nor is one
/// of which a check has a word that is not known here.
pub fn ci_of(checks: &[Check]) -> Ci {
    let is = |wanted: &[CheckStatus]| checks.iter().any(|check| wanted.contains(&check.status));
    if is(&[CheckStatus::Failed]) {
        Ci::Failing
    } else if is(&[CheckStatus::Queued, CheckStatus::InProgress]) {
        Ci::Pending
    } else if is(&[CheckStatus::Passed]) && !is(&[CheckStatus::Unknown]) {
        Ci::Passing
    } else {
        Ci::Unknown
    }
}

/// What a forge says of a pull request itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrFacts {
    /// Its name there.
    pub at: PrRef,
    /// Where a person reads it.
    pub url: String,
    /// What its author called it.
    pub title: String,
    /// Who opened it.
    pub author: String,
    /// Where it stands.
    pub state: PrState,
    /// Its branch.
    pub head_branch: String,
    /// The commit its branch stands at.
    pub head: String,
    /// The repository its branch lies in; `None` where that is gone.
    pub head_repo: Option<RemoteRepo>,
    /// The branch it wants to be merged into.
    pub base_branch: String,
    /// The commit that one stands at.
    pub base: String,
    /// What its reviewers have decided.
    pub review: Review,
    /// Whether it could be merged.
    pub mergeability: Mergeability,
    /// Whether it waits in a merge queue.
    pub queued_to_merge: bool,
}

impl PrFacts {
    /// Whether its branch lies in another repository than the one it wants to be merged into: then it is written by somebody who
    /// need not be trusted there. One whose repository is gone is taken for such.
    pub fn is_foreign(&self) -> bool {
        self.head_repo.as_ref() != Some(&self.at.repo)
    }

    /// Of `sessions`, those whose pull request this may be by its branch: its own, or one below it. The likeliest first: the longest
    /// branch, then one that is not over, then the youngest. A branch of that name in another repository, such as a stranger's fork, is
    /// nobody's. Whether the commit is one of theirs is still to be seen.
    pub fn candidates<'a>(&self, watched: &RemoteRepo, sessions: &'a [Session]) -> Vec<&'a Session> {
        let is_below = |branch: &str| {
            let rest = self.head_branch.strip_prefix(branch);
            !branch.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if self.head_repo.as_ref() != Some(watched) {
            return Vec::new();
        }
        let mut found: Vec<&Session> = sessions
            .iter()
            .filter(|session| session.kind == SessionKind::Worker && is_below(&session.branch))
            .collect();
        found.sort_by_key(|session| {
            let age = (session.branch.len(), !session.is_terminated(), session.created_at);
            std::cmp::Reverse(age)
        });
        found
    }
}

/// A pull request as its rows say it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number here, which no other has.
    pub id: u64,
    /// Whose it is.
    pub session: SessionId,
    /// What the forge says of it.
    pub facts: PrFacts,
    /// What its checks say together.
    pub ci: Ci,
    /// The names of those that have failed.
    pub failing: Vec<String>,
    /// What the last light read gave, to the letter; empty before the first.
    pub fingerprint: String,
    /// When everything was read last.
    pub detailed_at: Option<Timestamp>,
    /// When it was looked at last.
    pub read_at: Option<Timestamp>,
    /// When anything was seen to be another than before.
    pub changed_at: Timestamp,
    /// A look that was asked for by what happened here: a push, the end of a turn.
    pub wake_at: Option<Timestamp>,
    /// Whether it is looked at; not any more once its end was seen, or once it was gone for long and its session over.
    pub followed: bool,
    /// What went wrong at the last look.
    pub trouble: Option<String>,
    /// How many looks have failed in a row.
    pub failures: u32,
    /// When it came to be tracked.
    pub created_at: Timestamp,
    /// When its row last changed.
    pub updated_at: Timestamp,
}

impl PullRequest {
    /// Why what is known of it may be of before; `None` where it was looked at since anything called for that, or its end was seen.
    pub fn outdated(&self) -> Option<String> {
        let failed = self.trouble.as_ref().filter(|_| self.failures > 0);
        match (self.followed, failed, self.wake_at) {
            (false, ..) => None,
            (_, Some(trouble), _) => Some(format!("the last look failed: {trouble}")),
            (_, None, Some(at)) => Some(format!("a look that was called for at {at} is still to come")),
            (_, None, None) => None,
        }
    }
}

/// What a session's own row says of each of its pull requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrSummary {
    /// Its number here.
    pub id: u64,
    /// Where a person reads it.
    pub url: String,
    /// Its number on its forge.
    pub number: u64,
    /// What its author called it.
    pub title: String,
    /// Where it stands.
    pub state: PrState,
    /// What its checks say together.
    pub ci: Ci,
    /// The names of the checks that have failed.
    pub failing: Vec<String>,
    /// What its reviewers have decided.
    pub review: Review,
    /// Whether it could be merged.
    pub mergeability: Mergeability,
    /// Its branch.
    pub head_branch: String,
    /// The branch it wants to be merged into.
    pub base_branch: String,
    /// The commit its branch stands at.
    pub head: String,
    /// When anything was seen to be another than before.
    pub changed_at: Timestamp,
    /// What went wrong at the last look.
    pub trouble: Option<String>,
}

words! {
    /// In which way a pull request is bad.
    EpisodeKind, "kind of episode" {
        /// Checks of its head have failed.
        Ci = "ci",
    }
}

/// From the moment a pull request turns bad in one way to the moment it is good again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    /// Its number, which no other has.
    pub id: u64,
    /// The pull request's number here.
    pub pr: u64,
    /// In which way.
    pub kind: EpisodeKind,
    /// The commit it is about.
    pub head: String,
    /// When it began.
    pub opened_at: Timestamp,
    /// When it ended, if it has.
    pub closed_at: Option<Timestamp>,
    /// Why it ended.
    pub closed_by: Option<String>,
}

/// A message about an episode that was queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nudge {
    /// The episode.
    pub episode: u64,
    /// The commit it was about.
    pub head: String,
    /// The run of the agent for which it was queued.
    pub generation: u32,
    /// Which one of its episode and run: 1 is the first.
    pub round: u32,
    /// What it told of: attempts of checks, by [`Check::told_as`].
    pub told: Vec<String>,
    /// The message.
    pub message: u64,
    /// The run it was typed in; `None` while it was not typed.
    pub typed_in: Option<u32>,
    /// Whether it was over before it was told: taken back with its episode, and never typed. One that a person took back, or that was
    /// or may have been typed without a proof, is not: it is not said again.
    pub lost: bool,
}

words! {
    /// What a person should look at.
    NoticeKind, "kind of notice" {
        /// An agent was told often enough of failing checks, and they still fail.
        CiStuck = "ci_stuck",
    }
}

/// Something a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its number.
    pub id: u64,
    /// What it is about.
    pub session: SessionId,
    /// What kind.
    pub kind: NoticeKind,
    /// Where a person reads more.
    pub url: String,
    /// In words.
    pub text: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was no longer so.
    pub closed_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activity, ActivityState, Desired, Phase, ProjectId, WorktreeState};

    fn check(key: &str, order: u64, status: CheckStatus) -> Check {
        Check {
            key: key.to_owned(),
            name: key.to_owned(),
            status,
            conclusion: String::new(),
            url: String::new(),
            attempt: None,
            order,
            required: false,
            summary: String::new(),
            started_at: None,
            completed_at: None,
            evidence: Evidence::Unasked,
            step: None,
            log: String::new(),
        }
    }

    #[test]
    fn of_several_attempts_the_newest_counts() {
        use CheckStatus::{Cancelled, Failed, InProgress, Passed};
        let of = |checks: &[(&str, u64, CheckStatus)]| {
            let all = checks
                .iter()
                .map(|(key, order, status)| check(key, *order, *status));
            ci_of(&newest(all.collect()))
        };
        assert_eq!(of(&[("a", 1, Failed), ("a", 2, Passed)]), Ci::Passing);
        assert_eq!(of(&[("a", 2, Failed), ("a", 1, Passed)]), Ci::Failing);
        assert_eq!(of(&[("a", 1, Failed), ("a", 2, InProgress)]), Ci::Pending);
        assert_eq!(of(&[("a", 1, Cancelled), ("a", 2, Passed)]), Ci::Passing);
        assert_eq!(of(&[("a", 1, Cancelled)]), Ci::Unknown);
        assert_eq!(of(&[("a", 1, Cancelled), ("b", 1, InProgress)]), Ci::Pending);
        assert_eq!(of(&[("a", 1, Failed), ("b", 1, InProgress)]), Ci::Failing);
        assert_eq!(of(&[]), Ci::Unknown);
        assert_eq!(
            of(&[("a", 1, Passed), ("b", 1, CheckStatus::Unknown)]),
            Ci::Unknown,
            "nobody knows"
        );
    }

    #[test]
    fn a_repository_has_one_name_however_it_is_written() {
        let repo: RemoteRepo = "Forge.Example/Acme/Web".parse().unwrap();
        assert_eq!(repo.to_string(), "forge.example/acme/web");
        assert_eq!(repo, RemoteRepo::new("FORGE.example", "acme/WEB"));
        for no in ["", "forge.example", "forge.example/web", "/acme/web"] {
            assert!(no.parse::<RemoteRepo>().is_err(), "{no}");
        }
    }

    fn facts(head_branch: &str, head_repo: Option<&str>) -> PrFacts {
        let repo: RemoteRepo = "forge.example/acme/web".parse().unwrap();
        PrFacts {
            at: PrRef {
                repo: repo.clone(),
                number: 7,
            },
            url: String::new(),
            title: String::new(),
            author: String::new(),
            state: PrState::Open,
            head_branch: head_branch.to_owned(),
            head: "a".repeat(40),
            head_repo: head_repo.map(|repo| repo.parse().unwrap()),
            base_branch: "main".to_owned(),
            base: "b".repeat(40),
            review: Review::None,
            mergeability: Mergeability::Unknown,
            queued_to_merge: false,
        }
    }

    fn worker(number: u32, branch: &str, phase: Phase) -> Session {
        let (project, at): (ProjectId, _) = ("web".parse().unwrap(), Timestamp::from_millis(0));
        Session {
            id: SessionId::new(&project, number),
            project,
            num: number,
            kind: SessionKind::Worker,
            issue: None,
            harness: "shell".to_owned(),
            runtime: "pty".to_owned(),
            display_name: None,
            prompt: None,
            command: vec!["make".to_owned()],
            desired: Desired::Run,
            discard: false,
            phase,
            phase_at: at,
            generation: 1,
            secret: "0".repeat(32),
            repo: "/repo".into(),
            base: "main".to_owned(),
            branch: branch.to_owned(),
            branch_given: false,
            worktree: "/data/worktrees/web/web-1".into(),
            worktree_state: WorktreeState::Active,
            holdings: Vec::new(),
            rescue_ref: None,
            activity: Activity {
                state: ActivityState::Idle,
                since: at,
            },
            first_signal_at: None,
            process: None,
            native_id: None,
            title: None,
            last_message: None,
            summary: None,
            tool: None,
            said_why: None,
            dialog: None,
            delay: None,
            trouble: None,
            wall: None,
            messages_waiting: 0,
            waiting_since: None,
            prs: Vec::new(),
            merged_before: 0,
            foreign_code: false,
            setup: Default::default(),
            provisioning: None,
            ticket: 1,
            queued_for: None,
            replaces: None,
            spares_worktree: false,
            model: None,
            permissions: crate::PermissionMode::Default,
            end_reason: None,
            ended_at: None,
            failure: None,
            revision: 1,
            created_at: Timestamp::from_millis(i64::from(number)),
            updated_at: at,
        }
    }

    #[test]
    fn a_pull_request_may_be_its_branchs_session_s_and_no_stranger_s() {
        use Phase::{Ended, Live};
        let watched: RemoteRepo = "forge.example/acme/web".parse().unwrap();
        let sessions = [
            worker(1, "ao/web-1", Live),
            worker(2, "ao/web-1/part", Live),
            worker(3, "shared", Ended),
            worker(4, "shared", Live),
            worker(5, "shared", Live),
            worker(6, "", Live),
        ];
        let of = |branch: &str, repo: Option<&str>| -> Vec<String> {
            let facts = facts(branch, repo);
            let found = facts.candidates(&watched, &sessions);
            found.iter().map(|session| session.id.to_string()).collect()
        };
        let ours = Some("forge.example/acme/web");
        assert_eq!(of("ao/web-1", ours), ["web-1"]);
        assert_eq!(of("ao/web-1/other", ours), ["web-1"]);
        assert_eq!(
            of("ao/web-1/part", ours),
            ["web-2", "web-1"],
            "the longest branch first"
        );
        assert_eq!(
            of("shared", ours),
            ["web-5", "web-4", "web-3"],
            "the living first, then the young"
        );
        assert!(
            of("ao/web-10", ours).is_empty(),
            "another branch that begins alike"
        );
        assert!(of("ao", ours).is_empty());
        assert!(
            of("ao/web-1", Some("forge.example/stranger/web")).is_empty(),
            "a fork"
        );
        assert!(of("ao/web-1", Some("elsewhere.example/acme/web")).is_empty());
        assert!(of("ao/web-1", None).is_empty(), "its repository is gone");
    }
}
