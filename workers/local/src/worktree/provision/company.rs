//! The processes that post-create commands started, and how all of them are ended.
//!
//! The daemon is nobody's reaper, so a process that leaves its parent is found by what it cannot easily lose: the group of the
//! command, a variable with a random value in the environment it was started with, the pipe it prints into, or a parent that
//! was found so. One that drops all four (a daemon that clears its environment, redirects its output and outlives its parent)
//! is not found. All of it is written down before and right after the start, so that the next daemon finds them too:
//! `<locks>/<session>/command.json`.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use ao_domain::port::worktrees::WorktreeError;
use ao_domain::{ProcessId, WorktreeOwner};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::super::lock::Lock;
use super::super::record::io_error;
use super::super::registry::resolved;
use crate::process;

/// The variable that tells their processes from all others.
const VARIABLE: &str = "AO_PROVISION";

/// What they get between being asked to terminate and being killed.
const GRACE: Duration = Duration::from_secs(1);

/// How long killed ones may take to be gone; a system call that waits for a disk may hold them.
const LAST_GRACE: Duration = Duration::from_secs(5);

/// How often it is looked whether they are gone: not all of them are our children, and most are gone at the first look.
const RETRY: Duration = Duration::from_millis(5);

/// How often everyone is looked for and killed where nothing can be waited for.
const PASSES: usize = 3;

/// What the processes of a session's commands are known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Company {
    v: u32,
    /// The boot it was written in.
    boot: String,
    /// The value of [`VARIABLE`], for all commands of the session.
    mark: String,
    /// The command that runs now, or ran when the daemon was killed.
    running: Option<Running>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Running {
    /// The shell, whose number is that of the group; not known in the first instant.
    leader: Option<ProcessId>,
    /// The number of the pipe it prints into.
    pipe: u64,
}

impl Company {
    /// What is written down under `lock`, if it is of this boot.
    fn read(lock: &Lock) -> io::Result<Option<Self>> {
        let bytes = match fs::read(lock.folder().join("command.json")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let boot = process::boot_id()?;
        let company = serde_json::from_slice::<Self>(&bytes).ok();
        Ok(company.filter(|company| company.boot == boot))
    }

    /// That of the session, or a new one.
    pub(super) fn of(lock: &Lock) -> io::Result<Self> {
        if let Some(company) = Self::read(lock)? {
            return Ok(company);
        }
        let mut mark = [0; 16];
        getrandom::fill(&mut mark).map_err(io::Error::other)?;
        Ok(Self {
            v: 1,
            boot: process::boot_id()?,
            mark: super::manifest::hexadecimal(&mark),
            running: None,
        })
    }

    /// The variable for the environment of a command.
    pub(super) fn variable(&self) -> (&'static str, &str) {
        (VARIABLE, &self.mark)
    }

    /// Writes down that a command is about to print into `pipe`.
    pub(super) fn starts(&mut self, lock: &Lock, pipe: u64) -> io::Result<()> {
        self.running = Some(Running { leader: None, pipe });
        self.write(lock)
    }

    /// Writes down that it has the number `pid`.
    pub(super) fn started(&mut self, lock: &Lock, pid: u32) -> io::Result<()> {
        if let (Some(running), Some(leader)) = (&mut self.running, process::identify(pid)?) {
            running.leader = Some(leader);
        }
        self.write(lock)
    }

    /// Writes down that it has ended well.
    pub(super) fn ended(&mut self, lock: &Lock) -> io::Result<()> {
        self.running = None;
        self.write(lock)
    }

    fn write(&self, lock: &Lock) -> io::Result<()> {
        let path = lock.folder().join("command.json");
        let new = path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        fs::rename(&new, &path)
    }

    /// Asks everyone to terminate, then kills who is left, and forgets them. May be dropped: what is written down stays.
    ///
    /// # Errors
    /// `Busy` when one cannot be ended.
    pub(super) async fn end(&self, lock: &Lock, session: &str) -> Result<(), WorktreeError> {
        self.end_those(lock, session, |_| true).await
    }

    /// The same with those that `whom` names; all others are forgotten, too.
    async fn end_those(
        &self,
        lock: &Lock,
        session: &str,
        whom: impl Fn(&Member) -> bool,
    ) -> Result<(), WorktreeError> {
        for (signal, patience) in [(Signal::TERM, GRACE), (Signal::KILL, LAST_GRACE)] {
            let over = tokio::time::Instant::now() + patience;
            let mut told: Vec<Member> = Vec::new();
            loop {
                let mut members = self.members();
                members.retain(&whom);
                if members.is_empty() {
                    return forget(lock);
                }
                // Those that came since the last look, too.
                for member in members.iter().filter(|member| !told.contains(member)) {
                    member.tell(signal);
                    member.tell(Signal::CONT); // a stopped one takes no other signal before that
                }
                told = members;
                if tokio::time::Instant::now() >= over {
                    break;
                }
                tokio::time::sleep(RETRY).await;
            }
        }
        Err(WorktreeError::Busy {
            session: session.to_owned(),
        })
    }

    /// Kills everyone at once; what is written down stays for the next one at the lock, who makes sure.
    pub(super) fn kill(&self) {
        for _ in 0..PASSES {
            let members = self.members();
            if members.is_empty() {
                return;
            }
            for member in members {
                member.tell(Signal::KILL);
            }
        }
    }

    /// Everyone who is found. Never this process, whoever started it.
    fn members(&self) -> Vec<Member> {
        let me = std::process::id();
        let all = everybody();
        let running = self.running.as_ref();
        let leader = running.and_then(|running| running.leader.as_ref());
        // By number nobody, when the leader's was given to another process meanwhile.
        let leader = leader.filter(|leader| {
            let namesake = |one: &Member| one.pid == leader.pid && one.started != leader.started;
            !all.iter().any(namesake)
        });
        let by_group = |one: &Member| {
            leader.is_some_and(|leader| one.started >= leader.started && one.group == leader.pid)
        };
        let by_pipe = |one: &Member| running.is_some_and(|running| one.prints_into(running.pipe));
        let variable = format!("{VARIABLE}={}", self.mark);
        let mut found: Vec<Member> = Vec::new();
        let mut rest: Vec<Member> = all.into_iter().filter(|one| one.pid != me).collect();
        let known = |one: &Member| by_group(one) || one.was_started_with(variable.as_bytes()) || by_pipe(one);
        found.extend(rest.extract_if(.., |one| known(one)));
        // And the children of all these.
        let mut at = 0;
        while let Some(parent) = found.get(at).map(|one| one.pid) {
            found.extend(rest.extract_if(.., |one| one.parent == parent));
            at += 1;
        }
        found
    }
}

/// Ends what a killed daemon left running under `lock`, before anything else is done there.
pub(in super::super) async fn settle(lock: &Lock, session: &str) -> Result<(), WorktreeError> {
    match Company::read(lock).map_err(io_error("reading what runs", lock.folder()))? {
        Some(company) if company.running.is_some() => {
            tracing::warn!(session, "a post-create command that was cut is ended");
            company.end(lock, session).await
        }
        _ => Ok(()),
    }
}

/// Ends what the session's commands left running in its worktree, which goes. A command may have been the first to start a server
/// of the person's, such as that of a build cache or of a terminal; with what it serves by now that is not ours to end, and it does
/// not work here.
pub(in super::super) async fn leave(lock: &Lock, owner: &WorktreeOwner) -> Result<(), WorktreeError> {
    let tree = resolved(&owner.path);
    match Company::read(lock).map_err(io_error("reading what runs", lock.folder()))? {
        Some(company) => {
            let here = |one: &Member| one.works_in(&tree);
            company.end_those(lock, owner.session.as_str(), here).await
        }
        None => Ok(()),
    }
}

fn forget(lock: &Lock) -> Result<(), WorktreeError> {
    match fs::remove_file(lock.folder().join("command.json")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("forgetting what ran", lock.folder())(error))
        }
        _ => Ok(()),
    }
}

/// A living process.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    pid: u32,
    started: u64,
    parent: u32,
    group: u32,
}

impl Member {
    /// Reads a line of `/proc/<pid>/stat`. The name in brackets may hold anything, so what follows is counted from the last one.
    fn parse(line: &[u8]) -> Option<Self> {
        let close = line.iter().rposition(|byte| *byte == b')')?;
        let pid = std::str::from_utf8(&line[..line.iter().position(|byte| *byte == b' ')?]).ok()?;
        let rest = std::str::from_utf8(line.get(close + 2..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        if matches!(*fields.first()?, "Z" | "X") {
            return None;
        }
        Some(Self {
            pid: pid.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }

    /// Sends it `signal`, if it still is the one that was seen.
    fn tell(&self, signal: Signal) {
        let now = fs::read(format!("/proc/{}/stat", self.pid)).ok();
        let now = now.and_then(|line| Self::parse(&line));
        if now.is_some_and(|now| now.started == self.started)
            && let Some(pid) = Pid::from_raw(self.pid.cast_signed())
        {
            let _ = kill_process(pid, signal); // gone in between is what was wanted
        }
    }

    fn was_started_with(&self, variable: &[u8]) -> bool {
        let environment = fs::read(format!("/proc/{}/environ", self.pid)).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == variable)
    }

    /// Whether the folder it works in is `tree` or below, also where that was deleted under it.
    fn works_in(&self, tree: &Path) -> bool {
        let Ok(folder) = fs::read_link(format!("/proc/{}/cwd", self.pid)) else {
            return false; // gone, or somebody else's
        };
        let folder = folder.as_os_str().as_bytes();
        let folder = folder.strip_suffix(b" (deleted)").unwrap_or(folder);
        Path::new(OsStr::from_bytes(folder)).starts_with(tree)
    }

    fn prints_into(&self, pipe: u64) -> bool {
        let name = format!("pipe:[{pipe}]");
        let is_it = |fd: u32| {
            fs::read_link(format!("/proc/{}/fd/{fd}", self.pid)).is_ok_and(|to| to == Path::new(&name))
        };
        is_it(1) || is_it(2)
    }
}

fn everybody() -> Vec<Member> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_number))
        .filter_map(|entry| Member::parse(&fs::read(entry.path().join("stat")).ok()?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields_and_the_dead_are_nobody() {
        let line = b"77 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20 21";
        let member = Member::parse(line).unwrap();
        assert_eq!(
            (member.pid, member.parent, member.group, member.started),
            (77, 1, 2, 4_242)
        );
        assert_eq!(Member::parse(b"77 (sh) Z 1 2 3"), None);
        assert_eq!(Member::parse(b"77 (x"), None);
    }

    #[test]
    fn somebody_else_with_the_leaders_number_is_no_company() {
        let me = process::identify(std::process::id()).unwrap().unwrap();
        let company = |leader: ProcessId| Company {
            v: 1,
            boot: me.boot.clone(),
            mark: "nobody's".to_owned(),
            running: Some(Running {
                leader: Some(leader),
                pipe: 0,
            }),
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "a test needs a process of its own to look for"
        )]
        let mut child = std::process::Command::new("/bin/cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let group = rustix::process::getpgrp().as_raw_pid().cast_unsigned();
        let leader = process::identify(group).unwrap();
        if let Some(leader) = leader {
            let found = |leader| company(leader).members().iter().any(|one| one.pid == child.id());
            assert!(found(leader.clone()), "it is in the group");
            assert!(!found(ProcessId {
                started: leader.started - 1,
                ..leader
            }));
        }
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
