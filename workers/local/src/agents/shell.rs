//! Any command line: for people (`ao spawn --agent shell -- make test`), for scripts and for tests.

use ao_domain::ActivityState;
use ao_domain::port::agent::{Description, Style};

use super::sheet::{Argv, Keys, Sheet, event};

/// A script may tell what it does by `ao hooks shell EVENT`; one that never does is working for as long as it runs.
pub(super) const SHEET: Sheet = Sheet {
    description: Description {
        id: "shell",
        name: "Command line",
        style: Style::OneShot,
        reports: false,
        greets: false,
        prompted: false,
        transcribes: false,
        chooses: false,
        // Whatever runs there may be a shell: what is typed would be a command.
        takes: None,
    },
    argv: Argv::Given,
    events: &[
        event("started", None),
        event("working", Some(ActivityState::Active)),
        event("waiting-for-work", Some(ActivityState::Idle)).says_why("reason"),
        event("needs-decision", Some(ActivityState::WaitingInput)).says_why("reason"),
        event("ended", Some(ActivityState::Exited)).says_why("reason"),
    ],
    keys: Keys {
        native_id: None,
        title: Some("title"),
        last_message: Some("message"),
        summary: Some("summary"),
        ..Keys::NONE
    },
    own: None,
    screen: None,
    checkup: None,
};
