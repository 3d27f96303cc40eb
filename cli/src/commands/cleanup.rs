//! `ao session cleanup`: takes back the worktrees of sessions that are over, and says what stays and why.

use std::io::{self, BufRead as _};

use ao_api::wire::{CleanedUp, Session};
use ao_domain::{Phase, ProjectId, WorktreeState};
use clap_complete::engine::ArgValueCompleter;

use super::completion::projects;
use super::kill::{how_to_bring_back, next_after_kept};
use super::session::list;
use crate::client::{Ask, encoded};
use crate::env::Env;
use crate::error::CliError;
use crate::render::{Out, Tone};

/// Take back the worktrees of sessions that are over
///
/// One that holds work which exists nowhere else stays, and is named with what it holds and how to remove it. What waits to be
/// restored stays too, and branches with commits.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ao session cleanup
  ao session cleanup --project web --yes
  ao session cleanup --yes --json")]
pub(crate) struct CleanupArgs {
    /// Only those of this project
    #[arg(short, long, add = ArgValueCompleter::new(projects))]
    project: Option<ProjectId>,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(crate) async fn run(args: &CleanupArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let daemon = super::find(env)?;
    let left: Vec<Session> = list(&daemon, args.project.as_ref())
        .await?
        .into_iter()
        .filter(is_left)
        .collect();
    if !out.is_json() {
        if left.is_empty() {
            return out.line("nothing to clean up: no session that is over has a worktree");
        }
        out.line("Worktrees of sessions that are over:")?;
        for session in &left {
            out.line(format!("  {}  {}", session.id, session.worktree.path))?;
        }
    }
    if !args.yes {
        if out.is_json() {
            return Err(CliError::misuse("with --json nobody is asked: add --yes"));
        }
        out.ask("What holds work that exists nowhere else stays. Type yes to confirm: ")?;
        let mut answer = String::new();
        // An answer that cannot be read is none.
        let _ = io::stdin().lock().read_line(&mut answer);
        if !answer.trim().eq_ignore_ascii_case("yes") {
            return Err(CliError::NotConfirmed);
        }
    }
    let query = args
        .project
        .as_ref()
        .map(|id| format!("?project={}", encoded(id.as_str())));
    let ask = Ask::post(format!("/api/v1/sessions/cleanup{}", query.unwrap_or_default()));
    let done: CleanedUp = daemon.fetch(ask.json(&serde_json::json!({}))).await?;
    if out.is_json() {
        return out.object(&done);
    }
    for id in &done.cleaned {
        out.line(format!("  cleaned: {id}"))?;
        let saved = done.saved.iter().filter(|saved| saved.session_id == *id);
        for line in saved.flat_map(|saved| how_to_bring_back(&saved.worktree)) {
            out.line(format!("  {line}"))?;
        }
    }
    for kept in &done.skipped {
        let (id, worktree) = (&kept.session_id, &kept.worktree);
        out.line(format!(
            "  {}: {id}, {}",
            out.paint(Tone::Warn, "kept"),
            kept.reason
        ))?;
        let (what, command) = next_after_kept(id, worktree);
        out.line(format!("    where: {}", worktree.path))?;
        out.line(format!("    {what}: {command}"))?;
    }
    out.line(format!(
        "{} cleaned up, {} kept",
        done.cleaned.len(),
        done.skipped.len()
    ))
}

fn is_left(session: &Session) -> bool {
    let over = matches!(session.phase, Phase::Finished | Phase::Ended);
    over && matches!(
        session.worktree.state,
        WorktreeState::Active | WorktreeState::Kept
    )
}
