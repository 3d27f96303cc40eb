//! The agents: each that is installed is looked over by the same catalog that `ao agent ls` shows.

use ao_domain::chain;
use ao_domain::port::agent::Agents as _;
use ao_domain::port::catalog::{Catalog as _, Entry, Installation, Standing};
use ao_local::agents::{AgentCatalog, Registry};

use super::{Check, Level, strangers};
use crate::client::Daemon;
use crate::env::{Config, Env};

/// The agent of a spawn that names none, then each agent that is a program: whether it is there, starts, knows what it is
/// started with, asks nothing, and asks what it should.
pub(super) async fn checks(daemon: Option<&Daemon>, config: &Config, env: &Env) -> Vec<Check> {
    let catalog = AgentCatalog::new(&env.path(), &env.inherited());
    let entries = catalog.all().await;
    let mut checks = vec![default(config, env, &entries)];
    let programs: Vec<(&'static str, Installation)> = entries
        .into_iter()
        .filter_map(|entry| Some((entry.id, entry.installation?)))
        .collect();
    let here = programs.iter().filter(|(_, found)| found.path.is_some());
    let installed: Vec<&'static str> = here.map(|(id, _)| *id).collect();
    let mut trusting = strangers::checks(&installed, daemon, config, env).await;
    for (id, found) in programs {
        checks.extend(of(id, found));
        checks.extend(trusting.extract_if(.., |check| check.name == id));
    }
    checks
}

fn default(config: &Config, env: &Env, entries: &[Entry]) -> Check {
    let check = |level, message: String| Check::new(level, "Agents", "agent", message);
    let registry = Registry::new(&env.path());
    let name = || {
        format!(
            "name one at each spawn (--agent), or set AO_AGENT to one of {}",
            registry.ids().join(", ")
        )
    };
    if let Err(error) = registry.get(&config.agent) {
        let message = format!("AO_AGENT is {}: {}", config.agent, chain(&error));
        return check(Level::Warn, message).with(name());
    }
    let its = entries.iter().find(|entry| entry.id == config.agent);
    match its.and_then(|entry| entry.installation.as_ref()) {
        Some(found) if found.path.is_none() => check(
            Level::Warn,
            format!("AO_AGENT is {}, which is not installed", config.agent),
        )
        .with(format!("install `{}`, or {}", found.program, name())),
        _ => check(Level::Pass, format!("AO_AGENT is {}", config.agent)),
    }
}

fn of(id: &'static str, found: Installation) -> Vec<Check> {
    let check = |level, message: String| Check::new(level, "Agents", id, message);
    let Some(path) = &found.path else {
        // Nobody has them all.
        return vec![check(
            Level::Pass,
            format!("not installed: no `{}` on PATH", found.program),
        )];
    };
    let version = found.version.as_deref().unwrap_or_default();
    let verified = found.verified.unwrap_or_default();
    let differs = |how: &str, remedy: String| {
        let message = format!("{path} is version {version}, {how} than {verified}, of which ao was verified");
        check(Level::Warn, message).with(remedy)
    };
    let mut checks = Vec::new();
    match found.standing {
        // What is wrong stands among the findings.
        Standing::Missing | Standing::Broken | Standing::Unknown => {}
        Standing::Verified => checks.push(check(Level::Pass, format!("{path}, version {version}"))),
        Standing::Unverified => checks.push(
            check(
                Level::Warn,
                format!("{path}, version {version}: what ao knows of it is from documents alone"),
            )
            .with("that its process runs is all that is shown of it; look at it yourself: ao attach"),
        ),
        Standing::Older => checks.push(differs("older", format!("install version {verified}"))),
        Standing::Newer => checks.push(differs(
            "newer",
            format!("it may do: if its status or its dialogs are not shown rightly, use version {verified}"),
        )),
    }
    checks.extend(found.findings.into_iter().map(|finding| {
        let message = match finding.what {
            "program" => format!("{path}: {}", finding.said),
            "options" => finding.said,
            what => format!("{what}: {}", finding.said),
        };
        match finding.remedy {
            None => check(Level::Pass, message),
            // It would end at its start, or a session for a stranger's code would, each time.
            Some(remedy) if matches!(finding.what, "options" | "settings" | "hooks" | "trust") => {
                check(Level::Fail, message).with(remedy)
            }
            Some(remedy) => check(Level::Warn, message).with(remedy),
        }
    }));
    checks
}
