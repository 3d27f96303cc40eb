-- What sessions are made with, how far their worktrees are furnished, the line they wait in, and who takes whose place.

-- Two more reasons for an end, and a phase between the worktree and the launch. (As in m0010: a CHECK is changed by its text.)
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(replace(sql,
    '''spawn_failed'', ''completed''', '''spawn_failed'', ''completed'', ''rebooted'', ''replaced'''),
    '''queued'', ''worktree'', ''prepare''', '''queued'', ''worktree'', ''provision'', ''prepare''')
WHERE type = 'table' AND name = 'sessions';
PRAGMA writable_schema = RESET;

-- Only what somebody set is in it; what is not has its default where it is used.
DROP TRIGGER project_updated;
ALTER TABLE projects ADD COLUMN config TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(config) AND json_type(config) = 'object');
UPDATE projects SET config = json_object('reclaimOnMerge', json('true')) WHERE reclaim_on_merge = 1;
ALTER TABLE projects DROP COLUMN reclaim_on_merge;
-- Where somebody says that its repository is now, until every worktree has followed; or why they could not.
ALTER TABLE projects ADD COLUMN moves_to TEXT CHECK (moves_to GLOB '/*');
ALTER TABLE projects ADD COLUMN move_failed TEXT CHECK (move_failed <> '');
CREATE TRIGGER project_updated AFTER UPDATE ON projects
WHEN OLD.archived_at IS NULL AND NEW.archived_at IS NULL
    AND (OLD.path, OLD.origin, OLD.display_name, OLD.default_branch, OLD.config, OLD.moves_to, OLD.move_failed)
    IS NOT (NEW.path, NEW.origin, NEW.display_name, NEW.default_branch, NEW.config, NEW.moves_to, NEW.move_failed)
BEGIN
    INSERT INTO change_log (project_id, event_type, payload, created_at)
    VALUES (NEW.id, 'project_updated', json_object('id', NEW.id, 'path', NEW.path, 'displayName', NEW.display_name), NEW.updated_at);
END;

-- `setup`: what the project's config said when the session was made; a later change of it is for later sessions.
-- `provisioning`: how far the worktree is furnished; NULL where there is nothing to do or it was not begun.
-- `ticket`: its place in the line. Handed out in the transaction that queues it, and never twice: times can go back.
-- `queued_for`: what it waits for at the head of the line.
-- `replaces`: the orchestrator that is ended once this one is live.
ALTER TABLE sessions ADD COLUMN setup TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(setup) AND json_type(setup) = 'object');
ALTER TABLE sessions ADD COLUMN provisioning TEXT CHECK (json_valid(provisioning) AND json_type(provisioning) = 'object');
ALTER TABLE sessions ADD COLUMN ticket INTEGER NOT NULL DEFAULT 0 CHECK (ticket >= 0);
ALTER TABLE sessions ADD COLUMN queued_for TEXT CHECK (queued_for IN ('place', 'memory', 'turn'));
ALTER TABLE sessions ADD COLUMN replaces TEXT REFERENCES sessions (id);
UPDATE sessions SET ticket = rowid;
CREATE UNIQUE INDEX sessions_ticket ON sessions (ticket);

-- One orchestrator a project, and one that is about to take its place.
DROP INDEX sessions_one_orchestrator;
CREATE UNIQUE INDEX sessions_one_orchestrator ON sessions (project_id)
WHERE kind = 'orchestrator' AND desired = 'run' AND replaces IS NULL AND phase NOT IN ('finished', 'stopping', 'freeing', 'ended');
CREATE UNIQUE INDEX sessions_one_replacement ON sessions (project_id)
WHERE desired = 'run' AND replaces IS NOT NULL AND phase NOT IN ('finished', 'stopping', 'freeing', 'ended');

DROP TRIGGER session_updated;
-- Every change that the API shows. The revision is counted here, so that no writer can forget it. (Its own UPDATE does
-- not fire this trigger again: SQLite's triggers are not recursive unless asked to be.)
CREATE TRIGGER session_updated AFTER UPDATE ON sessions
WHEN (OLD.revision, OLD.desired, OLD.discard, OLD.phase, OLD.generation, OLD.issue, OLD.harness, OLD.runtime, OLD.display_name,
        OLD.prompt, OLD.branch, OLD.worktree, OLD.worktree_state, OLD.holdings, OLD.rescue_ref, OLD.activity_state,
        OLD.activity_since, OLD.first_signal_at, OLD.native_id, OLD.title, OLD.last_message, OLD.model, OLD.permissions,
        OLD.end_reason, OLD.ended_at, OLD.failure, OLD.dialog, OLD.delay, OLD.trouble, OLD.messages_waiting, OLD.waiting_since,
        OLD.prs, OLD.queued_for, OLD.provisioning, OLD.replaces)
    IS NOT
    (NEW.revision, NEW.desired, NEW.discard, NEW.phase, NEW.generation, NEW.issue, NEW.harness, NEW.runtime, NEW.display_name,
        NEW.prompt, NEW.branch, NEW.worktree, NEW.worktree_state, NEW.holdings, NEW.rescue_ref, NEW.activity_state,
        NEW.activity_since, NEW.first_signal_at, NEW.native_id, NEW.title, NEW.last_message, NEW.model, NEW.permissions,
        NEW.end_reason, NEW.ended_at, NEW.failure, NEW.dialog, NEW.delay, NEW.trouble, NEW.messages_waiting, NEW.waiting_since,
        NEW.prs, NEW.queued_for, NEW.provisioning, NEW.replaces)
BEGIN
    UPDATE sessions SET revision = OLD.revision + 1 WHERE id = NEW.id;
    INSERT INTO change_log (project_id, session_id, event_type, payload, created_at)
    VALUES (NEW.project_id, NEW.id, 'session_updated', json_object(
        'id', NEW.id, 'activity', NEW.activity_state,
        'isTerminated', json(iif(NEW.phase IN ('finished', 'stopping', 'freeing', 'ended'), 'true', 'false')),
        'phase', NEW.phase, 'revision', OLD.revision + 1), NEW.updated_at);
END;
