//! Projects: registered, listed, looked at, set, removed.

use ao_domain::port::worktrees::WorktreeError;
use ao_domain::{BadConfig, ProjectConfig, ProjectId, Repository, SessionId, chain};
use ao_facts::{Added, Configured, Move, NewProject, ProjectRemoval};
use ao_supervisor::step;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use camino::{Utf8Path, Utf8PathBuf};

use crate::Api;
use crate::error::{ApiError, json};
use crate::extract::{JsonBody, ProjectPath, no_project};
use crate::wire::{
    AddProject, ErrorBody, MoveProject, Project, ProjectAnswer, ProjectGot, ProjectHealth, ProjectKind,
    ProjectList, ProjectRemoved, ProjectSummary, SetProjectConfig,
};

/// Every project, by id.
#[utoipa::path(
    get, path = "/api/v1/projects", operation_id = "listProjects", tag = "projects",
    responses((status = 200, description = "All but removed ones", body = ProjectList))
)]
pub(super) async fn list(State(api): State<Api>) -> Result<Response, ApiError> {
    let projects = api.reader.projects().await?;
    let projects = projects.into_iter().map(|project| ProjectSummary {
        session_prefix: project.session_prefix().to_owned(),
        id: project.id,
        name: project.display_name,
        path: project.path.into_string(),
        kind: ProjectKind::SingleRepo,
    });
    json(
        StatusCode::OK,
        &ProjectList {
            projects: projects.collect(),
        },
    )
}

/// Registers a repository.
#[utoipa::path(
    post, path = "/api/v1/projects", operation_id = "addProject", tag = "projects", request_body = AddProject,
    responses(
        (status = 201, description = "It is registered", body = ProjectAnswer),
        (status = 400, description = "`INVALID_JSON`, `PATH_REQUIRED`, `INVALID_PATH`, `INVALID_PROJECT_ID`, `NOT_A_GIT_REPO`, \
            `BARE_REPOSITORY`, `NO_COMMITS`", body = ErrorBody),
        (status = 409, description = "`PATH_ALREADY_REGISTERED` with `existingProjectId`, `ID_ALREADY_REGISTERED` with \
            `existingProjectId` and `suggestedProjectId`", body = ErrorBody),
        (status = 500, description = "`GIT_FAILED`", body = ErrorBody),
    )
)]
pub(super) async fn add(
    State(api): State<Api>,
    JsonBody(asked): JsonBody<AddProject>,
) -> Result<Response, ApiError> {
    let path = path_of(&asked.path)?;
    if path.starts_with(&api.config.worktree_root) {
        let message = format!("`{path}` is a session's worktree: register the repository it was made from");
        return Err(ApiError::bad("INVALID_PATH", message));
    }
    let chosen = match trimmed(asked.project_id.as_deref()) {
        Some(id) => Some(id.parse().map_err(invalid_id)?),
        None => None,
    };
    let repository = repository(&api, &path).await.map_err(unusable)?;
    let id: ProjectId = match chosen {
        Some(id) => id,
        None => {
            ProjectId::from_directory(repository.top.file_name().unwrap_or_default()).map_err(invalid_id)?
        }
    };
    let new = NewProject {
        id: id.clone(),
        path: repository.top,
        origin: repository.origin,
        display_name: trimmed(asked.name.as_deref()).map(str::to_owned),
        default_branch: repository.default_branch,
        now: api.clock.now(),
    };
    let path = new.path.clone();
    match step!("intent.add_project", api.intents.add_project(new))? {
        Added::Added(project) => json(
            StatusCode::CREATED,
            &ProjectAnswer {
                project: shown(*project),
            },
        ),
        Added::PathTaken { id } => {
            let message = format!("`{path}` is registered already, as project `{id}`");
            Err(ApiError::conflict("PATH_ALREADY_REGISTERED", message)
                .detail("existingProjectId", id.as_str()))
        }
        Added::IdTaken { suggested } => {
            let message =
                format!("`{id}` is the name of another repository: name this one with --id {suggested}");
            Err(ApiError::conflict("ID_ALREADY_REGISTERED", message)
                .detail("existingProjectId", id.as_str())
                .detail("suggestedProjectId", suggested.as_str()))
        }
    }
}

/// One project, and whether its repository can be worked on.
#[utoipa::path(
    get, path = "/api/v1/projects/{id}", operation_id = "getProject", tag = "projects",
    params(("id" = String, Path, description = "The project")),
    responses(
        (status = 200, description = "The project", body = ProjectGot),
        (status = 400, description = "`INVALID_PROJECT_ID`", body = ErrorBody),
        (status = 404, description = "`PROJECT_NOT_FOUND`", body = ErrorBody),
    )
)]
pub(super) async fn get(State(api): State<Api>, ProjectPath(id): ProjectPath) -> Result<Response, ApiError> {
    let project = active(&api, &id).await?;
    let found = repository(&api, &project.path).await;
    let mut project = shown(project);
    let status = match found {
        Ok(_) => ProjectHealth::Ok,
        Err(error) => {
            project.resolve_error = Some(chain(&error).to_string());
            ProjectHealth::Degraded
        }
    };
    json(StatusCode::OK, &ProjectGot { status, project })
}

/// Sets what is given of a project; the rest stays as it is.
#[utoipa::path(
    put, path = "/api/v1/projects/{id}/config", operation_id = "setProjectConfig", tag = "projects",
    params(("id" = String, Path, description = "The project")), request_body = SetProjectConfig,
    responses(
        (status = 200, description = "The project as it is now", body = ProjectAnswer),
        (status = 400, description = "`INVALID_JSON`, `INVALID_PROJECT_ID`, `INVALID_PROJECT_CONFIG` with `key`, and with `knownKeys` where that is \
            none", body = ErrorBody),
        (status = 404, description = "`PROJECT_NOT_FOUND`", body = ErrorBody),
    )
)]
pub(super) async fn configure(
    State(api): State<Api>,
    ProjectPath(id): ProjectPath,
    JsonBody(asked): JsonBody<SetProjectConfig>,
) -> Result<Response, ApiError> {
    let patch = serde_json::Value::Object(asked.config);
    runtime_is_known(&api, &patch)?;
    let set = api
        .intents
        .configure_project(&id, asked.clear, &patch, api.clock.now());
    match step!("intent.configure_project", set)? {
        Configured::Yes(project) => {
            let project = shown(*project);
            json(StatusCode::OK, &ProjectAnswer { project })
        }
        Configured::NotFound => Err(no_project(&id)),
        Configured::Refused(why) => {
            let refusal = ApiError::bad("INVALID_PROJECT_CONFIG", why.to_string());
            Err(match why {
                BadConfig::Value { key, .. } => refusal.detail("key", key),
                BadConfig::Key { key } => refusal
                    .detail("key", key)
                    .detail("knownKeys", ProjectConfig::keys()),
                BadConfig::Form(_) => refusal,
            })
        }
    }
}

/// Says where a project's repository is now. Its worktrees follow, then the project does.
///
/// From the first answer on, or from the loss of the connection, it is written down that it moves. Safe to repeat.
#[utoipa::path(
    post, path = "/api/v1/projects/{id}/move", operation_id = "moveProject", tag = "projects",
    params(("id" = String, Path, description = "The project")), request_body = MoveProject,
    responses(
        (status = 200, description = "It is there", body = ProjectAnswer),
        (status = 202, description = "It is on its way; the wait was over first", body = ProjectAnswer),
        (status = 400, description = "As for `addProject`", body = ErrorBody),
        (status = 404, description = "`PROJECT_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`PATH_ALREADY_REGISTERED` with `existingProjectId`, `PROJECT_NOT_MOVED`: everything is where it was",
            body = ErrorBody),
        (status = 500, description = "`GIT_FAILED`", body = ErrorBody),
    )
)]
pub(super) async fn relocate(
    State(api): State<Api>,
    ProjectPath(id): ProjectPath,
    JsonBody(asked): JsonBody<MoveProject>,
) -> Result<Response, ApiError> {
    let path = path_of(&asked.path)?;
    let top = repository(&api, &path).await.map_err(unusable)?.top;
    match step!(
        "intent.move_project",
        api.intents.move_project(&id, &top, api.clock.now())
    )? {
        Move::Asked | Move::Already => {}
        Move::NotFound => return Err(no_project(&id)),
        Move::PathTaken { id } => {
            let message = format!("`{top}` is registered already, as project `{id}`");
            return Err(ApiError::conflict("PATH_ALREADY_REGISTERED", message)
                .detail("existingProjectId", id.as_str()));
        }
    }
    let until = tokio::time::Instant::now() + api.config.patience;
    let mut wakeups = api.reader.wakeups(); // taken before the look, so that no change falls in between
    loop {
        let project = active(&api, &id).await?;
        if project.moves_to.is_none() {
            let overtaken = || {
                format!(
                    "somebody else has moved it meanwhile: it is at `{}`",
                    project.path
                )
            };
            let not_moved =
                (project.path != top).then(|| project.move_failed.clone().unwrap_or_else(overtaken));
            return match not_moved {
                Some(why) => Err(ApiError::conflict("PROJECT_NOT_MOVED", why)),
                None => json(
                    StatusCode::OK,
                    &ProjectAnswer {
                        project: shown(project),
                    },
                ),
            };
        }
        let over = tokio::select! {
            biased;
            () = api.stage.stopping() => true,
            changed = tokio::time::timeout_at(until, wakeups.changed()) => changed.is_err(),
        };
        if over {
            return json(
                StatusCode::ACCEPTED,
                &ProjectAnswer {
                    project: shown(project),
                },
            );
        }
    }
}

/// What only the running program knows: which runtimes and agents there are.
fn runtime_is_known(api: &Api, patch: &serde_json::Value) -> Result<(), ApiError> {
    let unknown = |key: &'static str, name: &str, known: Vec<String>| {
        let message = format!(
            "`{key}`: there is no `{}`: known are {}",
            name.escape_debug(),
            known.join(", ")
        );
        ApiError::bad("INVALID_PROJECT_CONFIG", message)
            .detail("key", key)
            .detail("known", known)
    };
    if let Some(name) = patch["runtime"].as_str()
        && !api.config.runtimes.iter().any(|known| known == name)
    {
        return Err(unknown("runtime", name, api.config.runtimes.clone()));
    }
    let reviewers = patch["reviewers"].as_array().into_iter().flatten();
    let agents = [
        ("worker.agent", &patch["worker"]["agent"]),
        ("orchestrator.agent", &patch["orchestrator"]["agent"]),
    ]
    .into_iter()
    .chain(reviewers.map(|reviewer| ("reviewers", &reviewer["harness"])));
    for (key, name) in agents.filter_map(|(key, name)| Some((key, name.as_str()?))) {
        if api.agents.get(name).is_err() {
            let known = api.agents.ids().iter().map(ToString::to_string).collect();
            return Err(unknown(key, name, known));
        }
    }
    Ok(())
}

/// Removes a project that no session works on. Its repository stays, and so does its history.
#[utoipa::path(
    delete, path = "/api/v1/projects/{id}", operation_id = "removeProject", tag = "projects",
    params(("id" = String, Path, description = "The project")),
    responses(
        (status = 200, description = "It is removed", body = ProjectRemoved),
        (status = 400, description = "`INVALID_PROJECT_ID`", body = ErrorBody),
        (status = 404, description = "`PROJECT_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`PROJECT_HAS_LIVE_SESSIONS` with `sessionIds`", body = ErrorBody),
    )
)]
pub(super) async fn remove(
    State(api): State<Api>,
    ProjectPath(id): ProjectPath,
) -> Result<Response, ApiError> {
    match step!(
        "intent.remove_project",
        api.intents.remove_project(&id, api.clock.now())
    )? {
        ProjectRemoval::Removed => json(
            StatusCode::OK,
            &ProjectRemoved {
                project_id: id,
                removed_storage_dir: false,
            },
        ),
        ProjectRemoval::NotFound => Err(no_project(&id)),
        ProjectRemoval::HasLiveSessions(sessions) => {
            let names: Vec<&str> = sessions.iter().map(SessionId::as_str).collect();
            let message = format!(
                "sessions still work on `{id}`: end them first (ao kill {})",
                names.join(", ao kill ")
            );
            Err(ApiError::conflict("PROJECT_HAS_LIVE_SESSIONS", message).detail("sessionIds", names))
        }
    }
}

/// The project of that id, unless it was removed.
pub(super) async fn active(api: &Api, id: &ProjectId) -> Result<ao_domain::Project, ApiError> {
    let project = api.reader.project(id).await?;
    project
        .filter(|project| project.archived_at.is_none())
        .ok_or_else(|| no_project(id))
}

/// Looks at a repository, for no longer than a request may take.
pub(super) async fn repository(api: &Api, path: &Utf8Path) -> Result<Repository, WorktreeError> {
    let look = tokio::time::timeout(api.config.patience, api.worktrees.repository(path));
    look.await.unwrap_or_else(|_| {
        Err(WorktreeError::Git {
            verb: "rev-parse",
            path: path.to_owned(),
            said: "timed out".to_owned(),
        })
    })
}

/// Why a repository cannot be registered or worked on, with the next step where there is one.
pub(super) fn unusable(error: WorktreeError) -> ApiError {
    let message = chain(&error).to_string();
    match error {
        WorktreeError::NoSuchPath { .. } => ApiError::bad("INVALID_PATH", message),
        WorktreeError::NotTheTop { top, .. } => {
            ApiError::bad("NOT_A_GIT_REPO", message).detail("top", top.as_str())
        }
        WorktreeError::Bare { .. } => ApiError::bad("BARE_REPOSITORY", message),
        WorktreeError::NoCommits { .. } => ApiError::bad("NO_COMMITS", message),
        WorktreeError::NotARepository { .. } => ApiError::bad("NOT_A_GIT_REPO", message),
        other => ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "GIT_FAILED", message).because(other),
    }
}

fn path_of(text: &str) -> Result<Utf8PathBuf, ApiError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ApiError::bad(
            "PATH_REQUIRED",
            "name the repository by its absolute path, as `path`",
        ));
    }
    let path = Utf8PathBuf::from(text);
    if !path.is_absolute() || text.contains('\0') {
        // The daemon's own directory and home say nothing about what the caller means.
        let message = format!(
            "`{}` is not an absolute path: give one that starts with `/`",
            text.escape_debug()
        );
        return Err(ApiError::bad("INVALID_PATH", message));
    }
    Ok(path)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn invalid_id(error: ao_domain::InvalidId) -> ApiError {
    ApiError::bad("INVALID_PROJECT_ID", format!("{error}; name one with --id"))
}

/// What a text says without the blanks around it; `None` when that is nothing.
pub(super) fn trimmed(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

fn shown(project: ao_domain::Project) -> Project {
    Project {
        id: project.id,
        name: project.display_name,
        path: project.path.into_string(),
        kind: ProjectKind::SingleRepo,
        repo: project.origin.unwrap_or_default(),
        default_branch: project.default_branch,
        config: project.config,
        moves_to: project.moves_to.map(Into::into),
        move_failed: project.move_failed,
        resolve_error: None,
    }
}
