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
use ao_domain::port::processes::Processes;
use ao_domain::port::runtime::{Look, RuntimeRef, Runtimes};
use ao_domain::{Looked, Phase, Seen, Session, Timestamp};
use ao_facts::{Filter, ObservationWriter, Reader, Sighting};
use ao_supervisor::{Child, Context, Crash, Done, Init, step};

/// How long after the end of one sweep the next is due. Death is an event; a sweep only catches what had no child.
pub const EVERY: Duration = Duration::from_secs(15);

/// Whether `sweep` is to be made at `now`: its time has come, or lies further off than it can, because the clock was set
/// back since it was written.
pub fn is_due(sweep: &ao_facts::Sweep, now: Timestamp) -> bool {
    sweep.due_at <= now || sweep.due_at > now.plus(EVERY * 2)
}

/// A whole sweep: a thousand looks at a few hundred microseconds each, with room for a slow machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// One look; the holder answers within a second or is silent.
const LOOK: Duration = Duration::from_secs(5);

/// Differences that are written in one transaction.
const PORTION: usize = 20;

/// The heartbeat: one look and one write.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// The child.
pub struct Sweep {
    name: String,
    facts: Reader,
    writer: ObservationWriter,
    runtimes: Runtimes,
    processes: Arc<dyn Processes>,
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
        processes: Arc<dyn Processes>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            name,
            facts,
            writer,
            runtimes,
            processes,
            clock,
        }
    }

    /// Looks at everything that is up and writes what differs, a portion at a time: what was seen by then is kept when
    /// the sweep does not come to its end.
    async fn sweep(&self, ctx: &Context) -> Result<(), Crash> {
        let mut seen = Vec::new();
        let sessions = self
            .facts
            .sessions(&Filter {
                terminated: Some(false),
                ..Filter::default()
            })
            .await?;
        for (number, session) in sessions.iter().enumerate() {
            ctx.beat();
            if session.phase == Phase::Live {
                seen.extend(self.look(session).await);
            }
            let last = number + 1 == sessions.len();
            if (last && !seen.is_empty()) || seen.len() >= PORTION {
                step!("sweep.seen", self.writer.looked(ctx.incarnation(), &seen))?;
                seen.clear();
            }
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
        let seen = Seen::of(
            look.unwrap_or(Ok(Look::Silent)),
            session.process.as_ref(),
            session.generation,
            &*self.processes,
        );
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
        let now = self.clock.now();
        let sweeps = self.facts.sweeps().await?;
        Ok(
            if sweeps
                .iter()
                .any(|sweep| sweep.name == self.name && is_due(sweep, now))
            {
                Init::Ready
            } else {
                Init::Ignore
            },
        )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_puts_no_sweep_off() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let sweep = |due_at| ao_facts::Sweep {
            name: "sessions".to_owned(),
            due_at,
            finished_at: None,
            note: None,
        };
        assert!(is_due(&sweep(at(10_000)), at(10_000)));
        assert!(!is_due(&sweep(at(10_015)), at(10_000)));
        assert!(
            is_due(&sweep(at(13_600)), at(10_000)),
            "an hour off, although one is due every 15 s"
        );
    }
}
