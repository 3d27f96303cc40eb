//! `ao hooks` as an agent calls it: one record, exit status 0, not a word, and never a wait.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Said, World};
use ao_domain::HookRecord;
use camino::Utf8PathBuf;

fn inside(session: &str) -> World {
    World::new()
        .with("AO_SESSION_ID", session)
        .with("AO_GENERATION", "3")
        .with("AO_LAUNCH_SECRET", "0123456789abcdef0123456789abcdef")
}

/// Runs `ao hooks words` with `payload` on standard input, whose pipe is closed afterwards.
fn hook(world: &World, words: &[&str], payload: &[u8]) -> Said {
    let mut child = piped(world, words).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(payload)
        .expect("the pipe is not broken under its writer");
    drop(stdin);
    child.wait_with_output().unwrap().into()
}

fn piped(world: &World, words: &[&str]) -> Command {
    let words: Vec<&str> = ["hooks"].iter().chain(words).copied().collect();
    let mut command = world.command(&words);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn spool(world: &World, session: &str) -> Utf8PathBuf {
    world.data().join(format!("spool/{session}.jsonl"))
}

fn records(world: &World, session: &str) -> Vec<HookRecord> {
    let text = std::fs::read_to_string(spool(world, session)).unwrap_or_default();
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn silent(said: &Said) {
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "", ""));
}

#[test]
fn a_callback_is_one_record_in_its_sessions_spool() {
    // A project id may hold a dot.
    let world = inside("my.app-12");
    silent(&hook(
        &world,
        &["claude-code", "stop"],
        "{\"last\":\"grüße\"}".as_bytes(),
    ));
    silent(&hook(&world, &["claude-code", "notification"], b""));
    let records = records(&world, "my.app-12");
    assert_eq!(records.len(), 2);
    let first = &records[0];
    assert_eq!((first.v, first.generation, first.truncated), (1, 3, false));
    assert_eq!(first.session.as_str(), "my.app-12");
    assert_eq!(first.secret, "0123456789abcdef0123456789abcdef");
    assert_eq!(
        (first.agent.as_str(), first.event.as_str()),
        ("claude-code", "stop")
    );
    assert_eq!(first.payload, "{\"last\":\"grüße\"}");
    assert_eq!(first.boot, ao_local::process::boot_id().unwrap());
    assert!(first.boot_ms <= records[1].boot_ms);
    assert_ne!(first.id, records[1].id);
    let meta = std::fs::metadata(spool(&world, "my.app-12")).unwrap();
    assert_eq!(meta.mode() & 0o777, 0o600);
}

#[test]
fn whatever_is_wrong_the_agent_is_not_disturbed() {
    let log = |world: &World| std::fs::read_to_string(world.data().join("hooks.log")).unwrap_or_default();
    let world = inside("web-1");
    std::fs::create_dir_all(world.data()).unwrap();
    for words in [
        &[][..],
        &["claude-code"],
        &["claude-code", "stop", "more"],
        &["--help"],
    ] {
        silent(&hook(&world, words, b"{}"));
    }
    assert_eq!(log(&world).lines().count(), 4, "{}", log(&world));
    assert!(log(&world).contains("session=web-1 ao hooks claude-code: wanted are an agent and an event"));

    let world = World::new();
    silent(&piped(&world, &["claude-code", "stop"]).output().unwrap().into());
    assert!(!world.data().exists(), "outside a session nothing is written");

    let world = inside("../etc/passwd");
    std::fs::create_dir_all(world.data()).unwrap();
    silent(&hook(&world, &["claude-code", "stop"], b"{}"));
    assert!(
        log(&world).contains("AO_SESSION_ID is missing or malformed"),
        "{}",
        log(&world)
    );

    let world = inside("web-1");
    std::fs::write(world.data(), "in the way").unwrap();
    silent(&hook(&world, &["claude-code", "stop"], b"{}"));
    assert_eq!(std::fs::read_to_string(world.data()).unwrap(), "in the way");
}

#[test]
fn a_bad_variable_of_the_daemon_is_not_the_agents_concern() {
    let world = inside("web-1")
        .with("AO_PORT", "notaport")
        .with("AO_LOG", "a=b=c");
    silent(&hook(&world, &["claude-code", "stop"], b"{}"));
    assert_eq!(records(&world, "web-1").len(), 1);
}

#[test]
fn a_long_payload_is_cut_and_its_writer_never_finds_the_pipe_broken() {
    let world = inside("web-1");
    let payload = vec![b'x'; 300_000];
    silent(&hook(&world, &["claude-code", "stop"], &payload));
    let records = records(&world, "web-1");
    assert_eq!(records[0].payload.len(), HookRecord::PAYLOAD_MAX);
    assert!(records[0].truncated);
}

#[test]
fn an_agent_that_keeps_the_pipe_open_is_not_waited_for() {
    let world = inside("web-1");
    let begun = Instant::now();
    let mut child = piped(&world, &["claude-code", "stop"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"{\"half\":").unwrap();
    let status = child.wait().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    drop(stdin);
    assert_eq!(status.code(), Some(0));
    assert_eq!(records(&world, "web-1")[0].payload, "{\"half\":");
}

#[test]
fn a_terminal_on_standard_input_is_a_persons_and_not_read() {
    let world = inside("web-1");
    let terminal =
        rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
    rustix::pty::grantpt(&terminal).unwrap();
    rustix::pty::unlockpt(&terminal).unwrap();
    let name = rustix::pty::ptsname(&terminal, Vec::new()).unwrap();
    let shown = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    rustix::io::write(&terminal, b"typed\n").unwrap();
    silent(
        &piped(&world, &["claude-code", "stop"])
            .stdin(shown)
            .output()
            .unwrap()
            .into(),
    );
    assert_eq!(records(&world, "web-1")[0].payload, "");
}
