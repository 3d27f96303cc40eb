//! `ao status`, and the form in which `start` and `stop` say how the daemon stands.

use std::time::Duration;

use ao_api::wire::{Gateway, Notice, Session};
use ao_domain::foreign_text::in_line;
use ao_domain::{SessionId, Timestamp};
use serde::Serialize;

use super::restore::{self, is_lost};
use super::session;
use super::start::disagreements;
use crate::client::Daemon;
use crate::duration;
use crate::env::{Env, Places};
use crate::error::CliError;
use crate::gateways::{self, Grade};
use crate::presence::{self, Presence, State};
use crate::render::{Out, Tone};

/// How much of a notice stands in a line, in characters.
const WHY: usize = 300;

/// Say how the daemon stands
///
/// Exits with 0 whatever the state is; `ao status --json` has it as `state`: stopped, stale, unhealthy, not_ready or
/// ready. Of a daemon that is ready, also how the forges stand that pull requests are read from, and what a person should look at.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ao status\n  ao status --json")]
pub(crate) struct StatusArgs {}

/// How the daemon stands, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatusView {
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uptime: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    run_file: String,
    data_dir: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gateways: Vec<Gateway>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notices: Vec<Notice>,
    /// Those whose agents' quotas are used up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    at_walls: Vec<AtWall>,
    /// Those that ended without anybody's will, and wait to be restored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    to_restore: Vec<SessionId>,
    /// What brings those back.
    #[serde(skip)]
    restored_by: Vec<String>,
}

/// A session that waits for its agent's quota.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AtWall {
    id: SessionId,
    until: Timestamp,
}

impl StatusView {
    pub(crate) fn new(presence: &Presence, places: &Places) -> Self {
        let run = presence.run.as_ref();
        Self {
            state: presence.state,
            pid: run.map(|run| run.pid),
            port: run.map(|run| run.port),
            started_at: run.map(|run| run.started_at.to_string()),
            uptime: run.map(|run| {
                let up: Duration = ao_local::clock::now().since(run.started_at);
                duration::in_seconds(up)
            }),
            version: run.map(|run| run.version.clone()),
            run_file: places.run_file.to_string(),
            data_dir: run.map_or_else(|| places.data_dir.to_string(), |run| run.data_dir.to_string()),
            health: presence.health.clone(),
            ready: presence.ready.clone(),
            error: presence.error.clone(),
            gateways: Vec::new(),
            notices: Vec::new(),
            at_walls: Vec::new(),
            to_restore: Vec::new(),
            restored_by: Vec::new(),
        }
    }

    /// With what the daemon knows of the hosts that pull requests are read from, and of what a person should look at. That it
    /// does not say is no reason not to say the rest.
    async fn with_forges(mut self, presence: &Presence, env: &Env) -> Self {
        if let (State::Ready, Some(run)) = (presence.state, &presence.run) {
            let daemon = Daemon::of(run.clone(), env.session());
            let asked = async {
                tokio::join!(
                    gateways::fetch(&daemon),
                    gateways::notices(&daemon),
                    session::list(&daemon, None)
                )
            };
            if let Ok((gateways, notices, sessions)) = tokio::time::timeout(presence::PROBE, asked).await {
                self.gateways = gateways.unwrap_or_default();
                self.notices = notices.unwrap_or_default();
                let mut lost = sessions.unwrap_or_default();
                self.at_walls = at_walls(&lost);
                lost.retain(is_lost);
                self.restored_by = restored_by(&lost);
                self.to_restore = lost.into_iter().map(|session| session.id).collect();
            }
        }
        self
    }

    /// A daemon that has been stopped.
    pub(crate) fn stopped(places: &Places) -> Self {
        let presence = Presence {
            state: State::Stopped,
            run: None,
            health: None,
            ready: None,
            error: None,
        };
        Self::new(&presence, places)
    }

    fn lines(&self, out: &Out) -> Vec<String> {
        let tone = match self.state {
            State::Ready => Tone::Good,
            State::Stopped | State::Stale | State::NotReady => Tone::Warn,
            State::Unhealthy => Tone::Bad,
        };
        let pid = self.pid.map(|pid| pid.to_string());
        let port = self.port.map(|port| port.to_string());
        let rows = [
            ("pid", pid.as_deref()),
            ("port", port.as_deref()),
            ("started", self.started_at.as_deref()),
            ("uptime", self.uptime.as_deref()),
            ("version", self.version.as_deref()),
            ("run file", Some(self.run_file.as_str())),
            ("data dir", Some(self.data_dir.as_str())),
            ("healthz", self.health.as_deref()),
            ("readyz", self.ready.as_deref()),
            ("error", self.error.as_deref()),
        ];
        let mut lines = vec![format!("AO daemon: {}", out.paint(tone, self.state.as_str()))];
        lines.extend(
            rows.into_iter()
                .filter_map(|(name, value)| Some(format!("  {name}: {}", value?))),
        );
        for gateway in &self.gateways {
            let stands = gateways::standing(gateway, ao_local::clock::now());
            let tone = match stands.grade {
                Grade::Fine => None,
                Grade::Odd => Some(Tone::Warn),
                Grade::Broken => Some(Tone::Bad),
            };
            let line = tone.map_or_else(|| stands.line.clone(), |tone| out.paint(tone, &stands.line));
            lines.push(format!("  {line}"));
            lines.extend(stands.remedy.map(|remedy| format!("    {remedy}")));
        }
        for notice in &self.notices {
            let text = in_line(&notice.text, WHY);
            lines.push(format!(
                "  {}: {}",
                notice.session_id,
                out.paint(Tone::Warn, text)
            ));
        }
        for wall in &self.at_walls {
            let text = format!("its quota is used up until {}", wall.until);
            lines.push(format!("  {}: {}", wall.id, out.paint(Tone::Warn, text)));
        }
        if !self.to_restore.is_empty() {
            let ids: Vec<&str> = self.to_restore.iter().map(SessionId::as_str).collect();
            let text = format!("ended without anybody's will: {}", ids.join(", "));
            lines.push(format!("  {}", out.paint(Tone::Warn, text)));
            lines.extend(self.restored_by.iter().map(|line| format!("    {line}")));
        }
        lines
    }
}

fn at_walls(sessions: &[Session]) -> Vec<AtWall> {
    let walls = sessions.iter().filter_map(|session| {
        Some(AtWall {
            id: session.id.clone(),
            until: session.wall_until?,
        })
    });
    walls.collect()
}

/// One command for all, where all can go on or none can; of those that cannot, one for each, so that the others keep their
/// conversations.
fn restored_by(lost: &[Session]) -> Vec<String> {
    let (go_on, anew): (Vec<&Session>, Vec<&Session>) =
        lost.iter().partition(|session| session.native_id.is_some());
    if go_on.is_empty() && !anew.is_empty() {
        return vec![
            "begin them anew, they have no conversation: ao session restore --all --start-over".to_owned(),
        ];
    }
    let all = (!go_on.is_empty()).then(|| "bring them back: ao session restore --all".to_owned());
    let anew = anew
        .into_iter()
        .map(|session| format!("without a conversation: {}", restore::command(session)));
    all.into_iter().chain(anew).collect()
}

pub(crate) async fn run(env: &Env, out: &mut Out) -> Result<(), CliError> {
    // All of it, so that a malformed variable is found here and not at the next start.
    let config = env.config()?;
    let places = env.places()?;
    let presence = presence::look(&places, env.session()).await?;
    let view = StatusView::new(&presence, &places)
        .with_forges(&presence, env)
        .await;
    if out.is_json() {
        return out.object(&view);
    }
    for line in view.lines(out) {
        out.line(line)?;
    }
    for remark in disagreements(&presence, &config) {
        out.note(remark)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::session::tests::session;
    use crate::render::tests::kept;
    use crate::run_file::{RunFile, Token};

    #[test]
    fn what_brings_the_lost_back_works_for_each_and_costs_nobody_its_conversation() {
        let one = |id: &str, native: Option<&str>| session(id, &serde_json::json!({"nativeId": native}));
        let (goes_on, anew) = (one("web-1", Some("c")), one("web-2", None));
        assert_eq!(restored_by(&[]), Vec::<String>::new());
        assert_eq!(
            restored_by(std::slice::from_ref(&goes_on)),
            ["bring them back: ao session restore --all"]
        );
        assert_eq!(
            restored_by(std::slice::from_ref(&anew)),
            ["begin them anew, they have no conversation: ao session restore --all --start-over"]
        );
        assert_eq!(
            restored_by(&[anew, goes_on]),
            [
                "bring them back: ao session restore --all",
                "without a conversation: ao session restore web-2 --start-over"
            ]
        );
    }

    #[test]
    fn lines_and_keys() {
        let places = Places {
            run_file: "/run.json".into(),
            data_dir: "/data".into(),
        };
        let started_at = ao_local::clock::now();
        let presence = Presence {
            state: State::NotReady,
            run: Some(RunFile {
                pid: 7,
                port: 3001,
                started_at,
                started: 1,
                boot: "b".to_owned(),
                token: Token::new("secret".to_owned()),
                data_dir: "/elsewhere".into(),
                version: "0.1.0".to_owned(),
            }),
            health: Some("ok".to_owned()),
            ready: Some("starting".to_owned()),
            error: Some("it is starting".to_owned()),
        };
        let view = StatusView::new(&presence, &places);
        let (out, ..) = kept(false, false, None);
        let text = view
            .lines(&out)
            .join("\n")
            .replace(&started_at.to_string(), "NOW");
        expect_test::expect![[r#"
            AO daemon: not_ready
              pid: 7
              port: 3001
              started: NOW
              uptime: 0s
              version: 0.1.0
              run file: /run.json
              data dir: /elsewhere
              healthz: ok
              readyz: starting
              error: it is starting"#]]
        .assert_eq(&text);
        let json = serde_json::to_string(&StatusView::stopped(&places)).unwrap();
        assert_eq!(
            json,
            r#"{"state":"stopped","runFile":"/run.json","dataDir":"/data"}"#
        );
        assert!(!serde_json::to_string(&view).unwrap().contains("secret"));
    }
}
