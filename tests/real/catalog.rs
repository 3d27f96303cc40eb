//! The catalog, with the real programs: each is found, starts, and is of the version that was verified.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use ao_tests::{World, not_tested, within};
use serde_json::Value;

use crate::AO;
use crate::agent::{installed, offline};

const PROGRAMS: [&str; 7] = ["claude", "codex", "opencode", "grok", "qwen", "copilot", "kimi"];

/// The folders with the real programs, and one with the Node that some want: it has to be found first.
fn programs(test: &str) -> Option<(Vec<String>, String)> {
    offline();
    let found: Vec<String> = PROGRAMS.into_iter().filter_map(installed).collect();
    if found.len() < PROGRAMS.len() {
        not_tested(test, "not all agents are installed: tests/run installs them");
        return None;
    }
    let root = found[0].strip_suffix("/claude/node_modules/.bin").unwrap();
    let node = format!("{root}/node/node_modules/node/bin");
    Some((found, node))
}

/// All agents, as they are listed in a world with this PATH.
fn listed(world: &mut World, path: &str) -> Vec<Value> {
    world.set("PATH", &format!("{path}:/usr/local/bin:/usr/bin:/bin"));
    world.start();
    // One that was too slow on a machine that had other things to do is asked again a while later.
    within(Duration::from_secs(120), "all of them start", || {
        let list = world.ao(&["--json", "agent", "ls"]).ok().json();
        let agents = list["agents"].as_array().unwrap().clone();
        let is_slow = |agent: &Value| agent["findings"].to_string().contains("did not end within");
        (!agents.iter().any(is_slow)).then_some(agents)
    })
}

#[test]
fn each_real_program_is_found_in_its_verified_version() {
    let Some((found, node)) = programs("each_real_program_is_found_in_its_verified_version") else {
        return;
    };
    let mut world = World::new(AO);
    let agents = listed(&mut world, &format!("{node}:{}", found.join(":")));
    let mut seen = 0;
    for agent in &agents {
        let Some(program) = agent["program"].as_str().filter(|name| PROGRAMS.contains(name)) else {
            continue;
        };
        seen += 1;
        assert_eq!(agent["standing"], "verified", "{program}: {agent}");
        assert_eq!(agent["version"], agent["verifiedVersion"], "{program}: {agent}");
        assert_eq!(agent["capabilities"]["verified"], true, "{program}: {agent}");
        let login = agent["findings"].as_array().unwrap().iter();
        let asks: Vec<&Value> = login.filter(|finding| finding["what"] == "program").collect();
        assert!(asks.is_empty(), "{program}: {asks:?}");
    }
    assert_eq!(seen, PROGRAMS.len());
}

/// What the doctor looks for in the help of another version stands in that of the real one: it is asked where it says to be another.
#[test]
fn each_real_program_names_its_options_in_its_help() {
    let Some((found, node)) = programs("each_real_program_names_its_options_in_its_help") else {
        return;
    };
    let mut world = World::new(AO);
    let bin = world.dir.join("another");
    fs::create_dir(&bin).unwrap();
    for (program, folder) in PROGRAMS.into_iter().zip(&found) {
        let script = format!(
            "#!/bin/sh\ncase $1 in --version) echo 0.0.1;; *) exec {folder}/{program} \"$@\";; esac\n"
        );
        fs::write(bin.join(program), script).unwrap();
        fs::set_permissions(bin.join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let agents = listed(&mut world, &format!("{bin}:{node}"));
    let mut seen = 0;
    for agent in agents {
        if !agent["program"]
            .as_str()
            .is_some_and(|name| PROGRAMS.contains(&name))
        {
            continue;
        }
        seen += 1;
        assert_eq!(agent["standing"], "older", "{agent}");
        let mut findings = agent["findings"].as_array().unwrap().iter();
        let options = findings.find(|finding| finding["what"] == "options").unwrap();
        assert_eq!(options["remedy"], Value::Null, "{options}");
        assert_eq!(options["said"], "knows every option that it is started with");
    }
    assert_eq!(seen, PROGRAMS.len());
}
