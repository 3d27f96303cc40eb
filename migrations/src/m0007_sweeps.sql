-- Rounds that are due at a time rather than on a change. A sweep that started and did not finish is still due.
CREATE TABLE sweeps (
    name TEXT PRIMARY KEY CHECK (name <> ''),
    due_at TEXT NOT NULL CHECK (due_at GLOB '*Z' AND length(due_at) = 24),
    started_at TEXT CHECK (started_at GLOB '*Z' AND length(started_at) = 24),
    finished_at TEXT CHECK (finished_at GLOB '*Z' AND length(finished_at) = 24),
    note TEXT
) STRICT;
