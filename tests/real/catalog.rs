//! The catalog, with the real programs: each is found, starts, and is of the version that was verified.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use ao_tests::{World, not_tested, within};
use serde_json::Value;

use crate::AO;
use crate::agent::{installed, offline};
use crate::kinds::{KINDS, Kind};

/// The folders with the real programs, and one with the Node that some want: it has to be found first.
fn programs(test: &str) -> Option<(Vec<String>, String)> {
    offline();
    let found: Vec<String> = KINDS.iter().filter_map(|kind| installed(kind.program)).collect();
    if found.len() < KINDS.len() {
        not_tested(test, "not all agents are installed: tests/run installs them");
        return None;
    }
    let root = found[0].strip_suffix("/claude/node_modules/.bin").unwrap();
    let node = format!("{root}/node/node_modules/node/bin");
    Some((found, node))
}

/// What is said of all agents in a world with this PATH, once none was too slow on a machine that had other things to do.
fn asked(world: &World, words: &[&str]) -> Value {
    within(Duration::from_secs(120), "all of them start", || {
        let said = world.ao(words).json();
        (!said.to_string().contains("did not end within")).then_some(said)
    })
}

#[test]
fn each_real_program_is_found_in_its_verified_version() {
    let Some((found, node)) = programs("each_real_program_is_found_in_its_verified_version") else {
        return;
    };
    let mut world = World::new(AO);
    world.set(
        "PATH",
        &format!("{node}:{}:/usr/local/bin:/usr/bin:/bin", found.join(":")),
    );
    world.start();
    let agents = asked(&world, &["--json", "agent", "ls"]);
    let mut seen = 0;
    for agent in agents["agents"].as_array().unwrap() {
        let Some(kind) = KINDS.iter().find(|kind| agent["id"] == kind.id) else {
            continue;
        };
        let program = kind.program;
        seen += 1;
        assert_eq!(agent["standing"], "verified", "{program}: {agent}");
        assert_eq!(agent["version"], agent["verifiedVersion"], "{program}: {agent}");
        assert_eq!(agent["capabilities"]["verified"], true, "{program}: {agent}");
        let findings = agent["findings"].as_array().unwrap();
        let of = |what: &str| findings.iter().find(|finding| finding["what"] == what);
        assert_eq!(of("program"), None, "{program}: {agent}");
        // Those that name our hooks are among them.
        let options = of("options").unwrap();
        assert_eq!(options["remedy"], Value::Null, "{program}: {options}");
        assert_eq!(options["said"], "knows every option that it is started with");
    }
    assert_eq!(seen, KINDS.len());
}

/// Of each: it starts, its version, its options, its trust, and that it is not logged in, with what to do; then, where the same program
/// does not name one of its options, that it would not start.
#[test]
fn the_doctor_looks_over_each_real_program() {
    let Some((found, node)) = programs("the_doctor_looks_over_each_real_program") else {
        return;
    };
    let mut world = World::new(AO);
    let bin = world.dir.join("bin");
    fs::create_dir(&bin).unwrap();
    let without = |option: fn(&Kind) -> &'static str| {
        for (kind, folder) in KINDS.iter().zip(&found) {
            let (program, option) = (kind.program, option(kind));
            let script = format!(
                "#!/bin/sh\ncase $1 in --help) {folder}/{program} --help 2>&1 | sed 's/{option}/--other/g';; *) exec {folder}/{program} \"$@\";; esac\n"
            );
            fs::write(bin.join(program), script).unwrap();
            fs::set_permissions(bin.join(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
    };
    world.set("PATH", &format!("{bin}:{node}:/usr/local/bin:/usr/bin:/bin"));
    let said = |world: &World| -> Vec<(String, String, String, bool)> {
        let report = asked(world, &["--json", "doctor", "--offline"]);
        let text = |check: &Value, name: &str| check[name].as_str().unwrap().to_owned();
        let checks = report["checks"].as_array().unwrap().iter();
        checks
            .filter(|check| check["section"] == "Agents")
            .map(|check| {
                (
                    text(check, "name"),
                    text(check, "level"),
                    text(check, "message"),
                    check["remedy"].is_string(),
                )
            })
            .collect()
    };
    let has = |all: &[(String, String, String, bool)], of: (&str, &str, &str, bool)| {
        assert!(
            all.iter().any(|(id, level, said, remedy)| {
                (id.as_str(), level.as_str(), *remedy) == (of.0, of.1, of.3) && said.contains(of.2)
            }),
            "{of:?}: {all:#?}"
        );
    };
    // Of one that was never run here its first start is said instead.
    let known = world.dir.join("home/.claude.json");
    fs::write(known, r#"{"hasCompletedOnboarding": true}"#).unwrap();
    without(|_| "--nothing-of-that-name");
    let well = said(&world);
    for Kind { id, program, .. } in KINDS {
        has(&well, (id, "PASS", &format!("{bin}/{program}, version "), false));
        has(
            &well,
            (id, "PASS", "knows every option that it is started with", false),
        );
        has(&well, (id, "PASS", "trust: ", false));
        has(&well, (id, "WARN", "login: no login is found", true));
        let fails = |(known, level, ..): &&(String, String, String, bool)| known == id && level == "FAIL";
        assert_eq!(well.iter().find(fails), None);
    }
    without(|kind| kind.option);
    let ill = said(&world);
    for Kind { id, option, .. } in KINDS {
        has(&ill, (id, "FAIL", &format!("does not know {option}"), true));
    }
}
