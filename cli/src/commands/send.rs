//! `ao send`, `ao session messages` and `ao session answer`: what is said to agents, and whether it arrived.

use std::io::{self, IsTerminal as _, Read as _};
use std::time::Duration;

use ao_api::wire::{AnswerDialog, Message, MessageAnswer, MessageList, MessageSent, SendMessage};
use ao_domain::{MessageState, SessionId, Timestamp};
use camino::Utf8PathBuf;
use clap_complete::engine::ArgValueCompleter;
use tokio::time::Instant;

use super::completion::{any_sessions, live_sessions};
use super::session::with_nearest;
use super::spawn::{fresh_key, news_of};
use crate::client::{Ask, Daemon, encoded};
use crate::duration;
use crate::env::Env;
use crate::error::CliError;
use crate::render::{Out, Tone};

/// How soon to look again where nothing is announced.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Send a message to a session's agent
///
/// It is kept until its agent has said that it has it, and typed when the agent takes it: never into an open dialog, and never
/// beside what a person is writing. Without a text it is read from standard input.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ao send web-7 \"the tests need the network: skip them\"
  ao send web-7 --file review.md --wait
  git diff | ao send web-7
  ao send --session web-7 --message \"go on\"")]
pub(crate) struct SendArgs {
    /// The session's id
    #[arg(value_name = "SESSION", required_unless_present = "to", add = ArgValueCompleter::new(live_sessions))]
    session: Option<SessionId>,

    /// The text; left out, or `-`, it is read from standard input
    #[arg(conflicts_with_all = ["message", "file"], allow_hyphen_values = true)]
    text: Option<String>,

    /// The session's id, as an option
    #[arg(long = "session", id = "to", value_name = "SESSION", add = ArgValueCompleter::new(live_sessions))]
    to: Option<SessionId>,

    /// The text, as an option
    #[arg(
        short,
        long,
        value_name = "TEXT",
        conflicts_with = "file",
        allow_hyphen_values = true
    )]
    message: Option<String>,

    /// Send what this file holds; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<Utf8PathBuf>,

    /// Wait until its agent has it
    #[arg(short, long)]
    wait: bool,

    /// How long to wait with --wait; it is delivered all the same
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration::parse)]
    timeout: Duration,
}

/// Show what was said to a session, and how far it has come
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ao session messages web-7
  ao session messages web-7 --limit 5 --json
  ao session messages web-7 --withdraw 12      take a message back that was not typed yet")]
pub(crate) struct MessagesArgs {
    /// The session's id
    #[arg(add = ArgValueCompleter::new(any_sessions))]
    session: SessionId,

    /// How many, the newest
    #[arg(short, long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,

    /// Take this message back
    #[arg(long, value_name = "NUMBER")]
    withdraw: Option<u64>,
}

/// Answer the dialog that a session's agent has open
///
/// `ao session get` shows what it asks and what can be chosen. The key is pressed only while the screen still shows that.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ao session get web-7
  ao session answer web-7 1
  ao session answer web-7 no")]
pub(crate) struct AnswerArgs {
    /// The session's id
    #[arg(add = ArgValueCompleter::new(live_sessions))]
    session: SessionId,

    /// The choice's key, or what it says
    #[arg(allow_hyphen_values = true)]
    choice: String,
}

pub(crate) async fn send(args: SendArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    // With --session, the one word that is left is the text.
    let (session, text) = match (args.to, args.session, args.text) {
        (Some(to), None, text) => (to, text),
        (Some(to), Some(same), text) if to == same => (to, text),
        (Some(_), Some(_), _) => return Err(CliError::misuse("the session is named twice, and differently")),
        (None, Some(session), text) => (session, text),
        (None, None, _) => return Err(CliError::misuse("no session is named")),
    };
    let text = text_of(text, args.message, args.file, out)?;
    if text.trim().is_empty() {
        return Err(CliError::Misuse {
            what: "there is no text to send".to_owned(),
            instead: Some(format!(
                "give it as a word, with --file, or on standard input: ao send {session} \"fix the login test\""
            )),
        });
    }
    let daemon = super::find(env)?;
    let before = daemon.head().await.ok();
    let ask = Ask::post(format!("/api/v1/sessions/{}/send", encoded(session.as_str())))
        .json(&SendMessage { message: text })
        .header("idempotency-key", fresh_key()?);
    let sent: MessageSent = match daemon.fetch(ask).await {
        Ok(sent) => sent,
        Err(error) => return Err(with_nearest(&daemon, error, session.as_str()).await),
    };
    if !args.wait {
        if out.is_json() {
            return out.object(&sent);
        }
        return out.line(in_words(&sent.sent));
    }
    let message = follow(&daemon, sent.sent, before, args.timeout, out).await?;
    let has_arrived = matches!(message.state, MessageState::Accepted | MessageState::Unprovable);
    if !has_arrived {
        return Err(CliError::NotDelivered {
            id: message.id,
            session: message.session_id.to_string(),
            state: message.state,
            why: message.reason.unwrap_or_else(|| "the wait was over".to_owned()),
        });
    }
    if out.is_json() {
        return out.object(&MessageSent::of(message));
    }
    out.line(in_words(&message))
}

/// The text, from where it was said to be.
fn text_of(
    text: Option<String>,
    message: Option<String>,
    file: Option<Utf8PathBuf>,
    out: &mut Out,
) -> Result<String, CliError> {
    let text = message.or(text.filter(|text| text != "-"));
    if let Some(text) = text {
        return Ok(text);
    }
    let (path, read) = match file.filter(|file| file != "-") {
        Some(file) => {
            let read = std::fs::read(&file);
            (file, read)
        }
        None => {
            if io::stdin().is_terminal() {
                out.note("reading the message from this terminal: end it with Ctrl-D")?;
            }
            let mut bytes = Vec::new();
            let read = io::stdin().read_to_end(&mut bytes);
            (Utf8PathBuf::from("standard input"), read.map(|_| bytes))
        }
    };
    let bytes = read.map_err(|source| CliError::Io {
        doing: "reading the message",
        path: path.clone(),
        source,
    })?;
    String::from_utf8(bytes).map_err(|_| CliError::misuse(format!("what `{path}` holds is not UTF-8 text")))
}

/// Shows how far a message comes until nothing more happens to it, or the time is over.
async fn follow(
    daemon: &Daemon,
    mut message: Message,
    before: Option<i64>,
    limit: Duration,
    out: &mut Out,
) -> Result<Message, CliError> {
    let end = Instant::now() + limit;
    let mut events = match before {
        Some(after) => daemon.events(after).await.ok(),
        None => None,
    };
    let path = format!(
        "/api/v1/sessions/{}/messages/{}",
        encoded(message.session_id.as_str()),
        message.id
    );
    let mut said = String::new();
    loop {
        if message.state.is_final() || Instant::now() >= end {
            return Ok(message);
        }
        let now = in_words(&message);
        if now != said {
            out.note(&now)?;
            said = now;
        }
        let pause = (Instant::now() + LOOK_AGAIN).min(end);
        let _ = tokio::time::timeout_at(pause, news_of(&message.session_id, &mut events)).await;
        let answer: MessageAnswer = daemon.fetch(Ask::get(&path)).await?;
        message = answer.message;
    }
}

pub(crate) async fn messages(args: &MessagesArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let daemon = super::find(env)?;
    let path = format!("/api/v1/sessions/{}/messages", encoded(args.session.as_str()));
    if let Some(number) = args.withdraw {
        let answer: MessageAnswer = match daemon.fetch(Ask::delete(format!("{path}/{number}"))).await {
            Ok(answer) => answer,
            Err(error) => return Err(with_nearest(&daemon, error, args.session.as_str()).await),
        };
        if out.is_json() {
            return out.object(&answer);
        }
        return out.line(format!("message {number} to {} is taken back", args.session));
    }
    let list: MessageList = match daemon
        .fetch(Ask::get(format!("{path}?limit={}", args.limit)))
        .await
    {
        Ok(list) => list,
        Err(error) => return Err(with_nearest(&daemon, error, args.session.as_str()).await),
    };
    print_messages(&list, ao_local::clock::now(), out)
}

fn print_messages(list: &MessageList, now: Timestamp, out: &mut Out) -> Result<(), CliError> {
    if out.is_json() {
        return out.object(list);
    }
    if list.messages.is_empty() {
        return out.line(format!("(nothing was said to {})", list.session_id));
    }
    let rows = list.messages.iter().map(|message| {
        let first = message
            .message
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or_default();
        let said = if message.message.lines().count() > 1 {
            format!("{first} …")
        } else {
            first.to_owned()
        };
        vec![
            message.id.to_string(),
            format!("({})", duration::age(now.since(message.queued_at))),
            out.paint(tone(message.state), format!("[{}]", message.state)),
            sender(message),
            said,
            message.reason.clone().unwrap_or_default(),
        ]
    });
    let rows = rows.collect();
    out.rows(rows)
}

/// Who says it: a session, a person, or the daemon by itself and about what.
fn sender(message: &Message) -> String {
    match (&message.from, message.about) {
        (Some(session), _) => session.to_string(),
        (None, Some(about)) => format!("ao ({about})"),
        (None, None) => "a person".to_owned(),
    }
}

fn tone(state: MessageState) -> Tone {
    match state {
        MessageState::Accepted => Tone::Good,
        MessageState::Failed => Tone::Bad,
        MessageState::Unprovable => Tone::Warn,
        MessageState::Queued | MessageState::Typing | MessageState::Typed => Tone::Dim,
    }
}

fn in_words(message: &Message) -> String {
    let reason = match &message.reason {
        Some(reason) => format!(" ({reason})"),
        None => String::new(),
    };
    format!(
        "message {} to {}: {}{reason}",
        message.id, message.session_id, message.state
    )
}

pub(crate) async fn answer(args: &AnswerArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let daemon = super::find(env)?;
    let ask = Ask::post(format!(
        "/api/v1/sessions/{}/answer",
        encoded(args.session.as_str())
    ))
    .json(&AnswerDialog {
        choice: args.choice.clone(),
    })
    .header("idempotency-key", fresh_key()?);
    let sent: MessageSent = match daemon.fetch(ask).await {
        Ok(sent) => sent,
        Err(error) => return Err(with_nearest(&daemon, error, args.session.as_str()).await),
    };
    if out.is_json() {
        return out.object(&sent);
    }
    match sent.sent.state {
        MessageState::Accepted => out.line(format!("answered {}: {}", args.session, sent.message)),
        _ => out.line(format!(
            "{} is going to be answered: {} ({})",
            args.session,
            sent.message,
            sent.sent.reason.as_deref().unwrap_or("not yet")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::kept;

    #[test]
    fn messages_stand_in_lines_with_what_became_of_them() {
        let at = |second: u32| format!("2026-06-24T12:00:{second:02}.000Z");
        let message = |id: u64, state: &str, more: serde_json::Value| {
            let mut message = serde_json::json!({
                "id": id, "sessionId": "web-1", "kind": "text", "message": "go on", "state": state, "typed": 1,
                "queuedAt": at(0), "stateAt": at(1),
            });
            for (key, value) in more.as_object().unwrap() {
                message[key] = value.clone();
            }
            message
        };
        let list = serde_json::json!({"sessionId": "web-1", "messages": [
            message(1, "accepted", serde_json::json!({"message": "look at\nthe log"})),
            message(3, "failed", serde_json::json!({"from": "web-2", "reason": "its agent has ended"})),
            message(12, "queued", serde_json::json!({"reason": "a dialog is open"})),
            message(13, "typed", serde_json::json!({"message": "Checks failed", "about": "ci"})),
        ]});
        let list: MessageList = serde_json::from_value(list).unwrap();
        let (mut out, results, _) = kept(false, false, None);
        print_messages(&list, "2026-06-24T12:03:00.000Z".parse().unwrap(), &mut out).unwrap();
        expect_test::expect![[r#"
            1   (3m)  [accepted]  a person  look at …
            3   (3m)  [failed]    web-2     go on          its agent has ended
            12  (3m)  [queued]    a person  go on          a dialog is open
            13  (3m)  [typed]     ao (ci)   Checks failed
        "#]]
        .assert_eq(&results.text());
    }
}
