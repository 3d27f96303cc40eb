//! What keeps agents from a stranger's code, told before somebody claims such a pull request.

use std::collections::BTreeMap;

use ao_local::agents::trusted_by_a_person;
use camino::{Utf8Path, Utf8PathBuf};

use super::{ASK, Check, Level};
use crate::client::Daemon;
use crate::commands::project;
use crate::env::{Config, Env};

/// What agents were told to trust without a question, of all projects that a daemon knows; without one, of all that lies where
/// worktrees do.
pub(super) async fn checks(daemon: Option<&Daemon>, config: &Config, env: &Env) -> Vec<Check> {
    let worktrees = config.data_dir.join("worktrees");
    let repos = match daemon {
        Some(daemon) => repos(daemon).await,
        None => vec![worktrees.clone()],
    };
    let inherited = env.inherited();
    let looking = tokio::task::spawn_blocking(move || found(&repos, &worktrees, &inherited));
    // Files that nobody can read are told of by each agent's own checks.
    match tokio::time::timeout(ASK, looking).await {
        Ok(Ok(checks)) => checks,
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

async fn repos(daemon: &Daemon) -> Vec<Utf8PathBuf> {
    match tokio::time::timeout(ASK, project::list(daemon)).await {
        Ok(Ok(known)) => known
            .projects
            .into_iter()
            .map(|known| known.path.into())
            .collect(),
        // A daemon that does not answer has a check of its own.
        _ => Vec::new(),
    }
}

fn found(repos: &[Utf8PathBuf], worktrees: &Utf8Path, env: &[(String, String)]) -> Vec<Check> {
    let mut all: BTreeMap<_, Vec<&Utf8Path>> = BTreeMap::new();
    for repo in repos {
        for one in trusted_by_a_person(env, worktrees, repo) {
            all.entry((one.agent, one.file, one.folder))
                .or_default()
                .push(repo);
        }
    }
    let check = |((agent, file, folder), repos): ((&'static str, Utf8PathBuf, String), Vec<&Utf8Path>)| {
        let repos: Vec<String> = repos.iter().map(|repo| format!("`{repo}`")).collect();
        let message = format!(
            "trust: `{file}` trusts `{folder}`: of a stranger's code in a worktree of {} it would not ask, so no session begins with it",
            repos.join(", ")
        );
        Check::new(Level::Warn, "Agents", agent, message)
            .with("take that out of the file, or spawn another agent for pull requests from forks")
    };
    all.into_iter().map(check).collect()
}
