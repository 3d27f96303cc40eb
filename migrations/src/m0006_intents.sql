-- Keys of requests that were carried out, so that a client that lost the answer and asks again gets the first one.
CREATE TABLE intents (
    key TEXT PRIMARY KEY CHECK (key <> ''),
    kind TEXT NOT NULL CHECK (kind IN ('spawn')),
    session_id TEXT NOT NULL REFERENCES sessions (id),
    created_at TEXT NOT NULL CHECK (created_at GLOB '*Z' AND length(created_at) = 24)
) STRICT;
