//! What an agent says about itself through its hooks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ActivityState, SessionId, Timestamp};

/// One callback of an agent's hook as it lies in its session's spool. Version 1; fields are only added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRecord {
    /// Version of this form: 1.
    pub v: u32,
    /// Unique per callback: 32 hex digits.
    pub id: String,
    /// The session it is about.
    pub session: SessionId,
    /// The run of the agent that sent it; a signal about an older run changes nothing.
    pub generation: u32,
    /// The launch's secret number as 32 hex digits; a record with another one changes nothing.
    pub secret: String,
    /// Which agent's vocabulary `event` is in.
    pub agent: String,
    /// The agent's own name for what happened.
    pub event: String,
    /// Boot of the machine at that time.
    pub boot: String,
    /// Milliseconds since that boot, suspended time included: orders records when the wall clock was set back.
    pub boot_ms: u64,
    /// Wall clock, for people.
    pub at: Timestamp,
    /// What the agent wrote on standard input, cut to [`HookRecord::PAYLOAD_MAX`] bytes.
    pub payload: String,
    /// Whether the payload was longer than that.
    #[serde(default)]
    pub truncated: bool,
}

impl HookRecord {
    /// Longest payload kept, in bytes: one record stays one write, and no agent fills the disk with one event.
    pub const PAYLOAD_MAX: usize = 16 * 1024;
}

/// What a hook record means for its session, by the agent's description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signal {
    /// The state it moves the session to; `None` for a mere sign of life.
    pub state: Option<ActivityState>,
    /// The agent's own session id, where the payload names it.
    pub native_id: Option<String>,
    /// What it works on, in one line, where the payload has it.
    pub title: Option<String>,
    /// What it said at the end of a turn, where the payload has it.
    pub last_message: Option<String>,
    /// What it was asked, whole, where the payload has it: the proof that a message arrived.
    pub prompt: Option<String>,
    /// Whether it begins a turn now, with that prompt. One that is asked while it works begins later.
    pub begins: bool,
    /// The tool that it begins or ends to use, where the payload names it.
    pub tool: Option<ToolUse>,
    /// Why it is in that state, in its own words, where the payload has some.
    pub why: Option<String>,
    /// What it calls the conversation by itself, in one line, where it does.
    pub summary: Option<String>,
    /// What ended its turn, where that was an error.
    pub trouble: Option<String>,
    /// The quota that was used up, where that error was it. With no state beside it, it is said of a turn that may be known to have
    /// ended already: only the time counts.
    pub wall: Option<Wall>,
}

/// What a hook says of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolUse {
    /// It is used from now on, or is to be used once a person has decided.
    Begins(String),
    /// It was used, or is not going to be. `None`: the hook does not say which.
    Ends(Option<String>),
}

impl ToolUse {
    /// The tool that is used from now on, if one is.
    pub fn begun(&self) -> Option<&str> {
        match self {
            Self::Begins(tool) => Some(tool),
            Self::Ends(_) => None,
        }
    }

    /// The tool in use once this was said, where `used` was before. Of several at once the one that began last is told of; that another
    /// has ended says nothing of it.
    #[must_use]
    pub fn after(&self, used: Option<String>) -> Option<String> {
        match self {
            Self::Begins(tool) => Some(tool.clone()),
            Self::Ends(ended) => used.filter(|used| ended.as_ref().is_some_and(|ended| ended != used)),
        }
    }
}

/// A wait in the middle of an agent's work: it tries again after an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// After what, in its screen's words, and which try it is.
    pub said: String,
    /// No sooner than then it tries again; `None` where it does not say.
    pub until: Option<Timestamp>,
}

impl Delay {
    /// That it waits, and until when, for whoever has it say who and why.
    pub fn waits(&self) -> String {
        match self.until {
            Some(until) => format!("waits until {until} to try again"),
            None => "waits to try again".to_owned(),
        }
    }
}

/// A quota that is used up, and with it all that an agent can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wall {
    /// When the agent was refused.
    pub at: Timestamp,
    /// Nothing is asked of it before then.
    pub until: Timestamp,
    /// Whether the agent said until when. `until` is ours where it did not.
    pub is_told: bool,
}

/// How far a refusal may lie ahead before the clock was set back since: a clock that is kept right is moved by less.
const SET_BACK: Duration = Duration::from_secs(60);

/// Most agents say the minute, some also say the second.
const MINUTE: Duration = Duration::from_secs(60);

impl Wall {
    /// An agent was refused at `at`, and says until when; one that does not is to be asked again by whoever knows how long to wait.
    pub fn met(at: Timestamp, until: Option<Timestamp>) -> Self {
        Self {
            at,
            until: until.unwrap_or(at),
            is_told: until.is_some(),
        }
    }

    /// The same with a time of ours where the agent said none: `pause` after it was refused.
    #[must_use]
    pub fn or_for(self, pause: Duration) -> Self {
        if self.is_told {
            return self;
        }
        Self {
            until: self.at.plus(pause),
            ..self
        }
    }

    /// Whether nothing is to be asked at `now`. One that was met later than now was met before the clock was set back, and nobody knows
    /// how long it stands: the agent is asked, and says it anew.
    pub fn stands(&self, now: Timestamp) -> bool {
        now < self.until && self.at <= now.plus(SET_BACK)
    }

    /// What is known of it with `known`, which may be the same one said more precisely: of two times within a minute the earlier is
    /// the one that has its seconds.
    #[must_use]
    pub fn sharpened_by(self, known: Option<Self>) -> Self {
        match known {
            Some(known) if known.is_told && (!self.is_told || known.is_within_a_minute(self)) => Self {
                until: if self.is_told {
                    self.until.min(known.until)
                } else {
                    known.until
                },
                is_told: true,
                ..self
            },
            _ => self,
        }
    }

    fn is_within_a_minute(self, other: Self) -> bool {
        self.until <= other.until.plus(MINUTE) && other.until <= self.until.plus(MINUTE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_wall_stands_until_its_end_and_not_over_a_clock_that_was_set_back() {
        let wall = Wall::met(at(1_000), Some(at(4_600)));
        for (now, stands) in [
            (1_000, true),
            (4_599, true),
            (4_600, false),
            (940, true),
            (939, false),
        ] {
            assert_eq!(wall.stands(at(now)), stands, "{now}");
        }
        let untold = Wall::met(at(1_000), None).or_for(Duration::from_secs(900));
        assert_eq!((untold.until, untold.is_told), (at(1_900), false));
        assert_eq!(wall.or_for(Duration::from_secs(900)), wall);
    }

    #[test]
    fn of_two_words_about_one_wall_the_one_with_seconds_counts() {
        let to_the_minute = Wall::met(at(1_000), Some(at(4_620)));
        let to_the_second = Wall::met(at(999), Some(at(4_573)));
        assert_eq!(to_the_minute.sharpened_by(Some(to_the_second)).until, at(4_573));
        assert_eq!(to_the_second.sharpened_by(Some(to_the_minute)).until, at(4_573));
        let at_its_beginning = Wall::met(at(999), Some(at(4_560)));
        assert_eq!(
            to_the_minute.sharpened_by(Some(at_its_beginning)).until,
            at(4_560)
        );
        let another = Wall::met(at(10), Some(at(600)));
        assert_eq!(to_the_minute.sharpened_by(Some(another)), to_the_minute);
        let untold = Wall::met(at(1_000), None);
        let told = untold.sharpened_by(Some(to_the_second));
        assert_eq!((told.at, told.until, told.is_told), (at(1_000), at(4_573), true));
        assert_eq!(to_the_minute.sharpened_by(Some(untold)), to_the_minute);
        assert_eq!(to_the_minute.sharpened_by(None), to_the_minute);
    }
}
