//! Who goes down with whom, in which order, and what a failed restart does.

use ao_supervisor::{Backoff, Budget, Restart, State, Strategy, Supervisor, What};

use crate::kit::{
    Log, MS, SECOND, SERVES, Step, exact, hear, incarnation, plenty, scripted, states, until_newer,
    until_state,
};

const CRASHES: &[Step] = &[Step::Ready, Step::Wait(100), Step::Fail];

#[tokio::test(start_paused = true)]
async fn one_for_one_restarts_only_the_one() {
    let log = Log::new();
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(scripted("a", &log, &[SERVES]))
        .child(scripted("b", &log, &[CRASHES, SERVES]))
        .child(scripted("c", &log, &[SERVES]))
        .start()
        .await
        .unwrap();
    let tree = root.tree();
    let (a, b, c) = (
        incarnation(&tree, "top/a"),
        incarnation(&tree, "top/b"),
        incarnation(&tree, "top/c"),
    );
    until_newer(&tree, "top/b", b).await;
    assert_eq!((incarnation(&tree, "top/a"), incarnation(&tree, "top/c")), (a, c));
    assert_eq!(log.lines(), ["a up", "b up", "c up", "b down", "b up"]);
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rest_for_one_stops_the_later_ones_in_reverse_and_starts_the_group_in_order() {
    let log = Log::new();
    let root = Supervisor::root("top", Strategy::RestForOne, Budget::restarts(1).per(SECOND))
        .child(scripted("a", &log, &[SERVES]))
        .child(scripted("b", &log, &[SERVES]))
        .child(scripted("c", &log, &[CRASHES, SERVES]))
        .child(scripted("d", &log, &[SERVES]).restart(Restart::Temporary))
        // Was done before, and comes back with its group.
        .child(scripted("e", &log, &[&[Step::Ready, Step::Done], SERVES]).restart(Restart::Transient))
        .child(scripted("f", &log, &[SERVES]))
        .start()
        .await
        .unwrap();
    let tree = root.tree();
    let (a, b, f) = (
        incarnation(&tree, "top/a"),
        incarnation(&tree, "top/b"),
        incarnation(&tree, "top/f"),
    );
    until_state(&tree, "top/e", State::Completed).await;
    log.take();
    until_newer(&tree, "top/f", f).await;
    assert_eq!((incarnation(&tree, "top/a"), incarnation(&tree, "top/b")), (a, b));
    assert_eq!(
        log.lines(),
        ["c down", "f down", "d down", "c up", "e up", "f up"]
    );
    assert_eq!(
        states(&tree.snapshot()),
        [
            "top running",
            "top/a running",
            "top/b running",
            "top/c running",
            "top/e running",
            "top/f running"
        ]
    );
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_started_before_the_last_of_the_group_has_ended() {
    let log = Log::new();
    // Takes 300 ms to end; a limit of one shows that its end is no second restart.
    let slow = ao_supervisor::ChildSpec::new("b", {
        let log = log.clone();
        move |ctx| {
            let log = log.clone();
            async move {
                ctx.ready();
                ctx.stopping().await;
                tokio::time::sleep(300 * MS).await;
                log.say("b ended");
                Ok(ao_supervisor::Done)
            }
        }
    });
    let root = Supervisor::root("top", Strategy::RestForOne, Budget::restarts(1).per(10 * SECOND))
        .child(scripted("a", &log, &[CRASHES, SERVES]))
        .child(slow)
        .start()
        .await
        .unwrap();
    let b = incarnation(&root.tree(), "top/b");
    until_newer(&root.tree(), "top/b", b).await;
    assert_eq!(log.lines(), ["a up", "a down", "b ended", "a up"]);
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn several_ends_of_one_group_are_one_restart() {
    for _ in 0..20 {
        let log = Log::new();
        let root = Supervisor::root("top", Strategy::RestForOne, Budget::restarts(1).per(10 * SECOND))
            .child(scripted("a", &log, &[CRASHES, SERVES]))
            .child(scripted("b", &log, &[CRASHES, SERVES]))
            .child(scripted("c", &log, &[CRASHES, SERVES]))
            .start()
            .await
            .unwrap();
        // All three fail in the same millisecond, a is heard of first.
        until_newer(&root.tree(), "top/c", incarnation(&root.tree(), "top/c")).await;
        assert_eq!(root.tree().snapshot().root.budget.unwrap().in_window, Some(1));
        root.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_group_restart_goes_on_from_the_child_that_failed() {
    let log = Log::new();
    let root = Supervisor::root("top", Strategy::RestForOne, Budget::restarts(3).per(10 * SECOND))
        .child(scripted("a", &log, &[SERVES]))
        .child(scripted("b", &log, &[CRASHES, SERVES]))
        .child(scripted(
            "c",
            &log,
            &[SERVES, &[Step::Fail], &[Step::Wait(500), Step::Fail], SERVES],
        ))
        .child(scripted("d", &log, &[SERVES]))
        .start()
        .await
        .unwrap();
    let tree = root.tree();
    let d = incarnation(&tree, "top/d");
    log.until("c up", 3).await;
    // While c is tried again, b has come up and stays, and d is down and not called restarting.
    assert_eq!(
        states(&tree.snapshot()),
        [
            "top running",
            "top/a running",
            "top/b running",
            "top/c starting",
            "top/d terminated"
        ]
    );
    let b = incarnation(&tree, "top/b");
    until_newer(&tree, "top/d", d).await;
    assert_eq!(incarnation(&tree, "top/b"), b);
    assert_eq!(log.count("a up"), 1);
    assert_eq!(log.count("b up"), 2);
    // One crash and two failed attempts.
    assert_eq!(tree.snapshot().root.budget.unwrap().in_window, Some(3));
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_earlier_failure_during_a_pause_makes_one_group_with_the_later_deadline() {
    let log = Log::new();
    let root = Supervisor::root("top", Strategy::RestForOne, Budget::restarts(9).per(10 * SECOND))
        .child(scripted(
            "a",
            &log,
            &[&[Step::Ready, Step::Wait(200), Step::Fail], SERVES],
        ))
        .child(
            scripted("b", &log, &[&[Step::Ready, Step::Wait(100), Step::Fail], SERVES]).backoff(Backoff {
                immediate: 0,
                ..exact(SECOND, SECOND)
            }),
        )
        .child(scripted("c", &log, &[SERVES]))
        .start()
        .await
        .unwrap();
    let started = tokio::time::Instant::now();
    log.until("a up", 2).await;
    // b fell at 100 ms and pauses for a second; a, without a pause of its own, fell at 200 ms.
    assert_eq!(started.elapsed(), 1_100 * MS);
    log.until("c up", 2).await;
    assert_eq!(
        log.lines(),
        [
            "a up", "b up", "c up", "b down", "c down", "a down", "a up", "b up", "c up"
        ]
    );
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_loop_of_failing_restarts() {
    for strategy in [Strategy::OneForOne, Strategy::RestForOne] {
        let log = Log::new();
        let root = Supervisor::root("top", strategy, plenty())
            .child(scripted("a", &log, &[CRASHES, &[Step::Wait(200), Step::Fail]]))
            .child(scripted("b", &log, &[SERVES]))
            .start()
            .await
            .unwrap();
        let mut events = root.tree().events();
        for _ in 0..3 {
            hear(&mut events, |event| {
                matches!(event.what, What::StartFailed { .. }).then_some(())
            })
            .await;
        }
        let before = tokio::time::Instant::now();
        assert!(root.stop().await.stuck.is_empty());
        assert!(before.elapsed() <= 200 * MS, "{:?}", before.elapsed());
        assert_eq!(log.count("a up"), log.count("a down"));
        assert_eq!(log.count("b up"), log.count("b down"));
    }
}
