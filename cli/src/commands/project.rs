//! `ao project …`: which repositories ao works on.

mod config;

use std::io::{self, BufRead as _};

use ao_api::wire::{
    AddProject, MoveProject, ProjectAnswer, ProjectGot, ProjectHealth, ProjectList, ProjectRemoved,
    SessionList,
};
use ao_domain::ProjectId;
use camino::{Utf8Path, Utf8PathBuf};
use clap::Subcommand;

use self::config::SetConfigArgs;
use crate::client::{Ask, Daemon, encoded};
use crate::env::Env;
use crate::error::CliError;
use crate::render::{Out, nearest};

/// Register repositories and look at them
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ao project add ~/src/web\n  ao project ls\n  ao project get web\n  ao project set-config web --reclaim-on-merge on\n  ao project rm web"
)]
pub(crate) struct ProjectArgs {
    #[command(subcommand)]
    command: Option<ProjectCommand>,
}

#[derive(Subcommand)]
enum ProjectCommand {
    Add(AddArgs),
    Ls(LsArgs),
    Get(GetArgs),
    SetConfig(Box<SetConfigArgs>),
    Move(MoveArgs),
    Rm(RmArgs),
}

/// Register a repository
///
/// Without a path: the repository of the working directory.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ao project add                               the repository you are in
  ao project add ~/src/web
  ao project add --path ~/src/web --id shop --name \"The shop\"")]
struct AddArgs {
    /// Top level of a git repository
    #[arg(value_name = "PATH", conflicts_with = "flag_path")]
    path: Option<Utf8PathBuf>,

    /// The same as a flag
    #[arg(long = "path", value_name = "PATH", id = "flag_path")]
    flag_path: Option<Utf8PathBuf>,

    /// The project's id; the directory's name when not given
    #[arg(long)]
    id: Option<ProjectId>,

    /// What people call it; the id when not given
    #[arg(long)]
    name: Option<String>,
}

/// List the registered repositories
#[derive(clap::Args)]
#[command(
    visible_alias = "list",
    after_help = "Examples:\n  ao project ls\n  ao project ls --json"
)]
struct LsArgs {}

/// Show one registered repository
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ao project get web")]
struct GetArgs {
    /// The project's id
    id: ProjectId,
}

/// Say where a repository is now that was moved
///
/// The worktrees of its sessions find it again; no file in them is touched.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ao project move web ~/code/web")]
struct MoveArgs {
    /// The project's id
    id: ProjectId,

    /// Top level of the repository, where it is now
    #[arg(value_name = "PATH")]
    path: Utf8PathBuf,
}

/// Remove a repository from ao; nothing on disk is touched
#[derive(clap::Args)]
#[command(visible_aliases = ["remove", "delete"], after_help = "Examples:\n  ao project rm web\n  ao project rm web --yes")]
struct RmArgs {
    /// The project's id
    id: ProjectId,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(crate) async fn run(args: ProjectArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    match args.command {
        None => super::group_help("project", env, out),
        Some(ProjectCommand::Add(args)) => add(args, env, out).await,
        Some(ProjectCommand::Ls(_)) => ls(env, out).await,
        Some(ProjectCommand::Get(args)) => get(&args, env, out).await,
        Some(ProjectCommand::SetConfig(args)) => config::set(&args, env, out).await,
        Some(ProjectCommand::Move(args)) => move_to(&args, env, out).await,
        Some(ProjectCommand::Rm(args)) => rm(&args, env, out).await,
    }
}

async fn add(args: AddArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let path = match args.path.or(args.flag_path) {
        // Made absolute here: the daemon's working directory is another.
        Some(path) => env
            .absolute(&path)
            .ok_or_else(|| CliError::misuse(format!("`{path}` cannot be made an absolute path")))?,
        None => here(env)
            .and_then(|here| repository_of(&here))
            .ok_or_else(|| CliError::Misuse {
                what: "this directory is in no git repository".to_owned(),
                instead: Some("name one: ao project add PATH".to_owned()),
            })?,
    };
    let asked = AddProject {
        path: path.into_string(),
        project_id: args.id.map(String::from),
        name: args.name,
    };
    let answer: ProjectAnswer = super::find(env)?
        .fetch(Ask::post("/api/v1/projects").json(&asked))
        .await
        .map_err(with_the_project_there)?;
    if out.is_json() {
        return out.object(&answer);
    }
    out.line(format!(
        "registered project {} at {}",
        answer.project.id, answer.project.path
    ))
}

/// Where a refusal names another project or a free id, says how to go on with it.
fn with_the_project_there(error: CliError) -> CliError {
    match error {
        CliError::Refused { status, body, hint } => {
            let better = match (
                body.code.as_str(),
                body.detail("existingProjectId"),
                body.detail("suggestedProjectId"),
            ) {
                ("PATH_ALREADY_REGISTERED", Some(id), _) => Some(format!("use it: ao spawn --project {id}")),
                ("ID_ALREADY_REGISTERED", _, Some(id)) => Some(format!("take a free id: --id {id}")),
                _ => None,
            };
            CliError::Refused {
                status,
                body,
                hint: better.or(hint),
            }
        }
        other => other,
    }
}

async fn ls(env: &Env, out: &mut Out) -> Result<(), CliError> {
    let list = list(&super::find(env)?).await?;
    if out.is_json() {
        return out.object(&list);
    }
    if list.projects.is_empty() {
        return out.line("No projects registered: ao project add --path PATH");
    }
    let rows = list
        .projects
        .into_iter()
        .map(|project| {
            vec![
                project.id.to_string(),
                project.name,
                project.session_prefix,
                project.path,
            ]
        })
        .collect();
    out.table(&["ID", "NAME", "SESSION PREFIX", "PATH"], rows)
}

async fn get(args: &GetArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let daemon = super::find(env)?;
    let path = format!("/api/v1/projects/{}", encoded(args.id.as_str()));
    let got: ProjectGot = match daemon.fetch(Ask::get(path)).await {
        Ok(got) => got,
        Err(error) => return Err(with_nearest(&daemon, error, args.id.as_str()).await),
    };
    if out.is_json() {
        return out.object(&got);
    }
    let status = match got.status {
        ProjectHealth::Ok => "ok",
        ProjectHealth::Degraded => "degraded",
    };
    let project = got.project;
    out.line(format!("Project {} ({status})", project.id))?;
    let rows = [
        ("name", project.name),
        ("path", project.path),
        ("repo", project.repo),
        ("default branch", project.default_branch),
        ("on its way to", project.moves_to.unwrap_or_default()),
        ("not moved", project.move_failed.unwrap_or_default()),
        ("resolve error", project.resolve_error.unwrap_or_default()),
    ];
    for (name, value) in rows.into_iter().filter(|(_, value)| !value.is_empty()) {
        out.line(format!("  {name}: {value}"))?;
    }
    for (key, value) in config::lines(&project.config) {
        out.line(format!("  {key}: {value}"))?;
    }
    Ok(())
}

async fn move_to(args: &MoveArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let daemon = super::find(env)?;
    // Made absolute here: the daemon's working directory is another.
    let to = env
        .absolute(&args.path)
        .ok_or_else(|| CliError::misuse(format!("`{}` cannot be made an absolute path", args.path)))?;
    let path = format!("/api/v1/projects/{}/move", encoded(args.id.as_str()));
    let asked = MoveProject {
        path: to.into_string(),
    };
    let answer: ProjectAnswer = match daemon.fetch(Ask::post(path).json(&asked)).await {
        Ok(answer) => answer,
        Err(error) => return Err(with_nearest(&daemon, error, args.id.as_str()).await),
    };
    if out.is_json() {
        return out.object(&answer);
    }
    let project = answer.project;
    match &project.moves_to {
        Some(to) => out.line(format!(
            "project {} is on its way to {to}: ao project get {}",
            project.id, project.id
        )),
        None => out.line(format!(
            "project {} is at {}, with its worktrees",
            project.id, project.path
        )),
    }
}

async fn rm(args: &RmArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let daemon = super::find(env)?;
    if !args.yes {
        if out.is_json() {
            return Err(CliError::misuse("with --json nobody is asked: add --yes"));
        }
        must_be(&daemon, &args.id).await?;
        out.ask(&format!(
            "Remove project \"{}\"? Type the project id to confirm: ",
            args.id
        ))?;
        let mut answer = String::new();
        // An answer that cannot be read is none.
        let _ = io::stdin().lock().read_line(&mut answer);
        if answer.trim() != args.id.as_str() {
            return Err(CliError::NotConfirmed);
        }
    }
    let path = format!("/api/v1/projects/{}", encoded(args.id.as_str()));
    let removed: ProjectRemoved = match daemon.fetch(Ask::delete(path)).await {
        Ok(removed) => removed,
        Err(error) => return Err(with_nearest(&daemon, error, args.id.as_str()).await),
    };
    if out.is_json() {
        return out.object(&removed);
    }
    out.line(format!("removed project {}", removed.project_id))
}

/// Every registered project.
///
/// # Errors
/// When the daemon cannot be asked.
pub(crate) async fn list(daemon: &Daemon) -> Result<ProjectList, CliError> {
    daemon.fetch(Ask::get("/api/v1/projects")).await
}

/// Refuses a project that is none, with the nearest that is one: where it was to narrow an answer, the answer would be empty
/// and hide a slip of the finger. One that was removed may still be named for what its sessions left.
///
/// # Errors
/// When there is no such project, or the daemon cannot be asked.
pub(crate) async fn must_be(daemon: &Daemon, id: &ProjectId) -> Result<(), CliError> {
    let name = encoded(id.as_str());
    let asked = Ask::get(format!("/api/v1/projects/{name}"));
    let Err(error) = daemon.fetch::<ProjectGot>(asked).await else {
        return Ok(());
    };
    let asked = Ask::get(format!("/api/v1/sessions?project={name}"));
    let left: SessionList = daemon.fetch(asked).await?;
    if left.sessions.is_empty() {
        Err(with_nearest(daemon, error, id.as_str()).await)
    } else {
        Ok(())
    }
}

/// Adds the nearest known id to a refusal that says there is no such project.
pub(crate) async fn with_nearest(daemon: &Daemon, error: CliError, typed: &str) -> CliError {
    match error {
        CliError::Refused {
            status,
            body,
            hint: None,
        } if body.code == "PROJECT_NOT_FOUND" => {
            let known = list(daemon).await.map(|list| list.projects).unwrap_or_default();
            // Without a near one, the message itself says where to look.
            let hint = nearest(typed, known.iter().map(|project| project.id.as_str()))
                .map(|id| format!("did you mean `{id}`? all of them: ao project ls"));
            CliError::Refused { status, body, hint }
        }
        other => other,
    }
}

/// The working directory without symlinks, as the daemon knows paths.
pub(crate) fn here(env: &Env) -> Option<Utf8PathBuf> {
    let cwd = env.cwd()?;
    Some(cwd.canonicalize_utf8().unwrap_or_else(|_| cwd.to_owned()))
}

/// Top level of the repository that `dir` is in; from a linked worktree, that of the repository it belongs to. Looks
/// at files only.
pub(crate) fn repository_of(dir: &Utf8Path) -> Option<Utf8PathBuf> {
    for top in dir.ancestors() {
        let git = top.join(".git");
        let Ok(meta) = std::fs::metadata(&git) else {
            continue;
        };
        if meta.is_dir() {
            return Some(top.to_owned());
        }
        // A linked worktree: `.git` is a file that names a folder, and that folder names the common one.
        let named = std::fs::read_to_string(&git).ok()?;
        let own = top.join(named.strip_prefix("gitdir:")?.trim());
        let Ok(common) = std::fs::read_to_string(own.join("commondir")) else {
            return Some(top.to_owned()); // a submodule, which is a repository of its own
        };
        let common = own.join(common.trim()).canonicalize_utf8().ok()?;
        return common.parent().map(Utf8Path::to_owned);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_linked_worktree_leads_to_its_repository() {
        let dir = Scratch::new();
        let (repo, tree) = (dir.path().join("web"), dir.path().join("tree"));
        let own = repo.join(".git/worktrees/tree");
        std::fs::create_dir_all(&own).unwrap();
        std::fs::create_dir_all(tree.join("src/deep")).unwrap();
        std::fs::write(own.join("commondir"), "../..\n").unwrap();
        std::fs::write(tree.join(".git"), format!("gitdir: {own}\n")).unwrap();
        assert_eq!(repository_of(&tree.join("src/deep")), Some(repo.clone()));
        assert_eq!(repository_of(&repo), Some(repo.clone()));
        let module = repo.join("module");
        std::fs::create_dir_all(repo.join(".git/modules/module")).unwrap();
        std::fs::create_dir_all(&module).unwrap();
        std::fs::write(module.join(".git"), "gitdir: ../.git/modules/module\n").unwrap();
        assert_eq!(repository_of(&module), Some(module));
        assert_eq!(repository_of(&dir.path().join("elsewhere")), None);
    }
}
