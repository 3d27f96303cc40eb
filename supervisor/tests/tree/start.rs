//! Starting: order, handshake, failure and what is refused before anything runs.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ao_supervisor::{
    Backoff, Budget, Child, ChildSpec, Context, Crash, Done, Init, Restart, SpecError, StartError, State,
    Strategy, Supervisor, child,
};

use crate::kit::{Log, MS, SECOND, SERVES, Step, plenty, scripted, states};

const LATE: &[Step] = &[Step::Wait(50), Step::Ready, Step::Serve];

#[tokio::test(start_paused = true)]
async fn children_start_in_order_and_stop_in_reverse() {
    let log = Log::new();
    let inner = Supervisor::new("inner", Strategy::OneForOne, plenty())
        .child(scripted("c", &log, &[LATE]))
        .child(scripted("d", &log, &[LATE]));
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(scripted("a", &log, &[LATE]))
        .child(scripted("b", &log, &[&[Step::Ready, Step::Serve]]))
        .child(inner)
        .child(scripted("e", &log, &[LATE]));
    let before = tokio::time::Instant::now();
    let root = root.start().await.unwrap();
    assert_eq!(
        before.elapsed(),
        200 * MS,
        "each of the four late ones was waited for"
    );
    assert_eq!(log.take(), ["a up", "b up", "c up", "d up", "e up"]);
    let snapshot = root.tree().snapshot();
    assert_eq!(
        states(&snapshot),
        [
            "top running",
            "top/a running",
            "top/b running",
            "top/inner running",
            "top/inner/c running",
            "top/inner/d running",
            "top/e running"
        ]
    );
    assert!(root.stop().await.stuck.is_empty());
    assert_eq!(log.lines(), ["e down", "d down", "c down", "b down", "a down"]);
}

#[tokio::test(start_paused = true)]
async fn a_later_child_is_not_started_before_the_former_is_ready() {
    let log = Log::new();
    let tree = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(scripted(
            "a",
            &log,
            &[&[Step::Wait(100), Step::Ready, Step::Serve]],
        ))
        .child(scripted("b", &log, &[SERVES]));
    let view = tree.handle();
    let starting = tree.start();
    tokio::pin!(starting);
    assert!(tokio::time::timeout(99 * MS, starting.as_mut()).await.is_err());
    assert_eq!(
        states(&view.snapshot()),
        ["top starting", "top/a starting", "top/b not_started"]
    );
    let root = starting.await.unwrap();
    assert_eq!(log.lines(), ["a up", "b up"]);
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_start_rolls_back_in_reverse_and_keeps_the_root_cause() {
    let log = Log::new();
    let inner = Supervisor::new("inner", Strategy::OneForOne, plenty())
        .child(scripted("c", &log, &[SERVES]))
        .child(scripted("d", &log, &[&[Step::Wait(10), Step::Fail]]))
        .child(scripted("e", &log, &[SERVES]));
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(scripted("a", &log, &[SERVES]))
        .child(scripted("b", &log, &[SERVES]))
        .child(inner)
        .child(scripted("f", &log, &[SERVES]));
    let error = root.start().await.err().unwrap();
    assert_eq!(
        log.lines(),
        [
            "a up", "b up", "c up", "d up", "d down", "c down", "b down", "a down"
        ]
    );
    assert_eq!(error.to_string(), "child `top/inner` did not start");
    let mut chain = vec![];
    let mut source = error.source();
    while let Some(error) = source {
        chain.push(error.to_string());
        source = error.source();
    }
    assert_eq!(
        chain,
        [
            "child `top/inner/d` did not start",
            "cannot go on",
            "the disk is gone"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn every_way_not_to_become_ready_is_a_failed_start() {
    let cases: [(&'static [Step], &str); 5] = [
        (&[Step::Fail], "cannot go on: the disk is gone"),
        (&[Step::Panic], "out of order"),
        (&[Step::Done], "ended before it was ready"),
        (
            &[Step::Wait(1_000), Step::Ready, Step::Serve],
            "not ready within 999ms",
        ),
        (&[Step::Deaf], "not ready within 999ms"),
    ];
    for (life, why) in cases {
        let log = Log::new();
        let spec = scripted("a", &log, &[life]).start_timeout(Some(999 * MS));
        let error = Supervisor::root("top", Strategy::OneForOne, plenty())
            .child(spec)
            .start()
            .await
            .err()
            .unwrap();
        let StartError::Child { path, reason } = error else {
            panic!("{life:?} gave {error:?}")
        };
        assert_eq!(path, "top/a");
        assert!(reason.text().contains(why), "{life:?} gave {:?}", reason.text());
        assert_eq!(log.lines(), ["a up", "a down"], "{life:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_panics_before_its_first_await_is_a_failed_start() {
    let spec = ChildSpec::new("a", |ctx: Context| -> std::future::Ready<Result<Done, Crash>> {
        panic!("no future for {}", ctx.path())
    });
    let error = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(spec)
        .start()
        .await
        .err()
        .unwrap();
    let StartError::Child { reason, .. } = error else {
        panic!("{error:?}")
    };
    assert!(
        reason.text().ends_with("no future for top/a"),
        "{}",
        reason.text()
    );
    assert!(
        reason.text().contains("start.rs:"),
        "the place is told: {}",
        reason.text()
    );
}

#[tokio::test(start_paused = true)]
async fn a_child_may_have_nothing_to_do() {
    let log = Log::new();
    const IGNORES: &[Step] = &[Step::Ignore, Step::Done];
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(scripted("a", &log, &[IGNORES]))
        .child(scripted("b", &log, &[IGNORES]).restart(Restart::Temporary))
        .child(scripted("c", &log, &[SERVES]))
        .start()
        .await
        .unwrap();
    // The temporary one is forgotten.
    assert_eq!(
        states(&root.tree().snapshot()),
        ["top running", "top/a ignored", "top/c running"]
    );
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_tree_without_children_starts_and_stops() {
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .start()
        .await
        .unwrap();
    assert!(root.stop().await.stuck.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_work_is_refused_before_anything_runs() {
    let log = Log::new();
    let spec = || scripted("a", &log, &[SERVES]);
    let one = |budget| Supervisor::root("top", Strategy::OneForOne, budget);
    let slow = Backoff {
        jitter: 0.0,
        immediate: 0,
        ..Backoff::between(60 * MS, 60 * MS)
    };
    let id = || "a".to_owned();
    let cases = [
        (
            one(plenty()).child(spec()).child(spec()),
            SpecError::DuplicateId {
                supervisor: "top".to_owned(),
                id: id(),
            },
        ),
        (
            one(plenty()).child(scripted("", &log, &[SERVES])),
            SpecError::EmptyId,
        ),
        (
            one(Budget::restarts(1).per(Duration::ZERO)),
            SpecError::ZeroPeriod { id: "top".to_owned() },
        ),
        (
            one(plenty()).child(spec().budget(Budget::restarts(1).per(Duration::ZERO))),
            SpecError::ZeroPeriod { id: id() },
        ),
        (
            one(plenty()).child(spec().heartbeat(Duration::ZERO)),
            SpecError::ZeroHeartbeat { id: id() },
        ),
        (
            one(plenty()).child(spec().backoff(Backoff::between(2 * MS, MS))),
            SpecError::BadBackoff {
                id: id(),
                why: "its shortest pause is longer than its longest",
            },
        ),
        (
            one(plenty()).child(spec().backoff(Backoff { jitter: 1.5, ..slow })),
            SpecError::BadBackoff {
                id: id(),
                why: "its jitter is outside 0..=1",
            },
        ),
        (
            one(Budget::restarts(2).per(100 * MS)).child(spec().backoff(slow)),
            SpecError::UnreachableLimit {
                id: id(),
                restarts: 2,
                per: 100 * MS,
            },
        ),
        (
            Supervisor::root("top", Strategy::RestForOne, Budget::parking()),
            SpecError::ParkingInGroup { id: "top".to_owned() },
        ),
        (
            Supervisor::root("top", Strategy::RestForOne, plenty()).child(spec().budget(plenty())),
            SpecError::ParkingInGroup { id: id() },
        ),
        (
            one(plenty()).child(spec().budget(Budget::parking())),
            SpecError::ParkingChild { id: id() },
        ),
        (
            one(plenty())
                .child(Supervisor::new("a", Strategy::OneForOne, plenty()).child(scripted("", &log, &[]))),
            SpecError::EmptyId,
        ),
    ];
    for (tree, wanted) in cases {
        match tree.start().await {
            Err(StartError::Spec(error)) => assert_eq!(error, wanted),
            Err(other) => panic!("{wanted:?} came as {other:?}"),
            Ok(_) => panic!("{wanted:?} was not seen"),
        }
    }
    assert!(log.lines().is_empty());
}

/// Counts in a field: a carried-over value would show.
struct Counter(Arc<AtomicU32>, u32);

impl Child for Counter {
    async fn init(&mut self, ctx: &Context) -> Result<Init, Crash> {
        self.1 += 1;
        assert_eq!(self.1, 1, "every incarnation is a fresh value");
        assert_eq!(ctx.last_exit().is_some(), ctx.restart_count() > 0);
        if ctx.restart_count() == 2 {
            return Ok(Init::Ignore);
        }
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Init::Ready)
    }

    async fn run(&mut self, ctx: &Context) -> Result<Done, Crash> {
        match ctx.last_exit() {
            None => panic!("the first one"),
            Some(exit) => Err(Crash::message(format!("again, after {}", exit.reason.text()))),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_in_two_steps_is_a_fresh_value_each_time() {
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let root = Supervisor::root("top", Strategy::OneForOne, Budget::restarts(5).per(SECOND))
        .child(child("a", move || Counter(counted.clone(), 0)))
        .start()
        .await
        .unwrap();
    let snapshot = crate::kit::until_state(&root.tree(), "top/a", State::Ignored).await;
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert_eq!(snapshot.find("top/a").unwrap().restarts.total, 2);
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_step_is_the_awaited_expression() {
    let outcome: Result<u32, Crash> =
        async { Ok(ao_supervisor::step!("t.step", async { Ok::<_, Crash>(7) })? + 1) }.await;
    assert_eq!(outcome.unwrap(), 8);
}
