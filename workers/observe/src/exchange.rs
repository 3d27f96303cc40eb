//! Where those who want to know something of a forge and the one who talks to it meet.
//!
//! It holds questions, no facts: what is lost with it is asked again. Each host has a queue that outlives its gateway's incarnations,
//! so that a question asked while one is restarted waits for the next.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ao_domain::port::forge::{Detail, Failure, Light, Listed, Refusal};
use ao_domain::{PrRef, RemoteRepo, Timestamp};
use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};

/// Questions that wait at one host. Each child asks one at a time, so this is beyond the number of pull requests of a machine.
const WAITING: usize = 4_096;

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The forge was asked, and this is what it said.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It was not asked: nothing may be, before then.
    #[error("the forge is not asked before {until}: {why}")]
    Wait {
        /// When to ask again.
        until: Timestamp,
        /// Why.
        why: String,
    },
    /// The one who talks to it was cut off in the middle, or too many questions wait. Ask again.
    #[error("the question was cut off")]
    CutOff,
}

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, NoAnswer>>;

/// One question, and where its answer goes. A question whose asker is gone is not asked.
pub(crate) enum Question {
    /// The pull requests of a repository, a page.
    List(RemoteRepo, u32, Option<String>, Reply<Listed>),
    /// A light look.
    Light(PrRef, Reply<Light>),
    /// A whole look, a page.
    Detail((PrRef, Option<String>), Reply<Detail>),
    /// Why an attempt failed.
    Evidence(RemoteRepo, String, Reply<Failure>),
}

#[derive(Clone)]
struct Desk {
    ask: mpsc::Sender<Question>,
    asked: Arc<tokio::sync::Mutex<mpsc::Receiver<Question>>>,
}

/// The desks of all hosts. Cheap to clone.
#[derive(Clone, Default)]
pub struct Exchange(Arc<Shared>);

#[derive(Default)]
struct Shared {
    desks: Mutex<BTreeMap<String, Desk>>,
    open: AtomicUsize,
}

/// Counts a question for as long as somebody waits for its answer.
struct Open<'a>(&'a AtomicUsize);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Exchange {
    fn desk(&self, host: &str) -> Desk {
        let mut desks = self.0.desks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(desk) = desks.get(host) {
            return desk.clone();
        }
        let (ask, asked) = mpsc::channel(WAITING);
        let desk = Desk {
            ask,
            asked: Arc::new(tokio::sync::Mutex::new(asked)),
        };
        desks.insert(host.to_owned(), desk.clone());
        desk
    }

    /// How many questions somebody waits for the answer of.
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// The questions for `host`; waits until its last gateway has let go of them.
    pub(crate) async fn questions(&self, host: &str) -> OwnedMutexGuard<mpsc::Receiver<Question>> {
        self.desk(host).asked.lock_owned().await
    }

    async fn ask<T>(&self, host: &str, question: impl FnOnce(Reply<T>) -> Question) -> Result<T, NoAnswer> {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        let _open = Open(&self.0.open);
        let (reply, answer) = oneshot::channel();
        self.desk(host)
            .ask
            .send(question(reply))
            .await
            .map_err(|_| NoAnswer::CutOff)?;
        answer.await.unwrap_or(Err(NoAnswer::CutOff))
    }

    /// The pull requests of `repo` that changed last. Cancel safe: a question nobody waits for is not asked.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn list(
        &self,
        repo: &RemoteRepo,
        page: u32,
        validator: Option<String>,
    ) -> Result<Listed, NoAnswer> {
        self.ask(&repo.host, |reply| {
            Question::List(repo.clone(), page, validator, reply)
        })
        .await
    }

    /// A light look at `pr`. Cancel safe.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn light(&self, pr: &PrRef) -> Result<Light, NoAnswer> {
        self.ask(&pr.repo.host, |reply| Question::Light(pr.clone(), reply))
            .await
    }

    /// A whole look at `pr`, with the page of its checks that begins at `after`. Cancel safe.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn detail(&self, pr: &PrRef, after: Option<String>) -> Result<Detail, NoAnswer> {
        self.ask(&pr.repo.host, |reply| {
            Question::Detail((pr.clone(), after), reply)
        })
        .await
    }

    /// Why an attempt of a check in `repo` failed. Cancel safe.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn evidence(&self, repo: &RemoteRepo, attempt: &str) -> Result<Failure, NoAnswer> {
        self.ask(&repo.host, |reply| {
            Question::Evidence(repo.clone(), attempt.to_owned(), reply)
        })
        .await
    }
}
