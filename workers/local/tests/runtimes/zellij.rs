//! What only the runtime `zellij` has: a window around each holder that comes, goes and is watched without a word to the
//! agent, and a program that may be missing, old, frozen or somebody else's.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use ao_domain::ProcessId;
use ao_domain::port::runtime::{Held, Look, Runtime as _, RuntimeError, Typing};
use ao_local::runtimes::zellij::{self, ZellijConfig};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::Signal;

use crate::attach::Person;
use crate::support::{
    Test, World, at, block_on, command, eventually, is_alive, read_when, real_zellij, signal, sockets_beside,
    zellij_config,
};
use crate::wire::Client;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("whatever_ends_zellij_the_agent_goes_on", agent_goes_on),
        ("a_session_goes_with_its_holder", session_goes),
        (
            "a_session_that_stays_without_a_pane_is_ended",
            stays_without_a_pane,
        ),
        ("a_pane_of_a_persons_keeps_its_session", pane_of_a_persons),
        ("enter_after_the_end_starts_nothing", enter_after_the_end),
        ("somebody_in_zellij_sees_types_and_leaves", somebody_in_zellij),
        ("a_session_named_like_ours_is_untouched", named_like_ours),
        ("a_frozen_zellij_delays_nobody_else", frozen_zellij),
        ("zellij_is_told_no_secret", told_no_secret),
        ("a_poor_environment_is_enough", poor_environment),
        ("directories_may_have_any_name", any_name),
        ("a_zellij_that_will_not_do_starts_nothing", will_not_do),
        (
            "a_server_is_started_in_a_scope_of_its_own",
            a_server_is_started_in_a_scope_of_its_own,
        ),
    ]
}

/// What a person's or a test's own zellij is given to find the sessions of this directory.
fn zellij(sockets: &Utf8Path, own: &Utf8Path) -> Command {
    let mut zellij = command(&real_zellij().expect("these tests run only where it is"));
    zellij
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TERM", "xterm-256color")
        .env("ZELLIJ_SOCKET_DIR", sockets);
    for variable in [
        "HOME",
        "TMPDIR",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
    ] {
        zellij.env(variable, own);
    }
    zellij
}

/// The socket directory of the session that has this server.
fn sockets_of(server: &ProcessId) -> Utf8PathBuf {
    let line = fs::read_to_string(format!("/proc/{}/cmdline", server.pid)).unwrap();
    let socket = line
        .split('\0')
        .nth(2)
        .expect("its socket is in its command line");
    Utf8Path::new(socket).ancestors().nth(2).unwrap().to_owned()
}

/// Asks the zellij of `web-1` for something.
fn ask(world: &World, words: &[&str]) -> String {
    let sockets = sockets_of(&world.server());
    let output = zellij(&sockets, &world.cwd).args(words).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn still_works(world: &World, held: &Held, word: &str) {
    assert_eq!(world.look().await, Look::Running(held.clone()));
    let run = at("web-1", 1);
    world.runtime.type_text(&run, Typing::unseen(word)).await.unwrap();
    world.shows(&format!("got {word}")).await;
}

const ECHO: &str = "echo up; while read x; do echo got $x; done";

fn agent_goes_on() {
    for (end, word) in [("TERM", "told"), ("KILL", "killed"), ("kill-session", "asked")] {
        let world = World::new();
        block_on(async {
            let held = world.start(ECHO).await;
            world.shows("up").await;
            let server = world.server();
            match end {
                "TERM" => signal(server.pid, Signal::TERM),
                "KILL" => signal(server.pid, Signal::KILL),
                _ => drop(ask(&world, &["kill-session", "web-1.1"])),
            }
            let launchers = || {
                let line = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let all = world.zellijs();
                all.iter()
                    .filter(|pid| line(pid).contains("\0run-agent\0"))
                    .count()
            };
            eventually("the pane's end", || launchers() == 0).await;
            eventually("the server's end", || !is_alive(&server)).await;
            still_works(&world, &held, word).await;
            // Found again and answered as it stands; its window is not opened again.
            assert_eq!(world.start(ECHO).await, held);
            world.runtime.destroy(&at("web-1", 1)).await.unwrap();
            assert_eq!(world.census(), Vec::<u32>::new());
            assert_eq!(world.left_below_root(), Vec::<String>::new(), "{end}");
        });
    }
}

fn session_goes() {
    for removed in [false, true] {
        let world = World::new();
        block_on(async {
            let held = world.start("exec cat").await;
            world.server();
            if removed {
                fs::remove_dir_all(&world.root).unwrap();
                signal(held.holder.pid, Signal::USR1); // looks at its directory now, not within the minute
            } else {
                signal(held.holder.pid, Signal::TERM); // as at a logout
            }
            eventually("the end of all of it", || {
                !is_alive(&held.holder) && !is_alive(&held.agent) && world.zellijs().is_empty()
            })
            .await;
        });
    }
}

/// A server that does not notice the end of its pane, as one does that is stopped.
fn stays_without_a_pane() {
    let world = World::new();
    block_on(async {
        let held = world.start("exec cat").await;
        let server = world.server();
        signal(server.pid, Signal::STOP);
        signal(held.holder.pid, Signal::TERM);
        eventually("the end of all of it", || {
            !is_alive(&held.holder) && !is_alive(&held.agent) && world.zellijs().is_empty()
        })
        .await;
        let sockets = sockets_beside(&world.root);
        assert!(!sockets.exists(), "{:?}", files_below(&sockets));
    });
}

/// A person's own pane in our session is theirs, also when what they ran in it is over.
fn pane_of_a_persons() {
    keeps_its_session(&["sleep", "1000"]);
    keeps_its_session(&["true"]);
}

fn keeps_its_session(runs: &[&str]) {
    let world = World::new();
    block_on(async {
        let held = world.start("exec cat").await;
        Client::pane_is_there(&world);
        let server = world.server();
        let there = |count: usize| {
            let panes = ask(&world, &["--session", "web-1.1", "action", "list-panes"]);
            panes.lines().filter(|line| line.contains("terminal_")).count() == count
        };
        eventually("our pane", || there(1)).await;
        let words = ["--session", "web-1.1", "action", "new-pane", "--"];
        let opened = ask(&world, &[&words, runs].concat());
        eventually(&opened, || there(2)).await;
        signal(held.holder.pid, Signal::TERM);
        eventually("nobody of ours", || world.zellijs() == [server.pid]).await;
        assert!(is_alive(&server));
        assert!(there(1));
        let of_asking = sockets_of(&server).join("asked");
        assert!(!of_asking.exists(), "{:?}", files_below(&of_asking));
    });
}

fn enter_after_the_end() {
    let world = World::new();
    let proof = world.file("proof");
    block_on(async {
        let held = world
            .start(&format!("echo once >> {proof}; read x; exit 5"))
            .await;
        read_when(&proof, |text| text == "once\n").await;
        Client::pane_is_there(&world);
        let press = |key: &str| {
            let write = [
                "--session",
                "web-1.1",
                "action",
                "write",
                "--pane-id",
                "terminal_0",
                key,
            ];
            ask(&world, &write);
        };
        let began = Instant::now();
        // To the agent, which ends. A zellij that is busy loses some: what comes after the end is for nobody.
        while !matches!(world.look().await, Look::Ended(_)) {
            press("13");
            assert!(began.elapsed() < crate::support::PATIENCE, "it reads nothing");
        }
        world.shows("the agent ended (exit status 5)").await;
        let began = Instant::now();
        loop {
            press("13");
            press("13");
            // The key that counts, once there was none for a moment: so the others came as well.
            tokio::time::sleep(Duration::from_millis(600)).await; // the moment itself
            press("115");
            let screen = world.runtime.screen(&at("web-1", 1)).await.unwrap();
            if screen.lines.join("\n").contains("[ao] /bin/sh in") {
                break;
            }
            assert!(began.elapsed() < crate::support::PATIENCE, "{screen:?}");
        }
        assert_eq!(fs::read_to_string(&proof).unwrap(), "once\n");
        let Look::Ended(ended) = world.look().await else {
            panic!("it has ended");
        };
        assert_eq!(ended.agent, held.agent);
    });
}

/// The server, and launcher, holder and agent below it; the agent gets nothing of what the scope needs.
fn a_server_is_started_in_a_scope_of_its_own() {
    let world = World::new();
    let (scope, said) = crate::scope::stand_in(&world);
    let runtime = zellij::runtime(ZellijConfig {
        scope,
        ..zellij_config(&world.root)
    });
    block_on(async {
        let seen = world.file("seen");
        let launch = world.sh(
            at("web-1", 1),
            &format!("env > {seen}.part; mv {seen}.part {seen}; exec sleep 1000"),
        );
        runtime.create(&launch).await.unwrap();
        let line = fs::read_to_string(&said).unwrap();
        assert!(
            line.starts_with("--user --scope -- ") && line.contains(" attach --create-background "),
            "{line}"
        );
        assert_eq!(line.lines().count(), 1, "one call makes the server: {line}");
        let env = read_when(&seen, |text| !text.is_empty()).await;
        assert!(!env.contains("XDG_RUNTIME_DIR"), "{env}");
        runtime.destroy(&at("web-1", 1)).await.unwrap();
    });
}

fn somebody_in_zellij() {
    let world = World::new();
    let to = world.file("record");
    block_on(async {
        world.start_helper(&["record", to.as_str(), ""]).await;
        world.shows("recording").await;
        Client::pane_is_there(&world);
        let size = world.runtime.screen(&at("web-1", 1)).await.unwrap().size;
        assert_eq!((size.cols, size.rows), (220, 50), "as long as nobody looks");
        let line = zellij::attach_command(&sockets_beside(&world.root), &world.root, &at("web-1", 1));
        let real = real_zellij().unwrap();
        let attaches = || {
            let mut shell = command("/bin/sh".into());
            shell
                .args(["-c", &format!("exec env {line}")])
                .env_clear()
                .env("TERM", "xterm-256color")
                .env("HOME", &world.cwd)
                .env("PATH", format!("{}:/usr/bin:/bin", real.parent().unwrap()));
            Person::runs(shell)
        };
        // A busy zellij may say that there is no such session: by its source (0.45.1) it gives a client the number of one
        // that has left, and takes the earlier one's leave, where it comes to it late, for the later one's. Who is sent
        // away comes again.
        let mut person = attaches();
        let began = Instant::now();
        while !person.sees_before_the_end("recording") {
            assert!(began.elapsed() < crate::support::PATIENCE, "nobody is let in");
            person = attaches();
        }
        let began = Instant::now();
        loop {
            let size = world.runtime.screen(&at("web-1", 1)).await.unwrap().size;
            if (size.cols, size.rows) == (90, 20) {
                break;
            }
            assert!(began.elapsed() < crate::support::PATIENCE, "it is {size:?}");
            crate::support::tick().await;
        }
        // Every one of these is zellij's own key in its usual settings, or begins one.
        let keys = b"a\x02\x07\x08\x0e\x0f\x10\x13\x14\x1bf\x1bn\x1cz";
        person.types(keys);
        let hex =
            |record: &str| -> String { record.lines().filter_map(|line| line.split(' ').nth(1)).collect() };
        let record = read_when(&to, |record| hex(record).ends_with("7a")).await;
        let wanted: String = keys.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex(&record),
            wanted,
            "and nothing that the person's terminal was asked"
        );
        person.types(b"\x11");
        assert_eq!(person.comes_back(), Some(0));
        assert!(matches!(world.look().await, Look::Running(_)));
        let size = world.runtime.screen(&at("web-1", 1)).await.unwrap().size;
        assert_eq!((size.cols, size.rows), (90, 20), "as it was seen last");
    });
}

fn named_like_ours() {
    let world = World::new();
    block_on(async {
        world.start("exec cat").await;
        let server = world.server();
        let sockets = sockets_of(&server);
        let foreign = ["web-1.11", "web-1.1x", "web-1", "xweb-1.1"];
        for name in foreign {
            let made = zellij(&sockets, &world.cwd)
                .args(["attach", "--create-background", name])
                .output()
                .unwrap();
            assert!(made.status.success(), "{made:?}");
        }
        world.runtime.destroy(&at("web-1", 1)).await.unwrap();
        assert!(!is_alive(&server));
        let listed = |name: &str| {
            let list = zellij(&sockets, &world.cwd)
                .args(["list-sessions", "--no-formatting"])
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&list.stdout).into_owned();
            text.lines()
                .any(|line| line.split(' ').next() == Some(name) && !line.contains("EXITED"))
        };
        // A probe of zellij's own list now and then misses a session that lives, and has it again the next time.
        for name in foreign {
            eventually(name, || listed(name)).await;
        }
        assert!(!listed("web-1.1"));
        // And ours is made again beside them, though some begin with its name.
        world.start("echo again; cat").await;
        world.shows("again").await;
        for name in ["web-1.1"].iter().chain(&foreign) {
            eventually(name, || listed(name)).await;
        }
    });
}

fn frozen_zellij() {
    let world = World::new();
    block_on(async {
        world.start("exec cat").await;
        let (frozen, quick) = (world.server(), Duration::from_secs(3));
        signal(frozen.pid, Signal::STOP);
        let began = Instant::now();
        let two = at("web-2", 1);
        world
            .runtime
            .create(&world.sh(two.clone(), "exec cat"))
            .await
            .unwrap();
        assert!(
            matches!(world.look().await, Look::Running(_)),
            "its own run as well"
        );
        assert_eq!(world.runtime.list().await.unwrap(), [at("web-1", 1), two.clone()]);
        world.runtime.destroy(&two).await.unwrap();
        assert!(began.elapsed() < quick, "{:?}", began.elapsed());
        let began = Instant::now();
        world.runtime.destroy(&at("web-1", 1)).await.unwrap();
        assert!(began.elapsed() < quick, "{:?}", began.elapsed());
        assert!(!is_alive(&frozen));
        assert_eq!(world.left_below_root(), Vec::<String>::new());
    });
}

fn told_no_secret() {
    let world = World::new();
    block_on(async {
        let mut launch = world.sh(at("web-1", 1), "echo up; : prompt-of-the-agent; exec cat");
        launch
            .env
            .push(("TOKEN".to_owned(), "value-of-the-token".to_owned()));
        let held = world.runtime.create(&launch).await.unwrap();
        world.shows("up").await;
        let knows = |text: &str| text.contains("value-of-the-token") || text.contains("prompt-of-the-agent");
        // Everything it writes lies in the run's own folder, and nothing in the user's.
        let own = world.run_dir().join("zellij");
        let environment = fs::read_to_string(format!("/proc/{}/environ", world.server().pid)).unwrap();
        for variable in [
            "HOME",
            "XDG_CONFIG_HOME",
            "XDG_CACHE_HOME",
            "XDG_DATA_HOME",
            "TMPDIR",
        ] {
            let there = format!("{variable}={own}/");
            assert!(
                environment.split('\0').any(|set| set.starts_with(&there)),
                "{environment}"
            );
        }
        let log = |file: &Utf8PathBuf| file.as_str().ends_with("zellij.log");
        assert!(files_below(&own).iter().any(log), "its log is there as well");
        let everywhere = [world.run_dir(), sockets_beside(&world.root)];
        let mut files = 0;
        for file in everywhere.iter().flat_map(|dir| files_below(dir)) {
            let text = String::from_utf8_lossy(&fs::read(&file).unwrap_or_default()).into_owned();
            assert!(!knows(&text), "{file}: {text}");
            files += 1;
        }
        assert!(files >= 6, "config, layout, cache, log and our own: {files}");
        // What zellij would write down to start the session again.
        let mut layout = String::new();
        eventually("its layout", || {
            layout = ask(&world, &["--session", "web-1.1", "action", "dump-layout"]); // a busy one gives none
            layout.contains("run-agent")
        })
        .await;
        assert!(!knows(&layout), "{layout}");
        for pid in world.zellijs().into_iter().chain([held.holder.pid]) {
            for file in ["cmdline", "environ"] {
                let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                assert!(!knows(&String::from_utf8_lossy(&bytes)), "{pid}: {file}");
            }
        }
    });
}

fn files_below(dir: &Utf8Path) -> Vec<Utf8PathBuf> {
    let mut found = Vec::new();
    for entry in dir.read_dir_utf8().into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_below(entry.path()));
        } else {
            found.push(entry.into_path());
        }
    }
    found
}

fn poor_environment() {
    let world = World::new();
    let mut creator = world
        .creator("echo up; exec cat")
        .env_clear()
        .env("AO_ZELLIJ", real_zellij().unwrap())
        .spawn()
        .unwrap();
    block_on(async {
        eventually("the run", || world.run_dir().join("sock").exists()).await;
        world.shows("up").await;
    });
    creator.kill().unwrap();
    creator.wait().unwrap();
}

fn any_name() {
    let world = World::below("a \"b\" \\c\\ 'd' $e \u{a0}\u{feff}\u{e4}\u{1b}[m\n{f} //g/* h");
    block_on(async {
        let held = world.start("echo up; exec cat").await;
        world.shows("up").await;
        assert_eq!(world.look().await, Look::Running(held));
        world.server();
    });
}

fn will_not_do() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let fake = world.file("zellij");
    let said = "x".repeat(10_000);
    for (script, why) in [
        (None, "there is no such program"),
        (Some("echo zellij 0.44.2".to_owned()), "is too old"),
        (Some("echo what; exit 1".to_owned()), "names no version"),
        (Some("yes".to_owned()), "not over within 5 s"),
        // Right so far, and then it does not do it.
        (
            Some(format!(
                "[ \"$1\" = --version ] && exec echo zellij 0.45.1; echo no: {said}; exit 3"
            )),
            "no: x",
        ),
        (Some("echo zellij 0.45.1".to_owned()), "did not run"),
    ] {
        if let Some(script) = &script {
            fs::write(&fake, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let runtime = zellij::runtime(ZellijConfig {
            zellij: fake.clone(),
            ..zellij_config(&world.root)
        });
        block_on(async {
            let launch = world.sh(at("web-1", 1), "exec cat");
            let error = runtime.create(&launch).await.unwrap_err();
            let RuntimeError::NotStarted { program, reason } = &error else {
                panic!("{error}");
            };
            assert_eq!(program, fake.as_str());
            assert!(reason.contains(why), "{reason}");
            assert!(reason.len() < 5_000, "{} bytes of it", reason.len());
            if ["no such", "too old", "no version"]
                .iter()
                .any(|part| why.contains(part))
            {
                assert!(reason.contains("zellij 0.44.3 or newer"), "{reason}");
                assert!(reason.contains("AO_RUNTIME=pty"), "{reason}");
            }
            assert_eq!(world.look().await, Look::Absent);
            assert_eq!(world.left_below_root(), Vec::<String>::new());
            assert_eq!(world.census(), Vec::<u32>::new());
        });
    }
}
