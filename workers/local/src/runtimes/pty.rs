//! The built-in runtime: nothing but a holder, started by whoever creates the run.

use ao_domain::port::PortFuture;
use ao_domain::port::runtime::{RuntimeError, RuntimeRef, Stray};
use camino::{Utf8Path, Utf8PathBuf};
use tokio::process::Command;

use super::holder::files::RunDir;
use super::holder::{Around, Runs, Start, command};
use crate::logout::Scope;

/// Its name, and that of the folder of its runs in the data directory.
pub const NAME: &str = "pty";

/// Where runs lie and how a holder is started.
#[derive(Clone, Debug)]
pub struct PtyConfig {
    /// The directory of all runs, made when needed: `<data dir>/pty`.
    pub root: Utf8PathBuf,
    /// The program that holds: `ao` itself.
    pub executable: Utf8PathBuf,
    /// What makes it a holder: `pty-host`. The run's directory is added.
    pub leading_args: Vec<String>,
    /// What starts it where the end of a login does not reach it.
    pub scope: Scope,
}

/// The built-in runtime over the runs below `config.root`. Touches nothing.
pub fn runtime(config: PtyConfig) -> Runs {
    let bare = Bare {
        executable: config.executable,
        leading_args: config.leading_args,
        scope: config.scope,
    };
    Runs::new(config.root, bare)
}

/// Nothing stands around a holder.
#[derive(Debug)]
struct Bare {
    executable: Utf8PathBuf,
    leading_args: Vec<String>,
    scope: Scope,
}

impl Around for Bare {
    fn name(&self) -> &'static str {
        NAME
    }

    fn program(&self) -> String {
        self.executable.to_string()
    }

    fn start<'a>(
        &'a self,
        _at: &'a RuntimeRef,
        dir: &'a RunDir,
        with: Start,
    ) -> PortFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async move {
            let mut command = match self.scope.words.split_first() {
                None => Command::from(command(&self.executable, &self.leading_args, dir.path(), with)),
                Some((first, words)) => {
                    // What it becomes is named as an image of this process: its own would be the program in between.
                    let image = if self.executable == "/proc/self/exe" {
                        format!("/proc/{}/exe", std::process::id())
                    } else {
                        self.executable.to_string()
                    };
                    let words = words
                        .iter()
                        .chain(std::iter::once(&image))
                        .chain(&self.leading_args);
                    let words: Vec<&String> = words.collect();
                    let mut command = Command::from(command(Utf8Path::new(first), &words, dir.path(), with));
                    command.envs(self.scope.env.iter().map(|(name, value)| (name, value)));
                    command
                }
            };
            command.kill_on_drop(false);
            // Dropped, the child is reaped by the runtime when it ends; it is never signalled.
            match command.spawn() {
                Ok(_) => Ok(()),
                Err(error) => Err(RuntimeError::NotStarted {
                    program: self.program(),
                    reason: error.to_string(),
                }),
            }
        })
    }

    fn clear<'a>(&'a self, _at: &'a RuntimeRef) -> PortFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async { Ok(()) })
    }

    fn strays(&self, _runs: &[RuntimeRef]) -> Result<Vec<Stray>, RuntimeError> {
        Ok(Vec::new())
    }
}
