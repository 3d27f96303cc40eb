//! What is said to agents.

use ao_domain::{EpisodeKind, MessageKind, MessageState, SessionId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;

/// Sends a text to a session's agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SendMessage {
    /// The text; at most 256 KiB. One that is too long to be typed (4 KiB) is put into a file that its agent is told to read.
    #[serde(default)]
    #[schema(required)]
    pub message: String,
}

/// Answers the dialog that a session's agent has open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnswerDialog {
    /// The key of the choice, or what the choice says.
    #[serde(default)]
    #[schema(required)]
    pub choice: String,
}

/// Whose words a message is, or who answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A person: at the command line, or through another client.
    #[default]
    Person,
    /// The agent of a session.
    Session,
    /// The daemon by itself.
    Daemon,
}

impl By {
    fn of(sender: Option<&SessionId>, about: Option<EpisodeKind>) -> Self {
        match (sender, about) {
            (Some(_), _) => Self::Session,
            (None, Some(_)) => Self::Daemon,
            (None, None) => Self::Person,
        }
    }
}

/// One thing that was said to an agent, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Its number, which no other message of any session has.
    pub id: u64,
    /// To whom.
    #[schema(value_type = String)]
    pub session_id: SessionId,
    /// A text, or an answer to a dialog.
    #[schema(value_type = words::MessageKind)]
    pub kind: MessageKind,
    /// The session it comes from; absent for a person, and where the daemon says it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub from: Option<SessionId>,
    /// Whose words they are: a person's, at the command line or over the API, another session's, or the daemon's own.
    #[serde(default)]
    #[schema(required)]
    pub by: By,
    /// What made the daemon say it by itself; absent where a person or a session did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<words::EpisodeKind>)]
    pub about: Option<EpisodeKind>,
    /// What is said, as it may be typed: what would act on a terminal is shown as a picture of itself. Of an answer, what the choice says.
    pub message: String,
    /// How far it has come.
    #[schema(value_type = words::MessageState)]
    pub state: MessageState,
    /// Why it is where it is: why it waits, or was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often it was typed.
    pub typed: u32,
    /// The run of the agent it was typed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// The file it lies in, where it was too long to be typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// When it was sent.
    #[schema(value_type = String, format = DateTime)]
    pub queued_at: Timestamp,
    /// When it came to its state.
    #[schema(value_type = String, format = DateTime)]
    pub state_at: Timestamp,
}

impl Message {
    /// A message with `waits` for why it waits, where it does.
    pub(crate) fn new(message: &ao_domain::Message, waits: Option<String>) -> Self {
        let said = match &message.dialog {
            Some(dialog) => {
                let taken = dialog.choices.iter().find(|choice| choice.key == message.body);
                taken.map_or_else(
                    || message.body.clone(),
                    |choice| format!("{}. {}", choice.key, choice.label),
                )
            }
            None => ao_domain::foreign_text::clean(&message.body),
        };
        Self {
            id: message.id,
            session_id: message.session.clone(),
            kind: message.kind,
            from: message.sender.clone(),
            by: By::of(message.sender.as_ref(), message.about),
            about: message.about,
            message: said,
            state: message.state,
            reason: waits.or_else(|| message.reason.clone()),
            typed: message.typings,
            generation: message.generation,
            file: message.file.as_ref().map(ToString::to_string),
            queued_at: message.queued_at,
            state_at: message.state_at,
        }
    }
}

/// A message was written down, and will be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageSent {
    /// Always true.
    pub ok: bool,
    /// To whom.
    #[schema(value_type = String)]
    pub session_id: SessionId,
    /// The text, as it may be typed.
    pub message: String,
    /// How it stands.
    pub sent: Message,
}

impl MessageSent {
    /// About `sent`.
    pub fn of(sent: Message) -> Self {
        Self {
            ok: true,
            session_id: sent.session_id.clone(),
            message: sent.message.clone(),
            sent,
        }
    }
}

/// Messages to one session, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageList {
    /// To whom.
    #[schema(value_type = String)]
    pub session_id: SessionId,
    /// The newest of them.
    pub messages: Vec<Message>,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageAnswer {
    /// The message.
    pub message: Message,
}

/// A dialog that an agent has open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Dialog {
    /// What it says, line by line.
    pub text: Vec<String>,
    /// What can be chosen.
    pub choices: Vec<Choice>,
}

/// One way to answer a dialog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Choice {
    /// The key that takes it.
    pub key: String,
    /// What it says.
    pub label: String,
}

impl From<&ao_domain::Dialog> for Dialog {
    fn from(dialog: &ao_domain::Dialog) -> Self {
        let choices = dialog.choices.iter().map(|choice| Choice {
            key: choice.key.clone(),
            label: choice.label.clone(),
        });
        Self {
            text: dialog.text.clone(),
            choices: choices.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_whose_words_it_is() {
        let session: SessionId = "web-2".parse().unwrap();
        assert_eq!(By::of(None, None), By::Person);
        assert_eq!(By::of(Some(&session), None), By::Session);
        assert_eq!(By::of(None, Some(EpisodeKind::Ci)), By::Daemon);
        assert_eq!(serde_json::to_value(By::Person).unwrap(), "person");
    }
}
