//! Cursor's agent for the terminal, from its documents alone: nobody has seen a version of it do anything here.
//!
//! It reads hooks from `.cursor/hooks.json` in the folder it works in and in its user's home. The first would be a file of ours in the
//! worktree; the second is documented to exist, but not what a file in which one event has an unknown name does to its user's own. So
//! it has no hooks, and reports nothing: that its process runs is all that is known of it. Where it takes a text, and how a dialog of
//! it looks, is in no document, so no message is typed to it and no dialog is read.

use ao_domain::port::agent::{Description, Style};
use camino::Utf8Path;

use super::checkup::Finding;
use super::sheet::{Argv, Environment, Keys, Sheet, Word, no_env, nothing_before};
use super::{Checkup, value_of};

pub(super) const SHEET: Sheet = Sheet {
    description: Description {
        id: "cursor",
        name: "Cursor (unverified)",
        style: Style::Interactive,
        reports: false,
        greets: false,
        prompted: true,
        transcribes: false,
        chooses: true,
        takes: None,
    },
    argv: Argv::Made {
        program: "cursor-agent",
        places: &[".local/bin/cursor-agent"],
        words: &[
            Word::Resumed("--resume"),
            Word::Model("--model"),
            // It allows every command but those that its user forbade; nothing is documented between that and asking.
            Word::Mode([Some(&[]), None, None, Some(&["--force"])]),
            // It has no option for what it is told beside its prompt.
            Word::PromptWithRole("--"),
        ],
        env: no_env,
        before: nothing_before,
    },
    events: &[],
    keys: Keys::NONE,
    own: None,
    screen: None,
    checkup: Some(Checkup {
        seen: "",
        options: &["--resume", "--model", "--force"],
        own_files,
    }),
};

/// How it will log in, as far as that is documented: it keeps a login where no document says.
fn own_files(env: Environment<'_>) -> Vec<Finding> {
    let login = if value_of(env, "CURSOR_API_KEY").is_some() {
        Finding::good("login", "by CURSOR_API_KEY")
    } else if value_of(env, "HOME").is_some_and(|home| Utf8Path::new(home).join(".cursor").is_dir()) {
        Finding::good(
            "login",
            "it was run here before; whether it is logged in is not known",
        )
    } else {
        Finding::bad(
            "login",
            "it was never run here: it will ask for a login at its start",
            "run `cursor-agent login`",
        )
    };
    // Whether it asks about a folder, and where it would remember that, is in no document.
    vec![
        Finding::good(
            "trust",
            "nothing is recorded for it; whether it asks is not known",
        ),
        login,
    ]
}

#[cfg(test)]
mod tests;
