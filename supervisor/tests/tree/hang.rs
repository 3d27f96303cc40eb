//! Heartbeats, and trouble made on purpose.

use std::time::Duration;

use ao_supervisor::{
    ChildSpec, Context, Crash, Done, Reason, Role, State, Strategy, Supervisor, TreeError, What,
};

use crate::kit::{
    Log, MS, SECOND, SERVES, Step, hear, incarnation, next, plenty, scripted, states, until, until_newer,
    until_state,
};

/// A child that beats every `every` so many times, and then only waits for its stop.
fn beating(every: Duration, times: u32) -> ChildSpec {
    ChildSpec::new("a", move |ctx: Context| async move {
        ctx.ready();
        for _ in 0..times {
            tokio::time::sleep(every).await;
            ctx.beat();
        }
        ctx.stopping().await;
        Ok(Done)
    })
    .heartbeat(SECOND)
}

#[tokio::test(start_paused = true)]
async fn silence_past_the_heartbeat_is_a_hang_and_is_restarted() {
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(beating(500 * MS, 4))
        .start()
        .await
        .unwrap();
    let tree = root.tree();
    let (first, started) = (incarnation(&tree, "top/a"), tokio::time::Instant::now());
    let mut events = tree.events();
    let silent = hear(&mut events, |event| match event.what {
        What::Hung { silent_ms } => Some(silent_ms),
        _ => None,
    })
    .await;
    // The last beat was at two seconds.
    assert_eq!((started.elapsed(), silent), (3_001 * MS, 1_001));
    until_newer(&tree, "top/a", first).await;
    let exit = tree.snapshot().find("top/a").unwrap().last_exit.clone().unwrap();
    assert!(matches!(exit.reason, Reason::Hung { .. }), "{:?}", exit.reason);
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn beats_in_time_are_never_a_hang() {
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        // Exactly as long as allowed, and half of it, for an hour.
        .child(beating(SECOND, 3_600))
        .child(Supervisor::new("inner", Strategy::OneForOne, plenty()))
        .start()
        .await
        .unwrap();
    let tree = root.tree();
    let before = (incarnation(&tree, "top/a"), incarnation(&tree, "top/inner"));
    tokio::time::advance(Duration::ZERO).await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(
        (incarnation(&tree, "top/a"), incarnation(&tree, "top/inner")),
        before
    );
    let beat = tree.snapshot().find("top/a").unwrap().beat.clone().unwrap();
    assert_eq!(beat.deadline_ms, 1_000);
    assert!(beat.age_ms <= 1_000);
    root.stop().await;
}

/// A process in which nothing happens is woken once for all who beat as often, whenever each of them began.
#[tokio::test(start_paused = true)]
async fn who_has_the_same_heartbeat_beats_at_the_same_instant() {
    let begins_after = |id: &str, pause: Duration| {
        let spec = ChildSpec::new(id, move |ctx: Context| async move {
            tokio::time::sleep(pause).await;
            ctx.ready();
            ctx.beating(ctx.stopping()).await;
            Ok(Done)
        });
        spec.heartbeat(SECOND)
    };
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(begins_after("a", Duration::ZERO))
        .child(begins_after("b", 300 * MS))
        .start()
        .await
        .unwrap();
    let tree = root.tree();
    tokio::time::sleep(1_800 * MS).await;
    let snapshot = tree.snapshot();
    let age = |path: &str| snapshot.find(path).unwrap().beat.clone().unwrap().age_ms;
    assert_eq!((age("top/a"), age("top/b")), (100, 100));
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_makes_no_child_hang() {
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(beating(500 * MS, 1_000))
        .child(Supervisor::new("inner", Strategy::OneForOne, plenty()))
        .start()
        .await
        .unwrap();
    let tree = root.tree();
    let before = (incarnation(&tree, "top/a"), incarnation(&tree, "top/inner"));
    for _ in 0..3 {
        // All deadlines lie in the past before anybody could beat.
        tokio::time::advance(60 * SECOND).await;
        tokio::time::sleep(3 * SECOND).await;
    }
    assert_eq!(
        (incarnation(&tree, "top/a"), incarnation(&tree, "top/inner")),
        before
    );
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_declared_silence_is_allowed_and_bounded() {
    let log = Log::new();
    let said = log.clone();
    let spec = ChildSpec::new("a", move |ctx: Context| {
        let log = said.clone();
        async move {
            ctx.ready();
            let slow = ctx.within(60 * SECOND, tokio::time::sleep(50 * SECOND)).await;
            log.say(format!("slow {}", slow.is_ok()));
            let slower = ctx.within(5 * SECOND, std::future::pending::<()>()).await;
            log.say(format!("slower: {}", slower.unwrap_err()));
            ctx.beating(tokio::time::sleep(50 * SECOND)).await;
            log.say("beaten");
            // The declaration of a minute ended with its future: this is silence.
            std::future::pending::<()>().await;
            Err(Crash::message("unreachable"))
        }
    });
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(spec.heartbeat(SECOND))
        .start()
        .await
        .unwrap();
    let mut events = root.tree().events();
    let started = tokio::time::Instant::now();
    hear(&mut events, |event| {
        matches!(event.what, What::Hung { .. }).then_some(())
    })
    .await;
    assert_eq!(log.take(), ["slow true", "slower: not done within 5s", "beaten"]);
    assert_eq!(started.elapsed(), 106_001 * MS);
    root.stop().await;
}

/// Looked at while it may be silent for an hour, it is not let alone for that hour: what it waited for is over in seconds.
#[tokio::test(start_paused = true)]
async fn a_silence_that_ended_early_allows_no_more() {
    let spec = ChildSpec::new("a", |ctx: Context| async move {
        ctx.ready();
        let _ = ctx.within(3_600 * SECOND, tokio::time::sleep(3 * SECOND)).await;
        std::future::pending::<()>().await;
        Err(Crash::message("unreachable"))
    });
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(spec.heartbeat(SECOND))
        .start()
        .await
        .unwrap();
    let mut events = root.tree().events();
    let started = tokio::time::Instant::now();
    hear(&mut events, |event| {
        matches!(event.what, What::Hung { .. }).then_some(())
    })
    .await;
    assert_eq!(started.elapsed(), 4_001 * MS);
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hung_child_is_given_up_at_once_and_asked_before_it_is_aborted() {
    let log = Log::new();
    let said = log.clone();
    let spec = ChildSpec::new("a", move |ctx: Context| {
        let log = said.clone();
        async move {
            ctx.ready();
            ctx.stopping().await;
            log.say(format!("asked, revoked {}", ctx.incarnation().is_revoked()));
            Ok(Done)
        }
    });
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(spec.heartbeat(SECOND))
        .start()
        .await
        .unwrap();
    log.until("asked, revoked true", 1).await;
    // That it answered at last makes it no less a crash.
    let exit = until(&root.tree(), |snapshot| {
        snapshot.find("top/a").unwrap().last_exit.is_some()
    })
    .await;
    let exit = exit.find("top/a").unwrap().last_exit.clone().unwrap();
    assert!(matches!(exit.reason, Reason::Hung { .. }));
    drop(root);
}

#[tokio::test(start_paused = true)]
async fn crash_on_request_is_a_panic_at_the_next_poll() {
    let log = Log::new();
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(scripted("a", &log, &[SERVES]))
        .child(scripted("b", &log, &[SERVES]))
        .start()
        .await
        .unwrap();
    let tree = root.tree();
    let (a, b) = (incarnation(&tree, "top/a"), incarnation(&tree, "top/b"));
    tree.crash("top/a").unwrap();
    until_newer(&tree, "top/a", a).await;
    assert_eq!(incarnation(&tree, "top/b"), b);
    assert_eq!(
        tree.crash("top"),
        Err(TreeError::Root {
            path: "top".to_owned()
        })
    );
    for path in ["top/c", "other", "top/a/x", ""] {
        assert_eq!(
            tree.crash(path),
            Err(TreeError::NotFound {
                path: path.to_owned()
            })
        );
    }
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn hang_on_request_is_found_by_the_heartbeat() {
    let log = Log::new();
    let beats = ChildSpec::new("a", |ctx: Context| async move {
        ctx.ready();
        ctx.beating(ctx.stopping()).await;
        Ok(Done)
    });
    let inner = Supervisor::new("inner", Strategy::OneForOne, plenty()).child(scripted("b", &log, &[SERVES]));
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(beats.heartbeat(SECOND))
        .child(inner)
        .start()
        .await
        .unwrap();
    let tree = root.tree();
    let started = tokio::time::Instant::now();
    for path in ["top/a", "top/inner"] {
        let before = incarnation(&tree, path);
        tree.hang(path).unwrap();
        let snapshot = tree.snapshot();
        assert_eq!(
            snapshot.find(path).unwrap().state,
            State::Running,
            "a look waits for nobody"
        );
        until_newer(&tree, path, before).await;
    }
    assert!(started.elapsed() < 20 * SECOND, "{:?}", started.elapsed());
    // The hung supervisor took its child along, once, and brought it back.
    log.until("b up", 2).await;
    assert_eq!(log.lines(), ["b up", "b down", "b up"]);
    assert_eq!(tree.snapshot().find("top/inner").unwrap().role, Role::Supervisor);
    root.stop().await;
}

/// A supervisor that hangs is found out while it is to stop, too: nobody waits for it for ever.
#[tokio::test(start_paused = true)]
async fn a_supervisor_that_hangs_keeps_nobody_from_stopping() {
    let log = Log::new();
    let inner = Supervisor::new("inner", Strategy::OneForOne, plenty()).child(scripted("b", &log, &[SERVES]));
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(inner)
        .start()
        .await
        .unwrap();
    log.until("b up", 1).await;
    root.tree().hang("top/inner").unwrap();
    let mut events = root.tree().events();
    let began = tokio::time::Instant::now();
    let report = root.stop().await;
    assert!(began.elapsed() < 12 * SECOND, "{:?}", began.elapsed());
    assert!(report.stuck.is_empty(), "{report:?}");
    assert_eq!(log.lines(), ["b up", "b down"]);
    let silent = hear(&mut events, |event| match event.what {
        What::Hung { silent_ms } => Some(silent_ms),
        _ => None,
    });
    assert!(silent.await > 10_000);
}

/// One that waits for a child that takes long to stop has not hung.
#[tokio::test(start_paused = true)]
async fn a_supervisor_may_take_as_long_to_stop_as_its_children() {
    let slow = ChildSpec::new("slow", |ctx: Context| async move {
        ctx.ready();
        ctx.stopping().await;
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        Ok(Done)
    });
    let inner = Supervisor::new("inner", Strategy::OneForOne, plenty())
        .child(slow.shutdown(ao_supervisor::Shutdown::Infinity));
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(inner)
        .start()
        .await
        .unwrap();
    let mut events = root.tree().events();
    let began = tokio::time::Instant::now();
    root.stop().await;
    assert!(began.elapsed() >= 3_600 * SECOND, "{:?}", began.elapsed());
    while let Some(event) = next(&mut events).await {
        assert!(!matches!(event.what, What::Hung { .. }), "{event:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn trouble_for_a_child_that_is_down_is_armed_for_its_next_incarnation() {
    let log = Log::new();
    let pause = ao_supervisor::Backoff {
        immediate: 0,
        ..crate::kit::exact(SECOND, SECOND)
    };
    let budget = ao_supervisor::Budget::restarts(5).per(60 * SECOND);
    let root = Supervisor::root("top", Strategy::OneForOne, budget)
        .child(scripted("a", &log, &[&[Step::Ready, Step::Fail], SERVES]).backoff(pause))
        .start()
        .await
        .unwrap();
    let tree = root.tree();
    until_state(&tree, "top/a", State::Backoff).await;
    tree.crash("top/a").unwrap();
    let mut events = tree.events();
    let why = hear(&mut events, |event| match &event.what {
        What::StartFailed { reason } => Some(reason.text()),
        _ => None,
    })
    .await;
    assert!(why.ends_with("crashed on request"), "{why}");
    until_state(&tree, "top/a", State::Running).await;
    assert_eq!(
        log.count("a up"),
        2,
        "the troubled incarnation never came to its first line"
    );
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_waits_for_nobody() {
    let log = Log::new();
    let inner = Supervisor::new("inner", Strategy::RestForOne, plenty())
        .child(scripted("a", &log, &[SERVES]))
        .child(scripted("b", &log, &[&[Step::Deaf]]).start_timeout(None));
    let tree = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(scripted("c", &log, &[&[Step::Ready, Step::Deaf]]))
        .child(inner);
    let view = tree.handle();
    assert_eq!(states(&view.snapshot()), ["top not_started"]);
    let starting = tree.start();
    tokio::pin!(starting);
    assert!(tokio::time::timeout(SECOND, starting.as_mut()).await.is_err());
    let snapshot = view.snapshot();
    assert_eq!(
        states(&snapshot),
        [
            "top starting",
            "top/c running",
            "top/inner starting",
            "top/inner/a running",
            "top/inner/b starting"
        ]
    );
    assert_eq!(
        snapshot.find("top/inner").unwrap().strategy,
        Some(Strategy::RestForOne)
    );
    assert_eq!(snapshot.find("top/inner/b").unwrap().started_age_ms, Some(1_000));
    assert_eq!(snapshot.find("top/c").unwrap().ready_age_ms, Some(1_000));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_during_a_stop_shows_who_is_waited_for() {
    let log = Log::new();
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(scripted("a", &log, &[SERVES]))
        .child(scripted("b", &log, &[&[Step::Ready, Step::Deaf]]))
        .child(scripted("c", &log, &[SERVES]))
        .start()
        .await
        .unwrap();
    let tree = root.tree();
    let stopping = root.stop();
    tokio::pin!(stopping);
    assert!(tokio::time::timeout(SECOND, stopping.as_mut()).await.is_err());
    assert_eq!(
        states(&tree.snapshot()),
        [
            "top running",
            "top/a running",
            "top/b stopping",
            "top/c terminated"
        ]
    );
    stopping.await;
    assert_eq!(
        states(&tree.snapshot()),
        [
            "top terminated",
            "top/a terminated",
            "top/b terminated",
            "top/c terminated"
        ]
    );
}
