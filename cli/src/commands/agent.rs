//! `ao agent …`: the agents there are to work with, and what is missing to use them.

use ao_api::wire::{Agent, AgentAnswer, AgentList, Finding};
use ao_domain::port::catalog::{PromptBy, Standing};
use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;

use super::completion::agents;
use crate::client::{Ask, encoded};
use crate::env::Env;
use crate::error::CliError;
use crate::render::{Out, Tone, nearest};

/// Look at the agents there are to work with
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ao agent ls\n  ao agent get codex")]
pub(crate) struct AgentArgs {
    #[command(subcommand)]
    command: Option<AgentCommand>,
}

#[derive(Subcommand)]
enum AgentCommand {
    Ls(LsArgs),
    Get(GetArgs),
}

/// List the agents: which are installed, in which version, and what is missing
///
/// Programs are looked up and started as the daemon would. What was verified is the version that ao's tests ran with.
#[derive(clap::Args)]
#[command(
    visible_alias = "list",
    after_help = "Examples:\n  ao agent ls\n  ao agent ls --json"
)]
struct LsArgs {}

/// Show what one agent can do, and what is missing to use it
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ao agent get codex\n  ao agent get codex --json")]
struct GetArgs {
    /// The agent's id
    #[arg(add = ArgValueCompleter::new(agents))]
    id: String,
}

pub(crate) async fn run(args: AgentArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    match args.command {
        None => super::group_help("agent", env, out),
        Some(AgentCommand::Ls(_)) => ls(env, out).await,
        Some(AgentCommand::Get(args)) => get(&args, env, out).await,
    }
}

async fn ls(env: &Env, out: &mut Out) -> Result<(), CliError> {
    let list: AgentList = super::find(env)?.fetch(Ask::get("/api/v1/agents")).await?;
    if out.is_json() {
        return out.object(&list);
    }
    table(&list.agents, out)
}

fn table(agents: &[Agent], out: &mut Out) -> Result<(), CliError> {
    let rows = agents.iter().map(|agent| {
        vec![
            agent.id.clone(),
            agent.name.clone(),
            agent.version.clone().unwrap_or_default(),
            standing(agent, out),
            missing(agent)
                .map(|finding| finding.said.as_str())
                .unwrap_or_default()
                .to_owned(),
        ]
    });
    let rows = rows.collect();
    out.table(&["ID", "NAME", "VERSION", "STANDING", "MISSING"], rows)
}

/// The first of what is missing, where there is a program that it is missing to.
fn missing(agent: &Agent) -> Option<&Finding> {
    agent
        .findings
        .iter()
        .find(|finding| finding.remedy.is_some() && agent.installed)
}

fn standing(agent: &Agent, out: &Out) -> String {
    let verified = agent.verified_version.as_deref().unwrap_or_default();
    match agent.standing {
        None => out.paint(Tone::Good, "ready"),
        Some(Standing::Missing) => out.paint(Tone::Dim, "not installed"),
        Some(Standing::Broken) => out.paint(Tone::Bad, "does not start"),
        Some(Standing::Unknown) => out.paint(Tone::Warn, "unknown version"),
        Some(Standing::Unverified) => out.paint(Tone::Warn, "unverified"),
        Some(Standing::Verified) => out.paint(Tone::Good, "verified"),
        Some(Standing::Older) => out.paint(Tone::Warn, format!("older than {verified}")),
        Some(Standing::Newer) => out.paint(Tone::Warn, format!("newer than {verified}")),
    }
}

async fn get(args: &GetArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let daemon = super::find(env)?;
    let path = format!("/api/v1/agents/{}", encoded(&args.id));
    let answer: AgentAnswer = daemon
        .fetch(Ask::get(path))
        .await
        .map_err(|error| with_nearest(error, &args.id))?;
    if out.is_json() {
        return out.object(&answer);
    }
    show(&answer.agent, out)
}

/// Adds the nearest known id to a refusal that says there is no such agent.
fn with_nearest(error: CliError, typed: &str) -> CliError {
    match error {
        CliError::Refused {
            status,
            body,
            hint: None,
        } if body.code == "AGENT_NOT_FOUND" => {
            let known = body.details.get("known").and_then(|known| known.as_array());
            let known = known.into_iter().flatten().filter_map(|id| id.as_str());
            let hint =
                nearest(typed, known).map(|id| format!("did you mean `{id}`? all of them: ao agent ls"));
            CliError::Refused { status, body, hint }
        }
        other => other,
    }
}

fn show(agent: &Agent, out: &mut Out) -> Result<(), CliError> {
    let title = format!("{}: {} ({})", agent.id, agent.name, standing(agent, out));
    out.line(title)?;
    let can = &agent.capabilities;
    let modes: Vec<&str> = can.permission_modes.iter().map(|mode| mode.as_str()).collect();
    let yes = |is: bool, yes: &str, no: &str| if is { yes } else { no }.to_owned();
    let messages = match (can.messages, can.queues_messages) {
        (false, _) => "not delivered",
        (true, true) => "delivered; what comes while it works waits inside it",
        (true, false) => "delivered; what comes while it works is typed when the work is done",
    };
    let prompt = match can.prompt {
        PromptBy::Argument => "on its command line",
        PromptBy::FirstMessage => "its first message",
        PromptBy::Command => "none: the command line that you give is what it does",
    };
    let rows = [
        (
            "program",
            agent
                .path
                .clone()
                .or_else(|| agent.program.clone())
                .unwrap_or_default(),
        ),
        ("version", agent.version.clone().unwrap_or_default()),
        (
            "verified version",
            agent.verified_version.clone().unwrap_or_default(),
        ),
        (
            "after a turn",
            yes(can.interactive, "waits for more work", "ends"),
        ),
        ("prompt", prompt.to_owned()),
        ("messages", messages.to_owned()),
        ("permissions", modes.join(", ")),
        ("model", yes(can.model, "can be chosen", "cannot be chosen")),
        (
            "restore",
            yes(
                can.resume,
                "goes on with its conversation",
                "begins a new conversation",
            ),
        ),
        (
            "status",
            yes(
                can.hooks,
                "told by its hooks",
                "that its process runs is all that is known",
            ),
        ),
        (
            "own record",
            yes(can.own_record, "read, for what its hooks do not tell", "not read"),
        ),
        (
            "dialogs",
            yes(
                can.answers_dialogs,
                "shown, and answered by `ao session answer`",
                "not read",
            ),
        ),
        (
            "known from",
            yes(can.verified, "the real program", "documents alone"),
        ),
    ];
    for (name, value) in rows.into_iter().filter(|(_, value)| !value.is_empty()) {
        out.line(format!("  {name}: {value}"))?;
    }
    for finding in &agent.findings {
        let tone = if finding.remedy.is_some() {
            Tone::Warn
        } else {
            Tone::Good
        };
        let what = out.paint(tone, &finding.what);
        out.line(format!("  {what}: {}", finding.said))?;
        if let Some(remedy) = &finding.remedy {
            out.line(format!("    {remedy}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ao_api::wire::ErrorBody;
    use serde_json::json;

    use super::*;
    use crate::render::tests::kept;

    fn agents() -> Vec<Agent> {
        let can = json!({
            "interactive": true, "messages": true, "queuesMessages": false, "permissionModes": ["default", "auto"],
            "model": true, "resume": true, "prompt": "argument", "hooks": true, "ownRecord": true,
            "answersDialogs": true, "verified": true,
        });
        let cannot = json!({
            "interactive": false, "messages": false, "queuesMessages": false, "permissionModes": ["default"],
            "model": false, "resume": false, "prompt": "command", "hooks": false, "ownRecord": false,
            "answersDialogs": false, "verified": true,
        });
        let list = json!([
            {"id": "codex", "name": "Codex", "installed": true, "program": "codex", "path": "/bin/codex",
                "version": "0.170.0", "verifiedVersion": "0.169.0", "standing": "newer", "capabilities": can,
                "findings": [
                    {"what": "options", "said": "knows every option that it is started with"},
                    {"what": "login", "said": "no login is found", "remedy": "run `codex login`"}]},
            {"id": "kimi", "name": "Kimi Code", "installed": true, "program": "kimi", "path": "/bin/kimi",
                "verifiedVersion": "2.1.0", "standing": "broken", "capabilities": can,
                "findings": [{"what": "program", "said": "it does not start: exit status: 1: \u{1b}]0;x", "remedy": "try it"}]},
            {"id": "qwen", "name": "Qwen Code", "installed": false, "program": "qwen", "verifiedVersion": "0.24.4",
                "standing": "missing", "capabilities": can,
                "findings": [{"what": "program", "said": "`qwen` was not found on PATH", "remedy": "install it"}]},
            {"id": "shell", "name": "Command line", "installed": true, "capabilities": cannot, "findings": []},
        ]);
        serde_json::from_value(list).unwrap()
    }

    #[test]
    fn agents_are_listed_with_what_is_missing() {
        let (mut out, results, _) = kept(false, false, None);
        table(&agents(), &mut out).unwrap();
        expect_test::expect![[r#"
            ID     NAME          VERSION  STANDING            MISSING
            codex  Codex         0.170.0  newer than 0.169.0  no login is found
            kimi   Kimi Code              does not start      it does not start: exit status: 1: ]0;x
            qwen   Qwen Code              not installed
            shell  Command line           ready
        "#]]
        .assert_eq(&results.text());
    }

    #[test]
    fn one_agent_is_shown_with_all_that_it_can_do() {
        let (mut out, results, _) = kept(false, false, None);
        let agents = agents();
        show(&agents[0], &mut out).unwrap();
        show(&agents[3], &mut out).unwrap();
        expect_test::expect![[r#"
            codex: Codex (newer than 0.169.0)
              program: /bin/codex
              version: 0.170.0
              verified version: 0.169.0
              after a turn: waits for more work
              prompt: on its command line
              messages: delivered; what comes while it works is typed when the work is done
              permissions: default, auto
              model: can be chosen
              restore: goes on with its conversation
              status: told by its hooks
              own record: read, for what its hooks do not tell
              dialogs: shown, and answered by `ao session answer`
              known from: the real program
              options: knows every option that it is started with
              login: no login is found
                run `codex login`
            shell: Command line (ready)
              after a turn: ends
              prompt: none: the command line that you give is what it does
              messages: not delivered
              permissions: default
              model: cannot be chosen
              restore: begins a new conversation
              status: that its process runs is all that is known
              own record: not read
              dialogs: not read
              known from: the real program
        "#]]
        .assert_eq(&results.text());
    }

    #[test]
    fn the_nearest_agent_is_named() {
        let refused = |code: &str| CliError::Refused {
            status: 404,
            body: Box::new(ErrorBody {
                error: "not_found".to_owned(),
                code: code.to_owned(),
                message: "there is no agent `codx`".to_owned(),
                request_id: String::new(),
                details: json!({"known": ["claude-code", "codex"]})
                    .as_object()
                    .unwrap()
                    .clone(),
            }),
            hint: None,
        };
        let hint = with_nearest(refused("AGENT_NOT_FOUND"), "codx").hint();
        assert_eq!(
            hint.as_deref(),
            Some("did you mean `codex`? all of them: ao agent ls")
        );
        assert_eq!(with_nearest(refused("AGENT_NOT_FOUND"), "zzzzzz").hint(), None);
        assert_eq!(with_nearest(refused("OTHER"), "codx").hint(), None);
    }
}
