-- Pull requests of sessions as their forge tells of them, what agents were told about them, and what a person should know.

-- A session whose work was merged is over for a reason of its own. SQLite can change a CHECK only by the text of the table
-- (https://www.sqlite.org/lang_altertable.html, section 7); what stands in the rows is not touched.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql,
    '''killed'', ''exited'', ''runtime_dead'', ''spawn_failed''',
    '''killed'', ''exited'', ''runtime_dead'', ''spawn_failed'', ''completed''')
WHERE type = 'table' AND name = 'sessions';
PRAGMA writable_schema = RESET;

ALTER TABLE projects ADD COLUMN reclaim_on_merge INTEGER NOT NULL DEFAULT 0 CHECK (reclaim_on_merge IN (0, 1));
ALTER TABLE sessions ADD COLUMN prs TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(prs) AND json_type(prs) = 'array');
-- Whether its worktree stays as it is although the session is over, and how many of its pull requests had been merged when it was
-- restored last: only a merge after that completes it.
ALTER TABLE sessions ADD COLUMN spares_worktree INTEGER NOT NULL DEFAULT 0 CHECK (spares_worktree IN (0, 1));
ALTER TABLE sessions ADD COLUMN merged_before INTEGER NOT NULL DEFAULT 0 CHECK (merged_before >= 0);
-- What made the daemon itself say it; NULL where a person or a session did.
ALTER TABLE messages ADD COLUMN about TEXT CHECK (about IN ('ci'));

DROP TRIGGER project_updated;
CREATE TRIGGER project_updated AFTER UPDATE ON projects
WHEN OLD.archived_at IS NULL AND NEW.archived_at IS NULL
    AND (OLD.path, OLD.origin, OLD.display_name, OLD.default_branch, OLD.reclaim_on_merge)
    IS NOT (NEW.path, NEW.origin, NEW.display_name, NEW.default_branch, NEW.reclaim_on_merge)
BEGIN
    INSERT INTO change_log (project_id, event_type, payload, created_at)
    VALUES (NEW.id, 'project_updated', json_object('id', NEW.id, 'path', NEW.path, 'displayName', NEW.display_name), NEW.updated_at);
END;

DROP TRIGGER session_updated;
-- Every change that the API shows. The revision is counted here, so that no writer can forget it. (Its own UPDATE does
-- not fire this trigger again: SQLite's triggers are not recursive unless asked to be.)
CREATE TRIGGER session_updated AFTER UPDATE ON sessions
WHEN (OLD.revision, OLD.desired, OLD.discard, OLD.phase, OLD.generation, OLD.issue, OLD.harness, OLD.runtime, OLD.display_name,
        OLD.prompt, OLD.branch, OLD.worktree, OLD.worktree_state, OLD.holdings, OLD.rescue_ref, OLD.activity_state,
        OLD.activity_since, OLD.first_signal_at, OLD.native_id, OLD.title, OLD.last_message, OLD.model, OLD.permissions,
        OLD.end_reason, OLD.ended_at, OLD.failure, OLD.dialog, OLD.delay, OLD.trouble, OLD.messages_waiting, OLD.waiting_since,
        OLD.prs)
    IS NOT
    (NEW.revision, NEW.desired, NEW.discard, NEW.phase, NEW.generation, NEW.issue, NEW.harness, NEW.runtime, NEW.display_name,
        NEW.prompt, NEW.branch, NEW.worktree, NEW.worktree_state, NEW.holdings, NEW.rescue_ref, NEW.activity_state,
        NEW.activity_since, NEW.first_signal_at, NEW.native_id, NEW.title, NEW.last_message, NEW.model, NEW.permissions,
        NEW.end_reason, NEW.ended_at, NEW.failure, NEW.dialog, NEW.delay, NEW.trouble, NEW.messages_waiting, NEW.waiting_since,
        NEW.prs)
BEGIN
    UPDATE sessions SET revision = OLD.revision + 1 WHERE id = NEW.id;
    INSERT INTO change_log (project_id, session_id, event_type, payload, created_at)
    VALUES (NEW.project_id, NEW.id, 'session_updated', json_object(
        'id', NEW.id, 'activity', NEW.activity_state,
        'isTerminated', json(iif(NEW.phase IN ('finished', 'stopping', 'freeing', 'ended'), 'true', 'false')),
        'phase', NEW.phase, 'revision', OLD.revision + 1), NEW.updated_at);
END;

-- Each host that is spoken to: with whose credentials, and what is left of its budgets. One row a host, never removed.
CREATE TABLE gateways (
    host TEXT PRIMARY KEY CHECK (host <> ''),
    source TEXT,
    token TEXT NOT NULL DEFAULT 'unknown' CHECK (token IN ('unknown', 'missing', 'refused', 'accepted')),
    batch_limit INTEGER NOT NULL DEFAULT 0 CHECK (batch_limit >= 0),
    batch_left INTEGER NOT NULL DEFAULT 0 CHECK (batch_left >= 0),
    batch_ours INTEGER NOT NULL DEFAULT 0 CHECK (batch_ours >= 0),
    batch_resets_at TEXT CHECK (batch_resets_at GLOB '*Z' AND length(batch_resets_at) = 24),
    single_limit INTEGER NOT NULL DEFAULT 0 CHECK (single_limit >= 0),
    single_left INTEGER NOT NULL DEFAULT 0 CHECK (single_left >= 0),
    single_ours INTEGER NOT NULL DEFAULT 0 CHECK (single_ours >= 0),
    single_resets_at TEXT CHECK (single_resets_at GLOB '*Z' AND length(single_resets_at) = 24),
    cool_until TEXT CHECK (cool_until GLOB '*Z' AND length(cool_until) = 24),
    trouble TEXT CHECK (trouble <> ''),
    answered_at TEXT CHECK (answered_at GLOB '*Z' AND length(answered_at) = 24),
    updated_at TEXT NOT NULL CHECK (updated_at GLOB '*Z' AND length(updated_at) = 24)
) STRICT;

-- What a client has to know at once, told once to each project there. Points that are spent are read, not announced: each
-- look spends some.
CREATE TRIGGER gateway_updated AFTER UPDATE ON gateways
WHEN (OLD.token, OLD.source, OLD.cool_until, OLD.trouble) IS NOT (NEW.token, NEW.source, NEW.cool_until, NEW.trouble)
BEGIN
    INSERT INTO change_log (project_id, event_type, payload, created_at)
    SELECT id, 'gateway_updated', json_object('host', NEW.host, 'token', NEW.token), NEW.updated_at
    FROM projects WHERE archived_at IS NULL AND instr(lower(origin), NEW.host) > 0;
END;

-- Each repository that is watched on a forge.
CREATE TABLE repositories (
    name TEXT PRIMARY KEY CHECK (name GLOB '?*/?*/?*'),
    validator TEXT,
    listed_at TEXT CHECK (listed_at GLOB '*Z' AND length(listed_at) = 24),
    seen_to TEXT CHECK (seen_to GLOB '*Z' AND length(seen_to) = 24),
    pushed_at TEXT CHECK (pushed_at GLOB '*Z' AND length(pushed_at) = 24),
    trouble TEXT CHECK (trouble <> ''),
    failures INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
    updated_at TEXT NOT NULL CHECK (updated_at GLOB '*Z' AND length(updated_at) = 24)
) STRICT;

-- What the forge last said about each. Readings only; what they mean is worked out in `derive`.
CREATE TABLE pull_requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id TEXT NOT NULL REFERENCES sessions (id),
    repository TEXT NOT NULL CHECK (repository GLOB '?*/?*/?*'),
    number INTEGER NOT NULL CHECK (number > 0),
    url TEXT NOT NULL,
    title TEXT NOT NULL,
    author TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('draft', 'open', 'merged', 'closed')),
    head_branch TEXT NOT NULL,
    head TEXT NOT NULL,
    head_repo TEXT,
    base_branch TEXT NOT NULL,
    base TEXT NOT NULL,
    review TEXT NOT NULL CHECK (review IN ('none', 'approved', 'changes_requested', 'review_required')),
    mergeability TEXT NOT NULL CHECK (mergeability IN ('unknown', 'mergeable', 'conflicting', 'blocked', 'unstable')),
    queued_to_merge INTEGER NOT NULL CHECK (queued_to_merge IN (0, 1)),
    ci TEXT NOT NULL CHECK (ci IN ('unknown', 'pending', 'passing', 'failing')),
    failing TEXT NOT NULL CHECK (json_valid(failing) AND json_type(failing) = 'array'),
    fingerprint TEXT NOT NULL,
    detailed_at TEXT CHECK (detailed_at GLOB '*Z' AND length(detailed_at) = 24),
    read_at TEXT CHECK (read_at GLOB '*Z' AND length(read_at) = 24),
    changed_at TEXT NOT NULL CHECK (changed_at GLOB '*Z' AND length(changed_at) = 24),
    wake_at TEXT CHECK (wake_at GLOB '*Z' AND length(wake_at) = 24),
    followed INTEGER NOT NULL CHECK (followed IN (0, 1)),
    trouble TEXT CHECK (trouble <> ''),
    failures INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
    created_at TEXT NOT NULL CHECK (created_at GLOB '*Z' AND length(created_at) = 24),
    updated_at TEXT NOT NULL CHECK (updated_at GLOB '*Z' AND length(updated_at) = 24),
    UNIQUE (repository, number)
) STRICT;

CREATE INDEX pull_requests_of_session ON pull_requests (session_id, id);
CREATE INDEX pull_requests_followed ON pull_requests (id) WHERE followed = 1;

-- The session's own row has them in short: one read of it is enough for its status, and a change of them is a change of it.
CREATE TRIGGER pull_request_created AFTER INSERT ON pull_requests BEGIN
    INSERT INTO change_log (project_id, session_id, event_type, payload, created_at)
    SELECT project_id, id, 'pr_created', json_object('id', NEW.id, 'url', NEW.url, 'session', NEW.session_id, 'state', NEW.state,
        'ci', NEW.ci, 'review', NEW.review, 'mergeability', NEW.mergeability), NEW.updated_at FROM sessions WHERE id = NEW.session_id;
    UPDATE sessions SET prs = (SELECT json_group_array(json_object('id', id, 'url', url, 'number', number, 'title', title, 'state', state,
            'ci', ci, 'failing', json(failing), 'review', review, 'mergeability', mergeability, 'head_branch', head_branch,
            'base_branch', base_branch, 'head', head, 'changed_at', changed_at, 'trouble', trouble))
            FROM (SELECT * FROM pull_requests WHERE session_id = NEW.session_id ORDER BY id)),
        updated_at = max(updated_at, NEW.updated_at)
    WHERE id = NEW.session_id;
END;

CREATE TRIGGER pull_request_updated AFTER UPDATE ON pull_requests
WHEN (OLD.url, OLD.title, OLD.state, OLD.ci, OLD.failing, OLD.review, OLD.mergeability, OLD.head_branch, OLD.base_branch, OLD.head,
        OLD.queued_to_merge, OLD.trouble)
    IS NOT (NEW.url, NEW.title, NEW.state, NEW.ci, NEW.failing, NEW.review, NEW.mergeability, NEW.head_branch, NEW.base_branch, NEW.head,
        NEW.queued_to_merge, NEW.trouble)
BEGIN
    INSERT INTO change_log (project_id, session_id, event_type, payload, created_at)
    SELECT project_id, id, 'pr_updated', json_object('id', NEW.id, 'url', NEW.url, 'session', NEW.session_id, 'state', NEW.state,
        'ci', NEW.ci, 'review', NEW.review, 'mergeability', NEW.mergeability), NEW.updated_at FROM sessions WHERE id = NEW.session_id;
    UPDATE sessions SET prs = (SELECT json_group_array(json_object('id', id, 'url', url, 'number', number, 'title', title, 'state', state,
            'ci', ci, 'failing', json(failing), 'review', review, 'mergeability', mergeability, 'head_branch', head_branch,
            'base_branch', base_branch, 'head', head, 'changed_at', changed_at, 'trouble', trouble))
            FROM (SELECT * FROM pull_requests WHERE session_id = NEW.session_id ORDER BY id)),
        updated_at = max(updated_at, NEW.updated_at)
    WHERE id = NEW.session_id;
END;

-- A turn ended, or a run of the agent: what it did last may have been a push.
CREATE TRIGGER session_rested AFTER UPDATE ON sessions
WHEN (OLD.activity_state = 'active' AND NEW.activity_state <> 'active') OR (OLD.phase = 'live' AND NEW.phase <> 'live')
BEGIN
    UPDATE pull_requests SET wake_at = NEW.updated_at WHERE session_id = NEW.id AND followed = 1;
END;

-- The newest attempt of each check of a pull request's head. Those of an earlier head are gone.
CREATE TABLE checks (
    pr INTEGER NOT NULL REFERENCES pull_requests (id),
    key TEXT NOT NULL CHECK (key <> ''),
    name TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('unknown', 'queued', 'in_progress', 'passed', 'failed', 'skipped', 'cancelled')),
    conclusion TEXT NOT NULL,
    url TEXT NOT NULL,
    attempt TEXT,
    position INTEGER NOT NULL CHECK (position >= 0),
    required INTEGER NOT NULL CHECK (required IN (0, 1)),
    summary TEXT NOT NULL,
    started_at TEXT CHECK (started_at GLOB '*Z' AND length(started_at) = 24),
    completed_at TEXT CHECK (completed_at GLOB '*Z' AND length(completed_at) = 24),
    evidence TEXT NOT NULL CHECK (evidence IN ('unasked', 'wanted', 'read', 'unavailable')),
    step TEXT,
    log TEXT NOT NULL,
    updated_at TEXT NOT NULL CHECK (updated_at GLOB '*Z' AND length(updated_at) = 24),
    PRIMARY KEY (pr, key)
) STRICT;

CREATE TRIGGER check_recorded AFTER INSERT ON checks BEGIN
    INSERT INTO change_log (project_id, session_id, event_type, payload, created_at)
    SELECT s.project_id, s.id, 'pr_check_recorded', json_object('pr', p.id, 'url', p.url, 'name', NEW.name, 'commit', p.head, 'status', NEW.status),
        NEW.updated_at FROM pull_requests AS p JOIN sessions AS s ON s.id = p.session_id WHERE p.id = NEW.pr;
END;

CREATE TRIGGER check_updated AFTER UPDATE ON checks WHEN (OLD.status, OLD.attempt) IS NOT (NEW.status, NEW.attempt) BEGIN
    INSERT INTO change_log (project_id, session_id, event_type, payload, created_at)
    SELECT s.project_id, s.id, 'pr_check_recorded', json_object('pr', p.id, 'url', p.url, 'name', NEW.name, 'commit', p.head, 'status', NEW.status),
        NEW.updated_at FROM pull_requests AS p JOIN sessions AS s ON s.id = p.session_id WHERE p.id = NEW.pr;
END;

-- Its log was read: its session's child waits for that before it tells its agent.
CREATE TRIGGER check_explained AFTER UPDATE ON checks WHEN OLD.evidence = 'wanted' AND NEW.evidence <> 'wanted' BEGIN
    UPDATE sessions SET revision = revision + 1, updated_at = max(updated_at, NEW.updated_at)
    WHERE id = (SELECT session_id FROM pull_requests WHERE id = NEW.pr);
END;

-- From the moment a pull request turns bad in one way to the moment it is good again.
CREATE TABLE episodes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pr INTEGER NOT NULL REFERENCES pull_requests (id),
    kind TEXT NOT NULL CHECK (kind IN ('ci')),
    head TEXT NOT NULL,
    opened_at TEXT NOT NULL CHECK (opened_at GLOB '*Z' AND length(opened_at) = 24),
    closed_at TEXT CHECK (closed_at GLOB '*Z' AND length(closed_at) = 24),
    closed_by TEXT CHECK (closed_by <> '')
) STRICT;

CREATE UNIQUE INDEX episodes_one_open ON episodes (pr, kind) WHERE closed_at IS NULL;
CREATE INDEX episodes_of_pr ON episodes (pr, id);

-- What an agent was told of an episode. One that stands here was queued, in the same transaction.
CREATE TABLE nudges (
    session_id TEXT NOT NULL REFERENCES sessions (id),
    generation INTEGER NOT NULL CHECK (generation > 0),
    episode INTEGER NOT NULL REFERENCES episodes (id),
    round INTEGER NOT NULL CHECK (round > 0),
    told TEXT NOT NULL CHECK (json_valid(told) AND json_type(told) = 'array'),
    message INTEGER NOT NULL REFERENCES messages (id),
    UNIQUE (session_id, generation, episode, round)
) STRICT;

CREATE INDEX nudges_of_message ON nudges (message);

-- What a person should know. Closed when it is no longer so.
CREATE TABLE notices (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id TEXT NOT NULL REFERENCES sessions (id),
    kind TEXT NOT NULL CHECK (kind IN ('ci_stuck')),
    subject TEXT NOT NULL,
    url TEXT NOT NULL,
    text TEXT NOT NULL,
    created_at TEXT NOT NULL CHECK (created_at GLOB '*Z' AND length(created_at) = 24),
    closed_at TEXT CHECK (closed_at GLOB '*Z' AND length(closed_at) = 24),
    UNIQUE (session_id, kind, subject)
) STRICT;

CREATE TRIGGER notice_created AFTER INSERT ON notices BEGIN
    INSERT INTO change_log (project_id, session_id, event_type, payload, created_at)
    SELECT project_id, id, 'notice_created', json_object('id', NEW.id, 'session', NEW.session_id, 'kind', NEW.kind, 'text', NEW.text),
        NEW.created_at FROM sessions WHERE id = NEW.session_id;
END;

-- It was over, and is so again.
CREATE TRIGGER notice_again AFTER UPDATE ON notices WHEN OLD.closed_at IS NOT NULL AND NEW.closed_at IS NULL BEGIN
    INSERT INTO change_log (project_id, session_id, event_type, payload, created_at)
    SELECT project_id, id, 'notice_created', json_object('id', NEW.id, 'session', NEW.session_id, 'kind', NEW.kind, 'text', NEW.text),
        NEW.created_at FROM sessions WHERE id = NEW.session_id;
END;

CREATE TRIGGER notice_closed AFTER UPDATE ON notices WHEN OLD.closed_at IS NULL AND NEW.closed_at IS NOT NULL BEGIN
    INSERT INTO change_log (project_id, session_id, event_type, payload, created_at)
    SELECT project_id, id, 'notice_closed', json_object('id', NEW.id, 'session', NEW.session_id, 'kind', NEW.kind),
        NEW.closed_at FROM sessions WHERE id = NEW.session_id;
END;
