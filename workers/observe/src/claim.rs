//! One child per claim that has no answer: asks the forge about the pull request and writes down what that makes of it.
//!
//! Facts     reads its row of `claims`; writes it, and with it the pull request's and its session's rows, in one transaction.
//! Messages  asks through the exchange. Wakes on the answer.
//! Acts      never: what the session's worktree is made from is fetched by its own child.
//! Crash     before the answer is written the row says `asked`, and the next incarnation asks again. After it the row has its answer.
//! Ends      once the claim is answered (`Restart::Transient`), and with its key.

use std::sync::Arc;
use std::time::Duration;

use ao_domain::port::clock::Clock;
use ao_domain::port::forge::Refusal;
use ao_domain::{ClaimRefusal, ClaimState, chain};
use ao_facts::{Answered, ObservationWriter, Reader};
use ao_supervisor::{Child, Context, Crash, Done, Init, step};

use crate::exchange::{Exchange, NoAnswer};

/// The longest time a read or write of the facts may take before the child is held to hang; the forge has deadlines of its own.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// How soon a question that was cut off is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// How often it is asked where no answer came in time: it may have been asked together with something that is slow.
const TRIES: u32 = 3;

/// What the children of claims work with; cloned into each incarnation.
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
}

/// The child. A fresh value every incarnation.
pub struct ClaimChild {
    id: u64,
    parts: Parts,
    late: u32,
}

impl ClaimChild {
    /// The child of the claim that has the number `id`.
    pub fn new(id: u64, parts: Parts) -> Self {
        Self { id, parts, late: 0 }
    }

    /// What an answer comes to; `None`: it is to be asked again.
    fn weigh(&mut self, error: &NoAnswer) -> Option<Answered> {
        if let NoAnswer::Refused(Refusal::Late(_)) = error {
            self.late += 1;
        }
        let why = match error {
            NoAnswer::CutOff => return None,
            NoAnswer::Refused(Refusal::Late(_)) if self.late < TRIES => return None,
            NoAnswer::Refused(Refusal::Gone) => ClaimRefusal::NotFound,
            // Whoever asked is told now: what is tried again behind its back comes when nobody expects it.
            NoAnswer::Refused(_) | NoAnswer::Wait { .. } => ClaimRefusal::Unavailable,
        };
        Some(Answered::Refused(why, chain(error).to_string()))
    }
}

impl Child for ClaimChild {
    async fn init(&mut self, _ctx: &Context) -> Result<Init, Crash> {
        Ok(Init::Ready)
    }

    async fn run(&mut self, ctx: &Context) -> Result<Done, Crash> {
        loop {
            ctx.beat();
            let Some(claim) = self.parts.facts.claim(self.id).await? else {
                return Ok(Done);
            };
            if claim.state != ClaimState::Asked {
                return Ok(Done);
            }
            let asked = async {
                tokio::select! { // arms only wait, and only on cancel-safe things
                    biased;
                    () = ctx.stopping() => None,
                    answer = self.parts.exchange.detail(&claim.at, None) => Some(answer),
                }
            };
            let answered = match step!("claim.asked", ctx.beating(asked)) {
                None => return Ok(Done),
                Some(Ok(detail)) => Some(Answered::Seen(Box::new(detail.facts))),
                Some(Err(error)) => self.weigh(&error),
            };
            let now = self.parts.clock.now();
            let Some(answered) = answered else {
                let pause = async {
                    tokio::select! {
                        biased;
                        () = ctx.stopping() => {}
                        () = self.parts.clock.reaches(now.plus(AGAIN)) => {}
                    }
                };
                ctx.beating(pause).await;
                if ctx.is_stopping() {
                    return Ok(Done);
                }
                continue;
            };
            ctx.beat();
            let written = self
                .parts
                .writer
                .claim_answered(ctx.incarnation(), self.id, answered, now);
            let _ = step!("claim.answered", written)?; // answered already: the next round ends
        }
    }
}
