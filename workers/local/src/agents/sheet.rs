//! What describes an agent: nothing but data, and the few texts that are of an agent's own making.

use ao_domain::ActivityState;
use ao_domain::port::agent::{Description, LaunchRequest, Preparation};
use ao_domain::port::runtime::Place;

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
    /// Where it takes a text.
    pub(super) place: Place,
    /// What stands before the text it takes.
    pub(super) mark: &'static str,
    /// The keys that take a line of that text away, in turn.
    pub(super) clear: &'static str,
    /// What stands above it when its beginning is out of sight; empty where that never is.
    pub(super) above: &'static str,
    /// How the sign begins that stands for a long text.
    pub(super) folded: &'static str,
    /// How its own words begin that stand there while nothing else does, where only their colour tells.
    pub(super) hints: &'static [&'static str],
    /// What it calls its line, beside it, while what stands there would be run as a command. Most have another mark then.
    pub(super) modes: &'static [&'static str],
    /// Whether it puts what it was asked back there when it is interrupted.
    pub(super) gives_back: bool,
    /// Its dialogs.
    pub(super) dialogs: &'static [DialogRules],
    /// How it says that it waits in the middle of its work: the words between what it waits after and for how long.
    pub(super) delay: Option<DelayRules>,
}

/// How a kind of dialog looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct DialogRules {
    /// Words of the line that says how to answer; it is the last of the screen, but for `below`.
    pub(super) foot: &'static [&'static str],
    /// How many lines may stand below it.
    pub(super) below: usize,
    /// Where its text begins.
    pub(super) begins: Begins,
    /// What can be chosen.
    pub(super) choices: Choices,
}

/// Where the text of a dialog begins, seen from its choices upwards.
#[derive(Clone, Copy, Debug)]
pub(super) enum Begins {
    /// Below a rule, or with the line that begins so.
    Line(&'static [&'static str]),
    /// With the line that begins so: where there is none below the last rule, it is no dialog.
    Only(&'static [&'static str]),
    /// With the bar it stands behind.
    Bar,
    /// Below the last line that is not indented.
    Margin,
    /// With the foot: it is all there is.
    Foot,
}

/// What can be chosen in a dialog.
#[derive(Clone, Copy, Debug)]
pub(super) enum Choices {
    /// Lines with a digit, which is the key. One of them stands behind one of these cursors, where there are some.
    Numbered(&'static [char]),
    /// Lines without one; Enter takes the one behind this mark. What explains a choice is indented like it and stands below it,
    /// where there is such.
    Listed {
        /// The mark.
        mark: &'static str,
        /// Whether each choice has a line below it that explains it.
        explained: bool,
        /// Where they stand.
        stands: Stands,
    },
    /// Lines with the key at their end, the last of which is the foot, and the first begins so.
    Keyed(&'static str),
    /// Words beside each other in the foot; Enter takes the one that stands out by its background.
    Buttons,
    /// The foot itself, which says that Enter goes on.
    Enter,
    /// None: something is to be typed, by a person at the terminal. The foot begins so, with its blanks. Nothing from its first rule on
    /// is read, and there has to be one: what is typed there may be a secret.
    Typed,
}

/// Where the choices of a list stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// Right above the line that says how to take one.
    Above,
    /// Above it, with something else in between.
    Apart,
    /// Below it.
    Below,
}

/// `529 Overloaded · retrying in 2s · attempt 3/10`, as data.
#[derive(Clone, Copy, Debug)]
pub(super) struct DelayRules {
    /// What such a line has in it besides.
    pub(super) has: &'static str,
    /// What stands between what happened and how long it waits.
    pub(super) waits: &'static str,
    /// How the part begins that counts the tries, behind that; empty where it stands before it.
    pub(super) attempt: &'static str,
    /// Whether the seconds there are how long it waits, or what is left of that; else how long it has.
    pub(super) tells: bool,
}

/// Variables with their values.
pub(super) type Environment<'a> = &'a [(String, String)];

/// An agent's own record of a conversation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    /// What stands in a line of it once somebody has said something: one without a word is no conversation that goes on.
    pub(super) spoke: &'static str,
    /// Where its file is, once it is there.
    pub(super) file: Files,
    /// What its lines say that no hook does; of those that fit a line the first counts.
    pub(super) notes: &'static [NoteRules],
    /// Where it writes down what it calls the conversation, where that is another file.
    pub(super) named: Option<Named>,
}

/// Where an agent writes down what it calls a conversation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    /// The event that tells of it: one of the sheet's, with a dot in its name, and with the name as `summary` in its payload.
    pub(super) event: &'static str,
    /// Where the file is.
    pub(super) file: Files,
    /// Where the name is in it.
    pub(super) name: NameIn,
}

/// Where a name is in a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum NameIn {
    /// In the last of its lines (JSON objects) that has the conversation's id under the first key, under the second.
    Lines(&'static str, &'static str),
    /// A JSON object has it under this key.
    Object(&'static str),
    /// A mapping in YAML has it under this key, in a line, or in an indented block below it.
    Mapping(&'static str),
}

/// Where an agent keeps a file about a conversation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Files {
    /// The folder below the home directory.
    pub(super) home: &'static str,
    /// The variable that says another one.
    pub(super) variable: Option<&'static str>,
    /// The way from there. `*` is whatever there is, `{}` the conversation's id.
    pub(super) path: &'static [&'static str],
}

/// A line of a transcript (a JSON object) that tells of something.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoteRules {
    /// The event it tells of: one of the sheet's, with a dot in its name, which no hook has.
    pub(super) event: &'static str,
    /// What the line has in it as text. Most lines are long and none of these: they are not taken apart.
    pub(super) has: &'static str,
    /// What it has where (a JSON pointer, in which `*` is every element of a list).
    pub(super) of: &'static [(&'static str, Is)],
    /// Where its name is, 32 hex digits but for dashes; a line without one is named by all that it says.
    pub(super) id: Option<&'static str>,
    /// When it was written: RFC 3339, or milliseconds since 1970. `None` of one that does not say.
    pub(super) at: Option<&'static str>,
    /// Members of the payload, and where the line has each.
    pub(super) payload: &'static [(&'static str, &'static str)],
}

/// What a value is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Is {
    /// This text.
    Text(&'static str),
    /// A text that begins so.
    Begins(&'static str),
    /// Any text.
    AnyText,
    /// `true`.
    True,
    /// Not `true`.
    NotTrue,
    /// A list without elements.
    Empty,
    /// Something.
    Some,
    /// Nothing, or not there.
    Missing,
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
        /// Variables it is started with.
        env: fn(&LaunchRequest<'_>) -> Vec<(String, String)>,
        /// What is to be done before it starts.
        before: fn(&LaunchRequest<'_>) -> Vec<Preparation>,
    },
}

/// No variables.
pub(super) fn no_env(_: &LaunchRequest<'_>) -> Vec<(String, String)> {
    Vec::new()
}

/// Nothing to be done.
pub(super) fn nothing_before(_: &LaunchRequest<'_>) -> Vec<Preparation> {
    Vec::new()
}

/// A piece of a command line. It is left out where the request has nothing for it. An option that ends in `=` and its value are
/// one word.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word {
    /// These, always.
    Always(&'static [&'static str]),
    /// Whatever stands for the permission mode: default, accept-edits, auto, bypass. `None`: it has none such.
    Mode([Option<&'static [&'static str]>; 4]),
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
    /// The same, with what it is told beside its prompt before it, where there is no other way to tell it.
    PromptWithRole(&'static str),
    /// Texts of the agent's own making, each behind this option: settings with our hooks.
    Settings(&'static str, fn(&LaunchRequest<'_>) -> Vec<String>),
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
    /// What ended a turn, where nothing but the event itself says so.
    pub(super) trouble: Option<&'static str>,
    /// What it says of the tool that the payload names.
    pub(super) tool: Tool,
    /// Where the payload says why, in words that tell a person something.
    pub(super) why: Option<&'static str>,
}

/// What an event says of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// Nothing.
    Unsaid,
    /// It is used from now on, or is to be.
    Begins,
    /// It is used no more.
    Ends,
}

impl Event {
    /// The same, and the tool that it names is used from now on, or is to be.
    pub(super) const fn begins_tool(self) -> Event {
        Event {
            tool: Tool::Begins,
            ..self
        }
    }

    /// The same, and the tool that it names is used no more.
    pub(super) const fn ends_tool(self) -> Event {
        Event {
            tool: Tool::Ends,
            ..self
        }
    }

    /// The same, which says why under this key.
    pub(super) const fn says_why(self, key: &'static str) -> Event {
        Event {
            why: Some(key),
            ..self
        }
    }
}

/// An event that always says the same.
pub(super) const fn event(name: &'static str, state: Option<ActivityState>) -> Event {
    Event {
        name,
        when: None,
        state,
        begins: false,
        trouble: None,
        tool: Tool::Unsaid,
        why: None,
    }
}

/// An event that says this only where the payload has one of these words under this key.
pub(super) const fn event_when(
    name: &'static str,
    key: &'static str,
    words: &'static [&'static str],
    state: Option<ActivityState>,
) -> Event {
    Event {
        when: Some((key, words)),
        ..event(name, state)
    }
}

/// Members of the payload's JSON object: a name, or a JSON pointer.
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
    /// The tool that an event is about.
    pub(super) tool: Option<&'static str>,
    /// The name of the marks that it puts around what was pasted, where it gives that back so.
    pub(super) pasted: Option<&'static str>,
    /// What it calls the conversation by itself.
    pub(super) summary: Option<&'static str>,
    /// What kind of error ended a turn; the last message says it in words.
    pub(super) trouble: Option<&'static str>,
    /// What an error says, where the last message does not.
    pub(super) said: Option<&'static str>,
    /// Which of those kinds are a quota that is used up.
    pub(super) walls: &'static [&'static str],
    /// When there is some again, where it says so in a field of its own; else the last message may have it in its words.
    pub(super) until: Option<&'static str>,
}

impl Keys {
    pub(super) const NONE: Self = Self {
        native_id: None,
        title: None,
        last_message: None,
        prompt: None,
        tool: None,
        pasted: None,
        summary: None,
        trouble: None,
        said: None,
        walls: &[],
        until: None,
    };
}
