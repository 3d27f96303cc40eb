//! `ao run-agent`: what runs in the pane. It starts the run's holder, and is then the first of its viewers.
//!
//! # Theory of operation
//! The launcher takes lock and outputs from the creator that waits for it (`hand_over`), starts the holder with
//! them, in a session of its own, and forgets them. From then on it shows in its pane what the agent shows, and sends
//! it what is typed there, as `ao attach` does, until the holder has gone; then it ends, and with its only pane the session.
//! For a session that stays all the same it leaves somebody behind (`last_pane`).
//!
//! # What it does not do
//! It is not the holder itself, for zellij ends what runs in its panes as it likes: with a hang-up when a session is
//! killed, or its server is, as at a logout. So whatever becomes of zellij, the holder and its agent go on, and are reached
//! as before.

use std::io::{self, Write as _};
use std::process::{Child, ExitCode};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::event::{PollFd, PollFlags, Timespec};
use signal_hook::consts::SIGWINCH;

use super::{hand_over, last_pane};
use crate::runtimes::holder::command;
use crate::runtimes::holder::files::RunDir;
use crate::runtimes::holder::viewer::{self, Raw, Signals, Viewer};

/// How often a holder that is starting is tried, and a pane that is not placed yet looked at.
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// [`TRY_AGAIN`], for `poll`.
const PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: TRY_AGAIN.subsec_nanos() as i64,
};

/// Within what zellij has placed a pane whose program it has started; it takes hundredths of a second on a quiet machine.
const PLACED: Duration = Duration::from_secs(10);

/// The size that zellij gives the pane of a session that nobody has looked at yet.
const UNSEEN: (u16, u16) = (50, 50);

/// What makes this program something else.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// A launcher; the run's directory follows.
    pub launcher: &'a [&'a str],
    /// A holder; the run's directory follows.
    pub holder: &'a [&'a str],
}

/// Runs in the pane until the run is over, with the words that follow those of a launcher. Call it first thing in the
/// process. `None` when they are no launcher's.
pub fn main(rest: &[&str], words: Words<'_>) -> Option<ExitCode> {
    let (dir, offer) = match rest {
        [_, last_pane::WORD, server] => return Some(last_pane::main(server.parse().ok()?)),
        [dir, offer] => (RunDir::at(Utf8Path::new(dir)), offer),
        _ => return None,
    };
    let ran = run(&dir, offer, words.holder);
    let _ = until_placed(); // a terminal that is gone needs no place
    if let Err(error) = &ran {
        // Whoever looks at the pane sees it; the creator hears its pipe end. A terminal that is gone takes nothing.
        let _ = writeln!(io::stderr(), "ao run-agent: {error}");
    }
    last_pane::leave(&dir, words.launcher);
    Some(ran.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS))
}

fn run(dir: &RunDir, offer: &str, holder: &[&str]) -> io::Result<()> {
    rustix::process::chdir("/")?;
    let signals = viewer::signals()?; // from here on the pane's end is heard
    let start = hand_over::take(dir, offer)?;
    let mut holder = command(&own_image()?, holder, dir.path(), start).spawn()?;
    let raw = Raw::enter()?;
    if let Some(viewer) = reach(dir, &mut holder, signals)? {
        viewer.in_pane(|size| size == UNSEEN);
    }
    drop(raw);
    Ok(())
}

/// zellij starts a pane's program first and places the pane then. One whose program has ended in between it would keep for ever,
/// and with it the session. A placed pane has a size; one that is gone has no terminal to ask.
///
/// # Errors
/// The terminal's.
fn until_placed() -> io::Result<()> {
    let began = Instant::now();
    while !viewer::has_size()? && began.elapsed() < PLACED {
        let _ = rustix::event::poll(&mut [], Some(&PAUSE)); // an error is a signal that came
    }
    Ok(())
}

/// A viewer, as soon as the holder answers; none when it ends without, or the pane does.
fn reach(dir: &RunDir, holder: &mut Child, mut signals: Signals) -> io::Result<Option<Viewer>> {
    loop {
        signals = match Viewer::connect(dir, signals) {
            Ok(viewer) => return Ok(Some(viewer)),
            Err((_, signals)) => signals,
        };
        if holder.try_wait()?.is_some() {
            return Ok(None);
        }
        let mut fds = [PollFd::new(signals.get_read(), PollFlags::IN)];
        let _ = rustix::event::poll(&mut fds, Some(&PAUSE)); // an error is a signal that came
        if signals.pending().any(|signal| signal != SIGWINCH) {
            return Ok(None);
        }
    }
}

/// The image this process runs, also after its file was replaced by an upgrade.
pub(super) fn own_image() -> io::Result<Utf8PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok("/proc/self/exe".into());
    }
    Utf8PathBuf::try_from(std::env::current_exe()?).map_err(camino::FromPathBufError::into_io_error)
}
