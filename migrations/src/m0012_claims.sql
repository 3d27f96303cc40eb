-- That a session is to have a pull request which is there already.

-- `starts`: the session's worktree is made from it. `takeover`: it may be another living session's.
-- `owner`: whom it was taken from; of one that was refused for that, whose it is. `said`: why it was refused.
-- What its forge said of it when it was asked: `head_branch`, and whether that lies in another repository (`is_foreign`).
CREATE TABLE claims (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id TEXT NOT NULL REFERENCES sessions (id),
    repository TEXT NOT NULL CHECK (repository GLOB '?*/?*/?*'),
    number INTEGER NOT NULL CHECK (number > 0),
    starts INTEGER NOT NULL CHECK (starts IN (0, 1)),
    takeover INTEGER NOT NULL CHECK (takeover IN (0, 1)),
    state TEXT NOT NULL CHECK (state IN ('asked', 'made', 'refused')),
    refusal TEXT CHECK (refusal IN ('not_found', 'not_open', 'owned', 'unavailable', 'over')),
    said TEXT CHECK (said <> ''),
    owner TEXT REFERENCES sessions (id),
    head_branch TEXT,
    is_foreign INTEGER CHECK (is_foreign IN (0, 1)),
    created_at TEXT NOT NULL CHECK (created_at GLOB '*Z' AND length(created_at) = 24),
    updated_at TEXT NOT NULL CHECK (updated_at GLOB '*Z' AND length(updated_at) = 24),
    CHECK ((state = 'refused') = (refusal IS NOT NULL))
) STRICT;

CREATE INDEX claims_asked ON claims (id) WHERE state = 'asked';
CREATE UNIQUE INDEX claims_one_asked ON claims (session_id, repository, number) WHERE state = 'asked';
CREATE UNIQUE INDEX claims_one_start ON claims (session_id) WHERE starts = 1;

-- Its session's child and who asked for it wait for that.
CREATE TRIGGER claim_answered AFTER UPDATE ON claims WHEN OLD.state IS NOT NEW.state BEGIN
    UPDATE sessions SET revision = revision + 1, updated_at = max(updated_at, NEW.updated_at) WHERE id = NEW.session_id;
END;

-- Whether what lies in its worktree is, or may be, the code of somebody who may not write to the repository.
ALTER TABLE sessions ADD COLUMN foreign_code INTEGER NOT NULL DEFAULT 0 CHECK (foreign_code IN (0, 1));

CREATE TRIGGER session_foreign AFTER UPDATE ON sessions WHEN OLD.foreign_code IS NOT NEW.foreign_code BEGIN
    UPDATE sessions SET revision = revision + 1 WHERE id = NEW.id;
END;

-- A pull request that comes to be another session's changes both.
CREATE TRIGGER pull_request_moved AFTER UPDATE ON pull_requests WHEN OLD.session_id IS NOT NEW.session_id BEGIN
    INSERT INTO change_log (project_id, session_id, event_type, payload, created_at)
    SELECT project_id, id, 'pr_updated', json_object('id', NEW.id, 'url', NEW.url, 'session', NEW.session_id, 'state', NEW.state,
        'ci', NEW.ci, 'review', NEW.review, 'mergeability', NEW.mergeability), NEW.updated_at FROM sessions WHERE id = NEW.session_id;
    UPDATE sessions SET prs = (SELECT json_group_array(json_object('id', id, 'url', url, 'number', number, 'title', title, 'state', state,
            'ci', ci, 'failing', json(failing), 'review', review, 'mergeability', mergeability, 'head_branch', head_branch,
            'base_branch', base_branch, 'head', head, 'changed_at', changed_at, 'trouble', trouble))
            FROM (SELECT * FROM pull_requests WHERE session_id = sessions.id ORDER BY id)),
        updated_at = max(updated_at, NEW.updated_at)
    WHERE id IN (OLD.session_id, NEW.session_id);
END;
