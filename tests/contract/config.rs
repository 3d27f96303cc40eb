//! What `ao project set-config` sets is what the sessions of the project are made with; what a spawn says goes first.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ao_tests::{Ao, World, settle};
use camino::Utf8Path;
use serde_json::{Value, json};

use crate::AO;

fn set(world: &World, flags: &[&str]) -> Ao {
    world.ao(&[&["project", "set-config", "web"][..], flags].concat())
}

/// Spawns `command` with `flags`, and gives its session.
fn spawned(world: &World, flags: &[&str], command: &[&str]) -> Value {
    let words = [
        &["spawn", "--project", "web", "--json"][..],
        flags,
        &["--"],
        command,
    ];
    world.ao(&words.concat()).ok().json()["session"].clone()
}

/// An executable of this world in the place of the program `name`.
fn program(world: &mut World, name: &str, script: &str) {
    let bin = world.dir.join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    world.set("PATH", &format!("{bin}:/usr/local/bin:/usr/bin:/bin"));
}

/// What the file is once somebody has written it whole, that is with `end` at its end.
fn written(file: &Utf8Path, end: &str) -> String {
    settle(&format!("{file} is written"), || {
        fs::read_to_string(file).is_ok_and(|text| text.ends_with(end))
    });
    fs::read_to_string(file).unwrap()
}

#[test]
fn a_projects_default_branch_is_what_new_worktrees_start_from_and_a_spawns_base_goes_first() {
    let world = World::started(AO);
    for branch in ["other", "third"] {
        world.git(&["checkout", "-q", "-b", branch, "main"]);
        fs::write(world.repo.join(branch), "").unwrap();
        world.git(&["add", "."]);
        world.git(&["commit", "-q", "-m", branch]);
    }
    world.git(&["checkout", "-q", "main"]);
    set(&world, &["--default-branch", "other"]).ok();
    for (flags, base) in [
        (&[][..], "other"),
        (&["--base", "third"][..], "third"),
        (&["--base", "main"][..], "main"),
    ] {
        let session = spawned(&world, flags, &["sleep", "1000"]);
        assert_eq!(session["base"], base, "{session}");
        let worktree = Utf8Path::new(session["worktree"]["path"].as_str().unwrap());
        for branch in ["other", "third"] {
            assert_eq!(worktree.join(branch).exists(), branch == base, "{session}");
        }
        assert_eq!(
            world.git_in(worktree, &["rev-parse", "HEAD"]),
            world.git(&["rev-parse", base])
        );
    }
}

/// The daemon's word is the last, the project's goes before it, and a spawn's before both.
#[test]
fn a_projects_runtime_goes_before_the_daemons_and_a_spawns_before_both() {
    let mut world = World::new(AO);
    program(&mut world, "zellij", "echo zellij 0.44.2"); // too old, so that whoever is to use it says so
    world.set("AO_RUNTIME", "zellij");
    world.begin();
    let run = |flags: &[&str]| {
        world.ao(&[
            &["spawn", "--project", "web"][..],
            flags,
            &["--", "sleep", "1000"],
        ]
        .concat())
    };
    let in_zellij = |said: &Ao| said.code == 1 && said.err.contains("zellij 0.44.2");
    let said = run(&[]);
    assert!(in_zellij(&said), "{said:?}");
    set(&world, &["--runtime", "pty"]).ok();
    let session = spawned(&world, &[], &["sleep", "1000"]);
    assert_eq!(session["runtime"], "pty", "{session}");
    let said = run(&["--runtime", "zellij"]);
    assert!(in_zellij(&said), "{said:?}");
    set(&world, &["--runtime", "zellij"]).ok();
    let session = spawned(&world, &["--runtime", "pty"], &["sleep", "1000"]);
    assert_eq!(session["runtime"], "pty", "{session}");
    let said = set(&world, &["--runtime", "screen"]);
    assert!(said.code == 1 && said.err.contains("screen"), "{said:?}");
}

/// Only the keys that are given change; all of them go by one word.
#[test]
fn what_is_set_stays_until_it_is_unset_or_all_of_it_is_cleared() {
    let world = World::started(AO);
    let seen = |name: &str| {
        let file = world.dir.join(name);
        let script = format!("echo \"$A,$B.\" > {file}; exec sleep 1000");
        spawned(&world, &[], &["sh", "-c", &script]);
        written(&file, ".\n")
    };
    let said = set(&world, &["--env", "A=1", "--session-prefix", "shop"])
        .ok()
        .out;
    assert!(
        said.contains("\n  env.A: 1\n") && said.contains("\n  sessionPrefix: shop\n"),
        "{said}"
    );
    // Reviews are not there yet; whoever sets up a project as the original has it keeps what they set.
    let reviewers = ["--reviewer", "claude-code", "--reviewer", "shell"];
    let said = set(&world, &reviewers).ok().out;
    assert!(said.contains("reviewers: {\"harness\":\"shell\"}"), "{said}");
    let project = world.ao(&["project", "get", "web", "--json"]).ok().json()["project"].clone();
    assert_eq!(
        project["config"]["reviewers"],
        json!([{"harness": "claude-code"}, {"harness": "shell"}])
    );
    let said = set(&world, &["--reviewer", "nobody"]);
    assert!(said.code == 1 && said.err.contains("known are"), "{said:?}");
    let said = set(&world, &["--env", "B=2=3"]).ok().out;
    for line in ["env.A: 1", "env.B: 2=3", "sessionPrefix: shop"] {
        assert!(said.contains(&format!("\n  {line}\n")), "{line}: {said}");
    }
    assert_eq!(seen("both"), "1,2=3.\n");
    // What people read it as; ids are made from the project's.
    let listed = world.ao(&["project", "ls"]).ok().out;
    assert!(listed.contains("shop"), "{listed}");
    assert_eq!(
        world.get("/api/v1/sessions")["sessions"][0]["id"],
        "web-1",
        "an id is no matter of taste"
    );
    set(&world, &["--unset", "env.A"]).ok();
    assert_eq!(seen("one"), ",2=3.\n");
    let said = set(&world, &["--clear"]).ok().out;
    assert!(said.contains("nothing is set"), "{said}");
    assert_eq!(seen("none"), ",.\n");
    // With something to set, that alone is left.
    set(&world, &["--env", "A=1"]).ok();
    let said = set(&world, &["--clear", "--env", "B=2"]).ok().out;
    assert!(said.contains("env.B: 2") && !said.contains("env.A"), "{said}");
    let said = set(&world, &[]);
    assert!(
        said.code == 2 && said.err.contains("nothing is given to set"),
        "{said:?}"
    );
}

/// What would change nothing because it is no key is a slip of the finger, and told with what was meant.
#[test]
fn a_key_that_is_none_is_refused_and_the_nearest_is_named() {
    let world = World::started(AO);
    set(&world, &["--env", "A=1", "--model", "general"]).ok();
    for (flags, parts) in [
        (
            ["--unset", "agentConfig.modell"],
            [
                "there is no key `agentConfig.modell`",
                "did you mean `agentConfig.model`?",
            ],
        ),
        (
            ["--unset", "postcreate"],
            ["there is no key `postcreate`", "did you mean `postCreate`?"],
        ),
        (
            ["--unset", "model"],
            ["there is no key `model`", "did you mean `agentConfig.model`?"],
        ),
        (
            ["--unset", "nope"],
            [
                "there is no key `nope`",
                "the keys are defaultBranch, sessionPrefix, env,",
            ],
        ),
        (
            ["--config-json", r#"{"symlinks":"a"}"#],
            ["`symlinks`: invalid type", "expected a sequence"],
        ),
    ] {
        let said = set(&world, &flags);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{flags:?}: {said:?}");
        for part in parts {
            assert!(said.err.contains(part), "{part}: {said:?}");
        }
    }
    // Whoever takes a variable away twice has what they wanted.
    set(&world, &["--unset", "env.A"]).ok();
    let said = set(&world, &["--unset", "env.A"]).ok().out;
    assert!(
        said.contains("agentConfig.model: general") && !said.contains("env"),
        "{said}"
    );
}

/// What is set for workers goes before what is set for all; and rules are the file as it was.
#[test]
fn each_role_has_its_own_model_where_one_is_set_and_all_have_the_rules_of_the_file() {
    let mut world = World::new(AO);
    // In the place of Claude Code: writes down what it was started with.
    program(
        &mut world,
        "claude",
        "for word; do printf '%s\\n' \"$word\"; done >\"$HOME/draft\"; echo end >>\"$HOME/draft\"\n\
         mv \"$HOME/draft\" \"$HOME/$AO_SESSION_ID\"; exec sleep 1000",
    );
    world.begin();
    let rules = world.dir.join("rules.md");
    fs::write(&rules, "be brief\nand kind\n").unwrap();
    let agents = [
        "--worker-agent",
        "claude-code",
        "--orchestrator-agent",
        "claude-code",
    ];
    set(&world, &[&agents[..], &["--model", "general"]].concat()).ok();
    // By a name that the caller's folder has, not the daemon's.
    let said = world.ao_in(
        &world.dir,
        &["project", "set-config", "web", "--rules-file", "rules.md"],
    );
    assert!(
        said.ok().out.contains("rules: be brief (and 1 more lines)"),
        "it is shown"
    );
    set(
        &world,
        &["--config-json", r#"{"worker":{"agentConfig":{"model":"w"}}}"#],
    )
    .ok();
    // The file may change: what was set was its text.
    fs::write(&rules, "be long\n").unwrap();
    let told = |words: &[&str]| {
        let said = world.ao(&[words, &["--project", "web", "--json"]].concat()).ok();
        let id = said.json()["session"]["id"].as_str().unwrap().to_owned();
        written(&world.dir.join("home").join(id), "end\n")
    };
    for (words, model) in [
        (&["orchestrator", "start"][..], "general"),
        (&["spawn", "--prompt", "work"][..], "w"),
        (&["spawn", "--prompt", "work", "--model", "mine"][..], "mine"),
    ] {
        let told = told(words);
        assert!(told.contains(&format!("--model\n{model}\n")), "{model}: {told}");
        assert!(told.contains("be brief\nand kind"), "{told}");
    }
}
