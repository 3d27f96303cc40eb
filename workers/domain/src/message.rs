//! Messages to agents: what is asked, and how far it has come.

use std::fmt;
use std::str::FromStr;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::port::runtime::Moves;
use crate::session::words;
use crate::{EpisodeKind, SessionId, Timestamp, UnknownWord};

words! {
    /// How far a message has come.
    MessageState, "message state" {
        /// It waits for a moment at which it may be typed.
        Queued = "queued",
        /// It is being typed; nobody knows whether Enter was pressed.
        Typing = "typing",
        /// It was typed, and Enter was pressed; its agent has not said that it has it.
        Typed = "typed",
        /// Its agent has said that it has it.
        Accepted = "accepted",
        /// It was typed, and nothing will ever say whether it was taken.
        Unprovable = "unprovable",
        /// It was given up; the reason says why.
        Failed = "failed",
    }
}

impl MessageState {
    /// Whether nothing more happens to it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Accepted | Self::Unprovable | Self::Failed)
    }
}

words! {
    /// What is said.
    MessageKind, "kind of message" {
        /// A text, which its agent reads as its user's.
        Text = "text",
        /// A choice in the dialog that is open.
        Answer = "answer",
    }
}

/// One thing that is said to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number, which no other message of any session has.
    pub id: u64,
    /// To whom.
    pub session: SessionId,
    /// Text or answer.
    pub kind: MessageKind,
    /// The session it comes from; `None` for a person.
    pub sender: Option<SessionId>,
    /// What made the daemon itself say it; `None` where a person or a session did.
    pub about: Option<EpisodeKind>,
    /// What is said: the text as it was sent, or the key of the choice.
    pub body: String,
    /// The dialog that is answered, as it was seen by who answered.
    pub dialog: Option<Dialog>,
    /// How far it has come.
    pub state: MessageState,
    /// How often typing it was begun.
    pub attempts: u32,
    /// How often it was typed to the end.
    pub typings: u32,
    /// Whether it may have arrived although nothing said so: typed again, it comes with a word about that.
    pub perhaps: bool,
    /// The run of the agent it was last typed in.
    pub generation: Option<u32>,
    /// What was typed last, to the letter.
    pub typed: Option<String>,
    /// The file it lies in, where it is too long to be typed.
    pub file: Option<Utf8PathBuf>,
    /// Why it was not typed at the last try, or was given up.
    pub reason: Option<String>,
    /// When the next try is due, if not at once.
    pub try_at: Option<Timestamp>,
    /// When it was sent.
    pub queued_at: Timestamp,
    /// When it came to its state.
    pub state_at: Timestamp,
}

impl Message {
    /// Longest text that is typed, in bytes; of a longer one the place is typed. With everything that JSON adds to it, it comes
    /// back whole in the hook that says that it arrived (`HookRecord::PAYLOAD_MAX`).
    pub const TYPED_MAX: usize = 4 * 1024;

    /// Longest text that is taken, in bytes: beyond what an agent reads at once.
    pub const MAX: usize = 256 * 1024;

    /// The word about that: the first line of what is typed.
    pub const PERHAPS: &str =
        "(This may be a repetition: it was typed before, and nothing said that it arrived.)";

    /// Whether an agent that says that it was asked `prompt` was asked this message, with or without the word about repetition.
    pub fn was_asked_by(&self, prompt: &str) -> bool {
        let plain = |text: &str| text.trim_start().trim_start_matches(Self::PERHAPS).to_owned();
        self.typed
            .as_deref()
            .is_some_and(|typed| same_words(&plain(typed), &plain(prompt)))
    }

    /// What this attempt is called where it is typed: the same name is never typed twice.
    pub fn attempt(&self) -> String {
        format!("m{}.{}", self.id, self.attempts)
    }
}

/// A dialog that an agent shows: it waits for a person's choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialog {
    /// What it says, line by line.
    pub text: Vec<String>,
    /// What can be chosen, in its order; none where one key is no answer, and a person has to attach.
    pub choices: Vec<Choice>,
    /// What the screen shows of it, line by line, without the cursor: what has to be there when a key is pressed.
    pub lines: Vec<String>,
    /// How a choice is taken where its key is none that its agent knows, but a place in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub menu: Option<Menu>,
}

impl Dialog {
    /// Whether it is the same dialog, wherever the cursor of its list stands.
    pub fn is(&self, other: &Dialog) -> bool {
        let at = |dialog: &Dialog| dialog.menu.as_ref().map_or(0, |menu| menu.at);
        let mut same = other.clone();
        if let (Some(menu), true) = (&mut same.menu, at(self) != at(other)) {
            menu.at = at(self);
        }
        *self == same
    }

    /// What is pressed for the choice of this key: the keys, and the way they go where they move a cursor. `None`: there is no such
    /// choice.
    pub fn press(&self, key: &str) -> Option<(String, Option<Moves<'_>>)> {
        let to = self.choices.iter().position(|choice| choice.key == key)?;
        let Some(menu) = &self.menu else {
            return Some((key.to_owned(), None));
        };
        let from = self.choices.get(menu.at)?;
        let (way, steps) = if to < menu.at {
            (&menu.back, menu.at - to)
        } else {
            (&menu.on, to - menu.at)
        };
        let moves = Moves {
            mark: &menu.mark,
            from: &from.label,
            to: &self.choices[to].label,
        };
        Some((way.repeat(steps), Some(moves)))
    }
}

/// A list in which Enter takes what is under a cursor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Menu {
    /// What stands before the choice under the cursor; empty where that stands out by its background alone.
    pub mark: String,
    /// The choice under the cursor, from 0.
    pub at: usize,
    /// The key that moves the cursor on.
    pub on: String,
    /// The key that moves it back.
    pub back: String,
}

/// One way to answer a dialog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The key that takes it, or its number where there is a menu.
    pub key: String,
    /// What it says.
    pub label: String,
}

/// Longest prompt that a session is spawned with, in bytes: every agent we know takes that much on its command line or by a file.
pub const PROMPT_MAX: usize = 100 * 1024;

/// A prompt for an agent that can be told nothing beside it: what it is told comes first.
pub fn with_role(role: Option<&str>, prompt: &str) -> String {
    match role {
        Some(role) => format!("{role}\n\n{prompt}"),
        None => prompt.to_owned(),
    }
}

/// Whether two texts are the same but for spaces and line ends, which terminals and agents change.
pub fn same_words(one: &str, other: &str) -> bool {
    fn letters(text: &str) -> impl Iterator<Item = char> {
        text.chars().filter(|c| !c.is_whitespace())
    }
    letters(one).eq(letters(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_and_spaces_are_not() {
        assert!(same_words("one\n  two\tthree", "one two three "));
        assert!(!same_words("one two", "one two three"));
        assert!(!same_words("", "x"));
    }
}
