//! Rosters: one child per key, whatever the set and the children do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ao_supervisor::{
    Backoff, Budget, ChildSpec, Context, Crash, Done, Keys, Restart, Role, Roster, State, Strategy,
    Supervisor, Tree, What,
};
use tokio::sync::watch;

use crate::kit::{
    Log, MS, SECOND, SERVES, Step, hear, incarnation, plenty, scripted, states, until, until_newer,
    until_state,
};

/// What a read of the set does.
#[derive(Clone)]
enum Answer {
    Keys(Vec<String>),
    Fail,
    Panic,
    Hang,
}

/// A set that a test holds in its hand. A change wakes the roster.
#[derive(Clone)]
pub(crate) struct Fixed {
    answer: Arc<watch::Sender<Answer>>,
    /// Whether changes are announced.
    loud: Arc<AtomicBool>,
    reads: Arc<watch::Sender<usize>>,
    alive: Arc<watch::Sender<usize>>,
}

impl Fixed {
    pub(crate) fn new<const N: usize>(keys: [&str; N]) -> Fixed {
        let answer = Arc::new(watch::Sender::new(Answer::Keys(keys.map(str::to_owned).to_vec())));
        let loud = Arc::new(AtomicBool::new(true));
        Fixed {
            answer,
            loud,
            reads: Arc::new(watch::Sender::new(0)),
            alive: Arc::new(watch::Sender::new(0)),
        }
    }

    pub(crate) fn set<const N: usize>(&self, keys: [&str; N]) {
        self.answer
            .send_replace(Answer::Keys(keys.map(str::to_owned).to_vec()));
    }

    /// As many keys as wanted: `k0`, `k1`, …
    fn many(&self, n: usize) {
        self.answer
            .send_replace(Answer::Keys((0..n).map(|n| format!("k{n}")).collect()));
    }

    fn quietly<const N: usize>(&self, keys: [&str; N]) {
        self.loud.store(false, Ordering::SeqCst);
        self.set(keys);
    }

    fn answer(&self, answer: Answer) {
        self.answer.send_replace(answer);
    }

    /// Waits until the set has been read so many more times.
    async fn read_again(&self, more: usize) {
        let mut reads = self.reads.subscribe();
        let wanted = *reads.borrow() + more;
        tokio::time::timeout(crate::kit::LIMIT, reads.wait_for(|reads| *reads >= wanted))
            .await
            .unwrap()
            .unwrap();
    }

    /// Waits until nobody waits for a change or is in a read.
    pub(crate) async fn gone(&self) {
        let mut alive = self.alive.subscribe();
        tokio::time::timeout(crate::kit::LIMIT, alive.wait_for(|alive| *alive == 0))
            .await
            .unwrap()
            .unwrap();
    }
}

/// Counts one who is there for as long as it lives.
struct Present(Arc<watch::Sender<usize>>);

impl Present {
    fn new(alive: &Arc<watch::Sender<usize>>) -> Present {
        alive.send_modify(|alive| *alive += 1);
        Present(alive.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.send_modify(|alive| *alive -= 1);
    }
}

impl Keys for Fixed {
    async fn keys(&self) -> Result<Vec<String>, Crash> {
        let _present = Present::new(&self.alive);
        self.reads.send_modify(|reads| *reads += 1);
        let answer = self.answer.borrow().clone();
        match answer {
            Answer::Keys(keys) => Ok(keys),
            Answer::Fail => Err(Crash::message("the table is locked")),
            Answer::Panic => panic!("the table is a chair"),
            Answer::Hang => std::future::pending().await,
        }
    }

    async fn changed(&self) {
        let _present = Present::new(&self.alive);
        let mut answer = self.answer.subscribe();
        loop {
            // Level-triggered in what it says afterwards; in these tests nobody changes the set while it is read.
            let _ = answer.changed().await;
            if self.loud.load(Ordering::SeqCst) {
                return;
            }
        }
    }
}

fn roster(log: &Log, keys: &Fixed, lives: &'static [&'static [Step]]) -> Roster {
    let log = log.clone();
    Roster::new("rows", "row", keys.clone(), move |key| {
        scripted(&key, &log, lives)
    })
}

fn top(child: impl Into<ChildSpec>) -> Supervisor {
    Supervisor::root("top", Strategy::OneForOne, Budget::restarts(0).per(SECOND)).child(child)
}

async fn until_children(tree: &Tree, wanted: &[&str]) {
    until(tree, |snapshot| {
        let running: Vec<_> = snapshot
            .nodes()
            .filter(|node| node.role == Role::Worker)
            .collect();
        let running: Vec<_> = running
            .iter()
            .filter(|node| node.state == State::Running)
            .map(|node| &*node.id)
            .collect();
        running == wanted
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn children_follow_the_set() {
    let (log, keys) = (Log::new(), Fixed::new(["b", "a", "a"]));
    let root = top(roster(&log, &keys, &[SERVES])).start().await.unwrap();
    let tree = root.tree();
    until_children(&tree, &["a", "b"]).await;
    let a = incarnation(&tree, "top/rows/a");
    assert_eq!(tree.snapshot().find("top/rows/a").unwrap().kind, "row");
    keys.set(["a", "with/slash"]);
    until_children(&tree, &["a", "with/slash"]).await;
    assert_eq!(log.count("b down"), 1);
    assert!(tree.snapshot().find("top/rows/b").is_none());
    assert_eq!(
        incarnation(&tree, "top/rows/a"),
        a,
        "who is still wanted is left alone"
    );
    let slashed = incarnation(&tree, "top/rows/with/slash");
    tree.crash("top/rows/with/slash").unwrap();
    until_newer(&tree, "top/rows/with/slash", slashed).await;
    // A lost wake-up costs a period and no truth.
    let before = tokio::time::Instant::now();
    keys.quietly(["c"]);
    until_children(&tree, &["c"]).await;
    assert!(before.elapsed() <= 5 * SECOND, "{:?}", before.elapsed());
    root.stop().await;
    keys.gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_restarted_roster_starts_every_key_of_the_set() {
    let (log, keys) = (Log::new(), Fixed::new(["a", "b"]));
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(roster(&log, &keys, &[SERVES]))
        .child(scripted("sibling", &log, &[SERVES]))
        .start()
        .await
        .unwrap();
    let tree = root.tree();
    until_children(&tree, &["a", "b", "sibling"]).await;
    let (rows, sibling) = (incarnation(&tree, "top/rows"), incarnation(&tree, "top/sibling"));
    log.take();
    tree.crash("top/rows").unwrap();
    until_newer(&tree, "top/rows", rows).await;
    keys.set(["b", "c"]);
    until_children(&tree, &["b", "c", "sibling"]).await;
    assert_eq!(incarnation(&tree, "top/sibling"), sibling);
    let lines = log.lines();
    let last_down = lines.iter().take(2).filter(|line| line.ends_with("down")).count();
    assert_eq!(
        last_down, 2,
        "the former ones are gone before any new one starts: {lines:?}"
    );
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_child_in_back_off_can_be_hurried_and_each_attempt_counts() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let (log, keys) = (Log::new(), Fixed::new(["bad"]));
    let said = log.clone();
    let rows = Roster::new("rows", "row", keys, move |key| {
        const CRASHES: &[Step] = &[Step::Ready, Step::Panic];
        let pause = Backoff {
            immediate: 0,
            ..Backoff::between(HOUR, HOUR)
        };
        scripted(&key, &said, &[CRASHES])
            .backoff(pause)
            .budget(Budget::restarts(3).per(100 * HOUR))
    });
    let root = top(rows).start().await.unwrap();
    let (tree, began) = (root.tree(), tokio::time::Instant::now());
    for attempt in 2..=4 {
        until_state(&tree, "top/rows/bad", State::Backoff).await;
        tree.resume("top/rows/bad").unwrap();
        log.until("bad up", attempt).await;
    }
    until_state(&tree, "top/rows/bad", State::Parked).await;
    assert_eq!(
        log.count("bad up"),
        4,
        "three restarts are allowed, however hurried"
    );
    assert!(began.elapsed() < HOUR, "somebody waited for the pause");
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_child_crashing_for_ever_is_parked_and_its_siblings_never_move() {
    let (log, keys) = (Log::new(), Fixed::new(["bad", "good", "other"]));
    let said = log.clone();
    let rows = Roster::new("rows", "row", keys.clone(), move |key| {
        const CRASHES: &[Step] = &[Step::Ready, Step::Panic];
        scripted(&key, &said, if key == "bad" { &[CRASHES] } else { &[SERVES] })
    });
    let root = top(rows).start().await.unwrap();
    let tree = root.tree();
    until_state(&tree, "top/rows/bad", State::Parked).await;
    assert_eq!(log.count("bad up"), 10);
    tree.resume("top/rows/bad").unwrap();
    until(&tree, |snapshot| {
        snapshot.find("top/rows/bad").unwrap().state != State::Parked
    })
    .await;
    until_state(&tree, "top/rows/bad", State::Parked).await;
    assert_eq!(log.count("bad up"), 20, "a resumed child has a fresh budget");
    // And by itself, once.
    log.until("bad up", 21).await;
    until_state(&tree, "top/rows/bad", State::Parked).await;
    assert_eq!((log.count("good up"), log.count("other up")), (1, 1));
    assert_eq!(tree.snapshot().find("top/rows").unwrap().restarts.total, 0);
    // A parked child whose key goes, goes.
    keys.set(["good"]);
    until_children(&tree, &["good"]).await;
    assert_eq!(
        states(&tree.snapshot()),
        ["top running", "top/rows running", "top/rows/good running"]
    );
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_crashes_of_one_child_leave_everybody_else_where_they_were() {
    let (log, keys) = (Log::new(), Fixed::new(["a", "b"]));
    let said = log.clone();
    let rows = Roster::new("rows", "row", keys, move |key| {
        // Counting nothing away: a budget that is not passed, and no pause.
        let at_once = Backoff {
            immediate: u32::MAX,
            ..Backoff::between(Duration::ZERO, Duration::ZERO)
        };
        scripted(&key, &said, &[SERVES])
            .backoff(at_once)
            .budget(Budget::restarts(2_000).per(SECOND))
    });
    let root = top(rows).start().await.unwrap();
    let tree = root.tree();
    until_children(&tree, &["a", "b"]).await;
    let others = (incarnation(&tree, "top/rows"), incarnation(&tree, "top/rows/b"));
    for _ in 0..1_000 {
        let now = incarnation(&tree, "top/rows/a");
        tree.crash("top/rows/a").unwrap();
        until_newer(&tree, "top/rows/a", now).await;
    }
    assert_eq!(
        (incarnation(&tree, "top/rows"), incarnation(&tree, "top/rows/b")),
        others
    );
    let snapshot = tree.snapshot();
    assert_eq!(snapshot.find("top/rows/a").unwrap().restarts.total, 1_000);
    assert_eq!(snapshot.find("top/rows").unwrap().children.len(), 2);
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_set_that_cannot_be_read_leaves_the_children_and_the_roster_alone() {
    for (answer, longest) in [
        (Answer::Fail, SECOND),
        (Answer::Panic, SECOND),
        (Answer::Hang, 40 * SECOND),
    ] {
        let (log, keys) = (Log::new(), Fixed::new(["a"]));
        let root = top(roster(&log, &keys, &[SERVES])).start().await.unwrap();
        let tree = root.tree();
        until_children(&tree, &["a"]).await;
        keys.answer(answer.clone());
        keys.read_again(1).await;
        // Still answering: a crash is seen to.
        let now = incarnation(&tree, "top/rows/a");
        tree.crash("top/rows/a").unwrap();
        let now = until_newer(&tree, "top/rows/a", now).await;
        let before = tokio::time::Instant::now();
        keys.read_again(1).await;
        assert!(
            before.elapsed() <= longest,
            "read again after {:?}",
            before.elapsed()
        );
        assert_eq!(incarnation(&tree, "top/rows/a"), now);
        keys.set(["a", "b"]);
        until_children(&tree, &["a", "b"]).await;
        assert_eq!(incarnation(&tree, "top/rows/a"), now);
        // And stopping is not held up by a read.
        keys.answer(Answer::Hang);
        keys.read_again(1).await;
        let before = tokio::time::Instant::now();
        root.stop().await;
        assert_eq!(before.elapsed(), Duration::ZERO);
        keys.gone().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_that_cannot_be_read_at_first_holds_up_nobody() {
    let (log, keys) = (Log::new(), Fixed::new([]));
    keys.answer(Answer::Hang);
    let tree = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(roster(&log, &keys, &[SERVES]))
        .child(scripted("next", &log, &[SERVES]));
    let before = tokio::time::Instant::now();
    let root = tree.start().await.unwrap();
    assert_eq!(before.elapsed(), Duration::ZERO);
    keys.set(["a"]);
    until_children(&root.tree(), &["a", "next"]).await;
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_key_that_cannot_be_started_stops_no_other() {
    let (log, keys) = (Log::new(), Fixed::new(["a", "bad spec", "no spec", "z"]));
    let said = log.clone();
    let rows = Roster::new("rows", "row", keys, move |key| {
        let spec = scripted(&key, &said, &[SERVES]);
        match key.as_str() {
            "no spec" => panic!("no idea what {key:?} is"),
            "bad spec" => spec.heartbeat(Duration::ZERO),
            _ => spec,
        }
    });
    let root = top(rows).start().await.unwrap();
    let tree = root.tree();
    until_children(&tree, &["a", "z"]).await;
    for (path, why) in [
        ("top/rows/bad spec", "`bad spec` has a heartbeat of zero"),
        ("top/rows/no spec", "no idea what \"no spec\" is"),
    ] {
        let snapshot = until_state(&tree, path, State::Parked).await;
        let reason = snapshot
            .find(path)
            .unwrap()
            .parked
            .as_ref()
            .unwrap()
            .reason
            .text();
        assert!(reason.ends_with(why), "{reason}");
    }
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_done_stays_done_until_its_key_comes_back_or_is_asked_for_again() {
    for (restart, life) in [
        (Restart::Transient, &[Step::Ready, Step::Done] as &'static [Step]),
        (Restart::Transient, &[Step::Ignore, Step::Done]),
        (Restart::Temporary, &[Step::Ready, Step::Fail]),
        (Restart::Temporary, &[Step::Fail]),
    ] {
        let (log, keys) = (Log::new(), Fixed::new(["a"]));
        let said = log.clone();
        let rows = Roster::new("rows", "row", keys.clone(), move |key| {
            scripted(&key, &said, &[life]).restart(restart)
        });
        let root = top(rows).start().await.unwrap();
        log.until("a down", 1).await;
        // Periodic reads still hold its key.
        keys.read_again(3).await;
        assert_eq!(log.count("a up"), 1, "{restart:?} {life:?}");
        let node = root.tree().snapshot().find("top/rows/a").unwrap().clone();
        assert!(
            matches!(node.state, State::Completed | State::Ignored | State::Terminated),
            "{:?}",
            node.state
        );
        // A change after its end, and the key is still there: it is asked for again.
        keys.set(["a"]);
        log.until("a down", 2).await;
        keys.read_again(3).await;
        assert_eq!(log.count("a up"), 2, "{restart:?} {life:?}");
        // Gone, and back, without anybody being told.
        keys.quietly([]);
        keys.read_again(2).await;
        assert!(root.tree().snapshot().find("top/rows/a").is_none());
        keys.quietly(["a"]);
        log.until("a down", 3).await;
        root.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_comes_back_while_its_child_is_ending_is_started_afresh() {
    let (log, keys) = (Log::new(), Fixed::new(["a"]));
    let said = log.clone();
    let rows = Roster::new("rows", "row", keys.clone(), move |key| {
        scripted(&key, &said, &[&[Step::Ready, Step::Deaf]])
            .shutdown(ao_supervisor::Shutdown::After(10 * SECOND))
    });
    let root = top(rows).start().await.unwrap();
    let tree = root.tree();
    until_children(&tree, &["a"]).await;
    let first = incarnation(&tree, "top/rows/a");
    keys.set([]);
    until_state(&tree, "top/rows/a", State::Stopping).await;
    keys.set(["a"]);
    keys.read_again(1).await;
    assert_eq!(log.count("a up"), 1, "never two of one key");
    until_newer(&tree, "top/rows/a", first).await;
    assert_eq!(log.lines(), ["a up", "a down", "a up"]);
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn children_of_a_roster_are_stopped_all_at_once() {
    let (log, keys) = (Log::new(), Fixed::new([]));
    keys.many(100);
    let said = log.clone();
    let ended = Arc::new(AtomicUsize::new(0));
    let counted = ended.clone();
    let rows = Roster::new("rows", "row", keys, move |key| {
        let (log, ended) = (said.clone(), counted.clone());
        ChildSpec::new(key, move |ctx: Context| {
            let (log, ended) = (log.clone(), ended.clone());
            async move {
                ctx.ready();
                log.say("up");
                ctx.stopping().await;
                tokio::time::sleep(SECOND).await;
                ended.fetch_add(1, Ordering::SeqCst);
                Ok(Done)
            }
        })
    });
    let root = top(rows).start().await.unwrap();
    log.until("up", 100).await;
    let before = tokio::time::Instant::now();
    root.stop().await;
    assert_eq!(before.elapsed(), SECOND);
    assert_eq!(ended.load(Ordering::SeqCst), 100);
}

#[tokio::test(start_paused = true)]
async fn a_temporary_child_does_not_pin_what_it_was_started_with() {
    let (log, keys) = (Log::new(), Fixed::new(["a"]));
    let (said, captured) = (log.clone(), Arc::new(()));
    let kept = captured.clone();
    let rows = Roster::new("rows", "row", keys, move |key| {
        let (log, large) = (said.clone(), kept.clone());
        ChildSpec::new(key, move |ctx: Context| {
            let (log, _large) = (log.clone(), &large);
            async move {
                ctx.ready();
                log.say("up");
                ctx.stopping().await;
                Ok(Done)
            }
        })
        .restart(Restart::Temporary)
    });
    let root = top(rows).start().await.unwrap();
    log.until("up", 1).await;
    assert_eq!(Arc::strong_count(&captured), 2, "the test's and the roster's");
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn trouble_may_be_ordered_for_a_key_that_is_not_there_yet() {
    let (log, keys) = (Log::new(), Fixed::new(["a"]));
    let root = top(roster(&log, &keys, &[SERVES])).start().await.unwrap();
    let tree = root.tree();
    until_children(&tree, &["a"]).await;
    tree.crash("top/rows/b/c").unwrap();
    let mut events = tree.events();
    keys.set(["a", "b/c"]);
    let failed = hear(&mut events, |event| match event.what {
        What::StartFailed { .. } => Some(event.path.to_string()),
        _ => None,
    });
    assert_eq!(failed.await, "top/rows/b/c");
    until_children(&tree, &["a", "b/c"]).await;
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stuck_period_of_a_child_is_shown_with_its_beat() {
    let keys = Fixed::new(["a"]);
    let rows = Roster::new("rows", "row", keys, |key| {
        ChildSpec::new(key, |ctx: Context| async move {
            ctx.ready();
            ctx.beating(ctx.stopping()).await;
            Ok(Done)
        })
        .heartbeat(2 * SECOND)
    });
    let root = top(rows).start().await.unwrap();
    let tree = root.tree();
    until_children(&tree, &["a"]).await;
    tree.hang("top/rows/a").unwrap();
    let now = incarnation(&tree, "top/rows/a");
    tokio::time::sleep(1_500 * MS).await;
    let beat = tree.snapshot().find("top/rows/a").unwrap().beat.clone().unwrap();
    assert_eq!((beat.age_ms, beat.deadline_ms), (1_500, 2_000));
    until_newer(&tree, "top/rows/a", now).await;
    root.stop().await;
}
