//! How the machine itself does: the least that any program needs of it, timed all the while.
//!
//! A status follows its process by a process's start, a few looks and a commit. Where the cheapest program there is and four
//! bytes on the disk take their time, two seconds are not the daemon's any more: such time is measured, told, and not counted. Where
//! it makes the difference, the life it was in is not judged.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two probes.
const PAUSE: Duration = Duration::from_millis(50);

/// What a probe may take: ten times what it does on a machine with nothing else to do. Of the steps that a status needs to
/// follow its process two seconds hold some ten.
const USUAL: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Floor {
    over: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    starved: Duration,
    probing: Option<Instant>,
}

impl Floor {
    /// Probes until it is told to end.
    pub(super) fn probe(&self) {
        let mut file: File = tempfile::tempfile().expect("the temporary folder is writable");
        while !self.over.load(Ordering::SeqCst) {
            std::thread::park_timeout(PAUSE);
            let begun = Instant::now();
            self.state.lock().unwrap().probing = Some(begun);
            #[expect(clippy::disallowed_methods, reason = "the floor is the start of a process")]
            let mut cheapest = Command::new("/bin/true");
            let _ = cheapest.stdin(Stdio::null()).status();
            let _ = file
                .rewind()
                .and_then(|()| file.write_all(b"four"))
                .and_then(|()| file.sync_data());
            let mut state = self.state.lock().unwrap();
            state.starved += begun.elapsed().saturating_sub(USUAL);
            state.probing = None;
        }
    }

    /// For how long the machine has let everybody wait, so far.
    pub(super) fn starved(&self) -> Duration {
        let state = self.state.lock().unwrap();
        let now = state.probing.map(|since| since.elapsed().saturating_sub(USUAL));
        state.starved + now.unwrap_or_default()
    }

    /// No more probes.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }
}
