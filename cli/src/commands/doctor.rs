//! `ao doctor`: what keeps ao from working here, and what to do about it. Works without a daemon.

mod leftovers;
mod logout;

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, BufRead as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::process::Stdio;
use std::time::Duration;

use ao_api::wire::Gateway;
use ao_domain::port::agent::Agents as _;
use ao_domain::{Timestamp, chain};
use ao_facts::{DirLock, LockError, OpenError};
use ao_github::{Source, Token, WhoError};
use ao_local::agents::Registry;
use ao_local::runtimes::zellij;
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use crate::client::Daemon;
use crate::env::{Config, Env, Places};
use crate::error::CliError;
use crate::gateways::{self, Grade};
use crate::presence::{self, State};
use crate::render::{Out, Tone};

/// The oldest git whose `worktree list` takes `-z`.
const GIT: (u32, u32) = (2, 36);
/// How long a program may take to say its version.
const ASK: Duration = Duration::from_secs(2);
/// The host whose token is tried without a daemon.
const HOST: &str = "github.com";
/// How far back a failed hook is news.
const RECENT: Duration = Duration::from_secs(24 * 60 * 60);

/// Check what ao needs, and say what to do about what is missing
///
/// Works while the daemon is down and changes nothing but the data directory, which it makes where it is missing. Exits
/// with 1 when a check fails. A damaged database is moved aside with `--salvage`; at its next start the daemon adopts
/// live agents from their holders.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ao doctor\n  ao doctor --json\n  ao doctor --offline\n  ao doctor --salvage                           after the daemon refused a damaged database"
)]
pub(crate) struct DoctorArgs {
    /// Ask nobody outside this machine: the GitHub token is looked for, and not tried
    #[arg(long)]
    offline: bool,

    /// Move a damaged database aside, so that the daemon starts with a new one
    #[arg(long)]
    salvage: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Level {
    Pass,
    Warn,
    Fail,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "PASS",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        })
    }
}

#[derive(Debug, Serialize)]
struct Check {
    level: Level,
    section: &'static str,
    name: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    /// Everything of which the message names the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<String>,
}

impl Check {
    fn new(level: Level, section: &'static str, name: &'static str, message: impl Into<String>) -> Self {
        Self {
            level,
            section,
            name,
            // A check is one line, also where SQLite or git said more.
            message: message.into().replace('\n', "; "),
            remedy: None,
            details: Vec::new(),
        }
    }

    fn with(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    failures: usize,
    checks: Vec<Check>,
}

pub(crate) async fn run(args: &DoctorArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    if args.salvage {
        return salvage(&env.places()?, out).await;
    }
    let checks = match env.config() {
        Ok(config) => examine(&config, args, env).await,
        Err(bad) => vec![
            Check::new(Level::Fail, "Core", "config", bad.to_string())
                .with("set them right or leave them unset"),
        ],
    };
    let failures = checks.iter().filter(|check| check.level == Level::Fail).count();
    let report = Report {
        ok: failures == 0,
        failures,
        checks,
    };
    if out.is_json() {
        out.object(&report)?;
    } else {
        print(&report.checks, out)?;
    }
    if failures > 0 {
        return Err(CliError::Unhealthy { failures });
    }
    Ok(())
}

fn print(checks: &[Check], out: &mut Out) -> Result<(), CliError> {
    let mut section = "";
    for check in checks {
        if check.section != section {
            if !section.is_empty() {
                out.line("")?;
            }
            section = check.section;
            out.line(format!("{section}:"))?;
        }
        let tone = match check.level {
            Level::Pass => Tone::Good,
            Level::Warn => Tone::Warn,
            Level::Fail => Tone::Bad,
        };
        let level = out.paint(tone, check.level.to_string());
        out.line(format!("{level} {}: {}", check.name, check.message))?;
        if let Some(remedy) = &check.remedy {
            out.line(format!("     {remedy}"))?;
        }
    }
    Ok(())
}

async fn examine(config: &Config, args: &DoctorArgs, env: &Env) -> Vec<Check> {
    let places = Places {
        run_file: config.run_file.clone(),
        data_dir: config.data_dir.clone(),
    };
    let data = &config.data_dir;
    let mut checks = vec![Check::new(
        Level::Pass,
        "Core",
        "config",
        format!("run file {}, data {data}, port {}", config.run_file, config.port),
    )];
    let (daemon, pid) = daemon(&places, env).await;
    let runs = pid.is_some();
    let there = data_dir(data);
    let writable = there.level != Level::Fail;
    checks.push(there);
    if writable {
        checks.push(can_write(data));
        checks.push(database(data, runs).await);
    }
    checks.extend(original(data));
    checks.push(hooks_log(data, ao_local::clock::now()));
    checks.push(daemon);
    checks.push(git(env.path().as_os_str()).await);
    checks.push(runtime(config));
    checks.push(ao_binary(&env.path()));
    checks.push(zellij(config, &env.path()).await);
    checks.push(agent(config, env));
    checks.extend(agents(env).await);
    checks.push(github(args.offline, env).await);
    checks.push(logout::check(env, pid));
    if runs {
        checks.extend(hosts(&places, env).await);
        if let Ok(daemon) = Daemon::find(&places, env.session()) {
            checks.push(leftovers::check(&daemon).await);
        }
    }
    checks
}

fn data_dir(data: &Utf8Path) -> Check {
    let check = |level, message: String| Check::new(level, "Core", "data-dir", message);
    if let Err(error) = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
    {
        return check(Level::Fail, format!("`{data}` cannot be made: {error}"))
            .with("make it yourself, or name another with AO_DATA_DIR");
    }
    match std::fs::metadata(data) {
        Ok(meta) if meta.mode() & 0o077 != 0 => check(
            Level::Warn,
            format!(
                "`{data}` can be entered by others (mode {:03o})",
                meta.mode() & 0o777
            ),
        )
        .with(format!("chmod 700 {}", ao_domain::shell_word(data.as_str()))),
        Ok(_) => check(Level::Pass, data.to_string()),
        Err(error) => check(Level::Fail, format!("`{data}` cannot be looked at: {error}"))
            .with("name another with AO_DATA_DIR"),
    }
}

fn can_write(data: &Utf8Path) -> Check {
    let check = |level, message: String| Check::new(level, "Core", "data-dir-write", message);
    let path = data.join(format!(".ao-doctor-write-{}", std::process::id()));
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| {
            // A page, so that a full disk is noticed.
            io::Write::write_all(&mut file, &[b'.'; 4096])?;
            file.sync_all()
        });
    let removed = std::fs::remove_file(&path);
    match (written, removed) {
        (Ok(()), Ok(())) => check(Level::Pass, "a file can be written and removed".to_owned()),
        (Ok(()), Err(error)) => {
            check(Level::Warn, format!("`{path}` cannot be removed: {error}")).with("remove it yourself")
        }
        (Err(error), _) => check(Level::Fail, format!("`{path}` cannot be written: {error}"))
            .with("free space there, or set the rights of the directory"),
    }
}

/// The database is looked at only where no daemon works on it; that one has checked it at its start.
async fn database(data: &Utf8Path, runs: bool) -> Check {
    let check = |level, message: String| Check::new(level, "Core", "database", message);
    let path = data.join(ao_facts::DATABASE);
    let size = match std::fs::metadata(&path) {
        Ok(meta) => meta.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return check(Level::Pass, "not made yet: the first start makes it".to_owned());
        }
        Err(error) => {
            return check(Level::Fail, format!("`{path}` cannot be looked at: {error}"))
                .with("set the rights of the file");
        }
    };
    if runs {
        return check(Level::Pass, format!("{path}, {size} bytes, in use by the daemon"));
    }
    let lock = match DirLock::take(data) {
        Ok(lock) => lock,
        Err(error @ LockError::Held { .. }) => {
            return check(Level::Warn, format!("{path}, {size} bytes: {}", chain(&error)));
        }
        Err(error) => {
            return check(Level::Fail, chain(&error).to_string()).with("set the rights of the directory");
        }
    };
    let version = ao_facts::version(data).await;
    drop(lock);
    match version {
        Ok(version) => check(
            Level::Pass,
            format!("{path}, {size} bytes, version {}", version.unwrap_or_default()),
        ),
        Err(error @ OpenError::Newer { .. }) => {
            check(Level::Fail, chain(&error).to_string()).with("use the ao that wrote it, or a newer one")
        }
        Err(error @ OpenError::Damaged { .. }) => {
            check(Level::Fail, chain(&error).to_string()).with("ao doctor --salvage")
        }
        Err(error) => check(Level::Fail, chain(&error).to_string())
            .with("set the rights of the file, and see that the disk is sound"),
    }
}

fn original(data: &Utf8Path) -> Option<Check> {
    let path = ao_facts::go_original(data)?;
    Some(
        Check::new(
            Level::Warn,
            "Core",
            "original",
            format!(
                "`{path}` is the original ao's database; it is left alone, and nothing of it is taken over"
            ),
        )
        .with("register your repositories here: ao project add PATH"),
    )
}

fn hooks_log(data: &Utf8Path, now: Timestamp) -> Check {
    let check = |level, message: String| Check::new(level, "Core", "hooks-log", message);
    let path = data.join("hooks.log");
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return check(Level::Pass, "no callback of an agent has failed".to_owned());
        }
        Err(error) => return check(Level::Warn, format!("`{path}` cannot be read: {error}")),
    };
    let recent: Vec<String> = io::BufReader::new(file)
        .lines()
        .map_while(Result::ok)
        .filter(|line| {
            line.split(' ')
                .next()
                .and_then(|at| at.parse::<Timestamp>().ok())
                .is_some_and(|at| now.since(at) < RECENT)
        })
        .collect();
    match recent.last() {
        None => check(
            Level::Pass,
            "no callback of an agent has failed within a day".to_owned(),
        ),
        Some(latest) => check(
            Level::Warn,
            format!(
                "{} callbacks of agents failed within a day, the latest: {latest}",
                recent.len()
            ),
        )
        .with(format!("all of them are in {path}")),
    }
}

/// How the daemon stands, and its process where it runs.
async fn daemon(places: &Places, env: &Env) -> (Check, Option<u32>) {
    let check = |level, message: String| Check::new(level, "Core", "daemon", message);
    let presence = match presence::look(places, env.session()).await {
        Ok(presence) => presence,
        Err(error) => {
            let hint = error.hint().unwrap_or_else(|| "ao status".to_owned());
            return (check(Level::Fail, chain(&error).to_string()).with(hint), None);
        }
    };
    let why = presence.error.clone().unwrap_or_default();
    let check = match (&presence.state, &presence.run) {
        (State::Ready, Some(run)) => {
            check(Level::Pass, format!("ready (pid {}, port {})", run.pid, run.port))
        }
        (State::Stopped, _) => check(Level::Pass, "stopped".to_owned()),
        (State::Stale, _) => check(Level::Warn, format!("stopped: {why}")).with("ao start"),
        (State::NotReady, _) => check(Level::Warn, format!("not ready: {why}")).with("ao status"),
        (State::Unhealthy | State::Ready, _) => check(
            Level::Fail,
            format!("it runs, but does not answer as it should: {why}"),
        )
        .with("ao stop, then ao start: agents live on"),
    };
    (check, presence.run.map(|run| run.pid))
}

async fn git(path: &OsStr) -> Check {
    let check = |level, message: String| Check::new(level, "Tools", "git", message);
    let install = format!(
        "install git {}.{} or newer, and start the daemon with a PATH that has it",
        GIT.0, GIT.1
    );
    #[expect(
        clippy::disallowed_methods,
        reason = "asks git for its version and nothing else, with a deadline"
    )]
    let mut command = tokio::process::Command::new("git");
    command
        .arg("--version")
        .env("PATH", path)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let said = match tokio::time::timeout(ASK, command.output()).await {
        Ok(Ok(output)) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        Ok(Ok(output)) => {
            return check(Level::Fail, format!("`git --version` failed ({})", output.status)).with(install);
        }
        Ok(Err(error)) => return check(Level::Fail, format!("git cannot be started: {error}")).with(install),
        Err(_) => {
            return check(
                Level::Fail,
                format!("`git --version` said nothing within {} s", ASK.as_secs()),
            )
            .with(install);
        }
    };
    match git_version(&said) {
        Some(version) if version >= GIT => check(Level::Pass, said),
        Some(_) => check(Level::Fail, format!("{said} is too old")).with(install),
        None => check(Level::Warn, format!("`{said}` names no version")).with(install),
    }
}

/// `git version 2.39.5 (Apple Git-154)` is 2.39.
fn git_version(said: &str) -> Option<(u32, u32)> {
    let mut parts = said.strip_prefix("git version ")?.split(['.', ' ']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Holders are this very program, and their terminals come from the kernel.
fn runtime(config: &Config) -> Check {
    let check = |level, message: String| Check::new(level, "Tools", "runtime", message);
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => {
            return check(Level::Fail, format!("this program cannot be found: {error}"))
                .with("install it in a place that stays");
        }
    };
    let executable = std::fs::metadata(&own).is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0);
    if !executable {
        return check(
            Level::Fail,
            format!(
                "`{}` is gone or cannot be executed, so no holder can be started",
                own.display()
            ),
        )
        .with("install it again, then: ao stop && ao start");
    }
    let terminal = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY);
    match terminal {
        Ok(_) => check(
            Level::Pass,
            format!(
                "{}: holders are {}, under {}",
                config.runtime,
                own.display(),
                config.data_dir.join(&config.runtime)
            ),
        ),
        Err(error) => check(Level::Fail, format!("the system gives no terminal: {error}"))
            .with("mount /dev/pts, or raise kernel.pty.max"),
    }
}

/// Whether the `ao` that people and agents find is this one.
fn ao_binary(path: &OsStr) -> Check {
    let check = |level, message: String| Check::new(level, "Tools", "ao-binary", message);
    let own = std::env::current_exe().and_then(|own| Ok((own.clone(), std::fs::metadata(own)?)));
    let found = std::env::split_paths(path)
        .map(|folder| folder.join("ao"))
        .find(|file| file.is_file());
    let first = "put the folder of this program first on PATH";
    match (own, found) {
        (Err(error), _) => check(Level::Warn, format!("this program cannot be found: {error}")).with(first),
        (Ok((own, _)), None) => check(
            Level::Warn,
            format!("no `ao` is on PATH (this one is {})", own.display()),
        )
        .with("put the folder of this program on PATH"),
        (Ok((own, ours)), Some(found)) => {
            let same = std::fs::metadata(&found)
                .is_ok_and(|theirs| (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()));
            if same {
                check(
                    Level::Pass,
                    format!("`ao` on PATH is this program ({})", found.display()),
                )
            } else {
                check(
                    Level::Warn,
                    format!(
                        "`ao` on PATH is {}, this one is {}",
                        found.display(),
                        own.display()
                    ),
                )
                .with(format!("{first}, or remove the other"))
            }
        }
    }
}

/// The runtime that is a program of somebody else's. Where it is there, or wanted, it has to be one that will do.
async fn zellij(config: &Config, path: &OsStr) -> Check {
    const OLDEST: (u32, u32, u32) = (0, 44, 3);
    let check = |level, message: String| Check::new(level, "Tools", "zellij", message);
    let newer = format!(
        "install zellij {}.{}.{} or newer, or none",
        OLDEST.0, OLDEST.1, OLDEST.2
    );
    if !is_on(path, zellij::NAME) {
        return if config.runtime == zellij::NAME {
            check(
                Level::Fail,
                "AO_RUNTIME is zellij, and it is not on PATH".to_owned(),
            )
            .with(format!("{newer}: AO_RUNTIME=pty needs none"))
        } else {
            check(
                Level::Pass,
                "not on PATH, and not needed: terminals are held by ao itself".to_owned(),
            )
        };
    }
    match say("zellij", &["--version"], path).await {
        Ok(said) => {
            let number = said.strip_prefix("zellij ").unwrap_or(&said);
            let mut parts = number.split('.').map(str::parse::<u32>);
            let mut part = || parts.next().and_then(Result::ok);
            match (part(), part(), part()) {
                (Some(a), Some(b), Some(c)) if (a, b, c) >= OLDEST => check(Level::Pass, said),
                (Some(_), Some(_), Some(_)) => check(Level::Fail, format!("{said} is too old")).with(newer),
                _ => check(Level::Fail, format!("`{said}` names no version")).with(newer),
            }
        }
        Err(why) => check(Level::Fail, format!("`zellij --version` failed: {why}")).with(newer),
    }
}

fn is_on(path: &OsStr, program: &str) -> bool {
    std::env::split_paths(path).any(|folder| folder.join(program).is_file())
}

/// Each agent that is a program: whether it is there, starts, knows what it is started with, and asks nothing.
async fn agents(env: &Env) -> Vec<Check> {
    let vars = env.inherited();
    let path = env.path();
    let mut checks = Vec::new();
    for agent in Registry::new(&path).installed(&vars) {
        let check = |level, message: String| Check::new(level, "Agents", agent.id, message);
        let Some(program) = &agent.path else {
            checks.push(
                check(Level::Warn, format!("`{}` was not found on PATH", agent.program)).with(format!(
                    "install it, or start the daemon with a PATH that has `{}`",
                    agent.program
                )),
            );
            continue;
        };
        let reinstall = format!("try it yourself: {program} --version; then install it anew");
        let version = match say(program.as_str(), &["--version"], &path).await {
            Ok(said) => said,
            Err(why) => {
                checks.push(check(Level::Warn, format!("{program} does not start: {why}")).with(reinstall));
                continue;
            }
        };
        let number = version.split_whitespace().next().unwrap_or_default();
        checks.push(if number == agent.checkup.seen {
            check(Level::Pass, format!("{program}, version {number}"))
        } else {
            check(
                Level::Warn,
                format!(
                    "{program} is version {number}; what ao knows of it was seen of {}",
                    agent.checkup.seen
                ),
            )
            .with("it may do: if its status or its dialogs are not shown rightly, use that version")
        });
        let help = say(program.as_str(), &["--help"], &path)
            .await
            .unwrap_or_default();
        let unknown: Vec<&str> = agent
            .checkup
            .options
            .iter()
            .copied()
            .filter(|option| !help.contains(option))
            .collect();
        checks.push(if unknown.is_empty() {
            check(
                Level::Pass,
                "knows every option that it is started with".to_owned(),
            )
        } else {
            check(Level::Fail, format!("does not know {}", unknown.join(", ")))
                .with(format!("install version {}", agent.checkup.seen))
        });
        for finding in (agent.checkup.own_files)(&vars) {
            let message = format!("{}: {}", finding.what, finding.said);
            checks.push(match finding.remedy {
                None => check(Level::Pass, message),
                Some(remedy) => check(Level::Warn, message).with(remedy),
            });
        }
    }
    checks
}

/// What a program says, within a moment.
async fn say(program: &str, arguments: &[&str], path: &OsStr) -> Result<String, String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "asks an agent for its version and its help and nothing else, with a deadline"
    )]
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .env("PATH", path)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    match tokio::time::timeout(ASK, command.output()).await {
        Ok(Ok(output)) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(Ok(output)) => Err(output.status.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("it said nothing within {} s", ASK.as_secs())),
    }
}

/// The token that pull requests are read with.
async fn github(offline: bool, env: &Env) -> Check {
    let check = |level, message: String| Check::new(level, "GitHub", "github-token", message);
    let Some(token) = Token::find(HOST, &env.inherited()).await else {
        return check(
            Level::Warn,
            "no token was found: pull requests will not be watched".to_owned(),
        )
        .with(gateways::for_a_token(HOST, None));
    };
    let source = token.source();
    let is_set = source != Source::Gh;
    if offline {
        return check(Level::Pass, format!("found by {source}; not tried"));
    }
    let api = env.github_api();
    match ao_github::who(&api, &token).await {
        Ok(who) => {
            let may = who.scopes.filter(|scopes| !scopes.is_empty());
            let may = may.map_or_else(
                || "no list of scopes".to_owned(),
                |scopes| format!("scopes {scopes}"),
            );
            check(Level::Pass, format!("{} by {source}, {may}", who.login))
        }
        Err(error @ WhoError::Status(_)) => {
            check(Level::Warn, format!("the token by {source}: {}", chain(&error))).with("try again later")
        }
        Err(error @ WhoError::Refused(_)) => {
            check(Level::Fail, format!("the token by {source}: {}", chain(&error))).with(
                gateways::for_a_token(HOST, is_set.then_some(source.to_string().as_str())),
            )
        }
        Err(error) => check(Level::Fail, format!("the token by {source}: {}", chain(&error)))
            .with("see that the network is there, or leave this out: ao doctor --offline"),
    }
}

/// The hosts that the running daemon reads pull requests from, as they answered it: its token may be another than ours.
async fn hosts(places: &Places, env: &Env) -> Vec<Check> {
    let asked = async {
        let daemon = Daemon::find(places, env.session())?;
        gateways::fetch(&daemon).await
    };
    match tokio::time::timeout(ASK, asked).await {
        Ok(Ok(known)) => known
            .iter()
            .map(|gateway| host(gateway, ao_local::clock::now()))
            .collect(),
        // A daemon that does not answer has a check of its own.
        _ => Vec::new(),
    }
}

fn host(gateway: &Gateway, now: Timestamp) -> Check {
    let stands = gateways::standing(gateway, now);
    let level = match stands.grade {
        Grade::Fine => Level::Pass,
        Grade::Odd => Level::Warn,
        Grade::Broken => Level::Fail,
    };
    let check = Check::new(level, "GitHub", "daemon-token", stands.line);
    match stands.remedy {
        Some(remedy) => check.with(remedy),
        None => check,
    }
}

fn agent(config: &Config, env: &Env) -> Check {
    let check = |level, message: String| Check::new(level, "Agents", "agent", message);
    let path = env.path();
    let registry = Registry::new(&path);
    match registry.get(&config.agent) {
        Ok(_) => check(Level::Pass, format!("AO_AGENT is {}", config.agent)),
        Err(error) => check(
            Level::Warn,
            format!("AO_AGENT is {}: {}", config.agent, chain(&error)),
        )
        .with(format!(
            "name one at each spawn (--agent), or set AO_AGENT to one of {}",
            registry.ids().join(", ")
        )),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Salvaged {
    moved_to: Option<Utf8PathBuf>,
}

/// Moves a damaged database aside, and only a damaged one: what is in a sound one is known nowhere else.
async fn salvage(places: &Places, out: &mut Out) -> Result<(), CliError> {
    let data = &places.data_dir;
    let failed = |doing| {
        move |source: io::Error| CliError::Io {
            doing,
            path: data.clone(),
            source,
        }
    };
    let lock = match DirLock::take(data) {
        Ok(lock) => lock,
        Err(LockError::Held { dir, .. }) => return Err(CliError::InUse { data_dir: dir }),
        Err(LockError::Io { doing, path, source }) => return Err(CliError::Io { doing, path, source }),
    };
    let moved_to = match ao_facts::version(data).await {
        Err(OpenError::Damaged { .. }) => {
            ao_facts::salvage(data, ao_local::clock::now()).map_err(|error| {
                failed("moving the database aside")(io::Error::other(chain(&error).to_string()))
            })?
        }
        Ok(None) => None,
        Ok(Some(_)) => {
            return Err(CliError::NotDamaged {
                path: data.join(ao_facts::DATABASE),
            });
        }
        Err(error) => {
            return Err(failed("looking at the database")(io::Error::other(
                chain(&error).to_string(),
            )));
        }
    };
    drop(lock);
    if out.is_json() {
        return out.object(&Salvaged { moved_to });
    }
    match moved_to {
        Some(path) => {
            out.line(format!("moved the damaged database to {path}"))?;
            out.line("start the daemon (ao start): live agents are adopted from their holders")
        }
        None => out.line(format!("there is no database in {data}: nothing was moved")),
    }
}

#[cfg(test)]
mod tests;
