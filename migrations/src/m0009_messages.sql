-- What an agent's screen shows that its hooks do not tell, what ended its last turn, and how many messages wait for it. A
-- session of before had none of it.
ALTER TABLE sessions ADD COLUMN dialog TEXT CHECK (json_valid(dialog) AND json_type(dialog) = 'object');
ALTER TABLE sessions ADD COLUMN delay TEXT CHECK (delay <> '');
ALTER TABLE sessions ADD COLUMN trouble TEXT CHECK (trouble <> '');
ALTER TABLE sessions ADD COLUMN messages_waiting INTEGER NOT NULL DEFAULT 0 CHECK (messages_waiting >= 0);
ALTER TABLE sessions ADD COLUMN waiting_since TEXT CHECK (waiting_since GLOB '*Z' AND length(waiting_since) = 24);

DROP TRIGGER session_updated;

-- Every change that the API shows. The revision is counted here, so that no writer can forget it. (Its own UPDATE does
-- not fire this trigger again: SQLite's triggers are not recursive unless asked to be.)
CREATE TRIGGER session_updated AFTER UPDATE ON sessions
WHEN (OLD.revision, OLD.desired, OLD.discard, OLD.phase, OLD.generation, OLD.issue, OLD.harness, OLD.runtime, OLD.display_name,
        OLD.prompt, OLD.branch, OLD.worktree, OLD.worktree_state, OLD.holdings, OLD.rescue_ref, OLD.activity_state,
        OLD.activity_since, OLD.first_signal_at, OLD.native_id, OLD.title, OLD.last_message, OLD.model, OLD.permissions,
        OLD.end_reason, OLD.ended_at, OLD.failure, OLD.dialog, OLD.delay, OLD.trouble, OLD.messages_waiting, OLD.waiting_since)
    IS NOT
    (NEW.revision, NEW.desired, NEW.discard, NEW.phase, NEW.generation, NEW.issue, NEW.harness, NEW.runtime, NEW.display_name,
        NEW.prompt, NEW.branch, NEW.worktree, NEW.worktree_state, NEW.holdings, NEW.rescue_ref, NEW.activity_state,
        NEW.activity_since, NEW.first_signal_at, NEW.native_id, NEW.title, NEW.last_message, NEW.model, NEW.permissions,
        NEW.end_reason, NEW.ended_at, NEW.failure, NEW.dialog, NEW.delay, NEW.trouble, NEW.messages_waiting, NEW.waiting_since)
BEGIN
    UPDATE sessions SET revision = OLD.revision + 1 WHERE id = NEW.id;
    INSERT INTO change_log (project_id, session_id, event_type, payload, created_at)
    VALUES (NEW.project_id, NEW.id, 'session_updated', json_object(
        'id', NEW.id, 'activity', NEW.activity_state,
        'isTerminated', json(iif(NEW.phase IN ('finished', 'stopping', 'freeing', 'ended'), 'true', 'false')),
        'phase', NEW.phase, 'revision', OLD.revision + 1), NEW.updated_at);
END;

-- What is said to agents, each until it was accepted, given up, or typed where nothing can prove more. A row is written
-- before anything is typed and never removed.
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id TEXT NOT NULL REFERENCES sessions (id),
    key TEXT UNIQUE CHECK (key <> ''),
    kind TEXT NOT NULL CHECK (kind IN ('text', 'answer')),
    sender TEXT CHECK (sender <> ''),
    body TEXT NOT NULL CHECK (body <> ''),
    dialog TEXT CHECK (json_valid(dialog) AND json_type(dialog) = 'object'),
    state TEXT NOT NULL CHECK (state IN ('queued', 'typing', 'typed', 'accepted', 'unprovable', 'failed')),
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    typings INTEGER NOT NULL CHECK (typings >= 0),
    perhaps INTEGER NOT NULL DEFAULT 0 CHECK (perhaps IN (0, 1)),
    begun INTEGER NOT NULL DEFAULT 0 CHECK (begun IN (0, 1)),
    generation INTEGER CHECK (generation > 0),
    typed TEXT,
    file TEXT CHECK (file GLOB '/*'),
    reason TEXT CHECK (reason <> ''),
    try_at TEXT CHECK (try_at GLOB '*Z' AND length(try_at) = 24),
    queued_at TEXT NOT NULL CHECK (queued_at GLOB '*Z' AND length(queued_at) = 24),
    state_at TEXT NOT NULL CHECK (state_at GLOB '*Z' AND length(state_at) = 24)
) STRICT;

CREATE INDEX messages_of_session ON messages (session_id, id);
CREATE INDEX messages_waiting ON messages (session_id, id) WHERE state IN ('queued', 'typing', 'typed');

-- The session's own count wakes its child and tells every client that what it shows has changed.
CREATE TRIGGER message_created AFTER INSERT ON messages BEGIN
    INSERT INTO change_log (project_id, session_id, event_type, payload, created_at)
    SELECT project_id, id, 'message_created', json_object('id', NEW.id, 'session', NEW.session_id, 'kind', NEW.kind, 'state', NEW.state),
        NEW.state_at FROM sessions WHERE id = NEW.session_id;
    UPDATE sessions SET
        messages_waiting = (SELECT count(*) FROM messages WHERE session_id = NEW.session_id AND state IN ('queued', 'typing', 'typed')),
        waiting_since = (SELECT min(queued_at) FROM messages WHERE session_id = NEW.session_id AND state IN ('queued', 'typing', 'typed')),
        updated_at = max(updated_at, NEW.state_at)
    WHERE id = NEW.session_id;
END;

CREATE TRIGGER message_updated AFTER UPDATE ON messages
WHEN (OLD.state, OLD.attempts, OLD.reason, OLD.file) IS NOT (NEW.state, NEW.attempts, NEW.reason, NEW.file)
BEGIN
    INSERT INTO change_log (project_id, session_id, event_type, payload, created_at)
    SELECT project_id, id, 'message_updated', json_object('id', NEW.id, 'session', NEW.session_id, 'kind', NEW.kind, 'state', NEW.state),
        NEW.state_at FROM sessions WHERE id = NEW.session_id;
    UPDATE sessions SET
        messages_waiting = (SELECT count(*) FROM messages WHERE session_id = NEW.session_id AND state IN ('queued', 'typing', 'typed')),
        waiting_since = (SELECT min(queued_at) FROM messages WHERE session_id = NEW.session_id AND state IN ('queued', 'typing', 'typed')),
        updated_at = max(updated_at, NEW.state_at)
    WHERE id = NEW.session_id AND (OLD.state IN ('queued', 'typing', 'typed')) <> (NEW.state IN ('queued', 'typing', 'typed'));
END;
