//! `ao` alone: what wants a person now, one line each, with the command to type.

use std::time::Duration;

use ao_api::wire::{Session, Status, Tree};
use ao_domain::{Timestamp, WorktreeState};
use serde::Serialize;

use super::{kill, project, session, tree};
use crate::duration;
use crate::env::Env;
use crate::error::CliError;
use crate::render::{Out, Tone};

/// How long a session that never came up is brought up again and again: it can only be looked at, not dismissed.
const FAILED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Something that waits for a person.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Want {
    /// `needs_input`, `no_terminal`, `failed`, `kept`, `unknown`, `parked` or `no_project`.
    what: &'static str,
    /// Whose: a session, or a path in the tree.
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
}

pub(crate) async fn run(env: &Env, out: &mut Out) -> Result<(), CliError> {
    let daemon = super::find(env)?;
    let (projects, sessions, tree) = tokio::try_join!(
        project::list(&daemon),
        session::list(&daemon, None),
        tree::fetch(&daemon)
    )?;
    let overview = Overview {
        wants: wants(projects.projects.len(), &sessions, &tree, ao_local::clock::now()),
        counts: counts(projects.projects.len(), &sessions),
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
    out.line(in_words(&overview.counts))
}

fn wants(projects: usize, sessions: &[Session], tree: &Tree, now: Timestamp) -> Vec<Want> {
    let mut wants = Vec::new();
    if projects == 0 {
        wants.push(Want {
            what: "no_project",
            who: "ao".to_owned(),
            why: "no repository is registered yet".to_owned(),
            command: "ao project add PATH".to_owned(),
        });
    }
    for session in sessions {
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
            Status::Working | Status::Idle | Status::NeedsInput if session.terminal_handle_id.is_none() => {
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
            _ => {}
        }
        if session.worktree.state == WorktreeState::Kept {
            let worktree = &session.worktree;
            let why = kill::why_kept(worktree, session.failure.as_deref());
            want(
                "kept",
                format!("its worktree was kept, {why}: {}", worktree.path),
                kill::next_after_kept(id, worktree).1,
            );
        }
    }
    for node in &tree.nodes {
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

fn counts(projects: usize, sessions: &[Session]) -> Counts {
    let count = |status| sessions.iter().filter(|session| session.status == status).count();
    Counts {
        projects,
        queued: count(Status::Queued),
        working: count(Status::Working),
        idle: count(Status::Idle),
        over: count(Status::Terminated) + count(Status::Failed),
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
                &json!({"status": "terminated", "isTerminated": true, "failure": "the repository is not there",
                    "worktree": {"path": "/w", "state": "kept", "holdings": []}}),
            ),
        ];
        let found = wants(1, &sessions, &tree(true), now);
        let text: Vec<String> = found
            .iter()
            .map(|want| format!("{} | {} | {} | {}", want.what, want.who, want.why, want.command))
            .collect();
        expect_test::expect![[r#"
            needs_input | web-1 | a person has to decide (for 1h) | ao attach web-1
            failed | web-2 | no such program (1h ago) | ao session get web-2
            unknown | web-3 | nobody knows (for 1h) | ao session get web-3
            kept | web-4 | its worktree was kept, it holds 1 modified file (a): /w | ao kill web-4 --discard
            no_terminal | web-7 | it has no terminal any more: it works; its terminal is gone (for 1h) | ao session get web-7
            kept | web-8 | its worktree was kept, the repository is not there: /w | ao kill web-8
            parked | ao/act/sessions/web-1 | parked: ten crashes in a row | ao tree resume ao/act/sessions/web-1"#]]
        .assert_eq(&text.join("\n"));
        assert_eq!(
            in_words(&counts(1, &sessions)),
            "1 project; sessions: 2 working, 0 idle, 0 queued, 4 over"
        );
    }

    #[test]
    fn a_newcomer_is_told_what_comes_first() {
        let now = "2026-06-24T13:00:00.000Z".parse().unwrap();
        let found = wants(0, &[], &tree(false), now);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].command, "ao project add PATH");
        assert!(wants(1, &[], &tree(false), now).is_empty());
    }
}
