//! The events: in order, numbered without a gap, and never a burden.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context as LayerContext, SubscriberExt};

use ao_supervisor::{Heard, Roster, State, Strategy, Supervisor, What};

use crate::kit::{
    Log, MS, SECOND, SERVES, Step, exact, incarnation, next, plenty, scripted, until_newer, word,
};

#[tokio::test(start_paused = true)]
async fn a_life_is_told_in_order_and_numbered_without_a_gap() {
    let log = Log::new();
    let keys = crate::roster::Fixed::new(["k"]);
    let said = log.clone();
    let tree = Supervisor::root(
        "top",
        Strategy::OneForOne,
        ao_supervisor::Budget::restarts(5).per(60 * SECOND),
    )
    .child(
        scripted(
            "a",
            &log,
            &[&[Step::Ready, Step::Wait(10), Step::Fail], &[Step::Fail], SERVES],
        )
        .backoff(exact(100 * MS, SECOND)),
    )
    .child(Roster::new("rows", "row", keys.clone(), move |key| {
        scripted(&key, &said, &[SERVES])
    }));
    let view = tree.handle();
    let mut events = view.events();
    let root = tree.start().await.unwrap();
    log.until("a up", 3).await;
    keys.set([]);
    log.until("k down", 1).await;
    root.stop().await;
    let (mut words, mut last) = (vec![], 0);
    while let Some(event) = next(&mut events).await {
        assert_eq!(event.seq, last + 1);
        last = event.seq;
        words.push(word(&event));
    }
    assert_eq!(last, view.snapshot().seq);
    let of = |path: &str| -> Vec<_> {
        words
            .iter()
            .filter_map(|word| word.strip_prefix(path)?.strip_prefix(' '))
            .collect()
    };
    assert_eq!(
        of("top/a"),
        [
            "starting",
            "ready",
            "exited",
            "restarting",
            "starting",
            "start_failed",
            "backoff",
            "restarting",
            "starting",
            "ready",
            "terminating",
            "stopped"
        ]
    );
    assert_eq!(
        of("top/rows"),
        [
            "starting",
            "supervisor_started",
            "ready",
            "terminating",
            "supervisor_stopped",
            "stopped"
        ]
    );
    assert_eq!(
        of("top/rows/k"),
        [
            "child_added",
            "starting",
            "ready",
            "terminating",
            "stopped",
            "child_removed"
        ]
    );
    assert_eq!(of("top"), ["supervisor_started", "supervisor_stopped", "exited"]);
    assert!(
        view.events().next().await.is_none(),
        "after the end there is nothing to hear"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_told_what_it_missed_and_goes_on_from_a_snapshot() {
    let log = Log::new();
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(scripted("a", &log, &[SERVES]))
        .start()
        .await
        .unwrap();
    let tree = root.tree();
    let mut slow = tree.events();
    for _ in 0..600 {
        tree.crash("top/a").unwrap();
        until_newer(&tree, "top/a", incarnation(&tree, "top/a")).await;
    }
    let missed = match slow.next().await {
        Some(Heard::Lagged(missed)) => missed,
        other => panic!("{other:?}"),
    };
    let snapshot = tree.snapshot();
    // Each crash makes four events, and the backlog keeps the last 1,024.
    assert_eq!(missed, 600 * 4 - 1_024);
    let mut last = None;
    while last != Some(snapshot.seq) {
        let event = next(&mut slow).await.unwrap();
        assert!(last.is_none_or(|last| event.seq == last + 1));
        last = Some(event.seq);
    }
    // What comes now is not in the snapshot, and nothing lies between.
    tree.crash("top/a").unwrap();
    let event = next(&mut slow).await.unwrap();
    assert_eq!(event.seq, snapshot.seq + 1);
    assert!(matches!(event.what, What::Exited { .. }));
    assert_eq!(snapshot.find("top/a").unwrap().state, State::Running);
    root.stop().await;
}

/// What a collector of spans is told: `path restart_count`, and after whose span.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<BTreeMap<u64, Collected>>>);

type Collected = (String, Option<u64>);

struct Fields(String);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "path" {
            self.0 = value.to_owned();
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "restart_count" {
            self.0.push_str(&format!(" {value}"));
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Spans {
    fn on_new_span(&self, span: &Attributes<'_>, id: &Id, _: LayerContext<'_, S>) {
        let mut fields = Fields(String::new());
        span.record(&mut fields);
        self.0.lock().unwrap().insert(id.into_u64(), (fields.0, None));
    }

    fn on_follows_from(&self, span: &Id, follows: &Id, _: LayerContext<'_, S>) {
        let mut spans = self.0.lock().unwrap();
        spans.get_mut(&span.into_u64()).unwrap().1 = Some(follows.into_u64());
    }
}

#[tokio::test(start_paused = true)]
async fn each_incarnation_has_a_span_that_follows_from_the_one_before() {
    let spans = Spans::default();
    let _collected = tracing::subscriber::set_default(tracing_subscriber::registry().with(spans.clone()));
    let log = Log::new();
    let root = Supervisor::root("top", Strategy::OneForOne, plenty())
        .child(scripted("a", &log, &[&[Step::Ready, Step::Fail], SERVES]))
        .start()
        .await
        .unwrap();
    log.until("a up", 2).await;
    let seen = spans.0.lock().unwrap().clone();
    let named = |name: &str| {
        seen.iter()
            .find(|(_, (shown, _))| shown == name)
            .map(|(id, (_, after))| (*id, *after))
    };
    let (first, none) = named("top/a 0").unwrap();
    assert_eq!(none, None);
    assert_eq!(named("top/a 1").unwrap().1, Some(first));
    root.stop().await;
}
