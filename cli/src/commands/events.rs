//! `ao events`: what changed, and what changes.

use std::time::Duration;

use ao_api::wire::Event;
use ao_domain::{ProjectId, SessionId};
use clap_complete::engine::ArgValueCompleter;

use super::completion::{any_sessions, projects};
use super::project;
use crate::client::Daemon;
use crate::env::Env;
use crate::error::CliError;
use crate::render::Out;

/// Between two tries to reach a daemon that went away.
const COME_BACK: Duration = Duration::from_millis(500);

/// Show what changed, and what changes
///
/// Each line is one change, with its number: `--after` goes on from any of them, without a gap. With `--follow` it goes on until it
/// is stopped, also over a restart of the daemon.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ao events
  ao events --follow --session web-7
  ao events --type message_updated --type message_created
  ao events --after 1200 --json")]
pub(crate) struct EventsArgs {
    /// Go on until it is stopped
    #[arg(short, long)]
    follow: bool,

    /// Only what is about this session
    #[arg(short, long, value_name = "SESSION", add = ArgValueCompleter::new(any_sessions))]
    session: Option<SessionId>,

    /// Only what is about this project
    #[arg(short, long, value_name = "PROJECT", add = ArgValueCompleter::new(projects))]
    project: Option<ProjectId>,

    /// Only changes of this type; may be given several times
    #[arg(short, long = "type", value_name = "TYPE")]
    kinds: Vec<String>,

    /// Begin after the change with this number
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(0..))]
    after: Option<i64>,

    /// Begin with the last so many changes
    #[arg(
        short = 'n',
        long,
        value_name = "COUNT",
        default_value_t = 50,
        conflicts_with = "after"
    )]
    last: u32,
}

impl EventsArgs {
    fn wants(&self, event: &Event) -> bool {
        let of_session = self
            .session
            .as_ref()
            .is_none_or(|session| event.session_id.as_deref() == Some(session.as_str()));
        let of_project = self
            .project
            .as_ref()
            .is_none_or(|project| event.project_id == project.as_str());
        of_session && of_project && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
    }
}

pub(crate) async fn run(args: &EventsArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let mut daemon = super::find(env)?;
    if let Some(project) = &args.project {
        project::must_be(&daemon, project).await?;
    }
    let head = daemon.head().await?;
    let mut after = args.after.unwrap_or_else(|| (head - i64::from(args.last)).max(0));
    if after > head {
        return Err(CliError::misuse(format!(
            "--after {after}: the newest change is {head}"
        )));
    }
    loop {
        after = show_until(&daemon, args, after, (!args.follow).then_some(head), out).await?;
        if !args.follow {
            return Ok(());
        }
        // The stream has ended: the daemon stops, or was too busy for us. What it says next goes on after the last.
        daemon = come_back(env).await?;
        // Another database has numbers of its own.
        if daemon.head().await? < after {
            after = 0;
        }
    }
}

/// Shows what comes until the stream ends, or the change `until` was seen. Gives the number of the last one.
async fn show_until(
    daemon: &Daemon,
    args: &EventsArgs,
    mut after: i64,
    until: Option<i64>,
    out: &mut Out,
) -> Result<i64, CliError> {
    let mut events = daemon.events(after).await?;
    while until.is_none_or(|until| after < until) {
        let Some(event) = events.next_or_reset().await else {
            return Ok(after);
        };
        let event = match event {
            Ok(event) => event,
            // The log does not reach back so far: what is kept begins here.
            Err(floor) => {
                out.note(format!("changes before {floor} are not kept any more"))?;
                after = floor;
                events = daemon.events(after).await?;
                continue;
            }
        };
        after = event.seq;
        if args.wants(&event) {
            show(&event, out)?;
        }
    }
    Ok(after)
}

fn show(event: &Event, out: &mut Out) -> Result<(), CliError> {
    if out.is_json() {
        return out.json_line(event);
    }
    let about = event.session_id.as_deref().unwrap_or(&event.project_id);
    let details: Vec<String> = event
        .payload
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, value)| !matches!(name.as_str(), "session") && value.as_str() != Some(about))
        .map(|(name, value)| match value.as_str() {
            Some(text) => format!("{name}={text}"),
            None => format!("{name}={value}"),
        })
        .collect();
    out.line(format!(
        "{}  {}  {}  {about}  {}",
        event.seq,
        event.created_at,
        event.kind,
        details.join(" ")
    ))
}

/// The daemon, once it is there again.
async fn come_back(env: &Env) -> Result<Daemon, CliError> {
    loop {
        match super::find(env) {
            Ok(daemon) if daemon.head().await.is_ok() => return Ok(daemon),
            Ok(_) | Err(CliError::NoDaemon | CliError::Stale { .. }) => tokio::time::sleep(COME_BACK).await,
            Err(error) => return Err(error),
        }
    }
}
