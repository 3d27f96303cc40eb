//! Whether exactly this process still runs: what is left to ask when a runtime has no record of it any more.

use crate::ProcessId;

/// Looks at processes by their whole name: number, start time and boot.
pub trait Processes: Send + Sync + 'static {
    /// Whether it runs; `None` when the system does not tell, which is no verdict. A zombie does not run, and nothing of
    /// an earlier boot does. Does not block beyond a read of the process table.
    fn is_alive(&self, process: &ProcessId) -> Option<bool>;
}
