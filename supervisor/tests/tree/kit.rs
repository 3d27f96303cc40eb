//! Scripted children, a log of what they did, and waiting for things to happen.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ao_supervisor::{
    Backoff, Budget, ChildSpec, Context, Crash, Done, Event, Events, Heard, Snapshot, State, Tree,
};
use tokio::sync::watch;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// How long to wait for what must happen. Virtual under a paused clock.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// A supervisor's budget that no test passes by accident.
pub(crate) fn plenty() -> Budget {
    Budget::restarts(1_000).per(SECOND)
}

/// A back-off without chance in it.
pub(crate) fn exact(min: Duration, max: Duration) -> Backoff {
    Backoff {
        jitter: 0.0,
        ..Backoff::between(min, max)
    }
}

/// What children did, in order.
#[derive(Clone)]
pub(crate) struct Log(Arc<watch::Sender<Vec<String>>>);

impl Log {
    pub(crate) fn new() -> Log {
        Log(Arc::new(watch::Sender::new(Vec::new())))
    }

    pub(crate) fn say(&self, line: impl Into<String>) {
        self.0.send_modify(|lines| lines.push(line.into()));
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// All lines so far, which are forgotten.
    pub(crate) fn take(&self) -> Vec<String> {
        self.0.send_replace(Vec::new())
    }

    pub(crate) fn count(&self, line: &str) -> usize {
        self.0.borrow().iter().filter(|said| *said == line).count()
    }

    /// Waits until `line` was said `times` times.
    pub(crate) async fn until(&self, line: &str, times: usize) {
        let mut watched = self.0.subscribe();
        let said = |lines: &Vec<String>| lines.iter().filter(|said| *said == line).count() >= times;
        let heard = tokio::time::timeout(LIMIT, watched.wait_for(said)).await.is_ok();
        assert!(heard, "nobody said {line:?} {times} times: {:?}", self.lines());
    }
}

/// One thing a scripted child does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Says that it is ready.
    Ready,
    /// Says that there is nothing to do.
    Ignore,
    /// Waits so many milliseconds.
    Wait(u64),
    /// Returns an error.
    Fail,
    /// Panics.
    Panic,
    /// Returns.
    Done,
    /// Waits for the stop and returns.
    Serve,
    /// Waits for the stop and returns an error.
    Sulk,
    /// Never returns, whatever it is asked.
    Deaf,
}

/// A child that says ready and serves, in every incarnation.
pub(crate) const SERVES: &[Step] = &[Step::Ready, Step::Serve];

/// Says when it goes, however it goes.
struct Leaving(Log, String);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.say(format!("{} down", self.1));
    }
}

/// An error with a cause.
#[derive(Debug, thiserror::Error)]
#[error("cannot go on")]
pub(crate) struct Cause(#[source] std::io::Error);

impl Cause {
    pub(crate) fn new() -> Cause {
        Cause(std::io::Error::other("the disk is gone"))
    }
}

/// A child whose incarnations follow `lives`, the last one for ever. Says "id up" and "id down".
pub(crate) fn scripted(id: &str, log: &Log, lives: &[&'static [Step]]) -> ChildSpec {
    let lives = lives.to_vec();
    let (id, log, turn) = (id.to_owned(), log.clone(), Arc::new(AtomicUsize::new(0)));
    ChildSpec::new(id.clone(), move |ctx| {
        let life = lives[turn.fetch_add(1, Ordering::SeqCst).min(lives.len() - 1)];
        play(ctx, life, id.clone(), log.clone())
    })
}

async fn play(ctx: Context, life: &[Step], id: String, log: Log) -> Result<Done, Crash> {
    log.say(format!("{id} up"));
    let _leaving = Leaving(log, id);
    for step in life {
        match step {
            Step::Ready => ctx.ready(),
            Step::Ignore => ctx.ignore(),
            Step::Wait(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Step::Fail => return Err(Cause::new().into()),
            Step::Panic => panic!("out of order"),
            Step::Done => return Ok(Done),
            Step::Serve => {
                ctx.stopping().await;
                return Ok(Done);
            }
            Step::Sulk => {
                ctx.stopping().await;
                return Err(Crash::message("not so fast"));
            }
            Step::Deaf => std::future::pending().await,
        }
    }
    Ok(Done)
}

/// Waits until the tree looks as wanted.
pub(crate) async fn until(tree: &Tree, wanted: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let mut events = tree.events();
    let seen = tokio::time::timeout(LIMIT, async {
        loop {
            let snapshot = tree.snapshot();
            if wanted(&snapshot) {
                return Some(snapshot);
            }
            events.next().await?;
        }
    });
    let seen = seen.await.ok().flatten();
    seen.unwrap_or_else(|| panic!("it never came to that: {:#?}", states(&tree.snapshot())))
}

/// Waits until a child is in this state.
pub(crate) async fn until_state(tree: &Tree, path: &str, state: State) -> Snapshot {
    until(tree, |snapshot| {
        snapshot.find(path).is_some_and(|node| node.state == state)
    })
    .await
}

/// Waits until a child runs in another incarnation than `than`.
pub(crate) async fn until_newer(tree: &Tree, path: &str, than: u64) -> u64 {
    let newer = |snapshot: &Snapshot| {
        let node = snapshot.find(path)?;
        node.incarnation
            .filter(|number| *number > than && node.state == State::Running)
    };
    let snapshot = until(tree, |snapshot| newer(snapshot).is_some()).await;
    newer(&snapshot).unwrap()
}

pub(crate) fn states(snapshot: &Snapshot) -> Vec<String> {
    snapshot
        .nodes()
        .map(|node| format!("{} {}", node.path, node.state))
        .collect()
}

pub(crate) fn incarnation(tree: &Tree, path: &str) -> u64 {
    let snapshot = tree.snapshot();
    let node = snapshot
        .find(path)
        .unwrap_or_else(|| panic!("no {path} in {:?}", states(&snapshot)));
    node.incarnation
        .unwrap_or_else(|| panic!("{path} is {}", node.state))
}

/// The next event; missed ones fail the test.
pub(crate) async fn next(events: &mut Events) -> Option<Event> {
    match tokio::time::timeout(LIMIT, events.next())
        .await
        .expect("an event comes, or the end")
    {
        Some(Heard::Event(event)) => Some(event),
        Some(Heard::Lagged(missed)) => panic!("{missed} events were missed"),
        None => None,
    }
}

/// Waits for the event that `wanted` makes something of.
pub(crate) async fn hear<T>(events: &mut Events, wanted: impl Fn(&Event) -> Option<T>) -> T {
    loop {
        let event = next(events).await.expect("the event comes before the end");
        if let Some(found) = wanted(&event) {
            return found;
        }
    }
}

/// An event as the wire shows it, for comparing: its path, its name.
pub(crate) fn word(event: &Event) -> String {
    let value = serde_json::to_value(event).unwrap();
    format!("{} {}", event.path, value["event"].as_str().unwrap())
}
