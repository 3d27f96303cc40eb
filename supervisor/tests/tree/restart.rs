//! What brings a child back, how often, how fast, and who hears of it when it does not.

use std::time::Duration;

use ao_supervisor::{
    Backoff, Budget, ChildSpec, Class, Event, Reason, Restart, State, Strategy, Supervisor, TreeError, What,
};

use crate::kit::{
    LIMIT, Log, MS, SECOND, SERVES, Step, exact, hear, incarnation, plenty, scripted, states, until,
    until_newer, until_state,
};

#[tokio::test(start_paused = true)]
async fn the_restart_type_and_the_class_of_the_end_decide() {
    const NORMAL: &[Step] = &[Step::Ready, Step::Wait(10), Step::Done];
    const ERROR: &[Step] = &[Step::Ready, Step::Wait(10), Step::Fail];
    const PANIC: &[Step] = &[Step::Ready, Step::Wait(10), Step::Panic];
    let cases = [
        (Restart::Permanent, NORMAL, Some(State::Running)),
        (Restart::Permanent, ERROR, Some(State::Running)),
        (Restart::Permanent, PANIC, Some(State::Running)),
        (Restart::Transient, NORMAL, Some(State::Completed)),
        (Restart::Transient, ERROR, Some(State::Running)),
        (Restart::Transient, PANIC, Some(State::Running)),
        (Restart::Temporary, NORMAL, None),
        (Restart::Temporary, ERROR, None),
        (Restart::Temporary, PANIC, None),
    ];
    for (restart, life, wanted) in cases {
        let log = Log::new();
        let root = Supervisor::root("top", Strategy::OneForOne, plenty())
            .child(scripted("a", &log, &[life, SERVES]).restart(restart))
            .child(scripted("b", &log, &[SERVES]))
            .start()
            .await
            .unwrap();
        let tree = root.tree();
        let (first, sibling) = (incarnation(&tree, "top/a"), incarnation(&tree, "top/b"));
        let after = until(&tree, |snapshot| match snapshot.find("top/a") {
            None => wanted.is_none(),
            Some(node) => Some(node.state) == wanted && node.incarnation != Some(first),
        })
        .await;
        assert_eq!(
            log.count("a up"),
            if wanted == Some(State::Running) { 2 } else { 1 },
            "{restart:?} {life:?}"
        );
        assert_eq!(incarnation(&tree, "top/b"), sibling);
        if let Some(node) = after.find("top/a") {
            let exit = node.last_exit.as_ref().unwrap();
            let normal = matches!(life.last(), Some(Step::Done));
            assert_eq!(exit.class, if normal { Class::Normal } else { Class::Abnormal });
            assert_eq!((exit.incarnation, exit.uptime_ms), (first, 10));
        }
        root.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn reasons_name_the_place_of_a_panic_and_all_sources_of_an_error() {
    let log = Log::new();
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(scripted("a", &log, &[&[Step::Ready, Step::Panic], SERVES]))
        .child(scripted("b", &log, &[&[Step::Ready, Step::Fail], SERVES]))
        .start()
        .await
        .unwrap();
    let tree = root.tree();
    let text = |path: &str| {
        tree.snapshot()
            .find(path)
            .and_then(|node| Some(node.last_exit.as_ref()?.reason.text()))
    };
    until(&tree, |_| text("top/a").is_some() && text("top/b").is_some()).await;
    let panic = text("top/a").unwrap();
    assert!(
        panic.starts_with("panicked at ") && panic.ends_with(": out of order"),
        "{panic}"
    );
    assert!(panic.contains("kit.rs:"), "{panic}");
    assert_eq!(text("top/b").unwrap(), "cannot go on: the disk is gone");
    let shown = serde_json::to_value(tree.snapshot()).unwrap();
    assert_eq!(
        shown["root"]["children"][1]["last_exit"]["reason"],
        "cannot go on: the disk is gone"
    );
    root.stop().await;
}

/// A child that crashes at these instants after the tree's start, each in its own incarnation, and then serves.
fn crashing_at(id: &str, instants: &[u64]) -> ChildSpec {
    let instants = instants.to_vec();
    let begun = tokio::time::Instant::now();
    ChildSpec::new(id.to_owned(), move |ctx| {
        let at = instants
            .get(usize::try_from(ctx.restart_count()).unwrap())
            .copied();
        async move {
            ctx.ready();
            match at {
                Some(at) => {
                    tokio::time::sleep_until(begun + Duration::from_millis(at)).await;
                    Err(ao_supervisor::Crash::message(format!("at {at}")))
                }
                None => {
                    ctx.stopping().await;
                    Ok(ao_supervisor::Done)
                }
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn the_window_is_exactly_the_period_and_includes_its_edge() {
    let cases: [(u32, &[u64], bool); 6] = [
        (0, &[100], false),
        (1, &[100], true),
        (1, &[100, 1_100], false),
        (1, &[100, 1_101], true),
        (2, &[100, 200, 1_100], false),
        // Never more than two in any second, for ever.
        (2, &[100, 700, 1_200, 1_800, 2_300, 2_900, 3_400], true),
    ];
    for (limit, instants, survives) in cases {
        let root = Supervisor::root("top", Strategy::OneForOne, Budget::restarts(limit).per(SECOND))
            .child(crashing_at("a", instants))
            .start()
            .await
            .unwrap();
        let last = u64::try_from(instants.len()).unwrap();
        let tree = root.tree();
        let settled = until(&tree, |snapshot| {
            snapshot.find("top/a").is_some_and(|node| {
                let served = node.restarts.total == last && node.state == State::Running;
                served || node.state == State::Terminated
            })
        });
        let state = settled.await.find("top/a").unwrap().state;
        assert_eq!(
            state == State::Running,
            survives,
            "{limit} in 1 s, crashes at {instants:?}"
        );
        root.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_the_supervisors_over_all_its_children() {
    let mut top = Supervisor::root("top", Strategy::OneForOne, Budget::restarts(2).per(10 * SECOND));
    for (id, at) in [("a", 100), ("b", 200), ("c", 300), ("d", 400)] {
        top = top.child(crashing_at(id, &[at]));
    }
    let root = top.start().await.unwrap();
    let ended = root.wait().await;
    assert_eq!(ended.to_string(), "`top`: gave up on `top/c`; `top/c`: at 300");
}

#[tokio::test(start_paused = true)]
async fn every_failed_attempt_is_one_more_restart() {
    let log = Log::new();
    let root = Supervisor::root("top", Strategy::OneForOne, Budget::restarts(3).per(10 * SECOND))
        .child(scripted(
            "a",
            &log,
            &[&[Step::Ready, Step::Wait(10), Step::Fail], &[Step::Fail]],
        ))
        .child(scripted("b", &log, &[SERVES]))
        .start()
        .await
        .unwrap();
    let ended = root.wait().await;
    assert!(matches!(ended.path[0].reason, Reason::GaveUp { .. }));
    assert_eq!(log.count("a up"), 4, "the first start and three attempts");
    assert_eq!(log.count("b down"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_nobody_can_mend_reaches_the_root_with_its_whole_story() {
    let log = Log::new();
    let leaf = scripted("leaf", &log, &[&[Step::Ready, Step::Wait(10), Step::Fail]]);
    let low = Supervisor::new("low", Strategy::OneForOne, Budget::restarts(1).per(SECOND))
        .child(scripted("near", &log, &[SERVES]))
        .child(leaf);
    let high = Supervisor::new("high", Strategy::OneForOne, Budget::restarts(1).per(SECOND)).child(low);
    let root = Supervisor::root("top", Strategy::RestForOne, Budget::restarts(0).per(SECOND))
        .child(scripted("far", &log, &[SERVES]))
        .child(high)
        .start()
        .await
        .unwrap();
    let mut events = root.tree().events();
    let ended = root.wait().await;
    assert_eq!(
        ended.to_string(),
        "`top`: gave up on `top/high`; `top/high`: gave up on `top/high/low`; `top/high/low`: gave up on \
         `top/high/low/leaf`; `top/high/low/leaf`: cannot go on: the disk is gone"
    );
    assert_eq!(
        ended.path[0].reason.text(),
        "gave up on `top/high`: gave up on `top/high/low`: gave up on `top/high/low/leaf`: cannot go on: the disk is gone",
        "the same on one line, as logs and events say it"
    );
    let paths: Vec<_> = ended.path.iter().map(|link| link.path.as_str()).collect();
    assert_eq!(paths, ["top", "top/high", "top/high/low", "top/high/low/leaf"]);
    // Restarts multiply: (1 + 1) * (1 + 1) lives, and everybody is gone.
    assert_eq!((log.count("leaf up"), log.count("leaf down")), (4, 4));
    assert_eq!((log.count("near up"), log.count("near down")), (2, 2));
    assert_eq!(log.count("far down"), 1);
    let mut gave_up = vec![];
    while let Some(event) = crate::kit::next(&mut events).await {
        if matches!(event.what, What::GaveUp { .. }) {
            gave_up.push(event.path.to_string());
        }
    }
    assert_eq!(gave_up, ["top/high/low", "top/high/low", "top/high", "top"]);
    assert_eq!(root.tree().snapshot().root.state, State::GaveUp);
    // Asked again, it says the same.
    assert_eq!(root.wait().await.path.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_transient_supervisor_that_gives_up_is_seen_to_have() {
    let log = Log::new();
    let inner = Supervisor::new("inner", Strategy::OneForOne, Budget::restarts(0).per(SECOND))
        .child(scripted("a", &log, &[&[Step::Ready, Step::Wait(10), Step::Fail]]));
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(ChildSpec::from(inner).restart(Restart::Transient))
        .child(scripted("b", &log, &[SERVES]))
        .start()
        .await
        .unwrap();
    until_state(&root.tree(), "top/inner", State::GaveUp).await;
    assert_eq!(log.count("a up"), 1);
    assert_eq!(log.count("b down"), 0);
    root.stop().await;
}

/// The pauses a child was given, as events tell them.
fn pause(event: &Event) -> Option<u64> {
    match event.what {
        What::Backoff { delay_ms, .. } => Some(delay_ms),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_and_are_forgotten_after_a_long_run() {
    let log = Log::new();
    const SHORT: &[Step] = &[Step::Ready, Step::Wait(10), Step::Fail];
    const LONG: &[Step] = &[Step::Ready, Step::Wait(400), Step::Fail];
    let root = Supervisor::root("top", Strategy::OneForOne, Budget::restarts(20).per(60 * SECOND))
        .child(
            scripted(
                "a",
                &log,
                &[SHORT, SHORT, SHORT, SHORT, SHORT, LONG, SHORT, SERVES],
            )
            .backoff(exact(100 * MS, 400 * MS)),
        )
        .start()
        .await
        .unwrap();
    let started = tokio::time::Instant::now();
    let mut events = root.tree().events();
    let mut pauses = vec![];
    for _ in 0..5 {
        pauses.push(hear(&mut events, pause).await);
    }
    // The first at once, then doubling; a run of 400 ms begins anew: one at once, then 100 ms again.
    assert_eq!(pauses, [100, 200, 400, 400, 100]);
    log.until("a up", 8).await;
    assert_eq!(started.elapsed(), (6 * 10 + 400 + 1_200) * MS);
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn jitter_spreads_and_never_lengthens() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let log = Log::new();
        let root = Supervisor::root("top", Strategy::OneForOne, Budget::restarts(3).per(60 * SECOND))
            .seed(seed)
            .child(
                scripted("a", &log, &[&[Step::Ready, Step::Wait(1), Step::Fail], SERVES]).backoff(Backoff {
                    immediate: 0,
                    jitter: 0.5,
                    ..Backoff::between(1_000 * MS, 1_000 * MS)
                }),
            )
            .start()
            .await
            .unwrap();
        let delay = hear(&mut root.tree().events(), pause).await;
        assert!((500..=1_000).contains(&delay), "{delay}");
        seen.insert(delay);
        root.stop().await;
    }
    assert!(seen.len() > 10, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_child_past_its_own_budget_is_parked_and_its_siblings_do_not_notice() {
    let log = Log::new();
    const CRASHES: &[Step] = &[Step::Ready, Step::Wait(1), Step::Panic];
    let lives: Vec<_> = std::iter::repeat_n(CRASHES, 12).chain([SERVES]).collect();
    let inner = Supervisor::new("inner", Strategy::OneForOne, Budget::parking())
        .child(scripted("a", &log, &lives))
        .child(scripted("b", &log, &[SERVES]));
    let root = Supervisor::root("top", Strategy::OneForOne, Budget::restarts(0).per(SECOND))
        .seed(7)
        .child(inner)
        .start()
        .await
        .unwrap();
    let tree = root.tree();
    let (sibling, above) = (incarnation(&tree, "top/inner/b"), incarnation(&tree, "top/inner"));

    let parked = until_state(&tree, "top/inner/a", State::Parked).await;
    assert_eq!(log.count("a up"), 10, "the tenth crash in a row parks it");
    let node = parked.find("top/inner/a").unwrap();
    let shown = node.parked.as_ref().unwrap();
    assert!(shown.reason.text().ends_with("out of order"));
    assert_eq!(shown.times, 1);
    let retry_in = shown.retry_in_ms.unwrap();
    assert!((24_000..=30_000).contains(&retry_in), "{retry_in}");
    assert_eq!(node.incarnation, None);
    assert_eq!((node.restarts.in_window, node.restarts.limit), (Some(9), Some(9)));

    // Tried again by itself, once: it crashes and is parked for longer.
    let again = until(&tree, |snapshot| {
        let parked = snapshot.find("top/inner/a").and_then(|node| node.parked.as_ref());
        parked.is_some_and(|parked| parked.times == 2)
    })
    .await;
    assert_eq!(log.count("a up"), 11);
    let retry_in = again
        .find("top/inner/a")
        .unwrap()
        .parked
        .as_ref()
        .unwrap()
        .retry_in_ms
        .unwrap();
    assert!((48_000..=60_000).contains(&retry_in), "{retry_in}");

    // By hand it gets a fresh budget: one more crash, and it comes back.
    tree.resume("top/inner/a").unwrap();
    until_newer(&tree, "top/inner/a", 0).await;
    log.until("a up", 13).await;
    assert_eq!(
        tree.resume("top/inner/b"),
        Err(TreeError::NotParked {
            path: "top/inner/b".to_owned(),
            state: State::Running
        })
    );
    assert_eq!(
        tree.resume("top/inner/c"),
        Err(TreeError::NotFound {
            path: "top/inner/c".to_owned()
        })
    );
    assert_eq!(
        (incarnation(&tree, "top/inner/b"), incarnation(&tree, "top/inner")),
        (sibling, above)
    );
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_parked_child_heals_by_itself_when_the_world_does() {
    let log = Log::new();
    const CRASHES: &[Step] = &[Step::Ready, Step::Wait(1), Step::Fail];
    // Parked at the second crash; healed at the first retry, for long; then it may crash once more without being parked.
    const LONG: &[Step] = &[Step::Ready, Step::Wait(60_000), Step::Fail];
    let root = Supervisor::root("top", Strategy::OneForOne, Budget::parking())
        .child(
            scripted("a", &log, &[CRASHES, CRASHES, LONG, SERVES])
                .budget(Budget::restarts(1).per(60 * SECOND)),
        )
        .start()
        .await
        .unwrap();
    let tree = root.tree();
    until_state(&tree, "top/a", State::Parked).await;
    log.until("a up", 4).await;
    let snapshot = until_state(&tree, "top/a", State::Running).await;
    let node = snapshot.find("top/a").unwrap();
    assert!(node.parked.is_none());
    assert_eq!(node.restarts.in_window, Some(1));
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn under_a_parking_supervisor_a_child_that_cannot_start_holds_up_nobody() {
    let log = Log::new();
    let before = tokio::time::Instant::now();
    let root = Supervisor::root("top", Strategy::OneForOne, Budget::parking())
        .child(scripted("a", &log, &[&[Step::Fail]]))
        .child(scripted("b", &log, &[SERVES]))
        .start()
        .await
        .unwrap();
    assert_eq!((before.elapsed(), log.count("b up")), (Duration::ZERO, 1));
    let snapshot = until_state(&root.tree(), "top/a", State::Parked).await;
    assert_eq!(
        states(&snapshot),
        ["top running", "top/a parked", "top/b running"]
    );
    assert_eq!(log.count("a up"), 10);
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn restarts_of_a_child_with_its_own_budget_count_for_its_supervisor_too() {
    let log = Log::new();
    const CRASHES: &[Step] = &[Step::Ready, Step::Wait(1), Step::Fail];
    let own = Budget::restarts(2).per(SECOND);
    let root = Supervisor::root("top", Strategy::OneForOne, Budget::restarts(3).per(10 * SECOND))
        .child(scripted("a", &log, &[CRASHES]).budget(own))
        .child(scripted("b", &log, &[&[Step::Ready, Step::Wait(100), Step::Fail]]).budget(own))
        .start()
        .await
        .unwrap();
    let mut events = root.tree().events();
    hear(&mut events, |event| {
        matches!(event.what, What::Parked { .. }).then_some(())
    })
    .await;
    // Two restarts of a, then one of b; the second one of b is the supervisor's fourth.
    let ended = tokio::time::timeout(LIMIT, root.wait()).await.unwrap();
    assert_eq!(ended.path[1].path, "top/b");
    assert_eq!((log.count("a up"), log.count("b up")), (3, 2));
}
