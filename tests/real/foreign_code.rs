//! The code of a stranger: an agent asks whether it is to be trusted, and nobody but a person says so.

use std::os::unix::fs::PermissionsExt as _;

use ao_tests::github::{GitHub, Home, Pull};
use ao_tests::{World, settle};
use camino::Utf8PathBuf;
use serde_json::{Value, json};

use crate::agent::{Real, offline};
use crate::kinds::{CLAUDE, Kind};
use crate::table::{note, passed};

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
    settle("it begins with its prompt, and then is told what waited", || {
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

/// The steps of the table that have a world of their own.
macro_rules! strangers {
    ([$($name:ident $kind:ident)*]) => {
        $(
            mod $name {
                #[test]
                fn a_stranger_s_code_is_asked_about_and_an_answer_closes_that() {
                    super::super::a_stranger_s_code_is_asked_about(&crate::kinds::$kind);
                }

                #[test]
                fn a_stranger_s_code_is_asked_about_where_it_may_do_everything() {
                    super::super::a_stranger_s_code_is_asked_about_whatever_it_may_do(&crate::kinds::$kind);
                }

                #[test]
                fn a_stranger_s_code_is_no_person_s_who_trusts_the_repository() {
                    super::super::a_stranger_s_code_is_no_person_s(&crate::kinds::$kind);
                }
            }
        )*
    };
}

mod strangers {
    each_kind! { strangers }
}

/// A pull request of a fork is worked on: its agent asks, nothing is typed meanwhile, and a person's answer closes it and says whose it was.
fn a_stranger_s_code_is_asked_about(kind: &'static Kind) {
    const STEP: &str = "asks whether a stranger's code is trusted, and an answer closes that";
    let Some(stage) = Stage::set(kind, "a_stranger_s_code_is_asked_about") else {
        return;
    };
    let real = &stage.real;
    // The person's own code first, also as a pull request, which is not asked about: that says nothing of what comes after it.
    let number = stage.pull("feature", Home::Same);
    for more in [&[] as &[&str], &["--claim-pr", &number]] {
        let own = real.spawn(more, "STUB: say mine");
        settle("it works unasked", || {
            let session = real.world.session(&own);
            assert_ne!(session["status"], "needs_input", "{more:?}: {session:#}");
            session["lastMessage"] == "mine"
        });
        let session = real.world.session(&own);
        assert_eq!(
            (&session["foreignCode"], &session["dialog"]),
            (&json!(false), &Value::Null),
            "{more:?}"
        );
        real.kill(&own, &[]);
    }
    let _ = std::fs::remove_file(stage.theirs()); // what is their own may be run
    asks_about_a_stranger_s(&stage, &[]);
    match kind.stranger {
        Ok(_) => passed(real, STEP),
        Err(why) => note(kind, STEP, why),
    }
}

/// The same where it may do everything else without asking.
fn a_stranger_s_code_is_asked_about_whatever_it_may_do(kind: &'static Kind) {
    let test = "a_stranger_s_code_is_asked_about_whatever_it_may_do";
    if let Some(stage) = Stage::set(kind, test) {
        asks_about_a_stranger_s(&stage, &["--permissions", "bypass-permissions"]);
    }
}

/// It asks about a pull request of a fork, and an answer closes that; or what that brings for it is left out.
fn asks_about_a_stranger_s(stage: &Stage, more: &[&str]) {
    let real = &stage.real;
    let number = stage.pull("patch", Home::Fork("stranger/web".to_owned()));
    let id = real.spawn(
        &[&["--claim-pr", number.as_str()], more].concat(),
        "STUB: say begun",
    );
    if let Ok(yes) = real.kind.stranger {
        return assert_asks(stage, &id, yes);
    }
    settle("it begins with its prompt", || {
        real.model.turns_with("STUB: say begun") == 1
    });
    assert_eq!(real.world.session(&id)["foreignCode"], true);
    real.until(&id, "mergeable");
    assert!(!stage.theirs().exists(), "what a stranger brought was run");
}

/// A person has trusted their own checkout, or what it lies in, as the agent itself writes that down. That says nothing of a stranger's
/// code in a worktree of it: the agent asks all the same, or is not started.
fn a_stranger_s_code_is_no_person_s(kind: &'static Kind) {
    const STEP: &str = "asks about it also where a person trusts the repository";
    let Some(stage) = Stage::set_with(kind, "a_stranger_s_code_is_no_person_s", |world| {
        (kind.trusts)(world);
    }) else {
        return;
    };
    let real = &stage.real;
    let number = stage.pull("patch", Home::Fork("stranger/web".to_owned()));
    match (kind.stranger, kind.warned) {
        (Err(why), _) => return note(kind, STEP, why),
        (Ok(yes), None) => {
            let id = real.spawn(&["--claim-pr", &number], "STUB: say begun");
            assert_asks(&stage, &id, yes);
        }
        (Ok(_), Some((said, how))) => {
            let refused = real
                .world
                .ao(&["spawn", "--project", "web", "--claim-pr", &number]);
            assert!(
                refused.err.contains(said) && refused.err.contains(real.world.repo.as_str()),
                "{refused:?}"
            );
            let failed = real.world.session("web-1");
            assert_eq!(
                (&failed["status"], &failed["agentPid"]),
                (&json!("failed"), &Value::Null),
                "{failed:#}"
            );
            return note(kind, STEP, how);
        }
    }
    passed(real, STEP);
}

/// A stranger's code is asked about, nothing is typed and nothing run meanwhile, and an answer closes that.
fn assert_asks(stage: &Stage, id: &str, yes: &str) {
    let real = &stage.real;
    let begun = |times: usize| {
        settle("it begins with its prompt, once", || {
            real.model.turns_with("STUB: say begun") == times
        });
    };
    let asks = real.until(id, "needs_input");
    settle("the question is read", || {
        real.world.session(id)["dialog"].is_object()
    });
    let dialog = real.world.session(id)["dialog"].clone();
    assert_eq!(asks["foreignCode"], true);
    assert!(text_of(&dialog).to_lowercase().contains("trust"), "{dialog:#}");
    let reason = real.world.session(id)["reason"].to_string().to_lowercase();
    assert!(reason.contains("trust"), "{reason}");
    let typed = real.typed(id);
    assert_eq!((typed.len(), real.model.turns_with("STUB: say begun")), (0, 0));
    assert!(
        !stage.theirs().exists(),
        "what a stranger brought was run unasked"
    );
    let choices = dialog["choices"].as_array().unwrap();
    let is_yes = |choice: &&Value| {
        choice["label"]
            .as_str()
            .is_some_and(|label| label.starts_with(yes))
    };
    let key = choices
        .iter()
        .find(is_yes)
        .unwrap_or_else(|| panic!("{dialog:#}"))["key"]
        .as_str()
        .unwrap();
    real.world.ao(&["session", "answer", id, key]).ok();
    begun(1);
    assert_eq!(real.world.session(id)["dialog"], Value::Null);
    // Once a person has said so it may be, where that is what they were asked.
    if real.kind.runs_theirs {
        settle("what it was trusted with is run", || stage.theirs().exists());
    } else {
        assert!(!stage.theirs().exists(), "what a stranger brought was run");
    }
    let messages = real.messages(id);
    let answer = messages
        .iter()
        .find(|message| message["kind"] == "answer")
        .unwrap();
    assert_eq!(
        (&answer["by"], &answer["state"]),
        (&json!("person"), &json!("accepted"))
    );
}
