//! Which processes belong to an agent, and how to end them when its holder cannot.
//!
//! While the holder lives it is the reaper of everything its agent left behind, so its descendants are the whole
//! family. Once it is gone, two things still tell them from strangers: the agent's own session and process group, and
//! the variables that this run and no other was started with.

use std::fs;
use std::io;
use std::time::Duration;

use ao_domain::ProcessId;
use rustix::process::{Pid, Signal};

use super::watch::Watch;
use crate::process;

/// What the agent gets between being asked to terminate and being killed.
pub(super) const LAST_GRACE: Duration = Duration::from_millis(500);

/// One line of `/proc/<pid>/stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) pid: u32,
    pub(super) state: u8,
    pub(super) parent: u32,
    pub(super) group: u32,
    pub(super) session: u32,
    pub(super) started: u64,
}

impl Stat {
    /// Reads the line. The name in brackets may hold anything, so what follows is counted from the last bracket.
    fn parse(line: &[u8]) -> Option<Self> {
        let close = line.iter().rposition(|byte| *byte == b')')?;
        let pid = std::str::from_utf8(&line[..line.iter().position(|byte| *byte == b' ')?]).ok()?;
        let rest = std::str::from_utf8(line.get(close + 2..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(Self {
            pid: pid.parse().ok()?,
            state: *fields.first()?.as_bytes().first()?,
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }

    fn is_alive(&self) -> bool {
        !matches!(self.state, b'Z' | b'X')
    }
}

/// Names the process whose line this is, in the present boot. `None` when it is no such line.
pub(super) fn named_by_stat(line: &[u8]) -> io::Result<Option<ProcessId>> {
    let Some(stat) = Stat::parse(line) else {
        return Ok(None);
    };
    Ok(Some(ProcessId {
        pid: stat.pid,
        started: stat.started,
        boot: process::boot_id()?,
    }))
}

/// Whether this process is stopped by a signal, so that it cannot answer.
pub(in crate::runtimes) fn is_stopped(of: &ProcessId) -> bool {
    fs::read(format!("/proc/{}/stat", of.pid))
        .ok()
        .and_then(|line| Stat::parse(&line))
        .is_some_and(|stat| stat.started == of.started && matches!(stat.state, b'T' | b't'))
}

/// Every living process under `ancestor`, it itself not included.
pub(super) fn descendants(ancestor: u32) -> Vec<Stat> {
    let all = everybody();
    let mut family: Vec<u32> = vec![ancestor];
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        for stat in &all {
            if stat.parent == parent && !family.contains(&stat.pid) {
                family.push(stat.pid);
            }
        }
        at += 1;
    }
    all.into_iter()
        .filter(|stat| stat.pid != ancestor && stat.is_alive() && family.contains(&stat.pid))
        .collect()
}

/// What the processes of a run have in common, so that they can be told from strangers without their holder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kin {
    /// The agent, whose session and process group they may be in. `None` when it is not known, or is on record as
    /// ended: its number may be somebody else's by then.
    pub(super) agent: Option<ProcessId>,
    /// What [`mark_of`] made of the environment they were started with; `None` when that had nothing of its own.
    pub(super) mark: Option<String>,
}

/// What tells a run by the environment of its processes: a hash of the variables that no other run has, the secret
/// among them. `None` unless all are there.
pub(super) fn mark_of<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    let values: Option<Vec<&str>> = ["AO_SESSION_ID", "AO_GENERATION", "AO_LAUNCH_SECRET"]
        .into_iter()
        .map(variable)
        .collect();
    Some(super::files::hash(values?))
}

/// The same of a living process. `None` also when it is another user's.
fn mark_on(stat: &Stat) -> Option<String> {
    let environment = fs::read(format!("/proc/{}/environ", stat.pid)).ok()?;
    let variables: Vec<&str> = environment
        .split(|byte| *byte == 0)
        .filter_map(|variable| std::str::from_utf8(variable).ok())
        .collect();
    mark_of(|name| {
        variables
            .iter()
            .find_map(|variable| variable.strip_prefix(name)?.strip_prefix('='))
    })
}

/// Every living process that is `of` kin, by number or by mark. By number nobody when the agent's was given to another
/// process meanwhile: then nothing can be told apart by it any more. Never this process itself, whoever started it.
fn company(of: &Kin) -> Vec<Stat> {
    let all = everybody();
    let this_boot = |agent: &&ProcessId| process::boot_id().is_ok_and(|boot| boot == agent.boot);
    let still_its_own = |agent: &&ProcessId| {
        !all.iter()
            .any(|stat| stat.pid == agent.pid && stat.started != agent.started)
    };
    let agent = of.agent.as_ref().filter(this_boot).filter(still_its_own);
    let by_number = |stat: &Stat| {
        agent.is_some_and(|agent| {
            stat.started >= agent.started && (stat.session == agent.pid || stat.group == agent.pid)
        })
    };
    let by_mark = |stat: &Stat| of.mark.is_some() && mark_on(stat) == of.mark;
    all.iter()
        .filter(|stat| {
            stat.is_alive() && stat.pid != std::process::id() && (by_number(stat) || by_mark(stat))
        })
        .cloned()
        .collect()
}

fn everybody() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        })
        .filter_map(|entry| fs::read(entry.path().join("stat")).ok())
        .filter_map(|line| Stat::parse(&line))
        .collect()
}

/// Whether a process has this one as its parent, as far as this user sees; `None` where the kernel shows none. One that has ended counts
/// for nothing.
pub(in crate::runtimes) fn has_children(parent: u32) -> Option<bool> {
    let all = everybody();
    let is_child = |stat: &Stat| stat.parent == parent && stat.is_alive();
    (!all.is_empty()).then(|| all.iter().any(is_child))
}

/// Sends `signal` to the process, if it still is the one that was seen.
pub(super) fn signal(stat: &Stat, signal: Signal) {
    let now = fs::read(format!("/proc/{}/stat", stat.pid))
        .ok()
        .and_then(|line| Stat::parse(&line));
    if now.is_some_and(|now| now.started == stat.started)
        && let Some(pid) = number(stat.pid)
    {
        let _ = rustix::process::kill_process(pid, signal); // gone in between is what was wanted
    }
}

/// Sends `signal` to exactly this process; nothing happens if it is gone.
pub(in crate::runtimes) fn signal_process(to: &ProcessId, signal: Signal) {
    if process::is_alive(to).unwrap_or(false)
        && let Some(pid) = number(to.pid)
    {
        let _ = rustix::process::kill_process(pid, signal); // gone in between is what was wanted
    }
}

/// A process number as the kernel's interface wants it.
pub(super) fn number(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// Ends an agent whose holder is gone, and whatever else is left of its run: hang up, terminate, kill. Nothing happens
/// when all are gone already. Cancelled, it has sent some of the signals.
pub(super) async fn end_without_holder(kin: &Kin, grace: Duration) {
    for (word, patience) in [
        (Signal::HUP, grace),
        (Signal::TERM, LAST_GRACE),
        (Signal::KILL, LAST_GRACE),
    ] {
        let all = company(kin);
        if all.is_empty() {
            return;
        }
        let watches: Vec<Watch> = all
            .iter()
            .filter_map(|stat| Watch::on_number(stat.pid, stat.started))
            .collect();
        for stat in &all {
            signal(stat, word);
            signal(stat, Signal::CONT); // a stopped process takes no other signal before that
        }
        let _ = tokio::time::timeout(patience, async {
            for watch in watches {
                watch.ended().await;
            }
        })
        .await; // whoever is left gets the next word
    }
}

/// Kills a holder that does not answer and everything under it. The family is listed first: its members are told
/// from strangers only while their reaper lives.
pub(super) async fn kill_holder(holder: &ProcessId) {
    let Ok(true) = process::is_alive(holder) else {
        return;
    };
    let family = descendants(holder.pid);
    let watch = Watch::on(holder);
    signal_process(holder, Signal::KILL);
    for stat in &family {
        signal(stat, Signal::KILL);
    }
    if let Some(watch) = watch {
        let _ = tokio::time::timeout(LAST_GRACE, watch.ended()).await; // the caller looks at the lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let line = b"77 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20 21";
        assert_eq!(
            Stat::parse(line),
            Some(Stat {
                pid: 77,
                state: b'S',
                parent: 1,
                group: 2,
                session: 3,
                started: 4_242,
            })
        );
        assert_eq!(Stat::parse(b"77 (x"), None);
    }

    #[test]
    fn a_child_is_a_descendant_until_it_has_ended() {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test needs a process of its own to look at"
        )]
        let mut child = std::process::Command::new("/bin/cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mine = |pid| descendants(std::process::id()).iter().any(|stat| stat.pid == pid);
        assert!(mine(child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!mine(child.id()));
    }

    #[test]
    fn somebody_else_with_the_agents_number_is_no_company() {
        let me = process::identify(std::process::id()).unwrap().unwrap();
        let of = |agent: ProcessId| {
            company(&Kin {
                agent: Some(agent),
                mark: None,
            })
        };
        let namesake = ProcessId {
            started: me.started - 1,
            ..me.clone()
        };
        assert!(of(namesake).is_empty());
        let another_boot = ProcessId {
            boot: "another boot".to_owned(),
            ..me
        };
        assert!(of(another_boot).is_empty());
    }
}
