//! `ao attach`: this terminal on a session's. Talks to the session's holder, so it works without a daemon.

use ao_api::wire::Session;
use ao_domain::port::runtime::{Runtime as _, RuntimeRef};
use ao_domain::{Phase, SessionId};
use ao_local::runtimes::holder::Runs;
use ao_local::runtimes::holder::attach::{self, AttachEnd, DetachKey};
use ao_local::runtimes::{kept_in, zellij};
use camino::Utf8PathBuf;
use clap_complete::engine::ArgValueCompleter;

use super::completion::live_sessions;
use super::{restore, session};
use crate::env::Env;
use crate::error::CliError;
use crate::presence::{self, Trace};
use crate::render::{Out, nearest};

/// Show a session's terminal and type into it
///
/// The first line says how to leave; the agent goes on then. Works while the daemon is down, too, and whatever runtime the
/// session has; of one that runs in zellij the last line says how to see it there.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ao attach web-7
  ao attach web-7 --detach-key ctrl-]")]
pub(crate) struct AttachArgs {
    /// The session's id
    #[arg(add = ArgValueCompleter::new(live_sessions))]
    session: SessionId,

    /// The key that leaves
    #[arg(long, value_name = "KEY", default_value = r"ctrl-\")]
    detach_key: DetachKey,
}

pub(crate) fn run(args: &AttachArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let failed = |source| CliError::Io {
        doing: "starting the runtime",
        path: "ao".into(),
        source,
    };
    let (runs, at) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?
        .block_on(newest_run(&args.session, env))?;
    let id = &args.session;
    let ended = attach::run(runs.root(), &at, args.detach_key).map_err(|source| CliError::Attach {
        session: id.to_string(),
        source,
    })?;
    match ended {
        AttachEnd::Detached => {
            out.line(format!("left {id}, which goes on; come back: ao attach {id}"))?;
            if runs.name() == zellij::NAME {
                let command = zellij::attach_command(&zellij::sockets(), runs.root(), &at);
                out.line(format!("the same in zellij: {command}"))?;
            }
            Ok(())
        }
        AttachEnd::Ended(exit) => out.line(format!("{id} has ended ({exit})")),
        AttachEnd::Gone => out.line(format!(
            "the holder of {id} is gone; see how it stands: ao session get {id}"
        )),
    }
}

/// The data directory of the daemon that runs, else the environment's.
pub(super) fn data_dir(env: &Env) -> Result<Utf8PathBuf, CliError> {
    let places = env.places()?;
    Ok(match presence::trace(&places.run_file) {
        Ok(Trace::Warm(run)) => run.data_dir,
        // A run file that is not to be believed keeps nobody from a terminal of their own.
        _ => places.data_dir,
    })
}

/// The newest run of a session that a terminal is held for, and whose it is among the runtimes.
///
/// # Errors
/// When there is none: then with how the session stands, as far as a daemon says.
pub(super) async fn newest_run(session: &SessionId, env: &Env) -> Result<(Runs, RuntimeRef), CliError> {
    let mut all = Vec::new();
    for runs in kept_in(&data_dir(env)?) {
        let listed = runs.list().await.map_err(|source| CliError::Attach {
            session: session.to_string(),
            source,
        })?;
        all.extend(listed.into_iter().map(|at| (runs.clone(), at)));
    }
    let newest = all
        .iter()
        .filter(|(_, at)| at.session == *session)
        .max_by_key(|(_, at)| at.generation);
    if let Some(newest) = newest {
        return Ok(newest.clone());
    }
    let held = all.iter().map(|(_, at)| at.session.as_str());
    Err(no_terminal(session, held, env).await)
}

/// Why there is none: the session waits, or is over, or is none. Without a daemon, only whose terminals are `held` is known.
async fn no_terminal<'a>(session: &SessionId, held: impl Iterator<Item = &'a str>, env: &Env) -> CliError {
    if let Ok(daemon) = super::find(env) {
        match session::fetch(&daemon, session).await {
            Ok(found) => return without_terminal(&found),
            Err(error @ CliError::Refused { .. }) => {
                return session::with_nearest(&daemon, error, session.as_str()).await;
            }
            Err(_) => {}
        }
    }
    CliError::NoTerminal {
        session: session.to_string(),
        stands: None,
        instead: match nearest(session.as_str(), held) {
            Some(id) => format!("did you mean `{id}`? all of them: ao session ls"),
            None => format!("see how it stands: ao session get {session}"),
        },
    }
}

/// How a session stands that no terminal is held for, and what to do.
fn without_terminal(found: &Session) -> CliError {
    let id = &found.id;
    let reason = session::reason(found);
    let look = format!("see how it stands: ao session get {id}");
    let (stands, instead) = match found.phase {
        Phase::Queued => (
            format!("it waits in line, {reason}"),
            format!("it starts in its turn; see how it stands: ao session get {id}"),
        ),
        Phase::Worktree | Phase::Provision | Phase::Prepare | Phase::Launch => {
            (format!("it is on its way up, {reason}"), look)
        }
        Phase::Live => (format!("it lives without one, {reason}"), look),
        Phase::Stopping | Phase::Freeing => (format!("it is being ended, {reason}"), look),
        Phase::Finished | Phase::Ended => (
            format!("it is over, {reason}"),
            format!("bring it back: {}", restore::command(found)),
        ),
    };
    CliError::NoTerminal {
        session: id.to_string(),
        stands: Some(stands),
        instead,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::session::tests::session;

    #[test]
    fn where_no_terminal_is_held_how_the_session_stands_is_said() {
        let of = |change| without_terminal(&session("web-3", &change)).for_people();
        expect_test::expect![[r#"
            no terminal is held for `web-3`: it waits in line, every place is taken (2 of 4 that wait)
            it starts in its turn; see how it stands: ao session get web-3"#]]
        .assert_eq(&of(json!({"phase": "queued", "reason": "every place is taken",
            "queue": {"place": 2, "of": 4, "waitsFor": "place"}})));
        expect_test::expect![[r#"
            no terminal is held for `web-3`: it is over, somebody ended it
            bring it back: ao session restore web-3"#]]
        .assert_eq(&of(
            json!({"phase": "ended", "reason": "somebody ended it", "nativeId": "n-1"}),
        ));
        expect_test::expect![[r#"
            no terminal is held for `web-3`: it is on its way up, making the worktree
            see how it stands: ao session get web-3"#]]
        .assert_eq(&of(json!({"phase": "worktree", "reason": "making the worktree"})));
    }
}
