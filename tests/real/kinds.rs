//! What a test has to know of each agent: how a person sets it up, and what its screen and its own record look like. Written down
//! here once more, with eyes of the tests' own: what the product reads is what is tested.

use std::fs;

use ao_tests::{Makers, Model, World};
use camino::Utf8Path;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Makes a world ready.
type Ready = fn(&mut World);

/// One kind of agent.
pub(crate) struct Kind {
    pub(crate) id: &'static str,
    pub(crate) program: &'static str,
    /// An option that it is started with: one that names our hooks, where there is such.
    pub(crate) option: &'static str,
    /// Whether it is asked its prompt on its command line.
    pub(crate) prompted: bool,
    /// Whether what is typed while it works waits inside it.
    pub(crate) queues: bool,
    /// If it does not give its model all of a long prompt: how much it does, in bytes, and what it does with the rest.
    pub(crate) shortens: Option<(usize, &'static str)>,
    /// Whether it runs on a Node that is installed beside it.
    pub(crate) needs_node: bool,
    /// As a person who has used it before has it, with the model server for its provider.
    pub(crate) setup: fn(&mut World, &Model),
    pub(crate) shows_a_dialog: fn(&[&str]) -> bool,
    pub(crate) takes_a_text: fn(&[&str]) -> bool,
    /// A line of the model's script that makes it ask before it goes on, and the key that allows it once.
    pub(crate) asks: &'static str,
    pub(crate) yes: &'static str,
    /// What its questions say, one after the other, and the key that answers each; if its model cannot ask its user, why.
    pub(crate) questions: Result<&'static [(&'static str, &'static str)], &'static str>,
    /// A line of the model's script that uses up its quota, for longer than it tries again by itself.
    pub(crate) wall: &'static str,
    /// Within how many seconds of its end a wall is told, if it says when that is.
    pub(crate) wall_told: Option<i64>,
    /// Where it tries again by itself for longer than anybody waits here: as a person has it who does not want that, and what is so
    /// else.
    pub(crate) walled: Option<(Ready, &'static str)>,
    /// How many refusals it tries again after, for as long as its status can be read, and how it says that it does: until when, or that
    /// it does; if on its screen nothing tells that from work, what is so.
    pub(crate) retries: (u8, Result<&'static str, &'static str>),
    /// What it asks in a home in which nobody has set it up.
    pub(crate) unset: Unset,
    /// What it shows once a `!` has made its line a command.
    pub(crate) command_mode: &'static str,
    /// The keys that interrupt it.
    pub(crate) interrupt: &'static [&'static str],
    /// How it says that it was; if it gives no reason, what is so.
    pub(crate) interrupted: Result<&'static str, &'static str>,
    /// The answer where it asks whether a conversation goes on that it takes for one in use.
    pub(crate) in_use: Option<&'static str>,
    /// How the choice begins that trusts a stranger's code; if it does not ask, why, and what is done instead.
    pub(crate) stranger: Result<&'static str, &'static str>,
    /// Whether a stranger's hooks are what it asks about: once trusted, they are run.
    pub(crate) runs_theirs: bool,
    /// As a person has it who has told it that they trust their own checkout, or what that lies in.
    pub(crate) trusts: Ready,
    /// If it would not ask about a stranger's code then: what is said of it, and what is done instead.
    pub(crate) warned: Option<(&'static str, &'static str)>,
    /// What it calls the tool that it writes a file with.
    pub(crate) writes: &'static str,
    /// What makes it call a conversation something; if nothing does here, why.
    pub(crate) calls: Result<Ready, &'static str>,
    /// What its own record has of a conversation.
    pub(crate) record: fn(&Utf8Path, &str) -> Option<Recorded>,
}

impl Kind {
    /// Whether there is a dialog on its screen, one of its first start too.
    pub(crate) fn is_asking(&self, screen: &[&str]) -> bool {
        let first: Vec<&str> = self
            .unset
            .asks
            .into_iter()
            .flatten()
            .map(|(said, _)| *said)
            .collect();
        (self.shows_a_dialog)(screen) || has(screen, &first)
    }
}

macro_rules! list {
    ([$($name:ident $kind:ident)*]) => {
        /// All of them.
        pub(crate) const KINDS: &[&Kind] = &[$(&$kind),*];
    };
}

each_kind! { list }

/// An agent's first start.
pub(crate) struct Unset {
    /// What a person has all the same: a key in their environment, or where a model is.
    pub(crate) with: fn(&mut World, &Model),
    /// What it asks, one after the other, or why it asks nothing.
    pub(crate) asks: Result<&'static [(&'static str, Reply)], &'static str>,
    /// Whether it does what it was asked after that; else a login goes on elsewhere.
    pub(crate) goes_on: bool,
    /// What the matrix says of it, where it asks.
    pub(crate) told: &'static str,
}

/// What a person does about a question.
pub(crate) enum Reply {
    /// Takes the choice of this key by `ao session answer`.
    Answer(&'static str),
    /// There is none to take: types this at the terminal.
    Types(&'static str),
    /// There is none to take: types this, and has not got to the end.
    Begins(&'static str),
    /// There is none to take: a login, which has an end elsewhere.
    Nothing,
}

/// What an agent's own record says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// What it was asked, in order.
    pub(crate) prompts: Vec<String>,
    /// What it said at the end of each turn, or in between.
    pub(crate) said: Vec<String>,
    /// What it calls the conversation.
    pub(crate) summary: Option<String>,
}

fn has(screen: &[&str], words: &[&str]) -> bool {
    screen
        .iter()
        .any(|line| words.iter().any(|word| line.contains(word)))
}

/// The lines of a file of JSON lines.
fn lines(file: impl AsRef<std::path::Path>) -> Option<Vec<Value>> {
    let text = fs::read_to_string(file).ok()?;
    // The last line may be half written.
    Some(
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect(),
    )
}

/// The first file below `folder` whose path ends so.
fn below(folder: &Utf8Path, end: &str) -> Option<camino::Utf8PathBuf> {
    let entries = folder.read_dir_utf8().ok()?;
    entries.filter_map(Result::ok).find_map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            below(path, end)
        } else {
            path.as_str().ends_with(end).then(|| path.to_owned())
        }
    })
}

fn texts<'a>(lines: &'a [Value], is: impl Fn(&Value) -> bool + 'a, at: &'static str) -> Vec<String> {
    let found = lines
        .iter()
        .filter(|line| is(line))
        .filter_map(|line| line.pointer(at)?.as_str());
    found.map(str::to_owned).collect()
}

/// It takes a worktree for a part of what is trusted, and cannot be told to ask.
const NOT_STARTED: (&str, &str) = (
    "by a person's word",
    "it would not ask then: it is not started, and its session says what to do",
);

/// How most tell of it.
const TRIES: &str = "it tries again by itself and shows that as work: what is sent waits until it is done";

fn write(world: &World, name: &str, text: &str) {
    let file = world.dir.join("home").join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

pub(crate) const CLAUDE: Kind = Kind {
    id: "claude-code",
    program: "claude",
    option: "--settings",
    prompted: true,
    queues: true,
    shortens: None,
    needs_node: false,
    setup: |world, model| {
        world.set("ANTHROPIC_BASE_URL", &model.url());
        world.set("ANTHROPIC_AUTH_TOKEN", "stub");
        world.set("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1");
        world.set("DISABLE_AUTOUPDATER", "1");
        world.set("IS_SANDBOX", "1");
    },
    // The same words stand at the end of a line about its own going on after a wall, which is none.
    shows_a_dialog: |screen| {
        has(screen, &["Enter to confirm", "Enter to select"])
            || screen
                .iter()
                .any(|line| line.trim_start().starts_with("Esc to cancel"))
    },
    takes_a_text: |screen| screen.iter().any(|line| line.starts_with('\u{276f}')),
    asks: "STUB: write asked.txt hi",
    yes: "1",
    questions: Ok(&[("colour", "2")]),
    wall: "STUB: wall",
    wall_told: None,
    walled: None,
    retries: (5, Ok("it waits until ")),
    unset: Unset {
        with: |world, model| {
            world.set("ANTHROPIC_BASE_URL", &model.url());
            world.set("ANTHROPIC_AUTH_TOKEN", "stub");
            world.set("ANTHROPIC_API_KEY", "sk-ant-stub-0123456789-0123456789");
            world.set("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1");
            world.set("DISABLE_AUTOUPDATER", "1");
        },
        asks: Ok(&[("Do you want to use this API key?", Reply::Answer("yes"))]),
        goes_on: true,
        told: "yes",
    },
    command_mode: "shell mode",
    interrupt: &["\u{1b}"],
    interrupted: Ok("[Request interrupted by user]"),
    in_use: None,
    stranger: Ok("Yes"),
    runs_theirs: true,
    trusts: |world| {
        let trusted = json!({"hasTrustDialogAccepted": true});
        let config = json!({"projects": {world.repo.as_str(): trusted}});
        fs::write(world.dir.join("home/.claude.json"), config.to_string()).unwrap();
        world.set("CLAUDE_CODE_SANDBOXED", "1"); // all is trusted where it says something
    },
    warned: None,
    writes: "Write",
    calls: Ok(|world| {
        world.set("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "");
        // Nobody but the model is asked for anything.
        world.set("HTTPS_PROXY", "http://127.0.0.1:9");
        world.set("NO_PROXY", "127.0.0.1");
    }),
    record: |home, native| {
        let lines = lines(below(&home.join(".claude/projects"), &format!("{native}.jsonl"))?)?;
        Some(Recorded {
            prompts: texts(
                &lines,
                |line| line["promptSource"].is_string(),
                "/message/content",
            ),
            said: texts(
                &lines,
                |line| line["type"] == "assistant",
                "/message/content/0/text",
            ),
            summary: texts(&lines, |line| line["type"] == "ai-title", "/aiTitle").pop(),
        })
    },
};

/// The same where nobody has given it a key: it asks how one logs in, where the servers of its maker answer.
pub(crate) const CLAUDE_WITHOUT_A_KEY: Kind = Kind {
    unset: Unset {
        with: |world, _| {
            let makers = Makers::answer(&world.dir, &["api.anthropic.com", "platform.claude.com"]);
            world.set("HTTPS_PROXY", &makers.proxy);
            world.set("NODE_EXTRA_CA_CERTS", makers.certificate.as_str());
            world.set("DISABLE_AUTOUPDATER", "1");
        },
        asks: Ok(&[
            ("Choose the text style", Reply::Answer("3")),
            ("Select login method", Reply::Answer("2")),
            ("How do you want to sign in?", Reply::Answer("1")),
            // It shows the last six letters.
            ("Paste code here", Reply::Begins("half-1")),
        ]),
        goes_on: false,
        told: "yes",
    },
    ..CLAUDE
};

pub(crate) const CODEX: Kind = Kind {
    id: "codex",
    program: "codex",
    option: "--config",
    prompted: true,
    queues: false,
    shortens: None,
    needs_node: false,
    setup: |world, model| {
        let folder = world.dir.join("home/.codex");
        fs::create_dir_all(&folder).unwrap();
        let url = model.url();
        let config = format!(
            "model = \"stub-model\"\nmodel_provider = \"stub\"\n\n[model_providers.stub]\nname = \"stub\"\n\
             base_url = \"{url}/v1\"\nwire_api = \"responses\"\nenv_key = \"STUB_KEY\"\n"
        );
        fs::write(folder.join("config.toml"), config).unwrap();
        world.set("STUB_KEY", "stub");
        // Below the folder for what is temporary it makes no sandbox.
        let temporary = world.dir.join("temporary");
        fs::create_dir_all(&temporary).unwrap();
        world.set("TMPDIR", temporary.as_str());
    },
    shows_a_dialog: |screen| has(screen, &["enter to confirm", "enter continue"]),
    takes_a_text: |screen| screen.iter().any(|line| line.starts_with('\u{203a}')),
    asks: "STUB: ask touch asked.txt",
    yes: "1",
    questions: Err(
        "its model has no tool to ask with in this mode: it asks at the end of its turn, and a message answers that",
    ),
    wall: "STUB: wall 30\nSTUB: say through",
    wall_told: Some(60),
    walled: None,
    retries: (4, Err(TRIES)),
    unset: Unset {
        with: |_, _| {},
        asks: Ok(&[
            ("Choose how you want to use Codex", Reply::Answer("3")),
            ("Sign in another way", Reply::Answer("1")),
            ("Paste or type your API key below", Reply::Types("sk-stub-key")),
        ]),
        goes_on: false,
        told: "its questions are told and answered; the key that it wants then is typed at the terminal",
    },
    command_mode: "Shell mode",
    interrupt: &["\u{1b}"],
    interrupted: Ok("interrupted"),
    in_use: None,
    stranger: Ok("1. Open restricted"),
    runs_theirs: false,
    trusts: |world| {
        let file = world.dir.join("home/.codex/config.toml");
        let config = fs::read_to_string(&file).unwrap();
        let trusted = format!("\n[projects.\"{}\"]\ntrust_level = \"trusted\"\n", world.repo);
        fs::write(file, config + &trusted).unwrap();
    },
    warned: None,
    writes: "Bash",
    calls: Ok(|_| {}),
    record: |home, native| {
        let lines = lines(below(&home.join(".codex/sessions"), &format!("-{native}.jsonl"))?)?;
        let item = |kind: &'static str| move |line: &Value| line["payload"]["item"]["type"] == kind;
        Some(Recorded {
            prompts: texts(&lines, item("UserMessage"), "/payload/item/content/0/text"),
            said: texts(&lines, item("AgentMessage"), "/payload/item/content/0/text"),
            summary: {
                let index = crate::kinds::lines(home.join(".codex/session_index.jsonl"))?;
                texts(&index, |line| line["id"] == native, "/thread_name").pop()
            },
        })
    },
};

pub(crate) const QWEN: Kind = Kind {
    id: "qwen",
    program: "qwen",
    option: "--add-dir",
    prompted: true,
    queues: false,
    shortens: None,
    needs_node: true,
    setup: |world, model| {
        world.set("OPENAI_API_KEY", "stub");
        world.set("OPENAI_BASE_URL", &format!("{}/v1", model.url()));
        world.set("OPENAI_MODEL", "stub-model");
    },
    shows_a_dialog: |screen| {
        has(
            screen,
            &[
                "Do you trust this folder?",
                "Waiting for user confirmation",
                "Enter: Select",
                "Use Enter to select",
            ],
        )
    },
    takes_a_text: |screen| screen.iter().any(|line| line.starts_with('>')),
    asks: "STUB: run touch asked.txt",
    yes: "1",
    questions: Ok(&[("colour", "2")]),
    wall: "STUB: quota 30\nSTUB: say through",
    wall_told: Some(2),
    walled: None,
    retries: (4, Err(TRIES)),
    unset: Unset {
        with: |_, _| {},
        asks: Ok(&[
            ("Connect a Provider", Reply::Answer("3")),
            ("Step 1/7", Reply::Answer("1")),
            ("Step 2/7", Reply::Answer("1")),
            ("Enter to submit", Reply::Nothing),
        ]),
        goes_on: false,
        told: "its questions are told and answered; the key that it wants then is typed at the terminal",
    },
    command_mode: "shell mode enabled",
    interrupt: &["\u{1b}"],
    interrupted: Err("it gives none: that it waits for work is all that is told"),
    in_use: None,
    stranger: Ok("Trust folder"),
    runs_theirs: true,
    trusts: |world| {
        // With all that lies below it: the worktrees too.
        let trusted = json!({world.dir.as_str(): "TRUST_FOLDER"}).to_string();
        write(world, ".qwen/trustedFolders.json", &trusted);
    },
    warned: None,
    writes: "write_file",
    calls: Err("it finds a name only where it was told of a fast model: none is shown, its title is"),
    record: |home, native| {
        let lines = lines(below(&home.join(".qwen/projects"), &format!("{native}.jsonl"))?)?;
        Some(Recorded {
            prompts: texts(&lines, |line| line["type"] == "user", "/message/parts/0/text"),
            said: texts(
                &lines,
                |line| line["type"] == "assistant",
                "/message/parts/0/text",
            ),
            summary: texts(
                &lines,
                |line| line["subtype"] == "custom_title",
                "/systemPayload/customTitle",
            )
            .pop(),
        })
    },
};

pub(crate) const COPILOT: Kind = Kind {
    id: "copilot",
    program: "copilot",
    option: "--plugin-dir",
    prompted: true,
    queues: false,
    shortens: None,
    needs_node: true,
    setup: |world, model| {
        world.set("COPILOT_PROVIDER_BASE_URL", &format!("{}/v1", model.url()));
        world.set("COPILOT_PROVIDER_API_KEY", "stub");
        world.set("COPILOT_MODEL", "stub-model");
        world.set("COPILOT_OFFLINE", "true");
        world.set("COPILOT_AUTO_UPDATE", "false");
    },
    shows_a_dialog: |screen| has(screen, &["enter to select", "enter accept"]),
    takes_a_text: |screen| has(screen, &["\u{2579}\u{2580}"]),
    asks: "STUB: run touch asked.txt",
    yes: "1",
    questions: Ok(&[("colour", "2")]),
    wall: "STUB: wall",
    wall_told: None,
    walled: None,
    retries: (4, Err(TRIES)),
    unset: Unset {
        with: |world, _| world.set("COPILOT_AUTO_UPDATE", "false"),
        asks: Ok(&[("Please use /login", Reply::Nothing)]),
        goes_on: false,
        told: "it asks nothing, and would do nothing with a text: that it is not logged in is told, and nothing is typed before it is",
    },
    command_mode: "exit shell mode",
    interrupt: &["\u{1b}", "\u{1b}"],
    interrupted: Ok("user_abort"),
    in_use: Some("1"),
    stranger: Ok("Yes"),
    runs_theirs: true,
    trusts: |world| {
        let trusted = json!({"trustedFolders": [world.repo]}).to_string();
        write(world, ".copilot/config.json", &trusted);
    },
    warned: Some(NOT_STARTED),
    writes: "create",
    calls: Ok(|_| {}),
    record: |home, native| {
        let lines = lines(home.join(format!(".copilot/session-state/{native}/events.jsonl")))?;
        Some(Recorded {
            prompts: texts(&lines, |line| line["type"] == "user.message", "/data/content"),
            said: texts(
                &lines,
                |line| line["type"] == "assistant.message",
                "/data/content",
            ),
            summary: {
                let file = home.join(format!(".copilot/session-state/{native}/workspace.yaml"));
                let text = fs::read_to_string(file).ok()?;
                let (_, name) = text.split_once("\nname: ")?;
                let name = name.strip_prefix("|-\n").unwrap_or(name);
                let (name, _) = name.split_once("\nuser_named").unwrap_or((name, ""));
                Some(name.to_owned())
            },
        })
    },
};

pub(crate) const KIMI: Kind = Kind {
    id: "kimi",
    program: "kimi",
    option: "--session",
    prompted: false,
    queues: false,
    shortens: None,
    needs_node: true,
    setup: |world, model| {
        world.set("KIMI_MODEL_NAME", "stub-model");
        world.set("KIMI_MODEL_API_KEY", "stub");
        world.set("KIMI_MODEL_PROVIDER_TYPE", "openai");
        world.set("KIMI_MODEL_BASE_URL", &format!("{}/v1", model.url()));
    },
    shows_a_dialog: |screen| has(screen, &["\u{21b5} confirm", "\u{21b5} choose", "Enter select"]),
    takes_a_text: |screen| has(screen, &["\u{2502} > "]),
    asks: "STUB: run touch asked.txt",
    yes: "1",
    // The answer, and that it is sent.
    questions: Ok(&[("colour", "2"), ("submit", "1")]),
    wall: "STUB: wall",
    wall_told: None,
    walled: None,
    retries: (6, Ok("it waits until ")),
    unset: Unset {
        with: |_, _| {},
        asks: Ok(&[("Run /login", Reply::Nothing)]),
        goes_on: false,
        told: "it asks nothing, and would do nothing with a text: that it is not logged in is told, and nothing is typed before it is",
    },
    command_mode: "shell mode",
    interrupt: &["\u{1b}"],
    interrupted: Ok("cancelled"),
    in_use: None,
    stranger: Ok("Trust this folder"),
    runs_theirs: true,
    trusts: |world| {
        // Also of the worktree itself: its session had their own code in it before.
        for folder in [&world.repo, &world.data.join("worktrees/web/web-1")] {
            let digest = Sha256::digest(folder.as_str().as_bytes());
            let hash: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
            let name = folder.file_name().unwrap();
            let trusted = json!({"root": folder, "trustedAt": 1}).to_string();
            write(
                world,
                &format!(".kimi-code/workspace-trust/wd_{name}_{hash}"),
                &trusted,
            );
        }
    },
    warned: None,
    writes: "Write",
    calls: Ok(|_| {}),
    record: |home, native| {
        let lines = lines(below(
            &home.join(".kimi-code/sessions"),
            &format!("{native}/agents/main/wire.jsonl"),
        )?)?;
        let is = |role: &'static str| {
            move |line: &Value| {
                line["type"] == "agent.message.appended" && line["message"]["message"]["role"] == role
            }
        };
        Some(Recorded {
            prompts: texts(&lines, |line| line["type"] == "turn.prompt", "/input/0/text"),
            said: texts(&lines, is("assistant"), "/message/message/content/0/text"),
            summary: {
                let state = below(&home.join(".kimi-code/sessions"), &format!("{native}/state.json"))?;
                let state: Value = serde_json::from_str(&fs::read_to_string(state).ok()?).ok()?;
                state["title"].as_str().map(str::to_owned)
            },
        })
    },
};

pub(crate) const GROK: Kind = Kind {
    id: "grok",
    program: "grok",
    option: "--session-id",
    prompted: true,
    queues: false,
    shortens: Some((
        90_000,
        "it gets all of it, and puts the middle of so long a one into a file of its own, which it names to its model",
    )),
    needs_node: false,
    setup: |world, model| {
        let folder = world.dir.join("home/.grok");
        fs::create_dir_all(&folder).unwrap();
        let url = model.url();
        let config = format!(
            "[cli]\nauto_update = false\n\n[models]\ndefault = \"stub\"\n\n[model.stub]\nmodel = \"stub-model\"\n\
             base_url = \"{url}/v1\"\nname = \"Stub\"\napi_key = \"stub\"\ncontext_window = 128000\n"
        );
        fs::write(folder.join("config.toml"), config).unwrap();
        world.set("GROK_DISABLE_AUTOUPDATER", "1");
        // What it asks about at its start is what a project brings to be run.
        let hooks = world.repo.join(".grok/hooks");
        fs::create_dir_all(&hooks).unwrap();
        let hook = json!({"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "true"}]}]}});
        fs::write(hooks.join("own.json"), hook.to_string()).unwrap();
        world.git(&["add", "."]);
        world.git(&["commit", "-qm", "hooks"]);
    },
    shows_a_dialog: |screen| has(screen, &[":select  ", "Enter:submit", "No, quit"]),
    takes_a_text: |screen| has(screen, &["\u{2502} \u{276f}"]),
    asks: "STUB: write asked.txt hi",
    yes: "3",
    questions: Ok(&[("colour", "2")]),
    wall: "STUB: wall",
    wall_told: None,
    walled: Some((
        |world| {
            let file = world.dir.join("home/.grok/config.toml");
            let config = fs::read_to_string(&file).unwrap();
            fs::write(file, format!("{config}max_retries = 1\n")).unwrap(); // of the model, whose table is the last
        },
        "where its settings have it give up (`max_retries`); else it tries again by itself: that is named, and what is sent waits",
    )),
    retries: (3, Ok("it waits to try again: ")),
    unset: Unset {
        with: |world, _| world.set("GROK_DISABLE_AUTOUPDATER", "1"),
        asks: Ok(&[("error sending request", Reply::Answer("l"))]),
        goes_on: false,
        told: "that it is not logged in is told, and the answer begins a login, which goes on in a browser",
    },
    command_mode: "Run shell command",
    interrupt: &["\u{3}"],
    interrupted: Ok("user_interrupt"),
    in_use: None,
    stranger: Ok("Yes"),
    runs_theirs: true,
    trusts: |world| {
        let trusted = format!("[folders.\"{}\"]\ntrusted = true\ndecided_at = 1\n", world.repo);
        write(world, ".grok/trusted_folders.toml", &trusted);
    },
    warned: Some(NOT_STARTED),
    writes: "write",
    calls: Ok(|_| {}),
    record: |home, native| {
        let file = below(
            &home.join(".grok/sessions"),
            &format!("{native}/chat_history.jsonl"),
        )?;
        let lines = lines(file)?;
        let is_prompt = |line: &Value| line["type"] == "user" && line["prompt_index"].is_number();
        let plain = |text: String| text.replace("<user_query>\n", "").replace("\n</user_query>", "");
        Some(Recorded {
            prompts: texts(&lines, is_prompt, "/content/0/text")
                .into_iter()
                .map(plain)
                .collect(),
            said: texts(&lines, |line| line["type"] == "assistant", "/content"),
            summary: {
                let file = below(&home.join(".grok/sessions"), &format!("{native}/summary.json"))?;
                let summary: Value = serde_json::from_str(&fs::read_to_string(file).ok()?).ok()?;
                summary["generated_title"].as_str().map(str::to_owned)
            },
        })
    },
};

pub(crate) const OPENCODE: Kind = Kind {
    id: "opencode",
    program: "opencode",
    option: "--prompt",
    prompted: true,
    queues: true,
    shortens: None,
    needs_node: false,
    setup: |world, model| {
        let folder = world.dir.join("home/.config/opencode");
        fs::create_dir_all(&folder).unwrap();
        let provider = json!({"npm": "@ai-sdk/openai-compatible", "models": {"stub-model": {"name": "Stub"}},
            "options": {"baseURL": format!("{}/v1", model.url()), "apiKey": "stub"}});
        let config = json!({"share": "disabled", "model": "stub/stub-model",
            "small_model": "stub/stub-model", "provider": {"stub": provider}});
        fs::write(folder.join("opencode.json"), config.to_string()).unwrap();
        world.set("OPENCODE_DISABLE_MODELS_FETCH", "1");
        world.set("OPENCODE_DISABLE_LSP_DOWNLOAD", "1");
    },
    shows_a_dialog: |screen| has(screen, &["enter confirm", "enter submit"]),
    takes_a_text: |screen| has(screen, &["\u{2579}\u{2580}"]),
    asks: "STUB: run touch asked.txt",
    yes: "1",
    questions: Ok(&[("colour", "2")]),
    wall: "STUB: wall 35\nSTUB: say through",
    wall_told: Some(2),
    walled: None,
    retries: (3, Ok("it waits until ")),
    unset: Unset {
        with: |world, _| {
            world.set("OPENCODE_DISABLE_MODELS_FETCH", "1");
            world.set("OPENCODE_DISABLE_LSP_DOWNLOAD", "1");
        },
        asks: Err("it asks nothing: nobody has to log in to what its maker lets everybody use"),
        goes_on: false,
        told: "",
    },
    command_mode: "exit shell mode",
    interrupt: &["\u{1b}", "\u{1b}"],
    interrupted: Err("it gives none: that it waits for work is all that is told"),
    in_use: None,
    stranger: Err("it asks nobody: what a stranger's code brings for it, settings and plugins, is left out"),
    runs_theirs: false,
    trusts: |_| {},
    warned: None,
    writes: "write",
    calls: Ok(|_| {}),
    record: |home, native| {
        let file = home.join(".local/share/opencode/opencode.db");
        if !file.exists() {
            return None;
        }
        let said = |role: &str| {
            let question = format!(
                "SELECT coalesce(json_group_array(text), '[]') FROM (SELECT json_extract(part.data, '$.text') AS text \
                 FROM part JOIN message ON message.id = part.message_id WHERE part.session_id = '{native}' \
                 AND json_extract(message.data, '$.role') = '{role}' AND json_extract(part.data, '$.type') = 'text' \
                 ORDER BY part.time_created, part.id)"
            );
            serde_json::from_str(&ao_tests::query_file(&file, &question)).unwrap_or_default()
        };
        Some(Recorded {
            prompts: said("user"),
            said: said("assistant"),
            summary: Some(ao_tests::query_file(
                &file,
                &format!("SELECT title FROM session WHERE id = '{native}'"),
            )),
        })
    },
};
