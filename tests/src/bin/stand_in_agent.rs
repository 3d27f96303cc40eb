//! Stands in for Claude Code where what it is asked does not matter: draws the line that takes a text as the real one does, runs the
//! hooks it was started with, and leaves each prompt it was asked as one line of `$HOME/asked`.
//!
//! A prompt with `quota N` in it meets the end of a quota that is full again after N seconds, in words that say so; without a number they
//! do not. A prompt with `dialog` in it opens a dialog whose first choice Enter would take; with `draft` in its first prompt it has half a line
//! standing where it takes a text.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use rustix::termios::{OptionalActions, tcgetattr, tcgetwinsize, tcsetattr};
use serde_json::{Value, json};

struct Agent {
    settings: Value,
    id: String,
    home: String,
    /// What stands in the line that takes a text.
    text: String,
    /// A dialog is open, and this turn waits for it.
    dialog: Option<String>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "it is started as an agent is: by words and variables"
)]
fn main() {
    let words: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        words.get(at + 1).cloned()
    };
    let stdin = std::io::stdin();
    if let Ok(mut modes) = tcgetattr(&stdin) {
        modes.make_raw();
        let _ = tcsetattr(&stdin, OptionalActions::Now, &modes);
    }
    let settings = after("--settings").unwrap_or_default();
    let mut agent = Agent {
        settings: serde_json::from_str(&settings).unwrap_or_default(),
        id: after("--session-id").or(after("--resume")).unwrap_or_default(),
        home: std::env::var("HOME").unwrap_or_default(),
        text: String::new(),
        dialog: None,
    };
    let prompt = after("--");
    // Before anybody hears of it: what is typed over a draft must find it there.
    if prompt.as_ref().is_some_and(|prompt| prompt.contains("draft")) {
        agent.text = "half a li".to_owned();
    }
    print!("\x1b[?2004h");
    agent.draw();
    agent.hook("SessionStart", json!({"source": "startup"}));
    if let Some(prompt) = prompt {
        agent.submit(&prompt);
    }
    let mut pasting = false;
    let mut held: Vec<u8> = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = stdin.lock().read(&mut piece) {
        held.extend_from_slice(&piece[..count]);
        while let Some((key, length)) = key(&held) {
            held.drain(..length);
            match key.as_str() {
                "\x1b[200~" => pasting = true,
                "\x1b[201~" => pasting = false,
                // As the real one: a text that comes while a dialog is open is thrown away, and Enter takes its first choice.
                "\r" | "1" if agent.dialog.is_some() => agent.decide(true),
                "2" if agent.dialog.is_some() => agent.decide(false),
                _ if agent.dialog.is_some() => {}
                "\r" if !pasting => {
                    let prompt = std::mem::take(&mut agent.text);
                    agent.draw();
                    agent.submit(&prompt);
                }
                "\x15" => agent.clear_a_line(),
                _ => agent.text.push_str(&key),
            }
        }
        agent.draw();
    }
}

/// The first key in `bytes` and its length; `None` while it is not whole.
fn key(bytes: &[u8]) -> Option<(String, usize)> {
    let length = match bytes {
        [] => return None,
        [0x1b, b'[', rest @ ..] => rest.iter().position(|byte| matches!(byte, 0x40..=0x7e))? + 3,
        [first, ..] => match first {
            0xf0.. => 4,
            0xe0.. => 3,
            0xc0.. => 2,
            _ => 1,
        },
    };
    let key = bytes.get(..length)?;
    Some((String::from_utf8_lossy(key).into_owned(), length))
}

impl Agent {
    fn draw(&self) {
        let size = tcgetwinsize(std::io::stdout());
        let columns = size.map_or(80, |size| usize::from(size.ws_col));
        let rule = "\u{2500}".repeat(columns);
        let body = match &self.dialog {
            Some(_) => format!(
                "{rule}\r\n Do you want to go on?\r\n \u{276f} 1. Yes\r\n   2. No\r\n\r\n Esc to cancel"
            ),
            None => format!(
                "{rule}\r\n\u{276f}\u{a0}{}\r\n{rule}",
                self.text.replace('\n', "\r\n  ")
            ),
        };
        // Behind a curtain, so that nobody sees half of it.
        print!("\x1b[?2026h\x1b[2J\x1b[Ha stand-in\r\n{body}\x1b[?2026l");
        let _ = std::io::stdout().flush();
    }

    /// One line of the text goes, or the end of the line before it.
    fn clear_a_line(&mut self) {
        let line = self.text.rfind('\n');
        let begin = line.map_or(0, |line| line + 1);
        if begin < self.text.len() {
            self.text.truncate(begin);
        } else if let Some(line) = line {
            self.text.truncate(line);
        }
    }

    fn submit(&mut self, prompt: &str) {
        let mut asked = OpenOptions::new();
        let mut asked = asked
            .create(true)
            .append(true)
            .open(format!("{}/asked", self.home))
            .expect("home is writable");
        writeln!(asked, "{}", json!(prompt)).expect("home is writable");
        self.hook("UserPromptSubmit", json!({"prompt": prompt}));
        if let Some((_, after)) = prompt.split_once("quota") {
            let said = match after.split_whitespace().next() {
                Some(seconds) => format!("API Error: 429 try again in {seconds} seconds"),
                None => "API Error: 429 try again later".to_owned(),
            };
            let refused = json!({"error": "rate_limit", "last_assistant_message": said});
            self.hook("StopFailure", refused);
        } else if prompt.contains("dialog") {
            self.dialog = Some(prompt.to_owned());
            self.draw();
            self.hook("PermissionRequest", json!({"tool_name": "Write"}));
        } else {
            self.hook("Stop", json!({"last_assistant_message": prompt}));
        }
    }

    fn decide(&mut self, yes: bool) {
        let prompt = self.dialog.take().unwrap_or_default();
        self.draw();
        let answer = if yes { "yes" } else { "no" };
        self.hook("PostToolUse", json!({"tool_name": "Write"}));
        self.hook(
            "Stop",
            json!({"last_assistant_message": format!("{answer} to {prompt}")}),
        );
    }

    #[expect(clippy::disallowed_methods, reason = "an agent runs its hooks")]
    fn hook(&self, event: &str, mut payload: Value) {
        payload["session_id"] = json!(self.id);
        payload["hook_event_name"] = json!(event);
        let command = self.settings["hooks"][event][0]["hooks"][0]["command"].as_str();
        let Some(command) = command else { return };
        let child = Command::new("/bin/sh")
            .args(["-c", command])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        let mut child = child.expect("a hook can be run");
        if let Some(mut input) = child.stdin.take() {
            let _ = write!(input, "{payload}");
        }
        let _ = child.wait();
    }
}
