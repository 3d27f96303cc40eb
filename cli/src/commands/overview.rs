//! `ao` alone: what wants a person now, one line each, with the command to type.

use std::time::Duration;

use ao_api::wire::{Gateway, Notice, Session, Status, Tree};
use ao_domain::foreign_text::{first_line, in_line};
use ao_domain::{Timestamp, WorktreeState};
use serde::Serialize;

use super::restore::is_lost;
use super::{kill, project, restore, session, tree};
use crate::duration;
use crate::env::Env;
use crate::error::CliError;
use crate::gateways::{self, Grade};
use crate::render::{Out, Tone};

/// How long a session that never came up is brought up again and again: it can only be looked at, not dismissed.
const FAILED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How much of a notice stands in a line, in characters.
const WHY: usize = 300;

/// Something that waits for a person.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Want {
    /// `needs_input`, `no_terminal`, `failed`, `kept`, `unknown`, `changes_requested`, `approved`, `mergeable`, a kind of notice, `token`, `parked`
    /// or `no_project`.
    what: &'static str,
    /// Whose: a session, a host, or a path in the tree.
    who: String,
    /// What happened, in words.
    why: String,
    /// What to type.
    command: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Counts {
    projects: usize,
    queued: usize,
    working: usize,
    idle: usize,
    over: usize,
}

#[derive(Serialize)]
struct Overview {
    wants: Vec<Want>,
    counts: Counts,
    gateways: Vec<Gateway>,
}

/// What the daemon knows, all of one moment.
struct Known {
    projects: usize,
    sessions: Vec<Session>,
    notices: Vec<Notice>,
    gateways: Vec<Gateway>,
    tree: Tree,
}

pub(crate) async fn run(env: &Env, out: &mut Out) -> Result<(), CliError> {
    let daemon = super::find(env)?;
    let (projects, sessions, notices, gateways, tree) = tokio::try_join!(
        project::list(&daemon),
        session::list(&daemon, None),
        gateways::notices(&daemon),
        gateways::fetch(&daemon),
        tree::fetch(&daemon)
    )?;
    let known = Known {
        projects: projects.projects.len(),
        sessions,
        notices,
        gateways,
        tree,
    };
    let now = ao_local::clock::now();
    let overview = Overview {
        wants: wants(&known, now),
        counts: counts(known.projects, &known.sessions),
        gateways: known.gateways,
    };
    if out.is_json() {
        return out.object(&overview);
    }
    if overview.wants.is_empty() {
        out.line("nothing wants you")?;
    } else {
        let rows = overview
            .wants
            .iter()
            .map(|want| {
                let tone = if want.what == "failed" {
                    Tone::Bad
                } else {
                    Tone::Warn
                };
                vec![out.paint(tone, &want.who), want.why.clone(), want.command.clone()]
            })
            .collect();
        out.rows(rows)?;
    }
    out.line(in_words(&overview.counts))?;
    for gateway in &overview.gateways {
        let stands = gateways::standing(gateway, now);
        let tone = match stands.grade {
            Grade::Fine => Tone::Dim,
            Grade::Odd => Tone::Warn,
            Grade::Broken => Tone::Bad,
        };
        out.line(out.paint(tone, stands.line))?;
        if let Some(remedy) = stands.remedy {
            out.line(format!("  {remedy}"))?;
        }
    }
    Ok(())
}

fn wants(known: &Known, now: Timestamp) -> Vec<Want> {
    let mut wants = Vec::new();
    if known.projects == 0 {
        wants.push(Want {
            what: "no_project",
            who: "ao".to_owned(),
            why: "no repository is registered yet".to_owned(),
            command: "ao project add PATH".to_owned(),
        });
    }
    for session in &known.sessions {
        let id = &session.id;
        let mut want = |what, why: String, command: String| {
            wants.push(Want {
                what,
                who: id.to_string(),
                why,
                command,
            });
        };
        let ago = duration::age(now.since(session.since));
        match session.status {
            // It lives, so its terminal was there once and does not come back: nobody can see it or talk to it.
            status if lives(session, status) && session.terminal_handle_id.is_none() => {
                want(
                    "no_terminal",
                    format!("it has no terminal any more: {} (for {ago})", session.reason),
                    format!("ao session get {id}"),
                );
            }
            Status::NeedsInput => {
                want(
                    "needs_input",
                    format!("{} (for {ago})", session.reason),
                    format!("ao attach {id}"),
                );
            }
            Status::Unknown => {
                want(
                    "unknown",
                    format!("{} (for {ago})", session.reason),
                    format!("ao session get {id}"),
                );
            }
            Status::Failed if now.since(session.since) < FAILED_FOR => {
                want(
                    "failed",
                    format!("{} ({ago} ago)", session.reason),
                    format!("ao session get {id}"),
                );
            }
            // Agents are not told of these: they wait for people.
            Status::ChangesRequested => {
                want(
                    "changes_requested",
                    format!("{} (for {ago})", session.reason),
                    format!("ao send {id} TEXT"),
                );
            }
            Status::Approved | Status::Mergeable => {
                want(
                    session.status.as_str(),
                    format!("{} (for {ago})", session.reason),
                    format!("ao session get {id}"),
                );
            }
            _ if is_lost(session) => {
                let command = restore::command(session);
                let why = session.reason.split(": ").next().unwrap_or_default();
                want("lost", format!("{why} ({ago} ago)"), command);
            }
            _ => {}
        }
        if session.worktree.state == WorktreeState::Kept {
            let worktree = &session.worktree;
            let why = kill::why_kept(worktree, session.failure.as_deref().map(first_line));
            want(
                "kept",
                format!("its worktree was kept, {why}: {}", worktree.path),
                kill::next_after_kept(id, worktree).1,
            );
        }
    }
    for notice in &known.notices {
        wants.push(Want {
            what: notice.kind.as_str(),
            who: notice.session_id.to_string(),
            why: in_line(&notice.text, WHY),
            command: checks_of(notice, &known.sessions),
        });
    }
    for gateway in &known.gateways {
        if let Some((why, command)) = gateways::wants(gateway) {
            wants.push(Want {
                what: "token",
                who: gateway.host.clone(),
                why,
                command,
            });
        }
    }
    for node in &known.tree.nodes {
        if let Some(parked) = &node.parked {
            wants.push(Want {
                what: "parked",
                who: node.path.clone(),
                why: format!("parked: {}", parked.reason),
                command: format!("ao tree resume {}", ao_domain::shell_word(&node.path)),
            });
        }
    }
    wants
}

/// Whether its agent lives and is known to, so that it should have a terminal.
fn lives(session: &Session, status: Status) -> bool {
    match status {
        Status::Working | Status::NeedsInput => true,
        Status::Queued | Status::Unknown | Status::Failed | Status::Terminated => false,
        _ => is_idle(session),
    }
}

/// Whether its agent has nothing to do, whatever its pull request waits for meanwhile.
fn is_idle(session: &Session) -> bool {
    let waits = match session.status {
        Status::Idle
        | Status::CiFailed
        | Status::ChangesRequested
        | Status::Draft
        | Status::ReviewPending
        | Status::PrOpen
        | Status::Approved
        | Status::Mergeable
        | Status::Merged => true,
        Status::Queued
        | Status::Working
        | Status::NeedsInput
        | Status::Unknown
        | Status::Failed
        | Status::Terminated => false,
    };
    waits && !session.is_terminated
}

/// What shows more of a notice: the checks of the pull request it is about.
fn checks_of(notice: &Notice, sessions: &[Session]) -> String {
    let of_session = sessions.iter().find(|session| session.id == notice.session_id);
    let prs = of_session
        .map(|session| session.prs.as_slice())
        .unwrap_or_default();
    match prs.iter().find(|pr| pr.url == notice.url) {
        Some(pr) => format!("ao pr checks {} --logs", pr.id),
        None => format!("ao session get {}", notice.session_id),
    }
}

fn counts(projects: usize, sessions: &[Session]) -> Counts {
    let count = |wanted: &dyn Fn(&Session) -> bool| sessions.iter().filter(|session| wanted(session)).count();
    let is_over = |session: &Session| {
        matches!(session.status, Status::Terminated | Status::Failed)
            || (session.status == Status::Merged && session.is_terminated)
    };
    Counts {
        projects,
        queued: count(&|session| session.status == Status::Queued),
        working: count(&|session| session.status == Status::Working),
        idle: count(&is_idle),
        over: count(&is_over),
    }
}

fn in_words(counts: &Counts) -> String {
    let projects = if counts.projects == 1 {
        "project"
    } else {
        "projects"
    };
    format!(
        "{} {projects}; sessions: {} working, {} idle, {} queued, {} over",
        counts.projects, counts.working, counts.idle, counts.queued, counts.over
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::session::tests::session;
    use crate::gateways::tests::gateway;
    use serde_json::json;

    fn tree(parked: bool) -> Tree {
        let parked =
            parked.then(|| json!({"reason": "ten crashes in a row", "times": 1, "retryInMs": 60000}));
        serde_json::from_value(json!({"seq": 1, "nodes": [{
            "path": "ao/act/sessions/web-1", "id": "web-1", "depth": 3, "type": "worker", "kind": "session",
            "state": "parked", "restarts": {"total": 10}, "parked": parked,
        }]}))
        .unwrap()
    }

    fn known(projects: usize, sessions: &[Session], parked: bool) -> Known {
        Known {
            projects,
            sessions: sessions.to_vec(),
            notices: Vec::new(),
            gateways: Vec::new(),
            tree: tree(parked),
        }
    }

    fn in_lines(found: &[Want]) -> String {
        let lines: Vec<String> = found
            .iter()
            .map(|want| format!("{} | {} | {} | {}", want.what, want.who, want.why, want.command))
            .collect();
        lines.join("\n")
    }

    #[test]
    fn everything_that_waits_for_a_person_has_a_command() {
        let now = "2026-06-24T13:00:00.000Z".parse().unwrap();
        let sessions = [
            session(
                "web-1",
                &json!({"status": "needs_input", "reason": "a person has to decide"}),
            ),
            session(
                "web-2",
                &json!({"status": "failed", "reason": "no such program", "isTerminated": true}),
            ),
            session("web-3", &json!({"status": "unknown", "reason": "nobody knows"})),
            session(
                "web-4",
                &json!({"status": "terminated", "isTerminated": true, "worktree": {"path": "/w", "state": "kept",
                    "holdings": [{"kind": "modified", "text": "1 modified file (a)"}]}}),
            ),
            session(
                "web-5",
                &json!({"status": "failed", "since": "2026-06-20T12:00:00.000Z", "isTerminated": true}),
            ),
            session("web-6", &json!({})),
            session(
                "web-7",
                &json!({"reason": "it works; its terminal is gone", "terminalHandleId": null}),
            ),
            session(
                "web-8",
                &json!({"status": "terminated", "isTerminated": true, "failure": "the repository is not there\nfatal",
                    "worktree": {"path": "/w", "state": "kept", "holdings": []}}),
            ),
        ];
        let found = wants(&known(1, &sessions, true), now);
        expect_test::expect![[r#"
            needs_input | web-1 | a person has to decide (for 1h) | ao attach web-1
            failed | web-2 | no such program (1h ago) | ao session get web-2
            unknown | web-3 | nobody knows (for 1h) | ao session get web-3
            kept | web-4 | its worktree was kept, it holds 1 modified file (a): /w | ao kill web-4 --discard
            no_terminal | web-7 | it has no terminal any more: it works; its terminal is gone (for 1h) | ao session get web-7
            kept | web-8 | its worktree was kept, the repository is not there: /w | ao kill web-8
            parked | ao/act/sessions/web-1 | parked: ten crashes in a row | ao tree resume ao/act/sessions/web-1"#]]
        .assert_eq(&in_lines(&found));
        assert_eq!(
            in_words(&counts(1, &sessions)),
            "1 project; sessions: 2 working, 0 idle, 0 queued, 4 over"
        );
    }

    #[test]
    fn what_pull_requests_wait_for_a_person_for_has_a_command() {
        let now = "2026-06-24T13:00:00.000Z".parse().unwrap();
        let pr = json!({"id": 3, "url": "https://forge.example/acme/web/pull/7", "number": 7, "title": "Tidy up", "state": "open",
            "ci": "failing", "failing": ["test"], "review": "none", "mergeability": "unknown", "headBranch": "ao/web-1",
            "baseBranch": "main", "head": "0123456", "changedAt": "2026-06-24T12:00:00.000Z"});
        let status = |id, status: &str| {
            session(
                id,
                &json!({"status": status, "reason": status, "evidence": "forge"}),
            )
        };
        let sessions = [
            session(
                "web-1",
                &json!({"status": "ci_failed", "reason": "#7: test failed", "prs": [pr]}),
            ),
            status("web-2", "changes_requested"),
            status("web-3", "approved"),
            status("web-4", "mergeable"),
            status("web-5", "draft"),
            status("web-6", "review_pending"),
            status("web-7", "pr_open"),
            status("web-8", "merged"),
            session(
                "web-9",
                &json!({"status": "merged", "isTerminated": true, "terminalHandleId": null, "endReason": "completed"}),
            ),
            session(
                "web-10",
                &json!({"status": "pr_open", "reason": "#9 is open; it is alone", "terminalHandleId": null}),
            ),
        ];
        let mut known = known(1, &sessions, false);
        let notice = json!([
            {"id": 2, "sessionId": "web-1", "kind": "ci_stuck", "url": "https://forge.example/acme/web/pull/7",
                "text": "it still fails:\n\u{1b}[2Jtest", "createdAt": "2026-06-24T12:30:00.000Z"},
            {"id": 1, "sessionId": "web-2", "kind": "ci_stuck", "url": "https://forge.example/acme/web/pull/6",
                "text": "it fails too", "createdAt": "2026-06-24T12:30:00.000Z"},
        ]);
        known.notices = serde_json::from_value(notice).unwrap();
        known.gateways = vec![gateway(&json!({"token": "refused"})), gateway(&json!({}))];
        expect_test::expect![[r#"
            changes_requested | web-2 | changes_requested (for 1h) | ao send web-2 TEXT
            approved | web-3 | approved (for 1h) | ao session get web-3
            mergeable | web-4 | mergeable (for 1h) | ao session get web-4
            no_terminal | web-10 | it has no terminal any more: #9 is open; it is alone (for 1h) | ao session get web-10
            ci_stuck | web-1 | it still fails: ␛[2Jtest | ao pr checks 3 --logs
            ci_stuck | web-2 | it fails too | ao session get web-2
            token | forge.example | the token was refused (gh auth token): pull requests are not watched | gh auth login --hostname forge.example"#]].assert_eq(&in_lines(&wants(&known, now)));
        assert_eq!(
            in_words(&counts(1, &sessions)),
            "1 project; sessions: 0 working, 9 idle, 0 queued, 1 over"
        );
    }

    #[test]
    fn a_newcomer_is_told_what_comes_first() {
        let now = "2026-06-24T13:00:00.000Z".parse().unwrap();
        let found = wants(&known(0, &[], false), now);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].command, "ao project add PATH");
        assert!(wants(&known(1, &[], false), now).is_empty());
    }
}
