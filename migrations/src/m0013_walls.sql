-- The used-up quota that a session's agent was refused for last, until it works again; NULL where there is none.
-- `wall_at`: when it was refused. `wall_until`: nothing is typed before then. `wall_told`: whether the agent said so.
ALTER TABLE sessions ADD COLUMN wall_at TEXT CHECK (wall_at GLOB '*Z');
ALTER TABLE sessions ADD COLUMN wall_until TEXT CHECK (wall_until GLOB '*Z');
ALTER TABLE sessions ADD COLUMN wall_told INTEGER NOT NULL DEFAULT 0 CHECK (wall_told IN (0, 1));

-- It is shown, so a change of it is told of. (The trigger is changed by its text, as a CHECK is in m0010: whatever it watches besides stays.)
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(replace(sql,
    'OLD.trouble,', 'OLD.trouble, OLD.wall_at, OLD.wall_until, OLD.wall_told,'),
    'NEW.trouble,', 'NEW.trouble, NEW.wall_at, NEW.wall_until, NEW.wall_told,')
WHERE type = 'trigger' AND name = 'session_updated';
PRAGMA writable_schema = RESET;
