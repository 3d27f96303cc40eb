-- What changed, in order: the one feed every client follows. Only triggers write here, each in the transaction of the
-- change it tells of, so a reader sees both or neither.
--
-- AUTOINCREMENT, because a number must never come back after old rows were pruned. No foreign keys: a log tells of the
-- past, whatever became of it. The list of event types grows with every table, so it is checked by the test that knows
-- all triggers and not by a CHECK that each migration would have to rebuild.
CREATE TABLE change_log (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL CHECK (project_id <> ''),
    session_id TEXT CHECK (session_id <> ''),
    event_type TEXT NOT NULL CHECK (event_type GLOB '[a-z]*' AND event_type NOT GLOB '*[^a-z_]*'),
    payload TEXT NOT NULL CHECK (json_valid(payload)),
    created_at TEXT NOT NULL CHECK (created_at GLOB '*Z' AND length(created_at) = 24)
) STRICT;
