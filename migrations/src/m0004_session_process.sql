-- What was seen of a session's agent process, one row a session, always about its newest generation. `holder` and
-- `agent` name a process beyond the reuse of its number: {"pid", "started", "boot"}.
CREATE TABLE session_process (
    session_id TEXT PRIMARY KEY REFERENCES sessions (id),
    generation INTEGER NOT NULL CHECK (generation > 0),
    holder TEXT CHECK (json_valid(holder)),
    agent TEXT CHECK (json_valid(agent)),
    looked TEXT NOT NULL CHECK (looked IN ('alive', 'dead', 'failed')),
    looked_at TEXT NOT NULL CHECK (looked_at GLOB '*Z' AND length(looked_at) = 24),
    since TEXT NOT NULL CHECK (since GLOB '*Z' AND length(since) = 24),
    looks INTEGER NOT NULL CHECK (looks > 0),
    exit TEXT CHECK (json_valid(exit)),
    note TEXT
) STRICT;

-- What the API shows of the process is part of its session: the session's own trigger tells of it. That one more look
-- gave the same answer is not news.
CREATE TRIGGER session_process_seen AFTER INSERT ON session_process BEGIN
    UPDATE sessions SET revision = revision + 1, updated_at = NEW.looked_at WHERE id = NEW.session_id;
END;

CREATE TRIGGER session_process_changed AFTER UPDATE ON session_process
WHEN (OLD.generation, OLD.holder, OLD.agent, OLD.looked, OLD.exit, OLD.note)
    IS NOT (NEW.generation, NEW.holder, NEW.agent, NEW.looked, NEW.exit, NEW.note)
BEGIN
    UPDATE sessions SET revision = revision + 1, updated_at = NEW.looked_at WHERE id = NEW.session_id;
END;
