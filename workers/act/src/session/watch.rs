//! Watching a live session: look, write down a change, wait for the next.

use std::time::Duration;

use ao_derive::{Watch, liveness, shown};
use ao_domain::port::runtime::{Look, Runtime};
use ao_domain::{Liveness, Seen, Session, Timestamp};
use ao_supervisor::{Context, Crash, step};

use super::{SessionChild, at};

/// One look: a lock, a connection to a local socket and one answer. The holder answers within a second or is silent.
const LOOK: Duration = Duration::from_secs(5);

/// When to look again at a runtime that gave no answer; it cannot say that it is back.
const SILENT_LOOK: Duration = Duration::from_secs(2);

impl SessionChild {
    /// Looks once, writes what is new, and if nothing is waits until something may be.
    pub(super) async fn watch(&self, ctx: &Context, session: &Session, until: Option<Timestamp>) -> Result<(), Crash> {
        let runtime = self.runtime(session)?;
        let name = at(session);
        let look = step!("watch.look", ctx.within(LOOK, runtime.look(&name)));
        let seen = Seen::by(look.unwrap_or(Ok(Look::Silent)));
        let now = self.parts.clock.now();
        if seen.is_news(session.process.as_ref(), session.generation) {
            step!("watch.seen", self.parts.seen.looked(ctx.incarnation(), &self.id, session.generation, seen, now))?;
            return Ok(());
        }
        let again = match liveness(session.process.as_ref(), session.generation) {
            Liveness::Unknown => Some(now.plus(SILENT_LOOK)),
            _ => None,
        };
        self.wait(ctx, session, until.into_iter().chain(again).min(), Some(runtime)).await
    }

    /// Waits for a change of the facts, the runtime's word, the instant `until`, or the one at which the status has to
    /// be worked out again; then that is announced by a new revision.
    pub(super) async fn wait(
        &self,
        ctx: &Context,
        session: &Session,
        until: Option<Timestamp>,
        runtime: Option<&dyn Runtime>,
    ) -> Result<(), Crash> {
        let swept_at = self.parts.facts.swept_at().await?;
        let now = self.parts.clock.now();
        let shown = shown(session, self.habits(session), Watch { swept_at }, now);
        let name = at(session);
        let runtime_changes = async {
            match runtime {
                Some(runtime) => runtime.changed(&name).await,
                None => std::future::pending().await,
            }
        };
        let clock = &self.parts.clock;
        let reaches = |when: Option<Timestamp>| async move {
            match when {
                Some(when) => clock.reaches(when).await,
                None => std::future::pending().await,
            }
        };
        let waiting = async {
            tokio::select! { // arms only wait, and only on cancel-safe things
                biased;
                () = ctx.stopping() => Woken::Other,
                () = self.parts.facts.changed_since(&session.id, session.revision) => Woken::Other,
                () = runtime_changes => Woken::Other,
                () = reaches(until) => Woken::Other,
                () = reaches(shown.valid_until) => Woken::StatusAged,
            }
        };
        if ctx.beating(waiting).await == Woken::StatusAged {
            step!("watch.revision", self.parts.outcomes.bump(ctx.incarnation(), &self.id, clock.now()))?;
        }
        Ok(())
    }
}

#[derive(PartialEq, Eq)]
enum Woken {
    StatusAged,
    Other,
}
