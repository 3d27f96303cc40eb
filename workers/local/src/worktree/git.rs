//! What every git is started with, so that it says the same everywhere and asks nobody.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::process::Command;

/// What git would take from the daemon's surroundings, such as from a hook or a `git rebase --exec` it was started in.
const FOREIGN: [&str; 34] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_ATTR_SOURCE",
    "GIT_AUTHOR_DATE",
    "GIT_AUTHOR_EMAIL",
    "GIT_AUTHOR_NAME",
    "GIT_COMMITTER_DATE",
    "GIT_COMMITTER_EMAIL",
    "GIT_COMMITTER_NAME",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DEFAULT_REF_FORMAT",
    "GIT_DIR",
    "GIT_EDITOR",
    "GIT_EXTERNAL_DIFF",
    "GIT_GLOB_PATHSPECS",
    "GIT_GRAFT_FILE",
    "GIT_ICASE_PATHSPECS",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INDEX_VERSION",
    "GIT_LITERAL_PATHSPECS",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REFLOG_ACTION",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_TRACE",
    "GIT_WORK_TREE",
    "SSH_ASKPASS",
];

/// What holds for every git, whatever the repository says. Other sessions' gits change refs at the same time; a second,
/// which is git's own patience with their locks, is short on a machine that is busy.
const SETTINGS: [&str; 4] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.filesRefLockTimeout=10000",
    "core.packedRefsTimeout=10000",
];

/// How git is found and run.
#[derive(Clone, Debug)]
pub(super) struct Git {
    program: PathBuf,
    path: OsString,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) deadline: Duration,
}

/// One git, put together and not started yet; `run` starts it.
pub(super) struct Call {
    pub(super) verb: &'static str,
    pub(super) dir: Utf8PathBuf,
    pub(super) command: Command,
    pub(super) deadline: Duration,
}

impl Git {
    /// The git that is first on `path`, looked up once: a name without a path costs the daemon a `fork` at every start,
    /// where a path needs none.
    pub(super) fn on(path: OsString, deadline: Duration) -> Self {
        let found = std::env::split_paths(&path).map(|folder| folder.join("git"));
        let program = found
            .into_iter()
            .find(|file| file.is_absolute() && file.is_file());
        Self {
            program: program.unwrap_or_else(|| PathBuf::from("git")), // then starting it says what is missing
            path,
            env: Vec::new(),
            deadline,
        }
    }

    /// `git <verb>` in `dir`.
    pub(super) fn call(&self, dir: &Utf8Path, verb: &'static str) -> Call {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place git is started: with a deadline and a group of its own"
        )]
        let mut command = Command::new(&self.program);
        for name in FOREIGN {
            command.env_remove(name);
        }
        command
            .env("PATH", &self.path)
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "false")
            .env("SSH_ASKPASS_REQUIRE", "never")
            .env("GIT_PAGER", "cat")
            // Where the repository at `dir` is gone, one that `dir` happens to lie in is not meant.
            .env("GIT_CEILING_DIRECTORIES", dir.parent().unwrap_or(dir))
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .arg("--no-pager")
            .args(SETTINGS.iter().flat_map(|setting| ["-c", setting]))
            .arg(verb)
            .current_dir(dir)
            .process_group(0);
        Call {
            verb,
            dir: dir.to_owned(),
            command,
            deadline: self.deadline,
        }
    }
}

impl Call {
    pub(super) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(super) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    pub(super) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Overrides settings of the repository and the person.
    pub(super) fn settings(mut self, settings: &[(&str, &str)]) -> Self {
        self.command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (n, (key, value)) in settings.iter().enumerate() {
            self.command.env(format!("GIT_CONFIG_KEY_{n}"), key);
            self.command.env(format!("GIT_CONFIG_VALUE_{n}"), value);
        }
        self
    }

    /// Allows `times` the usual time.
    pub(super) fn patient(mut self, times: u32) -> Self {
        self.deadline *= times;
        self
    }
}
