//! `ao attach`: this terminal on a session's. Talks to the session's holder, so it works without a daemon.

use ao_domain::SessionId;
use ao_domain::port::runtime::{Runtime as _, RuntimeRef};
use ao_local::runtimes::holder::Runs;
use ao_local::runtimes::holder::attach::{self, AttachEnd, DetachKey};
use ao_local::runtimes::{kept_in, zellij};
use camino::{Utf8Path, Utf8PathBuf};
use clap_complete::engine::ArgValueCompleter;

use super::completion::live_sessions;
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
    let data = data_dir(env)?;
    let failed = |source| CliError::Io {
        doing: "starting the runtime",
        path: "ao".into(),
        source,
    };
    let (runs, at) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?
        .block_on(newest_run(&data, &args.session))?;
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
pub(super) async fn newest_run(data: &Utf8Path, session: &SessionId) -> Result<(Runs, RuntimeRef), CliError> {
    let mut all = Vec::new();
    for runs in kept_in(data) {
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
    newest.cloned().ok_or_else(|| {
        let known = all.iter().map(|(_, at)| at.session.as_str());
        CliError::NoTerminal {
            session: session.to_string(),
            instead: match nearest(session.as_str(), known) {
                Some(id) => format!("did you mean `{id}`? all of them: ao session ls"),
                None => format!("see how it stands: ao session get {session}"),
            },
        }
    })
}
