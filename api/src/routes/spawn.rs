//! A new session: everything that can be refused is refused before a row is written.

use ao_derive::role;
use ao_domain::port::agent::{Agent, AgentError, LaunchRequest};
use ao_domain::port::worktrees::WorktreeError;
use ao_domain::{
    Claim, ClaimState, Desired, EndReason, PROMPT_MAX, PermissionMode, ProjectId, Session, SessionId,
    SessionKind, SessionSetup, chain, with_role,
};
use ao_facts::{Filter, NewSession, Spawn, Wanted};
use ao_supervisor::step;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::claims;
use super::projects::{active, repository, trimmed, unusable};
use super::sessions::{answer, wait};
use crate::Api;
use crate::error::{ApiError, random_hex};
use crate::extract::{JsonBody, no_project, no_session};
use crate::wire::{ErrorBody, SessionAnswer, SpawnSession};

/// Longest display name or issue, in bytes: they stand in one line of a table.
const LINE_MAX: usize = 200;

/// Longest idempotency key, in bytes.
const KEY_MAX: usize = 200;

/// Spawns a session.
///
/// Waits until its agent runs, for as long as a request may take; with `Prefer: respond-async` it does not
/// wait. The same `Idempotency-Key` again gives the same session.
#[utoipa::path(
    post, path = "/api/v1/sessions", operation_id = "spawnSession", tag = "sessions", request_body = SpawnSession,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Any text that the caller never uses for another spawn"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`: answer at once"),
    ),
    responses(
        (status = 201, description = "Its agent runs, or ran and has ended", body = SessionAnswer),
        (status = 202, description = "It is on its way", body = SessionAnswer),
        (status = 400, description = "`INVALID_JSON`, `INVALID_IDEMPOTENCY_KEY`, `PROJECT_ID_REQUIRED`, `INVALID_PROJECT_ID`, \
            `PROJECT_NOT_RESOLVABLE`, `BARE_REPOSITORY`, `NO_COMMITS`, `INVALID_KIND`, `UNKNOWN_HARNESS` with `known`, \
            `UNKNOWN_RUNTIME` with `known`, `AGENT_BINARY_NOT_FOUND`, `COMMAND_REQUIRED`, `COMMAND_NOT_TAKEN`, \
            `INVALID_COMMAND`, `INVALID_MODEL`, `INVALID_PERMISSIONS`, `SETTING_NOT_OFFERED`, \
            `INVALID_BRANCH`, `INVALID_BASE`, `PROMPT_TOO_LONG`, `PROMPT_NOT_TAKEN`, `INVALID_TEXT`, \
            `TEXT_TOO_LONG`, `PR_REQUIRED`, `INVALID_PR_REF`", body = ErrorBody),
        (status = 404, description = "`PROJECT_NOT_FOUND`; `PR_NOT_FOUND` with `sessionId`", body = ErrorBody),
        (status = 409, description = "`SPAWN_FAILED`, `SESSION_TERMINATED` or `PR_NOT_OPEN` with `sessionId`, `ORCHESTRATOR_EXISTS` with \
            `sessionId`, `PR_CLAIMED_BY_ACTIVE_SESSION` with `sessionId` and `ownerSessionId`", body = ErrorBody),
        (status = 422, description = "`SESSION_NOT_CLAIMABLE`, `PR_PROJECT_MISMATCH`", body = ErrorBody),
        (status = 503, description = "`SCM_UNAVAILABLE` with `sessionId`", body = ErrorBody),
        (status = 500, description = "`GIT_FAILED`", body = ErrorBody),
    )
)]
pub(super) async fn spawn(
    State(api): State<Api>,
    headers: HeaderMap,
    JsonBody(asked): JsonBody<SpawnSession>,
) -> Result<Response, ApiError> {
    let order = Order::check(&api, &asked).await?;
    let project = order.id.clone();
    match spawn_row(&api, &headers, order, false).await? {
        Spawn::Spawned { id, .. } => up(&api, &headers, &id, StatusCode::CREATED).await,
        Spawn::NoProject => Err(no_project(&project)),
        Spawn::OrchestratorLives(id) => Err(orchestrator_lives(&project, &id)),
    }
}

/// Writes down what was ordered: from here on the session is wanted.
pub(super) async fn spawn_row(
    api: &Api,
    headers: &HeaderMap,
    order: Order,
    replace: bool,
) -> Result<Spawn, ApiError> {
    let agent = api.agents.get(&order.harness).map(Agent::description);
    let is_prompted = agent.is_ok_and(|agent| agent.prompted || agent.takes.is_none());
    let first_message = match &order.prompt {
        Some(prompt) if !is_prompted => Some(with_role(order.setup.role.as_deref(), prompt)),
        _ => None,
    };
    let wanted = NewSession {
        key: idempotency_key(headers)?,
        project: order.project.id,
        kind: order.kind,
        issue: order.issue,
        harness: order.harness,
        runtime: order.runtime,
        display_name: order.display_name,
        prompt: order.prompt,
        first_message,
        command: order.command,
        model: order.model,
        permissions: order.permissions,
        branch: order.branch,
        base: order.base,
        repo: order.project.path,
        setup: order.setup,
        replace,
        claim: order.claim,
        secret: random_hex(),
        worktree_root: &api.config.worktree_root,
        now: api.clock.now(),
    };
    Ok(step!("intent.spawn", api.intents.spawn(wanted))?)
}

pub(super) fn orchestrator_lives(project: &ProjectId, id: &SessionId) -> ApiError {
    let message = format!("`{project}` has an orchestrator already, `{id}`: end it first (ao kill {id})");
    ApiError::conflict("ORCHESTRATOR_EXISTS", message).detail("sessionId", id.as_str())
}

/// Waits for a session to come up, unless the client does not want to, and says how that went; `done` is the status where it did.
pub(super) async fn up(
    api: &Api,
    headers: &HeaderMap,
    id: &SessionId,
    done: StatusCode,
) -> Result<Response, ApiError> {
    let (status, session) = settled_up(api, headers, id, done).await?;
    answer(api, status, &session).await
}

/// [`up`], for whoever words the answer.
pub(super) async fn settled_up(
    api: &Api,
    headers: &HeaderMap,
    id: &SessionId,
    done: StatusCode,
) -> Result<(StatusCode, Session), ApiError> {
    if answers_at_once(headers) {
        let session = api.reader.session(id).await?;
        return Ok((StatusCode::ACCEPTED, session.ok_or_else(|| no_session(id))?));
    }
    let (session, settled) = wait(api, id, |session| session.phase.is_settled()).await?;
    if !settled {
        return Ok((StatusCode::ACCEPTED, session));
    }
    match session.end_reason {
        Some(EndReason::SpawnFailed) => {
            let claim = api.reader.claim_to_start_from(id).await?;
            if let Some(claim) = claim.filter(|claim| claim.state == ClaimState::Refused) {
                return Err(claims::refused(&claim).detail("sessionId", id.as_str()));
            }
            let why = session
                .failure
                .unwrap_or_else(|| "it could not be started".to_owned());
            Err(ApiError::conflict("SPAWN_FAILED", why).detail("sessionId", id.as_str()))
        }
        Some(EndReason::Killed) if session.process.is_none() => {
            let message = format!("`{id}` was killed before its agent was started");
            Err(ApiError::conflict("SESSION_TERMINATED", message).detail("sessionId", id.as_str()))
        }
        _ => Ok((done, session)),
    }
}

/// What was asked for, with everything resolved and nothing left that could be refused without trying.
pub(super) struct Order {
    pub(super) id: ProjectId,
    project: ao_domain::Project,
    kind: SessionKind,
    issue: Option<String>,
    harness: String,
    runtime: String,
    display_name: Option<String>,
    prompt: Option<String>,
    command: Vec<String>,
    model: Option<String>,
    permissions: PermissionMode,
    branch: Option<String>,
    base: String,
    setup: SessionSetup,
    claim: Option<Wanted>,
}

impl Order {
    pub(super) async fn check(api: &Api, asked: &SpawnSession) -> Result<Self, ApiError> {
        let Some(id) = trimmed(Some(&asked.project_id)) else {
            return Err(ApiError::bad(
                "PROJECT_ID_REQUIRED",
                "name the project to work on, as `projectId`",
            ));
        };
        let id: ProjectId = id
            .parse()
            .map_err(|error: ao_domain::InvalidId| ApiError::bad("INVALID_PROJECT_ID", error.to_string()))?;
        let project = active(api, &id).await?;
        let kind = match trimmed(asked.kind.as_deref()) {
            None => SessionKind::Worker,
            Some(kind) => kind
                .parse()
                .map_err(|error: ao_domain::UnknownWord| ApiError::bad("INVALID_KIND", error.to_string()))?,
        };
        let issue = line("issueId", asked.issue_id.as_deref())?;
        let display_name = line("displayName", asked.display_name.as_deref())?;
        let prompt = prompt(asked.prompt.as_deref())?;
        let command = asked.command.clone().unwrap_or_default();
        if command.iter().any(|word| word.contains('\0')) || command.first().is_some_and(String::is_empty) {
            let message = "a command's words hold no NUL character, and the first is a program";
            return Err(ApiError::bad("INVALID_COMMAND", message));
        }
        let config = project.config.clone();
        let part = match kind {
            SessionKind::Worker => &config.worker,
            SessionKind::Orchestrator => &config.orchestrator,
        };
        let harness = trimmed(asked.harness.as_deref())
            .or(part.agent.as_deref())
            .unwrap_or(&api.config.default_agent)
            .to_owned();
        let model = line("model", asked.model.as_deref())?;
        if model.as_deref().is_some_and(|model| model.starts_with('-')) {
            return Err(ApiError::bad(
                "INVALID_MODEL",
                "a model's name does not begin with `-`",
            ));
        }
        let permissions = match trimmed(asked.permissions.as_deref()) {
            None => None,
            Some(mode) => Some(mode.parse().map_err(|error: ao_domain::UnknownWord| {
                ApiError::bad("INVALID_PERMISSIONS", error.to_string())
            })?),
        };
        let runtime = runtime(api, asked.runtime.as_deref().or(config.runtime.as_deref()))?;
        let branch = trimmed(asked.branch.as_deref()).map(branch).transpose()?;
        let base = trimmed(asked.base.as_deref()).map(base).transpose()?;
        let claim = claim(api, asked, kind, &project)?;
        // What the config says is for agents that have such a choice; what was asked for by name is for this one.
        let offers = api
            .agents
            .get(&harness)
            .is_ok_and(|agent| agent.description().chooses);
        let set = [&part.agent_config, &config.agent_config]
            .into_iter()
            .filter(|_| offers);
        let model = model.or_else(|| set.clone().find_map(|set| set.model.clone()));
        let permissions = permissions
            .or_else(|| set.clone().find_map(|set| set.permissions))
            .unwrap_or_default();
        let lives = orchestrator_of(api, &id, kind).await?;
        let setup = SessionSetup {
            env: config.env.clone(),
            symlinks: config.symlinks.clone(),
            post_create: config.post_create.clone(),
            post_create_timeout: u32::try_from(config.post_create_limit().as_secs()).unwrap_or(u32::MAX),
            build_folders: config.build_folders.clone(),
            role: role(kind, &id, lives.as_ref(), config.rules.as_deref()),
        };
        launchable(
            api,
            &harness,
            &LaunchRequest {
                session: &SessionId::new(&id, 1),
                prompt: prompt.as_deref(),
                command: &command,
                worktree: &project.path,
                repo: &project.path,
                secret: &random_hex(),
                native_id: None,
                model: model.as_deref(),
                permissions,
                role: setup.role.as_deref(),
                ao: &api.config.ao,
                messages: &project.path,
                files: &project.path,
                trusted: true,
                env: &api.config.env,
            },
        )?;
        if prompt.is_some() && !command.is_empty() {
            // It took the command, so it has nowhere to put a prompt.
            let message = format!("agent `{harness}` takes a command, not a prompt");
            return Err(ApiError::bad("PROMPT_NOT_TAKEN", message));
        }
        let repository = repository(api, &project.path)
            .await
            .map_err(|error| match error {
                gone @ (WorktreeError::NoSuchPath { .. }
                | WorktreeError::NotARepository { .. }
                | WorktreeError::NotTheTop { .. }) => {
                    let message = format!(
                        "the repository of project `{id}` cannot be worked on: {}",
                        chain(&gone)
                    );
                    ApiError::bad("PROJECT_NOT_RESOLVABLE", message)
                }
                other => unusable(other),
            })?;
        let base = claim
            .as_ref()
            .map(|wanted| Claim::base_of(wanted.at.number))
            .or(base)
            .or_else(|| config.default_branch.clone())
            .unwrap_or(repository.default_branch);
        Ok(Self {
            id,
            project,
            kind,
            issue,
            harness,
            runtime,
            display_name,
            prompt,
            command,
            model,
            permissions,
            branch,
            base,
            setup,
            claim,
        })
    }
}

/// The pull request that is to be worked on. It says what the branch starts from, so nothing else may.
fn claim(
    api: &Api,
    asked: &SpawnSession,
    kind: SessionKind,
    project: &ao_domain::Project,
) -> Result<Option<Wanted>, ApiError> {
    let Some(pr) = &asked.claim_pr else {
        return Ok(None);
    };
    if kind == SessionKind::Orchestrator {
        return Err(claims::not_claimable("the new session"));
    }
    for (name, given, code) in [
        ("branch", &asked.branch, "INVALID_BRANCH"),
        ("base", &asked.base, "INVALID_BASE"),
    ] {
        if trimmed(given.as_deref()).is_some() {
            let message = format!(
                "`{name}` does not go with `claimPr`: a branch of the session's own starts from the pull request"
            );
            return Err(ApiError::bad(code, message));
        }
    }
    claims::wanted(api, project, pr, asked.allow_takeover.unwrap_or(true)).map(Some)
}

/// The orchestrator that a worker is told of.
async fn orchestrator_of(
    api: &Api,
    project: &ProjectId,
    kind: SessionKind,
) -> Result<Option<SessionId>, ApiError> {
    if kind == SessionKind::Orchestrator {
        return Ok(None);
    }
    let filter = Filter {
        project: Some(project.clone()),
        kind: Some(SessionKind::Orchestrator),
        terminated: Some(false),
    };
    let living = api.reader.sessions(&filter).await?.into_iter();
    let wanted = living.filter(|session| session.desired == Desired::Run && session.replaces.is_none());
    Ok(wanted.map(|session| session.id).next())
}

/// Works the launch out as the session's child will, and throws it away: what fails now would fail then,
/// after a worktree was made.
fn launchable(api: &Api, harness: &str, request: &LaunchRequest<'_>) -> Result<(), ApiError> {
    let refused = |error: AgentError| {
        let code = match error {
            AgentError::Unknown { .. } => "UNKNOWN_HARNESS",
            AgentError::BinaryNotFound { .. } => "AGENT_BINARY_NOT_FOUND",
            AgentError::CommandRequired { .. } => "COMMAND_REQUIRED",
            AgentError::CommandNotTaken { .. } => "COMMAND_NOT_TAKEN",
            AgentError::NotOffered { .. } => "SETTING_NOT_OFFERED",
            AgentError::NotText { .. } => "INVALID_TEXT",
            AgentError::TooLong { .. } => "PROMPT_TOO_LONG",
        };
        let refusal = ApiError::bad(code, error.to_string());
        if code == "UNKNOWN_HARNESS" {
            refusal.detail("known", api.agents.ids())
        } else {
            refusal
        }
    };
    let agent = api.agents.get(harness).map_err(refused)?;
    agent.plan(request).map(drop).map_err(refused)
}

fn runtime(api: &Api, asked: Option<&str>) -> Result<String, ApiError> {
    let name = trimmed(asked).unwrap_or(&api.config.default_runtime);
    let known = &api.config.runtimes;
    if known.iter().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    let message = format!("there is no runtime `{name}`: known are {}", known.join(", "));
    Err(ApiError::bad("UNKNOWN_RUNTIME", message).detail("known", known.clone()))
}

fn prompt(text: Option<&str>) -> Result<Option<String>, ApiError> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return Ok(None);
    };
    if text.len() > PROMPT_MAX {
        let message = format!(
            "the prompt has {} bytes, at most {PROMPT_MAX} are taken: put the rest into a file of the repository and name it",
            text.len()
        );
        return Err(ApiError::bad("PROMPT_TOO_LONG", message));
    }
    if text.contains('\0') {
        return Err(ApiError::bad(
            "INVALID_COMMAND",
            "a prompt holds no NUL character",
        ));
    }
    Ok(Some(text.to_owned()))
}

/// A text that stands in one line of a table: control characters would draw over other lines.
pub(super) fn line(name: &str, text: Option<&str>) -> Result<Option<String>, ApiError> {
    let Some(text) = trimmed(text) else {
        return Ok(None);
    };
    if text.chars().any(char::is_control) {
        let message = format!("`{name}` is one line, without line breaks and other control characters");
        return Err(ApiError::bad("INVALID_TEXT", message));
    }
    if text.len() > LINE_MAX {
        let message = format!("`{name}` is one line of at most {LINE_MAX} bytes");
        return Err(ApiError::bad("TEXT_TOO_LONG", message));
    }
    Ok(Some(text.to_owned()))
}

fn branch(name: &str) -> Result<String, ApiError> {
    if is_ref(name) && name != "HEAD" {
        return Ok(name.to_owned());
    }
    Err(ApiError::bad(
        "INVALID_BRANCH",
        format!("`{}` is not a legal branch name", name.escape_debug()),
    ))
}

/// A branch, a tag or a commit; whether it is there only the repository knows.
fn base(name: &str) -> Result<String, ApiError> {
    let name_like = !name.starts_with('-') && !name.chars().any(|c| c.is_control() || c == ' ');
    if name_like && name.len() <= LINE_MAX {
        return Ok(name.to_owned());
    }
    let message = format!("`{}` is neither a branch nor a commit", name.escape_debug());
    Err(ApiError::bad("INVALID_BASE", message))
}

/// git's rules for the name of a branch, as far as they can be told from the name (git-check-ref-format).
fn is_ref(name: &str) -> bool {
    let whole = !name.is_empty()
        && name.len() <= LINE_MAX
        && name != "@"
        && !name.starts_with('-')
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && !name.chars().any(|c| c.is_control() || " ~^:?*[\\".contains(c));
    whole
        && name
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"))
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let text = key.to_str().ok().filter(|key| (1..=KEY_MAX).contains(&key.len()));
    let message = format!("an idempotency key is a text of 1 to {KEY_MAX} visible characters");
    text.map(|key| Some(key.to_owned()))
        .ok_or_else(|| ApiError::bad("INVALID_IDEMPOTENCY_KEY", message))
}

fn answers_at_once(headers: &HeaderMap) -> bool {
    let wishes = headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok());
    wishes
        .flat_map(|line| line.split(','))
        .any(|wish| wish.trim().eq_ignore_ascii_case("respond-async"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branch_names_follow_gits_rules() {
        for good in ["main", "ao/web-1", "feature/ä", "a.b", "@a", "a@", "x/HEAD"] {
            assert!(branch(good).is_ok(), "{good}");
        }
        for bad in [
            "", "@", "HEAD", "-x", "a b", "a..b", "a//b", "/a", "a/", ".a", "a/.b", "a.lock", "a.lock/b",
            "a.", "a~", "a^b", "a:b", "a?", "a*", "a[", "a\\b", "a@{b", "a\n", "\u{7f}",
        ] {
            assert!(branch(bad).is_err(), "{bad:?}");
        }
        assert!(base("origin/main~2").is_ok());
        assert!(base("--upload-pack=x").is_err());
    }

    #[test]
    fn wishes_may_come_several_in_a_line() {
        let mut headers = HeaderMap::new();
        assert!(!answers_at_once(&headers));
        headers.append("prefer", "wait=5".parse().unwrap());
        headers.append("prefer", "return=minimal, Respond-Async".parse().unwrap());
        assert!(answers_at_once(&headers));
    }
}
