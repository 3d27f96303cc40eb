//! `ao session rollback`: a spawn is taken back.

use ao_api::wire::{RolledBack, Session, SessionAnswer};
use ao_domain::{Phase, SessionId, WorktreeState};
use clap_complete::engine::ArgValueCompleter;

use super::completion::any_sessions;
use super::kill::about_kept;
use super::session::with_nearest;
use crate::client::{Ask, encoded};
use crate::env::Env;
use crate::error::CliError;
use crate::render::Out;

/// Take a spawn back, however far it has come
///
/// One that waits in line is over at once; of one that runs the agent is ended and the worktree taken back, unless that holds work
/// which exists nowhere else. To repeat it changes nothing.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ao session rollback web-7")]
pub(crate) struct RollbackArgs {
    /// The session's id
    #[arg(add = ArgValueCompleter::new(any_sessions))]
    session: SessionId,
}

pub(crate) async fn run(args: &RollbackArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let daemon = super::find(env)?;
    let path = format!("/api/v1/sessions/{}", encoded(args.session.as_str()));
    let done: RolledBack = match daemon.fetch(Ask::post(format!("{path}/rollback"))).await {
        Ok(done) => done,
        Err(error) => return Err(with_nearest(&daemon, error, args.session.as_str()).await),
    };
    if out.is_json() {
        return out.object(&done);
    }
    let session = daemon.fetch::<SessionAnswer>(Ask::get(path)).await?.session;
    for line in lines(&done, &session) {
        out.line(line)?;
    }
    Ok(())
}

fn lines(done: &RolledBack, session: &Session) -> Vec<String> {
    let id = &session.id;
    if done.deleted {
        return vec![format!("spawn of {id} taken back: nothing was made for it yet")];
    }
    if done.killed {
        return vec![format!("spawn of {id} taken back: agent ended, worktree removed")];
    }
    if session.phase == Phase::Ended && session.worktree.state == WorktreeState::Kept {
        let mut lines = vec![format!("spawn of {id} taken back: agent ended, worktree kept")];
        lines.extend(about_kept(id, &session.worktree, session.failure.as_deref()));
        return lines;
    }
    if session.phase == Phase::Ended {
        return vec![format!("spawn of {id} taken back: agent ended")];
    }
    let phase = session.phase;
    vec![format!(
        "session {id} is on its way down ({phase}); see how it goes: ao session get {id}"
    )]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::session::tests::session;

    #[test]
    fn what_became_of_a_spawn_that_was_taken_back_is_said() {
        let said = |deleted, killed, change: &serde_json::Value| {
            let session = session("web-1", change);
            let done = RolledBack {
                ok: true,
                session_id: session.id.clone(),
                deleted,
                killed,
            };
            lines(&done, &session).join("\n")
        };
        let nothing = json!({});
        assert_eq!(
            said(true, false, &nothing),
            "spawn of web-1 taken back: nothing was made for it yet"
        );
        assert_eq!(
            said(false, true, &nothing),
            "spawn of web-1 taken back: agent ended, worktree removed"
        );
        assert_eq!(
            said(false, false, &json!({"phase": "stopping"})),
            "session web-1 is on its way down (stopping); see how it goes: ao session get web-1"
        );
        let kept = json!({"phase": "ended", "worktree": {"path": "/w", "state": "kept",
            "holdings": [{"kind": "untracked", "text": "1 untracked file (x)", "paths": []}]}});
        assert_eq!(
            said(false, false, &kept),
            "spawn of web-1 taken back: agent ended, worktree kept\n  where: /w\n  why: it holds 1 untracked file (x)\n  \
             remove it all the same: ao kill web-1 --discard"
        );
    }
}
