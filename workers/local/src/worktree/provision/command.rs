//! One post-create command: started, read, limited, and ended with everything it started.
//!
//! It prints into a pipe that is read as fast as it writes, since a log of bounded size cannot be written by itself. When its
//! shell has ended, what is in the pipe by then is taken and nothing more is waited for: something in the background may hold
//! the pipe for ever.

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use ao_domain::port::provision::{CommandEnd, PostCreate, ProvisionError};
use ao_domain::{Exit, WorktreeOwner, foreign_text};
use camino::Utf8Path;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::super::lock::Lock;
use super::super::record::{blocking, io_error};
use super::company::Company;
use super::log::{self, Log};

/// How many lines of a command that failed go with the error.
const LINES: usize = 40;

/// How much of the command's own text goes with it, in characters.
const WORDS: usize = 200;

/// How much is read at once, and how much the pipe holds where the system allows it: fewer turns for a command that prints a lot.
const PIECE: usize = 256 << 10;

/// Runs `command` in the worktree of `owner` and returns how it ended, with its last lines.
pub(super) async fn run(
    lock: &Lock,
    owner: &WorktreeOwner,
    command: PostCreate<'_>,
    logs: &Utf8Path,
) -> Result<(), ProvisionError> {
    let io = |doing| io_error(doing, &owner.path);
    let session = owner.session.as_str();
    let mut printed = Printed::open(logs, owner).await;
    let line = foreign_text::in_line(command.line, WORDS);
    let nth = format!("{}/{}", command.number, command.of);
    printed.say(&format!("[{nth}] {line}")).await;

    let mut company = Company::of(lock).map_err(io("choosing a mark"))?;
    let (pipe, written) = pipe().map_err(io("making a pipe"))?;
    let number = number_of(&pipe).map_err(io("looking at a pipe"))?;
    company
        .starts(lock, number)
        .map_err(io("writing down what runs"))?;
    let start = Instant::now();
    let child = start_shell(owner, &company, command, written).map_err(io("starting sh"))?;
    let mut running = Running {
        company,
        child,
        is_over: false,
    };
    if let Some(pid) = running.child.id() {
        let written = running.company.started(lock, pid);
        written.map_err(io("writing down what runs"))?;
        lock.record(pid, "post-create", command.limit); // so that others at the lock know how long to wait
    }
    let mut pipe = Receiver::from_owned_fd(pipe.into()).map_err(io("reading a pipe"))?;
    let end = follow(&mut running.child, &mut pipe, command.limit, &mut printed)
        .await
        .map_err(io("following a command"))?;
    let succeeded = matches!(end, CommandEnd::Exit(exit) if exit.is_success());
    if succeeded {
        running
            .company
            .ended(lock)
            .map_err(io("writing down what runs"))?;
        running.is_over = true;
    } else {
        end_all(&running.company, lock, session, &mut pipe, &mut printed).await?;
        running.is_over = true;
        let _ = running.child.wait().await; // it is dead, and told already how it ended
    }
    let took = start.elapsed().as_secs_f64();
    printed.say(&format!("[{nth}] {end} after {took:.1} s")).await;
    if succeeded {
        return Ok(());
    }
    Err(ProvisionError::Command {
        number: command.number,
        of: command.of,
        line,
        end,
        tail: log::last_lines(&printed.end, LINES),
    })
}

/// Reads until the shell has ended, or `limit` is over.
async fn follow(
    child: &mut Child,
    pipe: &mut Receiver,
    limit: Duration,
    printed: &mut Printed,
) -> io::Result<CommandEnd> {
    let over = tokio::time::sleep(limit);
    tokio::pin!(over);
    let mut is_open = true;
    let status = loop {
        // In this order: a command that prints without a pause must not go on for ever.
        tokio::select! {
            biased;
            () = &mut over => return Ok(CommandEnd::Limit(limit)),
            status = child.wait() => break status?,
            ready = pipe.readable(), if is_open => ready?,
        }
        is_open = printed.take(pipe).await? != Took::End;
    };
    // No more than the pipe held when the shell ended, or somebody in the background could keep us here.
    let mut left = PIECE;
    while left > 0 {
        match printed.take(pipe).await? {
            Took::Bytes(count) => left = left.saturating_sub(count),
            Took::Nothing | Took::End => break,
        }
    }
    Ok(CommandEnd::Exit(exit(status)))
}

/// Ends everyone. What they say meanwhile belongs to the output, and a full pipe must not hold them up.
async fn end_all(
    company: &Company,
    lock: &Lock,
    session: &str,
    pipe: &mut Receiver,
    printed: &mut Printed,
) -> Result<(), ProvisionError> {
    let ending = company.end(lock, session);
    tokio::pin!(ending);
    let mut is_open = true;
    loop {
        tokio::select! {
            biased;
            ended = &mut ending => return Ok(ended?),
            ready = pipe.readable(), if is_open => is_open = ready.is_ok(),
        }
        is_open &= matches!(printed.take(pipe).await, Ok(Took::Bytes(_) | Took::Nothing));
    }
}

fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}

fn pipe() -> io::Result<(PipeReader, OwnedFd)> {
    let (read, write) = io::pipe()?;
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(&read, PIECE); // what the system does not allow is only slower
    Ok((read, write.into()))
}

fn number_of(pipe: impl AsFd) -> io::Result<u64> {
    Ok(rustix::fs::fstat(pipe)?.st_ino)
}

fn start_shell(
    owner: &WorktreeOwner,
    company: &Company,
    command: PostCreate<'_>,
    output: OwnedFd,
) -> io::Result<Child> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place a post-create command is started: with a limit and a group of its own"
    )]
    let mut shell = Command::new("/bin/sh");
    let (name, mark) = company.variable();
    shell
        .args(["-c", command.line])
        .current_dir(&owner.path)
        .env_clear()
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .env(name, mark)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0);
    shell.spawn() // and with `shell` our ends of the pipe are closed, so that it ends when the command's do
}

/// A command that runs. Dropped before it is over, it is killed with everything it started.
struct Running {
    company: Company,
    child: Child,
    is_over: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over {
            self.company.kill();
        }
    }
}

/// Where the output goes: into the log, and its end into memory, so that an error has it also when the disk is full.
struct Printed {
    /// `None` once it could not be written.
    log: Option<Log>,
    end: Vec<u8>,
    path: camino::Utf8PathBuf,
}

impl Printed {
    async fn open(logs: &Utf8Path, owner: &WorktreeOwner) -> Self {
        let (folder, session) = (logs.to_owned(), owner.session.clone());
        let log = blocking("opening the log", logs, move || Log::open(&folder, &session)).await;
        let log = log.inspect_err(|error| {
            let error: &dyn std::error::Error = error;
            tracing::warn!(session = %owner.session, error, "a post-create command has no log");
        });
        Self {
            log: log.ok(),
            end: Vec::new(),
            path: logs.to_owned(),
        }
    }

    /// A line of ours, in the log only.
    async fn say(&mut self, line: &str) {
        self.write(format!("ao: {line}\n").into_bytes()).await;
    }

    /// Takes what is in the pipe now. Not cancel safe: the log may be lost.
    async fn take(&mut self, pipe: &mut Receiver) -> io::Result<Took> {
        let mut piece = vec![0; PIECE];
        let read = match pipe.try_read(&mut piece) {
            // tokio has not heard of it yet, which says nothing about what is there: the shell's end may be told before its last words.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                rustix::io::read(&*pipe, &mut piece).map_err(io::Error::from)
            }
            read => read,
        };
        match read {
            Ok(0) => Ok(Took::End),
            Ok(read) => {
                piece.truncate(read);
                self.end.extend(&piece);
                let excess = self.end.len().saturating_sub(log::END);
                if excess > log::END {
                    self.end.drain(..excess);
                }
                self.write(piece).await;
                Ok(Took::Bytes(read))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Took::Nothing),
            Err(error) => Err(error),
        }
    }

    async fn write(&mut self, bytes: Vec<u8>) {
        let Some(mut log) = self.log.take() else { return };
        let written = blocking("writing the log", &self.path, move || {
            log.add(&bytes)?;
            Ok(log)
        })
        .await;
        match written {
            Ok(log) => self.log = Some(log),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "the log of a post-create command is not complete");
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Took {
    Bytes(usize),
    Nothing,
    End,
}
