//! One child per host of a forge: the only one who talks to it. It puts questions together, answers each asker, keeps the budget,
//! and waits once for all when too much was asked.
//!
//! Facts     reads and writes its host's row of `gateways`.
//! Messages  answers questions of the exchange; their queue outlives it, the questions it has in hand are cut off with it.
//! Acts      never; it asks through the port `Forge`.
//! Crash     the next incarnation reads what is left and until when to wait, finds the token again and takes the next question.
//! Ends      with its key: when no watched repository is at its host.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ao_domain::port::clock::Clock;
use ao_domain::port::forge::{
    Answer, Budget, Detail, Failure, Forge, Light, Line, Listed, NoLine, Pool, Refusal,
};
use ao_domain::{PrRef, RemoteRepo, Timestamp};
use ao_facts::{GatewaySeen, GatewayState, ObservationWriter, Reader, TokenState};
use ao_supervisor::{Child, Context, Crash, Done, Init, step};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::cadence::sensible;
use crate::exchange::{Exchange, NoAnswer, Question, Reply};

/// The longest time a read or write of the facts may take before the child is held to hang; questions have their own deadlines.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// How often a question about many may be put again in smaller parts, before its askers hear that there is no answer in time.
const AGAIN: u8 = 3;

/// Answers in time in a row after which one more is asked at once.
const GOES_WELL: u32 = 8;

/// How long a question waits for others to be asked together with it.
const GATHERS: Duration = Duration::from_millis(250);

/// Questions about many at once that may be under way; forges count what runs at the same time.
const BATCHES: usize = 2;

/// Single questions that may be under way.
const SINGLES: usize = 4;

/// How soon credentials are looked for again where there are none, or where they were refused.
const TOKEN_AGAIN: Duration = Duration::from_secs(60);

/// How long to wait before a host that could not be reached is tried again.
const UNREACHABLE: Duration = Duration::from_secs(10);

/// How long to wait after too much was asked, where the host does not say: doubled each time in a row.
const COOL: Duration = Duration::from_secs(60);

/// The longest of those.
const COOL_MAX: Duration = Duration::from_secs(15 * 60);

/// How far apart the ends of two windows are at least.
const NEW_WINDOW: Duration = Duration::from_secs(60);

/// How long an idle gateway waits before it looks around.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// The child. A fresh value every incarnation.
pub struct Gateway {
    host: String,
    facts: Reader,
    writer: ObservationWriter,
    forge: Arc<dyn Forge>,
    exchange: Exchange,
    clock: Arc<dyn Clock>,
    line: Option<Arc<dyn Line>>,
    /// Nothing is asked before then, and why.
    rests: Option<(Timestamp, String)>,
    /// How many times in a row too much was asked.
    limited: u32,
    /// How many one question may be about: halved when an answer takes too long, and slowly more again.
    batch: usize,
    /// Answers in time since that changed.
    well: u32,
    /// Of which window it was said that half is spent.
    warned: Option<Timestamp>,
}

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
struct Outcome {
    pool: Pool,
    budget: Option<Budget>,
    sent_at: Option<Timestamp>,
    refusal: Option<Refusal>,
    /// How many it was about.
    parts: usize,
    /// What is to be asked again, in smaller parts.
    light: Vec<LightPart>,
    detail: Vec<DetailPart>,
}

type Job = Pin<Box<dyn Future<Output = Outcome> + Send>>;

#[derive(Default)]
struct Waiting {
    light: VecDeque<LightPart>,
    detail: VecDeque<DetailPart>,
    single: VecDeque<Question>,
    /// When what was gathered is asked.
    ask_at: Option<Timestamp>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.light.is_empty() && self.detail.is_empty() && self.single.is_empty()
    }

    fn put(&mut self, question: Question, now: Timestamp) {
        match question {
            Question::Light(asked, reply) => self.light.push_back(Part {
                asked,
                reply,
                times: 0,
            }),
            Question::Detail(asked, reply) => self.detail.push_back(Part {
                asked,
                reply,
                times: 0,
            }),
            single => {
                self.single.push_back(single);
                return;
            }
        }
        self.ask_at.get_or_insert_with(|| now.plus(GATHERS));
    }

    /// What took too long comes first, at once.
    fn put_again(&mut self, outcome: &mut Outcome, now: Timestamp) {
        if outcome.light.is_empty() && outcome.detail.is_empty() {
            return;
        }
        for part in outcome.light.drain(..).rev() {
            self.light.push_front(part);
        }
        for part in outcome.detail.drain(..).rev() {
            self.detail.push_front(part);
        }
        self.ask_at = Some(now);
    }

    /// Tells all to come again.
    fn send_away(&mut self, until: Timestamp, why: &str) {
        let wait = || NoAnswer::Wait {
            until,
            why: why.to_owned(),
        };
        for part in self.light.drain(..) {
            let _ = part.reply.send(Err(wait())); // an asker that is gone needs no answer
        }
        for part in self.detail.drain(..) {
            let _ = part.reply.send(Err(wait()));
        }
        for question in self.single.drain(..) {
            match question {
                Question::List(.., reply) => drop(reply.send(Err(wait()))),
                Question::Evidence(.., reply) => drop(reply.send(Err(wait()))),
                Question::Light(..) | Question::Detail(..) => unreachable!("these wait elsewhere"),
            }
        }
        self.ask_at = None;
    }
}

impl Gateway {
    /// The child of `host`.
    pub fn new(
        host: String,
        facts: Reader,
        writer: ObservationWriter,
        forge: Arc<dyn Forge>,
        exchange: Exchange,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            host,
            facts,
            writer,
            forge,
            exchange,
            clock,
            line: None,
            rests: None,
            limited: 0,
            batch: <dyn Line>::BATCH,
            well: 0,
            warned: None,
        }
    }

    async fn write(&self, ctx: &Context, seen: GatewaySeen) -> Result<(), Crash> {
        ctx.beat();
        let now = self.clock.now();
        let written = self.writer.gateway_seen(ctx.incarnation(), &self.host, seen, now);
        step!("gateway.seen", written)?;
        Ok(())
    }

    /// Looks for credentials, where there is no line and nothing has to be waited for.
    async fn open(&mut self, ctx: &Context) -> Result<(), Crash> {
        let opened = step!("gateway.line", ctx.beating(self.forge.line(&self.host)));
        match opened {
            Ok(line) => {
                let seen = GatewaySeen {
                    source: Some(line.source()),
                    trouble: Some(None),
                    ..GatewaySeen::default()
                };
                self.line = Some(Arc::from(line));
                self.write(ctx, seen).await
            }
            Err(error) => {
                let state = match &error {
                    NoLine::NoToken(_) => TokenState::Missing,
                    NoLine::Refused(_) => TokenState::Unknown,
                };
                let why = error.to_string();
                self.rests = Some((self.clock.now().plus(TOKEN_AGAIN), why.clone()));
                let seen = GatewaySeen {
                    token: Some(state),
                    trouble: Some(Some(why)),
                    ..GatewaySeen::default()
                };
                self.write(ctx, seen).await
            }
        }
    }

    /// Begins as many questions as may be under way.
    fn begin(
        &self,
        line: &Arc<dyn Line>,
        waiting: &mut Waiting,
        jobs: &FuturesUnordered<Job>,
        busy: &mut (usize, usize),
        now: Timestamp,
    ) {
        waiting.light.retain(|part| !part.reply.is_closed());
        waiting.detail.retain(|part| !part.reply.is_closed());
        let full = waiting.light.len() >= self.batch || waiting.detail.len() >= self.batch;
        if full || waiting.ask_at.is_some_and(|at| now >= at) {
            while busy.0 < BATCHES && !waiting.light.is_empty() {
                let count = waiting.light.len().min(self.batch);
                jobs.push(light(line.clone(), waiting.light.drain(..count).collect()));
                busy.0 += 1;
            }
            while busy.0 < BATCHES && !waiting.detail.is_empty() {
                let count = waiting.detail.len().min(self.batch);
                jobs.push(detail(line.clone(), waiting.detail.drain(..count).collect()));
                busy.0 += 1;
            }
            if waiting.light.is_empty() && waiting.detail.is_empty() {
                waiting.ask_at = None;
            }
        }
        while busy.1 < SINGLES
            && let Some(question) = waiting.single.pop_front()
        {
            match question {
                Question::List(_, _, _, ref reply) if reply.is_closed() => continue,
                Question::Evidence(_, _, ref reply) if reply.is_closed() => continue,
                Question::List(repo, page, validator, reply) => {
                    jobs.push(list(line.clone(), repo, page, validator, reply));
                }
                Question::Evidence(repo, attempt, reply) => {
                    jobs.push(evidence(line.clone(), repo, attempt, reply));
                }
                Question::Light(..) | Question::Detail(..) => unreachable!("these wait elsewhere"),
            }
            busy.1 += 1;
        }
    }

    /// Learns from what came of a question.
    async fn learn(&mut self, ctx: &Context, outcome: Outcome) -> Result<(), Crash> {
        let now = self.clock.now();
        // What the host says is by its clock; ours may stand elsewhere, and be set while we wait.
        let here = |at: Timestamp| match outcome.sent_at {
            Some(sent_at) => now.plus(at.since(sent_at)),
            None => at,
        };
        let budgets = outcome.budget.into_iter().map(|budget| Budget {
            resets_at: here(budget.resets_at),
            ..budget
        });
        let mut seen = GatewaySeen {
            budgets: budgets.collect(),
            ..GatewaySeen::default()
        };
        match outcome.refusal {
            Some(Refusal::Limited { until, said }) => {
                let wait = (COOL * (1 << self.limited.min(4))).min(COOL_MAX);
                self.limited += 1;
                let until = until
                    .map(here)
                    .and_then(|until| sensible(until, now))
                    .filter(|until| *until > now)
                    .unwrap_or_else(|| now.plus(wait));
                let longer = self.rests.as_ref().map_or(until, |(known, _)| until.max(*known));
                tracing::warn!(host = self.host, until = %longer, said, "too much was asked of the forge");
                self.rests = Some((longer, said.clone()));
                seen.cool_until = Some(Some(longer));
                seen.trouble = Some(Some(said));
            }
            Some(Refusal::Token) => {
                self.line = None;
                self.rest_until(now.plus(TOKEN_AGAIN), Refusal::Token.to_string());
                seen.token = Some(TokenState::Refused);
                seen.trouble = Some(Some(Refusal::Token.to_string()));
            }
            Some(Refusal::Late(_)) => {
                if outcome.pool == Pool::Batch {
                    (self.batch, self.well) = ((outcome.parts / 2).clamp(1, self.batch), 0);
                    tracing::debug!(
                        host = self.host,
                        batch = self.batch,
                        "the forge was late: less is asked at once"
                    );
                }
                return self.write(ctx, seen).await;
            }
            Some(Refusal::Unreachable(why)) => {
                self.rest_until(now.plus(UNREACHABLE), why.clone());
                seen.trouble = Some(Some(why));
            }
            None | Some(Refusal::Gone | Refusal::Forbidden(_) | Refusal::NotUnderstood(_)) => {
                seen.answered_at = Some(now);
                self.well += 1;
                if self.well >= GOES_WELL {
                    (self.batch, self.well) = ((self.batch + 1).min(<dyn Line>::BATCH), 0);
                }
                // An answer that was on its way when there came to be something to wait for says nothing about that.
                if self.rests.is_none() && self.line.is_some() {
                    self.limited = 0;
                    self.is_well(&mut seen).await?;
                }
                self.warn_at_half(&seen.budgets);
            }
        }
        self.write(ctx, seen).await
    }

    /// Nothing is wrong any more, if anything was.
    async fn is_well(&self, seen: &mut GatewaySeen) -> Result<(), Crash> {
        let known = self.facts.gateway(&self.host).await?;
        let is_known = known
            .as_ref()
            .is_some_and(|known| known.token == TokenState::Accepted && known.trouble.is_none());
        if !is_known {
            seen.token = Some(TokenState::Accepted);
            seen.trouble = Some(None);
        }
        if known.is_some_and(|known| known.cool_until.is_some()) {
            seen.cool_until = Some(None);
        }
        Ok(())
    }

    /// Asks nothing before `until`, or before what was to be waited for already.
    fn rest_until(&mut self, until: Timestamp, why: String) {
        if self.rests.as_ref().is_none_or(|(known, _)| *known < until) {
            self.rests = Some((until, why));
        }
    }

    fn warn_at_half(&mut self, budgets: &[Budget]) {
        for budget in budgets {
            // The end of one window is told a little otherwise each time.
            let is_said = self
                .warned
                .is_some_and(|at| budget.resets_at < at.plus(NEW_WINDOW));
            if budget.remaining * 2 < budget.limit && !is_said {
                self.warned = Some(budget.resets_at);
                tracing::warn!(
                    host = self.host,
                    left = budget.remaining,
                    of = budget.limit,
                    until = %budget.resets_at,
                    "more than half of what the forge allows is spent"
                );
            }
        }
    }

    /// What has to be waited for, as an earlier incarnation wrote it down.
    fn recall(&mut self, known: Option<GatewayState>) {
        self.rests = known.and_then(|known| {
            let why = known.trouble.unwrap_or_else(|| "too much was asked".to_owned());
            Some((known.cool_until?, why))
        });
    }
}

impl Child for Gateway {
    async fn init(&mut self, _ctx: &Context) -> Result<Init, Crash> {
        let known = self.facts.gateway(&self.host).await?;
        self.recall(known);
        Ok(Init::Ready)
    }

    async fn run(&mut self, ctx: &Context) -> Result<Done, Crash> {
        let mut questions = ctx.beating(self.exchange.questions(&self.host)).await;
        let (mut waiting, mut jobs, mut busy) = (Waiting::default(), FuturesUnordered::<Job>::new(), (0, 0));
        loop {
            ctx.beat();
            let now = self.clock.now();
            self.rests
                .take_if(|(until, _)| now >= *until || sensible(*until, now).is_none());
            if self.rests.is_none() && self.line.is_none() && !waiting.is_empty() {
                self.open(ctx).await?;
                continue;
            }
            match (&self.rests, self.line.clone()) {
                (Some((until, why)), _) => waiting.send_away(*until, why),
                (None, Some(line)) => self.begin(&line, &mut waiting, &jobs, &mut busy, now),
                (None, None) => {}
            }
            let next = waiting
                .ask_at
                .filter(|_| busy.0 < BATCHES)
                .unwrap_or_else(|| now.plus(IDLE));
            let one_more = async {
                tokio::select! { // arms only wait, and only on cancel-safe things
                    biased;
                    () = ctx.stopping() => Event::Stop,
                    Some(outcome) = jobs.next(), if !jobs.is_empty() => Event::Done(outcome),
                    Some(question) = questions.recv() => Event::Asked(question),
                    () = self.clock.reaches(next) => Event::Time,
                }
            };
            match ctx.beating(one_more).await {
                Event::Stop => return Ok(Done),
                Event::Done(mut outcome) => {
                    match outcome.pool {
                        Pool::Batch => busy.0 -= 1,
                        Pool::Single => busy.1 -= 1,
                    }
                    waiting.put_again(&mut outcome, self.clock.now());
                    self.learn(ctx, outcome).await?;
                }
                Event::Asked(question) => {
                    let now = self.clock.now();
                    waiting.put(question, now);
                    while let Ok(question) = questions.try_recv() {
                        waiting.put(question, now);
                    }
                }
                Event::Time => {}
            }
        }
    }
}

enum Event {
    Stop,
    Done(Outcome),
    Asked(Question),
    Time,
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
                part.times += 1;
                if is_too_much && part.times < AGAIN {
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

fn light(line: Arc<dyn Line>, parts: Vec<LightPart>) -> Job {
    Box::pin(async move {
        let prs: Vec<PrRef> = parts.iter().map(|part| part.asked.clone()).collect();
        let answer = step!("gateway.light", line.light(&prs));
        let (outcome, light) = hand_out(parts, answer);
        Outcome { light, ..outcome }
    })
}

fn detail(line: Arc<dyn Line>, parts: Vec<DetailPart>) -> Job {
    Box::pin(async move {
        let asked: Vec<(PrRef, Option<String>)> = parts.iter().map(|part| part.asked.clone()).collect();
        let answer = step!("gateway.detail", line.detail(&asked));
        let (outcome, detail) = hand_out(parts, answer);
        Outcome { detail, ..outcome }
    })
}

fn list(
    line: Arc<dyn Line>,
    repo: RemoteRepo,
    page: u32,
    validator: Option<String>,
    reply: Reply<Listed>,
) -> Job {
    Box::pin(async move {
        let answer = step!("gateway.list", line.list(&repo, page, validator.as_deref()));
        single(reply, answer)
    })
}

fn evidence(line: Arc<dyn Line>, repo: RemoteRepo, attempt: String, reply: Reply<Failure>) -> Job {
    Box::pin(async move {
        let answer = step!("gateway.evidence", line.evidence(&repo, &attempt));
        single(reply, answer)
    })
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
