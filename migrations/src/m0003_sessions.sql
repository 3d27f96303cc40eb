-- One agent in one worktree. What is wanted (desired, discard) stands beside where it stands (phase) and what was
-- heard of it (activity); status is not here, it is worked out from these. The lists of agents and runtimes live in the
-- program's registries, so `harness` and `runtime` are only kept from being empty. A row is never deleted, so a number
-- never comes back.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY CHECK (id = project_id || '-' || num),
    project_id TEXT NOT NULL REFERENCES projects (id),
    num INTEGER NOT NULL CHECK (num > 0),
    kind TEXT NOT NULL CHECK (kind IN ('worker', 'orchestrator')),
    issue TEXT CHECK (issue <> ''),
    harness TEXT NOT NULL CHECK (harness <> ''),
    runtime TEXT NOT NULL CHECK (runtime <> ''),
    display_name TEXT CHECK (display_name <> ''),
    prompt TEXT,
    command TEXT NOT NULL CHECK (json_valid(command) AND json_type(command) = 'array'),
    desired TEXT NOT NULL CHECK (desired IN ('run', 'stop')),
    discard INTEGER NOT NULL CHECK (discard IN (0, 1)),
    phase TEXT NOT NULL CHECK (phase IN
        ('queued', 'worktree', 'prepare', 'launch', 'live', 'finished', 'stopping', 'freeing', 'ended')),
    phase_at TEXT NOT NULL CHECK (phase_at GLOB '*Z' AND length(phase_at) = 24),
    generation INTEGER NOT NULL CHECK (generation > 0),
    secret TEXT NOT NULL CHECK (length(secret) = 32 AND secret NOT GLOB '*[^0-9a-f]*'),
    repo TEXT NOT NULL CHECK (repo GLOB '/*'),
    base TEXT NOT NULL CHECK (base <> ''),
    branch TEXT NOT NULL CHECK (branch <> ''),
    branch_given INTEGER NOT NULL CHECK (branch_given IN (0, 1)),
    worktree TEXT NOT NULL UNIQUE CHECK (worktree GLOB '/*'),
    worktree_state TEXT NOT NULL CHECK (worktree_state IN ('none', 'active', 'kept', 'removed')),
    holdings TEXT NOT NULL CHECK (json_valid(holdings) AND json_type(holdings) = 'array'),
    rescue_ref TEXT CHECK (rescue_ref <> ''),
    activity_state TEXT NOT NULL CHECK (activity_state IN ('active', 'idle', 'waiting_input', 'exited')),
    activity_since TEXT NOT NULL CHECK (activity_since GLOB '*Z' AND length(activity_since) = 24),
    first_signal_at TEXT CHECK (first_signal_at GLOB '*Z' AND length(first_signal_at) = 24),
    native_id TEXT,
    title TEXT,
    end_reason TEXT CHECK (end_reason IN ('killed', 'exited', 'runtime_dead', 'spawn_failed')),
    ended_at TEXT CHECK (ended_at GLOB '*Z' AND length(ended_at) = 24),
    failure TEXT,
    revision INTEGER NOT NULL CHECK (revision >= 0),
    created_at TEXT NOT NULL CHECK (created_at GLOB '*Z' AND length(created_at) = 24),
    updated_at TEXT NOT NULL CHECK (updated_at GLOB '*Z' AND length(updated_at) = 24),
    UNIQUE (project_id, num)
) STRICT;

-- What still needs a child, and what takes one of the machine's places, without reading the whole history.
CREATE INDEX sessions_unfinished ON sessions (phase) WHERE phase <> 'ended';

-- Two orchestrators of one project would give the workers two masters. One that is being replaced is wanted no more.
CREATE UNIQUE INDEX sessions_one_orchestrator ON sessions (project_id)
WHERE kind = 'orchestrator' AND desired = 'run' AND phase NOT IN ('finished', 'stopping', 'freeing', 'ended');

CREATE TRIGGER session_created AFTER INSERT ON sessions BEGIN
    INSERT INTO change_log (project_id, session_id, event_type, payload, created_at)
    VALUES (NEW.project_id, NEW.id, 'session_created', json_object(
        'id', NEW.id, 'activity', NEW.activity_state,
        'isTerminated', json(iif(NEW.phase IN ('finished', 'stopping', 'freeing', 'ended'), 'true', 'false')),
        'phase', NEW.phase, 'revision', NEW.revision), NEW.updated_at);
END;

-- Every change that the API shows. The revision is counted here, so that no writer can forget it. (Its own UPDATE does
-- not fire this trigger again: SQLite's triggers are not recursive unless asked to be.)
CREATE TRIGGER session_updated AFTER UPDATE ON sessions
WHEN (OLD.revision, OLD.desired, OLD.discard, OLD.phase, OLD.generation, OLD.issue, OLD.harness, OLD.runtime, OLD.display_name,
        OLD.prompt, OLD.branch, OLD.worktree, OLD.worktree_state, OLD.holdings, OLD.rescue_ref, OLD.activity_state,
        OLD.activity_since, OLD.first_signal_at, OLD.native_id, OLD.title, OLD.end_reason, OLD.ended_at, OLD.failure)
    IS NOT
    (NEW.revision, NEW.desired, NEW.discard, NEW.phase, NEW.generation, NEW.issue, NEW.harness, NEW.runtime, NEW.display_name,
        NEW.prompt, NEW.branch, NEW.worktree, NEW.worktree_state, NEW.holdings, NEW.rescue_ref, NEW.activity_state,
        NEW.activity_since, NEW.first_signal_at, NEW.native_id, NEW.title, NEW.end_reason, NEW.ended_at, NEW.failure)
BEGIN
    UPDATE sessions SET revision = OLD.revision + 1 WHERE id = NEW.id;
    INSERT INTO change_log (project_id, session_id, event_type, payload, created_at)
    VALUES (NEW.project_id, NEW.id, 'session_updated', json_object(
        'id', NEW.id, 'activity', NEW.activity_state,
        'isTerminated', json(iif(NEW.phase IN ('finished', 'stopping', 'freeing', 'ended'), 'true', 'false')),
        'phase', NEW.phase, 'revision', OLD.revision + 1), NEW.updated_at);
END;
