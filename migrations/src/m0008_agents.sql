-- What an agent that reads prompts is started with, and its last word. A session of before had none of it.
ALTER TABLE sessions ADD COLUMN model TEXT CHECK (model <> '');
ALTER TABLE sessions ADD COLUMN permissions TEXT NOT NULL DEFAULT 'default'
    CHECK (permissions IN ('default', 'accept-edits', 'auto', 'bypass-permissions'));
ALTER TABLE sessions ADD COLUMN last_message TEXT;

DROP TRIGGER session_updated;

-- Every change that the API shows. The revision is counted here, so that no writer can forget it. (Its own UPDATE does
-- not fire this trigger again: SQLite's triggers are not recursive unless asked to be.)
CREATE TRIGGER session_updated AFTER UPDATE ON sessions
WHEN (OLD.revision, OLD.desired, OLD.discard, OLD.phase, OLD.generation, OLD.issue, OLD.harness, OLD.runtime, OLD.display_name,
        OLD.prompt, OLD.branch, OLD.worktree, OLD.worktree_state, OLD.holdings, OLD.rescue_ref, OLD.activity_state,
        OLD.activity_since, OLD.first_signal_at, OLD.native_id, OLD.title, OLD.last_message, OLD.model, OLD.permissions, OLD.end_reason, OLD.ended_at, OLD.failure)
    IS NOT
    (NEW.revision, NEW.desired, NEW.discard, NEW.phase, NEW.generation, NEW.issue, NEW.harness, NEW.runtime, NEW.display_name,
        NEW.prompt, NEW.branch, NEW.worktree, NEW.worktree_state, NEW.holdings, NEW.rescue_ref, NEW.activity_state,
        NEW.activity_since, NEW.first_signal_at, NEW.native_id, NEW.title, NEW.last_message, NEW.model, NEW.permissions, NEW.end_reason, NEW.ended_at, NEW.failure)
BEGIN
    UPDATE sessions SET revision = OLD.revision + 1 WHERE id = NEW.id;
    INSERT INTO change_log (project_id, session_id, event_type, payload, created_at)
    VALUES (NEW.project_id, NEW.id, 'session_updated', json_object(
        'id', NEW.id, 'activity', NEW.activity_state,
        'isTerminated', json(iif(NEW.phase IN ('finished', 'stopping', 'freeing', 'ended'), 'true', 'false')),
        'phase', NEW.phase, 'revision', OLD.revision + 1), NEW.updated_at);
END;
