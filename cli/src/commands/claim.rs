//! `ao session claim-pr`: a pull request that is there comes to be a session's.

use ao_api::wire::{ClaimPr, PrClaimed};
use ao_domain::{ProjectId, SessionId};
use clap_complete::engine::ArgValueCompleter;

use super::completion::{any_sessions, projects};
use super::session::{check_scope, with_nearest};
use crate::client::{Ask, encoded};
use crate::env::Env;
use crate::error::CliError;
use crate::render::Out;

/// Make a pull request that is there a session's
///
/// From then on its checks are the session's affair, and those of no other. Nothing is checked out by that: the session goes on in
/// the worktree it has. To start a session at a pull request's code: ao spawn --claim-pr PR
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ao session claim-pr web-7 42\n  ao session claim-pr web-7 https://github.com/acme/web/pull/42 --no-takeover"
)]
pub(crate) struct ClaimPrArgs {
    /// The session's id
    #[arg(add = ArgValueCompleter::new(any_sessions))]
    session: SessionId,

    /// The pull request: its number, or its address
    #[arg(value_name = "PR")]
    pr: String,

    /// Only if the session belongs to this project
    #[arg(short, long, add = ArgValueCompleter::new(projects))]
    project: Option<ProjectId>,

    /// Not if it is the pull request of a session whose agent is not over
    #[arg(long)]
    no_takeover: bool,
}

pub(crate) async fn run(args: &ClaimPrArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    check_scope(&args.session, args.project.as_ref(), env).await?;
    let daemon = super::find(env)?;
    let path = format!("/api/v1/sessions/{}/pr/claim", encoded(args.session.as_str()));
    let ask = Ask::post(path).json(&ClaimPr {
        pr: args.pr.clone(),
        allow_takeover: !args.no_takeover,
    });
    let claimed: PrClaimed = match daemon.fetch(ask).await {
        Ok(claimed) => claimed,
        Err(error) => return Err(with_nearest(&daemon, error, args.session.as_str()).await),
    };
    if out.is_json() {
        return out.object(&claimed);
    }
    for line in lines(&claimed) {
        out.line(line)?;
    }
    Ok(())
}

fn lines(claimed: &PrClaimed) -> Vec<String> {
    let (id, number) = (&claimed.session_id, claimed.number);
    if !claimed.ok {
        return vec![format!(
            "{id} is to have PR #{number}; its forge has not answered yet: ao pr ls --session {id}"
        )];
    }
    let mut lines = vec![format!("session {id} claimed PR #{number}")];
    if let Some(pr) = claimed.prs.iter().find(|pr| pr.short.number == number) {
        lines.push(format!("  pr: {}", pr.short.url));
    }
    if claimed.foreign_code == Some(true) {
        lines.push("  code: a stranger's, its branch lies in another repository".to_owned());
    }
    lines.push(if claimed.foreign_code == Some(true) {
        // Its agent was started for the person's own code, and reads what it finds there as theirs.
        format!(
            "  checkout: nothing was checked out; its agent takes what lies in its worktree for yours: look at that code in a session of \
             its own (ao spawn --claim-pr {number})"
        )
    } else {
        format!(
            "  checkout: nothing was checked out; to get there, in its worktree: git fetch origin pull/{number}/head && git switch --detach FETCH_HEAD"
        )
    });
    let taken = claimed.taken_over_from.iter();
    lines.extend(taken.map(|from| format!("  taken over from {from}")));
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_says_that_nothing_was_checked_out() {
        let said = |change: &serde_json::Value| {
            let mut answer = json!({"ok": true, "sessionId": "web-1", "number": 7, "prs": [], "branchChanged": false, "takenOverFrom": []});
            let (whole, change) = (answer.as_object_mut().unwrap(), change.as_object().unwrap());
            whole.extend(change.clone());
            lines(&serde_json::from_value(answer).unwrap()).join("\n")
        };
        expect_test::expect![[r"
            session web-1 claimed PR #7
              code: a stranger's, its branch lies in another repository
              checkout: nothing was checked out; its agent takes what lies in its worktree for yours: look at that code in a session of its own (ao spawn --claim-pr 7)
              taken over from web-2"]]
        .assert_eq(&said(&json!({"takenOverFrom": ["web-2"], "foreignCode": true})));
        expect_test::expect![[r"
            session web-1 claimed PR #7
              checkout: nothing was checked out; to get there, in its worktree: git fetch origin pull/7/head && git switch --detach FETCH_HEAD"]]
        .assert_eq(&said(&json!({})));
        assert_eq!(
            said(&json!({"ok": false})),
            "web-1 is to have PR #7; its forge has not answered yet: ao pr ls --session web-1"
        );
    }
}
