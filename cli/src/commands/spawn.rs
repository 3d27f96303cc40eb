//! `ao spawn`: a new session. The daemon answers at once; from then on every step is shown as it is taken.

use std::io;
use std::time::Duration;

use ao_api::wire::{Claimed, ProjectList, Session, SessionAnswer, SpawnSession, Status};
use ao_domain::{ClaimState, EndReason, PermissionMode, ProjectId, SessionId, shell_word};
use camino::Utf8Path;
use clap_complete::engine::ArgValueCompleter;
use tokio::time::Instant;

use super::completion::{agents, projects};
use super::{project, session};
use crate::client::{Ask, Daemon, Events};
use crate::duration;
use crate::env::Env;
use crate::error::CliError;
use crate::render::{Out, Tone};

/// How often to look while changes are announced: an announcement may be lost with its connection.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How often to look while nobody announces anything; below the 100 ms within which a step is to be seen.
const LOOK_WITHOUT_NEWS: Duration = Duration::from_millis(50);

/// Start an agent in a worktree of its own
///
/// Inside a registered repository, or a worktree of it, the project need not be named. A command after `--` is run by
/// the agent `shell`. Every step is shown on standard error; the session is started even if this command is interrupted.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ao spawn --prompt \"fix the login test\"
  ao spawn --agent claude-code --permissions auto --prompt \"fix the login test\"
  ao spawn -- make test
  ao spawn --agent shell --name \"nightly tests\" -- sh -c \"make test; exec sh\"
  ao spawn --claim-pr 42 --prompt \"mend what its checks say\"
  ao spawn --project web --branch fix-login --issue 42 -- make test
  ao spawn --json --detach -- ./long-job.sh")]
pub(crate) struct SpawnArgs {
    /// The project; not needed inside its repository
    #[arg(short, long, add = ArgValueCompleter::new(projects))]
    project: Option<ProjectId>,

    /// The agent; the daemon's AO_AGENT when not given, `shell` for a command
    #[arg(long, visible_alias = "harness", value_name = "AGENT", add = ArgValueCompleter::new(agents))]
    agent: Option<String>,

    /// The model; the agent's own choice when not given
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    /// What the agent may do without asking: default (it asks), accept-edits, auto, bypass-permissions
    #[arg(long, value_name = "MODE")]
    permissions: Option<PermissionMode>,

    /// The branch to work on; a new `ao/<session>` when not given
    #[arg(long)]
    branch: Option<String>,

    /// What a new branch starts from; the repository's default branch when not given
    #[arg(long)]
    base: Option<String>,

    /// The pull request to work on, by its number or its address: the branch starts from its head, and it is the session's from
    /// then on
    #[arg(long, value_name = "PR", conflicts_with_all = ["branch", "base"])]
    claim_pr: Option<String>,

    /// With `--claim-pr`: not if it is the pull request of a session whose agent is not over
    #[arg(long, requires = "claim_pr")]
    no_takeover: bool,

    /// What the agent should do
    #[arg(long)]
    prompt: Option<String>,

    /// The issue it is about
    #[arg(long)]
    issue: Option<String>,

    /// What people call the session
    #[arg(long)]
    name: Option<String>,

    /// What holds its terminal, pty or zellij; the daemon's AO_RUNTIME when not given
    #[arg(long)]
    runtime: Option<String>,

    /// Do not wait until the agent runs
    #[arg(long)]
    detach: bool,

    /// How long to wait until the agent runs; the session is started all the same
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration::parse)]
    timeout: Duration,

    /// A command for the agent `shell`
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(crate) async fn run(args: SpawnArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let daemon = super::find(env)?;
    let project = project_named(&daemon, args.project, env).await?;
    let has_command = !args.command.is_empty();
    let asked = SpawnSession {
        project_id: project.to_string(),
        issue_id: args.issue,
        kind: None,
        harness: args.agent.or_else(|| has_command.then(|| "shell".to_owned())),
        model: args.model,
        permissions: args.permissions.map(|mode| mode.to_string()),
        branch: args.branch,
        base: args.base,
        claim_pr: args.claim_pr,
        allow_takeover: args.no_takeover.then_some(false),
        prompt: args.prompt,
        command: has_command.then_some(args.command),
        runtime: args.runtime,
        display_name: args.name,
    };
    // From before the session on, so that no step of it is missed. Without it, looking has to do.
    let before = daemon.head().await.ok();
    let ask = Ask::post("/api/v1/sessions")
        .json(&asked)
        .header("prefer", "respond-async")
        .header("idempotency-key", fresh_key()?);
    let session = match daemon.fetch::<SessionAnswer>(ask).await {
        Ok(answer) => answer.session,
        Err(error) => return Err(project::with_nearest(&daemon, error, project.as_str()).await),
    };
    let limit = if args.detach { Duration::ZERO } else { args.timeout };
    if asked.claim_pr.is_none() {
        return up(&daemon, session, before, limit, "spawned", out).await;
    }
    let session = settled(&daemon, session, before, limit, out).await?;
    let answer = session::fetch_answer(&daemon, &session.id).await?;
    if out.is_json() {
        return out.object(&answer);
    }
    tell(&session, "spawned", out)?;
    for line in answer.claim.iter().flat_map(|claim| about_claim(claim, &session)) {
        out.line(line)?;
    }
    Ok(())
}

/// Shows every step of a session on its way up, for as long as `limit`, and then how it stands; zero does not wait.
pub(super) async fn up(
    daemon: &Daemon,
    session: Session,
    before: Option<i64>,
    limit: Duration,
    deed: &str,
    out: &mut Out,
) -> Result<(), CliError> {
    let session = settled(daemon, session, before, limit, out).await?;
    if out.is_json() {
        return out.object(&SessionAnswer { session, claim: None });
    }
    tell(&session, deed, out)
}

/// Shows every step of a session on its way up, for as long as `limit`, and gives it as it stands then; one that did not come up
/// is an error.
pub(super) async fn settled(
    daemon: &Daemon,
    session: Session,
    before: Option<i64>,
    limit: Duration,
    out: &mut Out,
) -> Result<Session, CliError> {
    let session = if limit.is_zero() {
        session
    } else {
        follow(daemon, session, before, limit, out).await?
    };
    match failure(&session) {
        Some(why) => Err(CliError::SpawnFailed {
            id: session.id.to_string(),
            why,
        }),
        None => Ok(session),
    }
}

/// Says to a person how a session stands that was just started.
pub(super) fn tell(session: &Session, deed: &str, out: &mut Out) -> Result<(), CliError> {
    for line in summary(session, deed, out) {
        out.line(line)?;
    }
    Ok(())
}

pub(super) fn fresh_key() -> Result<String, CliError> {
    let mut key = [0_u8; 16];
    getrandom::fill(&mut key).map_err(|error| CliError::Io {
        doing: "asking for a random number",
        path: "the system".into(),
        source: io::Error::other(error),
    })?;
    Ok(key.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The project that was named, else the one whose repository one stands in.
pub(super) async fn project_named(
    daemon: &Daemon,
    named: Option<ProjectId>,
    env: &Env,
) -> Result<ProjectId, CliError> {
    if let Some(project) = named {
        return Ok(project);
    }
    let known = project::list(daemon).await?;
    project_of(project::here(env).as_deref(), &known)
}

/// The project whose repository, or a worktree of it, `here` is in.
fn project_of(here: Option<&Utf8Path>, known: &ProjectList) -> Result<ProjectId, CliError> {
    let top = here.and_then(project::repository_of);
    let found = known.projects.iter().find(|project| {
        let path = Utf8Path::new(&project.path);
        // A registered linked worktree is its own top; everything else is told by the repository it belongs to.
        top.as_deref() == Some(path) || here.is_some_and(|here| holds(path, here))
    });
    if let Some(project) = found {
        return Ok(project.id.clone());
    }
    Err(match top {
        Some(top) => CliError::NoProject {
            what: format!("the repository `{top}` is not registered"),
            instead: format!("ao project add {}", shell_word(top.as_str())),
        },
        None => {
            let ids: Vec<&str> = known.projects.iter().map(|project| project.id.as_str()).collect();
            CliError::NoProject {
                what: "no project is named, and this directory is in no git repository".to_owned(),
                instead: match ids.as_slice() {
                    [] => "register a repository: ao project add PATH".to_owned(),
                    ids => format!("name one with --project: {}", ids.join(", ")),
                },
            }
        }
    })
}

/// Whether `here` is in the work tree at `top`, and in no other repository on the way.
fn holds(top: &Utf8Path, here: &Utf8Path) -> bool {
    here.starts_with(top)
        && here
            .ancestors()
            .take_while(|dir| *dir != top)
            .all(|dir| !dir.join(".git").exists())
}

/// Shows every step until the agent runs, or has ended, or the time is over; gives the session as it stood then.
async fn follow(
    daemon: &Daemon,
    mut session: Session,
    before: Option<i64>,
    limit: Duration,
    out: &mut Out,
) -> Result<Session, CliError> {
    let end = Instant::now() + limit;
    let (mut said, mut printed) = (String::new(), String::new());
    let mut events: Option<Events> = None;
    let mut tried = false;
    loop {
        let step = step_in_words(&session);
        if step != said {
            out.note(format!("{}: {step}", session.id))?;
            said = step;
        }
        let line = session
            .provisioning
            .as_ref()
            .and_then(|progress| progress.last_line.clone());
        if let Some(line) = line.filter(|line| *line != printed) {
            out.note(format!("{}:   {line}", session.id))?;
            printed = line;
        }
        if session.phase.is_settled() {
            return Ok(session);
        }
        if Instant::now() >= end {
            out.note(format!(
                "{} is still on its way; see how it goes: ao session get {}",
                session.id, session.id
            ))?;
            return Ok(session);
        }
        if let (false, Some(after)) = (tried, before) {
            tried = true; // after the first step was shown: that one must not wait
            events = daemon.events(after).await.ok();
        }
        let pause = if events.is_some() {
            LOOK_AGAIN
        } else {
            LOOK_WITHOUT_NEWS
        };
        let deadline = (Instant::now() + pause).min(end);
        // Announced or not: it is looked at.
        let _ = tokio::time::timeout_at(deadline, news_of(&session.id, &mut events)).await;
        session = session::fetch(daemon, &session.id).await?;
    }
}

/// Resolves when something was said about `session`. Never, once nobody announces anything. Cancel safe.
pub(super) async fn news_of(session: &SessionId, events: &mut Option<Events>) {
    while let Some(stream) = events {
        match stream.next().await {
            Some(event) if event.session_id.as_deref() == Some(session.as_str()) => return,
            Some(_) => {}
            None => *events = None,
        }
    }
    std::future::pending::<()>().await;
}

/// Which pull request the session works on, and what a push does.
fn about_claim(claim: &Claimed, session: &Session) -> Vec<String> {
    let number = claim.number;
    if claim.state != ClaimState::Made {
        return vec![format!(
            "  pr: #{number} of {}, not claimed yet",
            claim.repository
        )];
    }
    let url = session.prs.iter().find(|pr| pr.number == number);
    let mut lines = vec![format!("  claimed: {}", url.map_or("", |pr| pr.url.as_str()))];
    lines.extend(
        claim
            .taken_over_from
            .iter()
            .map(|from| format!("  taken over from {from}")),
    );
    lines.push(match &claim.head_branch {
        Some(branch) if !session.foreign_code => {
            format!("  push to it with: git push origin HEAD:{}", shell_word(branch))
        }
        _ => {
            "  code: a stranger's, from another repository; a push does not reach the pull request".to_owned()
        }
    });
    lines
}

fn step_in_words(session: &Session) -> String {
    let reason = session::reason(session);
    if session.status == Status::Queued {
        reason
    } else {
        format!("{}: {reason}", session.status)
    }
}

/// Why the session did not come up; `None` while it still may, or when it did.
fn failure(session: &Session) -> Option<String> {
    match session.end_reason {
        Some(EndReason::SpawnFailed) => {
            Some(session.failure.clone().unwrap_or_else(|| session.reason.clone()))
        }
        Some(EndReason::Killed) => Some("it was killed".to_owned()),
        Some(EndReason::Replaced) => Some("another orchestrator took its place".to_owned()),
        Some(EndReason::Exited | EndReason::RuntimeDead | EndReason::Completed | EndReason::Rebooted)
        | None => None,
    }
}

/// How a session stands, and what to type next. One that waits has neither a worktree nor a terminal yet.
fn summary(session: &Session, deed: &str, out: &Out) -> Vec<String> {
    let id = &session.id;
    let waits = session.queue.is_some();
    let command = |words: &str| out.paint(Tone::Strong, format!("ao {words} {id}"));
    let mut lines = vec![format!(
        "{deed} session {id} ({})",
        out.paint(session::tone(session.status), session.status.as_str())
    )];
    if waits {
        lines.push(format!("  in line: {}", session::reason(session)));
    } else {
        lines.push(format!("  worktree: {}", session.worktree.path));
    }
    lines.push(format!("  branch: {} (from {})", session.branch, session.base));
    if waits {
        lines.push(format!(
            "it starts in its turn; see how it stands: {}",
            command("session get")
        ));
    }
    let attach = if session.phase.is_settled() {
        "attach with"
    } else {
        "attach once it runs"
    };
    lines.push(format!("{attach}: {}", command("attach")));
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::session::tests::session;
    use crate::render::tests::kept;
    use crate::scratch::Scratch;

    fn projects(paths: &[(&str, &Utf8Path)]) -> ProjectList {
        let projects: Vec<_> = paths
            .iter()
            .map(|(id, path)| json!({"id": id, "name": id, "sessionPrefix": id, "path": path, "kind": "single_repo"}))
            .collect();
        serde_json::from_value(json!({"projects": projects})).unwrap()
    }

    #[test]
    fn the_project_is_found_from_where_one_stands() {
        let dir = Scratch::new();
        let (web, inner, tree) = (
            dir.path().join("web"),
            dir.path().join("web/vendor/inner"),
            dir.path().join("data/worktrees/web/web-1"),
        );
        for made in [
            web.join(".git/worktrees/web-1"),
            web.join("src"),
            inner.join(".git"),
            tree.join("src"),
        ] {
            std::fs::create_dir_all(made).unwrap();
        }
        std::fs::write(web.join(".git/worktrees/web-1/commondir"), "../..\n").unwrap();
        std::fs::write(
            tree.join(".git"),
            format!("gitdir: {}\n", web.join(".git/worktrees/web-1")),
        )
        .unwrap();
        let known = projects(&[("api", Utf8Path::new("/elsewhere")), ("web", &web)]);
        let of = |here: &Utf8Path| project_of(Some(here), &known);
        for here in [&web, &web.join("src"), &tree, &tree.join("src")] {
            assert_eq!(of(here).unwrap().as_str(), "web", "{here}");
        }
        let error = of(&inner).unwrap_err();
        assert_eq!(
            error.for_people(),
            format!("the repository `{inner}` is not registered\nao project add {inner}")
        );
        assert_eq!(
            of(dir.path()).unwrap_err().for_people(),
            "no project is named, and this directory is in no git repository\nname one with --project: api, web"
        );
        assert!(
            project_of(None, &projects(&[]))
                .unwrap_err()
                .for_people()
                .ends_with("ao project add PATH")
        );
    }

    #[test]
    fn a_registered_linked_worktree_is_its_own_project() {
        let dir = Scratch::new();
        let (web, tree) = (dir.path().join("web"), dir.path().join("tree"));
        std::fs::create_dir_all(web.join(".git/worktrees/tree")).unwrap();
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::write(web.join(".git/worktrees/tree/commondir"), "../..\n").unwrap();
        std::fs::write(
            tree.join(".git"),
            format!("gitdir: {}\n", web.join(".git/worktrees/tree")),
        )
        .unwrap();
        let known = projects(&[("tree", &tree)]);
        assert_eq!(project_of(Some(&tree), &known).unwrap().as_str(), "tree");
    }

    #[test]
    fn a_spawn_says_what_to_type_next() {
        let (out, ..) = kept(false, false, None);
        expect_test::expect![[r#"
            spawned session web-1 (working)
              worktree: /data/worktrees/web/web-1
              branch: ao/web-1 (from main)
            attach with: ao attach web-1"#]]
        .assert_eq(&summary(&session("web-1", &json!({})), "spawned", &out).join("\n"));
        let waits = session(
            "web-3",
            &json!({"status": "queued", "phase": "queued", "reason": "every place is taken",
                "queue": {"place": 2, "of": 4, "waitsFor": "place"}}),
        );
        expect_test::expect![[r#"
            spawned session web-3 (queued)
              in line: every place is taken (2 of 4 that wait)
              branch: ao/web-3 (from main)
            it starts in its turn; see how it stands: ao session get web-3
            attach once it runs: ao attach web-3"#]]
        .assert_eq(&summary(&waits, "spawned", &out).join("\n"));
        let queued = session(
            "web-1",
            &json!({"status": "queued", "phase": "worktree", "reason": "making the worktree"}),
        );
        assert_eq!(
            summary(&queued, "spawned", &out).last().unwrap(),
            "attach once it runs: ao attach web-1"
        );
        assert_eq!(step_in_words(&queued), "making the worktree");
        let failed = session(
            "web-1",
            &json!({"endReason": "spawn_failed", "failure": "no such program"}),
        );
        assert_eq!(failure(&failed).as_deref(), Some("no such program"));
        let quick = session("web-1", &json!({"endReason": "exited", "phase": "finished"}));
        assert_eq!(failure(&quick), None);
    }
}
