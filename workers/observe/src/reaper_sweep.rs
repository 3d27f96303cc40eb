//! One short-lived child per due sweep: looks at every agent's process once, and writes where that differs from the rows.
//!
//! Facts     reads `sweeps` and every session that has a process; writes `session_process` and the sweep's own row.
//! Messages  none. Exists because its row is due.
//! Acts      never. It forks nothing; a look is a lock, a local socket and a pid.
//! Crash     the row is still due: the next incarnation sweeps again from the start.
//! Ends      when its row says when the next one is due (`Restart::Transient`), or at its deadline as a crash.

use std::sync::Arc;
use std::time::Duration;

use ao_domain::port::clock::Clock;
use ao_domain::port::runtime::{Look, RuntimeRef, Runtimes};
use ao_domain::{Looked, Phase, Seen, Session};
use ao_facts::{Filter, ObservationWriter, Reader, Sighting};
use ao_supervisor::{Child, Context, Crash, Done, Init, step};

/// How long after the end of one sweep the next is due. Death is an event; a sweep only catches what had no child.
pub const EVERY: Duration = Duration::from_secs(15);

/// A whole sweep: a thousand looks at a few hundred microseconds each, with room for a slow machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// One look; the holder answers within a second or is silent.
const LOOK: Duration = Duration::from_secs(5);

/// The heartbeat: one look and one write.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// The child.
pub struct Sweep {
    name: String,
    facts: Reader,
    writer: ObservationWriter,
    runtimes: Runtimes,
    clock: Arc<dyn Clock>,
}

/// The sweep did not end in time. What it wrote by then is true; the next one looks at everything again.
#[derive(Debug, thiserror::Error)]
#[error("the sweep over `{name}` took longer than {} s", DEADLINE.as_secs())]
pub struct Overdue {
    /// Which sweep.
    pub name: String,
}

impl Sweep {
    /// The sweep whose row is called `name`.
    pub fn new(
        name: String,
        facts: Reader,
        writer: ObservationWriter,
        runtimes: Runtimes,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            name,
            facts,
            writer,
            runtimes,
            clock,
        }
    }

    /// Looks at everything that is up, then writes what differs in one transaction.
    async fn sweep(&self, ctx: &Context) -> Result<(), Crash> {
        let mut seen = Vec::new();
        for session in self
            .facts
            .sessions(&Filter {
                terminated: Some(false),
                ..Filter::default()
            })
            .await?
        {
            ctx.beat();
            if session.phase == Phase::Live {
                seen.extend(self.look(&session).await);
            }
        }
        if !seen.is_empty() {
            step!("sweep.seen", self.writer.looked(ctx.incarnation(), &seen))?;
        }
        Ok(())
    }

    async fn look(&self, session: &Session) -> Option<Sighting> {
        let runtime = self.runtimes.get(&session.runtime)?;
        let at = RuntimeRef {
            session: session.id.clone(),
            generation: session.generation,
        };
        let look = step!("sweep.look", tokio::time::timeout(LOOK, runtime.look(&at)));
        let seen = Seen::by(look.unwrap_or(Ok(Look::Silent)));
        // An agreeing look is worth a write only where a row of them is what is waited for.
        let counts = seen.looked != Looked::Alive;
        (counts || seen.is_news(session.process.as_ref(), session.generation)).then(|| Sighting {
            session: session.id.clone(),
            generation: session.generation,
            seen,
            at: self.clock.now(),
        })
    }
}

impl Child for Sweep {
    async fn init(&mut self, _ctx: &Context) -> Result<Init, Crash> {
        let due = self.facts.due_sweeps(self.clock.now()).await?;
        Ok(if due.iter().any(|due| due.name == self.name) {
            Init::Ready
        } else {
            Init::Ignore
        })
    }

    async fn run(&mut self, ctx: &Context) -> Result<Done, Crash> {
        let swept = tokio::select! {
            biased;
            () = ctx.stopping() => return Ok(Done),
            swept = tokio::time::timeout(DEADLINE, self.sweep(ctx)) => swept,
        };
        swept.map_err(|_| Overdue {
            name: self.name.clone(),
        })??;
        let now = self.clock.now();
        step!(
            "sweep.done",
            self.writer
                .sweep_finished(ctx.incarnation(), &self.name, now.plus(EVERY), None, now)
        )?;
        Ok(Done)
    }
}
