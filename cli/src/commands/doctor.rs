//! `ao doctor`: what keeps ao from working here, and what to do about it. Works without a daemon.

mod agents;
mod leftovers;
mod logout;
mod strangers;
mod tools;

use std::fmt;
use std::io::{self, BufRead as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::time::Duration;

use ao_api::wire::Gateway;
use ao_domain::{Timestamp, chain};
use ao_facts::{DirLock, LockError, OpenError};
use ao_github::{Source, Token, WhoError};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use crate::client::Daemon;
use crate::env::{Config, Env, Places};
use crate::error::CliError;
use crate::gateways::{self, Grade};
use crate::presence::{self, State};
use crate::render::{Out, Tone};

/// How long the daemon, or a program, may take to say how it is.
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
    checks.push(tools::git(env.path().as_os_str()).await);
    checks.push(tools::runtime(config));
    checks.push(tools::ao_binary(&env.path()));
    checks.push(tools::zellij(config, &env.path()).await);
    let known = if runs {
        Daemon::find(&places, env.session()).ok()
    } else {
        None
    };
    checks.extend(agents::checks(known.as_ref(), config, env).await);
    checks.push(github(args.offline, env).await);
    checks.push(logout::check(env, pid));
    if let Some(daemon) = &known {
        checks.extend(hosts(daemon).await);
        checks.push(leftovers::check(daemon).await);
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
async fn hosts(daemon: &Daemon) -> Vec<Check> {
    match tokio::time::timeout(ASK, gateways::fetch(daemon)).await {
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
