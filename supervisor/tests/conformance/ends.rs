//! Normal, shutdown and abnormal ends.

use ao_supervisor::{Reason, Restart, StartError, State, Strategy, Supervisor};

use crate::kit::{Actor, Init, Log, Say, World, budget};
use crate::run;

/// One child of this restart type that ends so: is it running, listed, gone?
async fn after(restart: Restart, say: Say) -> (&'static str, [usize; 4]) {
    let log = Log::new();
    let c1 = Actor::new("c1", &log);
    let world = World::start(
        Strategy::OneForOne,
        budget(5, 3600),
        vec![c1.spec().restart(restart)],
    )
    .await;
    let before = world.child("c1").unwrap();
    c1.say(say);
    world.settle().await;
    let (which, counts) = (world.which("c1"), world.counts());
    if which == "running" {
        assert_ne!(world.child("c1").unwrap(), before, "another incarnation");
    }
    world.root.stop().await;
    (which, counts)
}

pub(crate) fn permanent_normal() {
    run(async {
        assert_eq!(
            after(Restart::Permanent, Say::Normal).await,
            ("running", [1, 1, 0, 1])
        );
    });
}

pub(crate) fn transient_normal() {
    run(async {
        assert_eq!(
            after(Restart::Transient, Say::Normal).await,
            ("undefined", [1, 0, 0, 1])
        );
    });
}

pub(crate) fn temporary_normal() {
    run(async {
        assert_eq!(
            after(Restart::Temporary, Say::Normal).await,
            ("gone", [0, 0, 0, 0])
        );
    });
}

/// OTP's `shutdown` and `{shutdown, x}` are one thing here: a normal end with a reason of its own.
pub(crate) fn permanent_shutdown() {
    run(async {
        let log = Log::new();
        let c1 = Actor::new("c1", &log);
        let world = World::start(Strategy::OneForOne, budget(5, 3600), vec![c1.spec()]).await;
        for _ in 0..2 {
            let before = world.child("c1").unwrap();
            c1.say(Say::Term);
            world.settle().await;
            assert_ne!(world.child("c1").unwrap(), before);
            assert_eq!(world.counts(), [1, 1, 0, 1]);
        }
        world.root.stop().await;
    });
}

pub(crate) fn transient_shutdown() {
    run(async {
        let log = Log::new();
        let c1 = Actor::new("c1", &log);
        let spec = c1.spec().restart(Restart::Transient);
        let world = World::start(Strategy::OneForOne, budget(5, 3600), vec![spec]).await;
        for turn in 0..2 {
            c1.say(Say::Term);
            world.settle().await;
            assert_eq!((world.which("c1"), world.counts()), ("undefined", [1, 0, 0, 1]));
            let node = world.tree.snapshot();
            let exit = node.find("top/c1").unwrap().last_exit.clone().unwrap();
            assert!(matches!(exit.reason, Reason::Term(_)), "{exit:?}");
            if turn == 0 {
                assert!(world.sup.restart_child("c1").await.unwrap().child.is_some());
            }
        }
        world.root.stop().await;
    });
}

pub(crate) fn temporary_shutdown() {
    run(async {
        let log = Log::new();
        let c1 = Actor::new("c1", &log);
        let world = World::start(Strategy::OneForOne, budget(5, 3600), vec![]).await;
        for _ in 0..2 {
            let spec = c1.spec().restart(Restart::Temporary);
            world.sup.start_child(spec).await.unwrap();
            c1.say(Say::Term);
            world.settle().await;
            assert_eq!((world.which("c1"), world.counts()), ("gone", [0, 0, 0, 0]));
        }
        world.root.stop().await;
    });
}

pub(crate) fn faulty_application_shutdown() {
    run(async {
        let log = Log::new();
        let (c1, c2) = (Actor::new("c1", &log), Actor::new("c2", &log));
        c2.inits(&[Init::Panic]);
        let tree = Supervisor::root("top", Strategy::OneForOne, budget(1, 5)).child(
            Supervisor::new("mid", Strategy::OneForOne, budget(1, 5))
                .child(c1.spec())
                .child(Supervisor::new("low", Strategy::OneForOne, budget(1, 5)).child(c2.spec())),
        );
        let Err(StartError::Child { path, reason }) = tree.start().await else {
            panic!("it started");
        };
        assert_eq!(path, "top/mid");
        let story = reason.text();
        for part in ["top/mid/low", "top/mid/low/c2", "no start", "testing.rs:"] {
            assert!(story.contains(part), "{part}: {story}");
        }
        assert_eq!(log.take(), ["c1 up", "c1 down"]);
    });
}

pub(crate) fn permanent_abnormal() {
    run(async {
        for say in [Say::Crash, Say::Panic] {
            assert_eq!(after(Restart::Permanent, say).await, ("running", [1, 1, 0, 1]));
        }
    });
}

pub(crate) fn transient_abnormal() {
    run(async {
        for say in [Say::Crash, Say::Panic] {
            assert_eq!(after(Restart::Transient, say).await, ("running", [1, 1, 0, 1]));
        }
    });
}

pub(crate) fn temporary_abnormal() {
    run(async {
        for say in [Say::Crash, Say::Panic] {
            assert_eq!(after(Restart::Temporary, say).await, ("gone", [0, 0, 0, 0]));
        }
    });
}

/// X8: giving up is a normal end, so a transient supervisor stays down; it is seen.
pub(crate) fn a_transient_supervisor_that_gives_up_is_seen() {
    run(async {
        let log = Log::new();
        let c1 = Actor::new("c1", &log);
        let inner = Supervisor::new("in", Strategy::OneForOne, budget(0, 5)).child(c1.spec());
        let inner = ao_supervisor::ChildSpec::from(inner).restart(Restart::Transient);
        let world = World::start(Strategy::OneForOne, budget(5, 3600), vec![inner]).await;
        c1.say(Say::Crash);
        world.until("top/in", State::GaveUp).await;
        world.settle().await;
        assert_eq!(world.which("in"), "undefined");
        assert_eq!(world.tree.snapshot().root.budget.unwrap().in_window, Some(0));
        world.root.stop().await;
    });
}
