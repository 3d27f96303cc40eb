//! The end of a process as an event: a pidfd, which becomes readable at that moment and is never reused.

use ao_domain::ProcessId;
#[cfg(target_os = "linux")]
use tokio::io::unix::AsyncFd;

/// Waits for the end of one process.
#[derive(Debug)]
pub(in crate::runtimes) struct Watch {
    #[cfg(target_os = "linux")]
    pidfd: AsyncFd<std::os::fd::OwnedFd>,
    #[cfg(not(target_os = "linux"))]
    process: ProcessId,
}

#[cfg(target_os = "linux")]
impl Watch {
    /// On exactly this process; `None` when it has ended already, or cannot be watched (the caller has its slow net).
    pub(in crate::runtimes) fn on(process: &ProcessId) -> Option<Self> {
        if crate::process::boot_id().ok()? != process.boot {
            return None;
        }
        Self::on_number(process.pid, process.started)
    }

    /// On the process with this number and start time, in the present boot.
    pub(super) fn on_number(pid: u32, started: u64) -> Option<Self> {
        use rustix::process::{PidfdFlags, pidfd_open};
        let pidfd = pidfd_open(super::family::number(pid)?, PidfdFlags::empty()).ok()?;
        // Asked after opening: from here on the descriptor means this process and no later one.
        let now = crate::process::identify(pid).ok()??;
        if now.started != started {
            return None;
        }
        #[expect(
            unsafe_code,
            reason = "tokio asks for a promise about the descriptor that the compiler cannot check"
        )]
        // SAFETY: an `OwnedFd` always gives the same descriptor, and it stays open until the `AsyncFd` that owns it
        // is dropped.
        let pidfd = unsafe { AsyncFd::register_with_interest(pidfd, tokio::io::Interest::READABLE) }.ok()?;
        Some(Self { pidfd })
    }

    /// Resolves when the process has ended. Cancel safe.
    pub(in crate::runtimes) async fn ended(&self) {
        // An error means that the runtime is being shut down: nobody waits any more.
        let _ = self.pidfd.readable().await;
    }
}

#[cfg(not(target_os = "linux"))]
impl Watch {
    /// On exactly this process; `None` when it has ended already.
    pub(in crate::runtimes) fn on(process: &ProcessId) -> Option<Self> {
        crate::process::is_alive(process).ok()?.then(|| Self {
            process: process.clone(),
        })
    }

    /// On the process with this number and start time, in the present boot.
    pub(super) fn on_number(pid: u32, started: u64) -> Option<Self> {
        let process = crate::process::identify(pid).ok()??;
        (process.started == started).then_some(Self { process })
    }

    /// Resolves when the process has ended, seen by asking every second. Cancel safe.
    pub(in crate::runtimes) async fn ended(&self) {
        while crate::process::is_alive(&self.process).unwrap_or(false) {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }
}
