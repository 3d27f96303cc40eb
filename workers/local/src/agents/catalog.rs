//! The catalog: what each agent can do, by its description, and how its program is found on this machine.
//!
//! What a program says of itself is kept for as long as its file is the same. Packages are unpacked with the times of their makers,
//! so that the file's own times and size tell little: its number and the time of its last change do. A wrapper stays the same file
//! while what it starts is replaced; so nothing is kept for ever, and bad news only for a moment.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ao_domain::PermissionMode;
use ao_domain::foreign_text::in_line;
use ao_domain::port::PortFuture;
use ao_domain::port::agent::Style;
use ao_domain::port::catalog::{Abilities, Catalog, Entry, Finding, Installation, PromptBy, Standing};
use camino::{Utf8Path, Utf8PathBuf};
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::sheet::{Argv, Sheet, Word};
use super::{Checkup, SHEETS, find_program, in_places, launch, probe, value_of};

/// How many programs are asked at the same time: some take a second of a processor to say their version, and more at once would
/// pass their deadline for no fault of theirs.
const AT_ONCE: usize = 2;

/// How long what a program said holds, where its file is the same.
const GOOD: Duration = Duration::from_secs(600);

/// The same of one that did not start, or did not do: what it is missing (a newer Node) changes without its file.
const BAD: Duration = Duration::from_secs(30);

/// How long an agent's own files may take to be read.
const READ: Duration = Duration::from_secs(5);

/// The agents there are, with programs looked up on one PATH and started in one environment.
pub struct AgentCatalog {
    path: OsString,
    env: Arc<[(String, String)]>,
    at_once: Semaphore,
    known: Mutex<HashMap<Utf8PathBuf, Slot>>,
}

/// What is known of a program. Held while it is asked: who comes meanwhile waits for the same answer.
type Slot = Arc<tokio::sync::Mutex<Option<Known>>>;

struct Known {
    file: Print,
    at: Instant,
    says: Says,
}

/// What tells one file from another in the same place.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Print {
    inode: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
    size: u64,
}

impl Print {
    fn of(file: &Utf8Path) -> Option<Self> {
        let found = std::fs::metadata(file).ok()?;
        Some(Self {
            inode: (found.dev(), found.ino()),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
            size: found.size(),
        })
    }
}

/// What a program says of itself.
#[derive(Clone)]
struct Says {
    version: Option<String>,
    standing: Standing,
    findings: Vec<Finding>,
}

impl AgentCatalog {
    /// Every agent, with programs looked up on `path` and started with `env`, as agents are.
    pub fn new(path: &OsStr, env: &[(String, String)]) -> Self {
        Self {
            path: path.to_owned(),
            env: env.into(),
            at_once: Semaphore::new(AT_ONCE),
            known: Mutex::default(),
        }
    }

    async fn entry(&self, sheet: &'static Sheet) -> Entry {
        let installation = match (&sheet.argv, &sheet.checkup) {
            (Argv::Made { program, places, .. }, Some(checkup)) => {
                Some(self.installation(program, places, checkup).await)
            }
            _ => None,
        };
        Entry {
            id: sheet.description.id,
            name: sheet.description.name,
            abilities: abilities(sheet),
            installation,
        }
    }

    async fn installation(
        &self,
        program: &'static str,
        places: &[&str],
        checkup: &'static Checkup,
    ) -> Installation {
        let path = find_program(program, Path::new("/"), &self.path)
            .or_else(|| in_places(value_of(&self.env, "HOME")?, places))
            .map(Utf8PathBuf::from);
        let mut says = match &path {
            Some(path) => self.asked(path, checkup).await,
            None => Says {
                version: None,
                standing: Standing::Missing,
                findings: vec![Finding::bad(
                    "program",
                    format!("`{program}` was not found on PATH"),
                    format!("install it, or start the daemon with a PATH that has `{program}`"),
                )],
            },
        };
        if !matches!(says.standing, Standing::Missing | Standing::Broken) {
            says.findings.extend(self.own_files(checkup).await);
        }
        Installation {
            program,
            path,
            version: says.version,
            verified: verified(checkup),
            standing: says.standing,
            findings: says.findings,
        }
    }

    /// What the program says, or has said while it was this file.
    async fn asked(&self, path: &Utf8Path, checkup: &'static Checkup) -> Says {
        let slot = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(path.to_owned()).or_default())
        };
        let mut slot = slot.lock().await;
        let file = Print::of(path);
        if let Some(known) = slot.as_ref() {
            let is_well = |finding: &Finding| finding.remedy.is_none();
            let holds = if known.says.findings.iter().all(is_well) {
                GOOD
            } else {
                BAD
            };
            if Some(known.file) == file && known.at.elapsed() < holds {
                return known.says.clone();
            }
        }
        let says = {
            // It is never closed; without a turn everything would still be right, only slower.
            let _turn = self.at_once.acquire().await;
            look(path, checkup, &self.env).await
        };
        *slot = file.map(|file| Known {
            file,
            at: Instant::now(),
            says: says.clone(),
        });
        says
    }

    async fn own_files(&self, checkup: &'static Checkup) -> Vec<Finding> {
        let env = Arc::clone(&self.env);
        let read = tokio::task::spawn_blocking(move || (checkup.own_files)(&env));
        match tokio::time::timeout(READ, read).await {
            Ok(Ok(findings)) => findings,
            Ok(Err(_)) | Err(_) => vec![Finding::bad(
                "settings",
                "its own files could not be read",
                "see that the home directory answers",
            )],
        }
    }
}

impl Catalog for AgentCatalog {
    fn all(&self) -> PortFuture<'_, Vec<Entry>> {
        Box::pin(join_all(SHEETS.iter().map(|sheet| self.entry(sheet))))
    }

    fn one<'a>(&'a self, id: &'a str) -> PortFuture<'a, Option<Entry>> {
        Box::pin(async move {
            let sheet = SHEETS.iter().find(|sheet| sheet.description.id == id)?;
            Some(self.entry(sheet).await)
        })
    }
}

fn verified(checkup: &Checkup) -> Option<&'static str> {
    (!checkup.seen.is_empty()).then_some(checkup.seen)
}

async fn look(path: &Utf8Path, checkup: &Checkup, env: &[(String, String)]) -> Says {
    let broken = |standing, said| Says {
        version: None,
        standing,
        findings: vec![Finding::bad(
            "program",
            said,
            format!("try it yourself: {path} --version; then install it anew"),
        )],
    };
    let said = match probe::ask(path, "--version", env).await {
        Ok(said) => said,
        Err(why) => return broken(Standing::Broken, format!("it does not start: {why}")),
    };
    let Some(version) = probe::version_in(&said) else {
        let said = in_line(said.trim().lines().next().unwrap_or_default(), 80);
        return broken(Standing::Unknown, format!("`{said}` names no version"));
    };
    let standing = match verified(checkup) {
        None => Standing::Unverified,
        Some(verified) => against(version, verified),
    };
    Says {
        version: Some(version.to_owned()),
        standing,
        findings: vec![options(path, checkup, env).await],
    }
}

/// How `version` stands to the one whose behaviour was seen.
fn against(version: &str, verified: &str) -> Standing {
    if version == verified {
        return Standing::Verified;
    }
    match probe::numbers(version).cmp(probe::numbers(verified)) {
        Ordering::Less => Standing::Older,
        // The same numbers with something behind them: a build that nobody has seen.
        Ordering::Equal | Ordering::Greater => Standing::Newer,
    }
}

/// Whether it takes what it is started with, those that name our hooks too.
async fn options(path: &Utf8Path, checkup: &Checkup, env: &[(String, String)]) -> Finding {
    let other = match verified(checkup) {
        Some(version) => format!("install version {version}"),
        None => "install its newest version".to_owned(),
    };
    match probe::ask(path, "--help", env).await {
        Err(why) => Finding::bad(
            "program",
            format!("what it takes is not known, for its `--help` says nothing: {why}"),
            format!("try it yourself: {path} --help"),
        ),
        Ok(help) => {
            let unknown: Vec<&str> = checkup
                .options
                .iter()
                .copied()
                .filter(|option| !probe::names(&help, option))
                .collect();
            if unknown.is_empty() {
                Finding::good("options", "knows every option that it is started with")
            } else {
                Finding::bad("options", format!("does not know {}", unknown.join(", ")), other)
            }
        }
    }
}

/// What a sheet says of an agent, put into yes and no.
fn abilities(sheet: &Sheet) -> Abilities {
    let (description, words) = (&sheet.description, words(sheet));
    let has = |is: fn(&Word) -> bool| words.iter().any(is);
    let chooses_mode = has(|word| matches!(word, Word::Mode(_)));
    let modes = [
        PermissionMode::Default,
        PermissionMode::AcceptEdits,
        PermissionMode::Auto,
        PermissionMode::BypassPermissions,
    ];
    Abilities {
        interactive: description.style == Style::Interactive,
        takes_messages: description.takes.is_some(),
        queues_messages: description.takes.is_some_and(|takes| takes.queues),
        permission_modes: modes
            .into_iter()
            .filter(|mode| match mode {
                PermissionMode::Default => true,
                mode => chooses_mode && launch::offers(words, *mode),
            })
            .collect(),
        model: has(|word| matches!(word, Word::Model(_))),
        // Its conversation has a name that only it knows: one that tells nothing does not tell that either.
        resume: has(|word| matches!(word, Word::Resumed(_)))
            && (description.reports || has(|word| matches!(word, Word::Begun(_)))),
        prompt: match &sheet.argv {
            Argv::Given => PromptBy::Command,
            Argv::Made { .. } if description.prompted => PromptBy::Argument,
            Argv::Made { .. } => PromptBy::FirstMessage,
        },
        reports: description.reports,
        own_record: description.transcribes,
        answers_dialogs: sheet.screen.is_some_and(|rules| !rules.dialogs.is_empty()),
    }
}

fn words(sheet: &Sheet) -> &'static [Word] {
    match sheet.argv {
        Argv::Given => &[],
        Argv::Made { words, .. } => words,
    }
}

#[cfg(test)]
mod tests;
