//! What a command could not do, in words for a person: what happened, then what to do about it.

use std::io;
use std::time::Duration;

use ao_api::wire::ErrorBody;
use ao_domain::port::runtime::RuntimeError;
use camino::Utf8PathBuf;
use serde::Serialize;

use crate::commands::demo::DemoError;
use crate::env::BadEnv;
use crate::run_file::RunFileError;

/// Exit status of a command that failed.
pub(crate) const FAILED: u8 = 1;
/// Exit status of a command that was called wrongly.
pub(crate) const MISUSE: u8 = 2;
/// Exit status of a question that has no answer yet; other tools that show checks have the same.
pub(crate) const PENDING: u8 = 8;

/// A command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// It was called wrongly; nothing was done.
    #[error("{what}")]
    Misuse {
        /// What is wrong with it.
        what: String,
        /// What would be right.
        instead: Option<String>,
    },
    /// The environment cannot be used; nothing was done.
    #[error(transparent)]
    Env(#[from] BadEnv),
    /// There is no daemon; nothing was sent.
    #[error("no daemon is running: start it with `ao start`")]
    NoDaemon,
    /// The run file speaks of a process that is gone, or is none; nothing was sent.
    #[error("no daemon is running ({why}): start it with `ao start`")]
    Stale {
        /// What is wrong with the run file.
        why: String,
    },
    /// The Go original's daemon has the place; it was left alone.
    #[error("the original ao's daemon (process {pid}, port {port}) has the run file `{run_file}`")]
    Original {
        /// Its process.
        pid: u32,
        /// Its port.
        port: u16,
        /// The run file.
        run_file: Utf8PathBuf,
    },
    /// The run file cannot be used; nothing was sent.
    #[error(transparent)]
    RunFile(#[from] RunFileError),
    /// Another user listens where our daemon should; nothing was sent.
    #[error("port {port} is served by user {uid}, not by you: nothing was sent to it")]
    ForeignServer {
        /// Which port.
        port: u16,
        /// Whose server.
        uid: u32,
    },
    /// Nobody could say whose server it is; nothing was sent.
    #[error("whose server listens on port {port} cannot be told, so nothing was sent to it")]
    UnknownServer {
        /// Which port.
        port: u16,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// The daemon could not be reached; nothing was done.
    #[error("the daemon (process {pid}) does not answer on port {port}")]
    Unreachable {
        /// Its process.
        pid: u32,
        /// Its port.
        port: u16,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// The connection broke after the request was sent. It may have been done: look.
    #[error("the connection to the daemon broke before it answered")]
    Broken {
        /// The system's words.
        #[source]
        source: hyper::Error,
    },
    /// No answer in time. It may yet be done: look.
    #[error("the daemon did not answer within {within:?}")]
    TimedOut {
        /// How long that was.
        within: Duration,
    },
    /// The daemon said no; what it says about the state of things is in the message.
    #[error("{}", refusal(.body, *.status))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its words; all empty when it gave none.
        body: Box<ErrorBody>,
        /// What to do about it, where the command knows more than the message.
        hint: Option<String>,
    },
    /// The daemon answered what this version does not understand. It may have been done: look.
    #[error("the daemon's answer to `{asked}` is not understood")]
    Answer {
        /// What was asked.
        asked: String,
        /// The parser's words.
        #[source]
        source: serde_json::Error,
    },
    /// The daemon did not come up. Nothing of it runs any more.
    #[error("the daemon did not start: {said}")]
    NotStarted {
        /// Its last words.
        said: String,
        /// Where all of them are.
        log: Utf8PathBuf,
    },
    /// The daemon runs, but was not ready in time.
    #[error("the daemon (process {pid}) was not ready within {within:?}: {state}")]
    NotReady {
        /// Its process.
        pid: u32,
        /// How long that was.
        within: Duration,
        /// How far it came.
        state: String,
        /// Where it says more.
        log: Utf8PathBuf,
    },
    /// The daemon was told to stop and still runs. Agents are not affected.
    #[error("the daemon (process {pid}) was told to stop, but still runs after {within:?}")]
    NotStopped {
        /// Its process.
        pid: u32,
        /// How long that was.
        within: Duration,
    },
    /// The session could not be started; what was made for it is taken back.
    #[error("session {id} could not be started: {why}")]
    SpawnFailed {
        /// Which.
        id: String,
        /// Why.
        why: String,
    },
    /// Sessions wait to be restored, and none could be; why is said of each.
    #[error("none of the {count} that wait could be restored")]
    NoneRestored {
        /// How many they are.
        count: usize,
    },
    /// A message that was waited for has not arrived. It is still delivered, unless it was given up.
    #[error("message {id} to {session} is {state}: {why}")]
    NotDelivered {
        /// Which.
        id: u64,
        /// To whom.
        session: String,
        /// How far it is.
        state: ao_domain::MessageState,
        /// Why no further.
        why: String,
    },
    /// No pull request has the name that was given.
    #[error("{what}")]
    NoPullRequest {
        /// Which name.
        what: String,
        /// What may have been meant.
        instead: String,
    },
    /// Several pull requests have the name that was given.
    #[error("{what}")]
    SeveralPullRequests {
        /// Which name.
        what: String,
        /// Which they are.
        which: String,
    },
    /// Checks have failed; they have been printed.
    #[error("{failed} of the {of} checks of #{number} failed")]
    ChecksFailed {
        /// The pull request's number on its forge.
        number: u64,
        /// How many.
        failed: usize,
        /// How many there are.
        of: usize,
    },
    /// None of the checks has failed, and it is not known yet whether one will.
    #[error("{what}")]
    ChecksPending {
        /// What is missing.
        what: String,
    },
    /// There is no check that has passed or failed.
    #[error("{what}")]
    NoChecks {
        /// Of which pull request, and why if that is known.
        what: String,
    },
    /// The directory belongs to no registered project; nothing was sent.
    #[error("{what}")]
    NoProject {
        /// Where we are.
        what: String,
        /// The line that helps.
        instead: String,
    },
    /// No terminal is held for that session.
    #[error("no terminal is held for `{session}`{}", .stands.as_ref().map(|stands| format!(": {stands}")).unwrap_or_default())]
    NoTerminal {
        /// Which.
        session: String,
        /// How that session stands; `None` where nobody says.
        stands: Option<String>,
        /// What to do about it.
        instead: String,
    },
    /// The terminal could not be attached to; the agent is untouched.
    #[error("could not attach to `{session}`")]
    Attach {
        /// Which.
        session: String,
        /// Why.
        #[source]
        source: RuntimeError,
    },
    /// A daemon holds the data directory, so nothing in it was moved.
    #[error("a daemon uses the data directory `{data_dir}`: nothing was moved")]
    InUse {
        /// Which.
        data_dir: Utf8PathBuf,
    },
    /// The database is sound, so it was not moved aside.
    #[error("the database `{path}` is not damaged: nothing was moved")]
    NotDamaged {
        /// Which.
        path: Utf8PathBuf,
    },
    /// `ao doctor` found something that keeps ao from working; it has been printed.
    #[error("{failures} of the checks failed")]
    Unhealthy {
        /// How many.
        failures: usize,
    },
    /// The demo did not go as it should; it says itself what became of it.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// A question was not answered with yes; nothing was done.
    #[error("not confirmed: nothing was done")]
    NotConfirmed,
    /// A file or process of ours could not be used.
    #[error("{doing} failed at `{path}`")]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// Where.
        path: Utf8PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// There is no completion for such a shell.
    #[error("there is no completion for `{shell}`: one of {known}")]
    UnknownShell {
        /// What was asked for.
        shell: String,
        /// Which there are.
        known: String,
    },
    /// What was to be said could not be printed.
    #[error("could not print")]
    Print(#[source] io::Error),
}

impl CliError {
    /// Called wrongly, with nothing better to offer.
    pub fn misuse(what: impl Into<String>) -> Self {
        Self::Misuse {
            what: what.into(),
            instead: None,
        }
    }

    /// The exit status it leads to.
    pub fn exit(&self) -> u8 {
        match self {
            Self::Misuse { .. } => MISUSE,
            Self::ChecksPending { .. } => PENDING,
            _ => FAILED,
        }
    }

    /// What to do about it, in one line; `None` where the message says it already.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Misuse { instead, .. } => instead.clone(),
            Self::Env(_) => Some("set them right or leave them unset".to_owned()),
            Self::Original { .. } => Some(
                "stop it with its own `ao stop`, or give this one places of its own: AO_RUN_FILE, AO_DATA_DIR and AO_PORT"
                    .to_owned(),
            ),
            Self::RunFile(RunFileError::OpenToOthers { path, .. }) => Some(format!(
                "stop the daemon, remove the file and start again: the token in `{path}` may be known to others"
            )),
            Self::RunFile(_) => Some("remove it, or name another place with AO_RUN_FILE".to_owned()),
            Self::ForeignServer { .. } => {
                Some("start your own daemon on a port of its own: AO_PORT=3002 ao start".to_owned())
            }
            Self::UnknownServer { .. } | Self::Unreachable { .. } => {
                Some("see what it does: ao status; end it: ao stop; start it anew: ao start".to_owned())
            }
            Self::Broken { .. } | Self::TimedOut { .. } | Self::Answer { .. } => {
                Some("it may have been done: look with `ao session ls`".to_owned())
            }
            Self::Refused { hint, .. } => hint.clone(),
            Self::NotStarted { log, .. } => Some(format!("everything it said is in {log}")),
            Self::NotReady { log, .. } => Some(format!("it goes on trying; what it says is in {log}")),
            Self::NotStopped { pid, .. } => Some(format!(
                "wait for it, or end it at once (agents live on): kill -9 {pid}"
            )),
            Self::SpawnFailed { id, .. } => Some(format!("everything about it: ao session get {id}")),
            Self::NoneRestored { .. } => Some("what brings them back: ao status".to_owned()),
            Self::NotDelivered { session, .. } => Some(format!("see how it goes on: ao session messages {session}")),
            Self::SeveralPullRequests { which, .. } => Some(format!("name one by its id: {which}")),
            Self::NoPullRequest { instead, .. } | Self::NoProject { instead, .. } | Self::NoTerminal { instead, .. } => Some(instead.clone()),
            Self::Attach { session, .. } => Some(format!("see how it stands: ao session get {session}")),
            Self::NotConfirmed => Some("to be asked nothing, as in a script: add --yes".to_owned()),
            Self::InUse { .. } => Some("stop it first: ao stop".to_owned()),
            Self::Demo(DemoError::NoGit) => Some("install git, then try again: ao demo".to_owned()),
            Self::Demo(DemoError::NotADemo { .. }) => {
                Some("`ao demo --keep` prints the line that cleans up after it".to_owned())
            }
            Self::NoDaemon
            | Self::Stale { .. }
            | Self::NotDamaged { .. }
            | Self::ChecksFailed { .. }
            | Self::ChecksPending { .. }
            | Self::NoChecks { .. }
            | Self::Unhealthy { .. }
            | Self::Demo(_)
            | Self::UnknownShell { .. }
            | Self::Io { .. }
            | Self::Print(_) => None,
        }
    }

    /// A stable name for programs; a refusal has the daemon's own.
    pub fn code(&self) -> &str {
        match self {
            Self::Misuse { .. } => "MISUSE",
            Self::Env(_) => "BAD_ENVIRONMENT",
            Self::NoDaemon | Self::Stale { .. } => "NO_DAEMON",
            Self::Original { .. } => "ORIGINAL_DAEMON",
            Self::RunFile(_) => "RUN_FILE",
            Self::ForeignServer { .. } | Self::UnknownServer { .. } => "FOREIGN_SERVER",
            Self::Unreachable { .. } => "UNREACHABLE",
            Self::Broken { .. } => "CONNECTION_BROKEN",
            Self::TimedOut { .. } => "TIMED_OUT",
            Self::Refused { body, .. } if body.code.is_empty() => "REFUSED",
            Self::Refused { body, .. } => &body.code,
            Self::Answer { .. } => "ANSWER_NOT_UNDERSTOOD",
            Self::NotStarted { .. } => "NOT_STARTED",
            Self::NotReady { .. } => "NOT_READY",
            Self::NotStopped { .. } => "NOT_STOPPED",
            Self::SpawnFailed { .. } => "SPAWN_FAILED",
            Self::NotDelivered { .. } => "NOT_DELIVERED",
            Self::NoneRestored { .. } => "NONE_RESTORED",
            Self::NoPullRequest { .. } => "PR_NOT_FOUND",
            Self::SeveralPullRequests { .. } => "PR_AMBIGUOUS",
            Self::ChecksFailed { .. } => "CHECKS_FAILED",
            Self::ChecksPending { .. } => "CHECKS_PENDING",
            Self::NoChecks { .. } => "NO_CHECKS",
            Self::NoProject { .. } => "NO_PROJECT",
            Self::NoTerminal { .. } | Self::Attach { .. } => "NO_TERMINAL",
            Self::InUse { .. } => "IN_USE",
            Self::NotDamaged { .. } => "NOT_DAMAGED",
            Self::Unhealthy { .. } => "UNHEALTHY",
            Self::Demo(_) => "DEMO",
            Self::NotConfirmed => "NOT_CONFIRMED",
            Self::UnknownShell { .. } => "UNKNOWN_SHELL",
            Self::Io { .. } | Self::Print(_) => "IO",
        }
    }

    /// What is printed on standard error: one line what happened, one line what to do.
    pub fn for_people(&self) -> String {
        let what = ao_domain::chain(self).to_string();
        match self.hint() {
            Some(hint) => format!("{what}\n{hint}"),
            None => what,
        }
    }

    /// The same for programs, as one JSON object.
    pub fn for_programs(&self) -> String {
        let (error, request_id, details) = match self {
            Self::Refused { body, .. } => (
                body.error.as_str(),
                Some(body.request_id.as_str()).filter(|id| !id.is_empty()),
                Some(&body.details).filter(|details| !details.is_empty()),
            ),
            Self::Misuse { .. } => ("misuse", None, None),
            _ => ("failed", None, None),
        };
        let message = match self {
            Self::Refused { body, .. } if !body.message.is_empty() => body.message.clone(),
            _ => ao_domain::chain(self).to_string(),
        };
        let printed = Printed {
            error: if error.is_empty() { "failed" } else { error },
            code: self.code(),
            message,
            hint: self.hint(),
            request_id,
            details,
        };
        serde_json::to_string(&printed).unwrap_or_else(|_| self.for_people())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Printed<'a> {
    error: &'a str,
    code: &'a str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a serde_json::Map<String, serde_json::Value>>,
}

/// `<message> (<code>) [request <id>]`, each part only where there is one.
fn refusal(body: &ErrorBody, status: u16) -> String {
    let mut text = if body.message.is_empty() {
        format!("the daemon answered with HTTP status {status}")
    } else {
        body.message.clone()
    };
    if !body.code.is_empty() {
        text.push_str(&format!(" ({})", body.code));
    }
    if !body.request_id.is_empty() {
        text.push_str(&format!(" [request {}]", body.request_id));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(message: &str, code: &str, request: &str) -> CliError {
        CliError::Refused {
            status: 404,
            body: Box::new(ErrorBody {
                error: if code.is_empty() { "" } else { "not_found" }.to_owned(),
                code: code.to_owned(),
                message: message.to_owned(),
                request_id: request.to_owned(),
                details: serde_json::Map::new(),
            }),
            hint: None,
        }
    }

    #[test]
    fn a_refusal_prints_the_parts_it_has() {
        let text = |message, code, request| refused(message, code, request).for_people();
        assert_eq!(text("no such", "X", "r1"), "no such (X) [request r1]");
        assert_eq!(text("no such", "", ""), "no such");
        assert_eq!(text("", "", ""), "the daemon answered with HTTP status 404");
    }

    #[test]
    fn for_programs_it_is_one_object() {
        assert_eq!(
            refused("no such", "SESSION_NOT_FOUND", "r1").for_programs(),
            r#"{"error":"not_found","code":"SESSION_NOT_FOUND","message":"no such","requestId":"r1"}"#
        );
        assert_eq!(
            CliError::NoDaemon.for_programs(),
            r#"{"error":"failed","code":"NO_DAEMON","message":"no daemon is running: start it with `ao start`"}"#
        );
    }

    #[test]
    fn only_misuse_exits_with_two() {
        assert_eq!(CliError::misuse("x").exit(), 2);
        assert_eq!(refused("x", "Y", "").exit(), 1);
        assert_eq!(CliError::NoDaemon.exit(), 1);
    }
}
