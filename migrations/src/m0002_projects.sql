-- Registered repositories. A row is never deleted: its sessions keep naming it, and its id must not come back for
-- another path.
CREATE TABLE projects (
    id TEXT PRIMARY KEY CHECK (id <> ''),
    path TEXT NOT NULL CHECK (path GLOB '/*'),
    origin TEXT CHECK (origin <> ''),
    display_name TEXT NOT NULL,
    default_branch TEXT NOT NULL CHECK (default_branch <> ''),
    registered_at TEXT NOT NULL CHECK (registered_at GLOB '*Z' AND length(registered_at) = 24),
    archived_at TEXT CHECK (archived_at GLOB '*Z' AND length(archived_at) = 24),
    updated_at TEXT NOT NULL CHECK (updated_at GLOB '*Z' AND length(updated_at) = 24)
) STRICT;

-- One active project a path; an archived one may lie there too.
CREATE UNIQUE INDEX projects_active_path ON projects (path) WHERE archived_at IS NULL;

CREATE TRIGGER project_created AFTER INSERT ON projects BEGIN
    INSERT INTO change_log (project_id, event_type, payload, created_at)
    VALUES (NEW.id, 'project_created', json_object('id', NEW.id, 'path', NEW.path, 'displayName', NEW.display_name), NEW.updated_at);
END;

CREATE TRIGGER project_removed AFTER UPDATE ON projects WHEN OLD.archived_at IS NULL AND NEW.archived_at IS NOT NULL BEGIN
    INSERT INTO change_log (project_id, event_type, payload, created_at)
    VALUES (NEW.id, 'project_removed', json_object('id', NEW.id), NEW.updated_at);
END;

-- Registered again: for a client it was not there before.
CREATE TRIGGER project_returned AFTER UPDATE ON projects WHEN OLD.archived_at IS NOT NULL AND NEW.archived_at IS NULL BEGIN
    INSERT INTO change_log (project_id, event_type, payload, created_at)
    VALUES (NEW.id, 'project_created', json_object('id', NEW.id, 'path', NEW.path, 'displayName', NEW.display_name), NEW.updated_at);
END;

-- An update that changes nothing is silent, and so is one of a project nobody can see.
CREATE TRIGGER project_updated AFTER UPDATE ON projects
WHEN OLD.archived_at IS NULL AND NEW.archived_at IS NULL
    AND (OLD.path, OLD.origin, OLD.display_name, OLD.default_branch) IS NOT (NEW.path, NEW.origin, NEW.display_name, NEW.default_branch)
BEGIN
    INSERT INTO change_log (project_id, event_type, payload, created_at)
    VALUES (NEW.id, 'project_updated', json_object('id', NEW.id, 'path', NEW.path, 'displayName', NEW.display_name), NEW.updated_at);
END;
