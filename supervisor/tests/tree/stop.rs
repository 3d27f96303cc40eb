//! Stopping: deadlines, what is gone when, what stays, and that nothing is left behind.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ao_supervisor::{
    Budget, ChildSpec, Context, Crash, Done, Incarnation, Restart, Roster, Shutdown, State, Strategy,
    Supervisor, What,
};
use tokio::sync::watch;

use crate::kit::{
    LIMIT, Log, MS, SECOND, SERVES, Step, hear, incarnation, next, plenty, scripted, until_newer,
    until_state, word,
};

const DEAF: &[Step] = &[Step::Ready, Step::Deaf];

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_listen_is_aborted_at_its_deadline() {
    let log = Log::new();
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(scripted("polite", &log, &[SERVES]))
        .child(scripted("deaf", &log, &[DEAF]).shutdown(Shutdown::After(700 * MS)))
        .child(scripted("sulky", &log, &[&[Step::Ready, Step::Sulk]]))
        .child(scripted("brutal", &log, &[SERVES]).shutdown(Shutdown::BrutalKill))
        .child(scripted("hasty", &log, &[DEAF]).shutdown(Shutdown::After(Duration::ZERO)))
        .start()
        .await
        .unwrap();
    let mut events = root.tree().events();
    let before = tokio::time::Instant::now();
    assert!(root.stop().await.stuck.is_empty());
    assert_eq!(before.elapsed(), 700 * MS);
    let mut words = vec![];
    while let Some(event) = next(&mut events).await {
        words.push(match &event.what {
            What::ShutdownError { reason } => format!("{} because {}", word(&event), reason.text()),
            _ => word(&event),
        });
    }
    assert_eq!(
        words,
        [
            "top/hasty terminating",
            "top/hasty shutdown_error because killed",
            "top/hasty stopped",
            "top/brutal terminating",
            "top/brutal stopped",
            "top/sulky terminating",
            "top/sulky shutdown_error because not so fast",
            "top/sulky stopped",
            "top/deaf terminating",
            "top/deaf shutdown_error because killed",
            "top/deaf stopped",
            "top/polite terminating",
            "top/polite stopped",
            "top supervisor_stopped",
            "top exited",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn infinity_waits() {
    let log = Log::new();
    let spec = ChildSpec::new("slow", |ctx: Context| async move {
        ctx.ready();
        ctx.stopping().await;
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        Ok(Done)
    });
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(scripted("a", &log, &[SERVES]))
        .child(spec.shutdown(Shutdown::Infinity))
        .start()
        .await
        .unwrap();
    let before = tokio::time::Instant::now();
    assert!(root.stop().await.stuck.is_empty());
    assert_eq!(before.elapsed(), Duration::from_secs(3_600));
    assert_eq!(log.lines(), ["a up", "a down"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_takes_a_child_out_of_its_pause() {
    let log = Log::new();
    let root = Supervisor::root(
        "top",
        Strategy::OneForOne,
        Budget::restarts(3).per(1_000 * SECOND),
    )
    .child(
        scripted("a", &log, &[&[Step::Ready, Step::Fail]]).backoff(ao_supervisor::Backoff {
            immediate: 0,
            ..crate::kit::exact(100 * SECOND, 100 * SECOND)
        }),
    )
    .start()
    .await
    .unwrap();
    until_state(&root.tree(), "top/a", State::Backoff).await;
    let tree = root.tree();
    let before = tokio::time::Instant::now();
    root.stop().await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(tree.snapshot().find("top/a").unwrap().state, State::Terminated);
    assert_eq!(log.count("a up"), 1);
}

/// Says when it is dropped, and in what state its incarnation was then.
struct Leaving(&'static str, Log, Incarnation);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.1
            .say(format!("{} gone, revoked {}", self.0, self.2.is_revoked()));
    }
}

#[tokio::test(start_paused = true)]
async fn sub_tasks_are_gone_before_the_exit_is_told() {
    let log = Log::new();
    let said = log.clone();
    let spec = ChildSpec::new("a", move |ctx: Context| {
        let log = said.clone();
        async move {
            let number = ctx.incarnation().clone();
            log.say("up");
            let (started, mut running) = watch::channel(0);
            for name in ["one", "two"] {
                let (leaving, started) = (Leaving(name, log.clone(), number.clone()), started.clone());
                drop(ctx.spawn(async move {
                    let _leaving = leaving;
                    started.send_modify(|running| *running += 1);
                    std::future::pending::<()>().await;
                }));
            }
            assert_eq!(ctx.spawn(async { 7 }).await.unwrap(), 7);
            let caught = ctx.spawn(async { panic!("on the side") }).await.unwrap_err();
            assert!(caught.is_panic());
            running.wait_for(|running| *running == 2).await?;
            // Never polled: dropped before its first turn.
            let unpolled = Leaving("three", log.clone(), number.clone());
            ctx.ready();
            if ctx.restart_count() == 0 {
                drop(ctx.spawn(async move {
                    let _unpolled = unpolled;
                    std::future::pending::<()>().await;
                }));
                return Err(Crash::message("enough"));
            }
            drop(unpolled);
            ctx.stopping().await;
            log.say(format!("stopping, revoked {}", number.is_revoked()));
            Ok(Done)
        }
    });
    let tree = Supervisor::root("top", Strategy::OneForOne, plenty()).child(spec);
    let mut events = tree.handle().events();
    let root = tree.start().await.unwrap();
    hear(&mut events, |event| {
        matches!(event.what, What::Exited { .. }).then_some(())
    })
    .await;
    log.until("up", 2).await;
    let mut lines = log.lines();
    lines.truncate(5);
    lines[1..4].sort();
    assert_eq!(
        lines,
        [
            "up",
            "one gone, revoked true",
            "three gone, revoked true",
            "two gone, revoked true",
            "up"
        ],
        "the next incarnation begins when all of the former one is gone"
    );

    hear(&mut events, |event| {
        matches!(event.what, What::Ready { .. }).then_some(())
    })
    .await;
    log.take();
    root.stop().await;
    // Within its grace a child may still write.
    assert_eq!(
        log.lines(),
        [
            "stopping, revoked false",
            "one gone, revoked true",
            "two gone, revoked true"
        ]
    );
}

/// On one thread an aborted sub-task is always dropped before the supervisor has its turn; here it cannot be.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_sub_task_that_does_not_end_keeps_the_exit_back() {
    let log = Log::new();
    let said = log.clone();
    let (release, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let spec = ChildSpec::new("a", move |ctx: Context| {
        let (log, gate) = (said.clone(), gate.clone());
        async move {
            log.say("up");
            ctx.ready();
            if ctx.restart_count() == 0 {
                let (side, started) = (log.clone(), Arc::new(AtomicBool::new(false)));
                let running = started.clone();
                drop(ctx.spawn(async move {
                    started.store(true, Ordering::SeqCst);
                    // Blocks its thread: no abort ends it.
                    let _ = gate.lock().unwrap().recv();
                    side.say("side gone");
                }));
                // By the clock, not by a word of the sub-task: whom it wakes waits for its thread.
                while !running.load(Ordering::SeqCst) {
                    tokio::time::sleep(MS).await;
                }
                return Err(Crash::message("enough"));
            }
            ctx.stopping().await;
            Ok(Done)
        }
    });
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(spec)
        .start()
        .await
        .unwrap();
    let early = tokio::time::timeout(300 * MS, log.until("up", 2)).await;
    assert!(early.is_err(), "it was started again beside a part of itself");
    release.send(()).unwrap();
    log.until("up", 2).await;
    assert_eq!(log.lines(), ["up", "side gone", "up"]);
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_context_that_outlives_its_child_starts_nothing() {
    let (hand, mut given) = watch::channel(None);
    let spec = ChildSpec::new("a", move |ctx: Context| {
        let hand = hand.clone();
        async move {
            ctx.ready();
            ctx.stopping().await;
            hand.send_replace(Some(ctx.clone()));
            Ok(Done)
        }
    });
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(spec)
        .start()
        .await
        .unwrap();
    root.stop().await;
    let ctx = given.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert!(ctx.incarnation().is_revoked());
    assert!(
        ctx.spawn(async { unreachable!("the child is gone") })
            .await
            .unwrap_err()
            .is_cancelled()
    );
    // And these neither panic nor hang.
    ctx.ready();
    ctx.beat();
    ctx.stopping().await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_root_leaves_no_child() {
    let log = Log::new();
    let inner = Supervisor::new("inner", Strategy::OneForOne, plenty()).child(scripted("b", &log, &[DEAF]));
    let keys = crate::roster::Fixed::new(["r"]);
    let said = log.clone();
    let roster = Roster::new("roster", "row", keys.clone(), move |key| {
        scripted(&key, &said, &[DEAF])
    });
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(scripted("a", &log, &[DEAF]))
        .child(inner)
        .child(roster)
        .start()
        .await
        .unwrap();
    log.until("r up", 1).await;
    drop(root);
    for id in ["a", "b", "r"] {
        log.until(&format!("{id} down"), 1).await;
    }
    keys.gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_dropped_leaves_no_child() {
    let log = Log::new();
    let tree = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(scripted("a", &log, &[SERVES]))
        .child(scripted("b", &log, &[&[Step::Deaf]]));
    let cut = tokio::time::timeout(SECOND, tree.start()).await;
    assert!(cut.is_err());
    log.until("a down", 1).await;
    log.until("b down", 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_panics_is_restarted_after_all_its_children_are_gone() {
    let log = Log::new();
    let inner = Supervisor::new("inner", Strategy::OneForOne, plenty())
        .child(scripted("a", &log, &[DEAF]))
        .child(scripted("b", &log, &[DEAF]));
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(inner)
        .child(scripted("c", &log, &[SERVES]))
        .start()
        .await
        .unwrap();
    let tree = root.tree();
    let (c, b) = (incarnation(&tree, "top/c"), incarnation(&tree, "top/inner/b"));
    log.take();
    tree.crash("top/inner").unwrap();
    until_newer(&tree, "top/inner/b", b).await;
    let mut lines = log.lines();
    lines[..2].sort();
    assert_eq!(lines, ["a down", "b down", "a up", "b up"]);
    assert_eq!(incarnation(&tree, "top/c"), c);
    let exit = tree
        .snapshot()
        .find("top/inner")
        .unwrap()
        .last_exit
        .clone()
        .unwrap();
    assert!(
        exit.reason.text().ends_with("crashed on request"),
        "{}",
        exit.reason.text()
    );
    root.stop().await;
}

/// A child that blocks its thread until the test lets it go, when told to.
pub(crate) struct Blocker {
    pub(crate) starts: Arc<AtomicUsize>,
    pub(crate) release: mpsc::Sender<()>,
    pub(crate) spec: ChildSpec,
}

/// `when`: blocks at once after ready, or only once it is asked to stop.
pub(crate) fn blocker(id: &str, at_once: bool) -> Blocker {
    let (release, released) = mpsc::channel();
    let released = Arc::new(std::sync::Mutex::new(released));
    let starts = Arc::new(AtomicUsize::new(0));
    let counted = starts.clone();
    let spec = ChildSpec::new(id.to_owned(), move |ctx: Context| {
        let (released, first) = (released.clone(), counted.fetch_add(1, Ordering::SeqCst) == 0);
        async move {
            ctx.ready();
            if !(at_once && first) {
                ctx.stopping().await;
            }
            if first {
                // No await: neither a stop nor an abort gets through.
                let _ = released.lock().unwrap().recv_timeout(LIMIT);
            }
            ctx.beating(ctx.stopping()).await;
            Ok(Done)
        }
    });
    Blocker {
        starts,
        release,
        spec,
    }
}

/// In real time, since a thread is blocked.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_stop_does_not_wait_for_a_child_that_never_yields() {
    let log = Log::new();
    let blocker = blocker("busy", false);
    let inner = Supervisor::new("inner", Strategy::OneForOne, plenty())
        .child(scripted("a", &log, &[SERVES]))
        .child(blocker.spec.shutdown(Shutdown::After(200 * MS)))
        .child(scripted("b", &log, &[SERVES]));
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(scripted("c", &log, &[SERVES]))
        .child(inner)
        .start_apart(tokio::runtime::Handle::current())
        .await
        .unwrap();
    let tree = root.tree();
    log.take();
    let before = tokio::time::Instant::now();
    let report = root.stop().await;
    assert_eq!(report.stuck, ["top/inner/busy"]);
    // 200 ms of grace and a second after the abort, waited for once and not at every level.
    assert!(before.elapsed() < 2_100 * MS, "{:?}", before.elapsed());
    assert_eq!(log.lines(), ["b down", "a down", "c down"]);
    assert_eq!(
        tree.snapshot().find("top/inner/busy").unwrap().state,
        State::Stuck
    );
    blocker.release.send(()).unwrap();
}

/// In real time, since a thread is blocked.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_stuck_child_gets_no_second_incarnation_until_it_has_ended() {
    let log = Log::new();
    let blocker = blocker("busy", true);
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(blocker.spec.heartbeat(300 * MS).restart(Restart::Transient))
        .child(scripted("a", &log, &[SERVES]))
        .start_apart(tokio::runtime::Handle::current())
        .await
        .unwrap();
    let tree = root.tree();
    let (first, sibling) = (incarnation(&tree, "top/busy"), incarnation(&tree, "top/a"));
    let mut events = tree.events();
    // Hung, asked, aborted, stuck; then a restart is wanted, and wanted again, and cannot be.
    hear(&mut events, |event| {
        matches!(event.what, What::Stuck).then_some(())
    })
    .await;
    for _ in 0..2 {
        hear(&mut events, |event| {
            matches!(event.what, What::Backoff { .. }).then_some(())
        })
        .await;
    }
    let snapshot = tree.snapshot();
    let node = snapshot.find("top/busy").unwrap();
    assert_eq!((node.state, node.incarnation), (State::Stuck, Some(first)));
    assert_eq!(blocker.starts.load(Ordering::SeqCst), 1);
    // Its end is consumed, and the restart goes on.
    blocker.release.send(()).unwrap();
    until_newer(&tree, "top/busy", first).await;
    assert_eq!(blocker.starts.load(Ordering::SeqCst), 2);
    assert_eq!(incarnation(&tree, "top/a"), sibling);
    assert!(root.stop().await.stuck.is_empty());
}

/// In real time, since a thread is blocked.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_supervisor_above_a_stuck_child_gets_no_second_incarnation_either() {
    let log = Log::new();
    let blocker = blocker("busy", true);
    let inner = Supervisor::new("inner", Strategy::OneForOne, Budget::restarts(0).per(SECOND))
        .child(scripted("a", &log, &[SERVES]))
        .child(blocker.spec.heartbeat(300 * MS));
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(scripted("b", &log, &[SERVES]))
        .child(inner)
        .start_apart(tokio::runtime::Handle::current())
        .await
        .unwrap();
    let tree = root.tree();
    let (first, sibling) = (incarnation(&tree, "top/inner"), incarnation(&tree, "top/b"));
    // The inner one gives up, its other child is stopped, and it cannot be replaced.
    until_state(&tree, "top/inner", State::Stuck).await;
    let mut events = tree.events();
    hear(&mut events, |event| {
        matches!(event.what, What::Backoff { .. }).then_some(())
    })
    .await;
    assert_eq!(log.lines(), ["b up", "a up", "a down"]);
    blocker.release.send(()).unwrap();
    until_newer(&tree, "top/inner", first).await;
    assert_eq!(log.lines(), ["b up", "a up", "a down", "a up"]);
    assert_eq!(blocker.starts.load(Ordering::SeqCst), 2);
    assert_eq!(incarnation(&tree, "top/b"), sibling);
    assert!(root.stop().await.stuck.is_empty());
}

/// In real time, since a thread is blocked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_wakes_its_supervisor_and_blocks_its_thread_holds_up_nobody() {
    let log = Log::new();
    let blocker = blocker("busy", true);
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(scripted("a", &log, &[SERVES]))
        // Says ready, which wakes the supervisor, and blocks in the same poll.
        .child(blocker.spec.shutdown(Shutdown::BrutalKill))
        .child(scripted("b", &log, &[SERVES]))
        .start_apart(tokio::runtime::Handle::current())
        .await
        .unwrap();
    let tree = root.tree();
    let a = incarnation(&tree, "top/a");
    tree.crash("top/a").unwrap();
    until_newer(&tree, "top/a", a).await;
    assert_eq!(blocker.starts.load(Ordering::SeqCst), 1);
    blocker.release.send(()).unwrap();
    root.stop().await;
}

/// The tree's own runtime and the children's are two, so the latter can end first.
#[test]
fn children_killed_from_outside_are_crashes_and_reach_the_root() {
    let theirs = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let ours = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let log = Log::new();
    ours.block_on(async {
        let root = Supervisor::root("top", Strategy::OneForOne, Budget::restarts(2).per(SECOND))
            .child(scripted("a", &log, &[SERVES]).restart(Restart::Transient))
            .start_apart(theirs.handle().clone())
            .await
            .unwrap();
        theirs.shutdown_background();
        let ended = tokio::time::timeout(LIMIT, root.wait()).await.unwrap();
        assert_eq!(ended.to_string(), "`top`: gave up on `top/a`; `top/a`: killed");
        assert_eq!(log.lines(), ["a up", "a down"]);
    });
}
