//! A daemon and a forge: what `ao status`, `ao doctor` and `ao` say of its token, and a server of an enterprise's own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ao_tests::github::{Check, GitHub, Side};
use ao_tests::{World, settle};
use serde_json::{Value, json};

use crate::AO;

const REPO: &str = "acme/web";

/// A token that nothing else looks like.
const TOKEN: &str = "t0-of-octocat";

/// A forge that lets [`TOKEN`] in, and a world without a daemon whose repository is at `host`.
fn world(host: &str) -> (World, GitHub) {
    let github = GitHub::now();
    github.token(TOKEN, "octocat").repository(REPO);
    let mut world = World::new(AO);
    let remote = format!("https://{host}/{REPO}.git");
    world.git(&["remote", "add", "origin", &remote]);
    world.set("AO_FORGE_TICK", "200ms");
    (world, github)
}

/// The only host of which `ao status` tells.
fn host(world: &World) -> Value {
    let status = world.ao(&["--json", "status"]).ok().json();
    let gateways = status["gateways"].as_array().cloned().unwrap_or_default();
    assert!(gateways.len() <= 1, "{gateways:?}");
    gateways.into_iter().next().unwrap_or_default()
}

/// What the doctor says of it: how bad, in words, and what to do.
fn finding(world: &World) -> (Value, Value, Value) {
    let report = world.ao(&["--json", "doctor"]).json();
    let mut checks = report["checks"].as_array().unwrap().iter();
    let found = checks.find(|check| check["name"] == "daemon-token").unwrap();
    (
        found["level"].clone(),
        found["message"].clone(),
        found["remedy"].clone(),
    )
}

/// Asserts that everything a person can ask says `line` of the host, with this `remedy` and this `command` to type.
fn assert_told(world: &World, level: &str, line: &str, remedy: &str, command: &str) {
    let (found, message, told) = finding(world);
    assert_eq!((found, told), (json!(level), json!(remedy)), "{message}");
    assert!(
        message.as_str().is_some_and(|text| text.starts_with(line)),
        "{message}"
    );
    let doctor = world.ao(&["doctor"]);
    assert!(
        doctor.out.contains(&format!("{level} daemon-token: {line}")) && doctor.out.contains(remedy),
        "{}",
        doctor.out
    );
    let (status, overview) = (world.ao(&["status"]).ok().out, world.ao(&[]).ok().out);
    for said in [&status, &overview] {
        let at = said.lines().position(|text| text.trim().starts_with(line));
        let next = at.and_then(|at| said.lines().nth(at + 1));
        assert_eq!(next.map(str::trim), Some(remedy), "{said}");
    }
    let wants = world.ao(&["--json"]).ok().json()["wants"].take();
    let wanted = wants
        .as_array()
        .unwrap()
        .iter()
        .find(|want| want["what"] == "token");
    assert_eq!(wanted.unwrap()["command"], command, "{wants}");
}

/// Asserts that nothing is wrong with the token any more.
fn assert_taken(world: &World, line: &str) {
    let (level, message, remedy) = finding(world);
    assert_eq!((level, remedy), (json!("PASS"), Value::Null), "{message}");
    let status = world.ao(&["status"]).ok().out;
    assert!(status.contains(line), "{status}");
    let wants = world.ao(&["--json"]).ok().json()["wants"].take();
    let wants = wants.as_array().unwrap();
    assert!(wants.iter().all(|want| want["what"] != "token"), "{wants:?}");
    assert!(host(world)["trouble"].is_null());
}

fn is(world: &World, token: &str) -> bool {
    host(world)["token"] == token
}

#[test]
fn a_refused_token_is_said_with_what_to_do_until_it_is_taken() {
    let (mut world, github) = world("github.com");
    world.set("AO_GITHUB_API", &github.url());
    world.set("GITHUB_TOKEN", TOKEN);
    github.revoke(TOKEN);
    let (id, number) = world.start_with_a_pull_request(&github, REPO);
    settle("the token is refused", || is(&world, "refused"));
    assert_told(
        &world,
        "FAIL",
        "github.com: the token was refused (GITHUB_TOKEN)",
        "set another GITHUB_TOKEN for the daemon, and start it again",
        "ao doctor",
    );
    assert_eq!(world.ao(&["doctor"]).code, 1);
    assert!(world.session(&id)["prs"].as_array().is_none_or(Vec::is_empty));
    github.token(TOKEN, "octocat");
    settle("the token is taken", || is(&world, "accepted"));
    settle("the pull request is found", || {
        world.session(&id)["prs"][0]["number"] == number
    });
    assert_taken(&world, "github.com: token accepted (GITHUB_TOKEN)");
    let said = [
        world.ao(&["doctor"]).out,
        world.ao(&["--json", "status"]).out,
        world.log(),
    ];
    assert!(!said.concat().contains(TOKEN), "the token is shown");
}

#[test]
fn a_missing_token_is_said_with_what_to_do_until_it_is_there_and_not_of_a_host_that_nobody_asks() {
    let (mut world, github) = world("github.com");
    world.set("AO_GITHUB_API", &github.url());
    let bin = world.dir.join("bin");
    fs::create_dir_all(&bin).unwrap();
    let kept = world.dir.join("kept");
    let script = format!("#!/bin/sh\nread -r token < {kept} && echo \"$token\"\n");
    fs::write(bin.join("gh"), script).unwrap();
    fs::set_permissions(bin.join("gh"), fs::Permissions::from_mode(0o755)).unwrap();
    world.set("PATH", &format!("{bin}:/usr/local/bin:/usr/bin:/bin"));
    let (id, number) = world.start_with_a_pull_request(&github, REPO);
    settle("no token is found", || is(&world, "missing"));
    assert_told(
        &world,
        "WARN",
        "github.com: no token was found",
        "gh auth login, or set GITHUB_TOKEN for the daemon, and start it again",
        "gh auth login",
    );
    assert!(github.requests().is_empty(), "somebody asked without a token");
    fs::write(&kept, format!("{TOKEN}\n")).unwrap();
    settle("the token is taken", || is(&world, "accepted"));
    settle("the pull request is found", || {
        world.session(&id)["prs"][0]["number"] == number
    });
    assert_taken(&world, "github.com: token accepted (gh auth token)");
    // It is gone again; but nobody asks there any more.
    fs::remove_file(&kept).unwrap();
    github.revoke(TOKEN);
    settle("the token is refused or missing", || !is(&world, "accepted"));
    world.ao(&["session", "kill", &id]).ok();
    world.until(&id, "phase", "ended");
    world.ao(&["project", "rm", "web", "--yes"]).ok();
    assert_eq!(host(&world), Value::Null);
    for said in [world.ao(&["status"]).ok().out, world.ao(&[]).ok().out] {
        assert!(!said.contains("github.com"), "{said}");
    }
    let doctor = world.ao(&["doctor"]).out;
    assert!(!doctor.contains("daemon-token"), "{doctor}");
}

#[test]
fn a_server_of_an_enterprise_s_own_is_asked_where_it_is_with_its_own_token() {
    const HOST: &str = "ghe.corp.example";
    let (mut world, github) = world(HOST);
    github.web(&format!("https://{HOST}"));
    world.set("AO_GITHUB_HOSTS", &format!("{HOST}={}/api/v3", github.url()));
    world.set("GITHUB_TOKEN", "for-github-only");
    let (id, number) = {
        // Nothing that is for GitHub is for it.
        let made = world.start_with_a_pull_request(&github, REPO);
        settle("no token is found", || is(&world, "missing"));
        assert_told(
            &world,
            "WARN",
            &format!("{HOST}: no token was found"),
            &format!(
                "gh auth login --hostname {HOST}, or set GH_ENTERPRISE_TOKEN for the daemon, and start it again"
            ),
            &format!("gh auth login --hostname {HOST}"),
        );
        assert!(github.requests().is_empty(), "{:?}", github.requests());
        made
    };
    world.kill_9();
    world.set("GH_ENTERPRISE_TOKEN", TOKEN);
    world.start();
    settle("its pull request is found", || {
        world.session(&id)["prs"][0]["number"] == number
    });
    assert_taken(&world, &format!("{HOST}: token accepted (GH_ENTERPRISE_TOKEN)"));
    let head = world.session(&id)["prs"][0]["head"].as_str().unwrap().to_owned();
    let job = github.check(REPO, &head, Check::job("test"));
    github.begin(job);
    settle("its check is shown", || {
        world.session(&id)["prs"][0]["ci"] == "pending"
    });
    github.finish(job, "FAILURE");
    settle("it has failed", || {
        world.session(&id)["prs"][0]["ci"] == "failing"
    });
    let pr = world.session(&id)["prs"][0].take();
    assert_eq!(pr["failing"], json!(["CI / test"]), "{pr}");
    assert_eq!(pr["url"], format!("https://{HOST}/{REPO}/pull/{number}"));
    let listed = world.ao(&["pr", "ls"]).ok().out;
    assert!(
        listed.contains(&format!("#{number}")) && listed.contains("failing"),
        "{listed}"
    );
    let requests = github.requests();
    for request in requests.iter().filter(|request| request.side != Side::Logs) {
        let is_there = request.target.starts_with("/api/v3/repos/") || request.target == "/api/graphql";
        assert!(is_there, "{}", request.target);
        assert_eq!(request.token.as_deref(), Some(TOKEN), "{}", request.target);
    }
    for side in [Side::Rest, Side::Graphql] {
        assert!(requests.iter().any(|request| request.side == side), "{side:?}");
    }
}
