//! `kill -9` at every instant of a start: of the creator, of the holder. One agent or none, never a lost one.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use ao_domain::port::runtime::{Look, Runtime as _};
use rustix::process::Signal;

use crate::support::{Kind, PATIENCE, Test, World, at, block_on, eventually, is_alive, signal};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("a_creator_may_be_killed_at_any_instant", creator),
        ("a_holder_may_be_killed_at_any_instant_of_its_start", holder),
    ]
}

/// The kills are spread over more than a start takes.
const KILLS: u32 = 16;

/// A start of a holder alone takes a few milliseconds, with a zellij session around it a tenth of a second and more.
fn apart(world: &World) -> Duration {
    match world.kind {
        Kind::Pty => Duration::from_micros(400),
        Kind::Zellij => Duration::from_millis(20),
    }
}

/// Deaf to the end of its terminal: one that is lost stays to be counted. Leaves a line where it was started.
const SCRIPT: &str = "trap '' HUP; echo $$ >> starts; while :; do sleep 1000; done";

fn creator_of(world: &World) -> Child {
    world
        .creator(SCRIPT)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The holder of the test's run, by its command line.
fn find_holder(world: &World) -> Option<u32> {
    let dir = world.run_dir();
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        (words.get(1) == Some(&&b"pty-host"[..]) && words.get(2) == Some(&dir.as_str().as_bytes()))
            .then_some(pid)
    })
}

/// Waits without sleeping: the instants that matter lie closer together than a timer's.
fn spin_until(mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
}

fn spin(time: Duration) {
    let began = Instant::now();
    spin_until(|| began.elapsed() >= time);
}

fn creator() {
    let mut kinds = [0; 2];
    for kill in 0..KILLS {
        let world = World::new();
        block_on(async {
            let mut creator = creator_of(&world);
            // From the first trace of it: what happens before leaves nothing.
            spin_until(|| world.root.exists());
            spin(apart(&world) * kill);
            creator.kill().unwrap();
            creator.wait().unwrap();
            let before = world.look().await;
            kinds[usize::from(matches!(before, Look::Running(_)))] += 1;
            let held = world.start(SCRIPT).await;
            assert_eq!(world.look().await, Look::Running(held.clone()));
            if let Look::Running(found) = before {
                assert_eq!(found, held, "it was started already");
            }
            // The agent and its sleep.
            world.population(2).await;
            let starts = fs::read_to_string(world.cwd.join("starts")).unwrap();
            assert_eq!(starts.lines().count(), 1, "it was started twice: {starts}");
            world.runtime.destroy(&at("web-1", 1)).await.unwrap();
            assert_eq!(world.census(), Vec::<u32>::new());
            assert_eq!(world.left_below_root(), Vec::<String>::new());
            eventually("the holder's end", || !is_alive(&held.holder)).await;
        });
    }
    println!(
        "killed before the run was running: {}, after: {}",
        kinds[0], kinds[1]
    );
}

fn holder() {
    for kill in 0..KILLS {
        let world = World::new();
        block_on(async {
            let mut creator = creator_of(&world);
            let mut holder = None;
            spin_until(|| {
                holder = find_holder(&world);
                holder.is_some()
            });
            spin(apart(&world) * kill);
            signal(holder.expect("just found"), Signal::KILL);
            eventually("the holder's end", || find_holder(&world).is_none()).await;
            creator.kill().unwrap();
            creator.wait().unwrap();
            let look = world.look().await;
            assert!(matches!(look, Look::Absent | Look::Gone { .. }), "{look:?}");
            if kill % 2 == 0 {
                // Started anew: what was left of the first is ended, there is one agent.
                world.start(SCRIPT).await;
                world.population(2).await;
            }
            world.runtime.destroy(&at("web-1", 1)).await.unwrap();
            world.population(0).await;
            assert_eq!(world.look().await, Look::Absent);
            assert_eq!(world.left_below_root(), Vec::<String>::new());
        });
    }
}
