//! Telling an agent, or a person, what became of its pull requests; and the end of a session whose work was merged.

use ao_derive::{CiNudge, Shown, ci_nudge, is_completed};
use ao_domain::{Ci, Desired, NoticeKind, Phase, Session};
use ao_facts::{Moved, NewNotice, NewNudge, OpenEpisode};
use ao_supervisor::{Context, Crash, step};

use crate::outbox::Outbox;
use crate::session::SessionChild;

impl SessionChild {
    /// Queues what is to be said of failing checks, each once; answers when more is to be said at the latest.
    pub(crate) async fn tell_of_checks(&self, ctx: &Context, session: &Session) -> Result<Outbox, Crash> {
        let has_failing = session
            .prs
            .iter()
            .any(|pr| pr.ci == Ci::Failing && pr.state.is_open());
        let runs = session.phase == Phase::Live && session.desired == Desired::Run;
        // An agent that takes no messages is told nothing: its person sees it in the status.
        if !runs || !has_failing || !self.takes_messages(session) {
            return Ok(Outbox::Quiet(None));
        }
        let mut until = Vec::new();
        for open in self.parts.facts.open_episodes(&self.id).await? {
            let OpenEpisode {
                episode,
                pr,
                checks,
                nudges,
            } = &open;
            let now = self.parts.clock.now();
            let moved = match ci_nudge(session, pr, checks, episode, nudges, now) {
                CiNudge::Nothing => continue,
                CiNudge::Wait(at) => {
                    until.push(at);
                    continue;
                }
                CiNudge::Tell { round, told, text } => {
                    let new = NewNudge {
                        session: self.id.clone(),
                        generation: session.generation,
                        episode: episode.id,
                        kind: episode.kind,
                        round,
                        told,
                        text,
                    };
                    let written = self.parts.outcomes.nudge(ctx.incarnation(), new, now);
                    step!("nudge.queued", written)?
                }
                CiNudge::Notice(text) => {
                    let new = NewNotice {
                        session: self.id.clone(),
                        kind: NoticeKind::CiStuck,
                        pr: pr.id,
                        head: episode.head.clone(),
                        url: pr.facts.url.clone(),
                        text,
                    };
                    let written = self.parts.outcomes.notice(ctx.incarnation(), new, now);
                    step!("nudge.noticed", written)?
                }
            };
            if moved == Moved::Yes {
                return Ok(Outbox::Moved);
            }
        }
        Ok(Outbox::Quiet(until.into_iter().min()))
    }

    /// Ends the session if its work was merged and nothing is left to do. Answers whether it did.
    pub(crate) async fn complete(
        &self,
        ctx: &Context,
        session: &Session,
        shown: &Shown,
    ) -> Result<bool, Crash> {
        if !is_completed(session, shown) {
            return Ok(false);
        }
        let now = self.parts.clock.now();
        let written = self
            .parts
            .outcomes
            .complete(ctx.incarnation(), &self.id, session.generation, now);
        let moved = step!("watch.completed", written)?;
        if moved == Moved::Yes {
            tracing::info!(session = %self.id, "its work was merged: the session is completed");
        }
        Ok(true)
    }
}
