//! What every runtime has in common: one small holder process per run, reached through its own socket.
//!
//! # Theory of operation
//! [`Runs::create`](ao_domain::port::runtime::Runtime::create) writes down what is to be started, takes the
//! run's lock and has a holder ([`host`]) started that inherits it. From then on the holder needs nobody: daemons come
//! and go, ask it over the socket ([`wire`]) and read its files. Three things tell how a run stands, in this order: the
//! lock (somebody holds the run, perhaps frozen), the holder's answer, and the exit record.
//!
//! | lock | answer | exit record | the run is |
//! |---|---|---|---|
//! | held | yes | | running or ended, as it says |
//! | held | no | | silent: nobody knows |
//! | free | | yes | ended |
//! | free | | no | gone: the holder was killed, or the machine was restarted |
//!
//! Runtimes differ in who starts the holder and in what stands around it (`Around`): nothing under `pty`, a
//! multiplexer's session elsewhere. That is asked when a run begins and when it is removed, and never in between.
//!
//! # What it does not do
//! Nothing that matters is kept in memory between calls (only how long an exit record has been waited for), and no
//! process is started to look at one. A holder that does not answer is never taken for dead.

mod around;
pub mod attach;
mod client;
mod create;
pub(super) mod family;
pub(super) mod files;
pub mod host;
pub(super) mod viewer;
pub(super) mod watch;
pub mod wire;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ao_domain::port::PortFuture;
use ao_domain::port::runtime::{
    Held, Launch, Look, Press, Prompt, Runtime, RuntimeError, RuntimeRef, Screen, Size, Stray, Typing,
};
use ao_domain::{Exit, ProcessId};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::Signal;
use tokio::time::Instant;

pub(super) use self::around::{Around, Start, command};
use self::client::Trouble;
use self::files::{ExitRecord, LockState, RunDir, io_error};
use self::watch::Watch;
use self::wire::{Cells, Frame, Refusal, Status};

/// Within what a holder answers a look; it needs less than a millisecond unless it is stopped.
const ASK: Duration = Duration::from_secs(1);

/// Within what a message is typed: its pause and those of the messages before it.
const TYPE: Duration = Duration::from_secs(15);

/// What ending takes beyond its grace: told, killed, swept, written down.
const END: Duration = Duration::from_secs(6);

/// What an agent gets that still runs when its run is destroyed.
const DESTROY_GRACE: Duration = Duration::from_millis(500);

/// A look is worth repeating after this even if nothing was heard: holders that freeze give no event. Sweeps find them sooner, and
/// whoever waits looks by itself where there are none: this is the net below both.
const NET: Duration = Duration::from_secs(5 * 60);

/// The same for a holder that is stopped: its going on gives no event at all.
const STOPPED_NET: Duration = Duration::from_secs(1);

/// Between an agent's end and its exit record lie its last output and a write to disk. Doubled each time it was waited
/// in vain, up to [`LONGEST_RECORD_NET`]: on a full disk there is no record for hours, after a killed holder never.
const RECORD_NET: Duration = Duration::from_millis(20);

/// The longest pause between two looks for a record that is missing.
const LONGEST_RECORD_NET: Duration = Duration::from_secs(30);

/// The runs below one directory, and what stands around each.
#[derive(Clone, Debug)]
pub struct Runs {
    /// The directory of all runs, made when needed.
    root: Utf8PathBuf,
    around: Arc<dyn Around>,
    /// The next wait for an exit record, for the runs that miss theirs. Lost, it begins small again.
    overdue: Arc<Mutex<HashMap<RuntimeRef, Duration>>>,
}

fn held(status: Status) -> Held {
    Held {
        holder: status.holder,
        agent: status.agent,
        exit: status.exit,
    }
}

impl Runs {
    /// Touches nothing.
    pub(super) fn new(root: Utf8PathBuf, around: impl Around) -> Self {
        Self {
            root,
            around: Arc::new(around),
            overdue: Arc::default(),
        }
    }

    /// The directory of all runs.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    fn dir(&self, at: &RuntimeRef) -> RunDir {
        RunDir::of(&self.root, at)
    }

    async fn look_at(&self, at: &RuntimeRef) -> Result<Look, RuntimeError> {
        let dir = self.dir(at);
        let until = Instant::now() + ASK;
        loop {
            if !dir
                .exists()
                .map_err(io_error("looking for the run", dir.path()))?
            {
                return Ok(Look::Absent);
            }
            let lock = dir
                .lock_state()
                .map_err(io_error("looking at the run's lock", dir.path()))?;
            if lock == LockState::Free {
                return look_at_files(&dir);
            }
            match client::status(&dir, until - Instant::now()).await {
                Ok(status) => {
                    let held = held(status);
                    return Ok(match held.exit {
                        Some(_) => Look::Ended(held),
                        None => Look::Running(held),
                    });
                }
                // It went between the two: the files say how, unless another holder has come already.
                Err(Trouble::Gone) if Instant::now() < until => {}
                Err(Trouble::Gone | Trouble::Silent(_)) => return Ok(Look::Silent),
                Err(trouble @ (Trouble::Nonsense(_) | Trouble::TooOld)) => {
                    return Err(trouble.into_error("looking"));
                }
            }
        }
    }

    /// From the call on, not from the first poll: whoever looks between the two misses nothing.
    fn watch_for_change<'a>(&'a self, at: &'a RuntimeRef) -> impl Future<Output = ()> + Send + 'a {
        let dir = self.dir(at);
        let (holder, agent) = dir.named().unwrap_or_default();
        let ended = matches!(dir.exit(), Ok(Some(_)));
        let holder_watch = holder.as_ref().and_then(Watch::on);
        let agent_watch = agent.as_ref().filter(|_| !ended).and_then(Watch::on);
        // The agent has ended, and its holder is about to say so or has ended with it: whoever looked before that was
        // told something else, and no event will come.
        let unrecorded = !ended && agent_watch.is_none() && holder.is_some() && agent.is_some();
        async move {
            let overdue = self.overdue(at, unrecorded);
            let net = match &holder {
                Some(holder) if family::is_stopped(holder) => overdue.min(STOPPED_NET),
                _ => overdue,
            };
            tokio::select! {
                () = over(holder_watch.as_ref()) => {}
                () = over(agent_watch.as_ref()) => {}
                () = tokio::time::sleep(net) => {}
            }
        }
    }

    /// How long to wait for what gives no event: longer each time while a record is missing, else [`NET`].
    fn overdue(&self, at: &RuntimeRef, unrecorded: bool) -> Duration {
        let mut overdue = self.overdue.lock().unwrap_or_else(PoisonError::into_inner);
        if !unrecorded {
            overdue.remove(at);
            return NET;
        }
        let next = overdue.entry(at.clone()).or_insert(RECORD_NET);
        let now = *next;
        *next = now.saturating_mul(2).min(LONGEST_RECORD_NET);
        now
    }

    /// One call that a living holder answers.
    async fn call(
        &self,
        at: &RuntimeRef,
        question: Frame,
        doing: &'static str,
        patience: Duration,
    ) -> Result<Frame, RuntimeError> {
        match self.try_call(at, &question, patience).await? {
            Ok(Frame::Refused(refusal)) => Err(refused(refusal)),
            Ok(frame) => Ok(frame),
            Err(Trouble::Gone) => Err(self.without_holder(at)?),
            Err(trouble) => Err(trouble.into_error(doing)),
        }
    }

    async fn try_call(
        &self,
        at: &RuntimeRef,
        question: &Frame,
        patience: Duration,
    ) -> Result<Result<Frame, Trouble>, RuntimeError> {
        let dir = self.dir(at);
        if !dir
            .exists()
            .map_err(io_error("looking for the run", dir.path()))?
        {
            return Err(RuntimeError::Absent(at.clone()));
        }
        Ok(client::ask(&dir, question, ASK, patience).await)
    }

    /// What to say of a run whose holder is gone.
    fn without_holder(&self, at: &RuntimeRef) -> Result<RuntimeError, RuntimeError> {
        Ok(match self.exit_record(at)? {
            Some(record) => RuntimeError::Ended { exit: record.exit },
            None => RuntimeError::Absent(at.clone()),
        })
    }

    fn exit_record(&self, at: &RuntimeRef) -> Result<Option<ExitRecord>, RuntimeError> {
        let dir = self.dir(at);
        dir.exit()
            .map_err(io_error("reading the exit record", dir.path()))
    }

    /// What a call answers from the exit record once the holder is gone.
    async fn call_or_record<T>(
        &self,
        at: &RuntimeRef,
        question: Frame,
        doing: &'static str,
        from_record: impl FnOnce(ExitRecord) -> T,
        from_frame: impl FnOnce(Frame) -> Result<T, Frame>,
    ) -> Result<T, RuntimeError> {
        match self.try_call(at, &question, ASK).await? {
            Ok(frame) => from_frame(frame).map_err(unexpected),
            Err(Trouble::Gone) => self
                .exit_record(at)?
                .map(from_record)
                .ok_or_else(|| RuntimeError::Absent(at.clone())),
            Err(trouble) => Err(trouble.into_error(doing)),
        }
    }

    async fn end(&self, at: &RuntimeRef, grace: Duration) -> Result<Option<Exit>, RuntimeError> {
        let dir = self.dir(at);
        let (holder, _) = dir.named().map_err(io_error("reading the record", dir.path()))?;
        if let Some(holder) = &holder
            && family::is_stopped(holder)
        {
            family::signal_process(holder, Signal::CONT); // somebody stopped it; it has work to do
        }
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        match self
            .try_call(at, &Frame::Kill(grace_ms), grace.saturating_add(END))
            .await?
        {
            Ok(Frame::Ended(exit)) => Ok(Some(exit)),
            Ok(Frame::Refused(refusal)) => Err(refused(refusal)),
            Ok(other) => Err(unexpected(other)),
            Err(Trouble::Gone) => {
                let kin = dir.kin().map_err(io_error("reading the record", dir.path()))?;
                family::end_without_holder(&kin, grace).await;
                Ok(self.exit_record(at)?.map(|record| record.exit))
            }
            Err(trouble) => Err(trouble.into_error("ending the agent")),
        }
    }

    async fn remove(&self, at: &RuntimeRef) -> Result<(), RuntimeError> {
        self.overdue(at, false); // its name may come again
        let dir = self.dir(at);
        let aside = files::aside(&self.root, at);
        let until = Instant::now() + END;
        while dir
            .exists()
            .map_err(io_error("looking for the run", dir.path()))?
        {
            let lock = dir
                .take_lock()
                .map_err(io_error("taking the run's lock", dir.path()))?;
            if let Some(_lock) = lock {
                // Nobody holds the run. What a killed holder left goes first, while it is on record by what to tell it.
                let kin = dir.kin().map_err(io_error("reading the record", dir.path()))?;
                family::end_without_holder(&kin, DESTROY_GRACE).await;
                self.around.clear(at).await?; // while the run is still on record
                remove_tree(&aside).map_err(io_error("removing an earlier run", &aside))?;
                fs::rename(dir.path(), &aside).map_err(io_error("moving the run aside", dir.path()))?;
                break;
            }
            match self.end(at, DESTROY_GRACE).await {
                Ok(_) => match self.try_call(at, &Frame::Bye, ASK).await? {
                    Ok(_) | Err(Trouble::Gone) => {}
                    Err(_) => kill_holder(&dir).await,
                },
                Err(RuntimeError::Absent(_)) => {}
                Err(_) if Instant::now() < until => kill_holder(&dir).await,
                Err(error) => return Err(error),
            }
            wait_for_lock(&dir).await;
            if Instant::now() >= until {
                return Err(RuntimeError::NoAnswer {
                    doing: "ending the holder",
                    source: None,
                });
            }
        }
        remove_tree(&aside).map_err(io_error("removing the run", &aside))?;
        if let Some(session) = dir.path().parent() {
            let _ = fs::remove_dir(session); // holds other runs: then it stays
        }
        Ok(())
    }
}

/// What the files say once nobody holds the run.
fn look_at_files(dir: &RunDir) -> Result<Look, RuntimeError> {
    if let Some(record) = dir
        .exit()
        .map_err(io_error("reading the exit record", dir.path()))?
    {
        return Ok(Look::Ended(record.held()));
    }
    let (holder, agent) = dir.named().map_err(io_error("reading the record", dir.path()))?;
    let Some(holder) = holder else {
        return Ok(Look::Absent); // a creator was cut short before it had started anything
    };
    let agent_alive = match &agent {
        Some(agent) => {
            crate::process::is_alive(agent).map_err(io_error("looking for the agent", dir.path()))?
        }
        None => false,
    };
    Ok(Look::Gone {
        held: agent.map(|agent: ProcessId| Held {
            holder,
            agent,
            exit: None,
        }),
        agent_alive,
    })
}

async fn over(watch: Option<&Watch>) {
    match watch {
        Some(watch) => watch.ended().await,
        None => std::future::pending().await,
    }
}

/// The last means: the holder does not answer, or does not go.
async fn kill_holder(dir: &RunDir) {
    if let Ok((Some(holder), _)) = dir.named() {
        family::kill_holder(&holder).await;
    }
}

/// Waits a little for whoever has the lock to end.
async fn wait_for_lock(dir: &RunDir) {
    const LOOK_AGAIN: Duration = Duration::from_millis(5);
    let until = Instant::now() + ASK;
    while matches!(dir.lock_state(), Ok(LockState::Held)) && Instant::now() < until {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn remove_tree(path: &Utf8Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn refused(refusal: Refusal) -> RuntimeError {
    let withheld = wire::WITHHELD.iter().find(|(word, _)| *word == refusal.code);
    match (refusal.exit, withheld) {
        (Some(exit), _) => RuntimeError::Ended { exit },
        (None, Some((_, why))) => RuntimeError::Withheld(*why),
        (None, None) => RuntimeError::Protocol(refusal.text),
    }
}

fn unexpected(frame: Frame) -> RuntimeError {
    match frame {
        Frame::Refused(refusal) => refused(refusal),
        other => RuntimeError::Protocol(format!("an answer to another question: {other:?}")),
    }
}

fn done(frame: Frame) -> Result<(), RuntimeError> {
    match frame {
        Frame::Done => Ok(()),
        other => Err(unexpected(other)),
    }
}

impl Runtime for Runs {
    fn name(&self) -> &'static str {
        self.around.name()
    }

    fn create<'a>(&'a self, launch: &'a Launch) -> PortFuture<'a, Result<Held, RuntimeError>> {
        Box::pin(create::create(self, launch))
    }

    fn look<'a>(&'a self, at: &'a RuntimeRef) -> PortFuture<'a, Result<Look, RuntimeError>> {
        Box::pin(self.look_at(at))
    }

    fn changed<'a>(&'a self, at: &'a RuntimeRef) -> PortFuture<'a, ()> {
        Box::pin(self.watch_for_change(at))
    }

    fn type_text<'a>(
        &'a self,
        at: &'a RuntimeRef,
        what: Typing<'a>,
    ) -> PortFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async move {
            let message = Frame::Message(Box::new(wire::Message {
                text: what.text.to_owned(),
                id: what.id.map(str::to_owned),
                prompt: what.prompt.map(wire::Line::from),
            }));
            done(self.call(at, message, "typing a message", TYPE).await?)
        })
    }

    fn takes<'a>(
        &'a self,
        at: &'a RuntimeRef,
        prompt: &'a Prompt,
    ) -> PortFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async move {
            let takes = Frame::Takes(Box::new(prompt.into()));
            done(
                self.call(at, takes, "looking where it takes a text", TYPE)
                    .await?,
            )
        })
    }

    fn press<'a>(&'a self, at: &'a RuntimeRef, what: Press<'a>) -> PortFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async move {
            let press = Frame::Press(Box::new(wire::Press {
                id: what.id.to_owned(),
                keys: what.keys.to_owned(),
                showing: what.showing.to_vec(),
                prompt: what.prompt.map(wire::Line::from),
                moves: what.moves.map(wire::Moves::from),
            }));
            done(self.call(at, press, "pressing keys", TYPE).await?)
        })
    }

    fn screen<'a>(&'a self, at: &'a RuntimeRef) -> PortFuture<'a, Result<Screen, RuntimeError>> {
        Box::pin(self.call_or_record(
            at,
            Frame::Screen,
            "reading the screen",
            |record| record.screen.into(),
            |frame| match frame {
                Frame::ScreenIs(shown) => Ok(shown.into()),
                other => Err(other),
            },
        ))
    }

    fn tail<'a>(
        &'a self,
        at: &'a RuntimeRef,
        lines: usize,
    ) -> PortFuture<'a, Result<Vec<String>, RuntimeError>> {
        Box::pin(self.call_or_record(
            at,
            Frame::Tail(u32::try_from(lines).unwrap_or(u32::MAX)),
            "reading the scrollback",
            move |mut record| record.tail.split_off(record.tail.len().saturating_sub(lines)),
            |frame| match frame {
                Frame::TailIs(lines) => Ok(lines),
                other => Err(other),
            },
        ))
    }

    fn resize<'a>(&'a self, at: &'a RuntimeRef, size: Size) -> PortFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async move {
            let resize = Frame::Resize(Cells {
                cols: size.cols,
                rows: size.rows,
            });
            done(self.call(at, resize, "changing the size", ASK).await?)
        })
    }

    fn stop<'a>(
        &'a self,
        at: &'a RuntimeRef,
        grace: Duration,
    ) -> PortFuture<'a, Result<Option<Exit>, RuntimeError>> {
        Box::pin(self.end(at, grace))
    }

    fn destroy<'a>(&'a self, at: &'a RuntimeRef) -> PortFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.remove(at))
    }

    fn list(&self) -> PortFuture<'_, Result<Vec<RuntimeRef>, RuntimeError>> {
        Box::pin(async move { files::list(&self.root).map_err(io_error("listing runs", &self.root)) })
    }

    fn strays(&self) -> PortFuture<'_, Result<Vec<Stray>, RuntimeError>> {
        Box::pin(async move {
            let doing = "looking for what is no run";
            let runs = files::list(&self.root).map_err(io_error(doing, &self.root))?;
            let mut found = files::strays(&self.root).map_err(io_error(doing, &self.root))?;
            found.extend(self.around.strays(&runs)?);
            Ok(found)
        })
    }
}
