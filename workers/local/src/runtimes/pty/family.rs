//! Which processes belong to an agent, and how to end them when its holder cannot.
//!
//! While the holder lives it is the reaper of everything its agent left behind, so its descendants are the whole
//! family. Once it is gone only the agent's own session and process group can still be told from strangers.

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
pub(super) fn is_stopped(of: &ProcessId) -> bool {
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

/// Every living process of the agent's session or process group. Empty when the agent's number was given to another
/// process meanwhile: then nothing can be told apart any more.
fn company(agent: &ProcessId) -> Vec<Stat> {
    if process::boot_id().ok().as_deref() != Some(agent.boot.as_str()) {
        return Vec::new();
    }
    let all = everybody();
    if all
        .iter()
        .any(|stat| stat.pid == agent.pid && stat.started != agent.started)
    {
        return Vec::new();
    }
    all.into_iter()
        .filter(|stat| {
            stat.is_alive()
                && stat.started >= agent.started
                && (stat.session == agent.pid || stat.group == agent.pid)
        })
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
pub(super) fn signal_process(to: &ProcessId, signal: Signal) {
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

/// Ends an agent whose holder is gone, and what is left of its session: hang up, terminate, kill. Nothing happens
/// when it is gone already. Cancelled, it has sent some of the signals.
pub(super) async fn end_without_holder(agent: &ProcessId, grace: Duration) {
    for (word, patience) in [
        (Signal::HUP, grace),
        (Signal::TERM, LAST_GRACE),
        (Signal::KILL, LAST_GRACE),
    ] {
        let all = company(agent);
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
        let namesake = ProcessId {
            started: me.started - 1,
            ..me.clone()
        };
        assert!(company(&namesake).is_empty());
        let another_boot = ProcessId {
            boot: "another boot".to_owned(),
            ..me
        };
        assert!(company(&another_boot).is_empty());
    }
}
