//! Part "stop" of OTP's suite.

use ao_supervisor::{Reason, Restart, Shutdown, Snapshot, Strategy, Supervisor};

use crate::kit::{Actor, Log, MS, OnStop, Pool, SECOND, Say, World, budget, settle};
use crate::run;

fn reason(snapshot: &Snapshot, path: &str) -> String {
    let node = snapshot.find(path).unwrap_or_else(|| panic!("no {path}"));
    node.last_exit
        .as_ref()
        .map_or("none".to_owned(), |exit| match &exit.reason {
            Reason::Shutdown => "shutdown".to_owned(),
            Reason::Killed => "killed".to_owned(),
            other => other.text(),
        })
}

pub(crate) fn sup_stop_infinity() {
    run(async {
        let log = Log::new();
        let slow = Actor::that("c2", &log, OnStop::After(1_000 * SECOND));
        let inner =
            Supervisor::new("c1", Strategy::OneForOne, budget(1, 5)).child(Actor::new("in", &log).spec());
        let specs = vec![inner.into(), slow.spec().shutdown(Shutdown::Infinity)];
        let world = World::start(Strategy::OneForOne, budget(2, 3600), specs).await;
        let tree = world.tree.clone();
        assert!(world.root.stop().await.stuck.is_empty());
        let last = tree.snapshot();
        assert_eq!(reason(&last, "top/c1"), "shutdown");
        assert_eq!(reason(&last, "top/c2"), "shutdown");
    });
}

pub(crate) fn sup_stop_timeout() {
    run(async {
        let log = Log::new();
        let second = Shutdown::After(1_000 * MS);
        let specs = vec![
            Actor::new("c1", &log).spec().shutdown(second),
            Actor::that("c2", &log, OnStop::After(200 * SECOND))
                .spec()
                .shutdown(second),
        ];
        let world = World::start(Strategy::OneForOne, budget(2, 3600), specs).await;
        let (tree, began) = (world.tree.clone(), tokio::time::Instant::now());
        world.root.stop().await;
        assert_eq!(began.elapsed(), 1_000 * MS);
        let last = tree.snapshot();
        assert_eq!(reason(&last, "top/c1"), "shutdown");
        assert_eq!(reason(&last, "top/c2"), "killed");
        assert_eq!(log.take(), ["c1 up", "c2 up", "c2 down", "c1 down"]);
    });
}

pub(crate) fn sup_stop_timeout_dynamic() {
    run(async {
        let log = Log::new();
        let pool = Pool::with(
            Restart::Permanent,
            budget(2, 3600),
            Shutdown::After(1_000 * MS),
            None,
        )
        .await;
        pool.add("c1", &Actor::new("c1", &log)).await;
        pool.add("c2", &Actor::that("c2", &log, OnStop::After(200 * SECOND)))
            .await;
        let mut events = pool.tree.events();
        let began = tokio::time::Instant::now();
        pool.root.stop().await;
        assert_eq!(began.elapsed(), 1_000 * MS);
        let mut said = Vec::new();
        while let Some(ao_supervisor::Heard::Event(event)) = events.next().await {
            if event.path.starts_with("top/pool/") {
                said.push(format!("{} {}", event.path, event.what.as_str()));
            }
        }
        assert!(
            said.contains(&"top/pool/c2 shutdown_error".to_owned()),
            "{said:?}"
        );
        assert!(
            !said.contains(&"top/pool/c1 shutdown_error".to_owned()),
            "{said:?}"
        );
        assert_eq!(log.take().iter().filter(|line| line.ends_with("down")).count(), 2);
    });
}

pub(crate) fn sup_stop_brutal_kill() {
    run(async {
        let log = Log::new();
        let specs = vec![
            Actor::new("c1", &log)
                .spec()
                .shutdown(Shutdown::After(1_000 * MS)),
            Actor::new("c2", &log).spec().shutdown(Shutdown::BrutalKill),
        ];
        let world = World::start(Strategy::OneForOne, budget(2, 3600), specs).await;
        let tree = world.tree.clone();
        world.root.stop().await;
        let last = tree.snapshot();
        assert_eq!(reason(&last, "top/c1"), "shutdown");
        assert_eq!(reason(&last, "top/c2"), "killed");
    });
}

pub(crate) fn sup_stop_brutal_kill_dynamic() {
    run(async {
        let log = Log::new();
        let pool = Pool::with(Restart::Permanent, budget(2, 3600), Shutdown::BrutalKill, None).await;
        for n in 0..10 {
            let key = format!("c{n}");
            pool.add(&key, &Actor::that(&key, &log, OnStop::Deaf)).await;
        }
        let (tree, began) = (pool.tree.clone(), tokio::time::Instant::now());
        assert!(pool.root.stop().await.stuck.is_empty());
        assert!(began.elapsed().is_zero());
        assert_eq!(reason(&tree.snapshot(), "top/pool"), "shutdown");
        assert_eq!(
            log.take().iter().filter(|line| line.ends_with("down")).count(),
            10
        );
    });
}

pub(crate) fn sup_stop_race() {
    run(async {
        let log = Log::new();
        let kinds = [Restart::Permanent, Restart::Transient, Restart::Temporary];
        let ends = [Say::Normal, Say::Term, Say::Crash];
        let mut actors = Vec::new();
        let mut specs = vec![Actor::new("first", &log).spec()];
        for kind in kinds {
            for end in &ends {
                let id = format!("{kind:?}-{end:?}");
                let actor = Actor::that(&id, &log, OnStop::Deaf);
                specs.push(actor.spec().restart(kind));
                actors.push((id, end.clone(), actor));
            }
        }
        specs.push(Actor::that("last", &log, OnStop::After(SECOND)).spec());
        let world = World::start(Strategy::OneForOne, budget(0, 3600), specs).await;
        let tree = world.tree.clone();
        let mut stop = Box::pin(world.root.stop());
        // The supervisor waits for its last child; meanwhile all others end by themselves.
        tokio::select! {
            biased;
            _ = &mut stop => panic!("the last child takes a second"),
            () = settle() => {}
        }
        for (_, end, actor) in &actors {
            actor.say(end.clone());
        }
        assert!(stop.await.stuck.is_empty());
        let last = tree.snapshot();
        assert_eq!(reason(&last, "top/first"), "shutdown");
        assert_eq!(reason(&last, "top/last"), "shutdown");
        for (id, end, _) in &actors {
            // A temporary one is forgotten.
            let Some(node) = last.find(&format!("top/{id}")) else {
                assert!(id.starts_with("Temporary"), "{id}");
                continue;
            };
            let said = node.last_exit.as_ref().unwrap().reason.text();
            let wanted = match end {
                Say::Normal => "done",
                Say::Term => "done: term",
                _ => "crashed",
            };
            assert_eq!(said, wanted, "{id}");
        }
    });
}

pub(crate) fn sup_stop_non_shutdown_exit_dynamic() {
    run(async {
        for kind in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
            let log = Log::new();
            let pool = Pool::start(kind, budget(0, 3600)).await;
            pool.add("c1", &Actor::that("c1", &log, OnStop::Fails)).await;
            pool.add("c2", &Actor::that("c2", &log, OnStop::Terms)).await;
            pool.add("c3", &Actor::that("c3", &log, OnStop::Ends)).await;
            let mut events = pool.tree.events();
            let tree = pool.tree.clone();
            pool.root.stop().await;
            assert_eq!(reason(&tree.snapshot(), "top/pool"), "shutdown", "{kind:?}");
            let mut errors = Vec::new();
            while let Some(ao_supervisor::Heard::Event(event)) = events.next().await {
                if event.what.as_str() == "shutdown_error" {
                    errors.push(format!("{} {}", event.path, event.what.reason().unwrap()));
                }
            }
            assert_eq!(errors, ["top/pool/c1 not so fast"], "{kind:?}");
        }
    });
}
