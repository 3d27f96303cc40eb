//! When a message may be typed, in which words, and what becomes of one that was.

use std::time::Duration;

use ao_domain::foreign_text::clean;
use ao_domain::port::agent::Takes;
use ao_domain::{Message, MessageKind, MessageState, Phase, Session, Timestamp};

use crate::status::{Habits, Shown, Status, at_the_wall};

/// Within what an agent says that a message has arrived, once it has read it. It takes half a second; seconds on a machine that swaps.
pub const PROVED_WITHIN: Duration = Duration::from_secs(15);

/// How often a text is typed whose arrival nothing proves, before it is given up.
pub const TYPED_AT_MOST: u32 = 3;

/// The longest pause between two tries on a screen that was not as it has to be.
const SLOWEST_TRY: Duration = Duration::from_secs(5);

/// What is next for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Nothing, until then or until the facts change.
    Hold {
        /// Why, for a person.
        why: String,
        /// When to look at it again.
        until: Option<Timestamp>,
    },
    /// It is typed.
    Type,
    /// It was being typed when somebody was cut off: the runtime is asked how that went.
    Resume,
    /// It waits again, although it may have arrived.
    Requeue {
        /// Why.
        why: String,
    },
    /// It has arrived.
    Accept,
    /// It was typed, and nothing will say more.
    Unprovable {
        /// Why.
        why: String,
    },
    /// It is given up.
    GiveUp {
        /// Why.
        why: String,
    },
}

/// The message that is next of those that wait for a session (in the order they were sent), and what is next for it. One
/// after the other; only an answer does not wait for the texts before it.
pub fn next_delivery<'a>(
    session: &Session,
    habits: Habits,
    shown: &Shown,
    waiting: &'a [Message],
    now: Timestamp,
) -> Option<(&'a Message, Delivery)> {
    let is_answer = |message: &&Message| message.kind == MessageKind::Answer;
    let message = waiting.iter().find(is_answer).or(waiting.first())?;
    Some((message, delivery(session, habits, shown, message, now)))
}

/// Why `message` is not delivered yet, for a person; `None` of one to which nothing more happens.
pub fn why_it_waits(
    session: &Session,
    habits: Habits,
    shown: &Shown,
    waiting: &[Message],
    message: &Message,
    now: Timestamp,
) -> Option<String> {
    if message.state.is_final() {
        return None;
    }
    let (next, delivery) = next_delivery(session, habits, shown, waiting, now)?;
    if next.id != message.id {
        return Some(format!("it waits for message {}, which was sent before", next.id));
    }
    match delivery {
        Delivery::Hold { why, .. } if !why.is_empty() => Some(why),
        _ => message.reason.clone(),
    }
}

/// What is next for `message`, in the order of the rules of `docs/delivery.md`.
pub fn delivery(
    session: &Session,
    habits: Habits,
    shown: &Shown,
    message: &Message,
    now: Timestamp,
) -> Delivery {
    let hold = |why: &str| Delivery::Hold {
        why: why.to_owned(),
        until: None,
    };
    if session.is_terminated() || shown.agent == Status::Terminated {
        return match message.kind {
            MessageKind::Answer => give_up("its agent has ended"),
            MessageKind::Text => hold("its agent has ended: it is delivered when the session is restored"),
        };
    }
    if session.phase != Phase::Live {
        return hold("its agent is on its way up");
    }
    let Some(takes) = habits.takes else {
        return give_up("its agent takes no messages");
    };
    if message.kind == MessageKind::Answer {
        return answer(session, shown, message, now);
    }
    let other_run = message.generation.filter(|run| *run != session.generation);
    match message.state {
        MessageState::Queued => {}
        MessageState::Typing | MessageState::Typed if other_run.is_some() => {
            return Delivery::Requeue {
                why: "the run of the agent that it was typed in ended before it said that it had it"
                    .to_owned(),
            };
        }
        MessageState::Typing => return held_back(session, shown, now).unwrap_or(Delivery::Resume),
        MessageState::Typed => {
            let is_command = message
                .typed
                .as_deref()
                .is_some_and(|typed| typed.trim_start().starts_with(takes.commands));
            let until = message.state_at.plus(PROVED_WITHIN);
            return if now < until {
                let why = message.reason.as_deref();
                Delivery::Hold {
                    why: why
                        .unwrap_or("it was typed: its agent has not said yet that it has it")
                        .to_owned(),
                    until: Some(until),
                }
            } else if is_command {
                Delivery::Unprovable {
                    why: "its agent does not say that it took a command of its own".to_owned(),
                }
            } else if shown.agent != Status::Idle {
                hold("it was typed: its agent has not said that it has it, and is not waiting for work")
            } else if message.typings < TYPED_AT_MOST {
                Delivery::Requeue {
                    why: format!(
                        "it was typed, and its agent did not say within {} s that it had it",
                        PROVED_WITHIN.as_secs()
                    ),
                }
            } else {
                give_up(&format!(
                    "it was typed {} times, and its agent never said that it had it",
                    message.typings
                ))
            };
        }
        MessageState::Accepted | MessageState::Unprovable | MessageState::Failed => {
            return hold("it is over");
        }
    }
    if let Some(hold) = held_back(session, shown, now) {
        return hold;
    }
    let why = match shown.agent {
        Status::NeedsInput => "a dialog is open: answer it first (ao session answer)",
        Status::Working if !takes.queues => "its agent works, and takes nothing meanwhile",
        Status::Idle if habits.speaks_first(session) && session.first_signal_at.is_none() => {
            "its agent has not said yet that it is there"
        }
        Status::Idle | Status::Working => {
            // What came since the last try is a reason to try at once.
            // (One that lies ahead was before the clock was set back.)
            let since = session.activity.since;
            let is_same = since <= message.state_at || since > now;
            return match message.try_at.filter(|at| is_same && is_ahead(*at, now)) {
                Some(at) => Delivery::Hold {
                    why: message.reason.clone().unwrap_or_default(),
                    until: Some(at),
                },
                None => Delivery::Type,
            };
        }
        _ => shown.reason.as_str(),
    };
    hold(why)
}

/// Why an agent that would take a text gets none: whoever gives it its answers refuses them.
fn held_back(session: &Session, shown: &Shown, now: Timestamp) -> Option<Delivery> {
    match (shown.agent, session.wall_at(now), &session.delay) {
        (Status::Idle, Some(wall), _) => Some(Delivery::Hold {
            why: at_the_wall(wall),
            until: Some(wall.until),
        }),
        // Until its screen shows it no more.
        (Status::Working, _, Some(delay)) => Some(Delivery::Hold {
            why: format!("its agent {} after an error: {}", delay.waits(), delay.said),
            until: None,
        }),
        _ => None,
    }
}

fn answer(session: &Session, shown: &Shown, message: &Message, now: Timestamp) -> Delivery {
    if message.generation.is_some_and(|run| run != session.generation) {
        return give_up("the run of the agent that it was for has ended");
    }
    if shown.agent == Status::Unknown {
        return Delivery::Hold {
            why: shown.reason.clone(),
            until: None,
        };
    }
    let is_same = match (&session.dialog, &message.dialog) {
        (None, _) => true,
        (Some(shown), Some(answered)) => shown.is(answered),
        (Some(_), None) => false,
    };
    let is_open = shown.agent == Status::NeedsInput && is_same;
    match message.state {
        MessageState::Typing => Delivery::Resume,
        MessageState::Typed if !is_open => Delivery::Accept,
        MessageState::Typed => {
            let until = message.state_at.plus(PROVED_WITHIN);
            if now < until {
                Delivery::Hold {
                    why: "its key was pressed: the dialog is still open".to_owned(),
                    until: Some(until),
                }
            } else {
                give_up("its key was pressed, and the dialog stayed open")
            }
        }
        _ if !is_open => give_up("the dialog that it was for is not open any more"),
        _ => match message.try_at.filter(|at| is_ahead(*at, now)) {
            Some(at) => Delivery::Hold {
                why: message.reason.clone().unwrap_or_default(),
                until: Some(at),
            },
            None => Delivery::Type,
        },
    }
}

fn give_up(why: &str) -> Delivery {
    Delivery::GiveUp { why: why.to_owned() }
}

/// Whether the next try is still ahead. One farther off than any can be was worked out before the clock was set back.
fn is_ahead(at: Timestamp, now: Timestamp) -> bool {
    now < at && at <= now.plus(SLOWEST_TRY)
}

/// When to try again after a screen that was not as it has to be.
pub fn next_try(message: &Message, now: Timestamp) -> Timestamp {
    let pause = Duration::from_secs(u64::from(message.attempts.max(1)));
    now.plus(pause.min(SLOWEST_TRY))
}

/// Whether a text is too long to be typed, and goes by a file.
pub fn goes_by_file(message: &Message) -> bool {
    labelled(message).len() > Message::TYPED_MAX
}

/// The text, clean, each line with the session it comes from: no line can pretend to be another's.
pub fn labelled(message: &Message) -> String {
    let body = clean(&message.body);
    match &message.sender {
        None => body,
        Some(sender) => {
            let lines = body.lines().map(|line| format!("[from {sender}] {line}"));
            lines.collect::<Vec<_>>().join("\n")
        }
    }
}

/// The letters that are typed for a text: clean and labelled, with a word where it may be a repetition; of one that lies in `file`,
/// where that is. What would make it something else than a message is kept from that.
pub fn typed_words(message: &Message, takes: Takes, file: Option<&str>) -> String {
    /// As much of the first line as one sees at a glance.
    const GLANCE: usize = 200;
    let text = labelled(message);
    let mut words = String::new();
    if message.perhaps {
        words.push_str(Message::PERHAPS);
        words.push('\n');
    }
    match file {
        None => words.push_str(&text),
        Some(file) => {
            let first = text
                .lines()
                .find(|line| !line.trim().is_empty())
                .unwrap_or_default();
            let begin = &first[..first.floor_char_boundary(GLANCE)];
            let from = match &message.sender {
                Some(sender) => format!("[from {sender}] "),
                None => String::new(),
            };
            words.push_str(&format!(
                "{from}A message of {} bytes, too long to be typed, is in this file:\n{file}\nRead the whole of it. It begins:\n> {begin}",
                text.len()
            ));
        }
    }
    if words.starts_with(takes.shields) {
        words.insert(0, ' ');
    }
    // A backslash before Enter would make it the end of a line.
    if words.ends_with('\\') {
        words.push(' ');
    }
    words
}

#[cfg(test)]
mod tests;
