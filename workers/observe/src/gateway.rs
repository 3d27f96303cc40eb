//! One child per host of a forge: the only one who talks to it. It puts questions together, answers each asker, keeps the budget,
//! and waits once for all when too much was asked.
//!
//! Facts     reads and writes its host's row of `gateways`.
//! Messages  answers questions of the exchange; their queue outlives it, the questions it has in hand are cut off with it.
//! Acts      never; it asks through the port `Forge`.
//! Crash     also where a question is overdue beyond every deadline. The next incarnation reads what is left and until when to wait, finds the token again and takes the next question.
//! Ends      with its key: when no watched repository is at its host.

use std::sync::Arc;
use std::time::Duration;

use ao_domain::Timestamp;
use ao_domain::port::clock::Clock;
use ao_domain::port::forge::{Budget, Forge, Line, NoLine, Pool, Refusal};
use ao_facts::{GatewaySeen, GatewayState, ObservationWriter, Reader, TokenState};
use ao_supervisor::{Child, Context, Crash, Done, Init, step};

use crate::batches::{Outcome, Overdue, Waiting};
use crate::cadence::{Tempo, sensible};
use crate::exchange::{Exchange, Question};

/// The longest time a read or write of the facts may take before the child is held to hang; questions have their own deadlines.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// Answers in time in a row after which one more is asked at once.
const GOES_WELL: u32 = 8;

/// Questions about whole looks in one tick, in the long run: what was asked for waits that long to be put together with others.
const WHOLE_LOOKS: u32 = 3;

/// How soon credentials are looked for again where there are none, or where they were refused, in ticks: a minute.
const TOKEN_AGAIN: u32 = 2;

/// Where there are none time after time they are looked for less and less, down to this, in ticks: each look starts a program.
const NO_TOKEN_MAX: u32 = 10;

/// Those that are refused time after time are tried less and less, down to this, in ticks. Others are tried when they are found.
const REFUSED_MAX: u32 = 30;

/// How many looks at one in a row are answered too late before that is the host's trouble: it is left alone for as long as one that cannot be
/// reached, and longer each time.
const LATE: u32 = 3;

/// The longest of those.
const LATE_MAX: Duration = Duration::from_secs(2 * 60);

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
    tempo: Tempo,
    line: Option<Arc<dyn Line>>,
    /// How often in a row no credentials were found.
    missing: u32,
    /// Credentials that were refused and not taken since.
    refused: Option<Refused>,
    /// Nothing is asked before then, and why.
    rests: Option<(Timestamp, String)>,
    /// How many times in a row too much was asked.
    limited: u32,
    /// How many one question may be about: halved when an answer takes too long, and slowly more again.
    batch: usize,
    /// Answers in time since that changed.
    well: u32,
    /// Looks at one that were answered too late, in a row.
    late: u32,
    /// Of which window of each budget it was said that half is spent.
    warned: [Option<Timestamp>; 2],
}

/// Credentials that were refused.
struct Refused {
    /// Which.
    credentials: u64,
    /// How often in a row.
    times: u32,
    /// When they are tried again.
    again: Timestamp,
}

/// How long to wait after `times` that came before this one: doubled each time.
fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    (first * (1 << times.min(16))).min(most)
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
        tempo: Tempo,
    ) -> Self {
        Self {
            host,
            facts,
            writer,
            forge,
            exchange,
            clock,
            tempo,
            line: None,
            missing: 0,
            refused: None,
            rests: None,
            limited: 0,
            batch: <dyn Line>::BATCH,
            well: 0,
            late: 0,
            warned: [None; 2],
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
                self.missing = 0;
                let now = self.clock.now();
                if let Some(again) = self.tried_again_at(line.credentials(), now) {
                    // Others may be found before then.
                    let soon = now.plus(self.tempo.tick * TOKEN_AGAIN);
                    let why = Refusal::Token.to_string();
                    self.rests = Some((soon.min(again), why.clone()));
                    let seen = GatewaySeen {
                        source: Some(line.source()),
                        token: Some(TokenState::Refused),
                        trouble: Some(Some(why)),
                        ..GatewaySeen::default()
                    };
                    return self.write(ctx, seen).await;
                }
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
                let tick = self.tempo.tick;
                let wait = doubled(tick * TOKEN_AGAIN, self.missing, tick * NO_TOKEN_MAX);
                self.missing += 1;
                self.rests = Some((self.clock.now().plus(wait), why.clone()));
                let seen = GatewaySeen {
                    token: Some(state),
                    trouble: Some(Some(why)),
                    ..GatewaySeen::default()
                };
                self.write(ctx, seen).await
            }
        }
    }

    /// When these credentials are tried again, if they were refused and that has not come yet.
    fn tried_again_at(&self, credentials: u64, now: Timestamp) -> Option<Timestamp> {
        let refused = self.refused.as_ref()?;
        let waits = refused.credentials == credentials && now < refused.again;
        sensible(refused.again, now).filter(|_| waits)
    }

    /// The credentials of the line were refused. What else was under way with them is too, and does not count.
    fn refuse(&mut self, now: Timestamp) {
        let Some(line) = self.line.take() else {
            return;
        };
        let credentials = line.credentials();
        let before = self.refused.as_ref();
        let times = before
            .filter(|refused| refused.credentials == credentials)
            .map_or(0, |refused| refused.times);
        let tick = self.tempo.tick;
        self.refused = Some(Refused {
            credentials,
            times: times + 1,
            again: now.plus(doubled(tick * TOKEN_AGAIN, times, tick * REFUSED_MAX)),
        });
        self.rest_until(now.plus(tick * TOKEN_AGAIN), Refusal::Token.to_string());
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
                let wait = doubled(COOL, self.limited, COOL_MAX);
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
                self.refuse(now);
                seen.token = Some(TokenState::Refused);
                seen.trouble = Some(Some(Refusal::Token.to_string()));
            }
            Some(Refusal::Late(why)) => {
                if outcome.parts > 1 {
                    // While nothing is answered nobody is asked about alone, and so nobody blamed.
                    let least = if self.late >= LATE { 2 } else { 1 };
                    (self.batch, self.well) = ((outcome.parts / 2).min(self.batch).max(least), 0);
                    tracing::debug!(
                        host = self.host,
                        batch = self.batch,
                        "the forge was late: less is asked at once"
                    );
                }
                // One that is asked about alone may be at fault itself; several, and nothing answered between, are not.
                let counts = outcome.pool == Pool::Batch && (outcome.parts == 1 || self.late >= LATE);
                self.late += u32::from(counts);
                if counts && self.late >= LATE {
                    if self.late == LATE {
                        self.batch = <dyn Line>::BATCH; // it is not how much was asked
                    }
                    let wait = doubled(UNREACHABLE, self.late - LATE, LATE_MAX);
                    self.rest_until(now.plus(wait), why.clone());
                    seen.trouble = Some(Some(why));
                }
                return self.write(ctx, seen).await;
            }
            Some(Refusal::Unreachable(why)) => {
                self.rest_until(now.plus(UNREACHABLE), why.clone());
                seen.trouble = Some(Some(why));
            }
            None | Some(Refusal::Gone | Refusal::Forbidden(_) | Refusal::NotUnderstood(_)) => {
                seen.answered_at = Some(now);
                if outcome.pool == Pool::Batch {
                    self.late = 0; // lists may well go on while looks do not
                }
                self.well += 1;
                if self.well >= GOES_WELL {
                    (self.batch, self.well) = ((self.batch + 1).min(<dyn Line>::BATCH), 0);
                }
                // An answer that was on its way when there came to be something to wait for says nothing about that.
                if self.rests.is_none() && self.line.is_some() && self.late < LATE {
                    self.limited = 0;
                    self.refused = None;
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
            let (warned, what) = match budget.pool {
                Pool::Batch => (&mut self.warned[0], "points"),
                Pool::Single => (&mut self.warned[1], "requests"),
            };
            let is_said = warned.is_some_and(|at| budget.resets_at < at.plus(NEW_WINDOW));
            if budget.remaining * 2 < budget.limit && !is_said {
                *warned = Some(budget.resets_at);
                tracing::warn!(
                    host = self.host,
                    what,
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
        let mut waiting = Waiting::new(self.tempo.tick / WHOLE_LOOKS);
        loop {
            ctx.beat();
            let now = self.clock.now();
            self.rests
                .take_if(|(until, _)| now >= *until || sensible(*until, now).is_none());
            if self.rests.is_none() && self.line.is_none() && !waiting.is_empty() {
                self.open(ctx).await?;
                continue;
            }
            match (&self.rests, &self.line) {
                (Some((until, why)), _) => waiting.send_away(*until, why),
                (None, Some(line)) => waiting.begin(line, self.batch, now),
                (None, None) => {}
            }
            let next = waiting.next().unwrap_or_else(|| now.plus(IDLE));
            let one_more = async {
                tokio::select! { // arms only wait, and only on cancel-safe things
                    biased;
                    () = ctx.stopping() => Event::Stop,
                    outcome = waiting.done(&*self.clock) => Event::Done(outcome),
                    Some(question) = questions.recv() => Event::Asked(question),
                    () = self.clock.reaches(next) => Event::Time,
                }
            };
            match ctx.beating(one_more).await {
                Event::Stop => return Ok(Done),
                Event::Done(outcome) => self.learn(ctx, outcome?).await?,
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
    Done(Result<Outcome, Overdue>),
    Asked(Question),
    Time,
}
