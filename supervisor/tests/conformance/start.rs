//! Part "start" of OTP's suite, and the defaults.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ao_supervisor::{
    ChildError, ChildSpec, Crash, Done, Reason, Restart, Role, Setup, Shutdown, SpecError, StartError, State,
    Strategy, Supervisor,
};

use crate::kit::{Actor, Init, Log, Pool, SECOND, World, budget, settle, until, word};
use crate::run;

pub(crate) fn sup_start_normal() {
    run(async {
        let world = World::start(Strategy::OneForOne, budget(2, 3600), vec![]).await;
        assert_eq!(world.counts(), [0, 0, 0, 0]);
        let tree = world.tree.clone();
        assert!(world.root.stop().await.stuck.is_empty());
        let exits = tree.snapshot();
        assert_eq!(exits.root.state, State::Terminated);
    });
}

pub(crate) fn sup_start_ignore_init() {
    run(async {
        let ignores = Supervisor::from_init("top", || async { Ok(Setup::Ignore) });
        assert!(matches!(ignores.start().await, Err(StartError::Ignored)));
        // As a child: it stays specified, and is no failure.
        let inner = Supervisor::from_init("inner", || async { Ok(Setup::Ignore) });
        let world = World::start(Strategy::OneForOne, budget(2, 3600), vec![inner.into()]).await;
        assert_eq!(world.which("inner"), "undefined");
        assert_eq!(world.counts(), [1, 0, 1, 0]);
        world.root.stop().await;
    });
}

pub(crate) fn sup_start_ignore_child() {
    run(async {
        let log = Log::new();
        let world = World::start(Strategy::OneForOne, budget(2, 3600), vec![]).await;
        let (c1, c2) = (Actor::new("c1", &log), Actor::new("c2", &log));
        c1.inits(&[Init::Ignore]);
        assert!(world.sup.start_child(c1.spec()).await.unwrap().child.is_none());
        assert!(world.sup.start_child(c2.spec()).await.unwrap().child.is_some());
        assert_eq!((world.which("c1"), world.which("c2")), ("undefined", "running"));
        assert_eq!(world.counts(), [2, 1, 0, 2]);
        world.root.stop().await;
    });
}

pub(crate) fn sup_start_ignore_temporary_child() {
    run(async {
        let log = Log::new();
        let (c1, c2) = (Actor::new("c1", &log), Actor::new("c2", &log));
        c1.inits(&[Init::Ignore]);
        let specs = vec![
            c1.spec().restart(Restart::Temporary),
            c2.spec().restart(Restart::Temporary),
        ];
        let world = World::start(Strategy::OneForOne, budget(2, 3600), specs).await;
        assert_eq!(world.ids(), ["c2"]);
        assert_eq!(world.counts(), [1, 1, 0, 1]);
        world.root.stop().await;
    });
}

pub(crate) fn sup_start_ignore_temporary_child_start_child() {
    run(async {
        let log = Log::new();
        let world = World::start(Strategy::OneForOne, budget(2, 3600), vec![]).await;
        let (c1, c2) = (Actor::new("c1", &log), Actor::new("c2", &log));
        c1.inits(&[Init::Ignore]);
        for (actor, runs) in [(&c1, false), (&c2, true)] {
            let spec = actor.spec().restart(Restart::Temporary);
            assert_eq!(world.sup.start_child(spec).await.unwrap().child.is_some(), runs);
        }
        assert_eq!(world.ids(), ["c2"]);
        assert_eq!(world.counts(), [1, 1, 0, 1]);
        world.root.stop().await;
    });
}

pub(crate) fn sup_start_ignore_temporary_child_start_child_simple() {
    run(async {
        let log = Log::new();
        let pool = Pool::start(Restart::Temporary, budget(2, 3600)).await;
        let (c1, c2) = (Actor::new("c1", &log), Actor::new("c2", &log));
        c1.inits(&[Init::Ignore]);
        assert!(pool.sup.start_child("c1", c1).await.unwrap().child.is_none());
        pool.add("c2", &c2).await;
        assert_eq!(pool.sup.which_children().unwrap().len(), 1);
        assert_eq!(pool.counts(), [1, 1, 0, 1]);
        pool.root.stop().await;
    });
}

pub(crate) fn sup_start_ignore_permanent_child_start_child_simple() {
    run(async {
        let log = Log::new();
        let pool = Pool::start(Restart::Permanent, budget(2, 3600)).await;
        let c1 = Actor::new("c1", &log);
        c1.inits(&[Init::Ignore]);
        assert!(pool.sup.start_child("c1", c1).await.unwrap().child.is_none());
        assert!(pool.sup.which_children().unwrap().is_empty());
        let tree = pool.tree.clone();
        assert!(pool.root.stop().await.stuck.is_empty());
        let node = tree.snapshot();
        let exit = node.find("top/pool").unwrap().last_exit.as_ref().unwrap();
        assert!(matches!(exit.reason, Reason::Shutdown), "{exit:?}");
    });
}

/// Rubbish cannot be returned in Rust; a specification that does not work can.
pub(crate) fn sup_start_error_return() {
    run(async {
        let twice = || {
            let log = Log::new();
            let one = Actor::new("same", &log);
            Supervisor::new("x", Strategy::OneForOne, budget(2, 3600))
                .child(one.spec())
                .child(one.spec())
        };
        let rubbish = Supervisor::from_init("top", move || async move { Ok(Setup::from(twice())) });
        let Err(StartError::Child { path, reason }) = rubbish.start().await else {
            panic!("it started");
        };
        assert_eq!(path, "top");
        assert!(reason.text().contains("two children named `same`"), "{reason}");
    });
}

pub(crate) fn sup_start_fail() {
    run(async {
        let fails = Supervisor::from_init("top", || async { Err(Crash::message("no configuration")) });
        let Err(StartError::Child { reason, .. }) = fails.start().await else {
            panic!("it started");
        };
        assert!(matches!(&reason, Reason::Error(_)), "{reason:?}");
        assert_eq!(reason.text(), "no configuration");
        let panics = Supervisor::from_init("top", || async { panic!("no configuration at all") });
        let Err(StartError::Child { reason, .. }) = panics.start().await else {
            panic!("it started");
        };
        assert!(matches!(&reason, Reason::Panic(_)), "{reason:?}");
        assert!(reason.text().contains("no configuration at all"), "{reason}");
    });
}

pub(crate) fn sup_start_child_returns_error() {
    run(async {
        let log = Log::new();
        let world = World::start(Strategy::OneForOne, budget(2, 3600), vec![]).await;
        for (id, init) in [("c1", Init::Fail), ("c2", Init::Panic)] {
            let actor = Actor::new(id, &log);
            actor.inits(&[init]);
            assert_eq!(word(world.sup.start_child(actor.spec()).await), "NotStarted");
        }
        let never = ChildSpec::new("c3", |_| async { Ok(Done) });
        assert_eq!(word(world.sup.start_child(never).await), "NotStarted");
        assert!(world.ids().is_empty());
        // It counts for nobody: the limit of two is untouched.
        assert_eq!(world.tree.snapshot().root.budget.unwrap().in_window, Some(0));
        world.root.stop().await;
    });
}

pub(crate) fn sup_start_restart_child_returns_error() {
    run(async {
        let log = Log::new();
        let c1 = Actor::new("c1", &log);
        let world = World::start(Strategy::OneForOne, budget(2, 3600), vec![c1.spec()]).await;
        world.sup.terminate_child("c1").await.unwrap();
        c1.inits(&[Init::Fail]);
        let Err(ChildError::NotStarted { id, reason }) = world.sup.restart_child("c1").await else {
            panic!("it started");
        };
        assert_eq!((&*id, &*reason.text()), ("c1", "no start"));
        assert_eq!(world.which("c1"), "undefined");
        assert_eq!(world.counts(), [1, 0, 0, 1]);
        world.root.stop().await;
    });
}

pub(crate) fn sup_start_child_returns_error_simple() {
    run(async {
        let log = Log::new();
        let pool = Pool::start(Restart::Permanent, budget(2, 3600)).await;
        let c1 = Actor::new("c1", &log);
        c1.inits(&[Init::Fail]);
        let Err(ChildError::NotStarted { reason, .. }) = pool.sup.start_child("c1", c1).await else {
            panic!("it started");
        };
        assert_eq!(reason.text(), "no start");
        assert!(pool.sup.which_children().unwrap().is_empty());
        pool.root.stop().await;
    });
}

pub(crate) fn sup_start_map() {
    run(async {
        let log = Log::new();
        let inner = Supervisor::new("c3", Strategy::OneForOne, budget(1, 5));
        let specs = vec![
            Actor::new("c1", &log).spec(),
            Actor::new("c2", &log).spec().shutdown(Shutdown::BrutalKill),
            inner.into(),
        ];
        let world = World::start(Strategy::OneForOne, budget(2, 3600), specs).await;
        let spec = |id: &str| world.sup.childspec(id).unwrap();
        let shown = |id: &str| (spec(id).restart, spec(id).shutdown, spec(id).role);
        let five = Shutdown::After(5 * SECOND);
        assert_eq!(shown("c1"), (Restart::Permanent, five, Role::Worker));
        assert_eq!(
            shown("c2"),
            (Restart::Permanent, Shutdown::BrutalKill, Role::Worker)
        );
        assert_eq!(
            shown("c3"),
            (Restart::Permanent, Shutdown::Infinity, Role::Supervisor)
        );
        assert_eq!(word(world.sup.childspec("c4")), "NotFound");
        world.root.stop().await;
    });
}

pub(crate) fn sup_start_map_simple() {
    run(async {
        let log = Log::new();
        let pool = Pool::start(Restart::Temporary, budget(2, 3600)).await;
        let other = Pool::start(Restart::Temporary, budget(2, 3600)).await;
        for key in ["c1", "c2", "c3"] {
            let child = pool.add(key, &Actor::new(key, &log)).await;
            let spec = pool.sup.childspec(&child).unwrap();
            assert_eq!(
                (spec.restart, spec.shutdown, spec.role),
                (Restart::Temporary, Shutdown::After(5 * SECOND), Role::Worker)
            );
            assert_eq!(spec.start_timeout, Some(30 * SECOND));
        }
        let foreign = other.add("c9", &Actor::new("c9", &log)).await;
        assert_eq!(word(pool.sup.childspec(&foreign)), "NotFound");
        pool.root.stop().await;
        other.root.stop().await;
    });
}

/// What a type cannot have wrong needs no check: a missing start, an unknown key. A missing id and twice the same can be.
pub(crate) fn sup_start_map_faulty_specs() {
    run(async {
        let log = Log::new();
        let world = World::start(Strategy::OneForOne, budget(2, 3600), vec![]).await;
        let cases = [
            (Actor::new("", &log).spec(), SpecError::EmptyId),
            (
                Actor::new("c1", &log).spec().heartbeat(std::time::Duration::ZERO),
                SpecError::ZeroHeartbeat { id: "c1".to_owned() },
            ),
        ];
        for (spec, fault) in cases {
            let Err(ChildError::Spec(found)) = world.sup.start_child(spec).await else {
                panic!("it started");
            };
            assert_eq!(found, fault);
        }
        assert!(world.ids().is_empty());
        world.root.stop().await;
    });
}

/// X15: a child that is not ready in time has not started, and its init is dropped.
pub(crate) fn start_timeout_is_a_start_failure() {
    run(async {
        struct Gone(Arc<AtomicUsize>);
        impl Drop for Gone {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let gone = Arc::new(AtomicUsize::new(0));
        let counted = gone.clone();
        let slow = ChildSpec::new("c1", move |_| {
            let guard = Gone(counted.clone());
            async move {
                let _guard = guard;
                std::future::pending().await
            }
        })
        .start_timeout(Some(SECOND));
        let world = World::start(Strategy::OneForOne, budget(2, 3600), vec![]).await;
        let Err(ChildError::NotStarted { reason, .. }) = world.sup.start_child(slow).await else {
            panic!("it started");
        };
        assert!(matches!(reason, Reason::StartTimeout(_)), "{reason:?}");
        assert_eq!(gone.load(Ordering::SeqCst), 1);
        world.root.stop().await;
    });
}

/// X2: the second child refuses while the supervisor starts.
pub(crate) fn a_refusal_rolls_back_those_before() {
    run(async {
        let log = Log::new();
        let (c1, c2, c3) = (
            Actor::new("c1", &log),
            Actor::new("c2", &log),
            Actor::new("c3", &log),
        );
        c2.inits(&[Init::Fail]);
        let tree = Supervisor::root("top", Strategy::OneForOne, budget(2, 3600))
            .child(c1.spec())
            .child(c2.spec())
            .child(c3.spec());
        let Err(StartError::Child { path, reason }) = tree.start().await else {
            panic!("it started");
        };
        assert_eq!((&*path, &*reason.text()), ("top/c2", "no start"));
        assert_eq!(log.take(), ["c1 up", "c1 down"]);
    });
}

/// X14: readers are answered while a child initialises, and the order when it is ready.
pub(crate) fn a_slow_start_holds_up_no_reader() {
    run(async {
        let log = Log::new();
        let world = World::start(Strategy::OneForOne, budget(2, 3600), vec![]).await;
        let slow = Actor::new("c1", &log);
        slow.inits(&[Init::Slow(SECOND / 5)]);
        let began = tokio::time::Instant::now();
        let mut order = Box::pin(world.sup.start_child(slow.spec()));
        tokio::select! {
            biased;
            _ = &mut order => panic!("it cannot be ready"),
            () = settle() => {}
        }
        assert_eq!(world.counts(), [1, 0, 0, 1]);
        assert_eq!(
            world.tree.snapshot().find("top/c1").unwrap().state,
            State::Starting
        );
        assert!(began.elapsed().is_zero(), "nobody waited");
        assert!(order.await.unwrap().child.is_some());
        assert_eq!(began.elapsed(), SECOND / 5);
        until(&world.tree, "top/c1", State::Running).await;
        world.root.stop().await;
    });
}
