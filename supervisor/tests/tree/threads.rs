//! Children that keep their thread, on real threads and in real time. When they are found out is a benchmark's question; that
//! they are, and what they cannot do any more, is asked here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ao_supervisor::{Budget, ChildSpec, Done, Shutdown, State, Strategy, Supervisor, Unheard};

use crate::kit::{Log, MS, SECOND, SERVES, scripted, until_state};

/// A child that says ready, which wakes its supervisor, and then keeps its thread until it is let go; then it would write.
fn hog(free: &Arc<AtomicBool>, wrote: &Arc<AtomicU64>) -> ChildSpec {
    let (free, wrote) = (free.clone(), wrote.clone());
    ChildSpec::new("hog", move |ctx| {
        let (free, wrote) = (free.clone(), wrote.clone());
        async move {
            ctx.ready();
            while !free.load(Ordering::Acquire) {
                std::hint::spin_loop();
            }
            if !ctx.incarnation().refuses() {
                wrote.fetch_add(1, Ordering::SeqCst);
            }
            ctx.stopping().await;
            Ok(Done)
        }
    })
    .heartbeat(200 * MS)
    .shutdown(Shutdown::After(50 * MS))
}

/// Drives a tree whose children have so many threads.
fn apart(workers: usize, case: impl AsyncFnOnce(tokio::runtime::Handle)) {
    let children = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .unwrap();
    let here = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    here.block_on(case(children.handle().clone()));
    children.shutdown_timeout(SECOND);
}

#[test]
fn a_child_that_keeps_its_thread_is_found_out_and_its_late_write_is_refused() {
    for workers in [1, 2] {
        apart(workers, async |children| {
            let (free, wrote) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
            let root = Supervisor::root("top", Strategy::OneForOne, Budget::restarts(100).per(SECOND))
                .child(hog(&free, &wrote))
                .start_apart(children)
                .await
                .unwrap();
            until_state(&root.tree(), "top/hog", State::Stuck).await;
            let first = root.tree().snapshot();
            let stuck = first.find("top/hog").unwrap();
            assert!(
                first
                    .nodes()
                    .all(|node| &*node.path != "top/hog" || node.incarnation == stuck.incarnation)
            );
            assert_eq!(first.refused_writes, 0);
            // It wakes up after it was given up: its write is refused and counted, and only then is there a second one.
            free.store(true, Ordering::Release);
            until_state(&root.tree(), "top/hog", State::Running).await;
            let last = root.tree().snapshot();
            assert!(last.find("top/hog").unwrap().incarnation > stuck.incarnation);
            assert_eq!(last.refused_writes, 1, "{workers} workers");
            assert!(root.stop().await.stuck.is_empty());
        });
    }
}

/// The same as on one thread: the watchdog looks again at one that was allowed to be silent for an hour.
#[test]
fn the_watchdog_finds_one_that_hangs_after_a_silence_that_ended_early() {
    apart(1, async |children| {
        let spec = ChildSpec::new("a", |ctx| async move {
            ctx.ready();
            let _ = ctx
                .within(Duration::from_secs(3600), tokio::time::sleep(500 * MS))
                .await;
            std::future::pending::<()>().await;
            Ok(Done)
        });
        let root = Supervisor::root("top", Strategy::OneForOne, Budget::restarts(100).per(SECOND))
            .child(spec.heartbeat(100 * MS))
            .start_apart(children)
            .await
            .unwrap();
        let first = root.tree().snapshot().find("top/a").unwrap().incarnation.unwrap();
        crate::kit::until_newer(&root.tree(), "top/a", first).await;
        root.stop().await;
    });
}

#[test]
fn the_others_are_restarted_meanwhile() {
    apart(2, async |children| {
        let (free, wrote) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let log = Log::new();
        let root = Supervisor::root("top", Strategy::OneForOne, Budget::restarts(100).per(SECOND))
            .child(scripted("other", &log, &[SERVES]))
            .child(hog(&free, &wrote).heartbeat(Duration::from_secs(3600)))
            .start_apart(children)
            .await
            .unwrap();
        let before = root
            .tree()
            .snapshot()
            .find("top/other")
            .unwrap()
            .incarnation
            .unwrap();
        root.tree().crash("top/other").unwrap();
        crate::kit::until_newer(&root.tree(), "top/other", before).await;
        free.store(true, Ordering::Release);
        root.stop().await;
    });
}

#[test]
fn a_stop_lists_who_does_not_end_and_returns() {
    for workers in [1, 2] {
        apart(workers, async |children| {
            let (free, wrote) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
            let root = Supervisor::root("top", Strategy::OneForOne, Budget::restarts(0).per(SECOND))
                .child(hog(&free, &wrote).heartbeat(Duration::from_secs(3600)))
                .start_apart(children)
                .await
                .unwrap();
            assert_eq!(root.stop().await.stuck, ["top/hog"]);
            free.store(true, Ordering::Release);
        });
    }
}

#[test]
fn a_blocking_child_is_asked_and_a_deaf_one_is_stuck_until_it_ends() {
    apart(1, async |children| {
        let free = Arc::new(AtomicBool::new(false));
        let deaf = free.clone();
        let root = Supervisor::root("top", Strategy::OneForOne, Budget::restarts(100).per(SECOND))
            .child(ChildSpec::blocking("listens", |ctx| {
                ctx.ready();
                while !ctx.is_stopping() {
                    std::thread::yield_now();
                }
                Ok(Done)
            }))
            .child(
                ChildSpec::blocking("deaf", move |ctx| {
                    ctx.ready();
                    while !deaf.load(Ordering::Acquire) {
                        std::thread::yield_now();
                    }
                    panic!("at last");
                })
                .shutdown(Shutdown::After(50 * MS)),
            )
            .start_apart(children)
            .await
            .unwrap();
        let orders = root.tree().supervisor("top").unwrap();
        orders.terminate_child("listens").await.unwrap();
        assert!(orders.terminate_child("deaf").await.is_err());
        assert_eq!(
            root.tree().snapshot().find("top/deaf").unwrap().state,
            State::Stuck
        );
        free.store(true, Ordering::Release);
        until_state(&root.tree(), "top/deaf", State::Terminated).await;
        let node = root.tree().snapshot();
        let exit = node.find("top/deaf").unwrap().last_exit.clone().unwrap();
        assert!(
            exit.reason.text().contains("threads.rs"),
            "{}",
            exit.reason.text()
        );
        assert!(root.stop().await.stuck.is_empty());
    });
}

/// Within its grace a child owes no sign of life: silence there is no fault of its supervisor's, for which the process would end.
#[test]
fn a_child_that_takes_its_time_to_stop_is_watched_by_nobody() {
    apart(1, async |children| {
        let slow = ChildSpec::new("slow", |ctx| async move {
            ctx.ready();
            ctx.beating(ctx.stopping()).await;
            tokio::time::sleep(3 * SECOND).await;
            Ok(Done)
        })
        .heartbeat(100 * MS)
        .shutdown(Shutdown::Infinity);
        let root = Supervisor::root("top", Strategy::OneForOne, Budget::restarts(0).per(SECOND))
            .unheard(Unheard::Exit(70))
            .child(slow)
            .start_apart(children)
            .await
            .unwrap();
        assert!(root.stop().await.stuck.is_empty());
    });
}
