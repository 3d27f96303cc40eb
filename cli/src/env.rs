//! The environment, read here and nowhere else, before anything starts.
//!
//! Every bad value is reported at once ([`BadEnv`]), and only to a command that uses it: `ao stop` does not mind a
//! malformed `AO_REQUEST_TIMEOUT`. An empty value is as good as none.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use crate::duration;

/// The port of the original, so that what was told to talk to it finds us.
const PORT: u16 = 3001;
/// How long a write waits for the facts to get there before it is answered as it stands.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long open connections may take to end at a stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// The agent of a spawn that names none.
const AGENT: &str = "claude-code";
/// The runtime of a spawn that names none.
const RUNTIME: &str = "pty";
/// A launch keeps a core busy for a moment, with a checkout and an agent's start: more at once make none of them faster.
const LAUNCHES: u32 = 4;
/// MiB; an idle agent of the larger kind takes about as much.
const FREE_MEMORY: u64 = 256;
/// Runtimes that this build has.
const RUNTIMES: &[&str] = &["pty", "zellij"];
/// How often a pull request is looked at of which much is to be expected: the budget table holds for this one.
const TICK: Duration = Duration::from_secs(30);
/// How long an agent is asked nothing that has met the end of its quota and does not say when there is some again.
const WALL_RETRY: Duration = Duration::from_secs(15 * 60);
/// What is logged: facts that change, and what needs a person.
const LOG: &str = "info,sea_orm_migration=warn";

/// Variables that describe one session; a daemon that was started from inside a session must not hand them on.
const OF_A_SESSION: &[&str] = &[
    "AO_SESSION_ID",
    "AO_PROJECT_ID",
    "AO_ISSUE_ID",
    "AO_GENERATION",
    "AO_LAUNCH_SECRET",
];

/// Everything that can be set, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `AO_PORT`: where the API listens on 127.0.0.1; 0 takes any free port, and the run file says which.
    pub port: u16,
    /// `AO_REQUEST_TIMEOUT`: how long a write waits for the facts before it is answered as it stands.
    pub request_timeout: Duration,
    /// `AO_SHUTDOWN_TIMEOUT`: how long open connections may take to end at a stop.
    pub shutdown_timeout: Duration,
    /// `AO_AGENT`: the agent of a spawn that names none; whether it exists is checked at the spawn.
    pub agent: String,
    /// `AO_RUN_FILE`: where the daemon says how to reach it; absolute.
    pub run_file: Utf8PathBuf,
    /// `AO_DATA_DIR`: everything durable; absolute.
    pub data_dir: Utf8PathBuf,
    /// `AO_RUNTIME`: what holds the terminals.
    pub runtime: String,
    /// `AO_MAX_SESSIONS`: how many sessions may run at once, the others wait; 0 is without limit.
    pub max_sessions: u32,
    /// `AO_MAX_LAUNCHES`: how many sessions may come up at the same time, the others wait; 0 is without limit.
    pub max_launches: u32,
    /// `AO_MIN_FREE_MEMORY`: how many MiB of memory have to be free before another session comes up; 0 asks for none.
    pub min_free_memory: u64,
    /// `AO_AUTORESTORE`: whether sessions come back by themselves that a restart of the machine ended.
    pub autorestore: bool,
    /// `AO_DISPOSABLE`: patterns of ignored files that may go with a worktree, on top of known build folders.
    pub disposable: Vec<String>,
    /// `AO_FORGE_TICK`: the shortest time between two looks at a pull request that nothing asked for; all others are multiples of it.
    pub tick: Duration,
    /// `AO_WALL_RETRY`: for how long an agent is asked nothing whose quota is used up and that does not say until when.
    pub wall_retry: Duration,
    /// `AO_CHAOS`: whether children may be crashed and hung by request.
    pub chaos: bool,
    /// `AO_LOG`: a tracing filter.
    pub log: String,
    /// The environment that sessions start from: our own without what describes one session. Variables that are not
    /// UTF-8 are left out: no launch record could hold them.
    pub inherited: Vec<(String, String)>,
}

/// The two paths by which a daemon is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// See [`Config::run_file`].
    pub run_file: Utf8PathBuf,
    /// See [`Config::data_dir`].
    pub data_dir: Utf8PathBuf,
}

impl Places {
    /// Where the output of a daemon goes that `ao start` started.
    pub fn log_file(&self) -> Utf8PathBuf {
        self.run_file.with_file_name("daemon.log")
    }
}

/// What a session's environment says about it, for `ao hooks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    /// `AO_SESSION_ID`.
    pub session: String,
    /// `AO_GENERATION`.
    pub generation: Option<String>,
    /// `AO_LAUNCH_SECRET`.
    pub secret: Option<String>,
}

/// One variable that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadVariable {
    /// Its name.
    pub name: &'static str,
    /// What it is set to.
    pub value: String,
    /// What would be right, in words.
    pub wanted: String,
}

/// Variables that cannot be used: all of them, one line each. Nothing was started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct BadEnv(pub Vec<BadVariable>);

impl fmt::Display for BadEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, bad) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{} is `{}`: wanted is {}", bad.name, bad.value, bad.wanted)?;
        }
        Ok(())
    }
}

/// The environment as it was when the program started.
#[derive(Clone, Debug)]
pub struct Env {
    vars: BTreeMap<OsString, OsString>,
    /// The working directory; `None` when it was removed under us or is not UTF-8.
    cwd: Option<Utf8PathBuf>,
}

impl Env {
    /// This process's own.
    pub fn of_process() -> Self {
        let cwd = std::env::current_dir()
            .ok()
            .and_then(|dir| Utf8PathBuf::from_path_buf(dir).ok());
        Self {
            vars: std::env::vars_os().collect(),
            cwd,
        }
    }

    /// The working directory, where it is known.
    pub fn cwd(&self) -> Option<&Utf8Path> {
        self.cwd.as_deref()
    }

    /// The session this process runs in, where the environment names one.
    pub fn session(&self) -> Option<String> {
        self.text("AO_SESSION_ID")
            .map(|id| id.trim().to_owned())
            .filter(|id| !id.is_empty())
    }

    /// What the environment says about the session this process runs in.
    pub fn inside(&self) -> Option<Inside> {
        Some(Inside {
            session: self.session()?,
            generation: self.text("AO_GENERATION"),
            secret: self.text("AO_LAUNCH_SECRET"),
        })
    }

    /// Whether `AO_CHAOS` shows what it enables; a bad value shows nothing and is reported by those who use it.
    pub fn shows_chaos(&self) -> bool {
        self.text("AO_CHAOS").as_deref() == Some("1")
    }

    /// Where GitHub is asked (`AO_GITHUB_API`).
    pub fn github_api(&self) -> String {
        self.text("AO_GITHUB_API")
            .unwrap_or_else(|| ao_github::API.to_owned())
    }

    /// Whether a shell asks what could come next (`ao completion`).
    pub fn asks_for_completion(&self) -> bool {
        self.text(crate::commands::completion::ASKED_BY).is_some()
    }

    /// Whether colours are unwanted (no-color.org).
    pub fn no_color(&self) -> bool {
        self.text("NO_COLOR").is_some() || self.text("TERM").as_deref() == Some("dumb")
    }

    /// `PATH`, empty where there is none.
    pub fn path(&self) -> OsString {
        self.vars
            .get(std::ffi::OsStr::new("PATH"))
            .cloned()
            .unwrap_or_default()
    }

    /// The paths by which a daemon is found.
    ///
    /// # Errors
    /// When one of them cannot be told; other variables are not looked at.
    pub fn places(&self) -> Result<Places, BadEnv> {
        let mut bad = Vec::new();
        let places = self.read_places(&mut bad);
        if bad.is_empty() {
            Ok(places)
        } else {
            Err(BadEnv(bad))
        }
    }

    /// Everything that can be set.
    ///
    /// # Errors
    /// Every variable that cannot be used.
    pub fn config(&self) -> Result<Config, BadEnv> {
        let mut bad = Vec::new();
        let places = self.read_places(&mut bad);
        let config = Config {
            port: self.read("AO_PORT", PORT, "a port from 1 to 65535, or 0 for any free one", &mut bad, |text| {
                text.parse().ok()
            }),
            request_timeout: self.duration("AO_REQUEST_TIMEOUT", REQUEST_TIMEOUT, &mut bad),
            shutdown_timeout: self.duration("AO_SHUTDOWN_TIMEOUT", SHUTDOWN_TIMEOUT, &mut bad),
            agent: self.read("AO_AGENT", AGENT.to_owned(), "the id of an agent", &mut bad, word),
            run_file: places.run_file,
            data_dir: places.data_dir,
            runtime: self.read(
                "AO_RUNTIME",
                RUNTIME.to_owned(),
                &format!("one of {}", RUNTIMES.join(", ")),
                &mut bad,
                |text| RUNTIMES.contains(&text).then(|| text.to_owned()),
            ),
            max_sessions: self.read("AO_MAX_SESSIONS", 0, "a number, 0 for no limit", &mut bad, |text| {
                text.trim().parse().ok()
            }),
            max_launches: self.read("AO_MAX_LAUNCHES", LAUNCHES, "a number, 0 for no limit", &mut bad, |text| {
                text.trim().parse().ok()
            }),
            min_free_memory: self.read(
                "AO_MIN_FREE_MEMORY",
                FREE_MEMORY,
                "a number of MiB, 0 for none",
                &mut bad,
                |text| text.trim().parse().ok(),
            ),
            autorestore: self.read("AO_AUTORESTORE", false, "1 or 0", &mut bad, one_or_none),
            disposable: self.read(
                "AO_DISPOSABLE",
                Vec::new(),
                "names or patterns of ignored files, separated by commas, without a leading `/` and without `..`",
                &mut bad,
                patterns,
            ),
            tick: self.duration("AO_FORGE_TICK", TICK, &mut bad),
            wall_retry: self.duration("AO_WALL_RETRY", WALL_RETRY, &mut bad),
            chaos: self.read("AO_CHAOS", false, "1 or 0", &mut bad, one_or_none),
            log: self.read(
                "AO_LOG",
                LOG.to_owned(),
                "a filter such as `info` or `info,ao_act=debug`",
                &mut bad,
                |text| {
                    tracing_subscriber::EnvFilter::try_new(text)
                        .ok()
                        .map(|_| text.to_owned())
                },
            ),
            inherited: self.inherited(),
        };
        if bad.is_empty() {
            Ok(config)
        } else {
            Err(BadEnv(bad))
        }
    }

    /// What sessions inherit: every variable that is text, but for those that say which session one is in.
    pub fn inherited(&self) -> Vec<(String, String)> {
        self.vars
            .iter()
            .filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value.to_str()?.to_owned())))
            .filter(|(name, _)| !OF_A_SESSION.contains(&name.as_str()))
            .collect()
    }

    fn read_places(&self, bad: &mut Vec<BadVariable>) -> Places {
        Places {
            run_file: self.place("AO_RUN_FILE", "running.json", bad),
            data_dir: self.place("AO_DATA_DIR", "data", bad),
        }
    }

    /// The value as text, where it is set, not empty, and text.
    pub fn text(&self, name: &str) -> Option<String> {
        let value = self.vars.get(std::ffi::OsStr::new(name))?.to_str()?;
        (!value.is_empty()).then(|| value.to_owned())
    }

    fn read<T>(
        &self,
        name: &'static str,
        default: T,
        wanted: &str,
        bad: &mut Vec<BadVariable>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> T {
        let Some(value) = self
            .vars
            .get(std::ffi::OsStr::new(name))
            .filter(|value| !value.is_empty())
        else {
            return default;
        };
        match value.to_str().and_then(parse) {
            Some(value) => value,
            None => {
                bad.push(BadVariable {
                    name,
                    value: value.to_string_lossy().into_owned(),
                    wanted: wanted.to_owned(),
                });
                default
            }
        }
    }

    fn duration(&self, name: &'static str, default: Duration, bad: &mut Vec<BadVariable>) -> Duration {
        self.read(
            name,
            default,
            "a time above zero such as 1m30s, 1.5s or 250ms",
            bad,
            |text| duration::parse(text).ok(),
        )
    }

    fn place(&self, name: &'static str, file: &str, bad: &mut Vec<BadVariable>) -> Utf8PathBuf {
        let set = self
            .vars
            .get(std::ffi::OsStr::new(name))
            .filter(|value| !value.is_empty());
        let (found, wanted) = match set {
            Some(value) => (
                value.to_str().and_then(|text| self.absolute(Utf8Path::new(text))),
                "a path in UTF-8 that can be made absolute",
            ),
            None => (
                self.user_config_dir()
                    .map(|dir| dir.join("agent-orchestrator").join(file)),
                "a path, because neither XDG_CONFIG_HOME nor HOME is an absolute one",
            ),
        };
        found.unwrap_or_else(|| {
            bad.push(BadVariable {
                name,
                value: set
                    .map(|value| value.to_string_lossy().into_owned())
                    .unwrap_or_default(),
                wanted: wanted.to_owned(),
            });
            Utf8PathBuf::new()
        })
    }

    fn user_config_dir(&self) -> Option<Utf8PathBuf> {
        #[cfg(target_os = "macos")]
        let dir = self
            .home()
            .map(|home| home.join("Library").join("Application Support"));
        #[cfg(not(target_os = "macos"))]
        let dir = match self.text("XDG_CONFIG_HOME") {
            Some(dir) => Some(Utf8PathBuf::from(dir)).filter(|dir| dir.is_absolute()),
            None => self.home().map(|home| home.join(".config")),
        };
        dir
    }

    fn home(&self) -> Option<Utf8PathBuf> {
        self.text("HOME")
            .map(Utf8PathBuf::from)
            .filter(|home| home.is_absolute())
    }

    /// `path` from the root on: `~` is the home, anything relative starts at the working directory. So that a daemon,
    /// a session and a person in different directories mean the same file.
    pub fn absolute(&self, path: &Utf8Path) -> Option<Utf8PathBuf> {
        let whole = if let Ok(rest) = path.strip_prefix("~") {
            self.home()?.join(rest)
        } else if path.is_absolute() {
            path.to_owned()
        } else {
            self.cwd.as_ref()?.join(path)
        };
        // `.` and doubled slashes go; `..` stays, because what it means depends on symlinks.
        Some(whole.components().collect())
    }
}

fn one_or_none(text: &str) -> Option<bool> {
    match text.trim() {
        "1" => Some(true),
        "0" => Some(false),
        _ => None,
    }
}

fn word(text: &str) -> Option<String> {
    let text = text.trim();
    let legal = !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    legal.then(|| text.to_owned())
}

fn patterns(text: &str) -> Option<Vec<String>> {
    let patterns: Vec<String> = text
        .split(',')
        .map(str::trim)
        .filter(|pattern| !pattern.is_empty())
        .map(str::to_owned)
        .collect();
    let legal = |pattern: &String| {
        !pattern.starts_with('/') && !Utf8Path::new(pattern).components().any(|c| c.as_str() == "..")
    };
    patterns.iter().all(legal).then_some(patterns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(vars: &[(&str, &str)]) -> Env {
        Env {
            vars: vars
                .iter()
                .map(|(name, value)| (OsString::from(name), OsString::from(value)))
                .collect(),
            cwd: Some(Utf8PathBuf::from("/somewhere/here")),
        }
    }

    #[test]
    fn defaults_are_those_of_the_original() {
        let config = env(&[("HOME", "/home/ada"), ("AO_PORT", "")]).config().unwrap();
        assert_eq!(config.port, 3001);
        assert_eq!(config.request_timeout, Duration::from_secs(60));
        assert_eq!(config.shutdown_timeout, Duration::from_secs(10));
        assert_eq!(config.wall_retry, Duration::from_secs(900));
        assert_eq!(config.agent, "claude-code");
        assert_eq!(config.runtime, "pty");
        assert_eq!(config.max_sessions, 0);
        assert_eq!(
            (config.max_launches, config.min_free_memory, config.autorestore),
            (4, 256, false)
        );
        assert!(config.disposable.is_empty() && !config.chaos);
        assert_eq!(config.log, "info,sea_orm_migration=warn");
        #[cfg(not(target_os = "macos"))]
        {
            assert_eq!(
                config.run_file,
                "/home/ada/.config/agent-orchestrator/running.json"
            );
            assert_eq!(config.data_dir, "/home/ada/.config/agent-orchestrator/data");
            let elsewhere = env(&[("HOME", "/home/ada"), ("XDG_CONFIG_HOME", "/cfg")]);
            assert_eq!(
                elsewhere.config().unwrap().data_dir,
                "/cfg/agent-orchestrator/data"
            );
        }
    }

    #[test]
    fn all_bad_values_are_named_at_once() {
        let bad = env(&[
            ("HOME", "/home/ada"),
            ("AO_PORT", "70000"),
            ("AO_REQUEST_TIMEOUT", "soon"),
            ("AO_SHUTDOWN_TIMEOUT", "0s"),
            ("AO_AGENT", "two words"),
            ("AO_RUNTIME", "screen"),
            ("AO_MAX_SESSIONS", "-1"),
            ("AO_DISPOSABLE", "ok,../no"),
            ("AO_WALL_RETRY", "0s"),
            ("AO_CHAOS", "maybe"),
            ("AO_LOG", "a=b=c"),
        ])
        .config()
        .unwrap_err();
        expect_test::expect![[r#"
            AO_PORT is `70000`: wanted is a port from 1 to 65535, or 0 for any free one
            AO_REQUEST_TIMEOUT is `soon`: wanted is a time above zero such as 1m30s, 1.5s or 250ms
            AO_SHUTDOWN_TIMEOUT is `0s`: wanted is a time above zero such as 1m30s, 1.5s or 250ms
            AO_AGENT is `two words`: wanted is the id of an agent
            AO_RUNTIME is `screen`: wanted is one of pty, zellij
            AO_MAX_SESSIONS is `-1`: wanted is a number, 0 for no limit
            AO_DISPOSABLE is `ok,../no`: wanted is names or patterns of ignored files, separated by commas, without a leading `/` and without `..`
            AO_WALL_RETRY is `0s`: wanted is a time above zero such as 1m30s, 1.5s or 250ms
            AO_CHAOS is `maybe`: wanted is 1 or 0
            AO_LOG is `a=b=c`: wanted is a filter such as `info` or `info,ao_act=debug`"#]]
        .assert_eq(&bad.to_string());
    }

    #[test]
    fn a_bad_value_does_not_stop_who_does_not_use_it() {
        let env = env(&[("HOME", "/home/ada"), ("AO_PORT", "notaport"), ("AO_CHAOS", "x")]);
        assert!(env.places().is_ok());
        assert!(env.config().is_err());
    }

    #[test]
    fn paths_are_absolute_and_tilde_is_the_home() {
        let env = env(&[
            ("HOME", "/home/ada"),
            ("AO_RUN_FILE", "~/run.json"),
            ("AO_DATA_DIR", "./data//x"),
        ]);
        let places = env.places().unwrap();
        assert_eq!(places.run_file, "/home/ada/run.json");
        assert_eq!(places.data_dir, "/somewhere/here/data/x");
        assert_eq!(places.log_file(), "/home/ada/daemon.log");
    }

    #[test]
    fn no_home_is_reported_for_both_paths() {
        let bad = env(&[("HOME", "not/absolute")]).places().unwrap_err();
        assert_eq!(bad.0.len(), 2, "{bad}");
        let one = env(&[("AO_DATA_DIR", "/d")]).places().unwrap_err();
        assert_eq!(one.0.len(), 1, "{one}");
        assert!(
            env(&[("AO_DATA_DIR", "/d"), ("AO_RUN_FILE", "/r")])
                .places()
                .is_ok()
        );
    }

    #[test]
    fn ports_and_limits() {
        let of = |name, value| env(&[("HOME", "/h"), (name, value)]).config();
        for bad in ["65536", "-1", " 80", "abc", "0x50"] {
            assert!(of("AO_PORT", bad).is_err(), "{bad}");
        }
        assert_eq!(of("AO_PORT", "00080").unwrap().port, 80);
        assert_eq!(of("AO_PORT", "0").unwrap().port, 0);
        assert_eq!(of("AO_MAX_SESSIONS", "4").unwrap().max_sessions, 4);
        assert_eq!(of("AO_MAX_LAUNCHES", "2").unwrap().max_launches, 2);
        assert_eq!(of("AO_MIN_FREE_MEMORY", "1024").unwrap().min_free_memory, 1_024);
        assert!(of("AO_AUTORESTORE", "1").unwrap().autorestore);
        assert_eq!(
            of("AO_DISPOSABLE", " *.log , , .cache ").unwrap().disposable,
            ["*.log", ".cache"]
        );
        assert!(of("AO_CHAOS", "1").unwrap().chaos);
    }

    #[test]
    fn what_describes_a_session_is_not_handed_on() {
        let config = env(&[
            ("HOME", "/h"),
            ("AO_SESSION_ID", "web-1"),
            ("AO_LAUNCH_SECRET", "s"),
            ("KEEP", "me"),
        ])
        .config()
        .unwrap();
        let names: Vec<&str> = config.inherited.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["HOME", "KEEP"]);
    }
}
