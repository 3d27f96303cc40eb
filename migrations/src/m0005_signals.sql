-- Hook records that counted, each once, in the order they were applied. Kept for people and for ordering; the last few
-- hundred of a session.
CREATE TABLE signals (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE CHECK (event_id <> ''),
    session_id TEXT NOT NULL REFERENCES sessions (id),
    generation INTEGER NOT NULL CHECK (generation > 0),
    agent TEXT NOT NULL,
    event TEXT NOT NULL,
    state TEXT CHECK (state IN ('active', 'idle', 'waiting_input', 'exited')),
    at TEXT NOT NULL CHECK (at GLOB '*Z' AND length(at) = 24),
    boot TEXT NOT NULL,
    boot_ms INTEGER NOT NULL CHECK (boot_ms >= 0)
) STRICT;

CREATE INDEX signals_of_session ON signals (session_id, seq);

-- How far each session's spool is applied, in bytes. Moved in the transaction that applies the records before it.
CREATE TABLE hook_spool (
    session_id TEXT PRIMARY KEY REFERENCES sessions (id),
    "offset" INTEGER NOT NULL CHECK ("offset" >= 0)
) STRICT;
