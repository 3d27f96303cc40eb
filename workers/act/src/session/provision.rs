//! Furnishing a worktree: what the project shares is linked and copied into it, then its post-create commands are run.

use std::time::Duration;

use ao_domain::port::provision::{PostCreate, ProvisionError};
use ao_domain::port::worktrees::Made;
use ao_domain::{Phase, Provisioning, Session, chain};
use ao_facts::Changes;
use ao_supervisor::{Context, Crash, step};

use super::{SessionChild, SessionError};

/// Copies of a large project's ignored files on a slow disk.
const FURNISH: Duration = Duration::from_secs(10 * 60);

/// Beyond a command's own limit: ending all that it started.
const ENDING: Duration = Duration::from_secs(30);

impl SessionChild {
    /// That a worktree has nothing in it yet; `None` where it stands as it was left.
    pub(super) fn unfurnished(&self, session: &Session, made: &Made) -> Option<Provisioning> {
        if let Some(before) = &session.provisioning
            && (made.making.is_none() || made.making == before.making)
        {
            return None;
        }
        Some(Provisioning {
            linking: true,
            doing: None,
            making: made.making.clone(),
            ..self.progress(session, 0, Vec::new())
        })
    }

    pub(super) async fn furnish(&self, ctx: &Context, session: &Session) -> Result<(), Crash> {
        let owner = session.owner();
        let links = &session.setup.symlinks;
        let furnish = async {
            step!(
                "provision.furnish",
                ctx.within(FURNISH, self.parts.provisioner.furnish(&owner, links))
            )
        };
        // Somebody who wants the session gone does not wait for its copies: dropped, it leaves nothing half copied.
        let furnished = tokio::select! {
            biased;
            () = self.unwanted(session) => return Ok(()),
            furnished = furnish => furnished,
        };
        match furnished.map_err(|_| SessionError::Overdue("linking and copying into the worktree"))? {
            Ok(furnished) => {
                let mut skipped: Vec<String> = furnished.left_out.iter().map(ToString::to_string).collect();
                if furnished.more_left_out > 0 {
                    skipped.push(format!("and {} more", furnished.more_left_out));
                }
                if session.post_create().len() < session.setup.post_create.len() {
                    skipped.push("the post-create commands: the code here is a stranger's".to_owned());
                }
                let progress = self.progress(session, 0, skipped);
                self.go_on(ctx, session, progress).await
            }
            Err(error) => self.fail_furnishing(ctx, session, &error).await,
        }
    }

    pub(super) async fn post_create(
        &self,
        ctx: &Context,
        session: &Session,
        number: usize,
    ) -> Result<(), Crash> {
        let Some(before) = session.provisioning.clone() else {
            return Ok(()); // the row changed: read again
        };
        let (owner, commands) = (session.owner(), session.post_create());
        let limit = Duration::from_secs(session.setup.post_create_timeout.max(1).into());
        let env = self.environment(session, Vec::new());
        let what = PostCreate {
            number: number + 1,
            of: commands.len(),
            line: &commands[number],
            env: &env,
            limit,
        };
        // The same with its packages: dropping the command ends it.
        let run = async {
            step!(
                "provision.command",
                ctx.within(limit + ENDING, self.parts.provisioner.command(&owner, what))
            )
        };
        let ended = tokio::select! {
            biased;
            () = self.unwanted(session) => return Ok(()),
            ended = run => ended,
        };
        match ended.map_err(|_| SessionError::Overdue("a post-create command"))? {
            Ok(()) => {
                let progress = self.progress(session, number + 1, before.skipped);
                self.go_on(ctx, session, progress).await
            }
            Err(error) => self.fail_furnishing(ctx, session, &error).await,
        }
    }

    /// Resolves once the session is wanted no more.
    async fn unwanted(&self, session: &Session) {
        let mut seen = session.revision;
        loop {
            self.parts.facts.changed_since(&self.id, seen).await;
            match self.read().await {
                Ok(Some(now)) if now.desired == session.desired => seen = now.revision,
                _ => return,
            }
        }
    }

    fn progress(&self, session: &Session, done: usize, skipped: Vec<String>) -> Provisioning {
        let commands = session.post_create();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Provisioning {
            done: count(done),
            of: count(commands.len()),
            doing: commands.get(done).cloned(),
            since: self.parts.clock.now(),
            skipped,
            linking: false,
            making: session
                .provisioning
                .as_ref()
                .and_then(|before| before.making.clone()),
        }
    }

    async fn go_on(&self, ctx: &Context, session: &Session, progress: Provisioning) -> Result<(), Crash> {
        let changes = Changes {
            provisioning: Some(progress),
            ..Changes::default()
        };
        self.enter(ctx, session, Phase::Provision, changes).await
    }

    async fn fail_furnishing(
        &self,
        ctx: &Context,
        session: &Session,
        error: &ProvisionError,
    ) -> Result<(), Crash> {
        let mut why = chain(error).to_string();
        if let ProvisionError::Command { tail, .. } = error {
            for line in tail {
                why.push('\n');
                why.push_str(line);
            }
        }
        self.fail_spawn(ctx, session, why).await
    }
}
