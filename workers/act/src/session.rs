//! One child per session: brings it up, watches its agent, ends it and takes its worktree back.
//!
//! Facts     reads `sessions` with `session_process` and its `messages`; writes its own row's phase and outcomes, its messages, and
//!           what it saw of its own process and screen.
//! Messages  none. Wakes on a change of the facts, on the runtime's word and on the time its status is good for.
//! Acts      through the ports `Worktrees`, `Agents` and `Runtime`, each call with a crash point before and after it.
//! Crash     before a deed: the phase says it was meant, it is done. After it: it is done again and finds itself done.
//! Ends      when the row says `ended` (`Restart::Transient`); an intent on an ended session starts it anew.

mod provision;
mod spawn;
mod stop;
mod watch;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ao_derive::{Admission, Around, Habits, KEEP_LAST_SCREEN, Load, Step, admission, next_step};
use ao_domain::port::agent::Agents;
use ao_domain::port::clock::Clock;
use ao_domain::port::letters::Letters;
use ao_domain::port::machine::Machine;
use ao_domain::port::processes::Processes;
use ao_domain::port::provision::Provisioner;
use ao_domain::port::runtime::{Runtime, RuntimeRef, Runtimes};
use ao_domain::port::worktrees::Worktrees;
use ao_domain::{EndReason, Phase, Session, SessionId, Timestamp, chain};
use ao_facts::{Changes, FactsError, Moved, ObservationWriter, OutcomeWriter, Reader, Restored, Stand};
use ao_supervisor::{Child, Context, Crash, Done, Init, step};
use camino::Utf8PathBuf;

use watch::Until;

pub use ao_derive::Limits;

/// The longest time a read or a write of the facts may take before the child is held to hang: SQLite's busy timeout
/// is 5 s, and a full disk answers at once.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// What every session's environment starts from and where its things lie.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The data directory.
    pub data_dir: Utf8PathBuf,
    /// The folder that holds the stable link called `ao`; first on every session's PATH.
    pub bin: Utf8PathBuf,
    /// The run file, so that `ao` inside a session finds its daemon.
    pub run_file: Utf8PathBuf,
    /// The daemon's own environment, which sessions inherit.
    pub env: Vec<(String, String)>,
    /// How many sessions there may be at once, and how many may come up.
    pub limits: Limits,
    /// Whether sessions come back by themselves that a restart of the machine ended (`AO_AUTORESTORE`).
    pub restores: bool,
}

impl Setup {
    /// The stable path of `ao`, which hooks call.
    pub(crate) fn ao(&self) -> Utf8PathBuf {
        self.bin.join("ao")
    }

    /// The folder for files of ours that agents of this kind read.
    pub(crate) fn files(&self, agent: &str) -> Utf8PathBuf {
        self.data_dir.join("agents").join(agent)
    }
}

/// What a session's child works with; cloned into each incarnation.
#[derive(Clone)]
pub struct Parts {
    /// Reads the facts.
    pub facts: Reader,
    /// Writes what was done.
    pub outcomes: OutcomeWriter,
    /// Writes what was seen of the session's own process.
    pub seen: ObservationWriter,
    /// Git.
    pub worktrees: Arc<dyn Worktrees>,
    /// The runtimes, by name.
    pub runtimes: Runtimes,
    /// Links, copies and post-create commands.
    pub provisioner: Arc<dyn Provisioner>,
    /// The machine's boot and memory.
    pub machine: Arc<dyn Machine>,
    /// Processes, for what no runtime knows any more.
    pub processes: Arc<dyn Processes>,
    /// The agents.
    pub agents: Arc<dyn Agents>,
    /// Where messages lie that are too long to be typed.
    pub letters: Arc<dyn Letters>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Surroundings.
    pub setup: Arc<Setup>,
}

/// The child. A fresh value every incarnation: nothing is handed on but the id.
pub struct SessionChild {
    pub(crate) id: SessionId,
    pub(crate) parts: Parts,
    pub(crate) clocks: Clocks,
}

/// By how much the wall clock may go ahead of the steady one between two rounds: it is corrected all the time, and they are read one
/// after the other.
const DRIFT: Duration = Duration::from_secs(2);

/// What a child remembers of the clocks: whether the wall clock was set forward under it. Lost with it, and then nobody knows.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    last: Mutex<Option<(Timestamp, Duration)>>,
    jumped: AtomicBool,
}

impl Clocks {
    fn note(&self, clock: &dyn Clock) {
        let read = (clock.now(), clock.steady());
        let before = self
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(read);
        let Some((then, steady)) = before else { return };
        let expected = then.plus(read.1.saturating_sub(steady));
        if read.0 > expected.plus(DRIFT) {
            self.jumped.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it was set forward since this was asked last.
    pub(crate) fn have_jumped(&self) -> bool {
        self.jumped.swap(false, Ordering::Relaxed)
    }
}

/// A session cannot go on, and trying again from the rows is all that is left.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Its row names a runtime that this daemon does not have. Nothing was done.
    #[error("runtime `{0}` is not known to this daemon")]
    UnknownRuntime(String),
    /// A message is to be typed to an agent that takes none. Nothing was done.
    #[error("its agent takes no messages")]
    TakesNothing,
    /// A step took longer than its deadline. Nobody knows how far it came: the next incarnation looks.
    #[error("`{0}` did not end within its deadline")]
    Overdue(&'static str),
}

impl SessionChild {
    /// The child of session `id`.
    pub fn new(id: SessionId, parts: Parts) -> Self {
        Self {
            id,
            parts,
            clocks: Clocks::default(),
        }
    }

    async fn read(&self) -> Result<Option<Session>, FactsError> {
        self.parts.facts.session(&self.id).await
    }

    /// Whether the line lets the session in; of one that has left it nothing is asked.
    pub(crate) async fn admission(&self, session: &Session) -> Result<Admission, FactsError> {
        if session.phase != Phase::Queued {
            return Ok(Admission::Granted);
        }
        let line = self.parts.facts.line_before(&self.id).await?;
        let load = Load {
            earlier: line.earlier,
            taken: line.taken,
            coming_up: line.coming_up,
            free_memory: self.parts.machine.free_memory(),
        };
        Ok(admission(load, self.parts.setup.limits))
    }

    async fn take(&self, ctx: &Context, session: &Session, step: Step) -> Result<(), Crash> {
        match step {
            Step::Enter(phase) => self.enter(ctx, session, phase, Changes::default()).await,
            Step::Conclude(reason) => self.conclude(ctx, session, reason).await,
            Step::WaitInLine(what) => self.wait_in_line(ctx, session, what).await,
            Step::MakeWorktree => self.make_worktree(ctx, session).await,
            Step::Furnish => self.furnish(ctx, session).await,
            Step::PostCreate(number) => self.post_create(ctx, session, number).await,
            Step::Prepare => self.prepare(ctx, session).await,
            Step::Launch => self.launch(ctx, session).await,
            Step::Watch { until } => self.watch(ctx, session, until).await,
            Step::TakeOver => self.take_over(ctx, session).await,
            Step::ComeBack => self.come_back(ctx, session).await,
            Step::StopAgent => self.stop_agent(ctx, session).await,
            Step::FreeWorktree => self.free_worktree(ctx, session).await,
            Step::Rest => Ok(()),
        }
    }

    /// Writes why the step the session is at did not succeed, before the next incarnation tries it again.
    async fn tell_trouble(&self, ctx: &Context, session: &Session, crash: &Crash) {
        let (why, now) = (chain(crash.error()).to_string(), self.parts.clock.now());
        let written = self
            .parts
            .outcomes
            .failed(ctx.incarnation(), &self.id, Stand::of(session), &why, now);
        if let Err(error) = step!("trouble.told", written) {
            // The trouble may be the database itself; then the log alone has it.
            tracing::debug!(error = &error as &dyn std::error::Error, session = %self.id, "trouble not written down");
        }
    }

    /// Moves the row on, if it still stands where it was read. Overtaken is no fault: the next round reads what is so.
    async fn enter(
        &self,
        ctx: &Context,
        session: &Session,
        to: Phase,
        mut changes: Changes,
    ) -> Result<(), Crash> {
        if session.end_reason == Some(EndReason::SpawnFailed) && changes.failure.is_none() {
            changes.failure = session.failure.clone(); // why it never came up stays, however well the rest goes
        }
        let now = self.parts.clock.now();
        let written =
            self.parts
                .outcomes
                .advance(ctx.incarnation(), &self.id, Stand::of(session), to, changes, now);
        // A name of its own for each phase that is entered: each is another moment to be killed at.
        let moved = match to {
            Phase::Worktree => step!("spawn.to_worktree", written),
            Phase::Provision => step!("spawn.to_provision", written),
            Phase::Prepare => step!("spawn.to_prepare", written),
            Phase::Launch => step!("spawn.to_launch", written),
            Phase::Live => step!("spawn.to_live", written),
            Phase::Finished => step!("end.to_finished", written),
            Phase::Stopping => step!("stop.to_stopping", written),
            Phase::Freeing => step!("stop.to_freeing", written),
            Phase::Queued | Phase::Ended => step!("stop.to_ended", written),
        }?;
        match moved {
            Moved::Yes => tracing::info!(session = %self.id, from = %session.phase, %to, "session moved on"),
            Moved::Overtaken => {
                tracing::debug!(session = %self.id, "the facts changed meanwhile, reading again");
            }
        }
        Ok(())
    }

    async fn conclude(&self, ctx: &Context, session: &Session, reason: EndReason) -> Result<(), Crash> {
        let ended_at = session
            .process
            .as_ref()
            .map_or(session.phase_at, |process| process.since);
        let changes = Changes {
            end_reason: Some(reason),
            ended_at: Some(ended_at),
            ..Changes::default()
        };
        self.enter(ctx, session, Phase::Finished, changes).await
    }

    /// Ends the orchestrator whose place this one takes, in the instant in which it takes it. Not on the word of a look that may be as
    /// old as the child before this one: a place that a dead one took is nobody's.
    async fn take_over(&self, ctx: &Context, session: &Session) -> Result<(), Crash> {
        if !self.is_as_seen(ctx, session).await? {
            return Ok(());
        }
        let now = self.parts.clock.now();
        let written = self
            .parts
            .outcomes
            .take_over(ctx.incarnation(), &self.id, Stand::of(session), now);
        let moved = step!("replace.take_over", written)?;
        if moved == Moved::Yes {
            tracing::info!(session = %self.id, "took its predecessor's place");
        }
        Ok(())
    }

    /// Brings the session back after a restart of the machine. Somebody who was faster has done it.
    async fn come_back(&self, ctx: &Context, session: &Session) -> Result<(), Crash> {
        let (secret, now) = (self.parts.machine.secret(), self.parts.clock.now());
        let written = self
            .parts
            .outcomes
            .come_back(ctx.incarnation(), &self.id, secret, now);
        match step!("reboot.come_back", written)? {
            Restored::Yes | Restored::NotOver(_) => {
                tracing::info!(session = %self.id, "comes back after a restart of the machine");
                Ok(())
            }
            // It stays over, and is named among those that wait, for as long as any other that is over.
            other => {
                tracing::warn!(session = %self.id, ?other, "cannot come back by itself");
                let until = session
                    .ended_at
                    .unwrap_or(session.phase_at)
                    .plus(KEEP_LAST_SCREEN);
                let until = Until {
                    at: Some(until),
                    looked_at: None,
                };
                self.wait(ctx, session, until, None).await
            }
        }
    }

    pub(crate) fn runtime(&self, session: &Session) -> Result<&dyn Runtime, SessionError> {
        let name = &session.runtime;
        self.parts
            .runtimes
            .get(name)
            .ok_or_else(|| SessionError::UnknownRuntime(name.clone()))
    }

    pub(crate) fn takes_messages(&self, session: &Session) -> bool {
        let agent = self.parts.agents.get(&session.harness);
        agent.is_ok_and(|agent| agent.description().takes.is_some())
    }

    fn habits(&self, session: &Session) -> Habits {
        let agent = self.parts.agents.get(&session.harness);
        agent.map_or(Habits::NONE, |agent| Habits::of(agent.description()))
    }
}

impl Child for SessionChild {
    async fn init(&mut self, _ctx: &Context) -> Result<Init, Crash> {
        let session = self.read().await?;
        Ok(if session.is_some_and(|session| session.phase != Phase::Ended) {
            Init::Ready
        } else {
            Init::Ignore
        })
    }

    async fn run(&mut self, ctx: &Context) -> Result<Done, Crash> {
        while !ctx.is_stopping() {
            ctx.beat();
            self.clocks.note(&*self.parts.clock);
            let Some(session) = self.read().await? else {
                return Ok(Done);
            };
            let boot = self.parts.machine.boot();
            let around = Around {
                admission: self.admission(&session).await?,
                boot: boot.as_deref(),
                restores: self.parts.setup.restores,
                now: self.parts.clock.now(),
            };
            let step = next_step(&session, around);
            if step == Step::Rest {
                return Ok(Done);
            }
            if let Err(crash) = self.take(ctx, &session, step).await {
                self.tell_trouble(ctx, &session, &crash).await;
                return Err(crash);
            }
        }
        Ok(Done)
    }
}

/// The name under which the runtime holds this run.
pub(crate) fn at(session: &Session) -> RuntimeRef {
    RuntimeRef {
        session: session.id.clone(),
        generation: session.generation,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use ao_domain::port::PortFuture;

    use super::*;

    /// Seconds of both clocks.
    #[derive(Default)]
    struct Two {
        wall: AtomicI64,
        steady: AtomicI64,
    }

    impl Clock for Two {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.wall.load(Ordering::Relaxed) * 1_000)
        }

        fn steady(&self) -> Duration {
            Duration::from_secs(self.steady.load(Ordering::Relaxed).unsigned_abs())
        }

        fn reaches(&self, _: Timestamp) -> PortFuture<'_, ()> {
            Box::pin(std::future::pending())
        }
    }

    #[test]
    fn only_a_clock_that_was_set_forward_has_jumped_and_only_once() {
        let (clock, clocks) = (Two::default(), Clocks::default());
        for (wall, steady, jumped) in [
            (10_000, 10, false), // nothing to compare it with
            (10_060, 70, false),
            (13_670, 80, true),
            (13_680, 90, false),
            (10_080, 100, false),
            (10_090, 110, false),
        ] {
            clock.wall.store(wall, Ordering::Relaxed);
            clock.steady.store(steady, Ordering::Relaxed);
            clocks.note(&clock);
            assert_eq!(clocks.have_jumped(), jumped, "{wall}");
        }
    }
}
