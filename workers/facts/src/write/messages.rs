//! Messages to agents: sent, brought on, and proved to have arrived.

use ao_domain::{
    ActivityState, Delay, Dialog, Message, MessageKind, MessageState, Phase, SessionId, Timestamp,
};
use ao_supervisor::Incarnation;
use camino::Utf8PathBuf;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder};

use super::intents::IntentWriter;
use super::observations::ObservationWriter;
use super::outcomes::{Moved, OutcomeWriter};
use super::pulls::take_back_nudges;
use super::{WriteTx, get};
use crate::FactsError;
use crate::entity::{messages, parse, sessions, text_of};
use crate::error::{read, write};

/// Something to be said to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// The client's idempotency key: sent again with it, the first message is the answer.
    pub key: Option<String>,
    /// To whom.
    pub session: SessionId,
    /// Text or answer.
    pub kind: MessageKind,
    /// The session it comes from; `None` for a person.
    pub sender: Option<SessionId>,
    /// What is said.
    pub body: String,
    /// The dialog that is answered.
    pub dialog: Option<Dialog>,
    /// Now.
    pub now: Timestamp,
}

/// What became of a message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is written down, and will be typed when its time comes. Sent before with the same key, it is that one as it stands.
    Yes(Box<Message>),
    /// There is no such session; nothing was written.
    NotFound,
    /// The session's agent is over; nothing was written.
    Over,
    /// Another message was sent with that key; nothing was written.
    KeyTaken,
}

/// How far a message was when the caller read it: the condition of its write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Which.
    pub id: u64,
    /// Its state.
    pub state: MessageState,
    /// How often typing it had been begun.
    pub attempts: u32,
}

impl Reached {
    /// Where `message` stands.
    pub fn of(message: &Message) -> Self {
        Self {
            id: message.id,
            state: message.state,
            attempts: message.attempts,
        }
    }
}

/// What a message comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is going to be typed, for one more time, in this run of the agent, to this letter.
    Typing {
        /// The run.
        generation: u32,
        /// What is typed.
        typed: String,
        /// The file it lies in.
        file: Option<Utf8PathBuf>,
    },
    /// It was not typed, or nobody knows: it waits again.
    Queued {
        /// Why.
        reason: String,
        /// When to try again, if not at once.
        try_at: Option<Timestamp>,
        /// Whether it may have arrived all the same, or may yet; that stays so.
        perhaps: bool,
    },
    /// It was typed, and Enter was pressed.
    Typed,
    /// It was typed, and the time in which that is proved begins anew.
    StillTyped {
        /// Why nothing proves it yet, if that is known.
        reason: Option<String>,
    },
    /// It was taken.
    Accepted,
    /// It was typed, and nothing more can be known.
    Unprovable {
        /// Why.
        reason: String,
    },
    /// It is given up.
    Failed {
        /// Why.
        reason: String,
    },
}

impl Step {
    fn state(&self) -> MessageState {
        match self {
            Self::Typing { .. } => MessageState::Typing,
            Self::Queued { .. } => MessageState::Queued,
            Self::Typed | Self::StillTyped { .. } => MessageState::Typed,
            Self::Accepted => MessageState::Accepted,
            Self::Unprovable { .. } => MessageState::Unprovable,
            Self::Failed { .. } => MessageState::Failed,
        }
    }
}

impl IntentWriter {
    /// Writes a message down for a session whose agent is not over. From then on it is delivered, or shown as given up.
    pub async fn send(&self, new: NewMessage) -> Result<Sent, FactsError> {
        let tx = self.store.begin(None).await?;
        if let Some(key) = &new.key {
            let earlier = messages::Entity::find()
                .filter(messages::Column::Key.eq(key))
                .one(tx.connection())
                .await;
            if let Some(earlier) = earlier.map_err(read("messages"))? {
                let is_same = earlier.session_id == new.session.as_str()
                    && earlier.kind == new.kind.as_str()
                    && earlier.body == new.body;
                return Ok(if is_same {
                    Sent::Yes(Box::new(earlier.try_into()?))
                } else {
                    Sent::KeyTaken
                });
            }
        }
        let Some(session) = tx.session(&new.session).await? else {
            return Ok(Sent::NotFound);
        };
        let phase: Phase = parse("sessions", &session.id, "phase", &session.phase)?;
        if crate::read::TERMINATED.contains(&phase) {
            return Ok(Sent::Over);
        }
        let now = new.now.to_string();
        let row = messages::ActiveModel {
            key: Set(new.key),
            sender: Set(new.sender.map(|sender| sender.to_string())),
            dialog: Set(new.dialog.as_ref().map(text_of)),
            ..queued(&new.session, new.kind, new.body, &now)
        };
        let row = row.insert(tx.connection()).await.map_err(write("messages"))?;
        let message = row.try_into()?;
        tx.commit().await?;
        Ok(Sent::Yes(Box::new(message)))
    }

    /// Takes a message back that was not typed yet, or whose agent is over. `Overtaken`: it was, or it is not there; nothing was written.
    pub async fn withdraw(&self, session: &SessionId, id: u64, now: Timestamp) -> Result<Moved, FactsError> {
        use messages::Column;
        let tx = self.store.begin(None).await?;
        let over = match tx.session(session).await? {
            Some(row) => crate::read::TERMINATED
                .iter()
                .any(|phase| row.phase == phase.as_str()),
            None => return Ok(Moved::Overtaken),
        };
        let withdrawn: &[MessageState] = if over {
            &[MessageState::Queued, MessageState::Typing, MessageState::Typed]
        } else {
            &[MessageState::Queued]
        };
        let done = messages::Entity::update_many()
            .col_expr(Column::State, Expr::value(MessageState::Failed.as_str()))
            .col_expr(Column::Reason, Expr::value("taken back by who sent it"))
            .col_expr(Column::StateAt, Expr::value(now.to_string()))
            .filter(Column::Id.eq(i64::try_from(id).unwrap_or(i64::MAX)))
            .filter(Column::SessionId.eq(session.as_str()))
            .filter(Column::State.is_in(withdrawn.iter().map(|state| state.as_str())))
            .exec(tx.connection())
            .await
            .map_err(write("messages"))?;
        if done.rows_affected == 0 {
            return Ok(Moved::Overtaken);
        }
        tx.commit().await?;
        Ok(Moved::Yes)
    }
}

impl OutcomeWriter {
    /// Brings a message on, if it still stands where the caller saw it.
    pub async fn deliver(
        &self,
        by: &Incarnation,
        seen: Reached,
        step: Step,
        now: Timestamp,
    ) -> Result<Moved, FactsError> {
        use messages::Column;
        let tx = self.store.begin(Some(by)).await?;
        let mut update = messages::Entity::update_many()
            .col_expr(Column::State, Expr::value(step.state().as_str()))
            .col_expr(Column::StateAt, Expr::value(now.to_string()))
            .filter(Column::Id.eq(i64::try_from(seen.id).unwrap_or(i64::MAX)))
            .filter(Column::State.eq(seen.state.as_str()))
            .filter(Column::Attempts.eq(seen.attempts));
        let queues = matches!(step, Step::Queued { .. });
        let (reason, try_at) = match step {
            Step::Typing {
                generation,
                typed,
                file,
            } => {
                update = update
                    .col_expr(Column::Attempts, Expr::value(seen.attempts + 1))
                    .col_expr(Column::Generation, Expr::value(generation))
                    .col_expr(Column::Typed, Expr::value(typed))
                    .col_expr(Column::File, Expr::value(file.map(Utf8PathBuf::into_string)));
                (None, None)
            }
            Step::Queued {
                reason,
                try_at,
                perhaps,
            } => {
                if perhaps {
                    update = update.col_expr(Column::Perhaps, Expr::value(true));
                }
                (Some(reason), try_at)
            }
            Step::Typed => {
                update = update.col_expr(Column::Typings, Expr::col(Column::Typings).add(1));
                (None, None)
            }
            Step::StillTyped { reason } => (reason, None),
            Step::Accepted => (None, None),
            Step::Unprovable { reason } | Step::Failed { reason } => (Some(reason), None),
        };
        let done = update
            .col_expr(Column::Reason, Expr::value(reason))
            .col_expr(Column::TryAt, Expr::value(try_at.map(|at| at.to_string())))
            .exec(tx.connection())
            .await
            .map_err(write("messages"))?;
        if done.rows_affected == 0 {
            return Ok(Moved::Overtaken);
        }
        if queues {
            let of = "SELECT session_id FROM messages WHERE id = ?";
            let id = i64::try_from(seen.id).unwrap_or(i64::MAX);
            if let Some(row) = tx.row("messages", of, [id.into()]).await? {
                let session: String = get(&row, "session_id")?;
                take_back_nudges(&tx, &session, &now.to_string()).await?;
            }
        }
        tx.commit().await?;
        Ok(Moved::Yes)
    }
}

/// What was read off a session's screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScreenSeen {
    /// The dialog that is open.
    pub dialog: Option<Dialog>,
    /// What it waits for in the middle of its work.
    pub delay: Option<Delay>,
}

/// When it tries again, as a column has it.
pub(super) fn until(delay: Option<&Delay>) -> Option<String> {
    Some(delay?.until?.to_string())
}

impl ObservationWriter {
    /// Writes down what a session's screen shows, if its agent's state has been the same `since` the caller read it: what
    /// was on the screen then says nothing about another state.
    pub async fn screen(
        &self,
        by: &Incarnation,
        session: &SessionId,
        generation: u32,
        since: Timestamp,
        seen: ScreenSeen,
        now: Timestamp,
    ) -> Result<Moved, FactsError> {
        use sessions::Column;
        let tx = self.store.begin(Some(by)).await?;
        let was_open = tx.session(session).await?.is_some_and(|row| {
            row.dialog.is_some() && row.activity_state == ActivityState::WaitingInput.as_str()
        });
        let mut update = sessions::Entity::update_many();
        if was_open && seen.dialog.is_none() {
            // It was answered, and no hook tells of that before what it was about is done.
            update = update
                .col_expr(Column::ActivityState, Expr::value(ActivityState::Active.as_str()))
                .col_expr(Column::ActivitySince, Expr::value(now.to_string()));
        }
        let done = update
            .col_expr(Column::Dialog, Expr::value(seen.dialog.as_ref().map(text_of)))
            .col_expr(Column::DelayUntil, Expr::value(until(seen.delay.as_ref())))
            .col_expr(Column::Delay, Expr::value(seen.delay.map(|delay| delay.said)))
            .col_expr(Column::UpdatedAt, Expr::value(now.to_string()))
            .filter(Column::Id.eq(session.as_str()))
            .filter(Column::Generation.eq(generation))
            .filter(Column::ActivitySince.eq(since.to_string()))
            .exec(tx.connection())
            .await
            .map_err(write("sessions"))?;
        if done.rows_affected == 0 {
            return Ok(Moved::Overtaken);
        }
        tx.commit().await?;
        Ok(Moved::Yes)
    }
}

/// What an agent says that it was asked.
pub(super) struct Asked<'a> {
    pub(super) session: &'a SessionId,
    /// The run of the agent.
    pub(super) generation: u32,
    pub(super) prompt: &'a str,
    /// Whether its turn begins now; else it waits inside the agent.
    pub(super) begins: bool,
    pub(super) at: Timestamp,
}

/// An agent says that it was asked something: the message that is that has arrived, and has begun or waits inside it. One that is
/// queued again because nothing said so is proved by it, too.
pub(super) async fn prove(tx: &WriteTx, asked: Asked<'_>) -> Result<(), FactsError> {
    use messages::Column;
    let of_run = messages::Entity::find()
        .filter(Column::SessionId.eq(asked.session.as_str()))
        .filter(Column::Kind.eq(MessageKind::Text.as_str()))
        .filter(Column::Generation.eq(asked.generation))
        .filter(Column::Begun.eq(false))
        .filter(Column::State.ne(MessageState::Failed.as_str()))
        .order_by_asc(Column::Id)
        .all(tx.connection())
        .await
        .map_err(read("messages"))?;
    for row in of_run {
        let id = row.id;
        let message: Message = row.try_into()?;
        let is_under_way = match message.state {
            MessageState::Typing | MessageState::Typed => true,
            MessageState::Queued => message.perhaps,
            // Only the beginning of its turn is news of one that has arrived.
            MessageState::Accepted | MessageState::Unprovable => asked.begins,
            MessageState::Failed => false,
        };
        if !is_under_way || !message.was_asked_by(asked.prompt) {
            continue;
        }
        let mut update = messages::Entity::update_many()
            .col_expr(Column::State, Expr::value(MessageState::Accepted.as_str()))
            .col_expr(Column::Begun, Expr::value(asked.begins))
            .col_expr(Column::Reason, Expr::value(Option::<String>::None))
            .filter(Column::Id.eq(id));
        if message.state != MessageState::Accepted {
            update = update.col_expr(Column::StateAt, Expr::value(asked.at.to_string()));
        }
        if message.state == MessageState::Typing {
            update = update.col_expr(Column::Typings, Expr::col(Column::Typings).add(1));
        }
        update.exec(tx.connection()).await.map_err(write("messages"))?;
        return Ok(());
    }
    Ok(())
}

/// The run of an agent is over: what waited inside it was never done. It is queued again for the next one.
pub(super) async fn requeue_unbegun(
    tx: &WriteTx,
    session: &SessionId,
    generation: i64,
    now: &str,
) -> Result<(), FactsError> {
    use messages::Column;
    messages::Entity::update_many()
        .col_expr(Column::State, Expr::value(MessageState::Queued.as_str()))
        .col_expr(Column::Perhaps, Expr::value(true))
        .col_expr(
            Column::Reason,
            Expr::value("its agent had taken it, and ended before it began with it"),
        )
        .col_expr(Column::StateAt, Expr::value(now))
        .filter(Column::SessionId.eq(session.as_str()))
        .filter(Column::Kind.eq(MessageKind::Text.as_str()))
        .filter(Column::Generation.eq(generation))
        .filter(Column::State.eq(MessageState::Accepted.as_str()))
        .filter(Column::Begun.eq(false))
        .exec(tx.connection())
        .await
        .map_err(write("messages"))?;
    take_back_nudges(tx, session.as_str(), now).await
}

/// The row of a message that nobody has begun to type; of a person, where nothing else is said.
pub(super) fn queued(
    session: &SessionId,
    kind: MessageKind,
    body: String,
    now: &str,
) -> messages::ActiveModel {
    messages::ActiveModel {
        session_id: Set(session.to_string()),
        kind: Set(kind.to_string()),
        body: Set(body),
        state: Set(MessageState::Queued.to_string()),
        attempts: Set(0),
        typings: Set(0),
        perhaps: Set(false),
        begun: Set(false),
        queued_at: Set(now.to_owned()),
        state_at: Set(now.to_owned()),
        ..Default::default()
    }
}
