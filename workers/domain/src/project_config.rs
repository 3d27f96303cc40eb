//! What a person set for a project: the keys of `ao project set-config`, and the rules each has to keep.
//!
//! Only what was set is stored; what was not has its default where it is used. Names and meanings are the original's, where it
//! has one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{PermissionMode, shared_path};

/// The longest list in a config, and the longest text in one, in bytes: a config is read with every spawn.
const MOST: usize = 200;
const LONGEST: usize = 4 * 1024;

/// How long one post-create command may take when nobody says, in seconds: a cold install of a large project's packages.
const POST_CREATE_TIMEOUT: u32 = 600;

/// Every key that has a value of its own, as a path with dots; below [`ENV`] any name may stand.
const KEYS: [&str; 19] = [
    "defaultBranch",
    "sessionPrefix",
    ENV,
    "symlinks",
    "postCreate",
    "postCreateTimeout",
    "buildFolders",
    "rules",
    "runtime",
    "agentConfig.model",
    "agentConfig.permissions",
    "worker.agent",
    "worker.agentConfig.model",
    "worker.agentConfig.permissions",
    "orchestrator.agent",
    "orchestrator.agentConfig.model",
    "orchestrator.agentConfig.permissions",
    "reclaimOnMerge",
    "reviewers",
];
const ENV: &str = "env";

/// A project's config. Every key may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ProjectConfig {
    /// What new worktrees start from; the repository's own default branch when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
    /// What stands before a session's number where people read it; the beginning of the project's id when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_prefix: Option<String>,
    /// Variables of every session's agent and of post-create commands; those that say who a session is win.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Paths of the checkout that every worktree has a link to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub symlinks: Vec<String>,
    /// Commands that are run in a new worktree before its agent starts, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub post_create: Vec<String>,
    /// How long each of them may take, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_create_timeout: Option<u32>,
    /// Ignored folders that a worktree may be taken back with, beyond the usual ones such as `target`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub build_folders: Vec<String>,
    /// What every agent is told before its prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
    /// What holds the terminals; the daemon's `AO_RUNTIME` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// How agents are started, whatever the session is for.
    #[serde(skip_serializing_if = "AgentConfig::is_empty")]
    pub agent_config: AgentConfig,
    /// How workers are started: what is set here goes before `agent_config`.
    #[serde(skip_serializing_if = "RoleConfig::is_empty")]
    pub worker: RoleConfig,
    /// How orchestrators are started, likewise.
    #[serde(skip_serializing_if = "RoleConfig::is_empty")]
    pub orchestrator: RoleConfig,
    /// Whether a session's worktree is taken back once its work was merged, where nothing is lost by that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reclaim_on_merge: bool,
    /// Who reviews, the first one first. Kept and shown, and no more: nothing is reviewed yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<Reviewer>,
}

/// An agent that reviews.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reviewer {
    /// Which.
    pub harness: String,
}

/// How an agent is started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AgentConfig {
    /// The model; the agent's own choice when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it may do without asking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<PermissionMode>,
}

impl AgentConfig {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How the agents of one kind of session are started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RoleConfig {
    /// The agent; the daemon's `AO_AGENT` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// How it is started.
    #[serde(skip_serializing_if = "AgentConfig::is_empty")]
    pub agent_config: AgentConfig,
}

impl RoleConfig {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A config cannot be as it was asked for. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadConfig {
    /// It is not of the form that a config has.
    #[error("this is no config: {0}")]
    Form(String),
    /// It names a key that no config has.
    #[error("there is no key `{}`", .key.escape_debug())]
    Key {
        /// Which.
        key: String,
    },
    /// A key's value breaks that key's rule.
    #[error("`{key}`: {why}")]
    Value {
        /// Which key.
        key: String,
        /// What is wrong, and what would be right.
        why: String,
    },
}

impl ProjectConfig {
    /// Every key that can be set or taken away, in the words of the API.
    pub fn keys() -> &'static [&'static str] {
        &KEYS
    }

    /// The config as it is stored, from the text of its row.
    ///
    /// # Errors
    /// When the text is no config.
    pub fn parse(text: &str) -> Result<Self, BadConfig> {
        serde_json::from_str(text).map_err(|error| BadConfig::Form(error.to_string()))
    }

    /// This config with what `patch` gives in its place, as JSON merge patch has it (RFC 7396): `null` takes a key away, a list
    /// replaces a list, an object changes only the keys that it has.
    ///
    /// # Errors
    /// When `patch` names a key that there is not, be it to take it away, or when the outcome is no config, or breaks a key's rule.
    pub fn merged(&self, patch: &serde_json::Value) -> Result<Self, BadConfig> {
        let mut whole = serde_json::to_value(self).map_err(|error| BadConfig::Form(error.to_string()))?;
        let serde_json::Value::Object(keys) = patch else {
            return Err(BadConfig::Form("it is an object of keys and values".to_owned()));
        };
        known("", keys)?;
        merge(&mut whole, patch);
        let merged: Self = serde_json::from_value(whole.clone()).map_err(|error| misfit(&whole, &error))?;
        merged.check()?;
        Ok(merged)
    }

    /// How long a post-create command may take.
    pub fn post_create_limit(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.post_create_timeout.unwrap_or(POST_CREATE_TIMEOUT).into())
    }

    fn check(&self) -> Result<(), BadConfig> {
        let lines = [
            ("defaultBranch", &self.default_branch),
            ("runtime", &self.runtime),
            ("agentConfig.model", &self.agent_config.model),
            ("worker.agent", &self.worker.agent),
            ("worker.agentConfig.model", &self.worker.agent_config.model),
            ("orchestrator.agent", &self.orchestrator.agent),
            (
                "orchestrator.agentConfig.model",
                &self.orchestrator.agent_config.model,
            ),
        ];
        for (key, value) in lines {
            if let Some(value) = value {
                word(key, value)?;
            }
        }
        if let Some(prefix) = &self.session_prefix {
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            if prefix.is_empty() || prefix.len() > 24 || !prefix.chars().all(fits) {
                return refuse("sessionPrefix", "1 to 24 letters, digits, `-` and `_`");
            }
        }
        few("reviewers", self.reviewers.len())?;
        for reviewer in &self.reviewers {
            word("reviewers", &reviewer.harness)?;
        }
        few("env", self.env.len())?;
        for (name, value) in &self.env {
            let mut letters = name.chars();
            let starts = letters
                .next()
                .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
            if !starts || !letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return refuse(
                    "env",
                    &format!("`{}` is no name of a variable", name.escape_debug()),
                );
            }
            text("env", value)?;
        }
        few("symlinks", self.symlinks.len())?;
        for path in &self.symlinks {
            relative("symlinks", path)?;
        }
        few("buildFolders", self.build_folders.len())?;
        for folder in &self.build_folders {
            relative("buildFolders", folder)?;
        }
        few("postCreate", self.post_create.len())?;
        for command in &self.post_create {
            text("postCreate", command)?;
            if command.trim().is_empty() {
                return refuse("postCreate", "a command is not empty");
            }
        }
        if self
            .post_create_timeout
            .is_some_and(|limit| !(1..=86_400).contains(&limit))
        {
            return refuse("postCreateTimeout", "1 to 86400 seconds");
        }
        if let Some(rules) = &self.rules {
            if rules.len() > 16 * 1024 {
                return refuse(
                    "rules",
                    "at most 16 KiB: put the rest into a file of the repository and name it",
                );
            }
            if rules.contains('\0') {
                return refuse("rules", "it holds no NUL character");
            }
        }
        Ok(())
    }
}

/// Refuses what is no key. One that is to be taken away leaves no trace that could be looked at later.
fn known(above: &str, keys: &serde_json::Map<String, serde_json::Value>) -> Result<(), BadConfig> {
    for (name, value) in keys {
        let key = format!("{above}{name}");
        let inside = format!("{key}.");
        let is_group = KEYS.iter().any(|known| known.starts_with(&inside));
        if name.contains('.') || !(is_group || KEYS.contains(&key.as_str())) {
            return Err(BadConfig::Key { key });
        }
        if let (true, Some(keys)) = (is_group, value.as_object()) {
            known(&inside, keys)?;
        }
    }
    Ok(())
}

/// What does not fit of a config that did not read, by its key: the first that does not read alone.
fn misfit(whole: &serde_json::Value, error: &serde_json::Error) -> BadConfig {
    for (path, value) in leaves(&[], whole) {
        let alone = path.iter().rev().fold(value.clone(), |inner, name| {
            serde_json::Value::Object([((*name).to_owned(), inner)].into_iter().collect())
        });
        if let Err(error) = serde_json::from_value::<ProjectConfig>(alone) {
            return BadConfig::Value {
                key: path.join("."),
                why: error.to_string(),
            };
        }
    }
    BadConfig::Form(error.to_string())
}

/// Every value that has none inside, and the names that lead to it.
fn leaves<'a>(above: &[&'a str], value: &'a serde_json::Value) -> Vec<(Vec<&'a str>, &'a serde_json::Value)> {
    match value.as_object() {
        Some(keys) if !keys.is_empty() => keys
            .iter()
            .flat_map(|(name, value)| leaves(&[above, &[name.as_str()]].concat(), value))
            .collect(),
        _ => vec![(above.to_vec(), value)],
    }
}

/// `patch` laid over `whole`.
fn merge(whole: &mut serde_json::Value, patch: &serde_json::Value) {
    let serde_json::Value::Object(keys) = patch else {
        *whole = patch.clone();
        return;
    };
    if !whole.is_object() {
        *whole = serde_json::Value::Object(serde_json::Map::new());
    }
    if let serde_json::Value::Object(target) = whole {
        for (key, value) in keys {
            if value.is_null() {
                target.remove(key);
            } else {
                merge(
                    target.entry(key.clone()).or_insert(serde_json::Value::Null),
                    value,
                );
            }
        }
    }
}

fn refuse<T>(key: &'static str, why: &str) -> Result<T, BadConfig> {
    Err(BadConfig::Value {
        key: key.to_owned(),
        why: why.to_owned(),
    })
}

fn few(key: &'static str, count: usize) -> Result<(), BadConfig> {
    if count > MOST {
        return refuse(key, &format!("at most {MOST} of them"));
    }
    Ok(())
}

fn text(key: &'static str, value: &str) -> Result<(), BadConfig> {
    if value.len() > LONGEST || value.contains('\0') {
        return refuse(key, &format!("a text of at most {LONGEST} bytes, without NUL"));
    }
    Ok(())
}

/// A word for a command line: it cannot be taken for an option.
fn word(key: &'static str, value: &str) -> Result<(), BadConfig> {
    let plain = !value.is_empty()
        && value.len() <= 200
        && !value.starts_with('-')
        && !value.chars().any(|c| c.is_control() || c.is_whitespace());
    if plain {
        return Ok(());
    }
    refuse(key, "one word of at most 200 bytes that does not begin with `-`")
}

/// A path that stays below where it starts, and is not git's own.
fn relative(key: &'static str, path: &str) -> Result<(), BadConfig> {
    text(key, path)?;
    let why = |why| BadConfig::Value {
        key: key.to_owned(),
        why: format!("`{}`: {why}", path.escape_debug()),
    };
    shared_path(path).map(drop).map_err(why)
}

#[cfg(test)]
mod tests;
