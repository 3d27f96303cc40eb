//! Figures with a bound: what an idle holder costs.

use std::fs;
use std::time::{Duration, Instant};

use ao_domain::port::runtime::{Look, Runtime as _, Typing};

use crate::support::{Kind, Test, World, at, block_on, command};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("a_holder_is_small_and_sleeps", small_and_asleep),
        ("starting_and_looking_are_quick", quick),
    ]
}

/// Private memory in kB: what no other process shares.
fn private_kb(pid: u32) -> u64 {
    fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("Private_"))
        .filter_map(|line| line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}

/// Times the process was put on a processor.
fn wakeups(pid: u32) -> u64 {
    fs::read_to_string(format!("/proc/{pid}/status"))
        .unwrap()
        .lines()
        .filter(|line| line.contains("ctxt_switches"))
        .filter_map(|line| line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}

/// A daemon's worth of idle time in small.
const QUIET: Duration = Duration::from_millis(300);

fn small_and_asleep() {
    let world = World::new();
    block_on(async {
        let held = world
            .start("echo up; read x; seq -f '%.0f of a thousand lines and more, with some text' 1 3000; echo full; exec cat")
            .await;
        world.shows("up").await;
        let empty = private_kb(held.holder.pid);
        let pid = held.holder.pid;
        let mut woken = u64::MAX;
        // The last of what was asked above may still be in the first of these.
        for _ in 0..3 {
            let before = wakeups(pid);
            tokio::time::sleep(QUIET).await; // what is measured is that nothing happens
            woken = woken.min(wakeups(pid) - before);
        }
        world
            .runtime
            .type_text(&at("web-1", 1), Typing::unseen("go"))
            .await
            .unwrap();
        world.shows("full").await;
        let full = private_kb(held.holder.pid);
        println!(
            "holder: {empty} kB private when empty, {full} kB after 3000 lines, {woken} wake-ups in {QUIET:?}"
        );
        assert_eq!(woken, 0, "an idle holder sleeps");
        // Twice the budget of 1 MB and 7 MB: a test build carries its debug code.
        assert!(empty <= 2 * 1024 && full <= 14 * 1024, "{empty} kB, {full} kB");
    });
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn quick() {
    const ROUNDS: u32 = 15;
    let world = World::new();
    block_on(async {
        let (mut floor, mut creates, mut looks, mut destroys) = (vec![], vec![], vec![], vec![]);
        for generation in 1..=ROUNDS {
            let began = Instant::now();
            command("/bin/true".into()).status().unwrap();
            floor.push(began.elapsed());
            let run = at("web-1", generation);
            let launch = world.words(run.clone(), &["/bin/cat"]);
            let began = Instant::now();
            world.runtime.create(&launch).await.unwrap();
            creates.push(began.elapsed());
            let began = Instant::now();
            let look = world.runtime.look(&run).await.unwrap();
            looks.push(began.elapsed());
            assert!(matches!(look, Look::Running(_)), "{look:?}");
            let began = Instant::now();
            world.runtime.destroy(&run).await.unwrap();
            destroys.push(began.elapsed());
        }
        let [floor, create, look, destroy] = [floor, creates, looks, destroys].map(median);
        println!(
            "/bin/true {floor:?}, create {create:?}, look {look:?}, destroy {destroy:?} (medians of {ROUNDS})"
        );
        // Far from what was measured; close enough to notice a wait that crept in. zellij itself takes most of its time.
        let longest = Duration::from_millis(match world.kind {
            Kind::Pty => 200,
            Kind::Zellij => 2_000,
        });
        assert!(create < longest, "{create:?}");
        assert!(look < Duration::from_millis(50), "{look:?}");
        assert!(destroy < Duration::from_millis(500), "{destroy:?}");
    });
}
