//! A command that fails, hangs or floods ends soon, with everything it started, and says why; one that succeeds is left alone.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ao_domain::Exit;
use ao_domain::port::provision::{CommandEnd, ProvisionError};
use ao_domain::port::worktrees::Removal;
use rustix::process::{Pid, Signal, kill_process};

use crate::ready::{DEADLINE, GONE, Ready, is_there, process_in, runs, text};

/// How it ended, and its last lines.
fn failed(ran: Result<(), ProvisionError>) -> (CommandEnd, Vec<String>) {
    match ran.unwrap_err() {
        ProvisionError::Command {
            number: 2,
            of: 3,
            end,
            tail,
            ..
        } => (end, tail),
        error => panic!("{error:?}"),
    }
}

fn log(ready: &Ready) -> String {
    text(ready.world.dir.join("data/provision/web-1.log"))
}

async fn made(name: &str) -> Ready {
    let ready = Ready::new(name);
    ready.world.make(1).await;
    ready
}

/// Waits until nobody has the lock of `web-1`, as after a dropped call.
async fn settled(ready: &Ready) {
    ready.world.weighed(1).await;
}

#[tokio::test]
async fn a_command_runs_in_the_worktree_with_the_given_environment_and_nothing_to_read() {
    let ready = made("runs").await;
    let line = "pwd >&2; cat; printf '%s\\n' \"$GIVEN $HOME\"; env | cut -d= -f1 | sort | tr '\\n' ' '; echo made > made.log";
    ready.run(line).await.unwrap();
    assert_eq!(text(ready.path(1).join("made.log")), "made\n");
    let log = log(&ready);
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], format!("ao: [2/3] {line}"));
    assert_eq!(lines[1..3], [ready.path(1).as_str(), "given "]);
    let names: Vec<&str> = lines[3]
        .split(' ')
        .filter(|name| !["PWD", "_", "SHLVL", "OLDPWD"].contains(name))
        .collect();
    assert_eq!(names[..3], ["AO_PROVISION", "GIVEN", "PATH"], "{names:?}");
    assert!(log.contains("ao: [2/3] exit status 0 after 0."), "{log}");
    use std::os::unix::fs::PermissionsExt as _;
    let meta = fs::metadata(ready.world.dir.join("data/provision/web-1.log")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn one_that_fails_says_how_and_its_last_forty_lines_safely() {
    let ready = made("fails").await;
    let line = "for n in $(seq 60); do echo line $n; done; printf '\\033[31mred\\033[0m\\n10%%\\r90%%\\r\\033]0;title\\007'; \
                printf 'a\\033[2Jb\\342\\200\\256\\n' >&2; exit 3";
    let (end, tail) = failed(ready.run(line).await);
    assert_eq!(end, CommandEnd::Exit(Exit::Code(3)));
    assert_eq!(tail.len(), 40);
    assert_eq!(tail[36..], ["line 59", "line 60", "red", "ab<U+202E>"]);
    assert_eq!(
        ready.tail(2).await,
        ["ab<U+202E>", "ao: [2/3] exit status 3 after 0.0 s"]
    );
    let (end, _) = failed(ready.run("kill -9 $$").await);
    assert_eq!(end, CommandEnd::Exit(Exit::Signal(9)));
    // What failed is removed as if it had never been, and its log stays.
    assert_eq!(ready.world.discard(1).await.unwrap(), GONE);
    ready.nothing_left(1);
    assert!(ready.tail(40).await.iter().any(|line| line == "line 60"));
}

#[tokio::test]
async fn one_that_hangs_is_ended_at_its_limit_with_what_it_started() {
    let ready = made("hangs").await;
    let dir = &ready.world.dir;
    let line = format!("trap '' TERM; echo before; sleep 600 & echo $! > {dir}/child; sleep 600");
    let start = Instant::now();
    let (end, tail) = failed(ready.run_within(&line, Duration::from_millis(300)).await);
    assert_eq!(
        (end, tail),
        (
            CommandEnd::Limit(Duration::from_millis(300)),
            vec!["before".to_owned()]
        )
    );
    assert!(start.elapsed() < Duration::from_secs(10));
    let child = text(dir.join("child")).trim().parse().unwrap();
    assert_eq!(ao_local::process::identify(child).unwrap(), None);
    assert_eq!(ready.world.discard(1).await.unwrap(), GONE);
    ready.nothing_left(1);
}

#[tokio::test]
async fn a_hundred_megabytes_fill_neither_the_disk_nor_memory() {
    let ready = made("floods").await;
    let before = resident();
    let line = "echo first; head -c 104857600 /dev/zero | tr '\\0' x; echo; echo last; exit 1";
    let (_, tail) = failed(ready.run(line).await);
    assert_eq!(tail.len(), 2);
    assert_eq!((tail[0].chars().count(), tail[1].as_str()), (401, "last"));
    let log = log(&ready);
    assert!(
        log.len() <= 1 << 20 && log.contains("\nfirst\n") && log.contains("x\nlast\nao: [2/3] exit status 1")
    );
    assert!(log.contains(" bytes left out here\n"));
    let grown = resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more");
}

/// What this process has in memory, in bytes.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn one_that_prints_for_ever_is_ended_at_its_limit() {
    let ready = made("for-ever").await;
    let start = Instant::now();
    let (end, tail) = failed(ready.run_within("yes", Duration::from_millis(300)).await);
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(end, CommandEnd::Limit(Duration::from_millis(300)));
    assert_eq!(tail.last().map(String::as_str), Some("y"));
}

#[tokio::test]
async fn one_that_closes_its_output_is_still_waited_for() {
    let ready = made("silent").await;
    let (end, _) = failed(ready.run("exec > /dev/null 2>&1; sleep 0.2; exit 4").await);
    assert_eq!(end, CommandEnd::Exit(Exit::Code(4)));
}

/// Every way to leave the command's group, each with one thing it is known by still.
fn strays(dir: &camino::Utf8Path) -> Vec<(String, String)> {
    let stray = |name: &str, way: &str, to: &str| {
        let file = dir.join(name);
        let line = format!(
            "{way} sh -c 'echo $$ > {file}; exec sleep 600' {to} & while [ ! -s {file} ]; do sleep 0.01; done"
        );
        (file.into_string(), line)
    };
    vec![
        // An orphan without the mark.
        (
            dir.join("in-group").into_string(),
            format!(
                "(env -i PATH=$PATH sh -c 'echo $$ > {dir}/in-group; exec sleep 600' > /dev/null 2>&1 &); \
                 while [ ! -s {dir}/in-group ]; do sleep 0.01; done"
            ),
        ),
        stray("marked", "setsid", "> /dev/null 2>&1"),
        stray("holds-pipe", "setsid env -i PATH=$PATH", ""),
        // Nothing but its parent, which is marked.
        (
            dir.join("child").into_string(),
            format!(
                "setsid sh -c 'env -i PATH=$PATH setsid sh -c \"echo \\$\\$ > {dir}/child; exec sleep 600\" & wait' > /dev/null 2>&1 & \
                 while [ ! -s {dir}/child ]; do sleep 0.01; done"
            ),
        ),
    ]
}

#[tokio::test]
async fn whoever_left_the_group_or_holds_the_pipe_is_ended_too() {
    for end in ["fails", "limit", "drop"] {
        let ready = made(&format!("strays-{end}")).await;
        for (file, line) in strays(&ready.world.dir) {
            let go = ready.world.dir.join("go");
            let line = match end {
                "fails" => format!("{line}; while [ ! -e {go} ]; do sleep 0.01; done; exit 1"),
                _ => format!("{line}; sleep 600"),
            };
            let run = async { failed(ready.run_within(&line, Duration::from_secs(2)).await).0 };
            let seen = async {
                let stray = process_in(camino::Utf8Path::new(&file)).await;
                fs::write(&go, "").unwrap();
                stray
            };
            let stray = if end == "drop" {
                tokio::select! {
                    ran = ready.run(&line) => panic!("{ran:?}"),
                    stray = seen => stray,
                }
            } else {
                let (how, stray) = tokio::join!(tokio::time::timeout(DEADLINE, run), seen);
                assert_eq!(matches!(how.unwrap(), CommandEnd::Limit(_)), end == "limit");
                stray
            };
            if end == "drop" {
                settled(&ready).await;
            }
            assert!(!runs(&stray), "{end}: {line}");
            for file in [Path::new(&file), go.as_std_path()] {
                fs::remove_file(file).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_dropped_command_is_ended_at_once() {
    let ready = made("dropped").await;
    let file = ready.world.dir.join("pid");
    let line = format!("trap '' TERM HUP INT; echo $$ > {file}; while :; do sleep 600; done");
    let shell = tokio::select! {
        ran = ready.run(&line) => panic!("{ran:?}"),
        shell = process_in(&file) => shell,
    };
    let dead = async {
        while runs(&shell) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    // Nobody asks for the session again.
    tokio::time::timeout(DEADLINE, dead).await.unwrap();
    assert_eq!(ready.world.remove(1).await.unwrap(), GONE);
}

#[tokio::test]
async fn what_a_command_that_succeeded_left_running_goes_on_until_the_worktree_goes_or_a_later_one_fails() {
    for end in ["removed", "fails"] {
        let ready = made(&format!("service-{end}")).await;
        let file = ready.world.dir.join("pid");
        let start = Instant::now();
        ready
            .run(&format!("sh -c 'echo $$ > {file}; exec sleep 600' &"))
            .await
            .unwrap();
        assert!(start.elapsed() < Duration::from_secs(10), "it is not waited for");
        let service = process_in(&file).await;
        ready.furnish(1, &[]).await;
        ready.run("true").await.unwrap();
        assert!(runs(&service));
        match end {
            "removed" => assert_eq!(ready.world.remove(1).await.unwrap(), GONE),
            _ => drop(failed(ready.run("false").await)),
        }
        assert!(!runs(&service), "{end}");
    }
}

#[tokio::test]
async fn a_server_of_the_person_that_a_command_was_the_first_to_start_outlives_the_worktree() {
    for gone in [false, true] {
        let ready = made(&format!("server-{gone}")).await;
        let dir = &ready.world.dir;
        // As the server of a build cache stands: in a session of its own, at home, with the environment it was started with.
        let line = format!(
            "setsid sh -c 'cd {dir}; sleep 600 & echo $! > below; echo $$ > server; wait' > /dev/null 2>&1 & \
             setsid sh -c 'mkdir -p target/x; cd target/x; echo $$ > {dir}/watcher; exec sleep 600' > /dev/null 2>&1 &"
        );
        ready.run(&line).await.unwrap();
        let mut found = Vec::new();
        for file in ["server", "below", "watcher"] {
            found.push(process_in(&dir.join(file)).await);
        }
        if gone {
            fs::remove_dir_all(ready.path(1)).unwrap();
            assert_eq!(ready.world.remove(1).await.unwrap(), Removal::Absent);
        } else {
            assert_eq!(ready.world.remove(1).await.unwrap(), GONE);
        }
        let running: Vec<bool> = found.iter().map(runs).collect();
        for process in found.iter().filter(|process| runs(process)) {
            let pid = Pid::from_raw(process.pid.cast_signed()).unwrap();
            kill_process(pid, Signal::KILL).unwrap();
        }
        assert_eq!(running, [true, true, false], "directory gone: {gone}");
        ready.nothing_left(1);
    }
}

#[tokio::test]
async fn the_log_is_begun_anew_with_the_worktree_and_tells_all_commands() {
    let ready = made("log").await;
    ready.run("echo old").await.unwrap();
    ready.furnish(1, &[]).await;
    assert_eq!(ready.tail(9).await, Vec::<String>::new());
    ready.run("echo one").await.unwrap();
    ready.run("echo two").await.unwrap();
    let tail = ready.tail(9).await;
    assert_eq!(
        (tail.len(), tail[1].as_str(), tail[4].as_str()),
        (6, "one", "two")
    );
}

#[tokio::test]
async fn a_log_that_cannot_be_written_holds_nothing_up() {
    let ready = made("no-log").await;
    ready
        .world
        .write("data/provision", "a file where the folder of logs would be");
    assert_eq!(failed(ready.run("echo why; exit 1").await).1, ["why"]);
    assert!(is_there(ready.path(1)));
}
