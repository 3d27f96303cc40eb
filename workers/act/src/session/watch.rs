//! Watching a live session: look, write down a change, wait for the next.

use std::time::Duration;

use ao_derive::{Admission, Habits, STALE_AFTER, Shown, Watch, liveness, shown};
use ao_domain::port::PortFuture;
use ao_domain::port::runtime::{Look, Runtime};
use ao_domain::{Liveness, Phase, QueuedFor, SESSION_SWEEP, Seen, Session, Timestamp};
use ao_facts::{FactsError, Sighting, Stand};
use ao_supervisor::{Context, Crash, step};

use super::{SessionChild, at};
use crate::outbox::Outbox;

/// One look: a lock, a connection to a local socket and one answer. The holder answers within a second or is silent.
const LOOK: Duration = Duration::from_secs(5);

/// When to look again at a runtime that gave no answer; it cannot say that it is back.
const SILENT_LOOK: Duration = Duration::from_secs(2);

/// When to look again whether memory is free.
const MEMORY_LOOK: Duration = Duration::from_secs(2);

impl SessionChild {
    /// Looks once, writes what is new, and if nothing is waits until something may be.
    pub(super) async fn watch(
        &self,
        ctx: &Context,
        session: &Session,
        until: Option<Timestamp>,
    ) -> Result<(), Crash> {
        let runtime = self.runtime(session)?;
        let name = at(session);
        // Before the look, so that no end falls between it and the wait: of an agent that has ended no event comes.
        let changes = runtime.changed(&name);
        let seen = self.look_at_run(ctx, session, runtime).await;
        let now = self.parts.clock.now();
        // Sweeps keep the evidence fresh; should they be down, this child does.
        let looks = [
            session.process.as_ref().map(|process| process.looked_at),
            self.swept_at().await?,
        ];
        let looked_at = looks.into_iter().flatten().filter(|at| *at <= now).max(); // later: the clock was set back
        let is_old = session.phase == Phase::Live && looked_at.is_none_or(|at| now >= renewed(at));
        if is_old || seen.is_news(session.process.as_ref(), session.generation) {
            return self.saw(ctx, session, seen, now).await;
        }
        let mut next: Vec<Timestamp> = Vec::new();
        if session.phase == Phase::Live {
            match self.read_screen(ctx, session, runtime).await? {
                Outbox::Moved => return Ok(()),
                Outbox::Quiet(until) => next.extend(until),
            }
        }
        let shown = self.shown_now(session).await?;
        if self.complete(ctx, session, &shown).await? {
            return Ok(());
        }
        match self.tell_of_checks(ctx, session).await? {
            Outbox::Moved => return Ok(()),
            Outbox::Quiet(until) => next.extend(until),
        }
        match self.deliver(ctx, session, self.habits(session), &shown).await? {
            Outbox::Moved => return Ok(()),
            Outbox::Quiet(until) => next.extend(until),
        }
        let silent = liveness(session.process.as_ref(), session.generation) == Liveness::Unknown;
        let again = silent.then(|| now.plus(SILENT_LOOK));
        let until = Until {
            at: until.into_iter().chain(again).chain(next).min(),
            looked_at: looked_at.filter(|_| session.phase == Phase::Live),
        };
        self.wait(ctx, session, until, Some(changes)).await
    }

    /// Looks whether the agent runs now, and writes it down where that is not what the row says: then the answer is `false`.
    pub(super) async fn is_as_seen(&self, ctx: &Context, session: &Session) -> Result<bool, Crash> {
        let seen = self.look_at_run(ctx, session, self.runtime(session)?).await;
        if seen.is_news(session.process.as_ref(), session.generation) {
            self.saw(ctx, session, seen, self.parts.clock.now()).await?;
            return Ok(false);
        }
        Ok(true)
    }

    async fn look_at_run(&self, ctx: &Context, session: &Session, runtime: &dyn Runtime) -> Seen {
        let look = step!("watch.look", ctx.within(LOOK, runtime.look(&at(session))));
        Seen::of(
            look.unwrap_or(Ok(Look::Silent)),
            session.process.as_ref(),
            session.generation,
            &*self.parts.processes,
        )
    }

    async fn saw(&self, ctx: &Context, session: &Session, seen: Seen, now: Timestamp) -> Result<(), Crash> {
        let sighting = [Sighting {
            session: self.id.clone(),
            generation: session.generation,
            seen,
            at: now,
        }];
        step!("watch.seen", self.parts.seen.looked(ctx.incarnation(), &sighting))?;
        Ok(())
    }

    async fn read_screen(
        &self,
        ctx: &Context,
        session: &Session,
        runtime: &dyn Runtime,
    ) -> Result<Outbox, Crash> {
        match self.parts.agents.get(&session.harness) {
            Ok(agent) if agent.prompt(None).is_some() => {
                self.look_at_screen(ctx, session, agent, runtime).await
            }
            _ => Ok(Outbox::Quiet(None)),
        }
    }

    async fn shown_now(&self, session: &Session) -> Result<Shown, FactsError> {
        let watch = Watch {
            swept_at: self.swept_at().await?,
        };
        Ok(shown(
            session,
            self.habits(session),
            watch,
            self.parts.clock.now(),
        ))
    }

    /// Says what is waited for, then waits until any fact has changed: a place is freed by another session's row. Nothing tells of
    /// memory that is free again: that is looked at every few seconds, and by the first of the line only.
    pub(super) async fn wait_in_line(
        &self,
        ctx: &Context,
        session: &Session,
        what: Option<QueuedFor>,
    ) -> Result<(), Crash> {
        let mut wakeups = self.parts.facts.wakeups(); // taken before the look, so that no change falls in between
        let now = self.parts.clock.now();
        if session.queued_for != what {
            let stand = Stand::of(session);
            let written = self
                .parts
                .outcomes
                .waits_for(ctx.incarnation(), &self.id, stand, what, now);
            let _ = step!("queue.waits", written)?; // overtaken by a kill: read again
            return Ok(());
        }
        if self.admission(session).await? == Admission::Granted {
            return Ok(());
        }
        let looks_again = async {
            match what {
                Some(QueuedFor::Memory) => self.parts.clock.reaches(now.plus(MEMORY_LOOK)).await,
                _ => std::future::pending().await,
            }
        };
        let waiting = async {
            tokio::select! {
                biased;
                () = ctx.stopping() => {}
                () = wakeups.changed() => {}
                () = looks_again => {}
            }
        };
        ctx.beating(waiting).await;
        Ok(())
    }

    /// Resolves when `until` says so. A look that grows old is no reason while sweeps go on looking: a hundred idle sessions then
    /// cost one question each instead of a whole round.
    async fn reaches(&self, mut until: Until) {
        loop {
            let renew_at = until.looked_at.map(renewed);
            match until.at.into_iter().chain(renew_at).min() {
                Some(next) => self.parts.clock.reaches(next).await,
                None => std::future::pending().await,
            }
            let now = self.parts.clock.now();
            let is_due = until.at.is_some_and(|at| now >= at);
            let swept_at = self.swept_at().await.ok().flatten().filter(|at| *at <= now);
            if is_due || swept_at <= until.looked_at {
                return;
            }
            until.looked_at = swept_at;
        }
    }

    async fn swept_at(&self) -> Result<Option<Timestamp>, FactsError> {
        let sweeps = self.parts.facts.sweeps().await?;
        Ok(sweeps
            .into_iter()
            .find(|sweep| sweep.name == SESSION_SWEEP)
            .and_then(|sweep| sweep.finished_at))
    }

    /// Waits for a change of the facts, the runtime's word, what `until` says, or the instant at which the status has to
    /// be worked out again. A status that is another than when the row last changed, although the row did not, is
    /// announced first, by a new revision.
    pub(super) async fn wait(
        &self,
        ctx: &Context,
        session: &Session,
        until: Until,
        runtime_changes: Option<PortFuture<'_, ()>>,
    ) -> Result<(), Crash> {
        let (habits, watch) = (
            self.habits(session),
            Watch {
                swept_at: self.swept_at().await?,
            },
        );
        let now = self.parts.clock.now();
        let shown_now = shown(session, habits, watch, now);
        let shown_then = shown_at_last_change(session, habits, watch);
        if (shown_then.status, &shown_then.reason) != (shown_now.status, &shown_now.reason) {
            let announced = self.parts.outcomes.bump(ctx.incarnation(), &self.id, now);
            let _ = step!("watch.revision", announced)?; // overtaken by a real change: that is news enough
            return Ok(());
        }
        let runtime_changes = async {
            match runtime_changes {
                Some(changes) => changes.await,
                None => std::future::pending().await,
            }
        };
        let until = Until {
            at: until.at.into_iter().chain(shown_now.valid_until).min(),
            ..until
        };
        let waiting = async {
            tokio::select! { // arms only wait, and only on cancel-safe things
                biased;
                () = ctx.stopping() => {}
                () = self.parts.facts.changed_since(&session.id, session.revision) => {}
                () = runtime_changes => {}
                () = self.reaches(until) => {}
            }
        };
        ctx.beating(waiting).await;
        Ok(())
    }
}

/// Until when to wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Until {
    /// When something is due; `None`: never.
    pub(super) at: Option<Timestamp>,
    /// When the agent was looked at last, if that is to be renewed.
    pub(super) looked_at: Option<Timestamp>,
}

/// When a look is to be followed by another.
fn renewed(looked_at: Timestamp) -> Timestamp {
    looked_at.plus(STALE_AFTER / 2)
}

/// What was shown when the row last changed: with the looks there were by then, not with later ones.
fn shown_at_last_change(session: &Session, habits: Habits, watch: Watch) -> Shown {
    let then = session.updated_at;
    let mut session = session.clone();
    if let Some(process) = &mut session.process {
        process.looked_at = process.looked_at.min(then);
    }
    let swept_at = watch.swept_at.map(|at| at.min(then));
    shown(&session, habits, Watch { swept_at }, then)
}
