//! Agents: one small description each, and one engine that reads it.
//!
//! Adding an agent is adding a file with a [`Sheet`] and a line in `SHEETS`; the conformance tests below run over
//! the registry, so a new agent adds its cases by being in it.

mod shell;

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ao_domain::port::agent::{Agent, AgentError, Agents, Description, LaunchPlan, LaunchRequest};
use ao_domain::{ActivityState, Signal};

/// Everything that differs between agents.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// What is shown of it.
    pub description: Description,
    /// How its command line comes about.
    pub argv: Argv,
    /// Its own names for events, and the state each moves the session to (`None`: a mere sign of life).
    pub events: &'static [(&'static str, Option<ActivityState>)],
    /// Keys of the payload's JSON object that hold a title or a last message, best first.
    pub title_keys: &'static [&'static str],
}

/// How a command line comes about.
#[derive(Clone, Debug)]
pub enum Argv {
    /// The person gives the whole of it.
    Given,
}

/// Every agent there is, in the order to show them.
const SHEETS: &[&Sheet] = &[&shell::SHEET];

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
}

impl Agent for Described {
    fn description(&self) -> &Description {
        &self.sheet.description
    }

    fn plan(&self, request: &LaunchRequest<'_>) -> Result<LaunchPlan, AgentError> {
        let agent = || self.sheet.description.id.to_owned();
        match self.sheet.argv {
            Argv::Given => {
                let (program, arguments) = request
                    .command
                    .split_first()
                    .ok_or_else(|| AgentError::CommandRequired { agent: agent() })?;
                let program = find_program(program, request.worktree.as_std_path(), self.path.as_os_str())
                    .ok_or_else(|| AgentError::BinaryNotFound {
                        program: program.clone(),
                    })?;
                let argv = std::iter::once(program)
                    .chain(arguments.iter().cloned())
                    .collect();
                Ok(LaunchPlan {
                    argv,
                    env: Vec::new(),
                })
            }
        }
    }

    fn signal(&self, event: &str, payload: &str) -> Option<Signal> {
        let (_, state) = self.sheet.events.iter().find(|(native, _)| *native == event)?;
        let payload: Option<serde_json::Value> = serde_json::from_str(payload).ok();
        let title = payload.as_ref().and_then(|payload| {
            self.sheet
                .title_keys
                .iter()
                .find_map(|key| payload.get(key)?.as_str())
                .map(str::to_owned)
        });
        Some(Signal {
            state: *state,
            native_id: None,
            title,
        })
    }
}

/// The program to execute: as it stands when it names a file (seen from `worktree`), else the first executable of
/// that name on `path`.
fn find_program(program: &str, worktree: &Path, path: &OsStr) -> Option<String> {
    let runs = |file: &Path| {
        std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return runs(&worktree.join(program)).then(|| program.to_owned());
    }
    let found = std::env::split_paths(path)
        .map(|folder| folder.join(program))
        .find(|file| runs(file))?;
    found.to_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Registry {
        Registry::new(OsStr::new("/usr/bin:/bin"))
    }

    fn request(command: &[String]) -> LaunchRequest<'_> {
        // The id lives for the whole test run: a request borrows what its caller keeps.
        static SESSION: std::sync::LazyLock<ao_domain::SessionId> =
            std::sync::LazyLock::new(|| "web-1".parse().unwrap());
        LaunchRequest {
            session: &SESSION,
            prompt: None,
            command,
            worktree: "/".into(),
        }
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// What every agent owes, asked of every agent in the registry.
    #[test]
    fn conformance() {
        let registry = registry();
        for id in registry.ids() {
            let agent = registry.get(id).unwrap();
            assert_eq!(agent.description().id, id);
            assert!(!agent.description().name.is_empty());
            assert_eq!(agent.signal("no such event", "{}"), None, "{id}");
            for (event, state) in SHEETS
                .iter()
                .find(|sheet| sheet.description.id == id)
                .unwrap()
                .events
            {
                for payload in ["", "{}", "not json", "[1]", "{\"title\":7}"] {
                    assert_eq!(
                        agent.signal(event, payload).unwrap().state,
                        *state,
                        "{id} {event} {payload}"
                    );
                }
            }
        }
        let unknown = registry.get("cluade").err().unwrap().to_string();
        assert!(
            unknown.contains("cluade") && unknown.contains("shell"),
            "{unknown}"
        );
    }

    #[test]
    fn a_command_line_is_passed_on_as_it_is() {
        let command = words(&["sh", "-c", "echo \"a b\"; $X", "-", "\u{a0}"]);
        let plan = registry().get("shell").unwrap().plan(&request(&command)).unwrap();
        assert!(plan.argv[0].ends_with("/sh") && plan.argv[0].starts_with('/'));
        assert_eq!(plan.argv[1..], command[1..]);
    }

    #[test]
    fn what_cannot_start_is_refused_before_anything_happens() {
        let registry = registry();
        let plan = |command: &[&str]| registry.get("shell").unwrap().plan(&request(&words(command)));
        assert!(matches!(plan(&[]), Err(AgentError::CommandRequired { .. })));
        assert!(matches!(
            plan(&["no-such-program-here"]),
            Err(AgentError::BinaryNotFound { .. })
        ));
        assert!(
            matches!(plan(&["./etc/passwd"]), Err(AgentError::BinaryNotFound { .. })),
            "not executable"
        );
        assert_eq!(plan(&["./bin/sh"]).unwrap().argv, words(&["./bin/sh"]));
    }

    #[test]
    fn a_script_may_say_what_it_does() {
        let registry = registry();
        let shell = registry.get("shell").unwrap();
        let said = shell.signal("needs-decision", "{\"title\":\"deploy?\"}").unwrap();
        assert_eq!(said.state, Some(ActivityState::WaitingInput));
        assert_eq!(said.title.as_deref(), Some("deploy?"));
    }
}
