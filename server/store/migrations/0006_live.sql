-- A running circle, so that people sit where they sat when the process restarts. Gone when the meeting is over.
CREATE TABLE live (
    room  TEXT PRIMARY KEY NOT NULL REFERENCES room (id) ON DELETE CASCADE,
    state TEXT NOT NULL,                    -- JSON that the circle wrote
    at    INTEGER NOT NULL                  -- ms since 1970-01-01 UTC
) STRICT;
