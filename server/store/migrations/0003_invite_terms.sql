-- Invites get a time from which and until which they open, and two more roles. SQLite cannot change a CHECK, so the table is made anew.
CREATE TABLE invite_with_terms (
    id         INTEGER PRIMARY KEY NOT NULL,
    room       TEXT NOT NULL REFERENCES room (id) ON DELETE CASCADE,
    role       TEXT NOT NULL CHECK (role IN ('host', 'co-host', 'guest', 'listener')),
    hash       BLOB NOT NULL UNIQUE,           -- SHA-256 of the secret; the secret itself is never stored
    created    INTEGER NOT NULL,               -- this and the next three: ms since 1970-01-01 UTC
    revoked    INTEGER,                        -- or NULL while the invite opens the room
    not_before INTEGER,
    expires    INTEGER
) STRICT;

INSERT INTO invite_with_terms (id, room, role, hash, created, revoked)
    SELECT id, room, role, hash, created, revoked FROM invite;

DROP TABLE invite;
ALTER TABLE invite_with_terms RENAME TO invite;
CREATE INDEX invite_room ON invite (room);
