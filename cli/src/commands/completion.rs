//! `ao completion`: the shell asks `ao` itself what could come next, so that ids are those of this moment.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use ao_api::wire::{PrList, ProjectList, Session, SessionList};
use ao_domain::foreign_text::in_line;
use ao_domain::port::agent::Agents as _;
use ao_local::agents::Registry;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{Bash, CompleteEnv, EnvCompleter, Fish, Powershell, Zsh};

use crate::client::Ask;
use crate::env::Env;
use crate::error::CliError;
use crate::render::{Out, safe};

/// Set by the script when it asks what could come next.
pub(crate) const ASKED_BY: &str = "AO_COMPLETE";

/// How long a person at a prompt waits for ids.
const PATIENCE: Duration = Duration::from_secs(1);

/// Print the script that completes commands in a shell
///
/// It asks `ao` at each Tab: names of commands and options, and the ids that the daemon knows in that moment.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  echo 'source <(ao completion bash)' >> ~/.bashrc
  echo 'source <(ao completion zsh)' >> ~/.zshrc
  ao completion fish > ~/.config/fish/completions/ao.fish
  ao completion powershell >> $PROFILE")]
pub(crate) struct CompletionArgs {
    /// bash, zsh, fish or powershell
    #[arg(value_name = "SHELL")]
    shell: String,
}

const SHELLS: [(&str, &dyn EnvCompleter); 4] = [
    ("bash", &Bash),
    ("zsh", &Zsh),
    ("fish", &Fish),
    ("powershell", &Powershell),
];

pub(crate) fn run(args: &CompletionArgs, out: &mut Out) -> Result<(), CliError> {
    let Some((_, shell)) = SHELLS.iter().find(|(name, _)| *name == args.shell) else {
        let known: Vec<&str> = SHELLS.iter().map(|(name, _)| *name).collect();
        return Err(CliError::UnknownShell {
            shell: args.shell.clone(),
            known: known.join(", "),
        });
    };
    let mut script = Vec::new();
    shell
        .write_registration(ASKED_BY, "ao", "ao", "ao", &mut script)
        .map_err(CliError::Print)?;
    let script = String::from_utf8_lossy(&script).into_owned();
    out.verbatim(&script)
}

/// Answers a shell that asks what could come next; `None` where none does.
pub(crate) fn asked(arguments: &[OsString], env: &Env) -> Option<ExitCode> {
    if !env.asks_for_completion() {
        return None;
    }
    let chaos = env.shows_chaos();
    let answered = CompleteEnv::with_factory(move || super::command_line(chaos))
        .var(ASKED_BY)
        .try_complete(arguments.iter().cloned(), None);
    Some(match answered {
        Ok(_) => ExitCode::SUCCESS,
        // Nobody reads it at a prompt; the shell only sees that there is nothing.
        Err(_) => ExitCode::FAILURE,
    })
}

/// Sessions whose agent is not over.
pub(crate) fn live_sessions(typed: &OsStr) -> Vec<CompletionCandidate> {
    sessions(typed, |session| !session.is_terminated)
}

/// Sessions whose agent is over.
pub(crate) fn over_sessions(typed: &OsStr) -> Vec<CompletionCandidate> {
    sessions(typed, |session| session.is_terminated)
}

/// All sessions.
pub(crate) fn any_sessions(typed: &OsStr) -> Vec<CompletionCandidate> {
    sessions(typed, |_| true)
}

fn sessions(typed: &OsStr, wanted: impl Fn(&Session) -> bool) -> Vec<CompletionCandidate> {
    let list: SessionList = fetch("/api/v1/sessions").unwrap_or(SessionList { sessions: Vec::new() });
    let found = list
        .sessions
        .iter()
        .filter(|session| wanted(session))
        .map(|session| {
            let about = session.display_name.as_ref().or(session.title.as_ref());
            let about = about.map_or_else(String::new, |about| format!(": {about}"));
            (session.id.to_string(), format!("{}{about}", session.status))
        });
    candidates(typed, found)
}

/// Pull requests, by their numbers here.
pub(crate) fn pull_requests(typed: &OsStr) -> Vec<CompletionCandidate> {
    let list: PrList = fetch("/api/v1/prs").unwrap_or(PrList { prs: Vec::new() });
    let found = list.prs.iter().map(|pr| {
        let (short, title) = (&pr.short, in_line(&pr.short.title, 60));
        let about = format!("#{} of {}, {}: {title}", short.number, pr.session_id, short.state);
        (short.id.to_string(), about)
    });
    candidates(typed, found)
}

/// Registered projects.
pub(crate) fn projects(typed: &OsStr) -> Vec<CompletionCandidate> {
    let list: ProjectList = fetch("/api/v1/projects").unwrap_or(ProjectList { projects: Vec::new() });
    let found = list
        .projects
        .iter()
        .map(|project| (project.id.to_string(), project.path.clone()));
    candidates(typed, found)
}

/// Agents that this program knows.
pub(crate) fn agents(typed: &OsStr) -> Vec<CompletionCandidate> {
    let registry = Registry::new(OsStr::new(""));
    let found = registry.ids().into_iter().filter_map(|id| {
        let name = registry.get(id).ok()?.description().name;
        Some((id.to_owned(), name.to_owned()))
    });
    candidates(typed, found)
}

fn candidates(typed: &OsStr, found: impl Iterator<Item = (String, String)>) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    found
        .filter(|(id, _)| id.starts_with(&*typed))
        .map(|(id, about)| CompletionCandidate::new(id).help(Some(safe(&about).replace('\n', " ").into())))
        .collect()
}

/// One question to the daemon, soon or not at all.
fn fetch<T: serde::de::DeserializeOwned>(path: &str) -> Option<T> {
    let env = Env::of_process();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let asked = async {
        let daemon = super::find(&env).ok()?;
        daemon.fetch(Ask::get(path).within(PATIENCE)).await.ok()
    };
    runtime.map_err(io::Error::other).ok()?.block_on(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_completed_with_what_they_are() {
        let found = [("web-1", "working: tidy\nup"), ("api-1", "idle")]
            .map(|(id, about)| (id.to_owned(), about.to_owned()));
        let candidates = candidates(OsStr::new("web"), found.into_iter());
        let shown: Vec<(String, String)> = candidates
            .iter()
            .map(|candidate| {
                let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
                (candidate.get_value().to_string_lossy().into_owned(), help)
            })
            .collect();
        assert_eq!(shown, [("web-1".to_owned(), "working: tidy up".to_owned())]);
        assert!(
            agents(OsStr::new("cl"))
                .iter()
                .any(|agent| agent.get_value() == "claude-code")
        );
    }
}
