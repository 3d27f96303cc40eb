//! Whether agents outlive the end of the login they were started in.

use ao_local::logout::{Logout, here, of_process};

use super::{Check, Level};
use crate::env::Env;

/// Agents are the daemon's, which may be of another login than whoever asks: where it does not run it would be started from here.
pub(super) fn check(env: &Env, daemon: Option<u32>) -> Check {
    match daemon.map(of_process) {
        None => of(here(|name| env.text(name)).0),
        Some(Ok(logout)) => of(logout),
        Some(Err(error)) => {
            let message = format!("what a logout does to the daemon cannot be told: {error}");
            Check::new(Level::Warn, "Sessions", "logout", message).with("ao status")
        }
    }
}

fn of(logout: Logout) -> Check {
    let check = |level, message: &str| Check::new(level, "Sessions", "logout", message);
    let remedy = "loginctl enable-linger, then ao stop and ao start";
    match logout {
        Logout::Nothing => check(Level::Pass, "no login ends what runs here"),
        Logout::Scoped => check(
            Level::Pass,
            "you linger: agents are started in a scope of their own and go on when you log out",
        ),
        Logout::Login => check(
            Level::Warn,
            "agents go on when you log out, but where logind has KillUserProcesses=yes they end",
        )
        .with(remedy),
        Logout::Manager => check(Level::Warn, "agents end when you log out for the last time").with(remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_where_agents_end() {
        assert_eq!(of(Logout::Nothing).level, Level::Pass);
        assert_eq!(of(Logout::Scoped).level, Level::Pass);
        for ends in [Logout::Login, Logout::Manager] {
            let said = of(ends);
            assert_eq!(said.level, Level::Warn);
            assert!(said.remedy.is_some_and(|remedy| remedy.contains("enable-linger")));
        }
    }
}
