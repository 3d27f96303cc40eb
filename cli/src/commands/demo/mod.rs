//! `ao demo`: what `ao` does, shown on a scratch repository with agents that are scripts and accidents that are real.
//!
//! Everything is as in earnest: the same program as daemon, holders and hooks, started with an environment of its own
//! in a directory of its own ([`place`]). The daemon of the person who looks on is neither asked nor seen.

pub(crate) mod agent;
mod checks;
mod journal;
mod place;
mod processes;
mod story;
mod teller;

use std::time::Duration;

use camino::Utf8PathBuf;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use self::place::{Place, failed};
use self::story::Story;
use self::teller::{Check, Teller};
use crate::env::Env;
use crate::error::CliError;
use crate::render::{Out, Tone};

/// See what ao does: three agents, three accidents, and nothing lost
///
/// Makes a scratch repository and a daemon of its own, spawns three scripted agents, kills one of them, crashes a task
/// of the daemon and kills the daemon itself; then checks that all came back and no work was lost, and removes
/// everything. Needs git and about five seconds. Your own daemon and repositories are not touched.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ao demo
  ao demo --keep                                look around in it afterwards
  ao demo --clean /tmp/ao-demo-1a2b3c4d         end and remove one that was kept
  ao demo --json                                only the verdict")]
pub(crate) struct DemoArgs {
    /// Leave its daemon and its directory, and say how to look around
    #[arg(long)]
    keep: bool,

    /// End and remove the demo that was kept in this directory
    #[arg(long, value_name = "DIR", conflicts_with = "keep")]
    clean: Option<Utf8PathBuf>,
}

/// The demo did not go as it should.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// There is no git; nothing is left of the demo.
    #[error("the demo needs git, and there is none on PATH")]
    NoGit,
    /// A command of the demo failed.
    #[error("`{line}` failed: {said}")]
    Command {
        /// Which.
        line: String,
        /// Its words.
        said: String,
    },
    /// Something that had to happen did not.
    #[error("waited {within:?} for {what}: {stands}")]
    Late {
        /// For what.
        what: &'static str,
        /// How long.
        within: Duration,
        /// How things stood then.
        stands: String,
    },
    /// The demo went to its end, but promises were broken; they have been printed.
    #[error("{broken} of the {all} promises did not hold")]
    Broken {
        /// How many.
        broken: usize,
        /// Of how many.
        all: usize,
    },
    /// A signal came; everything was cleaned up.
    #[error("the demo was interrupted by {signal}")]
    Interrupted {
        /// Which.
        signal: &'static str,
    },
    /// That directory is not to be removed; nothing was touched.
    #[error("`{dir}` is not a demo's directory: {why}")]
    NotADemo {
        /// Which.
        dir: Utf8PathBuf,
        /// Why.
        why: String,
    },
}

/// The verdict for programs.
#[derive(Serialize)]
struct Verdict<'a> {
    ok: bool,
    seconds: f64,
    checks: Vec<Check>,
    /// Where the demo is, if it was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<&'a str>,
}

#[derive(Serialize)]
struct Cleaned<'a> {
    removed: &'a str,
    processes: usize,
}

pub(crate) async fn run(args: &DemoArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    if let Some(dir) = &args.clean {
        return clean(dir, env, out);
    }
    let interrupted = interruption()?;
    let mut place = Place::make(env)?;
    let mut teller = Teller::new(out);
    let played = tokio::select! {
        biased;
        signal = interrupted => Err(DemoError::Interrupted { signal }.into()),
        played = play(&place, args.keep, &mut teller) => played,
    };
    match played {
        Ok(()) if args.keep => place.keep(),
        Ok(()) => {
            let ended = place.clear()?;
            let facts = format!("{} is removed", place.dir());
            teller.check(Check::new("nothing is left behind", ended == 0, facts))?;
        }
        Err(error) => {
            let last_words = place.last_words();
            let cleared = place.clear();
            let is_ours = !matches!(
                error,
                CliError::Demo(DemoError::Interrupted { .. } | DemoError::NoGit)
            );
            if is_ours && !last_words.is_empty() {
                out.note(format!("the daemon's last words:\n  {}", last_words.join("\n  ")))?;
            }
            match cleared {
                Ok(ended) => out.note(format!(
                    "cleaned up: {ended} processes ended, {} removed",
                    place.dir()
                ))?,
                Err(left) => out.note(format!(
                    "{}\ntry again: {}",
                    ao_domain::chain(&left),
                    place.how_to_clean()
                ))?,
            }
            return Err(error);
        }
    }
    verdict(&place, args.keep, &mut teller)
}

async fn play(place: &Place, keep: bool, teller: &mut Teller<'_>) -> Result<(), CliError> {
    teller.plain(format!(
        "Three agents work on a scratch repository, and three accidents happen to them.\n\
         The agents are scripts, the accidents are real. Everything is in\n{}.",
        place.dir()
    ))?;
    let mut story = Story::new(place, teller);
    story.play().await?;
    if keep { Ok(()) } else { story.go_home().await }
}

fn look_around(place: &Place, teller: &mut Teller<'_>) -> Result<(), CliError> {
    teller.act("6. Look around")?;
    teller.plain("The daemon and two agents go on. To see them, type in a shell:")?;
    teller.plain("")?;
    for (name, value) in place.exports() {
        teller.plain(format!("  export {name}={value}"))?;
    }
    for (line, what) in [
        ("ao session ls --include-terminated", "how they stand"),
        ("ao attach shop-1", "its terminal: every line is one more task"),
        ("ao tree", "what runs in the daemon"),
        ("ao kill shop-3", "keeps its worktree, and says why"),
    ] {
        teller.plain(format!("  {line:<36}  # {what}"))?;
    }
    teller.plain("")?;
    teller.plain("When you have seen enough:")?;
    teller.plain("")?;
    let line = teller.paint(Tone::Strong, place.how_to_clean());
    teller.plain(format!("  {line}"))
}

fn verdict(place: &Place, kept: bool, teller: &mut Teller<'_>) -> Result<(), CliError> {
    let all = teller.checks().len();
    let broken = teller.checks().iter().filter(|check| !check.held()).count();
    let seconds = teller.elapsed().as_secs_f64();
    let verdict = Verdict {
        ok: broken == 0,
        seconds: (seconds * 10.0).round() / 10.0,
        checks: teller.checks().to_vec(),
        directory: kept.then(|| place.dir().as_str()),
    };
    teller.object(&verdict)?;
    if broken == 0 {
        let line = format!("All {all} promises held, in {seconds:.1} s.");
        let line = teller.paint(Tone::Good, line);
        teller.plain("")?;
        teller.plain(line)?;
    }
    if kept {
        look_around(place, teller)?;
    }
    if broken > 0 {
        return Err(DemoError::Broken { broken, all }.into());
    }
    if kept {
        return Ok(());
    }
    teller.plain("With a repository of yours:")?;
    teller.plain("  ao start; cd REPOSITORY; ao project add .; ao spawn -- COMMAND")
}

fn clean(dir: &Utf8PathBuf, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let mut place = Place::find(dir, env)?;
    let processes = place.clear()?;
    if out.is_json() {
        return out.object(&Cleaned {
            removed: place.dir().as_str(),
            processes,
        });
    }
    out.line(format!("{processes} processes ended, {} removed", place.dir()))
}

/// Resolves when the person, the terminal or the system wants an end, with the signal's name.
fn interruption() -> Result<impl Future<Output = &'static str>, CliError> {
    let on = |kind| signal(kind).map_err(failed("waiting for signals", "the system"));
    let (mut int, mut term) = (on(SignalKind::interrupt())?, on(SignalKind::terminate())?);
    let mut hup = on(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = int.recv() => "SIGINT",
            _ = term.recv() => "SIGTERM",
            _ = hup.recv() => "SIGHUP",
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::kept;

    #[test]
    fn one_broken_promise_makes_the_demo_fail_and_says_which() {
        let place = Place::make(&Env::of_process()).unwrap();
        let (mut out, results, _) = kept(false, false, None);
        let mut teller = Teller::new(&mut out);
        teller.check(Check::new("this held", true, "1 of 1")).unwrap();
        teller.check(Check::new("this did not", false, "0 of 1")).unwrap();
        let error = verdict(&place, false, &mut teller).unwrap_err();
        assert_eq!(error.exit(), 1);
        assert_eq!(error.for_people(), "1 of the 2 promises did not hold");
        let told = results.text();
        assert!(told.contains("✗ this did not\n           0 of 1\n"), "{told}");
        assert!(!told.contains("All 2"), "{told}");
    }
}
