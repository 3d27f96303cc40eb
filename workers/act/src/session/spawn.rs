//! Bringing a session up: worktree, launch plan, runtime.

use std::time::Duration;

use ao_derive::role_at;
use ao_domain::port::agent::{AgentError, LaunchPlan, LaunchRequest, Preparation};
use ao_domain::port::runtime::{Launch, Look, Runtime, RuntimeError, RuntimeRef};
use ao_domain::port::worktrees::WorktreePlan;
use ao_domain::{Claim, ClaimState, EndReason, Phase, Seen, Session, WorktreeState, chain, later_wins};
use ao_facts::{Changes, FactsError};
use ao_supervisor::{Context, Crash, step};

use super::{SessionChild, SessionError, at};

/// A checkout of a very large repository on a slow disk; the adapter's own deadline per git call is shorter.
const CHECKOUT: Duration = Duration::from_secs(10 * 60);

/// A small file of the agent's own, which it may be writing itself.
const READY: Duration = Duration::from_secs(10);

/// Fork, exec and the holder's first word; seconds on a machine that swaps.
const START: Duration = Duration::from_secs(30);

impl SessionChild {
    pub(super) async fn make_worktree(&self, ctx: &Context, session: &Session) -> Result<(), Crash> {
        if let Some(claim) = self.parts.facts.claim_to_start_from(&session.id).await? {
            match claim.state {
                ClaimState::Asked => return self.wait_for_claim(ctx, session).await,
                // Also of one that is brought back: what an earlier fetch left under that name is not what was claimed.
                ClaimState::Refused => return self.fail_spawn(ctx, session, claim.why()).await,
                ClaimState::Made => {}
            }
            // One that comes back goes on with what it has.
            if session.provisioning.is_none() && !self.fetch_claimed(ctx, session, &claim).await? {
                return Ok(());
            }
        }
        let plan = WorktreePlan {
            owner: session.owner(),
            base: session.base.clone(),
            branch_given: session.branch_given,
        };
        let made = step!(
            "spawn.worktree",
            ctx.within(CHECKOUT, self.parts.worktrees.create(&plan))
        );
        match made.map_err(|_| SessionError::Overdue("making the worktree"))? {
            Ok(made) => {
                let changes = Changes {
                    worktree_state: Some(WorktreeState::Active),
                    provisioning: self.unfurnished(session, &made),
                    rescue_ref: made.rescue,
                    ..Changes::default()
                };
                self.enter(ctx, session, Phase::Provision, changes).await
            }
            Err(error) => self.fail_spawn(ctx, session, text(&error)).await,
        }
    }

    /// The forge is asked by the claim's own child, whose answer changes this session's row.
    async fn wait_for_claim(&self, ctx: &Context, session: &Session) -> Result<(), Crash> {
        let answered = async {
            tokio::select! { // arms only wait, and only on cancel-safe things
                biased;
                () = ctx.stopping() => {}
                () = self.parts.facts.changed_since(&self.id, session.revision) => {}
            }
        };
        ctx.beating(answered).await;
        Ok(())
    }

    /// Answers whether the head of the claimed pull request is here now.
    async fn fetch_claimed(&self, ctx: &Context, session: &Session, claim: &Claim) -> Result<bool, Crash> {
        let owner = session.owner();
        let fetched = step!(
            "claim.fetch",
            ctx.within(CHECKOUT, self.parts.worktrees.fetch_pull(&owner, claim.at.number))
        );
        match fetched.map_err(|_| SessionError::Overdue("fetching the pull request"))? {
            Ok(()) => Ok(true),
            Err(error) => {
                let why = format!("{} could not be fetched: {}", claim.at, text(&error));
                self.fail_spawn(ctx, session, why).await?;
                Ok(false)
            }
        }
    }

    pub(super) async fn prepare(&self, ctx: &Context, session: &Session) -> Result<(), Crash> {
        let claim = self.claim_of(session).await?;
        let plan = match self.plan(session, claim.as_ref()) {
            Ok(plan) => plan,
            Err(error) => return self.fail_spawn(ctx, session, text(&error)).await,
        };
        if let Err(why) = self.make_all_ready(ctx, session, &plan.before).await {
            return self.fail_spawn(ctx, session, why).await;
        }
        self.enter(ctx, session, Phase::Launch, Changes::default()).await
    }

    /// What an agent is not told it asks: that is seen, and no reason not to start it. But a stranger's code has to be asked about, which
    /// is made ready here as well: there the first thing that cannot be is why it is not started.
    async fn make_all_ready(
        &self,
        ctx: &Context,
        session: &Session,
        before: &[Preparation],
    ) -> Result<(), String> {
        for what in before {
            match self.make_ready(ctx, what).await {
                Err(why) if session.foreign_code => return Err(why),
                Err(why) => {
                    tracing::warn!(why, session = %session.id, "the agent may ask something at its start");
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// What an agent would otherwise stop and ask about, or would not; or why that cannot be.
    async fn make_ready(&self, ctx: &Context, what: &Preparation) -> Result<(), String> {
        let done = step!("spawn.ready", ctx.within(READY, self.parts.agents.prepare(what)));
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(text(&error)),
            Err(_) => Err(format!("`{}` was not made ready in time", what.file())),
        }
    }

    pub(super) async fn launch(&self, ctx: &Context, session: &Session) -> Result<(), Crash> {
        let claim = self.claim_of(session).await?;
        let plan = match self.plan(session, claim.as_ref()) {
            Ok(plan) => plan,
            Err(error) => return self.fail_spawn(ctx, session, text(&error)).await,
        };
        // Since it was made ready a person may have answered another session of that agent, for the whole repository.
        if session.foreign_code
            && let Err(why) = self.make_all_ready(ctx, session, &plan.before).await
        {
            return self.fail_spawn(ctx, session, why).await;
        }
        let launch = Launch {
            at: at(session),
            argv: plan.argv,
            env: self.environment(session, plan.env),
            cwd: session.worktree.clone(),
        };
        let runtime = self.runtime(session)?;
        self.end_former(ctx, session, runtime).await?;
        let held = step!("spawn.runtime", ctx.within(START, runtime.create(&launch)));
        let held = match held.map_err(|_| SessionError::Overdue("starting the runtime"))? {
            Ok(held) => held,
            // These say that nothing runs; anything else leaves it open, and the next incarnation looks.
            Err(error @ (RuntimeError::NotStarted { .. } | RuntimeError::NoDirectory { .. })) => {
                return self.fail_spawn(ctx, session, text(&error)).await;
            }
            Err(error) => return Err(error.into()),
        };
        let seen = Seen::by(Ok(if held.exit.is_some() {
            Look::Ended(held)
        } else {
            Look::Running(held)
        }));
        let changes = Changes {
            seen: Some(seen),
            ..Changes::default()
        };
        self.enter(ctx, session, Phase::Live, changes).await
    }

    /// The run before is over; what holds its last screen, or is left of it, makes room. Whoever brings a session up does
    /// this, and whoever ends one that was not brought up: so of the runs before that one nothing is left either.
    pub(super) async fn end_former(
        &self,
        ctx: &Context,
        session: &Session,
        runtime: &dyn Runtime,
    ) -> Result<(), Crash> {
        let Some(before) = session.generation.checked_sub(1).filter(|before| *before > 0) else {
            return Ok(());
        };
        let before = RuntimeRef {
            generation: before,
            ..at(session)
        };
        let gone = step!("restore.former", ctx.within(START, runtime.destroy(&before)));
        gone.map_err(|_| SessionError::Overdue("ending what was left of the run before"))??;
        Ok(())
    }

    async fn claim_of(&self, session: &Session) -> Result<Option<Claim>, FactsError> {
        let claim = self.parts.facts.claim_to_start_from(&session.id).await?;
        Ok(claim.filter(|claim| claim.state == ClaimState::Made))
    }

    fn plan(&self, session: &Session, claim: Option<&Claim>) -> Result<LaunchPlan, AgentError> {
        let role = session.setup.role.as_deref();
        let at = claim.map(|claim| role_at(role, claim));
        self.parts.agents.get(&session.harness)?.plan(&LaunchRequest {
            session: &session.id,
            prompt: session.prompt.as_deref(),
            command: &session.command,
            worktree: &session.worktree,
            repo: &session.repo,
            secret: &session.secret,
            native_id: session.native_id.as_deref(),
            model: session.model.as_deref(),
            permissions: session.permissions,
            role: at.as_deref().or(role),
            ao: &self.parts.setup.ao(),
            messages: &self.parts.letters.folder(&session.id),
            files: &self.parts.setup.files(&session.harness),
            trusted: !session.foreign_code,
            env: &session.environment(&self.parts.setup.env),
        })
    }

    /// The daemon's environment, then the project's, then the agent's own, then ours: what says who the session is always wins.
    /// A PATH of the project's is the one that ours is put before.
    pub(super) fn environment(
        &self,
        session: &Session,
        plan: Vec<(String, String)>,
    ) -> Vec<(String, String)> {
        let setup = &self.parts.setup;
        let inherited = || {
            setup
                .env
                .iter()
                .find(|(name, _)| name == "PATH")
                .map(|(_, path)| path)
        };
        let path = session
            .setup
            .env
            .get("PATH")
            .or_else(inherited)
            .map_or("", String::as_str);
        let path = if path.is_empty() {
            setup.bin.to_string()
        } else {
            format!("{}:{path}", setup.bin)
        };
        let ours = [
            ("AO_SESSION_ID", session.id.to_string()),
            ("AO_PROJECT_ID", session.project.to_string()),
            ("AO_ISSUE_ID", session.issue.clone().unwrap_or_default()),
            ("AO_HARNESS", session.harness.clone()),
            ("AO_GENERATION", session.generation.to_string()),
            ("AO_LAUNCH_SECRET", session.secret.clone()),
            ("AO_DATA_DIR", setup.data_dir.to_string()),
            ("AO_RUN_FILE", setup.run_file.to_string()),
            ("PATH", path),
        ];
        let ours: Vec<(String, String)> = ours
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        later_wins(
            session
                .environment(&setup.env)
                .into_iter()
                .chain(plan)
                .chain(ours),
        )
    }

    /// Ends the session with a reason; whatever was made by then is taken back on the way down.
    pub(super) async fn fail_spawn(
        &self,
        ctx: &Context,
        session: &Session,
        why: String,
    ) -> Result<(), Crash> {
        let failure = SpawnFailure(why);
        tracing::warn!(
            error = &failure as &dyn std::error::Error,
            session = %session.id, phase = %session.phase, "session could not be started"
        );
        let changes = Changes {
            end_reason: Some(EndReason::SpawnFailed),
            ended_at: Some(self.parts.clock.now()),
            failure: Some(failure.0),
            // No agent and nobody else was to work there yet: what setting it up left is no work. It is rescued all the same.
            discard: session.generation == 1 && session.process.is_none(),
            ..Changes::default()
        };
        self.enter(ctx, session, Phase::Stopping, changes).await
    }
}

/// An owned text: what borrows the error must not live across an await.
fn text(error: &dyn std::error::Error) -> String {
    chain(error).to_string()
}

/// The whole chain as one text, so that the log line can carry it as a value.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct SpawnFailure(String);
