//! The demo's story: three agents, three accidents, and what came of them.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use ao_api::wire::{Node, Session, Status, Tree};
use ao_domain::port::runtime::{Runtime as _, RuntimeRef, Typing};
use ao_domain::{ProcessId, SessionId};
use ao_local::runtimes::holder::Runs;
use ao_local::spool;
use camino::Utf8PathBuf;
use tokio::time::Instant;

use super::agent::{NOTES, Role};
use super::checks::{self, Actor, Deeds};
use super::journal::{self, Deed};
use super::place::{Place, failed, journal, short};
use super::teller::{Check, Teller};
use super::{DemoError, processes};
use crate::client::{Daemon, Events};
use crate::commands::{session, tree};
use crate::error::CliError;
use crate::presence::{self, Trace};
use crate::render::Tone;

/// The longest the demo waits for anything; what it waits for takes about a second.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often to look at what nobody announces: agents' journals, processes, the tree.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How many commits the fixer makes while no daemon is there.
const UNSEEN: usize = 2;

/// The story while it is told.
pub(super) struct Story<'a, 'b> {
    place: &'a Place,
    teller: &'a mut Teller<'b>,
    terminals: Runs,
    daemon: Option<Daemon>,
    /// Every daemon there was.
    daemons: Vec<ProcessId>,
    events: Option<Events>,
    cast: BTreeMap<Role, Actor>,
    /// What was told of each session last.
    told: BTreeMap<SessionId, (Status, String)>,
    /// How many of its commits were told of each agent, or seen while there was a daemon.
    seen_commits: BTreeMap<Role, usize>,
}

/// What there is to be seen at one moment.
struct Sight {
    sessions: Vec<Session>,
    deeds: Deeds,
}

impl Sight {
    fn status(&self, role: Role) -> Option<Status> {
        self.session(role).map(|session| session.status)
    }

    fn session(&self, role: Role) -> Option<&Session> {
        checks::of(&self.sessions, role)
    }

    fn commits(&self, role: Role) -> usize {
        checks::commits(&self.deeds, role).count()
    }

    /// Whether the agent itself says that it waits for work.
    fn waits(&self, role: Role) -> bool {
        checks::last_word(&self.deeds, role).is_some_and(|(event, _)| event == "waiting-for-work")
    }
}

impl<'a, 'b> Story<'a, 'b> {
    pub(super) fn new(place: &'a Place, teller: &'a mut Teller<'b>) -> Self {
        let [terminals, _] = ao_local::runtimes::kept_in(&place.places().data_dir);
        Self {
            place,
            teller,
            terminals,
            daemon: None,
            daemons: Vec::new(),
            events: None,
            cast: BTreeMap::new(),
            told: BTreeMap::new(),
            seen_commits: BTreeMap::new(),
        }
    }

    /// Tells everything up to the verdict. Dropping the future leaves things as they are; the place's end ends them.
    ///
    /// # Errors
    /// When something that has to happen does not.
    pub(super) async fn play(&mut self) -> Result<(), CliError> {
        self.side_by_side().await?;
        self.an_agent_is_killed().await?;
        self.a_task_panics().await?;
        self.the_daemon_is_killed().await?;
        self.verdict().await
    }

    async fn side_by_side(&mut self) -> Result<(), CliError> {
        self.teller.act("1. Three agents, side by side")?;
        let commits = self.place.make_repository().await?;
        let repo = self.place.repo();
        self.teller
            .say(format!("a repository of {commits} commits: {repo}"))?;
        self.start_daemon().await?;
        self.ao(&["project", "add", repo.as_str()]).await?;
        for role in Role::ALL {
            let name = role.as_str();
            self.ao_quietly(&[
                "spawn",
                "--detach",
                "--name",
                name,
                "--",
                "ao",
                "demo-agent",
                name,
            ])
            .await?;
        }
        let sight = self
            .until("the three agents at work", |sight| {
                sight.status(Role::Fixer) == Some(Status::Working)
                    && sight.commits(Role::Fixer) > 0
                    && sight.status(Role::Asker) == Some(Status::NeedsInput)
                    && sight.status(Role::Scribe) == Some(Status::Idle)
            })
            .await?;
        for role in Role::ALL {
            let session = sight.session(role).ok_or_else(|| self.gone(role))?;
            let named = |pid: Option<u32>| {
                pid.and_then(|pid| ao_local::process::identify(pid).transpose())
                    .transpose()
                    .map_err(failed("looking at an agent's process", "/proc"))
            };
            let (Some(agent), Some(holder)) = (named(session.agent_pid)?, named(session.holder_pid)?) else {
                return Err(self.gone(role));
            };
            let actor = Actor {
                id: session.id.clone(),
                generation: session.generation,
                agent,
                holder,
                worktree: Utf8PathBuf::from(&session.worktree.path),
                branch: session.branch.clone(),
            };
            self.cast.insert(role, actor);
        }
        self.table(&sight)
    }

    async fn an_agent_is_killed(&mut self) -> Result<(), CliError> {
        self.teller
            .act("2. An agent is killed, and has not committed its work")?;
        let scribe = self.actor(Role::Scribe)?;
        self.kill_9(&scribe.agent)?;
        let sight = self
            .until("the killed agent's session to be terminated", |sight| {
                sight.status(Role::Scribe) == Some(Status::Terminated)
            })
            .await?;
        let lines = checks::notes(&sight.deeds).map_or(0, |text| text.lines().count());
        self.teller.say(format!(
            "the {lines} lines it wrote and did not commit are where it left them:"
        ))?;
        self.git(&["-C", scribe.worktree.as_str(), "status", "--short"])
            .await
    }

    async fn a_task_panics(&mut self) -> Result<(), CliError> {
        self.teller
            .act("3. A task of the daemon panics: the one that looks after the fixer")?;
        let fixer = self.actor(Role::Fixer)?;
        let path = format!("ao/act/sessions/{}", fixer.id);
        let before = self.tree().await?;
        let old = incarnations(&before);
        self.ao(&["tree", "crash", &path]).await?;
        let end = Instant::now() + PATIENCE;
        let (after, node) = loop {
            let now = self.tree().await?;
            let back = node(&now, &path).filter(|node| {
                node.state == "running"
                    && node.ready_age_ms.is_some()
                    && node.incarnation > old.get(&path).copied()
            });
            if let Some(node) = back {
                let node = node.clone();
                break (now, node);
            }
            if Instant::now() >= end {
                let stands = node_in_words(&now, &path);
                return Err(late("the crashed task to be back", stands));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        let exit = node.last_exit.as_ref();
        let gap = exit.map_or(0, |exit| {
            exit.ago_ms.saturating_sub(node.ready_age_ms.unwrap_or_default())
        });
        let (from, to) = (old.get(&path).copied().unwrap_or_default(), node.incarnation);
        self.teller.say(format!(
            "incarnation {from} panicked; {} read the facts and took over within {gap} ms",
            to.unwrap_or_default()
        ))?;
        let commits = self.look().await?.commits(Role::Fixer);
        self.until("the fixer's next commit", |sight| {
            sight.commits(Role::Fixer) > commits
        })
        .await?;
        let new = incarnations(&after);
        let others = old.iter().filter(|(known, _)| **known != path);
        let moved: Vec<&str> = others
            .clone()
            .filter(|(known, incarnation)| new.get(*known) != Some(incarnation))
            .map(|(known, _)| known.as_str())
            .collect();
        let facts = if moved.is_empty() {
            format!(
                "the other {} are in the incarnations they were in",
                others.count()
            )
        } else {
            format!("these were started again, too: {}", moved.join(", "))
        };
        self.teller.check(Check::new(
            "one crash reaches one task, and no agent",
            moved.is_empty() && checks::lives(&fixer.agent)?,
            format!("{facts}; the fixer is process {} as before", fixer.agent.pid),
        ))
    }

    async fn the_daemon_is_killed(&mut self) -> Result<(), CliError> {
        self.teller.act("4. The daemon is killed, while agents work")?;
        let daemon = self.daemon.take().ok_or(CliError::NoDaemon)?;
        self.events = None;
        let process = daemon.run().process();
        self.kill_9(&process)?;
        let end = Instant::now() + PATIENCE;
        while checks::lives(&process)? {
            if Instant::now() >= end {
                return Err(late(
                    "the killed daemon to be gone",
                    format!("process {}", process.pid),
                ));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let waiting = self.reports_in_spool()?;
        let commits = self.look().await?.commits(Role::Fixer);
        self.teller.say("no daemon any more; the agents do not mind:")?;
        self.type_into(Role::Asker, "yes").await?;
        self.until("the agents to go on without a daemon", |sight| {
            sight.commits(Role::Fixer) >= commits + UNSEEN && sight.waits(Role::Asker)
        })
        .await?;
        let waiting = self.reports_in_spool()?.saturating_sub(waiting);
        self.teller.say(format!(
            "{waiting} reports of theirs lie in the spool, for nobody yet"
        ))?;
        self.start_daemon().await?;
        let sight = self
            .until("the daemon to know what happened meanwhile", |sight| {
                sight.status(Role::Fixer) == Some(Status::Working)
                    && sight.status(Role::Asker) == Some(Status::Idle)
                    && sight.status(Role::Scribe) == Some(Status::Terminated)
            })
            .await?;
        self.table(&sight)
    }

    async fn verdict(&mut self) -> Result<(), CliError> {
        self.teller.act("5. What was promised")?;
        self.type_into(Role::Fixer, "enough").await?;
        let sight = self
            .until("the fixer to wait for work", |sight| {
                sight.status(Role::Fixer) == Some(Status::Idle) && sight.waits(Role::Fixer)
            })
            .await?;
        self.teller
            .check(checks::same_processes(&self.cast, &sight.sessions)?)?;
        self.teller.check(checks::killed_is_terminated(&sight.sessions))?;
        self.teller
            .check(checks::reports_applied(&sight.sessions, &sight.deeds))?;
        for role in [Role::Fixer, Role::Asker] {
            let actor = self.actor(role)?;
            let branch = self.place.git(&["rev-list", &actor.branch, "^main"]).await?;
            self.teller
                .check(checks::commits_kept(role, &actor, &sight.deeds, &branch))?;
        }
        let scribe = self.actor(Role::Scribe)?;
        let found = fs::read_to_string(scribe.worktree.join(NOTES)).ok();
        self.teller
            .check(checks::notes_kept(&sight.deeds, found.as_deref()))?;
        let worktrees = self.place.git(&["worktree", "list", "--porcelain"]).await?;
        let members = processes::members(self.place.dir())
            .map_err(failed("looking for the demo's processes", "/proc"))?;
        self.teller
            .check(checks::one_of_each(&self.cast, &members, &worktrees))
    }

    /// Ends the sessions and the daemon as a person would.
    ///
    /// # Errors
    /// When something that has to happen does not.
    pub(super) async fn go_home(&mut self) -> Result<(), CliError> {
        self.teller.act("6. Cleaning up")?;
        let deeds = self.look().await?.deeds;
        let (fixer, asker) = (self.actor(Role::Fixer)?, self.actor(Role::Asker)?);
        for actor in [&fixer, &asker] {
            self.git(&["merge", "--quiet", "--no-edit", &actor.branch])
                .await?;
            self.ao(&["kill", actor.id.as_str()]).await?;
        }
        let scribe = self.actor(Role::Scribe)?;
        self.ao(&["kill", scribe.id.as_str()]).await?;
        self.teller
            .say("nobody needs these notes, they are the demo's own; so:")?;
        self.ao(&["kill", scribe.id.as_str(), "--discard"]).await?;
        let main = self.place.git(&["rev-list", "main"]).await?;
        self.teller.check(checks::merged(&deeds, &main))?;
        let rescue = self
            .look()
            .await?
            .session(Role::Scribe)
            .and_then(|session| session.worktree.rescue_ref.clone());
        let found = match &rescue {
            // What git prints ends where the file ends, but for the last line's end.
            Some(rescue) => self.place.git(&["show", &format!("{rescue}:{NOTES}")]).await.ok(),
            None => None,
        };
        self.teller
            .check(checks::rescued(&deeds, rescue.as_deref(), found.as_deref()))?;
        (self.daemon, self.events) = (None, None);
        self.ao(&["stop"]).await?;
        let mut ours = self.daemons.clone();
        for actor in self.cast.values() {
            ours.extend([actor.agent.clone(), actor.holder.clone()]);
        }
        let end = Instant::now() + PATIENCE;
        loop {
            let left = processes::members(self.place.dir())
                .map_err(failed("looking for the demo's processes", "/proc"))?;
            let mut alive = Vec::new();
            for process in &ours {
                if checks::lives(process)? {
                    alive.push(process.pid);
                }
            }
            alive.extend(left.iter().map(|member| member.process.pid));
            let over = Instant::now() >= end;
            if alive.is_empty() || over {
                let facts = if over {
                    format!("still there: process {alive:?}")
                } else {
                    format!(
                        "3 agents, their 3 holders, {} daemons: none of these processes runs",
                        self.daemons.len()
                    )
                };
                return self
                    .teller
                    .check(Check::new("nothing is left running", alive.is_empty(), facts));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    // What the acts are made of.

    async fn start_daemon(&mut self) -> Result<(), CliError> {
        self.ao(&["start"]).await?;
        let Trace::Warm(run) = presence::trace(&self.place.places().run_file)? else {
            return Err(CliError::NoDaemon);
        };
        // Whoever plays this inside a session of another daemon is no agent of this one.
        let daemon = Daemon::of(run, None);
        self.daemons.push(daemon.run().process());
        let head = daemon.head().await?;
        self.events = Some(daemon.events(head).await?);
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Runs `ao words` and shows it with what it printed.
    async fn ao(&mut self, words: &[&str]) -> Result<(), CliError> {
        let printed = self.place.ao(words).await?;
        self.teller.command(&format!("ao {}", words.join(" ")), &printed)
    }

    /// Runs `ao words` and shows it alone: what comes of it is told as it comes.
    async fn ao_quietly(&mut self, words: &[&str]) -> Result<(), CliError> {
        self.teller.command(&format!("ao {}", words.join(" ")), "")?;
        self.place.ao(words).await.map(drop)
    }

    async fn git(&mut self, words: &[&str]) -> Result<(), CliError> {
        let printed = self.place.git(words).await?;
        self.teller.command(&format!("git {}", words.join(" ")), &printed)
    }

    fn kill_9(&mut self, process: &ProcessId) -> Result<(), CliError> {
        self.teller.command(&format!("kill -9 {}", process.pid), "")?;
        processes::kill(process).map_err(failed("killing a process", format!("/proc/{}", process.pid)))
    }

    /// Types on an agent's terminal as an attached person would, by way of its holder: the daemon is not needed.
    async fn type_into(&mut self, role: Role, line: &str) -> Result<(), CliError> {
        let actor = self.actor(role)?;
        self.teller
            .say(format!("typed on the {}'s terminal: {line}", role.as_str()))?;
        let at = RuntimeRef {
            session: actor.id.clone(),
            generation: actor.generation,
        };
        self.terminals
            .type_text(&at, Typing::unseen(line))
            .await
            .map_err(|source| CliError::Attach {
                session: actor.id.to_string(),
                source,
            })
    }

    async fn tree(&self) -> Result<Tree, CliError> {
        tree::fetch(self.daemon.as_ref().ok_or(CliError::NoDaemon)?).await
    }

    fn actor(&self, role: Role) -> Result<Actor, CliError> {
        self.cast.get(&role).cloned().ok_or_else(|| self.gone(role))
    }

    fn gone(&self, role: Role) -> CliError {
        late("an agent's process", format!("the {} has none", role.as_str()))
    }

    /// How many reports the spool holds, applied or not.
    fn reports_in_spool(&self) -> Result<usize, CliError> {
        let folder = self.place.places().data_dir.join(spool::FOLDER);
        let count = || {
            let mut count = 0;
            for entry in fs::read_dir(&folder)? {
                let text = fs::read_to_string(entry?.path())?;
                count += text.lines().filter(|line| !line.is_empty()).count();
            }
            Ok(count)
        };
        count().map_err(failed("reading the spool", &folder))
    }

    /// Looks at everything once.
    async fn look(&self) -> Result<Sight, CliError> {
        let sessions = match &self.daemon {
            Some(daemon) => session::list(daemon, None).await?,
            None => Vec::new(),
        };
        let mut deeds = Deeds::new();
        for role in Role::ALL {
            let path = journal(&self.place.places().data_dir, role);
            let done = journal::read(&path).map_err(failed("reading an agent's journal", &path))?;
            deeds.insert(role, done);
        }
        Ok(Sight { sessions, deeds })
    }

    /// Looks and tells what changes, until `so` holds.
    async fn until(&mut self, what: &'static str, so: impl Fn(&Sight) -> bool) -> Result<Sight, CliError> {
        let end = Instant::now() + PATIENCE;
        loop {
            let sight = self.look().await?;
            self.tell(&sight)?;
            if so(&sight) {
                return Ok(sight);
            }
            if Instant::now() >= end {
                let stand: Vec<String> = sight.sessions.iter().map(in_words).collect();
                return Err(late(what, stand.join("; ")));
            }
            self.news().await;
        }
    }

    /// Resolves when something was announced, and otherwise soon: journals are announced by nobody.
    async fn news(&mut self) {
        let Some(events) = &mut self.events else {
            return tokio::time::sleep(LOOK_AGAIN).await;
        };
        if let Ok(None) = tokio::time::timeout(LOOK_AGAIN, events.next()).await {
            self.events = None;
        }
    }

    fn tell(&mut self, sight: &Sight) -> Result<(), CliError> {
        for session in &sight.sessions {
            let now = (session.status, last_word(session));
            let was = self.told.get(&session.id);
            if was == Some(&now) {
                continue;
            }
            let status = match was {
                Some((status, _)) if *status != now.0 => format!("{status} → {}", now.0),
                _ => now.0.to_string(),
            };
            let name = session.display_name.as_deref().unwrap_or(session.id.as_str());
            let status = self.teller.paint(session::tone(now.0), format!("{status:<24}"));
            self.teller.say(format!("{name:<7} {status} {}", now.1))?;
            self.told.insert(session.id.clone(), now);
        }
        for role in Role::ALL {
            let seen = self.seen_commits.entry(role).or_default();
            let new: Vec<&Deed> = checks::commits(&sight.deeds, role).skip(*seen).collect();
            *seen += new.len();
            if self.daemon.is_some() {
                continue; // the agent's reports are told already
            }
            for deed in new {
                if let Deed::Committed { commit, subject, .. } = deed {
                    let line = format!("{:<7} commits {}  {subject}", role.as_str(), short(commit));
                    self.teller.say(line)?;
                }
            }
        }
        Ok(())
    }

    fn table(&mut self, sight: &Sight) -> Result<(), CliError> {
        let rows: Vec<[String; 5]> = sight
            .sessions
            .iter()
            .map(|session| {
                [
                    session.id.to_string(),
                    session.display_name.clone().unwrap_or_default(),
                    session.status.to_string(),
                    session
                        .agent_pid
                        .filter(|_| !session.is_terminated)
                        .map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
                    last_word(session),
                ]
            })
            .collect();
        let tones: Vec<Tone> = sight
            .sessions
            .iter()
            .map(|session| session::tone(session.status))
            .collect();
        let head = ["SESSION", "AGENT", "STATUS", "PROCESS", "WHAT IS KNOWN"];
        self.teller.table(head, &rows, 2, &tones)
    }
}

/// What the agent says of itself while it lives and has said something; else why the status is what it is.
fn last_word(session: &Session) -> String {
    match (&session.title, session.status) {
        (Some(title), Status::Working | Status::NeedsInput | Status::Idle) => title.clone(),
        _ => session.reason.clone(),
    }
}

fn in_words(session: &Session) -> String {
    format!("{} is {} ({})", session.id, session.status, session.reason)
}

fn late(what: &'static str, stands: String) -> CliError {
    DemoError::Late {
        what,
        within: PATIENCE,
        stands,
    }
    .into()
}

fn node<'a>(tree: &'a Tree, path: &str) -> Option<&'a Node> {
    tree.nodes.iter().find(|node| node.path == path)
}

fn node_in_words(tree: &Tree, path: &str) -> String {
    node(tree, path).map_or_else(|| "it is not there".to_owned(), |node| node.state.clone())
}

/// The incarnation of every child, but for sweeps: those come and go.
fn incarnations(tree: &Tree) -> BTreeMap<String, u64> {
    let lasting = tree.nodes.iter().filter(|node| node.kind != "sweep");
    lasting
        .filter_map(|node| Some((node.path.clone(), node.incarnation?)))
        .collect()
}
