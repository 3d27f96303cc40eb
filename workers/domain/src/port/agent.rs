//! What ao has to know about a kind of agent: one small description, and nothing else, per agent.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::PortFuture;
use super::runtime::{Prompt, Screen};
use crate::{Delay, Dialog, PermissionMode, SessionId, Signal, Timestamp};

/// What a launch of an agent is asked for.
#[derive(Clone, Debug)]
pub struct LaunchRequest<'a> {
    /// The session.
    pub session: &'a SessionId,
    /// What the agent should do.
    pub prompt: Option<&'a str>,
    /// A whole command line, for agents that are one.
    pub command: &'a [String],
    /// Where it is going to work: a worktree of a repository that a person registered.
    pub worktree: &'a Utf8Path,
    /// That repository.
    pub repo: &'a Utf8Path,
    /// The launch's secret number: what must be unique to this run is made from it by a function that cannot be turned round.
    pub secret: &'a str,
    /// The agent's own session id, where an earlier run told it: that conversation goes on.
    pub native_id: Option<&'a str>,
    /// The model; `None` is the agent's own choice.
    pub model: Option<&'a str>,
    /// What it may do without asking.
    pub permissions: PermissionMode,
    /// What it is told beside its prompt: its role, and its project's rules. An agent that cannot be told so gets it before its prompt.
    pub role: Option<&'a str>,
    /// The stable path of `ao`, for hooks.
    pub ao: &'a Utf8Path,
    /// The folder that messages too long to be typed lie in; it reads there without asking.
    pub messages: &'a Utf8Path,
    /// The folder for files of ours that agents of this kind read; made where it is missing.
    pub files: &'a Utf8Path,
    /// Whether the code it works on is the person's own, so that what it would ask about trust can be answered for them.
    pub trusted: bool,
    /// The environment it will inherit, before ours and the plan's are added.
    pub env: &'a [(String, String)],
}

/// Something to be written outside the worktree before the agent starts, so that it does not stop at a question nobody reads, and
/// tells what it does. Named in the plan, done by [`Agents::prepare`]; safe to repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preparation {
    /// A member in a JSON file of the agent's own.
    Member {
        /// The file; an object.
        file: Utf8PathBuf,
        /// The names that lead to the member, from the outermost object.
        path: Vec<String>,
        /// Its value, as JSON.
        value: String,
        /// Whether the agent holds a folder beside the file, with its name and `.lock`, while it writes it.
        locked: bool,
    },
    /// An element of a list in a JSON file of the agent's own.
    Element {
        /// The file; an object.
        file: Utf8PathBuf,
        /// The names that lead to the list.
        path: Vec<String>,
        /// The element, as JSON.
        value: String,
    },
    /// Elements of ours in lists of a JSON file that its user writes too. Beside them nothing changes, to the byte; they go again when
    /// they are not needed, and a file that has nothing else with them.
    Entries {
        /// The file; an object.
        file: Utf8PathBuf,
        /// A member that it needs, with its value as JSON: put in together with `member` where both are missing.
        beside: (String, String),
        /// The object in it that has the lists.
        member: String,
        /// Each list's name, and our element in it as JSON.
        elements: Vec<(String, String)>,
    },
    /// A whole file, which is ours.
    File {
        /// The file.
        file: Utf8PathBuf,
        /// What it says.
        text: String,
    },
    /// A folder of ours, which only its owner may look into.
    Folder {
        /// The folder.
        file: Utf8PathBuf,
    },
    /// Lines of ours in a TOML file of the agent's own, between two that say whose they are.
    Block {
        /// The file.
        file: Utf8PathBuf,
        /// What the lines are called: of one name there are none twice.
        name: String,
        /// The lines, each with its end.
        text: String,
    },
    /// A file in which an agent remembers what it was told of a session's own folder is gone.
    NoFile {
        /// The file.
        file: Utf8PathBuf,
    },
    /// Nothing in a file of the agent's own says that it need not ask about a folder. It fails where a person has said so.
    Untrusted {
        /// The file.
        file: Utf8PathBuf,
        /// What in it says so.
        said: Trusted,
        /// The session's own folders: what a list says of these alone was said in an earlier run, and is taken out.
        own: Vec<Utf8PathBuf>,
        /// The repository they are worktrees of.
        repo: Utf8PathBuf,
    },
}

/// How an agent remembers which folders it need not ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trusted {
    /// This list in a JSON file: each with all that lies below it, and with all worktrees of what lies below it.
    List(String),
    /// A table for each in this table of a TOML file, with `trusted = true`: a repository, with its worktrees.
    Tables(String),
}

impl Preparation {
    /// The file that is written.
    pub fn file(&self) -> &Utf8Path {
        match self {
            Self::Member { file, .. }
            | Self::Element { file, .. }
            | Self::Entries { file, .. }
            | Self::File { file, .. }
            | Self::Folder { file }
            | Self::Block { file, .. }
            | Self::NoFile { file }
            | Self::Untrusted { file, .. } => file,
        }
    }
}

/// A preparation failed. For a person's own code the agent can be started all the same: it may ask what the preparation would have
/// answered. For a stranger's it may not: it may not ask what it should.
#[derive(Debug, thiserror::Error)]
#[error("{doing} failed at `{path}`")]
pub struct PrepareError {
    /// What was attempted.
    pub doing: &'static str,
    /// Where.
    pub path: Utf8PathBuf,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// How to start an agent; a value, so that it can be shown and compared before anything happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchPlan {
    /// The program, found, and its arguments.
    pub argv: Vec<String>,
    /// Variables on top of the environment every session gets.
    pub env: Vec<(String, String)>,
    /// What is to be done before it starts, in this order.
    pub before: Vec<Preparation>,
}

/// An agent cannot be started as asked. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgentError {
    /// No such agent.
    #[error("there is no agent `{name}`: known are {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Which there are.
        known: String,
    },
    /// Its program is not installed, or not on the daemon's PATH.
    #[error("`{program}` was not found: install it, or start the daemon with a PATH that has it")]
    BinaryNotFound {
        /// What was looked for.
        program: String,
    },
    /// It needs a command line and got none.
    #[error("agent `{agent}` needs a command: ao spawn --agent {agent} -- make test")]
    CommandRequired {
        /// Which agent.
        agent: String,
    },
    /// It has no such setting.
    #[error("agent `{agent}` has no {setting} to choose")]
    NotOffered {
        /// Which agent.
        agent: String,
        /// What was asked for.
        setting: &'static str,
    },
    /// A zero byte stands in what is to be on its command line: no program can be given one.
    #[error("the {what} has a zero byte in it, which no command line can hold")]
    NotText {
        /// Where it stands: `prompt`, `role`, `model` or `command`.
        what: &'static str,
    },
    /// A word of its command line would be longer than a program can be given.
    #[error(
        "a word of its command line would have {bytes} bytes, of {most} that a program can be given: give it a shorter prompt, and \
        the rest in a file or a message"
    )]
    TooLong {
        /// How long it would be.
        bytes: usize,
        /// How long one may be.
        most: usize,
    },
    /// It takes no command line of its own.
    #[error("agent `{agent}` takes a prompt, not a command")]
    CommandNotTaken {
        /// Which agent.
        agent: String,
    },
}

/// Whether an agent lives on after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// It waits for more work after a turn.
    Interactive,
    /// It ends when its work is done; while it runs, it works.
    OneShot,
}

/// What an agent's own transcript says and its hooks do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Unique per thing that happened: 32 hex digits.
    pub id: String,
    /// One of the agent's events, as [`Agent::signal`] knows them.
    pub event: &'static str,
    /// When it happened; `None` where the agent does not say.
    pub at: Option<Timestamp>,
    /// What the event says, in the form of the agent's own hooks.
    pub payload: String,
}

/// What is the same for every run of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its id on the command line and in rows.
    pub id: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// Whether it lives on after a turn.
    pub style: Style,
    /// Whether its hooks report what it does; if not, a running process is all that is known.
    pub reports: bool,
    /// Whether its hooks say that it is there as soon as it has started; if not, they first speak when it is asked something.
    pub greets: bool,
    /// Whether its prompt stands on its command line; if not, it is the first message to it.
    pub prompted: bool,
    /// Whether it writes its conversations down, with what its hooks do not tell.
    pub transcribes: bool,
    /// Whether it has models and permission modes to choose from.
    pub chooses: bool,
    /// How it takes messages; `None`: it takes none.
    pub takes: Option<Takes>,
}

/// How an agent takes messages that are typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Takes {
    /// Whether one that is typed while it works waits inside it for its turn; if not, it is typed when the work is done.
    pub queues: bool,
    /// Beginnings of texts that are commands to the program itself: nothing says that those arrived.
    pub commands: &'static [char],
    /// Beginnings that would make a text something else than a message, such as a line for a shell: a space before it keeps it one.
    pub shields: &'static [char],
}

/// What a screen shows that no hook tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shows {
    /// The dialog that is open.
    pub dialog: Option<Dialog>,
    /// What it waits for in the middle of its work.
    pub retry: Option<Retry>,
}

/// A wait for another try after an error, as a screen shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// After what, and which try it is, without a count of seconds.
    pub said: String,
    /// How long it says that it waits.
    pub pause: Option<Duration>,
}

/// By how much a pause that is read from a screen may be over sooner: it is in whole seconds, and up to two seconds old.
const UNSURE: Duration = Duration::from_secs(3);

impl Retry {
    /// The same as a fact that was seen at `now`. While it is the one that is `known` it ends when that said: some count down, some
    /// show the whole pause to its end. It ends no sooner than is said there; of one that may be over already nothing is said.
    #[must_use]
    pub fn seen(self, now: Timestamp, known: Option<&Delay>) -> Delay {
        let left = self.pause.and_then(|pause| pause.checked_sub(UNSURE));
        let is_same = |known: &&Delay| known.said == self.said && (known.until.is_some() || left.is_none());
        match known.filter(is_same) {
            Some(known) => known.clone(),
            None => Delay {
                said: self.said,
                until: left.map(|left| now.plus(left)),
            },
        }
    }
}

/// One kind of agent.
pub trait Agent: Send + Sync + 'static {
    /// What it is.
    fn description(&self) -> &Description;

    /// How to start it. Looks at the file system only to find the program.
    fn plan(&self, request: &LaunchRequest<'_>) -> Result<LaunchPlan, AgentError>;

    /// What one of its hook events means that was told at `at`; `None` for an event it does not have.
    fn signal(&self, event: &str, payload: &str, at: Timestamp) -> Option<Signal>;

    /// Where it writes the conversation `native_id` down, with the environment it runs in. `None` while it is not there, and for
    /// an agent whose hooks tell everything. Looks at the file system.
    fn transcript(&self, native_id: &str, env: &[(String, String)]) -> Option<Utf8PathBuf>;

    /// What a line of that file says which no hook does.
    fn note(&self, line: &str) -> Option<Note>;

    /// What it calls the conversation `native_id`, where that stands in a file beside the conversation, with the environment it runs
    /// in. `None` while it calls it nothing, and for an agent whose hooks or whose transcript tell. Looks at the file system.
    fn named(&self, _native_id: &str, _env: &[(String, String)]) -> Option<Note> {
        None
    }

    /// How it shows that it takes a message, where it was `asked` this last; `None` where it takes none.
    fn prompt(&self, _asked: Option<&str>) -> Option<Prompt> {
        None
    }

    /// What its screen shows that no hook tells.
    fn shows(&self, _screen: &Screen) -> Shows {
        Shows::default()
    }
}

/// What hooks were set up with.
#[derive(Clone, Copy, Debug)]
pub struct HookPlace<'a> {
    /// The stable path of `ao`.
    pub ao: &'a Utf8Path,
    /// The folder for files of ours that agents of this kind read.
    pub files: &'a Utf8Path,
    /// The environment that agents inherit.
    pub env: &'a [(String, String)],
}

/// All kinds of agents there are.
pub trait Agents: Send + Sync + 'static {
    /// The agent of this id.
    fn get(&self, id: &str) -> Result<&dyn Agent, AgentError>;

    /// Every id, in the order to show them.
    fn ids(&self) -> Vec<&'static str>;

    /// Takes out of the settings of agent `id` what [`Self::prepare`] put there, unless `is_wanted` says that a session needs it: it
    /// is asked while no preparation is under way, and none begins before what it says is done. Byte for byte what was there
    /// before stays. Safe to repeat.
    fn withdraw<'a>(
        &'a self,
        id: &'a str,
        place: &'a HookPlace<'a>,
        is_wanted: &'a (dyn Fn() -> PortFuture<'a, bool> + Send + Sync),
    ) -> PortFuture<'a, Result<(), PrepareError>>;

    /// Does what a plan says is to be done before its agent starts. Safe to repeat; within a few seconds.
    fn prepare<'a>(&'a self, what: &'a Preparation) -> PortFuture<'a, Result<(), PrepareError>>;
}

/// Where an agent's program was found; kept apart so that `doctor` can show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Absolute path.
    pub path: Utf8PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One counts down, another shows the whole pause to its end: both end when they first said.
    #[test]
    fn a_wait_ends_when_it_was_first_said_to() {
        let shown = |said: &str, seconds: u64| Retry {
            said: said.to_owned(),
            pause: Some(Duration::from_secs(seconds)),
        };
        let at = Timestamp::from_millis;
        let first = shown("529, attempt 1", 4).seen(at(10_000), None);
        assert_eq!(first.until, Some(at(11_000)), "no sooner than this");
        assert_eq!(shown("529, attempt 1", 2).seen(at(12_100), Some(&first)), first);
        assert_eq!(shown("529, attempt 1", 4).seen(at(13_000), Some(&first)), first);
        let second = shown("529, attempt 2", 8).seen(at(15_000), Some(&first));
        assert_eq!(second.until, Some(at(20_000)));
        assert_eq!(
            second.waits(),
            "waits until 1970-01-01T00:00:20.000Z to try again"
        );
        let untold = Retry {
            pause: None,
            ..shown("529", 0)
        };
        let untold = untold.seen(at(1), None);
        assert_eq!(
            (untold.until, untold.waits().as_str()),
            (None, "waits to try again")
        );
        // What was half painted, or written down before it was looked for.
        let told = shown("529", 5).seen(at(1_000), Some(&untold));
        assert_eq!(told.until, Some(at(3_000)));
        let short = shown("529", 2).seen(at(1_000), None);
        assert_eq!(short.until, None);
        assert_eq!(shown("529", 2).seen(at(2_000), Some(&short)), short);
    }
}
