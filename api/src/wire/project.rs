//! Projects: registered repositories.

use std::collections::BTreeMap;

use ao_domain::{PermissionMode, ProjectConfig, ProjectId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;

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
    /// What somebody set for it.
    #[serde(default)]
    #[schema(value_type = ConfigSchema, required)]
    pub config: ProjectConfig,
    /// Where somebody says that its repository is now, until every worktree has followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves_to: Option<String>,
    /// Why its worktrees did not follow, when somebody said that last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub move_failed: Option<String>,
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

/// What is set of a project. In a request, a key that is not there stays as it is, and `null` takes it away.
#[derive(ToSchema)]
#[schema(as = ProjectConfig)]
#[serde(rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "it is `ao_domain::ProjectConfig` as the document shows it; a test compares their keys"
)]
pub(super) struct ConfigSchema {
    /// What new worktrees start from; the repository's own default branch when absent.
    default_branch: Option<String>,
    /// What stands before a session's number where people read it; the beginning of the project's id when absent.
    session_prefix: Option<String>,
    /// Variables of every session's agent and of post-create commands; those that say who a session is win.
    env: Option<BTreeMap<String, String>>,
    /// Paths of the checkout that every worktree has a link to, from the top of the repository.
    symlinks: Option<Vec<String>>,
    /// Commands that are run in a new worktree before its agent starts, in this order, each by `sh -c`.
    post_create: Option<Vec<String>>,
    /// How long each of them may take, in seconds; 600 when absent.
    post_create_timeout: Option<u32>,
    /// Ignored folders that a worktree may be taken back with, beyond the usual ones such as `target`.
    build_folders: Option<Vec<String>>,
    /// What every agent is told before its prompt.
    rules: Option<String>,
    /// What holds the terminals; the daemon's `AO_RUNTIME` when absent.
    runtime: Option<String>,
    /// How agents are started, whatever the session is for.
    agent_config: Option<AgentConfigSchema>,
    /// How workers are started: what is set here goes before `agentConfig`.
    worker: Option<RoleConfigSchema>,
    /// How orchestrators are started, likewise.
    orchestrator: Option<RoleConfigSchema>,
    /// Whether a session's worktree is taken back once its work was merged, where nothing is lost by that.
    reclaim_on_merge: Option<bool>,
    /// Who reviews, the first one first. Kept and shown, and no more: nothing is reviewed yet.
    reviewers: Option<Vec<ReviewerSchema>>,
}

/// An agent that reviews.
#[derive(ToSchema)]
#[schema(as = Reviewer)]
#[expect(dead_code, reason = "as `ConfigSchema`")]
pub(super) struct ReviewerSchema {
    /// Which.
    harness: String,
}

/// How an agent is started.
#[derive(ToSchema)]
#[schema(as = AgentConfig)]
#[expect(dead_code, reason = "as `ConfigSchema`")]
pub(super) struct AgentConfigSchema {
    /// The model; the agent's own choice when absent.
    model: Option<String>,
    /// What it may do without asking.
    #[schema(value_type = Option<words::PermissionMode>)]
    permissions: Option<PermissionMode>,
}

/// How the agents of one kind of session are started.
#[derive(ToSchema)]
#[schema(as = RoleConfig)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "as `ConfigSchema`")]
pub(super) struct RoleConfigSchema {
    /// The agent; the daemon's `AO_AGENT` when absent.
    agent: Option<String>,
    /// How it is started.
    agent_config: Option<AgentConfigSchema>,
}

/// Sets what is given of a project; the rest stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetProjectConfig {
    /// What is to be another, as a JSON merge patch: `null` takes a key away.
    #[schema(value_type = ConfigSchema)]
    pub config: serde_json::Map<String, serde_json::Value>,
    /// Takes everything away that was set, before that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clear: bool,
}

/// Says where a project's repository is now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MoveProject {
    /// Top level of the repository, absolute.
    #[serde(default)]
    #[schema(required)]
    pub path: String,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use utoipa::PartialSchema as _;

    use super::*;

    #[test]
    fn the_document_knows_every_key_of_a_config() {
        let all = serde_json::json!({
            "defaultBranch": "x", "sessionPrefix": "x", "env": {"A": "1"}, "symlinks": ["x"], "postCreate": ["x"],
            "postCreateTimeout": 1, "buildFolders": ["x"], "rules": "x", "runtime": "pty", "agentConfig": {"model": "m", "permissions": "auto"},
            "worker": {"agent": "a", "agentConfig": {"model": "m", "permissions": "auto"}},
            "orchestrator": {"agent": "a", "agentConfig": {"model": "m", "permissions": "auto"}}, "reclaimOnMerge": true,
            "reviewers": [{"harness": "codex"}],
        });
        let config = ProjectConfig::default().merged(&all).expect("every key is legal");
        let known = serde_json::to_value(&config).unwrap();
        assert_eq!(known, all, "none is left out of what is stored");
        // Those that can be taken away are those that can be set.
        for (key, value) in all.as_object().unwrap() {
            let inside: Vec<&str> = ProjectConfig::keys()
                .iter()
                .filter_map(|known| known.strip_prefix(&format!("{key}.")))
                .collect();
            if inside.is_empty() {
                assert!(ProjectConfig::keys().contains(&key.as_str()), "{key}");
                continue;
            }
            for path in &inside {
                let pointer = format!("/{}", path.replace('.', "/"));
                assert!(value.pointer(&pointer).is_some(), "{key}.{path}");
            }
        }
        let keys = |value: &serde_json::Value| -> BTreeSet<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        for (schema, value) in [
            (ConfigSchema::schema(), &known),
            (AgentConfigSchema::schema(), &known["agentConfig"]),
            (RoleConfigSchema::schema(), &known["worker"]),
            (ReviewerSchema::schema(), &known["reviewers"][0]),
        ] {
            let schema = serde_json::to_value(schema).unwrap();
            assert_eq!(keys(&schema["properties"]), keys(value));
        }
        // With a key that this test does not know, it would not be whole.
        let ProjectConfig {
            default_branch: _,
            session_prefix: _,
            env: _,
            symlinks: _,
            post_create: _,
            post_create_timeout: _,
            build_folders: _,
            rules: _,
            runtime: _,
            agent_config: _,
            worker: _,
            orchestrator: _,
            reclaim_on_merge: _,
            reviewers: _,
        } = config;
    }
}
