//! Where pull requests live. What is asked and answered here has no forge's own words in it.

use std::time::Duration;

use super::PortFuture;
use crate::{Check, Mergeability, PrFacts, PrRef, RemoteRepo, Timestamp};

/// Knows which repositories are a forge's, and opens lines to its hosts.
pub trait Forge: Send + Sync + 'static {
    /// The repository that a remote's URL names, where it is this forge's. Looks at nothing outside.
    fn repository(&self, remote: &str) -> Option<RemoteRepo>;

    /// Opens a line to `host`, with the credentials that can be found now. Takes a few seconds at most. Cancel safe.
    fn line<'a>(&'a self, host: &'a str) -> PortFuture<'a, Result<Box<dyn Line>, NoLine>>;
}

/// There is no line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoLine {
    /// No credentials were found.
    #[error("{0}")]
    NoToken(String),
    /// The host cannot be spoken to in this way: nothing was sent.
    #[error("{0}")]
    Refused(String),
}

/// A host, and who we are there. Every question has a deadline of its own; dropping a question's future drops the question.
pub trait Line: Send + Sync {
    /// Where the credentials come from, for people: never the credentials themselves.
    fn source(&self) -> String;

    /// A number that other credentials do not have, for as long as this process lives. They cannot be worked out from it.
    fn credentials(&self) -> u64;

    /// The pull requests of `repo` that changed last, newest first, page by page from 1.
    fn list<'a>(
        &'a self,
        repo: &'a RemoteRepo,
        page: u32,
        validator: Option<&'a str>,
    ) -> PortFuture<'a, Answer<Listed>>;

    /// A light look at each: what has changed, without what. At most `BATCH` at a time; an answer for each, in order.
    fn light<'a>(&'a self, prs: &'a [PrRef]) -> PortFuture<'a, Answer<Vec<Result<Light, Refusal>>>>;

    /// Everything about each, a page of checks at a time. An answer for each, in order.
    fn detail<'a>(
        &'a self,
        asked: &'a [(PrRef, Option<String>)],
    ) -> PortFuture<'a, Answer<Vec<Result<Detail, Refusal>>>>;

    /// Why an attempt of a check failed: the step, and the end of its log.
    fn evidence<'a>(&'a self, repo: &'a RemoteRepo, attempt: &'a str) -> PortFuture<'a, Answer<Failure>>;
}

impl dyn Line {
    /// How many pull requests one question may be about.
    pub const BATCH: usize = 50;
}

/// What came back, and what it cost.
#[derive(Debug)]
pub struct Answer<T> {
    /// What was asked for.
    pub said: Result<T, Refusal>,
    /// What the host says of what is left; `None` where it says nothing.
    pub budget: Option<Budget>,
    /// When the host sent it, by its own clock. The instants in a budget and in a refusal are of that clock too, and it need not go
    /// with ours.
    pub sent_at: Option<Timestamp>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not there, or not for these credentials.
    #[error("it is not there, or the token may not see it")]
    Gone,
    /// It is there, and not for these credentials.
    #[error("the token may not see it: {0}")]
    Forbidden(String),
    /// The credentials are not taken.
    #[error("the token was refused")]
    Token,
    /// Too much was asked. Nothing more may be asked before `until`, where the host says until when.
    #[error("too much was asked of the forge: {said}")]
    Limited {
        /// Until when.
        until: Option<Timestamp>,
        /// In the host's words.
        said: String,
    },
    /// It took too long for one answer: less may be asked at once.
    #[error("no answer in time: {0}")]
    Late(String),
    /// The host cannot be reached, or has a fault of its own.
    #[error("the forge cannot be asked: {0}")]
    Unreachable(String),
    /// An answer that is not understood.
    #[error("the forge's answer is not understood: {0}")]
    NotUnderstood(String),
}

/// Which of a host's budgets a question is paid from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pool {
    /// Looks at many pull requests at once.
    Batch,
    /// Single questions: lists and logs.
    Single,
}

/// What is left of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Which.
    pub pool: Pool,
    /// What the question cost.
    pub cost: u32,
    /// What there is in a window.
    pub limit: u32,
    /// What is left in this one.
    pub remaining: u32,
    /// When the next window begins.
    pub resets_at: Timestamp,
}

/// A page of pull requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Nothing has changed since the validator was given.
    Unchanged,
    /// These are they.
    Page {
        /// What to bring along next time; `None` where the host gives none.
        validator: Option<String>,
        /// The pull requests, those that changed last first.
        entries: Vec<Entry>,
        /// Whether there are older ones on another page.
        more: bool,
        /// How many of the page were not understood, and are left out.
        skipped: usize,
    },
}

/// A pull request in a list. What a list does not say (checks, mergeability, reviews) is unknown in `facts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the list says of it.
    pub facts: PrFacts,
    /// When it last changed there.
    pub updated_at: Timestamp,
}

/// A light look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Light {
    /// Everything that was seen but its mergeability, as one text: another one means that something has changed.
    pub fingerprint: String,
    /// Whether it could be merged. Forges forget that and work it out when they are asked: unknown says nothing.
    pub mergeability: Mergeability,
}

/// A whole look, with one page of its checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// What is said of it.
    pub facts: PrFacts,
    /// A page of its checks, all attempts; `None` where they could not all be read: then nothing is known of them.
    /// Why one has failed is another question.
    pub checks: Option<Vec<Check>>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
    /// As in [`Light`].
    pub fingerprint: String,
    /// Which part of it could not be read, and why. The rest was.
    pub trouble: Option<String>,
}

/// Why a check failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The step that failed.
    pub step: Option<String>,
    /// The end of its log: at most [`Failure::LOG_MAX`] bytes.
    pub log: String,
}

impl Failure {
    /// Longest log that is kept, in bytes: what a failing step says before it ends. Enough for a long list of failed tests.
    pub const LOG_MAX: usize = 128 * 1024;
}

/// How long one question may take, its log aside.
pub const QUESTION: Duration = Duration::from_secs(20);
