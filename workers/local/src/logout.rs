//! Whether what runs here outlives the end of its login session, and how a holder is started so that it does.
//!
//! Under systemd a login's processes are in a scope of their own, which logind ends with the login where `KillUserProcesses=` says so, and
//! what the user's own manager started ends with that manager, at the last logout, unless the user lingers
//! (logind.conf(5), loginctl(1)). A holder in a scope of the manager of a user who lingers outlives both.

use std::{fs, io};

use camino::{Utf8Path, Utf8PathBuf};

/// There where systemd runs the machine (sd_booted(3)).
const BOOTED: &str = "run/systemd/system";

/// A file per user who lingers.
const LINGER: &str = "var/lib/systemd/linger";

/// What happens at a logout to a process and what it starts.
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

/// The variables that say where the user's manager is reached.
const OF_MANAGER: [&str; 2] = ["XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];

/// What starts a process where the end of a login does not reach it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The words before the process's own; none starts it as it is.
    pub words: Vec<String>,
    /// What those words need of the environment. Nobody else gets it.
    pub env: Vec<(String, String)>,
}

/// How it stands with this process, and how holders are started because of that, in an environment of which `variable` tells the variables.
pub fn here(variable: impl Fn(&str) -> Option<String>) -> (Logout, Scope) {
    let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    judged(Utf8Path::new("/"), &group, variable)
}

/// How it stands with another process of this user, by the environment that it was started in: a daemon may be of another login than
/// whoever asks.
///
/// # Errors
/// The process has ended, is another user's, or the system has no `/proc`.
pub fn of_process(pid: u32) -> io::Result<Logout> {
    of_process_below(Utf8Path::new("/"), pid)
}

fn of_process_below(root: &Utf8Path, pid: u32) -> io::Result<Logout> {
    let process = root.join("proc").join(pid.to_string());
    let group = fs::read_to_string(process.join("cgroup"))?;
    let environment = fs::read(process.join("environ"))?;
    let variable = |name: &str| {
        let mut pairs = environment.split(|byte| *byte == 0);
        let value = pairs.find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        String::from_utf8(value.to_vec()).ok()
    };
    Ok(judged(root, &group, variable).0)
}

/// On the machine whose file system lies below `root`.
fn judged(root: &Utf8Path, group: &str, variable: impl Fn(&str) -> Option<String>) -> (Logout, Scope) {
    let lingers = variable("USER").is_some_and(|user| root.join(LINGER).join(user).exists());
    let scope = if lingers { scope(&variable) } else { None };
    let logout = standing(root.join(BOOTED).exists(), group, scope.is_some());
    let scope = scope.filter(|_| logout == Logout::Scoped);
    (logout, scope.unwrap_or_default())
}

fn standing(booted: bool, group: &str, can_be_scoped: bool) -> Logout {
    let path = group
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .unwrap_or_default();
    let parts = || path.split('/');
    let in_manager = parts().any(|part| part.starts_with("user@") && part.ends_with(".service"));
    let in_login = parts().any(|part| part.starts_with("session-") && part.ends_with(".scope"));
    match (booted && (in_manager || in_login), can_be_scoped) {
        (false, _) => Logout::Nothing,
        (true, true) => Logout::Scoped,
        (true, false) if in_manager => Logout::Manager,
        (true, false) => Logout::Login,
    }
}

/// By `systemd-run`, where that is and the user's manager can be reached: else it would end without a word.
fn scope(variable: impl Fn(&str) -> Option<String>) -> Option<Scope> {
    let manager = Utf8PathBuf::from(variable(OF_MANAGER[0])?);
    if !["systemd/private", "bus"]
        .iter()
        .any(|socket| manager.join(socket).exists())
    {
        return None;
    }
    let program = variable("PATH")?
        .split(':')
        .map(|folder| Utf8PathBuf::from(folder).join("systemd-run"))
        .find(|program| program.is_file())?;
    // It registers the scope and then becomes the holder: the process is the same.
    let words = ["--user", "--scope", "--quiet", "--collect", "--"];
    let env = OF_MANAGER
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), variable(name)?)));
    Some(Scope {
        words: std::iter::once(program.into_string())
            .chain(words.map(str::to_owned))
            .collect(),
        env: env.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_ends_what_at_a_logout() {
        let login = "0::/user.slice/user-1000.slice/session-3.scope\n";
        let manager = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-term.scope\n";
        for (booted, group, can_be_scoped, expected) in [
            (true, login, true, Logout::Scoped),
            (true, manager, true, Logout::Scoped),
            (true, login, false, Logout::Login),
            (true, manager, false, Logout::Manager),
            (true, "0::/system.slice/ao.service\n", false, Logout::Nothing),
            (true, "4:memory:/x\n", true, Logout::Nothing),
            (false, login, true, Logout::Nothing),
        ] {
            assert_eq!(standing(booted, group, can_be_scoped), expected, "{group}");
        }
    }

    #[test]
    fn another_process_is_judged_by_its_own_group_and_environment() {
        let temp = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temp.path()).unwrap();
        let put = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("run/systemd/system/there", "");
        put("var/lib/systemd/linger/one", "");
        put("bin/systemd-run", "");
        put("user/bus", "");
        let environment = |user: &str| format!("PATH={root}/bin\0XDG_RUNTIME_DIR={root}/user\0USER={user}\0");
        for (pid, group, user) in [
            ("3", "0::/user.slice/user-1000.slice/session-3.scope\n", "one"),
            ("4", "0::/user.slice/user-1001.slice/session-4.scope\n", "two"),
            ("5", "0::/system.slice/ao.service\n", "two"),
        ] {
            put(&format!("proc/{pid}/cgroup"), group);
            put(&format!("proc/{pid}/environ"), &environment(user));
        }
        let of = |pid| of_process_below(root, pid).ok();
        assert_eq!(of(3), Some(Logout::Scoped));
        assert_eq!(of(4), Some(Logout::Login));
        assert_eq!(of(5), Some(Logout::Nothing));
        assert_eq!(of(6), None, "it has ended");
    }

    #[test]
    fn a_scope_needs_the_program_and_the_users_manager() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(temp.path()).unwrap();
        let asked = || {
            scope(|name| match name {
                "PATH" | "XDG_RUNTIME_DIR" => Some(dir.to_string()),
                _ => None,
            })
        };
        assert_eq!(asked(), None, "neither");
        fs::write(dir.join("systemd-run"), "").unwrap();
        assert_eq!(asked(), None, "nobody listens");
        fs::write(dir.join("bus"), "").unwrap();
        let scope = asked().expect("both are there");
        assert_eq!(scope.words[0], dir.join("systemd-run").as_str());
        assert_eq!(scope.env, [("XDG_RUNTIME_DIR".to_owned(), dir.to_string())]);
    }
}
