//! Whether what runs here outlives the end of its login session, and how a holder is started so that it does.
//!
//! Under systemd a login's processes are in a scope of their own, which logind ends with the login where `KillUserProcesses=` says so, and
//! what the user's own manager started ends with that manager, at the last logout, unless the user lingers
//! (logind.conf(5), loginctl(1)). A holder in a scope of the manager of a user who lingers outlives both.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};

/// There where systemd runs the machine (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";

/// A file per user who lingers.
const LINGER: &str = "/var/lib/systemd/linger";

/// Where the control group of a process stands.
const GROUP: &str = "/proc/self/cgroup";

/// What happens to the processes of this one's kind at a logout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logout {
    /// Nothing ends them: no login stands above them, or no systemd.
    Nothing,
    /// The user lingers: holders are started in a scope of their own and go on.
    Scoped,
    /// They are a login's, and go on unless logind is told to end what a login leaves (`KillUserProcesses=yes`).
    Login,
    /// They are of the user's own manager, which ends with the last login.
    Manager,
}

/// How it stands here, for the user called `user`.
pub fn here(user: Option<&str>) -> Logout {
    let group = fs::read_to_string(GROUP).unwrap_or_default();
    let lingers = user.is_some_and(|user| Utf8Path::new(LINGER).join(user).exists());
    standing(Utf8Path::new(BOOTED).exists(), &group, lingers)
}

fn standing(booted: bool, group: &str, lingers: bool) -> Logout {
    let path = group
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .unwrap_or_default();
    let parts = || path.split('/');
    let in_manager = parts().any(|part| part.starts_with("user@") && part.ends_with(".service"));
    let in_login = parts().any(|part| part.starts_with("session-") && part.ends_with(".scope"));
    match (booted && (in_manager || in_login), lingers) {
        (false, _) => Logout::Nothing,
        (true, true) => Logout::Scoped,
        (true, false) if in_manager => Logout::Manager,
        (true, false) => Logout::Login,
    }
}

/// The words before a holder's own that start it in a scope of the user's manager; none where that is not to be done. `path` is where
/// programs are looked for.
pub fn scope(logout: Logout, path: &str) -> Vec<String> {
    if logout != Logout::Scoped {
        return Vec::new();
    }
    let program = path
        .split(':')
        .map(|folder| Utf8PathBuf::from(folder).join("systemd-run"))
        .find(|program| program.is_file());
    let Some(program) = program else {
        return Vec::new();
    };
    // It registers the scope and then becomes the holder: the process is the same.
    let words = ["--user", "--scope", "--quiet", "--collect", "--"];
    std::iter::once(program.into_string())
        .chain(words.map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_ends_what_at_a_logout() {
        let login = "0::/user.slice/user-1000.slice/session-3.scope\n";
        let manager = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-term.scope\n";
        for (booted, group, lingers, expected) in [
            (true, login, true, Logout::Scoped),
            (true, manager, true, Logout::Scoped),
            (true, login, false, Logout::Login),
            (true, manager, false, Logout::Manager),
            (true, "0::/system.slice/ao.service\n", false, Logout::Nothing),
            (true, "4:memory:/x\n", true, Logout::Nothing),
            (false, login, true, Logout::Nothing),
        ] {
            assert_eq!(standing(booted, group, lingers), expected, "{group}");
        }
    }

    #[test]
    fn a_scope_is_asked_for_only_where_it_helps() {
        assert!(scope(Logout::Login, "/usr/bin").is_empty());
        assert!(scope(Logout::Scoped, "/nowhere").is_empty(), "no systemd-run");
    }
}
