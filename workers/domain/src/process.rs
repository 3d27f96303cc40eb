//! Which process is meant, beyond the reuse of numbers and beyond a reboot.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A process named so that no other process, now or later, has the same name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// The kernel's number; used again after the process has gone.
    pub pid: u32,
    /// When it was started, in clock ticks since boot (field 22 of `/proc/<pid>/stat`).
    pub started: u64,
    /// The boot it belongs to (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It called exit with this status, 0 to 255.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// Whether the process said that all went well.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}
