//! `ao kill`, which is `ao session kill`: ends an agent and takes its worktree back where nothing is lost by that.

use ao_api::wire::{KillSession, Killed, Worktree};
use ao_domain::{Phase, ProjectId, SessionId, WorktreeState};
use clap_complete::engine::ArgValueCompleter;

use super::completion::{any_sessions, projects};
use super::session::{check_scope, with_nearest};
use crate::client::{Ask, encoded};
use crate::env::Env;
use crate::error::CliError;
use crate::render::{Out, Tone};

/// Stop a session and take its worktree back
///
/// A worktree that holds work which exists nowhere else stays, and the answer says what it holds. With `--discard` it
/// goes all the same; everything in it is written to a rescue ref first, and the line that brings it back is printed.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ao kill web-7
  ao kill web-7 --discard                      also what exists nowhere else")]
pub(crate) struct KillArgs {
    /// The session's id
    #[arg(add = ArgValueCompleter::new(any_sessions))]
    session: SessionId,

    /// Remove the worktree whatever it holds, after writing a rescue ref
    #[arg(long)]
    discard: bool,

    /// Only if it belongs to this project
    #[arg(short, long, add = ArgValueCompleter::new(projects))]
    project: Option<ProjectId>,
}

pub(crate) async fn run(args: &KillArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    check_scope(&args.session, args.project.as_ref(), env).await?;
    let daemon = super::find(env)?;
    let path = format!("/api/v1/sessions/{}/kill", encoded(args.session.as_str()));
    let asked = KillSession {
        discard: args.discard,
    };
    let killed: Killed = match daemon.fetch(Ask::post(path).json(&asked)).await {
        Ok(killed) => killed,
        Err(error) => return Err(with_nearest(&daemon, error, args.session.as_str()).await),
    };
    if out.is_json() {
        return out.object(&killed);
    }
    for line in lines(&killed, out) {
        out.line(line)?;
    }
    Ok(())
}

fn lines(killed: &Killed, out: &Out) -> Vec<String> {
    let id = &killed.session_id;
    let worktree = &killed.worktree;
    if killed.phase != Phase::Ended {
        return vec![format!(
            "session {id} is on its way down ({}); see how it goes: ao session get {id}",
            killed.phase
        )];
    }
    match worktree.state {
        WorktreeState::Kept => {
            let mut lines = vec![format!(
                "session {id} killed, {}",
                out.paint(Tone::Warn, "worktree kept")
            )];
            lines.extend(about_kept(id, worktree, killed.failure.as_deref()));
            lines
        }
        WorktreeState::Removed => {
            let mut lines = vec![format!("session {id} killed, worktree removed")];
            lines.extend(how_to_bring_back(worktree));
            lines
        }
        WorktreeState::None | WorktreeState::Active => vec![format!("session {id} killed")],
    }
}

/// Where what a worktree held, or an earlier one of the session, is saved, and how it comes back.
pub(crate) fn how_to_bring_back(worktree: &Worktree) -> Vec<String> {
    let saved = worktree
        .rescue_ref
        .iter()
        .map(|rescue| format!("  saved of it: {rescue}"));
    let line = worktree.how_to_bring_back.iter();
    saved
        .chain(line.map(|line| format!("  bring it back: {line}")))
        .collect()
}

/// Where a worktree is that was kept, why, and what a person can do about it.
pub(crate) fn about_kept(id: &SessionId, worktree: &Worktree, failure: Option<&str>) -> [String; 3] {
    let (what, command) = next_after_kept(id, worktree);
    [
        format!("  where: {}", worktree.path),
        format!("  why: {}", why_kept(worktree, failure)),
        format!("  {what}: {command}"),
    ]
}

/// Why a worktree was kept: what it holds, else what went wrong when it was to be taken back.
pub(crate) fn why_kept(worktree: &Worktree, failure: Option<&str>) -> String {
    let held: Vec<&str> = worktree.holdings.iter().map(|held| held.text.as_str()).collect();
    match (held.as_slice(), failure) {
        ([], Some(failure)) => failure.to_owned(),
        ([], None) => "nobody has looked yet at what it holds".to_owned(),
        (held, _) => format!("it holds {}", held.join("; ")),
    }
}

/// What a person can do about a worktree that was kept, and the command for it. To discard helps only against what it
/// holds; whatever else was in the way has to go first.
pub(crate) fn next_after_kept(id: &SessionId, worktree: &Worktree) -> (&'static str, String) {
    if worktree.holdings.is_empty() {
        return ("try again once that is put right", format!("ao kill {id}"));
    }
    let remove = worktree.how_to_remove.clone();
    (
        "remove it all the same",
        remove.unwrap_or_else(|| format!("ao kill {id} --discard")),
    )
}

#[cfg(test)]
mod tests {
    use ao_api::wire::Holding;

    use super::*;
    use crate::render::tests::kept;

    fn killed(state: WorktreeState, held: &[&str], rescue: Option<&str>) -> Killed {
        let holdings = held
            .iter()
            .map(|text| Holding {
                kind: "modified".to_owned(),
                text: (*text).to_owned(),
                count: None,
                paths: Vec::new(),
                name: None,
            })
            .collect();
        Killed {
            ok: true,
            session_id: "web-1".parse().unwrap(),
            phase: Phase::Ended,
            freed: state == WorktreeState::Removed,
            worktree: Worktree {
                path: "/data/work trees/web-1".to_owned(),
                state,
                holdings,
                rescue_ref: rescue.map(str::to_owned),
                how_to_bring_back: rescue.map(|rescue| format!("git worktree add … {rescue}")),
                how_to_remove: None,
            },
            repo: "/src/web".to_owned(),
            failure: None,
        }
    }

    #[test]
    fn a_kept_worktree_says_where_why_and_how_to_remove_it() {
        let (out, ..) = kept(false, false, None);
        let of = |killed: &Killed| lines(killed, &out).join("\n");
        expect_test::expect![[r#"
            session web-1 killed, worktree kept
              where: /data/work trees/web-1
              why: it holds 2 modified files (a, b); 1 commit only on ao/web-1
              remove it all the same: ao kill web-1 --discard"#]]
        .assert_eq(&of(&killed(
            WorktreeState::Kept,
            &["2 modified files (a, b)", "1 commit only on ao/web-1"],
            None,
        )));
        expect_test::expect![[r#"
            session web-1 killed, worktree removed
              saved of it: refs/ao/rescue/web-1/1
              bring it back: git worktree add … refs/ao/rescue/web-1/1"#]]
        .assert_eq(&of(&killed(
            WorktreeState::Removed,
            &[],
            Some("refs/ao/rescue/web-1/1"),
        )));
        assert_eq!(
            of(&killed(WorktreeState::Removed, &[], None)),
            "session web-1 killed, worktree removed"
        );
        let moved = Killed {
            failure: Some("the repository `/src/web` is not there".to_owned()),
            ..killed(WorktreeState::Kept, &[], None)
        };
        expect_test::expect![[r#"
            session web-1 killed, worktree kept
              where: /data/work trees/web-1
              why: the repository `/src/web` is not there
              try again once that is put right: ao kill web-1"#]]
        .assert_eq(&of(&moved));
        let slow = Killed {
            phase: Phase::Stopping,
            ..killed(WorktreeState::Active, &[], None)
        };
        assert_eq!(
            of(&slow),
            "session web-1 is on its way down (stopping); see how it goes: ao session get web-1"
        );
    }
}
