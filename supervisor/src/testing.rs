//! For tests: children that do what a test says, what they did, and waiting until nothing happens any more.
//!
//! Made for tokio's paused clock and a runtime of one thread, where nothing but the test decides what happens next. Feature
//! `testing`.
//!
//! ```
//! use ao_supervisor::testing::{Actor, Log, Say, settle};
//! use ao_supervisor::{Budget, Strategy, Supervisor};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), ao_supervisor::StartError> {
//! let log = Log::new();
//! let child = Actor::new("child", &log);
//! let budget = Budget::restarts(3).per(Duration::from_secs(5));
//! let root = Supervisor::root("ao", Strategy::OneForOne, budget).child(child.spec()).start().await?;
//! child.say(Say::Crash);
//! settle().await;
//! assert_eq!(log.take(), ["child up", "child down", "child up"]);
//! # root.stop().await;
//! # Ok(())
//! # }
//! ```

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::{ChildSpec, Context, Crash, Done, Event, Events, Heard, State, Tree};

/// Longer than anything waits; passes at once where the clock is paused.
const LIMIT: Duration = Duration::from_secs(100_000);

/// How a child that runs is made to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    /// It goes on.
    Nothing,
    /// It is done.
    Normal,
    /// It is done for a reason of its own.
    Term,
    /// It returns an error.
    Crash,
    /// It panics.
    Panic,
    /// It keeps its thread and never yields, until the log's [`Log::let_go`] is called. For runtimes of several threads.
    Spin,
}

/// What an incarnation does in its init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// Says that it is ready.
    Ready,
    /// Says that there is nothing to do.
    Ignore,
    /// Returns an error.
    Fail,
    /// Panics.
    Panic,
    /// Returns an error after this long.
    SlowFail(Duration),
    /// Is ready after this long.
    Slow(Duration),
    /// Is ready and hands this over.
    Extra(u64),
}

/// How it takes a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStop {
    /// It ends.
    Ends,
    /// It ends after this long.
    After(Duration),
    /// It does not listen.
    Deaf,
    /// It ends with an error.
    Fails,
    /// It ends for a reason of its own.
    Terms,
}

/// What children did, in order: `id up` and `id down`.
#[derive(Clone, Default)]
pub struct Log(Arc<Logged>);

#[derive(Default)]
struct Logged {
    lines: Mutex<Vec<String>>,
    free: std::sync::atomic::AtomicBool,
}

impl Log {
    /// An empty one.
    pub fn new() -> Log {
        Log::default()
    }

    /// Adds a line.
    pub fn say(&self, line: String) {
        lock(&self.0.lines).push(line);
    }

    /// All lines so far, which are forgotten.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.0.lines))
    }

    /// Ends every [`Say::Spin`].
    pub fn let_go(&self) {
        self.0.free.store(true, std::sync::atomic::Ordering::Release);
    }

    fn spin(&self) {
        while !self.0.free.load(std::sync::atomic::Ordering::Acquire) {
            std::hint::spin_loop();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Script {
    id: String,
    inits: Mutex<VecDeque<Init>>,
    then: Mutex<Init>,
    on_stop: OnStop,
    beats: bool,
    log: Log,
    say: watch::Sender<(u64, Say)>,
}

/// A child that does what its test says. Every incarnation follows the same script.
#[derive(Clone)]
pub struct Actor(Arc<Script>);

impl Actor {
    /// One that is ready at once, beats, and ends when it is asked to.
    pub fn new(id: &str, log: &Log) -> Actor {
        Actor::that(id, log, OnStop::Ends)
    }

    /// One that takes a stop in this way.
    pub fn that(id: &str, log: &Log, on_stop: OnStop) -> Actor {
        Actor::made(id, log, on_stop, true)
    }

    /// One that never beats.
    pub fn silent(id: &str, log: &Log) -> Actor {
        Actor::made(id, log, OnStop::Ends, false)
    }

    fn made(id: &str, log: &Log, on_stop: OnStop, beats: bool) -> Actor {
        Actor(Arc::new(Script {
            id: id.to_owned(),
            inits: Mutex::new(VecDeque::new()),
            then: Mutex::new(Init::Ready),
            on_stop,
            beats,
            log: log.clone(),
            say: watch::Sender::new((0, Say::Nothing)),
        }))
    }

    /// What the next incarnations do in their init, one each.
    pub fn inits(&self, inits: &[Init]) -> &Actor {
        lock(&self.0.inits).extend(inits);
        self
    }

    /// What all that follow those do.
    pub fn and_then(&self, init: Init) -> &Actor {
        *lock(&self.0.then) = init;
        self
    }

    /// Its specification: as [`ChildSpec::new`] makes it.
    pub fn spec(&self) -> ChildSpec {
        let script = self.0.clone();
        ChildSpec::new(script.id.clone(), move |ctx| play(ctx, script.clone()))
    }

    /// Tells the incarnation that runs to end so. One that does not run yet does not hear it.
    pub fn say(&self, say: Say) {
        self.0.say.send_modify(|(turn, said)| {
            *turn += 1;
            *said = say;
        });
    }
}

struct Leaving(Log, String);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.say(format!("{} down", self.1));
    }
}

async fn play(ctx: Context, script: Arc<Script>) -> Result<Done, Crash> {
    let mut heard = script.say.subscribe();
    heard.mark_unchanged();
    let init = lock(&script.inits).pop_front();
    let init = init.unwrap_or(*lock(&script.then));
    match init {
        Init::Ready | Init::Extra(_) => {}
        Init::Slow(time) => tokio::time::sleep(time).await,
        Init::Ignore => {
            ctx.ignore();
            return Ok(Done);
        }
        Init::Fail => return Err(Crash::message("no start")),
        Init::SlowFail(time) => {
            tokio::time::sleep(time).await;
            return Err(Crash::message("no start"));
        }
        Init::Panic => panic!("no start"),
    }
    script.log.say(format!("{} up", script.id));
    let _leaving = Leaving(script.log.clone(), script.id.clone());
    match init {
        Init::Extra(value) => ctx.ready_with(value),
        _ => ctx.ready(),
    }
    loop {
        let news = async {
            tokio::select! {
                biased;
                () = ctx.stopping(), if script.on_stop != OnStop::Deaf => None,
                changed = heard.changed() => {
                    changed.ok(); // the script holds the sender
                    Some(heard.borrow_and_update().1.clone())
                }
            }
        };
        let news = if script.beats {
            ctx.beating(news).await
        } else {
            news.await
        };
        match (news, script.on_stop) {
            (None, OnStop::After(time)) => {
                tokio::time::sleep(time).await;
                return Ok(Done);
            }
            (None, OnStop::Fails) => return Err(Crash::message("not so fast")),
            (None, OnStop::Terms) => return Ok(ctx.done_because("as I please")),
            (None, _) | (Some(Say::Normal), _) => return Ok(Done),
            (Some(Say::Nothing), _) => {}
            (Some(Say::Term), _) => return Ok(ctx.done_because("term")),
            (Some(Say::Crash), _) => return Err(Crash::message("crashed")),
            (Some(Say::Panic), _) => panic!("crashed"),
            (Some(Say::Spin), _) => script.log.spin(),
        }
    }
}

/// Every event of a tree from when it was made, in order.
pub struct Recorder(Events);

impl Recorder {
    /// Begins to listen.
    pub fn of(tree: &Tree) -> Recorder {
        Recorder(tree.events())
    }

    /// Those that have come by now.
    ///
    /// # Panics
    ///
    /// When some were missed: then the test has to ask more often.
    pub async fn so_far(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let next = tokio::select! {
                biased;
                next = self.0.next() => next,
                () = std::future::ready(()) => return events,
            };
            match next {
                Some(Heard::Event(event)) => events.push(event),
                Some(Heard::Lagged(missed)) => panic!("{missed} events were missed"),
                None => return events,
            }
        }
    }
}

/// Lets every task run that can, many times over. With a paused clock and one thread nothing is left to happen afterwards that
/// does not need time.
pub async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// Waits until the child at `path` is in `state`.
///
/// # Panics
///
/// When the tree ends first, or a day passes.
pub async fn until(tree: &Tree, path: &str, state: State) {
    let mut events = tree.events();
    let seen = tokio::time::timeout(LIMIT, async {
        loop {
            let snapshot = tree.snapshot();
            if snapshot.find(path).is_some_and(|node| node.state == state) {
                return true;
            }
            if events.next().await.is_none() {
                return false;
            }
        }
    });
    let seen = seen.await.unwrap_or(false);
    assert!(seen, "{path} never was {state}");
}
