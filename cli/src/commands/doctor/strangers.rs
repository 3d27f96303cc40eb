//! What keeps agents from a stranger's code, told before somebody claims such a pull request.

use std::collections::BTreeMap;

use ao_api::wire::ProjectSummary;
use ao_local::agents::{TrustedByAPerson, trusted_by_a_person};
use camino::{Utf8Path, Utf8PathBuf};

use super::{ASK, Check, Level};
use crate::client::Daemon;
use crate::commands::project;
use crate::env::{Config, Env};

/// What agents that are `installed` were told to trust without a question, in all projects that a daemon knows; without one, wherever
/// worktrees lie.
pub(super) async fn checks(
    installed: &[&'static str],
    daemon: Option<&Daemon>,
    config: &Config,
    env: &Env,
) -> Vec<Check> {
    let worktrees = config.data_dir.join("worktrees");
    let projects = match daemon {
        Some(daemon) => Some(projects(daemon).await),
        None => None,
    };
    let inherited = env.inherited();
    let looking = tokio::task::spawn_blocking(move || found(projects, &worktrees, &inherited));
    // Files that nobody can read are told of by each agent's own checks.
    let Ok(Ok(all)) = tokio::time::timeout(ASK, looking).await else {
        return Vec::new();
    };
    let here = all.into_iter().filter(|(one, _)| installed.contains(&one.agent));
    here.map(|(one, repos)| check(&one, &repos)).collect()
}

async fn projects(daemon: &Daemon) -> Vec<ProjectSummary> {
    match tokio::time::timeout(ASK, project::list(daemon)).await {
        Ok(Ok(known)) => known.projects,
        // A daemon that does not answer has a check of its own.
        _ => Vec::new(),
    }
}

/// Each entry with the repositories of which it says so; none where it says so of every worktree.
fn found(
    projects: Option<Vec<ProjectSummary>>,
    worktrees: &Utf8Path,
    env: &[(String, String)],
) -> BTreeMap<TrustedByAPerson, Vec<String>> {
    // The daemon knows the folder without links in its name.
    let root = worktrees
        .canonicalize_utf8()
        .unwrap_or_else(|_| worktrees.to_owned());
    let to_come = |project: &str| root.join(project).join("to-come");
    let mut all: BTreeMap<_, Vec<String>> = BTreeMap::new();
    match projects {
        None => {
            let worktree = to_come("project");
            for one in trusted_by_a_person(env, &worktree, &worktree) {
                all.entry(one).or_default();
            }
        }
        Some(projects) => {
            for project in projects {
                let repo = Utf8PathBuf::from(project.path);
                for one in trusted_by_a_person(env, &to_come(project.id.as_str()), &repo) {
                    all.entry(one).or_default().push(format!("`{repo}`"));
                }
            }
        }
    }
    all
}

fn check(one: &TrustedByAPerson, repos: &[String]) -> Check {
    let of = match repos {
        [] => "any worktree".to_owned(),
        repos => format!("a worktree of {}", repos.join(", ")),
    };
    let message = format!(
        "trust: `{}` trusts `{}`: of a stranger's code in {of} it would not ask, so no session begins with it",
        one.file, one.folder
    );
    Check::new(Level::Warn, "Agents", one.agent, message)
        .with("take that out of the file, or spawn another agent for pull requests from forks")
}
