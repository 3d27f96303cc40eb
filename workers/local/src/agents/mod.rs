//! Agents: one small description each, and one engine that reads it.
//!
//! Adding an agent is adding a file with a `Sheet` and a line in `SHEETS`; the conformance tests below run over
//! the registry, so a new agent adds its cases by being in it.

mod checkup;
mod claude_code;
mod claude_screen;
mod claude_trust;
mod launch;
mod sheet;
mod shell;

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ao_domain::port::PortFuture;
use ao_domain::port::agent::{
    Agent, AgentError, Agents, Description, LaunchPlan, LaunchRequest, Note, Preparation, PrepareError, Shows,
};
use ao_domain::port::runtime::{Prompt, Screen};
use ao_domain::{PermissionMode, Signal};
use camino::Utf8PathBuf;
use serde_json::Value;
use sheet::{Argv, Environment, Event, Keys, Own, ScreenRules, Sheet, Word, event};

/// Every agent there is, in the order to show them.
const SHEETS: &[&Sheet] = &[&claude_code::SHEET, &shell::SHEET];

/// Longest title kept, in characters: it stands in one line of a table.
const TITLE_MAX: usize = 120;

/// Longest last message kept, in bytes: enough to see what it was about.
const MESSAGE_MAX: usize = 4 * 1024;

pub use checkup::{Checkup, Finding};

/// An agent that is installed as a program of its own, for `doctor`.
#[derive(Clone, Debug)]
pub struct Installed {
    /// Its id.
    pub id: &'static str,
    /// Its name on PATH.
    pub program: &'static str,
    /// Where it was found.
    pub path: Option<Utf8PathBuf>,
    /// How it is looked over.
    pub checkup: Checkup,
}

/// Makes a sheet an [`Agent`].
struct Described {
    sheet: &'static Sheet,
    path: PathBuf,
}

/// All agents, looking for programs on one PATH.
pub struct Registry {
    agents: Vec<Described>,
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
        }
    }
}

impl Registry {
    /// The agents that are programs of their own, each where it would be started from with the environment `env`.
    pub fn installed(&self, env: Environment<'_>) -> Vec<Installed> {
        let found = self.agents.iter().filter_map(|agent| {
            let Argv::Made { program, places, .. } = &agent.sheet.argv else {
                return None;
            };
            let path = find_program(program, Path::new("/"), agent.path.as_os_str())
                .or_else(|| in_places(value_of(env, "HOME")?, places));
            Some(Installed {
                id: agent.sheet.description.id,
                program,
                path: path.map(Utf8PathBuf::from),
                checkup: agent.sheet.checkup?,
            })
        });
        found.collect()
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
        match what {
            Preparation::ClaudeTrust { config, folder } => Box::pin(claude_trust::seed(config, folder)),
        }
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
        let mut env = Vec::new();
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
                before,
            } => {
                if !request.command.is_empty() {
                    return Err(AgentError::CommandNotTaken { agent: agent() });
                }
                let arguments = launch::arguments(words, self.sheet.own.as_ref(), request);
                env = launch::variables(words, request);
                (find(program, places)?, arguments, before(request))
            }
        };
        Ok(LaunchPlan {
            argv: std::iter::once(program).chain(arguments).collect(),
            env,
            before,
        })
    }

    fn signal(&self, event: &str, payload: &str) -> Option<Signal> {
        let mut named = self
            .sheet
            .events
            .iter()
            .filter(|known| known.name == event)
            .peekable();
        named.peek()?;
        let payload: Value = serde_json::from_str(payload).unwrap_or_default();
        let text = |key: Option<&str>| payload.get(key?)?.as_str().filter(|text| !text.trim().is_empty());
        let fits = |known: &&Event| {
            known
                .when
                .is_none_or(|(key, words)| text(Some(key)).is_some_and(|word| words.contains(&word)))
        };
        let keys = &self.sheet.keys;
        let found = named.find(fits);
        Some(Signal {
            state: found.and_then(|known| known.state),
            begins: found.is_some_and(|known| known.begins),
            native_id: text(keys.native_id).map(str::to_owned),
            title: text(keys.title).and_then(in_one_line),
            last_message: text(keys.last_message).map(|message| cut(message, MESSAGE_MAX).to_owned()),
            prompt: text(keys.prompt).map(unwrapped),
            trouble: text(keys.trouble).map(|kind| trouble(kind, text(keys.last_message))),
        })
    }

    fn transcript(&self, native_id: &str, env: &[(String, String)]) -> Option<Utf8PathBuf> {
        (self.sheet.own?.file)(native_id, env)
    }

    fn note(&self, line: &str) -> Option<Note> {
        (self.sheet.own?.note)(line)
    }

    fn prompt(&self) -> Option<Prompt> {
        let rules = self.sheet.screen?;
        Some(Prompt {
            mark: rules.mark.to_owned(),
            clear: rules.clear.to_owned(),
            above: rules.above.to_owned(),
            folded: rules.folded.to_owned(),
        })
    }

    fn shows(&self, screen: &Screen) -> Shows {
        self.sheet
            .screen
            .map_or_else(Shows::default, |rules| (rules.shows)(screen))
    }
}

/// A prompt without the marks that Claude Code puts around what was pasted: `<pasted_content id="…">` and its end.
fn unwrapped(prompt: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(prompt.len()), prompt);
    while let Some(begin) = rest.find('<') {
        out.push_str(&rest[..begin]);
        rest = &rest[begin..];
        let is_mark = rest.starts_with("<pasted_content id=") || rest.starts_with("</pasted_content id=");
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

/// A prompt as a title: one line without what a terminal would act on, and without the marks that Claude Code puts around what
/// was pasted.
fn in_one_line(prompt: &str) -> Option<String> {
    let words = prompt
        .split_whitespace()
        .filter(|word| !word.starts_with("<pasted_content") && !word.starts_with("</pasted_content"))
        .filter(|word| !(word.starts_with("id=\"") && word.ends_with("\">")));
    let line = words.collect::<Vec<_>>().join(" ");
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
