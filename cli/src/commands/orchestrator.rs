//! `ao orchestrator …`: the agent of a project that coordinates the others. A project has one.

use std::time::Duration;

use ao_api::wire::{OrchestratorAnswer, Session, SessionList, StartOrchestrator};
use ao_domain::{PermissionMode, Phase, ProjectId};
use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;
use serde::Serialize;

use super::completion::{agents, projects};
use super::session::{self, tone};
use super::{project, spawn};
use crate::client::Ask;
use crate::duration;
use crate::env::Env;
use crate::error::CliError;
use crate::render::Out;

/// Start the agent that coordinates a project's others, and look at it
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ao orchestrator start\n  ao orchestrator ls")]
pub(crate) struct OrchestratorArgs {
    #[command(subcommand)]
    command: Option<OrchestratorCommand>,
}

#[derive(Subcommand)]
enum OrchestratorCommand {
    Ls(LsArgs),
    Start(StartArgs),
}

/// List the orchestrators
#[derive(clap::Args)]
#[command(
    visible_alias = "list",
    after_help = "Examples:\n  ao orchestrator ls\n  ao orchestrator ls --json"
)]
struct LsArgs {
    /// Only those of this project
    #[arg(short, long, add = ArgValueCompleter::new(projects))]
    project: Option<ProjectId>,
}

/// Start a project's orchestrator
///
/// Where it has one already, that one is named and nothing is started. With `--replace` another takes its place as soon as it is
/// live; only then is the old one ended, and its worktree taken back where nothing is lost by that.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ao orchestrator start                        of the repository you are in
  ao orchestrator start --project web --prompt \"ship the issues labelled 'next'\"
  ao orchestrator start --project web --replace")]
struct StartArgs {
    /// The project; not needed inside its repository
    #[arg(short, long, add = ArgValueCompleter::new(projects))]
    project: Option<ProjectId>,

    /// Start another one, which takes the place of the one there is
    #[arg(long, visible_alias = "clean")]
    replace: bool,

    /// The agent; the project's for orchestrators when not given, then the daemon's AO_AGENT
    #[arg(long, visible_alias = "harness", value_name = "AGENT", add = ArgValueCompleter::new(agents))]
    agent: Option<String>,

    /// The model; the agent's own choice when not given
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    /// What it may do without asking: default (it asks), accept-edits, auto, bypass-permissions
    #[arg(long, value_name = "MODE")]
    permissions: Option<PermissionMode>,

    /// What it should do; without it, it waits for a message
    #[arg(long)]
    prompt: Option<String>,

    /// What people call it
    #[arg(long)]
    name: Option<String>,

    /// What holds its terminal; the project's runtime when not given
    #[arg(long)]
    runtime: Option<String>,

    /// Do not wait until the agent runs
    #[arg(long)]
    detach: bool,

    /// How long to wait until the agent runs; it is started all the same
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration::parse)]
    timeout: Duration,

    /// A command for the agent `shell`
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(crate) async fn run(args: OrchestratorArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    match args.command {
        None => super::group_help("orchestrator", env, out),
        Some(OrchestratorCommand::Ls(args)) => ls(&args, env, out).await,
        Some(OrchestratorCommand::Start(args)) => start(args, env, out).await,
    }
}

#[derive(Serialize)]
struct Listed {
    data: Vec<Session>,
}

async fn ls(args: &LsArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let daemon = super::find(env)?;
    let list: SessionList = daemon.fetch(Ask::get("/api/v1/orchestrators")).await?;
    let is_asked = |session: &Session| args.project.as_ref().is_none_or(|id| session.project_id == *id);
    let data: Vec<Session> = list.sessions.into_iter().filter(is_asked).collect();
    if let (Some(project), []) = (&args.project, data.as_slice()) {
        project::must_be(&daemon, project).await?;
    }
    if out.is_json() {
        return out.object(&Listed { data });
    }
    if data.is_empty() {
        return out.line("(no orchestrators): ao orchestrator start");
    }
    let rows = data.iter().map(|session| {
        vec![
            session.project_id.to_string(),
            session.id.to_string(),
            out.paint(tone(session.status), format!("[{}]", session.status)),
            session.harness.clone(),
            reason(session),
        ]
    });
    let rows = rows.collect();
    out.rows(rows)
}

/// Why it stands as it does, and whose place it takes: that is told until it has done so, which is after it came up.
fn reason(session: &Session) -> String {
    let reason = session::reason(session);
    match &session.replaces {
        None => reason,
        Some(old) if !session.phase.is_settled() => {
            format!("{reason}; takes the place of {old} once it is live")
        }
        Some(old) if session.phase == Phase::Live => format!("{reason}; is taking the place of {old}"),
        Some(old) => format!("{reason}; did not take the place of {old}"),
    }
}

async fn start(args: StartArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let daemon = super::find(env)?;
    let project = spawn::project_named(&daemon, args.project, env).await?;
    let has_command = !args.command.is_empty();
    let asked = StartOrchestrator {
        project_id: project.to_string(),
        clean: args.replace,
        prompt: args.prompt,
        harness: args.agent.or_else(|| has_command.then(|| "shell".to_owned())),
        model: args.model,
        permissions: args.permissions.map(|mode| mode.to_string()),
        command: has_command.then_some(args.command),
        runtime: args.runtime,
        display_name: args.name,
    };
    let before = daemon.head().await.ok();
    let ask = Ask::post("/api/v1/orchestrators")
        .json(&asked)
        .header("prefer", "respond-async")
        .header("idempotency-key", spawn::fresh_key()?);
    let (status, answer) = match daemon.fetch_with_status::<OrchestratorAnswer>(ask).await {
        Ok(answer) => answer,
        Err(error) => return Err(project::with_nearest(&daemon, error, project.as_str()).await),
    };
    if status == OK {
        return has_one(&answer, args.replace, out);
    }
    let limit = if args.detach { Duration::ZERO } else { args.timeout };
    let session = spawn::settled(&daemon, answer.session, before, limit, out).await?;
    if out.is_json() {
        return out.object(&OrchestratorAnswer { session, ..answer });
    }
    spawn::tell(&session, "started orchestrator", out)
}

/// Nothing was started: the answer is about one that was there.
const OK: u16 = 200;

fn has_one(answer: &OrchestratorAnswer, replace: bool, out: &mut Out) -> Result<(), CliError> {
    if out.is_json() {
        return out.object(answer);
    }
    let session = &answer.session;
    let (id, project) = (&session.id, &session.project_id);
    let status = out.paint(tone(session.status), session.status.as_str());
    match &session.replaces {
        Some(old) => out.line(format!(
            "{id} is about to take the place of {old} as the orchestrator of {project} ({status})"
        ))?,
        None => out.line(format!(
            "{id} is the orchestrator of {project} already ({status})"
        ))?,
    }
    out.line(format!("attach with: ao attach {id}"))?;
    if replace {
        return Ok(());
    }
    out.line(format!(
        "another in its place: ao orchestrator start --project {project} --replace"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::session::tests::session;

    #[test]
    fn whose_place_it_takes_is_told_until_it_has_it() {
        let of = |phase: &str, replaces: Option<&str>| {
            reason(&session(
                "web-5",
                &json!({"kind": "orchestrator", "phase": phase, "reason": "so", "replaces": replaces}),
            ))
        };
        assert_eq!(of("live", None), "so");
        assert_eq!(
            of("launch", Some("web-4")),
            "so; takes the place of web-4 once it is live"
        );
        assert_eq!(of("live", Some("web-4")), "so; is taking the place of web-4");
        assert_eq!(of("ended", Some("web-4")), "so; did not take the place of web-4");
    }
}
