//! `ao agent`: which agents there are here, and what is missing to use them, whatever their programs do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ao_tests::{World, settle};
use serde_json::{Value, json};

use crate::AO;

/// A world whose daemon finds agents in a folder of its own only.
fn world(programs: &[(&str, &str)]) -> World {
    let mut world = World::new(AO);
    let bin = world.dir.join("bin");
    fs::create_dir_all(&bin).unwrap();
    world.set("PATH", &format!("{bin}:/usr/local/bin:/usr/bin:/bin"));
    for (program, script) in programs {
        put(&world, program, script);
    }
    world.start();
    world
}

fn put(world: &World, program: &str, script: &str) {
    let (file, draft) = (world.dir.join("bin").join(program), world.dir.join("bin/draft"));
    fs::write(&draft, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(draft, file).unwrap();
}

fn list(world: &World) -> Vec<Value> {
    let list = world.ao(&["--json", "agent", "ls"]).ok().json();
    list["agents"].as_array().unwrap().clone()
}

fn of<'a>(list: &'a [Value], id: &str) -> &'a Value {
    list.iter().find(|agent| agent["id"] == id).unwrap()
}

/// What is missing to it: the words, each with its remedy.
fn missing(agent: &Value) -> String {
    let findings = agent["findings"].as_array().unwrap().iter();
    let missing = findings.filter(|finding| finding["remedy"].is_string());
    let said: Vec<&str> = missing.map(|finding| finding["said"].as_str().unwrap()).collect();
    said.join("; ")
}

#[test]
fn every_agent_is_named_with_its_standing_whatever_its_program_does() {
    let world = world(&[
        // Older, newer, the same, one that wants a newer Node, one that says nothing of use, one that hangs, one that never ends.
        (
            "claude",
            "case $1 in --version) echo '1.0.3 (Claude Code)';; *) echo --resume;; esac",
        ),
        (
            "codex",
            "case $1 in --version) echo codex-cli 0.200.0;; *) exit 9;; esac",
        ),
        ("opencode", "echo 1.18.33"),
        (
            "kimi",
            "echo 'file:///main.mjs:20' >&2; echo 'SyntaxError: no zstd' >&2; exit 1",
        ),
        ("grok", "printf 'hello \\033]0;owned\\007\\n'"),
        ("qwen", "exec sleep 1000"),
        ("copilot", "yes 1.0.102"),
    ]);
    let agents = list(&world);
    let standing: Vec<String> = agents
        .iter()
        .map(|agent| {
            let word = |name: &str| agent[name].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", word("id"), word("version"), word("standing"))
        })
        .collect();
    assert_eq!(
        standing,
        [
            "claude-code 1.0.3 older",
            "codex 0.200.0 newer",
            "opencode 1.18.33 verified",
            "grok - unknown",
            "qwen - broken",
            "copilot - broken",
            "kimi - broken",
            "cursor - missing",
            "shell - -",
        ]
    );
    for (id, said) in [
        ("claude-code", "does not know --session-id, --settings"),
        ("codex", "its `--help` says nothing: exit status: 9"),
        (
            "kimi",
            "exit status: 1: file:///main.mjs:20 \u{2026} SyntaxError: no zstd",
        ),
        ("grok", "names no version"),
        ("qwen", "it does not start: it did not end within 10 s"),
        ("copilot", "it does not start: it prints more than 256 kB"),
        ("cursor", "`cursor-agent` was not found on PATH"),
    ] {
        let agent = of(&agents, id);
        assert!(missing(agent).contains(said), "{agent}");
        assert_eq!(agent["installed"], json!(id != "cursor"), "{agent}");
    }
    assert!(!format!("{agents:?}").contains("\u{1b}"));
    assert_eq!(of(&agents, "cursor")["capabilities"]["verified"], false);
    assert_eq!(of(&agents, "codex")["verifiedVersion"], "0.169.0");
    assert!(
        of(&agents, "codex")["path"]
            .as_str()
            .unwrap()
            .ends_with("/bin/codex")
    );
    // For people: a line each.
    let text = world.ao(&["agent", "ls"]).ok().out;
    assert_eq!(text.lines().count(), agents.len() + 1, "{text}");
    let got = world.ao(&["agent", "get", "kimi"]).ok().out;
    assert!(got.contains("then install it anew"), "{got}");
}

#[test]
fn a_program_that_hangs_delays_no_other_request_and_is_ended() {
    let world = world(&[(
        "codex",
        "echo $$ > \"$HOME/draft\"; mv \"$HOME/draft\" \"$HOME/hangs\"; exec sleep 1000",
    )]);
    let hangs = world.dir.join("home/hangs");
    let mut asking = world
        .command(world.program.as_str(), &["--json", "agent", "get", "codex"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    settle("the program is asked", || hangs.exists());
    let pid = fs::read_to_string(&hangs).unwrap();
    for words in [
        &["project", "ls"][..],
        &["agent", "get", "shell"],
        &["session", "ls"],
    ] {
        world.ao(words).ok();
    }
    assert!(
        asking.try_wait().unwrap().is_none(),
        "they waited for the program"
    );
    assert!(asking.wait().unwrap().success());
    let program = format!("/proc/{}", pid.trim());
    settle("the program is gone", || !fs::exists(&program).unwrap());
}

#[test]
fn an_agent_that_is_none_is_refused_with_the_nearest() {
    let world = world(&[]);
    let said = world.ao(&["agent", "get", "codx"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("there is no agent `codx`"), "{said:?}");
    assert!(
        said.err
            .contains("did you mean `codex`? all of them: ao agent ls"),
        "{said:?}"
    );
}
