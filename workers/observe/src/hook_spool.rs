//! One child for all hook spools: applies what agents said about themselves, in order, each record once.
//!
//! Facts     reads `hook_spool` (how far each spool was applied) and `sessions`; writes `signals`, `hook_spool` and the session's activity.
//! Messages  none. Wakes when a spool may have grown, at the latest after the spool's slow poll.
//! Acts      never.
//! Crash     the offset moves in the transaction that applies the records: what was applied is not read again, the rest is.
//! Ends      never by itself (`Restart::Permanent`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ao_domain::port::agent::Agents;
use ao_domain::port::clock::Clock;
use ao_domain::port::spool::{HookSpool, SpoolError};
use ao_domain::{HookRecord, Session, SessionId, Signal};
use ao_facts::{Applied, AppliedSignal, FactsError, ObservationWriter, Reader};
use ao_supervisor::{Child, Context, Crash, Done, Init, step};

/// One read of a file and one transaction; a full disk answers at once, a busy database within 5 s.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// What the API writes for `POST …/activity`; the rest is one of the four activity states.
pub const FROM_API: &str = "api:";

/// What one session's hooks could not be heard for.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// Its file; nothing was applied, and it is read again at the next round.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Its rows, or the database; nothing was applied.
    #[error(transparent)]
    Facts(#[from] FactsError),
}

/// The child.
pub struct SpoolReader {
    facts: Reader,
    writer: ObservationWriter,
    spool: Arc<dyn HookSpool>,
    agents: Arc<dyn Agents>,
    clock: Arc<dyn Clock>,
    wall_retry: Duration,
}

impl SpoolReader {
    /// A fresh one. An agent whose quota is used up and that does not say until when is asked nothing for `wall_retry`.
    pub fn new(
        facts: Reader,
        writer: ObservationWriter,
        spool: Arc<dyn HookSpool>,
        agents: Arc<dyn Agents>,
        clock: Arc<dyn Clock>,
        wall_retry: Duration,
    ) -> Self {
        Self {
            facts,
            writer,
            spool,
            agents,
            clock,
            wall_retry,
        }
    }

    /// Applies everything that lies in the spools. `done` spares a read of spools that have not grown. What is wrong with
    /// one session's spool or rows is that session's alone: the others are heard.
    async fn drain(&self, ctx: &Context, done: &mut HashMap<SessionId, u64>) -> Result<(), Crash> {
        for id in step!("hooks.list", self.spool.sessions())? {
            if let Err(trouble) = self.drain_one(ctx, &id, done).await {
                match trouble {
                    Trouble::Spool(_) | Trouble::Facts(FactsError::Row { .. } | FactsError::Write { .. }) => {
                        let error: &dyn std::error::Error = &trouble;
                        tracing::warn!(error, session = %id, "hooks of this session are not heard");
                    }
                    Trouble::Facts(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    async fn drain_one(
        &self,
        ctx: &Context,
        id: &SessionId,
        done: &mut HashMap<SessionId, u64>,
    ) -> Result<(), Trouble> {
        loop {
            ctx.beat();
            let offset = match done.get(id) {
                Some(offset) => *offset,
                None => self.facts.spool_offset(id).await?,
            };
            let piece = step!("hooks.read", self.spool.read(id, offset))?;
            done.insert(id.clone(), offset);
            if piece.next == offset {
                return Ok(());
            }
            let signals = match self.facts.session(id).await? {
                Some(session) => self.read_signals(&session, piece.records),
                None => Vec::new(), // nobody's: passed over once, by the offset
            };
            let now = self.clock.now();
            let applied = step!(
                "hooks.apply",
                self.writer
                    .apply_signals(ctx.incarnation(), id, offset, piece.next, &signals, now)
            )?;
            match applied {
                Applied::Yes { .. } => done.insert(id.clone(), piece.next),
                Applied::Overtaken { at } => done.insert(id.clone(), at),
                // Nobody's: nothing to keep a place in, so this incarnation passes over it by itself.
                Applied::NoSession => done.insert(id.clone(), piece.next),
            };
        }
    }

    fn read_signals(
        &self,
        session: &Session,
        records: Vec<Result<HookRecord, String>>,
    ) -> Vec<AppliedSignal> {
        let mut signals = Vec::with_capacity(records.len());
        for record in records {
            match record {
                Ok(record) => {
                    let signal = self.meaning(session, &record);
                    signals.push(AppliedSignal { record, signal });
                }
                Err(why) => {
                    tracing::warn!(session = %session.id, why, "a hook record is not one, passed over");
                }
            }
        }
        signals
    }

    /// What a record says. An event the agent does not have is kept as a mere sign of life, and so is whatever another agent says: some
    /// run the hooks that a person has set up for another.
    fn meaning(&self, session: &Session, record: &HookRecord) -> Signal {
        if let Some(state) = record.event.strip_prefix(FROM_API) {
            return Signal {
                state: state.parse().ok(),
                ..Signal::default()
            };
        }
        if record.agent != session.harness {
            return Signal::default();
        }
        let known = self
            .agents
            .get(&record.agent)
            .ok()
            .and_then(|agent| agent.signal(&record.event, &record.payload, record.at));
        let mut known = known.unwrap_or_default();
        known.wall = known.wall.map(|wall| wall.or_for(self.wall_retry));
        known
    }
}

impl Child for SpoolReader {
    async fn init(&mut self, ctx: &Context) -> Result<Init, Crash> {
        self.drain(ctx, &mut HashMap::new()).await?;
        Ok(Init::Ready)
    }

    async fn run(&mut self, ctx: &Context) -> Result<Done, Crash> {
        let mut done = HashMap::new();
        loop {
            tokio::select! {
                biased;
                () = ctx.stopping() => return Ok(Done),
                () = ctx.beating(self.spool.changed()) => {}
            }
            self.drain(ctx, &mut done).await?;
        }
    }
}
