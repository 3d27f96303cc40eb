//! One question to a program that may be anything: bounded in time and in words, and nothing of it is left running.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use ao_domain::foreign_text::in_line;
use camino::Utf8Path;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use super::sheet::Environment;

/// How long a program may take to say its version: the slowest take a second of a processor, and more than 5 s where others want it.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long what it left running may keep its output open after its own end.
const REST: Duration = Duration::from_millis(500);

/// The most that is read of it. The longest `--help` seen had 24 kB.
const MOST: usize = 256 * 1024;

/// How much of its words a sentence of ours has, in characters.
const QUOTED: usize = 240;

/// What `program` prints when it is started with `word` and ends well, on its error output where nothing else is; else why not, in
/// words that follow "it does not start".
///
/// It is started with `env`, in the root folder, so that no project's settings are read. Dropped, it kills what it started.
pub(super) async fn ask(program: &Utf8Path, word: &str, env: Environment<'_>) -> Result<String, String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "asks an agent's program for its version or its help, with a deadline and a group of its own"
    )]
    let mut command = Command::new(program);
    command
        .arg(word)
        .env_clear()
        .envs(env.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let group = Group::of(&child);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let said = {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let reading = async { tokio::try_join!(take(stdout, &mut out), take(stderr, &mut err)) };
        let mut reading = std::pin::pin!(reading);
        let run = async {
            tokio::select! {
                read = &mut reading => {
                    read?;
                    child.wait().await
                }
                status = child.wait() => {
                    // What it left running in its group would hold the pipes open; what left the group has a moment.
                    drop(group);
                    let _ = tokio::time::timeout(REST, &mut reading).await;
                    status
                }
            }
        };
        tokio::time::timeout(DEADLINE, run).await
    };
    match said {
        Err(_) => Err(format!("it did not end within {} s", DEADLINE.as_secs())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(status)) if status.success() => {
            let said = if out.trim_ascii().is_empty() { &err } else { &out };
            Ok(String::from_utf8_lossy(said).into_owned())
        }
        Ok(Ok(status)) => {
            let words = [&err, &out].map(|bytes| in_short(&String::from_utf8_lossy(bytes)));
            Err(match words.into_iter().find(|words| !words.is_empty()) {
                Some(words) => format!("{status}: {words}"),
                None => status.to_string(),
            })
        }
    }
}

/// Kills a group when dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // One that is gone already is what was wanted; its number is given to nobody within this instant.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

async fn take(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) -> io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    let mut piece = vec![0; 8 * 1024];
    loop {
        match from.read(&mut piece).await? {
            0 => return Ok(()),
            read => into.extend_from_slice(&piece[..read]),
        }
        if into.len() > MOST {
            return Err(io::Error::other(format!(
                "it prints more than {} kB",
                MOST / 1024
            )));
        }
    }
}

/// The first line of a text, and the first that names an error, where that is another.
fn in_short(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let short = match lines.find(|line| line.contains("rror:")) {
        Some(error) if !first.contains("rror:") => format!("{first} \u{2026} {error}"),
        _ => first.to_owned(),
    };
    in_line(&short, QUOTED)
}

/// The first word of `text` that is a version: digits with a dot between them, and whatever else there is behind it.
pub(super) fn version_in(text: &str) -> Option<&str> {
    text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '(' | ')' | '/' | ':' | ';'))
        .map(|word| word.trim_matches(['.', '"', '\'']))
        .map(|word| word.strip_prefix('v').unwrap_or(word))
        .find(|word| {
            word.len() <= 64
                && numbers(word).count() > 1
                && word
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'))
        })
}

/// Whether `help` names this option, and not only one that begins or ends like it.
pub(super) fn names(help: &str, option: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    help.match_indices(option).any(|(at, _)| {
        let (before, after) = (&help[..at], &help[at + option.len()..]);
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

/// The numbers that a version begins with.
pub(super) fn numbers(version: &str) -> impl Iterator<Item = u64> {
    let end = version.find(['-', '+']).unwrap_or(version.len());
    version[..end].split('.').map_while(|part| part.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_programs_say() {
        for (said, version) in [
            ("2.1.330 (Claude Code)", Some("2.1.330")),
            ("codex-cli 0.169.0\n", Some("0.169.0")),
            ("1.18.33", Some("1.18.33")),
            ("grok 1.0.41 (4220f3b224a6)", Some("1.0.41")),
            (
                "GitHub Copilot CLI 1.0.102.\nRun 'copilot update' to check.",
                Some("1.0.102"),
            ),
            ("v3.0.0-beta.2", Some("3.0.0-beta.2")),
            ("2026.09.12-abc0123", Some("2026.09.12-abc0123")),
            ("hello", None),
            ("7", None),
            ("\u{fffd}\u{fffd}", None),
            ("", None),
        ] {
            assert_eq!(version_in(said), version, "{said}");
        }
    }

    #[test]
    fn an_option_is_named_by_a_whole_word() {
        for (help, is_named) in [
            ("  -m, --model <MODEL>", true),
            ("--model=", true),
            ("[--model]", true),
            ("--models", false),
            ("--model-list", false),
            ("--no--model", false),
            ("", false),
        ] {
            assert_eq!(names(help, "--model"), is_named, "{help}");
        }
    }

    #[test]
    fn an_error_is_said_in_one_line() {
        assert_eq!(in_short("\n  no such thing\nmore\n"), "no such thing");
        assert_eq!(
            in_short("file:///x.mjs:20\nimport a\n   ^^^\nSyntaxError: no export 'a'\n"),
            "file:///x.mjs:20 \u{2026} SyntaxError: no export 'a'"
        );
        assert_eq!(in_short("Error: a\nError: b"), "Error: a");
        assert_eq!(in_short("\u{1b}[2J"), "\u{241b}[2J");
        assert_eq!(in_short(&"x".repeat(1_000)).chars().count(), QUOTED + 1);
    }
}
