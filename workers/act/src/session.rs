//! One child per session: brings it up, watches its agent, ends it and takes its worktree back.
//!
//! Facts     reads `sessions` with `session_process` and its `messages`; writes its own row's phase and outcomes, its messages, and
//!           what it saw of its own process and screen.
//! Messages  none. Wakes on a change of the facts, on the runtime's word and on the time its status is good for.
//! Acts      through the ports `Worktrees`, `Agents` and `Runtime`, each call with a crash point before and after it.
//! Crash     before a deed: the phase says it was meant, it is done. After it: it is done again and finds itself done.
//! Ends      when the row says `ended` (`Restart::Transient`); an intent on an ended session starts it anew.

mod spawn;
mod stop;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use ao_derive::{Habits, Step, next_step};
use ao_domain::port::agent::Agents;
use ao_domain::port::clock::Clock;
use ao_domain::port::letters::Letters;
use ao_domain::port::processes::Processes;
use ao_domain::port::runtime::{Runtime, RuntimeRef, Runtimes};
use ao_domain::port::worktrees::Worktrees;
use ao_domain::{EndReason, Phase, Session, SessionId, chain};
use ao_facts::{Changes, FactsError, Moved, ObservationWriter, OutcomeWriter, Reader, Stand};
use ao_supervisor::{Child, Context, Crash, Done, Init, step};
use camino::Utf8PathBuf;

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
    /// How many sessions may have a place at once (`AO_MAX_SESSIONS`); 0 means any number.
    pub max_sessions: u32,
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
        Self { id, parts }
    }

    async fn read(&self) -> Result<Option<Session>, FactsError> {
        self.parts.facts.session(&self.id).await
    }

    async fn has_place(&self, session: &Session) -> Result<bool, FactsError> {
        let most = self.parts.setup.max_sessions;
        if most == 0 || session.phase != Phase::Queued {
            return Ok(true);
        }
        Ok(self.parts.facts.places_before(&self.id).await? < most)
    }

    async fn take(&self, ctx: &Context, session: &Session, step: Step) -> Result<(), Crash> {
        match step {
            Step::Enter(phase) => self.enter(ctx, session, phase, Changes::default()).await,
            Step::Conclude(reason) => self.conclude(ctx, session, reason).await,
            Step::WaitForPlace => self.wait_for_place(ctx, session).await,
            Step::MakeWorktree => self.make_worktree(ctx, session).await,
            Step::Prepare => self.prepare(ctx, session).await,
            Step::Launch => self.launch(ctx, session).await,
            Step::Watch { until } => self.watch(ctx, session, until).await,
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
            let Some(session) = self.read().await? else {
                return Ok(Done);
            };
            let place = self.has_place(&session).await?;
            let step = next_step(&session, place, self.parts.clock.now());
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
