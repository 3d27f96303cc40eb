//! The rest of OTP's suite: administration, counting, trees, loops without end.

use std::sync::Arc;

use ao_supervisor::{
    Backoff, Budget, ChildError, ChildSpec, Done, Dynamic, Restart, Shutdown, SpecError, State, Strategy,
    Supervisor,
};

use crate::kit::{Actor, Init, Log, MS, OnStop, Pool, SECOND, Say, World, budget, settle, word};
use crate::run;

pub(crate) fn child_adm() {
    run(async {
        let log = Log::new();
        let c1 = Actor::new("c1", &log);
        let world = World::start(Strategy::OneForOne, budget(2, 3600), vec![c1.spec()]).await;
        let sup = &world.sup;
        // Running.
        assert_eq!(word(sup.start_child(c1.spec()).await), "AlreadyStarted");
        assert_eq!(word(sup.restart_child("c1").await), "Running");
        assert_eq!(word(sup.delete_child("c1").await), "Running");
        assert_eq!(word(sup.childspec("c1")), "ok");
        assert_eq!(world.counts(), [1, 1, 0, 1]);
        // Not running.
        assert_eq!(word(sup.terminate_child("c1").await), "ok");
        assert_eq!(word(sup.terminate_child("c1").await), "ok");
        assert_eq!(world.counts(), [1, 0, 0, 1]);
        assert_eq!(word(sup.start_child(c1.spec()).await), "AlreadyPresent");
        assert_eq!(word(sup.childspec("c1")), "ok");
        assert!(sup.restart_child("c1").await.unwrap().child.is_some());
        assert_eq!(world.counts(), [1, 1, 0, 1]);
        sup.terminate_child("c1").await.unwrap();
        assert_eq!(word(sup.delete_child("c1").await), "ok");
        assert_eq!(world.counts(), [0, 0, 0, 0]);
        // Unknown.
        assert_eq!(word(sup.restart_child("c1").await), "NotFound");
        assert_eq!(word(sup.terminate_child("c1").await), "NotFound");
        assert_eq!(word(sup.delete_child("c1").await), "NotFound");
        assert_eq!(word(sup.childspec("c1")), "NotFound");
        assert_eq!(word(sup.start_child(c1.spec()).await), "ok");
        assert_eq!(world.tree.snapshot().root.budget.unwrap().in_window, Some(0));
        // A supervisor that is gone.
        let sup = world.sup.clone();
        world.root.stop().await;
        assert_eq!(word(sup.start_child(c1.spec()).await), "NoSupervisor");
        assert_eq!(word(sup.restart_child("c1").await), "NoSupervisor");
        assert_eq!(word(sup.terminate_child("c1").await), "NoSupervisor");
        assert_eq!(word(sup.delete_child("c1").await), "NoSupervisor");
        assert_eq!(word(sup.childspec("c1")), "NoSupervisor");
        assert_eq!(word(sup.which_children()), "NoSupervisor");
        assert_eq!(word(sup.count_children()), "NoSupervisor");
    });
}

/// `restart_child` and `delete_child` do not exist on a dynamic supervisor's handle.
pub(crate) fn child_adm_simple() {
    run(async {
        let log = Log::new();
        let pool = Pool::start(Restart::Permanent, budget(2, 3600)).await;
        let other = Pool::start(Restart::Permanent, budget(2, 3600)).await;
        let one = pool.add("c1", &Actor::new("c1", &log)).await;
        let two = pool.add("c2", &Actor::new("c2", &log)).await;
        let foreign = other.add("c1", &Actor::new("c1", &log)).await;
        assert_eq!(pool.counts(), [1, 2, 0, 2]);
        assert_eq!(word(pool.sup.terminate(&foreign).await), "NotFound");
        assert!(!foreign.is_over(), "it was not touched");
        assert_eq!(word(pool.sup.terminate(&one).await), "ok");
        assert!(one.is_over());
        assert_eq!(word(pool.sup.terminate(&one).await), "ok", "dead is fine");
        assert_eq!(word(pool.sup.terminate_child("c2").await), "ok");
        assert!(two.is_over());
        assert_eq!(word(pool.sup.terminate_child("c2").await), "NotFound");
        assert_eq!(pool.counts(), [1, 0, 0, 0]);
        let sup = pool.sup.clone();
        pool.root.stop().await;
        assert_eq!(word(sup.terminate_child("c1").await), "NoSupervisor");
        assert_eq!(word(sup.count_children()), "NoSupervisor");
        other.root.stop().await;
    });
}

pub(crate) fn extra_return() {
    run(async {
        let log = Log::new();
        let c1 = Actor::new("c1", &log);
        c1.and_then(Init::Extra(7));
        let world = World::start(Strategy::OneForOne, budget(2, 3600), vec![]).await;
        let value = |started: ao_supervisor::Started| *started.value.unwrap().downcast::<u64>().unwrap();
        assert_eq!(value(world.sup.start_child(c1.spec()).await.unwrap()), 7);
        c1.say(Say::Crash);
        world.settle().await;
        assert_eq!(world.counts(), [1, 1, 0, 1]);
        world.sup.terminate_child("c1").await.unwrap();
        assert_eq!(value(world.sup.restart_child("c1").await.unwrap()), 7);
        world.root.stop().await;
    });
}

pub(crate) fn child_specs() {
    run(async {
        let log = Log::new();
        let world = World::start(Strategy::OneForOne, budget(2, 3600), vec![]).await;
        for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
            for shutdown in [
                Shutdown::After(std::time::Duration::ZERO),
                Shutdown::After(1_000 * MS),
                Shutdown::Infinity,
                Shutdown::BrutalKill,
            ] {
                let worker = Actor::new("c1", &log).spec();
                let inner = Supervisor::new("c1", Strategy::OneForOne, budget(1, 5));
                for spec in [worker, ChildSpec::from(inner)] {
                    let spec = spec.restart(restart).shutdown(shutdown);
                    world.sup.start_child(spec).await.unwrap();
                    assert_eq!(world.sup.childspec("c1").unwrap().shutdown, shutdown);
                    world.sup.terminate_child("c1").await.unwrap();
                    let _ = world.sup.delete_child("c1").await; // a temporary one is gone already
                }
            }
        }
        let twice = Supervisor::root("x", Strategy::OneForOne, budget(1, 5))
            .child(Actor::new("c1", &log).spec())
            .child(Actor::new("c1", &log).spec());
        let Err(ao_supervisor::StartError::Spec(SpecError::DuplicateId { id, .. })) = twice.start().await
        else {
            panic!("it started");
        };
        assert_eq!(id, "c1");
        world.root.stop().await;
    });
}

/// What is refused when it is built or given: everything of A1.2 that a type cannot exclude.
pub(crate) fn child_specs_map() {
    run(async {
        let log = Log::new();
        let spec = || Actor::new("c1", &log).spec();
        let back = |min: u32, max: u32, jitter: f64| Backoff {
            jitter,
            ..Backoff::between(min * MS, max * MS)
        };
        let bad = [
            spec().heartbeat(std::time::Duration::ZERO),
            spec().backoff(back(2, 1, 0.0)),
            spec().backoff(back(1, 2, 1.5)),
            spec().backoff(back(60_000, 60_000, 0.0)),
            spec().budget(Budget::restarts(1).per(std::time::Duration::ZERO)),
            spec().budget(Budget::parking()),
        ];
        for (n, spec) in bad.into_iter().enumerate() {
            let world = World::start(Strategy::OneForOne, budget(3, 5), vec![]).await;
            assert_eq!(word(world.sup.start_child(spec).await), "Spec", "case {n}");
            world.root.stop().await;
        }
        let world = World::start(Strategy::OneForAll, budget(3, 5), vec![]).await;
        let parks = spec().budget(Budget::restarts(1).per(SECOND));
        assert_eq!(word(world.sup.start_child(parks).await), "Spec");
        world.root.stop().await;
    });
}

pub(crate) fn sup_flags() {
    run(async {
        let zero = Supervisor::root(
            "x",
            Strategy::OneForOne,
            Budget::restarts(1).per(std::time::Duration::ZERO),
        );
        assert!(matches!(
            zero.start().await,
            Err(ao_supervisor::StartError::Spec(SpecError::ZeroPeriod { .. }))
        ));
        let log = Log::new();
        let endless = Supervisor::root("x", Strategy::OneForOne, Budget::unlimited())
            .child(Actor::new("c1", &log).spec());
        assert!(matches!(
            endless.start().await,
            Err(ao_supervisor::StartError::Spec(
                SpecError::UnlimitedWithoutBackoff { .. }
            ))
        ));
        assert_eq!(Budget::default(), budget(1, 5));
    });
}

pub(crate) fn multiple_restarts() {
    run(async {
        let log = Log::new();
        let c1 = Actor::new("c1", &log);
        let world = World::start(Strategy::OneForOne, budget(1, 1), vec![c1.spec()]).await;
        for _ in 0..4 {
            tokio::time::sleep(2_100 * MS).await;
            c1.say(Say::Crash);
            world.settle().await;
        }
        assert_eq!(world.counts(), [1, 1, 0, 1]);
        world.root.stop().await;
    });
}

/// A child cannot leave its supervisor here; one that ends while it is being terminated holds up nobody.
pub(crate) fn child_unlink() {
    run(async {
        let log = Log::new();
        let c1 = Actor::that("c1", &log, OnStop::Deaf);
        let world = World::start(Strategy::OneForOne, budget(2, 3600), vec![c1.spec()]).await;
        let mut order = Box::pin(world.sup.terminate_child("c1"));
        tokio::select! {
            biased;
            _ = &mut order => panic!("it is deaf"),
            () = settle() => {}
        }
        c1.say(Say::Normal);
        order.await.unwrap();
        assert_eq!(word(world.sup.terminate_child("c1").await), "ok");
        assert_eq!(world.counts(), [1, 0, 0, 1]);
        world.root.stop().await;
    });
}

pub(crate) fn tree() {
    run(async {
        let log = Log::new();
        let workers: Vec<Actor> = (0..6).map(|n| Actor::new(&format!("w{n}"), &log)).collect();
        let sup = |id: &str, a: usize| {
            Supervisor::new(id.to_owned(), Strategy::OneForOne, budget(1, 3600))
                .child(workers[a].spec())
                .child(workers[a + 1].spec())
        };
        let top = Supervisor::root("top", Strategy::OneForAll, budget(4, 3600))
            .child(sup("s1", 0))
            .child(sup("s2", 2))
            .child(sup("s3", 4));
        let world = World::of(top).await;
        assert_eq!(world.counts(), [3, 3, 3, 0]);
        let added = Actor::new("added", &log);
        let s1 = world.tree.supervisor("top/s1").unwrap();
        s1.start_child(added.spec()).await.unwrap();
        let all = |of: &World| -> Vec<(String, Option<u64>)> {
            let snapshot = of.tree.snapshot();
            snapshot
                .nodes()
                .map(|node| (node.path.to_string(), node.incarnation))
                .collect()
        };
        let before = all(&world);
        workers[1].say(Say::Crash);
        world.settle().await;
        let after = all(&world);
        let changed: Vec<_> = before
            .iter()
            .zip(&after)
            .filter(|(one, other)| one != other)
            .map(|(one, _)| one.0.clone())
            .collect();
        assert_eq!(changed, ["top/s1/w1"], "only it is new");
        // It cannot be restarted: its supervisor gives up, the top restarts all three.
        workers[1].inits(&[Init::Fail]);
        workers[1].say(Say::Crash);
        world.settle().await;
        let rebuilt = all(&world);
        for (path, incarnation) in &rebuilt {
            if path != "top" {
                let same = after
                    .iter()
                    .any(|(was, number)| was == path && number == incarnation);
                assert!(!same, "{path} is the old one");
            }
        }
        assert_eq!(
            rebuilt.len(),
            10,
            "static children are back, the added one is not: {rebuilt:?}"
        );
        assert_eq!(world.counts(), [3, 3, 3, 0]);
        assert_eq!(s1.count_children().unwrap().specs, 2, "the handle follows");
        world.root.stop().await;
    });
}

async fn counted(make: impl Fn(&str) -> ChildSpec + Send + Sync + 'static, supervisors: bool) {
    let pool = Dynamic::new("pool", budget(0, 1), move |key: &str, (): ()| {
        make(key)
            .restart(Restart::Temporary)
            .shutdown(Shutdown::BrutalKill)
    });
    let orders = pool.handle();
    let root = Supervisor::root("top", Strategy::OneForOne, budget(0, 1))
        .child(pool)
        .start()
        .await
        .unwrap();
    let counts = || {
        let counts = orders.count_children().unwrap();
        [counts.specs, counts.active, counts.supervisors, counts.workers]
    };
    let of = |n: usize| if supervisors { [1, n, n, 0] } else { [1, n, 0, n] };
    assert_eq!(counts(), [1, 0, 0, 0]);
    for (from, to) in [(0, 1000), (1000, 2000)] {
        for n in from..to {
            orders.start_child(&n.to_string(), ()).await.unwrap();
        }
        assert_eq!(counts(), of(to));
    }
    for n in 0..2000 {
        orders.terminate_child(&n.to_string()).await.unwrap();
    }
    assert_eq!(counts(), [1, 0, 0, 0]);
    root.stop().await;
}

fn idle(key: &str) -> ChildSpec {
    ChildSpec::new(key, |ctx| async move {
        ctx.ready();
        ctx.stopping().await;
        Ok(Done)
    })
}

pub(crate) fn count_children() {
    run(counted(idle, false));
}

pub(crate) fn count_children_supervisor() {
    run(counted(
        |key| Supervisor::new(key, Strategy::OneForOne, budget(1, 5)).into(),
        true,
    ));
}

pub(crate) fn count_restarting_children() {
    run(async {
        let log = Log::new();
        let pause = Backoff {
            immediate: 0,
            jitter: 0.0,
            ..Backoff::between(SECOND, SECOND)
        };
        let pool = Dynamic::new("pool", budget(1_000, 3_600), move |_: &str, actor: Actor| {
            actor.spec().backoff(pause)
        });
        let orders = pool.handle();
        let root = Supervisor::root("top", Strategy::OneForOne, budget(0, 1))
            .child(pool)
            .start()
            .await
            .unwrap();
        let counts = || {
            let counts = orders.count_children().unwrap();
            [counts.specs, counts.active, counts.supervisors, counts.workers]
        };
        let all: Vec<Actor> = (1..4).map(|n| Actor::new(&format!("c{n}"), &log)).collect();
        for (n, actor) in all.iter().enumerate() {
            orders
                .start_child(&format!("c{}", n + 1), actor.clone())
                .await
                .unwrap();
        }
        assert_eq!(counts(), [1, 3, 0, 3]);
        for actor in &all[..2] {
            actor.and_then(Init::Fail);
            actor.say(Say::Crash);
        }
        tokio::time::sleep(5 * SECOND).await;
        assert_eq!(counts(), [1, 1, 0, 3]);
        for actor in &all[..2] {
            actor.and_then(Init::Ready);
        }
        tokio::time::sleep(2 * SECOND).await;
        assert_eq!(counts(), [1, 3, 0, 3]);
        for n in 1..4 {
            orders.terminate_child(&format!("c{n}")).await.unwrap();
            assert_eq!(counts(), [1, 3 - n, 0, 3 - n]);
        }
        root.stop().await;
    });
}

pub(crate) fn do_not_save_start_parameters_for_temporary_children() {
    run(async {
        for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
            for (restart, kept) in [
                (Restart::Temporary, 0),
                (Restart::Permanent, 100),
                (Restart::Transient, 100),
            ] {
                let large = Arc::new(vec![0_u8; 1 << 16]);
                let world = World::start(strategy, budget(2, 3600), vec![]).await;
                for n in 0..100 {
                    let held = large.clone();
                    let spec = ChildSpec::new(format!("c{n}"), move |ctx| {
                        let _used = held.len();
                        async move {
                            ctx.ready();
                            ctx.stopping().await;
                            Ok(Done)
                        }
                    });
                    world.sup.start_child(spec.restart(restart)).await.unwrap();
                }
                assert_eq!(Arc::strong_count(&large) - 1, kept, "{strategy:?} {restart:?}");
                assert_eq!(world.counts()[1], 100);
                world.root.stop().await;
            }
        }
    });
}

pub(crate) fn do_not_save_child_specs_for_temporary_children() {
    run(async {
        for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
            for say in [Say::Normal, Say::Term, Say::Crash, Say::Nothing] {
                let log = Log::new();
                let kinds = [
                    ("p", Restart::Permanent),
                    ("r", Restart::Transient),
                    ("t", Restart::Temporary),
                ];
                for (id, restart) in kinds {
                    let world = World::start(strategy, budget(5, 3600), vec![]).await;
                    let actor = Actor::new(id, &log);
                    world
                        .sup
                        .start_child(actor.spec().restart(restart))
                        .await
                        .unwrap();
                    if say == Say::Nothing {
                        world.sup.terminate_child(id).await.unwrap();
                    } else {
                        actor.say(say.clone());
                        world.settle().await;
                    }
                    let again = word(world.sup.start_child(actor.spec().restart(restart)).await);
                    let wanted = match (restart, &say) {
                        (Restart::Temporary, _) => "ok",
                        (_, Say::Nothing) => "AlreadyPresent",
                        (Restart::Transient, Say::Normal | Say::Term) => "AlreadyPresent",
                        _ => "AlreadyStarted",
                    };
                    assert_eq!(again, wanted, "{strategy:?} {restart:?} {say:?}");
                    world.root.stop().await;
                }
            }
        }
    });
}

pub(crate) fn temporary_bystander() {
    run(async {
        for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
            let log = Log::new();
            let (c1, c2) = (Actor::new("c1", &log), Actor::new("c2", &log));
            let specs = vec![c1.spec(), c2.spec().restart(Restart::Temporary)];
            let world = World::start(strategy, budget(2, 3600), specs).await;
            log.take();
            c1.say(Say::Crash);
            world.settle().await;
            assert_eq!((world.which("c1"), world.which("c2")), ("running", "gone"));
            assert_eq!(log.take(), ["c1 down", "c2 down", "c1 up"]);
            world.root.stop().await;
        }
    });
}

/// The time itself is a benchmark's; what makes it grow is seen here: a start and an end look at no other child.
pub(crate) fn simple_one_for_one_scale_many_temporary_children() {
    run(async {
        let pool = Dynamic::new("pool", budget(0, 1), |key: &str, (): ()| {
            idle(key).restart(Restart::Temporary)
        });
        let orders = pool.handle();
        let root = Supervisor::root("top", Strategy::OneForOne, budget(0, 1))
            .child(pool)
            .start()
            .await
            .unwrap();
        for many in [1_000, 4_000] {
            for n in 0..many {
                orders.start_child(&n.to_string(), ()).await.unwrap();
            }
            assert_eq!(orders.count_children().unwrap().active, many);
            for n in (0..many).rev() {
                orders.terminate_child(&n.to_string()).await.unwrap();
            }
            assert_eq!(orders.count_children().unwrap().workers, 0);
        }
        root.stop().await;
    });
}

pub(crate) fn scale_start_stop_many_children() {
    run(async {
        let world = World::start(Strategy::OneForOne, budget(0, 1), vec![]).await;
        for many in [1_000, 4_000] {
            for n in 0..many {
                world.sup.start_child(idle(&n.to_string())).await.unwrap();
            }
            assert_eq!(world.counts(), [many, many, 0, many]);
            for n in 0..many {
                world.sup.terminate_child(&n.to_string()).await.unwrap();
                world.sup.delete_child(&n.to_string()).await.unwrap();
            }
            assert_eq!(world.counts(), [0, 0, 0, 0]);
        }
        world.root.stop().await;
    });
}

pub(crate) fn hanging_restart_loop() {
    run(async {
        let log = Log::new();
        let c1 = Actor::new("c1", &log);
        c1.inits(&[Init::Ready]).and_then(Init::SlowFail(2 * SECOND));
        let world = World::start(Strategy::OneForOne, budget(8, 10), vec![c1.spec()]).await;
        c1.say(Say::Crash);
        world.settle().await;
        assert_eq!(word(world.sup.start_child(c1.spec()).await), "AlreadyPresent");
        assert_eq!(word(world.sup.restart_child("c1").await), "Restarting");
        assert_eq!(word(world.sup.delete_child("c1").await), "Restarting");
        assert_eq!(world.which("c1"), "restarting");
        assert_eq!(world.counts(), [1, 0, 0, 1]);
        world.sup.terminate_child("c1").await.unwrap();
        assert_eq!(world.which("c1"), "undefined");
        // And a stop in the middle of the loop.
        c1.and_then(Init::Ready);
        world.sup.restart_child("c1").await.unwrap();
        c1.and_then(Init::SlowFail(2 * SECOND));
        c1.say(Say::Crash);
        world.settle().await;
        assert_eq!(world.which("c1"), "restarting");
        assert!(world.root.stop().await.stuck.is_empty());
    });
}

pub(crate) fn hanging_restart_loop_rest_for_one() {
    run(async {
        let log = Log::new();
        let all: Vec<Actor> = ["c1", "c2", "c3"].map(|id| Actor::new(id, &log)).into();
        all[1].inits(&[Init::Ready]).and_then(Init::SlowFail(2 * SECOND));
        let specs = all.iter().map(Actor::spec).collect();
        let world = World::start(Strategy::RestForOne, budget(8, 10), specs).await;
        let first = world.child("c1").unwrap();
        all[1].say(Say::Crash);
        world.settle().await;
        let which = || ["c1", "c2", "c3"].map(|id| world.which(id));
        assert_eq!(which(), ["running", "restarting", "undefined"]);
        assert_eq!(world.child("c1").unwrap(), first);
        assert_eq!(world.counts(), [3, 1, 0, 3]);
        assert_eq!(word(world.sup.start_child(all[1].spec()).await), "AlreadyPresent");
        assert_eq!(word(world.sup.restart_child("c2").await), "Restarting");
        assert_eq!(word(world.sup.delete_child("c2").await), "Restarting");
        world.sup.terminate_child("c2").await.unwrap();
        world.settle().await;
        assert_eq!(which(), ["running", "undefined", "undefined"]);
        assert_eq!(world.child("c1").unwrap(), first);
        world.root.stop().await;
    });
}

pub(crate) fn hanging_restart_loop_simple() {
    run(async {
        let log = Log::new();
        let c1 = Actor::new("c1", &log);
        c1.inits(&[Init::Ready]).and_then(Init::SlowFail(2 * SECOND));
        let pool = Pool::start(Restart::Permanent, budget(8, 10)).await;
        let old = pool.add("c1", &c1).await;
        c1.say(Say::Crash);
        settle().await;
        let all = pool.sup.which_children().unwrap();
        assert!(all[0].restarting && all[0].child.is_none());
        assert_eq!(pool.counts(), [1, 0, 0, 1]);
        assert_eq!(
            word(pool.sup.start_child("c1", c1.clone()).await),
            "AlreadyPresent"
        );
        pool.sup.terminate(&old).await.unwrap();
        assert_eq!(pool.counts(), [1, 0, 0, 0]);
        let tree = pool.tree.clone();
        assert!(pool.root.stop().await.stuck.is_empty());
        assert_eq!(tree.snapshot().root.state, State::Terminated);
    });
}

/// X25: a child that asks for its own end, or its supervisor's, and waits.
pub(crate) fn a_child_that_asks_for_its_own_end_is_told() {
    run(async {
        let answers = Arc::new(std::sync::Mutex::new(Vec::new()));
        let told = answers.clone();
        let child = ChildSpec::new("c1", move |ctx| {
            let told = told.clone();
            async move {
                ctx.ready();
                let (own, above) = (ctx.supervisor().unwrap(), ctx.tree().supervisor("top").unwrap());
                let one = word(own.terminate_child("c1").await);
                let part = ctx.spawn(async move { word(above.terminate_child("in").await) });
                let two = part.await.unwrap();
                told.lock().unwrap().extend([one, two]);
                ctx.stopping().await;
                Ok(Done)
            }
        });
        let inner = Supervisor::new("in", Strategy::OneForOne, budget(1, 5)).child(child);
        let world = World::start(Strategy::OneForOne, budget(1, 5), vec![inner.into()]).await;
        world.settle().await;
        assert_eq!(*answers.lock().unwrap(), ["WouldDeadlock", "WouldDeadlock"]);
        world.root.stop().await;
    });
}

/// X16: as many as there may be, one of them restarting.
pub(crate) fn no_more_children_than_there_may_be() {
    run(async {
        let log = Log::new();
        let pool = Pool::with(
            Restart::Permanent,
            budget(100, 3600),
            Shutdown::After(SECOND),
            Some(2),
        )
        .await;
        let c1 = Actor::new("c1", &log);
        c1.inits(&[Init::Ready]).and_then(Init::SlowFail(SECOND));
        pool.add("c1", &c1).await;
        pool.add("c2", &Actor::new("c2", &log)).await;
        c1.say(Say::Crash);
        settle().await;
        let Err(ChildError::MaxChildren { most }) = pool.sup.start_child("c3", Actor::new("c3", &log)).await
        else {
            panic!("it started");
        };
        assert_eq!(most, 2);
        pool.root.stop().await;
    });
}

/// X17: one that has nothing to do any more at a restart is removed.
pub(crate) fn nothing_to_do_at_a_restart_removes_it() {
    run(async {
        let log = Log::new();
        let pool = Pool::start(Restart::Permanent, budget(2, 3600)).await;
        let c1 = Actor::new("c1", &log);
        c1.inits(&[Init::Ready, Init::Ignore]);
        pool.add("c1", &c1).await;
        c1.say(Say::Crash);
        settle().await;
        assert!(pool.sup.which_children().unwrap().is_empty());
        pool.root.stop().await;
    });
}

/// X22: a dynamic supervisor that is restarted starts every key of the store; one that fails does not keep the others.
pub(crate) fn reload_starts_every_key_of_the_store() {
    run(async {
        let log = Log::new();
        let all: Vec<Actor> = ["c1", "c2", "c3"].map(|id| Actor::new(id, &log)).into();
        let stored = all.clone();
        let pool =
            Dynamic::new("pool", Budget::parking(), |_: &str, actor: Actor| actor.spec()).reload(move || {
                let stored = stored.clone();
                async move {
                    Ok(stored
                        .into_iter()
                        .zip(["c1", "c2", "c3"])
                        .map(|(actor, key)| (key.to_owned(), actor))
                        .collect())
                }
            });
        let orders = pool.handle();
        let world = World::start(Strategy::OneForOne, budget(5, 3600), vec![pool.into()]).await;
        world.settle().await;
        assert_eq!(orders.count_children().unwrap().active, 3);
        orders
            .start_child("added", Actor::new("added", &log))
            .await
            .unwrap();
        all[1].inits(&[Init::Fail, Init::Fail]);
        world.tree.crash("top/pool").unwrap();
        world.settle().await;
        let which: Vec<String> = orders
            .which_children()
            .unwrap()
            .into_iter()
            .map(|info| format!("{} {}", info.id, info.child.is_some()))
            .collect();
        assert_eq!(which, ["c1 true", "c2 false", "c3 true"]);
        world.until("top/pool/c2", State::Running).await;
        world.root.stop().await;
    });
}

/// X6: terminated during its back-off, also after the timer fired: it stays down.
pub(crate) fn a_child_terminated_in_its_pause_stays_down() {
    run(async {
        for late in [false, true] {
            let log = Log::new();
            let c1 = Actor::new("c1", &log);
            let pause = Backoff {
                immediate: 0,
                jitter: 0.0,
                ..Backoff::between(SECOND, SECOND)
            };
            let world = World::start(
                Strategy::OneForOne,
                budget(5, 3600),
                vec![c1.spec().backoff(pause)],
            )
            .await;
            c1.say(Say::Crash);
            world.settle().await;
            assert_eq!(world.which("c1"), "restarting");
            if late {
                // The order and the timer come in one instant.
                tokio::time::advance(SECOND).await;
            }
            world.sup.terminate_child("c1").await.unwrap();
            tokio::time::sleep(10 * SECOND).await;
            assert_eq!(world.which("c1"), "undefined");
            world.root.stop().await;
        }
    });
}

/// X3: a key that is there already changes nothing.
pub(crate) fn a_key_that_is_there_changes_nothing() {
    run(async {
        let log = Log::new();
        let pool = Pool::start(Restart::Permanent, budget(2, 3600)).await;
        let one = pool.add("c1", &Actor::new("c1", &log)).await;
        log.take();
        let again = pool.sup.start_child("c1", Actor::new("c1", &log)).await;
        let Err(ChildError::AlreadyStarted(child)) = again else {
            panic!("{again:?}");
        };
        assert_eq!(child, one);
        settle().await;
        assert!(log.take().is_empty());
        pool.root.stop().await;
    });
}
