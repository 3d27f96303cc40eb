//! One run of git: bounded in time and in words.
//!
//! A [`Call`] that only looks ([`Call::ask`], [`Call::text`]) dies with its caller. One that changes a worktree
//! ([`Call::act`]) does not: it gets the session's lock as its standard input, so that the lock lasts exactly as long
//! as git does, also when the daemon is killed; and its words go to a file, so that no broken pipe stops it half-way.
//! [`Call::text_under`] is between the two: its caller needs what it says, and nobody else may write the same meanwhile.

use std::fs::File;
use std::io::{self, Read as _};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use ao_domain::port::worktrees::WorktreeError;
use camino::Utf8Path;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Child;

use super::git::Call;
use super::lock::Lock;
use super::record::io_error;

/// The most that is read from one git. A listing of half a million paths fits; what says more is not answered.
const OUT_MAX: u64 = 64 << 20;

/// The most that a git that writes may complain before it is ended: a filter in a loop must not fill the disk.
const ERR_MAX: u64 = 1 << 20;

/// How much of git's last words an error carries.
const SAID_MAX: usize = 1024;

/// How long a group that was asked to end may take to clean up after itself; `worktree add` removes what it began.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// How often the words of a writing git are measured.
const TICK: Duration = Duration::from_millis(250);

/// How often a git is started again that met another one in the middle of registering a worktree, and after how long.
/// The other is done with that within microseconds, unless the machine lets it wait.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(25);

/// Whether git died of a worktree that another git registers or forgets in this instant: it lists them all, and reads a
/// `commondir` that is still empty, or enters a folder that is gone by now (git 2.47; seen with twelve `worktree add` and
/// twelve `worktree remove` at once, about one run in ten). Then it has done nothing.
fn met_another(said: &str) -> bool {
    said.contains("/worktrees/") && (said.contains("failed to read ") || said.contains("Invalid path "))
}

/// How often one piece of work has met another git.
#[derive(Debug, Default)]
pub(super) struct Meetings(u32);

impl Meetings {
    /// Whether it is worth trying again after `error`; if so, not before a moment has passed.
    pub(super) async fn again(&mut self, error: &WorktreeError) -> bool {
        self.0 += 1;
        let again = self.0 < TRIES && matches!(error, WorktreeError::Git { said, .. } if met_another(said));
        if again {
            tokio::time::sleep(PAUSE).await;
        }
        again
    }
}

/// What a git that was asked said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) status: ExitStatus,
    pub(super) out: Vec<u8>,
    pub(super) err: String,
}

impl Call {
    /// Runs it and returns what it said, whatever its exit status. It is killed when the caller goes away.
    pub(super) async fn ask(self) -> Result<Said, WorktreeError> {
        self.ask_with(Stdio::null()).await
    }

    pub(super) async fn ask_with(mut self, input: Stdio) -> Result<Said, WorktreeError> {
        self.command
            .env("GIT_OPTIONAL_LOCKS", "0")
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut meetings = Meetings::default();
        loop {
            let said = self.ask_once().await?;
            if said.status.success() || !meetings.again(&refused(self.verb, &self.dir, &said)).await {
                return Ok(said);
            }
        }
    }

    async fn ask_once(&mut self) -> Result<Said, WorktreeError> {
        let mut child = self.start()?;
        let mut group = Group::of(&child);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let run = async {
            let (out, err) = tokio::try_join!(all(stdout, OUT_MAX), all(stderr, ERR_MAX))?;
            let status = child.wait().await?;
            io::Result::Ok(Said {
                status,
                out,
                err: last_words(&err),
            })
        };
        let ended = tokio::time::timeout(self.deadline, run).await;
        match ended {
            Ok(Ok(said)) => {
                group.ended = true;
                Ok(said)
            }
            Ok(Err(error)) => Err(self.failed(error.to_string())),
            Err(_) => Err(self.failed("timed out".to_owned())),
        }
    }

    /// What it wrote to its standard output, when it succeeded.
    pub(super) async fn text(self) -> Result<Vec<u8>, WorktreeError> {
        self.text_with(Stdio::null()).await
    }

    /// The same of a git that writes where only the holder of `lock` may: should the daemon be killed, the lock lasts
    /// until this git has ended.
    pub(super) async fn text_under(self, lock: &Lock) -> Result<Vec<u8>, WorktreeError> {
        let held = lock
            .share()
            .map_err(io_error("sharing the lock", lock.folder()))?;
        self.text_with(held.into()).await
    }

    async fn text_with(self, input: Stdio) -> Result<Vec<u8>, WorktreeError> {
        let (verb, dir) = (self.verb, self.dir.clone());
        let said = self.ask_with(input).await?;
        if said.status.success() {
            Ok(said.out)
        } else {
            Err(refused(verb, &dir, &said))
        }
    }

    /// Runs it under `lock`, which it holds until its end: it goes on when the caller goes away, and the next one at
    /// this session's lock waits for it. Past the deadline its whole group is ended.
    pub(super) async fn act(mut self, lock: &Lock) -> Result<(), WorktreeError> {
        let mut meetings = Meetings::default();
        loop {
            match self.act_once(lock).await {
                Err(error) if meetings.again(&error).await => {}
                other => return other,
            }
        }
    }

    /// The same, also when it meets another git: for what leaves something behind when it fails.
    pub(super) async fn act_once(&mut self, lock: &Lock) -> Result<(), WorktreeError> {
        let words = lock
            .words()
            .map_err(io_error("opening git's log", lock.folder()))?;
        let shared = words
            .try_clone()
            .map_err(io_error("opening git's log", lock.folder()))?;
        let held = lock
            .share()
            .map_err(io_error("sharing the lock", lock.folder()))?;
        self.command.stdin(held).stdout(Stdio::null()).stderr(shared);
        let mut child = self.start()?;
        if let Some(pid) = child.id() {
            lock.record(pid, self.verb, self.deadline);
        }
        let over = tokio::time::Instant::now() + self.deadline;
        let end = loop {
            tokio::select! {
                biased;
                status = child.wait() => break Ok(status),
                () = tokio::time::sleep_until(over) => break Err("timed out"),
                () = tokio::time::sleep(TICK) => {
                    if words.metadata().is_ok_and(|meta| meta.len() > ERR_MAX) {
                        break Err("said more than it may");
                    }
                }
            }
        };
        match end {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => {
                let mut said = read_tail(words);
                if said.is_empty() {
                    said = status.to_string();
                }
                Err(self.failed(said))
            }
            Ok(Err(error)) => Err(self.failed(error.to_string())),
            Err(why) => {
                end_gently(&mut child).await;
                Err(self.failed(why.to_owned()))
            }
        }
    }

    fn start(&mut self) -> Result<Child, WorktreeError> {
        self.command.spawn().map_err(|source| WorktreeError::Io {
            doing: "starting git",
            path: self.dir.clone(),
            source,
        })
    }

    fn failed(&self, said: String) -> WorktreeError {
        WorktreeError::Git {
            verb: self.verb,
            path: self.dir.clone(),
            said,
        }
    }
}

/// The error for a git that answered with a status the caller has no use for.
pub(super) fn refused(verb: &'static str, dir: &Utf8Path, said: &Said) -> WorktreeError {
    WorktreeError::Git {
        verb,
        path: dir.to_owned(),
        said: if said.err.is_empty() {
            said.status.to_string()
        } else {
            said.err.clone()
        },
    }
}

/// Asks the group to end, then ends it. Its leader is not reaped before, so the number is still the group's.
async fn end_gently(child: &mut Child) {
    let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) else {
        return;
    };
    // A group that is gone already needs no signal.
    let _ = kill_process_group(pid, Signal::TERM);
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = child.wait().await;
    }
}

/// Kills a group when dropped, unless its leader was seen to end.
struct Group {
    leader: Option<Pid>,
    ended: bool,
}

impl Group {
    fn of(child: &Child) -> Self {
        Self {
            leader: child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())),
            ended: false,
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let (Some(leader), false) = (self.leader, self.ended) {
            // It may have ended in this instant; then there is nothing to kill.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

async fn all(from: Option<impl AsyncRead + Unpin>, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(max + 1).read_to_end(&mut bytes).await?;
    }
    if bytes.len() as u64 > max {
        return Err(io::Error::other(format!("said more than {max} bytes")));
    }
    Ok(bytes)
}

fn read_tail(mut words: File) -> String {
    use std::io::{Seek as _, SeekFrom};
    let mut bytes = Vec::new();
    let length = words.metadata().map(|meta| meta.len()).unwrap_or_default();
    let from = SeekFrom::Start(length.saturating_sub(SAID_MAX as u64));
    // Without git's words the error still has its exit status.
    let _ = words.seek(from).and_then(|_| words.read_to_end(&mut bytes));
    last_words(&bytes)
}

fn last_words(bytes: &[u8]) -> String {
    let tail = &bytes[bytes.len().saturating_sub(SAID_MAX)..];
    String::from_utf8_lossy(tail).trim().to_owned()
}
