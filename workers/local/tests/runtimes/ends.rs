//! How runs end, and what is left of them: an exit record, and no process.

use std::fs;
use std::time::{Duration, Instant};

use ao_domain::Exit;
use ao_domain::port::runtime::{Look, Runtime as _, RuntimeError, Typing};
use rustix::process::Signal;

use crate::support::{PATIENCE, Test, World, at, block_on, eventually, is_alive, read_when, signal};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("an_end_is_known_at_once_with_its_last_screen", end_is_known),
        ("the_record_outlives_the_holder", record_outlives_holder),
        ("a_signal_that_ended_the_agent_is_told", ended_by_signal),
        ("an_ended_run_takes_no_message_and_starts_nothing", ended_run),
        ("stop_asks_first", stop_asks_first),
        ("stop_leaves_no_process_of_five_kinds", stop_leaves_no_process),
        (
            "a_killed_holder_leaves_no_process_of_five_kinds_either",
            nothing_stays_without_a_holder,
        ),
        ("stop_ends_what_an_ended_agent_left", stop_after_the_end),
        (
            "destroy_leaves_nothing_and_may_be_repeated",
            destroy_leaves_nothing,
        ),
        (
            "destroy_ends_an_agent_whose_holder_was_killed",
            destroy_without_holder,
        ),
        ("a_holder_that_is_told_to_end_stops_its_agent", holder_is_told),
        ("an_end_of_holder_and_agent_at_once_is_not_missed", both_at_once),
        ("an_end_before_anybody_waits_is_not_missed", end_before_the_wait),
        ("an_exit_record_that_found_no_room_is_written_later", record_later),
        ("a_directory_that_was_removed_ends_its_run", directory_removed),
    ]
}

fn end_is_known() {
    let world = World::new();
    block_on(async {
        let held = world.start("echo last words; read go; exit 7").await;
        world.shows("last words").await;
        let run = at("web-1", 1);
        let began = Instant::now();
        let (told, ()) = tokio::join!(
            tokio::time::timeout(PATIENCE, async {
                loop {
                    world.runtime.changed(&run).await;
                    if let Look::Ended(held) = world.look().await {
                        return held;
                    }
                }
            }),
            async { world.runtime.type_text(&run, Typing::unseen("go")).await.unwrap() }
        );
        let told = told.expect("the end is an event");
        assert_eq!(told.exit, Some(Exit::Code(7)));
        assert_eq!(
            (&told.holder, &told.agent),
            (&held.holder, &held.agent),
            "the same run"
        );
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        let screen = world.shows("the agent ended (exit status 7)").await;
        assert!(screen.contains("last words"), "{screen}");
    });
}

fn record_outlives_holder() {
    let world = World::new();
    block_on(async {
        let held = world
            .start(
                "i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); done; printf 'last words'; exit 3",
            )
            .await;
        assert_eq!(world.ended().await, Exit::Code(3));
        signal(held.holder.pid, Signal::KILL);
        eventually("the holder's end", || !is_alive(&held.holder)).await;
        let Look::Ended(read) = world.look().await else {
            panic!("the record says how it ended");
        };
        assert_eq!(read.exit, Some(Exit::Code(3)));
        assert_eq!((read.holder, read.agent), (held.holder, held.agent));
        let run = at("web-1", 1);
        let screen = world.runtime.screen(&run).await.unwrap();
        assert!(screen.lines.iter().any(|line| line == "last words"), "{screen:?}");
        assert_eq!(
            world.runtime.tail(&run, 2).await.unwrap(),
            ["line 99", "last words"]
        );
        assert_eq!(world.runtime.tail(&run, 1_000).await.unwrap().len(), 101);
    });
}

fn ended_by_signal() {
    let world = World::new();
    block_on(async {
        let held = world.start("exec sleep 1000").await;
        signal(held.agent.pid, Signal::KILL);
        assert_eq!(world.ended().await, Exit::Signal(9));
    });
}

fn ended_run() {
    let world = World::new();
    let proof = world.file("proof");
    block_on(async {
        let script = format!("echo once >> {proof}; exit 0");
        let held = world.start(&script).await;
        world.ended().await;
        let run = at("web-1", 1);
        let error = world
            .runtime
            .type_text(&run, Typing::unseen(&format!("echo typed >> {proof}")))
            .await
            .unwrap_err();
        assert!(
            matches!(error, RuntimeError::Ended { exit: Exit::Code(0) }),
            "{error}"
        );
        let again = world.start(&script).await;
        assert_eq!((again.agent, again.exit), (held.agent, Some(Exit::Code(0))));
        // The same without its holder.
        signal(held.holder.pid, Signal::KILL);
        eventually("the holder's end", || !is_alive(&held.holder)).await;
        let error = world
            .runtime
            .type_text(&run, Typing::unseen("x"))
            .await
            .unwrap_err();
        assert!(matches!(error, RuntimeError::Ended { .. }), "{error}");
        assert_eq!(world.start(&script).await.exit, Some(Exit::Code(0)));
        assert_eq!(fs::read_to_string(&proof).unwrap(), "once\n");
    });
}

fn stop_asks_first() {
    let world = World::new();
    block_on(async {
        world
            .start("trap 'echo heard; exit 5' HUP; echo up; while :; do read x || :; done")
            .await;
        world.shows("up").await;
        let run = at("web-1", 1);
        let exit = world.runtime.stop(&run, PATIENCE).await.unwrap();
        assert_eq!(exit, Some(Exit::Code(5)), "it was only asked");
        world.shows("heard").await;
        let again = world.runtime.stop(&run, PATIENCE).await.unwrap();
        assert_eq!(again, exit, "stopped is stopped");
    });
}

/// A child of each kind that survives the end of its terminal, and an agent that does too.
const FIVE_KINDS: &str = "
    sleep 1000 &
    nohup sleep 1000 >/dev/null 2>&1 &
    setsid sleep 1000 &
    (trap '' HUP TERM; while :; do sleep 1000; done) &
    (setsid sh -c 'trap \"\" HUP TERM; sleep 1000 & exec sleep 1000' </dev/null >/dev/null 2>&1 &)
    trap '' HUP TERM
    echo all there
    while :; do sleep 1000; done
";

fn stop_leaves_no_process() {
    let world = World::new();
    block_on(async {
        let held = world.start(FIVE_KINDS).await;
        world.shows("all there").await;
        // The agent and its sleep; plain, nohup, setsid; the deaf shell and its sleep; the deaf daemon and its child.
        world.population(9).await;
        let grace = Duration::from_millis(300);
        let began = Instant::now();
        let exit = world.runtime.stop(&at("web-1", 1), grace).await.unwrap();
        assert_eq!(exit, Some(Exit::Signal(9)), "deaf to anything else");
        assert!(
            began.elapsed() < grace + Duration::from_secs(3),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(world.census(), Vec::<u32>::new());
        assert!(is_alive(&held.holder), "its last screen can still be looked at");
        world.shows("all there").await;
        assert!(world.run_dir().join("exit.json").exists());
    });
}

fn nothing_stays_without_a_holder() {
    let run = at("web-1", 1);
    // With an agent that outlives its terminal, and with one that has gone with it.
    let gone_with_it = FIVE_KINDS.replace("trap '' HUP TERM\n    echo", "echo");
    for (script, agent_stays) in [(FIVE_KINDS, true), (gone_with_it.as_str(), false)] {
        for destroyed in [false, true] {
            let world = World::new();
            block_on(async {
                let mut launch = world.sh(run.clone(), script);
                for (name, value) in [
                    ("AO_SESSION_ID", "web-1"),
                    ("AO_GENERATION", "1"),
                    ("AO_LAUNCH_SECRET", &world.mark),
                ] {
                    launch.env.push((name.to_owned(), value.to_owned()));
                }
                // The next generation of the same session, which has its own.
                let mut next = world.sh(at("web-1", 2), "exec cat");
                next.env.clone_from(&launch.env);
                next.env.retain(|(name, _)| name != "AO_GENERATION");
                next.env.push(("AO_GENERATION".to_owned(), "2".to_owned()));
                let held = world.runtime.create(&launch).await.unwrap();
                world.shows("all there").await;
                world.population(9).await;
                let other = world.runtime.create(&next).await.unwrap();
                signal(held.holder.pid, Signal::KILL);
                eventually("the holder's end", || {
                    !is_alive(&held.holder) && (agent_stays || !is_alive(&held.agent))
                })
                .await;
                assert!(world.census().len() > 3, "there is something to end");
                if destroyed {
                    world.runtime.destroy(&run).await.unwrap();
                } else {
                    let grace = Duration::from_millis(50);
                    assert_eq!(world.runtime.stop(&run, grace).await.unwrap(), None);
                }
                assert_eq!(world.census(), [other.agent.pid], "and nobody else");
            });
        }
    }
}

fn stop_after_the_end() {
    let world = World::new();
    let proof = world.file("proof");
    block_on(async {
        world
            .start(&format!(
                "setsid sleep 1000 & (trap '' HUP; echo deaf > {proof}; exec sleep 1000) & read x; exit 0"
            ))
            .await;
        read_when(&proof, |text| text == "deaf\n").await;
        world.population(3).await;
        let run = at("web-1", 1);
        world.runtime.type_text(&run, Typing::unseen("go")).await.unwrap();
        assert_eq!(world.ended().await, Exit::Code(0));
        world.population(2).await; // an agent may leave a server running
        let exit = world.runtime.stop(&run, Duration::ZERO).await.unwrap();
        assert_eq!(exit, Some(Exit::Code(0)));
        assert_eq!(world.census(), Vec::<u32>::new());
    });
}

fn destroy_leaves_nothing() {
    let world = World::new();
    block_on(async {
        let run = at("web-1", 1);
        world.runtime.destroy(&run).await.unwrap();
        let held = world.start(FIVE_KINDS).await;
        world.shows("all there").await;
        let next = world.sh(at("web-1", 2), "exec cat");
        let other = world.runtime.create(&next).await.unwrap();
        world.runtime.destroy(&run).await.unwrap();
        assert_eq!(world.look().await, Look::Absent);
        assert_eq!(world.census(), [other.agent.pid], "the other run is untouched");
        eventually("the holder's end", || !is_alive(&held.holder)).await;
        assert_eq!(world.runtime.list().await.unwrap(), [at("web-1", 2)]);
        world.runtime.destroy(&run).await.unwrap();
        world.runtime.destroy(&at("web-1", 2)).await.unwrap();
        assert_eq!(world.left_below_root(), Vec::<String>::new());
        // A removal that was cut short is found by the list and finished.
        fs::create_dir_all(world.root.join("web-1").join(".gone-1")).unwrap();
        assert_eq!(world.runtime.list().await.unwrap(), std::slice::from_ref(&run));
        assert_eq!(world.look().await, Look::Absent);
        world.runtime.destroy(&run).await.unwrap();
        assert_eq!(world.left_below_root(), Vec::<String>::new());
    });
}

fn destroy_without_holder() {
    let world = World::new();
    block_on(async {
        let held = world
            .start("trap '' HUP TERM; echo deaf; sleep 1000 & while :; do sleep 1000; done")
            .await;
        world.shows("deaf").await;
        world.population(3).await;
        signal(held.holder.pid, Signal::KILL);
        eventually("the holder's end", || !is_alive(&held.holder)).await;
        assert!(is_alive(&held.agent));
        world.runtime.destroy(&at("web-1", 1)).await.unwrap();
        assert_eq!(world.look().await, Look::Absent);
        world.population(0).await;
        assert_eq!(world.left_below_root(), Vec::<String>::new());
    });
}

fn holder_is_told() {
    let world = World::new();
    block_on(async {
        let held = world
            .start("trap 'exit 4' HUP; echo up; setsid sleep 1000 & while :; do read x || :; done")
            .await;
        world.shows("up").await;
        signal(held.holder.pid, Signal::HUP); // of a terminal that is not its own
        assert!(matches!(world.look().await, Look::Running(_)));
        signal(held.holder.pid, Signal::TERM); // as at a logout
        eventually("the holder's end", || !is_alive(&held.holder)).await;
        let Look::Ended(held) = world.look().await else {
            panic!("its record says how it ended");
        };
        assert_eq!(held.exit, Some(Exit::Code(4)));
        assert_eq!(world.census(), Vec::<u32>::new());
    });
}

fn both_at_once() {
    let world = World::new();
    block_on(async {
        let held = world.start("exec sleep 1000").await;
        assert_eq!(world.look().await, Look::Running(held.clone()));
        signal(held.holder.pid, Signal::KILL);
        signal(held.agent.pid, Signal::KILL);
        eventually("the end of both", || {
            !is_alive(&held.holder) && !is_alive(&held.agent)
        })
        .await;
        let run = at("web-1", 1);
        let changed = world.runtime.changed(&run);
        let told = tokio::time::timeout(Duration::from_secs(5), changed).await;
        assert!(told.is_ok(), "a look gives another answer than before");
        assert_eq!(
            world.look().await,
            Look::Gone {
                held: Some(held),
                agent_alive: false
            }
        );
    });
}

fn end_before_the_wait() {
    let world = World::new();
    block_on(async {
        let held = world.start("read go; exit 5").await;
        let run = at("web-1", 1);
        let changed = world.runtime.changed(&run);
        assert_eq!(world.look().await, Look::Running(held));
        world.runtime.type_text(&run, Typing::unseen("go")).await.unwrap();
        let path = world.run_dir().join("exit.json");
        eventually("the record of its end", || path.is_file()).await;
        let told = tokio::time::timeout(Duration::from_secs(5), changed).await;
        assert!(told.is_ok(), "a look gives another answer than before");
        assert_eq!(world.ended().await, Exit::Code(5));
    });
}

fn record_later() {
    let world = World::new();
    block_on(async {
        let held = world.start("read x; exit 8").await;
        let path = world.run_dir().join("exit.json");
        fs::create_dir(&path).unwrap(); // stands for a disk that takes nothing
        world
            .runtime
            .type_text(&at("web-1", 1), Typing::unseen("go"))
            .await
            .unwrap();
        assert_eq!(
            world.ended().await,
            Exit::Code(8),
            "the holder says so all the same"
        );
        // Whoever waits for the record is not sent to look fifty times a second for as long as the disk is full.
        let began = Instant::now();
        for _ in 0..6 {
            world.runtime.changed(&at("web-1", 1)).await;
        }
        assert!(
            began.elapsed() > Duration::from_millis(500),
            "{:?}",
            began.elapsed()
        );
        fs::remove_dir(&path).unwrap();
        eventually("the record", || path.is_file()).await;
        signal(held.holder.pid, Signal::KILL);
        eventually("the holder's end", || !is_alive(&held.holder)).await;
        assert_eq!(world.ended().await, Exit::Code(8));
    });
}

fn directory_removed() {
    let world = World::new();
    block_on(async {
        let held = world.start("exec cat").await;
        fs::remove_dir_all(&world.root).unwrap();
        assert_eq!(world.look().await, Look::Absent);
        signal(held.holder.pid, Signal::USR1); // looks at its socket now, not within the minute
        eventually("the end of what nobody can find", || {
            !is_alive(&held.holder) && !is_alive(&held.agent)
        })
        .await;
    });
}
