//! What ao is made of and works with on this machine: git, terminals, this very program, multiplexers.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Stdio;

use ao_local::runtimes::zellij;

use super::{ASK, Check, Level};
use crate::env::Config;

/// The oldest git whose `worktree list` takes `-z`.
const GIT: (u32, u32) = (2, 36);

pub(super) async fn git(path: &OsStr) -> Check {
    let check = |level, message: String| Check::new(level, "Tools", "git", message);
    let install = format!(
        "install git {}.{} or newer, and start the daemon with a PATH that has it",
        GIT.0, GIT.1
    );
    #[expect(
        clippy::disallowed_methods,
        reason = "asks git for its version and nothing else, with a deadline"
    )]
    let mut command = tokio::process::Command::new("git");
    command
        .arg("--version")
        .env("PATH", path)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let said = match tokio::time::timeout(ASK, command.output()).await {
        Ok(Ok(output)) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        Ok(Ok(output)) => {
            return check(Level::Fail, format!("`git --version` failed ({})", output.status)).with(install);
        }
        Ok(Err(error)) => return check(Level::Fail, format!("git cannot be started: {error}")).with(install),
        Err(_) => {
            return check(
                Level::Fail,
                format!("`git --version` said nothing within {} s", ASK.as_secs()),
            )
            .with(install);
        }
    };
    match git_version(&said) {
        Some(version) if version >= GIT => check(Level::Pass, said),
        Some(_) => check(Level::Fail, format!("{said} is too old")).with(install),
        None => check(Level::Warn, format!("`{said}` names no version")).with(install),
    }
}

/// `git version 2.39.5 (Apple Git-154)` is 2.39.
fn git_version(said: &str) -> Option<(u32, u32)> {
    let mut parts = said.strip_prefix("git version ")?.split(['.', ' ']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Holders are this very program, and their terminals come from the kernel.
pub(super) fn runtime(config: &Config) -> Check {
    let check = |level, message: String| Check::new(level, "Tools", "runtime", message);
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => {
            return check(Level::Fail, format!("this program cannot be found: {error}"))
                .with("install it in a place that stays");
        }
    };
    let executable = std::fs::metadata(&own).is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0);
    if !executable {
        return check(
            Level::Fail,
            format!(
                "`{}` is gone or cannot be executed, so no holder can be started",
                own.display()
            ),
        )
        .with("install it again, then: ao stop && ao start");
    }
    let terminal = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY);
    match terminal {
        Ok(_) => check(
            Level::Pass,
            format!(
                "{}: holders are {}, under {}",
                config.runtime,
                own.display(),
                config.data_dir.join(&config.runtime)
            ),
        ),
        Err(error) => check(Level::Fail, format!("the system gives no terminal: {error}"))
            .with("mount /dev/pts, or raise kernel.pty.max"),
    }
}

/// Whether the `ao` that people and agents find is this one.
pub(super) fn ao_binary(path: &OsStr) -> Check {
    let check = |level, message: String| Check::new(level, "Tools", "ao-binary", message);
    let own = std::env::current_exe().and_then(|own| Ok((own.clone(), std::fs::metadata(own)?)));
    let found = std::env::split_paths(path)
        .map(|folder| folder.join("ao"))
        .find(|file| file.is_file());
    let first = "put the folder of this program first on PATH";
    match (own, found) {
        (Err(error), _) => check(Level::Warn, format!("this program cannot be found: {error}")).with(first),
        (Ok((own, _)), None) => check(
            Level::Warn,
            format!("no `ao` is on PATH (this one is {})", own.display()),
        )
        .with("put the folder of this program on PATH"),
        (Ok((own, ours)), Some(found)) => {
            let same = std::fs::metadata(&found)
                .is_ok_and(|theirs| (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()));
            if same {
                check(
                    Level::Pass,
                    format!("`ao` on PATH is this program ({})", found.display()),
                )
            } else {
                check(
                    Level::Warn,
                    format!(
                        "`ao` on PATH is {}, this one is {}",
                        found.display(),
                        own.display()
                    ),
                )
                .with(format!("{first}, or remove the other"))
            }
        }
    }
}

/// The runtime that is a program of somebody else's. Where it is there, or wanted, it has to be one that will do.
pub(super) async fn zellij(config: &Config, path: &OsStr) -> Check {
    const OLDEST: (u32, u32, u32) = (0, 44, 3);
    let check = |level, message: String| Check::new(level, "Tools", "zellij", message);
    let newer = format!(
        "install zellij {}.{}.{} or newer, or none",
        OLDEST.0, OLDEST.1, OLDEST.2
    );
    if !is_on(path, zellij::NAME) {
        return if config.runtime == zellij::NAME {
            check(
                Level::Fail,
                "AO_RUNTIME is zellij, and it is not on PATH".to_owned(),
            )
            .with(format!("{newer}: AO_RUNTIME=pty needs none"))
        } else {
            check(
                Level::Pass,
                "not on PATH, and not needed: terminals are held by ao itself".to_owned(),
            )
        };
    }
    match say("zellij", &["--version"], path).await {
        Ok(said) => {
            let number = said.strip_prefix("zellij ").unwrap_or(&said);
            let mut parts = number.split('.').map(str::parse::<u32>);
            let mut part = || parts.next().and_then(Result::ok);
            match (part(), part(), part()) {
                (Some(a), Some(b), Some(c)) if (a, b, c) >= OLDEST => check(Level::Pass, said),
                (Some(_), Some(_), Some(_)) => check(Level::Fail, format!("{said} is too old")).with(newer),
                _ => check(Level::Fail, format!("`{said}` names no version")).with(newer),
            }
        }
        Err(why) => check(Level::Fail, format!("`zellij --version` failed: {why}")).with(newer),
    }
}

fn is_on(path: &OsStr, program: &str) -> bool {
    std::env::split_paths(path).any(|folder| folder.join(program).is_file())
}

/// What a program says, within a moment.
async fn say(program: &str, arguments: &[&str], path: &OsStr) -> Result<String, String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "asks a tool for its version and nothing else, with a deadline"
    )]
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .env("PATH", path)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    match tokio::time::timeout(ASK, command.output()).await {
        Ok(Ok(output)) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(Ok(output)) => Err(output.status.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("it said nothing within {} s", ASK.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_git() {
        assert_eq!(git_version("git version 2.39.5"), Some((2, 39)));
        assert_eq!(git_version("git version 2.50.1 (Apple Git-155)"), Some((2, 50)));
        assert_eq!(git_version("git version 2.25.GIT"), Some((2, 25)));
        assert_eq!(git_version("hub version 2"), None);
        for (version, will_do) in [((2, 9), false), ((2, 35), false), ((2, 36), true), ((3, 0), true)] {
            assert_eq!(version >= GIT, will_do, "{version:?}");
        }
    }
}
