//! What is said to agents: sent, looked at, taken back, and answers to their dialogs.

use ao_derive::{Habits, Watch, shown, why_it_waits};
use ao_domain::foreign_text::clean;
use ao_domain::{Message as Row, MessageKind, MessageState, SessionId};
use ao_facts::{Moved, NewMessage, Sent};
use ao_supervisor::step;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::sessions::{Lens, wake};
use super::spawn::idempotency_key;
use crate::Api;
use crate::door::SESSION_HEADER;
use crate::error::{ApiError, json};
use crate::extract::{JsonBody, Query, SessionPath, flag, no_session};
use crate::wire::{AnswerDialog, ErrorBody, Message, MessageAnswer, MessageList, MessageSent, SendMessage};

/// How many messages are listed where nobody says, and at most.
const LISTED: u32 = 50;
const LISTED_MOST: u32 = 500;

/// Sends a text to a session's agent.
///
/// It is written down at once and typed when its agent takes it: never into an open dialog, and never while nobody knows how the
/// agent stands. The same `Idempotency-Key` again gives the same message.
#[utoipa::path(
    post, path = "/api/v1/sessions/{sessionId}/send", operation_id = "sendSessionMessage", tag = "messages",
    params(
        ("sessionId" = String, Path, description = "The session"),
        ("Idempotency-Key" = Option<String>, Header, description = "Any text that the caller never uses for another message"),
    ),
    request_body = SendMessage,
    responses(
        (status = 200, description = "It is written down; `sent` says how it stands", body = MessageSent),
        (status = 400, description = "`INVALID_JSON`, `INVALID_IDEMPOTENCY_KEY`, `MESSAGE_REQUIRED`, `MESSAGE_TOO_LONG`", body = ErrorBody),
        (status = 404, description = "`SESSION_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`SESSION_TERMINATED`, `AGENT_TAKES_NO_MESSAGES`, `IDEMPOTENCY_KEY_TAKEN`", body = ErrorBody),
    )
)]
pub(super) async fn send(
    State(api): State<Api>,
    SessionPath(id): SessionPath,
    headers: HeaderMap,
    JsonBody(asked): JsonBody<SendMessage>,
) -> Result<Response, ApiError> {
    let key = idempotency_key(&headers)?;
    if clean(&asked.message).trim().is_empty() {
        return Err(ApiError::bad("MESSAGE_REQUIRED", "a message needs a text"));
    }
    if asked.message.len() > Row::MAX {
        let message = format!(
            "a message may have at most {} KiB, this one has {} bytes: put it into a file of the worktree and name that",
            Row::MAX / 1024,
            asked.message.len()
        );
        return Err(ApiError::bad("MESSAGE_TOO_LONG", message));
    }
    let session = api.reader.session(&id).await?.ok_or_else(|| no_session(&id))?;
    takes_messages(&api, &session)?;
    let new = NewMessage {
        key,
        session: id.clone(),
        kind: MessageKind::Text,
        sender: caller(&headers),
        body: asked.message,
        dialog: None,
        now: api.clock.now(),
    };
    let message = written(&id, step!("intent.send", api.intents.send(new))?)?;
    wake(&api, &id);
    json(StatusCode::OK, &MessageSent::of(show(&api, &message).await?))
}

/// Answers the dialog that a session's agent has open.
///
/// The key is pressed only while the screen still shows what was answered. Waits until the dialog is gone, for as long as a
/// request may take.
#[utoipa::path(
    post, path = "/api/v1/sessions/{sessionId}/answer", operation_id = "answerSessionDialog", tag = "messages",
    params(
        ("sessionId" = String, Path, description = "The session"),
        ("Idempotency-Key" = Option<String>, Header, description = "Any text that the caller never uses for another message"),
    ),
    request_body = AnswerDialog,
    responses(
        (status = 200, description = "The dialog is closed", body = MessageSent),
        (status = 202, description = "It is going to be answered; the wait was over first", body = MessageSent),
        (status = 400, description = "`INVALID_JSON`, `INVALID_IDEMPOTENCY_KEY`, `CHOICE_REQUIRED`, `UNKNOWN_CHOICE` with `choices`", body = ErrorBody),
        (status = 404, description = "`SESSION_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`NO_DIALOG`, `NEEDS_A_PERSON`, `ANSWER_NOT_TAKEN`, `SESSION_TERMINATED`, `AGENT_TAKES_NO_MESSAGES`, \
            `IDEMPOTENCY_KEY_TAKEN`", body = ErrorBody),
    )
)]
pub(super) async fn answer(
    State(api): State<Api>,
    SessionPath(id): SessionPath,
    headers: HeaderMap,
    JsonBody(asked): JsonBody<AnswerDialog>,
) -> Result<Response, ApiError> {
    let key = idempotency_key(&headers)?;
    let choice = asked.choice.trim();
    if choice.is_empty() {
        return Err(ApiError::bad("CHOICE_REQUIRED", "an answer needs a choice"));
    }
    // Asked again under its key, it is answered as it went, whatever is on the screen by now.
    if let Some(key) = &key
        && let Some(earlier) = api.reader.message_of_key(key).await?
        && earlier.session == id
        && earlier.kind == MessageKind::Answer
    {
        return answered(&api, &id, earlier.id).await;
    }
    let session = api.reader.session(&id).await?.ok_or_else(|| no_session(&id))?;
    takes_messages(&api, &session)?;
    let Some(dialog) = session.dialog.clone() else {
        let message = format!("`{id}` has no dialog open that can be answered: ao session get {id}");
        return Err(ApiError::conflict("NO_DIALOG", message));
    };
    if dialog.choices.is_empty() {
        let message = format!("one key is no answer to the dialog of `{id}`: attach to it (ao attach {id})");
        return Err(ApiError::conflict("NEEDS_A_PERSON", message));
    }
    let taken = dialog
        .choices
        .iter()
        .find(|known| known.key == choice || known.label.eq_ignore_ascii_case(choice));
    let Some(taken) = taken else {
        let choices: Vec<String> = dialog
            .choices
            .iter()
            .map(|choice| format!("{} ({})", choice.key, choice.label))
            .collect();
        let message = format!(
            "there is no choice `{choice}`: choose one of {}",
            choices.join(", ")
        );
        let keys: Vec<&str> = dialog.choices.iter().map(|choice| choice.key.as_str()).collect();
        return Err(ApiError::bad("UNKNOWN_CHOICE", message).detail("choices", keys));
    };
    let new = NewMessage {
        key,
        session: id.clone(),
        kind: MessageKind::Answer,
        sender: caller(&headers),
        body: taken.key.clone(),
        dialog: Some(dialog),
        now: api.clock.now(),
    };
    let message = written(&id, step!("intent.answer", api.intents.send(new))?)?;
    wake(&api, &id);
    answered(&api, &id, message.id).await
}

/// How an answer went, once that is known or the wait is over.
async fn answered(api: &Api, id: &SessionId, number: u64) -> Result<Response, ApiError> {
    let message = settle(api, id, number).await?;
    let status = match message.state {
        MessageState::Failed => {
            let why = message.reason.as_deref().unwrap_or("it was not taken");
            return Err(ApiError::conflict(
                "ANSWER_NOT_TAKEN",
                format!("the answer to `{id}` was not taken: {why}"),
            ));
        }
        state if state.is_final() => StatusCode::OK,
        _ => StatusCode::ACCEPTED,
    };
    json(status, &MessageSent::of(show(api, &message).await?))
}

/// Which messages to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// How many, the newest; 50 where nobody says, at most 500.
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
}

/// What was said to a session's agent, oldest first.
#[utoipa::path(
    get, path = "/api/v1/sessions/{sessionId}/messages", operation_id = "listSessionMessages", tag = "messages",
    params(("sessionId" = String, Path, description = "The session"), Which),
    responses(
        (status = 200, description = "The newest of them", body = MessageList),
        (status = 400, description = "`INVALID_QUERY`", body = ErrorBody),
        (status = 404, description = "`SESSION_NOT_FOUND`", body = ErrorBody),
    )
)]
pub(super) async fn list(
    State(api): State<Api>,
    SessionPath(id): SessionPath,
    Query(which): Query<Which>,
) -> Result<Response, ApiError> {
    let limit = match which.limit.as_deref().map(str::parse::<u32>) {
        None => LISTED,
        Some(Ok(limit)) if (1..=LISTED_MOST).contains(&limit) => limit,
        Some(_) => {
            let message = format!("`limit` is a number from 1 to {LISTED_MOST}");
            return Err(ApiError::bad("INVALID_QUERY", message));
        }
    };
    let waits = Waits::new(&api, &id).await?;
    let messages = api.reader.messages(&id, limit).await?;
    json(
        StatusCode::OK,
        &MessageList {
            session_id: id,
            messages: messages.iter().map(|message| waits.show(message)).collect(),
        },
    )
}

/// Whether to wait.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Patience {
    /// Waits until nothing more happens to it, for as long as a request may take.
    #[param(value_type = Option<bool>)]
    wait: Option<String>,
}

/// One message.
#[utoipa::path(
    get, path = "/api/v1/sessions/{sessionId}/messages/{messageId}", operation_id = "getSessionMessage", tag = "messages",
    params(
        ("sessionId" = String, Path, description = "The session"),
        ("messageId" = u64, Path, description = "The message"),
        Patience,
    ),
    responses(
        (status = 200, description = "The message as it stands", body = MessageAnswer),
        (status = 400, description = "`INVALID_QUERY`", body = ErrorBody),
        (status = 404, description = "`SESSION_NOT_FOUND`, `MESSAGE_NOT_FOUND`", body = ErrorBody),
    )
)]
pub(super) async fn get(
    State(api): State<Api>,
    Path((session, message)): Path<(String, String)>,
    Query(patience): Query<Patience>,
) -> Result<Response, ApiError> {
    let (id, number) = named(&session, &message)?;
    let message = if flag("wait", patience.wait.as_deref())?.unwrap_or(false) {
        settle(&api, &id, number).await?
    } else {
        let found = api.reader.message(&id, number).await?;
        found.ok_or_else(|| no_message(&id, &message))?
    };
    let message = show(&api, &message).await?;
    json(StatusCode::OK, &MessageAnswer { message })
}

/// Takes a message back that was not typed yet.
#[utoipa::path(
    delete, path = "/api/v1/sessions/{sessionId}/messages/{messageId}", operation_id = "withdrawSessionMessage", tag = "messages",
    params(
        ("sessionId" = String, Path, description = "The session"),
        ("messageId" = u64, Path, description = "The message"),
    ),
    responses(
        (status = 200, description = "It will not be typed", body = MessageAnswer),
        (status = 404, description = "`SESSION_NOT_FOUND`, `MESSAGE_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`MESSAGE_NOT_QUEUED`", body = ErrorBody),
    )
)]
pub(super) async fn withdraw(
    State(api): State<Api>,
    Path((session, message)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let (id, number) = named(&session, &message)?;
    let withdrawn = api.intents.withdraw(&id, number, api.clock.now());
    let withdrawn = step!("intent.withdraw", withdrawn)?;
    let found = api.reader.message(&id, number).await?;
    let found = found.ok_or_else(|| no_message(&id, &message))?;
    if withdrawn == Moved::Overtaken {
        let message = format!(
            "message {number} is {} by now: only one that is queued can be taken back",
            found.state
        );
        return Err(ApiError::conflict("MESSAGE_NOT_QUEUED", message));
    }
    let message = show(&api, &found).await?;
    json(StatusCode::OK, &MessageAnswer { message })
}

/// The session that asks, which the door has found to be one.
fn caller(headers: &HeaderMap) -> Option<SessionId> {
    headers.get(SESSION_HEADER)?.to_str().ok()?.parse().ok()
}

fn written(id: &SessionId, sent: Sent) -> Result<Row, ApiError> {
    match sent {
        Sent::Yes(message) => Ok(*message),
        Sent::NotFound => Err(no_session(id)),
        Sent::KeyTaken => Err(ApiError::conflict(
            "IDEMPOTENCY_KEY_TAKEN",
            "another message was sent with this idempotency key: each needs one of its own",
        )),
        Sent::Over => {
            let message =
                format!("the agent of `{id}` is over: bring it back first (ao session restore {id})");
            Err(ApiError::conflict("SESSION_TERMINATED", message))
        }
    }
}

fn takes_messages(api: &Api, session: &ao_domain::Session) -> Result<(), ApiError> {
    let known = api.agents.get(&session.harness);
    if known.is_ok_and(|agent| agent.description().takes.is_some()) {
        return Ok(());
    }
    let message = format!(
        "agent `{}` takes no messages: what is typed would be a command. Attach to it: ao attach {}",
        session.harness, session.id
    );
    Err(ApiError::conflict("AGENT_TAKES_NO_MESSAGES", message))
}

fn named(session: &str, message: &str) -> Result<(SessionId, u64), ApiError> {
    let id: SessionId = session.parse().map_err(|_| no_session(session))?;
    let number = message.parse().map_err(|_| no_message(&id, message))?;
    Ok((id, number))
}

fn no_message(session: &SessionId, message: &str) -> ApiError {
    let message =
        format!("there is no message {message} to `{session}`: see `ao session messages {session}`");
    ApiError::missing("MESSAGE_NOT_FOUND", message)
}

/// Waits until nothing more happens to a message, for as long as a request may take and the daemon is not stopping.
async fn settle(api: &Api, session: &SessionId, id: u64) -> Result<Row, ApiError> {
    let settled = tokio::select! {
        biased;
        () = api.stage.stopping() => api.reader.message(session, id).await?,
        settled = api.reader.settled_message(session, id, api.config.patience) => settled?,
    };
    settled.ok_or_else(|| no_message(session, &id.to_string()))
}

async fn show(api: &Api, message: &Row) -> Result<Message, ApiError> {
    Ok(Waits::new(api, &message.session).await?.show(message))
}

/// What says why messages wait.
struct Waits {
    session: ao_domain::Session,
    habits: Habits,
    shown: ao_derive::Shown,
    waiting: Vec<Row>,
    now: ao_domain::Timestamp,
}

impl Waits {
    async fn new(api: &Api, id: &SessionId) -> Result<Self, ApiError> {
        let lens = Lens::new(api).await?;
        let session = api.reader.session(id).await?.ok_or_else(|| no_session(id))?;
        let waiting = api.reader.waiting_messages(id).await?;
        let habits = lens.habits(&session);
        let watch: Watch = lens.watch;
        Ok(Self {
            shown: shown(&session, habits, watch, lens.now),
            now: lens.now,
            session,
            habits,
            waiting,
        })
    }

    fn show(&self, message: &Row) -> Message {
        let waits = why_it_waits(
            &self.session,
            self.habits,
            &self.shown,
            &self.waiting,
            message,
            self.now,
        );
        Message::new(message, waits)
    }
}
