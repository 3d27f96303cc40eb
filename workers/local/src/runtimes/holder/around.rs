//! What differs between runtimes: who starts a holder, and what stands around it.

use std::fmt;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use ao_domain::port::PortFuture;
use ao_domain::port::runtime::{RuntimeError, RuntimeRef, Stray};
use camino::Utf8Path;

use super::files::RunDir;

/// What a holder is started with. Whoever has none of it left has nothing of the run any more.
#[derive(Debug)]
pub(in crate::runtimes) struct Start {
    /// The run's lock: its standard input.
    pub(in crate::runtimes) lock: OwnedFd,
    /// Where it says its one line: its standard output.
    pub(in crate::runtimes) said: OwnedFd,
    /// Where it complains: its standard error.
    pub(in crate::runtimes) log: OwnedFd,
}

/// Starts holders, and keeps what it puts around them.
pub(in crate::runtimes) trait Around: fmt::Debug + Send + Sync + 'static {
    /// The runtime's name.
    fn name(&self) -> &'static str;

    /// The program that is started, for people.
    fn program(&self) -> String;

    /// Has a holder started for the run, whose lock the caller has. Resolves when it is started, or can no longer be
    /// by this call; what it says comes by the pipe.
    ///
    /// # Errors
    /// Nothing was started.
    fn start<'a>(
        &'a self,
        at: &'a RuntimeRef,
        dir: &'a RunDir,
        with: Start,
    ) -> PortFuture<'a, Result<(), RuntimeError>>;

    /// Takes away what stands around the run, whose holder has ended. Safe to repeat; fine if nothing is there.
    fn clear<'a>(&'a self, at: &'a RuntimeRef) -> PortFuture<'a, Result<(), RuntimeError>>;

    /// What has a name as this gives it and stands around none of `runs`.
    fn strays(&self, runs: &[RuntimeRef]) -> Result<Vec<Stray>, RuntimeError>;
}

/// The process that becomes the holder of the run in `dir`.
pub(in crate::runtimes) fn command(
    executable: &Utf8Path,
    leading: &[impl AsRef<std::ffi::OsStr>],
    dir: &Utf8Path,
    with: Start,
) -> std::process::Command {
    use std::os::unix::process::CommandExt as _;
    #[expect(
        clippy::disallowed_methods,
        reason = "the holder is started here; it ends by itself and is found by its files"
    )]
    let mut command = std::process::Command::new(executable);
    command
        .arg0("ao") // what `ps` shows; the executable may be named as this process's own image
        .args(leading)
        .arg(dir)
        .env_clear()
        .stdin(Stdio::from(with.lock))
        .stdout(Stdio::from(with.said))
        .stderr(Stdio::from(with.log));
    command
}
