//! Questions that wait to be put together, and what came of each. They are the gateway's: what it lets go of is cut off for its asker.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ao_domain::port::clock::Clock;
use ao_domain::port::forge::{Answer, Budget, Detail, Failure, Light, Line, Listed, Pool, Refusal};
use ao_domain::{PrRef, RemoteRepo, Timestamp};
use ao_supervisor::{fault, step};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::exchange::{NoAnswer, Question, Reply};

/// How often a question about many may take too long, in smaller and smaller parts, before each of them is asked alone.
const TOGETHER: u8 = 3;

/// How long a question waits for others to be asked together with it.
const GATHERS: Duration = Duration::from_millis(250);

/// Questions about many at once that may be under way; forges count what runs at the same time.
const BATCHES: usize = 2;

/// Single questions that may be under way.
const SINGLES: usize = 4;

/// Whole looks that may be asked for at once before their pace is kept.
const BURST: u32 = 6;

/// One part of a question about many.
struct Part<Q, T> {
    asked: Q,
    reply: Reply<T>,
    /// How often it was put.
    times: u8,
}

type LightPart = Part<PrRef, Light>;
type DetailPart = Part<(PrRef, Option<String>), Detail>;

/// What came of one question.
pub(crate) struct Outcome {
    /// What it was paid from.
    pub(crate) pool: Pool,
    /// What the host says is left.
    pub(crate) budget: Option<Budget>,
    /// When the host sent it, by its clock.
    pub(crate) sent_at: Option<Timestamp>,
    /// Why there is no answer, where there is none.
    pub(crate) refusal: Option<Refusal>,
    /// How many it was about.
    pub(crate) parts: usize,
    /// What is to be asked again, in smaller parts.
    light: Vec<LightPart>,
    detail: Vec<DetailPart>,
}

/// Beyond the port's own deadlines for any question: who has not answered by then does not keep them.
const OVERDUE: Duration = Duration::from_secs(5 * 60);

/// A question had no answer when every deadline for it was long over. What hangs is cut off with its gateway.
#[derive(Debug, thiserror::Error)]
#[error("a question to the forge did not end within its deadlines")]
pub(crate) struct Overdue;

/// A question that is under way.
type Job = Pin<Box<dyn Future<Output = Result<Outcome, Overdue>> + Send>>;

fn job(question: impl Future<Output = Outcome> + Send + 'static) -> Job {
    let limit = fault::at_most("AO_FAULT_QUESTION", OVERDUE);
    Box::pin(async move { tokio::time::timeout(limit, question).await.map_err(|_| Overdue) })
}

/// Questions about many of one kind, in the order they came.
struct Lane<Q, T> {
    parts: VecDeque<Part<Q, T>>,
    /// When what was gathered is asked.
    ask_at: Option<Timestamp>,
    /// The least time from one question to the next in the long run. Zero: as they come.
    pace: Duration,
    /// Until when the pace is used up: each question moves it on by one pace.
    paid_to: Option<Timestamp>,
}

impl<Q, T> Lane<Q, T> {
    fn new(pace: Duration) -> Self {
        Self {
            parts: VecDeque::new(),
            ask_at: None,
            pace,
            paid_to: None,
        }
    }

    fn put(&mut self, asked: Q, reply: Reply<T>, keeps_pace: bool, now: Timestamp) {
        let part = Part {
            asked,
            reply,
            times: 0,
        };
        self.parts.push_back(part);
        let gathered = now.plus(GATHERS);
        let allowed = self.paid_to(now).map(|paid_to| paid_to.before(self.pace * BURST));
        let at = allowed
            .filter(|_| keeps_pace)
            .map_or(gathered, |at| at.max(gathered));
        self.ask_at = Some(self.ask_at.map_or(at, |known| known.min(at)));
    }

    /// What can be meant at `now`, for a clock may be set back.
    fn paid_to(&self, now: Timestamp) -> Option<Timestamp> {
        self.paid_to.filter(|at| *at <= now.plus(self.pace * (BURST + 1)))
    }

    /// What took too long comes first, at once.
    fn put_again(&mut self, parts: Vec<Part<Q, T>>, now: Timestamp) {
        if !parts.is_empty() {
            self.ask_at = Some(now);
        }
        for part in parts.into_iter().rev() {
            self.parts.push_front(part);
        }
    }

    /// The next question, about `most` at the most; what is full waits for no time.
    fn take(&mut self, most: usize, now: Timestamp) -> Option<Vec<Part<Q, T>>> {
        self.parts.retain(|part| !part.reply.is_closed()); // nobody asks any more
        if self.parts.is_empty() {
            self.ask_at = None;
            return None;
        }
        if self.parts.len() < most && self.ask_at.is_some_and(|at| now < at) {
            return None;
        }
        // One of many may be why there is no answer: what was asked in vain with others often enough is asked alone, so that only that
        // one hears of it.
        let fresh = self.parts.iter().take_while(|part| part.times < TOGETHER).count();
        let count = fresh.clamp(1, most).min(self.parts.len());
        let taken = self.parts.drain(..count).collect();
        if self.parts.is_empty() {
            self.ask_at = None;
        }
        self.paid_to = Some(self.paid_to(now).map_or(now, |at| at.max(now)).plus(self.pace));
        Some(taken)
    }

    fn send_away(&mut self, why: &NoAnswer) {
        for part in self.parts.drain(..) {
            let _ = part.reply.send(Err(why.clone())); // an asker that is gone needs no answer
        }
        self.ask_at = None;
    }
}

/// All that is to be asked of one host, and what is under way.
pub(crate) struct Waiting {
    light: Lane<PrRef, Light>,
    detail: Lane<(PrRef, Option<String>), Detail>,
    single: VecDeque<Question>,
    jobs: FuturesUnordered<Job>,
    /// Of those, how many are about many.
    batches: usize,
}

impl Waiting {
    /// Nothing yet; whole looks are asked for at most each `pace` in the long run, together.
    pub(crate) fn new(pace: Duration) -> Self {
        Self {
            light: Lane::new(Duration::ZERO),
            detail: Lane::new(pace),
            single: VecDeque::new(),
            jobs: FuturesUnordered::new(),
            batches: 0,
        }
    }

    /// Whether nobody waits for a question to be asked.
    pub(crate) fn is_empty(&self) -> bool {
        self.light.parts.is_empty() && self.detail.parts.is_empty() && self.single.is_empty()
    }

    /// One more.
    pub(crate) fn put(&mut self, question: Question, now: Timestamp) {
        match question {
            Question::Light(asked, reply) => self.light.put(asked, reply, true, now),
            Question::Detail(asked, reply) => {
                let is_first_page = asked.1.is_none(); // what was begun is read to its end
                self.detail.put(asked, reply, is_first_page, now);
            }
            single => self.single.push_back(single),
        }
    }

    /// Tells all to come again.
    pub(crate) fn send_away(&mut self, until: Timestamp, why: &str) {
        let wait = NoAnswer::Wait {
            until,
            why: why.to_owned(),
        };
        self.light.send_away(&wait);
        self.detail.send_away(&wait);
        for question in self.single.drain(..) {
            match question {
                Question::List(.., reply) => drop(reply.send(Err(wait.clone()))),
                Question::Evidence(.., reply) => drop(reply.send(Err(wait.clone()))),
                Question::Light(..) | Question::Detail(..) => unreachable!("these wait elsewhere"),
            }
        }
    }

    /// Begins as many questions as may be under way, each about `most` at the most.
    pub(crate) fn begin(&mut self, line: &Arc<dyn Line>, most: usize, now: Timestamp) {
        while self.batches < BATCHES
            && let Some(parts) = self.light.take(most, now)
        {
            self.jobs.push(job(light(line.clone(), parts)));
            self.batches += 1;
        }
        while self.batches < BATCHES
            && let Some(parts) = self.detail.take(most, now)
        {
            self.jobs.push(job(detail(line.clone(), parts)));
            self.batches += 1;
        }
        while let Some(question) = self.next_single() {
            match question {
                Question::List(_, _, _, ref reply) if reply.is_closed() => {}
                Question::Evidence(_, _, ref reply) if reply.is_closed() => {}
                Question::List(repo, page, validator, reply) => {
                    self.jobs
                        .push(job(list(line.clone(), repo, page, validator, reply)));
                }
                Question::Evidence(repo, attempt, reply) => {
                    self.jobs.push(job(evidence(line.clone(), repo, attempt, reply)));
                }
                Question::Light(..) | Question::Detail(..) => unreachable!("these wait elsewhere"),
            }
        }
    }

    /// The next that may be asked. Logs take long: one place is kept for lists.
    fn next_single(&mut self) -> Option<Question> {
        let is_kept = match SINGLES.saturating_sub(self.jobs.len() - self.batches) {
            0 => return None,
            free => free == 1,
        };
        let may = |question: &Question| !is_kept || matches!(question, Question::List(..));
        let at = self.single.iter().position(may)?;
        self.single.remove(at)
    }

    /// When there is something to begin, if nothing comes.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        let lanes = [self.light.ask_at, self.detail.ask_at];
        lanes
            .into_iter()
            .flatten()
            .min()
            .filter(|_| self.batches < BATCHES)
    }

    /// What came of the next question that ends; never where none is under way. Cancel safe.
    pub(crate) async fn done(&mut self, clock: &dyn Clock) -> Result<Outcome, Overdue> {
        let Some(done) = self.jobs.next().await else {
            return std::future::pending().await;
        };
        let mut outcome = done?;
        let now = clock.now();
        self.batches -= usize::from(outcome.pool == Pool::Batch);
        self.light.put_again(std::mem::take(&mut outcome.light), now);
        self.detail.put_again(std::mem::take(&mut outcome.detail), now);
        Ok(outcome)
    }
}

/// Gives each asker of a question about many its own answer, or all of them the reason why there is none; answers what came of it, and
/// what is to be asked again.
fn hand_out<Q, T>(
    parts: Vec<Part<Q, T>>,
    answer: Answer<Vec<Result<T, Refusal>>>,
) -> (Outcome, Vec<Part<Q, T>>) {
    let mut outcome = Outcome {
        pool: Pool::Batch,
        budget: answer.budget,
        sent_at: answer.sent_at,
        refusal: None,
        parts: parts.len(),
        light: Vec::new(),
        detail: Vec::new(),
    };
    let mut again = Vec::new();
    match answer.said {
        Ok(said) => {
            let mut said = said.into_iter();
            for part in parts {
                let one = said
                    .next()
                    .unwrap_or_else(|| Err(Refusal::NotUnderstood("an answer is missing".to_owned())));
                let _ = part.reply.send(one.map_err(NoAnswer::from)); // an asker that is gone needs no answer
            }
        }
        Err(refusal) => {
            let is_too_much = matches!(refusal, Refusal::Late(_)) && parts.len() > 1;
            for mut part in parts {
                if is_too_much {
                    part.times += 1;
                    again.push(part);
                } else {
                    let _ = part.reply.send(Err(refusal.clone().into()));
                }
            }
            outcome.refusal = Some(refusal);
        }
    }
    (outcome, again)
}

async fn light(line: Arc<dyn Line>, parts: Vec<LightPart>) -> Outcome {
    let prs: Vec<PrRef> = parts.iter().map(|part| part.asked.clone()).collect();
    let answer = step!("gateway.light", line.light(&prs));
    let (outcome, light) = hand_out(parts, answer);
    Outcome { light, ..outcome }
}

async fn detail(line: Arc<dyn Line>, parts: Vec<DetailPart>) -> Outcome {
    let asked: Vec<(PrRef, Option<String>)> = parts.iter().map(|part| part.asked.clone()).collect();
    let answer = step!("gateway.detail", line.detail(&asked));
    let (outcome, detail) = hand_out(parts, answer);
    Outcome { detail, ..outcome }
}

async fn list(
    line: Arc<dyn Line>,
    repo: RemoteRepo,
    page: u32,
    validator: Option<String>,
    reply: Reply<Listed>,
) -> Outcome {
    let answer = step!("gateway.list", line.list(&repo, page, validator.as_deref()));
    single(reply, answer)
}

async fn evidence(line: Arc<dyn Line>, repo: RemoteRepo, attempt: String, reply: Reply<Failure>) -> Outcome {
    let answer = step!("gateway.evidence", line.evidence(&repo, &attempt));
    single(reply, answer)
}

fn single<T>(reply: Reply<T>, answer: Answer<T>) -> Outcome {
    let refusal = answer.said.as_ref().err().cloned();
    let _ = reply.send(answer.said.map_err(NoAnswer::from)); // an asker that is gone needs no answer
    Outcome {
        pool: Pool::Single,
        budget: answer.budget,
        sent_at: answer.sent_at,
        refusal,
        parts: 1,
        light: Vec::new(),
        detail: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Duration = Duration::from_secs(10);

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Puts one thing at `now`; the asker is kept, or nobody would ask.
    fn put(
        lane: &mut Lane<u32, ()>,
        keeps_pace: bool,
        now: i64,
    ) -> tokio::sync::oneshot::Receiver<Result<(), NoAnswer>> {
        let (reply, asker) = tokio::sync::oneshot::channel();
        lane.put(0, reply, keeps_pace, at(now));
        asker
    }

    /// One thing each second for `seconds`; answers when questions were asked, and about how many.
    fn asked(lane: &mut Lane<u32, ()>, from: i64, seconds: i64) -> Vec<(i64, usize)> {
        let (mut askers, mut asked) = (Vec::new(), Vec::new());
        for tenth in 0..seconds * 10 {
            let now = from + tenth * 100;
            if tenth % 10 == 0 {
                askers.push(put(lane, true, now));
            }
            asked.extend(lane.take(50, at(now)).map(|parts| (now - from, parts.len())));
        }
        asked
    }

    #[test]
    fn few_are_asked_at_once_and_many_together() {
        let mut lane = Lane::new(PACE);
        let asked = asked(&mut lane, 0, 3_600);
        let [first, second, ..] = asked[..] else {
            panic!("{asked:?}");
        };
        assert_eq!((first, second), ((300, 1), (1_300, 1)), "a few need not wait");
        assert!(
            (350..=370).contains(&asked.len()),
            "{} questions in an hour of one each ten seconds",
            asked.len()
        );
        let about: usize = asked.iter().map(|(_, count)| count).sum();
        assert!(
            (3_580..=3_600).contains(&about),
            "about {about} of 3,600: none is left behind"
        );
    }

    #[test]
    fn what_was_begun_what_is_full_and_what_came_too_late_wait_for_no_pace() {
        let mut lane = Lane::new(PACE);
        asked(&mut lane, 0, 600);
        while lane.take(1, at(600_000)).is_some() {}
        let page = put(&mut lane, false, 600_000);
        assert!(lane.take(50, at(600_249)).is_none());
        assert_eq!(
            lane.take(50, at(600_250)).map(|parts| parts.len()),
            Some(1),
            "a next page"
        );
        let _askers = [put(&mut lane, true, 600_300), put(&mut lane, true, 600_300)];
        assert!(lane.take(50, at(600_600)).is_none());
        let full = lane.take(2, at(600_600)).unwrap();
        assert_eq!(full.len(), 2);
        let waits = put(&mut lane, true, 600_900);
        lane.put_again(full, at(601_000));
        assert_eq!(lane.take(50, at(601_000)).map(|parts| parts.len()), Some(3));
        drop((page, waits));
    }

    #[test]
    fn who_asks_no_more_is_not_asked_for() {
        let mut lane = Lane::new(PACE);
        drop(put(&mut lane, true, 0));
        assert!(lane.take(1, at(1_000)).is_none());
        assert_eq!(lane.ask_at, None);
    }

    #[test]
    fn a_clock_that_is_set_back_delays_nothing() {
        let mut lane = Lane::new(PACE);
        asked(&mut lane, 86_400_000, 600);
        while lane.take(1, at(87_000_000)).is_some() {}
        let _asker = put(&mut lane, true, 0);
        assert!(lane.take(50, at(250)).is_some());
    }
}
