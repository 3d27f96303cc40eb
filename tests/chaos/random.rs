//! Random lives: clients ask for everything at once while children crash and the daemon is killed; what is promised holds
//! at every sample and at the end.
//!
//! A run is one world and one seed, a few seconds long. `AO_TEST_SEED` is the seed of the first run, and each further run
//! has the next number; `AO_RANDOM_RUNS` says how many there are. So what a failure prints repeats that run alone: the same
//! choices, though not the same instants. `tests/chaos/run 5000` makes thousands.
//!
//! What the machine keeps for itself is taken off what the daemon may take. A life in which that decided shows nothing: it is lived again,
//! and where there are too many of them the test fails.

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
use story::{Lived, Totals};

/// Runs that nobody asked for more of.
const RUNS: u64 = 200;

/// Worlds at a time: most of a run is waiting.
const AT_ONCE: usize = 4;

/// How often a life is lived until it can be judged.
const TRIES: usize = 3;

/// To so many lives one try may be that cannot be judged: what the machine keeps for itself is not the daemon's fault, but were it what
/// decides more often than that, nothing would be shown.
const ONE_UNJUDGED_IN: u64 = 20;

#[test]
fn two_hundred_random_lives() {
    let first = Seed::number();
    let runs = asked().unwrap_or(RUNS);
    println!("{runs} random lives: AO_TEST_SEED={first}");
    let (next, totals, began) = (AtomicU64::new(0), Mutex::new(Totals::default()), Instant::now());
    let failed: Mutex<Vec<u64>> = Mutex::new(Vec::new());
    let (unjudged, never_judged) = (AtomicU64::new(0), AtomicU64::new(0));
    let most = (runs / ONE_UNJUDGED_IN).max(1);
    let floor = Arc::new(Floor::default());
    std::thread::scope(|scope| {
        scope.spawn(|| floor.probe());
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    loop {
                        let run = next.fetch_add(1, Ordering::Relaxed);
                        // After a few nothing new is learnt.
                        let enough =
                            failed.lock().unwrap().len() >= 3 || unjudged.load(Ordering::Relaxed) > most;
                        if run >= runs || enough {
                            return;
                        }
                        let seed = first.wrapping_add(run);
                        match until_judged(seed, &floor, &unjudged) {
                            Lived::Well(run) => totals.lock().unwrap().add(&run),
                            Lived::Unjudged(_) => {
                                never_judged.fetch_add(1, Ordering::Relaxed);
                            }
                            Lived::Badly(life) => {
                                failed.lock().unwrap().push(seed);
                                println!(
                                    "seed {seed}: {}\nto repeat it: AO_TEST_SEED={seed} AO_RANDOM_RUNS=1",
                                    life.wrong
                                );
                                let file = format!("{}/life-{seed}.txt", env!("CARGO_TARGET_TMPDIR"));
                                match std::fs::write(&file, &life.told) {
                                    Ok(()) => println!("its story: {file}\n"),
                                    Err(error) => println!("{file}: {error}\n{}", life.told),
                                }
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
    let (unjudged, never_judged) = (unjudged.into_inner(), never_judged.into_inner());
    println!("{unjudged} tries that could not be judged, {never_judged} lives that never could");
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "runs that failed, by their seeds: {failed:?}");
    assert!(
        unjudged <= most,
        "the machine was too busy to judge: {unjudged} tries could not be, of {runs} lives at most {most} may"
    );
    totals.assert_something_happened(runs);
}

/// Lives the life of `seed`, again where the machine left nothing to judge.
fn until_judged(seed: u64, floor: &Arc<Floor>, unjudged: &AtomicU64) -> Lived {
    let mut tries = 1;
    loop {
        let lived = story::run(seed, floor);
        let Lived::Unjudged(by_the_clock) = lived else {
            return lived;
        };
        println!(
            "seed {seed}: what lasted {by_the_clock:?} was none too long only without what the machine kept for itself"
        );
        unjudged.fetch_add(1, Ordering::Relaxed);
        if tries == TRIES {
            return lived;
        }
        tries += 1;
    }
}

fn asked() -> Option<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever runs it says how many lives there are to be"
    )]
    let asked = std::env::var("AO_RANDOM_RUNS").ok();
    asked?.parse().ok()
}
