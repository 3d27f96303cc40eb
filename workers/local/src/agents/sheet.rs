//! What describes an agent: nothing but data, and the few things that are an agent's own way of writing.

use ao_domain::ActivityState;
use ao_domain::port::agent::{Description, LaunchRequest, Note, Preparation, Shows};
use ao_domain::port::runtime::Screen;
use camino::Utf8PathBuf;

use super::Checkup;

/// Everything that differs between agents.
#[derive(Clone, Debug)]
pub(super) struct Sheet {
    /// What is shown of it.
    pub(super) description: Description,
    /// How its command line comes about.
    pub(super) argv: Argv,
    /// Its own names for events, and what each says; of those with one name the first that fits counts.
    pub(super) events: &'static [Event],
    /// Where a payload has what.
    pub(super) keys: Keys,
    /// What it writes down itself.
    pub(super) own: Option<Own>,
    /// How to read its screen.
    pub(super) screen: Option<ScreenRules>,
    /// How its installation is looked over; `None` of one that has none.
    pub(super) checkup: Option<Checkup>,
}

/// How to read an agent's screen.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScreenRules {
    /// What stands before the text it takes.
    pub(super) mark: &'static str,
    /// The key that takes a line of that text away.
    pub(super) clear: &'static str,
    /// What the rule above it says when its beginning is out of sight.
    pub(super) above: &'static str,
    /// How the sign begins that stands for a long text.
    pub(super) folded: &'static str,
    /// What it shows that no hook tells.
    pub(super) shows: fn(&Screen) -> Shows,
}

/// Variables with their values.
pub(super) type Environment<'a> = &'a [(String, String)];

/// An agent's own record of a conversation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    /// What stands in a line of it once somebody has said something: one without a word is no conversation that goes on.
    pub(super) spoke: &'static str,
    /// Its file, once it is there.
    pub(super) file: fn(&str, Environment<'_>) -> Option<Utf8PathBuf>,
    /// What a line says that no hook does.
    pub(super) note: fn(&str) -> Option<Note>,
}

/// How a command line comes about.
#[derive(Clone, Debug)]
pub(super) enum Argv {
    /// The person gives the whole of it.
    Given,
    /// A program of its own with a prompt.
    Made {
        /// Its name on PATH.
        program: &'static str,
        /// Where its installers put it besides, below the home directory.
        places: &'static [&'static str],
        /// Its arguments, in their order.
        words: &'static [Word],
        /// What is to be done before it starts.
        before: fn(&LaunchRequest<'_>) -> Vec<Preparation>,
    },
}

/// A piece of a command line. It is left out where the request has nothing for it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word {
    /// Whatever stands for the permission mode: default, accept-edits, auto, bypass.
    Mode([&'static [&'static str]; 4]),
    /// A variable that is set to 1 where the code is a stranger's: with it the agent asks whether that is trusted, whatever it was told
    /// of the repository before.
    Wary(&'static str),
    /// The model, behind this option.
    Model(&'static str),
    /// What it is told beside its prompt, behind this option.
    Role(&'static str),
    /// The conversation that goes on, behind this option.
    Resumed(&'static str),
    /// The name of a conversation that begins, behind this option.
    Begun(&'static str),
    /// The prompt, behind this word. One that goes on has been asked already: asked again, it would do its work twice.
    Prompt(&'static str),
    /// A text of the agent's own making, behind this option: settings with our hooks.
    Settings(&'static str, fn(&LaunchRequest<'_>) -> String),
}

/// What one of an agent's events says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    /// The agent's own name for it.
    pub(super) name: &'static str,
    /// Only where the payload has one of these words under this key; anything else fits too where there is no condition.
    pub(super) when: Option<(&'static str, &'static [&'static str])>,
    /// The state it moves the session to; `None` for a mere sign of life.
    pub(super) state: Option<ActivityState>,
    /// Whether it begins a turn now.
    pub(super) begins: bool,
}

/// An event that always says the same.
pub(super) const fn event(name: &'static str, state: Option<ActivityState>) -> Event {
    Event {
        name,
        when: None,
        state,
        begins: false,
    }
}

/// Keys of the payload's JSON object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    /// The agent's own session id.
    pub(super) native_id: Option<&'static str>,
    /// What it works on.
    pub(super) title: Option<&'static str>,
    /// What it said at the end of a turn.
    pub(super) last_message: Option<&'static str>,
    /// What it was asked, whole.
    pub(super) prompt: Option<&'static str>,
    /// What kind of error ended a turn; the last message says it in words.
    pub(super) trouble: Option<&'static str>,
}

impl Keys {
    pub(super) const NONE: Self = Self {
        native_id: None,
        title: None,
        last_message: None,
        prompt: None,
        trouble: None,
    };
}
