//! Random lives: clients ask for everything at once while children crash and the daemon is killed; what is promised holds
//! at every sample and at the end.
//!
//! A run is one world and one seed, a few seconds long. `AO_TEST_SEED` is the seed of the first run, and each further run
//! has the next number; `AO_RANDOM_RUNS` says how many there are. So what a failure prints repeats that run alone: the same
//! choices, though not the same instants. `tests/chaos/run 5000` makes thousands.

mod account;
mod acts;
mod agents;
mod bytes;
mod floor;
mod follow;
mod sample;
mod site;
mod story;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use ao_tests::Seed;

use floor::Floor;
use story::Totals;

/// Runs that nobody asked for more of.
const RUNS: u64 = 200;

/// Worlds at a time: most of a run is waiting.
const AT_ONCE: usize = 4;

#[test]
fn two_hundred_random_lives() {
    let first = Seed::number();
    let runs = asked().unwrap_or(RUNS);
    println!("{runs} random lives: AO_TEST_SEED={first}");
    let (next, totals, began) = (AtomicU64::new(0), Mutex::new(Totals::default()), Instant::now());
    let failed: Mutex<Vec<u64>> = Mutex::new(Vec::new());
    let floor = Arc::new(Floor::default());
    std::thread::scope(|scope| {
        scope.spawn(|| floor.probe());
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    loop {
                        let run = next.fetch_add(1, Ordering::Relaxed);
                        // After a few nothing new is learnt.
                        if run >= runs || failed.lock().unwrap().len() >= 3 {
                            return;
                        }
                        let seed = first.wrapping_add(run);
                        println!("run {run}: seed {seed}");
                        match story::run(seed, &floor) {
                            Ok(run) => totals.lock().unwrap().add(&run),
                            Err(told) => {
                                println!("{told}\nto repeat it: AO_TEST_SEED={seed} AO_RANDOM_RUNS=1\n");
                                failed.lock().unwrap().push(seed);
                            }
                        }
                    }
                });
            }
        });
        floor.end();
    });
    let totals = totals.into_inner().unwrap();
    let (all, starved) = (began.elapsed().as_secs(), floor.starved().as_secs());
    println!("{all} s, in {starved} of which the machine let everybody wait: {totals}");
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "runs that failed, by their seeds: {failed:?}");
    totals.assert_something_happened(runs);
}

fn asked() -> Option<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever runs it says how many lives there are to be"
    )]
    let asked = std::env::var("AO_RANDOM_RUNS").ok();
    asked?.parse().ok()
}
