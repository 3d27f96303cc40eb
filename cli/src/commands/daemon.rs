//! `ao daemon`: the long-running process that `ao start` starts. Lock, port, tree, and the same in reverse.

use std::fs::DirBuilder;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ao_api::{Boot, Connections, Limits, Stage};
use ao_domain::{ProcessId, SESSION_SWEEP, chain};
use ao_local::{clock, process};
use ao_supervisor::{Ended, Root, Tree};
use ao_workers::{DirLock, GAVE_UP, Limits as Room, LockError, OpenError, Wiring};
use camino::{Utf8Path, Utf8PathBuf};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::env::{Config, Env};
use crate::run_file::{Found, RunFile, RunFileError, Token};

/// How many children accept connections. Two, so that one that hangs delays nobody (docs/adr/0003).
const ACCEPTORS: usize = 2;

/// Worker threads: SQLite has its own, and everything else only waits.
const THREADS: usize = 2;

/// How long a child that never yields may hold the process at its end.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// The daemon could not start. Nothing runs, and what was made is only folders.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    /// The environment cannot be used.
    #[error(transparent)]
    Env(#[from] crate::env::BadEnv),
    /// Another daemon has the data directory.
    #[error("the data directory is taken")]
    Lock(#[source] LockError),
    /// The data directory is there for nobody.
    #[error(
        "the data directory cannot be used: see that you may write to it, or name another with AO_DATA_DIR"
    )]
    NoDirectory(#[source] LockError),
    /// The Go original's daemon lives; it was left alone.
    #[error(
        "the original ao's daemon (process {pid}, port {port}) runs with the run file `{run_file}`: stop it with its own `ao stop`, or \
         give this one places of its own (AO_RUN_FILE, AO_DATA_DIR, AO_PORT)"
    )]
    Original {
        /// Its process.
        pid: u32,
        /// Its port.
        port: u16,
        /// Where it says so.
        run_file: Utf8PathBuf,
    },
    /// The port cannot be had.
    #[error(
        "port {port} on 127.0.0.1 is taken: stop what listens there, or choose another: AO_PORT=3002 ao start"
    )]
    PortTaken {
        /// Which.
        port: u16,
    },
    /// The database or a folder was refused.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The run file could not be written.
    #[error("the run file cannot be used")]
    RunFile(#[source] RunFileError),
    /// A child did not come up; all others were stopped again.
    #[error("the tree did not start")]
    Tree(#[source] ao_supervisor::StartError),
    /// The system refused.
    #[error("{doing} failed at `{path}`")]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// Where.
        path: Utf8PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
}

fn failed(doing: &'static str, path: impl Into<Utf8PathBuf>) -> impl FnOnce(io::Error) -> DaemonError {
    let path = path.into();
    move |source| DaemonError::Io { doing, path, source }
}

/// Runs the daemon until it is told to stop. Exit status 0 after that, 1 when it could not start, 70 when its tree gave up.
pub(crate) fn main(env: &Env) -> ExitCode {
    match serve(env) {
        Ok(code) => code,
        Err(error) => {
            // The last line of the log is what `ao start` shows.
            let _ = io::Write::write_all(&mut io::stderr(), format!("ao: {}\n", chain(&error)).as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn serve(env: &Env) -> Result<ExitCode, DaemonError> {
    let config = env.config()?;
    log_to_stderr(&config.log);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.data_dir)
        .map_err(failed("making the data directory", &config.data_dir))?;
    refuse_beside_the_original(&config.run_file)?;
    // In this order: whoever has the lock is the only one; the port says so to the world; only then anything is touched.
    let lock = DirLock::take(&config.data_dir).map_err(|error| match error {
        LockError::Held { .. } => DaemonError::Lock(error),
        LockError::Io { .. } => DaemonError::NoDirectory(error),
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("ao-worker")
        .enable_all()
        .build()
        .map_err(failed("starting the runtime", "tokio"))?;
    let code = runtime.block_on(run(config, &runtime));
    runtime.shutdown_timeout(LAST_WAIT);
    drop(lock);
    code
}

async fn run(config: Config, runtime: &tokio::runtime::Runtime) -> Result<ExitCode, DaemonError> {
    outlive_a_file_size_limit()?;
    let listener = bind(config.port).await?;
    let port = listener
        .local_addr()
        .map_err(failed("asking for the port", "127.0.0.1"))?
        .port();
    let wiring = Wiring::open(ao_workers::Config {
        data_dir: config.data_dir.clone(),
        run_file: config.run_file.clone(),
        program: own_program()?,
        holder: vec!["pty-host".to_owned()],
        launcher: vec!["run-agent".to_owned()],
        disposable: config.disposable.clone(),
        limits: Room {
            sessions: config.max_sessions,
            launches: config.max_launches,
            free_memory: config.min_free_memory,
        },
        restores: config.autorestore,
        tick: config.tick,
        wall_retry: config.wall_retry,
        env: config.inherited.clone(),
    })
    .await?;

    let me = process::identify(std::process::id())
        .and_then(|me| me.ok_or_else(|| io::Error::other("this process is not listed")))
        .map_err(failed("asking who we are", "/proc"))?;
    let token = fresh_token()?;
    let stage = Stage::new();
    let uid = rustix::process::getuid().as_raw();
    let connections = Connections::new(uid, ao_api::peer::uid_of, Limits::usual());
    let listener = Arc::new(listener);
    let tree = ao_workers::tree(&wiring, |tree| {
        let router = ao_api::router(deps(&wiring, &config, tree, &stage, port, &token, &me));
        ao_api::acceptors(&listener, &router, &connections, ACCEPTORS)
    });
    let stop_asked = watch_signals(&stage)?;
    let root = tree
        .start_apart(runtime.handle().clone())
        .await
        .map_err(DaemonError::Tree)?;
    let run_file = RunFile {
        pid: me.pid,
        port,
        started_at: clock::now(),
        started: me.started,
        boot: me.boot.clone(),
        token: Token::new(token),
        data_dir: config.data_dir.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    if let Err(error) = run_file.write(&config.run_file) {
        root.stop().await;
        return Err(DaemonError::RunFile(error));
    }
    stage.ready();
    // A contract with whoever starts us: the original's line, with the same fields.
    tracing::info!(addr = %SocketAddr::from((Ipv4Addr::LOCALHOST, port)), pid = me.pid, "daemon listening");

    let code = tokio::select! {
        () = stop_asked => {
            tracing::info!("stopping");
            ExitCode::SUCCESS
        }
        ended = root.wait() => {
            stage.stop();
            gave_up(&ended);
            ExitCode::from(GAVE_UP)
        }
    };
    stop(root, &connections, config.shutdown_timeout).await;
    if let Err(error) = wiring.store.close().await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "database not closed in order; nothing is lost by that"
        );
    }
    // Last of all, so that nobody takes us for gone while something of us still runs.
    drop(listener);
    match RunFile::remove_if_of(&config.run_file, &me) {
        Ok(_) => {}
        Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "run file not removed"),
    }
    Ok(code)
}

fn deps(
    wiring: &Wiring,
    config: &Config,
    tree: Tree,
    stage: &Stage,
    port: u16,
    token: &str,
    me: &ProcessId,
) -> ao_api::Deps {
    let (boot, forge) = (me.boot.clone(), Arc::clone(&wiring.forge));
    ao_api::Deps {
        reader: wiring.reader.clone(),
        intents: wiring.intents.clone(),
        feed: wiring.feed.clone(),
        spool: Arc::clone(&wiring.spool),
        worktrees: Arc::clone(&wiring.worktrees),
        upkeep: Arc::clone(&wiring.upkeep),
        runtimes: wiring.runtimes.clone(),
        processes: Arc::clone(&wiring.processes),
        provisioner: Arc::clone(&wiring.provisioner),
        agents: Arc::clone(&wiring.agents),
        catalog: Arc::clone(&wiring.catalog),
        repository_of: Arc::new(move |remote| forge.repository(remote)),
        clock: Arc::clone(&wiring.clock),
        boot: Arc::new(move || Boot {
            id: boot.clone(),
            millis: clock::boot_millis(),
        }),
        tree,
        stage: stage.clone(),
        config: ao_api::Config {
            port,
            patience: config.request_timeout,
            chaos: config.chaos,
            ao: wiring.ao(),
            env: wiring.env().to_vec(),
            default_agent: config.agent.clone(),
            default_runtime: config.runtime.clone(),
            runtimes: wiring.runtimes.names().iter().map(ToString::to_string).collect(),
            sweep: SESSION_SWEEP.to_owned(),
            data_dir: config.data_dir.clone(),
            worktree_root: wiring.worktree_root.clone(),
            token: token.to_owned(),
            pid: me.pid,
            uid: rustix::process::getuid().as_raw(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
    }
}

/// The tree in reverse, then the connections. Event streams have ended by then: the stage said so.
async fn stop(root: Root, connections: &Connections, within: Duration) {
    let report = root.stop().await;
    for path in report.stuck {
        tracing::error!(path, "child did not stop; the end of this process ends it");
    }
    let cut = connections.drain(within).await;
    if cut > 0 {
        tracing::warn!(cut, "connections cut off, they did not end in time");
    }
}

/// The log's last line before the process ends with status 70: which child, and why.
fn gave_up(ended: &Ended) {
    let path: Vec<String> = ended
        .path
        .iter()
        .map(|link| format!("{}: {}", link.path, link.reason.text()))
        .collect();
    tracing::error!(path = path.join(" <- "), "the tree gave up");
}

/// A write past the file size limit is to be an error that a client is told, like a full disk, and not our end. Once
/// heard, the signal stays without its deadly effect for the rest of the process; programs we start get it back.
fn outlive_a_file_size_limit() -> Result<(), DaemonError> {
    let too_large = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    signal(too_large)
        .map(drop)
        .map_err(failed("waiting for signals", "signal"))
}

/// Resolves when the daemon is to stop: by SIGTERM, SIGINT, SIGHUP or `POST /shutdown`.
fn watch_signals(stage: &Stage) -> Result<impl Future<Output = ()> + use<>, DaemonError> {
    let on = |kind| signal(kind).map_err(failed("waiting for signals", "signal"));
    let (mut term, mut int) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    let mut hup = on(SignalKind::hangup())?;
    let stage = stage.clone();
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            _ = hup.recv() => {}
            () = stage.stopping() => {}
        }
        stage.stop();
    })
}

async fn bind(port: u16) -> Result<TcpListener, DaemonError> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(DaemonError::PortTaken { port }),
        other => other.map_err(failed("listening", format!("127.0.0.1:{port}"))),
    }
}

fn refuse_beside_the_original(run_file: &Utf8Path) -> Result<(), DaemonError> {
    let Ok(Found::Original { pid, port }) = RunFile::read(run_file) else {
        return Ok(());
    };
    // Its file alone is a leftover; its process is a daemon that watches the same repositories.
    if process::identify(pid)
        .map_err(failed("looking for the original's daemon", "/proc"))?
        .is_some()
    {
        return Err(DaemonError::Original {
            pid,
            port,
            run_file: run_file.to_owned(),
        });
    }
    Ok(())
}

fn own_program() -> Result<Utf8PathBuf, DaemonError> {
    let path = std::env::current_exe().map_err(failed("looking for our own program", "/proc/self/exe"))?;
    Utf8PathBuf::try_from(path)
        .map_err(|error| failed("reading our own path", "/proc/self/exe")(error.into_io_error()))
}

fn fresh_token() -> Result<String, DaemonError> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| failed("making a token", "getrandom")(io::Error::other(error)))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn log_to_stderr(filter: &str) {
    use tracing_subscriber::EnvFilter;
    // The filter was checked with the rest of the environment.
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(false)
        // A line that nobody takes (full disk, closed pipe) is lost; saying so on the same stderr would be a panic.
        .log_internal_errors(false)
        .init();
}
