//! Agents: one small description each, and one engine that reads it.
//!
//! Adding an agent is adding a file with a `Sheet` and one line here, its `mod`, below `#[agents]`; the conformance tests below
//! run over the registry, so a new agent adds its cases by being in it.

mod blocks;
mod catalog;
mod checkup;
mod dialogs;
mod entries;
mod hooks;
mod install;
mod launch;
mod members;
mod notes;
mod payload;
mod probe;
mod sheet;
mod wall;

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ao_domain::port::PortFuture;
use ao_domain::port::agent::{
    Agent, AgentError, Agents, Description, HookPlace, LaunchPlan, LaunchRequest, Note, Preparation,
    PrepareError, Shows,
};
use ao_domain::port::runtime::{Prompt, Screen};
use ao_domain::{PermissionMode, Signal, Timestamp, ToolUse, Wall};
use camino::{Utf8Path, Utf8PathBuf};
use jiff::tz::TimeZone;
use sheet::{Argv, Event, Sheet, Tool};

/// Makes the modules of all agents, and the list of their sheets, out of one line for each. It has the name that it has because
/// rustfmt looks for `mod` in no macro of a better one: the agents' files would not be formatted.
macro_rules! cfg_if {
    (if #[agents] { $(mod $agent:ident;)* }) => {
        $(mod $agent;)*

        /// Every agent there is, in the order of their lines.
        const SHEETS: &[&Sheet] = &[$(&$agent::SHEET),*];
    };
}

// One line for each agent, in the order to show them.
cfg_if! {
    if #[agents] {
        mod claude_code;
        mod codex;
        mod opencode;
        mod grok;
        mod qwen;
        mod copilot;
        mod kimi;
        mod cursor;
        mod shell;
    }
}

/// Longest title kept, in characters: it stands in one line of a table.
const TITLE_MAX: usize = 120;

/// Longest last message kept, in bytes: enough to see what it was about.
const MESSAGE_MAX: usize = 4 * 1024;

pub use catalog::AgentCatalog;
use checkup::{Checkup, Remembered};

/// Makes a sheet an [`Agent`].
struct Described {
    sheet: &'static Sheet,
    path: PathBuf,
}

/// All agents, looking for programs on one PATH.
pub struct Registry {
    agents: Vec<Described>,
    /// Held while something is written for an agent or taken back: whoever takes back asks meanwhile whether it is wanted.
    writing: Arc<tokio::sync::Mutex<()>>,
}

impl Registry {
    /// Every agent, with programs looked up on `path` (the daemon's PATH).
    pub fn new(path: &OsStr) -> Self {
        Self {
            agents: SHEETS
                .iter()
                .map(|sheet| Described {
                    sheet,
                    path: path.into(),
                })
                .collect(),
            writing: Arc::default(),
        }
    }
}

impl Agents for Registry {
    fn get(&self, id: &str) -> Result<&dyn Agent, AgentError> {
        let found = self.agents.iter().find(|agent| agent.sheet.description.id == id);
        found
            .map(|agent| agent as &dyn Agent)
            .ok_or_else(|| AgentError::Unknown {
                name: id.to_owned(),
                known: self.ids().join(", "),
            })
    }

    fn ids(&self) -> Vec<&'static str> {
        self.agents
            .iter()
            .map(|agent| agent.sheet.description.id)
            .collect()
    }

    fn prepare<'a>(&'a self, what: &'a Preparation) -> PortFuture<'a, Result<(), PrepareError>> {
        Box::pin(async {
            let held = Arc::clone(&self.writing).lock_owned().await;
            install::prepare(what, held).await
        })
    }

    fn withdraw<'a>(
        &'a self,
        id: &'a str,
        place: &'a HookPlace<'a>,
        is_wanted: &'a (dyn Fn() -> PortFuture<'a, bool> + Send + Sync),
    ) -> PortFuture<'a, Result<(), PrepareError>> {
        Box::pin(async move {
            let sheets = self.agents.iter().map(|agent| agent.sheet);
            let hooks: Vec<Preparation> = sheets
                .filter(|sheet| sheet.description.id == id)
                .flat_map(|sheet| launch::hooks(sheet, place))
                .collect();
            if hooks.is_empty() {
                return Ok(());
            }
            let held = Arc::clone(&self.writing).lock_owned().await;
            if is_wanted().await {
                return Ok(());
            }
            install::withdraw(hooks, held).await
        })
    }
}

impl Agent for Described {
    fn description(&self) -> &Description {
        &self.sheet.description
    }

    fn plan(&self, request: &LaunchRequest<'_>) -> Result<LaunchPlan, AgentError> {
        let agent = || self.sheet.description.id.to_owned();
        let refuse = |setting| AgentError::NotOffered {
            agent: agent(),
            setting,
        };
        let find = |program: &str, places: &[&str]| {
            let home = value_of(request.env, "HOME");
            find_program(program, request.worktree.as_std_path(), self.path.as_os_str())
                .or_else(|| in_places(home?, places))
                .ok_or_else(|| AgentError::BinaryNotFound {
                    program: program.to_owned(),
                })
        };
        launch::must_be_text(request)?;
        let mut variables = Vec::new();
        let (program, arguments, before) = match &self.sheet.argv {
            Argv::Given => {
                if request.model.is_some() {
                    return Err(refuse("model"));
                }
                if request.permissions != PermissionMode::Default {
                    return Err(refuse("permission mode"));
                }
                let (program, arguments) = request
                    .command
                    .split_first()
                    .ok_or_else(|| AgentError::CommandRequired { agent: agent() })?;
                (find(program, &[])?, arguments.to_vec(), Vec::new())
            }
            Argv::Made {
                program,
                places,
                words,
                env: more,
                before,
            } => {
                if !request.command.is_empty() {
                    return Err(AgentError::CommandNotTaken { agent: agent() });
                }
                if !launch::offers(words, request.permissions) {
                    return Err(refuse(match request.permissions {
                        PermissionMode::Default => "permission mode `default`",
                        PermissionMode::AcceptEdits => "permission mode `accept-edits`",
                        PermissionMode::Auto => "permission mode `auto`",
                        PermissionMode::BypassPermissions => "permission mode `bypass-permissions`",
                    }));
                }
                let arguments = launch::arguments(words, self.sheet.own.as_ref(), request);
                variables = more(request);
                (find(program, places)?, arguments, before(request))
            }
        };
        let argv: Vec<String> = std::iter::once(program).chain(arguments).collect();
        if let Some(bytes) = argv
            .iter()
            .map(String::len)
            .find(|bytes| *bytes > launch::WORD_MAX)
        {
            let most = launch::WORD_MAX;
            return Err(AgentError::TooLong { bytes, most });
        }
        Ok(LaunchPlan {
            argv,
            env: variables,
            before,
        })
    }

    fn signal(&self, event: &str, payload: &str, at: Timestamp) -> Option<Signal> {
        let mut named = self
            .sheet
            .events
            .iter()
            .filter(|known| known.name == event)
            .peekable();
        named.peek()?;
        let payload = payload::read(payload);
        let text = |key: Option<&str>| {
            let key = key?;
            let value = if key.starts_with('/') {
                payload.pointer(key)
            } else {
                payload.get(key)
            };
            value?.as_str().filter(|text| !text.trim().is_empty())
        };
        let fits = |known: &&Event| {
            known
                .when
                .is_none_or(|(key, words)| text(Some(key)).is_some_and(|word| words.contains(&word)))
        };
        let keys = &self.sheet.keys;
        // An agent that has a word of its own for it says nothing else of an error.
        let said = match keys.said {
            Some(_) => text(keys.said),
            None => text(keys.last_message),
        };
        let is_wall = keys.walls.iter().any(|word| {
            text(keys.trouble) == Some(word)
                || (keys.said.is_some() && said.is_some_and(|said| said.contains(word)))
        });
        let found = named.find(fits);
        Some(Signal {
            state: found.and_then(|known| known.state),
            begins: found.is_some_and(|known| known.begins),
            native_id: text(keys.native_id).map(str::to_owned),
            title: text(keys.title)
                .map(|title| unwrapped(title, keys.pasted))
                .and_then(|title| in_one_line(&title)),
            last_message: text(keys.last_message).map(|message| cut(message, MESSAGE_MAX).to_owned()),
            prompt: text(keys.prompt).map(|prompt| unwrapped(prompt, keys.pasted)),
            tool: found.and_then(|known| match known.tool {
                Tool::Unsaid => None,
                Tool::Begins => text(keys.tool).and_then(in_one_line).map(ToolUse::Begins),
                Tool::Ends => Some(ToolUse::Ends(text(keys.tool).and_then(in_one_line))),
            }),
            why: found.and_then(|known| text(known.why)).and_then(in_one_line),
            summary: text(keys.summary).and_then(in_one_line),
            trouble: match (text(keys.trouble).or(found.and_then(|known| known.trouble)), said) {
                (Some(kind), said) => Some(trouble(kind, said)),
                (None, said) => said.filter(|_| keys.said.is_some()).and_then(in_one_line),
            },
            wall: is_wall.then(|| {
                let field = keys.until.and_then(|key| wall::field(payload.get(key)?, at));
                let words = || wall::until(said?, at, &TimeZone::system());
                Wall::met(at, field.or_else(words))
            }),
        })
    }

    fn transcript(&self, native_id: &str, env: &[(String, String)]) -> Option<Utf8PathBuf> {
        notes::file(&self.sheet.own?.file, native_id, env)
    }

    fn note(&self, line: &str) -> Option<Note> {
        notes::note(self.sheet.own?.notes, line)
    }

    fn named(&self, native_id: &str, env: &[(String, String)]) -> Option<Note> {
        notes::named(self.sheet.own?.named.as_ref()?, native_id, env)
    }

    fn prompt(&self, asked: Option<&str>) -> Option<Prompt> {
        let rules = self.sheet.screen?;
        Some(Prompt {
            place: rules.place,
            mark: rules.mark.to_owned(),
            clear: rules.clear.to_owned(),
            above: rules.above.to_owned(),
            folded: rules.folded.to_owned(),
            hints: rules.hints.iter().map(|hint| (*hint).to_owned()).collect(),
            modes: rules.modes.iter().map(|mode| (*mode).to_owned()).collect(),
            given_back: asked.filter(|_| rules.gives_back).map(str::to_owned),
        })
    }

    fn shows(&self, screen: &Screen) -> Shows {
        self.sheet
            .screen
            .as_ref()
            .map_or_else(Shows::default, |rules| dialogs::shows(rules, screen))
    }
}

/// A prompt without the marks that some put around what was pasted: `<pasted_content id="…">` and its end.
fn unwrapped(prompt: &str, pasted: Option<&str>) -> String {
    let Some(name) = pasted else {
        return prompt.to_owned();
    };
    let (mut out, mut rest) = (String::with_capacity(prompt.len()), prompt);
    while let Some(begin) = rest.find('<') {
        out.push_str(&rest[..begin]);
        rest = &rest[begin..];
        let inside = rest[1..].strip_prefix('/').unwrap_or(&rest[1..]);
        let is_mark = inside
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(" id="));
        match rest.find('>').filter(|_| is_mark) {
            Some(end) => rest = &rest[end + 1..],
            None => {
                out.push('<');
                rest = &rest[1..];
            }
        }
    }
    out + rest
}

/// What ended a turn, in one line: the kind of error, and the first line of what was said of it.
fn trouble(kind: &str, said: Option<&str>) -> String {
    let kind = in_one_line(kind).unwrap_or_else(|| "an error".to_owned());
    match said.and_then(in_one_line) {
        Some(said) => format!("{kind}: {said}"),
        None => kind,
    }
}

/// A text in one line, without what a terminal would act on.
fn in_one_line(text: &str) -> Option<String> {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.chars().filter(|c| !c.is_control()).take(TITLE_MAX).collect();
    (!line.is_empty()).then_some(line)
}

fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// The value a variable has in `env`; an empty one counts as none.
fn value_of<'a>(env: &'a [(String, String)], name: &str) -> Option<&'a str> {
    env.iter()
        .find(|(known, value)| known == name && !value.is_empty())
        .map(|(_, value)| value.as_str())
}

/// Where an agent keeps its own things: in the folder that a variable of its names, else in one below the home directory.
fn own_folder(env: &[(String, String)], variable: Option<&str>, below_home: &str) -> Option<Utf8PathBuf> {
    match variable.and_then(|name| value_of(env, name)) {
        Some(folder) => Some(folder.into()),
        None => Some(Utf8Path::new(value_of(env, "HOME")?).join(below_home)),
    }
}

/// What is to be done where nobody knows where an agent keeps its own things: nothing for a person's own code, and for a stranger's what
/// fails, for it cannot be looked whether it would ask.
fn unknown_home(request: &LaunchRequest<'_>) -> Vec<Preparation> {
    let fails = Preparation::NoFile {
        file: Utf8PathBuf::new(),
    };
    (!request.trusted).then_some(fails).into_iter().collect()
}

/// That nothing an agent remembers keeps it from asking about a stranger's code.
fn untrusted(request: &LaunchRequest<'_>, remembered: Remembered) -> Option<Preparation> {
    (!request.trusted).then(|| Preparation::Untrusted {
        file: remembered.file,
        said: remembered.said,
        own: folders(request.worktree),
        repo: request.repo.to_owned(),
    })
}

/// A folder that an agent does not ask about by a person's word, where it should.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrustedByAPerson {
    /// The agent.
    pub agent: &'static str,
    /// The file that says so.
    pub file: Utf8PathBuf,
    /// The folder, as it stands there.
    pub folder: String,
}

/// Agents that would not ask about a stranger's code in `worktree`, which need not be there yet, of `repo`, so that none begins there:
/// told before somebody claims such a pull request. `env` is the environment that agents inherit. A file that does not read is told by
/// the catalog. Reads files.
pub fn trusted_by_a_person(
    env: &[(String, String)],
    worktree: &Utf8Path,
    repo: &Utf8Path,
) -> Vec<TrustedByAPerson> {
    let checkups = SHEETS
        .iter()
        .filter_map(|sheet| Some((sheet.description.id, sheet.checkup?)));
    checkups
        .filter_map(|(agent, checkup)| {
            let Remembered { file, said } = (checkup.remembers?)(env)?;
            let folder = install::trusted_by_a_person(&file, &said, worktree, repo).ok()??;
            Some(TrustedByAPerson { agent, file, folder })
        })
        .collect()
}

/// A folder by the names an agent may know it by: its path may be told with links in it or without.
fn folders(worktree: &Utf8Path) -> Vec<Utf8PathBuf> {
    let mut folders = vec![worktree.to_owned()];
    folders.extend(worktree.canonicalize_utf8().ok().filter(|real| real != worktree));
    folders
}

fn runs(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// The program to execute: as it stands when it names a file (seen from `worktree`), else the first executable of
/// that name on `path`.
fn find_program(program: &str, worktree: &Path, path: &OsStr) -> Option<String> {
    if program.contains('/') {
        return runs(&worktree.join(program)).then(|| program.to_owned());
    }
    let found = std::env::split_paths(path)
        .map(|folder| folder.join(program))
        .find(|file| runs(file))?;
    found.to_str().map(str::to_owned)
}

fn in_places(home: &str, places: &[&str]) -> Option<String> {
    let found = places
        .iter()
        .map(|place| Path::new(home).join(place))
        .find(|file| runs(file))?;
    found.to_str().map(str::to_owned)
}

#[cfg(test)]
pub(crate) mod tests;
