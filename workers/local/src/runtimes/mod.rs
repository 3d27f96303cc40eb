//! Runtimes: what holds an agent's terminal.

use camino::Utf8Path;

use self::holder::Runs;
use self::pty::PtyConfig;
use self::zellij::ZellijConfig;
use crate::logout::Scope;

pub mod holder;
pub mod pty;
pub mod zellij;

/// The runs of every runtime in a data directory, to be looked at by whoever is not the daemon: the built-in one's first.
/// Nothing can be started with them.
pub fn kept_in(data: &Utf8Path) -> [Runs; 2] {
    [
        pty::runtime(PtyConfig {
            root: data.join(pty::NAME),
            executable: "ao".into(),
            leading_args: Vec::new(),
            scope: Scope::default(),
        }),
        zellij::runtime(ZellijConfig {
            root: data.join(zellij::NAME),
            sockets: zellij::sockets(),
            others: Vec::new(),
            zellij: zellij::NAME.into(),
            path: std::ffi::OsString::new(),
            launcher: "ao".into(),
            leading_args: Vec::new(),
            scope: Scope::default(),
        }),
    ]
}
