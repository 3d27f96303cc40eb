//! Starting, finding again, looking.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use ao_domain::port::runtime::{Launch, Look, Runtime as _, RuntimeError, Size, Typing};
use rustix::process::Signal;

use crate::support::{PATIENCE, Test, World, at, block_on, eventually, is_alive, read_when, signal, tick};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("a_run_is_created_once_and_found_again", found_again),
        ("a_run_outlives_its_creator", outlives_its_creator),
        ("concurrent_creates_start_one_agent", concurrent_creates),
        ("a_create_that_was_cut_short_is_made_good", cut_short),
        (
            "argv_arrives_byte_for_byte_and_stays_out_of_sight",
            argv_byte_for_byte,
        ),
        ("a_missing_directory_starts_nothing", missing_directory),
        ("a_missing_binary_starts_nothing", missing_binary),
        ("the_environment_is_the_launchs_own", environment),
        ("signals_and_umask_are_as_at_the_creators", signals_and_umask),
        ("a_frozen_holder_is_silent_and_delays_nobody", frozen_holder),
        ("a_killed_holder_is_gone", killed_holder),
        ("a_new_size_reaches_the_agent", resize),
        ("the_tail_reaches_above_the_screen", tail),
        ("questions_are_answered_with_nobody_there", questions_are_answered),
        ("a_long_data_directory_is_no_obstacle", long_path),
        ("files_are_for_their_owner_only", permissions),
        ("a_socket_that_was_removed_is_made_again", socket_made_again),
        ("names_that_share_a_beginning_are_different", no_prefix_match),
    ]
}

fn found_again() {
    let world = World::new();
    block_on(async {
        assert_eq!(world.look().await, Look::Absent);
        let script = "echo hello from the agent; cat";
        let held = world.start(script).await;
        world.shows("hello from the agent").await;
        assert_eq!(world.start(script).await, held, "nothing new was started");
        assert_eq!(world.look().await, Look::Running(held.clone()));
        let next_daemon = world.another();
        let run = at("web-1", 1);
        assert_eq!(next_daemon.look(&run).await.unwrap(), Look::Running(held));
        assert_eq!(next_daemon.list().await.unwrap(), [run]);
        assert_eq!(world.census().len(), 2, "a shell and cat");
    });
}

fn outlives_its_creator() {
    let world = World::new();
    let script = "echo started; cat";
    let mut creator = world.creator(script).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(creator.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    creator.kill().unwrap();
    creator.wait().unwrap();
    block_on(async {
        world.shows("started").await;
        let Look::Running(held) = world.look().await else {
            panic!("the agent died with its creator");
        };
        assert_eq!(line.trim(), format!("{} {}", held.holder.pid, held.agent.pid));
        world
            .runtime
            .type_text(&at("web-1", 1), Typing::unseen("to the survivor"))
            .await
            .unwrap();
        world.shows("to the survivor").await;
    });
}

fn concurrent_creates() {
    let world = World::new();
    block_on(async {
        let launch = world.sh(at("web-1", 1), "exec cat");
        let runtimes: Vec<_> = (0..8).map(|_| world.another()).collect();
        let all =
            futures_util::future::join_all(runtimes.iter().map(|runtime| runtime.create(&launch))).await;
        let first = all[0].as_ref().unwrap();
        for held in &all {
            assert_eq!(held.as_ref().unwrap(), first);
        }
        assert_eq!(world.census(), [first.agent.pid]);
    });
}

fn cut_short() {
    let world = World::new();
    block_on(async {
        // A creator that died after its intent and before its holder.
        fs::create_dir_all(world.run_dir()).unwrap();
        fs::write(world.run_dir().join("lock"), "").unwrap();
        fs::write(world.run_dir().join("record.json"), "{\"version\":1,").unwrap();
        fs::write(world.run_dir().join("launch"), "{").unwrap();
        assert_eq!(world.look().await, Look::Absent);
        world.start("echo anew; cat").await;
        world.shows("anew").await;
        // A creator that died after its holder had started, before it heard so: dropped in the middle.
        let launch = world.sh(at("web-1", 2), "exec cat");
        let cut = tokio::time::timeout(Duration::from_micros(200), world.runtime.create(&launch)).await;
        let held = world.runtime.create(&launch).await.unwrap();
        if let Ok(Ok(first)) = cut {
            assert_eq!(first, held);
        }
        assert!(is_alive(&held.agent));
        assert_eq!(world.census().len(), 3, "a shell, its cat, and one cat");
    });
}

fn argv_byte_for_byte() {
    let world = World::new();
    let to = world.file("argv");
    let long = "x".repeat(20_000);
    let words = [
        "nb\u{a0}sp",
        "\u{feff}bom",
        "it's \"quoted\" `here` $HOME \\n",
        "esc\x1b[31m",
        "line\nfeed",
        "",
        long.as_str(),
        "--dash",
    ];
    block_on(async {
        let held = world
            .start_helper(&[&["argv", to.as_str()], &words[..]].concat())
            .await;
        let read = read_when(&to, |text| text.ends_with("--dash")).await;
        assert_eq!(read.split('\0').collect::<Vec<_>>(), words);
        assert!(!world.run_dir().join("launch").exists());
        let holder = fs::read_to_string(format!("/proc/{}/cmdline", held.holder.pid)).unwrap();
        assert!(!holder.contains("quoted"), "{holder}");
        let record = fs::read_to_string(world.run_dir().join("record.json")).unwrap();
        assert!(!record.contains("quoted"), "{record}");
        assert!(!record.contains(&world.mark), "{record}");
    });
}

fn missing_directory() {
    let world = World::new();
    block_on(async {
        let file = world.file("a file");
        fs::write(&file, "").unwrap();
        for cwd in [world.cwd.join("missing"), file] {
            let launch = Launch {
                cwd: cwd.clone(),
                ..world.sh(at("web-1", 1), "cat")
            };
            let error = world.runtime.create(&launch).await.unwrap_err();
            assert!(
                matches!(&error, RuntimeError::NoDirectory { path } if *path == cwd),
                "{error}"
            );
        }
        assert_eq!(world.look().await, Look::Absent);
        assert_eq!(world.left_below_root(), Vec::<String>::new());
        assert_eq!(world.census(), Vec::<u32>::new());
    });
}

fn missing_binary() {
    let world = World::new();
    block_on(async {
        let not_executable = world.file("plain");
        fs::write(&not_executable, "#!/bin/sh\n").unwrap();
        for (program, why) in [
            ("/missing/agent", "No such file"),
            (not_executable.as_str(), "Permission denied"),
        ] {
            let launch = world.words(at("web-1", 1), &[program, "argument"]);
            let error = world.runtime.create(&launch).await.unwrap_err();
            let RuntimeError::NotStarted {
                program: named,
                reason,
            } = &error
            else {
                panic!("{error}");
            };
            assert_eq!(named, program);
            assert!(reason.contains(why), "{reason}");
        }
        assert_eq!(world.look().await, Look::Absent);
        assert_eq!(world.left_below_root(), Vec::<String>::new());
        // The name is free again.
        world.start("echo second try; cat").await;
        world.shows("second try").await;
    });
}

fn environment() {
    let world = World::new();
    let (first, second) = (world.file("first"), world.file("second"));
    block_on(async {
        let launch = |session: &str, to: &str, day: &str| {
            let mut launch = world.sh(
                at(session, 1),
                &format!("env > {to}.new; mv {to}.new {to}; exec cat"),
            );
            launch.env.push(("DAY".to_owned(), day.to_owned()));
            launch.env.push(("CLAUDECODE".to_owned(), "1".to_owned()));
            launch
        };
        let held = world
            .runtime
            .create(&launch("web-1", first.as_str(), "yesterday"))
            .await
            .unwrap();
        world
            .runtime
            .create(&launch("web-2", second.as_str(), "today"))
            .await
            .unwrap();
        let of = |text: &str| {
            let mut names: Vec<String> = text
                .lines()
                .map(|line| line.split('=').next().unwrap_or_default().to_owned())
                .filter(|name| name != "_")
                .collect();
            names.sort();
            names
        };
        let whole = |text: &str| text.contains("DAY=");
        let first = read_when(&first, whole).await;
        let second = read_when(&second, whole).await;
        let expected = ["AO_TEST_MARK", "COLORTERM", "DAY", "PATH", "PWD", "TERM"];
        assert_eq!(of(&first), expected, "nothing of ours, nothing lost");
        assert!(first.contains("DAY=yesterday") && second.contains("DAY=today"));
        assert!(first.contains("TERM=xterm-256color") && first.contains("COLORTERM=truecolor"));
        let holder = fs::read(format!("/proc/{}/environ", held.holder.pid)).unwrap();
        assert_eq!(holder, b"", "the holder itself has none");
    });
}

fn signals_and_umask() {
    let world = World::new();
    let to = world.file("status");
    let umask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    rustix::process::umask(umask);
    block_on(async {
        world
            .start(&format!(
                "(umask; grep -E 'Sig(Ign|Blk)' /proc/self/status; pwd -P; tty) > {to}; exec cat"
            ))
            .await;
        let text = read_when(&to, |text| text.contains("/dev/pts/")).await;
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("{:04o}", umask.as_raw_mode()));
        for line in &lines[1..3] {
            let (_, mask) = line.split_once('\t').unwrap();
            // 32 and 33 are the C library's own.
            let theirs = u64::from_str_radix(mask, 16).unwrap() & !(0b11 << 31);
            assert_eq!(theirs, 0, "{line}");
        }
        assert_eq!(lines[3], fs::canonicalize(&world.cwd).unwrap().to_str().unwrap());
    });
}

fn frozen_holder() {
    let world = World::new();
    block_on(async {
        let held = world.start("exec cat").await;
        let other = world.sh(at("web-2", 1), "exec cat");
        world.runtime.create(&other).await.unwrap();
        signal(held.holder.pid, Signal::STOP);
        let (frozen, slowest) = tokio::join!(world.look(), async {
            let mut slowest = Duration::ZERO;
            for _ in 0..20 {
                let began = Instant::now();
                let look = world.runtime.look(&at("web-2", 1)).await.unwrap();
                assert!(matches!(look, Look::Running(_)), "{look:?}");
                slowest = slowest.max(began.elapsed());
            }
            slowest
        });
        assert_eq!(frozen, Look::Silent);
        assert!(slowest < Duration::from_millis(100), "{slowest:?}");
        let error = world.runtime.screen(&at("web-1", 1)).await.unwrap_err();
        assert!(matches!(error, RuntimeError::NoAnswer { .. }), "{error}");
        signal(held.holder.pid, Signal::CONT);
        let began = Instant::now();
        while world.look().await != Look::Running(held.clone()) {
            assert!(began.elapsed() < PATIENCE);
            tick().await;
        }
        // Frozen again: destroyed all the same, with its agent.
        signal(held.holder.pid, Signal::STOP);
        world.runtime.destroy(&at("web-1", 1)).await.unwrap();
        assert_eq!(world.look().await, Look::Absent);
        assert!(!is_alive(&held.agent));
    });
}

fn killed_holder() {
    let world = World::new();
    block_on(async {
        // This agent ignores that its terminal goes.
        let held = world
            .start("trap '' HUP; echo deaf; while :; do sleep 1000; done")
            .await;
        world.shows("deaf").await;
        let run = at("web-1", 1);
        let (seen, ()) = tokio::join!(
            tokio::time::timeout(PATIENCE, world.runtime.changed(&run)),
            async { signal(held.holder.pid, Signal::KILL) }
        );
        assert!(seen.is_ok(), "the holder's end is an event");
        assert_eq!(
            world.look().await,
            Look::Gone {
                held: Some(held.clone()),
                agent_alive: true
            }
        );
        let error = world
            .runtime
            .type_text(&at("web-1", 1), Typing::unseen("x"))
            .await
            .unwrap_err();
        assert!(matches!(error, RuntimeError::Absent(_)), "{error}");
        // Stopped by its identity: nobody knows how it ended.
        let exit = world
            .runtime
            .stop(&at("web-1", 1), Duration::from_millis(50))
            .await
            .unwrap();
        assert_eq!(exit, None);
        assert_eq!(
            world.look().await,
            Look::Gone {
                held: Some(held),
                agent_alive: false
            }
        );
        world.population(0).await;
        // Started anew under the same name.
        let anew = world.start("exec cat").await;
        assert_eq!(world.look().await, Look::Running(anew));
    });
}

fn resize() {
    let world = World::new();
    block_on(async {
        world
            .start("trap 'stty size' WINCH; stty size; while :; do read x || :; done")
            .await;
        world.shows("50 220").await;
        let size = Size { cols: 91, rows: 27 };
        world.runtime.resize(&at("web-1", 1), size).await.unwrap();
        world.shows("27 91").await;
        assert_eq!(world.runtime.screen(&at("web-1", 1)).await.unwrap().size, size);
        for (cols, rows) in [(0, 0), (1, u16::MAX)] {
            world
                .runtime
                .resize(&at("web-1", 1), Size { cols, rows })
                .await
                .unwrap();
        }
        assert!(matches!(world.look().await, Look::Running(_)));
    });
}

fn tail() {
    let world = World::new();
    block_on(async {
        world
            .start("i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; printf done; cat")
            .await;
        world.shows("done").await;
        let run = at("web-1", 1);
        assert_eq!(
            world.runtime.tail(&run, 3).await.unwrap(),
            ["line 298", "line 299", "done"]
        );
        let all = world.runtime.tail(&run, 10_000).await.unwrap();
        assert_eq!(
            (all.len(), all.first().map(String::as_str)),
            (301, Some("line 0"))
        );
    });
}

fn questions_are_answered() {
    let world = World::new();
    let to = world.file("answers");
    block_on(async {
        world
            .start_helper(&["record", to.as_str(), "ESC[6nESC[cESC[?u"])
            .await;
        let wanted = "1b5b313b31521b5b3f36631b5b3f3075"; // CSI 1;1R, CSI ?6c, CSI ?0u
        read_when(&to, |text| {
            let hex: String = text.lines().filter_map(|line| line.split(' ').nth(1)).collect();
            hex == wanted
        })
        .await;
    });
}

fn long_path() {
    let deep = ["a-directory-with-a-rather-long-name"; 5].join("/");
    let world = World::below(&deep);
    assert!(world.run_dir().as_str().len() > 150);
    block_on(async {
        let held = world.start("echo deep down; cat").await;
        world.shows("deep down").await;
        assert_eq!(world.look().await, Look::Running(held));
    });
}

fn permissions() {
    use crate::support::mode_of;
    let world = World::new();
    block_on(async {
        world.start("exec cat").await;
        let dir = world.run_dir();
        assert_eq!(
            [
                mode_of(&world.root),
                mode_of(dir.parent().unwrap()),
                mode_of(&dir)
            ],
            [0o700; 3]
        );
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            let mode = metadata.permissions().mode() & 0o7777;
            let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, wanted, "{:?}", entry.file_name());
        }
    });
}

fn socket_made_again() {
    let world = World::new();
    block_on(async {
        let held = world.start("exec cat").await;
        let socket = world.run_dir().join("sock");
        fs::remove_file(&socket).unwrap();
        assert_eq!(world.look().await, Look::Running(held.clone()));
        assert!(socket.exists());
        assert_eq!(crate::support::mode_of(&socket), 0o600);
        // Something else in its place is no socket of the holder's.
        fs::remove_file(&socket).unwrap();
        fs::write(&socket, "").unwrap();
        assert_eq!(world.look().await, Look::Running(held));
        eventually("the socket", || fs::read(&socket).is_err()).await;
    });
}

fn no_prefix_match() {
    let world = World::new();
    block_on(async {
        let ten = at("web-10", 1);
        let launch = world.sh(ten.clone(), "exec cat");
        world.runtime.create(&launch).await.unwrap();
        let one = at("web-1", 1);
        let error = world
            .runtime
            .type_text(&one, Typing::unseen("for web-1 only"))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, RuntimeError::Absent(named) if *named == one),
            "{error}"
        );
        let error = world.runtime.screen(&at("web-10", 2)).await.unwrap_err();
        assert!(matches!(error, RuntimeError::Absent(_)), "{error}");
        assert_eq!(
            world.runtime.tail(&ten, 10).await.unwrap(),
            Vec::<String>::new(),
            "nothing was typed into its neighbour"
        );
    });
}
