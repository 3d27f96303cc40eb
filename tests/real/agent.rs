//! A real agent as it is installed from its package, in a world of its own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};

use ao_tests::{Ao, Model, World, go_offline, look_rarely, not_tested};
use camino::Utf8PathBuf;
use serde_json::Value;

use crate::AO;
use crate::kinds::{CLAUDE, Kind};

/// A world with the real program on the daemon's PATH, a home in which a person has run it once, and the model server.
pub(crate) struct Real {
    pub(crate) kind: &'static Kind,
    pub(crate) world: World,
    pub(crate) model: Model,
}

impl Real {
    /// Claude Code. `None` where the program is not installed: the test is named as not run.
    pub(crate) fn started(test: &str) -> Option<Real> {
        Self::started_with(test, |_| {})
    }

    /// The same in a world that `ready` makes ready before its daemon is started.
    pub(crate) fn started_with(test: &str, ready: impl FnOnce(&mut World)) -> Option<Real> {
        Self::of_with(&CLAUDE, test, ready)
    }

    /// An agent of this kind, in a world that `ready` makes ready before its daemon is started.
    pub(crate) fn of_with(kind: &'static Kind, test: &str, ready: impl FnOnce(&mut World)) -> Option<Real> {
        Self::set_up(kind, test, kind.setup, ready)
    }

    /// An agent of this kind in a home in which nobody has set it up.
    pub(crate) fn unset(kind: &'static Kind, test: &str) -> Option<Real> {
        Self::set_up(kind, test, kind.unset.with, |_| {})
    }

    fn set_up(
        kind: &'static Kind,
        test: &str,
        setup: fn(&mut World, &Model),
        ready: impl FnOnce(&mut World),
    ) -> Option<Real> {
        offline();
        let program = installed(kind.program);
        let node = if kind.needs_node {
            installed_in("node", "node/bin")
        } else {
            Some(String::new())
        };
        let (Some(bin), Some(node)) = (program, node) else {
            not_tested(
                &format!("{} ({})", test, kind.id),
                &format!("{} is not installed: tests/run installs it", kind.program),
            );
            return None;
        };
        let model = Model::start();
        let mut world = World::new(AO);
        let path: Vec<&str> = [node.as_str(), &bin, "/usr/local/bin:/usr/bin:/bin"]
            .into_iter()
            .filter(|folder| !folder.is_empty())
            .collect();
        world.set("PATH", &path.join(":"));
        // Whatever an agent would fetch for itself, it does without, and need not look for.
        world.set("npm_config_registry", "http://127.0.0.1:9/");
        world.set("npm_config_fetch_retries", "0");
        world.set("AO_AGENT", kind.id);
        setup(&mut world, &model);
        ready(&mut world);
        world.start();
        world
            .ao(&["project", "add", world.repo.as_str(), "--id", "web"])
            .ok();
        Some(Real { kind, world, model })
    }

    pub(crate) fn spawn(&self, more: &[&str], prompt: &str) -> String {
        let prompt = format!("--prompt={prompt}");
        let mut words = vec!["--json", "spawn", "--project", "web", prompt.as_str()];
        words.extend(more);
        let answer = self.world.ao(&words).ok().json();
        answer["session"]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn until(&self, id: &str, status: &str) -> Value {
        self.world.until(id, "status", status)
    }

    /// What its own transcript of the conversation says, line by line; nothing while there is none.
    pub(crate) fn transcript(&self, native_id: &str) -> Vec<Value> {
        let projects = self.world.dir.join("home/.claude/projects");
        let folders = fs::read_dir(projects).into_iter().flatten();
        let files = folders.map(|folder| folder.unwrap().path().join(format!("{native_id}.jsonl")));
        let text = files.filter_map(|file| fs::read_to_string(file).ok()).next();
        // The last line may be half written.
        let text = text.unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Brings a session back. The log of its former run goes with that: it is looked at first.
    pub(crate) fn restore(&self, id: &str) -> Ao {
        self.typed(id);
        self.world.ao(&["session", "restore", id])
    }

    /// Ends a session and takes its worktree back, after a look at all that was typed in it.
    pub(crate) fn kill(&self, id: &str, more: &[&str]) {
        let words = [&["kill", id], more].concat();
        self.typed(id);
        self.world.ao(&words).ok();
    }

    /// What its holder typed into a session for us, run by run, each with the screen it met. No Enter of ours may ever have met a
    /// dialog, and no key that is none of a person's answer: that is looked at here, with eyes of the test's own, wherever a test asks.
    pub(crate) fn typed(&self, id: &str) -> Vec<Value> {
        let typed = self.world.typed(id);
        for entry in &typed {
            let screen: Vec<&str> = entry["screen"]
                .as_array()
                .unwrap()
                .iter()
                .map(|line| line.as_str().unwrap())
                .collect();
            let is_dialog = self.kind.is_asking(&screen);
            match entry["did"].as_str().unwrap() {
                "enter" => {
                    assert!(!is_dialog, "an Enter of ours met a dialog: {entry:#}");
                    assert!((self.kind.takes_a_text)(&screen), "{entry:#}");
                }
                "keys" => {
                    assert!(is_dialog, "keys of an answer met no dialog: {entry:#}");
                    assert_eq!(self.kind_of_message(entry), "answer person", "{entry:#}");
                }
                "text" => assert!(!is_dialog, "a text of ours met a dialog: {entry:#}"),
                _ => {} // what was withheld, and why, or taken away again
            }
        }
        typed
    }

    /// What the message is that an entry of the holder's log was typed for, and who sent it.
    fn kind_of_message(&self, entry: &Value) -> String {
        let id = entry["id"].as_str().unwrap().trim_start_matches('m');
        let id: u64 = id.split('.').next().unwrap().parse().unwrap();
        self.world.query(&format!(
            "SELECT kind || ' ' || coalesce(sender, about, 'person') FROM messages WHERE id = {id}"
        ))
    }

    /// The hook that last said what the agent does. What its transcript says has no boot: it is written later than hooks are run, and
    /// moves nothing then.
    pub(crate) fn last_word(&self) -> String {
        self.world.query(
            "SELECT event FROM signals WHERE state IS NOT NULL AND boot <> '' ORDER BY seq DESC LIMIT 1",
        )
    }

    /// Messages to a session as `ao session messages` has them.
    pub(crate) fn messages(&self, id: &str) -> Vec<Value> {
        let list = self
            .world
            .ao(&["--json", "session", "messages", id, "--limit", "500"])
            .ok()
            .json();
        list["messages"].as_array().unwrap().clone()
    }

    pub(crate) fn status_of_git(&self, session: &Value) -> [String; 2] {
        let worktree = Utf8PathBuf::from(session["worktree"]["path"].as_str().unwrap());
        [
            self.world.git_in(&worktree, &["status", "--porcelain"]),
            self.world.git(&["status", "--porcelain"]),
        ]
    }
}

/// From now on there is no network but loopback for this test, its daemon and its agents. What answers there has to be started after
/// this. And waits are long.
pub(crate) fn offline() {
    look_rarely();
    if let Err(why) = go_offline() {
        println!("not offline: {why}"); // `offline.rs` makes that one of what was not tested
    }
}

/// What a line of a transcript has the agent say.
pub(crate) fn said_by_it(line: &Value) -> Option<String> {
    let text = line["message"]["content"][0]["text"].as_str()?;
    (line["type"] == "assistant").then(|| text.to_owned())
}

/// The folder of a real agent's program.
pub(crate) fn installed(program: &str) -> Option<String> {
    let bin = installed_in(program, ".bin")?;
    fs::metadata(format!("{bin}/{program}")).is_ok().then_some(bin)
}

/// A folder of what is installed under this name.
fn installed_in(name: &str, folder: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever runs the tests says where the agents are"
    )]
    let root = std::env::var("AO_REAL_AGENTS").ok()?;
    let folder = format!("{root}/{name}/node_modules/{folder}");
    fs::metadata(&folder).is_ok().then_some(folder)
}

impl Real {
    /// What is so where a test has failed: what its agent shows, what it told, and what the model was asked.
    fn tell(&self, id: &str) {
        let get = self.world.ao(&["session", "get", id]);
        let logs = self.world.ao(&["logs", id, "--lines", "60"]);
        let told = self.world.query(
            "SELECT coalesce(group_concat(event || ' ' || coalesce(state, '-'), ', '), '') FROM (SELECT * FROM signals ORDER BY seq)",
        );
        println!(
            "--- {id}\n{}\n--- its terminal\n{}\n--- it told: {told}",
            get.out, logs.out
        );
        for asked in self.model.asked() {
            let text: String = asked.text.chars().take(300).collect();
            println!(
                "--- asked with {} tools, {} results: {text:?}: {}",
                asked.tools, asked.results, asked.answer
            );
        }
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let sessions = fs::read_dir(self.world.data.join("pty")).into_iter().flatten();
        for session in sessions.filter_map(|session| session.unwrap().file_name().into_string().ok()) {
            if std::thread::panicking() {
                self.tell(&session);
            } else {
                self.typed(&session);
            }
        }
    }
}

/// A person at the session's terminal.
pub(crate) struct Person {
    attached: std::process::Child,
    shown: Arc<Mutex<String>>,
}

impl Person {
    pub(crate) fn at(real: &Real, id: &str) -> Person {
        Self::in_a_window(real, id, 200, 50)
    }

    pub(crate) fn in_a_window(real: &Real, id: &str, columns: u16, rows: u16) -> Person {
        // `script` gives the command a terminal, whose keys are what is written to it.
        let line = format!(
            "stty cols {columns} rows {rows}; exec {} attach {id}",
            real.world.program
        );
        let mut command = real
            .world
            .command("script", &["-q", "-e", "-c", &line, "/dev/null"]);
        command
            .env("TERM", "xterm-256color")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped());
        let mut attached = command.spawn().unwrap();
        let mut terminal = attached.stdout.take().unwrap();
        let shown = Arc::new(Mutex::new(String::new()));
        let seen = shown.clone();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = terminal.read(&mut piece) {
                seen.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&piece[..count]));
            }
        });
        let person = Person { attached, shown };
        // Keys that come before the first line are not taken yet.
        person.sees("leaves; the agent runs on");
        person
    }

    /// Waits until the terminal shows `text`, whatever it moves and paints in between.
    pub(crate) fn sees(&self, text: &str) {
        let plain = || {
            let shown = self.shown.lock().unwrap().clone();
            let mut pieces = shown.split('\u{1b}');
            let first = pieces.next().unwrap_or_default().to_owned();
            // Of each sequence the letter that ends it and what is before it go.
            pieces.fold(first, |text, piece| {
                let end = piece
                    .find(|c: char| c.is_ascii_alphabetic() || c == '~')
                    .map_or(piece.len(), |at| at + 1);
                let moved = if piece.starts_with('[') && piece[..end].ends_with(['C', 'G', 'H']) {
                    " "
                } else {
                    ""
                };
                text + moved + &piece[end..]
            })
        };
        let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while !plain().contains(text) {
            assert!(
                std::time::Instant::now() < end,
                "`{text}` is not shown: {}",
                plain()
            );
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
    }

    pub(crate) fn types(&mut self, keys: &str) {
        let mut terminal = self.attached.stdin.as_ref().unwrap();
        terminal.write_all(keys.as_bytes()).unwrap();
        terminal.flush().unwrap();
    }

    pub(crate) fn leaves(mut self) {
        self.types("\u{1c}");
        assert!(self.attached.wait().unwrap().success());
    }
}

pub(crate) const ESC: &str = "\u{1b}";
