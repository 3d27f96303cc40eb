//! `ao project set-config`: what ao does for a repository. Only the keys that are given are changed.

use ao_api::wire::{ProjectAnswer, SetProjectConfig};
use ao_domain::{PermissionMode, ProjectConfig, ProjectId};
use camino::Utf8PathBuf;
use clap::ValueEnum;
use clap_complete::engine::ArgValueCompleter;
use serde_json::{Map, Value, json};

use super::super::completion::{agents, projects};
use super::super::find;
use super::with_nearest;
use crate::client::{Ask, encoded};
use crate::env::Env;
use crate::error::CliError;
use crate::render::{Out, nearest};

/// Set what ao does for a repository; what is not given stays as it is
///
/// A list replaces the list that was there; of the variables only those that are named are changed. A running session keeps what it
/// was made with.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ao project set-config web --symlink node_modules --symlink .venv
  ao project set-config web --post-create \"npm ci\" --post-create-timeout 900
  ao project set-config web --env API_URL=http://127.0.0.1:8080
  ao project set-config web --worker-agent claude-code --permissions auto
  ao project set-config web --rules-file docs/agents.md
  ao project set-config web --reclaim-on-merge on
  ao project set-config web --unset postCreate --unset env.API_URL
  ao project get web                           how it is set")]
pub(super) struct SetConfigArgs {
    /// The project's id
    #[arg(add = ArgValueCompleter::new(projects))]
    id: ProjectId,

    /// What new worktrees start from, such as `origin/main`
    #[arg(long, value_name = "BRANCH")]
    default_branch: Option<String>,

    /// A short name for its sessions; `ao project ls` shows it
    #[arg(long, value_name = "TEXT")]
    session_prefix: Option<String>,

    /// A variable for every session's agent and for post-create commands; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    env: Vec<(String, String)>,

    /// A path of the checkout that every worktree gets a link to; may be repeated
    #[arg(long = "symlink", value_name = "PATH")]
    symlinks: Vec<String>,

    /// A command that is run in a new worktree before its agent starts; may be repeated
    #[arg(long, value_name = "COMMAND")]
    post_create: Vec<String>,

    /// How long each of them may take, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    post_create_timeout: Option<u32>,

    /// An ignored folder that a worktree may be taken back with, beyond the usual ones; may be repeated
    #[arg(long = "build-folder", value_name = "PATH")]
    build_folders: Vec<String>,

    /// What every agent is told before its prompt
    #[arg(long, value_name = "TEXT", conflicts_with = "rules_file")]
    rules: Option<String>,

    /// The same, from a file as it is now
    #[arg(long, value_name = "FILE")]
    rules_file: Option<Utf8PathBuf>,

    /// What holds the terminals
    #[arg(long)]
    runtime: Option<String>,

    /// The model of every agent
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    /// What every agent may do without asking: default (it asks), accept-edits, auto, bypass-permissions
    #[arg(long, visible_alias = "permission", value_name = "MODE")]
    permissions: Option<PermissionMode>,

    /// The agent of workers
    #[arg(long, value_name = "AGENT", add = ArgValueCompleter::new(agents))]
    worker_agent: Option<String>,

    /// The agent of orchestrators
    #[arg(long, value_name = "AGENT", add = ArgValueCompleter::new(agents))]
    orchestrator_agent: Option<String>,

    /// Take a session's worktree back once its work was merged, where nothing is lost by that
    #[arg(long, value_name = "SWITCH")]
    reclaim_on_merge: Option<Switch>,

    /// An agent that reviews; may be repeated. It is kept and shown: nothing is reviewed yet
    #[arg(long = "reviewer", value_name = "AGENT", add = ArgValueCompleter::new(agents))]
    reviewers: Vec<String>,

    /// Keys as JSON, laid over what is set: an object; `null` takes a key away
    #[arg(long, value_name = "JSON", value_parser = object)]
    config_json: Option<Map<String, Value>>,

    /// Take a key away, such as `postCreate` or `env.API_URL`; may be repeated
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,

    /// Take away everything that is set, before what else is given
    #[arg(long)]
    clear: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("wanted is NAME=VALUE".to_owned()),
    }
}

fn seconds(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| "wanted is a number of seconds, such as 900".to_owned())
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(keys)) => Ok(keys),
        Ok(_) => Err("wanted is a JSON object such as {\"symlinks\":[\"node_modules\"]}".to_owned()),
        Err(error) => Err(format!("this is no JSON: {error}")),
    }
}

pub(super) async fn set(args: &SetConfigArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let config = patch(args, env)?;
    if config.is_empty() && !args.clear {
        return Err(CliError::Misuse {
            what: "nothing is given to set".to_owned(),
            instead: Some(format!(
                "name what to set (ao project set-config --help), or look: ao project get {}",
                args.id
            )),
        });
    }
    let daemon = find(env)?;
    let path = format!("/api/v1/projects/{}/config", encoded(args.id.as_str()));
    let asked = SetProjectConfig {
        config,
        clear: args.clear,
    };
    let answer: ProjectAnswer = match daemon.fetch(Ask::put(path).json(&asked)).await {
        Ok(answer) => answer,
        Err(error) => {
            let error = with_nearest(&daemon, error, args.id.as_str()).await;
            return Err(with_nearest_key(error));
        }
    };
    if out.is_json() {
        return out.object(&answer);
    }
    let project = answer.project;
    out.line(format!("updated config for project {}", project.id))?;
    let set = lines(&project.config);
    if set.is_empty() {
        return out.line("  nothing is set");
    }
    for (key, value) in set {
        out.line(format!("  {key}: {value}"))?;
    }
    Ok(())
}

/// Adds the nearest key, else all of them, to a refusal that says there is no such one.
fn with_nearest_key(error: CliError) -> CliError {
    match error {
        CliError::Refused {
            status,
            body,
            hint: None,
        } => {
            let keys = body.details.get("knownKeys").and_then(Value::as_array);
            let keys: Vec<&str> = keys.into_iter().flatten().filter_map(Value::as_str).collect();
            let near = body.detail("key").and_then(|key| {
                // One that stands alone may also be meant for the end of a longer one, such as `model`.
                let end = keys.iter().find(|known| known.ends_with(&format!(".{key}")));
                nearest(key, keys.iter().copied()).or(end.copied())
            });
            let hint = match near {
                Some(near) => Some(format!("did you mean `{near}`?")),
                None if keys.is_empty() => None,
                None => Some(format!("the keys are {}", keys.join(", "))),
            };
            CliError::Refused { status, body, hint }
        }
        other => other,
    }
}

/// What the flags say, as a JSON merge patch.
fn patch(args: &SetConfigArgs, env: &Env) -> Result<Map<String, Value>, CliError> {
    let mut patch = args.config_json.clone().unwrap_or_default();
    let rules = match &args.rules_file {
        Some(file) => {
            let path = env.absolute(file).unwrap_or_else(|| file.clone());
            let text = std::fs::read_to_string(&path).map_err(|source| CliError::Io {
                doing: "reading",
                path,
                source,
            })?;
            Some(text)
        }
        None => args.rules.clone(),
    };
    let texts = [
        ("defaultBranch", &args.default_branch),
        ("sessionPrefix", &args.session_prefix),
        ("rules", &rules),
        ("runtime", &args.runtime),
        ("agentConfig.model", &args.model),
        ("worker.agent", &args.worker_agent),
        ("orchestrator.agent", &args.orchestrator_agent),
    ];
    for (key, value) in texts {
        if let Some(value) = value {
            put(&mut patch, key, json!(value));
        }
    }
    let lists = [
        ("symlinks", &args.symlinks),
        ("postCreate", &args.post_create),
        ("buildFolders", &args.build_folders),
    ];
    for (key, list) in lists {
        if !list.is_empty() {
            put(&mut patch, key, json!(list));
        }
    }
    if !args.reviewers.is_empty() {
        let reviewers = args.reviewers.iter().map(|agent| json!({"harness": agent}));
        put(&mut patch, "reviewers", reviewers.collect());
    }
    for (name, value) in &args.env {
        put(&mut patch, &format!("env.{name}"), json!(value));
    }
    if let Some(mode) = args.permissions {
        put(&mut patch, "agentConfig.permissions", json!(mode));
    }
    if let Some(limit) = args.post_create_timeout {
        put(&mut patch, "postCreateTimeout", json!(limit));
    }
    if let Some(switch) = args.reclaim_on_merge {
        put(&mut patch, "reclaimOnMerge", json!(switch == Switch::On));
    }
    for key in &args.unset {
        put(&mut patch, key, Value::Null);
    }
    Ok(patch)
}

/// Puts `value` where `key`, a path with dots, leads.
fn put(patch: &mut Map<String, Value>, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            patch.insert(key.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = patch
                .entry(first.to_owned())
                .or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// What is set, a key a line, in the words of the API.
pub(super) fn lines(config: &ProjectConfig) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    if let Ok(Value::Object(keys)) = serde_json::to_value(config) {
        flatten("", &keys, &mut lines);
    }
    lines
}

fn flatten(above: &str, keys: &Map<String, Value>, lines: &mut Vec<(String, String)>) {
    for (key, value) in keys {
        let key = format!("{above}{key}");
        match value {
            Value::Object(inner) => flatten(&format!("{key}."), inner, lines),
            Value::Array(list) => {
                for one in list {
                    lines.push((key.clone(), text(one)));
                }
            }
            other => lines.push((key, text(other))),
        }
    }
}

fn text(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut text_lines = text.trim_end().lines();
    let first = text_lines.next().unwrap_or_default();
    match text_lines.count() {
        0 => first.to_owned(),
        more => format!("{first} (and {more} more lines)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_with_dots_lead_into_objects() {
        let mut patch = Map::new();
        put(&mut patch, "env.A", json!("1"));
        put(&mut patch, "env.B", Value::Null);
        put(&mut patch, "symlinks", json!(["x"]));
        assert_eq!(
            Value::Object(patch),
            json!({"env": {"A": "1", "B": null}, "symlinks": ["x"]})
        );
    }

    #[test]
    fn what_is_set_is_shown_a_key_a_line() {
        let config = ProjectConfig::default()
            .merged(&json!({"env": {"A": "1"}, "symlinks": ["a", "b"], "rules": "one\ntwo\nthree", "reclaimOnMerge": true}))
            .unwrap();
        let lines: Vec<String> = lines(&config)
            .into_iter()
            .map(|(key, value)| format!("{key}: {value}"))
            .collect();
        assert_eq!(
            lines,
            [
                "env.A: 1",
                "reclaimOnMerge: true",
                "rules: one (and 2 more lines)",
                "symlinks: a",
                "symlinks: b",
            ]
        );
    }
}
