//! `ao tree`: everything that runs in the daemon, and how often it had to be started again.

use std::time::Duration;

use ao_api::wire::{Node, NodeType, Tree, TreeDone, TreePath};
use clap::Subcommand;

use crate::client::{Ask, Daemon, Events};
use crate::duration;
use crate::env::Env;
use crate::error::CliError;
use crate::render::{Out, Tone, nearest};

/// Show what runs in the daemon: every child, its state and its restarts
///
/// A child that crashed too often is parked: it says why and when it is tried again, and `ao tree resume` tries it now.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  ao tree
  ao tree --watch                               drawn anew whenever something happens
  ao tree --json
  ao tree restart ao/observe/hooks
  ao tree park ao/act/sessions/web-7
  ao tree resume ao/act/sessions/web-7"
)]
pub(crate) struct TreeArgs {
    /// Draw it anew whenever something happens in it, until Ctrl-C; with --json one tree a line
    #[arg(long)]
    watch: bool,

    #[command(subcommand)]
    command: Option<TreeCommand>,
}

#[derive(Subcommand)]
enum TreeCommand {
    Restart(RestartArgs),
    Park(ParkArgs),
    Resume(ResumeArgs),
    Crash(CrashArgs),
    Hang(HangArgs),
    Spin(SpinArgs),
}

/// Stop a child in good order and start it again
///
/// Its next run begins from its rows. Under rest_for_one the children after it are started again with it. It counts as nobody's
/// crash.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ao tree restart ao/observe/hooks\n  ao tree restart ao/act/sessions/web-7"
)]
struct RestartArgs {
    /// The child's path as `ao tree` shows it
    path: String,
}

/// Stop a child in good order and keep it down
///
/// Its agent, if it has one, runs on; nobody watches it until `ao tree resume` brings the child back.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ao tree park ao/act/sessions/web-7\n  ao tree resume ao/act/sessions/web-7"
)]
struct ParkArgs {
    /// The child's path as `ao tree` shows it
    path: String,
}

/// Try a parked child again now
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ao tree resume ao/act/sessions/web-7")]
struct ResumeArgs {
    /// The child's path as `ao tree` shows it
    path: String,
}

/// Let a child panic (only with AO_CHAOS=1)
#[derive(clap::Args)]
#[command(hide = true, after_help = "Examples:\n  ao tree crash ao/act/sessions/web-7")]
struct CrashArgs {
    /// The child's path as `ao tree` shows it
    path: String,
}

/// Let a child hang (only with AO_CHAOS=1)
#[derive(clap::Args)]
#[command(hide = true, after_help = "Examples:\n  ao tree hang ao/act/sessions/web-7")]
struct HangArgs {
    /// The child's path as `ao tree` shows it
    path: String,
}

/// Let a child keep its thread until three seconds after it was given up (only with AO_CHAOS=1)
#[derive(clap::Args)]
#[command(hide = true, after_help = "Examples:\n  ao tree spin ao/observe/hooks")]
struct SpinArgs {
    /// The child's path as `ao tree` shows it
    path: String,
}

pub(crate) async fn run(args: TreeArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let daemon = super::find(env)?;
    match args.command {
        None if args.watch => watch(&daemon, out).await,
        None => {
            let tree = fetch(&daemon).await?;
            if out.is_json() {
                return out.object(&tree);
            }
            for line in draw(&tree, out) {
                out.line(line)?;
            }
            Ok(())
        }
        Some(TreeCommand::Restart(RestartArgs { path })) => ask(&daemon, "restart", path, out).await,
        Some(TreeCommand::Park(ParkArgs { path })) => ask(&daemon, "park", path, out).await,
        Some(TreeCommand::Resume(ResumeArgs { path })) => ask(&daemon, "resume", path, out).await,
        Some(TreeCommand::Crash(CrashArgs { path })) => ask(&daemon, "crash", path, out).await,
        Some(TreeCommand::Hang(HangArgs { path })) => ask(&daemon, "hang", path, out).await,
        Some(TreeCommand::Spin(SpinArgs { path })) => ask(&daemon, "spin", path, out).await,
    }
}

/// How often a tree is drawn anew in which nothing happens: ages go on.
const REDRAW: Duration = Duration::from_secs(1);

/// At most this often, however much happens.
const CALM: Duration = Duration::from_millis(100);

/// Draws the tree until the daemon is gone or the reader is. Ctrl-C ends the process as usual.
async fn watch(daemon: &Daemon, out: &mut Out) -> Result<(), CliError> {
    const STOPPED: &str = "the daemon has stopped";
    let mut events = listen(daemon).await?;
    let mut tree = fetch(daemon).await?;
    loop {
        if out.is_json() {
            out.json_line(&tree)?;
        } else {
            let lines = draw(&tree, out);
            out.screen(&lines)?;
        }
        let next = tokio::time::Instant::now() + CALM;
        let said = tokio::time::timeout(REDRAW, events.anything()).await;
        tokio::time::sleep_until(next).await;
        // What was said meanwhile is in the next drawing.
        events.forget();
        let looked = async {
            if let Ok(None) = said {
                // It ended for whatever reason; a daemon that has stopped takes no new one.
                events = listen(daemon).await?;
            }
            fetch(daemon).await
        };
        tree = match looked.await {
            Err(CliError::Unreachable { .. } | CliError::Broken { .. }) => return out.note(STOPPED),
            other => other?,
        };
    }
}

async fn listen(daemon: &Daemon) -> Result<Events, CliError> {
    daemon.events(daemon.head().await?).await
}

/// The tree as it stands.
///
/// # Errors
/// When the daemon cannot be asked.
pub(crate) async fn fetch(daemon: &Daemon) -> Result<Tree, CliError> {
    daemon.fetch(Ask::get("/api/v1/tree")).await
}

async fn ask(daemon: &Daemon, verb: &str, path: String, out: &mut Out) -> Result<(), CliError> {
    let asked = TreePath { path };
    let answer = daemon
        .fetch(Ask::post(format!("/api/v1/tree/{verb}")).json(&asked))
        .await;
    let done: TreeDone = match answer {
        Ok(done) => done,
        Err(CliError::Refused {
            status: 404,
            body,
            hint: None,
        }) => {
            let hint = if body.code == "ROUTE_NOT_FOUND" {
                Some("only a daemon that was started with AO_CHAOS=1 does that".to_owned())
            } else {
                let tree = fetch(daemon).await?;
                let known = tree.nodes.iter().map(|node| node.path.as_str());
                nearest(&asked.path, known).map(|path| format!("did you mean `{path}`? all of them: ao tree"))
            };
            return Err(CliError::Refused {
                status: 404,
                body,
                hint,
            });
        }
        Err(error) => return Err(error),
    };
    if out.is_json() {
        return out.object(&done);
    }
    out.line(format!("{verb}: {}", done.path))
}

/// The tree as lines, each child under its supervisor.
fn draw(tree: &Tree, out: &Out) -> Vec<String> {
    let nodes = &tree.nodes;
    // Which levels still have a sibling below: those keep their line.
    let mut open: Vec<bool> = Vec::new();
    let mut lines = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let depth = node.depth as usize;
        let is_last = nodes[index + 1..]
            .iter()
            .take_while(|later| later.depth >= node.depth)
            .all(|later| later.depth != node.depth);
        open.truncate(depth);
        open.push(!is_last);
        let stem = if depth == 0 {
            String::new()
        } else {
            let mut stem: String = open[1..depth]
                .iter()
                .map(|more| if *more { "│  " } else { "   " })
                .collect();
            stem.push_str(if is_last { "└─ " } else { "├─ " });
            stem
        };
        lines.push(format!("{stem}{}", describe(node, out)));
    }
    lines
}

fn describe(node: &Node, out: &Out) -> String {
    let span = |millis| duration::age(Duration::from_millis(millis));
    let supervises = node.role != NodeType::Worker;
    let mut parts = vec![if supervises {
        out.paint(Tone::Strong, &node.id)
    } else {
        node.id.clone()
    }];
    match (&node.strategy, node.role) {
        (_, NodeType::Roster) => parts.push("(roster)".to_owned()),
        (_, NodeType::Dynamic) => parts.push("(dynamic)".to_owned()),
        (Some(strategy), _) => parts.push(format!("({strategy})")),
        (None, _) => {}
    }
    let tone = match node.state.as_str() {
        "running" => Tone::Good,
        "parked" | "stuck" | "gave_up" => Tone::Bad,
        _ => Tone::Warn,
    };
    parts.push(out.paint(tone, &node.state));
    if let Some(age) = node.age_ms {
        parts.push(format!("for {}", span(age)));
    }
    if node.restarts.total > 0 {
        let counted = match (node.restarts.in_window, node.restarts.limit, node.restarts.per_ms) {
            (Some(used), Some(limit), Some(per)) => format!(", {used} of {limit} allowed in {}", span(per)),
            _ => String::new(),
        };
        parts.push(format!("restarts {}{counted}", node.restarts.total));
    }
    if let Some(attempts) = node.attempts.filter(|_| node.depth > 0) {
        parts.push(format!("{attempts} attempts in a row end the daemon"));
    }
    if let Some(beat) = node.beat.filter(|beat| beat.age_ms * 2 > beat.deadline_ms) {
        parts.push(format!(
            "silent for {} of {}",
            span(beat.age_ms),
            span(beat.deadline_ms)
        ));
    }
    if let Some(parked) = &node.parked {
        parts.push(format!("because {}", one_line(&parked.reason)));
        match parked.retry_in_ms {
            Some(left) => parts.push(format!("tried again in {}", span(left))),
            None => parts.push("not tried again by itself".to_owned()),
        }
    } else if let Some(left) = node.retry_in_ms {
        parts.push(format!("tried again in {}", span(left)));
    }
    if let Some(exit) = &node.last_exit {
        parts.push(format!(
            "last exit {} ago: {}",
            span(exit.ago_ms),
            one_line(&exit.reason)
        ));
    }
    parts.join("  ")
}

/// A reason may be a panic message of many lines: the first one says what, the log says the rest.
fn one_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::kept;
    use serde_json::json;

    #[test]
    fn the_tree_is_drawn() {
        let node = |path: &str, depth: u32, more: serde_json::Value| {
            let id = path.rsplit('/').next().unwrap();
            let mut node = json!({"path": path, "id": id, "depth": depth, "type": "worker", "kind": "k",
                "state": "running", "ageMs": 61000, "restarts": {"total": 0}});
            for (key, value) in more.as_object().unwrap() {
                node[key] = value.clone();
            }
            node
        };
        let tree: Tree = serde_json::from_value(json!({"seq": 9, "nodes": [
            node("ao", 0, json!({"type": "supervisor", "strategy": "rest_for_one"})),
            node("ao/store", 1, json!({})),
            node("ao/serving", 1, json!({"type": "supervisor", "strategy": "one_for_one", "attempts": 24})),
            node("ao/serving/feed", 2, json!({"beat": {"ageMs": 4000, "deadlineMs": 5000}})),
            node("ao/serving/api 1", 2, json!({"restarts": {"total": 2, "inWindow": 1, "limit": 9, "perMs": 60000},
                "lastExit": {"incarnation": 1, "reason": "boom\nat line 3", "class": "abnormal", "agoMs": 2000, "uptimeMs": 5}})),
            node("ao/act", 1, json!({"type": "supervisor"})),
            node("ao/act/sessions", 2, json!({"type": "roster"})),
            node("ao/act/sessions/web-1", 3, json!({"state": "parked", "ageMs": null,
                "restarts": {"total": 10, "inWindow": 10, "limit": 9, "perMs": 60000},
                "parked": {"reason": "10 crashes within 60 s", "times": 1, "retryInMs": 30000},
                "lastExit": {"incarnation": 2, "reason": "boom", "class": "abnormal", "agoMs": 2000, "uptimeMs": 5}})),
        ]}))
        .unwrap();
        let (out, ..) = kept(false, false, None);
        expect_test::expect![[r#"
            ao  (rest_for_one)  running  for 1m
            ├─ store  running  for 1m
            ├─ serving  (one_for_one)  running  for 1m  24 attempts in a row end the daemon
            │  ├─ feed  running  for 1m  silent for 4s of 5s
            │  └─ api 1  running  for 1m  restarts 2, 1 of 9 allowed in 1m  last exit 2s ago: boom
            └─ act  running  for 1m
               └─ sessions  (roster)  running  for 1m
                  └─ web-1  parked  restarts 10, 10 of 9 allowed in 1m  because 10 crashes within 60 s  tried again in 30s  last exit 2s ago: boom"#]]
        .assert_eq(&draw(&tree, &out).join("\n"));
    }
}
