//! Delivery: what waits for a session is typed when its time comes, and its row says how far it is.
//!
//! The row is written before anything is typed and names the attempt; whoever holds the terminal types nothing twice under one
//! name. So a child that was cut off at any instant asks again and learns how it went. Which step is next is `ao_derive`'s word.

use std::time::Duration;

use ao_derive::{Delivery, Habits, Shown, goes_by_file, labelled, next_delivery, next_try, typed_words};
use ao_domain::port::agent::Agent;
use ao_domain::port::runtime::{Press, Prompt, Runtime, RuntimeError, Typing, Withheld};
use ao_domain::{Message, MessageKind, MessageState, Session, Timestamp, chain};
use ao_facts::{Moved, Reached, Step};
use ao_supervisor::{Context, Crash, step};

use crate::session::{SessionChild, SessionError, at};

/// Text, pause and Enter with both looks; the runtime's own deadline is shorter.
const TYPE: Duration = Duration::from_secs(20);

/// A small file on a disk that may be busy.
const WRITE: Duration = Duration::from_secs(10);

/// One answer of a local socket.
const SCREEN: Duration = Duration::from_secs(5);

/// When to look again at a screen that takes nothing, once that is written down.
const HELD_TRY: Duration = Duration::from_secs(2);

/// When to ask again a holder that gave no answer.
const SILENT_TRY: Duration = Duration::from_secs(2);

/// Why nothing proves a message whose agent stands still; in its row, so that it gets its whole time once that runs again.
const UNREAD: &str = "it was typed: its agent has not read it yet";

/// What became of a look at the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outbox {
    /// A row was changed: read again.
    Moved,
    /// Nothing is to be done until then, or until the facts change.
    Quiet(Option<Timestamp>),
}

impl SessionChild {
    /// Takes one step with what waits for `session`.
    pub(crate) async fn deliver(
        &self,
        ctx: &Context,
        session: &Session,
        habits: Habits,
        shown: &Shown,
    ) -> Result<Outbox, Crash> {
        if session.messages_waiting == 0 {
            return Ok(Outbox::Quiet(None));
        }
        let waiting = self.parts.facts.waiting_messages(&session.id).await?;
        let now = self.parts.clock.now();
        let Some((message, next)) = next_delivery(session, habits, shown, &waiting, now) else {
            return Ok(Outbox::Quiet(None));
        };
        let is_unproved = matches!(next, Delivery::Requeue { .. } | Delivery::GiveUp { .. })
            && message.state == MessageState::Typed
            && message.generation == Some(session.generation);
        // Its time is counted by a clock that was set: it gets all of it anew, by the clock as it is now.
        let is_ahead = message.state == MessageState::Typed && message.state_at > now;
        if is_ahead || (is_unproved && self.clocks.have_jumped()) {
            let reason = message.reason.clone();
            return self.bring(ctx, message, Step::StillTyped { reason }).await;
        }
        if is_unproved && let Some(outcome) = self.read_late(ctx, session, message).await? {
            return Ok(outcome);
        }
        match next {
            Delivery::Hold { until, .. } => Ok(Outbox::Quiet(until)),
            Delivery::Type => self.begin(ctx, session, message).await,
            Delivery::Resume => self.type_it(ctx, session, message).await,
            Delivery::Requeue { why } => {
                let again = Step::Queued {
                    reason: why,
                    try_at: None,
                    perhaps: true,
                };
                self.bring(ctx, message, again).await
            }
            Delivery::Accept => self.bring(ctx, message, Step::Accepted).await,
            Delivery::Unprovable { why } => self.bring(ctx, message, Step::Unprovable { reason: why }).await,
            Delivery::GiveUp { why } => self.bring(ctx, message, Step::Failed { reason: why }).await,
        }
    }

    /// Whether `message`, which nothing proved in time, gets more of it: an agent that stands still proves nothing and loses
    /// nothing, and its time begins when it has read what was typed. `None` where it had its time.
    async fn read_late(
        &self,
        ctx: &Context,
        session: &Session,
        message: &Message,
    ) -> Result<Option<Outbox>, Crash> {
        let Some(prompt) = self
            .parts
            .agents
            .get(&session.harness)?
            .prompt(session.title.as_deref())
        else {
            return Ok(None);
        };
        if message.kind != MessageKind::Text {
            return Ok(None);
        }
        let was_unread = message.reason.as_deref() == Some(UNREAD);
        let reason = match self.look(ctx, session, &prompt).await? {
            Some(Err(RuntimeError::Withheld(Withheld::NotShown))) => Some(UNREAD.to_owned()),
            Some(_) if was_unread => None,
            Some(_) => return Ok(None),
            None => return Ok(Some(Outbox::Quiet(Some(self.parts.clock.now().plus(SILENT_TRY))))),
        };
        self.bring(ctx, message, Step::StillTyped { reason })
            .await
            .map(Some)
    }

    /// Whether the screen shows that a text would be taken; `None` where there is no answer.
    async fn look(
        &self,
        ctx: &Context,
        session: &Session,
        prompt: &Prompt,
    ) -> Result<Option<Result<(), RuntimeError>>, Crash> {
        let name = at(session);
        let runtime = self.runtime(session)?;
        let takes = step!("outbox.look", ctx.within(TYPE, runtime.takes(&name, prompt)));
        Ok(match takes {
            Ok(answer @ (Ok(()) | Err(RuntimeError::Withheld(_) | RuntimeError::TooOld))) => Some(answer),
            _ => None,
        })
    }

    /// Writes that it is going to be typed, and in which words. The typing is the next round's, which finds it so.
    async fn begin(&self, ctx: &Context, session: &Session, message: &Message) -> Result<Outbox, Crash> {
        let agent = self.parts.agents.get(&session.harness)?;
        // A look without a row: a screen that takes nothing for hours costs no write but the first.
        if message.kind == MessageKind::Text
            && let Some(prompt) = agent.prompt(session.title.as_deref())
        {
            match self.look(ctx, session, &prompt).await? {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    let why = error.to_string();
                    if message.reason.as_ref() == Some(&why) {
                        return Ok(Outbox::Quiet(Some(self.parts.clock.now().plus(HELD_TRY))));
                    }
                    return self.put_off(ctx, message, why, false).await;
                }
                None => return Ok(Outbox::Quiet(Some(self.parts.clock.now().plus(SILENT_TRY)))),
            }
        }
        let file = if message.kind == MessageKind::Text && goes_by_file(message) {
            let text = labelled(message);
            let put = step!(
                "outbox.letter",
                ctx.within(WRITE, self.parts.letters.put(&session.id, message.id, &text))
            );
            match put {
                Ok(Ok(file)) => Some(file),
                Ok(Err(error)) => {
                    let why = chain(&error).to_string();
                    return self.put_off(ctx, message, why, false).await;
                }
                Err(_) => {
                    let why = "its file was not written in time".to_owned();
                    return self.put_off(ctx, message, why, false).await;
                }
            }
        } else {
            None
        };
        let typed = match message.kind {
            MessageKind::Text => {
                let takes = agent.description().takes.ok_or(SessionError::TakesNothing)?;
                typed_words(message, takes, file.as_ref().map(|file| file.as_str()))
            }
            MessageKind::Answer => message.body.clone(),
        };
        let typing = Step::Typing {
            generation: session.generation,
            typed,
            file,
        };
        self.bring(ctx, message, typing).await
    }

    async fn type_it(&self, ctx: &Context, session: &Session, message: &Message) -> Result<Outbox, Crash> {
        let (name, attempt) = (at(session), message.attempt());
        let runtime = self.runtime(session)?;
        let agent = self.parts.agents.get(&session.harness)?;
        let went = match message.kind {
            MessageKind::Text => {
                let text = message.typed.as_deref().unwrap_or_default();
                let prompt = agent.prompt(session.title.as_deref());
                let typing = Typing {
                    id: Some(&attempt),
                    text,
                    prompt: prompt.as_ref(),
                };
                step!("outbox.type", ctx.within(TYPE, runtime.type_text(&name, typing)))
            }
            MessageKind::Answer => {
                // Where the cursor of a list stands by now is what counts.
                let dialog = match (&session.dialog, &message.dialog) {
                    (Some(shown), Some(answered)) if shown.is(answered) => Some(shown),
                    (_, answered) => answered.as_ref(),
                };
                let prompt = agent.prompt(session.title.as_deref());
                let (keys, moves) = dialog
                    .and_then(|dialog| dialog.press(&message.body))
                    .unwrap_or_else(|| (message.body.clone(), None));
                let press = Press {
                    id: &attempt,
                    keys: &keys,
                    showing: dialog.map_or(&[][..], |dialog| &dialog.lines),
                    prompt: prompt.as_ref(),
                    moves,
                };
                step!("outbox.press", ctx.within(TYPE, runtime.press(&name, press)))
            }
        };
        match went {
            Ok(Ok(())) => self.bring(ctx, message, Step::Typed).await,
            Ok(Err(RuntimeError::Withheld(why))) => {
                // It stands on the terminal, where a person may send it off.
                let perhaps = matches!(why, Withheld::NotShown | Withheld::Covered);
                self.put_off(ctx, message, why.to_string(), perhaps).await
            }
            Ok(Err(error @ RuntimeError::TooOld)) => {
                self.put_off(ctx, message, error.to_string(), false).await
            }
            // Nobody knows how far it came: the name is asked for again. An agent that has ended is seen to be by a look.
            Ok(Err(error)) => {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(error, session = %self.id, message = message.id, "typing has no answer");
                Ok(Outbox::Quiet(Some(self.parts.clock.now().plus(SILENT_TRY))))
            }
            Err(_) => Ok(Outbox::Quiet(Some(self.parts.clock.now().plus(SILENT_TRY)))),
        }
    }

    /// It was not typed: it waits, and is tried again by itself.
    async fn put_off(
        &self,
        ctx: &Context,
        message: &Message,
        why: String,
        perhaps: bool,
    ) -> Result<Outbox, Crash> {
        let try_at = Some(next_try(message, self.parts.clock.now()));
        let again = Step::Queued {
            reason: why,
            try_at,
            perhaps,
        };
        self.bring(ctx, message, again).await
    }

    async fn bring(&self, ctx: &Context, message: &Message, to: Step) -> Result<Outbox, Crash> {
        let (now, seen, by) = (self.parts.clock.now(), Reached::of(message), ctx.incarnation());
        // A name of its own for each state that is entered: each is another moment to be killed at.
        let outcomes = &self.parts.outcomes;
        let moved = match to {
            Step::Typing { .. } => step!("outbox.to_typing", outcomes.deliver(by, seen, to, now)),
            Step::Queued { .. } => step!("outbox.to_queued", outcomes.deliver(by, seen, to, now)),
            Step::Typed | Step::StillTyped { .. } => {
                step!("outbox.to_typed", outcomes.deliver(by, seen, to, now))
            }
            Step::Accepted | Step::Unprovable { .. } | Step::Failed { .. } => {
                step!("outbox.to_end", outcomes.deliver(by, seen, to, now))
            }
        }?;
        if moved == Moved::Overtaken {
            tracing::debug!(session = %self.id, message = message.id, "the message went on meanwhile, reading again");
        }
        Ok(Outbox::Moved)
    }

    /// Looks at the screen of an agent for what no hook tells, and writes it down where it is news. Says whether it was, and
    /// when to look again.
    pub(crate) async fn look_at_screen(
        &self,
        ctx: &Context,
        session: &Session,
        agent: &dyn Agent,
        runtime: &dyn Runtime,
    ) -> Result<Outbox, Crash> {
        let now = self.parts.clock.now();
        let Some(pause) = ao_derive::screen_look(session, now) else {
            return Ok(Outbox::Quiet(None));
        };
        let name = at(session);
        let screen = step!("watch.screen", ctx.within(SCREEN, runtime.screen(&name)));
        let again = Outbox::Quiet(Some(self.parts.clock.now().plus(pause)));
        let Ok(Ok(screen)) = screen else {
            return Ok(again); // whether its holder is there is another look's question
        };
        let shows = agent.shows(&screen);
        let seen = ao_facts::ScreenSeen {
            dialog: shows.dialog,
            delay: shows.retry.map(|retry| retry.seen(now, session.delay.as_ref())),
        };
        if (&seen.dialog, &seen.delay) == (&session.dialog, &session.delay) {
            return Ok(again);
        }
        let written = self.parts.seen.screen(
            ctx.incarnation(),
            &session.id,
            session.generation,
            session.activity.since,
            seen,
            now,
        );
        let _ = step!("watch.shows", written)?; // overtaken by another state: read again either way
        Ok(Outbox::Moved)
    }
}
