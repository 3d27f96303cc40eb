//! One child per pull request that is followed: looks at it, often or seldom, and reads why its checks failed.
//!
//! Facts     reads its rows of `pull_requests` and `checks`, its session's, and its host's of `gateways`; writes the first two. A look
//!           that found nothing new is written down now and then only: who is restarted looks again.
//! Messages  asks through the exchange. Wakes on the clock, and when a look is asked for: by a push, the end of a turn, a list.
//! Acts      never.
//! Crash     the next incarnation reads what is known and when that was read, and asks again for what was not written down.
//! Ends      once it is followed no more (`Restart::Transient`), and with its key.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use ao_domain::port::clock::Clock;
use ao_domain::port::forge::{Light, Refusal};
use ao_domain::{Check, Ci, Evidence, Mergeability, PrFacts, PullRequest, Timestamp, chain, newest};
use ao_facts::{Explained, GONE_AFTER, ObservationWriter, PullFailed, PullSeen, PullWork, Reader, Wakeups};
use ao_supervisor::{Child, Context, Crash, Done, Init, step};

use crate::cadence::{self, Tempo};
use crate::exchange::{Exchange, NoAnswer};

/// The longest time a read or write of the facts may take before the child is held to hang; the forge has deadlines of its own.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// Pages of checks that are read, at the most.
const PAGES: usize = 30;

/// Logs that are read of one commit: who has seen as many has seen enough.
const LOGS: usize = 8;

/// How often a log is asked for before it is given up, and how long to wait at first; three times as long each time.
const ASKED: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_secs(3);

/// When to look again at one whose forge has yet to work out whether it could be merged.
const UNSETTLED: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(15)];

/// How soon a question that was cut off is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// How old a whole look may grow where checks run or have failed, or could not be read: a run that was begun again can look the same
/// from afar, and so can what may be read by now.
const WHOLE_LOOK: u32 = 10;

/// Ticks after which a look that found nothing new is written down.
const WRITTEN_DOWN: u32 = 10;

/// What the children of pull requests work with; cloned into each incarnation.
#[derive(Clone)]
pub struct Parts {
    /// Reads the facts.
    pub facts: Reader,
    /// Writes what was seen.
    pub writer: ObservationWriter,
    /// Where questions are asked.
    pub exchange: Exchange,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How often.
    pub tempo: Tempo,
    /// When in its ticks each host is asked: a number that differs from machine to machine.
    pub machine: u64,
}

/// The child. A fresh value every incarnation.
pub struct Pull {
    id: u64,
    parts: Parts,
    /// Nothing is asked before then.
    rests: Option<Timestamp>,
    /// When it was looked at last.
    looked_at: Option<Timestamp>,
    /// A look that this child owes itself.
    soon: Option<Timestamp>,
    /// How often it was looked again at which commit, for its mergeability.
    unsettled: (String, usize),
    /// How often each attempt's log was asked for, and when to ask again.
    asked: BTreeMap<String, (u32, Timestamp)>,
}

/// What is to be done next.
enum Next {
    Explain(Box<Check>),
    /// Because it is its turn.
    Look,
    /// Because something asked for it: a whole look costs the same, and spares the light one before it.
    WholeLook,
    Wait(Timestamp),
}

impl Pull {
    /// The child of the pull request that has the number `id` here.
    pub fn new(id: u64, parts: Parts) -> Self {
        Self {
            id,
            parts,
            rests: None,
            looked_at: None,
            soon: None,
            unsettled: (String::new(), 0),
            asked: BTreeMap::new(),
        }
    }

    /// What is due, in the order of its worth: a log is waited for by an agent.
    async fn next(&self, pr: &PullRequest, work: PullWork) -> Result<Next, Crash> {
        let now = self.parts.clock.now();
        let gateway = self.parts.facts.gateway(&pr.facts.at.repo.host).await?;
        let allowance = cadence::allowance(gateway.as_ref(), now);
        let tempo = self.parts.tempo;
        let heat = cadence::heat(pr, work, tempo, now);
        let phase = cadence::phase_of(&pr.facts.at.repo.host, self.parts.machine, tempo);
        let woken = pr
            .wake_at
            .and_then(|wake| cadence::due_woken(wake, heat, allowance));
        let usual = cadence::due(pr, self.looked_at, heat, allowance, phase, tempo, now);
        let asked = woken.into_iter().chain(self.soon).min();
        let log = if work.wanted > 0 {
            let checks = self.parts.facts.checks(self.id).await?.into_iter();
            let wanted = checks.filter(|check| check.evidence == Evidence::Wanted);
            wanted
                .map(|check| {
                    (
                        self.asked.get(&attempt_of(&check)).map_or(now, |(_, at)| *at),
                        check,
                    )
                })
                .min_by_key(|(at, _)| *at)
        } else {
            None
        };
        let rest = |at: Timestamp| self.rests.map_or(at, |rests| at.max(rests));
        let (usual, asked) = (rest(usual), asked.map(rest));
        let look_at = asked.map_or(usual, |asked| asked.min(usual));
        Ok(match log.map(|(at, check)| (rest(at), check)) {
            Some((at, check)) if at <= now => Next::Explain(Box::new(check)),
            _ if asked.is_some_and(|at| at <= now) => Next::WholeLook,
            _ if usual <= now => Next::Look,
            Some((at, _)) => Next::Wait(at.min(look_at)),
            None => Next::Wait(look_at),
        })
    }

    /// Reads why a check failed.
    async fn explain(
        &mut self,
        ctx: &Context,
        pr: &PullRequest,
        work: PullWork,
        check: &Check,
    ) -> Result<(), Crash> {
        let explained = |evidence, step, log: String| Explained {
            key: check.key.clone(),
            attempt: check.attempt.clone(),
            evidence,
            step,
            log,
        };
        let Some(attempt) = &check.attempt else {
            let none = explained(Evidence::Unavailable, None, "it keeps none".to_owned());
            return self.explained(ctx, none).await;
        };
        if usize::try_from(work.read).unwrap_or(LOGS) >= LOGS {
            let why = format!("it was not read, for {LOGS} others were");
            return self
                .explained(ctx, explained(Evidence::Unavailable, None, why))
                .await;
        }
        let asked = self.parts.exchange.evidence(&pr.facts.at.repo, attempt);
        let now = self.parts.clock.now();
        match step!("pull.evidence", ctx.beating(asked)) {
            Ok(failure) => {
                let read = explained(Evidence::Read, failure.step, failure.log);
                self.explained(ctx, read).await
            }
            Err(NoAnswer::Refused(refusal)) if !is_of_host(&refusal) => {
                let tries = self.asked.entry(attempt_of(check)).or_insert((0, now));
                tries.0 += 1;
                tries.1 = now.plus(FIRST_PAUSE * 3_u32.pow(tries.0 - 1));
                if tries.0 < ASKED && !matches!(refusal, Refusal::Forbidden(_)) {
                    return Ok(());
                }
                let why = chain(&refusal).to_string();
                self.explained(ctx, explained(Evidence::Unavailable, None, why))
                    .await
            }
            Err(error) => {
                self.put_off(&error);
                Ok(())
            }
        }
    }

    async fn explained(&mut self, ctx: &Context, explained: Explained) -> Result<(), Crash> {
        ctx.beat();
        let now = self.parts.clock.now();
        let written = self
            .parts
            .writer
            .check_explained(ctx.incarnation(), self.id, explained, now);
        let _ = step!("pull.explained", written)?; // another attempt stands there meanwhile: that one is wanted, or well
        Ok(())
    }

    /// Looks at it: lightly first, unless it is `asked` for or the last look failed, and wholly where that is not enough.
    async fn look(
        &mut self,
        ctx: &Context,
        pr: &PullRequest,
        work: PullWork,
        asked: bool,
    ) -> Result<(), Crash> {
        let began = self.parts.clock.now();
        self.soon = None;
        let is_known = pr.detailed_at.is_some() && pr.failures == 0;
        if is_known && !asked {
            let asked = self.parts.exchange.light(&pr.facts.at);
            match step!("pull.light", ctx.beating(asked)) {
                Ok(light) if !self.needs_whole(pr, &light, began) => {
                    self.settle(&pr.facts.head, pr.facts.mergeability, light.mergeability, began);
                    let now = self.parts.clock.now();
                    self.looked_at = Some(now);
                    let is_written = pr.wake_at.is_none()
                        && pr.read_at.is_some_and(|at| {
                            at <= now && now < at.plus(self.parts.tempo.tick * WRITTEN_DOWN)
                        });
                    if is_written {
                        return Ok(());
                    }
                    ctx.beat();
                    let written = self
                        .parts
                        .writer
                        .pull_unchanged(ctx.incarnation(), self.id, began, now);
                    step!("pull.unchanged", written)?;
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) => return self.failed(ctx, pr, work, error, began).await,
            }
        }
        match self.whole(ctx, pr, began).await {
            Ok(seen) => {
                self.looked_at = None; // its row says
                let known = match &pr.facts {
                    known if known.head == seen.facts.head => known.mergeability,
                    _ => Mergeability::Unknown, // nothing of this commit
                };
                self.settle(&seen.facts.head, known, seen.facts.mergeability, began);
                ctx.beat();
                let now = self.parts.clock.now();
                let written = self.parts.writer.pull_seen(ctx.incarnation(), self.id, seen, now);
                let _ = step!("pull.seen", written)?; // not tracked any more: the next round ends
                Ok(())
            }
            Err(error) => self.failed(ctx, pr, work, error, began).await,
        }
    }

    fn needs_whole(&self, pr: &PullRequest, light: &Light, now: Timestamp) -> bool {
        let old = self.parts.tempo.tick * WHOLE_LOOK;
        let is_old = pr.detailed_at.is_none_or(|at| now >= at.plus(old));
        let is_other =
            light.mergeability != Mergeability::Unknown && light.mergeability != pr.facts.mergeability;
        light.fingerprint != pr.fingerprint
            || is_other
            || (is_old && (matches!(pr.ci, Ci::Failing | Ci::Pending) || pr.trouble.is_some()))
    }

    /// All pages of a whole look.
    async fn whole(&self, ctx: &Context, pr: &PullRequest, began: Timestamp) -> Result<PullSeen, NoAnswer> {
        let mut after = None;
        let mut checks = Some(Vec::new());
        let mut seen: Option<(PrFacts, String)> = None;
        let mut trouble = None;
        for _ in 0..PAGES {
            let asked = self.parts.exchange.detail(&pr.facts.at, after);
            let page = step!("pull.detail", ctx.beating(asked))?;
            if seen
                .as_ref()
                .is_some_and(|(facts, _)| facts.head != page.facts.head)
            {
                return Err(NoAnswer::CutOff); // pages of two commits are not put together
            }
            checks = checks.zip(page.checks).map(|(mut known, more)| {
                known.extend(more);
                known
            });
            trouble = trouble.or(page.trouble);
            after = page.next;
            seen.get_or_insert((page.facts, page.fingerprint));
            if after.is_none() {
                break;
            }
        }
        let (facts, fingerprint) = seen.ok_or(NoAnswer::CutOff)?;
        Ok(PullSeen {
            facts,
            checks: checks.map(newest),
            trouble,
            fingerprint,
            began,
        })
    }

    /// A forge works out whether something could be merged when it is asked; it is asked again soon, twice at the most.
    fn settle(&mut self, head: &str, known: Mergeability, said: Mergeability, now: Timestamp) {
        if self.unsettled.0 != head {
            self.unsettled = (head.to_owned(), 0);
        }
        if said == Mergeability::Unknown
            && known == Mergeability::Unknown
            && let Some(pause) = UNSETTLED.get(self.unsettled.1)
        {
            self.unsettled.1 += 1;
            self.soon = Some(now.plus(*pause));
        }
    }

    /// Waits until `until`, or until a look is asked for.
    async fn wait(
        &self,
        ctx: &Context,
        pr: &PullRequest,
        until: Timestamp,
        bells: &mut Wakeups,
    ) -> Result<(), Crash> {
        loop {
            let is_rung = async {
                tokio::select! { // arms only wait, and only on cancel-safe things
                    biased;
                    () = ctx.stopping() => false,
                    () = bells.changed() => true,
                    () = self.parts.clock.reaches(until) => false,
                }
            };
            // Most rings are for another pull request.
            if !ctx.beating(is_rung).await || self.parts.facts.pull_wake(self.id).await? != pr.wake_at {
                return Ok(());
            }
        }
    }

    fn put_off(&mut self, error: &NoAnswer) {
        let now = self.parts.clock.now();
        self.rests = Some(match error {
            NoAnswer::Wait { until, .. } => *until,
            NoAnswer::CutOff | NoAnswer::Refused(_) => now.plus(AGAIN),
        });
    }

    async fn failed(
        &mut self,
        ctx: &Context,
        pr: &PullRequest,
        work: PullWork,
        error: NoAnswer,
        began: Timestamp,
    ) -> Result<(), Crash> {
        match error {
            NoAnswer::Refused(refusal) if !is_of_host(&refusal) => {
                ctx.beat();
                let (mut why, now) = (chain(&refusal).to_string(), self.parts.clock.now());
                tracing::debug!(pr = self.id, why, "pull request not read");
                let is_gone = refusal == Refusal::Gone;
                if is_gone && !work.is_over && pr.failures + 1 >= GONE_AFTER {
                    let _ = write!(
                        why,
                        "; let the token see it, or end its session: `ao kill {}`",
                        pr.session
                    ); // writing to a string does not fail
                }
                let failed = PullFailed { why, is_gone, began };
                let written = self
                    .parts
                    .writer
                    .pull_failed(ctx.incarnation(), self.id, failed, now);
                step!("pull.failed", written)?;
            }
            other => self.put_off(&other),
        }
        Ok(())
    }
}

/// Whether the refusal is about the host and us, and so not about one pull request: its gateway knows until when to wait.
pub(crate) fn is_of_host(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Limited { .. } | Refusal::Token | Refusal::Unreachable(_)
    )
}

fn attempt_of(check: &Check) -> String {
    check.attempt.clone().unwrap_or_else(|| check.key.clone())
}

impl Child for Pull {
    async fn init(&mut self, _ctx: &Context) -> Result<Init, Crash> {
        Ok(Init::Ready)
    }

    async fn run(&mut self, ctx: &Context) -> Result<Done, Crash> {
        let mut bells = self.parts.facts.bells();
        while !ctx.is_stopping() {
            ctx.beat();
            let Some(pr) = self.parts.facts.pull(self.id).await? else {
                return Ok(Done);
            };
            let Some(work) = self.parts.facts.pull_work(self.id).await? else {
                return Ok(Done);
            };
            if !pr.followed {
                return Ok(Done);
            }
            let now = self.parts.clock.now();
            self.rests = self
                .rests
                .filter(|until| *until > now && cadence::sensible(*until, now).is_some());
            match self.next(&pr, work).await? {
                Next::Explain(check) => self.explain(ctx, &pr, work, &check).await?,
                Next::Look => self.look(ctx, &pr, work, false).await?,
                Next::WholeLook => self.look(ctx, &pr, work, true).await?,
                Next::Wait(until) => self.wait(ctx, &pr, until, &mut bells).await?,
            }
        }
        Ok(Done)
    }
}
