//! `ao pr …`: the pull requests of sessions, their checks, and what agents were told of them.

mod name;

use ao_api::wire::{Check, Episode, PrGot, PrList, PrSummary, PullRequest, SessionPrs};
use ao_domain::foreign_text::{clean, in_line};
use ao_domain::{CheckStatus, Ci, Evidence, Mergeability, PrState, ProjectId, Review, SessionId, Timestamp};
use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;

use self::name::{PrName, on_forge, resolve};
use super::completion::{any_sessions, projects, pull_requests};
use super::session;
use crate::client::{Ask, encoded};
use crate::duration;
use crate::env::Env;
use crate::error::CliError;
use crate::render::{Out, Tone};

/// How much of a title stands in a table, in characters.
const TITLE: usize = 60;
/// How much of the name of a check stands in a line, in characters.
const CHECK: usize = 60;
/// How many names of failed checks stand in a line.
const NAMED: usize = 10;
/// How much of anything else that others wrote stands in a line, in characters.
const LINE: usize = 300;

/// Look at the pull requests of sessions, and at their checks
///
/// A session's pull request is found by its branch once that was pushed. What is shown was read when it was looked at last; the
/// daemon looks by itself.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ao pr ls
  ao pr get web-7                              the pull request of a session
  ao pr checks web-7 --logs                    what failed, and what its log says")]
pub(crate) struct PrArgs {
    #[command(subcommand)]
    command: Option<PrCommand>,
}

#[derive(Subcommand)]
enum PrCommand {
    Ls(LsArgs),
    Get(GetArgs),
    Checks(ChecksArgs),
}

/// List the pull requests
#[derive(clap::Args)]
#[command(
    visible_alias = "list",
    after_help = "\
Examples:
  ao pr ls
  ao pr ls --session web-7 --all
  ao pr ls --project web --json"
)]
struct LsArgs {
    /// Only those of this session
    #[arg(short, long, value_name = "SESSION", conflicts_with = "project", add = ArgValueCompleter::new(any_sessions))]
    session: Option<SessionId>,

    /// Only those of this project
    #[arg(short, long, value_name = "PROJECT", add = ArgValueCompleter::new(projects))]
    project: Option<ProjectId>,

    /// Those that are merged or closed, too
    #[arg(short, long)]
    all: bool,
}

/// Show everything about one pull request
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ao pr get 3
  ao pr get '#7'
  ao pr get acme/web#7 --json
  ao pr get web-7                              of a session that has only one")]
struct GetArgs {
    /// Its id as `ao pr ls` shows it, '#7', owner/name#7, its URL, or the id of a session that has only one
    #[arg(value_name = "PR", add = ArgValueCompleter::new(pull_requests))]
    pr: PrName,
}

/// Show the checks of a pull request
///
/// Exits with 0 when all have passed, with 1 when one has failed or none is known, and with 8 while some are not done, or while what is
/// known may be of before a push: until the daemon has looked again.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ao pr checks 3
  ao pr checks web-7 --logs
  until ao pr checks web-7; [ $? -ne 8 ]; do sleep 10; done")]
struct ChecksArgs {
    /// Its id as `ao pr ls` shows it, '#7', owner/name#7, its URL, or the id of a session that has only one
    #[arg(value_name = "PR", add = ArgValueCompleter::new(pull_requests))]
    pr: PrName,

    /// Show the ends of the logs of those that have failed
    #[arg(short, long)]
    logs: bool,
}

pub(crate) async fn run(args: PrArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    match args.command {
        None => super::group_help("pr", env, out),
        Some(PrCommand::Ls(args)) => ls(&args, env, out).await,
        Some(PrCommand::Get(args)) => get(&args, env, out).await,
        Some(PrCommand::Checks(args)) => checks(&args, env, out).await,
    }
}

async fn ls(args: &LsArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let daemon = super::find(env)?;
    let prs = match &args.session {
        None => name::list(&daemon, args.project.as_ref()).await?,
        Some(id) => {
            let path = format!("/api/v1/sessions/{}/pr", encoded(id.as_str()));
            match daemon.fetch::<SessionPrs>(Ask::get(path)).await {
                Ok(of_session) => of_session.prs,
                Err(error) => return Err(session::with_nearest(&daemon, error, id.as_str()).await),
            }
        }
    };
    print_list(prs, args.all, ao_local::clock::now(), out)
}

fn print_list(prs: Vec<PullRequest>, all: bool, now: Timestamp, out: &mut Out) -> Result<(), CliError> {
    let known = prs.len();
    let shown: Vec<PullRequest> = prs
        .into_iter()
        .filter(|pr| all || pr.short.state.is_open())
        .collect();
    let hidden = known - shown.len();
    if out.is_json() {
        return out.object(&PrList { prs: shown });
    }
    if shown.is_empty() {
        out.line(if known == 0 {
            "(no pull requests)"
        } else {
            "(no open pull requests)"
        })?;
    } else {
        let rows = shown.iter().map(|pr| row(pr, now, out)).collect();
        let head = [
            "ID", "SESSION", "PR", "TITLE", "STATE", "CHECKS", "REVIEW", "MERGE", "CHANGED",
        ];
        out.table(&head, rows)?;
    }
    for pr in &shown {
        if let Some(trouble) = &pr.short.trouble {
            let text = format!(
                "#{} of {}: at the last look: {}",
                pr.short.number,
                pr.session_id,
                in_line(trouble, LINE)
            );
            out.line(out.paint(Tone::Warn, text))?;
        }
    }
    match hidden {
        0 => Ok(()),
        1 => out.line("1 that is merged or closed is not shown: --all"),
        hidden => out.line(format!("{hidden} that are merged or closed are not shown: --all")),
    }
}

fn row(pr: &PullRequest, now: Timestamp, out: &Out) -> Vec<String> {
    let short = &pr.short;
    let checks = match (short.ci, short.failing.len()) {
        (Ci::Unknown, _) => String::new(),
        (Ci::Failing, count) if count > 0 => format!("failing ({count})"),
        (ci, _) => ci.to_string(),
    };
    vec![
        short.id.to_string(),
        pr.session_id.to_string(),
        format!("#{}", short.number),
        in_line(&short.title, TITLE),
        out.paint(tone_of_state(short.state), short.state.as_str()),
        out.paint(tone_of_ci(short.ci), checks),
        review_in_words(short.review).to_owned(),
        mergeability_in_words(short.mergeability).to_owned(),
        duration::age(now.since(short.changed_at)),
    ]
}

async fn fetch(env: &Env, name: &PrName, logs: bool) -> Result<PrGot, CliError> {
    let daemon = super::find(env)?;
    let id = resolve(&daemon, name).await?;
    let query = if logs { "?logs=true" } else { "" };
    daemon.fetch(Ask::get(format!("/api/v1/prs/{id}{query}"))).await
}

async fn get(args: &GetArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let got = fetch(env, &args.pr, false).await?;
    if out.is_json() {
        return out.object(&got);
    }
    for (name, value) in rows(&got) {
        out.line(format!("{name}: {value}"))?;
    }
    Ok(())
}

/// Everything about a pull request that a person may want, without what is not there.
fn rows(got: &PrGot) -> Vec<(&'static str, String)> {
    let (pr, short) = (&got.pr, &got.pr.short);
    let moment = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let queue = if pr.queued_to_merge {
        "it waits in the merge queue"
    } else {
        ""
    };
    let followed = match (pr.followed, short.state.is_open()) {
        (true, _) => "",
        (false, true) => "no: it was gone, and its session is over",
        (false, false) => "no: its end was seen",
    };
    let mut rows = vec![
        ("id", short.id.to_string()),
        ("session", pr.session_id.to_string()),
        ("project", pr.project_id.to_string()),
        ("pr", on_forge(pr)),
        ("title", in_line(&short.title, LINE)),
        ("author", in_line(&pr.author, LINE)),
        ("url", in_line(&short.url, LINE)),
        ("state", short.state.to_string()),
        ("checks", ci_in_words(short)),
        ("review", review_in_words(short.review).to_owned()),
        ("merge", mergeability_in_words(short.mergeability).to_owned()),
        ("queue", queue.to_owned()),
        (
            "branch",
            format!(
                "{} (into {})",
                in_line(&short.head_branch, LINE),
                in_line(&short.base_branch, LINE)
            ),
        ),
        ("commit", in_line(&short.head, LINE)),
        (
            "trouble",
            in_line(short.trouble.as_deref().unwrap_or_default(), LINE),
        ),
        (
            "may be old",
            in_line(pr.outdated.as_deref().unwrap_or_default(), LINE),
        ),
        ("looked at", moment(pr.read_at)),
        ("looked at still", followed.to_owned()),
        ("changed", short.changed_at.to_string()),
        ("found", pr.created_at.to_string()),
    ];
    for episode in &got.episodes {
        rows.push(("episode", episode_in_words(episode)));
    }
    if short.ci == Ci::Failing {
        rows.push(("logs with", format!("ao pr checks {} --logs", short.id)));
    }
    rows.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// What was wrong, when, and what its agent was told of it.
fn episode_in_words(episode: &Episode) -> String {
    let until = match (episode.closed_at, &episode.closed_by) {
        (Some(at), Some(why)) => format!("until {at} ({})", in_line(why, LINE)),
        (Some(at), None) => format!("until {at}"),
        (None, _) => "still so".to_owned(),
    };
    let told: Vec<String> = episode
        .messages
        .iter()
        .map(|told| {
            let became = match (told.typed, told.lost) {
                (_, true) => "not delivered",
                (true, false) => "typed",
                (false, false) => "waits",
            };
            format!("message {} ({became})", told.message_id)
        })
        .collect();
    let told = if told.is_empty() {
        "its agent was not told".to_owned()
    } else {
        format!("told by {}", told.join(", "))
    };
    format!(
        "{}; since {}, {until}; {told}",
        in_line(&episode.headline, LINE),
        episode.opened_at
    )
}

async fn checks(args: &ChecksArgs, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let got = fetch(env, &args.pr, args.logs).await?;
    if out.is_json() {
        out.object(&got)?;
    } else {
        print_checks(&got, args.logs, ao_local::clock::now(), out)?;
    }
    verdict(&got)
}

/// What the exit status says.
fn verdict(got: &PrGot) -> Result<(), CliError> {
    let number = got.pr.short.number;
    let count = |wanted: &[CheckStatus]| {
        got.checks
            .iter()
            .filter(|check| wanted.contains(&check.status))
            .count()
    };
    if let Some(why) = &got.pr.outdated {
        return Err(CliError::ChecksPending {
            what: format!(
                "how the checks of #{number} stand now is not known: {}",
                in_line(why, LINE)
            ),
        });
    }
    match got.pr.short.ci {
        Ci::Passing => Ok(()),
        Ci::Failing => Err(CliError::ChecksFailed {
            number,
            failed: count(&[CheckStatus::Failed]),
            of: got.checks.len(),
        }),
        Ci::Pending => Err(CliError::ChecksPending {
            what: format!(
                "{} of the {} checks of #{number} are not done",
                count(&[CheckStatus::Queued, CheckStatus::InProgress]),
                got.checks.len()
            ),
        }),
        Ci::Unknown if got.pr.detailed_at.is_none() => Err(CliError::ChecksPending {
            what: format!("nobody has looked at the checks of #{number} yet"),
        }),
        Ci::Unknown => Err(CliError::NoChecks {
            what: match &got.pr.short.trouble {
                Some(trouble) => format!(
                    "how the checks of #{number} stand is not known: {}",
                    in_line(trouble, LINE)
                ),
                None => format!("no check of #{number} has passed or failed"),
            },
        }),
    }
}

fn print_checks(got: &PrGot, logs: bool, now: Timestamp, out: &mut Out) -> Result<(), CliError> {
    let short = &got.pr.short;
    out.line(format!(
        "{} {}: {} at {}",
        on_forge(&got.pr),
        in_line(&short.title, TITLE),
        checks_in_words(short),
        in_line(&short.head, 7).trim_end_matches('…')
    ))?;
    let mut checks: Vec<&Check> = got.checks.iter().collect();
    checks.sort_by_key(|check| match check.status {
        CheckStatus::Failed => 0,
        CheckStatus::Unknown | CheckStatus::Queued | CheckStatus::InProgress => 1,
        CheckStatus::Passed | CheckStatus::Skipped | CheckStatus::Cancelled => 2,
    });
    let rows = checks.iter().map(|check| {
        let took = match (check.started_at, check.completed_at) {
            (Some(from), Some(to)) => duration::age(to.since(from)),
            (Some(from), None) => format!("{} so far", duration::age(now.since(from))),
            (None, _) => String::new(),
        };
        vec![
            format!(
                "  {}",
                out.paint(tone_of_check(check.status), format!("[{}]", check.status))
            ),
            in_line(&check.name, CHECK),
            if check.required { "required" } else { "" }.to_owned(),
            took,
            step_in_words(check),
            in_line(&check.url, LINE),
        ]
    });
    let rows = rows.collect();
    out.rows(rows)?;
    let trouble = short
        .trouble
        .as_ref()
        .map(|trouble| format!("at the last look: {trouble}"));
    if let Some(text) = got.pr.outdated.clone().or(trouble) {
        out.line(out.paint(Tone::Warn, in_line(&text, LINE)))?;
    }
    let failed = checks.iter().filter(|check| check.status == CheckStatus::Failed);
    if !logs {
        if failed.count() > 0 {
            out.line(format!("what their logs say: ao pr checks {} --logs", short.id))?;
        }
        return Ok(());
    }
    for check in failed {
        out.line("")?;
        print_log(check, out)?;
    }
    Ok(())
}

fn step_in_words(check: &Check) -> String {
    check
        .step
        .as_ref()
        .map(|step| format!("in step \"{}\"", in_line(step, CHECK)))
        .unwrap_or_default()
}

/// The end of a log, each line behind a bar: what stands there is not ours.
fn print_log(check: &Check, out: &mut Out) -> Result<(), CliError> {
    let what = [in_line(&check.name, CHECK), step_in_words(check)].join(" ");
    let what = out.paint(Tone::Strong, what.trim_end());
    match (check.evidence, &check.log) {
        (Evidence::Read, Some(log)) if !log.trim().is_empty() => {
            out.line(format!("{what}:"))?;
            for line in clean(log).lines() {
                out.line(format!("  | {line}"))?;
            }
            Ok(())
        }
        (Evidence::Read, _) => out.line(format!("{what}: its log is empty")),
        (Evidence::Unavailable, _) => {
            let why = in_line(check.no_log.as_deref().unwrap_or("the forge gives none"), LINE);
            out.line(format!("{what}: its log cannot be had: {why}"))
        }
        (Evidence::Wanted | Evidence::Unasked, _) => {
            out.line(format!("{what}: its log has not been read yet"))
        }
    }
}

/// One pull request of a session in a line.
pub(crate) fn line(pr: &PrSummary) -> String {
    let trouble = pr.trouble.as_deref().map_or_else(String::new, |trouble| {
        format!(" (at the last look: {})", in_line(trouble, LINE))
    });
    format!(
        "#{} {}, {} {}{trouble}",
        pr.number,
        pr.state,
        checks_in_words(pr),
        in_line(&pr.url, LINE)
    )
}

/// `checks failing (2: lint, test)`.
fn checks_in_words(pr: &PrSummary) -> String {
    match pr.ci {
        Ci::Unknown => "no checks known".to_owned(),
        _ => format!("checks {}", ci_in_words(pr)),
    }
}

fn ci_in_words(pr: &PrSummary) -> String {
    match pr.ci {
        Ci::Unknown => "none known".to_owned(),
        Ci::Failing if !pr.failing.is_empty() => {
            let count = pr.failing.len();
            let mut names: Vec<String> = pr
                .failing
                .iter()
                .take(NAMED)
                .map(|name| in_line(name, CHECK))
                .collect();
            if count > NAMED {
                names.push(format!("and {} more", count - NAMED));
            }
            format!("failing ({count}: {})", names.join(", "))
        }
        ci => ci.to_string(),
    }
}

fn review_in_words(review: Review) -> &'static str {
    match review {
        Review::None => "",
        Review::Approved => "approved",
        Review::ChangesRequested => "changes requested",
        Review::Required => "required",
    }
}

fn mergeability_in_words(mergeability: Mergeability) -> &'static str {
    match mergeability {
        Mergeability::Unknown => "",
        known => known.as_str(),
    }
}

fn tone_of_state(state: PrState) -> Tone {
    match state {
        PrState::Open | PrState::Merged => Tone::Good,
        PrState::Draft | PrState::Closed => Tone::Dim,
    }
}

fn tone_of_ci(ci: Ci) -> Tone {
    match ci {
        Ci::Passing => Tone::Good,
        Ci::Failing => Tone::Bad,
        Ci::Pending | Ci::Unknown => Tone::Dim,
    }
}

fn tone_of_check(status: CheckStatus) -> Tone {
    match status {
        CheckStatus::Passed => Tone::Good,
        CheckStatus::Failed => Tone::Bad,
        CheckStatus::Unknown
        | CheckStatus::Queued
        | CheckStatus::InProgress
        | CheckStatus::Skipped
        | CheckStatus::Cancelled => Tone::Dim,
    }
}

#[cfg(test)]
mod tests;
