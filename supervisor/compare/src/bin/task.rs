//! `task-supervisor`, all tasks given at once. It acknowledges nothing and has no tree.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use ao_compare::{
    Hall, Seat, Words, count, crashes, latency, nanos, rate, resident, runtime, started, stopped,
};
use task_supervisor::{CancellationToken, SupervisedTask, SupervisorBuilder, SupervisorHandle, TaskResult};

const OF: &str = "task-supervisor";

#[derive(Clone)]
struct Child {
    seat: Arc<Seat>,
    crashes: bool,
}

impl SupervisedTask for Child {
    async fn run(self, cancelled: CancellationToken) -> TaskResult {
        let _present = self.seat.enter();
        if self.crashes {
            tokio::task::yield_now().await;
            return Err("as asked".into());
        }
        tokio::select! {
            () = cancelled.cancelled() => {
                self.seat.hall.polite.fetch_add(1, SeqCst);
                Ok(())
            }
            () = self.seat.go.notified() => {
                self.seat.falls();
                Err("as asked".into())
            }
        }
    }
}

fn begin(seats: &[Arc<Seat>], crashers: usize) -> SupervisorHandle {
    let mut builder = SupervisorBuilder::new()
        .with_restart_limit(u32::MAX, Duration::from_secs(1))
        .with_base_restart_delay(Duration::ZERO)
        .with_max_restart_delay(Duration::ZERO)
        .with_restart_jitter(0.0);
    for seat in seats {
        let crashes = crashes(seat.at, seats.len(), crashers);
        let seat = seat.clone();
        builder = builder.with_task(&format!("c{}", seat.at), Child { seat, crashes });
    }
    builder.spawn()
}

fn main() {
    let words = Words::of_process();
    let runtime = runtime();
    let _inside = runtime.enter();
    match words.word(0) {
        "start" => {
            let n = words.number(1);
            let (hall, _heard) = Hall::new(false);
            let (before, began) = (resident(), nanos());
            let handle = begin(&hall.seats(n), 0);
            hall.until_begun(n);
            let took = nanos() - began;
            std::thread::park_timeout(Duration::from_millis(300));
            started(OF, "static", n, took, resident().saturating_sub(before));
            std::mem::forget(handle);
        }
        "latency" => {
            let (n, samples, panics) = (words.number(1), words.number(2), words.word(3) == "panic");
            let (hall, mut heard) = Hall::new(panics);
            let seats = hall.seats(n);
            let handle = begin(&seats, 0);
            hall.until_begun(n);
            let all = (0..samples)
                .map(|k| {
                    seats[k * 7919 % n].go.notify_one();
                    heard.blocking_recv().expect("it comes back")
                })
                .collect();
            latency(OF, "static", n, panics, all);
            std::mem::forget(handle);
        }
        "rate" => {
            let (secs, siblings, crashers) = (words.number(1), words.number(2), words.number(3));
            let (hall, _heard) = Hall::new(false);
            let handle = begin(&hall.seats(siblings + crashers), crashers);
            hall.until_alive(siblings);
            rate(OF, "static", siblings, crashers, &count(&hall, secs));
            std::mem::forget(handle);
        }
        "shutdown" => {
            let (hall, _heard) = Hall::new(false);
            let n = words.number(1);
            let seats = hall.seats(n);
            let handle = begin(&seats, 0);
            hall.until_begun(n);
            hall.ends_now();
            let began = nanos();
            runtime.block_on(handle.shutdown()).expect("it stops");
            stopped(OF, "static", &seats, nanos() - began, hall.alive.load(SeqCst));
        }
        other => panic!("no figure is called `{other}`"),
    }
    runtime.shutdown_background();
}
