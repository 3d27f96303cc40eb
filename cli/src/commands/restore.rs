//! `ao session restore` and `ao session rename`: a session that is over is brought back, or called by another name.

use std::time::Duration;

use ao_api::wire::{RenameSession, RestoreSession, Session, SessionAnswer};
use ao_domain::{Desired, EndReason, Phase, ProjectId, SessionId, WorktreeState};
use clap_complete::engine::ArgValueCompleter;
use serde::Serialize;

use super::completion::{any_sessions, over_sessions, projects};
use super::session::{list, with_nearest};
use super::spawn;
use crate::client::{Ask, Daemon, encoded};
use crate::duration;
use crate::env::Env;
use crate::error::CliError;
use crate::render::Out;

/// Bring a session back whose agent is over
///
/// With `--all`, every session that ended without anybody's will: with a restart of the machine, or because its processes were
/// killed.
///
/// The same agent goes on with the conversation it had, in the same worktree; one that was taken back is made again from its
/// branch. An agent that cannot go on, or a command, begins anew when that is asked for.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ao session restore web-7
  ao session restore web-7 --start-over
  ao session restore --all                     after a restart of the machine
  ao session restore --all --project web")]
pub(crate) struct RestoreArgs {
    /// The session's id
    #[arg(add = ArgValueCompleter::new(over_sessions), required_unless_present = "all", conflicts_with = "all")]
    session: Option<SessionId>,

    /// Every session that ended without anybody's will
    #[arg(long)]
    all: bool,

    /// With `--all`: only those of this project
    #[arg(short, long, requires = "all", add = ArgValueCompleter::new(projects))]
    project: Option<ProjectId>,

    /// Begin a new conversation, with the prompt or the command that the session was spawned with
    #[arg(long)]
    start_over: bool,

    /// How long to wait until the agent runs; it is started all the same
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration::parse, conflicts_with = "all")]
    timeout: Duration,
}

/// Call a session by another name
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ao session rename web-7 \"login page\"\n  ao session rename web-7 \"\"     takes its name away"
)]
pub(crate) struct RenameArgs {
    /// The session's id
    #[arg(add = ArgValueCompleter::new(any_sessions))]
    session: SessionId,

    /// What people are to call it
    name: String,
}

pub(crate) async fn restore(args: &RestoreArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let daemon = super::find(env)?;
    let Some(id) = &args.session else {
        return restore_all(args, &daemon, out).await;
    };
    let before = daemon.head().await.ok();
    let session = match daemon.fetch::<SessionAnswer>(wish(id, args.start_over)).await {
        Ok(answer) => answer.session,
        Err(error) => return Err(with_nearest(&daemon, error, id.as_str()).await),
    };
    spawn::up(&daemon, session, before, args.timeout, "restored", out).await
}

/// What brings `session` back: in the conversation it had, where it had one.
pub(super) fn command(session: &Session) -> String {
    let anew = if session.native_id.is_some() {
        ""
    } else {
        " --start-over"
    };
    format!("ao session restore {}{anew}", session.id)
}

fn wish(id: &SessionId, start_over: bool) -> Ask {
    Ask::post(format!("/api/v1/sessions/{}/restore", encoded(id.as_str())))
        .json(&RestoreSession { start_over })
        .header("prefer", "respond-async")
}

/// What became of each, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AllRestored {
    restored: Vec<SessionId>,
    skipped: Vec<NotRestored>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NotRestored {
    session_id: SessionId,
    reason: String,
}

/// Each is wanted again before the next is asked for: whatever happens to this command, those stay wanted. They come up as there is
/// room for them, and are not waited for.
async fn restore_all(args: &RestoreArgs, daemon: &Daemon, out: &mut Out) -> Result<(), CliError> {
    let sessions = list(daemon, args.project.as_ref()).await?;
    let lost: Vec<SessionId> = sessions
        .iter()
        .filter(|one| is_lost(one))
        .map(|one| one.id.clone())
        .collect();
    let mut done = AllRestored {
        restored: Vec::new(),
        skipped: Vec::new(),
    };
    for id in lost {
        match daemon.fetch::<SessionAnswer>(wish(&id, args.start_over)).await {
            Ok(_) => {
                if !out.is_json() {
                    out.line(format!("restoring {id}"))?;
                }
                done.restored.push(id);
            }
            // One that cannot come back keeps none of the others.
            Err(CliError::Refused { body, .. }) => {
                if !out.is_json() {
                    out.line(format!("not restored: {}", body.message))?;
                }
                done.skipped.push(NotRestored {
                    session_id: id,
                    reason: body.message.clone(),
                });
            }
            Err(error) => return Err(error),
        }
    }
    if out.is_json() {
        out.object(&done)?;
    } else if done.restored.is_empty() && done.skipped.is_empty() {
        out.line("no session waits to be restored")?;
    } else {
        out.line(format!(
            "{} on their way, {} not restored; how they stand: ao session ls",
            done.restored.len(),
            done.skipped.len()
        ))?;
    }
    if done.restored.is_empty() && !done.skipped.is_empty() {
        return Err(CliError::NoneRestored {
            count: done.skipped.len(),
        });
    }
    Ok(())
}

/// Whether a session ended without anybody's will, and nothing has been done about it since.
pub(crate) fn is_lost(session: &Session) -> bool {
    let over = matches!(session.phase, Phase::Finished | Phase::Ended);
    let wanted = session.desired == Desired::Run && session.worktree.state == WorktreeState::Active;
    over && wanted && session.end_reason.is_some_and(EndReason::is_loss)
}

pub(crate) async fn rename(args: RenameArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let daemon = super::find(env)?;
    let path = format!("/api/v1/sessions/{}", encoded(args.session.as_str()));
    let ask = Ask::patch(path).json(&RenameSession {
        display_name: Some(args.name),
    });
    let answer = match daemon.fetch::<SessionAnswer>(ask).await {
        Ok(answer) => answer,
        Err(error) => return Err(with_nearest(&daemon, error, args.session.as_str()).await),
    };
    if out.is_json() {
        return out.object(&answer);
    }
    let session = answer.session;
    match &session.display_name {
        Some(name) => out.line(format!("{} is called {name}", session.id)),
        None => out.line(format!("{} has no name of its own", session.id)),
    }
}
