//! `ao session …`: which sessions there are and how they stand.

use std::collections::BTreeMap;

use ao_api::wire::{Exit, Session, SessionAnswer, SessionList, Status};
use ao_domain::{PermissionMode, Phase, ProjectId, SessionId, SessionKind, Timestamp, WorktreeState};
use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;
use serde::Serialize;

use super::claim::{self, ClaimPrArgs};
use super::cleanup::{self, CleanupArgs};
use super::completion::{any_sessions, projects};
use super::kill::{self, KillArgs};
use super::logs::{self, LogsArgs};
use super::pr;
use super::project;
use super::restore::{self, RenameArgs, RestoreArgs};
use super::rollback::{self, RollbackArgs};
use super::send::{self, AnswerArgs, MessagesArgs};
use crate::client::{Ask, Daemon, encoded};
use crate::duration;
use crate::env::Env;
use crate::error::CliError;
use crate::render::{Out, Tone, nearest};

/// Look at sessions, end them and bring them back
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ao session ls\n  ao session get web-7\n  ao session kill web-7")]
pub(crate) struct SessionArgs {
    #[command(subcommand)]
    command: Option<SessionCommand>,
}

#[derive(Subcommand)]
enum SessionCommand {
    Ls(LsArgs),
    Get(GetArgs),
    Kill(KillArgs),
    Restore(RestoreArgs),
    Cleanup(CleanupArgs),
    Rollback(RollbackArgs),
    Rename(RenameArgs),
    ClaimPr(ClaimPrArgs),
    Messages(MessagesArgs),
    Logs(LogsArgs),
    Answer(AnswerArgs),
}

/// List the sessions
#[derive(clap::Args)]
#[command(
    visible_alias = "list",
    after_help = "\
Examples:
  ao session ls
  ao session ls --project web --include-terminated
  ao session ls --json"
)]
struct LsArgs {
    /// Only those of this project
    #[arg(short, long, add = ArgValueCompleter::new(projects))]
    project: Option<ProjectId>,

    /// Orchestrators too
    #[arg(short, long)]
    all: bool,

    /// Those that are over, too
    #[arg(long)]
    include_terminated: bool,
}

/// Show everything about one session
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ao session get web-7\n  ao session get web-7 --json")]
struct GetArgs {
    /// The session's id
    #[arg(add = ArgValueCompleter::new(any_sessions))]
    session: SessionId,

    /// Only if it belongs to this project
    #[arg(short, long, add = ArgValueCompleter::new(projects))]
    project: Option<ProjectId>,
}

pub(crate) async fn run(args: SessionArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    match args.command {
        None => super::group_help("session", env, out),
        Some(SessionCommand::Ls(args)) => ls(&args, env, out).await,
        Some(SessionCommand::Get(args)) => get(&args, env, out).await,
        Some(SessionCommand::Kill(args)) => kill::run(&args, env, out).await,
        Some(SessionCommand::Restore(args)) => restore::restore(&args, env, out).await,
        Some(SessionCommand::Cleanup(args)) => cleanup::run(&args, env, out).await,
        Some(SessionCommand::Rollback(args)) => rollback::run(&args, env, out).await,
        Some(SessionCommand::Rename(args)) => restore::rename(args, env, out).await,
        Some(SessionCommand::ClaimPr(args)) => claim::run(&args, env, out).await,
        Some(SessionCommand::Messages(args)) => send::messages(&args, env, out).await,
        Some(SessionCommand::Logs(args)) => logs::run(&args, env, out).await,
        Some(SessionCommand::Answer(args)) => send::answer(&args, env, out).await,
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    data: Vec<&'a Session>,
    meta: Meta,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    hidden_terminated_count: usize,
}

async fn ls(args: &LsArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let sessions = list(&super::find(env)?, args.project.as_ref()).await?;
    print_list(&sessions, args, ao_local::clock::now(), out)
}

fn print_list(sessions: &[Session], args: &LsArgs, now: Timestamp, out: &mut Out) -> Result<(), CliError> {
    let wanted: Vec<&Session> = sessions
        .iter()
        .filter(|session| args.all || session.kind == SessionKind::Worker)
        .collect();
    let shown: Vec<&Session> = wanted
        .iter()
        .copied()
        .filter(|session| args.include_terminated || !session.is_terminated)
        .collect();
    let hidden = wanted.len() - shown.len();
    if out.is_json() {
        return out.object(&Listed {
            data: shown,
            meta: Meta {
                hidden_terminated_count: hidden,
            },
        });
    }
    if shown.is_empty() {
        out.line("(no active sessions)")?;
    }
    let mut groups: BTreeMap<&str, Vec<Vec<String>>> = BTreeMap::new();
    for session in shown {
        let age = duration::age(now.since(session.created_at));
        groups.entry(session.project_id.as_str()).or_default().push(vec![
            format!("  {}", session.id),
            format!("({age})"),
            out.paint(tone(session.status), format!("[{}]", session.status)),
            session.kind.to_string(),
            session.harness.clone(),
            session.issue_id.clone().unwrap_or_default(),
            reason(session),
        ]);
    }
    for (index, (project, rows)) in groups.into_iter().enumerate() {
        if index > 0 {
            out.line("")?;
        }
        out.line(format!("{project}:"))?;
        out.rows(rows)?;
    }
    match hidden {
        0 => Ok(()),
        1 => out.line("1 session that is over is not shown: --include-terminated"),
        hidden => out.line(format!(
            "{hidden} sessions that are over are not shown: --include-terminated"
        )),
    }
}

/// Why it stands as it does, in a line of a list; with its place, while it waits to be let in.
pub(crate) fn reason(session: &Session) -> String {
    match &session.queue {
        Some(queue) => format!("{} ({} of {} that wait)", session.reason, queue.place, queue.of),
        None => session.reason.clone(),
    }
}

/// How a status looks.
pub(crate) fn tone(status: Status) -> Tone {
    match status {
        Status::Working | Status::Approved | Status::Mergeable | Status::Merged => Tone::Good,
        Status::NeedsInput | Status::Unknown | Status::ChangesRequested => Tone::Warn,
        Status::Failed | Status::CiFailed => Tone::Bad,
        Status::Queued
        | Status::Idle
        | Status::Terminated
        | Status::Draft
        | Status::ReviewPending
        | Status::PrOpen => Tone::Dim,
    }
}

async fn get(args: &GetArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    check_scope(&args.session, args.project.as_ref(), env).await?;
    let daemon = super::find(env)?;
    let answer = match fetch_answer(&daemon, &args.session).await {
        Ok(answer) => answer,
        Err(error) => return Err(with_nearest(&daemon, error, args.session.as_str()).await),
    };
    if out.is_json() {
        return out.object(&answer);
    }
    for (name, value) in rows(&answer.session) {
        out.line(format!("{name}: {value}"))?;
    }
    Ok(())
}

/// Everything about a session that a person may want, without what is not there.
fn rows(session: &Session) -> Vec<(&'static str, String)> {
    let held: Vec<&str> = session
        .worktree
        .holdings
        .iter()
        .map(|held| held.text.as_str())
        .collect();
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    // Of a session that is over, the worktree that it left on purpose is taken back like any other.
    let remove = match session.worktree.state {
        WorktreeState::Kept => "remove it all the same",
        _ => "take it back with",
    };
    let pid = |value: Option<u32>| value.map(|pid| pid.to_string()).unwrap_or_default();
    let worktree = match session.worktree.state {
        WorktreeState::Active => session.worktree.path.clone(),
        state => format!("{} ({state})", session.worktree.path),
    };
    let attach = session
        .terminal_handle_id
        .as_ref()
        .map(|_| format!("ao attach {}", session.id));
    // An ending one is brought back when it has ended.
    let is_over = matches!(session.phase, Phase::Finished | Phase::Ended);
    let restore = is_over.then(|| restore::command(session));
    let said_last = session
        .last_message
        .as_deref()
        .and_then(|said| said.lines().next());
    let said_last = said_last.unwrap_or_default().to_owned();
    let answer = session.dialog.as_ref().map(|dialog| {
        if dialog.choices.is_empty() {
            format!("ao attach {}", session.id)
        } else {
            format!("ao session answer {} CHOICE", session.id)
        }
    });
    let waiting = match session.messages_waiting {
        0 => String::new(),
        count => format!("{count} (ao session messages {})", session.id),
    };
    let quota = session.wall_until.map_or_else(String::new, |until| {
        format!("used up until {until}: nothing is typed before")
    });
    let permissions = match session.permissions {
        PermissionMode::Default => String::new(),
        mode => mode.to_string(),
    };
    let about_itself = [
        ("id", session.id.to_string()),
        ("project", session.project_id.to_string()),
        ("name", text(&session.display_name)),
        ("title", text(&session.title)),
        ("summary", text(&session.summary)),
        ("said last", said_last),
        ("role", session.kind.to_string()),
        ("status", session.status.to_string()),
        ("reason", session.reason.clone()),
        ("quota", quota),
        ("since", session.since.to_string()),
        ("dialog", dialog_in_words(session)),
        ("answer with", answer.unwrap_or_default()),
        ("messages waiting", waiting),
        ("evidence", session.evidence.clone()),
        ("activity", session.activity.state.to_string()),
        ("tool", text(&session.tool)),
        ("phase", session.phase.to_string()),
        ("wanted", session.desired.to_string()),
        ("in line", in_line(session)),
        ("set up", set_up(session)),
        ("left out", left_out(session)),
        (
            "replaces",
            session
                .replaces
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ),
        ("harness", session.harness.clone()),
        (
            "command",
            session
                .command
                .iter()
                .map(|word| ao_domain::shell_word(word))
                .collect::<Vec<_>>()
                .join(" "),
        ),
        ("model", text(&session.model)),
        ("permissions", permissions),
        ("conversation", text(&session.native_id)),
        ("runtime", session.runtime.clone()),
        ("generation", session.generation.to_string()),
        ("agent pid", pid(session.agent_pid)),
        ("holder pid", pid(session.holder_pid)),
        ("issue", text(&session.issue_id)),
        ("branch", session.branch.clone()),
        ("base", session.base.clone()),
        ("foreign code", foreign_code(session)),
    ];
    let prs = session.prs.iter().map(|pr| ("pr", pr::line(pr)));
    let rest = [
        ("worktree", worktree),
        ("holds", held.join("; ")),
        (remove, text(&session.worktree.how_to_remove)),
        ("rescue ref", text(&session.worktree.rescue_ref)),
        ("bring that back with", text(&session.worktree.how_to_bring_back)),
        ("terminated", session.is_terminated.to_string()),
        (
            "end reason",
            session
                .end_reason
                .map(|reason| reason.to_string())
                .unwrap_or_default(),
        ),
        ("exit", session.exit.map(exit_in_words).unwrap_or_default()),
        ("failure", text(&session.failure)),
        ("created", session.created_at.to_string()),
        ("updated", session.updated_at.to_string()),
        ("attach with", attach.unwrap_or_default()),
        ("bring back with", restore.unwrap_or_default()),
    ];
    about_itself
        .into_iter()
        .chain(prs)
        .chain(rest)
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

fn foreign_code(session: &Session) -> String {
    match session.foreign_code {
        true => "yes: it has a pull request of another repository".to_owned(),
        false => String::new(),
    }
}

fn in_line(session: &Session) -> String {
    let place = session.queue.as_ref();
    place
        .map(|queue| format!("{} of {}", queue.place, queue.of))
        .unwrap_or_default()
}

fn set_up(session: &Session) -> String {
    match session.provisioning.as_ref() {
        Some(progress) if progress.of > 0 => {
            format!("{} of {} commands done", progress.done, progress.of)
        }
        _ => String::new(),
    }
}

fn left_out(session: &Session) -> String {
    let skipped = session.provisioning.as_ref();
    skipped
        .map(|progress| progress.skipped.join("; "))
        .unwrap_or_default()
}

/// What a dialog asks and what can be chosen, each in a line of its own.
fn dialog_in_words(session: &Session) -> String {
    let Some(dialog) = &session.dialog else {
        return String::new();
    };
    let text = dialog.text.iter().map(|line| format!("\n  {line}"));
    let choices = dialog
        .choices
        .iter()
        .map(|choice| format!("\n    {}. {}", choice.key, choice.label));
    text.chain(choices).collect()
}

fn exit_in_words(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit status {code}"),
        Exit::Signal(signal) => format!("signal {signal}"),
    }
}

/// Sessions, of one project or of all, by project and number.
///
/// # Errors
/// When the daemon cannot be asked, or there is no such project.
pub(crate) async fn list(daemon: &Daemon, project: Option<&ProjectId>) -> Result<Vec<Session>, CliError> {
    let query = project
        .map(|id| format!("?project={}", encoded(id.as_str())))
        .unwrap_or_default();
    let list: SessionList = daemon.fetch(Ask::get(format!("/api/v1/sessions{query}"))).await?;
    if let (Some(project), []) = (project, list.sessions.as_slice()) {
        project::must_be(daemon, project).await?;
    }
    Ok(list.sessions)
}

/// One session.
///
/// # Errors
/// When the daemon cannot be asked, or has no such session.
pub(crate) async fn fetch(daemon: &Daemon, id: &SessionId) -> Result<Session, CliError> {
    Ok(fetch_answer(daemon, id).await?.session)
}

/// One session, with the pull request that it was spawned with.
///
/// # Errors
/// When the daemon cannot be asked, or there is no such session.
pub(crate) async fn fetch_answer(daemon: &Daemon, id: &SessionId) -> Result<SessionAnswer, CliError> {
    let path = format!("/api/v1/sessions/{}", encoded(id.as_str()));
    daemon.fetch(Ask::get(path)).await
}

/// Refuses a session of another project than the named one, or of one that is none, before anything is asked of it.
///
/// # Errors
/// When it belongs to another project.
pub(crate) async fn check_scope(
    session: &SessionId,
    project: Option<&ProjectId>,
    env: &Env,
) -> Result<(), CliError> {
    let Some(project) = project.filter(|project| session.project() != **project) else {
        return Ok(());
    };
    // Without a daemon it is not known which projects there are, and wrong all the same.
    if let Ok(daemon) = super::find(env) {
        project::must_be(&daemon, project).await?;
    }
    Err(CliError::misuse(format!(
        "session {session} does not belong to project {project}"
    )))
}

/// Adds the nearest known id to a refusal that says there is no such session.
pub(crate) async fn with_nearest(daemon: &Daemon, error: CliError, typed: &str) -> CliError {
    match error {
        CliError::Refused {
            status,
            body,
            hint: None,
        } if body.code == "SESSION_NOT_FOUND" => {
            let known = list(daemon, None).await.unwrap_or_default();
            // Without a near one, the message itself says where to look.
            let hint = nearest(typed, known.iter().map(|session| session.id.as_str()))
                .map(|id| format!("did you mean `{id}`? all of them: ao session ls"));
            CliError::Refused { status, body, hint }
        }
        other => other,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::render::tests::kept;

    /// A session as the daemon would answer it, with `change` made to its JSON.
    pub(crate) fn session(id: &str, change: &serde_json::Value) -> Session {
        let (project, _) = id.rsplit_once('-').unwrap();
        let mut text = serde_json::json!({
            "id": id, "projectId": project, "kind": "worker", "harness": "shell", "runtime": "pty",
            "command": ["make", "test all"],
            "status": "working", "reason": "its process runs", "since": "2026-06-24T12:00:00.000Z",
            "evidence": "process",
            "activity": {"state": "active", "lastActivityAt": "2026-06-24T12:00:00.000Z", "doing": "working"},
            "phase": "live", "desired": "run", "generation": 1, "isTerminated": false, "agentPid": 12,
            "holderPid": 11, "terminalHandleId": id, "branch": format!("ao/{id}"), "base": "main",
            "worktree": {"path": format!("/data/worktrees/{project}/{id}"), "state": "active", "holdings": []},
            "prs": [], "revision": 3,
            "createdAt": "2026-06-24T12:00:00.000Z", "updatedAt": "2026-06-24T12:00:01.000Z",
        });
        for (key, value) in change.as_object().unwrap() {
            text[key] = value.clone();
        }
        serde_json::from_value(text).unwrap()
    }

    fn args(all: bool, include_terminated: bool) -> LsArgs {
        LsArgs {
            project: None,
            all,
            include_terminated,
        }
    }

    #[test]
    fn sessions_stand_in_groups_and_what_is_hidden_is_counted() {
        let now: Timestamp = "2026-06-24T12:05:00.000Z".parse().unwrap();
        let sessions = [
            session("api-1", &serde_json::json!({"kind": "orchestrator"})),
            session("web-1", &serde_json::json!({"issueId": "#4"})),
            session(
                "web-12",
                &serde_json::json!({"status": "needs_input", "reason": "a person has to decide\u{1b}[2J"}),
            ),
            session(
                "web-2",
                &serde_json::json!({"isTerminated": true, "status": "terminated"}),
            ),
            session(
                "web-3",
                &serde_json::json!({"status": "queued", "reason": "every place is taken",
                    "queue": {"place": 2, "of": 4, "waitsFor": "place"}}),
            ),
        ];
        let text = |args: &LsArgs| {
            let (mut out, results, _) = kept(false, false, None);
            print_list(&sessions, args, now, &mut out).unwrap();
            results.text()
        };
        expect_test::expect![[r#"
            web:
              web-1   (5m)  [working]      worker  shell  #4  its process runs
              web-12  (5m)  [needs_input]  worker  shell      a person has to decide[2J
              web-3   (5m)  [queued]       worker  shell      every place is taken (2 of 4 that wait)
            1 session that is over is not shown: --include-terminated
        "#]]
        .assert_eq(&text(&args(false, false)));
        expect_test::expect![[r#"
            api:
              api-1  (5m)  [working]  orchestrator  shell     its process runs

            web:
              web-1   (5m)  [working]      worker  shell  #4  its process runs
              web-12  (5m)  [needs_input]  worker  shell      a person has to decide[2J
              web-2   (5m)  [terminated]   worker  shell      its process runs
              web-3   (5m)  [queued]       worker  shell      every place is taken (2 of 4 that wait)
        "#]]
        .assert_eq(&text(&args(true, true)));
    }

    #[test]
    fn one_session_shows_what_there_is_and_nothing_else() {
        let kept = session(
            "web-1",
            &serde_json::json!({
                "phase": "ended", "exit": {"signal": 9}, "terminalHandleId": null, "nativeId": "n-1", "model": "opus",
                "permissions": "auto", "lastMessage": "all done\nand more", "summary": "Tidying up",
                "tool": "Bash",
                "worktree": {"path": "/w", "state": "kept", "howToRemove": "ao kill web-1 --discard",
                    "holdings": [{"kind": "untracked", "text": "1 untracked file (a)"}]},
                "prs": [{"id": 3, "url": "https://forge.example/acme/web/pull/7", "number": 7, "title": "Tidy up", "state": "open",
                    "ci": "failing", "failing": ["lint", "test"], "review": "none", "mergeability": "unknown",
                    "headBranch": "ao/web-1", "baseBranch": "main", "head": "0123456", "changedAt": "2026-06-24T12:00:00.000Z"}],
            }),
        );
        let text: Vec<String> = rows(&kept)
            .into_iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        expect_test::expect![[r#"
            id: web-1
            project: web
            summary: Tidying up
            said last: all done
            role: worker
            status: working
            reason: its process runs
            since: 2026-06-24T12:00:00.000Z
            evidence: process
            activity: active
            tool: Bash
            phase: ended
            wanted: run
            harness: shell
            command: make 'test all'
            model: opus
            permissions: auto
            conversation: n-1
            runtime: pty
            generation: 1
            agent pid: 12
            holder pid: 11
            branch: ao/web-1
            base: main
            pr: #7 open, checks failing (2: lint, test) https://forge.example/acme/web/pull/7
            worktree: /w (kept)
            holds: 1 untracked file (a)
            remove it all the same: ao kill web-1 --discard
            terminated: false
            exit: signal 9
            created: 2026-06-24T12:00:00.000Z
            updated: 2026-06-24T12:00:01.000Z
            bring back with: ao session restore web-1"#]]
        .assert_eq(&text.join("\n"));
    }
}
