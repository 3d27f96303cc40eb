//! `ao session restore` and `ao session rename`: a session that is over is brought back, or called by another name.

use std::time::Duration;

use ao_api::wire::{RenameSession, RestoreSession, SessionAnswer};
use ao_domain::SessionId;
use clap_complete::engine::ArgValueCompleter;

use super::completion::{any_sessions, over_sessions};
use super::session::with_nearest;
use super::spawn;
use crate::client::{Ask, encoded};
use crate::duration;
use crate::env::Env;
use crate::error::CliError;
use crate::render::Out;

/// Bring a session back whose agent is over
///
/// The same agent goes on with the conversation it had, in the same worktree; one that was taken back is made again from its
/// branch. An agent that cannot go on, or a command, begins anew when that is asked for.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ao session restore web-7\n  ao session restore web-7 --start-over")]
pub(crate) struct RestoreArgs {
    /// The session's id
    #[arg(add = ArgValueCompleter::new(over_sessions))]
    session: SessionId,

    /// Begin a new conversation, with the prompt or the command that the session was spawned with
    #[arg(long)]
    start_over: bool,

    /// How long to wait until the agent runs; it is started all the same
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration::parse)]
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
    let before = daemon.head().await.ok();
    let path = format!("/api/v1/sessions/{}/restore", encoded(args.session.as_str()));
    let ask = Ask::post(path)
        .json(&RestoreSession {
            start_over: args.start_over,
        })
        .header("prefer", "respond-async");
    let session = match daemon.fetch::<SessionAnswer>(ask).await {
        Ok(answer) => answer.session,
        Err(error) => return Err(with_nearest(&daemon, error, args.session.as_str()).await),
    };
    spawn::up(&daemon, session, before, args.timeout, "restored", out).await
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
