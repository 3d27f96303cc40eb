//! The floor: plain tokio with the least that could be called a supervisor: a `JoinSet` and a map from task to child. No policy,
//! limit, handshake, order, event or health. `joinset` runs it beside its children, `own-runtime` on a thread of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use ao_compare::{
    Hall, Seat, Words, count, crashes, latency, nanos, rate, resident, runtime, started, stopped,
};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

const OF: &str = "tokio";

async fn child(seat: Arc<Seat>, crashes: bool) -> Result<(), ()> {
    let _present = seat.enter();
    if crashes {
        tokio::task::yield_now().await;
    } else {
        seat.go.notified().await;
        seat.falls();
    }
    Err(())
}

async fn supervise(seats: Vec<Arc<Seat>>, crashers: usize, children: Handle) {
    let mut set = JoinSet::new();
    let mut ids = HashMap::with_capacity(seats.len());
    let launch = |set: &mut JoinSet<Result<(), ()>>, at: usize| {
        let child = child(seats[at].clone(), crashes(at, seats.len(), crashers));
        set.spawn_on(child, &children).id()
    };
    for at in 0..seats.len() {
        let id = launch(&mut set, at);
        ids.insert(id, at);
    }
    while let Some(ended) = set.join_next_with_id().await {
        let id = match ended {
            Ok((id, _)) => id,
            Err(error) => error.id(),
        };
        if let Some(at) = ids.remove(&id) {
            let id = launch(&mut set, at);
            ids.insert(id, at);
        }
    }
}

fn run(seats: Vec<Arc<Seat>>, crashers: usize, how: &str, children: &Handle) {
    let supervisor = supervise(seats, crashers, children.clone());
    if how == "own-runtime" {
        std::thread::spawn(move || {
            let own = tokio::runtime::Builder::new_current_thread().enable_all().build();
            own.expect("a runtime can be made").block_on(supervisor);
        });
    } else {
        children.spawn(supervisor);
    }
}

/// Last one first, each asked and awaited.
async fn stop_in_order(seats: Vec<Arc<Seat>>) -> u64 {
    let mut running = Vec::with_capacity(seats.len());
    for seat in &seats {
        let (seat, (ask, mut asked)) = (seat.clone(), watch::channel(false));
        let task = tokio::spawn(async move {
            let _present = seat.enter();
            let _ = asked.changed().await;
            seat.hall.polite.fetch_add(1, SeqCst);
        });
        running.push((ask, task));
    }
    let hall = seats[0].hall.clone();
    while hall.begun.load(SeqCst) < seats.len() {
        tokio::task::yield_now().await;
    }
    hall.ends_now();
    let began = nanos();
    while let Some((ask, task)) = running.pop() {
        let _ = ask.send(true);
        let _ = task.await;
    }
    nanos() - began
}

fn main() {
    let words = Words::of_process();
    let runtime = runtime();
    let children = runtime.handle();
    match words.word(0) {
        "start" => {
            let (n, how) = (words.number(1), words.word(2));
            let (hall, _heard) = Hall::new(false);
            let (before, began) = (resident(), nanos());
            run(hall.seats(n), 0, how, children);
            hall.until_begun(n);
            let took = nanos() - began;
            std::thread::park_timeout(std::time::Duration::from_millis(300));
            started(OF, how, n, took, resident().saturating_sub(before));
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
            run(seats.clone(), 0, how, children);
            hall.until_begun(n);
            let all = (0..samples)
                .map(|k| {
                    seats[k * 7919 % n].go.notify_one();
                    heard.blocking_recv().expect("it comes back")
                })
                .collect();
            latency(OF, how, n, panics, all);
        }
        "rate" => {
            let (secs, siblings, crashers, how) =
                (words.number(1), words.number(2), words.number(3), words.word(5));
            let (hall, _heard) = Hall::new(false);
            run(hall.seats(siblings + crashers), crashers, how, children);
            hall.until_alive(siblings);
            rate(OF, how, siblings, crashers, &count(&hall, secs));
        }
        "shutdown" => {
            let (hall, _heard) = Hall::new(false);
            let seats = hall.seats(words.number(1));
            let stop = runtime.spawn(stop_in_order(seats.clone()));
            let took = runtime.block_on(stop).expect("it stops");
            stopped(OF, "ordered", &seats, took, hall.alive.load(SeqCst));
        }
        other => panic!("no figure is called `{other}`"),
    }
    runtime.shutdown_background();
}
