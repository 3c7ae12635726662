CREATE TABLE room (
    id      TEXT PRIMARY KEY NOT NULL,      -- opaque; the room's name in LiveKit's sense
    title   TEXT NOT NULL,                  -- what people read
    created INTEGER NOT NULL                -- ms since 1970-01-01 UTC
) STRICT;

CREATE TABLE invite (
    id      INTEGER PRIMARY KEY NOT NULL,
    room    TEXT NOT NULL REFERENCES room (id) ON DELETE CASCADE,
    role    TEXT NOT NULL CHECK (role IN ('host', 'guest')),
    hash    BLOB NOT NULL UNIQUE,           -- SHA-256 of the secret; the secret itself is never stored
    created INTEGER NOT NULL,
    revoked INTEGER                         -- ms since 1970-01-01 UTC, or NULL while the invite opens the room
) STRICT;

CREATE INDEX invite_room ON invite (room);
