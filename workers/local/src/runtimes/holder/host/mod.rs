//! The holder: one small process per run that is the agent's parent, its terminal and the reaper of what it leaves.
//!
//! # Theory of operation
//! It is started with the run's lock as its standard input, so that the lock is held without a gap from before its
//! first instruction to its last. It leaves the creator's session, reads and deletes the launch, writes down who it
//! is, starts the agent and writes down who that is. Then it says `ready` on its standard output and serves: one
//! thread, one `poll` over signals, terminal, socket and clients. When the agent ends it writes the exit record first
//! and tells its clients second. It stays, so that the last screen can be looked at, until it is told to go, or for
//! half a day.
//!
//! # What it does not do
//! It opens no database, knows nothing of sessions and starts nothing but the agent (and a shell, if a person asks
//! for one once the agent has ended). It types what it is asked to, and looks at the screen first where it is told how.

mod agent;
mod answers;
mod connection;
mod edge;
mod engine;
mod input_log;
mod prompt;
mod serve;
mod snapshot;
mod socket;
mod stop;
mod typing;

use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use ao_domain::ProcessId;
use ao_domain::port::runtime::Size;
use camino::Utf8Path;
use rustix::fs::{Mode, OFlags};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

use self::serve::{Host, Parts};
use self::socket::Socket;
use super::files::{LOG_LIMIT, Report, RunDir};
use super::wire;
use crate::process;

pub(super) use snapshot::DEFAULTS;

/// The size of a terminal that nobody has looked at yet: wide enough that an agent's tables are not folded.
const FIRST_SIZE: Size = Size { cols: 220, rows: 50 };

/// Signals as bytes in a pipe, for `poll`.
type Signals = SignalDelivery<UnixStream, SignalOnly>;

/// Holds the run whose files lie in `dir` until it is over. Call it first thing in the process: every descriptor but
/// the standard three is closed.
///
/// Standard input is the run's lock where the creator took it, standard output gets one line, standard error is the
/// log.
pub fn main(dir: &Utf8Path) -> ExitCode {
    close_inherited();
    match begin(&RunDir::at(dir)) {
        Ok(host) => {
            say(&Report::Ready {
                holder: host.holder().clone(),
                agent: host.agent().clone(),
            });
            host.serve();
            ExitCode::SUCCESS
        }
        Err(report) => {
            log(&format!("not started: {report:?}"));
            say(&report);
            ExitCode::FAILURE
        }
    }
}

/// Everything up to the running agent. An error leaves nothing running; the creator removes the files.
fn begin(dir: &RunDir) -> Result<Host, Report> {
    let broken = |doing: &'static str| {
        move |error: io::Error| Report::Broken {
            doing: doing.to_owned(),
            reason: error.to_string(),
        }
    };
    std::panic::set_hook(Box::new(|panic| log(&panic.to_string())));
    let lock = lock(dir).map_err(broken("taking the lock"))?;
    let umask = leave_creator().map_err(broken("leaving the creator's session"))?;
    let signals = signals().map_err(broken("listening to signals"))?;
    let mut record = dir
        .record()
        .and_then(|record| record.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)))
        .map_err(broken("reading the record"))?;
    let launch = dir.take_launch().map_err(broken("reading the launch"))?;
    let holder = ourselves().map_err(broken("naming the holder"))?;
    record.holder = Some(holder.clone());
    record.wire = wire::VERSION;
    env!("CARGO_PKG_VERSION").clone_into(&mut record.build);
    dir.write_record(&record).map_err(broken("writing the record"))?;
    let cwd = agent::directory(&launch.cwd).map_err(|_| Report::NoDirectory {
        path: launch.cwd.clone(),
    })?;
    let (dir_fd, _) = dir.socket().map_err(broken("opening the run's directory"))?;
    let socket = Socket::bind(&dir_fd, dir.path()).map_err(broken("making the socket"))?;
    let env = agent::environment(&launch.env, &launch.cwd);
    let note = dir.file("agent");
    let started = agent::start(agent::Start {
        argv: &launch.argv,
        env: &env,
        cwd,
        size: FIRST_SIZE,
        umask,
        note: Some(&note),
    })
    .map_err(|error| Report::NotStarted {
        program: launch.argv.first().cloned().unwrap_or_default(),
        reason: error.to_string(),
    })?;
    let agent = named(dir, started.pid.as_raw_nonzero().get().unsigned_abs());
    record.agent = Some(agent.clone());
    if let Err(error) = dir.write_record(&record) {
        log(&format!("the record stays without the agent: {error}")); // the note beside it still names it
    }
    Ok(Host::new(Parts {
        dir: dir.clone(),
        dir_fd,
        lock,
        socket,
        signals,
        launch,
        env,
        umask,
        holder,
        agent,
        started,
    }))
}

/// Who the agent is: as its process wrote it down, or as the kernel says now.
fn named(dir: &RunDir, pid: u32) -> ProcessId {
    let noted = dir.agent_note().ok().flatten().filter(|noted| noted.pid == pid);
    noted
        .or_else(|| process::identify(pid).ok().flatten())
        .unwrap_or_else(|| ProcessId {
            pid,
            started: 0, // ended before it could be looked at; matches no process
            boot: process::boot_id().unwrap_or_default(),
        })
}

fn ourselves() -> io::Result<ProcessId> {
    process::identify(std::process::id())?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// The run's lock: the one that came as standard input, or one taken now. Standard input is empty afterwards.
fn lock(dir: &RunDir) -> io::Result<OwnedFd> {
    let given = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    let is_ours = match rustix::fs::stat(dir.file("lock").as_std_path()) {
        Ok(lock) => {
            let stdin = rustix::fs::fstat(&given)?;
            (stdin.st_dev, stdin.st_ino) == (lock.st_dev, lock.st_ino)
        }
        Err(_) => false,
    };
    if is_ours {
        return Ok(given);
    }
    dir.take_lock()?
        .ok_or_else(|| io::Error::other("somebody else holds it"))
}

/// Out of the creator's session, directory and umask; what the agent leaves behind becomes ours to reap. Gives the
/// umask that was.
fn leave_creator() -> io::Result<Mode> {
    let _ = rustix::process::setsid(); // refused only to one who leads a group already: then this is done
    rustix::process::chdir("/")?;
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(rustix::process::umask(Mode::RWXG | Mode::RWXO))
}

/// Hang-ups are heard and change nothing: the terminal that ends is never the holder's. (Broken pipes are ignored by
/// every Rust program.)
fn signals() -> io::Result<Signals> {
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    write.set_nonblocking(true)?;
    SignalDelivery::with_pipe(
        read,
        write,
        SignalOnly,
        [SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1],
    )
}

/// Tells the creator, who may have gone; then standard output is empty, so that nobody waits for its end.
fn say(report: &Report) {
    let mut line = serde_json::to_vec(report).expect("reports have string keys only");
    line.push(b'\n');
    let _ = io::stdout().write_all(&line); // a creator that has gone finds the run by its name
    let _ = io::stdout().flush();
    if let Ok(null) = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        let _ = rustix::stdio::dup2_stdout(&null); // kept open, the pipe would only stay readable for longer
    }
}

/// Writes a line to the log, as long as there is room in it.
fn log(text: &str) {
    let size = rustix::fs::fstat(io::stderr().as_fd()).map_or(0, |stat| stat.st_size);
    if u64::try_from(size).unwrap_or(0) < LOG_LIMIT {
        let _ = writeln!(io::stderr(), "{} {text}", crate::clock::now()); // a full disk: nowhere else to say it
    }
}

/// Closes what the creator's own creator left open: a pipe held here for days would never end for its reader.
fn close_inherited() {
    const FIRST: u32 = 3;
    #[cfg(target_os = "linux")]
    {
        #[expect(
            unsafe_code,
            reason = "descriptors that nobody here opened have no owner to close them"
        )]
        // SAFETY: called first thing in the process, before anything in it has opened a descriptor beyond the
        // standard three, so no owned one is closed behind its owner's back.
        unsafe {
            libc::syscall(libc::SYS_close_range, FIRST, u32::MAX, 0);
        }
    }
    #[cfg(not(target_os = "linux"))]
    for number in FIRST..1024 {
        #[expect(
            unsafe_code,
            reason = "descriptors that nobody here opened have no owner to close them"
        )]
        // SAFETY: as above.
        unsafe {
            libc::close(i32::try_from(number).unwrap_or(-1));
        }
    }
}
