//! The commands, one file each, and how they are told apart.

mod agent;
mod attach;
mod claim;
mod cleanup;
pub(crate) mod completion;
mod daemon;
pub(crate) mod demo;
mod doctor;
mod events;
pub(crate) mod hooks;
mod kill;
mod logs;
mod orchestrator;
mod overview;
mod pr;
mod project;
pub(crate) mod pty_host;
mod restore;
mod rollback;
pub(crate) mod run_agent;
mod send;
mod session;
mod spawn;
mod start;
mod status;
mod stop;
mod tree;
mod version;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use ao_domain::shell_word;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::client::Daemon;
use crate::env::Env;
use crate::error::CliError;
use crate::render::Out;

/// Supervise coding agents: each in its own worktree, watched, and never lost
///
/// Without a command: what wants a person now, with the command to type.
#[derive(Parser)]
#[command(
    name = "ao",
    version = concat!("version ", env!("CARGO_PKG_VERSION")),
    disable_version_flag = true,
    infer_subcommands = false,
    max_term_width = 100,
    after_help = "\
Examples:
  ao demo                                       see what it does, on a scratch repository
  ao start                                      start the daemon
  ao project add ~/src/web                      register a repository
  ao spawn --agent shell -- make test           work in a worktree of its own
  ao                                            what wants you now"
)]
struct Cli {
    /// Print JSON instead of text; errors too, on standard error
    #[arg(long, global = true)]
    json: bool,

    /// Print the version
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Start(start::StartArgs),
    Stop(stop::StopArgs),
    Status(status::StatusArgs),
    Project(project::ProjectArgs),
    Spawn(spawn::SpawnArgs),
    Session(session::SessionArgs),
    Orchestrator(orchestrator::OrchestratorArgs),
    Agent(agent::AgentArgs),
    Pr(pr::PrArgs),
    Kill(kill::KillArgs),
    Send(send::SendArgs),
    Logs(logs::LogsArgs),
    Events(events::EventsArgs),
    Attach(attach::AttachArgs),
    Tree(tree::TreeArgs),
    Doctor(doctor::DoctorArgs),
    Demo(demo::DemoArgs),
    Completion(completion::CompletionArgs),
    Version(version::VersionArgs),
    #[command(hide = true)]
    Daemon(DaemonArgs),
}

/// Run the daemon in the foreground; `ao start` is what people want
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ao daemon")]
struct DaemonArgs {
    /// Leave the terminal's session first
    #[arg(long, hide = true)]
    detached: bool,
}

/// The whole command line as clap knows it; with `chaos`, the help shows what breaks children on purpose.
fn command_line(chaos: bool) -> clap::Command {
    let command = Cli::command();
    if !chaos {
        return command;
    }
    command.mut_subcommand("tree", |tree| {
        tree.mut_subcommand("crash", |crash| crash.hide(false))
            .mut_subcommand("hang", |hang| hang.hide(false))
            .mut_subcommand("spin", |spin| spin.hide(false))
    })
}

/// Runs the command line `arguments` (with the program's own name in front).
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let env = Env::of_process();
    if let Some(answered) = completion::asked(arguments, &env) {
        return answered;
    }
    let json_asked = arguments
        .iter()
        .take_while(|word| *word != "--")
        .any(|word| word == "--json");
    let parsed = command_line(env.shows_chaos())
        .try_get_matches_from(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error, arguments, json_asked),
    };
    if let Some(Command::Daemon(args)) = &cli.command {
        if args.detached {
            // Fails only for the leader of a process group, and `ao start` makes none.
            let _ = rustix::process::setsid();
        }
        return daemon::main(&env);
    }
    let mut out = Out::of_process(cli.json, env.no_color());
    let json = cli.json;
    match dispatch(cli, &env, &mut out) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads any more (`ao session ls | head`): there is nothing left to say, and to nobody.
        Err(CliError::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error, json);
            ExitCode::from(error.exit())
        }
    }
}

fn dispatch(cli: Cli, env: &Env, out: &mut Out) -> Result<(), CliError> {
    // These two need no runtime, and `version` has to be as fast as a program can be.
    let command = match cli.command {
        Some(Command::Version(_)) => return version::run(out),
        Some(Command::Completion(args)) => return completion::run(&args, out),
        Some(Command::Attach(args)) => return attach::run(&args, env, out),
        command => command,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| CliError::Io {
            doing: "starting the runtime",
            path: "ao".into(),
            source,
        })?;
    runtime.block_on(async {
        match command {
            None => overview::run(env, out).await,
            Some(Command::Start(args)) => start::run(&args, env, out).await,
            Some(Command::Stop(args)) => stop::run(&args, env, out).await,
            Some(Command::Status(_)) => status::run(env, out).await,
            Some(Command::Project(args)) => project::run(args, env, out).await,
            Some(Command::Spawn(args)) => spawn::run(args, env, out).await,
            Some(Command::Session(args)) => session::run(args, env, out).await,
            Some(Command::Orchestrator(args)) => orchestrator::run(args, env, out).await,
            Some(Command::Agent(args)) => agent::run(args, env, out).await,
            Some(Command::Pr(args)) => pr::run(args, env, out).await,
            Some(Command::Kill(args)) => kill::run(&args, env, out).await,
            Some(Command::Send(args)) => send::send(args, env, out).await,
            Some(Command::Logs(args)) => logs::run(&args, env, out).await,
            Some(Command::Events(args)) => events::run(&args, env, out).await,
            Some(Command::Tree(args)) => tree::run(args, env, out).await,
            Some(Command::Doctor(args)) => doctor::run(&args, env, out).await,
            Some(Command::Demo(args)) => demo::run(&args, env, out).await,
            Some(Command::Version(_) | Command::Completion(_) | Command::Attach(_) | Command::Daemon(_)) => {
                unreachable!("these need no runtime and were run before it was made")
            }
        }
    })
}

/// Help and version go to standard output and are no failure; everything else is misuse.
fn not_parsed(error: &clap::Error, arguments: &[OsString], json: bool) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return match error.print() {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
            _ => ExitCode::SUCCESS,
        };
    }
    complain(&misuse(error, arguments), json);
    ExitCode::from(crate::error::MISUSE)
}

/// clap's words as one line what is wrong and one line what to do, without the usage that scrolls it away.
fn misuse(error: &clap::Error, arguments: &[OsString]) -> CliError {
    let said = error.to_string();
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let what: Vec<&str> = lines()
        .take_while(|line| !line.starts_with("Usage:"))
        .filter(|line| !line.starts_with("For more information"))
        .map(|line| line.trim_start_matches("error: "))
        .collect();
    CliError::Misuse {
        what: what.join("; ").replace(":; ", ": "),
        instead: Some(
            after_dashes(error, arguments).unwrap_or_else(|| format!("see: {} --help", named(arguments))),
        ),
    }
}

/// The line that was meant where a command for an agent stands without the `--` before it; `None` where that is not what is wrong.
fn after_dashes(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let takes_command = matches!(named(arguments).as_str(), "ao spawn" | "ao orchestrator start");
    if error.kind() != ErrorKind::UnknownArgument || word.starts_with('-') || !takes_command {
        return None;
    }
    let words: Vec<&str> = arguments
        .iter()
        .skip(1)
        .map(|word| word.to_str())
        .collect::<Option<_>>()?;
    // The first word of that name may be a flag's value: what cannot be told is not guessed.
    let mut places = words.iter().enumerate().filter(|(_, said)| *said == word);
    let (place, _) = places.next()?;
    if places.next().is_some() {
        return Some(format!(
            "a command stands behind `--`, see: {} --help",
            named(arguments)
        ));
    }
    let quoted = |words: &[&str]| {
        words
            .iter()
            .map(|word| shell_word(word))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let (before, command) = words.split_at(place);
    let command: Vec<&str> = command.iter().copied().filter(|word| *word != "--").collect();
    Some(format!(
        "a command stands behind `--`: ao {} -- {}",
        quoted(before),
        quoted(&command)
    ))
}

/// The names of the command and subcommand that `arguments` begin with.
fn named(arguments: &[OsString]) -> String {
    let root = command_line(false);
    let mut command = &root;
    let mut path = "ao".to_owned();
    for word in arguments.iter().skip(1) {
        let Some(found) = word.to_str().and_then(|word| command.find_subcommand(word)) else {
            break;
        };
        path.push(' ');
        path.push_str(found.get_name());
        command = found;
    }
    path
}

fn complain(error: &CliError, json: bool) {
    use std::io::Write as _;
    let text = if json {
        error.for_programs()
    } else {
        error.for_people()
    };
    // When standard error is gone too, the exit status is all that is left to say it with.
    let _ = writeln!(io::stderr(), "{}", crate::render::safe(&text));
}

/// Prints the help of a group that was called without a subcommand.
fn group_help(name: &str, env: &Env, out: &mut Out) -> Result<(), CliError> {
    let mut root = command_line(env.shows_chaos());
    root.build();
    let group = root.find_subcommand_mut(name).expect("groups ask for themselves");
    let help = group.render_help().to_string();
    out.line(help.trim_end())
}

/// The daemon, found by the environment and checked to be ours.
fn find(env: &Env) -> Result<Daemon, CliError> {
    Daemon::find(&env.places()?, env.session())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command_line(false).debug_assert();
        command_line(true).debug_assert();
    }

    #[test]
    fn misuse_is_one_line_and_leads_to_the_right_help() {
        let text = |words: &[&str]| {
            let error = command_line(false).try_get_matches_from(words).unwrap_err();
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            let error = misuse(&error, &words);
            assert_eq!(error.exit(), 2);
            error.for_people()
        };
        expect_test::expect![[r#"
            unrecognized subcommand 'sesion'; tip: some similar subcommands exist: 'version', 'session'
            see: ao --help"#]]
        .assert_eq(&text(&["ao", "sesion"]));
        expect_test::expect![[r#"
            unrecognized subcommand 'bogus'; tip: a similar subcommand exists: 'logs'
            see: ao session --help"#]]
        .assert_eq(&text(&["ao", "session", "bogus"]));
        expect_test::expect![[r#"
            the following required arguments were not provided: <SESSION>
            see: ao kill --help"#]]
        .assert_eq(&text(&["ao", "kill"]));
        expect_test::expect![[r#"
            invalid value 'web' for '<SESSION>': `web` is not a session id: it looks like `web-7`
            see: ao attach --help"#]]
        .assert_eq(&text(&["ao", "attach", "web"]));
        expect_test::expect![[r#"
            invalid value 'soon' for '--timeout <TIME>': `soon` is not a time: write it like 1m30s, 1.5s or 250ms
            see: ao start --help"#]]
        .assert_eq(&text(&["ao", "start", "--timeout", "soon"]));
        expect_test::expect![[r#"
            unexpected argument 'sleep' found
            a command stands behind `--`: ao spawn --project web -- sleep '1 2'"#]]
        .assert_eq(&text(&["ao", "spawn", "--project", "web", "sleep", "1 2"]));
        expect_test::expect![[r#"
            unexpected argument 'web' found
            a command stands behind `--`, see: ao spawn --help"#]]
        .assert_eq(&text(&["ao", "spawn", "--project", "web", "web"]));
        expect_test::expect![[r#"
            unexpected argument '--bogus' found; tip: to pass '--bogus' as a value, use '-- --bogus'
            see: ao spawn --help"#]]
        .assert_eq(&text(&["ao", "spawn", "--bogus"]));
        expect_test::expect![[r#"
            invalid value 'abc' for '--post-create-timeout <SECONDS>': wanted is a number of seconds, such as 900
            see: ao project set-config --help"#]]
        .assert_eq(&text(&["ao", "project", "set-config", "web", "--post-create-timeout", "abc"]));
    }

    /// Every command as its path of names, and itself; hidden ones are not for people.
    fn visible(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
        for child in command
            .get_subcommands()
            .filter(|child| !child.is_hide_set() && child.get_name() != "help")
        {
            let path = format!("{path} {}", child.get_name());
            found.push((path.clone(), child.clone()));
            visible(child, &path, found);
        }
    }

    #[test]
    fn every_help_has_examples() {
        let mut root = command_line(true);
        root.build();
        let mut commands = vec![("ao".to_owned(), root.clone())];
        visible(&root, "ao", &mut commands);
        assert!(commands.len() > 15, "{}", commands.len());
        for (path, command) in commands {
            for help in [command.clone().render_help(), command.clone().render_long_help()] {
                assert!(help.to_string().contains("Examples:"), "{path}");
            }
        }
    }

    /// A line of clap's is as wide as the terminal, and one that is wider is broken in two: an example could not be copied then.
    #[test]
    fn every_example_fits_into_a_line_of_a_terminal() {
        let mut root = command_line(true);
        root.build();
        let mut commands = vec![("ao".to_owned(), root.clone())];
        visible(&root, "ao", &mut commands);
        for (path, command) in commands {
            let said = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            for example in said.lines().filter(|line| line.starts_with("  ")) {
                // What stands behind it is a remark.
                let words = example.trim().split("    ").next().unwrap_or_default();
                assert!(words.len() + 2 <= 80, "{path}: {words}");
            }
        }
    }

    /// The pages of `docs/cli`, one per command; `UPDATE_EXPECT=1` writes them anew.
    #[test]
    fn the_generated_pages_are_what_the_commands_say() {
        let folder = camino::Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli");
        let mut root = command_line(false).term_width(100);
        root.build();
        let mut index = String::from("# Commands\n\nWritten by the program itself (`just gen`).\n\n");
        let mut pages = vec![("ao".to_owned(), page(&[("ao".to_owned(), root.clone())]))];
        index.push_str("- [`ao`](ao.md): what wants a person now\n");
        for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            if name == "help" {
                continue;
            }
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            index.push_str(&format!("- [`ao {name}`](ao-{name}.md): {about}\n"));
            let path = format!("ao {name}");
            let mut sections = vec![(path.clone(), command.clone())];
            visible(command, &path, &mut sections);
            pages.push((format!("ao-{name}"), page(&sections)));
        }
        pages.push(("README".to_owned(), index));
        let expected: Vec<String> = pages.iter().map(|(name, _)| format!("{name}.md")).collect();
        for (name, text) in pages {
            expect_test::expect_file![folder.join(format!("{name}.md"))].assert_eq(&text);
        }
        for entry in folder.read_dir_utf8().unwrap() {
            let name = entry.unwrap().file_name().to_owned();
            assert!(expected.contains(&name), "docs/cli/{name} belongs to no command");
        }
    }

    fn page(sections: &[(String, clap::Command)]) -> String {
        let mut text = String::new();
        for (index, (path, command)) in sections.iter().enumerate() {
            let marks = if index == 0 { "#" } else { "\n##" };
            let help = command.clone().term_width(100).render_long_help().to_string();
            let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
            text.push_str(&format!(
                "{marks} {path}\n\n```text\n{}\n```\n",
                lines.join("\n").trim_end()
            ));
        }
        text
    }
}
