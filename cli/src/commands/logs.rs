//! `ao logs`: what a session's terminal showed. Asks the session's holder, so it works without a daemon.

use std::time::Duration;

use ao_api::wire::SessionAnswer;
use ao_domain::SessionId;
use ao_domain::port::agent::Agents as _;
use ao_domain::port::runtime::{Look, Runtime as _, RuntimeError, RuntimeRef};
use ao_local::agents::Registry;
use ao_local::runtimes::holder::Runs;
use clap_complete::engine::ArgValueCompleter;
use serde::Serialize;

use super::attach::newest_run;
use super::completion::any_sessions;
use crate::client::{Ask, encoded};
use crate::env::Env;
use crate::error::CliError;
use crate::render::Out;

/// How often to look again at a terminal: nobody tells of what it shows but to those who watch it whole.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// How many lines are compared to find the place where one stopped. All that a holder keeps, and a screen.
const ALL: usize = 1_200;

/// Show what a session's terminal showed
///
/// The last lines of its scrollback and screen as plain text. With `--follow`, lines are added once they stand still, until the agent
/// ends. Works while the daemon is down, and after the agent's end until the session is killed.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ao logs web-7
  ao logs web-7 --lines 500
  ao logs web-7 --follow")]
pub(crate) struct LogsArgs {
    /// The session's id
    #[arg(add = ArgValueCompleter::new(any_sessions))]
    session: SessionId,

    /// How many lines, the last ones
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100)]
    lines: usize,

    /// Go on until the agent ends
    #[arg(short, long)]
    follow: bool,
}

#[derive(Serialize)]
struct Lines {
    lines: Vec<String>,
}

#[derive(Serialize)]
struct Line<'a> {
    line: &'a str,
}

pub(crate) async fn run(args: &LogsArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let (runtime, at) = newest_run(&args.session, env).await?;
    let failed = |source: RuntimeError| CliError::Attach {
        session: args.session.to_string(),
        source,
    };
    let mark = mark_of(&args.session, env).await;
    let mark = mark.as_deref();
    let lines = runtime.tail(&at, ALL).await.map_err(failed)?;
    let shown = without_prompt(&lines, mark);
    let last = shown[shown.len().saturating_sub(args.lines)..].to_vec();
    if !args.follow {
        if out.is_json() {
            return out.object(&Lines { lines: last });
        }
        return print(&last, out);
    }
    print(&last, out)?;
    follow(&runtime, &at, mark, shown.to_vec(), out)
        .await
        .map_err(|error| match error {
            Followed::Runtime(source) => failed(source),
            Followed::Print(error) => error,
        })
}

enum Followed {
    Runtime(RuntimeError),
    Print(CliError),
}

/// Adds what has come to stand still since `printed`, until the agent has ended.
async fn follow(
    runtime: &Runs,
    at: &RuntimeRef,
    mark: Option<&str>,
    mut printed: Vec<String>,
    out: &mut Out,
) -> Result<(), Followed> {
    let mut before = printed.clone();
    loop {
        let look = runtime.look(at).await.map_err(Followed::Runtime)?;
        let is_over = !matches!(look, Look::Running(_) | Look::Silent);
        let lines = match runtime.tail(at, ALL).await {
            Ok(lines) => lines,
            // It was killed, and its terminal with it.
            Err(RuntimeError::Absent(_)) => return Ok(()),
            Err(error) => return Err(Followed::Runtime(error)),
        };
        let now = without_prompt(&lines, mark).to_vec();
        let still = if is_over { now.len() } else { agree(&before, &now) };
        let new = added(&printed, &now[..still]).to_vec();
        print(&new, out).map_err(Followed::Print)?;
        if !new.is_empty() {
            printed = now[..still].to_vec();
        }
        before = now;
        if is_over {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn print(lines: &[String], out: &mut Out) -> Result<(), CliError> {
    for line in lines {
        if out.is_json() {
            out.json_line(&Line { line })?;
        } else {
            out.line(line)?;
        }
    }
    Ok(())
}

/// How many lines of `now` stand as they stood `before`. Where the oldest have gone meanwhile, the others moved up.
fn agree(before: &[String], now: &[String]) -> usize {
    let moved = (0..before.len().max(1)).find(|moved| {
        let (old, new) = (&before[(*moved).min(before.len())..], now);
        let alike = old.iter().zip(new).take_while(|(old, new)| old == new).count();
        alike >= old.len().min(new.len()).div_ceil(2)
    });
    let Some(moved) = moved else { return 0 };
    let old = &before[moved.min(before.len())..];
    old.iter().zip(now).take_while(|(old, new)| old == new).count()
}

/// What of `now` was not printed yet: all behind the last place where it goes on from what was.
fn added<'a>(printed: &[String], now: &'a [String]) -> &'a [String] {
    // As many of the last printed lines as are found again, in their order.
    let most = printed.len().min(now.len());
    for length in (1..=most).rev() {
        let tail = &printed[printed.len() - length..];
        if let Some(place) = now.windows(length).rposition(|part| part == tail) {
            return &now[place + length..];
        }
    }
    now
}

/// Lines without the place where the program takes a text, and what is below it: they are painted again and again.
fn without_prompt<'a>(lines: &'a [String], mark: Option<&str>) -> &'a [String] {
    let Some(mark) = mark else { return lines };
    let is_rule = |line: &String| line.starts_with("\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}");
    let Some(end) = lines.iter().rposition(is_rule) else {
        return lines;
    };
    let Some(begin) = lines[..end].iter().rposition(is_rule) else {
        return lines;
    };
    if lines[begin + 1..end]
        .first()
        .is_some_and(|line| line.starts_with(mark))
    {
        &lines[..begin]
    } else {
        lines
    }
}

/// How the session's agent marks where it takes a text, as far as a daemon says which agent it is.
async fn mark_of(session: &SessionId, env: &Env) -> Option<String> {
    let daemon = super::find(env).ok()?;
    let path = format!("/api/v1/sessions/{}", encoded(session.as_str()));
    let answer: SessionAnswer = daemon.fetch(Ask::get(path)).await.ok()?;
    let registry = Registry::new(&env.path());
    let prompt = registry.get(&answer.session.harness).ok()?.prompt(None)?;
    Some(prompt.mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split(' ')
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn only_what_stands_still_counts() {
        assert_eq!(agree(&lines("a b spin1"), &lines("a b spin2")), 2);
        assert_eq!(agree(&lines("a b c"), &lines("a b c d")), 3);
        assert_eq!(
            agree(&lines("a b c d"), &lines("b c d e")),
            3,
            "the oldest has gone"
        );
        assert_eq!(agree(&[], &lines("a")), 0);
        assert_eq!(agree(&lines("a b"), &lines("x y")), 0);
    }

    #[test]
    fn what_was_printed_is_not_printed_again() {
        assert_eq!(added(&lines("a b"), &lines("a b c d")), lines("c d"));
        assert_eq!(
            added(&lines("a b c"), &lines("b c d")),
            lines("d"),
            "the oldest has gone"
        );
        assert_eq!(added(&lines("a b"), &lines("a b")), lines(""));
        assert_eq!(added(&lines("a"), &lines("x y")), lines("x y"), "another screen");
        assert_eq!(added(&[], &lines("x")), lines("x"));
    }

    #[test]
    fn the_place_for_a_text_is_left_out() {
        let rule = "\u{2500}".repeat(30);
        let screen = |rows: &[&str]| {
            rows.iter()
                .map(|row| row.replace("--", &rule))
                .collect::<Vec<_>>()
        };
        let all = screen(&["done", "--", "\u{276f} half", "--", "  manual mode"]);
        assert_eq!(without_prompt(&all, Some("\u{276f}")), ["done"]);
        assert_eq!(without_prompt(&all, None), all);
        let dialog = screen(&["--", " \u{276f} 1. Yes"]);
        assert_eq!(without_prompt(&dialog, Some("\u{276f}")), dialog);
    }
}
