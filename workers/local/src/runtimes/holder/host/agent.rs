//! Starting a program in a terminal of its own.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use ao_domain::port::runtime::Size;
use camino::Utf8Path;
use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;
use rustix::termios::Winsize;

/// What tells a program that it runs inside another agent or multiplexer; ours does not.
const SURROUNDINGS: [&str; 13] = [
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_SSE_PORT",
    "CODEX_SANDBOX",
    "CODEX_SANDBOX_NETWORK_DISABLED",
    "CURSOR_AGENT",
    "GEMINI_CLI",
    "TMUX",
    "TMUX_PANE",
    "STY",
    "ZELLIJ",
    "ZELLIJ_SESSION_NAME",
    "ZELLIJ_PANE_ID",
];

/// The environment a program gets in our terminal.
pub(super) fn environment(given: &[(String, String)], cwd: &Utf8Path) -> Vec<(String, String)> {
    let is_terminal = |name: &str| matches!(name, "TERM" | "COLORTERM");
    let mut env: Vec<(String, String)> = given
        .iter()
        .filter(|(name, value)| {
            // What a terminal of another size or place said of itself.
            let stale = matches!(name.as_str(), "COLUMNS" | "LINES" | "PWD" | "OLDPWD");
            let dumb = is_terminal(name) && matches!(value.as_str(), "" | "dumb");
            !stale && !dumb && !SURROUNDINGS.contains(&name.as_str())
        })
        .cloned()
        .collect();
    for (name, value) in [
        ("TERM", "xterm-256color"),
        ("COLORTERM", "truecolor"),
        ("PWD", cwd.as_str()),
    ] {
        if !env.iter().any(|(present, _)| present == name) {
            env.push((name.to_owned(), value.to_owned()));
        }
    }
    env
}

/// What is to be started.
#[derive(Debug)]
pub(super) struct Start<'a> {
    pub(super) argv: &'a [String],
    pub(super) env: &'a [(String, String)],
    /// The directory, opened: entered by this descriptor, so that it is the one that was looked at.
    pub(super) cwd: OwnedFd,
    pub(super) size: Size,
    /// The umask the holder was started with; its own is narrower.
    pub(super) umask: Mode,
    /// Where the process writes who it is before it becomes the program.
    pub(super) note: Option<&'a Utf8Path>,
}

/// A started program.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) pid: Pid,
    /// The holder's side of its terminal; does not block.
    pub(super) controller: OwnedFd,
    /// The program's side, kept open so that a program that closes its own for a moment does not end the terminal.
    pub(super) user: OwnedFd,
}

/// Opens a directory to start a program in.
pub(super) fn directory(path: &Utf8Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        path.as_std_path(),
        OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// Starts it as the leader of a session whose terminal is a new pseudo terminal.
///
/// # Errors
/// When there is no terminal or the program cannot be executed. Nothing runs then.
pub(super) fn start(what: Start<'_>) -> io::Result<Started> {
    let pty = rustix_openpty::openpty(None, Some(&winsize(what.size)))?;
    let note = what
        .note
        .map(|path| {
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)
        })
        .transpose()?;
    let (program, arguments) = what
        .argv
        .split_first()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "an empty command line"))?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the holder starts the agent: this is the one place"
    )]
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(
            what.env
                .iter()
                .map(|(name, value)| (OsString::from(name), OsString::from(value))),
        )
        .stdin(Stdio::from(pty.user.try_clone()?))
        .stdout(Stdio::from(pty.user.try_clone()?))
        .stderr(Stdio::from(pty.user.try_clone()?));
    let (cwd, umask) = (what.cwd, what.umask);
    let in_child = move || {
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        rustix::process::fchdir(&cwd)?;
        rustix::process::umask(umask);
        reset_signals();
        match &note {
            Some(note) => write_note(note),
            None => Ok(()),
        }
    };
    #[expect(
        unsafe_code,
        reason = "a session of its own and its terminal can only be made between fork and exec"
    )]
    // SAFETY: the closure makes system calls only and allocates nothing, so it may run in a forked child whatever
    // the parent's other threads held; the holder has one thread besides.
    unsafe {
        command.pre_exec(in_child);
    }
    let child = command.spawn()?;
    let pid = Pid::from_child(&child); // reaped by the loop, like everything else that ends under the holder
    rustix::io::ioctl_fionbio(&pty.controller, true)?;
    Ok(Started {
        pid,
        controller: pty.controller,
        user: pty.user,
    })
}

/// The size as the kernel wants it.
pub(super) fn winsize(size: Size) -> Winsize {
    Winsize {
        ws_row: size.rows,
        ws_col: size.cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// A program is started with every signal at its default: what we or a shell above us ignore is our affair.
fn reset_signals() {
    const LAST: i32 = 64;
    for number in 1..=LAST {
        #[expect(
            unsafe_code,
            reason = "no safe interface sets a signal's disposition back to its default"
        )]
        // SAFETY: SIG_DFL is no handler of ours; `signal` may be called between fork and exec, and refuses numbers
        // that cannot be set by an error nobody needs.
        unsafe {
            libc::signal(number, libc::SIG_DFL);
        }
    }
}

/// Copies this process's line of `/proc/self/stat` into `note`. Runs between fork and exec: no allocation.
fn write_note(note: &impl AsFd) -> io::Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let mut line = [0_u8; 1024];
    let stat = rustix::fs::open(
        c"/proc/self/stat",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let length = rustix::io::read(&stat, &mut line)?;
    if rustix::io::write(note, &line[..length])? == length {
        Ok(())
    } else {
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_the_launchs_and_says_what_terminal_this_is() {
        let given = [
            ("PATH", "/bin"),
            ("CLAUDECODE", "1"),
            ("TMUX", "/tmp/x,1,0"),
            ("TERM", "dumb"),
            ("PWD", "/elsewhere"),
            ("NO_COLOR", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let env = environment(&given, Utf8Path::new("/work"));
        let expected = [
            ("PATH", "/bin"),
            ("NO_COLOR", "1"),
            ("TERM", "xterm-256color"),
            ("COLORTERM", "truecolor"),
            ("PWD", "/work"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(env, expected);
        let kept = [("TERM".to_owned(), "screen-256color".to_owned())];
        assert_eq!(environment(&kept, Utf8Path::new("/"))[0].1, "screen-256color");
    }
}
