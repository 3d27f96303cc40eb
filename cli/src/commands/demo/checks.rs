//! What the demo promises, each as a comparison of what the agents wrote down with what is found.

use std::collections::{BTreeMap, BTreeSet};

use ao_api::wire::{Doing, Exit, Session, Status};
use ao_domain::{ProcessId, SessionId};
use camino::{Utf8Path, Utf8PathBuf};

use super::agent::Role;
use super::journal::Deed;
use super::place::failed;
use super::processes::Member;
use super::teller::Check;
use crate::error::CliError;

/// What every agent wrote down.
pub(super) type Deeds = BTreeMap<Role, Vec<Deed>>;

/// An agent as it was when it had come up.
#[derive(Clone, Debug)]
pub(super) struct Actor {
    pub(super) id: SessionId,
    pub(super) generation: u32,
    pub(super) agent: ProcessId,
    pub(super) holder: ProcessId,
    pub(super) worktree: Utf8PathBuf,
    pub(super) branch: String,
}

/// The agents that nobody killed.
const LIVING: [Role; 2] = [Role::Fixer, Role::Asker];

/// The session of `role`, found by the name it was spawned with.
pub(super) fn of(sessions: &[Session], role: Role) -> Option<&Session> {
    sessions
        .iter()
        .find(|session| session.display_name.as_deref() == Some(role.as_str()))
}

fn deeds_of(deeds: &Deeds, role: Role) -> &[Deed] {
    deeds.get(&role).map_or(&[], Vec::as_slice)
}

/// The commits that `role` wrote down.
pub(super) fn commits(deeds: &Deeds, role: Role) -> impl Iterator<Item = &Deed> {
    deeds_of(deeds, role)
        .iter()
        .filter(|deed| matches!(deed, Deed::Committed { .. }))
}

/// What `role` reported last: event and title.
pub(super) fn last_word(deeds: &Deeds, role: Role) -> Option<(&str, &str)> {
    deeds_of(deeds, role).iter().rev().find_map(|deed| match deed {
        Deed::Said { event, title } => Some((event.as_str(), title.as_str())),
        _ => None,
    })
}

/// What the scribe wrote last.
pub(super) fn notes(deeds: &Deeds) -> Option<&str> {
    deeds_of(deeds, Role::Scribe)
        .iter()
        .rev()
        .find_map(|deed| match deed {
            Deed::Wrote { text, .. } => Some(text.as_str()),
            _ => None,
        })
}

/// Whether exactly this process runs.
///
/// # Errors
/// When the system does not tell.
pub(super) fn lives(process: &ProcessId) -> Result<bool, CliError> {
    ao_local::process::is_alive(process).map_err(failed("looking at a process", "/proc"))
}

pub(super) fn same_processes(cast: &BTreeMap<Role, Actor>, sessions: &[Session]) -> Result<Check, CliError> {
    let mut held = true;
    let mut facts = Vec::new();
    for role in LIVING {
        let (was, now) = (
            cast.get(&role),
            of(sessions, role).and_then(|session| session.agent_pid),
        );
        let same = match was {
            Some(actor) => now == Some(actor.agent.pid) && lives(&actor.agent)?,
            None => false,
        };
        held &= same;
        let pid = |pid: Option<u32>| pid.map_or_else(|| "none".to_owned(), |pid| pid.to_string());
        let (was, now) = (pid(was.map(|actor| actor.agent.pid)), pid(now));
        facts.push(if same {
            format!("{}: process {now}, as at the start", role.as_str())
        } else {
            format!("{}: process {was} at the start, {now} now", role.as_str())
        });
    }
    Ok(Check::new(
        "who was not killed never stopped",
        held,
        facts.join("; "),
    ))
}

pub(super) fn killed_is_terminated(sessions: &[Session]) -> Check {
    let scribe = of(sessions, Role::Scribe);
    let held = scribe
        .is_some_and(|session| session.status == Status::Terminated && session.exit == Some(Exit::Signal(9)));
    let facts = scribe.map_or_else(
        || "there is no session".to_owned(),
        |session| format!("scribe: {}, {}", session.status, session.reason),
    );
    Check::new("who was killed is shown as killed", held, facts)
}

pub(super) fn reports_applied(sessions: &[Session], deeds: &Deeds) -> Check {
    let mut held = true;
    let mut facts = Vec::new();
    for role in LIVING {
        let (said, session) = (last_word(deeds, role), of(sessions, role));
        let known = session.map(|session| {
            (
                session.activity.doing,
                session.title.as_deref().unwrap_or_default(),
            )
        });
        let right = match (said, known) {
            (Some((event, title)), Some((doing, known))) => {
                doing_after(event) == Some(doing) && title == known
            }
            _ => false,
        };
        held &= right;
        let said = said.map_or("nothing", |(_, title)| title);
        let known = known.map_or("nothing", |(_, title)| title);
        facts.push(if right {
            format!("{}: “{known}”", role.as_str())
        } else {
            format!("{}: reported “{said}”, known is “{known}”", role.as_str())
        });
    }
    Check::new(
        "what was reported while no daemon ran is known now",
        held,
        facts.join("; "),
    )
}

fn doing_after(event: &str) -> Option<Doing> {
    match event {
        "working" => Some(Doing::Working),
        "needs-decision" => Some(Doing::NeedsDecision),
        "waiting-for-work" => Some(Doing::WaitingForWork),
        _ => None,
    }
}

/// `branch` is the list of commits that the agent's branch has beyond the one it began with.
pub(super) fn commits_kept(role: Role, actor: &Actor, deeds: &Deeds, branch: &str) -> Check {
    let found: BTreeSet<&str> = branch.lines().collect();
    let (mut all, mut kept) = (0, 0);
    for deed in commits(deeds, role) {
        if let Deed::Committed {
            commit, file, line, ..
        } = deed
        {
            let text = std::fs::read_to_string(actor.worktree.join(file)).unwrap_or_default();
            all += 1;
            kept += usize::from(found.contains(commit.as_str()) && text.lines().any(|found| found == line));
        }
    }
    let promise = match role {
        Role::Fixer => "no commit of the fixer is lost, none is there twice",
        Role::Asker | Role::Scribe => "the decision was carried out once",
    };
    Check::new(
        promise,
        all > 0 && kept == all && found.len() == all,
        format!(
            "{kept} of the {all} it wrote down are on {}, which has {}",
            actor.branch,
            found.len()
        ),
    )
}

/// `found` is the file as it lies in the worktree.
pub(super) fn notes_kept(deeds: &Deeds, found: Option<&str>) -> Check {
    let written = notes(deeds);
    let facts = match (written, found) {
        (Some(written), Some(found)) if written == found => {
            format!(
                "{} bytes in the killed agent's worktree, each as written",
                found.len()
            )
        }
        (Some(_), Some(_)) => "the file is not what the agent wrote".to_owned(),
        (Some(_), None) => "the file is gone".to_owned(),
        (None, _) => "the agent wrote nothing".to_owned(),
    };
    Check::new(
        "uncommitted work is not lost either",
        written.is_some() && written == found,
        facts,
    )
}

/// `worktrees` is git's own list, in the form for programs.
pub(super) fn one_of_each(cast: &BTreeMap<Role, Actor>, members: &[Member], worktrees: &str) -> Check {
    let trees: Vec<&str> = worktrees
        .lines()
        .filter_map(|line| line.strip_prefix("worktree "))
        .collect();
    let mut held = trees.len() == cast.len() + 1; // the repository itself is in the list
    let mut facts = Vec::new();
    for (role, actor) in cast {
        let its_trees = trees
            .iter()
            .filter(|tree| Utf8Path::new(tree) == actor.worktree)
            .count();
        let holders = members.iter().filter(|member| {
            let run = member.held_run().map(Utf8Path::new);
            run.and_then(Utf8Path::parent)
                .is_some_and(|session| session.file_name() == Some(actor.id.as_str()))
        });
        let holders: Vec<u32> = holders.map(|member| member.process.pid).collect();
        held &= its_trees == 1 && holders == [actor.holder.pid];
        facts.push(format!(
            "{}: {} holders, {its_trees} worktrees",
            role.as_str(),
            holders.len()
        ));
    }
    let facts = if held {
        format!("{} sessions, each with 1 holder and 1 worktree", cast.len())
    } else {
        facts.join("; ")
    };
    Check::new("nothing was made twice", held, facts)
}

/// `main` is the list of commits of the branch that everything was merged into.
pub(super) fn merged(deeds: &Deeds, main: &str) -> Check {
    let found: BTreeSet<&str> = main.lines().collect();
    let (mut all, mut kept) = (0, 0);
    for deed in LIVING.into_iter().flat_map(|role| commits(deeds, role)) {
        if let Deed::Committed { commit, .. } = deed {
            all += 1;
            kept += usize::from(found.contains(commit.as_str()));
        }
    }
    Check::new(
        "the worktrees are gone, their commits are not",
        all > 0 && kept == all,
        format!("{kept} of {all} are on main"),
    )
}

/// `found` is the file as it is in the rescue ref, perhaps without its last line's end.
pub(super) fn rescued(deeds: &Deeds, rescue: Option<&str>, found: Option<&str>) -> Check {
    let written = notes(deeds);
    let held = match (written, found) {
        (Some(written), Some(found)) => written.trim_end() == found.trim_end(),
        _ => false,
    };
    let facts = match rescue {
        Some(rescue) if held => format!("all of it is in {rescue}"),
        Some(rescue) => format!("{rescue} does not hold what was written"),
        None => "there is no rescue ref".to_owned(),
    };
    Check::new("even what was discarded can be brought back", held, facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::session::tests::session;
    use crate::scratch::Scratch;
    use serde_json::json;

    fn me() -> ProcessId {
        ao_local::process::identify(std::process::id()).unwrap().unwrap()
    }

    fn actor(id: &str, worktree: &Utf8Path) -> Actor {
        Actor {
            id: id.parse().unwrap(),
            generation: 1,
            agent: me(),
            holder: me(),
            worktree: worktree.to_owned(),
            branch: format!("ao/{id}"),
        }
    }

    fn said(event: &str, title: &str) -> Deed {
        Deed::Said {
            event: event.to_owned(),
            title: title.to_owned(),
        }
    }

    fn committed(commit: &str, line: &str) -> Deed {
        Deed::Committed {
            commit: commit.to_owned(),
            subject: "s".to_owned(),
            file: "rounding.csv".to_owned(),
            line: line.to_owned(),
        }
    }

    fn wrote(text: &str) -> Deeds {
        let deed = |text: &str| Deed::Wrote {
            file: "NOTES.md".to_owned(),
            text: text.to_owned(),
        };
        Deeds::from([(Role::Scribe, vec![deed("an earlier state"), deed(text)])])
    }

    #[test]
    fn another_process_is_not_the_same() {
        let pid = std::process::id();
        let cast: BTreeMap<Role, Actor> = LIVING
            .into_iter()
            .map(|role| (role, actor("shop-1", "/w".into())))
            .collect();
        let of = |asker: u32| {
            [
                session("shop-1", &json!({"displayName": "fixer", "agentPid": pid})),
                session("shop-2", &json!({"displayName": "asker", "agentPid": asker})),
            ]
        };
        assert!(same_processes(&cast, &of(pid)).unwrap().held());
        assert!(!same_processes(&cast, &of(pid + 1)).unwrap().held());
        assert!(!same_processes(&cast, &of(pid)[..1]).unwrap().held());
        let mut ended = cast;
        if let Some(actor) = ended.get_mut(&Role::Fixer) {
            actor.agent.started += 1; // its number belongs to another one now
        }
        assert!(!same_processes(&ended, &of(pid)).unwrap().held());
    }

    #[test]
    fn only_a_terminated_session_with_its_signal_is_one_that_was_killed() {
        let of = |change: serde_json::Value| killed_is_terminated(&[session("shop-3", &change)]).held();
        let name = "scribe";
        assert!(of(
            json!({"displayName": name, "status": "terminated", "exit": {"signal": 9}})
        ));
        assert!(!of(
            json!({"displayName": name, "status": "terminated", "exit": {"code": 0}})
        ));
        assert!(!of(json!({"displayName": name, "status": "working"})));
        assert!(!of(json!({"displayName": "another"})));
    }

    #[test]
    fn a_report_that_was_not_applied_is_seen() {
        let deeds = Deeds::from([
            (
                Role::Fixer,
                vec![said("working", "one"), said("waiting-for-work", "two")],
            ),
            (Role::Asker, vec![said("waiting-for-work", "done")]),
        ]);
        let of = |title: &str, doing: &str| {
            let activity = |doing: &str| json!({"state": "idle", "lastActivityAt": "2026-06-24T12:00:00.000Z", "doing": doing});
            let sessions = [
                session(
                    "shop-1",
                    &json!({"displayName": "fixer", "title": title, "activity": activity(doing)}),
                ),
                session(
                    "shop-2",
                    &json!({"displayName": "asker", "title": "done", "activity": activity("waiting_for_work")}),
                ),
            ];
            reports_applied(&sessions, &deeds).held()
        };
        assert!(of("two", "waiting_for_work"));
        assert!(!of("one", "waiting_for_work"), "an older report");
        assert!(!of("two", "working"), "another state");
    }

    #[test]
    fn a_commit_that_is_lost_or_there_twice_is_seen() {
        let dir = Scratch::new();
        std::fs::write(dir.path().join("rounding.csv"), "EUR\nJPY\n").unwrap();
        let actor = actor("shop-1", dir.path());
        let deeds = Deeds::from([(
            Role::Fixer,
            vec![
                committed("a1", "EUR"),
                said("working", "x"),
                committed("b2", "JPY"),
            ],
        )]);
        let of = |deeds: &Deeds, branch: &str| commits_kept(Role::Fixer, &actor, deeds, branch).held();
        assert!(of(&deeds, "b2\na1\n"));
        assert!(!of(&deeds, "b2\n"), "one is lost");
        assert!(!of(&deeds, "c3\nb2\na1\n"), "there is one more");
        assert!(!of(&Deeds::new(), ""), "nothing was done, so nothing was shown");
        let unread = Deeds::from([(Role::Fixer, vec![committed("a1", "USD")])]);
        assert!(!of(&unread, "a1\n"), "its line is not in the file");
        assert!(merged(&deeds, "c3\nb2\na1").held());
        assert!(!merged(&deeds, "c3\nb2").held());
    }

    #[test]
    fn notes_are_compared_whole_and_with_their_last_state() {
        let deeds = wrote("one\ntwo\n");
        assert!(notes_kept(&deeds, Some("one\ntwo\n")).held());
        assert!(!notes_kept(&deeds, Some("one\ntwo")).held());
        assert!(!notes_kept(&deeds, None).held());
        assert!(!notes_kept(&Deeds::new(), None).held());
        let rescue = Some("refs/ao/rescue/shop-3/1");
        assert!(rescued(&deeds, rescue, Some("one\ntwo")).held());
        assert!(!rescued(&deeds, rescue, Some("one")).held());
        assert!(!rescued(&deeds, None, None).held());
    }

    #[test]
    fn a_second_holder_or_worktree_is_seen() {
        let cast = BTreeMap::from([(Role::Fixer, actor("shop-1", "/w/shop-1".into()))]);
        let holder = |pid: u32, run: &str| Member {
            process: ProcessId { pid, ..me() },
            words: vec!["/proc/self/exe".to_owned(), "pty-host".to_owned(), run.to_owned()],
        };
        let first = holder(me().pid, "/d/pty/shop-1/1");
        let other = Member {
            words: vec!["ao".to_owned(), "daemon".to_owned()],
            ..first.clone()
        };
        let trees = "worktree /repo\nHEAD a1\n\nworktree /w/shop-1\nHEAD a1\n";
        assert!(one_of_each(&cast, &[other.clone(), first.clone()], trees).held());
        let second = holder(1, "/d/pty/shop-1/2");
        assert!(!one_of_each(&cast, &[first.clone(), second], trees).held());
        assert!(!one_of_each(&cast, &[other], trees).held(), "no holder");
        let more = format!("{trees}\nworktree /w/shop-1b\n");
        assert!(!one_of_each(&cast, &[first], &more).held());
    }
}
