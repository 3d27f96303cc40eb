use ao_domain::ActivityState;
use serde_json::Value;

use super::*;

pub(crate) fn registry() -> Registry {
    Registry::new(OsStr::new("/usr/bin:/bin"))
}

pub(crate) fn request(command: &[String]) -> LaunchRequest<'_> {
    // The id lives for the whole test run: a request borrows what its caller keeps.
    static SESSION: std::sync::LazyLock<ao_domain::SessionId> =
        std::sync::LazyLock::new(|| "web-1".parse().unwrap());
    LaunchRequest {
        session: &SESSION,
        prompt: None,
        command,
        worktree: "/".into(),
        repo: "/".into(),
        secret: "00112233445566778899aabbccddeeff",
        native_id: None,
        model: None,
        permissions: PermissionMode::Default,
        role: None,
        ao: "/data/bin/ao".into(),
        messages: "/data/messages/web-1".into(),
        files: "/data/agents/any".into(),
        trusted: true,
        env: &[],
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// When everything in these tests is told.
pub(crate) fn at() -> Timestamp {
    "2026-11-29T17:49:13.793Z".parse().unwrap()
}

/// What an agent calls the conversation `native`, where these files are below its user's home, and the name of the note that tells of it.
pub(crate) fn named(agent: &str, native: &str, files: &[(&str, &str)]) -> Option<(String, String)> {
    let home = tempfile::tempdir().unwrap();
    for (file, text) in files {
        let file = home.path().join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let env = [("HOME".to_owned(), home.path().to_str().unwrap().to_owned())];
    let registry = registry();
    let agent = registry.get(agent).unwrap();
    let note = agent.named(native, &env)?;
    // Its name is about the conversation, whenever it was found.
    assert_eq!(note.at, None);
    let signal = agent.signal(note.event, &note.payload, at()).unwrap();
    assert_eq!((signal.state, signal.title), (None, None), "{}", note.payload);
    Some((signal.summary?, note.id))
}

/// That name alone.
pub(crate) fn name(agent: &str, native: &str, files: &[(&str, &str)]) -> Option<String> {
    named(agent, native, files).map(|(name, _)| name)
}

/// What every agent owes, asked of every agent in the registry.
#[test]
fn conformance() {
    let registry = registry();
    for id in registry.ids() {
        let agent = registry.get(id).unwrap();
        assert_eq!(agent.description().id, id);
        assert!(!agent.description().name.is_empty());
        assert_eq!(agent.signal("no such event", "{}", at()), None, "{id}");
        let sheet = SHEETS.iter().find(|sheet| sheet.description.id == id).unwrap();
        for event in sheet.events {
            let always = sheet
                .events
                .iter()
                .find(|known| known.name == event.name && known.when.is_none());
            for payload in ["", "{}", "not json", "[1]", "{\"title\":7}"] {
                let signal = agent.signal(event.name, payload, at()).unwrap();
                assert_eq!(
                    signal.state,
                    always.and_then(|known| known.state),
                    "{id} {} {payload}",
                    event.name
                );
            }
            if let Some((key, words)) = event.when {
                for word in words {
                    let payload = serde_json::json!({ key: word }).to_string();
                    assert_eq!(
                        agent.signal(event.name, &payload, at()).unwrap().state,
                        event.state
                    );
                }
            }
        }
    }
    let unknown = registry.get("cluade").err().unwrap().to_string();
    assert!(
        unknown.contains("cluade") && unknown.contains(&registry.ids().join(", ")),
        "{unknown}"
    );
}

#[test]
fn a_command_line_is_passed_on_as_it_is() {
    let command = words(&["sh", "-c", "echo \"a b\"; $X", "-", "\u{a0}"]);
    let plan = registry().get("shell").unwrap().plan(&request(&command)).unwrap();
    assert!(plan.argv[0].ends_with("/sh") && plan.argv[0].starts_with('/'));
    assert_eq!(plan.argv[1..], command[1..]);
}

#[test]
fn what_cannot_start_is_refused_before_anything_happens() {
    let registry = registry();
    let plan = |command: &[&str]| registry.get("shell").unwrap().plan(&request(&words(command)));
    assert!(matches!(plan(&[]), Err(AgentError::CommandRequired { .. })));
    assert!(matches!(
        plan(&["no-such-program-here"]),
        Err(AgentError::BinaryNotFound { .. })
    ));
    assert!(
        matches!(plan(&["./etc/passwd"]), Err(AgentError::BinaryNotFound { .. })),
        "not executable"
    );
    assert_eq!(plan(&["./bin/sh"]).unwrap().argv, words(&["./bin/sh"]));
    let command = words(&["true"]);
    let with = |model, permissions| {
        let request = LaunchRequest {
            model,
            permissions,
            ..request(&command)
        };
        registry
            .get("shell")
            .unwrap()
            .plan(&request)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        with(Some("m"), PermissionMode::Default),
        "agent `shell` has no model to choose"
    );
    assert_eq!(
        with(None, PermissionMode::Auto),
        "agent `shell` has no permission mode to choose"
    );
    let claude = registry.get("claude-code").unwrap().plan(&request(&command));
    assert!(matches!(claude, Err(AgentError::CommandNotTaken { .. })));
}

#[test]
fn a_word_that_is_too_long_for_a_program_is_refused() {
    let (_home, env) = home();
    let registry = Registry::new("".as_ref());
    let plan = |bytes: usize| {
        let prompt = "x".repeat(bytes);
        let asked = LaunchRequest {
            prompt: Some(&prompt),
            env: &env,
            ..request(&[])
        };
        registry.get("claude-code").unwrap().plan(&asked)
    };
    assert!(plan(launch::WORD_MAX).is_ok());
    let refused = plan(launch::WORD_MAX + 1).unwrap_err();
    assert_eq!(
        refused,
        AgentError::TooLong {
            bytes: 128 * 1024,
            most: 128 * 1024 - 1
        }
    );
}

/// A home in which the program of every agent is, where its installer puts it.
fn home() -> (tempfile::TempDir, Vec<(String, String)>) {
    let home = tempfile::tempdir().unwrap();
    for sheet in SHEETS {
        let Argv::Made { places, .. } = &sheet.argv else {
            continue;
        };
        let program = home.path().join(places[0]);
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::fs::write(&program, "").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let env = vec![("HOME".to_owned(), home.path().to_str().unwrap().to_owned())];
    (home, env)
}

/// Of every agent with a program of its own: a prompt is one word of its command line, whatever is in it, and no shell sees it. One
/// that is told by its first message has nothing of it there.
#[test]
fn a_hostile_prompt_is_one_word_and_arrives_whole() {
    let (_home, env) = home();
    let registry = Registry::new("".as_ref());
    let mut long = "long $(touch x) `touch y` ".repeat(4_000);
    long.truncate(ao_domain::PROMPT_MAX);
    assert_eq!(long.len(), ao_domain::PROMPT_MAX);
    let mut made = 0;
    for sheet in SHEETS {
        let Argv::Made { .. } = &sheet.argv else {
            continue;
        };
        made += 1;
        let agent = registry.get(sheet.description.id).unwrap();
        let plan = |prompt: Option<&str>| {
            let asked = LaunchRequest {
                prompt,
                env: &env,
                ..request(&[])
            };
            agent.plan(&asked)
        };
        let without = plan(None).unwrap().argv;
        for prompt in [
            "it's \"quoted\" 'twice' \\",
            "\\n \\\\ \\\" \\$ \\x1b",
            "two\nlines\r\n\tand a third",
            "$(touch x) `touch y` ${HOME} ; touch z & | > < * ~",
            "--help",
            "-rf",
            "--",
            "-",
            "@file #1 /exit !ls",
            "\u{1b}[31m\u{7f}\u{202e}",
            &long,
        ] {
            let with = plan(Some(prompt)).unwrap().argv;
            if !sheet.description.prompted {
                assert!(sheet.description.takes.is_some(), "it would never be told");
                assert_eq!(with, without, "{}", sheet.description.id);
                continue;
            }
            // Nothing but the prompt, behind its option, is there more.
            let mut added = with.clone();
            for word in &without {
                // What is named anew for each launch is the same here: the secret is.
                let known = added.iter().position(|known| known == word);
                added.remove(known.unwrap_or_else(|| panic!("{word} is gone from {with:?}")));
            }
            assert!(
                (1..=2).contains(&added.len()),
                "{} {added:?}",
                sheet.description.id
            );
            assert!(
                added.last().unwrap().ends_with(prompt),
                "{} {added:?}",
                sheet.description.id
            );
            let option = &added.last().unwrap()[..added.last().unwrap().len() - prompt.len()];
            assert!(option.is_empty() || option.ends_with('='), "{option}");
            assert!(
                option.is_empty() || option.starts_with('-'),
                "{} glues it to {option}",
                sheet.description.id
            );
        }
        let refused = plan(Some("a\0b")).unwrap_err();
        assert_eq!(refused, AgentError::NotText { what: "prompt" });
    }
    assert!(made > 0);
    let command = words(&["echo", "a\0b"]);
    let refused = registry
        .get("shell")
        .unwrap()
        .plan(&request(&command))
        .unwrap_err();
    assert_eq!(refused, AgentError::NotText { what: "command" });
}

/// What a person has in the files that agents keep for them, ours to the side of it or in it.
const THEIRS: &[(&str, &str)] = &[
    (
        ".claude.json",
        "{\"z\": 1.50, \"projects\": {\"/other\": {\"hasTrustDialogAccepted\": false}}}",
    ),
    (".claude/settings.json", "{\"hooks\": {\"Stop\": []}}\n"),
    (
        ".codex/config.toml",
        "model = 'x' # mine\n\n[projects.\"/other\"]\ntrust_level = 'untrusted'\n",
    ),
    (".config/opencode/opencode.json", "{\"plugin\": [\"mine\"]}"),
    (".grok/config.toml", "[cli]\nauto_update = false\n"),
    (".grok/hooks/mine.json", "{\"hooks\": {}}"),
    (".qwen/settings.json", "{\"hooks\": {\"Stop\": [1]}}"),
    (
        ".copilot/config.json",
        "// mine\n{\"trustedFolders\": [\"/other\"], \"n\": 12345678901234567890123}",
    ),
    // Without an end of its last line, and with a hook of the same kind.
    (
        ".kimi-code/config.toml",
        "# mine\r\n[[hooks]]\nevent = \"Stop\"\ncommand = 'echo \"# >>> ao\"'",
    ),
    (
        ".cursor/hooks.json",
        "{\"version\": 1, \"hooks\": {\"stop\": [{\"command\": \"mine\"}]}}",
    ),
];

/// What a repository brings for agents, tracked.
const BROUGHT: &[(&str, &str)] = &[
    (
        ".claude/settings.json",
        "{\"hooks\": {\"Stop\": [{\"hooks\": []}]}}",
    ),
    (".codex/config.toml", "model = 'x' # theirs\n"),
    (".codex/hooks.json", "{\"hooks\": {\"Stop\": []}}\n"),
    (
        ".cursor/hooks.json",
        "{\"version\": 1, \"hooks\": {\"stop\": [{\"command\": \"./own\"}]}}\n",
    ),
    (".github/hooks/own.json", "{\"version\": 1, \"hooks\": {}}"),
    (".grok/hooks/own.json", "{\"hooks\": {\"Stop\": []}}"),
    (
        ".kimi-code/config.toml",
        "# theirs\r\n[[hooks]]\r\nevent = \"Stop\"\r\ncommand = \"own\"",
    ),
    (".qwen/settings.json", "{\"hooks\": {}}"),
    ("opencode.json", "{\"plugin\": [\"./own.js\"]}"),
    ("AGENTS.md", "# Theirs\n"),
    (".gitignore", ".env\n*.local.json\n/.opencode/\n/.copilot/\n"),
];

/// What lies there beside it, ignored.
const IGNORED: &[(&str, &str)] = &[
    (
        ".claude/settings.local.json",
        "{\"permissions\": {\"allow\": [\"Bash\"]}}",
    ),
    (".copilot/config.json", "{\"trustedFolders\": []}"),
    (".env", "KEY=1\n"),
    (".opencode/plugins/own.js", "export {}\n"),
];

fn write_all(folder: &Path, all: &[(&str, &str)]) {
    for (name, text) in all {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
}

/// Every file below `folder`, with its rights.
fn files(folder: &Path) -> Found {
    let mut found = Found::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            found.insert(path.clone(), (mode, std::fs::read(path).unwrap()));
        }
    }
    found
}

/// In which order agents come and go: two in every order of coming and of going, so that any two that touch the same show it; and all of them.
fn orders(ids: &[&'static str]) -> Vec<(Vec<&'static str>, Vec<&'static str>)> {
    let mut orders = Vec::new();
    for a in ids {
        for b in ids.iter().filter(|b| *b != a) {
            orders.push((vec![*a, *b], vec![*a, *b]));
            orders.push((vec![*a, *b], vec![*b, *a]));
        }
    }
    let mut all = ids.to_vec();
    for _ in 0..ids.len() {
        all.rotate_left(1);
        let back = all.iter().rev().copied().collect();
        orders.push((all.clone(), all.clone()));
        orders.push((all.clone(), back));
    }
    orders
}

/// Files with their rights.
type Found = std::collections::BTreeMap<PathBuf, (u32, Vec<u8>)>;

/// A person's home and a repository, both with entries of its owner, and what each agent is prepared with there.
struct SetUp {
    home: tempfile::TempDir,
    env: Vec<(String, String)>,
    ours: tempfile::TempDir,
    registry: Registry,
    plans: Vec<(&'static str, Vec<Preparation>)>,
}

impl SetUp {
    fn new() -> Self {
        let (home, env) = home();
        let ours = tempfile::tempdir().unwrap();
        let mut world = Self {
            home,
            env,
            ours,
            registry: Registry::new("".as_ref()),
            plans: Vec::new(),
        };
        write_all(world.home.path(), THEIRS);
        let worktree = world.worktree();
        write_all(worktree.as_std_path(), BROUGHT);
        write_all(worktree.as_std_path(), IGNORED);
        for (name, mode) in [(".cursor/hooks.json", 0o755), (".env", 0o600)] {
            let rights = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(worktree.join(name), rights).unwrap();
        }
        world.git(&["init", "-q"]);
        world.git(&["add", "."]);
        world.git(&[
            "-c",
            "user.name=me",
            "-c",
            "user.email=me@localhost",
            "commit",
            "-q",
            "-m",
            "Theirs",
        ]);
        let ids = world.registry.ids().into_iter().filter(|id| *id != "shell");
        world.plans = ids.map(|id| (id, world.plan(id))).collect();
        world
    }

    fn worktree(&self) -> Utf8PathBuf {
        Utf8Path::from_path(self.ours.path()).unwrap().join("web-1")
    }

    /// The folder for files of ours that this agent reads.
    fn files_of(&self, id: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.ours.path())
            .unwrap()
            .join("agents")
            .join(id)
    }

    fn plan(&self, id: &str) -> Vec<Preparation> {
        let asked = LaunchRequest {
            prompt: Some("go"),
            role: Some("a role"),
            worktree: &self.worktree(),
            messages: &self.files_of("messages"),
            files: &self.files_of(id),
            env: &self.env,
            ..request(&[])
        };
        self.registry.get(id).unwrap().plan(&asked).unwrap().before
    }

    fn git(&self, words: &[&str]) -> String {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test asks git what it sees in a worktree"
        )]
        let said = std::process::Command::new("git")
            .args(words)
            .current_dir(self.worktree())
            .output()
            .unwrap();
        assert!(said.status.success(), "{said:?}");
        String::from_utf8(said.stdout).unwrap()
    }

    /// What git says of the repository, and all that lies there but its index, which git writes when it is asked.
    fn repository(&self) -> (String, Found) {
        let status = self.git(&["status", "--porcelain", "--ignored"]);
        let mut found = files(self.worktree().as_std_path());
        found.retain(|file, _| !file.ends_with(".git/index"));
        (status, found)
    }

    /// What lies in the home, but for what says that a folder is trusted: a member or an element of a file, or a file that is called
    /// so.
    fn settings(&self) -> Found {
        let mut found = files(self.home.path());
        found.retain(|file, _| {
            let named = self.plans.iter().flat_map(|(_, before)| before).any(|what| {
                matches!(what, Preparation::Member { .. } | Preparation::Element { .. })
                    && what.file().as_std_path() == file
            });
            !named && !file.to_str().unwrap().contains("/workspace-trust/")
        });
        found
    }

    /// The same, with the files of ours that this agent reads.
    fn settings_for(&self, id: &str) -> Found {
        let mut found = self.settings();
        if self.files_of(id).exists() {
            found.extend(files(self.files_of(id).as_std_path()));
        }
        found
    }

    async fn comes(&self, id: &str) {
        for what in &self.plans.iter().find(|(known, _)| *known == id).unwrap().1 {
            self.registry.prepare(what).await.unwrap();
        }
    }

    async fn goes(&self, id: &str) {
        let place = HookPlace {
            ao: "/data/bin/ao".into(),
            files: &self.files_of(id),
            env: &self.env,
        };
        let is_wanted = || -> PortFuture<'_, bool> { Box::pin(async { false }) };
        self.registry.withdraw(id, &place, &is_wanted).await.unwrap();
    }
}

/// Two maps that say the same; if not, where they differ.
fn assert_same(now: &Found, before: &Found, when: &str) {
    let differs = |file: &&PathBuf| now.get(*file) != before.get(*file);
    let all: Vec<&PathBuf> = now.keys().chain(before.keys()).filter(differs).collect();
    assert!(all.is_empty(), "{all:?} {when}");
}

/// What agents are prepared with is taken back to the byte, whatever the order, and a repository never sees it, whatever it brings for
/// them itself. That a folder is trusted is a person's word: it stays.
#[tokio::test]
async fn what_is_set_up_for_agents_goes_and_leaves_what_was_there() {
    let world = SetUp::new();
    let (status, repository) = world.repository();
    assert_eq!(
        status,
        "!! .claude/settings.local.json\n!! .copilot/\n!! .env\n!! .opencode/\n"
    );
    let theirs = world.settings();
    // Codex alone has nothing prepared: its hooks, and that a folder is trusted, stand on its command line.
    let (some, none): (Vec<_>, Vec<_>) = world.plans.iter().partition(|(_, before)| !before.is_empty());
    assert_eq!(none.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ["codex"]);
    let ids: Vec<&'static str> = some.iter().map(|(id, _)| *id).collect();
    assert!(ids.contains(&"cursor") && ids.len() > 6, "{ids:?}");
    // No file is two agents', but for the folder that messages lie in: what an order of all could show, an order of two does.
    let mut whose = std::collections::BTreeMap::new();
    for (id, before) in &some {
        for what in before {
            if !matches!(what, Preparation::Folder { .. }) {
                let first = whose.entry(what.file()).or_insert(id);
                assert_eq!(first, &id, "{}", what.file());
            }
        }
    }
    let same = |when: &str| {
        let (now, there) = world.repository();
        assert_eq!(now, status, "{when}");
        assert_same(&there, &repository, when);
    };
    let mut is_touched = false;
    for (come, go) in orders(&ids) {
        for id in come.iter().chain(&come) {
            world.comes(id).await;
        }
        is_touched |= world.settings() != theirs;
        same(&format!("with {come:?}"));
        for id in go.iter().chain(&go) {
            world.goes(id).await;
        }
        let when = format!("after {come:?}, {go:?}");
        same(&when);
        assert_same(&world.settings(), &theirs, &when);
    }
    assert!(is_touched, "nothing was ever set up");
    // What a person said of other folders stands beside the trust that stays.
    let text = |name: &str| std::fs::read_to_string(world.home.path().join(name)).unwrap();
    assert!(
        text(".claude.json").contains("1.50")
            && text(".claude.json").contains("\"/other\": {\"hasTrustDialogAccepted\": false}")
    );
    assert!(text(".copilot/config.json").starts_with("// mine\n{"));
    assert!(
        text(".copilot/config.json").contains("\"/other\"")
            && text(".copilot/config.json").contains("12345678901234567890123")
    );
}

/// What one was prepared with is there as if it were alone, while another comes and goes.
#[tokio::test]
async fn what_is_set_up_for_one_agent_stays_while_another_s_goes() {
    let world = SetUp::new();
    let (theirs, repository) = (world.settings(), world.repository());
    let ids: Vec<&'static str> = world.plans.iter().map(|(id, _)| *id).collect();
    for b in &ids {
        world.comes(b).await;
        let alone = world.settings_for(b);
        world.goes(b).await;
        for a in ids.iter().filter(|a| *a != b) {
            for order in [[a, b], [b, a]] {
                for id in order {
                    world.comes(id).await;
                }
                world.goes(a).await;
                let when = format!("with {b} after {order:?}, {a}");
                assert_same(&world.settings_for(b), &alone, &when);
                assert!(world.repository() == repository, "{when}");
                world.goes(b).await;
                assert_same(&world.settings(), &theirs, &format!("{when}, {b}"));
                assert!(world.repository() == repository, "{when}, {b}");
            }
        }
    }
}

/// Whatever an agent writes where a tool, a reason or a title of its own should stand, what is kept of it is one short line.
#[test]
fn what_is_said_of_tools_and_reasons_and_titles_is_one_line() {
    let registry = registry();
    for sheet in SHEETS {
        let agent = registry.get(sheet.description.id).unwrap();
        for event in sheet.events {
            let long = format!("a\n\u{1b}[31m {}", "\u{e4}".repeat(500));
            let mut payload = serde_json::Map::new();
            if let Some((key, words)) = event.when {
                payload.insert(key.to_owned(), words[0].into());
            }
            let keys = [sheet.keys.tool, sheet.keys.summary, event.why];
            for key in keys.into_iter().flatten() {
                payload.entry(key).or_insert_with(|| long.as_str().into());
            }
            let payload = Value::Object(payload).to_string();
            let said = agent.signal(event.name, &payload, at()).unwrap();
            let line = |text: &str| {
                assert!(
                    text.chars().count() <= TITLE_MAX && !text.contains(char::is_control),
                    "{}: {text:?}",
                    event.name
                );
            };
            assert_eq!(said.why.is_some(), event.why.is_some(), "{}", event.name);
            assert_eq!(said.summary.is_some(), sheet.keys.summary.is_some());
            assert_eq!(said.tool.is_some(), event.tool != Tool::Unsaid, "{}", event.name);
            if let Some(ToolUse::Begins(tool) | ToolUse::Ends(Some(tool))) = &said.tool {
                line(tool);
            }
            said.why.iter().chain(&said.summary).for_each(|text| line(text));
        }
    }
}

/// What would ask, over everything else and at a moment of its own choice, whether something newer is to be installed, does not look for
/// that in a session.
#[test]
fn nothing_newer_is_offered_in_a_session() {
    let told = |id: &str, word: &str| {
        let sheet = SHEETS.iter().find(|sheet| sheet.description.id == id).unwrap();
        let Argv::Made { env, .. } = &sheet.argv else {
            return false;
        };
        let asked = request(&[]);
        let plan = format!("{:?} {:?}", env(&asked), sheet.argv);
        plan.contains(word)
    };
    for (id, word) in [
        ("opencode", "(\"OPENCODE_DISABLE_AUTOUPDATE\", \"1\")"),
        ("kimi", "(\"KIMI_CODE_NO_AUTO_UPDATE\", \"1\")"),
        ("codex", "check_for_update_on_startup=false"),
        ("grok", "--no-auto-update"),
    ] {
        assert!(told(id, word), "{id}");
    }
}

#[test]
fn a_script_may_say_what_it_does() {
    let registry = registry();
    let shell = registry.get("shell").unwrap();
    let said = shell
        .signal(
            "needs-decision",
            "{\"title\":\"deploy?\",\"message\":\" \"}",
            at(),
        )
        .unwrap();
    assert_eq!(said.state, Some(ActivityState::WaitingInput));
    assert_eq!(said.title.as_deref(), Some("deploy?"));
    assert_eq!(said.last_message, None);
}

#[test]
fn a_prompt_becomes_one_line() {
    let title = |prompt: &str| in_one_line(prompt);
    assert_eq!(
        title("fix\n\n  the\ttests\u{1b}[31m").as_deref(),
        Some("fix the tests[31m")
    );
    let pasted = "x <b> <pasted_content id=\"1\">\na\nb\n</pasted_content id=\"1\"> <pasted_contents> y";
    let plain = unwrapped(pasted, Some("pasted_content"));
    assert_eq!(title(&plain).as_deref(), Some("x <b> a b <pasted_contents> y"));
    assert_eq!(unwrapped(pasted, None), pasted);
    for (id, event, is_wrapped) in [
        ("claude-code", "UserPromptSubmit", true),
        ("qwen", "UserPromptSubmit", false),
    ] {
        let payload = serde_json::json!({"prompt": pasted}).to_string();
        let said = registry().get(id).unwrap().signal(event, &payload, at()).unwrap();
        assert_eq!(said.prompt.as_deref() == Some(plain.as_str()), is_wrapped, "{id}");
        assert_eq!(
            said.title.unwrap().contains("pasted_content "),
            !is_wrapped,
            "{id}"
        );
    }
    assert_eq!(title(" \n "), None);
    assert_eq!(title(&"ä".repeat(500)).unwrap().chars().count(), TITLE_MAX);
    assert_eq!(cut("aä", 2), "a");
}

/// Nothing is said of it to any agent for a person, what was said of the same folder while its code was their own is taken back, and
/// one that goes on remembering is told to ask all the same.
#[tokio::test]
async fn a_stranger_s_code_is_trusted_by_nobody_but_a_person() {
    let (home, env) = home();
    let ours = tempfile::tempdir().unwrap();
    let ours = Utf8Path::from_path(ours.path())
        .unwrap()
        .canonicalize_utf8()
        .unwrap();
    let (real, worktree) = (ours.join("real-1"), ours.join("web-1"));
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &worktree).unwrap();
    let registry = Registry::new("".as_ref());
    let names_it = |text: &str| text.contains(worktree.as_str()) || text.contains(real.as_str());
    // What has the worktree's name in it says that it is trusted: nothing else that is written is about one.
    let said = || {
        let mut all = files(home.path());
        if ours.join("agents").exists() {
            all.extend(files(ours.join("agents").as_std_path()));
        }
        all.retain(|_, (_, text)| names_it(std::str::from_utf8(text).unwrap()));
        all
    };
    let (mut recorded, mut remembered) = (Vec::new(), Vec::new());
    for sheet in SHEETS.iter().filter(|sheet| sheet.description.id != "shell") {
        let id = sheet.description.id;
        let plan = |trusted| {
            let asked = LaunchRequest {
                trusted,
                worktree: &worktree,
                repo: &ours.join("repository"),
                messages: &ours.join("messages"),
                files: &ours.join("agents").join(id),
                env: &env,
                ..request(&[])
            };
            registry.get(id).unwrap().plan(&asked).unwrap()
        };
        let (own, strange) = (plan(true), plan(false));
        for what in &strange.before {
            let written = match what {
                // That its program was run before is nothing about a folder.
                Preparation::Member { path, .. } if path == &["hasCompletedOnboarding"] => continue,
                Preparation::Member { .. } | Preparation::Element { .. } => panic!("{id} {what:?}"),
                Preparation::File { text, .. } | Preparation::Block { text, .. } => text.clone(),
                Preparation::Entries { elements, .. } => format!("{elements:?}"),
                Preparation::NoFile { .. } | Preparation::Untrusted { .. } | Preparation::Folder { .. } => {
                    continue;
                }
            };
            assert!(!names_it(&written), "{id} {what:?}");
        }
        let level = |word: &&String| word.contains("\"trusted\"");
        assert_eq!(strange.argv.iter().find(level), None, "{id}");
        let before = said();
        for what in &own.before {
            registry.prepare(what).await.unwrap();
        }
        recorded.extend((said() != before || own.argv.iter().any(|word| level(&word))).then_some(id));
        // As if it had been answered so in an earlier run.
        for what in &strange.before {
            if let Preparation::NoFile { file } = what {
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, worktree.as_str()).unwrap();
            }
        }
        for what in &strange.before {
            registry.prepare(what).await.unwrap();
        }
        remembered.extend((said() != before).then_some(id));
        if id == "claude-code" {
            assert_eq!(own.env, []);
            let wary = [
                ("CLAUDE_CODE_IGNORE_PERSISTED_TRUST", "1"),
                ("CLAUDE_CODE_SANDBOXED", ""),
            ];
            let wary = wary.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(strange.env, wary);
            assert_eq!(own.argv, strange.argv);
        }
    }
    assert_eq!(recorded, ["claude-code", "codex", "copilot", "kimi"]);
    assert_eq!(remembered, ["claude-code"], "it is told to count no record");
}
