//! Something that holds an agent's terminal and outlives the daemon.

use std::time::Duration;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::PortFuture;
use crate::{Exit, ProcessId, SessionId};

/// Names one run of an agent in a runtime. A runtime finds what it holds by this name alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuntimeRef {
    /// The session.
    pub session: SessionId,
    /// The run of its agent.
    pub generation: u32,
}

/// Everything needed to start an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The run it is for.
    pub at: RuntimeRef,
    /// Program (absolute path) and arguments; never empty.
    pub argv: Vec<String>,
    /// The agent's whole environment; names match `[A-Za-z_][A-Za-z0-9_]*`.
    pub env: Vec<(String, String)>,
    /// Where it works. A directory that is missing is an error; the agent never starts elsewhere.
    pub cwd: Utf8PathBuf,
}

/// What a runtime holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The process that holds the terminal.
    pub holder: ProcessId,
    /// The agent.
    pub agent: ProcessId,
    /// How it ended, once it has.
    pub exit: Option<Exit>,
}

/// What one look at a runtime gave. Only `Ended` and `Gone` say anything about the agent's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The agent runs.
    Running(Held),
    /// The agent has ended and its exit record says how. The holder may still show its last screen.
    Ended(Held),
    /// The holder is there (it has its lock) but does not answer in time: it is stopped or busy. Says nothing.
    Silent,
    /// The holder is gone without an exit record: it was killed, or the machine was restarted. The agent lost its
    /// terminal; `agent_alive` says whether its process was still there at this look.
    Gone {
        /// The holder as its record names it.
        held: Option<Held>,
        /// Whether the agent's own process (pid, start time and boot checked) still runs.
        agent_alive: bool,
    },
    /// Nothing of that name was ever started, or it was destroyed.
    Absent,
}

/// A terminal's size in character cells; each at least 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

/// What a terminal shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screen {
    /// The visible lines, without trailing blanks.
    pub lines: Vec<String>,
    /// Cursor column and row, from 0.
    pub cursor: (u16, u16),
    /// Its size.
    pub size: Size,
    /// Whether the program asked for bracketed paste.
    pub bracketed_paste: bool,
    /// The title the program set.
    pub title: Option<String>,
    /// What stands out by its background alone, piece by piece from above, with its row: a program may show so what Enter takes.
    pub lit: Vec<(u16, String)>,
}

/// Where on its screen a program takes a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Between two rules over the whole width, and nothing below has a rule.
    #[default]
    Rules,
    /// In the last frame with round corners.
    Frame,
    /// Behind the last bar that has a foot (`\u{2503}` above `\u{2579}`); the lowest line there is the program's own.
    Bar,
    /// Behind the last bar that has a head and a foot (`\u{257b}` above, `\u{2579}` below), all of whose lines are the text's.
    Block,
    /// In the open: from the last line that begins with the mark on, with the cursor in it.
    Open,
}

/// How a program shows that it takes a text, as data: the look at it is made where the keys are pressed.
///
/// What is dim or slanted there is the program's own and not in the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Where it takes it.
    pub place: Place,
    /// What stands at the beginning of the first line.
    pub mark: String,
    /// The keys, one character each and pressed in turn, that take the text away line by line.
    pub clear: String,
    /// What is above it has in it when the beginning of a long text is out of sight.
    pub above: String,
    /// How the sign begins that stands for a long text as a whole.
    pub folded: String,
    /// How the program's own words begin where it tells them from a text by their colour alone.
    pub hints: Vec<String>,
    /// What the program calls its line, below it or in its last row, while what stands there would be something else than a message:
    /// a command that it runs.
    pub modes: Vec<String>,
    /// What it was asked last, in one line (the beginning of that, where it is long), where it puts that back when it is interrupted:
    /// nobody typed it, and it goes before the next text.
    pub given_back: Option<String>,
}

/// A text to be typed and sent off with Enter.
#[derive(Clone, Copy, Debug)]
pub struct Typing<'a> {
    /// Its name within the run. What was typed under a name is not typed again: asked once more, the runtime says how it went.
    pub id: Option<&'a str>,
    /// The text.
    pub text: &'a str,
    /// What has to be on the screen before the text and before Enter; without it nothing is looked at.
    pub prompt: Option<&'a Prompt>,
}

impl<'a> Typing<'a> {
    /// A text for a program of which nobody knows how it shows that it takes one: nothing is looked at.
    pub fn unseen(text: &'a str) -> Self {
        Self {
            id: None,
            text,
            prompt: None,
        }
    }
}

/// Keys to be pressed on a screen that shows certain lines.
#[derive(Clone, Copy, Debug)]
pub struct Press<'a> {
    /// Its name within the run, as of a [`Typing`].
    pub id: &'a str,
    /// The keys.
    pub keys: &'a str,
    /// What has to be on the screen, line by line, never nothing; other lines may stand between them. Letters and digits are
    /// compared: frames, bars and cursors are not.
    pub showing: &'a [String],
    /// What must not be on the screen: where it takes a text, a key would be one.
    pub prompt: Option<&'a Prompt>,
    /// Where the keys move a cursor and Enter takes what is under it.
    pub moves: Option<Moves<'a>>,
}

/// A way through a list whose cursor the keys move. They are pressed one by one where the cursor stands at its beginning, and
/// Enter only once it has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moves<'a> {
    /// What stands before the choice under the cursor; empty where that stands out by its background alone.
    pub mark: &'a str,
    /// The choice under the cursor now.
    pub from: &'a str,
    /// The choice that Enter is to take.
    pub to: &'a str,
}

/// Why a runtime typed nothing, or did not press Enter. It may be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Withheld {
    /// The screen shows no line that takes a text. Nothing was typed.
    #[error("its screen does not show that it takes a message")]
    NoPrompt,
    /// Somebody's text stands in it. Nothing was typed.
    #[error("a text that was not sent stands in its terminal")]
    Occupied,
    /// A person pressed a key a moment ago. Nothing was typed.
    #[error("a person is typing in its terminal")]
    Person,
    /// The text was typed and did not show in time. Enter was not pressed.
    #[error("it did not show what was typed")]
    NotShown,
    /// Something came before the prompt between text and Enter. Enter was not pressed.
    #[error("something came up on its screen before Enter")]
    Covered,
    /// The screen shows something else than what was to be answered. Nothing was typed.
    #[error("its screen shows something else by now")]
    Changed,
}

/// A runtime did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Nothing of that name is held. Nothing was done.
    #[error("no terminal is held for `{}` (generation {})", .0.session, .0.generation)]
    Absent(RuntimeRef),
    /// The agent has ended; nothing was typed.
    #[error("the agent has ended ({exit})")]
    Ended {
        /// How.
        exit: Exit,
    },
    /// The working directory is not there. Nothing was started.
    #[error("the directory `{path}` is not there")]
    NoDirectory {
        /// Which.
        path: Utf8PathBuf,
    },
    /// The program could not be started. Nothing runs.
    #[error("could not start `{program}`: {reason}")]
    NotStarted {
        /// What was to be started.
        program: String,
        /// The system's words.
        reason: String,
    },
    /// The holder did not answer in time, or the connection broke. Nobody knows whether it did what was asked: look.
    #[error("the holder did not answer while {doing}")]
    NoAnswer {
        /// What was attempted.
        doing: &'static str,
        /// The system's words, where there are some.
        #[source]
        source: Option<std::io::Error>,
    },
    /// The screen was not as it has to be.
    #[error(transparent)]
    Withheld(#[from] Withheld),
    /// A file or socket of the runtime could not be used. The agent is untouched.
    #[error("{doing} failed at `{path}`")]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// Where.
        path: Utf8PathBuf,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// The holder was started by a version that could not do this yet. The agent is untouched.
    #[error(
        "its holder was started by an earlier version of ao, which cannot look before it types: restore the session"
    )]
    TooOld,
    /// The holder speaks, but not as agreed. The agent is untouched.
    #[error("the holder answered what it should not: {0}")]
    Protocol(String),
}

/// Holds terminals. One conformance suite runs over every implementation.
///
/// Dropping any of its futures leaves the world as some prefix of the work would: the next look tells.
pub trait Runtime: Send + Sync + 'static {
    /// Its name in rows and on the command line.
    fn name(&self) -> &'static str;

    /// Starts the agent in a terminal of its own. Safe to repeat: where that run is held already, it is answered as
    /// it stands and nothing is started.
    fn create<'a>(&'a self, launch: &'a Launch) -> PortFuture<'a, Result<Held, RuntimeError>>;

    /// One look, within about a second. An error means that the look failed, never that the agent is dead.
    fn look<'a>(&'a self, at: &'a RuntimeRef) -> PortFuture<'a, Result<Look, RuntimeError>>;

    /// Resolves when a look may give another answer than at the time of the call, which is not that of the first poll: agent
    /// ended, holder gone or back. So whoever calls this, looks, and then waits, misses nothing. Cancel safe; may resolve early.
    fn changed<'a>(&'a self, at: &'a RuntimeRef) -> PortFuture<'a, ()>;

    /// Types a text (bracketed where the program asked for that) and presses Enter; resolves once it is written. Keys of
    /// attached people wait meanwhile.
    ///
    /// Dropping the future leaves it typed to the end or not begun; under the same name, the next call finds out.
    fn type_text<'a>(
        &'a self,
        at: &'a RuntimeRef,
        what: Typing<'a>,
    ) -> PortFuture<'a, Result<(), RuntimeError>>;

    /// Whether the screen shows now that a text would be taken; an error of the kind `Withheld` says why not. Nothing is typed.
    fn takes<'a>(
        &'a self,
        at: &'a RuntimeRef,
        prompt: &'a Prompt,
    ) -> PortFuture<'a, Result<(), RuntimeError>>;

    /// Presses keys, if the screen shows what they are for; resolves once they are written.
    fn press<'a>(&'a self, at: &'a RuntimeRef, what: Press<'a>) -> PortFuture<'a, Result<(), RuntimeError>>;

    /// What the terminal shows now; also after the agent's end, while the holder is there.
    fn screen<'a>(&'a self, at: &'a RuntimeRef) -> PortFuture<'a, Result<Screen, RuntimeError>>;

    /// The last `lines` lines of scrollback and screen, as plain text.
    fn tail<'a>(
        &'a self,
        at: &'a RuntimeRef,
        lines: usize,
    ) -> PortFuture<'a, Result<Vec<String>, RuntimeError>>;

    /// Makes the terminal `size` large.
    fn resize<'a>(&'a self, at: &'a RuntimeRef, size: Size) -> PortFuture<'a, Result<(), RuntimeError>>;

    /// Ends the agent: asked to hang up, then to terminate, then killed, all within about `grace` plus a second; then
    /// every process it left. Its exit record stays. Fine if it has ended already.
    fn stop<'a>(
        &'a self,
        at: &'a RuntimeRef,
        grace: Duration,
    ) -> PortFuture<'a, Result<Option<Exit>, RuntimeError>>;

    /// Ends the holder and removes what belongs to this run. Safe to repeat; fine if nothing is there. An agent that
    /// still runs is ended first.
    fn destroy<'a>(&'a self, at: &'a RuntimeRef) -> PortFuture<'a, Result<(), RuntimeError>>;

    /// Every run something is held for, or left over from.
    fn list(&self) -> PortFuture<'_, Result<Vec<RuntimeRef>, RuntimeError>>;

    /// What carries a name as this runtime gives it and is none of its runs. Only told, never touched.
    fn strays(&self) -> PortFuture<'_, Result<Vec<Stray>, RuntimeError>>;
}

/// Something that only looks like a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// What it is and where, for a person, in one line.
    pub what: String,
    /// The session that its name speaks of, which proves nothing.
    pub session: Option<SessionId>,
}

/// The runtimes there are, by name.
#[derive(Clone)]
pub struct Runtimes(std::sync::Arc<[std::sync::Arc<dyn Runtime>]>);

impl Runtimes {
    /// These and no others.
    pub fn new(runtimes: impl IntoIterator<Item = std::sync::Arc<dyn Runtime>>) -> Self {
        Self(runtimes.into_iter().collect())
    }

    /// The runtime of that name.
    pub fn get(&self, name: &str) -> Option<&dyn Runtime> {
        self.0
            .iter()
            .find(|runtime| runtime.name() == name)
            .map(AsRef::as_ref)
    }

    /// Every name, in the order to show them.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|runtime| runtime.name()).collect()
    }
}
