//! one_for_one, one_for_all, rest_for_one and the dynamic kind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ao_supervisor::{
    Budget, ChildSpec, Done, Dynamic, Reason, Restart, Shutdown, State, Strategy, Supervisor,
};

use crate::kit::{Actor, Init, Log, MS, OnStop, Pool, SECOND, Say, World, budget, settle};
use crate::run;

fn actors<const N: usize>(log: &Log, ids: [&str; N]) -> [Actor; N] {
    ids.map(|id| Actor::new(id, log))
}

fn specs(actors: &[Actor]) -> Vec<ChildSpec> {
    actors.iter().map(Actor::spec).collect()
}

/// The supervisor ended because of `child`.
async fn gave_up_on(world: World, child: &str) {
    let ended = world.ended().await;
    let Reason::GaveUp { path, .. } = &ended.path[0].reason else {
        panic!("{ended}");
    };
    assert_eq!(&**path, child);
    assert!(ended.path.len() == 2, "{ended}");
}

pub(crate) fn one_for_one() {
    run(async {
        let log = Log::new();
        let [c1, c2] = actors(&log, ["c1", "c2"]);
        let world = World::start(Strategy::OneForOne, budget(2, 3600), specs(&[c1.clone(), c2])).await;
        let (one, two) = (world.child("c1").unwrap(), world.child("c2").unwrap());
        c1.say(Say::Crash);
        world.settle().await;
        assert_ne!(world.child("c1").unwrap(), one);
        assert_eq!(world.child("c2").unwrap(), two);
        assert_eq!(world.counts(), [2, 2, 0, 2]);
        c1.say(Say::Crash);
        world.settle().await;
        assert_eq!(world.counts(), [2, 2, 0, 2]);
        c1.say(Say::Crash);
        gave_up_on(world, "top/c1").await;
    });
}

/// Four retries of one crash: the fifth wanted restart is one too many.
async fn escalates(strategy: Strategy, culprit: usize, victim: usize) {
    let log = Log::new();
    let all = actors(&log, ["c1", "c2"]);
    all[victim].inits(&[Init::Ready]).and_then(Init::Fail);
    let world = World::start(strategy, budget(4, 3600), specs(&all)).await;
    log.take();
    all[culprit].say(Say::Crash);
    let path = format!("top/c{}", victim + 1);
    gave_up_on(world, &path).await;
    let said = log.take();
    let ups = |id: &str| said.iter().filter(|line| **line == format!("{id} up")).count();
    let downs = |id: &str| said.iter().filter(|line| **line == format!("{id} down")).count();
    for id in ["c1", "c2"] {
        assert_eq!(ups(id) + 1, downs(id), "{id} is down: {said:?}");
    }
}

pub(crate) fn one_for_one_escalation() {
    run(escalates(Strategy::OneForOne, 0, 0));
}

pub(crate) fn one_for_all() {
    run(async {
        let log = Log::new();
        let [c1, c2] = actors(&log, ["c1", "c2"]);
        let world = World::start(
            Strategy::OneForAll,
            budget(2, 3600),
            specs(&[c1.clone(), c2.clone()]),
        )
        .await;
        let (one, two) = (world.child("c1").unwrap(), world.child("c2").unwrap());
        log.take();
        c1.say(Say::Crash);
        world.settle().await;
        assert_eq!(log.take(), ["c1 down", "c2 down", "c1 up", "c2 up"]);
        assert_ne!(world.child("c1").unwrap(), one);
        assert_ne!(world.child("c2").unwrap(), two);
        assert_eq!(world.counts(), [2, 2, 0, 2]);
        c2.say(Say::Crash);
        world.settle().await;
        assert_eq!(world.counts(), [2, 2, 0, 2]);
        c1.say(Say::Crash);
        gave_up_on(world, "top/c1").await;
    });
}

pub(crate) fn one_for_all_escalation() {
    run(escalates(Strategy::OneForAll, 0, 1));
}

pub(crate) fn one_for_all_other_child_fails_restart() {
    run(async {
        let log = Log::new();
        let [c1, c2] = actors(&log, ["c1", "c2"]);
        c2.inits(&[Init::Ready, Init::Fail, Init::Ready]);
        let world = World::start(Strategy::OneForAll, budget(3, 3600), specs(&[c1.clone(), c2])).await;
        log.take();
        c1.say(Say::Crash);
        world.settle().await;
        assert_eq!(
            log.take(),
            ["c1 down", "c2 down", "c1 up", "c1 down", "c1 up", "c2 up"],
            "the one that came up is terminated, and all start again from the first"
        );
        assert_eq!(world.tree.snapshot().root.budget.unwrap().in_window, Some(2));
        world.root.stop().await;
    });
}

pub(crate) fn simple_one_for_one() {
    run(async {
        let log = Log::new();
        let [c1, c2] = actors(&log, ["c1", "c2"]);
        let pool = Pool::start(Restart::Permanent, budget(2, 3600)).await;
        let one = pool.add("c1", &c1).await;
        let two = pool.add("c2", &c2).await;
        for _ in 0..2 {
            c1.say(Say::Crash);
            settle().await;
            let all = pool.sup.which_children().unwrap();
            assert_ne!(all[0].child.clone().unwrap(), one);
            assert_eq!(all[1].child.clone().unwrap(), two, "the other did not notice");
            assert_eq!(pool.counts(), [1, 2, 0, 2]);
        }
        c1.say(Say::Crash);
        let ended = pool.root.wait().await;
        assert!(ended.to_string().contains("gave up on `top/pool/c1`"), "{ended}");
    });
}

pub(crate) fn simple_one_for_one_shutdown() {
    run(async {
        const T: std::time::Duration = SECOND;
        let log = Log::new();
        let pool = Pool::with(Restart::Permanent, budget(2, 3600), Shutdown::After(2 * T), None).await;
        for (id, takes) in [("c1", T), ("c2", T), ("c3", 5 * T)] {
            pool.add(id, &Actor::that(id, &log, OnStop::After(takes))).await;
        }
        let began = tokio::time::Instant::now();
        pool.root.stop().await;
        let took = began.elapsed();
        assert!(took >= T && took < 5 * T, "{took:?}");
        assert_eq!(took, 2 * T);
    });
}

pub(crate) fn simple_one_for_one_extra() {
    run(async {
        let log = Log::new();
        let c1 = Actor::new("c1", &log);
        c1.and_then(Init::Extra(42));
        let pool = Pool::start(Restart::Permanent, budget(1, 3600)).await;
        let started = pool.sup.start_child("c1", c1.clone()).await.unwrap();
        assert_eq!(*started.value.unwrap().downcast::<u64>().unwrap(), 42);
        c1.say(Say::Crash);
        settle().await;
        assert_eq!(pool.counts(), [1, 1, 0, 1]);
        c1.say(Say::Crash);
        assert!(pool.root.wait().await.to_string().contains("gave up"));
    });
}

pub(crate) fn simple_one_for_one_escalation() {
    run(async {
        let log = Log::new();
        let [c1, c2] = actors(&log, ["c1", "c2"]);
        c1.inits(&[Init::Ready]).and_then(Init::Fail);
        let pool = Pool::start(Restart::Permanent, budget(4, 3600)).await;
        pool.add("c1", &c1).await;
        pool.add("c2", &c2).await;
        c1.say(Say::Crash);
        let ended = pool.root.wait().await;
        assert!(ended.to_string().contains("gave up on `top/pool/c1`"), "{ended}");
        assert_eq!(log.take(), ["c1 up", "c2 up", "c1 down", "c2 down"]);
    });
}

/// What a temporary child was started with is gone once it has started.
pub(crate) fn simple_one_for_one_corruption() {
    run(async {
        let large = Arc::new(vec![0_u8; 1 << 20]);
        let pool = Dynamic::new("pool", budget(2, 3600), |key: &str, large: Arc<Vec<u8>>| {
            ChildSpec::new(key, move |ctx| {
                assert_eq!(large.len(), 1 << 20);
                async move {
                    ctx.ready();
                    ctx.stopping().await;
                    Ok(Done)
                }
            })
            .restart(Restart::Temporary)
        });
        let orders = pool.handle();
        let root = Supervisor::root("top", Strategy::OneForOne, budget(1, 5))
            .child(pool)
            .start()
            .await
            .unwrap();
        orders.start_child("c1", large.clone()).await.unwrap();
        orders.start_child("c2", large.clone()).await.unwrap();
        assert_eq!(orders.count_children().unwrap().active, 2);
        assert_eq!(Arc::strong_count(&large), 1);
        root.stop().await;
    });
}

pub(crate) fn rest_for_one() {
    run(async {
        let log = Log::new();
        let all = actors(&log, ["c1", "c2", "c3"]);
        let world = World::start(Strategy::RestForOne, budget(2, 3600), specs(&all)).await;
        let before: Vec<_> = ["c1", "c2", "c3"].map(|id| world.child(id).unwrap()).into();
        log.take();
        all[1].say(Say::Crash);
        world.settle().await;
        assert_eq!(log.take(), ["c2 down", "c3 down", "c2 up", "c3 up"]);
        assert_eq!(world.child("c1").unwrap(), before[0]);
        assert_ne!(world.child("c2").unwrap(), before[1]);
        assert_ne!(world.child("c3").unwrap(), before[2]);
        assert_eq!(world.counts(), [3, 3, 0, 3]);
        all[1].say(Say::Crash);
        world.settle().await;
        all[1].say(Say::Crash);
        gave_up_on(world, "top/c2").await;
    });
}

pub(crate) fn rest_for_one_escalation() {
    run(escalates(Strategy::RestForOne, 0, 1));
}

pub(crate) fn rest_for_one_other_child_fails_restart() {
    run(async {
        let log = Log::new();
        let [c1, c2] = actors(&log, ["c1", "c2"]);
        c2.inits(&[Init::Ready, Init::Fail, Init::Ready]);
        let world = World::start(Strategy::RestForOne, budget(3, 3600), specs(&[c1.clone(), c2])).await;
        log.take();
        c1.say(Say::Crash);
        world.settle().await;
        assert_eq!(
            log.take(),
            ["c1 down", "c2 down", "c1 up", "c2 up"],
            "the second is tried again alone, the first is left running"
        );
        assert_eq!(world.tree.snapshot().root.budget.unwrap().in_window, Some(2));
        world.root.stop().await;
    });
}

pub(crate) fn order_of_children() {
    run(async {
        let log = Log::new();
        let ids = ["c1", "a2", "z3", "b4", "y5"];
        let all = actors(&log, ids);
        let world = World::start(Strategy::RestForOne, budget(2, 3600), specs(&all)).await;
        assert_eq!(world.ids(), ids);
        log.take();
        all[2].say(Say::Crash);
        world.settle().await;
        assert_eq!(
            log.take(),
            ["z3 down", "y5 down", "b4 down", "z3 up", "b4 up", "y5 up"]
        );
        world.root.stop().await;
        assert_eq!(
            log.take(),
            ["y5 down", "b4 down", "z3 down", "a2 down", "c1 down"]
        );
    });
}

/// X4: both children of one_for_all fail in one instant, many times: always one restart.
pub(crate) fn two_failures_at_once_are_one_restart() {
    run(async {
        for _ in 0..20 {
            let log = Log::new();
            let [c1, c2] = actors(&log, ["c1", "c2"]);
            let world = World::start(
                Strategy::OneForAll,
                budget(1, 3600),
                specs(&[c1.clone(), c2.clone()]),
            )
            .await;
            c1.say(Say::Crash);
            c2.say(Say::Crash);
            world.settle().await;
            assert_eq!(world.counts(), [2, 2, 0, 2]);
            assert_eq!(world.tree.snapshot().root.budget.unwrap().in_window, Some(1));
            world.root.stop().await;
        }
    });
}

/// X5: one_for_all with a sibling that takes 300 ms to end, intensity 1: one restart.
pub(crate) fn a_group_waits_for_the_last_to_end() {
    run(async {
        let log = Log::new();
        let c1 = Actor::new("c1", &log);
        let c2 = Actor::that("c2", &log, OnStop::After(300 * MS));
        let world = World::start(Strategy::OneForAll, budget(1, 3600), specs(&[c1.clone(), c2])).await;
        log.take();
        c1.say(Say::Crash);
        tokio::time::sleep(299 * MS).await;
        assert_eq!(
            log.take(),
            ["c1 down"],
            "nobody is started before the last has ended"
        );
        tokio::time::sleep(MS).await;
        world.settle().await;
        assert_eq!(log.take(), ["c2 down", "c1 up", "c2 up"]);
        assert_eq!(world.tree.snapshot().root.budget.unwrap().in_window, Some(1));
        world.root.stop().await;
    });
}

/// X9: a transient sibling that had ended before comes back with its group.
pub(crate) fn a_sibling_that_was_done_comes_back_with_its_group() {
    run(async {
        let log = Log::new();
        let [c1, c2] = actors(&log, ["c1", "c2"]);
        let specs = vec![c1.spec().restart(Restart::Transient), c2.spec()];
        let world = World::start(Strategy::OneForAll, budget(2, 3600), specs).await;
        c1.say(Say::Normal);
        world.settle().await;
        assert_eq!(world.which("c1"), "undefined");
        c2.say(Say::Crash);
        world.settle().await;
        assert_eq!((world.which("c1"), world.which("c2")), ("running", "running"));
        world.root.stop().await;
    });
}

/// X19: an earlier child fails during a later one's delay: one group, the later deadline.
pub(crate) fn two_groups_become_one_and_the_later_pause_holds() {
    run(async {
        let log = Log::new();
        let [c1, c2] = actors(&log, ["c1", "c2"]);
        let pause = |min| ao_supervisor::Backoff {
            immediate: 0,
            jitter: 0.0,
            ..ao_supervisor::Backoff::between(min, min)
        };
        let specs = vec![
            c1.spec().backoff(pause(SECOND)),
            c2.spec().backoff(pause(10 * SECOND)),
        ];
        let world = World::start(Strategy::RestForOne, budget(5, 3600), specs).await;
        log.take();
        let began = tokio::time::Instant::now();
        c2.say(Say::Crash);
        tokio::time::sleep(2 * SECOND).await;
        c1.say(Say::Crash);
        world.until("top/c2", State::Terminated).await;
        world.until("top/c2", State::Running).await;
        assert_eq!(
            began.elapsed(),
            10 * SECOND,
            "not one second after the first fell"
        );
        assert_eq!(log.take(), ["c2 down", "c1 down", "c1 up", "c2 up"]);
        assert_eq!(world.tree.snapshot().root.budget.unwrap().in_window, Some(2));
        world.root.stop().await;
    });
}

/// X28 and A12.2: one child past its own limit is parked, its siblings are untouched, its restarts count for the supervisor too.
pub(crate) fn a_child_past_its_own_limit_is_parked_alone() {
    run(async {
        let log = Log::new();
        let [c1, c2] = actors(&log, ["c1", "c2"]);
        let specs = vec![
            c1.spec().budget(Budget::restarts(2).per(3600 * SECOND)),
            c2.spec(),
        ];
        let world = World::start(Strategy::OneForOne, budget(10, 3600), specs).await;
        let two = world.child("c2").unwrap();
        for _ in 0..3 {
            c1.say(Say::Crash);
            world.settle().await;
        }
        let node = world.tree.snapshot();
        assert_eq!(node.find("top/c1").unwrap().state, State::Parked);
        assert_eq!(world.child("c2").unwrap(), two);
        assert_eq!(node.root.budget.unwrap().in_window, Some(2));
        // By hand it starts, with its specification.
        assert!(world.sup.restart_child("c1").await.unwrap().child.is_some());
        world.root.stop().await;
    });
}

/// X26: whatever ends the supervisor's own task, no child is left running.
pub(crate) fn no_child_outlives_its_supervisors_task() {
    run(async {
        struct Gone(Arc<AtomicBool>);
        impl Drop for Gone {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let gone = Arc::new(AtomicBool::new(false));
        let told = gone.clone();
        let child = ChildSpec::new("c1", move |ctx| {
            let guard = Gone(told.clone());
            async move {
                let _guard = guard;
                ctx.ready();
                std::future::pending().await
            }
        });
        let inner = Supervisor::new("in", Strategy::OneForOne, budget(1, 5)).child(child);
        let world = World::start(Strategy::OneForOne, budget(5, 3600), vec![inner.into()]).await;
        let first = world.tree.snapshot().find("top/in/c1").unwrap().incarnation;
        world.tree.crash("top/in").unwrap(); // the supervisor's own task panics
        settle().await;
        assert!(gone.load(Ordering::SeqCst));
        let node = world.tree.snapshot();
        let next = node.find("top/in/c1").unwrap();
        assert_eq!(next.state, State::Running);
        assert_ne!(next.incarnation, first);
        world.root.stop().await;
    });
}
