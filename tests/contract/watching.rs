//! `ao logs`, `ao events` and `ao completion`: looking on, as scripts and shells do.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use ao_tests::{World, settle};
use serde_json::Value;

use crate::AO;

#[test]
fn logs_show_what_a_terminal_showed_and_follow_it_to_its_end() {
    let world = World::started(AO);
    let go = world.dir.join("go");
    let id = world.spawn(&format!(
        "echo first; while [ ! -e {go} ]; do sleep 0.05; done; echo second; exit 3"
    ));
    settle("the first line is there", || {
        world.ao(&["logs", &id]).ok().out == "first\n"
    });
    let mut following = world
        .command(world.program.as_str(), &["logs", "--follow", "--json", &id])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut next = || {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        line["line"].as_str().unwrap().to_owned()
    };
    assert_eq!(next(), "first");
    std::fs::write(&go, "").unwrap();
    assert_eq!(next(), "second");
    // The agent's end is the end; what the holder says about it is on the terminal, too.
    assert!(following.wait().unwrap().success());
    let all = world
        .ao(&["--json", "session", "logs", &id, "-n", "500"])
        .ok()
        .json();
    let all: Vec<&str> = all["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap())
        .collect();
    assert_eq!(all[..2], ["first", "second"]);
    // One that is over and taken back has none, and no other is meant; one that is none is told by the nearest that is.
    let over = world.spawn("exec sleep 1000");
    world.until(&over, "status", "working");
    world.ao(&["kill", &over]).ok();
    world.until(&over, "phase", "ended");
    for words in [["logs", &over], ["attach", &over]] {
        let said = world.ao(&words);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
        assert!(
            said.err
                .contains(&format!("no terminal is held for `{over}`: it is over"))
                && said
                    .err
                    .contains(&format!("bring it back: ao session restore {over}"))
                && !said.err.contains("did you mean"),
            "{said:?}"
        );
    }
    let none = world.ao(&["attach", "wbe-1"]);
    assert!(
        none.code == 1
            && none.err.contains("there is no session `wbe-1`")
            && none.err.contains("did you mean `web-1`?"),
        "{none:?}"
    );
    // It needs no daemon, and says where there is nothing.
    world.ao(&["stop"]).ok();
    assert!(world.ao(&["logs", &id]).ok().out.starts_with("first\nsecond\n"));
    let none = world.ao(&["logs", "web-99"]);
    assert_eq!(none.code, 1);
    assert!(none.err.contains("no terminal is held for `web-99`"), "{none:?}");
}

#[test]
fn events_are_filtered_and_followed_over_a_restart_without_a_gap() {
    let mut world = World::started(AO);
    let id = world.spawn("exec sleep 1000");
    world.until(&id, "status", "working");
    let all = events(&world, &[]);
    let kinds: Vec<&str> = all.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds[..2], ["project_created", "session_created"]);
    let other = world.spawn("exec sleep 1000");
    world.until(&other, "status", "working");
    let about = events(&world, &["--session", &id]);
    assert!(
        about.len() > 2 && about.iter().all(|event| event["sessionId"] == id.as_str()),
        "{about:?}"
    );
    let created = events(&world, &["--session", &id, "--type", "session_created"]);
    assert_eq!(
        (created.len(), &created[0]["sessionId"]),
        (1, &Value::from(id.as_str()))
    );
    let other = world.ao(&["events", "--project", "other"]);
    assert!(
        other.code == 1 && other.err.contains("there is no project `other`"),
        "{other:?}"
    );
    let second = all[1]["seq"].as_i64().unwrap();
    let after = events(&world, &["--after", &second.to_string()]);
    assert_eq!(after[0]["seq"], second + 1);
    let beyond = world.ao(&["events", "--after", "999999"]);
    assert_eq!(beyond.code, 2);
    assert!(beyond.err.contains("the newest change is"), "{beyond:?}");

    let mut following = world
        .command(
            world.program.as_str(),
            &["events", "--follow", "--json", "--after", "0"],
        )
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut seen: Vec<i64> = Vec::new();
    let mut until = |kind: &str, phase: &str| loop {
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        seen.push(event["seq"].as_i64().unwrap());
        if event["type"] == kind && event["payload"]["phase"] == phase {
            return;
        }
    };
    until("session_updated", "live");
    world.kill_9();
    world.start();
    world.ao(&["kill", &id]).ok();
    until("session_updated", "ended");
    following.kill().unwrap();
    following.wait().unwrap();
    let wanted: Vec<i64> = (1..=seen.len() as i64).collect();
    assert_eq!(seen, wanted, "each once and in order, over the restart");
}

fn events(world: &World, more: &[&str]) -> Vec<Value> {
    let words = [&["--json", "events"], more].concat();
    let lines = world.ao(&words).ok().out;
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn completion_knows_commands_options_and_the_ids_of_this_moment() {
    let mut world = World::started(AO);
    let id = world.spawn("exec sleep 1000");
    world.ao(&["session", "rename", &id, "tick tock"]).ok();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = world.ao(&["completion", shell]).ok().out;
        assert!(script.contains("AO_COMPLETE"), "{shell}: {script}");
    }
    assert_eq!(world.ao(&["completion"]).code, 2);
    let tcsh = world.ao(&["completion", "tcsh"]);
    assert_eq!(tcsh.code, 1);
    assert!(
        tcsh.err.contains("one of bash, zsh, fish, powershell"),
        "{tcsh:?}"
    );
    // As the script of a shell asks: with what comes before the cursor.
    let asked = |world: &World, shell: &str, words: &[&str]| {
        let mut command = world.command(world.program.as_str(), &[&["--", "ao"], words].concat());
        command
            .env("AO_COMPLETE", shell)
            .env("_CLAP_COMPLETE_INDEX", words.len().to_string());
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    for shell in ["bash", "zsh", "fish", "powershell"] {
        assert!(asked(&world, shell, &["kill", "we"]).contains(&id), "{shell}");
        assert!(
            asked(&world, shell, &["spawn", "--project", ""]).contains("web"),
            "{shell}"
        );
        assert!(asked(&world, shell, &["sess"]).contains("session"), "{shell}");
    }
    assert!(asked(&world, "fish", &["attach", ""]).contains("working: tick tock"));
    assert!(
        !asked(&world, "fish", &["session", "restore", ""]).contains(&id),
        "it is not over"
    );
    // The script of a real shell, run by it.
    let script = format!(
        "PATH={}:$PATH; source <(ao completion bash)\n\
         COMP_WORDS=(ao kill we); COMP_CWORD=2; COMP_TYPE=9; _clap_complete_ao ao we kill; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        world.dir.join("bin"),
    );
    std::fs::create_dir_all(world.dir.join("bin")).unwrap();
    std::os::unix::fs::symlink(&world.program, world.dir.join("bin/ao")).unwrap();
    let output = world.command("bash", &["-c", &script]).output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("{id}\n"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Without a daemon there are no ids, and no error at the prompt.
    world.kill_9();
    let without = asked(&world, "fish", &["kill", ""]);
    assert!(
        !without.contains(&id) && without.contains("--discard"),
        "{without}"
    );
}
