//! One run: a world, its clients, what is broken under them, the calm after it, and the account.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ao_tests::{Seed, World, settle};

use super::account;
use super::acts;
use super::agents;
use super::bytes;
use super::floor::Floor;
use super::follow;
use super::sample;
use super::site::Site;
use crate::AO;

/// What all runs came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    counts: BTreeMap<&'static str, u64>,
    longest: Duration,
    silent: Duration,
    excused: Option<Duration>,
}

impl Totals {
    pub(super) fn add(&mut self, run: &Self) {
        for (what, count) in &run.counts {
            *self.counts.entry(what).or_default() += count;
        }
        self.longest = self.longest.max(run.longest);
        self.silent = self.silent.max(run.silent);
    }

    /// A test that did nothing, or looked at nothing, shows nothing.
    pub(super) fn assert_something_happened(&self, runs: u64) {
        if runs < 100 {
            return;
        }
        for (what, least) in [
            ("spawns", 2 * runs),
            ("kills", runs / 2),
            ("sessions that were to stay ended", runs / 4),
            ("restores", runs / 10),
            ("messages", runs / 2),
            ("renames", runs / 4),
            ("clean-ups", runs / 4),
            ("orchestrators", runs / 4),
            ("crashes", runs / 2),
            ("kills of the daemon", runs / 2),
            ("marks", runs),
            ("rescues", runs / 4),
            ("marks on no branch", runs / 8),
            ("marks in a stash", runs / 4),
            ("marks in an index alone", runs / 4),
            ("samples", 20 * runs),
        ] {
            let count = self.counts.get(what).copied().unwrap_or_default();
            assert!(count >= least, "only {count} {what} in {runs} runs");
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.counts {
            write!(f, "{count} {what}, ")?;
        }
        let (longest, silent) = (self.longest.as_millis(), self.silent.as_millis());
        write!(
            f,
            "longest contradiction {longest} ms, longest silence {silent} ms"
        )
    }
}

/// What a life came to.
pub(super) enum Lived {
    /// Everything that is promised was kept.
    Well(Totals),
    /// Nothing was wrong; but a contradiction or a silence of so long a time was none too long only without what the machine kept for
    /// itself.
    Unjudged(Duration),
    Badly(Badly),
}

/// A life in which something was wrong.
pub(super) struct Badly {
    /// What.
    pub(super) wrong: String,
    /// Everything that helps to understand it: hundreds of lines.
    pub(super) told: String,
}

/// Lives the life of `seed`.
pub(super) fn run(seed: u64, floor: &Arc<Floor>) -> Lived {
    let mut world = World::new(AO);
    let mut site = None;
    let lived = catch_unwind(AssertUnwindSafe(|| live(seed, floor, &mut world, &mut site)));
    let mut faults = site.as_ref().map(Site::faults).unwrap_or_default();
    let totals = match lived {
        Ok(totals) => totals,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            faults.push(text.unwrap_or_else(|| "a thread panicked".to_owned()));
            Totals::default()
        }
    };
    if faults.is_empty() {
        return totals.excused.map_or(Lived::Well(totals), Lived::Unjudged);
    }
    let log = world.log();
    let log: Vec<&str> = log.lines().collect();
    let end = log[log.len().saturating_sub(400)..].join("\n");
    let timeline = site.as_ref().map(Site::timeline).unwrap_or_default();
    let wrong = faults.join("\n");
    let told = format!(
        "--- seed {seed}: the log's end\n{end}\n--- seed {seed}: what happened\n{timeline}\n--- seed {seed}: what is wrong\n{wrong}\n"
    );
    Lived::Badly(Badly { wrong, told })
}

fn live(seed: u64, floor: &Arc<Floor>, world: &mut World, place: &mut Option<Site>) -> Totals {
    let mut seed = Seed::of(seed);
    agents::install(world);
    world.set("AO_REQUEST_TIMEOUT", seed.one_of(&[(1, "200ms"), (1, "1s")]));
    world.set("AO_LOG", "info,ao_act=debug");
    // In some, most have to wait in line.
    let places = seed.one_of(&[(3, "0"), (1, "2")]);
    world.set("AO_MAX_SESSIONS", places);
    world.start();
    let project = serde_json::json!({"path": world.repo, "projectId": "web"});
    settle("the project is registered", || {
        matches!(
            world.ask("POST", "/api/v1/projects", Some(&project)).status,
            201 | 409
        )
    });
    let site = &*place.insert(Site::of(world, floor));
    let mut chance = |_| Seed::of(seed.below(u64::MAX));
    let [director, breaker] = [0, 1].map(&mut chance);
    let clients: Vec<Seed> = (0..3).map(&mut chance).collect();
    let clients: Vec<Seed> = clients.into_iter().take(2 + seed.below(2) as usize).collect();
    let mut totals = Totals::default();
    std::thread::scope(|scope| {
        let samples = scope.spawn(|| sample::sampler(site));
        let followed = scope.spawn(|| follow::follower(site));
        let ended = catch_unwind(AssertUnwindSafe(|| {
            std::thread::scope(|scope| {
                for (number, seed) in clients.into_iter().enumerate() {
                    scope.spawn(move || acts::client(site, number as u64, seed));
                }
                scope.spawn(move || acts::breaker(site, breaker));
                direct(site, world, director);
            });
            site.calm.store(true, Ordering::SeqCst);
            site.note("calm");
            account::settled(site, world, places == "0");
            account::ended(site, world);
        }));
        if world.has_ended() {
            let code = world.wait_for_the_end();
            site.fault(format!(
                "the daemon has ended by itself, with {code} (-1: by a signal)"
            ));
        }
        site.over.store(true, Ordering::SeqCst);
        site.moved(0);
        world.kill_9(); // the follower waits for it
        let samples = samples.join().expect("the sampler does not panic");
        let followed = followed.join().expect("the follower does not panic");
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
        account::followed(site, world, &followed);
        totals.longest = samples.longest;
        totals.silent = samples.silent;
        totals.excused = samples.excused;
        totals.counts.clone_from(&site.book.lock().unwrap().counts);
        for (what, count) in [
            ("samples", samples.taken),
            ("late samples", samples.late),
            ("connections of followers", followed.connections),
            ("events", site.followed.load(Ordering::SeqCst).unsigned_abs()),
        ] {
            totals.counts.insert(what, count);
        }
        bytes::count(site, &mut totals.counts);
    });
    totals
}

/// Kills the daemon now and then, or stops it, and starts it again.
fn direct(site: &Site, world: &mut World, mut seed: Seed) {
    for _ in 0..seed.below(4) {
        site.rest(Duration::from_millis(seed.below(600)));
        site.moved(0);
        if seed.below(5) == 0 {
            site.note("the daemon is told to stop");
            if let Some(mut http) = world.try_http() {
                let _ = http.ask("POST", "/shutdown", None);
            }
            world.wait_for_the_end();
            site.book.lock().unwrap().count("stops of the daemon");
        } else {
            site.note("the daemon is killed");
            world.kill_9();
            site.book.lock().unwrap().count("kills of the daemon");
        }
        site.rest(Duration::from_millis(seed.below(3) * seed.below(150)));
        let begun = Instant::now();
        world.start();
        site.note(&format!(
            "the daemon is back, after {} ms",
            begun.elapsed().as_millis()
        ));
        site.moved(world.port());
    }
}
