//! What an agent says about itself through its hooks.

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
    /// What ended its turn, where that was an error.
    pub trouble: Option<String>,
}
