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
        put(&world, "claude", &format!("#!/bin/sh\n{script}\n"));
    }
    world.set("PATH", &format!("{bin}:/usr/local/bin:/usr/bin:/bin"));
    world.set("ANTHROPIC_API_KEY", "k");
    // As it is once a person has said that this key is to be used.
    let known = json!({"hasCompletedOnboarding": true, "customApiKeyResponses": {"approved": ["k"]}});
    fs::write(world.dir.join("home/.claude.json"), known.to_string()).unwrap();
    world
}

/// Puts `text` in the place of a program; the first line says what runs it.
fn put(world: &World, program: &str, text: &str) {
    let path = world.dir.join("bin").join(program);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn put_at_home(world: &World, name: &str, text: &str) {
    let path = world.dir.join("home").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Each agent: its id and its program, what that says of itself, the options it is started with, and how a person logged it in.
struct Installed {
    id: &'static str,
    program: &'static str,
    version: &'static str,
    help: &'static str,
    login: (&'static str, &'static str),
    /// A file of its own that has to read.
    record: Option<&'static str>,
}

const ALL: [Installed; 8] = [
    Installed {
        id: "claude-code",
        program: "claude",
        version: "2.1.330",
        help: HELP,
        login: (
            ".claude.json",
            r#"{"hasCompletedOnboarding": true, "oauthAccount": {"emailAddress": "a@b.c"}}"#,
        ),
        record: Some(".claude.json"),
    },
    Installed {
        id: "codex",
        program: "codex",
        version: "0.169.0",
        help: "--no-daemon --dangerously-bypass-hook-trust --ask-for-approval --sandbox --approve-for-me \
               --dangerously-bypass-approvals-and-sandbox --model --config",
        login: (".codex/auth.json", r#"{"OPENAI_API_KEY": "k"}"#),
        record: Some(".codex/config.toml"),
    },
    Installed {
        id: "opencode",
        program: "opencode",
        version: "1.18.33",
        help: "--session --auto --model --prompt",
        login: (
            ".local/share/opencode/auth.json",
            r#"{"x": {"type": "api", "key": "k"}}"#,
        ),
        record: Some(".config/opencode/opencode.json"),
    },
    Installed {
        id: "grok",
        program: "grok",
        version: "1.0.41",
        help: "--resume --session-id --permission-mode --allow --model --rules",
        login: (".grok/auth.json", r#"{"x": {"key": "k"}}"#),
        record: Some(".grok/trusted_folders.toml"),
    },
    Installed {
        id: "qwen",
        program: "qwen",
        version: "0.24.4",
        help: "--resume --session-id --approval-mode --model --append-system-prompt --add-dir --prompt-interactive",
        login: (
            ".qwen/settings.json",
            r#"{"security": {"auth": {"selectedType": "openai", "apiKey": "k"}}}"#,
        ),
        record: Some(".qwen/trustedFolders.json"),
    },
    Installed {
        id: "copilot",
        program: "copilot",
        version: "1.0.102",
        help: "--resume --session-id --plugin-dir --add-dir --allow-tool --allow-all --model --interactive",
        login: (
            ".copilot/config.json",
            "// Its own.\n{\"loggedInUsers\": [{\"login\": \"me\"}], \"trustedFolders\": [\"/w\"]}",
        ),
        record: Some(".copilot/config.json"),
    },
    Installed {
        id: "kimi",
        program: "kimi",
        version: "2.1.0",
        help: "--session --add-dir --yolo --auto --model",
        login: (
            ".kimi-code/config.toml",
            "[providers.mine]\ntype = \"kimi\"\napi_key = \"k\"\n",
        ),
        record: Some(".kimi-code/workspace-trust"),
    },
    Installed {
        id: "cursor",
        program: "cursor-agent",
        version: "2026.09.12-abc",
        help: "--resume --model --force",
        login: (".cursor/cli-config.json", "{}"),
        record: None,
    },
];

impl Installed {
    fn says(&self, version: &str, help: &str) -> String {
        // One says its help where others say errors.
        let to = if self.id == "opencode" { " >&2" } else { "" };
        format!(
            "#!/bin/sh\ncase $1 in --version) echo 'x {version}';; --help) echo '{help}'{to};; *) exit 9;; esac\n"
        )
    }
}

/// A world with all of them, each as a person has it who has logged in, saying this version instead of its own.
fn all_installed(version: Option<&str>) -> World {
    let mut world = world(None);
    world.set("ANTHROPIC_API_KEY", "");
    for agent in &ALL {
        let version = version.unwrap_or(agent.version);
        put(&world, agent.program, &agent.says(version, agent.help));
        put_at_home(&world, agent.login.0, agent.login.1);
    }
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

/// It starts, says its version, takes its options, and its trust and its login are in order.
#[test]
fn each_of_all_agents_is_looked_over_and_well() {
    for (version, said) in [
        (None, ", version "),
        (Some("9999.9"), "is version 9999.9, newer than "),
        (Some("0.0.1"), "is version 0.0.1, older than "),
    ] {
        let world = all_installed(version);
        let (code, checks) = examined(&world, &["--offline"]);
        assert_eq!(code, 0, "{checks:?}");
        for agent in &ALL {
            let its: Vec<_> = checks.iter().filter(|(name, ..)| name == agent.id).collect();
            let (_, level, first) = its[0];
            let path = world.dir.join("bin").join(agent.program);
            assert!(first.starts_with(path.as_str()), "{first}");
            // Of one that nobody has seen a version is no better than another.
            let is_known = agent.id != "cursor";
            assert!(
                first.contains(if is_known { said } else { ", version " }),
                "{first}"
            );
            assert_eq!(level == "PASS", is_known && version.is_none(), "{first}");
            for part in ["knows every option that it is started with", "trust: ", "login: "] {
                assert!(
                    has(&checks, agent.id, "PASS", part),
                    "{} {part}: {its:?}",
                    agent.id
                );
            }
            assert!(its[1..].iter().all(|(_, level, _)| level == "PASS"), "{its:?}");
        }
    }
}

/// Each with something else that is wrong with it, and what cannot be executed at all. That each has its remedy is looked at in `examined`.
#[test]
fn each_of_all_agents_that_is_broken_is_named() {
    let world = all_installed(None);
    for (script, said) in [
        (
            "\x7fELF is what it begins with",
            "does not start: Exec format error",
        ),
        (
            "#!/no/such/interpreter\n",
            "does not start: No such file or directory",
        ),
        ("#!/bin/sh\nexit 3\n", "does not start: exit status: 3"),
        ("#!/bin/sh\nkill -9 $$\n", "does not start: signal: 9"),
        ("#!/bin/sh\necho hello\n", "`hello` names no version"),
        ("#!/bin/sh\n", "`` names no version"),
    ] {
        for agent in &ALL {
            put(&world, agent.program, script);
        }
        let (code, checks) = examined(&world, &["--offline"]);
        assert_eq!(code, 0, "{checks:?}");
        for agent in &ALL {
            assert!(has(&checks, agent.id, "WARN", said), "{}: {checks:?}", agent.id);
        }
    }
    for agent in &ALL {
        put(&world, agent.program, &agent.says("0.0.1", "--nothing"));
    }
    let (code, checks) = examined(&world, &["--offline"]);
    assert_eq!(code, 1);
    for agent in &ALL {
        let option = agent.help.split(' ').next().unwrap();
        let said = format!("does not know {option}");
        assert!(has(&checks, agent.id, "FAIL", &said), "{}: {checks:?}", agent.id);
    }
}

/// What an agent keeps of trust has to read: without it no worktree is recorded, or a session for a stranger's code fails.
#[test]
fn what_each_agent_keeps_has_to_read() {
    let world = all_installed(None);
    for agent in &ALL {
        if let Some(record) = agent.record {
            put_at_home(&world, record, "= { neither of them");
        }
    }
    let (code, checks) = examined(&world, &["--offline"]);
    assert_eq!(code, 1);
    for agent in &ALL {
        let Some(record) = agent.record else { continue };
        let is_its = |(name, level, said): &&(String, String, String)| {
            name == agent.id && level == "FAIL" && said.contains(record)
        };
        assert!(
            checks.iter().any(|check| is_its(&check)),
            "{}: {checks:?}",
            agent.id
        );
    }
}

/// Before somebody claims a stranger's pull request: which agent would not ask about it, in which projects, and by what.
#[test]
fn what_keeps_an_agent_from_a_strangers_code_is_named() {
    let mut world = all_installed(None);
    let copilot = |world: &World, folder: &str| {
        let text = json!({"loggedInUsers": [{"login": "me"}], "trustedFolders": ["/w", folder]});
        put_at_home(world, ".copilot/config.json", &text.to_string());
    };
    let grok = |world: &World, folder: &str| {
        let text = format!("[folders.\"{folder}\"]\ntrusted = true\n");
        put_at_home(world, ".grok/trusted_folders.toml", &text);
    };
    let said = |world: &World| -> Vec<(String, String)> {
        let (code, checks) = examined(world, &["--offline"]);
        assert_eq!(code, 0, "it is nothing for a person's own code: {checks:?}");
        let named = checks
            .into_iter()
            .filter(|(_, _, said)| said.contains("no session begins with it"));
        named
            .map(|(agent, level, said)| {
                assert_eq!(level, "WARN");
                (agent, said)
            })
            .collect()
    };
    // Without a daemon nobody knows the projects; where worktrees lie is known.
    let (dir, repo) = (world.dir.to_string(), world.repo.to_string());
    grok(&world, &repo);
    copilot(&world, &repo);
    assert_eq!(said(&world), []);
    copilot(&world, &dir);
    let [(agent, line)] = &said(&world)[..] else {
        panic!("it is one")
    };
    assert_eq!(agent, "copilot");
    assert!(
        line.contains(&format!("trusts `{dir}`: of a stranger's code in any worktree")),
        "{line}"
    );
    world.begin();
    // Where the worktrees of its project lie, which a launch would look at; the other remembers whole repositories.
    let own = format!("{}/worktrees/web", world.data);
    grok(&world, &own);
    copilot(&world, &own);
    let [(agent, line)] = &said(&world)[..] else {
        panic!("it is one")
    };
    assert_eq!(agent, "copilot");
    assert!(line.contains(&format!("trusts `{own}`")), "{line}");
    grok(&world, &repo);
    copilot(&world, &repo);
    let lines = said(&world);
    let agents: Vec<&str> = lines.iter().map(|(agent, _)| agent.as_str()).collect();
    assert_eq!(agents, ["grok", "copilot"], "each with what else is said of it");
    for ((_, line), file) in lines
        .iter()
        .zip([".grok/trusted_folders.toml", ".copilot/config.json"])
    {
        let wanted = format!(
            "{file}` trusts `{repo}`: of a stranger's code in a worktree of `{repo}` it would not ask"
        );
        assert!(line.contains(&wanted), "{line}");
    }
    // Of one that is not installed nothing is said.
    fs::remove_file(world.dir.join("bin/grok")).unwrap();
    let lines = said(&world);
    assert!(lines.len() == 1 && lines[0].0 == "copilot", "{lines:?}");
    copilot(&world, "/somewhere");
    assert_eq!(said(&world), []);
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
        put(&world, program, &format!("#!/bin/sh\n{script}\n"));
    }
    put_at_home(&world, ".codex/config.toml", "[");
    let (code, checks) = examined(&world, &["--offline"]);
    assert_eq!(code, 1);
    for (id, level, said) in [
        ("codex", "PASS", "/bin/codex, version 0.169.0"),
        ("codex", "FAIL", "config.toml` does not read"),
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
    for (script, level, part) in [
        ("echo zellij 0.44.3", "PASS", "zellij 0.44.3"),
        ("echo zellij 0.43.9", "FAIL", "is too old"),
        ("echo hello", "FAIL", "names no version"),
        ("exit 1", "FAIL", "failed"),
    ] {
        put(&world, "zellij", &format!("#!/bin/sh\n{script}\n"));
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

/// A login in the daemon's environment is enough where it was never run: its first session asks nothing.
#[test]
fn a_login_in_the_environment_is_no_first_start() {
    let mut world = world(Some(&claude("2.1.330", HELP)));
    world.set("ANTHROPIC_API_KEY", "");
    fs::remove_file(world.dir.join("home/.claude.json")).unwrap();
    let said = "it was never run here";
    let (_, checks) = examined(&world, &["--offline"]);
    assert!(has(&checks, "claude-code", "WARN", said), "{checks:?}");
    world.set("ANTHROPIC_AUTH_TOKEN", "t");
    let (_, checks) = examined(&world, &["--offline"]);
    let its: Vec<_> = checks.iter().filter(|(name, ..)| name == "claude-code").collect();
    assert!(its.iter().all(|(_, level, _)| level == "PASS"), "{its:?}");
    assert!(has(&checks, "claude-code", "PASS", "it asks nothing"), "{its:?}");
}

/// A key in the daemon's environment that nobody has approved is a question at its start.
#[test]
fn a_key_that_claude_code_would_ask_about_is_named() {
    let mut world = world(Some(&claude("2.1.330", HELP)));
    assert!(has(
        &examined(&world, &["--offline"]).1,
        "claude-code",
        "PASS",
        "it asks nothing"
    ));
    world.set("ANTHROPIC_API_KEY", "another");
    let (code, checks) = examined(&world, &["--offline"]);
    assert_eq!(code, 0);
    let said = "it asks whether ANTHROPIC_API_KEY is to be used, where No is the first choice";
    assert!(has(&checks, "claude-code", "WARN", said), "{checks:?}");
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
