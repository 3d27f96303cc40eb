//! Processes named so that nobody else is meant: pid, start time and boot.

use std::fs;
use std::io;
use std::sync::OnceLock;

use ao_domain::ProcessId;
use ao_domain::port::processes::Processes;

/// The id of this boot of the machine.
///
/// # Errors
/// When the kernel does not tell (no `/proc`).
pub fn boot_id() -> io::Result<String> {
    // No process outlives its boot, and every look at one asks for it, several times.
    static BOOT: OnceLock<String> = OnceLock::new();
    if let Some(boot) = BOOT.get() {
        return Ok(boot.clone());
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(BOOT.get_or_init(|| boot.trim().to_owned()).clone())
}

/// Names the process that has this number now. `None` when there is none, or only a zombie of one.
///
/// # Errors
/// When the kernel does not tell.
pub fn identify(pid: u32) -> io::Result<Option<ProcessId>> {
    let stat = match fs::read(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        Err(error) if gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some((state, started)) = parse_stat(&stat) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("/proc/{pid}/stat is not as expected"),
        ));
    };
    if matches!(state, b'Z' | b'X') {
        return Ok(None);
    }
    Ok(Some(ProcessId {
        pid,
        started,
        boot: boot_id()?,
    }))
}

/// Whether exactly this process still runs. A zombie does not.
///
/// # Errors
/// When the kernel does not tell: that is no verdict.
pub fn is_alive(process: &ProcessId) -> io::Result<bool> {
    if process.boot != boot_id()? {
        return Ok(false);
    }
    Ok(identify(process.pid)?.is_some_and(|now| now.started == process.started))
}

/// This machine's processes.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemProcesses;

impl Processes for SystemProcesses {
    fn is_alive(&self, process: &ProcessId) -> Option<bool> {
        is_alive(process).ok()
    }
}

/// What `process` was started with as the variable `name`; `None` when it has none, or is gone.
///
/// # Errors
/// When the kernel does not tell: it is another user's.
pub fn variable(process: &ProcessId, name: &str) -> io::Result<Option<String>> {
    if !is_alive(process)? {
        return Ok(None);
    }
    let environment = match fs::read(format!("/proc/{}/environ", process.pid)) {
        Err(error) if gone(&error) => return Ok(None),
        other => other?,
    };
    let named = |entry: &[u8]| {
        let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        String::from_utf8(value.to_vec()).ok()
    };
    Ok(environment.split(|byte| *byte == 0).find_map(named))
}

fn gone(error: &io::Error) -> bool {
    const NO_SUCH_PROCESS: i32 = 3; // ESRCH: it ended between open and read
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(NO_SUCH_PROCESS)
}

/// State letter and start time out of `/proc/<pid>/stat`. The name in brackets may hold spaces and brackets, so the
/// fields are counted from the last closing one.
fn parse_stat(stat: &[u8]) -> Option<(u8, u64)> {
    let after = stat.iter().rposition(|byte| *byte == b')')? + 2;
    let rest = std::str::from_utf8(stat.get(after..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let started = fields.nth(18)?.parse().ok()?; // field 22 of proc(5); `state` is field 3
    Some((state, started))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let line = b"77 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20 21";
        assert_eq!(parse_stat(line), Some((b'S', 4242)));
        assert_eq!(parse_stat(b"77"), None);
    }

    #[test]
    fn this_process_is_alive_and_a_namesake_is_not() {
        let me = identify(std::process::id()).unwrap().expect("this process runs");
        assert!(is_alive(&me).unwrap());
        assert!(
            !is_alive(&ProcessId {
                started: me.started + 1,
                ..me.clone()
            })
            .unwrap()
        );
        assert!(
            !is_alive(&ProcessId {
                boot: "another boot".to_owned(),
                ..me
            })
            .unwrap()
        );
    }

    #[test]
    fn a_zombie_is_not_alive() {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test needs a process of its own to end"
        )]
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let pidfd = rustix::process::pidfd_open(
            rustix::process::Pid::from_child(&child),
            rustix::process::PidfdFlags::empty(),
        )
        .unwrap();
        let mut ended = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut ended, None).unwrap();
        assert_eq!(identify(child.id()).unwrap(), None);
        child.wait().unwrap();
    }
}
