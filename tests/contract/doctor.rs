//! `ao doctor`: each finding with its remedy, and exit 1 where something fails.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use ao_tests::World;
use serde_json::{Value, json};

use crate::AO;

const HELP: &str = "--session-id --resume --settings --permission-mode --model --append-system-prompt";

/// A world without a daemon, with `script` as Claude Code's program where there is one.
fn world(script: Option<&str>) -> World {
    let mut world = World::new(AO);
    let bin = world.dir.join("bin");
    fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(&world.program, bin.join("ao")).unwrap();
    if let Some(script) = script {
        fs::write(bin.join("claude"), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(bin.join("claude"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    world.set("PATH", &format!("{bin}:/usr/local/bin:/usr/bin:/bin"));
    world.set("ANTHROPIC_API_KEY", "k");
    fs::write(
        world.dir.join("home/.claude.json"),
        json!({"hasCompletedOnboarding": true}).to_string(),
    )
    .unwrap();
    world
}

fn claude(version: &str, help: &str) -> String {
    format!("case $1 in --version) echo '{version} (Claude Code)';; --help) echo '{help}';; esac")
}

/// The exit status, and of each check its level and message by its name.
fn examined(world: &World, more: &[&str]) -> (i32, Vec<(String, String, String)>) {
    let said = world.ao(&[&["--json", "doctor"], more].concat());
    let report = said.json();
    let text = |check: &Value, name: &str| check[name].as_str().unwrap_or_default().to_owned();
    let checks = report["checks"].as_array().unwrap().iter();
    let checks: Vec<_> = checks
        .map(|check| (text(check, "name"), text(check, "level"), text(check, "message")))
        .collect();
    for check in report["checks"].as_array().unwrap() {
        let is_well = check["level"] == "PASS";
        assert!(is_well || check["remedy"].is_string(), "no remedy: {check}");
    }
    let failures = checks.iter().filter(|(_, level, _)| level == "FAIL").count();
    assert_eq!(
        (report["failures"].as_u64(), report["ok"].as_bool()),
        (Some(failures as u64), Some(failures == 0))
    );
    assert_eq!(said.code, i32::from(failures > 0), "{said:?}");
    (said.code, checks)
}

fn has(checks: &[(String, String, String)], name: &str, level: &str, part: &str) -> bool {
    checks
        .iter()
        .any(|(known, at, message)| known == name && at == level && message.contains(part))
}

#[test]
fn all_is_well_where_all_is_there() {
    let world = world(Some(&claude("2.1.330", HELP)));
    let (code, checks) = examined(&world, &["--offline"]);
    assert_eq!(code, 0, "{checks:?}");
    let names: Vec<&str> = checks.iter().map(|(name, ..)| name.as_str()).collect();
    for name in [
        "config",
        "data-dir",
        "data-dir-write",
        "database",
        "hooks-log",
        "daemon",
        "git",
        "runtime",
        "ao-binary",
        "zellij",
        "codex",
        "agent",
        "claude-code",
        "github-token",
    ] {
        assert!(names.contains(&name), "{name} is not looked at: {names:?}");
    }
    let good: Vec<_> = checks.iter().filter(|(name, ..)| name == "claude-code").collect();
    assert!(
        good.len() == 5 && good.iter().all(|(_, level, _)| level == "PASS"),
        "{good:?}"
    );
    assert!(has(&checks, "ao-binary", "PASS", "is this program"));
}

#[test]
fn an_agent_that_is_missing_old_broken_or_silent_is_named() {
    // Nobody has them all: that one is not there is no warning, but for the one that a spawn takes.
    let mut none = world(None);
    none.set("AO_AGENT", "claude-code");
    let (code, checks) = examined(&none, &["--offline"]);
    assert_eq!(code, 0);
    for (id, program) in [
        ("claude-code", "claude"),
        ("codex", "codex"),
        ("cursor", "cursor-agent"),
    ] {
        let said = format!("not installed: no `{program}` on PATH");
        assert!(has(&checks, id, "PASS", &said), "{checks:?}");
        assert_eq!(
            checks.iter().filter(|(name, ..)| name == id).count(),
            1,
            "{checks:?}"
        );
    }
    assert!(
        has(
            &checks,
            "agent",
            "WARN",
            "AO_AGENT is claude-code, which is not installed"
        ),
        "{checks:?}"
    );
    let versions = [
        (
            "1.0.3",
            "is version 1.0.3, older than 2.1.330, of which ao was verified",
        ),
        (
            "2.2.0",
            "is version 2.2.0, newer than 2.1.330, of which ao was verified",
        ),
    ];
    for (version, said) in versions {
        let (code, checks) = examined(&world(Some(&claude(version, HELP))), &["--offline"]);
        assert_eq!(code, 0);
        assert!(has(&checks, "claude-code", "WARN", said), "{checks:?}");
        assert!(
            has(&checks, "claude-code", "PASS", "knows every option"),
            "{checks:?}"
        );
    }
    let (code, checks) = examined(&world(Some(&claude("0.2.9", "--resume --model"))), &["--offline"]);
    assert_eq!(code, 1);
    assert!(
        has(
            &checks,
            "claude-code",
            "FAIL",
            "does not know --session-id, --settings, --permission-mode"
        ),
        "{checks:?}"
    );
    for (script, said) in [
        ("exit 3", "does not start: exit status: 3"),
        (
            "echo 'needs Node 22' >&2; exit 1",
            "does not start: exit status: 1: needs Node 22",
        ),
        ("exec sleep 1000", "it did not end within 10 s"),
        ("yes", "it prints more than 256 kB"),
        ("echo hello", "`hello` names no version"),
    ] {
        let (code, checks) = examined(&world(Some(script)), &["--offline"]);
        assert_eq!(code, 0);
        assert!(has(&checks, "claude-code", "WARN", said), "{script}: {checks:?}");
    }
}

/// Each that is installed, by the same rules.
#[test]
fn every_agent_that_is_installed_is_looked_over() {
    let world = world(None);
    for (program, script) in [
        ("codex", "echo codex-cli 0.169.0"),
        ("kimi", "echo 'SyntaxError: no zstd' >&2; exit 1"),
        (
            "cursor-agent",
            "case $1 in --version) echo 2026.09.12-abc;; *) echo --resume --model --force;; esac",
        ),
    ] {
        let path = world.dir.join("bin").join(program);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::create_dir_all(world.dir.join("home/.codex")).unwrap();
    fs::write(world.dir.join("home/.codex/config.toml"), "[").unwrap();
    let (code, checks) = examined(&world, &["--offline"]);
    assert_eq!(code, 0);
    for (id, level, said) in [
        ("codex", "PASS", "/bin/codex, version 0.169.0"),
        ("codex", "WARN", "config.toml` does not read"),
        ("kimi", "WARN", "exit status: 1: SyntaxError: no zstd"),
        ("cursor", "WARN", "what ao knows of it is from documents alone"),
        ("cursor", "PASS", "knows every option"),
        ("cursor", "WARN", "it was never run here"),
        ("qwen", "PASS", "not installed"),
    ] {
        assert!(has(&checks, id, level, said), "{id} {said}: {checks:?}");
    }
}

#[test]
fn a_multiplexer_that_is_there_has_to_do() {
    let world = world(None);
    let put = |script: &str| {
        let path = world.dir.join("bin/zellij");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    for (script, level, part) in [
        ("echo zellij 0.44.3", "PASS", "zellij 0.44.3"),
        ("echo zellij 0.43.9", "FAIL", "is too old"),
        ("echo hello", "FAIL", "names no version"),
        ("exit 1", "FAIL", "failed"),
    ] {
        put(script);
        let (_, checks) = examined(&world, &["--offline"]);
        assert!(has(&checks, "zellij", level, part), "{script}: {checks:?}");
    }
}

#[test]
fn what_an_agent_would_ask_at_its_start_is_named() {
    let mut world = world(Some(&claude("2.1.330", HELP)));
    world.set("ANTHROPIC_API_KEY", "");
    fs::write(world.dir.join("home/.claude.json"), "{}").unwrap();
    let (code, checks) = examined(&world, &["--offline"]);
    assert_eq!(code, 0);
    assert!(
        has(
            &checks,
            "claude-code",
            "WARN",
            "at its start it asks for a theme and a login"
        ),
        "{checks:?}"
    );
    assert!(
        has(&checks, "claude-code", "WARN", "no login is found"),
        "{checks:?}"
    );
}

#[test]
fn a_token_is_tried_unless_that_is_not_wanted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut world = world(Some(&claude("2.1.330", HELP)));
    world.set("GITHUB_TOKEN", "t0ken");
    world.set(
        "AO_GITHUB_API",
        &format!("http://{}", listener.local_addr().unwrap()),
    );
    let (code, checks) = examined(&world, &["--offline"]);
    assert_eq!(code, 0);
    assert!(
        has(
            &checks,
            "github-token",
            "PASS",
            "found by GITHUB_TOKEN; not tried"
        ),
        "{checks:?}"
    );
    let serving = std::thread::spawn(move || {
        let answers = [
            "HTTP/1.1 200 OK\r\nx-oauth-scopes: repo\r\ncontent-length: 21\r\nconnection: close\r\n\r\n{\"login\": \"somebody\"}",
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
        ];
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let (code, checks) = examined(&world, &[]);
    assert_eq!(code, 0);
    assert!(
        has(
            &checks,
            "github-token",
            "PASS",
            "somebody by GITHUB_TOKEN, scopes repo"
        ),
        "{checks:?}"
    );
    let (code, checks) = examined(&world, &[]);
    assert_eq!(code, 1);
    assert!(
        has(&checks, "github-token", "FAIL", "the token was refused (401)"),
        "{checks:?}"
    );
    serving.join().unwrap();
    world.set("AO_GITHUB_API", "http://127.0.0.1:1");
    let (code, checks) = examined(&world, &[]);
    assert_eq!(code, 1);
    assert!(
        has(&checks, "github-token", "FAIL", "could not be reached"),
        "{checks:?}"
    );
    assert!(!format!("{checks:?}").contains("t0ken"), "the token is shown");
}
