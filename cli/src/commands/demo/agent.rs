//! `ao demo-agent NAME`: the demo's agents. Scripts, but to `ao` they are as any other agent: they work in their
//! worktree by git, report by `ao hooks` and read what is typed on their terminal.
//!
//! Each goes through its play and then takes whatever is typed as a further task, so that a kept demo can be tried out.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::journal::{self, Deed};
use super::place;
use crate::env::Env;
use crate::error::{FAILED, MISUSE};

/// How long a piece of work takes: long enough to be seen, short enough not to bore.
const WORK: Duration = Duration::from_millis(700);

/// The same for the scribe, who writes several lines.
const LINE: Duration = Duration::from_millis(350);

/// What the fixer fixes, again and again until it is told that it is enough.
const CURRENCIES: &[(&str, u8)] = &[
    ("EUR", 2),
    ("JPY", 0),
    ("BHD", 3),
    ("USD", 2),
    ("KRW", 0),
    ("KWD", 3),
    ("CHF", 2),
    ("CLP", 0),
    ("TND", 3),
    ("SEK", 2),
];

/// Who there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Works without end, one commit after the other.
    Fixer,
    /// Works, then needs a decision.
    Asker,
    /// Writes notes and does not commit them.
    Scribe,
}

impl Role {
    pub(super) const ALL: [Self; 3] = [Self::Fixer, Self::Asker, Self::Scribe];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Fixer => "fixer",
            Self::Asker => "asker",
            Self::Scribe => "scribe",
        }
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|role| role.as_str() == word).ok_or(())
    }
}

/// What the asker removes once it may.
pub(super) const OLD_PRICES: &str = "prices-of-last-year.csv";
/// Where the fixer puts what it fixed.
pub(super) const ROUNDING: &str = "rounding.csv";
/// Where the asker writes down what was decided.
pub(super) const DECISIONS: &str = "decisions.txt";
/// What the scribe writes.
pub(super) const NOTES: &str = "NOTES.md";

/// Called before anything else is set up; `words` are those after `demo-agent`.
pub(crate) fn main(words: &[OsString]) -> ExitCode {
    let role = match words {
        [word] => word.to_str().and_then(|word| word.parse().ok()),
        _ => None,
    };
    let (Some(role), Ok(places)) = (role, Env::of_process().places()) else {
        return ExitCode::from(MISUSE);
    };
    let mut agent = Agent {
        role,
        journal: place::journal(&places.data_dir, role),
        typed: Vec::new(),
        round: 0,
    };
    match agent.play() {
        // Its terminal is gone, and so is everybody who could want something of it.
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{}: {error}", role.as_str());
            ExitCode::from(FAILED)
        }
    }
}

struct Agent {
    role: Role,
    journal: Utf8PathBuf,
    /// What was read from the terminal and not taken yet.
    typed: Vec<u8>,
    round: usize,
}

impl Agent {
    /// Plays the part; returns when the terminal is gone.
    fn play(&mut self) -> io::Result<()> {
        let going_on = match self.role {
            Role::Fixer => self.fix_until_told()?,
            Role::Asker => self.ask()?,
            Role::Scribe => {
                self.write_notes()?;
                true
            }
        };
        if !going_on {
            return Ok(());
        }
        while let Typed::Line(line) = self.line(None)? {
            match self.role {
                Role::Fixer => self.fix()?,
                Role::Asker => self.decide(&line)?,
                Role::Scribe => self.note(&line)?,
            }
            self.say("waiting-for-work", "done")?;
        }
        Ok(())
    }

    fn fix_until_told(&mut self) -> io::Result<bool> {
        loop {
            self.fix()?;
            match self.line(Some(Duration::ZERO))? {
                Typed::Nothing => {}
                Typed::Line(_) => break,
                Typed::End => return Ok(false),
            }
        }
        self.say("waiting-for-work", &format!("{} currencies rounded", self.round))?;
        Ok(true)
    }

    fn fix(&mut self) -> io::Result<()> {
        let (currency, places) = CURRENCIES[self.round % CURRENCIES.len()];
        self.round += 1;
        self.say("working", &format!("rounding {currency} to {places} places"))?;
        pace(WORK)?;
        let line = format!("{currency},{places},{}", self.round);
        self.commit(ROUNDING, &line, &format!("Round {currency} to {places} places"))
    }

    fn ask(&mut self) -> io::Result<bool> {
        self.say("working", "looking for files that nobody reads")?;
        pace(WORK)?;
        self.say("needs-decision", &format!("may {OLD_PRICES} go? (yes/no)"))?;
        let Typed::Line(answer) = self.line(None)? else {
            return Ok(false);
        };
        self.say("working", &format!("the answer was: {answer}"))?;
        pace(WORK)?;
        if answer.trim() == "yes" {
            fs::remove_file(OLD_PRICES)?;
        }
        let line = format!("{OLD_PRICES} may go: {answer}");
        self.commit(DECISIONS, &line, &format!("Remove {OLD_PRICES}, as decided"))?;
        self.say("waiting-for-work", "done as decided")?;
        Ok(true)
    }

    fn decide(&mut self, line: &str) -> io::Result<()> {
        self.say("working", &format!("writing down: {line}"))?;
        pace(WORK)?;
        self.commit(DECISIONS, line, "Write down a decision")
    }

    fn write_notes(&mut self) -> io::Result<()> {
        for line in [
            "# How prices are rounded",
            "",
            "- Every currency has its own number of places.",
            "- Round once, at the end, and half to even.",
        ] {
            self.note(line)?;
        }
        self.say("waiting-for-work", "notes written, not committed")
    }

    fn note(&mut self, line: &str) -> io::Result<()> {
        if self.round == 0 {
            self.say("working", &format!("writing {NOTES}"))?;
        }
        self.round += 1;
        pace(LINE)?;
        append_line(NOTES.into(), line)?;
        let text = fs::read_to_string(NOTES)?;
        self.record(&Deed::Wrote {
            file: NOTES.to_owned(),
            text,
        })
    }

    /// Reports by the hook, as a real agent's configuration would have it do.
    fn say(&self, event: &str, title: &str) -> io::Result<()> {
        let mut hook = command("ao")
            .args(["hooks", "shell", event])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let payload = serde_json::json!({ "title": title }).to_string();
        hook.stdin
            .take()
            .expect("it was asked for")
            .write_all(payload.as_bytes())?;
        hook.wait()?;
        println(&format!("{event}: {title}"))?;
        self.record(&Deed::Said {
            event: event.to_owned(),
            title: title.to_owned(),
        })
    }

    /// Adds `line` to `file` and commits everything.
    fn commit(&self, file: &str, line: &str, subject: &str) -> io::Result<()> {
        append_line(file.into(), line)?;
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "-m", subject])?;
        let commit = self.git(&["rev-parse", "HEAD"])?;
        println(&format!("committed {}: {subject}", place::short(&commit)))?;
        self.record(&Deed::Committed {
            commit,
            subject: subject.to_owned(),
            file: file.to_owned(),
            line: line.to_owned(),
        })
    }

    fn git(&self, words: &[&str]) -> io::Result<String> {
        let output = command("git")
            .args(place::identity(self.role.as_str()))
            .args(words)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(io::Error::other(format!(
                "git {}: {}",
                words.join(" "),
                output.status
            )));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn record(&self, deed: &Deed) -> io::Result<()> {
        journal::append(&self.journal, deed)
    }

    /// The next line typed on the terminal, waited for as long as `patience` says, or for ever.
    fn line(&mut self, patience: Option<Duration>) -> io::Result<Typed> {
        let stdin = io::stdin();
        let end = patience.map(|patience| Instant::now() + patience);
        loop {
            if let Some(at) = self.typed.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.typed.drain(..=at).collect();
                return Ok(Typed::Line(String::from_utf8_lossy(&line).trim().to_owned()));
            }
            let left = end.map(|end| timespec(end.saturating_duration_since(Instant::now())));
            match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], left.as_ref()) {
                Ok(0) => return Ok(Typed::Nothing),
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let mut piece = [0; 1024];
            match rustix::io::read(&stdin, &mut piece) {
                Ok(0) | Err(rustix::io::Errno::IO) => return Ok(Typed::End),
                Ok(length) => self.typed.extend_from_slice(&piece[..length]),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// What came of waiting for a line.
enum Typed {
    Line(String),
    Nothing,
    /// The terminal is gone.
    End,
}

fn command(program: &str) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "an agent starts programs of its own; this one stands for it"
    )]
    Command::new(program)
}

fn append_line(file: &Utf8Path, line: &str) -> io::Result<()> {
    fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)?
        .write_all(format!("{line}\n").as_bytes())
}

fn println(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// Lets some time pass; what is typed meanwhile waits.
fn pace(time: Duration) -> io::Result<()> {
    match poll(&mut [], Some(&timespec(time))) {
        // A signal that did not end us is no reason to hurry more than this.
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    }
}
