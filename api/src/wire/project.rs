//! Projects: registered repositories.

use ao_domain::ProjectId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What kind of repository a project is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProjectKind {
    /// One git repository.
    SingleRepo,
}

/// A project in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectSummary {
    /// Its id.
    #[schema(value_type = String)]
    pub id: ProjectId,
    /// What people call it.
    pub name: String,
    /// How its id begins in the names of sessions' branches.
    pub session_prefix: String,
    /// Top level of the repository.
    pub path: String,
    /// What kind of repository it is.
    pub kind: ProjectKind,
}

/// Every project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectList {
    /// By id; removed ones are not in it.
    pub projects: Vec<ProjectSummary>,
}

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    /// Its id.
    #[schema(value_type = String)]
    pub id: ProjectId,
    /// What people call it.
    pub name: String,
    /// Top level of the repository.
    pub path: String,
    /// What kind of repository it is.
    pub kind: ProjectKind,
    /// URL of the remote `origin`; empty when there is none.
    pub repo: String,
    /// Where new worktrees start from.
    pub default_branch: String,
    /// Whether a session's worktree is taken back once its work was merged, where nothing is lost by that.
    #[serde(default)]
    #[schema(required)]
    pub reclaim_on_merge: bool,
    /// Why it cannot be worked on now; absent when it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolve_error: Option<String>,
}

/// Whether a project can be worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProjectHealth {
    /// Its repository is there.
    Ok,
    /// It is not; the project's `resolveError` says why.
    Degraded,
}

/// A project and how its repository stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectGot {
    /// Whether it can be worked on.
    pub status: ProjectHealth,
    /// The project.
    pub project: Project,
}

/// Registers a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddProject {
    /// Top level of a git repository, absolute.
    #[serde(default)]
    #[schema(required)]
    pub path: String,
    /// The id it gets; the directory's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// What people call it; the id when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What can be set of a project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProjectConfig {
    /// Whether a session's worktree is taken back once its work was merged, where nothing is lost by that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reclaim_on_merge: Option<bool>,
}

/// Sets what is given of a project; the rest stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetProjectConfig {
    /// What is to be another.
    pub config: ProjectConfig,
}

/// A project that was registered or set anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectAnswer {
    /// The project.
    pub project: Project,
}

/// The project that was removed. Its repository and its history stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectRemoved {
    /// Its id.
    #[schema(value_type = String)]
    pub project_id: ProjectId,
    /// Always false: nothing on disk is removed with a project.
    pub removed_storage_dir: bool,
}
