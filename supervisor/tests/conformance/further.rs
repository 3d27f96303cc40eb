//! Counting, pauses and heartbeats: what OTP's suite does not ask.

use std::time::Duration;

use ao_supervisor::{
    Backoff, Budget, ChildSpec, Done, Reason, Restart, StartError, State, Strategy, Supervisor,
};

use crate::kit::{Actor, Init, Log, MS, SECOND, Say, World, budget, settle};
use crate::run;

/// X1 and A3.1: a transient child that is killed by somebody else than its supervisor is wanted back.
pub(crate) fn a_killed_transient_child_is_wanted_back() {
    let children = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let here = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    here.block_on(async {
        let child = ChildSpec::new("c1", |ctx| async move {
            ctx.ready();
            std::future::pending().await
        })
        .restart(Restart::Transient);
        let root = Supervisor::root("top", Strategy::OneForOne, budget(0, 5))
            .child(child)
            .start_apart(children.handle().clone())
            .await
            .unwrap();
        // Nobody but its supervisor has a handle to a child; the end of its runtime kills it all the same.
        children.shutdown_background();
        let ended = root.wait().await;
        assert!(matches!(&ended.path[0].reason, Reason::GaveUp { .. }), "{ended}");
        assert!(matches!(&ended.path[1].reason, Reason::Killed), "{ended}");
    });
}

/// X10: three restarts in 300 ms are allowed, one crash each 200 ms never makes four.
pub(crate) fn the_window_slides() {
    run(async {
        let log = Log::new();
        let c1 = Actor::new("c1", &log);
        let limit = Budget::restarts(3).per(300 * MS);
        let world = World::start(Strategy::OneForOne, limit, vec![c1.spec()]).await;
        for _ in 0..8 {
            c1.say(Say::Crash);
            world.settle().await;
            tokio::time::sleep(200 * MS).await;
        }
        assert_eq!(world.counts(), [1, 1, 0, 1]);
        world.root.stop().await;
    });
}

/// X7: a child that can never start, with pauses so long that no limit is ever passed, would be tried for ever in silence.
pub(crate) fn a_limit_that_cannot_be_passed_is_refused() {
    run(async {
        let pause = Backoff {
            immediate: 0,
            jitter: 0.0,
            ..Backoff::between(60 * MS, 60 * MS)
        };
        let log = Log::new();
        let start = |restarts| {
            let limit = Budget::restarts(restarts).per(100 * MS);
            let child = Actor::new("c1", &log).spec().backoff(pause);
            Supervisor::root("top", Strategy::OneForOne, limit)
                .child(child)
                .start()
        };
        let Err(StartError::Spec(fault)) = start(2).await else {
            panic!("it started")
        };
        assert_eq!(
            fault.to_string(),
            "`c1` pauses too long to ever pass 2 restarts in 100ms"
        );
        let root = start(1).await.unwrap();
        root.stop().await;
    });
}

/// A6.1: a restart is counted when it is wanted. Counted after its pause of four seconds the second one would be let through at
/// 4.5 s and end the supervisor at 8.5 s.
pub(crate) fn a_restart_counts_before_its_pause() {
    run(async {
        let pause = Backoff {
            immediate: 0,
            jitter: 0.0,
            ..Backoff::between(4 * SECOND, 4 * SECOND)
        };
        let log = Log::new();
        let c1 = Actor::new("c1", &log);
        let world = World::start(Strategy::OneForOne, budget(1, 5), vec![c1.spec().backoff(pause)]).await;
        let began = tokio::time::Instant::now();
        c1.say(Say::Crash);
        world.settle().await;
        tokio::time::sleep(4_500 * MS).await;
        c1.say(Say::Crash);
        world.ended().await;
        assert_eq!(began.elapsed(), 4_500 * MS);
    });
}

/// X11: the limit is over all children.
pub(crate) fn the_limit_is_the_supervisors() {
    run(async {
        let log = Log::new();
        let all: Vec<Actor> = (0..4).map(|n| Actor::new(&format!("c{n}"), &log)).collect();
        let specs = all.iter().map(Actor::spec).collect();
        let world = World::start(Strategy::OneForOne, budget(2, 3600), specs).await;
        for child in &all[..2] {
            child.say(Say::Crash);
            world.settle().await;
        }
        all[2].say(Say::Crash);
        let ended = world.ended().await;
        assert!(ended.to_string().contains("gave up on `top/c2`"), "{ended}");
    });
}

/// X18: exact pauses without jitter, bounds with it, a reset after uptime, none for a zero pause.
pub(crate) fn pauses_are_as_specified() {
    run(async {
        let log = Log::new();
        let c1 = Actor::new("c1", &log);
        let exact = Backoff {
            jitter: 0.0,
            reset_after: 60 * SECOND,
            ..Backoff::between(SECOND, 4 * SECOND)
        };
        let world = World::start(
            Strategy::OneForOne,
            budget(100, 3600),
            vec![c1.spec().backoff(exact)],
        )
        .await;
        let mut pauses = Vec::new();
        for turn in 0..7 {
            if turn == 5 {
                tokio::time::sleep(60 * SECOND).await;
            }
            let began = tokio::time::Instant::now();
            c1.say(Say::Crash);
            settle().await;
            if world.which("c1") != "running" {
                world.until("top/c1", State::Running).await;
            }
            pauses.push(began.elapsed().as_secs());
        }
        assert_eq!(pauses, [0, 1, 2, 4, 4, 0, 1]);
        world.root.stop().await;
        for seed in 0..20 {
            let log = Log::new();
            let c1 = Actor::new("c1", &log);
            let full = Backoff {
                immediate: 0,
                jitter: 1.0,
                ..Backoff::between(SECOND, SECOND)
            };
            let tree = Supervisor::root("top", Strategy::OneForOne, budget(100, 3600))
                .seed(seed)
                .child(c1.spec().backoff(full));
            let world = World::of(tree).await;
            let began = tokio::time::Instant::now();
            c1.say(Say::Crash);
            settle().await;
            if world.which("c1") != "running" {
                world.until("top/c1", State::Running).await;
            }
            assert!(began.elapsed() <= SECOND);
            world.root.stop().await;
        }
    });
}

/// X20: silence past the heartbeat is a hang; a beat every half of it never is.
pub(crate) fn a_missed_heartbeat_is_a_hang() {
    run(async {
        let beats = ChildSpec::new("beats", |ctx| async move {
            ctx.ready();
            ctx.beating(ctx.stopping()).await;
            Ok(Done)
        })
        .heartbeat(SECOND);
        let silent = ChildSpec::new("silent", |ctx| async move {
            ctx.ready();
            std::future::pending::<()>().await;
            Ok(Done)
        })
        .heartbeat(SECOND);
        let world = World::start(Strategy::OneForOne, budget(100, 10), vec![beats, silent]).await;
        let first = world.child("beats").unwrap();
        tokio::time::sleep(5 * SECOND).await;
        assert_eq!(world.child("beats").unwrap(), first);
        let node = world.tree.snapshot();
        let exit = node.find("top/silent").unwrap().last_exit.clone().unwrap();
        assert!(
            matches!(exit.reason, Reason::Hung { silent_for } if silent_for > SECOND),
            "{exit:?}"
        );
        world.root.stop().await;
    });
}

/// A5.8: a group that cannot come up is stopped by an order between two attempts, without any pause between them.
pub(crate) fn an_order_ends_a_groups_endless_attempts() {
    run(async {
        let log = Log::new();
        let (c1, c2) = (Actor::new("c1", &log), Actor::new("c2", &log));
        c2.inits(&[Init::Ready]).and_then(Init::Fail);
        let world = World::start(
            Strategy::OneForAll,
            budget(u32::MAX, 3600),
            vec![c1.spec(), c2.spec()],
        )
        .await;
        c1.say(Say::Crash);
        tokio::task::yield_now().await;
        tokio::time::timeout(SECOND, world.sup.terminate_child("c2"))
            .await
            .expect("it has its turn")
            .unwrap();
        assert_eq!(world.which("c2"), "undefined");
        assert!(world.root.stop().await.stuck.is_empty());
    });
}

/// A10.12 as one mailbox would have it: a sibling's end waits for the order that came before it.
pub(crate) fn an_end_waits_for_the_order_before_it() {
    run(async {
        let log = Log::new();
        let (c1, c2) = (Actor::new("c1", &log), Actor::new("c2", &log));
        c2.inits(&[Init::Slow(SECOND)]);
        let world = World::start(Strategy::RestForOne, budget(5, 3600), vec![c1.spec()]).await;
        let mut order = Box::pin(world.sup.start_child(c2.spec()));
        tokio::select! {
            biased;
            _ = &mut order => panic!("it takes a second"),
            () = settle() => {}
        }
        c1.say(Say::Crash);
        settle().await;
        assert_eq!(log.take(), ["c1 up", "c1 down"], "nobody is restarted yet");
        assert!(order.await.unwrap().child.is_some(), "it came up and was told");
        world.settle().await;
        assert_eq!(log.take(), ["c2 up", "c2 down", "c1 up", "c2 up"]);
        world.root.stop().await;
    });
}

/// A person's restart and parking: counted nowhere; parked until resumed.
pub(crate) fn by_hand() {
    run(async {
        let log = Log::new();
        let (c1, c2) = (Actor::new("c1", &log), Actor::new("c2", &log));
        let specs = vec![c1.spec().budget(budget(0, 5)), c2.spec()];
        let world = World::start(Strategy::OneForOne, budget(0, 5), specs).await;
        log.take();
        let before = world.child("c1").unwrap();
        world.tree.restart("top/c1").unwrap();
        world.settle().await;
        assert_eq!(log.take(), ["c1 down", "c1 up"]);
        assert_ne!(world.child("c1").unwrap(), before);
        world.tree.park("top/c1").unwrap();
        world.settle().await;
        let node = world.tree.snapshot();
        let parked = node.find("top/c1").unwrap();
        assert_eq!(parked.state, State::Parked);
        assert_eq!(parked.parked.as_ref().unwrap().reason.text(), "parked by hand");
        assert_eq!(parked.parked.as_ref().unwrap().retry_in_ms, None);
        tokio::time::sleep(Duration::from_secs(100_000)).await;
        assert_eq!(world.which("c1"), "undefined");
        assert!(world.tree.park("top/c1").is_err(), "it is parked already");
        world.tree.resume("top/c1").unwrap();
        world.settle().await;
        assert_eq!(world.which("c1"), "running");
        assert_eq!(world.tree.snapshot().root.budget.unwrap().in_window, Some(0));
        world.root.stop().await;

        // In a group those that rest on it go down with it, and nobody can be parked.
        let log = Log::new();
        let all: Vec<Actor> = ["c1", "c2", "c3"].map(|id| Actor::new(id, &log)).into();
        let specs = all.iter().map(Actor::spec).collect();
        let world = World::start(Strategy::RestForOne, budget(0, 5), specs).await;
        log.take();
        world.tree.restart("top/c2").unwrap();
        world.settle().await;
        assert_eq!(log.take(), ["c3 down", "c2 down", "c2 up", "c3 up"]);
        assert!(world.tree.park("top/c2").is_err());
        assert!(world.tree.restart("top").is_err());
        world.root.stop().await;
    });
}
