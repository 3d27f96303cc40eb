//! The runtime `zellij`: each run in a zellij session of its own, where a person can look at it.
//!
//! # Theory of operation
//! The session has one pane, and in it our [`launcher`] starts the same holder that the built-in runtime has, and shows
//! what that shows. Everything the port asks goes to the holder, so everything a holder promises is so here too: exact
//! ends, looks that cost nothing, texts that are typed after a look at the screen. zellij is asked twice in a run's
//! life, when it begins and when it is removed; it is a window, and nothing depends on it.
//!
//! A session and its server are found again by name alone (`place`): a run that was half made is removed and made
//! anew. A window that somebody closed (`zellij kill-session`, a killed server) is not opened again: the agent runs
//! on, is looked at and typed to as before, and `ao attach` shows it.
//!
//! # What it does not do
//! It uses no session, no socket directory, no config and no cache of the user's own zellij, and ends no session but the one
//! with exactly its own name. It does not draw: a person's zellij does, with our config, in which one key is zellij's
//! (Ctrl-Q leaves) and all others are the agent's.

mod config;
mod hand_over;
mod last_pane;
pub mod launcher;
mod place;
mod program;
mod session;

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::time::Duration;

use ao_domain::port::PortFuture;
use ao_domain::port::runtime::{RuntimeError, RuntimeRef, Stray};
use ao_domain::shell_word;
use camino::{Utf8Path, Utf8PathBuf};

use self::hand_over::Offer;
use self::place::Place;
use self::program::{FOLDERS, Program};
use self::session::Session;
use super::holder::files::{RunDir, io_error};
use super::holder::{Around, Runs, Start};
use crate::logout::Scope;

/// Its name, and that of the folder of its runs in the data directory.
pub const NAME: &str = "zellij";

/// The folder of a run that zellij's own files are in.
const FOLDER: &str = "zellij";

/// Within what the launcher has to come for its run once zellij says that the session is there.
const LAUNCH: Duration = Duration::from_secs(5);

/// Where runs lie, and how a session is made.
#[derive(Clone, Debug)]
pub struct ZellijConfig {
    /// The directory of all runs, made when needed: `<data dir>/zellij`.
    pub root: Utf8PathBuf,
    /// Where sockets lie, with a short path: see [`sockets`].
    pub sockets: Utf8PathBuf,
    /// Where the sockets of the user's own zellij lie, to tell what there only looks like ours: see [`sockets_of_user`].
    pub others: Vec<Utf8PathBuf>,
    /// `zellij`: its name on `path`, or where it is.
    pub zellij: Utf8PathBuf,
    /// The daemon's `PATH`.
    pub path: OsString,
    /// The program that runs in the pane: `ao` by a path that stays.
    pub launcher: Utf8PathBuf,
    /// What makes it a launcher: `run-agent`. The run's directory and the offer's name are added.
    pub leading_args: Vec<String>,
    /// What starts the server, and with it launcher and holder, where the end of a login does not reach them.
    pub scope: Scope,
}

/// Where sockets lie: a place for this user with a path so short that a socket's fits, whatever the data directory's
/// is.
pub fn sockets() -> Utf8PathBuf {
    format!("/tmp/ao-zellij-{}", rustix::process::geteuid().as_raw()).into()
}

/// Where the user's own zellij keeps its sockets, in an environment of which `variable` tells the variables.
pub fn sockets_of_user<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Vec<Utf8PathBuf> {
    let own = variable("ZELLIJ_SOCKET_DIR").map(Utf8PathBuf::from);
    let of_login = variable("XDG_RUNTIME_DIR").map(|dir| Utf8Path::new(dir).join(NAME));
    let temp = Utf8Path::new(variable("TMPDIR").unwrap_or("/tmp"));
    let common = temp.join(format!("zellij-{}", rustix::process::geteuid().as_raw()));
    own.into_iter().chain(of_login).chain([common]).collect()
}

/// The runtime over the runs below `config.root`. Touches nothing.
pub fn runtime(config: ZellijConfig) -> Runs {
    let root = config.root.clone();
    Runs::new(root, Windows { config })
}

/// The command line that shows a run in the zellij of whoever types it, with our config: in it one key is zellij's.
pub fn attach_command(sockets: &Utf8Path, root: &Utf8Path, at: &RuntimeRef) -> String {
    let place = Place::of(sockets, root, at);
    let own = Own::of(&RunDir::of(root, at));
    format!(
        "ZELLIJ_SOCKET_DIR={} zellij --config-dir {} attach {}",
        shell_word(place.sockets.as_str()),
        shell_word(own.config().as_str()),
        place.name
    )
}

/// zellij's files for one run, among the run's own.
#[derive(Clone, Debug)]
struct Own(Utf8PathBuf);

impl Own {
    fn of(dir: &RunDir) -> Self {
        Self(dir.file(FOLDER))
    }

    fn config(&self) -> Utf8PathBuf {
        self.0.join("config")
    }

    fn layout(&self) -> Utf8PathBuf {
        self.0.join("layout.kdl")
    }

    fn make(&self) -> io::Result<()> {
        for (_, folder) in FOLDERS {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(self.0.join(folder))?;
        }
        Ok(())
    }

    fn write(&self, layout: &str) -> io::Result<()> {
        let write = |path: &Utf8Path, text: &str| {
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)?
                .write_all(text.as_bytes())
        };
        write(&self.config().join("config.kdl"), config::CONFIG)?;
        write(&self.layout(), layout)
    }
}

/// A zellij session around each holder.
#[derive(Debug)]
struct Windows {
    config: ZellijConfig,
}

impl Windows {
    fn place(&self, at: &RuntimeRef) -> Place {
        Place::of(&self.config.sockets, &self.config.root, at)
    }

    fn zellij(&self, own: &Own) -> Program {
        Program {
            name: self.config.zellij.clone(),
            path: self.config.path.clone(),
            own: own.0.clone(),
            scope: self.config.scope.clone(),
        }
    }

    /// What the launcher of the run in `dir` is told by.
    fn runs<'a>(&'a self, dir: &'a RunDir) -> Vec<&'a str> {
        let leading = self.config.leading_args.iter().map(String::as_str);
        leading.chain([dir.path().as_str()]).collect()
    }

    async fn open(&self, at: &RuntimeRef, dir: &RunDir, with: Start) -> Result<(), RuntimeError> {
        let (place, own) = (self.place(at), Own::of(dir));
        let zellij = self.zellij(&own);
        own.make().map_err(io_error("making zellij's folders", &own.0))?;
        zellij.check().await?;
        let runs = self.runs(dir);
        let session = Session {
            zellij: &zellij,
            place: &place,
            launcher: &runs,
        };
        session.remove().await?; // of an attempt that was cut short
        place
            .make()
            .map_err(io_error("making zellij's socket directory", &place.sockets))?;
        let offer = Offer::make(dir).map_err(io_error("making the launcher's socket", dir.path()))?;
        let words = [
            &[self.config.launcher.as_str()],
            &runs[..],
            &[offer.name.as_str()],
        ]
        .concat();
        own.write(&config::layout(&words))
            .map_err(io_error("writing zellij's files", &own.0))?;
        let (settings, layout) = (own.config(), own.layout());
        let made = zellij
            .call_in_scope(
                &[
                    "--config-dir",
                    settings.as_str(),
                    "attach",
                    "--create-background",
                    &place.name,
                    "options",
                    "--default-layout",
                    layout.as_str(),
                ],
                &place,
            )
            .await
            .map_err(|error| zellij.not_started(error.to_string()))?;
        if !made.status.success() {
            return Err(zellij.not_started(format!("{}: {}", made.status, made.text.trim())));
        }
        match tokio::time::timeout(LAUNCH, offer.hand_over(with)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(zellij.not_started(format!("handing the run over: {error}"))),
            Err(_) => Err(zellij.not_started(format!(
                "it did not run `{}` in its pane within {} s",
                words.join(" "),
                LAUNCH.as_secs()
            ))),
        }
    }
}

impl Around for Windows {
    fn name(&self) -> &'static str {
        NAME
    }

    fn program(&self) -> String {
        self.config.launcher.to_string()
    }

    fn start<'a>(
        &'a self,
        at: &'a RuntimeRef,
        dir: &'a RunDir,
        with: Start,
    ) -> PortFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.open(at, dir, with))
    }

    fn clear<'a>(&'a self, at: &'a RuntimeRef) -> PortFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async move {
            let dir = RunDir::of(&self.config.root, at);
            let session = Session {
                zellij: &self.zellij(&Own::of(&dir)),
                place: &self.place(at),
                launcher: &self.runs(&dir),
            };
            session.remove().await
        })
    }

    fn strays(&self, runs: &[RuntimeRef]) -> Result<Vec<Stray>, RuntimeError> {
        let ZellijConfig {
            root,
            sockets,
            others,
            ..
        } = &self.config;
        place::strays(sockets, root, runs, others).map_err(io_error("looking for zellij sessions", sockets))
    }
}
