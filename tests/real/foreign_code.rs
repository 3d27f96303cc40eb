//! The code of a stranger: an agent asks whether it is to be trusted, and nobody but a person says so.

use std::os::unix::fs::PermissionsExt as _;

use ao_tests::World;
use ao_tests::github::{GitHub, Home, Pull};
use camino::Utf8PathBuf;
use serde_json::{Value, json};

use crate::agent::{Real, offline};
use crate::kinds::{CLAUDE, Kind};

const REPO: &str = "acme/web";
const ORIGIN: &str = "https://github.com/acme/web.git";

pub(crate) struct Stage {
    pub(crate) real: Real,
    github: GitHub,
    bare: Utf8PathBuf,
}

/// What a test that fails leaves to look at.
impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{:#}", self.real.world.session("web-1"));
            println!("{}", self.real.world.ao(&["logs", "web-1"]).out);
        }
    }
}

impl Stage {
    /// The real program, and a repository whose remote is at a forge and lies in a folder, as that of every pull request does.
    pub(crate) fn set(kind: &'static Kind, test: &str) -> Option<Stage> {
        Self::set_with(kind, test, |_| {})
    }

    /// The same in a world that `ready` makes ready before its daemon is started.
    pub(crate) fn set_with(kind: &'static Kind, test: &str, ready: impl FnOnce(&mut World)) -> Option<Stage> {
        offline();
        let github = GitHub::now();
        github.token("t0", "octocat").repository(REPO);
        let (mut bare, api) = (Utf8PathBuf::new(), github.url());
        let real = Real::of_with(kind, test, |world| {
            bare = world.dir.join("remote.git");
            world.git(&["init", "-q", "--bare", bare.as_str()]);
            world.git(&["remote", "add", "origin", ORIGIN]);
            world.git(&["config", &format!("url.{bare}.insteadOf"), ORIGIN]);
            world.git(&["push", "-q", "origin", "main"]);
            world.set("AO_GITHUB_API", &api);
            world.set("GITHUB_TOKEN", "t0");
            world.set("AO_FORGE_TICK", "200ms");
            ready(world);
        })?;
        Some(Stage { real, github, bare })
    }

    /// What there is once something was run that a pull request brought.
    pub(crate) fn theirs(&self) -> Utf8PathBuf {
        self.real.world.dir.join("run-by-a-stranger")
    }

    /// A pull request that adds something, by its number.
    pub(crate) fn pull(&self, branch: &str, home: Home) -> String {
        let world = &self.real.world;
        let elsewhere = world.dir.join(branch);
        world.git(&["clone", "-q", self.bare.as_str(), elsewhere.as_str()]);
        let git = |words: &[&str]| world.git_in(&elsewhere, words);
        std::fs::write(elsewhere.join("change.txt"), branch).unwrap();
        // What each would run by itself, in the format of each.
        let touched = self.theirs();
        let write = |name: &str, text: &str| {
            let file = elsewhere.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        let touch = format!("touch {touched}");
        let grouped =
            |event: &str| json!({"hooks": {event: [{"hooks": [{"type": "command", "command": touch}]}]}});
        write(".claude/settings.json", &grouped("SessionStart").to_string());
        write(".qwen/settings.json", &grouped("SessionStart").to_string());
        let hook =
            json!({"hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": "theirs.sh"}]}]}});
        write(".grok/hooks/theirs.json", &hook.to_string());
        write(".grok/hooks/theirs.sh", &format!("#!/bin/sh\n{touch}\n"));
        let script = elsewhere.join(".grok/hooks/theirs.sh");
        std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let hook = json!({"version": 1, "hooks": {"sessionStart": [{"type": "command", "bash": touch}]}});
        write(".github/hooks/theirs.json", &hook.to_string());
        let server = format!("[mcp_servers.theirs]\ncommand = \"touch\"\nargs = [\"{touched}\"]\n");
        write(".codex/config.toml", &server);
        let server = json!({"mcp": {"theirs": {"type": "local", "command": ["touch", touched]}}});
        write("opencode.json", &server.to_string());
        write(
            ".opencode/plugin/theirs.js",
            &format!(
                "export const Theirs = async ({{ $ }}) => {{ await $`touch {touched}`; return {{}} }}\n"
            ),
        );
        let server = json!({"mcpServers": {"theirs": {"command": "touch", "args": [touched]}}});
        write(".kimi-code/mcp.json", &server.to_string());
        git(&["add", "."]);
        git(&["commit", "-qm", branch]);
        let mut pull = Pull::of(branch, git(&["rev-parse", "HEAD"]).trim());
        pull.home = home;
        let number = self.github.open_pr(REPO, pull);
        git(&["push", "-q", "origin", &format!("HEAD:refs/pull/{number}/head")]);
        number.to_string()
    }
}

pub(crate) fn text_of(dialog: &Value) -> String {
    let lines = dialog["text"].as_array().into_iter().flatten();
    lines.filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_stranger_s_code_is_asked_about_nothing_is_typed_and_a_person_s_answer_closes_it() {
    let Some(stage) = Stage::set_with(
        &CLAUDE,
        "foreign_code::a_stranger_s_code_is_asked_about",
        |world| (CLAUDE.trusts)(world),
    ) else {
        return;
    };
    let claude = &stage.real;
    let number = stage.pull("patch", Home::Fork("stranger/web".to_owned()));
    let id = claude.spawn(&["--claim-pr", &number], "STUB: say begun");
    let asks = claude.until(&id, "needs_input");
    assert_eq!(asks["foreignCode"], true);
    let text = text_of(&asks["dialog"]);
    assert!(text.contains("trust"), "{asks:#}");
    let shown = claude.world.ao(&["session", "get", &id]).ok().out;
    assert!(
        shown.contains("foreign code: yes") && shown.contains("trust"),
        "{shown}"
    );
    // What is sent meanwhile waits.
    claude.world.ao(&["send", &id, "STUB: say later"]);
    let still = claude.until(&id, "needs_input");
    assert_eq!(claude.typed(&id), Vec::<Value>::new(), "{still:#}");
    assert_eq!(claude.model.turns_with("STUB: say begun"), 0);

    let choices = asks["dialog"]["choices"].as_array().unwrap();
    let yes = choices
        .iter()
        .find(|choice| {
            choice["label"]
                .as_str()
                .is_some_and(|label| label.starts_with("Yes"))
        })
        .unwrap_or_else(|| panic!("{asks:#}"));
    claude
        .world
        .ao(&["session", "answer", &id, yes["key"].as_str().unwrap()])
        .ok();
    ao_tests::settle("it begins with its prompt, and then is told what waited", || {
        claude.model.turns_with("STUB: say begun") == 1 && claude.model.turns_with("STUB: say later") == 1
    });
    let session = claude.until(&id, "mergeable");
    assert_eq!(session["dialog"], Value::Null);
    let answer = claude
        .messages(&id)
        .into_iter()
        .find(|message| message["kind"] == "answer");
    let answer = answer.unwrap();
    assert_eq!(
        (&answer["by"], &answer["state"]),
        (&json!("person"), &json!("accepted"))
    );
    let listed = claude.world.ao(&["session", "messages", &id]).ok().out;
    assert!(
        listed
            .lines()
            .any(|line| line.contains("a person") && line.contains("Yes")),
        "{listed}"
    );
}
