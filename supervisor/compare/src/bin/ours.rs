//! `ao-supervisor` with everything on: handshake, order, limits, health (every child has a heartbeat), and somebody who listens
//! to the events.
//!
//! Where supervisors run is part of what is measured: crashes (`latency`, `rate`) with the supervisors on a runtime of their
//! own, as in `ao`; whole trees (`start`, `shutdown`, `tree`) on one runtime with their children, as the floor does it. A HOW
//! that ends in `-apart` or `-together` says otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use ao_compare::{
    Hall, Seat, Words, count, crashes, figure, latency, nanos, rate, resident, runtime, started, stopped,
    tree, until, workers,
};
use ao_supervisor::{Budget, ChildSpec, Crash, Done, Dynamic, Heard, Root, Shutdown, Strategy, Supervisor};
use serde_json::json;

const OF: &str = "ao-supervisor";
const HEARTBEAT: Duration = Duration::from_secs(10);

/// A billion restarts a second: a limit that is kept and never reached.
fn plenty() -> Budget {
    Budget::restarts(1_000_000_000).per(Duration::from_secs(1))
}

fn spec(seat: Arc<Seat>, crashes: bool) -> ChildSpec {
    ChildSpec::new(format!("c{}", seat.at), move |ctx| {
        let seat = seat.clone();
        async move {
            let _present = seat.enter();
            ctx.ready();
            if crashes {
                tokio::task::yield_now().await;
                return Err(Crash::message("as asked"));
            }
            tokio::select! {
                biased;
                () = ctx.stopping() => {
                    seat.hall.polite.fetch_add(1, SeqCst);
                    Ok(Done)
                }
                () = seat.go.notified() => {
                    seat.falls();
                    Err(Crash::message("as asked"))
                }
            }
        }
    })
    .heartbeat(HEARTBEAT)
}

/// Whether the supervisors have a runtime of their own.
fn apart(how: &str, usual: bool) -> bool {
    match how.rsplit_once('-') {
        Some((_, "apart")) => true,
        Some((_, "together")) => false,
        _ => usual,
    }
}

/// Runs the tree with a listener that reads every event. Started from one of the runtime's own workers.
fn run(runtime: &tokio::runtime::Runtime, top: Supervisor, apart: bool) -> Root {
    let mut events = top.handle().events();
    runtime.spawn(async move { while let Some(Heard::Event(_) | Heard::Lagged(_)) = events.next().await {} });
    let children = runtime.handle().clone();
    let started = runtime.spawn(async move {
        if apart {
            top.start_apart(children).await
        } else {
            top.start().await
        }
    });
    runtime
        .block_on(started)
        .expect("it does not panic")
        .expect("the tree starts")
}

fn begin(
    runtime: &tokio::runtime::Runtime,
    seats: &[Arc<Seat>],
    crashers: usize,
    how: &str,
    apart: bool,
) -> Root {
    let top = Supervisor::root("top", Strategy::OneForOne, plenty());
    let wild = |seat: &Seat| crashes(seat.at, seats.len(), crashers);
    if how.starts_with("dynamic") {
        let pool = Dynamic::new("pool", plenty(), |_: &str, (seat, wild): (Arc<Seat>, bool)| {
            spec(seat, wild)
        });
        let orders = pool.handle();
        let root = run(runtime, top.child(pool), apart);
        let all: Vec<_> = seats.iter().map(|seat| (seat.clone(), wild(seat))).collect();
        let added = runtime.spawn(async move {
            for args in all {
                let key = format!("c{}", args.0.at);
                orders.start_child(&key, args).await.expect("it starts");
            }
        });
        runtime.block_on(added).expect("all start");
        return root;
    }
    let mut top = top;
    for seat in seats {
        top = top.child(spec(seat.clone(), wild(seat)));
    }
    run(runtime, top, apart)
}

/// root, mid, leaf, worker; nine idle siblings on both lower levels; mid and leaf allow no restart.
fn three_levels(runtime: &tokio::runtime::Runtime, samples: usize, how: &str) {
    let (hall, mut heard) = Hall::new(false);
    let seats = hall.seats(19);
    let none = || Budget::restarts(0).per(Duration::from_secs(1));
    let mut leaf = Supervisor::new("leaf", Strategy::OneForOne, none()).child(spec(seats[0].clone(), false));
    for seat in &seats[1..10] {
        leaf = leaf.child(spec(seat.clone(), false));
    }
    let mut mid = Supervisor::new("mid", Strategy::OneForOne, none()).child(leaf);
    for seat in &seats[10..] {
        mid = mid.child(spec(seat.clone(), false));
    }
    let top = Supervisor::root("top", Strategy::OneForOne, plenty()).child(mid);
    let root = run(runtime, top, apart(how, false));
    let all = (0..samples)
        .map(|_| {
            until(|| hall.alive.load(SeqCst) == 19);
            seats[0].go.notify_one();
            heard.blocking_recv().expect("it comes back")
        })
        .collect();
    tree(OF, how, all);
    drop(root);
}

/// A million restarts of one child: what stays of them.
fn leak(runtime: &tokio::runtime::Runtime, restarts: usize) {
    let (hall, _heard) = Hall::new(false);
    let seats = hall.seats(1);
    let begun = begin(runtime, &seats, 1, "static", true);
    hall.until_begun(restarts / 10);
    let early = resident();
    hall.until_begun(restarts);
    let late = resident();
    figure(
        OF,
        "leak",
        json!({
            "restarts": restarts, "rss_after_a_tenth": early, "rss_at_the_end": late,
            "growth_bytes": late.saturating_sub(early),
        }),
    );
    drop(begun);
}

/// How long after its deadline a child that keeps its thread is reported.
fn hang(workers_of: usize, wakes: bool, samples: usize) {
    const DEADLINE: Duration = Duration::from_millis(200);
    let mut late = Vec::new();
    for _ in 0..samples {
        let children = workers(workers_of);
        let (free, since) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (let_go, noted) = (free.clone(), since.clone());
        let hog = ChildSpec::new("hog", move |ctx| {
            let (free, since) = (let_go.clone(), noted.clone());
            async move {
                ctx.ready();
                if !wakes {
                    // A busy loop some time after it was ready; else it says ready, which wakes its supervisor, and blocks.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    ctx.beat();
                }
                since.store(nanos(), SeqCst);
                while !free.load(SeqCst) {
                    std::hint::spin_loop();
                }
                Ok(Done)
            }
        })
        .heartbeat(DEADLINE)
        .shutdown(Shutdown::After(Duration::from_millis(10)));
        let top = Supervisor::root(
            "top",
            Strategy::OneForOne,
            Budget::restarts(0).per(Duration::from_secs(1)),
        )
        .child(hog);
        let mut events = top.handle().events();
        let here = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        here.block_on(async {
            let root = top
                .start_apart(children.handle().clone())
                .await
                .expect("it starts");
            while let Some(heard) = events.next().await {
                if matches!(&heard, Heard::Event(event) if event.what.as_str() == "hung") {
                    break;
                }
            }
            let silent = nanos() - since.load(SeqCst);
            late.push(silent.saturating_sub(u64::try_from(DEADLINE.as_nanos()).expect("short")));
            free.store(true, SeqCst);
            root.stop().await;
        });
        children.shutdown_background();
    }
    late.sort_unstable();
    figure(
        OF,
        "hang",
        json!({
            "workers": workers_of, "how": if wakes { "wakes its supervisor, then blocks" } else { "busy loop" }, "samples": samples,
            "late_ms_p50": late[samples / 2] as f64 / 1e6, "late_ms_max": late[samples - 1] as f64 / 1e6,
        }),
    );
}

fn main() {
    let words = Words::of_process();
    let runtime = runtime();
    match words.word(0) {
        "start" => {
            let (n, how) = (words.number(1), words.word(2));
            let (hall, _heard) = Hall::new(false);
            let (before, began) = (resident(), nanos());
            let begun = begin(&runtime, &hall.seats(n), 0, how, apart(how, false));
            hall.until_begun(n);
            let took = nanos() - began;
            std::thread::park_timeout(Duration::from_millis(300));
            started(OF, how, n, took, resident().saturating_sub(before));
            std::mem::forget(begun);
        }
        "latency" => {
            let (n, samples, panics, how) = (
                words.number(1),
                words.number(2),
                words.word(3) == "panic",
                words.word(4),
            );
            let (hall, mut heard) = Hall::new(panics);
            let seats = hall.seats(n);
            let begun = begin(&runtime, &seats, 0, how, apart(how, true));
            hall.until_begun(n);
            let all = (0..samples)
                .map(|k| {
                    seats[k * 7919 % n].go.notify_one();
                    heard.blocking_recv().expect("it comes back")
                })
                .collect();
            latency(OF, how, n, panics, all);
            std::mem::forget(begun);
        }
        "rate" => {
            let (secs, siblings, crashers, how) =
                (words.number(1), words.number(2), words.number(3), words.word(5));
            let (hall, _heard) = Hall::new(false);
            let begun = begin(
                &runtime,
                &hall.seats(siblings + crashers),
                crashers,
                how,
                apart(how, true),
            );
            hall.until_alive(siblings);
            rate(OF, how, siblings, crashers, &count(&hall, secs));
            std::mem::forget(begun);
        }
        "shutdown" => {
            let (n, how) = (words.number(1), words.word(2));
            let (hall, _heard) = Hall::new(false);
            let seats = hall.seats(n);
            let root = begin(&runtime, &seats, 0, how, apart(how, false));
            hall.until_begun(n);
            hall.ends_now();
            let ended = hall.clone();
            let stop = runtime.spawn(async move {
                let began = nanos();
                root.stop().await;
                (nanos() - began, ended.alive.load(SeqCst))
            });
            let (took, alive) = runtime.block_on(stop).expect("it stops");
            stopped(OF, how, &seats, took, alive);
        }
        "tree" => three_levels(&runtime, words.number(1), words.word(2)),
        "leak" => leak(&runtime, words.number(1)),
        "hang" => hang(words.number(1), words.word(2) == "wakes", words.number(3)),
        other => panic!("no figure is called `{other}`"),
    }
    runtime.shutdown_background();
}
